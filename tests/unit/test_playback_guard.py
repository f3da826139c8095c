"""Which URLs are handed to a media node."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from gevent import monkey

from controller.errors import Refused
from controller.outbound.network import MAX_THREADS_OF_APP, Network
from controller.rooms.playback_guard import PlaybackGuard

ADDRESSES = {
    "public.example": ["93.184.216.34", "2606:4700:4700::1111"],
    "inside.example": ["10.0.0.1"],
    "both.example": ["93.184.216.34", "::ffff:127.0.0.1"],
    "metadata.example": ["169.254.169.254"],
}


class Resolver:
    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        if host not in ADDRESSES:
            raise OSError("no such name")
        return ADDRESSES[host]


class Dead:
    """Name servers that say nothing of names that begin with `dead`."""

    def __init__(self) -> None:
        # One that threads wait for, and not greenlets.
        self._silence = monkey.get_original("threading", "Lock")()
        self._silence.acquire()

    def end(self) -> None:
        if self._silence.locked():
            self._silence.release()

    def __call__(self, host: str, port: int) -> list[str]:
        if host.startswith("dead"):
            with self._silence:
                pass
        return ADDRESSES.get(host, ["10.0.0.1"])


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
def dead() -> Iterator[Dead]:
    dead = Dead()
    yield dead
    dead.end()


@pytest.fixture
def check(resolver: Resolver) -> Callable[..., list[dict[str, str]]]:
    guard = PlaybackGuard(Network(resolve=resolver), direct=True)
    return lambda *urls: problems(guard, *urls)


def problems(guard: PlaybackGuard, *urls: str, app: str = "demo") -> list[dict[str, str]]:
    try:
        guard.check(app, urls, lambda: None)
    except Refused as refused:
        return list(refused.detail["fields"])
    return []


Check = Callable[..., list[dict[str, str]]]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "[::1]", "[64:ff9b::a00:1]", "localhost", "a.local", "b.internal"],
)
def test_what_leads_inside_by_its_text_is_refused_and_not_looked_up(
    host: str, check: Check, resolver: Resolver
) -> None:
    fields = check("https://public.example/a.wav", f"http://{host}:8080/b.wav")
    assert [field["field"] for field in fields] == ["urls.1"]
    assert resolver.asked == []


def test_names_are_judged_by_all_their_addresses(check: Check, resolver: Resolver) -> None:
    assert check("https://public.example/a.wav", "https://public.example:444/b.wav", "https://8.8.8.8/c.wav") == []
    assert resolver.asked == ["public.example"]
    fields = check(*(f"https://{host}/a.wav" for host in ADDRESSES), "https://inside.example/b.wav")
    assert [field["field"] for field in fields] == ["urls.1", "urls.2", "urls.3", "urls.4"]
    assert {field["problem"] for field in fields} == {"leads to an address that is not public"}


def test_what_does_not_resolve_is_refused(check: Check) -> None:
    fields = check("https://public.example/a.wav", "https://unknown.example/a.wav")
    assert fields == [{"field": "urls.1", "problem": "has a name that cannot be resolved"}]


def test_what_a_busy_resolver_does_not_tell_in_time_is_refused(dead: Dead) -> None:
    """It was let through: enough slow names in front, and any private one was."""
    guard = PlaybackGuard(Network(resolve=dead), direct=True, seconds=0.2)
    urls = [
        *(f"https://dead{number}.example/a.wav" for number in range(MAX_THREADS_OF_APP)),
        "https://inside.example/a.wav",
    ]
    fields = problems(guard, *urls)
    assert [field["field"] for field in fields] == [f"urls.{number}" for number in range(MAX_THREADS_OF_APP + 1)]
    assert {field["problem"] for field in fields} == {"has a name that was not resolved in time"}


def test_slow_names_of_one_app_hold_up_no_other(dead: Dead) -> None:
    network = Network(resolve=dead, threads=MAX_THREADS_OF_APP + 1)
    guard = PlaybackGuard(network, direct=True, seconds=0.2)
    for number in range(5):
        urls = [f"https://dead{number}-{each}.example/a.wav" for each in range(20)]
        assert len(problems(guard, *urls, app="attacker")) == 20
    assert problems(guard, "https://public.example/a.wav", app="attacker")
    # With one thread left.
    patient = PlaybackGuard(network, direct=True, seconds=30)
    assert problems(patient, "https://public.example/a.wav", app="other") == []
    assert problems(patient, "https://inside.example/a.wav", app="other")
    # Threads that have ended are the app's again.
    dead.end()
    assert problems(patient, "https://public.example/a.wav", app="attacker") == []


def test_nothing_is_looked_up_for_a_play_that_cannot_be(resolver: Resolver) -> None:
    def nobody() -> None:
        raise Refused("room_not_found")

    guard = PlaybackGuard(Network(resolve=resolver), direct=True)
    with pytest.raises(Refused, match="not found"):
        guard.check("demo", ["https://public.example/a.wav"], nobody)
    assert resolver.asked == []
    # Nor is the store asked for what needs no look-up.
    guard.check("demo", ["https://8.8.8.8/a.wav", "https://8.8.8.8/a b.wav"], nobody)
    with pytest.raises(Refused, match="no public address"):
        guard.check("demo", ["https://127.0.0.1/a.wav"], nobody)


def test_private_networks_can_be_allowed(resolver: Resolver) -> None:
    guard = PlaybackGuard(Network(resolve=resolver), allow_private=True)
    urls = ("http://127.0.0.1/a.wav", "http://inside.example/a.wav")
    guard.check("demo", urls, lambda: None)
    assert resolver.asked == []


def test_what_a_relay_fetches_is_not_looked_up_before(resolver: Resolver) -> None:
    """The relay judges the address that it connects to."""
    guard = PlaybackGuard(Network(resolve=resolver))
    guard.check("demo", ["https://inside.example/a.wav"], lambda: None)
    with pytest.raises(Refused, match="no public address"):
        guard.check("demo", ["https://inside.example/a.wav", "https://127.1/a.wav"], lambda: None)
    assert resolver.asked == []
