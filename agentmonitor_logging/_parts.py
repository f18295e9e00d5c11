"""Columns of values as parts of JSON: what is the same in all, and what is not.

Those in which a secret may be are encoded last, when it is known what stands for it.
"""

from __future__ import annotations

from typing import (
    AbstractSet,
    Any,
    Callable,
    Iterable,
    Iterator,
    List,
    Mapping,
    Set,
    Union,
)

from ._alike import NUMBERS, WORDS, Column, check
from ._encoding import AS_WORD, encode_text, encode_tree, text_encoder
from ._packing import is_packed
from ._plain import with_others
from ._shortcut import TEXTS, UnusualError, are_plain_numbers, look_into

MOST_VALUES = 20_000
"""Nested values of all rows: with more, who goes through them at once holds up the
application, and nothing is saved."""

_CONTAINERS = frozenset((dict, list, tuple))

Encoded = Union[str, Iterable[str]]
"""A piece of JSON that is the same in all rows, or one for each."""


class Texts:
    """Texts in which a secret may be: a column, or one that is the same in all.

    *chars* are how many each row has, *keys* all that there are below it, *most* the
    number of values there are below it at most: of a text there are none.
    """

    __slots__ = ("_column", "chars")

    keys: AbstractSet[str] = frozenset()
    most = 0

    def __init__(self, column: Column) -> None:
        self._column = column[:1] if _are_same(column) else column
        self.chars = list(map(len, self._column))

    def add_to(self, texts: Set[str]) -> None:
        """Add all of them to *texts*."""
        texts.update(self._column)

    def encoded(self, instead: Mapping[str, str]) -> Encoded:
        """Return their JSON, with the values of *instead* for its keys."""
        column = self._column
        if instead:
            column = [instead.get(text, text) for text in column]
        if len(column) == 1:
            return encode_text(column[0])
        return map(text_encoder(max(self.chars)), column)


class Trees:
    """A column of what is nested, in which a secret may be anywhere."""

    __slots__ = ("_column", "_have_packed", "_texts", "chars", "keys", "most")

    def __init__(self, column: Column) -> None:
        check(_CONTAINERS, column)
        self._column = column
        self._texts: List[List[str]] = []
        self._have_packed: List[bool] = []
        self.keys: Set[str] = set()
        self.most = of_all = 0
        for tree in column:
            if type(tree) is tuple and not is_packed(tree):
                raise UnusualError
            texts: List[str] = []
            keys, values, has_packed = look_into([tree], texts, levels=1)
            of_all += values
            if of_all > MOST_VALUES:
                raise UnusualError
            self.keys.update(keys)
            self.most = max(self.most, values)
            self._texts.append(texts)
            self._have_packed.append(has_packed)
        self.chars = [sum(map(len, texts)) for texts in self._texts]

    def add_to(self, texts: Set[str]) -> None:
        """Add all texts in them to *texts*."""
        texts.update(*self._texts)

    def encoded(self, instead: Mapping[str, str]) -> Encoded:
        """Return their JSON, with the values of *instead* for its keys."""
        rows = self._encoded(instead)
        return next(rows) if len(self._column) == 1 else rows

    def _encoded(self, instead: Mapping[str, str]) -> Iterator[str]:
        rows = zip(self._column, self._texts, self.chars, self._have_packed)
        for tree, texts, chars, has_packed in rows:
            is_clean = not instead or instead.keys().isdisjoint(texts)
            clean = tree if is_clean else with_others(tree, instead)
            yield encode_tree(clean, chars, has_packed=has_packed)


Scanned = Union[Texts, Trees]
Part = Union[str, List[str], Scanned]


def part_of(column: Column) -> Part:
    """Return the part for values, which have to be of one kind."""
    kind = type(column[0])
    if kind is str:
        check(TEXTS, column)
        return Texts(column)
    if kind in _CONTAINERS:
        return Trees(column)
    if kind in NUMBERS:
        check(NUMBERS, column)
        if not are_plain_numbers(column):
            raise UnusualError
        return numbers(column)
    check(WORDS, column)
    if len(set(column)) == 1:
        return AS_WORD[column[0]]
    return [AS_WORD[word] for word in column]


def numbers(column: Column) -> Part:
    """Return the part for plain numbers.

    The first one may be None: then all are.
    """
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


def _are_same(column: Column) -> bool:
    """Tell whether all are equal; they must be known to be of plain classes."""
    return column.count(column[0]) == len(column)
