"""What the API may do with an app's webhook endpoint."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypedDict

from controller.errors import Refused
from controller.ids import parse_webhook_id, webhook_id_of_test
from controller.outbound.addresses import refusal
from controller.outbound.network import Network
from controller.outbound.target import parse_url
from controller.registry import Registry
from controller.signing import fingerprint, new_secret
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.endpoint import Endpoint, Settings
from controller.webhooks.samples import sample_body
from controller.webhooks.sender import Sender

TEST_SECONDS = 15.0


class TestOutcome(TypedDict):
    """`status` is None when there was no response, and `error` says why."""

    webhook_id: str
    delivered: bool
    status: int | None
    error: str | None
    latency_ms: int
    answer: str | None


class WebhookApi:
    """`network` is what tests are sent over. Every method raises Refused for an app that was removed meanwhile."""

    def __init__(
        self, store: Store, registry: Registry, network: Network, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._registry = registry
        self._network = network
        self._clock = clock

    def check_url(self, url: str) -> None:
        """Raises Refused when the text of a URL shows that it leads nowhere public."""
        problem = None if self._network.allow_private else refusal(parse_url(url).host)
        if problem:
            raise Refused("url_refused", {"fields": [{"field": "url", "problem": problem}]})

    def url_base(self, app_id: str) -> str:
        """The fingerprint of the configured URL: what the API sets holds until that changes."""
        return fingerprint(self.endpoint(app_id).app.webhook_url)

    def rotation(self, app_id: str) -> dict[str, Any]:
        """What rotate_secret.lua needs: a new secret, the configured one, and its fingerprint."""
        configured = self.endpoint(app_id).app.webhook_secret
        return {"secret": new_secret(), "configured": configured, "secret_base": fingerprint(configured)}

    def endpoint(self, app_id: str, record: Mapping[str, str] | None = None) -> Endpoint:
        """`record`: the app's `endpoint` hash in the store."""
        app = self._registry.app(app_id)
        if app is None:
            raise Refused("no_endpoint")
        return Endpoint(app, record or {})

    def settings(self, app_id: str, record: Mapping[str, str]) -> Settings:
        return self.endpoint(app_id, record).describe(self._clock())

    def redelivery_args(self, app_id: str) -> dict[str, Any]:
        """What scripts that send webhooks again need: whether the app has an endpoint, and its mark."""
        endpoint = self.endpoint(app_id, self._store.endpoint_of(app_id))
        return {"has_url": bool(endpoint.url), "mark": endpoint.mark}

    def entry_of(self, app_id: str, message_id: str) -> str:
        """The outbox entry of a webhook. Raises Refused for an id that no webhook of the app can have."""
        found = parse_webhook_id(message_id)
        if found is None or found[0] != keys.partition_of(app_id):
            raise Refused("webhook_not_found")
        return found[1]

    def send_test(self, app_id: str, type_: str, record: Mapping[str, str], at: int, trace: str = "") -> TestOutcome:
        """Sends a sample of a type, without the outbox, and waits for its outcome, 15 s at the most. `at`: epoch ms;
        `trace`: its traceparent.
        """
        endpoint = self.endpoint(app_id, record)
        if not endpoint.url:
            raise Refused("no_endpoint")
        entry = f"{at}-0"
        # An id of its own, for receivers that sort by them.
        message = webhook_id_of_test(keys.partition_of(app_id), entry)
        body = sample_body(type_, app_id, message, at)
        sender = Sender(app_id, self._network, timeout=TEST_SECONDS, clock=self._clock)
        started = time.monotonic()
        try:
            attempt = sender.post(message, body, endpoint, trace)
        finally:
            sender.close()
        return TestOutcome(
            webhook_id=message,
            delivered=attempt.is_success,
            status=attempt.status,
            error=attempt.error,
            latency_ms=round((time.monotonic() - started) * 1000),
            answer=None if attempt.status is None else attempt.body.decode("utf-8", "replace"),
        )
