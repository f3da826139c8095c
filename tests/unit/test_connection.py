"""Each defect of greenswitch that the facts name is closed, and has a test here or in test_event.py."""

import functools
import logging
import threading

import gevent
import pytest
from gevent import socket
from gevent.event import Event as Flag

import esl.connection
from esl.connection import Connection
from esl.errors import (
    AuthenticationError,
    CommandRefused,
    ConnectError,
    ConnectionLost,
    EslError,
    JobTimeout,
    ProtocolError,
    ReplyTimeout,
)
from esl.event import Event
from tests.unit.fakenode import LIMIT, PASSWORD, FakeNode, event, received, wait

UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
UUIDS = [f"{number:08x}-9dc0-11d1-b245-5ffdce74fad2" for number in range(100)]


class Client(Connection):
    """A connection that keeps what it was told."""

    def __init__(self, node, on_event=None, **options):
        self.events: list[Event] = []
        self.ended = Flag()
        self.endings: list[EslError | None] = []
        options = {"password": PASSWORD, "connect_timeout": LIMIT, "reply_timeout": LIMIT} | options
        super().__init__(node.host, node.port, on_event=on_event or self.events.append, on_close=self._keep, **options)

    def _keep(self, error):
        self.endings.append(error)
        self.ended.set()


def connect(node, on_event=None, **options) -> Client:
    client = Client(node, on_event, **options)
    client.connect()
    return client


def script(*steps):
    """A node that greets, then takes these steps, then stays until the client leaves."""

    def run(peer):
        peer.greet()
        for step in steps:
            step(peer)
        peer.hold()

    return run


# -- opening


def test_connect_authenticate_ask():
    def node(peer):
        peer.greet()
        peer.expect("api status")
        peer.respond("UP 0 years\n")
        peer.expect("api uptime")
        peer.respond("")
        peer.expect("filter Action add-member")
        peer.reply("+OK filter added. [Action]=[add-member]")
        peer.expect("exit")

    with FakeNode(node) as fake:
        client = connect(fake)
        assert client.connected
        assert client.api("status") == "UP 0 years\n"
        assert client.api("uptime") == ""
        assert client.send("filter Action add-member").text == "+OK filter added. [Action]=[add-member]"
        client.close()
        assert not client.connected
        assert client.endings == [None]


def test_ipv6():
    try:
        fake = FakeNode(script(), host="::1")
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with fake:
        assert connect(fake).connected


def test_a_name_is_tried_at_all_its_addresses(monkeypatch):
    with FakeNode(script()) as fake, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refuses
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", closed.getsockname()),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (fake.host, fake.port)),
        ]
        monkeypatch.setattr("gevent.socket.getaddrinfo", lambda *_: addresses)
        assert connect(fake).connected


def test_a_refused_connection():
    with FakeNode(script()) as fake:
        pass
    with pytest.raises(ConnectError, match=f"cannot connect to 127.0.0.1:{fake.port}"):
        connect(fake)


@pytest.mark.parametrize("host", ["a..b", "\ud800"])
def test_a_name_that_cannot_be_resolved(host):
    with pytest.raises(ConnectError, match="cannot resolve"):
        Connection(host, 8021, PASSWORD, on_event=print).connect()


def test_no_greeting_in_time():
    with FakeNode(lambda peer: peer.hold()) as fake:
        client = Client(fake, connect_timeout=0.05)
        with pytest.raises(ConnectError, match=r"no handshake with .* within 0.05 s"):
            client.connect()
        assert not client.connected
        assert client.endings == []  # it never was one


def test_no_answer_to_the_password_in_time():
    def node(peer):
        peer.send("Content-Type: auth/request\n\n")
        peer.hold()

    with FakeNode(node) as fake, pytest.raises(ConnectError, match="no handshake"):
        connect(fake, connect_timeout=0.05)


