"""Every answer that is not a success: one envelope, one table from reason to status."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from flask import Flask, Response
from flask_openapi3.types import ResponseDict
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from controller.errors import REASONS, Refused, StoreUnavailable
from web import context

logger = logging.getLogger(__name__)

# The status for each reason in `controller.errors.REASONS`.
STATUS: dict[str, int] = {
    "bad_cursor": 400,
    "url_refused": 400,
    "room_forbidden": 403,
    "session_forbidden": 403,
    "room_not_found": 404,
    "session_not_found": 404,
    "not_in_room": 404,
    "webhook_not_found": 404,
    "name_taken": 409,
    "in_other_room": 409,
    "other_node": 409,
    "still_joining": 409,
    "leaving": 409,
    "already_muted": 409,
    "already_unmuted": 409,
    "mute_pending": 409,
    "unmute_pending": 409,
    "command_uid_taken": 409,
    "nothing_playing": 409,
    "quota_exceeded": 409,
    "too_many_operations": 409,
    "webhook_pending": 409,
    "no_endpoint": 409,
    "endpoint_disabled": 409,
    "redelivery_under_way": 409,
    "rate_limited": 429,
    "node_down": 503,
    "no_node": 503,
}

# What is said where no reason of the controller's stands behind a status.
TITLES: dict[int, str] = {
    400: "Invalid request",
    401: "Missing or invalid X-App-ID or X-API-Key",
    404: "Not found",
    405: "Method not allowed",
    408: "Request took too long to arrive",
    413: "Request body too large",
    414: "Request line too long",
    431: "Request headers too large",
    500: "Internal error",
    503: "Service temporarily unavailable",
}

# Seconds after which to ask again: a node's link that dropped, or a store that failed over, is back by then.
RETRY_AFTER = 2

_EXAMPLE_DETAIL: dict[str, dict[str, Any]] = {
    "name_taken": {"room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440000"},
    "quota_exceeded": {"quota": "rooms", "limit": 1000, "used": 1000},
    "rate_limited": {"retry_after_ms": 1250},
    "url_refused": {"fields": [{"field": "url", "problem": "is not a public address"}]},
}
_HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": "The scheme: an API key in a header."},
    429: {"Retry-After": "Whole seconds, rounded up; `detail.retry_after_ms` is exact."},
    503: {"Retry-After": "Whole seconds."},
}


class Invalid(Exception):
    """A request of the wrong form. `problems`: what is wrong, by field."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = problems


class Unauthenticated(Exception):
    """No app's key came with the request."""


def body(error: str, detail: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The envelope of every error; `detail` is left out when there is none."""
    envelope: dict[str, Any] = {"success": False, "error": error}
    if detail:
        envelope["detail"] = detail
    return envelope


def answer(
    status: int,
    error: str | None = None,
    detail: Mapping[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    text = orjson.dumps(body(error or TITLES[status], detail))
    return Response(text, status, headers, content_type="application/json")


def install(app: Flask) -> None:
    for kind, handler in _HANDLERS.items():
        app.register_error_handler(kind, handler)


def documented(statuses: Iterable[int], reasons: Iterable[str]) -> ResponseDict:
    """The OpenAPI responses of an endpoint that answers with these statuses and refuses for these reasons."""
    examples: dict[int, dict[str, Any]] = {status: {} for status in statuses}
    for status in statuses:
        examples[status]["general"] = {"value": body(TITLES[status])}
    for reason in reasons:
        value = body(REASONS[reason], _EXAMPLE_DETAIL.get(reason))
        examples.setdefault(STATUS[reason], {})[reason] = {"value": value}
    return {
        str(status): {
            "description": "; ".join(example["value"]["error"] for example in by_reason.values()),
            "headers": {
                name: {"description": meaning, "schema": {"type": "string"}}
                for name, meaning in _HEADERS.get(status, {}).items()
            },
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Error"},
                    "examples": by_reason,
                }
            },
        }
        for status, by_reason in sorted(examples.items())
    }


def _refused(error: Refused) -> Response:
    status = STATUS[error.code]
    headers = {}
    if status == 429:
        headers["Retry-After"] = str(max(1, -(-int(error.detail.get("retry_after_ms", 0)) // 1000)))
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    return answer(status, REASONS[error.code], error.detail, headers)


def _invalid(error: Invalid) -> Response:
    field, problem = error.problems[0]
    fields = [{"field": field, "problem": problem} for field, problem in error.problems]
    return answer(400, f"{TITLES[400]}: {field} {problem}", {"fields": fields})


def _unauthenticated(_error: Unauthenticated) -> Response:
    return answer(401, headers={"WWW-Authenticate": 'ApiKey realm="switchroom"'})


def _store_unavailable(error: StoreUnavailable) -> Response:
    logger.warning("store unavailable: %s request_id=%s", error, context.request_id())
    return answer(503, headers={"Retry-After": str(RETRY_AFTER)})


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {}
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return answer(status, TITLES.get(status, error.name), headers=headers)


def _unexpected(_error: Exception) -> Response:
    logger.exception("request failed request_id=%s", context.request_id())
    return answer(500)


_HANDLERS: dict[type[Exception], Any] = {
    Refused: _refused,
    Invalid: _invalid,
    Unauthenticated: _unauthenticated,
    StoreUnavailable: _store_unavailable,
    HTTPException: _http,
    Exception: _unexpected,
}
