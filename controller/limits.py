"""How much an app may have, how often it may ask, and how loud it may play. What is beyond a limit is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.sessions.flags import FLAGS
from controller.sessions.levels import COOLDOWN as OF_LEVELS

MEBIBYTE = 1 << 20

# Of what an app marks a member with, and of the text that says why one was kicked.
MAX_TAGS = 16
MAX_TAG_LENGTH = 64
MAX_REASON_LENGTH = 128

# Of digits that are sent to a session: how many, pauses included, and how long each (ms). A node sends no shorter ones.
MAX_DIGITS = 32
MIN_DIGIT_MS = 60
MAX_DIGIT_MS = 2000

# For how long digits are waited for (s): the first of them, and each other.
MAX_DIGITS_TIMEOUT = 600
MAX_DIGIT_TIMEOUT = 60

# Of a room's playback. 0 leaves a file as it is.
MIN_VOLUME = -50
MAX_VOLUME = 7

# Name -> what an app gets unless it has a quota of its own. What happens at the limit: docs/configuration.md.
QUOTAS: dict[str, int] = {
    "rooms": 1000,
    "sessions": 1000,
    "recordings": 10_000,  # that go on, or are kept
    "operations": 1000,  # playbacks that play or wait
    "recording_bytes": 10 * 1024 * MEBIBYTE,  # of their files, at relays
    "url_bytes": 4 * MEBIBYTE,  # their URLs, as JSON
    "webhook_bytes": 64 * MEBIBYTE,  # undelivered webhooks
    "idempotency_bytes": 64 * MEBIBYTE,  # what is kept of requests with an Idempotency-Key
    "streams": 100,  # of events that are open at one API process
    "portal_links": 1000,  # that nobody has opened
    "failed_bytes": 64 * MEBIBYTE,  # failed webhooks that are kept; nothing is refused, the oldest go
}


# Among an app's own quotas: how many requests it may send a second, in place of what all may.
RATE = "requests_per_second"
MAX_RATE = 100_000
# Of a quota: what Lua, whose numbers are floats, counts exactly.
MAX_QUOTA = 2**53 - 1


def check_quotas(own: Mapping[str, int]) -> None:
    """Raises ValueError, in plain words, for a name that is no quota or a number out of its range."""
    for name, most in own.items():
        if name not in (*QUOTAS, RATE):
            raise ValueError(f"{name} is no quota; there are {', '.join((*QUOTAS, RATE))}")
        if name == RATE and not 1 <= most <= MAX_RATE:
            raise ValueError(f"{name} must be 1 to {MAX_RATE}")
        if most < 0:
            raise ValueError(f"{name} must be zero or more")
        if most > MAX_QUOTA:
            raise ValueError(f"{name} must be at most {MAX_QUOTA}")


# Group -> milliseconds until the next command of the group to the same room, session or app. From the API reference.
COOLDOWNS: dict[str, int] = {
    "conf_play": 2000,
    "conference_control": 200,
    "conference": 2000,
    "hang_up": 2000,
    "dtmf": 200,
    "collect_digits": 200,
    "session_play": 200,
    "session_stop": 200,
    "dial": 2000,
    "conference_all": 2000,
    "conference_member": 2000,
    OF_LEVELS: 200,
    "conference_coach": 200,
    "recording": 2000,
    "recording_control": 200,
    "webhook_test": 2000,
    **{flag.cooldown: 2000 for flag in FLAGS},
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What an app has left of its rate after a request. `limit`: how many it may send a second, and at once;
    `remaining`: how many it may send at once now; `reset_ms`: until it may send the whole limit at once again.
    """

    limit: int
    remaining: int
    reset_ms: int


@dataclass(slots=True)
class Admission:
    """A request that is yet to be counted as its app's. `size`: bytes of its body. `budget`: once it was counted."""

    app_id: str
    size: int = 0
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """How often. `requests_per_second`: for each app that has no rate of its own."""

    requests_per_second: int = 100
    cooldowns: Mapping[str, int] = field(default_factory=COOLDOWNS.copy)
