"""What a SIP call leaves in a channel's variables, stage by stage, in the node's order (traces 02, 11, 13, 19).

Every function returns the variables that a stage sets, by their names without the `variable_` of the events.
A value of None means that the call brought no such thing: the variable is not set.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Variables = list[tuple[str, str | None]]

USER_AGENT = "FreeSWITCH-mod_sofia/1.11.1-release+git~20260526T204126Z~c2c59645f6~64bit"

BRIDGE_PORT = 5090

# By codec: the payload type, and what the node calls it.
PAYLOADS = {"PCMU": "0", "L16": "102"}
MODULES = {"PCMU": "CORE_PCM_MODULE.PCMU@8000h@20i@64000b", "L16": "CORE_PCM_MODULE.L16@8000h@20i"}

# Q.850 numbers of the causes a call can end with; an unknown cause is taken for NORMAL_CLEARING.
CAUSES = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_DESTINATION": 3,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
    "REQUESTED_CHAN_UNAVAIL": 44,
    "CALL_REJECTED": 21,
    "DESTINATION_OUT_OF_ORDER": 27,
    "INVALID_NUMBER_FORMAT": 28,
    "NORMAL_UNSPECIFIED": 31,
    "NORMAL_TEMPORARY_FAILURE": 41,
    "RECOVERY_ON_TIMER_EXPIRE": 102,
    "ORIGINATOR_CANCEL": 487,
    "LOSE_RACE": 502,
    "MANAGER_REQUEST": 503,
    "ALLOTTED_TIMEOUT": 602,
    "MEDIA_TIMEOUT": 604,
    "ATTENDED_TRANSFER": 16,
}


def tag() -> str:
    """A dialog tag as sofia makes them: 13 letters and digits."""
    return uuid.uuid4().hex[:13]


def number(digits: int) -> int:
    """Any number of so many digits."""
    lowest: int = 10 ** (digits - 1)
    return lowest + uuid.uuid4().int % (9 * lowest)


@dataclass(frozen=True)
class Address:
    """Where a SIP party is: an IP and a port."""

    ip: str
    port: int

    def __str__(self) -> str:
        return f"{self.ip}:{self.port}"


@dataclass(frozen=True)
class Profile:
    """A SIP profile of the node. Two emulated nodes agree on the first of its codecs."""

    name: str
    transport: Literal["udp", "tcp"]
    codecs: tuple[str, ...]
    context: str
    allow: str
    timer: str | None = None

    @property
    def codec(self) -> str:
        return self.codecs[0]

    @property
    def uri_parameters(self) -> str:
        """Behind a URI in which the profile names its transport."""
        return ";transport=tcp" if self.transport == "tcp" else ""


# Of callers, and of the nodes for each other: the names of the recorded nodes (11) and of `freeswitch-conf/` (19).
INTERNAL = Profile(
    "internal",
    "udp",
    ("PCMU",),
    "public",
    "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY",
)
BRIDGE = Profile(
    "bridge",
    "tcp",
    ("L16", "PCMU"),
    "bridge",
    "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, NOTIFY",
    "soft",
)


# Of calls to gateways, at the address of the first: the name that it has in `freeswitch-conf/` (27).
PUBLIC = Profile(
    "public",
    "udp",
    ("PCMU",),
    "public",
    "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, NOTIFY",
    "soft",
)


@dataclass
class Invite:
    """An INVITE, and what else of the call's signalling the caller decides."""

    to: str
    user: str
    display: str
    source: Address
    headers: Mapping[str, str] = field(default_factory=dict)
    call_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    from_tag: str = field(default_factory=tag)
    branch: str = field(default_factory=lambda: "z9hG4bK-" + tag())
    ack_branch: str = field(default_factory=lambda: "z9hG4bK-" + tag())
    cseq: str = "1"
    media_port: int = 6000
    sdp: str | None = None
    ack: Literal["answered", "parking", "later"] = "later"  # the ACK races with the dialplan (13; 05, 12; 02)
    from_freeswitch: bool = False  # the caller is another node, whose headers look different (trace 11)
    profile: Profile = INTERNAL  # where it comes in
    connection_port: int = 0  # of the caller's end, if it comes by TCP

    @property
    def network_port(self) -> str:
        return str(self.connection_port or self.source.port)

    @property
    def from_uri(self) -> str:
        return f"{self.user}@{self.source.ip}" if self.from_freeswitch else f"{self.user}@{self.source}"

    @property
    def replaces(self) -> str:
        """The SIP Call-ID, or the uuid, of the call that is to be replaced; empty if none is."""
        return self.headers.get("Replaces", "").partition(";")[0]

    @property
    def replaces_parameters(self) -> dict[str, str]:
        given = (part.partition("=") for part in self.headers.get("Replaces", "").split(";")[1:])
        return {name: value or "true" for name, _, value in given}

    @property
    def dtmf(self) -> str:
        return "rfc2833" if self.takes_events else "info"

    @property
    def takes_events(self) -> bool:
        """Whether digits can be sent by RTP."""
        return self.from_freeswitch or "telephone-event" in self.offer()

    def via(self, branch: str) -> str:
        if self.connection_port:
            return f"SIP/2.0/TCP {self.source};branch={branch};rport={self.connection_port}"
        sent_by = f"{self.source.ip};rport={self.source.port}" if self.from_freeswitch else str(self.source)
        return f"SIP/2.0/UDP {sent_by};branch={branch}"

    @property
    def party(self) -> str:
        display = f'"{self.display}" ' if self.display else ""
        return f"{display}<sip:{self.from_uri}>"

    def full_from(self) -> str:
        return f"{self.party};tag={self.from_tag}"

    def full_to(self, target: Address, tag: str = "") -> str:
        return f"<sip:{self.to}@{target}{self.profile.uri_parameters}>" + (f";tag={tag}" if tag else "")

    def offer(self) -> str:
        """The SDP of the caller: its own, or a plain PCMU offer."""
        if self.sdp is not None:
            return self.sdp
        lines = [
            "v=0",
            f"o=user1 53655765 2353687637 IN IP4 {self.source.ip}",
            "s=-",
            f"c=IN IP4 {self.source.ip}",
            "t=0 0",
            f"m=audio {self.media_port} RTP/AVP 0",
            "a=rtpmap:0 PCMU/8000",
        ]
        return "".join(line + "\r\n" for line in lines)


