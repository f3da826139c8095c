"""Under load: a rolling restart loses no request, and more than can be served is refused quickly."""

from __future__ import annotations

import http.client
import itertools
import json
import signal
from collections import Counter
from pathlib import Path

import gevent

from tests.e2e.nodes import PREFIX, EmulatedNode
from tests.e2e.system import DIDS, KEYS, Receiver, Switchroom

HEADERS = {"X-App-ID": "alpha", "X-API-Key": KEYS["alpha"], "Content-Type": "application/json"}


class Client:
    """Sends to the processes in turn, as a balancer does: only a connection that was refused goes to the next."""

    def __init__(self, services: list[Switchroom], numbers: itertools.count[int]) -> None:
        self.services = services
        self.numbers = numbers
        self.statuses: Counter[int] = Counter()
        self.errors: set[str] = set()
        self.created: list[str] = []
        self.going = True

    def run(self) -> None:
        turn = 0
        while self.going:
            turn += 1
            connection = http.client.HTTPConnection(
                "127.0.0.1",
                self.services[turn % len(self.services)].port,
                timeout=30,  # a longer wait is an error
            )
            try:
                connection.connect()
            except ConnectionRefusedError:
                continue
            name = f"room-{next(self.numbers)}"
            try:
                connection.request("POST", "/api/v1/conferences", json.dumps({"name": name}), HEADERS)
                response = connection.getresponse()
                response.read()
                self.statuses[response.status] += 1
                if response.status == 201:
                    self.created.append(name)
                else:
                    self.errors.add(str(response.getheader("X-Error-Code")))
            except OSError as error:
                self.statuses[0] += 1
                self.errors.add(str(error))
            finally:
                connection.close()


def test_a_rolling_restart_loses_no_request(tmp_path: Path) -> None:
    hooks, node = Receiver(), EmulatedNode()
    services = [Switchroom(tmp_path, {PREFIX: node}, hooks.url) for _ in range(2)]
    try:
        for service in services:
            service.start()
        services[0].wait_up()
        numbers = itertools.count()
        clients = [Client(services, numbers) for _ in range(3)]
        runs = [gevent.spawn(client.run) for client in clients]
        for service in services:
            assert service.stop(signal.SIGTERM) == 0
            service.start()
            service.wait_up()
        for client in clients:
            client.going = False
        gevent.joinall(runs, timeout=40, raise_error=True)
        # On a slow machine a node may take seconds to change hands, for which there is none.
        assert set[str]().union(*(client.errors for client in clients)) <= {"no_node"}
        listed: set[str] = set()
        cursor = ""
        while True:
            page = services[0].get(f"/api/v1/conferences?limit=200&cursor={cursor}").body
            listed |= {room["name"] for room in page["conferences"]}
            cursor = page["cursor"]
            if not cursor:
                break
        created = {name for client in clients for name in client.created}
        assert created <= listed
        assert len(created) > 50
    finally:
        services[1].stop(signal.SIGKILL)
        services[0].close()
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
        assert service.memory() - before < 100 << 20
    finally:
        service.close()
        node.close()
        hooks.close()
