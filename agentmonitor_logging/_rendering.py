"""Any value as plain JSON data.

Runs on the listener thread, where there is time for a repr. What comes out consists
of dict, list, str, int, float, bool and None alone: no cycle, no NaN, no lone
surrogate, and of bounded size, so that every step behind it can rely on that.
"""

from __future__ import annotations

import math
import types
from collections import UserString, abc, deque
from dataclasses import fields
from datetime import date, datetime, time, timedelta
from enum import Enum
from typing import Any, Callable, Dict, Iterable, List, Set, Tuple

from ._raised import ErrorText, shortened, type_name
from ._snapshot import MAX_DEPTH, MAX_NODES, Snapshot

MAX_TEXT = 1_048_576
"""Characters kept of one string: all that a request can hold, and little enough for
the redaction patterns."""

MAX_CHARS = 4 * MAX_TEXT
"""Characters kept of one event; when they are used up, strings are cut short."""

_SHORT = 1_024
"""Characters that every string may keep, and all that a repr may."""

_MAX_KEY = 256
_MAX_ARRAY = 1_000
_LARGEST = 2**63
_MAX_BITS = 4_096
"""Bits of a whole number that is written out; far below the interpreter's limit."""

_SPOKEN = frozenset(
    ("decimal", "fractions", "uuid", "pathlib", "pathlib._local", "ipaddress")
)
"""Modules of the standard library whose values are best told by their str()."""


class Renderer:
    """Render the values of one event; *chars* is the text it may still take."""

    __slots__ = ("_left", "_path", "chars")

    def __init__(self) -> None:
        self.chars = MAX_CHARS
        self._left = MAX_NODES
        self._path: Set[int] = set()

    def render(self, value: Any) -> Any:
        """Return *value* as plain JSON data; never raise."""
        if value is None or value is True or value is False:
            return value
        self._left = MAX_NODES
        self._path.clear()
        try:
            return self._value(value, MAX_DEPTH + 2)
        except Exception:  # RecursionError near the caller's limit
            return unrepresentable(value)

    def text(self, value: Any) -> str:
        """Return *value* as well-formed text; never raise."""
        shown = self.render(value)
        return shown if type(shown) is str else repr(shown)[:_SHORT]

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
        except Exception:  # somebody else's methods
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
                name = shortened(well_formed(name), _MAX_KEY)
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
        if issubclass(type(key), (tuple, frozenset)):
            return bounded_repr(key)
        shown = self._value(key, 1)
        if shown is None or type(shown) is bool:
            return {None: "null", True: "true", False: "false"}[shown]
        return str(shown)

    def _text(self, value: str) -> str:
        allowed = min(MAX_TEXT, max(self.chars, _SHORT))
        text = value if len(value) <= allowed else shortened(value, allowed)
        self.chars -= len(text)
        return text if text.isascii() else well_formed(text)

    def _object(self, value: Any, kind: type, depth: int) -> Any:
        for base, render in _RENDERINGS:
            if issubclass(kind, base):
                return render(self, value, depth)
        if any(base.__module__ in _SPOKEN for base in kind.__mro__):
            return self._text(str(value))
        content = _held(value, kind)
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


def _held(value: Any, kind: Any) -> Any:
    try:
        return _content(value, kind)
    except Exception:  # a class may answer for any attribute
        return value


def _content(value: Any, kind: Any) -> Any:
    """Return what an object of unknown kind holds, or *value* itself."""
    names = _field_names(kind)
    if names:
        return {name: _attribute(value, name) for name in names}
    if hasattr(kind, "model_dump"):
        try:
            return kind.model_dump(value, warnings=False)
        except TypeError:
            return kind.model_dump(value)
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):
        return kind.dict(value)
    if hasattr(kind, "tolist") and hasattr(kind, "dtype"):
        return value.tolist() if value.size <= _MAX_ARRAY else bounded_repr(value)
    return value


def _field_names(kind: Any) -> List[str]:
    """Name the fields of a dataclass, an attrs class or a msgspec Struct.

    What its author keeps out of the repr stays out of the event.
    """
    if hasattr(kind, "__dataclass_fields__"):
        return [field.name for field in fields(kind) if field.repr]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.repr]
    return list(getattr(kind, "__struct_fields__", ()))


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except Exception:  # never set, or a property that fails
        return "[unset]"


def bounded_repr(value: Any) -> str:
    """Return the repr of *value*, shortened, well-formed; a marker if it raises."""
    try:
        return well_formed(shortened(repr(value), _SHORT))
    except Exception:  # somebody else's __repr__
        return unrepresentable(value)


def unrepresentable(value: Any) -> str:
    """Return the marker for an object that cannot be shown."""
    return f"[unrepresentable {well_formed(type_name(type(value)))}]"


def well_formed(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates: UTF-8 has no place for them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
