"""What an app says of a room: who may join, and when the room ends by itself."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import keys
from tests.integration.world import NODE, World

LIMITS = {
    "max_members": None,
    "locked": False,
    "end_when_empty": None,
    "max_duration": None,
    "tags": [],
    "end_on_exit": None,
    "wait_for_moderator": False,
    "hold_music": None,
    "beep_enter": None,
    "beep_exit": None,
    "record": False,
    "speaker_events": False,
}


def create(world: World, **options: Any) -> str:
    room = world.create()
    if options:
        assert "refused" not in change(world, room, **options)
    world.webhooks()
    return room


def change(world: World, room: str, **options: Any) -> dict[str, Any]:
    return world.ask("change_room", room_id=room, options=options)


def join(world: World, room: str, number: int) -> dict[str, Any]:
    return world.ask("join", session_id=world.park(number), room_id=room)


def pass_seconds(world: World, room: str, seconds: float) -> None:
    """Until the room's end, if that comes within so many seconds: what is kept of its past is moved back by them."""
    for field, each in (("started_at", 1), ("empty_since", 1000)):
        at = world.store.client.hget(keys.key(world.tag, "room", room), field)
        if at:
            world.store.client.hset(keys.key(world.tag, "room", room), field, int(float(at) - seconds * each))
    due = keys.key(world.tag, "due", NODE)
    if world.store.client.zscore(due, f"expiry:{room}") is not None:
        world.store.client.zincrby(due, -seconds * 1000, f"expiry:{room}")
    world.tell("overdue")


def test_a_room_is_created_with_options(world: World) -> None:
    reply = world.ask(
        "create_room", name="standup", room_id=f"{NODE}-room-1", node=NODE, options={"max_members": 2, "locked": True}
    )
    found = world.room(reply["room_id"])
    assert {name: found[name] for name in LIMITS} == {**LIMITS, "max_members": 2, "locked": True}
    assert (found["started_at"], found["duration"], found["peak_members"]) == (None, 0, 0)


def test_a_room_without_options_has_none(world: World) -> None:
    found = world.room(world.create())
    assert {name: found[name] for name in LIMITS} == LIMITS


def test_a_change_tells_all_options_and_nothing_when_nothing_changes(world: World) -> None:
    room = create(world)
    assert change(world, room, max_members=3, locked=True) == {
        "room_id": room, **LIMITS, "max_members": 3, "locked": True,
    }  # fmt: skip
    ((kind, data),) = world.webhooks()
    assert kind == "conference.updated"
    assert data == {
        "app_id": "demo", "room_id": room, "name": "standup", "sequence": 2, **LIMITS, "max_members": 3, "locked": True,
    }  # fmt: skip
    assert change(world, room, max_members=3, locked=True)["max_members"] == 3
    assert world.types() == []
    assert change(world, room, max_members=None, locked=False) == {"room_id": room, **LIMITS}
    assert world.types() == ["conference.updated"]


def tagged(world: World, tag: str, **narrowed: Any) -> list[str]:
    """The rooms of a tag, read in pages of two."""
    rooms, after = [], 0
    while True:
        page = world.ask("list_rooms", limit=2, after=after, tag=tag, **narrowed)
        rooms += [row["room_id"] for row in page["rows"]]
        if not (after := page["cursor"]):
            return rooms


def test_rooms_are_listed_by_their_tags(world: World) -> None:
    rooms = [world.create(f"room{number}") for number in range(5)]
    for room in reversed(rooms):
        change(world, room, tags='["all","{p00}:naïve \U0001f3a7"]')
    assert tagged(world, "all") == tagged(world, "{p00}:naïve \U0001f3a7") == rooms
    change(world, rooms[1], tags='["other"]')
    change(world, rooms[2], tags="[]")
    world.ask("delete_room", room_id=rooms[3])
    assert tagged(world, "all") == [rooms[0], rooms[4]]
    assert tagged(world, "other") == [rooms[1]]
    assert tagged(world, "all", name="room4") == [rooms[4]]
    assert tagged(world, "all", name="room1") == tagged(world, "none") == []
    (row,) = world.ask("list_rooms", limit=9, after=0, tag="other")["rows"]
    assert (row["name"], row["tags"]) == ("room1", ["other"])
    assert "tags" not in world.ask("list_rooms", limit=9, after=0, name="room2")["rows"][0]


def test_tags_of_a_room_are_told(world: World) -> None:
    reply = world.ask("create_room", name="standup", room_id=f"{NODE}-room-1", node=NODE, options={"tags": '["a","b"]'})
    room = reply["room_id"]
    assert world.room(room)["tags"] == ["a", "b"]
    world.webhooks()
    assert change(world, room, tags='["a","b"]')["tags"] == ["a", "b"]
    assert world.types() == []
    assert change(world, room, tags="[]")["tags"] == []
    ((_, data),) = world.webhooks()
    assert data["tags"] == []


def test_a_deleted_room_leaves_no_list_of_a_tag(world: World) -> None:
    room = create(world, tags='["a"]')
    assert world.store.client.exists(keys.key(world.tag, "tagged", world.app_id, "a"))
    world.ask("delete_room", room_id=room)
    assert not world.store.client.exists(keys.key(world.tag, "tagged", world.app_id, "a"))


def test_a_change_of_no_room_or_of_a_deleted_one(world: World) -> None:
    assert change(world, "acW68-none", locked=True)["refused"] == "room_not_found"
    room = create(world)
    world.joined(room)
    world.ask("delete_room", room_id=room)
    world.webhooks()
    assert change(world, room, locked=True)["refused"] == "room_not_found"
    assert world.types() == []


