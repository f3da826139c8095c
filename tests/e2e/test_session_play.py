"""Files that are played to one session alone: against the emulator, or a real FreeSWITCH."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from tests.e2e.system import Media, Receiver, Switchroom
from tests.e2e.test_digits import Call, caller, command

__all__ = ["caller"]

PLAYS = ("session.play.started", "session.play.finished", "session.play.stopped", "session.command.failed")


@pytest.fixture(params=["parked", "member"])
def session(request: pytest.FixtureRequest, caller: Call, new_room: Any, join: Any) -> str:
    session, _ = caller()
    if request.param == "member":
        join(session, new_room())
    return session


def plays(hooks: Receiver, session: str) -> list[str]:
    return [hook["type"] for hook in hooks.of(uuid=session) if hook["type"] in PLAYS]


def test_files_are_played_one_after_the_other(
    hooks: Receiver, room_service: Switchroom, media: Media, session: str
) -> None:
    # The second is more than one file for the node, played as one.
    urls = [media.tone(0.5), media.tone(5, "long"), media.url("missing.wav"), media.tone(0.5, "again!")]
    played = room_service.post(command(session, "play"), {"urls": urls, "command_uid": f"p-{session}"})
    operation = played.body["operation_id"]
    assert (played.status, played.body) == (
        202,
        {"uuid": session, "operation_id": operation, "status": "in_progress"},
    )
    started = hooks.wait("session.play.started", uuid=session)
    assert (started["urls"], started["operation_id"], started["command_uid"]) == (urls, operation, f"p-{session}")
    shown = room_service.get(f"/api/v1/sessions/{session}").body["playing"]
    assert (shown["operation_id"], shown["urls"], shown["index"] < len(urls)) == (operation, urls, True)
    refused = room_service.post(command(session, "play"), {"urls": urls})
    assert (refused.status, refused.headers["x-error-code"]) in ((409, "already_playing"), (429, "rate_limited"))
    finished = hooks.wait("session.play.finished", operation_id=operation)
    assert (finished["status"], finished["command_uid"]) == ("partial", f"p-{session}")
    assert finished["results"] == [
        {"url": urls[0], "status": "played"},
        {"url": urls[1], "status": "played"},
        {"url": urls[2], "status": "failed", "reason": "not_found", "http_status": 404},
        {"url": urls[3], "status": "played"},
    ]
    assert room_service.get(f"/api/v1/sessions/{session}").body["playing"] is None
    assert hooks.problems == []


def test_it_is_stopped(hooks: Receiver, room_service: Switchroom, media: Media, session: str) -> None:
    played = room_service.post(command(session, "play"), {"urls": [media.tone(30, "stopped"), media.tone(1)]})
    stopped = room_service.post(command(session, "stop"), {"command_uid": f"s-{session}"})
    assert (stopped.status, stopped.body["operation_id"]) == (202, played.body["operation_id"])
    told = hooks.wait("session.play.stopped", uuid=session)
    assert (told["operation_id"], told["command_uid"]) == (played.body["operation_id"], f"s-{session}")
    again = room_service.post(command(session, "play"), {"urls": [media.tone(0.5, "after a stop")]})
    assert again.status == 202
    assert hooks.wait("session.play.finished", uuid=session)["operation_id"] == again.body["operation_id"]
    assert plays(hooks, session) == [PLAYS[0], PLAYS[2], PLAYS[0], PLAYS[1]]


def test_it_is_stopped_soon_after_it_was_sent(
    hooks: Receiver, room_service: Switchroom, media: Media, session: str
) -> None:
    """A node may ignore a stop while it is about to begin the file (46). The next one would wait behind that."""
    # The first is fetched; from then on it is sent at once.
    for seconds in (1.0, 0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.2):
        room_service.post(command(session, "play"), {"urls": [media.tone(60, "soon")]})
        gevent.sleep(seconds)
        assert room_service.post(command(session, "stop")).status == 202
        after = room_service.post(command(session, "play"), {"urls": [media.tone(0.5, "soon after")]})
        finished = hooks.wait("session.play.finished", operation_id=after.body["operation_id"])
        assert finished["status"] == "completed"


def test_a_call_that_joins_or_ends_is_played_to_no_more(
    hooks: Receiver, room_service: Switchroom, media: Media, caller: Call, new_room: Any, join: Any
) -> None:
    session, call = caller()
    for end in ("joins", "leaves", "ends"):
        body = {"urls": [media.tone(30, end)]}
        operation = room_service.post(command(session, "play"), body).body["operation_id"]
        if end == "joins":
            join(session, new_room())
        elif end == "leaves":
            assert room_service.post(command(session, "conference/leave")).status == 202
            assert hooks.wait("conference.member.left", uuid=session)["reason"] == "left"
        else:
            call.hang_up()
            hooks.wait("session.ended", uuid=session)
        told = hooks.wait("session.play.finished", operation_id=operation)
        assert (told["status"], told["results"][0]["reason"]) == ("interrupted", "interrupted")
    assert plays(hooks, session) == [*PLAYS[:2]] * 3


def test_keys_break_nothing_off_and_are_collected(
    hooks: Receiver, room_service: Switchroom, media: Media, caller: Call
) -> None:
    session, call = caller()
    operation = room_service.post(command(session, "play"), {"urls": [media.tone(3, "menu")]}).body["operation_id"]
    wanted = {"max_digits": 3, "terminators": "", "timeout": 600, "digit_timeout": 60}
    assert room_service.post(command(session, "collect-digits"), wanted).status == 202
    for key in "*1#":
        call.press(key)
    assert hooks.wait("session.digits.collected", uuid=session)["digits"] == "*1#"
    assert hooks.wait("session.play.finished", operation_id=operation)["status"] == "completed"


def test_a_member_on_hold_is_not_played_to(
    hooks: Receiver, room_service: Switchroom, media: Media, caller: Call, new_room: Any, join: Any
) -> None:
    session, _ = caller()
    join(session, new_room())
    assert room_service.post(command(session, "conference/hold")).status == 202
    hooks.wait("conference.member.held", uuid=session)
    refused = room_service.post(command(session, "play"), {"urls": [media.tone(1)]})
    assert (refused.status, refused.headers["x-error-code"]) == (409, "on_hold")
