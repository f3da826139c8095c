"""The forms of ids; and what a session's id tells of the channel: nothing."""

from __future__ import annotations

import re

import pytest

from controller.ids import (
    JOB_ID,
    NODE_PREFIX,
    ROOM_ID,
    SESSION_ID,
    WEBHOOK_ID,
    SessionIds,
    is_room_id,
    new_room_id,
    parse_webhook_id,
    tag_of_job,
    webhook_id,
    webhook_id_of_test,
)

KEY = b"a key of thirty-two bytes, or so"
CHANNEL = "a03719bf-9185-48d6-b57e-33c69bbc843a"
UUID = "550e8400-e29b-41d4-a716-446655440000"


@pytest.mark.parametrize(
    ("form", "text", "others"),
    [
        (NODE_PREFIX, "acW68", ["acW6", "acW688", "ac-68", "acW68\n"]),
        (ROOM_ID, f"acW68-room-{UUID}", [f"acW68-{UUID}", f"acW68-room-{CHANNEL}-", UUID, f"ac-68-room-{UUID}"]),
        (ROOM_ID, new_room_id("acW68"), [f"acW68-room-{UUID.upper()}", f"acW68-room-{UUID}\n"]),
        (SESSION_ID, f"acW68-{CHANNEL}", [f"acW68-room-{UUID}", CHANNEL, f"acW68-{CHANNEL.upper()}"]),
        (SESSION_ID, SessionIds("acW68", KEY).of(CHANNEL), []),
        (JOB_ID, "p07-1795374235886-0", ["p7-1-0", "p07-1", "p07-1-0-0", UUID]),
        (WEBHOOK_ID, webhook_id("{p07}", "1795374235886-0"), ["p07-1-0", "msg_p07-1", f"msg_p07-{'1' * 16}-0"]),
    ],
)
def test_forms(form: re.Pattern[str], text: str, others: list[str]) -> None:
    assert form.fullmatch(text)
    assert [other for other in others if form.fullmatch(other)] == []


def test_a_room_is_told_from_a_session() -> None:
    assert is_room_id(new_room_id("acW68"))
    assert not is_room_id(SessionIds("acW68", KEY).of(CHANNEL))


def test_a_webhook_s_id_names_partition_and_entry() -> None:
    assert parse_webhook_id(webhook_id("{p07}", "1795374235886-0")) == ("{p07}", "1795374235886-0")
    assert parse_webhook_id("p07-1795374235886-0") is None


def test_the_id_of_a_test_is_no_webhook_s() -> None:
    assert webhook_id_of_test("{p07}", "1795374235886-0") == "msg_test-p07-1795374235886-0"
    assert parse_webhook_id(webhook_id_of_test("{p07}", "1795374235886-0")) is None


def test_a_job_s_id_names_its_partition() -> None:
    assert tag_of_job("p07-1795374235886-0") == "{p07}"


def test_a_session_id_is_a_random_uuid_s_form() -> None:
    pattern = r"acW68-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert re.fullmatch(pattern, SessionIds("acW68", KEY).of(CHANNEL))


def test_every_process_gives_a_channel_the_same_id() -> None:
    assert SessionIds("acW68", KEY).of(CHANNEL) == SessionIds("acW68", KEY).of(CHANNEL)


def test_no_part_of_the_channel_is_in_its_id() -> None:
    session = SessionIds("acW68", KEY).of(CHANNEL).removeprefix("acW68-")
    assert not set(CHANNEL.split("-")) & set(session.split("-"))


def test_the_key_the_node_and_the_channel_make_the_id() -> None:
    other = CHANNEL.replace("a0", "a1", 1)
    ids = {
        SessionIds(prefix, key).of(channel)
        for prefix in ("acW68", "bcX79")
        for key in (KEY, KEY[::-1])
        for channel in (CHANNEL, other)
    }
    assert len({session.partition("-")[2] for session in ids}) == 8


def test_a_session_that_is_stored_under_another_id_keeps_it() -> None:
    ids = SessionIds("acW68", KEY)
    derived = ids.of("another")
    ids.keep([(CHANNEL, f"acW68-{CHANNEL}"), ("another", derived)])
    assert (ids.of(CHANNEL), ids.of("another")) == (f"acW68-{CHANNEL}", derived)
    ids.keep([])
    assert ids.of(CHANNEL) != f"acW68-{CHANNEL}"
