"""The three logging classes: what users attach, what listens, what ships.

    AgentMonitorQueueHandler    on the caller's thread: a snapshot and a queue put
    AgentMonitorQueueListener   on its own thread: from the queue to the targets
    AgentMonitorHandler         record → event → sampling → redaction → bytes → sender

None of them takes the handler lock around `emit`, as the standard classes do: a
thread that waits for it while `logging.shutdown` holds it would wait for ever.
"""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import queue
import threading
import time
import weakref
from dataclasses import fields
from typing import Any, Dict, Iterable, List, Optional, Tuple, Type, Union

from . import _diagnostics, _process
from ._config import Config
from ._queue import ForeignQueue, RecordQueue
from ._snapshot import snapshot_record
from ._stats import SAMPLED, FlushResult, Ledger, Stats, total
from ._wiring import HandlerNames, wants_levels_ignored
from .exceptions import ConfigError

_ACCEPTED_BY = "_agent_accepted_by"
"""The attribute of a queued copy that says whose ledgers count it already."""
_QUEUE_VERBS = ("put_nowait", "get_nowait", "get", "qsize")
_OUR_THREADS = ("agentmonitor-listener", "agentmonitor-sender")
_FOREVER = float("inf")


class AgentMonitorHandler(logging.Handler):
    """Make events of records and ship them in batches.

    Behind an `AgentMonitorQueueHandler` it runs on the listener's thread; attached
    directly it converts on the caller's, and still never waits for the network. The
    options are those of the table in README.md; a wrong one raises `ConfigError`.
    """

    ships_events = True
    """What the package logs of itself passes this handler over."""

    def __init__(self, level: Union[int, str] = logging.NOTSET, **options: Any) -> None:
        # The base makes the handler known to logging.shutdown, which must not find
        # half a handler where an option is wrong: so the base comes last.
        self._config = Config.from_options(options)
        self._ledger = Ledger()
        self._listeners: weakref.WeakSet[AgentMonitorQueueListener] = weakref.WeakSet()
        self._closed = False
        if self._config.enabled:
            self._assemble(self._config)
            _process.watch(self)
        super().__init__(level)

    def _assemble(self, config: Config) -> None:
        # Here, so that importing the package imports neither requests nor json, and
        # a disabled handler nothing at all.
        from ._loss import encoded_loss_event
        from ._sender import Sender
        from ._transport import Transport
        from .events import encode, event_from_record
        from .redaction import Redactor
        from .sampling import Sampler

        self._event_from_record = event_from_record
        self._encode = encode
        self._sampler = Sampler(config.sample_rate)
        self._redactor = Redactor(
            config.redact_keys,
            config.redact_patterns,
            defaults=config.redact_defaults,
            redactor=config.redactor,
        )
        self._sender = Sender(
            config,
            self._ledger,
            transport=lambda: Transport(config),
            loss_event=lambda lost: encoded_loss_event(
                lost, agent_id=config.agent_id, metadata=config.metadata
            ),
        )
        weakref.finalize(self, self._sender.stop_when_empty).atexit = False

    def __repr__(self) -> str:
        config = self._config
        level = logging.getLevelName(self.level)
        state = f"to {config.api_url}" if config.enabled else "disabled"
        return f"<{type(self).__name__} {config.agent_id!r} {state} ({level})>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return (_rebuilt, (type(self), _options_of(self._config), _dress_of(self)))

    # -- records ---------------------------------------------------------------------

    def handle(self, record: logging.LogRecord) -> Any:
        """Ship *record* unless a filter says no; never wait, never raise."""
        if not self._config.enabled or _is_echo(record):
            return False
        accepted = id(self._ledger) in getattr(record, _ACCEPTED_BY, ())
        try:
            passed: Any = self.filter(record)
        except Exception as error:  # the application's own filter
            self._lose(accepted, "filter_error", error)
            return False
        if passed:
            replaced = isinstance(passed, logging.LogRecord)
            self._convert(passed if replaced else record, accepted=accepted)
        elif accepted:
            self._ledger.withdraw()
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Ship *record*; `handle` is what loggers and listeners call."""
        if self._config.enabled and not _is_echo(record):
            accepted = id(self._ledger) in getattr(record, _ACCEPTED_BY, ())
            self._convert(record, accepted=accepted)

    def pass_over(self, record: logging.LogRecord) -> None:
        """Take note that a listener left *record* out because of this level."""
        if id(self._ledger) in getattr(record, _ACCEPTED_BY, ()):
            self._ledger.withdraw()

    def _convert(self, record: logging.LogRecord, *, accepted: bool) -> None:
        if not accepted:
            _process.expect_end_of_child()
            self._ledger.accept()
        try:
            # What renders itself for us may log; that must not come back to us.
            with _diagnostics.own_work():
                body = self._body_of(record)
        except Exception as error:  # the thread must live on
            self._lose(True, "conversion_error", error)
            return
        if body is None:
            self._ledger.lose(SAMPLED)
            return
        self._sender.put(body)
        if not _diagnostics.is_own_work():
            # On a listener's thread, or in its place: whoever drains does it.
            self.deliver_late()

    def _body_of(self, record: logging.LogRecord) -> Optional[bytes]:
        config = self._config
        event = self._event_from_record(
            record,
            agent_id=config.agent_id,
            metadata=config.metadata,
            formatter=self.formatter,
        )
        if not self._sampler.keeps(event):
            return None
        return self._encode(self._redactor.redact(event), config.max_event_bytes)

    def _lose(self, accepted: bool, reason: str, error: Exception) -> None:
        (self._ledger.lose if accepted else self._ledger.refuse)(reason)
        _diagnostics.note_swallowed(error, f"a handler ({reason})")

    def deliver_late(self) -> None:
        """Deliver at once if nobody will call close() any more."""
        if self._config.enabled and self._closed and _process.is_exiting():
            with _process.closing(self._config.shutdown_timeout) as deadline:
                self._end(deadline)

    # -- life ------------------------------------------------------------------------

    def flush(self, timeout: Optional[float] = None) -> FlushResult:  # type: ignore[override]
        """Deliver what was accepted up to now, waiting at most *timeout* seconds.

        None waits as long as one request may take (the option `timeout`). Inside of
        `logging.shutdown` and dictConfig it returns at once, as close() follows.
        """
        mark = self._ledger.mark()
        if mark > self._ledger.settled() and not self._is_being_closed():
            seconds = self._config.timeout if timeout is None else timeout
            mark = self._deliver(mark, time.monotonic() + seconds)
        stats = self._ledger.stats()
        pending = max(0, mark - self._ledger.settled())
        return FlushResult(stats.delivered, pending, sum(stats.lost.values()))

    async def aflush(self, timeout: Optional[float] = None) -> FlushResult:
        """Flush without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            None, self.flush, timeout
        )

    def stats(self) -> Stats:
        """Return what became of the events since the process started."""
        return self._ledger.stats()

    def shutdown(self, timeout: Optional[float] = None) -> FlushResult:
        """Close within *timeout* seconds (None: the option `shutdown_timeout`).

        What is logged afterwards starts the handler again.
        """
        return _shut_down(self, self._config, timeout)

    def close(self) -> None:
        """Deliver what is left within `shutdown_timeout`, and end the threads."""
        with _process.closing(self._config.shutdown_timeout) as deadline:
            self._close(deadline)
        super().close()

    def close_at_exit(self) -> None:
        """Deliver what came after a close, which logging.shutdown will not do."""
        if self._closed:
            self.close()

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._ledger.reset_after_fork()
        self._sender.reset_after_fork()

    def _deliver(self, mark: int, deadline: float) -> int:
        for listener in tuple(self._listeners):
            listener.hurry()
        self._sender.start()
        self._sender.hurry()
        self._ledger.wait_settled(mark, deadline)
        told = self._sender.loss_mark
        if told > mark:
            # The losses that became known meanwhile are part of the news.
            self._ledger.wait_settled(told, deadline)
        return max(mark, told)

    def _is_being_closed(self) -> bool:
        if _process.holds_logging_lock():
            return True
        is_owned = getattr(self.lock, "_is_owned", None)
        return bool(is_owned()) if is_owned is not None else False

    def _close(self, deadline: float) -> None:
        if not self._config.enabled:
            return
        for listener in tuple(self._listeners):
            listener.drain(deadline)
        # Only now: what the listeners still had is not late.
        self._closed = True
        self._end(deadline)

    def _end(self, deadline: float) -> None:
        patience = (
            _process.LOCKED_PATIENCE if _process.holds_logging_lock() else _FOREVER
        )
        self._sender.finish(deadline, patience)
        exiting = _process.is_exiting()
        when = "at exit" if exiting else "when their handler was closed"
        self._sender.give_up(when, in_flight=exiting)


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
        super().__init__(
            queue, *handlers, respect_handler_level=respect_handler_level
        )
        known = isinstance(queue, (RecordQueue, ForeignQueue))
        self._records = queue if known else ForeignQueue(queue)
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._changing = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Tell whether the thread runs."""
        return self._thread is not None

    def start(self) -> bool:  # type: ignore[override]
        """Run the thread, and tell whether it runs: at exit no thread can start."""
        if not self._changing.acquire(timeout=_process.LOCKED_PATIENCE):
            return self.running
        try:
            self._stopping = False
            if self._thread is not None and self._thread.is_alive():
                return True
            thread = threading.Thread(
                target=self._monitor, name="agentmonitor-listener", daemon=True
            )
            self._thread = thread
        finally:
            self._changing.release()
        try:
            thread.start()
        except RuntimeError:
            self._thread = None
            return False
        return True

    def stop(self, timeout: Optional[float] = None) -> None:
        """Hand over what is queued, within *timeout* seconds (default 3), and end."""
        self.drain(time.monotonic() + (3.0 if timeout is None else timeout))

    def drain(self, deadline: float) -> None:
        """End the thread once the queue is empty, at the latest at *deadline*.

        Where it cannot run, or does not get on because it waits for a lock that this
        thread holds, this thread does its work.
        """
        thread = self._thread
        self._stopping = True
        self._records.hurry()
        if thread is threading.current_thread():
            return
        locked = _process.holds_logging_lock()
        if thread is not None:
            patience = _process.LOCKED_PATIENCE if locked else _FOREVER
            thread.join(max(0.0, min(patience, deadline - time.monotonic())))
        if thread is None or locked or not thread.is_alive():
            self._drain_here(deadline)

    def hurry(self) -> None:
        """Hand over what is queued without waiting for more."""
        if not self.running and self._records.qsize():
            self.start()
        self._records.hurry()

    def abandon(self) -> None:
        """End the thread once the queue is empty: the handler has been collected."""
        self._stopping = True
        self._records.hurry()

    def handle(self, record: logging.LogRecord) -> None:
        """Hand *record* to each target whose level it has."""
        record = self.prepare(record)
        if _ACCEPTED_BY not in record.__dict__ and not _is_of_our_threads(record):
            # Another's queue handler put it in; on this thread, it would pass for ours.
            record.__dict__[_ACCEPTED_BY] = ()
        for handler in self.handlers:
            if not self.respect_handler_level or record.levelno >= handler.level:
                handler.handle(record)
            elif isinstance(handler, AgentMonitorHandler):
                handler.pass_over(record)

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._records.reset_after_fork()
        self._start_afresh()

    def _monitor(self) -> None:
        with _diagnostics.own_work():
            while not self._left():
                try:
                    record = self._records.get()
                except queue.Empty:
                    continue
                except (EOFError, OSError, ValueError) as error:
                    _diagnostics.note_swallowed(error, "a queue")
                    self._thread = None
                    return
                self._handle_safely(record)
                self._tell_overflow()

    def _left(self) -> bool:
        if not self._stopping:
            return False
        with self._changing:
            current = threading.current_thread()
            empty = not self._records.qsize()
            if self._stopping and empty and self._thread is current:
                self._thread = None
            return self._thread is not current

    def _drain_here(self, deadline: float) -> None:
        with _diagnostics.own_work():
            while time.monotonic() < deadline:
                try:
                    record = self._records.get_nowait()
                except (queue.Empty, OSError, ValueError):
                    return
                self._handle_safely(record)

    def _handle_safely(self, record: Any) -> None:
        if record is None:
            # The sentinel of somebody who stops a listener the standard way.
            return
        try:
            self.handle(record)
        except Exception as error:  # one target must not end the others
            _diagnostics.note_swallowed(error, "a target of the listener")

    def _tell_overflow(self) -> None:
        if self._records.overflowed:
            self._records.overflowed = False
            _diagnostics.report("queue_full", "the queue is full, records are lost")


class AgentMonitorQueueHandler(logging.handlers.QueueHandler):
    """Queue a snapshot of each record for a listener that ships it.

    Given options it builds target, queue and listener itself. Given *handlers* (or
    their names, in dictConfig) it feeds those. The caller pays for the snapshot and
    for a put that never waits; the listener's thread starts with the first record.
    """

    queue: Any
    ships_events = True

    def __init__(
        self,
        queue: Any = None,
        handlers: Any = (),
        listener: Any = None,
        respect_handler_level: bool = True,
        level: Union[int, str] = logging.NOTSET,
        **options: Any,
    ) -> None:
        self._listener: Any = None
        self._names: Optional[HandlerNames] = None
        self._target: Optional[AgentMonitorHandler] = None
        self._has_options = bool(options)
        self._respects_levels = respect_handler_level
        self._wiring = threading.RLock()
        self._closed = False
        self._disabled = False
        self.configured_by_function = False
        """Whether `configure` made it, which then may replace it."""
        self._size = options.get("queue_size") or _default("queue_size")
        super().__init__(queue)
        self.setLevel(level)
        self._wire(queue, handlers, listener, options)
        _process.watch(self)

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
        if listener is not None and not isinstance(listener, (str, dict, type)):
            self.listener = listener
        elif handlers:
            self._names = HandlerNames(handlers)
            self._resolve_names(only_if_ready=True)
        elif queue is None or options:
            self._target = AgentMonitorHandler(**options)
            self._disabled = not self._target._config.enabled
            self._size = self._target._config.queue_size
            if not self._disabled:
                self._listen_for((self._target,))
        # Else dictConfig of Python 3.12 and newer sets the listener right after.

    def _listen_for(self, handlers: Iterable[logging.Handler]) -> None:
        if self.queue is None:
            self.queue = RecordQueue(self._size)
        self._adopt(
            AgentMonitorQueueListener(
                self.queue,
                *handlers,
                respect_handler_level=self._respects_levels,
            )
        )

    def _adopt(self, listener: Any) -> None:
        self._listener = listener
        self._records = getattr(listener, "_records", None) or ForeignQueue(self.queue)
        targets = [h for h in listener.handlers if isinstance(h, AgentMonitorHandler)]
        self._disabled = bool(targets) and len(targets) == len(listener.handlers)
        self._disabled &= not any(target._config.enabled for target in targets)
        self._ledgers = [target._ledger for target in targets]
        self._accepted_by = tuple(id(ledger) for ledger in self._ledgers)
        self._counts_itself = isinstance(self._records, RecordQueue)
        # Another's listener is its owner's to start and stop.
        self._starts_listener = isinstance(listener, AgentMonitorQueueListener)
        for target in targets:
            if isinstance(self._records, RecordQueue):
                target._ledger.add_source(self._records.entered)
            if isinstance(listener, AgentMonitorQueueListener):
                target._listeners.add(listener)
        abandon = getattr(listener, "abandon", None)
        if abandon is not None:
            weakref.finalize(self, abandon).atexit = False

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
        if self._disabled or _is_our_own(record):
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
            if not self._disabled:
                self.enqueue(self.prepare(record))
        except Exception as error:  # nothing reaches the application
            self._refuse("snapshot_error", error)

    def prepare(self, record: logging.LogRecord) -> Any:
        """Return the copy of *record* that travels; the record stays as it is."""
        copy = snapshot_record(record)
        if copy is record:
            # It comes from another queue handler, whose copy is not ours to mark.
            copy = logging.makeLogRecord(record.__dict__)
        if self.formatter is not None:
            copy.msg, copy.args = self.formatter.format(copy), None
            copy.message = copy.msg
        copy.__dict__[_ACCEPTED_BY] = self._accepted_by
        return copy

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put *record* into the queue, or count it as lost where that is full."""
        if not self._counts_itself:
            self._accept()
        try:
            self._records.put_nowait(record)
        except queue.Full:
            self._lose_to_full_queue()
        if self._starts_listener and not self._listener.running:
            self._begin()

    def _accept(self) -> None:
        for ledger in self._ledgers:
            ledger.accept()

    def _lose_to_full_queue(self) -> None:
        for ledger in self._ledgers:
            if self._counts_itself:
                ledger.refuse("queue_full")
            else:
                ledger.lose("queue_full")

    def _refuse(self, reason: str, error: Exception) -> None:
        for ledger in getattr(self, "_ledgers", ()):
            ledger.refuse(reason)
        _diagnostics.note_swallowed(error, f"a queue handler ({reason})")

    def _begin(self) -> None:
        _process.expect_end_of_child()
        if _process.is_exiting() and self._closed:
            with _process.closing(_default("shutdown_timeout")) as deadline:
                self._listener.drain(deadline)
            for target in self.targets():
                target.deliver_late()
        else:
            self._listener.start()

    # -- life ------------------------------------------------------------------------

    def targets(self) -> List[AgentMonitorHandler]:
        """Return the handlers of ours that this one feeds."""
        if self._disabled and self._target is not None:
            return [self._target]
        handlers = getattr(self.listener, "handlers", ())
        return [h for h in handlers if isinstance(h, AgentMonitorHandler)]

    def flush(self, timeout: Optional[float] = None) -> FlushResult:  # type: ignore[override]
        """Deliver what was accepted up to now; see `AgentMonitorHandler.flush`."""
        if self._is_being_closed():
            timeout = 0.0
        deadline = None if timeout is None else time.monotonic() + timeout
        return flush_all(self.targets(), deadline)

    async def aflush(self, timeout: Optional[float] = None) -> FlushResult:
        """Flush without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            None, self.flush, timeout
        )

    def stats(self) -> Stats:
        """Return what became of the events since the process started."""
        return total(target.stats() for target in self.targets())

    def shutdown(self, timeout: Optional[float] = None) -> FlushResult:
        """Close within *timeout* seconds; see `AgentMonitorHandler.shutdown`."""
        targets = self.targets()
        if not targets:
            self.close()
            return FlushResult(0, 0, 0)
        seconds = targets[0]._config.shutdown_timeout if timeout is None else timeout
        with _process.closing(seconds) as deadline:
            self._close(deadline)
            for target in targets:
                target._close(deadline)
        return flush_all(targets, 0.0)

    def close(self) -> None:
        """Hand over what is queued, and close the target if it is this one's own."""
        targets = self.targets()
        seconds = max(
            (target._config.shutdown_timeout for target in targets),
            default=_default("shutdown_timeout"),
        )
        with _process.closing(seconds) as deadline:
            self._close(deadline)
        if self._target is not None:
            self._target.close()
        super().close()

    def close_at_exit(self) -> None:
        """Deliver what came after a close, which logging.shutdown will not do."""
        if self._closed:
            self.close()

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._wiring = threading.RLock()
        reset = getattr(self._listener, "reset_after_fork", None)
        if reset is not None:
            reset()

    def __repr__(self) -> str:
        level = logging.getLevelName(self.level)
        return f"<{type(self).__name__} to {self.targets()!r} ({level})>"

    def __reduce__(self) -> Tuple[Any, ...]:
        if self._target is not None:
            options = _options_of(self._target._config)
        else:
            options = {
                "handlers": list(getattr(self.listener, "handlers", ())),
                "respect_handler_level": self._respects_levels,
            }
        return (_rebuilt, (type(self), options, _dress_of(self)))

    def _is_being_closed(self) -> bool:
        is_owned = getattr(self.lock, "_is_owned", None)
        return bool(is_owned()) if is_owned is not None else False

    def _close(self, deadline: float) -> None:
        self._closed = True
        drain = getattr(self.listener, "drain", None)
        if drain is not None:
            drain(deadline)


