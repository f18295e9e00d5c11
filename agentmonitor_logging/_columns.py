"""The JSON of many events at once, column by column.

A program logs in few places, so the records that came in together are mostly alike but
for some of their values. What is the same in all is looked through and encoded once,
and the rest goes through each step as a whole column, at a third of what it costs one
by one.

Only what is plain and flat goes this way: texts, numbers and JSON's words, by name. In
any doubt there is no body, and `_shortcut` or the careful way is taken. What comes out
is what those would make; a test holds them against each other.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from itertools import chain, repeat
from operator import mod
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Set,
    Tuple,
    Union,
)

from ._capsule import REST, STAMP, STEP, Capsule, likeness_of
from ._echo import ACCEPTED_BY
from ._encoding import encode_text
from ._ids import long_id
from ._plain import BASE, MESSAGE, REPLACEABLE, Form, as_key
from ._shapes import Shape, are_good, shape_of
from ._shortcut import (
    INNER,
    MAX_CHARS,
    OUTERMOST,
    Options,
    UnusualError,
    added_to,
    agent_of,
    are_plain_numbers,
    cost_of,
    latency_of,
    others_of,
)
from ._snapshot import EVENT_ID, Snapshot, give_name
from ._wire import STATUS, is_id, utc

FEWEST = 8
"""How many events are alike at least: with fewer, more is found out than is saved."""

Kinds = FrozenSet[Any]

_TEXT: Kinds = frozenset((str,))
_NUMBERS: Kinds = frozenset((int, float))
_WORD: Kinds = frozenset((bool, type(None)))
_NONE: Kinds = frozenset((type(None),))
_SCALARS = _TEXT | _NUMBERS | _WORD
_TUPLE: Kinds = frozenset((tuple,))
_ARGS = _TUPLE | _NONE
_DICTS: Kinds = frozenset((dict, Snapshot))
_FLAT = _SCALARS | _DICTS | _TUPLE
_WORDS: Mapping[Any, str] = {None: "null", True: "true", False: "false"}
_PAYLOADS = ("input_data", "output_data")
_BASE = len(BASE)
_NOTHING = (None,)

_values_of: Any = dict.values

Column = Sequence[Any]


class Texts(NamedTuple):
    """Texts in which a secret may be: a column, or one that is the same in all."""

    column: Sequence[str]


Part = Union[str, List[str], Texts]
"""A piece of JSON that is the same in all events, or one for each, or their texts."""


class SupportsReplacements(Protocol):
    """What is needed of a redactor."""

    def replacements(
        self, names: AbstractSet[str], texts: AbstractSet[str]
    ) -> Optional[Mapping[str, str]]:
        """Return what stands for texts with a secret; None if *names* need care."""


def bodies_of(
    queued: Sequence[Any], options: Options, redactor: SupportsReplacements
) -> List[Optional[bytes]]:
    """Return the redacted JSON of each event, and None for those that need more care.

    *queued* are what queue handlers of ours put in: calls, and attributes of records.
    """
    bodies: List[Optional[bytes]] = [None] * len(queued)

    def take(places: Sequence[int]) -> bool:
        made = _bodies([queued[place] for place in places], options, redactor)
        for place, body in zip(places, made):
            bodies[place] = body
        return bool(made)

    for places in _grouped(queued, range(len(queued)), _names_of):
        if _may_be_flat(queued[places[0]]) and not take(places):
            # Perhaps a few of them are of other kinds than the rest.
            for some in _grouped(queued, places, _kinds_of):
                if len(some) < len(places):
                    take(some)
    return bodies


def _grouped(
    queued: Sequence[Any], places: Iterable[int], key_of: Callable[[Any], Any]
) -> List[List[int]]:
    """Return *places* by what is alike there, where it is enough."""
    groups: Dict[Any, List[int]] = defaultdict(list)
    try:
        for place in places:
            groups[key_of(queued[place])].append(place)
    except Exception:  # a key of the application's may do anything when looked up
        return []
    return [alike for alike in groups.values() if len(alike) >= FEWEST]


def _names_of(one: Any) -> Any:
    kind = type(one)
    if kind is dict:
        return tuple(one)
    return likeness_of(one) if kind is tuple else kind


def _kinds_of(one: Any) -> Any:
    if type(one) is dict:
        return tuple(map(type, one.values()))
    _, given, output, _ = one[REST]
    values = given.values() if isinstance(given, dict) else given
    return (type(given), type(output), *map(type, values))


def _may_be_flat(one: Any) -> bool:
    """Tell at a glance whether it is worth it: there is no chat history, for one."""
    try:
        if type(one) is dict:
            return _FLAT.issuperset(map(type, one.values()))
        _, _, *values = _kinds_of(one)
        return _SCALARS.issuperset(values)
    except Exception:  # a class of the application's may do anything, too
        return False


def _bodies(
    rows: Sequence[Any], options: Options, redactor: SupportsReplacements
) -> List[bytes]:
    """Return the JSON of events that are alike; nothing if any needs more care."""
    try:
        read = _read_calls if type(rows[0]) is tuple else _read_records
        parts, names = _parts_of(read(rows, options))
        instead: Optional[Mapping[str, str]] = None
        if are_good(names):
            texts = (part.column for part in parts if isinstance(part, Texts))
            instead = redactor.replacements(names, set(chain.from_iterable(texts)))
        if instead is None:
            return []
        bodies = [line.encode() for line in _lines(parts, instead)]
    except Exception:  # not what is expected here
        return []
    fitting = max(map(len, bodies)) <= min(options.max_bytes, MAX_CHARS)
    return bodies if fitting else []


class _Alike(NamedTuple):
    """Events of one form. What is the same in all of them is a column of one."""

    form: Form
    payloads: Sequence[_Named]
    event_types: Column
    began: Column
    values: Sequence[Column]
    """Those in the metadata that the form has keys for."""
    latencies: Column
    costs: Column
    agent_id: str
    added: Optional[Mapping[str, Any]]
    """What else is in the metadata."""


class _Named(NamedTuple):
    """Input or output, of flat values by name."""

    names: Sequence[str]
    parts: Sequence[Part]


def _parts_of(alike: _Alike) -> Tuple[List[Part], Set[str]]:
    """Return the JSON of events in parts, and all the names in it."""
    form, added = alike.form, alike.added or {}
    metadata: List[Sequence[Part]] = [
        [_ids(column) if place in form.ids else _part(column)]
        for place, column in enumerate(alike.values)
    ]
    # What is further metadata brings its comma itself.
    further = [(f",{as_key(name)}", _part((added[name],))) for name in added]
    values: Sequence[Sequence[Part]] = (
        (Texts((alike.agent_id,)),),
        (_part(alike.event_types),),
        _moments(alike.began),
        *(payload.parts for payload in alike.payloads),
        *metadata[:_BASE],
        tuple(chain.from_iterable(further)),
        *metadata[_BASE:],
        (_number_or_null(alike.costs),),
        (_number_or_null(alike.latencies),),
    )
    *before, last = form.pieces[::2]
    parts: List[Part] = []
    for piece, value in zip(before, values):
        parts.append(piece)
        parts += value
    parts.append(last)
    names = {*form.names, *added}
    return parts, names.union(*(payload.names for payload in alike.payloads))


def _lines(parts: Iterable[Part], instead: Mapping[str, str]) -> List[str]:
    """Return each event's JSON, with the values of *instead* for its keys."""
    pattern: List[str] = []
    columns: List[List[str]] = []
    for part in parts:
        piece = _encoded(part.column, instead) if isinstance(part, Texts) else part
        if isinstance(piece, str):
            pattern.append(piece.replace("%", "%%"))
        else:
            pattern.append("%s")
            columns.append(piece)
    return list(map(mod, repeat("".join(pattern)), zip(*columns)))


