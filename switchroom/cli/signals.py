"""How SIGTERM and SIGINT end a command."""

from __future__ import annotations

import os
import signal

import gevent
from gevent.event import Event as Flag

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def stop_signal() -> Flag:
    """Set by the first signal. The second ends the process at once."""
    stop = Flag()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in SIGNALS:
        gevent.signal_handler(number, on_signal, number)
    return stop


def interrupt_on_signals() -> None:
    """A signal becomes KeyboardInterrupt here: what is open is closed, the embedded store too."""
    main = gevent.getcurrent()
    for number in SIGNALS:
        gevent.signal_handler(number, gevent.kill, main, KeyboardInterrupt)
