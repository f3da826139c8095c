"""What the console's pages are made of, and what they ask besides the REST API.

The pages use the REST API itself, with the console's cookie (`web.auth`): so what they do is checked, limited, refused
and logged as what an app does. Here is only what an app cannot ask: who is logged in, and what is about all apps or
about the nodes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any, Literal, TypeVar, get_type_hints

from flask import Blueprint, Response, g, jsonify, redirect, request
from werkzeug.exceptions import NotFound

from controller.nodes.history import DRIFT
from controller.operators import CONSOLE, Principal
from controller.overview import LogFilter
from controller.times import iso_ms
from web import auth, context, cookies, errors, recordings
from web.clients import block_of
from web.conferences import room_entry
from web.console import forms
from web.console.pages import Pages
from web.events import stream
from web.portal_links import make_link
from web.problems import Forbidden, NotLoggedIn
from web.resource import Returned, read_arguments
from web.schemas import RangeHeaders
from web.sessions import session_entry

View = TypeVar("View", bound=Callable[..., Returned | Response])
# Who may ask: a stranger; whoever has logged in; operators; operators, also to change what is their own in any role.
Who = Literal["anyone", "both", "operators", "own account"]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " media-src 'self';"
    " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_FOREIGN = "This does not come from a page of the console."
_WRONG_LOGIN = "Wrong name or password"
_WRONG_PASSWORD = "This is not your password."  # noqa: S105 (what is told)
_USED_LINK = "The link was opened already, or its time is over. Ask for a new one."

console_pages = Blueprint("console", __name__, url_prefix=CONSOLE)
_pages = Pages()


def _serves(method: str, rule: str, who: Who) -> Callable[[View], View]:
    """Register a view of the console's own API. It gets checked values, and is not asked by whom it is not for."""

    def register(view: View) -> View:
        hints = get_type_hints(view)
        parts = [hints.get(part) for part in ("path", "query", "body", "header")]

        @wraps(view)
        def asked(**values: Any) -> Returned | Response:
            if who == "anyone":
                if not cookies.is_same_origin():
                    raise Forbidden(_FOREIGN)
            else:
                g.principal = (auth.identify if who == "own account" else auth.enter)(request.environ)
                if who != "both" and g.principal.kind != "operator":
                    raise Forbidden("This is for operators only.")
            returned: Returned | Response = view(**read_arguments(values, *parts))
            return returned

        console_pages.add_url_rule(f"/api{rule}", view.__name__, asked, methods=[method])
        return view

    return register


def _console() -> context.Console:
    found = context.console()
    assert found is not None  # noqa: S101 (without a console nothing here is registered)
    return found


@console_pages.after_app_request
def _finish(response: Response) -> Response:
    """Also where no view is."""
    if request.path.startswith(CONSOLE):
        response.headers.update(HEADERS)
    return response


# Files


@console_pages.get("")
def to_shell() -> Any:
    return redirect(f"{CONSOLE}/")


@console_pages.get("/")
def shell() -> Response:
    return Response(_pages.shell.content, content_type=_pages.shell.type)


