"""The caller's bounded copy: what is true only here and now.

Runs on the thread of the application, so cost counts per node and strings are
shared. Anything that would run somebody's code (a repr, an iterator) is left to the
listener thread.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from types import MappingProxyType
from typing import Any, Callable, Dict, Iterator, List, Set, Sized, Tuple

from ._ids import long_id
from ._raised import ErrorText, raised
from .context import bound_fields, current_span

MAX_DEPTH = 32
"""Levels of nesting that are copied; people nest 5, broken code nests 5 000."""

MAX_NODES = 10_000
"""Items copied of one value: about 1 ms of the caller's time, and far more than an
event may hold."""

_LITTLE = 16
"""Entries of a dict that is copied before its size is charged."""

MAX_BYTES = 262_144
"""Bytes copied of a mutable buffer; more is only named."""

MAX_EVENT_ID = 128
"""Characters of an event id of the caller's own."""


class Snapshot(Dict[str, Any]):
    """A dict that is already a private bounded copy; a plain dict to everybody else."""


_SHARED = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes),
        *(datetime, date, time, timedelta, frozenset, Snapshot, ErrorText),
    )
)
"""Types whose values nobody can change, or nobody else holds."""

_DICTS = frozenset((dict,))
_BUFFERS = (bytearray, memoryview)
_VIEWS: Tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))


def snapshot(value: Any) -> Any:
    """Copy the built-in containers of *value*, so that later changes do not show.

    Strings and other immutable scalars are shared, objects of other types are kept
    by reference, exceptions become their text. What exceeds `MAX_DEPTH` or
    `MAX_NODES`, or refers to itself, becomes a short marker. Sets stay sets and named
    tuples stay named tuples; subclasses of the containers become the plain type.
    Never raises; a container that other threads change meanwhile is copied as it was
    at one moment, level by level.
    """
    if type(value) in _SHARED:
        return value
    try:
        return _Copier().copy(value, MAX_DEPTH)
    except Exception as error:  # exotic subclasses, torn views
        return f"[not copied: {ErrorText(error).described()}]"


class _Copier:
    """Copy one value; *left* is the number of nodes it may still take."""

    __slots__ = ("left", "path")

    def __init__(self) -> None:
        self.left = MAX_NODES
        self.path: Set[int] = set()

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self._dict(value, depth)
        if kind is list:
            return self._list(value, depth)
        if kind in _SHARED:
            return value
        for base in _CONTAINERS:
            if issubclass(kind, base):
                return _COPIERS[base](self, value, depth)
        return self._object(value, kind, depth)

    def _dict(self, value: Dict[Any, Any], depth: int) -> Any:
        missing = dict.__len__(value) - self.left
        plain = missing <= 0 and type(value) is dict
        copy = value.copy() if plain else _first_entries(value, self.left)
        self._spend(copy)
        if not _SHARED.issuperset(map(type, copy.values())):
            if depth <= 0 or id(value) in self.path:
                return _unreached(depth)
            self.path.add(id(value))
            for key, item in copy.items():
                if type(item) not in _SHARED:
                    copy[key] = self.copy(item, depth - 1)
            self.path.discard(id(value))
        if missing > 0:
            copy["[truncated]"] = f"{missing:,} more items"
        return copy

    def _list(self, value: List[Any], depth: int) -> Any:
        copy = list.__getitem__(value, slice(self.left))
        length = list.__len__(value)
        if (
            copy
            and len(copy) == length
            and depth > 0
            and _DICTS.issuperset(map(type, copy))
        ):
            # A chat history: no bytecode of ours per message.
            nodes = sum(map(len, copy)) + length
            if nodes <= self.left:
                flat = list(map(dict.copy, copy))
                if _SHARED.issuperset(map(type, _values_of(flat))):
                    self.left -= nodes
                    return flat
        return self._items(value, copy, length, depth)

    def _items(self, value: Any, copy: List[Any], length: int, depth: int) -> Any:
        """Copy what is in *copy*, the first items of *value*, in place."""
        if not _SHARED.issuperset(map(type, copy)):
            if depth <= 0 or id(value) in self.path:
                return _unreached(depth)
            self.path.add(id(value))
            self._children(copy, depth)
            self.path.discard(id(value))
        self._spend(copy)
        if len(copy) < length:
            copy.append(f"[truncated: {length - len(copy):,} more items]")
        return copy

    def _children(self, copy: List[Any], depth: int) -> None:
        """Replace the containers in *copy*, as far as the nodes reach."""
        for index, item in enumerate(copy):
            kind = type(item)
            if kind in _SHARED:
                continue
            if self.left <= 0:
                del copy[index:]
                return
            # Flat little dicts, a chat history above all, are spared the calls.
            if kind is dict and len(item) <= _LITTLE:
                flat = item.copy()
                for part in flat.values():
                    if type(part) not in _SHARED:
                        break
                else:
                    self.left -= len(flat)
                    copy[index] = flat
                    continue
            copy[index] = self.copy(item, depth - 1)

    def _tuple(self, value: Tuple[Any, ...], depth: int) -> Any:
        first = list(tuple.__getitem__(value, slice(self.left)))
        copy = self._items(value, first, tuple.__len__(value), depth)
        if type(copy) is not list:
            return copy
        named = hasattr(type(value), "_fields") and len(copy) == tuple.__len__(value)
        return tuple.__new__(type(value) if named else tuple, copy)

    def _deque(self, value: Any, depth: int) -> Any:
        copy = _first_items(deque, value, self.left)
        return self._items(value, copy, deque.__len__(value), depth)

    def _set(self, value: Any, depth: int) -> Any:
        copy, length = _first_items(set, value, self.left), set.__len__(value)
        self._spend(copy)
        return (
            set(copy)
            if len(copy) >= length
            else self._items(value, copy, length, depth)
        )

    def _object(self, value: Any, kind: type, depth: int) -> Any:
        """Return what stands for something else than a container: mostly itself."""
        if issubclass(kind, BaseException):
            return ErrorText(value)
        if kind is MappingProxyType:
            return self.copy(dict(value), depth)
        if kind in _VIEWS:
            return self._list(list(islice(value, self.left)), depth)
        if kind in _BUFFERS:
            size = memoryview(value).nbytes
            return bytes(value) if size <= MAX_BYTES else f"[{size} bytes]"
        return value

    def _spend(self, copy: Sized) -> None:
        self.left = max(self.left - len(copy) - 1, 0)


