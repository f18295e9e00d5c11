"""From the queue to the targets, on a thread: `AgentMonitorQueueListener`."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import queue
import sys
import threading
import time
from typing import Any, Optional

from . import _diagnostics, _naming, _process
from ._capsule import opened
from ._echo import ACCEPTED_BY, is_of_our_threads
from ._handler import AgentMonitorHandler
from ._ids import long_id
from ._passage import Passed
from ._queue import SLICE_SECONDS, ForeignQueue, RecordQueue
from ._snapshot import EVENT_ID, named

RUN = 100
"""How many events the listener makes at most before it hands them over, as many as go
into a request: few enough that they are a small part of what is lost should the process
be killed."""
_OURS = (dict, tuple)
_worked = getattr(time, "thread_time", time.perf_counter)
"""Seconds on a processor, where a system tells: waiting for the interpreter lock is
nothing that a smaller run would shorten."""
_LEAST_DRAIN = 1.0
"""Seconds of a close in which nothing is held back: about what it takes to hand over as
many records as may be held."""
MAX_UNREADABLE = 100
"""Records in a row that cannot be read, after which their queue counts as closed."""


class AgentMonitorQueueListener(logging.handlers.QueueListener):
    """Take records from the queue and hand them to the targets, on a thread.

    Unlike its base it may be started and stopped at any time and any number of
    times, survives whatever a target does, and respects the targets' levels unless
    told otherwise.
    """

    def __init__(
        self,
        queue: Any,
        *handlers: logging.Handler,
        respect_handler_level: bool = True,
    ) -> None:
        super().__init__(queue, *handlers, respect_handler_level=respect_handler_level)
        known = isinstance(queue, (RecordQueue, ForeignQueue))
        self._records = queue if known else ForeignQueue(queue)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._changing = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._stopping = False
        self._holds_until = float("-inf")
        """Until when it may hold records back although it shall end."""
        self._unreadable = 0
        self._run = 1

    @property
    def running(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread is not None

    def start(self) -> bool:  # type: ignore[override]
        """Run the thread, and tell whether it runs: at exit no thread can start."""
        changing = self._changing
        if not changing.acquire(blocking=False):
            # Whoever holds it starts one, or looks into the queue before it lets go;
            # to wait would be for ever where a signal interrupted just that.
            return self.running
        try:
            self._stopping = False
            _naming.look_again()
            if sys.is_finalizing():
                # Its start would wait for ever.
                return False
            if self._thread is not None and self._thread.is_alive():
                return True
            for handler in self.handlers:
                if isinstance(handler, AgentMonitorHandler):
                    # Its close() then waits for what is queued.
                    handler._feeders.add(self)
            self._thread = threading.Thread(
                target=self._monitor, name="agentmonitor-listener", daemon=True
            )
            self._thread.start()
        except RuntimeError:
            self._thread = None
            return False
        finally:
            # Not self's: a child that a signal handler forked made another.
            changing.release()
        return True

    def stop(self, timeout: Optional[float] = None) -> None:
        """Hand over what is queued, within *timeout* seconds (default 3), and end."""
        seconds = 3.0 if timeout is None else _process.bounded(timeout)
        deadline = time.monotonic() + seconds
        _process.without_logging_lock(lambda: self.drain(deadline))

    def drain(self, deadline: float) -> None:
        """End the thread once the queue is empty, at the latest at *deadline*.

        Where it cannot run, this thread does its work.
        """
        thread = self._last_thread()
        self._records.hurry()
        if thread is threading.current_thread():
            return
        # Not one that a signal handler has found made but not started.
        if thread is not None and thread.is_alive():
            thread.join(max(0.0, deadline - time.monotonic()))
        is_wanted = thread is None or not thread.is_alive()
        if is_wanted and self._records.can_take():
            self._drain_here(deadline)

    def may_hold(self, deadline: float) -> None:
        """Let records wait for room even in a drain that ends at *deadline*.

        Not for long, as all that is left has to be handed over before.
        """
        now = time.monotonic()
        self._holds_until = min((now + deadline) / 2, deadline - _LEAST_DRAIN)

    def _last_thread(self) -> Optional[threading.Thread]:
        """Return the thread, not one that is just being started, and let it end."""
        changing = self._changing
        held = changing.acquire(timeout=_process.LOCKED_PATIENCE)
        try:
            self._stopping = True
            return self._thread
        finally:
            if held:
                changing.release()

    def hurry(self) -> None:
        """Hand over what is queued without waiting for more."""
        if not self.running and self._records.qsize():
            self.start()
        self._records.hurry()

    def checkpoint(self) -> Passed:
        """Return a test whether all that is queued now has been handed over."""
        return self._records.checkpoint()

    def abandon(self) -> None:
        """End the thread once the queue is empty: the handler has been collected."""
        self._stopping = True
        self._records.hurry()

    def give_up(self) -> int:
        """Lose what is still queued at the end of the process; return how much."""
        lost = 0
        with contextlib.suppress(Exception):  # empty, closed, or not readable
            while self._records.can_take():
                self._records.get_nowait()
                lost += 1
        self._note_done()
        for handler in self.handlers:
            if lost and isinstance(handler, AgentMonitorHandler):
                handler.lose_queued(lost)
        return lost

    def prepare(self, record: Any) -> Any:
        """Make a record of what a queue handler of ours put in, if it is none yet."""
        if not self._is_ours(record):
            return record
        fields = opened(record) if type(record) is tuple else record
        return named(fields, fields.get(EVENT_ID) or long_id())

    def handle(self, record: Any) -> None:
        """Hand *record* to each target whose level it has."""
        is_ours, taken = self._is_ours(record), record
        try:
            record = self.prepare(record)
        except Exception as error:  # of a subclass, perhaps
            self._lose(taken, error)
            return
        if not is_ours and ACCEPTED_BY not in record.__dict__:
            _accept_of_others(record)
        ours = [h for h in self.handlers if isinstance(h, AgentMonitorHandler)]
        last = ours[-1] if ours else None
        inherited = isinstance(self._records, RecordQueue) and _is_inherited(record)
        for handler in self.handlers:
            if inherited:
                self._pass_over(handler, record)
            else:
                self._hand_over(handler, record, is_ours=is_ours)
            if handler is last and handler is not self.handlers[-1]:
                # Nobody who flushes waits for targets that are not ours.
                self._note_done()

    def _lose(self, taken: Any, error: BaseException) -> None:
        _diagnostics.note_swallowed(error, "a listener")
        for handler in self.handlers:
            if isinstance(handler, AgentMonitorHandler):
                handler.fail(taken)

    def _hand_over(
        self, handler: logging.Handler, record: logging.LogRecord, *, is_ours: bool
    ) -> None:
        try:
            if self.respect_handler_level and record.levelno < handler.level:
                self._pass_over(handler, record)
            elif is_ours and isinstance(handler, AgentMonitorHandler):
                handler.take(record)
            else:
                handler.handle(record)
        except Exception as error:  # one target must not end the others
            _diagnostics.note_swallowed(error, "a target of the listener")
            if isinstance(handler, AgentMonitorHandler):
                handler.fail(record)

    @staticmethod
    def _pass_over(handler: logging.Handler, record: logging.LogRecord) -> None:
        if isinstance(handler, AgentMonitorHandler):
            handler.pass_over(record)

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._records.reset_after_fork()
        self._start_afresh()

    def _monitor(self) -> None:
        current = threading.current_thread()
        with _diagnostics.own_work():
            # In a child that a target forked, another thread or none is the listener's.
            while self._thread is current and not self._left():
                if self._holds_back():
                    continue
                try:
                    record = self._records.get()
                except queue.Empty:
                    continue
                except Exception as error:  # see _is_gone
                    if self._is_gone(error):
                        self._thread = None
                        return
                    continue
                self._unreadable = 0
                try:
                    self._handle_run(record)
                except BaseException as error:  # an exit that is nobody's but ours
                    _diagnostics.note_swallowed(error, "a target of the listener")
                # Until the next one comes it would keep alive what it holds.
                del record
                self._note_done()
                self._tell_overflow()

    def _holds_back(self) -> bool:
        """Wait a moment if the only target has soon, but not yet, room for more.

        We may be faster than its server, and then the oldest would be lost for want of
        room, while the queue has some.
        """
        target: Any = self._only_target()
        if target is None:
            return False
        if self._stopping and time.monotonic() >= self._holds_until:
            return False
        records: Any = self._records
        return bool(records.holds(target.put_off))

    def _handle_run(self, record: Any) -> None:
        """Hand over *record*, and those after it, at little more than the cost of one.

        Only where an `AgentMonitorHandler`, no subclass, is all there is to feed. The
        first record about which anything is unusual ends the run, and those after it
        go back: what it takes, and what it does, nobody knows.
        """
        target = self._only_target()
        if target is None or not self._is_ours(record):
            self._handle_safely(record)
            return
        began, forks = _worked(), _process.forks
        records: Any = self._records
        run = [record, *records.take(self._run - 1)]
        try:
            count = target.take_run(run, self.respect_handler_level)
        except BaseException as error:  # such as MemoryError
            for taken in run:
                self._lose(taken, error)
            return
        if forks != _process.forks:
            return  # in a child that was forked in the midst: they are the parent's
        self._run = _next_run(count, len(run), _worked() - began)
        if count == len(run):
            return
        rest = [] if records.put_back(run, count + 1) else run[count + 1 :]
        for one in (run[count], *rest):
            if forks == _process.forks:
                self._handle_safely(one)

    def _is_ours(self, queued: Any) -> bool:
        """Tell whether *queued* is what a queue handler of ours puts in for a record.

        Those are its attributes, or a `Capsule`, and only our own queue holds them.
        """
        return type(queued) in _OURS and isinstance(self._records, RecordQueue)

    def _only_target(self) -> Optional[AgentMonitorHandler]:
        handlers = self.handlers
        if len(handlers) != 1 or type(handlers[0]) is not AgentMonitorHandler:
            return None
        if not isinstance(self._records, RecordQueue):
            return None
        if "handle" in self.__dict__ or not handlers[0].takes_plain_events:
            return None
        return handlers[0]

    def _is_gone(self, error: Exception) -> bool:
        """Tell whether the queue is closed, or just what came out cannot be read here.

        Of another process, and of a class that is not known in this one.
        """
        _diagnostics.note_swallowed(error, "a queue")
        self._unreadable += 1
        closed = isinstance(error, (EOFError, OSError))
        return closed or self._unreadable >= MAX_UNREADABLE

    def _left(self) -> bool:
        if not self._stopping:
            return False
        current = threading.current_thread()
        with self._changing:
            if self._stopping and self._thread is current:
                # Before the look into the queue: who puts in a record after it finds
                # no thread running.
                self._thread = None
                if self._records.qsize():
                    self._thread = current
            return self._thread is not current

    def _drain_here(self, deadline: float) -> None:
        with _diagnostics.own_work():
            while time.monotonic() < deadline:
                try:
                    record = self._records.get_nowait()
                except (queue.Empty, EOFError, OSError):
                    return
                except Exception as error:  # see _is_gone
                    if self._is_gone(error):
                        return
                    continue
                try:
                    self._handle_safely(record)
                finally:
                    self._note_done()

    def _note_done(self) -> None:
        """Take note that what this thread has taken is with our targets."""
        self._records.done()
        for handler in self.handlers:
            if isinstance(handler, AgentMonitorHandler):
                handler.nudge()

    def _handle_safely(self, record: Any) -> None:
        if record is None:
            # Nothing, or the sentinel of somebody who stops it the standard way.
            return
        try:
            self.handle(record)
        except Exception as error:  # one target must not end the others
            _diagnostics.note_swallowed(error, "a target of the listener")

    def _tell_overflow(self) -> None:
        if self._records.overflowed:
            self._records.overflowed = False
            _diagnostics.report("queue_full", "the queue is full, records are lost")


def _next_run(done: int, taken: int, seconds: float) -> int:
    """Return how many to take, after *done* of *taken* in *seconds* of work.

    As many as are done in a slice, and fewer where something unusual came before.
    """
    if done < taken:
        return max(1, done)
    if seconds * RUN <= SLICE_SECONDS * taken:
        return RUN
    return max(1, int(taken * SLICE_SECONDS / seconds))


def _accept_of_others(record: logging.LogRecord) -> None:
    """Have a record that another's queue handler put in not pass for one of ours."""
    if not is_of_our_threads(record):
        record.__dict__[ACCEPTED_BY] = ()


def _is_inherited(record: logging.LogRecord) -> bool:
    """Tell whether a signal handler forked between the copy and the queue.

    The parent goes on with the same copy, and delivers it.
    """
    accepted_by = record.__dict__.get(ACCEPTED_BY)
    return bool(accepted_by and accepted_by[0] != _process.forks)