@pytest.mark.parametrize("greeting", ["", "Content-Type: auth/request\n\n", "HTTP/1.1 400 Bad Request\n\n"])
def test_a_handshake_that_breaks_off(greeting):
    with FakeNode(lambda peer: peer.send(greeting)) as fake, pytest.raises(ConnectError, match="the handshake with"):
        connect(fake)


def test_a_node_that_goes_right_behind_the_handshake():
    def node(peer):
        peer.send("Content-Type: auth/request\n\n")
        peer.command()
        peer.send("Content-Type: command/reply\nReply-Text: +OK accepted\n\nContent-Type: text/disconnect-notice\n\n")
        peer.hold()

    with FakeNode(node) as fake:
        client = Client(fake)
        with pytest.raises(ConnectError, match="the node disconnected"):
            client.connect()
        assert client.endings == []


def test_a_wrong_password():
    def node(peer):
        peer.send("Content-Type: auth/request\n\n")
        peer.command()
        peer.reply("-ERR invalid")
        peer.send("Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye")

    with FakeNode(node) as fake:
        with pytest.raises(AuthenticationError, match="refuses the password") as caught:
            connect(fake, password="wrong-horse")
        assert "wrong-horse" not in str(caught.value)


def test_an_address_that_the_access_list_refuses():
    def node(peer):
        peer.send("Content-Type: text/rude-rejection\nContent-Length: 24\n\nAccess Denied, go away.\n")

    with FakeNode(node) as fake, pytest.raises(AuthenticationError, match="refuses this address"):
        connect(fake)


def test_a_connection_is_used_once():
    with FakeNode(script()) as fake:
        client = connect(fake)
        with pytest.raises(ConnectError):
            client.connect()
        assert client.connected
        client.close()
        with pytest.raises(ConnectError):
            client.connect()


def test_before_connect_there_is_no_connection():
    with FakeNode(script()) as fake, pytest.raises(ConnectionLost, match="not connected"):
        Client(fake).send("api status")


def test_the_context_manager_of_greenswitch():
    with FakeNode(script()) as fake:
        with Client(fake) as client:
            assert client.connected
        assert client.endings == [None]


# -- replies


def test_a_reply_that_does_not_come():
    """greenswitch waits without a limit; and a late reply must not answer the next command."""
    with FakeNode(script(lambda peer: peer.hold())) as fake:
        client = connect(fake)
        other = gevent.spawn(client.api, "conference secret-room kick all")
        gevent.sleep(0)
        with pytest.raises(ReplyTimeout, match=r"^no reply to 'api uptime' within 0.05 s$"):
            client.send("api uptime", timeout=0.05)
        with pytest.raises(ConnectionLost, match="no reply to 'api uptime'"):
            other.get(timeout=LIMIT)
        with pytest.raises(ConnectionLost):
            client.send("api status")
        (error,) = client.endings
        assert isinstance(error, ReplyTimeout)


def test_waiters_are_released_when_the_node_goes():
    """greenswitch never releases them."""

    def node(peer):
        peer.greet()
        for _ in range(3):
            peer.command()

    with FakeNode(node) as fake:
        client = connect(fake)
        job = client.bgapi("status")
        waiting = [gevent.spawn(client.api, "status") for _ in range(2)]
        for greenlet in waiting:
            with pytest.raises(ConnectionLost, match="the node closed the connection"):
                greenlet.get(timeout=LIMIT)
        with pytest.raises(ConnectionLost):
            job.result(LIMIT)
        assert job.ready()
        assert [type(error) for error in client.endings] == [ConnectionLost]


def test_a_waiter_that_gave_up_leaves_its_reply_to_nobody():
    may_answer = Flag()

    def node(peer):
        peer.greet()
        peer.expect("api one")
        peer.expect("api two")
        wait(may_answer)
        peer.respond("1")
        peer.respond("2")
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        impatient = gevent.spawn(client.api, "one")
        gevent.sleep(0)
        impatient.kill()
        second = gevent.spawn(client.api, "two")
        gevent.sleep(0)
        may_answer.set()
        assert second.get(timeout=LIMIT) == "2"


