"""The store's scripts driven as API and worker drive them, without HTTP and without a node."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import orjson

from controller.commands import (
    ChangeMember,
    Coach,
    CollectDigits,
    ControlRecording,
    Dial,
    HangUp,
    Join,
    KickAll,
    Leave,
    Play,
    PlayToSession,
    RecordRoom,
    RecordSession,
    SendDtmf,
    SendTest,
    SetFlag,
    SetFlagOfAll,
    SetLevel,
    SetVolume,
    StopPlayback,
    StopSessionPlay,
    TogglePause,
    Transfer,
    Uncoach,
)
from controller.commands.playback import MayPlay
from controller.commands.rooms import with_playback
from controller.commands.sessions import MayPlayToSession, with_playing
from controller.ids import SessionIds
from controller.limits import COOLDOWNS, QUOTAS
from controller.nodes.node_worker import RecordingLimits
from controller.sessions.flags import FLAGS, Flag
from controller.store import keys
from controller.store.scripts import arguments
from controller.store.store import emit_endings
from tests import webhook_data
from tests.open_store import OpenStore

NODE = "acW68"
SESSION_KEY = b"a key of thirty-two bytes, or so"
IDS = SessionIds(NODE, SESSION_KEY)
NODES = (NODE, "bcX79", "cdY80")
AN_HOUR_MS = 3_600_000
# How long they may be, and how long their files may wait on their node.
RECORDINGS = RecordingLimits().in_ms()
NO_COOLDOWNS = dict.fromkeys(COOLDOWNS, 0)
# By script; a flag's command has the flag's.
GROUPS = {
    kind.script: kind.cooldown
    for kind in (
        Play,
        MayPlay,
        TogglePause,
        StopPlayback,
        SetVolume,
        PlayToSession,
        MayPlayToSession,
        StopSessionPlay,
        Join,
        Leave,
        SendTest,
        SetFlagOfAll,
        KickAll,
        SetLevel,
        ChangeMember,
        Coach,
        Uncoach,
        HangUp,
        SendDtmf,
        CollectDigits,
        Dial,
        Transfer,
        RecordRoom,
        RecordSession,
        ControlRecording,
    )
}
# What the app may dial.
PERMISSION = {
    "gateway": "carrier",
    "to": True,
    "caller_id": True,
    "calls_at_once": 1000,
    "calls_per_minute": 1000,
    "calls_per_day": 1000,
    "max_seconds": 3600,
}
GROUPS[SetFlag.script] = FLAGS[0].cooldown


def channel(number: int) -> str:
    """The uuid of a call's channel."""
    return f"00000000-0000-4000-9000-{number:012d}"


