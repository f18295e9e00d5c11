"""Agent monitoring on the standard library's logging.

Producers only log, consumers only handle records; they meet in one `LogRecord`.

    tracking    log_agent_call, agent_event       context     agent_context, trace ids
    handlers    the three logging classes         formatter   AgentEventFormatter
    events      record → event → bytes            redaction   what never leaves
    lifecycle   configure, flush, stats, ...      sampling    which events are kept
    collector   a place to send to, and its page, on one machine (extra "collector")
    exceptions  the tree of errors                cli, demo, spool, terminal   commands

Modules with an underscore are the machine room; _snapshot, _queue, _stock, _delivery
and _sender are the stations of a record on its way, _keeper and _spool* the disk's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._stats import FlushResult, Stats
from .context import EventFields, agent_context
from .exceptions import (
    AgentMonitorError,
    APIError,
    AuthenticationError,
    ConfigError,
    NetworkError,
)
from .handlers import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    AgentMonitorQueueListener,
)
from .lifecycle import aflush, configure, flush, shutdown, stats
from .tracking import agent_event, log_agent_call

if TYPE_CHECKING:
    from .formatter import AgentEventFormatter

__all__ = [
    "APIError",
    "AgentEventFormatter",
    "AgentMonitorError",
    "AgentMonitorHandler",
    "AgentMonitorQueueHandler",
    "AgentMonitorQueueListener",
    "AuthenticationError",
    "ConfigError",
    "EventFields",
    "FlushResult",
    "NetworkError",
    "Stats",
    "aflush",
    "agent_context",
    "agent_event",
    "configure",
    "flush",
    "log_agent_call",
    "shutdown",
    "stats",
]


def __getattr__(name: str) -> Any:
    """Load on demand what costs an import that most programs do not need."""
    if name == "AgentEventFormatter":
        from .formatter import AgentEventFormatter

        return AgentEventFormatter
    if name == "__version__":
        from importlib.metadata import version

        return version("agentmonitor-logging")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
