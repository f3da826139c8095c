"""The application factory."""

from __future__ import annotations

import math
import re
import secrets
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from flask import Flask, Request, Response, request
from flask.json.provider import JSONProvider
from flask.sessions import NullSession, SessionInterface
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.routing import MapAdapter

from controller.errors import OverRate, StoreUnavailable
from controller.operators import Principal
from web import auth, bodies, context, cookies, errors, openapi, resource
from web.batches import COMMANDS, admit, batches
from web.clients import Failures
from web.conferences import conferences
from web.console import console_pages
from web.context import Context, Controller, Streams
from web.cursor import Cursors
from web.events import events
from web.health import health
from web.portal_links import portal_links
from web.recordings import recordings
from web.schemas import Error
from web.sessions import sessions
from web.webhooks import webhooks

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

View = TypeVar("View", bound=Callable[..., Any])

# Of a body that is read before the request was counted.
MAX_UNCOUNTED_BYTES = 4096

_STATUS = {code: f"{code} {name.upper()}" for code, name in HTTP_STATUS_CODES.items()}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


@dataclass(frozen=True, slots=True)
class WebSettings:
    """`cursor_key` seals cursors: API processes that serve the same clients must share it."""

    cursor_key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


class _Json(JSONProvider):
    def dumps(self, obj: Any, **_options: Any) -> str:
        return orjson.dumps(obj).decode()

    def loads(self, s: str | bytes, **_options: Any) -> Any:
        return orjson.loads(s)


class _Headers(list[tuple[str, str]]):
    """Those of an answer, as the server takes them. What is added is not there yet."""

    def get(self, name: str, default: str = "") -> str:
        return next((value for each, value in self if each == name), default)

    def update(self, more: Mapping[str, str]) -> None:
        self.extend(more.items())


class _Answer:
    """A response with the JSON of a view, in place of Flask's, which works out again what is known of it."""

    def __init__(self, body: bytes, status: int) -> None:
        self.status_code = status
        self.headers = _Headers((("Content-Type", resource.JSON), ("Content-Length", str(len(body)))))
        self._body = body

    def get_data(self) -> bytes:
        return self._body

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response(_STATUS[self.status_code], self.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self._body]


class _Request(Request):
    def close(self) -> None:
        """Nothing: no view takes files."""


class _NoSessions(SessionInterface):
    _none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:  # noqa: ARG002
        return self._none


class App(OpenAPI):
    """The WSGI application. `body_limits`: how large a body may be (bytes), by endpoint."""

    json_provider_class = _Json
    request_class = _Request
    session_interface = _NoSessions()
    body_limits: dict[str, int]

    def body_limit(self, environ: dict[str, Any]) -> int:
        """How large the body of this request may be (bytes): with a key, as its endpoint says."""
        with self.request_context(environ):
            try:
                who = cookies.principal() if auth.is_by_cookie(environ) else auth.tenant(environ)
            except StoreUnavailable:
                return self.limit_of(request.endpoint)  # The error is reported once the body has been read.
            if who is None:
                return bodies.SMALL
            environ[context.APP_ID] = who.actor if isinstance(who, Principal) else who.id
            return self.limit_of(request.endpoint)

    def limit_of(self, endpoint: str | None) -> int:
        """How large the body of a request to the endpoint may be (bytes), whoever sends it."""
        return self.body_limits.get(endpoint or "", bodies.SMALL)

    # What follows is Flask's own for each request, without what no view here uses: sessions, signals, hooks of
    # blueprints and of a request's end, views that are coroutines, and host names as a part of routes.

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None:
            return None
        if "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        query = request.environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, "", "", "", request.scheme, request.path, request.method, query)

    def full_dispatch_request(self) -> Response:
        try:
            self.preprocess_request()
            returned = self.dispatch_request()
        except Exception as error:
            returned = self.handle_user_exception(error)
        return self.process_response(self.make_response(returned))

    def do_teardown_request(self, *_: Any) -> None:
        pass

    do_teardown_appcontext = do_teardown_request  # type: ignore[assignment]

    def preprocess_request(self) -> None:
        for before in self.before_request_funcs[None]:
            before()

    def process_response(self, response: Response) -> Response:
        for after in reversed(self.after_request_funcs[None]):
            response = after(response)
        return response

    def ensure_sync(self, func: View) -> View:
        return func

    def make_response(self, rv: Any) -> Any:
        if type(rv) is tuple and len(rv) == 2 and type(rv[0]) is dict:
            return _Answer(orjson.dumps(rv[0]), rv[1])
        return super().make_response(rv)

    def make_default_options_response(self) -> Response:
        response = super().make_default_options_response()
        response.status_code = 204
        del response.headers["Content-Type"]
        return response


