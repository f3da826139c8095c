"""What a process counts of nodes, commands and the store, in its default registry. The dispatcher's own metrics stand
with it, the API's in `web`.

No label has unbounded values: an app's, a room's or a session's id is none, a node's prefix is one.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# By node. The gauges are shown by the process whose worker holds the node.
link_up = Gauge(
    "switchroom_link_up", "Whether the link to the node is up and the store is what the node is: 1 or 0", ["node"]
)
links_lost = Counter("switchroom_links_lost", "Links to the node that were up and ended", ["node"])
node_events = Counter("switchroom_node_events", "Events that came from the node", ["node"])
rooms = Gauge("switchroom_rooms", "Rooms that have a conference on the node", ["node"])
sessions = Gauge("switchroom_sessions", "Sessions on the node", ["node"])
members = Gauge("switchroom_members", "Members of rooms on the node, by its own list at the last comparison", ["node"])
intruders = Counter(
    "switchroom_intruders", "Calls hung up that asked for another call or joined a room unasked", ["node"]
)
drift = Counter("switchroom_drift", "Differences between a node and the store that an audit found", ["node"])

commands = Counter(
    "switchroom_commands",
    "Commands, by what came of them at once: accepted, failed, unavailable (the store), or why they were refused",
    ["command", "outcome"],
)
confirmations = Histogram(
    "switchroom_command_confirmation_seconds",
    "From when a command was stored for its node until the node confirmed it",
    ["command"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

nodes_held = Gauge("switchroom_nodes_held", "Nodes that this process's worker holds")
leases_lost = Counter(
    "switchroom_leases_lost",
    "Leases that another process took before they were given back, by what they are on",
    ["on"],
)
# A counter that an alert waits for must be there with 0, or Prometheus misses its first increase.
for _on in ("node", "partition"):
    leases_lost.labels(_on)

store_seconds = Histogram(
    "switchroom_store_seconds",
    "A round trip to the store with steps",
    buckets=(0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
store_failures = Counter("switchroom_store_failures", "Times that the store was not available, or not in time")

event_streams = Gauge("switchroom_event_streams", "Streams of events that are open at this process")
event_streams_cut_off = Counter(
    "switchroom_event_streams_cut_off", "Streams of events that ended because they were read too slowly"
)

# Of a node that is no longer held here nothing is known here.
_OF_NODE = (link_up, rooms, sessions, members)


def forget_node(prefix: str) -> None:
    for gauge in _OF_NODE:
        gauge.remove(prefix)
