"""A store whose memory is out takes nothing new; what it has goes on, ends, and makes room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY

from controller.errors import Fenced, ScriptFailed
from controller.registry import Node, Registry, new_app
from controller.store import keys, scripts
from esl.commands import Hangup
from switchroom.memory import MemoryWatch
from tests.integration.fake_link import DrivenNode, Wire, event
from tests.integration.test_wiring import KEY, ask, running
from tests.integration.webhook_fixtures import Outbox, Receiver, Start
from tests.integration.world import NODE, World, channel
from tests.open_store import OpenStore

FULL = {"refused": "store_full"}
URLS = [f"https://media.example/{number}/" + "x" * 1000 for number in range(20)]
CHANNEL = "00000000-0000-4000-9000-000000000009"


class Memory:
    """Of the store: what it may use."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store

    def use_up(self, but: int = 0) -> None:
        """Leave `but` bytes, or at 0 less than none."""
        self.wait_freed()
        used = int(self._store.client.info("memory")["used_memory"])
        self._store.client.config_set("maxmemory", used + but if but else 1)

    def wait_freed(self) -> None:
        """What is deleted is freed in the background."""
        while self._store.client.info("memory")["lazyfree_pending_objects"]:
            pass

    def give(self) -> None:
        self._store.client.config_set("maxmemory", 0)


def parked(channel: str) -> dict[str, str]:
    caller = {"initial_dest": "747713001", "cid_num": "5271", "ip_addr": "127.0.0.1", "initial_dialplan": "XML"}
    caller |= {"name": "sofia/public/5271@127.0.0.1"}
    return {"uuid": channel, "direction": "inbound", "application": "park", **caller}


def hung_up(wire: Wire) -> list[tuple[str, str]]:
    return [(command.channel, command.cause) for command in wire.sent if isinstance(command, Hangup)]


@pytest.fixture
def memory(store: OpenStore) -> Iterator[Memory]:
    memory = Memory(store)
    yield memory
    memory.give()


@pytest.fixture
def world(store: OpenStore) -> World:
    return World(store)


@pytest.fixture
def node(world: World) -> DrivenNode:
    """Without calls, its link up, and a number of the world's app."""
    Registry(world.store).put_app(new_app(world.app_id, "key", dids=("747713001",)))
    node = DrivenNode(world.store)
    node.up()
    return node


def names(table: dict[str, str]) -> list[str]:
    return [name for group in table.values() for name in group.split()]


def anything(world: World, script: str) -> dict[str, Any]:
    """Something for each argument that `world.ask` does not give, of the wrong form for most."""
    return dict.fromkeys(scripts.arguments(script) - {"app_id", "command", "group", "cooldown_ms", *world.limits}, 1)


def test_every_script_is_decided_once() -> None:
    decided = names(scripts.RUNS_WHEN_FULL) + names(scripts.REFUSED_WHEN_FULL)
    assert sorted(decided) == sorted(scripts.sources())


@pytest.fixture(params=["as functions", "as scripts"])
def way(request: pytest.FixtureRequest, world: World) -> Callable[[], None]:
    """Has a server, when its memory is full, run what it runs in one of the two ways."""
    return partial(world.store.client.execute_command, "PING" if request.param == "as functions" else "FUNCTION FLUSH")


@pytest.mark.parametrize("script", names(scripts.REFUSED_WHEN_FULL))
def test_what_only_adds_is_refused_and_does_nothing(
    world: World, memory: Memory, way: Callable[[], None], script: str
) -> None:
    memory.use_up()
    way()
    assert world.ask(script, **anything(world, script)) == FULL
    memory.give()
    assert world.store.client.keys() == []


@pytest.mark.parametrize("script", names(scripts.RUNS_WHEN_FULL))
def test_everything_else_runs(world: World, memory: Memory, way: Callable[[], None], script: str) -> None:
    memory.use_up()
    way()
    # With such arguments it may fail, but not for memory.
    with suppress(ScriptFailed, Fenced):
        assert world.ask(script, **anything(world, script)) != FULL


def test_a_step_among_others_is_refused_alone(world: World, memory: Memory) -> None:
    play = dict.fromkeys(scripts.arguments("play"), 1)
    endpoint = ("get_endpoint", world.tag, {"app_id": "demo"})
    steps = [endpoint, ("play", world.tag, play), endpoint]
    memory.use_up()
    assert world.store.run_many(steps) == [{}, FULL, {}]


