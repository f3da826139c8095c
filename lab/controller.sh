#!/usr/bin/env bash
# Makes this Debian 12 machine the controller of the lab. Run as root; running it again brings it up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=lab/common.sh
. lab/common.sh

install_packages lab/packages-controller.txt

# What was accepted must survive a crash; `switchroom doctor` checks it.
redis-cli config set appendonly yes >/dev/null
redis-cli config set maxmemory-policy noeviction >/dev/null
redis-cli config rewrite >/dev/null

[ -x /opt/switchroom/bin/python ] || python3 -m venv /opt/switchroom
/opt/switchroom/bin/pip install --quiet --disable-pip-version-check --upgrade --force-reinstall --no-deps .
/opt/switchroom/bin/pip install --quiet --disable-pip-version-check .

settings=$(lab/render.sh controller)
put /etc/switchroom/switchroom.toml 600 <<<"$settings" || true
put /etc/systemd/system/switchroom.service 644 <systemd/switchroom.service || true
systemctl daemon-reload
systemctl enable --quiet switchroom.service
systemctl restart switchroom.service
SWITCHROOM_CONFIG=/etc/switchroom/switchroom.toml SWITCHROOM_STORE__DATA_DIR=/var/lib/switchroom \
    /opt/switchroom/bin/switchroom doctor
