"""`switchroom app`: the tenants."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, TypeVar

import click

from controller.limits import MAX_RATE, QUOTAS, RATE, check_quotas
from controller.operators import COMMAND_LINE, OPERATE, VIEW
from controller.registry import App, Dialing, Registry, new_app
from controller.signing import new_secret
from switchroom.cli.base import (
    Context,
    Group,
    as_json_option,
    changeable,
    existing,
    print_fields,
    print_table,
)
from switchroom.cli.links import lifetime_option, print_link
from switchroom.config import AppConfig, DialConfig, check

COLUMNS = ("id", "dids", "webhook_url", "source")
DEFAULT = "default"
F = TypeVar("F", bound=Callable[..., Any])


@click.group(cls=Group)
def app() -> None:
    """Tenants: their key, their numbers, their webhook endpoint."""


@app.command(short_help="Add an app, and show its key and its secret this once.")
@click.argument("app_id", metavar="ID")
@click.option("--did", "dids", multiple=True, help="A number whose calls belong to the app. Repeatable.")
@click.option("--webhook-url", help="Where its webhooks go.")
@as_json_option
@click.pass_obj
def add(context: Context, app_id: str, dids: Sequence[str], webhook_url: str | None, as_json: bool) -> None:
    """Add an app; its API key and webhook secret are shown this once."""
    shown_once = {"api_key": _new_key(), "webhook_secret": new_secret()}
    entry = check(AppConfig, {"id": app_id, "webhook_url": webhook_url, "dids": dids, **shown_once}).to_app("cli")

    def added(known: App | None) -> App:
        if known:
            raise click.ClickException(f"app {app_id} already exists; `app rotate-key` changes its key")
        return entry

    with context.registry(create=True) as registry:
        try:
            registry.change_app(app_id, added)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    print_fields({"id": app_id, **shown_once}, as_json)


@app.command("list")
@as_json_option
@click.pass_obj
def list_apps(context: Context, as_json: bool) -> None:
    """List the apps, without their secrets."""
    with context.registry() as registry:
        apps = sorted(registry.apps(), key=lambda app: app.id)
    print_table(COLUMNS, [{name: getattr(app, name) for name in COLUMNS} for app in apps], as_json)


@app.command(short_help="Give an app a new API key.")
@click.argument("app_id", metavar="ID")
@as_json_option
@click.pass_obj
def rotate_key(context: Context, app_id: str, as_json: bool) -> None:
    """Give an app a new API key; the old one is refused within a second."""
    api_key = _new_key()
    fresh = new_app(app_id, api_key)

    def rotated(known: App | None) -> App:
        return replace(changeable(known, f"app {app_id}"), key_salt=fresh.key_salt, key_hash=fresh.key_hash)

    with context.registry() as registry:
        registry.change_app(app_id, rotated)
    print_fields({"id": app_id, "api_key": api_key}, as_json)


@app.command(short_help="Show an app: its numbers, and what it may dial.")
@click.argument("app_id", metavar="ID")
@as_json_option
@click.pass_obj
def show(context: Context, app_id: str, as_json: bool) -> None:
    """Show an app: its numbers, its quotas, and what it may dial; not its secrets."""
    with context.registry() as registry:
        entry = existing(registry.app(app_id), f"app {app_id}")
    known = {name: getattr(entry, name) for name in COLUMNS}
    dial = asdict(entry.dial) if entry.dial else None
    as_lines = {**entry.quotas, **{f"dial {name}": value for name, value in (dial or {}).items()}}
    print_fields({**known, **({"quotas": entry.quotas, "dial": dial} if as_json else as_lines)}, as_json)


def _quotas(_context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, int | None]:
    """None for the default."""
    quotas: dict[str, int | None] = {}
    for text in given:
        name, _, limit = text.partition("=")
        if limit != DEFAULT and not limit.isdecimal():
            raise click.BadParameter(f"{text!r} is not NAME=NUMBER, nor NAME={DEFAULT}", param=option)
        # Python reads no number of thousands of digits; the first ones tell that it is too large.
        quotas[name] = None if limit == DEFAULT else int(limit.lstrip("0")[:20] or 0)
    try:
        check_quotas({name: 1 if limit is None else limit for name, limit in quotas.items()})
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error
    return quotas


def _rate(context: click.Context, option: click.Parameter, given: str | None) -> dict[str, int | None]:
    return {} if given is None else _quotas(context, option, [f"{RATE}={given}"])


def _dial_options(command: F) -> F:
    """An option for each key of `[apps.dial]`; one that may be given again and again for each list."""
    for name, field in reversed(DialConfig.model_fields.items()):
        is_list = field.annotation not in (str, int)
        words = f"--dial-{name.replace('_', '-')}".removesuffix("s" if is_list else "")
        description = field.description or ""
        about = f"{description[:1].upper()}{description[1:]}.{' Repeatable.' if is_list else ''}"
        type_ = int if field.annotation is int else str
        command = click.option(words, f"dial_{name}", type=type_, multiple=is_list, help=about)(command)
    return command


def _dialing(registry: Registry, old: Dialing | None, given: Mapping[str, Any]) -> Dialing:
    """What an app may dial: as before, but for what is given."""
    dialing = check(DialConfig, {**(asdict(old) if old else {}), **given}).to_dialing()
    if not registry.gateway(dialing.gateway):
        raise click.ClickException(f"there is no gateway {dialing.gateway}: name one of [[gateways]], and restart")
    return dialing


@app.command("set", short_help="Give an app quotas of its own, and let it dial.")
@click.argument("app_id", metavar="ID")
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    callback=_quotas,
    metavar=f"NAME=NUMBER|NAME={DEFAULT}",
    help=f"Of {', '.join((*QUOTAS, RATE))}. Repeatable.",
)
@click.option(
    "--requests-per-second",
    "rate",
    callback=_rate,
    metavar=f"NUMBER|{DEFAULT}",
    help=f"How many it may send, 1 to {MAX_RATE}; {DEFAULT}: as all apps, by the configuration.",
)
@_dial_options
@click.option("--no-dial", is_flag=True, help="It may dial nothing any more.")
@as_json_option
@click.pass_obj
def set_app(
    context: Context,
    /,
    *,
    app_id: str,
    quotas: dict[str, int | None],
    rate: dict[str, int | None],
    no_dial: bool,
    as_json: bool,
    **dial: Any,
) -> None:
    """Give an app quotas of its own, and let it dial; shows its quotas then, `app show` the rest.

    What is not given stays as it is. A list that is given takes the place of the whole list before. In effect within a
    second.
    """
    quotas.update(rate)
    given = {name.removeprefix("dial_"): value for name, value in dial.items() if value not in (None, ())}
    if no_dial and given:
        raise click.UsageError("--no-dial goes with no other --dial- option")
    with context.registry() as registry:

        def changed(known: App | None) -> App:
            before = changeable(known, f"app {app_id}")
            own = {name: limit for name, limit in {**before.own_quotas, **quotas}.items() if limit is not None}
            dialing = None if no_dial else _dialing(registry, before.dial, given) if given else before.dial
            return replace(before, own_quotas=own, dial=dialing)

        if quotas or given or no_dial:
            registry.change_app(app_id, changed)
        entry = existing(registry.app(app_id), f"app {app_id}")
    in_effect = {RATE: context.config().limits.requests_per_second, **entry.quotas}
    print_fields({name: in_effect[name] for name in (*QUOTAS, RATE)}, as_json)


@app.command(short_help="Make a link to an app's portal, the console of one app.")
@click.argument("app_id", metavar="ID")
@click.option("--view", is_flag=True, help="Only to look, and change nothing.")
@lifetime_option
@as_json_option
@click.pass_obj
def portal_link(context: Context, *, app_id: str, view: bool, seconds: int, as_json: bool) -> None:
    """Make a link to an app's portal: the console, cut to the app. It is good once; whoever has it is let in."""
    with context.logins() as (logins, registry):
        existing(registry.app(app_id), f"app {app_id}")
        token = logins.portal_link(app_id, VIEW if view else OPERATE, seconds, COMMAND_LINE)
    print_link(context.config(), token, seconds, as_json)


@app.command()
@click.argument("app_id", metavar="ID")
@click.pass_obj
def remove(context: Context, app_id: str) -> None:
    """Remove an app: its key is refused, its numbers are nobody's."""
    with context.registry() as registry:
        changeable(registry.app(app_id), f"app {app_id}")
        registry.remove_app(app_id)
    click.echo(f"app {app_id} removed")


def _new_key() -> str:
    return secrets.token_urlsafe(32)
