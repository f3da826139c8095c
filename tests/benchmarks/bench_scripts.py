"""How long each step holds the store, at its worst: a thousand members, two thousand on a hundred nodes, a hundred waiting
playbacks of 128 long URLs.

    python -m tests.benchmarks.bench_scripts

A step is atomic: nobody else is served meanwhile.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from controller.controller import STEP_ROWS
from controller.limits import QUOTAS
from controller.nodes.handler import MAX_FOUND
from controller.nodes.node_worker import MAX_TAKEN
from controller.sessions.flags import FLAGS
from controller.store import keys
from switchroom.embedded import EmbeddedStore
from tests.benchmarks.figures import note
from tests.integration.test_legs import leg_up, member
from tests.integration.test_sessions_found import found
from tests.integration.world import NODE, NODES, World
from tests.open_store import OpenStore

MEMBERS = 1000
ALL_NODES = [*NODES, *(f"n{number:04}" for number in range(len(NODES), 100))]
SPANNING = 20  # members on each of them
PLAYBACKS = 100
FILES = 128
TARGET_US = 5000


class Timed(OpenStore):
    """Notes the longest run of each script, in microseconds of CPU time of the server's thread that serves: what else runs
    on the machine, or in the server, does not count.
    """

    longest: dict[str, int]

    def run(self, script: str, tag: str, args: dict[str, Any]) -> dict[str, Any]:
        before = self._cpu()
        answer = super().run(script, tag, args)
        self.longest[script] = max(self.longest[script], self._cpu() - before)
        return answer

    def _cpu(self) -> int:
        told = self.client.info("cpu")
        return round((told["used_cpu_user_main_thread"] + told["used_cpu_sys_main_thread"]) * 1e6)


def urls(length: int) -> list[str]:
    return [f"http://media.example/{number:04}".ljust(length, "x") for number in range(FILES)]


def playing(world: World, length: int = 300, playbacks: int = PLAYBACKS) -> str:
    """A room with a member, and as many playbacks as there may be, all of whose files the node has."""
    room = world.create("busy")
    world.joined(room)
    for number in range(playbacks):
        world.play(room, *urls(length), operation=f"op{number}")
    while sent := world.sent():
        for command in sent:
            world.answer(command["job"])
    return room


def members(world: World) -> str:
    room = world.create("full")
    for number in range(MEMBERS):
        world.joined(room, number + 1)
    return room


def delete_playing(world: World) -> Callable[[], object]:
    room = playing(world)
    return lambda: world.ask("delete_room", room_id=room)


def stop_playing(world: World) -> Callable[[], object]:
    room = playing(world)
    return lambda: world.ask("stop", room_id=room)


def files_end(world: World) -> Callable[[], object]:
    room = playing(world)
    done = [(f"op{number}", index) for number in range(3) for index in range(FILES)]
    return lambda: [world.tell("file_done", room_id=room, operation_id=op, index=index) for op, index in done]


def long_urls(world: World) -> Callable[[], object]:
    def run() -> None:
        room = playing(world, 2048, 3)
        world.tell("file_done", room_id=room, operation_id="op2", index=FILES - 1)

    return run


def look_up(world: World) -> Callable[[], object]:
    room = members(world)

    def run() -> None:
        world.ask("list_members", room_id=room, limit=STEP_ROWS, after=0)
        world.ask("list_sessions", limit=STEP_ROWS, after=0)
        world.ask("list_rooms", limit=STEP_ROWS, after=0)
        world.tell("snapshot", what="sessions", cursor="0")
        calls = [found(MEMBERS + number, room, "muted") for number in range(1, MAX_FOUND + 1)]
        world.tell("sessions_found", app_id=world.app_id, calls=calls)

    return run


def node_lost(world: World) -> Callable[[], object]:
    room = members(world)

    def run() -> None:
        for number in range(MEMBERS):
            session = world.park(number + 1)
            world.set_flag(session, FLAGS[0], False)
            if number % MAX_TAKEN == 0:
                world.sent()
        while world.tell("jobs_lost")["more"]:
            pass
        world.ask("delete_room", room_id=room)
        world.overdue()

    return run


def spanning(world: World) -> Callable[[], object]:
    world.nodes.update({node: {"up": True, "open": True} for node in ALL_NODES})
    room = world.create("spanning")
    numbers = itertools.count(1)
    world.joined(room, next(numbers))
    for node in ALL_NODES[1:]:
        session = world.park(next(numbers), node)
        world.ask("join", session_id=session, room_id=room)
        leg_up(world, room, node)
        (command,) = world.sent(node)
        world.answer_on(node, command)
        world.tell("member_joined", node=node, session_id=session, room_id=room, member_id=1, flags=["muted"])
    for node in ALL_NODES:
        for number in itertools.islice(numbers, SPANNING - 1):
            session = member(world, room, number, node)
    last, other = ALL_NODES[-1], ALL_NODES[1]

    def run() -> None:
        world.ask("get_room", room_id=room)
        world.ask("list_members", room_id=room, limit=STEP_ROWS, after=0)
        world.ask("leave", session_id=session)
        world.tell("member_left", node=last, session_id=session, room_id=room, member_id=number, cause="")
        world.tell("snapshot", what="rooms", cursor="0")
        for node in ALL_NODES[1:]:
            leg = world.store.client.hget(keys.key(world.tag, "leg", room, node), "id")
            world.tell("leg_left", node=node, leg=leg.decode(), room_id=room, cause="")
        world.age_legs(room)
        world.overdue(other, down=(NODE,))
        assert world.room(room)["nodes"][0]["prefix"] == other
        world.ask("delete_room", room_id=room)

    return run


SCENARIOS: dict[str, Callable[[World], Callable[[], Any]]] = {
    "a room with 100 playbacks is deleted": delete_playing,
    "a room with 100 playbacks is stopped": stop_playing,
    "files end in a room with 100 playbacks": files_end,
    "playbacks of 128 URLs of 2,048 characters": long_urls,
    "1,000 members and sessions are listed, and a comparison finds 10 more": look_up,
    "2,000 members on 100 nodes: one leaves, the source is lost, the room is deleted": spanning,
    "1,000 members are unmuted, the link is lost, the room is deleted": node_lost,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", nargs="?", default="", help="only those with this in their title")
    wanted = parser.parse_args().scenario
    over = 0
    with TemporaryDirectory() as folder:
        embedded = EmbeddedStore(Path(folder))
        embedded.start()
        try:
            store = Timed.connect(embedded.url)
            assert isinstance(store, Timed)
            store.timeout = 60.0
            store.longest = defaultdict(int)
            for title, scenario in SCENARIOS.items():
                if wanted not in title:
                    continue
                store.client.flushall()
                world = World(store)
                world.limits["quotas"] = world.worker["quotas"] = dict.fromkeys(QUOTAS, 1 << 30)
                run = scenario(world)
                store.longest = defaultdict(int)
                run()
                print(title)
                for name, longest in sorted(store.longest.items(), key=lambda item: -item[1])[:6]:
                    over += longest > TARGET_US
                    print(f"  {name:<20} {longest:>7,} us{'  over' if longest > TARGET_US else ''}")
                name, longest = max(store.longest.items(), key=lambda item: item[1])
                note(f"longest step: {title}: {name}", longest, "us")
        finally:
            embedded.stop()
    print(f"{over} over {TARGET_US:,} us" if over else f"none over {TARGET_US:,} us")


if __name__ == "__main__":
    main()
