"""Random ids: for events, traces and spans.

The randomness is the operating system's, fetched for many ids at a time because a
system call costs as much as a good part of a log record; a hook of the fork, and not
a look at the process id, sees to it that a child draws its own. Python's own
generator would do as the application's `random.seed` says, and so repeat ids. Each id
is cut out when it is drawn: whoever found the pool empty would wait for all of them.
"""

from __future__ import annotations

import os
from typing import List, Tuple

_IDS_AT_ONCE = 128
"""So many that few calls in a hundred fetch any, and so few that these hardly wait."""

forks = 0
"""How many forks lie between this process and the one in which they were watched."""


class _Pool:
    """Hold hex ids of *size* bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._width = 2 * size
        # Together, and the list never another's: what is cut where has to fit.
        self._drawn: Tuple[str, List[int]] = ("", [])

    def draw(self) -> str:
        """Return an id that no other call returns, in any process."""
        digits, starts = self._drawn
        try:
            start = starts.pop()
        except IndexError:
            # Two threads may both refill, and one may be robbed of all it refilled.
            self._refill()
            return os.urandom(self._size).hex()
        return digits[start : start + self._width]

    def _refill(self) -> None:
        watch_forks()
        seen = -1
        while seen != forks:
            # A signal handler may have forked since: what the parent will use, goes.
            self.clear()
            seen = forks
            digits = os.urandom(self._size * _IDS_AT_ONCE).hex()
            self._drawn = digits, list(range(0, len(digits), self._width))

    def clear(self) -> None:
        self._drawn[1].clear()


_short = _Pool(8)
_long = _Pool(16)

short_id = _short.draw
"""Return 16 hex digits."""

long_id = _long.draw
"""Return 32 hex digits."""

_hooked = False


def watch_forks() -> None:
    """Have a child begin with empty pools."""
    global _hooked  # noqa: PLW0603 - once per process, and not at import
    if not _hooked and hasattr(os, "register_at_fork"):
        _hooked = True
        # Before, too: an earlier hook of the child's may draw an id.
        os.register_at_fork(before=_forget, after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    global forks  # noqa: PLW0603 - compared where a list is filled
    forks += 1
    _forget()


def _forget() -> None:
    _short.clear()
    _long.clear()
