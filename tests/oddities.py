"""Objects that misbehave in every way seen on log records."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import logging
import pathlib
import types
import uuid
from typing import Any, Callable, Dict, Iterator, List, NamedTuple
from unittest.mock import MagicMock, Mock


class RaisingRepr:
    def __repr__(self) -> str:
        raise ValueError("no repr")


class LyingRepr:
    def __repr__(self) -> Any:
        return 17


class HugeRepr:
    def __repr__(self) -> str:
        return "r" * 1_000_000


class LyingClass:
    __class__ = dict  # type: ignore[assignment]


class AnswersEverything:
    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kwargs: self


class _AnsweringMeta(type):
    def __getattr__(cls, name: str) -> Any:
        return lambda *args, **kwargs: cls


class MetaAnswersEverything(metaclass=_AnsweringMeta):
    pass


class EndlessList(List[Any]):
    def __iter__(self) -> Iterator[Any]:
        while True:
            yield 1


class EndlessMapping(collections.abc.Mapping):  # type: ignore[type-arg]
    def __getitem__(self, key: Any) -> Any:
        return 1

    def __iter__(self) -> Iterator[Any]:
        number = 0
        while True:
            number += 1
            yield number

    def __len__(self) -> int:
        return 3


class WrongLength(Dict[str, Any]):
    def __len__(self) -> int:
        return 10**9

    def items(self) -> Any:
        raise RuntimeError("no items")


class Point(NamedTuple):
    x: Any
    y: Any


@dataclasses.dataclass
class Card:
    name: str
    secret: str = dataclasses.field(default="hidden", repr=False)
    tags: List[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(init=False)
class Unset:
    value: int


class Model:
    """Stands for a pydantic model."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    def model_dump(self) -> Dict[str, Any]:
        return self.values


class BrokenModel(Model):
    def model_dump(self) -> Dict[str, Any]:
        raise RuntimeError("no dump")


class EndlessModel(Model):
    def model_dump(self) -> Any:
        return [EndlessModel()]


class Scalar:
    """Stands for a numpy scalar or array of any size."""

    dtype = "float64"

    def __init__(self, size: int = 1) -> None:
        self.size = size

    def tolist(self) -> Any:
        return 1.5 if self.size == 1 else [1.5] * self.size

    def __repr__(self) -> str:
        return f"array(..., size={self.size})"


