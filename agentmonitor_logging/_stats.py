"""The ledger: accepted = delivered + pending + lost by reason, at every moment.

Any thread, a signal handler or a finaliser may enter a count while another count is
being entered on the very same thread. So an entry is one `deque.append`, which
cannot be torn, and whoever finds the ledger free adds the entries up.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Deque,
    Dict,
    Iterable,
    List,
    Optional,
    Tuple,
)

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:

    def dataclass_transform(**_: Any) -> Any:
        return lambda kind: kind


SAMPLED = "sampled"
"""The reason of events left out by `sample_rate`: wanted, so never warned about."""

_LOST = "lost:"
_READ_PATIENCE = 0.2
"""Seconds to wait for a consistent reading; a reader inside a signal handler that
interrupted an entry gets one that may lack that entry, rather than a deadlock."""


@dataclass_transform(frozen_default=True)
class _Values:
    """Hold what it was made of, for good; equal to what holds the same.

    To type checkers it is a frozen dataclass; to import those would take a sixth of
    the time of our import.
    """

    def _hold(self, **parts: Any) -> None:
        vars(self).update(parts)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} tells of one moment: no change")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)


class Stats(_Values):
    """Show what became of the events of a handler since its process started.

    *accepted*, *delivered*, *pending* and *lost* (by reason) count events; *retried*
    and *requests* count HTTP requests; *spooled* counts events waiting on disk.
    """

    accepted: int
    delivered: int
    pending: int
    lost: Dict[str, int]
    retried: int
    requests: int
    spooled: int

    def __init__(  # noqa: PLR0917 - it was a dataclass's
        self,
        accepted: int = 0,
        delivered: int = 0,
        pending: int = 0,
        lost: Optional[Dict[str, int]] = None,
        retried: int = 0,
        requests: int = 0,
        spooled: int = 0,
    ) -> None:
        self._hold(
            accepted=accepted,
            delivered=delivered,
            pending=pending,
            lost={} if lost is None else lost,
            retried=retried,
            requests=requests,
            spooled=spooled,
        )

    def with_spooled(self, spooled: int) -> Stats:
        """Return the same with *spooled* events waiting on disk."""
        return Stats(**{**vars(self), "spooled": spooled})

    def __add__(self, other: Stats) -> Stats:
        lost = dict(self.lost)
        for reason, count in other.lost.items():
            lost[reason] = lost.get(reason, 0) + count
        return Stats(
            self.accepted + other.accepted,
            self.delivered + other.delivered,
            self.pending + other.pending,
            lost,
            self.retried + other.retried,
            self.requests + other.requests,
            self.spooled + other.spooled,
        )


class FlushResult(_Values):
    """Tell what a flush left: true when nothing that it waited for is pending.

    *delivered* and *lost* are the counts of the handler when the flush returned,
    *pending* those of the events accepted before it that are still under way.
    """

    delivered: int
    pending: int
    lost: int

    def __init__(self, delivered: int, pending: int, lost: int) -> None:
        self._hold(delivered=delivered, pending=pending, lost=lost)

    def __bool__(self) -> bool:
        return self.pending == 0


class Ledger:
    """Count what becomes of events, without ever making anybody wait."""

    def __init__(self) -> None:
        self._entries: Deque[Tuple[Tuple[str, int], ...]] = deque()
        self._adding = threading.Lock()
        self._totals: Dict[str, int] = {}
        self._told: Dict[str, int] = {}
        self._sources: List[Callable[[], int]] = []
        self._waiting: List[queue.SimpleQueue[None]] = []

    def reset_after_fork(self) -> None:
        """Start from zero in a child: what was pending is the parent's to deliver."""
        sources, waiting = self._sources, self._waiting
        self.__init__()  # type: ignore[misc]
        self._sources = sources
        for news in waiting:
            # A signal handler forked in the midst of a wait, and returns to it.
            news.put(None)

    def add_source(self, entered: Callable[[], int]) -> None:
        """Count what *entered* says on top: a queue that counts for itself."""
        self._sources.append(entered)

    def accept(self, count: int = 1) -> None:
        """Enter events that we answer for from here on."""
        self._enter(("accepted", count))

    def withdraw(self, count: int = 1) -> None:
        """Take back an acceptance: a level or filter of the target said no."""
        self._enter(("withdrawn", count))

    def deliver(self, count: int) -> None:
        """Enter events that the server acknowledged."""
        self._enter(("delivered", count))

    def lose(self, reason: str, count: int = 1) -> None:
        """Enter accepted events that will never arrive."""
        self._enter((_LOST + reason, count))

    def refuse(self, reason: str, count: int = 1) -> None:
        """Enter events that are lost before they could be accepted."""
        self._enter(("accepted", count), (_LOST + reason, count))

    def request(self, *, again: bool) -> None:
        """Enter a request, and whether it repeats an earlier one."""
        self._enter(("requests", 1), ("retried", int(again)))

    def stats(self) -> Stats:
        """Return the counts, such that they add up."""
        return _stats_from(*self._read())

    def mark(self) -> int:
        """Return the count that `settled` reaches when all up to now is settled."""
        return self._read()[1]

    def settled(self) -> int:
        """Count the events whose fate is known, withdrawn ones included."""
        totals, entered = self._read()
        return entered - _stats_from(totals, entered).pending

    def wait(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait for what comes true by entries, at most to the monotonic *deadline*."""
        news: queue.SimpleQueue[None] = queue.SimpleQueue()
        waiting = self._waiting
        waiting.append(news)
        try:
            # A child that is forked meanwhile counts from zero, and has other waiters.
            while waiting is self._waiting and not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                try:
                    news.get(timeout=left)
                except queue.Empty:
                    return condition()
            return True
        finally:
            waiting.remove(news)

    def nudge(self) -> None:
        """Have those who wait look again."""
        for news in tuple(self._waiting):
            news.put(None)

    def take_untold_losses(self) -> Dict[str, int]:
        """Return the losses by reason that no loss event has told of, and tick them."""
        lost = self.stats().lost
        untold = {
            reason: count - self._told.get(reason, 0)
            for reason, count in lost.items()
            if reason != SAMPLED and count > self._told.get(reason, 0)
        }
        self._told.update((reason, lost[reason]) for reason in untold)
        return untold

    def tell(self, reason: str, count: int) -> None:
        """Tick losses that are not to be told of: those of a loss event itself."""
        self._told[reason] = self._told.get(reason, 0) + count

    def _read(self) -> Tuple[Dict[str, int], int]:
        adding = self._adding  # a child that is forked in the midst has another
        held = adding.acquire(timeout=_READ_PATIENCE)
        try:
            if held:
                self._add_up()
            totals = dict(self._totals)
            # Read last: what is counted as settled above has entered before.
            sources = sum(source() for source in self._sources)
        finally:
            if held:
                adding.release()
        return totals, totals.get("accepted", 0) + sources

    def _enter(self, *entry: Tuple[str, int]) -> None:
        self._entries.append(entry)
        # Whoever is adding up looks again after it lets go, so that an entry which
        # finds the ledger busy is not left lying.
        adding = self._adding
        while self._entries and adding.acquire(blocking=False):
            try:
                self._add_up()
            finally:
                adding.release()
        self.nudge()

    def _add_up(self) -> None:
        totals, entries = self._totals, self._entries  # a child's are others
        while entries:
            for name, count in entries.popleft():
                totals[name] = totals.get(name, 0) + count


def _stats_from(totals: Dict[str, int], entered: int) -> Stats:
    lost = {
        name[len(_LOST) :]: count
        for name, count in totals.items()
        if name.startswith(_LOST) and count
    }
    accepted = entered - totals.get("withdrawn", 0)
    delivered = totals.get("delivered", 0)
    return Stats(
        accepted=accepted,
        delivered=delivered,
        pending=accepted - delivered - sum(lost.values()),
        lost=lost,
        retried=totals.get("retried", 0),
        requests=totals.get("requests", 0),
    )


def total(many: Iterable[Stats]) -> Stats:
    """Add up the stats of several handlers."""
    return sum(many, Stats())
