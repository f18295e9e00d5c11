"""The queue of records between the caller's threads and the listener's.

`queue.Queue` takes a lock in `put` that is not re-entrant: a signal handler or a
finaliser that logs in the middle of it waits for itself for ever, and so does a child
forked meanwhile. Here a put is one `deque.append`. And the listener is woken for
the first record after a pause only. Then it looks up every `GATHER_SECONDS` as long as
records keep coming, because a wake-up costs more than a record, and the caller pays it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from threading import get_ident
from typing import Any, Deque, Dict, List, Optional, Sequence

from ._passage import Passed

GATHER_SECONDS = 0.05
"""How long the listener lets records gather after the first: short enough that nobody
who watches notices, long enough that 2,000 records a second cost 20 wake-ups."""

GATHER_RECORDS = 500
"""The number of gathered records at which the listener is woken before its time: so
many that fewer than one call in a hundred has to wake it, however fast they come."""

SLICE_SECONDS = 0.001
"""How long the listener works on records before it lets the application's threads run:
else they wait for the interpreter lock as long as its switch interval, 5 ms."""

BACKLOG = 10_000
"""From how many waiting records on, or with half a queue full, the listener does not
pause: the application's threads log faster than it works, so it takes what it can get.
Up to there a burst is better off with the processor, and is caught up with later."""

PAUSE_SECONDS = 0.00001
"""How long it pauses: long enough for another thread to take the lock."""

HOLD_SECONDS = 0.01
"""How long records stay for a moment where they are, with a server that is slow but
gets on: it takes a hundred or two meanwhile."""

_READ_PATIENCE = 0.2
_NEVER = float("inf")


class RecordQueue:
    """Hold at most *maxsize* records; nobody waits to put one in.

    Offers what `logging.handlers` needs of a queue: put_nowait, get, qsize.
    """

    def __init__(
        self,
        maxsize: int,
        gather_seconds: float = GATHER_SECONDS,
        gather_records: int = GATHER_RECORDS,
    ) -> None:
        self.maxsize = maxsize
        self._backlog = min(BACKLOG, maxsize // 2)
        self._gather_seconds = gather_seconds
        self._gather_records = gather_records
        self._records: Deque[Any] = deque()
        self._taking = threading.Lock()
        self._taken = 0
        self._returns = 0
        """How often something was put back."""
        self._in_hand: Dict[int, int] = {}
        """The number of the first record that each thread has taken and not done."""
        self._wake_at: float = _NEVER
        self._resumed = 0.0
        self._flowing = False
        self.overflowed = False
        """Whether a record found no room; the listener tells, not the caller."""
        # A SimpleQueue, not an Event: its put is safe in a signal handler.
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()

    def put_nowait(self, record: Any) -> None:
        """Add *record* without waiting; raise `queue.Full` where there is no room."""
        records = self._records
        if len(records) >= self.maxsize:
            self.overflowed = True
            raise queue.Full
        records.append(record)
        if len(records) >= self._wake_at:
            self.hurry()

    def get_nowait(self) -> Any:
        """Take the oldest record; raise `queue.Empty` where there is none."""
        thread = get_ident()
        with self._taking:
            if not self._records:
                raise queue.Empty
            if thread not in self._in_hand:
                self._in_hand[thread] = self._taken
            self._taken += 1
            return self._records.popleft()

    def take(self, most: int) -> List[Any]:
        """Take the oldest records, at most so many; nothing where there is none."""
        thread = get_ident()
        taking = self._taking
        if not taking.acquire(timeout=_READ_PATIENCE):  # see can_take
            return []
        try:
            count = min(most, len(self._records))
            if count and thread not in self._in_hand:
                self._in_hand[thread] = self._taken
            self._taken += count
            return [self._records.popleft() for _ in range(count)]
        finally:
            # Not self's, as in `entered`.
            taking.release()

    def put_back(self, run: Sequence[Any], done: int) -> bool:
        """Have those of *run* be the next again that come after the first *done*.

        *run* is what this thread has taken since it was `done`. Returns False where
        another has taken what came after it, or a fork has made another queue of this.
        """
        with self._taking:
            first = self._in_hand.get(get_ident(), -1)
            if first < 0 or first + len(run) != self._taken:
                return False
            self._returns += 1  # before anything changes, see checkpoint
            self._records.extendleft(reversed(run[done:]))
            self._taken = first + done
        return True

    def can_take(self) -> bool:
        """Tell whether this thread is not, below a signal handler, just taking one."""
        taking = self._taking
        if taking.acquire(timeout=_READ_PATIENCE):
            taking.release()
            return True
        return False

    def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """Take the oldest record, waiting for it at most *timeout* seconds.

        `hurry` ends the wait as a time-out would.
        """
        if not self._records and block:
            self.wait(timeout)
            self._resumed = time.perf_counter()
        elif self.is_pause_due():
            time.sleep(PAUSE_SECONDS)
            self._resumed = time.perf_counter()
        return self.get_nowait()

    def is_pause_due(self) -> bool:
        """Tell whether the next `get` lets others run first."""
        if len(self._records) >= self._backlog:
            return False
        return time.perf_counter() - self._resumed > SLICE_SECONDS

    def holds(self, most: int) -> bool:
        """Wait a moment if few records wait, and tell whether that is so.

        Those are at most so many, or half a backlog, so that a burst finds room.
        """
        if not 0 < len(self._records) < min(most, self._backlog // 2):
            return False
        self._sleep(_NEVER, HOLD_SECONDS)
        return True

    def hurry(self) -> None:
        """Wake the listener now: for a flush, for the end, for a full house."""
        self._wake_at = _NEVER
        self._signal.put(None)

    def qsize(self) -> int:
        """Return how many records wait."""
        return len(self._records)

    def reset_after_fork(self) -> None:
        """Start empty in a child: what waits is the parent's to deliver."""
        self.__init__(  # type: ignore[misc]
            self.maxsize, self._gather_seconds, self._gather_records
        )

    def entered(self) -> int:
        """Return how many records were ever put in."""
        taking = self._taking
        held = taking.acquire(timeout=_READ_PATIENCE)
        try:
            return self._taken + len(self._records)
        finally:
            if held:
                # Not self's: a child that a signal handler forked made another.
                taking.release()

    def done(self) -> None:
        """Take note that what this thread has taken is handed on, or lost."""
        self._in_hand.pop(get_ident(), None)

    def checkpoint(self) -> Passed:
        """Return a test whether all that was put in by now has been handed on."""
        entered = self.entered()

        def passed() -> bool:
            # In this order: what is taken is in somebody's hand before it counts, and
            # if any was put back meanwhile, it was counted and is in nobody's.
            returns, taken = self._returns, self._taken
            all_in_hand = self._in_hand.copy().values()
            return returns == self._returns and min([taken, *all_in_hand]) >= entered

        return passed

    def wait(self, timeout: Optional[float]) -> None:
        """Wait for a record at most *timeout* seconds, then let others gather."""
        if self._flowing and self._gathers(timeout):
            return
        if self._sleep(1, timeout) and self._records and self._gather_seconds:
            self._gathers(None)

    def _gathers(self, timeout: Optional[float]) -> bool:
        """Let records gather, and tell whether to look at what there is.

        Where nothing has come, the flow has ended: it takes a record to wake us then.
        """
        patience = self._gather_seconds
        if timeout is not None:
            patience = min(patience, timeout)
        rung = self._sleep(self._gather_records, patience)
        self._flowing = bool(self._records)
        return rung or self._flowing or patience == timeout

    def _sleep(self, wake_at: float, seconds: Optional[float]) -> bool:
        """Sleep until so many records wait or somebody rings; tell whether one did."""
        self._wake_at = wake_at
        rung = True
        # A record may have come in before the mark was set, and so not have rung.
        if len(self._records) < wake_at:
            try:
                self._signal.get(timeout=seconds)
            except queue.Empty:
                rung = False
        self._wake_at = _NEVER
        return rung


