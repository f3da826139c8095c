"""Commands about recordings of rooms and sessions."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypedDict

from controller.commands.base import Args, Command, Parts, RoomCommand, SessionCommand
from controller.errors import Refused
from controller.outbound.addresses import refusal
from controller.outbound.target import parse_url

Step = Literal["pause", "resume", "stop"]


class Recording(TypedDict):
    recording_id: str
    status: str


def _check(parts: Parts, url: str | None) -> Args:
    """Raises Refused for a URL that cannot lead to a public address. The relay checks each that it connects to."""
    if url and not parts.allow_private_uploads and (problem := refusal(parse_url(url).host)):
        raise Refused("url_refused", {"fields": [{"field": "upload_url", "problem": problem}]})
    return {}


def _stands_for(*asked: str | int | None) -> str:
    """What a `command_uid` stands for besides its room or session. The URL is a secret."""
    return hashlib.sha256(repr(asked).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRoom(RoomCommand[Recording]):
    """Records what the room hears, in mono. `upload_url`: where the file is put in the end; None: the app fetches it.
    Answers `starting`. Refused: `already_recording`, `room_empty`, `no_relay`, `quota_exceeded`, `command_uid_taken`.
    """

    upload_url: str | None = field(default=None, repr=False)
    command_uid: str | None = None

    script: ClassVar[str] = "record_room"
    logged_as: ClassVar[str] = "record"
    cooldown: ClassVar[str] = "recording"
    needs_node: ClassVar[bool] = True

    def arguments(self) -> Args:
        # Not super(): the class is made anew for its slots.
        return {**Command.arguments(self), "body": _stands_for(self.upload_url)}

    def prepare(self, parts: Parts) -> Args:
        return _check(parts, self.upload_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSession(SessionCommand[Recording]):
    """Records a call, in a room or not: what the caller says and what he hears, with two `channels` each in one of its
    own. Answers and refused as `RecordRoom`, and `still_dialing`.
    """

    upload_url: str | None = field(default=None, repr=False)
    channels: int = 1

    script: ClassVar[str] = "record_session"
    logged_as: ClassVar[str] = "record"
    cooldown: ClassVar[str] = "recording"

    def arguments(self) -> Args:
        return {**Command.arguments(self), "body": _stands_for(self.upload_url, self.channels)}

    def prepare(self, parts: Parts) -> Args:
        return _check(parts, self.upload_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlRecording(Command[Recording]):
    """`step`: what is done with a recording that goes on. Answers `paused`, `resumed` or `stopping`. Refused:
    `recording_not_found`, `recording_over`, `recording_starting`, `recording_pending`, `already_paused`, `not_paused`.
    """

    recording_id: str
    step: Step
    command_uid: str | None = None

    script: ClassVar[str] = "control_recording"
    cooldown: ClassVar[str] = "recording_control"
    needs_node: ClassVar[bool] = True

    @property
    def verb(self) -> str:
        return f"{self.step}_recording"

    def arguments(self) -> Args:
        return {**Command.arguments(self), "body": self.recording_id}
