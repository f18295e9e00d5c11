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
    List,
    Mapping,
    Optional,
    Protocol,
    Sequence,
    Set,
)

from ._alike import PLAIN, Alike, Column, Payload, check, of_calls, of_records
from ._capsule import REST, likeness_of
from ._encoding import encode_text
from ._parts import Encoded, Part, Scanned, Texts, numbers, part_of
from ._plain import BASE, as_key
from ._shapes import are_good
from ._shortcut import MAX_CHARS, MAX_VALUES, TEXTS, Options, UnusualError
from ._wire import utc, utc_in_parts

FEWEST = 8
"""How many events are alike at least: with fewer, more is found out than is saved."""

MOST_CHARS = 1_048_576
"""Characters of text in all events that go together: with more, see `MOST_VALUES`."""

_BASE = len(BASE)


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
        scanned = [part for part in parts if not isinstance(part, (str, list))]
        _check_size(parts, scanned, min(options.max_bytes, MAX_CHARS))
        names = _names_in(alike, scanned)
        if not are_good(names):
            return []
        texts: Set[str] = set()
        for part in scanned:
            part.add_to(texts)
        instead = redactor.replacements(names, texts)
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


def _names_in(alike: Alike, scanned: Iterable[Scanned]) -> Set[str]:
    names = {*alike.form.names, *alike.added}
    for payload in alike.payloads:
        if payload is not None:
            names.update(payload.names or ())
    return names.union(*(part.keys for part in scanned))


def _check_size(
    parts: Sequence[Part], scanned: Sequence[Scanned], max_chars: int
) -> None:
    """Raise if all are too large, or one may be too large to be sent as it is.

    Of such a one the careful way leaves something out before it looks for secrets.
    """
    chars = sum(max(part.chars) for part in scanned)
    values = sum(not isinstance(part, str) for part in parts)
    values += sum(part.most for part in scanned)
    of_all = sum(sum(part.chars) for part in scanned)
    if chars > max_chars or values > MAX_VALUES or of_all > MOST_CHARS:
        raise UnusualError


def _parts_of(alike: Alike) -> List[Part]:
    """Return the JSON of events in parts."""
    form, values = alike.form, alike.values
    check(TEXTS, alike.agents, *(values[place] for place in form.texts_at))
    metadata: List[Part] = [
        _ids(column)
        if place in form.ids
        else Texts(column)
        if place in form.texts_at
        else part_of(column)
        for place, column in enumerate(values)
    ]
    # What is further metadata brings its comma itself.
    added: List[Part] = []
    for name, column in alike.added.items():
        added += (f",{as_key(name)}", part_of(column))
    in_order: Sequence[Sequence[Part]] = (
        (Texts(alike.agents),),
        (Texts(alike.event_types),),
        _moments(alike.began),
        *map(_payload, alike.payloads),
        *zip(metadata[:_BASE]),
        added,
        *zip(metadata[_BASE:]),
        (numbers(alike.costs),),
        (numbers(alike.latencies),),
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
        encoded: Encoded
        encoded = part if isinstance(part, (str, list)) else part.encoded(instead)
        if isinstance(encoded, str):
            same.append(encoded)
        else:
            columns += (repeat("".join(same)), encoded)
            same = []
    # There is at least one column, that of the ids.
    return map("".join, zip(*columns, repeat("".join(same))))


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
        return tuple(map(part_of, payload.columns))
    parts: List[Part] = []
    before = "{"
    for name, column in zip(payload.names, payload.columns):
        parts += (before + as_key(name), part_of(column))
        before = ","
    return [*parts, "}" if parts else "{}"]
