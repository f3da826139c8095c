"""Rooms, and what plays in them."""

from __future__ import annotations

from typing import Any

from controller.commands import (
    ChangeMember,
    ChangeRoom,
    CreateRoom,
    DeleteRoom,
    GetRoom,
    KickAll,
    ListMembers,
    ListRooms,
    Play,
    Playback,
    RecordRoom,
    SetFlagOfAll,
    SetVolume,
    StopPlayback,
    TogglePause,
)
from controller.commands.rooms import AllChanging, RoomEntry
from controller.errors import Refused
from controller.ids import SESSION_ID
from controller.sessions.flags import CHANGES, FLAGS, Flag
from controller.sessions.levels import LEVELS
from controller.times import iso
from web import schemas
from web.auth import API_PREFIX
from web.context import app_id, cursors, execute
from web.recordings import RECORD_DETAILS, RECORD_REFUSALS
from web.resource import Resource, Returned
from web.schemas import (
    MAX_MEMBERS,
    MAX_ROOMS,
    AllBody,
    AllStarted,
    KickAllBody,
    MemberChanges,
    MemberChanging,
    MemberList,
    MemberPage,
    MemberPath,
    NewRoom,
    Nothing,
    PauseToggled,
    PlaybackStopped,
    PlayBody,
    PlayStarted,
    RecordRoomBody,
    Room,
    RoomChanged,
    RoomChanges,
    RoomCreated,
    RoomDeleted,
    RoomList,
    RoomPage,
    RoomPath,
    VolumeBody,
    VolumeSet,
    membership_of,
    options_of,
)

_ROOM = ("room_not_found", "room_forbidden")

conferences = Resource("conferences", "Rooms and what plays in them.", url_prefix=f"{API_PREFIX}/conferences")


@conferences.serves(
    "POST",
    "",
    responses={201: RoomCreated},
    refuses=("name_taken", "url_refused", "quota_exceeded", "store_full", "no_node"),
    details={"quota_exceeded": {"quota": "rooms", "limit": 1000, "used": 1000}},
)
def create_room(body: NewRoom) -> Returned:
    """Create a room.

    The room is placed on the media node where most of your calls wait, else on the least loaded one. Calls of
    any node can join it. When the name is taken, `detail.room_id` of the 409 is the room that has it. Webhook:
    `conference.created`."""
    given = body.model_dump(exclude={"name"}, exclude_unset=True)
    answer = execute(CreateRoom(app_id=app_id(), name=body.name, options=given))
    return {"room_id": answer["room_id"]}, 201


@conferences.serves("GET", "", responses={200: RoomList})
def list_rooms(query: RoomPage) -> Returned:
    """List the application's rooms: all, the one of a `name`, or those that have a `tag`.

    At most 200 in a page. A room that exists throughout appears exactly once."""
    scope = (app_id(), "rooms", *query.narrowed_by)
    after = cursors().open(query.cursor, *scope)
    limit = min(query.limit, MAX_ROOMS)
    answer = execute(ListRooms(app_id=app_id(), limit=limit, after=after, name=query.name, tag=query.tag))
    rooms = [room_entry(row) for row in answer["rows"]]
    return {"conferences": rooms, "cursor": cursors().seal(answer["cursor"], *scope)}, 200


def room_entry(row: RoomEntry) -> dict[str, Any]:
    """A room in a list."""
    return {
        "room_id": row["room_id"],
        "name": row["name"],
        "members": row["members"],
        "created_at": iso(row["created_at"]),
        "tags": row.get("tags", []),
        "recording": row["recording"],
    }


@conferences.serves("GET", "/<room_id>", responses={200: Room}, refuses=_ROOM)
def get_room(path: RoomPath) -> Returned:
    """Show a room: its members' number, the media nodes on which they are, and what plays."""
    room = execute(GetRoom(app_id=app_id(), room_id=path.room_id))
    return {
        "room_id": room["room_id"],
        "name": room["name"],
        "created_at": str(room["created_at"]),
        "started_at": room["started_at"] and str(room["started_at"]),
        "duration": room["duration"],
        "members": room["members"],
        "peak_members": room["peak_members"],
        "begun": room["begun"],
        "recording": room["recording"],
        **options_of(room),
        "nodes": room["nodes"],
        "playback_status": room["playback_status"],
        "playback_volume": room["playback_volume"],
        "playback_urls": room["playback_urls"],
        "playback_operation_id": room["playback_operation_id"],
        "playback_queue": room["playback_queue"],
        "playing": room["playing"],
    }, 200


