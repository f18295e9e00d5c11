"""The short way from a record to its event, where nothing about it is unusual.

`events` reads a record with every care, as each value may be of any kind. Nearly all
are texts and numbers, so here the event is put together at once and then looked
through: one look finds what is not plain JSON data, and collects the texts in which
a secret may be. What names and types alone tell is found out once, see `_shapes`. In
any doubt the answer is None, and the careful way is taken. What comes out is what that
would return; a test holds the two against each other.

The event shares its containers with the record: who changes it makes a copy first.
"""

from __future__ import annotations

import logging
from itertools import chain
from typing import (
    AbstractSet,
    Any,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    Set,
)

from ._capsule import Capsule
from ._packing import is_packed, keys_and_values, unpacked
from ._shapes import BASE, BASE_NAMES, MESSAGE, Shape, are_good, shape_of
from ._snapshot import Snapshot
from ._wire import MAX_LATENCY, OWNERS, RESERVED, TRACE_IDS, Event, is_id, utc

MAX_CHARS = 65_536
"""Characters of an event that goes this way: no text needs to be cut."""

_MAX_VALUES = 5_000
"""Values of one, at any depth: none needs to be left out."""

_HISTORY = 4
"""From how many messages on a chat history is looked through in one go."""

_LARGEST = 2**63
_DICTS: FrozenSet[Any] = frozenset((dict, Snapshot))
_PLAIN_DICTS = frozenset((dict,))
_TEXTS = frozenset((str,))
_SCALARS = frozenset((str, int, float, bool, type(None)))
_SINGLE = frozenset((bool, type(None)))
_NOT_OTHERS = RESERVED.union(TRACE_IDS)

FIELDS = (
    *("agent_id", "event_type", "timestamp", "input_data", "output_data", "metadata"),
    *("cost_usd", "latency_ms", "status", "error_message", *TRACE_IDS),
)
"""The keys of every event, which are not among its `names`."""


class PlainEvent(Dict[str, Any]):
    """An event of plain JSON data, of which is known what it holds.

    *texts* are all its texts but ids and times that were made, or checked, by us, and
    *size* is the sum of their characters; *names* are the keys of metadata, input and
    output at any depth. Where it *is_packed*, its input is not JSON data until
    `unpack` has made it such.
    """

    __slots__ = ("is_packed", "names", "size", "texts")

    texts: List[str]
    names: AbstractSet[str]
    size: int
    is_packed: bool

    def unpack(self) -> None:
        """Have dicts again in place of what is packed."""
        if self.is_packed:
            self["input_data"] = unpacked(self["input_data"])
            self.is_packed = False

    def copied(self) -> Event:
        """Return a copy that shares nothing, for who changes it."""
        self.unpack()
        return {key: _copied(item) for key, item in self.items()}

    def with_texts(self, instead: Mapping[str, str]) -> PlainEvent:
        """Return a copy that has other texts, namely the values of *instead*."""
        self.unpack()
        copy = PlainEvent(_replaced(self, instead))
        copy.names, copy.size, copy.is_packed = self.names, self.size, False
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
        shape = shape_of(fields)
        if shape is None or shape.is_unusual(fields):
            return None
        return _event(fields, shape, agent_id, metadata, min(max_bytes, MAX_CHARS))
    except Exception:  # not what is expected here, so for the careful way
        return None


def call_event(
    capsule: Capsule,
    event_id: str,
    agent_id: str,
    metadata: Optional[Mapping[str, Any]],
    max_bytes: int,
) -> Optional[PlainEvent]:
    """Return the event of a call that went well, if it is a plain one."""
    try:
        return _event_of_call(
            capsule, event_id, agent_id, metadata, min(max_bytes, MAX_CHARS)
        )
    except Exception:  # as above
        return None


class _UnusualError(Exception):
    """Say that a record is for the careful way."""


