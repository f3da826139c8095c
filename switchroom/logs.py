"""What a process says about itself: structlog on stderr, for people on a terminal, else a JSON object a line.

Both are safe to look at: control characters are escaped, and what its name gives away as secret is left out.
The record of what happened in rooms is another thing, the event log (`switchroom tail`).
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LEVELS = ("debug", "info", "warning", "error")

_PLAIN = frozenset((str, int, float, bool, type(None)))  # the types of most values, which hold no others
_SECRET = re.compile(r"password|passwd|secret|api_?key|authorization|credential", re.IGNORECASE)
# C0, DEL, C1, and what turns the direction of text around.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def escaped(text: str) -> str:
    """`text` as it can be shown on a terminal: nothing in it moves the cursor, colours or reorders."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class _Lines:
    """Writes the lines of one of structlog's loggers. A log that cannot be written stops nothing."""

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self._stream = stream
        self.name = name

    def info(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass

    debug = warning = error = critical = info


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Route structlog and the standard library's logging to `stream` (stderr). Once, by an entry point."""
    stream = stream or sys.stderr
    terminal = stream.isatty()
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=not terminal),
        structlog.processors.format_exc_info,
        hide_secrets,
    ]
    last: list[Processor] = (
        [_escape, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if terminal
        else [structlog.processors.JSONRenderer(serializer=_json)]
    )
    # Not by way of the standard library: a line of its takes three times as long, and each request has one.
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=partial(_Lines, stream),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=False,
    )
    # What no line has: who called, looked up in the stack for each, and the thread, process and task.
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A processor: what a name gives away as secret is not written, however deep it stands."""
    return {
        name: value if type(value) in _PLAIN and not (value and _is_secret(name)) else _hidden(name, value)
        for name, value in event.items()
    }


def _hidden(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return {inner: _hidden(str(inner), deeper) for inner, deeper in value.items()}
    return "***" if value and _is_secret(name) else value


@lru_cache(1000)
def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {
        # A traceback's line breaks are its own. Set in, none of its lines passes for another entry.
        escaped(name): "\n  ".join(map(escaped, value.split("\n")))
        if name == "exception"
        else escaped(value if isinstance(value, str) else str(value))
        for name, value in event.items()
    }


def _json(event: EventDict, default: Any = None, **_: Any) -> str:
    try:
        text = orjson.dumps(event, default=default or repr).decode()
    except TypeError:
        # It takes no half of a surrogate pair, no number of more than 64 bits, and no names but texts.
        text = json.dumps(event, default=repr, skipkeys=True)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
