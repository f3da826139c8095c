"""The faults: each function does its harm, holds it, and heals it. `hold` is the seconds that it lasts.

`FAULTS` names them all. Faults of the same `part` do not meet; the others may, and that is meant.
"""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent

from tests.chaos.flood import Flood
from tests.chaos.load import Load
from tests.chaos.nodes import EmulatedNode, Node
from tests.chaos.parts import Service
from tests.chaos.world import PREFIXES, TENANTS, World
from tests.e2e.stores import StoreCluster, StoreServer


@dataclass
class Scene:
    """Where a fault happens: `node` for those of a node; `chance` picks among the processes and tenants."""

    world: World
    load: Load
    node: Node
    hold: float
    chance: float

    def service(self, role: str) -> Service | None:
        running = [service for service in self.world.services[role] if service.runs and not service.frozen]
        return running[int(self.chance * len(running))] if running else None

    @property
    def server(self) -> StoreServer:
        """The store where it is a single server."""
        assert isinstance(self.world.store, StoreServer)
        return self.world.store

    @property
    def cluster(self) -> StoreCluster:
        assert isinstance(self.world.store, StoreCluster)
        return self.world.store

    @property
    def tenant(self) -> str:
        return TENANTS[int(self.chance * len(TENANTS))]


def _pause(scene: Scene) -> None:
    """How long the fault lasts is the fault's, not a wait for something."""
    gevent.sleep(scene.hold)


# Links


def reset(scene: Scene) -> None:
    scene.node.proxy.reset()


def _proxy(**how: object) -> Callable[[Scene], None]:
    """The node's proxy is set so for a while."""

    def fault(scene: Scene) -> None:
        for name, value in how.items():
            setattr(scene.node.proxy, name, value)
        _pause(scene)
        scene.node.proxy.heal()

    return fault


def says_nothing(scene: Scene) -> None:
    """The node's connections end, and new ones are taken without a word."""
    scene.node.proxy.reset()
    scene.node.proxy.swallowing = True
    _pause(scene)
    scene.node.proxy.heal()


def refused(scene: Scene) -> None:
    scene.node.proxy.refuse()
    scene.node.proxy.reset()
    _pause(scene)
    scene.node.proxy.heal()


# Nodes


def node_restarts(scene: Scene) -> None:
    scene.node.restart()
    scene.load.forget_calls(scene.node.prefix)


def node_unreachable(scene: Scene) -> None:
    """Calls go on, come and go meanwhile."""
    assert isinstance(scene.node, EmulatedNode)
    scene.node.stop()
    _pause(scene)
    scene.node.start()


def wrong_password(scene: Scene) -> None:
    assert isinstance(scene.node, EmulatedNode)
    scene.node.change_password(wrong=True)
    _pause(scene)
    scene.node.change_password(wrong=False)


def killed(scene: Scene) -> None:
    """Long enough for its rooms to move to other nodes, or not quite."""
    scene.node.die()
    scene.load.forget_calls(scene.node.prefix)
    _pause(scene)
    scene.node.revive()


# Legs


def leg_cut(scene: Scene) -> None:
    """One of those that there are, on either of its nodes."""
    nodes = [node for node in scene.world.nodes.values() if isinstance(node, EmulatedNode)]
    legs = [(node, leg) for node in nodes for leg in node.legs]
    if legs:
        node, leg = legs[int(scene.chance * len(legs))]
        node.cut(leg)
        scene.load.counts["legs cut"] += 1


def nodes_apart(scene: Scene) -> None:
    """No leg of the node gets through, and the Event Socket does."""
    assert isinstance(scene.node, EmulatedNode)
    scene.node.part()
    _pause(scene)
    scene.node.reunite()


# The store


def store_frozen(scene: Scene) -> None:
    scene.server.freeze()
    _pause(scene)
    scene.server.thaw()


def store_slow(scene: Scene) -> None:
    """Answers come late, some too late."""
    until = time.monotonic() + scene.hold
    while time.monotonic() < until:
        scene.server.freeze()
        gevent.sleep(0.3)
        scene.server.thaw()
        gevent.sleep(0.1)


def store_killed(scene: Scene) -> None:
    scene.server.kill()
    _pause(scene)
    scene.server.start()


def store_fails_over(scene: Scene) -> None:
    """A primary dies, its replica takes over, and it comes back as the replica."""
    primaries = scene.cluster.primaries()
    old = primaries[int(scene.chance * len(primaries))]
    old.kill()
    scene.cluster.wait_whole()
    _pause(scene)
    old.start()
    scene.cluster.wait_whole()


