"""What tenants and callers do: a sequence of actions that only the seed decides.

Whom an action is about is drawn as a number of a place: each tenant has a few places for calls on each node and a few
for rooms. What is in the place at that time depends on the run; an action that makes no sense then is passed over.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

import gevent
from gevent.event import Event as Flag
from gevent.pool import Pool

from controller.sessions.flags import CHANGES
from switchroom.client import Client
from tests.chaos.model import VOICES
from tests.chaos.nodes import Call, EmulatedCall
from tests.chaos.parts import Ask, Request
from tests.chaos.world import CALLER_ID, DIDS, NOWHERE, PREFIXES, TENANTS, World

CALLS = 3  # places for calls of a tenant on a node
ROOMS = 4  # places for rooms of a tenant
# Of sounds: ms until their server sends them, ms that they play, how their URLs end.
SOUNDS = ((50, 200, ".wav"), (50, 900, ".wav"), (1200, 9000, ".wav"), (50, 15000, ".wav"), (300, 700, ".WAV?key=a/b.c"))
RETRIES = 3  # of a session command that got no answer, with the same command_uid
AT_ONCE = 40


@dataclass(frozen=True)
class Action:
    kind: str
    tenant: str
    prefix: str
    call: int
    room: int
    value: float
    pause: float


# How the numbers end that are called: they answer, are busy, or ring until the call is given up (tests/e2e/gateway.py).
ENDS = ("200", "200", "200", "486", "180")
RING_SECONDS = 5


class Dialled:
    """A call that a tenant makes."""

    def __init__(self, world: World, number: str) -> None:
        self._world = world
        self._number = number

    def hang_up(self) -> None:
        """Whoever was called does, if it was answered."""
        self._world.hang_up_far_end(self._number)


@dataclass
class Place:
    """A call (`key` is its caller id) or a room (`key` is its name)."""

    key: str = ""
    call: Call | None = None


# The commands to a member of which one at a time is under way.
RIVALS = {flag.change(on).command: (flag.on.command, flag.off.command) for flag, on in CHANGES}

RIVALS["uncoach"] = ("coach", "uncoach")

# The commands to all members of a room that are tried.
TO_ALL = ("mute_all", "unmute_all", "kick_all")

# How often each kind of action comes, among all.
WEIGHTS = {
    "call": 16, "dial": 8, "transfer": 4, "hang_up": 5, "end_call": 2, "press": 6, "speak": 12, "create": 10, "delete": 3, "join": 26, "leave": 7, "kick": 3, "mute": 8, "unmute": 14, "deaf": 8, "undeaf": 8, "hold": 4, "unhold": 8, "loudness": 6, "retag": 3, "coach": 8, "uncoach": 4,
    "dtmf": 3, "collect": 4, "play_to": 8, "stop_play_to": 2, "play": 14, "pause": 5, "stop": 4, "volume": 4, "mute_all": 2, "unmute_all": 3, "kick_all": 1, "record": 3, "record_session": 3, "pause_recording": 3, "resume_recording": 3, "stop_recording": 3, "delete_recording": 1, "read": 4, "trespass": 3,
}  # fmt: skip


def actions(rng: random.Random, rate: float) -> Iterator[Action]:
    """The endless sequence of a seed, `rate` a second."""
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    while True:
        kind = rng.choices(kinds, weights)[0]
        yield Action(
            kind,
            rng.choice(TENANTS),
            rng.choice(PREFIXES),
            rng.randrange(CALLS),
            rng.randrange(ROOMS),
            rng.random(),
            rng.expovariate(rate),
        )


class Load:
    """Carries actions out, each in a greenlet of its own, until paused or stopped."""

    def __init__(self, world: World, rng: random.Random, rate: float = 12.0) -> None:
        self.counts: Counter[str] = Counter()
        self._world = world
        self._actions = actions(rng, rate)
        self._calls = {(t, p, n): Place() for t in TENANTS for p in PREFIXES for n in range(CALLS)}
        self._rooms = {(t, n): Place() for t in TENANTS for n in range(ROOMS)}
        self._numbers = count(1)
        self._running = Flag()
        self._pool = Pool(AT_ONCE)
        self._greenlet = gevent.spawn(self._run)

    def resume(self) -> None:
        self._running.set()

    def pause(self) -> None:
        """Returns when nothing is under way."""
        self._running.clear()
        self._pool.join()

    def stop(self) -> None:
        self._greenlet.kill()
        self._pool.join()

    def _run(self) -> None:
        for number, action in enumerate(self._actions):
            self._running.wait()
            gevent.sleep(action.pause)
            self._pool.spawn(self._act, action, number)

    def _act(self, action: Action, number: int) -> None:
        try:
            done = DO[action.kind](self, action, number)
        except Exception as error:
            self._world.ledger.violations.append(f"the load itself: {action}: {error!r}")
            raise
        self.counts[action.kind if done else "passed over"] += 1

    # Places

    def _session(self, action: Action) -> str | None:
        place = self._calls[action.tenant, action.prefix, action.call]
        return self._world.ledger.sessions_by_caller.get(place.key)

    def _room(self, action: Action) -> str | None:
        place = self._rooms[action.tenant, action.room]
        room = self._world.ledger.rooms_by_name.get(place.key)
        if room and self._world.ledger.histories[room].ended:
            place.key = ""
            return None
        return room

    def _room_for(self, action: Action) -> str | None:
        """From the drawn place on, the first room that a call on the action's node can be in."""
        places = [self._rooms[action.tenant, (action.room + n) % ROOMS] for n in range(ROOMS)]
        rooms = (self._world.ledger.rooms_by_name.get(place.key) for place in places)
        living = (room for room in rooms if room and not self._world.ledger.histories[room].ended)
        return next((room for room in living if self._world.can_meet(action.prefix, room)), None)

    # Calls

    def _call(self, action: Action, _number: int) -> bool:
        place = self._calls[action.tenant, action.prefix, action.call]
        session = self._session(action)
        if place.call is not None and not (session and self._world.ledger.histories[session].ended):
            return False
        place.key = f"5{next(self._numbers):08d}"
        place.call = self._world.nodes[action.prefix].call(DIDS[action.tenant], place.key)
        return place.call is not None

    def _dial(self, action: Action, number: int) -> bool:
        place = self._calls[action.tenant, action.prefix, action.call]
        session = self._session(action)
        if place.call is not None and not (session and self._world.ledger.histories[session].ended):
            return False
        to = f"+4930{next(self._numbers):07d}{ENDS[int(action.value * 1000) % len(ENDS)]}"
        room = self._room_for(action) if action.value < 0.5 else None
        for _ in range(RETRIES):
            request = self._ask(
                action,
                number,
                lambda client: client.dial(
                    to, CALLER_ID, room_id=room, timeout=RING_SECONDS, command_uid=f"dial-{number}"
                ),
            )
            if request.status not in (None, 503):
                break
            gevent.sleep(0.5)
        if request.status == 202:
            place.key, place.call = to, Dialled(self._world, to)
        return True

    def _hang_up(self, action: Action, _number: int) -> bool:
        place = self._calls[action.tenant, action.prefix, action.call]
        if place.call is None:
            return False
        place.call.hang_up()
        place.call = None
        return True

    def _end_call(self, action: Action, number: int) -> bool:
        """The tenant ends it, and not the caller."""
        session = self._session(action)
        if session and not self._world.ledger.waiting(session, ("hang_up",)):
            self._ask(action, number, lambda client: client.hang_up(session, command_uid=f"hang_up-{number}"))
            return True
        return False

    def _transfer(self, action: Action, number: int) -> bool:
        session = self._session(action)
        to = f"+4930{next(self._numbers):07d}{ENDS[int(action.value * 1000) % len(ENDS)]}"
        if not session or self._world.ledger.waiting(session, ("transfer",)):
            return False
        uid = f"transfer-{number}"
        self._ask(action, number, lambda client: client.transfer(session, to, timeout=RING_SECONDS, command_uid=uid))
        return True

    def _press(self, action: Action, number: int) -> bool:
        place = self._calls[action.tenant, action.prefix, action.call]
        if isinstance(place.call, EmulatedCall):
            place.call.press(number)
            return True
        return False

    def _speak(self, action: Action, _number: int) -> bool:
        place = self._calls[action.tenant, action.prefix, action.call]
        if isinstance(place.call, EmulatedCall):
            place.call.speak(action.value < 0.6)
            return True
        return False

    def _send_dtmf(self, action: Action, number: int) -> bool:
        session = self._session(action)
        if session:
            self._ask(action, number, lambda client: client.send_dtmf(session, "12#", command_uid=f"dtmf-{number}"))
        return bool(session)

    def _collect(self, action: Action, number: int) -> bool:
        session, wanted = self._session(action), {"max_digits": 3, "timeout": 4, "digit_timeout": 2}
        if session:
            self._ask(
                action, number, lambda client: client.collect_digits(session, **wanted, command_uid=f"collect-{number}")
            )
        return bool(session)

    def _play_to(self, action: Action, number: int) -> bool:
        session = self._session(action)
        if session:
            urls = self._sounds(action)
            self._ask(
                action, number, lambda client: client.play_to_session(session, urls, command_uid=f"play_to-{number}")
            )
        return bool(session)

    def _stop_play_to(self, action: Action, number: int) -> bool:
        session = self._session(action)
        if session:
            self._ask(
                action, number, lambda client: client.stop_session_play(session, command_uid=f"stop_play_to-{number}")
            )
        return bool(session)

    def forget_calls(self, prefix: str) -> None:
        """The node has lost them."""
        for (_, where, _), place in self._calls.items():
            if where == prefix:
                place.key, place.call = "", None

    # Requests

    def _ask(self, action: Action, number: int, ask: Ask) -> Request:
        request = self._world.ask(action.tenant, ask, turn=number)
        if request.sent:
            self._world.ledger.asked(request)
        return request

    def _create(self, action: Action, number: int) -> bool:
        place = self._rooms[action.tenant, action.room]
        if place.key and self._room(action):
            return False
        # A request without an answer may have made the room: then the name is taken, and its webhook will tell.
        place.key = place.key or f"{'room' if number % 2 else VOICES}-{action.tenant}-{number}"
        tags, voices = [f"tag {number % 3}"][: number % 2], place.key.startswith(VOICES)
        waits = number % 3 == 0
        options = {"tags": tags, "speaker_events": voices, "wait_for_moderator": waits, **self._beeps(action)}
        self._ask(action, number, lambda client: client.create_room(place.key, **options))
        return True

    def _delete(self, action: Action, number: int) -> bool:
        room = self._room(action)
        if room:
            self._ask(action, number, lambda client: client.delete_room(room))
        return bool(room)

    def _command(self, verb: str) -> Callable[[Action, int], bool]:
        rivals = RIVALS.get(verb, (verb,))

        def act(action: Action, number: int) -> bool:
            session, room = self._session(action), self._room_for(action)
            if not session or (verb == "join" and not room) or self._world.ledger.waiting(session, rivals):
                return False
            about = (session, room) if verb == "join" else (session,)
            more = _join_options(action) if verb == "join" else {}
            for _ in range(RETRIES):
                request = self._ask(
                    action, number, lambda client: getattr(client, verb)(*about, **more, command_uid=f"{verb}-{number}")
                )
                if request.status not in (None, 503):
                    break
                gevent.sleep(0.5)
            return True

        return act

    def _retag(self, action: Action, number: int) -> bool:
        """A tag that the member has not had, so that there is a webhook of it."""
        session, room, uid = self._session(action), self._room_for(action), f"retag-{number}"
        if not session or not room:
            return False
        self._ask(action, number, lambda client: client.change_member(room, session, tags=[uid], command_uid=uid))
        return True

    def _coach(self, action: Action, number: int) -> bool:
        """One of the others on its node."""
        session = self._session(action)
        place = self._calls[action.tenant, action.prefix, (action.call + 1 + number % (CALLS - 1)) % CALLS]
        coached = self._world.ledger.sessions_by_caller.get(place.key)
        if not session or not coached or self._world.ledger.waiting(session, ("coach", "uncoach")):
            return False
        self._ask(action, number, lambda client: client.coach(session, coached, command_uid=f"coach-{number}"))
        return True

    def _loudness(self, action: Action, number: int) -> bool:
        """How loud a member is to the others, or they to it."""
        session, value = self._session(action), int(action.value * 9) - 4
        direction: Literal["in", "out"] = "in" if number % 2 else "out"
        verb = f"volume_{direction}"
        if not session or self._world.ledger.waiting(session, (verb,)):
            return False
        uid = f"{verb}-{number}"
        self._ask(action, number, lambda client: client.set_member_volume(session, direction, value, command_uid=uid))
        return True

    def _in_room(self, verb: str) -> Callable[[Action, int], bool]:
        asks: dict[str, Callable[[Client, str, Action], object]] = {
            "play": lambda client, room, action: client.play(room, self._sounds(action)),
            "pause": lambda client, room, _: client.pause(room),
            "stop": lambda client, room, _: client.stop(room),
            "volume": lambda client, room, action: client.set_volume(room, _volume(action)),
            **{
                verb: lambda client, room, action, verb=verb: getattr(client, verb)(room)  # type: ignore[misc]
                for verb in TO_ALL
            },
        }

        def act(action: Action, number: int) -> bool:
            room = self._room(action)
            if room:
                self._ask(action, number, lambda client: asks[verb](client, room, action))
            return bool(room)

        return act

    def _record(self, action: Action, number: int) -> bool:
        room = self._room(action)
        if room:
            self._ask(action, number, lambda client: client.record_room(room))
        return bool(room)

    def _record_session(self, action: Action, number: int) -> bool:
        session = self._session(action)
        if session:
            self._ask(action, number, lambda client: client.record_session(session, channels=1 if number % 2 else 2))
        return bool(session)

    def _to_recording(self, verb: str) -> Callable[[Action, int], bool]:
        """One of the last that the tenant knows of."""

        def act(action: Action, number: int) -> bool:
            of_tenant = self._world.ledger.of(action.tenant)
            known = [identifier for identifier, history in of_tenant.items() if history.steps][-3:]
            if known:
                recording = known[number % len(known)]
                self._ask(action, number, lambda client: getattr(client, verb)(recording))
            return bool(known)

        return act

    def _sounds(self, action: Action) -> list[str]:
        """One to three sounds, one in two known from before, and now and then one that cannot be fetched."""
        number = int(action.value * 1000)
        sounds = [SOUNDS[(number + at) % len(SOUNDS)] for at in range(1 + number % 3)]
        file = next(self._numbers) if number % 2 else 0
        urls = [self._world.origin.url(wait, play, file, kind) for wait, play, kind in sounds]
        return urls + [NOWHERE] * (number % 10 == 0)

    def _beeps(self, action: Action) -> dict[str, str | None]:
        """None, a tone, a sound that may come late, or one that cannot be fetched."""
        kinds = (None, "tone", self._sounds(action)[0], NOWHERE)
        number = int(action.value * 1000)
        return {"beep_enter": kinds[number % len(kinds)], "beep_exit": kinds[number // 7 % len(kinds)]}

    def _read(self, action: Action, number: int) -> bool:
        room = self._room(action)
        if room:
            self._ask(action, number, lambda client: next(client.list_members(room).pages()))
        return bool(room)

    def _trespass(self, action: Action, number: int) -> bool:
        """Another tenant's session or room, by a tenant who knows its id."""
        identifier = self._session(action) or self._room(action)
        if not identifier:
            return False
        other = TENANTS[(TENANTS.index(action.tenant) + 1) % len(TENANTS)]
        ask = Client.get_room if "-room-" in identifier else Client.get_session
        request = self._world.ask(other, lambda client: ask(client, identifier), turn=number)
        if request.status not in (403, 404, 429, 503, None):
            self._world.ledger.violations.append(f"seen by another tenant: {request}")
        return True


def _join_options(action: Action) -> dict[str, object]:
    """Usually none."""
    number = int(action.value * 1000)
    return (
        {}
        if number % 3
        else {
            "muted": number % 2 == 0,
            "deaf": number % 5 == 0,
            "volume_in": number % 4,
            "tags": [f"tag {number}"],
            "end_on_exit": number % 7 == 0,
            "role": "moderator" if number % 4 == 0 else "participant",
        }
    )


def _volume(action: Action) -> int:
    return int(action.value * 50) - 45


DO: dict[str, Callable[[Load, Action, int], bool]] = {
    "call": Load._call,
    "dial": Load._dial,
    "transfer": Load._transfer,
    "hang_up": Load._hang_up,
    "end_call": Load._end_call,
    "press": Load._press,
    "speak": Load._speak,
    "dtmf": Load._send_dtmf,
    "collect": Load._collect,
    "play_to": Load._play_to,
    "stop_play_to": Load._stop_play_to,
    "loudness": Load._loudness,
    "retag": Load._retag,
    "coach": Load._coach,
    "create": Load._create,
    "delete": Load._delete,
    "record": Load._record,
    "record_session": Load._record_session,
    **{
        verb: (lambda load, action, number, verb=verb: load._to_recording(verb)(action, number))  # type: ignore[misc]
        for verb in ("pause_recording", "resume_recording", "stop_recording", "delete_recording")
    },
    "read": Load._read,
    "trespass": Load._trespass,
    **{
        verb: (lambda load, action, number, verb=verb: load._command(verb)(action, number))  # type: ignore[misc]
        for verb in ("join", "leave", "kick", *RIVALS)
    },
    **{
        verb: (lambda load, action, number, verb=verb: load._in_room(verb)(action, number))  # type: ignore[misc]
        for verb in ("play", "pause", "stop", "volume", *TO_ALL)
    },
}
