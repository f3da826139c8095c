"""What Prometheus reads: which metrics there are, and what they count of requests and of the process."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from switchroom.metrics import held
from switchroom.processes import MAX_METRICS_CONNECTIONS, metrics_server
from tests.metrics import families
from tests.unit.test_web_server import Client
from tests.unit.web_fakes import APP, ROOM, FakeController, FakeStreams
from web.app import create_app
from web.server import Server

ROOT = Path(__file__).parents[2]
OF_PYTHON = ("python_", "process_")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(create_app(FakeController(), FakeStreams()), "127.0.0.1", 0)
    server.start()
    yield server
    server.stop(0)


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"switchroom_http_{name}", labels) or 0.0


def test_every_metric_has_the_prefix_and_says_what_it_is() -> None:
    own = [family for family in families() if not family.name.startswith(OF_PYTHON)]
    assert len(own) > 20
    assert [family.name for family in own if not family.name.startswith("switchroom_")] == []
    assert [family.name for family in own if len(family.documentation) < 10] == []


def test_requests_are_counted_by_rule_and_never_by_path(server: Server) -> None:
    rule = "/api/v1/conferences/<room_id>"
    before = counted("requests_total", method="GET", route=rule, status="200")
    seconds = counted("request_seconds_count", method="GET", route=rule)
    unknown = counted("requests_total", method="GET", route="unknown", status="404")
    client = Client(server)
    assert client.ask("GET", f"/api/v1/conferences/{ROOM}").answer()[0] == 200
    for number in range(3):
        assert client.ask("GET", f"/api/v1/no-such-path-{number}").answer()[0] == 404
    assert counted("requests_total", method="GET", route=rule, status="200") == before + 1
    assert counted("request_seconds_count", method="GET", route=rule) == seconds + 1
    assert counted("requests_total", method="GET", route="unknown", status="404") == unknown + 3
    shown = {value for family in REGISTRY.collect() for sample in family.samples for value in sample.labels.values()}
    assert not {value for value in shown if "no-such-path" in value or ROOM in value or value == APP}


def test_a_method_that_nobody_knows_is_one_label(server: Server) -> None:
    before = counted("requests_total", method="unknown", route="unknown", status="405")
    for method in ("BREW", "STEEP"):
        assert Client(server).ask(method, "/healthz").answer()[0] == 405
    assert counted("requests_total", method="unknown", route="unknown", status="405") == before + 2


def test_what_is_no_http_is_counted_too(server: Server) -> None:
    before = counted("requests_total", method="unknown", route="unknown", status="400")
    Client(server).send("garbage\r\n\r\n").answer()
    assert counted("requests_total", method="unknown", route="unknown", status="400") == before + 1


def test_open_connections_are_shown_while_the_server_runs(server: Server) -> None:
    clients = [Client(server) for _ in range(3)]
    for client in clients:
        client.ask("GET", "/healthz").answer()
    assert counted("connections", server="api") == 3
    server.stop(0)
    assert REGISTRY.get_sample_value("switchroom_http_connections", {"server": "api"}) is None


def test_requests_that_are_never_sent_whole_do_not_fill_the_port_of_the_metrics() -> None:
    server = metrics_server("127.0.0.1:0")
    server.start()
    try:
        clients = [Client(server).send("GET /metrics HTTP/1.1\r\nHost:") for _ in range(MAX_METRICS_CONNECTIONS + 8)]
        with urllib.request.urlopen("http://{}:{}/metrics".format(*server.address), timeout=30) as answer:
            assert b"switchroom_greenlets" in answer.read()
        assert counted("connections", server="metrics") <= MAX_METRICS_CONNECTIONS
        # Those that waited longest made room.
        assert clients[0].ended()
    finally:
        server.stop(0)


_COUNT_GREENLETS = """
import gevent
from gevent.event import Event as Flag
from prometheus_client import REGISTRY
from switchroom.metrics import held, watch_greenlets

def show():
    print(held()["greenlets"], REGISTRY.get_sample_value("switchroom_greenlets"))

watch_greenlets()
end = Flag()
waiting = [gevent.spawn(end.wait) for _ in range(5)]
gevent.sleep(0)
show()
end.set()
gevent.joinall(waiting)
show()
"""


def test_greenlets_are_counted_until_they_end() -> None:
    """In a process of its own: what other tests have left may end meanwhile."""
    command = [sys.executable, "-c", _COUNT_GREENLETS]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert shown == "5 5.0\n0 0.0\n"


def test_the_memory_of_the_process_is_shown() -> None:
    assert held()["memory"] > 1 << 20
