"""Calls that a comparison finds, of which the store has nothing: many become sessions and members in one step."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from controller.limits import QUOTAS
from controller.nodes.handler import MAX_FOUND
from controller.registry import Registry, new_app
from controller.store import keys
from tests.integration.fake_link import DrivenNode
from tests.integration.test_broken_records import call, conference
from tests.integration.test_full_store import hung_up
from tests.integration.world import IDS, NODE, World, channel


def found(number: int, room: str = "", *flags: str) -> dict[str, Any]:
    subject = {"session_id": IDS.of(channel(number)), "channel": channel(number), "did": "747713001"}
    member = {"room_id": room, "member_id": number if room else 0, "flags": flags}
    return {**subject, "caller_id": f"caller{number}", **member}


def find(world: World, *calls: dict[str, Any]) -> dict[str, Any]:
    return world.tell("sessions_found", app_id=world.app_id, calls=calls, resynced=True)


# What depends on when it was made: ids of jobs, webhooks and recordings, places of commands, and times.
MADE_THEN = re.compile(r"(p\d\d-)?\b\d{13}-\d+|\b[0-9a-f]{32}\b|\b1\d{9}(\d{3})?\b")


def stored(world: World) -> dict[str, str]:
    """All that is in the partition, but for streams of commands."""
    client, values = world.store.client, {}
    read = {
        b"hash": lambda key: sorted(client.hgetall(key).items()),
        b"zset": lambda key: client.zrange(key, 0, -1),
        b"set": lambda key: sorted(client.smembers(key)),
        b"string": client.get,
        b"stream": lambda key: [orjson.loads(fields.get(b"e", b"0")) for _, fields in client.xrange(key)],
    }
    for key in client.keys(f"{world.tag}:*"):
        found = read[client.type(key)](key)
        values[scrubbed(key)] = scrubbed(sorted(found) if b":due:" in key else found)
    return values


def scrubbed(value: object) -> str:
    return MADE_THEN.sub("", repr(value))


def test_what_is_found_becomes_what_its_events_make(world: World) -> None:
    """Of as many as there are in a step, parked and in two rooms, one of which is another app's."""

    def rooms() -> tuple[str, str]:
        other = World(world.store, "other")
        other.tag = world.tag
        room, its = world.create(), other.ask("create_room", name="x", room_id=f"{NODE}-room-other", node=NODE)
        world.ask(
            "change_room", room_id=room, options={"max_duration": 60, "record": True, "end_on_exit": "participant"}
        )
        return room, str(its["room_id"])

    def calls(room: str, its: str) -> list[dict[str, Any]]:
        return [found(1), *(found(number, room, "muted") for number in (2, 3)), found(4, its), found(5, room, "deaf")]

    made = rooms()
    for each in calls(*made):
        about = {name: each[name] for name in ("session_id", "channel", "did", "caller_id")}
        world.tell("session_parked", app_id="demo", resynced=True, **about)
        if each["room_id"]:
            about = {name: each[name] for name in ("session_id", "room_id", "member_id", "flags")}
            world.tell("member_joined", resynced=True, **about)
    by_events = stored(world), scrubbed(world.webhooks())
    world.store.client.flushall()
    world = World(world.store)
    assert rooms() == made
    assert find(world, *calls(*made)) == {"rejected": {}}
    assert (stored(world), scrubbed(world.webhooks())) == by_events


def test_one_that_is_known_moves_and_takes_its_room_along(world: World) -> None:
    """Its first room ends as it leaves, and who is found to be in that afterwards is taken out."""
    first, second = world.create("first"), world.create("second")
    world.ask("change_room", room_id=first, options={"end_on_exit": "participant"})
    moved = world.joined(first, 1)
    world.webhooks()
    find(world, found(1, second), found(2, first), found(3, second))
    told = [(kind, data.get("room_id")) for kind, data in world.webhooks() if kind.startswith("conference.")]
    assert told == [
        ("conference.member.left", first),
        ("conference.destroyed", first),
        ("conference.member.joined", second),
        ("conference.member.joined", second),
    ]
    assert world.session(moved)["room_id"] == second
    assert [command["session"] for command in world.sent() if command["op"] == "kick"] == [IDS.of(channel(2))]


def test_one_that_has_ended_does_not_begin_again(world: World) -> None:
    room, session = world.create(), world.park(1)
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    world.webhooks()
    find(world, found(1, room), found(2, room))
    assert world.types() == ["session.started", "conference.member.joined"]


def test_a_repeat_changes_nothing(world: World) -> None:
    room = world.create()
    find(world, found(1, room), found(2))
    world.webhooks()
    before = world.session(IDS.of(channel(1))), world.room(room)
    find(world, found(1, room), found(2))
    assert (world.session(IDS.of(channel(1))), world.room(room)) == before
    assert world.types() == []


def test_one_that_is_broken_holds_up_no_other(world: World) -> None:
    room, other = world.create("a"), world.create("b")
    world.store.client.hset(keys.key(world.tag, "room", room), "members_seen", "nan")
    reply = find(world, found(1, room), found(2, other))
    assert [record for record, _ in reply["broken"]] == [IDS.of(channel(1))]
    assert (world.room(other)["members"], world.session(IDS.of(channel(1)))["state"]) == (1, "parked")


def test_those_without_room_in_the_quota_are_none(world: World) -> None:
    room = world.create()
    world.limits["quotas"] = {**QUOTAS, "sessions": 2}
    reply = find(world, *(found(number, room) for number in (1, 2, 3, 4)))
    assert reply["rejected"] == {IDS.of(channel(number)): "quota_exceeded" for number in (3, 4)}
    assert world.room(room)["members"] == 2


def own_number(world: World, **quotas: int) -> None:
    Registry(world.store).put_app(new_app(world.app_id, "key", dids=("747713001",), own_quotas=quotas))


@pytest.mark.parametrize("count", [1, MAX_FOUND + 1, 3 * MAX_FOUND])
def test_a_node_that_comes_with_its_calls(world: World, node: DrivenNode, count: int) -> None:
    own_number(world)
    room, numbers = world.create(), range(1, count + 1)
    world.webhooks()
    wire = node.up(*map(call, numbers), members=[conference(room, *numbers)])
    told = world.webhooks()
    assert all(data["resynced"] for _, data in told)
    for kind in ("session.started", "conference.member.joined"):
        assert [data["uuid"] for each, data in told if each == kind] == [IDS.of(channel(n)) for n in numbers]
    assert hung_up(wire) == []
    for _ in range(2):
        node.audit.compare_once()
    assert world.types() == []


def test_calls_that_cannot_be_sessions_are_hung_up(world: World, node: DrivenNode) -> None:
    """One is to a number of nobody; of two others the app may have one."""
    own_number(world, sessions=1)
    wire = node.up(call(1), {**call(2), "initial_dest": "0"}, call(3))
    hang_ups = set(hung_up(wire))
    assert hang_ups == {(channel(2), "UNALLOCATED_NUMBER"), (channel(3), "SWITCH_CONGESTION")}
    assert world.types() == ["session.started"]
