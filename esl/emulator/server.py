"""The Event Socket's server side: one session a connection."""

from __future__ import annotations

import re
import socket
import struct
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import gevent
from gevent.event import Event as Flag
from gevent.server import StreamServer

from esl.emulator import wire

READ_SIZE = 65536
MAX_WAITING = 100_000  # events that wait for a slow listener before more are lost
MAX_LOST = 500  # lost events after which the node cuts a listener off
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a RST

EVENT_NAMES = frozenset(
    """
    ALL API BACKGROUND_JOB CHANNEL_ANSWER CHANNEL_APPLICATION CHANNEL_BRIDGE CHANNEL_CALLSTATE CHANNEL_CREATE
    CHANNEL_DATA CHANNEL_DESTROY CHANNEL_EXECUTE CHANNEL_EXECUTE_COMPLETE CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE
    CHANNEL_HOLD CHANNEL_ORIGINATE CHANNEL_OUTGOING CHANNEL_PARK CHANNEL_PROGRESS CHANNEL_PROGRESS_MEDIA
    CHANNEL_STATE CHANNEL_UNBRIDGE CHANNEL_UNHOLD CHANNEL_UNPARK CHANNEL_UUID CODEC CUSTOM DTMF HEARTBEAT
    MESSAGE MODULE_LOAD MODULE_UNLOAD NOTIFY PLAYBACK_START PLAYBACK_STOP PRESENCE_IN RECORD_START RECORD_STOP
    RELOADXML SESSION_HEARTBEAT SHUTDOWN STARTUP TALK NOTALK
    """.split()  # noqa: SIM905 (a list literal would take a line a name)
)


class Host(Protocol):
    """What the server asks of its node."""

    password: str
    looks_every: float

    def execute(self, command: str, argument: str) -> str: ...

    def do_job(self, job_uuid: str, command: str, argument: str) -> None: ...

    def emit(
        self, name: str, headers: wire.Headers, *, subclass: str | None = None, body: str | None = None
    ) -> None: ...

    def changed(self) -> None: ...


