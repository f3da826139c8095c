"""The `conference` api command: two tables of subcommands, one for the room and one for its members."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from esl.emulator import sip
from esl.emulator.conference import RATE, TICK, VOLUMES, Conference, Member, PlayedFile
from esl.emulator.conference_help import HELP, SYNTAX
from esl.emulator.legs import DIALLED, OutboundCall
from esl.emulator.media import Sound, list_of
from esl.emulator.node import Node
from esl.emulator.recording import Recording
from esl.emulator.wire import atoi, split, split_params

MAX_RELATED = 100  # ids that `relate` takes of each list

USAGE: dict[str, str] = {}
for _command, _syntax in SYNTAX:
    USAGE.setdefault(_command, f"{_command} {_syntax}")
USAGE["pause_play"] = USAGE["pause"]  # mod_conference prints it under that name


class Misused(Exception):
    """A subcommand was given what it cannot use. The text comes before its usage."""


def run(node: Node, text: str) -> str:
    """Execute `conference TEXT` and return what it prints."""
    arguments = split(text)
    if not arguments:
        return HELP
    name, *rest = arguments
    if rest and rest[0].lower() == "bgdial":
        return _bgdial(node, name, rest[1:])
    conference = node.conferences.get(name)
    if conference is not None:
        return _in_room(conference, rest)
    if name.lower() in NODE_COMMANDS:
        return NODE_COMMANDS[name.lower()](node, rest)
    return f"-ERR Conference {name} not found\n"


def _in_room(conference: Conference, arguments: list[str]) -> str:
    if not arguments:
        return "Conference command, not specified.\nTry 'help'\n"
    command, given = arguments[0].lower(), arguments[1:]
    try:
        if command in MEMBER_COMMANDS:
            return _for_members(conference, command, given)
        if command in ROOM_COMMANDS:
            return ROOM_COMMANDS[command](conference, given)
    except Misused as wrong:
        return f"{wrong}{USAGE[command]}"
    return f"-ERR Conference command '{command}' not found.\n"


# Members


def _for_members(conference: Conference, command: str, given: list[str]) -> str:
    target, *values = given or [""]
    act = MEMBER_COMMANDS[command]
    member_id = atoi(target) % 2**32
    if member_id:
        member = conference.members.get(member_id)
        return act(member, values) if member else f"-ERR Non-Existant ID {member_id}\n"
    groups = {"all": slice(None), "non_moderator": slice(None), "last": slice(1)}
    if target.lower() not in groups:
        raise Misused
    return "".join(act(member, values) for member in conference.newest_first()[groups[target.lower()]])


def _switch(word: str, **flags: bool) -> Callable[[Member, list[str]], str]:
    """A subcommand that sets flags of a member, fires `WORD-member`, and does both again however often it is asked."""

    def act(member: Member, _values: list[str]) -> str:
        for name, value in flags.items():
            setattr(member.flags, name, value)
        member.emit(f"{word}-member")
        member.listen()
        return f"+OK {word} {member.id}\n"

    return act


_mute = _switch("mute", speak=False, talking=False)
_unmute = _switch("unmute", speak=True)


_held = _switch("hold", hold=True, talking=False)
_unheld = _switch("unhold", hold=False)


def _hold(member: Member, values: list[str]) -> str:
    """`hold MEMBER [FILE]`. What cannot be played is left out silently."""
    for file in values[:1]:
        names = file.removeprefix("file_string://").split("!")
        member.conference.node.fetch_next([name for name in names if name.startswith("http")])
        member.hear(file)
    return _held(member, values)


def _unhold(member: Member, values: list[str]) -> str:
    member.hear_no_more()
    return _unheld(member, values)


def _toggle_mute(member: Member, values: list[str]) -> str:
    return (_unmute if member.muted else _mute)(member, values)


def _volume(way: str) -> Callable[[Member, list[str]], str]:
    attribute = f"volume_{way}"

    def act(member: Member, values: list[str]) -> str:
        if values:
            level = max(VOLUMES.start, min(VOLUMES.stop - 1, atoi(values[0])))
            setattr(member, attribute, level)
            member.emit(f"volume-{way}-member", ("Volume-Level", str(level)))
        return f"+OK Volume {way.upper()} {member.id} = {getattr(member, attribute)}\n"

    return act


def _dismiss(word: str, printed: str) -> Callable[[Member, list[str]], str]:
    """A subcommand that ends a membership: the call goes on with its next application a frame later."""

    def act(member: Member, _values: list[str]) -> str:
        member.emit(f"{word}-member")
        member.conference.dismiss(member)
        return f"+OK {printed} {member.id}\n"

    return act


MEMBER_COMMANDS: dict[str, Callable[[Member, list[str]], str]] = {
    "mute": _mute,
    "unmute": _unmute,
    "tmute": _toggle_mute,
    "deaf": _switch("deaf", hear=False),
    "undeaf": _switch("undeaf", hear=True),
    "hold": _hold,
    "unhold": _unhold,
    "volume_in": _volume("in"),
    "volume_out": _volume("out"),
    "kick": _dismiss("kick", "kicked"),
    "hup": _dismiss("hup", "hup"),
}


def _relate(conference: Conference, given: list[str]) -> str:
    """`relate MEMBER[,MEMBER] [OTHER[,OTHER] nospeak|clear]`. Without others it lists (40)."""
    members = [atoi(text) for text in given[0].split(",")[:MAX_RELATED]] if given else []
    if len(given) < 2:
        if not any(member.unheard_by for member in conference.members.values()):
            return "+OK No relationships\n"
        return "".join(_related(conference, member_id) for member_id in members)
    if len(given) < 3 or given[2] not in ("nospeak", "clear"):
        raise Misused
    act = _unhear if given[2] == "nospeak" else _clear
    others = [atoi(text) for text in given[1].split(",")[:MAX_RELATED]]
    return "".join(act(conference, member_id, other) for member_id in members for other in others)


def _related(conference: Conference, member_id: int) -> str:
    return "".join(
        f"{member.id} -> {other} NOSPEAK HEAR NOSENDVIDEO \n"
        for member in conference.newest_first()
        if member_id in (0, member.id)
        for other in member.unheard_by
    )


def _unhear(conference: Conference, member_id: int, other: int) -> str:
    member = conference.members.get(member_id)
    if member is None or other not in conference.members:
        return f"-ERR relationship {member_id}->{other} not found.\n"
    if other not in member.unheard_by:
        member.unheard_by.insert(0, other)
    member.flags.talking = False
    member.listen()
    return f"+OK {member_id}->{other} nospeak set\n"


def _clear(conference: Conference, member_id: int, other: int) -> str:
    member = conference.members.get(member_id)
    if member is None:
        return f"-ERR relationship {member_id}->{other} not found.\n"
    member.unheard_by = [each for each in member.unheard_by if other not in (0, each)]
    return f"+OK relationship {member_id}->{other} cleared.\n"


# What is played


def _play(conference: Conference, given: list[str]) -> str:
    """`play FILE [async|MEMBER]`."""
    if len(given) == 2 and given[1].lower() == "async":
        return _play_beside(conference, given[0])
    if len(given) == 2 and given[1].isdecimal():
        return _play_to(conference, *given)
    if len(given) != 1:
        raise Misused
    file = given[0]
    with conference.in_use():
        params, path = split_params(file)
        names = list_of(path)
        found = conference.node.fetch_next(names) if names else ("", conference.node.fetch(file))
        if found and found[1]:
            conference.enqueue(PlayedFile(file, found[1], found[0], names))
            return f"+OK (play) Playing file {file}\n"
        local = not params and "://" not in path and not path.startswith("/")
        conference.refuse(f"{conference.node.sounds}/{path}" if local else file)
    return f"-ERR (play) File: {file} not found.\n"


def _play_beside(conference: Conference, file: str) -> str:
    with conference.in_use():
        seconds = conference.node.length_of(file)
        if seconds is None:
            conference.refuse(file, beside=True)
            return f"-ERR (play) File: {file} not found.\n"
        conference.play_beside(PlayedFile(file, Sound(seconds)))
        return f"+OK (play) Playing file {file}\n"


def _play_to(conference: Conference, file: str, member_id: str) -> str:
    """To one member (35)."""
    member = conference.members.get(int(member_id))
    if member is None:
        raise Misused(f"-ERR Member: {member_id} not found.\n")
    with conference.in_use():
        seconds = conference.node.length_of(file)
        if seconds is None:
            return f"-ERR (play) File: {file} not found.\n"
        member.hear(file, seconds)
        params = member.heard_files[0].params
        action = "play-file-member"
        conference.fire(action, [*member.headers(), *params, ("Action", action), ("File", file)])
        return f"+OK (play) Playing file {file} to member {member_id}\n"


def _stop(conference: Conference, given: list[str]) -> str:
    if given[1:]:
        member = conference.members.get(atoi(given[1]))
        return f"+OK Stopped {member.hear_no_more()} files.\n" if member else f"-ERR Member: {given[1]} not found.\n"
    chosen = {"all": slice(None), "current": slice(1), "async": slice(0)}
    which = given[0].lower() if given else "all"
    if which not in chosen:
        raise Misused
    beside = [conference.beside] if conference.beside and which != "current" else []
    return f"+OK Stopped {conference.stop([*conference.queue[chosen[which]], *beside])} files.\n"


def _pause_play(conference: Conference, _given: list[str]) -> str:
    return {None: "", True: "+OK Pause\n", False: "+OK Resume\n"}[conference.toggle_pause()]


def _play_status(conference: Conference, given: list[str]) -> str:
    url = conference.playing.url if conference.playing else None
    if given:
        member = conference.members.get(atoi(given[0]))
        if member is None:
            raise Misused(f"-ERR Member: {given[0]} not found.\n")
        url = split_params(member.heard_files[0].file)[1] if member.heard_files else None
    return "-ERR Nothing is playing\n" if url is None else f"+OK 0/0 {url.partition('://')[2] or url}\n"


def _file_volume(conference: Conference, given: list[str]) -> str:
    if not given:
        raise Misused("-ERR missing args\n")
    if conference.playing is None:
        raise Misused("-ERR File not playing\n")
    conference.playing.volume = atoi(given[0])
    return "+OK volume changed\n"


# What is recorded


def _record(conference: Conference, given: list[str]) -> str:
    if not given:
        raise Misused
    path = given[0]
    if path in conference.recordings:
        return f"-ERR file [{path}] is already being used for recording.\n"
    node = conference.node
    node.next_member_id()  # the recording takes one
    if node.is_full:
        node.clock.call_later(0, lambda: conference.cannot_record(path))
        return f"+OK Record file {path}\n"
    conference.recordings[path] = Recording(path, node.clock.now())
    node.clock.call_later(0, lambda: conference.emit("start-recording", after=[("Path", path)]))
    return f"+OK Record file {path}\n"


def _check_record(conference: Conference, _given: list[str]) -> str:
    paths = "".join(f"+OK Record file {path}\n" for path in conference.recordings)
    return paths or "-ERR Conference is not being recorded.\n"


def _stop_record(conference: Conference, given: list[str]) -> str:
    """The count is always 0: the node counts before the recordings' threads have ended (trace 12)."""
    if not given:
        raise Misused
    everything = given[0].lower() == "all"
    paths = list(conference.recordings) if everything else [path for path in conference.recordings if path == given[0]]
    for path in paths:
        conference.node.clock.call_later(TICK / 2, partial(conference.close_recording, path))
    stopped = "".join(f"Stopped recording file {path}\n" for path in paths)
    missing = "" if paths or everything else f"-ERR non-existant recording '{given[0]}'\n"
    return f"{stopped}{missing}+OK Stopped recording 0 files\n"


