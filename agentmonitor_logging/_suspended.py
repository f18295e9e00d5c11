"""Results that have yet to run: a coroutine, a generator, an async generator.

A plain function may return one, as whatever is decorated once more below us does, and
the clients of models do. Its call is over when that is, so another of its kind is
returned that watches it. Only a new one that nobody else holds can be replaced:
nobody finds out, and nobody else runs it.
"""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Callable, Coroutine, Optional, TypeVar, cast

from agentmonitor_logging._calls import Call, Calls
from agentmonitor_logging._capture import report_swallowed
from agentmonitor_logging._functions import ITERABLE_COROUTINE
from agentmonitor_logging._streams import Stream, watched, watched_async

R = TypeVar("R")

_PREFIXES = {GeneratorType: "gi", CoroutineType: "cr", AsyncGeneratorType: "ag"}
_references: Callable[[Any], int] = getattr(sys, "getrefcount", id)
"""Where there are no counts, no two results have the same, and none is replaced."""


def is_suspended(result: Any) -> bool:
    """Tell whether *result* is of one of the types; what is like them may do more."""
    kind = type(result)  # a class of the application may have no hash
    return kind is CoroutineType or kind is GeneratorType or kind is AsyncGeneratorType


def returned(calls: Calls, call: Call, result: R) -> R:
    """Return what stands for *result*, which is suspended, until *call* ends with it.

    To be called with a variable. What cannot be replaced is returned as it is, and
    the event of the call logged now.
    """
    try:
        if _references(result) == _references_to_new() and _is_new(result):
            call.pause()
            return cast("R", _watcher(calls, call, result))
    except Exception as error:  # the boundary to the application
        report_swallowed(error, "returned")
    call.succeeded(result)
    return result


def _references_to_new() -> int:
    """Return what `returned` counts where nobody else holds the result."""
    new: Any = (item for item in "")
    return _counted(new)


def _counted(new: Any) -> int:
    return _references(new)


def _is_new(result: Any) -> bool:
    """Tell whether *result* has not begun, and is not for awaiting and iterating."""
    prefix = _PREFIXES[type(result)]
    frame = getattr(result, f"{prefix}_frame")
    if frame is None or frame.f_code.co_flags & ITERABLE_COROUTINE:
        return False
    if sys.version_info < (3, 11):
        return bool(frame.f_lasti < 0)
    # 3.11 does not know it of an async generator; who returns one has hardly begun it.
    return not getattr(result, f"{prefix}_suspended", False)


def _watcher(calls: Calls, call: Call, result: Any) -> Any:
    if type(result) is CoroutineType:
        awaiting: Any = _awaited(calls, call, _Unawaited(result))
        awaiting.__name__ = result.__name__
        awaiting.__qualname__ = result.__qualname__
        return awaiting
    stream = Stream(calls, call.public_input(), None, call)
    is_async = type(result) is AsyncGeneratorType
    return watched_async(result, stream) if is_async else watched(result, stream)


async def _awaited(calls: Calls, call: Call, unawaited: _Unawaited) -> Any:
    call.resume()
    try:
        result = await unawaited.taken()
    except BaseException as error:
        call.failed(error)
        raise
    if is_suspended(result):
        return returned(calls, call, result)
    call.succeeded(result)
    return result


class _Unawaited:
    """Hold a coroutine until it is awaited.

    If it never is, there is one warning: not its own, but that of what stands for it.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine: Optional[Coroutine[Any, Any, Any]] = coroutine

    def taken(self) -> Any:
        """Return it, to be awaited."""
        coroutine, self._coroutine = self._coroutine, None
        return coroutine

    def __del__(self) -> None:
        """Close it, which runs nothing of it."""
        if self._coroutine is not None:
            self._coroutine.close()
