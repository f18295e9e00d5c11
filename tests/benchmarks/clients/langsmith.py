"""LangSmith: its decorator. It has runs only, nothing that takes a log record."""

from __future__ import annotations

import os
from typing import Any, Callable

import clients
import langsmith
from clients import Endpoint

NOTE = (
    "`@traceable`; no W3; not compressed unless the sink's Python has zstd; of a "
    "coroutine it makes a task, so in asyncio a call's time is that of others too"
)
IMPORTS = "from langsmith import Client, traceable"


class Client(clients.Client):
    """Decorate with traceable."""

    def __init__(self, endpoint: Endpoint) -> None:
        os.environ["LANGSMITH_TRACING"] = "true"
        self.client = langsmith.Client(api_url=endpoint.url, api_key="k" * 32)

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate; coroutine functions alike."""
        decorated: Any = langsmith.traceable(client=self.client)(function)
        call: Callable[..., Any] = decorated
        return call

    def flush(self) -> None:
        """Send what waits."""
        self.client.flush()

    def shutdown(self) -> None:
        """Send the rest and end."""
        self.client.flush()
        self.client.cleanup()
