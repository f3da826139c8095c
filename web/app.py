"""The application factory."""

from __future__ import annotations

import math
import re
import secrets
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from flask import Request, Response, request
from flask.json.provider import JSONProvider
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import NotFound, RequestEntityTooLarge
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

    def response(self, *args: Any, **kwargs: Any) -> Response:
        return _Answer(orjson.dumps(self._prepare_response_obj(args, kwargs)), content_type=resource.JSON)


class _Answer(Response):
    """One whose body is whole and whose headers are final, so that nothing is to be worked out for the server."""

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


class App(OpenAPI):
    """The WSGI application. `body_limits`: how large a body may be (bytes), by endpoint."""

    json_provider_class = _Json
    body_limits: dict[str, int]

    def body_limit(self, environ: dict[str, Any]) -> int:
        """How large the body of this request may be (bytes): with a key, as its endpoint says."""
        with self.request_context(environ):
            try:
                who = cookies.principal() if auth.is_by_cookie(environ) else auth.tenant(environ)
            except StoreUnavailable:
                return self.limit_of_endpoint(request)  # The error is reported once the body has been read.
            if who is None:
                return bodies.SMALL
            environ[context.APP_ID] = who.actor if isinstance(who, Principal) else who.id
            return self.limit_of_endpoint(request)

    def limit_of_endpoint(self, asked: Request) -> int:
        """How large the body of this request may be (bytes), whoever sent it."""
        return self.body_limits.get(asked.endpoint or "", bodies.SMALL)

    # What follows is Flask's own for each request, without what no view here uses: sessions, hooks of blueprints, views
    # that are coroutines, and host names as a part of routes.

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        if request is None or "HTTP_UPGRADE" in request.environ:
            return super().create_url_adapter(request)
        query = request.environ.get("QUERY_STRING", "")
        return MapAdapter(self.url_map, "", "", "", request.scheme, request.path, request.method, query)

    def preprocess_request(self) -> None:
        for before in self.before_request_funcs[None]:
            before()

    def process_response(self, response: Response) -> Response:
        for after in reversed(self.after_request_funcs[None]):
            response = after(response)
        return response

    def ensure_sync(self, func: View) -> View:
        return func

    def make_response(self, rv: Any) -> Response:
        if type(rv) is tuple and len(rv) == 2 and type(rv[0]) is dict:
            return _Answer(orjson.dumps(rv[0]), rv[1], content_type=resource.JSON)
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
    asked.max_content_length = max_bytes = app.limit_of_endpoint(asked)
    if context.IS_PART in environ:
        admit()
    else:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[context.REQUEST_ID] = given if _REQUEST_ID(given) else str(uuid.uuid4())
        if rule:
            environ[context.ROUTE] = rule.rule
        auth.authenticate(environ, rule.rule if rule else asked.path)
        # The views of these execute a command at once, and its step counts the request, too: one way to the store less.
        if asked.blueprint not in COMMANDS or size > MAX_UNCOUNTED_BYTES:
            context.admit()
    # The router drops slashes at the beginning, which the path of another resource has.
    if environ["PATH_INFO"].startswith("//"):
        raise NotFound
    # Werkzeug checks this only when a body is read, and not every view reads it.
    if size > max_bytes:
        raise RequestEntityTooLarge


def _finish(response: Response) -> Response:
    environ = request.environ
    # What did not come as far as its command.
    try:
        with suppress(StoreUnavailable):
            context.admit()
    except OverRate as over:
        response = errors.refused(over)
    headers = response.headers
    # Not set, but added: none of them is there yet.
    headers.add("X-Request-ID", environ[context.REQUEST_ID])
    headers.add("X-Content-Type-Options", "nosniff")
    headers.setdefault("Cache-Control", "no-store")
    if (once := environ.get(context.ONCE)) and once.is_replay:
        headers.add(resource.REPLAYED, "true")
    if budget := environ.get(context.BUDGET):
        headers.add("RateLimit-Limit", str(budget.limit))
        headers.add("RateLimit-Remaining", str(budget.remaining))
        headers.add("RateLimit-Reset", str(math.ceil(budget.reset_ms / 1000)))
    return response
