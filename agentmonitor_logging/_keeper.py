"""The spool's thread: events are on disk before they are sent.

All that waits for a disk is done here, by one thread at a time: to write what came
in, to read what memory had no room for, to adopt what dead processes left. A request
that hangs, or a disk that does, holds up nothing but itself.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any, Callable, List, Optional

from . import _diagnostics, _process
from ._batch import SpooledEvent
from ._passage import Passed
from ._queue import RecordQueue
from ._spool import Spool
from ._stats import Ledger
from ._stock import Stock

GATHER_SECONDS = 0.02
WRITE_EVENTS = 500
"""How long, and how many, events gather before they are written together. With the
queue's own gathering, an event is on disk well within 0.2 seconds of its logging; a
write costs as much by itself as 20 events in it."""
ADOPT_INTERVAL = 5.0
"""Seconds between two looks at what other processes left."""
READ_EVENTS = 200
"""How many events are read from the disk at once."""
_TURN = 1.0
"""Seconds that the spool's thread waits for another one that does its work."""
SLOW_DISK_BYTES = 16 * 1024 * 1024
"""What may wait for the disk; a disk that is slower than that is passed by."""


class Keeper:
    """Have the events of *stock* on disk, as far as the disk takes them.

    While more than `SLOW_DISK_BYTES` wait for the disk, what comes goes to memory
    only. At most *read_bytes* are read from it at once.
    """

    def __init__(
        self,
        spool: Spool,
        stock: Stock,
        ledger: Ledger,
        read_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._stock = stock
        self._ledger = ledger
        self._read_bytes = read_bytes
        self._clock = clock
        self._incoming = RecordQueue(sys.maxsize, GATHER_SECONDS, WRITE_EVENTS)
        self._incoming_bytes = 0
        self._storing = 0
        self._working = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._ended = False
        self._adopt_at = float("-inf")
        self.left_behind = 0
        """How many of our events a close left to whoever comes next."""

    def __repr__(self) -> str:
        return f"<Keeper {self._spool!r}, {self.held()} to be written>"

    # -- what others call ----------------------------------------------------------

    def put(self, *events: bytes) -> None:
        """Add *events*, which the ledger has accepted, without waiting for anything."""
        for event in events:
            if self._incoming_bytes > SLOW_DISK_BYTES:
                self._stock.put(event)
                continue
            # Threads may lose each other's addition; the next write puts it right.
            self._incoming_bytes += len(event)
            self._incoming.put_nowait(event)

    def start(self) -> None:
        """Have a thread, if one can start; the stock's lock must be held."""
        self._ended = False
        if self._thread is None or not self._thread.is_alive():
            self._thread = _process.started(self._run, "agentmonitor-spool")
        elif self.has_more:
            # It may sleep since before a close let go of what is wanted again.
            self._incoming.hurry()

    def stop(self) -> None:
        """End the thread after what it has; the stock's lock must be held."""
        self._ended = True
        self._incoming.hurry()

    def hurry(self) -> None:
        """Write now what came in."""
        self._incoming.hurry()

    def held(self) -> int:
        """Return how many events are not written yet."""
        return self._incoming.qsize() + self._storing

    def checkpoint(self) -> Passed:
        """Return a test whether all that came in by now has gone on to the stock."""
        return self._incoming.checkpoint()

    @property
    def has_more(self) -> bool:
        """Tell whether dead processes may have left more than was adopted by now."""
        return self._clock() >= self._adopt_at

    def look_anew(self) -> None:
        """Look at what other processes left with the next work, whenever that is."""
        self._adopt_at = float("-inf")

    def fill_up(self) -> None:
        """Have more events in memory, if there are more and memory has few."""
        delivery = self._stock.delivery
        if delivery.wants_more and (delivery.has_spilled or self.has_more):
            self._incoming.hurry()

    def work(self, patience: float = 0.0) -> bool:
        """Do what there is to do with the disk, and tell whether it was done here.

        Waits at most *patience* seconds for another thread that is just doing it.
        """
        if not self._working.acquire(timeout=patience):
            return False
        try:
            self._adopt()
            self._store()
            self._read()
        finally:
            self._working.release()
        return True

    def keep_all(self, patience: float) -> None:
        """Try once more to have everything on disk, before a process ends."""
        if not self._working.acquire(timeout=patience):
            self._stock.put(*self._incoming.take(sys.maxsize))
            self._note_done()
            return
        try:
            self._store()
            with self._stock.opened():
                known = self._stock.delivery.spool_ids
            vanished = set(known) - self._spool.present(known)
            with self._stock.opened():
                loose = self._stock.delivery.take_unspooled(vanished)
            self._write(loose, last_chance=True)
        finally:
            self._working.release()

    def let_go(self, patience: float, is_closed: Callable[[], bool]) -> None:
        """Leave what is on disk to whoever comes next, unless we come back at once."""
        if not self._working.acquire(timeout=patience):
            return
        try:
            with self._stock.opened():
                if not is_closed():
                    return
                # What was let go is not to be adopted at once again.
                self._ended = True
                self.left_behind += self._stock.delivery.let_go()
            self._ledger.nudge()
            self._spool.close()
            self._adopt_at = float("-inf")
        finally:
            self._working.release()

    # -- the work --------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with _diagnostics.own_work():
                while not self._left():
                    self._incoming.wait(self._patience())
                    # Not at once again and again, while what came in is taken by
                    # who flushes: that would take the time of all others.
                    self.work(_TURN)
        except BaseException as error:  # such as MemoryError; the next start helps
            _diagnostics.note_swallowed(error, "the spool's thread")

    def _left(self) -> bool:
        with self._stock.lock:
            if self._ended:
                self._thread = None
            return self._ended

    def _patience(self) -> Optional[float]:
        if not self._stock.delivery.wants_more:
            return None
        return max(0.0, self._adopt_at - self._clock())

    def _store(self) -> None:
        events = self._taken()
        while events:
            try:
                self._write(events)
            finally:
                self._note_done()
            events = self._taken()

    def _note_done(self) -> None:
        """Take note that what was taken here is in the stock."""
        self._incoming.done()
        self._ledger.nudge()

    def _taken(self) -> List[Any]:
        # First, so that no event is ever neither there nor counted here.
        self._storing = min(WRITE_EVENTS, self._incoming.qsize())
        events = self._incoming.take(self._storing)
        self._storing = len(events)
        if len(events) < WRITE_EVENTS:
            self._incoming_bytes = 0
        return events

    def _write(self, events: List[bytes], *, last_chance: bool = False) -> None:
        self._storing = len(events)
        added = self._spool.add(events, last_chance=last_chance)
        ids = added.ids
        self._stock.put(*(events if ids is None else map(SpooledEvent, events, ids)))
        self._storing = 0
        if added.lost:
            with self._stock.opened() as effects:
                effects.append(self._stock.delivery.drop(set(added.lost)))

    def _read(self) -> None:
        while True:
            with self._stock.opened():
                ids = self._stock.delivery.take_spilled(READ_EVENTS)
            if not ids:
                return
            found = self._spool.read(ids, self._read_bytes)
            full = sum(len(event) for _, event in found) >= self._read_bytes
            left = ids[ids.index(found[-1][0]) + 1 :] if full else []
            with self._stock.opened() as effects:
                effects.append(self._stock.delivery.read(left, found))
            self._stock.ring()

    def _adopt(self) -> None:
        while not self._ended and self.has_more and self._stock.delivery.wants_more:
            found = self._spool.adopt(READ_EVENTS // 2)
            if len(found) < READ_EVENTS // 2:
                self._adopt_at = self._clock() + ADOPT_INTERVAL
            known = min(self.left_behind, len(found))
            self.left_behind -= known
            if len(found) > known:
                self._ledger.accept(len(found) - known)
            self._stock.put(*(SpooledEvent(event, id_) for id_, event in found))
