"""Make events out of running code: ``@log_agent_call`` and ``with agent_event(...)``.

Both only log. What happens to the record is decided where logging is configured;
without any configuration it is an ordinary line on the console.
"""

from __future__ import annotations

import functools
import logging
import sys
from contextvars import ContextVar
from time import perf_counter
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NoReturn,
    Optional,
    TypeVar,
    Union,
    overload,
)

from agentmonitor_logging._audience import AnyLogger
from agentmonitor_logging._calls import Calls
from agentmonitor_logging._capture import Producer, never_raises
from agentmonitor_logging._functions import (
    ASYNC_GENERATOR,
    COROUTINE,
    GENERATOR,
    ITERABLE_COROUTINE,
    flags_of,
    is_routine,
)
from agentmonitor_logging._links import current, innermost
from agentmonitor_logging._open_event import EventSetters, OpenEvent
from agentmonitor_logging._payloads import as_object, copied
from agentmonitor_logging._snapshot import snapshot
from agentmonitor_logging._streams import StreamFunction
from agentmonitor_logging._suspended import is_suspended, returned
from agentmonitor_logging._templates import Source
from agentmonitor_logging.context import open_event
from agentmonitor_logging.exceptions import ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Type

    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")

LoggerOption = Union[str, AnyLogger, None]
"""A logger, its name, or None for the one named after the module."""


