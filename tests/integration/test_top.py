"""`switchroom top`, over a store with nodes and statistics in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from controller import metrics
from controller.registry import Node, Registry
from controller.statistics import GRACE_SECONDS, STEP_SECONDS, Recorder, Statistics
from controller.store import keys
from switchroom.cli.main import cli
from switchroom.cli.top import View
from switchroom.config import Config
from tests.clock import Clock
from tests.integration.world import NODE, NODES, World
from tests.open_store import OpenStore, opened

ESCAPES = "\x1b[31mred\x1b[0m\x07[bold]"


def drawn(view: View, width: int = 80, problem: str = "") -> list[str]:
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(view.draw(problem))
    return capture.get().splitlines()


def words(line: str) -> str:
    return " ".join(line.split())


def fill(store: OpenStore, region: str = "eu") -> Registry:
    """Three nodes: one that is up, one that is drained, and one that is down."""
    registry = Registry(store)
    for prefix in NODES:
        registry.put_node(
            Node(prefix=prefix, esl="127.0.0.1:1", password="p", region=region, drained=prefix == NODES[1])
        )
    for prefix in NODES[:2]:
        live = keys.key(keys.node_tag(prefix), "live")
        store.client.hset(live, mapping={"load": 37, "calls": 30, "at": 1})
    return registry


@pytest.fixture
def clock(store: OpenStore) -> Clock:
    return Clock(World(store).now() // 1000 // STEP_SECONDS * STEP_SECONDS)


def read(store: OpenStore, registry: Registry, clock: Clock) -> View:
    return View.read(store, registry, Statistics(store, clock))


def test_nodes_processes_and_rates_are_shown(store: OpenStore, clock: Clock) -> None:
    registry = fill(store)
    name = "media-controller-7.production.example.com-12345-0123abcd"
    recorder = Recorder(
        store, name, ("api", "worker", "dispatcher", "media"), lambda: {"memory": 90 << 20, "greenlets": 61}, clock
    )
    metrics.node_events.labels(NODE).inc(125)
    metrics.commands.labels("join", "accepted").inc(20)
    recorder.record()
    clock.now += GRACE_SECONDS
    lines = drawn(read(store, registry, clock))
    assert max(map(len, lines)) <= 80
    assert words(lines[0]) == "nodes up 2 of 3 rooms 0 sessions 60 webhooks waiting 0"
    assert words(lines[1]) == "events/s 12.5 commands/s 2.0 webhooks/s 0.0"
    rows = [line.split() for line in lines]
    assert [NODES[0], "up", "eu", "7", "30", "12.5"] in rows
    assert [NODES[1], "drained", "eu", "7", "30", "0.0"] in rows
    assert [NODES[2], "down", "eu", "-", "-", "0.0"] in rows
    (process,) = [row for row in rows if row and row[0].startswith("media-controller-7")]
    assert process[-2:] == ["90", "61"]
    assert ["events", "█", "12.5"] in rows


def test_a_room_that_spans_nodes_is_one(store: OpenStore, clock: Clock) -> None:
    registry = fill(store)
    world = World(store)
    room = world.create()
    session = world.park(node=NODES[1])
    world.ask("join", session_id=session, room_id=room)
    assert store.count_on(NODES[0])[0] == store.count_on(NODES[1])[0] == 1
    assert " rooms 1 " in words(drawn(read(store, registry, clock))[0])


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_it_fits_into_any_terminal(store: OpenStore, clock: Clock, width: int) -> None:
    lines = drawn(read(store, fill(store, region="a region with a very long name " * 9), clock), width)
    assert max(map(len, lines)) <= width


def test_nothing_acts_on_the_terminal(store: OpenStore, clock: Clock) -> None:
    registry = fill(store, region=ESCAPES)
    Recorder(store, ESCAPES, (ESCAPES,), dict, clock).record()
    clock.now += GRACE_SECONDS
    text = "\n".join(drawn(read(store, registry, clock), 400, problem="away"))
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert r"\x1b[31mred\x1b[0m\x07[bold]" in text
    assert "away" in text


def test_nothing_is_known_of_a_service_that_is_not_running(store: OpenStore, clock: Clock) -> None:
    lines = drawn(read(store, Registry(store), clock))
    assert words(lines[0]) == "nodes up 0 of 0 rooms 0 sessions 0 webhooks waiting -"
    assert words(lines[1]) == "events/s - commands/s - webhooks/s -"


def test_once_prints_it_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with opened(Config.model_validate({"store": {"data_dir": tmp_path / "data"}})) as store:
        fill(store)
    result = CliRunner().invoke(cli, ["top", "--once"])
    assert result.exit_code == 0, result.output
    assert f"{NODE}" in result.stdout
    assert "\x1b" not in result.stdout