def _encoded(
    column: Sequence[str], instead: Mapping[str, str]
) -> Union[str, List[str]]:
    if instead:
        column = [instead.get(text, text) for text in column]
    if len(column) == 1:
        return encode_text(column[0])
    return list(map(encode_text, column))


# -- columns -------------------------------------------------------------------------


def _check(kinds: Kinds, columns: Iterable[Iterable[Any]]) -> None:
    if not kinds.issuperset(map(type, chain.from_iterable(columns))):
        raise UnusualError


def _are_same(column: Column) -> bool:
    """Tell whether all are equal; they must be known to be of plain classes."""
    return column.count(column[0]) == len(column)


def _texts(column: Column) -> Texts:
    return Texts(column[:1] if _are_same(column) else column)


def _number_part(column: Column) -> Part:
    first = column[0]
    if len(column) == 1:
        return repr(first)
    # Zeros may differ in their sign, and equal numbers in their class.
    if first and _are_same(column) and len(set(map(type, column))) == 1:
        return repr(first)
    return list(map(repr, column))


def _part(column: Column) -> Part:
    """Return the part for values of a kind that no form has told of."""
    kind = type(column[0])
    if kind is str:
        _check(_TEXT, (column,))
        return _texts(column)
    if kind in _NUMBERS:
        _check(_NUMBERS, (column,))
        if not are_plain_numbers(column):
            raise UnusualError
        return _number_part(column)
    _check(_WORD, (column,))
    return _words(column)


