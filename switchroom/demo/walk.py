"""The main job, step by step over real HTTP: the status of each response and the webhooks that follow are known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import gevent

from controller.limits import Limits
from controller.store.states import PlaybackState
from esl.commands import LEG_NAME
from esl.emulator import Emulator
from switchroom.client import Client, SwitchroomError
from switchroom.client.transport import HTTPTransport, Request, Response
from switchroom.demo.endpoint import Data, Differed, Endpoint
from switchroom.demo.story import Story

APP_ID = "demo"
DID = "747713001"
# By the prefix of the node on which they call.
CALLERS = {
    "demo1": (("527121101", "Alice"), ("527121102", "Bob"), ("527121103", "Carol")),
    "demo2": (("527121104", "Dave"),),
}
TONES = (3, 2)  # seconds
API = "/api/v1"
READY_SECONDS = 15.0
SOUND_SECONDS = 10.0  # in which a file that plays must reach every node
# The cooldown began when the store accepted the command, which is not quite when we asked.
COOLDOWN_MARGIN = 0.05

# A webhook's type, and what its data must hold.
Expected = tuple[str, Data]
Returned = TypeVar("Returned")


class Shown(HTTPTransport):
    """Shows each request to the API with its response."""

    def __init__(self, url: str, story: Story) -> None:
        super().__init__(url)
        self._story = story

    def send(self, request: Request) -> Response:
        if not request.target.startswith(API):
            return super().send(request)
        body = request.body.decode() if request.body else ""
        self._story.line("request", "cyan", f"{request.method} {request.target} {body}")
        response = super().send(request)
        style = "green" if response.status < 300 else "red"
        self._story.line("response", style, f"{response.status} {response.body.decode()}")
        return response


class Walk:
    """The main job, step by step. Raises Differed."""

    def __init__(self, story: Story, address: str, api_key: str, endpoint: Endpoint) -> None:
        self._story = story
        self._endpoint = endpoint
        # It makes nothing again: what differs is to be seen.
        transport = Shown(address, story)
        self._client = Client(address, app_id=APP_ID, api_key=api_key, timeout=10, retries=0, transport=transport)
        # When the cooldown of a group is over, for the room or session that it counts for.
        self._ready_at: dict[tuple[str, str], float] = {}

    def run(self, emulated: Mapping[str, Emulator]) -> None:
        """The nodes by their prefixes, as CALLERS has them."""
        first, second = emulated
        self._story.title(f"Three callers dial the app's number; the calls come in on the node {first}")
        self._await_nodes()
        sessions = [self._call(emulated[first], number, name) for number, name in CALLERS[first]]

        self._story.title(f"The app creates a room; it is put on {first}, where the callers wait")
        created: Expected = ("conference.created", {"name": "weekly-standup"})
        room = self._ask(lambda: self._client.create_room("weekly-standup"), created).room_id

        self._story.title("They join it, muted")
        for session in sessions:
            joined: Expected = ("conference.member.joined", {"uuid": session, "muted": True})
            self._join(session, room, joined)

        self._story.title(f"A fourth calls on the node {second} and joins the same room; {second} calls {first} for it")
        (caller,) = CALLERS[second]
        fourth = self._call(emulated[second], *caller)
        joined = ("conference.member.joined", {"uuid": fourth, "muted": True})
        self._join(fourth, room, joined)
        nodes = [(first, "source", 3), (second, "connected", 1)]
        shown = self._ask(lambda: self._client.get_room(room)).nodes
        self._check([(node.prefix, node.bridge, node.members) for node in shown] == nodes, f"nodes {nodes}")
        members = self._ask(lambda: [*self._client.list_members(room)])
        node_of = {member.uuid: member.node for member in members}
        expected = {**dict.fromkeys(sessions, first), fourth: second}
        self._check(node_of == expected, f"three members on {first} and one on {second}")

        self._story.title("The first may speak")
        unmuted: Expected = ("conference.member.unmuted", {"uuid": sessions[0], "command_uid": "let-alice-speak"})
        with self._cooldown("conference_mute", sessions[0]):
            self._ask(lambda: self._client.unmute(sessions[0], command_uid="let-alice-speak"), unmuted)

        self._story.title("Two files are played; on the way the volume changes, and a pause")
        urls = [self._endpoint.tone(seconds) for seconds in TONES]
        started: Expected = ("conference.play.started", {"urls": urls})
        with self._cooldown("conf_play", room):
            operation = self._ask(lambda: self._client.play(room, urls), started).operation_id
        for prefix, node in emulated.items():
            self._await_sound(prefix, node, room)
        playback = {"operation_id": operation}
        with self._cooldown("conference_control", room):
            self._ask(lambda: self._client.set_volume(room, 2), ("conference.play.volume_changed", {"volume": 2}))
        self._pause(room, {**playback, "paused": True})
        status = self._ask(lambda: self._client.get_room(room)).playback_status
        self._check(status == PlaybackState.PAUSED, "playback_status paused")
        self._pause(room, {**playback, "paused": False})
        self._await("conference.play.finished", {**playback, "status": "completed"})

        self._story.title("One leaves; the room is deleted, and the others leave with it")
        with self._cooldown("conference", sessions[0]):
            self._ask(lambda: self._client.leave(sessions[0]), ("conference.member.left", {"uuid": sessions[0]}))
        self._ask(lambda: self._client.delete_room(room))
        self._await("conference.destroyed", {"room_id": room})
        for session in (*sessions[1:], fourth):
            self._await("conference.member.left", {"uuid": session, "reason": "room_destroyed"})
        self._endpoint.expect_no_more()

    # Steps

    def _call(self, node: Emulator, number: str, name: str) -> str:
        self._story.line("call", "yellow", f"{name} ({number}) calls {DID}")
        node.call(to=DID, caller_id_number=number, caller_id_name=name)
        return str(self._await("session.started", {"caller_id": number, "did": DID})["uuid"])

    def _await_sound(self, prefix: str, node: Emulator, room: str) -> None:
        """Wait until the node has the file that plays: its own conference plays it, or a leg brings it."""
        conference = node.conferences[room]
        members = conference.members.values()
        legs = [member for member in members if member.channel.name.startswith(LEG_NAME)]
        try:
            node.wait_for(lambda: conference.playing or any(leg.flags.talking for leg in legs), SOUND_SECONDS)
        except TimeoutError:
            raise Differed(f"expected the file to reach {prefix} within {SOUND_SECONDS:.0f} s") from None
        names = ", ".join(member.channel.profile.name for member in members if member not in legs)
        what = "plays the file" if conference.playing else "gets the file by its call to the other node, and sends it"
        self._story.line("sound", "blue", f"{prefix} {what} to {names}")

    def _join(self, session: str, room: str, then: Expected) -> None:
        with self._cooldown("conference", session):
            self._ask(lambda: self._client.join(session, room), then)

    def _pause(self, room: str, then: Data) -> None:
        """Pause, or resume."""
        with self._cooldown("conference_control", room):
            self._ask(lambda: self._client.pause(room), ("conference.play.paused", then))

    def _ask(self, call: Callable[[], Returned], *then: Expected) -> Returned:
        """One request, and the webhooks that must follow."""
        try:
            response = call()
        except SwitchroomError as error:
            raise Differed(f"expected another response: {error}") from error
        for expected in then:
            self._await(*expected)
        return response

    def _await(self, kind: str, match: Data) -> Data:
        return self._endpoint.expect(kind, match)

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Differed(f"expected {what}")

    @contextmanager
    def _cooldown(self, group: str, scope: str) -> Iterator[None]:
        """A command that comes too soon after another of its group is refused: wait, as a client should. The response
        comes inside; from then on, at the latest, the cooldown runs.
        """
        now = time.monotonic()
        ready_at = self._ready_at.get((group, scope), now)
        if ready_at > now:
            self._story.line("wait", "dim", f"{ready_at - now:.1f} s: cooldown of {group}")
            gevent.sleep(ready_at - now)
        yield
        self._ready_at[group, scope] = time.monotonic() + Limits().cooldowns[group] / 1000 + COOLDOWN_MARGIN

    def _await_nodes(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._are_up():
            if time.monotonic() > deadline:
                raise Differed(f"the nodes were not reachable within {READY_SECONDS:.0f} s")
            gevent.sleep(0.05)

    def _are_up(self) -> bool:
        try:
            return all(self._client.readyz().nodes.values())
        except SwitchroomError:
            return False
