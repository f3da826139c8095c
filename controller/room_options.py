"""What an app may say of a room when it creates it, and change later: one row for each.

From a row come an option's bounds, its description, and what the store keeps. Its fields in commands, schemas and
webhooks are written by hand. What it does is in the store's scripts (`lib/room_options.lua`).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from controller.limits import MAX_TAG_LENGTH, MAX_TAGS

DAY_SECONDS = 86400
BEEPS = ("tone",)


class Kind(StrEnum):
    NUMBER = "number"  # None while it is not limited
    SWITCH = "switch"  # on or off
    TEXTS = "texts"  # a list, which the store has as JSON
    ROLE = "role"  # one of `states.ROLES`, or None
    URL = "url"  # of a sound, or None
    BEEP = "beep"  # one of BEEPS, the URL of a sound, or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """`name`: the field, in the store too. `most`: the largest value of a number, and 1 the least."""

    name: str
    kind: Kind
    description: str
    most: int = 0
    example: Any = None


OPTIONS = (
    Option(
        name="max_members",
        kind=Kind.NUMBER,
        description="How many sessions may be in the room, those that are joining among them. `null`: any number.",
        most=100_000,
        example=50,
    ),
    Option(
        name="locked",
        kind=Kind.SWITCH,
        description="Whether nobody may join any more. Who is in the room stays.",
        example=False,
    ),
    Option(
        name="end_when_empty",
        kind=Kind.NUMBER,
        description="After how many seconds without a session in it the room is deleted. `null`: it stays.",
        most=30 * DAY_SECONDS,
        example=600,
    ),
    Option(
        name="max_duration",
        kind=Kind.NUMBER,
        description="How many seconds after the first member joined the room is deleted. `null`: it stays.",
        most=30 * DAY_SECONDS,
        example=None,
    ),
    Option(
        name="tags",
        kind=Kind.TEXTS,
        description=f"Up to {MAX_TAGS} different texts, each of 1 to {MAX_TAG_LENGTH} printable characters, by which"
        " rooms are found.",
        example=["support"],
    ),
    Option(
        name="end_on_exit",
        kind=Kind.ROLE,
        description="The role of which the last member takes the room along: once it has left, the room is deleted."
        " `null`: it stays.",
        example="moderator",
    ),
    Option(
        name="wait_for_moderator",
        kind=Kind.SWITCH,
        description="Whether those who join wait on hold until the first moderator is there.",
        example=False,
    ),
    Option(
        name="hold_music",
        kind=Kind.URL,
        description="Of the music that they hear meanwhile, 20 times over. `null`: that of the media node, or nothing.",
        example=None,
    ),
    Option(
        name="beep_enter",
        kind=Kind.BEEP,
        description="What all members hear when one comes: a `tone`, the sound at a URL, or nothing (`null`).",
        example="tone",
    ),
    Option(
        name="beep_exit",
        kind=Kind.BEEP,
        description="The same when one goes.",
        example="tone",
    ),
    Option(
        name="record",
        kind=Kind.SWITCH,
        description="Whether the room is recorded whenever somebody is in it.",
        example=False,
    ),
    Option(
        name="speaker_events",
        kind=Kind.SWITCH,
        description="Whether `conference.speaker.changed`, and `speaking` of members, tell who speaks.",
        example=False,
    ),
)
