"""What an app may dial: the forms of numbers and patterns, and which number a pattern permits."""

from __future__ import annotations

import pytest

from controller.sessions.dialing import CAUSES, DESTINATION, FAILURES, NUMBER, OTHER_CAUSE, PATTERN, matches, parse_uri


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


@pytest.mark.parametrize(
    "uri",
    [
        "sip:anna@pbx.example.com",
        "sip:+4930.a_b-C@3com.example:5062",
        "sip:1@192.0.2.7:65535",
        f"sip:{'a' * 64}@xn--bcher-kva.example",
    ],
)
def test_a_uri(uri: str) -> None:
    assert DESTINATION.fullmatch(uri)
    assert not NUMBER.fullmatch(uri)
    assert parse_uri(uri) == tuple(uri[4:].split("@"))


def test_a_number_is_no_uri() -> None:
    assert DESTINATION.fullmatch("+4930123456")
    assert parse_uri("+4930123456") is None


@pytest.mark.parametrize(
    "pattern",
    ["+4930*", "+4*", "112", "1*", "+4930123456", "sip:*@a.example", "sip:+49*@192.0.2.7:5062", "sip:anna@a.example"],
)
def test_a_pattern(pattern: str) -> None:
    assert PATTERN.fullmatch(pattern)


@pytest.mark.parametrize(
    "text", ["", "*", "+", "+*", "*49", "+4*9*", "+49**", ".*", "^+49", "+49[0-9]*", "+49?", "+49\n", "+49*\n",
        "sip:*", "sip:*@*", "sip:a@*.example", "sip:**@a.example", "sip:*a@a.example", "sip:a*@a.example:*", "sip:@a.example", "sip:*@A.example",
        "sips:*@a.example", "*@a.example", "sip:*@localhost", "sip:*@a.example;x", "sip:a@a.example*"],
)  # fmt: skip
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
        ("1*", "sip:1@a.example", False),
        ("sip:*@a.example", "sip:anna@a.example", True),
        ("sip:*@a.example", "sip:anna@a.example:5060", False),
        ("sip:*@a.example:5060", "sip:anna@a.example", False),
        ("sip:*@a.example", "sip:anna@b.a.example", False),
        ("sip:*@a.example", "sip:anna@ba.example", False),
        ("sip:*@a.example", "+4930", False),
        ("sip:+49*@a.example", "sip:+4930@a.example", True),
        ("sip:+49*@a.example", "sip:+49@a.example", False),
        ("sip:+49*@a.example", "sip:4930@a.example", False),
        ("sip:anna@a.example", "sip:anna@a.example", True),
        ("sip:anna@a.example", "sip:Anna@a.example", False),
        ("sip:anna@a.example", "sip:anna1@a.example", False),
    ],
)
def test_what_a_pattern_permits(pattern: str, number: str, is_permitted: bool) -> None:
    assert matches(pattern, number) == is_permitted


def test_every_word_has_its_meaning() -> None:
    assert set(CAUSES.values()) | {"node_unreachable", "node_lost", OTHER_CAUSE} == set(FAILURES)
