"""Private copies of what the caller may change after the call.

Runs on the thread of the application, so cost counts per node and strings are
shared. Anything that would run somebody's code (a repr, an iterator) is left to the
listener thread.
"""

from __future__ import annotations

from collections import deque
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from operator import length_hint
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FrameType,
    GeneratorType,
    MappingProxyType,
    TracebackType,
)
from typing import (
    Any,
    Callable,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Optional,
    Set,
    Tuple,
)

from ._packing import FEW, number_of_values, pack
from ._raised import ErrorText, shortened

MAX_DEPTH = 32
"""Levels of nesting that are copied; people nest 5, broken code nests 5 000."""

MAX_NODES = 10_000
"""Items copied of one record: some milliseconds of the caller's time at most, and far
more than an event may hold."""

_OWN_NODES = 10
"""What a container counts for besides its items: copying an empty one takes as long."""

_FLAT_NODES = 3
"""The same for a little dict of scalars in a list, which takes a short cut."""

_FEWEST_NODES = 100
"""Items copied of each field, whatever the fields before it took."""

MAX_TEXT = 1_048_576
"""Characters kept of one string, or bytes of one buffer that cannot change. What is
longer never leaves the process, and would stay in memory for as long as it is queued;
what is not is shared."""

_MAX_CUT = 4 * MAX_TEXT
"""Characters copied of the longer ones of a record; then only beginnings are."""

_BEGINNING = 1_024
_CHARS_PER_NODE = 2_048
_BYTES_PER_NODE = 64

_LITTLE = 16
"""Entries of a dict that is copied before its size is charged; up to so many messages
are copied one by one."""

MAX_BYTES = 262_144
"""Bytes copied of a mutable buffer; more is only named."""


class Snapshot(Dict[str, Any]):
    """A dict that is already a private bounded copy; a plain dict to everybody else."""


SHARED = frozenset(
    (
        *(type(None), bool, int, float, complex, str, bytes),
        *(datetime, date, time, timedelta, frozenset, Snapshot, ErrorText),
    )
)
"""Types whose values nobody can change, or nobody else holds."""

_is_shared = SHARED.__contains__
FIXED = SHARED - {str, bytes}
"""Those of them whose values need not be asked how long they are."""

