"""`switchroom demo`."""

from __future__ import annotations

from pathlib import Path

import click

from switchroom.cli.base import Command
from switchroom.cli.signals import stop_signal
from switchroom.demo.run import run


@click.command(cls=Command, reads_file=False, context_settings={"default_map": {"log_level": "error"}})
@click.option("--once", is_flag=True, help="End after the walk; exit code 1 if anything differed.")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="While it serves: its base, key, tone and config as shell variables, for the tour in README.md.",
)
def demo(once: bool, env_file: Path | None) -> None:
    """Show the main job on two emulated nodes, and go on serving. Needs no configuration."""
    if not run(once, env_file, stop_signal()):
        raise click.exceptions.Exit(1)
