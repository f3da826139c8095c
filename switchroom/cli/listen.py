"""`switchroom listen` and `switchroom trigger`: webhooks on a developer's machine.

Both work over the public API, from wherever the service runs. What webhooks hold is what callers chose; none of it
reaches the terminal unescaped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import click
import orjson

from controller.ids import webhook_id_of_test
from controller.live import GAP
from controller.outbound.network import Network
from controller.signing import new_secret, parse_secret, signed_headers
from controller.store import keys
from controller.webhooks.connection import AttemptFailed, Connections
from controller.webhooks.samples import sample_body
from controller.webhooks.types import DATA
from switchroom.cli.base import Command
from switchroom.cli.signals import interrupt_on_signals
from switchroom.client import Client, Event, SwitchroomError
from switchroom.logs import escaped

# Every webhook, and nothing else of the stream.
WEBHOOKS = ("conference.*", "session.*")
ATTEMPT_SECONDS = 15.0
SHOWN_ANSWER = 200  # characters of a failure's body


class Forwarder:
    """Posts webhooks to a URL, signed. Raises ValueError for a URL or a secret that cannot be used."""

    def __init__(self, url: str, secret: str) -> None:
        self._connections = Connections("", url, Network(allow_private=True))
        self._key = parse_secret(secret)

    def post(self, webhook_id: str, body: bytes) -> tuple[bool, str]:
        """Returns whether it was taken, and what came of it in words."""
        started = time.monotonic()
        headers = signed_headers([self._key], webhook_id, int(time.time()), body)
        try:
            response = self._connections.post(headers, body, ATTEMPT_SECONDS)
        except AttemptFailed as error:
            return False, f"{error} {_took(started)}"
        if 200 <= response.status < 300:
            return True, f"{response.status} {_took(started)}"
        said = response.body.decode("utf-8", "replace")[:SHOWN_ANSWER].strip()
        return False, f"{response.status} {_took(started)}" + (f": {said}" if said else "")


def _took(started: float) -> str:
    return f"in {(time.monotonic() - started) * 1000:.0f} ms"


def _service_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where the service is, and whose webhooks these are."""
    options = (
        click.option(
            "--url", default="http://127.0.0.1:8080", show_default=True, envvar="SWITCHROOM_URL", show_envvar=True,
            help="Where the service is.",
        ),
        click.option("--app", "app_id", envvar="SWITCHROOM_APP_ID", show_envvar=True, help="The app's id."),
        click.option("--key", "api_key", envvar="SWITCHROOM_API_KEY", show_envvar=True, help="Its API key."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _client(url: str, app_id: str | None, api_key: str | None) -> Client:
    if not app_id or not api_key:
        raise click.UsageError("give --app and --key, or set SWITCHROOM_APP_ID and SWITCHROOM_API_KEY")
    return Client(url, app_id=app_id, api_key=api_key)


def _forwarder(url: str, secret: str | None, option: str) -> Forwarder:
    """Signs with `secret`, or with a new one that it prints."""
    used = secret or new_secret()
    try:
        parse_secret(used)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--secret") from error
    try:
        forwarder = Forwarder(url, used)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    if not secret:
        click.echo(f"signed with the secret {used}")
    return forwarder


_secret_option = click.option(
    "--secret",
    envvar="SWITCHROOM_WEBHOOK_SECRET",
    show_envvar=True,
    help="What to sign with, such as the app's own secret; without it, a new one, which is shown.",
)


@click.command(cls=Command, reads_file=False, short_help="Bring an app's webhooks to this machine as they happen.")
@click.option("--forward-to", required=True, metavar="URL", help="Your endpoint, such as http://localhost:3000/hooks.")
@_service_options
@_secret_option
@click.option("--type", "types", multiple=True, help="Only this type, such as 'conference.play.*'. Repeatable.")
@click.option("--room", "rooms", multiple=True, help="Only this room. Repeatable.")
def listen(
    forward_to: str,
    url: str,
    app_id: str | None,
    api_key: str | None,
    secret: str | None,
    types: Sequence[str],
    rooms: Sequence[str],
) -> None:
    """Forward an app's webhooks to this machine as they happen, one after the other.

    From wherever the service runs, whether or not the app has an endpoint, which gets its own as ever. What fails here
    is shown and not sent again."""
    client = _client(url, app_id, api_key)
    forwarder = _forwarder(forward_to, secret, "--forward-to")
    interrupt_on_signals()
    try:
        with client.events(type=types or WEBHOOKS, room=rooms) as events:
            click.echo(f"ready: {escaped(url)} -> {escaped(forward_to)}")
            for event in events:
                _forward(event, forwarder)
    except SwitchroomError as error:
        raise click.ClickException(escaped(str(error))) from error
    except KeyboardInterrupt:
        pass


def _forward(event: Event, forwarder: Forwarder) -> None:
    if event.type == GAP:
        click.secho(f"{_clock()}  some webhooks are not kept any longer, and are missing here", fg="yellow")
    elif event.webhook_id:  # `--type '*'` also brings lines of the event log
        body = orjson.dumps({name: value for name, value in event.body.items() if name != "webhook_id"})
        is_taken, said = forwarder.post(event.webhook_id, body)
        click.echo(f"{_clock()}  {escaped(event.type):<32}  {escaped(event.webhook_id)}  ", nl=False)
        click.secho(escaped(said), fg="green" if is_taken else "red")


def _clock() -> str:
    return datetime.now().strftime("%H:%M:%S")


@click.command(cls=Command, reads_file=False, short_help="Send a sample of a type of webhook.")
@click.argument("type_", metavar="TYPE", type=click.Choice(tuple(DATA)))
@click.option("--to", metavar="URL", help="Where to send it; without it, the app's own endpoint, by the service.")
@_service_options
@_secret_option
def trigger(type_: str, to: str | None, url: str, app_id: str | None, api_key: str | None, secret: str | None) -> None:
    """Send a sample of a type of webhook, and show what came of it. Exit code 1 if it was not taken.

    The ids in it are nobody's, and its own begins with msg_test-."""
    if to:
        now, owner = int(time.time() * 1000), app_id or "demo"
        webhook_id = webhook_id_of_test(keys.partition_of(owner), f"{now}-0")
        is_taken, said = _forwarder(to, secret, "--to").post(webhook_id, sample_body(type_, owner, webhook_id, now))
    else:
        is_taken, webhook_id, said = _send_by_service(_client(url, app_id, api_key), type_)
    click.echo(f"{type_}  {escaped(webhook_id)}  {escaped(said)}")
    if not is_taken:
        raise click.exceptions.Exit(1)


def _send_by_service(client: Client, type_: str) -> tuple[bool, str, str]:
    try:
        sent = client.send_test(type_)
    except SwitchroomError as error:
        raise click.ClickException(f"not sent: {escaped(str(error))}") from error
    said = f"{sent.status or sent.error} in {sent.latency_ms} ms"
    if not sent.delivered and sent.answer:
        said += f": {sent.answer[:SHOWN_ANSWER].strip()}"
    return sent.delivered, sent.webhook_id, said
