"""Who there is: apps with their keys, numbers and webhook endpoint, nodes, and the gateways by which apps dial.

Kept in the store, cached for a second. If the store loses its data, the configuration file's entries are written again.

Entries come from the configuration file (`source="file"`) or from the command line (`source="cli"`). A file entry that
is gone from the file is removed at the next start; the command line's entries stay.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

import orjson
import structlog

from controller.errors import StoreUnavailable
from controller.limits import QUOTAS, RATE
from controller.sessions.dialing import parse_uri
from controller.signing import new_secret
from controller.store import keys
from controller.store.store import Store

T = TypeVar("T")

log = structlog.get_logger(__name__)

# Reload at most this often; a key rotated elsewhere is honoured that much later at the latest.
CACHE_SECONDS = 1.0
# Of the SIP profile `bridge` in freeswitch-conf/.
BRIDGE_PORT = 5090


def split_address(address: str) -> tuple[str, int]:
    """The host and the port of a `host:port`, whose host may be an IPv6 address in brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialing:
    """What an app may dial, and as whom: by which gateway, patterns of numbers and URIs
    (`controller.sessions.dialing`), the numbers that it may show, how many calls, and for how many seconds each.
    """

    gateway: str
    destinations: tuple[str, ...]
    caller_ids: tuple[str, ...]
    calls_at_once: int = 10
    calls_per_minute: int = 10
    calls_per_day: int = 100
    max_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A tenant. The API key is kept as a salted SHA-256: keys are long random strings, so a slow hash adds nothing."""

    id: str
    key_salt: str
    key_hash: str
    webhook_url: str = ""
    webhook_secret: str = ""
    dids: tuple[str, ...] = ()
    # Those that differ from `controller.limits.QUOTAS`.
    own_quotas: dict[str, int] = field(default_factory=dict)
    # None: nothing.
    dial: Dialing | None = None
    source: str = "cli"

    @property
    def quotas(self) -> dict[str, int]:
        return {**QUOTAS, **self.own_quotas}

    def key_matches(self, api_key: str) -> bool:
        """In constant time."""
        return hmac.compare_digest(self.key_hash, hash_key(self.key_salt, api_key))


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A FreeSWITCH instance. `esl`, `sip` and `bridge` are `host:port`; a drained node gets no new rooms.

    `bridge`: where other nodes reach its bridge profile, "" for BRIDGE_PORT of the host of `esl`. `weight`: its share
    of new rooms beside that of other nodes. `capacity`: with so many calls it is full, 0 for never. `region`: a label.
    `hold_music`: what members hear on hold without music of their own, as the node names it; "" for nothing.
    """

    prefix: str
    esl: str
    password: str
    sip: str = ""
    bridge: str = ""
    profile: str = "default"
    weight: int = 1
    capacity: int = 0
    region: str = ""
    hold_music: str = ""
    drained: bool = False
    source: str = "cli"

    @property
    def host(self) -> str:
        return split_address(self.esl)[0]

    @property
    def port(self) -> int:
        return split_address(self.esl)[1]

    @property
    def bridge_address(self) -> str:
        """`bridge`, or what stands for it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.bridge or f"{host}:{BRIDGE_PORT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where calls go out: a SIP host, `host` or `host:port`, which nodes call from their SIP profile `profile`.

    Without `username` it knows the nodes by their addresses.
    """

    name: str
    host: str
    prefix: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    transport: str = "udp"
    profile: str = "public"

    def way_to(self, to: str) -> dict[str, Any]:
        """Whom `esl.commands.Dial` calls, `user`, and as `target` what else it takes of this gateway.

        A number goes to it, with its prefix in place of the +. A URI goes to its own host, in the same way, but without
        the credentials: they are for nobody else.
        """
        if uri := parse_uri(to):
            user, host = uri
            return {"user": user, "target": {"host": host, "profile": self.profile, "transport": self.transport}}
        names = ("host", "profile", "transport", "username", "password")
        user = self.prefix + to.removeprefix("+") if self.prefix else to
        return {"user": user, "target": {name: getattr(self, name) for name in names}}


Entry = App | Node | Gateway
# By table, `apps`, `nodes` and `gateways`: the entries to put, by their names, and the names of those to remove.
Changes = tuple[Mapping[str, Mapping[str, Entry]], Mapping[str, Sequence[str]]]


def hash_key(salt: str, api_key: str) -> str:
    return hashlib.sha256(f"{salt}:{api_key}".encode()).hexdigest()


def new_app(app_id: str, api_key: str, *, webhook_secret: str = "", **fields: Any) -> App:
    """Without a webhook secret it gets one, so that nothing is ever sent unsigned."""
    salt = secrets.token_hex(8)
    secret = webhook_secret or new_secret()
    return App(id=app_id, key_salt=salt, key_hash=hash_key(salt, api_key), webhook_secret=secret, **fields)


