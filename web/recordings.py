"""Recordings of rooms and sessions, and their files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from flask import Response, request
from werkzeug.http import parse_range_header

from controller.commands import ControlRecording, DeleteRecording, GetRecording, ListRecordings, RecordingEntry
from controller.commands.recordings import Step
from controller.errors import Refused
from controller.ids import RECORDING_ID
from controller.recordings.places import NotReachable
from controller.store.states import RecordingState
from controller.times import iso, iso_ms
from controller.webhooks.types import RECORDING
from web import context, errors, schemas
from web.auth import API_PREFIX
from web.context import app_id, cursors, execute
from web.resource import Resource, Returned
from web.schemas import (
    MAX_RECORDINGS,
    CommandBody,
    Nothing,
    RangeHeaders,
    RecordingChanging,
    RecordingDeleted,
    RecordingList,
    RecordingPage,
    RecordingPath,
)

MEDIA_TYPE = "audio/wav"
# Werkzeug refuses more than there are, and takes none of them for no range.
_LAST_BYTES = re.compile(r"bytes=\s*-([0-9]{1,18})\s*", re.ASCII | re.IGNORECASE)
# In these there will be a file.
_BEFORE_FILE = (
    RecordingState.STARTING,
    RecordingState.RECORDING,
    RecordingState.PAUSED,
    RecordingState.STOPPING,
    RecordingState.STORING,
)
_CONTENT = {"content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}, "example": "RIFF..."}}}
_NO_SUCH_RANGE: Any = errors.documented([(416, errors.CODES[416], errors.body(errors.TITLES[416]))])["416"]
_RANGE_HEADERS = {
    "ETag": {"description": "Of the file, which never changes.", "schema": {"type": "string"}},
    "Accept-Ranges": {"description": "`bytes`.", "schema": {"type": "string"}},
}

# Of whoever begins to record a room or a session.
RECORD_REFUSALS = (
    "already_recording",
    "command_uid_taken",
    "quota_exceeded",
    "store_full",
    "node_down",
    "no_relay",
    "url_refused",
)
RECORD_DETAILS: dict[str, dict[str, Any]] = {
    "quota_exceeded": {"quota": "recordings", "limit": 10000, "used": 10000},
    "already_recording": {"recording_id": RECORDING},
    "url_refused": {"fields": [{"field": "upload_url", "problem": "is not a public address"}]},
}
_REFUSALS = ("recording_not_found", "recording_over", "command_uid_taken", "node_down")
_CHANGE_REFUSALS = (*_REFUSALS, "recording_starting", "recording_pending", "quota_exceeded", "store_full")

recordings = Resource("recordings", "What was recorded of rooms and sessions.", url_prefix=f"{API_PREFIX}/recordings")


@recordings.serves("GET", "", responses={200: RecordingList})
def list_recordings(query: RecordingPage) -> Returned:
    """List the application's recordings.

    At most 200 in a page. Narrowed by `state`, `room_id` or `uuid`, a page may be short, or empty, and not be
    the last: go on until `cursor` is empty."""
    scope = (app_id(), "recordings", *query.narrowed_by)
    command = ListRecordings(
        app_id=app_id(),
        limit=min(query.limit, MAX_RECORDINGS),
        after=cursors().open(query.cursor, *scope),
        state=query.state,
        room=query.room_id,
        session=query.uuid,
    )
    answer = execute(command)
    rows = [recording_entry(row) for row in answer["rows"]]
    return {"recordings": rows, "cursor": cursors().seal(answer["cursor"], *scope)}, 200


@recordings.serves("GET", "/<recording_id>", responses={200: schemas.Recording}, refuses=("recording_not_found",))
def get_recording(path: RecordingPath) -> Returned:
    """Show a recording."""
    return recording_entry(_find(path)), 200


@recordings.serves(
    "GET",
    "/<recording_id>/content",
    responses={
        200: {"description": "The file, a WAV of 16-bit samples.", "headers": _RANGE_HEADERS, **_CONTENT},
        206: {"description": "The part of it that was asked for.", "headers": _RANGE_HEADERS, **_CONTENT},
        304: {"description": "The file is the one that you have."},
        416: _NO_SUCH_RANGE,
    },
    refuses=("recording_not_found", "recording_not_available", "recording_gone", "recording_unreachable"),
)
def get_recording_content(path: RecordingPath, header: RangeHeaders) -> Response:
    """Fetch the file of a recording.

    One range of bytes may be asked for, so that a fetch that broke off goes on, and a player can begin anywhere.
    HEAD tells how large it is."""
    return send_content(path, header)


def find_file(path: RecordingPath) -> tuple[RecordingEntry, str]:
    """A recording that has a file, and the folder that holds it. Raises Refused."""
    found = _find(path)
    holder = found.get("holder")
    if found["state"] in _BEFORE_FILE:
        raise Refused("recording_not_available")
    if holder is None:
        raise Refused("recording_gone")
    return found, holder


def send_content(path: RecordingPath, header: RangeHeaders) -> Response:
    """The file, or the part of it that is wanted. Raises Refused."""
    found, holder = find_file(path)
    size, tag = found["size"], f'"{path.recording_id}"'
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{path.recording_id}.wav"',
    }
    if tag in (each.strip().removeprefix("W/") for each in header.if_none_match.split(",")):
        return Response(status=304, headers=headers)
    wanted = _wanted(header, size, tag)
    if wanted is None:
        headers["Content-Range"] = f"bytes */{size}"
        return errors.respond(416, errors.body(errors.TITLES[416]), headers)
    status, first, end = wanted
    if status == HTTPStatus.PARTIAL_CONTENT:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{size}"
    headers["Content-Length"] = str(end - first)
    if request.method == "HEAD":
        return Response(status=status, headers=headers, content_type=MEDIA_TYPE)
    places = context.recordings()
    if places is None:
        raise Refused("recording_unreachable")
    try:
        pieces = places.fetch(app_id(), path.recording_id, holder, first, end - first)
    except NotReachable:
        raise Refused("recording_unreachable") from None
    return Response(_sent(pieces, context.connection()), status, headers, content_type=MEDIA_TYPE)


@recordings.serves(
    "POST",
    "/<recording_id>/commands/pause",
    responses={202: RecordingChanging},
    refuses=(*_CHANGE_REFUSALS, "already_paused"),
    cooldown=ControlRecording.cooldown,
)
def pause_recording(path: RecordingPath, body: CommandBody) -> Returned:
    """Pause a recording.

    Nothing is recorded until it is resumed, and the file has no gap. Rate limit `recording_control`: 200 ms for each
    recording, shared with resume and stop. Webhook: that which ends with `recording.paused`, once the media node
    confirms."""
    return _control(path, body, "pause")


@recordings.serves(
    "POST",
    "/<recording_id>/commands/resume",
    responses={202: RecordingChanging},
    refuses=(*_CHANGE_REFUSALS, "not_paused"),
    cooldown=ControlRecording.cooldown,
)
def resume_recording(path: RecordingPath, body: CommandBody) -> Returned:
    """Go on with a recording that is paused.

    Rate limit `recording_control`: 200 ms for each recording, shared with pause and stop. Webhook: that which ends with
    `recording.resumed`, once the media node confirms."""
    return _control(path, body, "resume")


@recordings.serves(
    "POST",
    "/<recording_id>/commands/stop",
    responses={202: RecordingChanging},
    refuses=_REFUSALS,
    cooldown=ControlRecording.cooldown,
)
def stop_recording(path: RecordingPath, body: CommandBody) -> Returned:
    """End a recording.

    Its file follows. Rate limit `recording_control`: 200 ms for each recording, shared with pause and resume. Webhooks:
    that which ends with `recording.stopped`, once the media node confirms, then `.available` or `.failed`."""
    return _control(path, body, "stop")


@recordings.serves("DELETE", "/<recording_id>", responses={200: RecordingDeleted}, refuses=("recording_not_found",))
def delete_recording(path: RecordingPath, body: Nothing) -> Returned:  # noqa: ARG001
    """Delete a recording, and its file.

    One that still goes on is stopped first. No webhooks about it follow."""
    execute(DeleteRecording(app_id=app_id(), recording_id=_known_form(path)))
    return {"recording_id": path.recording_id}, 200


def _control(path: RecordingPath, body: CommandBody, step: Step) -> Returned:
    command = ControlRecording(app_id=app_id(), recording_id=_known_form(path), step=step, command_uid=body.command_uid)
    answer = execute(command)
    return {"recording_id": answer["recording_id"], "status": answer["status"]}, 202


def _wanted(header: RangeHeaders, size: int, tag: str) -> tuple[int, int, int] | None:
    """The status for the part that is asked for, its first byte, and the one behind its last; None if there is no such
    part. What is no range of bytes, or more than one, counts as none asked for, as HTTP has it.
    """
    may_be_part = header.if_range in ("", tag)
    if may_be_part and (last := _LAST_BYTES.fullmatch(header.range)):
        count = min(int(last[1]), size)
        return (HTTPStatus.PARTIAL_CONTENT, size - count, size) if count else None
    asked = parse_range_header(header.range) if may_be_part else None
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return HTTPStatus.OK, 0, size
    part = asked.range_for_length(size)
    return part and (HTTPStatus.PARTIAL_CONTENT, *part)


def _sent(pieces: Iterator[bytes], connection: context.Connection) -> Iterator[bytes]:
    """Cuts the connection off where the file breaks off, so that its reader sees that it is not whole."""
    try:
        yield from pieces
    except NotReachable:
        connection.cut_off()


def _find(path: RecordingPath) -> RecordingEntry:
    return execute(GetRecording(app_id=app_id(), recording_id=_known_form(path)))


def _known_form(path: RecordingPath) -> str:
    if not RECORDING_ID.fullmatch(path.recording_id):
        raise Refused("recording_not_found")
    return path.recording_id


def recording_entry(row: RecordingEntry) -> dict[str, Any]:
    """A recording, in a list or alone."""
    length_ms = row.get("length_ms")
    return {
        "recording_id": row["recording_id"],
        "room_id": row.get("room_id", ""),
        "uuid": row.get("session_id", ""),
        "state": row["state"],
        "channels": row["channels"],
        "created_at": iso(row["created_at"]),
        "started_at": iso_ms(row.get("started_at")),
        "ended_at": iso_ms(row.get("ended_at")),
        "reason": row.get("reason"),
        "duration": None if length_ms is None else length_ms / 1000,
        "size": row.get("size"),
        "uploaded": row["uploaded"],
        "upload_host": row.get("upload_host"),
        "upload_attempts": row.get("attempts"),
        "http_status": row.get("http_status"),
        "expires_at": iso_ms(row.get("expires_at")),
    }
