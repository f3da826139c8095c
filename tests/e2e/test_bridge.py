"""One room on several nodes: against emulated nodes, or real FreeSWITCH nodes that dial each other."""

from __future__ import annotations

import json

import gevent
import pytest

from esl.commands import Hangup, JsonList
from tests.e2e.nodes import REAL
from tests.e2e.site import CONFERENCES, Site, until
from tests.e2e.system import Media

pytestmark = pytest.mark.skipif(REAL not in ("", "boot"), reason="needs several nodes of its own")


def test_a_call_of_another_node_joins_by_one_leg(site: Site) -> None:
    room, (source, other, _) = site.room()
    first = site.call(source)
    others = [site.call(other) for _ in range(3)]
    site.join(first, room)
    for session in others:
        site.join(session, room)
    assert site.bridges(room) == {source: "source", other: "connected"}
    assert site.counts(room) == {source: 1, other: 3}
    assert site.members(room) == {first: source, **dict.fromkeys(others, other)}
    assert (site.size(source, room), site.size(other, room)) == (2, 4)
    for what, webhook in (("unmute", "unmuted"), ("deaf", "deafened"), ("leave", "left")):
        assert site.command(others[0], what) == 202
        site.hooks.wait(f"conference.member.{webhook}", uuid=others[0], room_id=room)
    assert site.counts(room) == {source: 1, other: 2}
    assert site.service.request("DELETE", f"{CONFERENCES}/{room}").status == 200
    for session in (first, *others[1:]):
        assert site.hooks.wait("conference.member.left", uuid=session, room_id=room)["reason"] == "room_destroyed"
    until(lambda: not any(room in site.nodes[prefix].rooms() for prefix in (source, other)))
    hooks = site.hooks.of(room_id=room)
    assert [hook["data"]["sequence"] for hook in hooks] == list(range(1, len(hooks) + 1))
    assert site.hooks.problems == []


def test_what_is_done_to_all_members_is_done_on_all_nodes_and_not_to_their_leg(site: Site) -> None:
    room, (source, other, _) = site.room()
    sessions = [site.call(prefix) for prefix in (source, other, other)]
    for session in sessions:
        site.join(session, room)
    for command, webhook in (("unmute", "unmuted"), ("mute", "muted")):
        asked = site.service.post(f"{CONFERENCES}/{room}/commands/{command}-all")
        finished = site.hooks.wait("conference.command.finished", operation_id=asked.body["operation_id"])
        assert (finished["changed"], finished["failed"]) == (3, 0)
        for session in sessions:
            site.hooks.wait(f"conference.member.{webhook}", uuid=session, command_uid=asked.body["operation_id"])
    until(lambda: site.legs(other))  # which lags behind
    for prefix in (source, other):
        legs = site.legs(prefix)
        (conference,) = json.loads(site.nodes[prefix].command(JsonList(room)), strict=False)
        can_speak = {member["uuid"]: member["flags"]["can_speak"] for member in conference["members"]}
        assert {uuid for uuid, speaks in can_speak.items() if speaks} == set(legs)
    asked = site.service.post(f"{CONFERENCES}/{room}/commands/kick-all", {"exclude": sessions[1:2]})
    finished = site.hooks.wait("conference.command.finished", operation_id=asked.body["operation_id"])
    assert (finished["changed"], finished["failed"]) == (2, 0)
    assert site.counts(room) == {source: 0, other: 1}
    assert site.legs(other) == legs  # the one that there was
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


def test_two_calls_at_once_from_a_new_node_make_one_leg(site: Site) -> None:
    room, (source, other, _) = site.room()
    sessions = [site.call(other) for _ in range(4)]
    asked = [gevent.spawn(site.join, session, room) for session in sessions]
    gevent.joinall(asked, timeout=60, raise_error=True)
    assert (site.size(source, room), site.size(other, room)) == (1, 5)
    assert site.counts(room) == {source: 0, other: 4}
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


def test_a_room_whose_members_are_all_elsewhere_plays(site: Site, media: Media) -> None:
    room, (source, other, third) = site.room()
    for prefix in (other, third):
        site.join(site.call(prefix), room)
    assert site.bridges(room) == {source: "source", other: "connected", third: "connected"}
    urls = [media.tone(1, "bridged"), media.tone(1, "bridged-2")]
    operation = site.service.post(f"{CONFERENCES}/{room}/play", {"urls": urls}).body["operation_id"]
    finished = site.hooks.wait("conference.play.finished", operation_id=operation)
    assert finished["results"] == [{"url": url, "status": "played"} for url in urls]
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


