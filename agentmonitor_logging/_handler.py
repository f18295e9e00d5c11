"""From a record to the sender: `AgentMonitorHandler`.

It does not take the handler lock around `emit`, as the standard classes do: a thread
that waits for it while `logging.shutdown` holds it would wait for ever.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    Iterable,
    List,
    Optional,
    Protocol,
    Sequence,
    Set,
    Tuple,
    Union,
)

from . import _audience, _diagnostics, _naming, _process
from ._capsule import counted_by
from ._config import Config, checked_level
from ._echo import ACCEPTED_BY, is_echo
from ._flusher import Flusher
from ._passage import Passage, Passed, side_by_side
from ._pickling import dress_of, options_of, rebuilt
from ._snapshot import EVENT_ID
from ._stats import SAMPLED, FlushResult, Ledger, Stats

if TYPE_CHECKING:
    from ._plain import AnyEvent, PlainEvent

_MAX_CHARS = 262_144
_MIN_CHARS = 16
"""About how many characters are gone through at once, and for how many a text counts
besides its own: the application waits meanwhile, and their JSON takes memory."""
_SAME_CLOSE = 0.1
"""Seconds within which the close of a queue handler follows that of its own target."""


class Feeder(Protocol):
    """What hands us records from a queue: a listener."""

    def hurry(self) -> None:
        """Hand over what is queued without waiting for more."""

    def checkpoint(self) -> Passed:
        """Return a test whether all that is queued now has been handed over."""

    def drain(self, deadline: float) -> None:
        """Hand over what is queued, until *deadline*, and end."""

    def may_hold(self, deadline: float) -> None:
        """Let records wait for room even in a drain that ends at *deadline*."""

    def give_up(self) -> int:
        """Lose what is still queued; return how much."""


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
        checked_level(level)
        self._config = Config.from_options(options)
        self._ledger = Ledger()
        self._flusher = Flusher()
        self._feeders: weakref.WeakSet[Feeder] = weakref.WeakSet()
        self._closed = False
        self._closed_at = self._closed_until = float("-inf")
        self._is_fed = False
        """Whether records come named, by a queue handler."""
        self._converting: Set[int] = set()
        """The application's threads that convert for us, by their number."""
        if self._config.enabled:
            self._assemble(self._config)
            _process.watch(self)
            _naming.expect(self)
        else:
            _audience.expect_disabled()
        super().__init__(level)

    def _assemble(self, config: Config) -> None:
        # Here, so that importing the package imports neither requests nor json, and
        # a disabled handler nothing at all.
        from ._columns import bodies_of
        from ._encoding import fast_dumps
        from ._loss import encoded_loss_event
        from ._sender import Sender
        from ._shortcut import Options, plain_event_of, words_as_usual
        from ._transport import Transport
        from .events import converted, encode, makes_plain_events
        from .redaction import Redactor
        from .sampling import Sampler

        fast_dumps()
        self._converted = converted
        self._options = Options(
            *(config.agent_id, config.metadata, config.max_event_bytes),
            ledger=id(self._ledger),
            forks=0,
            least=logging.NOTSET,
        )
        self._bodies_of = bodies_of
        self._plain_event_of = plain_event_of
        self._words_as_usual = words_as_usual
        self._makes_plain_events = makes_plain_events
        self._encode = encode
        self._sampler = Sampler(config.sample_rate)
        self._redactor = Redactor(
            config.redact_keys,
            config.redact_patterns,
            defaults=config.redact_defaults,
            redactor=config.redactor,
            own_key=config.api_key,
        )
        self._sender = Sender(
            config,
            self._ledger,
            transport=lambda: Transport(config),
            loss_event=lambda lost: encoded_loss_event(
                lost, agent_id=config.agent_id, metadata=config.metadata
            ),
        )
        _process.when_gone(self, self._sender.stop_when_empty)

    @property
    def is_disabled(self) -> bool:
        """Tell whether the option `enabled` is false: then this hears nothing."""
        return not self._config.enabled

    def __repr__(self) -> str:
        config = self.__dict__.get("_config")
        if config is None:  # one that a wrong option has ended
            return f"<{type(self).__name__}, not made>"
        level = logging.getLevelName(self.level)
        state = f"to {config.api_url}" if config.enabled else "disabled"
        return f"<{type(self).__name__} {config.agent_id!r} {state} ({level})>"

    def __reduce__(self) -> Tuple[Any, ...]:
        return (rebuilt, (type(self), options_of(self._config), dress_of(self)))

    # -- records ---------------------------------------------------------------------

    def handle(self, record: logging.LogRecord) -> Any:
        """Ship *record* unless a filter says no; never wait, never raise."""
        if not self._config.enabled:
            return False
        if is_echo(record):
            self._note_nested(record)
            return False
        accepted = id(self._ledger) in getattr(record, ACCEPTED_BY, ())
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

    def take(self, record: logging.LogRecord) -> None:
        """Ship *record*, which a queue handler of ours has let pass and named."""
        if self.filters or not self._is_fed or not self._config.enabled:
            self.handle(record)
        else:
            self._convert(
                record, accepted=id(self._ledger) in record.__dict__[ACCEPTED_BY]
            )

    @property
    def takes_plain_events(self) -> bool:
        """Tell whether records need not come as such, but as their plain events.

        Not where code of the application runs for each: it may take any time.
        """
        return (
            self._is_fed
            and not self.filters
            and self._config.enabled
            and self._makes_plain_events(self.formatter)
            and self._redactor.can_clear_many
            and self._words_as_usual()
        )

    @property
    def put_off(self) -> int:
        """Return how many records had better wait a moment where they are.

        Like `take_run`, for who has asked `takes_plain_events`.
        """
        return self._sender.put_off

    def take_run(self, queued: Sequence[Any], respects_level: bool) -> int:
        """Ship what a queue handler of ours put into its queue; return how many.

        It ends before the first one that `take` is for. Runs on a thread of ours.
        """
        forks, least = _process.forks, self.level if respects_level else logging.NOTSET
        options = self._options._replace(forks=forks, least=least)
        bodies: Sequence[Optional[bytes]] = (None,) * len(queued)
        if self._sampler.keeps_all:
            bodies = self._bodies_of(queued, options, self._redactor)
        made: List[Union[bytes, PlainEvent]] = []
        count = size = 0
        for one, body in zip(queued, bodies):
            event = body or self._plain_event_of(one, options)
            if event is None:
                break
            made.append(event)
            count += 1
            if not isinstance(event, bytes):
                size += event.size + _MIN_CHARS * len(event.texts)
                if size > _MAX_CHARS:
                    self._take_made(made, forks)
                    made, size = [], 0
        self._take_made(made, forks)
        return count

    def _take_made(self, made: Sequence[Union[bytes, PlainEvent]], forks: int) -> None:
        """Ship events, or their JSON where nothing is left to do."""
        limit = self._config.max_event_bytes
        try:
            kept = made
            if not self._sampler.keeps_all:
                kept = [
                    event
                    for event in made
                    if isinstance(event, bytes) or self._is_kept(event)
                ]
            events = [event for event in kept if not isinstance(event, bytes)]
            redacted = iter(self._redactor.redact_all(events))
            bodies = [
                event
                if isinstance(event, bytes)
                else self._encode(next(redacted), limit)
                for event in kept
            ]
        except BaseException as error:  # the thread must live on
            if forks != _process.forks:
                return  # see _convert
            if len(made) == 1:
                self._lose(True, "conversion_error", error)
            else:
                for event in made:
                    self._take_made((event,), forks)
            return
        if forks != _process.forks:
            return  # see _convert
        if len(kept) < len(made):
            self._ledger.lose(SAMPLED, len(made) - len(kept))
        if bodies:
            self._sender.put(*bodies)

    def emit(self, record: logging.LogRecord) -> None:
        """Ship *record*; `handle` is what loggers and listeners call."""
        if self._config.enabled and not is_echo(record):
            accepted = id(self._ledger) in getattr(record, ACCEPTED_BY, ())
            self._convert(record, accepted=accepted)

    def pass_over(self, record: logging.LogRecord) -> None:
        """Take note that a listener left *record* out because of this level."""
        if id(self._ledger) in getattr(record, ACCEPTED_BY, ()):
            self._ledger.withdraw()

    def expect_named(self) -> None:
        """Know that a queue handler feeds this one, and names its records.

        A subclass with ways of its own gets every record by way of `handle`.
        """
        ours, own = AgentMonitorHandler, type(self)
        self._is_fed = own.handle is ours.handle and own.filter is ours.filter
        _naming.dismiss(self)

    def fail(self, record: Any) -> None:
        """Take note that *record*, or what was queued for it, did not come to us."""
        if type(record) is tuple:
            accepted_by = counted_by(record)
        else:
            fields = record if type(record) is dict else getattr(record, "__dict__", {})
            accepted_by = fields.get(ACCEPTED_BY, ())
        if id(self._ledger) in accepted_by:
            self._ledger.lose("conversion_error")

    def nudge(self) -> None:
        """Have those who flush look again: a listener has gone on."""
        self._ledger.nudge()

    def lose_queued(self, count: int) -> None:
        """Take note that a listener gave up *count* records that were for us."""
        self._ledger.lose("shutdown", count)

    def _convert(self, record: logging.LogRecord, *, accepted: bool) -> None:
        forks = _process.forks
        if not accepted:
            _process.expect_end_of_child()
            self._ledger.accept()
            if EVENT_ID not in record.__dict__ and not _naming.is_shared:
                _naming.expect(self)  # it may be attached itself, too
        try:
            body = self._body_in_own_work(record)
        except BaseException as error:  # the thread must live on
            if forks == _process.forks:
                self._lose(True, "conversion_error", error)
            if not isinstance(error, Exception):
                raise
            return
        if forks != _process.forks:
            return  # a child that was forked in the midst; the parent goes on with it
        if body is None:
            self._ledger.lose(SAMPLED)
            return
        self._sender.put(body)
        if not _diagnostics.is_own_work():
            # On a listener's thread, or in its place: whoever drains does it.
            self.deliver_late()

    def _body_in_own_work(self, record: logging.LogRecord) -> Optional[bytes]:
        """Convert *record* such that what its objects log does not come back to us."""
        if _diagnostics.is_own_work():
            return self._body_of(record)
        thread = threading.get_ident()
        # A finaliser may log right here, and what is begun first ends last.
        is_first = thread not in self._converting
        self._converting.add(thread)
        try:
            with _diagnostics.own_work():
                return self._body_of(record)
        finally:
            if is_first:
                self._converting.discard(thread)

    def _note_nested(self, record: logging.LogRecord) -> None:
        """Count what is logged while an application's thread converts for us.

        By an object that is rendered, which would have no end, but perhaps by a
        signal handler or a finaliser: nobody can tell them apart here.
        """
        nested = threading.get_ident() in self._converting
        if nested and record.name != _diagnostics.LOGGER_NAME:
            self._ledger.refuse("nested")

    def _body_of(self, record: logging.LogRecord) -> Optional[bytes]:
        config = self._config
        event = self._converted(
            record,
            config.agent_id,
            config.metadata,
            self.formatter,
            config.max_event_bytes,
        )
        if not self._is_kept(event):
            return None
        return self._encode(self._redactor.redact(event), config.max_event_bytes)

    def _is_kept(self, event: AnyEvent) -> bool:
        return self._sampler.keeps(
            event if isinstance(event, dict) else event.as_event()
        )

    def _lose(self, accepted: bool, reason: str, error: BaseException) -> None:
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
        `logging.shutdown` and dictConfig it returns at once, as close() follows, and so
        it does in `on_error`, which holds up the thread that delivers.
        """
        if not self._config.enabled or _process.is_closing(self):
            return self._standing()
        deadline = time.monotonic() + self._flush_seconds(timeout)
        return self._standing(self._deliver(deadline))

    def _flush_seconds(self, timeout: Optional[float]) -> float:
        """Return the seconds that a flush with *timeout*, asked for here, may take."""
        if self._sender.is_telling:
            return 0.0
        return _process.bounded(self._config.timeout if timeout is None else timeout)

    def _standing(self, pending: Optional[int] = None) -> FlushResult:
        """Tell how far we are, if not with all, with *pending* to wait for."""
        stats = self._ledger.stats()
        if pending is None:
            pending = stats.pending
        return FlushResult(stats.delivered, pending, sum(stats.lost.values()))

    async def aflush(self, timeout: Optional[float] = None) -> FlushResult:
        """Flush without blocking the event loop."""
        if not self._config.enabled:
            return self._standing()
        waited_for = self._ledger.stats().pending
        seconds = self._flush_seconds(timeout)
        result = await self._flusher.flush(self.flush, seconds)
        if result is None:
            left = min(waited_for, self._ledger.stats().pending)
            result = self._standing(left)
        return result

    def stats(self) -> Stats:
        """Return what became of the events since the process started."""
        stats = self._ledger.stats()
        if not self._config.enabled:
            return stats
        return stats.with_spooled(self._sender.spooled)

    def shutdown(self, timeout: Optional[float] = None) -> FlushResult:
        """Close within *timeout* seconds (None: the option `shutdown_timeout`).

        What is logged afterwards starts the handler again.
        """
        with _process.closing(self.patience(timeout)) as deadline:
            self._close(deadline)
        return self._standing()

    def patience(self, timeout: Optional[float] = None) -> float:
        """Return the seconds that a close with *timeout* may take."""
        if timeout is not None:
            return _process.bounded(timeout)
        return self._config.shutdown_timeout

    def close(self) -> None:
        """Deliver what is left within `shutdown_timeout`, and end the threads."""
        with _process.closing(self.patience()) as deadline:
            self._close(deadline)
        _process.forget(super().close)
        self._closed_at, self._closed_until = time.monotonic(), deadline

    def close_until(self, deadline: float) -> None:
        """Close as part of the close of who feeds us alone."""
        self._close(deadline)
        _process.forget(super().close)

    def soonest(self, deadline: float) -> float:
        """Return *deadline*, or that of a close which is just over, if that is sooner.

        `logging.shutdown` and dictConfig close us and then who feeds us, and what
        others log in between must not make that two closes of all the time there is.
        """
        if time.monotonic() - self._closed_at < _SAME_CLOSE:
            return min(deadline, self._closed_until)
        return deadline

    def get_ready(self) -> None:
        """Have the thread that delivers, as there will soon be something to deliver."""
        if self._config.enabled:
            self._sender.get_ready()

    def hurry(self, timeout: Optional[float]) -> None:
        """Deliver what is accepted as `shutdown` does, without waiting for it."""
        if self._config.enabled:
            for feeder in tuple(self._feeders):
                feeder.hurry()
            self._sender.hurry_until(time.monotonic() + self.patience(timeout))

    def close_at_exit(self) -> None:
        """Deliver what came after a close, which logging.shutdown will not do."""
        if self._closed:
            self.close()

    def reset_after_fork(self) -> None:
        """Start afresh in a child process."""
        self._closed_at = float("-inf")
        self._ledger.reset_after_fork()
        self._converting &= {threading.get_ident()}
        self._sender.reset_after_fork()
        self._flusher = Flusher()

    def _deliver(self, deadline: float) -> int:
        """Have all that is accepted by now delivered; return how much of it is not."""
        sender, forks = self._sender, _process.forks
        # What a dead process left is accepted now.
        sender.adopt(deadline)
        if self._ledger.stats().pending <= sender.left_behind:
            return sender.left_behind
        feeders = tuple(self._feeders)
        queues = side_by_side([feeder.checkpoint for feeder in feeders])
        passed = Passage(queues, sender.checkpoint)
        for feeder in feeders:
            feeder.hurry()
        if sender.start():
            # And what this handler left when it was closed, if it was.
            sender.adopt(deadline)
        elif sender.is_threadless:
            # Only then: else another thread, or what we interrupted, has the lock.
            self._deliver_here(deadline)
        if forks != _process.forks:
            return 0  # a signal handler forked in the midst: all that was the parent's
        mark, waited_for = self._ledger.mark(), self._ledger.stats().pending
        arrived = self._ledger.wait(sender.hurry(passed), deadline)
        if arrived and sender.loss_mark > mark:
            # The losses that became known meanwhile are part of the news.
            arrived = self._ledger.wait(sender.await_losses(), deadline)
        left = sender.left_behind
        if arrived:
            return left
        # Which of those that are open now were open then is not known, only how many.
        return max(1, left, min(waited_for, self._ledger.stats().pending))

    def _deliver_here(self, deadline: float) -> None:
        """Do the threads' work: there are none in a subinterpreter, or at exit."""
        for feeder in tuple(self._feeders):
            feeder.drain(deadline)
        self._sender.finish(deadline)

    def _close(self, deadline: float) -> None:
        if not self._config.enabled:
            return
        _process.without_logging_lock(lambda: self._drain_and_end(deadline))
        self._closed = True

    def _drain_and_end(self, deadline: float) -> None:
        for feeder in tuple(self._feeders):
            feeder.may_hold(deadline)
            feeder.drain(deadline)
        # Only now: what the listeners still had is not late.
        self._closed = True
        self._end(deadline)

    def _end(self, deadline: float) -> None:
        if not self._sender.finish(deadline):
            return  # what we have interrupted sees to it, or the end of the process
        if _process.is_exiting():
            self.give_up("at exit")
        elif time.monotonic() >= deadline:
            # Else what is left came in meanwhile, and the worker ends after it.
            self._sender.give_up("when their handler was closed", in_flight=False)

    def give_up(self, when: str) -> None:
        """Let go of all that is left, as the process ends; *when* is for people."""
        queued = sum(feeder.give_up() for feeder in tuple(self._feeders))
        self._sender.give_up(when, in_flight=True, queued=queued)


def flush_all(
    handlers: Iterable[AgentMonitorHandler], timeout: Optional[float]
) -> FlushResult:
    """Flush each of *handlers*, all of them within *timeout* seconds."""
    deadline = None
    if timeout is not None:
        deadline = time.monotonic() + _process.bounded(timeout)
    results = []
    for handler in handlers:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        results.append(handler.flush(left))
    return _summed(results)


async def aflush_all(
    handlers: Iterable[AgentMonitorHandler], timeout: Optional[float]
) -> FlushResult:
    """Flush *handlers* side by side without blocking the event loop."""
    import asyncio  # costs as much as the rest of the package

    flushes = [handler.aflush(timeout) for handler in handlers]
    return _summed(await asyncio.gather(*flushes))


def standing_of_all(handlers: Iterable[AgentMonitorHandler]) -> FlushResult:
    """Tell how far *handlers* are, without asking anything of them."""
    return _summed([handler._standing() for handler in handlers])


def _summed(results: Sequence[FlushResult]) -> FlushResult:
    return FlushResult(
        sum(result.delivered for result in results),
        sum(result.pending for result in results),
        sum(result.lost for result in results),
    )
