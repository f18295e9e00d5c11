"""The numbers of what stands in a row, as far as one has to know them.

Events are numbered as they come in, and the row they wait in is nearly always in that
order; then two numbers say it all. What came back, or was read from the disk again,
may stand before or behind others: each such piece is a run of its own.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, List, NamedTuple


class Run(NamedTuple):
    """So many in a row, of which none has a smaller number than *first*.

    Where they are in *order*, the second one's number is larger by one at least, and
    so on.
    """

    first: int
    length: int
    in_order: bool = True


class Numbers:
    """Know a number than which none in a row is smaller."""

    def __init__(self) -> None:
        self._runs: Deque[Run] = deque()

    def __repr__(self) -> str:
        return f"<Numbers {list(self._runs)}>"

    @property
    def firsts(self) -> List[int]:
        """Return numbers; none in the row is smaller than the smallest."""
        return [run.first for run in self._runs]

    def append(self, number: int, count: int = 1) -> None:
        """Add one with that *number* at the end, or *count* from that number on."""
        if self._runs:
            first, length, in_order = self._runs[-1]
            if in_order and number >= first + length:
                self._runs[-1] = Run(first, length + count)
                return
        self._runs.append(Run(number, count))

    def append_any(self, least: int) -> None:
        """Add one at the end of which is known that its number is not below *least*."""
        if self._runs and self._runs[-1].first == least and not self._runs[-1].in_order:
            self._runs[-1] = Run(least, self._runs[-1].length + 1, in_order=False)
        else:
            self._runs.append(Run(least, 1, in_order=False))

    def put_first(self, run: Run) -> None:
        """Add *run* at the beginning."""
        if run.length:
            self._runs.appendleft(run)

    def take(self, count: int) -> Run:
        """Take *count* from the beginning, and tell what is known of them."""
        taken: List[Run] = []
        left = count
        while left > 0:
            run = self._runs.popleft()
            most = min(left, run.length)
            taken.append(run._replace(length=most))
            left -= most
            if most < run.length:
                first = run.first + most if run.in_order else run.first
                self._runs.appendleft(Run(first, run.length - most, run.in_order))
        if len(taken) == 1:
            return taken[0]
        return Run(min((run.first for run in taken), default=0), count, in_order=False)

    def drop_last(self) -> None:
        """Take one from the end."""
        run = self._runs.pop()
        if run.length > 1:
            self._runs.append(run._replace(length=run.length - 1))

    def leave(self, count: int) -> None:
        """Note that only *count* are left, wherever the others stood."""
        run = Run(min(self.firsts, default=0), count, in_order=False)
        self._runs.clear()
        self.put_first(run)
