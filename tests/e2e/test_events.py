"""Event streams and `switchroom listen`, from outside: nothing is left out, repeated or held up, whatever goes down."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.event import Event as Flag

from switchroom.client import Event
from switchroom.client.events import Reader
from tests.e2e.stores import StoreServer, free_port
from tests.e2e.system import KEYS, SECRET, Receiver, Switchroom
from tests.integration.world import World
from tests.open_store import OpenStore

EVENTS = "/api/v1/events"
WEBHOOKS = f"{EVENTS}?type=conference.*,session.*"


class Stream:
    """Reads a stream of events until it breaks off."""

    def __init__(self, port: int, path: str = EVENTS, app: str = "alpha", last_id: str = "") -> None:
        headers = {"X-App-ID": app, "X-API-Key": KEYS[app]}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", path, headers=headers)
        self._response = self._connection.getresponse()
        self.status = self._response.status
        self._reader = Reader(last_id)
        self.events: list[Event] = []
        self.ended_well = False
        self._news = Flag()
        self._reading = gevent.spawn(self._read)
        if self.status == 200:
            self.wait(lambda: bool(self.last_id))

    def _read(self) -> None:
        try:
            for event in self._reader.events(self._chunks()):
                self.events.append(event)
                self._news.set()
            self.ended_well = True
        except (OSError, http.client.HTTPException):
            pass
        self._news.set()

    def _chunks(self) -> Iterator[bytes]:
        while chunk := self._response.read1():
            yield chunk
            self._news.set()

    @property
    def last_id(self) -> str:
        return self._reader.last_id

    def wait(self, condition: Callable[[], bool], timeout: float = 40.0) -> None:
        with gevent.Timeout(timeout, AssertionError(f"only {len(self.events)} events")):
            while not condition():
                self._news.clear()
                self._news.wait()

    def take(self, count: int) -> list[dict[str, Any]]:
        self.wait(lambda: len(self.events) >= count)
        return [event.body for event in self.events[:count]]

    def join(self, timeout: float) -> None:
        self._reading.get(timeout=timeout)

    def close(self) -> None:
        self._reading.kill()
        self._connection.close()


class Stage:
    """An API process and a store, and for some a dispatcher process. What happens is put into the store as a worker
    does.
    """

    def __init__(self, folder: Path) -> None:
        self.server = StoreServer(folder / "store")
        self.server.start()
        self.hooks = Receiver()
        self.dispatcher = Switchroom(self._folder(folder, "d"), {}, self.hooks.url, "dispatcher", store=self.server.url)
        self.api = Switchroom(self._folder(folder, "a"), {}, self.hooks.url, "api", store=self.server.url)
        # The same port after a restart.
        self.port = free_port()
        text = self.api.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{self.port}", 1)
        self.api.config.write_text(text)
        self.api.start()
        self.store = OpenStore.connect(self.server.url)
        self.worlds = {app: World(self.store, app) for app in KEYS}
        self.streams: list[Stream] = []

    @staticmethod
    def _folder(folder: Path, name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    def open(self, *args: Any, **options: Any) -> Stream:
        self.streams.append(Stream(self.port, *args, **options))
        return self.streams[-1]

    def create(self, *names: str, app: str = "alpha") -> list[str]:
        return [self.worlds[app].create(name) for name in names]

    def refuse(self, count: int) -> None:
        """So many lines of the event log."""
        step = {"app_id": "alpha", "command": "delete", "room_id": "acW68-room-none"}
        self.store.run_many([("delete_room", self.worlds["alpha"].tag, step)] * count)

    def close(self) -> None:
        for stream in self.streams:
            stream.close()
        self.api.stop(signal.SIGKILL)
        self.dispatcher.stop(signal.SIGKILL)
        self.store.close()
        self.server.kill()
        self.hooks.close()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["data"]["name"] for event in events]


def test_a_stream_has_what_the_endpoint_gets(stage: Stage) -> None:
    stage.dispatcher.start()
    stream = stage.open(WEBHOOKS)
    room, _ = stage.create("one", "two")
    for name in ("one", "two"):
        stage.hooks.wait("conference.created", name=name)
    found = stream.take(2)
    hooks = {hook["data"]["name"]: hook for hook in stage.hooks.received}
    for event in found:
        webhook_id = event.pop("webhook_id")
        assert event == hooks[event["data"]["name"]]
        assert webhook_id in stage.hooks.ids
    assert [event.type for event in stream.events] == ["conference.created"] * 2
    assert found[0]["data"]["room_id"] == room


def test_a_stream_of_one_room_and_of_some_types(stage: Stage) -> None:
    first, second = stage.create("one", "two")
    of_room = stage.open(f"{EVENTS}?room={second}")
    of_types = stage.open(f"{EVENTS}?type=log.refused,conference.destroyed")
    for room in (first, second):
        assert stage.api.request("DELETE", f"/api/v1/conferences/{room}").status == 200
    assert stage.api.request("DELETE", f"/api/v1/conferences/{first}").status == 404
    assert {event["data"]["room_id"] for event in of_room.take(2)} == {second}
    assert [event["type"] for event in of_types.take(3)] == ["conference.destroyed"] * 2 + ["log.refused"]


def test_the_api_process_dies_and_nothing_is_missed_or_repeated(stage: Stage) -> None:
    stream = stage.open(WEBHOOKS)
    stage.create("before")
    stream.take(1)
    stage.api.stop(signal.SIGKILL)
    stream.join(30)
    stage.create(*(f"while-{number}" for number in range(800)))
    stage.api.start()
    again = stage.open(WEBHOOKS, last_id=stream.last_id)
    stage.create("after")
    assert names(again.take(801)) == [*(f"while-{number}" for number in range(800)), "after"]


def test_a_slow_reader_is_cut_off_and_slows_nobody(stage: Stage) -> None:
    others = [stage.open(), stage.open()]
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", stage.port))
    slow.sendall(f"GET {EVENTS} HTTP/1.1\r\nHost: x\r\nX-App-ID: alpha\r\nX-API-Key: {KEYS['alpha']}\r\n\r\n".encode())
    assert slow.recv(10)
    for count in range(100, 4001, 100):
        stage.refuse(100)
        for other in others:
            other.take(count)
    received = 0
    slow.settimeout(30)
    try:
        while data := slow.recv(65536):
            received += len(data)
    except ConnectionError:
        pass
    assert received < 4000 * len(json.dumps(others[0].events[0].body))
    slow.close()


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_streams_stay_open_while_the_store_is_away(stage: Stage, how: str) -> None:
    stream = stage.open(WEBHOOKS)
    stage.create("before")
    stream.take(1)
    if how == "frozen":
        stage.server.freeze()
    else:
        stage.server.kill()
    with gevent.Timeout(30):
        while stage.api.get("/readyz").status != 503 or stage.api.get("/readyz").body["detail"]["store"]:
            gevent.sleep(0.05)
    refused = stage.open()
    assert refused.status == 503
    if how == "frozen":
        stage.server.thaw()
    else:
        stage.server.start()
    stage.create("after")
    assert names(stream.take(2)) == ["before", "after"]
    assert not stream.ended_well


def test_open_streams_do_not_hold_up_a_shutdown(stage: Stage) -> None:
    streams = [stage.open() for _ in range(20)]
    started = time.monotonic()
    assert stage.api.stop() == 0
    assert time.monotonic() - started < 8  # less than what is under way may take
    for stream in streams:
        stream.join(30)
        assert stream.ended_well


def test_a_tenant_s_stream_has_nothing_of_another(stage: Stage) -> None:
    mine, theirs = stage.open(), stage.open(app="beta")
    _, room = stage.create("mine", "also-mine")
    stage.create("theirs", app="beta")
    assert {event["data"]["app_id"] for event in theirs.take(2)} == {"beta"}
    assert {event["data"]["app_id"] for event in mine.take(4)} == {"alpha"}
    assert stage.open(f"{EVENTS}?room={room}", app="beta").status == 403
    assert stage.open(app="beta", last_id=mine.last_id).status == 400
    assert stage.open(f"{EVENTS}?room={room}").status == 200
    for stream, app in ((mine, "alpha"), (theirs, "beta")):
        assert {event.body["data"]["app_id"] for event in stream.events} == {app}


def test_the_reader_of_the_docs_follows_over_a_lost_connection(stage: Stage) -> None:
    page = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert code
    scope: dict[str, Any] = {}
    exec(code[1], scope)
    found: list[str] = []
    began = stage.open().last_id

    def follow() -> None:
        for _, event in scope["follow"](f"http://127.0.0.1:{stage.port}", "alpha", KEYS["alpha"], began):
            if event["type"] == "conference.created":
                found.append(event["data"]["name"])

    following = gevent.spawn(follow)
    try:
        for name in ("before", "while", "after"):
            if name == "while":
                stage.api.stop(signal.SIGKILL)
            stage.create(name)
            if name == "while":
                stage.api.start()
            with gevent.Timeout(60):
                while name not in found:
                    gevent.sleep(0.02)
    finally:
        following.kill()
    assert found == ["before", "while", "after"]


class Listening:
    """`switchroom listen` in a process of its own."""

    def __init__(self, stage: Stage, folder: Path, forward_to: str, *options: str) -> None:
        environ = {
            "SWITCHROOM_URL": f"http://127.0.0.1:{stage.port}",
            "SWITCHROOM_APP_ID": "alpha",
            "SWITCHROOM_API_KEY": KEYS["alpha"],
            "PYTHONUNBUFFERED": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "switchroom", "listen", "--forward-to", forward_to, *options],
            cwd=folder, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def line(self) -> str:
        assert self.process.stdout
        with gevent.Timeout(60):
            return self.process.stdout.readline().strip()

    def close(self) -> str:
        """What else it said."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=30)[0]


