"""The client: a method for each operation of the API, with the operation's name and fields.

What is made again by itself, `retries` times at the most:

- a request that a 429 has refused, or that found no connection: nothing of it was carried out;
- a GET, PUT or PATCH, and what has a `command_uid` or an `idempotency_key`, that got a 502, 503 or 504 or no response:
  made twice, it does no harm;
- a request whose `idempotency_key` is in use: the attempt before it may still be carried out.

In between it waits as long as the service asks for, or longer each time if it does not say.
"""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Generic, Literal, Self, TypeVar
from urllib.parse import quote, urlencode

from pydantic import ValidationError
from pydantic_core import from_json

from switchroom.client import models
from switchroom.client.errors import BY_STATUS, APIError, NoResponse, TooManyRequests
from switchroom.client.events import Event, Reader
from switchroom.client.models import Detail, Model
from switchroom.client.transport import HTTPTransport, Request, Response, Stream, Transport

logger = logging.getLogger(__name__)

API = "/api/v1"
TIMEOUT = 20.0  # seconds. The test of a webhook endpoint responds after 15 at the most.
# Of a stream, on which something comes every 15 s.
STREAM_TIMEOUT = 60.0
RETRIES = 3
MAX_WAIT = 60.0  # seconds. A service that asks for more is not waited for.
FIRST_WAIT = 0.2  # seconds, doubled each time

_AGAIN = (502, 503, 504)
# The code of a 429 that no correct key gets.
_WRONG_KEY = "failures"
_IN_USE = "idempotency_key_in_use"


class Same(Enum):
    """What an option is when it is left as it is."""

    SAME = "same"


SAME = Same.SAME

M = TypeVar("M", bound=Model)
Page = TypeVar("Page", bound=models.Page)
Entry = TypeVar("Entry", bound=Model)
Fields = Mapping[str, Any]


class Listing(Generic[Page, Entry]):
    """A listing of the API. Iterating gives every entry, and asks for the next page when it is needed; `pages` gives
    the pages as they come. Each iteration begins anew.
    """

    def __init__(self, get: Callable[[str], Page], entries: Callable[[Page], list[Entry]], cursor: str) -> None:
        self._get = get
        self._entries = entries
        self._cursor = cursor

    def pages(self) -> Iterator[Page]:
        """A page of a listing that is narrowed may be short, or empty, and not be the last."""
        cursor, begun = self._cursor, False
        while cursor or not begun:
            page = self._get(cursor)
            yield page
            cursor, begun = page.cursor, True

    def __iter__(self) -> Iterator[Entry]:
        for page in self.pages():
            yield from self._entries(page)


