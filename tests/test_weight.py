"""What a copy weighs: enough to bound what a stream keeps, found out in no time."""

from __future__ import annotations

import decimal
import enum
import pathlib
import uuid
from array import array
from typing import Any

import pytest

from agentmonitor_logging._weight import UNKNOWN, weight_of
import oddities

PLENTY = 10**9


class Thing:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Slotted:
    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Text(str):
    __slots__ = ()

    def __len__(self) -> int:
        raise RuntimeError("no length")


class Told(dict):  # type: ignore[type-arg]
    def values(self) -> Any:
        raise RuntimeError("no values")


@pytest.mark.parametrize(
    "holding",
    [
        lambda text: text,
        str.encode,
        Text,
        lambda text: array("b", text.encode()),
        lambda text: [text],
        lambda text: {text: 1},
        lambda text: frozenset((text,)),
        lambda text: Told(key=text),
        Slotted,
        lambda text: Thing(text=text),
        lambda text: Thing(content=[{"part": Thing(text=text)}]),
        lambda text: Thing(buffer=bytearray(text.encode())),
    ],
)
def test_texts_and_buffers_weigh_what_they_are_long(holding: Any) -> None:
    """Wherever they are, and whatever the methods of their classes say."""
    long, short = holding("x" * 100_000), holding("x" * 10)

    assert weight_of(long, PLENTY) - weight_of(short, PLENTY) == 100_000 - 10


class Colour(enum.Enum):
    RED = 1


@pytest.mark.parametrize(
    "small",
    [
        *(None, 1, 1.5, object(), Thing(), Thing(kind=Thing), Thing(run=print)),
        *(Colour.RED, decimal.Decimal(1), uuid.UUID(int=1), pathlib.Path("a")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_small_things_weigh_little(small: Any) -> None:
    """Thousands of them may be kept."""
    assert weight_of(small, PLENTY) < 200


def test_what_refers_to_itself_is_weighed_once() -> None:
    """A circle ends where it began."""
    tree = Thing(text="x" * 1_000)
    tree.children = [Thing(parent=tree), Thing(parent=tree)]

    assert 1_000 < weight_of(tree, PLENTY) < 1_500


def test_what_leads_to_everything_is_unknown() -> None:
    """Not all of it is looked at."""
    chain = Thing()
    for _ in range(10_000):
        chain = Thing(next=chain, text="x")

    assert weight_of(chain, PLENTY) == UNKNOWN


def test_what_cannot_be_asked_is_unknown() -> None:
    """A class may refuse to be looked up."""
    assert weight_of(oddities.UnhashableClass(), PLENTY) == UNKNOWN


def test_many_objects_weigh_what_those_hold_that_are_looked_at() -> None:
    """A page of documents is no small thing, though not all of them are seen."""
    page = [Thing(content={"text": "x" * 1_000}) for _ in range(1_000)]

    assert 30_000 < weight_of(page, PLENTY) < 1_000_000


def test_nothing_is_looked_at_beyond_the_limit() -> None:
    """Of a long list of a foreign object, not one item."""
    huge = Thing(items=["x" * 10_000] * 10_000)

    assert 80_000 < weight_of(huge, 1_000) < 81_000
