"""`switchroom node`: the FreeSWITCH instances."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, replace
from typing import Any

import click

from controller.errors import Fenced
from controller.nodes.node_worker import NodeUp
from controller.nodes.removal import Ended, end_all_on, left_on
from controller.outbound.addresses import is_found_from
from controller.registry import BRIDGE_PORT, Node, Registry
from controller.rooms.placement import Placement
from controller.store.store import Store
from switchroom.cli.base import Context, Group, as_json_option, changeable, existing, print_table
from switchroom.config import NodeConfig, check
from switchroom.store import open_store

COLUMNS = (
    *("prefix", "state", "rooms", "calls", "drained", "region", "weight", "capacity"),
    *("esl", "sip", "bridge", "profile", "source"),
)


@click.group(cls=Group)
def node() -> None:
    """Media nodes: the FreeSWITCHes that have the calls."""


@node.command(short_help="Add a node, or change one.")
@click.argument("prefix")
@click.argument("esl", metavar="HOST:PORT")
@click.option(
    "--password",
    prompt=True,
    hide_input=True,
    envvar="SWITCHROOM_NODE_PASSWORD",
    show_envvar=True,
    help="Of its Event Socket. Asked for if not given; a command line can be read by others.",
)
@click.option("--sip", help="host:port where it takes calls; only shown by `node list`.")
@click.option(
    "--bridge",
    help=f"host:port under which other nodes reach its SIP profile `bridge`.  [default: port {BRIDGE_PORT} of HOST]",
)
@click.option("--profile", default="default", show_default=True, help="The conference profile that rooms use.")
@click.option("--weight", type=int, default=1, show_default=True, help="Its share of new rooms, 1 to 100.")
@click.option(
    "--capacity",
    type=int,
    default=0,
    show_default=True,
    help="With so many calls it is full and gets no new rooms; 0: never.",
)
@click.option("--region", help="A label; a room prefers nodes of the region of its callers.")
@click.option("--hold-music", help="What members hear on hold: a path on the node, or local_stream:// and a name.")
@click.pass_obj
def add(context: Context, /, *, prefix: str, **values: Any) -> None:
    """Add a node, or change one: PREFIX is its 5 letters and digits, HOST:PORT its Event Socket.

    What is not given gets its default.
    """
    entry = check(NodeConfig, {"prefix": prefix, **values})

    def change(known: Node | None) -> Node:
        if known:
            changeable(known, f"node {prefix}")
        for other in registry.nodes():
            if other.esl == entry.esl and other.prefix != prefix:
                raise click.ClickException(f"{entry.esl} is the Event Socket of node {other.prefix} already")
        return replace(entry.to_node("cli"), drained=bool(known and known.drained))

    with context.registry(create=True) as registry:
        registry.change_node(prefix, change)
    click.echo(f"node {prefix} added; `switchroom doctor` checks it")
    config = context.config()
    relay = config.media.advertise or config.media.listen
    if not config.playback.direct and not is_found_from(entry.to_node("cli").host, relay):
        click.echo(
            f"Warning: it is not on this machine, and would look for the audio relay at {relay}, where it is not. With"
            " this configuration the relay will not start again: set [media] listen or advertise",
            err=True,
        )


@node.command("list", short_help="List the nodes, and what is on them.")
@as_json_option
@click.pass_obj
def list_nodes(context: Context, as_json: bool) -> None:
    """List the nodes, without their passwords: whether they are up, and what is on them."""
    rows = []
    with open_store(context.config(), create=False) as (store, _):
        registry = Registry(store)
        placement = Placement(store, registry)
        for entry in sorted(registry.nodes(), key=lambda node: node.prefix):
            rooms, calls = placement.load(entry.prefix)
            state = "up" if placement.is_up(entry.prefix) else "down"
            known = {**asdict(entry), "bridge": entry.bridge_address, "state": state, "rooms": rooms, "calls": calls}
            rows.append({name: known[name] for name in COLUMNS})
    print_table(COLUMNS, rows, as_json)


@node.command()
@click.argument("prefix")
@click.option("--undo", is_flag=True, help="Give it new rooms again.")
@click.pass_obj
def drain(context: Context, prefix: str, undo: bool) -> None:
    """Give a node no new rooms; those it has go on."""
    with context.registry() as registry:
        existing(registry.node(prefix), f"node {prefix}")
        registry.drain(prefix, drained=not undo)
    click.echo(f"node {prefix} {'gets new rooms again' if undo else 'gets no new rooms'}")


@node.command(short_help="Remove a node that has no calls.")
@click.argument("prefix")
@click.option(
    "--force", is_flag=True, help="Also if it has calls or recordings: they end, or are lost, as `node_lost`."
)
@click.pass_obj
def remove(context: Context, prefix: str, force: bool) -> None:
    """Remove a node, which must have no calls, and no recordings that no relay has; drain it first, and wait. Its rooms
    move to other nodes.
    """
    with open_store(context.config(), create=False) as (store, _):
        registry = Registry(store)
        left = left_on(store, [prefix])[prefix]
        known = registry.node(prefix)
        # One that is gone from the file may have left calls behind.
        if known or not (force and any(left)):
            changeable(known, f"node {prefix}")
        if left.sessions and not force:
            raise click.ClickException(f"node {prefix} has calls ({left.sessions}); drain it and wait, or use --force")
        if left.recordings and not force:
            raise click.ClickException(
                f"node {prefix} has recordings that no relay has yet ({left.recordings}); wait, or use --force"
            )
        registry.remove_node(prefix)
        ended = _end_all_on(store, registry, prefix) if any(left) else Ended(0, 0, 0)
        rooms = left_on(store, [prefix])[prefix].rooms
    numbers = {
        "sessions ended": ended.sessions,
        "rooms moved": ended.rooms,
        "rooms left, as there is no other node": rooms,
        "recordings lost": ended.recordings,
    }
    click.echo(f"node {prefix} removed" + "".join(f"; {what}: {number}" for what, number in numbers.items() if number))


def _end_all_on(store: Store, registry: Registry, prefix: str) -> Ended:
    placement = Placement(store, registry)
    up = {
        node.prefix: NodeUp(open=not node.drained, reached=True)
        for node in registry.nodes()
        if placement.is_up(node.prefix)
    }
    # One that is down has a worker, too, which ends rooms when their time is over.
    spare = [node.prefix for node in sorted(registry.nodes(), key=lambda node: (node.drained, node.prefix))]

    def choose(app_id: str) -> str | None:
        return placement.choose(app_id) or next(iter(spare), None)

    try:
        return end_all_on(store, prefix, f"cli-{os.getpid()}-{secrets.token_hex(4)}", up=up, choose=choose)
    except Fenced:
        raise click.ClickException(
            f"a worker still holds node {prefix}; run this again with --force once it does not"
        ) from None
