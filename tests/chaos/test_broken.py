"""The bugs that a chaos run has to find can still be put in."""

from __future__ import annotations

import pytest

from controller.store import scripts
from tests.chaos.broken import BREAKS, altered


@pytest.mark.parametrize("name", [name for name, broken in BREAKS.items() if broken.lua])
def test_a_break_still_finds_its_texts(name: str) -> None:
    assert altered(BREAKS[name]).code != scripts.library().code
