"""The event of a ``with`` block while the block runs: what it was told so far.

Kept apart from `agent_event`, of which one may be entered many times: every entry
has an `OpenEvent` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional

from agentmonitor_logging._capture import Producer, Step, begins_safely, never_raises
from agentmonitor_logging._diagnostics import report
from agentmonitor_logging._links import Link, living
from agentmonitor_logging._payloads import as_object
from agentmonitor_logging._raised import ErrorText
from agentmonitor_logging._snapshot import Snapshot, snapshot

if TYPE_CHECKING:
    from decimal import Decimal
    from types import TracebackType
    from typing import Literal, Union


class EventSetters:
    """Tell an event what only its block knows. None of these ever raises."""

    __slots__ = ()

    def _told(self) -> Dict[str, Any]:
        """Return the fields to be filled."""
        raise NotImplementedError

    @never_raises
    def set_input(self, input_data: Any) -> None:
        """Replace the input; it is copied now."""
        self._told()["input_data"] = as_object(input_data)

    @never_raises
    def set_output(self, output_data: Any) -> None:
        """Set the output; it is copied now."""
        self._told()["output_data"] = as_object(output_data)

    def set_metadata(
        self, metadata: Optional[Mapping[str, Any]] = None, /, **more: Any
    ) -> None:
        """Add *metadata* and *more* to what is there already."""
        self._add_metadata({} if metadata is None else metadata, more)

    @never_raises
    def _add_metadata(self, metadata: Mapping[str, Any], more: Dict[str, Any]) -> None:
        told = self._told()
        copy = snapshot({**metadata, **more})
        told["metadata"] = Snapshot({**told["metadata"], **copy})

    @never_raises
    def set_cost(self, usd: Union[float, Decimal, None]) -> None:
        """Set the cost in US dollars."""
        self._told()["cost_usd"] = usd

    @never_raises
    def set_status(self, status: Literal["success", "error"]) -> None:
        """Decide the outcome; an exception that leaves the block overrules it."""
        if status not in ("success", "error"):
            report("set_status", f'the status is "success" or "error", not {status!r}')
            return
        told = self._told()
        told["status"] = status
        if status == "success":
            told.pop("error_message", None)
            told.pop("error", None)

    @never_raises
    def set_error(self, error: Union[BaseException, str]) -> None:
        """Make the outcome an error, described by an exception or by a text."""
        told = self._told()
        told["status"] = "error"
        if isinstance(error, BaseException):
            told["error"] = error
            told["error_message"] = ErrorText(error).described()
        else:
            told.pop("error", None)
            told["error_message"] = str(error)


class OpenEvent(EventSetters, Link):
    """Be the event of one entered block, until the block ends.

    *outer* is the event that was open around it when it began. Tasks started inside
    know it for as long as they run: once over it is gone, and keeps nothing.
    """

    __slots__ = ("_is_quiet", "_producer", "_step", "fields")

    def __init__(
        self,
        producer: Producer,
        fields: Mapping[str, Any],
        outer: Optional[OpenEvent],
    ) -> None:
        self.is_gone = False
        self.outer = outer
        self._producer = producer
        self.fields = dict(fields)
        self._step: Optional[Step] = None
        self._is_quiet = False

    def _told(self) -> Dict[str, Any]:
        return {"metadata": {}} if self.is_gone else self.fields

    @begins_safely
    def begin(self) -> None:
        """Start the clock, and the span unless only an error would be heard of."""
        producer = self._producer
        hears = producer.audience.hears
        self._is_quiet = not hears(producer.level)
        if not self._is_quiet or hears(producer.error_level):
            self._step = Step(has_span=not self._is_quiet)

    @never_raises
    def end(
        self, error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        """Log the event of the block, which *error* has ended if there is one."""
        if isinstance(error, GeneratorExit):
            self.set_metadata(closed_early=True)
            error = None
        fields, step = self.fields, self._step
        self.fields, self._step, self.is_gone = {}, None, True
        self.outer = living(self.outer)
        told: Optional[BaseException] = fields.pop("error", None)
        if step is None:
            return
        step.end()
        if error is None and told is not None:
            error, traceback = told, told.__traceback__
        fields.update(step.fields())
        self._log(fields, error, traceback)

    def _log(
        self,
        fields: Dict[str, Any],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if error is not None or fields.get("status") == "error":
            if isinstance(error, (Exception, type(None))) or not self._is_quiet:
                self._producer.log_error(fields, error, traceback)
        elif not self._is_quiet:
            self._producer.log_success(fields)
