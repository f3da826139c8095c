"""A node, a tenant's file server, and Switchroom in as many processes as a test starts, the audio relay among them."""

from __future__ import annotations

import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from controller.media.relays import Relays
from controller.store import keys
from esl.connection import Connection
from esl.event import Event
from switchroom import config
from tests.e2e.file_server import FileServer
from tests.e2e.nodes import PREFIX, Call, Node
from tests.e2e.system import DIDS, Receiver, Switchroom
from tests.e2e.wire import Wire
from tests.open_store import opened

CONFERENCES = "/api/v1/conferences"
UP_SECONDS, PLAY_SECONDS = 40.0, 50.0
_numbers = itertools.count(1)
_PARAMETERS = re.compile(r"operation_id=([^,}]+),url_index=(\d+)")


class Relayed:
    """`wire`: between Switchroom and the node. `playback`: keys of that section of the configuration."""

    def __init__(self, folder: Path, node: Node, hold_music: str = "", **playback: bool | int) -> None:
        self.node = node
        self.wire = Wire(node)
        self.wire.hold_music = hold_music
        self.hooks = Receiver()
        self.files = FileServer()
        self._folder, self._playback = folder, playback
        self._services: list[Switchroom] = []
        self._calls: list[Call] = []

    def start(self, *roles: str) -> Switchroom:
        """One more process, of all roles if none is named. The first one has the API."""
        service = Switchroom(self._folder, {PREFIX: self.wire}, self.hooks.url, *roles, **self._playback)
        service.start()
        self._services.append(service)
        return service

    @property
    def api(self) -> Switchroom:
        return self._services[0]

    def close(self) -> None:
        for call in self._calls:
            call.hang_up()
        for service in self._services[1:]:
            service.stop(signal.SIGKILL)
        if self._services:
            self.api.close()
        self.wire.cut()
        self.files.close()
        self.hooks.close()

    def relays(self) -> list[str]:
        """Their addresses."""
        with opened(config.load(self.api.config, {})) as store:
            return Relays(store).live()

    def relay_of(self, url: str) -> str:
        """The address of the relay that is asked first for that URL of alpha's."""
        with opened(config.load(self.api.config, {})) as store:
            return Relays(store).choose("alpha", url)[0]

    def has_result(self, operation: str) -> bool:
        """Whether the store has the node's result for one of the operation's plays."""
        tag = keys.partition_of("alpha")
        with opened(config.load(self.api.config, {})) as store:
            lines = [orjson.loads(fields[b"e"]) for _, fields in store.read(keys.key(tag, "log"))]
        return any(
            (line["kind"], line["type"], line.get("operation")) == ("answer", "play", operation) for line in lines
        )

    # What tenants do

    def room(self, app: str = "alpha") -> str:
        """With a member in it."""
        caller_id = f"52719{next(_numbers):04d}"
        self._calls.append(self.node.call(DIDS[app], caller_id))
        session = self.hooks.wait("session.started", caller_id=caller_id)["uuid"]
        room = str(self.api.post(CONFERENCES, {"name": f"room-{caller_id}"}, app).body["room_id"])
        command = f"/api/v1/sessions/{session}/commands/conference/join"
        assert self.api.post(command, {"room_id": room}, app).status == 202
        self.hooks.wait("conference.member.joined", uuid=session)
        return room

    def play(self, room: str, *urls: str, app: str = "alpha") -> str:
        """-> the operation's id."""
        response = self.api.post(f"{CONFERENCES}/{room}/play", {"urls": urls}, app)
        assert response.status == 202, response
        return str(response.body["operation_id"])

    def stop_playback(self, room: str) -> None:
        assert self.api.post(f"{CONFERENCES}/{room}/stop").status == 202

    def finished(self, operation: str, timeout: float = PLAY_SECONDS) -> dict[str, Any]:
        return self.hooks.wait("conference.play.finished", timeout, operation_id=operation)

    def played(self, room: str, *urls: str, app: str = "alpha") -> list[dict[str, Any]]:
        """Plays them, and returns their results."""
        results: list[dict[str, Any]] = self.finished(self.play(room, *urls, app=app))["results"]
        assert [result["url"] for result in results] == list(urls)
        return results

    def finish_once(self, operation: str) -> None:
        """It plays to its end, and is told once. Raises AssertionError."""
        results = self.finished(operation)["results"]
        assert {result["status"] for result in results} == {"played"}, results
        assert self.ends(operation) == ["conference.play.finished"]

    def ends(self, operation: str) -> list[str]:
        """The webhooks that end an operation, by their types: there must be one."""
        over = ("conference.play.finished", "conference.play.stopped")
        return [kind for kind in self.hooks.types(operation_id=operation) if kind in over]

    @contextmanager
    def heard(self) -> Iterator[Heard]:
        host, _, port = self.node.esl.rpartition(":")
        events: list[Event] = []
        connection = Connection(host, int(port), self.node.password, on_event=events.append)
        connection.connect()
        try:
            connection.send("event plain BACKGROUND_JOB CUSTOM conference::maintenance")
            yield Heard(connection, events)
        finally:
            connection.close()


class Heard:
    """What the node itself says that it plays."""

    def __init__(self, connection: Connection, events: list[Event]) -> None:
        self._connection = connection
        self._events = events

    def plays(self) -> list[tuple[str, int]]:
        """The operation and the place of the URL in it, of each file that the node has taken so far."""
        # Events come in their order, and those before the ping's result are here with it.
        self._connection.ping(5)
        taken = [event for event in self._events if event.get("Action") == "play-file" and event.get("Error") is None]
        found = [_PARAMETERS.search(event.get("File", "")) for event in taken]
        return [(each[1], int(each[2])) for each in found if each]