def test_nobody_joins_a_locked_room_but_who_is_in_it_stays(world: World) -> None:
    room = create(world)
    first = world.joined(room)
    change(world, room, locked=True)
    assert join(world, room, 2)["refused"] == "room_locked"
    assert world.ask("join", session_id=first, room_id=room)["status"] == "already_joined"
    change(world, room, locked=False)
    assert join(world, room, 3)["status"] == "joining"


def test_a_full_room_counts_those_who_are_joining_and_leaving(world: World) -> None:
    room = create(world, max_members=2)
    first = world.joined(room)
    assert join(world, room, 2)["status"] == "joining"
    assert join(world, room, 3) == {"refused": "room_full", "detail": {"limit": 2, "used": 2}}
    world.ask("leave", session_id=first)
    assert join(world, room, 4)["refused"] == "room_full"
    world.left(first, room)
    assert join(world, room, 5)["status"] == "joining"


def test_a_limit_below_what_is_there_takes_nobody_out(world: World) -> None:
    room = create(world)
    world.joined(room, 1), world.joined(room, 2)
    change(world, room, max_members=1)
    assert world.room(room)["members"] == 2
    assert join(world, room, 3)["refused"] == "room_full"


def test_a_refused_join_starts_no_cooldown(world: World) -> None:
    room = create(world, locked=True)
    session = world.park(1)
    for _ in range(2):
        assert world.ask("join", session_id=session, room_id=room, cooldown_ms=60_000)["refused"] == "room_locked"


def test_whom_the_node_puts_into_a_locked_room_is_in_it(world: World) -> None:
    room = create(world, locked=True)
    session = world.park(1)
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=[])
    assert world.room(room)["members"] == 1


def ended(world: World) -> list[tuple[str, int, int]]:
    return [
        (data["reason"], data["duration"], data["peak_members"])
        for kind, data in world.webhooks()
        if kind == "conference.destroyed"
    ]


def test_a_room_to_which_nobody_came_ends(world: World) -> None:
    room = create(world, end_when_empty=3600)
    pass_seconds(world, room, 3000)
    assert ended(world) == []
    pass_seconds(world, room, 600)
    assert ended(world) == [("empty", 0, 0)]
    assert world.room(room)["refused"] == "room_not_found"
    assert world.leftovers(room) == []
    assert "refused" not in world.ask("create_room", name="standup", room_id=f"{NODE}-room-2", node=NODE)


def test_a_room_ends_some_time_after_the_last_one_left(world: World) -> None:
    room = create(world, end_when_empty=3600)
    session = world.joined(room)
    pass_seconds(world, room, 10_000)
    assert ended(world) == []
    world.left(session, room)
    pass_seconds(world, room, 3000)
    session = world.joined(room, 2)
    pass_seconds(world, room, 3000)
    assert ended(world) == []
    world.left(session, room, member_id=2)
    pass_seconds(world, room, 3600)
    ((why, seconds, most),) = ended(world)
    assert (why, most) == ("empty", 1)
    assert seconds >= 10_000


def test_a_room_with_somebody_who_is_joining_is_not_empty(world: World) -> None:
    room = create(world, end_when_empty=3600)
    join(world, room, 1)
    pass_seconds(world, room, 3600)
    assert ended(world) == []


def test_a_room_ends_when_it_lasted_long_enough_and_its_members_are_taken_out(world: World) -> None:
    room = create(world, max_duration=3600)
    pass_seconds(world, room, 10_000)  # it begins with its first member
    session = world.joined(room)
    world.sent()
    pass_seconds(world, room, 3000)
    assert ended(world) == []
    pass_seconds(world, room, 600)
    ((why, seconds, most),) = ended(world)
    assert (why, most) == ("max_duration", 1)
    assert seconds >= 3600
    assert [command["op"] for command in world.sent()] == ["stop", "kick_all"]
    world.left(session, room)
    assert world.webhooks()[-1][1]["reason"] == "room_destroyed"
    assert world.leftovers(room) == []


@pytest.mark.parametrize("option", ["end_when_empty", "max_duration"])
def test_an_end_that_is_called_off_does_not_come(world: World, option: str) -> None:
    room = create(world, **{option: 3600})
    if option == "max_duration":
        world.joined(room)
    change(world, room, **{option: None})
    pass_seconds(world, room, 10_000)
    assert ended(world) == []


def test_an_end_that_is_set_later_counts_from_the_beginning(world: World) -> None:
    room = create(world)
    pass_seconds(world, room, 4000)
    change(world, room, end_when_empty=3600)
    world.tell("overdue")
    assert ended(world) == [("empty", 0, 0)]


def test_a_room_of_which_it_is_not_known_since_when_it_is_empty_ends(world: World) -> None:
    room = create(world)
    world.store.client.hdel(keys.key(world.tag, "room", room), "empty_since")
    change(world, room, end_when_empty=3600)
    world.webhooks()
    pass_seconds(world, room, 3000)
    assert ended(world) == []
    pass_seconds(world, room, 600)
    assert ended(world) == [("empty", 0, 0)]


def test_an_end_is_not_late(world: World) -> None:
    """Else the node would be compared for nothing, again and again."""
    create(world, end_when_empty=5)
    assert world.tell("overdue")["late"] is False


def test_the_most_members_that_there_were(world: World) -> None:
    room = create(world)
    first, _ = world.joined(room, 1), world.joined(room, 2)
    world.left(first, room)
    world.joined(room, 3)
    found = world.room(room)
    assert (found["members"], found["peak_members"]) == (2, 2)
    assert found["started_at"] is not None
    world.webhooks()
    world.ask("delete_room", room_id=room)
    ((why, seconds, most),) = ended(world)
    assert (why, most) == ("deleted", 2)
    assert seconds >= found["duration"]
