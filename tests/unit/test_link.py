import logging
import time
from dataclasses import dataclass, field

import gevent
import pytest
from gevent.event import Event as Flag
from gevent.queue import Queue

from esl.connection import Connection
from esl.errors import ConnectionLost
from esl.event import Event
from esl.link import Backoff, Link, Subscription
from tests.unit.fakenode import LIMIT, PASSWORD, FakeNode, Peer, event, wait

QUICK = Backoff(0.001, 0.002)
FOREVER = 3600.0
SUBSCRIPTION = Subscription(
    events=("CHANNEL_PARK", "BACKGROUND_JOB"),
    subclasses=("conference::maintenance", "sofia::register"),
    filters=(("Event-Name", "BACKGROUND_JOB"), ("Action", "/-member$/")),
)


class Owner:
    """A link's owner that keeps what it is told, in order."""

    def __init__(self, node, **options):
        self.told = Queue()
        self.on_up = lambda connection: connection.api("status")
        self.on_events = lambda events: None
        self.on_down = lambda reason: None
        options = {
            "password": PASSWORD,
            "subscription": SUBSCRIPTION,
            "backoff": QUICK,
            "ping_interval": FOREVER,
        } | options
        self.link = Link(
            name="acW68",
            host=node.host,
            port=node.port,
            on_up=self._up,
            on_events=self._events,
            on_down=self._down,
            **options,
        )

    def __enter__(self):
        self.link.start()
        return self

    def __exit__(self, *_):
        self.link.stop()

    def _up(self, connection: Connection):
        self.told.put(("up", self.link.state))
        self.on_up(connection)

    def _events(self, events: list[Event]):
        self.told.put(("events", [event["Number"] for event in events]))
        self.on_events(events)

    def _down(self, reason: str):
        self.told.put(("down", reason))
        self.on_down(reason)

    def next(self):
        return self.told.get(timeout=LIMIT)

    def rest(self):
        return [self.told.get() for _ in range(self.told.qsize())]


def numbered(*numbers: int) -> bytes:
    return b"".join(event("CUSTOM", Number=str(number)) for number in numbers)


def subscribed(peer: Peer) -> None:
    peer.greet()
    peer.subscribe()


def ready(peer: Peer) -> None:
    """Up to the end of on_up."""
    subscribed(peer)
    peer.expect("api status")
    peer.respond("UP 0 years")


def served(peer: Peer) -> None:
    subscribed(peer)
    peer.serve()


def test_up_with_the_subscription():
    asked = []

    def node(peer):
        peer.greet()
        asked.extend(peer.subscribe())
        peer.serve()

    with FakeNode(node) as fake, Owner(fake) as owner:
        link = owner.link
        assert link.wait_up(LIMIT)
        assert owner.next() == ("up", "syncing")
        assert (link.state, link.is_up, link.last_error) == ("up", True, "")
        assert link.connection is not None
        assert link.connection.api("status") == "+OK\n"
        assert asked == [
            "filter Event-Name BACKGROUND_JOB",
            "filter Action /-member$/",
            "event plain CHANNEL_PARK BACKGROUND_JOB CUSTOM conference::maintenance sofia::register",
        ]
        link.stop()
        assert (link.state, link.is_up, link.connection) == ("down", False, None)
        assert owner.rest() == [("down", "stopped")]


def test_a_subscription_without_custom_events_and_filters():
    assert Subscription(events=("CHANNEL_PARK", "BACKGROUND_JOB")).commands() == [
        "event plain CHANNEL_PARK BACKGROUND_JOB"
    ]


def test_events_wait_for_on_up_and_keep_their_order():
    def node(peer):
        subscribed(peer)
        peer.send(numbered(1, 2, 3))
        peer.expect("api conference json_list")
        peer.send(numbered(4))
        peer.respond("[]")
        peer.send(numbered(5))
        peer.hold()

    with FakeNode(node) as fake:
        owner = Owner(fake, batch=2)

        def sync(connection):
            assert owner.link.connection is connection
            assert not owner.link.is_up
            assert connection.api("conference json_list") == "[]"
            assert owner.rest() == []  # not an event yet

        owner.on_up = sync
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("events", ["1", "2"])
            assert owner.next() == ("events", ["3", "4"])
            assert owner.next() == ("events", ["5"])


def test_the_node_goes_and_comes():
    def node(peer):
        ready(peer)
        peer.send(numbered(fake.connections))

    with FakeNode(node) as fake, Owner(fake) as owner:
        for number in ("1", "2", "3"):
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("events", [number])
            assert owner.next() == ("down", "the node closed the connection")


