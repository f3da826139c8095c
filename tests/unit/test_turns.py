"""Apps take turns, within limits in all and for each."""

from __future__ import annotations

from collections import Counter

import gevent
import pytest
from gevent.event import Event as Flag
from hypothesis import given
from hypothesis import strategies as st

from controller.turns import Turns


class Work:
    """Greenlets that each take a turn and keep it until they are let go."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.started: list[str] = []
        self.running: dict[str, list[Flag]] = {}

    def ask(self, *apps: str) -> list[gevent.Greenlet]:
        asked = [gevent.spawn(self._work, app) for app in apps]
        gevent.idle()
        return asked

    def end(self, app: str) -> None:
        self.running[app].pop(0).set()
        gevent.idle()

    @property
    def count(self) -> dict[str, int]:
        return {app: len(flags) for app, flags in self.running.items() if flags}

    def _work(self, app: str) -> None:
        with self.turns.turn(app):
            self.started.append(app)
            flag = Flag()
            self.running.setdefault(app, []).append(flag)
            flag.wait()


def test_an_app_has_no_more_than_its_share() -> None:
    work = Work(Turns(total=10, per_app=2))
    work.ask(*"aaaab")
    assert work.count == {"a": 2, "b": 1}
    work.end("a")
    assert work.count == {"a": 2, "b": 1}


def test_there_are_no_more_than_in_all_and_apps_take_turns() -> None:
    work = Work(Turns(total=2, per_app=2))
    work.ask(*"aaaaaabbc")
    assert work.count == {"a": 2}
    for app in "aaabcab":
        work.end(app)
        assert sum(work.count.values()) == 2
    assert work.started == list("aaabcabaa")


def test_who_gives_up_waiting_takes_no_turn() -> None:
    work = Work(Turns(total=1, per_app=1))
    _, second, _ = work.ask(*"aab")
    second.kill()
    work.end("a")
    assert work.count == {"b": 1}
    work.end("b")
    work.ask("a")
    assert work.count == {"a": 1}


def test_a_turn_that_came_too_late_is_passed_on() -> None:
    work = Work(Turns(total=1, per_app=1))
    _, second, _ = work.ask(*"abc")
    work.running["a"].pop().set()
    second.kill(block=False)  # both in the same turn of the event loop
    gevent.idle()
    gevent.idle()
    assert work.count == {"c": 1}


def test_a_turn_ends_with_an_error_too() -> None:
    turns = Turns(total=1, per_app=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn("a"):
            raise ZeroDivisionError


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60))
def test_turns_are_never_lost_and_never_left_unused(steps: list[tuple[str, bool]]) -> None:
    total, per_app = 4, 2
    work = Work(Turns(total, per_app))
    asked: Counter[str] = Counter()  # and not ended yet
    total_asked: Counter[str] = Counter()
    for app, ends in steps:
        if ends and work.count.get(app):
            work.end(app)
            asked[app] -= 1
        else:
            work.ask(app)
            asked[app] += 1
            total_asked[app] += 1
        could = sum(min(count, per_app) for count in asked.values())
        assert sum(work.count.values()) == min(total, could)
        assert all(count <= per_app for count in work.count.values())
    while work.count:
        work.end(next(iter(work.count)))
    assert Counter(work.started) == total_asked
