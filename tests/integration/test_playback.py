"""Playback as the store's scripts keep it. The node's side is played by the test, with the answers of traces 05, 06 and 08."""

from __future__ import annotations

from typing import Any

import pytest

from controller.store import keys
from tests.integration.world import IDS, NODE, World

A, B, C = (f"http://media.example/{name}.wav" for name in "abc")
UNPLAYABLE = {"ok": False, "reason": "unplayable"}


@pytest.fixture
def room(world: World) -> str:
    room = world.create("music")
    world.joined(room)
    world.webhooks()
    return room


def take(world: World, *ops: str) -> list[dict[str, Any]]:
    sent = world.sent()
    assert tuple(command["op"] for command in sent) == ops
    return sent


def done(world: World, room: str, index: int, operation: str = "op1", **more: int) -> None:
    world.tell("file_done", room_id=room, operation_id=operation, index=index, **more)


def results(data: dict[str, Any]) -> list[str]:
    return [result["status"] for result in data["results"]]


def test_urls_go_one_after_the_answer_to_the_other(world: World, room: str) -> None:
    assert world.play(room, A, B) == {"operation_id": "op1", "status": "in_progress"}
    (first,) = take(world, "play")
    assert (first["url"], first["operation"], first["index"], first["volume"]) == (A, "op1", 0, 0)
    take(world)
    world.answer(first["job"])
    (second,) = take(world, "play")
    assert (second["url"], second["index"]) == (B, 1)
    world.answer(second["job"])
    state = world.room(room)
    assert (state["playback_status"], state["playback_urls"], state["playback_operation_id"]) == (
        "playing",
        [A, B],
        "op1",
    )
    done(world, room, 0)
    assert world.types() == ["conference.play.started"]
    done(world, room, 1)
    ((kind, data),) = world.webhooks()
    assert kind == "conference.play.finished"
    assert data["status"] == "completed"
    assert data["results"] == [{"url": A, "status": "played"}, {"url": B, "status": "played"}]
    state = world.room(room)
    assert (state["playback_status"], state["playback_urls"], state["playback_operation_id"]) == (
        "stopped",
        [],
        "",
    )


def test_without_a_relay_nothing_new_is_played_and_what_plays_can_be_stopped(world: World, room: str) -> None:
    world.play(room, A)
    world.limits["relay_up"] = False
    assert world.play(room, B, operation="op2")["refused"] == "no_relay"
    assert world.play(world.create("other").replace("0", "1"), B)["refused"] == "room_not_found"
    assert world.ask("stop", room_id=room)["status"] == "stopped"


def test_urls_stay_what_the_app_sent_and_the_node_gets_those_of_a_relay(world: World, room: str) -> None:
    sent, node_url = "http://media.example/a,b.wav#part", "http://127.0.0.1:8090/audio/a-8000.wav?expires=1"
    world.play(room, sent)
    ((entry, _),) = world.store.read(keys.key(world.tag, "commands", NODE))
    reply = world.tell("take", entries=[entry], files={entry: {"url": node_url, "seconds": 1.5}})
    (play,) = reply["commands"]
    assert play["url"] == node_url
    assert world.room(room)["playback_urls"] == [sent]
    world.answer(play["job"])
    # What the node says that it plays is compared with what the node was given.
    playing = node_url.removeprefix("http://")
    assert world.tell("playback_lost", room_id=room, playing=playing, resynced=True) == {"goes_on": True}
    done(world, room, 0)
    started, finished = world.webhooks()
    assert started[1]["urls"] == [sent]
    assert finished[1]["results"] == [{"url": sent, "status": "played"}]


PLAYING = "!http://r/0-16000!http://r/16000-"
PARTS = {"url": "http://r/0-16000", "rest": 16000, "rest_url": "http://r/16000-"}


def cut(world: World, room: str, *urls: str) -> None:
    """Have URLs played, the first of which has two parts. The node has taken it."""
    world.play(room, *urls)
    ((entry, _),) = world.store.read(keys.key(world.tag, "commands", NODE))
    (play,) = world.tell("take", entries=[entry], files={entry: PARTS})["commands"]
    assert play["rest_url"] == f"http://r/16000-#{room}:op1:0"
    world.answer(play["job"])


