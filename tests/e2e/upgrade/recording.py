"""A store that an older version left behind, and what stood around it: how it is written down and set up again.

`store.json` is the recording, `record.py` makes one. Stored values name the node's address and the endpoint's URL, and
fingerprints are made of the latter, so both are the same in every run: of a loopback network that nothing else uses.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import gevent
import redis
from gevent.event import Event as Flag
from gevent.pywsgi import WSGIServer
from standardwebhooks.webhooks import Webhook

from esl import commands
from esl.emulator import Emulator, Sound, StaticMedia
from tests.e2e.system import Answer, Switchroom

FILE = Path(__file__).parent / "store.json"
PREFIX = "acW68"
NODE = ("127.0.11.1", 18021)
ENDPOINT = ("127.0.11.1", 18080)
ENDPOINT_URL = "http://{}:{}".format(*ENDPOINT)
PASSWORD = "emulated-secret"
API_KEY = "alpha-key-0123456789"
SECRET = "whsec_YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyB5ZXM="
LONG = tuple(f"http://media.example.com/long-{number}.wav" for number in range(5))
SHORT = tuple(f"http://media.example.com/short-{number}.wav" for number in range(3))
SLOW = "http://media.example.com/slow.wav"
# One app is the configuration's; the others and the node were added by command.
CONFIG = f"""\
[server]
listen = "127.0.0.1:0"
[store]
url = "{{store}}"
[webhooks]
allow_private_networks = true
[playback]
allow_private_networks = true
[[apps]]
id = "alpha"
api_key = "{API_KEY}"
webhook_url = "{ENDPOINT_URL}/moved"
webhook_secret = "{SECRET}"
dids = ["747713001"]
"""


def service(folder: Path, store_url: str, *roles: str) -> Switchroom:
    """`switchroom serve`, yet to be started."""
    found = Switchroom(folder, {}, "", *roles, store=store_url)
    found.config.write_text(CONFIG.format(store=store_url))
    return found


class App:
    """An app at the API."""

    def __init__(self, api: Switchroom, app_id: str, key: str) -> None:
        self._api = api
        self._headers = {"X-App-ID": app_id, "X-API-Key": key}

    def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return self._api.request(method, f"/api/v1{path}", body, None, **self._headers)

    def get(self, path: str) -> Any:
        answer = self.ask("GET", path)
        assert answer.status == 200, (path, answer)
        return answer.body

    def do(self, method: str, path: str, body: Any = None) -> Any:
        """Waits out a cooldown."""
        while (answer := self.ask(method, path, body)).status == 429:
            gevent.sleep(answer.body["detail"]["retry_after_ms"] / 1000)
        assert answer.status in (200, 201, 202), (path, answer)
        return answer.body


class Endpoint:
    """Where all apps' webhooks go. `status` says what to answer, from path and payload."""

    def __init__(self) -> None:
        self.status: Callable[[str, dict[str, Any]], int] = lambda _path, _payload: 200
        # By app, those with each of which a webhook must be signed.
        self.secrets: dict[str, list[str]] = {}
        # Webhooks that were answered by 200: their ids and payloads.
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.problems: list[str] = []
        self._arrived = Flag()
        _wait_until_free(ENDPOINT)
        self._server = WSGIServer(ENDPOINT, self._take, log=None)
        self._server.start()

    def _take(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        headers = {name[5:].replace("_", "-").lower(): text for name, text in environ.items() if "HTTP_" in name}
        payload = json.loads(body)
        try:
            for secret in self.secrets.get(payload["data"]["app_id"], []):
                Webhook(secret).verify(body, headers)
        except Exception as error:
            self.problems.append(f"{error!r}: {body!r}")
        status = self.status(environ["PATH_INFO"], payload)
        if status == 200:
            self.taken.append((headers["webhook-id"], payload))
        self._arrived.set()
        start_response(f"{status} X", [("Content-Length", "0")])
        return []

    def of(self, kind: str, **match: Any) -> list[dict[str, Any]]:
        """The data of those of a type whose data holds `match`."""
        found = [payload["data"] for _, payload in self.taken if payload["type"] == kind]
        return [data for data in found if match.items() <= data.items()]

    def wait(self, kind: str, timeout: float = 20.0, **match: Any) -> dict[str, Any]:
        """The data of the first of them."""
        self.wait_until(lambda: self.of(kind, **match), f"no {kind} with {match}", timeout)
        return self.of(kind, **match)[0]

    def wait_until(self, condition: Callable[[], object], problem: str, timeout: float = 20.0) -> None:
        with gevent.Timeout(timeout, AssertionError(problem)):
            while not condition():
                self._arrived.wait(0.1)
                self._arrived.clear()

    def close(self) -> None:
        self._server.stop()


# The node


def new_node() -> Emulator:
    """At the recorded address, not started."""
    sounds = {url: Sound(600) for url in LONG} | {url: Sound(0.2) for url in SHORT} | {SLOW: Sound(600, 600)}
    _wait_until_free(NODE)
    return Emulator(PASSWORD, *NODE, media=StaticMedia(sounds))


def tell(node: Emulator, command: commands.Command | str) -> str:
    name, _, argument = (command if isinstance(command, str) else command.render()).partition(" ")
    return node.execute(name, argument)


def describe(node: Emulator) -> dict[str, Any]:
    """Its calls, in their order, and what it plays."""
    calls = [
        {
            "channel": call.uuid,
            "did": call.first_profile.destination,
            "caller_id": call.profile.number,
            "member_id": call.member_id,
            "room": call.conference,
            "muted": call.member is not None and call.member.muted,
        }
        for call in node.channels.values()
    ]
    plays = {
        name: {"files": [file.file for file in room.queue], "paused": bool(room.playing and room.playing.paused)}
        for name, room in node.conferences.items()
    }
    return {"core_uuid": node.core_uuid, "calls": calls, "plays": plays}


def rebuild(node: Emulator, described: dict[str, Any]) -> None:
    node.core_uuid = described["core_uuid"]
    for call in described["calls"]:
        channel = node.call(to=call["did"], caller_id_number=call["caller_id"])
        del node.channels[channel.uuid]
        channel.uuid, channel.member_id = call["channel"], call["member_id"]
        node.channels[channel.uuid] = channel
        node.show(channel)
        if call["room"]:
            tell(node, commands.Join(channel.uuid, call["room"], node.default_profile))
            node.wait_for(lambda joining=channel: joining.member is not None)
            if not call["muted"]:
                tell(node, f"conference {call['room']} unmute {channel.member_id}")
    node.members_so_far = max(call["member_id"] for call in described["calls"])
    for room, played in described["plays"].items():
        for file in played["files"]:
            tell(node, f"conference {room} play {file}")
        if played["paused"]:
            tell(node, commands.PausePlay(room))


# The store


def dump(client: redis.Redis) -> dict[str, Any]:
    """Every key: its type, its value and, unless it stays for good, the milliseconds that are left of it."""
    found = {}
    for key in sorted(client.keys()):
        kind, left = client.type(key).decode(), client.pttl(key)
        if kind != "none":
            found[_text(key)] = {
                "type": kind,
                **({"left": left} if left > 0 else {}),
                "value": _READ[kind](client, key),
            }
    return found


def load(client: redis.Redis, recording: dict[str, Any], spare: float = 0.0) -> None:
    """Into an empty store, with as much time left as there was, and `spare` seconds more for what a node must confirm.

    Only what lies ahead is moved. Ids keep the times of the recording, and so does what tells when something was.
    """
    later = round(time.time() * 1000) - recording["recorded_at"]
    for key, stored in recording["store"].items():
        name, value = key.split(":")[1], stored["value"]
        if name in _MOVED:
            value = _MOVED[name](value, later + (round(spare * 1000) if name == "due" else 0))
        _WRITE[stored["type"]](client, key, value)
        if "left" in stored:
            client.pexpire(key, stored["left"])


def _move_scores(value: dict[str, int], later: int) -> dict[str, int]:
    return {item: at + later for item, at in value.items()}


def _move_field(name: str) -> Callable[[dict[str, str], int], dict[str, str]]:
    return lambda value, later: {**value, **({name: str(int(value[name]) + later)} if name in value else {})}


# By key. What stepped aside is due by now: nobody wants to wait for two minutes.
_MOVED: dict[str, Callable[[Any, int], Any]] = {
    "due": _move_scores,
    "dispatchers": _move_scores,
    "workers": _move_scores,
    "dispatcher": _move_field("until"),
    "endpoint": _move_field("old_until"),
    "held": lambda value, later: {entry: _move_retry(retry, later) for entry, retry in value.items()},
    "rate": lambda value, later: str(int(value) + later * 1000),
    "aside": lambda value, _later: dict.fromkeys(value, 0),
    "asides": lambda value, _later: dict.fromkeys(value, 0),
}


def _move_retry(retry: str, later: int) -> str:
    attempts, at = retry.split()
    return f"{attempts} {int(at) + later}"


def _read_stream(client: redis.Redis, key: bytes) -> dict[str, Any]:
    entries = {_text(entry): _texts(fields) for entry, fields in client.xrange(key)}
    return {"last": _text(client.xinfo_stream(key)["last-generated-id"]), "entries": entries}


def _write_stream(client: redis.Redis, key: str, value: dict[str, Any]) -> None:
    for entry, fields in value["entries"].items():
        client.xadd(key, fields, entry)
    if value["last"] not in value["entries"]:
        client.xdel(key, client.xadd(key, {"removed": ""}, value["last"]))


_READ: dict[str, Callable[[Any, bytes], Any]] = {
    "string": lambda client, key: _text(client.get(key)),
    "hash": lambda client, key: _texts(client.hgetall(key)),
    "list": lambda client, key: [_text(item) for item in client.lrange(key, 0, -1)],
    "set": lambda client, key: sorted(map(_text, client.smembers(key))),
    "zset": lambda client, key: {_text(item): int(score) for item, score in client.zrange(key, 0, -1, withscores=True)},
    "stream": _read_stream,
}
_WRITE: dict[str, Callable[[Any, str, Any], object]] = {
    "string": lambda client, key, value: client.set(key, _bytes(value)),
    "hash": lambda client, key, value: client.hset(key, mapping=value),
    "list": lambda client, key, value: client.rpush(key, *value),
    "set": lambda client, key, value: client.sadd(key, *value),
    "zset": lambda client, key, value: client.zadd(key, value),
    "stream": _write_stream,
}


def _texts(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}


def _text(value: bytes | str) -> str:
    """Text as it is, other bytes as `hex:...`."""
    try:
        return value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        return f"hex:{value.hex()}"


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def _wait_until_free(address: tuple[str, int]) -> None:
    """Another run on this machine may have it."""
    with gevent.Timeout(20, AssertionError(f"{address} is taken")):
        while True:
            try:
                socket.create_server(address).close()
            except OSError:
                gevent.sleep(0.2)
            else:
                return
