"""What the names and the types of a record's attributes tell of its event.

A program logs in few places, each with the same fields of the same types every time.
So what follows from those is found out once: which of them go into the metadata, what
form its event has, and whether all is plain JSON data at the first level.
"""

from __future__ import annotations

import logging
from typing import AbstractSet, Any, Dict, Mapping, Optional, Set, Tuple

from ._plain import (
    BASE,
    BASE_KINDS,
    CONTAINER,
    ID,
    NUMBER,
    REPLACEABLE,
    TEXT,
    WORD,
    Form,
    as_key,
    picker,
)
from ._snapshot import EVENT_ID, Snapshot
from ._wire import IN_ORDER, KNOWN, NAMED, RESERVED, STATUS, TRACE_IDS

_MAX_NAME = 256
_MAX_NAMES = 2_048
"""Names that are known to be good ones, and of how many characters."""

_MAX_SHAPES, _MAX_FIELDS, _MAX_FIELD = 256, 90, 70
"""How many shapes are remembered, of how many attributes each, and how long their names
may be as JSON: some megabytes in all where a program makes up names."""

_NONE = type(None)
_NUMBERS = frozenset((int, float))
_OPTIONAL_NUMBER = frozenset((int, float, _NONE))
_OPTIONAL_TEXT = frozenset((str, _NONE))
_OPTIONAL_DICT = frozenset((dict, Snapshot, _NONE))
_JSON = frozenset((str, int, float, bool, _NONE, dict, list))
_REMEMBERED = _JSON.union((Snapshot, tuple))
"""No classes of the application, which would live for as long as we remember them."""

_FIELDS = frozenset(
    ("event_type", "timestamp", "input_data", "output_data", "latency_ms", "cost_usd")
)
_DESCRIBED = frozenset(("metadata", "_agent_context"))
_OF_BASE = (EVENT_ID, "name", "levelname", "msg", "funcName", "module")
_KINDS: Mapping[Any, int] = {
    str: TEXT,
    int: NUMBER,
    float: NUMBER,
    bool: WORD,
    type(None): WORD,
    dict: CONTAINER,
    list: CONTAINER,
}

_FITTING: Dict[str, AbstractSet[Any]] = {
    **dict.fromkeys((*_OF_BASE, "event_type", "status"), frozenset((str,))),
    **dict.fromkeys((*NAMED, *TRACE_IDS), _OPTIONAL_TEXT),
    **dict.fromkeys(("latency_ms", "cost_usd", "timestamp"), _OPTIONAL_NUMBER),
    **dict.fromkeys(("metadata", "_agent_context"), _OPTIONAL_DICT),
    # These say that a record tells of an error, or in words of its own.
    **dict.fromkeys(("exc_text", "stack_info", "_agent_error"), frozenset((_NONE,))),
    **dict.fromkeys(("error_message", "agent_id", "event_id"), frozenset((_NONE,))),
    "created": _NUMBERS,
    "levelno": frozenset((int,)),
}

Types = Mapping[str, Any]
_good_names: Set[str] = set()


class Shape:
    """Know what a record's event is made of; *types* are those of its attributes.

    *given* are those that go into the metadata as they are.
    """

    __slots__ = (
        *("form", "has_fields", "has_status", "is_described", "judged"),
        *("replaceable", "sources", "trace_ids", "values_of"),
    )

    def __init__(self, types: Types, given: Tuple[str, ...]) -> None:
        named = [name for name in NAMED if types.get(name) is str]
        ids = [name for name in TRACE_IDS if types.get(name) is str]
        self.trace_ids = tuple((name, TRACE_IDS[name]) for name in ids)
        self.has_status = "status" in types
        self.has_fields = not _FIELDS.isdisjoint(types)
        """Whether fields of the event are given besides its metadata."""
        self.is_described = not _DESCRIBED.isdisjoint(types)
        """Whether there is metadata of the record or its context."""
        self.replaceable = tuple(
            (name, None if name in named else place) for name, place in REPLACEABLE
        )
        """What metadata of the record, its context or the handler wins over; no place
        where the record itself says otherwise."""
        self.form = Form(
            {
                **BASE_KINDS,
                **{name: _KINDS[types[name]] for name in given},
                **dict.fromkeys(named, TEXT),
                **dict.fromkeys(ids, ID),
            }
        )
        sources = {**dict(zip(BASE, _OF_BASE)), **{name: name for name in named}}
        keys = self.form.keys
        self.sources = tuple(sources.get(name, name) for name in keys)
        """The attributes that the values in the metadata come from."""
        self.judged = tuple(
            name for name in _FITTING if name in types and name not in self.sources
        )
        """The attributes of which the type matters, besides those."""
        self.values_of = picker(self.sources)

    def is_unusual(self, fields: Mapping[str, Any]) -> bool:
        """Tell at a glance whether the record tells of an error."""
        if self.has_status and STATUS.get(fields["status"]) != "success":
            return True
        return bool(fields["levelno"] >= logging.ERROR)


_shapes: Dict[Any, Optional[Shape]] = {}


def shape_of(fields: Mapping[str, Any]) -> Optional[Shape]:
    """Return the shape of a record's attributes, or None if it is for the careful way.

    May raise what a class of the application raises.
    """
    # Looked up, and not compared with the last one, which would be half as dear: there
    # are classes that say of themselves that they equal anything.
    names, kinds = tuple(fields), tuple(map(type, fields.values()))
    try:
        return _shapes[names, kinds]
    except KeyError:
        pass
    if (
        len(names) > _MAX_FIELDS
        or not _REMEMBERED.issuperset(kinds)
        or not all(map(_is_usual_name, names))
    ):
        return None
    if len(_shapes) >= _MAX_SHAPES:
        del _shapes[next(iter(_shapes))]
    shape = _shapes[names, kinds] = _new_shape(names, dict(zip(names, kinds)))
    return shape


def _new_shape(names: Tuple[str, ...], types: Types) -> Optional[Shape]:
    given = tuple(name for name in names[len(IN_ORDER) :] if name not in KNOWN)
    if (
        names[: len(IN_ORDER)] != IN_ORDER
        or EVENT_ID not in types
        or not RESERVED.isdisjoint(given)
        or any(name.startswith("_agent_") for name in given)
        or any(types[name] not in _FITTING[name] for name in _FITTING if name in types)
        or any(types[name] not in _JSON for name in given)
    ):
        return None
    shape = Shape(types, given)
    return shape if are_good(shape.form.names) else None


def _is_usual_name(name: Any) -> bool:
    # A name of a class of its own may be equal to another, and is not the same.
    if type(name) is not str or len(name) > _MAX_FIELD:
        return False
    return len(as_key(name)) <= _MAX_FIELD


def are_good(names: AbstractSet[str]) -> bool:
    """Tell whether *names* can be keys as they are."""
    if _good_names.issuperset(names):
        return True
    for name in names - _good_names:
        if type(name) is not str or len(name) > _MAX_NAME or not name.isascii():
            return False
        if len(_good_names) >= _MAX_NAMES:
            _good_names.clear()
        _good_names.add(name)
    return True
