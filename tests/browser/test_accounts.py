"""Who gets in, and what they may."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import PASSWORD, Console, Visit, World
from tests.browser.steps import heading, told


def test_log_in_and_out(visit: Visit) -> None:
    console = visit()
    page = console.open("rooms")
    page.get_by_label("Name").fill("maria")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("Wrong name or password")
    console.check_access()
    console.forgive("status of 401")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    heading(page, "Rooms")
    page.reload()
    heading(page, "Rooms")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("rate_limited", "That was too often. Try again in 18 s."),
        ("failures", "Too many failed authentications. Try again in 18 s."),
    ],
)
def test_too_many_attempts(code: str, told: str, visit: Visit) -> None:
    console = visit()
    errors = {
        "rate_limited": "Rate limit exceeded. Wait for retry_after_ms.",
        "failures": "Too many failed authentications.",
    }
    refusal = {"success": False, "error": errors[code], "detail": {"retry_after_ms": 17_100}}
    console.page.route(
        "**/console/api/login",
        lambda route: route.fulfill(status=429, headers={"X-Error-Code": code}, json=refusal),
    )
    page = console.open()
    page.get_by_label("Name").fill("maria")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text(told)
    console.forgive("status of 429")


def test_a_link_is_good_once_and_not_kept_in_the_address(visit: Visit, world: World) -> None:
    link = world.link("console-link", "maria")
    first = visit().page
    first.goto(link)
    heading(first, "Overview")
    assert "link=" not in first.evaluate("location.href")
    second = visit()
    second.page.goto(link)
    expect(second.page.get_by_text("The link did not open the console")).to_be_visible()
    second.forgive("status of 401")


def test_a_link_replaces_no_session_unasked(visit: Visit, world: World) -> None:
    """A tenant could send an operator one of its own."""
    console = visit()
    page = console.page
    page.goto(world.link("console-link", "maria"))
    heading(page, "Overview")
    link = world.link("app", "portal-link", "beta")
    page.goto(link)
    expect(page.get_by_role("dialog")).to_contain_text("You are logged in as maria.")
    console.check_access()
    page.get_by_role("button", name="Stay").click()
    expect(page.locator(".who-name")).to_have_text("maria")
    page.goto(link)
    page.get_by_role("button", name="Open the link").click()
    expect(page.locator(".who-role")).to_have_text("App beta")


def test_a_portal_link_that_an_operator_makes(operator: Console, visit: Visit) -> None:
    page = operator.open("webhooks")
    page.get_by_role("button", name="Portal link").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("App").select_option("beta")
    dialog.get_by_role("button", name="Only looks").click()
    dialog.get_by_label("Can be opened for").select_option("A day")
    operator.check_access()
    operator.screenshot("dialog-portal")
    dialog.get_by_role("button", name="Make the link").click()
    expect(dialog.get_by_text("the portal of beta")).to_be_visible()
    guest = visit().page
    guest.goto(dialog.locator("code").inner_text())
    heading(guest, "Overview")
    expect(guest.get_by_text("App beta")).to_be_visible()
    expect(guest.get_by_text("view only")).to_be_visible()
    dialog.get_by_role("button", name="Done").click()
    expect(dialog).to_have_count(0)


def test_an_operator_changes_the_own_password(visit: Visit, world: World) -> None:
    world.run("operator", "add", "petra", "--role", "view", SWITCHROOM_OPERATOR_PASSWORD=PASSWORD)
    console = visit()
    page = console.open()

    def log_in(password: str) -> None:
        page.get_by_label("Name").fill("petra")
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()

    def change(password: str, new: str, again: str) -> None:
        page.get_by_label("Your password", exact=True).fill(password)
        page.get_by_label("New password", exact=True).fill(new)
        page.get_by_label("New password again").fill(again)
        page.get_by_role("button", name="Change the password").click()

    log_in(PASSWORD)
    heading(page, "Overview")
    page.get_by_role("button", name="Change your password").click()
    console.check_access()
    console.screenshot("dialog-password")
    new = "another good password"
    change(PASSWORD, new, "a different password")
    expect(page.get_by_role("alert")).to_have_text("The two new passwords differ.")
    change("not this one at all", new, new)
    expect(page.get_by_role("alert")).to_have_text("This is not your password.")
    change(PASSWORD, new, new)
    told(page, "Your password is changed.")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("link", name="Rooms", exact=True).first.click()
    heading(page, "Rooms")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("You are logged out.")).to_be_visible()
    log_in(new)
    heading(page, "Rooms")
    # A figure of the overview may have been asked for with the session that ended.
    console.forgive("status of 403", "status of 401")


def test_what_is_asked_while_the_password_changes_logs_nobody_out(operator: Console) -> None:
    page = operator.open()
    heading(page, "Overview")
    me = page.evaluate("fetch('/console/api/me').then((response) => response.json())")
    begun: list[Route] = []

    def hold(route: Route) -> None:
        begun.append(route)

    page.route("**/console/api/password", hold)
    # As long as the change is under way the session of before has ended for all that is asked.
    ended = {"status": 401, "json": {"success": False, "error": "Unauthorized"}}
    page.get_by_role("button", name="Change your password").click()
    page.get_by_label("Your password", exact=True).fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    with page.expect_request("**/console/api/password"):
        page.get_by_role("button", name="Change the password").click()
    for path in ("overview", "me"):
        page.route(f"**/console/api/{path}", lambda route: route.fulfill(**ended))
    with page.expect_response("**/console/api/overview"):
        pass
    page.unroute("**/console/api/overview")
    page.unroute("**/console/api/me")
    begun[0].fulfill(status=200, json=me)
    told(page, "Your password is changed.")
    heading(page, "Overview")
    operator.forgive("status of 401")


def test_a_session_that_ends_leads_to_the_login(operator: Console) -> None:
    operator.open()
    heading(operator.page, "Overview")
    operator.context.clear_cookies()
    operator.open("sessions")
    expect(operator.page.get_by_text("Your session has ended.")).to_be_visible()
    operator.forgive("status of 401")


def test_another_login_in_the_same_browser(visit: Visit, world: World) -> None:
    """A second window logs in anew: the first goes on, with the token of the new session."""
    console = visit()
    console.page.goto(world.link("console-link", "maria"))
    heading(console.page, "Overview")
    second = console.context.new_page()
    second.goto(world.link("console-link", "maria"))
    second.get_by_role("button", name="Open the link").click()
    heading(second, "Overview")
    console.open("rooms")
    expect(console.page.get_by_text("No rooms yet")).to_be_visible()
    console.forgive("status of 401")


ASK_TWICE = """async () => {
  const main = document.querySelector("script[type=module]").src;
  const { call } = await import(new URL("api.js", main));
  const asked = await Promise.allSettled([1, 2].map(() => call("GET", "/console/api/overview")));
  return asked.map(({ status }) => status);
}"""


def test_all_that_is_asked_when_the_session_is_replaced_succeeds(visit: Visit, world: World) -> None:
    """The requests begin with the token of the old session. Whichever is refused first finds the new one, for both."""
    console = visit()
    console.page.goto(world.link("console-link", "maria"))
    heading(console.page, "Overview")
    # A page that asks for nothing by itself.
    console.open("no-such-page")
    heading(console.page, "No such page")
    second = console.context.new_page()
    second.goto(world.link("console-link", "maria"))
    second.get_by_role("button", name="Open the link").click()
    heading(second, "Overview")
    assert console.page.evaluate(ASK_TWICE) == ["fulfilled", "fulfilled"]
    console.forgive("status of 401")


def test_whoever_may_only_look_gets_no_buttons(visit: Visit, world: World) -> None:
    room = world.room("board-call", world.call("acW68", "527100001"))
    console = visit("vera")
    page = console.open(f"rooms/alpha/{room}")
    expect(page.get_by_text("view only")).to_be_visible()
    expect(page.locator(".member")).to_have_count(1)
    for name in ("Delete", "Play", "Stop", "Join"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    expect(page.locator(".member button")).to_have_count(0)
    console.open("nodes/acW68")
    expect(page.get_by_role("button", name="Drain")).to_have_count(0)
    console.open("webhooks/alpha")
    heading(page, "Webhooks")
    expect(page.get_by_role("button", name="New secret")).to_have_count(0)


def test_a_portal_is_cut_to_its_app(portal: Console, world: World) -> None:
    page = portal.page
    world.room("of-alpha", world.call("acW68", "527100001"))
    foreign = world.room("of-beta", world.call("acW68", "527100002", "beta"), app="beta")
    portal.open("rooms")
    expect(page.get_by_role("link", name="of-alpha")).to_be_visible()
    expect(page.get_by_text("of-beta")).to_have_count(0)
    expect(page.get_by_role("link", name="Nodes")).to_have_count(0)
    for address in ("nodes", "nodes/acW68", f"rooms/beta/{foreign}", "webhooks/beta"):
        portal.open(address)
        heading(page, "No such page")
    portal.open("log")
    expect(page.locator(".log tbody tr").first).to_be_visible()
    expect(page.locator(".log").get_by_text(foreign[11:19])).to_have_count(0)


def test_try_the_api(portal: Console, world: World) -> None:
    page = portal.open("try")
    page.get_by_label("What to do").select_option("POST /conferences")
    page.get_by_label("Body").fill('{"name": "tried-out"}')
    page.get_by_role("button", name="Send", exact=True).click()
    response = page.get_by_role("region", name="Response")
    expect(response.get_by_text("201", exact=True)).to_be_visible()
    expect(response.get_by_text("room_id")).to_be_visible()
    followed = page.get_by_role("region", name="Webhooks that followed").locator("summary")
    expect(followed).to_have_text(["conference.created"])
    assert [room["name"] for room in world.ask("GET", "/api/v1/conferences")["conferences"]] == ["tried-out"]
    page.get_by_label("What to do").select_option("DELETE /conferences/{room_id}")
    expect(page.get_by_label("Room")).to_have_count(1)
    page.get_by_role("button", name="Send", exact=True).click()
    expect(response.get_by_text("200", exact=True)).to_be_visible()
    expect(followed).to_have_text(["conference.destroyed"])


def test_the_colours_are_remembered(operator: Console) -> None:
    page = operator.open()
    page.get_by_role("button", name="Dark", exact=True).click()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 14, 17)"
    page.get_by_role("button", name="As the system has it").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)"
