"""What is documented of each type of webhook tells right from wrong."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from controller.webhooks.types import DATA, TYPES
from tests import webhook_data

LEFT = {
    "app_id": "demo",
    "sequence": 3,
    "room_id": "acW68-room-550e8400-e29b-41d4-a716-446655440000",
    "uuid": "acW68-7f3d2c1b-0a9e-4d8c-b7f6-5e4d3c2b1a09",
    "did": "747713001",
    "caller_id": "527121102",
    "muted": True,
    "deaf": False,
    "hold": False,
    "waiting": False,
    "coaching": None,
    "volume_in": 0,
    "volume_out": 0,
    "role": "participant",
    "tags": ["agent"],
    "end_on_exit": False,
    "member_id": 7,
    "reason": "left",
}


def test_what_may_be_absent_may_be_there() -> None:
    webhook_data.check("conference.member.left", LEFT)
    webhook_data.check(
        "conference.member.left", {**LEFT, "command_uid": "x", "reason": "hangup", "cause": "X", "resynced": True}
    )
    webhook_data.check("conference.member.left", {**LEFT, "reason": "kicked", "kicked_by": "app", "kick_reason": "x"})


@pytest.mark.parametrize(
    "change",
    [
        {"undocumented": 1},
        {"member_id": "7"},
        {"member_id": None},
        {"command_uid": None},
        {"reason": "bored"},
        {"resynced": False},
        {"sequence": 0},
    ],
)
def test_a_wrong_field_is_found(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        webhook_data.check("conference.member.left", LEFT | change)


@pytest.mark.parametrize("field", LEFT)
def test_a_missing_field_is_found(field: str) -> None:
    with pytest.raises(ValidationError):
        webhook_data.check("conference.member.left", {name: LEFT[name] for name in LEFT if name != field})


def test_a_wrong_field_of_a_result_is_found() -> None:
    finished = {"app_id": "demo", "sequence": 1, "room_id": "r", "operation_id": "o", "status": "completed"}
    result = {"url": "https://a.example/a.wav", "status": "played"}
    webhook_data.check("conference.play.finished", {**finished, "results": [result]})
    with pytest.raises(ValidationError):
        webhook_data.check("conference.play.finished", {**finished, "results": [{**result, "why": "x"}]})


def test_an_unknown_type_is_found() -> None:
    with pytest.raises(KeyError):
        webhook_data.check("conference.moved", LEFT)


def test_a_test_is_no_type_to_choose() -> None:
    assert set(DATA) - set(TYPES) == {"webhook.test"}
