"""A gateway to the telephone network, made of numbers: what becomes of a call is what its number ends in.

It is a SIP server of its own for a real node, which calls it over UDP, and for an emulated one the table alone.
"""

from __future__ import annotations

import hashlib
import re
import socket

import gevent
from gevent.event import Event as Flag

from esl.emulator import Channel, Emulator
from esl.emulator.legs import DialledCall, Fate
from tests.e2e.nodes import EmulatedNode, Node
from tests.e2e.phone import KEYS

# The end of a number -> the status with which its call is refused.
REFUSALS = {
    "403": "Forbidden",
    "404": "Not Found",
    "480": "Temporarily Unavailable",
    "486": "Busy Here",
    "603": "Decline",
}
REDIRECTS = "302"  # to FORBIDDEN
RINGS = "180"  # without end
FORBIDDEN = "+88299999"
DEAD = "127.0.0.1:9"  # where nobody is
USER, PASSWORD = "switchroom", "gateway-only-!#%*+./=?@_~-"


def fate_of(number: str) -> Fate:
    end = number[-3:]
    if end in (*REFUSALS, REDIRECTS):
        return int(end)
    return "rings" if end == RINGS else "answers"


class EmulatedGateway:
    """As a `Gateway`, for an emulated node."""

    def __init__(self, emulator: Emulator) -> None:
        self.calls: list[str] = []
        self.callers: list[str] = []
        self.address = "127.0.0.1:5071"
        self._emulator = emulator
        emulator.gateways[self.address] = self._called

    def _called(self, number: str, caller: str) -> Fate:
        self.calls.append(number)
        self.callers.append(caller)
        return fate_of(number)

    def hang_up(self, number: str) -> None:
        self._channel(number)[0].hangup()

    def wait_called(self, number: str, timeout: float = 15.0) -> None:
        self._emulator.wait_for(lambda: number in self.calls, timeout)

    def wait_over(self, number: str, timeout: float = 15.0) -> None:
        self._emulator.wait_for(lambda: not self._channel(number), timeout)

    def close(self) -> None:
        self._emulator.gateways.pop(self.address, None)

    def _channel(self, number: str) -> list[Channel]:
        channels = self._emulator.channels.values()
        return [call for call in channels if isinstance(call, DialledCall) and call.invite.to == number]


