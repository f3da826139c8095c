"""Queries and commands about recordings once they are begun: what there are, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NotRequired, TypedDict

from controller.commands.base import Command, Listing


class RecordingEntry(TypedDict):
    """A recording of a room or of a session: the other id is absent. `state`: one of `states.RECORDING_STATES`.

    `created_at`: epoch seconds; `started_at`, `ended_at`, `expires_at`: epoch ms. `reason`: why it ended or failed.
    `upload_host`: of the URL that it is being put to, in `attempts` until now, and `http_status` what that server
    responded with last. `holder`: the id of the folder with its file, absent while there is none.
    """

    recording_id: str
    room_id: NotRequired[str]
    session_id: NotRequired[str]
    state: str
    channels: int
    reason: NotRequired[str]
    created_at: int
    started_at: NotRequired[int]
    ended_at: NotRequired[int]
    length_ms: NotRequired[int]
    size: NotRequired[int]
    uploaded: bool
    upload_host: NotRequired[str]
    attempts: NotRequired[int]
    http_status: NotRequired[int]
    expires_at: NotRequired[int]
    holder: NotRequired[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetRecording(Command[RecordingEntry]):
    """Refused: `recording_not_found`, for those of others, too."""

    recording_id: str

    script: ClassVar[str] = "get_recording"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRecordings(Listing[RecordingEntry]):
    """All recordings, or only those in that `state`, of that `room` or of that `session`."""

    state: str | None = None
    room: str | None = None
    session: str | None = None

    script: ClassVar[str] = "list_recordings"


class DeletedRecording(TypedDict):
    recording_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteRecording(Command[DeletedRecording]):
    """Deletes a recording with its file, and stops it first if it still goes on. Refused: `recording_not_found`."""

    recording_id: str

    script: ClassVar[str] = "delete_recording"
    logged_as: ClassVar[str] = "delete_recording"