def _words(column: Column) -> Part:
    if len(set(column)) == 1:
        return _WORDS[column[0]]
    return [_WORDS[word] for word in column]


def _moments(column: Sequence[float]) -> Sequence[Part]:
    """Return times; nearly always all are of the same second."""
    second = int(column[0])
    micros = [round((moment - second) * 1_000_000) for moment in column]
    if min(micros) >= 0 and max(micros) < 1_000_000:
        start = utc(float(second))
        if start is None:
            raise UnusualError
        return start[:20], [f"{micro:06}" for micro in micros], "Z"
    moments = list(map(utc, column))
    if None in moments:
        raise UnusualError
    return (moments,)  # type: ignore[return-value]


def _ids(column: Column) -> List[str]:
    return list(map(encode_text, column))


def _number_or_null(column: Column) -> Part:
    return "null" if column[0] is None else list(map(repr, column))


# -- calls ---------------------------------------------------------------------------


def _read_calls(rows: Sequence[Capsule], options: Options) -> _Alike:
    columns: List[Any] = list(zip(*rows))
    ((common, _), *_), levels, *_ = columns[STAMP]
    began, latencies, traces, spans, parents, contexts = columns[STEP]
    told, given, outputs, accepted_by = columns[REST]
    called, event_type, metadata, names = told[0]
    _check_for(accepted_by, options)
    if not options.least <= common["levelno"] < logging.ERROR:
        raise UnusualError
    payloads = _given(given, names), _payload(outputs)
    _check(_NUMBERS, (latencies,))
    messages = [common["msg"] % (called, latency) for latency in latencies]
    ids = [long_id() for _ in rows]
    values = [ids, (common["name"],), levels, messages, (common["funcName"],)]
    values += [(common["module"],), traces, spans]
    form = OUTERMOST
    if parents[0] is not None:
        form = INNER
        values.append(parents)
    context = _same_context(contexts)
    others = others_of(options.metadata, context, metadata)
    return _Alike(
        *(form, payloads, (event_type.strip() or "log",), began, values),
        latencies=list(map(latency_of, latencies)),
        costs=_NOTHING,
        agent_id=agent_of(context, options.agent_id),
        added=_added(form, values, REPLACEABLE, others),
    )


def _given(given: Column, names: Sequence[str]) -> _Named:
    """Return the input of calls: dicts, or the values of the first parameters."""
    if not _TUPLE.issuperset(map(type, given)):
        return _flat(given)
    if len(set(map(len, given))) != 1:
        raise UnusualError
    return _named(names[: len(given[0])], zip(*given))


# -- records -------------------------------------------------------------------------


