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
    """`name`: the field in lists, webhooks and the store. `is_what`: what a member with it is. `cooldown`: the group
    that both changes share.

    `header`, `ability`: a member has the flag when the node says `said` in this header of `add-member` (trace 03), or
    for this ability in `json_list` (trace 09). `joins`: whether a session has the flag when it joins; None if it cannot
    join with it. `waits`: one of its changes is refused until the node has confirmed or refused the other, since the
    node would not always keep their order.
    """

    name: str
    is_what: str
    cooldown: str
    on: Change
    off: Change
    header: str
    ability: str
    said: bool = False
    joins: bool | None = False
    waits: bool = False

    def refusals(self, on: bool) -> tuple[str, ...]:
        """Why a change of it is refused."""
        opposite = (self.change(not on).refused_pending,) if self.waits else ()
        playing = ("already_playing",) if self.waits and on else ()
        return (*self.change(on).refusals, *opposite, *playing)

    def change(self, on: bool) -> Change:
        return self.on if on else self.off


FLAGS = (
    Flag(
        name="muted",
        is_what="muted",
        cooldown="conference_mute",
        on=Change(command="mute", summary="Mute a member.", done="muted", action="mute-member"),
        off=Change(command="unmute", summary="Unmute a member.", done="unmuted", action="unmute-member"),
        header="Speak",
        ability="can_speak",
        joins=True,
    ),
    Flag(
        name="deaf",
        is_what="deaf",
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
    # Of a member on hold the node's lists say of no other flag what it is (trace 33).
    Flag(
        name="hold",
        is_what="on hold",
        cooldown="conference_hold",
        on=Change(
            command="hold",
            summary="Put a member on hold: it is not heard, and hears music or nothing.",
            done="held",
            action="hold-member",
        ),
        off=Change(command="unhold", summary="Take a member off hold.", done="unheld", action="unhold-member"),
        header="Hold",
        ability="hold",
        said=True,
        joins=None,
        waits=True,
    ),
)
HOLD = FLAGS[-1]
# Those that a session may join with.
JOINING = tuple(flag for flag in FLAGS if flag.joins is not None)

# Every way in which a member can be changed: the flag, and whether it is turned on.
CHANGES = tuple((flag, on) for flag in FLAGS for on in (True, False))
