"""Sessions, and the commands that move them in and out of rooms."""

from __future__ import annotations

import re
from typing import Any

from controller.commands import GetSession, Join, Leave, ListSessions, Mute, SessionCommand, Unmute
from controller.errors import Refused
from web.auth import API_PREFIX
from web.context import app_id, cursors, execute
from web.resource import Answer, Resource
from web.schemas import (
    MAX_SESSIONS,
    SESSION_ID,
    AlreadyJoined,
    CommandBody,
    JoinBody,
    JoinStarted,
    LeaveStarted,
    MuteStarted,
    Session,
    SessionList,
    SessionPage,
    SessionPath,
    UnmuteStarted,
)
from web.times import iso

_SESSION = ("session_not_found", "session_forbidden")
_COMMAND = (*_SESSION, "command_uid_taken", "leaving", "node_down")
_MEMBERSHIP = (*_COMMAND, "not_in_room", "still_joining")
_STATUS = {"joining": 202, "already_joined": 200}

_session_form = re.compile(SESSION_ID).fullmatch

sessions = Resource("sessions", "Call legs and their membership of rooms.", url_prefix=f"{API_PREFIX}/sessions")


@sessions.serves("GET", "", answers={200: SessionList})
def list_sessions(query: SessionPage) -> Answer:
    """List the application's sessions.

    At most 1000 in a page. Narrowed by `state`, `room_id` or `did`, a page may be short, or empty, and not be the
    last: go on until `cursor` is empty."""
    scope = (app_id(), "sessions", *query.narrowed_by)
    command = ListSessions(
        app_id=app_id(),
        limit=min(query.limit, MAX_SESSIONS),
        after=cursors().open(query.cursor, *scope),
        state=query.state,
        room=query.room_id,
        did=query.did,
    )
    answer = execute(command)
    rows = [_session(row) for row in answer["rows"]]
    return {"sessions": rows, "cursor": cursors().seal(answer["cursor"], *scope)}, 200


@sessions.serves("GET", "/<uuid>", answers={200: Session}, refuses=_SESSION)
def get_session(path: SessionPath) -> Answer:
    """Show a session."""
    return _session(execute(GetSession(app_id=app_id(), session_id=_known_form(path)))), 200


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/join",
    answers={202: JoinStarted, 200: AlreadyJoined},
    refuses=(
        *_COMMAND,
        "room_not_found",
        "room_forbidden",
        "in_other_room",
        "other_node",
        "quota_exceeded",
        "store_full",
    ),
    cooldown="conference",
)
def join(path: SessionPath, body: JoinBody) -> Answer:
    """Join a session to a room, muted.

    200 when it is in that room already, 202 again while it is joining it. Rate limit `conference`: 2 s for
    each session, shared with leave; such a repeat is free of it.
    Webhook: `conference.member.joined` once the media node confirms."""
    command = Join(
        app_id=app_id(),
        session_id=_known_form(path),
        command_uid=body.command_uid,
        room_id=body.room_id,
    )
    answer = execute(command)
    return _membership(answer), _STATUS[answer["status"]]


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/leave",
    answers={202: LeaveStarted},
    refuses=_MEMBERSHIP,
    cooldown="conference",
)
def leave(path: SessionPath, body: CommandBody) -> Answer:
    """Take a session out of its room.

    Rate limit `conference`: 2 s for each session, shared with join. Webhook: `conference.member.left` once
    the media node confirms."""
    return _command(Leave, path, body)


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/mute",
    answers={202: MuteStarted},
    refuses=(*_MEMBERSHIP, "already_muted", "mute_pending", "quota_exceeded", "store_full"),
    cooldown="conference_mute",
)
def mute(path: SessionPath, body: CommandBody) -> Answer:
    """Mute a member.

    Rate limit `conference_mute`: 2 s for each session, shared with unmute. Webhook: `conference.member.muted`
    once the media node confirms."""
    return _command(Mute, path, body)


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/unmute",
    answers={202: UnmuteStarted},
    refuses=(*_MEMBERSHIP, "already_unmuted", "unmute_pending", "quota_exceeded", "store_full"),
    cooldown="conference_mute",
)
def unmute(path: SessionPath, body: CommandBody) -> Answer:
    """Unmute a member.

    Rate limit `conference_mute`: 2 s for each session, shared with mute. Webhook: `conference.member.unmuted`
    once the media node confirms."""
    return _command(Unmute, path, body)


def _command(kind: type[SessionCommand], path: SessionPath, body: CommandBody) -> Answer:
    command = kind(app_id=app_id(), session_id=_known_form(path), command_uid=body.command_uid)
    return _membership(execute(command)), 202


def _membership(answer: dict[str, Any]) -> dict[str, Any]:
    return {"status": answer["status"], "room_id": answer["room_id"]}


def _known_form(path: SessionPath) -> str:
    if not _session_form(path.uuid):
        raise Refused("session_not_found")
    return path.uuid


def _session(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "uuid": row["uuid"],
        "did": row["did"],
        "caller_id": row["caller_id"],
        "state": row["state"],
        "room_id": row["room_id"] or "",
        "member_id": row["member_id"],
        "muted": row["muted"],
        "started_at": iso(row["started_at"]),
    }
