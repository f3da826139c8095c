"""Why a file could not be played."""

from __future__ import annotations

REASONS = ("not_found", "not_audio", "too_large", "too_long", "timeout", "forbidden_address", "unreachable")


class AudioFailed(Exception):
    """`reason`: one of REASONS. `http_status`: what the origin responded with, if that was the reason."""

    def __init__(self, reason: str, http_status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.http_status = http_status
