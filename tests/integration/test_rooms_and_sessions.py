"""Rooms, sessions and membership as the store's scripts keep them."""

from __future__ import annotations

from typing import Any

import pytest

from controller.errors import Fenced
from controller.limits import QUOTAS
from controller.sessions.flags import FLAGS
from controller.store import keys
from tests.integration.world import IDS, NO_COOLDOWNS, NODE, World
from tests.open_store import OpenStore

MUTED, DEAF, *_ = FLAGS


def test_create_tells_and_takes_the_name(world: World) -> None:
    room = world.create("standup")
    assert world.webhooks() == [
        ("conference.created", {"app_id": "demo", "room_id": room, "name": "standup", "sequence": 1})
    ]
    again = world.ask("create_room", name="standup", room_id="other", node=NODE)
    assert again == {"refused": "name_taken", "detail": {"room_id": room}}
    assert world.types() == []


def test_create_without_a_node(world: World) -> None:
    assert world.ask("create_room", name="x", room_id="x")["refused"] == "no_node"


def test_a_session_starts_once_and_ends_with_its_cause(world: World) -> None:
    session = world.park()
    again = {"app_id": "demo", "session_id": session, "channel": "c", "did": "1", "caller_id": "2"}
    assert world.tell("session_parked", **again) == {"known": True}
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    started, ended = world.webhooks()
    assert started[0] == "session.started"
    assert started[1]["did"] == "747713001"
    assert ended[0] == "session.ended"
    assert (ended[1]["cause"], ended[1]["sequence"]) == ("NORMAL_CLEARING", 2)
    assert world.session(session)["refused"] == "session_not_found"
    assert world.tell("session_ended", session_id=session, cause="X") == {"unknown": True}


def test_join_is_confirmed_by_the_node_only(world: World) -> None:
    room, session = world.create(), world.park()
    assert world.ask("join", session_id=session, room_id=room, command_uid="u1") == {
        "status": "joining",
        "room_id": room,
    }
    assert world.room(room)["members"] == 0
    assert world.ask("list_members", room_id=room, limit=50, after=0)["rows"] == []
    (command,) = world.sent()
    assert (command["op"], command["session"], command["room"]) == ("join", session, room)
    world.answer(command["job"])
    assert world.session(session)["state"] == "joining"
    world.webhooks()
    world.tell("member_joined", session_id=session, room_id=room, member_id=7, flags=["muted"])
    ((kind, data),) = world.webhooks()
    assert kind == "conference.member.joined"
    assert data == {
        "app_id": "demo", "room_id": room, "uuid": session, "did": "747713001", "caller_id": "caller1",
        "member_id": 7, "muted": True, "deaf": False, "hold": False, "volume_in": 0, "volume_out": 0,
        "role": "participant", "tags": [], "end_on_exit": False, "waiting": False, "coaching": None,
        "command_uid": "u1", "sequence": 2,
    }  # fmt: skip
    assert world.room(room)["members"] == 1
    # The node may say it twice, and resync says it again.
    assert world.tell("member_joined", session_id=session, room_id=room, member_id=7, flags=["muted"]) == {
        "known": True
    }
    assert world.types() == []


def test_join_again(world: World) -> None:
    room, other = world.create(), world.create("other")
    session = world.joined(room)
    assert world.ask("join", session_id=session, room_id=room)["status"] == "already_joined"
    assert world.ask("join", session_id=session, room_id=other)["refused"] == "in_other_room"
    assert world.sent() == []


@pytest.mark.parametrize("how", ["refused", "unanswered", "never taken"])
def test_a_join_that_fails_returns_to_parked(world: World, how: str) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room, command_uid="u1")
    world.webhooks()
    if how == "never taken":
        world.overdue()
    else:
        (command,) = world.sent()
        if how == "refused":
            world.answer(command["job"], ok=False, reason="hangup")
        else:
            world.overdue()
    ((kind, data),) = world.webhooks()
    assert kind == "conference.member.join_failed"
    assert data["command_uid"] == "u1"
    assert data["reason"]
    assert world.session(session)["state"] == "parked"
    assert world.sent() == []
    world.overdue()
    assert world.types() == []


