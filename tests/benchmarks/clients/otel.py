"""OpenTelemetry's tracing SDK: one span a call, as its GenAI instrumentations do.

Log records are none of tracing's business: those go through `otel_logs`.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Callable

from clients import Endpoint, otel_logs
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

NOTE = (
    "tracing SDK, `BatchSpanProcessor`, OTLP over HTTP; its queue at 100,000; W3 "
    "by its `LoggingHandler`"
)
IMPORTS = (
    "from opentelemetry.exporter.otlp.proto.http.trace_exporter "
    "import OTLPSpanExporter;"
    "from opentelemetry.sdk.trace import TracerProvider"
)


class Client(otel_logs.Client):
    """Trace calls, log records."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        resource = Resource.create({"service.name": "bench"})
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.url}/v1/traces")
        self.traces.add_span_processor(
            BatchSpanProcessor(exporter, max_queue_size=otel_logs.QUEUE)
        )
        self.tracer = self.traces.get_tracer("bench")

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a span of each call."""
        name, tracer = function.__name__, self.tracer

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                _describe(span, args, kwargs)
                output = function(*args, **kwargs)
                span.set_attribute("gen_ai.output.messages", json.dumps(output))
                return output

        return wrapper

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a span of each call that is awaited."""
        name, tracer = function.__name__, self.tracer

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                _describe(span, args, kwargs)
                output = await function(*args, **kwargs)
                span.set_attribute("gen_ai.output.messages", json.dumps(output))
                return output

        return wrapper

    def flush(self) -> None:
        """Export what waits."""
        self.traces.force_flush(60_000)
        super().flush()

    def shutdown(self) -> None:
        """Export the rest and end."""
        self.traces.force_flush(60_000)
        self.traces.shutdown()
        super().shutdown()


def _describe(span: Any, args: Any, kwargs: Any) -> None:
    span.set_attribute("gen_ai.operation.name", "chat")
    span.set_attribute("gen_ai.request.model", "m-1")
    given = kwargs or args[0]
    span.set_attribute("gen_ai.input.messages", json.dumps(given))
