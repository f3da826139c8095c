"""Who speaks in the rooms of a node, while somebody watches, or of rooms that ask for webhooks about that.

How it works: a node says when a member starts to talk and when it stops, which happens every few seconds for everybody
who speaks. So the link asks for these events only while a room on the node is watched or told of. Who speaks is kept in
memory, and published for a few seconds at a time: to those who watch under the node's tag, and of rooms that are told
of by a step in the app's partition, which also decides who has the floor. When neither is wanted, nothing is asked for
and nothing is written any more. Who talks already when that begins is in the node's list of members.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable

import gevent
import structlog
from gevent.lock import BoundedSemaphore

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.ids import SessionIds
from controller.nodes.compare import read_list, read_members
from controller.nodes.events import FlagChanged, MemberLeft, NodeEvent, SpeakersChanged, Talked
from controller.nodes.translate import TALKING
from controller.store import keys
from controller.store.store import Store
from esl.commands import JsonList
from esl.connection import Connection
from esl.errors import EslError

log = structlog.get_logger(__name__)

# For how long what was published counts; it is published again every second or so.
PUBLISHED_SECONDS = 5.0

_ABOUT = (Talked, MemberLeft, FlagChanged)
# The flags with which a member is not heard.
_SILENT = frozenset(("muted", "hold"))


class Speakers:
    """Of the node with `prefix`, whose sessions' ids `ids` are. `apply`: runs the step of an event."""

    def __init__(self, store: Store, prefix: str, ids: SessionIds, apply: Callable[[SpeakersChanged], None]) -> None:
        self._store = store
        self._ids = ids
        self._prefix = prefix
        self._apply = apply
        # All, and those that somebody watches, and that are told of.
        self._rooms: frozenset[str] = frozenset()
        self._watched: frozenset[str] = frozenset()
        self._told: frozenset[str] = frozenset()
        # Who speaks, as keys in the order in which they began.
        self._speaking: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._publishing = BoundedSemaphore()
        # The connection that gets the events.
        self._asked: Connection | None = None

    def watch(self, watched: Collection[str], told: Collection[str], connection: Connection | None) -> None:
        """Every second or so: which rooms on the node are watched or told of, and the link if it is up."""
        if self._asked is not connection:
            self._asked = None
            self._rooms = frozenset()
            self._speaking.clear()
        if connection is None:
            return
        self._watched, self._told = frozenset(watched), frozenset(told)
        rooms = self._watched | self._told
        fresh, self._rooms = rooms - self._rooms, rooms
        for room in self._speaking.keys() - self._rooms:
            del self._speaking[room]
        changes = bool(rooms) != (self._asked is not None)
        self._asked = connection if rooms else None
        if changes or fresh:
            # The replies may take their time, and other nodes wait for their turn.
            gevent.spawn(self._ask, connection, changes, fresh)
        for room, speaking in list(self._speaking.items()):
            if speaking or room in self._watched:
                self._publish(room)

    def heard(self, events: Iterable[NodeEvent]) -> None:
        """What has happened on the node."""
        changed = {event.room_id for event in events if isinstance(event, _ABOUT) and self._change(event)}
        for room in changed:
            self._publish(room)

    def _change(self, event: Talked | MemberLeft | FlagChanged) -> bool:
        """Returns whether others speak now than before."""
        if event.room_id not in self._rooms:
            return False
        speaking = self._speaking[event.room_id]
        # The node does not say that a member has stopped who leaves, is muted or put on hold (mod_conference).
        if isinstance(event, Talked) and event.on:
            is_new = event.session_id not in speaking
            speaking[event.session_id] = None
            return is_new
        stops = not isinstance(event, FlagChanged) or (event.on and event.flag in _SILENT)
        if not stops or event.session_id not in speaking:
            return False
        del speaking[event.session_id]
        return True

    def _ask(self, connection: Connection, changes: bool, fresh: frozenset[str]) -> None:
        """Asks for the events if that `changes`, or no more, and who talks by now in `fresh` rooms."""
        verb = "filter" if self._rooms else "filter delete"
        try:
            for action in TALKING if changes else ():
                connection.send(f"{verb} Action {action}")
            members = read_members(read_list(connection.api(JsonList()))) if fresh else {}
        except (EslError, ValueError) as error:
            log.warning("who talks is not known", node=self._prefix, reason=str(error))
            return
        for channel, member in members.items():
            if member.is_talking and member.room_id in fresh & self._rooms:
                self._speaking[member.room_id][self._ids.of(channel)] = None
        for room in fresh & self._rooms:
            self._publish(room)

    def _publish(self, room: str) -> None:
        # One after the other, so that what was so later is also written later.
        with self._publishing:
            sessions, ttl = tuple(self._speaking.get(room, ())), int(PUBLISHED_SECONDS * 1000)
            try:
                if room in self._watched:
                    args = {"room_id": room, "sessions": sessions, "ttl": ttl}
                    self._store.run("speak", keys.node_tag(self._prefix), args)
                if room in self._told:
                    self._apply(SpeakersChanged(room_id=room, sessions=sessions, ttl=ttl))
            except (Fenced, ScriptFailed, StoreUnavailable) as error:
                log.warning("who speaks is not published", node=self._prefix, reason=str(error))
