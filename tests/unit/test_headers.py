"""`esl.headers` in Python and in C: whatever comes, and whatever is asked, both answer the same."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.fuzz_esl import mutate
from tests.unit.fakenode import received, recorded_events
from tests.unit.readers import BOTH, IN_C, IN_PYTHON, needs_c

EVENTS = sorted(recorded_events(), key=len)[::8]
FRAMES = sorted((raw for raw in received("*.jsonl") if b"text/event-plain" in raw), key=len)[::8]
NAMES = st.text("AB: %\n\ud800é", max_size=4)


def names_in(data: bytes) -> set[str]:
    """What it may call its headers, or seem to."""
    return {match.decode("utf-8", "surrogateescape") for match in re.findall(rb"(?:^|\n)([^\n]*?):", data)}


def answers(reader, data: bytes, names: set[str]) -> list[object]:
    event = reader.Event(data)
    found = [event.get(name) for name in sorted(names)]
    return [found, event.raw, event.body, event.headers(), event.is_job_result, repr(event)]


def taken(reader, data: bytes, start: int) -> tuple[int, list[bytes]]:
    found: list[object] = []
    return reader.Event.take(data, start, found), [event.raw for event in found]


@needs_c
@settings(deadline=None)
@given(st.binary() | st.text("AB: %2é\n", max_size=60).map(str.encode), st.sets(NAMES, max_size=3), st.integers(0, 60))
def test_any_bytes_are_read_the_same(data, names, ahead):
    names |= names_in(data)
    if ahead:  # in Python, what is in front is searched in another way
        data = b"C: %b\n%b" % (b"c" * (IN_PYTHON._FRONT - ahead), data)
    assert answers(IN_C, data, names) == answers(IN_PYTHON, data, names)


@needs_c
@settings(deadline=None)
@given(st.sampled_from(EVENTS), st.randoms(use_true_random=False), st.sets(NAMES, max_size=3))
def test_broken_events_are_read_the_same(data, random, names):
    data = mutate(data, random)
    names |= names_in(data)
    assert answers(IN_C, data, names) == answers(IN_PYTHON, data, names)


@needs_c
@settings(deadline=None)
@given(st.lists(st.sampled_from(FRAMES), max_size=4), st.randoms(use_true_random=False), st.booleans())
def test_broken_frames_are_taken_the_same(frames, random, broken):
    data = b"".join(frames)
    if broken:
        data = mutate(data, random)
    for start in (-len(data) - 1, -1, 0, random.randrange(len(data) + 1), len(data), len(data) + 1):
        assert taken(IN_C, bytearray(data), start) == taken(IN_PYTHON, data, start)


@pytest.mark.parametrize("reader", BOTH)
@pytest.mark.parametrize(
    ("length", "is_taken"),
    [
        ("3", True),
        ("0000003", True),
        ("00000003", False),
        ("4", False),
        ("", False),
        ("-3", False),
        ("9999999", False),
        ("²", False),
    ],
)
def test_what_is_taken(reader, length, is_taken):
    frame = f"Content-Length: {length}\nContent-Type: text/event-plain\n\nA:1".encode()
    assert taken(reader, frame, 0) == ((len(frame), [b"A:1"]) if is_taken else (0, []))
    if is_taken:
        assert taken(reader, frame + frame[:-1], 0) == (len(frame), [b"A:1"])
    assert taken(reader, frame, 1) == (1, [])


@pytest.mark.parametrize("reader", BOTH)
def test_a_wrong_call_is_a_type_error(reader):
    event = reader.Event(b"A: 1\n\n")
    for arguments in ((), (8,), (None,), (b"A",), ("A", "", "")):
        with pytest.raises(TypeError):
            event.get(*arguments)
    for data in ("A: 1", None, 8):
        with pytest.raises(TypeError):
            reader.Event(data)
    with pytest.raises(TypeError):
        reader.Event()


def test_python_alone_can_be_chosen():
    assert IN_PYTHON.Event.__base__.__module__ == "esl.headers"
