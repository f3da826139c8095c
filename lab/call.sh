#!/usr/bin/env bash
# Calls the lab with SIPp and shows the sessions appear. Other addresses: LAB_SIP, LAB_API, LAB_APP, LAB_KEY, LAB_DID.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=/dev/null
[ -n "${LAB_KEY:-}" ] || [ ! -f .vagrant/lab.env ] || . .vagrant/lab.env
: "${LAB_KEY:?is missing: is the lab up? (vagrant up)}"
: "${LAB_SIP:=192.168.56.11:5060}" "${LAB_API:=http://192.168.56.10:8080}" "${LAB_APP:=lab}" "${LAB_DID:=747713001}"
: "${LAB_CALLS:=3}" "${LAB_SECONDS:=20}"

for tool in sipp curl python3; do
    command -v "$tool" >/dev/null || { echo "$tool is missing (Debian and Ubuntu: apt install sip-tester curl python3)" >&2 && exit 1; }
done

folder=$(mktemp -d)
sipp=
finish() {
    [ -z "$sipp" ] || kill "$sipp" 2>/dev/null || true
    rm -rf "$folder"
}
trap finish EXIT

# Half a second of a quiet tone, sent over and over. SIPp takes the file's name from the scenario only.
python3 -c 'import sys; sys.stdout.buffer.write(bytes([0xE5, 0xDF, 0xE5, 0xFF, 0x65, 0x5F, 0x65, 0x7F]) * 500)' >"$folder/tone.ulaw"
sed "s|@AUDIO@|$folder/tone.ulaw|; s|@DID@|$LAB_DID|" lab/caller.xml >"$folder/caller.xml"

# The address of ours that the node can answer to.
here=$(python3 - "${LAB_SIP%:*}" <<'END'
import socket, sys
probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
probe.connect((sys.argv[1], 9))
print(probe.getsockname()[0])
END
)

echo "$LAB_CALLS calls of $LAB_SECONDS s from $here to $LAB_DID at $LAB_SIP"
# Over TCP: a node takes no UDP.
(cd "$folder" && exec sipp "$LAB_SIP" -t t1 -sf caller.xml -m "$LAB_CALLS" -l "$LAB_CALLS" -r "$LAB_CALLS" -d "${LAB_SECONDS}000" \
    -i "$here" -mi "$here" -nostdin -trace_err -error_file errors >/dev/null 2>&1 </dev/null) &
sipp=$!

sessions() { # one a line
    # The key by a file: arguments can be seen by all.
    curl --fail --silent --show-error --max-time 5 --header @"$folder/headers" "$LAB_API/api/v1/sessions" |
        python3 -c '
import json, sys
for one in json.load(sys.stdin)["sessions"]:
    print(one["uuid"], one["caller_id"], "->", one["did"], one["state"])'
}
(umask 077 && printf 'X-App-ID: %s\nX-API-Key: %s\n' "$LAB_APP" "$LAB_KEY" >"$folder/headers")

until listed=$(sessions) && [ "$(grep -c " 527100" <<<"$listed")" -ge "$LAB_CALLS" ]; do
    if ! kill -0 "$sipp" 2>/dev/null || [ "$SECONDS" -ge "$LAB_SECONDS" ]; then
        echo "the calls did not become sessions" >&2
        cat "$folder"/errors* >&2 2>/dev/null || true
        exit 1
    fi
    sleep 0.2
done
echo "$listed"
echo "They last until the $LAB_SECONDS s are over; put them into a room meanwhile. Ctrl-C ends them at once."
wait "$sipp" || { echo "SIPp saw a call fail" >&2 && exit 1; }
sipp=
echo "all calls have ended"
