"""Every endpoint of the REST API: what it asks of the controller, and how it answers each outcome."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from controller import commands
from controller.commands import Command
from controller.errors import REASONS, OverRate, Refused, StoreUnavailable
from controller.limits import Budget
from controller.sessions.flags import CHANGES, HOLD
from controller.sessions.levels import LEVELS
from esl.commands import clean_url
from tests.unit.web_fakes import (
    APP,
    CREATED_AT,
    CREATED_MS,
    FOREIGN_RECORDING,
    FOREIGN_ROOM,
    FOREIGN_SESSION,
    FOREIGN_WEBHOOK,
    HEADERS,
    KEY,
    MISSING_ROOM,
    MISSING_SESSION,
    OPERATION,
    OPTIONS,
    OTHER_HEADERS,
    PLAYING,
    RECORDED,
    RECORDING,
    ROOM,
    SESSION,
    WEBHOOK,
    FakeController,
    FakeStreams,
)
from web import context, errors
from web.app import App, create_app
from web.clients import FREE
from web.resource import MAX_VALUES

ROOMS = "/api/v1/conferences"
SESSIONS = "/api/v1/sessions"
WEBHOOKS = "/api/v1/webhooks"
RECORDINGS = "/api/v1/recordings"
MALFORMED_ROOM = "acW68-room-550e8400"
ISO = "2026-05-06T12:34:56Z"
NO_ROOM_ID = f"must be the id of a room, such as {ROOM}"
NO_CURSOR = {
    "fields": [
        {"field": "cursor", "problem": "must be the cursor of the page before, asked for with the same parameters"}
    ]
}


_controller = FakeController()
_app = create_app(_controller, FakeStreams())


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """`path` has `{room}`, `{session}`, `{recording}` or `{webhook}` where an id goes; `command` is what a good request asks."""

    method: str
    path: str
    status: int
    answer: dict[str, Any]
    command: Command
    body: dict[str, Any] | None = None
    may_lack_body: bool = False
    bad_bodies: list[dict[str, Any]] = field(default_factory=list)
    cursor: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path}".replace("/api/v1", "")

    @property
    def operation(self) -> str:
        """The name of the view."""
        rule = re.sub(r"\{(\w+)\}", "<x>", self.path)
        (found,) = (
            each.endpoint.rpartition(".")[2]
            for each in _app.url_map.iter_rules()
            if re.sub(r"<\w+>", "<x>", each.rule) == rule and self.method in (each.methods or ())
        )
        return found

    def ask(
        self,
        client: FlaskClient,
        *,
        room: str = ROOM,
        session: str = SESSION,
        recording: str = RECORDING,
        webhook: str = WEBHOOK,
        headers: dict[str, str] | None = None,
        **options: Any,
    ) -> TestResponse:
        if "data" not in options:
            body = options.pop("json", self.body)
            if body is not None:
                options |= {"data": json.dumps(body), "content_type": "application/json"}
        path = self.path.format(room=room, session=session, recording=recording, webhook=webhook)
        return client.open(path, method=self.method, headers=HEADERS if headers is None else headers, **options)

    @property
    def takes_room(self) -> bool:
        return "{room}" in self.path

    @property
    def takes_session(self) -> bool:
        return "{session}" in self.path

    @property
    def takes_webhook(self) -> bool:
        return "{webhook}" in self.path


BY_APP = {"app_id": APP}
IN_ROOM = {**BY_APP, "room_id": ROOM}
BY_SESSION = {**BY_APP, "session_id": SESSION}
MEMBER = {
    "uuid": SESSION,
    "node": "acW68",
    "did": "747713001",
    "caller_id": "527121102",
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
    "joined_at": ISO,
}
SESSION_ANSWER = {
    **MEMBER,
    "direction": "inbound",
    "state": "joined",
    "room_id": ROOM,
    "member_id": 7,
    "transferred_to": None,
    "started_at": ISO,
}
HOOKS = "https://app.example.com/hooks"
ISO_MS = "2026-05-06T12:34:56.789Z"
ENDPOINT_ANSWER = {"status": "failing", "since": ISO_MS, "reason": "it answered 500", "old_secret_until": None}
DELIVERY = {
    "webhook_id": WEBHOOK,
    "type": "conference.created",
    "room_id": ROOM,
    "uuid": "",
    "created_at": ISO_MS,
    "status": "retrying",
    "attempts": 1,
    "next_attempt_at": "2026-05-06T12:35:01.789Z",
}

RECORDING_ANSWER = {
    "recording_id": RECORDING,
    "room_id": ROOM,
    "uuid": "",
    "state": "available",
    "channels": 1,
    "created_at": ISO,
    "started_at": ISO_MS,
    "ended_at": "2026-05-06T12:34:57.789Z",
    "reason": "asked",
    "duration": 1,
    "size": len(RECORDED),
    "uploaded": False,
    "upload_host": None,
    "upload_attempts": None,
    "http_status": None,
    "expires_at": "2026-05-09T12:34:56.789Z",
}
STARTED = {"recording_id": RECORDING, "status": "starting"}
UPLOAD_URL = "https://storage.example.com/a.wav?signature=1"
BAD_UPLOADS: list[dict[str, Any]] = [
    *(
        {"upload_url": url}
        for url in ("", "ftp://a.example/a", "https://", "https://a b/", "https://u:p@a.example/", 7)
    ),
    {"upload_url": "https://a.example/" + "a" * 8192},
    {"url": UPLOAD_URL},
]

BAD_OPTIONS: list[dict[str, Any]] = [
    *({name: value} for name in ("max_members", "end_when_empty", "max_duration") for value in (0, -1, 1.5, "5", True)),
    {"max_members": 100_001},
    {"end_when_empty": 2_592_001},
    {"max_duration": 2_592_001},
    *(
        {name: value}
        for name in ("locked", "wait_for_moderator", "record", "speaker_events")
        for value in (None, 0, 1, "true")
    ),
    *({"tags": value} for value in (None, "a", [""], ["x" * 65], ["line\nbreak"], ["a", "a"], [7])),
    {"tags": [f"tag {number}" for number in range(17)]},
    *({"end_on_exit": value} for value in (True, "", "owner", ["moderator"])),
    *(
        {name: value}
        for name in ("beep_enter", "beep_exit")
        for value in (True, "", "none", "Tone", "ftp://h/a.wav", "https://u:p@h/a.wav")
    ),
    *({"hold_music": value} for value in (True, "", "ftp://cdn.example.com/a.mp3", "https://u:p@cdn.example.com/a")),
]

ENDPOINTS = [
    Endpoint(
        method="POST",
        path=ROOMS,
        body={"name": "weekly-standup"},
        status=201,
        answer={"room_id": ROOM},
        command=commands.CreateRoom(**BY_APP, name="weekly-standup"),
        bad_bodies=[
            {},
            {"name": ""},
            {"name": "-standup"},
            {"name": "_standup"},
            {"name": "stand up"},
            {"name": "standup\n"},
            {"name": "\nstandup"},
            {"name": "stánd"},
            {"name": "٣"},
            {"name": "a" * 65},
            {"name": 7},
            {"name": None},
            {"name": ["standup"]},
            {"name": "standup", "command_uid": "x"},
            {"name": "standup", "extra": 1},
            *({"name": "standup", **bad} for bad in BAD_OPTIONS),
        ],
    ),
    Endpoint(
        method="PATCH",
        path=f"{ROOMS}/{{room}}",
        body={"max_members": 5, "locked": True, "max_duration": None},
        may_lack_body=True,
        status=200,
        answer={"room_id": ROOM, **OPTIONS},
        command=commands.ChangeRoom(**IN_ROOM, options={"max_members": 5, "locked": True, "max_duration": None}),
        bad_bodies=[{"name": "other"}, {"max_members": 5, "extra": 1}, *BAD_OPTIONS],
    ),
    Endpoint(
        method="GET",
        path=ROOMS,
        status=200,
        answer={
            "conferences": [
                {
                    "room_id": ROOM,
                    "name": "weekly-standup",
                    "members": 1,
                    "created_at": ISO,
                    "tags": ["support"],
                    "recording": None,
                }
            ],
        },
        command=commands.ListRooms(**BY_APP, limit=50),
        cursor=True,
    ),
    Endpoint(
        method="GET",
        path=f"{ROOMS}/{{room}}",
        status=200,
        answer={
            "room_id": ROOM,
            "name": "weekly-standup",
            "created_at": str(CREATED_AT),
            "started_at": str(CREATED_AT),
            "duration": 60,
            "members": 1,
            "peak_members": 2,
            "recording": None,
            "begun": True,
            **OPTIONS,
            "nodes": [{"prefix": "acW68", "members": 1, "bridge": "source"}],
            "playback_status": "stopped",
            "playback_volume": 0,
            "playback_urls": [],
            "playback_operation_id": "",
            "playback_queue": [],
            "playing": None,
        },
        command=commands.GetRoom(**IN_ROOM),
    ),
    Endpoint(
        method="GET",
        path=f"{ROOMS}/{{room}}/members",
        status=200,
        answer={"room_id": ROOM, "members": [MEMBER]},
        command=commands.ListMembers(**IN_ROOM, limit=50),
        cursor=True,
    ),
    Endpoint(
        method="DELETE",
        path=f"{ROOMS}/{{room}}",
        status=200,
        answer={"room_id": ROOM},
        command=commands.DeleteRoom(**IN_ROOM),
        bad_bodies=[{"force": True}],
    ),
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/play",
        body={"urls": ["https://cdn.example.com/a.wav", "http://cdn.example.com/b.mp3"]},
        status=202,
        answer={"operation_id": OPERATION, "status": "in_progress"},
        command=commands.Play(**IN_ROOM, urls=("https://cdn.example.com/a.wav", "http://cdn.example.com/b.mp3")),
        bad_bodies=[
            {},
            {"urls": []},
            {"urls": None},
            {"urls": "https://cdn.example.com/a.wav"},
            {"urls": {"0": "https://cdn.example.com/a.wav"}},
            {"urls": ["https://cdn.example.com/a.wav"] * 129},
            {"urls": ["https://cdn.example.com/a.wav", ""]},
            {"urls": ["ftp://cdn.example.com/a.wav"]},
            {"urls": ["file:///etc/passwd"]},
            {"urls": ["cdn.example.com/a.wav"]},
            {"urls": ["https://"]},
            {"urls": ["https://user:pass@cdn.example.com/a.wav"]},
            {"urls": ["https://cdn.example.com/" + "a" * 2048]},
            {"urls": [1]},
            {"urls": [None]},
            {"urls": [["https://cdn.example.com/a.wav"]]},
            {"urls": ["https://cdn.example.com/a.wav"], "command_uid": "x"},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/pause",
        status=202,
        answer={"operation_id": OPERATION, "status": "paused"},
        command=commands.TogglePause(**IN_ROOM),
        bad_bodies=[{"command_uid": "x"}, {"pause": True}],
    ),
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/stop",
        status=202,
        answer={"operation_id": "", "status": "stopped"},
        command=commands.StopPlayback(**IN_ROOM),
        bad_bodies=[{"command_uid": "x"}],
    ),
    *(
        Endpoint(
            method="POST",
            path=f"{ROOMS}/{{room}}/commands/{flag.change(on).command}-all",
            body={"exclude": [SESSION]},
            may_lack_body=True,
            status=202,
            answer={"operation_id": OPERATION, "status": "in_progress"},
            command=commands.SetFlagOfAll(**IN_ROOM, flag=flag, on=on, exclude=(SESSION,)),
            bad_bodies=[
                {"exclude": SESSION},
                {"exclude": ["x"]},
                {"exclude": [SESSION + "\n"]},
                {"exclude": [SESSION] * 101},
                {"exclude_moderators": 1},
                {"exclude": None},
                {"command_uid": "x"},
            ],
        )
        for flag, on in CHANGES
    ),
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/commands/kick-all",
        body={"exclude": [SESSION], "exclude_moderators": True, "reason": "Over"},
        may_lack_body=True,
        status=202,
        answer={"operation_id": OPERATION, "status": "in_progress"},
        command=commands.KickAll(**IN_ROOM, exclude=(SESSION,), exclude_moderators=True, reason="Over"),
        bad_bodies=[
            {"exclude": ["x"]},
            {"exclude": [SESSION] * 101},
            {"exclude_moderators": 1},
            {"reason": ""},
            {"reason": "x" * 129},
            {"reason": "line\nbreak"},
            {"reason": 7},
            {"command_uid": "x"},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/volume",
        body={"volume": 2},
        status=202,
        answer={"operation_id": OPERATION, "status": "volume_changed"},
        command=commands.SetVolume(**IN_ROOM, volume=2),
        bad_bodies=[
            {},
            {"volume": -51},
            {"volume": 8},
            {"volume": "2"},
            {"volume": 2.0},
            {"volume": 2.5},
            {"volume": True},
            {"volume": False},
            {"volume": None},
            {"volume": [2]},
            {"volume": 10**30},
            {"volume": 2, "Volume": 2},
        ],
    ),
    Endpoint(
        method="GET",
        path=SESSIONS,
        status=200,
        answer={"sessions": [SESSION_ANSWER]},
        command=commands.ListSessions(**BY_APP, limit=50),
        cursor=True,
    ),
    Endpoint(
        method="POST",
        path=SESSIONS,
        body={"to": "+4930123456", "from": "+493098765432"},
        status=202,
        answer={"uuid": SESSION, "status": "dialing"},
        command=commands.Dial(**BY_APP, to="+4930123456", caller_id="+493098765432"),
        bad_bodies=[
            {},
            {"to": "+4930123456"},
            {"from": "+493098765432"},
            {"to": "+4930123456", "caller_id": "+493098765432"},
            *(
                {"to": "+4930123456", "from": "+493098765432", **more}
                for more in (
                    {"to": "4"},
                    {"to": "+"},
                    {"to": 4930123456},
                    {"to": "+49 30"},
                    {"to": "+4930*"},
                    {"to": "1" * 16},
                    {"to": "+4930\n"},
                    {"from": "anonymous"},
                    {"from": None},
                    {"timeout": 4},
                    {"timeout": 121},
                    {"timeout": "60"},
                    {"room_id": ""},
                    {"muted": 1},
                    {"muted": False},  # in no room
                    {"tags": ["agent"]},
                    {"tags": ["a", "a"]},
                    {"gateway": "carrier"},
                    {"command_uid": ""},
                )
            ),
        ],
    ),
    Endpoint(
        method="GET",
        path=f"{SESSIONS}/{{session}}",
        status=200,
        answer={**SESSION_ANSWER, "playing": PLAYING},
        command=commands.GetSession(**BY_SESSION),
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/conference/join",
        body={"room_id": ROOM},
        status=202,
        answer={"status": "joining", "room_id": ROOM},
        command=commands.Join(**BY_SESSION, room_id=ROOM),
        bad_bodies=[
            {},
            {"room_id": None},
            {"room_id": 7},
            {"room_id": ""},
            {"room_id": ROOM, "room": ROOM},
            {"room_id": ROOM, "command_uid": ""},
            {"room_id": ROOM, "command_uid": "x" * 65},
            {"room_id": ROOM, "muted": 1},
            {"room_id": ROOM, "deaf": "false"},
            {"room_id": ROOM, "role": "owner"},
            {"room_id": ROOM, "role": None},
            {"room_id": ROOM, "tags": None},
            {"room_id": ROOM, "tags": "agent"},
            {"room_id": ROOM, "tags": [""]},
            {"room_id": ROOM, "tags": ["x" * 65]},
            {"room_id": ROOM, "tags": ["line\nbreak"]},
            {"room_id": ROOM, "tags": ["a", "a"]},
            {"room_id": ROOM, "tags": [f"tag {number}" for number in range(17)]},
            {"room_id": ROOM, "tags": [7]},
            *({"room_id": ROOM, "end_on_exit": value} for value in (None, 1, "moderator")),
            *({"room_id": ROOM, "volume_in": value} for value in (None, 5, -5, "1", 1.0, True)),
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/conference/kick",
        status=202,
        answer={"status": "leaving", "room_id": ROOM},
        command=commands.Kick(**BY_SESSION),
        bad_bodies=[
            {"command_uid": ""},
            {"room_id": ROOM},
            {"reason": ""},
            {"reason": "x" * 129},
            {"reason": "line\nbreak"},
            {"reason": 7},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/conference/coach",
        body={"session_id": "acW68-1", "command_uid": "c-1"},
        status=202,
        answer={"status": "coaching", "room_id": ROOM},
        command=commands.Coach(session_id=SESSION, app_id=APP, coached="acW68-1", command_uid="c-1"),
        bad_bodies=[{}, {"session_id": ""}, {"session_id": 7}, {"session_id": None}, {"session_id": "x" * 129}],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/conference/uncoach",
        body=None,
        status=202,
        answer={"status": "uncoached", "room_id": ROOM},
        command=commands.Uncoach(**BY_SESSION),
        bad_bodies=[{"session_id": "acW68-1"}],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/conference/volume",
        body={"direction": "out", "volume": -4},
        status=202,
        answer={"status": "volume_changed", "room_id": ROOM},
        command=commands.SetLevel(**BY_SESSION, level=LEVELS[1], value=-4),
        bad_bodies=[
            {},
            {"direction": "in"},
            {"volume": 1},
            {"direction": "both", "volume": 1},
            {"direction": "in", "volume": 5},
            {"direction": "in", "volume": -5},
            {"direction": "in", "volume": "1"},
            {"direction": "in", "volume": 1.0},
            {"direction": "in", "volume": None},
            {"direction": "in", "volume": 1, "command_uid": ""},
        ],
    ),
    Endpoint(
        method="PATCH",
        path=f"{ROOMS}/{{room}}/members/{{session}}",
        body={"muted": False, "hold": True, "volume_out": -4, "role": "moderator", "tags": []},
        may_lack_body=True,
        status=202,
        answer={"uuid": SESSION, "status": "changing", "room_id": ROOM, "changing": ["muted", "volume_in"]},
        command=commands.ChangeMember(
            **BY_SESSION,
            room_id=ROOM,
            flags=(("muted", False), ("hold", True)),
            levels=(("volume_out", -4),),
            role="moderator",
            tags=(),
        ),
        bad_bodies=[
            {"muted": None},
            {"deaf": 1},
            {"hold": "true"},
            {"volume_in": 5},
            {"volume_out": None},
            {"role": "owner"},
            {"tags": ["a", "a"]},
            {"tags": None},
            {"url": "https://h/a.wav"},
            {"command_uid": ""},
        ],
    ),
    Endpoint(
        method="DELETE",
        path=f"{SESSIONS}/{{session}}",
        status=202,
        answer={"uuid": SESSION, "status": "hanging_up"},
        command=commands.HangUp(**BY_SESSION),
        bad_bodies=[{"cause": "NORMAL_CLEARING"}, {"cause": ""}, {"cause": None}, {"cause": 16}, {"command_uid": ""}],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/collect-digits",
        status=202,
        answer={"uuid": SESSION, "status": "collecting"},
        command=commands.CollectDigits(**BY_SESSION, max_digits=32, terminators="#", timeout=10, digit_timeout=5),
        bad_bodies=[
            *({"max_digits": count} for count in (0, 33, "4", None)),
            *({"terminators": digits} for digits in ("w", "1 ", "#" * 17, None, ["#"])),
            *({"timeout": seconds} for seconds in (0, 601, 1.5, "9", None)),
            *({"digit_timeout": seconds} for seconds in (0, 61, None)),
            {"command_uid": ""},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/transfer",
        body={"to": "+4930123456"},
        status=202,
        answer={"uuid": SESSION, "status": "transferring"},
        command=commands.Transfer(**BY_SESSION, to="+4930123456"),
        bad_bodies=[
            {},
            {"from": "+493098765432"},
            *({"to": to} for to in ("4", "+", 4930123456, "+49 30", "+4930@host", "+4930^park:", "sip:a@b", None)),
            *({"to": "+4930123456", "from": number} for number in ("", "x", 4930)),
            *({"to": "+4930123456", "timeout": seconds} for seconds in (4, 121, "60", 5.5, None)),
            {"to": "+4930123456", "room_id": ROOM},
            {"to": "+4930123456", "command_uid": ""},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/play",
        body={"urls": ["https://cdn.example.com/a.wav"]},
        status=202,
        answer={"uuid": SESSION, "operation_id": OPERATION, "status": "in_progress"},
        command=commands.PlayToSession(**BY_SESSION, urls=("https://cdn.example.com/a.wav",)),
        bad_bodies=[
            {},
            {"urls": []},
            {"urls": ["https://cdn.example.com/a.wav"] * 129},
            {"urls": ["file:///etc/passwd"]},
            {"urls": ["https://cdn.example.com/a.wav"], "command_uid": ""},
            {"urls": ["https://cdn.example.com/a.wav"], "volume": 1},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/stop",
        status=202,
        answer={"uuid": SESSION, "operation_id": "", "status": "stopped"},
        command=commands.StopSessionPlay(**BY_SESSION),
        bad_bodies=[{"command_uid": ""}, {"urls": []}],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/dtmf",
        body={"digits": "0123456789ABCD*#wW"},
        status=202,
        answer={"uuid": SESSION, "status": "sending"},
        command=commands.SendDtmf(**BY_SESSION, digits="0123456789ABCD*#wW", duration=250),
        bad_bodies=[
            {},
            *(
                {"digits": digits}
                for digits in ("", "1" * 33, "wW", "a", "1 2", "1@2000", "+1", "1\n", "\u0661", 12, None)
            ),
            *({"digits": "1", "duration": ms} for ms in (59, 2001, "250", 99.5, None)),
            {"digits": "1", "command_uid": ""},
        ],
    ),
    *(
        Endpoint(
            method="POST",
            path=f"{SESSIONS}/{{session}}/commands/conference/{verb}",
            status=202,
            answer={"status": status, "room_id": ROOM},
            command=command,
            bad_bodies=[
                {"command_uid": ""},
                {"command_uid": "x" * 65},
                {"command_uid": "line\nbreak"},
                {"command_uid": "nul\x00"},
                {"command_uid": 7},
                {"command_uid": ["x"]},
                {"room_id": ROOM},
            ],
        )
        for verb, status, command in (
            ("leave", "leaving", commands.Leave(**BY_SESSION)),
            *(
                (flag.change(on).command, flag.change(on).done, commands.SetFlag(**BY_SESSION, flag=flag, on=on))
                for flag, on in CHANGES
                if (flag, on) != (HOLD, True)
            ),
            ("hold", "held", commands.Hold(**BY_SESSION)),
        )
    ),
    Endpoint(
        method="GET",
        path=f"{WEBHOOKS}/endpoint",
        status=200,
        answer={**ENDPOINT_ANSWER, "url": HOOKS, "types": ["*"]},
        command=commands.GetEndpoint(**BY_APP),
    ),
    Endpoint(
        method="PUT",
        path=f"{WEBHOOKS}/endpoint",
        body={"url": HOOKS, "types": ["conference.play.*", "session.ended"]},
        status=200,
        answer={**ENDPOINT_ANSWER, "url": HOOKS, "types": ["conference.play.*", "session.ended"]},
        command=commands.SetEndpoint(**BY_APP, url=HOOKS, types=("conference.play.*", "session.ended")),
        bad_bodies=[
            {},
            {"types": ["*"]},
            *(
                {"url": url}
                for url in ("", "ftp://a.example/", "a.example/hooks", "https://", 7, None, ["https://a.example"])
            ),
            {"url": "https://user:pass@a.example/"},
            {"url": "https://a.example/\n"},
            {"url": "https://a.example/ b"},
            {"url": "https://a.example:99999/"},
            {"url": "https://a.example/" + "a" * 2048},
            *(
                {"url": HOOKS, "types": types}
                for types in (
                    [],
                    ["*"] * 33,
                    "*",
                    None,
                    [""],
                    ["conference"],
                    ["conference.*.left"],
                    ["*.left"],
                    ["Session.*"],
                )
            ),
            *({"url": HOOKS, "types": [name]} for name in ("session.start", "session.*\n", "recording.*", "session.")),
            {"url": HOOKS, "secret": "whsec_AAEC"},
        ],
    ),
    Endpoint(
        method="POST",
        path=f"{WEBHOOKS}/endpoint/rotate-secret",
        status=200,
        answer={"secret": "whsec_AAEC"},
        command=commands.RotateSecret(**BY_APP),
        bad_bodies=[{"secret": "whsec_AAEC"}],
    ),
    Endpoint(
        method="POST",
        path=f"{WEBHOOKS}/endpoint/test",
        status=200,
        answer={
            "webhook_id": "msg_test-p07-1795374235886-0",
            "delivered": False,
            "status": 500,
            "error": None,
            "latency_ms": 42,
            "answer": "oops",
        },
        command=commands.SendTest(**BY_APP),
        bad_bodies=[{"url": HOOKS}],
    ),
    Endpoint(
        method="GET",
        path=f"{WEBHOOKS}/deliveries",
        status=200,
        answer={"deliveries": [DELIVERY]},
        command=commands.ListDeliveries(**BY_APP, limit=50),
        cursor=True,
    ),
    Endpoint(
        method="GET",
        path=f"{WEBHOOKS}/deliveries/{{webhook}}",
        status=200,
        answer={
            **DELIVERY,
            "data": {"sequence": 1},
            "tried": [
                {"number": 1, "at": ISO_MS, "status": 500, "error": None, "latency_ms": 42, "answer": "oops"},
            ],
        },
        command=commands.GetDelivery(**BY_APP, webhook_id=WEBHOOK),
    ),
    Endpoint(
        method="POST",
        path=f"{WEBHOOKS}/deliveries/{{webhook}}/redeliver",
        status=202,
        answer={"webhook_id": WEBHOOK, "status": "retrying"},
        command=commands.Redeliver(**BY_APP, webhook_id=WEBHOOK),
        bad_bodies=[{"force": True}],
    ),
    Endpoint(
        method="POST",
        path=f"{WEBHOOKS}/redeliver",
        body={"since": ISO, "until": ISO_MS},
        status=202,
        answer={"webhooks": 3},
        command=commands.RedeliverRange(**BY_APP, since=CREATED_AT * 1000, till=CREATED_MS),
        bad_bodies=[
            {},
            {"since": ISO},
            *({"since": ISO, "until": until} for until in ("2026-13-06T12:34:56Z", "2026-05-06", ISO + "\n", 7, None)),
            *({"since": ISO, "until": until} for until in ("2026-05-06T12:34:56+02:00", "0000-05-06T12:34:56Z")),
            {"since": ISO, "until": ISO, "status": "delivered"},
        ],
    ),
]

ENDPOINTS += [
    Endpoint(
        method="POST",
        path=f"{ROOMS}/{{room}}/commands/record",
        status=202,
        answer=STARTED,
        command=commands.RecordRoom(**IN_ROOM),
        bad_bodies=[*BAD_UPLOADS, {"channels": 2}],
    ),
    Endpoint(
        method="POST",
        path=f"{SESSIONS}/{{session}}/commands/record",
        body={"upload_url": UPLOAD_URL, "channels": 2, "command_uid": "r-1"},
        may_lack_body=True,
        status=202,
        answer=STARTED,
        command=commands.RecordSession(**BY_SESSION, upload_url=UPLOAD_URL, channels=2, command_uid="r-1"),
        bad_bodies=[*BAD_UPLOADS, *({"channels": value} for value in (0, 3, "1", None, True))],
    ),
    *(
        Endpoint(
            method="POST",
            path=f"{RECORDINGS}/{{recording}}/commands/{step}",
            status=202,
            answer={"recording_id": RECORDING, "status": "paused"},
            command=commands.ControlRecording(**BY_APP, recording_id=RECORDING, step=step),
            bad_bodies=[{"command_uid": ""}, {"reason": "x"}],
        )
        for step in ("pause", "resume", "stop")
    ),
    Endpoint(
        method="GET",
        path=RECORDINGS,
        status=200,
        answer={"recordings": [RECORDING_ANSWER]},
        command=commands.ListRecordings(**BY_APP, limit=50),
        cursor=True,
    ),
    Endpoint(
        method="GET",
        path=f"{RECORDINGS}/{{recording}}",
        status=200,
        answer=RECORDING_ANSWER,
        command=commands.GetRecording(**BY_APP, recording_id=RECORDING),
    ),
    Endpoint(
        method="DELETE",
        path=f"{RECORDINGS}/{{recording}}",
        status=200,
        answer={"recording_id": RECORDING},
        command=commands.DeleteRecording(**BY_APP, recording_id=RECORDING),
        bad_bodies=[{"force": True}],
    ),
]

WITH_ROOM = [endpoint for endpoint in ENDPOINTS if endpoint.takes_room]
WITH_WEBHOOK = [endpoint for endpoint in ENDPOINTS if endpoint.takes_webhook]
WITH_RECORDING = [endpoint for endpoint in ENDPOINTS if "{recording}" in endpoint.path]
WITH_SESSION = [endpoint for endpoint in ENDPOINTS if endpoint.takes_session]
PAGED = [endpoint for endpoint in ENDPOINTS if endpoint.cursor]
WITH_BODY = [endpoint for endpoint in ENDPOINTS if endpoint.method != "GET"]
BODY_REQUIRED = [endpoint for endpoint in ENDPOINTS if endpoint.body is not None and not endpoint.may_lack_body]
BODY_OPTIONAL = [endpoint for endpoint in WITH_BODY if endpoint.body is None]


def each(endpoints: list[Endpoint]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("endpoint", endpoints, ids=str)


@pytest.fixture
def app() -> App:
    return _app


@pytest.fixture
def controller() -> FakeController:
    _controller.reset()
    return _controller


_addresses = itertools.count(1)


@pytest.fixture
def client(app: App, controller: FakeController) -> FlaskClient:
    """At an address of its own, at which no authentication has failed yet."""
    client = app.test_client()
    client.environ_base["REMOTE_ADDR"] = str(IPv4Address(next(_addresses)))
    return client


def assert_error(response: TestResponse, status: int, error: str | None = None) -> dict[str, Any]:
    """Holds the response to the envelope and returns its detail."""
    assert response.status_code == status, response.data
    assert response.content_type == "application/json"
    body = response.get_json()
    assert set(body) <= {"success", "error", "detail"}
    assert body["success"] is False
    assert re.fullmatch("[a-z_]+", response.headers["X-Error-Code"])
    assert isinstance(body["error"], str)
    assert body["error"]
    if error is not None:
        assert body["error"] == error
    detail: dict[str, Any] = body.get("detail", {})
    return detail


# What every endpoint does


@each(ENDPOINTS)
def test_a_good_request_asks_the_controller_and_gives_its_answer(
    endpoint: Endpoint, client: FlaskClient, controller: FakeController
) -> None:
    response = endpoint.ask(client)
    assert response.status_code == endpoint.status
    assert response.content_type == "application/json"
    body = response.get_json()
    if endpoint.cursor:
        assert body.pop("cursor")
    assert body == endpoint.answer
    assert controller.asked == [endpoint.command]


BAD_CREDENTIALS: list[dict[str, str]] = [
    {},
    {"X-App-ID": APP},
    {"X-API-Key": KEY},
    {"X-App-ID": "", "X-API-Key": ""},
    {"X-App-ID": APP, "X-API-Key": "wrong"},
    {"X-App-ID": APP, "X-API-Key": f"{KEY} "[:-2]},
    {"X-App-ID": "nobody", "X-API-Key": KEY},
    {"X-App-ID": APP.upper(), "X-API-Key": KEY},
    {"X-App-ID": "démo", "X-API-Key": KEY},
    {"X-App-ID": APP, "X-API-Key": "ключ".encode().decode("latin-1")},
    {"X-App-ID": APP, "X-API-Key": "k" * 50_000},
    {"X-App-ID": "a" * 50_000, "X-API-Key": KEY},
    {"X-App-ID": APP, "X-API-Key": "tab\tkey"},
    {"Authorization": f"Bearer {KEY}", "X-App-ID": APP},
]


@each(ENDPOINTS)
@pytest.mark.parametrize("headers", BAD_CREDENTIALS, ids=range(len(BAD_CREDENTIALS)))
def test_without_the_right_key_it_is_401(
    endpoint: Endpoint, headers: dict[str, str], client: FlaskClient, controller: FakeController
) -> None:
    response = endpoint.ask(client, headers=headers)
    detail = assert_error(response, 401, "Missing or invalid X-App-ID or X-API-Key")
    assert not detail
    assert response.headers["WWW-Authenticate"]
    assert controller.asked == []


@each(ENDPOINTS)
def test_401_comes_before_anything_else(endpoint: Endpoint, client: FlaskClient) -> None:
    response = endpoint.ask(client, headers={}, room=MALFORMED_ROOM, session="x", data=b"{" * 100_000)
    assert_error(response, 401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1"),
        ("GET", "/api/v1/"),
        ("GET", "/api/v1/nothing"),
        ("PUT", ROOMS),
        ("GET", f"{ROOMS}/"),
        ("OPTIONS", ROOMS),
        ("HEAD", ROOMS),
        ("TRACE", ROOMS),
        ("GET", "/api/v1//conferences"),
        ("GET", "/%61pi/v1/conferences"),
    ],
)
def test_a_stranger_learns_nothing_of_the_api(method: str, path: str, client: FlaskClient) -> None:
    assert client.open(path, method=method).status_code == 401


def test_failed_authentications_count_by_address_and_hold_no_right_key_up(
    client: FlaskClient, controller: FakeController
) -> None:
    wrong = {"X-App-ID": APP, "X-API-Key": "wrong"}
    strangers: list[dict[str, str]] = [wrong, {"X-App-ID": "nobody", "X-API-Key": KEY}, {}, {"X-App-ID": "a b"}]
    for number in range(FREE + 1):
        assert_error(client.get("/api/v1/nothing", headers=strangers[number % 4]), 401)
    for headers in strangers:
        response = client.get(ROOMS, headers=headers)
        assert 0 < assert_error(response, 429, errors.TITLES[429])["retry_after_ms"] <= 1000
        assert response.headers["Retry-After"] == "1"
    assert client.get(ROOMS, headers=HEADERS).status_code == 200
    assert_error(client.get(ROOMS, headers=wrong), 429)
    elsewhere = {"environ_overrides": {"REMOTE_ADDR": "192.0.2.1"}}
    assert_error(client.get(ROOMS, headers=wrong, **elsewhere), 401)
    assert client.get("/healthz").status_code == 200
    assert controller.admitted == [APP]


def test_every_rule_under_the_api_needs_a_key(app: App, client: FlaskClient) -> None:
    """Also of endpoints that the table of this file has forgotten."""
    open_to_all = {"/healthz", "/readyz", "/openapi.json", "/docs", "/"}
    of_their_own = {f"{RECORDINGS}/<>/content", "/api/v1/events", "/api/v1/portal-links", "/api/v1/batch"}
    table = {re.sub(r"\{\w+\}", "<>", endpoint.path) for endpoint in ENDPOINTS} | of_their_own
    for rule in app.url_map.iter_rules():
        if rule.rule not in open_to_all:
            assert re.sub(r"<\w+>", "<>", rule.rule) in table
            assert client.get(rule.rule).status_code in (401, 429)


def test_credentials_of_the_wrong_form_are_not_looked_up(client: FlaskClient, controller: FakeController) -> None:
    client.get(ROOMS, headers={"X-App-ID": "a" * 257, "X-API-Key": KEY})
    assert controller.authenticated == []


def test_the_store_failing_at_authentication_is_503(client: FlaskClient, controller: FakeController) -> None:
    controller.authentication_failure = StoreUnavailable("down")
    response = client.get(ROOMS, headers=HEADERS)
    assert_error(response, 503)
    assert int(response.headers["Retry-After"]) >= 1


@each(WITH_ROOM)
def test_a_foreign_room(endpoint: Endpoint, client: FlaskClient) -> None:
    status, reason = (404, "room_not_found") if endpoint.operation == "list_members" else (403, "room_forbidden")
    assert not assert_error(endpoint.ask(client, room=FOREIGN_ROOM), status, REASONS[reason])


@each(WITH_ROOM)
def test_every_room_of_the_other_app_is_closed_to_this_one_and_not_to_its_own(
    endpoint: Endpoint, client: FlaskClient
) -> None:
    theirs = {"room": FOREIGN_ROOM, "session": FOREIGN_SESSION}
    assert endpoint.ask(client, **theirs, headers=OTHER_HEADERS).status_code == endpoint.status
    assert endpoint.ask(client, room=ROOM, headers=OTHER_HEADERS).status_code in (403, 404)


@each(WITH_ROOM)
def test_a_missing_room(endpoint: Endpoint, client: FlaskClient) -> None:
    assert_error(endpoint.ask(client, room=MISSING_ROOM), 404, "Conference room not found")


@pytest.mark.parametrize("version", ["-11d4-", "-0000-"])
def test_a_room_id_may_have_a_uuid_of_any_version(version: str, client: FlaskClient) -> None:
    room = MISSING_ROOM.replace("-4000-", version)
    assert_error(client.get(f"{ROOMS}/{room}", headers=HEADERS), 404, "Conference room not found")


BAD_ROOM_IDS = [
    MALFORMED_ROOM,
    ROOM[1:],
    ROOM + "0",
    ROOM.upper(),
    ROOM.replace("e8400", "E8400"),
    ROOM.replace("-room-", "-rom-"),
    ROOM.replace("acW68", "acW6"),
    ROOM.replace("acW68", "acW-8"),
    ROOM.replace("acW68", "acWé8"),
    ROOM.replace("-", ""),
    SESSION,
    ROOM + "\n",
    "\n" + ROOM,
    ROOM + " ",
    ROOM.replace("550e", "٥٥0e"),
]


@each(WITH_ROOM)
@pytest.mark.parametrize("room", BAD_ROOM_IDS)
def test_a_room_id_of_the_wrong_form_in_the_path(
    endpoint: Endpoint, room: str, client: FlaskClient, controller: FakeController
) -> None:
    path = room.replace("\n", "%0A").replace(" ", "%20")
    detail = assert_error(endpoint.ask(client, room=path), 400)
    assert detail == {"fields": [{"field": "room_id", "problem": NO_ROOM_ID}]}
    assert controller.asked == []


@pytest.mark.parametrize("room", BAD_ROOM_IDS)
def test_a_room_id_of_the_wrong_form_in_a_body(room: str, client: FlaskClient, controller: FakeController) -> None:
    response = client.post(f"{SESSIONS}/{SESSION}/commands/conference/join", headers=HEADERS, json={"room_id": room})
    detail = assert_error(response, 400)
    assert detail == {"fields": [{"field": "room_id", "problem": NO_ROOM_ID}]}
    assert controller.asked == []


def test_a_room_id_that_is_no_utf8(client: FlaskClient) -> None:
    assert_error(client.get(f"{ROOMS}/%ff%fe", headers=HEADERS), 400)


@each(WITH_SESSION)
def test_a_foreign_session(endpoint: Endpoint, client: FlaskClient) -> None:
    assert_error(endpoint.ask(client, session=FOREIGN_SESSION), 403, REASONS["session_forbidden"])


@each(WITH_SESSION)
def test_a_missing_session(endpoint: Endpoint, client: FlaskClient) -> None:
    assert_error(endpoint.ask(client, session=MISSING_SESSION), 404, "Session not found")


@each(WITH_SESSION)
@pytest.mark.parametrize(
    "session",
    ["x", SESSION[1:], SESSION + "0", SESSION.upper(), ROOM, SESSION + "%0A", "%ff", SESSION + "%20"],
)
def test_a_session_id_of_the_wrong_form_is_no_session(
    endpoint: Endpoint, session: str, client: FlaskClient, controller: FakeController
) -> None:
    assert_error(endpoint.ask(client, session=session), 404, "Session not found")
    assert controller.asked == []


@pytest.mark.parametrize("recording", [FOREIGN_RECORDING, RECORDING + "0", "x", RECORDING.upper(), "%00", "%ff", ROOM])
@each(WITH_RECORDING)
def test_a_recording_that_is_not_the_app_s(endpoint: Endpoint, recording: str, client: FlaskClient) -> None:
    assert not assert_error(endpoint.ask(client, recording=recording), 404, REASONS["recording_not_found"])


@each(WITH_WEBHOOK)
@pytest.mark.parametrize("webhook", [FOREIGN_WEBHOOK, WEBHOOK + "0", "x", "%00", WEBHOOK + "%0A", "%ff", ROOM])
def test_a_webhook_that_is_not_the_app_s(endpoint: Endpoint, webhook: str, client: FlaskClient) -> None:
    assert_error(endpoint.ask(client, webhook=webhook), 404, REASONS["webhook_not_found"])


def test_a_foreign_room_to_join_is_403_and_a_missing_one_404(client: FlaskClient) -> None:
    path = f"{SESSIONS}/{SESSION}/commands/conference/join"
    assert_error(client.post(path, headers=HEADERS, json={"room_id": FOREIGN_ROOM}), 403)
    assert_error(client.post(path, headers=HEADERS, json={"room_id": MISSING_ROOM}), 404)


def rate_of(response: TestResponse) -> tuple[str | None, ...]:
    return tuple(response.headers.get(f"RateLimit-{name}") for name in ("Limit", "Remaining", "Reset"))


def test_every_answer_to_the_app_says_what_is_left_of_its_rate(client: FlaskClient, controller: FakeController) -> None:
    controller.budget = Budget(limit=50, remaining=7, reset_ms=861)
    for path in (ROOMS, "/api/v1/nothing", f"{ROOMS}/x"):
        assert rate_of(client.get(path, headers=HEADERS)) == ("50", "7", "1")
        assert rate_of(client.get(path)) == (None, None, None)
    controller.failure = StoreUnavailable("away")
    assert rate_of(client.get(ROOMS, headers=HEADERS)) == ("50", "7", "1")


def test_the_rate_comes_before_all_that_is_asked(client: FlaskClient, controller: FakeController) -> None:
    controller.over_rate = OverRate(Budget(limit=50, remaining=3, reset_ms=2400), {"retry_after_ms": 1700})
    for method, path, data in (("GET", "/api/v1/nothing", b""), ("PUT", ROOMS, b""), ("POST", ROOMS, b"x" * 100_000)):
        response = client.open(path, method=method, headers=HEADERS, data=data)
        assert assert_error(response, 429, REASONS["rate_limited"]) == {"retry_after_ms": 1700}
        assert response.headers["Retry-After"] == "2"
        assert rate_of(response) == ("50", "3", "3")
        assert_error(client.open(path, method=method, data=data), 401)
    assert controller.admitted == [APP] * 3
    assert controller.asked == []


def test_400_comes_before_404(client: FlaskClient) -> None:
    path = f"{SESSIONS}/nonsense/commands/conference/mute"
    assert_error(client.post(path, headers=HEADERS, json={"extra": 1}), 400)
    assert_error(client.post(f"{ROOMS}/{MISSING_ROOM}/volume", headers=HEADERS, json={"volume": 8}), 400)


BAD = [(endpoint, body) for endpoint in ENDPOINTS for body in endpoint.bad_bodies]


@pytest.mark.parametrize(("endpoint", "body"), BAD, ids=[f"{e} {str(b)[:60]}" for e, b in BAD])
def test_a_body_with_a_wrong_field(
    endpoint: Endpoint, body: dict[str, Any], client: FlaskClient, controller: FakeController
) -> None:
    detail = assert_error(endpoint.ask(client, json=body), 400)
    assert detail["fields"]
    assert all(each["field"] and each["problem"] for each in detail["fields"])
    assert controller.asked == []


@each(BODY_OPTIONAL)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"data": b"", "content_type": "application/json"},
        {"json": {}},
        {"data": b" {} \n", "content_type": "application/json; charset=utf-8"},
    ],
)
def test_a_body_without_required_fields_may_be_left_out(
    endpoint: Endpoint, options: dict[str, Any], client: FlaskClient
) -> None:
    assert endpoint.ask(client, **options).status_code == endpoint.status


@each(BODY_REQUIRED)
def test_a_body_with_required_fields_may_not(endpoint: Endpoint, client: FlaskClient) -> None:
    assert_error(endpoint.ask(client, data=b"", content_type="application/json"), 400)
    assert_error(endpoint.ask(client, data=b""), 400)


MALFORMED = [
    b"{",
    b"nonsense",
    b"\xff\xfe",
    b'{"name": "\xff"}',
    '{"name": "standup"}'.encode("utf-16"),
    b'\xef\xbb\xbf{"name": "standup"}',
    b"[]",
    b'"name"',
    b"1",
    b"null",
    b"true",
    b'["name"]',
    b"NaN",
    b'{"volume": NaN}',
    b'{"volume": Infinity}',
    b'{"volume": -Infinity}',
    b'{"volume": 1e999}',
    b'{"volume": 02}',
    b'{"volume": 2,}',
    b"{'volume': 2}",
    b'{"volume": 2} trailing',
    b'{"volume": 1, "volume": 2}',
    b'{"a": {"b": 1, "b": 2}}',
    b'{"name": "a\nb"}',
    b'{"name": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"volume": ' + b"9" * 10_000 + b"}",
    b"[" * 5_000,
    b'{"a":' * 2_000 + b"1" + b"}" * 2_000,
    b"\x00",
]


@each(WITH_BODY)
@pytest.mark.parametrize("data", MALFORMED, ids=[repr(data[:30]) for data in MALFORMED])
def test_malformed_json(endpoint: Endpoint, data: bytes, client: FlaskClient, controller: FakeController) -> None:
    fields = assert_error(endpoint.ask(client, data=data, content_type="application/json"), 400)["fields"]
    assert all(each["field"] and each["problem"] for each in fields)
    assert controller.asked == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b'{"volume": NaN}', "is not valid JSON, at line 1, column 12"),
        (b'{"volume": -Infinity}', "is not valid JSON, at line 1, column 13"),
        (b'{"volume": 2,\n "x"}', "is not valid JSON, at line 2, column 5"),
        (b'{"volume": "\xff"}', "must be UTF-8"),
        (b"[]", "must be a JSON object with at most 100 fields"),
        (
            json.dumps({str(number): 1 for number in range(101)}).encode(),
            "must be a JSON object with at most 100 fields",
        ),
        (b"", "is required: a JSON object"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(data: bytes, problem: str, client: FlaskClient) -> None:
    response = client.post(f"{ROOMS}/{ROOM}/volume", headers=HEADERS, data=data, content_type="application/json")
    assert assert_error(response, 400)["fields"] == [{"field": "body", "problem": problem}]


@each(WITH_BODY)
@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "multipart/form-data",
        "json",
    ],
)
def test_a_body_that_is_not_declared_as_json(endpoint: Endpoint, content_type: str | None, client: FlaskClient) -> None:
    detail = assert_error(endpoint.ask(client, data=b"{}", content_type=content_type), 400)
    assert detail["fields"][0]["field"] == "Content-Type"


LONGEST_BODIES: dict[str, dict[str, Any]] = {
    "create_room": {"name": "a" * 64},
    "play": {"urls": [f"https://cdn.example.com/{number:0>2024}" for number in range(128)]},
    "play_to_session": {
        "urls": [f"https://cdn.example.com/{number:0>2024}" for number in range(128)],
        "command_uid": "😀" * 64,
    },
    "set_volume": {"volume": -50},
    "join": {"room_id": ROOM, "command_uid": "😀" * 64},
    "mute": {"command_uid": "😀" * 64},
    "set_endpoint": {"url": f"https://app.example.com/{'h' * 2024}", "types": ["conference.member.join_failed"] * 32},
    "redeliver_range": {"since": ISO_MS, "until": ISO_MS},
}


def escaped(value: Any) -> str:
    """JSON as long as it gets: every character as `\\uXXXX`, every value on a line of its own."""
    if isinstance(value, str):
        return '"' + "".join(f"\\u{unit}" for unit in value.encode("utf-16-be").hex(" ", 2).split()) + '"'
    if isinstance(value, list):
        return "[" + ",".join(f"\n{' ' * 16}{escaped(each)}" for each in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"\n{' ' * 8}{escaped(name)}: {escaped(each)}" for name, each in value.items()) + "}"
    return json.dumps(value)


@each([endpoint for endpoint in ENDPOINTS if endpoint.operation in LONGEST_BODIES])
def test_whatever_a_request_allows_fits(endpoint: Endpoint, client: FlaskClient) -> None:
    body = LONGEST_BODIES[endpoint.operation]
    for data in (json.dumps(body), escaped(body)):
        response = endpoint.ask(client, data=data, content_type="application/json")
        assert response.status_code == endpoint.status, response.data


@each(ENDPOINTS)
def test_a_body_may_be_as_large_as_its_fields_can_be(
    endpoint: Endpoint, app: App, client: FlaskClient, controller: FakeController
) -> None:
    (most,) = {most for name, most in app.body_limits.items() if name.rpartition(".")[2] == endpoint.operation}
    large = {
        "play": 3_153_968,
        "play_to_session": 3_154_932,
        "set_endpoint": 51_360,
        "kick_all": 58_836,
        "hold": 25_640,
        "dial": 19_008,
    }
    large |= {"create_room": 90_256, "change_room": 89_376}
    large |= {"record_room": 99_452, "record_session": 99_612}
    large |= {f"{flag.change(on).command}_all": 57_164 for flag, on in CHANGES}
    assert most == large.get(endpoint.operation, 16_384)
    data = json.dumps(endpoint.body or {}).encode()
    data += b" " * (most - len(data))
    assert endpoint.ask(client, data=data, content_type="application/json").status_code == endpoint.status
    controller.reset()
    response = endpoint.ask(client, data=data + b" ", content_type="application/json")
    error = f"Request body too large: at most {most} bytes are taken here"
    assert assert_error(response, 413, error) == {"max_bytes": most}
    assert controller.asked == []


@each(ENDPOINTS)
def test_a_query_parameter_that_is_not_known(
    endpoint: Endpoint, client: FlaskClient, controller: FakeController
) -> None:
    detail = assert_error(endpoint.ask(client, query_string={"statee": "joined", "x" * 100: "1"}), 400)
    assert [each["field"] for each in detail["fields"]] == ["statee", "x" * 64]
    known = "known are cursor, limit" if endpoint.cursor else "there are none"
    assert all(each["problem"].startswith(f"is not a known parameter: {known}") for each in detail["fields"])
    assert controller.asked == []


@pytest.mark.parametrize(("verb", "known"), [("volume", "known are volume"), ("stop", "there are none")])
def test_a_field_that_is_not_known_is_told_those_that_are(verb: str, known: str, client: FlaskClient) -> None:
    response = client.post(f"{ROOMS}/{ROOM}/{verb}", headers=HEADERS, json={"volume": 2, "loud": True})
    assert {"field": "loud", "problem": f"is not a known field: {known}"} in assert_error(response, 400)["fields"]


# Outcomes


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_has_its_status_and_text(code: str, client: FlaskClient, controller: FakeController) -> None:
    controller.refusal = Refused(code)
    assert_error(client.post(f"{ROOMS}/{ROOM}/stop", headers=HEADERS), errors.STATUS[code], REASONS[code])


def test_the_table_of_statuses_is_complete() -> None:
    assert set(errors.STATUS) == set(REASONS)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("webhook_not_found", 404),
        ("webhook_pending", 409),
        ("no_endpoint", 409),
        ("endpoint_disabled", 409),
        ("redelivery_under_way", 409),
        ("url_refused", 400),
        ("rate_limited", 429),
        ("not_in_room", 404),
        ("still_joining", 409),
        ("still_dialing", 409),
        ("dialing_forbidden", 403),
        ("destination_forbidden", 403),
        ("caller_id_forbidden", 403),
        ("dial_limit_reached", 403),
        ("leaving", 409),
        ("transferring", 409),
        ("transferred", 409),
        *((refusal, 409) for flag, on in CHANGES for refusal in flag.change(on).refusals),
        ("in_other_room", 409),
        ("other_node", 409),
        ("nothing_playing", 409),
        ("too_many_operations", 409),
        ("name_taken", 409),
        ("node_down", 503),
        ("no_node", 503),
    ],
)
def test_statuses_of_the_reference(code: str, status: int, client: FlaskClient, controller: FakeController) -> None:
    controller.refusal = Refused(code)
    response = client.get(ROOMS, headers=HEADERS)
    assert (response.status_code, response.headers["X-Error-Code"]) == (status, code)


def test_a_taken_name_carries_the_room_that_has_it(client: FlaskClient, controller: FakeController) -> None:
    controller.refusal = Refused("name_taken", {"room_id": ROOM})
    response = client.post(ROOMS, headers=HEADERS, json={"name": "standup"})
    assert response.get_json() == {
        "success": False,
        "error": "Conference name already taken for this application",
        "detail": {"room_id": ROOM},
    }
    assert response.status_code == 409


def test_an_error_without_detail_has_no_detail(client: FlaskClient, controller: FakeController) -> None:
    controller.refusal = Refused("in_other_room")
    response = client.post(f"{SESSIONS}/{SESSION}/commands/conference/join", headers=HEADERS, json={"room_id": ROOM})
    assert response.get_json() == {
        "success": False,
        "error": "Session is already in a different conference room. Use conference/leave first.",
    }


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [(1, "1"), (200, "1"), (999, "1"), (1000, "1"), (1001, "2"), (2000, "2"), (0, "1")],
)
def test_429_says_when_to_come_back(
    milliseconds: int, seconds: str, client: FlaskClient, controller: FakeController
) -> None:
    controller.refusal = Refused("rate_limited", {"retry_after_ms": milliseconds})
    response = client.post(f"{ROOMS}/{ROOM}/stop", headers=HEADERS)
    assert assert_error(response, 429) == {"retry_after_ms": milliseconds}
    assert response.headers["Retry-After"] == seconds


@pytest.mark.parametrize("cause", [Refused("node_down"), Refused("no_node"), StoreUnavailable("timed out")])
def test_503_says_when_to_come_back(cause: Exception, client: FlaskClient, controller: FakeController) -> None:
    controller.failure = cause
    response = client.post(f"{ROOMS}/{ROOM}/stop", headers=HEADERS)
    assert_error(response, 503)
    assert int(response.headers["Retry-After"]) >= 1


def test_what_the_store_said_stays_inside(client: FlaskClient, controller: FakeController) -> None:
    controller.failure = StoreUnavailable("redis://user:secret@host timed out")
    assert b"secret" not in client.get(ROOMS, headers=HEADERS).data


def test_500_says_nothing_and_is_logged_with_the_request(
    client: FlaskClient, controller: FakeController, caplog: pytest.LogCaptureFixture
) -> None:
    controller.failure = RuntimeError("secret internals")
    response = client.get(ROOMS, headers={**HEADERS, "X-Request-ID": "r-42"})
    assert response.get_json() == {"success": False, "error": errors.TITLES[500]}
    assert response.status_code == 500
    assert response.headers["X-Request-ID"] == "r-42"
    assert "r-42" in caplog.text
    assert "secret internals" in caplog.text
    assert KEY not in caplog.text


def test_join_is_200_when_already_there(client: FlaskClient, controller: FakeController) -> None:
    controller.answers[commands.Join] = {"status": "already_joined", "room_id": ROOM}
    response = client.post(f"{SESSIONS}/{SESSION}/commands/conference/join", headers=HEADERS, json={"room_id": ROOM})
    assert (response.status_code, response.get_json()) == (200, {"status": "already_joined", "room_id": ROOM})


def test_pause_resumes(client: FlaskClient, controller: FakeController) -> None:
    controller.answers[commands.TogglePause] = {"operation_id": OPERATION, "status": "resumed"}
    response = client.post(f"{ROOMS}/{ROOM}/pause", headers=HEADERS)
    assert (response.status_code, response.get_json()["status"]) == (202, "resumed")


def test_only_known_fields_of_an_answer_go_out(client: FlaskClient, controller: FakeController) -> None:
    controller.answers[commands.CreateRoom] = {"room_id": ROOM, "partition": "p07"}
    assert client.post(ROOMS, headers=HEADERS, json={"name": "a"}).get_json() == {"room_id": ROOM}


def test_a_session_in_no_room(client: FlaskClient, controller: FakeController) -> None:
    parked = {
        **SESSION_ANSWER,
        "session_id": SESSION,
        "state": "parked",
        "room_id": "",
        "member_id": None,
        "joined_at": None,
        "started_at": CREATED_AT,
        "playing": None,
    }
    controller.answers[commands.GetSession] = parked
    body = client.get(f"{SESSIONS}/{SESSION}", headers=HEADERS).get_json()
    assert (body["state"], body["room_id"], body["member_id"], body["joined_at"]) == ("parked", "", None, None)


def test_a_join_says_as_what(client: FlaskClient, controller: FakeController) -> None:
    as_what = {"muted": False, "deaf": True, "volume_out": -4, "role": "moderator", "tags": ["a", "naïve 🎧"]}
    path = f"{SESSIONS}/{SESSION}/commands/conference/join"
    assert client.post(path, json={"room_id": ROOM, **as_what}, headers=HEADERS).status_code == 202
    tags = ("a", "naïve 🎧")
    levels = (("volume_out", -4),)
    asked = commands.Join(**BY_SESSION, room_id=ROOM, flags=("deaf",), levels=levels, role="moderator", tags=tags)
    assert controller.asked == [asked]


def test_hold_music(client: FlaskClient, controller: FakeController) -> None:
    path, music = f"{SESSIONS}/{SESSION}/commands/conference/hold", "https://cdn.example.com/music.mp3?a!b"
    assert client.post(path, json={"url": music}, headers=HEADERS).status_code == 202
    assert controller.asked == [commands.Hold(**BY_SESSION, url=music)]
    for wrong in ("ftp://cdn.example.com/music.mp3", "https://", "", 7, "https://h/" + "a" * 2048):
        assert client.post(path, json={"url": wrong}, headers=HEADERS).status_code == 400


def test_a_kick_says_why(client: FlaskClient, controller: FakeController) -> None:
    path = f"{SESSIONS}/{SESSION}/commands/conference/kick"
    assert client.post(path, json={"reason": "Off topic"}, headers=HEADERS).status_code == 202
    assert controller.asked == [commands.Kick(**BY_SESSION, reason="Off topic")]


@pytest.mark.parametrize("uid", ["x", "x" * 64, "naïve id", "mute-0042", None])
@pytest.mark.parametrize("verb", ["join", "leave", "mute", "unmute"])
def test_command_uid_reaches_the_controller(
    verb: str, uid: str | None, client: FlaskClient, controller: FakeController
) -> None:
    body = {"command_uid": uid, **({"room_id": ROOM} if verb == "join" else {})}
    response = client.post(f"{SESSIONS}/{SESSION}/commands/conference/{verb}", headers=HEADERS, json=body)
    assert response.status_code == 202
    asked = controller.asked[0]
    assert isinstance(asked, commands.SessionCommand)
    assert asked.command_uid == uid


def test_what_a_call_is_to_join_reaches_the_controller(client: FlaskClient, controller: FakeController) -> None:
    body = {
        "to": "112",
        "from": "+4930",
        "room_id": ROOM,
        "timeout": 30,
        "muted": False,
        "role": "moderator",
        "tags": ["a"],
    }
    assert client.post(SESSIONS, headers=HEADERS, json={**body, "command_uid": "d"}).status_code == 202
    (asked,) = controller.asked
    assert asked == commands.Dial(
        app_id=APP,
        to="112",
        caller_id="+4930",
        room_id=ROOM,
        timeout=30,
        flags=(),
        role="moderator",
        tags=("a",),
        command_uid="d",
    )


@pytest.mark.parametrize("cause", ["normal", "busy", "rejected"])
def test_the_cause_of_a_hang_up_reaches_the_controller(
    cause: str, client: FlaskClient, controller: FakeController
) -> None:
    body = {"cause": cause, "command_uid": "bye"}
    assert client.delete(f"{SESSIONS}/{SESSION}", headers=HEADERS, json=body).status_code == 202
    assert controller.asked == [commands.HangUp(app_id=APP, session_id=SESSION, cause=cause, command_uid="bye")]


@pytest.mark.parametrize("name", ["a", "9", "a" * 64, "A-b_9", "0_-"])
def test_names_that_are_fine(name: str, client: FlaskClient, controller: FakeController) -> None:
    assert client.post(ROOMS, headers=HEADERS, json={"name": name}).status_code == 201
    assert controller.asked == [commands.CreateRoom(app_id=APP, name=name)]


@pytest.mark.parametrize("volume", [-50, -1, 0, 7])
def test_volumes_that_are_fine(volume: int, client: FlaskClient, controller: FakeController) -> None:
    assert client.post(f"{ROOMS}/{ROOM}/volume", headers=HEADERS, json={"volume": volume}).status_code == 202
    assert controller.asked == [commands.SetVolume(**IN_ROOM, volume=volume)]


@pytest.mark.parametrize("count", [1, 128])
def test_as_many_urls_as_are_fine(count: int, client: FlaskClient, controller: FakeController) -> None:
    urls = [f"https://cdn.example.com/{number}.wav" for number in range(count)]
    assert client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls}).status_code == 202
    assert controller.asked == [commands.Play(**IN_ROOM, urls=tuple(urls))]


def test_urls_reach_the_controller_as_they_were_sent(client: FlaskClient, controller: FakeController) -> None:
    urls = ("https://cdn.example.com/a b,c!.wav#part", "HTTPS://b\u00fccher.example/@'$")
    client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls})
    asked = controller.asked[0]
    assert isinstance(asked, commands.Play)
    assert asked.urls == urls


def test_the_first_bad_url_ends_the_checking(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr("web.schemas.clean_url", lambda url: checked.append(url) or clean_url(url))
    urls = ["https://cdn.example.com/a.wav", *("ftp://cdn.example.com/a.wav" for _ in range(127))]
    response = client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls})
    assert [each["field"] for each in assert_error(response, 400)["fields"]] == ["urls.1"]
    assert checked == urls[:2]


def test_names_beyond_ascii_are_few(
    client: FlaskClient, controller: FakeController, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes a millisecond or two: a request of nothing else would hold up everybody."""
    names = [f"{'ü' * 40}{number}.example" for number in range(20)]
    encoded: list[str] = []
    monkeypatch.setattr("encodings.idna.ToASCII", encoded.append)
    urls = [f"https://{name}/a.wav" for name in names]
    response = client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls})
    (field,) = assert_error(response, 400)["fields"]
    assert (field["field"], "512 characters" in field["problem"]) == ("urls", True)
    assert encoded == []
    monkeypatch.undo()
    # The same name again costs nothing, and paths do not count.
    urls = [f"https://{name}:8443/ü{number}.wav" for number, name in enumerate(names[:10] * 12)]
    assert client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls}).status_code == 202
    assert len(controller.asked) == 1


