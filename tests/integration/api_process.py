"""API processes on the real store, to each of which something may happen at any step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from controller.controller import Controller
from controller.limits import Limits
from controller.operators import Logins
from controller.registry import Registry
from controller.rooms.placement import Placement
from tests.integration.world import NO_COOLDOWNS
from tests.open_store import OpenStore
from tests.unit.web_fakes import FakeOverview, FakeSpeaking, FakeStatistics, FakeStreams
from web.app import create_app
from web.context import Console

KEY = "key-of-demo-0123"
A_DAY_MS = 86_400_000
# Whatever a repeated request must not do again. Queries and what counts requests leave no trace in these.
TRACES = ("outbox", "commands")


class Died(BaseException):
    """The process was killed: nothing of it handles that."""


def die() -> None:
    raise Died


class Watched(OpenStore):
    """The store, for a process to which something happens at one of its steps, `at` so many: before it, or after."""

    at = 0
    after = False
    happens: Callable[[], object] = staticmethod(die)

    def run_each(self, steps: Any) -> Any:
        self.at -= 1
        if self.at == 0 and not self.after:
            self.happens()
        replies = super().run_each(steps)
        if self.at == 0 and self.after:
            self.happens()
        return replies


class OneRelay:
    """A relay that lives, without asking the store."""

    def live(self) -> list[str]:
        return ["127.0.0.1:8090"]

    keepers = live


class Api:
    """An API process."""

    def __init__(self, store: OpenStore) -> None:
        self.registry = Registry(store)
        limits = Limits(requests_per_second=10_000, cooldowns=NO_COOLDOWNS)
        placement = Placement(store, self.registry)
        self.controller = Controller(
            store,
            self.registry,
            placement,
            limits,
            resolve=lambda _host, _port: ["93.184.216.34"],
            allow_private_webhooks=True,
            relays=cast(Any, OneRelay()),
        )
        logins = Logins(store, self.registry, hours=1)
        console = Console(logins, cast(Any, FakeOverview()), cast(Any, FakeStatistics()), cast(Any, FakeSpeaking()))
        self.http: FlaskClient = create_app(self.controller, FakeStreams(), console=console).test_client()

    def send_webhooks_to(self, url: str) -> None:
        headers = {"X-App-ID": "demo", "X-API-Key": KEY}
        assert self.http.put("/api/v1/webhooks/endpoint", json={"url": url}, headers=headers).status_code == 200

    def post(self, path: str, body: Any = None, key: str | None = "k-1", app: str = "demo") -> TestResponse:
        headers = {"X-App-ID": app, "X-API-Key": KEY} | ({} if key is None else {"Idempotency-Key": key})
        return self.http.post(f"/api/v1{path}", json=body, headers=headers)


def traces(store: OpenStore) -> list[Any]:
    """All that was done, but for the log's lines about refusals."""
    found = [store.client.xrange(key) for name in TRACES for key in sorted(store.client.keys(f"*:{name}*"))]
    logged = [entry for key in store.client.keys("*:log") for entry in store.client.xrange(key)]
    return [*found, [entry for entry in logged if b'"refused"' not in entry[1][b"e"]]]


def lapse(store: OpenStore) -> None:
    """As if all claims were older than they hold."""
    for key in store.client.keys("*:idempotency:*"):
        if b'"claim"' in (store.client.get(key) or b""):
            store.client.delete(key)
