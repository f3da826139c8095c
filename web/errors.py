"""Every response that is not a success: one envelope, one table from reason to status."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from flask_openapi3.types import ResponseDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed, RequestEntityTooLarge

from controller.errors import REASONS, Refused, StoreUnavailable
from controller.sessions.flags import CHANGES
from controller.webhooks.types import ROOM
from web import context
from web.problems import Forbidden, Invalid, NotLoggedIn, Unauthenticated

logger = logging.getLogger(__name__)

# The status for each reason in `controller.errors.REASONS`.
STATUS: dict[str, int] = {
    "url_refused": 400,
    "room_forbidden": 403,
    "session_forbidden": 403,
    "dialing_forbidden": 403,
    "destination_forbidden": 403,
    "caller_id_forbidden": 403,
    "dial_limit_reached": 403,
    "room_not_found": 404,
    "session_not_found": 404,
    "not_in_room": 404,
    "recording_not_available": 409,
    "recording_gone": 410,
    "recording_unreachable": 503,
    "webhook_not_found": 404,
    "recording_not_found": 404,
    "app_not_found": 404,
    "node_not_found": 404,
    "name_taken": 409,
    "in_other_room": 409,
    "other_node": 409,
    "still_joining": 409,
    "still_dialing": 409,
    "room_locked": 409,
    "room_full": 409,
    "leaving": 409,
    "transferring": 409,
    "transferred": 409,
    **{refusal: 409 for flag, on in CHANGES for refusal in flag.change(on).refusals},
    "command_uid_taken": 409,
    "idempotency_key_in_use": 409,
    "idempotency_key_reused": 422,
    "dtmf_pending": 409,
    "volume_pending": 409,
    "coached_not_member": 409,
    "coached_on_other_node": 409,
    "coach_pending": 409,
    "already_coaching": 409,
    "not_coaching": 409,
    "too_many_coaches": 409,
    "members_pending": 409,
    "already_recording": 409,
    "room_empty": 409,
    "recording_starting": 409,
    "recording_pending": 409,
    "recording_over": 409,
    "already_paused": 409,
    "not_paused": 409,
    "nothing_playing": 409,
    "already_playing": 409,
    "on_hold": 409,
    "quota_exceeded": 409,
    "too_many_operations": 409,
    "webhook_pending": 409,
    "no_endpoint": 409,
    "endpoint_disabled": 409,
    "redelivery_under_way": 409,
    "no_console": 409,
    "rate_limited": 429,
    "too_many_streams": 503,
    "node_down": 503,
    "no_node": 503,
    "no_relay": 503,
    "store_full": 503,
    "too_many_logins": 503,
    "too_many_log_searches": 503,
}

# The errors that come from no refusal of the controller, by status.
TITLES: dict[int, str] = {
    400: "Invalid request",
    401: "Missing or invalid X-App-ID or X-API-Key",
    404: "There is no such path. /docs lists those there are.",
    405: "Method not allowed. The Allow header lists those that are.",
    408: "Request took too long to arrive",
    413: "Request body too large",
    414: "Request line too long",
    416: "The file has no such range of bytes. Content-Range says how many it has.",
    429: "Too many failed authentications. The correct key is accepted at any time.",
    431: "Request headers too large",
    500: "Internal error. The server's log says more under the X-Request-ID of this answer.",
    503: "Service temporarily unavailable. Try again in a few seconds.",
}

# What X-Error-Code says of these. A refusal has its reason there.
CODES: dict[int, str] = {
    400: "invalid",
    401: "unauthenticated",
    404: "no_such_path",
    405: "method_not_allowed",
    408: "too_slow",
    413: "too_large",
    414: "line_too_long",
    416: "no_such_range",
    429: "failures",
    431: "headers_too_large",
    500: "internal",
    503: "unavailable",
}
CODE_HEADER = "X-Error-Code"

# Seconds after which to ask again: a node's link that dropped, or a store that failed over, is back by then.
RETRY_AFTER = 2

_NOT_LOGGED_IN = "You are not logged in to the console. Log in, then try again."
# HTTP asks for it with each 401.
_CHALLENGE = {"WWW-Authenticate": 'ApiKey realm="switchroom"'}

_EXAMPLE_DETAILS: dict[str, dict[str, Any]] = {
    "name_taken": {"room_id": ROOM},
    "in_other_room": {"room_id": ROOM},
    "room_full": {"limit": 50, "used": 50},
    "quota_exceeded": {"quota": "webhook_bytes", "limit": 67108864, "used": 67109120},
    "dial_limit_reached": {"quota": "calls_per_day", "limit": 100, "used": 100, "retry_after_ms": 1_234_567},
    "rate_limited": {"retry_after_ms": 12},
    "idempotency_key_in_use": {"retry_after_ms": 9_876},
    "url_refused": {"fields": [{"field": "url", "problem": "is not a public address"}]},
}
_CODE = {CODE_HEADER: "Why, in a word: `rate_limited` for a cooldown, else the name of one of the examples."}
_HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "The scheme: an API key in a header."},
    403: {"Retry-After": "Whole seconds, if `detail` has `retry_after_ms`."},
    409: {"Retry-After": "Whole seconds, if `detail` has `retry_after_ms`."},
    429: {"Retry-After": "Whole seconds, rounded up; `detail.retry_after_ms` is exact."},
    503: {"Retry-After": "Whole seconds."},
}


def body(error: str, detail: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The envelope of every error; `detail` is left out when there is none."""
    envelope: dict[str, Any] = {"success": False, "error": error}
    if detail:
        envelope["detail"] = detail
    return envelope


