"""A media node for the black-box tests: the emulator, or a real FreeSWITCH with SIPp for its callers.

`SWITCHROOM_TEST_FREESWITCH=boot` starts one (see `freeswitch.py`); `esl_host:port,password,sip_host:port` names one
that is running already.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import gevent
import pytest

from esl.commands import LEG_NAME, Command, JsonList, ShowChannels
from esl.connection import Connection
from esl.emulator import Emulator
from tests.e2e.freeswitch import FreeSwitch, find_binary

PREFIX = "acW68"
REAL = os.environ.get("SWITCHROOM_TEST_FREESWITCH", "")
SCENARIO = Path(__file__).parent / "sipp" / "caller.xml"


class Call(Protocol):
    # SIP's Call-ID.
    call_id: str

    def hang_up(self) -> None: ...

    def wait_ended(self, timeout: float = 30.0) -> None:
        """Until the node has hung up. Raises TimeoutError."""


class Node(Protocol):
    esl: str
    password: str
    sip: str
    # Where its bridge profile listens, host:port.
    bridge: str

    def call(self, did: str, caller_id: str, **headers: str) -> Call:
        """With more headers in its INVITE, `_` for `-`."""

    def rooms(self) -> set[str]:
        """The names of the conferences that it holds."""

    def channel(self, caller_id: str) -> str:
        """The uuid of the caller's call."""

    def command(self, command: Command | str) -> str:
        """What the Event Socket's `api` answers."""

    def legs(self) -> list[str]:
        """The uuids of the legs that it has to other nodes."""

    def crash(self) -> None:
        """End without a word, and start anew."""

    def die(self) -> None:
        """The first half of that; `revive` is the other."""

    def revive(self) -> None: ...

    def close(self) -> None: ...


class EmulatedNode:
    def __init__(self) -> None:
        self.password = "emulated-secret"
        self.emulator = Emulator(password=self.password)
        self.emulator.start()
        self.esl = "{}:{}".format(*self.emulator.address)
        self.sip = "127.0.0.1:5060"
        self.bridge = self.emulator.bridge

    def call(self, did: str, caller_id: str, **headers: str) -> EmulatedCall:
        return EmulatedCall(self.emulator, did, caller_id, _named(headers))

    def rooms(self) -> set[str]:
        return set(self.emulator.conferences)

    def channel(self, caller_id: str) -> str:
        (found,) = [call.uuid for call in self.emulator.channels.values() if call.profile.number == caller_id]
        return found

    def command(self, command: Command | str) -> str:
        name, _, argument = (command if isinstance(command, str) else command.render()).partition(" ")
        return self.emulator.execute(name, argument)

    def legs(self) -> list[str]:
        return [call.uuid for call in self.emulator.channels.values() if call.name.startswith(LEG_NAME)]

    def crash(self) -> None:
        self.emulator.restart()

    def die(self) -> None:
        self.emulator.stop()
        self.emulator.reboot()

    def revive(self) -> None:
        self.emulator.start()

    def close(self) -> None:
        self.emulator.stop()


class EmulatedCall:
    def __init__(self, emulator: Emulator, did: str, caller_id: str, headers: Mapping[str, str]) -> None:
        self._emulator = emulator
        self._channel = emulator.call(to=did, caller_id_number=caller_id, headers=headers)
        self.call_id = self._channel.variables["sip_call_id"]

    def hang_up(self) -> None:
        self._channel.hangup()

    def press(self, key: str) -> None:
        self._channel.press(key)

    def talk(self) -> None:
        """Begin to send sound."""
        self._channel.sound(True)

    def wait_ended(self, timeout: float = 30.0) -> None:
        self._emulator.wait_for(lambda: self._channel.state == "gone", timeout)


