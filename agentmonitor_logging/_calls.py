"""Watch the calls of one decorated function, each from its start to its event.

`Calls` belongs to the function and is made while decorating; it hands out one
watcher per call: a `Call` for what returns once, a `Stream` for what yields.

Where the logger wants errors only, the watcher is *quiet*: no copy, no span, nothing
unless an Exception comes.
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
from agentmonitor_logging._capture import (
    FRAMES_NEEDED,
    AnyLogger,
    Producer,
    Step,
    as_object,
    copied,
    never_raises,
    report_swallowed,
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
        *("_arguments", "_event_type", "_has_input", "_metadata", "_producer"),
        "has_output",
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
        self._arguments = Arguments(target)
        self._event_type = event_type
        self._has_input = capture_input
        self.has_output = capture_output
        self._metadata = {"function_name": name, "module": module, **metadata}

    def begin(self, kind: Callable[..., W], args: Args, kwargs: Kwargs) -> Optional[W]:
        """Return the watcher of one call, or None where nobody would hear of it."""
        try:  # what `begins_safely` does, at half the price
            isinstance(None, FRAMES_NEEDED)
            producer = self._producer
            logger = producer.logger
            if logger.isEnabledFor(producer.level):
                return kind(self, self.input_of(args, kwargs), None)
            if logger.isEnabledFor(producer.error_level):
                return kind(self, None, (args, kwargs))
        except RecursionError:
            raise
        except Exception as error:  # the boundary to the application
            report_swallowed(error, "Calls.begin")
        return None

    def input_of(self, args: Args, kwargs: Kwargs) -> Optional[Snapshot]:
        """Copy the arguments of a call, where they are wanted."""
        if not self._has_input:
            return None
        return copied(self._arguments.by_name(args, kwargs))

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
        fields["event_type"] = self._event_type
        fields["input_data"] = input_data
        fields["output_data"] = output
        fields["metadata"] = described = Snapshot(self._metadata)
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


class Call:
    """Watch one call that returns once.

    A quiet one is given its arguments *uncopied*, and copies them if it has to.
    """

    __slots__ = ("_calls", "_input", "_step", "_uncopied")

    def __init__(
        self, calls: Calls, input_data: Any, uncopied: Optional[Uncopied]
    ) -> None:
        self._calls = calls
        self._input = input_data
        self._uncopied = uncopied
        self._step = Step(has_span=uncopied is None)

    @never_raises
    def succeeded(self, result: Any) -> None:
        """Log the event of a call that returned *result*."""
        self._step.end()
        if self._uncopied is None:
            output = as_object(result) if self._calls.has_output else None
            self._calls.log(self._step, self._input, output)

    @never_raises
    def failed(self, error: BaseException) -> None:
        """Log the event of a call that raised *error*."""
        self._step.end()
        if self._uncopied is None:
            self._calls.log(self._step, self._input, None, error)
        elif isinstance(error, Exception):
            input_data = self._calls.input_of(*self._uncopied)
            self._calls.log(self._step, input_data, None, error)