def test_listen_forwards_webhooks_in_order_also_over_a_lost_connection(stage: Stage, tmp_path: Path) -> None:
    stage.dispatcher.start()
    here = Receiver()
    listening = Listening(stage, tmp_path, here.url, "--secret", SECRET)
    try:
        assert listening.line() == f"ready: http://127.0.0.1:{stage.port} -> {here.url}"
        stage.create("before")
        here.wait("conference.created", name="before")
        stage.api.stop(signal.SIGKILL)
        stage.create(*(f"while-{number}" for number in range(50)))
        stage.api.start()
        here.wait("conference.created", name="while-49")
        stage.create("after")
        here.wait("conference.created", name="after")
    finally:
        said = listening.close()
        here.close()
    assert names(here.received) == ["before", *(f"while-{number}" for number in range(50)), "after"]
    for name in names(here.received):
        stage.hooks.wait("conference.created", name=name)
    assert set(here.ids) == set(stage.hooks.ids)
    assert not here.problems
    lines = said.splitlines()
    assert sum("conference.created" in line and " 200 in " in line for line in lines) == 52
    assert sum("the event stream was lost" in line for line in lines) == 1
    assert sum("the event stream is back" in line for line in lines) == 1


def test_listen_shows_its_secret_and_what_was_not_taken(stage: Stage, tmp_path: Path) -> None:
    here = Receiver()
    listening = Listening(stage, tmp_path, here.url)
    try:
        assert listening.line().startswith("signed with the secret whsec_")
        assert listening.line().startswith("ready: ")
        stage.create("one")
        assert " 400 in " in listening.line()  # the receiver has another secret
    finally:
        listening.close()
        here.close()


