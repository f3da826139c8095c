"""From the request to mute a member until its 202, and until the webhook: by Switchroom, and by what one writes by hand.

    python -m tests.benchmarks.bench_command [--rounds 400]

By hand is Flask, stock greenswitch and `requests`: a view that sends `bgapi`, and a handler of events that posts. It
stores nothing, signs nothing and tries nothing again. Both have a node with 40 members in one room: a FreeSWITCH (on
PATH, or FREESWITCH_BIN) with SIPp, else the emulator. They take turns, one request at a time, and this process is caller
and endpoint of both, so that one clock measures all. Their Event Sockets go through it, too: that shows when the command
leaves for the node and when the node's event is back, and costs both sides the same.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer
from gevent.server import StreamServer

from controller.limits import COOLDOWNS
from esl.commands import Join
from tests.benchmarks.bench_span import SOUND
from tests.benchmarks.figures import note
from tests.e2e.freeswitch import FreeSwitch, find_binary
from tests.e2e.nodes import SCENARIO
from tests.e2e.system import DIDS, KEYS, PREFIX, Switchroom

MEMBERS = 40
ROOM = f"{PREFIX}-room-550e8400-e29b-41d4-a716-446655440000"
PASSWORD = "emulated-secret"
PROFILE = "switchroom"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 60.0
# Of each member, so that no request meets its cooldown.
PAUSE = (COOLDOWNS["conference_mute"] / 1000 + 0.5) / MEMBERS


def command(*arguments: str) -> list[str]:
    """This file, in a process of its own."""
    return [sys.executable, "-m", "tests.benchmarks.bench_command", *arguments]


# The hand-written one


def serve_by_hand(port: int, password: str, hooks: str) -> None:
    """Prints its port."""
    import greenswitch
    import requests
    from flask import Flask, request

    members: dict[str, str] = {}
    session = requests.Session()

    def emit(kind: str, **data: str) -> None:
        session.post(hooks, json={"type": kind, "data": data}, timeout=5)

    def on_event(event: Any) -> None:
        headers = event.headers
        channel = headers.get("Unique-ID", "")
        match headers.get("Action"):
            case "add-member":
                members[channel] = headers["Member-ID"]
                emit("conference.member.joined", uuid=channel)
            case "mute-member":
                emit("conference.member.muted", uuid=channel)
            case "unmute-member":
                emit("conference.member.unmuted", uuid=channel)

    link = greenswitch.InboundESL("127.0.0.1", port, password)
    link.register_handle("conference::maintenance", on_event)
    link.connect()
    link.send("event plain CUSTOM conference::maintenance")
    app = Flask(__name__)

    @app.post("/api/v1/sessions/<channel>/commands/conference/<verb>")
    def control(channel: str, verb: str) -> tuple[dict[str, str], int]:
        if KEYS.get(request.headers.get("X-App-ID", "")) != request.headers.get("X-API-Key"):
            return {"error": "unauthorized"}, 401
        if verb == "join":
            link.send("bgapi " + Join(channel, ROOM, PROFILE).render())
        else:
            link.send(f"bgapi conference {ROOM} {verb} {members[channel]}")
        return {"status": verb}, 202

    server = WSGIServer(("127.0.0.1", 0), app, log=None)
    server.start()
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(server.server_port, flush=True)
    for row in json.loads(link.send("api show channels as json").data).get("rows", []):
        emit("session.started", uuid=row["uuid"])
    server.serve_forever()


def emulate() -> None:
    """A node with its calls. Prints its Event Socket's port."""
    from esl.emulator import Emulator

    node = Emulator(password=PASSWORD)
    node.start()
    for number in range(MEMBERS):
        node.call(to=DIDS["alpha"], caller_id_number=str(5271000 + number))
    node.wait_for(lambda: [call.state for call in node.channels.values()] == ["parked"] * MEMBERS, PATIENCE)
    print(node.address[1], flush=True)
    gevent.sleep(float("inf"))


# What stands around it


class Endpoint:
    """Takes webhooks: what came, and when the last one came that says a member is muted or not."""

    def __init__(self) -> None:
        self.hooks: list[dict[str, Any]] = []
        self.at = 0.0
        self._came = Flag()
        self._server = StreamServer(("127.0.0.1", 0), self._take)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"

    def _take(self, sock: socket.socket, address: object) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        with suppress(OSError):
            while data := sock.recv(65536):
                buffer += data
                head, found, body = buffer.partition(b"\r\n\r\n")
                if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
                    continue
                came = time.perf_counter()
                hook = json.loads(body)
                if hook["type"].endswith("muted"):
                    self.at = came
                self.hooks.append(hook)
                self._came.set()
                buffer = b""
                sock.sendall(RESPONSE)
        sock.close()

    def of(self, kind: str) -> list[str]:
        """Whose."""
        return [hook["data"]["uuid"] for hook in self.hooks if hook["type"] == kind]

    def wait(self, kind: str, count: int) -> list[str]:
        with gevent.Timeout(PATIENCE, AssertionError(f"not {count} times {kind} at {self.url}")):
            while len(self.of(kind)) < count:
                self._came.clear()
                self._came.wait()
        return self.of(kind)


class Proxy:
    """An Event Socket between, with the time of the last command to mute and of the last event of one."""

    def __init__(self, port: int) -> None:
        self.sent = self.came = 0.0
        self._to = port
        self._server = StreamServer(("127.0.0.1", 0), self._connected)
        self._server.start()
        self.port = self._server.server_port

    def _connected(self, client: socket.socket, address: object) -> None:
        node = socket.create_connection(("127.0.0.1", self._to))
        for sock in (client, node):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = gevent.spawn(self._copy, node, client, b"mute-member", "came")
        self._copy(client, node, b"mute", "sent")
        back.kill()
        node.close()

    def _copy(self, source: socket.socket, to: socket.socket, mark: bytes, what: str) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if mark in data:
                    setattr(self, what, time.perf_counter())
                to.sendall(data)


