"""This package with a spool: every event is on disk before it is sent."""

from __future__ import annotations

import os
from typing import Any, Dict

from clients import Endpoint, ours

NOTE = "with `spool`"
IMPORTS = ours.IMPORTS


class Client(ours.Client):
    """Spool into the scratch directory."""

    def options(self, endpoint: Endpoint) -> Dict[str, Any]:
        """Return what is not left at its default."""
        return {"spool": os.path.join(endpoint.scratch, "spool")}
