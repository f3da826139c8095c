"""The main job, step by step over real HTTP: the status of each response and the webhooks that follow are known."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import gevent

from controller.limits import Limits
from controller.store.states import PlaybackState
from esl.commands import LEG_NAME
from esl.emulator import Emulator
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
SOUND_SECONDS = 2.0  # in which a file that plays must reach every node
# The cooldown began when the store accepted the command, which is not quite when we asked.
COOLDOWN_MARGIN = 0.05

# A webhook's type, and what its data must hold.
Expected = tuple[str, Data]


class Walk:
    """The main job, step by step. Raises Differed."""

    def __init__(self, story: Story, address: str, api_key: str, endpoint: Endpoint) -> None:
        self._story = story
        self._endpoint = endpoint
        self._headers = {"X-App-ID": APP_ID, "X-API-Key": api_key, "Content-Type": "application/json"}
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 0
        # When the cooldown of a group is over, for the room or session that it counts for.
        self._ready_at: dict[tuple[str, str], float] = {}

    def run(self, nodes: Mapping[str, Emulator]) -> None:
        """`nodes` by their prefixes, as CALLERS has them."""
        first, second = nodes
        self._story.title(f"Three callers dial the app's number; the calls come in on the node {first}")
        self._await_nodes()
        sessions = [self._call(nodes[first], number, name) for number, name in CALLERS[first]]

        self._story.title(f"The app creates a room; it is put on {first}, where the callers wait")
        created: Expected = ("conference.created", {"name": "weekly-standup"})
        room = self._ask("POST", "/conferences", {"name": "weekly-standup"}, 201, created)["room_id"]
        path = f"/conferences/{room}"

        self._story.title("They join it, muted")
        for session in sessions:
            joined: Expected = ("conference.member.joined", {"uuid": session, "muted": True})
            self._session_command(session, "join", "conference", joined, {"room_id": room})

        self._story.title(f"A fourth calls on the node {second} and joins the same room; {second} calls {first} for it")
        (caller,) = CALLERS[second]
        fourth = self._call(nodes[second], *caller)
        joined = ("conference.member.joined", {"uuid": fourth, "muted": True})
        self._session_command(fourth, "join", "conference", joined, {"room_id": room})
        nodes_of_room = [
            {"prefix": first, "bridge": "source", "members": 3},
            {"prefix": second, "bridge": "connected", "members": 1},
        ]
        self._check(self._ask("GET", path, None, 200)["nodes"] == nodes_of_room, f"nodes {json.dumps(nodes_of_room)}")
        members = self._ask("GET", f"{path}/members", None, 200)["members"]
        node_of = {member["uuid"]: member["node"] for member in members}
        expected = {**dict.fromkeys(sessions, first), fourth: second}
        self._check(node_of == expected, f"three members on {first} and one on {second}")

        self._story.title("The first may speak")
        unmuted: Expected = ("conference.member.unmuted", {"uuid": sessions[0], "command_uid": "let-alice-speak"})
        self._session_command(sessions[0], "unmute", "conference_mute", unmuted, {"command_uid": "let-alice-speak"})

        self._story.title("Two files are played; on the way the volume changes, and a pause")
        urls = [self._endpoint.tone(seconds) for seconds in TONES]
        started: Expected = ("conference.play.started", {"urls": urls})
        operation = self._room_command(room, "play", "conf_play", started, {"urls": urls})["operation_id"]
        for prefix, node in nodes.items():
            self._await_sound(prefix, node, room)
        playback = {"operation_id": operation}
        self._room_command(
            room, "volume", "conference_control", ("conference.play.volume_changed", {"volume": 2}), {"volume": 2}
        )
        self._room_command(
            room, "pause", "conference_control", ("conference.play.paused", {**playback, "paused": True})
        )
        status = self._ask("GET", path, None, 200)["playback_status"]
        self._check(status == PlaybackState.PAUSED, "playback_status paused")
        self._room_command(
            room, "pause", "conference_control", ("conference.play.paused", {**playback, "paused": False})
        )
        self._await("conference.play.finished", {**playback, "status": "completed"})

        self._story.title("One leaves; the room is deleted, and the others leave with it")
        self._session_command(sessions[0], "leave", "conference", ("conference.member.left", {"uuid": sessions[0]}))
        self._ask("DELETE", path, None, 200)
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

    def _session_command(
        self, session: str, verb: str, group: str, then: Expected, body: dict[str, Any] | None = None
    ) -> Any:
        with self._cooldown(group, session):
            return self._ask("POST", f"/sessions/{session}/commands/conference/{verb}", body, 202, then)

    def _room_command(
        self, room: str, verb: str, group: str, then: Expected, body: dict[str, Any] | None = None
    ) -> Any:
        with self._cooldown(group, room):
            return self._ask("POST", f"/conferences/{room}/{verb}", body, 202, then)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, status: int, *then: Expected) -> Any:
        """One request, shown with its response and the webhooks that must follow. Returns the response's body."""
        self._story.line("request", "cyan", f"{method} {API}{path} {json.dumps(body) if body else ''}")
        found, response = self._request(method, API + path, body)
        self._story.line("response", "green" if found == status else "red", f"{found} {json.dumps(response)}")
        self._check(found == status, f"{method} {path} to respond with {status}")
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
        status, ready = self._request("GET", "/readyz", None)
        return status == 200 and all(ready["nodes"].values())

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body else None, self._headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Differed(f"{method} {path} got no response: {error}") from error
        finally:
            connection.close()
