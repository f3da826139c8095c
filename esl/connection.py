"""One authenticated Event Socket connection, on which no wait is without end and no reply meets the wrong command.

How it works: FreeSWITCH replies to commands in their order, and no reply says which command it is for. So a command is
written and its waiter queued in one step, and a reply goes to the first waiter in the queue. If a reply does not come
in time, or a write is cut short, the connection is closed: later commands would wait behind this one, or be taken for
the rest of it. The result of a `bgapi` is different: it comes as an event with the job's id, so giving up on it harms
nothing.

One greenlet reads: it cuts the bytes into frames, passes events on, and wakes the waiters. Whoever sends a command
waits in another greenlet, with a time limit. However the connection ends, `_end` runs once: it closes the socket,
raises the reason in every waiter and every job, and calls `on_close`.

The node sends events when it looks for commands, which it does every 20 ms, and at once when anything comes. An empty
line is no command, and gets no reply. So while the result of a `bgapi` is awaited, `_nudge` sends some.

It is built on greenswitch's `InboundESL`, and keeps its names and flow: `connect`, `authenticate`, `connected`,
`receive_events`, `handle_event`, `send`, `stop`. A connection belongs to one thread, whose greenlets take turns: only
waiting gives the turn away.
"""

import logging
import re
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol, cast
from weakref import WeakValueDictionary

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from greenswitch.esl import InboundESL

from esl.commands import Command, Ping
from esl.errors import (
    AuthenticationError,
    CommandRefused,
    ConnectError,
    ConnectionLost,
    EslError,
    JobTimeout,
    ProtocolError,
    ReplyTimeout,
)
from esl.event import Event
from esl.framing import Frame, FrameParser

log = logging.getLogger(__name__)

RECEIVE_SIZE = 256 * 1024
"""Bytes asked of the socket at once: room for more than a hundred events."""

MAX_TURN = 128
"""Frames after which the reader lets other greenlets run: `recv` does not wait while there is more to read."""

KEEPALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""TCP's own probes (seconds, seconds, probes) are a backstop: the link's pings notice a dead peer sooner."""

NUDGES = (0.002, 0.002, 0.004, 0.008)
"""Seconds from a `bgapi` to its first empty line, and from each to the next: after 20 ms the node looks by itself."""

# FreeSWITCH takes any short text (seen on 1.11.1, which keeps 36 characters of it).
_JOB_UUID = re.compile(r"[0-9A-Za-z-]{1,36}")
_FORBIDDEN = re.compile(r"[\r\n\0]")


class _Waiter(Protocol):
    """What waits for a reply."""

    def replied(self, frame: Frame) -> None: ...

    def failed(self, error: EslError) -> None: ...


class _Reply:
    """The reply that one `send` waits for."""

    __slots__ = ("_result",)

    def __init__(self) -> None:
        self._result: AsyncResult[Frame] = AsyncResult()

    def frame(self) -> Frame:
        return cast(Frame, self._result.get())

    def replied(self, frame: Frame) -> None:
        self._result.set(frame)

    def failed(self, error: EslError) -> None:
        self._result.set_exception(error)


class Job:
    """A command that runs in the background on the node."""

    __slots__ = ("__weakref__", "_result", "uuid")

    def __init__(self, job_uuid: str) -> None:
        self.uuid = job_uuid
        self._result: AsyncResult[str] = AsyncResult()

    def ready(self) -> bool:
        """Whether `result` would return, or raise for good, at once."""
        return bool(self._result.ready())

    def result(self, timeout: float) -> str:
        """What the command printed: `+OK ...`, `-ERR ...`, or anything else, as it came.

        Raises JobTimeout after `timeout` seconds (a later call may still get it), ConnectionLost, or
        CommandRefused if the Event Socket itself turned the command away.
        """
        with gevent.Timeout(timeout, JobTimeout(f"no result of job {self.uuid} within {timeout:g} s")):
            return str(self._result.get())

    def replied(self, frame: Frame) -> None:
        if frame.text.startswith("-ERR"):
            self.failed(CommandRefused(frame.text))

    def finished(self, text: str) -> None:
        self._result.set(text)

    def failed(self, error: EslError) -> None:
        if not self._result.ready():
            self._result.set_exception(error)


class Connection(InboundESL):  # type: ignore[misc]  # greenswitch is untyped
    """A connection from `connect` to `close`, used once. Before and after that, commands raise ConnectionLost.

    `on_event` gets the events in the order in which they come, in the reading greenlet: it must not wait, so it cannot
    send what waits for a reply. `on_close` is called once when an established connection ends, with the reason, or with
    None after `close`; no event follows.
    """

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        *,
        on_event: Callable[[Event], None],
        on_close: Callable[[EslError | None], None] | None = None,
        connect_timeout: float = 5.0,
        reply_timeout: float = 5.0,
    ) -> None:
        """Times in seconds: `connect_timeout` for the whole handshake, `reply_timeout` for each reply."""
        if _FORBIDDEN.search(password):
            raise ValueError("a password cannot hold a line break or NUL")
        super().__init__(host, port, password, timeout=connect_timeout)
        self.reply_timeout = reply_timeout
        self.sock: socket.socket | None = None
        self._on_event = on_event
        self._on_close = on_close
        self._parser = FrameParser()
        self._waiters: deque[_Waiter] = deque()
        # Weakly: a job that nobody waits for is forgotten, and a result that never comes leaks nothing.
        self._jobs: WeakValueDictionary[str, Job] = WeakValueDictionary()
        self._writing = BoundedSemaphore(1)
        self._awaited: set[str] = set()
        self._nudges: Iterator[float] = iter(())
        self._timer: Any = None
        self._greeting: AsyncResult[None] = AsyncResult()
        self._established = False
        self._ended: EslError | None = None

    # -- opening

    def connect(self) -> None:
        """Resolve the name, connect, await the greeting and authenticate, all within the connect timeout.

        Raises ConnectError, or AuthenticationError when the node turns this client away.
        """
        if self._ended is not None or self.sock is not None:
            raise ConnectError("a connection is used once")
        late = ConnectError(f"no handshake with {self.host}:{self.port} within {self.timeout:g} s")
        try:
            with gevent.Timeout(self.timeout, late):
                self.sock = self._open()
                self.connected = True
                self._receive_events_greenlet = gevent.spawn(self.receive_events)
                self._greeting.get()
                self.authenticate()
                if self._ended is not None:
                    raise self._lost()
        except (ConnectError, AuthenticationError) as error:
            self._end(error)
            raise
        except EslError as error:
            self._end(error)
            raise ConnectError(f"the handshake with {self.host}:{self.port} failed: {error}") from error
        except BaseException:
            self._end(ConnectionLost("the handshake was given up"))
            raise
        self._established = True

    def authenticate(self) -> None:
        """Send the password. Raises AuthenticationError if the node does not accept it."""
        if self.send(f"auth {self.password}", timeout=self.timeout).text != "+OK accepted":
            raise AuthenticationError(f"{self.host}:{self.port} refuses the password")

    def _open(self) -> socket.socket:
        try:
            found = socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise ConnectError(f"cannot resolve {self.host}: {error}") from error
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.timeout / len(found))  # a dead first address leaves time for the next
                sock.connect(address)
                sock.settimeout(None)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in KEEPALIVE.items():
                    if hasattr(socket, option):
                        sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise ConnectError(f"cannot connect to {self.host}:{self.port}: {failure}") from failure

    # -- commands

    def send(self, line: str, timeout: float | None = None) -> Frame:
        """Send one command of the Event Socket itself (`event`, `filter`, ...); the reply's `.text` says how.

        Raises ValueError on a line break, ConnectionLost, or ReplyTimeout after `timeout` seconds (the
        connection's reply timeout if None), which also closes the connection.
        """
        if gevent.getcurrent() is self._receive_events_greenlet:
            raise RuntimeError("on_event cannot wait for a reply: it would keep the reply from being read")
        data = _encode(line)
        reply = _Reply()
        with self._within(self.reply_timeout if timeout is None else timeout, line):
            self._write(data, reply)
            return reply.frame()

    def api(self, command: Command | str, timeout: float | None = None) -> str:
        """Run a quick command and return what it printed. Meanwhile the node handles nothing else on this connection.

        Raises as `send` does, and CommandRefused when the Event Socket turns the command away.
        """
        frame = self.send("api " + _render(command), timeout)
        if frame.content_type != "api/response":
            raise CommandRefused(frame.text)
        return frame.body.decode("utf-8", "replace")

    def bgapi(self, command: Command | str, *, job_uuid: str | None = None) -> Job:
        """Start a command in the background and return without waiting, not even for the node's reply.

        The job's id is chosen on this side, `job_uuid` or a random UUID, so no result can be missed. It may be any
        1 to 36 letters, digits and hyphens: FreeSWITCH takes it as it is. A result is also passed to `on_event`, in
        its place among the events. Raises ValueError, ConnectionLost, or ReplyTimeout if the node takes no more.
        """
        if job_uuid is None:
            job_uuid = str(uuid.uuid4())
        elif not _JOB_UUID.fullmatch(job_uuid):
            raise ValueError(f"not a job id: {job_uuid!r}")
        line = "bgapi " + _render(command)
        data = _encode(line, f"Job-UUID: {job_uuid}\n")
        job = Job(job_uuid)
        self._jobs[job_uuid] = job
        self._awaited.add(job_uuid)
        with self._within(self.reply_timeout, line):
            self._write(data, job)
        self._nudges = iter(NUDGES)
        self._nudge_later()
        return job

    def ping(self, timeout: float) -> None:
        """Check that events come, by a job: a node that has no room left for events still replies to commands.

        Raises as `bgapi` does, CommandRefused, or JobTimeout after `timeout` seconds, which also closes the connection.
        """
        try:
            self.bgapi(Ping()).result(timeout)
        except JobTimeout:
            self._end(ConnectionLost(f"no event came within {timeout:g} s of a ping"))
            raise

    @contextmanager
    def _within(self, seconds: float, line: str) -> Iterator[None]:
        """Limit the time that the block inside takes. Beyond it, close the connection and raise ReplyTimeout."""
        late = ReplyTimeout(f"no reply to {_describe(line)!r} within {seconds:g} s")
        try:
            with gevent.Timeout(seconds, late):
                yield
        except ReplyTimeout as error:
            if error is late:
                self._end(error)
            raise

    def _write(self, data: bytes, waiter: _Waiter) -> None:
        with self._writing:  # replies come in the order of the commands: queue and write are one step
            if not self.connected or self.sock is None:
                raise self._lost()
            self._waiters.append(waiter)
            try:
                self.sock.sendall(data)
            except OSError as error:
                self._end(ConnectionLost(f"cannot send: {error}"))
                raise self._lost() from error
            except BaseException as error:  # a timeout or a kill, perhaps in the middle of the line
                cut_off = ConnectionLost("a command was cut off while it was sent")
                self._end(error if isinstance(error, EslError) else cut_off)
                raise

    def _nudge_later(self) -> None:
        """Send the next empty line in time, if a result is awaited: a command before that has it begin anew."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None
        seconds = next(self._nudges, None) if self._awaited else None
        if seconds is None or not self.connected:
            self._awaited.clear()
            return
        self._timer = gevent.get_hub().loop.timer(seconds)
        self._timer.start(self._nudge)

    def _nudge(self) -> None:
        """In the hub, so it cannot wait. Not amid a command that is being written, which wakes the node, too."""
        if self._awaited and self.sock is not None and not self._writing.locked():
            with suppress(OSError):  # the reader hears of it, too
                self.sock.send(b"\n", 0, 0.0)  # type: ignore[call-arg]  # of gevent alone
        self._nudge_later()

    # -- reading

    def receive_events(self) -> None:
        """Read until the connection ends; when this returns, it has."""
        sock, feed, came, handle = self.sock, self._parser.feed, self._event_came, self.handle_event
        if sock is None:
            return
        handled = 0
        try:
            while self.connected:
                data = sock.recv(RECEIVE_SIZE)
                if not data:
                    raise ConnectionLost("the node closed the connection")
                for frame in feed(data):
                    if type(frame) is Event:
                        came(frame)
                    else:
                        handle(frame)
                    if not self.connected:
                        return
                    handled += 1
                if handled >= MAX_TURN:
                    handled = 0
                    gevent.sleep(0)
        except EslError as error:
            self._end(error)
        except OSError as error:
            self._end(ConnectionLost(f"cannot receive: {error}"))
        finally:
            self._end(ConnectionLost("the reader was stopped"))

    def handle_event(self, frame: Frame) -> None:
        """Handle a frame by its content type. One without a handler (log/data) was not asked for, and is dropped."""
        handler = _HANDLERS.get(frame.content_type)
        if handler is not None:
            handler(self, frame)

    def _event_came(self, event: Event) -> None:
        if event.is_job_result:
            job_uuid = event.get("Job-UUID", "")
            self._awaited.discard(job_uuid)
            job = self._jobs.pop(job_uuid, None)
            if job is not None:
                job.finished(event.body)
        try:
            self._on_event(event)
        except Exception:
            log.exception("the handler of %r failed", event)

    def _reply_came(self, frame: Frame) -> None:
        if not self._waiters:
            raise ProtocolError("a reply that no command asked for")
        self._waiters.popleft().replied(frame)

    def _greeting_came(self, _frame: Frame) -> None:
        self._greeting.set(None)

    def _goodbye_came(self, frame: Frame) -> None:
        if frame.get("Content-Disposition") == "linger":
            self._lingering = True
        else:
            raise ConnectionLost("the node disconnected")

    def _rejection_came(self, _frame: Frame) -> None:
        raise AuthenticationError(f"{self.host}:{self.port} refuses this address (apply-inbound-acl)")

    # -- closing

    def close(self) -> None:
        """Close it, after a parting `exit` if that takes no waiting. May be called at any time, and more than once."""
        if self.connected and self.sock is not None and not self._writing.locked():
            try:
                self.sock.settimeout(0)
                self.sock.send(b"exit\n\n")
            except OSError:
                pass
        self._end(None)

    stop = close

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(str(self._ended) if self._ended is not None else "not connected")

    def _end(self, error: EslError | None) -> None:
        """End the connection: raise in every waiter and job, then call `on_close`. The first reason given counts."""
        if self._ended is not None:
            return
        self._ended = error or ConnectionLost("the connection was closed here")
        self.connected = False
        self._run = False
        self._nudge_later()
        if self.sock is not None:
            self.sock.close()
        # Each gets its own exception: a shared one, raised in several greenlets, would collect all their tracebacks.
        if not self._greeting.ready():
            self._greeting.set_exception(type(self._ended)(*self._ended.args))
        waiters, jobs = list(self._waiters), list(self._jobs.values())
        self._waiters.clear()
        self._jobs.clear()
        for waiter in waiters + jobs:
            waiter.failed(self._lost())
        if self._established and self._on_close is not None:
            try:
                self._on_close(error)
            except Exception:
                log.exception("on_close failed")


_HANDLERS: dict[str, Callable[[Connection, Frame], None]] = {
    "command/reply": Connection._reply_came,
    "api/response": Connection._reply_came,
    "auth/request": Connection._greeting_came,
    "text/disconnect-notice": Connection._goodbye_came,
    "text/rude-rejection": Connection._rejection_came,
}


def _render(command: Command | str) -> str:
    return command if isinstance(command, str) else command.render()


def _encode(line: str, headers: str = "") -> bytes:
    if not line or _FORBIDDEN.search(line):
        raise ValueError("a command is one line, without NUL")
    return f"{line}\n{headers}\n".encode()


def _describe(line: str) -> str:
    """A command without what may be secret in it: `auth`, `api uptime`."""
    words = line.split(" ", 2)
    return " ".join(words[:2]) if words[0] in {"api", "bgapi"} else words[0]
