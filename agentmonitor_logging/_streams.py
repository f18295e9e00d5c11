"""Watch generators: one event when the stream ends, whoever ends it.

The watcher is a real generator, so that closing, collecting and event loops treat it
as one; it hands every step on to the watched one and keeps a bounded copy of what
comes out. The body runs in the scope of the call that made it; between two items the
consumer has its own scope back. See PEP 342 and PEP 525 for what must pass through.
"""

from __future__ import annotations

import sys
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from agentmonitor_logging._capture import Step, never_raises
from agentmonitor_logging._snapshot import Snapshot, snapshot
from agentmonitor_logging._weight import weight_of
from agentmonitor_logging.context import Scope, current_scope, switch

if TYPE_CHECKING:
    from typing import AsyncGenerator, Awaitable, Generator

    from agentmonitor_logging._calls import Calls, Uncopied

MAX_ITEMS = 10_000
"""Items kept of one stream: more tokens than any model answers with."""

MAX_WEIGHT = 1_000_000
"""Characters and bytes kept of one stream: four times what an event may hold."""


class Stream:
    """Watch one generator: what comes out of it, and how it ends.

    The work begins with the first step. The body runs in the scope of the call that
    made the generator, or where there was none, in that of its first consumer. Where
    work has begun before there was a generator, *paused* is that work.
    """

    __slots__ = (
        *("_calls", "_chunks", "_first_ms", "_input", "_is_closing"),
        *("_outer", "_paused", "_scope", "_step", "_uncopied"),
    )

    def __init__(
        self,
        calls: Calls,
        input_data: Any,
        uncopied: Optional[Uncopied],
        paused: Optional[Step] = None,
    ) -> None:
        self._calls = calls
        self._input = input_data
        self._uncopied = uncopied
        self._paused = paused
        self._scope = current_scope()
        self._outer: Optional[Scope] = None
        self._step: Optional[Step] = None
        self._chunks = Chunks(is_kept=calls.has_output)
        self._first_ms: Optional[int] = None
        self._is_closing = False

    @never_raises
    def enter(self) -> None:
        """Give the body its scope: it is about to run."""
        if self._step is None:
            self._start()
        if self._uncopied is None:
            self._outer = switch(self._scope)

    def _start(self) -> Step:
        made, here = self._scope, current_scope()
        outer = switch((made[0] or here[0], made[1] or here[1], made[2] or here[2]))
        try:
            if self._paused is None:
                self._step = Step(has_span=self._uncopied is None)
            else:
                self._step = self._paused
                self._step.resume()
            self._step.release()
        finally:
            self._scope = switch(outer)
        return self._step

    @never_raises
    def leave(self) -> None:
        """Give the consumer its scope back: the body is suspended, or over."""
        if self._outer is not None:
            self._scope = switch(self._outer)
            self._outer = None

    @never_raises
    def keep(self, item: Any) -> None:
        """Take note of *item*, which came out."""
        self._is_closing = False
        if self._uncopied is None:
            if self._first_ms is None and self._step is not None:
                self._first_ms = self._step.elapsed_ms()
            self._chunks.add(item)

    def thrown(self, error: BaseException) -> None:
        """Take note of *error*, which the consumer threw in."""
        self._is_closing = isinstance(error, GeneratorExit)

    @never_raises
    def ended(self) -> None:
        """Log the event of a stream that came to its end, or was closed."""
        self._log(None)

    @never_raises
    def failed(self, error: BaseException) -> None:
        """Log the event of a stream that raised *error*.

        That its consumer wants no more is no error, nor that closing was cut short.
        """
        is_routine = not isinstance(error, Exception)
        if isinstance(error, GeneratorExit) or (self._is_closing and is_routine):
            self._is_closing = True
            self._log(None)
        else:
            self._log(error)

    def _log(self, error: Optional[BaseException]) -> None:
        step = self._step or self._start()
        step.end()
        if self._uncopied is not None:
            if not isinstance(error, Exception):
                return
            self._input = self._calls.input_of(*self._uncopied)
        output = self._chunks.as_output() if self._calls.has_output else None
        self._calls.log(step, self._input, output, error, self._metadata(error))

    def _metadata(self, error: Optional[BaseException]) -> Dict[str, Any]:
        metadata = self._chunks.metadata()
        if self._is_closing and error is None:
            metadata["closed_early"] = True
        if self._first_ms is not None:
            metadata["time_to_first_chunk_ms"] = self._first_ms
        return metadata