def goes_on(world: World, room: str, index: int) -> None:
    world.tell("rest_began", room_id=room, operation_id="op1", index=index)


def test_a_url_in_two_parts_is_one_to_the_app_and_the_next_follows_once_the_node_has_both(
    world: World, room: str
) -> None:
    cut(world, room, A, B)
    take(world)
    goes_on(world, room, 0)
    (second,) = take(world, "play")
    assert (second["url"], second["start"], second["index"]) == (B, 0, 1)
    world.answer(second["job"])
    goes_on(world, room, 0)  # Once more, which changes nothing.
    done(world, room, 0)
    done(world, room, 1)
    started, finished = world.webhooks()
    assert started[1]["urls"] == [A, B]
    assert finished[1]["results"] == [{"url": A, "status": "played"}, {"url": B, "status": "played"}]


def test_the_next_operation_too_follows_once_the_node_has_both_parts(world: World, room: str) -> None:
    cut(world, room, A)
    world.play(room, B, operation="op2")
    take(world)
    goes_on(world, room, 0)
    assert take(world, "play")[0]["url"] == B


def test_a_second_part_that_the_node_did_not_get_is_a_play_of_its_own_and_one_url_to_the_app(
    world: World, room: str
) -> None:
    cut(world, room, A, B)
    done(world, room, 0)
    (rest,) = take(world, "play")
    assert (rest["url"], rest["start"], rest["index"]) == (A, 16000, 1)
    world.answer(rest["job"])
    assert world.room(room)["playback_urls"] == [A, B]
    (second,) = take(world, "play")
    assert (second["url"], second["start"], second["index"]) == (B, 0, 2)
    world.answer(second["job"])
    done(world, room, 1)
    done(world, room, 2)
    started, finished = world.webhooks()
    assert started[1]["urls"] == [A, B]
    assert finished[1]["status"] == "completed"
    assert finished[1]["results"] == [{"url": A, "status": "played"}, {"url": B, "status": "played"}]


def test_a_rest_that_cannot_be_had_fails_its_url_once_the_first_part_was_heard(world: World, room: str) -> None:
    cut(world, room, A, A)
    done(world, room, 0)
    world.answer(take(world, "play")[0]["job"], ok=False, reason="unreachable")
    world.answer(take(world, "play")[0]["job"])
    assert world.types() == ["conference.play.started"]
    done(world, room, 2)
    finished = world.webhooks()[-1][1]
    assert finished["status"] == "partial"
    assert finished["results"] == [
        {"url": A, "status": "failed", "reason": "unreachable"},
        {"url": A, "status": "played"},
    ]


def test_a_part_that_is_prepared_again_may_be_all_there_is(world: World, room: str) -> None:
    world.play(room, A)
    for rest in (16000, 0):
        ((entry, _),) = world.store.read(keys.key(world.tag, "commands", NODE))
        file = PARTS if rest else {"url": "http://r/0", "rest": 0, "rest_url": ""}
        reply = world.tell("take", entries=[entry], files={entry: file})
        world.answer(reply["commands"][0]["job"], **({"ok": False, "reason": "relay_lost"} if rest else {}))
    take(world)
    done(world, room, 0)
    assert results(world.webhooks()[-1][1]) == ["played"]


def test_a_stop_between_the_parts_of_a_url_ends_it_once(world: World, room: str) -> None:
    cut(world, room, A)
    done(world, room, 0)
    assert world.ask("stop", room_id=room)["status"] == "stopped"
    take(world, "stop")  # The rest is not sent any more.
    assert world.types() == ["conference.play.started", "conference.play.stopped"]


def test_volume_and_pause_hold_for_the_rest_of_a_url(world: World, room: str) -> None:
    cut(world, room, A)
    done(world, room, 0)
    (rest,) = take(world, "play")
    world.ask("volume", room_id=room, volume=3)
    world.answer(rest["job"])
    assert take(world, "volume")[0]["volume"] == 3
    world.ask("pause", room_id=room)
    take(world, "pause")


