"""Checks of the store: is it there, does it keep what it accepted, and has it room."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from controller.store.store import Store
from switchroom.doctor.finding import Finding, Verdict
from switchroom.memory import HIGH, Memory


def examine_place(data_dir: Path) -> Finding:
    """Of an embedded store that does not exist yet: looking must not create it."""
    above = next(folder for folder in data_dir.parents if folder.exists())
    if os.access(above, os.W_OK | os.X_OK):
        return Finding("store", "reachable", f"nothing is stored yet; `switchroom serve` creates {data_dir}")
    return Finding(
        "store",
        "reachable",
        f"{data_dir} cannot be made: no right to write in {above}",
        "set [store] data_dir to a local folder that this user may write",
    )


def examine_store(store: Store) -> Iterator[Finding]:
    for server, info in store.info("persistence", "memory").items():
        for check, judge in _CHECKS.items():
            detail, advice = judge(info)
            yield Finding(f"store {server}".strip(), check, detail, advice)


def _appends(info: dict[str, Any]) -> Verdict:
    if info.get("aof_enabled") == 1:
        return "every change is appended to a file", ""
    return (
        "no append-only file: a crash loses what was accepted",
        "set `appendonly yes` in the store's configuration",
    )


def _writes(info: dict[str, Any]) -> Verdict:
    failing = [name for name in _WRITE_STATES if info.get(name, "ok") != "ok"]
    if failing:
        return f"{', '.join(failing)} failed", "look at the store's log; its disk may be full or read-only"
    return "its last writes succeeded", ""


_WRITE_STATES = ("aof_last_write_status", "aof_last_bgrewrite_status", "rdb_last_bgsave_status")


def _loads(info: dict[str, Any]) -> Verdict:
    if info.get("loading"):
        return "still loading its data", "wait until it has loaded"
    return "loaded", ""


def _evicts(info: dict[str, Any]) -> Verdict:
    policy = info.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return "maxmemory-policy noeviction", ""
    return f"maxmemory-policy {policy} may throw rooms and webhooks away", "set `maxmemory-policy noeviction`"


def _fills(info: dict[str, Any]) -> Verdict:
    memory = Memory.of(info)
    if not memory.limit:
        return (
            "no limit: it grows until the machine is out of memory, and is then killed",
            "set `maxmemory` to what the machine can spare, 128mb at least",
        )
    if memory.share > HIGH:
        return str(memory), "see docs/operations.md for what takes it, or raise `maxmemory` ([store] max_memory_mb)"
    return str(memory), ""


_CHECKS: dict[str, Callable[[dict[str, Any]], Verdict]] = {
    "loaded": _loads,
    "durable": _appends,
    "writing": _writes,
    "eviction": _evicts,
    "memory": _fills,
}