class ForeignQueue:
    """Make a queue that the application brought look like a `RecordQueue`.

    It does not count what was put in; the handler enters that in the ledger itself.
    """

    POLL_SECONDS = 0.2
    """How often the listener looks up whether it shall stop: such a queue cannot be
    woken without a sentinel, which finds no room in a full one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.overflowed = False
        self.is_shared = type(inner).__module__.startswith("multiprocessing.")
        """Whether other processes see it too."""

    def put_nowait(self, record: Any) -> None:
        """Add *record* without waiting; raise `queue.Full` where there is no room."""
        try:
            self.inner.put_nowait(record)
        except queue.Full:
            self.overflowed = True
            raise

    def get_nowait(self) -> Any:
        """Take the oldest record; raise `queue.Empty` where there is none."""
        return self.inner.get_nowait()

    def get(self, block: bool = True, timeout: Optional[float] = None) -> Any:
        """Take the oldest record, waiting for it a short while."""
        patience = self.POLL_SECONDS if timeout is None else timeout
        return self.inner.get(block, min(patience, self.POLL_SECONDS))

    def can_take(self) -> bool:
        """Tell nothing: nobody knows how it is made."""
        return True

    def hurry(self) -> None:
        """Do nothing: the listener looks up by itself."""

    def done(self) -> None:
        """Do nothing: who knows what others have taken."""

    def checkpoint(self) -> Passed:
        """Return a test that is always passed: nobody can tell."""
        return lambda: True

    def reset_after_fork(self) -> None:
        """Start empty in a child, unless it is the same queue there.

        A lock that another thread of the parent held would never be free again.
        """
        inner = self.inner
        if type(inner) in (queue.Queue, queue.LifoQueue, queue.PriorityQueue):
            inner.__init__(inner.maxsize)
        elif type(inner) is queue.SimpleQueue:
            with contextlib.suppress(queue.Empty):
                while True:
                    inner.get_nowait()

    def qsize(self) -> int:
        """Return how many records wait, as far as the queue can tell."""
        try:
            return int(self.inner.qsize())
        except Exception:  # that of macOS cannot, nor one whose manager has ended
            return 0