def test_a_file_in_two_parts_that_is_played_when_the_link_is_back(world: World, room: str) -> None:
    cut(world, room, A, B)
    assert world.tell("playback_lost", room_id=room, playing=PLAYING, resynced=True) == {"goes_on": True}
    # Whether the node has gone on is not known: what it has played tells, once it is done.
    take(world)
    done(world, room, 0, samples=16001)
    assert take(world, "play")[0]["url"] == B
    done(world, room, 1)
    assert results(world.webhooks()[-1][1]) == ["played", "played"]


def test_a_file_in_two_parts_that_was_played_when_the_link_was_back_but_for_its_rest(world: World, room: str) -> None:
    cut(world, room, A)
    world.tell("playback_lost", room_id=room, playing=PLAYING, resynced=True)
    done(world, room, 0, samples=16000)
    (rest,) = take(world, "play")
    assert (rest["url"], rest["start"]) == (A, 16000)


def test_a_file_in_two_parts_that_goes_on_once_the_link_is_back(world: World, room: str) -> None:
    cut(world, room, A, B)
    world.tell("playback_lost", room_id=room, playing=PLAYING, resynced=True)
    goes_on(world, room, 0)
    assert take(world, "play")[0]["url"] == B


def test_a_first_part_that_ended_unseen_does_not_end_the_rest(world: World, room: str) -> None:
    cut(world, room, A)
    assert world.tell("playback_lost", room_id=room, resynced=True) == {"goes_on": True}
    world.answer(take(world, "play")[0]["job"])
    done(world, room, 1)
    assert world.webhooks()[-1][1]["results"] == [{"url": A, "status": "played"}]


def test_a_file_in_two_parts_whose_result_was_lost_is_recognised(world: World, room: str) -> None:
    world.play(room, A, B)
    ((entry, _),) = world.store.read(keys.key(world.tag, "commands", NODE))
    world.tell("take", entries=[entry], files={entry: PARTS})
    assert world.tell("playback_lost", room_id=room, playing=PLAYING, resynced=True) == {"goes_on": True}
    done(world, room, 0, samples=20000)
    assert take(world, "play")[0]["url"] == B


def test_a_url_that_cannot_be_played(world: World, room: str) -> None:
    world.play(room, A, B, C)
    world.answer(take(world, "play")[0]["job"])
    world.answer(take(world, "play")[0]["job"], **UNPLAYABLE)
    world.answer(take(world, "play")[0]["job"])
    done(world, room, 0)
    done(world, room, 2)
    data = world.webhooks()[-1][1]
    assert data["status"] == "partial"
    assert data["results"][1] == {"url": B, "status": "failed", "reason": "unplayable"}


def test_nothing_could_be_played(world: World, room: str) -> None:
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"], **UNPLAYABLE)
    assert [(kind, data.get("status")) for kind, data in world.webhooks()] == [
        ("conference.play.started", None),
        ("conference.play.finished", "failed"),
    ]


def test_a_room_without_members(world: World) -> None:
    room = world.create("empty")
    assert world.play(room, A, B, C)["status"] == "in_progress"
    world.answer(take(world, "play")[0]["job"], ok=False, reason="no_members")
    take(world)
    data = world.webhooks()[-1][1]
    assert data["status"] == "failed"
    assert [result["reason"] for result in data["results"]] == ["no_members"] * 3
    assert world.room(room)["playback_status"] == "stopped"


def test_a_play_that_the_node_does_not_answer(world: World, room: str) -> None:
    world.play(room, A)
    take(world, "play")
    world.overdue()
    assert world.types() == [
        "conference.play.started",
        "conference.command.failed",
        "conference.play.finished",
    ]


def playing(world: World, room: str) -> tuple[list[str], int]:
    shown = world.room(room)["playing"]
    return shown["urls"], shown["index"]


def test_a_room_shows_which_of_its_urls_plays(world: World, room: str) -> None:
    assert world.room(room)["playing"] is None
    world.play(room, A, B, A)
    assert playing(world, room) == ([A, B, A], 0)
    world.answer(take(world, "play")[0]["job"])
    # The second fails while the first plays, and the third is ready then.
    world.answer(take(world, "play")[0]["job"], ok=False, reason="not_found")
    assert playing(world, room) == ([A, B, A], 0)
    world.answer(take(world, "play")[0]["job"])
    assert playing(world, room) == ([A, B, A], 0)
    done(world, room, 0)
    assert playing(world, room) == ([A, B, A], 2)


