"""Threads that deliver: batches leave, outcomes come back, and both are counted.

The decisions are `Delivery`'s, made under one lock; requests, log lines and
callbacks happen outside of it. Threads start with the first event and are daemons:
a process can always end. The first worker waits for work; more are opened only
under backlog and leave when it is gone.
"""

from __future__ import annotations

import contextlib
import queue
import random as _random
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Protocol, Union

from . import _diagnostics, _process
from ._answers import Delivered, Outcome, Unreachable
from ._batch import Batch, LossEvent
from ._config import Config
from ._delivery import NEVER, Delivery, Effects
from ._stats import Ledger
from .exceptions import AgentMonitorError, NetworkError

SLOW_REQUEST = 0.005
"""Seconds from which on a second request beside the first one pays; below, the
processor is the limit, and another thread would only fight for it."""
LOSS_EVENT_INTERVAL = 30.0
"""Seconds between two loss events, unless somebody flushes."""
HURRY_PATIENCE = 0.1
"""Seconds that a flush waits for the listener before it sends what is here."""
_LEAST_TIMEOUT = 0.1
_LOOK_UP = 0.1
_ENDING = 0.2
"""Seconds that a closing thread grants a worker that has nothing left to do."""


class SupportsSend(Protocol):
    """What the sender needs of a transport."""

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send *batch* within *timeout* seconds."""

    def close(self) -> None:
        """Close the connection."""

    def abandon(self) -> None:
        """Let go of a connection that the parent process uses."""


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
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._delivery = Delivery(self._config, clock=self._clock, random=self._random)
        self._incoming: Deque[bytes] = deque()
        # A SimpleQueue, not an Event: its put is safe in a signal handler.
        self._signal: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._idle_transports: Deque[SupportsSend] = deque()
        self._worker: Optional[threading.Thread] = None
        self._helpers = 0
        self._last_seconds = 0.0
        self._hurry_mark = 0
        self._hurried_at = 0.0
        self._loss_event_after = 0.0
        self._deadline = NEVER
        self._stopping = False
        self.loss_mark = 0
        """The mark of the ledger that is reached when the loss event is settled."""

    def __repr__(self) -> str:
        return f"<Sender {self._delivery!r}>"

    # -- what others call ----------------------------------------------------------

    def put(self, event: bytes) -> None:
        """Add *event*, which the ledger has accepted, without waiting for anything.

        An event that finds the lock taken is taken in by whoever holds it.
        """
        self._incoming.append(event)
        self._take_in_if_free()
        if self._worker is None or self._stopping:
            self.start()

    def start(self) -> bool:
        """Have a worker, and tell whether there is one: none can start at exit.

        Never waits: whoever holds the lock has a worker, is one, or is just starting
        one, and looks at what came in meanwhile before it leaves.
        """
        _process.ask_for_levels()
        if not self._lock.acquire(blocking=False):
            return self._worker is not None
        try:
            self._stopping = False
            self._deadline = NEVER
            if self._worker is None or not self._worker.is_alive():
                self._worker = _started(self._work, "agentmonitor-sender")
            return self._worker is not None
        finally:
            self._lock.release()

    def hurry(self) -> None:
        """Let all that is accepted by now be due, one request despite a back-off."""
        self._hurry_mark = max(self._hurry_mark, self._ledger.mark())
        self._hurried_at = self._clock()
        self._delivery.pacing.bring_forward()
        self._signal.put(None)

    def stop_when_empty(self) -> None:
        """End the worker after what it has, without waiting: nobody is left to ask."""
        self._deadline = self._clock() + self._config.shutdown_timeout
        self._stopping = True
        self.hurry()

    def held(self) -> int:
        """Return how many events wait or are under way."""
        with self._lock:
            return len(self._incoming) + len(self._delivery)

    def finish(self, deadline: float, patience: float) -> None:
        """Deliver what is there, at most until the monotonic *deadline*, and stop.

        Where the worker does not get it done within *patience* seconds (it may wait
        for a lock that our caller holds), or none can run, this thread does its work.
        """
        with self._lock:
            worker = self._worker
        self._deadline = deadline
        self._delivery.pacing.succeeded()
        self.hurry()
        mark = self._ledger.mark()
        helped = worker is not None and worker.is_alive() and not _is_current(worker)
        if helped:
            until = min(deadline, self._clock() + patience)
            self._ledger.wait_settled(mark, until)
        self._work_here(deadline, mark, patient=patience == NEVER)
        self._stopping = True
        self._signal.put(None)
        if helped and worker is not None:
            worker.join(max(0.0, min(_ENDING, deadline - self._clock())))

    def give_up(self, when: str, *, in_flight: bool, queued: int = 0) -> None:
        """Lose what is left because of a shutdown, and say so; *when* is for people.

        *queued* events were lost before they came here, and are only told of.
        """
        with self._lock:
            effects = self._take_in()
            effects.append(self._delivery.give_up("shutdown", in_flight=in_flight))
            trouble = self._delivery.trouble
        self._perform(effects)
        lost = queued + sum(count for _, count in effects[-1].lost)
        if lost:
            events = "1 event" if lost == 1 else f"{lost} events"
            why = trouble or "the server took too long"
            _diagnostics.report("shutdown", f"{events} lost {when}: {why}")

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle_transports:
            self._idle_transports.pop().close()

    def reset_after_fork(self) -> None:
        """Forget what belongs to the parent process, which delivers it."""
        for transport in self._transports:
            transport.abandon()
        del self._transports[:]
        self._start_afresh()

    # -- taking in -----------------------------------------------------------------

    def _take_in_if_free(self) -> None:
        while self._incoming and self._lock.acquire(blocking=False):
            try:
                effects = self._take_in()
                ring = self._delivery.waiting >= self._delivery.wake_at
                if ring:
                    self._delivery.wake_at = NEVER
            finally:
                self._lock.release()
            if ring:
                self._signal.put(None)
            self._perform(effects)

    def _take_in(self) -> List[Effects]:
        effects = []
        while self._incoming:
            change = self._delivery.add(self._incoming.popleft())
            if change.lost:
                effects.append(change)
        return effects

    # -- the threads -----------------------------------------------------------------

    def _work(self) -> None:
        with _diagnostics.own_work():
            while True:
                step = self._next()
                if isinstance(step, Batch):
                    self._send(step)
                elif self._left():
                    break
                else:
                    self._sleep(step)
        self.close()

    def _left(self) -> bool:
        """Leave if that is wanted, so that `start` knows it needs a new worker."""
        with self._lock:
            empty = not self._incoming and not len(self._delivery)
            if self._stopping and empty and _is_current(self._worker):
                self._worker = None
            left = not _is_current(self._worker)
        if self._incoming and self._worker is None:
            # It came in while the lock was held, and so could not start anything.
            self.start()
        return left

    def _work_beside(self) -> None:
        """Help the worker while there is a backlog."""
        with _diagnostics.own_work():
            step = self._next()
            while isinstance(step, Batch):
                self._send(step)
                step = self._next()
        with self._lock:
            self._helpers -= 1

    def _work_here(self, deadline: float, mark: int, *, patient: bool) -> None:
        """Do the worker's work in a closing thread, until the ledger reaches *mark*.

        What others log meanwhile is not this thread's to deliver, or it might never
        end. A *patient* one also waits for what other threads have under way.
        """
        with _diagnostics.own_work():
            while self._clock() < deadline and self._ledger.settled() < mark:
                step = self._next()
                if isinstance(step, Batch):
                    self._send(step)
                elif not self._is_wanted(patient=patient):
                    return
                else:
                    # Another thread may be the one that the signal wakes.
                    self._sleep(min(step, _LOOK_UP, deadline - self._clock()))

    def _is_wanted(self, *, patient: bool) -> bool:
        with self._lock:
            waiting = len(self._incoming) + self._delivery.waiting
            return waiting > 0 or (patient and len(self._delivery) > 0)

    def _sleep(self, seconds: float) -> None:
        if self._stopping:
            seconds = min(seconds, max(_LEAST_TIMEOUT, self._deadline - self._clock()))
        with contextlib.suppress(queue.Empty):
            self._signal.get(timeout=None if seconds == NEVER else max(seconds, 0.0))
        # The closing thread goes first, as it says how many were lost in all.
        if self._stopping and self._clock() > self._deadline + _ENDING:
            self.give_up("after its handler was closed", in_flight=False)

    def _next(self) -> Union[Batch, float]:
        unsettled = self._hurried_events()
        with self._lock:
            effects = self._take_in()
            on_their_way = self._on_their_way(unsettled)
            step = self._delivery.next(hurried=unsettled > 0 and not on_their_way)
            if on_their_way and not isinstance(step, Batch):
                self._delivery.wake_at = self._delivery.waiting + on_their_way
                step = min(step, HURRY_PATIENCE)
        self._perform(effects)
        return step

    def _hurried_events(self) -> int:
        """Count the events that somebody waits for."""
        if not self._hurry_mark:
            return 0
        unsettled = self._hurry_mark - self._ledger.settled()
        if unsettled <= 0:
            self._hurry_mark = 0
        return max(0, unsettled)

    def _on_their_way(self, unsettled: int) -> int:
        """Count those of *unsettled* that the listener still has: one request for all.

        Not for long, as a slow redactor must not hold up what is here.
        """
        if self._clock() > self._hurried_at + HURRY_PATIENCE:
            return 0
        return max(0, unsettled - len(self._delivery))

    def _send(self, batch: Batch) -> None:
        self._call_help()
        self._ledger.request(again=batch.tries > 0)
        batch.tries += 1
        transport = self._checked_out()
        began = self._clock()
        left = max(_LEAST_TIMEOUT, self._deadline - began)
        outcome = self._outcome(transport, batch, min(self._config.timeout, left))
        self._last_seconds = self._clock() - began
        self._idle_transports.append(transport)
        self._settle(batch, outcome)

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
        with self._lock:
            wanted = self._helpers < self._config.max_in_flight - 1
            if not wanted or not self._delivery.backlog:
                return
            self._helpers += 1
        if _started(self._work_beside, "agentmonitor-sender-helper") is None:
            with self._lock:
                self._helpers -= 1

    # -- outcomes --------------------------------------------------------------------

    def _settle(self, batch: Batch, outcome: Outcome) -> None:
        hurried = self._hurried_events() > 0
        with self._lock:
            effects = self._delivery.settle(batch, outcome)
            if isinstance(outcome, Delivered):
                self._tell_losses(hurried=hurried)
        self._perform([effects])
        self._signal.put(None)

    def _tell_losses(self, *, hurried: bool) -> None:
        if self._clock() < self._loss_event_after and not hurried:
            return
        untold = self._ledger.take_untold_losses()
        if untold:
            self._loss_event_after = self._clock() + LOSS_EVENT_INTERVAL
            self._ledger.accept()
            self._incoming.append(LossEvent(self._loss_event(untold)))
            self.loss_mark = self._ledger.mark()
            if hurried:
                self._hurry_mark = self.loss_mark

    def _perform(self, many: List[Effects]) -> None:
        for effects in many:
            self._count(effects)
            if effects.problem is not None:
                _diagnostics.report(*effects.problem)
            if effects.error is not None:
                self._tell_application(effects.error)

    def _count(self, effects: Effects) -> None:
        for reason, count in effects.untold:
            self._ledger.tell(reason, count)
        for reason, count in effects.lost:
            self._ledger.lose(reason, count)
        if any(reason == "buffer_full" for reason, _ in effects.lost):
            _diagnostics.report("buffer_full", "the buffer is full, oldest events lost")
        if effects.delivered:
            self._ledger.deliver(effects.delivered)

    def _tell_application(self, error: AgentMonitorError) -> None:
        if self._config.on_error is None:
            return
        try:
            with _diagnostics.own_work():
                self._config.on_error(error)
        except Exception as raised:  # the application's own code
            text = f"on_error raised {_diagnostics.describe(raised)}"
            _diagnostics.report("on_error", text)


def _started(work: Callable[[], None], name: str) -> Optional[threading.Thread]:
    thread = threading.Thread(target=work, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        # The interpreter shuts down, or allows no threads (a subinterpreter).
        return None
    return thread


def _is_current(thread: Optional[threading.Thread]) -> bool:
    return thread is threading.current_thread()
