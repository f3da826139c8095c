"""Commands about what plays in a room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypedDict

from controller.commands.base import Answer, Args, Nothing, Parts, RoomCommand, url_texts
from controller.ids import new_operation_id


class Playback(TypedDict):
    """`operation_id`: of the current operation, empty when there is none."""

    operation_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Play(RoomCommand[Playback]):
    """Answers `in_progress`. `urls` pass `esl.commands.clean_url`. Refused: `too_many_operations`, `url_refused`."""

    urls: tuple[str, ...]

    script: ClassVar[str] = "play"
    logged_as: ClassVar[str] = "play"
    cooldown: ClassVar[str] = "conf_play"
    needs_node: ClassVar[bool] = True

    def prepare(self, parts: Parts) -> Args:
        urls = url_texts(self.urls)
        # With commas between, as the store counts them.
        url_bytes = len(",".join(urls).encode())
        may_play = MayPlay(
            app_id=self.app_id, actor=self.actor, trace=self.trace, room_id=self.room_id, url_bytes=url_bytes
        )
        parts.playback.check(self.app_id, self.urls, lambda: parts.execute(may_play))
        return {"operation_id": new_operation_id(), "urls": urls}


@dataclass(frozen=True, slots=True, kw_only=True)
class MayPlay(RoomCommand[Nothing]):
    """Whether a `Play` would be refused, asked before the names in its URLs are resolved. Changes nothing.

    `url_bytes`: of the URLs as JSON.
    """

    url_bytes: int

    script: ClassVar[str] = "may_play"
    logged_as: ClassVar[str] = Play.logged_as
    cooldown: ClassVar[str] = Play.cooldown
    needs_node: ClassVar[bool] = Play.needs_node


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaybackControl(RoomCommand[Answer]):
    """A command to what plays already."""

    cooldown: ClassVar[str] = "conference_control"
    needs_node: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TogglePause(PlaybackControl[Playback]):
    """Answers `paused` or `resumed`. Refused: `nothing_playing`."""

    script: ClassVar[str] = "pause"
    logged_as: ClassVar[str] = "pause"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlayback(PlaybackControl[Playback]):
    """Answers `stopped`. Ends what plays and what waits."""

    script: ClassVar[str] = "stop"
    logged_as: ClassVar[str] = "stop"


class Volume(Playback):
    volume: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SetVolume(PlaybackControl[Volume]):
    """Answers `volume_changed`. `volume`: `limits.MIN_VOLUME` to `limits.MAX_VOLUME`."""

    volume: int

    script: ClassVar[str] = "volume"
    logged_as: ClassVar[str] = "volume"
