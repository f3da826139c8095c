"""`switchroom demo`: the whole system on two emulated nodes, walked through its main job, and then serving.

Everything but the media nodes is what `switchroom serve` runs. Whatever differs from what is expected ends the walk.
"""

from __future__ import annotations

import os
import secrets
import shlex
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import gevent
from gevent.event import Event as Flag
from rich.console import Console
from rich.text import Text

from controller.operators import OPERATE, Logins, Operators, link_url
from controller.registry import Registry
from controller.signing import new_secret
from esl.emulator import Emulator
from switchroom.client import Client
from switchroom.config import Config, load
from switchroom.demo import life
from switchroom.demo.endpoint import QUIET, Differed, Endpoint
from switchroom.demo.story import Story
from switchroom.demo.walk import API, APP_ID, CALLERS, DID, TONES, Walk
from switchroom.logs import escaped
from switchroom.processes import CannotStart, System
from switchroom.store import open_store

USUAL_PORT = 8080
OPERATOR = "demo"  # who is logged in by the link
LINK_SECONDS = 24 * 3600

EMULATED = (
    "The media nodes here are emulated, so nobody hears anything. For real calls, put a FreeSWITCH under [[nodes]] "
    "in switchroom.toml (see README.md) and run: switchroom serve"
)


def run(once: bool, env_file: Path | None, stop: Flag) -> bool:
    """Walk, and go on serving until `stop` unless `once`. Returns whether all went as expected.

    `env_file` holds meanwhile what a tour needs, as shell variables. Raises CannotStart if it cannot be written.
    """
    console = Console(soft_wrap=True, highlight=False)
    story = Story(console)
    api_key = secrets.token_urlsafe(24)
    secret = new_secret()
    console.print(Text(EMULATED, style="yellow"))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchroom-demo-")))
        endpoint = Endpoint(story, secret)
        stack.callback(endpoint.stop)
        nodes = {prefix: Emulator(password=secrets.token_urlsafe(24)) for prefix in CALLERS}
        for node in nodes.values():
            node.start()
            stack.callback(node.stop)
        config_file = folder / "switchroom.toml"
        life_key = secrets.token_urlsafe(24)
        config_file.write_text(_configuration(api_key, life_key, secret, endpoint, nodes, once))
        config = load(config_file, {})
        system = System(config)
        system.start()
        stack.callback(system.stop)
        ended = Flag()
        # In a greenlet, so that a Ctrl-C ends it.
        walking = gevent.spawn(_walk, Walk(story, system.address or "", api_key, endpoint), nodes)
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
            client = Client(address, app_id=life.APP_ID, api_key=life_key, retries=0)
            living = gevent.spawn(life.Life(client, nodes, endpoint.tone).run)
            stack.callback(client.close)
            stack.callback(living.kill)
            console.print(_go_on(address, _link(config, address), api_key, tone, config_file))
            if env_file:
                variables = {"base": address + API, "key": api_key, "tone": tone, "config": str(config_file)}
                _write_variables(env_file, variables)
                stack.callback(env_file.unlink, missing_ok=True)
            stop.wait()
    return not difference


def _walk(walk: Walk, nodes: Mapping[str, Emulator]) -> str:
    """Returns what differed, or nothing."""
    try:
        walk.run(nodes)
    except Differed as difference:
        return str(difference)
    return ""


def _link(config: Config, address: str) -> str:
    """A link that logs in to the console."""
    with open_store(config) as (store, _):
        Operators(store).add(OPERATOR, OPERATE)
        token = Logins(store, Registry(store), hours=config.console.session_hours).operator_link(OPERATOR, LINK_SECONDS)
    return link_url(address, token or "")


def _configuration(
    api_key: str, life_key: str, secret: str, endpoint: Endpoint, nodes: Mapping[str, Emulator], once: bool
) -> str:
    """The file of which everything is made, and which other commands can read."""
    return f"""\
[server]
listen = "127.0.0.1:{0 if once else _port()}"

[store]
data_dir = "data"

[media]
listen = "127.0.0.1:0"
{"".join(_node(prefix, node) for prefix, node in nodes.items())}
[[apps]]
id = "{APP_ID}"
api_key = "{api_key}"
webhook_url = "{endpoint.url}/webhooks"
webhook_secret = "{secret}"
dids = ["{DID}"]

[[apps]]
id = "{life.APP_ID}"
api_key = "{life_key}"
webhook_url = "{endpoint.url}{QUIET}"
webhook_secret = "{new_secret()}"
dids = ["{life.DID}"]

# Their endpoints and their audio are on this machine.
[webhooks]
allow_private_networks = true

[playback]
allow_private_networks = true
"""


def _node(prefix: str, node: Emulator) -> str:
    return f"""
[[nodes]]
prefix = "{prefix}"
esl = "{node.address[0]}:{node.address[1]}"
password = "{node.password}"
bridge = "{node.bridge}"
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


def _go_on(address: str, link: str, api_key: str, tone: str, config_file: Path) -> Text:
    keys = f"-H 'X-App-ID: {APP_ID}' -H 'X-API-Key: {api_key}'"
    body = "-H 'Content-Type: application/json' -d '{\"name\": \"my-room\"}'"
    switchroom, config = shlex.quote(sys.argv[0]), shlex.quote(str(config_file))
    return Text(
        f"\nServing until Ctrl-C on {address} (the API described: {address}/docs). The callers are still on the line.\n"
        f"\nThe console, in a browser; the link logs in, once. In the room {life.ROOM} people go on talking:\n\n"
        f"  {link}\n\n"
        f"App id {APP_ID}, API key {api_key}, something to play {tone}\n\n"
        f"  curl {keys} {address}{API}/sessions\n"
        f"  curl {keys} {body} {address}{API}/conferences\n\n"
        f"What happens inside, and another link, in another terminal:\n\n"
        f"  {switchroom} tail --config {config} --since 10m\n"
        f"  {switchroom} console-link {OPERATOR} --config {config}\n"
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
