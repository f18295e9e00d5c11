"""What waits to be sent, in memory: bounded in bytes, oldest first.

It knows nothing of time, threads or the network. Whoever owns it (the sender)
guards it with a lock of its own.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import AbstractSet, Collection, Deque, Iterable, List, Optional, Sequence

from ._batch import Batch, Event, Isolation, spool_id_of, spool_ids
from ._numbers import Numbers

_OVERHEAD = 64
"""Bytes that CPython spends on an event besides its text: a bytes object's header and
its place in the deque, so that a million tiny events stay within the bound too. One
that lies in the spool takes fifty more."""


class Buffer:
    """Hold encoded events, and batches that came back, up to *max_bytes* in all."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._events: Deque[Event] = deque()
        self._batches: Deque[Batch] = deque()
        self._bytes = 0
        self._numbers = Numbers()
        """When the loose events came in."""

    def __len__(self) -> int:
        return len(self._events) + sum(map(len, self._batches))

    def __repr__(self) -> str:
        return f"<Buffer {len(self)} events, {len(self._batches)} of them batched>"

    @property
    def loose(self) -> int:
        """Return how many events are in no batch yet."""
        return len(self._events)

    @property
    def has_batch(self) -> bool:
        """Tell whether a batch that came back waits."""
        return bool(self._batches)

    @property
    def is_half_full(self) -> bool:
        """Tell whether half of the bytes are taken."""
        return self._bytes * 2 >= self._max_bytes

    @property
    def half(self) -> int:
        """Return how many events like those that are in no batch fill half of it."""
        return self._max_bytes * len(self._events) // (2 * max(1, self._bytes))

    @property
    def firsts(self) -> List[int]:
        """Return numbers; no event here is older than the smallest."""
        return [batch.numbers.first for batch in self._batches] + self._numbers.firsts

    @property
    def batched(self) -> Iterable[Batch]:
        """Return the batches that came back."""
        return self._batches

    @property
    def spool_ids(self) -> List[int]:
        """Return what the spool calls those that lie there too."""
        held = [event for batch in self._batches for event in batch.events]
        return spool_ids(held) + spool_ids(self._events)

    def has_room_for(self, *events: Event) -> bool:
        """Tell whether *events* can be added without another going."""
        return self._bytes + _weight(events) <= self._max_bytes

    def add(self, event: Event, number: int) -> List[Event]:
        """Add *event*, the newest; return those that had to go to make room."""
        self._numbers.append(number)
        return self._add(event)

    def add_fitting(self, events: Sequence[Event], number: int) -> None:
        """Add *events*, the newest, for which there is room; the first has *number*."""
        self._numbers.append(number, len(events))
        self._events.extend(events)
        self._bytes += _weight(events)

    def add_again(self, event: Event, least: int) -> List[Event]:
        """Do the same with one that came in before, but not before *least* did."""
        self._numbers.append_any(least)
        return self._add(event)

    def _add(self, event: Event) -> List[Event]:
        self._events.append(event)
        self._bytes += len(event) + _OVERHEAD
        return self._make_room()

    def take(self, max_events: int, max_bytes: int) -> Optional[Batch]:
        """Take what shall be sent next: a batch that came back, else a new one.

        A new batch holds as many of the oldest events as fit, at least one.
        """
        if self._batches:
            batch = self._batches.popleft()
            self._bytes -= _weight(batch.events)
            return batch
        count = min(max_events, len(self._events))
        if sum(map(len, islice(self._events, count))) + count > max_bytes:
            count = self._fitting(max_bytes)
        events = [self._events.popleft() for _ in range(count)]
        self._bytes -= _weight(events)
        numbers = self._numbers.take(len(events))
        return Batch(events, numbers=numbers) if events else None

    def _fitting(self, room: int) -> int:
        """Return how many of the oldest events fit into *room* bytes; at least one."""
        count = 0
        for event in self._events:
            room -= len(event) + 1
            if room < 0 and count:
                break
            count += 1
        return count

    def put_first(self, batches: Iterable[Batch]) -> List[Event]:
        """Put *batches* back, to be the next; return the events that had to go."""
        for batch in reversed(list(batches)):
            self._batches.appendleft(batch)
            self._bytes += _weight(batch.events)
        return self._make_room()

    def put_last(self, batch: Batch) -> List[Event]:
        """Put *batch* behind the other batches, so that they get their turn."""
        self._batches.append(batch)
        self._bytes += _weight(batch.events)
        return self._make_room()

    def put_beside(self, isolation: Isolation, parts: Iterable[Batch]) -> List[Event]:
        """Put *parts* behind those of the same batch, before anything else.

        So the larger parts of a batch are asked about before the smaller, which soon
        shows whether the server takes anything, and one batch after the other.
        """
        kin = [i for i, b in enumerate(self._batches) if b.isolation is isolation]
        place = kin[-1] + 1 if kin else 0
        for offset, part in enumerate(parts):
            self._batches.insert(place + offset, part)
            self._bytes += _weight(part.events)
        return self._make_room()

    def take_out(self, isolation: Isolation) -> List[Event]:
        """Take out all parts of the batch that *isolation* is about."""
        parts = [batch for batch in self._batches if batch.isolation is isolation]
        for batch in parts:
            self._batches.remove(batch)
            self._bytes -= _weight(batch.events)
        return [event for batch in parts for event in batch.events]

    def unpack(self) -> None:
        """Take the batches apart: no server has seen them, so no key binds them."""
        # One that failed too often may stand behind those that are newer.
        for batch in sorted(self._batches, key=_first_of, reverse=True):
            self._put_loose(batch)
        self._batches.clear()

    def discard(self, ids: AbstractSet[int]) -> int:
        """Leave out the loose events that the spool calls *ids*; return how many."""
        kept = deque(one for one in self._events if spool_id_of(one) not in ids)
        gone, self._events = self._events, kept
        if len(kept) < len(gone):
            self._numbers.leave(len(kept))
        self._bytes += _weight(kept) - _weight(gone)
        return len(gone) - len(kept)

    def take_unspooled(self, vanished: AbstractSet[int]) -> List[Event]:
        """Take what is in memory only; *vanished* are no longer in the spool."""

        def is_loose(event: Event) -> bool:
            id_ = spool_id_of(event)
            return id_ is None or id_ in vanished

        torn = [b for b in self._batches if any(map(is_loose, b.events))]
        for batch in sorted(torn, key=_first_of, reverse=True):
            self._put_loose(batch)
            self._batches.remove(batch)
        taken = [event for event in self._events if is_loose(event)]
        self._events = deque(one for one in self._events if not is_loose(one))
        if taken:
            self._numbers.leave(len(self._events))
        self._bytes -= _weight(taken)
        return taken

    def _put_loose(self, batch: Batch) -> None:
        """Put the events of *batch* before the loose ones."""
        self._events.extendleft(reversed(batch.events))
        self._numbers.put_first(batch.numbers)

    def _make_room(self) -> List[Event]:
        """Let something go: the newest that the spool has too, else the oldest."""
        gone: List[Event] = []
        while self._bytes > self._max_bytes and len(self) > 1:
            if self._events and spool_id_of(self._events[-1]) is not None:
                going: Collection[Event] = (self._events.pop(),)
                self._numbers.drop_last()
            else:
                going = self._oldest()
            gone.extend(going)
            self._bytes -= _weight(going)
        return gone

    def _oldest(self) -> Collection[Event]:
        if self._batches:
            return self._batches.popleft().events
        self._numbers.take(1)
        return (self._events.popleft(),)


def _first_of(batch: Batch) -> int:
    return batch.numbers.first


def _weight(events: Collection[Event]) -> int:
    return sum(map(len, events)) + _OVERHEAD * len(events)
