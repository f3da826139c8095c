"""A node of a few lines: a listener that runs a test's script against each connection. And the recorded traces."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import gevent
from gevent import socket
from gevent.event import Event as Flag
from gevent.queue import Queue

PASSWORD = "right-horse"
TRACES = Path(__file__).parents[1] / "contract" / "traces"
LIMIT = 30.0
"""Seconds that a test waits for what must come. Nothing passes by waiting."""


class Gone(Exception):
    """The client closed the connection."""


class Peer:
    """The node's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._lines = sock.makefile("rb")

    def send(self, data: bytes | str) -> None:
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def close(self) -> None:
        self._lines.close()  # holds the socket open
        self.sock.close()

    def line(self) -> str:
        """The next line, also an empty one."""
        return self._lines.readline().decode()

    def command(self) -> list[str]:
        """The lines of the next command, and before it none that are empty. Raises Gone at the end."""
        lines = []
        while line := self._lines.readline().decode():
            if line == "\n":
                if lines:
                    return lines
                continue  # a node skips empty lines
            lines.append(line.removesuffix("\n"))
        raise Gone

    def expect(self, *lines: str) -> None:
        got = self.command()
        assert got == list(lines), f"expected {lines}, got {got}"

    def reply(self, text: str, *more: str) -> None:
        self.send("".join(f"{line}\n" for line in ("Content-Type: command/reply", f"Reply-Text: {text}", *more, "")))

    def respond(self, text: str) -> None:
        self.send(f"Content-Type: api/response\nContent-Length: {len(text.encode())}\n\n{text}")

    def event(self, name: str, body: str = "", **headers: str) -> None:
        self.send(event(name, body, **headers))

    def greet(self, password: str = PASSWORD) -> None:
        """The handshake, up to and with the password."""
        self.send("Content-Type: auth/request\n\n")
        self.expect(f"auth {password}")
        self.reply("+OK accepted")

    def subscribe(self) -> list[str]:
        """Accept commands up to `event plain`; gives them."""
        commands = []
        while not (commands and commands[-1].startswith("event plain ")):
            commands += self.command()
            self.reply("+OK")
        return commands

    def serve(self) -> None:
        """Reply to every further command, until the client leaves."""
        while True:
            line = self.command()[0]
            if line.startswith("api "):
                self.respond("+OK\n")
            else:
                self.reply("+OK")

    def hold(self) -> None:
        """Stay silent until the client leaves."""
        while True:
            self.command()


class FakeNode:
    """Listens from the start; each connection runs `script(peer)` in a greenlet and is closed at its end.

    As a context manager, it fails the test for an error in a script.
    """

    def __init__(self, script: Callable[[Peer], None], host: str = "127.0.0.1") -> None:
        self._script = script
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen()
        self.host, self.port = self._listener.getsockname()[:2]
        self.connections = 0
        self.connected: Queue[Peer] = Queue()
        self._errors: list[BaseException] = []
        self._acceptor = gevent.spawn(self._accept)
        self._running: list[gevent.Greenlet[..., None]] = []

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            self.connections += 1
            self._running.append(gevent.spawn(self._run, Peer(sock)))

    def _run(self, peer: Peer) -> None:
        self.connected.put(peer)
        try:
            self._script(peer)
        except (Gone, OSError):
            pass
        except Exception as error:
            self._errors.append(error)
        finally:
            peer.close()

    def join(self) -> None:
        """Wait until every connection so far is closed, which is at the end of its script."""
        gevent.joinall(self._running, timeout=LIMIT)

    def __enter__(self) -> "FakeNode":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._acceptor.kill()
        self._listener.close()
        gevent.killall(self._running)
        if self._errors and error is None:
            raise self._errors[0]


def event(name: str, body: str = "", **headers: str) -> bytes:
    """The frame of an event. Underscores in the names of headers stand for hyphens; values are sent as they are."""
    lines = [f"Event-Name: {name}"] + [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body.encode())}")
    data = "\n".join([*lines, "", body])
    if not body:
        data += "\n"
    data = data.encode()
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%b" % (len(data), data)


def received(trace: str) -> list[bytes]:
    """The frames that the node sent in the traces of that name (a glob pattern), whole, in their order."""
    frames = []
    for path in sorted(TRACES.glob(trace)):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            if entry.get("dir") == "recv":
                frames.append(entry["raw"].encode())
    return frames


def inner(frame: bytes) -> bytes:
    """The event inside a frame."""
    return frame.partition(b"\n\n")[2]


def recorded_events(trace: str = "*.jsonl") -> Iterator[bytes]:
    return (inner(frame) for frame in received(trace) if b"text/event-plain" in frame.partition(b"\n\n")[0])


def wait(flag: Flag) -> None:
    assert flag.wait(LIMIT), "it did not happen"
