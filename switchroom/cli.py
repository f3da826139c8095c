"""The command line. Expected faults end in one clear line and a non-zero exit code, never in a traceback."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
import gevent
from gevent.event import Event
from rich.console import Console
from rich.text import Text

from controller.commands import GetDelivery, ListDeliveries, Redeliver, RedeliverRange
from controller.controller import Controller
from controller.errors import Refused, StoreUnavailable
from controller.event_log import Log
from controller.limits import QUOTAS, check_quotas
from controller.registry import App, Node, Registry, new_app
from controller.rooms.placement import Placement
from controller.webhooks.types import TYPES
from switchroom import demo, doctor, logs, tables, tail
from switchroom.config import AppConfig, Config, ConfigError, NodeConfig, check, find, load, shown_file
from switchroom.embedded import EmbeddedStoreError
from switchroom.logs import escaped
from switchroom.processes import ROLES, ApiFactory, CannotStart, System, open_reader, open_store


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
    """What every command gets. The configuration is read when a command needs it. A store that is not there is created
    only by commands that have something to put into it.
    """

    api: ApiFactory
    config_file: Path | None = None

    def config(self) -> Config:
        return load(self.config_file, os.environ)

    @contextmanager
    def registry(self, *, create: bool = False) -> Iterator[Registry]:
        with open_store(self.config(), create=create) as (store, _):
            yield Registry(store)

    @contextmanager
    def controller_for(self, app_id: str) -> Iterator[Controller]:
        """To ask on behalf of an app, which must be there."""
        with open_store(self.config(), create=False) as (store, _):
            registry = Registry(store)
            _there(registry.app(app_id), f"app {app_id}")
            yield Controller(store, registry, Placement(store, registry))


class _Command(click.Command):
    """A command with the options that all have, and with expected faults told in one line."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += [
            click.Option(
                ["--config", "config_file"],
                type=click.Path(path_type=Path, dir_okay=False),
                envvar="SWITCHROOM_CONFIG",
                help="The TOML file.  [default: switchroom.toml if it is there]",
            ),
            click.Option(
                ["--log-level"],
                type=click.Choice(logs.LEVELS),
                default="info",
                show_default=True,
                envvar="SWITCHROOM_LOG_LEVEL",
                help="What is worth a line on stderr.",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        ctx.obj.config_file = ctx.params.pop("config_file")
        logs.configure(ctx.params.pop("log_level"))
        try:
            return super().invoke(ctx)
        except tuple(FAULTS) as error:
            raise FAULTS[type(error)](str(error)) from error


class _Group(click.Group):
    command_class = _Command
    group_class = type


def run(api: ApiFactory) -> None:
    """The process's one call. `api` builds the REST API, which lies in the layer above."""
    cli.main(prog_name="switchroom", obj=Context(api))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="switchroom")
def cli() -> None:
    """A conference controller for FreeSWITCH."""


# Serving


@cli.command()
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
    """Serve the REST API, drive the nodes, deliver the webhooks."""
    stop = stop_signal()
    system = System(context.config(), context.api, ROLES if "all" in roles else roles)
    system.start()
    where = f" on {system.address}" if system.address else ""
    click.echo(f"switchroom ready{where} (roles: {', '.join(system.roles)})")
    click.echo(f"configuration: {shown_file(find(context.config_file))}")
    for finding in doctor.lacking(system.registry.nodes(), system.registry.apps()):
        click.echo(f"no {finding.subject} yet: {finding.advice}")
    stop.wait()
    system.stop()


@cli.command("demo", context_settings={"default_map": {"log_level": "error"}})
@click.option("--once", is_flag=True, help="End after the walk; exit code 1 if anything differed.")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="While it serves: its base, key, tone and config as shell variables, for the tour in README.md.",
)
@click.pass_obj
def demo_command(context: Context, once: bool, env_file: Path | None) -> None:
    """Show the main job on an emulated node, and go on serving. Needs no configuration."""
    if not demo.run(context.api, once, env_file, stop_signal()):
        raise click.exceptions.Exit(1)


def stop_signal() -> Event:
    """Set by the first SIGTERM or SIGINT. The second ends the process at once."""
    stop = Event()

    def asked(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, asked, number)
    return stop


def interrupt_on_signals() -> None:
    """SIGTERM and SIGINT become KeyboardInterrupt here: what is open is closed, the embedded store too."""
    main = gevent.getcurrent()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, gevent.kill, main, KeyboardInterrupt)


# Apps

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document.")


@cli.group()
def app() -> None:
    """Tenants: their key, their numbers, their webhook endpoint."""