class Columns:
    """Stands for what gives a data frame or series by position."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, _: Any) -> Any:
        return self.owner


class Frame:
    """Stands for a pandas DataFrame."""

    def __init__(self, **columns: List[Any]) -> None:
        self.columns = list(columns)
        self._columns = columns
        self.iloc = Columns(self)

    iloc: Any = None
    columns: Any = ()

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), ()))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._columns)

    def __bool__(self) -> bool:
        raise ValueError("the truth value of a frame is ambiguous")

    __eq__ = None  # type: ignore[assignment]

    def to_dict(self, orient: str) -> Dict[str, List[Any]]:
        assert orient == "list"
        return self._columns

    def __repr__(self) -> str:
        return repr(self._columns)


class Labels:
    def __init__(self, labels: List[Any]) -> None:
        self._labels = labels

    def tolist(self) -> List[Any]:
        return self._labels


class Series:
    """Stands for a pandas Series."""

    dtype = "object"
    iloc: Any = None

    def __init__(self, labels: List[Any], items: List[Any]) -> None:
        self.index = Labels(labels)
        self._items = items
        self.size = len(items)
        self.iloc = Columns(self)

    def tolist(self) -> List[Any]:
        return self._items

    def to_dict(self) -> Any:
        raise AssertionError("a series is read by its labels and items")


class Raiser:
    """Raises whatever it was made with, wherever one looks."""

    def __init__(self, error: Any) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    __str__ = __repr__


class RaisingHash:
    """A key that was good when it was put in, and is no longer."""

    broken = False

    def __hash__(self) -> int:
        if RaisingHash.broken:
            raise RuntimeError("no hash")
        return 1

    def __eq__(self, other: object) -> bool:
        if RaisingHash.broken:
            raise RuntimeError("no eq")
        return self is other


class RaisingBool:
    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        return -1


class _UnhashableMeta(type):
    __hash__ = None  # type: ignore[assignment]

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("no eq")


class UnhashableClass(metaclass=_UnhashableMeta):
    pass


class LoudError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no str")


class Colour(enum.Enum):
    RED = "red"
    ODD = object()


class TextEnum(str, enum.Enum):
    A = "a"


class Text(str):
    pass


class Whole(int):
    pass


class Fraction(float):
    pass


def circle() -> Any:
    ring: Dict[str, Any] = {"list": []}
    ring["list"].append(ring)
    ring["self"] = ring
    return ring


def deep(levels: int = 5_000) -> Any:
    value: Any = "bottom"
    for level in range(levels):
        value = [value] if level % 2 else {"down": value}
    return value


def wide() -> Any:
    value: Any = "leaf"
    for _ in range(12):
        value = [value] * 12
    return value


ODDITIES: List[Callable[[], Any]] = [
    *(RaisingRepr, LyingRepr, HugeRepr, LyingClass, AnswersEverything),
    *(MetaAnswersEverything, lambda: MetaAnswersEverything, lambda: EndlessList([1])),
    *(EndlessMapping, lambda: WrongLength(a=1), lambda: Point(1, [2])),
    *(lambda: Card("ace"), lambda: Unset(), lambda: Card),
    *(lambda: Model(a=1), lambda: BrokenModel(a=1), EndlessModel),
    *(RaisingBool, lambda: {RaisingHash(): [RaisingHash()]}),
    *(lambda: Frame(a=[1], b=["x"]), lambda: Series([0], [1]), Frame),
    *(lambda: types.MappingProxyType(EndlessMapping()), lambda: Raiser(MemoryError())),
    *(Scalar, lambda: Scalar(500), lambda: Scalar(10**6)),
    *(lambda: LoudError("x"), lambda: ValueError("boom"), lambda: KeyError("k")),
    *(lambda: Colour.RED, lambda: Colour.ODD, lambda: TextEnum.A),
    *(lambda: Text("sub"), lambda: Whole(5), lambda: Fraction("nan")),
    *(circle, deep, wide, Mock, MagicMock, lambda: Mock(spec=dict)),
    *(lambda: MagicMock(spec=list), lambda: iter([1, 2]), lambda: (i for i in [1])),
    *(lambda: {1, "a", None}, lambda: frozenset([(1, 2)]), lambda: {(1, 2): 3}),
    lambda: {1: "int", "1": "str", None: 0, False: 1, 1.5: 2, b"k": 3},
    *(
        lambda: collections.OrderedDict(a=1),
        lambda: collections.defaultdict(list, a=[1]),
    ),
    *(lambda: collections.deque([1, [2]]), lambda: collections.Counter("aab")),
    *(lambda: collections.UserDict(a=1), lambda: collections.UserList([1])),
    *(lambda: collections.UserString("us"), lambda: collections.ChainMap({"a": 1})),
    *(lambda: types.MappingProxyType({"a": [1]}), lambda: {"a": 1}.keys()),
    *(lambda: {"a": 1}.items(), lambda: range(10**9), lambda: memoryview(b"abc")),
    *(lambda: bytearray(b"\xff\xfe"), lambda: b"text", lambda: b"\x80" * 10),
    *(lambda: float("nan"), lambda: float("inf"), lambda: -float("inf"), lambda: 1j),
    *(lambda: 2**63, lambda: -(2**64), lambda: 10**5_000, lambda: 2**63 - 1),
    *(lambda: "\ud800", lambda: "\ud83d\ude00", lambda: "\x00\x1f\u2028", lambda: ""),
    *(lambda: {"\ud800": "\udfff"}, lambda: "é" * 300_000, lambda: "😀" * 100_000),
    *(lambda: "x" * 3_000_000, lambda: [0.5] * 100_000, lambda: ["y" * 5_000] * 500),
    *(lambda: datetime.datetime(2026, 1, 2), lambda: datetime.date.max),
    *(lambda: datetime.timedelta(seconds=1.5), lambda: datetime.time(1)),
    *(lambda: uuid.UUID(int=1), lambda: decimal.Decimal("0.10"), object),
    *(lambda: decimal.Decimal("NaN"), lambda: fractions.Fraction(1, 3)),
    *(lambda: int, lambda: print, lambda: circle, lambda: logging.getLogger("odd")),
    *(lambda: pathlib.PurePosixPath("/a"), lambda: Ellipsis, lambda: NotImplemented),
    *(lambda: None, lambda: True, lambda: 0, lambda: -0.0, dict, list, tuple, set),
]
"""Makers, so that every test gets a fresh one."""


def lowered(text: str) -> str:
    """Stand for a redactor that is named in a configuration."""
    return text.lower()