# What an unknown app id is compared with, so that its 401 takes as long as a wrong key's.
_NOBODY = new_app("", secrets.token_hex(16))


class Registry:
    """Reads are served from memory. A look-up that fails asks the store once more before it says no; authentication,
    which strangers can have fail, does not.

    Everything that asks the store may raise StoreUnavailable, also because the store has lost its data. Then `restore`
    writes the configuration file's entries again; it gets the apps that were known.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        restore: Callable[[Sequence[App]], None] | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._restore = restore
        self._is_restoring = False
        self._loaded_at = float("-inf")
        self._version: bytes | None = None
        self._apps: dict[str, App] = {}
        self._nodes: dict[str, Node] = {}
        self._gateways: dict[str, Gateway] = {}
        self._owners: dict[str, str] = {}

    # Reading

    def app(self, app_id: str) -> App | None:
        return self._find(lambda: self._apps.get(app_id))

    def quotas_of(self, app_id: str) -> dict[str, int]:
        """The defaults for an app that was removed meanwhile."""
        app = self.app(app_id)
        return app.quotas if app else QUOTAS

    def rate_of(self, app_id: str) -> int | None:
        """The app's own rate, in requests a second; None if it has none."""
        self._load()
        app = self._apps.get(app_id)
        return app.own_quotas.get(RATE) if app else None

    def node(self, prefix: str) -> Node | None:
        return self._find(lambda: self._nodes.get(prefix))

    def gateway(self, name: str) -> Gateway | None:
        return self._find(lambda: self._gateways.get(name))

    def app_of_did(self, number: str) -> App | None:
        """The owner of a number as dialled, or as trunks send it with `+` or `00` in front."""
        plain = number.removeprefix("+").removeprefix("00")
        owner = self._find(lambda: self._owners.get(number) or self._owners.get(plain))
        return self.app(owner) if owner else None

    def apps(self) -> list[App]:
        self._load()
        return list(self._apps.values())

    def nodes(self) -> list[Node]:
        self._load()
        return list(self._nodes.values())

    def gateways(self) -> list[Gateway]:
        self._load()
        return list(self._gateways.values())

    def authenticate(self, app_id: str, api_key: str) -> App | None:
        """The app when the key is its own. Whether there is such an app shows neither in time nor in the store."""
        self._load()
        app = self._apps.get(app_id)
        matches = (app or _NOBODY).key_matches(api_key)
        return app if matches else None

    # Writing

    def put_app(self, app: App) -> None:
        """Add or replace. Raises ValueError when one of its numbers belongs to another app."""
        self.change_app(app.id, lambda _: app)

    def change_app(self, app_id: str, change: Callable[[App | None], App]) -> None:
        """Make an app what `change` makes of it, which is asked again if somebody else has changed anything meanwhile.
        Raises what `change` raises, and ValueError when one of the numbers belongs to another app.
        """

        def plan() -> Changes:
            app = change(self._apps.get(app_id))
            for did in app.dids:
                if self._owners.get(did, app_id) != app_id:
                    raise ValueError(f"number {did} belongs to app {self._owners[did]}")
            return {"apps": {app_id: app}}, {}

        self._change(plan)

    def put_node(self, node: Node) -> None:
        self.change_node(node.prefix, lambda _: node)

    def change_node(self, prefix: str, change: Callable[[Node | None], Node]) -> None:
        """As `change_app`. Raises what `change` raises."""
        self._change(lambda: ({"nodes": {prefix: change(self._nodes.get(prefix))}}, {}))

    def drain(self, prefix: str, drained: bool) -> bool:
        """Whether a node gets no new rooms. Returns whether there is such a node."""

        def plan() -> Changes:
            node = self._nodes.get(prefix)
            return {"nodes": {prefix: replace(node, drained=drained)} if node else {}}, {}

        self._change(plan)
        return prefix in self._nodes

    def remove_app(self, app_id: str) -> bool:
        self._forget_webhooks([app_id])
        return self._change(lambda: ({}, {"apps": [app_id]})) > 0

    def remove_node(self, prefix: str) -> bool:
        return self._change(lambda: ({}, {"nodes": [prefix]})) > 0

    def sync_file(self, apps: Iterable[App], nodes: Iterable[Node], gateways: Iterable[Gateway] = ()) -> None:
        """Make the file's entries those of `apps`, `nodes` and `gateways`. What the command line drained stays drained.

        One step, none if nothing changed. Raises ValueError when a number belongs to another app.
        """
        wanted_apps = {app.id: replace(app, source="file") for app in apps}
        nodes = list(nodes)
        wanted_gateways = {gateway.name: gateway for gateway in gateways}

        def plan() -> Changes:
            wanted_nodes = {
                node.prefix: replace(node, source="file", drained=self._is_drained(node.prefix)) for node in nodes
            }
            self._check_numbers(wanted_apps)
            self._forget_webhooks(app.id for app in self._apps.values() if _is_gone(app, wanted_apps))
            put, gone = _differences(self._apps, wanted_apps)
            put_nodes, gone_nodes = _differences(self._nodes, wanted_nodes)
            put_gateways, gone_gateways = _differences(self._gateways, wanted_gateways)
            changed = {"apps": put, "nodes": put_nodes, "gateways": put_gateways}
            return changed, {"apps": gone, "nodes": gone_nodes, "gateways": gone_gateways}

        self._change(plan)

    # Plumbing

    def _forget_webhooks(self, app_ids: Iterable[str]) -> None:
        """What the API set, and what became of webhooks, is not for another app that gets the same id later."""
        for app_id in app_ids:
            self._store.forget_webhooks(app_id)

    def _is_drained(self, prefix: str) -> bool:
        node = self._nodes.get(prefix)
        return bool(node and node.drained)

    def _check_numbers(self, wanted: dict[str, App]) -> None:
        """Against the apps that stay besides; the file's own were checked when it was read."""
        staying = [app for app in self._apps.values() if app.source != "file" and app.id not in wanted]
        owners = {did: app.id for app in staying for did in app.dids}
        for app in wanted.values():
            for did in app.dids:
                if did in owners:
                    raise ValueError(f"number {did} belongs to app {owners[did]}")

    def _find(self, look: Callable[[], T | None]) -> T | None:
        self._load()
        found = look()
        if found is None:
            self._load(force=True)
            found = look()
        return found

    def _load(self, force: bool = False) -> None:
        now = self._clock()
        if not force and now - self._loaded_at < CACHE_SECONDS:
            return
        version = self._store.registry_version()
        if version is None and self._version is not None:
            version = self._restored()
        if version != self._version or self._loaded_at == float("-inf"):
            apps, nodes, gateways = self._store.registry_entries()
            self._apps = {app.id: app for app in map(_app, apps)}
            self._nodes = {node.prefix: node for node in (Node(**orjson.loads(raw)) for raw in nodes)}
            self._gateways = {gateway.name: gateway for gateway in (Gateway(**orjson.loads(raw)) for raw in gateways)}
            self._owners = {did: app.id for app in self._apps.values() for did in app.dids}
            self._version = version
        self._loaded_at = now

    def _restored(self) -> bytes | None:
        """The version once the file's entries are there again, of which the store knows none any more."""
        if self._restore is None or self._is_restoring:
            raise StoreUnavailable("the store has lost its data")
        self._is_restoring = True
        try:
            self._restore(list(self._apps.values()))
        finally:
            self._is_restoring = False
        log.warning("the store has lost its data; the configuration file's apps and nodes are there again")
        return self._store.registry_version()

    def _change(self, plan: Callable[[], Changes]) -> int:
        """`plan`: what is to change of what was loaded, asked again if somebody else has changed anything since.
        Returns how many entries were removed.
        """
        while True:
            self._load(force=True)
            version = (self._version or b"").decode()
            put, gone = plan()
            if not any(put.values()) and not any(gone.values()):
                return 0
            texts = {
                table: {name: orjson.dumps(_record(entry)).decode() for name, entry in entries.items()}
                for table, entries in put.items()
            }
            answer = self._store.run("registry", keys.REGISTRY, {"put": texts, "gone": gone, "version": version})
            if "removed" in answer:
                self._load(force=True)
                return int(answer["removed"])


