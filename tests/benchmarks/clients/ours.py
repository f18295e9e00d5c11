"""This package, at default options."""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict

import agentmonitor_logging
import clients
from clients import Endpoint

NOTE = "default options"
IMPORTS = "import agentmonitor_logging"

PATIENCE = 120.0
"""Seconds to deliver everything in; what has not arrived then counts as lost."""


class Client(clients.Client):
    """Decorate with log_agent_call, log to the queue handler."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.logger = logging.getLogger("bench")
        self.logger.propagate = False
        agentmonitor_logging.configure(
            logger=self.logger,
            api_key="k" * 32,
            agent_id="bench",
            api_url=f"{endpoint.url}/api/v1",
            **self.options(endpoint),
        )
        self.log = self.logger.info  # type: ignore[method-assign,assignment]

    def options(self, endpoint: Endpoint) -> Dict[str, Any]:
        """Return what is not left at its default."""
        return {}

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate; coroutine functions alike."""
        decorate: Any = agentmonitor_logging.log_agent_call(logger=self.logger)
        decorated: Callable[..., Any] = decorate(function)
        return decorated

    def flush(self) -> None:
        """Deliver what waits."""
        agentmonitor_logging.flush(PATIENCE)

    def shutdown(self) -> None:
        """Deliver the rest and end."""
        agentmonitor_logging.flush(PATIENCE)
        agentmonitor_logging.shutdown(PATIENCE)
