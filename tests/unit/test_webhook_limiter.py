"""Who may start an attempt."""

from __future__ import annotations

import pytest

from controller.webhooks.limiter import FIRST_LIMIT, SLOW_SECONDS, Limited, Limiter

PER_ENDPOINT = 8


class Endpoint(Limited):
    """Has `ready` things to send."""

    def __init__(self, ready: int = 100) -> None:
        super().__init__()
        self.ready = ready
        self.started: list[bool] = []

    @property
    def is_ready(self) -> bool:
        return self.ready > 0

    def start(self, slow: bool) -> None:
        self.ready -= 1
        self.started.append(slow)

    def end(self, limiter: Limiter, seconds: float = 0.0, *, has_responded: bool = True) -> None:
        limiter.finished(self, self.started.pop(), seconds, has_responded=has_responded)
        limiter.schedule(self)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def in_flight(*endpoints: Endpoint) -> list[int]:
    assert [endpoint.in_flight for endpoint in endpoints] == [len(endpoint.started) for endpoint in endpoints]
    return [endpoint.in_flight for endpoint in endpoints]


def make_slow(limiter: Limiter, endpoint: Endpoint) -> None:
    """It has responded, but late."""
    endpoint.ready += 1
    limiter.schedule(endpoint)
    endpoint.ready = 0
    while endpoint.started:
        endpoint.end(limiter, SLOW_SECONDS + 1)


def test_an_endpoint_gets_more_as_it_responds() -> None:
    limiter, endpoint = Limiter(100, PER_ENDPOINT), Endpoint()
    limiter.schedule(endpoint)
    found = in_flight(endpoint)
    for _ in range(4):
        endpoint.end(limiter)
        found += in_flight(endpoint)
    assert found == [FIRST_LIMIT, 4, 8, 8, 8]


def test_one_that_does_not_respond_falls_to_one() -> None:
    limiter, endpoint = Limiter(100, PER_ENDPOINT), Endpoint()
    limiter.schedule(endpoint)
    endpoint.end(limiter)
    while in_flight(endpoint) != [1]:
        endpoint.end(limiter, SLOW_SECONDS + 1, has_responded=False)
    endpoint.end(limiter, SLOW_SECONDS + 1, has_responded=False)
    assert in_flight(endpoint) == [1]
    # A refusal that comes at once costs little.
    endpoint = Endpoint()
    limiter.schedule(endpoint)
    endpoint.end(limiter, 0.0, has_responded=False)
    assert in_flight(endpoint) == [FIRST_LIMIT]


def test_all_together_are_bounded_and_have_their_turns() -> None:
    limiter, endpoints = Limiter(3, PER_ENDPOINT), [Endpoint() for _ in range(3)]
    limiter.schedule(*endpoints)
    assert in_flight(*endpoints) == [1, 1, 1]
    # Who has just ended is the last again.
    for _ in range(5):
        for endpoint in endpoints:
            endpoint.end(limiter)
            assert sum(in_flight(*endpoints)) == 3
    assert all(endpoint.ready < 97 for endpoint in endpoints)
    endpoints[0].ready = 0
    while endpoints[0].started:
        endpoints[0].end(limiter)
    assert sum(in_flight(*endpoints)) == 3


def test_slow_ones_never_have_more_than_half() -> None:
    limiter, slow, quick = Limiter(16, 16), [Endpoint(0) for _ in range(16)], Endpoint(0)
    for endpoint in slow:
        make_slow(limiter, endpoint)
        endpoint.ready = 100
    limiter.schedule(*slow)
    assert sum(in_flight(*slow)) == 8
    assert all(all(endpoint.started) for endpoint in slow)
    quick.ready = 100
    limiter.schedule(quick)
    for _ in range(10):
        quick.end(limiter)
    assert in_flight(quick) == [8]
    # Nor do they starve: the first eighth is theirs, whoever else waits.
    for endpoint in slow:
        endpoint.ready = 0
        while endpoint.started:
            endpoint.end(limiter)
    slow[0].is_slow = True
    assert in_flight(quick) == [16]
    slow[0].ready = 100
    limiter.schedule(slow[0])
    quick.end(limiter)
    assert in_flight(slow[0], quick) == [1, 15]


def test_a_pause_is_for_the_whole_endpoint() -> None:
    clock = Clock()
    limiter, paused, other = Limiter(100, PER_ENDPOINT, clock), Endpoint(), Endpoint()
    limiter.pause(paused, 10)
    limiter.pause(paused, 5)
    limiter.schedule(paused, other)
    assert in_flight(paused, other) == [0, FIRST_LIMIT]
    clock.now = 9.9
    limiter.schedule(paused)
    assert in_flight(paused) == [0]
    clock.now = 10.0
    limiter.schedule(paused)
    assert in_flight(paused) == [FIRST_LIMIT]


@pytest.mark.parametrize("total", [1, 2, 7, 8, 9])
def test_even_a_few_attempts_are_enough_for_slow_and_quick(total: int) -> None:
    limiter, slow, quick = Limiter(total, PER_ENDPOINT), Endpoint(0), Endpoint(0)
    make_slow(limiter, slow)
    slow.ready = quick.ready = 3
    limiter.schedule(slow, quick)
    for _ in range(20):
        for endpoint in (slow, quick):
            if endpoint.started:
                endpoint.end(limiter, SLOW_SECONDS + 1 if endpoint is slow else 0.0)
    assert (slow.ready, quick.ready) == (0, 0)
