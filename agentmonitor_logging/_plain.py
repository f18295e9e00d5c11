"""An event of plain JSON data in parts, and its JSON as pieces that they go between.

A program logs in few places, so all but the values of its events' JSON is known in
advance. Whoever wants the event as a dict has it put together, which few do.
"""

from __future__ import annotations

import json
from itertools import chain
from operator import itemgetter
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Tuple,
    Union,
)

from ._packing import is_packed, repacked, unpacked

BASE = ("event_id", "logger", "level", "message", "function_name", "module")
"""The metadata of every event."""

FIELDS = (
    *("agent_id", "event_type", "timestamp", "input_data", "output_data", "metadata"),
    *("cost_usd", "latency_ms", "status", "error_message"),
)
"""The keys of every event, which are among neither its form's names nor its own."""

TEXT, ID, NUMBER, WORD, CONTAINER = range(5)
"""Kinds of metadata: only texts and containers may hold a secret. A word is one of
JSON's: null or a truth value."""

BASE_KINDS: Mapping[str, int] = {**dict.fromkeys(BASE, TEXT), "event_id": ID}
MESSAGE = BASE.index("message")
"""The place of the message among a `PlainEvent`'s values."""

REPLACEABLE = tuple((name, BASE.index(name)) for name in ("function_name", "module"))
"""Names, each with its place, that other metadata may have as well, and then wins."""

_BEFORE = (
    *('{"agent_id":', ',"event_type":', ',"timestamp":"', '","input_data":'),
    *(',"output_data":', ',"metadata":{'),
)
_AFTER = (
    *('},"cost_usd":', ',"latency_ms":'),
    ',"status":"success","error_message":null}',
)
"""The JSON of an event around its values, before the metadata and after it."""

Values = Tuple[Any, ...]
Pick = Callable[[Any], Values]


class Form:
    """Know the JSON of all events with the same metadata.

    *kinds* are the names in it, those of `BASE` first, and which kind each of them is.
    `pieces` are the JSON, in which every second one is for a value. `in_order` puts
    those into their order, given as they are encoded: agent, type and the texts of the
    metadata; its ids; its numbers; its words; its containers; then time, input, output,
    further metadata with a comma before it, cost and latency.
    """

    __slots__ = (
        *("containers_of", "ids", "ids_of", "in_order", "keys", "names"),
        *("numbers_of", "pieces", "scanned", "texts", "texts_at", "texts_of"),
        "words_of",
    )

    def __init__(self, kinds: Mapping[str, int]) -> None:
        self.keys = tuple(kinds)
        self.names = frozenset(kinds)
        of_kind = [
            tuple(at for at, name in enumerate(kinds) if kinds[name] == kind)
            for kind in (TEXT, ID, NUMBER, WORD, CONTAINER)
        ]
        self.texts_at = of_kind[TEXT]
        self.scanned = of_kind[TEXT] + of_kind[CONTAINER]
        """The places of what a secret may be in."""
        self.ids = of_kind[ID]
        pickers = [picker(places) for places in of_kind]
        self.texts_of, self.ids_of, self.numbers_of, *others = pickers
        self.words_of, self.containers_of = others
        self.texts = 2 + len(of_kind[TEXT])
        """How many texts it has of its own."""
        came = {place: at for at, place in enumerate(chain(*of_kind), 2)}
        metadata = [came[place] for place in range(len(kinds))]
        base, rest = metadata[: len(BASE)], metadata[len(BASE) :]
        end = 2 + len(kinds)
        time, taken, given, added, cost, latency = range(end, end + 6)
        self.in_order: Pick = itemgetter(
            *(0, 1, time, taken, given, *base, added, *rest, cost, latency)
        )
        keys = [as_key(name) for name in kinds]
        # What is further metadata brings its comma itself.
        between = [keys[0], *("," + key for key in keys[1:])]
        between.insert(len(BASE), "")
        around = [*_BEFORE[:-1], _BEFORE[-1] + between[0], *between[1:], *_AFTER]
        self.pieces: List[str] = [""] * (2 * len(around) - 1)
        self.pieces[::2] = around


def as_key(name: str) -> str:
    """Return *name* as it stands before its value."""
    return json.dumps(name) + ":"


def picker(keys: Tuple[Any, ...]) -> Pick:
    """Return what takes the items *keys* out of a collection, as a tuple."""
    if not keys:
        return lambda _: ()
    if len(keys) == 1:
        (key,) = keys
        return lambda collection: (collection[key],)
    return itemgetter(*keys)


class PlainEvent:
    """An event of plain JSON data, of which is known what it holds.

    *values* are those in its metadata that its form has keys for, and *added* is what
    else is there. *texts* are all its texts but times, and ids among its values: the
    agent and the type, those of its form, then all others. *size* is the sum of their
    characters; *names* are the keys in it at any depth, besides those of its form.
    Where it *is_packed*, its input is not JSON data until `unpack` has made it such.
    """

    added: Optional[Dict[str, Any]] = None
    input_data: Any = None
    output_data: Any = None
    cost_usd: Optional[float] = None
    latency_ms: Optional[int] = None
    names: AbstractSet[str] = frozenset()
    size = 0
    is_packed = False

    def __init__(
        self, form: Form, texts: List[str], values: List[Any], timestamp: str
    ) -> None:
        self.form = form
        self.texts = texts
        self.values = values
        self.timestamp = timestamp

    def unpack(self) -> None:
        """Have dicts again in place of what is packed."""
        if self.is_packed:
            self.input_data = unpacked(self.input_data)
            self.is_packed = False

    def as_event(self) -> Dict[str, Any]:
        """Return the event, which shares its containers with this; it is unpacked."""
        self.unpack()
        metadata = dict(zip(self.form.keys, self.values))
        if self.added:
            given = metadata
            metadata = {name: given.pop(name) for name in BASE}
            metadata.update(self.added)
            metadata.update(given)
        return {
            "agent_id": self.texts[0],
            "event_type": self.texts[1],
            "timestamp": self.timestamp,
            "input_data": self.input_data,
            "output_data": self.output_data,
            "metadata": metadata,
            "cost_usd": self.cost_usd,
            "latency_ms": self.latency_ms,
            "status": "success",
            "error_message": None,
        }

    def copied(self) -> Dict[str, Any]:
        """Return the event as a copy that shares nothing, for who changes it."""
        return {key: with_others(item, {}) for key, item in self.as_event().items()}

    def with_texts(self, instead: Mapping[str, str]) -> PlainEvent:
        """Return a copy that has other texts, namely the values of *instead*."""
        texts = [instead.get(text, text) for text in self.texts]
        values = self.values.copy()
        for place in self.form.scanned:
            values[place] = with_others(values[place], instead)
        copy = PlainEvent(self.form, texts, values, self.timestamp)
        copy.added = with_others(self.added, instead)
        copy.input_data = with_others(self.input_data, instead)
        copy.output_data = with_others(self.output_data, instead)
        copy.cost_usd, copy.latency_ms = self.cost_usd, self.latency_ms
        copy.names, copy.size, copy.is_packed = self.names, self.size, self.is_packed
        return copy


def with_others(tree: Any, instead: Mapping[str, str]) -> Any:
    """Copy *tree*, at any depth, with the values of *instead* for its texts."""
    kind = type(tree)
    if kind is str:
        return instead.get(tree, tree)
    if kind is dict:
        return {key: with_others(item, instead) for key, item in tree.items()}
    if kind is list:
        return [with_others(item, instead) for item in tree]
    return repacked(tree, instead) if is_packed(tree) else tree


AnyEvent = Union[Dict[str, Any], PlainEvent]
