"""Which events wait on disk only, because memory holds no more of them."""

from __future__ import annotations

from collections import deque
from typing import AbstractSet, Deque, Iterable, List, Tuple


class Spilled:
    """Hold ids in order, in ranges: a million events of a long outage take no room."""

    def __init__(self) -> None:
        self._ranges: Deque[Tuple[int, int]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def oldest(self) -> float:
        """Return the oldest of the ids; infinity if there is none."""
        return self._ranges[0][0] if self._ranges else float("inf")

    def __repr__(self) -> str:
        return f"<Spilled {self._count} events>"

    def append(self, id_: int) -> None:
        """Add the id of an event that is newer than all that are here."""
        self._count += 1
        if self._ranges and self._ranges[-1][1] == id_ - 1:
            self._ranges[-1] = (self._ranges[-1][0], id_)
        else:
            self._ranges.append((id_, id_))

    def put_first(self, ids: Iterable[int]) -> None:
        """Add the ids of events that are older, as they were taken or had to go."""
        back = [(id_, id_) for id_ in ids]
        self._count += len(back)
        if not back:
            return
        # Others may have come back meanwhile, of which some are older still.
        newest = max(back)[0]
        while self._ranges and self._ranges[0][0] < newest:
            back.append(self._ranges.popleft())
        for first, last in sorted(back, reverse=True):
            if self._ranges and self._ranges[0][0] == last + 1:
                self._ranges[0] = (first, self._ranges[0][1])
            else:
                self._ranges.appendleft((first, last))

    def take(self, most: int) -> List[int]:
        """Take up to *most* of the oldest."""
        taken: List[int] = []
        while self._ranges and len(taken) < most:
            first, last = self._ranges.popleft()
            end = min(last, first + most - len(taken) - 1)
            taken.extend(range(first, end + 1))
            if end < last:
                self._ranges.appendleft((end + 1, last))
        self._count -= len(taken)
        return taken

    def discard(self, ids: AbstractSet[int]) -> int:
        """Leave *ids* out; return how many of them were here."""
        kept = Spilled()
        lowest, highest = min(ids, default=0), max(ids, default=0)
        for first, last in self._ranges:
            if first <= highest and lowest <= last:
                for id_ in range(first, last + 1):
                    if id_ not in ids:
                        kept.append(id_)
            else:
                kept._ranges.append((first, last))
                kept._count += last - first + 1
        gone = self._count - kept._count
        self._ranges, self._count = kept._ranges, kept._count
        return gone

    def clear(self) -> int:
        """Forget all; return how many there were."""
        count, self._count = self._count, 0
        self._ranges.clear()
        return count
