"""What a process says about itself is safe to look at, for people and for programs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator

import pytest
import structlog

from switchroom.logs import configure

# What moves a terminal's cursor or colours it (C0, DEL, C1), and what turns the direction of text around.
UNSAFE = [*map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, 0x2028, 0x2029))]
UNSAFE += map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))


class Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    def lines(self) -> list[str]:
        return self.getvalue().split("\n")[:-1]


Start = Callable[[bool], Stream]


@pytest.fixture
def start() -> Iterator[Start]:
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = root.handlers[:], root.level

    def start(terminal: bool) -> Stream:
        stream = Stream(terminal)
        configure("info", stream)
        return stream

    yield start
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


def say(text: str) -> None:
    log = structlog.get_logger("test")
    log.info("caller " + text, caller=text, fields={text: [text]}, **{f"name {text}": 1})
    logging.getLogger("test").warning("caller %s", text)
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("it failed", caller=text)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("character", UNSAFE, ids=[f"U+{ord(character):04X}" for character in UNSAFE])
def test_nothing_acts_on_who_looks_at_it(start: Start, character: str, terminal: bool) -> None:
    plain = start(terminal)
    say("x")
    stream = start(terminal)
    say(f"a{character}b")
    # The renderer's own colours and line breaks are as many as without; an exception's lines are set in.
    shown, own = (each.getvalue().replace("\n  ", "") for each in (stream, plain))
    assert shown.count(character) == own.count(character)


def test_json_says_what_was_said(start: Start) -> None:
    text = "".join(UNSAFE)
    stream = start(False)
    say(text)
    first, second, third = map(json.loads, stream.lines())
    assert (first["event"], first["caller"], first["fields"]) == ("caller " + text, text, {text: [text]})
    assert second["event"] == "caller " + text
    assert third["exception"].endswith(text)


def test_secrets_are_left_out(start: Start) -> None:
    stream = start(False)
    structlog.get_logger("test").info("said", api_key="hidden-word", node={"password": "hidden-word", "host": "h"})
    (line,) = map(json.loads, stream.lines())
    assert (line["api_key"], line["node"]) == ("***", {"password": "***", "host": "h"})


@pytest.mark.parametrize("terminal", [False, True])
def test_what_json_cannot_hold_is_written_all_the_same(start: Start, terminal: bool) -> None:
    stream = start(terminal)
    log = structlog.get_logger("test")
    for value in ("a\udc80", 2**70, {(1, 2): "pair"}, [{1: "one", (1, 2): "pair"}]):
        log.info("said", value=value, password="hidden-word")
        logging.getLogger("test").warning("said %s", value)
    assert [line.count("said") for line in stream.lines()] == [1] * 8
    assert "hidden-word" not in stream.getvalue()
