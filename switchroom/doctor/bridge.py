"""Checks between nodes: does each get through to every other's bridge profile, as rooms that span them need.

A node is told to call the others, which refuse: no room is announced for the call. How they refuse tells whether they
would let a leg in.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from controller.registry import Node
from esl import commands as esl
from esl.connection import Connection, Job
from esl.errors import EslError, JobTimeout
from switchroom.doctor.finding import Finding, Verdict

# How long a node may take to say what became of its calls.
CALL_SECONDS = esl.DIAL_SECONDS + 3.0

# The cause with which a call ends if all is well.
_REFUSED = "NO_ROUTE_DESTINATION"
# What is wrong if it ends with another one, and what to do: see `esl.commands.CallBridge`.
_NO_PROFILE = (
    "it has no profile `bridge`",
    "give it sip_profiles/bridge.xml of freeswitch-conf/, or see in its log why that did not start",
)
_FAULTS = {
    "INVALID_PROFILE": _NO_PROFILE,
    "CHAN_NOT_IMPLEMENTED": _NO_PROFILE,  # Nor any other: mod_sofia is not there.
    "CALL_REJECTED": (
        "{other} at {address} lets no call of this node in",
        "add the address that {node} calls from to SWITCHROOM_NODE_PEERS of {other}",
    ),
    "NORMAL_TEMPORARY_FAILURE": (
        "no connection to {other} at {address}",
        "have the profile `bridge` of {other} listen there, or set the node's bridge; let {node} connect, in the"
        " firewalls of both machines and of the network",
    ),
    "NO_ANSWER": (
        "no answer from {other} at {address}",
        "let {node} connect to that port by TCP, in the firewalls of both machines and of the network; if it is open,"
        " set the bridge of {other} to host:port of its profile `bridge`",
    ),
}
# And if it is taken, refused in another way, or cannot be made.
_TAKEN = (
    "what is at {address} is not the profile `bridge` of {other}",
    "set the bridge of {other} to host:port of that profile, the host a name or an IPv4 address",
)


def examine_bridges(node: Node, nodes: Sequence[Node]) -> list[Finding]:
    """Which of the other `nodes` this one does not get through to; one finding if it does to all."""
    others = [other for other in nodes if other != node]
    subject = f"node {node.prefix}"
    connection = Connection(node.host, node.port, node.password, on_event=lambda _: None)
    try:
        connection.connect()
        connection.send("event plain BACKGROUND_JOB")
        causes = _call(connection, others)
    except EslError as error:
        return [Finding(subject, "bridge", str(error), f"see whether {node.prefix} is overloaded")]
    finally:
        connection.close()
    faults = [
        Finding(subject, "bridge", *_judge(node, other, cause)) for other, cause in causes.items() if cause != _REFUSED
    ]
    # What is wrong with the node itself was found with each of the others.
    return list(dict.fromkeys(faults)) or [
        Finding(subject, "bridge", f"gets through to {', '.join(other.prefix for other in others)}")
    ]


def _judge(node: Node, other: Node, cause: str) -> Verdict:
    detail, advice = _FAULTS.get(cause, _TAKEN)
    names = {"node": node.prefix, "other": other.prefix, "address": other.bridge_address}
    return detail.format_map(names), advice.format_map(names)


def _call(connection: Connection, others: Sequence[Node]) -> dict[Node, str]:
    """The cause with which each call ended; "" if there is none."""
    jobs = {other: _begin(connection, other) for other in others}
    give_up_at = time.monotonic() + CALL_SECONDS
    return {other: _cause(job, give_up_at) for other, job in jobs.items()}


def _begin(connection: Connection, other: Node) -> Job | None:
    try:
        return connection.bgapi(esl.CallBridge(other.bridge_address))
    except ValueError:  # An address that cannot be called.
        return None


def _cause(job: Job | None, give_up_at: float) -> str:
    try:
        return job.result(max(0.0, give_up_at - time.monotonic())).strip().removeprefix("-ERR ") if job else ""
    except JobTimeout:
        return "NO_ANSWER"