def test_a_callers_own_timeout_passes_through():
    with FakeNode(script(lambda peer: peer.hold())) as fake:
        client = connect(fake)
        with gevent.Timeout(0.05, False):
            client.api("status")
            pytest.fail("it was not interrupted")
        assert client.connected


def test_a_command_refused_by_the_event_socket():
    with FakeNode(script(lambda peer: (peer.command(), peer.reply("-ERR permission denied")))) as fake:
        client = connect(fake)
        with pytest.raises(CommandRefused, match="permission denied"):
            client.api("status")
        assert client.connected


def test_a_reply_that_nobody_asked_for():
    with FakeNode(script(lambda peer: peer.reply("+OK"))) as fake:
        client = connect(fake)
        wait(client.ended)
        assert [type(error) for error in client.endings] == [ProtocolError]


def test_what_is_not_event_socket():
    with FakeNode(script(lambda peer: peer.send("HTTP/1.1 200 OK\n\n"))) as fake:
        client = connect(fake)
        wait(client.ended)
        assert [type(error) for error in client.endings] == [ProtocolError]


@pytest.mark.parametrize("line", ["", "status\n\napi shutdown", "status\rx", "status\0"])
def test_a_command_is_one_line(line):
    with FakeNode(script(lambda peer: (peer.expect("api status"), peer.respond("fine")))) as fake:
        client = connect(fake)
        if line:
            with pytest.raises(ValueError, match="one line"):
                client.api(line)
            with pytest.raises(ValueError, match="one line"):
                client.bgapi(line)
        with pytest.raises(ValueError, match="one line"):
            client.send(line)
        assert client.api("status") == "fine"


def test_a_password_is_one_line_and_not_in_the_error():
    with pytest.raises(ValueError, match="a password") as caught:
        Connection("127.0.0.1", 8021, "secret\n", on_event=print)
    assert "secret" not in str(caught.value)


# -- writing


def test_long_commands_arrive_whole_and_apart():
    """greenswitch's sock.send may write a part and drop the rest; and greenlets take turns in between."""
    long = ["x" * 3_000_000 + str(number) for number in range(4)]
    got = []

    def node(peer):
        peer.greet()
        for _ in long:
            (line,) = peer.command()
            got.append(line)
            peer.respond(line[-1])
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        asked = [gevent.spawn(client.api, text) for text in long]
        assert [greenlet.get(timeout=LIMIT) for greenlet in asked] == [text[-1] for text in long]
        assert got == ["api " + text for text in long]


def test_a_node_that_takes_nothing_more():
    """Half open: the kernel's buffers are full, and nobody reads at the other end."""
    release = Flag()

    def node(peer):
        peer.greet()
        wait(release)

    with FakeNode(node) as fake:
        client = connect(fake, reply_timeout=0.1)
        with pytest.raises(ReplyTimeout, match=r"no reply to 'bgapi status' within 0\.1 s"):
            client.bgapi("status " + "x" * 30_000_000)
        assert [str(error) for error in client.endings] == ["no reply to 'bgapi status' within 0.1 s"]
        release.set()


# -- jobs


def test_jobs_sent_back_to_back():
    """No job waits for the reply of the one before; results come in any order, even ahead of the replies."""

    def node(peer):
        peer.greet()
        for number, uuid in enumerate(UUIDS):
            peer.expect(f"bgapi command {number}", f"Job-UUID: {uuid}")
        for number, uuid in reversed(list(enumerate(UUIDS))):
            peer.event("BACKGROUND_JOB", body=f"+OK {number}\n", Job_UUID=uuid)
        for uuid in UUIDS:
            peer.reply(f"+OK Job-UUID: {uuid}", f"Job-UUID: {uuid}")
        peer.expect("api last")
        peer.respond("in its place")
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        jobs = [client.bgapi(f"command {number}", job_uuid=uuid) for number, uuid in enumerate(UUIDS)]
        assert [job.result(LIMIT) for job in jobs] == [f"+OK {number}\n" for number in range(len(jobs))]
        assert [job.uuid for job in jobs] == UUIDS
        assert client.api("last") == "in its place"
        # And each was an event as well, in the order of the wire.
        assert [event["Job-UUID"] for event in client.events] == UUIDS[::-1]


