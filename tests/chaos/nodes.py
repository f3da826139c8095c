"""The media nodes of a chaos run, each behind its proxy: what is true on them, and what they were told to do."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from controller.nodes.compare import read_relations
from controller.sessions.flags import FLAGS
from controller.sessions.levels import LEVELS
from esl import commands as esl
from esl.commands import LEG_NAME
from esl.connection import Connection
from esl.emulator import Channel, Emulator, HttpMedia
from esl.emulator.legs import DialledCall, Fate, TransferCall
from esl.emulator.wire import Headers
from tests.chaos.legs import LegEnd
from tests.chaos.proxy import Proxy
from tests.e2e.freeswitch import FreeSwitch, find_binary
from tests.e2e.gateway import fate_of
from tests.e2e.nodes import RealNode as SippNode

PASSWORD = "emulated-secret"
WRONG_PASSWORD = "changed-meanwhile"
# Where emulated nodes dial, and where nobody is for a real one.
GATEWAY = "127.0.0.1:5071"
PLAYED = re.compile(r"\{operation_id=([^,]+),url_index=(\d+)")


@dataclass
class Truth:
    """What a node is at a moment. `calls`, `members`: without legs, which are in `legs`, by their uuid. `members`: by room
    and channel, the flags that are on. `playing`: by room, the `(operation, paused, volume)` of each file queued. `heard`: by
    channel, the operations of which a call alone hears a file; those that hear none are left out.

    `unheard`: by room and channel, legs among them, by whom that one is not heard.

    Without `exact`, all that is known of a room's files is whether there are any, and of a call's nothing. `transferred`: those of `calls` that are
    connected to a number.
    """

    calls: set[str]
    members: dict[str, dict[str, frozenset[str]]]
    playing: dict[str, list[tuple[str, bool, int]]]
    legs: dict[str, LegEnd]
    exact: bool = True
    transferred: set[str] = field(default_factory=set)
    unheard: dict[str, dict[str, frozenset[str]]] = field(default_factory=dict)
    heard: dict[str, set[str]] = field(default_factory=dict)


class Call(Protocol):
    def hang_up(self) -> None: ...


class Node(Protocol):
    """A node as faults and load see it. `jobs` counts the commands it was told, but those to play: such a one is told
    again when its file did not come. `plays` counts the files that it has taken, `happened` the events it fired.
    `bridge` is where other nodes call it, host:port.
    """

    prefix: str
    password: str
    bridge: str
    proxy: Proxy
    jobs: Counter[str]
    plays: Counter[tuple[str, str]]
    happened: Counter[tuple[str, str, str]]

    def call(self, did: str, caller_id: str) -> Call | None:
        """None while the node takes no calls."""

    def truth(self) -> Truth: ...

    def restart(self) -> None: ...

    def die(self) -> None:
        """The first half of that; `revive` is the other."""

    def revive(self) -> None: ...

    def close(self) -> None: ...


class Counting(Emulator):
    """An emulator that remembers what it was told and what it told."""

    def __init__(self, password: str, sip_port: int) -> None:
        super().__init__(password, media=HttpMedia(), sip_port=sip_port)
        self.jobs: Counter[str] = Counter()
        self.plays: Counter[tuple[str, str]] = Counter()
        self.happened: Counter[tuple[str, str, str]] = Counter()
        self.legs: set[str] = set()
        # How often each number was called. Each is given to one command only.
        self.dialled: Counter[str] = Counter()
        self.gateways[GATEWAY] = self._called

    def _called(self, number: str, _caller: str) -> Fate:
        self.dialled[number] += 1
        return fate_of(number)

    def hang_up_far_end(self, number: str) -> None:
        for call in list(self.channels.values()):
            if isinstance(call, DialledCall) and call.invite.to == number and call.answered:
                call.hangup()

    def do_job(self, job_uuid: str, command: str, argument: str) -> None:
        if argument.split()[1:2] != ["play"]:
            self.jobs[job_uuid] += 1
        super().do_job(job_uuid, command, argument)

    def emit_conference(self, action: str, headers: Headers, source: str | None = None) -> None:
        told = dict(headers)
        found = PLAYED.match(told.get("File", ""))
        if action == "play-file" and found and "Error" not in told:
            self.plays[found[1], found[2]] += 1
        if "Unique-ID" in told:
            self.happened[action, told["Conference-Name"], told["Unique-ID"]] += 1
        if told.get("Channel-Name", "").startswith(LEG_NAME):
            self.legs.add(told["Unique-ID"])
        super().emit_conference(action, headers, source)


class EmulatedCall:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def hang_up(self) -> None:
        if self._channel.state != "gone":
            self._channel.hangup()

    def speak(self, audible: bool) -> None:
        """It begins or ceases to speak, heard or not."""
        if self._channel.state != "gone":
            self._channel.sound(audible)

    def press(self, number: int) -> None:
        """A key, which lasts the longer the greater the number."""
        if self._channel.state != "gone":
            self._channel.press(str(number % 10), 100 + number)


class EmulatedNode:
    def __init__(self, prefix: str, sip_port: int) -> None:
        self.prefix = prefix
        self.password = PASSWORD
        self.emulator = Counting(PASSWORD, sip_port)
        self.emulator.start()
        self.proxy = Proxy(self.emulator.address)
        self.jobs, self.plays, self.happened = self.emulator.jobs, self.emulator.plays, self.emulator.happened
        self.bridge = self.emulator.bridge
        self._up = True

    def call(self, did: str, caller_id: str) -> EmulatedCall | None:
        return EmulatedCall(self.emulator.call(to=did, caller_id_number=caller_id)) if self._up else None

    @property
    def legs(self) -> list[str]:
        """The uuids of those that it has now."""
        return [call.uuid for call in self.emulator.channels.values() if call.name.startswith(LEG_NAME)]

    def cut(self, leg: str) -> None:
        self.emulator.execute("uuid_kill", leg)

    def truth(self) -> Truth:
        rooms, legs = self.emulator.conferences, set(self.legs)
        found = _listed(self.emulator.execute("conference", "json_list"))
        listed = _members(found)
        return Truth(
            # A call to a number to which another is transferred is no session.
            {call.uuid for call in self.emulator.channels.values() if not isinstance(call, TransferCall)} - legs,
            _without(listed, legs),
            {
                name: [(file.params.get("operation_id", ""), file.paused, file.volume) for file in room.queue]
                for name, room in rooms.items()
            },
            {
                leg: LegEnd(_where(listed, leg), self.emulator.channels[leg].profile.direction == "outbound")
                for leg in legs
            },
            transferred={call.uuid for call in self.emulator.channels.values() if call.bridged},
            unheard=_unheard(found, lambda asked: self.emulator.execute(*asked.render().split(" ", 1))),
            heard=self._heard(),
        )

    def _heard(self) -> dict[str, set[str]]:
        files = [(call.uuid, call.playing.data) for call in self.emulator.channels.values() if call.playing]
        for room in self.emulator.conferences.values():
            files += [(member.uuid, each.file) for member in room.members.values() for each in member.heard_files]
        heard: dict[str, set[str]] = defaultdict(set)
        for channel, file in files:
            # What those hear who are on hold is no operation's.
            if found := PLAYED.match(file):
                heard[channel].add(found[1])
        return heard

    def restart(self) -> None:
        self.emulator.restart()

    def die(self) -> None:
        self._up = False
        self.stop()
        self.proxy.reset()
        self.emulator.reboot()

    def revive(self) -> None:
        self.start()
        self._up = True

    def part(self) -> None:
        """No call to or from another node gets through."""
        self.emulator.refuse_calls()

    def reunite(self) -> None:
        self.emulator.accept_calls()

    def stop(self) -> None:
        self.proxy.refuse()
        self.emulator.stop()

    def start(self) -> None:
        self.emulator.start()
        self.proxy.start()

    def change_password(self, wrong: bool) -> None:
        self.emulator.password = WRONG_PASSWORD if wrong else PASSWORD
        self.emulator.drop_connections()

    def close(self) -> None:
        self.proxy.close()
        self.emulator.stop()


class Killable(FreeSwitch):
    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


class RealNode:
    """A FreeSWITCH that is killed and booted again, behind the one address that Switchroom knows. SIPp calls it."""

    def __init__(self, prefix: str, folder: Path) -> None:
        binary = find_binary()
        assert binary, "no freeswitch: neither on the PATH nor in FREESWITCH_BIN"
        self.prefix = prefix
        self._binary, self._folder, self._boots = binary, folder, 0
        self.jobs: Counter[str] = Counter()
        self.plays: Counter[tuple[str, str]] = Counter()
        self.happened: Counter[tuple[str, str, str]] = Counter()
        self._boot()
        self.password = self._process.password
        self.bridge = self._process.bridge
        self.proxy = Proxy(_address(self._process.esl))

    def _boot(self) -> None:
        self._boots += 1
        home = Path(tempfile.mkdtemp(prefix=f"boot-{self._boots}-", dir=self._folder))
        self._process = Killable(home, self._binary, PREFIX=self.prefix)
        self._callers = SippNode(f"{self._process.esl},{self._process.password},{self._process.sip}")
        self._home = home
        self._up = True

    def call(self, did: str, caller_id: str) -> Call | None:
        return self._callers.call(did, caller_id) if self._up else None

    def truth(self) -> Truth:
        connection = Connection(*_address(self._process.esl), self.password, on_event=lambda _: None)
        connection.connect()
        try:
            rooms = _listed(connection.api(esl.JsonList()))
            rows = _listed(json.loads(connection.api(esl.ShowChannels()), strict=False).get("rows", []))
            listed = _members(rooms)
            legs = {row["uuid"]: row["direction"] == "outbound" for row in rows if row["name"].startswith(LEG_NAME)}
            members = _without(listed, legs)
            statuses = {room: connection.api(esl.PlayStatus(room)) for room in members}
            playing = {room: [("", False, 0)] for room, status in statuses.items() if status.startswith("+OK")}
            calls = {row["uuid"] for row in rows if row["direction"] == "inbound"} - legs.keys()
            ends = {leg: LegEnd(_where(listed, leg), dialled) for leg, dialled in legs.items()}
            bridged = {row["uuid"] for row in rows if row["application"] == "bridge" and row["callstate"] == "ACTIVE"}
            unheard = _unheard(rooms, connection.api)
            return Truth(calls, members, playing, ends, exact=False, transferred=bridged, unheard=unheard)
        finally:
            connection.close()

    def restart(self) -> None:
        """Killed, with its calls, and booted anew."""
        self.die()
        self.revive()

    def die(self) -> None:
        self._up = False
        self._process.kill()
        self._callers.close()
        shutil.rmtree(self._home, ignore_errors=True)

    def revive(self) -> None:
        self._boot()
        self.proxy.target = _address(self._process.esl)

    def close(self) -> None:
        self.proxy.close()
        self._callers.close()
        self._process.stop()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


Members = dict[str, dict[str, frozenset[str]]]


def _without(listed: Members, legs: Collection[str]) -> Members:
    return {
        room: {channel: flags for channel, flags in there.items() if channel not in legs}
        for room, there in listed.items()
    }


def _where(listed: Members, leg: str) -> str:
    return next((room for room, there in listed.items() if leg in there), "")


def _members(rooms: list[Any]) -> Members:
    return {
        room["conference_name"]: {
            member["uuid"]: frozenset(
                (
                    *(flag.name for flag in FLAGS if member["flags"][flag.ability] == flag.said),
                    *(f"{level.name} {member[level.name]}" for level in LEVELS if member.get(level.name)),
                )
            )
            for member in room.get("members", [])
            if "uuid" in member
        }
        for room in rooms
    }


def _unheard(rooms: list[Any], ask: Callable[[esl.Command], str]) -> dict[str, dict[str, frozenset[str]]]:
    found = {}
    for room in rooms:
        name = room["conference_name"]
        inside = {int(member["id"]): member["uuid"] for member in room.get("members", []) if "uuid" in member}
        related = {number: read_relations(ask(esl.Relations(name, number)), number) for number in inside}
        found[name] = {
            inside[number]: frozenset(inside[one] for one in others if one in inside)
            for number, others in related.items()
        }
    return found


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        value = json.loads(value, strict=False) if value.startswith("[") else []
    return value if isinstance(value, list) else []
