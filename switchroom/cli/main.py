"""The group of all commands. A command's module is imported when the command is wanted: all take a second together."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

# Command: its module in this package. The function there has its name, with `_` for `-`.
MODULES = {
    "app": "app",
    "console-link": "operators",
    "demo": "demo",
    "doctor": "doctor",
    "listen": "listen",
    "node": "node",
    "operator": "operators",
    "serve": "serve",
    "tail": "tail",
    "top": "top",
    "trigger": "listen",
    "webhooks": "webhooks",
}


class Commands(click.Group):
    def list_commands(self, _: click.Context) -> list[str]:
        return list(MODULES)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in MODULES:
            return None
        module = import_module(f"switchroom.cli.{MODULES[name]}")
        return cast(click.Command, getattr(module, name.replace("-", "_")))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="switchroom")
def cli() -> None:
    """A conference controller for FreeSWITCH."""


def main() -> None:
    """The process's one call."""
    cli.main(prog_name="switchroom")
