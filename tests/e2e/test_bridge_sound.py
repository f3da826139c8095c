"""What callers of one room hear on three nodes, measured in the RTP that they receive. On real nodes only."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

import gevent
import pytest

from tests.e2e.nodes import REAL
from tests.e2e.phone import Phone, voice_level
from tests.e2e.site import CONFERENCES, Site, new_caller_id, until
from tests.e2e.system import DIDS, Media

pytestmark = [
    pytest.mark.freeswitch,
    pytest.mark.skipif(REAL not in ("", "boot"), reason="needs several nodes of its own"),
]

LOW, HIGH, PLAYED = 440.0, 620.0, 1000.0  # Hz: two callers and the media server
SENT = -12.0  # dB: as loud as the callers send
PLAYED_AT = -12.25  # dB: 8000 of 32768, as the media server does
AUDIBLE, INAUDIBLE = -25.0, -55.0
TOLERANCE = 1.0  # dB: twice coded in u-law, whatever the way
ROUNDS = 10
MAX_DELAY = 0.5  # seconds

PhoneIn = Callable[..., tuple[str, Phone]]


@pytest.fixture
def room(site: Site) -> Iterator[tuple[str, list[str]]]:
    """Its id, and the prefixes of the nodes, its source first."""
    room, prefixes = site.room()
    yield room, prefixes
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


@pytest.fixture
def phone(site: Site, room: tuple[str, list[str]]) -> Iterator[PhoneIn]:
    """Places a call to that node, with a tone of its own, and has it join the room: the session's id and the phone."""
    phones: list[Phone] = []

    def place(prefix: str, tone: float = 0.0) -> tuple[str, Phone]:
        caller_id = new_caller_id()
        one = Phone(site.nodes[prefix].sip, DIDS["alpha"], caller_id, tone, SENT)
        phones.append(one)
        session = site.session_of(caller_id)
        site.join(session, room[0])
        return session, one

    yield place
    for one in phones:
        one.hang_up()


def levels(phones: list[Phone], *frequencies: float) -> list[list[float]]:
    """What each of them hears of each frequency, all in the same second."""
    listening = [gevent.spawn(one.hear, 1.0) for one in phones]
    gevent.joinall(listening, raise_error=True)
    return [[voice_level(each.value, frequency) for frequency in frequencies] for each in listening]


def set_flag(site: Site, session: str, command: str, webhook: str) -> None:
    assert site.command(session, command) == 202
    site.hooks.wait(f"conference.member.{webhook}", uuid=session)


def unmute(site: Site, *sessions: str) -> None:
    for session in sessions:
        set_flag(site, session, "unmute", "unmuted")


@pytest.mark.parametrize("speaks_on", [0, 1, 2], ids=["source", "second", "third"])
def test_a_speaker_is_heard_on_all_nodes_as_on_his_own(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn, speaks_on: int
) -> None:
    prefixes = room[1]
    listeners = [phone(prefix)[1] for prefix in prefixes]
    session, speaker = phone(prefixes[speaks_on], LOW)
    assert all(heard < INAUDIBLE for (heard,) in levels(listeners, LOW)), "who has just joined is muted"
    unmute(site, session)
    for listener in listeners:
        listener.wait_level(LOW, above=AUDIBLE)
    *heard, (echo,) = levels([*listeners, speaker], LOW)
    print("heard, its own node first:", [round(one, 2) for (one,) in heard], "by the speaker:", round(echo, 1))
    (own,) = heard[speaks_on]
    assert own == pytest.approx(SENT, abs=TOLERANCE)
    assert [one for (one,) in heard] == pytest.approx([own] * 3, abs=TOLERANCE)
    assert echo < INAUDIBLE


def test_two_speakers_of_two_nodes_hear_each_other_and_not_themselves(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn
) -> None:
    source, second, third = room[1]
    (low, low_phone), (high, high_phone), (_, listener) = phone(second, LOW), phone(third, HIGH), phone(source)
    unmute(site, low, high)
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    at_low, at_high, at_source = levels([low_phone, high_phone, listener], LOW, HIGH)
    assert (at_low[1], at_high[0]) == pytest.approx((SENT, SENT), abs=TOLERANCE)
    assert at_source == pytest.approx([SENT, SENT], abs=TOLERANCE)
    assert at_low[0] < INAUDIBLE
    assert at_high[1] < INAUDIBLE


