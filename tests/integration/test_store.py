"""How the store is found, and what is said when it refuses."""

from __future__ import annotations

import socket
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.connection import AbstractConnection
from redis.exceptions import MovedError

from controller.errors import Fenced, ScriptFailed, StoreUnavailable
from controller.registry import Node, Registry
from controller.store import keys
from controller.store.connections import Connection, pack
from controller.store.scripts import _FLAGS, libraries, library, sources
from controller.store.store import KEPT_LIBRARIES, LIBRARY, Step, Store, each_host
from tests.integration.world import NODE, World
from tests.open_store import OpenStore


@pytest.fixture
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{sock.getsockname()[1]}"


def test_a_cluster_is_found_by_any_host_that_is_there(server_url: str, nobody: str) -> None:
    there = server_url.removeprefix("redis://")
    for hosts in (f"{nobody},{there}", f"{there},{nobody}"):
        store = OpenStore.connect(f"redis://{hosts}", cluster=True)
        assert store.ping()
        store.client.close()


def test_a_cluster_that_is_away_is_the_store_unavailable(nobody: str) -> None:
    with pytest.raises(StoreUnavailable):
        OpenStore.connect(f"redis://{nobody},{nobody}", cluster=True)


def test_each_host_has_the_whole_url() -> None:
    assert each_host("rediss://me:a,b@[::1]:1,c:2/0?x=y,z") == [
        "rediss://me:a,b@[::1]:1/0?x=y,z",
        "rediss://me:a,b@c:2/0?x=y,z",
    ]
    assert [len(each_host(url)) for url in ("redis://a", "unix:///a,b/s")] == [1, 1]


def test_a_change_that_is_refused_shows_no_password(store: Store) -> None:
    store.client.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(StoreUnavailable) as caught:
            Registry(store).put_node(Node(prefix="acW68", esl="127.0.0.1:8021", password="hidden-word"))
    finally:
        store.client.config_set("min-replicas-to-write", 0)
    assert "not enough good replicas" in str(caught.value).lower()
    assert "hidden" not in str(caught.value)


def line_of(text: str, code: str) -> int:
    return text[: text.index(code)].count("\n") + 1


def test_an_error_names_the_script_and_its_line(store: Store) -> None:
    with pytest.raises(ScriptFailed) as caught:
        store.run("registry", keys.REGISTRY, {"put": {"nothing of the kind": {"a": "b"}}, "gone": {}})
    line = line_of(sources()["registry"].text, 'redis.call("HSET", tables[kind]')
    assert "registry: " in str(caught.value)
    assert f"lua/apps/registry.lua:{line}" in str(caught.value)
    assert "user_" not in str(caught.value)


def test_an_error_names_the_library_and_its_line(store: OpenStore) -> None:
    world = World(store)
    session = world.joined(world.create())
    store.client.hset(keys.key(world.tag, "session", session), "state", "sideways")
    with pytest.raises(ScriptFailed) as caught:
        world.tell("session_ended", session_id=session, cause="X")
    line = line_of(libraries()["members"].text, 'local state = step("SESSION", session.state, "left")')
    assert f"lua/lib/members.lua:{line}: SESSION: no step from sideways by left" in str(caught.value)


def test_a_step_that_a_table_lacks_changes_nothing(store: OpenStore) -> None:
    world = World(store)
    room, session = world.create(), world.park()
    key = keys.key(world.tag, "session", session)
    store.client.hset(key, "state", "sideways")
    before = store.client.hgetall(key), store.client.keys()
    with pytest.raises(ScriptFailed, match="SESSION: no step from sideways by join"):
        world.ask("join", session_id=session, room_id=room)
    assert (store.client.hgetall(key), store.client.keys()) == before


