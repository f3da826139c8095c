"""What the API may ask about an app's webhooks, before and after the step in the store."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from controller.commands import (
    Command,
    GetDelivery,
    GetEndpoint,
    ListDeliveries,
    Redeliver,
    RedeliverRange,
    RotateSecret,
    SendTest,
    SetEndpoint,
)
from controller.errors import Refused
from controller.outbound.addresses import refusal
from controller.outbound.network import Network
from controller.registry import App, Registry
from controller.signing import new_secret, parse_secret, sign
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.connection import AttemptFailed, Connections, parse_url
from controller.webhooks.endpoint import Endpoint, fingerprint
from controller.webhooks.message import Webhook, parse_webhook_id, webhook_id
from controller.webhooks.types import TEST

TEST_SECONDS = 15.0

Args = dict[str, Any]


class Desk:
    """`before`: what a command's script needs besides its fields; it may raise Refused. `after`: the answer, made from
    the command, what was sent to the script, and what came back. Both by type of command.
    """

    def __init__(
        self, store: Store, registry: Registry, network: Network, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._registry = registry
        self._network = network
        self._clock = clock
        self.before: dict[type[Command], Callable[[Any], Args]] = {
            SetEndpoint: self._before_set,
            RotateSecret: self._before_rotate,
            GetDelivery: self._entry,
            Redeliver: lambda command: {**self._entry(command), **self._target(command)},
            RedeliverRange: self._target,
        }
        self.after: dict[type[Command], Callable[[Any, Args, Args], Args]] = {
            GetEndpoint: self._describe,
            SetEndpoint: self._describe,
            RotateSecret: lambda _command, args, answer: {
                "secret": args["secret"],
                "old_secret_until": answer["old_until"],
            },
            SendTest: self._test,
            ListDeliveries: lambda command, _args, answer: {
                "rows": [_delivery(command, row) for row in answer.get("rows", [])],
                "cursor": int(answer["cursor"]),
            },
            GetDelivery: lambda command, _args, answer: {
                **_delivery(command, answer),
                "data": orjson.loads(answer["data"]),
                "tried": [_attempt(int(number), text) for number, text in _by_number(answer["tried"])],
            },
        }

    # Endpoint

    def _before_set(self, command: SetEndpoint) -> Args:
        problem = None if self._network.allow_private else refusal(parse_url(command.url).host)
        if problem:
            raise Refused("url_refused", {"fields": [{"field": "url", "problem": problem}]})
        base = fingerprint(self._app(command).webhook_url)
        return {"types": orjson.dumps(command.types).decode(), "url_base": base}

    def _before_rotate(self, command: RotateSecret) -> Args:
        configured = self._app(command).webhook_secret
        return {"secret": new_secret(), "configured": configured, "secret_base": fingerprint(configured)}

    def _describe(self, command: Command, _args: Args, answer: Args) -> Args:
        return self._endpoint(command, answer).describe(self._clock())

    def _test(self, command: SendTest, _args: Args, answer: Args) -> Args:
        """Outside the outbox: whoever asks waits for the outcome."""
        endpoint, now = self._endpoint(command, answer), self._clock()
        if not endpoint.url:
            raise Refused("no_endpoint")
        entry = f"{answer['at']}-0"
        # No lane's: an id and a sequence of its own, for receivers that sort by them.
        message = webhook_id(keys.partition_of(command.app_id), entry).replace("msg_", "msg_test-")
        data = orjson.dumps({"app_id": command.app_id, "uuid": message, "sequence": 1})
        body = Webhook(entry, command.app_id, TEST, "", answer["at"], data).body
        started = time.monotonic()
        outcome: Args = {"status": None, "error": None, "answer": None}
        try:
            signature = sign(map(parse_secret, endpoint.secrets(now)), message, int(now), body)
            connections = Connections(command.app_id, endpoint.url, self._network)
            headers = {"webhook-id": message, "webhook-timestamp": str(int(now)), "webhook-signature": signature}
            try:
                found = connections.post(headers, body, TEST_SECONDS)
            finally:
                connections.close()
            outcome |= {"status": found.status, "answer": found.body.decode("utf-8", "replace")}
        except (AttemptFailed, ValueError) as error:
            outcome["error"] = str(error)
        delivered = outcome["status"] is not None and 200 <= outcome["status"] < 300
        latency = round((time.monotonic() - started) * 1000)
        return {"webhook_id": message, "delivered": delivered, "latency_ms": latency, **outcome}

    # Deliveries

    def _entry(self, command: GetDelivery | Redeliver) -> Args:
        found = parse_webhook_id(command.webhook_id)
        if found is None or found[0] != keys.partition_of(command.app_id):
            raise Refused("webhook_not_found")
        return {"entry": found[1]}

    def _target(self, command: Command) -> Args:
        """Whether there is anywhere to send to, and which endpoint that is."""
        endpoint = Endpoint(self._app(command), self._store.endpoint_of(command.app_id))
        return {"has_url": bool(endpoint.url), "mark": endpoint.mark}

    # Plumbing

    def _app(self, command: Command) -> App:
        app = self._registry.app(command.app_id)
        if app is None:  # removed since it was authenticated
            raise Refused("no_endpoint")
        return app

    def _endpoint(self, command: Command, answer: Args) -> Endpoint:
        return Endpoint(self._app(command), answer.get("record") or {})


def _delivery(command: Command, row: Args) -> Args:
    return {
        "webhook_id": webhook_id(keys.partition_of(command.app_id), row["id"]),
        "type": row["type"],
        "lane": row["lane"],
        "at": row["at"],
        "status": row["status"],
        "attempts": row["attempts"],
        "next": row.get("next"),
    }


def _by_number(tried: dict[str, str]) -> list[tuple[str, str]]:
    return sorted(tried.items(), key=lambda item: int(item[0]))


def _attempt(number: int, text: str) -> Args:
    stored = orjson.loads(text)
    return {"number": number, **{name: stored.get(name) for name in ("at", "status", "error", "latency_ms", "answer")}}