@conferences.serves(
    "PATCH", "/<room_id>", responses={200: RoomChanged}, refuses=(*_ROOM, "url_refused", "quota_exceeded", "store_full")
)
def change_room(path: RoomPath, body: RoomChanges) -> Returned:
    """Change options of a room.

    What is left out stays as it is. Nobody who is in the room is taken out, however few it may have then. Works
    also while the media node is down. Webhook: `conference.updated`, if anything changes."""
    given = body.model_dump(exclude_unset=True)
    answer = execute(ChangeRoom(app_id=app_id(), room_id=path.room_id, options=given))
    return {"room_id": answer["room_id"], **options_of(answer)}, 200


@conferences.serves(
    "PATCH",
    "/<room_id>/members/<uuid>",
    responses={202: MemberChanging},
    refuses=(
        *_ROOM,
        *("session_not_found", "session_forbidden", "command_uid_taken", "leaving", "transferring", "node_down"),
        *("not_in_room", "still_joining", "volume_pending", "already_playing", "quota_exceeded", "store_full"),
        *(flag.change(on).refused_pending for flag, on in CHANGES),
    ),
    cooldown=ChangeMember.cooldown,
)
def change_member(path: MemberPath, body: MemberChanges) -> Returned:
    """Change several things of a member at once.

    All of it, or nothing: what cannot be changed now is refused with the rest. Role and tags hold at once. Rate limit
    `conference_member`: 2 s for each session. Webhooks: for each of `changing` its own, such as
    `conference.member.muted`, once the media node confirms; `conference.member.updated` if role or tags change."""
    if not SESSION_ID.fullmatch(path.uuid):
        raise Refused("session_not_found")
    given = body.model_dump(exclude_unset=True)
    command = ChangeMember(
        app_id=app_id(),
        room_id=path.room_id,
        session_id=path.uuid,
        command_uid=body.command_uid,
        flags=tuple((flag.name, given[flag.name]) for flag in FLAGS if flag.name in given),
        levels=tuple((level.name, given[level.name]) for level in LEVELS if level.name in given),
        role=given.get("role"),
        tags=tuple(given["tags"]) if "tags" in given else None,
    )
    answer = execute(command)
    return {name: answer[name] for name in ("status", "room_id", "changing")} | {"uuid": path.uuid}, 202


@conferences.serves("GET", "/<room_id>/members", responses={200: MemberList}, refuses=("room_not_found",))
def list_members(path: RoomPath, query: MemberPage) -> Returned:
    """List a room's members.

    At most 1000 in a page. Sessions still joining are not members yet. A foreign room is 404 here."""
    scope = (app_id(), "members", path.room_id)
    after = cursors().open(query.cursor, *scope)
    limit = min(query.limit, MAX_MEMBERS)
    try:
        answer = execute(ListMembers(app_id=app_id(), room_id=path.room_id, limit=limit, after=after))
    except Refused as refused:
        if refused.code == "room_forbidden":
            raise Refused("room_not_found") from None
        raise
    members = [
        {
            "uuid": row["session_id"],
            "node": row["node"],
            "did": row["did"],
            "caller_id": row["caller_id"],
            **membership_of(row),
        }
        for row in answer["rows"]
    ]
    cursor = cursors().seal(answer["cursor"], *scope)
    return {"room_id": path.room_id, "members": members, "cursor": cursor}, 200


@conferences.serves("DELETE", "/<room_id>", responses={200: RoomDeleted}, refuses=_ROOM)
def delete_room(path: RoomPath, body: Nothing) -> Returned:  # noqa: ARG001
    """Delete a room.

    Stops playback and recording and removes every member; the name is free again at once. Succeeds also
    while the media node is down. Webhooks: `conference.destroyed` at once, then `conference.member.left` for
    each member."""
    answer = execute(DeleteRoom(app_id=app_id(), room_id=path.room_id))
    return {"room_id": answer["room_id"]}, 200


@conferences.serves(
    "POST",
    "/<room_id>/play",
    responses={202: PlayStarted},
    refuses=(*_ROOM, "too_many_operations", "quota_exceeded", "store_full", "node_down", "url_refused"),
    cooldown=Play.cooldown,
    details={
        "quota_exceeded": {"quota": "operations", "limit": 1000, "used": 1000},
        "url_refused": {"fields": [{"field": "urls.0", "problem": "leads to an address that is not public"}]},
    },
)
def play(path: RoomPath, body: PlayBody) -> Returned:
    """Play audio files into a room.

    The files play in the order given, behind those of earlier calls. Rate limit `conf_play`: 2 s for each
    room. Webhooks: `conference.play.started`, later `conference.play.finished`."""
    answer = execute(Play(app_id=app_id(), room_id=path.room_id, urls=tuple(body.urls)))
    return _operation(answer)


