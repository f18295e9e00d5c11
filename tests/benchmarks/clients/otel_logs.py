"""OpenTelemetry's logging handler and log exporter, for every workload."""

from __future__ import annotations

import logging
import warnings

from clients import Endpoint
from clients.by_hand import LoggingClient
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

NOTE = (
    "`LoggingHandler`, `BatchLogRecordProcessor`, OTLP over HTTP; its queue at 100,000"
)
IMPORTS = (
    "from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter;"
    "from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler"
)
QUEUE = 100_000
"""Of the default, 2,048, a burst loses most."""


class Client(LoggingClient):
    """Log to the SDK's LoggingHandler."""

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the SDK's handler."""
        # The handler has another home since; this one has nothing else to install.
        warnings.simplefilter("ignore", DeprecationWarning)
        resource = Resource.create({"service.name": "bench"})
        self.provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPLogExporter(endpoint=f"{endpoint.url}/v1/logs")
        self.provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, max_queue_size=QUEUE)
        )
        return LoggingHandler(logger_provider=self.provider)

    def flush(self) -> None:
        """Export what waits."""
        self.provider.force_flush(60_000)

    def shutdown(self) -> None:
        """Export the rest and end."""
        self.provider.force_flush(60_000)
        self.provider.shutdown()
