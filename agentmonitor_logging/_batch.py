"""What travels in one request: encoded events under one idempotency key."""

from __future__ import annotations

from typing import Collection, Iterable, List, Optional, Sequence, Tuple, Union

from ._ids import long_id
from ._numbers import Run

REQUESTS_IN_DOUBT = 8
"""How many refusals in a row a batch may cost that follows one of which the server
refused every event. Halving asks about both halves and all quarters with seven."""
_TELLING_SIZE = 10
"""From how many refused events on it is believed that the server refuses everything."""


class LossEvent(bytes):
    """An encoded event that tells of losses, and whose own loss is not told of."""

    __slots__ = ()


class SpooledEvent:
    """An encoded event that lies in the spool too; *spool_id* is its name there.

    It is None from when the spool had to let it go before it was delivered.
    """

    # Beside the body: a kind of bytes with a name would be a copy of it, and to touch
    # as much memory again costs more than to write it to the disk.
    __slots__ = ("body", "spool_id")

    def __init__(self, body: bytes, spool_id: int) -> None:
        self.body = body
        self.spool_id: Optional[int] = spool_id

    def __len__(self) -> int:
        return len(self.body)


Event = Union[bytes, SpooledEvent]
"""An encoded event; its length is that of its JSON."""

_IN_MEMORY = frozenset((bytes, LossEvent))


def body_of(event: Event) -> bytes:
    """Return the JSON of *event*."""
    return event.body if isinstance(event, SpooledEvent) else event


def spool_id_of(event: Event) -> Optional[int]:
    """Return what the spool calls *event*; None for one that is in memory only."""
    return event.spool_id if isinstance(event, SpooledEvent) else None


def are_in_memory_only(events: Iterable[Event]) -> bool:
    """Tell at a glance whether none of *events* lies in the spool."""
    return _IN_MEMORY.issuperset(map(type, events))


def forget_spool(event: Event) -> None:
    """Note that *event* is in memory only from now on."""
    if isinstance(event, SpooledEvent):
        event.spool_id = None


def spool_ids(events: Collection[Event]) -> List[int]:
    """Return the ids of those of *events* that lie in the spool."""
    if are_in_memory_only(events):
        return []
    return [id_ for id_ in map(spool_id_of, events) if id_ is not None]


class Isolation:
    """Bound what it may cost to find the refused events of one batch of *size*."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._refusals = 0
        self.accepted = False
        """Whether part of the batch got through, so that the search is worth it."""

    def refused(self) -> None:
        """Note a refusal."""
        self._refusals += 1

    def hopeless(self, *, in_doubt: bool) -> bool:
        """Tell whether to stop asking.

        Halving a batch down to each of its events takes 2 * size - 1 requests; *in
        doubt* whether the server takes anything, not all of them are worth it.
        """
        worth = 2 * self._size - 1
        if in_doubt:
            worth = min(worth, REQUESTS_IN_DOUBT)
        return not self.accepted and self._refusals >= worth

    @property
    def casts_doubt(self) -> bool:
        """Tell whether a hopeless batch was large enough to say something."""
        return self._size >= _TELLING_SIZE


class Batch:
    """Hold 1 to 100 encoded events; the key stays the same over all tries.

    *numbers* say when they came in.
    """

    __slots__ = ("events", "isolation", "key", "numbers", "tries")

    def __init__(
        self,
        events: Sequence[Event],
        isolation: Optional[Isolation] = None,
        numbers: Optional[Run] = None,
    ) -> None:
        self.events: Tuple[Event, ...] = tuple(events)
        self.isolation = isolation
        self.numbers = numbers or Run(0, len(self.events), in_order=False)
        self.key = long_id()
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
        first, *others = map(body_of, self.events)
        if not others:
            return b'{"events":[' + first + b"]}"
        # All in one go: half a megabyte is not copied again for two brackets.
        last = others.pop()
        return b",".join((b'{"events":[' + first, *others, last + b"]}"))

    def halves(self) -> List[Batch]:
        """Split it in two, each with a key of its own."""
        middle = len(self.events) // 2
        first, _, in_order = self.numbers
        upper = first + middle if in_order else first
        return self._parts((first, self.events[:middle]), (upper, self.events[middle:]))

    def divide(self, indices: Iterable[int]) -> Tuple[List[Event], List[Batch]]:
        """Take out the events at *indices*; return them, and the rest as a batch."""
        named = set(indices)
        out = [event for i, event in enumerate(self.events) if i in named]
        rest = [event for i, event in enumerate(self.events) if i not in named]
        return out, self._parts((self.numbers.first, rest))

    def _parts(self, *parts: Tuple[int, Sequence[Event]]) -> List[Batch]:
        return [
            Batch(part, self.isolation, Run(first, len(part), self.numbers.in_order))
            for first, part in parts
            if part
        ]
