"""Where Prometheus reads what a process counts, and what the process holds."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

import gevent
from gevent.pywsgi import WSGIServer
from prometheus_client import Gauge, make_wsgi_app

# Of each greenlet, from its start until nothing refers to it. gevent has no list of its own that is cheap to read.
_greenlets: WeakSet[gevent.Greenlet[..., object]] = WeakSet()


class MetricsServer:
    """All metrics of the process at any path of `host:port`."""

    def __init__(self, host: str, port: int) -> None:
        self._server = WSGIServer((host, port), make_wsgi_app(), log=None)

    @property
    def address(self) -> tuple[str, int]:
        return str(self._server.server_host), int(self._server.server_port or 0)

    def start(self) -> None:
        """Raises OSError when the address cannot be had."""
        self._server.start()

    def stop(self, timeout: float) -> None:
        self._server.stop(min(timeout, 1.0))


def held() -> dict[str, int]:
    """What the process holds, as far as the system tells: `memory` (bytes), `greenlets`."""
    found = {"greenlets": _count_greenlets()}
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        found["memory"] = pages * os.sysconf("SC_PAGE_SIZE")
    return found


def _count_greenlets() -> int:
    return sum(not greenlet.dead for greenlet in list(_greenlets))


def watch_greenlets() -> None:
    """From here on greenlets are counted."""
    gevent.Greenlet.add_spawn_callback(_greenlets.add)


_gauge = Gauge("switchroom_greenlets", "Greenlets that were started and have not ended")
_gauge.set_function(_count_greenlets)
