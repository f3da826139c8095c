"""`switchroom demo`: the whole system on an emulated node, walked through its main job over real HTTP.

Everything but the media node is what `switchroom serve` runs. The walk knows what each step must answer and which
webhooks must follow; whatever differs ends it.
"""

from __future__ import annotations

import base64
import http.client
import io
import json
import math
import os
import re
import secrets
import shlex
import socket
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
from gevent.event import Event
from gevent.pywsgi import WSGIServer
from rich.console import Console
from rich.text import Text
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from controller.limits import Limits
from esl.emulator import Emulator
from switchroom.config import load
from switchroom.logs import escaped
from switchroom.processes import ApiFactory, CannotStart, System

APP_ID = "demo"
DID = "747713001"
PREFIX = "demo1"
CALLERS = (("527121101", "Alice"), ("527121102", "Bob"), ("527121103", "Carol"))
TONES = (3, 2)  # seconds
API = "/api/v1"
USUAL_PORT = 8080
READY_SECONDS = 15.0
WEBHOOK_SECONDS = 10.0
# The cooldown began when the store accepted the command, which is not quite when we asked.
COOLDOWN_MARGIN = 0.05

EMULATED = (
    "The media node here is emulated, so nobody hears anything. For real calls, put a FreeSWITCH under [[nodes]] "
    "in switchroom.toml (see README.md) and run: switchroom serve"
)

Data = Mapping[str, Any]
# A webhook's type, and what its data must hold.
Expected = tuple[str, Data]


class Differed(Exception):
    """Something was not as expected; the text says what."""


@dataclass
class Story:
    """What happens, told line by line with the seconds since it began."""

    console: Console
    began: float = field(default_factory=time.monotonic)

    def title(self, text: str) -> None:
        self.console.print(Text(f"\n{text}", style="bold"))

    def line(self, mark: str, style: str, text: str) -> None:
        clock = Text(f"{time.monotonic() - self.began:7.3f} ", style="dim")
        self.console.print(clock.append(f"{mark:<7} ", style=style).append(_shortened(escaped(text))))


_UUID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")


def _shortened(text: str) -> str:
    """With the beginning of each UUID only: enough to tell them apart, and lines stay readable."""
    return _UUID.sub(r"\1..", text)


