from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.webhooks.schedule import DELAYS, Schedule, Step

chances = st.floats(0, 1, exclude_max=True)


def test_the_published_schedule() -> None:
    steps = [Schedule().after_failure(attempt, 0.5) for attempt in range(1, 8)]
    assert [step.delay for step in steps] == [5, 30, 120, 600, 3600, 21600, 0]
    assert [step.name for step in steps] == ["held", "held", "aside", "aside", "aside", "aside", "failed"]


@given(attempt=st.integers(1, 1000), chance=chances)
def test_every_delay_is_within_its_jitter(attempt: int, chance: float) -> None:
    step = Schedule().after_failure(attempt, chance)
    if attempt > len(DELAYS):
        assert step == Step("failed")
    else:
        assert DELAYS[attempt - 1] * 0.9 <= step.delay <= DELAYS[attempt - 1] * 1.1


@given(first=chances, second=chances)
def test_a_lane_is_held_for_the_retries_of_the_first_minute(first: float, second: float) -> None:
    schedule = Schedule()
    held = [schedule.after_failure(1, first), schedule.after_failure(2, second)]
    assert {step.name for step in held} == {"held"}
    assert sum(step.delay for step in held) < 60
    assert schedule.after_failure(3, first).name == "aside"


@given(
    delays=st.lists(st.floats(0, 1e6), max_size=10).map(tuple),
    holding=st.integers(0, 12),
    chance=chances,
)
def test_a_webhook_once_aside_is_never_held_again_and_fails_once(
    delays: tuple[float, ...], holding: int, chance: float
) -> None:
    schedule = Schedule(delays, holding)
    names = [schedule.after_failure(attempt, chance).name for attempt in range(1, len(delays) + 2)]
    assert names[-1] == "failed"
    assert names == sorted(names, key=["held", "aside", "failed"].index)
    assert names.count("failed") == 1


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_without_jitter_chance_changes_nothing(chance: float) -> None:
    assert Schedule(jitter=0).after_failure(1, chance).delay == 5
