"""All of it without a pointer."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import PASSWORD, Console, Visit, World
from tests.browser.steps import heading, is_live, member

MAX_STEPS = 80


# The name of an element that a screen reader says.
NAME = "(e => (e.ariaLabel || e.labels?.[0]?.innerText || e.innerText || '').trim())"
ALL = "document.querySelectorAll('a, button, input, select, textarea')"


def focused(page: Page) -> str:
    """The name of what has the focus."""
    name: str = page.evaluate(f"{NAME}(document.activeElement)")
    return name


def gets_focus(page: Page, name: str) -> None:
    page.wait_for_function(f"name => {NAME}(document.activeElement) === name", arg=name)


def reach(page: Page, name: str) -> None:
    """Press Tab until it has the focus, which can be seen."""
    page.wait_for_function(f"name => [...{ALL}].some(each => {NAME}(each).startsWith(name))", arg=name)
    for _ in range(MAX_STEPS):
        if focused(page).startswith(name):
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"the focus on {name} cannot be seen"
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no Tab leads to {name}")


def test_keyboard_only(visit: Visit, world: World) -> None:
    room = world.room("board-call", world.call("acW68", "527100001"))
    console = visit()
    page = console.open()
    reach(page, "Name")
    page.keyboard.type("maria")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    heading(page, "Overview")
    reach(page, "Rooms")
    page.keyboard.press("Enter")
    heading(page, "Rooms")
    gets_focus(page, "Rooms")
    reach(page, "board-call")
    page.keyboard.press("Enter")
    heading(page, "board-call")
    is_live(page)
    reach(page, "Options")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    reach(page, "Tags")
    page.keyboard.type("staff")
    reach(page, "Change")
    page.keyboard.press("Enter")
    gets_focus(page, "Options")
    expect(page.locator(".page-head").get_by_text("staff")).to_be_visible()
    reach(page, "Mute: 527100001")
    page.keyboard.press("Enter")
    expect(member(page, "527100001").get_by_text("muted", exact=True)).to_be_visible()
    # Nor is the focus lost while a command is pending.
    assert focused(page) == "Unmute: 527100001"
    reach(page, "Take out: 527100001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    # Back where it was.
    gets_focus(page, "Take out: 527100001")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    reach(page, "Take out")
    page.keyboard.press("Enter")
    expect(member(page, "527100001")).to_have_count(0)
    assert world.ask("GET", f"/api/v1/conferences/{room}")["members"] == 0
    console.forgive("status of 429")  # a cooldown, which the page waits out


def test_the_volume_by_keys(operator: Console, world: World) -> None:
    room = world.room("board-call", world.call("acW68", "527100001"))
    page = operator.open(f"rooms/alpha/{room}")
    is_live(page)
    reach(page, "Volume")
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    world.received("conference.play.volume_changed", "room_id", room)
    expect(page.get_by_role("status", name="Pending")).to_have_count(0)
    assert focused(page) == "Volume"
    page.keyboard.press("ArrowRight")
    expect(page.locator("output")).to_have_text("-4")
    world.volume(room, -4)
    operator.forgive("status of 429")  # a cooldown, which the page waits out


def test_the_menu_can_be_skipped(operator: Console) -> None:
    page = operator.open("rooms")
    heading(page, "Rooms")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    gets_focus(page, "Skip to the content")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('main') !== null")