def test_problems_name_their_field_and_not_its_value(client: FlaskClient) -> None:
    urls = ["https://cdn.example.com/a.wav", "ftp://cdn.example.com/?signature=secret"]
    response = client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, json={"urls": urls, "extra": "secret"})
    fields = assert_error(response, 400)["fields"]
    assert [each["field"] for each in fields] == ["urls.1", "extra"]
    assert b"secret" not in response.data


def test_a_client_s_own_names_come_back_short_and_few(client: FlaskClient) -> None:
    body = {**{f"field{number}": 1 for number in range(99)}, "x" * 10_000: 1}
    fields = assert_error(client.post(f"{ROOMS}/{ROOM}/stop", headers=HEADERS, json=body), 400)["fields"]
    assert len(fields) == 20
    fields = assert_error(client.post(f"{ROOMS}/{ROOM}/stop", headers=HEADERS, json={"x" * 10_000: 1}), 400)["fields"]
    assert len(fields[0]["field"]) == 64


def test_known_fields_are_told_by_the_names_that_a_request_has(client: FlaskClient) -> None:
    fields = assert_error(client.post(SESSIONS, headers=HEADERS, json={"to": "+493012345", "caller_id": "1"}), 400)[
        "fields"
    ]
    (unknown,) = (each["problem"] for each in fields if each["field"] == "caller_id")
    assert " from," in unknown
    assert "caller_id" not in unknown


