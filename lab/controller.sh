#!/usr/bin/env bash
# Makes this Debian 12 machine the controller of the lab. Run as root; running it again brings it up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=lab/common.sh
. lab/common.sh

install_packages lab/packages-controller.txt

# What was accepted must survive a crash, and fit into the machine's memory; `switchroom doctor` checks it.
redis-cli config set appendonly yes >/dev/null
redis-cli config set maxmemory-policy noeviction >/dev/null
redis-cli config set maxmemory 256mb >/dev/null
redis-cli config rewrite >/dev/null

[ -x /opt/switchroom/bin/python ] || python3 -m venv /opt/switchroom
pip_install() { /opt/switchroom/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
pip_install --require-hashes --requirement requirements-build.txt
pip_install --require-hashes --no-build-isolation --requirement requirements.txt
pip_install --no-deps --no-build-isolation --force-reinstall .

settings=$(lab/render.sh controller)
put /etc/switchroom/switchroom.toml 600 <<<"$settings" || true
put /etc/systemd/system/switchroom.service 644 <systemd/switchroom.service || true
systemctl daemon-reload
systemctl enable --quiet switchroom.service
systemctl restart switchroom.service
# It is up with the API, which starts last.
for _ in {1..150}; do
    (: <>/dev/tcp/127.0.0.1/8080) 2>/dev/null && break
    sleep 0.2
done
SWITCHROOM_CONFIG=/etc/switchroom/switchroom.toml SWITCHROOM_STORE__DATA_DIR=/var/lib/switchroom \
    /opt/switchroom/bin/switchroom doctor
