"""Sentry: a transaction a call, its logs for records."""

from __future__ import annotations

import functools
import json
import logging
from typing import Any, Callable

import sentry_sdk
from clients import Endpoint
from clients.by_hand import LoggingClient

NOTE = (
    "a transaction a call, each a request of its own, compressed; W3 by its "
    "logs; its queue at 100,000"
)
IMPORTS = "import sentry_sdk"
QUEUE = 100_000
"""Of the default, 100, a burst loses nearly all."""


class Client(LoggingClient):
    """Wrap in start_transaction, log to what the SDK has put into logging."""

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return a handler that does nothing: the SDK has its own ways."""
        sentry_sdk.init(
            dsn=endpoint.url.replace("http://", "http://bench@") + "/1",
            traces_sample_rate=1.0,
            enable_logs=True,
            transport_queue_size=QUEUE,
        )
        return logging.NullHandler()

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a transaction of each call."""
        name, start = function.__name__, sentry_sdk.start_transaction

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with start(op="gen_ai.chat", name=name) as span:
                span.set_data("gen_ai.request.messages", json.dumps(kwargs or args[0]))
                output = function(*args, **kwargs)
                span.set_data("gen_ai.response.text", json.dumps(output))
                return output

        return wrapper

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Make a transaction of each call that is awaited."""
        name, start = function.__name__, sentry_sdk.start_transaction

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            with start(op="gen_ai.chat", name=name) as span:
                span.set_data("gen_ai.request.messages", json.dumps(kwargs or args[0]))
                output = await function(*args, **kwargs)
                span.set_data("gen_ai.response.text", json.dumps(output))
                return output

        return wrapper

    def flush(self) -> None:
        """Send what waits."""
        sentry_sdk.flush(timeout=120)

    def shutdown(self) -> None:
        """Send the rest and end."""
        sentry_sdk.flush(timeout=120)
        sentry_sdk.get_client().close(timeout=5)
