"""Plays that are prepared by a relay before a node's worker takes and sends them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from gevent.event import AsyncResult

from controller.media.client import Prepared
from controller.media.reasons import AudioFailed
from controller.sessions.flags import FLAGS, HOLD
from controller.store import keys
from controller.store.store import Entry
from esl import commands as esl
from esl.event import Event
from tests.integration.fake_link import DrivenNode, Wire, event, settle
from tests.integration.test_broken_records import call, conference
from tests.integration.world import NODE, World, channel
from tests.open_store import OpenStore

MUTED, *_ = FLAGS
A, B = "http://media.example/a.wav", "http://media.example/b.wav"
RELAY = "127.0.0.1:8090"
DETAILS = {"bytes": 16044, "seconds": 1.0, "cached": False}


def link(url: str) -> str:
    return f"http://{RELAY}/audio/{url[-5]}-8000.wav?expires=1&signature=0"


# What a node says that did not get A.
LOST = f"-ERR (play) File: {link(A)} not found.\n"


class Relays:
    """In the place of a client of relays: each question waits for what the test says of its URL."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self.asked: list[tuple[str, str, int, int]] = []
        self.avoided: list[str] = []
        self.rest = 0
        self.rest_url = ""
        self.details: dict[str, Any] = DETAILS
        self._outcomes: dict[str, AsyncResult[Any]] = {}

    def prepare(self, app_id: str, url: str, rate: int, seconds: float, start: int = 0) -> Prepared:
        self.asked.append((app_id, url, rate, start))
        outcome = self._outcomes.setdefault(url, AsyncResult()).get(timeout=seconds)
        if isinstance(outcome, AudioFailed):
            raise outcome
        return Prepared(RELAY, link(url), self.details, *((0, "") if start else (self.rest, self.rest_url)))

    def avoid(self, relay: str) -> None:
        self.avoided.append(relay)

    def is_ready(self, url: str) -> None:
        self._outcomes.setdefault(url, AsyncResult()).set(None)
        settle(self._store)

    def has_failed(self, url: str, reason: str, http_status: int | None = None) -> None:
        self._outcomes.setdefault(url, AsyncResult()).set(AudioFailed(reason, http_status))
        settle(self._store)


@pytest.fixture
def relays(store: OpenStore) -> Relays:
    return Relays(store)


@pytest.fixture
def node(store: OpenStore, relays: Relays) -> Iterator[DrivenNode]:
    node = DrivenNode(store, relays=relays)
    yield node
    node.worker.stop()


@pytest.fixture
def room(world: World) -> str:
    """Without members: a link that comes up finds nothing that differs."""
    room = world.create("music")
    world.webhooks()
    return room


def waiting(world: World) -> list[Entry]:
    return world.store.read(keys.key(world.tag, "commands", NODE))


def take(world: World, node: DrivenNode) -> None:
    node.worker.take(world.tag, waiting(world))
    settle(world.store)


def sent(wire: Wire, kind: type) -> list[Any]:
    return [command for command in wire.sent if isinstance(command, kind)]


def send(world: World, room: str, node: DrivenNode, relays: Relays) -> None:
    """Have A played, and its file ready."""
    world.play(room, A)
    take(world, node)
    relays.is_ready(A)


def result(job: str, text: str) -> Event:
    return Event(f"Event-Name: BACKGROUND_JOB\nJob-UUID: {job}\nJob-Command: conference\n\n{text}".encode())


def job(world: World) -> str:
    (job,) = world.store.client.hkeys(keys.key(world.tag, "sent", NODE))
    return str(job.decode())


