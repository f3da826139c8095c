"""What callers hear, measured in the RTP that they receive. On a real node only."""

from __future__ import annotations

import io
import time
import wave
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from controller.sessions.levels import DECIBELS
from tests.e2e.nodes import Node
from tests.e2e.phone import RATE, Phone, decoded, level, voice_level
from tests.e2e.relayed import Relayed
from tests.e2e.system import DIDS, Media, Receiver, Switchroom, tone_wav

pytestmark = pytest.mark.freeswitch

LOW, HIGH, PLAYED = 440.0, 620.0, 1000.0  # Hz: two callers and the media server
BEEPS = (700.0, 480.0)
SENT = -12.0  # dB: as loud as the callers send
PLAYED_AT = -12.25  # dB: 8000 of 32768, as the media server does
AUDIBLE, INAUDIBLE = -25.0, -55.0
TOLERANCE = 1.0  # dB: twice coded in u-law

PhoneIn = Callable[..., tuple[str, Phone]]
NewRoom = Callable[[], str]
JoinRoom = Callable[[str, str], dict[str, Any]]


@pytest.fixture
def phone(node: Node, room_service: Switchroom, hooks: Receiver, unique: str) -> Iterator[PhoneIn]:
    """Places a call with a tone of its own: the session's id and the phone."""
    phones: list[Phone] = []

    def place(tone: float = 0.0, **more: Any) -> tuple[str, Phone]:
        caller_id = f"5271{unique[1:]}{len(phones)}"
        one = Phone(node.sip, DIDS["alpha"], caller_id, tone, SENT, **more)
        phones.append(one)
        return str(hooks.wait("session.started", caller_id=caller_id)["uuid"]), one

    yield place
    for one in phones:
        one.hang_up()


def digits(session: str) -> str:
    return f"/api/v1/sessions/{session}/commands/dtmf"


def command(session: str, name: str) -> str:
    return f"/api/v1/sessions/{session}/commands/conference/{name}"


