"""This package beside `orjson`, which it uses where it finds it."""

from __future__ import annotations

import orjson  # noqa: F401  (fails here, and visibly, where it is not installed)
from clients import ours

NOTE = "with `orjson` installed"
IMPORTS = ours.IMPORTS


class Client(ours.Client):
    """Configure nothing: the requirements make the difference."""
