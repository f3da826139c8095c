"""A caller who can be listened to: one SIP call over UDP, with a tone sent and everything heard kept, in u-law."""

from __future__ import annotations

import itertools
import math
import re
import socket
import struct
import time
import uuid
from statistics import median

import gevent
from gevent.event import Event as Flag

RATE = 8000
FRAME = 160  # samples in 20 ms
SILENCE = -90.0  # dB: what is reported for nothing at all
KEYS = 101  # the payload type of a key pressed (RFC 4733)
KEY_NAMES = "0123456789*#ABCD"
HEADER = struct.Struct("!BBHII")


class Refused(Exception):
    """The node has answered INVITE with this status."""


class Phone:
    """Up when the constructor returns; raises Refused if the node does not want the call.

    `tone` is the frequency it sends, 0 for silence; `level` and all others are in dB of full scale. Keys are sent to it as
    SIP INFO unless it takes telephone `events`.
    """

    def __init__(
        self,
        sip: str,
        number: str,
        caller_id: str,
        tone: float = 0.0,
        level: float = -12.0,
        host: str = "127.0.0.1",
        headers: str = "",
        events: bool = True,
    ) -> None:
        node, _, port = sip.partition(":")
        self._node = (node, int(port))
        self._sip, self._rtp = _bound(host), _bound(host)
        self._host = host
        self._me = f"{host}:{self._sip.getsockname()[1]}"
        self._number, self._caller_id = number, caller_id
        self._headers, self._events = headers, events
        self._call_id, self._tag = uuid.uuid4().hex, uuid.uuid4().hex[:8]
        self._to = f"<sip:{number}@{sip}>"
        self._target = f"sip:{number}@{sip}"
        self._level = level
        self.say(tone)
        # What has arrived: when (time.monotonic), and the payload.
        self.packets: list[tuple[float, bytes]] = []
        self._keys: list[str] = []
        # The keys that it was sent, each with its length (ms).
        self.sent_keys: list[tuple[str, int]] = []
        self._last_key = 0  # the timestamp of the last of them
        self._answers: list[int] = []
        self._texts: list[str] = []
        self._ended = Flag()
        media = self._invite()
        self._tasks = [gevent.spawn(self._send, media), gevent.spawn(self._hear), gevent.spawn(self._signal)]

    # The call

    def hang_up(self) -> None:
        if not self._ended.is_set():
            self._sip.sendto(self._request("BYE", 3).encode(), self._node)
            self._ended.wait(5)
        self._close()

    def ask(self, method: str, headers: str) -> int:
        """Send a request within the call, with more headers. -> the status of its answer."""
        self._answers = []
        self._sip.sendto(self._request(method, 2, "", headers).encode(), self._node)
        with gevent.Timeout(5):
            while not self._answers:
                gevent.sleep(0.02)
        return self._answers[0]

    def put_on_hold(self) -> str:
        """As a phone's button does: it sends, and wants to receive nothing. -> the direction that the node answers."""
        self._answers, self._texts = [], []
        self._sip.sendto(self._request("INVITE", 2, self._sdp(2, "sendonly")).encode(), self._node)
        with gevent.Timeout(5):
            while 200 not in self._answers:
                gevent.sleep(0.02)
        self._sip.sendto(self._request("ACK", 2).encode(), self._node)
        found = re.search(r"a=(recvonly|inactive|sendrecv|sendonly)", self._texts[-1])
        return found[1] if found else ""

    def wait_ended(self, timeout: float = 10.0) -> None:
        """Until the node has hung up. Raises TimeoutError."""
        if not self._ended.wait(timeout):
            raise TimeoutError("the call is still up")

    # The sound

    def say(self, tone: float) -> None:
        """From now on; 0 for silence."""
        self._audio = coded_tone(tone, self._level)

    def press(self, key: str) -> None:
        """For a tenth of a second. Returns when it has been released."""
        self._keys.append(key)
        while self._keys:
            gevent.sleep(FRAME / RATE)

    def wait_keys(self, count: int, timeout: float = 15.0) -> str:
        """Until it was sent so many. Returns all."""
        with gevent.Timeout(timeout):
            while len(self.sent_keys) < count:
                gevent.sleep(0.02)
        return "".join(key for key, _ in self.sent_keys)

    def hear(self, seconds: float) -> list[int]:
        """The samples of what arrives from now on. What does not arrive is silence."""
        since = len(self.packets)
        gevent.sleep(seconds)
        samples = decoded(b"".join(payload for _, payload in self.packets[since:]))
        return samples + [0] * (int(seconds * RATE) - len(samples))

    def level(self, frequency: float, seconds: float = 0.5) -> float:
        """Of one tone in what arrives from now on."""
        return level(self.hear(seconds), frequency)

    def voice_level(self, frequency: float) -> float:
        """Of another caller's tone, in a second that begins now."""
        return voice_level(self.hear(1.0), frequency)

    def wait_level(self, frequency: float, above: float = SILENCE, below: float = 0.0, timeout: float = 8.0) -> float:
        """Until a tone is that loud for a fifth of a second. Raises AssertionError."""
        until = time.monotonic() + timeout
        while not above <= (heard := self.level(frequency, 0.2)) <= below:
            assert time.monotonic() < until, f"{frequency} Hz is at {heard:.1f} dB, wanted {above}..{below}"
        return heard

    def first_sound(self, frequency: float, since: float, above: float = -25.0, timeout: float = 10.0) -> float:
        """Seconds from `since` (time.monotonic) until a packet with the tone in it. Raises AssertionError."""
        seen = 0
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            for at, payload in self.packets[seen:]:
                seen += 1
                if at >= since and level(decoded(payload), frequency) > above:
                    return at - since
            gevent.sleep(0.005)
        raise AssertionError(f"nothing is heard of {frequency} Hz")

    # Plumbing

    def _sdp(self, version: int = 1, direction: str = "sendrecv") -> str:
        return (
            f"v=0\r\no=phone 1 {version} IN IP4 {self._host}\r\ns=-\r\nc=IN IP4 {self._host}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0{f' {KEYS}' * self._events}\r\na=rtpmap:0 PCMU/8000\r\n"
            + f"a=rtpmap:{KEYS} telephone-event/8000\r\n" * self._events
            + f"a=ptime:20\r\na={direction}\r\n"
        )

    def _invite(self) -> tuple[str, int]:
        """-> where to send RTP."""
        invite = self._request("INVITE", 1, self._sdp(), self._headers).encode()
        self._sip.settimeout(0.5)
        for _ in range(20):
            self._sip.sendto(invite, self._node)
            try:
                answer = self._final_answer()
            except TimeoutError:
                continue  # as RFC 3261 has it for UDP: send again
            if not answer.startswith("SIP/2.0 200"):
                raise Refused(int(answer.split()[1]))
            self._to = _header(answer, "To")
            self._target = _header(answer, "Contact").partition("<")[2].partition(">")[0]
            self._sip.sendto(self._request("ACK", 1).encode(), self._node)
            self._sip.settimeout(None)
            address, port = re.search(r"c=IN IP4 (\S+)", answer), re.search(r"m=audio (\d+)", answer)
            assert address, answer
            assert port, answer
            return address[1], int(port[1])
        raise AssertionError("no answer to INVITE")

    def _final_answer(self) -> str:
        while True:
            answer = self._sip.recv(65535).decode()
            if not answer.startswith("SIP/2.0 1"):
                return answer

    def _request(self, method: str, number: int, body: str = "", headers: str = "") -> str:
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} {self._target} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._me};branch=z9hG4bK{uuid.uuid4().hex}\r\n"
            f"From: <sip:{self._caller_id}@{self._me}>;tag={self._tag}\r\nTo: {self._to}\r\n"
            f"Call-ID: {self._call_id}\r\nCSeq: {number} {method}\r\nContact: <sip:{self._caller_id}@{self._me}>\r\n"
            f"Max-Forwards: 70\r\n{headers}{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _signal(self) -> None:
        """Answer what the node asks; a BYE, or the answer to ours, is the end."""
        while True:
            text, sender = self._sip.recvfrom(65535)
            message = text.decode()
            if message.startswith("SIP/2.0"):
                self._answers.append(int(message.split()[1]))
                self._texts.append(message)
                if _header(message, "CSeq").endswith("BYE"):
                    self._ended.set()
                continue
            copied = "".join(
                f"{name}: {_header(message, name)}\r\n" for name in ("Via", "From", "To", "Call-ID", "CSeq")
            )
            if key := re.search(r"^Signal=(\S)\s+Duration=(\d+)", message, re.MULTILINE):
                self.sent_keys.append((key[1], int(key[2])))
            if not message.startswith("ACK "):
                self._sip.sendto(f"SIP/2.0 200 OK\r\n{copied}Content-Length: 0\r\n\r\n".encode(), sender)
            if message.startswith("BYE "):
                self._ended.set()

    def _send(self, media: tuple[str, int]) -> None:
        began = time.monotonic()
        pressed = 0  # frames for which the key has been down
        for number in itertools.count():
            stamp = number * FRAME
            if self._keys:
                payload = struct.pack(
                    "!BBH", KEY_NAMES.index(self._keys[0]), 0x80 * (pressed >= 5) | 10, (pressed + 1) * FRAME
                )
                kind, stamp = KEYS | 0x80 * (pressed == 0), stamp - pressed * FRAME
                pressed += 1
                if pressed == 8:  # its end is said three times
                    del self._keys[0]
                    pressed = 0
            else:
                at = stamp % len(self._audio)
                kind, payload = 0, self._audio[at : at + FRAME]
            self._rtp.sendto(HEADER.pack(0x80, kind, number & 0xFFFF, stamp & 0xFFFFFFFF, 0x5217C400) + payload, media)
            # By the clock, not by the length of a sleep: the stream must not lag.
            gevent.sleep(max(0.0, began + (number + 1) * FRAME / RATE - time.monotonic()))

    def _hear(self) -> None:
        while True:
            packet = self._rtp.recv(2048)
            version, kind, _, stamp, _ = HEADER.unpack_from(packet)
            if version >> 6 == 2 and kind & 0x7F == 0:
                self.packets.append((time.monotonic(), packet[HEADER.size :]))
            elif version >> 6 == 2 and kind & 0x7F == KEYS:
                self._hear_key(stamp, *struct.unpack("!BBH", packet[HEADER.size :]))

    def _hear_key(self, stamp: int, key: int, volume: int, samples: int) -> None:
        """The end of each is said three times."""
        if volume & 0x80 and stamp != self._last_key:
            self._last_key = stamp
            self.sent_keys.append((KEY_NAMES[key], samples * 1000 // RATE))

    def _close(self) -> None:
        gevent.killall(self._tasks)
        self._sip.close()
        self._rtp.close()


def level(samples: list[int], frequency: float) -> float:
    """How loud one frequency is in dB of a full-scale tone: Goertzel's algorithm."""
    coefficient = 2 * math.cos(2 * math.pi * frequency / RATE)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + coefficient * last - before
    power = before * before + last * last - coefficient * before * last
    amplitude = 2 * math.sqrt(max(power, 0.0)) / len(samples)
    return max(SILENCE, 20 * math.log10(amplitude / 32768)) if amplitude else SILENCE


def voice_level(samples: list[int], frequency: float) -> float:
    """The median of fifths. When a voice comes late, a room fills in 20 ms of silence. The tone goes on in another phase
    then, and over the whole of it its parts would cancel each other out.
    """
    fifth = len(samples) // 5
    return median(level(samples[at : at + fifth], frequency) for at in range(0, 5 * fifth, fifth))


def _bound(host: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    return sock


def _header(message: str, name: str) -> str:
    found = re.search(rf"(?mi)^{name}:[ \t]*(.*?)\r?$", message)
    assert found, f"no {name} in {message!r}"
    return found[1]


# G.711 u-law


def _linear(code: int) -> int:
    code = ~code & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return -magnitude if code & 0x80 else magnitude


def decoded(payload: bytes) -> list[int]:
    return [_LINEAR[code] for code in payload]


_LINEAR = [_linear(code) for code in range(256)]


def coded_tone(frequency: float, loudness: float) -> bytes:
    """A second of it, so that a whole number of hertz repeats without a click."""
    amplitude = 32768 * 10 ** (loudness / 20) if frequency else 0.0
    codes = sorted(range(256), key=_LINEAR.__getitem__)
    known: dict[int, int] = {}
    coded = bytearray()
    for at in range(RATE):
        sample = round(amplitude * math.sin(2 * math.pi * frequency * at / RATE))
        if sample not in known:
            known[sample] = min(codes, key=lambda code: abs(_LINEAR[code] - sample))
        coded.append(known[sample])
    return bytes(coded)