class Session:
    """One connection: what it may do, what it listens to, and what is still to be written to it."""

    def __init__(self, node: Host, sock: socket.socket, silent: bool) -> None:
        self.node = node
        self.authenticated = False
        self.events: set[str] = set()
        self.subclasses: set[str] = set()
        self.filters: list[tuple[str, str]] = []
        self.logging = False
        self.lost = 0
        self._socket = sock
        self._outgoing: deque[bytes] = deque()
        self._unsent: deque[bytes] = deque()  # events, until the node looks for them
        self._something = Flag()
        self._speaking = Flag()
        self._closing = False
        self.silence(silent)

    # Writing

    def say(self, frame: bytes) -> None:
        self._outgoing.append(frame)
        self._something.set()

    def silence(self, silent: bool) -> None:
        (self._speaking.clear if silent else self._speaking.set)()

    def write(self) -> None:
        """Write what there is to say, for as long as the connection lives."""
        try:
            while not (self._closing and not self._outgoing):
                self._something.wait()
                self._speaking.wait()
                self._something.clear()
                while self._outgoing:
                    self._socket.sendall(self._outgoing.popleft())
        except OSError:
            pass
        finally:
            self.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def reset(self) -> None:
        """Break the connection off, whatever is still to be written."""
        self._abandon()
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._socket.close()

    # Events

    def subscribed(self, name: str, subclass: str | None) -> bool:
        if "ALL" in self.events:
            return True
        return name in self.events and (subclass is None or subclass in self.subclasses)

    def offer(self, event: wire.Event) -> None:
        """Take an event that this session subscribed to, unless its filters keep it away."""
        if not self._passes(event):
            return
        if len(self._outgoing) + len(self._unsent) < MAX_WAITING:
            self._unsent.append(event.frame)
            if not self.node.looks_every:
                self._look()
            elif len(self._unsent) == 1:
                gevent.spawn_later(self.node.looks_every, self._look)
            return
        self.lost += 1
        if self.lost > MAX_LOST:
            self.reset()

    def _look(self) -> None:
        """Say what there is of events."""
        if self._unsent:
            self._outgoing.extend(self._unsent)
            self._unsent.clear()
            self._something.set()

    def _passes(self, event: wire.Event) -> bool:
        """Filters are alternatives; one whose value begins with `-` keeps away what the others would let through."""
        passes = not self.filters
        for header, value in self.filters:
            found = event.get(header)
            if found is not None and _matches(value.lstrip("+- "), found):
                if value.startswith("-"):
                    return False
                passes = True
        return passes

    # Commands

    def read(self) -> None:
        """Do what the client asks, until it is done or gone."""
        reader = wire.CommandReader()
        self.say(wire.AUTH_REQUEST)
        try:
            while not self._closing and (data := self._socket.recv(READ_SIZE)):
                for command in reader.feed(data):
                    self._handle(command)
                    if self._closing:
                        break
                self._look()
        except (OSError, wire.CommandTooLong):
            pass
        if not self._closing:
            self._abandon()

    def _abandon(self) -> None:
        """The client is gone: there is nobody to say anything to, and nothing to wait for."""
        self._closing = True
        self._outgoing.clear()
        self._unsent.clear()
        self._speaking.set()
        self._something.set()

    def _handle(self, command: wire.Command) -> None:
        table = COMMANDS if self.authenticated else COMMANDS_BEFORE_AUTH
        handler = table.get(command.verb)
        if handler is None:
            self.say(wire.reply("-ERR command not found"))
            return
        frame = handler(self, command)
        if frame is not None:
            self.say(frame)

    def _bye(self) -> None:
        self.say(wire.DISCONNECT)
        self._closing = True

    def auth(self, command: wire.Command) -> None:
        self.authenticated = command.argument == self.node.password
        self.say(wire.reply("+OK accepted" if self.authenticated else "-ERR invalid"))
        if not self.authenticated:
            self._bye()

    def exit(self, _command: wire.Command) -> None:
        self.say(wire.reply("+OK bye"))
        self._bye()

    def api(self, command: wire.Command) -> bytes:
        name, _, argument = command.argument.partition(" ")
        return wire.api_response(self.node.execute(name, argument))

    def bgapi(self, command: wire.Command) -> bytes:
        """Answer with the job's id, and do the job in a greenlet of its own."""
        name, _, argument = command.argument.partition(" ")
        job_uuid = command.get("job-uuid") or str(uuid.uuid4())
        gevent.spawn(self.node.do_job, job_uuid, name, argument)
        return wire.job_reply(job_uuid)

    def event(self, command: wire.Command) -> bytes:
        """Subscribe, in the format `plain`: the others of the node are not emulated."""
        words = command.argument.split()
        given = words[0].lower() if words else ""
        if given in ("xml", "json"):
            return wire.reply(f"-ERR {given} is not emulated")
        known, subclasses = self._event_words(words[1:] if given == "plain" else words)
        if not known:
            return wire.reply("-ERR no keywords supplied")
        self.events |= known
        self.subclasses |= subclasses
        return wire.reply("+OK event listener enabled plain")

    def nixevent(self, command: wire.Command) -> bytes:
        known, subclasses = self._event_words(command.argument.split())
        if not known:
            return wire.reply("-ERR no keywords supplied")
        if "ALL" in known:
            self.events.clear()
        elif "ALL" in self.events:
            self.events = set(EVENT_NAMES - known - {"ALL"})
        else:
            self.events -= known - {"CUSTOM"}
        self.subclasses -= subclasses
        return wire.reply("+OK events nixed")

    def noevents(self, _command: wire.Command) -> bytes:
        if not self.events:
            return wire.reply("-ERR not listening for events")
        self.events.clear()
        self.subclasses.clear()
        return wire.reply("+OK no longer listening for events")

    def _event_words(self, words: list[str]) -> tuple[set[str], set[str]]:
        """Names of events up to CUSTOM, subclasses behind it."""
        upper = [word.upper() for word in words]
        custom = upper.index("CUSTOM") + 1 if "CUSTOM" in upper else len(words)
        return set(upper[:custom]) & EVENT_NAMES, set(words[custom:])

    def filter(self, command: wire.Command) -> bytes:
        header, _, value = command.argument.strip().partition(" ")
        if header.lower() == "delete" and value:
            return self._delete_filter(value)
        if header.lower() == "add" and value:
            header, _, value = value.partition(" ")
        if not value:
            return wire.reply("-ERR invalid syntax")
        self.filters.append((header, value))
        return wire.reply(f"+OK filter added. [{header}]=[{value}]")

    def _delete_filter(self, what: str) -> bytes:
        header, _, value = what.partition(" ")
        self.filters = [
            (name, pattern)
            for name, pattern in self.filters
            if header.lower() != "all" and (name.lower() != header.lower() or value not in ("", pattern))
        ]
        return wire.reply(f"+OK filter deleted. [{header}][{value}]")

    def sendevent(self, command: wire.Command) -> bytes:
        name = command.argument.strip().upper()
        if name not in EVENT_NAMES:
            name = "CUSTOM"
        subclass = command.get("event-subclass")
        rest = ("content-length", "event-subclass", "event-name")
        given = [(header, value) for header, value in command.headers if header.lower() not in rest]
        self.node.emit(name, given, subclass=subclass, body=command.body or None)
        return wire.reply(f"+OK {uuid.uuid4()}")

    def log(self, command: wire.Command) -> bytes:
        self.logging = True
        return wire.reply(f"+OK log level {command.argument.strip()} [7]")

    def nolog(self, _command: wire.Command) -> bytes:
        was, self.logging = self.logging, False
        return wire.reply("+OK no longer logging" if was else "-ERR not loging")

    def not_a_call(self, _command: wire.Command) -> bytes:
        return wire.reply("-ERR not controlling a session")


