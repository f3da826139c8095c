"""What one process runs. The only place that wires the parts: the store, the registry and, by role, the REST API, the
worker, the dispatcher and the audio relay.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from prometheus_client import make_wsgi_app

from controller.controller import Controller
from controller.limits import Limits
from controller.live import Feed
from controller.media.client import Answers, Direct, RelayClient
from controller.media.links import Links
from controller.media.relays import RelayPresence, Relays
from controller.nodes.node_worker import RecordingLimits
from controller.nodes.removal import left_behind
from controller.nodes.worker import Worker
from controller.operators import Logins
from controller.outbound.addresses import is_found_from
from controller.outbound.network import Network
from controller.overview import Overview
from controller.recordings.places import RecordingPlaces
from controller.registry import App, Registry, split_address
from controller.rooms.placement import Placement
from controller.speaking import Speaking
from controller.statistics import Recorder, Statistics
from controller.store import keys
from controller.store.store import Store
from controller.webhooks.dispatcher import Dispatcher
from controller.webhooks.sender import untraced
from switchroom.config import Config
from switchroom.memory import MemoryWatch
from switchroom.metrics import held, watch_greenlets
from switchroom.store import open_reader, open_store, patiently

if TYPE_CHECKING:
    from switchroom.tracing import Tracing
    from web.server import Server

log = structlog.get_logger(__name__)

ROLES = ("api", "worker", "dispatcher", "media")

DRAIN_SECONDS = 10.0
MAX_RELAY_CONNECTIONS = 1000
# Prometheus needs one. It runs beside what renews leases, so whoever else connects gets little.
MAX_METRICS_CONNECTIONS = 32
MIN_STOP_SECONDS = 0.5  # for one part, however late it is
# To decode a file, for each second that it may play: twice what stereo Opus takes, the dearest of the usual kinds.
CPU_SECONDS_PER_SECOND = 0.025
MIN_CPU_SECONDS = 5
# Open files besides the API's connections: the store's, the nodes', webhooks', logs, modules.
OTHER_FILES = 600


class CannotStart(Exception):
    """A part did not start; the text says why and what to do."""


class _Part(Protocol):
    def start(self) -> None: ...

    def stop(self, timeout: float) -> None: ...


def metrics_server(listen: str) -> Server:
    """Shows all metrics of the process at any path."""
    # Not above: most commands never need it.
    from web.context import ROUTE  # noqa: PLC0415
    from web.server import Bounds, Server  # noqa: PLC0415

    show = make_wsgi_app()

    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        environ[ROUTE] = "/metrics"
        shown: Iterable[bytes] = show(environ, start)
        return shown

    return Server(app, *split_address(listen), name="metrics", bounds=Bounds(connections=MAX_METRICS_CONNECTIONS))


def allow_files(wanted: int) -> None:
    """As many open files as the system lets the process have, since every connection is one: by default it is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < wanted:
        log.warning("too few open files are allowed: raise LimitNOFILE, or ulimit -Hn", allowed=hard, wanted=wanted)