def _event(
    fields: Mapping[str, Any],
    shape: Shape,
    agent_id: str,
    of_handler: Optional[Mapping[str, Any]],
    max_chars: int,
) -> PlainEvent:
    texts: List[str] = list(shape.base_of(fields))
    if fields["args"]:
        texts[MESSAGE] = _formatted(fields)
    described: Dict[str, Any] = dict(zip(BASE, texts))
    nodes: List[Any] = []
    if of_handler or shape.is_described:
        context, of_record = fields.get("_agent_context"), fields.get("metadata")
        agent_id = _agent_id(context, agent_id)
        nodes = _added(described, of_handler, context, of_record)
    event = _assembled(fields, shape, agent_id)
    # In place of the event id, in which nobody looks for a secret.
    texts[0] = agent_id
    texts.append(event["event_type"])
    if shape.given:
        given = shape.given_of(fields)
        if not all(map(_is_plain_number, shape.numbers_of(given))):
            raise _UnusualError
        described.update(zip(shape.given, given))
        texts += shape.texts_of(given)
        nodes += shape.containers_of(given)
    for name in shape.named:
        described[name] = text = fields[name]
        texts.append(text)
    _look_through(event, nodes, texts, shape.names, max_chars)
    for name, length in shape.ids:
        given = fields[name]
        if not is_id(given, length):
            raise _UnusualError
        described[name] = given
    event["metadata"] = described
    return event


def _event_of_call(
    capsule: Capsule,
    event_id: str,
    agent_id: str,
    of_handler: Optional[Mapping[str, Any]],
    max_chars: int,
) -> PlainEvent:
    _, (common, _), stamp, step, told = capsule
    began, latency, trace_id, span_id, parent_id, context = step
    called, event_type, given, output, metadata = told
    moment = utc(began)
    if common["levelno"] >= logging.ERROR or moment is None:
        raise _UnusualError
    if not 0 <= latency < MAX_LATENCY:  # a clock of the application's own
        raise _UnusualError
    message = common["msg"] % (called, latency)
    place = message, common["funcName"], common["module"]
    agent_id = _agent_id(context, agent_id)
    event_type = event_type.strip() or "log"
    texts = [agent_id, common["name"], stamp[0], *place, event_type]
    if not _TEXTS.issuperset(map(type, texts)):
        raise _UnusualError
    described = dict(zip(BASE, (event_id, *texts[1:6])))
    event = _made(
        agent_id, event_type, moment, taken=given, given=output, latency=latency
    )
    event["metadata"] = described
    nodes = _added(described, of_handler, context, metadata)
    _look_through(event, nodes, texts, BASE_NAMES, max_chars)
    # They are ours, or OpenTelemetry's.
    described["trace_id"] = trace_id
    described["span_id"] = span_id
    if parent_id is not None:
        described["parent_span_id"] = parent_id
    return event


def _assembled(fields: Mapping[str, Any], shape: Shape, agent_id: str) -> PlainEvent:
    latency = cost = began = taken = given = None
    event_type = "log"
    if shape.has_fields:
        get = fields.get
        latency, cost, began = get("latency_ms"), get("cost_usd"), get("timestamp")
        taken, given = get("input_data"), get("output_data")
        event_type = get("event_type", "log").strip() or "log"
        if latency is not None:
            if not 0 <= latency < MAX_LATENCY:
                raise _UnusualError
            latency = round(latency)
        if cost is not None and not -_LARGEST <= cost < _LARGEST:
            raise _UnusualError
    if began is None:
        began = fields["created"] - (latency or 0) / 1000
    moment = utc(began)
    if moment is None:
        raise _UnusualError
    return _made(
        agent_id,
        event_type,
        moment,
        taken=taken,
        given=given,
        latency=latency,
        cost=cost,
    )


def _made(
    agent_id: str,
    event_type: str,
    moment: str,
    *,
    taken: Any,
    given: Any,
    latency: Optional[int],
    cost: Optional[float] = None,
) -> PlainEvent:
    """Return an event of a success, without its metadata."""
    return PlainEvent(
        agent_id=agent_id,
        event_type=event_type,
        timestamp=moment,
        input_data=None if taken is None else _payload(taken),
        output_data=None if given is None else _payload(given),
        metadata=None,
        cost_usd=None if cost is None else float(cost),
        latency_ms=latency,
        status="success",
        error_message=None,
    )


