"""What watched code says of itself: its span, its clock, its log record.

Shared by everything that makes an event out of running code. What goes wrong here
must never reach that code: the callers' methods are wrapped in `never_raises`.
"""

from __future__ import annotations

import functools
import logging
import sys
from time import perf_counter, time
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
    Union,
)

from agentmonitor_logging import _diagnostics
from agentmonitor_logging._audience import AnyLogger, audience_of
from agentmonitor_logging._capsule import Given, StepFacts, Told
from agentmonitor_logging._raised import ErrorText
from agentmonitor_logging._snapshot import Snapshot, snapshot
from agentmonitor_logging._templates import RecordTemplate, Source
from agentmonitor_logging.context import (
    Binding,
    Span,
    activate,
    current_binding,
    latest_binding,
    new_span,
    release,
    restore,
    start_span,
)

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

T = TypeVar("T")

_FORMATTED = frozenset(("message", "asctime"))
FRAMES_NEEDED: Any = str
for _ in range(60 if sys.version_info < (3, 10) else 0):
    FRAMES_NEEDED = (FRAMES_NEEDED,)
"""A class to be asked for, so deep in tuples that asking fails near the limit of the
stack. Sixty frames are what copying a call and logging it may take."""

_NOTHING_BOUND = Snapshot()


def never_raises(method: Callable[P, T]) -> Callable[P, Optional[T]]:
    """Keep what goes wrong in *method* from the application: report it, return None.

    `logging.raiseExceptions` decides, as for handlers, whether there is a report.
    """

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Optional[T]:
        try:
            return method(*args, **kwargs)
        except Exception as error:
            report_swallowed(error, method.__qualname__)
            return None

    return guarded


def begins_safely(method: Callable[P, T]) -> Callable[P, Optional[T]]:
    """Do as `never_raises`, but let a RecursionError go on.

    It is the program's own, met a few frames early. Had we swallowed it here, before
    the program's code runs, Python 3.8 and 3.9 would not raise it again but abort
    the process: "Cannot recover from stack overflow".
    """

    @functools.wraps(method)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> Optional[T]:
        try:
            isinstance(None, FRAMES_NEEDED)
            return method(*args, **kwargs)
        except RecursionError:
            raise
        except Exception as error:  # the boundary to the application
            report_swallowed(error, method.__qualname__)
            return None

    return guarded


def report_swallowed(error: Exception, where: str) -> None:
    """Tell of *error*, which is kept from the application, if that can be done."""
    try:
        if logging.raiseExceptions:
            _diagnostics.note_swallowed(error, where)
    except Exception:  # noqa: S110 - at the recursion limit nothing works
        pass


class Step:
    """One stretch of work under way: when it began, and its span.

    Making one makes its span current until `end`. Without *has_span* the span is
    made only when `fields` asks for it: nobody inside can be a child of it. One that
    *began* earlier is given the reading of `time.perf_counter` at its start.
    """

    __slots__ = (
        *("_binding", "_latency_ms", "_paused", "_span", "_started", "_timestamp"),
    )

    def __init__(self, *, has_span: bool, began: Optional[float] = None) -> None:
        self._binding = binding = latest_binding()
        if binding is not None and binding.is_gone:
            self._binding = current_binding()
        self._timestamp = time()
        self._started = now = perf_counter()
        if began is not None:
            self._started = began
            self._timestamp -= now - began
        self._span: Optional[Span] = None
        if has_span:
            self._span = start_span()

    def end(self) -> None:
        """Stop the clock and make the previous span current again."""
        self._latency_ms = self.elapsed_ms()
        if self._span is not None:
            restore(self._span)

    def release(self) -> None:
        """Let others say from now on where the span is current."""
        if self._span is not None:
            release(self._span)

    def pause(self) -> None:
        """Stop the clock and give the previous span back, until `resume`."""
        self._paused = perf_counter()
        if self._span is not None:
            restore(self._span)

    @never_raises
    def resume(self) -> None:
        """Go on, as if it had begun later by the length of the pause."""
        gap = perf_counter() - self._paused
        self._started += gap
        self._timestamp += gap
        if self._span is not None:
            activate(self._span)

    def elapsed_ms(self) -> int:
        """Return the whole milliseconds since the work began."""
        return int((perf_counter() - self._started) * 1000 + 0.5)

    def fields(self) -> Dict[str, Any]:
        """Return what a record of this step carries, whatever its outcome."""
        span, binding = self._span or new_span(), self._binding
        return {
            "timestamp": self._timestamp,
            "latency_ms": self._latency_ms,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_span_id": span.parent_span_id,
            "_agent_context": _NOTHING_BOUND if binding is None else _bound(binding),
        }

    def facts(self) -> StepFacts:
        """Return the same for a `Capsule`."""
        span, binding = self._span or new_span(), self._binding
        bound = None if binding is None else snapshot(binding.fields)
        ids = span.trace_id, span.span_id, span.parent_span_id
        return (self._timestamp, self._latency_ms, *ids, bound)