def test_a_server_that_is_full_and_lost_its_functions_gets_them_when_it_has_memory_again(
    world: World, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = world.store.client.execute_command
    memory.use_up()
    ask("FUNCTION FLUSH")
    assert world.ask("get_endpoint") == {}
    world.store.client.script_flush()
    assert world.ask("get_endpoint") == {}
    assert world.ask("play", **anything(world, "play")) == FULL
    assert ask("FUNCTION LIST") == []
    memory.give()
    assert world.ask("get_endpoint") == {}
    assert ask("FUNCTION LIST") == []  # It is not tried at every step.
    monkeypatch.setattr(world.store, "_library_due", 0.0)
    assert world.ask("get_endpoint") == {}
    assert len(ask("FUNCTION LIST")) == 1


def when_a_script_is_loaded(
    world: World, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]
) -> list[Callable[[], object]]:
    """Calls `then` each time when the server has it. Returns a list that is one longer each time."""
    execute = world.store.client.execute_command
    loaded: list[Callable[[], object]] = []

    def execute_command(name: str, *args: Any, **options: Any) -> Any:
        found = execute(name, *args, **options)
        if name == "SCRIPT LOAD":
            loaded.append(then)
            then()
        return found

    monkeypatch.setattr(world.store.client, "execute_command", execute_command)
    return loaded


