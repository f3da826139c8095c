"""A room, seen and driven live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Console, Visit, World
from tests.browser.steps import confirm, heading, is_live, member, told

ALICE, BOB, WAITING = "527100001", "527100002", "527100003"


@dataclass
class Open:
    id: str
    alice: str  # her session
    page: Page


@pytest.fixture
def room(world: World, operator: Console) -> Iterator[Open]:
    """A room with a caller on each node and one who waits, open in the operator's browser."""
    alice = world.call("acW68", ALICE)
    room = world.room("board-call", alice, world.call("fra02", BOB))
    world.call("acW68", WAITING)
    page = operator.open(f"rooms/alpha/{room}")
    heading(page, "board-call")
    is_live(page)
    yield Open(room, alice, page)
    operator.forgive("status of 429")  # a cooldown, which the page waits out


def test_members_are_shown_by_node(room: Open) -> None:
    for prefix, caller in (("acW68", ALICE), ("fra02", BOB)):
        expect(room.page.get_by_role("region", name=f"Node {prefix}").locator(".member")).to_have_count(1)
        expect(room.page.get_by_role("region", name=f"Node {prefix}")).to_contain_text(caller)
    expect(room.page.get_by_text("mixes the room")).to_have_count(1)
    expect(room.page.get_by_text("bridge connected")).to_have_count(1)


def test_mute_and_unmute(room: Open, world: World) -> None:
    alice = member(room.page, ALICE)
    alice.get_by_role("button", name="Mute").click()
    expect(alice.get_by_text("muted", exact=True)).to_be_visible()
    assert world.is_muted(room.alice)
    # Sooner than the cooldown allows: the page waits it out.
    alice.get_by_role("button", name="Unmute").click()
    expect(alice.get_by_text("muted", exact=True)).to_have_count(0)
    alice.get_by_role("button", name="Make deaf").click()
    expect(alice.get_by_text("deaf", exact=True)).to_be_visible()
    alice.get_by_role("button", name="Put on hold").click()
    expect(alice.get_by_text("on hold", exact=True)).to_be_visible()


