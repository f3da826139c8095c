"""What a process counts. The dispatcher's own counters stand with it."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

intruders = Counter(
    "switchroom_intruders", "Calls hung up that asked for another call or joined a room unasked", ["node"]
)
drift = Counter("switchroom_drift", "Differences between a node and the store that an audit found", ["node"])
event_streams = Gauge("switchroom_event_streams", "Streams of events that are open at this process")
event_streams_cut_off = Counter(
    "switchroom_event_streams_cut_off", "Streams of events that ended because they were read too slowly"
)
