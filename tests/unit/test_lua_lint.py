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
        ("count = args.room_id", 3, "count is assigned, and is no local of this file"),
        ("local r = args.room_id\nreturn r", 3, "r is no word"),
        ("local log = args.room_id\nreturn log", 3, "log hides another"),
        ("local id = args.room_id\nif id then local id = 1\nreturn id end", 4, "id hides another"),
        ("return args.room_id == args.rooms", 3, "args.rooms is read and not declared"),
        ("return NOW", 1, "argument room_id is declared and not read"),
        ("return log(args.room_id, args)", 3, "args is read as a whole"),
        ("return keys.rom(args.room_id)", 3, "keys.rom is not there"),
        ("return args.room_id == SESSION.joning", 3, "SESSION.joning is not there"),
        ('return step("SESSION", args.room_id, "joyned")', 3, "SESSION has no event joyned"),
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