def test_all_members(room: Open) -> None:
    page = room.page
    page.get_by_role("button", name="Mute all", exact=True).click()
    expect(page.locator(".member").get_by_text("muted", exact=True)).to_have_count(2)
    page.get_by_role("button", name="Make all deaf").click()
    expect(page.locator(".member").get_by_text("deaf", exact=True)).to_have_count(2)
    page.get_by_role("button", name="Let all hear").click()
    expect(page.locator(".member").get_by_text("deaf", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Hold all").click()
    expect(page.locator(".member").get_by_text("on hold", exact=True)).to_have_count(2)
    page.get_by_role("button", name="Take all off hold").click()
    expect(page.locator(".member").get_by_text("on hold", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Take all out").click()
    confirm(page, "Take all out")
    expect(page.locator(".member")).to_have_count(0)


def test_lock_and_unlock(room: Open, world: World) -> None:
    room.page.get_by_role("button", name="Lock", exact=True).click()
    expect(room.page.get_by_text("locked", exact=True)).to_be_visible()
    assert world.ask("GET", f"/api/v1/conferences/{room.id}")["locked"] is True
    room.page.get_by_role("button", name="Unlock").click()
    expect(room.page.get_by_text("locked", exact=True)).to_have_count(0)


def test_options(room: Open, world: World, operator: Console) -> None:
    page = room.page
    page.get_by_role("button", name="Options", exact=True).click()
    page.get_by_label("Tags").fill("x" * 65)
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Invalid request: tags.0")
    page.get_by_label("Tags").fill("staff\nBerlin, Mitte")
    page.get_by_label("Ends when the last of these leaves").select_option("moderator")
    page.get_by_label("Waits for a moderator").select_option("waits")
    page.get_by_label("Music meanwhile").fill("https://cdn.example.com/music.mp3")
    page.get_by_label("Beep when a member comes").fill("tone")
    page.get_by_label("Beep when a member goes").fill("https://cdn.example.com/gone.wav")
    page.get_by_label("Tells who speaks").select_option("speakers")
    page.get_by_label("Members at most").fill("7")
    page.get_by_label("Ends when empty for so many seconds").fill("600")
    operator.check_access()
    operator.screenshot("dialog-options")
    page.get_by_role("button", name="Change", exact=True).click()
    for shown in (
        "staff",
        "Berlin, Mitte",
        "ends with its last moderator",
        "waits for a moderator",
        "tells who speaks",
    ):
        expect(page.locator(".page-head").get_by_text(shown, exact=True)).to_be_visible()
    changed = world.ask("GET", f"/api/v1/conferences/{room.id}")
    assert changed["tags"] == ["staff", "Berlin, Mitte"]
    assert (changed["speaker_events"], changed["wait_for_moderator"]) == (True, True)
    assert changed["hold_music"] == "https://cdn.example.com/music.mp3"
    assert (changed["beep_enter"], changed["beep_exit"]) == ("tone", "https://cdn.example.com/gone.wav")
    assert (changed["max_members"], changed["end_when_empty"], changed["max_duration"]) == (7, 600, None)
    page.get_by_role("button", name="Options", exact=True).click()
    page.get_by_label("Members at most").fill("")
    page.get_by_label("Beep when a member goes").fill("gong")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Invalid request: beep_exit")
    page.get_by_label("Beep when a member goes").fill("")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_text("2 members", exact=True)).to_be_visible()
    operator.forgive("status of 400")


def test_a_command_is_pending_until_the_node_confirms_it(room: Open, world: World) -> None:
    alice = member(room.page, ALICE)
    world.silence("acW68", True)
    alice.get_by_role("button", name="Mute").click()
    expect(alice.locator("button[aria-busy=true]")).to_have_count(1)
    expect(alice.get_by_text("muted", exact=True)).to_have_count(0)
    world.silence("acW68", False)
    expect(alice.get_by_text("muted", exact=True)).to_be_visible()
    expect(alice.locator("button[aria-busy=true]")).to_have_count(0)


def test_what_the_node_does_not_confirm_has_failed(room: Open, world: World) -> None:
    world.silence("acW68", True)
    member(room.page, ALICE).get_by_role("button", name="Mute").click()
    expect(member(room.page, ALICE).locator("button[aria-busy=true]")).to_have_count(1)
    expect(room.page.locator(".toast.bad").filter(has_text=f"Mute {ALICE}:")).to_be_visible(timeout=60_000)
    expect(member(room.page, ALICE).locator("button[aria-busy=true]")).to_have_count(0)


def test_take_out_and_join(room: Open) -> None:
    member(room.page, ALICE).get_by_role("button", name="Take out").click()
    confirm(room.page, "Cancel")
    expect(member(room.page, ALICE)).to_have_count(1)
    member(room.page, ALICE).get_by_role("button", name="Take out").click()
    confirm(room.page, "Take out")
    expect(member(room.page, ALICE)).to_have_count(0)
    waiting = room.page.locator(".waiting li")
    expect(waiting).to_have_count(2)
    waiting.filter(has_text=WAITING).get_by_role("button", name="Join").click()
    expect(member(room.page, WAITING).get_by_text("muted", exact=True)).to_be_visible()


def test_play_pause_volume_and_stop(room: Open, world: World) -> None:
    page = room.page
    playback = page.get_by_role("region", name="Playback")
    playback.get_by_label("Play audio").fill(world.tone)
    playback.get_by_role("button", name="Play", exact=True).click()
    expect(playback.get_by_text("playing", exact=True)).to_be_visible()
    expect(playback.locator(".playing")).to_have_text(world.tone)
    playback.get_by_role("button", name="Pause").click()
    expect(playback.get_by_text("paused", exact=True)).to_be_visible()
    playback.get_by_label("Volume").fill("-7")
    expect(playback.locator("output")).to_have_text("-7")
    playback.get_by_role("button", name="Stop").click()
    expect(playback.get_by_text("stopped", exact=True)).to_be_visible()
    while world.ask("GET", f"/api/v1/conferences/{room.id}")["playback_volume"] != -7:
        page.wait_for_timeout(50)  # a cooldown may hold it up


def test_a_volume_is_kept_when_the_one_before_is_refused(room: Open, world: World, operator: Console) -> None:
    playback = room.page.get_by_role("region", name="Playback")
    sent: list[int] = []

    def refuse_the_first(route: Route) -> None:
        sent.append(route.request.post_data_json["volume"])
        if len(sent) > 1:
            return route.continue_()
        # The user moves on before the response comes.
        playback.get_by_label("Volume").fill("-9")
        return route.fulfill(status=503, json={"success": False, "error": "Not now."})

    room.page.route("**/volume", refuse_the_first)
    with room.page.expect_response(lambda response: response.url.endswith("/volume") and response.ok):
        playback.get_by_label("Volume").fill("-7")
    told(room.page, "Volume: Not now.")
    assert sent == [-7, -9]
    expect(playback.locator("output")).to_have_text("-9")
    world.volume(room.id, -9)
    expect(playback.locator("output")).to_have_text("-9")
    operator.forgive("status of 503")


def test_why_a_command_was_refused(room: Open, operator: Console) -> None:
    playback = room.page.get_by_role("region", name="Playback")
    playback.get_by_label("Play audio").fill("ftp://files.example.com/hello.wav")
    playback.get_by_role("button", name="Play", exact=True).click()
    told(room.page, "Play: Invalid request: urls.0 is not a URL that can be played")
    operator.forgive("status of 400")


def test_why_a_file_was_not_played(room: Open, world: World) -> None:
    missing = world.tone.replace("/tone/", "/missing/")
    playback = room.page.get_by_role("region", name="Playback")
    playback.get_by_label("Play audio").fill(missing)
    playback.get_by_role("button", name="Play", exact=True).click()
    expect(playback.get_by_role("alert")).to_contain_text(missing)
    expect(playback.get_by_role("alert")).to_contain_text("Not played (HTTP 404): its server has no such file.")
    failure = room.page.locator(".moment").filter(has_text="A file could not be played")
    expect(failure).to_contain_text("its server has no such file.")
    # Until something else is played.
    playback.get_by_label("Play audio").fill(world.tone)
    playback.get_by_role("button", name="Play", exact=True).click()
    expect(playback.locator(".playing")).to_have_text(world.tone)
    expect(playback.get_by_role("alert")).to_have_count(0)


def test_who_speaks(room: Open, world: World) -> None:
    expect(member(room.page, BOB).get_by_text("speaking")).to_have_count(0)
    world.sound(BOB, True)
    expect(member(room.page, BOB).get_by_text("speaking")).to_be_visible()
    expect(member(room.page, ALICE).get_by_text("speaking")).to_have_count(0)
    world.sound(BOB, False)
    expect(member(room.page, BOB).get_by_text("speaking")).to_have_count(0)


def test_a_new_member_a_hangup_and_the_timeline(room: Open, world: World) -> None:
    world.hang_up(BOB)
    expect(member(room.page, BOB)).to_have_count(0)
    timeline = room.page.get_by_role("region", name="Timeline")
    expect(timeline.get_by_text(f"{BOB} is out of the conference")).to_be_visible()
    timeline.get_by_text(f"{BOB} is out of the conference").click()
    expect(room.page.get_by_role("dialog")).to_contain_text('"type": "del-member"')
    room.page.keyboard.press("Escape")
    expect(room.page.get_by_role("dialog")).to_have_count(0)


def test_the_timeline_tells_legs_from_members(room: Open) -> None:
    timeline = room.page.get_by_role("region", name="Timeline")
    # Both of its ends, and once more for each time that it broke and was dialled again.
    expect(
        timeline.get_by_text(re.compile("^The bridge of (acW68|fra02) is in the conference$")).nth(1)
    ).to_be_visible()
    expect(timeline.get_by_text("A session")).to_have_count(0)


def test_a_tenant_s_timeline_tells_what_was_confirmed(room: Open, world: World, portal: Console) -> None:
    page = portal.open(f"rooms/alpha/{room.id}")
    is_live(page)
    timeline = page.get_by_role("region", name="Timeline")
    member(page, ALICE).get_by_role("button", name="Mute").click()
    expect(timeline.get_by_text(f"{ALICE} is muted")).to_be_visible()
    member(page, BOB).get_by_role("button", name="Take out").click()
    confirm(page, "Take out")
    expect(timeline.get_by_text(f"{BOB} is out of the room")).to_be_visible()
    # Once: the events of the node, which say the same, are the operator's.
    expect(timeline.get_by_text(f"{ALICE} is muted")).to_have_count(1)
    portal.open()
    story = page.get_by_role("region", name="What happens")
    expect(story.get_by_text(f"{BOB} has called")).to_be_visible()
    world.hang_up(BOB)
    expect(story.get_by_text(f"{BOB} has hung up")).to_be_visible()
    portal.forgive("status of 429")  # a cooldown, which the page waits out


def test_delete(room: Open, world: World, operator: Console) -> None:
    room.page.get_by_role("button", name="Delete").click()
    expect(room.page.get_by_role("dialog")).to_contain_text("This cannot be undone.")
    confirm(room.page, "Delete the room")
    told(room.page, "board-call is deleted.")
    heading(room.page, "Rooms")
    assert world.ask("GET", "/api/v1/conferences")["conferences"] == []
    room.page.go_back()
    expect(room.page.get_by_text("This room is gone")).to_be_visible()
    operator.forgive("status of 404")


def test_create(operator: Console) -> None:
    page = operator.open("rooms")
    expect(page.get_by_text("No rooms yet")).to_be_visible()
    page.get_by_role("button", name="New room").click()
    page.get_by_label("Name", exact=True).fill("all-hands")
    page.get_by_label("Tags", exact=True).fill("staff\nmonthly")
    page.get_by_label("Members at most").fill("3")
    page.get_by_label("Ends so many seconds after the first joined").fill("3600")
    page.get_by_role("button", name="Create").click()
    heading(page, "all-hands")
    expect(page.get_by_text("0 of at most 3 members")).to_be_visible()
    expect(page.get_by_text("Nobody is in the room")).to_be_visible()
    expect(page.get_by_text("monthly", exact=True)).to_be_visible()
    page.get_by_role("link", name="Rooms").first.click()
    page.get_by_label("Tag of the room").fill("other")
    expect(page.get_by_text("No such room")).to_be_visible()
    page.get_by_label("Tag of the room").fill("staff")
    expect(page.get_by_role("link", name="all-hands")).to_be_visible()
    page.get_by_role("button", name="New room").click()
    page.get_by_label("Name", exact=True).fill("all-hands")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("dialog").get_by_text("already")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    operator.forgive("status of 409")


def test_two_browsers_see_each_other_s_actions(room: Open, world: World, visit: Visit) -> None:
    tenant = visit("alpha")
    other = tenant.open(f"rooms/alpha/{room.id}")
    is_live(other)
    member(room.page, ALICE).get_by_role("button", name="Mute").click()
    expect(member(other, ALICE).get_by_text("muted", exact=True)).to_be_visible()
    member(other, BOB).get_by_role("button", name="Mute").click()
    expect(member(room.page, BOB).get_by_text("muted", exact=True)).to_be_visible()
    # Who did it: to operators by name, to a tenant as one of the operators.
    expect(room.page.locator(".moment .actor").filter(has_text="operator:maria").first).to_be_visible()
    expect(room.page.locator(".moment .actor").filter(has_text="portal:alpha").first).to_be_visible()
    expect(other.get_by_text("maria")).to_have_count(0)
    tenant.forgive("status of 429")  # a cooldown, which the page waits out


def test_a_connection_that_is_lost_comes_back(room: Open, world: World, operator: Console) -> None:
    world.stop_api()
    expect(room.page.locator(".connection:visible")).to_have_text("Reconnecting")
    world.mute_at_node("acW68", ALICE)
    world.start_api()
    is_live(room.page)
    # What happened meanwhile is there, and what happens from now on.
    expect(member(room.page, ALICE).get_by_text("muted", exact=True)).to_be_visible()
    world.hang_up(BOB)
    expect(member(room.page, BOB)).to_have_count(0)
    operator.forgive("net::ERR_")
