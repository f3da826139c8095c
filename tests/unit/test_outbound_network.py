"""Connections go to addresses that were checked, and to the first of them that takes one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from gevent import monkey
from gevent.server import StreamServer

from controller.outbound.network import Blocked, Network
from controller.outbound.target import parse_url


@pytest.fixture
def port() -> Iterator[int]:
    server = StreamServer(("127.0.0.1", 0), lambda sock, _: sock.close())
    server.start()
    yield server.server_port
    server.stop()


def test_the_addresses_are_tried_in_turn(port: int) -> None:
    network = Network(allow_private=True, resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
    with network.connect("app", parse_url(f"http://app.example:{port}/")) as sock:
        assert sock.getpeername() == ("127.0.0.1", port)


def test_an_address_that_is_not_public_is_never_connected_to(port: int) -> None:
    network = Network(resolve=lambda *_: ["127.0.0.1", "::ffff:127.0.0.1"])
    with pytest.raises(Blocked) as caught:
        network.connect("app", parse_url(f"http://app.example:{port}/"))
    assert "127" not in str(caught.value)


@pytest.mark.parametrize("found", [[], None])
def test_a_name_without_an_address(found: list[str] | None) -> None:
    def resolve(host: str, port: int) -> list[str]:
        if found is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return found

    with pytest.raises(socket.gaierror):
        Network(resolve=resolve).connect("app", parse_url("http://app.example/"))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "192.0.2.1"])
def test_an_address_is_not_looked_up(address: str) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise AssertionError(host)

    found = Network(resolve=resolve).look_up("app", address, 80)
    assert found.ready()
    assert found.get() == [address]


def test_who_looks_the_same_up_at_the_same_time_shares_one_thread() -> None:
    # One that threads wait for, and not greenlets.
    silence = monkey.get_original("threading", "Lock")()
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        with silence:
            return ["127.0.0.1"]

    network = Network(resolve=resolve)
    with silence:
        found = [network.look_up("app", "slow.example", 80) for _ in range(20)]
        other = network.look_up("other", "slow.example", 80)
    assert other.get() == ["127.0.0.1"]
    assert [each.get() for each in found] == [["127.0.0.1"]] * 20
    assert network.look_up("app", "slow.example", 80).get() == ["127.0.0.1"]
    assert asked == ["slow.example"] * 3