@console_pages.get("/static/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    found = _pages.files.get(name)
    if found is None or version != _pages.version:
        raise NotFound
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(found.content, content_type=found.type, headers=headers)


# Who is logged in


@_serves("POST", "/login", "anyone")
def login(body: forms.LoginBody) -> Response:
    """Log an operator in. A name that there is not, and a wrong password, are answered alike."""
    began = _console().logins.log_in(body.name, body.password, block_of(request.remote_addr or ""))
    return _enter(*began) if began else errors.respond(401, errors.body(_WRONG_LOGIN), code="wrong_login")


@_serves("POST", "/open", "anyone")
def open_link(body: forms.OpenBody) -> Response:
    """Log in by a link, which is used up by this."""
    began = _console().logins.open(body.token)
    return _enter(*began) if began else errors.respond(401, errors.body(_USED_LINK), code="used_link")


@_serves("POST", "/logout", "anyone")
def logout() -> Response:
    """End the session that the browser has, also for a page that does not know its CSRF token: one that was open before
    somebody logged in anew. Only pages of the console get this far.
    """
    _console().logins.log_out(cookies.token())
    response = jsonify({})
    cookies.clear(response)
    return response


@_serves("POST", "/password", "own account")
def change_password(body: forms.PasswordBody) -> Response:
    """An operator's own. All other sessions of the operator end."""
    address = block_of(request.remote_addr or "")
    began = _console().logins.change_password(g.principal.name, body.password, body.new_password, address)
    return _enter(*began) if began else errors.respond(403, errors.body(_WRONG_PASSWORD), code="wrong_login")


@_serves("GET", "/me", "anyone")
def me() -> Response:
    """Who is logged in, with the session's CSRF token. It is for the console's own page, which no other can read."""
    token = cookies.token()
    principal = cookies.owner(token) if token else None
    if principal is None:
        raise NotLoggedIn
    return jsonify(_me(token, principal))


def _enter(token: str, principal: Principal) -> Response:
    """A session of its own for each who logs in: one that the browser had before is ended and not taken over."""
    if before := cookies.token():
        _console().logins.log_out(before)
    request.environ[context.ACTOR] = principal.actor
    response = jsonify(_me(token, principal))
    cookies.put(response, token)
    return response


def _me(token: str, principal: Principal) -> dict[str, Any]:
    return {
        "kind": principal.kind,
        "name": principal.name or principal.app_id,
        "role": principal.role,
        "app_id": principal.app_id or None,
        "csrf": cookies.csrf_of(token),
        "apps": [principal.app_id] if principal.app_id else _console().overview.app_ids(),
        "version": version("switchroom"),
    }


# Nodes, apps, rooms and sessions, for operators


@_serves("GET", "/overview", "operators")
def overview() -> Returned:
    console = _console()
    now = console.statistics.now()
    return {**console.overview.summary(), "rates": now["rates"], "latency": now["latency"]}, 200


@_serves("GET", "/history", "operators")
def history(query: forms.HistoryQuery) -> Returned:
    """Rates and latency of the last minutes."""
    return {**_console().statistics.history(min(query.minutes, forms.MAX_MINUTES))}, 200


@_serves("GET", "/nodes", "operators")
def list_nodes() -> Returned:
    return {"nodes": _console().overview.nodes()}, 200


@_serves("GET", "/nodes/<prefix>", "operators")
def get_node(path: forms.NodePath) -> Returned:
    """A node, with the history of its link, and the drift that was found."""
    overview = _console().overview
    node, notes = overview.node(path.prefix), overview.history(path.prefix)
    shown = [{**note, "at": iso_ms(note["at"])} for note in notes]
    drift = [note for note in shown if note["what"] == DRIFT]
    return {**node, "links": [note for note in shown if note not in drift], "drift": drift}, 200


@_serves("POST", "/nodes/<prefix>/drain", "operators")
def drain(path: forms.NodePath) -> Returned:
    """Give a node no new rooms."""
    return _drain(path.prefix, True)


@_serves("POST", "/nodes/<prefix>/undrain", "operators")
def undrain(path: forms.NodePath) -> Returned:
    """Give a node new rooms again."""
    return _drain(path.prefix, False)


def _drain(prefix: str, drained: bool) -> Returned:
    console = _console()
    console.overview.drain(prefix, drained)
    console.logins.note("node.drain" if drained else "node.undrain", g.principal.actor, node=prefix)
    return {**console.overview.node(prefix)}, 200


@_serves("GET", "/endpoints", "operators")
def list_endpoints() -> Returned:
    """The webhook endpoint of each app, and how it does."""
    found = _console().overview.endpoints()
    return {"endpoints": [{**endpoint, "since": iso_ms(endpoint["since"])} for endpoint in found]}, 200


@_serves("POST", "/portal-links", "operators")
def create_link(body: forms.LinkBody) -> Returned:
    """Make a link to an app's portal."""
    return make_link(body.app, body, g.principal.actor), 201


@_serves("GET", "/rooms", "operators")
def list_rooms(query: forms.RoomsPage) -> Returned:
    limit = _limit(query.limit)
    rows, place = _console().overview.rooms(query.cursor, limit, app=query.app, name=query.name, tag=query.tag)
    rooms = [{**room_entry(row), "app_id": row["app_id"]} for row in rows]
    return {"rooms": rooms, "cursor": forms.cursor_of(place)}, 200


@_serves("GET", "/sessions", "operators")
def list_sessions(query: forms.SessionsPage) -> Returned:
    rows, place = _console().overview.sessions(query.cursor, _limit(query.limit), app=query.app, state=query.state)
    sessions = [{**session_entry(row), "app_id": row["app_id"]} for row in rows]
    return {"sessions": sessions, "cursor": forms.cursor_of(place)}, 200


def _limit(wanted: int) -> int:
    return min(wanted, forms.MAX_PAGE)


# Recordings


@_serves("GET", "/recordings/<app_id>/<recording_id>/link", "both")
def link_to_recording(path: forms.RecordingOfAppPath) -> Returned:
    """A link for a player, which asks for the file in parts, and can send no header. Refused as the file would be."""
    auth.act_for(request.environ, g.principal, path.app_id)
    recordings.find_file(path)
    return {"url": cookies.link_to(f"{CONSOLE}/api/recordings/{path.app_id}/{path.recording_id}/content")}, 200


@_serves("GET", "/recordings/<app_id>/<recording_id>/content", "both")
def send_recording(path: forms.RecordingOfAppPath, query: forms.LinkQuery, header: RangeHeaders) -> Response:  # noqa: ARG001
    """The file of a recording, as the API has it."""
    auth.act_for(request.environ, g.principal, path.app_id)
    return recordings.send_content(path, header)


# What happens


@_serves("GET", "/events", "operators")
def stream_all(query: forms.EventsQuery, header: forms.EventsHeader) -> Response:
    """As `GET /api/v1/events`, of all apps."""
    wanted = query.wanted
    return stream(
        lambda cut_off: context.streams().open(None, wanted, header.last_event_id, cut_off),
        cookies.remains(),
        spoken_in=(wanted.apps[0], wanted.rooms[0]) if len(wanted.apps) == len(wanted.rooms) == 1 else None,
    )


@_serves("GET", "/log", "both")
def list_log(query: forms.LogPage) -> Returned:
    """Entries of the event log, the newest first. A portal gets those of its app."""
    principal: Principal = g.principal
    if query.app and not principal.may_see(query.app):
        raise Forbidden("This portal is for one application, and not for that one.")
    wanted = LogFilter(principal.app_id or query.app, query.room, query.session, query.kind, query.type)
    entries, before = _console().overview.log(
        wanted, query.before, _limit(query.limit), as_app=principal.kind == "portal"
    )
    return {"entries": entries, "before": before}, 200