# Switchroom's processes


def _killed(role: str) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        service = scene.service(role)
        if service:
            service.kill()
            _pause(scene)
            service.start()

    return fault


def _frozen(role: str) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        service = scene.service(role)
        if service:
            service.freeze()
            _pause(scene)
            service.thaw()

    return fault


def rolling_restart(scene: Scene) -> None:
    """One process of each role after the other: its successor comes first, and no request may be lost."""
    for role, services in scene.world.services.items():
        old = scene.service(role)
        if old is None:
            continue
        scene.world.add(role)
        services.remove(old)
        scene.world.leaving.add(old.name)
        try:
            code: int | str | None = old.end(signal.SIGTERM)
        except subprocess.TimeoutExpired:
            code = "had to be killed"
        if code != 0:
            scene.world.ledger.violations.append(f"{old.name} did not end cleanly on SIGTERM: {code}")


def all_killed(scene: Scene) -> None:
    """Every process of Switchroom at once, as when a machine fails."""
    services = [service for role in scene.world.services.values() for service in role if service.runs]
    for service in services:
        service.kill()
    gevent.joinall([gevent.spawn(service.start) for service in services], raise_error=True)


def overload(scene: Scene) -> None:
    flood = Flood(scene.world, scene.tenant)
    flood.go(scene.hold)
    scene.load.counts += flood.counts
    scene.world.ledger.violations += flood.violations


# Where files come from


def _origin(mood: str) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        scene.world.origin.mood = mood
        _pause(scene)
        scene.world.origin.mood = ""

    return fault


# Endpoints


def _endpoint(mood: int) -> Callable[[Scene], None]:
    def fault(scene: Scene) -> None:
        scene.world.endpoints.set(scene.tenant, mood)
        _pause(scene)
        scene.world.endpoints.set(scene.tenant, 200)

    return fault


@dataclass(frozen=True)
class Fault:
    """`part`: what it is about. `holds`: the least and the most seconds that it lasts; `takes`: about how many more.

    `usual`: it is among those of a run that names none. `busiest`: it is about the node that most rooms have as their
    source, and no other node has a fault meanwhile.
    """

    part: str
    do: Callable[[Scene], None]
    holds: tuple[float, float] = (0.0, 0.0)
    takes: float = 0.0
    audited: bool = False  # whether only the audit puts it right
    real: bool = True  # whether a real FreeSWITCH can be treated so
    single: bool = True  # whether a store that is one server can
    cluster: bool = True  # whether one that is a cluster can
    usual: bool = True
    busiest: bool = False


FAULTS: dict[str, Fault] = {
    "link reset": Fault("link", reset),
    "link half-open": Fault("link", _proxy(swallowing=True), (1, 14)),
    "node says nothing": Fault("link", says_nothing, (1, 7)),
    "frame cut": Fault("link", _proxy(cut_next=True), (1, 2)),
    "events lost": Fault("link", _proxy(losing="events"), (1, 4), audited=True),
    "events and answers lost": Fault("link", _proxy(losing="all"), (0.5, 10), audited=True),
    "link slow": Fault("link", _proxy(delay=0.3), (1, 4)),
    "link refused": Fault("link", refused, (0.5, 4)),
    "node restarts": Fault("link", node_restarts),
    "node unreachable": Fault("link", node_unreachable, (0.5, 4), real=False),
    "wrong password": Fault("link", wrong_password, (0.5, 3), real=False),
    "nodes apart": Fault("link", nodes_apart, (1, 12), real=False),
    "source killed": Fault("link", killed, (15, 25), busiest=True),
    "source killed briefly": Fault("link", killed, (1, 16), busiest=True),
    "leg cut": Fault("leg", leg_cut),
    "store frozen": Fault("store", store_frozen, (0.5, 6), cluster=False),
    "store slow": Fault("store", store_slow, (1, 4), cluster=False),
    "store killed": Fault("store", store_killed, (0.2, 4), takes=0.2, cluster=False),
    "store away for a minute": Fault("store", store_killed, (55, 65), takes=0.2, usual=False, cluster=False),
    "store fails over": Fault("store", store_fails_over, (0, 4), takes=5.0, single=False),
    "worker killed": Fault("worker", _killed("worker"), takes=1.5, holds=(0, 6)),
    "worker frozen": Fault("worker", _frozen("worker"), (1, 8)),
    "api killed": Fault("api", _killed("api"), takes=1.5, holds=(0, 2)),
    "api frozen": Fault("api", _frozen("api"), (0.5, 4)),
    "overload": Fault("api", overload, (2, 5)),
    "dispatcher killed": Fault("dispatcher", _killed("dispatcher"), takes=1.5, holds=(0, 5)),
    "dispatcher frozen": Fault("dispatcher", _frozen("dispatcher"), (1, 7)),
    "relay killed": Fault("relay", _killed("media"), takes=1.5, holds=(0, 6)),
    "relay frozen": Fault("relay", _frozen("media"), (1, 8)),
    "origin slow": Fault("origin", _origin("slow"), (2, 9)),
    "origin endless": Fault("origin", _origin("endless"), (1, 6)),
    "rolling restart": Fault("all", rolling_restart, takes=6.0),
    "everything killed": Fault("all", all_killed, takes=4.0),
    "endpoint fails": Fault("endpoint", _endpoint(500), (1, 3.5)),
    "endpoint hangs": Fault("endpoint", _endpoint(0), (1, 3.5)),
}


