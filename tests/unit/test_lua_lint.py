"""The check of the Lua files finds what it says it does."""

from __future__ import annotations

from functools import cache

import pytest

from controller.store.scripts import LUA, libraries, libraries_of, parse
from tests.lua_lint import File, check

HEAD = "-- Says what it does.\n-- args: room_id\n"
USE = "\nreturn args.room_id\n"


@cache
def library(name: str) -> File:
    return File(libraries()[name])


def problems(text: str) -> list[tuple[int, str]]:
    """Of a script with that text."""
    source = parse(LUA / "rooms" / "sample.lua", text)
    file = File(source, [library(needed.name) for needed in libraries_of(source)])
    file.mark_used()
    return file.all_problems()


def test_there_are_none() -> None:
    assert list(check()) == []


def test_a_file_without_fault() -> None:
    assert problems(HEAD + "local room = get_room(args.room_id)\nreturn cjson.encode({ name = room.name })\n") == []


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("return rom(args.room_id)", 3, "rom is not there"),
        ("local room = get_room(args.room_id)\nreturn nil", 3, "room is not used"),
        ("for _, unused in ipairs({}) do log(args.room_id) end", 3, "unused is not used"),
        ("local function room(id) return args.room_id end\nreturn room", 3, "id is not used"),
        (
            "local found = empty_each_step({})\nfound[1] = args.room_id",
            3,
            "empty_each_step is for libraries: here it would be called at each step",
        ),
        ("count = args.room_id", 3, "count is assigned, and is no local of this file"),
        (
            "local COUNT = 0\nCOUNT = COUNT + 1\nlog(args.room_id)",
            4,
            "COUNT is assigned in a step, and is there for all of them",
        ),
        ("local r = args.room_id\nreturn r", 3, "r is no word"),
        ("local log = args.room_id\nreturn log", 3, "log hides another"),
        ("local id = args.room_id\nif id then local id = 1\nreturn id end", 4, "id hides another"),
        ("return args.room_id == args.rooms", 3, "args.rooms is read and not declared"),
        ("return NOW", 1, "argument room_id is declared and not read"),
        ("return log(args.room_id, args)", 3, "args is read as a whole"),
        ("return keys.rom(args.room_id)", 3, "keys.rom is not there"),
        ("return args.room_id == SESSION.joning", 3, "SESSION.joning is not there"),
        ('return step("SESSION", args.room_id, "joyned")', 3, "SESSION has no event joyned"),
        ('return step("SESSION", "", args.room_id and "join" or "joyn")', 3, "SESSION has no event joyn"),
        ('return step("SESSION", "", args.room_id and "joyn" or "join")', 3, "SESSION has no event joyn"),
        ('-- needs: session_steps\nstep_session(args.room_id, "joyn", {})', 4, "SESSION has no event joyn"),
        ('-- needs: playback\nstep_playback(args.room_id, "stop", "")', 4, "PLAYBACK has no event stop"),
        ('-- needs: members\ndepart(args.room_id, {}, "gone", "", {})', 4, "SESSION has no event gone"),
        ('-- needs: playback\nend_urls(args.room_id, {}, {}, "end")', 4, "URL has no event end"),
        (
            'local function move(room, event) step("PLAYBACK", room, event) end\nmove(args.room_id, "next")',
            3,
            "move takes an event, and is not in PASS_EVENTS with it",
        ),
        ("return keys.room(args.room_id, 1)", 3, "keys.room takes 1 ids, not 2"),
        ("return keys.cooldown(args.room_id)", 3, "keys.cooldown takes 2 ids, not 1"),
        ('return args.room_id.state == "joined"', 3, '"joined" is the text of a state'),
        ('return "stopped" ~= args.room_id.status', 3, '"stopped" is the text of a state'),
        ('local state = args.room_id\nreturn state == "queued"', 4, '"queued" is the text of a state'),
        ('local room = {}\nroom.status = args.room_id and "paused" or nil', 4, '"paused" is the text of a state'),
        ('return { id = args.room_id, state = "parked" }', 3, '"parked" is the text of a state'),
        ('redis.call("HSET", args.room_id, "seq", 0, "status", "stopped")', 3, '"stopped" is the text of a state'),
        (f"-- {'x' * 120}" + USE, 3, "the line has 123 characters, more than 120"),
    ],
)
def test_a_fault_is_found(text: str, line: int, problem: str) -> None:
    assert problems(HEAD + text) == [(line, problem)]


def test_what_is_no_lua_is_found() -> None:
    ((_, problem),) = problems(HEAD + "if args.room_id then")
    assert "syntax" in problem


def test_a_file_that_does_not_say_what_it_does_is_found() -> None:
    assert problems("-- args: room_id" + USE) == [(1, "no comment says what it does")]


def test_a_library_that_is_needed_for_nothing_is_found() -> None:
    assert problems(HEAD + "-- needs: pages" + USE) == [(1, "library pages is needed for nothing")]
