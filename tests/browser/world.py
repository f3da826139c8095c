"""All that a browser looks at: two emulated nodes, a tenant's endpoint, and Switchroom, its API in a process of its own.

Playwright and gevent do not go together in one process. So this runs beside the tests, which ask it line by line: each
line of standard input is a JSON array of a method's name and its arguments, each line of output what it returned.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from gevent.fileobject import FileObjectThread

from tests.e2e.gateway import EmulatedGateway
from tests.e2e.nodes import EmulatedNode
from tests.e2e.site import until
from tests.e2e.stores import free_port
from tests.e2e.system import DIDS, Media, Receiver, Switchroom

PREFIXES = ("acW68", "fra02")
BACK = ("worker", "dispatcher", "media")


class World:
    def __init__(self, folder: Path) -> None:
        self.hooks = Receiver()
        self.media = Media()
        self.nodes = {prefix: EmulatedNode() for prefix in PREFIXES}
        gateway, *_ = [EmulatedGateway(node.emulator).address for node in self.nodes.values()]
        self.back = Switchroom(folder, dict(self.nodes), self.hooks.url, *BACK, gateway=gateway)
        self.front = Switchroom(folder, dict(self.nodes), self.hooks.url, "api", gateway=gateway)
        # The API keeps its port when it is started anew: the pages come back to it.
        self.url = f"http://127.0.0.1:{free_port()}"
        config = self.front.config.read_text()
        self.front.config.write_text(config.replace("127.0.0.1:0", self.url.removeprefix("http://"), 1))
        self._calls: dict[str, Any] = {}

    def start(self) -> dict[str, str]:
        self.back.start()
        self.front.start()
        for prefix in self.nodes:
            self.front.wait_up(prefix)
        return {"url": self.url, "tone": self.media.tone(60)}

    def close(self) -> None:
        self.front.stop()
        self.back.close()
        for node in self.nodes.values():
            node.close()
        self.hooks.close()
        self.media.close()

    def call(self, prefix: str, caller_id: str, app: str = "alpha") -> str:
        """Somebody calls an app's number on that node. -> the session."""
        self._calls[caller_id] = self.nodes[prefix].emulator.call(to=DIDS[app], caller_id_number=caller_id)
        return str(self.hooks.wait("session.started", caller_id=caller_id)["uuid"])

    def hang_up(self, caller_id: str) -> None:
        self._calls.pop(caller_id).hangup()
        self.hooks.wait("session.ended", caller_id=caller_id)

    def clear(self) -> None:
        """End all calls and delete all rooms, and let nodes and endpoint be as they were."""
        for prefix in self.nodes:
            self.silence(prefix, False)
        self.endpoint_answers(200)
        for caller_id in list(self._calls):
            self.hang_up(caller_id)
        for app in DIDS:
            for room in self.ask("GET", "/api/v1/conferences?limit=200", None, app)["conferences"]:
                self.ask("DELETE", f"/api/v1/conferences/{room['room_id']}", None, app)
                # What an endpoint did not take holds it up, for two retries.
                self.hooks.wait("conference.destroyed", timeout=90, room_id=room["room_id"])
        self.hooks.received.clear()

    def sound(self, caller_id: str, audible: bool) -> None:
        self._calls[caller_id].sound(audible)

    def press(self, caller_id: str, keys: str) -> None:
        for key in keys:
            self._calls[caller_id].press(key)

    def silence(self, prefix: str, silent: bool) -> None:
        """Let the node do what it is told, but say nothing of it; or say it after all."""
        self.nodes[prefix].emulator.silence(silent)

    def mute_at_node(self, prefix: str, caller_id: str) -> None:
        """The node's operator mutes a member."""
        node = self.nodes[prefix]
        member = node.emulator.channels[node.channel(caller_id)].member
        node.command(f"conference {member.room} mute {member.id}")

    def stop_node(self, prefix: str) -> None:
        self.nodes[prefix].emulator.stop()

    def start_node(self, prefix: str) -> None:
        self.nodes[prefix].emulator.start()
        self.front.wait_up(prefix)

    def ask(self, method: str, path: str, body: Any = None, app: str = "alpha") -> Any:
        """A request to the API as an app sends it. -> the body of its success."""
        answer = self.front.post(path, body, app) if method == "POST" else self.front.request(method, path, body, app)
        assert answer.status < 300, answer
        return answer.body

    def room(self, name: str, *sessions: str, app: str = "alpha") -> str:
        """A room with these sessions in it, unmuted. -> its id."""
        room = str(self.ask("POST", "/api/v1/conferences", {"name": name}, app)["room_id"])
        for session in sessions:
            command = f"/api/v1/sessions/{session}/commands/conference"
            self.ask("POST", f"{command}/join", {"room_id": room}, app)
            self.hooks.wait("conference.member.joined", uuid=session, room_id=room)
            self.ask("POST", f"{command}/unmute", None, app)
            self.hooks.wait("conference.member.unmuted", uuid=session, room_id=room)
        return room

    def endpoint_answers(self, status: int) -> None:
        self.hooks.answer = lambda _: status

    def received(self, kind: str, field: str, value: str) -> None:
        """Wait until the tenant's endpoint has that webhook."""
        self.hooks.wait(kind, **{field: value})

    def volume(self, room: str, volume: int) -> None:
        """Wait until the room has that volume."""
        until(lambda: self.ask("GET", f"/api/v1/conferences/{room}")["playback_volume"] == volume)

    def is_muted(self, session: str) -> bool:
        return bool(self.ask("GET", f"/api/v1/sessions/{session}")["muted"])

    def stop_api(self) -> None:
        self.front.stop(signal.SIGKILL)

    def start_api(self) -> None:
        self.front.start()
        until(lambda: self.front.get("/readyz").status == 200)

    def run(self, *arguments: str, **environment: str) -> str:
        """A command of Switchroom. -> what it printed."""
        command = [sys.executable, "-m", "switchroom", *arguments, "--config", str(self.front.config)]
        done = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def main() -> None:
    world = World(Path(sys.argv[1]))
    try:
        # In a thread: everything else goes on until a line comes.
        for line in FileObjectThread(sys.stdin.fileno(), "r", close=False):
            method, arguments, named = json.loads(line)
            try:
                reply = {"returned": getattr(world, method)(*arguments, **named)}
            except Exception as error:
                reply = {"failed": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), flush=True)
    finally:
        world.close()