def test_the_rest_of_a_url_is_shown_as_that_url(world: World, room: str) -> None:
    cut(world, room, A, B)
    done(world, room, 0)
    assert playing(world, room) == ([A, B], 0)
    (rest,) = take(world, "play")
    world.answer(rest["job"])
    assert playing(world, room) == ([A, B], 0)
    done(world, room, 1)
    assert playing(world, room) == ([A, B], 1)


def test_a_second_operation_queues_behind_the_first(world: World, room: str) -> None:
    world.play(room, A, operation="op1")
    world.play(room, B, operation="op2")
    world.answer(take(world, "play")[0]["job"])
    (second,) = take(world, "play")
    assert second["operation"] == "op2"
    world.answer(second["job"])
    state = world.room(room)
    assert (state["playback_operation_id"], state["playback_urls"]) == ("op1", [A])
    assert state["playback_queue"] == [{"operation_id": "op2", "urls": [B]}]
    assert state["playing"] == {"operation_id": "op1", "urls": [A], "index": 0}
    done(world, room, 0, "op1")
    state = world.room(room)
    assert (state["playback_operation_id"], state["playback_queue"]) == ("op2", [])
    assert state["playing"] == {"operation_id": "op2", "urls": [B], "index": 0}
    done(world, room, 0, "op2")
    assert world.room(room)["playing"] is None
    finished = [data["operation_id"] for kind, data in world.webhooks() if kind == "conference.play.finished"]
    assert finished == ["op1", "op2"]


def test_a_file_may_be_done_before_its_play_is_answered(world: World, room: str) -> None:
    world.play(room, A, B)
    (first,) = take(world, "play")
    done(world, room, 0)
    world.answer(first["job"])
    world.answer(take(world, "play")[0]["job"])
    done(world, room, 1)
    assert results(world.webhooks()[-1][1]) == ["played", "played"]


def test_one_file_plays_and_the_next_is_ready_and_no_more_are_with_the_node(world: World, room: str) -> None:
    world.play(room, A, B, operation="op1")
    world.play(room, C, A, operation="op2")
    for index in (0, 1):
        (play,) = take(world, "play")
        assert (play["operation"], play["index"]) == ("op1", index)
        world.answer(play["job"])
    take(world)
    done(world, room, 0)
    (play,) = take(world, "play")
    assert (play["operation"], play["index"]) == ("op2", 0)
    world.answer(play["job"], ok=False, reason="not_audio")
    # One that fails makes room, too.
    (play,) = take(world, "play")
    assert (play["operation"], play["index"]) == ("op2", 1)
    world.answer(play["job"])
    take(world)
    done(world, room, 1)
    take(world)
    done(world, room, 1, "op2")
    assert world.room(room)["playback_status"] == "stopped"


def test_stop_ends_every_operation_once(world: World, room: str) -> None:
    world.play(room, A, B, operation="op1")
    world.play(room, C, operation="op2")
    for _ in range(2):
        world.answer(take(world, "play")[0]["job"])
    world.webhooks()
    assert world.ask("stop", room_id=room) == {"operation_id": "op1", "status": "stopped"}
    (stop,) = take(world, "stop")
    world.answer(stop["job"])
    # What trails in (trace 06).
    for index in (0, 1):
        done(world, room, index)
    stopped = [(kind, data["operation_id"]) for kind, data in world.webhooks()]
    assert stopped == [("conference.play.stopped", "op1"), ("conference.play.stopped", "op2")]
    assert world.room(room)["playback_status"] == "stopped"


def test_stop_with_nothing_playing(world: World, room: str) -> None:
    assert world.ask("stop", room_id=room) == {"operation_id": "", "status": "stopped"}
    (stop,) = take(world, "stop")
    world.answer(stop["job"])
    world.ask("stop", room_id=world.create("empty"))
    take(world)


