"""Nodes, sessions, webhooks and the event log, as an operator uses them."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from playwright.sync_api import Error, Page, Route, expect

from tests.browser.conftest import Console, Visit, World
from tests.browser.steps import confirm, heading, is_live, told
from tests.e2e.system import CALLER_ID


def test_the_overview_counts(operator: Console, world: World) -> None:
    world.room("board-call", world.call("acW68", "527100001"), world.call("fra02", "527100002"))
    page = operator.open()
    # A room that spans nodes counts once.
    for label, count in (("Rooms", "1"), ("In rooms", "2")):
        expect(page.get_by_role("link", name=f"{label} {count}")).to_be_visible()
    nodes = page.get_by_role("region", name="Nodes")
    expect(nodes.get_by_text("2 of 2 up")).to_be_visible()
    nodes.get_by_role("link", name="fra02").click()
    heading(page, "fra02")


def test_the_overview_tells_what_is_tried_again(operator: Console) -> None:
    def failing(route: Route) -> None:
        response = route.fetch()
        webhooks = {"pending": 0, "retrying": 7, "failed": 0, "failing_endpoints": 1}
        route.fulfill(response=response, json={**response.json(), "webhooks": webhooks})

    operator.page.route("**/console/api/overview", failing)
    page = operator.open()
    expect(page.get_by_role("link", name="Webhooks waiting 0")).to_contain_text("1 endpoint failing, 7 retrying")
    operator.page.unroute("**/console/api/overview")


def hold_further(operator: Console, url: str, position: str) -> list[Route]:
    """Have a listing look as if there were more of it. Returns the requests for further pages, which are not answered.
    `position`: how a request, and the page before, says where it begins.
    """
    held: list[Route] = []

    def answer(route: Route) -> None:
        if f"{position}=" in route.request.url:
            held.append(route)
            return
        response = route.fetch()
        route.fulfill(response=response, json={**response.json(), position: "more"})

    operator.page.route(url, answer)
    return held


def test_a_further_page_that_comes_late_is_not_shown_under_another_filter(operator: Console, world: World) -> None:
    world.room("of-alpha")
    world.room("of-beta", app="beta")
    held = hold_further(operator, "**/console/api/rooms?**", "cursor")
    page = operator.open("rooms?app=alpha")
    row = page.get_by_role("link", name="of-alpha")
    expect(row).to_be_visible()
    with page.expect_request("**/console/api/rooms?*cursor=more*"):
        page.get_by_role("button", name="Load more").click()
    page.get_by_label("App", exact=True).select_option("beta")
    expect(page.get_by_role("link", name="of-beta")).to_be_visible()
    expect(row).to_have_count(0)
    late = {"name": "late", "app_id": "alpha", "room_id": "late", "members": 0, "created_at": 0, "tags": []}
    with suppress(Error):  # Nobody may wait for it any more.
        held[0].fulfill(json={"rooms": [late], "cursor": ""})
    page.get_by_role("button", name="Load more").click()
    expect(page.get_by_role("button", name="Load more")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("link", name="late")).to_have_count(0)
    operator.page.unroute("**/console/api/rooms?**")


def test_older_entries_that_come_late_are_not_shown_under_another_filter(operator: Console, world: World) -> None:
    world.room("board-call")
    held = hold_further(operator, "**/console/api/log?**", "before")
    page = operator.open("log?kind=command")
    older = page.get_by_role("button", name="Load older")
    with page.expect_request("**/console/api/log?*before=more*"):
        older.click()
    page.get_by_label("Kind", exact=True).select_option("webhook")
    expect(page.get_by_role("button", name="conference.created").first).to_be_visible()
    late = {"id": "1-0", "at": 0, "kind": "command", "type": "late", "app": "alpha"}
    with suppress(Error):
        held[0].fulfill(json={"entries": [late], "before": ""})
    older.click()
    expect(older).to_have_attribute("aria-busy", "true")
    expect(page.get_by_role("button", name="late")).to_have_count(0)
    operator.page.unroute("**/console/api/log?**")


def test_no_entry_of_the_log_is_left_out_after_a_gap(operator: Console) -> None:
    newest = 200

    def answer(route: Route) -> None:
        before = re.search(r"before=(\d+)", route.request.url)
        last = int(before[1]) if before else newest + 1
        numbers = range(last - 1, max(last - 101, 0), -1)
        entries = [{"id": f"{n}-0", "at": n, "kind": "state", "type": f"entry.{n}", "app": "alpha"} for n in numbers]
        route.fulfill(json={"entries": entries, "before": str(numbers[-1]) if numbers[-1] > 1 else None})

    operator.page.route("**/console/api/log?**", answer)
    page = operator.open("log?kind=state&type=entry.*")
    older = page.get_by_role("button", name="Load older")
    older.click()
    shown = page.locator("tbody button")
    expect(shown).to_have_text([f"entry.{n}" for n in range(200, 0, -1)])
    page.get_by_role("button", name="Pause").click()
    newest = 350
    page.get_by_role("button", name="Go on live").click()
    expect(shown).to_have_text([f"entry.{n}" for n in range(350, 250, -1)])
    older.click()
    expect(shown).to_have_text([f"entry.{n}" for n in range(350, 150, -1)])
    operator.page.unroute("**/console/api/log?**")


def test_a_chart_shows_values_that_stand_alone(operator: Console) -> None:
    """With a webhook now and then the latency is known now and then: there is no line between two values."""
    page = operator.open()
    heading(page, "Overview")
    shown = page.evaluate(
        """async (values) => {
            const { alone } = await import(document.querySelector("script[type=module]").src.replace("main.js", "chart.js"));
            return alone({ data: [values.map((_, at) => at), values] }, 1);
        }""",
        [5, None, 6, 7, None, 8, None, None, 9],
    )
    assert shown == [0, 5, 8]


def test_drain_and_undo(operator: Console, world: World) -> None:
    page = operator.open("nodes/fra02")
    page.get_by_role("button", name="Drain").click()
    confirm(page, "Drain")
    expect(page.get_by_text("It gets no new rooms.", exact=False).first).to_be_visible()
    world.call("fra02", "527100001")
    assert world.room("elsewhere").startswith("acW68")
    page.get_by_role("button", name="Give it rooms again").click()
    expect(page.get_by_role("button", name="Drain")).to_be_visible()


def test_a_lost_node_is_seen(operator: Console, world: World) -> None:
    page = operator.open("nodes/fra02")
    expect(page.get_by_role("group", name="History of the connection")).to_be_visible()
    world.stop_node("fra02")
    try:
        expect(page.locator(".page-head").get_by_text("down")).to_be_visible()
        expect(page.get_by_role("group", name="History of the connection").get_by_role("row").nth(1)).to_be_visible()
    finally:
        world.start_node("fra02")
    expect(page.locator(".page-head").get_by_text("up")).to_be_visible(timeout=60_000)


def test_a_session_from_call_to_room_and_out(operator: Console, world: World) -> None:
    world.call("acW68", "527100001")
    world.room("board-call")
    page = operator.open("sessions")
    page.get_by_role("button", name="Joined").click()
    expect(page.get_by_text("No sessions")).to_be_visible()
    page.get_by_role("button", name="Parked").click()
    page.get_by_role("link", name="527100001").click()
    heading(page, "527100001")
    is_live(page)
    page.get_by_role("button", name="Join", exact=True).click()
    expect(page.get_by_text("muted, hears", exact=True)).to_be_visible()
    page.get_by_role("button", name="Unmute").click()
    expect(page.get_by_text("not muted, hears", exact=True)).to_be_visible()
    page.get_by_label("Volume to the others").fill("2")
    expect(page.get_by_text("527100001 is heard at another volume")).to_be_visible()
    page.get_by_label("Role").select_option("moderator")
    page.get_by_label("Tags").fill("agent\nBerlin, Mitte")
    page.get_by_role("button", name="Change", exact=True).click()
    for mark in ("moderator", "agent", "Berlin, Mitte"):
        expect(page.locator(".facts").get_by_text(mark, exact=True)).to_be_visible()
    page.get_by_role("button", name="Put on hold").click()
    page.get_by_label("Music").fill(world.tone)
    operator.check_access()
    operator.screenshot("dialog-hold")
    page.get_by_role("dialog").get_by_role("button", name="Put on hold").click()
    expect(page.get_by_text("not muted, hears, on hold", exact=True)).to_be_visible()
    page.get_by_role("button", name="Take off hold").click()
    expect(page.get_by_text("not muted, hears", exact=True)).to_be_visible()
    page.get_by_role("button", name="Take out of the room").click()
    confirm(page, "Take out")
    expect(page.get_by_role("button", name="Join", exact=True)).to_be_visible()
    world.hang_up("527100001")
    expect(page.get_by_text("This session has ended")).to_be_visible()
    expect(page.get_by_text("527100001 has hung up")).to_be_visible()
    operator.forgive("status of 404", "status of 429")


def test_a_member_coaches_another_one(operator: Console, world: World) -> None:
    sessions = [world.call("acW68", f"52710000{number}") for number in (1, 2, 3)]
    world.room("board-call")
    for session in sessions[:2]:
        page = operator.open(f"sessions/alpha/{session}")
        is_live(page)
        page.get_by_role("button", name="Join", exact=True).click()
        expect(page.get_by_text("muted, hears", exact=True)).to_be_visible()
    page.get_by_role("button", name="Coach a member").click()
    page.get_by_label("Member", exact=True).select_option(sessions[0])
    operator.check_access()
    page.get_by_role("dialog").get_by_role("button", name="Coach", exact=True).click()
    expect(page.get_by_text("coaches", exact=True)).to_be_visible()
    page.get_by_role("button", name="End coaching").click()
    expect(page.get_by_text("coaches", exact=True)).to_be_hidden()


def fill_joining(page: Page) -> None:
    page.get_by_text("As what it joins").click()
    page.get_by_label("Is heard").select_option("heard")
    page.get_by_label("Role").select_option("moderator")
    page.get_by_label("Volume to the others").fill("2")
    page.get_by_label("Tags").fill("agent")


@pytest.mark.parametrize("phone", [False, True])
def test_a_join_says_as_what(world: World, visit: Visit, phone: bool) -> None:
    session = world.call("acW68", "527100001")
    world.room("board-call")
    console = visit("maria", phone=phone)
    page = console.open(f"sessions/alpha/{session}")
    is_live(page)
    fill_joining(page)
    console.check_access()
    console.check_width()
    console.screenshot(f"join-options{'-phone' if phone else ''}")
    page.get_by_role("button", name="Join", exact=True).click()
    expect(page.get_by_text("not muted, hears", exact=True)).to_be_visible()
    for mark in ("moderator", "agent"):
        expect(page.locator(".facts").get_by_text(mark, exact=True)).to_be_visible()
    expect(page.get_by_text("527100001 is heard at another volume")).to_be_visible()
    shown = world.ask("GET", f"/api/v1/sessions/{session}")
    assert (shown["volume_in"], shown["volume_out"], shown["end_on_exit"]) == (2, 0, False)


def test_digits_are_sent_and_collected(operator: Console, world: World) -> None:
    world.call("acW68", "527100003")
    page = operator.open("sessions")
    page.get_by_role("link", name="527100003").click()
    heading(page, "527100003")
    is_live(page)
    page.get_by_label("Digits", exact=True).fill("12w3#")
    page.get_by_role("button", name="Send digits").click()
    expect(page.get_by_text("Digits are sent.")).to_be_visible()
    expect(page.get_by_text("527100003 is to be sent digits")).to_be_visible()
    expect(page.get_by_label("Digits", exact=True)).to_have_value("")
    page.get_by_label("How many at most").fill("2")
    page.get_by_label("Seconds for the first").fill("60")
    page.get_by_label("Seconds for each other").fill("30")
    page.get_by_role("button", name="Collect digits").click()
    told(page, "Digits are being collected.")
    world.press("527100003", "47")
    expect(page.get_by_text("The digits of 527100003 were collected")).to_be_visible()


def test_a_file_is_played_to_one_caller(operator: Console, world: World) -> None:
    world.call("acW68", "527100004")
    page = operator.open("sessions")
    page.get_by_role("link", name="527100004").click()
    heading(page, "527100004")
    is_live(page)
    page.get_by_label("Play audio").fill(world.tone)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_text("Files are to be played to 527100004")).to_be_visible()
    expect(page.locator(".playing")).to_have_text(world.tone)
    expect(page.get_by_label("Play audio")).to_have_value("")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("What is played to 527100004 is stopped")).to_be_visible()
    expect(page.locator(".playing")).to_have_count(0)


def test_a_call_is_made(operator: Console, world: World) -> None:
    world.room("board-call")
    page = operator.open("sessions")
    page.get_by_role("button", name="New call").click()
    page.get_by_label("Number or SIP URI to call").fill("+88212345200")
    page.get_by_label("Number that is shown").fill(CALLER_ID)
    page.get_by_label("Joins, once it is answered").select_option(label="board-call")
    fill_joining(page)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("dialog").locator(".error")).to_be_visible()
    operator.check_access()
    operator.screenshot("dialog-call")
    page.get_by_label("Number or SIP URI to call").fill("+493012345200")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_text("not muted, hears", exact=True)).to_be_visible()
    expect(page.get_by_text("It was answered")).to_be_visible()
    page.get_by_role("button", name="Hang up").click()
    confirm(page, "Hang up")
    expect(page.get_by_text("This session has ended")).to_be_visible()
    operator.forgive("status of 403", "status of 404")


def test_a_call_is_transferred(operator: Console, world: World) -> None:
    world.call("acW68", "527100004")
    page = operator.open("sessions")
    page.get_by_role("link", name="527100004").click()
    heading(page, "527100004")
    is_live(page)
    page.get_by_role("button", name="Transfer", exact=True).click()
    page.get_by_label("Number or SIP URI to call").fill("+493012345201")
    operator.check_access()
    operator.screenshot("dialog-transfer")
    page.get_by_role("dialog").get_by_role("button", name="Transfer").click()
    expect(page.get_by_text("527100004 is connected to whoever was called")).to_be_visible()
    expect(page.get_by_text("527100004 is to be transferred to +493012345201")).to_be_visible()
    expect(page.locator(".facts").get_by_text("transferred", exact=True)).to_be_visible()
    expect(page.locator(".facts").get_by_text("+493012345201")).to_be_visible()
    expect(page.get_by_role("button", name="Transfer", exact=True)).to_have_count(0)
    world.hang_up("527100004")
    expect(page.get_by_text("This session has ended")).to_be_visible()
    operator.forgive("status of 404")


def test_a_call_is_hung_up(operator: Console, world: World) -> None:
    world.call("acW68", "527100002")
    page = operator.open("sessions")
    page.get_by_role("link", name="527100002").click()
    heading(page, "527100002")
    is_live(page)
    page.get_by_role("button", name="Hang up").click()
    confirm(page, "Hang up")
    expect(page.get_by_text("This session has ended")).to_be_visible()
    expect(page.get_by_text("527100002 is to be hung up")).to_be_visible()
    operator.forgive("status of 404")


def test_webhooks_that_fail_and_are_sent_again(operator: Console, world: World) -> None:
    world.endpoint_answers(400)
    world.room("board-call")
    page = operator.open("webhooks")
    page.get_by_role("link", name="alpha").click()
    heading(page, "Webhooks")
    page.get_by_role("link", name="conference.created").first.click()
    heading(page, "conference.created")
    expect(page.locator(".attempts").get_by_text("400")).to_be_visible()
    expect(page.get_by_role("region", name="Data")).to_contain_text("board-call")
    world.endpoint_answers(200)


def test_one_webhook_is_sent_again(operator: Console, world: World) -> None:
    world.room("board-call")
    world.received("conference.created", "name", "board-call")
    page = operator.open("webhooks/alpha?status=delivered&type=conference.created")
    page.get_by_role("button", name="Redeliver conference.created").first.click()
    told(page, "It is on its way again.")


def test_all_that_failed_is_sent_again(operator: Console, world: World) -> None:
    endpoint = world.ask("GET", "/api/v1/webhooks/endpoint")
    # A webhook of a disabled endpoint has failed at once.
    world.endpoint_answers(410)
    room = world.room("board-call")
    page = operator.open("webhooks/alpha?status=failed&type=conference.created")
    failed = page.get_by_role("row").filter(has=page.locator(f"a[href$='{room}']"))
    expect(failed).to_have_count(1)
    world.endpoint_answers(200)
    world.ask("PUT", "/api/v1/webhooks/endpoint", {"url": endpoint["url"]})
    page.get_by_role("button", name="Redeliver failed").click()
    page.get_by_role("button", name="Redeliver…").click()
    page.get_by_role("dialog").last.get_by_role("button", name="Redeliver", exact=True).click()
    told(page, "will be sent again.")
    expect(failed).to_have_count(0)


def test_the_endpoint_is_tested_changed_and_gets_a_secret(operator: Console, world: World) -> None:
    page = operator.open("webhooks/beta")
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_role("dialog").get_by_text("200", exact=True)).to_be_visible()
    page.get_by_role("dialog").get_by_role("button", name="Close").last.click()
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_label("Types").fill("conference.*")
    page.get_by_role("button", name="Set and enable").click()
    expect(page.get_by_role("region", name="Endpoint").get_by_text("conference.*")).to_be_visible()
    page.get_by_role("button", name="Change", exact=True).click()
    page.get_by_label("Types").fill("no-such-type")
    page.get_by_role("button", name="Set and enable").click()
    expect(page.get_by_role("dialog").get_by_text("Invalid request")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="New secret").click()
    page.get_by_role("button", name="Make a new secret").click()
    expect(page.get_by_role("dialog").get_by_text("whsec_")).to_be_visible()
    page.get_by_role("button", name="Done").click()
    expect(page.get_by_text("signs too until")).to_be_visible()
    operator.forgive("status of 400")


def test_the_event_log_is_live_and_filtered(operator: Console, world: World) -> None:
    page = operator.open("log")
    is_live(page)
    room = world.room("board-call")
    created = page.get_by_role("row", name="command create").filter(has_text=room[11:19])
    expect(created).to_be_visible()
    page.get_by_label("Kind").select_option("webhook")
    expect(created).to_have_count(0)
    expect(page.get_by_role("button", name="conference.created").first).to_be_visible()
    page.get_by_label("Id of the room").fill(room)
    expect(page.locator(".log tbody tr")).to_have_count(1)
    assert f"room={room}" in page.url
    page.get_by_role("button", name="conference.created").click()
    expect(page.get_by_role("dialog")).to_contain_text('"kind": "webhook"')
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Pause").click()
    world.ask("DELETE", f"/api/v1/conferences/{room}")
    world.received("conference.destroyed", "room_id", room)
    expect(page.locator(".log tbody tr")).to_have_count(1)