class Gateway:
    """`calls` are the numbers that were called, in their order; `callers` the numbers that they saw."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, authenticates: bool = False) -> None:
        self.calls: list[str] = []
        self.callers: list[str] = []
        self.cancelled: list[str] = []
        self.invites: dict[str, str] = {}
        self._authenticates = authenticates
        self._host = host
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind((host, 0))
        self.address = f"{host}:{self._socket.getsockname()[1]}"
        # By Call-ID: the number, the INVITE, where it came from.
        self._open: dict[str, tuple[str, str, tuple[str, int]]] = {}
        self._changed = Flag()
        self._greenlet = gevent.spawn(self._serve)

    def close(self) -> None:
        self._greenlet.kill()
        self._socket.close()
        self._rtp.close()

    def hang_up(self, number: str) -> None:
        """Whoever was called there hangs up."""
        call_id, (_, invite, sender) = next((key, call) for key, call in self._open.items() if call[0] == number)
        target = re.search(r"(?mi)^Contact: *<([^>]+)>", invite)
        assert target
        bye = (
            f"BYE {target[1]} SIP/2.0\r\nVia: SIP/2.0/UDP {self.address};branch=z9hG4bKbye{call_id[:8]}\r\n"
            f"From: {header(invite, 'To')};tag=gateway\r\nTo: {header(invite, 'From')}\r\nCall-ID: {call_id}\r\n"
            "CSeq: 1 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        self._socket.sendto(bye.encode(), sender)

    def wait_called(self, number: str, timeout: float = 15.0) -> None:
        """Until it was called."""
        with gevent.Timeout(timeout, TimeoutError(f"{number} was not called")):
            while number not in self.calls:
                self._changed.clear()
                self._changed.wait()

    def wait_over(self, number: str, timeout: float = 15.0) -> None:
        """Until no call of that number goes on."""
        with gevent.Timeout(timeout, TimeoutError(f"the call to {number} goes on")):
            while any(called == number for called, *_ in self._open.values()):
                self._changed.clear()
                self._changed.wait()

    # Plumbing

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(65535)
            message = data.decode()
            method = message.partition(" ")[0]
            if method == "INVITE":
                self._invited(message, sender)
            elif method == "CANCEL":
                self._answer(message, sender, "200 OK")
                number, invite, _ = self._open.pop(header(message, "Call-ID"), ("", "", sender))
                self.cancelled.append(number)
                if invite:
                    self._answer(invite, sender, "487 Request Terminated")
                self._changed.set()
            elif method == "BYE":
                self._answer(message, sender, "200 OK")
                self._open.pop(header(message, "Call-ID"), None)
                self._changed.set()
            elif message.startswith("SIP/2.0") and header(message, "CSeq").endswith("BYE"):
                self._open.pop(header(message, "Call-ID"), None)
                self._changed.set()

    def _invited(self, invite: str, sender: tuple[str, int]) -> None:
        number = re.match(r"INVITE sip:([^@;]+)", invite)[1].replace("%2B", "+")  # type: ignore[index]
        if self._authenticates and not authorized(invite):
            challenge = 'Proxy-Authenticate: Digest realm="gateway", nonce="nonce", algorithm=MD5\r\n'
            return self._answer(invite, sender, "407 Proxy Authentication Required", challenge)
        if header(invite, "Call-ID") in self._open:
            return None  # sent again
        self.invites[number] = invite
        self.calls.append(number)
        self.callers.append(re.search(r"sip:([^@]+)@", header(invite, "From"))[1])  # type: ignore[index]
        end = number[-3:]
        if end in REFUSALS:
            return self._answer(invite, sender, f"{end} {REFUSALS[end]}")
        if end == REDIRECTS:
            return self._answer(invite, sender, "302 Moved", f"Contact: <sip:{FORBIDDEN}@{self.address}>\r\n")
        self._open[header(invite, "Call-ID")] = number, invite, sender
        self._answer(invite, sender, "180 Ringing")
        self._changed.set()
        if end != RINGS:
            gevent.spawn_later(0.1, self._take, invite, sender)
        return None

    def _take(self, invite: str, sender: tuple[str, int]) -> None:
        body = (
            f"v=0\r\no=gateway 1 1 IN IP4 {self._host}\r\ns=-\r\nc=IN IP4 {self._host}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0 {KEYS}\r\na=rtpmap:0 PCMU/8000\r\n"
            f"a=rtpmap:{KEYS} telephone-event/8000\r\na=ptime:20\r\n"
        )
        if header(invite, "Call-ID") in self._open:
            self._answer(invite, sender, "200 OK", "Content-Type: application/sdp\r\n", body)

    def _answer(self, request: str, sender: tuple[str, int], status: str, headers: str = "", body: str = "") -> None:
        copied = "".join(f"{name}: {header(request, name)}\r\n" for name in ("Via", "From", "Call-ID", "CSeq"))
        to = header(request, "To")
        tag = "" if "tag=" in to else ";tag=gateway"
        contact = "" if "Contact" in headers else f"Contact: <sip:gateway@{self.address}>\r\n"
        text = (
            f"SIP/2.0 {status}\r\n{copied}To: {to}{tag}\r\n{contact}{headers}Content-Length: {len(body)}\r\n\r\n{body}"
        )
        self._socket.sendto(text.encode(), sender)


def header(message: str, name: str) -> str:
    found = re.search(rf"(?mi)^{name}:[ \t]*(.*?)\r?$", message)
    assert found, f"no {name} in {message!r}"
    return found[1]


def authorized(invite: str) -> bool:
    """By a digest (RFC 2617) of USER's password."""
    found = re.search(r"(?mi)^Proxy-Authorization: *Digest (.*?)\r?$", invite)
    given = dict(re.findall(r'(\w+)="?([^",]+)"?', found[1])) if found else {}
    first = _md5(f"{USER}:gateway:{PASSWORD}")
    second = _md5(f"INVITE:{given.get('uri', '')}")
    middle = f"{given['nc']}:{given['cnonce']}:{given['qop']}:" if "qop" in given else ""
    return given.get("response") == _md5(f"{first}:nonce:{middle}{second}")


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def open_gateway(node: Node) -> Gateway | EmulatedGateway:
    return EmulatedGateway(node.emulator) if isinstance(node, EmulatedNode) else Gateway()
