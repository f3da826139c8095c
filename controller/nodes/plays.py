"""A node's plays, each prepared by an audio relay before it is sent.

How it works: a play stays in the node's command stream until a relay has its file ready. Only then is it taken and
sent, so a worker that dies meanwhile loses nothing: the next one finds it there. A stop meanwhile takes it out of the
stream, and then there is nothing to take. A file that cannot be played fails the play, and the node never hears of it.

A long file is two for the node, played as one: what it has is the first, and it fetches the second meanwhile. If it
does not get that, the rest is a play of its own, which the store puts into the stream (lib/playback.lua).

What a session alone hears, the music of a member on hold among it, is prepared as a play is, and all of it before it is
sent.

So is a beep that is a file, but it is given up soon, and one that is too long is none.

A node that does not get a prepared file has lost its relay, or never reached it. Then the store puts the play into the
stream once more (lib/results.lua), and it is prepared by another relay, if there is one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gevent
import structlog
from gevent.pool import Group

from controller.errors import Fenced, StoreUnavailable
from controller.ids import job_id
from controller.media.client import Prepared, Preparer
from controller.media.reasons import AudioFailed
from controller.nodes.events import JobDone, SessionFileDone

# For a file, with the wait for its turn at the relay. The store gives a play PLAY_MS (lib/node_commands.lua).
PREPARE_SECONDS = 40.0
# For that of a beep (FILE_MS of lib/beeps.lua): it tells of what has just happened.
BEEP_SECONDS = 2.0
MAX_BEEP_SECONDS = 10.0  # of sound
STORE_RETRY_SECONDS = 0.5
STOP_SECONDS = 1.0

Command = dict[str, Any]
Outcome = Prepared | AudioFailed

log = structlog.get_logger(__name__)


class Plays:
    """The plays of one node, whose rooms are mixed at `rate()` samples a second.

    `take` takes the play at an entry of a partition, and sends it or ends it, as its file came out. It returns whether
    the play was there, and raises Fenced, StoreUnavailable.
    """

    def __init__(self, relays: Preparer, *, rate: Callable[[], int], take: Callable[[str, str, Outcome], bool]) -> None:
        self._relays = relays
        self._rate = rate
        self._take = take
        self._preparing: set[tuple[str, str]] = set()
        self._sent: dict[str, str] = {}  # job: the relay that has its file
        # The same of what is played to a parked call, by session: the node says only later that it did not get it.
        self._told: dict[str, tuple[str, int, str]] = {}  # operation, index, relay
        self._greenlets = Group()
        self._asking: set[Any] = set()  # those of them that wait for a relay

    def prepare(self, tag: str, entry: str, asked: Command) -> None:
        """Send the play at that entry once its file is ready. Does nothing if it is being prepared already."""
        if (tag, entry) not in self._preparing:
            self._preparing.add((tag, entry))
            self._greenlets.spawn(self._prepare, tag, entry, asked)

    def judge(self, done: JobDone) -> JobDone:
        """The result of a play, if it is one, as the relay's part in it is known."""
        relay = self._sent.pop(done.job, None)
        if not relay or done.reason != "unplayable":
            return done
        log.warning("a node did not get a file from its relay", job=done.job)
        self._relays.avoid(relay)
        return replace(done, reason="relay_lost")

    def judge_file(self, done: SessionFileDone) -> SessionFileDone:
        """The same of a file that was played to a session, or was not."""
        operation, index, relay = self._told.get(done.session_id, ("", 0, ""))
        if (operation, index) != (done.operation_id, done.index):
            return done
        self.forget(done.session_id)
        if not relay or not done.reason:
            return done
        log.warning("a node did not get a file from its relay", operation=done.operation_id)
        self._relays.avoid(relay)
        return replace(done, reason="relay_lost")

    def forget(self, session_id: str) -> None:
        """What was played to a call is over, or the call is, of which the node does not say how its file ended."""
        self._told.pop(session_id, None)

    def link_lost(self) -> None:
        """What was sent has no result any more."""
        self._sent.clear()
        self._told.clear()

    def stop(self) -> None:
        """Give up what is not ready. What is being taken is sent."""
        gevent.killall(list(self._asking), block=False)
        self._greenlets.join(timeout=STOP_SECONDS)

    def _prepare(self, tag: str, entry: str, asked: Command) -> None:
        try:
            outcome = self._outcome(asked)
            give_up_at = time.monotonic() + PREPARE_SECONDS
            while time.monotonic() < give_up_at:
                try:
                    job = job_id(tag, entry)
                    if isinstance(outcome, Prepared):
                        # Noted first: the result may come before this goes on.
                        self._sent[job] = outcome.relay
                        if asked["op"] == "session_play" and "member_id" not in asked:
                            self._told[asked["session"]] = asked["operation"], asked["index"], outcome.relay
                    if not self._take(tag, entry, outcome):
                        self._sent.pop(job, None)
                        self.forget(asked.get("session", ""))
                    return
                except StoreUnavailable as error:
                    log.warning("play not taken", reason=str(error))
                    gevent.sleep(STORE_RETRY_SECONDS)
        except Fenced:
            pass  # Another worker has the node, and finds the play in its stream.
        finally:
            self._preparing.discard((tag, entry))

    def _part(self, asked: Command, start: int) -> Prepared:
        seconds = BEEP_SECONDS if asked["op"] == "beep" else PREPARE_SECONDS
        return self._relays.prepare(asked["app"], asked["url"], self._rate(), seconds, start)

    def _outcome(self, asked: Command) -> Outcome:
        me = gevent.getcurrent()
        self._asking.add(me)
        try:
            prepared = self._part(asked, asked.get("start", 0))
            if asked["op"] == "beep" and prepared.details.get("seconds", 0) > MAX_BEEP_SECONDS:
                return AudioFailed("too_long")
            # What one session hears, and a beep, is sent at once, and not part by part.
            while prepared.rest and asked["op"] != "play":
                rest = self._part(asked, prepared.rest)
                prepared = replace(rest, url=f"{prepared.url} {rest.url}")
            return prepared
        except AudioFailed as failed:
            return failed
        finally:
            self._asking.discard(me)