def _bound(binding: Binding) -> Snapshot:
    return Snapshot(snapshot(binding.fields))


class Producer:
    """Log the events of one decorated function or one ``agent_event``.

    Whether the logger is enabled was asked before, when the work began. *level* is
    that of a success; an error has at least ERROR.
    """

    __slots__ = (
        *("_source", "_success", "audience", "error_level", "is_fed", "level", "name"),
    )

    def __init__(
        self, logger: Union[AnyLogger, str], level: int, name: str, source: Source
    ) -> None:
        self.audience = audience_of(logger)
        self._source = source
        self._success = RecordTemplate(level, "%s ok %d ms", source)
        self.level = level
        self.error_level = max(level, logging.ERROR)
        self.name = name
        self.is_fed = False
        """Whether the last success needed no record; the next will hardly either."""

    def log_success(self, fields: Dict[str, Any]) -> None:
        """Log *fields* as a success."""
        fields["status"] = "success"
        feed = self.audience.feed(self.level)
        self.is_fed = feed is not None
        if feed is not None:
            attributes = self._attributes(fields)
            if attributes is not None:
                feed.put_fields(attributes)
                return
        logger = self.audience.logger
        args = (self.name, fields["latency_ms"])
        if isinstance(logger, logging.Logger):
            record = self._success.record(logger, args)
            record.__dict__.update(fields)
            logger.handle(record)
        else:
            self._log(self._success, args, fields)

    def put_success(self, step: Step, told: Told, given: Given, output: Any) -> bool:
        """Queue a success without a record; tell whether nobody else would hear it."""
        feed = self.audience.feed(self.level)
        if feed is None:
            return False
        logger: Any = self.audience.logger
        stamped = self._success.stamped(logger)
        if stamped is None:
            return False
        feed.put_call(stamped + step.facts() + (told, given, output))
        return True

    def _attributes(self, fields: Dict[str, Any]) -> Optional[Dict[str, Any]]:
        """Return what the record of a success would hold, if it can be known."""
        logger: Any = self.audience.logger
        args = (self.name, fields["latency_ms"])
        attributes = self._success.attributes(logger, args)
        if attributes is not None:
            attributes.update(fields)
        return attributes

    def log_error(
        self,
        fields: Dict[str, Any],
        error: Optional[BaseException] = None,
        traceback: Optional[TracebackType] = None,
    ) -> None:
        """Log *fields* as an error, with the *traceback* of *error* where there is one.

        Cancellation and exit keep the level of a success: they are routine.
        """
        fields["status"] = "error"
        exc_info: Any = None
        if error is not None:
            fields["error_message"] = ErrorText(error).described()
            exc_info = type(error), error, traceback
        is_routine = error is not None and not isinstance(error, Exception)
        level = self.level if is_routine else self.error_level
        said = fields.get("error_message") or "error"
        args = (self.name, fields["latency_ms"], said)
        failure = RecordTemplate(level, "%s failed %d ms: %s", self._source)
        self._log(failure, args, fields, exc_info)

    def _log(
        self,
        template: RecordTemplate,
        args: Tuple[Any, ...],
        fields: Dict[str, Any],
        exc_info: Any = None,
    ) -> None:
        logger = self.audience.logger
        extra: Dict[str, Any] = {}
        if not isinstance(logger, logging.Logger):
            logger, message, extra = _unadapted(logger, template.message)
            if message != template.message:
                template = template.saying(message)
        record = template.record(logger, args, exc_info)
        attributes = record.__dict__
        if extra:
            _put_under(extra, attributes, fields)
        attributes.update(fields)
        logger.handle(record)


def _unadapted(logger: Any, message: str) -> Tuple[logging.Logger, str, Dict[str, Any]]:
    """Return the logger below the adapters, and the message and extra they make."""
    extra: Dict[str, Any] = {}
    while isinstance(logger, logging.LoggerAdapter):
        message, kwargs = logger.process(message, {"extra": {}})
        extra = {**(kwargs.get("extra") or {}), **extra}
        logger = logger.logger
    return logger, message, extra


def _put_under(
    extra: Dict[str, Any], attributes: Dict[str, Any], fields: Dict[str, Any]
) -> None:
    """Add *extra* without touching what the record, or our *fields*, say already."""
    for name, value in extra.items():
        if name not in attributes and name not in _FORMATTED:
            attributes[name] = value
    metadata = extra.get("metadata")
    if isinstance(metadata, Mapping):
        under = snapshot(dict(metadata))
        fields["metadata"] = Snapshot({**under, **fields["metadata"]})
