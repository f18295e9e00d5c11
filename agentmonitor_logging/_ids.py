"""Random ids: for events, traces and spans.

The randomness is the operating system's, fetched for many ids at a time because a
system call costs as much as a good part of a log record. Python's own generator
would do as the application's `random.seed` says, and so repeat ids.
"""

from __future__ import annotations

import os
from typing import List

_IDS_AT_ONCE = 256

_pool: List[str] = []
_pid = 0


def short_id() -> str:
    """Return 16 hex digits."""
    if os.getpid() != _pid:
        _refill()
    try:
        return _pool.pop()
    except IndexError:
        # Two threads may both refill, and one may be robbed of all it refilled.
        _refill()
        return os.urandom(8).hex()


def long_id() -> str:
    """Return 32 hex digits."""
    return short_id() + short_id()


def _refill() -> None:
    """Fill the pool; in a forked child first forget what the parent will use."""
    global _pid  # noqa: PLW0603 - read for every record, where an attribute costs
    if os.getpid() != _pid:
        _pool.clear()
        _pid = os.getpid()
    digits = os.urandom(8 * _IDS_AT_ONCE).hex()
    _pool.extend(digits[i : i + 16] for i in range(0, len(digits), 16))
