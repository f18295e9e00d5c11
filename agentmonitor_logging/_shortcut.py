"""The short way from a record to its event, where nothing about it is unusual.

`events` reads a record with every care, as each value may be of any kind. Nearly all
are texts and numbers, so here the event is put together at once and then looked
through: one look finds what is not plain JSON data, and collects the texts in which
a secret may be. And a program logs in few places, each with the same fields every
time: what their names alone tell is found out once. In any doubt the answer is None,
and the careful way is taken. What comes out is what that would return; a test holds
the two against each other.

The event shares its containers with the record: who changes it makes a copy first.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import Any, Dict, FrozenSet, List, Mapping, Optional, Set, Tuple

from ._snapshot import EVENT_ID, Snapshot
from ._wire import (
    IN_ORDER,
    KNOWN,
    MAX_LATENCY,
    NAMED,
    OWNERS,
    RESERVED,
    STATUS,
    TRACE_IDS,
    Event,
    is_id,
    utc,
)

MAX_CHARS = 65_536
"""Characters of an event that goes this way: no text needs to be cut."""

_MAX_VALUES = 5_000
"""Values of one, at any depth: none needs to be left out."""

_MAX_NAME = 256
_MAX_NAMES = 2_048
"""Names that are known to be good ones, and of how many characters."""

_MAX_SHAPES, _MAX_FIELDS = 1_024, 256
"""How many sets of fields are remembered, and of how many fields each."""

_HISTORY = 4
"""From how many messages on a chat history is looked through in one go."""

_LARGEST = 2**63
_DICTS: FrozenSet[Any] = frozenset((dict, Snapshot))
_PLAIN_DICTS = frozenset((dict,))
_TEXTS = frozenset((str,))
_SCALARS = frozenset((str, int, float, bool, type(None)))
_SINGLE = frozenset((bool, type(None)))
_NOT_OTHERS = RESERVED.union(TRACE_IDS)

_SUSPICIOUS = (
    *("exc_text", "stack_info", "_agent_error", "error_message", "agent_id"),
    "event_id",
)
"""The attributes which say that a record tells of an error or in words of its own."""

_good_names: Set[str] = set()


FIELDS = (
    *("agent_id", "event_type", "timestamp", "input_data", "output_data", "metadata"),
    *("cost_usd", "latency_ms", "status", "error_message", *TRACE_IDS),
)
"""The keys of every event, which are not among its `names`."""


class PlainEvent(Dict[str, Any]):
    """An event of plain JSON data, of which is known what it holds.

    *texts* are all its texts but ids and times that were made, or checked, by us;
    *names* are the keys of metadata, input and output at any depth.
    """

    __slots__ = ("names", "texts")

    texts: List[str]
    names: Set[str]

    def copied(self) -> Event:
        """Return a copy that shares nothing, for who changes it."""
        return {key: _copied(item) for key, item in self.items()}

    def with_texts(self, instead: Mapping[str, str]) -> PlainEvent:
        """Return a copy that has other texts, namely the values of *instead*."""
        copy = PlainEvent(_replaced(self, instead))
        copy.names = self.names
        copy.texts = [instead.get(text, text) for text in self.texts]
        return copy


def _replaced(tree: Any, instead: Mapping[str, str]) -> Any:
    """Copy a dict or a list, at any depth, with other texts."""
    copy = tree.copy()
    for place, item in enumerate(tree) if type(tree) is list else tree.items():
        kind = type(item)
        if kind is str:
            if item in instead:
                copy[place] = instead[item]
        elif kind is dict or kind is list:
            copy[place] = _replaced(item, instead)
    return copy


def _copied(tree: Any) -> Any:
    kind = type(tree)
    if kind is dict:
        return {key: _copied(item) for key, item in tree.items()}
    return [_copied(item) for item in tree] if kind is list else tree


class _Shape:
    """What the names of a record's attributes tell, the same for all that have them."""

    __slots__ = ("given", "has_status", "ids", "named", "suspicious")

    def __init__(self, names: Tuple[str, ...]) -> None:
        self.given = tuple(name for name in names[len(IN_ORDER) :] if name not in KNOWN)
        self.suspicious = tuple(name for name in _SUSPICIOUS if name in names)
        self.has_status = "status" in names
        self.named = tuple(name for name in NAMED if name in names)
        self.ids = tuple(item for item in TRACE_IDS.items() if item[0] in names)

    def is_unusual(self, fields: Mapping[str, Any]) -> bool:
        """Tell at a glance whether it tells of an error or in words of its own."""
        for name in self.suspicious:
            if fields[name] is not None:
                return True
        if self.has_status and STATUS.get(fields["status"]) != "success":
            return True
        return bool(fields["levelno"] >= logging.ERROR)


