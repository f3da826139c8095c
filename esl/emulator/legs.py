"""The kinds of calls: a SIP call in, a SIP call out to another emulated node, and the two legs of a loopback.

A call between two emulated nodes is a channel on each, `far` of each other, and carries packets as long as both nodes
are reachable. A node that has none for as long as the variable `media_timeout` says hangs up (21).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol

from esl.emulator import channel, sip
from esl.emulator.channel import ACK_DELAY, CODECS, SESSION_LAG, CallerProfile, Channel
from esl.emulator.media import generated
from esl.emulator.wire import atoi, split_params

READ_AHEAD = 32768  # samples by which the node reads a generated tone
SAMPLES_PER_SECOND = 8000
LEG_ACK_DELAY = 0.005  # seconds to the ACK of another node, which comes when the leg has joined (19)
FRAME = 0.020  # seconds from an answer or a refusal to what `originate` makes of it
TIMEOUT_LAG = 0.04  # seconds by which a media timeout is late (21)
LEG_BYE_DELAY = 0.02  # seconds until the other node has done as a BYE says (19)

RING_TIME = 0.1  # seconds until somebody answers

DIALLED = re.compile(r"sofia/(?P<profile>[^/]+)/(?P<user>[^@]+)@(?P<ip>[^:;]+)(?::(?P<port>\d+))?(?:;transport=\w+)?")

# What becomes of a call to a number: somebody answers, nobody does, or the status with which it is refused.
Fate = Literal["answers", "rings"] | int
NOBODY = 503  # sofia's own response if there is none
CANCEL_LAG = 0.0005  # seconds from a uuid_kill to the end of a call that rings


def _first_variables(call: Channel) -> sip.Variables:
    direction = call.profile.direction
    return [
        ("direction", direction),
        ("is_outbound", "true" if direction == "outbound" else None),
        ("uuid", call.uuid),
        ("call_uuid", call.uuid),
        ("session_id", str(call.node.next_session())),
    ]


class Host(channel.Host, Protocol):
    """What a SIP call asks of its node."""

    ipv4: str
    reachable: bool

    def address_of(self, profile: sip.Profile) -> sip.Address: ...

    def local_media(self) -> sip.LocalMedia: ...

    def peer(self, address: sip.Address) -> Host | None: ...

    def receive(self, invite: sip.Invite, far: OutboundCall) -> InboundCall: ...

    def announced(self, leg: str) -> str: ...

    def call_outside(self, gateway: sip.Address, number: str, caller: str) -> Fate:
        """What a gateway does with a call."""


class SipCall(Channel):
    """A SIP call, in or out. `far` is its other end, if that is on another emulated node."""

    node: Host
    invite: sip.Invite
    local: sip.LocalMedia
    far: SipCall | None = None

    @property
    def address(self) -> sip.Address:
        """The node's own end."""
        return self.node.address_of(self.invite.profile)

    @property
    def connected(self) -> bool:
        """Whether packets cross between the two ends."""
        far = self.far
        if far is None or far.node.channels.get(far.uuid) is not far:
            return False
        return self.node.reachable and far.node.reachable

    def starve(self) -> None:
        """One of the two nodes has gone: notice it, unless it comes back in time."""
        timeout = atoi(self.variables.get("media_timeout", ""))
        if timeout:
            self.later(timeout / 1000 + TIMEOUT_LAG, self._give_up)

    def _give_up(self) -> None:
        if not self.connected:
            self.end("MEDIA_TIMEOUT")

    def hears(self, audible: bool) -> None:
        if self.far:
            self.far.sound(audible)

    def hang_up_far_end(self) -> None:
        if self.far and self.answered and self.connected and not self.ended_from_outside:
            self.far.hang_up(self.hangup_cause or "")

    def hang_up(self, cause: str) -> None:
        """The other node hangs up."""
        if self.invite.profile is sip.INTERNAL:
            self.end(cause, received=True)
        else:
            self.later(LEG_BYE_DELAY, lambda: self.end(cause, received=True))

    def farewell(self) -> sip.Variables:
        return sip.bye_received(self.invite.from_freeswitch, self.hangup_cause or "") if self.ended_from_outside else []

    def closing(self) -> sip.Variables:
        return [("sip_hangup_disposition", None if self.ended_from_outside else "send_bye"), *sip.statistics()]