@dataclass
class Node:
    esl: str
    password: str
    sip: str = "127.0.0.1:5060"


@dataclass
class Took:
    """Milliseconds: from the request to its 202 and to the webhook; and the parts of that."""

    accepted: float
    confirmed: float
    to_node: float
    at_node: float
    from_node: float


def start_part(stack: ExitStack, *arguments: str) -> int:
    """This file in a process of its own, until the stack is closed -> the port that it prints."""
    process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, text=True)
    stack.callback(process.wait)
    stack.callback(process.kill)
    assert process.stdout
    return int(process.stdout.readline())


def start_emulator(stack: ExitStack) -> int:
    """-> the port of its Event Socket."""
    return start_part(stack, "--emulate")


class Side:
    """All members have joined when the constructor returns."""

    def __init__(self, folder: Path, stack: ExitStack, *, by_hand: bool) -> None:
        folder.mkdir()
        self.endpoint = Endpoint()
        node = self._node(folder, stack)
        self.proxy = Proxy(int(node.esl.rpartition(":")[2]))
        through = Node(f"127.0.0.1:{self.proxy.port}", node.password, node.sip)
        room = ROOM
        if by_hand:
            port = start_part(stack, "--by-hand", str(self.proxy.port), node.password, self.endpoint.url)
        else:
            switchroom = Switchroom(folder, {PREFIX: through}, self.endpoint.url)
            switchroom.start()
            stack.callback(switchroom.close)
            switchroom.wait_up()
            room = switchroom.post("/api/v1/conferences", {"name": "bench"}).body["room_id"]
            port = switchroom.port
        self._connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sessions = self.endpoint.wait("session.started", MEMBERS)
        for session in sessions:
            self._post(session, "join", {"room_id": room})
        self.endpoint.wait("conference.member.joined", MEMBERS)
        self._turns = ((verb, session) for verb in itertools.cycle(("unmute", "mute")) for session in sessions)

    def _node(self, folder: Path, stack: ExitStack) -> Node:
        binary = find_binary()
        if not (binary and shutil.which("sipp")):
            return Node(f"127.0.0.1:{start_emulator(stack)}", PASSWORD)
        node = FreeSwitch(folder / "node", binary)
        stack.callback(node.stop)
        scenario = SOUND.sub("", SCENARIO.read_text()).replace("[headers]\n", "").replace("a=ptime:20", "a=ptime:60")
        (folder / "call.xml").write_text(scenario)
        calls = subprocess.Popen(
            [
                "sipp", node.sip, "-sf", "call.xml", "-m", str(MEMBERS), "-l", str(MEMBERS), "-r", "20", "-nostdin",
                "-i", "127.0.0.1", "-mi", "127.0.0.1", "-key", "did", DIDS["alpha"], "-key", "caller", "5271000",
            ],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        stack.callback(calls.wait)
        stack.callback(calls.kill)
        gevent.sleep(MEMBERS / 20 + 2)  # the hand-written one sees no calls that come later
        return Node(node.esl, node.password, node.sip)

    def _post(self, session: str, verb: str, body: object = None) -> None:
        headers = {"X-App-ID": "alpha", "X-API-Key": KEYS["alpha"], "Content-Type": "application/json"}
        path = f"/api/v1/sessions/{session}/commands/conference/{verb}"
        self._connection.request("POST", path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        text = response.read()
        assert response.status == 202, text

    def turn(self) -> Took:
        verb, session = next(self._turns)
        kind = f"conference.member.{verb}d"
        before = len(self.endpoint.of(kind))
        started = time.perf_counter()
        self._post(session, verb)
        accepted = time.perf_counter()
        self.endpoint.wait(kind, before + 1)
        times = (accepted - started, self.endpoint.at - started, self.proxy.sent - started,
                 self.proxy.came - self.proxy.sent, self.endpoint.at - self.proxy.came)  # fmt: skip
        return Took(*(1000 * each for each in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--by-hand", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--emulate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.by_hand:
        port, password, hooks = options.by_hand
        serve_by_hand(int(port), password, hooks)
        return
    if options.emulate:
        emulate()
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        sides = {
            "Switchroom": Side(folder / "switchroom", stack, by_hand=False),
            "by hand": Side(folder / "hand", stack, by_hand=True),
        }
        found: dict[str, list[Took]] = {name: [] for name in sides}
        for number in range(options.rounds + 2 * MEMBERS):
            for name, side in sides.items():
                took = side.turn()
                if number >= 2 * MEMBERS:  # the first are to warm up
                    found[name].append(took)
                gevent.sleep(PAUSE / 2)
    print(f"milliseconds from POST mute, p50 / p99 of {options.rounds} requests, members: {MEMBERS}")
    for field, title in (
        ("accepted", "until its 202"), ("confirmed", "until the webhook"),
        ("to_node", "  of it: command to the node"), ("at_node", "  of it: node's event"),
        ("from_node", "  of it: event to webhook"),
    ):  # fmt: skip
        cells, shown = [], []
        for name, list_of in found.items():
            values = [getattr(took, field) for took in list_of]
            shown.append((statistics.median(values), statistics.quantiles(values, n=100)[98]))
            cells.append(f"{name} {shown[-1][0]:6.2f} / {shown[-1][1]:6.2f}")
        print(f"{title:30} {'     '.join(cells)}")
        for what, ours, by_hand in zip(("p50", "p99"), *shown, strict=True):
            note(f"mute, {title.strip()}, {what}", ours, "ms", beside=by_hand)


if __name__ == "__main__":
    main()
