"""The store goes away and comes back: the API says so at once, and what was accepted is still there."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import gevent
import pytest
from redis.cluster import RedisCluster

from controller.store import keys
from controller.store.store import Store
from tests.e2e.nodes import PREFIX, EmulatedNode
from tests.e2e.stores import StoreCluster, StoreServer
from tests.e2e.system import DIDS, Receiver, Switchroom

CONFERENCES = "/api/v1/conferences"
STORE_SECONDS = 1.0  # for which a process waits for the store


class Stage:
    def __init__(self, folder: Path, url: str, cluster: bool = False) -> None:
        self.hooks = Receiver()
        self.node = EmulatedNode()
        self.service = Switchroom(folder, {PREFIX: self.node}, self.hooks.url, store=url, cluster=cluster)
        self.service.start()
        self.service.wait_up()

    def member(self, caller_id: str) -> tuple[str, str]:
        self.node.call(DIDS["alpha"], caller_id)
        return self.service.join_caller(self.hooks, caller_id)

    def wait_for(self, status: int, path: str, timeout: float = 40.0) -> None:
        with gevent.Timeout(timeout, AssertionError(f"never {status}")):
            while self.service.get(path).status != status:
                gevent.sleep(0.05)

    def close(self) -> None:
        self.service.stop(signal.SIGKILL)
        self.node.close()
        self.hooks.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StoreServer]:
    server = StoreServer(tmp_path / "store")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def stage(tmp_path: Path, server: StoreServer) -> Iterator[Stage]:
    stage = Stage(tmp_path, server.url)
    yield stage
    stage.close()


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_the_store_is_away_for_a_while(stage: Stage, server: StoreServer, how: str) -> None:
    session, room = stage.member("5271")
    if how == "frozen":
        server.freeze()
    else:
        server.kill()

    def seconds_to_refuse() -> float:
        began = time.monotonic()
        answer = stage.service.get(f"{CONFERENCES}/{room}")
        assert answer.status == 503
        assert "retry-after" in answer.headers
        return time.monotonic() - began

    # Nobody waits for the store twice. A busy machine may be late, but not each time.
    assert any(seconds_to_refuse() < 2 * STORE_SECONDS for _ in range(5))
    # What happens on the node meanwhile is held.
    stage.node.call(DIDS["alpha"], "5272")
    if how == "frozen":
        server.thaw()
    else:
        server.start()
    stage.hooks.wait("session.started", caller_id="5272")
    stage.wait_for(200, f"{CONFERENCES}/{room}")
    assert stage.service.get(f"/api/v1/sessions/{session}").body["room_id"] == room
    stage.service.wait_up()
    assert stage.service.post(f"/api/v1/sessions/{session}/commands/conference/unmute").status == 202
    stage.hooks.wait("conference.member.unmuted", uuid=session)


@pytest.mark.parametrize("how", ["flushed", "emptied"])
def test_the_store_loses_its_data(stage: Stage, server: StoreServer, how: str) -> None:
    lost, room = stage.member("5271")
    if how == "flushed":
        server.client.flushall()
    else:
        server.kill()
        server.empty()
        server.start()
    statuses = []
    with gevent.Timeout(40, AssertionError(f"not again: {statuses}")):
        while not statuses or statuses[-1] != 201:
            statuses.append(stage.service.post(CONFERENCES, {"name": "again"}).status)
            gevent.sleep(0.05)
    assert 401 not in statuses
    stage.service.wait_up()
    # The call is found by the comparison, and in no room, as there is none.
    stage.wait_for(200, f"/api/v1/sessions/{lost}")
    with gevent.Timeout(40, AssertionError("not parked")):
        while stage.service.get(f"/api/v1/sessions/{lost}").body["state"] != "parked":
            gevent.sleep(0.05)
    assert stage.service.get(f"{CONFERENCES}/{room}").status == 404
    with gevent.Timeout(40, AssertionError("not told again")):
        while stage.hooks.types(uuid=lost).count("session.started") < 2:
            gevent.sleep(0.05)
    # All goes on, with this call and with others.
    own = stage.service.post(CONFERENCES, {"name": "own"}).body["room_id"]
    stage.node.call(DIDS["alpha"], "5272")
    for session in (lost, stage.hooks.wait("session.started", caller_id="5272")["uuid"]):
        joining = stage.service.post(f"/api/v1/sessions/{session}/commands/conference/join", {"room_id": own})
        assert joining.status == 202
        stage.hooks.wait("conference.member.joined", uuid=session, room_id=own)
    assert (stage.service.folder / "log").read_text().count("the store has lost its data;") == 1


@pytest.mark.timeout(240)
def test_a_cluster_of_six_fails_over(tmp_path: Path) -> None:
    cluster = StoreCluster(tmp_path / "cluster")
    try:
        cluster.start()
        stage = Stage(tmp_path, cluster.url, cluster=True)
        try:
            session, room = stage.member("5271")
            cluster.primary_of(keys.partition_of("alpha")).kill()
            stage.node.call(DIDS["alpha"], "5272")
            stage.hooks.wait("session.started", timeout=60, caller_id="5272")
            stage.wait_for(200, f"{CONFERENCES}/{room}")
            stage.service.wait_up()
            assert stage.service.get(f"/api/v1/sessions/{session}").body["room_id"] == room
            stage.service.post(f"/api/v1/sessions/{session}/commands/conference/leave")
            stage.hooks.wait("conference.member.left", uuid=session)
        finally:
            stage.close()
    finally:
        cluster.kill()


def test_a_part_of_a_cluster_gets_the_scripts_while_another_does_not_answer(tmp_path: Path) -> None:
    cluster = StoreCluster(tmp_path / "cluster")
    try:
        cluster.start()
        of_server = {cluster.primary_of(tag): tag for tag in keys.TAGS}
        for away in of_server:
            with closing(Store.connect(cluster.url, cluster=True)) as store:
                cluster.client.execute_command("FUNCTION FLUSH", target_nodes=RedisCluster.PRIMARIES)
                away.freeze()
                for server, tag in of_server.items():
                    if server is not away:
                        assert store.run("fence", tag, {"node": PREFIX, "token": 1}) == {}
                away.thaw()
                cluster.wait_whole()
    finally:
        cluster.kill()
