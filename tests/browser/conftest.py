"""A real browser on a real console. Whatever it reports, an error or a breach of the policy for content, fails the test."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Nothing here asks anything of the network but the console.
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
DESKTOP = {"width": 1360, "height": 900}
PHONE = {"width": 390, "height": 844}
PASSWORD = "correct horse battery"
MAX_WAIT_MS = 30_000
expect.set_options(timeout=MAX_WAIT_MS)


BROWSER = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


def pytest_sessionstart() -> None:
    if BROWSER is None:
        pytest.exit("no Chromium on this machine: apt install chromium, or name one by CHROMIUM", returncode=0)


class World:
    """Asks the process that has the `world.World`: `world.call("acW68", "5271")`."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser", str(folder)],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started = self.start()
        self.url: str = started["url"]
        self.tone: str = started["tone"]

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def ask(*arguments: Any, **named: Any) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([method, arguments, named]) + "\n")
            self._process.stdin.flush()
            reply = json.loads(self._process.stdout.readline())
            assert "failed" not in reply, reply["failed"]
            return reply["returned"]

        return ask

    def link(self, *command: str) -> str:
        """The URL that a command prints: `console-link maria`, `app portal-link alpha`."""
        url: str = json.loads(self.run(*command, "--json"))["url"]
        return url

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


class Console:
    """A page of the console in a browser of its own."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.context = context
        self.problems: list[str] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))

    def _said(self, message: ConsoleMessage) -> None:
        # That nobody is logged in yet is asked of the server, and a browser reports the 401.
        expected = message.location["url"].endswith("/console/api/me")
        if message.type in ("error", "warning") and not expected:
            self.problems.append(f"{message.type}: {message.text}")

    def forgive(self, *texts: str) -> None:
        """Errors with one of these texts are expected: a browser reports whatever the server refuses, say."""
        self.problems[:] = [problem for problem in self.problems if not any(text in problem for text in texts)]

    def open(self, address: str = "") -> Page:
        """Goes to a page of the console: `rooms`, `log?kind=command`."""
        self.page.goto(f"{self.url}/console/#/{address}")
        return self.page

    def check_access(self) -> None:
        """Raises AssertionError for what keeps people out."""
        found = Axe().run(self.page, options={"resultTypes": ["violations"]}).response["violations"]
        told = [f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']]}" for each in found]
        assert not told, "\n".join(told)

    def check_width(self) -> None:
        """Raises AssertionError if the page is wider than the screen."""
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), self.page.url

    def screenshot(self, name: str, **options: Any) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", **options)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    world.run("operator", "add", "maria", SWITCHROOM_OPERATOR_PASSWORD=PASSWORD)
    world.run("operator", "add", "vera", "--role", "view", SWITCHROOM_OPERATOR_PASSWORD=PASSWORD)
    yield world
    world.end()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    """Each test begins without calls and rooms."""
    yield
    world.clear()


Visit = Callable[..., Console]


@pytest.fixture(scope="session")
def cookies(browser: Browser, world: World) -> dict[str, Any]:
    """What a browser keeps of a login, by operator or app: opened by a link once, used by all tests."""
    kept: dict[str, Any] = {"": None}
    commands = {
        "maria": ("console-link", "maria"),
        "vera": ("console-link", "vera"),
        "alpha": ("app", "portal-link", "alpha"),
    }
    for who, command in commands.items():
        context = browser.new_context()
        page = context.new_page()
        page.goto(world.link(*command))
        expect(page.get_by_role("heading", name="Overview", level=1)).to_be_visible()
        kept[who] = context.storage_state()
        context.close()
    return kept


@pytest.fixture
def visit(browser: Browser, world: World, cookies: dict[str, Any]) -> Iterator[Visit]:
    """Opens a browser on the console for the operator maria, for vera, who may only look, for the portal of alpha, or for
    nobody. What it reports fails the test.
    """
    opened: list[Console] = []

    def visit(who: str = "", phone: bool = False, dark: bool = False) -> Console:
        context = browser.new_context(
            storage_state=cookies[who],
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        context.set_default_timeout(MAX_WAIT_MS)
        opened.append(Console(context, world.url))
        return opened[-1]

    yield visit
    problems = [problem for console in opened for problem in console.problems]
    for console in opened:
        console.context.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def operator(visit: Visit) -> Console:
    return visit("maria")


@pytest.fixture
def portal(visit: Visit) -> Console:
    return visit("alpha")
