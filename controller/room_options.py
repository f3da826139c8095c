"""What an app may say of a room when it creates it, and change later: one row for each.

From a row come an option's bounds, its description, and what the store keeps. Its fields in commands, schemas and
webhooks are written by hand. What it does is in the store's scripts (`lib/room_options.lua`).
"""

from __future__ import annotations

from dataclasses import dataclass

DAY_SECONDS = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """`name`: the field, in the store too. `most`: its largest value, and 1 the least; 0 for one that is on or off.

    A number is None while it is not limited.
    """

    name: str
    description: str
    most: int = 0
    example: int | bool | None = None

    @property
    def is_switch(self) -> bool:
        return self.most == 0


OPTIONS = (
    Option(
        name="max_members",
        description="How many sessions may be in the room, those that are joining among them. `null`: any number.",
        most=100_000,
        example=50,
    ),
    Option(
        name="locked",
        description="Whether nobody may join any more. Who is in the room stays.",
        example=False,
    ),
    Option(
        name="end_when_empty",
        description="After how many seconds without a session in it the room is deleted. `null`: it stays.",
        most=30 * DAY_SECONDS,
        example=600,
    ),
    Option(
        name="max_duration",
        description="How many seconds after the first member joined the room is deleted. `null`: it stays.",
        most=30 * DAY_SECONDS,
        example=None,
    ),
)
