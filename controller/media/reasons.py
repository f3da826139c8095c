"""Why a file cannot be played."""

from __future__ import annotations

# As apps read it in `results` of conference.play.finished.
REASONS: dict[str, str] = {
    "not_found": "Its server responded with an error, a status of 400 or above: see `http_status`.",
    "not_audio": "It cannot be decoded as audio.",
    "too_large": "It has more bytes than are allowed.",
    "too_long": "It plays for longer than is allowed, or has more samples than stereo at 48 kHz has in that time.",
    "timeout": "It did not come in time, or too slowly.",
    "forbidden_address": "Its URL, or a redirect, leads to an address that is not public.",
    "unreachable": "Its server could not be reached, or did not send a file as HTTP has it.",
    "relay_failed": "Switchroom could not store it, for lack of space, say. The file is not at fault: try again later.",
}


class AudioFailed(Exception):
    """A file cannot be played. `reason`: one of REASONS, or one that only a newer relay knows. `http_status`: of the
    server's response, for `not_found`.
    """

    def __init__(self, reason: str, http_status: int | None = None) -> None:
        super().__init__(REASONS.get(reason, reason))
        self.reason = reason
        self.http_status = http_status
