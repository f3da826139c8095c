"""A FreeSWITCH stand-in: the server side of the Event Socket, true to the traces of real nodes.

    node = Emulator(password="secret")
    node.start()
    call = node.call(to="747713001", caller_id_number="527121102", caller_id_name="Alice")

How it works: a call, a conference and a file that plays are plain objects without greenlets. Whatever they do later is
a timer on `node.clock`, so a faster clock makes a faster node, and with a `ManualClock` nothing happens until the test
moves it. Delays, headers and texts are those of the recorded traces, and numbers in comments name the trace.

Each module imports only those above it in this list. What it needs of the node it gets from the `Host` that it is
given: a protocol at its head, which `Node` fulfils.

    wire, clock, media, sip        bytes, time, sounds, and the variables that SIP leaves in a call
    recording                      files that are recorded
    channel, legs                  what all calls have in common, and the kinds of calls
    conference                     rooms, members, playback and recording
    node                           the calls and conferences of one node, and its events
    conference_api, api            the commands that a node executes, as tables
    server                         the connections of Event Socket clients
    emulator                       all of it, with what a test does to a node

It shares no code with the client in `esl`: a mistake that both made would not show.
"""

from esl.emulator.channel import Channel
from esl.emulator.clock import Clock, ManualClock
from esl.emulator.conference import Conference, Member
from esl.emulator.emulator import Emulator
from esl.emulator.media import HttpMedia, Media, Sound, StaticMedia
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