@dataclass
class LocalMedia:
    """The node's own end of a call's audio."""

    ip: str
    port: int
    ssrc: int = field(default_factory=lambda: number(9))
    session: int = field(default_factory=lambda: number(10))
    to_tag: str = field(default_factory=tag)

    def sdp(
        self,
        *codecs: str,
        dtmf_events: bool,
        comfort_noise: bool = True,
        mode: str = "a=sendrecv\r\n",
        origin: str | None = None,
    ) -> str:
        comfort_noise = dtmf_events and comfort_noise
        payloads = " ".join(
            [*(PAYLOADS[codec] for codec in codecs), *["101"] * dtmf_events, *["13"] * comfort_noise],
        )
        maps = [f"a=rtpmap:{PAYLOADS[codec]} {codec}/8000" for codec in codecs]
        if dtmf_events:
            maps += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15"]
        if comfort_noise:
            maps.append("a=rtpmap:13 CN/8000")
        lines = [
            "v=0",
            f"o=FreeSWITCH {self.session} {self.session + 1} IN IP4 {origin or self.ip}",
            "s=FreeSWITCH",
            f"c=IN IP4 {self.ip}",
            "t=0 0",
            f"m=audio {self.port} RTP/AVP {payloads}",
            *maps,
            "a=ptime:20",
        ]
        return "".join(line + "\r\n" for line in lines) + mode


