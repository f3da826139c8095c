"""The rate of a node's rooms, as its worker reads it from what the node prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.nodes.node_worker import read_rate
from esl.commands import LocateConfiguration
from esl.emulator import Emulator

# What FreeSWITCH 1.11.1 with `freeswitch-conf/` prints for LocateConfiguration("conference.conf").
PRINTED = (Path(__file__).parent / "conference.conf.txt").read_text()


@pytest.mark.parametrize(("profile", "rate"), [("default", 8000), ("wideband", 48000)])
def test_of_a_node_with_freeswitch_conf(profile: str, rate: int) -> None:
    assert read_rate(PRINTED, profile) == rate


@pytest.mark.parametrize(
    ("says", "rate"), [("16000", 16000), ("auto", 48000)], ids=["a number", "that of the first member"]
)
def test_of_a_profile_that_is_set_otherwise(says: str, rate: int) -> None:
    assert read_rate(PRINTED.replace('"48000"', f'"{says}"'), "wideband") == rate


def test_of_a_profile_that_does_not_say() -> None:
    """The rate of the next profile is not its own."""
    silent = PRINTED.replace('<param name="rate" value="8000"></param>', "")
    assert silent != PRINTED
    assert read_rate(silent, "default") == 8000


@pytest.mark.parametrize("printed", [PRINTED, "can't find anything\n", "-ERR", ""])
def test_of_a_profile_that_is_not_there(printed: str) -> None:
    assert read_rate(printed, "narrow") == 8000


def test_the_emulator_prints_what_a_node_does() -> None:
    """Of its one profile."""
    head, profile, rest = PRINTED.partition('        <profile name="wideband">')
    printed = head + rest.partition("</profile>\n\n")[2]
    assert profile
    name, _, argument = LocateConfiguration("conference.conf").render().partition(" ")
    emulator = Emulator(password="any")
    assert emulator.execute(name, argument) == printed
    assert emulator.execute(name, argument.replace("conference", "nothing")) == "can't find anything\n"
