"""The flags of a member of a room, such as muted: one row for each.

From a row come the flag's commands, what is sent to the media node, which of its events are read, the webhooks, the
refusals and the fields in the store. Only its field in answers and in the API's schemas, and its verbs in
`esl.commands`, are written by hand.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One way of changing a flag.

    `command`: in the API, and FreeSWITCH's verb in `conference ROOM <command> MEMBER`. `summary`: what it does, for the
    API's documentation. `done`: what the member is then; ends the name of the webhook, and is the status of an accepted
    command. `action`: of FreeSWITCH's event.
    """

    command: str
    summary: str
    done: str
    action: str

    @property
    def webhook(self) -> str:
        return f"conference.member.{self.done}"

    @property
    def refused_already(self) -> str:
        """Why it is refused when the member is so."""
        return f"already_{self.done}"

    @property
    def refused_pending(self) -> str:
        """Why it is refused when the same was asked, and the node has not confirmed it yet."""
        return f"{self.command}_pending"

    @property
    def refusals(self) -> tuple[str, str]:
        return self.refused_already, self.refused_pending


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """`name`: the field in lists, webhooks and the store. `cooldown`: the group that both changes share.

    `header`, `ability`: a member has the flag when the node says `false` in this header of `add-member` (trace 03), or
    for this ability in `json_list` (trace 09). `joins`: whether a session has the flag when it joins.
    """

    name: str
    cooldown: str
    on: Change
    off: Change
    header: str
    ability: str
    joins: bool = False

    def change(self, on: bool) -> Change:
        return self.on if on else self.off


FLAGS = (
    Flag(
        name="muted",
        cooldown="conference_mute",
        on=Change(command="mute", summary="Mute a member.", done="muted", action="mute-member"),
        off=Change(command="unmute", summary="Unmute a member.", done="unmuted", action="unmute-member"),
        header="Speak",
        ability="can_speak",
        joins=True,
    ),
    Flag(
        name="deaf",
        cooldown="conference_deaf",
        on=Change(
            command="deaf",
            summary="Make a member deaf: it hears nothing of the room.",
            done="deafened",
            action="deaf-member",
        ),
        off=Change(
            command="undeaf",
            summary="Let a member hear again.",
            done="undeafened",
            action="undeaf-member",
        ),
        header="Hear",
        ability="can_hear",
    ),
)

# Every way in which a member can be changed: the flag, and whether it is turned on.
CHANGES = tuple((flag, on) for flag in FLAGS for on in (True, False))
