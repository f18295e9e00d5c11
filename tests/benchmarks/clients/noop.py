"""No client at all: what the workload and the measuring cost by themselves."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import clients

NOTE = "the bare function; what all the others pay too"
IMPORTS = "pass"


class Client(clients.Client):
    """Do nothing."""

    delivers = False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function itself."""
        return function

    def log(self, message: str, *, extra: Mapping[str, Any]) -> None:
        """Do nothing."""
