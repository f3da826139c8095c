"""The streams of the console's pages, when nothing comes."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Visit

SILENT = """async () => {
  const main = document.querySelector("script[type=module]").src;
  const { follow } = await import(new URL("stream.js", main));
  window.asked = 0;
  window.told = [];
  window.fetch = (path, { signal }) => new Promise((_, fail) => {
    asked += 1;
    signal.addEventListener("abort", () => fail(signal.reason));
  });
  follow("/silent", {}, () => {}, (state, reason) => told.push(`${state} ${reason}`));
}"""


def test_a_silent_stream_is_given_up_and_asked_for_once_more(visit: Visit) -> None:
    page = visit().open()
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    page.clock.install()
    page.evaluate(SILENT)
    page.clock.run_for(48_000)
    assert page.evaluate("[asked, ...told]") == [2, "connecting ", "lost The connection has fallen silent."]