def create_app(
    controller: Controller,
    streams: Streams,
    *,
    settings: WebSettings | None = None,
    console: context.Console | None = None,
    files: context.Recordings | None = None,
) -> App:
    """The REST API over `controller`, and the event streams, as a WSGI application; with the `console`, if it is
    enabled. `files`: those of recordings, if there are any.
    """
    settings = settings or WebSettings()
    app = App(
        __name__,
        info=Info(title=openapi.TITLE, version=openapi.VERSION, description=openapi.DESCRIPTION),
        security_schemes=auth.SECURITY_SCHEMES,
        validation_error_status=400,
        validation_error_model=Error,
        doc_ui=False,
        static_folder=None,
    )
    # A path is taken as it stands: `//` and a trailing `/` are other paths, not redirects.
    app.url_map.merge_slashes = False
    context.install(app, Context(controller, streams, Cursors(settings.cursor_key), Failures(), console, files))
    app.before_request(partial(_admit, app))
    app.after_request(_finish)
    errors.install(app)
    app.body_limits = {}
    for each in (conferences, sessions, recordings, batches, webhooks, events, portal_links):
        app.register_api(each)
        app.body_limits |= each.body_limits
    app.register_api(health)
    if console:
        app.register_blueprint(console_pages)
    openapi.install(app)
    return app


def _admit(app: App) -> None:
    """Before every view: the request's id, which log lines need, then the key, before a response reveals anything."""
    asked = context.current()
    environ, rule, size = asked.environ, asked.url_rule, context.size(asked.environ)
    endpoint = rule.endpoint if rule else ""
    asked.max_content_length = max_bytes = app.limit_of(endpoint)
    if context.IS_PART in environ:
        admit()
    else:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[context.REQUEST_ID] = given if _REQUEST_ID(given) else str(uuid.uuid4())
        if rule:
            environ[context.ROUTE] = rule.rule
        auth.authenticate(environ, rule.rule if rule else asked.path)
        # The views of these execute a command at once, and its step counts the request, too: one way to the store less.
        if endpoint.partition(".")[0] not in COMMANDS or size > MAX_UNCOUNTED_BYTES:
            context.admit(environ)
    # The router drops slashes at the beginning, which the path of another resource has.
    if environ["PATH_INFO"].startswith("//"):
        raise NotFound
    # Werkzeug checks this only when a body is read, and not every view reads it.
    if size > max_bytes:
        raise RequestEntityTooLarge


def _counted_late(environ: dict[str, Any], response: Response | _Answer) -> Response | _Answer:
    """The response to a request that did not come as far as its command."""
    try:
        with suppress(StoreUnavailable):
            context.admit(environ)
    except OverRate as over:
        return errors.refused(over)
    return response


def _finish(response: Response | _Answer) -> Response | _Answer:
    environ = request.environ
    if context.ADMISSION in environ:
        response = _counted_late(environ, response)
    # None of them is there yet.
    added = [("X-Request-ID", environ[context.REQUEST_ID]), ("X-Content-Type-Options", "nosniff")]
    if isinstance(response, _Answer) or "Cache-Control" not in response.headers:
        added.append(("Cache-Control", "no-store"))
    if (once := environ.get(context.ONCE)) and once.is_replay:
        added.append((resource.REPLAYED, "true"))
    if budget := environ.get(context.BUDGET):
        added += [
            ("RateLimit-Limit", str(budget.limit)),
            ("RateLimit-Remaining", str(budget.remaining)),
            ("RateLimit-Reset", str(math.ceil(budget.reset_ms / 1000))),
        ]
    response.headers.extend(added)
    return response