_shapes: Dict[Tuple[str, ...], Optional[_Shape]] = {}


def _shape_of(names: Tuple[str, ...]) -> Optional[_Shape]:
    """Return what *names* tell, or None if such records are for the careful way."""
    shape = None
    if names[: len(IN_ORDER)] == IN_ORDER:
        shape = _Shape(names)
        if not RESERVED.isdisjoint(shape.given) or "_agent_" in "".join(shape.given):
            shape = None
    if len(names) <= _MAX_FIELDS and all(map(_is_usual_name, names)):
        if len(_shapes) >= _MAX_SHAPES:
            del _shapes[next(iter(_shapes))]
        _shapes[names] = shape
    return shape


def _is_usual_name(name: Any) -> bool:
    # A name of a class of its own may be equal to another, and is not the same.
    return type(name) is str and len(name) <= _MAX_NAME


_GET_MESSAGE = logging.LogRecord.getMessage
_IS_AS_WRITTEN = (
    getattr(getattr(_GET_MESSAGE, "__code__", None), "co_filename", None)
    == logging.getLevelName.__code__.co_filename
)
"""Whether nobody had patched it before we came."""


def words_as_usual(kind: type = logging.LogRecord) -> bool:
    """Tell whether records of *kind* make their message as logging does."""
    return _IS_AS_WRITTEN and getattr(kind, "getMessage", None) is _GET_MESSAGE


def plain_event(
    fields: Mapping[str, Any],
    agent_id: str,
    metadata: Optional[Mapping[str, Any]],
    max_bytes: int,
) -> Optional[PlainEvent]:
    """Return the event of a record, a copy of our own, if it is a plain one.

    *fields* are the record's attributes, and its message is made as logging does it.
    """
    try:
        names = tuple(fields)
        shape = _shapes[names] if names in _shapes else _shape_of(names)
        if shape is None or shape.is_unusual(fields):
            return None
        described = _described(fields, shape, metadata)
        event = PlainEvent(_assembled(fields, agent_id))
        _look_through(event, described, min(max_bytes, MAX_CHARS))
        for name, length in shape.ids:
            given = fields[name]
            if given is not None:
                if not is_id(given, length):
                    return None
                described[name] = given
    except Exception:  # not what is expected here, so for the careful way
        return None
    event["metadata"] = described
    return event


class _UnusualError(Exception):
    """Say that a record is for the careful way."""


def _assembled(fields: Mapping[str, Any], agent_id: str) -> Dict[str, Any]:
    get = fields.get
    latency, cost = get("latency_ms"), get("cost_usd")
    if latency is not None:
        if not 0 <= _number(latency) < MAX_LATENCY:
            raise _UnusualError
        latency = round(latency)
    kind, began = get("event_type", "log"), get("timestamp")
    if type(kind) is not str:
        raise _UnusualError
    if began is None:
        began = fields["created"] - (latency or 0) / 1000
    moment = utc(_number(began))
    if moment is None:
        raise _UnusualError
    taken, given = get("input_data"), get("output_data")
    return {
        "agent_id": _agent_id(get("_agent_context"), agent_id),
        "event_type": kind.strip() or "log",
        "timestamp": moment,
        "input_data": None if taken is None else _payload(taken),
        "output_data": None if given is None else _payload(given),
        "metadata": None,
        "cost_usd": None if cost is None else float(_number(cost)),
        "latency_ms": latency,
        "status": "success",
        "error_message": None,
    }


def _number(value: Any) -> Any:
    if type(value) is not float and not _is_plain_number(value):
        raise _UnusualError
    if value - value != 0:  # not finite
        raise _UnusualError
    return value


def _agent_id(context: Any, agent_id: str) -> str:
    bound = context.get("agent_id") if context else None
    chosen = agent_id if bound is None else bound.strip() or agent_id
    if type(chosen) is not str:
        raise _UnusualError
    return chosen


def _payload(value: Any) -> Any:
    kind = type(value)
    if kind is Snapshot or kind is dict:
        return dict(value)
    return {"items" if kind is list else "value": value}


