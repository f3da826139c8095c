"""Runs the Lua files against the store: one server or a cluster, the same code."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import orjson
import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoScriptError, OutOfMemoryError, RedisClusterException, RedisError
from redis.retry import Retry

from controller.errors import StoreUnavailable
from controller.store import keys

# A script's name, the partition's tag, its arguments.
Step = tuple[str, str, dict[str, Any]]

# What a store that is away looks like. The cluster's own errors are not RedisErrors.
AWAY = (RedisError, RedisClusterException, OSError)

# Which scripts run when the store's memory is out, and why: so what was accepted goes on, ends, and makes room.
RUNS_WHEN_FULL = {
    "ends something": "delete_room leave stop tell_endings",
    "follows a node": "answered file_done jobs_lost member_joined member_left member_muted overdue playback_lost"
    " session_ended snapshot take",
    "settles webhooks": "delivery_aside delivery_settle",
    "holds a lease": "delivery_lease fence lease release workers",
    "counts requests": "admit",
    "reads": "get_delivery get_endpoint get_room get_session list_deliveries list_members list_rooms list_sessions",
    "says where webhooks go": "set_endpoint",
    "is the operator's": "registry",
}
# Which are refused then, as `store_full`, since they would only add.
REFUSED_WHEN_FULL = {
    "begins something": "create_room join may_play play session_parked",
    "changes something": "mute pause volume rotate_secret",
    "sends once more": "redeliver redeliver_range test_endpoint",
}

# What a script begins with: it makes the server refuse keys of another hash slot than the partition's, and the whole
# script when memory is out, unless that is allowed. A script that is in neither table has none, and cannot be loaded.
_FIRST_LINES = {
    name: line
    for line, table in (("#!lua flags=allow-oom\n", RUNS_WHEN_FULL), ("#!lua\n", REFUSED_WHEN_FULL))
    for names in table.values()
    for name in names.split()
}
_LUA = Path(__file__).parent / "lua"
_INCLUDE = re.compile(r"^-- include: (.+)$", re.MULTILINE)


def script_text(name: str) -> str:
    """A script as the store gets it: the keys, the libraries that the file includes, the file itself."""
    text = (_LUA / f"{name}.lua").read_text()
    included = _INCLUDE.search(text)
    libraries = ["core", *(included.group(1).split() if included else [])]
    parts = [(_LUA / "lib" / f"{library}.lua").read_text() for library in libraries]
    return "".join([_FIRST_LINES[name], keys.lua_prelude(), *parts, text])


def each_host(url: str) -> list[str]:
    """A URL for each host of `redis://user:word@a:7000,b:7000`. Raises ValueError."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return [parts._replace(netloc=user + at + host).geturl() for host in hosts.split(",")]


class Store:
    """`client` is for what is no script. Every method raises StoreUnavailable if the store gives no answer in time."""

    def __init__(self, client: redis.Redis | RedisCluster, timeout: float = 1.0) -> None:
        self.client: Any = client
        self.timeout = timeout
        self.clustered = isinstance(client, RedisCluster)
        self._texts = {path.stem: script_text(path.stem) for path in _LUA.glob("*.lua")}
        self._shas = {name: hashlib.sha1(text.encode()).hexdigest() for name, text in self._texts.items()}  # noqa: S324

    @classmethod
    def connect(cls, url: str, *, cluster: bool = False, timeout: float = 1.0, connections: int = 64) -> Store:
        """`redis://`, `rediss://` or `unix://`. An answer is waited for `timeout` seconds; nothing is retried here.

        A cluster is looked for at once, at each host of `redis://a:7000,b:7000`. Raises StoreUnavailable.
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
        pool = redis.BlockingConnectionPool.from_url(url, timeout=timeout, **options)
        return cls(redis.Redis(connection_pool=pool), timeout)

    def run(self, script: str, tag: str, args: dict[str, Any]) -> dict[str, Any]:
        """One atomic step in partition `tag`. `None` in `args` means absent; an empty list in the answer does too.

        `{"refused": "store_full"}` when memory is out and the script would need more; then it did nothing.
        """
        return self.run_many([(script, tag, args)])[0]

    def run_many(self, steps: Sequence[Step]) -> list[dict[str, Any]]:
        """Many steps in one round trip; those of one partition happen in their order."""
        with self.guard():
            answers = self._call(steps)
            missing = [isinstance(answer, NoScriptError) for answer in answers]
            if any(missing):
                # A restarted server knows no scripts. Were some steps done and others not, their order is lost.
                self.load_scripts()
                if not all(missing):
                    raise StoreUnavailable("the store was restarted meanwhile")
                answers = self._call(steps)
            for answer in answers:
                if isinstance(answer, Exception) and not isinstance(answer, OutOfMemoryError):
                    raise answer
        return [
            {"refused": "store_full"} if isinstance(answer, OutOfMemoryError) else orjson.loads(answer)
            for answer in answers
        ]

    def load_scripts(self) -> None:
        for text in self._texts.values():
            self.client.script_load(text)

    def info(self, *sections: str) -> dict[str, dict[str, Any]]:
        """What each server says of itself, by its address; a single one's is "". INFO, as hosted ones refuse CONFIG."""
        with self.guard():
            if not self.clustered:
                return {"": self.client.info(*sections)}
            primaries = self.client.get_primaries()
            return {primary.name: self.client.info(*sections, target_nodes=primary) for primary in primaries}

    def ping(self) -> bool:
        with self.guard():
            return bool(self.client.ping())

    @contextmanager
    def guard(self) -> Iterator[None]:
        """Whatever the store's absence looks like becomes StoreUnavailable, after `timeout` seconds at the most."""
        try:
            with gevent.Timeout(self.timeout, StoreUnavailable("the store gave no answer in time")):
                yield
        except AWAY as error:
            raise StoreUnavailable(f"the store is not available: {error}") from error

    def _call(self, steps: Sequence[Step]) -> list[Any]:
        calls = [(self._shas[name], tag, _encode(args)) for name, tag, args in steps]
        if len(calls) == 1:
            sha, tag, text = calls[0]
            try:
                return [self.client.evalsha(sha, 1, tag, text)]
            except (NoScriptError, OutOfMemoryError) as error:
                return [error]
        with self.client.pipeline(transaction=False) as pipe:
            for sha, tag, text in calls:
                # Not `evalsha`: the cluster client forbids the method in pipelines, though each call has one slot.
                pipe.execute_command("EVALSHA", sha, 1, tag, text)
            return list(pipe.execute(raise_on_error=False))


def tell_endings(store: Store, tag: str, answer: dict[str, Any]) -> None:
    """Go on telling what ended in a room, if a step's answer says that there is more (lib/endings.lua)."""
    rooms = answer.pop("ending", [])
    while rooms:
        rooms += store.run("tell_endings", tag, {"room_id": rooms.pop()}).get("ending", [])


def _node(url: str) -> ClusterNode:
    parts = urlsplit(url)
    return ClusterNode(str(parts.hostname), parts.port or 6379)  # type: ignore[no-untyped-call]


def _encode(args: dict[str, Any]) -> bytes:
    return orjson.dumps({name: value for name, value in args.items() if value is not None})