def test_leave_is_a_kick_and_the_session_can_join_again(world: World) -> None:
    room, other = world.create(), world.create("other")
    session = world.joined(room, 3)
    assert world.ask("leave", session_id=session, command_uid="bye")["status"] == "leaving"
    (kick,) = world.sent()
    assert (kick["op"], kick["member_id"]) == ("kick", 3)
    world.answer(kick["job"])
    world.webhooks()
    world.left(session, room, 3)
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], data["command_uid"]) == ("conference.member.left", "left", "bye")
    assert data["member_id"] == 3
    again = {"app_id": "demo", "session_id": session, "channel": "c", "did": "x", "caller_id": "y"}
    assert world.tell("session_parked", **again) == {"known": True}
    assert world.ask("join", session_id=session, room_id=other)["status"] == "joining"
    assert world.ask("leave", session_id=session)["refused"] == "still_joining"


def test_a_session_that_has_ended_does_not_start_again(world: World) -> None:
    """When a link comes up the comparison finds that a call is gone, and its last park still waits among the events."""
    session = world.park()
    world.tell("session_ended", session_id=session, cause="UNKNOWN", resynced=True)
    world.webhooks()
    world.park()
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    assert world.webhooks() == []


def test_leave_refused_by_the_node(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.ask("leave", session_id=session, command_uid="u")
    world.webhooks()
    (kick,) = world.sent()
    world.answer(kick["job"], ok=False, reason="refused", text="busy")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"], data["reason"]) == (
        "conference.command.failed",
        "leave",
        "u",
        "refused",
    )
    assert world.session(session)["state"] == "joined"
    assert world.ask("leave", session_id=session)["status"] == "leaving"