_DICTS = frozenset((dict,))
_BUFFERS = (bytearray, memoryview)
_VIEWS: Tuple[type, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_FLEETING = frozenset(
    (GeneratorType, CoroutineType, AsyncGeneratorType, FrameType, TracebackType)
)
"""Types whose values hold frames. To keep one would put off what its end means to the
application, and have its `finally` run on a thread of ours."""


def snapshot(value: Any) -> Any:
    """Copy the built-in containers of *value*, so that later changes do not show.

    Strings and other immutable scalars are shared, objects of other types are kept
    by reference, exceptions become their text. What exceeds `MAX_DEPTH` or
    `MAX_NODES`, or refers to itself, becomes a short marker. Sets stay sets and named
    tuples stay named tuples; subclasses of the containers become the plain type.
    Never raises; a container that other threads change meanwhile is copied as it was
    at one moment, level by level.
    """
    kind = type(value)
    if value is None or kind is int or kind is float or kind is Snapshot:
        return value
    if kind is str and len(value) <= MAX_TEXT:
        return value
    return Copier().field(value)


def flat_copy(value: Dict[Any, Any]) -> Optional[Dict[Any, Any]]:
    """Copy a dict of few entries if that is all there is to copy, at little expense."""
    if len(value) > _LITTLE:
        return None
    copy = value.copy()
    return copy if are_plain(copy.values()) else None


def are_plain(values: Iterable[Any]) -> bool:
    """Tell whether nobody can change any of *values*, and none is to be cut."""
    try:
        for value in values:
            kind = type(value)
            if kind is str:
                if len(value) > MAX_TEXT:
                    return False
            elif kind not in FIXED:
                return False
    except Exception:  # a class whose class cannot be hashed
        return False
    return True


def has_long(values: Iterable[Any]) -> bool:
    """Tell whether one of *values*, all of them immutable scalars, is to be cut."""
    return max(map(length_hint, values), default=0) > MAX_TEXT


class Copier:
    """Copy the values of one record; *left* is the number of nodes it may take.

    Where it *packs*, chat histories come out packed: for who unpacks the copy.
    """

    __slots__ = ("chars", "foreign", "left", "packs", "path")

    def __init__(self, *, packs: bool = False) -> None:
        self.packs = packs
        self.left = MAX_NODES
        self.chars = _MAX_CUT
        self.path: Set[int] = set()
        self.foreign: Set[type] = set()
        """Types that were seen to be nothing to copy."""

    def field(self, value: Any) -> Any:
        """Copy one more value of the record."""
        self.left = max(self.left, _FEWEST_NODES)
        try:
            return self.copy(value, MAX_DEPTH)
        except RecursionError as error:
            self.path.clear()
            return f"[not copied: {ErrorText(error).described()}]"

    def copy(self, value: Any, depth: int) -> Any:
        kind = type(value)
        try:
            if kind is dict:
                return self._dict(value, depth)
            if kind is list:
                return self._list(value, depth)
            if kind in self.foreign or (
                kind in SHARED and length_hint(value) <= MAX_TEXT
            ):
                return value
            for base in _CONTAINERS:
                if issubclass(kind, base):
                    return _COPIERS[base](self, value, depth)
            return self._object(value, kind, depth)
        except RecursionError:
            # Not here: as deep down as that, Python 3.8 and 3.9 abort at the next.
            raise
        except Exception as error:  # exotic subclasses, keys that fail, torn views
            self.path.discard(id(value))
            return f"[not copied: {ErrorText(error).described()}]"

    def _dict(self, value: Dict[Any, Any], depth: int) -> Any:
        missing = max(dict.__len__(value) - self.left, 0)
        if missing or type(value) is not dict:
            copy = _first_entries(value, self.left)
        else:
            copy = value.copy()
        if not self._takes_flat(copy.values()):
            if depth <= 0 or id(value) in self.path:
                return _unreached(depth)
            self.path.add(id(value))
            missing += self._values(copy, depth)
            self.path.discard(id(value))
        if missing:
            copy["[truncated]"] = f"{missing:,} more items"
        return copy

    def _takes_flat(self, values: Collection[Any]) -> bool:
        """Charge the scalars in *values*; tell whether there is nothing else."""
        size = len(values)
        if size > _LITTLE:
            flat = SHARED.issuperset(map(type, values)) and not has_long(values)
            self._spend(size if flat else sum(map(_is_shared, map(type, values))))
            return flat
        self.left = max(self.left - size - _OWN_NODES, 0)
        for item in values:
            kind = type(item)
            if not (len(item) <= MAX_TEXT if kind is str else kind in FIXED):
                return False
        return True

    def _values(self, copy: Dict[Any, Any], depth: int) -> int:
        """Replace the containers in *copy*; return how many entries it has to lose."""
        for number, (key, item) in enumerate(copy.items()):
            kind = type(item)
            if len(item) <= MAX_TEXT if kind is str else kind in FIXED:
                continue
            if self.left <= 0:
                gone = list(islice(copy, number, None))
                for name in gone:
                    del copy[name]
                return len(gone)
            if self.packs and type(key) is not str:
                # Unpacking would have to look it up, and it may have changed by then.
                self.packs = False
                copy[key] = self.copy(item, depth - 1)
                self.packs = True
            else:
                copy[key] = self.copy(item, depth - 1)
        return 0

    def _list(self, value: List[Any], depth: int) -> Any:
        copy = list.__getitem__(value, slice(self.left))
        length = list.__len__(value)
        if self.packs and FEW < len(copy) == length and depth > 0:
            packed = pack(copy, self.left - length, MAX_TEXT)
            if packed is not None:
                self.left -= number_of_values(packed) + length
                return packed
        if _LITTLE < len(copy) == length and _DICTS.issuperset(map(type, copy)):
            # A chat history: no bytecode of ours per message.
            nodes = sum(map(len, copy)) + length
            if nodes <= self.left and depth > 0:
                flat = list(map(dict.copy, copy))
                parts = list(_values_of(flat))
                if SHARED.issuperset(map(type, parts)) and not has_long(parts):
                    self.left -= nodes
                    return flat
        return self._items(value, copy, length, depth)

    def _items(self, value: Any, copy: List[Any], length: int, depth: int) -> Any:
        """Copy what is in *copy*, the first items of *value*, in place."""
        if not self._takes_flat(copy):
            if depth <= 0 or id(value) in self.path:
                return _unreached(depth)
            self.path.add(id(value))
            self._children(copy, depth)
            self.path.discard(id(value))
        if len(copy) < length:
            copy.append(f"[truncated: {length - len(copy):,} more items]")
        return copy

    def _children(self, copy: List[Any], depth: int) -> None:
        """Replace the containers in *copy*, as far as the nodes reach."""
        for index, item in enumerate(copy):
            kind = type(item)
            if len(item) <= MAX_TEXT if kind is str else kind in FIXED:
                continue
            if self.left <= 0:
                del copy[index:]
                return
            if kind in self.foreign:
                self.left -= 1
            elif kind is dict and len(item) <= _LITTLE:
                copy[index] = self._little(item, depth)
            else:
                copy[index] = self.copy(item, depth - 1)

    def _little(self, item: Dict[Any, Any], depth: int) -> Any:
        """Copy a dict with few entries: if all are scalars, at the least expense."""
        flat = item.copy()
        for part in flat.values():
            kind = type(part)
            if not (len(part) <= MAX_TEXT if kind is str else kind in FIXED):
                return self.copy(item, depth - 1)
        self.left -= len(flat) + _FLAT_NODES
        return flat

    def _tuple(self, value: Tuple[Any, ...], depth: int) -> Any:
        first = list(tuple.__getitem__(value, slice(self.left)))
        packs, self.packs = self.packs, False  # who unpacks looks into no tuple
        try:
            copy = self._items(value, first, tuple.__len__(value), depth)
        finally:
            self.packs = packs
        if type(copy) is not list:
            return copy
        named = hasattr(type(value), "_fields") and len(copy) == tuple.__len__(value)
        return tuple.__new__(type(value) if named else tuple, copy)

    def _deque(self, value: Any, depth: int) -> Any:
        copy = _first_items(deque, value, self.left)
        return self._items(value, copy, deque.__len__(value), depth)

    def _set(self, value: Any, depth: int) -> Any:
        copy, length = _first_items(set, value, self.left), set.__len__(value)
        if len(copy) < length or has_long(copy):
            return self._items(value, copy, length, depth)
        self._spend(len(copy))
        return set(copy)

    def _object(self, value: Any, kind: type, depth: int) -> Any:
        """Return what stands for something else than a container: mostly itself."""
        if issubclass(kind, BaseException):
            self._spend(_OWN_NODES)
            return ErrorText(value)
        if kind in _SPECIAL:
            return _SPECIAL[kind](self, value, depth)
        if issubclass(kind, str):
            return value if str.__len__(value) <= MAX_TEXT else self._text(value, depth)
        self.left -= 1
        self.foreign.add(kind)
        return value

    def _proxy(self, value: Any, depth: int) -> Any:
        """Copy the dict behind *value*; any other mapping is left to the listener."""
        entries: Any = value.items()
        if type(entries) not in _VIEWS:
            return value
        missing = len(value) - self.left
        copy = self._dict(dict(islice(entries, self.left)), depth)
        if missing > 0 and type(copy) is dict:
            copy["[truncated]"] = f"{missing:,} more items"
        return copy

    def _view(self, value: Any, depth: int) -> Any:
        copy = list(islice(value, self.left))
        return self._items(value, copy, len(value), depth)

    def _buffer(self, value: Any, _: int) -> Any:
        size = memoryview(value).nbytes
        if size > min(MAX_BYTES, self.left * _BYTES_PER_NODE):
            return f"[{size} bytes]"
        self._spend(size // _BYTES_PER_NODE)
        return bytes(value)

    def _text(self, value: Any, _: int) -> Any:
        kept = MAX_TEXT if self.chars >= MAX_TEXT else _BEGINNING
        self.chars -= kept
        self._spend(_OWN_NODES + kept // _CHARS_PER_NODE)
        return shortened(value, kept)

    def _bytes(self, value: Any, _: int) -> Any:
        return f"[{len(value)} bytes]"

    def _passing(self, value: Any, _: int) -> Any:
        return repr(value)

    def _spend(self, items: int) -> None:
        self.left = max(self.left - items - _OWN_NODES, 0)


_COPIERS: Dict[type, Callable[[Copier, Any, int], Any]] = {
    dict: Copier._dict,
    list: Copier._list,
    tuple: Copier._tuple,
    deque: Copier._deque,
    set: Copier._set,
}
_CONTAINERS = tuple(_COPIERS)
_SPECIAL: Dict[type, Callable[[Copier, Any, int], Any]] = {
    str: Copier._text,
    bytes: Copier._bytes,
    MappingProxyType: Copier._proxy,
    **dict.fromkeys(_VIEWS, Copier._view),
    **dict.fromkeys(_BUFFERS, Copier._buffer),
    **dict.fromkeys(_FLEETING, Copier._passing),
}


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
