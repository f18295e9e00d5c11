"""The JSON of many events at once, column by column.

A program logs in few places, so the records that came in together are mostly alike but
for some of their values. What is the same in all is looked through and encoded once,
and the rest goes through each step as a whole column, at a third of what it costs one
by one. What is nested is found and written row by row.

Only what is plain JSON data and short goes this way. In any doubt there is no body, and
`_shortcut` or the careful way is taken. What comes out is what those would make; a test
holds them against each other.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import repeat
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    Set,
    Union,
)

from ._alike import (
    NUMBERS,
    PLAIN,
    WORDS,
    Alike,
    Column,
    Payload,
    check,
    of_calls,
    of_records,
)
from ._capsule import REST, likeness_of
from ._encoding import AS_WORD, encode_text, encode_tree, text_encoder
from ._packing import is_packed
from ._plain import BASE, as_key, with_others
from ._shapes import are_good
from ._shortcut import (
    MAX_CHARS,
    MAX_VALUES,
    TEXTS,
    Options,
    UnusualError,
    are_plain_numbers,
    look_into,
)
from ._wire import utc, utc_in_parts

FEWEST = 8
"""How many events are alike at least: with fewer, more is found out than is saved."""

MOST_CHARS, MOST_VALUES = 1_048_576, 20_000
"""Characters of text in all events that go together, and nested values: with more of
them, who goes through them at once holds up the application, and nothing is saved."""

_BASE = len(BASE)
_CONTAINERS = frozenset((dict, list, tuple))


class Texts(NamedTuple):
    """Texts in which a secret may be: a column, or one that is the same in all."""

    column: Sequence[str]


class Trees(NamedTuple):
    """A column of what is nested, and what is in each."""

    column: Column
    texts: Sequence[List[str]]
    chars: List[int]
    have_packed: Sequence[bool]
    keys: AbstractSet[str]
    most: int
    """How many values one has at most."""


Part = Union[str, List[str], Texts, Trees]
"""A piece of JSON that is the same in all events, or one for each, or what else they
have there."""


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
        if _may_be_plain(queued[places[0]]) and not take(places):
            # Perhaps a few of them are of other kinds than the rest.
            for some in _grouped(queued, places, _kinds_of):
                if len(some) < len(places):
                    take(some)
    return bodies


# What is looked up may be of a class of the application's, and do anything then, even
# end the thread: as that is one of ours, all but that record goes on.


def _grouped(
    queued: Sequence[Any], places: Iterable[int], key_of: Callable[[Any], Any]
) -> List[List[int]]:
    """Return *places* by what is alike there, where it is enough."""
    groups: Dict[Any, List[int]] = defaultdict(list)
    try:
        for place in places:
            groups[key_of(queued[place])].append(place)
    except BaseException:  # see above
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


def _may_be_plain(one: Any) -> bool:
    """Tell at a glance whether it is worth it."""
    try:
        kinds = map(type, one.values()) if type(one) is dict else _kinds_of(one)
        return PLAIN.issuperset(kinds)
    except BaseException:  # see above
        return False


def _bodies(
    rows: Sequence[Any], options: Options, redactor: SupportsReplacements
) -> List[bytes]:
    """Return the JSON of events that are alike; nothing if any needs more care."""
    try:
        read = of_calls if type(rows[0]) is tuple else of_records
        alike = read(rows, options)
        parts = _parts_of(alike)
        _check_size(parts, min(options.max_bytes, MAX_CHARS))
        trees = [part for part in parts if isinstance(part, Trees)]
        names = _names_in(alike).union(*(part.keys for part in trees))
        if not are_good(names):
            return []
        instead = redactor.replacements(names, _texts_in(parts))
        if instead is None:
            return []
        bodies: List[bytes] = []
        for line in _lines(parts, instead):
            bodies.append(line.encode())
            if len(bodies[-1]) > options.max_bytes:
                return []
    except BaseException:  # not what is expected here; see above
        return []
    return bodies if len(bodies) == len(rows) else []


def _names_in(alike: Alike) -> Set[str]:
    names = {*alike.form.names, *alike.added}
    return names.union(*(payload.names or () for payload in alike.payloads if payload))


def _check_size(parts: Sequence[Part], max_chars: int) -> None:
    """Raise if all are too large, or one may be too large to be sent as it is.

    Of such a one the careful way leaves something out before it looks for secrets.
    """
    chars = values = of_all = 0
    for part in parts:
        if isinstance(part, str):
            continue
        values += 1
        if isinstance(part, Texts):
            sizes = list(map(len, part.column))
        elif isinstance(part, Trees):
            sizes = part.chars
            values += part.most
        else:
            continue
        chars += max(sizes)
        of_all += sum(sizes)
    if chars > max_chars or values > MAX_VALUES or of_all > MOST_CHARS:
        raise UnusualError


def _texts_in(parts: Sequence[Part]) -> Set[str]:
    texts: Set[str] = set()
    for part in parts:
        if isinstance(part, Texts):
            texts.update(part.column)
        elif isinstance(part, Trees):
            texts.update(*part.texts)
    return texts


def _parts_of(alike: Alike) -> List[Part]:
    """Return the JSON of events in parts."""
    form, values = alike.form, alike.values
    check(TEXTS, alike.agents, *(values[place] for place in form.texts_at))
    metadata: List[Part] = [
        _ids(column)
        if place in form.ids
        else _texts(column)
        if place in form.texts_at
        else _part(column)
        for place, column in enumerate(values)
    ]
    # What is further metadata brings its comma itself.
    added: List[Part] = []
    for name, column in alike.added.items():
        added += (f",{as_key(name)}", _part(column))
    in_order: Sequence[Sequence[Part]] = (
        (_texts(alike.agents),),
        (_texts(alike.event_types),),
        _moments(alike.began),
        *map(_payload, alike.payloads),
        *zip(metadata[:_BASE]),
        added,
        *zip(metadata[_BASE:]),
        (_numbers(alike.costs),),
        (_numbers(alike.latencies),),
    )
    *before, last = form.pieces[::2]
    parts: List[Part] = []
    for piece, value in zip(before, in_order):
        parts.append(piece)
        parts += value
    return [*parts, last]


def _lines(parts: Iterable[Part], instead: Mapping[str, str]) -> Iterable[str]:
    """Yield each event's JSON, with the values of *instead* for its keys.

    What one needs is freed before the next one's turn: to fill fresh memory with a
    hundred large ones costs as much as all the rest.
    """
    columns: List[Iterable[str]] = []
    same: List[str] = []
    for part in parts:
        encoded = _encoded(part, instead)
        if isinstance(encoded, str):
            same.append(encoded)
        else:
            columns += (repeat("".join(same)), encoded)
            same = []
    # There is at least one column, that of the ids.
    return map("".join, zip(*columns, repeat("".join(same))))


def _encoded(part: Part, instead: Mapping[str, str]) -> Union[str, Iterable[str]]:
    if isinstance(part, Texts):
        return _encoded_texts(part.column, instead)
    if isinstance(part, Trees):
        trees = _encoded_trees(part, instead)
        return next(trees) if len(part.column) == 1 else trees
    return part


def _encoded_texts(
    column: Sequence[str], instead: Mapping[str, str]
) -> Union[str, Iterable[str]]:
    if instead:
        column = [instead.get(text, text) for text in column]
    if len(column) == 1:
        return encode_text(column[0])
    return map(text_encoder(max(map(len, column))), column)


def _encoded_trees(trees: Trees, instead: Mapping[str, str]) -> Iterator[str]:
    rows = zip(trees.column, trees.texts, trees.chars, trees.have_packed)
    for tree, texts, chars, has_packed in rows:
        is_clean = not instead or instead.keys().isdisjoint(texts)
        clean = tree if is_clean else with_others(tree, instead)
        yield encode_tree(clean, chars, has_packed=has_packed)


# -- parts ---------------------------------------------------------------------------


def _part(column: Column) -> Part:
    """Return the part for values, which have to be of one kind."""
    kind = type(column[0])
    if kind is str:
        check(TEXTS, column)
        return _texts(column)
    if kind in _CONTAINERS:
        return _trees(column)
    if kind in NUMBERS:
        check(NUMBERS, column)
        if not are_plain_numbers(column):
            raise UnusualError
        return _numbers(column)
    check(WORDS, column)
    if len(set(column)) == 1:
        return AS_WORD[column[0]]
    return [AS_WORD[word] for word in column]


def _trees(column: Column) -> Trees:
    check(_CONTAINERS, column)
    texts: List[List[str]] = []
    have_packed: List[bool] = []
    keys: Set[str] = set()
    most = of_all = 0
    for tree in column:
        if type(tree) is tuple and not is_packed(tree):
            raise UnusualError
        found: List[str] = []
        names, values, has_packed = look_into([tree], found, levels=1)
        check(TEXTS, names)
        of_all += values
        if of_all > MOST_VALUES:
            raise UnusualError
        keys.update(names)
        texts.append(found)
        have_packed.append(has_packed)
        most = max(most, values)
    chars = [sum(map(len, found)) for found in texts]
    return Trees(column, texts, chars, have_packed, keys, most)


def _texts(column: Column) -> Texts:
    return Texts(column[:1] if _are_same(column) else column)


def _are_same(column: Column) -> bool:
    """Tell whether all are equal; they must be known to be of plain classes."""
    return column.count(column[0]) == len(column)


def _numbers(column: Column) -> Part:
    """Return the part for numbers, of which the first one may be None: then all are."""
    first, kinds = column[0], set(map(type, column))
    if first is None:
        return "null"
    # Not what a class says of itself that passes for one of them.
    write = _number if len(kinds) > 1 else _WRITE[type(first)]
    if len(column) == 1:
        return write(first)
    # Zeros may differ in their sign, and equal numbers in their class.
    if first and len(kinds) == 1 and _are_same(column):
        return write(first)
    return list(map(write, column))


def _number(number: float) -> str:
    return _WRITE[type(number)](number)


_WRITE: Mapping[Any, Callable[[Any], str]] = {
    int: int.__repr__,
    float: float.__repr__,
}


def _moments(column: Sequence[float]) -> Sequence[Part]:
    parts = utc_in_parts(column)
    if parts is not None:
        return parts
    moments = [moment for moment in map(utc, column) if moment is not None]
    if len(moments) < len(column):
        raise UnusualError
    return (moments,)


def _ids(column: Column) -> List[str]:
    return list(map(encode_text, column))


def _payload(payload: Optional[Payload]) -> Sequence[Part]:
    if payload is None:
        return ("null",)
    if payload.names is None:
        return tuple(map(_part, payload.columns))
    parts: List[Part] = []
    before = "{"
    for name, column in zip(payload.names, payload.columns):
        parts += (before + as_key(name), _part(column))
        before = ","
    return [*parts, "}" if parts else "{}"]
