"""`switchroom doctor`: is everything there that a room needs, and what is to be done about what is not."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import orjson

from controller.errors import StoreUnavailable
from controller.outbound.addresses import is_public
from controller.registry import App, Node, Registry
from controller.store.store import Store
from esl import commands as esl
from esl.connection import Connection
from esl.errors import AuthenticationError, EslError
from esl.guards import GUARDS
from switchroom.config import Config, shown_file
from switchroom.embedded import EmbeddedStore, EmbeddedStoreError
from switchroom.logs import escaped
from switchroom.memory import HIGH, Memory
from switchroom.processes import open_store

WELL_KNOWN_PASSWORD = "ClueCon"  # noqa: S105 (the one that FreeSWITCH ships with)
MODULES = ("mod_conference", "mod_sofia", "mod_event_socket", "mod_dptools", "mod_commands")
SKEW_SECONDS = 5
NODE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `advice` says what to do and is empty when all is well."""

    subject: str
    check: str
    detail: str
    advice: str = ""

    @property
    def ok(self) -> bool:
        return not self.advice


# A check's verdict: what was seen, and what to do about it ("" when nothing).
Verdict = tuple[str, str]


def examine(config: Config, file: Path | None) -> Iterator[Finding]:
    """All findings. Takes at most some seconds per part, whatever is broken. `file`: the one that `config` is from."""
    yield Finding("configuration", "file", shown_file(file))
    nodes = {node.prefix: node for node in config.to_nodes()}
    apps = {app.id: app for app in config.to_apps()}
    embedded = EmbeddedStore(config.store.data_dir)
    if config.store.url is None and not embedded.exists:
        yield _examine_place(embedded.data_dir)
    else:
        try:
            with open_store(config, create=False) as (store, _):
                yield Finding("store", "reachable", config.store.shown_url)
                yield from _examine_store(store)
                registry = Registry(store)
                nodes = {node.prefix: node for node in registry.nodes()} | nodes
                apps = {app.id: app for app in registry.apps()} | apps
        except (StoreUnavailable, EmbeddedStoreError) as error:
            yield Finding("store", "reachable", str(error), "start the store, or correct [store] url or data_dir")
    yield from _examine_entries(config, list(nodes.values()), list(apps.values()))
    examined = [gevent.spawn(_examine_node, node) for node in nodes.values()]
    gevent.joinall(examined, timeout=NODE_SECONDS)
    for node, findings in zip(nodes.values(), examined, strict=True):
        yield from findings.value or [
            Finding(f"node {node.prefix}", "examined", "no answer in time", "see whether it is overloaded")
        ]
    gevent.killall(examined, block=False)


# The store


def _examine_place(data_dir: Path) -> Finding:
    """Of an embedded store that is not there yet: looking must not create it."""
    above = next(folder for folder in data_dir.parents if folder.exists())
    if os.access(above, os.W_OK | os.X_OK):
        return Finding("store", "reachable", f"nothing is stored yet; `switchroom serve` creates {data_dir}")
    return Finding(
        "store",
        "reachable",
        f"{data_dir} cannot be made: no right to write in {above}",
        "set [store] data_dir to a local folder that this user may write",
    )


def _examine_store(store: Store) -> Iterator[Finding]:
    for server, info in store.info("persistence", "memory").items():
        for check, judge in _STORE_CHECKS.items():
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
    if not memory.most:
        return (
            "no limit: it grows until the machine is out of memory, and is then killed",
            "set `maxmemory` to what the machine can spare, 128mb at least",
        )
    if memory.share > HIGH:
        return str(memory), "see docs/operations.md for what takes it, or raise `maxmemory` ([store] max_memory_mb)"
    return str(memory), ""


_STORE_CHECKS: dict[str, Callable[[dict[str, Any]], Verdict]] = {
    "loaded": _loads,
    "durable": _appends,
    "writing": _writes,
    "eviction": _evicts,
    "memory": _fills,
}


# The entries


def lacking(nodes: Sequence[Node], apps: Sequence[App]) -> Iterator[Finding]:
    """Without which nobody is served."""
    for subject, there in (("nodes", nodes), ("apps", apps)):
        if not there:
            advice = f"add [[{subject}]] to the configuration file, or `switchroom {subject[:-1]} add`"
            yield Finding(subject, "configured", "none", advice)


def _examine_entries(config: Config, nodes: Sequence[Node], apps: Sequence[App]) -> Iterator[Finding]:
    yield from lacking(nodes, apps)
    if config.webhooks.allow_private_networks:
        return
    for app in apps:
        host = urlsplit(app.webhook_url).hostname or ""
        if host and _is_private(host):
            yield Finding(
                f"app {app.id}",
                "webhooks",
                "its webhook_url leads to a private network, where nothing is delivered",
                "set [webhooks] allow_private_networks = true if its apps are yours",
            )