def test_members_hear_each_other_once_unmuted_and_not_before(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    join(low, room)
    join(high, room)
    assert high_phone.level(LOW, 1.0) < INAUDIBLE, "who has just joined is muted"
    assert room_service.post(command(low, "unmute")).status == 202
    hooks.wait("conference.member.unmuted", uuid=low)
    high_phone.wait_level(LOW, above=AUDIBLE)
    assert high_phone.voice_level(LOW) == pytest.approx(SENT, abs=TOLERANCE)
    assert low_phone.level(LOW) < INAUDIBLE, "nobody hears himself"
    assert low_phone.level(HIGH) < INAUDIBLE, "the other one is still muted"
    assert room_service.post(command(low, "mute")).status == 202
    hooks.wait("conference.member.muted", uuid=low)
    high_phone.wait_level(LOW, below=INAUDIBLE)
    assert high_phone.level(LOW, 1.0) < INAUDIBLE


def test_a_deaf_member_hears_nothing_and_is_heard(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    for session in (low, high):
        join(session, room)
        assert room_service.post(command(session, "unmute")).status == 202
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    assert room_service.post(command(low, "deaf")).status == 202
    hooks.wait("conference.member.deafened", uuid=low)
    low_phone.wait_level(HIGH, below=INAUDIBLE)
    assert low_phone.level(HIGH, 1.0) < INAUDIBLE
    assert high_phone.voice_level(LOW) == pytest.approx(SENT, abs=TOLERANCE)
    assert room_service.post(command(low, "undeaf")).status == 202
    hooks.wait("conference.member.undeafened", uuid=low)
    low_phone.wait_level(HIGH, above=AUDIBLE)


def test_a_member_on_hold_hears_the_music_of_its_node(own_node: Node, tmp_path: Path) -> None:
    music = tmp_path / "music.wav"
    music.write_bytes(tone_wav(1, int(PLAYED)))
    relayed = Relayed(tmp_path, own_node, hold_music=str(music))
    try:
        service, hooks = relayed.start(), relayed.hooks
        service.wait_up()
        caller = Phone(own_node.sip, DIDS["alpha"], "527199901", 0.0, SENT)
        session = hooks.wait("session.started", caller_id="527199901")["uuid"]
        room = service.post("/api/v1/conferences", {"name": "music"}).body["room_id"]
        assert service.post(command(session, "join"), {"room_id": room}).status == 202
        hooks.wait("conference.member.joined", uuid=session)
        assert service.post(command(session, "hold")).status == 202
        hooks.wait("conference.member.held", uuid=session)
        caller.wait_level(PLAYED, above=AUDIBLE)
        caller.hear(1.5)
        caller.wait_level(PLAYED, above=AUDIBLE)  # again
        assert service.post(command(session, "unhold")).status == 202
        hooks.wait("conference.member.unheld", uuid=session)
        caller.wait_level(PLAYED, below=INAUDIBLE)
        caller.hang_up()
    finally:
        relayed.close()


@pytest.mark.parametrize("music", [False, True])
def test_a_member_on_hold_is_not_heard_and_hears_its_music_or_nothing(
    hooks: Receiver,
    room_service: Switchroom,
    phone: PhoneIn,
    media: Media,
    new_room: NewRoom,
    join: JoinRoom,
    music: bool,
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    for session in (low, high):
        join(session, room)
        assert room_service.post(command(session, "unmute")).status == 202
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    body = {"url": media.tone(1, "music")} if music else {}
    assert room_service.post(command(low, "hold"), body).status == 202
    hooks.wait("conference.member.held", uuid=low)
    low_phone.wait_level(HIGH, below=INAUDIBLE)
    high_phone.wait_level(LOW, below=INAUDIBLE)
    # Longer than the music is: it is heard again and again.
    for _ in range(3):
        heard = low_phone.hear(1.0)
        assert level(heard, HIGH) < INAUDIBLE
        assert (level(heard, PLAYED) > AUDIBLE) == music
        assert high_phone.level(PLAYED) < INAUDIBLE
    room_service.post(f"/api/v1/conferences/{room}/play", {"urls": [media.tone(1, "room", hertz=800)]})
    high_phone.wait_level(800, above=AUDIBLE)
    assert low_phone.level(800) < INAUDIBLE
    assert room_service.post(command(low, "unhold")).status == 202
    hooks.wait("conference.member.unheld", uuid=low)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    assert low_phone.level(PLAYED) < INAUDIBLE


@pytest.mark.parametrize("music", [False, True])
def test_who_waits_for_a_moderator_hears_nobody_and_is_not_heard(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, media: Media, new_room: NewRoom, music: bool
) -> None:
    (low, low_phone), (high, high_phone), (moderator, moderator_phone) = phone(LOW), phone(HIGH), phone(800.0)
    room = new_room()
    body = {"wait_for_moderator": True, "hold_music": media.tone(1, "wait music") if music else None}
    assert room_service.request("PATCH", f"/api/v1/conferences/{room}", body).status == 200
    phones = (low_phone, high_phone)
    since = [len(one.packets) for one in phones]
    for session in (low, high):
        room_service.post(command(session, "join"), {"room_id": room, "muted": False})
        hooks.wait("conference.member.held", uuid=session)
    for one in phones:
        if music:
            one.wait_level(PLAYED, above=AUDIBLE)
        heard = one.hear(2.0)
        assert (level(heard, PLAYED) > AUDIBLE) == music
    # From the first moment on, in each fifth of a second.
    for one, start, other in zip(phones, since, (HIGH, LOW), strict=True):
        heard = decoded(b"".join(payload for _, payload in one.packets[start:]))
        parts = [heard[at : at + RATE // 5] for at in range(0, len(heard) - RATE // 5, RATE // 5)]
        assert max(level(part, other) for part in parts) < INAUDIBLE
    room_service.post(command(moderator, "join"), {"room_id": room, "role": "moderator", "muted": False})
    for one, tones in ((low_phone, (HIGH, 800)), (high_phone, (LOW, 800)), (moderator_phone, (LOW, HIGH))):
        for tone in tones:
            one.wait_level(tone, above=AUDIBLE)
        assert one.level(PLAYED) < INAUDIBLE


def test_a_coach_is_heard_by_one_member_alone_also_when_others_join(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (coach, coach_phone), (agent, agent_phone), (customer, customer_phone) = phone(LOW), phone(), phone()
    room = new_room()
    for session in (coach, agent, customer):
        join(session, room)
    assert room_service.post(command(coach, "coach"), {"session_id": agent}).status == 202
    hooks.wait("conference.member.coaching", uuid=coach)
    since = len(customer_phone.packets)
    for session in (coach, customer):
        assert room_service.post(command(session, "unmute")).status == 202
    agent_phone.wait_level(LOW, above=AUDIBLE)
    assert agent_phone.voice_level(LOW) == pytest.approx(SENT, abs=TOLERANCE)
    newcomer, newcomer_phone = phone()
    before = len(newcomer_phone.packets)
    room_service.post(command(newcomer, "join"), {"room_id": room, "muted": False})
    hooks.wait("conference.member.joined", uuid=newcomer)
    gevent.sleep(1.0)
    # From the first moment on, in each tenth of a second.
    for one, start in ((customer_phone, since), (newcomer_phone, before)):
        heard = decoded(b"".join(payload for _, payload in one.packets[start:]))
        parts = [heard[at : at + RATE // 10] for at in range(0, len(heard) - RATE // 10, RATE // 10)]
        assert max(level(part, LOW) for part in parts) < INAUDIBLE
    # They hear the others, and the coach hears all.
    customer_phone.say(HIGH)
    for one in (coach_phone, agent_phone, newcomer_phone):
        one.wait_level(HIGH, above=AUDIBLE)
    assert newcomer_phone.level(LOW, 1.0) < INAUDIBLE
    # Nobody hears it when the one that it coaches has left.
    assert room_service.post(command(agent, "leave")).status == 202
    hooks.wait("conference.member.left", uuid=agent)
    for one in (customer_phone, newcomer_phone):
        assert one.level(LOW, 1.0) < INAUDIBLE
    assert room_service.post(command(coach, "uncoach")).status == 202
    hooks.wait("conference.member.uncoached", uuid=coach)
    for one in (customer_phone, newcomer_phone):
        one.wait_level(LOW, above=AUDIBLE)


@pytest.mark.parametrize("kind", ["tone", "file", "not_found", "too_long"])
def test_all_hear_a_beep_when_one_comes_and_goes_beside_what_plays(
    hooks: Receiver,
    room_service: Switchroom,
    phone: PhoneIn,
    media: Media,
    new_room: NewRoom,
    join: JoinRoom,
    kind: str,
) -> None:
    sounds = {
        "tone": lambda pitch: "tone",
        "file": lambda pitch: media.tone(0.5, "gong", hertz=pitch),
        "not_found": lambda pitch: media.url(f"gong-{pitch}.wav"),
        "too_long": lambda pitch: media.tone(11, "gong", hertz=pitch),
    }
    enter, leave = (sounds[kind](int(pitch)) for pitch in BEEPS)
    (first, listening), (second, _) = phone(), phone()
    room = new_room()
    path = f"/api/v1/conferences/{room}"
    join(first, room)
    room_service.request("PATCH", path, {"beep_enter": enter, "beep_exit": leave})
    operation = room_service.post(f"{path}/play", {"urls": [media.tone(6, "beside")]}).body["operation_id"]
    listening.wait_level(PLAYED, above=AUDIBLE)
    for act, tone in (("join", BEEPS[0]), ("leave", BEEPS[1])):
        began = time.monotonic()
        body = {"room_id": room} if act == "join" else None
        assert room_service.post(command(second, act), body).status == 202
        print(act, "is heard after", listening.first_sound(tone, began))
        listening.wait_level(tone, below=INAUDIBLE)
        assert listening.level(PLAYED) > AUDIBLE
        if kind in ("not_found", "too_long"):
            option = "beep_enter" if act == "join" else "beep_exit"
            hooks.wait("conference.command.failed", room_id=room, command=option, reason=kind)
        gevent.sleep(0.6)  # until a beep would not be the same one any more
    finished = hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["status"] == "completed"


def test_a_beep_of_two_parts_is_heard_without_a_gap(
    room_service: Switchroom, phone: PhoneIn, media: Media, new_room: NewRoom, join: JoinRoom
) -> None:
    (first, listening), (second, _) = phone(), phone()
    room = new_room()
    join(first, room)
    body = {"beep_enter": media.tone(5, "gong", hertz=700)}
    assert room_service.request("PATCH", f"/api/v1/conferences/{room}", body).status == 200
    began = time.monotonic()
    join(second, room)
    listening.first_sound(700, began)
    heard = listening.hear(4.5)
    parts = [heard[at : at + RATE // 5] for at in range(0, len(heard), RATE // 5)]
    assert min(level(part, 700) for part in parts) > AUDIBLE
    listening.wait_level(700, below=INAUDIBLE)


@pytest.mark.parametrize("by_app", [False, True])
def test_a_call_that_its_phone_put_on_hold_and_hung_up_takes_nobody_with_it(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom, by_app: bool
) -> None:
    (gone, gone_phone), (low, low_phone), (high, high_phone) = phone(), phone(LOW), phone(HIGH)
    room = new_room()
    for session in (gone, low, high):
        join(session, room)
        assert room_service.post(command(session, "unmute")).status == 202
    low_phone.wait_level(HIGH, above=AUDIBLE)
    if by_app:
        assert room_service.post(command(gone, "hold")).status == 202
        hooks.wait("conference.member.held", uuid=gone)
    assert gone_phone.put_on_hold() == "recvonly"
    gone_phone.hang_up()
    left = hooks.wait("conference.member.left", uuid=gone)
    assert (left["reason"], left["hold"]) == ("hangup", by_app)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    members = room_service.get(f"/api/v1/conferences/{room}/members").body["members"]
    assert sorted(member["uuid"] for member in members) == sorted([low, high])


@pytest.mark.parametrize("where", ["parked", "member", "deaf"])
def test_what_is_played_to_one_session_nobody_else_hears(
    hooks: Receiver,
    room_service: Switchroom,
    phone: PhoneIn,
    media: Media,
    new_room: NewRoom,
    join: JoinRoom,
    where: str,
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    join(high, room)
    if where != "parked":
        join(low, room)
        for session in (low, high):
            assert room_service.post(command(session, "unmute")).status == 202
        low_phone.wait_level(HIGH, above=AUDIBLE)
    if where == "deaf":
        assert room_service.post(command(low, "deaf")).status == 202
        low_phone.wait_level(HIGH, below=INAUDIBLE)
    # More than one file for the node.
    body = {"urls": [media.tone(6, "for one")]}
    operation = room_service.post(f"/api/v1/sessions/{low}/commands/play", body).body["operation_id"]
    low_phone.wait_level(PLAYED, above=AUDIBLE)
    samples, others = gevent.spawn(low_phone.hear, 4.0), gevent.spawn(high_phone.hear, 4.0)
    heard, heard_by_other = samples.get(), others.get()
    assert level(heard, PLAYED) == pytest.approx(PLAYED_AT, abs=TOLERANCE)
    assert level(heard_by_other, PLAYED) < INAUDIBLE
    # A member goes on to hear its room, and to be heard in it.
    assert (level(heard, HIGH) > AUDIBLE) == (where == "member")
    assert (level(heard_by_other, LOW) > AUDIBLE) == (where != "parked")
    assert hooks.wait("session.play.finished", operation_id=operation)["status"] == "completed"
    low_phone.wait_level(PLAYED, below=INAUDIBLE)
    # A stop is heard at once.
    room_service.post(f"/api/v1/sessions/{low}/commands/play", {"urls": [media.tone(60, "stopped")]})
    low_phone.wait_level(PLAYED, above=AUDIBLE)
    assert room_service.post(f"/api/v1/sessions/{low}/commands/stop").status == 202
    low_phone.wait_level(PLAYED, below=INAUDIBLE)


def test_a_call_that_is_played_to_joins_and_hears_the_room(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, media: Media, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    join(high, room)
    assert room_service.post(command(high, "unmute")).status == 202
    room_service.post(f"/api/v1/sessions/{low}/commands/play", {"urls": [media.tone(30, "while waiting")]})
    low_phone.wait_level(PLAYED, above=AUDIBLE)
    join(low, room)
    low_phone.wait_level(PLAYED, below=INAUDIBLE)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    assert high_phone.level(PLAYED, 1.0) < INAUDIBLE
    assert hooks.wait("session.play.finished", uuid=low)["status"] == "interrupted"


def test_the_volume_of_a_member_is_in_steps_of_the_node(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, _), (listener, listening), (other, beside) = phone(LOW), phone(), phone()
    room = new_room()
    for session in (low, listener, other):
        join(session, room)
    assert room_service.post(command(low, "unmute")).status == 202
    for one in (listening, beside):
        one.wait_level(LOW, above=AUDIBLE)

    def gains(session: str, direction: str, volume: int) -> tuple[float, float]:
        """What the two listeners hear then, beside what was sent."""
        body = {"direction": direction, "volume": volume}
        assert room_service.post(command(session, "volume"), body).status == 202
        hooks.wait("conference.member.volume_changed", uuid=session, **{f"volume_{direction}": volume})
        wanted = SENT + DECIBELS[volume]
        listening.wait_level(LOW, above=wanted - TOLERANCE, below=wanted + TOLERANCE)
        return listening.voice_level(LOW) - SENT, beside.voice_level(LOW) - SENT

    for volume in (-4, -3, -2, -1, 1, 2, 0):
        assert gains(low, "in", volume) == pytest.approx((DECIBELS[volume],) * 2, abs=TOLERANCE)
    for volume in (-4, -2, 1, 2, 0):
        assert gains(listener, "out", volume) == pytest.approx((DECIBELS[volume], 0.0), abs=TOLERANCE)


def test_a_member_joins_with_a_volume(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, _), (listener, listening), (other, beside) = phone(LOW), phone(), phone()
    room = new_room()
    join(other, room)
    for session, options in ((low, {"muted": False, "volume_in": -3}), (listener, {"volume_out": -2})):
        assert room_service.post(command(session, "join"), {"room_id": room, **options}).status == 202
        hooks.wait("conference.member.volume_changed", uuid=session)
    for heard, wanted in ((beside, SENT + DECIBELS[-3]), (listening, SENT + DECIBELS[-3] + DECIBELS[-2])):
        heard.wait_level(LOW, above=wanted - TOLERANCE, below=wanted + TOLERANCE)
        assert heard.voice_level(LOW) == pytest.approx(wanted, abs=TOLERANCE)


def test_rooms_do_not_hear_each_other(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, _), (near, near_phone), (far, far_phone) = phone(LOW), phone(), phone()
    here, there = new_room(), new_room()
    join(low, here)
    join(near, here)
    join(far, there)
    room_service.post(command(low, "unmute"))
    near_phone.wait_level(LOW, above=AUDIBLE)
    assert far_phone.level(LOW, 1.0) < INAUDIBLE


def test_after_leave_nothing_is_heard(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, media: Media, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    for session in (low, high):
        join(session, room)
        room_service.post(command(session, "unmute"))
    high_phone.wait_level(LOW, above=AUDIBLE)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    assert room_service.post(command(low, "leave")).status == 202
    hooks.wait("conference.member.left", uuid=low)
    high_phone.wait_level(LOW, below=INAUDIBLE)
    low_phone.wait_level(HIGH, below=INAUDIBLE)
    room_service.post(f"/api/v1/conferences/{room}/play", {"urls": [media.tone(4)]})
    high_phone.wait_level(PLAYED, above=AUDIBLE)
    assert low_phone.level(PLAYED, 1.0) < INAUDIBLE
    assert high_phone.level(LOW) < INAUDIBLE


def test_playback_is_heard_at_its_level_until_it_is_stopped(
    hooks: Receiver, room_service: Switchroom, media: Media, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    session, listener = phone()
    room = new_room()
    join(session, room)
    path = f"/api/v1/conferences/{room}"
    assert listener.level(PLAYED) < INAUDIBLE
    operation = room_service.post(f"{path}/play", {"urls": [media.tone(30)]}).body["operation_id"]
    listener.wait_level(PLAYED, above=AUDIBLE)
    assert listener.level(PLAYED, 1.0) == pytest.approx(PLAYED_AT, abs=TOLERANCE)
    assert room_service.post(f"{path}/pause").status == 202
    listener.wait_level(PLAYED, below=INAUDIBLE)
    assert listener.level(PLAYED) < INAUDIBLE
    assert room_service.post(f"{path}/pause").status == 202
    listener.wait_level(PLAYED, above=AUDIBLE)
    assert room_service.post(f"{path}/stop").status == 202
    hooks.wait("conference.play.stopped", operation_id=operation)
    listener.wait_level(PLAYED, below=INAUDIBLE)
    assert listener.level(PLAYED, 1.0) < INAUDIBLE


def test_volume_is_in_decibels_and_lasts_for_the_next_file(
    hooks: Receiver, room_service: Switchroom, media: Media, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    session, listener = phone()
    room = new_room()
    join(session, room)
    path = f"/api/v1/conferences/{room}"
    room_service.post(f"{path}/play", {"urls": [media.tone(60)]})
    listener.wait_level(PLAYED, above=AUDIBLE)
    measured = {}
    for volume in (-10, -20, 6, -3):
        assert room_service.post(f"{path}/volume", {"volume": volume}).status == 202
        hooks.wait("conference.play.volume_changed", room_id=room, volume=volume)
        wanted = PLAYED_AT + volume
        listener.wait_level(PLAYED, above=wanted - TOLERANCE, below=wanted + TOLERANCE)
        measured[volume] = listener.level(PLAYED, 1.0) - PLAYED_AT
    print("volume -> dB:", {volume: round(gain, 2) for volume, gain in measured.items()})
    assert measured == pytest.approx({volume: volume for volume in measured}, abs=TOLERANCE)
    # `vol` of the next file and `file-vol` of this one agree.
    room_service.post(f"{path}/stop")
    listener.wait_level(PLAYED, below=INAUDIBLE)
    room_service.post(f"{path}/play", {"urls": [media.tone(30)]})
    listener.wait_level(PLAYED, above=AUDIBLE)
    assert listener.level(PLAYED, 1.0) - PLAYED_AT == pytest.approx(-3, abs=TOLERANCE)


def test_urls_of_an_operation_are_heard_in_their_order(
    hooks: Receiver, room_service: Switchroom, media: Media, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    session, listener = phone()
    room = new_room()
    join(session, room)
    urls = [media.tone(2, hertz=frequency) for frequency in (500, 1500, 2500)]
    room_service.post(f"/api/v1/conferences/{room}/play", {"urls": urls})
    for frequency in (500, 1500, 2500):
        listener.wait_level(frequency, above=AUDIBLE)
        others = {500, 1500, 2500} - {frequency}
        heard = listener.hear(0.5)
        assert all(level(heard, other) < INAUDIBLE for other in others)


def test_nothing_is_heard_of_the_parts_in_which_a_long_file_comes(
    hooks: Receiver, room_service: Switchroom, media: Media, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    session, listener = phone()
    room = new_room()
    join(session, room)
    url = media.tone(9, channels=2, rate=44100)
    operation = room_service.post(f"/api/v1/conferences/{room}/play", {"urls": [url]}).body["operation_id"]
    listener.wait_level(PLAYED, above=AUDIBLE)
    heard = listener.hear(8.0)
    loud = [level(heard[at : at + 160], PLAYED) > AUDIBLE for at in range(0, len(heard) - 159, 160)]
    assert set("".join(".#"[each] for each in loud).rstrip(".")) == {"#"}
    assert hooks.wait("conference.play.finished", operation_id=operation)["status"] == "completed"


def test_a_callers_keys_do_nothing(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone()
    room = new_room()
    join(low, room)
    join(high, room)
    room_service.post(command(low, "unmute"))
    high_phone.wait_level(LOW, above=AUDIBLE)
    for key in "0123456789*#":
        low_phone.press(key)
    # While a key is held no voice is sent; the last such gap may still be on its way.
    high_phone.wait_level(LOW, above=SENT - TOLERANCE, below=SENT + TOLERANCE)
    assert high_phone.voice_level(LOW) == pytest.approx(SENT, abs=TOLERANCE)
    members = room_service.get(f"/api/v1/conferences/{room}/members").body["members"]
    assert {member["uuid"] for member in members} == {low, high}
    assert "conference.member.left" not in hooks.types(room_id=room)
    assert "conference.member.muted" not in hooks.types(room_id=room)


def test_a_wav_in_stereo_and_an_mp3(
    hooks: Receiver, room_service: Switchroom, media: Media, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    session, listener = phone()
    room = new_room()
    join(session, room)
    path = f"/api/v1/conferences/{room}"
    for url in (media.tone(3, channels=2, rate=44100), media.mp3):
        operation = room_service.post(f"{path}/play", {"urls": [url]}).body["operation_id"]
        listener.wait_level(PLAYED, above=AUDIBLE)
        assert hooks.wait("conference.play.finished", operation_id=operation)["status"] == "completed"


@pytest.mark.parametrize("events", [True, False], ids=["RTP events", "SIP INFO"])
@pytest.mark.parametrize("where", ["parked", "in a room"])
def test_digits_reach_the_caller_whole_and_in_order_and_no_other(
    hooks: Receiver,
    room_service: Switchroom,
    phone: PhoneIn,
    new_room: NewRoom,
    join: JoinRoom,
    where: str,
    events: bool,
) -> None:
    session, one = phone(events=events)
    other = None
    if where == "in a room":
        room = new_room()
        join(session, room)
        member, other = phone()
        join(member, room)
    for turn in (1, 2):
        sent = room_service.post(digits(session), {"digits": "0123456789*#ABCD", "duration": 100})
        assert sent.status == 202
        hooks.wait("session.dtmf.sent", uuid=session, sequence=turn + 1)
        assert one.wait_keys(16 * turn) == "0123456789*#ABCD" * turn
    assert all(ms == pytest.approx(100, abs=20) for _, ms in one.sent_keys)
    assert other is None or not other.sent_keys


def test_pauses_among_digits(hooks: Receiver, room_service: Switchroom, phone: PhoneIn) -> None:
    session, one = phone()
    at: list[float] = []
    assert room_service.post(digits(session), {"digits": "1wW2", "duration": 60}).status == 202
    for count in (1, 2):
        assert one.wait_keys(count) == "12"[:count]
        at.append(time.monotonic())
    assert at[1] - at[0] >= 1.5


# Recordings


RECORDING_RATE = 8000
THIRD = 880.0


def tracks(file: bytes) -> list[list[int]]:
    """The samples of each channel of a recording."""
    with wave.open(io.BytesIO(file)) as sound:
        assert (sound.getframerate(), sound.getsampwidth()) == (RECORDING_RATE, 2)
        samples = array("h", sound.readframes(sound.getnframes()))
        return [list(samples[channel :: sound.getnchannels()]) for channel in range(sound.getnchannels())]


def loudest(samples: list[int], frequency: float) -> float:
    """Of a tone, in any fifth of a second."""
    fifth = RECORDING_RATE // 5
    return max(level(samples[at : at + fifth], frequency) for at in range(0, len(samples) - fifth + 1, fifth))


def recorded(service: Switchroom, hooks: Receiver, recording: str) -> tuple[list[list[int]], float]:
    """Its tracks, and for how long it is said to play."""
    assert service.post(f"/api/v1/recordings/{recording}/commands/stop").status == 202
    kinds = ("conference", "session")
    stopped = next(
        hooks.wait(f"{kind}.recording.available", recording_id=recording)
        for kind in kinds
        if f"{kind}.recording.started" in hooks.types(recording_id=recording)
    )
    return tracks(service.file(f"/api/v1/recordings/{recording}/content")), float(stopped["duration"])


def test_what_is_said_in_a_room_is_recorded_and_what_is_said_in_a_pause_is_not(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    for session in (low, high):
        join(session, room)
        assert room_service.post(command(session, "unmute")).status == 202
    high_phone.wait_level(LOW, above=AUDIBLE)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    recording = room_service.post(f"/api/v1/conferences/{room}/commands/record").body["recording_id"]
    control = f"/api/v1/recordings/{recording}/commands"
    hooks.wait("conference.recording.started", recording_id=recording)
    low_phone.hear(1.5)
    assert room_service.post(f"{control}/pause").status == 202
    hooks.wait("conference.recording.paused", recording_id=recording)
    low_phone.say(THIRD)
    high_phone.wait_level(THIRD, above=AUDIBLE)
    high_phone.hear(1.0)
    low_phone.say(LOW)
    high_phone.wait_level(THIRD, below=INAUDIBLE)
    assert room_service.post(f"{control}/resume").status == 202
    hooks.wait("conference.recording.resumed", recording_id=recording)
    low_phone.hear(1.5)
    (mono,), duration = recorded(room_service, hooks, recording)
    assert len(mono) / RECORDING_RATE == pytest.approx(duration, abs=0.05)
    second = RECORDING_RATE
    for part in (mono[second // 4 : second + second // 4], mono[-second - second // 4 : -second // 4]):
        assert voice_level(part, LOW) == pytest.approx(SENT, abs=TOLERANCE)
        assert voice_level(part, HIGH) == pytest.approx(SENT, abs=TOLERANCE)
    assert loudest(mono, THIRD) < AUDIBLE - 10, "what was said in the pause"


def test_a_call_is_recorded_with_what_it_says_and_what_it_hears_apart(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, new_room: NewRoom, join: JoinRoom
) -> None:
    (low, low_phone), (high, high_phone) = phone(LOW), phone(HIGH)
    room = new_room()
    for session in (low, high):
        join(session, room)
        assert room_service.post(command(session, "unmute")).status == 202
    high_phone.wait_level(LOW, above=AUDIBLE)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    answer = room_service.post(f"/api/v1/sessions/{low}/commands/record", {"channels": 2})
    recording = answer.body["recording_id"]
    hooks.wait("session.recording.started", recording_id=recording)
    low_phone.hear(2.0)
    (left, right), _ = recorded(room_service, hooks, recording)
    middle = slice(RECORDING_RATE // 2, RECORDING_RATE * 3 // 2)
    assert voice_level(left[middle], LOW) == pytest.approx(SENT, abs=TOLERANCE)
    assert voice_level(right[middle], HIGH) == pytest.approx(SENT, abs=TOLERANCE)
    assert voice_level(left[middle], HIGH) < INAUDIBLE
    assert voice_level(right[middle], LOW) < INAUDIBLE


def seconds_of(samples: list[int], frequency: float) -> float:
    """How long a tone is in it, counted in frames of 20 ms."""
    frame = RECORDING_RATE // 50
    frames = (samples[at : at + frame] for at in range(0, len(samples) - frame + 1, frame))
    return sum(level(each, frequency) > AUDIBLE for each in frames) / 50


@pytest.mark.parametrize("channels", [1, 2])
def test_the_last_words_of_a_parked_call_are_in_its_recording(
    hooks: Receiver, room_service: Switchroom, phone: PhoneIn, channels: int
) -> None:
    session, caller = phone()
    path = f"/api/v1/sessions/{session}/commands/record"
    recording = room_service.post(path, {"channels": channels}).body["recording_id"]
    hooks.wait("session.recording.started", recording_id=recording)
    for tone in (LOW, HIGH, THIRD):
        caller.say(tone)
        caller.hear(1.0)
    said, *_ = recorded(room_service, hooks, recording)[0]
    for tone in (LOW, HIGH, THIRD):
        assert seconds_of(said, tone) > 0.8, tone
