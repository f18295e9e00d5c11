"""What travels in one request: encoded events under one idempotency key."""

from __future__ import annotations

import os
from typing import Iterable, List, Optional, Sequence, Tuple

ISOLATION_REQUESTS = 64
"""How many refusals in a row a batch may cost before it is believed that the server
refuses every event of it. Sixty-three are needed to ask about each run of three
events in a batch of a hundred."""
ISOLATION_REQUESTS_IN_DOUBT = 8
"""The same for a batch that follows one which was refused whole."""


class LossEvent(bytes):
    """An encoded event that tells of losses, and whose own loss is not told of."""


class Isolation:
    """Bound what it may cost to find the refused events of one batch."""

    def __init__(self, requests: int) -> None:
        self._left = requests
        self.anything_accepted = False

    def refused(self) -> None:
        """Note a refusal."""
        self._left -= 1

    def accepted(self) -> None:
        """Note that part of the batch got through, so that the search is worth it."""
        self.anything_accepted = True

    @property
    def hopeless(self) -> bool:
        """Tell whether to stop asking."""
        return not self.anything_accepted and self._left <= 0


class Batch:
    """Hold 1 to 100 encoded events; the key stays the same over all tries."""

    __slots__ = ("events", "isolation", "key", "tries")

    def __init__(
        self, events: Sequence[bytes], isolation: Optional[Isolation] = None
    ) -> None:
        self.events: Tuple[bytes, ...] = tuple(events)
        self.isolation = isolation
        self.key = os.urandom(16).hex()
        self.tries = 0

    def __repr__(self) -> str:
        return f"<Batch {self.key[:8]}, {len(self)} events, {self.tries} tries>"

    def __len__(self) -> int:
        return len(self.events)

    @property
    def size(self) -> int:
        """Return the bytes of its events."""
        return sum(map(len, self.events))

    def body(self) -> bytes:
        """Return the request's body; every event was encoded once, long before."""
        return b'{"events":[' + b",".join(self.events) + b"]}"

    def halves(self) -> List[Batch]:
        """Split it in two, each with a key of its own."""
        middle = len(self.events) // 2
        return self._parts(self.events[:middle], self.events[middle:])

    def divide(self, indices: Iterable[int]) -> Tuple[List[bytes], List[Batch]]:
        """Take out the events at *indices*; return them, and the rest as a batch."""
        named = set(indices)
        out = [event for i, event in enumerate(self.events) if i in named]
        rest = [event for i, event in enumerate(self.events) if i not in named]
        return out, self._parts(rest)

    def _parts(self, *parts: Sequence[bytes]) -> List[Batch]:
        return [Batch(part, self.isolation) for part in parts if part]
