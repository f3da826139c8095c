"""What Lua says and what Python says of the same things: neither has what the other lacks."""

from __future__ import annotations

import re
from pathlib import Path

from controller.errors import REASONS
from controller.nodes.render import COMMANDS
from controller.sessions.flags import CHANGES, FLAGS
from controller.store.scripts import libraries, sources
from controller.webhooks.types import TYPES
from web.errors import STATUS

ROOT = Path(__file__).parents[2]
LUA = "".join(re.sub(r"--.*", "", source.text) for source in (*libraries().values(), *sources().values()))
PYTHON = "".join(path.read_text() for package in ("controller", "web") for path in (ROOT / package).rglob("*.py"))
OF_FLAGS = {flag.change(on).command for flag, on in CHANGES}


def literals(pattern: str, text: str = LUA) -> set[str]:
    return set(re.findall(pattern, text))


def test_every_refusal_has_its_reason_and_its_status() -> None:
    of_flags = {refusal for flag, on in CHANGES for refusal in (flag.change(on).already, flag.change(on).pending)}
    # A fence refuses a process, not an app.
    of_scripts = literals(r'\brefus(?:e|al)\("(\w+)"') - {"fenced"}
    elsewhere = literals(r'\bRefused\("(\w+)"', PYTHON) | literals(r'"refused": "(\w+)"', PYTHON)
    assert of_scripts | of_flags | elsewhere == set(REASONS) == set(STATUS)


def test_no_refusal_is_put_together() -> None:
    assert literals(r'\brefus(?:e|al)\(([^")][^,)]*)') == {"code", "change_to.already", "change_to.pending"}


def test_every_webhook_that_is_emitted_has_its_type() -> None:
    emitted = literals(r'"((?:conference|session)\.[\w.]+)"') | {flag.change(on).webhook for flag, on in CHANGES}
    assert emitted == set(TYPES)


def test_no_type_of_webhook_is_put_together() -> None:
    assert literals(r'\bemit_(?:room|session)\(\w+, ([^"]\S*),') == {"type", "changed_to.webhook"}


def test_every_command_to_a_node_is_rendered_and_its_result_read() -> None:
    sent = literals(r'\bsend(?:_about)?\([\w.]+, "(\w+)"') | OF_FLAGS
    assert sent == set(COMMANDS)
    assert sent == literals(r"\bRESULTS\.(\w+)") | OF_FLAGS


def test_no_command_to_a_node_is_put_together() -> None:
    assert literals(r'\bsend(?:_about)?\([\w.]+, ([^"\s]\S*),') == {"op", "change_to.command"}


def test_whatever_is_expected_is_handled_when_it_is_overdue() -> None:
    of_flags = {flag.on.command for flag in FLAGS}
    expected = literals(r'\bexpect\([\w.]+, "(\w+)"') | literals(r'\bsend_about\(\w+, [^,]+, "(\w+)"\)')
    assert expected | of_flags == literals(r"\bOVERDUE\.(\w+)") | of_flags