def test_a_leg_goes_with_the_last_member_of_its_node(site: Site) -> None:
    room, (source, other, _) = site.room()
    session = site.call(other)
    site.join(session, room)
    site.command(session, "leave")
    site.hooks.wait("conference.member.left", uuid=session, room_id=room)
    until(lambda: site.bridges(room) == {source: "source"})
    until(lambda: not any(room in site.nodes[prefix].rooms() for prefix in (source, other)))
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


@pytest.mark.parametrize("end", ["source", "other"])
def test_a_leg_that_is_cut_is_made_again(site: Site, end: str) -> None:
    room, (source, other, _) = site.room()
    sessions = [site.call(prefix) for prefix in (source, other)]
    for session in sessions:
        site.join(session, room)
    until(lambda: site.legs(other))  # which lags behind
    (leg,) = site.legs(other)
    site.nodes[source if end == "source" else other].command(Hangup(leg))
    until(lambda: site.legs(other) not in ([], [leg]))
    until(lambda: site.bridges(room) == {source: "source", other: "connected"})
    assert site.members(room) == {sessions[0]: source, sessions[1]: other}
    assert (site.size(source, room), site.size(other, room)) == (2, 2)
    assert "conference.member.left" not in site.hooks.types(room_id=room)
    site.service.request("DELETE", f"{CONFERENCES}/{room}")
    until(lambda: site.legs(other) == [] == site.legs(source))


def test_a_call_that_nobody_announced_gets_no_leg(site: Site) -> None:
    room, (source, other, _) = site.room()
    site.join(site.call(source), room)
    target = site.nodes[source].bridge
    said = site.nodes[other].command(
        "originate {origination_uuid=11111111-2222-4333-8444-555555555555,originate_timeout=3}"
        f"sofia/bridge/{room}@{target};transport=tcp &conference({room}@default)"
    )
    assert said.startswith("-ERR")
    assert site.size(source, room) == 1
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


def test_a_node_that_restarts_loses_its_members_and_its_leg(site: Site) -> None:
    room, (source, other, _) = site.room()
    sessions = [site.call(prefix) for prefix in (source, other)]
    for session in sessions:
        site.join(session, room)
    site.nodes[other].crash()
    left = site.hooks.wait("conference.member.left", 60, uuid=sessions[1], room_id=room)
    assert left["reason"] == "node_lost"
    until(lambda: site.bridges(room) == {source: "source"}, 40)
    until(lambda: site.size(source, room) == 1)
    again = site.call(other)
    site.join(again, room)
    assert site.bridges(room) == {source: "source", other: "connected"}
    site.service.request("DELETE", f"{CONFERENCES}/{room}")


def test_a_room_outlives_its_source(site: Site, media: Media) -> None:
    room, (source, other, third) = site.room()
    sessions = {site.call(prefix): prefix for prefix in (source, other, third, third)}
    for session in sessions:
        site.join(session, room)
    operation = site.service.post(f"{CONFERENCES}/{room}/play", {"urls": [media.tone(60, "lost")]}).body["operation_id"]
    until(lambda: site.service.get(f"{CONFERENCES}/{room}").body["playback_status"] == "playing")
    site.nodes[source].die()
    try:
        finished = site.hooks.wait("conference.play.finished", 60, operation_id=operation)
        assert finished["status"] == "interrupted"
        until(lambda: site.bridges(room) == {third: "source", other: "connected", source: "down"}, 60)
        assert (site.size(third, room), site.size(other, room)) == (3, 2)
        lost, *living = sessions
        assert site.command(lost, "unmute") == 503
        for session in living:
            assert site.command(session, "unmute") == 202
            site.hooks.wait("conference.member.unmuted", uuid=session, room_id=room)
        urls = [media.tone(1, "moved")]
        operation = site.service.post(f"{CONFERENCES}/{room}/play", {"urls": urls}).body["operation_id"]
        assert site.hooks.wait("conference.play.finished", operation_id=operation)["status"] == "completed"
    finally:
        site.nodes[source].revive()
    assert site.hooks.wait("conference.member.left", 60, uuid=lost, room_id=room)["reason"] == "node_lost"
    until(lambda: site.bridges(room) == {third: "source", other: "connected"}, 40)
    again = site.call(source)
    site.join(again, room)
    assert site.bridges(room)[source] == "connected"
    site.service.request("DELETE", f"{CONFERENCES}/{room}")
