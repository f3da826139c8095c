"""The emulator answers every recorded conversation as the recorded node did."""

from collections.abc import Callable
from functools import cache

import pytest

from tests.contract.replay import NORMALISED, TEXTS, TRACES, Comparison, Frame, Replay, load, received_events

NAMES = sorted(path.name for path in TRACES.glob("*.jsonl"))


@cache
def replayed(name: str) -> tuple[list[str], set[str]]:
    replay = Replay(name)
    return replay.run(), replay.comparison.needed


def test_all_traces_are_there() -> None:
    assert len(NAMES) == 39


@pytest.mark.parametrize("name", NAMES)
def test_the_emulator_answers_as_the_node_did(name: str) -> None:
    differences, _ = replayed(name)
    assert differences == []


def test_nothing_is_let_through_without_need() -> None:
    needed = set().union(*(replayed(name)[1] for name in NAMES))
    assert {pattern for rule in NORMALISED for pattern in rule.names.split()} | set(TEXTS) == needed


# The comparison itself


def joined() -> Frame:
    """The `add-member` of trace 03."""
    events = received_events(load("03_join_unmute_mute_leave_rejoin.jsonl"))
    return next(step.frame for step in events if step.frame.get("Action") == "add-member")


def resized(text: str) -> Frame:
    """An event with the length that it says it has."""
    return Frame(f"Content-Length: {len(text)}\nContent-Type: text/event-plain\n\n{text}")


def swapped(text: str) -> str:
    return text.replace("Hear: true\nSee: true\n", "See: true\nHear: true\n")


def moved(text: str, seconds: int) -> str:
    stamp = joined().get("Event-Date-Timestamp") or ""
    return text.replace(stamp, str(int(stamp) + seconds * 1_000_000), 1)


CHANGES: dict[str, Callable[[str], str]] = {
    "a header less": lambda text: text.replace("Hold: false\n", ""),
    "a header more": lambda text: text.replace("Hold: false\n", "Hold: false\nHeld: false\n"),
    "two headers in another order": swapped,
    "another value": lambda text: text.replace("Speak: false", "Speak: true"),
    "another member": lambda text: text.replace("Member-ID: 1", "Member-ID: 2"),
    "another encoding": lambda text: text.replace("527121102%40", "527121102@"),
    "another time": lambda text: moved(text, 1),
    "another body": lambda text: text + "+OK\n",
    "the id of another thing": lambda text: text.replace(
        joined().get("Conference-Unique-ID") or "", joined().get("Unique-ID") or ""
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_event_is_noticed(change: str) -> None:
    expected = joined()
    assert Comparison("03").differences(expected, resized(expected.body)) == []

    changed = CHANGES[change](expected.body)

    assert changed != expected.body
    assert Comparison("03").differences(expected, resized(changed)) != []


def test_a_wrong_length_is_noticed() -> None:
    expected = joined()
    assert Comparison("03").differences(expected, Frame(expected.raw + "\n")) != []


def test_a_changed_reply_is_noticed() -> None:
    expected = Frame("Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
    assert Comparison("01").differences(expected, expected) == []
    assert Comparison("01").differences(expected, Frame(expected.raw.replace("+OK", "-ERR"))) != []


def test_an_event_that_never_comes_and_one_too_many_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "02_inbound_sip_call.jsonl"
    steps = load(name)
    parked = next(step for step in received_events(steps) if step.frame.get("Event-Name") == "CHANNEL_PARK")

    without = [step for step in steps if step is not parked]
    monkeypatch.setattr("tests.contract.replay.load", lambda _name: without)
    monkeypatch.setattr("tests.contract.replay.PATIENCE", 0.2)
    monkeypatch.setattr("tests.contract.replay.acknowledged", lambda _parked: "later")
    monkeypatch.setattr("tests.contract.replay.parking", lambda events: parked.frame)
    assert any("CHANNEL_PARK" in difference or "beyond" in difference for difference in Replay(name).run())

    twice = [again for step in steps for again in ([step, step] if step is parked else [step])]
    monkeypatch.setattr("tests.contract.replay.load", lambda _name: twice)
    assert Replay(name).run() != []