def _codecs(codec: str, rate: str = "8000") -> Variables:
    return [
        ("rtp_audio_recv_pt", PAYLOADS[codec]),
        ("rtp_use_codec_name", codec),
        ("rtp_use_codec_rate", rate),
        ("rtp_use_codec_ptime", "20"),
        ("rtp_use_codec_channels", "1"),
        ("rtp_last_audio_codec_string", f"{codec}@{rate}h@20i@1c"),
        ("read_codec", codec),
        ("original_read_codec", codec),
        ("read_rate", rate),
        ("original_read_rate", rate),
        ("write_codec", codec),
        ("write_rate", rate),
    ]


def received(invite: Invite, node: Address, stamp: str, channel_name: str) -> Variables:
    """An INVITE has come in."""
    source, port, profile = invite.source, str(invite.source.port), invite.profile
    number, target = str(node.port), f"{invite.to}@{node}"
    contact = "mod_sofia" if invite.from_freeswitch else invite.user
    peer, by_tcp = invite.from_freeswitch, bool(invite.connection_port)
    parameters = profile.uri_parameters[1:] or None
    return [
        ("sip_from_user", invite.user),
        ("sip_from_port", None if peer else port),
        ("sip_from_uri", invite.from_uri),
        ("sip_from_host", source.ip),
        ("video_media_flow", "disabled"),
        ("text_media_flow", "disabled"),
        ("channel_name", channel_name),
        ("sip_call_id", invite.call_id),
        ("sip_local_network_addr", node.ip),
        ("sip_network_ip", source.ip),
        ("sip_network_port", invite.network_port),
        ("sip_invite_stamp", stamp),
        ("sip_received_ip", source.ip),
        ("sip_received_port", invite.network_port),
        ("sip_via_protocol", profile.transport),
        ("sip_from_user_stripped", invite.user),
        ("sip_from_tag", invite.from_tag),
        ("sofia_profile_name", profile.name),
        ("sofia_profile_url", f"sip:mod_sofia@{node}"),
        ("recovery_profile_name", profile.name),
        ("sip_Remote-Party-ID", f"{invite.party};party=calling;screen=yes;privacy=off" if peer else None),
        ("sip_cid_type", "rpid" if peer else None),
        ("sip_full_via", invite.via(invite.branch)),
        ("sip_recover_via", invite.via(invite.branch) if by_tcp else None),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", invite.full_to(node)),
        ("sip_allow", profile.allow if peer else None),
        ("sip_req_params", parameters),
        ("sip_req_user", invite.to),
        ("sip_req_port", number),
        ("sip_req_uri", target),
        ("sip_req_host", node.ip),
        ("sip_to_params", parameters),
        ("sip_to_user", invite.to),
        ("sip_to_port", number),
        ("sip_to_uri", target),
        ("sip_to_host", node.ip),
        ("sip_contact_params", parameters),
        ("sip_contact_user", contact),
        ("sip_contact_port", port),
        ("sip_contact_uri", f"{contact}@{source}"),
        ("sip_contact_host", source.ip),
        ("sip_user_agent", USER_AGENT if peer else None),
        ("sip_via_host", source.ip),
        ("sip_via_port", port if by_tcp or not peer else None),
        ("sip_via_rport", invite.network_port if peer else None),
        ("max_forwards", "70"),
        ("sip_call_info", invite.headers.get("Call-Info")),
        ("sip_replaces_call_id", invite.replaces or None),
        *((f"sip_replaces_{name}", value) for name, value in invite.replaces_parameters.items()),
        *((f"sip_h_{name}", value) for name, value in invite.headers.items() if name.startswith("X-")),
        ("switch_r_sdp", invite.offer()),
        ("ep_codec_string", ",".join(MODULES[codec] for codec in profile.codecs)),
        ("rtp_use_codec_string", ",".join(profile.codecs)),
        ("remote_video_media_flow", "inactive"),
        ("remote_text_media_flow", "inactive"),
        ("remote_audio_media_flow", "sendrecv"),
        ("audio_media_flow", "sendrecv"),
        ("remote_media_ip", source.ip),
        ("remote_media_port", str(invite.media_port)),
        *_codecs(profile.codec),
        ("dtmf_type", invite.dtmf),
        ("endpoint_disposition", "RECEIVED"),
    ]


