"""When a failed webhook is tried again, and when it stops holding up the ones behind it."""

from __future__ import annotations

from dataclasses import dataclass

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
