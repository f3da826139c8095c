"""The dispatcher against a real store and a real HTTP receiver."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path
from typing import Any

import gevent
import orjson
import pytest
from gevent import monkey

from controller.outbound.network import MAX_THREADS_OF_APP, Network, tls_context
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.connection import AttemptFailed, Connections
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.ordering import Window
from controller.webhooks.retry import Schedule
from tests.integration import webhook_fixtures as fixtures
from tests.integration.webhook_fixtures import ERROR, FAST, OK, Outbox, Receiver, Start
from tests.open_store import OpenStore

ROOM = "acW68-room-550e8400-e29b-41d4-a716-44665544000%d"


def test_a_webhook_arrives_signed_and_leaves_the_outbox(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    start()
    before = int(time.time())
    (expected,) = outbox.put(app, ROOM % 1, name="standup")
    (request,) = receiver.wait(1)
    request.verify()
    body = orjson.loads(request.body)
    assert list(body) == ["type", "timestamp", "data"]
    assert body["type"] == "conference.member.joined"
    assert body["timestamp"][-5:-4] + body["timestamp"][-1] == ".Z"
    assert body["data"] == {"app_id": "demo", "room_id": ROOM % 1, "sequence": 1, "name": "standup"}
    assert request.id == expected
    assert before <= int(request.headers["webhook-timestamp"]) <= time.time()
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("Switchroom/")
    outbox.wait_until(lambda: not outbox.left(app))
    (line,) = outbox.log(app)
    assert line["webhook"] == expected
    assert (line["type"], line["outcome"], line["status"], line["attempt"], line["room"]) == (
        "conference.member.joined",
        "delivered",
        200,
        1,
        ROOM % 1,
    )
    record = outbox.record(expected)
    assert (record["status"], record["lane"], orjson.loads(record["data"])) == ("delivered", ROOM % 1, body["data"])
    assert orjson.loads(record["a1"]).items() >= {"status": 200, "answer": "ok"}.items()


def test_an_endpoint_is_told_nothing_else_and_asked_without_a_proxy(
    outbox: Outbox, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://user:word@127.0.0.1:1")
    start()
    outbox.put(outbox.app("demo", receiver.url), ROOM % 1)
    (request,) = receiver.wait(1)
    of_http = {"host", "user-agent", "accept", "content-type", "content-length"}
    assert set(request.headers) == of_http | {"webhook-id", "webhook-timestamp", "webhook-signature"}


def test_what_was_there_before_the_dispatcher_is_delivered_in_order(
    outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    rooms = [ROOM % (i % 5) for i in range(1000)]
    expected = outbox.put(app, *rooms)
    start()
    receiver.wait(1000)
    outbox.wait_until(lambda: not outbox.left(app))
    assert sorted(receiver.ids()) == sorted(expected)
    for room in set(rooms):
        sequences = [r.data["sequence"] for r in receiver.received if r.data["room_id"] == room]
        assert sequences == sorted(sequences)
    assert receiver.connections <= 8


def test_a_retry_has_the_same_id_and_bytes(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.responses.extend([ERROR, ERROR])
    times = iter((1_700_000_000.0, 1_700_000_005.0, 1_700_000_035.0))
    start(clock=lambda: next(times, 1_700_000_100.0))
    (expected,) = outbox.put(app, ROOM % 1)
    receiver.wait(3)
    assert receiver.ids() == [expected] * 3
    assert len({request.body for request in receiver.received}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.received}) > 1
    outbox.wait_until(lambda: not outbox.left(app))
    lines = outbox.log(app)
    assert [(line["attempt"], line["outcome"], line["status"]) for line in lines] == [
        (1, "held", 500),
        (2, "held", 500),
        (3, "delivered", 200),
    ]
    assert [line["next_at"] - line["at"] for line in lines[:2]] == pytest.approx([30, 60], rel=0.11)
    assert (outbox.record(expected)["status"], outbox.record(expected)["attempts"]) == ("delivered", "3")
    assert not store_keys(outbox, app, "held")


def store_keys(outbox: Outbox, app: str, name: str, *ids: str) -> int:
    return int(outbox.store.client.exists(keys.key(keys.partition_of(app), name, *ids)))


def test_a_failing_webhook_holds_its_ordering_key_and_no_other(
    outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    first, second, other = outbox.put(app, ROOM % 1, ROOM % 1, ROOM % 2)

    def fail(sock: Any) -> None:
        receiver.wait_until(lambda: other in receiver.ids())
        sock.sendall(ERROR)

    failures = iter((fail, ERROR))
    receiver.choose = lambda request: next(failures, None) if request.id == first else None
    start()
    receiver.wait(5)
    ids = receiver.ids()
    assert [i for i in ids if i != other] == [first, first, first, second]
    assert ids.index(other) <= 1


def test_a_poisoned_webhook_steps_aside_and_fails_alone(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    poisoned, *others = outbox.put(app, *[ROOM % 1] * 6)
    receiver.choose = lambda request: ERROR if request.id == poisoned else OK
    start()
    outbox.wait_until(lambda: outbox.record(poisoned).get("status") == "failed" and not outbox.left(app))
    ids = receiver.ids()
    # Held for the retries of the first minute, which are two, and then no longer in the way.
    assert ids[:3] == [poisoned] * 3
    assert [i for i in ids if i != poisoned] == others
    assert ids.count(poisoned) == 7
    record = outbox.record(poisoned)
    assert record["attempts"] == "7"
    assert (record["app"], record["type"], record["lane"]) == (app, "conference.member.joined", ROOM % 1)
    assert orjson.loads(record["data"])["sequence"] == 1
    attempts = [orjson.loads(record[f"a{n}"]) for n in range(1, 8)]
    assert {a["status"] for a in attempts} == {500}
    assert {a["answer"] for a in attempts} == {"oops"}
    tag, entry = keys.partition_of(app), poisoned.partition("-")[2]
    client = outbox.store.client
    assert 29 * 86400 < client.ttl(keys.key(tag, "delivery", entry)) <= 30 * 86400
    assert client.zrange(keys.key(tag, "deliveries", app, "failed"), 0, -1) == [entry.encode()]
    assert not client.exists(keys.key(tag, "aside", app), keys.key(tag, "asides"), keys.key(tag, "held"))
    outcomes = [line["outcome"] for line in outbox.log(app) if line["webhook"] == poisoned]
    assert outcomes == ["held", "held", "aside", "aside", "aside", "aside", "failed"]


ASIDE = Schedule(delays=(0.01, 0.01), holding=0)


def test_a_result_that_cannot_be_stored_is_no_reason_to_send_at_once(
    outbox: Outbox, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.webhooks.partition.UNSTORED_SECONDS", 0.3)
    app = outbox.app("demo", receiver.url)
    receiver.responses.append(ERROR)
    retrying = keys.key(keys.partition_of(app), "deliveries", app, "retrying")
    outbox.store.client.set(retrying, "garbage")
    start(schedule=ASIDE)
    (webhook,) = outbox.put(app, ROOM % 1)
    receiver.wait(3)
    outbox.store.client.delete(retrying)
    outbox.wait_until(lambda: outbox.record(webhook)["status"] == "delivered")
    _, second, third, *_ = receiver.received
    assert third.at - second.at >= 0.3


@pytest.mark.parametrize("field", ["type", "lane", "at", "data", "attempts", "earlier"])
def test_a_broken_record_in_the_retry_queue_stops_no_other(
    outbox: Outbox, receiver: Receiver, start: Start, field: str
) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.responses.extend([ERROR, ERROR])
    first = start(schedule=Schedule(delays=(60.0, 0.01), holding=0))
    broken, sound = outbox.put(app, ROOM % 1, ROOM % 2)
    outbox.wait_until(lambda: all(outbox.record(each).get("status") == "aside" for each in (broken, sound)))
    first.stop()
    client, tag, entry = outbox.store.client, keys.partition_of(app), broken.partition("-")[2]
    if field in ("attempts", "earlier", "at"):
        client.hset(keys.key(tag, "delivery", entry), field, "garbage")
    else:
        client.hdel(keys.key(tag, "delivery", entry), field)
    for each in (broken, sound):
        client.zadd(keys.key(tag, "aside", app), {each.partition("-")[2]: 0})
    client.zadd(keys.key(tag, "asides"), {app: 0})
    second = start("d2")
    outbox.wait_until(lambda: not client.exists(keys.key(tag, "aside", app)))
    assert outbox.record(sound)["status"] == "delivered"
    # The partition goes on, with what is new, too.
    (new,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: not outbox.left(app))
    expected = {broken, sound, new} if field in ("attempts", "earlier") else {sound, new}
    assert set(receiver.ids()[2:]) == expected
    assert tag in second.partitions
    # None is counted as undelivered any more, but for data that is gone.
    undelivered = int(client.hget(keys.key(tag, "usage", app), "webhook_bytes"))
    assert (undelivered == 0) == (field != "data")


def test_a_range_that_is_garbage_is_forgotten(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    tag, client = keys.partition_of(app), outbox.store.client
    client.hset(keys.key(tag, "redeliveries"), app, "garbage")
    receiver.responses.append(ERROR)
    start(schedule=ASIDE)
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook).get("status") == "delivered")
    assert not client.exists(keys.key(tag, "redeliveries"))


def test_many_that_stepped_aside_are_delivered_in_the_end(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    expected = outbox.put(app, *[ROOM % i for i in range(60)])
    seen: dict[str, int] = {}

    def fail_thrice(request: fixtures.Received) -> bytes | None:
        seen[request.id] = seen.get(request.id, 0) + 1
        return ERROR if seen[request.id] <= 3 else None

    receiver.choose = fail_thrice
    start()
    receiver.wait(60 * 4)
    outbox.wait_until(lambda: not store_keys(outbox, app, "asides"))
    assert seen == dict.fromkeys(expected, 4)
    assert counts(outbox, app) == {
        "held": 120,
        "aside": 60,
        "delivered": 60,
    }
    assert {outbox.record(webhook)["status"] for webhook in expected} == {"delivered"}


def counts(outbox: Outbox, app: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in outbox.log(app):
        found[line["outcome"]] = found.get(line["outcome"], 0) + 1
    return found


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (fixtures.REDIRECT, 302),
        (b"HTTP/1.1 404 Nope\r\nContent-Length: 0\r\n\r\n", 404),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "the answer is not HTTP",
        ),
        (fixtures.hang, "no answer within 0.5 s"),
        (fixtures.drip, "no answer within 0.5 s"),
        (fixtures.close, "the connection was closed without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 40000 + b"\r\n\r\n", "the answer's head is too long"),
    ],
    ids=["redirect", "404", "101", "hang", "drip", "close", "not-http", "long-head"],
)
def test_what_counts_as_a_failure(
    outbox: Outbox, receiver: Receiver, start: Start, response: fixtures.Response, reason: int | str
) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.responses.append(response)
    is_impatient = response in (fixtures.hang, fixtures.drip)
    start(attempt_seconds=0.5 if is_impatient else 30)
    outbox.put(app, ROOM % 1)
    receiver.wait(2)
    outbox.wait_until(lambda: not outbox.left(app))
    failed, *others, delivered = lines = outbox.log(app)
    assert (failed["outcome"], failed.get("error", failed.get("status"))) == ("held", reason)
    assert delivered["outcome"] == "delivered"
    assert [line["attempt"] for line in lines] == list(range(1, len(lines) + 1))
    # Only where half a second is all that an attempt has may a busy machine fail the second one as well.
    assert is_impatient or (others, len(receiver.received)) == ([], 2)
    assert {request.path for request in receiver.received} == {"/hooks"}


@pytest.mark.parametrize(
    "response",
    [
        fixtures.huge,
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\nuntil the end",
    ],
    ids=["huge", "204", "100", "chunked", "1.0"],
)
def test_what_counts_as_delivered(
    outbox: Outbox, receiver: Receiver, start: Start, response: fixtures.Response
) -> None:
    app = outbox.app("demo", receiver.url)
    receiver.responses.append(response)
    if isinstance(response, bytes) and b"1.0" in response:
        receiver.responses[0] = lambda sock: sock.sendall(response)  # and then it is closed
    start()
    outbox.put(app, ROOM % 1, ROOM % 1)
    receiver.wait(2)
    outbox.wait_until(lambda: not outbox.left(app))
    assert counts(outbox, app) == {"delivered": 2}


def test_connections_are_kept_and_a_closed_one_is_no_failure(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", receiver.url)
    start()
    outbox.put(app, *[ROOM % 1] * 20)
    receiver.wait(20)
    assert receiver.connections == 1

    def respond_and_close(sock: Any) -> None:
        sock.sendall(OK)  # which says that the connection stays

    receiver.responses.append(respond_and_close)
    outbox.put(app, *[ROOM % 1] * 20)
    receiver.wait(40)
    outbox.wait_until(lambda: not outbox.left(app))
    assert counts(outbox, app) == {"delivered": 40}
    assert receiver.connections == 2


def test_private_addresses_are_blocked(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    port = receiver.url.rpartition(":")[2]
    app = outbox.app("demo", f"http://localhost:{port}")
    start(allow_private_networks=False)
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook))
    assert "is not public" in orjson.loads(outbox.record(webhook)["a1"])["error"]
    assert receiver.connections == 0


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not base64!", "plain-text"])
def test_nothing_is_sent_unsigned(outbox: Outbox, receiver: Receiver, start: Start, secret: str) -> None:
    app = outbox.app("demo", receiver.url, secret=secret)
    start()
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook))
    error = orjson.loads(outbox.record(webhook)["a1"])["error"]
    assert "secret" in error
    assert "plain" not in error
    assert receiver.connections == 0


def test_an_app_without_an_endpoint_is_skipped(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    nobody = outbox.app("demo", "")
    tag = keys.partition_of(nobody)
    outbox.put(nobody, ROOM % 1)
    gone = fixtures.app_of_partition(keys.TAGS.index(tag))
    outbox.put(gone, ROOM % 2)
    outbox.store.client.xadd(keys.key(tag, "outbox"), {"app": nobody, "nonsense": "1"})
    start()
    outbox.wait_until(lambda: not outbox.left(nobody))
    assert sorted(line["error"] for line in outbox.log(nobody)) == [
        "malformed",
        "the app has no webhook URL",
        "there is no such app",
    ]


def test_a_new_url_and_secret_count_from_the_next_attempt(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    app = outbox.app("demo", "http://127.0.0.1:1/nobody-listens")
    start(schedule=Schedule(delays=(0.02,) * 50, holding=50))
    outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.log(app))
    secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    outbox.app(app, receiver.url, secret=secret)
    receiver.wait(1)[0].verify(secret)
    assert outbox.log(app)[0]["error"] == "the connection was refused"


def test_a_dead_endpoint_delays_no_other(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    dead = Receiver()
    dead.default = fixtures.hang
    try:
        # Both in one partition, and the dead one's webhooks come first.
        dead_app = outbox.app(fixtures.app_of_partition(3), dead.url)
        app = outbox.app(fixtures.app_of_partition(3, skip=[dead_app]), receiver.url)
        outbox.put(dead_app, *[f"{ROOM % 1}-{i}" for i in range(500)])
        start(concurrency=8, per_endpoint=8, attempt_seconds=30)
        dead.wait(2)
        expected = outbox.put(app, *[ROOM % i for i in range(100)])
        receiver.wait(100, timeout=20)
        assert sorted(receiver.ids()) == sorted(expected)
        assert dead.max_in_flight <= 2
    finally:
        dead.stop()


def test_attempts_to_an_endpoint_are_bounded(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    def slowly(sock: Any) -> None:
        gevent.sleep(0.01)
        sock.sendall(OK)

    receiver.choose = lambda request: slowly
    app = outbox.app("demo", receiver.url)
    outbox.put(app, *[ROOM % i for i in range(60)])
    start(per_endpoint=3)
    receiver.wait(60)
    assert receiver.max_in_flight == 3


def test_a_backlog_larger_than_the_window_is_read_in_parts(
    outbox: Outbox, receiver: Receiver, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controller.webhooks.reader.PAGE", 7)
    dead_app = outbox.app(fixtures.app_of_partition(3), "http://127.0.0.1:1/")
    app = outbox.app(fixtures.app_of_partition(3, skip=[dead_app]), receiver.url)
    expected = []
    for i in range(60):
        outbox.put(dead_app, *[ROOM % (i % 3)] * 5)
        expected += outbox.put(app, *[ROOM % (i % 3)] * 5)
    window = Window(minimum=20_000, maximum=20_000)
    dispatcher = start(schedule=Schedule(delays=(60.0,)), window=window)
    for i in range(20):
        receiver.wait(i * 10)
        expected += outbox.put(app, *[ROOM % (i % 3)] * 5)
    receiver.wait(400)
    assert sorted(receiver.ids()) == sorted(expected)
    for room in range(3):
        sequences = [r.data["sequence"] for r in receiver.received if r.data["room_id"] == ROOM % room]
        assert sequences == sorted(sequences)
    queue = dispatcher.partition(keys.TAGS[3]).destinations[dead_app].queue
    assert queue.size <= 20_000
    assert queue.unread


def test_the_store_out_of_reach_for_a_while_loses_nothing(
    server_url: str, outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    app = outbox.app("demo", receiver.url)
    with closing(Store.connect(server_url, timeout=1.0)) as impatient:
        dispatcher = start(store=impatient)
        first = outbox.put(app, *[ROOM % i for i in range(50)])
        receiver.wait(10)
        outbox.store.client.execute_command("CLIENT", "PAUSE", 1300, "ALL")
        second = outbox.put(app, *[ROOM % i for i in range(50)])  # waits, too
        outbox.wait_until(lambda: not outbox.left(app))
        dispatcher.stop()
    assert set(receiver.ids()) == {*first, *second}


def test_the_same_on_a_cluster(server_url: str, outbox: Outbox, receiver: Receiver) -> None:
    cluster = OpenStore.connect(server_url, cluster=True)
    dispatcher = Dispatcher(cluster, outbox.registry, owner="d1", allow_private_networks=True, schedule=FAST)
    apps = [outbox.app(fixtures.app_of_partition(n), receiver.url) for n in range(0, 16, 5)]
    try:
        dispatcher.start()
        receiver.responses.append(ERROR)
        for app in apps:
            outbox.put(app, ROOM % 1, ROOM % 1)
        receiver.wait(9)
        outbox.wait_until(lambda: not any(outbox.left(app) for app in apps))
    finally:
        dispatcher.stop(timeout=1)
        cluster.client.close()


def test_certificate_and_name_are_verified(outbox: Outbox, start: Start, tmp_path: Path) -> None:
    pem = tmp_path / "localhost.pem"
    pem.write_text(fixtures.CERTIFICATE)
    receiver = Receiver(certfile=str(pem), keyfile=str(pem))
    port = receiver.url.rpartition(":")[2]
    trusting = tls_context()
    trusting.load_verify_locations(cafile=str(pem))
    try:
        untrusted = outbox.app("untrusted", f"https://localhost:{port}")
        first = start("d1", network=Network(allow_private=True))
        (webhook,) = outbox.put(untrusted, ROOM % 1)
        outbox.wait_until(lambda: outbox.record(webhook))
        assert orjson.loads(outbox.record(webhook)["a1"])["error"] == "TLS: self-signed certificate"
        first.stop()

        start("d2", network=Network(allow_private=True, tls=trusting))
        wrong_name = outbox.app("wrong-name", f"https://127.0.0.1:{port}")
        (webhook,) = outbox.put(wrong_name, ROOM % 1)
        outbox.wait_until(lambda: outbox.record(webhook))
        assert "mismatch" in orjson.loads(outbox.record(webhook)["a1"])["error"]

        trusted = outbox.app("trusted", f"https://localhost:{port}/hooks")
        (webhook, _) = outbox.put(trusted, ROOM % 1, ROOM % 1)
        receiver.wait_until(lambda: webhook in receiver.ids())
        receiver.received[0].verify()
    finally:
        receiver.stop()


def test_the_address_that_was_checked_is_the_one_connected_to(outbox: Outbox, receiver: Receiver, start: Start) -> None:
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    app = outbox.app("demo", f"http://rebinding.example:{port}/")
    looked_up: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["10.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"]

    start(network=Network(resolve=resolve), schedule=Schedule(delays=(60.0,)))
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook))
    assert orjson.loads(outbox.record(webhook)["a1"])["error"] == "blocked: it leads to an address that is not public"
    assert looked_up == ["rebinding.example"]
    assert receiver.connections == 0


def test_dead_names_of_one_app_hold_up_no_other(receiver: Receiver) -> None:
    # One that threads wait for, and not greenlets.
    silence = monkey.get_original("threading", "Lock")()

    def resolve(host: str, port: int) -> list[str]:
        if host.startswith("dead"):
            with silence:
                pass
        return ["127.0.0.1"]

    network = Network(allow_private=True, resolve=resolve, threads=MAX_THREADS_OF_APP + 1)
    with silence:
        for number in range(2 * MAX_THREADS_OF_APP):
            with pytest.raises(AttemptFailed, match="no answer within"):
                Connections("attacker", f"http://dead{number}.example/", network).post({}, b"{}", 0.05)
        url = receiver.url.replace("127.0.0.1", "app.example")
        assert Connections("other", url, network).post({}, b"{}", 10).status == 200


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0", "[::]"],
)
def test_no_notation_of_a_private_address_gets_through(
    outbox: Outbox, receiver: Receiver, start: Start, host: str
) -> None:
    port = receiver.url.rpartition(":")[2].partition("/")[0]
    app = outbox.app("demo", f"http://{host}:{port}/")
    start(allow_private_networks=False)
    (webhook,) = outbox.put(app, ROOM % 1)
    outbox.wait_until(lambda: outbox.record(webhook))
    assert "is not public" in orjson.loads(outbox.record(webhook)["a1"])["error"]
    assert receiver.connections == 0
