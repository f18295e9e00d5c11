"""The clients under comparison, one module each, found by name.

A module has a `NOTE` for the results, `IMPORTS`, what its users import, and a class
`Client`. Each is set up the way its own documentation does it; the one liberty taken is
a queue large enough to lose nothing of a burst where the default would, so that all do
the same work.
"""

from __future__ import annotations

import importlib
from typing import Any, Callable, Mapping, NamedTuple


class Endpoint(NamedTuple):
    """Where to send: an HTTP server, a port that reads lines, a directory to use."""

    url: str
    lines_port: int
    scratch: str


class UnsupportedError(Exception):
    """Say in one line why a client has no part in a measurement."""


class Client:
    """What a workload needs of a client; configured once, before anything is timed."""

    delivers = True
    """Whether anything reaches the sink."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Configure the client for *endpoint*."""

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return *function* such that each of its calls is an event."""
        raise UnsupportedError("has nothing to wrap a function with")

    def wrap_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the coroutine function *function*, wrapped alike."""
        return self.wrap(function)

    def log(self, message: str, *, extra: Mapping[str, Any]) -> None:
        """Log one record."""
        raise UnsupportedError("takes no log records")

    def flush(self) -> None:
        """Send what waits, after the warm-up; the client is used again."""

    def shutdown(self) -> None:
        """Deliver everything and end."""
        self.flush()


def load(name: str, endpoint: Endpoint) -> Client:
    """Return the client called *name*, configured."""
    module: Any = importlib.import_module(f"clients.{name}")
    client: Client = module.Client(endpoint)
    return client