@app.command("add")
@click.argument("app_id", metavar="ID")
@click.option("--did", "dids", multiple=True, help="A number whose calls belong to the app. Repeatable.")
@click.option("--webhook-url", help="Where its webhooks go.")
@as_json
@click.pass_obj
def app_add(context: Context, app_id: str, dids: Sequence[str], webhook_url: str | None, as_json: bool) -> None:
    """Add an app; its API key and webhook secret are shown this once."""
    api_key = secrets.token_urlsafe(32)
    webhook_secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    entry = check(
        AppConfig,
        {
            "id": app_id,
            "api_key": api_key,
            "webhook_url": webhook_url,
            "webhook_secret": webhook_secret,
            "dids": dids,
        },
    )
    with context.registry(create=True) as registry:
        if registry.app(app_id):
            raise click.ClickException(f"app {app_id} is there already; `app rotate-key` changes its key")
        try:
            registry.put_app(entry.to_app("cli"))
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    _print_fields({"id": app_id, "api_key": api_key, "webhook_secret": webhook_secret}, as_json)


@app.command("list")
@as_json
@click.pass_obj
def app_list(context: Context, as_json: bool) -> None:
    """List the apps, without their secrets."""
    with context.registry() as registry:
        apps = sorted(registry.apps(), key=lambda app: app.id)
    columns = ("id", "dids", "webhook_url", "source")
    _print_table(columns, [{name: getattr(app, name) for name in columns} for app in apps], as_json)


@app.command("rotate-key")
@click.argument("app_id", metavar="ID")
@as_json
@click.pass_obj
def app_rotate_key(context: Context, app_id: str, as_json: bool) -> None:
    """Give an app a new API key; the old one is refused within a second."""
    with context.registry() as registry:
        entry = _changeable(registry.app(app_id), f"app {app_id}")
        api_key = secrets.token_urlsafe(32)
        fresh = new_app(app_id, api_key)
        registry.put_app(replace(entry, key_salt=fresh.key_salt, key_hash=fresh.key_hash))
    _print_fields({"id": app_id, "api_key": api_key}, as_json)


def _quota(_context: click.Context, option: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    quotas = {}
    for text in given:
        name, _, most = text.partition("=")
        if not most.isdecimal():
            raise click.BadParameter(f"{text!r} is not NAME=NUMBER", param=option)
        quotas[name] = int(most)
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
    callback=_quota,
    metavar="NAME=NUMBER",
    help=f"Of {', '.join(QUOTAS)}. Repeatable.",
)
@as_json
@click.pass_obj
def app_set(context: Context, app_id: str, quotas: dict[str, int], as_json: bool) -> None:
    """Give an app quotas of its own; shows all that it has then. In effect within a second."""
    with context.registry() as registry:
        entry = _there(registry.app(app_id), f"app {app_id}")
        if quotas:
            entry = replace(_changeable(entry, f"app {app_id}"), own_quotas={**entry.own_quotas, **quotas})
            registry.put_app(entry)
    _print_fields(dict(entry.quotas), as_json)


@app.command("remove")
@click.argument("app_id", metavar="ID")
@click.pass_obj
def app_remove(context: Context, app_id: str) -> None:
    """Remove an app: its key is refused, its numbers are nobody's."""
    with context.registry() as registry:
        _changeable(registry.app(app_id), f"app {app_id}")
        registry.remove_app(app_id)
    click.echo(f"app {app_id} removed")


# Nodes


@cli.group()
def node() -> None:
    """FreeSWITCH instances."""


@node.command("add")
@click.argument("prefix")
@click.argument("esl", metavar="HOST:PORT")
@click.option(
    "--password",
    prompt=True,
    hide_input=True,
    envvar="SWITCHROOM_NODE_PASSWORD",
    help="Of its Event Socket. Asked for if not given; a command line can be read by others.",
)
@click.option("--sip", help="host:port for SIP between nodes; not used yet.")
@click.option("--profile", default="default", show_default=True, help="The conference profile that rooms use.")
@click.pass_obj
def node_add(context: Context, *, prefix: str, esl: str, password: str, sip: str | None, profile: str) -> None:
    """Add a node, or change one: PREFIX is its 5 letters and digits, HOST:PORT its Event Socket."""
    values = {"prefix": prefix, "esl": esl, "password": password, "sip": sip, "profile": profile}
    entry = check(NodeConfig, values)
    with context.registry(create=True) as registry:
        known = registry.node(prefix)
        if known:
            _changeable(known, f"node {prefix}")
        registry.put_node(replace(entry.to_node("cli"), drained=bool(known and known.drained)))
    click.echo(f"node {prefix} added; `switchroom doctor` checks it")


