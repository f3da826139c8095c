"""What a process counts, and where Prometheus reads it. The dispatcher's own counters stand with it."""

from __future__ import annotations

from gevent.pywsgi import WSGIServer
from prometheus_client import Counter, Gauge, make_wsgi_app

intruders = Counter(
    "switchroom_intruders", "Calls hung up that asked for another call or joined a room unasked", ["node"]
)
drift = Counter("switchroom_drift", "Differences between a node and the store that an audit found", ["node"])
# One server has no label, each primary of a cluster its address.
store_used = Gauge("switchroom_store_memory_used_bytes", "Memory that the store uses", ["server"])
store_max = Gauge(
    "switchroom_store_memory_max_bytes", "Memory that the store may use, 0 if that is not limited", ["server"]
)


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
