"""Know when the processor is not the measured program's alone.

On a machine that is shared, the same code takes up to 1.8 times as long while a
neighbour is busy, for a second or a minute. That is no property of a client, but with
five rounds it falls on four of one and on none of another. So a measurement waits for a
calm moment, and is made again if that has passed by its end. Whether it has depends on
a piece of work that is always the same, and on nothing that was measured.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Dict

from results import WORST

ATTEMPTS = 6
"""How often a measurement is made, at the most."""
PATIENCE = 10.0
"""Seconds that one waits for a calm moment."""
_SLOWER = 1.3
"""More than what else a process has in its caches, less than what a neighbour does."""
_STEPS, _TIMES = 20_000, 9


def work_us() -> float:
    """Return the microseconds of processor time that the piece of work takes now."""
    return statistics.median(_once() for _ in range(_TIMES))


def _once() -> float:
    began = time.thread_time()  # of no other thread, busy as a client may still be
    sum(range(_STEPS))
    return (time.thread_time() - began) * 1e6


def wait(fastest: float) -> float:
    """Wait until the work takes hardly longer than *fastest*; return how long then."""
    end = time.monotonic() + PATIENCE
    while True:
        now = work_us()
        if now <= fastest * _SLOWER or time.monotonic() > end:
            return now
        time.sleep(0.02)


class Calm:
    """Know how fast the work is at best, and how often a measurement found it so."""

    def __init__(self, seconds: float = 3.0) -> None:
        self.fastest = work_us()
        self._made = self._repeated = self._disturbed = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._see(work_us())
            time.sleep(0.01)

    def lasted(self, figures: Dict[str, Any]) -> bool:
        """Tell whether there was calm before and after *figures* were taken."""
        before, after = figures["work_us"]
        self._see(before)
        self._see(after)
        return max(before, after) <= self.fastest * _SLOWER

    def count(self, attempts: int, *, lasted: bool) -> None:
        """Note what a measurement took, and whether it was disturbed all the same."""
        self._made += 1
        self._repeated += attempts > 1
        self._disturbed += not lasted

    def told(self) -> str:
        """Say what was counted."""
        return (
            f"Of {self._made:,} measurements that are not paced {self._repeated:,} were "
            "made again because a neighbour slowed the processor down, as a piece of "
            "work showed right before and after; of "
            f"{self._disturbed:,} no calm one could be had."
        )

    def _see(self, took: float) -> None:
        self.fastest = min(self.fastest, took)


def calmer(one: Dict[str, Any], other: Dict[str, Any]) -> Dict[str, Any]:
    """Return that of two attempts which was disturbed less; a loss in either counts."""
    kept = dict(min(one, other, key=lambda attempt: max(attempt["work_us"])))
    for name in WORST:
        if name in kept:
            kept[name] = max(one[name], other[name])
    return kept