class World:
    """One app. Commands are methods named after scripts; `sent()` is what the node would get, taken from the stream."""

    def __init__(self, store: OpenStore, app_id: str = "demo", **limits: Any) -> None:
        self.store = store
        self.app_id = app_id
        self.tag = keys.partition_of(app_id)
        self.nodes = {node: {"up": True, "open": True} for node in NODES}
        self.limits = {
            "cooldowns": NO_COOLDOWNS,
            "quotas": QUOTAS,
            "nodes": self.nodes,
            "relay_up": True,
            "relay_live": True,
            "flags": ["muted"],
            "role": "participant",
            "tags": "[]",
            **limits,
        }
        self.worker = {"node": NODE, "token": 1}
        # Whether whoever runs a step dies right after it.
        self.dies = False
        # Whether the worker of NODE sends at once what a step of the API hands it; and what it has sent so.
        self.sends_at_once: Callable[[], bool] = lambda: False
        self.sent_at_once: list[dict[str, Any]] = []
        self._seen = b"0"
        self._numbers = itertools.count(1)

    # As the API

    def ask(self, script: str, **args: Any) -> dict[str, Any]:
        command = {"create_room": "create", "delete_room": "delete"}.get(script, script)
        common = {"app_id": self.app_id, "command": command, "group": GROUPS.get(script), **self.limits}
        group = args.get("group") or GROUPS.get(script, "")
        if self.sends_at_once():
            common["sender"] = self.worker
        return self._run(script, {**common, "cooldown_ms": self.limits["cooldowns"].get(group, 0)}, args)

    def create(self, name: str = "standup") -> str:
        number = next(self._numbers)
        room = f"{NODE}-room-00000000-0000-4000-8000-{number:012d}"
        answer = self.ask("create_room", name=name, room_id=room, node=NODE)
        return str(answer["room_id"])

    def play(self, room: str, *urls: str, operation: str = "op1") -> dict[str, Any]:
        as_json = [orjson.dumps(url).decode() for url in urls]
        return self.ask("play", room_id=room, urls=as_json, operation_id=operation)

    def play_to(self, session: str, *urls: str, operation: str = "op1", **more: Any) -> dict[str, Any]:
        as_json = [orjson.dumps(url).decode() for url in urls]
        args = {"session_id": session, "urls": as_json, "operation_id": operation, **more}
        return self.ask("play_to_session", **args)

    def set_flag(self, session: str, flag: Flag, on: bool, **more: Any) -> dict[str, Any]:
        return self.ask(
            "set_flag",
            command=flag.change(on).command,
            group=flag.cooldown,
            session_id=session,
            flag=flag.name,
            on=on,
            **more,
        )

    def set_level(self, session: str, level: str, value: int, **more: Any) -> dict[str, Any]:
        return self.ask("set_level", command=level, session_id=session, level=level, value=value, **more)

    def coach(self, session: str, coached: str, **more: Any) -> dict[str, Any]:
        return self.ask("coach", session_id=session, coached=coached, **more)

    def flag_of_all(self, room: str, flag: Flag, on: bool, **more: Any) -> dict[str, Any]:
        args = {"room_id": room, "flag": flag.name, "on": on, "exclude": [], "exclude_moderators": False}
        args |= {"operation_id": "all1", **more}
        return self.ask("set_flag_of_all", command=f"{flag.change(on).command}-all", **args)

    def kick_all(self, room: str, **more: Any) -> dict[str, Any]:
        args = {"room_id": room, "exclude": [], "exclude_moderators": False, "operation_id": "all1", **more}
        return self.ask("kick_all", command="kick-all", **args)

    def ask_dial(
        self, number: int = 1, node: str | None = NODE, permission: dict[str, Any] | None = None, **more: Any
    ) -> dict[str, Any]:
        args = {"to": "+4930123456", "caller_id": "+493098765432", "timeout": 60, "node": node, **more}
        allowed = {name: value for name, value in {**PERMISSION, **(permission or {})}.items() if value is not None}
        if node:
            args |= {"channel": channel(number), "new_session": SessionIds(node, SESSION_KEY).of(channel(number))}
        return self.ask("dial", permission=allowed, **args)

    def dial(self, number: int = 1, **more: Any) -> str:
        """Has the node call a number. Returns the session."""
        return str(self.ask_dial(number, **more)["session_id"])

    def ask_transfer(self, session: str, number: int = 900, **more: Any) -> dict[str, Any]:
        """`number`: of the channel that the call to the number is to have."""
        args = {"to": "+4930123456", "caller_id": "+493098765432", "timeout": 60, **more}
        args |= {"channel": channel(number), "new_session": SessionIds(NODE, SESSION_KEY).of(channel(number))}
        return self.ask("transfer", session_id=session, **{"permission": PERMISSION, **args})

    def record(self, room: str, **more: Any) -> dict[str, Any]:
        return self.ask("record_room", command="record", room_id=room, **more)

    def record_session(self, session: str, channels: int = 1, **more: Any) -> dict[str, Any]:
        return self.ask("record_session", command="record", session_id=session, channels=channels, **more)

    def control(self, recording: str, step: str, **more: Any) -> dict[str, Any]:
        command = f"{step}_recording"
        return self.ask("control_recording", command=command, recording_id=recording, step=step, **more)

    def recording(self, recording: str) -> dict[str, str]:
        """Its record, as it is stored."""
        record = self.store.client.hgetall(keys.key(self.tag, "recording", recording))
        return {name.decode(): value.decode() for name, value in record.items()}

    def room(self, room: str) -> dict[str, Any]:
        answer = self.ask("get_room", room_id=room)
        return answer if "refused" in answer else with_playback(self.store, self.app_id, answer)

    def session(self, session: str) -> dict[str, Any]:
        answer = self.ask("get_session", session_id=session)
        return answer if "refused" in answer else {**with_playing(self.store, self.app_id, answer)}

    # As the worker

    def tell(self, script: str, **args: Any) -> dict[str, Any]:
        return self._run(
            script, {"quotas": self.limits["quotas"], "up": self._up(), "recordings": RECORDINGS, **self.worker}, args
        )

    def sent(self, node: str = NODE, in_parts: Callable[[], bool] = lambda: False) -> list[dict[str, Any]]:
        """Takes all waiting commands, as a worker does. `in_parts`: whether the file of a play has two parts."""
        entries = {
            entry.decode(): orjson.loads(fields[b"c"])
            for entry, fields in self.store.client.xrange(keys.key(self.tag, "commands", node))
        }
        files = {
            entry: {"url": f"{command['url']}?0", "rest": 16000, "rest_url": f"{command['url']}?16000"}
            for entry, command in entries.items()
            if command["op"] == "play" and not command["start"] and in_parts()
        }
        return list(self.tell("take", node=node, entries=list(entries), files=files)["commands"])

    def answer(self, job: str, ok: bool = True, **more: Any) -> None:
        self.tell("job_done", job=job, ok=ok, **more)

    def answer_on(self, node: str, command: dict[str, Any], ok: bool = True, **more: Any) -> None:
        """A command's result, from a node."""
        self.tell("job_done", node=node, job=command["job"], ok=ok, **more)

    def park(self, number: int = 1, node: str = NODE) -> str:
        session = SessionIds(node, SESSION_KEY).of(channel(number))
        self.tell(
            "session_parked",
            node=node,
            app_id=self.app_id,
            session_id=session,
            channel=channel(number),
            did="747713001",
            caller_id=f"caller{number}",
        )
        return session

    def joined(self, room: str, number: int = 1) -> str:
        """A session that is a confirmed member, muted; its member id is `number`."""
        session = self.park(number)
        self.ask("join", session_id=session, room_id=room)
        for command in self.sent():
            self.answer(command["job"])
        self.tell("member_joined", session_id=session, room_id=room, member_id=number, flags=["muted"])
        return session

    def left(self, session: str, room: str, member_id: int = 1, cause: str = "") -> None:
        """By a command or the node's operator; with a `cause` because the call has ended."""
        self.tell("member_left", session_id=session, room_id=room, member_id=member_id, cause=cause)

    def overdue(
        self, node: str = NODE, down: tuple[str, ...] = (), kind: str = "", unreached: tuple[str, ...] = ()
    ) -> None:
        """As if everything that waits on the node, or all of a kind, had waited too long, while those in `down` are
        down, and those that are `unreached` may just be changing hands.
        """
        up = self._up(down, unreached)
        due = keys.key(self.tag, "due", node)
        for item in self.store.client.zrange(due, 0, -1):
            if item.startswith(kind.encode()):
                self.store.client.zincrby(due, -AN_HOUR_MS, item)
        while self.tell("overdue", node=node, up=up)["more"]:
            pass

    def _up(self, down: tuple[str, ...] = (), unreached: tuple[str, ...] = ()) -> str:
        up = {
            prefix: {"open": known["open"], "reached": prefix not in unreached}
            for prefix, known in self.nodes.items()
            if known["up"] and prefix not in down
        }
        return orjson.dumps(up).decode()

    # What is in the store

    def now(self) -> int:
        """The store's clock, ms."""
        seconds, micros = self.store.client.time()
        return int(seconds * 1000 + micros // 1000)

    def due(self, node: str, item: str) -> int:
        """When an item is overdue, ms."""
        return int(self.store.client.zscore(keys.key(self.tag, "due", node), item) or 0)

    def age_legs(self, room: str) -> None:
        """As if each leg had been in its state for an hour."""
        for node in NODES:
            leg = keys.key(self.tag, "leg", room, node)
            if self.store.client.exists(leg):
                self.store.client.hincrby(leg, "since", -AN_HOUR_MS)

    def counts(self, room: str) -> dict[str, int]:
        """How many members are on each node."""
        return {node["prefix"]: node["members"] for node in self.room(room)["nodes"]}

    def leftovers(self, room: str) -> list[str]:
        """Keys that are about the room, or name it."""
        sets = [keys.key(self.tag, "node_rooms", node) for node in NODES]
        named = [key for key in sets if self.store.client.sismember(key, room)]
        return [*(key.decode() for key in self.store.client.keys(f"*{room}*")), *named]

    def _run(self, script: str, common: dict[str, Any], args: dict[str, Any]) -> dict[str, Any]:
        """With what the script takes of `common`."""
        taken = {name: value for name, value in common.items() if name in arguments(script)}
        reply = self.store.run(script, self.tag, {**taken, **args})
        self.sent_at_once += reply.pop("sent", ())
        if not self.dies:
            emit_endings(self.store, self.tag, reply)
        return reply

    # What the tenant gets

    def webhooks(self) -> list[tuple[str, dict[str, Any]]]:
        """Since the last call, each held to what is documented of its type."""
        entries = self.store.client.xrange(
            keys.key(self.tag, "outbox"), min=b"(" + self._seen if self._seen != b"0" else "-"
        )
        if entries:
            self._seen = entries[-1][0]
        told = [(fields[b"type"].decode(), orjson.loads(fields[b"data"])) for _, fields in entries]
        for kind, data in told:
            webhook_data.check(kind, data)
        return told

    def types(self) -> list[str]:
        return [kind for kind, _ in self.webhooks()]
