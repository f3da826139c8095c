"""All checks of a configuration: the store, the audio relays, the apps and the nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import gevent
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPParseError

from controller.errors import StoreUnavailable
from controller.media.links import TEST_FILE, Links
from controller.media.relays import Relays
from controller.nodes.removal import left_behind
from controller.outbound.addresses import is_public
from controller.registry import App, Gateway, Node, Registry, split_address
from controller.store import keys
from controller.store.store import Store
from switchroom.config import Config, shown_file
from switchroom.doctor.bridge import examine_bridges
from switchroom.doctor.finding import Finding
from switchroom.doctor.gateway import examine_gateway, examine_permissions
from switchroom.doctor.node import examine_node, judge_time
from switchroom.doctor.store import examine_place, examine_store
from switchroom.embedded import EmbeddedStore, EmbeddedStoreError
from switchroom.store import open_store

NODE_SECONDS = 30.0
RELAY_SECONDS = 3.0
Entry = TypeVar("Entry", Node, Gateway)


def examine(config: Config, file: Path | None) -> Iterator[Finding]:
    """All findings. Takes at most some seconds per part, whatever is broken. `file`: the one that `config` is from."""
    yield Finding("configuration", "file", shown_file(file))
    nodes = {node.prefix: node for node in config.to_nodes()}
    apps = {app.id: app for app in config.to_apps()}
    gateways = {gateway.name: gateway for gateway in config.to_gateways()}
    test_files: list[str] = []
    embedded = EmbeddedStore(config.store.data_dir)
    if config.store.url is None and not embedded.exists:
        yield examine_place(embedded.data_dir)
    else:
        try:
            with open_store(config, create=False) as (store, _):
                yield Finding("store", "reachable", config.store.shown_url)
                yield from examine_store(store)
                if not config.playback.direct:
                    test_files = _test_files(store)
                    yield _judge_relays(test_files)
                    yield from _examine_clocks(test_files)
                yield from _judge_gone(store)
                registry = Registry(store)
                nodes = {node.prefix: node for node in registry.nodes()} | nodes
                apps = {app.id: app for app in registry.apps()} | apps
                gateways = {gateway.name: gateway for gateway in registry.gateways()} | gateways
        except (StoreUnavailable, EmbeddedStoreError) as error:
            yield Finding("store", "reachable", str(error), "start the store, or correct [store] url or data_dir")
    yield from _examine_entries(config, list(nodes.values()), list(apps.values()))
    yield from examine_permissions(list(apps.values()), gateways)
    yield from _examine_gateways(list(gateways.values()))
    profiles = sorted({gateway.profile for gateway in gateways.values()})
    yield from _examine_nodes(list(nodes.values()), None if config.playback.direct else test_files, profiles)


def _examine_gateways(gateways: Sequence[Gateway]) -> Iterator[Finding]:
    for _, findings in _for_each(gateways, lambda gateway: f"gateway {gateway.name}", examine_gateway):
        yield from findings


def _subject(node: Node) -> str:
    return f"node {node.prefix}"


def _examine_nodes(
    nodes: Sequence[Node], test_files: Sequence[str] | None, profiles: Sequence[str]
) -> Iterator[Finding]:
    """Each by itself, and then whether those that are there get through to each other."""
    reached = []
    for node, findings in _for_each(nodes, _subject, lambda node: examine_node(node, test_files, profiles)):
        yield from findings
        if any(finding.check == "reachable" and finding.ok for finding in findings):
            reached.append(node)
    if len(reached) > 1:
        for _, findings in _for_each(reached, _subject, lambda node: examine_bridges(node, reached)):
            yield from findings


def _for_each(
    entries: Sequence[Entry], subject: Callable[[Entry], str], examine_one: Callable[[Entry], list[Finding]]
) -> Iterator[tuple[Entry, list[Finding]]]:
    """What is found at each node or gateway, at all of them at once."""
    examined = [gevent.spawn(examine_one, entry) for entry in entries]
    gevent.joinall(examined, timeout=NODE_SECONDS)
    for entry, findings in zip(entries, examined, strict=True):
        late = Finding(subject(entry), "examined", "no answer in time", "see whether it is overloaded")
        yield entry, findings.value or [late]
    gevent.killall(examined, block=False)


def lacking(nodes: Sequence[Node], apps: Sequence[App]) -> Iterator[Finding]:
    """Without which nobody is served."""
    for subject, entries in (("nodes", nodes), ("apps", apps)):
        if not entries:
            advice = f"add [[{subject}]] to the configuration file, or `switchroom {subject[:-1]} add`"
            yield Finding(subject, "configured", "none", advice)


def _test_files(store: Store) -> list[str]:
    """The URL of a test file of each audio relay that lives."""
    relays = Relays(store).live()
    path = Links(store.shared_secret(keys.MEDIA_KEY)).link(TEST_FILE, time.time()) if relays else ""
    return [f"http://{relay}{path}" for relay in relays]


def _judge_relays(test_files: Sequence[str]) -> Finding:
    if test_files:
        return Finding("audio relay", "running", ", ".join(urlsplit(url).netloc for url in test_files))
    return Finding(
        "audio relay",
        "running",
        "none: nothing can be played",
        "start one: `switchroom serve`, or `serve --role media`",
    )


def _examine_clocks(test_files: Sequence[str]) -> Iterator[Finding]:
    """Of the relays, which refuse what workers ask whose clocks are a minute behind."""
    asked = [gevent.spawn(_time_at, urlsplit(url)) for url in test_files]
    gevent.joinall(asked)
    for url, told in zip(test_files, asked, strict=True):
        # Its port may be open to nodes and workers only.
        detail, advice = ("not known: it does not answer here", "") if told.value is None else judge_time(told.value)
        yield Finding("audio relay", "clock", f"{urlsplit(url).netloc}: {detail}", advice)


def _time_at(url: SplitResult) -> float | None:
    """What a relay's clock says, in epoch seconds; None if it does not say."""
    client = HTTPClient(*split_address(url.netloc), connection_timeout=RELAY_SECONDS, network_timeout=RELAY_SECONDS)
    try:
        with closing(client), gevent.Timeout(RELAY_SECONDS, TimeoutError()):
            date = client.head(f"{url.path}?{url.query}").get("date")
            return parsedate_to_datetime(str(date)).timestamp()
    except (OSError, ValueError, HTTPParseError):
        return None


def _judge_gone(store: Store) -> Iterator[Finding]:
    for prefix, left in left_behind(store).items():
        yield Finding(
            f"node {prefix}",
            "removed",
            f"nobody looks after what is left of it: {left}",
            f"run `switchroom node remove {prefix} --force`, or return it to the configuration file",
        )


def _examine_entries(config: Config, nodes: Sequence[Node], apps: Sequence[App]) -> Iterator[Finding]:
    yield from lacking(nodes, apps)
    if config.playback.direct:
        yield Finding(
            "configuration",
            "direct",
            "nodes fetch what apps name: redirects lead them anywhere, and one file can end FreeSWITCH with all calls",
            "set [playback] direct = false, unless all apps are yours; docs/security.md tells the dangers",
        )
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