def test_a_name_given_twice_is_told(client: FlaskClient) -> None:
    name = b"x" * 10_000
    data = b'{"volume": 1, "volume": 2}'
    response = client.post(f"{ROOMS}/{ROOM}/volume", headers=HEADERS, data=data, content_type="application/json")
    assert assert_error(response, 400)["fields"] == [{"field": "volume", "problem": "must be given once"}]
    batch = b'{"requests": [{"path": "%s", "body": {"%s": 1, "%s": 2}}]}' % (MEMBER_COMMAND.encode(), name, name)
    response = client.post("/api/v1/batch", headers=HEADERS, data=batch, content_type="application/json")
    (found,) = assert_error(response, 400)["fields"]
    assert len(found["field"]) == 64


@pytest.mark.parametrize("value", ["[[]]", "{}", "1", '"a"'])
def test_a_body_of_very_many_values_is_not_parsed(value: str, client: FlaskClient) -> None:
    data = '{"urls": [' + ",".join([value] * (MAX_VALUES + 1)) + "]}"
    response = client.post(f"{ROOMS}/{ROOM}/play", headers=HEADERS, data=data, content_type="application/json")
    assert assert_error(response, 400)["fields"] == [{"field": "body", "problem": "must hold at most 20,000 values"}]


MEMBER_COMMAND = f"{SESSIONS}/{SESSION}/commands/conference/mute"
WANTED = [
    (
        ROOMS,
        {"name": "stand up"},
        "must be 1 to 64 letters, digits, hyphens and underscores, and begin with a letter or digit",
    ),
    (ROOMS, {"name": ""}, "must be 1 to 64 letters, digits, hyphens and underscores, and begin with a letter or digit"),
    (ROOMS, {}, "is required"),
    (f"{ROOMS}/{ROOM}/volume", {"volume": 8}, "must be at most 7"),
    (f"{ROOMS}/{ROOM}/volume", {"volume": -51}, "must be at least -50"),
    (f"{ROOMS}/{ROOM}/volume", {"volume": "2"}, "must be an integer"),
    (f"{ROOMS}/{ROOM}/play", {"urls": []}, "must not be empty"),
    (f"{ROOMS}/{ROOM}/play", {"urls": [""]}, "must not be empty"),
    (f"{ROOMS}/{ROOM}/play", {"urls": ["http://a/"] * 129}, "must have at most 128 entries"),
    (f"{ROOMS}/{ROOM}/play", {"urls": ["http://a/" + "a" * 2040]}, "must have at most 2048 characters"),
    (f"{ROOMS}/{ROOM}/play", {"urls": "http://a/"}, "must be a list"),
    (MEMBER_COMMAND, {"command_uid": ""}, "must not be empty"),
    (MEMBER_COMMAND, {"command_uid": 7}, "must be a string"),
    (f"{WEBHOOKS}/redeliver", {"since": "today", "until": ISO}, "must be a time in UTC, such as 2026-05-06T12:34:56Z"),
    (
        f"{WEBHOOKS}/redeliver",
        {"since": "2026-13-06T12:34:56Z", "until": ISO},
        "must be a time in UTC, such as 2026-05-06T12:34:56Z",
    ),
]


