"""What a process holds, for its metrics."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from weakref import WeakSet

import gevent
from prometheus_client import Gauge

# Of each greenlet, from its start until nothing refers to it. gevent has no list of its own that is cheap to read.
_greenlets: WeakSet[gevent.Greenlet[..., object]] = WeakSet()


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