def test_a_job_has_a_uuid_of_its_own():
    with FakeNode(script()) as fake:
        client = connect(fake)
        assert len({client.bgapi("status").uuid for _ in range(10)}) == 10


@pytest.mark.parametrize("uuid", ["", UUID + "\n", UUID + "\nX: y", UUID + "0", "a b", "ä"])
def test_a_job_id_that_freeswitch_would_not_give_back(uuid):
    with FakeNode(script()) as fake, pytest.raises(ValueError, match="not a job id"):
        connect(fake).bgapi("status", job_uuid=uuid)


def test_a_refused_job():
    with FakeNode(script(lambda peer: (peer.command(), peer.reply("-ERR permission denied")))) as fake:
        client = connect(fake)
        with pytest.raises(CommandRefused, match="permission denied"):
            client.bgapi("shutdown").result(LIMIT)
        assert client.connected


def test_a_result_may_come_after_one_lost_patience():
    answer = Flag()

    def node(peer):
        peer.greet()
        peer.command()
        peer.reply("+OK")
        wait(answer)
        peer.event("BACKGROUND_JOB", body="late", Job_UUID=UUID)
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        job = client.bgapi("status", job_uuid=UUID)
        with pytest.raises(JobTimeout, match=UUID):
            job.result(0.02)
        assert not job.ready()
        assert client.connected
        answer.set()
        assert job.result(LIMIT) == "late"
        assert job.ready()


def test_the_jobs_of_others_are_only_events():
    def node(peer):
        peer.greet()
        peer.command()
        peer.reply("+OK")
        peer.event("BACKGROUND_JOB", body="not yours", Job_UUID=UUIDS[0])
        peer.event("BACKGROUND_JOB", body="yours", Job_UUID=UUID)
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        assert client.bgapi("status", job_uuid=UUID).result(LIMIT) == "yours"
        assert [event.body for event in client.events] == ["not yours", "yours"]


def test_a_result_is_no_headers():
    """greenswitch parses it as headers of the event, which a conference's or a file's name can reach."""
    body = "Event-Name: CUSTOM\nAction: add-member\nJob-UUID: other\n\nX: y\n"

    def node(peer):
        peer.greet()
        peer.command()
        peer.reply("+OK")
        peer.event("BACKGROUND_JOB", body=body, Job_UUID=UUID)
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        assert client.bgapi("status", job_uuid=UUID).result(LIMIT) == body
        (came,) = client.events
        assert came.headers() == {
            "Event-Name": "BACKGROUND_JOB",
            "Job-UUID": UUID,
            "Content-Length": str(len(body)),
        }


# -- empty lines, which have the node look for events


def test_a_node_is_woken_while_a_result_is_awaited(monkeypatch):
    monkeypatch.setattr(esl.connection, "NUDGES", (0.001, 0.002, 0.003))
    woken = Flag()

    def node(peer):
        peer.greet()
        peer.expect("bgapi status", f"Job-UUID: {UUID}")
        assert [peer.line() for _ in range(3)] == ["\n"] * 3
        peer.reply("+OK")
        woken.set()
        peer.expect("api last")
        peer.respond("no more")
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        client.bgapi("status", job_uuid=UUID)
        wait(woken)
        assert client.api("last") == "no more"