def answered(invite: Invite, local: LocalMedia) -> Variables:
    """The node has answered the call."""
    events = "101" if invite.takes_events else None
    sdp = local.sdp(invite.profile.codec, dtmf_events=invite.takes_events, comfort_noise=invite.from_freeswitch)
    return [
        ("rtp_local_sdp_str", sdp),
        *_audio(invite.profile, local, invite.source.ip, invite.media_port, events),
    ]


def _audio(profile: Profile, local: LocalMedia, remote_ip: str, remote_port: int, events: str | None) -> Variables:
    """Both ends know where the audio of the other is. `events`: the payload type of digits."""
    return [
        ("local_media_ip", local.ip),
        ("local_media_port", str(local.port)),
        ("advertised_media_ip", local.ip),
        ("rtp_use_timer_name", profile.timer),
        ("rtp_use_pt", PAYLOADS[profile.codec]),
        ("rtp_use_ssrc", str(local.ssrc)),
        ("rtp_2833_send_payload", events),
        ("rtp_2833_recv_payload", events),
        ("remote_media_ip", remote_ip),
        ("remote_media_port", str(remote_port)),
    ]


def acknowledged(invite: Invite, node: Address, local: LocalMedia) -> Variables:
    """The caller's ACK has come."""
    return [
        ("sip_to_tag", local.to_tag),
        ("sip_from_tag", invite.from_tag),
        ("sip_cseq", invite.cseq),
        ("sip_call_id", invite.call_id),
        ("sip_full_via", invite.via(invite.ack_branch)),
        ("sip_recover_via", invite.via(invite.ack_branch) if invite.connection_port else None),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", invite.full_to(node, local.to_tag)),
    ]


def bye_received(peer: bool, cause: str) -> Variables:
    """The far end has hung up: another node, as `peer`, or somebody else."""
    number = CAUSES.get(cause, CAUSES["NORMAL_CLEARING"])
    return [
        ("sip_reason", f'Q.850;cause={number};text="{cause}"' if peer else None),
        ("sip_term_status", "200"),
        ("proto_specific_hangup_cause", "sip:200"),
        ("sip_term_cause", str(number)),
        ("sip_user_agent", USER_AGENT if peer else None),
        ("sip_hangup_disposition", "recv_bye"),
    ]


def dialled(invite: Invite, node: Address, target: Address, channel_name: str) -> Variables:
    """The node has sent an INVITE. What `originate` was given goes between the two halves: see `offered`."""
    return [
        ("sip_local_network_addr", node.ip),
        ("sip_profile_name", invite.profile.name),
        ("video_media_flow", "disabled"),
        ("text_media_flow", "disabled"),
        ("channel_name", channel_name),
        ("sip_destination_url", f"sip:{invite.to}@{target}{invite.profile.uri_parameters}"),
    ]


def offered(
    invite: Invite, node: Address, target: Address, local: LocalMedia, *, early_media: bool = True
) -> Variables:
    profile = invite.profile
    return [
        ("originate_early_media", "true" if early_media else "false"),
        ("originate_endpoint", "sofia"),
        ("rtp_use_codec_string", ",".join(profile.codecs)),
        ("local_media_ip", local.ip),
        ("local_media_port", str(local.port)),
        ("advertised_media_ip", local.ip),
        ("audio_media_flow", "sendrecv"),
        ("rtp_local_sdp_str", local.sdp(*profile.codecs, dtmf_events=True)),
        ("sip_outgoing_contact_uri", f"<sip:mod_sofia@{node}{profile.uri_parameters}>"),
        ("sip_req_uri", f"{invite.to}@{target}{profile.uri_parameters}"),
        ("sip_to_host", str(target)),
        ("sip_from_host", node.ip),
        ("sofia_profile_name", profile.name),
        ("recovery_profile_name", profile.name),
        ("sofia_profile_url", f"sip:mod_sofia@{node}"),
    ]


