"""The Lua files as the store gets them."""

from __future__ import annotations

import re
from graphlib import CycleError

import pytest

from controller.store import scripts
from controller.store.scripts import LUA, Source, libraries_of, parse


def library(name: str, *needs: str) -> Source:
    head = f"-- needs: {' '.join(needs)}\n" if needs else ""
    return parse(LUA / "lib" / f"{name}.lua", f"-- Is {name}.\n{head}")


def test_a_head_says_arguments_and_needs() -> None:
    source = parse(LUA / "rooms" / "sample.lua", "-- Says what it does.\n-- args: room_id name?\n-- needs: members\n")
    assert source.arguments == {"room_id": True, "name": False}
    assert source.needs == ("members",)
    assert not source.is_library


def test_libraries_come_after_those_that_they_need() -> None:
    known = {each.name: each for each in (library("core"), library("a", "b"), library("b", "c"), library("c"))}
    assert [each.name for each in libraries_of(library("script", "c", "a"), known)] == ["core", "c", "b", "a"]


def test_libraries_that_need_each_other_are_refused() -> None:
    known = {each.name: each for each in (library("core"), library("a", "b"), library("b", "a"))}
    with pytest.raises(CycleError):
        libraries_of(library("script", "a"), known)


def test_a_library_that_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        libraries_of(library("script", "nothing"), {"core": library("core")})


def test_a_script_takes_its_own_arguments_and_those_of_its_libraries() -> None:
    play = scripts.load()["play"]
    assert {"urls", "room_id", "group"} <= play.required
    assert {"session_id"} <= play.arguments - play.required
    assert scripts.arguments("play") == play.arguments


def test_scripts_of_which_several_run_in_one_call() -> None:
    for name, script in scripts.load().items():
        assert script.text.endswith("return each(carry_out)\n") == (name in scripts.TOGETHER), name


def test_a_script_has_of_the_prelude_what_it_uses() -> None:
    text = scripts.load()["admit"].text
    assert "function keys.rate(first) return" in text
    assert "function keys.outbox" not in text
    assert "SESSION" not in text


def test_a_script_has_of_its_libraries_what_it_uses() -> None:
    for script in scripts.load().values():
        code = re.sub(r"--.*", "", script.text)
        for name in re.findall(r"^local function (\w+)", code, re.MULTILINE):
            assert len(re.findall(rf"\b{name}\b", code)) > 1, (script.name, name)
    (get_session, get_room) = (scripts.load()[name].text for name in ("get_session", "get_room"))
    assert "function describe_session(" in get_session
    assert "function describe_session(" not in get_room


def test_each_line_is_that_of_a_file() -> None:
    for script in scripts.load().values():
        for number, line in enumerate(script.text.splitlines(), start=1):
            place = script.locate(f"at user_script:{number}: x")
            file, at = place.removeprefix("at ").removesuffix(": x").split(":")
            if file != "prelude":
                assert line in ("", (LUA.parent / file).read_text().splitlines()[int(at) - 1])
