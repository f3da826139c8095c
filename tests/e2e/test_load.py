"""Under load: a rolling restart loses no request, and more than can be served is refused quickly."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
import time
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

import gevent

from switchroom import config
from tests.e2e.nodes import PREFIX, EmulatedNode
from tests.e2e.system import DIDS, KEYS, Receiver, Switchroom
from tests.open_store import opened

CONFERENCES = "/api/v1/conferences"
HEADERS = {"X-App-ID": "alpha", "X-API-Key": KEYS["alpha"], "Content-Type": "application/json"}

MAX_ROOMS = 50  # of a client: its app may have only so many


class Client:
    """Makes rooms, and gives up the oldest. It sends to the processes in turn, as a balancer does: only a connection that
    was refused goes to the next.
    """

    def __init__(self, services: list[Switchroom], numbers: itertools.count[int]) -> None:
        self.services = services
        self.numbers = numbers
        self.statuses: Counter[int] = Counter()
        self.errors: list[tuple[str, float]] = []  # why, and when it was asked
        self.rooms: list[str] = []
        self.seconds = defaultdict[int, list[float]](list)  # that each response took, by status
        self.going = True

    def run(self) -> None:
        turn = 0
        while self.going:
            turn += 1
            old = self.rooms[0] if len(self.rooms) == MAX_ROOMS else ""
            began = time.monotonic()
            connection = http.client.HTTPConnection(
                "127.0.0.1",
                self.services[turn % len(self.services)].port,
                timeout=30,  # a longer wait is an error
            )
            try:
                connection.connect()
            except ConnectionRefusedError:
                continue
            try:
                if old:
                    connection.request("DELETE", f"{CONFERENCES}/{old}", headers=HEADERS)
                else:
                    name = f"room-{next(self.numbers)}"
                    connection.request("POST", CONFERENCES, json.dumps({"name": name}), HEADERS)
                response = connection.getresponse()
                text = response.read()
                self.statuses[response.status] += 1
                if response.status == 201:
                    self.rooms.append(json.loads(text)["room_id"])
                elif response.status == 200:
                    self.rooms.remove(old)
                else:
                    self.errors.append((str(response.getheader("X-Error-Code")), began))
                self.seconds[response.status].append(time.monotonic() - began)
            except OSError as error:
                self.statuses[0] += 1
                self.errors.append((str(error), began))
            finally:
                connection.close()


def listed(service: Switchroom) -> set[str]:
    """The ids of all rooms."""
    found: set[str] = set()
    cursor = ""
    while True:
        page = service.get(f"{CONFERENCES}?limit=200&cursor={cursor}").body
        found |= {room["room_id"] for room in page["conferences"]}
        cursor = page["cursor"]
        if not cursor:
            return found


def test_a_rolling_restart_loses_nothing_and_refuses_only_while_a_node_changes_hands(tmp_path: Path) -> None:
    hooks, node = Receiver(), EmulatedNode()
    first, second = services = [Switchroom(tmp_path, {PREFIX: node}, hooks.url) for _ in range(2)]
    numbers = itertools.count()

    def wait_handed_over(to: Switchroom) -> None:
        with opened(config.load(first.config, {})) as store, gevent.Timeout(40):
            while not store.holders([PREFIX]):
                gevent.sleep(0.02)
            while to.post(CONFERENCES, {"name": f"room-{next(numbers)}"}).status != 201:
                gevent.sleep(0.02)

    try:
        for service in services:
            service.start()
        first.wait_up()
        clients = [Client(services, numbers) for _ in range(3)]
        runs = [gevent.spawn(client.run) for client in clients]
        changing_hands = []
        for service, other in ((first, second), (second, first)):
            began = time.monotonic()
            assert service.stop(signal.SIGTERM) == 0
            # The other one has the node before the one that stopped is back.
            wait_handed_over(other)
            changing_hands.append((began, time.monotonic()))
            service.start()
            service.wait_up()
        for client in clients:
            client.going = False
        gevent.joinall(runs, timeout=40, raise_error=True)
        errors = [error for client in clients for error in client.errors]
        # On a busy machine that takes seconds, for which there is no node; and at no other time.
        assert {code for code, _ in errors} <= {"no_node"}
        assert [at for _, at in errors if not any(start <= at <= end for start, end in changing_hands)] == []
        assert sum(client.statuses[201] for client in clients) > 50
        assert {room for client in clients for room in client.rooms} <= listed(first)
    finally:
        second.stop(signal.SIGKILL)
        first.close()
        node.close()
        hooks.close()


def test_more_than_can_be_served_is_refused_quickly_and_events_go_on(tmp_path: Path) -> None:
    hooks, node = Receiver(), EmulatedNode()
    service = Switchroom(tmp_path, {PREFIX: node}, hooks.url, requests_per_second=5)
    try:
        service.start()
        service.wait_up()
        before = service.memory()
        clients = [Client([service], itertools.count(number * 1_000_000)) for number in range(30)]
        runs = [gevent.spawn(client.run) for client in clients]
        # Calls come in all the while.
        for number in range(10):
            node.call(DIDS["alpha"], f"5271{number}")
            hooks.wait("session.started", caller_id=f"5271{number}")
        for client in clients:
            client.going = False
        gevent.joinall(runs, timeout=40, raise_error=True)
        statuses = sum((client.statuses for client in clients), Counter[int]())
        assert set(statuses) <= {201, 429, 503}, statuses
        assert statuses[429] > statuses[201]
        # On a busy machine both take longer.
        refusing, serving = (
            median(itertools.chain(*(client.seconds[status] for client in clients))) for status in (429, 201)
        )
        assert refusing < 2 * serving
        assert service.memory() - before < 100 << 20
    finally:
        service.close()
        node.close()
        hooks.close()
