"""The short way from a record to its event, where nothing about it is unusual.

`events` reads a record with every care, as each value may be of any kind. Nearly all
are texts and numbers, so here the values are picked out at once and then looked
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
    Any,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from ._capsule import REST, STAMP, STEP, Capsule, by_name, counted_by, level_of
from ._echo import ACCEPTED_BY
from ._ids import long_id
from ._packing import is_packed, parts_of
from ._plain import BASE_KINDS, ID, MESSAGE, REPLACEABLE, Form, PlainEvent
from ._shapes import Shape, are_good, shape_of
from ._snapshot import EVENT_ID, MAX_DEPTH, Snapshot, give_name
from ._spotting import is_pair
from ._wire import MAX_LATENCY, OWNERS, RESERVED, TRACE_IDS, is_id, utc

MAX_CHARS = 65_536
"""Characters of an event that goes this way: no text needs to be cut."""

MAX_VALUES = 5_000
"""Values of one, at any depth: none needs to be left out."""

_MAX_LEVELS = MAX_DEPTH + 2
"""Levels of containers in one another: more are only in what is no copy of ours."""

_HISTORY = 4
"""From how many messages on a chat history is looked through in one go."""

_LARGEST = 2**63
DICTS: FrozenSet[Any] = frozenset((dict, Snapshot))
_PLAIN_DICTS = frozenset((dict,))
TEXTS = frozenset((str,))
SCALARS = frozenset((str, int, float, bool, type(None)))
_SINGLE = frozenset((bool, type(None)))
_NOT_OTHERS = RESERVED.union(TRACE_IDS)

_IDS_OF_CALL = {"trace_id": ID, "span_id": ID}
_BARE = Form(BASE_KINDS)
_BASE = len(BASE_KINDS)
OUTERMOST = Form({**BASE_KINDS, **_IDS_OF_CALL})
INNER = Form({**BASE_KINDS, **_IDS_OF_CALL, "parent_span_id": ID})
"""The forms of a decorated call's event."""

_GET_MESSAGE = logging.LogRecord.getMessage
_IS_AS_WRITTEN = (
    getattr(getattr(_GET_MESSAGE, "__code__", None), "co_filename", None)
    == logging.getLevelName.__code__.co_filename
)
"""Whether nobody had patched it before we came."""


class Options(NamedTuple):
    """What a handler says of its events, and which of all are its own.

    Those that the ledger with the id *ledger* counts, after as many *forks*, from the
    level *least* on.
    """

    agent_id: str
    metadata: Optional[Mapping[str, Any]]
    max_bytes: int
    ledger: int
    forks: int
    least: int

    def accepts(self, accepted_by: Tuple[int, ...]) -> bool:
        """Tell whether the handler has accepted it, and in this process."""
        return accepted_by[0] == self.forks and self.ledger in accepted_by


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


def plain_event_of(queued: Any, options: Options) -> Optional[PlainEvent]:
    """Return the event of what a queue handler of ours queued, if it is a plain one.

    And if it is one for the handler whose *options* they are.
    """
    kind = type(queued)
    try:
        if kind is tuple:
            accepted_by, level = counted_by(queued), level_of(queued)
        elif kind is dict:
            accepted_by, level = queued[ACCEPTED_BY], queued["levelno"]
        else:
            return None
        if level < options.least or not options.accepts(accepted_by):
            return None
        if kind is tuple:
            return call_event(queued, long_id(), *options[:3])
        give_name(queued, queued.get(EVENT_ID) or long_id())
        return plain_event(queued, *options[:3])
    except BaseException:  # something is missing, or would end a thread that is ours
        return None


class UnusualError(Exception):
    """Say that a record is for the careful way."""


