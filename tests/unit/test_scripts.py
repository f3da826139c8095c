"""The Lua files as the store gets them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
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


def test_what_a_script_defines_is_made_once() -> None:
    text = "-- Says.\n\nlocal MOST = 3 -- of them\nlocal function f(x)\n  return x\nend\n\n-- Why.\nlocal y = f(1)\nreturn y\n"
    definitions, body = scripts.split(text)
    assert (definitions + body, body) == (text, "local y = f(1)\nreturn y\n")


def test_the_text_of_all_scripts_names_its_version() -> None:
    library = scripts.library()
    other = replace(library, code=library.code + "-- \n")
    assert library.version != other.version
    assert f'function_name = "take_{library.version}", flags = {{ "allow-oom" }}' in library.text("x")
    assert f'function_name = "play_{library.version}", flags = {{  }}' in library.text("x")


@pytest.mark.parametrize("kind", ["function", "script"])
def test_each_line_is_that_of_a_file(kind: str) -> None:
    library = scripts.library()
    text = library.text("x") if kind == "function" else library.script(when_full=True)
    files = defaultdict(set)
    for number, line in enumerate(text.splitlines(), start=1):
        place = library.locate(f"at user_{kind}:{number}: x")
        file, at = place.removeprefix("at ").removesuffix(": x").split(":")
        if file != "prelude":
            files[file].add(int(at))
            assert (
                line.removeprefix("local function carry_out() ")
                == (LUA.parent / file).read_text().splitlines()[int(at) - 1]
            )
    for source in (*scripts.sources().values(), *scripts.libraries().values()):
        count = source.text.count("\n")
        assert files[str(source.path.relative_to(LUA.parent))] == set(range(1, count + 1)), source.name
