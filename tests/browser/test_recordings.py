"""Recordings: begun on the page of a room, paused, ended, listened to and deleted on their own."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Console, World
from tests.browser.steps import confirm, heading, is_live, told

ALICE = "527100061"
HAVE_ENOUGH_DATA = 4  # as a media element says


def test_a_recording_from_its_beginning_to_its_end(world: World, operator: Console) -> None:
    room = world.room("recorded-call", world.call("acW68", ALICE))
    page = operator.open(f"rooms/alpha/{room}")
    is_live(page)
    page.get_by_role("button", name="Record", exact=True).click()
    told(page, "It is being recorded")
    expect(page.get_by_text("recorded", exact=True)).to_be_visible()
    page.get_by_role("button", name="Pause recording").click()
    expect(page.get_by_text("recording paused")).to_be_visible()
    page.get_by_role("button", name="Resume recording").click()
    expect(page.get_by_text("recorded", exact=True)).to_be_visible()
    operator.check_width()
    operator.open(f"recordings?app=alpha&room={room}")
    heading(page, "Recordings")
    is_live(page)
    row = page.get_by_role("row").filter(has_text=re.compile("recording|paused|available|stor|stopping"))
    row.get_by_role("button", name="Pause").click()
    expect(row.get_by_text("paused", exact=True)).to_be_visible()
    row.get_by_role("button", name="Resume").click()
    expect(row.get_by_role("button", name="Pause")).to_be_visible()
    row.get_by_role("button", name="Stop").click()
    expect(row.get_by_text("available", exact=True)).to_be_visible()
    row.get_by_role("button", name="Listen").click()
    player = page.get_by_role("dialog").locator("audio")
    expect(player).to_have_attribute("src", re.compile("^/console/api/recordings/alpha/.*/content[?]key="))
    expect(player).to_have_js_property("readyState", HAVE_ENOUGH_DATA)
    assert player.evaluate("(audio) => audio.duration > 0 && audio.seekable.end(0) === audio.duration")
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("link", name="Download").click()
    assert download.value.path().read_bytes()[:4] == b"RIFF"
    operator.check_access()
    operator.screenshot("recording")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    row.get_by_role("button", name="Delete the recording").click()
    confirm(page, "Delete")
    expect(page.get_by_text("No recordings")).to_be_visible()
    operator.forgive("status of 429")


def test_a_portal_sees_its_recordings(world: World, portal: Console) -> None:
    session = world.call("acW68", ALICE)
    page = portal.open(f"sessions/alpha/{session}")
    is_live(page)
    page.get_by_role("button", name="Record", exact=True).click()
    told(page, "It is being recorded")
    page.get_by_role("button", name="Stop recording").click()
    expect(page.get_by_role("button", name="Record", exact=True)).to_be_visible()
    portal.open(f"recordings?session={session}")
    expect(page.get_by_text("available", exact=True)).to_be_visible()
    portal.check_width()
    portal.check_access()
    portal.forgive("status of 404")
