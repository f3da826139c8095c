"""What must be true of the legs of rooms that span nodes, by what the nodes themselves have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class LegEnd:
    """A leg as one of its nodes has it: the conference that it is a member of, "" if none, and whether that node has
    dialled it.
    """

    room: str
    dialled: bool


Legs = Mapping[str, Mapping[str, LegEnd]]
"""By node and by the uuid of the leg's channel, which is the same on both nodes."""


def wrong_legs(legs: Legs, sources: Mapping[str, str], occupied: Mapping[str, set[str]]) -> list[str]:
    """`sources`: the source node of every room. `occupied`: the nodes with members of a room.

    Empty if every node with members has one leg to its room's source, and there is no other leg; but a node without
    members may have one still.
    """
    found, pairs = [], Counter[tuple[str, str]]()
    for leg in sorted({leg for there in legs.values() for leg in there}):
        ends = {prefix: there[leg] for prefix, there in legs.items() if leg in there}
        dialling = [prefix for prefix, end in ends.items() if end.dialled]
        taking = [prefix for prefix, end in ends.items() if not end.dialled]
        rooms = {end.room for end in ends.values()}
        room = rooms.pop()
        if rooms or len(dialling) != 1 or len(taking) != 1:
            found.append(f"leg {leg} has not one end each, in one room: {ends}")
        elif sources.get(room) != taking[0]:
            found.append(f"leg of {room} from {dialling[0]} to {taking[0]}, and its source is {sources.get(room)}")
        else:
            pairs[room, dialling[0]] += 1
    found += [f"{count} legs of {room} from {prefix}" for (room, prefix), count in pairs.items() if count > 1]
    return found + [
        f"no leg of {room} from {prefix} to {sources[room]}"
        for room, nodes in occupied.items()
        for prefix in sorted(nodes)
        if room in sources and prefix != sources[room] and (room, prefix) not in pairs
    ]


def unused_legs(legs: Legs, occupied: Mapping[str, set[str]]) -> list[str]:
    """Those of nodes without members, which go after a while."""
    return [
        f"a leg of {end.room} from {prefix}, where nobody is in it"
        for prefix, there in legs.items()
        for end in there.values()
        if end.dialled and prefix not in occupied.get(end.room, set())
    ]
