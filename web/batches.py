"""Many commands in one request.

Each is handled as a request of its own, with the same checks, answer and line in the event log, and counts as one for
the rate. But the API key is checked once, and all are counted in one round trip to the store. They are carried out one
after the other; between two the process serves others.
"""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

import gevent
import orjson
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from controller.errors import OverRate
from controller.idempotency import HOLD_LONG_MS, Once
from web import context, errors
from web.auth import API_PREFIX
from web.problems import Invalid
from web.resource import MAX_PROBLEMS, Resource, Returned
from web.schemas import BatchBody, BatchRequest, BatchResults

MAX_BYTES = 256 * 1024  # of the body
MAX_SECONDS = 15.0  # What has not begun by then gets a 503: the client waits for all.
# Whose operations are commands, but for those that only read.
COMMANDS = ("conferences", "sessions", "recordings")

batches = Resource("batch", "Many commands in one request.", url_prefix=f"{API_PREFIX}/batch")


@batches.serves("POST", "", responses={200: BatchResults}, max_bytes=MAX_BYTES)
def batch(body: BatchBody) -> Returned:
    """Carry out up to 100 commands, in their order.

    Takes what changes rooms, sessions and recordings: all of `/conferences`, `/sessions` and `/recordings` but GET.
    Each result has the status and body that the command would have had alone, and its `X-Error-Code` as `code`. One
    that is refused holds up no other. Each counts for the rate of requests: what is above it gets a 429, and what has
    not begun after 15 s a 503.
    With an `Idempotency-Key`, a batch that was cut off goes on where it was."""
    _check_paths(body.requests)
    # What was done of a batch that was cut off is not done again: each command has a key made of that of the batch.
    return context.execute_once("batch", HOLD_LONG_MS, lambda: {"results": _carry_out(body.requests)}), 200


def admit() -> None:
    """Counts the command of a batch that is the current request: that was done with all others. Raises OverRate."""
    budget = request.environ[context.BUDGET]
    if isinstance(budget, OverRate):
        request.environ[context.BUDGET] = budget.budget
        raise budget


def _check_paths(requests: list[BatchRequest]) -> None:
    """Raises Invalid if one is no command."""
    routes = current_app.url_map.bind("")
    problems = []
    for number, each in enumerate(requests):
        try:
            endpoint, _ = routes.match(each.path, each.method)
        except HTTPException:
            endpoint = ""
        if endpoint.partition(".")[0] not in COMMANDS:
            problems.append((f"requests.{number}.path", f"is no command that is sent with {each.method}"))
    if problems:
        raise Invalid(problems[:MAX_PROBLEMS])


def _carry_out(requests: list[BatchRequest]) -> list[dict[str, Any]]:
    environ, app = request.environ, current_app._get_current_object()  # type: ignore[attr-defined]
    once: Once | None = environ.get(context.ONCE)
    # The request itself has counted for its first command.
    admitted = [environ[context.BUDGET], *context.controller().admit_each(context.asker(), len(requests) - 1)]
    results = []
    until = time.monotonic() + MAX_SECONDS
    for number, (each, budget) in enumerate(zip(requests, admitted, strict=True)):
        part = _environ(environ, each) | {context.BUDGET: budget, context.ONCE: once and once.part(number)}
        results.append(_result(_respond(app, part) if time.monotonic() < until else _late()))
        gevent.sleep(0)
    last = admitted[-1]
    environ[context.BUDGET] = last.budget if isinstance(last, OverRate) else last
    return results


def _environ(environ: dict[str, Any], each: BatchRequest) -> dict[str, Any]:
    """The WSGI environment of a command, as if it had come alone."""
    text = b"" if each.body is None else orjson.dumps(each.body)
    return {
        **{name: value for name, value in environ.items() if name != "HTTP_IDEMPOTENCY_KEY"},
        "REQUEST_METHOD": each.method,
        "PATH_INFO": each.path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(text)),
        "wsgi.input": BytesIO(text),
        context.IS_PART: True,
    }


def _respond(app: Flask, environ: dict[str, Any]) -> Response:
    with app.request_context(environ):
        return app.full_dispatch_request()


def _late() -> Response:
    return errors.respond(503, headers={"Retry-After": str(errors.RETRY_AFTER)})


def _result(response: Response) -> dict[str, Any]:
    return {
        "status": response.status_code,
        "code": response.headers.get(errors.CODE_HEADER, ""),
        "body": orjson.loads(response.get_data()),
    }