@pytest.mark.parametrize(("path", "body", "problem"), WANTED)
def test_a_problem_says_what_is_wanted(path: str, body: dict[str, Any], problem: str, client: FlaskClient) -> None:
    (field,) = assert_error(client.post(path, headers=HEADERS, json=body), 400)["fields"]
    assert field["problem"] == problem


# Listings that are narrowed


NARROWED: dict[str, tuple[str, dict[str, str], Command]] = {
    "rooms": (
        ROOMS,
        {"name": "weekly-standup", "tag": "naïve 🎧"},
        commands.ListRooms(**BY_APP, limit=50, name="weekly-standup", tag="naïve 🎧"),
    ),
    "sessions": (
        SESSIONS,
        {"state": "joined", "room_id": ROOM, "did": "+747713001"},
        commands.ListSessions(**BY_APP, limit=50, state="joined", room=ROOM, did="+747713001"),
    ),
    "recordings": (
        RECORDINGS,
        {"state": "available", "room_id": ROOM, "uuid": SESSION},
        commands.ListRecordings(**BY_APP, limit=50, state="available", room=ROOM, session=SESSION),
    ),
    "deliveries": (
        f"{WEBHOOKS}/deliveries",
        {"status": "failed", "type": "session.ended", "room_id": ROOM, "since": ISO, "until": ISO_MS},
        commands.ListDeliveries(
            **BY_APP,
            limit=50,
            status="failed",
            type="session.ended",
            room=ROOM,
            since=CREATED_AT * 1000,
            till=CREATED_MS,
        ),
    ),
}