class Endpoint:
    """The tenant's side: takes webhooks, verifies each, and has the audio that is played."""

    def __init__(self, story: Story, secret: str) -> None:
        self._story = story
        self._webhook = Webhook(secret)
        self._waiting: list[tuple[str, Data]] = []
        self._seen: set[str] = set()
        self._refused: list[str] = []
        self._arrived = Event()
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def tone(self, seconds: int) -> str:
        """The URL of a sound of that length."""
        return f"{self.url}/tone-{seconds}s.wav"

    def stop(self) -> None:
        self._server.stop(timeout=1)

    def expect(self, kind: str, match: Data) -> Data:
        """The next webhook of that type whose data holds `match`. Raises Differed."""
        deadline = time.monotonic() + WEBHOOK_SECONDS
        while True:
            self._arrived.clear()
            if self._refused:
                raise Differed(f"a webhook's signature is wrong: {self._refused[0]}")
            for place, (its_kind, data) in enumerate(self._waiting):
                if its_kind == kind and match.items() <= data.items():
                    del self._waiting[place]
                    return data
            if not self._arrived.wait(max(0.0, deadline - time.monotonic())):
                raise Differed(f"no webhook {kind} with {json.dumps(match)} within {WEBHOOK_SECONDS:.0f} s")

    def expect_no_more(self) -> None:
        if self._waiting:
            raise Differed(f"nobody expected the webhook {self._waiting[0][0]}")

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] == "POST":
            status, kind, content = self._take(environ), "text/plain", b""
        else:
            status, kind, content = _audio(environ["PATH_INFO"])
        start_response(status, [("Content-Type", kind), ("Content-Length", str(len(content)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [content]

    def _take(self, environ: dict[str, Any]) -> str:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        headers = {name: environ.get("HTTP_" + name.upper().replace("-", "_"), "") for name in names}
        try:
            payload = self._webhook.verify(environ["wsgi.input"].read(), headers)
        except WebhookVerificationError as error:
            self._refused.append(str(error))
            self._arrived.set()
            return "400 Bad Request"
        # At least once: an id that came before is the same webhook again.
        if headers["webhook-id"] not in self._seen:
            self._seen.add(headers["webhook-id"])
            self._waiting.append((payload["type"], payload["data"]))
            shown = {name: value for name, value in payload["data"].items() if name not in ("app_id", "room_id")}
            self._story.line("webhook", "magenta", f"{payload['type']} {json.dumps(shown, sort_keys=True)}")
            self._arrived.set()
        return "204 No Content"


class Walk:
    """The main job, step by step. Raises Differed."""

    def __init__(self, story: Story, address: str, api_key: str, endpoint: Endpoint) -> None:
        self._story = story
        self._endpoint = endpoint
        self._headers = {"X-App-ID": APP_ID, "X-API-Key": api_key, "Content-Type": "application/json"}
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 0
        # When the cooldown of a group is over, for the room or session that it counts for.
        self._ready_at: dict[tuple[str, str], float] = {}

    def run(self, node: Emulator) -> None:
        self._story.title("Three callers dial the app's number")
        self._await_node()
        sessions = [self._call(node, number, name) for number, name in CALLERS]

        self._story.title("The app creates a room")
        created: Expected = ("conference.created", {"name": "weekly-standup"})
        room = self._ask("POST", "/conferences", {"name": "weekly-standup"}, 201, created)["room_id"]
        path = f"/conferences/{room}"

        self._story.title("They join it, muted")
        for session in sessions:
            joined: Expected = ("conference.member.joined", {"uuid": session, "muted": True})
            self._command(session, "join", "conference", joined, {"room_id": room})
        self._check(len(self._ask("GET", f"{path}/members", None, 200)["members"]) == 3, "three members")

        self._story.title("The first may speak")
        unmuted: Expected = ("conference.member.unmuted", {"uuid": sessions[0], "command_uid": "let-alice-speak"})
        self._command(sessions[0], "unmute", "conference_mute", unmuted, {"command_uid": "let-alice-speak"})

        self._story.title("Two files are played; on the way the volume changes, and a pause")
        urls = [self._endpoint.tone(seconds) for seconds in TONES]
        started: Expected = ("conference.play.started", {"urls": urls})
        operation = self._room(room, "play", "conf_play", started, {"urls": urls})["operation_id"]
        its = {"operation_id": operation}
        self._room(
            room, "volume", "conference_control", ("conference.play.volume_changed", {"volume": 2}), {"volume": 2}
        )
        self._room(room, "pause", "conference_control", ("conference.play.paused", {**its, "paused": True}))
        self._check(self._ask("GET", path, None, 200)["playback_status"] == "paused", "playback_status paused")
        self._room(room, "pause", "conference_control", ("conference.play.paused", {**its, "paused": False}))
        self._await("conference.play.finished", {**its, "status": "completed"})

        self._story.title("One leaves; the room is deleted, and the others leave with it")
        self._command(sessions[0], "leave", "conference", ("conference.member.left", {"uuid": sessions[0]}))
        self._ask("DELETE", path, None, 200)
        self._await("conference.destroyed", {"room_id": room})
        for session in sessions[1:]:
            self._await("conference.member.left", {"uuid": session, "reason": "room_destroyed"})
        self._endpoint.expect_no_more()

    # Steps

    def _call(self, node: Emulator, number: str, name: str) -> str:
        self._story.line("call", "yellow", f"{name} ({number}) calls {DID}")
        node.call(to=DID, caller_id_number=number, caller_id_name=name)
        return str(self._await("session.started", {"caller_id": number, "did": DID})["uuid"])

    def _command(self, session: str, verb: str, group: str, then: Expected, body: dict[str, Any] | None = None) -> Any:
        with self._cooldown(group, session):
            return self._ask("POST", f"/sessions/{session}/commands/conference/{verb}", body, 202, then)

    def _room(self, room: str, verb: str, group: str, then: Expected, body: dict[str, Any] | None = None) -> Any:
        with self._cooldown(group, room):
            return self._ask("POST", f"/conferences/{room}/{verb}", body, 202, then)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None, status: int, *then: Expected) -> Any:
        """One request, shown with its answer and the webhooks that must follow."""
        self._story.line("request", "cyan", f"{method} {API}{path} {json.dumps(body) if body else ''}")
        answered, answer = self._request(method, API + path, body)
        self._story.line("answer", "green" if answered == status else "red", f"{answered} {json.dumps(answer)}")
        self._check(answered == status, f"{method} {path} to answer {status}")
        for expected in then:
            self._await(*expected)
        return answer

    def _await(self, kind: str, match: Data) -> Data:
        return self._endpoint.expect(kind, match)

    def _check(self, holds: bool, what: str) -> None:
        if not holds:
            raise Differed(f"expected {what}")

    @contextmanager
    def _cooldown(self, group: str, scope: str) -> Iterator[None]:
        """A command that comes too soon after another of its group is refused: wait, as a client should. It is answered
        inside; from then on, at the latest, the cooldown runs.
        """
        now = time.monotonic()
        ready_at = self._ready_at.get((group, scope), now)
        if ready_at > now:
            self._story.line("wait", "dim", f"{ready_at - now:.1f} s: cooldown of {group}")
            gevent.sleep(ready_at - now)
        yield
        self._ready_at[group, scope] = time.monotonic() + Limits().cooldowns[group] / 1000 + COOLDOWN_MARGIN

    def _await_node(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while self._request("GET", "/readyz", None)[0] != 200:
            if time.monotonic() > deadline:
                raise Differed(f"the node was not reachable within {READY_SECONDS:.0f} s")
            gevent.sleep(0.05)

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body) if body else None, self._headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Differed(f"{method} {path} was not answered: {error}") from error
        finally:
            connection.close()


def run(api: ApiFactory, once: bool, env_file: Path | None, stop: Event) -> bool:
    """Walk, and go on serving until `stop` unless `once`. -> whether all went as expected.

    `env_file` holds meanwhile what a tour needs, as shell variables. Raises CannotStart if it cannot be written.
    """
    console = Console(soft_wrap=True, highlight=False)
    story = Story(console)
    api_key = secrets.token_urlsafe(24)
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    console.print(Text(EMULATED, style="yellow"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchroom-demo-")))
        endpoint = Endpoint(story, secret)
        stack.callback(endpoint.stop)
        node = Emulator(password=secrets.token_urlsafe(24))
        node.start()
        stack.callback(node.stop)
        config_file = folder / "switchroom.toml"
        config_file.write_text(_configuration(api_key, secret, endpoint, node, once))
        system = System(load(config_file, {}), api)
        system.start()
        stack.callback(system.stop)
        ended = Event()
        # In a greenlet, so that a Ctrl-C ends it.
        walking = gevent.spawn(_walk, Walk(story, system.address or "", api_key, endpoint), node)
        walking.rawlink(lambda _: ended.set())
        stop.rawlink(lambda _: ended.set())
        ended.wait()
        if not walking.ready():
            walking.kill()
            return True
        difference = str(walking.get())
        if difference:
            console.print(Text(f"\nDiffered: {escaped(difference)}", style="bold red"))
        else:
            story.title("All went as expected.")
        if not once:
            address, tone = system.address or "", endpoint.tone(TONES[0])
            console.print(_go_on(address, api_key, tone, config_file))
            if env_file:
                variables = {"base": address + API, "key": api_key, "tone": tone, "config": str(config_file)}
                _write_variables(env_file, variables)
                stack.callback(env_file.unlink, missing_ok=True)
            stop.wait()
    return not difference


def _walk(walk: Walk, node: Emulator) -> str:
    """-> what differed, or nothing."""
    try:
        walk.run(node)
    except Differed as difference:
        return str(difference)
    return ""


def _configuration(api_key: str, secret: str, endpoint: Endpoint, node: Emulator, once: bool) -> str:
    """The file of which everything is made, and which other commands can read."""
    return f"""\
[server]
listen = "127.0.0.1:{0 if once else _port()}"

[store]
data_dir = "data"

[[nodes]]
prefix = "{PREFIX}"
esl = "{node.address[0]}:{node.address[1]}"
password = "{node.password}"

[[apps]]
id = "{APP_ID}"
api_key = "{api_key}"
webhook_url = "{endpoint.url}/webhooks"
webhook_secret = "{secret}"
dids = ["{DID}"]

# Its endpoint and its audio are on this machine.
[webhooks]
allow_private_networks = true

[playback]
allow_private_networks = true
"""


def _port() -> int:
    """The usual port if it is free: easy to remember. Otherwise any."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", USUAL_PORT))
        except OSError:
            return 0
    return USUAL_PORT


def _go_on(address: str, api_key: str, tone: str, config_file: Path) -> Text:
    keys = f"-H 'X-App-ID: {APP_ID}' -H 'X-API-Key: {api_key}'"
    body = "-H 'Content-Type: application/json' -d '{\"name\": \"my-room\"}'"
    return Text(
        f"\nServing until Ctrl-C on {address} (the API described: {address}/docs). The callers are still on the line.\n"
        f"App id {APP_ID}, API key {api_key}, something to play {tone}\n\n"
        f"  curl {keys} {address}{API}/sessions\n"
        f"  curl {keys} {body} {address}{API}/conferences\n\n"
        f"What happens inside, in another terminal:\n\n"
        f"  {shlex.quote(sys.argv[0])} tail --config {shlex.quote(str(config_file))} --since 10m\n"
    )


def _write_variables(file: Path, variables: Mapping[str, str]) -> None:
    """For a shell to read with `.`; for this user's eyes only."""
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
    try:
        file.unlink(missing_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
            opened.write(text)
    except OSError as error:
        raise CannotStart(f"cannot write {file}: {error.strerror}") from error


_TONE = re.compile(r"/tone-([1-9])s\.wav")


def _audio(path: str) -> tuple[str, str, bytes]:
    """A sound of as many seconds as the path says: one quiet 440 Hz tone, mono, 8 kHz."""
    found = _TONE.fullmatch(path)
    if not found:
        return "404 Not Found", "text/plain", b""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        second = b"".join(
            int(4000 * math.sin(2 * math.pi * 440 * frame / 8000)).to_bytes(2, "little", signed=True)
            for frame in range(8000)
        )
        sound.writeframes(second * int(found[1]))
    return "200 OK", "audio/wav", content.getvalue()
