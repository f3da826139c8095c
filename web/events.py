"""Server-sent events: the application's webhooks and the lines of its event log, as they happen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from flask import Response

from controller.errors import Refused, StoreUnavailable
from controller.live import Filter, Item, LiveEvent, Subscription
from controller.webhooks.types import ROOM
from web import auth, context
from web.auth import API_PREFIX
from web.context import app_id
from web.problems import Invalid
from web.resource import Resource
from web.schemas import LAST_EVENT_ID, EventHeaders, EventQuery

MEDIA_TYPE = "text/event-stream"
# After which a reader comes back whose stream has ended.
RETRY_MS = 2000
# How often it is looked at whether the reader may still read; at a quiet stream when it says where it is.
CHECK_SECONDS = 10.0

# OpenAPI 3.1 has no form for a stream: this is the form of one event, as the next version has it.
_EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "id": {"type": "string", "examples": ["p07-1795374235886-3"]},
        "event": {"type": "string", "examples": ["conference.created"]},
        "data": {"type": "string", "description": "JSON: `type`, `timestamp`, `data`, and of a webhook `webhook_id`."},
    },
}
_EXAMPLE = {
    "id": "p07-1795374235886-3",
    "event": "conference.created",
    "data": '{"type":"conference.created","timestamp":"2026-11-22T19:03:55.886Z","data":{"app_id":"demo","room_id":"'
    f'{ROOM}","sequence":1,"name":"weekly-standup"}},"webhook_id":"msg_p07-1795374235886-0"}}',
}

events = Resource("events", "What happens, as it happens.", url_prefix=f"{API_PREFIX}/events")


@events.serves(
    "GET",
    "",
    responses={
        200: {
            "description": "Server-sent events, without end.",
            "content": {MEDIA_TYPE: {"schema": _EVENT, "example": _EXAMPLE}},
        }
    },
    refuses=("room_forbidden", "quota_exceeded", "too_many_streams"),
    details={"quota_exceeded": {"quota": "streams", "limit": 100, "used": 100}},
)
def stream_events(query: EventQuery, header: EventHeaders) -> Response:
    """Follow what happens, as server-sent events.

    Each webhook comes as an event of its type, whose data is the webhook's body with its `webhook_id`; any other line
    of the event log about the application as `log.command`, `log.refused`, `log.state` or `log.delivery`.
    `stream.gap` says that some may be missing, since they are not kept any longer."""
    wanted = Filter(rooms=query.rooms, types=query.types)
    owner = app_id()
    return stream(
        lambda cut_off: context.streams().open(owner, wanted, header.last_event_id, cut_off),
        auth.remains(owner),
        spoken_in=(owner, query.rooms[0]) if context.actor() and len(query.rooms) == 1 else None,
    )


def stream(
    open_: Callable[[Callable[[], None]], Subscription],
    may_read: Callable[[], bool],
    *,
    spoken_in: tuple[str, str] | None = None,
) -> Response:
    """The response that gives the events of a subscription to whoever sent the current request.

    `open_`: opens the subscription, with what cuts the reader off. `may_read`: whether the reader still may; asked
    every few seconds outside of the request's context, and the stream ends if not. `spoken_in`: app and room of which
    it also tells who speaks, to a page of the console. Raises Invalid for an id of an event
    that `open_` does not know (ValueError), Refused, StoreUnavailable.
    """
    connection = context.connection()
    try:
        subscription = open_(connection.cut_off)
    except ValueError as error:
        raise Invalid([(LAST_EVENT_ID, str(error))]) from None
    if not connection.begin_stream(subscription.end):
        subscription.close()
        raise Refused("too_many_streams")
    response = Response(_frames(subscription, may_read), content_type=MEDIA_TYPE)
    response.headers["X-Accel-Buffering"] = "no"  # for proxies
    response.call_on_close(subscription.close)
    if spoken_in and (console := context.console()):
        response.call_on_close(console.speaking.follow(*spoken_in, subscription.push))
    return response


def _frames(subscription: Subscription, may_read: Callable[[], bool]) -> Iterator[bytes]:
    # An id without data is no event: it is where the reader resumes if nothing comes.
    yield f"retry: {RETRY_MS}\nid: {subscription.id}\n\n".encode()
    checked_at = time.monotonic()
    try:
        for batch in subscription.batches():
            if time.monotonic() - checked_at > CHECK_SECONDS:
                checked_at = time.monotonic()
                if not may_read():
                    return
            yield b"".join([_frame(subscription, item) for item in batch]) or f"id: {subscription.id}\n\n".encode()
    except StoreUnavailable:
        # The reader comes back and is told.
        return


def _frame(subscription: Subscription, item: Item) -> bytes:
    id_line = f"id: {subscription.passed(item)}\n" if isinstance(item, LiveEvent) else ""
    return b"%sevent: %s\ndata: %s\n\n" % (id_line.encode(), item.name.encode(), subscription.body_of(item))
