"""When the next request may start: back-off as a date, not as a sleep.

One destination has one pace. A server that fails one request would most likely fail
the next, so a failure holds everything back, and while it lasts one request at a
time finds out whether it is over.
"""

from __future__ import annotations

import random as _random
import time
from typing import Callable, Optional

FIRST_DELAY = 1.0
MAX_DELAY = 60.0
"""Seconds between two probes at the most (design.md, section 5)."""
JITTER = 0.2
"""The share by which a delay is spread up or down, so that the processes of a fleet
do not return in step. OpenTelemetry's exporters use the same."""


class Pacing:
    """Know whether delivery is healthy, backing off or paused, and until when."""

    def __init__(
        self,
        retry_attempts: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._retry_attempts = retry_attempts
        self._clock = clock
        self._random = random
        self._not_before = 0.0
        self._asked_until = 0.0
        """Until when the server asked us to wait."""
        self.failures = 0
        self.paused = False

    def __repr__(self) -> str:
        state = "paused" if self.paused else "backing off"
        return f"<Pacing {'healthy' if self.healthy else state}, {self.wait():.1f} s>"

    @property
    def healthy(self) -> bool:
        """Tell whether the last request got through."""
        return not self.failures

    def wait(self) -> float:
        """Return the seconds until a request may start."""
        return max(0.0, self._not_before - self._clock())

    def succeeded(self) -> None:
        """Note that the server works."""
        self.failures = 0
        self.paused = False
        self._not_before = self._asked_until = 0.0

    def failed(self, retry_after: Optional[float] = None) -> bool:
        """Note that a request found no server, and whether that pauses delivery now."""
        at_least = retry_after or 0.0
        if retry_after is not None:
            self._asked_until = self._clock() + retry_after
        if self.wait():
            # Another request of the same wave has failed already: one failure.
            self._not_before = max(self._not_before, self._clock() + at_least)
            return False
        self._back_off(at_least)
        return self._pause(self.failures > self._retry_attempts)

    def refused(self) -> bool:
        """Note a wrong key or address, and whether that pauses delivery now."""
        self._back_off(0.0)
        return self._pause(True)

    def bring_forward(self) -> None:
        """Allow one request at once, as somebody waits, but none before Retry-After."""
        self._not_before = min(self._not_before, self._asked_until)

    def _back_off(self, at_least: float) -> None:
        # The exponent is capped, as 2.0 ** 1025 overflows after a week of outage.
        delay = min(MAX_DELAY, FIRST_DELAY * 2.0 ** min(self.failures, 10))
        delay *= 1 - JITTER + 2 * JITTER * self._random()
        self.failures += 1
        self._not_before = self._clock() + max(min(delay, MAX_DELAY), at_least)

    def _pause(self, condition: bool) -> bool:
        begins = condition and not self.paused
        self.paused = self.paused or condition
        return begins
