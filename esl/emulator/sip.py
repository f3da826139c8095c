"""What a SIP call leaves in a channel's variables, stage by stage, in the node's order (traces 02, 11, 13).

Every function returns the variables that a stage sets, by their names without the `variable_` of the events.
A value of None means that the call brought no such thing: the variable is not set.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Variables = list[tuple[str, str | None]]

USER_AGENT = "FreeSWITCH-mod_sofia/1.11.1-release+git~20260526T204126Z~c2c59645f6~64bit"
ALLOW = "INVITE, ACK, BYE, CANCEL, OPTIONS, MESSAGE, INFO, UPDATE, REGISTER, REFER, NOTIFY"

# Q.850 numbers of the causes a call can end with; an unknown cause is taken for NORMAL_CLEARING.
CAUSES = {
    "UNALLOCATED_NUMBER": 1,
    "NO_ROUTE_DESTINATION": 3,
    "NORMAL_CLEARING": 16,
    "USER_BUSY": 17,
    "NO_USER_RESPONSE": 18,
    "NO_ANSWER": 19,
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
        return "rfc2833" if self.from_freeswitch else "info"

    def via(self, branch: str) -> str:
        sent_by = f"{self.source.ip};rport={self.source.port}" if self.from_freeswitch else str(self.source)
        return f"SIP/2.0/UDP {sent_by};branch={branch}"

    def full_from(self) -> str:
        display = f'"{self.display}" ' if self.display else ""
        return f"{display}<sip:{self.from_uri}>;tag={self.from_tag}"

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

    def sdp(self, *, dtmf_events: bool, mode: str = "a=sendrecv\r\n", origin: str | None = None) -> str:
        payloads = "0 101 13" if dtmf_events else "0"
        maps = ["a=rtpmap:0 PCMU/8000"]
        if dtmf_events:
            maps += ["a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15", "a=rtpmap:13 CN/8000"]
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


def _codecs(rate: str = "8000") -> Variables:
    return [
        ("rtp_audio_recv_pt", "0"),
        ("rtp_use_codec_name", "PCMU"),
        ("rtp_use_codec_rate", rate),
        ("rtp_use_codec_ptime", "20"),
        ("rtp_use_codec_channels", "1"),
        ("rtp_last_audio_codec_string", f"PCMU@{rate}h@20i@1c"),
        ("read_codec", "PCMU"),
        ("original_read_codec", "PCMU"),
        ("read_rate", rate),
        ("original_read_rate", rate),
        ("write_codec", "PCMU"),
        ("write_rate", rate),
    ]


def received(invite: Invite, node: Address, stamp: str, channel_name: str) -> Variables:
    """An INVITE has come in."""
    source, port = invite.source, str(invite.source.port)
    number, target = str(node.port), f"{invite.to}@{node}"
    contact = "mod_sofia" if invite.from_freeswitch else invite.user
    peer = invite.from_freeswitch
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
        ("sip_network_port", port),
        ("sip_invite_stamp", stamp),
        ("sip_received_ip", source.ip),
        ("sip_received_port", port),
        ("sip_via_protocol", "udp"),
        ("sip_from_user_stripped", invite.user),
        ("sip_from_tag", invite.from_tag),
        ("sofia_profile_name", "internal"),
        ("sofia_profile_url", f"sip:mod_sofia@{node}"),
        ("recovery_profile_name", "internal"),
        (
            "sip_Remote-Party-ID",
            f'"{invite.display}" <sip:{invite.from_uri}>;party=calling;screen=yes;privacy=off' if peer else None,
        ),
        ("sip_cid_type", "rpid" if peer else None),
        ("sip_full_via", invite.via(invite.branch)),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", f"<sip:{target}>"),
        ("sip_allow", ALLOW if peer else None),
        ("sip_req_user", invite.to),
        ("sip_req_port", number),
        ("sip_req_uri", target),
        ("sip_req_host", node.ip),
        ("sip_to_user", invite.to),
        ("sip_to_port", number),
        ("sip_to_uri", target),
        ("sip_to_host", node.ip),
        ("sip_contact_user", contact),
        ("sip_contact_port", port),
        ("sip_contact_uri", f"{contact}@{source}"),
        ("sip_contact_host", source.ip),
        ("sip_user_agent", USER_AGENT if peer else None),
        ("sip_via_host", source.ip),
        ("sip_via_rport" if peer else "sip_via_port", port),
        ("max_forwards", "70"),
        ("sip_call_info", invite.headers.get("Call-Info")),
        ("sip_replaces_call_id", invite.replaces or None),
        *((f"sip_replaces_{name}", value) for name, value in invite.replaces_parameters.items()),
        *((f"sip_h_{name}", value) for name, value in invite.headers.items() if name.startswith("X-")),
        ("switch_r_sdp", invite.offer()),
        ("ep_codec_string", "CORE_PCM_MODULE.PCMU@8000h@20i@64000b"),
        ("rtp_use_codec_string", "PCMU"),
        ("remote_video_media_flow", "inactive"),
        ("remote_text_media_flow", "inactive"),
        ("remote_audio_media_flow", "sendrecv"),
        ("audio_media_flow", "sendrecv"),
        ("remote_media_ip", source.ip),
        ("remote_media_port", str(invite.media_port)),
        *_codecs(),
        ("dtmf_type", invite.dtmf),
        ("endpoint_disposition", "RECEIVED"),
    ]


def answered(invite: Invite, local: LocalMedia) -> Variables:
    """The node has answered the call."""
    events = "101" if invite.from_freeswitch else None
    return [
        ("rtp_local_sdp_str", local.sdp(dtmf_events=invite.from_freeswitch)),
        ("local_media_ip", local.ip),
        ("local_media_port", str(local.port)),
        ("advertised_media_ip", local.ip),
        ("rtp_use_pt", "0"),
        ("rtp_use_ssrc", str(local.ssrc)),
        ("rtp_2833_send_payload", events),
        ("rtp_2833_recv_payload", events),
        ("remote_media_ip", invite.source.ip),
        ("remote_media_port", str(invite.media_port)),
    ]


def acknowledged(invite: Invite, node: Address, local: LocalMedia) -> Variables:
    """The caller's ACK has come."""
    return [
        ("sip_to_tag", local.to_tag),
        ("sip_from_tag", invite.from_tag),
        ("sip_cseq", invite.cseq),
        ("sip_call_id", invite.call_id),
        ("sip_full_via", invite.via(invite.ack_branch)),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", f"<sip:{invite.to}@{node}>;tag={local.to_tag}"),
    ]


