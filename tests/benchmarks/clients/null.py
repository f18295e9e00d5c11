"""The least that `logging` costs: a record is made and thrown away."""

from __future__ import annotations

import logging

from clients import Endpoint
from clients.by_hand import LoggingClient

NOTE = "`NullHandler`: a record is made and thrown away"
IMPORTS = "import logging"


class Client(LoggingClient):
    """Log to the standard NullHandler."""

    delivers = False

    def make_handler(self, endpoint: Endpoint) -> logging.Handler:
        """Return the handler."""
        return logging.NullHandler()
