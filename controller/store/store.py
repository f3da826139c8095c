"""Runs the Lua files against the store: one server or a cluster, the same code."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

import gevent
import orjson
import redis
import structlog
from gevent.queue import LifoQueue
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import (
    AskError,
    NoScriptError,
    OutOfMemoryError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.metrics import store_failures, store_seconds
from controller.store import keys, scripts
from controller.store.connections import Connections
from controller.store.lease import LEASE_SECONDS
from controller.store.states import LISTED_STATUSES, DeliveryState

# A script's name, the partition's tag, its arguments.
Step = tuple[str, str, dict[str, Any]]
Reply = dict[str, Any]

# An entry of a stream: its position, and its fields.
Fields = dict[bytes, bytes]
Entry = tuple[str, Fields]
BEGINNING = "0-0"  # the position before the first entry

Kind = Literal["room", "session", "recording"]


class Load(NamedTuple):
    """What a node had when it was last counted (`at`, ms): sessions and rooms, and sessions alone (`calls`)."""

    load: int
    calls: int
    at: int


class WebhookCounts(NamedTuple):
    """Of an app: its `endpoint` hash, undelivered bytes, and how many webhooks are `listed` by status."""

    endpoint: dict[str, str]
    pending_bytes: int
    listed: dict[str, int]


LIBRARY = "switchroom"  # what the names of the libraries of functions begin with
KEPT_LIBRARIES = 3  # of the newest: processes of the version before may go on for a while
LIBRARY_RETRY_SECONDS = 10.0  # before a store that took no library is tried again

_MISSING = re.compile(r"Function not found$|unknown command\b").match
_FAILED = re.compile(r"\buser_(?:script|function)\b").search

# The errors of a store that is not available. The cluster's own are not RedisErrors.
AWAY = (RedisError, RedisClusterException, OSError)

log = structlog.get_logger(__name__)


def each_host(url: str) -> list[str]:
    """A URL for each host of `redis://user:word@a:7000,b:7000`. Raises ValueError."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=user + at + host).geturl() for host in hosts.split(",")]


