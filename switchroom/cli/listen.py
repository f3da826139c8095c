"""`switchroom listen` and `switchroom trigger`: webhooks on a developer's machine.

Both work over the public API, from wherever the service runs. What webhooks hold is what callers chose; none of it
reaches the terminal unescaped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import click
import gevent
import orjson

from controller.ids import webhook_id_of_test
from controller.live import GAP
from controller.outbound.network import Network
from controller.signing import new_secret, parse_secret, sign
from controller.store import keys
from controller.webhooks.connection import AttemptFailed, Connections
from controller.webhooks.samples import sample_body
from controller.webhooks.types import DATA
from switchroom.cli.base import Command
from switchroom.cli.signals import interrupt_on_signals
from switchroom.logs import escaped
from switchroom.remote import Denied, Remote, ServerEvent, Unreachable

# Every webhook, and nothing else of the stream.
WEBHOOKS = "conference.*,session.*"
ATTEMPT_SECONDS = 15.0
RETRY_SECONDS = 2.0
SHOWN_ANSWER = 200  # characters of a failure's body


class Forwarder:
    """Posts webhooks to a URL, signed. Raises ValueError for a URL or a secret that cannot be used."""

    def __init__(self, url: str, secret: str) -> None:
        self._connections = Connections("", url, Network(allow_private=True))
        self._key = parse_secret(secret)

    def post(self, webhook_id: str, body: bytes) -> tuple[bool, str]:
        """Returns whether it was taken, and what came of it in words."""
        now, started = int(time.time()), time.monotonic()
        headers = {
            "webhook-id": webhook_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign([self._key], webhook_id, now, body),
        }
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


def _remote_options(command: Callable[..., Any]) -> Callable[..., Any]:
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


def _remote(url: str, app_id: str | None, api_key: str | None) -> Remote:
    if not app_id or not api_key:
        raise click.UsageError("give --app and --key, or set SWITCHROOM_APP_ID and SWITCHROOM_API_KEY")
    try:
        return Remote(url, app_id, api_key)
    except ValueError as error:
        raise click.BadParameter(f"it {error}", param_hint="--url") from error


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


@click.command(cls=Command)
@click.option("--forward-to", required=True, metavar="URL", help="Your endpoint, such as http://localhost:3000/hooks.")
@_remote_options
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
    remote = _remote(url, app_id, api_key)
    forwarder = _forwarder(forward_to, secret, "--forward-to")
    interrupt_on_signals()
    query = {"type": ",".join(types) or WEBHOOKS, "room": ",".join(rooms)}
    try:
        for event in follow(remote, query, lambda: click.echo(f"ready: {escaped(url)} -> {escaped(forward_to)}")):
            _forward(event, forwarder)
    except Denied as error:
        raise click.ClickException(escaped(str(error))) from error
    except KeyboardInterrupt:
        pass


def follow(remote: Remote, query: dict[str, str], ready: Callable[[], None]) -> Iterator[ServerEvent]:
    """The events of a stream, which is taken up again where it broke off, as often as it does. `ready`: called once it
    is open. Raises Denied when trying again does not help, also when the service cannot be reached at first.
    """
    last_id, was_lost = "", False
    while True:
        problem, wait = "the stream has ended", RETRY_SECONDS
        try:
            for event in remote.events(last_id, **query):
                if not last_id:
                    ready()
                elif was_lost:
                    click.echo(f"{_clock()}  connected again", err=True)
                was_lost, last_id = False, event.id
                if event.data:
                    yield event
        except Unreachable as error:
            problem = str(error)
        except Denied as error:
            if error.status not in (429, 503) or not last_id:
                raise
            problem, wait = str(error), error.retry_after or RETRY_SECONDS
        if not last_id:
            raise click.ClickException(f"the service cannot be reached: {problem}")
        if not was_lost:
            click.echo(f"{_clock()}  {escaped(problem)}; trying again until it is back", err=True)
        was_lost = True
        gevent.sleep(wait)


def _forward(event: ServerEvent, forwarder: Forwarder) -> None:
    if event.name == GAP:
        click.secho(f"{_clock()}  some webhooks are not kept any longer, and are missing here", fg="yellow")
        return
    body, webhook_id = _webhook(event.data)
    if not webhook_id:  # `--type '*'` also brings lines of the event log
        return
    is_taken, said = forwarder.post(webhook_id, body)
    click.echo(f"{_clock()}  {escaped(event.name):<32}  {escaped(webhook_id)}  ", nl=False)
    click.secho(escaped(said), fg="green" if is_taken else "red")


def _webhook(data: bytes) -> tuple[bytes, str]:
    """The body as the app's endpoint gets it, and the id; empty for what is no webhook."""
    found = orjson.loads(data)
    webhook_id = str(found.pop("webhook_id", ""))
    return orjson.dumps(found), webhook_id


def _clock() -> str:
    return datetime.now().strftime("%H:%M:%S")


@click.command(cls=Command)
@click.argument("type_", metavar="TYPE", type=click.Choice(tuple(DATA)))
@click.option("--to", metavar="URL", help="Where to send it; without it, the app's own endpoint, by the service.")
@_remote_options
@_secret_option
def trigger(type_: str, to: str | None, url: str, app_id: str | None, api_key: str | None, secret: str | None) -> None:
    """Send a sample of a type of webhook, and show what came of it. Exit code 1 if it was not taken.

    The ids in it are nobody's, and its own begins with msg_test-."""
    if to:
        now, owner = int(time.time() * 1000), app_id or "demo"
        webhook_id = webhook_id_of_test(keys.partition_of(owner), f"{now}-0")
        is_taken, said = _forwarder(to, secret, "--to").post(webhook_id, sample_body(type_, owner, webhook_id, now))
    else:
        is_taken, webhook_id, said = _send_by_service(_remote(url, app_id, api_key), type_)
    click.echo(f"{type_}  {escaped(webhook_id)}  {escaped(said)}")
    if not is_taken:
        raise click.exceptions.Exit(1)


def _send_by_service(remote: Remote, type_: str) -> tuple[bool, str, str]:
    try:
        sent = remote.post("/webhooks/endpoint/test", {"type": type_})
    except (Denied, Unreachable) as error:
        raise click.ClickException(f"not sent: {escaped(str(error))}") from error
    said = f"{sent['status'] or sent['error']} in {sent['latency_ms']} ms"
    if not sent["delivered"] and sent["answer"]:
        said += f": {sent['answer'][:SHOWN_ANSWER].strip()}"
    return bool(sent["delivered"]), str(sent["webhook_id"]), said
