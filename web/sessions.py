"""Sessions, and the commands that move them in and out of rooms."""

from __future__ import annotations

from typing import Any, TypedDict

from controller.commands import (
    Coach,
    CollectDigits,
    Dial,
    GetSession,
    HangUp,
    Hold,
    Join,
    Kick,
    Leave,
    ListSessions,
    Membership,
    PlayToSession,
    RecordSession,
    SendDtmf,
    Session,
    SessionPlayback,
    SetFlag,
    SetLevel,
    StopSessionPlay,
    Transfer,
    Uncoach,
)
from controller.errors import Refused
from controller.ids import SESSION_ID
from controller.sessions.flags import CHANGES, HOLD, JOINING, Flag
from controller.sessions.levels import LEVELS
from controller.times import iso
from web import schemas
from web.auth import API_PREFIX
from web.context import app_id, cursors, execute
from web.recordings import RECORD_DETAILS, RECORD_REFUSALS
from web.resource import Resource, Returned
from web.schemas import (
    MAX_SESSIONS,
    AlreadyJoined,
    CoachBody,
    CoachStarted,
    CollectBody,
    CollectStarted,
    CommandBody,
    DialBody,
    DialStarted,
    DtmfBody,
    DtmfStarted,
    HangUpBody,
    HangUpStarted,
    HoldBody,
    JoinBody,
    JoinStarted,
    KickBody,
    KickStarted,
    LeaveStarted,
    MemberVolumeBody,
    MemberVolumeStarted,
    RecordSessionBody,
    SessionList,
    SessionPage,
    SessionPath,
    SessionPlayAccepted,
    SessionPlayBody,
    SessionPlayEnding,
    TransferBody,
    TransferStarted,
    UncoachStarted,
    flag_changing,
    membership_of,
)

_SESSION_REFUSALS = ("session_not_found", "session_forbidden")
_COMMAND_REFUSALS = (*_SESSION_REFUSALS, "command_uid_taken", "leaving", "transferring", "node_down")
_MEMBERSHIP_REFUSALS = (*_COMMAND_REFUSALS, "not_in_room", "still_joining")
_LEVELS = {level.direction: level for level in LEVELS}
_STATUS = {"joining": 202, "already_joined": 200}

sessions = Resource("sessions", "Call legs and their membership of rooms.", url_prefix=f"{API_PREFIX}/sessions")


@sessions.serves("GET", "", responses={200: SessionList})
def list_sessions(query: SessionPage) -> Returned:
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
    rows = [session_entry(row) for row in answer["rows"]]
    return {"sessions": rows, "cursor": cursors().seal(answer["cursor"], *scope)}, 200


@sessions.serves(
    "POST",
    "",
    responses={202: DialStarted},
    refuses=(
        "dialing_forbidden",
        "destination_forbidden",
        "caller_id_forbidden",
        "dial_limit_reached",
        "room_not_found",
        "room_forbidden",
        "command_uid_taken",
        "no_node",
        "node_down",
        "room_locked",
        "room_full",
        "quota_exceeded",
        "store_full",
    ),
    cooldown=Dial.cooldown,
)
def dial(body: DialBody) -> Returned:
    """Call a number or SIP URI, as far as the operator lets you.

    With `room_id` the session joins that room once it is answered; `muted` and so on are as those of a join. Rate
    limit `dial`: 2 s for each `to`. Webhooks: `session.dialing` at once, `session.ringing`, then `session.answered`
    or `session.failed`."""
    command = Dial(
        app_id=app_id(),
        to=body.to,
        caller_id=body.caller_id,
        room_id=body.room_id,
        timeout=body.timeout,
        command_uid=body.command_uid,
        **_joining(body),
    )
    answer = execute(command)
    return {"uuid": answer["session_id"], "status": answer["status"]}, 202


@sessions.serves("GET", "/<uuid>", responses={200: schemas.SessionDetails}, refuses=_SESSION_REFUSALS)
def get_session(path: SessionPath) -> Returned:
    """Show a session, and what is played to it alone."""
    session = execute(GetSession(app_id=app_id(), session_id=_known_form(path)))
    return {**session_entry(session), "playing": session["playing"]}, 200


