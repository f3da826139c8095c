"""Checks of the gateways by which apps dial: are they there, and may apps that dial find theirs.

From this machine: a gateway may answer the nodes only, which it knows by their addresses. So that it does not answer is
told, and is no fault.
"""

from __future__ import annotations

import ctypes
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

import gevent
from gevent import socket

from controller.registry import App, Gateway, split_address
from switchroom.doctor.finding import Finding, Verdict

SECONDS = 2.0  # for which a gateway is waited for
_AGAIN = 0.5  # s, after which a request by UDP is sent again (RFC 3261, T1)
_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
# The name of the SRV records of a host (RFC 3263, 4.2), and what DNS calls them (RFC 2782).
_SERVICES = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}
_INTERNET, _SRV = 1, 33


def examine_permissions(apps: Sequence[App], gateways: Mapping[str, Gateway]) -> Iterator[Finding]:
    """Of apps whose gateway is not there: their calls are refused."""
    for app in apps:
        if app.dial and app.dial.gateway not in gateways:
            yield Finding(
                f"app {app.id}",
                "dialling",
                f"there is no gateway {app.dial.gateway}: it can make no calls",
                "add it to [[gateways]], or have the app use another: [apps.dial], or `switchroom app set"
                " --dial-gateway`",
            )


def examine_gateway(gateway: Gateway) -> list[Finding]:
    return [Finding(f"gateway {gateway.name}", "host", *_judge(gateway))]


def _judge(gateway: Gateway) -> Verdict:
    target = gateway.host if ":" in gateway.host else f"{gateway.host}:{_PORTS[gateway.transport]}"
    host, port = split_address(target)
    kind = socket.SOCK_DGRAM if gateway.transport == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, socket.AF_INET, kind)[0]
    except OSError:
        # A node asks for these of a host without a port.
        if host == gateway.host and _has_records(f"{_SERVICES[gateway.transport]}.{host}"):
            return f"{host} has SRV records; whether its servers answer is not looked at", ""
        return f"{host} has no address", "correct its host, or the DNS of this machine"
    try:
        with socket.socket(family, kind) as sock:
            sock.settimeout(SECONDS)
            sock.connect(address)
            if gateway.transport == "tls":
                return f"{target} takes connections", ""
            said = _ask(sock, gateway, target)
    except OSError:
        said = ""
    answers = "answers" if said.startswith("SIP/2.0 ") else "does not answer this machine"
    return f"{target} {answers}", ""


def _has_records(name: str) -> bool:
    """Whether there are SRV records of that name, by the resolver of the C library, as far as it has one."""
    answer = ctypes.create_string_buffer(4096)
    for library in (None, "libresolv.so.2"):
        try:
            query = ctypes.CDLL(library).res_query
        except (OSError, AttributeError):
            continue
        given = (query, name.encode(), _INTERNET, _SRV, answer, len(answer))
        # It waits for the answer: not in the thread that waits for all else.
        return int(gevent.get_hub().threadpool.apply(_call, given)) > 0
    return False


def _call(query: Callable[..., int], *given: object) -> int:
    return query(*given)


def _ask(sock: socket.socket, gateway: Gateway, target: str) -> str:
    """What it says to OPTIONS (RFC 3261, 11); empty if it says nothing in time."""
    address, port = sock.getsockname()[:2]
    number = uuid.uuid4().hex
    request = "\r\n".join((
        f"OPTIONS sip:{target} SIP/2.0",
        f"Via: SIP/2.0/{gateway.transport.upper()} {address}:{port};rport;branch=z9hG4bK{number}",
        "Max-Forwards: 70",
        f"From: <sip:doctor@{address}>;tag={number[:8]}",
        f"To: <sip:{target}>",
        f"Call-ID: {number}",
        "CSeq: 1 OPTIONS",
        f"Contact: <sip:doctor@{address}:{port}>",
        "Accept: application/sdp",
        "Content-Length: 0",
        "\r\n",
    )).encode()  # fmt: skip
    until = time.monotonic() + SECONDS
    while (left := until - time.monotonic()) > 0:
        sock.sendall(request)
        sock.settimeout(min(left, _AGAIN) if gateway.transport == "udp" else left)
        try:
            return sock.recv(2048).decode(errors="replace")
        except TimeoutError:
            continue
    return ""
