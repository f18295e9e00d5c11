"""Langfuse: its decorator for calls; for a record, an event of its own."""

from __future__ import annotations

import os
from typing import Any, Callable, Mapping

import clients
from clients import Endpoint

# Built on OpenTelemetry, whose queue of 2,048 would lose most of a burst.
os.environ["OTEL_BSP_MAX_QUEUE_SIZE"] = "100000"

import langfuse

NOTE = "`@observe`, gzip; W3 by `create_event`; its queue at 100,000"
IMPORTS = "import langfuse"


class Client(clients.Client):
    """Decorate with observe, log by create_event."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.client = langfuse.Langfuse(
            public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=endpoint.url
        )

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate; coroutine functions alike."""
        decorated: Callable[..., Any] = langfuse.observe()(function)
        return decorated

    def log(self, message: str, *, extra: Mapping[str, Any]) -> None:
        """Create an event with the fields as its metadata."""
        self.client.create_event(name=message, metadata=extra)

    def flush(self) -> None:
        """Export what waits."""
        self.client.flush()

    def shutdown(self) -> None:
        """Export the rest and end."""
        self.client.flush()
        self.client.shutdown()
