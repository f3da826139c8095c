"""What may be asked of the controller: commands change state, queries read it. Names in the imperative.

Each class is answered by the Lua file that `SCRIPTS` names. Values are taken as valid: whoever builds a command
(the REST API) has checked forms and ranges. Answers are dictionaries, given with each class.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something asked by app `app_id`, authenticated before."""

    app_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCommand(Command):
    """`command_uid`: the caller's own id; a repeat within 60 s gets the first answer and does nothing. Refused:
    `command_uid_taken` when it named another command."""

    session_id: str
    command_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateRoom(Command):
    """-> `{"room_id"}`. Refused: `name_taken` (detail `room_id`), `no_node`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRoom(Command):
    """-> `{"room_id"}`. `conference.destroyed` at once; members are kicked, each with a `conference.member.left`."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(Command):
    """-> `{"operation_id", "status": "in_progress"}`. `urls`: `esl.commands.clean_url` accepts each."""

    room_id: str
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TogglePause(Command):
    """-> `{"operation_id", "status": "paused" | "resumed"}`. Refused: `nothing_playing`."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlayback(Command):
    """-> `{"operation_id", "status": "stopped"}`; `operation_id` is empty when nothing played. Ends what waits, too."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVolume(Command):
    """-> `{"operation_id", "status": "volume_changed", "volume"}`. `volume`: -50..7."""

    room_id: str
    volume: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Join(SessionCommand):
    """-> `{"status": "joining" | "already_joined", "room_id"}`."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leave(SessionCommand):
    """-> `{"status": "leaving", "room_id"}`. Refused: `not_in_room`, `still_joining`, `leaving`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute(SessionCommand):
    """-> `{"status": "muted", "room_id"}`. Refused: `not_in_room`, `still_joining`, `leaving`, `already_muted`,
    `mute_pending`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmute(SessionCommand):
    """-> `{"status": "unmuted", "room_id"}`. Refused as `Mute`, with `already_unmuted` and `unmute_pending`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRoom(Command):
    """-> `{"room_id", "name", "created_at": epoch seconds (int), "members": int, "playback_status":
    "stopped" | "playing" | "paused", "playback_volume": int, "playback_urls": [str], "playback_operation_id",
    "playback_queue": [{"operation_id", "urls": [str]}]}`, the queue without the current operation."""

    room_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRooms(Command):
    """-> `{"rows": [{"room_id", "name", "members", "created_at": epoch seconds}], "cursor": int}`.

    `after` is the position to go on from (0: the beginning); `cursor` of the answer is one, 0 at the end. With
    `name`, only the room that has it.
    """

    limit: int
    after: int = 0
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListMembers(Command):
    """-> `{"rows": [{"uuid", "did", "caller_id", "muted"}], "cursor": int}`; members still joining are left out."""

    room_id: str
    limit: int
    after: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSession(Command):
    """-> `{"uuid", "did", "caller_id", "state", "room_id", "member_id": int | None, "muted": bool,
    "started_at": epoch seconds}`."""

    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSessions(Command):
    """-> `{"rows": [as GetSession], "cursor": int}`.

    Only those in that `state`, of that `room` (joining, in it or leaving), or called at that `did`. A page that is
    narrowed may be short, and even empty, with more to come: `cursor` says so.
    """

    limit: int
    after: int = 0
    state: str | None = None
    room: str | None = None
    did: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetEndpoint(Command):
    """-> `{"url", "types": [str], "status": "unset" | "active" | "failing" | "disabled", "since": epoch ms | None,
    "reason", "old_secret_until": epoch ms | None}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEndpoint(Command):
    """-> as GetEndpoint. Enables the endpoint. Refused: `url_refused` (detail `fields`)."""

    url: str
    types: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(Command):
    """-> `{"secret", "old_secret_until": epoch ms}`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTest(Command):
    """-> `{"webhook_id", "delivered": bool, "status": int | None, "error": str | None, "latency_ms", "answer": str |
    None}`, after 15 s at the most. Refused: `no_endpoint`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDeliveries(Command):
    """-> `{"rows": [{"webhook_id", "type", "lane": room or session id, "at": epoch ms, "status", "attempts": int,
    "next": epoch ms | None}], "cursor": int}`, the newest first.

    Those that were attempted at least once: `status` is retrying, delivered or failed. `since` and `till`: epoch ms.
    """

    limit: int
    after: int = 0
    status: str | None = None
    type: str | None = None
    room: str | None = None
    since: int | None = None
    till: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDelivery(Command):
    """-> a row of ListDeliveries, with `status` pending before the first attempt, `"data": {...}` and `"tried":
    [{"number", "at": epoch ms, "status": int | None, "error": str | None, "latency_ms", "answer": str | None}]`.
    Refused: `webhook_not_found`."""

    webhook_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeliver(Command):
    """-> `{"webhook_id", "status": "retrying"}`. Refused: `webhook_not_found`, `webhook_pending`, `no_endpoint`,
    `endpoint_disabled`."""

    webhook_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliverRange(Command):
    """The failed ones from `since` to before `till` (epoch ms). -> `{"webhooks": how many}`; they are sent bit by
    bit. Refused: `no_endpoint`, `endpoint_disabled`, `redelivery_under_way`."""

    since: int
    till: int


SCRIPTS: dict[type[Command], str] = {
    CreateRoom: "create_room",
    DeleteRoom: "delete_room",
    Play: "play",
    TogglePause: "pause",
    StopPlayback: "stop",
    SetVolume: "volume",
    Join: "join",
    Leave: "leave",
    Mute: "set_flag",
    Unmute: "set_flag",
    GetRoom: "get_room",
    ListRooms: "list_rooms",
    ListMembers: "list_members",
    GetSession: "get_session",
    ListSessions: "list_sessions",
    GetEndpoint: "get_endpoint",
    SetEndpoint: "set_endpoint",
    RotateSecret: "rotate_secret",
    SendTest: "test_endpoint",
    ListDeliveries: "list_deliveries",
    GetDelivery: "get_delivery",
    Redeliver: "redeliver",
    RedeliverRange: "redeliver_range",
}

# What commands are called in the event log. Queries are not in it.
LOGGED: dict[type[Command], str] = {
    CreateRoom: "create",
    DeleteRoom: "delete",
    Play: "play",
    TogglePause: "pause",
    StopPlayback: "stop",
    SetVolume: "volume",
    Join: "join",
    Leave: "leave",
    Mute: "mute",
    Unmute: "unmute",
    SetEndpoint: "webhook.endpoint.set",
    RotateSecret: "webhook.secret.rotated",
    SendTest: "webhook.test",
    Redeliver: "webhook.redeliver",
    RedeliverRange: "webhook.redeliver",
}