def test_what_came_before_the_end_is_delivered():
    let_go = Flag()

    def node(peer):
        ready(peer)
        peer.send(numbered(1, 2, 3))
        peer.send("Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye")

    with FakeNode(node) as fake:
        owner = Owner(fake, batch=1, backoff=Backoff(FOREVER, FOREVER))
        owner.on_events = lambda events: wait(let_go)
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("events", ["1"])
            while owner.link.connection is not None:
                gevent.sleep(0)
            assert owner.link.state == "down"  # known at once, though the handler is still at it
            let_go.set()
            assert [owner.next() for _ in range(3)] == [
                ("events", ["2"]),
                ("events", ["3"]),
                ("down", "the node disconnected"),
            ]


def test_a_silent_node():
    """Half open: nothing comes, nothing is answered, and TCP says nothing."""

    def node(peer):
        ready(peer)
        assert peer.command()[0] == "bgapi uptime"
        peer.hold()

    with FakeNode(node) as fake, Owner(fake, ping_interval=0.02, ping_timeout=0.05) as owner:
        assert owner.next() == ("up", "syncing")
        assert owner.next() == ("down", "no event came within 0.05 s of a ping")
        assert owner.next() == ("up", "syncing")


def test_a_node_that_answers_and_loses_events():
    """Its queue for this listener is full (facts: 100,000 events). What came before is delivered."""

    def node(peer):
        ready(peer)
        peer.send(numbered(1))
        peer.serve()

    with FakeNode(node) as fake, Owner(fake, ping_interval=0.02, ping_timeout=0.05) as owner:
        assert owner.next() == ("up", "syncing")
        assert owner.next() == ("events", ["1"])
        assert owner.next() == ("down", "no event came within 0.05 s of a ping")
        assert owner.next() == ("up", "syncing")


def test_a_node_that_answers_pings():
    pings = Queue()

    def node(peer):
        ready(peer)
        while True:
            line, job = peer.command()
            pings.put(line)
            peer.reply("+OK")
            peer.event("BACKGROUND_JOB", "3", Job_UUID=job.removeprefix("Job-UUID: "), Number="ping")

    with FakeNode(node) as fake, Owner(fake, ping_interval=0.01, ping_timeout=LIMIT) as owner:
        assert [pings.get(timeout=LIMIT) for _ in range(5)] == ["bgapi uptime"] * 5
        assert owner.link.is_up
        assert owner.next() == ("up", "syncing")
        assert {number for _, numbers in owner.rest() for number in numbers} == {"ping"}


def test_a_node_that_refuses_pings_lives():
    def node(peer):
        ready(peer)
        for _ in range(3):
            assert peer.command()[0] == "bgapi uptime"
            peer.reply("-ERR permission denied")
        peer.send(numbered(1))
        peer.hold()

    with FakeNode(node) as fake, Owner(fake, ping_interval=0.01, ping_timeout=LIMIT) as owner:
        assert owner.next() == ("up", "syncing")
        assert owner.next() == ("events", ["1"])


def test_a_wrong_password_is_said_once_and_tried_on(caplog):
    caplog.set_level(logging.DEBUG)
    right = Flag()

    def node(peer):
        if right.is_set():
            served(peer)
        peer.send("Content-Type: auth/request\n\n")
        peer.command()
        peer.reply("-ERR invalid")

    with FakeNode(node) as fake, Owner(fake) as owner:
        while fake.connections < 5:
            fake.connected.get(timeout=LIMIT)
        assert "refuses the password" in owner.link.last_error
        warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
        assert warnings == [f"node acW68: no link: 127.0.0.1:{fake.port} refuses the password"]
        right.set()
        assert owner.link.wait_up(LIMIT)
        assert owner.next() == ("up", "syncing")
        assert PASSWORD not in caplog.text + owner.link.last_error


def test_a_wrong_password_waits_the_longest():
    backoff = Hurried(0.5, 64.0)

    def node(peer):
        peer.send("Content-Type: auth/request\n\n")
        peer.command()
        peer.reply("-ERR invalid")

    began = time.monotonic()
    with FakeNode(node) as fake, Owner(fake, backoff=backoff, chance=lambda: 0.0):
        assert [seconds for _, seconds in backoff.first(3)] == [64.0, 64.0, 64.0]
        assert time.monotonic() - began > 2 * 0.060  # it does wait


def test_the_waits_double():
    backoff = Hurried(0.5, 10.0)
    with FakeNode(served) as fake:
        pass  # nobody listens any more
    with Owner(fake, backoff=backoff, chance=lambda: 0.5) as owner:
        assert [seconds for _, seconds in backoff.first(7)] == [0.375, 0.75, 1.5, 3.0, 6.0, 7.5, 7.5]
    assert "cannot connect" in owner.link.last_error


