"""What an attempt came to and what follows from it: when a failed webhook is tried again, when it stops holding up the
ones behind it, and what a response asks for besides. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from controller.store.states import DeliveryState
from controller.webhooks.message import Webhook

# Seconds from a failed attempt to the next one.
DELAYS = (5.0, 30.0, 120.0, 600.0, 3600.0, 21600.0)
MAX_PAUSE_SECONDS = 3600.0  # that a Retry-After can ask for
STORE_RETRY_SECONDS = 0.5  # until the store is asked again when it was not available


@dataclass(frozen=True, slots=True)
class Demand:
    """What a response asks for, besides another attempt. `pause`: seconds without any attempt to the endpoint;
    `disable`: why it is to be disabled.
    """

    pause: float = 0.0
    disable: str = ""


NOTHING = Demand()


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of an attempt: a status with the start of the response's body, or an error. Or why there was none: the
    webhook is dropped (`skipped`), or kept for later (`withheld`). `mark`: of the endpoint that was tried.
    """

    status: int | None = None
    body: bytes = b""
    error: str | None = None
    demand: Demand = NOTHING
    mark: str | None = None
    skipped: str | None = None
    withheld: str | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def was_made(self) -> bool:
        return not self.skipped and not self.withheld


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of the webhook: it is held in its order, put into the retry queue (aside), or done with. `delay`:
    seconds to the next attempt, 0 for none.
    """

    state: DeliveryState
    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class Schedule:
    """`delays`: seconds before each retry. During the first `holding` of them the webhooks behind it wait; after those
    it goes to the retry queue. `jitter`: the part of a delay by which it may be shorter or longer.
    """

    delays: tuple[float, ...] = DELAYS
    holding: int = 2
    jitter: float = 0.1

    def outcome(self, webhook: Webhook, attempt: Attempt, chance: float) -> Outcome:
        """`chance` in [0, 1) places a delay in its jitter."""
        if attempt.skipped:
            return Outcome(DeliveryState.SKIPPED)
        if attempt.is_success:
            return Outcome(DeliveryState.DELIVERED)
        if attempt.withheld or attempt.demand.disable:
            return Outcome(DeliveryState.FAILED)
        outcome = self.after_failure(webhook.attempts + 1 - webhook.earlier, chance)
        if outcome.state == DeliveryState.FAILED:
            return outcome
        state = DeliveryState.ASIDE if webhook.in_retry_queue else outcome.state
        return Outcome(state, max(outcome.delay, attempt.demand.pause))

    def after_failure(self, number: int, chance: float) -> Outcome:
        """What follows when attempt `number` (from 1) has failed."""
        if number > len(self.delays):
            return Outcome(DeliveryState.FAILED)
        delay = self.delays[number - 1] * (1 + self.jitter * (2 * chance - 1))
        return Outcome(DeliveryState.HELD if number <= self.holding else DeliveryState.ASIDE, delay)


def _gone(_retry_after: str, _now: float) -> Demand:
    return Demand(disable="it answered 410 Gone")


def _busy(retry_after: str, now: float) -> Demand:
    return Demand(pause=_pause(retry_after, now))


# By status. All others ask for nothing.
DEMANDS: dict[int, Callable[[str, float], Demand]] = {410: _gone, 429: _busy, 503: _busy}


def demand(status: int | None, retry_after: str, now: float) -> Demand:
    """`retry_after`: the header, empty when there is none. `now`: epoch seconds."""
    found = DEMANDS.get(status or 0)
    return found(retry_after, now) if found else NOTHING


def _pause(retry_after: str, now: float) -> float:
    """Seconds, from either form of the header; 0 for what is neither, or past."""
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_PAUSE_SECONDS)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, OverflowError, TypeError):
        return 0.0
    return min(max(seconds, 0.0), MAX_PAUSE_SECONDS)
