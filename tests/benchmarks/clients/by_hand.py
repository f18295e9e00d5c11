"""What a person writes around a call who has nothing but `logging`.

For every client that is a handler: the clock, and one record with input, output and
latency. Success only, as the workloads never fail.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import Any, Callable

from clients import Client, Endpoint


class LoggingClient(Client):
    """A client that is a handler of the standard library's logging."""

    def __init__(self, endpoint: Endpoint) -> None:
        logger = logging.getLogger("bench")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        self.logger = logger
        self.handler = self.make_handler(endpoint)
        logger.addHandler(self.handler)
        self.log = logger.info  # type: ignore[method-assign,assignment]

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the handler."""
        raise NotImplementedError

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Log after each call."""
        name, log, clock = function.__name__, self.logger.info, time.perf_counter

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            output = function(*args, **kwargs)
            latency = (clock() - began) * 1000
            given = {"args": args, "kwargs": kwargs}
            log(
                "%s ok",
                name,
                extra={"input": given, "output": output, "latency_ms": latency},
            )
            return output

        return wrapper

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Log after each call has been awaited."""
        name, log, clock = function.__name__, self.logger.info, time.perf_counter

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            began = clock()
            output = await function(*args, **kwargs)
            latency = (clock() - began) * 1000
            given = {"args": args, "kwargs": kwargs}
            log(
                "%s ok",
                name,
                extra={"input": given, "output": output, "latency_ms": latency},
            )
            return output

        return wrapper
