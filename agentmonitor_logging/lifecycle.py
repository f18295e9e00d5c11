"""Everything over all handlers of the process: configure, flush, stats, shutdown."""

from __future__ import annotations

import logging
import time
from typing import Any, List, Optional, Union

from . import _process
from ._config import wrong
from ._handler import AgentMonitorHandler, aflush_all, flush_all, standing_of_all
from ._queue_handler import AgentMonitorQueueHandler
from ._stats import FlushResult, Stats, total


def configure(
    *,
    logger: Union[str, logging.Logger, None] = None,
    level: Union[int, str] = logging.INFO,
    **options: Any,
) -> AgentMonitorQueueHandler:
    """Attach a queue handler to *logger* (the root logger by default) and return it.

    The programmatic twin of dictConfig, for scripts and notebooks; *options* are those
    of the table in README.md. The logger's level is lowered to *level* if need be.
    Called again for the same logger, it replaces what it attached before. Raises
    ConfigError.
    """
    if not isinstance(logger, (logging.Logger, str, type(None))):
        raise wrong("logger", logger, "a logger or its name")
    target = logger if isinstance(logger, logging.Logger) else logging.getLogger(logger)
    handler = AgentMonitorQueueHandler(level=level, **options)
    handler.configured_by_function = True
    earlier = [
        other
        for other in target.handlers
        if getattr(other, "configured_by_function", False)
    ]
    if earlier:
        # At one blow: a record of another thread is heard by exactly one of them.
        target.handlers[target.handlers.index(earlier[0])] = handler
    else:
        target.addHandler(handler)
    # To a logger that has one above it, NOTSET means: as that one.
    lowest = handler.level or (logging.NOTSET if target.parent is None else 1)
    if target.getEffectiveLevel() > lowest:
        target.setLevel(lowest)
    for replaced in earlier:
        target.removeHandler(replaced)
        replaced.close()
    return handler


def flush(timeout: Optional[float] = None) -> FlushResult:
    """Deliver what every handler accepted up to now, waiting at most *timeout* seconds.

    None waits as long as one request may take (the option `timeout`). The result is
    true when nothing of it is pending.
    """
    return flush_all(_shipping_handlers(), timeout)


async def aflush(timeout: Optional[float] = None) -> FlushResult:
    """Flush without blocking the event loop."""
    return await aflush_all(_shipping_handlers(), timeout)


def shutdown(timeout: Optional[float] = None) -> FlushResult:
    """Close every handler, all of them within *timeout* seconds.

    None means each one's option `shutdown_timeout`. What is logged afterwards starts
    a handler again.
    """
    began = time.monotonic()
    _process.hurry_all(timeout)
    for handler in reversed(_process.live()):
        if isinstance(handler, (AgentMonitorHandler, AgentMonitorQueueHandler)):
            # At exit all closes share one budget anyhow.
            gone = 0.0 if _process.is_exiting() else time.monotonic() - began
            handler.shutdown(max(0.0, handler.patience(timeout) - gone))
    return standing_of_all(_shipping_handlers())


def stats() -> Stats:
    """Add up what became of the events of every live handler."""
    return total(handler.stats() for handler in _shipping_handlers())


def _shipping_handlers() -> List[AgentMonitorHandler]:
    return [h for h in _process.live() if isinstance(h, AgentMonitorHandler)]
