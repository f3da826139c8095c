"""What several tests do and look for on pages."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()


def is_live(page: Page) -> None:
    expect(page.locator(".connection[data-state=live]:visible")).to_be_visible()


def member(page: Page, caller_id: str) -> Locator:
    return page.locator(".member").filter(has_text=caller_id)


def told(page: Page, text: str) -> None:
    expect(page.locator(".toast").filter(has_text=text)).to_be_visible()


def confirm(page: Page, verb: str) -> None:
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name=verb).click()
    expect(dialog).to_have_count(0)
