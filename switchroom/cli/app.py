"""`switchroom app`: the tenants."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace

import click

from controller.limits import MAX_RATE, QUOTAS, RATE, check_quotas
from controller.operators import COMMAND_LINE, OPERATE, VIEW
from controller.registry import new_app
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
from switchroom.config import AppConfig, check

COLUMNS = ("id", "dids", "webhook_url", "source")


@click.group(cls=Group)
def app() -> None:
    """Tenants: their key, their numbers, their webhook endpoint."""


@app.command()
@click.argument("app_id", metavar="ID")
@click.option("--did", "dids", multiple=True, help="A number whose calls belong to the app. Repeatable.")
@click.option("--webhook-url", help="Where its webhooks go.")
@as_json_option
@click.pass_obj
def add(context: Context, app_id: str, dids: Sequence[str], webhook_url: str | None, as_json: bool) -> None:
    """Add an app; its API key and webhook secret are shown this once."""
    shown_once = {"api_key": _new_key(), "webhook_secret": new_secret()}
    entry = check(AppConfig, {"id": app_id, "webhook_url": webhook_url, "dids": dids, **shown_once})
    with context.registry(create=True) as registry:
        if registry.app(app_id):
            raise click.ClickException(f"app {app_id} already exists; `app rotate-key` changes its key")
        try:
            registry.put_app(entry.to_app("cli"))
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


@app.command()
@click.argument("app_id", metavar="ID")
@as_json_option
@click.pass_obj
def rotate_key(context: Context, app_id: str, as_json: bool) -> None:
    """Give an app a new API key; the old one is refused within a second."""
    with context.registry() as registry:
        entry = changeable(registry.app(app_id), f"app {app_id}")
        api_key = _new_key()
        fresh = new_app(app_id, api_key)
        registry.put_app(replace(entry, key_salt=fresh.key_salt, key_hash=fresh.key_hash))
    print_fields({"id": app_id, "api_key": api_key}, as_json)


def _quotas(_context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    quotas = {}
    for text in given:
        name, _, limit = text.partition("=")
        if not limit.isdecimal():
            raise click.BadParameter(f"{text!r} is not NAME=NUMBER", param=option)
        quotas[name] = int(limit)
    try:
        check_quotas(quotas)
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error
    return quotas


@app.command("set")
@click.argument("app_id", metavar="ID")
@click.option(
    "--quota",
    "quotas",
    multiple=True,
    callback=_quotas,
    metavar="NAME=NUMBER",
    help=f"Of {', '.join((*QUOTAS, RATE))}. Repeatable.",
)
@click.option(
    "--requests-per-second",
    "rate",
    type=click.IntRange(1, MAX_RATE),
    help="How many it may send.  [default: as all apps, by the configuration]",
)
@as_json_option
@click.pass_obj
def set_quotas(context: Context, *, app_id: str, quotas: dict[str, int], rate: int | None, as_json: bool) -> None:
    """Give an app quotas of its own; shows all that it has then. In effect within a second."""
    if rate:
        quotas[RATE] = rate
    with context.registry() as registry:
        entry = existing(registry.app(app_id), f"app {app_id}")
        if quotas:
            entry = replace(changeable(entry, f"app {app_id}"), own_quotas={**entry.own_quotas, **quotas})
            registry.put_app(entry)
    print_fields(entry.quotas, as_json)


@app.command()
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
