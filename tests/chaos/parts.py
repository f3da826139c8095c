"""What a chaos run is made of: Switchroom's processes, the tenants and their webhook endpoints."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer
from standardwebhooks.webhooks import Webhook

from switchroom.client import APIError, Client, NoResponse
from switchroom.client import transport as wire
from tests.e2e.system import port_when_ready, resident

ENTRY = "tests.chaos.broken"
START_SECONDS = 120.0
STOP_SECONDS = 15.0
ANSWER_SECONDS = 6.0  # how long a tenant waits for an answer of the API
PROJECT = Path(__file__).parents[2]


def wait_until(what: str, predicate: Callable[[], object], seconds: float) -> None:
    """Poll something outside of this process. Raises AssertionError."""
    deadline = time.monotonic() + seconds
    while not predicate():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        gevent.sleep(0.02)


class Service:
    """`switchroom serve` in some roles, stopped in its tracks, killed and started again. `broken`: a seeded bug."""

    def __init__(self, name: str, folder: Path, config: Path, roles: tuple[str, ...], broken: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.frozen = False
        self.freezes = 0
        self.roles = roles
        self._process: subprocess.Popen[str] | None = None
        self.port = 0
        self._config = config
        self._environ = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROJECT)}
        self._module = ENTRY if broken else "switchroom"
        if broken:
            self._environ["CHAOS_BREAK"] = broken

    @property
    def runs(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        roles = [word for role in self.roles for word in ("--role", role)]
        command = [sys.executable, "-m", self._module, "serve", "--config", str(self._config), *roles]
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environ, cwd=self._config.parent
            )
        self.port = port_when_ready(self._process, self.log, START_SECONDS)

    def memory(self) -> int:
        """Resident bytes, 0 of a process that does not run."""
        return resident(self._process.pid) if self._process is not None else 0

    def freeze(self) -> None:
        if self._process is not None:
            self.frozen, self.freezes = True, self.freezes + 1
            self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
        self.frozen = False

    def end(self, how: signal.Signals, seconds: float = STOP_SECONDS) -> int | None:
        """The exit code, None if it did not run. Raises subprocess.TimeoutExpired."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(how)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(seconds)
            raise

    def kill(self) -> None:
        self.end(signal.SIGKILL)
        self.frozen = False


# What a tenant asks, with the client.
Ask = Callable[[Client], object]


@dataclass
class Request:
    """What a tenant asked. `status` is None when no answer came: it may have been carried out or not.

    `sent`: it went out. `stalled`: the process that it went to was stopped meanwhile.
    """

    tenant: str
    method: str = ""
    path: str = ""
    body: dict[str, Any] | None = None
    status: int | None = None
    answer: Any = None
    at: float = 0.0
    took: float = 0.0
    by: str = ""
    sent: bool = False
    stalled: bool = False

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.tenant} {self.method} {self.path} {self.body or ''} -> {self.status} {self.answer}"

    def send(self, service: Service, ask: Ask) -> None:
        """Ask once; whatever keeps the answer from coming leaves `status` None. Raises NoResponse for an answer that
        the client cannot read.
        """
        frozen, freezes = service.frozen, service.freezes
        self.by, self.at, started = service.name, time.time(), time.monotonic()
        url = f"http://127.0.0.1:{service.port}"
        options = {"timeout": ANSWER_SECONDS, "retries": 0, "transport": _Recorder(url, self)}
        try:
            with Client(url, app_id=self.tenant, api_key=key_of(self.tenant), **options) as client:
                ask(client)
        except APIError:
            pass  # As recorded.
        except NoResponse as error:
            if self.status is not None:
                raise
            self.sent, self.answer = error.sent, repr(error)
        finally:
            self.took = time.monotonic() - started
            self.stalled = frozen or service.freezes > freezes


class _Recorder(wire.HTTPTransport):
    """Notes what goes out and what comes."""

    def __init__(self, url: str, request: Request) -> None:
        super().__init__(url)
        self._noted = request

    def send(self, request: wire.Request) -> wire.Response:
        noted = self._noted
        noted.method, noted.path = request.method, request.target
        noted.body = json.loads(request.body) if request.body else None
        response = super().send(request)
        noted.sent, noted.status = True, response.status
        noted.answer = json.loads(response.body) if response.body else None
        return response


def key_of(tenant: str) -> str:
    return f"key-of-{tenant}-0123456789"


def secret_of(tenant: str) -> str:
    return "whsec_" + base64.b64encode(f"the secret of {tenant}, and no other's".encode()[:32].ljust(32, b".")).decode()


@dataclass
class Hook:
    """A webhook as it first came."""

    id: str
    tenant: str
    type: str
    data: dict[str, Any]
    at: float

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.id} {self.tenant} {self.type} {self.data}"


# A webhook that failed more often than that has stepped aside, and comes when it comes (docs/webhooks.md).
HOLDING = 2


@dataclass
class Endpoints:
    """The tenants' webhook endpoints. `mood` is what they answer: a status, or 0 for none at all."""

    take: Callable[[Hook], None]
    tenants: tuple[str, ...]
    mood: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    repeats: int = 0

    def __post_init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._refused: Counter[str] = Counter()
        self._aside: set[tuple[str, str]] = set()
        self._verifiers = {tenant: Webhook(secret_of(tenant)) for tenant in self.tenants}
        self._healed = Flag()
        self._server = WSGIServer(("127.0.0.1", 0), self._serve, log=None, error_log=None)
        self._server.start()

    def url(self, tenant: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{tenant}"

    def stepped_aside(self, tenant: str) -> bool:
        """Whether a webhook of that tenant is in the retry queue and has not come yet."""
        return any(tenant == whose for whose, _ in self._aside)

    def set(self, tenant: str, mood: int) -> None:
        self.mood[tenant] = mood
        self._healed.set()
        self._healed.clear()

    def close(self) -> None:
        self._server.stop(timeout=1)

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        tenant, body = environ["PATH_INFO"].strip("/"), environ["wsgi.input"].read()
        headers = {
            f"webhook-{name}": environ.get(f"HTTP_WEBHOOK_{name.upper()}", "")
            for name in ("id", "timestamp", "signature")
        }
        try:
            payload = self._verifiers[tenant].verify(body, headers)
        except Exception as error:
            self.problems.append(f"{tenant} got what it cannot verify: {error!r} {body!r}")
            start_response("400 Bad Request", [])
            return []
        identifier = headers["webhook-id"]
        mood = self.mood.get(tenant, 200)
        if mood == 0:
            self._healed.wait(20)
        if mood != 200:
            self._refused[identifier] += 1
            if self._refused[identifier] > HOLDING:
                self._aside.add((tenant, identifier))
            start_response(f"{mood or 504} Turned Away", [])
            return []
        if identifier in self._bodies:
            self.repeats += 1
            if self._bodies[identifier] != body:
                self.problems.append(f"{identifier} came again with another body: {body!r}")
        else:
            self._bodies[identifier] = body
            self.take(Hook(identifier, tenant, payload["type"], payload["data"], time.time()))
            self._aside.discard((tenant, identifier))
        start_response("200 OK", [])
        return []