class InboundCall(SipCall):
    """A SIP call that has come in."""

    def __init__(self, node: Host, invite: sip.Invite, far: OutboundCall | None = None) -> None:
        name = f"sofia/{invite.profile.name}/{invite.from_uri}"
        leg = invite.profile is sip.BRIDGE
        caller_name = invite.user if leg else ""
        profile = CallerProfile(
            direction="inbound",
            destination=invite.to,
            source="mod_sofia",
            username=invite.user,
            dialplan="XML",
            name=invite.display or caller_name,
            number=invite.user,
            orig_name=invite.display or caller_name,
            orig_number=invite.user,
            network_addr=invite.source.ip,
            context=invite.profile.context,
        )
        # Of a leg, the Call-ID is the channel's uuid as well.
        super().__init__(node, name, profile, invite.profile.codec, invite.call_id if leg else None)
        self.invite, self.far = invite, far
        self.local = node.local_media()
        self.set(*_first_variables(self), *sip.received(invite, self.address, str(self.created), name))

    def route(self) -> None:
        if self.invite.profile is sip.BRIDGE:
            self.let_in(self.node.announced(self.uuid))
        else:
            super().route()

    def let_in(self, announced: str) -> None:
        """As `freeswitch-conf/dialplan/bridge.xml` has it: into the room that is announced, `ROOM@PROFILE`."""
        if not announced:
            self.set(("call_uuid", self.uuid))
            self.end("NO_ROUTE_DESTINATION")
            return
        room, _, profile = announced.partition("@")
        self.set(("DP_MATCH", f"ARRAY::{announced}|:{room}|:{profile}"))
        settings = [("set", "media_timeout=3000"), ("set", "conference_join_energy_level=0")]
        self.execute([*settings, ("answer", ""), ("conference", f"{announced}+flags{{nomoh}}")])

    def answer(self) -> None:
        self.set(*sip.answered(self.invite, self.local))
        super().answer()

    def after_answer(self) -> None:
        if self.invite.ack == "answered":
            self.acknowledge()
        elif self.invite.ack == "later":
            self.later(ACK_DELAY if self.invite.profile is sip.INTERNAL else LEG_ACK_DELAY, self.acknowledge)

    def before_park(self) -> None:
        if self.invite.ack == "parking":
            self.acknowledge()

    def acknowledge(self) -> None:
        """The caller's ACK arrives."""
        self.set(*sip.acknowledged(self.invite, self.address, self.local))

    def closing(self) -> sip.Variables:
        return super().closing() if self.answered else [("sip_hangup_disposition", "send_refuse")]


class OutboundCall(SipCall):
    """A SIP call that the node makes. It reaches other emulated nodes of this process only."""

    def __init__(
        self,
        node: Host,
        sip_profile: sip.Profile,
        user: str,
        target: sip.Address,
        caller: tuple[str, str],
        variables: sip.Variables,
    ) -> None:
        """`caller`: name and number. `variables`: what the call is given, in that order."""
        name, number = caller
        given = {key: value for key, value in variables if value is not None}
        profile = CallerProfile(
            direction="outbound",
            destination=user,
            source="src/switch_ivr_originate.c",
            name=name,
            number=number,
            orig_name=name,
            orig_number=number,
            callee_name="Outbound Call",
            callee_number=user,
            context="default",
        )
        channel_name = f"sofia/{sip_profile.name}/{user}@{target}"
        super().__init__(node, channel_name, profile, sip_profile.codec, given.get("origination_uuid"))
        self.has_media = False
        self.target = target
        self.local = node.local_media()
        leg = sip_profile is sip.BRIDGE
        address = node.address_of(sip_profile)
        self.invite = sip.Invite(
            to=user,
            user=number,
            display=name,
            source=address,
            headers={key[6:]: value for key, value in given.items() if key.startswith("sip_h_")},
            call_id=self.uuid if leg else str(uuid.uuid4()),
            media_port=self.local.port,
            sdp=self.local.sdp(*sip_profile.codecs, dtmf_events=True, mode=""),
            cseq=str(sip.number(9)),
            from_freeswitch=True,
            profile=sip_profile,
            connection_port=30000 + sip.number(4) if leg else 0,
        )
        self.set(
            *_first_variables(self),
            *sip.dialled(self.invite, address, target, channel_name),
            *variables,
            *sip.offered(
                self.invite, address, target, self.local, early_media=given.get("ignore_early_media") != "true"
            ),
        )

    def dial(self) -> str:
        """Send the INVITE. The cause if it is refused, or nobody is there to take it; else nothing."""
        self.create()
        remote = self.node.peer(self.target) if self.node.reachable else None
        cause = "NORMAL_TEMPORARY_FAILURE"
        # A node that has a channel of that uuid takes no other.
        if remote and self.invite.call_id not in remote.channels:
            far = remote.receive(self.invite, self)
            if far.hangup_cause is None:
                self.far = far
                return ""
            cause = far.hangup_cause
            self.profile = replace(self.profile, network_addr=self.target.ip)
        self.set(*sip.refused(self.invite, self.address, self.target if remote else None, cause))
        return cause

    def answer(self) -> None:
        """The far end has answered."""
        if self.far is None:
            raise RuntimeError("nobody was dialled")
        remote = self.far
        self.has_media = True
        self.running = self.requested = "CS_CONSUME_MEDIA"
        user = self.profile.destination
        self.profile = replace(self.profile, callee_name=user, network_addr=self.target.ip)
        self.set(*sip.accepted(self.invite, self.address, self.target, self.local, remote.local, remote.node.ipv4))
        super().answer()

    def closing(self) -> sip.Variables:
        return super().closing() if self.answered else []


