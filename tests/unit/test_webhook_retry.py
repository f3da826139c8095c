from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.store.states import DeliveryState
from controller.webhooks.message import Webhook
from controller.webhooks.retry import (
    DELAYS,
    MAX_PAUSE_SECONDS,
    NOTHING,
    Attempt,
    Demand,
    Outcome,
    Schedule,
    demand,
)

chances = st.floats(0, 1, exclude_max=True)


def test_the_published_schedule() -> None:
    steps = [Schedule().after_failure(attempt, 0.5) for attempt in range(1, 8)]
    assert [step.delay for step in steps] == [5, 30, 120, 600, 3600, 21600, 0]
    assert [step.state for step in steps] == ["held", "held", "aside", "aside", "aside", "aside", "failed"]


@given(attempt=st.integers(1, 1000), chance=chances)
def test_every_delay_is_within_its_jitter(attempt: int, chance: float) -> None:
    step = Schedule().after_failure(attempt, chance)
    if attempt > len(DELAYS):
        assert step == Outcome(DeliveryState.FAILED)
    else:
        assert DELAYS[attempt - 1] * 0.9 <= step.delay <= DELAYS[attempt - 1] * 1.1


@given(first=chances, second=chances)
def test_an_ordering_key_is_held_for_the_retries_of_the_first_minute(first: float, second: float) -> None:
    schedule = Schedule()
    held = [schedule.after_failure(1, first), schedule.after_failure(2, second)]
    assert {step.state for step in held} == {"held"}
    assert sum(step.delay for step in held) < 60
    assert schedule.after_failure(3, first).state == "aside"


@given(
    delays=st.lists(st.floats(0, 1e6), max_size=10).map(tuple),
    holding=st.integers(0, 12),
    chance=chances,
)
def test_a_webhook_once_aside_is_never_held_again_and_fails_once(
    delays: tuple[float, ...], holding: int, chance: float
) -> None:
    schedule = Schedule(delays, holding)
    names = [schedule.after_failure(attempt, chance).state for attempt in range(1, len(delays) + 2)]
    assert names[-1] == "failed"
    assert names == sorted(names, key=["held", "aside", "failed"].index)
    assert names.count("failed") == 1


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_without_jitter_chance_changes_nothing(chance: float) -> None:
    assert Schedule(jitter=0).after_failure(1, chance).delay == 5


@pytest.mark.parametrize(
    ("attempt", "outcome"),
    [
        (Attempt(200), Outcome(DeliveryState.DELIVERED)),
        (Attempt(299), Outcome(DeliveryState.DELIVERED)),
        (Attempt(301), Outcome(DeliveryState.HELD, 5)),
        (Attempt(error="no answer"), Outcome(DeliveryState.HELD, 5)),
        (Attempt(503, demand=Demand(pause=60)), Outcome(DeliveryState.HELD, 60)),
        (Attempt(503, demand=Demand(pause=1)), Outcome(DeliveryState.HELD, 5)),
        (Attempt(410, demand=Demand(disable="gone")), Outcome(DeliveryState.FAILED)),
        (Attempt(withheld="disabled"), Outcome(DeliveryState.FAILED)),
        (Attempt(skipped="not wanted"), Outcome(DeliveryState.SKIPPED)),
    ],
)
def test_what_becomes_of_a_webhook(attempt: Attempt, outcome: Outcome) -> None:
    assert Schedule().outcome(Webhook("1-0", "app", "t", "r", 0, b""), attempt, 0.5) == outcome


def test_in_the_retry_queue_a_webhook_stays_there() -> None:
    webhook = Webhook("1-0", "app", "t", "r", 0, b"", attempts=7, in_retry_queue=True, earlier=7)
    # Sent again at an app's request, it has all its attempts anew.
    assert Schedule().outcome(webhook, Attempt(500), 0.5) == Outcome(DeliveryState.ASIDE, 5)
    webhook.attempts = 13
    assert Schedule().outcome(webhook, Attempt(500), 0.5) == Outcome(DeliveryState.FAILED)


NOW = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("status", "retry_after", "asked"),
    [
        (410, "", Demand(disable="it answered 410 Gone")),
        (410, "7", Demand(disable="it answered 410 Gone")),
        *((status, "7", Demand(pause=7.0)) for status in (429, 503)),
        *((status, "7", NOTHING) for status in (None, 301, 400, 404, 500, 502, 504)),
        (429, " 120 ", Demand(pause=120.0)),
        (429, "3601", Demand(pause=3600.0)),
        (429, "9" * 5000, Demand(pause=3600.0)),
        (429, "Tue, 14 Nov 2023 22:14:20 GMT", Demand(pause=60.0)),
        (503, "Tuesday, 14-Nov-23 22:14:20 GMT", Demand(pause=60.0)),
        (503, "Tue Nov 14 22:14:20 2023", Demand(pause=60.0)),
        (429, "Fri, 31 Dec 9999 23:59:59 GMT", Demand(pause=3600.0)),
        (429, "Tue, 14 Nov 2023 22:12:20 GMT", NOTHING),
        *((429, nonsense, NOTHING) for nonsense in ("", "0", "-5", "1.5", "soon", "٣", "1e9", "Tue, 99 Nov 2023")),
    ],
)
def test_what_a_response_asks_for(status: int | None, retry_after: str, asked: Demand) -> None:
    assert demand(status, retry_after, NOW) == asked


@given(st.text(max_size=60), st.sampled_from([410, 429, 503, 500]))
def test_no_header_asks_for_more_than_an_hour(retry_after: str, status: int) -> None:
    assert 0 <= demand(status, retry_after, NOW).pause <= MAX_PAUSE_SECONDS