class Content:
    """A file, piece by piece, each as it comes. `size`: of what comes in all. Raises NoResponse when it breaks off."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        if stream.response.status >= 300:
            stream.close()
            raise _error(stream.response)
        self.headers = stream.response.headers
        self.size = int(self.headers["content-length"])

    def __iter__(self) -> Iterator[bytes]:
        left = self.size
        for piece in self._stream.chunks:
            left -= len(piece)
            yield piece
        if left:
            raise NoResponse("the file has broken off", sent=True)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class EventStream:
    """Events, without end: it is there from the moment it is made. A connection that is lost is made anew and goes on
    where it was: no event is missing, and none comes twice. Raises APIError if the service refuses, and NoResponse if
    it cannot be reached at first, or sends something that is not a valid event.
    """

    def __init__(
        self, transport: Transport, request: Request, last_event_id: str, sleep: Callable[[float], None]
    ) -> None:
        self._transport = transport
        self._request = request
        self._sleep = sleep
        self._reader = Reader(last_event_id)
        self._stream = self._open()
        self._events = self._follow()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        return next(self._events)

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _open(self) -> Stream:
        last = self._reader.last_id
        headers = {**self._request.headers, "Last-Event-ID": last} if last else self._request.headers
        stream = self._transport.stream(replace(self._request, headers=headers))
        if stream.response.status >= 300:
            stream.close()
            raise _error(stream.response)
        return stream

    def _follow(self) -> Iterator[Event]:
        while True:
            reason = "it has ended"
            try:
                yield from self._reader.events(self._stream.chunks)
            except NoResponse as error:
                reason = str(error)
            except ValueError as error:
                raise NoResponse(f"what came is not of the API: {error}", sent=True) from error
            logger.warning("the event stream was lost, and is taken up again as soon as that works: %s", reason)
            self._stream.close()
            self._sleep(self._reader.retry)
            self._stream = self._open_again()
            logger.info("the event stream is back")

    def _open_again(self) -> Stream:
        """However long it takes: whoever follows events waits for the service to come back."""
        while True:
            try:
                return self._open()
            except (APIError, NoResponse) as error:
                wait = _wait(error, 0, repeatable=True)
                if wait is None:
                    raise
            self._sleep(max(wait, self._reader.retry))


class Client:
    """An app's client of the service at `url`. It may be used by several threads, and needs no gevent.

    `timeout`: seconds to connect, and again until a response has come. `retries`: how often a request is made again
    at the most, see above; 0 for never. Every method raises `APIError` for an error that the service responds with, a
    class for each status, and `NoResponse` if none came.
    """

    def __init__(
        self,
        url: str,
        *,
        app_id: str,
        api_key: str,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        transport: Transport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport or HTTPTransport(url)
        self._headers = {"X-App-ID": app_id, "X-API-Key": api_key}
        self._timeout = timeout
        self._retries = retries
        self._sleep = sleep

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    # Rooms

    def create_room(
        self,
        name: str,
        *,
        max_members: int | None = None,
        locked: bool = False,
        end_when_empty: int | None = None,
        max_duration: int | None = None,
        tags: Sequence[str] = (),
        end_on_exit: Literal["participant", "moderator"] | None = None,
        wait_for_moderator: bool = False,
        hold_music: str | None = None,
        beep_enter: str | None = None,
        beep_exit: str | None = None,
        record: bool = False,
        speaker_events: bool = False,
        idempotency_key: str | None = None,
    ) -> models.RoomCreated:
        """Create a room. Webhook: `conference.created`. When the name is taken, `Conflict.detail.room_id` has it.

        At most `max_members` sessions can be in it. It is deleted once it was empty for `end_when_empty` seconds,
        `max_duration` seconds after its first member joined, and when the last member with the role `end_on_exit` has
        left. By one of its `tags` it can be listed. With `wait_for_moderator` the others wait on hold until the first
        moderator is there, and hear the music of `hold_music`. With `beep_enter` and `beep_exit`, `tone` or the URL
        of a sound, all hear that a member comes or goes. With `speaker_events` it is told who speaks.
        """
        limits = {
            "max_members": max_members,
            "end_when_empty": end_when_empty,
            "max_duration": max_duration,
            "end_on_exit": end_on_exit,
            "hold_music": hold_music,
            "beep_enter": beep_enter,
            "beep_exit": beep_exit,
        }
        body: dict[str, Any] = {"name": name, **{key: value for key, value in limits.items() if value is not None}}
        switches = {
            "locked": locked,
            "wait_for_moderator": wait_for_moderator,
            "record": record,
            "speaker_events": speaker_events,
        }
        body |= {name: True for name, on in switches.items() if on}
        if tags:
            body["tags"] = list(tags)
        return self._ask(models.RoomCreated, "POST", "/conferences", body, once=idempotency_key)

    def change_room(
        self,
        room_id: str,
        *,
        max_members: int | Same | None = SAME,
        locked: bool | Same = SAME,
        end_when_empty: int | Same | None = SAME,
        max_duration: int | Same | None = SAME,
        tags: Sequence[str] | Same = SAME,
        end_on_exit: Literal["participant", "moderator"] | Same | None = SAME,
        wait_for_moderator: bool | Same = SAME,
        hold_music: str | Same | None = SAME,
        beep_enter: str | Same | None = SAME,
        beep_exit: str | Same | None = SAME,
        record: bool | Same = SAME,
        speaker_events: bool | Same = SAME,
    ) -> models.RoomChanged:
        """Change options of a room; the others stay as they are. None takes a limit away. Webhook:
        `conference.updated`, if anything changes.
        """
        given = {
            "max_members": max_members,
            "locked": locked,
            "end_when_empty": end_when_empty,
            "max_duration": max_duration,
            "tags": tags if tags is SAME else list(tags),
            "end_on_exit": end_on_exit,
            "wait_for_moderator": wait_for_moderator,
            "hold_music": hold_music,
            "beep_enter": beep_enter,
            "beep_exit": beep_exit,
            "record": record,
            "speaker_events": speaker_events,
        }
        body = {key: value for key, value in given.items() if value is not SAME}
        return self._ask(models.RoomChanged, "PATCH", _path("conferences", room_id), body)

    def list_rooms(
        self, *, limit: int | None = None, cursor: str = "", name: str | None = None, tag: str | None = None
    ) -> Listing[models.RoomList, models.RoomEntry]:
        """The app's rooms, the one with that name, or those with that tag. `limit`: entries of a page, 200 at the
        most.
        """
        return self._list(models.RoomList, "/conferences", "conferences", limit, cursor, {"name": name, "tag": tag})

    def get_room(self, room_id: str) -> models.Room:
        """A room, and what plays in it."""
        return self._ask(models.Room, "GET", _path("conferences", room_id))

    def list_members(
        self, room_id: str, *, limit: int | None = None, cursor: str = ""
    ) -> Listing[models.MemberList, models.Member]:
        """The members of a room. `limit`: entries of a page, 1000 at the most."""
        return self._list(models.MemberList, _path("conferences", room_id, "members"), "members", limit, cursor, {})

    def delete_room(self, room_id: str) -> models.RoomDeleted:
        """Delete a room; its members are taken out. Webhooks: `conference.destroyed`, `conference.member.left`."""
        return self._ask(models.RoomDeleted, "DELETE", _path("conferences", room_id))

    def play(self, room_id: str, urls: Sequence[str], *, idempotency_key: str | None = None) -> models.Playback:
        """Play audio files, behind what plays. Webhooks: `conference.play.started`, `conference.play.finished`."""
        return self._ask(
            models.Playback, "POST", _path("conferences", room_id, "play"), {"urls": list(urls)}, once=idempotency_key
        )

    def pause(self, room_id: str, *, idempotency_key: str | None = None) -> models.Playback:
        """Pause what plays, or resume it. Webhook: `conference.play.paused`."""
        return self._ask(models.Playback, "POST", _path("conferences", room_id, "pause"), once=idempotency_key)

    def stop(self, room_id: str, *, idempotency_key: str | None = None) -> models.Playback:
        """Stop all playback, also what waits. Webhook: `conference.play.stopped` for each."""
        return self._ask(models.Playback, "POST", _path("conferences", room_id, "stop"), once=idempotency_key)

    def set_volume(self, room_id: str, volume: int, *, idempotency_key: str | None = None) -> models.Playback:
        """Set the volume of playback, -50 to 7. Webhook: `conference.play.volume_changed`."""
        return self._ask(
            models.Playback, "POST", _path("conferences", room_id, "volume"), {"volume": volume}, once=idempotency_key
        )

    def mute_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """Mute all members but some sessions, or moderators. Webhooks: `conference.member.muted` for each, then
        `conference.command.finished`.
        """
        return self._all(room_id, "mute", exclude, exclude_moderators, idempotency_key)

    def unmute_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """As `mute_all`, with `conference.member.unmuted`."""
        return self._all(room_id, "unmute", exclude, exclude_moderators, idempotency_key)

    def deaf_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """As `mute_all`, with `conference.member.deafened`."""
        return self._all(room_id, "deaf", exclude, exclude_moderators, idempotency_key)

    def undeaf_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """As `mute_all`, with `conference.member.undeafened`."""
        return self._all(room_id, "undeaf", exclude, exclude_moderators, idempotency_key)

    def hold_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """As `mute_all`, with `conference.member.held`."""
        return self._all(room_id, "hold", exclude, exclude_moderators, idempotency_key)

    def unhold_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """As `mute_all`, with `conference.member.unheld`."""
        return self._all(room_id, "unhold", exclude, exclude_moderators, idempotency_key)

    def kick_all(
        self,
        room_id: str,
        *,
        exclude: Sequence[str] = (),
        exclude_moderators: bool = False,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Playback:
        """Take all members out of a room but some sessions, or moderators, and say why. Webhooks:
        `conference.member.left` for each, then `conference.command.finished`.
        """
        given = {} if reason is None else {"reason": reason}
        return self._all(room_id, "kick", exclude, exclude_moderators, idempotency_key, **given)

    def _all(
        self,
        room_id: str,
        command: str,
        exclude: Sequence[str],
        exclude_moderators: bool,
        idempotency_key: str | None,
        **more: str,
    ) -> models.Playback:
        return self._ask(
            models.Playback,
            "POST",
            _path("conferences", room_id, "commands", f"{command}-all"),
            {"exclude": list(exclude), "exclude_moderators": exclude_moderators, **more},
            once=idempotency_key,
        )

    # Sessions

    def list_sessions(
        self,
        *,
        limit: int | None = None,
        cursor: str = "",
        state: Literal["dialing", "parked", "joining", "joined", "leaving", "transferring", "transferred"]
        | None = None,
        room_id: str | None = None,
        did: str | None = None,
    ) -> Listing[models.SessionList, models.Session]:
        """The app's sessions, or those in a state, in a room, or that called a number. `limit`: entries of a page, 1000
        at the most.
        """
        narrowed = {"state": state, "room_id": room_id, "did": did}
        return self._list(models.SessionList, "/sessions", "sessions", limit, cursor, narrowed)

    def get_session(self, uuid: str) -> models.SessionDetails:
        return self._ask(models.SessionDetails, "GET", _path("sessions", uuid))

    def dial(
        self,
        to: str,
        caller_id: str,
        *,
        room_id: str | None = None,
        timeout: int | None = None,
        muted: bool | None = None,
        deaf: bool | None = None,
        volume_in: int | None = None,
        volume_out: int | None = None,
        role: Literal["participant", "moderator"] | None = None,
        tags: Sequence[str] | None = None,
        end_on_exit: bool | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Dialing:
        """Call a number or SIP URI, which sees `caller_id` (`from` in the API), and have it join a room once it is
        answered.

        Webhooks: `session.dialing`, `session.ringing`, then `session.answered` or `session.failed`.
        """
        given = {
            "to": to,
            "from": caller_id,
            "room_id": room_id,
            "timeout": timeout,
            "muted": muted,
            "deaf": deaf,
            "volume_in": volume_in,
            "volume_out": volume_out,
            "role": role,
            "tags": None if tags is None else list(tags),
            "end_on_exit": end_on_exit,
            "command_uid": command_uid,
        }
        body = {name: value for name, value in given.items() if value is not None}
        return self._ask(models.Dialing, "POST", "/sessions", body, once=idempotency_key)

    def hang_up(
        self, uuid: str, *, cause: Literal["normal", "busy", "rejected"] = "normal", command_uid: str | None = None
    ) -> models.HangingUp:
        """End a call. Webhook: `session.ended`, or `session.command.failed`."""
        body = {"cause": cause} | ({"command_uid": command_uid} if command_uid is not None else {})
        return self._ask(models.HangingUp, "DELETE", _path("sessions", uuid), body)

    def transfer(
        self,
        uuid: str,
        to: str,
        caller_id: str | None = None,
        *,
        timeout: int | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Transferring:
        """Connect a call to a number or SIP URI, which sees `caller_id` (`from` in the API; by default the first that
        the app may show). Webhooks: `session.transferred`, or `session.transfer_failed`.
        """
        given = {"to": to, "from": caller_id, "timeout": timeout, "command_uid": command_uid}
        body = {name: value for name, value in given.items() if value is not None}
        path = _path("sessions", uuid, "commands", "transfer")
        return self._ask(models.Transferring, "POST", path, body, once=idempotency_key)

    def send_dtmf(
        self,
        uuid: str,
        digits: str,
        *,
        duration: int | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.SendingDtmf:
        """Send digits to a call, with `w` and `W` for pauses. `duration`: of each, in ms. Webhook: `session.dtmf.sent`,
        or `session.command.failed`.
        """
        given = {"digits": digits, "duration": duration, "command_uid": command_uid}
        body = {name: value for name, value in given.items() if value is not None}
        path = _path("sessions", uuid, "commands", "dtmf")
        return self._ask(models.SendingDtmf, "POST", path, body, once=idempotency_key)

    def collect_digits(
        self,
        uuid: str,
        *,
        max_digits: int | None = None,
        terminators: str | None = None,
        timeout: int | None = None,
        digit_timeout: int | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Collecting:
        """Collect digits that the caller presses. `timeout`: seconds for the first of them, `digit_timeout`: for each
        other. Webhook: `session.digits.collected`.
        """
        given = {
            "max_digits": max_digits,
            "terminators": terminators,
            "timeout": timeout,
            "digit_timeout": digit_timeout,
            "command_uid": command_uid,
        }
        body = {name: value for name, value in given.items() if value is not None}
        path = _path("sessions", uuid, "commands", "collect-digits")
        return self._ask(models.Collecting, "POST", path, body, once=idempotency_key)

    def play_to_session(
        self, uuid: str, urls: Sequence[str], *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.SessionPlayback:
        """Play audio files to one session, which nobody else hears. Webhooks: `session.play.started`,
        `session.play.finished`.
        """
        body = {"urls": list(urls)} | ({} if command_uid is None else {"command_uid": command_uid})
        path = _path("sessions", uuid, "commands", "play")
        return self._ask(models.SessionPlayback, "POST", path, body, once=idempotency_key)

    def stop_session_play(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.SessionPlayback:
        """Stop what is played to one session. Webhook: `session.play.stopped`."""
        body = {} if command_uid is None else {"command_uid": command_uid}
        path = _path("sessions", uuid, "commands", "stop")
        return self._ask(models.SessionPlayback, "POST", path, body, once=idempotency_key)

    def join(
        self,
        uuid: str,
        room_id: str,
        *,
        muted: bool | None = None,
        deaf: bool | None = None,
        volume_in: int | None = None,
        volume_out: int | None = None,
        role: Literal["participant", "moderator"] | None = None,
        tags: Sequence[str] | None = None,
        end_on_exit: bool | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Membership:
        """Join a session to a room, muted unless told otherwise. Webhook: `conference.member.joined`, or
        `conference.member.join_failed`; then `conference.member.volume_changed` for each volume that is not 0.
        """
        given = {
            "muted": muted,
            "deaf": deaf,
            "volume_in": volume_in,
            "volume_out": volume_out,
            "role": role,
            "tags": None if tags is None else list(tags),
            "end_on_exit": end_on_exit,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        return self._command(uuid, "join", command_uid, idempotency_key, room_id=room_id, **asked)

    def leave(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Take a session out of its room. Webhook: `conference.member.left`."""
        return self._command(uuid, "leave", command_uid, idempotency_key)

    def kick(
        self,
        uuid: str,
        *,
        reason: str | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Membership:
        """Take a member out of its room, and say why. Webhook: `conference.member.left`."""
        given = {} if reason is None else {"reason": reason}
        return self._command(uuid, "kick", command_uid, idempotency_key, **given)

    def mute(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Webhook: `conference.member.muted`."""
        return self._command(uuid, "mute", command_uid, idempotency_key)

    def unmute(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Webhook: `conference.member.unmuted`."""
        return self._command(uuid, "unmute", command_uid, idempotency_key)

    def deaf(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Make a member deaf: it hears nothing of the room. Webhook: `conference.member.deafened`."""
        return self._command(uuid, "deaf", command_uid, idempotency_key)

    def undeaf(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Webhook: `conference.member.undeafened`."""
        return self._command(uuid, "undeaf", command_uid, idempotency_key)

    def change_member(
        self,
        room_id: str,
        uuid: str,
        *,
        muted: bool | None = None,
        deaf: bool | None = None,
        hold: bool | None = None,
        volume_in: int | None = None,
        volume_out: int | None = None,
        role: Literal["participant", "moderator"] | None = None,
        tags: Sequence[str] | None = None,
        command_uid: str | None = None,
    ) -> models.MemberChanging:
        """Change several things of a member at once: all or none. Webhooks: one for each of `changing`, and
        `conference.member.updated` if role or tags change.
        """
        given = {
            "muted": muted,
            "deaf": deaf,
            "hold": hold,
            "volume_in": volume_in,
            "volume_out": volume_out,
            "role": role,
            "tags": None if tags is None else list(tags),
            "command_uid": command_uid,
        }
        asked = {name: value for name, value in given.items() if value is not None}
        return self._ask(models.MemberChanging, "PATCH", _path("conferences", room_id, "members", uuid), asked)

    def hold(
        self,
        uuid: str,
        *,
        url: str | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Membership:
        """Put a member on hold: it is not heard, and hears the music of `url`, or nothing. Webhook:
        `conference.member.held`.
        """
        given = {} if url is None else {"url": url}
        return self._command(uuid, "hold", command_uid, idempotency_key, **given)

    def unhold(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Webhook: `conference.member.unheld`."""
        return self._command(uuid, "unhold", command_uid, idempotency_key)

    def set_member_volume(
        self,
        uuid: str,
        direction: Literal["in", "out"],
        volume: int,
        *,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.Membership:
        """Set how loud a member is to the others (`in`), or the room to it (`out`): -4 to 4. Webhook:
        `conference.member.volume_changed`.
        """
        given = {"direction": direction, "volume": volume}
        return self._command(uuid, "volume", command_uid, idempotency_key, **given)

    def coach(
        self, uuid: str, session_id: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Have a member heard by another one alone, until it uncoaches or leaves. Webhook:
        `conference.member.coaching`.
        """
        return self._command(uuid, "coach", command_uid, idempotency_key, session_id=session_id)

    def uncoach(
        self, uuid: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.Membership:
        """Have it heard by all again. Webhook: `conference.member.uncoached`."""
        return self._command(uuid, "uncoach", command_uid, idempotency_key)

    # Batches

    def batch(self, requests: Sequence[Fields], *, idempotency_key: str | None = None) -> models.BatchResults:
        """Carry out up to 100 commands, in their order. Each has the `path` of a command of rooms or sessions, such as
        `/api/v1/conferences`, and may have a `method` (POST if left out) and a `body`. One that is refused is a result
        like any other, and raises nothing.
        """
        body = {"requests": [dict(each) for each in requests]}
        return self._ask(models.BatchResults, "POST", "/batch", body, once=idempotency_key)

    # Recordings

    def record_room(
        self,
        room_id: str,
        *,
        upload_url: str | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.RecordingStarted:
        """Record a room. `upload_url`: where the file is put in the end; without it you fetch it. Webhooks: those that
        begin with `conference.recording`.
        """
        given = {"upload_url": upload_url, "command_uid": command_uid}
        body = {name: value for name, value in given.items() if value is not None}
        path = _path("conferences", room_id, "commands", "record")
        return self._ask(models.RecordingStarted, "POST", path, body or None, once=idempotency_key)

    def record_session(
        self,
        uuid: str,
        *,
        upload_url: str | None = None,
        channels: Literal[1, 2] | None = None,
        command_uid: str | None = None,
        idempotency_key: str | None = None,
    ) -> models.RecordingStarted:
        """Record a call. `channels`: 2 for stereo, what the caller says to the left, what he hears to the right.
        `upload_url`: as of `record_room`. Webhooks: those that begin with `session.recording`.
        """
        given = {"upload_url": upload_url, "channels": channels, "command_uid": command_uid}
        body = {name: value for name, value in given.items() if value is not None}
        path = _path("sessions", uuid, "commands", "record")
        return self._ask(models.RecordingStarted, "POST", path, body or None, once=idempotency_key)

    def pause_recording(
        self, recording_id: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.RecordingChanging:
        """Record nothing until it is resumed. Webhook: that which ends in `recording.paused`."""
        return self._control_recording(recording_id, "pause", command_uid, idempotency_key)

    def resume_recording(
        self, recording_id: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.RecordingChanging:
        """Go on with a recording that is paused. Webhook: that which ends in `recording.resumed`."""
        return self._control_recording(recording_id, "resume", command_uid, idempotency_key)

    def stop_recording(
        self, recording_id: str, *, command_uid: str | None = None, idempotency_key: str | None = None
    ) -> models.RecordingChanging:
        """End a recording. Webhooks: those that end in `recording.stopped`, then `.available` or `.failed`."""
        return self._control_recording(recording_id, "stop", command_uid, idempotency_key)

    def list_recordings(
        self,
        *,
        limit: int | None = None,
        cursor: str = "",
        state: Literal[
            "starting", "recording", "paused", "stopping", "storing", "uploading", "available", "expired", "failed"
        ]
        | None = None,
        room_id: str | None = None,
        uuid: str | None = None,
    ) -> Listing[models.RecordingList, models.Recording]:
        """The app's recordings, or those in a state, of a room, or of a session. `limit`: entries of a page, 200 at the
        most.
        """
        narrowed = {"state": state, "room_id": room_id, "uuid": uuid}
        return self._list(models.RecordingList, "/recordings", "recordings", limit, cursor, narrowed)

    def get_recording(self, recording_id: str) -> models.Recording:
        """A recording, as it is now."""
        return self._ask(models.Recording, "GET", _path("recordings", recording_id))

    def get_recording_content(
        self, recording_id: str, *, range: str = "", if_range: str = "", if_none_match: str = ""
    ) -> Content:
        """The file of a recording, piece by piece, or a `range` of it, such as `bytes=1000-`. Asked once. Raises
        APIError, also with the status 304 for the file that you have.
        """
        given = {"Range": range, "If-Range": if_range, "If-None-Match": if_none_match}
        headers = {**self._headers, **{name: value for name, value in given.items() if value}}
        target = API + _path("recordings", recording_id, "content")
        return Content(self._transport.stream(Request("GET", target, headers, None, self._timeout)))

    def delete_recording(self, recording_id: str) -> models.RecordingDeleted:
        """Delete a recording, and its file. One that goes on is stopped first."""
        return self._ask(models.RecordingDeleted, "DELETE", _path("recordings", recording_id))

    def _control_recording(
        self, recording_id: str, step: str, command_uid: str | None, once: str | None
    ) -> models.RecordingChanging:
        body = None if command_uid is None else {"command_uid": command_uid}
        path = _path("recordings", recording_id, "commands", step)
        return self._ask(models.RecordingChanging, "POST", path, body, once=once)

    # Webhooks

    def get_endpoint(self) -> models.Endpoint:
        """Where webhooks go, and how that is doing."""
        return self._ask(models.Endpoint, "GET", "/webhooks/endpoint")

    def set_endpoint(self, url: str, types: Sequence[str] | None = None) -> models.Endpoint:
        """Set where webhooks go, and enable it. `types`: such as `conference.play.*`; all if left out."""
        body: dict[str, Any] = {"url": url} | ({} if types is None else {"types": list(types)})
        return self._ask(models.Endpoint, "PUT", "/webhooks/endpoint", body)

    def rotate_secret(self, *, idempotency_key: str | None = None) -> models.Secret:
        """Make a new secret. For 24 hours webhooks are signed with the one before, too."""
        return self._ask(models.Secret, "POST", "/webhooks/endpoint/rotate-secret", once=idempotency_key)

    def send_test(self, type: str | None = None, *, idempotency_key: str | None = None) -> models.SentTest:
        """Send a `webhook.test`, or a sample of another type, now, and tell what came of it."""
        body = None if type is None else {"type": type}
        return self._ask(models.SentTest, "POST", "/webhooks/endpoint/test", body, once=idempotency_key)

    def list_deliveries(
        self,
        *,
        limit: int | None = None,
        cursor: str = "",
        status: Literal["retrying", "delivered", "failed"] | None = None,
        type: str | None = None,
        room_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Listing[models.DeliveryList, models.Delivery]:
        """Webhooks that were attempted, the newest first. `since`, `until`: when it happened. `limit`: entries of a
        page, 200 at the most.
        """
        narrowed = {
            "status": status,
            "type": type,
            "room_id": room_id,
            "since": _moment(since),
            "until": _moment(until),
        }
        return self._list(models.DeliveryList, "/webhooks/deliveries", "deliveries", limit, cursor, narrowed)

    def get_delivery(self, webhook_id: str) -> models.DeliveryDetail:
        """A webhook, with its attempts."""
        return self._ask(models.DeliveryDetail, "GET", _path("webhooks", "deliveries", webhook_id))

    def redeliver(self, webhook_id: str, *, idempotency_key: str | None = None) -> models.Redelivery:
        """Send a webhook again that was delivered or has failed."""
        return self._ask(
            models.Redelivery, "POST", _path("webhooks", "deliveries", webhook_id, "redeliver"), once=idempotency_key
        )

    def redeliver_range(
        self, since: datetime, until: datetime, *, idempotency_key: str | None = None
    ) -> models.RangeRedelivery:
        """Send again all that failed of what happened in that time."""
        body = {"since": _moment(since), "until": _moment(until)}
        return self._ask(models.RangeRedelivery, "POST", "/webhooks/redeliver", body, once=idempotency_key)

    # The console

    def create_portal_link(
        self,
        *,
        role: Literal["view", "operate"] | None = None,
        expires_in: int | None = None,
        idempotency_key: str | None = None,
    ) -> models.PortalLink:
        """Make a link that opens the app's portal in a browser, once. `expires_in`: seconds."""
        given = {"role": role, "expires_in": expires_in}
        body = {name: value for name, value in given.items() if value is not None}
        return self._ask(models.PortalLink, "POST", "/portal-links", body or None, once=idempotency_key)

    # Streams

    def events(self, *, room: Sequence[str] = (), type: Sequence[str] = (), last_event_id: str = "") -> EventStream:
        """What happens from now on, as it happens: in these rooms and of these types only, if they are given. `type`:
        such as `conference.member.*` or `log.state`. `last_event_id`: begins behind that event instead.
        """
        given = {"room": ",".join(room), "type": ",".join(type)}
        target = f"{API}/events?{urlencode({name: value for name, value in given.items() if value})}"
        request = Request("GET", target, self._headers, None, STREAM_TIMEOUT)
        return EventStream(self._transport, request, last_event_id, self._sleep)

    # Health

    def healthz(self) -> models.Alive:
        """Whether the service responds. Asked once."""
        return _parsed(models.Alive, self._once("GET", "/healthz", None))

    def readyz(self) -> models.Ready:
        """Which parts are up. Asked once; if it is not ready that is `Unavailable`, with `detail.nodes`."""
        return _parsed(models.Ready, self._once("GET", "/readyz", None))

    # How all of them ask

    def _command(
        self, uuid: str, command: str, command_uid: str | None, once: str | None, **fields: Any
    ) -> models.Membership:
        body = {**fields} if command_uid is None else {**fields, "command_uid": command_uid}
        path = _path("sessions", uuid, "commands", "conference", command)
        return self._ask(models.Membership, "POST", path, body or None, once=once)

    def _list(
        self, page: type[Page], path: str, entries: str, limit: int | None, cursor: str, narrowed: Fields
    ) -> Listing[Page, Any]:
        given = {name: value for name, value in {"limit": limit, **narrowed}.items() if value is not None}

        def get(cursor: str) -> Page:
            query = {**given, "cursor": cursor} if cursor else given
            return self._ask(page, "GET", f"{path}?{urlencode(query)}" if query else path)

        return Listing(get, lambda found: getattr(found, entries), cursor)

    def _ask(self, model: type[M], method: str, path: str, body: Fields | None = None, *, once: str | None = None) -> M:
        """`once`: the request's idempotency key."""
        repeatable = method in ("GET", "PUT", "PATCH") or "command_uid" in (body or {}) or once is not None
        attempt = 0
        while True:
            try:
                return _parsed(model, self._once(method, API + path, body, once))
            except (APIError, NoResponse) as error:
                wait = _wait(error, attempt, repeatable)
                if wait is None or attempt == self._retries:
                    raise
            attempt += 1
            self._sleep(wait)

    def _once(self, method: str, target: str, body: Fields | None, once: str | None = None) -> Response:
        """Raises APIError and NoResponse."""
        headers, text = self._headers if once is None else {**self._headers, "Idempotency-Key": once}, None
        if body is not None:
            headers, text = {**headers, "Content-Type": "application/json"}, json.dumps(body).encode()
        response = self._transport.send(Request(method, target, headers, text, self._timeout))
        if response.status >= 300:
            raise _error(response)
        return response


def _path(*parts: str) -> str:
    """Of ids as they come: whatever is in them stays one part of the path."""
    return "".join("/" + quote(part, safe="") for part in parts)


def _moment(at: datetime | None) -> str | None:
    """As the API writes times. Raises ValueError for one without a time zone."""
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at} has no time zone")
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parsed(model: type[M], response: Response) -> M:
    try:
        return model.model_validate_json(response.body)
    except ValidationError as error:
        raise NoResponse(f"what came is not of the API: {error}", sent=True) from error


def _error(response: Response) -> APIError:
    try:
        body = from_json(response.body)
        message, detail = str(body["error"]), Detail.model_validate(body.get("detail", {}))
    except (ValueError, KeyError, TypeError):
        # Of a proxy, say.
        message, detail = response.body[:200].decode(errors="replace"), Detail()
    seconds = response.headers.get("retry-after", "")
    retry_after = float(seconds) if seconds.isdecimal() else None
    # To the millisecond, where the header has whole seconds.
    if detail.retry_after_ms is not None:
        retry_after = detail.retry_after_ms / 1000
    return BY_STATUS.get(response.status, APIError)(
        message,
        status=response.status,
        code=response.headers.get("x-error-code", ""),
        detail=detail,
        retry_after=retry_after,
        request_id=response.headers.get("x-request-id", ""),
    )


def _wait(error: APIError | NoResponse, attempt: int, repeatable: bool) -> float | None:
    """For how many seconds to wait before the request is made again; None: it is not."""
    if isinstance(error, NoResponse):
        again, asked = repeatable or not error.sent, None
    else:
        too_soon = (isinstance(error, TooManyRequests) and error.code != _WRONG_KEY) or error.code == _IN_USE
        again = too_soon or (repeatable and error.status in _AGAIN)
        asked = error.retry_after
    if not again or (asked or 0) > MAX_WAIT:
        return None
    return FIRST_WAIT * 2**attempt * random.uniform(0.5, 1) if asked is None else asked  # noqa: S311