class DialledCall(OutboundCall):
    """A SIP call that the node makes to a number, by a gateway, which need not be there."""

    def __init__(
        self, node: Host, number: str, gateway: sip.Address, caller: tuple[str, str], variables: sip.Variables
    ) -> None:
        super().__init__(node, sip.PUBLIC, number, gateway, caller, variables)
        # As the node keeps what it has dialled.
        escaped = number.replace("+", "%2B")
        self.name = f"sofia/{sip.PUBLIC.name}/{escaped}@{gateway}"
        self.profile = replace(self.profile, destination=escaped)
        self.first_profile, self.listed_destination = self.profile, escaped
        self.fate: Fate = NOBODY
        self.gateway = sip.Gateway(gateway)

    def dial(self) -> str:
        """Send the INVITE. The cause if it is refused; else nothing, and whoever is called may answer later."""
        self.create()
        self.node.show(self)
        self.fate = self.node.call_outside(self.target, self.invite.to, self.invite.user)
        if self.fate == NOBODY:
            self.set(*sip.refused(self.invite, self.address, None, "NORMAL_TEMPORARY_FAILURE"))
            return "NORMAL_TEMPORARY_FAILURE"
        if isinstance(self.fate, int):
            self.profile = replace(self.profile, network_addr=self.target.ip)
            self.set(*self.gateway.refused(self.invite, self.address, self.fate))
            return sip.REFUSED_CALLS[self.fate][1]
        self.running = self.requested = "CS_CONSUME_MEDIA"
        self.profile = replace(self.profile, network_addr=self.target.ip)
        self.progressed = self.node.micros()
        self.set(*self.gateway.replied(self.invite, self.address))
        self.emit("CHANNEL_PROGRESS")
        self.call_state = "RINGING"
        if self.fate == "answers":
            self.later(RING_TIME, self.answer)
        return ""

    def answer(self) -> None:
        self.has_media = True
        self.set(*self.gateway.accepted(self.invite, self.local))
        Channel.answer(self)
        app, _, data = self.variables.get("execute_on_answer", "").partition(":")
        if app == "sched_hangup":
            self.later(atoi(data), lambda: self.end("ALLOTTED_TIMEOUT"))

    def transfer(self, destination: str, dialplan: str = "XML", context: str = "") -> None:
        super().transfer(destination, dialplan, context)
        self.profile = replace(self.profile, logical_direction="inbound")

    def listed_party(self) -> dict[str, str]:
        if not self.answered:
            return {}
        callee = {"callee_name": self.invite.display, "callee_num": self.invite.user}
        return {**callee, "callee_direction": "RECV", "call_uuid": self.uuid}

    def farewell(self) -> sip.Variables:
        return sip.bye_received(False, self.hangup_cause or "") if self.ended_from_outside else []

    def kill(self, cause: str) -> None:
        """One that is not answered ends at once (28)."""
        if self.answered:
            super().kill(cause)
        else:
            self.later(CANCEL_LAG, lambda: self.end(cause))

    def closing(self) -> sip.Variables:
        if self.answered or (isinstance(self.fate, int) and self.fate != sip.REDIRECT):
            return super().closing()
        # It rang, or was redirected.
        return [
            ("sip_hangup_disposition", "send_cancel"),
            ("sip_invite_failure_status", "487"),
            ("sip_invite_failure_phrase", "CANCEL"),
        ]


