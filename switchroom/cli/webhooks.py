"""`switchroom webhooks`: what became of an app's webhooks."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from controller.commands.webhooks import (
    Attempt,
    Delivery,
    GetDelivery,
    ListDeliveries,
    Redeliver,
    RedeliverRange,
)
from controller.store.states import LISTED_STATUSES
from controller.times import iso_ms
from controller.webhooks.types import TYPES
from switchroom.cli.base import Context, Group, as_json_option, print_fields, print_table
from switchroom.cli.times import time_option

PAGE_SIZE = 200
DELIVERY_COLUMNS = ("webhook_id", "type", "room_id", "uuid", "created_at", "status", "attempts", "next_attempt_at")
ATTEMPT_COLUMNS = ("number", "at", "status", "error", "latency_ms", "answer")


@click.group(cls=Group)
def webhooks() -> None:
    """What became of an app's webhooks."""


since_option = click.option("--since", callback=time_option, help="What happened since: 10m, 2h, 1d ago, or ISO 8601.")
until_option = click.option("--until", "till", callback=time_option, help="What happened before, in the same forms.")


@webhooks.command("list")
@click.argument("app_id", metavar="APP")
@click.option("--status", type=click.Choice(LISTED_STATUSES), help="Only these.")
@click.option("--type", type=click.Choice(TYPES), metavar="TYPE", help="Only of this type.")
@click.option("--room", help="Only of this room.")
@since_option
@until_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most to list.")
@as_json_option
@click.pass_obj
def list_webhooks(context: Context, /, *, app_id: str, limit: int, as_json: bool, **narrowing: Any) -> None:
    """List webhooks that were attempted, the newest first."""
    rows: list[dict[str, Any]] = []
    after = 0
    with context.controller_for(app_id) as controller:
        while len(rows) < limit:
            page_size = min(PAGE_SIZE, limit - len(rows))
            page = controller.execute(ListDeliveries(app_id=app_id, limit=page_size, after=after, **narrowing))
            rows += map(_delivery, page["rows"])
            if not (after := page["cursor"]):
                break
    print_table(DELIVERY_COLUMNS, rows, as_json)


@webhooks.command()
@click.argument("app_id", metavar="APP")
@click.argument("webhook_id", metavar="WEBHOOK")
@as_json_option
@click.pass_obj
def show(context: Context, *, app_id: str, webhook_id: str, as_json: bool) -> None:
    """Show a webhook, with every attempt."""
    with context.controller_for(app_id) as controller:
        found = controller.execute(GetDelivery(app_id=app_id, webhook_id=webhook_id))
    delivery = _delivery(found)
    attempts = list(map(_attempt, found["tried"]))
    if as_json:
        print_fields({**delivery, "data": found["data"], "tried": attempts}, as_json)
        return
    print_fields({**delivery, "data": json.dumps(found["data"])}, as_json)
    if attempts:
        click.echo()
        # What an endpoint said is the tenant's: quoted, to tell what belongs to it.
        rows = [{**attempt, "answer": _quoted(attempt["answer"])} for attempt in attempts]
        print_table(ATTEMPT_COLUMNS, rows, as_json)


@webhooks.command(short_help="Send one webhook again, or all that have failed.")
@click.argument("app_id", metavar="APP")
@click.argument("webhook_id", metavar="[WEBHOOK]", required=False)
@since_option
@until_option
@click.pass_obj
def redeliver(context: Context, *, app_id: str, webhook_id: str | None, since: int | None, till: int | None) -> None:
    """Send one webhook again, or with --since all that have failed of those since then."""
    if (webhook_id is None) == (since is None) or (webhook_id and till):
        raise click.UsageError("give either WEBHOOK or --since; --until goes with --since")
    end = int(time.time() * 1000) if till is None else till
    if since is not None and end < since:
        raise click.UsageError("--since is after --until, which is now if not given")
    with context.controller_for(app_id) as controller:
        if webhook_id:
            controller.execute(Redeliver(app_id=app_id, webhook_id=webhook_id))
            count = 1
        else:
            count = controller.execute(RedeliverRange(app_id=app_id, since=since or 0, till=end))["webhooks"]
    click.echo(f"{count} will be sent again")


def _delivery(found: Delivery) -> dict[str, Any]:
    """With the API's names and times."""
    return {
        "webhook_id": found["webhook_id"],
        "type": found["type"],
        "room_id": found["room_id"],
        "uuid": found["session_id"],
        "created_at": iso_ms(found["at"]),
        "status": found["status"],
        "attempts": found["attempts"],
        "next_attempt_at": iso_ms(found["next"]),
    }


def _attempt(found: Attempt) -> dict[str, Any]:
    return {**found, "at": iso_ms(found["at"])}


def _quoted(text: str | None) -> str | None:
    return None if text is None else json.dumps(text)
