"""Commands about an app's webhook endpoint, and about what became of its webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, TypedDict

import orjson

from controller.commands.base import Args, Command, Page, Parts
from controller.ids import is_room_id, webhook_id
from controller.store import keys
from controller.webhooks.api import TestOutcome
from controller.webhooks.endpoint import Settings
from controller.webhooks.types import TEST


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointCommand(Command[Settings]):
    """Answers the settings of the webhook endpoint."""

    def answer(self, parts: Parts, args: Args, reply: Args) -> Settings:
        return parts.webhooks.settings(self.app_id, reply.get("record", {}))


@dataclass(frozen=True, slots=True, kw_only=True)
class GetEndpoint(EndpointCommand):
    script: ClassVar[str] = "get_endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetEndpoint(EndpointCommand):
    """Enables the endpoint. Refused: `url_refused` (detail `fields`)."""

    url: str
    types: tuple[str, ...]

    script: ClassVar[str] = "set_endpoint"
    logged_as: ClassVar[str] = "webhook.endpoint.set"

    def prepare(self, parts: Parts) -> Args:
        parts.webhooks.check_url(self.url)
        return {
            "types": orjson.dumps(self.types).decode(),
            "url_base": parts.webhooks.url_base(self.app_id),
        }


class NewSecret(TypedDict):
    """`old_secret_until`: epoch ms."""

    secret: str
    old_secret_until: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateSecret(Command[NewSecret]):
    script: ClassVar[str] = "rotate_secret"
    logged_as: ClassVar[str] = "webhook.secret.rotated"

    def prepare(self, parts: Parts) -> Args:
        return parts.webhooks.rotation(self.app_id)

    def answer(self, parts: Parts, args: Args, reply: Args) -> NewSecret:
        return NewSecret(secret=reply["secret"], old_secret_until=reply["old_until"])


@dataclass(frozen=True, slots=True, kw_only=True)
class SendTest(Command[TestOutcome]):
    """Sends a `webhook.test`, or a sample of another type. Takes 15 s at the most. Refused: `no_endpoint`."""

    type: str = TEST

    script: ClassVar[str] = "test_endpoint"
    logged_as: ClassVar[str] = "webhook.test"
    cooldown: ClassVar[str] = "webhook_test"
    has_one_step: ClassVar[bool] = False

    def arguments(self) -> Args:
        return {"app_id": self.app_id}

    def answer(self, parts: Parts, args: Args, reply: Args) -> TestOutcome:
        record, at = reply.get("record", {}), reply["at"]
        return parts.webhooks.send_test(self.app_id, self.type, record, at, self.trace)


class Delivery(TypedDict):
    """A webhook. It is about a room, or about a session outside rooms; the other id is empty.

    `at`, `next`: epoch ms, `next` None unless it is retried. `status`: one of `states.DELIVERY_STATUSES`, `pending`
    before the first attempt.
    """

    webhook_id: str
    type: str
    room_id: str
    session_id: str
    at: int
    status: str
    attempts: int
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListDeliveries(Command[Page[Delivery]]):
    """Webhooks that were attempted at least once, the newest first. `since` and `till`: epoch ms. As with a `Listing`,
    a page may be short with more to come; one step reads it.
    """

    limit: int
    after: int = 0
    status: str | None = None
    type: str | None = None
    room: str | None = None
    since: int | None = None
    till: int | None = None

    script: ClassVar[str] = "list_deliveries"

    def answer(self, parts: Parts, args: Args, reply: Args) -> Page[Delivery]:
        return {
            "rows": [_delivery(self.app_id, row) for row in reply["rows"]],
            "cursor": int(reply["cursor"]),
        }


class Attempt(TypedDict):
    """`at`: epoch ms; `status`: of the HTTP response, None when there was none; `answer`: the start of its body."""

    number: int
    at: int
    status: int | None
    error: str | None
    latency_ms: int
    answer: str | None


class DeliveryDetail(Delivery):
    """`tried`: the last attempts, the oldest first."""

    data: dict[str, Any]
    tried: list[Attempt]


@dataclass(frozen=True, slots=True, kw_only=True)
class GetDelivery(Command[DeliveryDetail]):
    """Refused: `webhook_not_found`."""

    webhook_id: str

    script: ClassVar[str] = "get_delivery"

    def prepare(self, parts: Parts) -> Args:
        return {"entry": parts.webhooks.entry_of(self.app_id, self.webhook_id)}

    def answer(self, parts: Parts, args: Args, reply: Args) -> DeliveryDetail:
        tried = sorted((int(number), orjson.loads(text)) for number, text in reply["tried"].items())
        return {
            **_delivery(self.app_id, reply),
            "data": orjson.loads(reply["data"]),
            "tried": [
                Attempt(
                    number=number,
                    at=stored["at"],
                    status=stored.get("status"),
                    error=stored.get("error"),
                    latency_ms=stored["latency_ms"],
                    answer=stored.get("answer"),
                )
                for number, stored in tried
            ],
        }


class Redelivery(TypedDict):
    webhook_id: str
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Redeliver(Command[Redelivery]):
    """Answers `retrying`. Refused: `webhook_not_found`, `webhook_pending`, `no_endpoint`, `endpoint_disabled`."""

    webhook_id: str

    script: ClassVar[str] = "redeliver"
    logged_as: ClassVar[str] = "webhook.redeliver"

    def prepare(self, parts: Parts) -> Args:
        entry = parts.webhooks.entry_of(self.app_id, self.webhook_id)
        return {"entry": entry, **parts.webhooks.redelivery_args(self.app_id)}


class RangeRedelivery(TypedDict):
    """`webhooks`: how many will be sent again."""

    webhooks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeliverRange(Command[RangeRedelivery]):
    """Sends failed webhooks again, from `since` to before `till` (epoch ms), bit by bit. Refused: `no_endpoint`,
    `endpoint_disabled`, `redelivery_under_way`.
    """

    since: int
    till: int

    script: ClassVar[str] = "redeliver_range"
    logged_as: ClassVar[str] = "webhook.redeliver"

    def prepare(self, parts: Parts) -> Args:
        return parts.webhooks.redelivery_args(self.app_id)


def _delivery(app_id: str, row: Args) -> Delivery:
    subject = row["lane"].partition("/")[0]
    about_room = is_room_id(subject)
    return {
        "webhook_id": webhook_id(keys.partition_of(app_id), row["id"]),
        "type": row["type"],
        "room_id": subject if about_room else "",
        "session_id": "" if about_room else subject,
        "at": row["at"],
        "status": row["status"],
        "attempts": row["attempts"],
        "next": row.get("next"),
    }
