"""Who asks, as far as the network tells."""

from __future__ import annotations

import logging

import pytest

from tests.clock import Clock
from web.clients import FREE, MAX_CLIENTS, MAX_DELAY, Failures, Proxies, block_of


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def failures(clock: Clock) -> Failures:
    return Failures(clock)


def test_some_failures_are_free(failures: Failures) -> None:
    assert [failures.count("192.0.2.1") for _ in range(FREE + 1)] == [0.0] * (FREE + 1)
    assert failures.count("192.0.2.1") == 1.0
    assert failures.count("192.0.2.2") == 0.0


def test_the_delay_doubles_up_to_a_bound_and_what_comes_meanwhile_adds_nothing(
    failures: Failures, clock: Clock
) -> None:
    for _ in range(FREE):
        failures.count("192.0.2.1")
    delays = []
    for _ in range(1100):
        assert failures.count("192.0.2.1") == 0.0
        delays.append(failures.count("192.0.2.1"))
        assert failures.count("192.0.2.1") == delays[-1]
        clock.now += delays[-1]
    assert delays[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 64.0]
    assert set(delays[8:]) == {MAX_DELAY}


def test_failures_are_forgotten(failures: Failures, clock: Clock) -> None:
    for _ in range(FREE + 1):
        failures.count("192.0.2.1")
    assert failures.count("192.0.2.1") > 0
    clock.now += 700
    assert [failures.count("192.0.2.1") for _ in range(FREE + 1)] == [0.0] * (FREE + 1)


def test_a_client_of_ipv6_is_its_network(failures: Failures) -> None:
    for number in range(FREE + 1):
        failures.count(f"2001:db8:1:2::{number:x}")
    assert failures.count("2001:db8:1:2:ffff::") == 1.0
    assert failures.count("2001:db8:1:3::") == 0.0


def test_there_is_an_end_to_what_is_kept(failures: Failures) -> None:
    for _ in range(FREE + 1):
        failures.count("192.0.2.1")
    for number in range(MAX_CLIENTS):
        failures.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert failures.count("192.0.2.1") == 0.0


def test_a_delay_is_told_once(failures: Failures, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "web.clients"):
        for _ in range(FREE + 10):
            failures.count("192.0.2.1")
    (record,) = caplog.records
    assert record.getMessage() == f"192.0.2.1 failed to authenticate {FREE + 1} times: the next get 429 for 1 s"


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_blocks(address: str, block: str) -> None:
    assert block_of(address) == block


PROXIES = Proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.9,192.0.2.1, 10.1.2.3", "192.0.2.1"),
        ("10.0.0.1", " 192.0.2.1\t", "192.0.2.1"),
        ("::ffff:10.0.0.1", "2a00::1", "2a00::1"),
        ("2001:db8::7", "192.0.2.1", "192.0.2.1"),
        ("127.0.0.1", "10.1.1.1, 10.1.1.2", "10.1.1.1"),
        # What tells nothing leaves the last that is known.
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "192.0.2.1, 10.0.0.1:8080", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%\x1b[31m", "127.0.0.1"),
        ("127.0.0.1", "," * 1000, "127.0.0.1"),
        # Who is no proxy of ours says what it likes.
        ("192.0.2.7", "192.0.2.1", "192.0.2.7"),
        ("", "192.0.2.1", ""),
    ],
)
def test_clients_behind_proxies(peer: str, forwarded: str, client: str) -> None:
    assert PROXIES.client(peer, forwarded) == client


def test_without_proxies_nobody_is_believed() -> None:
    assert Proxies().client("127.0.0.1", "192.0.2.1") == "127.0.0.1"
