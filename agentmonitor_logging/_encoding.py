"""An event as bytes: strict JSON, never above its size.

Truncation is here and not in the rendering, because what a redactor leaves is what
has to fit.
"""

from __future__ import annotations

import functools
import json
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Tuple

from ._packing import (
    Packed,
    columns_of,
    parts_of,
    replaced,
    unpacked,
    unpacked_copy,
)
from ._plain import AnyEvent, PlainEvent
from ._raised import marked
from ._rendering import Renderer
from ._wire import Event

_FORMAT: Dict[str, Any] = {"allow_nan": False, "separators": (",", ":")}
_UTF8 = json.JSONEncoder(ensure_ascii=False, **_FORMAT).encode
_ASCII = json.JSONEncoder(ensure_ascii=True, **_FORMAT).encode
_ENCODER: Any = json.encoder  # the module; what it has in C, no stub knows
_UNLOOPED: Dict[str, Any] = {"check_circular": False, **_FORMAT}
_PLAIN_ASCII = json.JSONEncoder(ensure_ascii=True, **_UNLOOPED).encode
_DOCUMENTED = json.JSONEncoder(ensure_ascii=False, **_UNLOOPED)

_IDENTITY = ("event_id", "trace_id", "span_id", "parent_span_id")
"""The metadata that no truncation touches: by it events find together."""

_LARGE = 2_000
"""From how many characters on an event most likely holds a chat history."""

_LONG = 64
"""From how many characters on a text is sooner encoded by orjson and then decoded."""

_MAX_LITERAL = 4_096
_MAX_LITERALS = 262_144
"""Characters of one text that is remembered, and of all."""

_NEVER_AGAIN = frozenset((16, 27, 32))
"""The sizes of ids and times, which are not worth it."""

_LARGEST = 1e15
_FEWEST_CHARS = 64
_FEWEST_ITEMS = 8

_IDENTITY_BYTES = 136
"""What an identifying text may take when nothing else fits."""


class _Raw(str):
    """A text that is JSON already, wherever it stands."""

    __slots__ = ()
    __hash__ = object.__hash__


class _Literals(Dict[str, str]):
    """Know texts as JSON has them: a chat history comes again with every call.

    To look for what has to be escaped in a long text takes twenty times as long as to
    find it here.
    """

    def __init__(self) -> None:
        self._chars = 0

    def __missing__(self, text: str) -> str:
        if type(text) is _Raw:
            return text
        literal = str(_ENCODER.encode_basestring(text))
        size = len(text)
        # Not one of a class of the application's, which would live on here.
        if size <= _MAX_LITERAL and size not in _NEVER_AGAIN and type(text) is str:
            if self._chars + size > _MAX_LITERALS or len(self) >= _MAX_LITERALS // 64:
                self.clear()
                self._chars = 0
            self._chars += size
            self[text] = literal
        return literal


def _encoder(text: Callable[[str], str]) -> Optional[Callable[[Any], str]]:
    """Return an encoder of plain JSON data, where *text* encodes the texts.

    It is the one in `json`, which makes it anew for every call. That is not documented,
    so it is asked first whether it is what it was since 3.2; None if it is not.
    """
    try:
        style = None, ":", ",", False, False, False
        chunks = _ENCODER.c_make_encoder(None, _DOCUMENTED.default, text, *style)
        sample = {"a": ["\n\u00e4", {"b": 1.5}, None, True], "c": -7}
        if "".join(chunks(sample, 0)) == _DOCUMENTED.encode(sample):
            return lambda tree: "".join(chunks(tree, 0))
    except Exception:  # noqa: S110 - it is another, or there is none
        pass
    return None


_literal = _Literals().__getitem__
encode_text: Callable[[str], str] = _ENCODER.encode_basestring
AS_WORD: Mapping[Any, str] = {None: "null", True: "true", False: "false"}
_encode_plain = _encoder(_ENCODER.encode_basestring) or _DOCUMENTED.encode
_encode_known = _encoder(_literal)


def _plain_json(event: PlainEvent) -> str:
    """Return *event* as JSON; a large one by way of the texts that are known."""
    written = functools.partial(_tree_json, event.size)
    form, values = event.form, event.values
    added, taken, given = event.added, event.input_data, event.output_data
    cost, latency = event.cost_usd, event.latency_ms
    pieces = form.pieces.copy()
    pieces[1::2] = form.in_order(
        (
            *map(encode_text, event.texts[: form.texts]),
            *map(encode_text, form.ids_of(values)),
            *map(repr, form.numbers_of(values)),
            *map(AS_WORD.__getitem__, form.words_of(values)),
            *map(written, form.containers_of(values)),
            event.timestamp,
            "null" if taken is None else written(taken, event.is_packed),
            "null" if given is None else written(given),
            "," + written(added)[1:-1] if added else "",
            "null" if cost is None else repr(cost),
            "null" if latency is None else repr(latency),
        )
    )
    return "".join(pieces)


