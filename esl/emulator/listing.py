"""A call as the node's database holds it."""

from esl.emulator.channel import CODECS, Channel
from esl.emulator.wire import time_headers


def channel_row(channel: Channel, hostname: str) -> dict[str, str]:
    """A call as `show channels` lists it. `dest` follows a transfer, `initial_dest` stays the number dialled."""
    now, first = channel.profile, channel.first_profile
    created = channel.created
    return {
        "uuid": channel.uuid,
        "direction": now.direction,
        "created": time_headers(created)[0][1],
        "created_epoch": str(created // 1_000_000),
        "name": channel.name,
        "state": channel.running,
        "cid_name": now.name,
        "cid_num": now.number,
        "ip_addr": first.network_addr,
        "dest": channel.listed_destination,
        "application": channel.app,
        "application_data": channel.app_data,
        "dialplan": now.dialplan,
        "context": now.context,
        **_codec_row("read", channel.read_codec),
        **_codec_row("write", channel.codec),
        "secure": "",
        "hostname": hostname,
        "presence_id": "",
        "presence_data": "",
        "accountcode": channel.variables.get("accountcode", ""),
        "callstate": channel.call_state,
        **dict.fromkeys(("callee_name", "callee_num", "callee_direction", "call_uuid"), ""),
        **dict.fromkeys(("sent_callee_name", "sent_callee_num"), ""),
        "initial_cid_name": first.name,
        "initial_cid_num": first.number,
        "initial_ip_addr": first.network_addr,
        "initial_dest": first.destination,
        "initial_dialplan": first.dialplan,
        "initial_context": first.context,
        **channel.listed_party(),
    }


def _codec_row(way: str, codec: str) -> dict[str, str]:
    rate, bits = CODECS[codec]
    return {f"{way}_codec": codec, f"{way}_rate": rate, f"{way}_bit_rate": bits}