class TransferCall(DialledCall):
    """A call to a number to which another one, `caller`, is transferred."""

    passes_cause_on = True

    def __init__(self, node: Host, dialled: re.Match[str], variables: Mapping[str, str], caller: Channel) -> None:
        number, gateway = dialled["user"], sip.Address(dialled["ip"], int(dialled["port"] or 5060))
        shown = (variables.get("origination_caller_id_name", ""), variables.get("origination_caller_id_number", ""))
        super().__init__(node, number, gateway, shown, list(variables.items()))
        was = caller.profile
        self.name = self.name.replace(sip.PUBLIC.name, dialled["profile"], 1)
        self.profile = replace(
            self.profile,
            username=was.username,
            dialplan=was.dialplan,
            orig_name=was.orig_name,
            orig_number=was.orig_number,
            source=was.source,
            context=was.context,
            network_addr=was.network_addr,
        )
        self.first_profile = self.profile
        self.joined_to = caller
        self.originator = [("Other-Type", "originator")]
        listed = caller.party(replace(was, index=0, created=0, transfer_source=""))
        self.originator += [(f"Other-Leg-{name}", value) for name, value in listed]
        self.set(("call_uuid", caller.uuid))

    def answer(self) -> None:
        super().answer()
        self.call_state = "ACTIVE"
        app, _, self.app_data = self.variables.get("execute_on_answer", "").partition(":")
        self.app = app
        self.node.show(self)

    def listed_party(self) -> dict[str, str]:
        caller = self.joined_to
        party = {
            "callee_name": "Outbound Call",
            "callee_num": self.invite.to,
            "call_uuid": caller.uuid if caller else "",
        }
        if self.answered:
            sent = {"sent_callee_name": self.invite.display, "sent_callee_num": self.invite.user}
            return {**party, "callee_direction": "SEND", **sent}
        codec = (f"{way}_{what}" for way in ("read", "write") for what in ("codec", "rate", "bit_rate"))
        return {**party, "accountcode": "", **dict.fromkeys(codec, "")}


def connect(node: Host, call: Channel, data: str) -> None:
    """Connect a call with a number, or go on to its next application (38, 39)."""
    variables, dial = split_params(data)
    dialled = DIALLED.fullmatch(dial)
    if not dialled:
        call.next_app()
        return
    other = TransferCall(node, dialled, variables, call)
    give_up_at = int(node.clock.now()) + atoi(variables.get("originate_timeout", "60"))
    call.set(("originate_signal_bond", other.uuid))
    call.calling = other
    cause = other.dial()
    call.push("originated_legs", f"{other.uuid};Outbound Call;{other.invite.to}")
    if not cause:
        call.call_state, call.read_codec, call.progressed = "RING_WAIT", "L16", other.progressed
        call.profile = replace(call.profile, callee_name="Outbound Call", callee_number=other.invite.to)
        node.show(call)
        node.show(other)

    def look() -> None:
        if call.calling is not other:
            return
        ended = cause or other.hangup_cause
        if not ended and not other.answered and node.clock.now() >= give_up_at:
            ended = "NO_ANSWER"
        if ended:
            _not_connected(call, other, ended)
        elif other.answered:
            call.later(FRAME, lambda: _connected(call, other))
        else:
            call.later(FRAME, look)

    call.later(FRAME, look)


