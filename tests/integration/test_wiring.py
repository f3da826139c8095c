"""What the configuration says has its effect: the system as `switchroom serve` builds it."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import pytest
from structlog.testing import capture_logs

from controller.errors import StoreUnavailable
from controller.registry import Registry
from controller.store import keys
from controller.store.store import Store
from switchroom.config import Config
from switchroom.processes import CannotStart, System, allow_files
from tests.open_store import OpenStore

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
INSIDE = "http://127.0.0.1:8080/"
KEY = "0123456789abcdef"
APP = {"id": "demo", "api_key": KEY}


@contextmanager
def running(url: str, **sections: Any) -> Iterator[System]:
    """A system that serves the API of the app `demo` on a free port."""
    values = {"store": {"url": url}, "apps": [APP], **sections}
    values["server"] = {"listen": "127.0.0.1:0", **values.get("server", {})}
    system = System(Config.model_validate(values), roles=["api"])
    system.start()
    try:
        yield system
    finally:
        system.stop()


def address(system: System) -> tuple[str, int]:
    parts = urlsplit(system.address or "")
    return parts.hostname or "", parts.port or 0


def ask(system: System, method: str, path: str, body: dict[str, Any], app: str = "demo") -> tuple[int, str]:
    """The status and the text of the response."""
    connection = http.client.HTTPConnection(*address(system), timeout=30)
    headers = {"X-App-ID": app, "X-API-Key": KEY, "Content-Type": "application/json"}
    try:
        connection.request(method, f"/api/v1{path}", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("webhooks", [False, True])
@pytest.mark.parametrize("playback", [False, True])
def test_private_networks_are_closed_unless_the_configuration_opens_them(
    store: OpenStore, server_url: str, webhooks: bool, playback: bool
) -> None:
    sections = {
        "webhooks": {"allow_private_networks": webhooks},
        "playback": {"allow_private_networks": playback},
    }
    with running(server_url, **sections) as system:
        endpoint = ask(system, "PUT", "/webhooks/endpoint", {"url": INSIDE, "types": ["*"]})
        play = ask(system, "POST", f"/conferences/{ROOM}/play", {"urls": [INSIDE]})
    for (status, said), allowed, status_then in ((endpoint, webhooks, 200), (play, playback, 404)):
        assert status == (status_then if allowed else 400)
        assert ("is not a public address" in said) is not allowed


@pytest.mark.parametrize(("trusted", "at_a_time"), [([], 5), (["127.0.0.1"], 9)])
def test_the_api_gets_its_bounds(store: OpenStore, server_url: str, trusted: list[str], at_a_time: int) -> None:
    server = {"connections": 10, "connections_per_address": 5, "trusted_proxies": trusted}
    with running(server_url, server=server) as system, ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(address(system), timeout=30)) for _ in range(at_a_time + 1)
        ]
        # The first made room for the last. One place is kept free, and a trusted proxy may have all the others.
        assert clients[0].recv(1) == b""
        for client in clients[1:]:
            client.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"


def test_a_start_lets_as_many_files_be_open_as_may_be(store: OpenStore, server_url: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, hard - 1), hard))
    try:
        with running(server_url):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("more", "told"), [(0, False), (1, True)])
def test_too_few_open_files_are_told(more: int, told: bool) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with capture_logs() as lines:
        allow_files(hard + more)
    assert [line["log_level"] for line in lines] == ["warning"] * told


REMOTE = {"prefix": "bcX79", "esl": "203.0.113.9:8021", "password": "x"}
SHARED = (keys.SESSION_KEY, keys.CURSOR_KEY, keys.MEDIA_KEY)
LOCAL = {"prefix": "acW68", "esl": "127.0.0.1:1", "password": "x"}


def relay(url: str, tmp_path: Path, *nodes: dict[str, str], **media: str) -> System:
    """A system that is an audio relay and not started."""
    values: dict[str, Any] = {
        "store": {"url": url, "data_dir": tmp_path},
        "nodes": list(nodes),
        "media": {"listen": "127.0.0.1:0", **media},
    }
    return System(Config.model_validate(values), roles=["media"])


@pytest.mark.parametrize("media", [
    {}, {"listen": "0.0.0.0:0"}, {"advertise": "127.0.0.1:8090"}, {"advertise": "localhost:8090"}, {"advertise": "0.0.0.0:1"},
])  # fmt: skip
def test_a_relay_that_a_node_cannot_reach_does_not_start(
    store: OpenStore, server_url: str, tmp_path: Path, media: dict[str, str]
) -> None:
    with pytest.raises(CannotStart, match=r"^node bcX79 is not on this machine, .*: set \[media\] listen"):
        relay(server_url, tmp_path, LOCAL, REMOTE, **media).start()


@pytest.mark.parametrize(("nodes", "media"), [
    ([LOCAL], {}), ([LOCAL], {"listen": "0.0.0.0:0"}), ([REMOTE], {"advertise": "192.0.2.1:8090"}), ([], {}),
])  # fmt: skip
def test_a_relay_that_all_nodes_can_reach_starts(
    store: OpenStore, server_url: str, tmp_path: Path, nodes: list[dict[str, str]], media: dict[str, str]
) -> None:
    system = relay(server_url, tmp_path, *nodes, **media)
    system.start()
    system.stop()


def test_what_the_file_says_is_written_again_when_the_store_has_lost_its_data(
    store: OpenStore, server_url: str
) -> None:
    file: dict[str, Any] = {"nodes": [LOCAL], "gateways": [{"name": "carrier", "host": "192.0.2.1"}]}
    file["limits"] = {"requests_per_second": 1000}
    with running(server_url, **file) as system, running(server_url, **file) as other:
        before = system.registry.app("demo")
        secrets = {key: store.shared_secret(key) for key in SHARED}
        with capture_logs() as lines:
            store.client.flushall()
            told = []
            while store.registry_version() is None:
                told.append(ask(system, "GET", "/conferences", {})[0])
                gevent.sleep(0.02)
            told += [ask(each, "GET", "/conferences", {})[0] for each in (system, other)]
        assert {200, 503} >= set(told)
        assert told[-1] == 200
        again = Registry(store)
        assert again.app("demo") == before  # its salt and secret, too: several processes write the same
        assert [node.prefix for node in again.nodes()] == ["acW68"]
        assert [gateway.name for gateway in again.gateways()] == ["carrier"]
        assert {key: store.shared_secret(key) for key in SHARED} == secrets
    (line,) = [line for line in lines if "has lost its data" in line["event"]]
    assert line["log_level"] == "warning"


def test_a_store_that_is_late_at_the_start_is_asked_again(
    store: OpenStore, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def late(self: Store, name: str) -> bytes:
        asked.append(name)
        if len(asked) < 3:
            raise StoreUnavailable("the store did not respond in time")
        return bytes(32)

    monkeypatch.setattr(Store, "shared_secret", late)
    with running(server_url):
        assert len(asked) >= 3
