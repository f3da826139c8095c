"""When a failed webhook is tried again, when it stops holding up the ones behind it, and what an answer asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

# Seconds from a failed attempt to the next one.
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)


@dataclass(frozen=True, slots=True)
class Step:
    """What follows a failed attempt. `name`: held, aside or failed. `delay`: seconds to the next attempt, 0
    for none.
    """

    name: str
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """`delays`: seconds before each retry. The first `holding` of them hold the lane; after those a webhook
    steps aside and goes on alone. `jitter`: the part of a delay by which it may be shorter or longer.
    """

    delays: tuple[float, ...] = DELAYS
    holding: int = 2
    jitter: float = 0.1

    def after_failure(self, attempt: int, chance: float) -> Step:
        """What follows failed attempt number `attempt` (from 1). `chance` in [0, 1) places the delay in its
        jitter.
        """
        if attempt > len(self.delays):
            return Step("failed")
        delay = self.delays[attempt - 1] * (1 + self.jitter * (2 * chance - 1))
        return Step("held" if attempt <= self.holding else "aside", delay)


# What a Retry-After can ask for at the most, in seconds.
LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Demand:
    """What an endpoint's answer asks for, besides another attempt. `pause`: seconds without any attempt to it;
    `disable`: why there shall be none any more.
    """

    pause: float = 0.0
    disable: str = ""


def _gone(_retry_after: str, _now: float) -> Demand:
    return Demand(disable="it answered 410 Gone")


def _busy(retry_after: str, now: float) -> Demand:
    return Demand(pause=_pause(retry_after, now))


# By status. All others ask for nothing.
DEMANDS: dict[int, Callable[[str, float], Demand]] = {410: _gone, 429: _busy, 503: _busy}
NOTHING = Demand()


def demand(status: int | None, retry_after: str, now: float) -> Demand:
    """`retry_after`: the header, empty when there is none. `now`: epoch seconds."""
    found = DEMANDS.get(status or 0)
    return found(retry_after, now) if found else NOTHING


def _pause(retry_after: str, now: float) -> float:
    """Seconds, from either form of the header; 0 for what is neither, or past."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_PAUSE)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE)
