"""`switchroom operator`: who may log in to the console."""

from __future__ import annotations

import click

from controller.operators import OPERATE, ROLES, Operators, Role
from switchroom.cli.base import Command, Context, Group, as_json_option, existing, print_table
from switchroom.cli.links import lifetime_option, print_link
from switchroom.store import open_store

COLUMNS = ("name", "role", "password")


@click.group(cls=Group)
def operator() -> None:
    """Who may log in to the console."""


role_option = click.option(
    "--role",
    type=click.Choice(ROLES),
    default=OPERATE,
    show_default=True,
    help="view: look at everything, change nothing.",
)
password_option = click.option(
    "--password",
    envvar="SWITCHROOM_OPERATOR_PASSWORD",
    show_envvar=True,
    help="Of the account. Asked for if not given; a command line can be read by others.",
)


@operator.command()
@click.argument("name")
@role_option
@click.option("--no-password", is_flag=True, help="An account that is only logged in by `switchroom console-link`.")
@password_option
@click.pass_obj
def add(context: Context, *, name: str, role: Role, no_password: bool, password: str | None) -> None:
    """Add an operator."""
    given = "" if no_password else password or _ask()
    with open_store(context.config()) as (store, _):
        try:
            Operators(store).add(name, role, given)
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"operator {name} added")


@operator.command("list")
@as_json_option
@click.pass_obj
def list_operators(context: Context, as_json: bool) -> None:
    """List the operators."""
    with open_store(context.config(), create=False) as (store, _):
        found = Operators(store).all()
    rows = [{"name": each.name, "role": each.role, "password": bool(each.password)} for each in found]
    print_table(COLUMNS, rows, as_json)


@operator.command(short_help="Give an operator another password.")
@click.argument("name")
@password_option
@click.pass_obj
def passwd(context: Context, name: str, password: str | None) -> None:
    """Give an operator another password; whoever is logged in by that name no longer is."""
    with open_store(context.config(), create=False) as (store, _):
        operators = Operators(store)
        existing(operators.get(name), f"operator {name}")
        try:
            operators.set_password(name, password or _ask())
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"operator {name} has another password")


@operator.command(short_help="Give an operator another role.")
@click.argument("name")
@click.argument("role", type=click.Choice(ROLES))
@click.pass_obj
def role(context: Context, name: str, role: Role) -> None:
    """Give an operator another role; whoever is logged in by that name no longer is."""
    with open_store(context.config(), create=False) as (store, _):
        existing(Operators(store).set_role(name, role), f"operator {name}")
    click.echo(f"operator {name} has the role {role}")


@operator.command(short_help="Remove an operator.")
@click.argument("name")
@click.pass_obj
def remove(context: Context, name: str) -> None:
    """Remove an operator; whoever is logged in by that name no longer is."""
    with open_store(context.config(), create=False) as (store, _):
        existing(Operators(store).remove(name) or None, f"operator {name}")
    click.echo(f"operator {name} removed")


@click.command(cls=Command, short_help="Make a link that logs an operator in to the console.")
@click.argument("name")
@lifetime_option
@as_json_option
@click.pass_obj
def console_link(context: Context, *, name: str, seconds: int, as_json: bool) -> None:
    """Make a link that logs the operator NAME in to the console. It is good once; whoever has it is let in."""
    with context.logins() as (logins, _):
        token = existing(logins.operator_link(name, seconds), f"operator {name}")
    print_link(context.config(), token, seconds, as_json)


def _ask() -> str:
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True))
