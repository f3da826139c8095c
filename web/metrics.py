"""What the HTTP servers of a process count, in its default registry.

The label `route` is the rule that matched a path, never the path itself, and every method that no route takes is one.
"""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

UNKNOWN = "unknown"  # the route of a request that no rule takes, or that is not HTTP
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))

_requests = Counter(
    "switchroom_http_requests",
    "Requests by route and status, which is empty if nothing was sent",
    ["method", "route", "status"],
)
_seconds = Histogram(
    "switchroom_http_request_seconds",
    "From a request's first byte to its response's last",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
connections = Gauge(
    "switchroom_http_connections",
    "Open connections of a server: of the API, of the audio relay, or of the metrics",
    ["server"],
)


def count(method: str | None, route: str, status: int | None, seconds: float) -> None:
    """Counts a request that has been answered, or whose client is gone."""
    known = method if method in METHODS else UNKNOWN
    requests, times = _of(known, route, status)
    requests.inc()
    times.observe(seconds)


@cache  # A metric takes a lock to look its labels up, which takes longer than to count.
def _of(method: str, route: str, status: int | None) -> tuple[Counter, Histogram]:
    return _requests.labels(method, route, status or ""), _seconds.labels(method, route)
