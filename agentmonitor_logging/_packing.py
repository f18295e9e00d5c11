"""Chat histories in one flat tuple, for as long as they are queued.

A copy of twenty messages is twenty dicts to be allocated and filled while the caller
waits, and to be looked at by the garbage collector again and again for as long as they
wait. A tuple of texts is one object, of which the collector lets go when it first
sees it. Only who takes records out of our own queue ever meets what is packed.
"""

from __future__ import annotations

from itertools import chain, islice
from operator import itemgetter
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

FEW = 3
"""Up to so many messages are not worth it."""

_DICTS = frozenset((dict,))
_TEXTS = frozenset((str,))

_MARK = object()
"""The last item of what is packed; nobody else has it."""

Packed = Tuple[Any, ...]
"""The values; the keys; how many of them each message has; the numbers of keys and of
such sizes; and the mark. Where all messages have the same keys, these are one's and the
values are sorted by them, and there are no sizes."""

_COUNTS = 3


def pack(messages: List[Any], most: int, max_chars: int) -> Optional[Packed]:
    """Return *messages*, a list of our own, in few objects, if they are worth it.

    They are if all are dicts of texts, at most *most* in all, with no more than
    *max_chars* characters.
    """
    try:
        return _packed(messages, most, max_chars)
    except RecursionError:
        raise  # see `Copier.copy`
    except Exception:  # the classes of keys and values may be anything
        return None


def _packed(messages: List[Any], most: int, max_chars: int) -> Optional[Packed]:
    if not _DICTS.issuperset(map(type, messages)):
        return None
    # Each as it is at one moment, whatever another thread does to it meanwhile: all
    # values are read in one step.
    first = tuple(messages[0])
    if first and _TEXTS.issuperset(map(type, first)):
        keys = tuple(chain.from_iterable(messages))
        # No dict has a key twice, so each has all of them if there are enough.
        if len(keys) <= most and keys == first * len(messages):
            columns = [map(itemgetter(key), messages) for key in first]
            values = tuple(chain.from_iterable(columns))
            are_fine = _are_texts(values, max_chars)
            return (*values, *first, len(first), 0, _MARK) if are_fine else None
    copies = list(map(dict.copy, messages))
    sizes = tuple(map(len, copies))
    keys = tuple(chain.from_iterable(copies))
    values = tuple(chain.from_iterable(map(dict.values, copies)))
    if len(keys) > most or not _TEXTS.issuperset(map(type, keys)):
        return None
    are_fine = _are_texts(values, max_chars)
    counts = len(keys), len(sizes)
    return (*values, *keys, *sizes, *counts, _MARK) if are_fine else None


def _are_texts(values: Tuple[Any, ...], max_chars: int) -> bool:
    return _TEXTS.issuperset(map(type, values)) and sum(map(len, values)) <= max_chars


def is_packed(value: Any) -> bool:
    """Tell whether *value* is what `pack` returns."""
    return type(value) is tuple and len(value) > 0 and value[-1] is _MARK


def number_of_values(packed: Packed) -> int:
    """Return how many values *packed* holds."""
    keys, sizes, _ = packed[-_COUNTS:]
    return len(packed) - _COUNTS - int(keys) - int(sizes)


def parts_of(packed: Packed) -> Tuple[Packed, Packed, Packed]:
    """Return all values in *packed*, the keys, and the sizes of messages.

    There are no sizes where all messages have the same keys, which then are one's.
    """
    end = number_of_values(packed)
    last = end + packed[-_COUNTS]
    return packed[:end], packed[end:last], packed[last:-_COUNTS]


def columns_of(values: Packed, keys: Packed) -> List[Packed]:
    """Return the values of each of *keys*, which all messages have."""
    messages = len(values) // len(keys)
    return [values[at : at + messages] for at in range(0, len(values), messages)]


def unpacked(tree: Any) -> Any:
    """Return *tree* with dicts again in place of what is packed.

    Dicts and lists of it are changed; anything else holds nothing that is packed.
    """
    if is_packed(tree):
        return _messages(tree)
    kind = type(tree)
    if kind is dict or kind is list:
        for place, item in tree.items() if kind is dict else enumerate(tree):
            changed = unpacked(item)
            if changed is not item:  # keys of any class are not looked up again
                tree[place] = changed
    return tree


def unpacked_copy(tree: Any) -> Any:
    """Return a copy of *tree* with dicts again in place of what is packed."""
    return replaced(tree, _messages)


def replaced(tree: Any, made: Callable[[Packed], Any]) -> Any:
    """Return a copy of *tree* with what is *made* of it in place of what is packed."""
    kind = type(tree)
    if kind is dict:
        return {name: replaced(item, made) for name, item in tree.items()}
    if kind is list:
        return [replaced(item, made) for item in tree]
    return made(tree) if is_packed(tree) else tree


def repacked(packed: Packed, instead: Mapping[str, str]) -> Packed:
    """Return *packed* with the values of *instead* for its texts."""
    end = number_of_values(packed)
    return (*(instead.get(text, text) for text in packed[:end]), *packed[end:])


def _messages(packed: Packed) -> List[Dict[Any, Any]]:
    values, keys, sizes = parts_of(packed)
    if sizes:
        names, items = iter(keys), iter(values)
        return [dict(zip(islice(names, size), items)) for size in sizes]
    columns = columns_of(values, keys)
    if len(keys) == 2:  # a role and a content, nearly always
        one, other = keys
        return [{one: first, other: second} for first, second in zip(*columns)]
    return [dict(zip(keys, row)) for row in zip(*columns)]
