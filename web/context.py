"""What a view may reach: the controller, the cursors, the console, and the app on whose behalf it acts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from flask import Flask, Request, current_app, request

from controller.commands import Command
from controller.controller import Health
from controller.errors import OverRate
from controller.idempotency import Once, Work
from controller.limits import Admission, Budget
from controller.live import Filter, Subscription
from controller.operators import Logins
from controller.overview import Overview
from controller.speaking import Speaking
from controller.statistics import Statistics
from web.clients import Failures
from web.cursor import Cursors

Answer = TypeVar("Answer")

_KEY = "switchroom"

# Where a request's own facts are kept: in its WSGI environment, so that the server's access log has them too.
APP_ID = "switchroom.app_id"
REQUEST_ID = "switchroom.request_id"
# Where the server puts the connection.
CONNECTION = "switchroom.connection"
ROUTE = "switchroom.route"  # the rule that matched the path
ACTOR = "switchroom.actor"  # who asks, if not the app itself
ADMISSION = "switchroom.admission"  # there until the request was counted
BUDGET = "switchroom.budget"  # what is left of the rate of whoever asks
ONCE = "switchroom.once"  # the request, if it has an idempotency key
IS_PART = "switchroom.is_part"  # there for a command of a batch

# W3C Trace Context, version 00: trace and parent are not all zeros.
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


class Tenant(Protocol):
    @property
    def id(self) -> str: ...


class Controller(Protocol):
    """The part of `controller.controller.Controller` that the API needs."""

    def authenticate(self, app_id: str, api_key: str) -> Tenant | None: ...

    def admit(self, admission: Admission) -> None: ...

    def admit_each(self, app_id: str, count: int) -> list[Budget | OverRate]: ...

    def execute(self, command: Command[Answer], admission: Admission | None = None) -> Answer: ...

    def carry_out_once(self, app_id: str, once: Once, verb: str, hold_ms: int, work: Work) -> dict[str, Any]: ...

    def health(self) -> Health: ...


class Streams(Protocol):
    """The part of `controller.live.Feed` that the API needs."""

    def open(
        self, app_id: str | None, wanted: Filter, last_event_id: str, cut_off: Callable[[], None]
    ) -> Subscription: ...


class Recordings(Protocol):
    """The part of `controller.recordings.places.RecordingPlaces` that the API needs."""

    def fetch(self, app_id: str, recording_id: str, holder: str, first: int, size: int) -> Iterator[bytes]: ...


class Connection(Protocol):
    """What the server lets a response without end do with its connection."""

    def cut_off(self) -> None:
        """End it, even while it is being written to."""

    def begin_stream(self, end: Callable[[], None]) -> bool:
        """The response has no end of its own: `end` is called when the server stops. False if there are too many."""


class _NoConnection:
    """In place of the connection, where no server is."""

    def cut_off(self) -> None:
        pass

    def begin_stream(self, end: Callable[[], None]) -> bool:  # noqa: ARG002
        return True


@dataclass(frozen=True, slots=True)
class Console:
    """What the console needs besides. `url`: where browsers reach it, "" for wherever a request came to. `secure`:
    whether its cookie is for HTTPS only; by HTTPS it always is.
    """

    logins: Logins
    overview: Overview
    statistics: Statistics
    speaking: Speaking
    url: str = ""
    secure: bool = False


@dataclass(frozen=True, slots=True)
class Context:
    controller: Controller
    streams: Streams
    cursors: Cursors
    failures: Failures
    console: Console | None = None
    recordings: Recordings | None = None


def install(app: Flask, context: Context) -> None:
    app.extensions[_KEY] = context


def controller() -> Controller:
    return _context().controller


def streams() -> Streams:
    return _context().streams


def recordings() -> Recordings | None:
    """None when there are no relays, and so no recordings."""
    return _context().recordings


def connection() -> Connection:
    """That of the current request."""
    found: Connection = request.environ.get(CONNECTION, _NoConnection())
    return found


def cursors() -> Cursors:
    return _context().cursors


def failures() -> Failures:
    return _context().failures


def console() -> Console | None:
    """None when the console is disabled."""
    return _context().console


def current() -> Request:
    """The current request. For whoever asks several things of it: each look at `flask.request` finds it anew."""
    found: Request = request._get_current_object()  # type: ignore[attr-defined]
    return found


def size(environ: dict[str, Any]) -> int:
    """Bytes of a request's body, which the server has read, or measured."""
    return int(environ.get("CONTENT_LENGTH") or 0)


def count(environ: dict[str, Any], who: str) -> None:
    """The request counts for the rate of `who`, from the first `execute` or `admit` on."""
    environ[ADMISSION] = Admission(who, size(environ))


def admit(environ: dict[str, Any]) -> None:
    """Counts the request, if it was not yet. Raises OverRate, StoreUnavailable."""
    if ADMISSION in environ:
        _counted(environ, cast(Callable[[Admission | None], None], controller().admit))


def execute(command: Command[Answer]) -> Answer:
    """Carries the command out on behalf of whoever sent the request."""
    environ = current().environ
    about = {"actor": environ.get(ACTOR, ""), "trace": _trace(environ), "once": environ.get(ONCE)}
    if any(about.values()):
        command = replace(command, **about)
    return _counted(environ, partial(controller().execute, command))


def _counted(environ: dict[str, Any], work: Callable[[Admission | None], Answer]) -> Answer:
    """What `work` gives, which counts the request if that is yet to be done."""
    admission: Admission | None = environ.pop(ADMISSION, None)
    try:
        return work(admission)
    except OverRate as over:
        environ[BUDGET] = over.budget
        raise
    finally:
        if admission and admission.budget:
            environ[BUDGET] = admission.budget


def execute_once(verb: str, hold_ms: int, work: Work) -> dict[str, Any]:
    """The answer that `work` gives to a request that is no command: kept, if the request has an idempotency key."""
    once: Once | None = request.environ.get(ONCE)
    return controller().carry_out_once(app_id(), once, verb, hold_ms, work) if once else work()


def app_id() -> str:
    """The app whose key came with the request, or in whose name a session of the console acts; every view under the API
    prefix has one.
    """
    found: str = current().environ[APP_ID]
    return found


def asker() -> str:
    """Whose rate the request counts for: the app's, or that of whoever acts by a session of the console."""
    return actor() or app_id()


def actor() -> str:
    """Who acts by a session of the console; empty for the app itself."""
    found: str = request.environ.get(ACTOR, "")
    return found


def request_id() -> str:
    found: str = request.environ[REQUEST_ID]
    return found


def _trace(environ: dict[str, Any]) -> str:
    """The request's trace (W3C Trace Context); empty without a valid one."""
    given: str = environ.get("HTTP_TRACEPARENT", "")
    return given if _TRACEPARENT(given) else ""


def _context() -> Context:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    found: Context = app.extensions[_KEY]
    return found
