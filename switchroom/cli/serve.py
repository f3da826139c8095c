"""`switchroom serve`."""

from __future__ import annotations

from collections.abc import Sequence

import click

from switchroom.cli.base import Command, Context
from switchroom.cli.signals import stop_signal
from switchroom.config import find, shown_file
from switchroom.doctor.examine import lacking
from switchroom.processes import ROLES, System


@click.command(cls=Command, short_help="Run Switchroom, whole or by role.")
@click.option(
    "--role",
    "roles",
    type=click.Choice([*ROLES, "all"]),
    multiple=True,
    default=("all",),
    show_default=True,
    help="What this process does. Can be given more than once.",
)
@click.pass_obj
def serve(context: Context, roles: Sequence[str]) -> None:
    """Serve the REST API, drive the nodes, deliver the webhooks, relay audio to the nodes."""
    stop = stop_signal()
    system = System(context.config(), ROLES if "all" in roles else roles)
    system.start()
    where = f" on {system.address}" if system.address else ""
    click.echo(f"switchroom ready{where} (roles: {', '.join(system.roles)})")
    click.echo(f"configuration: {shown_file(find(context.config_file))}")
    for finding in lacking(system.registry.nodes(), system.registry.apps()):
        click.echo(f"no {finding.subject} yet: {finding.advice}")
    stop.wait()
    system.stop()