def _event(
    fields: Mapping[str, Any],
    shape: Shape,
    agent_id: str,
    of_handler: Optional[Mapping[str, Any]],
    max_chars: int,
) -> PlainEvent:
    form, values = shape.form, [*shape.values_of(fields)]
    if fields["args"]:
        values[MESSAGE] = _formatted(fields)
    added = None
    if of_handler or shape.is_described:
        context = fields.get("_agent_context")
        agent_id = agent_of(context, agent_id)
        others = others_of(of_handler, context, fields.get("metadata"))
        added = added_to(values, shape.replaceable, others)
        if added and not form.names.isdisjoint(added):
            # What the record says wins, but stands where the other would.
            added.update(zip(form.keys[_BASE:], values[_BASE:]))
            form, values = _BARE, values[:_BASE]
    event_type, latency = "log", None
    if shape.has_fields:
        event_type = fields.get("event_type", "log").strip() or "log"
        latency = latency_of(fields.get("latency_ms"))
    began = fields.get("timestamp")
    if began is None:
        began = fields["created"] - (latency or 0) / 1000
    texts = [agent_id, event_type, *form.texts_of(values)]
    event = PlainEvent(form, texts, values, _moment(began))
    numbers = form.numbers_of(values)
    if numbers and not are_plain_numbers(numbers):
        raise UnusualError
    for name, length in shape.trace_ids:
        if not is_id(fields[name], length):
            raise UnusualError
    event.added = added
    if shape.has_fields:
        event.latency_ms, event.cost_usd = latency, cost_of(fields.get("cost_usd"))
        event.input_data = _payload(fields.get("input_data"))
        event.output_data = _payload(fields.get("output_data"))
    _look_through(event, max_chars)
    return event


def _event_of_call(
    capsule: Capsule,
    event_id: str,
    agent_id: str,
    of_handler: Optional[Mapping[str, Any]],
    max_chars: int,
) -> PlainEvent:
    (common, _), level, *_ = capsule[STAMP]
    began, latency, trace_id, span_id, parent_id, context = capsule[STEP]
    (called, event_type, metadata, names), given, output, _ = capsule[REST]
    if common["levelno"] >= logging.ERROR:
        raise UnusualError
    message = common["msg"] % (called, latency)
    values = [event_id, common["name"], level, message]
    # The ids are ours, or OpenTelemetry's.
    values += common["funcName"], common["module"], trace_id, span_id
    form = OUTERMOST
    if parent_id is not None:
        form = INNER
        values.append(parent_id)
    added = added_to(values, REPLACEABLE, others_of(of_handler, context, metadata))
    agent_id = agent_of(context, agent_id)
    texts = [agent_id, event_type.strip() or "log", *form.texts_of(values)]
    if not TEXTS.issuperset(map(type, texts)):
        raise UnusualError
    event = PlainEvent(form, texts, values, _moment(began))
    event.added = added
    event.latency_ms = latency_of(latency)
    event.input_data, event.output_data = by_name(given, names), _payload(output)
    _look_through(event, max_chars)
    return event


def _moment(seconds: float) -> str:
    moment = utc(seconds)
    if moment is None:
        raise UnusualError
    return moment


def latency_of(given: Optional[float]) -> Optional[int]:
    """Return milliseconds as the wire has them."""
    if given is None:
        return None
    if not 0 <= given < MAX_LATENCY:  # a clock of the application's own, perhaps
        raise UnusualError
    return round(given)


def cost_of(given: Optional[float]) -> Optional[float]:
    """Return dollars as the wire has them."""
    if given is None:
        return None
    if not -_LARGEST <= given < _LARGEST:
        raise UnusualError
    return float(given)


def agent_of(context: Optional[Mapping[str, Any]], agent_id: str) -> str:
    """Return the agent that is bound, else *agent_id*, the handler's."""
    bound = context.get("agent_id") if context else None
    if bound is None:
        return agent_id
    if type(bound) is not str:
        raise UnusualError
    return bound.strip() or agent_id


def _payload(value: Any) -> Any:
    kind = type(value)
    if kind is dict or value is None:
        return value
    if kind is Snapshot:
        return dict(value)
    if kind is list:
        return {"items": value}
    return {"items": list(value)} if kind is tuple else {"value": value}


def _formatted(fields: Mapping[str, Any]) -> Any:
    args = fields["args"]
    if type(args) is not tuple or not SCALARS.issuperset(map(type, args)):
        raise UnusualError
    return fields["msg"] % args


