"""The arguments of a call by name, worked out once per function.

`inspect.Signature.bind` would do it in ten times the time, and evaluates annotations
on the newest Pythons; the names that the code object has are enough.
"""

from __future__ import annotations

from functools import partial
from types import CodeType, MethodType
from typing import Any, Dict, Optional, Tuple, Type

from ._functions import VARARGS, VARKEYWORDS, is_routine, unwrapped
from ._snapshot import Snapshot

_RECEIVERS = frozenset(("self", "cls"))


class Arguments:
    """Give the arguments of one callable by name.

    A first parameter called self or cls is left out. Values preset by
    `functools.partial` are included; defaults are not. *names* are those of the
    parameters that are given by place.
    """

    __slots__ = (
        *("_first", "_keywords", "_last", "_names", "_omitted", "_preset", "_rest"),
        "names",
    )

    def __init__(self, target: Any) -> None:
        self.names: Tuple[str, ...] = ()
        self._first, self._last = 0, -1
        self._preset: Optional[Tuple[Tuple[Any, ...], Dict[str, Any]]] = None
        if isinstance(target, partial):
            self._preset = target.args, target.keywords
            target = target.func
        self._names: Optional[Tuple[str, ...]] = None
        self._omitted = self._rest = self._keywords = None  # type: Optional[str]
        code = code_of(target)
        if code is not None:
            # One of lru_cache is no function, and not bound either.
            is_bound = isinstance(target, MethodType) or not is_routine(target)
            self._read(code, is_bound=is_bound)
        if self._names is not None and self._preset is None:
            self._first = 0 if self._omitted is None else 1
            self._last = len(self._names)
            self.names = self._names[self._first :]

    def _read(self, code: CodeType, *, is_bound: bool) -> None:
        names = code.co_varnames
        positional = names[: code.co_argcount]
        after = code.co_argcount + code.co_kwonlyargcount
        if code.co_flags & VARARGS:
            self._rest = names[after]
            after += 1
        if code.co_flags & VARKEYWORDS:
            self._keywords = names[after]
        self._names = positional[1:] if is_bound else positional
        if not is_bound and positional and positional[0] in _RECEIVERS:
            self._omitted = positional[0]

    def by_place(
        self, args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> Optional[Tuple[Any, ...]]:
        """Return the values of the first of *names*, or None where it is not as easy.

        Most often it is, and then no dict has to be made.
        """
        if kwargs or not self._first <= len(args) <= self._last:
            return None
        return args[self._first :]

    def by_name(
        self,
        args: Tuple[Any, ...],
        kwargs: Dict[str, Any],
        kind: Type[Dict[str, Any]] = Snapshot,
    ) -> Dict[str, Any]:
        """Return {name: value}; {"args", "kwargs"} where the names are not known.

        It is of *kind* where nothing about the call is unusual.
        """
        if self._preset is not None:
            args = self._preset[0] + args
            kwargs = {**self._preset[1], **kwargs}
        names = self._names
        if names is None:
            return {"args": list(args), "kwargs": kwargs}
        named = kind(zip(names, args))
        if kwargs:
            named.update(kwargs)
        if len(named) < len(args) + len(kwargs):  # too many, or two of one name
            named = self._sorted_out(names, args, kwargs)
        if self._omitted is not None:
            named.pop(self._omitted, None)
        return named

    def _sorted_out(
        self, names: Tuple[str, ...], args: Tuple[Any, ...], kwargs: Dict[str, Any]
    ) -> Dict[str, Any]:
        named: Dict[str, Any] = dict(zip(names, args))
        if len(args) > len(names):
            if self._rest is None:
                return {"args": list(args), "kwargs": kwargs}
            named[self._rest] = list(args[len(names) :])
        taken = {name: kwargs[name] for name in kwargs if name in named}
        named.update((name, kwargs[name]) for name in kwargs if name not in named)
        if taken:
            named[self._keywords or "kwargs"] = taken
        return named


def code_of(target: Any) -> Optional[CodeType]:
    """Return the code somebody wrote for *target*, below other decorators."""
    if isinstance(target, partial):
        target = target.func
    if not is_routine(target):
        target = type(target).__call__
    try:
        target = unwrapped(target)
    except ValueError:  # a cycle of __wrapped__
        return None
    if isinstance(target, MethodType):
        target = target.__func__
    code = getattr(target, "__code__", None)
    return code if isinstance(code, CodeType) else None
