"""Fills a store by way of the API, an emulated node and an endpoint, stops everything without a word, and writes down
what is there: `python -m tests.e2e.upgrade.record VERSION`. Takes a minute: a webhook must fail three times.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()

# ruff: noqa: E402
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.e2e.stores import StoreServer
from tests.e2e.upgrade.recording import (
    API_KEY,
    ENDPOINT_URL,
    FILE,
    LONG,
    NODE,
    PASSWORD,
    PREFIX,
    SECRET,
    SHORT,
    SLOW,
    App,
    Endpoint,
    describe,
    dump,
    new_node,
    service,
    tell,
)

ALPHA, BETA = "747713001", "747713002"
# What an endpoint answers: alpha's has moved, beta's is gone, gamma's is broken.
STATUS = {"/moved": 410, "/beta": 410, "/gamma": 500}
# Who is in which room. What a caller is called says what is under way at the end.
ROOMS = {
    "talk": "stays mute-done mute-lost unmute-waiting leave-done leave-waiting hangs-up",
    "paused": "listens",
    "fetching": "hears-the-second",
    "stopped": "hears-no-more",
    "waiting": "hears-later",
    "closing": "put-out put-out-too",
    "empty": "",
}
PARKED = "parked join-done join-waiting"


class Recorder:
    def __init__(self, folder: Path) -> None:
        self.store = StoreServer(folder / "store")
        self.store.start()
        self.node = new_node()
        self.node.start()
        self.endpoint = Endpoint()
        self.endpoint.status = self.status
        self.api, self.worker, self.dispatcher = (
            service(folder, self.store.url, role) for role in ("api", "worker", "dispatcher")
        )
        self.command("node", "add", PREFIX, "{}:{}".format(*NODE), "--password", PASSWORD)
        added = {
            app: self.command("app", "add", app, *more, "--webhook-url", f"{ENDPOINT_URL}/{app}")
            for app, more in (("beta", ("--did", BETA)), ("gamma", ()))
        }
        for role in (self.api, self.worker, self.dispatcher):
            role.start()
        self.api.wait_up(PREFIX)
        self.keys = {"alpha": API_KEY, **{app: told["api_key"] for app, told in added.items()}}
        self.secrets = {"alpha": [SECRET], **{app: [told["webhook_secret"]] for app, told in added.items()}}
        self.apps = {app: App(self.api, app, key) for app, key in self.keys.items()}
        self.alpha, self.beta, self.gamma = self.apps.values()
        self.rooms: dict[str, str] = {}
        self.sessions: dict[str, str] = {}
        self.repeats: list[dict[str, Any]] = []

    def command(self, *words: str) -> Any:
        """Of the command line. -> what it says."""
        line = [sys.executable, "-m", "switchroom", *words, "--json", "--config", str(self.api.config)]
        if words[0] == "node":
            line.remove("--json")
        said = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(said) if words[0] == "app" else said

    def status(self, path: str, payload: dict[str, Any]) -> int:
        return STATUS.get(path, 500 if payload["data"].get("name") == "held" else 200)

    def create(self, *names: str) -> None:
        for name in names:
            self.rooms[name] = self.alpha.do("POST", "/conferences", {"name": name})["room_id"]

    def play(self, room: str, *urls: str) -> None:
        self.alpha.do("POST", f"/conferences/{self.rooms[room]}/play", {"urls": urls})

    def ask(self, caller: str, command: str, **body: str) -> None:
        """A command of a session, with a command_uid."""
        path = f"/sessions/{self.sessions[caller]}/commands/conference/{command}"
        body = {**body, "command_uid": f"uid-{caller}"}
        answer = self.alpha.do("POST", path, body)
        self.repeats.append({"path": path, "body": body, "answer": answer})

    def deliveries(self, app: App, status: str, count: int) -> list[dict[str, Any]]:
        """Those in a status, once there are so many."""

        def found() -> list[dict[str, Any]]:
            return app.get(f"/webhooks/deliveries?limit=200&status={status}")["deliveries"]

        self.endpoint.wait_until(lambda: len(found()) >= count, f"not {count} {status}", 60)
        return found()

    def fill(self) -> None:
        """Everybody is there, and everything answers, except where webhooks should fail."""
        self.gamma.do("POST", "/conferences", {"name": "gamma"})
        self.create("failed", "failed-too")
        self.deliveries(self.alpha, "failed", 2)
        self.alpha.do("PUT", "/webhooks/endpoint", {"url": f"{ENDPOINT_URL}/alpha", "types": ["*"]})
        self.secrets["alpha"].append(self.alpha.do("POST", "/webhooks/endpoint/rotate-secret")["secret"])
        self.create(*ROOMS)
        self.node.call(BETA, "beta")
        room = self.beta.do("POST", "/conferences", {"name": "beta"})["room_id"]
        self.deliveries(self.beta, "failed", 2)
        (session,) = self.beta.get("/sessions")["sessions"]
        self.beta.do("POST", f"/sessions/{session['uuid']}/commands/conference/join", {"room_id": room})
        self.deliveries(self.beta, "failed", 3)

        for room, callers in {**ROOMS, "": PARKED}.items():
            for caller in callers.split():
                self.node.call(ALPHA, caller)
                self.sessions[caller] = self.endpoint.wait("session.started", caller_id=caller)["uuid"]
                if room:
                    path = f"/sessions/{self.sessions[caller]}/commands/conference/join"
                    self.alpha.do("POST", path, {"room_id": self.rooms[room]})
                    self.endpoint.wait("conference.member.joined", caller_id=caller)
        for caller in ("mute-done", "mute-lost"):
            self.alpha.do("POST", f"/sessions/{self.sessions[caller]}/commands/conference/unmute")
            self.endpoint.wait("conference.member.unmuted", caller_id=caller)
        self.play("talk", LONG[0], LONG[1])
        self.play("talk", LONG[2])
        self.play("paused", LONG[3])
        self.play("stopped", LONG[4])
        queued = {"talk": 3, "paused": 1, "stopped": 1}
        for name, count in queued.items():
            self.node.wait_for(lambda name=name, count=count: len(self.queue(name)) == count)
        self.alpha.do("POST", f"/conferences/{self.rooms['paused']}/volume", {"volume": -3})
        self.alpha.do("POST", f"/conferences/{self.rooms['paused']}/pause")
        self.node.wait_for(lambda: self.queue("paused")[0].paused)

        def attempts() -> int:
            return int(self.deliveries(self.gamma, "retrying", 1)[0]["attempts"])

        self.endpoint.wait_until(lambda: attempts() == 3, "gamma's webhook has not failed three times", 60)
        self.create("held")
        self.deliveries(self.alpha, "retrying", 1)

    def queue(self, room: str) -> list[Any]:
        return self.node.conferences[self.rooms[room]].queue

    def stop_delivery(self) -> None:
        self.alpha.do("POST", f"/conferences/{self.rooms['held']}/volume", {"volume": 1})
        self.endpoint.wait_until(lambda: self.outbox() == 2, "more than what is held is in the outbox")
        self.dispatcher.stop(signal.SIGKILL)
        oldest = self.deliveries(self.alpha, "failed", 2)[-2:]
        times = [delivery["created_at"] for delivery in reversed(oldest)]
        assert times[0] < times[1]
        found = self.alpha.do("POST", "/webhooks/redeliver", {"since": times[0], "until": times[1]})
        assert found == {"webhooks": 1}

    def outbox(self) -> int:
        return sum(self.store.client.xlen(key) for key in self.store.client.scan_iter("*:outbox"))

    def stop_answers(self) -> None:
        """The node does what it is told, and the worker does not hear of it."""
        self.node.silence()
        self.ask("mute-done", "mute")
        self.ask("mute-lost", "mute")
        self.ask("leave-done", "leave")
        self.ask("join-done", "join", room_id=self.rooms["talk"])
        self.play("fetching", SLOW, SHORT[0])
        self.alpha.do("POST", f"/conferences/{self.rooms['stopped']}/stop")
        here = {call.profile.number: call for call in self.node.channels.values()}
        self.node.wait_for(
            lambda: (
                here["mute-done"].member.muted
                and here["mute-lost"].member.muted
                and here["leave-done"].member is None
                and here["join-done"].member is not None
                and not self.queue("stopped")
            )
        )
        # As if the node had never got it.
        tell(self.node, f"conference {self.rooms['talk']} unmute {here['mute-lost'].member_id}")
        here["hangs-up"].hangup()
        self.node.call(ALPHA, "came")
        self.play("fetching", SHORT[1])
        self.worker.stop(signal.SIGKILL)

    def ask_for_more(self) -> None:
        """What nobody takes, as long as the node counts as up."""
        self.ask("join-waiting", "join", room_id=self.rooms["talk"])
        self.ask("unmute-waiting", "unmute")
        self.ask("leave-waiting", "leave")
        self.play("waiting", SHORT[2])
        self.alpha.do("POST", f"/conferences/{self.rooms['talk']}/volume", {"volume": 2})
        self.alpha.do("DELETE", f"/conferences/{self.rooms['closing']}")
        self.beta.do("POST", "/conferences", {"name": "beta-too"})

    def answers(self) -> dict[str, Any]:
        """What the API says of everything, by app and path."""
        found: dict[str, Any] = {}
        for name, app in self.apps.items():
            rooms = app.get("/conferences?limit=200")["conferences"]
            paths = ["/conferences?limit=200", "/sessions?limit=1000", "/webhooks/endpoint"]
            paths += [f"/conferences/{room['room_id']}{more}" for room in rooms for more in ("", "/members")]
            paths += [
                f"/webhooks/deliveries?limit=200&status={status}" for status in ("retrying", "delivered", "failed")
            ]
            found[name] = {path: app.get(path) for path in paths}
        return found

    def record(self, version: str) -> dict[str, Any]:
        answers = self.answers()
        self.api.stop(signal.SIGKILL)
        return {
            "version": version,
            "recorded_at": round(time.time() * 1000),
            "keys": self.keys,
            "secrets": self.secrets,
            "rooms": self.rooms,
            "sessions": self.sessions,
            "repeats": self.repeats,
            "answers": answers,
            "delivered": [webhook_id for webhook_id, _ in self.endpoint.taken],
            "node": describe(self.node),
            "store": dump(self.store.client),
        }

    def close(self) -> None:
        for role in (self.api, self.worker, self.dispatcher):
            role.stop(signal.SIGKILL)
        self.node.stop()
        self.endpoint.close()
        self.store.kill()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="switchroom-recording-") as folder:
        recorder = Recorder(Path(folder))
        try:
            recorder.fill()
            recorder.stop_delivery()
            recorder.stop_answers()
            recorder.ask_for_more()
            FILE.write_text(json.dumps(recorder.record(sys.argv[1]), indent=1) + "\n")
        finally:
            recorder.close()


if __name__ == "__main__":
    main()
