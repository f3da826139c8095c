"""What the worker counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter

drift = Counter("switchroom_drift", "Differences between a node and the store that an audit found", ["node"])