def test_a_coach_is_not_heard_on_other_nodes(site: Site, room: tuple[str, list[str]], phone: PhoneIn) -> None:
    source, second, _ = room[1]
    (coach, _), (agent, agent_phone), (_, far_phone) = phone(second, LOW), phone(second), phone(source)
    assert site.command(coach, "coach", session_id=agent) == 202
    site.hooks.wait("conference.member.coaching", uuid=coach)
    unmute(site, coach)
    agent_phone.wait_level(LOW, above=AUDIBLE)
    assert far_phone.level(LOW, 1.0) < INAUDIBLE
    assert site.command(coach, "uncoach") == 202
    far_phone.wait_level(LOW, above=AUDIBLE)


def test_what_is_played_is_heard_on_all_nodes_at_one_level(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn, media: Media
) -> None:
    path = f"{CONFERENCES}/{room[0]}"
    listeners = [phone(prefix)[1] for prefix in room[1]]
    operation = site.service.post(f"{path}/play", {"urls": [media.tone(30)]}).body["operation_id"]
    for listener in listeners:
        listener.wait_level(PLAYED, above=AUDIBLE)
    heard = [one for (one,) in levels(listeners, PLAYED)]
    print("heard, the source first:", [round(one, 2) for one in heard])
    assert heard == pytest.approx([PLAYED_AT] * 3, abs=TOLERANCE)
    assert site.service.post(f"{path}/stop").status == 202
    site.hooks.wait("conference.play.stopped", operation_id=operation)
    for listener in listeners:
        listener.wait_level(PLAYED, below=INAUDIBLE)


def test_a_muted_member_is_heard_on_no_node(site: Site, room: tuple[str, list[str]], phone: PhoneIn) -> None:
    prefixes = room[1]
    listeners = [phone(prefix)[1] for prefix in prefixes]
    session, _ = phone(prefixes[2], LOW)
    unmute(site, session)
    for listener in listeners:
        listener.wait_level(LOW, above=AUDIBLE)
    set_flag(site, session, "mute", "muted")
    for listener in listeners:
        listener.wait_level(LOW, below=INAUDIBLE)
    assert all(heard < INAUDIBLE for (heard,) in levels(listeners, LOW))


def test_a_deaf_member_hears_nothing_of_any_node(site: Site, room: tuple[str, list[str]], phone: PhoneIn) -> None:
    source, second, third = room[1]
    (deaf, deaf_phone), (_, beside) = phone(second), phone(second)
    speakers = [phone(prefix, tone)[0] for prefix, tone in ((source, LOW), (third, HIGH))]
    unmute(site, *speakers)
    for tone in (LOW, HIGH):
        deaf_phone.wait_level(tone, above=AUDIBLE)
    set_flag(site, deaf, "deaf", "deafened")
    deaf_phone.wait_level(LOW, below=INAUDIBLE)
    at_deaf, at_beside = levels([deaf_phone, beside], LOW, HIGH)
    assert max(at_deaf) < INAUDIBLE
    assert at_beside == pytest.approx([SENT, SENT], abs=TOLERANCE)
    set_flag(site, deaf, "undeaf", "undeafened")
    for tone in (LOW, HIGH):
        deaf_phone.wait_level(tone, above=AUDIBLE)


def test_who_waits_on_any_node_is_let_in_by_a_moderator_on_one(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn
) -> None:
    source, second, third = room[1]
    path = f"{CONFERENCES}/{room[0]}"
    assert site.service.request("PATCH", path, {"wait_for_moderator": True}).status == 200
    (low, low_phone), (high, high_phone), (_, listener) = phone(source, LOW), phone(second, HIGH), phone(third)
    for session in (low, high):
        site.hooks.wait("conference.member.held", uuid=session)
    unmute(site, low, high)
    at_low, at_high, at_listener = levels([low_phone, high_phone, listener], LOW, HIGH)
    assert max(*at_low, *at_high, *at_listener) < INAUDIBLE
    assert site.service.request("PATCH", f"{path}/members/{high}", {"role": "moderator"}).status == 202
    low_phone.wait_level(HIGH, above=AUDIBLE)
    high_phone.wait_level(LOW, above=AUDIBLE)
    for tone in (LOW, HIGH):
        listener.wait_level(tone, above=AUDIBLE)


