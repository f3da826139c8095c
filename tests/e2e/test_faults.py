"""What happens when a part goes away and comes back: the node, the wire to it, Switchroom, the webhooks' endpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import gevent
import pytest

from tests.e2e.nodes import PREFIX, open_node
from tests.e2e.system import DIDS, Media, Receiver, Switchroom
from tests.e2e.wire import Wire

CONFERENCES = "/api/v1/conferences"


class Stage:
    """A Switchroom of its own with its own node, with one member in one room."""

    def __init__(self, folder: Path) -> None:
        with ExitStack() as opened:
            self.media = opened.enter_context(closing(Media()))
            self.hooks = opened.enter_context(closing(Receiver()))
            self.node = opened.enter_context(closing(open_node()))
            self.wire = Wire(self.node)
            opened.callback(self.wire.cut)
            self.service = opened.enter_context(closing(Switchroom(folder, {PREFIX: self.wire}, self.hooks.url)))
            self.service.start()
            self.service.wait_up()
            self.close = opened.pop_all().close

    def member(self, caller_id: str = "5271") -> tuple[str, str]:
        self.call = self.node.call(DIDS["alpha"], caller_id)
        return self.service.join_caller(self.hooks, caller_id)

    def wait_down(self) -> None:
        """Until the node's absence is known."""
        with gevent.Timeout(30):
            while self.service.get("/readyz").status != 503:
                gevent.sleep(0.05)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def test_what_was_missed_while_the_link_was_cut(stage: Stage) -> None:
    session, room = stage.member()
    stage.wire.cut()
    stage.wait_down()
    answer = stage.service.post(f"{CONFERENCES}/{room}/play", {"urls": [stage.media.tone(1)]})
    assert answer.status == 503
    assert "retry-after" in answer.headers
    stage.call.hang_up()
    stage.call.wait_ended()
    stage.wire.mend()
    assert stage.hooks.wait("conference.member.left", uuid=session)["resynced"] is True
    assert stage.hooks.wait("session.ended", uuid=session)["resynced"] is True


def test_a_node_that_restarts(stage: Stage) -> None:
    session, room = stage.member()
    stage.node.crash()
    assert stage.hooks.wait("conference.member.left", uuid=session)["reason"] == "node_lost"
    stage.hooks.wait("session.ended", uuid=session)
    stage.service.wait_up()
    assert stage.service.get(f"{CONFERENCES}/{room}").body["members"] == 0


def test_delete_while_the_node_is_away(stage: Stage) -> None:
    session, room = stage.member()
    stage.wire.cut()
    stage.wait_down()
    assert stage.service.request("DELETE", f"{CONFERENCES}/{room}").status == 200
    # Nobody waits for the node.
    destroyed = stage.hooks.wait("conference.destroyed", room_id=room)
    left = stage.hooks.wait("conference.member.left", uuid=session)
    assert left["reason"] == "room_destroyed"
    assert destroyed["sequence"] < left["sequence"]
    assert room in stage.node.rooms()
    stage.wire.mend()
    with gevent.Timeout(30):
        while room in stage.node.rooms():
            gevent.sleep(0.05)
    assert stage.service.get(f"/api/v1/sessions/{session}").body["state"] == "parked"


def test_killed_and_started_again_on_the_same_data(stage: Stage) -> None:
    session, room = stage.member()
    stage.service.stop(signal.SIGKILL)
    stage.call.hang_up()
    stage.service.start()
    assert stage.service.get(f"{CONFERENCES}/{room}").status == 200
    stage.hooks.wait("session.ended", uuid=session)
    stage.service.wait_up()
    assert stage.service.get(f"{CONFERENCES}/{room}").body["members"] == 0
    other, _ = stage.member("5272")
    assert other != session


def test_sigterm_drains(stage: Stage) -> None:
    stage.member()
    assert stage.service.stop(signal.SIGTERM) == 0
    stage.service.start()
    stage.service.wait_up()


def test_webhooks_wait_for_the_endpoint(stage: Stage) -> None:
    turned_away: list[str] = []

    def answer(hook: dict[str, object]) -> int:
        if len(turned_away) < 1:
            turned_away.append(str(hook["type"]))
            return 500
        return 200

    stage.hooks.answer = answer
    stage.service.post(CONFERENCES, {"name": "later"})
    stage.hooks.wait("conference.created")
    assert turned_away == ["conference.created"]
    assert stage.hooks.problems == []