def _not_connected(call: Channel, other: TransferCall, cause: str) -> None:
    other.joined_to = None
    has_given_up = other.hangup_cause is None
    refusal, proto = other.variables, other.variables.get("proto_specific_hangup_cause")
    if not other.progressed:
        status, phrase = refusal.get("sip_invite_failure_status"), refusal.get("sip_invite_failure_phrase")
        call.set(("sip_invite_failure_status", status), ("sip_invite_failure_phrase", phrase))
        call.set(("sip_hangup_phrase", phrase))
    if has_given_up:
        other.end(cause)
        call.stop_ringing()
    call.set(("last_bridge_hangup_cause", cause), ("last_bridge_proto_specific_hangup_cause", proto))
    call.not_connected(other, cause)
    call.next_app()


def _connected(call: Channel, other: TransferCall) -> None:
    if other.hangup_cause:
        _not_connected(call, other, other.hangup_cause)
        return
    call.variables.pop("originate_signal_bond", None)
    flows = {"video_media_flow": "inactive", "text_media_flow": "inactive", "audio_media_flow": "sendrecv"}
    call.set(("switch_m_sdp", other.gateway.sdp()), *flows.items())
    call.stop_ringing()
    call.set(("originate_disposition", "SUCCESS"), ("DIALSTATUS", "SUCCESS"))
    call.push("originate_causes", f"{other.uuid};NONE")
    call.set(("signal_bond", other.uuid))
    call.bridged = other.bridged = call.node.micros()
    other.running = "CS_EXCHANGE_MEDIA"
    listed = replace(other.profile, index=0, logical_direction="inbound")
    times = (other.created, other.answered, 0, other.progressed, 0)
    call.originator = [("Other-Type", "originatee")]
    call.originator += [(f"Other-Leg-{name}", value) for name, value in other.party(listed, times)]
    call.joined_to = other
    call.node.show(call)
    call.node.show(other)
    call.emit("CHANNEL_BRIDGE", ("Bridge-A-Unique-ID", call.uuid), ("Bridge-B-Unique-ID", other.uuid))
    call.set(
        ("last_bridge_to", other.uuid),
        ("bridge_channel", other.name),
        ("bridge_uuid", other.uuid),
        ("signal_bond", other.uuid),
        ("last_sent_callee_id_name", "Outbound Call"),
        ("last_sent_callee_id_number", other.invite.to),
    )


