"""What a process counts. The dispatcher's own counters stand with it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

intruders = Counter(
    "switchroom_intruders", "Calls hung up that asked for another call or joined a room unasked", ["node"]
)
drift = Counter("switchroom_drift", "Differences between a node and the store that an audit found", ["node"])
# One server has no label, each primary of a cluster its address.
store_used = Gauge("switchroom_store_memory_used_bytes", "Memory that the store uses", ["server"])
store_max = Gauge(
    "switchroom_store_memory_max_bytes", "Memory that the store may use, 0 if that is not limited", ["server"]
)