def possible(kinds: list[str] | None, real: bool, cluster: bool) -> list[str]:
    """Of these kinds, or of the usual ones, those that there can be: with a real node, with a store that is a cluster."""
    return [
        name
        for name in kinds or [name for name, fault in FAULTS.items() if fault.usual]
        if (FAULTS[name].real or not real) and (FAULTS[name].cluster if cluster else FAULTS[name].single)
    ]


# What the faults of the part "all" need to themselves.
NOT_WITH_ALL = {"worker", "api", "dispatcher", "relay", "store"}


@dataclass(frozen=True)
class Planned:
    """A fault of a round: on which node, after which seconds, how long, and whom. They end at about the same time."""

    kind: str
    node: int
    after: float
    hold: float
    chance: float


class Deck:
    """All kinds in a random order, again and again; those of `often` twice with each other one."""

    def __init__(self, rng: random.Random, kinds: list[str], often: list[str]) -> None:
        self._rng = rng
        self._often = [kind for kind in kinds if kind in often] * 2
        self._rare = [[kind] for kind in kinds if kind not in often] or [[]]
        self._left: list[str] = []

    def draw(self) -> str:
        if not self._left:
            hands = [[*self._often, *rare] for rare in self._rng.sample(self._rare, len(self._rare))]
            self._left = [kind for hand in hands for kind in self._rng.sample(hand, len(hand))]
        return self._left.pop()

    def put_back(self, kind: str) -> None:
        self._left.append(kind)


def rounds(rng: random.Random, kinds: list[str], often: list[str] | None = None) -> Iterator[list[Planned]]:
    """The endless sequence of a seed. Each kind comes as often as any other of its group, nodes or system; but those of
    `often` come twice for each other one.
    """
    on_nodes = [kind for kind in kinds if FAULTS[kind].part == "link"]
    others = [kind for kind in kinds if FAULTS[kind].part != "link"]
    node_deck, other_deck = (Deck(rng, group, often or []) for group in (on_nodes, others))
    while True:
        chosen = [*_for_nodes(rng, node_deck, not others)] if on_nodes else []
        chosen += _for_the_rest(rng, other_deck) if others else []
        holds = [rng.uniform(*FAULTS[kind].holds) for kind, _ in chosen]
        ends = [hold + FAULTS[kind].takes for hold, (kind, _) in zip(holds, chosen, strict=True)]
        yield [
            Planned(kind, node, max(ends) - end + rng.random(), hold, rng.random())
            for (kind, node), hold, end in zip(chosen, holds, ends, strict=True)
        ]


def _for_nodes(rng: random.Random, deck: Deck, both: bool) -> list[tuple[str, int]]:
    """One kind for one node, or one each for two."""
    chosen = [(deck.draw(), node) for node in rng.sample(range(len(PREFIXES)), 2 if both else rng.choice([1, 2]))]
    if len(chosen) == 2 and any(FAULTS[kind].audited or FAULTS[kind].busiest for kind, _ in chosen):
        # What is found by the audit takes its time, and only shows that the rest does not where there is a node without.
        deck.put_back(chosen.pop()[0])
    return chosen


def _for_the_rest(rng: random.Random, deck: Deck) -> list[tuple[str, int]]:
    chosen = [deck.draw() for _ in range(rng.choice([1, 2]))]
    parts = {FAULTS[kind].part for kind in chosen}
    if len(chosen) == 2 and (len(parts) == 1 or ("all" in parts and parts & NOT_WITH_ALL)):
        deck.put_back(chosen.pop())
    return [(kind, 0) for kind in chosen]