def test_a_play_right_behind_a_stop_waits_for_its_answer(world: World, room: str) -> None:
    world.play(room, A, operation="op1")
    world.answer(take(world, "play")[0]["job"])
    world.ask("stop", room_id=room)
    world.play(room, B, operation="op2")
    (stop,) = take(world, "stop")
    world.answer(stop["job"])
    (play,) = take(world, "play")
    assert play["operation"] == "op2"
    # The stopped file's done event comes after the new one was queued.
    done(world, room, 0, "op1")
    world.answer(play["job"])
    done(world, room, 0, "op2")
    assert results(world.webhooks()[-1][1]) == ["played"]


def test_a_stopped_file_that_was_still_being_fetched_is_not_heard(world: World, room: str) -> None:
    world.play(room, A, operation="op1")
    (fetching,) = take(world, "play")
    world.ask("stop", room_id=room)
    world.play(room, B, operation="op2")
    (stop,) = take(world, "stop")
    world.answer(stop["job"])
    take(world)
    # Only now the node has it, and begins to play it.
    world.answer(fetching["job"])
    (again,) = take(world, "stop")
    world.answer(again["job"])
    assert take(world, "play")[0]["operation"] == "op2"


def test_pause_toggles(world: World, room: str) -> None:
    assert world.ask("pause", room_id=room)["refused"] == "nothing_playing"
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"])
    world.webhooks()
    assert world.ask("pause", room_id=room)["status"] == "paused"
    assert world.room(room)["playback_status"] == "paused"
    world.answer(take(world, "pause")[0]["job"], paused=True)
    assert world.ask("pause", room_id=room)["status"] == "resumed"
    world.answer(take(world, "pause")[0]["job"], paused=False)
    assert world.room(room)["playback_status"] == "playing"
    assert [data["paused"] for _, data in world.webhooks()] == [True, False]


def test_a_pause_before_the_node_has_the_file_takes_effect_when_it_comes_up(world: World, room: str) -> None:
    world.play(room, A, B)
    (first,) = take(world, "play")
    assert world.ask("pause", room_id=room)["status"] == "paused"
    take(world)
    world.answer(first["job"], **UNPLAYABLE)
    (second,) = take(world, "play")
    world.answer(second["job"])
    (pause,) = take(world, "pause")
    world.answer(pause["job"], paused=True)
    assert world.room(room)["playback_status"] == "paused"


def test_a_pause_that_the_node_does_not_carry_out(world: World, room: str) -> None:
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"])
    world.ask("pause", room_id=room)
    world.webhooks()
    world.answer(take(world, "pause")[0]["job"], ok=False, reason="not_playing")
    ((kind, data),) = world.webhooks()
    assert (kind, data["command"], data["reason"]) == (
        "conference.command.failed",
        "pause",
        "not_playing",
    )
    assert world.room(room)["playback_status"] == "playing"


def paused_room(world: World, room: str) -> dict[str, Any]:
    """A file plays, and a pause is sent: that command."""
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"])
    world.ask("pause", room_id=room)
    world.webhooks()
    (pause,) = take(world, "pause")
    return pause


def test_a_pause_that_the_node_took_the_other_way_is_sent_again(world: World, room: str) -> None:
    world.answer(paused_room(world, room)["job"], paused=False)
    (again,) = take(world, "pause")
    world.answer(again["job"], paused=True)
    assert (world.room(room)["playback_status"], take(world), world.webhooks()) == ("paused", [], [])


def test_a_node_that_takes_every_pause_the_other_way_is_believed(world: World, room: str) -> None:
    world.answer(paused_room(world, room)["job"], paused=False)
    (again,) = take(world, "pause")
    world.answer(again["job"], paused=False)
    assert [(kind, data["paused"]) for kind, data in world.webhooks()] == [("conference.play.paused", False)]
    assert (world.room(room)["playback_status"], take(world)) == ("playing", [])


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_pause_whose_answer_was_lost_is_found_out_by_another(world: World, room: str, carried_out: bool) -> None:
    paused_room(world, room)
    world.tell("playback_lost", room_id=room, resynced=True, playing=A.removeprefix("http://"))
    world.tell("jobs_lost", resynced=True)
    (another,) = take(world, "pause")
    world.answer(another["job"], paused=not carried_out)
    if carried_out:
        (back,) = take(world, "pause")
        world.answer(back["job"], paused=True)
    assert (world.room(room)["playback_status"], take(world), world.webhooks()) == ("paused", [], [])