def _matches(pattern: str, value: str) -> bool:
    """Whether a filter's value, plain in any case or `/a regular expression/`, fits a header's."""
    if len(pattern) < 2 or not pattern.startswith("/"):
        return pattern.lower() == value.lower()
    try:
        return re.search(pattern.strip("/"), value) is not None
    except re.error:
        return False


COMMANDS_BEFORE_AUTH: dict[str, Callable[[Session, wire.Command], bytes | None]] = {
    "auth": Session.auth,
    "exit": Session.exit,
}
COMMANDS: dict[str, Callable[[Session, wire.Command], bytes | None]] = {
    "api": Session.api,
    "bgapi": Session.bgapi,
    "event": Session.event,
    "exit": Session.exit,
    "filter": Session.filter,
    "linger": Session.not_a_call,
    "log": Session.log,
    "nixevent": Session.nixevent,
    "noevents": Session.noevents,
    "nolinger": Session.not_a_call,
    "nolog": Session.nolog,
    "sendevent": Session.sendevent,
}


class Server:
    """The listener, and the sessions that are open."""

    def __init__(self, node: Host, host: str, port: int) -> None:
        self.node = node
        self.address = (host, port)
        self.sessions: list[Session] = []
        self._silent = False
        self._listener: StreamServer | None = None

    def start(self) -> None:
        if self._listener is not None:
            return
        listener = StreamServer(self.address, self._serve)
        listener.start()
        self._listener = listener
        self.address = (self.address[0], int(listener.server_port or 0))

    def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for session in list(self.sessions):
            session.reset()

    def silence(self, silent: bool) -> None:
        self._silent = silent
        for session in self.sessions:
            session.silence(silent)

    def _serve(self, sock: socket.socket, _peer: object) -> None:
        session = Session(self.node, sock, self._silent)
        self.sessions.append(session)
        writer = gevent.spawn(session.write)
        self.node.changed()
        try:
            session.read()
            writer.join()
        finally:
            self.sessions.remove(session)
            self.node.changed()