def flush_all(
    handlers: Iterable[AgentMonitorHandler], deadline: Optional[float]
) -> FlushResult:
    """Flush each of *handlers*, all of them until the monotonic *deadline*."""
    results = []
    for handler in handlers:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        results.append(handler.flush(left))
    return FlushResult(
        sum(result.delivered for result in results),
        sum(result.pending for result in results),
        sum(result.lost for result in results),
    )


def _shut_down(
    handler: AgentMonitorHandler, config: Config, timeout: Optional[float]
) -> FlushResult:
    seconds = config.shutdown_timeout if timeout is None else timeout
    with _process.closing(seconds) as deadline:
        handler._close(deadline)
    return handler.flush(0.0)


def _is_our_own(record: logging.LogRecord) -> bool:
    """Tell whether *record* is about us, or made while this thread works for us.

    A copy out of a queue is neither: it was checked when it was put in.
    """
    if _ACCEPTED_BY in record.__dict__:
        return False
    if record.name == _diagnostics.LOGGER_NAME:
        return True
    return _diagnostics.is_own_work()


def _is_echo(record: logging.LogRecord) -> bool:
    """Tell whether *record* is our own, perhaps by way of another's queue."""
    return _is_our_own(record) or _is_of_our_threads(record)


def _is_of_our_threads(record: logging.LogRecord) -> bool:
    return str(record.threadName).startswith(_OUR_THREADS)


