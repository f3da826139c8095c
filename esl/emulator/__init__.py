"""A FreeSWITCH stand-in: the server side of the Event Socket, true to the traces of real nodes.

    node = Emulator(password="secret")
    node.start()
    call = node.call(to="747713001", caller_id_number="527121102", caller_id_name="Alice")

Everything happens on `node.clock`; with a `ManualClock` nothing happens until the test moves it.
"""

from esl.emulator.channel import Channel
from esl.emulator.clock import Clock, ManualClock
from esl.emulator.conference import Conference, Member
from esl.emulator.media import HttpMedia, Media, Sound, StaticMedia
from esl.emulator.node import Emulator
from esl.emulator.sip import Invite

__all__ = [
    "Channel",
    "Clock",
    "Conference",
    "Emulator",
    "HttpMedia",
    "Invite",
    "ManualClock",
    "Media",
    "Member",
    "Sound",
    "StaticMedia",
]