def test_a_pause_that_never_reached_the_node_has_failed(world: World, room: str) -> None:
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"])
    world.ask("pause", room_id=room)
    world.webhooks()
    world.overdue()
    ((kind, data),) = world.webhooks()
    assert (kind, data["reason"]) == ("conference.command.failed", "node_unreachable")
    assert (world.room(room)["playback_status"], take(world)) == ("playing", [])


def test_a_volume_that_may_not_be_set_is_set_again(world: World, room: str) -> None:
    world.play(room, A)
    world.answer(take(world, "play")[0]["job"])
    world.ask("volume", room_id=room, volume=-3)
    take(world, "volume")
    world.tell("playback_lost", room_id=room, resynced=True, playing=A.removeprefix("http://"))
    world.tell("jobs_lost", resynced=True)
    (again,) = take(world, "volume")
    assert again["volume"] == -3
    world.answer(again["job"])
    assert take(world) == []


def test_volume_holds_for_the_room(world: World, room: str) -> None:
    world.play(room, A, B, C)
    world.answer(take(world, "play")[0]["job"])
    (second,) = take(world, "play")
    assert world.ask("volume", room_id=room, volume=-3)["volume"] == -3
    # The playing file at once; the one on its way was sent with the old volume.
    assert take(world, "volume")[0]["volume"] == -3
    world.answer(second["job"])
    done(world, room, 0)
    volume, third = take(world, "volume", "play")
    assert (volume["volume"], third["volume"]) == (-3, -3)
    world.answer(third["job"])
    done(world, room, 1)
    take(world)
    assert world.room(room)["playback_volume"] == -3


def test_volume_with_nothing_playing(world: World, room: str) -> None:
    world.ask("volume", room_id=room, volume=4)
    take(world)
    assert world.webhooks() == [
        (
            "conference.play.volume_changed",
            {"app_id": "demo", "room_id": room, "sequence": 3, "volume": 4, "operation_id": ""},
        )
    ]
    world.play(room, A)
    assert take(world, "play")[0]["volume"] == 4


def test_a_room_that_empties_ends_its_operations(world: World, room: str) -> None:
    world.play(room, A, B)
    world.answer(take(world, "play")[0]["job"])
    (fetching,) = take(world, "play")
    world.webhooks()
    world.left(world.park(), room)
    done(world, room, 0)
    world.answer(fetching["job"])
    kinds = [(kind, data.get("status")) for kind, data in world.webhooks()]
    assert kinds == [("conference.member.left", None), ("conference.play.finished", "interrupted")]
    take(world)


def test_too_many_operations(world: World, room: str) -> None:
    for number in range(100):
        assert "refused" not in world.play(room, A, operation=f"op{number}")
    assert world.play(room, A, operation="one too many")["refused"] == "too_many_operations"


def test_a_done_event_that_was_lost_is_made_up_for_by_the_next(world: World, room: str) -> None:
    world.play(room, A, B, C)
    for _ in range(2):
        world.answer(take(world, "play")[0]["job"])
    done(world, room, 1)
    world.answer(take(world, "play")[0]["job"])
    done(world, room, 2)
    assert results(world.webhooks()[-1][1]) == ["played"] * 3


def test_playback_goes_on_over_a_lost_connection(world: World, room: str) -> None:
    world.play(room, A, B, C)
    for _ in range(2):
        world.answer(take(world, "play")[0]["job"])
    world.webhooks()
    lost = {"room_id": room, "resynced": True, "playing": B.removeprefix("http://")}
    assert world.tell("playback_lost", **lost) == {"goes_on": True}
    (third,) = take(world, "play")
    assert third["index"] == 2
    # The link is lost again. Whether the node ever got the third cannot be known, and it is not played twice.
    assert world.tell("playback_lost", **lost) == {"goes_on": True}
    world.tell("jobs_lost", resynced=True)
    done(world, room, 1)
    kinds = [(kind, data.get("status")) for kind, data in world.webhooks()]
    assert kinds == [("conference.command.failed", None), ("conference.play.finished", "partial")]


