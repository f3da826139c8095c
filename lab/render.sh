#!/usr/bin/env bash
# Prints a configuration file of the lab: render.sh node|addresses|controller. What it needs is in the environment.
set -euo pipefail

node() {
    cat <<END
SWITCHROOM_NODE_PREFIX=$NODE_PREFIX
SWITCHROOM_NODE_ESL_IP=$NODE_ADDRESS
SWITCHROOM_NODE_ESL_PASSWORD=$LAB_PASSWORD
SWITCHROOM_NODE_CONTROLLERS=$LAB_CONTROLLER/32
SWITCHROOM_NODE_SIP_IP=$NODE_ADDRESS
SWITCHROOM_NODE_TRUNKS=$LAB_TRUNKS
SWITCHROOM_NODE_PEERS=$LAB_PEERS
END
}

addresses() {
    cat <<END
define trunks = { $LAB_TRUNKS }
define controllers = { $LAB_CONTROLLER/32 }
define peers = { $LAB_PEERS }
define relays = { ${LAB_RELAYS//:/ . } }
END
}

controller() {
    cat <<END
[server]
listen = "0.0.0.0:8080"

[store]
url = "redis://127.0.0.1:6379/0"

# The nodes' firewall lets FreeSWITCH connect to this address alone.
[media]
listen = "$LAB_CONTROLLER:8090"

# The lab's sounds may be on the host.
[playback]
allow_private_networks = true

[webhooks]
allow_private_networks = true

[[apps]]
id = "lab"
api_key = "$LAB_KEY"
dids = ["747713001"]
END
    local nodes prefix address
    nodes=$(tr ',=' '\n ' <<<"$LAB_NODES")
    while read -r prefix address; do
        cat <<END

[[nodes]]
prefix = "$prefix"
esl = "$address:8021"
password = "$LAB_PASSWORD"
END
    done <<<"$nodes"
}

case ${1:-} in
node | addresses | controller) "$1" ;;
*) echo "usage: $0 node|addresses|controller" >&2 && exit 2 ;;
esac
