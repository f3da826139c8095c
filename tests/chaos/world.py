"""Everything of a run in one place, and the comparison of what all parts say."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gevent

from controller.ids import SessionIds
from controller.store import keys
from tests.chaos.legs import unused_legs, wrong_legs
from tests.chaos.model import History, Ledger, as_listed, flags_of
from tests.chaos.nodes import GATEWAY, EmulatedNode, Node, RealNode, Truth
from tests.chaos.origin import Origin
from tests.chaos.parts import Ask, Endpoints, Request, Service, key_of, secret_of, wait_until
from tests.e2e.stores import StoreCluster, StoreServer

TENANTS = ("alpha", "beta", "gamma")
PREFIXES = ("nodeA", "nodeB", "nodeC")
DIDS = {tenant: f"74771300{number}" for number, tenant in enumerate(TENANTS)}
# As which tenants call.
CALLER_ID = "+493098765432"
FILES_WITH_NODE = 2
ROLES = ("api", "worker", "dispatcher", "media")
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9/missing.wav"
MAX_FILE_MB = 4
POLL_SECONDS = 0.25
# Of a tenant: twice what its load and the comparisons need, and a tenth of what an overload sends.
REQUESTS_PER_SECOND = 100
# Of the processes, so that the sessions of channels are known here.
SESSION_KEY = b"a key of thirty-two bytes, or so"
IDS = {prefix: SessionIds(prefix, SESSION_KEY) for prefix in PREFIXES}


class World:
    """The parts of one run, all started. `broken`: a seeded bug to run with. `real`: a FreeSWITCH in place of a node.

    `cluster`: the store is a cluster of six.
    """

    def __init__(self, folder: Path, broken: str = "", real: bool = False, cluster: bool = False) -> None:
        self.folder = folder
        self.ledger = Ledger()
        self.endpoints = Endpoints(self.ledger.take, TENANTS)
        self.ledger.stepped_aside = self.endpoints.stepped_aside
        self.origin = Origin()
        self.ledger.came_whole = lambda url: url in self.origin.whole
        self.ledger.may_fail = lambda url: url == NOWHERE or url in self.origin.harmed
        self.nodes: dict[str, Node] = {}
        self.services: dict[str, list[Service]] = {role: [] for role in ROLES}
        self.store: StoreServer | StoreCluster = (
            StoreCluster(folder / "cluster") if cluster else StoreServer(folder / "store")
        )
        # Processes that were asked to end, and have a successor: they answer what they took.
        self.leaving: set[str] = set()
        # The rooms that have been on several nodes, and those that another node than the one of their id was the source of.
        self.spanning: set[str] = set()
        self.moved: set[str] = set()
        # What their ids would be if they were sessions, by their uuids.
        self._legs: dict[str, set[str]] = {}
        # Of the last comparison.
        self.unused: list[str] = []
        self._number = 0
        self._broken = broken
        self._real = real
        try:
            self.store.start()
            self.store.client.set(keys.SESSION_KEY, SESSION_KEY)
            for number, prefix in enumerate(PREFIXES):
                self.nodes[prefix] = (
                    RealNode(prefix, folder) if real and number == 0 else EmulatedNode(prefix, 5060 + number)
                )
            self.ledger.is_leg = self._is_leg
            self._configure()
            # Not all at once: a process that gets no time takes its store for one that does not answer.
            for _ in range(2):
                gevent.joinall([gevent.spawn(self.add, role) for role in ROLES], raise_error=True)
            wait_until("all nodes are up", self._all_up, 30)
            self._ask_for_digits()
        except BaseException:
            self.close()
            raise

    def _configure(self) -> None:
        lines = [
            "[server]", 'listen = "127.0.0.1:0"', "[store]", f'url = "{self.store.url}"',
            f'data_dir = "{self.folder}/data"',
            f"cluster = {str(isinstance(self.store, StoreCluster)).lower()}",
            "[webhooks]", "allow_private_networks = true", "[playback]", "allow_private_networks = true",
            f"max_file_mb = {MAX_FILE_MB}", "[media]", 'listen = "127.0.0.1:0"',
            "[limits]", f"requests_per_second = {REQUESTS_PER_SECOND}",
        ]  # fmt: skip
        for node in self.nodes.values():
            host, port = node.proxy.address
            lines += [
                "[[nodes]]",
                f'prefix = "{node.prefix}"',
                f'esl = "{host}:{port}"',
                f'password = "{node.password}"',
                f'bridge = "{node.bridge}"',
            ]
        for tenant in TENANTS:
            lines += ["[[apps]]", f'id = "{tenant}"', f'api_key = "{key_of(tenant)}"', f'dids = ["{DIDS[tenant]}"]']
            lines += [f'webhook_url = "{self.endpoints.url(tenant)}"', f'webhook_secret = "{secret_of(tenant)}"']
            lines += [
                "[apps.dial]",
                'gateway = "carrier"',
                'destinations = ["+4930*"]',
                f'caller_ids = ["{CALLER_ID}"]',
            ]
            lines += [f"calls_{name} = 100000" for name in ("at_once", "per_minute", "per_day")]
        lines += ["[[gateways]]", 'name = "carrier"', f'host = "{GATEWAY}"']
        self.config = self.folder / "switchroom.toml"
        self.config.write_text("\n".join(lines) + "\n")

    def add(self, role: str) -> Service:
        """One more process, ready when this returns."""
        self._number += 1
        service = Service(f"{role}-{self._number}", self.folder, self.config, (role,), self._broken)
        service.start()
        self.services[role].append(service)
        return service

    def close(self) -> None:
        for service in [service for role in ROLES for service in self.services[role]]:
            service.kill()
        self.store.kill()
        for node in self.nodes.values():
            node.close()
        self.endpoints.close()
        self.origin.close()

    # Asking

    def ask(self, tenant: str, ask: Ask, turn: int = 0) -> Request:
        """As a tenant with a load balancer in front: a process that takes no connection is passed over."""
        request = Request(tenant)
        services = [service for service in self.services["api"] if service.runs]
        for number in range(len(services)):
            request.send(services[(turn + number) % len(services)], ask)
            if request.sent:
                break
        if request.sent and request.status is None and request.by in self.leaving:
            self.ledger.violations.append(f"a request lost by a rolling restart: {request}")
        return request

    def _all_up(self) -> bool:
        """Once, at the start. From then on it shows by what works."""
        request = Request(TENANTS[0])
        request.send(self.services["api"][0], lambda client: client.readyz())
        return bool(request.status == 200 and all(request.answer["nodes"].values()))

    def _ask_for_digits(self) -> None:
        for tenant in TENANTS:
            url = self.endpoints.url(tenant)
            asked = self.ask(tenant, lambda client, url=url: client.set_endpoint(url, ["*", "session.dtmf"]))  # type: ignore[misc]
            assert asked.status == 200, asked

    def can_meet(self, prefix: str, room: str) -> bool:
        """Whether calls of a node can be in a room. Emulated nodes and a real one do not call each other."""
        return not self._real or (prefix == PREFIXES[0]) == room.startswith(PREFIXES[0])

    def hang_up_far_end(self, number: str) -> None:
        """Whoever was called there hangs up."""
        for node in self.nodes.values():
            if isinstance(node, EmulatedNode):
                node.emulator.hang_up_far_end(number)

    def busiest(self) -> str:
        """The node that is the source of most rooms with legs."""
        taken = Counter(
            prefix
            for prefix, node in self.nodes.items()
            if isinstance(node, EmulatedNode)
            for room in {end.room for end in node.truth().legs.values() if not end.dialled}
        )
        return max(PREFIXES, key=lambda prefix: (taken[prefix], prefix))

    def _is_leg(self, session: str) -> bool:
        for node in self.nodes.values():
            if isinstance(node, EmulatedNode):
                for leg in node.emulator.legs - self._legs.keys():
                    self._legs[leg] = {ids.of(leg) for ids in IDS.values()}
        return any(session in there for there in self._legs.values())

    # Comparing

    def differences(self) -> list[str]:
        """What is not yet as it must be when nothing goes on. Empty: all parts agree."""
        try:
            truth = {prefix: node.truth() for prefix, node in self.nodes.items()}
            views = {tenant: View(self, tenant) for tenant in TENANTS}
        except Unanswered as error:
            return [str(error)]
        found = []
        calls = {IDS[prefix].of(channel) for prefix, node in truth.items() for channel in node.calls}
        shown = {session for view in views.values() for session in view.sessions}
        found += [f"session {session}: node and API differ" for session in sorted(calls ^ shown)]
        members: Members = defaultdict(dict)
        for prefix, node in truth.items():
            for room, there in node.members.items():
                for channel, flags in there.items():
                    members[room][IDS[prefix].of(channel)] = (prefix, flags)
        found += [
            f"room {room} is on a node only" for room in members if not any(room in v.rooms for v in views.values())
        ]
        sources = {room: view.source(room) for view in views.values() for room in view.rooms}
        occupied = {room: {prefix for prefix, _ in there.values()} for room, there in members.items()}
        legs = {prefix: node.legs for prefix, node in truth.items()}
        found += wrong_legs(legs, sources, occupied)
        self.unused = unused_legs(legs, occupied)
        for view in views.values():
            found += view.differences(members, truth, self.ledger.of(view.tenant))
        self.spanning |= {end.room for there in legs.values() for end in there.values()}
        self.moved |= {room for room, source in sources.items() if not room.startswith(source)}
        return found

    def missing(self) -> list[str]:
        """The outcomes and webhooks that are still to come."""
        found = self.ledger.missing()
        try:
            for tag in keys.TAGS:
                if waiting := self.store.client.xlen(keys.key(tag, "outbox")):
                    found.append(f"{waiting} webhooks of {tag} in the outbox")
                if aside := self.store.client.zcard(keys.key(tag, "asides")):
                    found.append(f"webhooks of {aside} apps of {tag} stepped aside")
        except Exception as error:
            found.append(f"the store: {error}")
        return found

    def done_twice(self) -> list[str]:
        """What was carried out more often than it was asked."""
        found = []
        plays: Counter[tuple[str, str]] = Counter()
        dialled: Counter[str] = Counter()
        for node in self.nodes.values():
            if isinstance(node, EmulatedNode):
                dialled += node.emulator.dialled
            found += [f"job {job} was carried out {count} times" for job, count in node.jobs.items() if count > 1]
            plays += node.plays
            if not node.happened:
                continue
            joins = {
                (room, IDS[node.prefix].of(channel)): count
                for (action, room, channel), count in node.happened.items()
                if action == "add-member"
            }
            for room, history in self.ledger.histories.items():
                found += [
                    f"{session} joined {room} {count} times by its webhooks, not so on the node"
                    for session, count in history.joins.items()
                    if session.startswith(node.prefix) and count > joins.get((room, session), 0)
                ]
        found += [f"{number} was called {count} times" for number, count in dialled.items() if count > 1]
        return found + [f"played {count} times: {play}" for play, count in plays.items() if count > 1]


# Of each room and session: on which node it is, and the flags that are on.
Members = dict[str, dict[str, tuple[str, frozenset[str]]]]


class Unanswered(Exception):
    """The API gave no answer that can be compared."""


class View:
    """What one tenant sees by the API."""

    def __init__(self, world: World, tenant: str) -> None:
        self.tenant = tenant
        self._world = world
        self.sessions: dict[str, dict[str, Any]] = {
            session["uuid"]: session
            for session in self._get(lambda client: next(client.list_sessions(limit=1000).pages()))["sessions"]
        }
        listed = [
            room["room_id"]
            for room in self._get(lambda client: next(client.list_rooms(limit=200).pages()))["conferences"]
        ]
        self.rooms: dict[str, dict[str, Any]] = {
            room: self._get(lambda client, room=room: client.get_room(room)) for room in listed
        }
        self.members = {
            room: {
                member["uuid"]: (str(member["node"]), flags_of(member))
                for member in self._get(lambda client, room=room: next(client.list_members(room, limit=1000).pages()))[
                    "members"
                ]
            }
            for room in self.rooms
        }

    def source(self, room: str) -> str:
        return str(self.rooms[room]["nodes"][0]["prefix"])

    def _get(self, ask: Ask) -> Any:
        request = self._world.ask(self.tenant, ask)
        if request.status != 200:
            raise Unanswered(f"no answer: {request}")
        return request.answer

    def differences(self, members: Members, truth: dict[str, Truth], histories: dict[str, History]) -> list[str]:
        found: list[str] = []
        alive = {identifier for identifier, history in histories.items() if history.alive}
        shown = {*self.sessions, *self.rooms}
        found += [f"{identifier}: webhooks and API differ" for identifier in sorted(alive ^ shown)]
        for room in self.rooms:
            there, by_webhooks = members.get(room, {}), histories[room].members if room in histories else {}
            if there != {session: (node, as_listed(flags)) for session, (node, flags) in self.members[room].items()}:
                found.append(f"members of {room}: node {there}, API {self.members[room]}")
            if by_webhooks != {session: flags for session, (_, flags) in self.members[room].items()}:
                found.append(f"members of {room}: webhooks {by_webhooks}, API {self.members[room]}")
            found += self._nodes(room, there, truth)
            if room in histories:
                found += self._playback(room, histories[room], truth[self.source(room)])
        found += [problem for prefix, node in truth.items() for problem in self._coaching(prefix, node)]
        found += [
            f"{room} is destroyed and has by webhooks {history.members} {history.open_plays}"
            for room, history in histories.items()
            if history.ended and (history.members or history.open_plays)
        ]
        transferred = {IDS[prefix].of(channel) for prefix, node in truth.items() for channel in node.transferred}
        for session, shown_as in self.sessions.items():
            outside = "transferred" if session in transferred else "parked"
            where = next((room for room, there in members.items() if session in there), "")
            expected = ("joined", where, members[where][session][1]) if where else (outside, "", frozenset())
            seen = (shown_as["state"], shown_as["room_id"], as_listed(flags_of(shown_as)))
            if seen != expected:
                found.append(f"session {session}: {expected} on the node, {seen} in the API")
        found += self._heard(truth, histories)
        return found

    def _coaching(self, prefix: str, node: Truth) -> Iterable[str]:
        """Who is heard by one other alone, and who by all."""
        for room in self.rooms:
            for channel, unheard in node.unheard.get(room, {}).items():
                coached = self.sessions.get(IDS[prefix].of(channel), {}).get("coaching")
                hears = {channel, *(one for one in node.calls if IDS[prefix].of(one) == coached)}
                expected = node.unheard[room].keys() - hears if coached else set()
                if unheard != expected:
                    yield f"{IDS[prefix].of(channel)} coaches {coached} in {room}: not heard by {len(unheard)} on {prefix}"

    def _heard(self, truth: dict[str, Truth], histories: dict[str, History]) -> Iterable[str]:
        """What is played to one session alone."""
        exact = {prefix: node.heard for prefix, node in truth.items() if node.exact}
        heard = {IDS[prefix].of(channel): found for prefix, calls in exact.items() for channel, found in calls.items()}
        for session in self.sessions:
            expected = heard.get(session, set())
            if session in histories and session.partition("-")[0] in exact:
                open_plays = histories[session].open_plays
                if expected != open_plays:
                    yield f"session {session}: {expected} is played to it on the node, open by webhooks {open_plays}"

    def _nodes(self, room: str, there: dict[str, tuple[str, frozenset[str]]], truth: dict[str, Truth]) -> Iterable[str]:
        source, counts = self.source(room), Counter(prefix for prefix, _ in there.values())
        dialled = {
            prefix for prefix, node in truth.items() for end in node.legs.values() if end.dialled and end.room == room
        }
        expected = [
            {"prefix": prefix, "members": counts[prefix], "bridge": "source" if prefix == source else "connected"}
            for prefix in [source, *sorted((counts.keys() | dialled) - {source})]
        ]
        shown = self.rooms[room]["nodes"]
        leaving = [node for node in shown if node["bridge"] == "down" and not node["members"]]
        self._world.unused += [f"{node['prefix']} is still shown for {room}" for node in leaving]
        if expected != [node for node in shown if node not in leaving]:
            yield f"nodes of {room}: {expected}, in the API {shown}"
        yield from (
            f"{room} plays on {prefix}: {node.playing[room]}, and its source is {source}"
            for prefix, node in truth.items()
            if prefix != source and node.playing.get(room)
        )

    def _playback(self, room: str, history: History, truth: Truth) -> Iterable[str]:
        shown, queue = self.rooms[room]["playback_status"], truth.playing.get(room, [])
        expected = ("paused" if queue[0][1] else "playing") if queue else "stopped"
        if truth.exact:
            on_node = {operation for operation, _, _ in queue}
            # What the node has no place for waits in the store (lib/playback.lua).
            waiting = history.open_plays - on_node
            accounted = on_node <= history.open_plays and (not waiting or len(queue) >= FILES_WITH_NODE)
            same = shown == expected and accounted
            if queue and queue[0][2] != (volume := self.rooms[room]["playback_volume"]):
                yield f"{room}: volume {queue[0][2]} on the node, {volume} in the API"
        else:
            same = (shown == "stopped") == (expected == "stopped") == (not history.open_plays)
        if not same:
            yield f"{room}: {expected} on the node ({queue}), {shown} in the API, open by webhooks {history.open_plays}"


def seeded(seed: int, what: str) -> random.Random:
    """A generator of its own for each use, so that one does not shift the other."""
    return random.Random(f"{seed} {what}")