@overload
def log_agent_call(target: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def log_agent_call(
    *,
    event_type: str = ...,
    logger: LoggerOption = ...,
    level: Union[int, str] = ...,
    capture_input: bool = ...,
    capture_output: bool = ...,
    metadata: Optional[Mapping[str, Any]] = ...,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def log_agent_call(
    target: Optional[Callable[..., Any]] = None,
    /,
    *,
    event_type: str = "function_call",
    logger: LoggerOption = None,
    level: Union[int, str] = logging.INFO,
    capture_input: bool = True,
    capture_output: bool = True,
    metadata: Optional[Mapping[str, Any]] = None,
) -> Callable[..., Any]:
    """Log one event for every call of the decorated function.

    Works with or without parentheses, on functions, methods, ``async def``,
    generators and async generators; a stream is one event, when it ends. So is the
    call of a function that returns a new coroutine or generator. The event holds the
    arguments by name, the result, the latency, the place in the trace, and the
    exception if there is one, which reaches the caller as it is.

    *logger* is a Logger, a LoggerAdapter or a name, by default that of the
    function's module. A call that ends in an Exception is logged at ERROR, or at
    *level* if that is higher. Raises `ConfigError` while decorating.
    """
    decorate = functools.partial(
        _decorated,
        event_type=_checked_type(event_type),
        logger=_checked_logger(logger),
        level=_checked_level(level),
        capture_input=_checked_flag("capture_input", capture_input),
        capture_output=_checked_flag("capture_output", capture_output),
        metadata=_checked_metadata(metadata),
    )
    return decorate if target is None else decorate(target)


def _refuse(option: str, given: Any, allowed: str) -> NoReturn:
    message = f"log_agent_call: {option} is {given!r}; allowed: {allowed}"
    raise ConfigError(message)


def _checked_type(event_type: Any) -> str:
    if not isinstance(event_type, str) or not event_type.strip():
        _refuse("event_type", event_type, "a non-blank string")
    return event_type


def _checked_logger(logger: Any) -> LoggerOption:
    if logger is not None and not _is_logger(logger):
        _refuse("logger", logger, "a name, a Logger, a LoggerAdapter or None")
    return logger  # type: ignore[no-any-return]


def _is_logger(logger: Any) -> bool:
    return isinstance(logger, (str, logging.Logger, logging.LoggerAdapter))


def _checked_level(level: Any) -> int:
    number = logging.getLevelName(level.upper()) if isinstance(level, str) else level
    if not isinstance(number, int) or isinstance(number, bool):
        _refuse("level", level, "an int or the name of a level")
    return number


def _checked_flag(option: str, given: Any) -> bool:
    if not isinstance(given, bool):
        _refuse(option, given, "True or False")  # "no" would let all of it through
    return given


def _checked_metadata(metadata: Any) -> Mapping[str, Any]:
    if metadata is None:
        return {}
    if not isinstance(metadata, Mapping) or {type(key) for key in metadata} - {str}:
        _refuse("metadata", metadata, "a mapping with strings as keys, or None")
    return snapshot(dict(metadata))  # type: ignore[no-any-return]


def _decorated(target: Any, **options: Any) -> Any:
    if isinstance(target, (staticmethod, classmethod)):
        return type(target)(_decorated(target.__func__, **options))
    if not callable(target) or isinstance(target, type):
        allowed = "a function, a method or a callable object; options go by keyword"
        _refuse("the decorated object", target, allowed)
    base = target.func if isinstance(target, functools.partial) else target
    name = getattr(base, "__name__", None) or type(base).__name__
    module = getattr(base, "__module__", None) or "builtins"
    wrapper = _wrapper_of(target, base, Calls(target, name, module, **options))
    functools.update_wrapper(
        wrapper, base, updated=("__dict__",) if is_routine(base) else ()
    )
    wrapper.__name__ = name
    wrapper.__qualname__ = getattr(base, "__qualname__", name)
    wrapper.__wrapped__ = target
    return wrapper


def _wrapper_of(target: Any, base: Any, calls: Calls) -> Any:
    """Choose the wrapper of the same kind, so that inspect tells no difference."""
    runs = base if is_routine(base) else type(base).__call__
    flags = flags_of(runs)
    if flags & (COROUTINE | ITERABLE_COROUTINE):
        return _async_wrapper(target, calls)
    if flags & (ASYNC_GENERATOR | GENERATOR):
        is_async = bool(flags & ASYNC_GENERATOR)
        return StreamFunction(target, runs, calls, is_async=is_async)
    return _wrapper(target, calls)


def _wrapper(target: Callable[..., R], calls: Calls) -> Callable[..., R]:
    audience, level = calls.audience, calls.level

    def wrapper(*args: Any, **kwargs: Any) -> R:
        heard = audience.hears(level)
        if not heard:
            if heard is None:
                return target(*args, **kwargs)
            began = perf_counter()
            try:
                return target(*args, **kwargs)
            except BaseException as error:
                calls.failed_quietly(error, began, args, kwargs)
                raise
        call = calls.begin(args, kwargs)
        if call is None:
            return target(*args, **kwargs)
        try:
            result = target(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        kind: Any = type(result)  # what `is_suspended` does, at a third of the price
        if kind is CoroutineType or kind is GeneratorType or kind is AsyncGeneratorType:
            return returned(calls, call, result)
        call.succeeded(result)
        return result

    return wrapper


def _async_wrapper(target: Callable[..., Any], calls: Calls) -> Callable[..., Any]:
    audience, level = calls.audience, calls.level

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        heard = audience.hears(level)
        if not heard:
            if heard is None:
                return await target(*args, **kwargs)
            began = perf_counter()
            try:
                return await target(*args, **kwargs)
            except BaseException as error:
                calls.failed_quietly(error, began, args, kwargs)
                raise
        call = calls.begin(args, kwargs)
        if call is None:
            return await target(*args, **kwargs)
        try:
            result = await target(*args, **kwargs)
        except BaseException as error:
            call.failed(error)
            raise
        if is_suspended(result):
            return returned(calls, call, result)
        call.succeeded(result)
        return result

    return wrapper


# Called by a name that is not imported, which Python 3.11 does faster.
_open_event: ContextVar[Optional[OpenEvent]] = open_event


class agent_event(EventSetters):  # noqa: N801 - used like a function
    """Log one event for the block inside ``with`` or ``async with``.

    *input_data* and *metadata* go into the event, and so does what the block tells
    the object that ``as`` gives it: ``set_output``, ``set_cost`` and the like. An
    exception makes the event an error and goes on as it is. *logger* is a Logger, a
    LoggerAdapter or a name, by default the module this is written in.

    One object may be entered any number of times, also by several tasks at once:
    each entry is an event of its own. The setters of the object itself tell the
    innermost entry, or before any, all the entries to come.
    """

    __slots__ = ("_entries", "_fields", "_producer")

    def __init__(
        self,
        event_type: str,
        input_data: Any = None,
        *,
        logger: LoggerOption = None,
        **metadata: Any,
    ) -> None:
        caller = sys._getframe(1)
        code = caller.f_code
        source = Source(code.co_filename, caller.f_lineno, code.co_name)
        if logger is None or not _is_logger(logger):
            logger = str(caller.f_globals.get("__name__", "root"))
        self._producer = Producer(logger, logging.INFO, str(event_type), source)
        self._fields = {
            "event_type": event_type,
            "input_data": as_object(input_data),
            "metadata": copied(metadata),
        }
        self._entries: List[OpenEvent] = []

    def __enter__(self) -> OpenEvent:
        """Begin an event and return it."""
        outer = _open_event.get()
        if outer is not None and outer.is_gone:
            outer = current(_open_event)
        event = OpenEvent(self._producer, self._fields, outer)
        event.begin()
        self._entries.append(event)
        _open_event.set(event)
        return event

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Log the event; an exception goes on as it is."""
        event = self._left()
        if event is not None:
            event.end(exc, traceback)

    @never_raises
    def _left(self) -> Optional[OpenEvent]:
        event = _open_event.get()
        if event not in self._entries:
            event = self._entry()
        if event is not None:
            self._entries.remove(event)
            if _open_event.get() is event:
                _open_event.set(event.outer)
        return event

    def _entry(self) -> Optional[OpenEvent]:
        """Return the innermost entry of this context, or of any if this has none."""
        return innermost(_open_event.get(), self._entries)

    def _told(self) -> Dict[str, Any]:
        event = self._entry()
        return self._fields if event is None else event.fields

    async def __aenter__(self) -> OpenEvent:
        """Begin an event in this task and return it."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Log the event; an exception goes on as it is."""
        self.__exit__(exc_type, exc, traceback)