class Chunks:
    """Count the items of a stream, and keep copies of the first ones."""

    __slots__ = ("_kept", "_room", "count")

    def __init__(self, *, is_kept: bool) -> None:
        self._room = MAX_WEIGHT if is_kept else -1
        self._kept: List[Any] = []
        self.count = 0

    def add(self, item: Any) -> None:
        """Count *item*, and keep a copy while there is room."""
        self.count += 1
        if self._room < 0 or self.count > MAX_ITEMS:
            return
        copy = snapshot(item)
        self._room -= len(copy) if type(copy) is str else weight_of(copy, self._room)
        self._kept.append(copy)

    def as_output(self) -> Snapshot:
        """Return {"value": joined} for strings, {"items": [...]} for all else."""
        kept = self._kept
        if kept and all(type(item) is str for item in kept):
            return Snapshot(value="".join(kept))
        return Snapshot(items=kept)

    def metadata(self) -> Dict[str, Any]:
        """Return how many items came, and how many are kept where not all are."""
        if len(self._kept) in (0, self.count):
            return {"chunk_count": self.count}
        return {"chunk_count": self.count, "chunks_kept": len(self._kept)}


def watched(gen: Generator[Any, Any, Any], stream: Stream) -> Generator[Any, Any, Any]:
    """Yield what *gen* yields; everything passes through in both directions."""
    step: Callable[[Any], Any] = gen.send
    given: Any = None
    try:
        while True:
            stream.enter()
            try:
                item = step(given)
            finally:
                given = None
                stream.leave()
            stream.keep(item)
            try:
                given = yield item
                step = gen.send
            except BaseException as error:
                step, given = gen.throw, _untouched(error)
                stream.thrown(error)
    except StopIteration as stop:
        stream.ended()
        return stop.value
    except BaseException as error:
        stream.failed(error)
        raise


async def watched_async(
    agen: AsyncGenerator[Any, Any], stream: Stream
) -> AsyncGenerator[Any, Any]:
    """Yield what *agen* yields; everything passes through in both directions."""
    step: Callable[[Any], Awaitable[Any]] = _unhooked(agen.asend)
    given: Any = None
    try:
        while True:
            stream.enter()
            try:
                item = await step(given)
            finally:
                given = None
                stream.leave()
            stream.keep(item)
            try:
                given = yield item
                step = agen.asend
            except BaseException as error:
                step, given = agen.athrow, _untouched(error)
                stream.thrown(error)
    except StopAsyncIteration:
        stream.ended()
    except BaseException as error:
        stream.failed(error)
        raise


def _untouched(error: BaseException) -> BaseException:
    """Take our own frame off the traceback of what was thrown in.

    It would stand there twice once the watched generator lets *error* out again.
    """
    ours = error.__traceback__
    error.__traceback__ = ours and ours.tb_next
    return error


def _unhooked(asend: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Hide the watched generator from the event loop, which knows the watcher.

    A loop that knew both would close both at once when it ends, and complain that
    the watched one is "already running".
    """

    def first_step(given: Any) -> Any:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return asend(given)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return first_step


class StreamFunction:
    """Stand for a generator function, and be taken for it by ``inspect``.

    Not a generator function itself: that would run nothing before the first item,
    and the span, the fields and the arguments are those of the *call*. A web
    framework calls in the handler and iterates when the handler has long returned.
    """

    __wrapped__: Callable[..., Any]

    def __init__(
        self,
        target: Callable[..., Any],
        runs: Callable[..., Any],
        calls: Calls,
        *,
        is_async: bool,
    ) -> None:
        self._calls = calls
        self._runs = runs
        self._watched: Callable[..., Any] = watched_async if is_async else watched
        self.__wrapped__ = target

    # inspect, pydantic and Starlette ask isinstance(x, FunctionType).
    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """Answer as the generator function would."""
        return FunctionType

    def __getattr__(self, name: str) -> Any:
        """Have the code, the defaults and the globals of the generator function."""
        return getattr(self._runs, name)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Return the generator of this call, watched."""
        stream: Optional[Stream] = self._calls.begin_stream(Stream, args, kwargs)
        if stream is None:
            return self.__wrapped__(*args, **kwargs)
        try:
            generator = self.__wrapped__(*args, **kwargs)
        except BaseException as error:
            stream.failed(error)
            raise
        return self._watched(generator, stream)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind as a method, like any function in a class."""
        return self if instance is None else MethodType(self, instance)

    def __reduce__(self) -> str:
        """Pickle and copy by name, like any function."""
        name: str = self.__qualname__
        return name

    def __repr__(self) -> str:
        """Show the generator function."""
        return f"<watched {self.__wrapped__!r}>"