class LoopbackLeg(Channel):
    """One leg of `loopback/NUMBER/CONTEXT`: `a` runs what `originate` was given, `b` goes through the dialplan."""

    leave_lag = SESSION_LAG  # (16)

    def __init__(self, node: channel.Host, leg: str, number: str, context: str, variables: Mapping[str, str]) -> None:
        caller = variables.get("origination_caller_id_number", "")
        profile = CallerProfile(
            direction="outbound" if leg == "a" else "inbound",
            destination=number,
            source="mod_loopback",
            dialplan="xml",
            number=caller,
            orig_number=caller,
            callee_name="Outbound Call",
            callee_number=context,
            context=context,
        )
        super().__init__(node, f"loopback/{number}-{leg}", profile, "L16", variables.get("origination_uuid"))
        self.leg = leg
        self.other: LoopbackLeg = self
        self.given = dict(variables)

    def join(self, other: LoopbackLeg) -> None:
        """Make the two legs one call. The variables come now, as they name the other leg."""
        self.other = other
        name = ("channel_name", self.name)
        rate = CODECS[self.codec][0]
        codecs = [
            ("read_codec", self.codec),
            ("read_rate", rate),
            ("write_codec", self.codec),
            ("write_rate", rate),
        ]
        originate = [("originate_early_media", "true"), ("originate_endpoint", "loopback")]
        self.set(
            *_first_variables(self),
            *([*codecs, name] if self.leg == "a" else [name, *codecs]),
            *self.given.items(),
            *(originate if self.leg == "a" else []),
            ("other_loopback_leg_uuid", other.uuid),
            ("loopback_leg", self.leg.upper()),
        )

    def answer(self) -> None:
        if self.leg == "a":
            self.running = self.requested = "CS_CONSUME_MEDIA"
        super().answer()

    def run(self, app: str, data: str) -> None:
        """Run the application that `originate` was given. A tone that it plays is the sound of the other leg, silence
        is none (23).
        """
        self.take_over(app, data)
        sound = generated(data) if app == "playback" else None
        if sound and not data.startswith("silence_stream:"):
            self.other.sound(True)
            self.other.later(sound.duration, lambda: self.other.sound(False))

    def legs(self) -> list[Channel]:
        return [self, self.other] if self.leg == "a" else [self.other, self]

    def farewell(self) -> sip.Variables:
        if self.app != "playback":
            return []
        played = (self.node.micros() - self.answered) * SAMPLES_PER_SECOND // 1_000_000
        read = -(-played // READ_AHEAD) * READ_AHEAD
        return [
            ("playback_last_offset_pos", str(played)),
            ("playback_seconds", str(read // SAMPLES_PER_SECOND)),
            ("playback_ms", str(read * 1000 // SAMPLES_PER_SECOND)),
            ("playback_samples", str(read)),
            ("current_application_response", "PLAYBACK ERROR"),
        ]

    def closing(self) -> sip.Variables:
        return [("is_loopback", "1")]


def originate(node: Host, dial: str, variables: Mapping[str, str], application: str) -> Channel | str:
    """`originate {...}ENDPOINT/... &APP(DATA)`: the channel, or the cause why there is none.

    ENDPOINT: `loopback/NUMBER[/CONTEXT]`, whose a leg it is, or `sofia/PROFILE/USER@HOST:PORT`, which takes its while.
    PROFILE is `bridge` for another node, and else that of callers: then USER is a number, and a gateway is there.
    """
    app = re.match(r"&(\w+)(?:\(([^)]*))?", application)
    if app is None:
        return "CHAN_NOT_IMPLEMENTED"
    dialled = DIALLED.fullmatch(dial)
    if dialled and dialled["profile"] == sip.BRIDGE.name:
        return _dial(node, dialled, variables, app)
    if dialled and dialled["profile"] in (sip.PUBLIC.name, sip.INTERNAL.name):
        return _dial_outside(node, dialled, variables, app)
    endpoint, _, rest = dial.partition("/")
    number, _, context = rest.partition("/")
    if endpoint != "loopback" or not number:
        return "CHAN_NOT_IMPLEMENTED"
    a = LoopbackLeg(node, "a", number, context or "default", variables)
    b = LoopbackLeg(
        node,
        "b",
        number,
        context or "default",
        {k: v for k, v in variables.items() if k != "origination_uuid"},
    )
    a.join(b)
    b.join(a)
    a.create()
    b.create()
    a.answer()
    b.route()
    a.run(app[1], app[2] or "")
    return a


def _dial(node: Host, dialled: re.Match[str], variables: Mapping[str, str], app: re.Match[str]) -> Channel | str:
    if variables.get("origination_uuid") in node.channels:
        return "DESTINATION_OUT_OF_ORDER"
    target = sip.Address(dialled["ip"], int(dialled["port"] or sip.BRIDGE_PORT))
    caller = (variables.get("origination_caller_id_name", ""), variables.get("origination_caller_id_number", ""))
    call = OutboundCall(node, sip.BRIDGE, dialled["user"], target, caller, list(variables.items()))
    cause = call.dial()
    if not cause:
        call.answer()
    node.clock.sleep(FRAME)
    if cause:
        call.end(cause)
    if call.hangup_cause:
        return call.hangup_cause
    call.take_over(app[1], app[2] or "")
    return call


def _dial_outside(
    node: Host, dialled: re.Match[str], variables: Mapping[str, str], app: re.Match[str]
) -> Channel | str:
    if variables.get("origination_uuid") in node.channels:
        return "DESTINATION_OUT_OF_ORDER"
    gateway = sip.Address(dialled["ip"], int(dialled["port"] or 5060))
    caller = (variables.get("origination_caller_id_name", ""), variables.get("origination_caller_id_number", ""))
    call = DialledCall(node, dialled["user"], gateway, caller, list(variables.items()))
    # It counts whole seconds (28).
    give_up_at = int(node.clock.now()) + atoi(variables.get("originate_timeout", "60"))
    cause = call.dial()
    node.clock.sleep(FRAME)
    while not (cause or call.answered or call.hangup_cause):
        if node.clock.now() >= give_up_at:
            cause = "NO_ANSWER"
        else:
            node.clock.sleep(FRAME)
    if cause and not call.hangup_cause:
        call.end(cause)
    if call.hangup_cause:
        return call.hangup_cause
    node.clock.sleep(FRAME)
    call.take_over(app[1], app[2] or "")
    return call