_COPIERS: Dict[type, Callable[[_Copier, Any, int], Any]] = {
    dict: _Copier._dict,
    list: _Copier._list,
    tuple: _Copier._tuple,
    deque: _Copier._deque,
    set: _Copier._set,
}
_CONTAINERS = tuple(_COPIERS)


def _first_entries(value: Dict[Any, Any], count: int) -> Dict[Any, Any]:
    try:
        return dict(islice(dict.items(value), count))
    except RuntimeError:  # another thread changed it: the list below is atomic
        return dict(list(dict.items(value))[:count])


def _first_items(base: Any, value: Any, count: int) -> List[Any]:
    try:
        return list(islice(base.__iter__(value), count))
    except RuntimeError:
        return list(base.copy(value))[:count]


def _values_of(dicts: List[Dict[Any, Any]]) -> Iterator[Any]:
    return chain.from_iterable(map(dict.values, dicts))


def _unreached(depth: int) -> str:
    return "[truncated: depth]" if depth <= 0 else "[circular]"


def snapshot_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return the copy of *record* that may travel to another thread.

    It is a full LogRecord of the same class for any handler or formatter: message
    unformatted, arguments and extra fields as `snapshot` leaves them, the exception
    as text in `exc_text`. It also knows its event id, its place in the trace and
    what `agent_context` had bound. A record that has an `_agent_event_id` is such a
    copy already and returned as it is. *record* itself is not changed in any way.
    """
    fields = record.__dict__.copy()
    if "_agent_event_id" in fields:
        return record
    args, exc_info = fields.get("args"), fields.get("exc_info")
    fields["args"] = fields["exc_info"] = None
    if not _SHARED.issuperset(map(type, fields.values())):
        _snapshot_fields(fields)
    fields["args"] = _snapshot_args(args) if args else args
    if exc_info:
        _describe_exception(fields, exc_info)
    _bind_context(fields)
    fresh, given = _fresh_id(record), fields.get("event_id")
    fields["_agent_event_id"] = given if _is_event_id(given) else fresh
    if "trace_id" not in fields:
        _join_trace(fields, fresh[:16])
    return _record_of(type(record), fields)


def _snapshot_fields(fields: Dict[str, Any]) -> None:
    for name, value in fields.items():
        if type(value) not in _SHARED:
            fields[name] = snapshot(value)


def _snapshot_args(args: Any) -> Any:
    """Copy arguments; a mapping of its own class may answer for any key: it stays."""
    if type(args) is dict:
        return snapshot(args)
    if not issubclass(type(args), tuple) or _SHARED.issuperset(map(type, args)):
        return args
    return tuple(map(snapshot, tuple.__iter__(args)))


def _describe_exception(fields: Dict[str, Any], exc_info: Any) -> None:
    found = raised(exc_info, fields.get("exc_text"))
    if found is not None:
        fields["exc_text"] = found.traceback
        fields["_agent_error"] = (found.error_type, found.error_message)


def _bind_context(fields: Dict[str, Any]) -> None:
    if "_agent_context" not in fields:
        bound = bound_fields()
        if bound:
            fields["_agent_context"] = snapshot(bound)


_last = threading.local()
"""The record each thread handled last and the id it was given."""


def _fresh_id(record: logging.LogRecord) -> str:
    """Return 32 hex digits; the same for a record that several handlers see."""
    known = getattr(_last, "handled", None)
    if known is not None and known[0]() is record:
        return str(known[1])
    fresh = long_id()
    _last.handled = (weakref.ref(record), fresh)
    return fresh


def _is_event_id(given: Any) -> bool:
    if type(given) is not str or not 0 < len(given) <= MAX_EVENT_ID:
        return False
    return given.isascii() and given.isprintable()


def _join_trace(fields: Dict[str, Any], span_id: str) -> None:
    span = current_span()
    if span is not None:
        fields["trace_id"] = span.trace_id
        fields["parent_span_id"] = span.span_id
        fields.setdefault("span_id", span_id)


def _record_of(kind: type, fields: Dict[str, Any]) -> logging.LogRecord:
    """Make a record without its constructor, which copy.copy would go through."""
    copy: logging.LogRecord
    try:
        copy = object.__new__(kind)
        object.__setattr__(copy, "__dict__", fields)
    except Exception:  # a class with a layout of its own
        copy = logging.LogRecord.__new__(logging.LogRecord)
        copy.__dict__.update(fields)
    return copy
