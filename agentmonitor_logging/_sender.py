"""Threads that deliver: batches leave, outcomes come back, and both are counted.

Threads start with the first event and are daemons: a process can always end. The
first worker waits for work; more are opened only under backlog and leave when it is
gone. What waits, and what follows from an outcome, is in `_stock`; with a spool,
events go through `_keeper` first.
"""

from __future__ import annotations

import contextlib
import queue
import random as _random
import sys
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Protocol

from . import _diagnostics, _process
from ._answers import Outcome, Unreachable
from ._batch import Batch
from ._config import Config
from ._delivery import NEVER
from ._keeper import Keeper
from ._passage import Passage, Passed
from ._process import started
from ._spool import Spool
from ._stats import Ledger
from ._stock import Step, Stock
from .exceptions import NetworkError

SLOW_REQUEST = 0.005
"""Seconds from which on a second request beside the first one pays; below, the
processor is the limit, and another thread would only fight for it."""
HURRY_PATIENCE = 0.1
"""Seconds that a flush waits for the listener before it sends what is here."""
_LEAST_TIMEOUT = 0.1
_LOOK_UP = 0.1
_ENDING = 0.2
"""Seconds that a closing thread grants a worker that has nothing left to do."""
_HUNG = 60.0
"""Seconds after which a thread of ours gives up waiting for a disk."""
_DISK_PATIENCE = 0.25
"""Seconds that a closing thread waits for another that is writing to the disk."""