def test_a_kick_of_a_member_that_is_gone_already_is_a_leave(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.ask("leave", session_id=session)
    world.webhooks()
    (kick,) = world.sent()
    world.answer(kick["job"], ok=False, reason="no_member")
    assert world.types() == ["conference.member.left"]
    world.left(session, room)
    assert world.types() == []


def test_a_hangup_inside_a_room_is_left_then_ended(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    world.left(session, room, cause="NORMAL_CLEARING")
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    left, ended = world.webhooks()
    assert (left[0], left[1]["reason"], left[1]["cause"]) == ("conference.member.left", "hangup", "NORMAL_CLEARING")
    assert ended[0] == "session.ended"


@pytest.mark.parametrize(("node_lost", "why"), [(False, ("hangup", "UNKNOWN")), (True, ("node_lost", None))])
def test_a_call_that_is_gone_unseen(world: World, node_lost: bool, why: tuple[str, str | None]) -> None:
    """Its del-member was missed, or the node has restarted and it went with it."""
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    world.tell("session_ended", session_id=session, cause="UNKNOWN", node_lost=node_lost)
    left, ended = world.webhooks()
    assert (left[0], left[1]["reason"], left[1].get("cause")) == ("conference.member.left", *why)
    assert ended[0] == "session.ended"
    assert world.room(room)["members"] == 0


def test_a_member_that_the_operator_took_out(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    world.left(session, room)
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"]) == ("conference.member.left", "kicked")
    assert "cause" not in data


def test_the_end_of_another_membership_changes_nothing(world: World) -> None:
    room, other = world.create(), world.create("other")
    session = world.joined(room, 1)
    world.ask("leave", session_id=session)
    world.left(session, room, 1)
    world.ask("join", session_id=session, room_id=other)
    # A call keeps its member id in every room that it joins (trace 03).
    world.tell("member_joined", session_id=session, room_id=other, member_id=1, flags=["muted"])
    world.left(session, room, 1)
    assert world.session(session)["room_id"] == other


def test_a_late_join_is_the_truth(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room)
    world.sent()
    world.overdue()
    world.webhooks()
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.types() == ["conference.member.joined"]
    assert world.session(session)["state"] == "joined"


def test_delete_an_empty_room(world: World) -> None:
    room = world.create("standup")
    world.webhooks()
    assert world.ask("delete_room", room_id=room) == {"room_id": room}
    assert world.types() == ["conference.destroyed"]
    assert world.room(room)["refused"] == "room_not_found"
    assert world.create("standup") != room


def test_delete_with_members(world: World) -> None:
    room = world.create("standup")
    sessions = [world.joined(room, number) for number in (1, 2)]
    world.play(room, "http://h/a.wav")
    world.webhooks()
    world.ask("delete_room", room_id=room)
    assert world.room(room)["refused"] == "room_not_found"
    assert world.create("standup") != room
    assert {"stop", "kick_all"} <= {command["op"] for command in world.sent()}
    for number, session in enumerate(sessions, 1):
        world.left(session, room, number)
    told = [(kind, data) for kind, data in world.webhooks() if data["room_id"] == room]
    kinds = [(kind, data.get("status", data.get("reason"))) for kind, data in told]
    assert kinds == [
        ("conference.destroyed", "deleted"),
        ("conference.play.finished", "interrupted"),
        ("conference.member.left", "room_destroyed"),
        ("conference.member.left", "room_destroyed"),
    ]
    sequences = [data["sequence"] for _, data in told]
    assert sequences == list(range(sequences[0], sequences[0] + 4))
    assert world.session(sessions[0])["state"] == "parked"
    assert not world.store.client.keys(f"*{room}*")


def test_delete_that_the_node_does_not_confirm_ends_all_the_same(world: World) -> None:
    room = world.create()
    session, waiting = world.joined(room, 1), world.park(2)
    world.ask("join", session_id=waiting, room_id=room)
    world.ask("delete_room", room_id=room)
    assert world.types()[-1] == "conference.destroyed"
    world.overdue()
    reasons = {kind: data["reason"] for kind, data in world.webhooks()}
    # Join and delete may have been asked for in the same millisecond; then either is overdue first.
    assert reasons.pop("conference.member.join_failed") in ("node_unreachable", "room_destroyed")
    assert reasons == {"conference.member.left": "room_destroyed"}
    assert {world.session(one)["state"] for one in (session, waiting)} == {"parked"}


def test_delete_with_more_members_than_one_step_takes(world: World) -> None:
    room = world.create()
    sessions = {world.joined(room, number) for number in range(1, 51)}
    world.ask("delete_room", room_id=room)
    world.webhooks()
    world.overdue()
    assert {data["uuid"] for kind, data in world.webhooks() if kind == "conference.member.left"} == sessions
    assert not world.store.client.keys(f"*{room}*")


def test_who_joins_a_room_that_is_gone_is_kicked(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room)
    world.sent()
    world.ask("delete_room", room_id=room)
    world.sent()
    assert world.types()[-1] == "conference.destroyed"
    world.tell("member_joined", session_id=session, room_id=room, member_id=9, flags=["muted"])
    (kick,) = world.sent()
    assert (kick["op"], kick["member_id"], kick["room"]) == ("kick", 9, room)
    assert world.types() == ["conference.member.join_failed"]


@pytest.mark.parametrize(
    ("quota", "most"), [("rooms", 1), ("operations", 1), ("url_bytes", 50), ("webhook_bytes", 1500)]
)
def test_what_would_exceed_a_quota_is_refused_and_changes_nothing(store: OpenStore, quota: str, most: int) -> None:
    world = World(store)
    world.limits["quotas"] = {**QUOTAS, quota: most}
    room, session = world.create(), world.park()
    numbers = iter(range(100))

    def ask() -> dict[str, Any]:
        if quota == "rooms":
            return world.ask("create_room", name=f"room{next(numbers)}", room_id=f"{NODE}-room-{quota}", node=NODE)
        return world.play(room, f"http://h/{next(numbers):08}.wav", operation=f"op{next(numbers)}")

    answers = [ask() for _ in range(5)]
    refused = [answer for answer in answers if "refused" in answer]
    assert refused, answers
    for answer in refused:
        assert answer["refused"] == "quota_exceeded"
        assert (answer["detail"]["quota"], answer["detail"]["limit"]) == (quota, most)
    if quota == "rooms":
        world.ask("delete_room", room_id=room)
        assert "room_id" in ask()
    elif quota != "webhook_bytes":
        world.ask("stop", room_id=room)
        assert ask()["status"] == "in_progress"
    else:
        assert world.ask("join", session_id=session, room_id=room)["refused"] == "quota_exceeded"
        # What frees is never refused, and adds nothing.
        world.ask("stop", room_id=room)
        world.webhooks()
        assert world.ask("stop", room_id=room)["status"] == "stopped"
        assert world.types() == []
        assert world.ask("delete_room", room_id=room) == {"room_id": room}


@pytest.mark.parametrize("quota", ["sessions", "webhook_bytes"])
def test_a_call_that_would_exceed_a_quota_is_no_session(world: World, quota: str) -> None:
    world.worker["quotas"] = {**QUOTAS, quota: 1}
    first = world.park(1)
    second = world.park(2)
    assert world.session(first)["state"] == "parked"
    assert world.session(second)["refused"] == "session_not_found"
    third = world.tell("session_parked", app_id="demo", session_id="x", channel="c", did="1", caller_id="2")
    assert third == {"refused": "quota_exceeded"}


def test_cooldowns_are_started_by_what_was_accepted_only(store: OpenStore) -> None:
    world = World(
        store,
        cooldowns={"conf_play": 0, "conference_control": 0, "conference": 60_000, "conference_mute": 60_000},
    )
    room, other, session = world.create(), world.create("other"), world.park()
    assert world.ask("leave", session_id=session)["refused"] == "not_in_room"
    assert world.ask("join", session_id=session, room_id=room)["status"] == "joining"
    refused = world.ask("join", session_id=session, room_id=other)
    assert refused["refused"] == "rate_limited"
    assert refused["detail"]["group"] == "conference"
    assert 59_000 < refused["detail"]["retry_after_ms"] <= 60_000
    assert world.ask("leave", session_id=session)["refused"] == "rate_limited"
    world.sent()
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.set_flag(session, MUTED, True)["refused"] == "already_muted"
    assert world.set_flag(session, MUTED, False)["status"] == "unmuted"
    assert world.set_flag(session, MUTED, True)["refused"] == "rate_limited"


def test_the_apps_own_limit(store: OpenStore) -> None:
    world = World(store, rate=5)
    answers = [world.ask("admit", cost=1) for _ in range(7)]
    assert not any("refused" in answer for answer in answers[:5])
    assert answers[6]["refused"] == "rate_limited"
    assert 0 < answers[6]["detail"]["retry_after_ms"] <= 400
    assert list(answers[6]["detail"]) == ["retry_after_ms"], "it is no cooldown of a group"


@pytest.mark.parametrize(
    ("rate", "cost", "left"), [(5, 1, (4, 200)), (5, 4, (1, 800)), (5, 5, (0, 1000)), (3, 1, (2, 334))]
)
def test_what_is_left_of_the_rate(store: OpenStore, rate: int, cost: int, left: tuple[int, int]) -> None:
    answer = World(store, rate=rate).ask("admit", cost=cost)
    assert (answer["remaining"], answer["reset_ms"]) == left


def test_a_large_request_counts_as_several(store: OpenStore) -> None:
    world = World(store, rate=10)
    assert world.ask("admit", cost=6)["remaining"] == 4
    refused = world.ask("admit", cost=6)
    assert refused["refused"] == "rate_limited"
    assert refused["remaining"] >= 4, "smaller ones may come"
    assert world.ask("admit", cost=3)["remaining"] < 4


def test_a_command_uid_repeated_does_nothing(world: World) -> None:
    room, session = world.create(), world.park()
    first = world.ask("join", session_id=session, room_id=room, command_uid="same")
    assert len(world.sent()) == 1
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.ask("join", session_id=session, room_id=room, command_uid="same") == first
    assert world.sent() == []
    # A refusal is no answer to keep.
    assert world.set_flag(session, MUTED, True, command_uid="m")["refused"] == "already_muted"
    world.tell("flag_changed", session_id=session, room_id=room, member_id=1, flag="muted", on=False)
    assert world.set_flag(session, MUTED, True, command_uid="m")["status"] == "muted"


def test_a_command_uid_means_one_command(world: World) -> None:
    room, other, session, stranger = world.create(), world.create("other"), world.park(), world.park(2)
    world.ask("join", session_id=session, room_id=room, command_uid="same")
    # Another room, another command, another session.
    assert world.ask("join", session_id=session, room_id=other, command_uid="same")["refused"] == "command_uid_taken"
    assert world.ask("leave", session_id=session, command_uid="same")["refused"] == "command_uid_taken"
    assert world.ask("join", session_id=stranger, room_id=room, command_uid="same")["refused"] == "command_uid_taken"
    assert len(world.sent()) == 1
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.set_flag(session, MUTED, False, command_uid="first")["status"] == "unmuted"
    assert world.set_flag(session, MUTED, True, command_uid="first")["refused"] == "command_uid_taken"
    assert world.ask("leave", session_id=session, command_uid="another")["status"] == "leaving"


def test_in_which_order_a_command_to_a_session_is_refused(store: OpenStore) -> None:
    world = World(store, cooldowns={**NO_COOLDOWNS, "conference": 60_000})
    room, other, session, stranger = world.create(), world.create("other"), world.park(), world.park(2)
    world.ask("join", session_id=session, room_id=room, command_uid="used")
    world.nodes[NODE]["up"] = False

    def refusal(script: str, subject: str, **more: Any) -> str:
        return str(world.ask(script, session_id=subject, **more)["refused"])

    # The session has joined another room, and cools down, and its node is down.
    assert refusal("join", "acW68-nobody", room_id=other, command_uid="used") == "session_not_found"
    assert refusal("join", session, room_id="nowhere", command_uid="used") == "room_not_found"
    assert refusal("join", session, room_id=other, command_uid="used") == "command_uid_taken"
    assert refusal("leave", stranger, command_uid="used") == "command_uid_taken"
    assert refusal("leave", stranger) == "not_in_room"
    assert refusal("join", session, room_id=other) == "rate_limited"
    store.client.delete(keys.key(world.tag, "cooldown", "conference", session))
    assert refusal("join", session, room_id=other) == "node_down"
    world.nodes[NODE]["up"] = True
    assert refusal("join", session, room_id=other) == "in_other_room"


def test_a_repeated_join_is_one_join_whatever_the_cooldown(store: OpenStore) -> None:
    world = World(store, cooldowns={**NO_COOLDOWNS, "conference": 60_000})
    room, other, session = world.create(), world.create("other"), world.park()
    answers = [world.ask("join", session_id=session, room_id=room)["status"] for _ in range(5)]
    assert answers == ["joining"] * 5
    assert len(world.sent()) == 1
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    assert world.ask("join", session_id=session, room_id=room)["status"] == "already_joined"
    assert world.ask("join", session_id=session, room_id=other)["refused"] == "rate_limited"
    assert world.sent() == []


def test_a_node_that_is_down(store: OpenStore) -> None:
    world = World(store)
    room, session = world.create(), world.park()
    world.nodes[NODE]["up"] = False
    assert world.ask("join", session_id=session, room_id=room)["refused"] == "node_down"
    assert world.play(room, "http://h/a.wav")["refused"] == "node_down"
    assert world.room(room)["room_id"] == room
    assert world.ask("delete_room", room_id=room) == {"room_id": room}


def test_another_app_in_the_same_partition_is_kept_out(store: OpenStore) -> None:
    mine = World(store, "demo")
    stranger = next(app for app in (f"app{number}" for number in range(1000)) if keys.partition_of(app) == mine.tag)
    theirs = World(store, stranger)
    room, session = mine.create(), mine.park()
    assert theirs.room(room)["refused"] == "room_forbidden"
    assert theirs.session(session)["refused"] == "session_forbidden"
    own = theirs.park(2)
    assert theirs.ask("join", session_id=own, room_id=room)["refused"] == "room_forbidden"
    assert theirs.ask("list_rooms", limit=50, after=0) == {"rows": [], "cursor": 0}


def test_pages_neither_repeat_nor_skip_what_was_there_throughout(world: World) -> None:
    rooms = [world.create(f"room{number}") for number in range(9)]
    seen, after = [], 0
    while True:
        page = world.ask("list_rooms", limit=2, after=after)
        seen += [row["room_id"] for row in page["rows"]]
        # Between pages rooms go and come.
        if len(seen) == 4:
            world.ask("delete_room", room_id=rooms[0])
            world.ask("delete_room", room_id=rooms[5])
            late = world.create("late")
        after = page["cursor"]
        if not after:
            break
    assert seen == [*rooms[:5], *rooms[6:], late]


def test_a_room_is_found_by_its_name(world: World, store: OpenStore) -> None:
    rooms = [world.create(name) for name in ("standup", "standup-2", "Standup")]
    world.joined(rooms[0])
    (found,) = world.ask("list_rooms", limit=50, after=0, name="standup")["rows"]
    assert (found["room_id"], found["name"], found["members"]) == (rooms[0], "standup", 1)
    world.ask("delete_room", room_id=rooms[0])
    assert world.ask("list_rooms", limit=50, after=0, name="standup") == {"rows": [], "cursor": 0}
    stranger = next(f"app{n}" for n in range(100) if keys.partition_of(f"app{n}") == world.tag)
    assert World(store, stranger).ask("list_rooms", limit=50, after=0, name="standup-2") == {"rows": [], "cursor": 0}


def test_sessions_are_narrowed(world: World) -> None:
    room, other = world.create("room"), world.create("other")
    joined, elsewhere = world.joined(room, 1), world.joined(other, 2)
    joining, parked = world.park(3), world.park(4)
    world.ask("join", session_id=joining, room_id=room)
    parked_there = {"app_id": "demo", "channel": "c", "did": "+1234", "caller_id": "x"}
    world.tell("session_parked", session_id=f"{NODE}-other-number", **parked_there)

    def listed(**narrowing: str) -> list[str]:
        answer = world.ask("list_sessions", limit=50, after=0, **narrowing)
        assert answer["cursor"] == 0
        return [row["session_id"] for row in answer["rows"]]

    assert listed(state="joined") == [joined, elsewhere]
    assert listed(room=room) == [joined, joining]
    assert listed(room=room, state="joining") == [joining]
    assert listed(did="+1234") == [f"{NODE}-other-number"]
    assert listed(did="1234") == []
    assert listed(state="parked", did="747713001") == [parked]
    assert listed(room=f"{NODE}-room-of-nobody") == []


def test_a_narrowed_page_looks_at_so_many_sessions_and_no_more(world: World) -> None:
    """A page may be empty, and not be the last."""
    rare = (5, 6, 420)
    for number in range(430):
        caller = {"channel": "c", "did": "rare" if number in rare else "usual", "caller_id": "x"}
        world.tell("session_parked", app_id="demo", session_id=f"{NODE}-{number}", **caller)
    pages, after = [], 0
    while True:
        page = world.ask("list_sessions", limit=2, after=after, did="rare")
        pages.append([row["session_id"] for row in page["rows"]])
        if not (after := page["cursor"]):
            break
    assert pages == [[f"{NODE}-5", f"{NODE}-6"], [], [], [f"{NODE}-420"]]


def test_a_later_worker_shuts_the_earlier_one_out(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.store.run("fence", world.tag, {"node": NODE, "token": 2})
    world.webhooks()
    with pytest.raises(Fenced):
        world.left(session, room)
    with pytest.raises(Fenced):
        world.sent()
    assert world.types() == []
    assert world.room(room)["members"] == 1


def test_the_worker_is_told_the_channel_and_nobody_else(world: World) -> None:
    room, session = world.create(), world.park()
    (channel,) = [one["channel"] for one in world.tell("snapshot", what="sessions", cursor="0")["rows"]]
    assert IDS.of(channel) == session
    answers = [world.ask("join", session_id=session, room_id=room), world.session(session)]
    (join,) = world.sent()
    assert join["channel"] == channel
    world.tell("member_joined", session_id=session, room_id=room, member_id=1, flags=["muted"])
    answers.append(world.ask("list_members", room_id=room, limit=50, after=0))
    answers.append(world.ask("list_sessions", limit=50, after=0))
    log = world.store.client.xrange(keys.key(world.tag, "log"))
    assert channel not in str([answers, world.webhooks(), log])


def test_a_session_of_version_0_1_goes_on(world: World) -> None:
    """Its id tells the channel, which is nowhere else."""
    room, session = world.create(), world.park()
    old, channel = f"{NODE}-u1", "u1"
    world.store.client.rename(keys.key(world.tag, "session", session), keys.key(world.tag, "session", old))
    world.store.client.hdel(keys.key(world.tag, "session", old), "channel")
    world.store.client.sadd(keys.key(world.tag, "node_sessions", NODE), old)
    assert [(one["id"], one["channel"]) for one in world.tell("snapshot", what="sessions", cursor="0")["rows"]] == [
        (old, channel)
    ]
    world.ask("join", session_id=old, room_id=room)
    (join,) = world.sent()
    assert (join["session"], join["channel"]) == (old, channel)


def test_a_join_of_a_call_that_has_ended_meanwhile_has_no_channel(world: World) -> None:
    session = world.park()
    world.ask("join", session_id=session, room_id=world.create())
    world.tell("session_ended", session_id=session, cause="NORMAL_CLEARING")
    (join,) = world.sent()
    assert "channel" not in join


def test_a_session_whose_room_is_lost_is_not(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.store.client.delete(keys.key(world.tag, "room", room))
    world.webhooks()
    assert world.tell("session_ended", session_id=session, cause="X") == {"ended": True}
    assert world.types() == ["session.ended"]


def test_a_join_says_as_what(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room, flags=["deaf"], role="moderator", tags='["a","b"]')
    (command,) = world.sent()
    assert command["flags"] == "deaf"
    world.webhooks()
    world.tell("member_joined", session_id=session, room_id=room, member_id=7, flags=["deaf"])
    ((_, joined),) = world.webhooks()
    as_what = {"muted": False, "deaf": True, "role": "moderator", "tags": ["a", "b"]}
    assert as_what.items() <= joined.items()
    assert as_what.items() <= world.session(session).items()
    world.left(session, room, 7)
    ((_, left),) = world.webhooks()
    assert as_what.items() <= left.items()
    assert (left["reason"], left["kicked_by"]) == ("kicked", "node")
    # The next join begins anew.
    after = world.session(session)
    assert (after["role"], after["joined_at"], "tags" in after) == ("participant", None, False)
    fields = world.store.client.hgetall(keys.key(world.tag, "session", session))
    assert not {b"role", b"tags", b"joined_at"} & fields.keys()


def test_a_join_that_fails_says_as_what_it_was_asked(world: World) -> None:
    room, session = world.create(), world.park()
    world.ask("join", session_id=session, room_id=room, flags=[], role="moderator", tags='["a"]')
    world.webhooks()
    (command,) = world.sent()
    assert command["flags"] == ""
    world.answer(command["job"], ok=False, reason="refused", text="no")
    ((kind, data),) = world.webhooks()
    assert (kind, data["role"], data["tags"], data["muted"]) == (
        "conference.member.join_failed", "moderator", ["a"], False,
    )  # fmt: skip


def test_a_command_uid_stands_for_all_that_was_asked_of_a_join(world: World) -> None:
    room, session = world.create(), world.park()
    asked = {"session_id": session, "room_id": room, "command_uid": "u", "flags": [], "body": '{"flags":[]}'}
    first = world.ask("join", **asked)
    assert world.ask("join", **asked) == first
    assert world.ask("join", session_id=session, room_id=room, command_uid="u")["refused"] == "command_uid_taken"


@pytest.mark.parametrize("reason", ["off topic", None])
def test_a_kick_is_confirmed_by_the_node_only(world: World, reason: str | None) -> None:
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    asked = {"session_id": session, "command": "kick", "kicked": True, "reason": reason, "command_uid": "k"}
    assert world.ask("leave", **asked) == {"status": "leaving", "room_id": room}
    (command,) = world.sent()
    assert (command["op"], command["member_id"]) == ("kick", 1)
    world.answer(command["job"])
    assert world.types() == []
    world.left(session, room)
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"], data["kicked_by"]) == ("conference.member.left", "kicked", "app")
    assert (data.get("kick_reason"), data["command_uid"]) == (reason, "k")


def test_a_kick_that_fails_leaves_nothing_for_the_leave_behind_it(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.ask("leave", session_id=session, command="kick", kicked=True, reason="off topic", command_uid="k")
    world.webhooks()
    (command,) = world.sent()
    world.answer(command["job"], ok=False, reason="refused", text="no")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["command_uid"]) == ("conference.command.failed", "kick", "k")
    world.ask("leave", session_id=session)
    world.left(session, room)
    ((_, left),) = world.webhooks()
    assert (left["reason"], "kicked_by" in left, "kick_reason" in left) == ("left", False, False)


def test_a_call_that_ends_while_it_is_kicked_has_hung_up(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.ask("leave", session_id=session, command="kick", kicked=True, reason="off topic")
    world.webhooks()
    world.left(session, room, cause="NORMAL_CLEARING")
    ((_, left),) = world.webhooks()
    assert (left["reason"], "kicked_by" in left, "kick_reason" in left) == ("hangup", False, False)


def test_what_an_older_version_stored_of_a_member(world: World) -> None:
    room = world.create()
    session = world.joined(room)
    world.webhooks()
    world.store.client.hdel(keys.key(world.tag, "session", session), "role", "tags", "joined_at")
    shown = world.session(session)
    assert (shown["role"], shown["joined_at"], "tags" in shown) == ("participant", None, False)
    world.left(session, room)
    ((_, left),) = world.webhooks()
    assert (left["role"], left["tags"]) == ("participant", [])