@conferences.serves(
    "POST",
    "/<room_id>/pause",
    responses={202: PauseToggled},
    refuses=(*_ROOM, "nothing_playing", "quota_exceeded", "store_full", "node_down"),
    cooldown=TogglePause.cooldown,
)
def pause(path: RoomPath, body: Nothing) -> Returned:  # noqa: ARG001
    """Pause playback, or resume it.

    Rate limit `conference_control`: 200 ms for each room, shared with stop and volume. Webhook:
    `conference.play.paused`."""
    return _operation(execute(TogglePause(app_id=app_id(), room_id=path.room_id)))


@conferences.serves(
    "POST",
    "/<room_id>/stop",
    responses={202: PlaybackStopped},
    refuses=(*_ROOM, "node_down"),
    cooldown=StopPlayback.cooldown,
)
def stop(path: RoomPath, body: Nothing) -> Returned:  # noqa: ARG001
    """Stop all playback in a room, also what waits.

    Rate limit `conference_control`: 200 ms for each room, shared with pause and volume. Webhook:
    `conference.play.stopped` for each playback that it ends."""
    return _operation(execute(StopPlayback(app_id=app_id(), room_id=path.room_id)))


@conferences.serves(
    "POST",
    "/<room_id>/volume",
    responses={202: VolumeSet},
    refuses=(*_ROOM, "quota_exceeded", "store_full", "node_down"),
    cooldown=SetVolume.cooldown,
)
def set_volume(path: RoomPath, body: VolumeBody) -> Returned:
    """Set the volume of a room's playback, now and later.

    Rate limit `conference_control`: 200 ms for each room, shared with pause and stop. Webhook:
    `conference.play.volume_changed`."""
    return _operation(execute(SetVolume(app_id=app_id(), room_id=path.room_id, volume=body.volume)))


def _serve_flag_of_all(flag: Flag, on: bool) -> None:
    """The command that turns a flag of all members on, or off."""
    change = flag.change(on)

    def view(path: RoomPath, body: AllBody) -> Returned:
        answer = execute(
            SetFlagOfAll(
                app_id=app_id(),
                room_id=path.room_id,
                flag=flag,
                on=on,
                exclude=tuple(body.exclude),
                exclude_moderators=body.exclude_moderators,
            )
        )
        return _operation(answer)

    view.__name__ = f"{change.command}_all"
    view.__doc__ = f"""Do {change.command} for all members of a room.

    For those who are members now and not {change.done}, but for the excluded ones. Rate limit
    `{SetFlagOfAll.cooldown}`: 2 s for each room, shared by all such commands. Webhooks: `{change.webhook}` for each
    member once its media node confirms, or `conference.command.failed`; then `conference.command.finished`."""
    conferences.serves(
        "POST",
        f"/<room_id>/commands/{change.command}-all",
        responses={202: AllStarted},
        refuses=(*_ROOM, "members_pending", "quota_exceeded", "store_full", "node_down"),
        cooldown=SetFlagOfAll.cooldown,
    )(view)


for _flag, _on in CHANGES:
    _serve_flag_of_all(_flag, _on)


@conferences.serves(
    "POST",
    "/<room_id>/commands/record",
    responses={202: schemas.RecordingStarted},
    refuses=(
        *_ROOM,
        "room_empty",
        *RECORD_REFUSALS,
    ),
    cooldown=RecordRoom.cooldown,
    details=RECORD_DETAILS,
)
def record_room(path: RoomPath, body: RecordRoomBody) -> Returned:
    """Record a room.

    What is said in it, and what plays, in mono, until you stop it, nobody is in the room, or the room is deleted. Rate
    limit `recording`: 2 s for each room. Webhooks: `conference.recording.started`, later `.stopped`, and `.available`
    or `.failed`."""
    command = RecordRoom(
        app_id=app_id(), room_id=path.room_id, upload_url=body.upload_url, command_uid=body.command_uid
    )
    answer = execute(command)
    return {"recording_id": answer["recording_id"], "status": answer["status"]}, 202


@conferences.serves(
    "POST",
    "/<room_id>/commands/kick-all",
    responses={202: AllStarted},
    refuses=(*_ROOM, "members_pending", "node_down", "quota_exceeded"),
    cooldown=KickAll.cooldown,
)
def kick_all(path: RoomPath, body: KickAllBody) -> Returned:
    """Kick all members of a room.

    Those who are members now, but for the excluded ones. The room stays, and the calls go on. Rate limit
    `conference_all`: 2 s for each room, shared with mute-all and the others. Webhooks: `conference.member.left` for
    each member once its media node confirms, or `conference.command.failed`; then `conference.command.finished`."""
    command = KickAll(
        app_id=app_id(),
        room_id=path.room_id,
        exclude=tuple(body.exclude),
        exclude_moderators=body.exclude_moderators,
        reason=body.reason,
    )
    return _operation(execute(command))


def _operation(answer: Playback | AllChanging) -> Returned:
    return {"operation_id": answer["operation_id"], "status": answer["status"]}, 202
