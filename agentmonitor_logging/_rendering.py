"""Any value as plain JSON data.

Runs on the listener thread, where there is time for a repr. What comes out consists
of dict, list, str, int, float, bool and None alone: no cycle, no NaN, no lone
surrogate, and of bounded size, so that every step behind it can rely on that.
"""

from __future__ import annotations

import math
import types
from collections import UserString, abc, deque
from datetime import date, datetime, time, timedelta
from enum import Enum
from time import monotonic
from typing import Any, Callable, Dict, Iterable, List, Set, Tuple

from ._foreign import (
    bounded_repr,
    endured,
    held,
    speakable,
    unrepresentable,
    well_formed,
)
from ._mapped import is_mapped
from ._raised import ErrorText, shortened, type_name
from ._snapshot import MAX_DEPTH, MAX_NODES, MAX_TEXT, Snapshot

_MAX_SECONDS = 2.0
"""What the values of one event may take, be their methods as slow as they like."""

_SHORT = 1_024
"""Characters that a string may keep when the event is full."""

_SHORTEST = 64
"""The same when even such short ones have filled it once more."""

_MAX_KEY = 256
_LARGEST = 2**63
_MAX_BITS = 4_096
"""Bits of a whole number that is written out; far below the interpreter's limit."""

_SPOKEN = frozenset(
    ("decimal", "fractions", "uuid", "pathlib", "pathlib._local", "ipaddress")
)
"""Modules of the standard library whose values are best told by their str()."""