def test_steps_go_on_while_a_full_server_gets_the_scripts(
    world: World, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile: list[dict[str, Any]] = []

    def ask_both() -> None:
        if len(loaded) == 2:
            meanwhile.extend((world.ask("play", **anything(world, "play")), world.ask("get_endpoint")))

    loaded = when_a_script_is_loaded(world, monkeypatch, ask_both)
    memory.use_up()
    world.store.client.execute_command("FUNCTION FLUSH")
    assert world.ask("get_endpoint") == {}
    assert meanwhile == [FULL, {}]


def test_a_full_server_is_tried_again_by_one_step_alone(
    world: World, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.use_up()
    world.store.client.execute_command("FUNCTION FLUSH")
    assert world.ask("get_endpoint") == {}
    tried = when_a_script_is_loaded(world, monkeypatch, lambda: world.ask("get_endpoint"))
    monkeypatch.setattr(world.store, "_library_due", 0.0)
    assert world.ask("get_endpoint") == {}
    assert len(tried) == 2


def test_filled_with_plays_it_takes_them_again_when_some_have_ended(world: World, memory: Memory) -> None:
    room = world.create()
    world.joined(room)
    world.webhooks()
    memory.use_up(but=500_000)
    taken: list[str] = []
    while (answer := world.play(room, *URLS, operation=f"op{len(taken)}")) != FULL:
        taken.append(answer["operation_id"])
    assert 1 < len(taken) < 100
    # What was taken is there, and is played.
    assert [world.room(room)["playback_operation_id"], *queue(world, room)] == taken
    for url in range(len(URLS)):
        (command,) = world.sent()
        assert (command["op"], command["operation"], command["index"]) == ("play", taken[0], url)
        world.answer(command["job"])
        world.tell("file_done", room_id=room, operation_id=taken[0], index=url)
    assert world.types() == ["conference.play.started"] * len(taken) + ["conference.play.finished"]
    world.ask("stop", room_id=room)
    assert world.types() == ["conference.play.stopped"] * (len(taken) - 1)
    settle_all(world)
    memory.wait_freed()
    assert world.play(room, *URLS)["status"] == "in_progress"


def queue(world: World, room: str) -> list[str]:
    return [each["operation_id"] for each in world.room(room)["playback_queue"]]


def settle_all(world: World) -> None:
    """As a dispatcher does for an app that has no endpoint."""
    token = world.store.run("delivery_lease", world.tag, {"owner": "d", "token": 0, "ttl": 60_000, "number": 0})[
        "token"
    ]
    for entry, _ in world.store.client.xrange(keys.key(world.tag, "outbox")):
        row = {
            "id": entry.decode(),
            "app": world.app_id,
            "type": "",
            "n": 1,
            "step": "skipped",
            "delay": 0,
            "log": {},
        }
        world.store.run("delivery_settle", world.tag, {"token": token, "results": [row], "failed_bytes": {}})


def test_members_leave_calls_end_and_rooms_go(world: World, memory: Memory) -> None:
    room, other = world.create(), world.create("other")
    sessions = [world.joined(room, number) for number in (1, 2, 3)]
    world.webhooks()
    memory.use_up()
    assert world.ask("leave", session_id=sessions[0])["status"] == "leaving"
    (command,) = world.sent()
    world.answer(command["job"])
    world.left(sessions[0], room, 1)
    world.left(sessions[1], room, 2, "NORMAL_CLEARING")
    world.tell("session_ended", session_id=sessions[1], cause="NORMAL_CLEARING")
    assert world.ask("delete_room", room_id=room) == {"room_id": room}
    assert [command["op"] for command in world.sent()] == ["stop", "kick_all"]
    world.left(sessions[2], room, 3)
    assert world.types() == [
        "conference.member.left",
        "conference.member.left",
        "session.ended",
        "conference.destroyed",
        "conference.member.left",
    ]
    rows = world.ask("list_rooms", limit=50, after=0)["rows"]
    assert [row["room_id"] for row in rows] == [other]
    assert [world.session(session).get("state") for session in sessions] == ["parked", None, "parked"]


def test_webhooks_are_delivered_and_leases_kept(
    world: World, memory: Memory, outbox: Outbox, receiver: Receiver, start: Start
) -> None:
    outbox.app(world.app_id, receiver.url)
    expected = outbox.put(world.app_id, *["room"] * 50)
    memory.use_up()
    dispatcher = start()
    receiver.wait(50)
    outbox.wait_until(lambda: outbox.is_settled(world.app_id))
    assert receiver.ids() == expected
    held = dispatcher.partitions
    assert held == set(keys.TAGS)
    dispatcher.renew()
    assert dispatcher.partitions == held


def test_a_node_is_held_and_its_state_published(node: DrivenNode, world: World, memory: Memory) -> None:
    memory.use_up()
    world.store.client.delete(keys.key(keys.node_tag(NODE), "live"))
    node.tick()
    assert world.store.client.exists(keys.key(keys.node_tag(NODE), "live"))
    # The link drops and is back, and is compared.
    node.link.down()
    node.up()
    assert world.store.client.get(keys.key(keys.node_tag(NODE), "core")) == b"c0ffee"


def test_a_new_call_is_turned_away(node: DrivenNode, world: World, memory: Memory) -> None:
    wire = node.up()
    world.park()
    world.webhooks()
    memory.use_up()
    call = event("CHANNEL_PARK", CHANNEL, Caller_Destination_Number="747713001", Caller_Caller_ID_Number="5271")
    node.happened(call, event("CHANNEL_HANGUP_COMPLETE", channel(1), Hangup_Cause="NORMAL_CLEARING"))
    assert hung_up(wire) == [(CHANNEL, "SWITCH_CONGESTION")]
    assert world.types() == ["session.ended"]
    memory.give()
    node.happened(call)
    assert world.types() == ["session.started"]


def test_a_call_that_came_while_the_link_was_away_is_turned_away(
    node: DrivenNode, world: World, memory: Memory
) -> None:
    node.link.down()
    memory.use_up()
    wire = node.up(parked(CHANNEL))
    assert world.types() == []
    assert set(hung_up(wire)) == {(CHANNEL, "SWITCH_CONGESTION")}


def apps(*names: str) -> list[dict[str, str]]:
    return [{"id": name, "api_key": KEY} for name in names]


def test_all_of_it_starts_on_a_full_store(store: OpenStore, server_url: str, memory: Memory) -> None:
    """Also with another configuration than before: it may be what makes room."""
    with running(server_url, apps=apps("a", "b")):
        pass
    memory.use_up()
    with running(server_url, apps=apps("b", "c")) as system:
        assert {app.id for app in Registry(store).apps()} == {"b", "c"}
        # Without the right one its webhooks would stay.
        endpoint = {"url": "https://93.184.216.34/hooks", "types": ["*"]}
        assert ask(system, "PUT", "/webhooks/endpoint", endpoint, app="b")[0] == 200
        assert ask(system, "POST", "/conferences", {"name": "standup"}, app="b")[0] == 503


def test_the_operator_may_add_and_remove(store: OpenStore, memory: Memory) -> None:
    registry = Registry(store)
    memory.use_up()
    registry.put_app(new_app("demo", "key"))
    registry.put_node(Node(prefix=NODE, esl="127.0.0.1:8021", password="p"))
    assert (registry.remove_app("demo"), registry.remove_app("demo"), registry.remove_node(NODE)) == (True, False, True)
    assert (Registry(store).apps(), Registry(store).nodes()) == ([], [])


def shown(which: str, server: str = "") -> float:
    return REGISTRY.get_sample_value(f"switchroom_store_memory_{which}_bytes", {"server": server}) or 0.0


def test_how_full_it_is_is_shown(store: OpenStore, memory: Memory) -> None:
    store.client.config_set("maxmemory", 64 << 20)
    MemoryWatch(store).look()
    used, limit = shown("used"), shown("max")
    assert 100_000 < used < limit == 64 << 20


def test_each_primary_of_a_cluster_is_shown(server_url: str) -> None:
    store = OpenStore.connect(server_url, cluster=True)
    MemoryWatch(store).look()
    address = server_url.removeprefix("redis://")
    assert shown("used", address) > 100_000
    store.client.close()