def _is_private(host: str) -> bool:
    """Only what can be told without asking the DNS."""
    try:
        ip_address(host)
    except ValueError:
        return host == "localhost"
    return not is_public(host)


# A node


def _examine_node(node: Node) -> list[Finding]:
    subject = f"node {node.prefix}"
    connection = Connection(node.host, node.port, node.password, on_event=lambda _: None)
    try:
        connection.connect()
        findings = [
            Finding(subject, "reachable", node.esl),
            Finding(subject, "password", *_judge_password(node)),
        ]
        for check, command, judge in _NODE_CHECKS:
            findings.append(Finding(subject, check, *judge(node, connection.api(command))))
    except AuthenticationError as error:
        return [Finding(subject, "password", str(error), "correct the node's password, or its apply-inbound-acl")]
    except (EslError, ValueError) as error:
        return [Finding(subject, "reachable", str(error), _UNREACHABLE)]
    finally:
        connection.close()
    return findings


_UNREACHABLE = "start FreeSWITCH, let mod_event_socket listen there, and open the port to this machine only"


def _judge_password(node: Node) -> Verdict:
    if node.password != WELL_KNOWN_PASSWORD:
        return "accepted", ""
    return "the one that FreeSWITCH ships with", "set another in event_socket.conf.xml and here"


def _loaded(module: str) -> Callable[[Node, str], Verdict]:
    def judge(_node: Node, reply: str) -> Verdict:
        if reply.strip() == "true":
            return "loaded", ""
        return "not loaded", f"add {module} to modules.conf.xml and `load {module}`"

    return judge


def _guarded(value: str) -> Callable[[Node, str], Verdict]:
    def judge(_node: Node, reply: str) -> Verdict:
        if reply.strip() == value:
            return "callers keep to their own calls", ""
        return "callers can take over each other's calls", f"set it to `{value}` in vars.xml and `reloadxml`"

    return judge


def _judge_prefix(node: Node, reply: str) -> Verdict:
    """A node that is not of our making may not say; one that does must be the one that was meant."""
    said = reply.strip()
    if said == node.prefix:
        return "the node says the same", ""
    if not said or said.startswith("-ERR"):
        return "the node does not say", ""
    return (
        f"the node says that it is {escaped(said[:64])}",
        f"correct the address of {node.prefix}, or SWITCHROOM_NODE_PREFIX there",
    )


def _judge_profile(node: Node, reply: str) -> Verdict:
    names = re.findall(r'<profile\s+name="([^"]*)"', reply)
    if node.profile in names:
        return f"{node.profile} is there", ""
    advice = "add it to conference.conf.xml and `reloadxml`, or set the node's profile"
    return f"{node.profile} is not among {', '.join(names) or 'none'}", advice


def _judge_playback(_node: Node, reply: str) -> Verdict:
    try:
        rows = orjson.loads(reply).get("rows", [])
        formats = {str(row["name"]).lower(): str(row.get("ikey", "")) for row in rows}
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError):
        formats = {}
    missing = [name for name in _FORMATS if name not in formats]
    if missing:
        advice = " and ".join(dict.fromkeys(_FORMATS[name] for name in missing))
        return f"no file format {' and '.join(missing)}", f"load {advice}"
    if "mod_httapi" in (formats["http"], formats["https"]):
        return "by mod_httapi, which a stereo file makes crash FreeSWITCH", f"load {_FORMATS['http']} in its place"
    return "http and https, wav and mp3", ""


# What is played, and what plays it.
_FORMATS = {
    "http": "mod_http_cache with enable-file-formats",
    "https": "mod_http_cache with enable-file-formats",
    "wav": "mod_sndfile",
    "mp3": "mod_shout",
}


def _judge_clock(_node: Node, reply: str) -> Verdict:
    if not reply.strip().isdecimal():
        return "its time is not known", "load mod_dptools"
    skew = abs(int(reply) - time.time())
    if skew <= SKEW_SECONDS:
        return "within seconds of ours", ""
    return f"{skew:.0f} s off ours", "run NTP on both machines"


# What is asked of a node: the check, the command, the judge of its answer.
_NODE_CHECKS: tuple[tuple[str, esl.Command, Callable[[Node, str], Verdict]], ...] = (
    ("prefix", esl.GlobalVariable("switchroom_prefix"), _judge_prefix),
    *((module, esl.ModuleExists(module), _loaded(module)) for module in MODULES),
    ("profile", esl.LocateConfiguration("conference.conf"), _judge_profile),
    ("playback", esl.ShowFileFormats(), _judge_playback),
    ("clock", esl.Epoch(), _judge_clock),
    *((name, esl.GlobalVariable(name), _guarded(value)) for name, value in GUARDS.items()),
)