def accepted(
    invite: Invite, node: Address, target: Address, local: LocalMedia, remote: LocalMedia, origin: str
) -> Variables:
    """The node's INVITE was answered by another node; `origin` is the address in the `o=` line of its SDP."""
    profile = invite.profile
    sdp = remote.sdp(profile.codec, dtmf_events=True, mode="", origin=origin)
    return [
        *_replied(invite, node, target, remote.to_tag, invite.via(invite.branch)),
        *_agreed(profile, sdp, ",".join(profile.codecs)),
        *_audio(profile, local, remote.ip, remote.port, "101"),
    ]


def _replied(invite: Invite, node: Address, target: Address, tag: str, via: str, gateway: str = "") -> Variables:
    """A response has come that is no refusal, from another node, or from a gateway that calls itself so."""
    profile, port = invite.profile, str(target.port)
    uri, user = f"{invite.to}@{target}", gateway or invite.to
    transport = None if gateway else f"transport={profile.transport}"
    contact = f"{user}@{target}"
    return [
        *_reply(node, target),
        ("sip_user_agent", None if gateway else USER_AGENT),
        ("sip_allow", None if gateway else profile.allow),
        ("sip_recover_contact", f"<sip:{contact}{';' + transport if transport else ''}>"),
        ("sip_full_via", via),
        ("sip_recover_via", via),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", invite.full_to(target, tag)),
        ("sip_from_user", invite.user),
        ("sip_from_uri", invite.from_uri),
        ("sip_from_host", node.ip),
        ("sip_to_params", profile.uri_parameters[1:] or None),
        ("sip_to_user", invite.to),
        ("sip_to_port", port),
        ("sip_to_uri", uri),
        ("sip_to_host", target.ip),
        ("sip_contact_params", transport),
        ("sip_contact_user", user),
        ("sip_contact_port", port),
        ("sip_contact_uri", contact),
        ("sip_contact_host", target.ip),
        ("sip_to_tag", tag),
        ("sip_from_tag", invite.from_tag),
        ("sip_cseq", invite.cseq),
        ("sip_call_id", invite.call_id),
    ]


def _agreed(profile: Profile, sdp: str, codecs: str) -> Variables:
    """What the SDP of whoever has answered leads to."""
    return [
        ("switch_r_sdp", sdp),
        ("ep_codec_string", MODULES[profile.codec]),
        ("rtp_use_codec_string", codecs),
        ("remote_video_media_flow", "inactive"),
        ("remote_text_media_flow", "inactive"),
        ("remote_audio_media_flow", "sendrecv"),
        *_codecs(profile.codec),
        ("dtmf_type", "rfc2833"),
    ]


REFUSALS = {"NO_ROUTE_DESTINATION": ("404", "Not Found"), "NORMAL_TEMPORARY_FAILURE": ("503", "Service Unavailable")}


def refused(invite: Invite, node: Address, target: Address | None, cause: str) -> Variables:
    """The node at `target` does not take the call, or nobody is there: None, which sofia reports as a 503."""
    status, phrase = REFUSALS[cause]
    reason = f'Q.850;cause={CAUSES[cause]};text="{cause}"' if target else None
    return [("sip_call_id", invite.call_id), *_reply(node, target), *_refusal(status, phrase, cause, reason)]


def _reply(node: Address, target: Address | None) -> Variables:
    return [
        ("sip_local_network_addr", node.ip),
        ("sip_reply_host", target.ip if target else None),
        ("sip_reply_port", str(target.port) if target else "0"),
        ("sip_network_ip", target.ip if target else None),
        ("sip_network_port", str(target.port) if target else "0"),
    ]


def _refusal(status: str, phrase: str, cause: str, reason: str | None = None) -> Variables:
    return [
        ("sip_hangup_disposition", "recv_refuse"),
        ("sip_invite_failure_status", status),
        ("sip_invite_failure_phrase", phrase),
        ("sip_reason", reason),
        ("sip_term_status", status),
        ("proto_specific_hangup_cause", f"sip:{status}"),
        ("sip_term_cause", str(CAUSES[cause])),
    ]