@pytest.mark.parametrize("why_not", ["the result has come", "a command is being written"])
def test_a_node_is_not_woken(monkeypatch, why_not):
    monkeypatch.setattr(esl.connection, "NUDGES", (3600.0,))  # but when it is called here

    def node(peer):
        peer.greet()
        peer.command()
        peer.reply("+OK")
        if why_not == "the result has come":
            peer.event("BACKGROUND_JOB", Job_UUID=UUID)
        assert peer.line() == "api last\n"
        peer.line()
        peer.respond("")
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        job = client.bgapi("status", job_uuid=UUID)
        if why_not == "the result has come":
            job.result(LIMIT)
            client._nudge()
        else:
            with client._writing:
                client._nudge()
        assert client.api("last") == ""


# -- events


def test_a_handler_that_raises_without_a_name(caplog):
    """greenswitch asks the handler for its __name__ and dies of the lack of it."""
    came = []
    last = Flag()

    def handle(event):
        came.append(event["Number"])
        if event["Number"] == "2":
            last.set()
        raise ValueError("the handler's own")

    handler = functools.partial(handle)
    assert not hasattr(handler, "__name__")
    with FakeNode(script(lambda peer: [peer.event("CUSTOM", Number=str(number)) for number in range(3)])) as fake:
        client = connect(fake, on_event=handler)
        wait(last)
        assert came == ["0", "1", "2"]
        assert client.connected
    assert [record.exc_info[0] for record in caplog.records if record.name == "esl.connection"] == [ValueError] * 3


def test_a_handler_cannot_wait_for_a_reply():
    caught = Flag()

    def handler(event):
        with pytest.raises(RuntimeError, match="on_event"):
            client.api("status")
        job = client.bgapi("status", job_uuid=UUID)  # this it may
        assert not job.ready()
        caught.set()

    def node(peer):
        peer.greet()
        peer.event("CUSTOM")
        peer.expect("bgapi status", f"Job-UUID: {UUID}")
        peer.hold()

    with FakeNode(node) as fake:
        client = Client(fake, on_event=handler)
        client.connect()
        wait(caught)


def test_no_event_after_close():
    first = Flag()

    def handler(event):
        came.append(event)
        client.close()
        first.set()

    came: list[Event] = []
    with FakeNode(script(lambda peer: peer.send(event("CUSTOM") * 5))) as fake:
        client = Client(fake, on_event=handler)
        client.connect()
        wait(first)
        gevent.sleep(0)
        assert len(came) == 1
        assert client.endings == [None]


def test_a_flood_leaves_the_others_their_turn():
    """The reader never has to wait here, and still must let a greenlet run in between."""
    ticks: list[int] = []
    done = Flag()
    total = 20_000

    def handler(event):
        nonlocal seen
        seen += 1
        if seen == total:
            done.set()

    def clock():
        while not done.is_set():
            ticks.append(seen)
            gevent.sleep(0)

    class NeverDry:
        """A socket that has always more."""

        def recv(self, size):
            return event("CUSTOM", Action="start-talking") * 10

        def send(self, data):
            return len(data)

        def settimeout(self, seconds):
            pass

        def close(self):
            pass

    seen = 0
    client = Connection("127.0.0.1", 8021, PASSWORD, on_event=handler)
    client.sock, client.connected = NeverDry(), True
    greenlets = [gevent.spawn(clock), gevent.spawn(client.receive_events)]
    wait(done)
    client.close()
    gevent.joinall(greenlets, timeout=LIMIT)
    assert len({tick for tick in ticks if 0 < tick < total}) > 50


def test_frames_that_nobody_asked_for_are_passed_over():
    def node(peer):
        peer.greet()
        peer.send("Content-Type: log/data\nContent-Length: 4\nLog-Level: 7\n\nlog\n")
        peer.send("Content-Type: text/event-json\nContent-Length: 2\n\n{}")
        peer.event("CUSTOM")
        peer.expect("api status")
        peer.respond("fine")
        peer.hold()

    with FakeNode(node) as fake:
        client = connect(fake)
        assert client.api("status") == "fine"
        assert [event.name for event in client.events] == ["CUSTOM"]