class RealNode:
    def __init__(self, settings: str) -> None:
        self.esl, self.password, self.sip = settings.split(",")
        self.bridge = ""
        self._folder = Path(tempfile.mkdtemp(prefix="switchroom-sipp-"))
        # Half a second of a quiet tone in u-law, sent over and over.
        audio = self._folder / "tone.ulaw"
        audio.write_bytes(bytes([0xE5, 0xDF, 0xE5, 0xFF, 0x65, 0x5F, 0x65, 0x7F] * 500))
        # SIPp takes keywords everywhere but here.
        self._scenario = SCENARIO.read_text().replace("[audio]", str(audio))
        self._numbers = itertools.count(1)
        self._calls: list[SippCall] = []

    def call(self, did: str, caller_id: str, **headers: str) -> SippCall:
        number = next(self._numbers)
        more = "".join(f"{name}: {value}\n" for name, value in _named(headers).items())
        scenario = self._folder / f"call-{number}.xml"
        scenario.write_text(self._scenario.replace("[headers]\n", more))
        call = SippCall(self, did, caller_id, number, scenario)
        self._calls.append(call)
        return call

    def rooms(self) -> set[str]:
        return {room["conference_name"] for room in json.loads(self.command(JsonList()))}

    def channel(self, caller_id: str) -> str:
        """The node's list lags behind."""
        with gevent.Timeout(5):
            while True:
                for row in json.loads(self.command(ShowChannels()), strict=False).get("rows", []):
                    if row["cid_num"] == caller_id:
                        return str(row["uuid"])
                gevent.sleep(0.05)

    def legs(self) -> list[str]:
        rows = json.loads(self.command(ShowChannels()), strict=False).get("rows", [])
        return [str(row["uuid"]) for row in rows if row["name"].startswith(LEG_NAME)]

    def command(self, command: Command | str) -> str:
        host, _, port = self.esl.rpartition(":")
        connection = Connection(host, int(port), self.password, on_event=lambda _: None)
        connection.connect()
        try:
            return connection.api(command)
        finally:
            connection.close()

    def crash(self) -> None:
        self.die()
        self.revive()

    def die(self) -> None:
        pytest.skip("whoever started that FreeSWITCH may need it")

    def revive(self) -> None: ...

    def close(self) -> None:
        for call in self._calls:
            call.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


class BootedNode(RealNode):
    def __init__(self, prefix: str, address: str) -> None:
        binary = find_binary()
        assert binary, "no freeswitch: neither on the PATH nor in FREESWITCH_BIN"
        self._home = Path(tempfile.mkdtemp(prefix="switchroom-freeswitch-"))
        self.freeswitch = FreeSwitch(self._home, binary, address=address, PREFIX=prefix)
        super().__init__(f"{self.freeswitch.esl},{self.freeswitch.password},{self.freeswitch.sip}")
        self.bridge = self.freeswitch.bridge

    def die(self) -> None:
        self.freeswitch.kill()

    def revive(self) -> None:
        self.freeswitch.start()

    def close(self) -> None:
        super().close()
        self.freeswitch.stop()
        shutil.rmtree(self._home, ignore_errors=True)


class SippCall:
    """One SIPp process with one call and RTP both ways."""

    def __init__(self, node: RealNode, did: str, caller_id: str, number: int, scenario: Path) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.call_id = f"call-{number}-{os.getpid()}"
        self._process = subprocess.Popen(
            [
                "sipp", node.sip, "-sf", scenario.name, "-m", "1", "-nostdin",
                "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", str(self._port), "-cid_str", self.call_id,
                "-key", "did", did, "-key", "caller", caller_id,
            ],
            cwd=scenario.parent, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def hang_up(self) -> None:
        message = (
            f"MESSAGE sip:caller@127.0.0.1:{self._port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKhangup\r\n"
            "From: <sip:test@127.0.0.1>;tag=test\r\nTo: <sip:caller@127.0.0.1>\r\n"
            f"Call-ID: {self.call_id}\r\nCSeq: 9 MESSAGE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(message.encode(), ("127.0.0.1", self._port))

    def wait_ended(self, timeout: float = 30.0) -> None:
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TimeoutError("the call is still up") from None

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(5)


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def open_node(prefix: str = PREFIX, address: str = "127.0.0.1") -> Node:
    """At that address of loopback, if it is a FreeSWITCH of its own."""
    if not REAL:
        return EmulatedNode()
    assert shutil.which("sipp"), "no sipp on the PATH (Debian and Ubuntu: apt install sip-tester)"
    return BootedNode(prefix, address) if REAL == "boot" else RealNode(REAL)
