"""The overload: a tenant whose clients ask as fast as they can, many times what it may."""

from __future__ import annotations

import time
from collections import Counter
from itertools import count

import gevent

from tests.chaos.parts import Ask, Request
from tests.chaos.world import REQUESTS_PER_SECOND, World

CLIENTS = 25
MAKERS = 5  # of the clients: each makes and deletes a room of its own; the others read
READS: tuple[Ask, ...] = (
    lambda client: next(client.list_rooms(limit=200).pages()),
    lambda client: next(client.list_sessions(limit=1000).pages()),
)
DONE, REFUSED, TOO_LATE = (200, 201, 409), (429, 503), (404,)
SLOWEST_SECONDS = 3.0
MAX_GROWN = 100 << 20
SHOWN = 5


class Flood:
    """`violations` is what was wrong in the end, `counts` how many requests there were, and refused."""

    def __init__(self, world: World, tenant: str) -> None:
        self.violations: list[str] = []
        self.counts: Counter[str] = Counter()
        self._world = world
        self._tenant = tenant
        self._turns = count()
        self._until = 0.0
        self._statuses: Counter[int | None] = Counter()
        self._wrong: list[Request] = []

    def go(self, seconds: float) -> None:
        services = [service for service in self._world.services["api"] if service.runs]
        before = {service.name: service.memory() for service in services}
        started = time.monotonic()
        self._until = started + seconds
        gevent.joinall([gevent.spawn(self._client, number) for number in range(CLIENTS)], raise_error=True)
        took = time.monotonic() - started
        for service in services:
            grown = service.memory() - before[service.name]
            if grown > MAX_GROWN:
                self.violations.append(f"{service.name} has grown by {grown >> 20} MB in an overload")
        self.violations += [f"in an overload, after {one.took:.1f} s: {one}" for one in self._wrong[:SHOWN]]
        # Whatever is more than that must have been refused. A second's worth may come at once, and a store that fails
        # over may forget an instant.
        done, may = sum(self._statuses[status] for status in DONE), (took + 1) * REQUESTS_PER_SECOND * 1.2
        if done > may:
            self.violations.append(f"in an overload of {took:.1f} s, {done} requests were let through, not {may:.0f}")
        self.counts["overload"] = self._statuses.total()
        self.counts["overload refused"] = sum(self._statuses[status] for status in REFUSED)

    def _client(self, number: int) -> None:
        while time.monotonic() < self._until:
            request = self._make(number) if number < MAKERS else self._ask(READS[number % len(READS)])
            if not request.sent:
                gevent.sleep(0.1)  # nobody listens: this is not to stop everything else
                continue
            self._statuses[request.status] += 1
            fine = request.status in (*DONE, *REFUSED, *TOO_LATE) and request.took < SLOWEST_SECONDS
            if not fine and not request.stalled:
                self._wrong.append(request)
            if request.status != 429:
                self._world.ledger.asked(request)

    def _make(self, number: int) -> Request:
        """Its room is there or not as the webhooks tell, which is how one that is left over is found the next time."""
        ledger, name = self._world.ledger, f"flood-{self._tenant}-{number}"
        room = ledger.rooms_by_name.get(name)
        if room and not ledger.histories[room].ended:
            return self._ask(lambda client: client.delete_room(room))
        return self._ask(lambda client: client.create_room(name))

    def _ask(self, ask: Ask) -> Request:
        return self._world.ask(self._tenant, ask, turn=next(self._turns))