def others_of(
    of_handler: Optional[Mapping[str, Any]],
    context: Optional[Mapping[str, Any]],
    of_record: Optional[Mapping[str, Any]],
) -> List[Mapping[str, Any]]:
    """Return what else there is for the metadata, of which the last one wins."""
    others: List[Any] = []
    if of_handler:
        if not SCALARS.issuperset(map(type, of_handler.values())):
            raise UnusualError
        others.append(of_handler)
    if context:
        bound = context.get("metadata")
        if bound is not None:
            others.append(bound)
        owners = {name: context.get(name) for name in OWNERS}
        others.append({k: owner for k, owner in owners.items() if owner is not None})
        if not TEXTS.issuperset(map(type, others[-1].values())):
            raise UnusualError
    if of_record:
        others.append(of_record)
    return others


def added_to(
    values: List[Any],
    replaceable: Sequence[Tuple[str, Optional[int]]],
    others: List[Mapping[str, Any]],
) -> Optional[Dict[str, Any]]:
    """Return *others* in one; what stands for one of *values* takes its place there."""
    added: Dict[str, Any] = {}
    for source in others:
        # In this order: a key of the application's may do anything when looked up.
        if type(source) not in DICTS or not TEXTS.issuperset(map(type, source)):
            raise UnusualError
        added.update(source)
    for name, place in replaceable:
        if name in added:
            text = added.pop(name)
            if type(text) is not str:
                raise UnusualError
            if place is not None:
                values[place] = text
    if not _NOT_OTHERS.isdisjoint(added):
        raise UnusualError
    return added or None


def _look_through(event: PlainEvent, max_chars: int) -> None:
    """Note what *event* holds; raise unless all of it is plain JSON data.

    The texts and numbers among its values are known already.
    """
    texts = event.texts
    wholes = event.added, event.input_data, event.output_data
    nodes = [whole for whole in wholes if whole is not None]
    nodes += event.form.containers_of(event.values)
    if nodes:
        keys, _, event.is_packed = look_into(nodes, texts)
        event.names = names = frozenset(keys)
        if not are_good(names):
            raise UnusualError
    event.size = size = _sound_size(texts)
    if size > max_chars:
        raise UnusualError


def look_into(
    nodes: List[Any], texts: List[str], levels: int = 0
) -> Tuple[List[str], int, bool]:
    """Note the texts in *nodes*, level by level, of which *levels* are above them.

    Return the keys, which are texts, the number of values, and whether any is packed.
    """
    found: List[Any] = []
    items: Sequence[Any]
    values, has_packed = 0, False
    while nodes:
        deeper: List[Any] = []
        for node in nodes:
            kind = type(node)
            if kind is tuple:
                items, keys, _ = parts_of(node)
                has_packed = True
                found += keys
            elif kind is list:
                if node and is_pair(node[0]):
                    raise UnusualError  # a text may be the name of another
                items = node
                taken = _take_history(node, texts, found)
                if taken:
                    values += len(node) + taken
                    continue
            else:
                found += node
                items = list(node.values())
            if TEXTS.issuperset(map(type, items)):
                texts += items
            else:
                deeper += _containers_in(items, texts)
            values += len(items)
        levels += 1
        if values > MAX_VALUES or levels > _MAX_LEVELS:
            raise UnusualError
        nodes = deeper
    # Before anybody looks one up: a key of the application's may do anything then, and
    # pass for any other.
    if not TEXTS.issuperset(map(type, found)):
        raise UnusualError
    return found, values, has_packed


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
                raise UnusualError
            containers.append(item)
    return containers


def _take_history(node: List[Any], texts: List[str], found: List[Any]) -> int:
    """Note what a chat history of texts alone holds; return how much, or 0."""
    if len(node) < _HISTORY or not _PLAIN_DICTS.issuperset(map(type, node)):
        return 0
    values = list(chain.from_iterable(map(dict.values, node)))
    if len(values) > MAX_VALUES or not TEXTS.issuperset(map(type, values)):
        return 0
    found += chain.from_iterable(node)
    texts += values
    return len(values)


def are_plain_numbers(values: Sequence[float]) -> bool:
    """Tell whether all are plain, at the cost of one as nearly all are moderate."""
    return sum(map(abs, values)) < _LARGEST or all(map(_is_plain_number, values))


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