def test_a_play_waits_in_its_stream_until_its_file_is_ready(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    world.play(room, A)
    take(world, node)
    assert relays.asked == [("demo", A, 8000, 0)]
    assert len(waiting(world)) == 1
    assert sent(wire, esl.Play) == []
    # To read it again changes nothing.
    take(world, node)
    assert len(relays.asked) == 1
    relays.is_ready(A)
    assert [play.url for play in sent(wire, esl.Play)] == [link(A)]
    assert waiting(world) == []


def test_other_commands_do_not_wait_for_a_file(world: World, room: str, node: DrivenNode) -> None:
    wire = node.up()
    world.play(room, A)
    world.ask("join", session_id=world.park(2), room_id=room)
    take(world, node)
    assert [type(command) for command in wire.sent] == [esl.Join]


def test_a_file_that_cannot_be_had_fails_with_its_reason_and_the_next_one_plays(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    world.play(room, A, B)
    take(world, node)
    relays.has_failed(A, "not_found", 404)
    take(world, node)
    relays.is_ready(B)
    assert [play.url for play in sent(wire, esl.Play)] == [link(B)]
    node.happened(result(job(world), "+OK (play) Playing file"))
    world.tell("file_done", room_id=room, operation_id="op1", index=1)
    _, finished = world.webhooks()
    assert finished[1]["status"] == "partial"
    assert finished[1]["results"] == [
        {"url": A, "status": "failed", "reason": "not_found", "http_status": 404},
        {"url": B, "status": "played"},
    ]


@pytest.mark.parametrize(
    "reason", ["not_audio", "too_large", "too_long", "timeout", "forbidden_address", "unreachable", "relay_failed"]
)
def test_a_reason_of_the_file_is_no_failure_of_the_command(
    reason: str, world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    node.up()
    world.play(room, A)
    take(world, node)
    relays.has_failed(A, reason)
    assert world.types() == ["conference.play.started", "conference.play.finished"]


def test_a_stop_takes_a_play_back_whose_file_is_not_ready(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    world.play(room, A)
    take(world, node)
    world.ask("stop", room_id=room)
    take(world, node)
    relays.is_ready(A)
    assert sent(wire, esl.Play) == []
    assert world.types() == ["conference.play.started", "conference.play.stopped"]
    # What is played next does not wait for it.
    world.play(room, B, operation="op2")
    take(world, node)
    relays.is_ready(B)
    assert [play.url for play in sent(wire, esl.Play)] == [link(B)]


def test_a_play_outlives_its_worker(
    world: World, room: str, node: DrivenNode, relays: Relays, store: OpenStore
) -> None:
    node.up()
    world.play(room, A)
    take(world, node)
    node.worker.stop()
    relays.is_ready(A)
    assert len(waiting(world)) == 1
    after = DrivenNode(store, token=2, relays=relays)
    wire = after.up()
    settle(world.store)
    assert [play.url for play in sent(wire, esl.Play)] == [link(A)]
    after.worker.stop()


def test_a_play_whose_file_is_ready_while_there_is_no_link_is_sent_when_there_is(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    node.up()
    world.play(room, A)
    take(world, node)
    node.link.down()
    relays.is_ready(A)
    assert len(waiting(world)) == 1
    wire = node.up()
    settle(world.store)
    assert [play.url for play in sent(wire, esl.Play)] == [link(A)]


def test_a_file_that_a_node_did_not_get_is_prepared_again_a_few_times(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    send(world, room, node, relays)
    for tries in (1, 2, 3):
        assert len(sent(wire, esl.Play)) == tries
        node.happened(result(job(world), LOST))
        take(world, node)
    assert relays.avoided == [RELAY] * 3
    _, finished = world.webhooks()
    assert finished[1]["results"] == [{"url": A, "status": "failed", "reason": "unplayable"}]


def test_a_file_that_is_gone_when_it_is_prepared_again_fails_with_its_reason(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    node.up()
    send(world, room, node, relays)
    relays.has_failed(A, "unreachable")
    node.happened(result(job(world), LOST))
    take(world, node)
    _, finished = world.webhooks()
    assert finished[1]["results"] == [{"url": A, "status": "failed", "reason": "unreachable"}]


def test_a_stop_takes_a_play_back_whose_file_is_prepared_again(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    send(world, room, node, relays)
    node.happened(result(job(world), LOST))
    world.ask("stop", room_id=room)
    # What is played next does not wait for it.
    world.play(room, B, operation="op2")
    take(world, node)
    relays.is_ready(B)
    assert [play.url for play in sent(wire, esl.Play)] == [link(A), link(B)]


def test_a_play_that_is_prepared_again_and_was_given_up_is_not_sent(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up()
    send(world, room, node, relays)
    node.happened(result(job(world), LOST))
    world.overdue()
    assert world.types()[-1] == "conference.play.finished"
    take(world, node)
    assert len(sent(wire, esl.Play)) == 1


def in_two_parts(world: World, room: str, node: DrivenNode, relays: Relays) -> Wire:
    wire = node.up()
    relays.rest, relays.rest_url = 16000, f"http://{RELAY}/audio/rest.wav?expires=1"
    send(world, room, node, relays)
    node.happened(result(job(world), "+OK\n"))
    return wire


def test_a_file_in_two_parts_is_one_play_and_the_node_fetches_the_second_meanwhile(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = in_two_parts(world, room, node, relays)
    rest = f"{relays.rest_url}#{room}:op1:0"
    (play,) = sent(wire, esl.Play)
    assert (play.url, play.rest) == (link(A), rest)
    assert wire.sent[-2:] == [play, esl.Prefetch(rest)]
    world.play(room, B, operation="op2")
    assert waiting(world) == []
    node.happened(Event(f"Event-Name: CUSTOM\nEvent-Subclass: filestring::open\nFile: {rest}\n\n".encode()))
    assert len(waiting(world)) == 1


def test_a_second_part_that_the_node_did_not_get_is_prepared_anew(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    wire = in_two_parts(world, room, node, relays)
    world.tell("file_done", room_id=room, operation_id="op1", index=0)
    take(world, node)
    assert relays.asked == [("demo", A, 8000, 0), ("demo", A, 8000, 16000)]
    assert [play.params["url_index"] for play in sent(wire, esl.Play)] == [0, 1]


def test_a_member_is_put_on_hold_once_all_of_its_music_is_ready(world: World, node: DrivenNode, relays: Relays) -> None:
    session = world.joined(world.create("talk"))
    wire = node.up(call(1), members=[conference(world.session(session)["room_id"], 1)])
    relays.rest = 16000
    world.set_flag(session, HOLD, True, url=A)
    world.set_flag(session, MUTED, False)
    take(world, node)
    # Nothing else waits for it.
    assert [command.verb for command in sent(wire, esl.MemberCommand)] == ["unmute"]
    assert sent(wire, esl.Hold) == []
    relays.is_ready(A)
    assert relays.asked == [("demo", A, 8000, 0), ("demo", A, 8000, 16000)]
    assert [hold.urls for hold in sent(wire, esl.Hold)] == [[link(A), link(A)]]


def test_a_member_whose_music_cannot_be_had_is_not_put_on_hold(world: World, node: DrivenNode, relays: Relays) -> None:
    session = world.joined(world.create("talk"))
    wire = node.up(call(1), members=[conference(world.session(session)["room_id"], 1)])
    world.set_flag(session, HOLD, True, url=A)
    world.webhooks()
    take(world, node)
    relays.has_failed(A, "not_audio")
    assert sent(wire, esl.Hold) == []
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"]) == ("conference.command.failed", "hold", "not_audio")


@pytest.fixture
def beeping(world: World, node: DrivenNode) -> tuple[str, Wire]:
    """A room with the beep A, and one who has just joined."""
    room = world.create("talk")
    world.ask("change_room", room_id=room, options={"beep_enter": A})
    world.joined(room)
    wire = node.up(call(1), members=[conference(room, 1)])
    world.webhooks()
    take(world, node)
    return room, wire


def test_a_beep_is_sent_once_all_of_its_file_is_ready(relays: Relays, beeping: tuple[str, Wire]) -> None:
    room, wire = beeping
    assert sent(wire, esl.Beep) == []
    relays.rest, relays.details = 16000, {"seconds": 10.0}
    relays.is_ready(A)
    assert relays.asked == [("demo", A, 8000, 0), ("demo", A, 8000, 16000)]
    assert wire.sent[-2:] == [esl.Beep(room, "enter", [link(A), link(A)]), esl.Prefetch(link(A))]


@pytest.mark.parametrize("reason", ["too_long", "not_found", "unplayable"])
def test_a_beep_that_cannot_be_heard_is_a_tone(
    world: World, node: DrivenNode, relays: Relays, beeping: tuple[str, Wire], reason: str
) -> None:
    room, wire = beeping
    if reason == "not_found":
        relays.has_failed(A, "not_found", 404)
    else:
        relays.details = {"seconds": 10.1} if reason == "too_long" else {}
        relays.is_ready(A)
    if reason == "unplayable":
        node.happened(result(job(world), f"-ERR (play) File: {link(A)} not found.\n"))
        assert relays.avoided
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"]) == ("conference.command.failed", "beep_enter", reason)
    take(world, node)
    assert sent(wire, esl.Beep)[-1] == esl.Beep(room, "enter", [])


def test_what_a_relay_has_done_is_in_the_event_log_without_the_link(
    world: World, room: str, node: DrivenNode, relays: Relays
) -> None:
    node.up()
    send(world, room, node, relays)
    log = [fields[b"e"].decode() for _, fields in world.store.read(keys.key(world.tag, "log"))]
    (line,) = [line for line in log if '"audio"' in line]
    assert '"bytes":16044' in line
    assert "signature" not in "".join(log)


def test_without_relays_a_node_gets_the_url_itself(world: World, room: str, store: OpenStore) -> None:
    node = DrivenNode(store)
    wire = node.up()
    world.play(room, "http://media.example/a b.wav")
    take(world, node)
    assert [play.url for play in sent(wire, esl.Play)] == ["http://media.example/a%20b.wav"]
    playing = "media.example/a%20b.wav"
    node.happened(result(job(world), "+OK (play) Playing file"))
    assert world.tell("playback_lost", room_id=room, playing=playing, resynced=True) == {"goes_on": True}


# To one session


def played(world: World, node: DrivenNode, response: str) -> None:
    """What the node says of the file that it was to play to a parked call."""
    node.happened(
        event(
            "CHANNEL_EXECUTE_COMPLETE",
            channel(1),
            Answer_State="answered",
            Application="playback",
            Application_Data=f"{{operation_id=op1,url_index=0}}{link(A)}",
            Application_Response=response,
        )
    )
    settle(world.store)


@pytest.fixture
def parked(world: World) -> str:
    session = world.park(1)
    world.webhooks()
    return session


def test_a_file_for_a_parked_call_is_sent_when_no_key_can_break_it_off(
    world: World, parked: str, node: DrivenNode, relays: Relays
) -> None:
    relays.rest, relays.rest_url = 16000, f"{link(A)}&rest"
    wire = node.up({**call(1), "application": "park"})
    world.play_to(parked, A)
    take(world, node)
    assert sent(wire, esl.PlayToChannel) == []
    relays.is_ready(A)
    assert wire.asked[-1] == esl.IgnoreKeys(channel(1))
    (told,) = sent(wire, esl.PlayToChannel)
    # All of a long file, as one: what follows is fetched while the first part plays.
    assert (told.channel, told.urls) == (channel(1), [link(A), link(A)])
    assert sent(wire, esl.Prefetch) == [esl.Prefetch(link(A))]
    node.happened(result(job(world), "+OK Message sent"))
    assert world.types() == ["session.play.started"]
    played(world, node, "FILE PLAYED")
    ((kind, data),) = world.webhooks()
    assert (kind, data["status"]) == ("session.play.finished", "completed")


def test_a_relay_that_a_node_does_not_reach_is_avoided_for_a_parked_call(
    world: World, parked: str, node: DrivenNode, relays: Relays
) -> None:
    wire = node.up({**call(1), "application": "park"})
    world.play_to(parked, A)
    for count in (1, 2, 3):
        take(world, node)
        relays.is_ready(A) if count == 1 else settle(world.store)
        assert len(sent(wire, esl.PlayToChannel)) == count
        node.happened(result(job(world), "+OK Message sent"))
        played(world, node, "FILE NOT FOUND")
        assert relays.avoided == [RELAY] * count
    assert world.webhooks()[-1][1]["results"] == [{"url": A, "status": "failed", "reason": "unplayable"}]


@pytest.mark.parametrize("is_sent", [True, False])
def test_which_relay_has_a_file_is_forgotten_with_the_call_or_the_play(
    world: World, parked: str, node: DrivenNode, relays: Relays, is_sent: bool
) -> None:
    wire = node.up({**call(1), "application": "park"})
    world.play_to(parked, A)
    take(world, node)
    if not is_sent:
        world.ask("stop_session_play", session_id=parked)
    relays.is_ready(A)
    assert len(sent(wire, esl.PlayToChannel)) == is_sent
    if is_sent:
        node.happened(event("CHANNEL_HANGUP_COMPLETE", channel(1), Hangup_Cause="NORMAL_CLEARING"))
    played(world, node, "FILE NOT FOUND")
    assert relays.avoided == []


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_was_played_to_a_call_while_the_link_was_lost(
    world: World, parked: str, node: DrivenNode, relays: Relays, goes_on: bool
) -> None:
    """`show channels` goes on to say that the call runs `playback`."""
    node.up({**call(1), "application": "park"})
    world.play_to(parked, A)
    take(world, node)
    relays.is_ready(A)
    node.happened(result(job(world), "+OK Message sent"))
    world.webhooks()
    node.link.down()
    data = f"{{operation_id=op1,url_index=0}}{link(A)}"
    wire = Wire({**call(1), "application": "playback", "application_data": data})
    wire.answers["IsPlaying"] = "+OK\n" if goes_on else "-ERR No file handle!\n"
    node.link.up(wire)
    told = world.webhooks()
    if goes_on:
        assert told == []
        played(world, node, "FILE PLAYED")
        assert world.webhooks()[0][1]["status"] == "completed"
    else:
        ((kind, data),) = told
        assert (kind, data["status"], data["resynced"]) == ("session.play.finished", "interrupted", True)
    # It is no intruder.
    assert sent(wire, esl.Hangup) == []