@sessions.serves(
    "DELETE",
    "/<uuid>",
    responses={202: HangUpStarted},
    refuses=(*_SESSION_REFUSALS, "command_uid_taken", "node_down"),
    cooldown=HangUp.cooldown,
)
def hang_up(path: SessionPath, body: HangUpBody) -> Returned:
    """Hang up: end the call, wherever it is.

    202 again while the call is being ended. Rate limit `hang_up`: 2 s for each session; such a repeat is free of it.
    Webhooks: `session.ended` once the media node confirms, for a member of a room `conference.member.left` besides."""
    answer = execute(HangUp(app_id=app_id(), cause=body.cause, **_command(path, body)))
    return {"uuid": path.uuid, "status": answer["status"]}, 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/transfer",
    responses={202: TransferStarted},
    refuses=(
        *_SESSION_REFUSALS,
        "dialing_forbidden",
        "destination_forbidden",
        "caller_id_forbidden",
        "dial_limit_reached",
        "command_uid_taken",
        "still_dialing",
        "still_joining",
        "leaving",
        "transferring",
        "transferred",
        "node_down",
        "quota_exceeded",
        "store_full",
    ),
    cooldown=Transfer.cooldown,
)
def transfer(path: SessionPath, body: TransferBody) -> Returned:
    """Connect the call to a number or SIP URI, as far as the operator lets you. It leaves its room, if it is in one.

    What it may call, as what and how often is as for a call that you make. Rate limit `dial`: 2 s for each `to`.
    Webhooks: for a member of a room `conference.member.left`, then `session.transferred` once the number answers, and
    `session.ended` when either side hangs up; or `session.transfer_failed`, and the call is parked."""
    command = Transfer(
        app_id=app_id(), to=body.to, caller_id=body.caller_id, timeout=body.timeout, **_command(path, body)
    )
    return {"uuid": path.uuid, "status": execute(command)["status"]}, 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/dtmf",
    responses={202: DtmfStarted},
    refuses=(
        *_SESSION_REFUSALS,
        "command_uid_taken",
        "still_dialing",
        "dtmf_pending",
        "node_down",
        "quota_exceeded",
        "store_full",
    ),
    cooldown=SendDtmf.cooldown,
)
def send_dtmf(path: SessionPath, body: DtmfBody) -> Returned:
    """Send digits (DTMF) to a call, parked or in a room.

    The far end gets them, and nobody else in the room hears them. Rate limit `dtmf`: 200 ms for each session, and as
    long as it takes to send them. Webhook: `session.dtmf.sent` once the media node has taken them."""
    command = SendDtmf(app_id=app_id(), digits=body.digits, duration=body.duration, **_command(path, body))
    return {"uuid": path.uuid, "status": execute(command)["status"]}, 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/collect-digits",
    responses={202: CollectStarted},
    refuses=(*_SESSION_REFUSALS, "command_uid_taken", "still_dialing", "node_down", "quota_exceeded", "store_full"),
    cooldown=CollectDigits.cooldown,
)
def collect_digits(path: SessionPath, body: CollectBody) -> Returned:
    """Collect digits that the caller presses, parked or in a room, such as a PIN.

    It begins at once, and ends what was being collected. Rate limit `collect_digits`: 200 ms for each session. Webhook:
    `session.digits.collected` once there are enough, one of `terminators` is pressed, or no digit comes in time."""
    command = CollectDigits(
        app_id=app_id(),
        max_digits=body.max_digits,
        terminators=body.terminators,
        timeout=body.timeout,
        digit_timeout=body.digit_timeout,
        **_command(path, body),
    )
    return {"uuid": path.uuid, "status": execute(command)["status"]}, 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/play",
    responses={202: SessionPlayAccepted},
    refuses=(
        *_COMMAND_REFUSALS,
        "transferred",
        "still_dialing",
        "still_joining",
        "already_playing",
        "on_hold",
        "quota_exceeded",
        "store_full",
        "no_relay",
        "url_refused",
    ),
    cooldown=PlayToSession.cooldown,
    details={
        "quota_exceeded": {"quota": "operations", "limit": 1000, "used": 1000},
        "url_refused": {"fields": [{"field": "urls.0", "problem": "leads to an address that is not public"}]},
    },
)
def play_to_session(path: SessionPath, body: SessionPlayBody) -> Returned:
    """Play audio files to one session, parked or a member of a room, which nobody else hears.

    The files play in the order given. It ends when the session joins a room, leaves one, is transferred or hangs up,
    and at no key that the caller presses. Rate limit `session_play`: 200 ms for each session. Webhooks:
    `session.play.started`, later `session.play.finished`."""
    command = PlayToSession(app_id=app_id(), urls=tuple(body.urls), **_command(path, body))
    return _played(path, execute(command))