def _check_queue(candidate: Any) -> None:
    if candidate is None or all(hasattr(candidate, verb) for verb in _QUEUE_VERBS):
        return
    raise ConfigError(
        f"queue is {candidate!r:.80}, but must be a queue with {', '.join(_QUEUE_VERBS)}: "
        "from its name or description only dictConfig of Python 3.12 and newer makes "
        'one, and not in an entry with "()"; refer to one by ext://'
    )


def _is_default_queue(candidate: Any) -> bool:
    return type(candidate) is queue.Queue and candidate.maxsize <= 0


def _default(option: str) -> Any:
    return next(item.default for item in fields(Config) if item.name == option)


def _options_of(config: Config) -> Dict[str, Any]:
    return {item.name: getattr(config, item.name) for item in fields(config)}


def _dress_of(handler: logging.Handler) -> Dict[str, Any]:
    return {
        "name": handler.name,
        "level": handler.level,
        "formatter": handler.formatter,
        "filters": handler.filters,
    }


def _rebuilt(
    kind: Type[logging.Handler], options: Dict[str, Any], dress: Dict[str, Any]
) -> logging.Handler:
    """Make a handler again from its pickle, in whatever process reads that."""
    try:
        handler = kind(**options)
    except ConfigError as error:
        _diagnostics.report("pickle", f"an unpickled handler is disabled: {error}")
        handler = kind(**dict(options, enabled=False))
    handler.set_name(dress["name"])
    handler.setLevel(dress["level"])
    handler.setFormatter(dress["formatter"])
    handler.filters = dress["filters"]
    return handler