def test_a_play_whose_answer_was_lost_is_recognised_and_the_next_is_sent(world: World, room: str) -> None:
    world.play(room, A, B)
    take(world, "play")
    world.tell("playback_lost", room_id=room, resynced=True, playing=A.removeprefix("http://"))
    world.tell("jobs_lost", resynced=True)
    world.webhooks()
    assert take(world, "play")[0]["url"] == B
    done(world, room, 0)
    world.ask("pause", room_id=room)
    assert world.room(room)["playback_status"] == "paused"


def test_a_play_that_counts_as_failed_and_is_heard_all_the_same_is_stopped(world: World, room: str) -> None:
    world.play(room, A)
    take(world, "play")
    world.tell("playback_lost", room_id=room, resynced=True)
    world.tell("jobs_lost", resynced=True)
    assert world.room(room)["playback_status"] == "stopped"
    take(world)
    world.tell("playback_lost", room_id=room, resynced=True, playing=A.removeprefix("http://"))
    (stop,) = take(world, "stop")
    world.play(room, B, operation="op2")
    take(world)
    world.answer(stop["job"])
    assert take(world, "play")[0]["operation"] == "op2"


def test_playback_of_which_nothing_is_known_is_interrupted(world: World, room: str) -> None:
    world.play(room, A, B)
    world.answer(take(world, "play")[0]["job"])
    take(world, "play")
    world.webhooks()
    assert world.tell("playback_lost", room_id=room, resynced=True) == {"interrupted": True}
    ((kind, data),) = world.webhooks()
    assert (kind, data["status"], data["resynced"]) == ("conference.play.finished", "interrupted", True)
    (stop,) = take(world, "stop")
    world.tell("jobs_lost", resynced=True)
    world.play(room, C, operation="op2")
    assert take(world, "play")[0]["operation"] == "op2"
    assert stop["job"]


@pytest.mark.parametrize("how", ["stop", "delete", "empty"])
@pytest.mark.parametrize("dies", [False, True])
def test_what_is_much_to_tell_is_told_in_parts(world: World, room: str, how: str, dies: bool) -> None:
    """Should the process die that ended the operations, the node's worker tells the rest."""
    operations = [f"op{number}" for number in range(20)]
    for operation in operations:
        world.play(room, *[f"http://media.example/{number}.wav" for number in range(128)], operation=operation)
    world.webhooks()
    world.dies = dies
    if how == "empty":
        world.left(IDS.of("00000000-0000-4000-9000-000000000001"), room, cause="NORMAL_CLEARING")
    else:
        world.ask("stop" if how == "stop" else "delete_room", room_id=room)
    first = [data["operation_id"] for _, data in world.webhooks() if "operation_id" in data]
    assert (first == operations) is not dies
    # Nothing else is told of them, and nothing new waits for the old.
    done(world, room, 0, operations[-1])
    world.dies = False
    world.overdue()
    kind = "conference.play.stopped" if how == "stop" else "conference.play.finished"
    rest = [data["operation_id"] for type_, data in world.webhooks() if type_ == kind]
    assert first + rest == operations
    assert world.store.client.hget(keys.key(world.tag, "usage", "demo"), "operations") == b"0"


@pytest.mark.parametrize("how", ["plays on", "stop"])
def test_a_playback_of_version_0_1_goes_on(world: World, room: str, how: str) -> None:
    world.play(room, A, B)
    (first,) = take(world, "play")
    operation = keys.key(world.tag, "operation", "op1")
    world.store.client.delete(*(keys.key(world.tag, name, "op1") for name in ("urls", "node_urls")))
    world.store.client.delete(keys.key(world.tag, "usage", "demo"))
    world.store.client.hdel(operation, "bytes")
    world.store.client.hset(operation, "urls", f'["{A}","{B}"]')
    world.webhooks()
    if how == "stop":
        world.ask("stop", room_id=room)
    else:
        world.answer(first["job"])
        (second,) = take(world, "play")
        assert second["url"] == B
        world.answer(second["job"])
        done(world, room, 0)
        done(world, room, 1)
    ((_, data),) = world.webhooks()
    assert data["operation_id"] == "op1"
    assert how == "stop" or [result["url"] for result in data["results"]] == [A, B]
    usage = world.store.client.hgetall(keys.key(world.tag, "usage", "demo"))
    assert (usage[b"operations"], usage[b"url_bytes"]) == (b"0", b"0")
