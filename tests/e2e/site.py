"""Three nodes that call each other, and one Switchroom that drives them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent

from tests.e2e.nodes import Call, Node, open_node
from tests.e2e.system import DIDS, Receiver, Switchroom

CONFERENCES = "/api/v1/conferences"
# By prefix.
ADDRESSES = {"acW68": "127.0.0.1", "bcX79": "127.0.0.2", "cdY80": "127.0.0.3"}

_numbers = itertools.count(1)  # of calls and rooms, whichever site they are of: one Receiver hears of all


class Site:
    """Three nodes and one Switchroom that drives them."""

    def __init__(self, folder: Path, hooks: Receiver) -> None:
        self.hooks = hooks
        self.nodes: dict[str, Node] = {prefix: open_node(prefix, address) for prefix, address in ADDRESSES.items()}
        self.service = Switchroom(folder, self.nodes, hooks.url)
        self.calls: list[Call] = []

    def start(self) -> None:
        self.service.start()
        for prefix in self.nodes:
            self.service.wait_up(prefix)

    def close(self) -> None:
        for call in self.calls:
            call.hang_up()
        self.service.stop()
        for node in self.nodes.values():
            node.close()

    def call(self, prefix: str) -> str:
        """A call that waits on that node. -> its session."""
        caller_id = new_caller_id()
        self.calls.append(self.nodes[prefix].call(DIDS["alpha"], caller_id))
        return self.session_of(caller_id)

    def session_of(self, caller_id: str) -> str:
        return str(self.hooks.wait("session.started", caller_id=caller_id)["uuid"])

    def room(self) -> tuple[str, list[str]]:
        """A new room. -> its id and the prefixes of the nodes, its source first."""
        answer = self.service.post(CONFERENCES, {"name": f"bridged-{next(_numbers)}"})
        room = str(answer.body["room_id"])
        source = room.partition("-")[0]
        return room, [source, *(prefix for prefix in ADDRESSES if prefix != source)]

    def command(self, session: str, what: str, **body: str) -> int:
        return self.service.post(f"/api/v1/sessions/{session}/commands/conference/{what}", body or None).status

    def join(self, session: str, room: str) -> dict[str, Any]:
        assert self.command(session, "join", room_id=room) == 202
        return self.hooks.wait("conference.member.joined", uuid=session, room_id=room)

    def bridges(self, room: str) -> dict[str, str]:
        nodes = self.service.get(f"{CONFERENCES}/{room}").body["nodes"]
        return {node["prefix"]: node["bridge"] for node in nodes}

    def counts(self, room: str) -> dict[str, int]:
        nodes = self.service.get(f"{CONFERENCES}/{room}").body["nodes"]
        return {node["prefix"]: node["members"] for node in nodes}

    def members(self, room: str) -> dict[str, str]:
        """The node of each session."""
        listed = self.service.get(f"{CONFERENCES}/{room}/members").body["members"]
        return {member["uuid"]: member["node"] for member in listed}

    def size(self, prefix: str, room: str) -> int:
        """Members of the conference on the node, legs among them."""
        said = self.nodes[prefix].command(f"conference {room} list count").strip()
        return int(said) if said.isdecimal() else 0

    def legs(self, prefix: str) -> list[str]:
        return self.nodes[prefix].legs()


def new_caller_id() -> str:
    return f"5281{next(_numbers):05d}"


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until it holds. Raises AssertionError."""
    with gevent.Timeout(seconds, AssertionError("it does not come about")):
        while not condition():
            gevent.sleep(0.05)
