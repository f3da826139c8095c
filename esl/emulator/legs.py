"""The kinds of calls: a SIP call in, a SIP call out to another emulated node, and the two legs of a loopback."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from esl.emulator import channel, sip
from esl.emulator.channel import ACK_DELAY, CODECS, SESSION_LAG, CallerProfile, Channel
from esl.emulator.media import generated

READ_AHEAD = 32768  # samples by which the node reads a generated tone
SAMPLES_PER_SECOND = 8000


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
    sip_address: sip.Address

    def local_media(self) -> sip.LocalMedia: ...

    def peer(self, address: sip.Address) -> Host | None: ...

    def receive(self, invite: sip.Invite, far: OutboundCall) -> InboundCall: ...


class SipCall(Channel):
    """A SIP call, in or out. `far` is its other end, if that is on another emulated node."""

    node: Host
    invite: sip.Invite
    local: sip.LocalMedia
    far: SipCall | None = None

    def hears(self, audible: bool) -> None:
        if self.far:
            self.far.sound(audible)

    def hang_up_far_end(self) -> None:
        if self.far and not self.ended_from_outside:
            self.far.end(self.hangup_cause or "", received=True)

    def farewell(self) -> sip.Variables:
        return sip.bye_received(self.invite, self.hangup_cause or "") if self.ended_from_outside else []

    def closing(self) -> sip.Variables:
        return [("sip_hangup_disposition", None if self.ended_from_outside else "send_bye"), *sip.statistics()]


class InboundCall(SipCall):
    """A SIP call that has come in."""

    def __init__(self, node: Host, invite: sip.Invite, far: OutboundCall | None = None) -> None:
        name = f"sofia/internal/{invite.from_uri}"
        profile = CallerProfile(
            direction="inbound",
            destination=invite.to,
            source="mod_sofia",
            username=invite.user,
            dialplan="XML",
            name=invite.display,
            number=invite.user,
            orig_name=invite.display,
            orig_number=invite.user,
            network_addr=invite.source.ip,
        )
        super().__init__(node, name, profile, "PCMU")
        self.invite, self.far = invite, far
        self.local = node.local_media()
        self.set(*_first_variables(self), *sip.received(invite, node.sip_address, str(self.created), name))

    def answer(self) -> None:
        self.set(*sip.answered(self.invite, self.local))
        super().answer()

    def after_answer(self) -> None:
        if self.invite.ack == "answered":
            self.acknowledge()
        elif self.invite.ack == "later":
            self.later(ACK_DELAY, self.acknowledge)

    def before_park(self) -> None:
        if self.invite.ack == "parking":
            self.acknowledge()

    def acknowledge(self) -> None:
        """The caller's ACK arrives."""
        self.set(*sip.acknowledged(self.invite, self.node.sip_address, self.local))


class OutboundCall(SipCall):
    """A SIP call that the node makes, as `bgdial` does. It reaches other emulated nodes of this process only."""

    def __init__(
        self,
        node: Host,
        user: str,
        target: sip.Address,
        caller: tuple[str, str],
        variables: Mapping[str, str],
        job_uuid: str,
    ) -> None:
        name, number = caller
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
        channel_name = f"sofia/internal/{user}@{target}"
        super().__init__(node, channel_name, profile, "PCMU", variables.get("origination_uuid"))
        self.has_media = False
        self.target = target
        self.local = node.local_media()
        self.invite = sip.Invite(
            to=user,
            user=number,
            display=name,
            source=node.sip_address,
            headers={key[6:]: value for key, value in variables.items() if key.startswith("sip_h_")},
            media_port=self.local.port,
            sdp=self.local.sdp(dtmf_events=True, mode=""),
            cseq=str(sip.number(9)),
            from_freeswitch=True,
        )
        self.set(
            *_first_variables(self),
            *sip.dialled(self.invite, node.sip_address, target, channel_name),
            ("conference_bgdial_jobid", job_uuid),
            *variables.items(),
            ("origination_caller_id_name", name),
            ("origination_caller_id_number", number),
            *sip.offered(self.invite, node.sip_address, target, self.local),
        )

    def dial(self) -> bool:
        """Send the INVITE: whether somebody is there to take it."""
        self.create()
        remote = self.node.peer(self.target)
        if remote is None:
            self.set(*sip.refused(self.invite, self.node.sip_address))
            return False
        self.far = remote.receive(self.invite, self)
        return True

    def answer(self) -> None:
        """The far end has answered."""
        if self.far is None:
            raise RuntimeError("nobody was dialled")
        remote = self.far
        self.has_media = True
        self.running = self.requested = "CS_CONSUME_MEDIA"
        user = self.profile.destination
        self.profile = replace(self.profile, callee_name=user, network_addr=self.target.ip)
        self.set(
            *sip.accepted(self.invite, self.node.sip_address, self.target, self.local, remote.local, remote.node.ipv4)
        )
        super().answer()

    def closing(self) -> sip.Variables:
        return super().closing() if self.answered else []


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
        """Run the application that `originate` was given. A tone that it plays is the sound of the other leg."""
        self.take_over(app, data)
        sound = generated(data) if app == "playback" else None
        if sound:
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


def originate(node: channel.Host, dial: str, variables: Mapping[str, str], application: str) -> Channel | None:
    """`originate {...}loopback/NUMBER[/CONTEXT] &APP(DATA)`: its a leg; None for other endpoints."""
    endpoint, _, rest = dial.partition("/")
    number, _, context = rest.partition("/")
    app = re.match(r"&(\w+)(?:\(([^)]*))?", application)
    if endpoint != "loopback" or not number or app is None:
        return None
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
