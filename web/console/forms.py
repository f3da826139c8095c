"""The forms of what the console's pages ask."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, PlainValidator

from controller.ids import NODE_PREFIX
from controller.live import Filter
from controller.operators import TOKEN
from controller.overview import LogPlace, Place, parse_log_id
from controller.passwords import MAX_LENGTH, MIN_LENGTH
from controller.store.states import SESSION_STATES
from controller.webhooks.types import OneOf
from web.schemas import (
    LAST_EVENT_ID,
    Body,
    Limit,
    PortalLinkBody,
    Query,
    RecordingPath,
    RoomId,
    RoomName,
    Tag,
    split_list,
)

MAX_PAGE = 200
MAX_TEXT = 128
MAX_MINUTES = 60

_PLACE = re.compile("([A-Za-z0-9][A-Za-z0-9_-]{0,63}):([0-9]{1,15})")


def _place(text: str) -> Place:
    if not text:
        return Place()
    found = _PLACE.fullmatch(text)
    if not found:
        raise ValueError("must be the cursor of the page before")
    return Place(found[1], int(found[2]))


def _log_place(text: str) -> LogPlace:
    try:
        return parse_log_id(text)
    except ValueError:
        raise ValueError("must be the `before` of the page before") from None


def cursor_of(place: Place | None) -> str:
    return f"{place.app_id}:{place.position}" if place else ""


Text = Annotated[str, Field(max_length=MAX_TEXT)]
LongText = Annotated[str, Field(max_length=1024)]


class LoginBody(Body):
    name: Text
    password: Annotated[str, Field(max_length=MAX_LENGTH)]


class OpenBody(Body):
    token: Annotated[str, Field(max_length=MAX_TEXT, pattern=f"^{TOKEN.pattern}$")]


def _long_enough(password: str) -> str:
    if len(password) < MIN_LENGTH:
        raise ValueError(f"must have at least {MIN_LENGTH} characters")
    return password


class PasswordBody(Body):
    """`password`: the one until now."""

    password: Annotated[str, Field(max_length=MAX_LENGTH)]
    new_password: Annotated[str, Field(max_length=MAX_LENGTH), AfterValidator(_long_enough)]


class LinkBody(PortalLinkBody):
    app: Text


class AcrossPage(Query):
    """A page over all apps, or of one."""

    app: Text = ""
    limit: Limit = 50
    cursor: Annotated[Place, PlainValidator(_place)] = Place()


class RoomsPage(AcrossPage):
    name: RoomName | None = None
    tag: Tag | None = None


class SessionsPage(AcrossPage):
    state: Annotated[str | None, OneOf(*SESSION_STATES)] = None


class LogPage(Query):
    app: Text = ""
    room: Text = ""
    session: Text = ""
    kind: Text = ""
    type: Text = ""
    limit: Limit = 100
    before: Annotated[LogPlace | None, PlainValidator(_log_place)] = None


class HistoryQuery(Query):
    minutes: Limit = MAX_MINUTES


class EventsQuery(Query):
    """What to follow; of each, texts with commas between."""

    app: LongText = ""
    room: LongText = ""
    session: LongText = ""
    kind: LongText = ""
    type: LongText = ""

    @property
    def wanted(self) -> Filter:
        return Filter(*map(split_list, (self.app, self.room, self.session, self.kind, self.type)))


class EventsHeader(BaseModel):
    last_event_id: Annotated[str, Field(default="", alias=LAST_EVENT_ID, max_length=1024)]


class NodePath(BaseModel):
    prefix: Annotated[str, Field(pattern=f"^{NODE_PREFIX.pattern}$")]


class RecordingOfAppPath(RecordingPath):
    app_id: Text


class LinkQuery(Query):
    key: Text = ""


class RoomOfAppPath(BaseModel):
    app_id: Text
    room_id: RoomId