@sessions.serves(
    "POST",
    "/<uuid>/commands/stop",
    responses={202: SessionPlayEnding},
    refuses=(*_SESSION_REFUSALS, "command_uid_taken", "still_dialing", "node_down"),
    cooldown=StopSessionPlay.cooldown,
)
def stop_session_play(path: SessionPath, body: CommandBody) -> Returned:
    """Stop what is played to one session.

    What its room plays goes on. Rate limit `session_stop`: 200 ms for each session. Webhook:
    `session.play.stopped`."""
    return _played(path, execute(StopSessionPlay(app_id=app_id(), **_command(path, body))))


@sessions.serves(
    "POST",
    "/<uuid>/commands/record",
    responses={202: schemas.RecordingStarted},
    refuses=(
        *_SESSION_REFUSALS,
        "still_dialing",
        *RECORD_REFUSALS,
    ),
    cooldown=RecordSession.cooldown,
    details=RECORD_DETAILS,
)
def record_session(path: SessionPath, body: RecordSessionBody) -> Returned:
    """Record a call.

    What the caller says and hears, in rooms and out of them, until you stop it or the call ends. Rate limit
    `recording`: 2 s for each session. Webhooks: `session.recording.started`, later `.stopped`, and `.available` or
    `.failed`."""
    command = RecordSession(app_id=app_id(), upload_url=body.upload_url, channels=body.channels, **_command(path, body))
    answer = execute(command)
    return {"recording_id": answer["recording_id"], "status": answer["status"]}, 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/join",
    responses={202: JoinStarted, 200: AlreadyJoined},
    refuses=(
        *_COMMAND_REFUSALS,
        "room_not_found",
        "room_forbidden",
        "in_other_room",
        "still_dialing",
        "transferred",
        "room_locked",
        "room_full",
        "other_node",
        "quota_exceeded",
        "store_full",
    ),
    cooldown=Join.cooldown,
)
def join(path: SessionPath, body: JoinBody) -> Returned:
    """Join a session to a room, muted unless you say otherwise.

    200 when it is in that room already, 202 again while it is joining it. Rate limit `conference`: 2 s for
    each session, shared with leave; such a repeat is free of it, and changes nothing.
    Webhook: `conference.member.joined` once the media node confirms, then `conference.member.volume_changed` for each
    volume that is not 0."""
    command = Join(
        app_id=app_id(),
        room_id=body.room_id,
        **_joining(body),
        **_command(path, body),
    )
    answer = execute(command)
    return _membership(answer), _STATUS[answer["status"]]


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/leave",
    responses={202: LeaveStarted},
    refuses=_MEMBERSHIP_REFUSALS,
    cooldown=Leave.cooldown,
)
def leave(path: SessionPath, body: CommandBody) -> Returned:
    """Take a session out of its room.

    Rate limit `conference`: 2 s for each session, shared with join. Webhook: `conference.member.left` once
    the media node confirms."""
    return _membership(execute(Leave(app_id=app_id(), **_command(path, body)))), 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/kick",
    responses={202: KickStarted},
    refuses=_MEMBERSHIP_REFUSALS,
    cooldown=Kick.cooldown,
)
def kick(path: SessionPath, body: KickBody) -> Returned:
    """Kick a member: take it out of its room, and say why.

    The call goes on, and can join again. Rate limit `conference`: 2 s for each session, shared with join and leave.
    Webhook: `conference.member.left` with the `reason` `kicked` once the media node confirms."""
    return _membership(execute(Kick(app_id=app_id(), reason=body.reason, **_command(path, body)))), 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/volume",
    responses={202: MemberVolumeStarted},
    refuses=(*_MEMBERSHIP_REFUSALS, "volume_pending", "quota_exceeded", "store_full"),
    cooldown=SetLevel.cooldown,
)
def set_member_volume(path: SessionPath, body: MemberVolumeBody) -> Returned:
    """Set how loud a member is to the others, or the room to it.

    -4 to 4; 0 leaves the sound as it is. Rate limit `conference_volume`: 200 ms for each
    session. Webhook: `conference.member.volume_changed` once the media node confirms."""
    command = SetLevel(app_id=app_id(), level=_LEVELS[body.direction], value=body.volume, **_command(path, body))
    return _membership(execute(command)), 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/coach",
    responses={202: CoachStarted},
    refuses=(
        *_MEMBERSHIP_REFUSALS,
        "coached_not_member",
        "coached_on_other_node",
        "coach_pending",
        "already_coaching",
        "too_many_coaches",
        "quota_exceeded",
        "store_full",
    ),
    cooldown=Coach.cooldown,
)
def coach(path: SessionPath, body: CoachBody) -> Returned:
    """Coach another member of the room: be heard by that one alone, and hear all.

    It lasts until you uncoach, or coach another one: whoever else comes or goes, nobody else hears a word, and while
    the one that is coached is not in the room, nobody at all. Both calls have to be on the same media node. Rate limit
    `conference_coach`: 200 ms for each session, shared with uncoach. Webhook: `conference.member.coaching` once
    the media node confirms: what the member says before may be heard by all."""
    command = Coach(app_id=app_id(), coached=body.session_id, **_command(path, body))
    return _membership(execute(command)), 202


