"""Who speaks in a room, for those who look at it: asked for while they look, and told when it changes.

One greenlet a room, however many look at it in this process. It says in the store that the room is watched, on which
the workers of its nodes begin to publish who speaks (`controller.nodes.speakers`), and reads what they publish.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import structlog

from controller.commands import GetRoom
from controller.commands.base import Execute
from controller.errors import Refused, ScriptFailed, StoreUnavailable
from controller.live import Notice
from controller.store import keys
from controller.store.store import Store

log = structlog.get_logger(__name__)

NAME = "speaking"
# How often it is read who speaks, and how often said that somebody watches; and for how long that counts.
READ_SECONDS = 0.3
SAY_SECONDS = 3.0
WATCHED_SECONDS = 8.0
RETRY_SECONDS = 1.0

Room = tuple[str, str]
Push = Callable[[Notice], None]


class Speaking:
    """`execute`: asks for a room, which says its nodes."""

    def __init__(self, store: Store, execute: Execute) -> None:
        self._store = store
        self._execute = execute
        self._followers: dict[Room, set[Push]] = {}
        self._told: dict[Room, Notice] = {}

    def follow(self, app_id: str, room_id: str, push: Push) -> Callable[[], None]:
        """Give `push` a notice of all who speak in a room of the app, now and whenever that changes, until what is
        returned is called. Nothing comes of a room that there is not, or of another app's.
        """
        room = (app_id, room_id)
        if room not in self._followers:
            self._followers[room] = set()
            gevent.spawn(self._watch, room)
        self._followers[room].add(push)
        if told := self._told.get(room):
            push(told)
        return lambda: self._followers.get(room, set()).discard(push)

    def _watch(self, room: Room) -> None:
        try:
            while self._followers[room]:
                try:
                    self._look(room)
                except (ScriptFailed, StoreUnavailable) as error:
                    log.warning("who speaks is not known", room=room[1], reason=str(error))
                    gevent.sleep(RETRY_SECONDS)
        except Refused:
            return  # It is gone, or another app's.
        finally:
            del self._followers[room]
            self._told.pop(room, None)

    def _look(self, room: Room) -> None:
        """Raises Refused, StoreUnavailable."""
        app_id, room_id = room
        nodes = [node["prefix"] for node in self._execute(GetRoom(app_id=app_id, room_id=room_id))["nodes"]]
        watched = [f"{node} {room_id}" for node in nodes]
        self._store.run("watch", keys.REGISTRY, {"rooms": watched, "ttl": int(WATCHED_SECONDS * 1000)})
        say_again_at = time.monotonic() + SAY_SECONDS
        while self._followers[room] and time.monotonic() < say_again_at:
            sessions = self._store.speaking(nodes, room_id)
            told = self._told.get(room)
            if told is None or told.data["sessions"] != sessions:
                self._told[room] = Notice(NAME, {"app_id": app_id, "room_id": room_id, "sessions": sessions})
                for push in list(self._followers[room]):
                    push(self._told[room])
            gevent.sleep(READ_SECONDS)
