"""The group of all commands."""

from __future__ import annotations

import click

from switchroom.cli.app import app
from switchroom.cli.base import Context, Group
from switchroom.cli.demo import demo
from switchroom.cli.doctor import doctor
from switchroom.cli.listen import listen, trigger
from switchroom.cli.node import node
from switchroom.cli.operators import console_link, operator
from switchroom.cli.serve import serve
from switchroom.cli.tail import tail
from switchroom.cli.top import top
from switchroom.cli.webhooks import webhooks


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="switchroom")
@click.pass_context
def cli(context: click.Context) -> None:
    """A conference controller for FreeSWITCH."""
    context.ensure_object(Context)


COMMANDS = (
    *(serve, demo, app, node, operator, console_link),
    *(webhooks, listen, trigger, tail, top, doctor),
)

for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """The process's one call."""
    cli.main(prog_name="switchroom")