def _read_records(rows: Sequence[Dict[str, Any]], options: Options) -> _Alike:
    columns: Dict[str, Column] = dict(zip(rows[0], zip(*map(_values_of, rows))))
    _check_for(columns[ACCEPTED_BY], options)
    shape = shape_of(_name(columns, rows[0]))
    if shape is None:
        raise UnusualError
    _check_unseen(columns, shape, options.least)
    payloads = [_payload(columns.get(name, _NOTHING)) for name in _PAYLOADS]
    values: List[Column] = [columns[name] for name in shape.sources]
    values[MESSAGE] = _messages(columns["msg"], columns["args"])
    latencies = list(map(latency_of, columns.get("latency_ms", _NOTHING)))
    event_types = columns.get("event_type", ("log",))
    context = _same_context(columns.get("_agent_context", _NOTHING))
    others = others_of(options.metadata, context, None)
    return _Alike(
        shape.form,
        payloads,
        [event_type.strip() or "log" for event_type in event_types],
        _began(columns, latencies),
        *(values, latencies),
        costs=list(map(cost_of, columns.get("cost_usd", _NOTHING))),
        agent_id=agent_of(context, options.agent_id),
        added=_added(shape.form, values, shape.replaceable, others),
    )


def _name(columns: Dict[str, Column], first: Mapping[str, Any]) -> Dict[str, Any]:
    """Add the names of the records, and return the first of them with its name."""
    sample = {**first}
    give_name(sample, sample.get(EVENT_ID) or long_id())
    if EVENT_ID not in first:
        columns[EVENT_ID] = [long_id() for _ in columns["name"]]
    if "span_id" in first and first["span_id"] is None:
        _check(_NONE, (columns["span_id"],))
        columns["span_id"] = [event_id[:16] for event_id in columns[EVENT_ID]]
    return sample


def _check_unseen(columns: Mapping[str, Column], shape: Shape, least: int) -> None:
    """Raise unless all records are as unremarkable as the first one.

    What becomes part of the JSON is checked where it does.
    """
    for name in shape.judged:
        kind = type(columns[name][0])
        alike = _NUMBERS if kind in _NUMBERS else frozenset((kind,))
        _check(alike, (columns[name],))
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
    _check(_ARGS, (args,))
    if not any(args):
        return messages
    _check(_TEXT, (messages,))
    _check(_SCALARS, filter(None, args))
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


def _same_context(contexts: Column) -> Optional[Mapping[str, Any]]:
    """Return what was bound, if the same texts were bound everywhere."""
    first: Optional[Mapping[str, Any]] = contexts[0]
    if first is None:
        _check(_NONE, (contexts,))
        return None
    if not _DICTS.issuperset(map(type, contexts)):
        raise UnusualError
    _check(_TEXT, contexts)
    _check(_TEXT, map(_values_of, contexts))
    if not _are_same(contexts):
        raise UnusualError
    return first


def _added(
    form: Form,
    values: List[Column],
    replaceable: Sequence[Tuple[str, Optional[int]]],
    others: List[Mapping[str, Any]],
) -> Optional[Dict[str, Any]]:
    """Return further metadata of all; some of it takes a place among *values*."""
    firsts = [column[0] for column in values]
    added = added_to(firsts, replaceable, others)
    for _, place in replaceable:
        if place is not None and firsts[place] is not values[place][0]:
            values[place] = (firsts[place],)
    if added and not form.names.isdisjoint(added):
        raise UnusualError
    return added


def _payload(column: Column) -> _Named:
    """Return what has the shape of the wire, or is put into it."""
    kinds = set(map(type, column))
    if _NONE.issuperset(kinds):
        return _Named((), ("null",))
    if _DICTS.issuperset(kinds):
        return _flat(column)
    if not _NONE.isdisjoint(kinds):
        raise UnusualError
    return _named(("value",), (column,))


def _flat(column: Column) -> _Named:
    if not _DICTS.issuperset(map(type, column)):
        raise UnusualError
    _check(_TEXT, column)
    if len(set(map(tuple, column))) != 1:
        raise UnusualError
    return _named(tuple(column[0]), zip(*map(_values_of, column)))


def _named(names: Sequence[str], columns: Iterable[Column]) -> _Named:
    parts: List[Part] = []
    before = "{"
    for name, column in zip(names, columns):
        parts += (before + as_key(name), _part(column))
        before = ","
    return _Named(names, [*parts, "}" if parts else "{}"])
