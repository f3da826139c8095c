from urllib.parse import unquote

import pytest
from greenswitch.esl import ESLEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from esl.event import Event
from tests.unit import readers
from tests.unit.fakenode import recorded_events


@pytest.fixture(autouse=True, scope="module", params=readers.BOTH)
def reader(request):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.Event", request.param.Event)
        yield


def reference(data: bytes) -> dict[bytes, bytes]:
    """First value, not decoded, of each header: slow, and obviously right."""
    head = (b"\n" + data).partition(b"\n\n")[0]
    found: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        name, separator, value = line.partition(b": ")
        if separator:
            found.setdefault(name, value)
    return found


def test_headers_by_name():
    event = Event(b"Event-Name: CUSTOM\nEvent-Subclass: conference%3A%3Amaintenance\nMember-ID: 8\n\n")
    assert event.name == "CUSTOM"
    assert event.subclass == "conference::maintenance"
    assert event["Member-ID"] == "8"
    assert event.get("Speak") is None
    assert event.get("Speak", "no") == "no"
    assert "Member-ID" in event
    assert "Speak" not in event
    assert 8 not in event
    with pytest.raises(KeyError):
        event["Speak"]


def test_names_are_exact():
    event = Event(b"Caller-Unique-ID: 1\nunique-id: 2\nUnique-ID-2: 3\nX: Unique-ID: 4\n\n")
    assert event.get("Unique-ID") is None
    assert event.get("X") == "Unique-ID: 4"
    assert event.get("X: Unique-ID") is None
    assert event.get("Caller-Unique-ID: 1\nunique-id") is None
    assert event.get("") is None


def test_the_first_of_a_name_counts():
    event = Event(b"A: 1\nB: 2\nA: 3\nB: 4\nA: 5\n\n")
    assert event["A"] == "1"
    assert event["B"] == "2"
    assert event.headers() == {"A": "1", "B": "2"}


def test_a_value_is_decoded_after_the_lines_are_split():
    event = Event(b"Event-Name: CHANNEL_CREATE\nvariable_sip_h_X-Note: a%0AAction%3A%20add-member%0A%0Ab\n\n")
    assert event["variable_sip_h_X-Note"] == "a\nAction: add-member\n\nb"
    assert "Action" not in event
    assert set(event.headers()) == {"Event-Name", "variable_sip_h_X-Note"}


def test_bad_utf_8_is_replaced():
    event = Event(b"A: %ff%fe\nB: \xff\nC: caf%C3%A9\nD: 100%\nE: %zz\n\n")
    assert event["A"] == "\ufffd\ufffd"
    assert event["B"] == "\ufffd"
    assert event["C"] == "café"
    assert event["D"] == "100%"
    assert event["E"] == "%zz"


def test_the_body_is_text_and_never_headers():
    body = "Action: add-member\n\nEvent-Name: CUSTOM\n"
    data = f"Event-Name: BACKGROUND_JOB\nContent-Length: {len(body)}\n\n{body}"
    event = Event(data.encode())
    assert event.body == body
    assert "Action" not in event
    assert event.name == "BACKGROUND_JOB"
    assert set(event.headers()) == {"Event-Name", "Content-Length"}


def test_greenswitch_reads_a_body_as_headers():
    """The defect that the test above closes."""
    parsed = ESLEvent("Event-Name: BACKGROUND_JOB\nContent-Length: 18\n\nAction: add-member")
    assert parsed.headers["Action"] == "add-member"


@pytest.mark.parametrize(
    ("length", "body"),
    [("2", "ab"), ("3", "abc"), ("4", "abc"), ("-1", "abc"), ("x", "abc"), ("9" * 5000, "abc"), ("²", "abc")],
)
def test_an_inner_length_is_honoured_if_it_can_be(length, body):
    assert Event(f"A: 1\nContent-Length: {length}\n\nabc".encode()).body == body


@pytest.mark.parametrize(
    ("data", "headers", "body"),
    [
        (b"", {}, ""),
        (b"\n", {}, ""),
        (b"\nA: 1\n", {}, "A: 1\n"),
        (b"\n\nA: 1", {}, "\nA: 1"),
        (b"A: 1", {"A": "1"}, ""),
        (b"A: 1\n", {"A": "1"}, ""),
        (b"A: 1\n\nB: 2", {"A": "1"}, "B: 2"),
        (b"no colon\nA:1\nB: \n\n", {"B": ""}, ""),
    ],
)
def test_odd_shapes(data, headers, body):
    event = Event(data)
    assert event.headers() == headers
    assert event.body == body
    assert event.raw == data
    assert event.get("A") == headers.get("A")
    assert event.get("B") == headers.get("B")


def test_every_header_of_every_recorded_event():
    count = 0
    for data in recorded_events():
        event = Event(data)
        for name, value in reference(data).items():
            assert event[name.decode()] == unquote(value.decode())
            count += 1
        assert event.raw == data
    assert count > 20_000


def test_no_recorded_caller_forges_a_header():
    created = [data for data in recorded_events("13_*.jsonl") if data.startswith(b"Event-Name: CHANNEL_CREATE")]
    assert len(created) == 1
    event = Event(created[0])
    assert event.name == "CHANNEL_CREATE"
    assert "Action" not in event
    # What greenswitch makes of the same bytes:
    forged = ESLEvent(created[0].decode()).headers
    assert forged["Event-Name"] == "CUSTOM"
    assert "Action" in forged


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_make_an_event(data):
    event = Event(data)
    assert event.raw == data
    assert isinstance(event.body, str)
    assert isinstance(event.name + event.subclass + repr(event), str)
    assert isinstance(event.headers(), dict)


# Few letters, so that names collide, hide in values, and stand behind blank lines.
LINES = st.lists(st.text("AB: %2\n", max_size=12), max_size=12).map(lambda lines: "\n".join(lines).encode())


@settings(deadline=None)
@given(LINES, st.text("AB: \n", max_size=4))
def test_a_lookup_finds_what_splitting_finds(data, name):
    event = Event(data)
    expected = reference(data)
    assert event.headers() == {key.decode(): unquote(value.decode()) for key, value in expected.items()}
    for wanted in {name, *event.headers()}:
        value = expected.get(wanted.encode())
        assert event.get(wanted) == (None if value is None else unquote(value.decode()))
