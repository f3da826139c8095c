"""Three nodes on which anything may happen, in any order: in the end each room has just the legs that its members need."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.ids import SessionIds
from controller.nodes.compare import Call, MemberOnNode, compare
from tests.integration.world import NODES, SESSION_KEY, World, channel
from tests.open_store import OpenStore

JOIN_ENDS = ("conference.member.joined", "conference.member.join_failed")
FAILED = {"ok": False, "reason": "refused", "text": "-ERR NORMAL_TEMPORARY_FAILURE"}


class Node:
    """What is true on a node. `conferences`: by room, the member ids by channel; a leg is a member as a call is."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.ids = SessionIds(prefix, SESSION_KEY)
        self.is_up = True
        # Whether the controller reaches it.
        self.is_linked = True
        self.calls: set[str] = set()
        self.announced: dict[str, str] = {}
        self.conferences: defaultdict[str, dict[str, int]] = defaultdict(dict)
        self.numbers = itertools.count(1)
        # Told in their order: events, and what the node was told to do.
        self.events: list[Callable[[], Any]] = []
        self.commands: list[dict[str, Any]] = []


class Machine:
    def __init__(self, store: OpenStore, random: Random) -> None:
        store.client.flushall()
        self.world = World(store)
        self.store = store
        self.random = random
        self.nodes = {prefix: Node(prefix) for prefix in NODES}
        self.rooms: list[str] = []
        self.sessions: dict[str, tuple[Node, str]] = {}
        self.numbers = itertools.count(1)
        self.joins: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()

    # Tenants and callers

    def create(self) -> None:
        number = next(self.numbers)
        source = self.random.choice(NODES)
        room = f"{source}-room-00000000-0000-4000-8000-{number:012d}"
        self.world.ask("create_room", name=f"room{number}", room_id=room, node=source)
        self.rooms.append(room)

    def delete(self) -> None:
        self.world.ask("delete_room", room_id=self.random.choice(self.rooms))

    def call(self) -> None:
        node = self.node()
        number = next(self.numbers)
        session = self.world.park(number, node.prefix)
        node.calls.add(channel(number))
        self.sessions[session] = (node, channel(number))

    def join(self) -> None:
        if self.sessions:
            uid = f"uid{next(self.numbers)}"
            session, room = self.random.choice(list(self.sessions)), self.random.choice(self.rooms[-2:])
            is_new = self.world.session(session)["state"] == "parked"
            answer = self.world.ask("join", session_id=session, room_id=room, command_uid=uid)
            if is_new and answer.get("status") == "joining":
                self.joins[uid] += 1

    def leave(self) -> None:
        if self.sessions:
            self.world.ask("leave", session_id=self.random.choice(list(self.sessions)))

    def hang_up(self) -> None:
        if self.sessions:
            session = self.random.choice(list(self.sessions))
            node, call = self.sessions.pop(session)
            self.remove(node, call, "NORMAL_CLEARING")
            node.calls.discard(call)
            ended = {"session_id": session, "cause": "NORMAL_CLEARING"}
            self.happens(node, lambda: self.world.tell("session_ended", node=node.prefix, **ended))

    # Nodes

    def node(self) -> Node:
        return self.random.choice([node for node in self.nodes.values() if node.is_up])

    def happens(self, node: Node, tell: Callable[[], Any]) -> None:
        if node.is_linked:
            node.events.append(tell)

    def remove(self, node: Node, member: str, cause: str = "") -> None:
        """A member, call or leg, is out of whatever conference it is in on the node; a leg is out on its other side, too."""
        for room, members in node.conferences.items():
            if member not in members:
                continue
            member_id = members.pop(member)
            args: dict[str, Any] = {"node": node.prefix, "room_id": room, "cause": cause}
            if member in node.calls:
                args |= {"session_id": node.ids.of(member), "member_id": member_id}
                self.happens(node, lambda args=args: self.world.tell("member_left", **args))
            else:
                self.happens(node, lambda args=args: self.world.tell("leg_left", leg=member, **args))
                for other in self.nodes.values():
                    self.remove(other, member, "NORMAL_CLEARING")

    def add(self, node: Node, room: str, member: str) -> None:
        member_id = node.conferences[room][member] = next(node.numbers)
        args: dict[str, Any] = {"node": node.prefix, "room_id": room, "member_id": member_id}
        if member in node.calls:
            args |= {"session_id": node.ids.of(member), "flags": ["muted"]}
            self.happens(node, lambda: self.world.tell("member_joined", **args))
        else:
            self.happens(node, lambda: self.joined(member, args))

    def joined(self, leg: str, args: dict[str, Any]) -> None:
        if self.world.tell("leg_joined", leg=leg, **args).get("stray"):
            self.remove(self.nodes[args["node"]], leg)

    def take(self) -> None:
        node = self.node()
        if not node.is_linked:
            return
        node.commands += self.world.sent(node.prefix)

    def carry_out(self) -> None:
        """In any order: each is a job of its own."""
        node = self.node()
        if node.commands:
            command = node.commands.pop(self.random.randrange(len(node.commands)))
            result = getattr(self, "do_" + command["op"])(node, command) or {"ok": True}
            self.happens(node, lambda: self.world.answer_on(node.prefix, command, **result))

    def tell(self) -> None:
        node = self.node()
        for _ in range(self.random.randint(1, 5)):
            if node.events:
                node.events.pop(0)()

    def do_announce_leg(self, node: Node, command: dict[str, Any]) -> None:
        node.announced[command["leg"]] = command["room"]

    def do_withdraw_leg(self, node: Node, command: dict[str, Any]) -> None:
        node.announced.pop(command["leg"], None)

    def do_dial_leg(self, node: Node, command: dict[str, Any]) -> dict[str, Any] | None:
        source, leg, room = self.nodes[command["source"]], command["leg"], command["room"]
        if not source.is_up or source.announced.pop(leg, None) != room:
            return FAILED
        self.add(source, room, leg)
        self.add(node, room, leg)
        return None

    def do_hang_up_leg(self, node: Node, command: dict[str, Any]) -> None:
        self.remove(node, command["leg"])

    def do_join(self, node: Node, command: dict[str, Any]) -> dict[str, Any] | None:
        if command.get("channel") not in node.calls:
            return {"ok": False, "reason": "hangup"}
        self.remove(node, command["channel"])
        self.add(node, command["room"], command["channel"])
        return None

    def do_kick(self, node: Node, command: dict[str, Any]) -> dict[str, Any] | None:
        members = node.conferences[command["room"]]
        found = [member for member, member_id in members.items() if member_id == command["member_id"]]
        for member in found:
            self.remove(node, member)
        return None if found else {"ok": False, "reason": "no_member"}

    def do_kick_all(self, node: Node, command: dict[str, Any]) -> None:
        for member in list(node.conferences[command["room"]]):
            self.remove(node, member)

    def do_stop(self, node: Node, command: dict[str, Any]) -> None: ...

    # Faults

    def refuse(self) -> None:
        node = self.node()
        if node.commands:
            command = node.commands.pop(0)
            self.happens(node, lambda: self.world.answer_on(node.prefix, command, **FAILED))

    def cut(self) -> None:
        """A leg breaks."""
        node = self.node()
        legs = [member for members in node.conferences.values() for member in members if member not in node.calls]
        if legs:
            self.remove(node, self.random.choice(legs), "MEDIA_TIMEOUT")

    def lose_event(self) -> None:
        node = self.node()
        if node.events:
            node.events.pop(0)

    def die(self) -> None:
        """With its calls, and what it was told; at most one at a time."""
        if all(node.is_up for node in self.nodes.values()):
            node = self.node()
            node.is_up = node.is_linked = False
            legs = {member for members in node.conferences.values() for member in members} - node.calls
            for other in self.nodes.values():
                for leg in legs:
                    self.remove(other, leg, "MEDIA_TIMEOUT")
            for session, (where, _) in list(self.sessions.items()):
                if where is node:
                    del self.sessions[session]
            node.calls.clear()
            for emptied in (node.conferences, node.announced, node.events, node.commands):
                emptied.clear()
            self.world.nodes[node.prefix]["up"] = False

    def unlink(self) -> None:
        """The controller loses a node, which goes on."""
        node = self.node()
        node.is_linked = False
        node.events.clear()
        self.world.nodes[node.prefix]["up"] = False

    def revive(self) -> None:
        for node in self.nodes.values():
            if not node.is_linked:
                restarted = not node.is_up
                node.is_up = node.is_linked = True
                self.world.nodes[node.prefix]["up"] = True
                self.resync(node, restarted)

    def time_passes(self) -> None:
        down = tuple(node.prefix for node in self.nodes.values() if not node.is_linked)
        for room in self.rooms:
            self.world.age_legs(room)
        unreached = tuple(prefix for prefix in down if self.random.random() < 0.3)
        down = tuple(prefix for prefix in down if prefix not in unreached)
        for prefix in NODES:
            self.world.overdue(prefix, down, unreached=unreached)

    def resync(self, node: Node, restarted: bool = False) -> None:
        """The comparison that a link begins with, or an audit that has found the same twice."""
        node.events.clear()
        rows = {
            what: self.world.tell("snapshot", node=node.prefix, what=what, cursor="0")["rows"]
            for what in ("sessions", "rooms")
        }
        members = {
            member: MemberOnNode(room, member_id, ("muted",))
            for room, there in node.conferences.items()
            for member, member_id in there.items()
        }
        calls = {call: Call("747713001", "x") for call in node.calls}
        exists = node.calls.__contains__
        legs = members.keys() - node.calls
        plan = compare(node.ids, rows["sessions"], rows["rooms"], members, calls, exists, restarted, legs=legs)
        for event in plan.events:
            args = {
                name: getattr(event, name) for name in event.__dataclass_fields__ if name not in ("script", "channel")
            }
            if event.script == "session_parked":
                continue
            if event.script == "leg_joined":
                self.joined(args.pop("leg"), {"node": node.prefix, **args})
            else:
                self.world.tell(event.script, node=node.prefix, resynced=True, **args)
        assert plan.possible_intruders == []
        for leg in plan.stray_legs:
            self.remove(node, leg)
        for room in plan.orphans:
            self.do_kick_all(node, {"room": room})
        self.world.tell("jobs_lost", node=node.prefix)

    def work(self) -> None:
        """All nodes do and tell all that there is."""
        for _ in range(8):
            for node in self.nodes.values():
                node.commands += self.world.sent(node.prefix)
                while node.commands:
                    command = node.commands.pop(0)
                    result = getattr(self, "do_" + command["op"])(node, command) or {"ok": True}
                    self.world.answer_on(node.prefix, command, **result)
                while node.events:
                    node.events.pop(0)()

    # What must be true

    def count(self) -> None:
        for kind, data in self.world.webhooks():
            if kind in JOIN_ENDS and "command_uid" in data:
                self.ends[data["command_uid"]] += 1

    def settle(self) -> None:
        """All is up, told and overdue: what the store has is what the nodes are."""
        self.revive()
        for node in self.nodes.values():
            node.commands.clear()
        for _ in range(4):
            for node in self.nodes.values():
                self.work()
                self.world.overdue(node.prefix)
            self.work()
            for node in self.nodes.values():
                self.resync(node)
        self.work()
        self.count()
        assert self.joins == self.ends
        for room in self.rooms:
            found = self.world.room(room)
            if "refused" in found:
                assert self.world.leftovers(room) == []
                assert not any(node.conferences[room] for node in self.nodes.values())
                continue
            calls = {prefix: len(node.conferences[room].keys() & node.calls) for prefix, node in self.nodes.items()}
            legs = {prefix: node.conferences[room].keys() - node.calls for prefix, node in self.nodes.items()}
            source, *others = found["nodes"]
            assert source["bridge"] == "source"
            assert source["members"] == calls.pop(source["prefix"])
            assert {node["prefix"]: node["members"] for node in others} == {
                prefix: count for prefix, count in calls.items() if count
            }
            assert all(node["bridge"] == "connected" for node in others)
            taken = legs.pop(source["prefix"])
            assert all(len(legs[node["prefix"]]) == 1 for node in others)
            assert sorted(leg for own in legs.values() for leg in own) == sorted(taken)


STEPS = {
    "create": 1, "delete": 1, "call": 4, "join": 8, "leave": 3, "hang_up": 1, "take": 10, "carry_out": 14, "tell": 14,
    "refuse": 1, "cut": 2, "lose_event": 1, "die": 1, "unlink": 1, "revive": 1, "time_passes": 2,
}  # fmt: skip


@pytest.mark.hypothesis
@pytest.mark.timeout(300)
def test_whatever_happens(store: OpenStore) -> None:
    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32))
    def run(seed: int) -> None:
        machine = Machine(store, Random(seed))
        steps = machine.random.choices(list(STEPS), list(STEPS.values()), k=90)
        for step in ["create", "create", "call", "call", "call", "call", *steps]:
            getattr(machine, step)()
        machine.settle()

    run()
