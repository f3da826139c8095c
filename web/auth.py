"""Which app asks: every request under the API carries two headers that say so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask import current_app, request
from flask_openapi3.types import SecuritySchemesDict

from controller.errors import StoreUnavailable
from web import context
from web.context import Tenant
from web.problems import Unauthenticated

API_PREFIX = "/api/v1"
APP_HEADER = "X-App-ID"
KEY_HEADER = "X-API-Key"

SECURITY_SCHEMES: SecuritySchemesDict = {
    "app": {"type": "apiKey", "in": "header", "name": APP_HEADER, "description": "The application's id."},
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": KEY_HEADER,
        "description": "The application's API key.",
    },
}
# Both at once: one entry with two schemes, where two entries would mean either.
SECURITY: list[dict[str, list[str]]] = [{"app": [], "key": []}]

# The form of ids and keys. The controller is not asked about anything else.
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,256}").fullmatch


def authenticate(environ: dict[str, Any]) -> None:
    """Requests of unknown paths and methods too: so a stranger learns nothing of the API, and each counts.

    Raises Unauthenticated, and Refused when the app has sent too many requests."""
    # What counts is the rule that will serve the request, however its path was spelled.
    path = request.url_rule.rule if request.url_rule else request.path
    if path != API_PREFIX and not path.startswith(f"{API_PREFIX}/"):
        return
    found = tenant(environ)
    if found is None:
        raise Unauthenticated(context.failures().count(request.remote_addr or ""))
    environ[context.APP_ID] = found.id
    context.controller().admit(found.id, request.content_length or 0)


def remains(app_id: str) -> Callable[[], bool]:
    """Whether the current request would still be let in as the app's, for a response that goes on for long. For any
    context; while the store is away, nobody is shut out.
    """
    environ, app = request.environ, current_app._get_current_object()  # type: ignore[attr-defined]

    def is_valid() -> bool:
        with app.app_context():
            try:
                found = tenant(environ)
            except StoreUnavailable:
                return True
            return found is not None and found.id == app_id

    return is_valid


def tenant(environ: dict[str, Any]) -> Tenant | None:
    """The app whose key comes with the request. Raises StoreUnavailable."""
    app_id = environ.get("HTTP_X_APP_ID", "")
    api_key = environ.get("HTTP_X_API_KEY", "")
    if not _CREDENTIAL(app_id) or not _CREDENTIAL(api_key):
        return None
    return context.controller().authenticate(app_id, api_key)
