"""What records or calls that are alike say, column by column.

They have the same names, and come from one place or from many. Nothing is JSON yet, and
what is said of kinds here holds for all rows: whatever is not checked here is checked
where it becomes JSON, see `_columns`.
"""

from __future__ import annotations

import logging
from itertools import chain, repeat
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

from ._capsule import REST, STAMP, STEP, Capsule
from ._echo import ACCEPTED_BY
from ._ids import long_id
from ._plain import MESSAGE, REPLACEABLE, Form
from ._shapes import Shape, shape_of
from ._shortcut import (
    DICTS,
    INNER,
    OUTERMOST,
    SCALARS,
    TEXTS,
    Options,
    UnusualError,
    added_to,
    agent_of,
    cost_of,
    latency_of,
    others_of,
)
from ._snapshot import EVENT_ID, give_name
from ._wire import OWNERS, STATUS, is_id

Kinds = FrozenSet[Any]
Column = Sequence[Any]

NUMBERS: Kinds = frozenset((int, float))
WORDS: Kinds = frozenset((bool, type(None)))
_NONE: Kinds = frozenset((type(None),))
_TUPLE: Kinds = frozenset((tuple,))
_SINGLE = SCALARS - _NONE
_ARGS = _TUPLE | _NONE
LISTS: Kinds = frozenset((list,))
PLAIN = SCALARS | DICTS | LISTS | _TUPLE
"""Kinds of what may be plain JSON data, or packed."""
_PAYLOADS = ("input_data", "output_data")
_NOTHING = (None,)
_values_of: Any = dict.values


class Payload(NamedTuple):
    """Input or output: columns of values by name, or one that holds all of each."""

    names: Optional[Sequence[str]]
    columns: Sequence[Column]


class Alike(NamedTuple):
    """Events of one form. What is the same in all of them is a column of one."""

    form: Form
    agents: Column
    event_types: Column
    began: Column
    payloads: Sequence[Optional[Payload]]
    """Input and output."""
    values: Sequence[Column]
    """Those in the metadata that the form has keys for."""
    added: Mapping[str, Column]
    """What else is in the metadata."""
    costs: Column
    latencies: Column


def check(kinds: Kinds, *columns: Iterable[Any]) -> None:
    """Raise unless all in *columns* are of one of the *kinds*."""
    if not kinds.issuperset(map(type, chain.from_iterable(columns))):
        raise UnusualError


# -- calls ---------------------------------------------------------------------------


def of_calls(rows: Sequence[Capsule], options: Options) -> Alike:
    """Return what calls of one function say, all outermost or all inner ones."""
    columns: List[Any] = list(zip(*rows))
    ((common, _), *_), levels, *_ = columns[STAMP]
    began, latencies, traces, spans, parents, contexts = columns[STEP]
    told, given, outputs, accepted_by = columns[REST]
    called, event_type, metadata, names = told[0]
    _check_for(accepted_by, options)
    if not options.least <= common["levelno"] < logging.ERROR:
        raise UnusualError
    check(NUMBERS, latencies)
    messages = [common["msg"] % (called, latency) for latency in latencies]
    ids = [long_id() for _ in rows]
    values: List[Column] = [ids, (common["name"],), levels, messages]
    values += [(common["funcName"],), (common["module"],), traces, spans]
    form = OUTERMOST
    if parents[0] is not None:
        form = INNER
        values.append(parents)
    agents, added = _described(
        *(form, values, REPLACEABLE, options), contexts=contexts, metadata=metadata
    )
    return Alike(
        *(form, agents, _event_types((event_type,)), began),
        payloads=(_given(given, names), _payload(outputs)),
        values=values,
        added=added,
        costs=_NOTHING,
        latencies=list(map(latency_of, latencies)),
    )


def _given(given: Column, names: Sequence[str]) -> Payload:
    """Return the input of calls: dicts, or the values of the first parameters."""
    if not _TUPLE.issuperset(map(type, given)):
        return _by_name(given)
    if len(set(map(len, given))) != 1:
        raise UnusualError
    return Payload(names[: len(given[0])], list(zip(*given)))


# -- records -------------------------------------------------------------------------


def of_records(rows: Sequence[Dict[str, Any]], options: Options) -> Alike:
    """Return what records with the same attributes say."""
    columns: Dict[str, Column] = dict(zip(rows[0], zip(*map(_values_of, rows))))
    _check_for(columns[ACCEPTED_BY], options)
    shape = shape_of(_name(columns, rows[0]))
    if shape is None:
        raise UnusualError
    _check_unseen(columns, shape, options.least)
    values: List[Column] = [columns[name] for name in shape.sources]
    values[MESSAGE] = _messages(columns["msg"], columns["args"])
    latencies = list(map(latency_of, columns.get("latency_ms", _NOTHING)))
    agents, added = _described(
        *(shape.form, values, shape.replaceable, options),
        contexts=columns.get("_agent_context", _NOTHING),
        metadata=None,
    )
    return Alike(
        shape.form,
        agents,
        _event_types(columns.get("event_type", ("log",))),
        _began(columns, latencies),
        payloads=[_payload(columns.get(name, _NOTHING)) for name in _PAYLOADS],
        values=values,
        added=added,
        costs=list(map(cost_of, columns.get("cost_usd", _NOTHING))),
        latencies=latencies,
    )


