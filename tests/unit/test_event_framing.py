import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esl.errors import ProtocolError
from esl.event import Event
from esl.framing import MAX_BODY, MAX_HEAD, Frame, FrameParser
from tests.unit import readers
from tests.unit.fakenode import inner, received


@pytest.fixture(autouse=True, scope="module", params=readers.BOTH)
def reader(request):
    with pytest.MonkeyPatch.context() as patch:
        for name in ("Event", "Frame", "FrameParser"):
            patch.setattr(f"{__name__}.{name}", getattr(request.param, name))
        yield


STREAM = b"".join(received("*.jsonl"))


def told(frames: list[Frame | Event]) -> list[tuple[str, bytes, bytes]]:
    """What can be told apart of frames: type, head as `repr` shows it, body."""
    return [
        ("text/event-plain", b"", frame.raw)
        if isinstance(frame, Event)
        else (frame.content_type, repr(frame).encode(), frame.body)
        for frame in frames
    ]


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The data in pieces of these sizes, over and over."""
    pieces, at, turn = [], 0, 0
    while at < len(data):
        pieces.append(data[at : at + sizes[turn % len(sizes)]])
        at += len(pieces[-1])
        turn += 1
    return pieces


def parse(pieces: list[bytes]) -> list[Frame | Event]:
    parser = FrameParser()
    return [frame for piece in pieces for frame in parser.feed(piece)]


WHOLE = told(parse([STREAM]))


def test_the_recorded_streams():
    frames = received("*.jsonl")
    assert len(WHOLE) == len(frames)
    for raw, (content_type, _, body) in zip(frames, WHOLE, strict=True):
        head, _, rest = raw.partition(b"\n\n")
        assert body == rest
        assert f"Content-Type: {content_type}" in head.decode().split("\n")


def test_events_come_out_as_events():
    frames = received("*.jsonl")
    events = [frame for frame in parse([STREAM]) if isinstance(frame, Event)]
    assert [frame.raw for frame in events] == [
        inner(raw) for raw in frames if b"Content-Type: text/event-plain" in raw.partition(b"\n\n")[0]
    ]
    assert {event.name for event in events} > {"CUSTOM", "BACKGROUND_JOB", "CHANNEL_PARK"}
    for event in events:
        assert event.headers() == Event(event.raw).headers()
        assert event.is_job_result == (event.name == "BACKGROUND_JOB")


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 4096])
def test_the_cuts_do_not_matter(size):
    assert told(parse(cut(STREAM, [size]))) == WHOLE


@settings(deadline=None, max_examples=30)  # the whole of the traces each time
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=20))
def test_random_cuts_do_not_matter(sizes):
    assert told(parse(cut(STREAM, sizes))) == WHOLE


def test_a_reply():
    (frame,) = parse([b"Content-Type: command/reply\nReply-Text: +OK Job-UUID: 7a3a\nJob-UUID: 7a3a\n\n"])
    assert frame.content_type == "command/reply"
    assert frame.text == "+OK Job-UUID: 7a3a"
    assert frame.get("Job-UUID") == "7a3a"
    assert frame.get("Job") == ""
    assert frame.body == b""


def test_line_breaks_of_other_kinds():
    frames = parse([b"\n\r\nContent-Type: api/response\r\nContent-Length: 3\r\n\r\na\nb\n\nContent-Type: x\n\n"])
    assert [(frame.content_type, frame.body) for frame in frames] == [("api/response", b"a\nb"), ("x", b"")]
    assert frames[0].get("Content-Type") == "api/response"


def test_a_body_may_look_like_a_frame():
    inside = b"Content-Type: api/response\nContent-Length: 9999\n\n"
    frames = parse([b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(inside), inside)] * 2)
    assert [frame.body for frame in frames] == [inside, inside]


@pytest.mark.parametrize(
    "head",
    [
        "Content-Type: x\nContent-Length: -1",
        "Content-Type: x\nContent-Length: +1",
        "Content-Type: x\nContent-Length: 1_0",
        "Content-Type: x\nContent-Length: 0x10",
        "Content-Type: x\nContent-Length: ",
        "Content-Type: x\nContent-Length: ²",
        "Content-Type: x\nContent-Length: 1 2",
        f"Content-Type: x\nContent-Length: {MAX_BODY + 1}",
        "Content-Type: x\nContent-Length: " + "9" * 6000,
        "Content-Length: 3\nContent-Type: x\nContent-Length: 3",
        "Content-Length: 3",
        "Content-Type: x\nno colon",
    ],
)
def test_a_broken_head(head):
    parser = FrameParser()
    with pytest.raises(ProtocolError):
        parser.feed(head.encode() + b"\n\n")
    with pytest.raises(ProtocolError):  # and there is no way back
        parser.feed(b"Content-Type: auth/request\n\n")


def test_the_largest_body_is_taken():
    parser = FrameParser()
    assert parser.feed(b"Content-Type: api/response\nContent-Length: %d\n\n" % MAX_BODY) == []
    assert parser.feed(bytes(MAX_BODY - 1)) == []
    (frame,) = parser.feed(b"\0")
    assert len(frame.body) == MAX_BODY


@pytest.mark.parametrize("ended", [True, False])
def test_a_head_has_a_limit(ended):
    head = b"Content-Type: x\nA: "
    long = head + b"a" * (MAX_HEAD - len(head))
    (frame,) = parse([long + b"\n\n"])
    assert len(frame.get("A")) > MAX_HEAD - 100
    with pytest.raises(ProtocolError):
        parse([long + (b"a\n\n" if ended else b"aaaa")])


def test_a_head_that_never_ends_is_not_kept():
    parser = FrameParser()
    for _ in range(MAX_HEAD):
        assert parser.feed(b"a") == []
    with pytest.raises(ProtocolError):
        parser.feed(b"a")


def test_a_dripping_body_takes_linear_time():
    """Copying or scanning what is there for each piece would move 500 GB here, and meet the test's time limit."""
    size, piece = 16 * 1024 * 1024, bytes(256)
    parser = FrameParser()
    parser.feed(b"Content-Type: api/response\nContent-Length: %d\n\n" % size)
    frames = [frame for _ in range(size // len(piece)) for frame in parser.feed(piece)]
    assert [len(frame.body) for frame in frames] == [size]


def test_a_long_head_is_not_read_again_while_its_body_drips():
    """Reading its lines for each byte of the body would take minutes, and meet the test's time limit."""
    size = 100_000
    head = b"Content-Type: api/response\n" + b"X:\n" * 20_000 + b"Content-Length: %d\n\n" % size
    (frame,) = parse([head] + [b"b"] * size)
    assert frame.body == b"b" * size


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_frames_or_an_error(pieces):
    try:
        frames = parse(pieces)
    except ProtocolError:
        return
    assert all(isinstance(frame, Frame | Event) for frame in frames)


PARTS = st.sampled_from(
    [
        b"Content-Length: ",
        b"Content-Type: ",
        b"text/event-plain",
        b"x",
        b"3",
        b"0",
        b"-1",
        b":",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"abc",
    ]
)


@settings(deadline=None)
@given(st.lists(PARTS, max_size=30), st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_almost_frames_come_out_the_same_however_cut(parts, sizes):
    data = b"".join(parts)

    def outcome(pieces: list[bytes]) -> list[tuple[str, bytes, bytes]] | None:
        try:
            return told(parse(pieces))
        except ProtocolError:
            return None

    assert outcome(cut(data, sizes)) == outcome([data])


def test_an_event_s_headers_may_come_in_another_order():
    usual = re.compile(rb"(Content-Length: \d+\n)(Content-Type: text/event-plain\n)\n")
    turned = [usual.sub(rb"\2\1\n", frame, count=1) for frame in received("*.jsonl")]
    assert b"".join(turned) != STREAM
    assert told(parse(turned)) == WHOLE
