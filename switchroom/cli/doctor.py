"""`switchroom doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.console import Console
from rich.text import Text

from switchroom.cli.base import Command, Context, as_json_option
from switchroom.cli.signals import interrupt_on_signals
from switchroom.config import find
from switchroom.doctor.examine import examine
from switchroom.doctor.finding import Finding
from switchroom.logs import escaped


@click.command(cls=Command, short_help="Find what is wrong, and say what to do about it.")
@as_json_option
@click.pass_obj
def doctor(context: Context, as_json: bool) -> None:
    """Check the store and every node, and say what to do about each fault. Exit code 1 if there is one."""
    interrupt_on_signals()
    console = Console(soft_wrap=True)
    findings = []
    for finding in examine(context.config(), find(context.config_file)):
        findings.append(finding)
        if not as_json:
            console.print(_line(finding))
    faults = sum(not finding.ok for finding in findings)
    if as_json:
        click.echo(json.dumps([{**asdict(finding), "ok": finding.ok} for finding in findings]))
    else:
        click.echo(f"{faults} of {len(findings)} checks need something done" if faults else "all is well")
    if faults:
        raise click.exceptions.Exit(1)


def _line(finding: Finding) -> Text:
    line = Text.assemble(
        ("ok   ", "green") if finding.ok else ("FAULT", "bold red"),
        f" {finding.subject:<13} {finding.check:<16} {escaped(finding.detail)}",
    )
    if not finding.ok:
        line.append(f"\n      -> {finding.advice}", style="bold")
    return line
