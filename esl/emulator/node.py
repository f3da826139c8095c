"""What a FreeSWITCH node is to its calls and conferences: their place, their clock, and where their events go."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Sequence
from itertools import count
from typing import Protocol
from weakref import WeakValueDictionary

from gevent.event import Event as Flag

from esl.emulator import sip
from esl.emulator.channel import Channel
from esl.emulator.clock import AnyClock
from esl.emulator.conference import Conference
from esl.emulator.legs import Fate, InboundCall, OutboundCall, SipCall, connect
from esl.emulator.listing import channel_row
from esl.emulator.media import Media, Sound, list_of
from esl.emulator.sources import FIRED_AT
from esl.emulator.wire import Event, Headers, split, split_params, time_headers

CACHED_TIME = 20_000  # microseconds: the node stamps events with a time that it looks up every 20 ms
# Seconds by which `show channels` lags behind what calls do and behind their end: all of it reaches the node's database
# by one queue. In trace 09 a call is listed 150 ms after its creation, and another, 89 ms old, is not.
DATABASE_LAG = 0.12
CONFERENCE_EVENTS = "conference::maintenance"

MODULES = (
    "mod_commands mod_conference mod_console mod_dialplan_xml mod_dptools mod_event_socket mod_http_cache"
    " mod_local_stream mod_logfile mod_loopback mod_native_file mod_shout mod_sndfile mod_sofia mod_tone_stream"
)

# As `freeswitch-conf/vars.xml` sets them. `esl.guards` holds the same to check real nodes, but a mistake there must not
# reach the emulator, so they are spelled again.
GLOBAL_VARIABLES = {
    "execute_on_sip_barge": "hangup CALL_REJECTED",
    "intercept_unanswered_only": "true",
    "sip_replaces_a-leg": "true",
    "disable_rtp_auto_adjust": "true",
}

# What the dialplan does with a number: a room of another node is joined, everything else is answered and parked.
DIALPLAN = (
    (re.compile(r"^conf-(.+)$"), "conference"),
    (re.compile(r"^(.*)$"), "park"),
)

# What lets another node's leg in: the global variable of an announcement, and its value.
LEG = re.compile(r"switchroom_leg_[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ANNOUNCED = re.compile(r"\w[\w.-]*@\w[\w.-]*", re.ASCII)

_reachable: WeakValueDictionary[sip.Address, Node] = WeakValueDictionary()


class Listener(Protocol):
    """Who is offered the events that it subscribed to."""

    def subscribed(self, name: str, subclass: str | None) -> bool: ...

    def offer(self, event: Event) -> None: ...


class Node:
    """The calls of a node by UUID, its conferences by name, and what both need.

    `addresses` are those of its SIP profiles by name. Nodes of one process reach each other there.
    """

    def __init__(
        self, clock: AnyClock, media: Media, profile: str, sip_address: sip.Address, bridge_address: sip.Address
    ) -> None:
        self.clock = clock
        self.media = media
        self.addresses = {
            sip.INTERNAL.name: sip_address,
            sip.PUBLIC.name: sip_address,
            sip.BRIDGE.name: bridge_address,
        }
        # By the address of each: what becomes of a call to a number, which sees the second number.
        self.gateways: dict[str, Callable[[str, str], Fate]] = {}
        self.reachable = False
        self.profiles = {profile}
        self.default_profile = profile
        self.modules: set[str] = set(MODULES.split())
        self.hostname: str = "emulator"
        self.prefix = ""
        self.variables = dict(GLOBAL_VARIABLES)
        self.domain = "cluecon.com"
        self.database_lag = DATABASE_LAG
        # Seconds: so often it looks for events to send to a listener that sends nothing. 0: they leave at once.
        self.looks_every = 0.0
        self.ipv4, self.ipv6 = "192.0.2.2", "fd00::2"
        self.sounds = "/usr/share/freeswitch/sounds"
        self.recordings = "/var/lib/freeswitch/recordings"
        # By their paths, the files that it has recorded. They outlive its process, but not more can be written if it
        # `is_full`.
        self.files: dict[str, bytes] = {}
        self.is_full = False
        self.listeners: Sequence[Listener] = ()
        self._signal = Flag()
        self._boot()

    def _boot(self) -> None:
        """Forget everything that does not outlive a process."""
        self.core_uuid = str(uuid.uuid4())
        self.booted = self.clock.now()
        self.channels: dict[str, Channel] = {}
        self.conferences: dict[str, Conference] = {}
        self.rows: dict[str, dict[str, str]] = {}
        self.sessions_so_far = self.members_so_far = 0
        self._sequence = count(1)
        self._media_ports = count(30000, 2)

    def reboot(self) -> None:
        """A new process: no calls, a new Core-UUID, member ids from 1."""
        for channel in self.channels.values():
            channel.abandon_recordings()
            channel.forget()
        for conference in self.conferences.values():
            conference.abandon()
        self.variables = {name: value for name, value in self.variables.items() if not LEG.match(name)}
        self._boot()

    @property
    def globals(self) -> dict[str, str]:
        """The node's global variables."""
        return {
            "hostname": self.hostname,
            "local_ip_v4": self.ipv4,
            "local_ip_v6": self.ipv6,
            "domain": self.domain,
            "core_uuid": self.core_uuid,
            "sounds_dir": self.sounds,
            "recordings_dir": self.recordings,
            "switchroom_prefix": self.prefix,
            **self.variables,
        }

    def wait_for(self, predicate: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until `predicate()` is true, looking whenever the node's state may have changed. TimeoutError if not."""
        deadline = time.monotonic() + timeout
        while not predicate():
            signal = self._signal
            if not signal.wait(deadline - time.monotonic()) and not predicate():
                raise TimeoutError(f"not so within {timeout} s")

    # Its parts call these

    def changed(self) -> None:
        """Wake whoever waits for a state."""
        signal, self._signal = self._signal, Flag()
        signal.set()

    def micros(self) -> int:
        """The node's time in microseconds since the epoch, as it stamps events: looked up every 20 ms."""
        return int(self.clock.now() * 1_000_000) // CACHED_TIME * CACHED_TIME

    def emit(
        self,
        name: str,
        headers: Headers,
        *,
        subclass: str | None = None,
        body: str | None = None,
        source: str | None = None,
    ) -> None:
        """Fire an event: number it, and offer it to every listener that subscribed to its kind."""
        sequence = next(self._sequence)
        listeners = [listener for listener in self.listeners if listener.subscribed(name, subclass)]
        if listeners:
            file, function, line = FIRED_AT.get(source or name, ("", "", "0"))
            preamble = [
                *([("Event-Subclass", subclass)] if subclass else []),
                ("Event-Name", name),
                ("Core-UUID", self.core_uuid),
                ("FreeSWITCH-Hostname", self.hostname),
                ("FreeSWITCH-Switchname", self.hostname),
                ("FreeSWITCH-IPv4", self.ipv4),
                ("FreeSWITCH-IPv6", self.ipv6),
                *time_headers(self.micros()),
                ("Event-Calling-File", file),
                ("Event-Calling-Function", function),
                ("Event-Calling-Line-Number", line),
                ("Event-Sequence", str(sequence)),
            ]
            event = Event(name, preamble + headers, body)
            for listener in listeners:
                listener.offer(event)
        self.changed()

    def emit_conference(self, action: str, headers: Headers, source: str | None = None) -> None:
        self.emit("CUSTOM", headers, subclass=CONFERENCE_EVENTS, source=source or action)

    def fetch(self, file: str) -> Sound | None:
        """Get a file to play, which may take the calling greenlet a while."""
        _, url = split_params(file)
        sound = self.media.fetch(url)
        if sound and sound.download_seconds:
            self.clock.sleep(sound.download_seconds)
        return sound

    def fetch_next(self, names: list[str]) -> tuple[str, Sound] | None:
        """The next file of a list (`file_string://A!B`) that can be played; those before it are passed over."""
        while names:
            name = names.pop(0)
            sound = self.fetch(name) if name else None
            self.emit_of_list("open" if sound else "fail", name)
            if sound:
                return name, sound
        return None

    def length_of(self, file: str) -> float | None:
        """Seconds of a file or a list of files, all of it fetched before; None if nothing of it can be played."""
        _, url = split_params(file)
        found = [self.fetch(name) for name in list_of(url) or [url] if name]
        lengths = [sound.duration for sound in found if sound]
        return sum(lengths) if lengths else None

    def emit_of_list(self, what: str, name: str) -> None:
        subclass = f"filestring::{what}"
        self.emit("CUSTOM", [("File", name)] if name else [], subclass=subclass, source=subclass)

    # Calls

    def accept_calls(self) -> None:
        """Be reachable for other emulated nodes."""
        self.reachable = True
        for address in self.addresses.values():
            _reachable[address] = self

    def refuse_calls(self) -> None:
        """Be cut off from other emulated nodes: calls between them break unless it is reachable again in time."""
        self.reachable = False
        for address in self.addresses.values():
            if _reachable.get(address) is self:
                del _reachable[address]
        for call in self.channels.values():
            if isinstance(call, SipCall) and call.far:
                call.starve()
                call.far.starve()

    def receive(self, invite: sip.Invite, far: OutboundCall | None = None) -> InboundCall:
        """An INVITE comes in, from outside or from another emulated node."""
        call = InboundCall(self, invite, far)
        other = self._call_of(invite.replaces)
        if other:
            a_leg = (self.variables | call.variables).get("sip_replaces_a-leg") == "true"
            call.ask_for(other, invite.replaces, listens="Call-Info" in invite.headers, a_leg=a_leg)
        call.create()
        if other:
            call.route_inline()
        else:
            call.route()
        return call

    def _call_of(self, name: str) -> Channel | None:
        """The call with that uuid or SIP Call-ID."""
        named = (call for call in self.channels.values() if name in (call.uuid, call.variables.get("sip_call_id")))
        return next(named, None)

    def call_outside(self, gateway: sip.Address, number: str, caller: str) -> Fate:
        """Nobody is at an address that is none of a gateway."""
        ask = self.gateways.get(str(gateway))
        return ask(number, caller) if ask else 503

    def peer(self, address: sip.Address) -> Node | None:
        """The emulated node that takes SIP calls at an address."""
        return _reachable.get(address)

    def address_of(self, profile: sip.Profile) -> sip.Address:
        return self.addresses[profile.name]

    def announced(self, leg: str) -> str:
        """The `ROOM@PROFILE` for which a leg is announced, once; empty for what is not, or not in that form."""
        name = f"switchroom_leg_{leg}"
        if not LEG.fullmatch(name) or not ANNOUNCED.fullmatch(self.variables.get(name, "")):
            return ""
        return self.variables.pop(name)

    def dialplan(self, number: str) -> tuple[tuple[str, str], list[tuple[str, str]]]:
        """What a number matched, and the applications for it."""
        for pattern, app in DIALPLAN:
            found = pattern.match(number)
            if found:
                data = f"{found[1]}@{self.default_profile}" if app == "conference" else ""
                return (number, found[1]), [("answer", ""), (app, data)]
        return (number, ""), [("park", "")]

    def next_session(self) -> int:
        self.sessions_so_far += 1
        return self.sessions_so_far

    def local_media(self) -> sip.LocalMedia:
        return sip.LocalMedia(self.addresses[sip.INTERNAL.name].ip, next(self._media_ports))

    def add_channel(self, channel: Channel) -> None:
        self.channels[channel.uuid] = channel

    def remove_channel(self, channel: Channel) -> None:
        self.channels.pop(channel.uuid, None)
        self.clock.call_later(self.database_lag, lambda: self.rows.pop(channel.uuid, None))

    def show(self, channel: Channel) -> None:
        """Let `show channels` know of a call's present state, a while later."""
        row = channel_row(channel, self.hostname)
        self.clock.call_later(self.database_lag, lambda: self._store(channel, row))

    def _store(self, channel: Channel, row: dict[str, str]) -> None:
        if self.channels.get(channel.uuid) is channel:
            self.rows[channel.uuid] = row

    # Conferences

    def next_member_id(self) -> int:
        self.members_so_far += 1
        return self.members_so_far

    def enter_conference(self, channel: Channel, data: str) -> None:
        """The conference application: `NAME@PROFILE+flags{mute|deaf|...}`. An unknown profile is no profile."""
        rest, _, flags = data.partition("+flags{")
        name, _, profile = rest.partition("+")[0].rpartition("@") if "@" in rest else (rest.partition("+")[0], "", "")
        given = set(split(flags.rstrip("}"), "|"))
        profile = profile or "default"
        conference = self.conferences.get(name)
        if conference and conference.locked:
            channel.next_app()
            return
        if conference is None:
            conference = Conference(self, name, profile if profile in self.profiles else "none")
            self.conferences[name] = conference
        conference.add(channel, muted="mute" in given, deaf="deaf" in given)

    def connect(self, channel: Channel, data: str) -> None:
        """The bridge application: `{...}sofia/PROFILE/NUMBER@GATEWAY`."""
        connect(self, channel, data)

    def remove_conference(self, conference: Conference) -> None:
        if self.conferences.get(conference.name) is conference:
            del self.conferences[conference.name]