class Renderer:
    """Render the values of one event.

    *max_chars* are kept of one string, and twice as many of all of them; then strings
    are cut short.
    """

    __slots__ = ("_clock", "_left", "_longest", "_path", "_until", "chars")

    def __init__(
        self,
        max_chars: int = MAX_TEXT,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._longest = min(max(max_chars, _SHORT), MAX_TEXT)
        self.chars = 2 * self._longest
        self._left = MAX_NODES
        self._path: Set[int] = set()
        self._clock = clock
        self._until = clock() + _MAX_SECONDS

    def render(self, value: Any) -> Any:
        """Return *value* as plain JSON data; never raise."""
        if value is None or value is True or value is False:
            return value
        self._left = MAX_NODES
        self._path.clear()
        try:
            return self._value(value, MAX_DEPTH + 2)
        except BaseException as error:  # RecursionError near the caller's limit
            if not endured(error):
                raise
            return unrepresentable(value)

    def text(self, value: Any) -> str:
        """Return *value* as well-formed text; never raise."""
        shown = self.render(value)
        return shown if type(shown) is str else repr(shown)[:_SHORT]

    def fitting(self, value: Any) -> Any:
        """Return *value*, or what is shown in place of one whose text takes too long.

        That is a container with a huge repr, or what may be read from a database.
        """
        kind = type(value)
        if kind is str or kind is int:
            return value
        if not issubclass(kind, _BUILT_IN):
            return speakable(value, kind)
        if _is_modest(value):
            return value
        aside = Renderer(_MAX_SPOKEN_CHARS, self._clock)
        aside._until = self._until
        return aside.render(value)

    def _value(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self._left -= 1
        try:
            if kind is str:
                return self._text(value)
            if kind in _UNCHANGED:
                return value
            if kind is dict or kind is Snapshot:
                return self._inside(value, depth, self._mapping)
            if kind is list:
                return self._inside(value, depth, self._items)
            return self._object(value, kind, depth)
        except BaseException as error:  # somebody else's methods
            if not endured(error):
                raise
            return unrepresentable(value)

    def _inside(self, value: Any, depth: int, render: Callable[[Any, int], Any]) -> Any:
        """Render the content of *value*, unless that has no end."""
        if id(value) in self._path:
            return "[circular]"
        if depth <= 0:
            return "[truncated: depth]"
        self._path.add(id(value))
        try:
            return render(value, depth - 1)
        finally:
            self._path.discard(id(value))

    def _mapping(self, value: Any, depth: int) -> Dict[str, Any]:
        result: Dict[str, Any] = {}
        for key, item in value.items():
            if self._left <= 0:
                result["[truncated]"] = "more items"
                break
            name = key if type(key) is str else self._key(key)
            if len(name) > _MAX_KEY or not name.isascii():
                name = well_formed(shortened(name, _MAX_KEY))
            if name in result:  # 1 and "1", or cut alike
                name = f"{name} ({len(result)})"
            result[name] = self._value(item, depth)
        return result

    def _items(self, value: Iterable[Any], depth: int) -> List[Any]:
        result: List[Any] = []
        for item in value:
            if self._left <= 0:
                result.append("[truncated: more items]")
                break
            result.append(self._value(item, depth))
        return result

    def _key(self, key: Any) -> str:
        kind = type(key)
        if issubclass(kind, (tuple, frozenset)):
            plain = key if _is_modest(key) else self._value(list(key), MAX_DEPTH)
            return bounded_repr(plain)
        # A number says less than the name it goes by, and a name may be a secret's.
        named = issubclass(kind, Enum) and not issubclass(kind, (str, int, float))
        shown = self._value(key._name_ if named else speakable(key, kind), 1)
        if shown is None or type(shown) is bool:
            return {None: "null", True: "true", False: "false"}[shown]
        return str(shown)

    def _text(self, value: str) -> str:
        allowed = min(self._longest, self.chars)
        if allowed < _SHORT:
            allowed = _SHORT if self.chars > -2 * self._longest else _SHORTEST
        text = value if len(value) <= allowed else shortened(value, allowed)
        self.chars -= len(text)
        return text if text.isascii() else well_formed(text)

    def _object(self, value: Any, kind: type, depth: int) -> Any:
        if kind not in _PROMPT and self._clock() > self._until:
            self._left = 0
            return f"[unshown {well_formed(type_name(kind))}]"
        for base, render in _RENDERINGS:
            if issubclass(kind, base):
                return render(self, value, depth)
        if any(base.__module__ in _SPOKEN for base in kind.__mro__):
            return self._text(str(value))
        content = held(value, kind)
        if type(content) is kind:
            return self._text(bounded_repr(value))
        return self._inside(value, depth, lambda _, below: self._value(content, below))

    def _array(self, value: Any, depth: int) -> Any:
        return self._inside(value, depth, self._items)

    def _named(self, value: Tuple[Any, ...], depth: int) -> Any:
        """Render a named tuple by its names, any other by its places."""
        names = getattr(type(value), "_fields", None)
        if type(names) is tuple and len(names) == tuple.__len__(value):
            fields = dict(zip(names, tuple.__iter__(value)))
            return self._inside(value, depth, lambda _, n: self._mapping(fields, n))
        return self._inside(value, depth, self._items)

    def _subclassed(self, value: Any, depth: int) -> Any:
        return self._inside(value, depth, self._mapping)

    def _spelled(self, value: Any, _: int) -> str:
        return self._text(str(value))

    def _exact_text(self, value: str, _: int) -> str:
        return self._text(str.__str__(value))

    def _bytes(self, value: Any, _: int) -> str:
        size = memoryview(value).nbytes
        if size > MAX_TEXT:
            return f"[{size} bytes]"
        try:
            return self._text(bytes(value).decode())
        except UnicodeDecodeError:
            return f"[{size} bytes]"


def _whole(_: Renderer, value: int, __: int) -> Any:
    number = int.__int__(value)
    if -_LARGEST <= number < _LARGEST:
        return number
    bits = number.bit_length()
    return str(number) if bits <= _MAX_BITS else f"[integer of {bits} bits]"


def _fraction(_: Renderer, value: float, __: int) -> Any:
    number = float.__float__(value)
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _enum(renderer: Renderer, value: Enum, depth: int) -> Any:
    return renderer._value(value._value_, depth - 1)


def _error(_: Renderer, value: Any, __: int) -> str:
    text = value if isinstance(value, ErrorText) else ErrorText(value)
    return well_formed(text.described())


def _moment(_: Renderer, value: Any, __: int) -> str:
    return str(value.isoformat())


def _named_thing(_: Renderer, value: Any, __: int) -> str:
    return well_formed(f"{value.__module__}.{value.__qualname__}")


def _as_repr(_: Renderer, value: Any, __: int) -> str:
    return bounded_repr(value)


_UNCHANGED = frozenset((type(None), bool))
_PROMPT = frozenset((int, float, tuple, set, frozenset, bytes, datetime, ErrorText))
"""Kinds without methods of somebody else's."""

_BUILT_IN = (dict, list, tuple, set, frozenset)
_MAX_SPOKEN_CHARS = 65_536
_MAX_SPOKEN_ITEMS = 2_000
_MAX_SPOKEN_OBJECTS = 32
"""What a container may hold whose repr is made as part of a message."""

_RENDERINGS: Tuple[Tuple[Any, Callable[[Renderer, Any, int], Any]], ...] = (
    (Enum, _enum),
    (str, Renderer._exact_text),
    (int, _whole),
    (float, _fraction),
    ((dict, abc.Mapping), Renderer._subclassed),
    (tuple, Renderer._named),
    ((bytes, bytearray, memoryview), Renderer._bytes),
    ((datetime, date, time), _moment),
    ((BaseException, ErrorText), _error),
    ((timedelta, UserString), Renderer._spelled),
    (range, _as_repr),
    ((list, set, frozenset, deque, abc.Sequence, abc.Set), Renderer._array),
    ((type, types.FunctionType, types.BuiltinFunctionType), _named_thing),
)
"""How each kind is rendered; the first that fits. `issubclass`, never `isinstance`:
an object may lie about its `__class__`, and mocks do."""


def _is_modest(value: Any) -> bool:
    """Tell whether the repr of *value*, a built-in container, is of a normal size."""
    waiting = [value]
    chars, items, objects = _MAX_SPOKEN_CHARS, _MAX_SPOKEN_ITEMS, _MAX_SPOKEN_OBJECTS
    while waiting and chars >= 0 and items >= 0 and objects >= 0:
        part = waiting.pop()
        kind = type(part)
        if kind is str or kind is bytes:
            chars -= len(part)
        elif issubclass(kind, _BUILT_IN):
            items -= len(part) + 1
            if items >= 0:
                waiting.extend(part)
                waiting.extend(part.values() if issubclass(kind, dict) else ())
        elif kind not in _PROMPT and kind not in _UNCHANGED:
            objects -= _MAX_SPOKEN_OBJECTS + 1 if is_mapped(part, kind) else 1
    return chars >= 0 and items >= 0 and objects >= 0
