"""Who asks: an app, by the two headers that every request under the API carries."""

from __future__ import annotations

import re

from flask import Flask, g, request
from flask_openapi3.types import SecuritySchemesDict

from web import context
from web.errors import Unauthenticated

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

# What an id or a key can be. Anything else is nobody's, and does not go near the controller.
_CREDENTIAL = re.compile(r"[\x21-\x7e]{1,256}").fullmatch


def install(app: Flask) -> None:
    app.before_request(authenticate)


def authenticate() -> None:
    """Runs ahead of everything, also of unknown paths and methods: a stranger learns nothing of the API."""
    path = request.path
    if path != API_PREFIX and not path.startswith(f"{API_PREFIX}/"):
        return
    app_id = request.headers.get(APP_HEADER, "")
    api_key = request.headers.get(KEY_HEADER, "")
    if not _CREDENTIAL(app_id) or not _CREDENTIAL(api_key):
        raise Unauthenticated
    tenant = context.controller().authenticate(app_id, api_key)
    if tenant is None:
        raise Unauthenticated
    g.app_id = tenant.id
    request.environ["switchroom.app_id"] = tenant.id
