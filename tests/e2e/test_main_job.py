"""Rooms over HTTP, calls in, outcomes as webhooks: against the emulator, or a real FreeSWITCH (see `nodes`)."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable

import pytest

from esl.commands import JsonList, Relations
from tests.e2e.conftest import Dial
from tests.e2e.nodes import PREFIX, EmulatedCall, Node
from tests.e2e.site import until
from tests.e2e.system import DIDS, Media, Receiver, Switchroom

CONFERENCES = "/api/v1/conferences"
NewRoom = Callable[[], str]
JoinRoom = Callable[[str, str], dict[str, object]]


def command(session: str, what: str) -> str:
    return f"/api/v1/sessions/{session}/commands/conference/{what}"


def test_the_whole_job(
    room_service: Switchroom, hooks: Receiver, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    room = new_room()
    assert re.fullmatch(rf"{PREFIX}-room-[0-9a-f-]{{36}}", room)
    session, _ = dial()
    joined = join(session, room)
    assert (joined["muted"], joined["did"]) == (True, DIDS["alpha"])
    members = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert [(one["uuid"], one["muted"]) for one in members] == [(session, True)]

    assert room_service.post(command(session, "unmute"), {"command_uid": "un-1"}).status == 202
    assert hooks.wait("conference.member.unmuted", uuid=session)["command_uid"] == "un-1"
    assert room_service.get(f"{CONFERENCES}/{room}/members").body["members"][0]["muted"] is False

    urls = [media.tone(4), media.tone(0.5, "again")]
    played = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": urls})
    assert (played.status, played.body["status"]) == (202, "in_progress")
    operation = played.body["operation_id"]
    state = room_service.get(f"{CONFERENCES}/{room}").body
    assert (state["playback_status"], state["playback_urls"], state["playback_operation_id"]) == (
        "playing",
        urls,
        operation,
    )
    finished = hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["status"] == "completed"
    assert finished["results"] == [{"url": url, "status": "played"} for url in urls]
    assert room_service.get(f"{CONFERENCES}/{room}").body["playback_status"] == "stopped"

    assert room_service.post(command(session, "leave")).body == {"status": "leaving", "room_id": room}
    assert hooks.wait("conference.member.left", uuid=session, room_id=room)["reason"] == "left"
    assert room_service.request("DELETE", f"{CONFERENCES}/{room}").status == 200
    hooks.wait("conference.destroyed", room_id=room)
    assert hooks.types(room_id=room) == [
        "conference.created",
        "conference.member.joined",
        "conference.member.unmuted",
        "conference.play.started",
        "conference.play.finished",
        "conference.member.left",
        "conference.destroyed",
    ]
    assert [hook["data"]["sequence"] for hook in hooks.of(room_id=room)] == list(range(1, 8))
    assert hooks.problems == []


def test_the_same_session_joins_another_room(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    first, second = new_room(), new_room()
    join(session, first)
    refused = room_service.post(command(session, "join"), {"room_id": second})
    assert refused.status == 409
    assert room_service.post(command(session, "join"), {"room_id": first}).body["status"] == "already_joined"
    room_service.post(command(session, "leave"))
    hooks.wait("conference.member.left", uuid=session, room_id=first)
    join(session, second)
    assert room_service.get(f"/api/v1/sessions/{session}").body["room_id"] == second


def test_mute_drifts_nowhere(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    join(session, new_room())
    assert room_service.post(command(session, "mute")).status == 409
    assert room_service.post(command(session, "unmute")).status == 202
    hooks.wait("conference.member.unmuted", uuid=session)
    assert room_service.post(command(session, "unmute")).status == 409
    assert room_service.post(command(session, "mute")).status == 202
    hooks.wait("conference.member.muted", uuid=session)
    assert room_service.get(f"/api/v1/sessions/{session}").body["muted"] is True


def test_a_deaf_member(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    assert room_service.post(command(session, "undeaf")).status == 409
    # Each flag has its own cooldown, and what is pending of one says nothing of the other.
    assert room_service.post(command(session, "deaf"), {"command_uid": "d-1"}).body["status"] == "deafened"
    assert room_service.post(command(session, "unmute"), {"command_uid": "u-1"}).body["status"] == "unmuted"
    assert hooks.wait("conference.member.deafened", uuid=session)["command_uid"] == "d-1"
    assert hooks.wait("conference.member.unmuted", uuid=session)["command_uid"] == "u-1"
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert (member["deaf"], member["muted"]) == (True, False)
    assert room_service.post(command(session, "deaf")).status == 409
    assert room_service.post(command(session, "undeaf")).body["status"] == "undeafened"
    assert hooks.wait("conference.member.undeafened", uuid=session)["deaf"] is False
    assert room_service.get(f"/api/v1/sessions/{session}").body["deaf"] is False


@pytest.mark.parametrize("music", [False, True])
def test_a_member_on_hold(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom, music: bool
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    assert room_service.post(command(session, "unhold")).status == 409
    body = {"command_uid": f"h-{session}"} | ({"url": media.tone(1, "hold music!")} if music else {})
    held = room_service.post(command(session, "hold"), body)
    assert (held.status, held.body) == (202, {"status": "held", "room_id": room})
    on_hold = hooks.wait("conference.member.held", uuid=session)
    assert (on_hold["hold"], on_hold["command_uid"], on_hold["muted"]) == (True, f"h-{session}", True)
    # What is set meanwhile holds for the time after it.
    assert room_service.post(command(session, "unmute")).status == 202
    assert hooks.wait("conference.member.unmuted", uuid=session)["hold"] is True
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert (member["hold"], member["muted"], member["deaf"]) == (True, False, False)
    assert room_service.post(command(session, "unhold"), {"command_uid": f"u-{session}"}).body["status"] == "unheld"
    off_hold = hooks.wait("conference.member.unheld", uuid=session)
    assert (off_hold["hold"], off_hold["muted"], off_hold["command_uid"]) == (False, False, f"u-{session}")


def test_several_things_of_a_member_at_once(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    path = f"{CONFERENCES}/{room}/members/{session}"
    wanted = {"muted": False, "hold": True, "volume_in": 3, "volume_out": -2, "role": "moderator", "tags": ["vip"]}
    answer = room_service.request("PATCH", path, {**wanted, "deaf": False, "command_uid": f"c-{session}"})
    assert answer.status == 202
    assert answer.body == {
        "uuid": session,
        "status": "changing",
        "room_id": room,
        "changing": ["muted", "hold", "volume_in", "volume_out"],
    }
    for kind in ("updated", "unmuted", "held"):
        told = hooks.wait(f"conference.member.{kind}", uuid=session)
        assert (told["command_uid"], told["role"], told["tags"]) == (f"c-{session}", "moderator", ["vip"])
    for level in ("volume_in", "volume_out"):
        told = hooks.wait("conference.member.volume_changed", uuid=session, **{level: wanted[level]})
        assert told["command_uid"] == f"c-{session}"
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert wanted.items() <= member.items()
    assert room_service.request("PATCH", f"{CONFERENCES}/{new_room()}/members/{session}", wanted).status == 404


def test_hold_music_that_is_not_there(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    assert room_service.post(command(session, "hold"), {"url": media.url("missing.wav")}).status == 202
    failed = hooks.wait("conference.command.failed", uuid=session)
    assert (failed["command"], failed["reason"], failed["hold"]) == ("hold", "not_found", False)
    assert room_service.get(f"/api/v1/sessions/{session}").body["hold"] is False


def test_the_volume_of_a_member(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    loud = {"direction": "in", "volume": 4, "command_uid": f"in-{session}"}
    answer = room_service.post(command(session, "volume"), loud)
    assert (answer.status, answer.body) == (202, {"status": "volume_changed", "room_id": room})
    # Sent again, it does nothing, and starts no cooldown.
    assert room_service.post(command(session, "volume"), loud).body == answer.body
    changed = hooks.wait("conference.member.volume_changed", uuid=session)
    assert (changed["volume_in"], changed["volume_out"], changed["command_uid"]) == (4, 0, loud["command_uid"])
    assert room_service.post(command(session, "volume"), {"direction": "out", "volume": -4}).status == 202
    hooks.wait("conference.member.volume_changed", uuid=session, volume_out=-4)
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert (member["volume_in"], member["volume_out"]) == (4, -4)
    assert room_service.post(command(session, "leave")).status == 202
    left = hooks.wait("conference.member.left", uuid=session)
    assert (left["volume_in"], left["volume_out"]) == (4, -4)
    # Each membership begins anew.
    join(session, room)
    member = room_service.get(f"/api/v1/sessions/{session}").body
    assert (member["volume_in"], member["volume_out"]) == (0, 0)


def test_a_member_joins_as_what_it_is_to_be(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom
) -> None:
    session, _ = dial()
    room = new_room()
    as_what = {"muted": False, "deaf": True, "role": "moderator", "tags": ["agent", "naïve 🎧"]}
    assert room_service.post(command(session, "join"), {"room_id": room, **as_what}).status == 202
    joined = hooks.wait("conference.member.joined", uuid=session)
    assert as_what.items() <= joined.items()
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert as_what.items() <= member.items()
    assert member["joined_at"] == room_service.get(f"/api/v1/sessions/{session}").body["joined_at"]


def test_a_member_joins_as_loud_as_it_is_to_be(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom
) -> None:
    session, _ = dial()
    room, uid = new_room(), f"join-{session}"
    body = {"room_id": room, "volume_in": 3, "volume_out": -2, "command_uid": uid}
    assert room_service.post(command(session, "join"), body).status == 202
    joined = hooks.wait("conference.member.joined", uuid=session)
    assert (joined["volume_in"], joined["volume_out"], joined["command_uid"]) == (0, 0, uid)
    for name in ("volume_in", "volume_out"):
        assert hooks.wait("conference.member.volume_changed", uuid=session, **{name: body[name]})["command_uid"] == uid
    (member,) = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert (member["volume_in"], member["volume_out"]) == (3, -2)


def test_a_member_is_kicked_and_told_why(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    kicked = room_service.post(command(session, "kick"), {"reason": "Off topic", "command_uid": "kick-1"})
    assert (kicked.status, kicked.body) == (202, {"status": "leaving", "room_id": room})
    left = hooks.wait("conference.member.left", uuid=session)
    assert left["command_uid"] == "kick-1"
    assert (left["reason"], left["kicked_by"], left["kick_reason"]) == ("kicked", "app", "Off topic")
    call = room_service.get(f"/api/v1/sessions/{session}").body
    assert (call["state"], call["room_id"], call["tags"], call["joined_at"]) == ("parked", "", [], None)


def test_a_caller_who_hangs_up_in_a_room(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, call = dial()
    room = new_room()
    join(session, room)
    call.hang_up()
    assert hooks.wait("session.ended", uuid=session)["cause"] == "NORMAL_CLEARING"
    hooks.wait("conference.member.left", uuid=session)
    assert room_service.get(f"/api/v1/sessions/{session}").status == 404
    assert room_service.get(f"{CONFERENCES}/{room}").body["members"] == 0


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (None, "NORMAL_CLEARING"),
        ({"cause": "normal"}, "NORMAL_CLEARING"),
        ({"cause": "busy"}, "USER_BUSY"),
        ({"cause": "rejected"}, "CALL_REJECTED"),
    ],
)
def test_a_parked_call_that_the_app_hangs_up(
    hooks: Receiver, room_service: Switchroom, dial: Dial, body: dict[str, str] | None, cause: str
) -> None:
    session, call = dial()
    answer = room_service.request("DELETE", f"/api/v1/sessions/{session}", body)
    assert (answer.status, answer.body) == (202, {"uuid": session, "status": "hanging_up"})
    assert hooks.wait("session.ended", uuid=session)["cause"] == cause
    call.wait_ended()
    assert room_service.request("DELETE", f"/api/v1/sessions/{session}").status == 404


@pytest.mark.parametrize("before", ["", "join", "leave"])
def test_a_call_in_a_room_that_the_app_hangs_up(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom, before: str
) -> None:
    """Also right behind a join or leave, whatever the node makes of these two."""
    (session, call), (other, _) = dial(), dial()
    room = new_room()
    join(other, room)
    if before != "join":
        join(session, room)
    if before:
        room_service.post(command(session, before), {"room_id": room} if before == "join" else {})
    assert (
        room_service.request("DELETE", f"/api/v1/sessions/{session}", {"command_uid": f"bye-{session}"}).status == 202
    )
    ended = hooks.wait("session.ended", uuid=session)
    assert (ended["cause"], ended["command_uid"]) == ("NORMAL_CLEARING", f"bye-{session}")
    call.wait_ended()
    assert [one["uuid"] for one in room_service.get(f"{CONFERENCES}/{room}/members").body["members"]] == [other]


@pytest.mark.parametrize("where", ["parked", "in a room"])
def test_digits_are_sent_to_a_call(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom, where: str
) -> None:
    session, call = dial()
    if where == "in a room":
        join(session, new_room())
    path = f"/api/v1/sessions/{session}/commands/dtmf"
    # Long ones: the next have to wait for them.
    body = {"digits": "98761234", "duration": 2000, "command_uid": f"pin-{session}"}
    answer = room_service.post(path, body)
    assert (answer.status, answer.body) == (202, {"uuid": session, "status": "sending"})
    assert room_service.post(path, body).body == answer.body
    sent = hooks.wait("session.dtmf.sent", uuid=session)
    assert (sent["length"], sent["command_uid"]) == (8, f"pin-{session}")
    refused = room_service.request("POST", path, {"digits": "1"})
    assert refused.status == 429
    assert refused.body["detail"]["group"] == "dtmf"
    assert room_service.get(f"/api/v1/sessions/{session}").status == 200
    assert "98761234" not in (room_service.folder / "log").read_text()
    call.hang_up()
    hooks.wait("session.ended", uuid=session)
    assert not any(hook["data"].get("command") == "dtmf" for hook in hooks.of(uuid=session))


def test_a_number_nobody_owns_is_turned_away(node: Node, room_service: Switchroom) -> None:
    node.call("999999999", "5271").wait_ended()
    assert room_service.get("/readyz").status == 200


@pytest.mark.parametrize("before", ["+", "00"])
def test_a_number_as_trunks_send_it(node: Node, hooks: Receiver, before: str) -> None:
    caller_id = f"52713{len(before)}"
    call = node.call(before + DIDS["alpha"], caller_id)
    hooks.wait("session.started", caller_id=caller_id)
    call.hang_up()
    hooks.wait("session.ended", caller_id=caller_id)


def test_some_urls_fail(
    hooks: Receiver,
    room_service: Switchroom,
    media: Media,
    dial: Dial,
    new_room: NewRoom,
    join: JoinRoom,
    unique: str,
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    urls = [media.tone(0.5, unique), media.url(f"missing/{unique}.wav"), media.tone(0.5, unique + "b")]
    operation = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": urls}).body["operation_id"]
    finished = hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["status"] == "partial"
    assert [result["status"] for result in finished["results"]] == ["played", "failed", "played"]
    operation = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": urls[1:2]}).body["operation_id"]
    assert hooks.wait("conference.play.finished", operation_id=operation)["status"] == "failed"


def test_urls_that_do_not_end_in_what_they_are(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    """Signed ones, loud ones, and one with nothing but a Content-Type."""
    session, _ = dial()
    room = new_room()
    join(session, room)
    signed = "X-Credential=x.iam.example.com%2F20260101&X-Signature=" + "0f" * 128
    urls = [media.tone(0.2, signed), media.url("tone/1.WAV"), media.url("tone/1"), media.url("tone/1?v=1.2/3.4")]
    operation = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": urls}).body["operation_id"]
    finished = hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["status"] == "completed", finished


def test_as_many_and_as_long_urls_as_there_may_be(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    urls = [media.tone(0.02, f"{number}-").ljust(2048, "x") for number in range(128)]
    played = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": urls})
    assert played.status == 202, played
    assert room_service.get(f"{CONFERENCES}/{room}").body["playback_urls"] == urls
    operation = played.body["operation_id"]
    assert hooks.wait("conference.play.started", operation_id=operation)["urls"] == urls
    finished = hooks.wait("conference.play.finished", timeout=120, operation_id=operation)
    assert [result["url"] for result in finished["results"]] == urls
    assert finished["status"] == "completed"


def test_a_url_with_every_character_that_could_break_out(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    url = media.tone(0.2) + "?a='b' {c=d},[e];f=\"g\"!${hostname}|h\\u%20&i=~@@j" + "\u00e9"
    answer = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": [url.replace("\\", "")]})
    assert answer.status == 202, answer
    finished = hooks.wait("conference.play.finished", operation_id=answer.body["operation_id"])
    assert finished["status"] == "completed", finished


def test_play_into_an_empty_room(hooks: Receiver, room_service: Switchroom, media: Media, new_room: NewRoom) -> None:
    room = new_room()
    answer = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": [media.tone(1)]})
    assert answer.status == 202
    finished = hooks.wait("conference.play.finished", operation_id=answer.body["operation_id"])
    assert (finished["status"], finished["results"][0]["reason"]) == ("failed", "no_members")


def test_pause_volume_and_stop(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    path = f"{CONFERENCES}/{room}"
    join(session, room)
    assert room_service.post(f"{path}/pause").status == 409
    operation = room_service.post(f"{path}/play", {"urls": [media.tone(30), media.tone(30, "b")]}).body["operation_id"]
    hooks.wait("conference.play.started", operation_id=operation)
    assert room_service.post(f"{path}/pause").body == {"status": "paused", "operation_id": operation}
    assert hooks.wait("conference.play.paused", operation_id=operation)["paused"] is True
    assert room_service.get(path).body["playback_status"] == "paused"
    assert room_service.post(f"{path}/pause").status == 202
    assert room_service.get(path).body["playback_status"] == "playing"
    assert room_service.post(f"{path}/volume", {"volume": -3}).status == 202
    assert hooks.wait("conference.play.volume_changed", room_id=room)["volume"] == -3
    assert room_service.get(path).body["playback_volume"] == -3
    stopped = room_service.post(f"{path}/stop")
    assert (stopped.status, stopped.body["operation_id"]) == (202, operation)
    after = room_service.post(f"{path}/play", {"urls": [media.tone(0.5)]}).body["operation_id"]
    hooks.wait("conference.play.finished", operation_id=after)
    assert hooks.types(operation_id=operation).count("conference.play.stopped") == 1
    assert "conference.play.finished" not in hooks.types(operation_id=operation)


def test_all_members_but_one_are_unmuted(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    room = new_room()
    sessions = [dial()[0] for _ in range(3)]
    for session in sessions:
        join(session, room)
    asked = room_service.post(f"{CONFERENCES}/{room}/commands/unmute-all", {"exclude": sessions[2:]})
    assert asked.status == 202
    operation = asked.body["operation_id"]
    finished = hooks.wait("conference.command.finished", operation_id=operation)
    assert (finished["command"], finished["changed"], finished["failed"]) == ("unmute", 2, 0)
    unmuted = [hook["data"]["uuid"] for hook in hooks.received if hook["data"].get("command_uid") == operation]
    assert sorted(unmuted) == sorted(sessions[:2])
    members = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert {member["uuid"]: member["muted"] for member in members} == dict(
        zip(sessions, [False, False, True], strict=True)
    )


def test_all_members_but_one_are_kicked(
    hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    room = new_room()
    sessions = [dial()[0] for _ in range(3)]
    for session in sessions:
        join(session, room)
    asked = room_service.post(f"{CONFERENCES}/{room}/commands/kick-all", {"exclude": sessions[2:], "reason": "Over"})
    assert asked.status == 202
    operation = asked.body["operation_id"]
    finished = hooks.wait("conference.command.finished", operation_id=operation)
    assert (finished["command"], finished["changed"], finished["failed"]) == ("kick", 2, 0)
    out = [hook["data"] for hook in hooks.received if hook["data"].get("command_uid") == operation]
    assert sorted(left["uuid"] for left in out) == sorted(sessions[:2])
    assert all((left["reason"], left["kicked_by"], left["kick_reason"]) == ("kicked", "app", "Over") for left in out)
    members = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert [member["uuid"] for member in members] == sessions[2:]
    assert [room_service.get(f"/api/v1/sessions/{session}").body["state"] for session in sessions[:2]] == ["parked"] * 2


def test_stop_ends_what_waits_too(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    path = f"{CONFERENCES}/{room}"
    join(session, room)
    operations = [
        room_service.post(f"{path}/play", {"urls": [media.tone(30, str(number))]}).body["operation_id"]
        for number in range(3)
    ]
    queue = room_service.get(path).body["playback_queue"]
    assert [waiting["operation_id"] for waiting in queue] == operations[1:]
    assert room_service.post(f"{path}/stop").body["operation_id"] == operations[0]
    for operation in operations:
        hooks.wait("conference.play.stopped", operation_id=operation)
    stopped = [
        hook["data"]["operation_id"] for hook in hooks.of(room_id=room) if hook["type"] == "conference.play.stopped"
    ]
    assert stopped == operations
    assert room_service.get(path).body["playback_queue"] == []


def test_a_room_that_empties_interrupts(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, call = dial()
    room = new_room()
    join(session, room)
    operation = room_service.post(f"{CONFERENCES}/{room}/play", {"urls": [media.tone(30), media.tone(30, "b")]}).body[
        "operation_id"
    ]
    hooks.wait("conference.play.started", operation_id=operation)
    call.hang_up()
    left = hooks.wait("conference.member.left", uuid=session)
    assert (left["reason"], left["cause"]) == ("hangup", "NORMAL_CLEARING")
    finished = hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["status"] == "interrupted"


def test_two_operations_in_a_row(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    session, _ = dial()
    room = new_room()
    join(session, room)
    operations = [
        room_service.post(f"{CONFERENCES}/{room}/play", {"urls": [media.tone(3, str(number))]}).body["operation_id"]
        for number in range(2)
    ]
    for operation in operations:
        assert hooks.wait("conference.play.finished", operation_id=operation)["status"] == "completed"
    order = [
        hook["data"]["operation_id"] for hook in hooks.of(room_id=room) if hook["type"] == "conference.play.finished"
    ]
    assert order == operations


def test_delete_with_members(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, join: JoinRoom, unique: str
) -> None:
    name = f"{unique}-gone"
    room = room_service.post(CONFERENCES, {"name": name}).body["room_id"]
    sessions = [dial()[0] for _ in range(3)]
    for session in sessions:
        join(session, room)
    room_service.post(f"{CONFERENCES}/{room}/play", {"urls": [media.tone(30)]})
    assert room_service.request("DELETE", f"{CONFERENCES}/{room}").body == {"room_id": room}
    assert room_service.get(f"{CONFERENCES}/{room}").status == 404
    assert room_service.post(CONFERENCES, {"name": name}).status == 201
    for session in sessions:
        assert hooks.wait("conference.member.left", uuid=session, room_id=room)["reason"] == "room_destroyed"
    types = hooks.types(room_id=room)
    assert types[-5:] == ["conference.destroyed", "conference.play.finished"] + ["conference.member.left"] * 3
    assert {room_service.get(f"/api/v1/sessions/{session}").body["state"] for session in sessions} == {"parked"}


def test_a_room_with_limits(hooks: Receiver, room_service: Switchroom, dial: Dial, join: JoinRoom, unique: str) -> None:
    body = {"name": f"{unique}-board", "max_members": 1, "end_when_empty": 600}
    room = room_service.post(CONFERENCES, body).body["room_id"]
    path = f"{CONFERENCES}/{room}"
    (first, call), (second, _) = dial(), dial()
    command = f"/api/v1/sessions/{second}/commands/conference/join"
    join(first, room)
    answer = room_service.post(command, {"room_id": room})
    assert (answer.status, answer.body["detail"]) == (409, {"limit": 1, "used": 1})
    changed = room_service.request("PATCH", path, {"max_members": None, "locked": True})
    assert changed.body == {
        "room_id": room, "max_members": None, "locked": True, "end_when_empty": 600, "max_duration": None, "tags": [],
        "end_on_exit": None, "wait_for_moderator": False, "hold_music": None, "beep_enter": None, "beep_exit": None,
        "record": False, "speaker_events": False,
    }  # fmt: skip
    assert hooks.wait("conference.updated", room_id=room)["locked"] is True
    answer = room_service.post(command, {"room_id": room})
    assert (answer.status, answer.headers["x-error-code"]) == (409, "room_locked")
    room_service.request("PATCH", path, {"locked": False, "end_when_empty": 1})
    join(second, room)
    found = room_service.get(path).body
    assert (found["members"], found["peak_members"]) == (2, 2)
    call.hang_up()
    room_service.post(f"/api/v1/sessions/{second}/commands/conference/leave")
    ended = hooks.wait("conference.destroyed", room_id=room)
    assert (ended["reason"], ended["peak_members"]) == ("empty", 2)
    assert room_service.get(path).status == 404


@pytest.mark.parametrize("music", [False, True])
def test_who_joins_waits_for_a_moderator(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, unique: str, music: bool
) -> None:
    body = {"name": unique, "wait_for_moderator": True} | ({"hold_music": media.tone(1, "wait")} if music else {})
    room = room_service.post(CONFERENCES, body).body["room_id"]
    path = f"{CONFERENCES}/{room}"
    (first, _), (second, _), (moderator, _) = dial(), dial(), dial()
    for session, flags in ((first, {"muted": False}), (second, {"muted": True, "deaf": True})):
        join = {"room_id": room, "command_uid": f"j-{session}", **flags}
        assert room_service.post(command(session, "join"), join).status == 202
        joined = hooks.wait("conference.member.joined", uuid=session)
        assert (joined["waiting"], joined["muted"], joined["deaf"]) == (True, flags["muted"], "deaf" in flags)
        assert hooks.wait("conference.member.held", uuid=session)["waiting"] is True
    # Muted by hand meanwhile, and back again, which holds from then on.
    assert room_service.post(command(second, "undeaf")).status == 202
    hooks.wait("conference.member.undeafened", uuid=second)

    def members() -> dict[str, tuple[bool, ...]]:
        rows = room_service.get(f"{path}/members").body["members"]
        return {row["uuid"]: tuple(row[name] for name in ("muted", "deaf", "hold", "waiting")) for row in rows}

    assert members() == {first: (False, False, True, True), second: (True, False, True, True)}
    assert room_service.get(path).body["begun"] is False
    room_service.post(command(moderator, "join"), {"room_id": room, "role": "moderator"})
    for session in (first, second):
        assert hooks.wait("conference.member.unheld", uuid=session)["waiting"] is False
    found = {first: (False,) * 4, second: (True, False, False, False), moderator: (True, False, False, False)}
    assert members() == found
    assert room_service.get(path).body["begun"] is True
    # Nothing is told of how they got the flags that they asked for, and the node has them as they are told.
    room_service.post(command(first, "mute"))
    assert hooks.wait("conference.member.muted", uuid=first)["hold"] is False
    types = hooks.types(room_id=room)
    assert (types.count("conference.member.unmuted"), types.count("conference.command.failed")) == (0, 0)


def test_a_coach_is_heard_by_one_member_alone(
    node: Node, hooks: Receiver, room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom
) -> None:
    room = new_room()
    (coach, _), (agent, _), (customer, _) = dial(), dial(), dial()
    ids = {session: join(session, room)["member_id"] for session in (coach, agent, customer)}

    def unheard_by() -> set[object]:
        """By whom the coach is not heard, as the node has it."""
        said = str(node.command(Relations(room, str(ids[coach]))))
        return {session for session, member_id in ids.items() if f"{ids[coach]} -> {member_id} NOSPEAK" in said}

    answer = room_service.post(command(coach, "coach"), {"session_id": agent, "command_uid": "c-1"})
    assert (answer.status, answer.body) == (202, {"status": "coaching", "room_id": room})
    told = hooks.wait("conference.member.coaching", uuid=coach)
    assert (told["coaching"], told["command_uid"]) == (agent, "c-1")
    assert unheard_by() == {customer}
    assert room_service.get(f"/api/v1/sessions/{coach}").body["coaching"] == agent
    listed = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
    assert {row["uuid"]: row["coaching"] for row in listed} == {coach: agent, agent: None, customer: None}
    again = room_service.post(command(coach, "coach"), {"session_id": agent})
    assert (again.status, again.headers["x-error-code"]) == (409, "already_coaching")

    # Who joins does not hear it either, and is as it asked to be.
    newcomer, _ = dial()
    body = {"room_id": room, "muted": False}
    assert room_service.post(command(newcomer, "join"), body).status == 202
    joined = hooks.wait("conference.member.joined", uuid=newcomer)
    ids[newcomer] = joined["member_id"]
    assert (joined["muted"], joined["deaf"]) == (False, False)

    def hears() -> bool:
        (conference,) = json.loads(node.command(JsonList(room)), strict=False)
        flags = {int(member["id"]): member["flags"] for member in conference["members"]}[joined["member_id"]]
        return bool(flags["can_hear"] and flags["can_speak"])

    until(hears)
    assert unheard_by() == {customer, newcomer}

    # The one that is coached leaves, and comes back.
    room_service.post(command(agent, "leave"))
    hooks.wait("conference.member.left", uuid=agent)
    until(lambda: room_service.post(command(agent, "join"), {"room_id": room}).status == 202)
    until(lambda: hooks.types(uuid=agent).count("conference.member.joined") == 2)
    assert unheard_by() == {customer, newcomer}

    # Whom it coaches changes once what the joins have changed is done.
    until(lambda: room_service.post(command(coach, "coach"), {"session_id": customer}).status == 202)
    hooks.wait("conference.member.coaching", uuid=coach, coaching=customer)
    assert unheard_by() == {agent, newcomer}

    def uncoached() -> bool:
        return room_service.post(command(coach, "uncoach"), {"command_uid": "c-2"}).status == 202

    until(uncoached)
    told = hooks.wait("conference.member.uncoached", uuid=coach)
    assert (told["coaching"], told["command_uid"]) == (None, "c-2")
    assert unheard_by() == set()
    assert "conference.command.failed" not in hooks.types(room_id=room)


def test_a_beep_whose_file_cannot_be_had_keeps_nobody_out(
    hooks: Receiver, room_service: Switchroom, media: Media, dial: Dial, join: JoinRoom, unique: str
) -> None:
    missing, there = media.url(f"{unique}.wav"), media.tone(0.5, "gong")
    room = room_service.post(CONFERENCES, {"name": unique, "beep_enter": missing}).body["room_id"]
    path = f"{CONFERENCES}/{room}"
    (first, _), (second, _), (third, _) = dial(), dial(), dial()
    join(first, room)
    assert hooks.wait("conference.command.failed", room_id=room, command="beep_enter")["reason"] == "not_found"
    assert room_service.request("PATCH", path, {"beep_enter": there}).body["beep_enter"] == there
    join(second, room)
    # Beside what plays, nobody is told of it.
    operation = room_service.post(f"{path}/play", {"urls": [media.tone(1, "beside")]}).body["operation_id"]
    join(third, room)
    assert hooks.wait("conference.play.finished", operation_id=operation)["status"] == "completed"
    assert hooks.types(room_id=room).count("conference.command.failed") == 1


def test_who_has_the_floor(hooks: Receiver, room_service: Switchroom, dial: Dial, unique: str) -> None:
    room = room_service.post(CONFERENCES, {"name": unique, "speaker_events": True}).body["room_id"]
    (quiet, _), (loud, call) = dial(), dial()
    for session in (quiet, loud):
        room_service.post(command(session, "join"), {"room_id": room, "muted": session == quiet})
        hooks.wait("conference.member.joined", uuid=session)
    if isinstance(call, EmulatedCall):  # The others speak from the beginning.
        call.talk()
    assert hooks.wait("conference.speaker.changed", room_id=room)["uuid"] == loud

    def speaking() -> dict[str, bool]:
        members = room_service.get(f"{CONFERENCES}/{room}/members").body["members"]
        return {member["uuid"]: member["speaking"] for member in members}

    until(lambda: speaking() == {quiet: False, loud: True})
    room_service.post(command(loud, "mute"))
    until(lambda: speaking() == {quiet: False, loud: False})
    assert hooks.types(room_id=room).count("conference.speaker.changed") == 1


def test_a_room_ends_with_its_last_moderator(
    hooks: Receiver, room_service: Switchroom, dial: Dial, unique: str
) -> None:
    room = room_service.post(CONFERENCES, {"name": unique, "end_on_exit": "moderator"}).body["room_id"]
    calls = [dial() for _ in range(3)]
    for (session, _), role in zip(calls, ("moderator", "moderator", "participant"), strict=True):
        assert room_service.post(command(session, "join"), {"room_id": room, "role": role}).status == 202
        assert hooks.wait("conference.member.joined", uuid=session)["end_on_exit"] is False
    (first, _), (last, call), (member, _) = calls
    room_service.post(command(first, "leave"))
    hooks.wait("conference.member.left", uuid=first)
    assert room_service.get(f"{CONFERENCES}/{room}").body["members"] == 2
    call.hang_up()
    assert hooks.wait("conference.destroyed", room_id=room)["reason"] == "end_on_exit"
    assert hooks.wait("conference.member.left", uuid=member)["reason"] == "room_destroyed"
    about = [(hook["type"], hook["data"].get("uuid")) for hook in hooks.of(room_id=room)][-3:]
    assert about == [
        ("conference.member.left", last),
        ("conference.destroyed", None),
        ("conference.member.left", member),
    ]
    assert room_service.get(f"{CONFERENCES}/{room}").status == 404
    assert room_service.get(f"/api/v1/sessions/{member}").body["state"] == "parked"


def test_tenants_do_not_see_each_other(room_service: Switchroom, dial: Dial, new_room: NewRoom) -> None:
    session, _ = dial("alpha")
    room = new_room()
    assert room_service.get(f"{CONFERENCES}/{room}", app="beta").status == 403
    assert room_service.get(f"{CONFERENCES}/{room}/members", app="beta").status == 404
    assert room_service.request("DELETE", f"{CONFERENCES}/{room}", app="beta").status == 403
    assert room_service.get(f"/api/v1/sessions/{session}", app="beta").status == 403
    assert room_service.post(command(session, "join"), {"room_id": room}, app="beta").status == 403
    assert room not in str(room_service.get(CONFERENCES, app="beta").body)
    assert session not in str(room_service.get("/api/v1/sessions", app="beta").body)
    assert room_service.get(f"{CONFERENCES}/{PREFIX}-room-{uuid.uuid4()}").status == 404


def test_members_in_pages(room_service: Switchroom, dial: Dial, new_room: NewRoom, join: JoinRoom) -> None:
    room = new_room()
    sessions = [dial()[0] for _ in range(5)]
    for session in sessions:
        join(session, room)
    seen, cursor = [], ""
    while True:
        page = room_service.get(f"{CONFERENCES}/{room}/members?limit=2" + (f"&cursor={cursor}" if cursor else "")).body
        seen += [member["uuid"] for member in page["members"]]
        cursor = page["cursor"]
        if not cursor:
            break
    assert seen == sessions