def _name(columns: Dict[str, Column], first: Mapping[str, Any]) -> Dict[str, Any]:
    """Add the names of the records, and return the first of them with its name."""
    sample = {**first}
    give_name(sample, sample.get(EVENT_ID) or long_id())
    if EVENT_ID not in first:
        columns[EVENT_ID] = [long_id() for _ in columns["name"]]
    if "span_id" in first and first["span_id"] is None:
        check(_NONE, columns["span_id"])
        columns["span_id"] = [event_id[:16] for event_id in columns[EVENT_ID]]
    return sample


def _check_unseen(columns: Mapping[str, Column], shape: Shape, least: int) -> None:
    """Raise unless all records are as unremarkable as the first one.

    What becomes part of the JSON is checked where it does.
    """
    for name in shape.judged:
        kind = type(columns[name][0])
        check(NUMBERS if kind in NUMBERS else frozenset((kind,)), columns[name])
    levels = columns["levelno"]
    if not least <= min(levels) <= max(levels) < logging.ERROR:
        raise UnusualError
    if "metadata" in columns:
        raise UnusualError
    if any(STATUS.get(text) != "success" for text in set(columns.get("status", ()))):
        raise UnusualError
    for name, length in shape.trace_ids:
        if not all(map(is_id, columns[name], repeat(length))):
            raise UnusualError


def _messages(messages: Column, args: Column) -> Column:
    check(_ARGS, args)
    if not any(args):
        return messages
    check(TEXTS, messages)
    check(SCALARS, *filter(None, args))
    return [text % given if given else text for text, given in zip(messages, args)]


def _began(columns: Mapping[str, Column], latencies: Column) -> Column:
    began = columns.get("timestamp", _NOTHING)
    if began[0] is not None:
        return began
    created = columns["created"]
    if latencies[0] is None:
        return created
    return [end - taken / 1000 for end, taken in zip(created, latencies)]


# -- both ----------------------------------------------------------------------------


def _check_for(accepted_by: Column, options: Options) -> None:
    """Raise unless all are for the handler."""
    if not all(map(options.accepts, set(accepted_by))):
        raise UnusualError


def _event_types(column: Column) -> Column:
    check(TEXTS, column)
    return [text.strip() or "log" for text in column]


def _described(
    form: Form,
    values: List[Column],
    replaceable: Sequence[Tuple[str, Optional[int]]],
    options: Options,
    *,
    contexts: Column,
    metadata: Optional[Mapping[str, Any]],
) -> Tuple[Column, Dict[str, Column]]:
    """Return agents and further metadata; some of that takes a place in *values*."""
    context: Optional[Mapping[str, Any]] = contexts[0]
    _check_contexts(contexts)
    agents: Column = (agent_of(context, options.agent_id),)
    others = others_of(options.metadata, context, metadata)
    firsts = [column[0] for column in values]
    further = added_to(firsts, replaceable, others) or {}
    added: Dict[str, Column] = {name: (value,) for name, value in further.items()}
    for name, place in replaceable:
        if place is not None and any(name in other for other in others):
            check(TEXTS, values[place])
            values[place] = (firsts[place],)
    if not form.names.isdisjoint(added):
        raise UnusualError
    if context:
        if "agent_id" in context:
            agents = [agent_of(bound, options.agent_id) for bound in contexts]
        for name in added.keys() & set(OWNERS).difference(metadata or ()):
            if name in context:
                added[name] = tuple(bound[name] for bound in contexts)
    return agents, added


def _check_contexts(contexts: Column) -> None:
    """Raise unless texts were bound under the same names everywhere, or nothing."""
    if contexts[0] is None:
        check(_NONE, contexts)
        return
    check(DICTS, contexts)
    check(TEXTS, *contexts)
    check(TEXTS, *map(_values_of, contexts))
    if len(set(map(tuple, contexts))) != 1:
        raise UnusualError


def _payload(column: Column) -> Optional[Payload]:
    """Return what has the shape of the wire, or is put into it."""
    kinds = set(map(type, column))
    if _NONE.issuperset(kinds):
        return None
    if DICTS.issuperset(kinds):
        return _by_name(column)
    if LISTS.issuperset(kinds):
        return Payload(("items",), (column,))
    if _TUPLE.issuperset(kinds):
        return Payload(("items",), (list(map(list, column)),))
    if not _SINGLE.issuperset(kinds):
        raise UnusualError
    return Payload(("value",), (column,))


def _by_name(column: Column) -> Payload:
    check(DICTS, column)
    check(TEXTS, *column)
    if len(set(map(tuple, column))) != 1:
        return Payload(None, (list(map(dict, column)),))
    return Payload(tuple(column[0]), list(zip(*map(_values_of, column))))