def _pause_record(word: str) -> Callable[[Conference, list[str]], str]:
    def act(conference: Conference, given: list[str]) -> str:
        if not given:
            raise Misused
        path = given[0]
        printed = f"+OK {word.capitalize()} recording file {path}\n"
        recording = conference.recordings.get(path)
        if recording is None:
            return f"{printed}-ERR non-existant recording '{path}'\n"
        getattr(recording, word)(conference.node.clock.now())
        conference.emit(f"{word}-recording", after=[("Path", path), ("Other-Recordings", "true")])
        return printed

    return act


def _recording(conference: Conference, given: list[str]) -> str:
    actions = {
        "start": _record,
        "stop": _stop_record,
        "check": _check_record,
        "pause": _pause_record("pause"),
        "resume": _pause_record("resume"),
    }
    if not given or given[0].lower() not in actions:
        raise Misused
    action, *paths = given
    return actions[action.lower()](conference, paths or (["all"] if action.lower() == "stop" else []))


# The room


def _lock(word: str) -> Callable[[Conference, list[str]], str]:
    def act(conference: Conference, _given: list[str]) -> str:
        conference.locked = word == "lock"
        conference.emit(word)
        return f"+OK {conference.name} {word}ed\n"

    return act


def _listed(member: Member, delimiter: str) -> str:
    flags = member.flags
    words = {
        "hear": flags.hear and not flags.hold,
        "speak": flags.speak and not flags.hold,
        "talking": flags.talking and not flags.hold,
        "hold": flags.hold,
        "floor": member.conference.floor is member,
    }
    profile = member.channel.profile
    row = [member.id, member.channel.name, member.uuid, profile.name, profile.number]
    listed = "|".join(word for word, true in words.items() if true)
    return delimiter.join(map(str, [*row, listed, member.volume_in, member.volume_out, member.energy_level])) + "\n"


