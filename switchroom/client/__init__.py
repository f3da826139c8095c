"""A client of Switchroom's API, for programs of any kind: typed, and without gevent.

    from switchroom.client import Client

    with Client("https://switchroom.example.com", app_id="demo", api_key="...") as client:
        room = client.create_room("weekly-standup")
        for session in client.list_sessions(state="parked"):
            client.join(session.uuid, room.room_id)

`webhooks` verifies what the service sends, and `fake` stands in for the service in your own tests: see docs/client.md.
"""

from switchroom.client.client import Client, Content, EventStream, Listing
from switchroom.client.errors import (
    APIError,
    Conflict,
    Forbidden,
    InvalidRequest,
    InvalidWebhook,
    NoResponse,
    NotFound,
    SwitchroomError,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from switchroom.client.events import Event
from switchroom.client.webhooks import Verifier, Webhook

__all__ = [
    "APIError",
    "Client",
    "Conflict",
    "Content",
    "Event",
    "EventStream",
    "Forbidden",
    "InvalidRequest",
    "InvalidWebhook",
    "Listing",
    "NoResponse",
    "NotFound",
    "SwitchroomError",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "Verifier",
    "Webhook",
]