class System:
    """Everything that one process runs. `start` and `stop` once each; a start that fails stops itself."""

    registry: Registry  # from `start` on
    _secrets: dict[str, bytes]  # those that all processes share, by their keys; from `start` on

    def __init__(self, config: Config, roles: Sequence[str] = ROLES) -> None:
        self._config = config
        self.roles = tuple(role for role in ROLES if role in roles)
        self._owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._opened = ExitStack()
        self._parts: list[_Part] = []
        self._server: Server | None = None
        self._relays: Relays | None = None  # None with `direct`
        self._tracing: Tracing | None = None
        self._relay: tuple[str, Answers] | None = None

    @property
    def address(self) -> str | None:
        """Where the API listens, as a URL; None without the role `api`."""
        if self._server is None:
            return None
        return f"http://{_join(*self._server.address)}"

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
                part.stop(max(MIN_STOP_SECONDS, deadline - time.monotonic()))
            except Exception:
                log.exception("a part did not stop cleanly", part=type(part).__name__)
        self._opened.close()

    def _start(self) -> None:
        config = self._config
        allow_files((config.server.connections if "api" in self.roles else 0) + OTHER_FILES)
        store, url = self._opened.enter_context(open_store(config))
        # Also those that other roles use: whichever process finds that the store has lost its data writes all of them.
        shared = [keys.SESSION_KEY, keys.CURSOR_KEY] + [keys.MEDIA_KEY] * (not config.playback.direct)
        self._secrets = {key: patiently(partial(store.shared_secret, key)) for key in shared}
        self.registry = registry = Registry(store, restore=partial(self._restore, store))
        try:
            patiently(lambda: self._sync(registry, registry.apps()))
        except ValueError as error:
            raise CannotStart(f"the configuration file's apps cannot be taken over: {error}") from error
        for prefix, left in patiently(lambda: left_behind(store)).items():
            log.warning(
                "nobody looks after what is left of a node that is gone: return it to the configuration file, or run"
                " `switchroom node remove --force`",
                node=prefix,
                **left._asdict(),
            )
        watch_greenlets()
        self._add(MemoryWatch(store))
        self._add(Recorder(store, self._owner, self.roles, held))
        if config.metrics.listen:
            self._listen(metrics_server(config.metrics.listen), config.metrics.listen, "[metrics] listen")
        if config.traces.collector:
            self._trace(config.traces.collector)
        if "dispatcher" in self.roles:
            self._add(self._dispatcher(store, url))
        if not config.playback.direct:
            self._relays = Relays(store)
            if "media" in self.roles:
                self._start_relay(store)
        worker = None
        if "worker" in self.roles:
            worker = self._worker(store, url)
            self._add(worker)
        if "api" in self.roles:
            self._server = self._api_server(store, url, worker)
            self._listen(self._server, config.server.listen, "[server] listen")
        gc.freeze()  # What is there now stays. To go through it once more took the collector 80 to 140 ms.

    def _sync(self, registry: Registry, known: Sequence[App]) -> None:
        config = self._config
        registry.sync_file(config.to_apps(known), config.to_nodes(), config.to_gateways())

    def _restore(self, store: Store, known: Sequence[App]) -> None:
        """Write again what a start writes into the store, the secrets as they were. Several processes may do so at
        once: the first counts, and the others write the same.
        """
        for key, secret in self._secrets.items():
            store.keep_secret(key, secret)
        self._sync(Registry(store), known)

    def _dispatcher(self, store: Store, url: str) -> Dispatcher:
        return Dispatcher(
            store,
            self.registry,
            owner=self._owner,
            reader=self._reader(url),
            allow_private_networks=self._config.webhooks.allow_private_networks,
            traced=self._tracing.attempt if self._tracing else untraced,
        )

    def _worker(self, store: Store, url: str) -> Worker:
        return Worker(
            store,
            self.registry,
            reader=self._reader(url),
            owner=self._owner,
            session_key=self._secrets[keys.SESSION_KEY],
            relays=RelayClient(self._relays, self._links(), self._relay) if self._relays else Direct(),
            places=self._places(),
            recordings=RecordingLimits(
                max_seconds=round(self._config.recordings.max_hours * 3600),
                give_up_seconds=round(self._config.recordings.give_up_hours * 3600),
            ),
            audit_seconds=self._config.worker.audit_seconds,
        )

    def _api_server(self, store: Store, url: str, worker: Worker | None) -> Server:
        # Not above: most commands never need it, and their start would take half as long again.
        from web.app import WebSettings, create_app  # noqa: PLC0415
        from web.clients import Proxies  # noqa: PLC0415
        from web.context import ROUTE, Console  # noqa: PLC0415
        from web.server import Bounds, Server  # noqa: PLC0415

        config = self._config
        placement = Placement(store, self.registry, is_up_here=worker.is_up if worker else None)
        controller = Controller(
            store,
            self.registry,
            placement,
            Limits(requests_per_second=config.limits.requests_per_second),
            allow_private_webhooks=config.webhooks.allow_private_networks,
            allow_private_playback=config.playback.allow_private_networks,
            allow_private_uploads=config.recordings.allow_private_networks,
            relays=self._relays,
            session_key=self._secrets[keys.SESSION_KEY],
            senders=worker,
        )
        feed = Feed(store, self._reader(url), self.registry)
        self._opened.callback(feed.stop)
        console = None
        if config.console.enabled:
            console = Console(
                Logins(store, self.registry, hours=config.console.session_hours),
                Overview(store, self.registry, placement, controller.execute),
                Statistics(store),
                Speaking(store, controller.execute),
                url=config.console.url or "",
                secure=config.console.secure,
            )
        settings = WebSettings(cursor_key=self._secrets[keys.CURSOR_KEY])
        app = create_app(controller, feed, settings=settings, console=console, files=self._places())
        host, port = split_address(config.server.listen)
        return Server(
            self._tracing.requests(app, ROUTE) if self._tracing else app,
            host,
            port,
            body_limit=app.body_limit,
            bounds=Bounds(
                connections=config.server.connections,
                per_address=config.server.connections_per_address,
                # The other half is left to requests.
                streams=config.server.connections // 2,
            ),
            proxies=Proxies(config.server.trusted_proxies),
        )

    def _trace(self, collector: str) -> None:
        # Not above: few need it.
        from switchroom.tracing import sending_to  # noqa: PLC0415

        self._tracing = sending_to(collector)
        if self._tracing:
            self._add(self._tracing)

    def _start_relay(self, store: Store) -> None:
        # Not above: most commands never need it.
        from controller.media.cache import Cache  # noqa: PLC0415
        from controller.media.decoders import DecodeLimits, Decoders  # noqa: PLC0415
        from controller.media.origin import FetchLimits, Origin  # noqa: PLC0415
        from controller.media.relay import Relay  # noqa: PLC0415
        from controller.recordings.folder import Folder  # noqa: PLC0415
        from controller.recordings.keeper import Keeper  # noqa: PLC0415
        from controller.recordings.upload import Uploader  # noqa: PLC0415
        from web.recording_files import RecordingFiles  # noqa: PLC0415
        from web.relay import RelayApp  # noqa: PLC0415
        from web.server import Bounds, Server  # noqa: PLC0415

        config, playback = self._config, self._config.playback
        network = Network(allow_private=playback.allow_private_networks)
        limits = FetchLimits(
            max_bytes=playback.max_file_mb << 20,
            seconds=playback.fetch_seconds,
            min_bytes_per_second=playback.min_bytes_per_second,
        )
        cpu_seconds = max(MIN_CPU_SECONDS, math.ceil(playback.max_seconds * CPU_SECONDS_PER_SECOND))
        decoders = Decoders(DecodeLimits(max_seconds=playback.max_seconds, cpu_seconds=cpu_seconds))
        cache = Cache(config.store.data_dir / "audio", config.media.cache_mb << 20)
        self._add(decoders)
        relay = Relay(cache, Origin(network, limits), decoders)
        self._add(relay)
        host, port = split_address(config.media.listen)
        folder = Folder(config.store.data_dir / "recordings")
        uploader = Uploader(Network(allow_private=config.recordings.allow_private_networks))
        keeper = Keeper(store, folder, uploader, keep_seconds=config.recordings.keep_hours * 3600)
        self._add(keeper)
        files = RecordingFiles(folder, keeper, self._links(), config.recordings.max_mb << 20)
        app = RelayApp(relay, self._links(), recordings=files)
        # A node may ask for all that its rooms play at once.
        server = Server(
            app,
            host,
            port,
            name="media",
            streamed=files.takes,
            bounds=Bounds(connections=MAX_RELAY_CONNECTIONS, per_address=MAX_RELAY_CONNECTIONS),
        )
        self._listen(server, config.media.listen, "[media] listen")
        address = self._advertised(server.address)
        self._add(RelayPresence(store, address, folder.holder))
        self._relay = address, app

    def _advertised(self, listening: tuple[str, int]) -> str:
        """Where nodes reach the relay. Raises CannotStart if one can't."""
        host, port = listening
        if (address := ip_address(host)).is_unspecified:
            host = "::1" if address.version == 6 else "127.0.0.1"
        advertised = self._config.media.advertise or _join(host, port)
        for node in patiently(self.registry.nodes):
            if not is_found_from(node.host, advertised):
                raise CannotStart(
                    f"node {node.prefix} is not on this machine, and would look for the audio relay at {advertised}:"
                    " set [media] listen to an address that it reaches, or [media] advertise to what leads there"
                )
        return advertised

    def _links(self) -> Links:
        return Links(self._secrets[keys.MEDIA_KEY])

    def _places(self) -> RecordingPlaces | None:
        return RecordingPlaces(self._relays, self._links()) if self._relays else None

    def _reader(self, url: str) -> Store:
        return self._opened.enter_context(open_reader(self._config, url))

    def _listen(self, part: _Part, address: str, key: str) -> None:
        try:
            self._add(part)
        except OSError as error:
            raise CannotStart(f"cannot listen on {address}: {error.strerror}; set {key}") from error

    def _add(self, part: _Part) -> None:
        patiently(part.start)  # One that the store does not answer has started nothing.
        self._parts.append(part)


def _join(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
