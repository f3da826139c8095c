"""Audio relays and workers that end while a file is on its way, and plays that are stopped."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent.event import Event as Flag

from tests.e2e.file_server import file, held, in_turn
from tests.e2e.nodes import Node
from tests.e2e.relayed import UP_SECONDS, Heard, Relayed
from tests.e2e.system import Switchroom, tone_wav

pytestmark = pytest.mark.timeout(240)

SOUND = tone_wav(0.2)
NEVER = Flag()


@pytest.fixture
def apart(tmp_path: Path, own_node: Node) -> Iterator[Relayed]:
    """The API and the dispatcher run; a worker and relays are started by the test."""
    apart = Relayed(tmp_path, own_node)
    apart.start("api", "dispatcher")
    yield apart
    apart.close()


def start_relays(apart: Relayed) -> dict[str, Switchroom]:
    """Two, by their addresses."""
    relays: dict[str, Switchroom] = {}
    for _ in range(2):
        service = apart.start("media")
        (address,) = set(apart.relays()) - set(relays)
        relays[address] = service
    return relays


def start_worker(apart: Relayed) -> Switchroom:
    worker = apart.start("worker")
    apart.api.wait_up(timeout=UP_SECONDS)
    return worker


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM], ids=["killed", "frozen", "stopped"])
def test_a_relay_that_ends_while_it_fetches(apart: Relayed, how: signal.Signals) -> None:
    relays = start_relays(apart)
    start_worker(apart)
    room = apart.room()
    url = apart.files.serve("/a.wav", in_turn(held(NEVER, file(SOUND)), file(SOUND)))
    with apart.heard() as heard:
        operation = apart.play(room, url)
        apart.files.wait_asked("/a.wav")
        relays[apart.relay_of(url)].send_signal(how)
        apart.finish_once(operation)
        assert heard.plays() == [(operation, 0)]
    assert apart.files.count("/a.wav") == 2


def test_a_relay_killed_before_the_node_fetches_from_it(apart: Relayed) -> None:
    relays = start_relays(apart)
    start_worker(apart)
    room = apart.room()
    url = apart.files.serve("/a.wav", file(SOUND))
    with apart.heard() as heard:
        apart.wire.hold()
        operation = apart.play(room, url)
        apart.wire.wait_held(b"/audio/")
        relays[apart.relay_of(url)].stop(signal.SIGKILL)
        apart.wire.release()
        apart.finish_once(operation)
        assert heard.plays() == [(operation, 0)]


def test_no_relay_lives_for_a_while(apart: Relayed) -> None:
    relay = apart.start("media")
    start_worker(apart)
    room = apart.room()
    relay.stop(signal.SIGKILL)
    # For some seconds it counts as there.
    operation = apart.play(room, apart.files.serve("/a.wav", file(SOUND)))
    assert apart.ends(operation) == []
    apart.start("media")
    apart.finish_once(operation)


def test_without_a_relay_a_play_is_refused(apart: Relayed) -> None:
    start_worker(apart)
    room = apart.room()
    refused = apart.api.post(f"/api/v1/conferences/{room}/play", {"urls": ["http://files.example.com/a.wav"]})
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    assert apart.api.post(f"/api/v1/conferences/{room}/stop").status == 202


def test_a_worker_killed_while_a_file_is_fetched(apart: Relayed) -> None:
    release = Flag()
    apart.start("media")
    worker = start_worker(apart)
    room = apart.room()
    urls = [apart.files.serve("/a.wav", held(release, file(SOUND))), apart.files.serve("/b.wav", file(SOUND))]
    with apart.heard() as heard:
        operation = apart.play(room, *urls)
        apart.files.wait_asked("/a.wav")
        worker.stop(signal.SIGKILL)
        release.set()
        start_worker(apart)
        apart.finish_once(operation)
        assert heard.plays() == [(operation, 0), (operation, 1)]
    assert apart.files.count("/a.wav") == 1


def test_a_stop_while_a_file_is_fetched(apart: Relayed) -> None:
    release = Flag()
    apart.start("media")
    start_worker(apart)
    room = apart.room()
    url = apart.files.serve("/stopped.wav", held(release, file(SOUND)))
    good = apart.files.serve("/good.wav", file(SOUND))
    with apart.heard() as heard:
        stopped = apart.play(room, url, good)
        apart.files.wait_asked("/stopped.wav")
        apart.stop_playback(room)
        apart.hooks.wait("conference.play.stopped", operation_id=stopped)
        following = apart.play(room, good)
        apart.finish_once(following)
        release.set()
        # The stopped one would have been sent before this one is.
        last = apart.play(room, url)
        apart.finish_once(last)
        assert heard.plays() == [(following, 0), (last, 0)]
    assert apart.ends(stopped) == ["conference.play.stopped"]
    assert apart.files.count("/stopped.wav") == 1


# A long file is two for the node. It is one to the app, whatever becomes of the second.


def play_first_part(apart: Relayed, heard: Heard, room: str, seconds: int) -> str:
    """Returns the operation once the node has the first part of a file of that length, and the store knows."""
    operation = apart.play(room, apart.files.serve("/long.wav", file(tone_wav(seconds))))
    with gevent.Timeout(40, AssertionError("the first part is not played")):
        while heard.plays() != [(operation, 0)] or not apart.has_result(operation):
            gevent.sleep(0.05)
    assert apart.ends(operation) == []
    return operation


def test_a_long_file_is_one_for_its_listeners(apart: Relayed) -> None:
    apart.start("media")
    start_worker(apart)
    room = apart.room()
    good = apart.files.serve("/good.wav", file(SOUND))
    with apart.heard() as heard:
        operation = play_first_part(apart, heard, room, 5)
        following = apart.play(room, good)
        apart.finish_once(operation)
        apart.finish_once(following)
        assert heard.plays() == [(operation, 0), (following, 0)]


def test_a_relay_killed_before_the_node_has_the_rest_of_a_file(apart: Relayed) -> None:
    relays = start_relays(apart)
    start_worker(apart)
    room = apart.room()
    # The node does not fetch it before it needs it.
    apart.wire.replaced = (b"bgapi http_get", b"bgapi uptime")
    with apart.heard() as heard:
        operation = play_first_part(apart, heard, room, 5)
        relays[apart.relay_of(apart.files.url("/long.wav"))].stop(signal.SIGKILL)
        apart.finish_once(operation)
        assert heard.plays() == [(operation, 0), (operation, 1)]


def test_a_worker_killed_while_the_first_part_of_a_file_is_played(apart: Relayed) -> None:
    apart.start("media")
    worker = start_worker(apart)
    room = apart.room()
    with apart.heard() as heard:
        operation = play_first_part(apart, heard, room, 25)
        worker.stop(signal.SIGKILL)
        start_worker(apart)
        apart.finish_once(operation)
        assert heard.plays() == [(operation, 0)]


def test_a_stop_between_the_parts_of_a_file(apart: Relayed) -> None:
    apart.start("media")
    start_worker(apart)
    room = apart.room()
    good = apart.files.serve("/good.wav", file(SOUND))
    with apart.heard() as heard:
        stopped = play_first_part(apart, heard, room, 60)
        apart.stop_playback(room)
        apart.hooks.wait("conference.play.stopped", operation_id=stopped)
        following = apart.play(room, good)
        apart.finish_once(following)
        assert heard.plays() == [(stopped, 0), (following, 0)]
    assert apart.ends(stopped) == ["conference.play.stopped"]