@pytest.mark.parametrize("kind", ["tone", "file"])
def test_a_beep_is_heard_on_all_nodes_and_none_for_a_leg(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn, media: Media, kind: str
) -> None:
    source, second, third = room[1]
    body = {"beep_exit": "tone" if kind == "tone" else media.tone(0.5, "gong", hertz=480)}
    assert site.service.request("PATCH", f"{CONFERENCES}/{room[0]}", body).status == 200
    (_, here), (_, there), (gone, _) = phone(source), phone(second), phone(third)
    began = time.monotonic()
    assert site.command(gone, "leave") == 202
    for listener in (here, there):
        listener.first_sound(480, began)
    # The leg of the third node goes a while later.
    until(lambda: third not in site.bridges(room[0]), 30)
    assert max(level for (level,) in levels([here, there], 480)) < INAUDIBLE


def test_members_of_a_node_without_its_leg_hear_each_other_and_then_all_again(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn
) -> None:
    source, second, third = room[1]
    (low, low_phone), (_, beside) = phone(second, LOW), phone(second)
    (high, high_phone), (_, elsewhere) = phone(source, HIGH), phone(third)
    unmute(site, low, high)
    for listener in (beside, elsewhere, high_phone):
        listener.wait_level(LOW, above=AUDIBLE)
    # The source takes no legs: the ones that it has end, and none can be dialled.
    site.nodes[source].command("sofia profile bridge stop")
    try:
        for listener in (elsewhere, high_phone):
            listener.wait_level(LOW, below=INAUDIBLE)
        until(lambda: site.bridges(room[0])[second] == "down")
        at_low, at_beside, at_high, at_elsewhere = levels([low_phone, beside, high_phone, elsewhere], LOW, HIGH)
        assert at_beside[0] == pytest.approx(SENT, abs=TOLERANCE)
        assert max(*at_low, at_beside[1], *at_high, *at_elsewhere) < INAUDIBLE
    finally:
        # Before it has stopped altogether, a start is without effect.
        until(lambda: "Invalid Profile" in site.nodes[source].command("sofia status profile bridge"), 20)
        site.nodes[source].command("sofia profile bridge start")
    for tone, listeners in ((HIGH, (low_phone, beside, elsewhere)), (LOW, (beside, high_phone, elsewhere))):
        for listener in listeners:
            listener.wait_level(tone, above=SENT - TOLERANCE, below=SENT + TOLERANCE, timeout=20)
    at_low, at_high = levels([low_phone, high_phone], LOW, HIGH)
    assert max(at_low[0], at_high[1]) < INAUDIBLE
    assert "conference.member.left" not in site.hooks.types(room_id=room[0])


def test_sound_is_late_by_a_bounded_time_on_other_nodes(
    site: Site, room: tuple[str, list[str]], phone: PhoneIn
) -> None:
    source, second, third = room[1]
    session, speaker = phone(second)
    listeners = {"its node": phone(second)[1], "one leg": phone(source)[1], "two legs": phone(third)[1]}
    unmute(site, session)
    took: dict[str, list[float]] = {way: [] for way in listeners}
    for _ in range(ROUNDS):
        began = time.monotonic()
        speaker.say(LOW)
        for way, listener in listeners.items():
            took[way].append(listener.first_sound(LOW, began))
        speaker.say(0.0)
        for listener in listeners.values():
            listener.wait_level(LOW, below=INAUDIBLE)
    medians = {way: statistics.median(each) for way, each in took.items()}
    print("ms from mouth to ear:", {way: round(each * 1000) for way, each in medians.items()})
    assert max(medians.values()) < MAX_DELAY