def _list(conference: Conference, given: list[str]) -> str:
    if given[:1] == ["count"]:
        return str(len(conference.members))
    delimiter = given[1] if given[:1] == ["delim"] and len(given) > 1 else ";"
    return "".join(_listed(member, delimiter) for member in conference.newest_first())


def _get(conference: Conference, given: list[str]) -> str:
    values = {
        "run_time": str(int(conference.node.clock.now()) - int(conference.created)),
        "count": str(len(conference.members)),
        "rate": str(RATE),
        "profile_name": conference.profile,
        "uuid": conference.uuid,
    }
    if not given:
        raise Misused
    return values.get(given[0].lower(), "")


def _as_json(conference: Conference) -> dict[str, Any]:
    now = int(conference.node.clock.now())
    no = dict.fromkeys
    return {
        "conference_name": conference.name,
        "member_count": len(conference.members),
        "ghost_count": 0,
        "rate": RATE,
        "run_time": now - int(conference.created),
        "conference_uuid": conference.uuid,
        **no(("canvas_count", "max_bw_in", "force_bw_in", "video_floor_packets"), 0),
        "locked": conference.locked,
        **no(("destruct", "wait_mod", "audio_always"), False),
        **no(("running", "answered", "enforce_min"), True),
        "bridge_to": False,
        **no(("dynamic", "exit_sound", "enter_sound"), True),
        "recording": bool(conference.recordings),
        **no(("video_bridge", "video_floor_only", "video_rfc4579"), False),
        "variables": {},
        "members": [
            *(_recording_as_json(recording) for recording in reversed(conference.recordings.values())),
            *(_member_as_json(member, now) for member in conference.newest_first()),
        ],
    }


