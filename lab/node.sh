#!/usr/bin/env bash
# Makes this Debian 12 machine a media node of the lab. Run as root; running it again changes only what differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=lab/common.sh
. lab/common.sh

: "${SIGNALWIRE_TOKEN:?is needed for the packages of FreeSWITCH}"
repository=https://freeswitch.signalwire.com/repo/deb/debian-release/
keyring=/usr/share/keyrings/signalwire-freeswitch-repo.gpg
login=/etc/apt/auth.conf.d/freeswitch.conf

put "$login" 600 <<<"machine freeswitch.signalwire.com login signalwire password $SIGNALWIRE_TOKEN" || true
if [ ! -s "$keyring" ]; then
    apt-get update -qq
    apt-get install -qq --no-install-recommends ca-certificates curl
    # The token in a file, not among the arguments that everyone can see.
    curl --fail --silent --show-error --netrc-file "$login" --output "$keyring.new" "${repository}signalwire-freeswitch-repo.gpg"
    mv "$keyring.new" "$keyring"
fi
put /etc/apt/sources.list.d/freeswitch.list 644 <<<"deb [signed-by=$keyring] $repository bookworm main" || true
install_packages lab/packages-node.txt

changed=
if ! diff -qr freeswitch-conf /etc/switchroom/freeswitch-conf >/dev/null 2>&1; then
    rm -rf /etc/switchroom/freeswitch-conf
    mkdir -p /etc/switchroom
    cp -r freeswitch-conf /etc/switchroom/
    chmod -R a+rX /etc/switchroom/freeswitch-conf
    changed=yes
fi
settings=$(lab/render.sh node)
put /etc/switchroom/node.env 600 <<<"$settings" && changed=yes
addresses=$(lab/render.sh addresses)
put /etc/switchroom/addresses.nft 644 <<<"$addresses" && changed=yes
put /etc/switchroom/node.nft 644 <lab/node.nft && changed=yes
put /etc/systemd/system/switchroom-node.service 644 <systemd/switchroom-node.service && changed=yes
if [ -n "$changed" ]; then
    systemctl daemon-reload
    systemctl disable --quiet --now freeswitch.service 2>/dev/null || true
    systemctl enable --quiet switchroom-node.service
    systemctl restart switchroom-node.service
fi