def _agent_id(context: Optional[Mapping[str, Any]], agent_id: str) -> str:
    bound = context.get("agent_id") if context else None
    if bound is None:
        return agent_id
    if type(bound) is not str:
        raise _UnusualError
    return bound.strip() or agent_id


def _payload(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return value
    if kind is Snapshot:
        return dict(value)
    return {"items" if kind is list else "value": value}


def _formatted(fields: Mapping[str, Any]) -> Any:
    args = fields["args"]
    if type(args) is not tuple or not _SCALARS.issuperset(map(type, args)):
        raise _UnusualError
    return fields["msg"] % args


def _added(
    described: Dict[str, Any],
    of_handler: Optional[Mapping[str, Any]],
    context: Optional[Mapping[str, Any]],
    of_record: Optional[Mapping[str, Any]],
) -> List[Any]:
    """Add to the metadata what else there is, and return it; the last one wins."""
    added: List[Any] = []
    if of_handler:
        if not _SCALARS.issuperset(map(type, of_handler.values())):
            raise _UnusualError
        added.append(of_handler)
    if context:
        bound = context.get("metadata")
        if bound is not None:
            added.append(bound)
        owners = {name: context.get(name) for name in OWNERS}
        added.append({k: owner for k, owner in owners.items() if owner is not None})
        if not _TEXTS.issuperset(map(type, added[-1].values())):
            raise _UnusualError
    if of_record:
        added.append(of_record)
    for source in added:
        # In this order: a key of the application's may do anything when looked up.
        if type(source) not in _DICTS or not _TEXTS.issuperset(map(type, source)):
            raise _UnusualError
        if not _NOT_OTHERS.isdisjoint(source):
            raise _UnusualError
        described.update(source)
    return added


def _look_through(
    event: PlainEvent,
    nodes: List[Any],
    texts: List[str],
    names: AbstractSet[str],
    max_chars: int,
) -> None:
    """Note what *event* holds; raise unless all of it is plain JSON data.

    Those are *nodes*, which are in its metadata, its input and its output; *texts* and
    *names* are known already.
    """
    taken, given = event["input_data"], event["output_data"]
    if taken is not None:
        nodes.append(taken)
    if given is not None:
        nodes.append(given)
    event.is_packed = False
    if nodes:
        names = set(names)
        _look_into(event, nodes, texts, names)
        if not are_good(names):
            raise _UnusualError
    event.texts, event.names, event.size = texts, names, _sound_size(texts)
    if event.size > max_chars:
        raise _UnusualError


def _look_into(
    event: PlainEvent, nodes: List[Any], texts: List[str], names: Set[str]
) -> None:
    items: Sequence[Any]
    values = 0
    for node in nodes:
        kind = type(node)
        if kind is tuple:
            keys, items = keys_and_values(node)
            event.is_packed = True
            names.update(keys)
            texts += items
        else:
            if kind is list:
                items = node
            else:
                names.update(node)
                items = list(node.values())
            if _TEXTS.issuperset(map(type, items)):
                texts += items
            elif kind is not list or not _take_history(node, texts, names):
                nodes += _containers_in(items, texts)
        values += len(items)
        if values > _MAX_VALUES:
            raise _UnusualError


def _containers_in(items: Iterable[Any], texts: List[str]) -> List[Any]:
    """Note the texts among *items*, and return what has to be looked into."""
    containers: List[Any] = []
    for item in items:
        kind = type(item)
        if kind is str:
            texts.append(item)
        elif kind is dict or kind is list:
            containers.append(item)
        elif kind not in _SINGLE and not _is_plain_number(item):
            if not is_packed(item):
                raise _UnusualError
            containers.append(item)
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


def _sound_size(texts: List[str]) -> int:
    """Return the characters of *texts*, of which none has to be mended."""
    text = "".join(texts)
    if not text.isascii():
        text.encode()  # or else there is half a surrogate pair in it
    return len(text)
