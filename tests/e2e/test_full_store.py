"""The embedded store's memory runs out: nothing new is taken, everything else goes on, and it recovers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from switchroom.embedded import EmbeddedStore
from tests.e2e.nodes import PREFIX, EmulatedNode
from tests.e2e.system import DIDS, Media, Receiver, Switchroom

CONFERENCES = "/api/v1/conferences"
MEGABYTES = 128


class Stage:
    def __init__(self, folder: Path) -> None:
        self.hooks = Receiver()
        self.media = Media()
        self.node = EmulatedNode()
        self.service = Switchroom(folder, {PREFIX: self.node}, self.hooks.url)
        self.service.start()
        self.service.wait_up()
        self.store = redis.Redis.from_url(EmbeddedStore(folder / "data").url)

    def fill(self) -> None:
        assert self.store.info("memory")["maxmemory"] == MEGABYTES << 20
        self.store.setrange("filler", MEGABYTES << 20, "x")
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            self.store.set("more", "x")

    def links_that_dropped(self) -> int:
        return (self.service.folder / "log").read_text().count("node down")

    def close(self) -> None:
        self.service.close()
        self.node.close()
        self.hooks.close()
        self.media.close()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setenv("SWITCHROOM_STORE__MAX_MEMORY_MB", str(MEGABYTES))
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_a_full_store_takes_nothing_new_and_recovers(stage: Stage) -> None:
    service, hooks, node = stage.service, stage.hooks, stage.node
    calls = {caller: node.call(DIDS["alpha"], caller) for caller in ("5271", "5272", "5273")}
    (session, room), (other, second_room) = (service.join_caller(hooks, caller) for caller in ("5271", "5272"))
    waiting = hooks.wait("session.started", caller_id="5273")["uuid"]
    # Longer than any lease.
    urls = [stage.media.tone(2, mark=str(number)) for number in range(3)]
    play = service.post(f"{CONFERENCES}/{room}/play", {"urls": urls})
    assert play.status == 202
    stage.fill()

    for path, body in (
        (CONFERENCES, {"name": "another"}),
        (f"{CONFERENCES}/{room}/play", {"urls": urls}),
        (f"/api/v1/sessions/{waiting}/commands/conference/join", {"room_id": room}),
        (f"/api/v1/sessions/{session}/commands/conference/unmute", None),
    ):
        answer = service.post(path, body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2"), path
        assert answer.body["success"] is False
    node.call(DIDS["alpha"], "5274").wait_ended()

    # What was accepted goes on, and is told.
    finished = hooks.wait("conference.play.finished", operation_id=play.body["operation_id"])
    assert finished["status"] == "completed"
    assert service.post(f"/api/v1/sessions/{other}/commands/conference/leave").status == 202
    hooks.wait("conference.member.left", uuid=other)
    calls["5273"].hang_up()
    hooks.wait("session.ended", uuid=waiting)
    for gone in (room, second_room):
        assert service.request("DELETE", f"{CONFERENCES}/{gone}").status == 200
        hooks.wait("conference.destroyed", room_id=gone)
    assert hooks.wait("conference.member.left", uuid=session)["reason"] == "room_destroyed"
    assert service.get("/readyz").body["nodes"] == {PREFIX: True}
    assert stage.links_that_dropped() == 0

    stage.store.delete("filler")
    assert service.post(CONFERENCES, {"name": "another"}).status == 201
    node.call(DIDS["alpha"], "5275")
    service.join_caller(hooks, "5275")
    assert hooks.types(caller_id="5274") == []
    assert stage.links_that_dropped() == 0


def test_started_again_on_a_full_store(stage: Stage) -> None:
    service, hooks = stage.service, stage.hooks
    call = stage.node.call(DIDS["alpha"], "5271")
    session, room = service.join_caller(hooks, "5271")
    stage.fill()
    service.stop(signal.SIGKILL)
    call.hang_up()
    service.start()
    service.wait_up()
    hooks.wait("session.ended", uuid=session)
    assert service.get(f"{CONFERENCES}/{room}").body["members"] == 0
    assert service.request("DELETE", f"{CONFERENCES}/{room}").status == 200
    assert service.post(CONFERENCES, {"name": "another"}).status == 503
    # The embedded server itself, too.
    assert service.stop() == 0
    service.start()
    service.wait_up()
    assert service.post(CONFERENCES, {"name": "another"}).status == 503
    stage.store.delete("filler")
    assert service.post(CONFERENCES, {"name": "another"}).status == 201
