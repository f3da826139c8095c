"""Switchroom with a bug: the entry point of processes that a chaos run has to find at fault.

`CHAOS_BREAK` names one of BREAKS. Nothing in the product knows of this.
"""

from __future__ import annotations

from gevent import monkey

if __name__ == "__main__":
    monkey.patch_all()

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from controller.store.scripts import Library

LINKS = ("link reset", "node unreachable", "link refused")


@dataclass(frozen=True)
class Break:
    """`lua`: texts of scripts and what is put in their place. `patch`: changes classes. `kinds`: faults that show it.
    `recovery`: seconds after which it is found that all is not as it must be.
    """

    what: str
    kinds: tuple[str, ...]
    lua: dict[str, str] = field(default_factory=dict)
    patch: Callable[[], None] = lambda: None
    recovery: float = 45.0


def _no_comparison() -> None:
    from controller.nodes import audit
    from controller.nodes.compare import Plan

    def compare(*_: Any) -> Plan:
        return Plan()

    audit.compare = compare  # type: ignore[assignment]


def _no_audit() -> None:
    from controller.nodes.audit import Audit

    Audit.start = lambda _: None  # type: ignore[method-assign]


def _no_fence() -> None:
    from controller.errors import Fenced
    from controller.nodes.lease import NodeLease

    renew = NodeLease.renew

    def renew_or_not(self: NodeLease, **state: Any) -> None:
        with suppress(Fenced):
            renew(self, **state)

    NodeLease.renew = renew_or_not  # type: ignore[method-assign]
    NodeLease.check = lambda _: None  # type: ignore[method-assign]


def _events_twice() -> None:
    from controller.nodes.handler import EventHandler

    apply = EventHandler.apply

    def twice(self: EventHandler, events: Any, **how: Any) -> None:
        events = list(events)
        apply(self, events, **how)
        apply(self, events, **how)

    EventHandler.apply = twice  # type: ignore[method-assign]


def _taken_first() -> None:
    from collections.abc import Sequence

    from controller.media.client import Prepared
    from controller.media.reasons import AudioFailed
    from controller.nodes import node_worker
    from controller.nodes.events import JobDone
    from controller.nodes.node_worker import NodeWorker

    take = NodeWorker.take
    taken: dict[str, Any] = {}

    def take_at_once(self: NodeWorker, tag: str, entries: Sequence[Any]) -> None:
        take(self, tag, entries)
        if self._connection is None:
            return
        for entry, fields in entries:
            if entry not in taken and node_worker._read_play(fields):
                (reply,) = self._lease.run_each([("take", tag, {"entries": [entry]})])
                (taken[entry],) = reply["commands"]

    def send(self: NodeWorker, _tag: str, entry: str, outcome: Prepared | AudioFailed) -> list[Any]:
        command = taken.pop(entry)
        if isinstance(outcome, AudioFailed):
            self._handler.apply([JobDone(job=command["job"], ok=False, reason=outcome.reason)])
        elif self._connection:
            self._send(self._connection, {**command, "url": outcome.url})
        return []

    NodeWorker.take = take_at_once  # type: ignore[method-assign]
    NodeWorker._take_play = send  # type: ignore[method-assign]


def _failures_forgotten() -> None:
    from controller.media.client import Prepared
    from controller.nodes.node_worker import NodeWorker

    take_play = NodeWorker._take_play

    def take_or_not(self: NodeWorker, tag: str, entry: str, outcome: Any) -> Any:
        return take_play(self, tag, entry, outcome) if isinstance(outcome, Prepared) else []

    NodeWorker._take_play = take_or_not  # type: ignore[method-assign]


def _broken_files() -> None:
    """What came is taken for the whole file, whatever ended it."""
    from controller.media.origin import Fetched, Origin, Validators
    from controller.media.reasons import AudioFailed

    fetch = Origin.fetch

    def fetch_or_part(self: Origin, app_id: str, url: str, into: Any, *more: Any) -> Fetched:
        try:
            return fetch(self, app_id, url, into, *more)
        except AudioFailed:
            if not into.tell():
                raise
            return Fetched(True, into.tell(), Validators(), 300.0)

    Origin.fetch = fetch_or_part  # type: ignore[method-assign]


