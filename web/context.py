"""What a view may reach: the controller, the cursors, and the app on whose behalf it acts."""

from __future__ import annotations

from dataclasses import dataclass
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
    return _context().controller.execute(command)


def app_id() -> str:
    """The app whose key came with the request; every view under the API prefix has one."""
    found: str = request.environ[APP_ID]
    return found


def request_id() -> str:
    found: str = request.environ[REQUEST_ID]
    return found


def _context() -> Context:
    found: Context = current_app.extensions[_KEY]
    return found
