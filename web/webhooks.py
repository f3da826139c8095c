"""The application's webhook endpoint, and what became of its webhooks."""

from __future__ import annotations

from typing import Any

from controller.commands import (
    Delivery,
    GetDelivery,
    GetEndpoint,
    ListDeliveries,
    Redeliver,
    RedeliverRange,
    RotateSecret,
    SendTest,
    SetEndpoint,
)
from controller.times import iso_ms, parse_ms
from controller.webhooks.endpoint import Settings
from web.auth import API_PREFIX
from web.context import app_id, cursors, execute
from web.resource import Resource, Returned
from web.schemas import (
    MAX_DELIVERIES,
    DeliveryDetail,
    DeliveryList,
    DeliveryPage,
    Endpoint,
    EndpointBody,
    Nothing,
    RangeBody,
    RangeRedelivery,
    Redelivery,
    Secret,
    SentTest,
    TestBody,
    WebhookPath,
)

_SENDING = ("no_endpoint", "endpoint_disabled", "store_full")

webhooks = Resource("webhooks", "Where webhooks go, and what became of them.", url_prefix=f"{API_PREFIX}/webhooks")


@webhooks.serves("GET", "/endpoint", responses={200: Endpoint})
def get_endpoint() -> Returned:
    """Show the webhook endpoint.

    Its secret is never shown."""
    return _endpoint(execute(GetEndpoint(app_id=app_id()))), 200


@webhooks.serves("PUT", "/endpoint", responses={200: Endpoint}, refuses=("url_refused",))
def set_endpoint(body: EndpointBody) -> Returned:
    """Set the webhook endpoint, and enable it.

    Holds within a second, and until the configuration file's own value changes."""
    return _endpoint(execute(SetEndpoint(app_id=app_id(), url=body.url, types=tuple(body.types)))), 200


@webhooks.serves("POST", "/endpoint/rotate-secret", responses={200: Secret}, refuses=("store_full",))
def rotate_secret(body: Nothing) -> Returned:  # noqa: ARG001
    """Make a new secret, which is shown this once.

    For 24 hours webhooks are signed with the old one too."""
    return {"secret": execute(RotateSecret(app_id=app_id()))["secret"]}, 200


@webhooks.serves(
    "POST",
    "/endpoint/test",
    responses={200: SentTest},
    refuses=("no_endpoint", "store_full"),
    cooldown=SendTest.cooldown,
)
def send_test(body: TestBody) -> Returned:
    """Send a `webhook.test`, or a sample of another type, now, and say what came of it.

    Answers after 15 s at the most. Also while the endpoint is disabled. The ids in a sample are nobody's, and its own
    begins with `msg_test-`. Rate limit `webhook_test`: 2 s for each application."""
    sent = execute(SendTest(app_id=app_id(), type=body.type))
    return {**sent}, 200


@webhooks.serves("GET", "/deliveries", responses={200: DeliveryList})
def list_deliveries(query: DeliveryPage) -> Returned:
    """List webhooks that were attempted, the newest first.

    At most 200 in a page. Failed ones are kept for 30 days, of the delivered ones the last 1,000 for 3 days."""
    scope = (app_id(), "deliveries", *query.narrowed_by)
    command = ListDeliveries(
        app_id=app_id(),
        limit=min(query.limit, MAX_DELIVERIES),
        after=cursors().open(query.cursor, *scope),
        status=query.status,
        type=query.type,
        room=query.room_id,
        since=parse_ms(query.since) if query.since else None,
        till=parse_ms(query.until) if query.until else None,
    )
    answer = execute(command)
    rows = [_delivery(row) for row in answer["rows"]]
    return {"deliveries": rows, "cursor": cursors().seal(answer["cursor"], *scope)}, 200


@webhooks.serves("GET", "/deliveries/<webhook_id>", responses={200: DeliveryDetail}, refuses=("webhook_not_found",))
def get_delivery(path: WebhookPath) -> Returned:
    """Show a webhook, with every attempt."""
    found = execute(GetDelivery(app_id=app_id(), webhook_id=path.webhook_id))
    tried = [{**attempt, "at": iso_ms(attempt["at"])} for attempt in found["tried"]]
    return {**_delivery(found), "data": found["data"], "tried": tried}, 200


@webhooks.serves(
    "POST",
    "/deliveries/<webhook_id>/redeliver",
    responses={202: Redelivery},
    refuses=("webhook_not_found", "webhook_pending", *_SENDING),
)
def redeliver(path: WebhookPath, body: Nothing) -> Returned:  # noqa: ARG001
    """Send a webhook again that was delivered or has failed.

    With the same id, out of its room's order, and with retries as at first."""
    execute(Redeliver(app_id=app_id(), webhook_id=path.webhook_id))
    return {"webhook_id": path.webhook_id, "status": "retrying"}, 202


@webhooks.serves("POST", "/redeliver", responses={202: RangeRedelivery}, refuses=("redelivery_under_way", *_SENDING))
def redeliver_range(body: RangeBody) -> Returned:
    """Send all webhooks of a time again that have failed.

    They are sent bit by bit, from the oldest to the newest; one such request at a time."""
    command = RedeliverRange(app_id=app_id(), since=parse_ms(body.since), till=parse_ms(body.until))
    return {"webhooks": execute(command)["webhooks"]}, 202


def _endpoint(found: Settings) -> dict[str, Any]:
    return {
        "url": found["url"],
        "types": found["types"],
        "status": found["status"],
        "since": iso_ms(found["since"]),
        "reason": found["reason"],
        "old_secret_until": iso_ms(found["old_secret_until"]),
    }


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "webhook_id": row["webhook_id"],
        "type": row["type"],
        "room_id": row["room_id"],
        "uuid": row["session_id"],
        "created_at": iso_ms(row["at"]),
        "status": row["status"],
        "attempts": row["attempts"],
        "next_attempt_at": iso_ms(row["next"]),
    }