@node.command("list")
@as_json
@click.pass_obj
def node_list(context: Context, as_json: bool) -> None:
    """List the nodes, without their passwords: whether they are up, and what is on them."""
    columns = ("prefix", "state", "rooms", "calls", "drained", "esl", "sip", "profile", "source")
    rows = []
    with open_store(context.config(), create=False) as (store, _):
        registry = Registry(store)
        nodes = Placement(store, registry)
        for entry in sorted(registry.nodes(), key=lambda node: node.prefix):
            rooms, calls = nodes.load(entry.prefix)
            state = "up" if nodes.is_up(entry.prefix) else "down"
            known = {**asdict(entry), "state": state, "rooms": rooms, "calls": calls}
            rows.append({name: known[name] for name in columns})
    _print_table(columns, rows, as_json)


@node.command("drain")
@click.argument("prefix")
@click.option("--undo", is_flag=True, help="Give it new rooms again.")
@click.pass_obj
def node_drain(context: Context, prefix: str, undo: bool) -> None:
    """Give a node no new rooms; those it has go on."""
    with context.registry() as registry:
        registry.put_node(replace(_there(registry.node(prefix), f"node {prefix}"), drained=not undo))
    click.echo(f"node {prefix} {'gets new rooms again' if undo else 'gets no new rooms'}")


@node.command("remove")
@click.argument("prefix")
@click.pass_obj
def node_remove(context: Context, prefix: str) -> None:
    """Remove a node; drain it first to keep its rooms until they end."""
    with context.registry() as registry:
        _changeable(registry.node(prefix), f"node {prefix}")
        registry.remove_node(prefix)
    click.echo(f"node {prefix} removed")


# Webhooks

DELIVERIES = 200  # asked for at a time


@cli.group()
def webhooks() -> None:
    """What became of an app's webhooks."""


def _time(_context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else tail.parse_since(text, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), param=option) from error


since_option = click.option("--since", callback=_time, help="What happened since: 10m, 2h, 1d ago, or ISO 8601.")
until_option = click.option("--until", "till", callback=_time, help="What happened before, in the same forms.")


@webhooks.command("list")
@click.argument("app_id", metavar="APP")
@click.option("--status", type=click.Choice(["retrying", "delivered", "failed"]), help="Only these.")
@click.option("--type", type=click.Choice(TYPES), metavar="TYPE", help="Only of this type.")
@click.option("--room", help="Only of this room.")
@since_option
@until_option
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Most to list.")
@as_json
@click.pass_obj
def webhooks_list(context: Context, /, *, app_id: str, limit: int, as_json: bool, **narrowing: Any) -> None:
    """List webhooks that were attempted, the newest first."""
    rows: list[dict[str, Any]] = []
    after = 0
    with context.controller_for(app_id) as controller:
        while len(rows) < limit:
            wanted = min(DELIVERIES, limit - len(rows))
            page = controller.execute(ListDeliveries(app_id=app_id, limit=wanted, after=after, **narrowing))
            rows += map(_delivery, page["rows"])
            if not (after := page["cursor"]):
                break
    _print_table(_DELIVERY, rows, as_json)


@webhooks.command("show")
@click.argument("app_id", metavar="APP")
@click.argument("webhook_id", metavar="WEBHOOK")
@as_json
@click.pass_obj
def webhooks_show(context: Context, *, app_id: str, webhook_id: str, as_json: bool) -> None:
    """Show a webhook, with every attempt."""
    with context.controller_for(app_id) as controller:
        found = controller.execute(GetDelivery(app_id=app_id, webhook_id=webhook_id))
    shown = _delivery(found)
    tried = [{**attempt, "at": _moment(attempt["at"])} for attempt in found["tried"]]
    if as_json:
        _print_fields({**shown, "data": found["data"], "tried": tried}, as_json)
        return
    _print_fields({**shown, "data": json.dumps(found["data"])}, as_json)
    if tried:
        click.echo()
        # Answers are the tenant's: quoted, to tell what belongs to them.
        answers = [attempt["answer"] for attempt in tried]
        quoted = [None if answer is None else json.dumps(answer) for answer in answers]
        rows = [{**attempt, "answer": answer} for attempt, answer in zip(tried, quoted, strict=True)]
        _print_table(_ATTEMPT, rows, as_json)


@webhooks.command("redeliver")
@click.argument("app_id", metavar="APP")
@click.argument("webhook_id", metavar="[WEBHOOK]", required=False)
@since_option
@until_option
@click.pass_obj
def webhooks_redeliver(
    context: Context, *, app_id: str, webhook_id: str | None, since: int | None, till: int | None
) -> None:
    """Send one webhook again, or with --since all that have failed of those since then."""
    if (webhook_id is None) == (since is None) or (webhook_id and till):
        raise click.UsageError("give either WEBHOOK or --since; --until goes with --since")
    with context.controller_for(app_id) as controller:
        if webhook_id:
            controller.execute(Redeliver(app_id=app_id, webhook_id=webhook_id))
            count = 1
        else:
            end = int(time.time() * 1000) if till is None else till
            count = controller.execute(RedeliverRange(app_id=app_id, since=since or 0, till=end))["webhooks"]
    click.echo(f"{count} will be sent again")


