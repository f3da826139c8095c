"""What goes on after the walk: a room of another app in which people talk, so that the console has something to show.

Whoever looks may mute and take out people, delete the room, or drain a node. So nothing here is expected to be as it
was left: each step looks at what there is, and does the next thing towards a lively room.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import gevent

from controller.store.states import SessionState
from esl.emulator import Emulator
from esl.emulator.channel import Channel
from switchroom.client import Client, SwitchroomError
from switchroom.client.models import Session

APP_ID = "town-hall"
DID = "747713002"
ROOM = "open-house"
# By the prefix of the node on which they call.
CALLERS = {
    "demo1": ("527130011", "527130012", "527130013", "527130014"),
    "demo2": ("527130021", "527130022", "527130023"),
}
STEP_SECONDS = 1.5
# Steps for which a caller is left alone who was taken out, and for which nobody calls instead of one who has hung up.
PATIENCE = 8
# How likely each is in a step.
PLAY, CHANGE_MUTE, HANG_UP = 0.06, 0.06, 0.02
TONE_SECONDS = 9


class Life:
    """`chance`: where it takes its decisions from."""

    def __init__(
        self,
        client: Client,
        nodes: Mapping[str, Emulator],
        tone: Callable[[int], str],
        chance: random.Random | None = None,
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._tone = tone
        self._chance = chance or random.Random()  # noqa: S311 (no secret comes of it)
        self._calls: dict[str, Channel] = {}
        # By caller: how many steps to wait before the next thing is done about them.
        self._waits: dict[str, int] = {}
        self._newcomers: set[str] = set()

    def run(self) -> None:
        """Without end."""
        while True:
            self.step()
            gevent.sleep(STEP_SECONDS)

    def step(self) -> None:
        """What the service refuses now is tried again later, if it is still wanted then."""
        try:
            room = self._room()
            sessions = {session.caller_id: session for session in self._client.list_sessions()}
        except SwitchroomError:
            return
        for prefix, callers in CALLERS.items():
            for caller in callers:
                self._tend(prefix, caller, sessions.get(caller), room)
        self._talk()
        self._now_and_then(room, list(sessions.values()))

    def _room(self) -> str:
        for found in self._client.list_rooms(name=ROOM):
            return found.room_id
        return self._client.create_room(ROOM).room_id

    def _tend(self, prefix: str, caller: str, session: Session | None, room: str) -> None:
        """Whoever is not on the line calls; who waits joins; who has just joined is unmuted."""
        waits = self._waits.get(caller, 0)
        if waits:
            self._waits[caller] = waits - 1
        elif session is None:
            self._calls[caller] = self._nodes[prefix].call(to=DID, caller_id_number=caller)
            self._waits[caller] = 1
        elif session.state == SessionState.PARKED:
            self._try(lambda: self._client.join(session.uuid, room))
            self._newcomers.add(caller)
        elif session.state == SessionState.JOINED and caller in self._newcomers:
            self._newcomers.discard(caller)
            self._try(lambda: self._client.unmute(session.uuid))
        if session and session.state == SessionState.JOINED:
            self._waits[caller] = PATIENCE if caller not in self._newcomers else 0

    def _talk(self) -> None:
        """One speaks at a time, mostly."""
        speakers = self._chance.sample(
            sorted(self._calls), k=self._chance.choice((0, 1, 1, 1, 2)) if self._calls else 0
        )
        for caller, call in self._calls.items():
            call.sound(caller in speakers)

    def _now_and_then(self, room: str, sessions: list[Session]) -> None:
        inside = [session for session in sessions if session.state == SessionState.JOINED]
        if not inside:
            return
        one = self._chance.choice(inside)
        if self._chance.random() < PLAY:
            self._try(lambda: self._client.play(room, [self._tone(TONE_SECONDS)]))
        if self._chance.random() < CHANGE_MUTE:
            self._try(lambda: self._client.unmute(one.uuid) if one.muted else self._client.mute(one.uuid))
        if self._chance.random() < HANG_UP and one.caller_id in self._calls:
            self._calls.pop(one.caller_id).hangup()
            self._waits[one.caller_id] = PATIENCE

    @staticmethod
    def _try(command: Callable[[], object]) -> None:
        try:
            command()
        except SwitchroomError:
            return
