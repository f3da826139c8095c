"""docs/reliability.md and docs/security.md name a test for each promise: that test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
NAMED = re.compile(r"`((?:[\w/]+/)?test_\w+\.py)?(?:::(test_\w+))?`")


def missing(text: str) -> list[str]:
    """A name that begins with `::` is in the file named before it."""
    files = {path.name: path for path in (PROJECT / "tests").rglob("test_*.py")}
    lost, file = [], ""
    for path, test in (found.groups() for found in NAMED.finditer(text)):
        file = Path(path).name if path else file
        at = files.get(file)
        moved = path and "/" in path and not (PROJECT / path).exists()
        if at is None or moved or (test and f"def {test}(" not in at.read_text()):
            lost.append(f"{path or file}::{test}")
    return lost


@pytest.mark.parametrize("name", ["reliability.md", "security.md"])
def test_every_test_that_a_promise_names_is_there(name: str) -> None:
    text = (PROJECT / "docs" / name).read_text()
    assert len(NAMED.findall(text)) > 30
    assert missing(text) == []


def test_a_name_that_is_wrong_is_found() -> None:
    assert missing("`tests/e2e/test_link.py`") == ["tests/e2e/test_link.py::None"]
    assert missing("`test_link.py` `::test_nothing_of_the_kind`") == ["test_link.py::test_nothing_of_the_kind"]
