"""The lab's scripts, units and Vagrantfile, as far as one machine can tell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from switchroom.config import load
from tests.unit.test_freeswitch_conf import DOCUMENTED, MODULES, instructions

ROOT = Path(__file__).parents[2]
LAB = ROOT / "lab"
SCRIPTS = sorted(LAB.glob("*.sh"))
UNITS = sorted((ROOT / "systemd").glob("*.service"))
NODE = {
    "NODE_PREFIX": "acW68",
    "NODE_ADDRESS": "192.168.56.11",
    "LAB_PASSWORD": "0123456789abcdef",
    "LAB_CONTROLLER": "192.168.56.10",
    "LAB_TRUNKS": "192.168.56.1/32,10.0.2.2/32",
    "LAB_PEERS": "192.168.56.11/32,192.168.56.12/32",
    "LAB_RELAYS": "192.168.56.10:8090,192.168.56.10:8091",
}
CONTROLLER = {
    "LAB_CONTROLLER": "192.168.56.10",
    "LAB_PASSWORD": "0123456789abcdef",
    "LAB_KEY": "0123456789abcdef",
    "LAB_NODES": "acW68=192.168.56.11,bcX79=192.168.56.12",
}


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env={"PATH": os.environ["PATH"], **environment},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


# Scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    checked = run(tool("shellcheck"), "-x", script)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_stops_at_its_first_fault(script: Path) -> None:
    if script.name != "common.sh":
        assert "set -euo pipefail" in script.read_text()
        assert os.access(script, os.X_OK)


def test_a_file_is_put_once(tmp_path: Path) -> None:
    def put(text: str, mode: str = "600") -> bool:
        return run("bash", "-c", f". lab/common.sh; printf %s {text} | put {tmp_path}/etc/a {mode}").returncode == 0

    file = tmp_path / "etc" / "a"
    assert put("one")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("one", 0o600)
    assert not put("one")
    assert put("two")
    assert file.read_text() == "two"
    assert put("two", "644")
    assert not put("two", "644")


def test_a_node_is_told_what_it_reads() -> None:
    said = run(LAB / "render.sh", "node", **NODE)
    assert said.returncode == 0, said.stderr
    told = dict(line.split("=", 1) for line in said.stdout.splitlines())
    known = {value.removeprefix("$") for _, value in instructions("env-set")} | {"SWITCHROOM_NODE_ESL_PASSWORD"}
    assert told.keys() <= known
    assert told["SWITCHROOM_NODE_ESL_PASSWORD"] == NODE["LAB_PASSWORD"]
    assert told["SWITCHROOM_NODE_CONTROLLERS"] == "192.168.56.10/32"
    assert told["SWITCHROOM_NODE_PEERS"] == NODE["LAB_PEERS"]


def test_the_controller_gets_a_configuration_that_it_accepts(tmp_path: Path) -> None:
    said = run(LAB / "render.sh", "controller", **CONTROLLER)
    assert said.returncode == 0, said.stderr
    (tmp_path / "switchroom.toml").write_text(said.stdout)
    config = load(tmp_path / "switchroom.toml", {})
    assert [(node.prefix, node.esl) for node in config.nodes] == [
        ("acW68", "192.168.56.11:8021"),
        ("bcX79", "192.168.56.12:8021"),
    ]
    assert {node.password.get_secret_value() for node in config.nodes} == {CONTROLLER["LAB_PASSWORD"]}
    # Where the nodes' firewall lets them through.
    host, _, port = config.media.listen.rpartition(":")
    assert host == CONTROLLER["LAB_CONTROLLER"]
    assert f'"LAB_RELAYS" => "#{{CONTROLLER}}:{port}"' in (ROOT / "Vagrantfile").read_text()


ADDRESSES = {name: NODE[name] for name in ("LAB_TRUNKS", "LAB_CONTROLLER", "LAB_PEERS", "LAB_RELAYS")}
SETTINGS = {name: value for name, value in NODE.items() if name != "LAB_RELAYS"}


@pytest.mark.parametrize(("what", "needed"), [("node", SETTINGS), ("addresses", ADDRESSES), ("controller", CONTROLLER)])
def test_nothing_is_rendered_without_all_that_it_takes(what: str, needed: dict[str, str]) -> None:
    for name in needed:
        assert run(LAB / "render.sh", what, **{**needed, name: ""}).returncode in (0, 1)
        said = run(LAB / "render.sh", what, **{key: value for key, value in needed.items() if key != name})
        assert said.returncode != 0, name
        assert name in said.stderr


def test_a_node_is_not_provisioned_without_a_token() -> None:
    said = run(LAB / "node.sh")
    assert said.returncode != 0
    assert "SIGNALWIRE_TOKEN" in said.stderr


def packages(kind: str) -> list[str]:
    return (LAB / f"packages-{kind}.txt").read_text().splitlines()


@pytest.mark.parametrize("kind", ["node", "controller"])
def test_a_package_list_is_one_name_a_line_in_order(kind: str) -> None:
    names = packages(kind)
    assert names == sorted(set(names))
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) for name in names)


def test_every_module_has_its_package_and_no_other_is_installed() -> None:
    wanted = {"freeswitch-mod-" + module.removeprefix("mod_").replace("_", "-") for module in MODULES}
    assert {name for name in packages("node") if name.startswith("freeswitch-mod-")} == wanted


def test_the_packages_that_debian_has_are_there() -> None:
    names = [name for kind in ("node", "controller") for name in packages(kind) if not name.startswith("freeswitch")]
    tool("apt-cache")
    known = run("apt-cache", "pkgnames").stdout.split()
    if "redis-server" not in known and "bash" not in run("apt-cache", "search", "--names-only", "^bash$").stdout:
        pytest.skip("apt has no package lists here")
    assert set(names) <= set(known)


def test_the_callers_scenario_is_xml_and_the_script_fills_it_in() -> None:
    text = (LAB / "caller.xml").read_text()
    ET.fromstring(text)
    assert set(re.findall(r"@[A-Z]+@", text)) == set(re.findall(r"@[A-Z]+@", (LAB / "call.sh").read_text()))


# Units


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_systemd_accepts_a_unit(unit: Path, tmp_path: Path) -> None:
    analyze = tool("systemd-analyze")
    # The program itself is not on this machine.
    (tmp_path / unit.name).write_text(re.sub(r"(?m)^(ExecStart(?:Pre)?=\+?)\S+", r"\1/bin/true", unit.read_text()))
    checked = run(analyze, "verify", tmp_path / unit.name)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    exposed = run(analyze, "security", "--offline=yes", "--threshold=25", tmp_path / unit.name)
    assert exposed.returncode == 0, exposed.stdout


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_kept_in(unit: Path) -> None:
    settings = dict(line.split("=", 1) for line in unit.read_text().splitlines() if re.match(r"[A-Z]\w+=", line))
    assert settings["User"] == unit.stem
    assert settings["CapabilityBoundingSet"] == ""
    assert settings["ProtectSystem"] == "strict"
    assert settings["Restart"] == "always"
    for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "RestrictNamespaces"):
        assert settings[name] == "yes"


# The firewall

# A node and, behind one cable, a trunk, a controller with the relays, a stranger and a host of the internet. Prints a
# line for each attempt that got through.
NETWORK = """
set -euo pipefail
unshare --net sleep 60 & outside=$!
until [ "$(readlink /proc/$outside/ns/net)" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.02; done
ip link add near type veth peer name far netns $outside
from() { nsenter --target $outside --net "$@"; }
ip link set lo up
ip address add 192.168.56.11/24 dev near
ip link set near up
for host in 1 10 12 99; do from ip address add 192.168.56.$host/24 dev far; done
from ip address add 9.9.9.9/32 dev far
from ip link set lo up
from ip link set far up
ip address add 169.254.169.254/32 dev lo
ip route add 9.9.9.9/32 dev near
nft --file "$1"
served() { exec {ready}< <("$@"); read -ru "$ready"; }
served "$2" "$3" serve 192.168.56.11 tcp 5060 5090 8021 22 udp 5060 5090 20000
served "$2" "$3" serve 127.0.0.1 tcp 8021
served "$2" "$3" serve 169.254.169.254 tcp 80
for host in 192.168.56.{1,10,12,99} 9.9.9.9; do
    served from "$2" "$3" serve $host tcp 80 443 5060 5090 6379 53 8090 8091 udp 53 20000
done
for host in 1 10 12 99; do from "$2" "$3" try 192.168.56.$host 192.168.56.11 tcp 5060 5090 8021 22 udp 5060 5090 20000; done
for host in 192.168.56.{1,10,12,99} 9.9.9.9 127.0.0.1 169.254.169.254; do
    "$2" "$3" try 0.0.0.0 $host tcp 80 443 5060 5090 6379 53 8090 8091 8021 udp 53 20000
done
"""
ENDS = """
import selectors, socket, sys
kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
what, here, *rest = sys.argv[1:]
there = rest.pop(0) if what == "try" else ""
kind, socks = "", []
for word in rest:
    if word in kinds:
        kind = word
        continue
    sock = socket.socket(socket.AF_INET, kinds[kind])
    if what == "serve":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((here, int(word)))
        if kind == "tcp":
            sock.listen()
        socks.append(sock)
        continue
    sock.bind((here, 0))
    sock.settimeout(0.3)
    try:
        sock.connect((there, int(word)))
        sock.send(b"?")
        if kind == "udp":
            # Whoever got it would answer, or refuse.
            sock.recv(1)
    except OSError:
        pass
    else:
        print(here, there, kind, word)
waiting = selectors.DefaultSelector()
for sock in socks:
    waiting.register(sock, selectors.EVENT_READ)
if socks:
    print("ready", flush=True)
while socks:
    for key, _ in waiting.select():
        if key.fileobj.type == socket.SOCK_DGRAM:
            _, sender = key.fileobj.recvfrom(1)
            key.fileobj.sendto(b"!", sender)
        else:
            key.fileobj.accept()
"""


TRUNK, RELAY, PEER, STRANGER, INTERNET = "192.168.56.1", "192.168.56.10", "192.168.56.12", "192.168.56.99", "9.9.9.9"
NEAR = (TRUNK, RELAY, PEER, STRANGER)
NEEDED_WITHOUT_RELAY = {
    *(f"0.0.0.0 {INTERNET} tcp {port}" for port in (80, 443, 5060, 5090, 6379, 53, 8090, 8091)),
    *(f"0.0.0.0 {host} tcp 53" for host in NEAR),
}


@pytest.mark.parametrize("direct", [False, True])
def test_the_firewall_lets_through_what_a_node_needs_and_no_more(tmp_path: Path, direct: bool) -> None:
    """In a network of its own, from which nothing leads outside."""
    for name in ("nft", "ip", "unshare", "nsenter"):
        tool(name)
    alone = ("unshare", "--user", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc")
    if run(*alone, "nft", "list", "ruleset").returncode:
        pytest.skip("this machine allows no network of one's own")
    addresses = tmp_path / "addresses.nft"
    addresses.write_text(run(LAB / "render.sh", "addresses", **NODE).stdout)
    rules = tmp_path / "node.nft"
    text = (LAB / "node.nft").read_text()
    # FreeSWITCH's user is not on this machine.
    assert '"switchroom-node"' in text
    if direct:
        (documented,) = re.findall(r"^ +```nft\n(.*?)^ +```", DOCUMENTED.read_text(), re.MULTILINE | re.DOTALL)
        rest, _, end = text.rpartition("        reject\n")
        text = rest + documented + end
    rules.write_text(text.replace("/etc/switchroom/addresses.nft", str(addresses)).replace('"switchroom-node"', "root"))
    (tmp_path / "ends.py").write_text(ENDS)
    (tmp_path / "network.sh").write_text(NETWORK)
    said = run(*alone, "bash", tmp_path / "network.sh", rules, sys.executable, tmp_path / "ends.py")
    assert said.returncode == 0, said.stderr
    node = NODE["NODE_ADDRESS"]
    came_in = {
        *(f"{host} {node} tcp 22" for host in NEAR),
        *(f"{host} {node} udp 20000" for host in NEAR),
        f"{TRUNK} {node} tcp 5060",
        f"{PEER} {node} tcp 5090",
        f"{RELAY} {node} tcp 8021",
    }
    went_out = {
        f"0.0.0.0 {TRUNK} tcp 5060",
        f"0.0.0.0 {PEER} tcp 5090",
        *(f"0.0.0.0 {RELAY} tcp {port}" for port in (8090, 8091)),
        *(f"0.0.0.0 {host} udp {port}" for host in (*NEAR, INTERNET) for port in (53, 20000)),
    }
    assert set(said.stdout.splitlines()) == came_in | went_out | (NEEDED_WITHOUT_RELAY if direct else set())


# Vagrant


@pytest.fixture
def vagrant(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """On a copy: Vagrant writes beside its file."""
    program = tool("vagrant")
    shutil.copy(ROOT / "Vagrantfile", tmp_path)

    def vagrant(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        return run(program, *arguments, cwd=tmp_path, HOME=str(home), VAGRANT_HOME=str(home / "vagrant"), **environment)

    return vagrant


Vagrant = Callable[..., subprocess.CompletedProcess[str]]


def test_vagrant_accepts_its_file(vagrant: Vagrant) -> None:
    said = vagrant("validate", "--ignore-provider")
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("command", ["up", "provision"])
def test_without_a_token_it_stops_at_once_and_says_how_to_get_one(
    vagrant: Vagrant, tmp_path: Path, command: str
) -> None:
    said = vagrant(command)
    assert said.returncode != 0
    assert "signalwire.com" in said.stderr
    assert "SIGNALWIRE_TOKEN=" in said.stderr
    assert not (tmp_path / ".vagrant" / "lab.env").exists()


def test_its_nodes_and_scripts_are_there() -> None:
    text = (ROOT / "Vagrantfile").read_text()
    assert all((ROOT / name).is_file() for name in re.findall(r"/vagrant/(\S+\.sh)", text))
    assert len(re.findall(r'"192\.168\.56\.1\d"', text)) == 3