def _described(
    fields: Mapping[str, Any],
    shape: _Shape,
    of_handler: Optional[Mapping[str, Any]],
) -> Dict[str, Any]:
    """Return the metadata; of what comes from several sources, the last wins."""
    result = {
        "event_id": fields[EVENT_ID],
        "logger": fields["name"],
        "level": fields["levelname"],
        "message": fields["msg"] if not fields["args"] else _formatted(fields),
        "function_name": fields["funcName"],
        "module": fields["module"],
    }
    if not _TEXTS.issuperset(map(type, result.values())):
        raise _UnusualError
    if of_handler:
        if not _SCALARS.issuperset(map(type, of_handler.values())):
            raise _UnusualError
        _add(result, of_handler)
    context, of_record = fields.get("_agent_context"), fields.get("metadata")
    if context:
        _add(result, context.get("metadata"))
        _add_named(result, context, OWNERS)
    if of_record:
        _add(result, of_record)
    for name in shape.given:
        result[name] = fields[name]
    if shape.named:
        _add_named(result, fields, shape.named)
    return result


def _formatted(fields: Mapping[str, Any]) -> Any:
    args = fields["args"]
    if type(fields["msg"]) is not str:
        raise _UnusualError
    if type(args) is not tuple or not _SCALARS.issuperset(map(type, args)):
        raise _UnusualError
    return fields["msg"] % args


def _add(result: Dict[str, Any], source: Any) -> None:
    if source is None:
        return
    if type(source) not in _DICTS or not _NOT_OTHERS.isdisjoint(source):
        raise _UnusualError
    result.update(source)


def _add_named(result: Dict[str, Any], fields: Mapping[str, Any], names: Any) -> None:
    for name in names:
        given = fields.get(name)
        if given is not None:
            if type(given) is not str:
                raise _UnusualError
            result[name] = given


def _look_through(event: PlainEvent, described: Dict[str, Any], max_chars: int) -> None:
    """Note what *event* holds; raise unless all of it is plain JSON data."""
    texts: List[str] = []
    names = set(described)
    nodes: List[Any] = [described]
    for payload in (event["input_data"], event["output_data"]):
        if payload is not None:
            names.update(payload)
            nodes.append(payload)
    values = 0
    for node in nodes:
        items = node if type(node) is list else list(node.values())
        values += len(items)
        if values > _MAX_VALUES:
            raise _UnusualError
        if _TEXTS.issuperset(map(type, items)):
            texts += items
        elif type(node) is not list or not _take_history(node, texts, names):
            nodes += _containers_in(items, texts, names)
    del texts[0]  # the event id, which comes first and is ours
    texts += event["agent_id"], event["event_type"]
    event.texts, event.names = texts, names
    if not (_are_sound(texts, max_chars) and _are_good(names)):
        raise _UnusualError


def _containers_in(items: List[Any], texts: List[str], names: Set[str]) -> List[Any]:
    """Note the texts among *items*, and return what has to be looked into."""
    containers: List[Any] = []
    for item in items:
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind is dict:
            names.update(item)
            containers.append(item)
        elif kind is list:
            containers.append(item)
        elif kind not in _SINGLE and not _is_plain_number(item):
            raise _UnusualError
    return containers


def _take_history(node: List[Any], texts: List[str], names: Set[str]) -> bool:
    """Note what a chat history holds; tell whether it is one, of texts alone."""
    if len(node) < _HISTORY or not _PLAIN_DICTS.issuperset(map(type, node)):
        return False
    values = list(chain.from_iterable(map(dict.values, node)))
    if not _TEXTS.issuperset(map(type, values)):
        return False
    names.update(*node)
    texts += values
    return len(texts) <= _MAX_VALUES


def _is_plain_number(value: Any) -> bool:
    if type(value) is int:
        return -_LARGEST <= value < _LARGEST
    return type(value) is float and value - value == 0.0


def _are_sound(texts: List[str], max_chars: int) -> bool:
    """Tell whether none of *texts* has to be cut or mended."""
    text = "".join(texts)
    if not text.isascii():
        text.encode()  # or else there is half a surrogate pair in it
    return len(text) <= max_chars


def _are_good(names: Set[str]) -> bool:
    if _good_names.issuperset(names):
        return True
    for name in names - _good_names:
        if type(name) is not str or len(name) > _MAX_NAME or not name.isascii():
            return False
        if len(_good_names) >= _MAX_NAMES:
            _good_names.clear()
        _good_names.add(name)
    return True
