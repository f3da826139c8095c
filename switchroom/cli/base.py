"""What all commands share: the configuration and the store, options, faults as one line, output."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from controller.controller import Controller
from controller.errors import Refused, StoreUnavailable
from controller.operators import Logins
from controller.registry import App, Node, Registry
from controller.rooms.placement import Placement
from switchroom import logs
from switchroom.cli import tables
from switchroom.config import Config, ConfigError, load
from switchroom.embedded import EmbeddedStoreError
from switchroom.processes import CannotStart
from switchroom.store import open_store

Found = TypeVar("Found")
Entry = TypeVar("Entry", App, Node)


class _BadInput(click.ClickException):
    exit_code = 2


# What may go wrong without being a mistake in the program.
FAULTS: dict[type[Exception], type[click.ClickException]] = {
    ConfigError: _BadInput,
    CannotStart: click.ClickException,
    EmbeddedStoreError: click.ClickException,
    StoreUnavailable: click.ClickException,
    Refused: click.ClickException,
}


@dataclass(slots=True)
class Context:
    """What every command gets. The configuration is read when a command needs it. A store that does not exist is
    created only by commands that have something to put into it.
    """

    config_file: Path | None = None

    def config(self) -> Config:
        return load(self.config_file, os.environ)

    @contextmanager
    def registry(self, *, create: bool = False) -> Iterator[Registry]:
        with open_store(self.config(), create=create) as (store, _):
            yield Registry(store)

    @contextmanager
    def logins(self, *, create: bool = False) -> Iterator[tuple[Logins, Registry]]:
        config = self.config()
        with open_store(config, create=create) as (store, _):
            registry = Registry(store)
            yield Logins(store, registry, hours=config.console.session_hours), registry

    @contextmanager
    def controller_for(self, app_id: str) -> Iterator[Controller]:
        """To ask on behalf of an app, which must exist."""
        with open_store(self.config(), create=False) as (store, _):
            registry = Registry(store)
            existing(registry.app(app_id), f"app {app_id}")
            yield Controller(store, registry, Placement(store, registry))


class Command(click.Command):
    """A command with the options that all have, and with expected faults as one line. One that `reads_file` takes the
    configuration's; the others take the option as well, but do not show it.
    """

    def __init__(self, *args: Any, reads_file: bool = True, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += [
            click.Option(
                ["--config", "config_file"],
                type=click.Path(path_type=Path, dir_okay=False),
                envvar="SWITCHROOM_CONFIG",
                show_envvar=True,
                hidden=not reads_file,
                show_default="switchroom.toml if it is there",
                help="The TOML file.",
            ),
            click.Option(
                ["--log-level"],
                type=click.Choice(logs.LEVELS),
                default="info",
                show_default=True,
                envvar="SWITCHROOM_LOG_LEVEL",
                show_envvar=True,
                help="What is worth a line on stderr.",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        ctx.ensure_object(Context).config_file = ctx.params.pop("config_file")
        logs.configure(ctx.params.pop("log_level"))
        try:
            return super().invoke(ctx)
        except tuple(FAULTS) as error:
            raise FAULTS[type(error)](str(error)) from error


class Group(click.Group):
    command_class = Command


as_json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


def existing(entry: Found | None, name: str) -> Found:
    if entry is None:
        raise click.ClickException(f"{name} not found")
    return entry


def changeable(entry: Entry | None, name: str) -> Entry:
    """What comes from the file is changed there: the next start would undo what was done here."""
    found = existing(entry, name)
    if found.source == "file":
        raise click.ClickException(f"{name} comes from the configuration file; change it there and restart")
    return found


def print_fields(fields: Mapping[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(fields) if as_json else tables.fields(fields, _width()))


def print_table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    click.echo(json.dumps(rows) if as_json else tables.table(columns, rows, _width()))


def _width() -> int | None:
    """Of the terminal; None when the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