def _recording_as_json(recording: Recording) -> dict[str, Any]:
    paused = {"status": "paused"} if recording.paused else {}
    return {
        "type": "recording_node",
        "record_path": recording.path,
        **paused,
        "join_time": int(recording.begun),
    }


def _member_as_json(member: Member, now: int) -> dict[str, Any]:
    flags, profile = member.flags, member.channel.profile
    return {
        "type": "caller",
        "id": member.id,
        "flags": {
            "can_hear": flags.hear and not flags.hold,
            "can_see": not flags.hold,
            "can_speak": flags.speak and not flags.hold,
            "hold": flags.hold,
            "mute_detect": False,
            "talking": flags.talking,
            "has_video": False,
            "video_bridge": False,
            "has_floor": member.conference.floor is member,
            **dict.fromkeys(
                ("is_moderator", "end_conference", "mandatory_member_end_conference", "pass_digits"), False
            ),
        },
        "uuid": member.uuid,
        "caller_id_name": profile.name,
        "caller_id_number": profile.number,
        "join_time": now - int(member.joined),
        "last_talking": now - int(member.last_talking) if member.has_talked else 0,
        "energy": member.energy_level,
        "volume_in": member.volume_in,
        "volume_out": member.volume_out,
        "output-volume": member.volume_out,
        "input-volume": member.volume_in,
    }