def respond(
    status: int, envelope: dict[str, Any] | None = None, headers: dict[str, str] | None = None, code: str = ""
) -> Response:
    """`envelope`: the body, `code`: why; without them, those that belong to the status."""
    text = orjson.dumps(envelope or body(TITLES[status]))
    why = code or CODES.get(status, "")
    return Response(text, status, {**(headers or {}), CODE_HEADER: why}, content_type="application/json")


def install(app: Flask) -> None:
    for kind, handler in _HANDLERS.items():
        app.register_error_handler(kind, handler)


def documented(examples: Iterable[tuple[int, str, dict[str, Any]]]) -> ResponseDict:
    """The OpenAPI responses of an endpoint with these errors: the status, a name and the body of each."""
    by_status: dict[int, dict[str, Any]] = {}
    for status, name, value in examples:
        by_status.setdefault(status, {})[name] = {"value": value}
    return {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "headers": {
                name: {"description": meaning, "schema": {"type": "string"}}
                for name, meaning in (_CODE | _HEADERS.get(status, {})).items()
            },
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "examples": by_name,
                }
            },
        }
        for status, by_name in sorted(by_status.items())
    }


def example(reason: str, details: dict[str, dict[str, Any]] | None = None) -> tuple[int, str, dict[str, Any]]:
    """What a refusal looks like, for `documented`. `details`: in place of the usual details, by reason."""
    detail = {**_EXAMPLE_DETAILS, **(details or {})}.get(reason)
    return STATUS[reason], reason, body(REASONS[reason], detail)


def cooling_down(group: str) -> tuple[int, str, dict[str, Any]]:
    """The error of a command that comes too soon after another of its group, for `documented`."""
    return 429, group, body(REASONS["rate_limited"], {"retry_after_ms": 150, "group": group})


def invalid(problems: list[tuple[str, str]]) -> dict[str, Any]:
    """The body for a request with these problems."""
    field, problem = problems[0]
    fields = [{"field": field, "problem": problem} for field, problem in problems]
    return body(f"{TITLES[400]}: {field} {problem}", {"fields": fields})


def too_large(max_bytes: int) -> dict[str, Any]:
    """The body for a request whose own body is longer than `max_bytes`."""
    return body(f"{TITLES[413]}: at most {max_bytes} bytes are taken here", {"max_bytes": max_bytes})


def refused(error: Refused) -> Response:
    status = STATUS[error.code]
    if status == 429:
        return _too_soon(error.code, REASONS[error.code], error.detail)
    headers = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    if "retry_after_ms" in error.detail:
        headers = _retry_after(error.detail)
    return respond(status, body(REASONS[error.code], error.detail), headers, error.code)


def _retry_after(detail: Mapping[str, Any]) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(detail.get("retry_after_ms", 0) / 1000)))}


def _too_soon(code: str, reason: str, detail: dict[str, Any]) -> Response:
    return respond(429, body(reason, detail), _retry_after(detail), code)


def _invalid(error: Invalid) -> Response:
    return respond(400, invalid(error.problems))


def _unauthenticated(error: Unauthenticated) -> Response:
    if error.wait:
        return _too_soon(CODES[429], TITLES[429], {"retry_after_ms": math.ceil(error.wait * 1000)})
    return respond(401, headers=_CHALLENGE)


def _not_logged_in(_error: NotLoggedIn) -> Response:
    return respond(401, body(_NOT_LOGGED_IN), _CHALLENGE)


def _forbidden(error: Forbidden) -> Response:
    return respond(403, body(str(error)), code="forbidden")


def _store_unavailable(error: StoreUnavailable) -> Response:
    logger.warning("store unavailable: %s request_id=%s", error, context.request_id())
    return respond(503, headers={"Retry-After": str(RETRY_AFTER)})


def _too_large(_error: RequestEntityTooLarge) -> Response:
    return respond(413, too_large(request.max_content_length or 0))


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return respond(status, body(TITLES.get(status, error.name)), headers)


def _unexpected(_error: Exception) -> Response:
    logger.exception("request failed request_id=%s", context.request_id())
    return respond(500)


_HANDLERS: dict[type[Exception], Any] = {
    Refused: refused,
    Invalid: _invalid,
    Unauthenticated: _unauthenticated,
    NotLoggedIn: _not_logged_in,
    Forbidden: _forbidden,
    StoreUnavailable: _store_unavailable,
    RequestEntityTooLarge: _too_large,
    HTTPException: _http,
    Exception: _unexpected,
}
