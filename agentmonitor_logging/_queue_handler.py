"""From the caller into the queue: `AgentMonitorQueueHandler`."""

from __future__ import annotations

import logging
import logging.handlers
import queue
import sys
import threading
import time
from threading import get_ident
from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from . import _diagnostics, _naming, _process
from ._config import Config, checked_level, wrong
from ._diagnostics import LOGGER_NAME, own_work_of
from ._echo import ACCEPTED_BY, is_our_own
from ._handler import AgentMonitorHandler, aflush_all, flush_all, standing_of_all
from ._listener import AgentMonitorQueueListener
from ._pickling import dress_of, make_picklable, options_of, rebuilt
from ._queue import ForeignQueue, RecordQueue
from ._snapshot import EVENT_ID, STANDARD, make_private, snapshot_record
from ._stats import FlushResult, Ledger, Stats, total
from ._wiring import HandlerNames, listener_class, wants_levels_ignored
from .exceptions import ConfigError

_LogRecord = logging.LogRecord
_QUEUE_VERBS = ("put_nowait", "get_nowait", "get", "qsize")


class AgentMonitorQueueHandler(logging.handlers.QueueHandler):
    """Queue a snapshot of each record for a listener that ships it.

    Given options it builds target, queue and listener itself. Given *handlers* (or
    their names, in dictConfig) it feeds those. The caller pays for the snapshot and
    for a put that never waits; the listener's thread starts with the first record.
    """

    queue: Any
    ships_events = True
    _records: Any = None
    _is_direct = False
    """Whether all between the application and our own queue is ours: then a record's
    way has no stops at which a subclass or another queue could ask for it."""
    _ledgers: List[Ledger] = []  # noqa: RUF012 - never changed, only replaced
    _accepted_by: Tuple[int, ...] = ()

    def __init__(
        self,
        queue: Any = None,
        handlers: Any = (),
        listener: Any = None,
        respect_handler_level: bool = True,
        level: Union[int, str] = logging.NOTSET,
        **options: Any,
    ) -> None:
        checked_level(level)
        self._listener: Any = None
        self._listener_class: Any = AgentMonitorQueueListener
        self._names: Optional[HandlerNames] = None
        self._target: Optional[AgentMonitorHandler] = None
        self._has_options = bool(options)
        self._respects_levels = respect_handler_level
        self._wiring = threading.RLock()
        self._closed = False
        self.is_disabled = False
        """Whether all that it feeds is disabled: then this hears nothing."""
        self.configured_by_function = False
        """Whether `configure` made it, which then may replace it."""
        self._size = options.get("queue_size") or _default("queue_size")
        super().__init__(queue)
        self.setLevel(level)
        self._wire(queue, handlers, listener, options)
        _process.watch(self)
        _naming.expect(self)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in _STEPS:
            # Somebody put in a way of his own, which every record has to go.
            self._is_direct = False

    # -- wiring ----------------------------------------------------------------------

    def _wire(
        self, queue: Any, handlers: Any, listener: Any, options: Dict[str, Any]
    ) -> None:
        if isinstance(handlers, logging.Handler):
            handlers = [handlers]
        if handlers and options:
            raise ConfigError(
                f"give either handlers or options: {', '.join(sorted(options))} belong "
                "to the AgentMonitorHandler that handlers names"
            )
        _check_queue(queue)
        if isinstance(listener, logging.handlers.QueueListener):
            self.listener = listener
            return
        if listener is not None:
            wanted = listener_class(listener)
            if wanted is not logging.handlers.QueueListener:  # ours takes its place
                self._listener_class = wanted
        if handlers:
            self._names = HandlerNames(handlers)
            self._resolve_names(only_if_ready=True)
        elif queue is None or options:
            self._target = AgentMonitorHandler(**options)
            self.is_disabled = not self._target._config.enabled
            self._size = self._target._config.queue_size
            if not self.is_disabled:
                self._listen_for((self._target,))
        else:
            # dictConfig of Python 3.12 and newer may set the listener right after.
            self._only_put()

    def _only_put(self) -> None:
        """Feed a queue to which others listen, perhaps in another process."""
        known = isinstance(self.queue, (RecordQueue, ForeignQueue))
        self._records = self.queue if known else ForeignQueue(self.queue)
        self._listener = None
        self._ledgers, self._accepted_by = [], ()
        self._counts_itself = True
        self._starts_listener = self._is_direct = False

    def _listen_for(self, handlers: Iterable[logging.Handler]) -> None:
        if self.queue is None:
            self.queue = RecordQueue(self._size)
        self._adopt(
            self._listener_class(
                self.queue,
                *handlers,
                respect_handler_level=self._respects_levels,
            )
        )

    def _adopt(self, listener: Any) -> None:
        self._listener = listener
        self._records = getattr(listener, "_records", None) or ForeignQueue(self.queue)
        ours = [h for h in listener.handlers if isinstance(h, AgentMonitorHandler)]
        # What is disabled hears nothing, and so has nothing to account for.
        targets = [target for target in ours if not target.is_disabled]
        self.is_disabled = bool(ours) and len(ours) == len(listener.handlers)
        self.is_disabled &= not targets
        self._ledgers = [target._ledger for target in targets]
        self._accepted_by = (_process.forks, *map(id, self._ledgers))
        self._counts_itself = isinstance(self._records, RecordQueue)
        # Another's listener is its owner's to start and stop.
        self._starts_listener = isinstance(listener, AgentMonitorQueueListener)
        self._is_direct = (
            self._counts_itself and self._starts_listener and not self.is_disabled
        ) and _is_unchanged(self, listener)
        for target in targets:
            target.expect_named()
            if isinstance(self._records, RecordQueue):
                target._ledger.add_source(self._records.entered)
            if isinstance(listener, AgentMonitorQueueListener):
                target._feeders.add(listener)
        if getattr(self._records, "is_shared", False):
            _process.close_before_queues(self)
        abandon = getattr(listener, "abandon", None)
        if abandon is not None:
            _process.when_gone(self, abandon)

    @property
    def listener(self) -> Any:
        """Return what drains the queue; dictConfig of Python 3.12 and newer sets it."""
        self._resolve_names(only_if_ready=True)
        return self._listener

    @listener.setter
    def listener(self, listener: Any) -> None:
        # The base sets None, first of all.
        if listener is None:
            return
        if self._has_options:
            raise ConfigError(
                "give either handlers or options: the options belong to the "
                "AgentMonitorHandler that handlers names"
            )
        if type(listener) is not logging.handlers.QueueListener:
            self.queue = getattr(listener, "queue", self.queue)
            self._adopt(listener)
            return
        # A plain one, as dictConfig makes it: never started, on an unbounded queue
        # whose put is not safe in a signal handler. Ours takes its place.
        if not listener.respect_handler_level and wants_levels_ignored():
            self._respects_levels = False
        if _is_default_queue(self.queue):
            self.queue = None
        self._listen_for(listener.handlers)

    def _resolve_names(self, *, only_if_ready: bool = False) -> None:
        if self._names is None:
            return
        with self._wiring:
            names = self._names
            if names is None or (only_if_ready and not names.all_configured()):
                return
            self._listen_for(names.resolve())
            self._names = None

    # -- records ---------------------------------------------------------------------

    def handle(self, record: logging.LogRecord) -> Any:
        """Queue a snapshot of *record* unless a filter says no."""
        if (
            not self._is_direct
            or type(record) is not _LogRecord
            or self.filters
            or self.formatter is not None
        ):
            return self._handle_by_steps(record)
        accepted_by = self._accepted_by  # first of all, see the listener
        fields = record.__dict__.copy()
        if EVENT_ID in fields:
            return self._handle_by_steps(record)
        if record.name == LOGGER_NAME or get_ident() in own_work_of:
            return False
        try:
            make_private(fields, STANDARD)
            fields[ACCEPTED_BY] = accepted_by
            if _naming.is_shared:
                fields[EVENT_ID] = _naming.id_for(record)
            self._records.put_nowait(fields)
        except queue.Full:
            self._lose_to_full_queue()
        except Exception:  # an attribute is missing, or something fails to be copied
            return self._handle_by_steps(record)
        if self._listener._thread is None:
            self._begin()
        return True

    def takes_fields(self, level: int) -> bool:
        """Tell whether `put_fields` and `put_call` do all that `handle` would.

        With a record of *level* that is made by us, of what nobody else can change.
        """
        return (
            self._is_direct
            and type(self).handle is _HANDLE
            and level >= self.level
            and not self.filters
            and self.formatter is None
            and not _naming.is_shared
            and get_ident() not in own_work_of
        )

    def put_fields(self, fields: Dict[str, Any]) -> None:
        """Queue the attributes of a record that nobody else will see; never wait."""
        accepted_by = self._accepted_by  # first of all, see the listener
        try:
            make_private(fields, STANDARD)
            fields[ACCEPTED_BY] = accepted_by
            self._put(fields)
        except Exception as error:  # nothing reaches the application
            self._refused(error)

    def put_call(self, parts: Tuple[Any, ...]) -> None:
        """Queue a call, of which *parts* are those of a `Capsule` but the last."""
        try:
            self._put((*parts, self._accepted_by))
        except Exception as error:  # nothing reaches the application
            self._refused(error)

    def _put(self, queued: Any) -> None:
        try:
            self._records.put_nowait(queued)
        except queue.Full:
            self._lose_to_full_queue()
        if self._listener._thread is None:
            self._begin()

    def _handle_by_steps(self, record: logging.LogRecord) -> Any:
        if self.is_disabled or is_our_own(record):
            return False
        try:
            passed: Any = self.filter(record) if self.filters else True
        except Exception as error:  # the application's own filter
            self._refuse("filter_error", error)
            return False
        if passed:
            if isinstance(passed, logging.LogRecord):
                record = passed
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a snapshot of *record*; never wait, never raise."""
        try:
            if self._names is not None:
                self._resolve_names()
            if not self.is_disabled:
                self.enqueue(self.prepare(record))
        except Exception as error:  # nothing reaches the application
            self._refused(error)

    def prepare(self, record: logging.LogRecord) -> Any:
        """Return the copy of *record* that travels; the record stays as it is."""
        accepted_by = self._accepted_by  # first of all, see AgentMonitorQueueListener
        copy = snapshot_record(record)
        if copy is record:
            # It comes from another queue handler, whose copy is not ours to mark.
            copy = logging.makeLogRecord(record.__dict__)
        if self.formatter is not None:
            copy.msg, copy.args = self.formatter.format(copy), None
            copy.message = copy.msg
        copy.__dict__[ACCEPTED_BY] = accepted_by
        if getattr(self._records, "is_shared", False):
            make_picklable(copy)
        return copy

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put *record* into the queue, or count it as lost where that is full."""
        if not self._counts_itself:
            self._accept()
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self._lose_to_full_queue()
        if self._starts_listener and self._listener._thread is None:
            self._begin()

    def _accept(self) -> None:
        for ledger in self._ledgers:
            ledger.accept()

    def _lose_to_full_queue(self) -> None:
        if not self._ledgers:
            _diagnostics.report("queue_full", "the queue is full, records are lost")
        for ledger in self._ledgers:
            if self._counts_itself:
                ledger.refuse("queue_full")
            else:
                ledger.lose("queue_full")

    def _refused(self, error: Exception) -> None:
        self._refuse("snapshot_error", error)
        if isinstance(error, RecursionError) and sys.version_info < (3, 9):
            raise error  # it is the application's; 3.8 aborts unless it gets through

    def _refuse(self, reason: str, error: Exception) -> None:
        for ledger in getattr(self, "_ledgers", ()):
            ledger.refuse(reason)
        _diagnostics.note_swallowed(error, f"a queue handler ({reason})")

    def _begin(self) -> None:
        _process.expect_end_of_child()
        _process.ask_for_levels()
        if _process.is_exiting() and self._closed:
            with _process.closing(self.patience()) as deadline:
                self._listener.drain(deadline)
            for target in self.targets():
                target.deliver_late()
        else:
            self._listener.start()
            for target in self.targets():
                # At exit, from Python 3.12 on, it would be too late.
                target.get_ready()

    # -- life ------------------------------------------------------------------------

    def targets(self) -> List[AgentMonitorHandler]:
        """Return the handlers of ours that this one feeds."""
        if self.is_disabled and self._target is not None:
            return [self._target]
        handlers = getattr(self.listener, "handlers", ())
        return [h for h in handlers if isinstance(h, AgentMonitorHandler)]

    def flush(self, timeout: Optional[float] = None) -> FlushResult:  # type: ignore[override]
        """Deliver what was accepted up to now; see `AgentMonitorHandler.flush`."""
        if _process.is_closing(self):
            return standing_of_all(self.targets())
        return flush_all(self.targets(), timeout)

    async def aflush(self, timeout: Optional[float] = None) -> FlushResult:
        """Flush without blocking the event loop."""
        return await aflush_all(self.targets(), timeout)

    def stats(self) -> Stats:
        """Return what became of the events since the process started."""
        return total(target.stats() for target in self.targets())

    def shutdown(self, timeout: Optional[float] = None) -> FlushResult:
        """Close within *timeout* seconds; see `AgentMonitorHandler.shutdown`."""
        targets = self.targets()
        if not targets:
            self.close()
            return FlushResult(0, 0, 0)
        with _process.closing(self.patience(timeout)) as deadline:
            for target in targets:  # a server that hangs takes no time from another
                target.hurry(max(0.0, deadline - time.monotonic()))
            self._close(deadline, holds=True)
            for target in targets:
                target._close(deadline)
        return standing_of_all(targets)

    def close(self) -> None:
        """Hand over what is queued, and close the target if it is this one's own."""
        with _process.closing(self.patience()) as deadline:
            target = self._target
            until = deadline if target is None else target.soonest(deadline)
            self._close(until, holds=target is not None)
            if target is not None:
                target.close_until(until)
        _process.forget(super().close)

    def patience(self, timeout: Optional[float] = None) -> float:
        """Return the seconds that a close with *timeout* may take."""
        if timeout is not None:
            return _process.bounded(timeout)
        each = [target.patience() for target in self.targets()]
        return max(each, default=_default("shutdown_timeout"))

    def hurry(self, timeout: Optional[float]) -> None:
        """Do nothing: a target has those hurry who feed it."""

    def close_at_exit(self) -> None:
        """Deliver what came after a close, which logging.shutdown will not do."""
        if self._closed:
            self.close()

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._wiring = threading.RLock()
        if self._ledgers:
            self._accepted_by = (_process.forks, *map(id, self._ledgers))
        if getattr(self._records, "is_shared", False):
            self._leave_to_parent()
        reset = getattr(self._listener or self._records, "reset_after_fork", None)
        if reset is not None:
            reset()

    def _leave_to_parent(self) -> None:
        # Its listener takes what is put in here, too, and counts it there.
        for target in self.targets():
            target._feeders.discard(self._listener)
        self._only_put()

    def __repr__(self) -> str:
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} to {self.targets()!r} ({level})>"

    def __reduce__(self) -> Tuple[Any, ...]:
        if self._target is not None:
            options = options_of(self._target._config)
        elif self._listener is None and self._names is None:
            options = {"queue": self.queue}
        else:
            options = {
                "handlers": list(getattr(self.listener, "handlers", ())),
                "respect_handler_level": self._respects_levels,
            }
        if self._listener_class is not AgentMonitorQueueListener:
            options["listener"] = self._listener_class
        return (rebuilt, (type(self), options, dress_of(self)))

    def _close(self, deadline: float, *, holds: bool) -> None:
        """Have the listener end; with *holds* its targets are closed after it."""
        self._closed = True
        listener = self.listener
        if not isinstance(listener, AgentMonitorQueueListener):
            return
        if holds:
            listener.may_hold(deadline)
        _process.without_logging_lock(lambda: listener.drain(deadline))


_HANDLE = AgentMonitorQueueHandler.handle
_STEPS = ("handle", "emit", "prepare", "enqueue", "filter", "format")


def _is_unchanged(handler: logging.Handler, listener: Any) -> bool:
    """Tell whether subclasses, if they are such, leave a record's way alone."""
    own, ours = type(handler), AgentMonitorQueueHandler
    theirs, ends = type(listener), AgentMonitorQueueListener
    return all(getattr(own, step) is getattr(ours, step) for step in _STEPS) and (
        theirs.handle is ends.handle and theirs.prepare is ends.prepare
    )


def _check_queue(candidate: Any) -> None:
    if candidate is None or all(hasattr(candidate, verb) for verb in _QUEUE_VERBS):
        return
    raise wrong(
        "queue",
        candidate,
        "a queue object: dictConfig makes none of a name or description before Python "
        '3.12, nor in an entry with "()"; refer to one by ext://',
    )


def _is_default_queue(candidate: Any) -> bool:
    return type(candidate) is queue.Queue and candidate.maxsize <= 0


def _default(option: str) -> Any:
    return Config._field_defaults[option]