BREAKS: dict[str, Break] = {
    "resync off": Break("the node's state is never compared with the store's", LINKS, patch=_no_comparison),
    "audit off": Break("what is missed without a lost link is never found", ("events lost",), patch=_no_audit),
    "fencing off": Break(
        "a worker that was stopped goes on as if it still held its nodes",
        ("worker frozen",),
        lua={"if args.token < highest then return true end": ""},
        patch=_no_fence,
    ),
    "outbox now and then": Break(
        "a change of state without its webhook",
        LINKS,
        lua={"  data.sequence = redis.call(": "  if NOW % 20 == 0 then return end\n  data.sequence = redis.call("},
    ),
    "outbox out of step": Break(
        "a webhook that is counted and not kept",
        LINKS,
        lua={'  local entry = redis.call("XADD", keys.outbox()': '  if NOW % 20 == 0 then return end\n  local entry = redis.call("XADD", keys.outbox()'},
    ),
    "events twice": Break(
        "an event that comes twice is told twice",
        ("link reset",),
        lua={
            "if same_room and not is_joining and session.member_id == tostring(member_id) then": "if false then",
            "if not (is_new or confirms) then": "if false then",
        },
        patch=_events_twice,
    ),
    "jobs forgotten": Break(
        "commands whose answer is lost with the link are not reported",
        ("link half-open",),
        lua={"  apply_result(command, job, {": "  local _ = ({"},
    ),
    "commands twice": Break(
        "a command stays in the stream after it was taken, and is sent anew with the next link",
        LINKS,
        lua={'    redis.call("XDEL", keys.commands(args.node), entry)\n    local succeeded': "    local succeeded"},
    ),
    "plays taken first": Break(
        "a play is taken before its file is ready, and a worker that ends meanwhile takes it along",
        ("worker killed", "worker frozen", "origin slow"),
        patch=_taken_first,
    ),
    "failed files forgotten": Break(
        "a file that a relay cannot have is not reported",
        ("origin endless", "link reset"),
        patch=_failures_forgotten,
        recovery=40.0,  # After 45 s a play is given up by itself.
    ),
    "parts of files": Break(
        "a file that is given up is played as far as it came",
        ("origin endless", "origin slow"),
        patch=_broken_files,
    ),
    "plays to calls forgotten": Break(
        "what a node no longer plays to a call, and has said while the link was lost, goes on for ever",
        LINKS,
        lua={"    played = describe_played(session), ": "    "},
    ),
    "legs never dialled again": Break(
        "a leg that breaks stays so",
        ("leg cut", "nodes apart", "source killed briefly"),
        lua={'  expect(leg.node, "leg", room.id, wait)': ""},
    ),
    "wrong tenant": Break(
        "now and then a webhook goes to another tenant",
        ("link reset",),
        lua={'"*", "app", data.app_id,': '"*", "app", NOW % 20 == 0 and "beta" or data.app_id,'},
    ),
}  # fmt: skip


def altered(broken: Break) -> Library:
    """The scripts as it has them. Raises LookupError when there is no such text any more."""
    from controller.store import scripts

    known = scripts.library()
    code = known.code
    for old, new in broken.lua.items():
        if old not in code:
            raise LookupError(f"no script holds {old!r}")
        code = code.replace(old, new)
    return replace(known, code=code)


def install(name: str) -> None:
    """Break this process. Raises KeyError for a name that is none, LookupError when the code is no longer as known."""
    from controller.store import scripts

    broken = BREAKS[name]
    found = altered(broken)
    scripts.library = lambda: found
    broken.patch()


if __name__ == "__main__":
    install(os.environ["CHAOS_BREAK"])

    from switchroom.__main__ import main

    main()