# Where a gateway sends a call that it redirects.
REDIRECT, ELSEWHERE = 302, "+88299999"
# How a call ends that a gateway refuses, by its status (28).
REFUSED_CALLS = {
    302: ("Moved", "REQUESTED_CHAN_UNAVAIL"),
    403: ("Forbidden", "CALL_REJECTED"),
    404: ("Not Found", "UNALLOCATED_NUMBER"),
    480: ("Temporarily Unavailable", "NO_USER_RESPONSE"),
    486: ("Busy Here", "USER_BUSY"),
    503: ("Service Unavailable", "NORMAL_TEMPORARY_FAILURE"),
    603: ("Decline", "CALL_REJECTED"),
}


@dataclass
class Gateway:
    """The other end of a call to a number: a plain gateway, which says no more than it must (27)."""

    address: Address
    tag: str = "gateway"
    media_port: int = field(default_factory=lambda: number(5))

    def sdp(self) -> str:
        ip = self.address.ip
        lines = ["v=0", f"o=gateway 1 1 IN IP4 {ip}", "s=-", f"c=IN IP4 {ip}", "t=0 0"]
        lines += [
            f"m=audio {self.media_port} RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
        ]
        return "".join(f"{line}\r\n" for line in [*lines, "a=ptime:20"])

    def replied(self, invite: Invite, node: Address) -> Variables:
        """It has sent a response that is no refusal."""
        via = f"SIP/2.0/UDP {self.address.ip};rport;branch={invite.branch}"
        return _replied(invite, node, self.address, self.tag, via, "gateway")

    def accepted(self, invite: Invite, local: LocalMedia) -> Variables:
        """It has answered, and says where its audio is."""
        return [
            *_agreed(invite.profile, self.sdp(), invite.profile.codec),
            *_audio(invite.profile, local, self.address.ip, self.media_port, "101"),
        ]

    def refused(self, invite: Invite, node: Address, status: int) -> Variables:
        """It has not taken the call: a redirect is not followed (28)."""
        phrase, cause = REFUSED_CALLS[status]
        replied = [("sip_call_id", invite.call_id), *_reply(node, self.address)]
        if status != REDIRECT:
            return [*replied, *_refusal(str(status), phrase, cause)]
        contact = f"<sip:{ELSEWHERE}@{self.address}>"
        return [
            *replied,
            ("sip_redirect_contact_0", contact),
            ("sip_redirected_to", contact),
            ("sip_redirect_contact_user_0", ELSEWHERE),
            ("sip_redirect_contact_host_0", self.address.ip),
            ("proto_specific_hangup_cause", f"sip:{status}"),
        ]


_STATISTICS = {
    "in": "raw_bytes media_bytes packet_count media_packet_count skip_packet_count jitter_packet_count"
    " dtmf_packet_count cng_packet_count flush_packet_count largest_jb_size",
    "out": "raw_bytes media_bytes packet_count media_packet_count skip_packet_count dtmf_packet_count cng_packet_count",
}


def statistics() -> Variables:
    """RTP counters at a call's end. The emulator carries no audio: they are those of a silent call."""
    return [
        *((f"rtp_audio_in_{name}", "0") for name in _STATISTICS["in"].split()),
        ("rtp_audio_in_jitter_min_variance", "0.00"),
        ("rtp_audio_in_jitter_max_variance", "0.00"),
        ("rtp_audio_in_jitter_loss_rate", "0.00"),
        ("rtp_audio_in_jitter_burst_rate", "0.00"),
        ("rtp_audio_in_mean_interval", "0.00"),
        ("rtp_audio_in_flaw_total", "0"),
        ("rtp_audio_in_quality_percentage", "100.00"),
        ("rtp_audio_in_mos", "4.50"),
        *((f"rtp_audio_out_{name}", "0") for name in _STATISTICS["out"].split()),
        ("rtp_audio_rtcp_packet_count", "0"),
        ("rtp_audio_rtcp_octet_count", "0"),
    ]
