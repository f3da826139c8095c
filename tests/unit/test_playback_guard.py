"""Which URLs are handed to a media node."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from controller.commands import Play
from controller.errors import Refused
from controller.playback import PlaybackGuard
from controller.webhooks.connection import Network

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


@pytest.fixture
def resolver() -> Resolver:
    return Resolver()


@pytest.fixture
def check(resolver: Resolver) -> Callable[..., list[dict[str, str]]]:
    guard = PlaybackGuard(Network(resolve=resolver))

    def check(*urls: str) -> list[dict[str, str]]:
        """What is wrong."""
        try:
            guard(play(*urls))
        except Refused as refused:
            return list(refused.detail["fields"])
        return []

    return check


def play(*urls: str) -> Play:
    return Play(app_id="demo", room_id="r", urls=urls)


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


def test_what_does_not_resolve_is_left_to_the_node(check: Check) -> None:
    assert check("https://unknown.example/a.wav") == []
    assert len(check("https://unknown.example/a.wav", "https://inside.example/a.wav")) == 1


def test_a_name_server_that_says_nothing_holds_nobody_up() -> None:
    answered = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if host == "dead.example":
            answered.wait()
        return ["10.0.0.1"]

    guard = PlaybackGuard(Network(resolve=resolve), seconds=0.2)
    before = time.monotonic()
    try:
        assert guard(play("https://dead.example/a.wav")) == {}
        with pytest.raises(Refused):
            guard(play("https://dead.example/a.wav", "https://inside.example/a.wav"))
    finally:
        answered.set()
    assert time.monotonic() - before < 5


def test_private_networks_can_be_allowed(resolver: Resolver) -> None:
    guard = PlaybackGuard(Network(resolve=resolver), allow_private=True)
    assert guard(play("http://127.0.0.1/a.wav", "http://inside.example/a.wav")) == {}
    assert resolver.asked == []