@pytest.mark.parametrize("cluster", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_a_step_whose_reply_is_lost_is_not_taken_again(
    server_url: str, store: OpenStore, monkeypatch: pytest.MonkeyPatch, cluster: bool, count: int
) -> None:
    def carried_out() -> int:
        return int(store.client.info("commandstats")["cmdstat_fcall"]["calls"])

    steps = [("fence", keys.TAGS[0], {"node": NODE, "token": 1})] * count
    asked_by = (AbstractConnection, "read_response") if cluster else (Connection, "reply")
    read = getattr(*asked_by)

    def broken(self: Any, *args: Any, **options: Any) -> Any:
        if (found := read(self, *args, **options)) != b"{}":
            return found
        raise redis.ConnectionError("closed behind the step")

    with closing(Store.connect(server_url, cluster=cluster)) as asked:
        assert asked.run_many(steps) == [{}] * count
        before = carried_out()
        with monkeypatch.context() as patched:
            patched.setattr(*asked_by, broken)
            with pytest.raises(StoreUnavailable, match="closed behind the step"):
                asked.run_many(steps)
        assert carried_out() - before == count
        assert asked.run_many(steps) == [{}] * count


def test_a_step_goes_where_its_partition_has_moved(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read = AbstractConnection.read_response
    host, _, port = server_url.removeprefix("redis://").rpartition(":")
    moved = iter([MovedError(f"1 {host}:{port}")])

    def redirects(self: AbstractConnection, *args: Any, **options: Any) -> Any:
        found = read(self, *args, **options)
        error = next(moved, None) if found == b"{}" else None
        if error:
            raise error
        return found

    with closing(Store.connect(server_url, cluster=True)) as store:
        steps = [("fence", tag, {"node": NODE, "token": 1}) for tag in keys.TAGS[:3]]
        store.run_many(steps)
        monkeypatch.setattr(AbstractConnection, "read_response", redirects)
        assert store.run_many(steps) == [{}] * 3
        assert next(moved, None) is None


def test_a_step_that_is_fenced_among_others_says_so(store: OpenStore) -> None:
    world = World(store)
    steps = [("fence", world.tag, {"node": NODE, "token": token}) for token in (2, 1)]
    with pytest.raises(Fenced):
        store.run_many(steps)
    assert store.run("fence", world.tag, {"node": NODE, "token": 2}) == {}


def test_a_step_that_fails_among_others_fails_alone(store: OpenStore) -> None:
    world = World(store)
    endpoint = ("get_endpoint", world.tag, {"app_id": "demo"})
    broken = ("registry", keys.REGISTRY, {"put": {"nothing of the kind": {"a": "b"}}, "gone": {}})
    first, failed, last = store.run_each([endpoint, broken, endpoint])
    assert (first, last) == ({}, {})
    assert isinstance(failed, ScriptFailed)
    with pytest.raises(ScriptFailed, match="registry: "):
        store.run_many([endpoint, broken, endpoint])


def test_a_step_leaves_nothing_to_the_next_one(store: OpenStore) -> None:
    world, other = World(store), World(store, "other")
    room = world.create("r")
    member = world.joined(room)
    world.webhooks()
    store.client.set(keys.key(world.tag, "session", "broken"), "no record")

    def flag(name: str, session: str, of: World = world) -> Step:
        args = {"session_id": session, "room_id": room, "member_id": 1, "flag": name, "on": True}
        return "flag_changed", of.tag, {"node": NODE, "token": 1, **args}

    steps = [flag("hold", member), flag("nothing", member), flag("deaf", "broken"), flag("hold", "x", other)]
    steps += [flag("hold", member), ("fence", world.tag, {"node": NODE, "token": 1}), *[flag("deaf", member)] * 2]
    first, failed, broken, unknown, again, fence, deaf, known = store.run_each(steps)
    assert (first, unknown, again, fence, deaf) == ({}, {"unknown": True}, {"known": True}, {}, {})
    assert known == {"known": True}
    assert "lua/lib/flag_changes.lua:" in str(failed)
    assert "WRONGTYPE" in str(broken)
    assert world.types() == ["conference.member.held", "conference.member.deafened"]


def altered(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """Has stores that are opened from now on run scripts of another version."""
    known = library()
    assert old in known.code
    changed = replace(known, code=known.code.replace(old, new))
    monkeypatch.setattr("controller.store.scripts.library", lambda: changed)


def test_a_constant_cannot_be_set(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    altered(
        monkeypatch, "return cjson.encode({ record = get(", "FLAGS.muted.by = 1 return cjson.encode({ record = get("
    )
    with closing(Store.connect(server_url)) as store, pytest.raises(ScriptFailed, match="by is set in a constant"):
        store.run("get_endpoint", keys.TAGS[0], {"app_id": "demo"})


def test_versions_of_the_scripts_live_side_by_side(
    server_url: str, store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = ("fence", keys.TAGS[0], {"node": NODE, "token": 1})
    ask = store.client.execute_command
    ask("FUNCTION FLUSH")
    store.run(*step)
    for number in range(KEPT_LIBRARIES):
        ask(
            "FUNCTION LOAD",
            f"#!lua name={LIBRARY}_{1_700_000_000 + number}_old\nredis.register_function('f{number}', function() end)",
        )
    altered(monkeypatch, "cjson.encode({ known = true })", "cjson.encode({ known = 1 })")
    with closing(OpenStore.connect(server_url)) as other:
        for asked in (other, store, other):
            assert asked.run(*step) == {}
    names = sorted(each[each.index(b"library_name") + 1].decode() for each in ask("FUNCTION LIST"))
    assert names[0] == f"{LIBRARY}_{1_700_000_000 + KEPT_LIBRARIES - 1}_old"
    assert len(names) == KEPT_LIBRARIES


def test_a_script_that_runs_when_memory_is_full_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    before = library().version
    monkeypatch.setitem(_FLAGS, "play", "changed")
    assert library().version != before


def test_a_server_that_knows_of_no_functions_runs_scripts(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(command: Any) -> Any:
        return ("X" + command[0], *command[1:]) if command[0] in ("FCALL", "FUNCTION LOAD") else command

    with closing(OpenStore.connect(server_url)) as old:
        execute = old.client.execute_command
        old.client.execute_command = lambda *command, **options: execute(*renamed(command), **options)
        monkeypatch.setattr("controller.store.connections.pack", lambda command: pack(renamed(command)))
        step = ("fence", keys.TAGS[0], {"node": NODE, "token": 1})
        assert old.run_each([step, step]) == [{}, {}]


def test_a_cluster_is_not_asked_where_steps_go(server_url: str, store: OpenStore) -> None:
    def asked() -> int:
        found = store.client.info("commandstats").get("cmdstat_command|getkeys", {"calls": 0})
        return int(found["calls"])

    with closing(Store.connect(server_url, cluster=True)) as cluster:
        before = asked()
        replies = cluster.run_each([("fence", tag, {"node": NODE, "token": 1}) for tag in keys.TAGS])
    assert replies == [{}] * len(keys.TAGS)
    assert asked() == before


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"app_id": "demo", "session": "s"}, "session"),
        ({"app_id": "demo"}, "session_id"),
        ({"app_id": "demo", "session_id": None}, "session_id"),
    ],
)
def test_arguments_that_a_script_does_not_take_or_lacks(store: Store, args: dict[str, str], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        store.run("get_session", keys.partition_of("demo"), args)