def bye_received(invite: Invite, cause: str) -> Variables:
    """The far end has hung up."""
    number = CAUSES.get(cause, CAUSES["NORMAL_CLEARING"])
    peer = invite.from_freeswitch
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
        ("sip_profile_name", "internal"),
        ("video_media_flow", "disabled"),
        ("text_media_flow", "disabled"),
        ("channel_name", channel_name),
        ("sip_destination_url", f"sip:{invite.to}@{target}"),
    ]


def offered(invite: Invite, node: Address, target: Address, local: LocalMedia) -> Variables:
    return [
        ("originate_early_media", "true"),
        ("originate_endpoint", "sofia"),
        ("rtp_use_codec_string", "PCMU"),
        ("local_media_ip", local.ip),
        ("local_media_port", str(local.port)),
        ("advertised_media_ip", local.ip),
        ("audio_media_flow", "sendrecv"),
        ("rtp_local_sdp_str", local.sdp(dtmf_events=True)),
        ("sip_outgoing_contact_uri", f"<sip:mod_sofia@{node}>"),
        ("sip_req_uri", f"{invite.to}@{target}"),
        ("sip_to_host", str(target)),
        ("sip_from_host", node.ip),
        ("sofia_profile_name", "internal"),
        ("recovery_profile_name", "internal"),
        ("sofia_profile_url", f"sip:mod_sofia@{node}"),
    ]


def accepted(
    invite: Invite, node: Address, target: Address, local: LocalMedia, remote: LocalMedia, origin: str
) -> Variables:
    """The node's INVITE was answered by another node; `origin` is the address in the `o=` line of its SDP."""
    uri = f"{invite.to}@{target}"
    return [
        ("sip_local_network_addr", node.ip),
        ("sip_reply_host", target.ip),
        ("sip_reply_port", str(target.port)),
        ("sip_network_ip", target.ip),
        ("sip_network_port", str(target.port)),
        ("sip_user_agent", USER_AGENT),
        ("sip_allow", ALLOW),
        ("sip_recover_contact", f"<sip:{uri};transport=udp>"),
        ("sip_full_via", invite.via(invite.branch)),
        ("sip_recover_via", invite.via(invite.branch)),
        ("sip_from_display", invite.display or None),
        ("sip_full_from", invite.full_from()),
        ("sip_full_to", f"<sip:{uri}>;tag={remote.to_tag}"),
        ("sip_from_user", invite.user),
        ("sip_from_uri", invite.from_uri),
        ("sip_from_host", node.ip),
        ("sip_to_user", invite.to),
        ("sip_to_port", str(target.port)),
        ("sip_to_uri", uri),
        ("sip_to_host", target.ip),
        ("sip_contact_params", "transport=udp"),
        ("sip_contact_user", invite.to),
        ("sip_contact_port", str(target.port)),
        ("sip_contact_uri", uri),
        ("sip_contact_host", target.ip),
        ("sip_to_tag", remote.to_tag),
        ("sip_from_tag", invite.from_tag),
        ("sip_cseq", invite.cseq),
        ("sip_call_id", invite.call_id),
        ("switch_r_sdp", remote.sdp(dtmf_events=True, mode="", origin=origin)),
        ("ep_codec_string", "CORE_PCM_MODULE.PCMU@8000h@20i@64000b"),
        ("rtp_use_codec_string", "PCMU"),
        ("remote_video_media_flow", "inactive"),
        ("remote_text_media_flow", "inactive"),
        ("remote_audio_media_flow", "sendrecv"),
        *_codecs(),
        ("dtmf_type", "rfc2833"),
        ("local_media_ip", local.ip),
        ("local_media_port", str(local.port)),
        ("advertised_media_ip", local.ip),
        ("rtp_use_pt", "0"),
        ("rtp_use_ssrc", str(local.ssrc)),
        ("rtp_2833_send_payload", "101"),
        ("rtp_2833_recv_payload", "101"),
        ("remote_media_ip", remote.ip),
        ("remote_media_port", str(remote.port)),
    ]


def refused(invite: Invite, node: Address) -> Variables:
    """Nobody is there: the transport itself failed, which sofia reports as a 503."""
    return [
        ("sip_call_id", invite.call_id),
        ("sip_local_network_addr", node.ip),
        ("sip_reply_port", "0"),
        ("sip_network_port", "0"),
        ("sip_hangup_disposition", "recv_refuse"),
        ("sip_invite_failure_status", "503"),
        ("sip_invite_failure_phrase", "Service Unavailable"),
        ("sip_term_status", "503"),
        ("proto_specific_hangup_cause", "sip:503"),
        ("sip_term_cause", str(CAUSES["NORMAL_TEMPORARY_FAILURE"])),
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
