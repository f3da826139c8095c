"""What all connections to tenants' addresses share: look-ups of names, bounded for each app, and the TLS settings."""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import Callable

import certifi
from gevent import monkey
from gevent import ssl as gssl
from gevent.event import AsyncResult
from gevent.lock import BoundedSemaphore
from gevent.threadpool import ThreadPool

THREADS = 128  # that look names up, made as they are needed
SHARE = 8  # of them that one app may have

# The one that blocks: it runs in threads, whether or not the process is patched.
_getaddrinfo = monkey.get_original("socket", "getaddrinfo")


def tls_context() -> ssl.SSLContext:
    """Verifies certificate and name, against the system's authorities or, where there are none, certifi's."""
    context: ssl.SSLContext = gssl.create_default_context()
    if ssl.get_default_verify_paths().cafile is None:
        context.load_verify_locations(cafile=certifi.where())
    return context


class Network:
    """What the connections of a process share. `allow_private`: connect to any address; `resolve(host,
    port)`: the addresses of a name, run in a thread. The threads are its own, and no app has more than its
    share: names whose servers are dead hold up no other use, and no other app.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        tls: ssl.SSLContext | None = None,
        resolve: Callable[[str, int], list[str]] | None = None,
        threads: int = THREADS,
    ) -> None:
        self.allow_private = allow_private
        self._threads = ThreadPool(threads)
        self._shares: defaultdict[str, BoundedSemaphore] = defaultdict(lambda: BoundedSemaphore(SHARE))
        self._resolve = resolve or _addresses
        self._tls = tls

    def look_up(self, app: str, host: str, port: int) -> AsyncResult[list[str]]:
        """Returns once a thread of the app's share has begun; how long that may take is up to the caller. The
        result's `get` gives the addresses, or raises OSError.
        """
        share = self._shares[app]
        share.acquire()
        try:
            found: AsyncResult[list[str]] = self._threads.spawn(self._resolve, host, port)
        except BaseException:
            share.release()
            raise
        # The thread is the app's until it ends, whoever still waits for it.
        found.rawlink(lambda _: share.release())
        return found

    @property
    def tls(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context()
        return self._tls


def _addresses(host: str, port: int) -> list[str]:
    # As bytes: a text would be encoded once more.
    found = _getaddrinfo(host.encode("ascii"), port, 0, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))
