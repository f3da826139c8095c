"""The connections over which one server is asked.

redis-py makes and authenticates them. But what its pool and its connections do around a command takes as long as the
command itself, so neither is used for what is asked at each event.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from gevent import monkey
from gevent.lock import Semaphore
from redis.exceptions import ConnectionError, NoScriptError, OutOfMemoryError, ResponseError

READ_BYTES = 65536

# The blocking one, even if the process is patched.
_poll = monkey.get_original("select", "poll")
_READABLE = 1  # POLLIN

# Of the errors of a server, those that are told apart.
_ERRORS: dict[str, type[ResponseError]] = {"OOM": OutOfMemoryError, "NOSCRIPT": NoScriptError}

Word = bytes | str | int

# A command as the server reads it. Its own type has commands of one word.
pack: Callable[[tuple[Word, ...]], bytes] = cast(Any, hiredis.pack_command)


class Connections:
    """At most `limit` connections to the server of a client's pool. Waits for one that is free.

    Whoever asks bounds the time. Raises redis-py's errors, and OSError.
    """

    def __init__(self, pool: Any, limit: int) -> None:
        self._pool = pool
        self._free = Semaphore(limit)
        # The last one used goes first, so that few are used.
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    def ask(self, commands: Sequence[tuple[Word, ...]]) -> list[Any]:
        """The replies to the commands, in one round trip. One that failed has a ResponseError in place of its reply."""
        packed = b"".join(map(pack, commands))
        with self._free:
            connection = self._take()
            try:
                connection.send(packed)
                replies = [connection.reply() for _ in commands]
            except BaseException:
                # A reply that is still to come would be taken for that of another command.
                self._close(connection)
                raise
            if connection in self._all:
                self._idle.append(connection)
        return replies

    @property
    def are_used(self) -> bool:
        """Whether anybody waits for a reply."""
        return len(self._idle) < len(self._all)

    def close(self) -> None:
        self._idle.clear()
        for connection in list(self._all):
            self._close(connection)

    def _take(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
            self._close(connection)
        connection = Connection(self._pool.connection_class(**self._pool.connection_kwargs))
        self._all.add(connection)
        return connection

    def _close(self, connection: Connection) -> None:
        self._all.discard(connection)
        connection.close()


class Connection:
    """`made`: redis-py's."""

    def __init__(self, made: Any) -> None:
        made.connect()
        self._made = made
        self._sock = made._sock
        self._sock.settimeout(None)
        self._idle = _poll()
        self._idle.register(self._sock, _READABLE)
        self._reader = hiredis.Reader(protocolError=ConnectionError, replyError=_error)

    @property
    def is_usable(self) -> bool:
        """Whether the server has not closed it while it was idle."""
        return not self._idle.poll(0)

    def close(self) -> None:
        self._made.disconnect()

    def send(self, packed: bytes) -> None:
        sent = self._sock.send(packed)
        if sent < len(packed):
            self._sock.sendall(packed[sent:])

    def reply(self) -> Any:
        """The next reply."""
        while (found := self._reader.gets()) is False:
            data = self._sock.recv(READ_BYTES)
            if not data:
                raise ConnectionError("closed by the server")
            self._reader.feed(data)
        return found


def _error(text: str) -> ResponseError:
    code, _, rest = text.partition(" ")
    return _ERRORS.get(code, ResponseError)(rest if code in ("ERR", *_ERRORS) else text)