def test_the_waits_start_over_after_a_good_while():
    backoff = Hurried(0.5, 0.0)
    with FakeNode(ready) as fake, Owner(fake, backoff=backoff):  # up, and gone at once
        assert [attempt for attempt, _ in backoff.first(5)] == [0] * 5


@dataclass(frozen=True)
class Hurried(Backoff):
    """A thousandth of the delays, so milliseconds. Keeps what was asked for: the attempt, and the whole delay."""

    asked: Queue = field(default_factory=Queue)

    def delay(self, attempt, chance):
        seconds = super().delay(attempt, chance)
        self.asked.put((attempt, seconds))
        return seconds / 1000

    def first(self, count):
        return [self.asked.get(timeout=LIMIT) for _ in range(count)]


@pytest.mark.parametrize(("chance", "delays"), [(0.0, [1, 2, 4, 8, 10, 10]), (1.0, [0.5, 1, 2, 4, 5, 5])])
def test_backoff(chance, delays):
    backoff = Backoff(1.0, 10.0)
    assert [backoff.delay(attempt, chance) for attempt in range(6)] == delays
    assert backoff.delay(10**9, chance) == delays[-1]


def test_a_refused_subscription():
    def node(peer):
        peer.greet()
        peer.command()
        peer.reply("-ERR permission denied")
        peer.hold()

    with FakeNode(node) as fake, Owner(fake) as owner:
        while fake.connections < 3:
            fake.connected.get(timeout=LIMIT)
        assert "was refused: '-ERR permission denied'" in owner.link.last_error
        assert not owner.link.wait_up(0)
        assert owner.rest() == []


def test_a_node_that_goes_before_on_up():
    def node(peer):
        peer.greet()
        for _ in SUBSCRIPTION.commands()[1:]:
            peer.command()
            peer.reply("+OK")
        peer.command()
        # In one piece, so that both are there before the link takes its next step.
        peer.send("Content-Type: command/reply\nReply-Text: +OK\n\nContent-Type: text/disconnect-notice\n\n")

    with FakeNode(node) as fake, Owner(fake) as owner:
        while fake.connections < 3:
            fake.connected.get(timeout=LIMIT)
        assert owner.link.last_error == "the node disconnected"
        assert owner.rest() == []  # it never was up


def test_wait_up_waits_for_the_next_time():
    leave, again = Flag(), Flag()

    def node(peer):
        if fake.connections > 1:
            wait(again)
            served(peer)
        ready(peer)
        wait(leave)

    with FakeNode(node) as fake, Owner(fake) as owner:
        assert owner.link.wait_up(LIMIT)
        leave.set()
        assert owner.next() == ("up", "syncing")
        assert owner.next() == ("down", "the node closed the connection")
        waiting = gevent.spawn(owner.link.wait_up, LIMIT)
        gevent.sleep(0)
        again.set()
        assert waiting.get(timeout=LIMIT) is True


def test_too_many_events(caplog):
    let_go = Flag()

    def node(peer):
        subscribed(peer)
        peer.send(numbered(*range(10 + 1)))
        peer.hold()

    with FakeNode(node) as fake:
        owner = Owner(fake, max_queued=10, batch=1)
        owner.on_up = lambda connection: wait(let_go)
        with owner:
            assert owner.next() == ("up", "syncing")
            while owner.link.connection is not None:
                gevent.sleep(0)
            let_go.set()
            reason = "10 events wait already: they come faster than they are handled"
            assert owner.next() == ("down", reason)  # and none of the ten: the whole is compared anew
            assert owner.next() == ("up", "syncing")
            assert reason in caplog.text


def test_as_many_as_may_wait_do():
    def node(peer):
        subscribed(peer)
        peer.send(numbered(*range(10)))
        peer.expect("api status")
        peer.respond("fine")
        peer.hold()

    with FakeNode(node) as fake:
        owner = Owner(fake, max_queued=10)
        owner.on_up = lambda connection: connection.api("status")
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("events", [str(number) for number in range(10)])


def test_a_handler_that_raises(caplog):
    def fail(events):
        raise ValueError("its own")

    def node(peer):
        ready(peer)
        peer.send(numbered(fake.connections, 0))
        peer.hold()

    with FakeNode(node) as fake:
        owner = Owner(fake, batch=1)
        owner.on_events = fail
        with owner:
            for number in ("1", "2"):
                assert owner.next() == ("up", "syncing")
                assert owner.next() == ("events", [number])
                assert owner.next() == ("down", "a handler raised ValueError")
        assert "its own" in caplog.text


