"""The whole of Switchroom as a process, with what stands around it: the tenant's webhook endpoint and a media server."""

from __future__ import annotations

import base64
import http.client
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import gevent
from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer
from standardwebhooks.webhooks import Webhook

from switchroom.embedded import EmbeddedStore
from tests import webhook_data
from tests.e2e.gateway import DEAD
from tests.e2e.nodes import PREFIX

KEYS = {"alpha": "alpha-key-0123456789", "beta": "beta-key-0123456789"}
DIDS = {"alpha": "747713001", "beta": "747713002"}
# What they may dial, as whom, and for how long.
DESTINATIONS = {"alpha": ["+4930*", "112"], "beta": ["+4940*"]}
MAX_SECONDS = {"alpha": 3600, "beta": 1}
CALLER_ID = "+493098765432"
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes yes").decode()


class Receiver:
    """Takes webhooks, verifies each and what it says, and lets tests wait for them. `answers` may turn some away."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.ids: list[str] = []
        self.problems: list[str] = []
        self.answer: Callable[[dict[str, Any]], int] = lambda _: 200
        self._arrived = Flag()
        self._server = WSGIServer(("127.0.0.1", 0), self._take, log=None)
        self._server.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks"

    def _take(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        try:
            payload = Webhook(SECRET).verify(body, headers)
            webhook_data.check(payload["type"], payload["data"])
        except Exception as error:
            self.problems.append(f"{error!r}: {body!r}")
            start_response("400 Bad Request", [])
            return []
        status = self.answer(payload)
        if status == 200 and headers["webhook-id"] not in self.ids:
            self.ids.append(headers["webhook-id"])
            self.received.append(payload)
            self._arrived.set()
        start_response(f"{status} X", [])
        return []

    def of(self, **match: Any) -> list[dict[str, Any]]:
        """Those whose data holds `match`, in order of arrival."""
        return [hook for hook in self.received if match.items() <= hook["data"].items()]

    def types(self, **match: Any) -> list[str]:
        return [hook["type"] for hook in self.of(**match)]

    def wait(self, kind: str, timeout: float = 30.0, **match: Any) -> dict[str, Any]:
        """The data of the first webhook of that type and data. Raises AssertionError."""
        try:
            with gevent.Timeout(timeout):
                while True:
                    self._arrived.clear()
                    for hook in self.of(**match):
                        if hook["type"] == kind:
                            return dict(hook["data"])
                    self._arrived.wait()
        except gevent.Timeout:
            there = f"there is {self.types(**match)}; refused: {self.problems}"
            raise AssertionError(f"no {kind} with {match}; {there}") from None

    def close(self) -> None:
        self._server.stop()


class Media:
    """`/tone/SECONDS.wav` is a tone, its pitch, rate and channels as the query says; `/tone.mp3` is three seconds of
    the usual one. Everything else is missing."""

    def __init__(self) -> None:
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None)
        self._server.start()
        self.mp3 = self.url("tone.mp3")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def tone(self, seconds: float, mark: str = "", **how: int) -> str:
        """A URL of its own for each `mark`: nodes cache by URL. `how` is any of hertz, rate and channels."""
        query = "&".join([mark] * bool(mark) + [f"{name}={value}" for name, value in how.items()])
        return self.url(f"tone/{seconds}.wav" + (f"?{query}" if query else ""))

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = re.fullmatch(r"/tone/([\d.]+?)(\.wav|\.WAV)?", environ["PATH_INFO"])
        if found:
            how = {
                name: int(value) for name, value in re.findall(r"(hertz|rate|channels)=(\d+)", environ["QUERY_STRING"])
            }
            kind, data = "audio/wav", tone_wav(float(found[1]), **how)
        elif environ["PATH_INFO"] == "/tone.mp3":
            kind, data = "audio/mpeg", (Path(__file__).parent / "tone.mp3").read_bytes()
        else:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(data)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [data]

    def close(self) -> None:
        self._server.stop()


class Bucket:
    """An object store that takes what is put to it, once `refuses` is 0: that many are turned away before."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.refuses = 0
        self._server = WSGIServer(("127.0.0.1", 0), self._take, log=None)
        self._server.start()

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{name}?X-Signature=secret"

    def _take(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        if self.refuses:
            self.refuses -= 1
            start_response("503 Slow Down", [])
            return []
        assert (environ["REQUEST_METHOD"], environ["CONTENT_TYPE"]) == ("PUT", "audio/wav")
        assert environ["QUERY_STRING"] == "X-Signature=secret"
        self.files[environ["PATH_INFO"].removeprefix("/")] = body
        start_response("200 OK", [])
        return []

    def close(self) -> None:
        self._server.stop()


def tone_wav(seconds: float, hertz: int = 1000, rate: int = 8000, channels: int = 1) -> bytes:
    """A WAV of 16 bits with 8000 as its amplitude."""
    content = io.BytesIO()
    with wave.open(content, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        samples = (round(8000 / channels * math.sin(2 * math.pi * hertz * at / rate)) for at in range(rate))
        second = b"".join(sample.to_bytes(2, "little", signed=True) * channels for sample in samples)
        length = int(seconds * rate) * 2 * channels
        sound.writeframes((second * math.ceil(seconds))[:length])
    return content.getvalue()


class Answer:
    def __init__(self, status: int, headers: dict[str, str], text: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body: Any = json.loads(text) if text else None

    def __repr__(self) -> str:
        return f"{self.status} {self.body}"


def port_when_ready(process: subprocess.Popen[str], log: Path, seconds: float) -> int:
    """What `switchroom serve` says of its port, 0 if it has none. Raises AssertionError."""
    assert process.stdout is not None
    with gevent.Timeout(seconds, AssertionError(f"not ready: {log}")):
        line = process.stdout.readline()
    assert line.startswith("switchroom ready"), f"{line!r}; {log.read_text()[-2000:]}"
    found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
    return int(found[1]) if found else 0


def resident(pid: int) -> int:
    """Bytes of memory of a process, 0 of one that has ended."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


class EventSocket(Protocol):
    """What the configuration says of a node."""

    esl: str
    password: str
    sip: str


class Switchroom:
    """`switchroom serve` in a process of its own, on a data directory that survives it."""

    def __init__(
        self,
        folder: Path,
        nodes: Mapping[str, EventSocket],
        webhook_url: str,
        *roles: str,
        store: str = "",
        cluster: bool = False,
        requests_per_second: int = 1000,
        gateway: str = "",
        **playback: bool | int,
    ) -> None:
        """`gateway`: where they may dial, host:port; alpha also URIs there, and where nobody is. `playback`: keys of the configuration's section of that name."""
        self.folder = folder
        self.config = folder / "switchroom.toml"
        lines = ["[server]", 'listen = "127.0.0.1:0"', "[store]", f'data_dir = "{folder}/data"']
        if store:
            lines += [f'url = "{store}"', f"cluster = {str(cluster).lower()}"]
        lines += [
            "[media]",
            'listen = "127.0.0.1:0"',
            "[webhooks]",
            "allow_private_networks = true",
            "[recordings]",
            "allow_private_networks = true",
            "[playback]",
        ]
        playback = {"allow_private_networks": True, **playback}
        lines += [f"{name} = {json.dumps(value)}" for name, value in playback.items()]
        lines += ["[limits]", f"requests_per_second = {requests_per_second}"]
        for prefix, node in nodes.items():
            lines += [
                "[[nodes]]",
                f'prefix = "{prefix}"',
                f'esl = "{node.esl}"',
                f'password = "{node.password}"',
                f'sip = "{node.sip}"',
            ]
            for key in ("bridge", "hold_music"):
                if value := getattr(node, key, ""):
                    lines.append(f'{key} = "{value}"')
        for app, key in KEYS.items():
            lines += ["[[apps]]", f'id = "{app}"', f'api_key = "{key}"', f'webhook_url = "{webhook_url}"']
            lines += [f'webhook_secret = "{SECRET}"', f'dids = ["{DIDS[app]}"]']
            if gateway:
                allowed = [*DESTINATIONS[app], *([f"sip:*@{gateway}", f"sip:*@{DEAD}"] if app == "alpha" else [])]
                lines += ["[apps.dial]", 'gateway = "carrier"', f"destinations = {json.dumps(allowed)}"]
                lines += [f'caller_ids = ["{CALLER_ID}"]', "calls_at_once = 50", "calls_per_minute = 1000"]
                lines += ["calls_per_day = 10000", f"max_seconds = {MAX_SECONDS[app]}"]
        if gateway:
            lines += ["[[gateways]]", 'name = "carrier"', f'host = "{gateway}"']
        self.config.write_text("\n".join(lines) + "\n")
        self._roles = [word for role in roles for word in ("--role", role)]
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "switchroom",
            "serve",
            "--config",
            str(self.config),
            *self._roles,
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=(self.folder / "log").open("a"), text=True, cwd=self.folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        self.port = port_when_ready(self._process, self.folder / "log", 60)

    def wait_up(self, prefix: str = PREFIX, timeout: float = 40.0) -> None:
        """Until the node is reachable through it."""
        with gevent.Timeout(timeout, AssertionError(f"node {prefix} is not up")):
            while self.get("/readyz").body.get("nodes", {}).get(prefix) is not True:
                gevent.sleep(0.05)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def memory(self) -> int:
        """Resident bytes."""
        return resident(self.pid)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout: float = 40.0) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(how)
        code = self._process.wait(timeout)
        self._process = None
        return code

    def close(self) -> None:
        """Whatever state it is in: nothing of it runs on."""
        self.stop(signal.SIGKILL)
        store = EmbeddedStore(self.folder / "data")
        store.start()
        store.stop()

    def request(self, method: str, path: str, body: Any = None, app: str | None = "alpha", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if app:
            headers = {"X-App-ID": app, "X-API-Key": KEYS[app], **headers}
        text = None
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = "application/json"
        try:
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def file(self, path: str, app: str = "alpha") -> bytes:
        """What is no JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path, headers={"X-App-ID": app, "X-API-Key": KEYS[app]})
            response = connection.getresponse()
            assert response.status == 200, response.read()
            return response.read()
        finally:
            connection.close()

    def get(self, path: str, app: str | None = "alpha") -> Answer:
        return self.request("GET", path, app=app)

    def post(self, path: str, body: Any = None, app: str | None = "alpha") -> Answer:
        """Waits out a cooldown, as its 429 says to."""
        while True:
            answer = self.request("POST", path, body, app)
            if answer.status != 429:
                return answer
            gevent.sleep(answer.body["detail"]["retry_after_ms"] / 1000)

    def join_caller(self, hooks: Receiver, caller_id: str) -> tuple[str, str]:
        """Put the caller, of alpha's, into a room of its own. -> session and room id, when it has joined."""
        session = hooks.wait("session.started", caller_id=caller_id)["uuid"]
        room = self.post("/api/v1/conferences", {"name": "room-" + caller_id}).body["room_id"]
        assert self.post(f"/api/v1/sessions/{session}/commands/conference/join", {"room_id": room}).status == 202
        hooks.wait("conference.member.joined", uuid=session)
        return session, room
