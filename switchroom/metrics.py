"""Where Prometheus reads what a process counts."""

from __future__ import annotations

from gevent.pywsgi import WSGIServer
from prometheus_client import make_wsgi_app


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
