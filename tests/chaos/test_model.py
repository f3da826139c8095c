"""The model by itself: what it takes for a history, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.model import VOICES, Ledger
from tests.chaos.parts import Hook, Request

ROOM, SESSION = "nodeA-room-1", "nodeA-1"
Told = tuple[str, dict[str, Any]]

CREATED: Told = ("conference.created", {"name": "standup"})
JOINED: Told = (
    "conference.member.joined",
    {"uuid": SESSION, "muted": True, "deaf": False, "hold": False, "command_uid": "join-1"},
)
JOINED_UNASKED: Told = ("conference.member.joined", {"uuid": SESSION, "muted": True, "deaf": False, "hold": False})
UNMUTED: Told = ("conference.member.unmuted", {"uuid": SESSION, "muted": False, "deaf": False, "hold": False})
LOUD: Told = ("conference.member.volume_changed", {**JOINED[1], "volume_in": 2})
LEFT_BY_JOIN: Told = ("conference.member.left", {"uuid": SESSION, "command_uid": "join-1"})
VOICED: Told = ("conference.created", {"name": f"{VOICES}-1"})
HEARD: Told = ("conference.speaker.changed", JOINED_UNASKED[1])
LEFT: Told = ("conference.member.left", {"uuid": SESSION})
DESTROYED: Told = ("conference.destroyed", {"name": "standup"})
STARTED: Told = ("conference.play.started", {"operation_id": "op1"})
FINISHED: Told = ("conference.play.finished", {"operation_id": "op1", "results": []})
STOPPED: Told = ("conference.play.stopped", {"operation_id": "op1"})
OPERATION = "a1b2c3d4-e5f6-4890-abcd-ef1234567890"
KICKED: Told = ("conference.member.left", {"uuid": SESSION, "command_uid": OPERATION})
ALL_KICKED: Told = ("conference.command.finished", {"operation_id": OPERATION, "changed": 1, "failed": 0})
STOPPED_NOTHING: Told = ("conference.play.stopped", {"operation_id": ""})


def tell(ledger: Ledger, *told: Told, first: int = 1, tenant: str = "alpha") -> None:
    for sequence, (kind, data) in enumerate(told, start=first):
        whole = {"app_id": "alpha", "room_id": ROOM, "sequence": sequence, **data}
        ledger.take(Hook(f"msg_{sequence}", tenant, kind, whole, 0.0))


@pytest.mark.parametrize(
    "told",
    [
        (CREATED, JOINED, UNMUTED, LEFT, DESTROYED),
        (CREATED, JOINED, LEFT, JOINED_UNASKED, LEFT),
        (CREATED, JOINED, LOUD, LEFT),
        (CREATED, STARTED, FINISHED, DESTROYED),
        (CREATED, STARTED, STOPPED, DESTROYED),
        (CREATED, STOPPED_NOTHING, STARTED, STOPPED, STOPPED_NOTHING),
        (CREATED, JOINED, DESTROYED, UNMUTED, LEFT),
        (CREATED, STARTED, DESTROYED, FINISHED),
        (CREATED, JOINED, KICKED, ALL_KICKED),
        (VOICED, JOINED, HEARD, LEFT, JOINED_UNASKED, HEARD, LEFT),
    ],
)
def test_histories_that_may_be(told: tuple[Told, ...]) -> None:
    ledger = Ledger()
    tell(ledger, *told)
    assert ledger.violations == []
    assert not ledger.histories[ROOM].members


@pytest.mark.parametrize(
    ("told", "what"),
    [
        ((CREATED, CREATED), "created anew"),
        ((CREATED, JOINED, JOINED_UNASKED), "in already"),
        ((CREATED, JOINED, LEFT, JOINED), "not an outcome"),
        ((CREATED, JOINED, LEFT, LEFT_BY_JOIN), "not an outcome"),
        ((CREATED, JOINED, LOUD, LOUD, LOUD), "one command"),
        ((CREATED, LEFT), "was not in"),
        ((CREATED, UNMUTED), "not in"),
        ((CREATED, JOINED, UNMUTED, UNMUTED), "the same twice"),
        ((CREATED, DESTROYED, JOINED), "after the end"),
        ((CREATED, DESTROYED, STARTED), "after the end"),
        ((CREATED, STOPPED), "not started"),
        ((CREATED, STARTED, STOPPED_NOTHING), "nothing stopped"),
        ((CREATED, STARTED, FINISHED, FINISHED), "was finished"),
        ((CREATED, STARTED, STOPPED, FINISHED), "was stopped"),
        ((CREATED, FINISHED), "not started"),
        ((CREATED, JOINED, ALL_KICKED), "finished"),
        ((CREATED, JOINED, KICKED, ALL_KICKED, ALL_KICKED), "twice"),
        ((CREATED, JOINED, HEARD), "has not asked"),
        ((VOICED, HEARD), "not in"),
        ((VOICED, JOINED, HEARD, HEARD), "had it before"),
        ((CREATED, ("conference.unheard.of", {})), "not documented"),
    ],
)
def test_histories_that_must_not_be(told: tuple[Told, ...], what: str) -> None:
    ledger = Ledger()
    tell(ledger, *told)
    assert any(what in violation for violation in ledger.violations), ledger.violations


def test_a_sequence_is_held_against_its_order() -> None:
    ledger = Ledger()
    tell(ledger, CREATED)
    tell(ledger, UNMUTED, first=3)
    assert "out of order" in ledger.violations[0]
    assert ledger.missing() == [f"{ROOM}: a gap after 1"]


def test_a_webhook_that_stepped_aside_may_be_late() -> None:
    ledger = Ledger()
    ledger.stepped_aside = lambda _: True
    tell(ledger, CREATED)
    tell(ledger, LEFT, first=3)
    tell(ledger, JOINED, first=2)
    assert ledger.violations == []
    assert ledger.missing() == []


def test_a_join_ends_with_the_volumes_that_it_asks_for() -> None:
    ledger = Ledger()
    body = {"room_id": ROOM, "volume_in": 2, "volume_out": 0, "command_uid": "join-1"}
    ledger.asked(Request("alpha", "POST", f"/sessions/{SESSION}", body, status=202))
    tell(ledger, CREATED, JOINED)
    assert "no outcome yet" in ledger.missing()[0]
    tell(ledger, LOUD, first=3)
    assert ledger.missing() == ledger.violations == []


def test_another_tenant_s_webhook() -> None:
    ledger = Ledger()
    tell(ledger, CREATED, tenant="beta")
    assert "sent to beta" in ledger.violations[0]


def test_nothing_is_told_about_a_leg() -> None:
    ledger = Ledger()
    ledger.is_leg = SESSION.__eq__
    tell(ledger, CREATED, JOINED_UNASKED)
    assert "about a leg" in ledger.violations[0]


def test_an_accepted_command_waits_for_its_outcome() -> None:
    ledger = Ledger()
    path = f"/api/v1/sessions/{SESSION}/commands/conference/join"
    ledger.asked(Request("alpha", "POST", path, {"command_uid": "join-1"}, status=202))
    assert ledger.waiting(SESSION, ("join",))
    assert len(ledger.missing()) == 1
    tell(ledger, CREATED, JOINED)
    assert not ledger.waiting(SESSION, ("join",))
    assert ledger.missing() == []


def test_a_refused_command_has_no_outcome() -> None:
    ledger = Ledger()
    ledger.asked(Request("alpha", "POST", "/x", {"command_uid": "join-1"}, status=409))
    tell(ledger, CREATED, JOINED)
    assert "refused" in ledger.violations[0]


@pytest.mark.parametrize("status", [500, 502, 400, 401])
def test_answers_that_must_not_be(status: int) -> None:
    ledger = Ledger()
    ledger.asked(Request("alpha", "GET", "/x", status=status))
    assert "must not be" in ledger.violations[0]


WHOLE, HARMED, ABSENT = (f"http://files.example/{name}.wav" for name in ("whole", "harmed", "absent"))


@pytest.mark.parametrize(
    ("url", "result", "what"),
    [
        (WHOLE, {"status": "played"}, None),
        (WHOLE, {"status": "failed", "reason": "no_answer"}, None),
        (HARMED, {"status": "failed", "reason": "timeout"}, None),
        (ABSENT, {"status": "failed", "reason": "interrupted"}, None),
        (ABSENT, {"status": "failed", "reason": "node_unreachable"}, None),
        (ABSENT, {"status": "played"}, "has not sent it"),
        (HARMED, {"status": "played"}, "has not sent it"),
        (ABSENT, {"status": "failed", "reason": "no_answer"}, "has not sent it"),
        (WHOLE, {"status": "failed", "reason": "timeout"}, "has sent it whole"),
        (WHOLE, {"status": "failed", "reason": "unplayable"}, "did not get"),
    ],
)
def test_a_file_ends_as_its_server_lets_it(url: str, result: dict[str, str], what: str | None) -> None:
    ledger = Ledger()
    ledger.came_whole, ledger.may_fail = WHOLE.__eq__, HARMED.__eq__
    tell(
        ledger,
        CREATED,
        STARTED,
        ("conference.play.finished", {"operation_id": "op1", "results": [{"url": url, **result}]}),
    )
    assert [what in violation for violation in ledger.violations if what] == [True] * bool(what)
    assert bool(ledger.violations) == bool(what)


def test_a_command_to_all_members_that_is_not_finished_is_missing() -> None:
    ledger = Ledger()
    tell(ledger, CREATED, JOINED, KICKED)
    assert any(OPERATION in missing for missing in ledger.missing())
    tell(ledger, ALL_KICKED, first=4)
    assert not ledger.missing()