@pytest.mark.parametrize(("path", "query", "command"), NARROWED.values(), ids=NARROWED)
def test_a_listing_is_narrowed(
    path: str, query: dict[str, str], command: Command, client: FlaskClient, controller: FakeController
) -> None:
    page = client.get(path, headers=HEADERS, query_string=query)
    assert controller.asked == [command]
    # A cursor goes on in the same listing, and in no other.
    again = {**query, "cursor": page.get_json()["cursor"]}
    for left_out in query:
        other = {name: value for name, value in again.items() if name != left_out}
        assert assert_error(client.get(path, headers=HEADERS, query_string=other), 400) == NO_CURSOR
    assert client.get(path, headers=HEADERS, query_string=again).status_code == 200


NOT_NARROWING = [
    *((ROOMS, "name", value) for value in ("", "-standup", "stand up", "a" * 65)),
    *((SESSIONS, "state", value) for value in ("", "Joined", "gone")),
    *((SESSIONS, "room_id", value) for value in ("", SESSION)),
    *((RECORDINGS, "state", value) for value in ("", "Available", "stored")),
    *((RECORDINGS, "uuid", value) for value in ("", ROOM)),
    *((SESSIONS, "did", value) for value in ("", "74 77", "7" * 68, "a\nb", "7️⃣")),
]


