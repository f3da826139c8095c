"""Spans for OpenTelemetry: of requests, and of the attempts to deliver the webhooks that follow from them.

There are none unless OpenTelemetry's packages are installed (`pip install 'switchroom[otel]'`) and the configuration
names a collector.

How it works: a request's span continues the trace of its `traceparent`, or begins one. The request goes on with the
span's own traceparent, so that is what its command has, and the event log, and each webhook that follows. An attempt to
deliver such a webhook is a span below the request's, and the endpoint gets the attempt's own traceparent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPMethod
from typing import Any

import gevent
import structlog
from werkzeug.wsgi import ClosingIterator

from controller.webhooks.retry import Attempt

log = structlog.get_logger(__name__)

METHODS = frozenset(HTTPMethod)

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def sending_to(collector: str) -> Tracing | None:
    """Spans to the collector at this URL; None without the packages."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        log.warning("no spans: install switchroom[otel], or name no collector", reason=str(error))
        return None
    # What OpenTelemetry's own environment says goes before.
    resource = Resource.create({"service.name": "switchroom"}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(f"{collector.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return Tracing(provider)


class Tracing:
    """Makes spans with a `TracerProvider` of OpenTelemetry's SDK, which it ends with the process."""

    def __init__(self, provider: Any) -> None:
        # Only here, where the packages are known to be there.
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("switchroom")
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()

    def start(self) -> None:
        """Spans are sent from the first on."""

    def stop(self, timeout: float) -> None:
        """Sends what is left."""
        silent: Any = False
        with gevent.Timeout(timeout, silent):
            self._provider.shutdown()

    def requests(self, app: Wsgi, route_key: str) -> Wsgi:
        """The application, with a span for each request from its arrival to the end of its response. `route_key`: where
        the application puts the rule that matched, in its WSGI environment.
        """

        def traced(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            method = environ["REQUEST_METHOD"]
            # As the semantic conventions of HTTP have it.
            method = method if method in METHODS else "_OTHER"
            span = self._start(method, environ.get("HTTP_TRACEPARENT", ""), self._trace.SpanKind.SERVER)
            span.set_attribute("http.request.method", method)
            environ["HTTP_TRACEPARENT"] = self._traceparent(span)

            def start(status: str, *rest: Any) -> Any:
                code = int(status[:3])
                span.set_attribute("http.response.status_code", code)
                if code >= 500:
                    span.set_status(self._trace.StatusCode.ERROR)
                if route := environ.get(route_key):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
                return start_response(status, *rest)

            try:
                return ClosingIterator(app(environ, start), [span.end])
            except BaseException:
                span.set_status(self._trace.StatusCode.ERROR)
                span.end()
                raise

        return traced

    def attempt(self, trace: str, send: Callable[[str], Attempt]) -> Attempt:
        """Sends a webhook within a span, if it follows from a request: `trace` is the traceparent of that."""
        if not trace:
            return send(trace)
        span = self._start("webhook", trace, self._trace.SpanKind.CLIENT)
        try:
            attempt = send(self._traceparent(span))
            if attempt.status is not None:
                span.set_attribute("http.response.status_code", attempt.status)
            if not attempt.is_success:
                span.set_status(self._trace.StatusCode.ERROR, attempt.error)
            return attempt
        finally:
            span.end()

    def _start(self, name: str, trace: str, kind: Any) -> Any:
        return self._tracer.start_span(name, self._propagator.extract({"traceparent": trace}), kind)

    def _traceparent(self, span: Any) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(span))
        return carrier.get("traceparent", "")
