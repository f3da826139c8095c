"""The id of a session, and what it tells of the channel: nothing."""

from __future__ import annotations

import re

from controller.ids import SessionIds

KEY = b"a key of thirty-two bytes, or so"
CHANNEL = "a03719bf-9185-48d6-b57e-33c69bbc843a"


def test_an_id_has_the_form_that_the_api_promises() -> None:
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
