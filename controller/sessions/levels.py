"""The levels of a member of a room: how loud it is to the others, and the room to it. One row for each.

From a row come what is sent to the media node, which of its events is read, and the fields in the store. Only its field
in answers and in the API's schemas, and its verb in `esl.commands`, are written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """`name`: the field in lists, webhooks and the store, the node's in `json_list`, and its verb in
    `conference ROOM <name> MEMBER LEVEL`. `direction`: in the API. `action`: of FreeSWITCH's event. A member joins with
    0 (trace 23).
    """

    name: str
    direction: str
    action: str


LEVELS = (
    Level(name="volume_in", direction="in", action="volume-in-member"),
    Level(name="volume_out", direction="out", action="volume-out-member"),
)

# What all of them share: the webhook, and the group of cooldowns.
WEBHOOK = "conference.member.volume_changed"
COOLDOWN = "conference_volume"
# How FreeSWITCH multiplies the samples, by level (switch_change_sln_volume), in dB; 0 leaves them as they are.
DECIBELS = {-4: -14.0, -3: -8.0, -2: -4.4, -1: -1.9, 0: 0.0, 1: 2.3, 2: 7.2, 3: 10.4, 4: 12.7}
MIN_LEVEL, *_, MAX_LEVEL = DECIBELS
