"""The events that a node is asked for are those that the controller reads."""

from __future__ import annotations

import json
from pathlib import Path

from controller.ids import SessionIds
from controller.nodes.translate import SUBSCRIPTION, TALKING, translate
from esl.connection import Connection
from esl.emulator import Emulator
from esl.event import Event

IDS = SessionIds("acW68", b"a key of thirty-two bytes, or so")
TRACES = Path(__file__).parent.parent / "contract" / "traces"


# What no trace holds as the controller reads it.
INTRUDER = b"Event-Name: CHANNEL_CREATE\nUnique-ID: a03719bf\nCall-Direction: inbound\n"
UNRECORDED = [
    Event(INTRUDER + b"Caller-Destination-Number: 1\nvariable_sip_replaces_call_id: nobody\n\n"),
    Event(INTRUDER + b"Caller-Destination-Number: answer,park\nCaller-Dialplan: inline\n\n"),
    Event(
        b"Event-Name: CHANNEL_PROGRESS_MEDIA\nUnique-ID: a03719bf\nCall-Direction: outbound\n"
        b"variable_accountcode: switchroom\n\n"
    ),
    Event(b"Event-Name: CHANNEL_BRIDGE\nUnique-ID: a03719bf\nCall-Direction: inbound\n\n"),
    Event(b"Event-Name: BACKGROUND_JOB\nJob-UUID: p01-1-1\nJob-Command: uptime\n\n+OK"),
]
KINDS = {
    "CHANNEL_CREATE",
    "CHANNEL_BRIDGE",
    "CHANNEL_PARK",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_HANGUP_COMPLETE",
    "BACKGROUND_JOB",
    "DTMF",
    "CHANNEL_EXECUTE_COMPLETE",
    "RECORD_START",
    "RECORD_STOP",
    "start-recording",
    "pause-recording",
    "resume-recording",
    "stop-recording",
    "add-member",
    "del-member",
    "mute-member",
    "unmute-member",
    "deaf-member",
    "undeaf-member",
    "hold-member",
    "unhold-member",
    "volume-in-member",
    "volume-out-member",
    "play-file-done",
    "play-file-member-done",
    "filestring::open",
}


def recorded() -> list[Event]:
    frames = [json.loads(line) for path in sorted(TRACES.glob("*.jsonl")) for line in path.read_text().splitlines()]
    parts = [frame["raw"].partition("\n\n") for frame in frames if frame.get("dir") == "recv"]
    return [Event(body.encode()) for head, _, body in parts if "text/event-plain" in head]


def identity(event: Event) -> tuple[str, str | None, str | None]:
    return event.name, event.get("Action"), event.get("Unique-ID") or event.get("Job-UUID")


def test_every_event_that_is_read_comes() -> None:
    # But for those that are asked for only while somebody watches.
    read = [
        event for event in [*recorded(), *UNRECORDED] if translate(IDS, event) and event.get("Action") not in TALKING
    ]
    assert {event.get("Action") or event.get("Event-Subclass") or event.name for event in read} == KINDS
    node = Emulator(password="secret")
    node.start()
    came: list[Event] = []
    connection = Connection(*node.address, "secret", on_event=came.append)
    connection.connect()
    try:
        for command in SUBSCRIPTION.commands():
            assert connection.send(command).text.startswith("+OK")
        for event in read:
            headers = [(name, value) for name, value in event.headers().items() if not name.startswith("Event-")]
            node.emit(event.name, headers, subclass=event.subclass or None, body=event.body)
        connection.ping(5)
    finally:
        connection.close()
        node.stop()
    assert [identity(event) for event in came[: len(read)]] == [identity(event) for event in read]
