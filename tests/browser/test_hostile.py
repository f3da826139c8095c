"""What callers and tenants choose is shown as the text that it is."""

from __future__ import annotations

from urllib.parse import quote

from playwright.sync_api import Page, expect

from tests.browser.conftest import Console, World
from tests.browser.steps import heading, is_live

CALLER = '<img src=x onerror="document.title=1">'
TAG = '</textarea><b onerror="document.title=1"><img src=x>'
URL = "http://127.0.0.1:9/<script>document.title=1</script>.wav"


def is_only_text(page: Page) -> None:
    assert page.locator("#app img, #app script, #app iframe, #app [onerror]").count() == 0
    assert page.title() != "1"


def test_hostile_names(operator: Console, world: World) -> None:
    session = world.call("acW68", CALLER)
    room = world.room("board-call", session)
    world.ask("PATCH", f"/api/v1/conferences/{room}", {"tags": [TAG]})
    world.ask("PATCH", f"/api/v1/conferences/{room}/members/{session}", {"tags": [TAG]})
    page = operator.open("sessions")
    expect(page.get_by_role("link", name=CALLER)).to_be_visible()
    is_only_text(page)
    page.get_by_role("link", name=CALLER).click()
    heading(page, CALLER)
    expect(page.get_by_label("Tags")).to_have_value(TAG)
    expect(page.locator(".facts").get_by_text(TAG)).to_be_visible()
    is_only_text(page)
    operator.open("rooms")
    expect(page.locator("td").get_by_text(TAG)).to_be_visible()
    is_only_text(page)
    operator.open(f"rooms/alpha/{room}")
    is_live(page)
    expect(page.locator(".page-head").get_by_text(TAG)).to_be_visible()
    expect(page.locator(".member").get_by_text(TAG)).to_be_visible()
    page.get_by_role("button", name="Options", exact=True).click()
    expect(page.get_by_label("Tags")).to_have_value(TAG)
    is_only_text(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".member").get_by_text(CALLER)).to_be_visible()
    page.get_by_label("Play audio").fill(URL)
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.locator(".moment").first).to_be_visible()
    page.locator(".member").get_by_role("button", name="Mute").click()
    expect(page.locator(".member").get_by_text("muted", exact=True)).to_be_visible()
    page.locator(".member").get_by_role("button", name="Take out").click()
    expect(page.get_by_role("dialog")).to_contain_text(CALLER)
    is_only_text(page)
    page.get_by_role("button", name="Cancel").click()
    for type_ in ("session.started", "conference.play.started"):
        operator.open(f"webhooks/alpha?type={type_}")
        page.get_by_role("link", name=type_).first.click()
        expect(page.get_by_role("region", name="Data")).to_contain_text("<")
        is_only_text(page)
    operator.open("log")
    expect(page.locator(".log tbody tr").first).to_be_visible()
    is_only_text(page)
    operator.forgive("status of 429")  # a cooldown, which the page waits out


def test_names_that_would_not_be_seen_or_show_as_another(operator: Console, world: World) -> None:
    names = {
        "\u202e1725": "\\u202e1725",
        "\u200b": "\\u200b",
        "5271\x07": "5271\\u0007",
        "\U000e0041": "\\udb40\\udc41",
    }
    sessions = [world.call("acW68", name) for name in names]
    page = operator.open("sessions")
    for shown in names.values():
        expect(page.get_by_role("link", name=shown, exact=True)).to_be_visible()
    room = world.room("board-call", *sessions)
    operator.open(f"rooms/alpha/{room}")
    for shown in names.values():
        expect(page.locator(".member").get_by_text(shown, exact=True)).to_be_visible()
    operator.open(f"sessions/alpha/{sessions[0]}")
    heading(page, "\\u202e1725")
    operator.open("try")
    page.get_by_label("What to do").select_option(label="List sessions")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("region", name="Response")).to_contain_text('"\\u202e1725"')


def test_hostile_addresses(operator: Console) -> None:
    page = operator.page
    for address in (
        quote(CALLER),
        f"rooms/{quote(CALLER)}/{quote(CALLER)}",
        "rooms/%E0%A4%A/x",
        f"log?type={quote(CALLER)}",
        "nodes/..%2f..%2fme",
    ):
        operator.open(address)
        expect(page.locator("main h1")).to_be_visible()
        is_only_text(page)
    operator.forgive("Failed to load resource")


def test_a_hostile_link(operator: Console) -> None:
    operator.page.goto(f"{operator.url}/console/#link={quote(CALLER)}")
    operator.page.get_by_role("button", name="Open the link").click()
    expect(operator.page.get_by_text("The link did not open the console")).to_be_visible()
    is_only_text(operator.page)
    operator.forgive("Failed to load resource")
