"""Every page in light, dark and on a phone: nothing keeps people out, nothing is wider than the screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Console, Visit, World

LOOKS = {"light": {}, "dark": {"dark": True}, "phone": {"phone": True}}
# The longest, too, without a space in it.
TAGS = ["support", "Berlin, Mitte", "x" * 64]
CALLERS = ("527121101", "527121102", "527121103")


@pytest.fixture
def addresses(world: World) -> dict[str, str]:
    """Every page of an operator by a name, with something to see on each."""
    sessions = [world.call("acW68", caller) for caller in CALLERS]
    room = world.room("weekly-standup", *sessions, world.call("fra02", "527121104"))
    world.ask(
        "PATCH", f"/api/v1/conferences/{room}", {"tags": TAGS, "end_on_exit": "moderator", "speaker_events": True}
    )
    member = f"/api/v1/conferences/{room}/members/{sessions[0]}"
    world.ask("PATCH", member, {"muted": True, "hold": True, "role": "moderator", "tags": TAGS})
    world.received("conference.member.held", "uuid", sessions[0])
    world.call("acW68", "527121105")
    recording = world.ask("POST", f"/api/v1/conferences/{room}/commands/record")["recording_id"]
    world.received("conference.recording.started", "recording_id", recording)
    world.ask("POST", f"/api/v1/conferences/{room}/play", {"urls": [world.tone]})
    world.received("conference.play.started", "room_id", room)
    (delivery,) = world.ask("GET", "/api/v1/webhooks/deliveries?limit=1&type=conference.created")["deliveries"]
    return {
        "overview": "",
        "rooms": "rooms",
        "room": f"rooms/alpha/{room}",
        "sessions": "sessions",
        "session": f"sessions/alpha/{sessions[0]}",
        "recordings": "recordings?app=alpha",
        "nodes": "nodes",
        "node": "nodes/acW68",
        "endpoints": "webhooks",
        "webhooks": "webhooks/alpha",
        "delivery": f"webhooks/alpha/{delivery['webhook_id']}",
        "log": "log",
        "try": "try",
    }


def is_loaded(page: Page) -> None:
    expect(page.locator("main h1")).to_have_count(1)
    expect(page.locator(".skeleton")).to_have_count(0)
    expect(page.locator(".problem")).to_have_count(0)


def look(console: Console, name: str, address: str) -> None:
    console.open(address)
    is_loaded(console.page)
    console.check_width()
    console.check_access()
    console.screenshot(name)


@pytest.mark.parametrize("how", LOOKS)
def test_pages_of_an_operator(how: str, visit: Visit, addresses: dict[str, str]) -> None:
    console = visit("maria", **LOOKS[how])
    for name, address in addresses.items():
        look(console, f"{name}-{how}", address)


def test_pages_of_a_portal(portal: Console, addresses: dict[str, str]) -> None:
    # The others are an operator's.
    for name in ("overview", "room", "webhooks", "log", "try"):
        look(portal, f"portal-{name}", addresses[name])


def test_a_caller_s_number_is_one_line_on_a_phone(visit: Visit, addresses: dict[str, str]) -> None:
    page = visit("maria", phone=True).open("sessions")
    is_loaded(page)
    callers = page.locator("td .caller")
    expect(callers.first).to_be_visible()
    for caller in callers.all():
        lines = caller.evaluate("e => e.getClientRects()[0].height / parseFloat(getComputedStyle(e).lineHeight)")
        assert round(lines) == 1


@pytest.mark.parametrize("how", LOOKS)
def test_login(how: str, visit: Visit) -> None:
    console = visit(**LOOKS[how])
    console.open()
    expect(console.page.get_by_role("button", name="Log in")).to_be_visible()
    console.check_width()
    console.check_access()
    console.screenshot(f"login-{how}")


def _ask_to_delete(page: Page) -> None:
    page.get_by_role("button", name="Delete").click()


def _ask_for_a_range(page: Page) -> None:
    page.get_by_role("button", name="Redeliver failed").click()


def _ask_for_a_room(page: Page) -> None:
    page.get_by_role("button", name="New room").click()


@pytest.mark.parametrize(
    ("name", "of", "ask"),
    [
        ("delete", "room", _ask_to_delete),
        ("range", "webhooks", _ask_for_a_range),
        ("new-room", "rooms", _ask_for_a_room),
    ],
)
def test_dialogs(name: str, of: str, ask: Callable[[Page], None], operator: Console, addresses: dict[str, str]) -> None:
    page = operator.open(addresses[of])
    is_loaded(page)
    ask(page)
    expect(page.get_by_role("dialog")).to_be_visible()
    operator.check_access()
    operator.screenshot(f"dialog-{name}")


def test_the_menu_on_a_phone(visit: Visit) -> None:
    console = visit("maria", phone=True)
    page = console.open()
    expect(page.get_by_role("link", name="Sessions", exact=True)).to_have_count(0)
    page.get_by_role("button", name="Menu").click()
    expect(page.get_by_role("link", name="Sessions", exact=True)).to_be_visible()
    console.check_access()
    console.screenshot("menu-phone")
    page.get_by_role("link", name="Sessions", exact=True).click()
    expect(page.get_by_role("heading", name="Sessions", level=1)).to_be_visible()
    expect(page.get_by_role("link", name="Nodes", exact=True)).to_have_count(0)
