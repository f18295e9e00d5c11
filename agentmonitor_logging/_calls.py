"""Watch the calls of one decorated function, each from its start to its event.

`Calls` belongs to the function and is made while decorating; it hands out one
watcher per call: a `Call` for what returns once, a `Stream` for what yields.

Where the logger wants errors only, all is *quiet*: no copy, no span, nothing unless an
Exception comes. What returns once then has no watcher at all.
"""

from __future__ import annotations

from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Mapping,
    Optional,
    Tuple,
    TypeVar,
)

from agentmonitor_logging._arguments import Arguments, code_of
from agentmonitor_logging._audience import AnyLogger
from agentmonitor_logging._capsule import Given, Told, by_name
from agentmonitor_logging._capture import (
    FRAMES_NEEDED,
    Producer,
    Step,
    begins_safely,
    never_raises,
    report_swallowed,
)
from agentmonitor_logging._packing import unpacked
from agentmonitor_logging._payloads import (
    as_object,
    as_shape,
    copied,
    copied_alone,
    copied_for_us,
)
from agentmonitor_logging._snapshot import Snapshot
from agentmonitor_logging._templates import Source

if TYPE_CHECKING:
    from types import TracebackType

Args = Tuple[Any, ...]
Kwargs = Dict[str, Any]
Uncopied = Tuple[Args, Kwargs]
W = TypeVar("W")


class Calls:
    """Know what all the calls of one decorated function have in common.

    *logger* None is the one named after the function's module.
    """

    __slots__ = (
        *("_arguments", "_has_input", "_producer", "_told", "audience"),
        *("has_output", "level"),
    )

    def __init__(
        self,
        target: Any,
        name: str,
        module: str,
        *,
        event_type: str,
        logger: Optional[AnyLogger],
        level: int,
        capture_input: bool,
        capture_output: bool,
        metadata: Mapping[str, Any],
    ) -> None:
        code = code_of(target)
        source = Source("(unknown file)", 0, name)
        if code is not None:
            source = Source(code.co_filename, code.co_firstlineno, name)
        self._producer = Producer(logger or module, level, name, source)
        self.audience = self._producer.audience
        self.level = level
        self._arguments = Arguments(target)
        self._has_input = capture_input
        self.has_output = capture_output
        described = {"function_name": name, "module": module, **metadata}
        self._told: Told = (name, event_type, described, self._arguments.names)

    def begin(self, args: Args, kwargs: Kwargs) -> Optional[Call]:
        """Return the watcher of a call that somebody would hear of, if all is well."""
        try:  # what `begins_safely` does, at half the price
            isinstance(None, FRAMES_NEEDED)
            if not (self._producer.is_fed and self._has_input):
                return Call(self, self.input_of(args, kwargs))
            arguments = self._arguments
            given: Any = arguments.by_place(args, kwargs)
            if given is None:
                given = arguments.by_name(args, kwargs, dict)
            return FedCall(self, copied_for_us(given, arguments.names))
        except RecursionError:
            raise
        except Exception as error:  # the boundary to the application
            report_swallowed(error, "Calls.begin")
            return None

    @begins_safely
    def begin_stream(
        self, kind: Callable[..., W], args: Args, kwargs: Kwargs
    ) -> Optional[W]:
        """Return the watcher of one stream, or None where nobody would hear of it.

        A quiet one is given its arguments uncopied.
        """
        hears = self.audience.hears
        if hears(self.level):
            return kind(self, self.input_of(args, kwargs), None)
        if hears(self._producer.error_level):
            return kind(self, None, (args, kwargs))
        return None

    @never_raises
    def failed_quietly(
        self, error: BaseException, began: float, args: Args, kwargs: Kwargs
    ) -> None:
        """Log the event of a call that nobody would have heard of, but it raised."""
        if isinstance(error, Exception) and self.audience.hears(
            self._producer.error_level
        ):
            step = Step(has_span=False, began=began)
            step.end()
            self.log(step, self.input_of(args, kwargs), None, error)

    def input_of(self, args: Args, kwargs: Kwargs) -> Optional[Snapshot]:
        """Copy the arguments of a call, where they are wanted."""
        if not self._has_input:
            return None
        return copied(self._arguments.by_name(args, kwargs))

    def log_success(
        self, step: Step, input_data: Optional[Snapshot], result: Any
    ) -> None:
        """Log the event of a call that returned *result*."""
        self.log(step, input_data, as_object(result) if self.has_output else None)

    def put_success(self, step: Step, given: Given, result: Any) -> None:
        """Do the same, without a record where nobody else would hear of it."""
        output = copied_alone(result) if self.has_output else None
        if not self._producer.put_success(step, self._told, given, output):
            # Somebody else has come to hear it meanwhile.
            self.log(step, self.public_input(given), as_shape(output))

    def public_input(self, given: Given) -> Snapshot:
        """Return *given*, which only we have seen, as `input_of` would have made it."""
        return Snapshot(unpacked(by_name(given, self._arguments.names)))

    def log(
        self,
        step: Step,
        input_data: Optional[Snapshot],
        output: Any,
        error: Optional[BaseException] = None,
        metadata: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Log the event of a call that is over; *error* is what it raised."""
        fields = step.fields()
        _, fields["event_type"], of_all, _ = self._told
        fields["input_data"] = input_data
        fields["output_data"] = output
        fields["metadata"] = described = Snapshot(of_all)
        if metadata is not None:
            described.update(metadata)
        if error is None:
            self._producer.log_success(fields)
        else:
            self._producer.log_error(fields, error, _below_us(error))


def _below_us(error: BaseException) -> Optional[TracebackType]:
    """Return the traceback from where the application begins."""
    traceback = error.__traceback__
    return traceback and (traceback.tb_next or traceback)


class Call(Step):
    """Watch one call that returns once, and that somebody would hear of."""

    __slots__ = ("_calls", "_input")

    def __init__(self, calls: Calls, input_data: Any) -> None:
        self._calls = calls
        self._input = input_data
        super().__init__(has_span=True)

    def succeeded(self, result: Any) -> None:
        """Log the event of a call that returned *result*."""
        try:  # what `never_raises` does, at half the price
            self.end()
            self._calls.log_success(self, self._input, result)
        except Exception as error:  # the boundary to the application
            report_swallowed(error, "Call.succeeded")

    @never_raises
    def failed(self, error: BaseException) -> None:
        """Log the event of a call that raised *error*."""
        self.end()
        self._calls.log(self, self.public_input(), None, error)

    def public_input(self) -> Optional[Snapshot]:
        """Return the copy of the arguments as anybody may see it."""
        given: Optional[Snapshot] = self._input
        return given


class FedCall(Call):
    """Watch one whose success nobody is likely to hear of but our own queue."""

    __slots__ = ()

    def succeeded(self, result: Any) -> None:
        """Queue the event of a call that returned *result*."""
        try:
            self.end()
            self._calls.put_success(self, self._input, result)
        except Exception as error:  # the boundary to the application
            report_swallowed(error, "FedCall.succeeded")

    def public_input(self) -> Snapshot:
        """Return the copy of the arguments as anybody may see it."""
        return self._calls.public_input(self._input)