def pretty(value: Any, depth: int = 0) -> str:
    """JSON as cJSON prints it: a tab between a name and its value, members indented one level deeper than usual."""
    if isinstance(value, dict):
        inner = "\t" * (depth + 1)
        members = ",\n".join(f"{inner}{json.dumps(name)}:\t{pretty(item, depth + 1)}" for name, item in value.items())
        return "{\n" + (members + "\n" if members else "") + "\t" * depth + "}"
    if isinstance(value, list):
        return "[" + ", ".join(pretty(item, depth + 1) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _json_list(conference: Conference, given: list[str]) -> str:
    return _rendered([conference], given)


def _rendered(conferences: list[Conference], given: list[str]) -> str:
    rows = [_as_json(conference) for conference in conferences]
    if given[:1] == ["compact"]:
        return json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return pretty(rows)


ROOM_COMMANDS: dict[str, Callable[[Conference, list[str]], str]] = {
    "play": _play,
    "stop": _stop,
    "pause_play": _pause_play,
    "play_status": _play_status,
    "file-vol": _file_volume,
    "record": _record,
    "norecord": _stop_record,
    "chkrecord": _check_record,
    "pause": _pause_record("pause"),
    "resume": _pause_record("resume"),
    "recording": _recording,
    "relate": _relate,
    "lock": _lock("lock"),
    "unlock": _lock("unlock"),
    "list": _list,
    "json_list": _json_list,
    "count": lambda conference, _given: str(len(conference.members)),
    "get": _get,
}


# Without a room


def _list_all(node: Node, given: list[str]) -> str:
    if not node.conferences:
        return "+OK No active conferences.\n"
    return "".join(_summary(conference) + _list(conference, given) for conference in node.conferences.values())


def _summary(conference: Conference) -> str:
    count = len(conference.members)
    flags = {
        "locked": conference.locked,
        **dict.fromkeys(("running", "answered", "enforce_min", "dynamic", "exit_sound", "enter_sound"), True),
        "recording": bool(conference.recordings),
    }
    listed = "|".join(flag for flag, true in flags.items() if true)
    locked = " locked" if conference.locked else ""
    plural = "" if count == 1 else "s"
    return f"+OK Conference {conference.name} ({count} member{plural} rate: {RATE}{locked} flags: {listed})\n"


NODE_COMMANDS: dict[str, Callable[[Node, list[str]], str]] = {
    "list": _list_all,
    "json_list": lambda node, given: _rendered(list(node.conferences.values()), given),
    "help": lambda _node, _given: HELP,
    "commands": lambda _node, _given: HELP,
}


# One room on two nodes


def _bgdial(node: Node, room: str, given: list[str]) -> str:
    """`bgdial {variables}sofia/PROFILE/USER@HOST:PORT NUMBER NAME`: a call out which, once answered, joins the room."""
    if not given:
        return "-ERR Bad Args\n"
    variables, dial = split_params(given[0])
    number = given[1] if len(given) > 1 else ""
    name = given[2] if len(given) > 2 else number
    job_uuid = str(uuid.uuid4())
    node.clock.call_later(0, lambda: _dial(node, room, variables, dial, (name, number), job_uuid))
    return f"+OK Job-UUID: {job_uuid}\n"


def _dial(node: Node, room: str, variables: dict[str, str], dial: str, caller: tuple[str, str], job_uuid: str) -> None:
    target = DIALLED.match(dial)
    if target is None:
        _dialled(node, room, job_uuid, "CHAN_NOT_IMPLEMENTED", [])
        return
    address = sip.Address(target["ip"], int(target["port"] or "5060"))
    name, number = caller
    given: sip.Variables = [
        ("conference_bgdial_jobid", job_uuid),
        *variables.items(),
        ("origination_caller_id_name", name),
        ("origination_caller_id_number", number),
    ]
    call = OutboundCall(node, sip.INTERNAL, target["user"], address, caller, given)

    def fail() -> None:
        _dialled(node, room, job_uuid, cause, [])
        call.end(cause)

    def join() -> None:
        _dialled(node, room, job_uuid, "SUCCESS", [("Peer-UUID", call.uuid)])
        call.take_over("conference", room)

    cause = call.dial()
    if cause:
        call.later(TICK, fail)
        return
    call.later(TICK, call.answer)
    call.later(2 * TICK, join)


def _dialled(node: Node, room: str, job_uuid: str, result: str, peer: list[tuple[str, str]]) -> None:
    conference = node.conferences.get(room)
    headers = [*(conference.headers() if conference else []), ("Action", "bgdial-result")]
    node.emit_conference("bgdial-result", [*headers, ("Result", result), ("Job-UUID", job_uuid), *peer])