def _differences(known: Mapping[str, Entry], wanted: Mapping[str, Entry]) -> tuple[dict[str, Entry], list[str]]:
    """What is to be put, and what the file no longer has."""
    put = {name: entry for name, entry in wanted.items() if known.get(name) != entry}
    return put, [name for name, old in known.items() if _is_gone(old, wanted)]


def _is_gone(old: Entry, wanted: Mapping[str, Entry]) -> bool:
    """The file had it at the last start, and has it no more. Gateways are only in the file."""
    if isinstance(old, Gateway):
        return old.name not in wanted
    return old.source == "file" and (old.id if isinstance(old, App) else old.prefix) not in wanted


def _record(entry: Entry) -> dict[str, Any]:
    """What the store gets. Of a node, without its defaults, and of an app, without what it may dial if that is nothing:
    a process of an older version, which may still run beside this one, cannot read a field that it does not know.
    """
    record = asdict(entry)
    if isinstance(entry, App):
        return record if entry.dial else {name: value for name, value in record.items() if name != "dial"}
    return {field.name: record[field.name] for field in fields(entry) if record[field.name] != field.default}


def _app(raw: bytes) -> App:
    record = orjson.loads(raw)
    if dial := record.pop("dial", None):
        lists = {name: tuple(dial[name]) for name in ("destinations", "caller_ids")}
        record["dial"] = Dialing(**{**dial, **lists})
    return App(**{**record, "dids": tuple(record["dids"])})
