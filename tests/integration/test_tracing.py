"""Spans for OpenTelemetry: from a request over its webhook to a collector."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gevent.pywsgi import WSGIServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs
from werkzeug.test import Client

from switchroom.tracing import Tracing, sending_to
from tests.integration.test_wiring import ask, running
from tests.integration.webhook_fixtures import ERROR, Outbox, Received, Receiver, Start
from tests.integration.world import NODE, World
from tests.open_store import OpenStore
from tests.unit.web_fakes import HEADERS, ROOM, FakeController, FakeStreams
from web.app import create_app
from web.context import ROUTE

TRACE_ID, PARENT_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACE = f"00-{TRACE_ID}-{PARENT_ID}-01"
PATH = f"/api/v1/conferences/{ROOM}"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Iterator[Tracing]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    tracing = Tracing(provider)
    yield tracing
    tracing.stop(1)


def hexed(number: int, digits: int) -> str:
    return f"{number:0{digits}x}"


def only(spans: InMemorySpanExporter) -> Any:
    (span,) = spans.get_finished_spans()
    return span


@pytest.fixture
def controller() -> FakeController:
    return FakeController()


@pytest.fixture
def client(tracing: Tracing, controller: FakeController) -> Client:
    return Client(tracing.requests(create_app(controller, FakeStreams()), ROUTE))


def test_a_request_is_a_span_of_its_trace_and_the_command_is_below_it(
    client: Client, controller: FakeController, spans: InMemorySpanExporter
) -> None:
    assert client.post(f"{PATH}/stop", headers={**HEADERS, "traceparent": TRACE}, buffered=True).status_code == 202
    span = only(spans)
    assert span.name == "POST /api/v1/conferences/<room_id>/stop"
    assert span.kind == SpanKind.SERVER
    assert span.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "http.route": "/api/v1/conferences/<room_id>/stop",
    }
    assert (hexed(span.context.trace_id, 32), hexed(span.parent.span_id, 16)) == (TRACE_ID, PARENT_ID)
    (command,) = controller.asked
    assert command.trace == f"00-{TRACE_ID}-{hexed(span.context.span_id, 16)}-01"


def test_a_request_without_a_trace_begins_one(
    client: Client, controller: FakeController, spans: InMemorySpanExporter
) -> None:
    client.get(PATH, headers={**HEADERS, "traceparent": "garbage"}, buffered=True)
    span = only(spans)
    assert span.parent is None
    _, *ids, _ = controller.asked[0].trace.split("-")
    assert ids == [hexed(span.context.trace_id, 32), hexed(span.context.span_id, 16)]


def test_what_is_unknown_names_no_span(client: Client, spans: InMemorySpanExporter) -> None:
    client.open("/api/v1/nothing", method="BREW", headers=HEADERS, buffered=True)
    assert only(spans).name == "_OTHER"


def test_a_fault_marks_the_span_and_is_passed_on(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    def app(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        Client(tracing.requests(app, ROUTE)).get("/")
    assert not only(spans).status.is_ok


def test_a_span_lasts_until_the_response_has_ended(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    def app(environ: dict[str, Any], start: Callable[..., Any]) -> Iterator[bytes]:
        start("200 OK", [])
        yield b"one"
        assert spans.get_finished_spans() == ()
        yield b"two"

    assert Client(tracing.requests(app, ROUTE)).get("/", buffered=True).get_data() == b"onetwo"
    assert only(spans).end_time


def test_each_attempt_of_a_webhook_is_a_span_below_the_request_s(
    store: OpenStore, outbox: Outbox, receiver: Receiver, start: Start, tracing: Tracing, spans: InMemorySpanExporter
) -> None:
    def traced() -> list[Received]:
        return [request for request in receiver.received if "traceparent" in request.headers]

    outbox.app("demo", receiver.url)
    receiver.choose = lambda request: ERROR if traced() == [request] else None
    world = World(store)
    world.ask("create_room", name="one", room_id=f"{NODE}-room-1", node=NODE, trace=TRACE)
    world.create("two")
    start(traced=tracing.attempt)
    receiver.wait(3)
    outbox.wait_until(lambda: outbox.is_settled("demo"))
    found = spans.get_finished_spans()
    assert {(hexed(span.context.trace_id, 32), hexed(span.parent.span_id, 16)) for span in found} == {
        (TRACE_ID, PARENT_ID)
    }
    assert [span.attributes for span in found] == [{"http.response.status_code": code} for code in (500, 200)]
    assert [span.status.is_ok for span in found] == [False, True]
    given = [request.headers["traceparent"] for request in traced()]
    assert given == [f"00-{TRACE_ID}-{hexed(span.context.span_id, 16)}-01" for span in found]


def test_the_system_sends_spans_where_the_configuration_says(store: OpenStore, server_url: str) -> None:
    names: list[str] = []
    services: list[str] = []

    def collector(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        request = ExportTraceServiceRequest.FromString(environ["wsgi.input"].read())
        for resource in request.resource_spans:
            services.extend(
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            )
            names.extend(span.name for scope in resource.scope_spans for span in scope.spans)
        start("200 OK", [("Content-Type", "application/x-protobuf"), ("Content-Length", "0")])
        return [b""]

    server = WSGIServer(("127.0.0.1", 0), collector, log=None)
    server.start()
    try:
        with running(server_url, traces={"collector": f"http://127.0.0.1:{server.server_port}/"}) as system:
            assert ask(system, "POST", f"/conferences/{ROOM}/stop", {})[0] == 404
        # What is left is sent at the stop.
        assert (services, names) == (["switchroom"], ["POST /api/v1/conferences/<room_id>/stop"])
    finally:
        server.stop()


def test_without_the_packages_there_are_no_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with capture_logs() as lines:
        assert sending_to("http://127.0.0.1:1") is None
    (line,) = lines
    assert "switchroom[otel]" in line["event"]