def text_encoder(chars: int) -> Callable[[str], str]:
    """Return what encodes texts fastest of which the longest has so many characters."""
    dumps = fast_dumps()
    if dumps is None or chars < _LONG:
        return encode_text
    return lambda text: dumps(text).decode()


def encode_tree(tree: Any, chars: int, *, has_packed: bool) -> str:
    """Return *tree* as JSON, plain JSON data with so many characters of text.

    What is packed in it stays as it is.
    """
    dumps = fast_dumps()
    if dumps is not None:
        return dumps(unpacked_copy(tree) if has_packed else tree).decode()
    return _tree_json(chars, tree, has_packed)


def _tree_json(chars: int, tree: Any, has_packed: bool = False) -> str:
    """Do so by json: with many characters, by way of the texts that are known."""
    if _encode_known is None or chars < _LARGE:
        return _encode_plain(unpacked_copy(tree) if has_packed else tree)
    if has_packed:
        tree = replaced(tree, _raw)
    return tree if type(tree) is _Raw else _encode_known(tree)


def _raw(packed: Packed) -> Any:
    """Return a chat history as JSON, where all its messages have the same keys."""
    values, keys, sizes = parts_of(packed)
    if sizes:
        return unpacked(packed)
    pieces = [""] * (2 * len(values) + 1)
    before, step = "},{", 2 * len(keys)
    for place, (key, column) in enumerate(zip(keys, columns_of(values, keys))):
        name = f"{before}{_literal(key)}:"
        pieces[2 * place : -1 : step] = [name] * len(column)
        pieces[2 * place + 1 :: step] = map(_literal, column)
        before = ","
    pieces[0], pieces[-1] = f"[{{{pieces[0][3:]}", "}]"
    return _Raw("".join(pieces))


def encode(event: AnyEvent, max_bytes: int, *, ensure_ascii: bool = False) -> bytes:
    """Return *event* as strict JSON in UTF-8, at most *max_bytes* (>= 1024) long.

    *event* is plain JSON data, as `event_from_record` makes it. What is too
    large is truncated: long strings first, then containers, at last input and output
    as a whole. The metadata then says ``"truncated": true``. The agent, type, time,
    status and the ids always survive. Never raises.
    """
    tree: Any = event
    try:
        if isinstance(event, PlainEvent):
            encoded = _of_plain(event, ensure_ascii)
            if len(encoded) <= max_bytes:
                return encoded
            tree = event.as_event()
        else:
            if type(event) is not dict:
                tree = _rendered(event)
            if not _is_plainly_larger(tree, max_bytes):
                encoded = _strict(tree, ensure_ascii)
                if len(encoded) <= max_bytes:
                    return encoded
        return _truncated(tree, max_bytes, ensure_ascii)
    except Exception:  # a redactor may leave anything
        if isinstance(event, PlainEvent):
            tree = event.as_event()
        return _truncated(_rendered(tree), max_bytes, ensure_ascii)


def _of_plain(event: PlainEvent, ensure_ascii: bool) -> bytes:
    """Encode what is known to be plain and without a cycle, so without looking."""
    if ensure_ascii:
        return _PLAIN_ASCII(event.as_event()).encode()
    dumps = fast_dumps()
    if dumps is None:
        return _plain_json(event).encode()
    tree = event.as_event()
    try:
        # A copy: orjson's bytes hold on to all of the buffer they grew in, four
        # kilobytes at least for each event that waits.
        return memoryview(dumps(tree)).tobytes()
    except TypeError:  # a key of a class below str, perhaps
        return _strict(tree, ensure_ascii)


@functools.lru_cache(maxsize=None)
def fast_dumps() -> Optional[Callable[[Any], bytes]]:
    """Return the encoder of orjson, ten times as fast, where that is installed.

    To be called first where an import harms nobody: not on a thread of ours.
    """
    try:
        import orjson

        # As strict as json: what it alone would know is for the renderer.
        strict = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
        return functools.partial(orjson.dumps, option=strict)
    except Exception:  # it is not there, or too old, or broken
        return None


def _strict(event: Any, ensure_ascii: bool) -> bytes:
    return (_ASCII if ensure_ascii else _UTF8)(event).encode()


def _is_plainly_larger(event: Event, limit: int) -> bool:
    """Tell cheaply that encoding all of *event* would be a waste."""
    for part in event.values():
        if _is_long(part, limit):
            return True
        if type(part) is dict and any(_is_long(item, limit) for item in part.values()):
            return True
    return False


def _is_long(value: Any, limit: int) -> bool:
    kind = type(value)
    return (kind is str or kind is dict or kind is list) and len(value) > limit


def _rendered(event: Any) -> Event:
    rendered = Renderer().render(event)
    return rendered if isinstance(rendered, dict) else {"metadata": {"value": rendered}}