class Store:
    """Scripts change the state; the other methods say what they read.

    Every method raises StoreUnavailable if the store does not respond in time.
    """

    def __init__(self, client: redis.Redis | RedisCluster, timeout: float = 1.0) -> None:
        # Untyped: the two clients' own types do not agree about what a command returns.
        self._client: Any = client
        self.timeout = timeout
        self.clustered = isinstance(client, RedisCluster)
        if isinstance(client, redis.Redis):
            pool = client.connection_pool
            self._connections = Connections(pool, pool.max_connections)
        self._scripts = scripts.load()
        self._library = scripts.library()
        self._version = self._library.version
        # What stands in for the library while the store takes none, by whether it runs when memory is full.
        self._stand_ins: dict[bool, str] = {}
        self._library_due = 0.0

    @classmethod
    def connect(cls, url: str, *, cluster: bool = False, timeout: float = 1.0, connections: int = 64) -> Store:
        """`redis://`, `rediss://` or `unix://`. Waits for a response for `timeout` seconds, and retries nothing.

        A cluster is connected to at once, by any host of `redis://a:7000,b:7000`. Raises StoreUnavailable.
        """
        options: dict[str, Any] = {
            "socket_timeout": timeout,
            "socket_connect_timeout": timeout,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
            "max_connections": connections,
        }
        if cluster:
            first, *others = each_host(url)
            try:
                return cls(
                    RedisCluster.from_url(first, startup_nodes=[_node(other) for other in others], **options), timeout
                )
            except AWAY as error:
                raise StoreUnavailable(f"the store is not available: {error}") from error
        pool = redis.BlockingConnectionPool.from_url(url, timeout=timeout, queue_class=LifoQueue, **options)
        return cls(redis.Redis(connection_pool=pool), timeout)

    def close(self) -> None:
        if not self.clustered:
            self._connections.close()
        self._client.close()

    # Steps

    def run(self, script: str, tag: str, args: dict[str, Any]) -> Reply:
        """One atomic step in partition `tag`. `None` in `args` means absent.

        `{"refused": "store_full"}` when memory is full and the script would need more; then it did nothing.
        Raises Fenced, ScriptFailed, and TypeError for arguments that the script does not take, or lacks.
        """
        return self.run_many([(script, tag, args)])[0]

    def run_many(self, steps: Sequence[Step]) -> list[Reply]:
        """As `run_each`, but raises the first ScriptFailed."""
        replies = []
        for reply in self.run_each(steps):
            if isinstance(reply, ScriptFailed):
                raise reply
            replies.append(reply)
        return replies

    def run_each(self, steps: Sequence[Step]) -> list[Reply | ScriptFailed]:
        """Many steps in one round trip; those of one partition happen in their order. A step that failed has its error
        in place of the reply, and holds up no other. Raises Fenced, TypeError.

        Fenced says that at least one step was refused, not that none was taken.
        """
        for name, _, args in steps:
            self._scripts[name].check(args)
        with self._guard():
            started = time.perf_counter()
            replies = self._call(steps)
            store_seconds.observe(time.perf_counter() - started)
            lacking = {tag for (_, tag, _), reply in zip(steps, replies, strict=True) if _is_missing(reply)}
            if lacking:
                # A new server has no library. If only some steps were done, the order of all is lost.
                self._load_library(lacking)
                if not all(map(_is_missing, replies)):
                    raise StoreUnavailable("the store was restarted meanwhile")
                replies = self._call(steps)
            found = [self._reply(name, tag, reply) for (name, tag, _), reply in zip(steps, replies, strict=True)]
        if any(isinstance(reply, dict) and reply.get("refused") == "fenced" for reply in found):
            raise Fenced
        return found

    # The server

    def info(self, *sections: str) -> dict[str, dict[str, Any]]:
        """The INFO of each server by its address, "" for a single one. Not CONFIG: hosted servers refuse it."""
        with self._guard():
            if not self.clustered:
                return {"": self._client.info(*sections)}
            primaries = self._client.get_primaries()
            return {primary.name: self._client.info(*sections, target_nodes=primary) for primary in primaries}

    def ping(self) -> bool:
        with self._guard():
            return bool(self._client.ping())

    def shared_secret(self, name: str) -> bytes:
        """32 random bytes, made by the first process that asks and the same for all from then on."""
        with self._guard():
            # Read first: a store whose memory is full takes no SET, not even one that would change nothing.
            if self._client.get(name) is None:
                self._client.set(name, secrets.token_bytes(32), nx=True)
            return bytes(self._client.get(name))

    def keep_secret(self, name: str, secret: bytes) -> None:
        """Sees to it that the store has a shared secret that it has lost, unless it has one."""
        with self._guard():
            self._client.set(name, secret, nx=True)

    # Streams

    def read(self, stream: str, start: str = "-", end: str = "+", *, count: int | None = None) -> list[Entry]:
        """Entries of a stream from one position to another; `(` before a position leaves that one out."""
        with self._guard():
            return _entries(self._client.xrange(stream, start, end, count=count))

    def append(self, stream: str, fields: Mapping[str, bytes], *, since: int) -> None:
        """Adds an entry, and drops those from before `since` (epoch ms), approximately."""
        with self._guard():
            self._client.xadd(stream, dict(fields), minid=since, approximate=True)

    def length(self, name: str) -> int:
        """How many entries the streams of that name have, in all partitions."""
        return sum(self._sweep(lambda pipe, tag: pipe.xlen(keys.key(tag, name))))

    def read_back(self, stream: str, end: str, *, count: int) -> list[Entry]:
        """Entries of a stream from a position back, the newest first; as `read`."""
        with self._guard():
            return _entries(self._client.xrevrange(stream, end, "-", count=count))

    def newest(self, stream: str) -> str:
        """The position of the last entry."""
        with self._guard():
            found = self._client.xrevrange(stream, count=1)
        return found[0][0].decode() if found else BEGINNING

    def has_all_behind(self, stream: str, position: str) -> bool:
        """Whether nothing was trimmed behind an entry: then the entry itself is still there, too."""
        with self._guard():
            if position != BEGINNING:
                return bool(self._client.xrange(stream, position, position))
            if not self._client.exists(stream):
                return True
            found = self._client.xinfo_stream(stream)
            return bool(found["entries-added"] == found["length"])

    @property
    def followed_together(self) -> list[list[str]]:
        """The partitions in groups, of which one `follow` can have streams. On a cluster each is a group of its own."""
        return [[tag] for tag in keys.TAGS] if self.clustered else [list(keys.TAGS)]

    def follow(self, positions: Mapping[str, str], *, count: int, wait: float) -> dict[str, list[Entry]]:
        """Entries behind each stream's position. Waits for the first for `wait` seconds, which must be less than the
        timeout. All streams must be of one group of `followed_together`.
        """
        milliseconds = max(1, int(wait * 1000))
        with self._guard():
            if self.clustered:
                found = self._client.xread(dict(positions), count=count, block=milliseconds)
                return {stream.decode(): _entries(entries) for stream, entries in found}
            # Not by the client, as this is asked for each event (`_evaluate`).
            asked = ("XREAD", "COUNT", count, "BLOCK", milliseconds, "STREAMS", *positions, *positions.values())
            (reply,) = self._evaluate([asked])
            if isinstance(reply, Exception):
                raise reply
        return {
            stream.decode(): [(position.decode(), _fields(pairs)) for position, pairs in entries]
            for stream, entries in reply or ()
        }

    # Rooms and sessions

    def app_of(self, kind: Kind, identifier: str) -> str | None:
        """The app of a room, session or recording, in whichever partition it is; None if there is none."""
        apps = self._sweep(lambda pipe, tag: pipe.hget(keys.key(tag, kind, identifier), "app"))
        return next((app.decode() for app in apps if app), None)

    def is_known(self, kind: Kind, identifier: str) -> bool:
        """Whether any app has this room or session; a room that is being deleted does not count."""
        found = self._sweep(lambda pipe, tag: pipe.hmget(keys.key(tag, kind, identifier), "app", "closing"))
        return any(app and not closing for app, closing in found)

    def has_ended(self, session_id: str) -> bool:
        """Whether it is a session that ended a short while ago."""
        return any(self._sweep(lambda pipe, tag: pipe.exists(keys.key(tag, "ended", session_id))))

    def urls_of(self, app_id: str, operations: Sequence[str]) -> list[list[str]]:
        """The URLs of each playback operation; an empty list for one that is over."""
        if not operations:
            return []
        tag = keys.partition_of(app_id)
        found = self._pipe(lambda pipe: [pipe.lrange(keys.key(tag, "urls", each), 0, -1) for each in operations])
        # A number stands for the rest of the URL before it (lib/playback.lua).
        return [[url for each in urls if isinstance(url := orjson.loads(each), str)] for urls in found]

    # Nodes

    def core_uuid(self, prefix: str) -> str | None:
        """The node's Core-UUID at its last comparison, None before the first."""
        with self._guard():
            found = self._client.get(keys.key(keys.node_tag(prefix), "core"))
        return found.decode() if found else None

    def holders(self, prefixes: Sequence[str]) -> dict[str, str]:
        """The worker that holds each of the nodes, of those that are held. A lease that lasts for longer than any can,
        as the clock was set back, does not count.
        """

        def ask(pipe: Any) -> None:
            for prefix in prefixes:
                lease = keys.key(keys.node_tag(prefix), "lease")
                pipe.get(lease).pttl(lease)

        found = self._pipe(ask)
        return {
            prefix: lease.decode().partition(" ")[2]
            for prefix, lease, left in zip(prefixes, found[::2], found[1::2], strict=True)
            if lease and left <= LEASE_SECONDS * 1000
        }

    def is_reachable(self, prefix: str) -> bool:
        """Whether the node's worker has published so within the last seconds."""
        with self._guard():
            return bool(self._client.exists(keys.key(keys.node_tag(prefix), "live")))

    def watched(self) -> dict[str, set[str]]:
        """The rooms, by node, of which somebody watches who speaks in them."""
        rooms: dict[str, set[str]] = {}
        for text in self.run("watch", keys.REGISTRY, {})["watched"]:
            prefix, _, room = text.partition(" ")
            rooms.setdefault(prefix, set()).add(room)
        return rooms

    def speaking(self, prefixes: Sequence[str], room_id: str) -> list[str]:
        """The sessions that speak in a room on any of these nodes."""
        found = self._pipe(
            lambda pipe: [pipe.smembers(keys.key(keys.node_tag(each), "speaking", room_id)) for each in prefixes]
        )
        return sorted(session.decode() for sessions in found for session in sessions)

    def loads(self, prefixes: Sequence[str]) -> dict[str, Load]:
        """Of each node that is reachable."""
        found = self._pipe(
            lambda pipe: [pipe.hmget(keys.key(keys.node_tag(prefix), "live"), *Load._fields) for prefix in prefixes]
        )
        # A worker of an older version does not say how many calls there are.
        return {
            prefix: Load(int(load), int(calls or 0), int(at))
            for prefix, (load, calls, at) in zip(prefixes, found, strict=True)
            if at is not None
        }

    def count_on(self, prefix: str) -> tuple[int, int]:
        """How many rooms and how many sessions a node has now."""
        rooms = self._sweep(lambda pipe, tag: pipe.scard(keys.key(tag, "node_rooms", prefix)))
        sessions = self._sweep(lambda pipe, tag: pipe.scard(keys.key(tag, "node_sessions", prefix)))
        return sum(rooms), sum(sessions)

    # Apps

    def registry_version(self) -> bytes | None:
        """Changes with every change to the registry."""
        with self._guard():
            version: bytes | None = self._client.get(keys.key(keys.REGISTRY, "version"))
            return version

    def registry_entries(self) -> tuple[list[bytes], list[bytes], list[bytes]]:
        """All apps, all nodes and all gateways, each as JSON."""
        with self._guard():
            apps, nodes, gateways = (
                self._client.hvals(keys.key(keys.REGISTRY, name)) for name in ("apps", "nodes", "gateways")
            )
            return apps, nodes, gateways

    def gone_nodes(self) -> list[str]:
        """The prefixes that nodes had which are not in the registry any more."""
        with self._guard():
            return sorted(prefix.decode() for prefix in self._client.smembers(keys.key(keys.REGISTRY, "gone_nodes")))

    def counts_of_apps(self, kind: str, app_ids: Sequence[str]) -> dict[str, int]:
        """How many `rooms` or `sessions` each app has."""
        found = self._pipe(lambda pipe: [pipe.zcard(keys.key(keys.partition_of(each), kind, each)) for each in app_ids])
        return dict(zip(app_ids, found, strict=True))

    def webhook_counts(self, app_ids: Sequence[str]) -> list[WebhookCounts]:
        """How the webhooks of each app do."""

        def ask(pipe: Any) -> None:
            for app_id in app_ids:
                tag = keys.partition_of(app_id)
                pipe.hgetall(keys.key(tag, "endpoint", app_id))
                pipe.hget(keys.key(tag, "usage", app_id), "webhook_bytes")
                for status in LISTED_STATUSES:
                    pipe.zcard(keys.key(tag, "deliveries", app_id, status))

        found = self._pipe(ask)
        of_app = 2 + len(LISTED_STATUSES)
        return [
            WebhookCounts(
                {name.decode(): value.decode() for name, value in record.items()},
                int(size or 0),
                dict(zip(LISTED_STATUSES, counts, strict=True)),
            )
            for record, size, *counts in (found[first : first + of_app] for first in range(0, len(found), of_app))
        ]

    def operators(self) -> list[bytes]:
        """All operators of the console, each as JSON."""
        with self._guard():
            found: list[bytes] = self._client.hvals(keys.key(keys.REGISTRY, "operators"))
            return found

    def operator(self, name: str) -> bytes | None:
        """An operator of the console, as JSON."""
        with self._guard():
            found: bytes | None = self._client.hget(keys.key(keys.REGISTRY, "operators"), name)
            return found

    def endpoint_of(self, app_id: str) -> dict[str, str]:
        """What the API has set of an app's webhook endpoint, and how the endpoint does; empty if nothing is known."""
        with self._guard():
            record = self._client.hgetall(keys.key(keys.partition_of(app_id), "endpoint", app_id))
        return {name.decode(): value.decode() for name, value in record.items()}

    def forget_webhooks(self, app_id: str) -> None:
        """Forgets what the API set of an app's endpoint, and what became of its webhooks."""
        tag = keys.partition_of(app_id)
        kept = (DeliveryState.DELIVERED, DeliveryState.FAILED)
        forgotten = [
            keys.key(tag, "endpoint", app_id),
            *(keys.key(tag, "deliveries", app_id, status) for status in LISTED_STATUSES),
            *(keys.key(tag, "sizes", app_id, status) for status in kept),
        ]
        with self._guard():
            for key in forgotten:
                self._client.unlink(key)
            self._client.hdel(keys.key(tag, "usage", app_id), *(f"{status}_bytes" for status in kept))

    # Plumbing

    def _guard(self) -> _Guard:
        return _Guard(self.timeout, StoreUnavailable("the store did not respond in time"))

    def _pipe(self, ask: Callable[[Any], Any]) -> list[Any]:
        """The replies to what `ask` puts into a pipeline, in one round trip."""
        with self._guard(), self._client.pipeline(transaction=False) as pipe:
            ask(pipe)
            return list(pipe.execute())

    def _sweep(self, ask: Callable[[Any, str], Any]) -> list[Any]:
        """The replies of all partitions: `ask` gets the tag of each."""
        return self._pipe(lambda pipe: [ask(pipe, tag) for tag in keys.TAGS])

    def _reply(self, name: str, tag: str, reply: bytes | Exception) -> Reply | ScriptFailed:
        """A script's reply. Logs what the script could not work on (lib/records.lua)."""
        script = self._scripts[name]
        if isinstance(reply, OutOfMemoryError):
            return {"refused": "store_full"}
        if isinstance(reply, ResponseError) and _FAILED(str(reply)):
            return ScriptFailed(f"{name}: {self._library.locate(str(reply))}")
        if isinstance(reply, Exception):
            raise reply
        found = script.reply(reply)
        for record, problem in found.get("broken", ()):
            log.error("record broken", script=name, partition=tag, record=record, reason=self._library.locate(problem))
        return found

    def _load_library(self, tags: Iterable[str]) -> None:
        """Has the servers of these partitions know the scripts. If one takes no library now, its memory being full,
        they get stand-ins. Not all servers of a cluster: one that is away would hold up the others.
        """
        self._library_due = time.monotonic() + LIBRARY_RETRY_SECONDS  # others need not try meanwhile
        stand_ins = {}
        name = f"{LIBRARY}_{int(time.time())}_{self._version}"
        servers = self._servers(tags)
        try:
            for server in servers:
                self._put_library(name, server)
        except ResponseError as error:
            log.warning("store takes no library", reason=str(error))
            for when_full in (True, False):
                text = self._library.script(when_full=when_full)
                for server in servers:
                    self._client.execute_command("SCRIPT LOAD", text, **server)
                stand_ins[when_full] = hashlib.sha1(text.encode()).hexdigest()  # noqa: S324
        self._stand_ins = stand_ins  # at once: steps of other greenlets need both

    def _put_library(self, name: str, server: Mapping[str, Any]) -> None:
        """Puts the library on a server that lacks it, and removes those of versions that are long gone."""
        try:
            self._client.execute_command("FUNCTION LOAD", self._library.text(name), **server)
        except ResponseError as error:
            if "already exists" not in str(error):
                raise
            return
        found = self._client.execute_command("FUNCTION LIST", "LIBRARYNAME", f"{LIBRARY}_*", **server)
        others = {each[each.index(b"library_name") + 1].decode() for each in found} - {name}
        for old in sorted(others)[: 1 - KEPT_LIBRARIES]:
            self._client.execute_command("FUNCTION DELETE", old, **server)

    def _servers(self, tags: Iterable[str]) -> list[dict[str, Any]]:
        """What names each of the servers of these partitions to the client."""
        if not self.clustered:
            return [{}]
        return [{"target_nodes": server} for server in {self._client.get_node_from_key(tag) for tag in tags}]

    def _call(self, steps: Sequence[Step]) -> list[Any]:
        if self._stand_ins and time.monotonic() >= self._library_due:
            self._load_library({tag for _, tag, _ in steps})
        return self._evaluate([self._calling(*step) for step in steps])

    def _calling(self, script: str, tag: str, args: dict[str, Any]) -> tuple[Any, ...]:
        """The command that runs a script's function."""
        if self._stand_ins:
            return ("EVALSHA", self._stand_ins[self._scripts[script].when_full], 1, tag, _encode(args), script)
        return ("FCALL", f"{script}_{self._version}", 1, tag, _encode(args))

    def _evaluate(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """The replies of such calls, in one round trip; of a cluster, in one with all of its servers at once.

        Not by the client: what it does around a command takes as long as the command, and the pipeline of a cluster
        sends once more what may have been carried out, when a connection breaks.
        """
        return self._evaluate_in_cluster(calls) if self.clustered else self._connections.ask(calls)

    def _evaluate_in_cluster(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        replies: list[Any] = [None] * len(calls)
        used: list[tuple[Any, Any, list[int]]] = []
        try:
            for pool, at in self._pools(calls):
                connection = pool.get_connection()
                used.append((pool, connection, at))
                connection.send_packed_command(connection.pack_commands([calls[i] for i in at]))
            for _, connection, at in used:
                for i in at:
                    replies[i] = _response(connection)
        except BaseException as error:
            # A reply that is still to come would be taken for that of another step.
            for _, connection, _ in used:
                connection.disconnect()
            if isinstance(error, (redis.ConnectionError, redis.TimeoutError)):
                self._client.nodes_manager.initialize()  # another server may have taken over
            raise
        finally:
            for pool, connection, _ in used:
                pool.release(connection)
        return [self._redirected(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _pools(self, calls: Sequence[tuple[Any, ...]]) -> Iterable[tuple[Any, list[int]]]:
        """The connections to each server, and which of the calls are for it."""
        found: dict[Any, list[int]] = defaultdict(list)
        for i, (_, _, _, tag, *_) in enumerate(calls):
            found[self._client.get_node_from_key(tag)].append(i)
        return [(self._client.get_redis_connection(node).connection_pool, at) for node, at in found.items()]

    def _redirected(self, call: tuple[Any, ...], reply: Any) -> Any:
        """The reply, or that of the server to which a partition has moved: the first has done nothing."""
        if not isinstance(reply, (AskError, TryAgainError)):
            return reply
        try:
            return self._client.execute_command(*call, target_nodes=self._client.get_node_from_key(call[3]))
        except ResponseError as error:
            return error


class _Guard(gevent.Timeout):
    """Every error of an unavailable store becomes StoreUnavailable, after so many seconds at the most. As a class, not
    made of a generator: that took a third longer.
    """

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close()
        if isinstance(error, (StoreUnavailable, *AWAY)):
            store_failures.inc()
            if not isinstance(error, StoreUnavailable):
                raise StoreUnavailable(f"the store is not available: {error}") from error


def emit_endings(store: Store, tag: str, reply: Reply) -> None:
    """Emit the rest of the rooms' endings, if a step's reply names rooms with more (lib/endings.lua)."""
    rooms = reply.pop("ending", [])
    while rooms:
        room = rooms.pop()
        try:
            rooms += store.run("emit_endings", tag, {"room_id": room}).get("ending", [])
        except ScriptFailed as error:
            # The node's worker tries the rest later.
            log.error("end of playback not emitted", room=room, reason=str(error))


def _is_missing(reply: object) -> bool:
    """Whether the server does not know the function, or the script in its place, or of no functions at all."""
    return isinstance(reply, NoScriptError) or (isinstance(reply, ResponseError) and _MISSING(str(reply)) is not None)


def _response(connection: Any) -> Any:
    """The next reply, which may be an error."""
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _node(url: str) -> ClusterNode:
    parts = urlsplit(url)
    return ClusterNode(str(parts.hostname), parts.port or 6379)  # type: ignore[no-untyped-call]


def _encode(args: dict[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in args.items() if value is not None})


def _fields(pairs: Sequence[bytes]) -> Fields:
    return dict(zip(pairs[::2], pairs[1::2], strict=True))


def _entries(found: Sequence[tuple[bytes, Fields]]) -> list[Entry]:
    return [(position.decode(), fields) for position, fields in found]
