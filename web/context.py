"""What a view may reach: the controller, the cursors, and the app on whose behalf it acts."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from flask import Flask, current_app, request

from controller.commands import Command
from controller.controller import Health
from web.clients import Failures
from web.cursor import Cursors

Answer = TypeVar("Answer")

_KEY = "switchroom"

# Where a request's own facts are kept: in its WSGI environment, so that the server's access log has them too.
APP_ID = "switchroom.app_id"
REQUEST_ID = "switchroom.request_id"
ACTOR = "switchroom.actor"  # who asks, if not the app itself

# W3C Trace Context, version 00: trace and parent are not all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


class Tenant(Protocol):
    @property
    def id(self) -> str: ...


class Controller(Protocol):
    """The part of `controller.controller.Controller` that the API needs."""

    def authenticate(self, app_id: str, api_key: str) -> Tenant | None: ...

    def admit(self, app_id: str, size: int = 0) -> None: ...

    def execute(self, command: Command[Answer]) -> Answer: ...

    def health(self) -> Health: ...


@dataclass(frozen=True, slots=True)
class Context:
    controller: Controller
    cursors: Cursors
    failures: Failures


def install(app: Flask, context: Context) -> None:
    app.extensions[_KEY] = context


def controller() -> Controller:
    return _context().controller


def cursors() -> Cursors:
    return _context().cursors


def failures() -> Failures:
    return _context().failures


def execute(command: Command[Answer]) -> Answer:
    """Carries the command out on behalf of whoever sent the request."""
    actor, trace = request.environ.get(ACTOR, ""), traceparent()
    if actor or trace:
        command = replace(command, actor=actor, trace=trace)
    return _context().controller.execute(command)


def app_id() -> str:
    """The app whose key came with the request; every view under the API prefix has one."""
    found: str = request.environ[APP_ID]
    return found


def request_id() -> str:
    found: str = request.environ[REQUEST_ID]
    return found


def traceparent() -> str:
    """The request's trace (W3C Trace Context); empty without a valid one."""
    given: str = request.environ.get("HTTP_TRACEPARENT", "")
    return given if _TRACEPARENT(given) else ""


def _context() -> Context:
    found: Context = current_app.extensions[_KEY]
    return found
