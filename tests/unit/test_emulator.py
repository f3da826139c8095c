"""The emulator beyond the traces: what tests and the demo do to a node, and what clients may throw at it."""

import re
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

import gevent
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esl.connection import Connection
from esl.emulator import Channel, Clock, Emulator, HttpMedia, ManualClock, Sound, StaticMedia
from esl.emulator.media import extension, measure
from esl.emulator.wire import CommandReader, CommandTooLong, encode, split, split_params
from esl.guards import GUARDS

ALL = "event plain ALL"
SECOND = "http://media/second.wav"
SLOW = "http://media/slow.wav"
SOUNDS = {SECOND: Sound(1.0), SLOW: Sound(1.0, download_seconds=2.0)}


class Client:
    """An Event Socket client: frames are dicts of their head, with `body`; events are dicts of their headers."""

    def __init__(self, node: Emulator, login: bool = True) -> None:
        self.socket = socket.create_connection(node.address, timeout=30)
        self.data = b""
        self.events: list[dict[str, str]] = []
        assert self.frame()["Content-Type"] == "auth/request"
        if login:
            assert self.ask(f"auth {node.password}") == "+OK accepted"

    def frame(self) -> dict[str, str]:
        while b"\n\n" not in self.data:
            self._receive()
        head, _, self.data = self.data.partition(b"\n\n")
        frame = dict(line.split(": ", 1) for line in head.decode().split("\n"))
        size = int(frame.get("Content-Length", "0"))
        while len(self.data) < size:
            self._receive()
        frame["body"], self.data = self.data[:size].decode(), self.data[size:]
        return frame

    def _receive(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise EOFError
        self.data += data

    def reply(self) -> dict[str, str]:
        """The next frame that is no event; events are put aside."""
        while (frame := self.frame())["Content-Type"] == "text/event-plain":
            self.events.append(event(frame["body"]))
        return frame

    def ask(self, command: str) -> str:
        """Send a command; its Reply-Text, or the text of an `api` command."""
        self.socket.sendall(command.encode() + b"\n\n")
        frame = self.reply()
        return frame.get("Reply-Text", frame["body"])

    def api(self, command: str) -> str:
        return self.ask(f"api {command}")

    def seen(self) -> list[dict[str, str]]:
        """The events up to now."""
        self.api("echo .")
        events, self.events = self.events, []
        return events

    def told(self) -> list[str]:
        """The names of the events up to now; of conference events their Action."""
        return [said.get("Action", said["Event-Name"]) for said in self.seen()]


def event(text: str) -> dict[str, str]:
    head, _, body = text.partition("\n\n")
    return {**dict(line.split(": ", 1) for line in head.split("\n")), "body": body}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def node(clock: ManualClock) -> Iterator[Emulator]:
    emulator = Emulator(password="secret", clock=clock, media=StaticMedia(SOUNDS))
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def client(node: Emulator) -> Client:
    client = Client(node)
    assert client.ask(ALL) == "+OK event listener enabled plain"
    return client


@pytest.fixture
def enter(node: Emulator, clock: ManualClock) -> Callable[..., Channel]:
    """A call that has joined a room."""

    def enter(room: str = "room", flags: str = "") -> Channel:
        call = node.call(to="747713001", caller_id_number="527121102")
        node.execute("uuid_transfer", f"{call.uuid} 'conference:{room}@default{flags},park:' inline")
        clock.advance(0.05)
        assert call.conference == room
        return call

    return enter


# Connections


def test_before_login_nothing_else_is_understood(node: Emulator) -> None:
    client = Client(node, login=False)
    assert client.ask("api status") == "-ERR command not found"
    assert client.ask("auth secret") == "+OK accepted"


def test_a_wrong_password_ends_the_connection(node: Emulator) -> None:
    client = Client(node, login=False)
    assert client.ask("auth wrong") == "-ERR invalid"
    assert client.frame()["Content-Type"] == "text/disconnect-notice"
    with pytest.raises(EOFError):
        client.frame()


def test_connections_come_and_go(node: Emulator) -> None:
    first, second = Client(node), Client(node)
    assert len(node.connections) == 2
    first.ask("exit")
    second.socket.close()
    node.wait_for(lambda: not node.connections, timeout=30)


def test_dropped_connections_are_reset_and_the_calls_stay(node: Emulator, client: Client) -> None:
    call = node.call(to="1")
    node.drop_connections()
    with pytest.raises((EOFError, ConnectionResetError)):
        client.seen()
    assert node.channels == {call.uuid: call}
    assert Client(node).api("echo back") == "back"


def test_a_stopped_node_refuses_connections_and_remembers_its_calls(node: Emulator) -> None:
    call, address, process = node.call(to="1"), node.address, node.core_uuid
    node.stop()
    with pytest.raises(ConnectionRefusedError):
        Client(node)
    node.start()
    assert (node.address, node.core_uuid) == (address, process)
    assert Client(node).api(f"uuid_exists {call.uuid}") == "true"


def test_a_restarted_node_is_another_process_at_the_same_port(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    enter()
    client.ask(f"bgapi conference room play {SLOW}")
    address, process = node.address, node.core_uuid

    node.restart()
    after = Client(node)
    after.ask(ALL)
    clock.advance(10)

    assert node.address == address
    assert node.core_uuid != process
    assert (node.channels, node.conferences) == ({}, {})
    assert after.told() == [], "nothing of the earlier process is heard of"
    assert after.api("global_getvar core_uuid") == node.core_uuid
    assert enter().member_id == 1


def test_a_silent_node_does_what_it_is_told_and_says_so_later(node: Emulator) -> None:
    client = Client(node)
    call = node.call(to="1")
    node.silence()
    client.socket.sendall(f"api uuid_setvar {call.uuid} told yes\n\n".encode())
    client.socket.settimeout(0.05)
    with pytest.raises(TimeoutError):
        client.frame()
    with gevent.Timeout(30):
        while call.variables.get("told") != "yes":
            gevent.sleep(0.01)

    node.silence(False)
    client.socket.settimeout(30)
    assert client.frame()["body"] == "+OK\n"


def test_new_connections_to_a_silent_node_hear_nothing(node: Emulator) -> None:
    node.silence()
    with socket.create_connection(node.address, timeout=0.05) as connection, pytest.raises(TimeoutError):
        connection.recv(100)
    node.wait_for(lambda: not node.connections, timeout=30)


def test_waiting_for_what_does_not_come_ends(node: Emulator) -> None:
    with pytest.raises(TimeoutError):
        node.wait_for(lambda: node.channels, timeout=0.01)


# Subscriptions


def test_a_listener_hears_what_it_subscribed_to(node: Emulator) -> None:
    client = Client(node)
    client.ask("event plain CHANNEL_PARK BACKGROUND_JOB")
    node.call(to="1")
    assert client.told() == ["CHANNEL_PARK"]
    client.ask("event plain CHANNEL_CREATE")
    node.call(to="1")
    assert client.told() == ["CHANNEL_CREATE", "CHANNEL_PARK"]
    assert client.ask("nixevent CHANNEL_CREATE") == "+OK events nixed"
    node.call(to="1")
    assert client.told() == ["CHANNEL_PARK"]
    assert client.ask("noevents") == "+OK no longer listening for events"
    node.call(to="1")
    assert client.told() == []


def test_conference_events_need_their_subclass(node: Emulator, enter: Callable[..., Channel]) -> None:
    deaf, listening = Client(node), Client(node)
    deaf.ask("event plain CUSTOM other::events")
    listening.ask("event plain CUSTOM conference::maintenance")
    enter()
    assert deaf.told() == []
    assert listening.told()[:2] == ["conference-create", "add-member"]


def test_a_subscription_to_nothing_known_is_refused(client: Client) -> None:
    assert client.ask("event plain NO_SUCH_EVENT") == "-ERR no keywords supplied"
    assert client.ask("event json ALL") == "-ERR json is not emulated"


def test_filters_are_alternatives_and_each_listener_has_its_own(node: Emulator, client: Client) -> None:
    other = Client(node)
    other.ask(ALL)
    assert client.ask("filter Event-Name CHANNEL_PARK") == "+OK filter added. [Event-Name]=[CHANNEL_PARK]"
    client.ask("filter Event-Name channel_answer")
    node.call(to="1")
    assert client.told() == ["CHANNEL_ANSWER", "CHANNEL_PARK"]
    assert other.told() == ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_PARK"]


@pytest.mark.parametrize(
    ("filters", "told"),
    [
        (["filter Event-Name /^CHANNEL_[AP]/"], ["CHANNEL_ANSWER", "CHANNEL_PARK"]),
        (
            ["filter Caller-Destination-Number 1", "filter Event-Name -CHANNEL_PARK"],
            ["CHANNEL_CREATE", "CHANNEL_ANSWER"],
        ),
        (["filter No-Such-Header 1"], []),
        (
            ["filter No-Such-Header 1", "filter delete No-Such-Header"],
            ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_PARK"],
        ),
        (["filter Event-Name a", "filter Event-Name CHANNEL_PARK", "filter delete Event-Name a"], ["CHANNEL_PARK"]),
        (["filter A b", "filter C d", "filter delete all"], ["CHANNEL_CREATE", "CHANNEL_ANSWER", "CHANNEL_PARK"]),
        (["filter Event-Name /(/"], []),
    ],
)
def test_filters(node: Emulator, client: Client, filters: list[str], told: list[str]) -> None:
    for line in filters:
        assert client.ask(line).startswith("+OK filter")
    node.call(to="1")
    assert client.told() == told


def test_a_filter_without_a_value_is_refused(client: Client) -> None:
    assert client.ask("filter Event-Name") == "-ERR invalid syntax"


def test_every_event_has_a_higher_number_than_the_one_before(node: Emulator, client: Client) -> None:
    for _ in range(3):
        node.call(to="1").hangup()
    numbers = [int(said["Event-Sequence"]) for said in client.seen()]
    assert len(numbers) == 18
    assert numbers == sorted(set(numbers))


def test_a_sent_event_reaches_the_listeners(node: Emulator, client: Client) -> None:
    sender = Client(node)
    body = "hello\n\nworld"
    assert sender.ask(
        f"sendevent CUSTOM\nEvent-Subclass: my::own\nX-Mine: a b\nContent-Length: {len(body)}\n\n{body}"
    ).startswith("+OK")
    (said,) = client.seen()
    assert (said["Event-Subclass"], said["X-Mine"], said["body"]) == ("my%3A%3Aown", "a%20b", body)


def test_a_listener_that_does_not_keep_up_is_cut_off(node: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esl.emulator.server.MAX_WAITING", 6)
    monkeypatch.setattr("esl.emulator.server.MAX_LOST", 2)
    client = Client(node)
    client.ask(ALL)
    (session,) = node.connections
    node.silence()
    node.call(to="1")
    node.call(to="1")
    assert session.lost == 0
    node.call(to="1")
    node.wait_for(lambda: not node.connections, timeout=30)


# Jobs


def test_a_job_may_be_given_its_id(node: Emulator) -> None:
    asker, listener = Client(node), Client(node)
    for client in (asker, listener):
        client.ask("event plain BACKGROUND_JOB")
    asker.socket.sendall(b"bgapi echo hello\nJob-UUID: chosen\n\n")
    assert asker.reply()["Job-UUID"] == "chosen"
    for client in (asker, listener):
        (job,) = client.seen()
        assert (job["Job-UUID"], job["Job-Command"], job["body"]) == ("chosen", "echo", "hello")


def test_a_job_that_takes_its_time_holds_nothing_up(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    enter()
    client.seen()
    client.ask(f"bgapi conference room play {SLOW}")
    client.ask(f"bgapi conference room play {SECOND}")
    clock.advance(0.01)
    assert client.told() == ["play-file", "BACKGROUND_JOB"], "the slow one is still being fetched"
    clock.advance(2)
    assert [file.url for file in node.conferences["room"].queue] == [SLOW], "the quick one has played to its end"
    assert client.told() == ["play-file-done", "play-file", "BACKGROUND_JOB"]


def test_a_file_fetched_for_a_room_that_is_gone_is_never_played(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    call = enter()
    client.ask(f"bgapi conference room play {SLOW}")
    call.hangup()
    clock.advance(1)
    assert "room" not in node.conferences
    assert "conference-destroy" not in client.told(), "a room's end waits for the commands that use it"
    clock.advance(5)
    assert client.told() == ["play-file", "conference-destroy", "BACKGROUND_JOB"]


# Calls


def test_a_call_tells_who_calls_whom(node: Emulator, client: Client) -> None:
    call = node.call(to="747713001", caller_id_number="527121102", caller_id_name="Alice", headers={"X-Foo": "bar"})
    said = client.seen()[-1]
    assert said["Event-Name"] == "CHANNEL_PARK"
    assert said["Unique-ID"] == call.uuid
    assert said["Caller-Destination-Number"] == "747713001"
    assert said["Caller-Caller-ID-Number"] == "527121102"
    assert said["Caller-Caller-ID-Name"] == "Alice"
    assert said["variable_sip_h_X-Foo"] == "bar"
    assert (call.state, call.conference, call.hangup_cause) == ("parked", None, None)


def test_a_caller_hangs_up(node: Emulator, client: Client) -> None:
    call = node.call(to="1")
    client.seen()
    call.hangup("USER_BUSY")
    assert client.told() == ["CHANNEL_UNPARK", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"]
    assert (call.state, call.hangup_cause, node.channels) == ("gone", "USER_BUSY", {})
    call.hangup()
    assert client.told() == [], "nobody hangs up twice"


@pytest.mark.parametrize(
    ("given", "cause"), [("", "NORMAL_CLEARING"), (" CALL_REJECTED", "CALL_REJECTED"), (" X", "NORMAL_CLEARING")]
)
def test_a_call_is_killed(node: Emulator, clock: ManualClock, client: Client, given: str, cause: str) -> None:
    call = node.call(to="1")
    assert client.api(f"uuid_kill {call.uuid}{given}") == "+OK\n"
    assert call.state == "parked", "it takes a frame"
    clock.advance(0.05)
    assert call.hangup_cause == cause
    assert client.api(f"uuid_kill {call.uuid}") == "-ERR No such channel!\n"


def test_a_call_hangs_up_inside_a_room(clock: ManualClock, client: Client, enter: Callable[..., Channel]) -> None:
    first, second = enter(), enter()
    client.seen()
    second.hangup()
    clock.advance(0.1)
    assert client.told() == ["del-member", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"]
    first.hangup()
    clock.advance(0.1)
    assert client.told() == [
        "floor-change",
        "del-member",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_DESTROY",
        "conference-destroy",
    ]


def test_a_call_moves_from_room_to_room_and_keeps_its_member_id(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    call = enter("one")
    client.seen()
    client.api(f"uuid_transfer {call.uuid} 'conference:two@default,park:' inline")
    clock.advance(0.03)
    assert call.conference == "two"
    assert client.told()[:3] == ["floor-change", "del-member", "conference-create"]
    assert list(node.conferences["two"].members) == [1]


@pytest.mark.parametrize(
    ("inline", "state"),
    [
        ("conference:r@default+flags{mute},park:", "muted"),
        ("conference:r@default+flags{deaf|mute},park:", "muted"),
        ("conference:r,park:", "conference"),
        ("m:;:conference:r@default;park:", "conference"),
        ("set:a=b,park:", "parked"),
        ("hangup:USER_BUSY", "USER_BUSY"),
        ("no_such_application:", "DESTINATION_OUT_OF_ORDER"),
        ("answer:", "NORMAL_CLEARING"),
    ],
)
def test_inline_dialplans(node: Emulator, clock: ManualClock, inline: str, state: str) -> None:
    call = node.call(to="1")
    node.execute("uuid_transfer", f"{call.uuid} '{inline}' inline")
    clock.advance(0.05)
    muted = call.member is not None and call.member.muted
    assert state == (call.hangup_cause or ("muted" if muted else call.state))


def test_a_call_transferred_to_a_number_goes_through_the_dialplan(node: Emulator, clock: ManualClock) -> None:
    call = node.call(to="1")
    assert node.execute("uuid_transfer", f"{call.uuid} conf-room") == "+OK\n"
    clock.advance(0.05)
    assert call.conference == "room"


def test_an_unknown_profile_is_none(node: Emulator, clock: ManualClock) -> None:
    call = node.call(to="1")
    node.execute("uuid_transfer", f"{call.uuid} conference:room@nosuch inline")
    clock.advance(0.05)
    assert node.conferences["room"].profile == "none"


def test_a_locked_room_lets_nobody_in(node: Emulator, clock: ManualClock, enter: Callable[..., Channel]) -> None:
    enter()
    node.execute("conference", "room lock")
    call = node.call(to="1")
    node.execute("uuid_transfer", f"{call.uuid} 'conference:room@default,park:' inline")
    clock.advance(0.05)
    assert call.state == "parked"


# Rooms


def test_playing_into_a_room_that_does_not_exist(client: Client) -> None:
    assert client.api(f"conference nowhere play {SECOND}") == "-ERR Conference nowhere not found\n"


def test_a_file_ends_after_its_length(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    enter()
    client.api(f"conference room play {SECOND}")
    client.seen()
    clock.advance(0.98)
    assert client.told() == []
    clock.advance(0.04)
    assert client.told() == ["play-file-done"]
    assert node.conferences["room"].playing is None


def test_a_paused_file_takes_as_much_longer(clock: ManualClock, client: Client, enter: Callable[..., Channel]) -> None:
    enter()
    client.api(f"conference room play {SECOND}")
    clock.advance(0.5)
    assert client.api("conference room pause_play") == "+OK Pause\n"
    clock.advance(60)
    assert client.api("conference room pause_play") == "+OK Resume\n"
    client.seen()
    clock.advance(0.46)
    assert client.told() == []
    clock.advance(0.08)
    assert client.told() == ["play-file-done"]


def test_stopping_the_current_file_goes_on_to_the_next(
    node: Emulator, clock: ManualClock, client: Client, enter: Callable[..., Channel]
) -> None:
    enter()
    for index in (0, 1, 2):
        client.api(f"conference room play {{url_index={index}}}{SECOND}")
    assert client.api("conference room stop current") == "+OK Stopped 1 files.\n"
    clock.advance(0.03)
    assert [file.params for file in node.conferences["room"].queue] == [{"url_index": "1"}, {"url_index": "2"}]
    assert client.api("conference room stop last").startswith("stop <[current")


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("mute all", "+OK mute 2\n+OK mute 1\n"),
        ("mute last", "+OK mute 2\n"),
        ("mute 1 quiet", "+OK mute 1\n"),
        ("mute 3", "-ERR Non-Existant ID 3\n"),
        ("mute", "mute <[member_id|all]|last|non_moderator> [<quiet>]"),
        ("mute nobody", "mute <[member_id|all]|last|non_moderator> [<quiet>]"),
        ("volume_in 1 9", "+OK Volume IN 1 = 4\n"),
        ("volume_out 2", "+OK Volume OUT 2 = 0\n"),
        ("count", "2"),
        ("list count", "2"),
        ("get uuid", None),
        ("pause_play", ""),
        ("recording check", "-ERR Conference is not being recorded.\n"),
        ("recording pause /a", "+OK Pause recording file /a\n-ERR non-existant recording '/a'\n"),
        ("recording stop /a", "-ERR non-existant recording '/a'\n+OK Stopped recording 0 files\n"),
        ("recording", "recording [start|stop|check|pause|resume] [<filename>|all]"),
        ("bgdial", "-ERR Bad Args\n"),
    ],
)
def test_what_rooms_answer(node: Emulator, enter: Callable[..., Channel], command: str, answer: str | None) -> None:
    enter()
    enter()
    expected = node.conferences["room"].uuid if answer is None else answer
    assert node.execute("conference", f"room {command}") == expected


def test_all_rooms_are_listed(client: Client, enter: Callable[..., Channel]) -> None:
    assert client.api("conference list") == "+OK No active conferences.\n"
    enter("one")
    enter("two")
    listed = client.api("conference list")
    assert re.findall(r"Conference (\w+) \((\d+) member", listed) == [("one", "1"), ("two", "1")]
    assert client.api("conference json_list").count('"conference_name"') == 2
    assert client.api("conference one json_list compact").startswith('[{"conference_name":"one"')


def test_a_member_talks_and_stops(clock: ManualClock, client: Client, enter: Callable[..., Channel]) -> None:
    call = enter()
    client.seen()
    call.sound(True)
    clock.advance(0.1)
    assert client.told() == ["start-talking"]
    call.sound(False)
    clock.advance(1)
    assert client.told() == ["stop-talking"]


def test_a_bridge_leg_takes_both_calls_down(clock: ManualClock) -> None:
    near = Emulator(password="x", clock=clock, host="127.0.0.1", sip_port=5060)
    far = Emulator(password="x", clock=clock, host="127.0.0.1", sip_port=5062)
    try:
        near.start()
        far.start()
        near.execute("conference", "room bgdial sofia/internal/conf-room@127.0.0.1:5062 bridge bridge")
        clock.advance(0.1)
        (leg,), (landed,) = near.channels.values(), far.channels.values()
        assert (leg.conference, landed.conference) == ("room", "room")
        landed.end("NORMAL_CLEARING")
        assert (leg.state, landed.state) == ("gone", "gone")
    finally:
        near.stop()
        far.stop()


# Legs: what `freeswitch-conf/` makes of a call between nodes

LEG = "7d444840-9dc0-41d1-9245-5ffdce74fad1"


class Pair:
    """Two nodes, of which the second dials the first for the same room."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.source, self.second = (Emulator(password="x", clock=clock) for _ in range(2))
        for one in (self.source, self.second):
            one.start()

    def announce(self, leg: str = LEG, value: str = "room@default") -> None:
        assert self.source.execute("global_setvar", f"switchroom_leg_{leg}={value}") == "+OK"

    def dial(self, leg: str = LEG, target: str = "") -> str:
        """What the second node prints, and the members have joined."""
        given = f"{{origination_uuid={leg},media_timeout=3000,conference_join_energy_level=0}}"
        dialled = f"sofia/bridge/room@{target or self.source.bridge};transport=tcp"
        printed = gevent.spawn(self.second.execute, "originate", f"{given}{dialled} &conference(room@default)")
        self.clock.advance(0)  # lets it begin
        self.clock.advance(0.1)
        return str(printed.get(timeout=30))

    @property
    def states(self) -> list[str]:
        """Of the leg, on the source and on the second node."""
        return [one.channels[LEG].state if LEG in one.channels else "gone" for one in (self.source, self.second)]


@pytest.fixture
def pair(clock: ManualClock) -> Iterator[Pair]:
    made = Pair(clock)
    yield made
    made.source.stop()
    made.second.stop()


def test_an_announced_leg_is_a_member_on_both_nodes_under_one_uuid(pair: Pair) -> None:
    pair.announce()
    assert pair.dial() == f"+OK {LEG}\n"
    assert pair.states == ["conference", "conference"]
    for one in (pair.source, pair.second):
        call = one.channels[LEG]
        assert (call.name.startswith("sofia/bridge/"), call.conference) == (True, "room")
        assert '"energy":\t0' in one.execute("conference", "room json_list")
    assert pair.source.execute("global_getvar", f"switchroom_leg_{LEG}") == ""


@pytest.mark.parametrize("value", ["", "room", "room@", "@default", "a b@default", "room@default+flags{moderator}"])
def test_a_leg_that_is_not_announced_as_it_should_be_is_refused(pair: Pair, value: str) -> None:
    pair.announce(value=value)
    assert pair.dial() == "-ERR NO_ROUTE_DESTINATION\n"
    assert pair.states == ["gone", "gone"]


def test_an_announcement_serves_once(pair: Pair) -> None:
    pair.announce()
    pair.dial()
    assert pair.dial() == "-ERR DESTINATION_OUT_OF_ORDER\n", "while it is up"
    pair.second.execute("uuid_kill", LEG)
    pair.clock.advance(0.1)
    assert pair.states == ["gone", "gone"]
    assert pair.dial() == "-ERR NO_ROUTE_DESTINATION\n"


def test_nobody_is_there(pair: Pair) -> None:
    pair.announce()
    assert pair.dial(target="127.0.0.1:9") == "-ERR NORMAL_TEMPORARY_FAILURE\n"
    pair.source.stop()
    assert pair.dial() == "-ERR NORMAL_TEMPORARY_FAILURE\n"


def test_whoever_empties_the_room_ends_the_leg(pair: Pair) -> None:
    pair.announce()
    pair.dial()
    pair.source.execute("conference", "room kick all")
    pair.clock.advance(0.2)
    assert pair.states == ["gone", "gone"]
    assert pair.source.conferences == pair.second.conferences == {}


@pytest.mark.parametrize("gone", ["source", "second"])
def test_a_leg_ends_when_the_other_node_has_been_gone_for_three_seconds(pair: Pair, gone: str) -> None:
    pair.announce()
    pair.dial()
    lost, left = (pair.source, pair.second) if gone == "source" else (pair.second, pair.source)
    lost.restart()
    pair.clock.advance(2.9)
    assert left.channels[LEG].state == "conference"
    assert lost.channels == {}
    pair.clock.advance(0.2)
    assert left.channels == {}
    assert left.conferences == {}


def test_a_leg_lives_through_a_short_cut_and_ends_on_both_nodes_in_a_long_one(pair: Pair) -> None:
    pair.announce()
    pair.dial()
    for seconds, state in ((1, "conference"), (4, "gone")):
        pair.source.refuse_calls()
        pair.clock.advance(seconds)
        pair.source.accept_calls()
        pair.clock.advance(4)
        assert pair.states == [state, state]


def test_a_node_forgets_its_announcements_when_it_starts_anew(pair: Pair) -> None:
    pair.announce()
    pair.source.restart()
    assert pair.dial() == "-ERR NO_ROUTE_DESTINATION\n"


# The node's own commands


def test_modules_can_be_taken_away(node: Emulator, client: Client) -> None:
    assert client.api("module_exists mod_http_cache") == "true"
    assert '"name":"http"' in client.api("show file as json")
    node.modules.discard("mod_http_cache")
    assert client.api("module_exists mod_http_cache") == "false"
    assert '"name":"http"' not in client.api("show file as json")


def test_calls_are_listed_a_while_later(node: Emulator, clock: ManualClock, client: Client) -> None:
    call = node.call(to="747713001")
    assert client.api("show channels as json") == '{"row_count": 0}\n'
    clock.advance(0.2)
    assert f'"uuid":"{call.uuid}"' in client.api("show channels as json")
    assert client.api("show calls count") == "\n1 total.\n"
    client.api(f"uuid_transfer {call.uuid} 'conference:room@default,park:' inline")
    clock.advance(0.2)
    assert '"dest":"conference:room@default,park:","application":"conference"' in client.api("show channels as json")
    assert '"initial_dest":"747713001"' in client.api("show channels as json")
    call.hangup()
    clock.advance(0.2)
    assert client.api("show channels") == "\n0 total.\n"


def test_variables_of_a_call(node: Emulator, client: Client) -> None:
    call = node.call(to="1")
    assert client.api(f"uuid_getvar {call.uuid} mine") == "_undef_"
    assert client.api(f"uuid_setvar {call.uuid} mine 'a b'") == "+OK\n"
    assert client.api(f"uuid_getvar {call.uuid} mine") == "a b"
    assert "variable_mine: a b\n" in client.api(f"uuid_dump {call.uuid}")
    client.api(f"uuid_setvar {call.uuid} mine")
    assert client.api(f"uuid_getvar {call.uuid} mine") == "_undef_"


@pytest.mark.parametrize(
    ("command", "pattern"),
    [
        ("hostname", "emulator"),
        ("version", "FreeSWITCH Version 1.11.1-release.*\n"),
        ("uptime", r"0\n"),
        ("strepoch", "1700000000"),
        ("create_uuid", r"[0-9a-f-]{36}"),
        ("status", r"UP 0 years,(?s:.*)"),
        ("http_get", r"USAGE: \{param=val\}<url>\n"),
        (f"http_get {{refresh=true}}{SECOND}", r"/\S+/[0-9a-f]{2}/[0-9a-f-]{34}\.wav"),
        (f"http_get {SECOND}.missing", "-ERR http_get Command not found!\n"),
        ("show nothing", "-USAGE: .*\n"),
        ("uuid_transfer x", "-USAGE: .*\n"),
        ("uuid_dump x", "-ERR No such channel!\n"),
        ("originate user/1 &park()", "-ERR CHAN_NOT_IMPLEMENTED\n"),
        ("no_such_command", "-ERR no_such_command Command not found!\n"),
    ],
)
def test_commands_of_the_node(client: Client, command: str, pattern: str) -> None:
    assert re.fullmatch(pattern, client.api(command))


def test_global_variables_guard_calls_as_a_node_is_checked_for(node: Emulator) -> None:
    assert node.variables == GUARDS


# Events that wait until the node looks for them


def test_an_empty_line_has_the_node_look(node: Emulator, client: Client) -> None:
    node.looks_every = 3600.0
    call = node.call(to="747713001", caller_id_number="527121102")
    client.socket.sendall(b"\n")
    assert event(client.frame()["body"])["Unique-ID"] == call.uuid


def test_in_time_the_node_looks_by_itself(node: Emulator, client: Client) -> None:
    node.looks_every = 0.001
    call = node.call(to="747713001", caller_id_number="527121102")
    assert event(client.frame()["body"])["Unique-ID"] == call.uuid


def test_a_result_does_not_wait_for_that(node: Emulator) -> None:
    node.looks_every = 3600.0
    connection = Connection(*node.address, node.password, on_event=id)
    connection.connect()
    connection.send("event plain BACKGROUND_JOB")
    assert connection.bgapi("uuid_exists x").result(30) == "false"
    connection.close()


# Bytes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=8))
def test_no_bytes_harm_the_node(pieces: list[bytes]) -> None:
    emulator = Emulator(password="secret", clock=ManualClock(), media=StaticMedia({}))
    emulator.start()
    try:
        client = Client(emulator)
        client.socket.sendall(b"\n\n".join(pieces))
        client.socket.close()
        emulator.wait_for(lambda: not emulator.connections, timeout=30)
        assert Client(emulator).api("echo alive") == "alive"
    finally:
        emulator.stop()


COMMANDS = """conference uuid_transfer uuid_kill uuid_setvar uuid_getvar uuid_dump originate show xml_locate uptime
    global_getvar"""
WORDS = """room play stop mute kick hup hold volume_in file-vol recording start all last list json_list bgdial 0 1 -1
    99999999999999999999 ² {a=1 {vol=²}x 'conference:room,park:' inline &park( loopback/1 as json % sofia/a/b@c:99999"""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(COMMANDS.split()),
            st.lists(st.one_of(st.sampled_from(WORDS.split()), st.text(max_size=8)), max_size=6),
        ),
        max_size=8,
    )
)
def test_no_command_harms_the_node(commands: list[tuple[str, list[str]]]) -> None:
    clock = ManualClock()
    emulator = Emulator(password="secret", clock=clock, media=StaticMedia({}))
    for _ in range(2):
        call = emulator.call(to="conf-room")
        clock.advance(0.05)
    for command, words in commands:
        said = emulator.execute(command, " ".join([call.uuid if word == "1" else word for word in words]))
        assert isinstance(said, str)
        clock.advance(0.1)


def test_a_command_without_end_is_cut_off() -> None:
    with pytest.raises(CommandTooLong):
        list(CommandReader().feed(b"a" * 5_000_000))


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_commands_are_cut_whatever_the_pieces(size: int) -> None:
    text = b"api a\n\nsendevent X\r\nA: b\r\nContent-Length: 5\r\n\r\n12\n\n3\n\nbgapi c\nJob-UUID: d\n\n"
    reader = CommandReader()
    commands = [found for at in range(0, len(text), size) for found in reader.feed(text[at : at + size])]
    assert [command.line for command in commands] == ["api a", "sendevent X", "bgapi c"]
    assert commands[1].body == "12\n\n3"
    assert commands[2].get("job-uuid") == "d"


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("a b", "a%20b"),
        ("Zoë", "Zo%C3%AB"),
        ("x,y/z'()~!*", "x,y/z'()~!*"),
        ("a%0Ab", "a%0Ab"),
        ("a%0ab%", "a%250ab%25"),
        ("a\nb", "a%0Ab"),
        ("\udcff", "%FF"),
    ],
)
def test_header_values_are_escaped_as_the_node_does(value: str, encoded: str) -> None:
    assert encode(value) == encoded


@pytest.mark.parametrize(
    ("text", "delimiter", "parts"),
    [
        ("a 'b c' d", " ", ["a", "b c", "d"]),
        ("  a   b ", " ", ["a", "b"]),
        ("it's", " ", ["it's"]),
        (r"a\ b", " ", ["a b"]),
        ("conference:a@b+flags{mute},park:", ",", ["conference:a@b+flags{mute}", "park:"]),
        ("a:'x,y',b:", ",", ["a:x,y", "b:"]),
        ("", " ", []),
    ],
)
def test_arguments_are_split_as_the_node_does(text: str, delimiter: str, parts: list[str]) -> None:
    assert split(text, delimiter) == parts


def test_parameters_before_a_file() -> None:
    assert split_params("{a=1,b='2,3'}http://x/{y}") == ({"a": "1", "b": "2,3"}, "http://x/{y}")
    assert split_params("http://x") == ({}, "http://x")


# Time


def test_a_faster_clock_passes_more_time() -> None:
    clock, woken = Clock(speed=1000), threading.Event()
    start = clock.now()
    clock.call_later(5, woken.set)
    assert woken.wait(30)
    clock.sleep(1)
    assert clock.now() - start >= 6


def test_a_manual_clock_runs_what_is_due_in_order() -> None:
    clock, ran = ManualClock(start=100.0), []
    clock.call_later(2, lambda: ran.append(("second", clock.now())))
    clock.call_later(
        1, lambda: (ran.append(("first", clock.now())), clock.call_later(1, lambda: ran.append(("third", 0))))
    )
    clock.call_later(1, lambda: ran.append(("never", 0))).cancel()
    clock.advance(1.5)
    assert ran == [("first", 101.0)]
    clock.advance(1)
    assert ran[1:] == [("second", 102.0), ("third", 0)]


# By hand


def test_nodes_run_by_hand() -> None:
    nodes = ["--port", "0", "--port", "0", "--password", "p", "--call", "747713001:527121102"]
    command = [sys.executable, "-m", "esl.emulator", *nodes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [re.fullmatch(r"Event Socket on .*:(\d+), legs at (.*)\n", process.stdout.readline()) for _ in range(2)]
        ports, bridges = zip(*(one.groups() for one in said if one), strict=True)
        assert len(set(bridges)) == 2
        assert process.stdout.readline().endswith(" from 527121102 to 747713001\n")
        for port in ports:
            with socket.create_connection(("127.0.0.1", int(port)), timeout=30) as connection:
                assert connection.recv(100) == b"Content-Type: auth/request\n\n"
        process.terminate()
        assert process.wait(40) == 0


# Media


def wav(seconds: float, rate: int = 8000) -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        sound.writeframes(bytes(round(seconds * rate) * 2))
    return file.getvalue()


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """A web server with `/a.wav` and `/a.txt`, and the list of what it was asked."""
    asked: list[str] = []

    files = {"/a.wav": wav(1.5), "/a.txt": b"no sound"}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.command} {self.path}")
            data = files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data or b"")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_url_is_fetched_once(web: tuple[str, list[str]]) -> None:
    url, asked = web
    media = HttpMedia()
    assert media.fetch(f"{url}/a.wav") == Sound(1.5)
    assert media.fetch(f"{url}/a.wav") == Sound(1.5)
    assert asked == ["GET /a.wav"]


@pytest.mark.parametrize("path", ["/missing.wav", "/a.txt"])
def test_what_cannot_be_played_is_none(web: tuple[str, list[str]], path: str) -> None:
    assert HttpMedia().fetch(web[0] + path) is None


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/a.wav", "ftp://x/a.wav", "/no/such/file.wav", "nofile", "http://[", ""]
)
def test_what_cannot_be_fetched_is_none(url: str) -> None:
    assert HttpMedia(timeout=1).fetch(url) is None


def test_too_large_a_file_is_not_played(web: tuple[str, list[str]]) -> None:
    assert HttpMedia(max_bytes=100).fetch(f"{web[0]}/a.wav") is None


def test_a_real_url_is_played_into_a_room(web: tuple[str, list[str]], clock: ManualClock) -> None:
    emulator = Emulator(password="x", clock=clock)
    call = emulator.call(to="conf-room")
    clock.advance(0.05)
    said = emulator.execute("conference", f"room play {web[0]}/a.wav")
    assert said == f"+OK (play) Playing file {web[0]}/a.wav\n"
    assert emulator.conferences[call.conference or ""].queue[0].sound.duration == 1.5


def test_sounds_are_measured() -> None:
    assert measure(wav(2, 16000)) == Sound(2.0, rate=16000)
    assert measure(b"RIFF\0\0\0\0WAVEfmt ") is None
    assert measure(b"\xff\xfb\x90\x00" + bytes(15996)) == Sound(1.0, rate=44100), "128 kbit/s"
    assert measure(b"ID3" + bytes(15997)) == Sound(1.0, rate=44100), "assumed"
    assert measure(b"") is None


@pytest.mark.parametrize(
    ("header", "kbits", "rate"),
    [(b"\xff\xfb\x94", 128, 48000), (b"\xff\xf3\x38", 24, 16000), (b"\xff\xe3\x18", 8, 8000)],
)
def test_an_mp3_of_any_rate_is_measured(header: bytes, kbits: int, rate: int) -> None:
    assert measure(header + bytes(kbits * 250 - 3)) == Sound(2.0, rate=rate)


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://h/a.wav", "wav"),
        ("http://h/a.WAV", "WAV"),
        ("http://h/a.wav?x=1", "wav"),
        ("http://h/a.wav?x=1.5", "5"),
        ("http://h/a.wav?x=1.5#.wav", "wav"),
        ("http://h/a.wav?x=b/c", ""),
        ("http://h/a.wav?x=1.5#/", ""),
        ("http://h.example/a", ""),
    ],
)
def test_a_sound_is_taken_for_what_stands_behind_the_last_dot(url: str, found: str) -> None:
    assert extension(url) == found


@pytest.mark.parametrize(("url", "seconds"), [("silence_stream://2500", 2.5), ("tone_stream://%(250,0,440)", 0.25)])
def test_generated_sounds(url: str, seconds: float) -> None:
    assert StaticMedia({}).fetch(url) == Sound(seconds)