@sessions.serves(
    "POST",
    "/<uuid>/commands/conference/uncoach",
    responses={202: UncoachStarted},
    refuses=(*_MEMBERSHIP_REFUSALS, "coach_pending", "not_coaching", "quota_exceeded", "store_full"),
    cooldown=Uncoach.cooldown,
)
def uncoach(path: SessionPath, body: CommandBody) -> Returned:
    """Let a member that coaches another one be heard by all again.

    Rate limit `conference_coach`: 200 ms for each session, shared with coach. Webhook: `conference.member.uncoached`
    once the media node confirms."""
    return _membership(execute(Uncoach(app_id=app_id(), **_command(path, body)))), 202


def _serve_flag(flag: Flag, on: bool) -> None:
    """The command that turns a flag of a member on, or off."""
    change, opposite = flag.change(on), flag.change(not on)

    def view(path: SessionPath, body: CommandBody) -> Returned:
        command = SetFlag(app_id=app_id(), flag=flag, on=on, **_command(path, body))
        return _membership(execute(command)), 202

    def hold(path: SessionPath, body: HoldBody) -> Returned:
        return _membership(execute(Hold(app_id=app_id(), url=body.url, **_command(path, body)))), 202

    takes_url = flag is HOLD and on
    if takes_url:
        view = hold  # type: ignore[assignment]
    view.__name__ = change.command
    view.__doc__ = f"""{change.summary}

    Rate limit `{flag.cooldown}`: 2 s for each session, shared with {opposite.command}. Webhook: `{change.webhook}`
    once the media node confirms."""
    sessions.serves(
        "POST",
        f"/<uuid>/commands/conference/{change.command}",
        responses={202: flag_changing(change)},
        refuses=(
            *_MEMBERSHIP_REFUSALS,
            *flag.refusals(on),
            *(("url_refused", "no_relay") if takes_url else ()),
            "quota_exceeded",
            "store_full",
        ),
        cooldown=flag.cooldown,
    )(view)


for _flag, _on in CHANGES:
    _serve_flag(_flag, _on)


class _Fields(TypedDict):
    session_id: str
    command_uid: str | None


def _command(path: SessionPath, body: CommandBody) -> _Fields:
    """The fields that all commands to a session have."""
    return {"session_id": _known_form(path), "command_uid": body.command_uid}


class _Options(TypedDict):
    flags: tuple[str, ...]
    levels: tuple[tuple[str, int], ...]
    role: str
    tags: tuple[str, ...]
    end_on_exit: bool


def _joining(body: JoinBody | DialBody) -> _Options:
    """As what it joins."""
    flags = tuple(flag.name for flag in JOINING if getattr(body, flag.name))
    levels = tuple((level.name, value) for level in LEVELS if (value := getattr(body, level.name)))
    return {
        "flags": flags,
        "levels": levels,
        "role": body.role,
        "tags": tuple(body.tags),
        "end_on_exit": body.end_on_exit,
    }


def _played(path: SessionPath, answer: SessionPlayback) -> Returned:
    return {"uuid": path.uuid, "operation_id": answer["operation_id"], "status": answer["status"]}, 202


def _membership(answer: Membership) -> dict[str, Any]:
    return {"status": answer["status"], "room_id": answer["room_id"]}


def _known_form(path: SessionPath) -> str:
    if not SESSION_ID.fullmatch(path.uuid):
        raise Refused("session_not_found")
    return path.uuid


def session_entry(row: Session) -> dict[str, Any]:
    """A session, in a list or alone."""
    return {
        "uuid": row["session_id"],
        "node": row["node"],
        "did": row["did"],
        "caller_id": row["caller_id"],
        "direction": row["direction"],
        "state": row["state"],
        "room_id": row["room_id"],
        "member_id": row["member_id"],
        "transferred_to": row["transferred_to"],
        **membership_of(row),
        "started_at": iso(row["started_at"]),
    }