@pytest.mark.parametrize(("path", "name", "value"), NOT_NARROWING)
def test_what_a_listing_cannot_be_narrowed_by(
    path: str, name: str, value: str, client: FlaskClient, controller: FakeController
) -> None:
    detail = assert_error(client.get(path, headers=HEADERS, query_string={name: value}), 400)
    assert [each["field"] for each in detail["fields"]] == [name]
    assert all(each["problem"].startswith("must be ") for each in detail["fields"])
    assert controller.asked == []


# Deliveries


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "held"),
        ("status", ""),
        ("type", "*"),
        ("type", "conference.started"),
        ("type", "webhook.test"),
        ("room_id", SESSION),
        ("since", "yesterday"),
        ("until", "2026-05-06T25:00:00Z"),
    ],
)
def test_what_deliveries_cannot_be_narrowed_by(
    name: str, value: str, client: FlaskClient, controller: FakeController
) -> None:
    detail = assert_error(client.get(f"{WEBHOOKS}/deliveries", headers=HEADERS, query_string={name: value}), 400)
    assert [each["field"] for each in detail["fields"]] == [name]
    assert controller.asked == []


def test_a_delivery_of_a_session_outside_rooms(client: FlaskClient, controller: FakeController) -> None:
    row = {
        "webhook_id": WEBHOOK,
        "type": "session.ended",
        "room_id": "",
        "session_id": SESSION,
        "at": CREATED_MS,
        "status": "delivered",
    }
    controller.answers[commands.ListDeliveries] = {"rows": [{**row, "attempts": 1, "next": None}], "cursor": 0}
    (found,) = client.get(f"{WEBHOOKS}/deliveries", headers=HEADERS).get_json()["deliveries"]
    assert (found["room_id"], found["uuid"], found["next_attempt_at"]) == ("", SESSION, None)


