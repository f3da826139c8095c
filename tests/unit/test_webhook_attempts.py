"""The greenlets in which attempts are made."""

from __future__ import annotations

from collections.abc import Callable

import gevent
import pytest
from gevent.event import Event as Flag

from controller.webhooks.attempts import MAX_IDLE, MAX_TURN, Attempts


class Made:
    """Attempts that wait until they `may_end`."""

    def __init__(self) -> None:
        self.attempts = Attempts()
        self.may_end = Flag()
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.greenlets: set[gevent.Greenlet[..., object]] = set()

    def make(self, *numbers: int) -> None:
        for number in numbers:
            self.attempts.spawn(self._attempt, number)

    def _attempt(self, number: int) -> None:
        self.begun.append(number)
        self.greenlets.add(gevent.getcurrent())
        self.may_end.wait()
        self.ended.append(number)


@pytest.fixture
def made() -> Made:
    return Made()


def test_they_are_made_side_by_side(made: Made) -> None:
    made.make(1, 2)
    gevent.idle()
    assert (made.begun, made.ended) == ([1, 2], [])
    made.may_end.set()
    made.attempts.join()
    assert made.ended == [1, 2]


def test_a_greenlet_makes_one_after_the_other(made: Made) -> None:
    made.may_end.set()
    for number in range(10):
        made.make(number, 10 + number)
        made.attempts.join()
    assert sorted(made.ended) == list(range(20))
    assert len(made.greenlets) == 2


def test_one_that_ends_takes_what_another_was_woken_for(made: Made) -> None:
    made.may_end.set()
    made.make(0, 1)
    made.attempts.join()
    gevent.idle()  # both wait
    made.may_end.clear()
    made.make(2)
    gevent.idle()
    made.may_end.set()
    made.make(3)
    made.attempts.join()
    made.make(4, 5, 6)
    made.attempts.join()
    assert sorted(made.ended) == list(range(7))


def test_only_some_are_kept(made: Made) -> None:
    made.make(*range(MAX_IDLE + 5))
    gevent.idle()
    made.may_end.set()
    made.attempts.join()
    gevent.idle()
    assert sum(not greenlet.dead for greenlet in made.greenlets) == MAX_IDLE


def test_one_that_fails_stops_no_other(made: Made) -> None:
    def fail() -> None:
        raise ValueError

    made.attempts.spawn(fail)
    made.may_end.set()
    made.make(1)
    made.attempts.join()
    assert made.ended == [1]


def test_others_have_their_turns_among_those_that_wait_for_nothing() -> None:
    attempts, others_turn, count = Attempts(), Flag(), 0

    def attempt() -> None:
        nonlocal count
        count += 1
        if count < 100 * MAX_TURN and not others_turn.is_set():
            attempts.spawn(attempt)

    attempts.spawn(attempt)
    gevent.spawn(others_turn.set)
    attempts.join()
    assert count < 100 * MAX_TURN


@pytest.mark.parametrize(("end", "ended"), [(Attempts.close, [0, 1, 2, 3]), (Attempts.kill, [0, 1])])
def test_none_are_left(made: Made, end: Callable[[Attempts], None], ended: list[int]) -> None:
    made.may_end.set()
    made.make(0, 1)
    made.attempts.join()
    made.may_end.clear()
    made.make(2)
    gevent.idle()
    made.make(3)
    end(made.attempts)
    made.may_end.set()
    gevent.joinall(list(made.greenlets), timeout=10)
    assert sorted(made.ended) == ended
    assert all(greenlet.dead for greenlet in made.greenlets)
