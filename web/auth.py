"""Which app asks: every request under the API carries two headers that say so.

The console's pages use the same API: for them its cookie stands in place of the key.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from flask import current_app, request
from flask_openapi3.types import SecuritySchemesDict

from controller.errors import Refused, StoreUnavailable
from controller.operators import VIEW, Principal
from web import context, cookies
from web.context import Tenant
from web.problems import Forbidden, Invalid, NotLoggedIn, Unauthenticated

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


def authenticate(environ: dict[str, Any], path: str) -> None:
    """Requests of unknown paths and methods too: so a stranger learns nothing of the API, and each counts. `path`: that
    of the rule that will serve the request, however its own is spelled.

    Raises Unauthenticated, NotLoggedIn, Forbidden, and Refused when the app has sent too many requests."""
    if path != API_PREFIX and not path.startswith(f"{API_PREFIX}/"):
        return
    if is_by_cookie(environ):
        _authenticate_page(environ)
        return
    found = tenant(environ)
    if found is None:
        raise Unauthenticated(context.failures().count(request.remote_addr or ""))
    environ[context.APP_ID] = found.id
    context.count(environ, found.id)


def remains(app_id: str) -> Callable[[], bool]:
    """Whether the current request would still be let in as the app's, for a response that goes on for long. For any
    context; while the store is away, nobody is shut out.
    """
    if is_by_cookie(request.environ):
        return cookies.remains()
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


def is_by_cookie(environ: dict[str, Any]) -> bool:
    """Whether it is a request of the console's pages, which have no key."""
    return "HTTP_X_API_KEY" not in environ and cookies.token() != ""


def enter(environ: dict[str, Any]) -> Principal:
    """As `identify`; raises also Forbidden when the role `view` asks for a change."""
    principal = identify(environ)
    if principal.role == VIEW and cookies.changes_something():
        raise Forbidden("Your role is view: you can look at everything, and change nothing.")
    return principal


def identify(environ: dict[str, Any]) -> Principal:
    """Whose session of the console asks. It is counted as theirs, so that nobody's looking uses up an app's rate.

    Raises NotLoggedIn, Refused."""
    principal = cookies.principal()
    if principal is None:
        # Not counted as a failure: nobody guesses 256 bits, and a page whose session has ended asks again.
        raise NotLoggedIn
    environ[context.ACTOR] = principal.actor
    context.count(environ, principal.actor)
    context.admit(environ)
    return principal


def _authenticate_page(environ: dict[str, Any]) -> None:
    principal = enter(environ)
    app_id = environ.get("HTTP_X_APP_ID", "")
    if not app_id:
        raise Invalid([(APP_HEADER, "is required: the app in whose name to act")])
    act_for(environ, principal, app_id)


def act_for(environ: dict[str, Any], principal: Principal, app_id: str) -> None:
    """Has a request of the console's pages be one of the app's. Raises Forbidden, Refused."""
    console = context.console()
    if not principal.may_see(app_id):
        raise Forbidden("This portal is for one application, and not for that one.")
    if console is None or not console.overview.has_app(app_id):
        raise Refused("app_not_found")
    environ[context.APP_ID] = app_id
