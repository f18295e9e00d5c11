"""What kind of function one is.

`inspect` knows, and costs a sixth of our import; a plain function says it itself.
"""

from __future__ import annotations

from types import FunctionType, MethodType
from typing import Any

VARARGS, VARKEYWORDS = 0x04, 0x08
GENERATOR, COROUTINE = 0x20, 0x80
ITERABLE_COROUTINE, ASYNC_GENERATOR = 0x100, 0x200
"""What `inspect` calls CO_VARARGS and so on, in its documentation of code objects."""


def is_routine(target: Any) -> bool:
    """Tell whether *target* is a function or method of any kind."""
    if isinstance(target, (FunctionType, MethodType)):
        return True
    import inspect

    return inspect.isroutine(target)


def flags_of(runs: Any) -> int:
    """Return flags; those above but VAR say what calling *runs* gives."""
    if type(runs) is FunctionType and not vars(runs):
        # Nobody has marked it as something else, which inspect would see.
        return runs.__code__.co_flags
    import inspect

    flags = 0
    if inspect.iscoroutinefunction(runs):
        flags |= COROUTINE
    if inspect.isasyncgenfunction(runs):
        flags |= ASYNC_GENERATOR
    if inspect.isgeneratorfunction(runs):
        flags |= GENERATOR
    code = getattr(runs, "__code__", None)
    return flags | (0 if code is None else code.co_flags & ITERABLE_COROUTINE)


def unwrapped(target: Any) -> Any:
    """Return the function below all decorators that name what they wrap.

    Raises ValueError where they go round in a circle.
    """
    if not hasattr(target, "__wrapped__"):
        return target
    import inspect

    return inspect.unwrap(target)
