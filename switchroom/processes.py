"""The only place that wires the parts: the store, the registry and, by role, API, worker and dispatcher.

What lies above is handed in: the API comes as a factory from the entry point (`switchroom/__main__.py`),
since imports point down only.
"""

from __future__ import annotations

import os
import resource
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import gevent
import structlog

from controller.controller import Controller
from controller.limits import Limits
from controller.errors import StoreUnavailable
from controller.nodes.worker import Worker
from controller.registry import Registry
from controller.rooms.placement import Placement
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.dispatcher import Dispatcher
from switchroom.config import Config
from switchroom.embedded import EmbeddedStore, EmbeddedStoreError
from switchroom.memory import MemoryWatch
from switchroom.metrics import MetricsServer

log = structlog.get_logger(__name__)

ROLES = ("api", "worker", "dispatcher")

DRAIN_SECONDS = 10.0
# How long a store that is just starting is waited for.
STORE_SECONDS = 10.0
# Open files besides the API's connections: the store's, the nodes', webhooks', logs, modules.
OTHER_FILES = 600
# For clients whose reads wait in the store for something to come; longer than any of those reads.
READER_TIMEOUT = 10.0


class CannotStart(Exception):
    """A part did not start; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiOptions:
    """What an API needs to know. `cursor_key` is the same for all API processes of a store."""

    host: str
    port: int
    cursor_key: bytes = field(repr=False)
    connections: int
    connections_per_address: int
    trusted_proxies: tuple[str, ...]


class Api(Protocol):
    """A server of the REST API, built and not yet started."""

    @property
    def address(self) -> tuple[str, int]: ...

    def start(self) -> None: ...

    def stop(self, timeout: float) -> None: ...


ApiFactory = Callable[[Controller, ApiOptions], Api]


class _Part(Protocol):
    def start(self) -> None: ...

    def stop(self, timeout: float) -> None: ...


def allow_files(wanted: int) -> None:
    """As many open files as the system lets the process have, since every connection is one: by default it is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < wanted:
        log.warning("too few open files are allowed: raise LimitNOFILE, or ulimit -Hn", allowed=hard, wanted=wanted)


@contextmanager
def open_store(config: Config, *, create: bool = True) -> Iterator[tuple[Store, str]]:
    """The configured store and its URL; the embedded one runs as long as anybody has it open.

    `create`: whether to create an embedded store that is not there. Raises EmbeddedStoreError, StoreUnavailable.
    """
    with ExitStack() as stack:
        if config.store.url is None:
            embedded = EmbeddedStore(config.store.data_dir, config.store.max_memory_mb << 20)
            if not create and not embedded.exists:
                raise EmbeddedStoreError(
                    f"there is no store in {embedded.data_dir}: `switchroom serve`, `app add` and `node add` create it."
                    " If it is elsewhere, name the configuration file by --config"
                )
            embedded.start()
            stack.callback(embedded.stop)
            url = embedded.url
        else:
            url = config.store.url.get_secret_value()
        store = _connect(config, url)
        stack.callback(store.close)
        yield store, url


@contextmanager
def open_reader(config: Config, url: str) -> Iterator[Store]:
    """A store for reads that wait, so that they neither block nor are cut off by anything else."""
    reader = Store.connect(url, cluster=config.store.cluster, timeout=READER_TIMEOUT)
    try:
        yield reader
    finally:
        reader.close()


class System:
    """Everything that one process runs. `start` and `stop` once each; a start that fails stops itself."""

    registry: Registry  # there from `start` on

    def __init__(self, config: Config, api: ApiFactory, roles: Sequence[str] = ROLES) -> None:
        self._config = config
        self._api_factory = api
        self.roles = tuple(role for role in ROLES if role in roles)
        self._opened = ExitStack()
        self._parts: list[_Part] = []
        self._api: Api | None = None

    @property
    def address(self) -> str | None:
        """Where the API listens, as a URL; None without the role `api`."""
        if self._api is None:
            return None
        host, port = self._api.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Raises CannotStart, EmbeddedStoreError, StoreUnavailable."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = DRAIN_SECONDS) -> None:
        """Take nothing more, finish what is under way within `timeout` seconds, the store last."""
        deadline = time.monotonic() + timeout
        # The last to start is the first to stop: no request comes in for a worker that is gone.
        while self._parts:
            part = self._parts.pop()
            try:
                part.stop(max(0.5, deadline - time.monotonic()))
            except Exception:
                log.exception("a part did not stop cleanly", part=type(part).__name__)
        self._opened.close()

    def _start(self) -> None:
        config = self._config
        allow_files((config.server.connections if "api" in self.roles else 0) + OTHER_FILES)
        store, url = self._opened.enter_context(open_store(config))
        self.registry = registry = Registry(store)
        try:
            registry.sync_file(config.to_apps(registry.apps()), config.to_nodes())
        except ValueError as error:
            raise CannotStart(f"the configuration file's apps cannot be taken over: {error}") from error

        def reader() -> Store:
            return self._opened.enter_context(open_reader(config, url))

        owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._add(MemoryWatch(store))
        if config.metrics.listen:
            self._listen(MetricsServer(*_split(config.metrics.listen)), config.metrics.listen, "[metrics] listen")
        if "dispatcher" in self.roles:
            self._add(
                Dispatcher(
                    store,
                    registry,
                    owner=owner,
                    reader=reader(),
                    allow_private_networks=config.webhooks.allow_private_networks,
                )
            )
        if "worker" in self.roles:
            self._add(
                Worker(
                    store,
                    registry,
                    reader=reader(),
                    owner=owner,
                    session_key=store.shared_secret(keys.SESSION_KEY),
                    audit_seconds=config.worker.audit_seconds,
                )
            )
        if "api" in self.roles:
            limits = Limits(requests_per_second=config.limits.requests_per_second)
            controller = Controller(
                store,
                registry,
                Placement(store, registry),
                limits,
                allow_private_webhooks=config.webhooks.allow_private_networks,
                allow_private_playback=config.playback.allow_private_networks,
            )
            host, port = _split(config.server.listen)
            options = ApiOptions(
                host=host,
                port=port,
                cursor_key=store.shared_secret(keys.CURSOR_KEY),
                connections=config.server.connections,
                connections_per_address=config.server.connections_per_address,
                trusted_proxies=config.server.trusted_proxies,
            )
            self._api = self._api_factory(controller, options)
            self._listen(self._api, config.server.listen, "[server] listen")

    def _listen(self, part: _Part, address: str, key: str) -> None:
        try:
            self._add(part)
        except OSError as error:
            raise CannotStart(f"cannot listen on {address}: {error.strerror}; set {key}") from error

    def _add(self, part: _Part) -> None:
        part.start()
        self._parts.append(part)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _connect(config: Config, url: str) -> Store:
    deadline = time.monotonic() + STORE_SECONDS
    waiting = False
    while True:
        try:
            store = Store.connect(url, cluster=config.store.cluster)
            store.ping()
        except (StoreUnavailable, OSError) as error:
            if time.monotonic() >= deadline:
                raise StoreUnavailable(
                    f"no store at {config.store.shown_url} ({error}); start it, or set [store] url"
                ) from error
            if not waiting:
                log.warning("waiting for the store", store=config.store.shown_url, reason=str(error))
                waiting = True
            gevent.sleep(0.25)
        else:
            return store