def test_an_on_up_that_raises(caplog):
    def fail(connection):
        raise ValueError("its own")

    with FakeNode(served) as fake:
        owner = Owner(fake)
        owner.on_up = fail
        with owner:
            for _ in range(2):
                assert owner.next() == ("up", "syncing")
                assert owner.next() == ("down", "a handler raised ValueError")
            assert not owner.link.is_up
        assert "its own" in caplog.text


def test_a_node_that_goes_during_on_up(caplog):
    def node(peer):
        subscribed(peer)
        peer.send(numbered(1))
        peer.command()

    with FakeNode(node) as fake:
        owner = Owner(fake, backoff=Backoff(FOREVER, FOREVER))
        owner.on_up = lambda connection: connection.api("conference json_list")
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("down", "the node closed the connection")
        assert "a handler failed" not in caplog.text
        assert owner.rest() == []


def test_an_on_down_that_raises(caplog):
    def fail(reason):
        raise ValueError("its own")

    with FakeNode(ready) as fake:
        owner = Owner(fake)
        owner.on_down = fail
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("down", "the node closed the connection")
            assert owner.next() == ("up", "syncing")
        assert "on_down failed" in caplog.text


def test_no_event_of_an_old_connection_after_its_end():
    """The first connection ends by a full queue in the middle of what it sent; the second starts anew."""

    def node(peer):
        ready(peer)
        first = 100 * fake.connections
        peer.send(numbered(*range(first, first + (50 if fake.connections == 1 else 5))))
        peer.hold()

    with FakeNode(node) as fake:
        owner = Owner(fake, max_queued=20, batch=3)
        with owner:
            told = []
            while not told or told[-1] != ("events", ["203", "204"]):
                told.append(owner.next())
        ends = [number for number, (kind, _) in enumerate(told) if kind == "down"]
        assert ends
        after = [number for kind, numbers in told[ends[0] :] if kind == "events" for number in numbers]
        assert all(int(number) >= 200 for number in after)


# -- stop


def test_stop_while_nothing_is_there():
    with FakeNode(served) as fake:
        pass
    owner = Owner(fake, backoff=Backoff(FOREVER, FOREVER))
    owner.link.stop()  # not even begun
    with owner:
        assert not owner.link.wait_up(0.01)
    assert owner.rest() == []


def test_stop_during_the_handshake():
    def node(peer):
        peer.hold()

    with FakeNode(node) as fake, Owner(fake, connect_timeout=FOREVER) as owner:
        peer = fake.connected.get(timeout=LIMIT)
        assert owner.link.state == "connecting"
        owner.link.stop()
        assert owner.link.state == "down"
        assert owner.rest() == []
        fake.join()
        assert peer.sock.fileno() == -1  # it noticed


def test_stop_lets_a_handler_finish():
    begun, let_go = Flag(), Flag()

    def node(peer):
        ready(peer)
        peer.send(numbered(1))
        peer.send(numbered(2))
        peer.hold()

    def slow(events):
        begun.set()
        wait(let_go)
        owner.told.put("finished")

    with FakeNode(node) as fake:
        owner = Owner(fake, batch=1)
        owner.on_events = slow
        with owner:
            wait(begun)
            stopper = gevent.spawn(owner.link.stop, LIMIT)
            gevent.sleep(0)
            let_go.set()
            stopper.get(timeout=LIMIT)
            assert owner.rest() == [("up", "syncing"), ("events", ["1"]), "finished", ("down", "stopped")]


def test_stop_kills_a_handler_that_hangs():
    begun = Flag()

    def hang(connection):
        begun.set()
        Flag().wait()

    with FakeNode(served) as fake:
        owner = Owner(fake)
        owner.on_up = hang
        with owner:
            wait(begun)
            owner.link.stop(timeout=0.01)
            assert owner.rest() == [("up", "syncing"), ("down", "stopped")]


def test_stop_from_a_handler():
    greenlets = []

    def stop(connection):
        greenlets.append(gevent.getcurrent())
        owner.link.stop()

    with FakeNode(served) as fake:
        owner = Owner(fake)
        owner.on_up = stop
        with owner:
            assert owner.next() == ("up", "syncing")
            assert owner.next() == ("down", "stopped")
            greenlets[0].join(LIMIT)
            assert greenlets[0].dead
            assert fake.connections == 1


def test_commands_fail_once_it_is_down():
    kept = []

    with FakeNode(served) as fake:
        owner = Owner(fake)
        owner.on_up = kept.append
        with owner:
            assert owner.link.wait_up(LIMIT)
        with pytest.raises(ConnectionLost, match="closed here"):
            kept[0].bgapi("status")


def test_start_twice_is_start():
    with FakeNode(served) as fake, Owner(fake) as owner:
        owner.link.start()
        assert owner.link.wait_up(LIMIT)
        assert fake.connections == 1
