"""Connections to tenants' addresses. Each address is checked before it is connected to, so a name that resolves to
something else a moment later leads nowhere else. The look-ups of names are bounded for each app.
"""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import certifi
from gevent import monkey
from gevent import socket as gsocket
from gevent import ssl as gssl
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

from controller.outbound.addresses import is_public
from controller.outbound.target import Target

MAX_THREADS = 128  # that look names up, made as they are needed
MAX_THREADS_OF_APP = 8
USER_AGENT = f"Switchroom/{version('switchroom')}"
CONNECT_SECONDS = 5.0  # for one address, so that the next one gets its turn within the caller's time

# The blocking one, even if the process is patched: it runs in threads.
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")

Resolve = Callable[[str, int], list[str]]
"""From a host and a port to the host's addresses. It may block, and raises OSError."""


class Blocked(OSError):
    """The address is not public. The error does not name it: tenants see it, and it may be of a private network."""


def tls_context() -> ssl.SSLContext:
    """Verifies certificate and name, against the system's authorities or, where there are none, certifi's."""
    context: ssl.SSLContext = gssl.create_default_context()
    if ssl.get_default_verify_paths().cafile is None:
        context.load_verify_locations(cafile=certifi.where())
    return context


class Network:
    """What the connections of a process share. `allow_private`: connect to any address; `resolve`: in place
    of the system's resolver, run in a thread. The threads are its own, and no app has more than its share: names
    whose servers are dead hold up no other use, and no other app.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Resolve | None = None,
        threads: int = MAX_THREADS,
    ) -> None:
        self.allow_private = allow_private
        self._threads = ThreadPool(threads)
        self._shares: defaultdict[str, BoundedSemaphore] = defaultdict(lambda: BoundedSemaphore(MAX_THREADS_OF_APP))
        self._looking_up: dict[tuple[str, str, int], AsyncResult[list[str]]] = {}
        self._resolve = resolve or _addresses
        self._tls = tls

    def connect(self, app_id: str, target: Target) -> Any:
        """Returns a connected socket without a timeout, over TLS for https. The addresses are tried in turn, and how
        long that may take in all is up to the caller.

        Raises OSError, of the last address that was tried: gaierror when there is none, Blocked when it is not public.
        """
        problem: OSError = socket.gaierror(socket.EAI_NONAME, "no address")
        for address in self.look_up(app_id, target.host, target.port).get() or ():
            if not self.allow_private and not is_public(address):
                problem = Blocked()
                continue
            try:
                return self._connect(address, target)
            except OSError as error:
                problem = error
        raise problem

    def look_up(self, app_id: str, host: str, port: int) -> AsyncResult[list[str]]:
        """Returns once a thread of the app's share has begun; how long that may take is up to the caller. The
        result's `get` gives the addresses, or raises OSError. Callers that ask for the same name at the same time
        share the result, so a dead name holds one thread. What is an address already needs none.
        """
        with suppress(socket.gaierror):
            known: AsyncResult[list[str]] = AsyncResult()
            known.set(_addresses(host, port, socket.AI_NUMERICHOST))
            return known
        key = (app_id, host, port)
        share = self._shares[app_id]
        if key in self._looking_up:
            return self._looking_up[key]
        share.acquire()
        try:
            found: AsyncResult[list[str]] = self._threads.spawn(self._resolve, host, port)
        except BaseException:
            share.release()
            raise
        self._looking_up[key] = found

        def end(_found: AsyncResult[list[str]]) -> None:
            # The thread counts for the app until it ends, even if nobody waits for it any more.
            share.release()
            self._looking_up.pop(key, None)

        found.rawlink(end)
        return found

    def _connect(self, address: str, target: Target) -> Any:
        sock: Any = gsocket.socket(gsocket.AF_INET6 if ":" in address else gsocket.AF_INET, gsocket.SOCK_STREAM)
        try:
            sock.settimeout(CONNECT_SECONDS)
            sock.connect((address, target.port))
            sock.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
            if target.scheme == "https":
                self._tls = self._tls or tls_context()
                sock = self._tls.wrap_socket(sock, server_hostname=target.host)
            sock.settimeout(None)
        except BaseException:
            sock.close()
            raise
        return sock


def _addresses(host: str, port: int, flags: int = 0) -> list[str]:
    # As bytes: a text would be encoded once more.
    found = _getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM, 0, flags)
    return list(dict.fromkeys(str(info[4][0]) for info in found))
