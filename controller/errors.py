"""Why not: every reason for which the controller refuses what was asked."""

from __future__ import annotations

from typing import Any

from controller.limits import Budget
from controller.sessions.flags import CHANGES, Flag


class Refused(Exception):
    """A command or query that was not carried out and changed nothing.

    `code` is one of REASONS; `detail` is what the caller may be told besides: `retry_after_ms` and `group`,
    `room_id`, `fields`.
    """

    def __init__(self, code: str, detail: dict[str, Any] | None = None) -> None:
        super().__init__(REASONS[code])
        self.code = code
        self.detail = detail or {}


class OverRate(Refused):
    """A request is more than what is left of its app's rate, the `budget`."""

    def __init__(self, budget: Budget, detail: dict[str, Any]) -> None:
        super().__init__("rate_limited", detail)
        self.budget = budget


class ScriptFailed(Exception):
    """A script of the store met what must not be, such as a state from which there is no such step.

    The text says what, with file and line. What the script wrote before stays. To run it again does not help.
    """


class StoreUnavailable(Exception):
    """The store did not answer in time; nothing is known of what became of the request."""


class Fenced(Exception):
    """Another process holds the node or partition by now, or may."""


def _already(flag: Flag, on: bool) -> str:
    """What a member is that is so already, `already unmuted` in the words of the public reference."""
    if on:
        return f"already {flag.is_what}"
    return "already unmuted" if flag.name == "muted" else f"not {flag.is_what}"


REASONS: dict[str, str] = {
    "room_not_found": "Conference room not found",
    "room_forbidden": "Conference room belongs to a different application",
    "session_not_found": "Session not found",
    "session_forbidden": "Session belongs to a different application",
    "not_in_room": "Session is not in a conference",
    "rate_limited": "Rate limit exceeded. Wait for retry_after_ms, then try again.",
    "name_taken": "Conference name already taken for this application",
    "in_other_room": "Session is already in a different conference room. Use conference/leave first.",
    "other_node": "Session and conference room are on different media nodes, and one of them takes no new rooms.",
    "still_joining": "Session is still joining the conference. Wait for conference.member.joined.",
    "room_locked": "Conference room is locked. Unlock it first.",
    "room_full": "Conference room is full: it has max_members sessions. Raise max_members, or wait until one has left.",
    "leaving": "Session is leaving the conference. Wait for conference.member.left.",
    "transferring": "Session is being transferred. Wait for session.transferred or session.transfer_failed.",
    "transferred": "Session was transferred. It joins no room, is played nothing, and is not transferred again.",
    "still_dialing": "The call has not been answered. Wait for session.answered.",
    "dialing_forbidden": "The application may not make calls. The operator's configuration has to allow it.",
    "destination_forbidden": "The application may not call this number or SIP URI.",
    "caller_id_forbidden": "The application may not call as this number.",
    "dial_limit_reached": "The application may not make more calls now. detail.quota says which limit it has reached.",
    "command_uid_taken": "command_uid was used for another command within the last minute. Use a new one.",
    "idempotency_key_in_use": "A request with this Idempotency-Key is being carried out, or its outcome is not known."
    " Send it again after retry_after_ms.",
    "idempotency_key_reused": "Idempotency-Key was used for another request within the last 24 hours. Use a new one.",
    "dtmf_pending": "Digits are on their way to the media node. Wait for session.dtmf.sent.",
    "volume_pending": "This volume of the member is being set already. Wait for conference.member.volume_changed.",
    "coached_not_member": "session_id is no other member of the session's conference room. Wait until it has joined.",
    "coached_on_other_node": "The member to coach is on another media node. Both calls have to be on the same one.",
    "coach_pending": "The media node has not confirmed yet whom the member coaches. Wait for conference.member.coaching"
    " or conference.member.uncoached.",
    "already_coaching": "Member already coaches this one.",
    "not_coaching": "Member coaches nobody.",
    "too_many_coaches": "Ten members of the room coach already. Have one of them uncoach first.",
    "members_pending": "Another command to all members is being carried out. Wait for conference.command.finished.",
    "already_playing": "Something is played to the session. Use stop first, or wait for session.play.finished.",
    "on_hold": "The member is on hold, or is being put on hold. Use conference/unhold first.",
    "already_recording": "It is being recorded already. detail.recording_id says by which recording.",
    "room_empty": "Nobody is in the conference room. With its option record it is recorded from the first member on.",
    "recording_not_found": "Recording not found. None has this id, or it is not kept any longer.",
    "recording_starting": "The recording has not begun. Wait for its webhook that ends in recording.started.",
    "recording_pending": "The recording is being paused or resumed already. A webhook follows when it is.",
    "recording_over": "The recording has ended.",
    "already_paused": "The recording is paused already.",
    "not_paused": "The recording is not paused.",
    "nothing_playing": "Nothing is playing in the conference room. Use play first.",
    "quota_exceeded": "A quota of the application is used up. Free some of it, or ask the operator for more.",
    "too_many_operations": "Too many playback operations are waiting in the conference room. Stop them, or wait for"
    " conference.play.finished.",
    "recording_not_available": "The recording has no file yet. Wait for its webhook that ends in recording.available.",
    "recording_gone": "The recording has no file: it was put to your upload_url, its time is over, or nothing was"
    " recorded.",
    "recording_unreachable": "The audio relay that has the recording is not reachable. Try again in a few seconds.",
    "webhook_not_found": "Webhook not found. None has this id, or it is not kept any longer.",
    "webhook_pending": "Webhook is still being tried. It can be sent again once it was delivered or has failed.",
    "no_endpoint": "There is no webhook URL for this application. Set the webhook endpoint first.",
    "endpoint_disabled": "The webhook endpoint is disabled. Enable it by setting it anew.",
    "redelivery_under_way": "Webhooks of a time range are being sent again already. Wait until all are on their way.",
    "app_not_found": "Application not found",
    "node_not_found": "Media node not found",
    "no_console": "The console is disabled, so there is no portal. Ask the operator for [console] enabled.",
    "too_many_logins": "Too many are logging in at the moment. Try again in a few seconds.",
    "too_many_log_searches": "Too many are looking through the event log at the moment. Try again in a few seconds.",
    "url_refused": "The URL leads to no public address",
    "too_many_streams": "This server has too many event streams open. Try again in a few seconds.",
    "node_down": "The media node is not reachable. Try again in a few seconds.",
    "no_relay": "No audio relay is available. Try again in a few seconds.",
    "no_node": "No media node is available. Try again in a few seconds.",
    "store_full": "The store is full. Requests that end or read something still work; try this one again later.",
    **{flag.change(on).refused_already: f"Member is {_already(flag, on)}" for flag, on in CHANGES},
    **{
        flag.change(on).refused_pending: f"Member is already being {flag.change(on).done}."
        " A webhook follows when the media node confirms it."
        for flag, on in CHANGES
    },
}