# Pages


LIMITS = {
    "rooms": (ROOMS, 200),
    "deliveries": (f"{WEBHOOKS}/deliveries", 200),
    "recordings": (RECORDINGS, 200),
    "members": (f"{ROOMS}/{ROOM}/members", 1000),
    "sessions": (SESSIONS, 1000),
}


@pytest.mark.parametrize(("path", "maximum"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("limit", ["1", "50", "199", "999", "1001", "2147483648", "9" * 6000, None])
def test_limits_are_clamped(
    path: str, maximum: int, limit: str | None, client: FlaskClient, controller: FakeController
) -> None:
    query = {} if limit is None else {"limit": limit}
    assert client.get(path, headers=HEADERS, query_string=query).status_code == 200
    wanted = 50 if limit is None else min(int(limit[:18]), maximum)
    assert getattr(controller.asked[0], "limit", None) == wanted


@each(PAGED)
@pytest.mark.parametrize(
    "query",
    [
        *(f"limit={limit}" for limit in ("0", "-1", "1.0", "1.5", "1e2", "%205", "5%20", "%2B5", "", "five")),
        *(f"limit={limit}" for limit in ("%D9%A3", "0x10", "05", "5%0A", "1_0", "true", "null", "%FF")),
        "limit=5&limit=5",
        "limit=5&limit=6",
        "limit",
    ],
)
def test_limits_that_are_no_positive_integer(
    endpoint: Endpoint, query: str, client: FlaskClient, controller: FakeController
) -> None:
    detail = assert_error(endpoint.ask(client, query_string=query), 400)
    assert [each["field"] for each in detail["fields"]] == ["limit"]
    assert controller.asked == []


@each(PAGED)
def test_a_cursor_goes_on_where_the_page_before_ended(
    endpoint: Endpoint, client: FlaskClient, controller: FakeController
) -> None:
    kind = type(endpoint.command)
    controller.answers[kind] = {"rows": [], "cursor": 2**53}
    cursor = endpoint.ask(client).get_json()["cursor"]
    controller.answers[kind] = {"rows": [], "cursor": 0}
    last = endpoint.ask(client, query_string={"cursor": cursor, "limit": "7"})
    assert last.get_json()["cursor"] == ""
    assert [getattr(asked, "after", None) for asked in controller.asked] == [0, 2**53]


@each(PAGED)
def test_an_empty_cursor_is_the_first_page(endpoint: Endpoint, client: FlaskClient, controller: FakeController) -> None:
    assert endpoint.ask(client, query_string={"cursor": ""}).status_code == 200
    assert controller.asked == [endpoint.command]


@each(PAGED)
@pytest.mark.parametrize("cursor", ["x", "1", "%00", "%FF", "=" * 32, "A" * 32, "é" * 32, "A" * 8000, "null"])
def test_a_cursor_that_nobody_gave(
    endpoint: Endpoint, cursor: str, client: FlaskClient, controller: FakeController
) -> None:
    assert assert_error(endpoint.ask(client, query_string=f"cursor={cursor}"), 400) == NO_CURSOR
    assert controller.asked == []


@each(PAGED)
def test_a_cursor_given_twice(endpoint: Endpoint, client: FlaskClient) -> None:
    cursor = endpoint.ask(client).get_json()["cursor"]
    assert_error(endpoint.ask(client, query_string=f"cursor={cursor}&cursor={cursor}"), 400)


@each(PAGED)
def test_a_cursor_is_for_its_own_listing(endpoint: Endpoint, client: FlaskClient) -> None:
    cursor = endpoint.ask(client).get_json()["cursor"]
    for other in PAGED:
        response = other.ask(client, query_string={"cursor": cursor})
        assert (response.status_code == 200) == (other is endpoint)


def test_a_cursor_is_for_its_own_room(client: FlaskClient, controller: FakeController) -> None:
    cursor = client.get(f"{ROOMS}/{ROOM}/members", headers=HEADERS).get_json()["cursor"]
    path = f"{ROOMS}/{MISSING_ROOM}/members"
    assert assert_error(client.get(path, headers=HEADERS, query_string={"cursor": cursor}), 400) == NO_CURSOR


@pytest.mark.parametrize("path", [ROOMS, SESSIONS])
def test_a_cursor_is_for_its_own_app(path: str, client: FlaskClient) -> None:
    cursor = client.get(path, headers=HEADERS).get_json()["cursor"]
    assert assert_error(client.get(path, headers=OTHER_HEADERS, query_string={"cursor": cursor}), 400) == NO_CURSOR


# Around the API


def test_alive(client: FlaskClient) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(
    ("store", "nodes", "status"),
    [
        (True, {"acW68": True}, 200),
        (True, {"acW68": True, "bQ123": False}, 200),
        (True, {"acW68": False}, 503),
        (True, {}, 503),
        (False, {"acW68": True}, 503),
        (False, {}, 503),
    ],
)
def test_ready_when_store_and_a_node_are(
    store: bool, nodes: dict[str, bool], status: int, client: FlaskClient, controller: FakeController
) -> None:
    controller.healthy = {"store": store, "nodes": nodes}
    response = client.get("/readyz")
    if status == 200:
        assert response.get_json() == {"status": "ready", "store": store, "nodes": nodes}
        assert response.status_code == 200
    else:
        assert assert_error(response, 503) == {"store": store, "nodes": nodes}
        assert response.headers["Retry-After"]


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "/api", "/api/v2/conferences", "/%ff"])
def test_unknown_paths(path: str, client: FlaskClient) -> None:
    assert_error(client.get(path), 404, errors.TITLES[404])


