"""What an app may dial: the forms of numbers and patterns, and which number a pattern permits."""

from __future__ import annotations

import pytest

from controller.sessions.dialing import CAUSES, FAILURES, NUMBER, OTHER_CAUSE, PATTERN, matches


@pytest.mark.parametrize("number", ["112", "+4930123456", "00493012345", "12", "1" * 15, "+" + "1" * 15])
def test_a_number(number: str) -> None:
    assert NUMBER.fullmatch(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "+",
        "1",
        "+1",
        "1" * 16,
        "++49",
        "49+",
        "+49 30",
        "+49-30",
        "+49a",
        "+49\n",
        "\n+49",
        "+49*",
        "+٤٩٣٠",
        "+４９",
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert not NUMBER.fullmatch(text)


@pytest.mark.parametrize("pattern", ["+4930*", "+4*", "112", "1*", "+4930123456"])
def test_a_pattern(pattern: str) -> None:
    assert PATTERN.fullmatch(pattern)


@pytest.mark.parametrize(
    "text", ["", "*", "+", "+*", "*49", "+4*9*", "+49**", ".*", "^+49", "+49[0-9]*", "+49?", "+49\n", "+49*\n"]
)
def test_what_is_no_pattern(text: str) -> None:
    assert not PATTERN.fullmatch(text)


@pytest.mark.parametrize(
    ("pattern", "number", "is_permitted"),
    [
        ("+4930*", "+49301", True),
        ("+4930*", "+4930123456", True),
        ("+4930*", "+4930", False),
        ("+4930*", "+4931", False),
        ("+4930*", "4930123456", False),
        ("+4930*", "004930123456", False),
        ("+4930*", "1+493012", False),
        ("112", "112", True),
        ("112", "1120", False),
        ("112", "0112", False),
        ("1*", "+1", False),
    ],
)
def test_what_a_pattern_permits(pattern: str, number: str, is_permitted: bool) -> None:
    assert matches(pattern, number) == is_permitted


def test_every_word_has_its_meaning() -> None:
    assert set(CAUSES.values()) | {"node_unreachable", "node_lost", OTHER_CAUSE} == set(FAILURES)
