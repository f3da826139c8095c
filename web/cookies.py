"""The console's cookie: who has logged in, and whether a request really comes from the console's own pages.

A browser sends the cookie along with requests that other sites cause, too. So it counts only together with the header
X-CSRF-Token, which no other site can send or know: it is derived from the cookie's token, and told to the console's own
pages only. `SameSite=Strict` and the check of where the request comes from are a second and a third lock.

A player of sound sends no header. For it a page asks for a link: its `key` stands in place of the token, for one path,
and for that session only.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

from flask import Response, request

from controller.errors import StoreUnavailable
from controller.operators import TOKEN, Principal
from web import context

CSRF_HEADER = "X-CSRF-Token"
KEY = "key"  # the parameter of a link

_NAME = "switchroom_console"
_SAFE = ("GET", "HEAD", "OPTIONS")


def principal() -> Principal | None:
    """Whose session the request belongs to: only with the session's CSRF token, or a link's key, to any. Raises
    StoreUnavailable.
    """
    given = token()
    if not given or not (_has_csrf(given) or _has_key(given)) or not is_same_origin():
        return None
    return owner(given)


def link_to(path: str) -> str:
    """A link to the path that is good together with the cookie of the current request's session, to read."""
    return f"{path}?{KEY}={_key_of(token(), path)}"


def _has_csrf(token: str) -> bool:
    return _is_equal(csrf_of(token), request.headers.get(CSRF_HEADER, ""))


def _has_key(token: str) -> bool:
    return not changes_something() and _is_equal(_key_of(token, request.path), request.args.get(KEY, ""))


def _is_equal(expected: str, given: str) -> bool:
    return given.isascii() and hmac.compare_digest(expected, given)


def _key_of(token: str, path: str) -> str:
    return hmac.digest(token.encode(), b"link " + path.encode(), "sha256").hex()


def owner(token: str) -> Principal | None:
    """Whose session a token is of. Raises StoreUnavailable."""
    console = context.console()
    return console.logins.find(token) if console else None


def remains() -> Callable[[], bool]:
    """Whether the session of the current request goes on, for a response that goes on for long; asking lets it go on.
    For any context; while the store is away, nobody is shut out.
    """
    given, console = token(), context.console()

    def goes_on() -> bool:
        try:
            return console is not None and console.logins.find(given) is not None
        except StoreUnavailable:
            return True

    return goes_on


def token() -> str:
    """What the cookie holds, empty for nothing of the form of a token."""
    given = request.cookies.get(_cookie_name(), "")
    return given if TOKEN.fullmatch(given) else ""


def csrf_of(token: str) -> str:
    """The CSRF token of a session: it tells nothing of the session's own."""
    return hmac.digest(token.encode(), b"csrf", "sha256").hex()


def is_same_origin() -> bool:
    """Whether the request comes from a page of this very origin, as the browser tells: every one says so of a POST. An
    old browser, and any on plain HTTP, does not say it of a GET, and what that returns another site cannot read.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    if site is not None:
        return site == "same-origin"
    if origin is not None:
        host = origin.partition("://")[2]
        return host != "" and host == request.host
    return request.method in _SAFE


def changes_something() -> bool:
    return request.method not in _SAFE


def put(response: Response, token: str) -> None:
    response.set_cookie(_cookie_name(), token, **_attributes())


def clear(response: Response) -> None:
    response.delete_cookie(_cookie_name(), **_attributes())


def _attributes() -> dict[str, Any]:
    return {"path": "/", "secure": _is_secure(), "httponly": True, "samesite": "Strict"}


def _is_secure() -> bool:
    """Whether the browser asks by HTTPS."""
    console = context.console()
    return request.is_secure or (console is not None and console.secure)


def _cookie_name() -> str:
    """By HTTPS one that a browser takes from this very host only, and from nobody between."""
    return f"__Host-{_NAME}" if _is_secure() else _NAME
