"""What may be asked of the controller: a class each, in the imperative. `Controller.execute` carries them out."""

from controller.commands.base import Command, Page, SessionCommand
from controller.commands.playback import Play, Playback, SetVolume, StopPlayback, TogglePause
from controller.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom, GetRoom, ListMembers, ListRooms, SetFlagOfAll
from controller.commands.sessions import (
    GetSession,
    HangUp,
    Join,
    Kick,
    Leave,
    ListSessions,
    Membership,
    Session,
    SetFlag,
)
from controller.commands.webhooks import (
    Delivery,
    GetDelivery,
    GetEndpoint,
    ListDeliveries,
    Redeliver,
    RedeliverRange,
    RotateSecret,
    SendTest,
    SetEndpoint,
)

__all__ = [
    "ChangeRoom",
    "Command",
    "CreateRoom",
    "DeleteRoom",
    "Delivery",
    "GetDelivery",
    "GetEndpoint",
    "GetRoom",
    "GetSession",
    "HangUp",
    "Join",
    "Kick",
    "Leave",
    "ListDeliveries",
    "ListMembers",
    "ListRooms",
    "ListSessions",
    "Membership",
    "Page",
    "Play",
    "Playback",
    "Redeliver",
    "RedeliverRange",
    "RotateSecret",
    "SendTest",
    "Session",
    "SessionCommand",
    "SetEndpoint",
    "SetFlag",
    "SetFlagOfAll",
    "SetVolume",
    "StopPlayback",
    "TogglePause",
]