def test_listen_ends_when_it_is_not_let_in(stage: Stage, tmp_path: Path) -> None:
    listening = Listening(stage, tmp_path, "http://127.0.0.1:1/", "--key", "wrong", "--secret", SECRET)
    assert listening.line() == "Error: 401 unauthenticated: Missing or invalid X-App-ID or X-API-Key"
    assert listening.process.wait(30) == 1


def trigger(stage: Stage, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "switchroom", "trigger", *arguments, "--url", f"http://127.0.0.1:{stage.port}"]
    return subprocess.run(
        [*command, "--app", "alpha", "--key", KEYS["alpha"]], cwd=folder, capture_output=True, text=True, check=False
    )


def test_trigger_sends_a_sample_to_the_endpoint_or_to_any_url(stage: Stage, tmp_path: Path) -> None:
    done = trigger(stage, tmp_path, "conference.member.joined")
    assert done.returncode == 0, done
    assert stage.hooks.types(app_id="alpha") == ["conference.member.joined"]
    assert f"{stage.hooks.ids[0]}  200 in " in done.stdout
    assert stage.hooks.ids[0].startswith("msg_test-")
    done = trigger(stage, tmp_path, "session.ended", "--to", stage.hooks.url, "--secret", SECRET)
    assert done.returncode == 0, done
    assert stage.hooks.types(app_id="alpha")[1:] == ["session.ended"]
    assert not stage.hooks.problems
    done = trigger(stage, tmp_path, "session.ended", "--to", "http://127.0.0.1:1/")
    assert done.returncode == 1
    assert "the connection was refused" in done.stdout
