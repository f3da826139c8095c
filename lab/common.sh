# Read by node.sh and controller.sh.
# shellcheck shell=bash

export DEBIAN_FRONTEND=noninteractive

install_packages() { # FILE: one name a line
    local names
    mapfile -t names <"$1"
    apt-get update -qq
    apt-get install -qq --no-install-recommends "${names[@]}"
}

put() { # FILE MODE: from standard input. Succeeds if that changed the file.
    local new
    new=$(mktemp)
    cat >"$new"
    if cmp -s "$new" "$1" && [ "$(stat -c %a "$1")" = "$2" ]; then
        rm "$new"
        return 1
    fi
    install -D -m "$2" "$new" "$1"
    rm "$new"
}
