"""A controller in memory, for tests of the REST API: says what it is told to, keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from controller import commands
from controller.commands import Command
from controller.errors import OverRate, Refused
from controller.idempotency import Once
from controller.limits import Admission, Budget
from controller.live import Filter, Item, LiveEvent, Notice
from controller.recordings.places import NotReachable
from web.app import App, create_app
from web.context import Console

APP = "demo"
OTHER_APP = "other"
KEY = "key-of-demo"
OTHER_KEY = "key-of-other"
HEADERS = {"X-App-ID": APP, "X-API-Key": KEY}
OTHER_HEADERS = {"X-App-ID": OTHER_APP, "X-API-Key": OTHER_KEY}

ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440000"
FOREIGN_ROOM = "acW68-room-550e8400-e29b-41d4-a716-44665544ffff"
MISSING_ROOM = "acW68-room-00000000-0000-4000-8000-000000000000"
SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09"
FOREIGN_SESSION = "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1aff"
MISSING_SESSION = "acW68-00000000-0000-0000-0000-000000000000"
WEBHOOK = "msg_p07-1795374235886-0"
FOREIGN_WEBHOOK = "msg_p09-1795374235886-0"
RECORDING = "0f8fad5bd9cb469fa16570867728950e"
FOREIGN_RECORDING = "0f8fad5bd9cb469fa165708677289500"
EVENT = "p07-1795374235886-3"
OPERATION = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"
PLAYING = {"operation_id": OPERATION, "urls": ["https://cdn.example.com/hello.wav"], "index": 0}

RECORDED = b"RIFF" + bytes(100)
CREATED_AT = 1778070896  # 2026-05-06T12:34:56Z
OPTIONS = {
    "max_members": 5,
    "locked": True,
    "end_when_empty": 600,
    "max_duration": None,
    "tags": ["support"],
    "end_on_exit": "moderator",
    "wait_for_moderator": False,
    "hold_music": None,
    "beep_enter": None,
    "beep_exit": None,
    "record": False,
    "speaker_events": False,
}
CREATED_MS = CREATED_AT * 1000 + 789


@dataclass(frozen=True)
class FakeApp:
    id: str


class FakeController:
    """Knows two apps, ROOM, SESSION and WEBHOOK of one, FOREIGN_ROOM and so on of the other.

    `refusal` or `failure`, when set, is raised in place of an answer; `answers` replaces the usual ones.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.keys = {APP: KEY, OTHER_APP: OTHER_KEY}
        self.asked: list[Command] = []
        self.authenticated: list[tuple[str, str]] = []
        self.admitted: list[str] = []
        self.refusal: Refused | None = None
        self.failure: Exception | None = None
        self.authentication_failure: Exception | None = None
        self.over_rate: OverRate | None = None
        self.budget = Budget(limit=100, remaining=99, reset_ms=10)
        self.answers: dict[type[Command], dict[str, Any]] = {}
        self.healthy: dict[str, Any] = {"store": True, "nodes": {"acW68": True, "bQ123": False}}

    def authenticate(self, app_id: str, api_key: str) -> FakeApp | None:
        self.authenticated.append((app_id, api_key))
        if self.authentication_failure:
            raise self.authentication_failure
        return FakeApp(app_id) if self.keys.get(app_id) == api_key else None

    def admit(self, admission: Admission) -> None:
        self.admitted.append(admission.app_id)
        if self.over_rate:
            raise self.over_rate
        admission.budget = self.budget

    def admit_each(self, app_id: str, count: int) -> list[Budget | OverRate]:
        self.admitted += [app_id] * count
        return [self.over_rate or self.budget] * count

    def execute(self, command: Command, admission: Admission | None = None) -> dict[str, Any]:
        if admission:
            self.admit(admission)
        self.asked.append(command)
        self._find(command)
        if self.failure:
            raise self.failure
        if self.refusal:
            raise self.refusal
        return self.answers.get(type(command)) or usual_answer(command)

    def carry_out_once(
        self, _app_id: str, _once: Once, _verb: str, _hold_ms: int, work: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        return work()

    def health(self) -> dict[str, Any]:
        return self.healthy

    @staticmethod
    def _find(command: Command) -> None:
        webhook = WEBHOOK if command.app_id == APP else FOREIGN_WEBHOOK
        if getattr(command, "webhook_id", webhook) != webhook:
            raise Refused("webhook_not_found")
        recording = RECORDING if command.app_id == APP else FOREIGN_RECORDING
        if getattr(command, "recording_id", recording) != recording:
            raise Refused("recording_not_found")
        named = (("session", SESSION, FOREIGN_SESSION), ("room", ROOM, FOREIGN_ROOM))
        for kind, own, foreign in named:
            mine, others = (own, foreign) if command.app_id == APP else (foreign, own)
            given = getattr(command, f"{kind}_id", mine)
            if given is None:
                continue
            if given == others:
                raise Refused(f"{kind}_forbidden")
            if given != mine:
                raise Refused(f"{kind}_not_found")


class FakeSubscription:
    """Gives its batches and ends."""

    id = EVENT

    def __init__(self, batches: list[list[Item]]) -> None:
        self.is_closed = False
        self._batches = batches

    def batches(self) -> Iterator[list[Item]]:
        yield from self._batches

    def passed(self, event: LiveEvent) -> str:
        return event.id

    def body_of(self, item: Item) -> bytes:
        return item.body

    def end(self) -> None:
        self._batches = []

    def close(self) -> None:
        self.is_closed = True


class FakeStreams:
    """Streams that give what they are told to. `failure`, when set, is raised in place of one."""

    def __init__(self) -> None:
        self.asked: list[tuple[str | None, Filter, str]] = []
        self.opened: list[FakeSubscription] = []
        self.batches: list[list[Item]] = [[Notice("webhook.test", {"app_id": APP})]]
        self.failure: Exception | None = None

    def open(
        self, app_id: str | None, wanted: Filter, last_event_id: str, cut_off: Callable[[], None]
    ) -> FakeSubscription:
        self.asked.append((app_id, wanted, last_event_id))
        if self.failure:
            raise self.failure
        self.opened.append(FakeSubscription(self.batches))
        return self.opened[-1]


MEMBER = (
    "session_id",
    "node",
    "did",
    "caller_id",
    "muted",
    "deaf",
    "hold",
    "volume_in",
    "volume_out",
    "role",
    "tags",
    "end_on_exit",
    "recording",
    "waiting",
    "coaching",
    "speaking",
    "joined_at",
)


def usual_answer(command: Command) -> dict[str, Any]:
    room_id = getattr(command, "room_id", ROOM)
    session = {
        "session_id": SESSION,
        "node": "acW68",
        "did": "747713001",
        "caller_id": "527121102",
        "direction": "inbound",
        "state": "joined",
        "room_id": ROOM,
        "member_id": 7,
        "muted": True,
        "deaf": False,
        "hold": False,
        "volume_in": 2,
        "volume_out": 0,
        "role": "participant",
        "tags": ["agent"],
        "end_on_exit": False,
        "recording": {"recording_id": RECORDING, "state": "paused"},
        "waiting": False,
        "coaching": None,
        "speaking": True,
        "joined_at": CREATED_AT,
        "transferred_to": None,
        "started_at": CREATED_AT,
    }
    member = {name: session[name] for name in MEMBER}
    room = {"room_id": room_id, "name": "weekly-standup", "created_at": CREATED_AT, "members": 1, "recording": None}
    nodes = [{"prefix": "acW68", "members": 1, "bridge": "source"}]
    after = getattr(command, "after", 0)
    endpoint = {
        "url": getattr(command, "url", "https://app.example.com/hooks"),
        "types": list(getattr(command, "types", ("*",))),
        "status": "failing",
        "since": CREATED_MS,
        "reason": "it answered 500",
        "old_secret_until": None,
    }
    outcome = {"status": 500, "error": None, "latency_ms": 42, "answer": "oops"}
    tried = {"number": 1, "at": CREATED_MS, **outcome}
    delivery = {
        "webhook_id": getattr(command, "webhook_id", WEBHOOK),
        "type": "conference.created",
        "room_id": ROOM,
        "session_id": "",
        "at": CREATED_MS,
        "status": "retrying",
        "attempts": 1,
        "next": CREATED_MS + 5000,
    }
    recording = {
        "recording_id": RECORDING,
        "room_id": ROOM,
        "state": "available",
        "channels": 1,
        "created_at": CREATED_AT,
        "started_at": CREATED_MS,
        "ended_at": CREATED_MS + 1000,
        "reason": "asked",
        "length_ms": 1000,
        "size": len(RECORDED),
        "uploaded": False,
        "expires_at": CREATED_MS + 259_200_000,
        "holder": "here",
    }
    answers: dict[type[Command], dict[str, Any]] = {
        commands.CreateRoom: {"room_id": ROOM},
        commands.ChangeRoom: {"room_id": room_id, **OPTIONS},
        commands.DeleteRoom: {"room_id": room_id},
        commands.Play: {"operation_id": OPERATION, "status": "in_progress"},
        commands.TogglePause: {"operation_id": OPERATION, "status": "paused"},
        commands.StopPlayback: {"operation_id": "", "status": "stopped"},
        commands.KickAll: {"operation_id": OPERATION, "status": "in_progress"},
        commands.SetFlagOfAll: {"operation_id": OPERATION, "status": "in_progress"},
        commands.SetVolume: {"operation_id": OPERATION, "status": "volume_changed", "volume": 2},
        commands.Dial: {"status": "dialing", "session_id": SESSION},
        commands.HangUp: {"status": "hanging_up"},
        commands.Transfer: {"status": "transferring"},
        commands.SendDtmf: {"status": "sending"},
        commands.CollectDigits: {"status": "collecting"},
        commands.PlayToSession: {"operation_id": OPERATION, "status": "in_progress"},
        commands.StopSessionPlay: {"operation_id": "", "status": "stopped"},
        commands.Join: {"status": "joining", "room_id": room_id},
        commands.Leave: {"status": "leaving", "room_id": ROOM},
        commands.ChangeMember: {"status": "changing", "room_id": room_id, "changing": ["muted", "volume_in"]},
        commands.Hold: {"status": "held", "room_id": ROOM},
        commands.Coach: {"status": "coaching", "room_id": ROOM},
        commands.Uncoach: {"status": "uncoached", "room_id": ROOM},
        commands.SetLevel: {"status": "volume_changed", "room_id": ROOM},
        commands.Kick: {"status": "leaving", "room_id": ROOM},
        commands.SetFlag: {"status": _done(command), "room_id": ROOM},
        commands.GetRoom: {
            **room,
            **OPTIONS,
            "started_at": CREATED_AT,
            "duration": 60,
            "peak_members": 2,
            "begun": True,
            "nodes": nodes,
            "playback_status": "stopped",
            "playback_volume": 0,
            "playback_urls": [],
            "playback_operation_id": "",
            "playback_queue": [],
            "playing": None,
        },
        commands.ListRooms: {"rows": [{**room, "tags": ["support"]}], "cursor": after + 1},
        commands.ListMembers: {"rows": [member], "cursor": after + 1},
        commands.GetSession: {**session, "playing": PLAYING},
        commands.ListSessions: {"rows": [session], "cursor": after + 1},
        commands.RecordRoom: {"recording_id": RECORDING, "status": "starting"},
        commands.RecordSession: {"recording_id": RECORDING, "status": "starting"},
        commands.ControlRecording: {"recording_id": RECORDING, "status": "paused"},
        commands.GetRecording: recording,
        commands.ListRecordings: {"rows": [recording], "cursor": after + 1},
        commands.DeleteRecording: {"recording_id": RECORDING},
        commands.GetEndpoint: endpoint,
        commands.SetEndpoint: endpoint,
        commands.RotateSecret: {"secret": "whsec_AAEC", "old_secret_until": CREATED_MS},
        commands.SendTest: {**outcome, "webhook_id": "msg_test-p07-1795374235886-0", "delivered": False},
        commands.ListDeliveries: {"rows": [delivery], "cursor": after + 1},
        commands.GetDelivery: {**delivery, "data": {"sequence": 1}, "tried": [tried]},
        commands.Redeliver: {"webhook_id": delivery["webhook_id"], "status": "retrying"},
        commands.RedeliverRange: {"webhooks": 3},
    }
    return answers[type(command)]


def _done(command: Command[Any]) -> str:
    return command.flag.change(command.on).done if isinstance(command, commands.SetFlag) else ""


class FakeRecordings:
    """Has one file, unless that `is_away`."""

    is_away = False

    def fetch(self, app_id: str, recording_id: str, holder: str, first: int, size: int) -> Iterator[bytes]:
        if self.is_away:
            raise NotReachable
        return iter([RECORDED[first : first + size]])


class FakeLogins:
    """Makes links that nobody can open."""

    def portal_link(self, app_id: str, role: str, seconds: int, actor: str) -> str:
        return "Zk3vXwq0mS4r8Yb1cP6tLhNfJdUaEgRo2iVx5yWzQ7s"


class FakeOverview:
    """Knows nothing."""


class FakeStatistics:
    """Has counted nothing."""


class FakeSpeaking:
    """Nobody speaks."""


def whole_app(controller: FakeController) -> App:
    """With all there is, so that its document has it, too."""
    console = Console(FakeLogins(), FakeOverview(), FakeStatistics(), FakeSpeaking())
    return create_app(controller, FakeStreams(), console=console, files=FakeRecordings())
