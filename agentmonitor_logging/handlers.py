"""The three logging classes: what users attach, what listens, what ships.

    AgentMonitorQueueHandler    on the caller's thread: a snapshot and a queue put
    AgentMonitorQueueListener   on its own thread: from the queue to the targets
    AgentMonitorHandler         record → event → sampling → redaction → bytes → sender

Each has a module of its own; this is where they are imported from.
"""

from __future__ import annotations

from ._handler import AgentMonitorHandler
from ._listener import AgentMonitorQueueListener
from ._queue_handler import AgentMonitorQueueHandler

__all__ = [
    "AgentMonitorHandler",
    "AgentMonitorQueueHandler",
    "AgentMonitorQueueListener",
]