def test_a_caller_forges_nothing():
    """Trace 13, whole: greenswitch would report an add-member of the caller's choosing."""
    frames = received("13_*.jsonl")
    replies = [frame for frame in frames if b"command/reply" in frame]
    assert replies[0].endswith(b"+OK accepted\n\n")
    sent = b"".join(frame for frame in frames[1:] if frame not in replies)

    with FakeNode(script(lambda peer: (peer.expect("event plain ALL"), peer.reply("+OK"), peer.send(sent)))) as fake:
        client = connect(fake)
        client.send("event plain ALL")
        wait(client.ended)  # the trace ends with a disconnect notice
    assert [(came.name, came.get("Action")) for came in client.events] == [
        ("CHANNEL_CREATE", None),
        ("CHANNEL_ANSWER", None),
        ("CHANNEL_PARK", None),
        ("BACKGROUND_JOB", None),
        ("CHANNEL_UNPARK", None),
        ("CUSTOM", "conference-create"),
        ("CUSTOM", "add-member"),
        ("CUSTOM", "floor-change"),
        ("CUSTOM", "floor-change"),
        ("CUSTOM", "del-member"),
        ("CHANNEL_HANGUP_COMPLETE", None),
        ("CHANNEL_DESTROY", None),
        ("CUSTOM", "conference-destroy"),
    ]
    created = client.events[0]
    carriers = {name: value for name, value in created.headers().items() if "\nAction: " in value}
    assert carriers  # the caller's text, whole, as a value
    for name, value in carriers.items():
        assert created[name] == value
    assert {came.get("Core-UUID") for came in client.events} == {created["Core-UUID"]}


# -- closing


def test_close_releases_everybody_and_says_exit():
    said = []

    def node(peer):
        peer.greet()
        said.extend(peer.command())
        said.extend(peer.command())
        said.extend(peer.command())

    with FakeNode(node) as fake:
        client = connect(fake)
        job = client.bgapi("status", job_uuid=UUID)
        waiting = gevent.spawn(client.api, "status")
        gevent.sleep(0)
        client.close()
        client.close()
        client.stop()
        with pytest.raises(ConnectionLost, match="closed here"):
            waiting.get(timeout=LIMIT)
        with pytest.raises(ConnectionLost, match="closed here"):
            job.result(LIMIT)
        with pytest.raises(ConnectionLost, match="closed here"):
            client.bgapi("status")
        assert client.endings == [None]
        fake.join()
        assert said == ["bgapi status", f"Job-UUID: {UUID}", "api status", "exit"]


def test_a_disconnect_notice_ends_it():
    notice = "Content-Type: text/disconnect-notice\nContent-Length: 3\n\nbye"
    with FakeNode(script(lambda peer: peer.send(notice))) as fake:
        client = connect(fake)
        wait(client.ended)
        assert [str(error) for error in client.endings] == ["the node disconnected"]


def test_a_lingering_notice_does_not():
    notice = "Content-Type: text/disconnect-notice\nContent-Disposition: linger\nContent-Length: 3\n\nbye"
    with FakeNode(script(lambda peer: (peer.send(notice), peer.command(), peer.respond("fine")))) as fake:
        assert connect(fake).api("status") == "fine"


def test_a_failing_on_close_is_logged(caplog):
    def on_close(error):
        raise ValueError("its own")

    with FakeNode(script()) as fake:
        client = Connection(fake.host, fake.port, PASSWORD, on_event=print, on_close=on_close)
        client.connect()
        client.close()
    assert "on_close failed" in caplog.text


def test_the_password_is_in_no_log(caplog):
    caplog.set_level(logging.DEBUG)
    with FakeNode(script(lambda peer: peer.send("nonsense\n\n"))) as fake:
        client = connect(fake)
        wait(client.ended)
        assert PASSWORD not in caplog.text + repr(client) + repr(client.endings)


def test_nothing_here_starts_a_thread():
    before = set(threading.enumerate())
    with FakeNode(script()) as fake:
        connect(fake).close()
    assert set(threading.enumerate()) <= before
