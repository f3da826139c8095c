"""One attempt to deliver a webhook: signed, and posted to the app's endpoint. Knows no store."""

from __future__ import annotations

import time
from collections.abc import Callable

from controller.ids import webhook_id
from controller.outbound.network import Network
from controller.signing import parse_secret, signed_headers
from controller.store import keys
from controller.webhooks.connection import AttemptFailed, Connections
from controller.webhooks.endpoint import Endpoint
from controller.webhooks.message import Webhook
from controller.webhooks.retry import Attempt, demand

ATTEMPT_SECONDS = 15.0

# Makes an attempt. It gets the traceparent of the request that caused the webhook, empty without one, and what sends
# the webhook with the traceparent that it is given.
Traced = Callable[[str, Callable[[str], Attempt]], Attempt]


def untraced(trace: str, send: Callable[[str], Attempt]) -> Attempt:
    return send(trace)


class Sender:
    """Sends an app's webhooks. Connections are kept until the endpoint's URL or secret changes. `timeout`: seconds for
    an attempt. `clock` gives wall time in seconds. `traced` makes each attempt.
    """

    def __init__(
        self,
        app_id: str,
        network: Network,
        *,
        timeout: float = ATTEMPT_SECONDS,
        clock: Callable[[], float] = time.time,
        traced: Traced = untraced,
    ) -> None:
        self._app_id = app_id
        self._tag = keys.partition_of(app_id)
        self._network = network
        self._timeout = timeout
        self._clock = clock
        self._traced = traced
        self._configured: tuple[str, tuple[str, ...]] | None = None
        self._connections: Connections | None = None
        self._keys: tuple[bytes, ...] = ()

    def send(self, webhook: Webhook, endpoint: Endpoint | None) -> Attempt:
        """Posts it, unless nothing is to be sent there. `endpoint`: None for an app that is gone."""
        if endpoint is None:
            return Attempt(skipped="there is no such app")
        if not endpoint.url:
            return Attempt(skipped="the app has no webhook URL")
        # What is in the retry queue was wanted once, or was asked for since.
        if not webhook.in_retry_queue and not endpoint.wants(webhook.type):
            return Attempt(skipped="the app does not want this type")
        if endpoint.disabled:
            return Attempt(withheld=f"the endpoint is disabled: {endpoint.disabled}")
        message_id = webhook_id(self._tag, webhook.entry)
        return self._traced(webhook.trace, lambda trace: self.post(message_id, webhook.body, endpoint, trace))

    def post(self, message_id: str, body: bytes, endpoint: Endpoint, trace: str = "") -> Attempt:
        """One request, whatever the endpoint's state. `trace`: its traceparent."""
        now = self._clock()
        try:
            connections = self._connect(endpoint.url, endpoint.secrets(now))
            headers = signed_headers(self._keys, message_id, int(now), body)
            if trace:
                headers["traceparent"] = trace
            response = connections.post(headers, body, self._timeout)
        except AttemptFailed as error:
            return Attempt(error=str(error), mark=endpoint.mark)
        asked = demand(response.status, response.retry_after, self._clock())
        return Attempt(response.status, response.body, demand=asked, mark=endpoint.mark)

    def sweep(self, now: float) -> None:
        """Closes connections that have not been used for a while. `now`: monotonic seconds."""
        if self._connections is not None:
            self._connections.sweep(now)

    def close(self) -> None:
        if self._connections is not None:
            self._connections.close()
            self._connections = None

    def _connect(self, url: str, secrets: tuple[str, ...]) -> Connections:
        if self._connections is None or self._configured != (url, secrets):
            self.close()
            try:
                self._keys = tuple(map(parse_secret, secrets))
                self._connections = Connections(self._app_id, url, self._network)
            except ValueError as error:
                raise AttemptFailed(str(error)) from None
            self._configured = (url, secrets)
        return self._connections