@pytest.mark.parametrize(
    "path",
    [
        f"{ROOMS}/",
        f"{ROOMS}/{ROOM}/",
        f"{ROOMS}/{ROOM}/nothing",
        f"{SESSIONS}/{SESSION}/commands",
        "/api/v1",
        "/api/v1//conferences",
    ],
)
def test_unknown_paths_under_the_api(path: str, client: FlaskClient) -> None:
    assert_error(client.get(path, headers=HEADERS), 404, errors.TITLES[404])


@each(ENDPOINTS)
def test_other_methods_say_which_there_are(endpoint: Endpoint, client: FlaskClient) -> None:
    path = endpoint.path.format(room=ROOM, session=SESSION, recording=RECORDING, webhook=WEBHOOK)
    response = client.open(path, method="PROPFIND", headers=HEADERS)
    assert_error(response, 405, errors.TITLES[405])
    assert endpoint.method in response.headers["Allow"].split(", ")


@each(ENDPOINTS)
def test_options_and_head(endpoint: Endpoint, client: FlaskClient, controller: FakeController) -> None:
    path = endpoint.path.format(room=ROOM, session=SESSION, recording=RECORDING, webhook=WEBHOOK)
    options = client.options(path, headers=HEADERS)
    assert (options.status_code, options.data) == (204, b"")
    assert endpoint.method in options.headers["Allow"].split(", ")
    if endpoint.method == "GET":
        head, get = client.head(path, headers=HEADERS), client.get(path, headers=HEADERS)
        assert (head.status_code, head.data) == (200, b"")
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/openapi.json", "/docs", ROOMS])
def test_every_answer_carries_a_request_id(path: str, client: FlaskClient) -> None:
    ids = {client.get(path).headers["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch(r"[0-9a-f-]{36}", each) for each in ids)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("r-1", True),
        ("A.b_c-9", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("a b", False),
        ("a;b", False),
        ("é", False),
        ("٣", False),
        ("<script>", False),
    ],
)
def test_a_request_id_of_the_client_is_kept_when_it_is_harmless(given: str, kept: bool, client: FlaskClient) -> None:
    raw = given.encode().decode("latin-1")
    response = client.get("/healthz", environ_overrides={"HTTP_X_REQUEST_ID": raw})
    assert (response.headers["X-Request-ID"] == raw) == kept


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/docs", ROOMS])
def test_no_answer_is_sniffed_and_none_of_the_api_is_kept(path: str, client: FlaskClient) -> None:
    response = client.get(path, headers=HEADERS)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert (response.headers["Cache-Control"] == "no-store") == (path != "/docs")


def test_apps_do_not_share_anything() -> None:
    """The factory takes everything from its arguments."""
    first, second = FakeController(), FakeController()
    clients = [create_app(controller, FakeStreams()).test_client() for controller in (first, second)]
    cursor = clients[0].get(ROOMS, headers=HEADERS).get_json()["cursor"]
    assert (len(first.asked), len(second.asked)) == (1, 0)
    assert assert_error(clients[1].get(ROOMS, headers=HEADERS, query_string={"cursor": cursor}), 400) == NO_CURSOR


TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (f"00-{TRACE_ID}-{PARENT_ID}-01", True),
        (f"00-{TRACE_ID}-{PARENT_ID}-00", True),
        (f"00-{TRACE_ID.upper()}-{PARENT_ID}-01", False),
        (f"00-{'0' * 32}-{PARENT_ID}-01", False),
        (f"00-{TRACE_ID}-{'0' * 16}-01", False),
        (f"01-{TRACE_ID}-{PARENT_ID}-01", False),
        (f"ff-{TRACE_ID}-{PARENT_ID}-01", False),
        (f"00-{TRACE_ID}-{PARENT_ID}-01-more", False),
        (f"00-{TRACE_ID}-{PARENT_ID}", False),
        (f"00-{TRACE_ID}-{PARENT_ID}-01,00-{TRACE_ID}-{PARENT_ID}-01", False),
        ("", False),
    ],
)
def test_a_valid_traceparent_goes_with_the_command(
    given: str, kept: bool, client: FlaskClient, controller: FakeController
) -> None:
    response = client.post(ROOMS, headers={**HEADERS, "traceparent": given}, json={"name": "standup"})
    assert response.status_code == 201
    (command,) = controller.asked
    assert command.trace == (given if kept else "")
    assert command.actor == ""


def test_a_command_says_who_sent_it_if_not_the_app(client: FlaskClient, controller: FakeController) -> None:
    environ = {context.ACTOR: "operator:ann"}
    client.post(ROOMS, headers=HEADERS, json={"name": "standup"}, environ_overrides=environ)
    assert controller.asked == [commands.CreateRoom(app_id=APP, actor="operator:ann", name="standup")]