_DELIVERY = ("webhook_id", "type", "room_id", "uuid", "created_at", "status", "attempts", "next_attempt_at")
_ATTEMPT = ("number", "at", "status", "error", "latency_ms", "answer")


def _delivery(row: dict[str, Any]) -> dict[str, Any]:
    """As the API has it."""
    lane = "room_id" if "-room-" in row["lane"] else "uuid"
    times = {"created_at": _moment(row["at"]), "next_attempt_at": _moment(row["next"])}
    named = {"room_id": "", "uuid": "", **row, **times, lane: row["lane"]}
    return {name: named[name] for name in _DELIVERY}


def _moment(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The event log


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Leave the end to the caller, whose store is still open."""
        raise BrokenPipeError


@cli.command("tail")
@click.option("--app", "apps", multiple=True, help="Only this app. Repeatable, as all filters; * and ? match.")
@click.option("--room", "rooms", multiple=True, help="Only this room.")
@click.option("--session", "sessions", multiple=True, help="Only this session.")
@click.option("--type", "types", multiple=True, help="Only this type, such as 'conference.play.*'.")
@click.option("--since", help="Also what was before: 10m, 2h, 1d ago, or an ISO 8601 time.")
@click.option("--json", "as_json", is_flag=True, help="Each entry as a line of JSON.")
@click.option("--no-follow", is_flag=True, help="End at the end; without --since, from the beginning.")
@click.pass_obj
def tail_command(
    context: Context,
    *,
    apps: Sequence[str],
    rooms: Sequence[str],
    sessions: Sequence[str],
    types: Sequence[str],
    since: str | None,
    as_json: bool,
    no_follow: bool,
) -> None:
    """Follow the event log: commands, also refused ones, events, state changes and deliveries as they happen."""
    try:
        begin = 0 if since is None else tail.parse_since(since, time.time())
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--since") from error
    wanted = tail.Filter({"app": tuple(apps), "room": tuple(rooms), "session": tuple(sessions), "type": tuple(types)})
    console = _Console(soft_wrap=True)

    def write(entry: dict[str, Any]) -> None:
        if as_json:
            click.echo(tail.as_json(entry))
        else:
            console.print(tail.as_text(entry))

    config = context.config()
    interrupt_on_signals()
    try:
        with open_store(config, create=False) as (store, url), open_reader(config, url) as reader:
            entries = Log(store, reader)
            if since is not None or no_follow:
                tail.show(entries.past(begin), wanted, write)
            else:
                entries.skip()
            if not no_follow:
                tail.show(entries.follow(), wanted, write)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        # Whoever read has seen enough. What is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@cli.command("doctor")
@as_json
@click.pass_obj
def doctor_command(context: Context, as_json: bool) -> None:
    """Check the store and every node, and say what to do about each fault. Exit code 1 if there is one."""
    interrupt_on_signals()
    console = Console(soft_wrap=True)
    findings = []
    for finding in doctor.examine(context.config(), find(context.config_file)):
        findings.append(finding)
        if not as_json:
            console.print(_finding(finding))
    faults = sum(not finding.ok for finding in findings)
    if as_json:
        click.echo(json.dumps([{**asdict(finding), "ok": finding.ok} for finding in findings]))
    else:
        click.echo(f"{faults} of {len(findings)} checks need something done" if faults else "all is well")
    if faults:
        raise click.exceptions.Exit(1)


def _finding(finding: doctor.Finding) -> Text:
    line = Text.assemble(
        ("ok   ", "green") if finding.ok else ("FAULT", "bold red"),
        f" {finding.subject:<13} {finding.check:<16} {escaped(finding.detail)}",
    )
    if not finding.ok:
        line.append(f"\n      -> {finding.advice}", style="bold")
    return line


# Plumbing

Entry = TypeVar("Entry", App, Node)


def _there(entry: Entry | None, name: str) -> Entry:
    if entry is None:
        raise click.ClickException(f"{name} is not there")
    return entry


def _changeable(entry: Entry | None, name: str) -> Entry:
    """What comes from the file is changed there: the next start would undo what was done here."""
    known = _there(entry, name)
    if known.source == "file":
        raise click.ClickException(f"{name} comes from the configuration file; change it there and restart")
    return known


def _print_fields(fields: dict[str, Any], as_json: bool) -> None:
    click.echo(json.dumps(fields) if as_json else tables.fields(fields, _width()))


def _print_table(columns: Sequence[str], rows: Sequence[dict[str, Any]], as_json: bool) -> None:
    click.echo(json.dumps(rows) if as_json else tables.table(columns, rows, _width()))


def _width() -> int | None:
    """Of the terminal; None when the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
