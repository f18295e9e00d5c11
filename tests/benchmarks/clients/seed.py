"""The SDK `agentmonitor`, whose server takes our events as well as its own."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import agentmonitor
import clients
from clients import Endpoint, UnsupportedError

NOTE = (
    "`@track`; fails on coroutines; sends ten events in five seconds, and the "
    "rest in one request when it is flushed"
)
IMPORTS = "import agentmonitor"


class Client(clients.Client):
    """Decorate with track, log by log_event."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.monitor = agentmonitor.AgentMonitor(
            api_key="k" * 32, agent_id="bench", api_url=f"{endpoint.url}/api/v1"
        )

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate."""
        decorated: Callable[..., Any] = self.monitor.track()(function)
        return decorated

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Refuse: version 0.1.0 runs the loop that is running already, and fails."""
        raise UnsupportedError("its track() fails on coroutine functions")

    def log(self, message: str, *, extra: Mapping[str, Any]) -> None:
        """Log an event with the fields as its metadata."""
        self.monitor.log_event("log", {"message": message}, metadata=dict(extra))

    def flush(self) -> None:
        """Send what waits."""
        self.monitor.flush()

    def shutdown(self) -> None:
        """Send the rest and end."""
        self.monitor.flush()
        self.monitor.close()
