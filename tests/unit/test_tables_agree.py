"""What Python, Lua and the console's pages say of the same things: none has what another lacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from luaparser import ast
from luaparser import astnodes as lua

from controller import commands, passwords
from controller.commands.base import Command
from controller.commands.playback import MayPlay
from controller.commands.rooms import RoomOptions
from controller.commands.sessions import MayPlayToSession, Member, Session, SetFlag
from controller.errors import REASONS
from controller.media.reasons import REASONS as AUDIO_REASONS
from controller.nodes import translate
from controller.nodes.render import COMMANDS
from controller.room_options import OPTIONS, Kind, Option
from controller.sessions import levels
from controller.sessions.flags import CHANGES, FLAGS, Flag
from controller.sessions.levels import LEVELS, Level
from controller.store.scripts import arguments, libraries, sources
from controller.webhooks import types
from controller.webhooks.types import TYPES, ConferenceCommandFailed, MemberData
from esl.commands import LEVEL_VERBS, MAX_LEVEL, MEMBER_VERBS
from tests.lua_lint import texts
from web import schemas
from web.errors import STATUS

ROOT = Path(__file__).parents[2]
LUA = "".join(re.sub(r"--.*", "", source.text) for source in (*libraries().values(), *sources().values()))
PYTHON = "".join(path.read_text() for package in ("controller", "web") for path in (ROOT / package).rglob("*.py"))
COMMAND_CLASSES = [
    kind
    for kind in (*(getattr(commands, name) for name in commands.__all__), MayPlay, MayPlayToSession)
    if isinstance(kind, type) and issubclass(kind, Command) and hasattr(kind, "script")
]
OF_FLAGS = {flag.change(on).command for flag, on in CHANGES}
OF_MEMBERS = OF_FLAGS | {level.name for level in LEVELS}


def literals(pattern: str, text: str = LUA) -> set[str]:
    return set(re.findall(pattern, text))


def test_every_refusal_has_its_reason_and_its_status() -> None:
    of_flags = {refusal for flag, on in CHANGES for refusal in flag.change(on).refusals}
    # A fence refuses a process, not an app; with an unknown node a step is run again.
    of_scripts = literals(r'\brefus(?:e|al)\("(\w+)"') - {"fenced", "unknown_node"}
    elsewhere = literals(r'\bRefused\("(\w+)"', PYTHON) | literals(r'"refused": "(\w+)"', PYTHON)
    assert of_scripts | of_flags | elsewhere == set(REASONS) == set(STATUS)


def test_no_refusal_is_put_together() -> None:
    assert literals(r'\brefus(?:e|al)\(([^")][^,)]*)') == {"code"}


def test_every_webhook_that_is_emitted_has_its_type() -> None:
    emitted = literals(r'"((?:conference|session)\.[\w.]+)"') | {flag.change(on).webhook for flag, on in CHANGES}
    emitted.add(levels.WEBHOOK)
    assert emitted == set(TYPES)


def test_no_type_of_webhook_is_put_together() -> None:
    assert literals(r'\bemit_(?:room|session|member)\(\w+, ([^"]\S*),') == {"type", "changed_to.webhook"}


def test_every_command_to_a_node_is_rendered_and_its_result_read() -> None:
    sent = literals(r'\bsend(?:_about|_call_command|_recording)?\([\w.]+, "(\w+)"') | OF_MEMBERS
    assert sent == set(COMMANDS)
    assert sent == literals(r"\bRESULTS\.(\w+)") | OF_MEMBERS


def test_no_command_to_a_node_is_put_together() -> None:
    assert literals(r'\bsend(?:_about|_call_command|_recording)?\([\w.]+, ([^"\s]\S*),') == {"op", "change_to.command"}


def test_whatever_is_expected_is_handled_when_it_is_overdue() -> None:
    expected = literals(r'\bexpect\([\w.]+, "(\w+)"') | literals(r'\bsend_about\(\w+, [^,]+, "(\w+)"\)')
    assert expected | OF_FLAGS == literals(r"\bOVERDUE\.(\w+)") | OF_FLAGS


@pytest.mark.parametrize("kind", COMMAND_CLASSES)
def test_a_command_and_its_script_need_the_same(kind: type[Command[Any]]) -> None:
    taken = arguments(kind.script)
    assert kind.needs_node == ("nodes" in taken)
    assert (bool(kind.cooldown) or issubclass(kind, SetFlag)) == ("group" in taken)


@pytest.mark.parametrize("flag", FLAGS)
def test_a_flag_has_its_field_wherever_members_are_described(flag: Flag) -> None:
    for answer in (Member, Session):
        assert get_type_hints(answer)[flag.name] is bool
    for model in (MemberData, schemas.Member, schemas.Session):
        assert model.model_fields[flag.name].is_required(), model
    # It may be about no member.
    assert not ConferenceCommandFailed.model_fields[flag.name].is_required()


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_has_its_field_wherever_members_are_described(level: Level) -> None:
    for answer in (Member, Session):
        assert get_type_hints(answer)[level.name] is int
    for model in (MemberData, schemas.Member, schemas.Session):
        assert model.model_fields[level.name].is_required(), model
    assert not ConferenceCommandFailed.model_fields[level.name].is_required()


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_has_its_field_wherever_rooms_are_described(option: Option) -> None:
    forms = {
        Kind.NUMBER: int | None,
        Kind.SWITCH: bool,
        Kind.TEXTS: list[str],
        Kind.ROLE: str | None,
        Kind.URL: str | None,
        Kind.BEEP: str | None,
    }
    assert get_type_hints(RoomOptions)[option.name] == forms[option.kind]
    for model in (schemas.RoomOptions, types.ConferenceUpdated):
        assert model.model_fields[option.name].is_required(), model
    for body in (schemas.NewRoom, schemas.RoomChanges):
        assert not body.model_fields[option.name].is_required(), body


def test_the_node_is_sent_every_change_of_a_member_and_no_other() -> None:
    assert MEMBER_VERBS | {"hold"} == OF_FLAGS
    assert {level.name for level in LEVELS} == LEVEL_VERBS
    assert (levels.MIN_LEVEL, levels.MAX_LEVEL) == (-MAX_LEVEL, MAX_LEVEL)


def test_the_console_asks_for_passwords_that_are_long_enough() -> None:
    page = (ROOT / "web/console/static/pages/password.js").read_text()
    assert re.findall(r"const MIN_LENGTH = (\d+);", page) == [str(passwords.MIN_LENGTH)]


def test_every_reason_that_is_given_is_documented_and_every_one_documented_is_given() -> None:
    of_results = {*AUDIO_REASONS, *(reason for _, reason in translate.FAILURES)} | literals(
        r'\bJobDone\(.*\breason="(\w+)"', PYTHON
    )
    assert of_results | reasons_of_scripts() == set(types.REASONS)


def reasons_of_scripts() -> set[str]:
    """What Lua code calls `reason` or `why`: variables, fields, arguments, and what functions `why_...` return."""
    nodes = [
        node for source in (*libraries().values(), *sources().values()) for node in ast.walk(ast.parse(source.text))
    ]
    places = {
        node.name.id: position
        for node in nodes
        if isinstance(node, lua.LocalFunction | lua.Function) and isinstance(node.name, lua.Name)
        for position, argument in enumerate(node.args)
        if is_reason(argument)
    }
    found: list[lua.Node] = []
    for node in nodes:
        match node:
            case lua.Call(func=lua.Name(id=name)) if places.get(name, len(node.args)) < len(node.args):
                found.append(node.args[places[name]])
            case lua.Field() if is_reason(node.key):
                found.append(node.value)
            case lua.Assign():  # LocalAssign, too
                found += [value for target, value in zip(node.targets, node.values, strict=False) if is_reason(target)]
            case lua.LocalFunction() if node.name.id.startswith("why_"):
                returns = (part for part in ast.walk(node.body) if isinstance(part, lua.Return))
                found += [value for part in returns for value in part.values]
    return {text for value in found for text in texts(value)} - {""}


def is_reason(node: lua.Node) -> bool:
    match node:
        case lua.Name(id="reason" | "why") | lua.Index(idx=lua.Name(id="reason" | "why")):
            return True
    return False