def _truncated(event: Event, limit: int, ensure_ascii: bool) -> bytes:
    for chars, items in _steps(limit):
        encoded = _attempt(event, limit, chars, items, ensure_ascii)
        if encoded is not None:
            return encoded
    bare = {**event}
    for name in ("input_data", "output_data"):
        bare[name] = _stub(event.get(name), ensure_ascii)
    encoded = _attempt(bare, limit, 256, 32, ensure_ascii)
    return encoded or _strict(_skeleton(bare, ensure_ascii), ensure_ascii)


def _steps(limit: int) -> Iterator[Tuple[int, int]]:
    """Yield characters per string and items per container, ever fewer."""
    chars, items = limit // 2, limit // 8
    while chars >= _FEWEST_CHARS:
        yield chars, max(items, _FEWEST_ITEMS)
        chars, items = chars // 4, items // 4
    yield _FEWEST_CHARS, _FEWEST_ITEMS


def _attempt(
    event: Event, limit: int, chars: int, items: int, ensure_ascii: bool
) -> Optional[bytes]:
    cut = _Cut(limit, chars, items)
    try:
        small = {name: cut.value(value) for name, value in event.items()}
    except _TooLargeError:
        return None
    _mark(small, event.get("metadata"))
    encoded = _strict(small, ensure_ascii)
    return encoded if len(encoded) <= limit else None


def _mark(small: Event, metadata: Any) -> None:
    """Bring back the ids in full and say that something is missing."""
    marked = small.get("metadata")
    if isinstance(marked, dict) and isinstance(metadata, dict):
        marked.update({name: metadata[name] for name in _IDENTITY if name in metadata})
        marked["truncated"] = True


class _TooLargeError(Exception):
    """Say that a cut would not fit anyway."""


class _Cut:
    """Copy a value within *chars* per string and *items* per container.

    *left* is what all of it may still take, in characters, which are never more
    than bytes. Raises _TooLargeError as soon as that is used up.
    """

    def __init__(self, left: int, chars: int, items: int) -> None:
        self.left = left
        self.chars = chars
        self.items = max(items, 1)

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind is str:
            text = _cut_off(value, self.chars)
            self._spend(len(text))
            return text
        self._spend(1)
        if kind is dict:
            return self._dict(value)
        return self._list(value) if kind is list else value

    def _dict(self, value: Dict[str, Any]) -> Dict[str, Any]:
        cut: Dict[str, Any] = {}
        for name, item in value.items():
            if len(cut) >= self.items:
                cut["[truncated]"] = f"{len(value) - len(cut):,} more items"
                break
            cut[self.value(name)] = self.value(item)
        return cut

    def _list(self, value: List[Any]) -> List[Any]:
        cut = [self.value(item) for item in value[: self.items]]
        if len(cut) < len(value):
            cut.append(f"[truncated: {len(value) - len(cut):,} more items]")
        return cut

    def _spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise _TooLargeError


def _cut_off(text: str, limit: int) -> str:
    """Cut *text* anywhere: what is secret in it is gone by now."""
    size = len(text)
    return text if size <= limit else marked(text[:limit], text, size)


def _stub(value: Any, ensure_ascii: bool) -> Any:
    if value is None:
        return None
    return {"truncated": True, "bytes": len(_strict(value, ensure_ascii))}


def _skeleton(event: Event, ensure_ascii: bool) -> Event:
    """Return what identifies *event*, in less than a kilobyte."""

    def fit(value: Any, size: int) -> Any:
        return _fitted(value, size, ensure_ascii) if type(value) is str else None

    def number(value: Any) -> Any:
        return value if type(value) in (int, float) and abs(value) < _LARGEST else None

    metadata = event.get("metadata")
    known = metadata if isinstance(metadata, dict) else {}
    ids = {name: fit(known[name], 40) for name in _IDENTITY if name in known}
    if "event_id" in ids:
        ids["event_id"] = fit(known["event_id"], _IDENTITY_BYTES)
    return {
        "agent_id": fit(event.get("agent_id"), _IDENTITY_BYTES),
        "event_type": fit(event.get("event_type"), _IDENTITY_BYTES),
        "timestamp": fit(event.get("timestamp"), 40),
        "input_data": event.get("input_data"),
        "output_data": event.get("output_data"),
        "metadata": {**ids, "truncated": True},
        "cost_usd": number(event.get("cost_usd")),
        "latency_ms": number(event.get("latency_ms")),
        "status": fit(event.get("status"), 16),
        "error_message": fit(event.get("error_message"), 64),
    }


def _fitted(text: str, size: int, ensure_ascii: bool) -> str:
    """Cut *text* until its JSON takes at most *size* bytes."""
    text = text[:size]
    while len(_strict(text, ensure_ascii)) - 2 > size:
        text = text[: len(text) // 2]
    return text