class SupportsSend(Protocol):
    """What the sender needs of a transport."""

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send *batch* within *timeout* seconds."""

    def close(self) -> None:
        """Close the connection."""

    def abandon(self) -> None:
        """Let go of a connection that the parent process uses."""


class _Awaited:
    """Know whether what came in before the ledger stood at *mark* has arrived."""

    __slots__ = ("_has_arrived", "mark")

    def __init__(self, mark: int, has_arrived: Passed) -> None:
        self.mark = mark
        self._has_arrived: Optional[Passed] = has_arrived

    def __call__(self) -> bool:
        has_arrived = self._has_arrived
        if has_arrived is not None and has_arrived():
            # It knows the queues, and they the handler: let go of them.
            self._has_arrived = has_arrived = None
        return has_arrived is None


class Sender:
    """Deliver encoded events; the answer table of the design says how.

    *transport* makes a transport for a thread; *clock* (monotonic seconds) and
    *random* (0 to 1) are parameters for tests; *loss_event* encodes the event that
    tells of losses by reason.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        transport: Callable[[], SupportsSend],
        loss_event: Callable[[Dict[str, int]], bytes],
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._make_transport = transport
        self._loss_event = loss_event
        self._clock = clock
        self._random = random
        self._transports: List[SupportsSend] = []
        self._spool: Optional[Spool] = None
        if config.spool is not None:
            self._spool = Spool(
                config.spool, config.spool_max_bytes, report=_diagnostics.report
            )
        self._start_afresh()

    def _start_afresh(self) -> None:
        # A SimpleQueue, not an Event: its put is safe in a signal handler.
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stock = Stock(
            self._config,
            self._ledger,
            self._loss_event,
            ring=lambda: self._signal.put(None),
            strike=self._strike,
            clock=self._clock,
            random=self._random,
        )
        self._keeper: Optional[Keeper] = None
        if self._spool is not None:
            self._keeper = Keeper(
                self._spool,
                self._stock,
                self._ledger,
                self._config.buffer_bytes // 8,
                clock=self._clock,
            )
        self._idle_transports: Deque[SupportsSend] = deque()
        self._worker: Optional[threading.Thread] = None
        self._helpers = 0
        self._last_seconds = 0.0
        self._flushed: Optional[_Awaited] = None
        self._closed: Optional[_Awaited] = None
        self._losses_told: Optional[_Awaited] = None
        """What somebody waits for, or nobody any more: the last one to ask for it waits
        for all that those before him do."""
        self._hurried_at = 0.0
        self._hurried_until = 0.0
        self._deadline = NEVER
        self._stopping = False
        self._resigned = False
        self._told_of = -1
        self.is_threadless = False
        """Whether no thread can be started, as far as is known."""

    def __repr__(self) -> str:
        return f"<Sender {self._stock!r}>"

    def _strike(self, ids: List[int]) -> None:
        if self._spool is not None:
            self._spool.remove(ids)

    # -- what others call ----------------------------------------------------------

    def put(self, *events: bytes) -> None:
        """Add *events*, which the ledger has accepted, without waiting for anything."""
        (self._stock if self._keeper is None else self._keeper).put(*events)
        # A close may give up after another thread has started all this again.
        if self._worker is None or self._stopping or self._resigned:
            self.start()

    def get_ready(self) -> None:
        """Have a worker for what comes soon; one that another is closing will do."""
        if self._worker is None:
            self.start()

    def start(self) -> bool:
        """Have a worker, and tell whether there is one: none can start at exit.

        Never waits: whoever holds the lock has a worker, is one, or is just starting
        one, and looks at what came in meanwhile before it leaves.
        """
        _process.ask_for_levels()
        was_ending = self._stopping or self._resigned or self._deadline != NEVER
        self._stopping = self._resigned = False
        self._deadline = NEVER
        self._hurried_until = 0.0
        if was_ending:
            # A worker that found nothing left to do sleeps until it is rung for.
            self._signal.put(None)
        lock = self._stock.lock  # a child that is forked in the midst has another
        if not lock.acquire(blocking=False):
            return self._worker is not None
        try:
            if self._worker is None or not self._worker.is_alive():
                self._worker = started(self._work, "agentmonitor-sender")
                self.is_threadless = self._worker is None
            if self._keeper is not None:
                self._keeper.start()
            return self._worker is not None
        finally:
            lock.release()

    def adopt(self, deadline: float = 0.0) -> None:
        """Take over what dead processes left in the spool, or at least begin to.

        Waits until the monotonic *deadline* for another thread that does so.
        """
        patience = max(0.0, deadline - self._clock())
        if self._keeper is not None and self._is_free(patience):
            if patience:
                self._keeper.look_anew()
            self._keeper.work(max(0.0, deadline - self._clock()))

    def _is_free(self, patience: float) -> bool:
        """Tell whether the stock can be used, within *patience* seconds or a few more.

        Not where this thread has interrupted, in a signal handler, the very code that
        holds its lock, and that waits for us to return.
        """
        lock = self._stock.lock
        if lock.acquire(timeout=max(_LEAST_TIMEOUT, patience)):
            lock.release()
            return True
        return False

    def checkpoint(self) -> Passed:
        """Return a test whether all that is here now has met its end."""
        if self._keeper is None:
            return self._stock.checkpoint()
        return Passage(self._keeper.checkpoint, self._stock.checkpoint)

    @property
    def put_off(self) -> int:
        """Return how many events had better come later, as there is soon room for them.

        Not with a spool, which has room, nor where no thread of ours makes any.
        """
        if self._keeper is not None or self._worker is None or self._stopping:
            return 0
        return self._stock.delivery.put_off

    def hurry(self, passed: Optional[Passed] = None) -> Passed:
        """Let all that is accepted by now be due, one request despite a back-off.

        Return a test whether all of it has met its end. *passed* tells that of what
        was on its way here, and is to be given if anything may be.
        """
        awaited = self._awaiting(self._ledger.mark(), passed or self.checkpoint())
        if passed is None:
            self._closed = awaited
        else:
            self._flushed = awaited
        self._hurried_at = self._clock()
        self._stock.delivery.pacing.bring_forward()
        if self._keeper is not None:
            self._keeper.hurry()
        self._signal.put(None)
        return awaited

    def hurry_until(self, deadline: float) -> None:
        """Do the same before a close, which waits until the monotonic *deadline*.

        A request that begins before it is not given longer either.
        """
        self._hurried_until = deadline
        self.hurry()

    def await_losses(self) -> Passed:
        """Return a test whether the last event that tells of losses has arrived."""
        awaited = self._awaiting(self._stock.loss_mark, self.checkpoint())
        self._losses_told = awaited
        return awaited

    def _awaiting(self, mark: int, passed: Passed) -> _Awaited:
        def has_arrived() -> bool:
            left = self.left_behind
            if passed() and self._ledger.settled() + left >= mark:
                return True
            return self._ledger.stats().pending <= left  # nothing at all is open

        return _Awaited(mark - self.left_behind, has_arrived)

    def stop_when_empty(self) -> None:
        """End the worker after what it has, without waiting: nobody is left to ask."""
        self._deadline = self._clock() + self._config.shutdown_timeout
        self._stopping = True
        self.hurry()

    def held(self) -> int:
        """Return how many events wait or are under way, wherever they are."""
        held = 0
        if self._keeper is not None:
            held = self._keeper.held() + self._keeper.left_behind
        with self._stock.lock:
            return held + len(self._stock)

    @property
    def left_behind(self) -> int:
        """Return how many events are on disk and no longer this sender's to deliver."""
        return 0 if self._keeper is None else self._keeper.left_behind

    @property
    def spooled(self) -> int:
        """Return how many events of this sender are on disk."""
        return self._stock.delivery.spooled + self.left_behind

    @property
    def is_telling(self) -> bool:
        """Tell whether this thread tells the application of an error."""
        return self._stock.is_telling

    @property
    def loss_mark(self) -> int:
        """Return the mark of the ledger at which the last loss event is settled."""
        return self._stock.loss_mark

    def finish(self, deadline: float) -> bool:
        """Deliver what is there, at most until the monotonic *deadline*, and stop.

        Where no worker can run, this thread does its work. Returns False where nothing
        can be done, see `_is_free`.
        """
        if not self._is_free(deadline - self._clock()):
            return False
        worker = self._worker
        if self._resigned:
            # What was given up is not waited for a second time, but what is under way
            # may still arrive.
            if _process.is_exiting():
                self._ledger.wait(self._is_grounded, deadline)
            return True
        self._deadline = deadline
        self._stock.delivery.pacing.succeeded()
        helped = worker is not None and worker.is_alive() and not _is_current(worker)
        if helped or self.held():
            self.adopt(min(deadline, self._clock() + _DISK_PATIENCE))
        more = True
        while more:
            has_arrived = self.hurry()
            if helped:
                self._ledger.wait(has_arrived, deadline)
            self._work_here(deadline, has_arrived)
            more = self._adopted_more() and self._clock() < deadline
        self._stopping = True
        self._signal.put(None)
        if helped and worker is not None:
            worker.join(max(0.0, min(_ENDING, deadline - self._clock())))
        elif self._keeper is not None and not self.held() - self.left_behind:
            self._keeper.let_go(_DISK_PATIENCE, lambda: self._stopping)
        return True

    def _is_grounded(self) -> bool:
        """Tell whether no request is under way."""
        with self._stock.lock:
            return not self._stock.delivery.in_flight

    def _adopted_more(self) -> bool:
        if self._keeper is None or not self._keeper.has_more:
            return False
        before = self._ledger.mark()
        self._keeper.work()
        return self._ledger.mark() > before

    def give_up(self, when: str, *, in_flight: bool, queued: int = 0) -> None:
        """Let go of what is left because of a shutdown, and say so.

        What is in the spool stays there; the rest is lost. *when* is for people;
        *queued* events were lost before they came here, and are only told of.
        """
        if self._keeper is not None:
            self._keeper.keep_all(_DISK_PATIENCE)
        # First: who puts in what is not given up here finds it, and begins again.
        had_resigned, self._resigned = self._resigned, True
        # Another may have begun again meanwhile: what comes back has to end, too.
        self._stopping, self._deadline = True, min(self._deadline, self._clock())
        with self._stock.opened() as effects:
            delivery = self._stock.delivery
            effects.append(delivery.give_up("shutdown", in_flight=in_flight))
            kept = delivery.spooled
            trouble = delivery.trouble
        if not had_resigned:
            # Else it may be the worker, which waits for the end of a hung request.
            self._signal.put(None)
        lost = queued + sum(count for _, count in effects[-1].lost)
        if in_flight:
            # What a listener is just converting ends with the process, too.
            lost += max(0, self._ledger.stats().pending - self.spooled)
        self._tell_end(when, lost, kept, trouble)

    def _tell_end(self, when: str, lost: int, kept: int, trouble: str) -> None:
        if kept and not lost and self._told_of == self._ledger.mark():
            return  # it was told of before, and nothing has come in since
        self._told_of = self._ledger.mark()
        fates = [f"{_events(lost)} lost {when}"] if lost else []
        if kept:
            fates.append(f"{_events(kept)} kept in {self._config.spool} {when}")
        if fates:
            ending = "the interpreter was going down" if sys.is_finalizing() else ""
            why = trouble or ending or "the server took too long"
            occasion = f"shutdown {when} {id(self)}"
            _diagnostics.report(occasion, f"{', '.join(fates)}: {why}")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle_transports:
            self._idle_transports.pop().close()

    def reset_after_fork(self) -> None:
        """Forget what belongs to the parent process, which delivers it."""
        for transport in self._transports:
            transport.abandon()
        del self._transports[:]
        if self._spool is not None:
            self._spool.reset_after_fork()
        self._start_afresh()

    # -- the threads -----------------------------------------------------------------

    def _work(self) -> None:
        try:
            with _diagnostics.own_work():
                self._work_until_left()
        except BaseException as error:  # such as MemoryError
            _diagnostics.note_swallowed(error, "the sender's thread")
            with self._stock.lock:
                # The next record starts another.
                self._worker = None
        self.close()

    def _work_until_left(self) -> None:
        while True:
            step = self._next()
            if isinstance(step, Batch):
                self._send(step)
            elif self._left():
                return
            else:
                self._sleep(step)

    def _left(self) -> bool:
        """Leave if that is wanted, so that `start` knows it needs a new worker."""
        if self._stopping and self._keeper is not None and self._is_done():
            # First, so that no other worker's events are let go.
            self._keeper.let_go(_HUNG, lambda: self._stopping)
        with self._stock.lock:
            empty = not len(self._stock) and not self._unwritten()
            if self._stopping and empty and _is_current(self._worker):
                self._worker = None
            left = not _is_current(self._worker)
            if self._keeper is not None:
                (self._keeper.stop if self._worker is None else self._keeper.start)()
        if self._worker is None and (self._stock.late or self._unwritten()):
            # It came in while the lock was held, and so could not start anything.
            self.start()
        return left

    def _is_done(self) -> bool:
        """Tell whether nothing is left, or nothing that this process will deliver."""
        with self._stock.lock:
            if self._resigned:
                return not self._stock.delivery.in_flight
            return not len(self._stock) and not self._unwritten()

    def _unwritten(self) -> int:
        return 0 if self._keeper is None else self._keeper.held()

    def _work_beside(self) -> None:
        """Help the worker while there is a backlog."""
        with _diagnostics.own_work():
            step = self._next()
            while isinstance(step, Batch):
                self._send(step)
                step = self._next()
        with self._stock.lock:
            self._helpers -= 1

    def _work_here(self, deadline: float, has_arrived: Passed) -> None:
        """Do the worker's work in a closing thread, until that *has arrived*.

        What others log meanwhile is not this thread's to deliver, or it might never
        end. It also waits for what other threads have under way.
        """
        with _diagnostics.own_work():
            while self._clock() < deadline and not has_arrived():
                self.adopt()
                step = self._next()
                if isinstance(step, Batch):
                    self._send(step, deadline)
                elif not self.held() - self.left_behind:
                    return
                else:
                    # Another thread may be the one that the signal wakes.
                    self._sleep(min(step, _LOOK_UP, deadline - self._clock()))

    def _sleep(self, seconds: float) -> None:
        if self._stopping:
            seconds = min(seconds, max(_LEAST_TIMEOUT, self._deadline - self._clock()))
        with contextlib.suppress(queue.Empty):
            self._signal.get(timeout=None if seconds == NEVER else max(seconds, 0.0))
        # The closing thread goes first, as it says how many were lost in all.
        if self._stopping and self._clock() > self._deadline + _ENDING:
            self.give_up("after its handler was closed", in_flight=False)

    def _next(self) -> Step:
        unsettled = self._hurried_events()
        step: Step = NEVER
        with self._stock.opened():
            delivery = self._stock.delivery
            on_their_way = self._on_their_way(unsettled)
            # Not after the deadline: no time is left to hear whether it arrived.
            if not self._resigned and self._clock() < self._deadline:
                step = delivery.next(
                    hurried=unsettled > 0 and not on_their_way,
                    more=not 0 < unsettled <= len(self._stock.delivery),
                )
            if on_their_way and not isinstance(step, Batch):
                delivery.wake_at = delivery.waiting + on_their_way
                step = min(step, HURRY_PATIENCE)
        if self._keeper is not None:
            self._keeper.fill_up()
        return step

    def _hurried_events(self) -> int:
        """Count the events that somebody waits for."""
        asked = (self._flushed, self._closed, self._losses_told)
        marks = [one.mark for one in asked if one is not None and not one()]
        return max(1, max(marks) - self._ledger.settled()) if marks else 0

    def _on_their_way(self, unsettled: int) -> int:
        """Count those of *unsettled* that the listener still has: one request for all.

        Not for long, as a slow redactor must not hold up what is here.
        """
        if self._clock() > self._hurried_at + HURRY_PATIENCE:
            return 0
        return max(0, unsettled - len(self._stock.delivery))

    def _send(self, batch: Batch, until: float = NEVER) -> None:
        """Send *batch*, at most until the monotonic time *until* or our deadline."""
        self._call_help()
        self._ledger.request(again=batch.tries > 0)
        batch.tries += 1
        transport = self._checked_out()
        began = self._clock()
        until = min(until, self._deadline)
        if began < self._hurried_until:
            until = min(until, self._hurried_until)
        left = max(_LEAST_TIMEOUT, until - began)
        outcome = self._outcome(transport, batch, min(self._config.timeout, left))
        self._last_seconds = self._clock() - began
        self._idle_transports.append(transport)
        hurried = self._hurried_events() > 0
        self._stock.settle(batch, outcome, hurried=hurried)
        if self._resigned:
            self._ledger.nudge()
        told = self._losses_told
        if hurried and self._stock.loss_mark > (0 if told is None else told.mark):
            self.await_losses()

    def _outcome(
        self, transport: SupportsSend, batch: Batch, timeout: float
    ) -> Outcome:
        try:
            outcome = transport.send(batch, timeout)
        except Exception as error:  # the worker must not end
            _diagnostics.note_swallowed(error, "the transport")
            return Unreachable(NetworkError(_diagnostics.describe(error)))
        if self._config.debug:
            _diagnostics.debug(f"{len(batch)} events, try {batch.tries}: {outcome!r}")
        return outcome

    def _checked_out(self) -> SupportsSend:
        try:
            return self._idle_transports.pop()
        except IndexError:
            transport = self._make_transport()
            self._transports.append(transport)
            return transport

    def _call_help(self) -> None:
        if self._stopping or self._last_seconds < SLOW_REQUEST:
            return
        with self._stock.lock:
            wanted = self._helpers < self._config.max_in_flight - 1
            if not wanted or not self._stock.delivery.backlog:
                return
            self._helpers += 1
        if started(self._work_beside, "agentmonitor-sender-helper") is None:
            with self._stock.lock:
                self._helpers -= 1


def _is_current(thread: Optional[threading.Thread]) -> bool:
    return thread is threading.current_thread()


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"
