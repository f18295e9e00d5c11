"""How much memory a copy keeps alive, at a glance.

What the application made and would have let go of stays for as long as we hold it.
The garbage collector knows what an object refers to, and runs no code of its class to
find out.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from gc import get_referents
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, List, Set

UNKNOWN = 10_000
"""What something counts for whose size cannot be seen."""

_MAX_OBJECTS = 100
"""Objects that are looked into. A chunk of a model's answer is made of a few; one that
leads to its client leads to the whole program."""

_REFERENCE = 8
_OWN = 16
"""What a container or an object counts for besides what it refers to: a tenth of what
it may take, so that of small ones there may be many."""

_CONTAINERS = frozenset((dict, list, tuple, set, frozenset))
_SMALL = frozenset((type(None), bool, int, float, date, datetime, time, timedelta))
_SMALL_BASES = (int, float, complex, date, time, timedelta)
_COMMON = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What is there anyway, and leads to the whole program."""


def weight_of(copy: Any, most: int) -> int:
    """Return the characters and bytes that *copy*, made by `snapshot`, keeps alive.

    Looks no further once they are more than *most*.
    """
    try:
        return _weight_of(copy, most)
    except Exception:  # a class whose class cannot be hashed, a dict that changes
        return UNKNOWN


def _weight_of(copy: Any, most: int) -> int:
    waiting, objects, weight = [copy], 0, 0
    seen: Set[int] = set()
    while waiting and weight <= most:
        part = waiting.pop()  # the last: into one of many objects, before the next
        kind = type(part)
        if kind is str or kind is bytes:
            weight += len(part)
        elif kind in _SMALL or id(part) in seen:
            continue
        elif kind in _CONTAINERS:
            seen.add(id(part))
            weight += _OWN + _REFERENCE * len(part)
            if weight <= most:  # or making the list would take its time
                waiting += _inside(part, kind)
        elif not issubclass(kind, _COMMON):
            if objects == _MAX_OBJECTS:
                return max(weight, UNKNOWN)
            objects += 1
            seen.add(id(part))
            parts = _inside(part, kind)
            weight += _OWN + (_REFERENCE * len(parts) or _hidden(part, kind))
            waiting += parts
    return weight


def _inside(value: Any, kind: type) -> List[Any]:
    if kind is dict or issubclass(kind, dict):
        # The collector is not told of keys that are texts.
        return [*dict.keys(value), *dict.values(value)]
    return [part for part in get_referents(value) if part is not kind]


def _hidden(value: Any, kind: Any) -> int:
    """Return what *value* may hold that the collector knows nothing of."""
    for base in (str, bytes):
        if issubclass(kind, base):
            return base.__len__(value)
    own = kind.__basicsize__
    own -= _REFERENCE * ((kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0))
    if own <= object.__basicsize__:
        return 0  # there is no room for anything
    if issubclass(kind, _SMALL_BASES) or kind.__module__ == "decimal":
        return 0
    try:
        return memoryview(value).nbytes  # arrays
    except Exception:  # it is none, or of what no buffer can hold
        return UNKNOWN
