"""What objects of other people's classes tell, and what they are never asked."""

from __future__ import annotations

import collections
import dataclasses
import gc
import logging
import weakref
from typing import (
    Any,
    Deque,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Tuple,
)

import pytest

from agentmonitor_logging._fields import fields_of
from agentmonitor_logging.events import event_from_record
from agentmonitor_logging.redaction import Redactor
from interpreters import Interpreter, assert_clean, interpreter, run  # noqa: F401

SECRET = "ordinary-pan"


def event_of(value: Any) -> Any:
    record = logging.makeLogRecord({"msg": "x", "value": value})
    return event_from_record(record, agent_id="bot")


def shown(value: Any) -> Any:
    """Return what an event shows of *value*."""
    return event_of(value)["metadata"]["value"]


def message_of(msg: Any, *args: Any) -> str:
    logger = logging.getLogger("shop")
    record = logger.makeRecord("shop", logging.INFO, "f", 1, msg, args, None)
    event = event_from_record(record, agent_id="bot")
    assert "format_error" not in event["metadata"]
    text: str = event["metadata"]["message"]
    return text


@dataclasses.dataclass
class Hidden:
    name: str = "n"
    pan: str = dataclasses.field(default=SECRET, repr=False)


@dataclasses.dataclass
class Masked:
    pan: str = SECRET

    def __repr__(self) -> str:
        return f"Masked(****{self.pan[-3:]})"


class Inheriting(Masked):
    pass


@dataclasses.dataclass(repr=False)
class Extending(Masked):
    more: str = SECRET


@dataclasses.dataclass(repr=False)
class Widened(Hidden):
    more: str = SECRET


@dataclasses.dataclass(repr=False)
class Silent:
    pan: str = SECRET


class TestWrittenReprs:
    @pytest.mark.parametrize("kind", [Masked, Inheriting, Extending])
    def test_a_dataclass_is_shown_by_the_repr_that_somebody_wrote(
        self, kind: Any
    ) -> None:
        """A repr that is not the generated one decides what is shown, inherited too."""
        assert shown(kind()) == "Masked(****pan)"
        assert shown([{"deep": kind()}]) == [{"deep": "Masked(****pan)"}]

    def test_a_dataclass_without_a_repr_of_its_own_shows_no_more_than_its_base(
        self,
    ) -> None:
        """With `repr=False` only what the base class's repr shows is shown, or none."""
        assert shown(Widened()) == {"name": "n"}
        assert SECRET not in str(shown(Silent()))

    def test_an_attrs_class_is_shown_as_its_repr_shows_it(self) -> None:
        """A written repr, `repr=False` and `repr=callable` all hold."""
        attr = pytest.importorskip("attr")

        @attr.s(auto_attribs=True)
        class Plain:
            name: str = "n"
            pan: str = attr.ib(default=SECRET, repr=False)
            pin: str = attr.ib(default=SECRET, repr=lambda value: value[:2] + "..")

        @attr.define
        class Written:
            pan: str = SECRET

            def __repr__(self) -> str:
                return "Written(*)"

        assert shown(Plain()) == {"name": "n", "pin": "or.."}
        assert shown(Written()) == "Written(*)"

    def test_generated_reprs_are_told_from_written_ones(
        self,
        interpreter: Interpreter,  # noqa: F811
    ) -> None:
        """Each version of Python makes the repr of a dataclass in its own way."""
        outcome = run(interpreter, REPRS)

        assert_clean(outcome)
        assert outcome.stdout.split() == ["False"] * 3 + ["True"] * 5


REPRS = """
import functools, reprlib
from dataclasses import dataclass
from agentmonitor_logging._fields import is_written

def decorated(method):
    return functools.wraps(method)(lambda self: method(self))

@dataclass
class Generated: x: int = 1
class Inheriting(Generated): pass
@dataclass
class Written:
    def __repr__(self): return ""
@dataclass
class Again(Written): pass
class Inherited(Written): pass
@dataclass
class Wrapped:
    @decorated
    def __repr__(self): return ""
@dataclass
class Recursive:
    @reprlib.recursive_repr()
    def __repr__(self): return ""
@dataclass(repr=False)
class Silent: pass

for kind in (
    Generated, Inheriting, Again, Written, Inherited, Wrapped, Recursive, Silent
):
    print(is_written(kind))
"""


class TestPydantic:
    def test_what_is_kept_out_of_a_models_repr_is_not_shown(self) -> None:
        """`Field(repr=False)` holds for a model wherever in another one it stands."""
        pydantic = pytest.importorskip("pydantic")

        class Card(pydantic.BaseModel):
            holder: str = "Ann"
            pan: str = pydantic.Field(SECRET, repr=False)

        card = Card()
        tree = pydantic.create_model(
            "Tree",
            one=(Card, card),
            some=(List[Card], [card]),
            named=(Dict[str, Card], {"k": card}),
            mapping=(Mapping[str, Card], {"k": card}),
            pair=(Tuple[int, Card], (1, card)),
            queue=(Deque[Card], collections.deque([card])),
            maybe=(Optional[Card], card),
            anything=(Any, [{"k": (card, Hidden())}]),
            old=(Hidden, Hidden()),
            masked=(List[Masked], [Masked()]),
        )

        assert shown(card) == {"holder": "Ann"}
        ann = {"holder": "Ann"}
        assert shown(tree()) == {
            **{"one": ann, "some": [ann], "named": {"k": ann}, "mapping": {"k": ann}},
            **{"pair": [1, ann], "queue": [ann], "maybe": ann},
            **{"anything": [{"k": [ann, {"name": "n"}]}], "old": {"name": "n"}},
            "masked": ["Masked(****pan)"],
        }

    def test_it_holds_behind_every_feature_of_a_model(self) -> None:
        """Aliases, computed and extra fields, roots and reprs hide what they should."""
        pydantic = pytest.importorskip("pydantic")
        hidden = pydantic.Field(SECRET, repr=False)
        Card = pydantic.create_model("Card", holder=(str, "Ann"), pan=(str, hidden))
        Cards = pydantic.RootModel[List[Card]]

        class Pin(pydantic.RootModel[str]):
            def __repr__(self) -> str:
                return "Pin(*)"

        class Everything(pydantic.BaseModel):
            model_config = {"extra": "allow", "populate_by_name": True}
            pan: str = pydantic.Field(SECRET, repr=False, alias="thePan")
            card: Card = pydantic.Field(Card(), alias="theCard")
            pin: Pin = Pin(SECRET)
            cards: Cards = Cards([Card()])
            out: str = pydantic.Field(SECRET, exclude=True)
            key: pydantic.SecretStr = pydantic.SecretStr(SECRET)

            @pydantic.computed_field
            def best(self) -> Card:
                return Card()

            @pydantic.computed_field(repr=False)
            def worst(self) -> str:
                return SECRET

        class Aliased(Everything):
            def model_dump(self, **options: Any) -> Any:
                return super().model_dump(**{**options, "by_alias": True})

        rest = {
            **{
                "pin": "Pin(*)",
                "cards": [{"holder": "Ann"}],
                "best": {"holder": "Ann"},
            },
            **{"key": "SecretStr('**********')", "extra": {"holder": "Ann"}},
        }
        assert shown(Everything(extra=Card())) == {"card": {"holder": "Ann"}, **rest}
        assert shown(Aliased(extra=Card())) == {"theCard": {"holder": "Ann"}, **rest}
        assert shown(Pin(SECRET)) == "Pin(*)"
        assert shown(Cards([Card()])) == [{"holder": "Ann"}]

    def test_a_serializer_decides_what_is_shown(self) -> None:
        """What an author has a field or model written as is what the event has."""
        pydantic = pytest.importorskip("pydantic")

        class Order(pydantic.BaseModel):
            pan: str = SECRET
            card: Masked = Masked()

            @pydantic.field_serializer("pan")
            def mask(self, value: str) -> str:
                return value[:2]

            @pydantic.field_serializer("card")
            def simplify(self, value: Masked) -> Dict[str, int]:
                return {"length": len(value.pan)}

        class Whole(pydantic.BaseModel):
            order: Order = Order()

            @pydantic.model_serializer
            def write(self) -> List[str]:
                return ["all", "mine"]

        assert shown(Order())["pan"] == "or"
        assert shown(Whole()) == ["all", "mine"]
        assert shown(pydantic.create_model("Holder", w=(Whole, Whole()))()) == {
            "w": ["all", "mine"]
        }

    def test_a_model_is_shown_by_the_repr_that_somebody_wrote(self) -> None:
        """As for any other object."""
        pydantic = pytest.importorskip("pydantic")

        class Written(pydantic.BaseModel):
            pan: str = SECRET

            def __repr__(self) -> str:
                return "Written(*)"

        holder = pydantic.create_model("Holder", inner=(Written, Written()))

        assert shown(Written()) == "Written(*)"
        assert shown(holder()) == {"inner": "Written(*)"}

    @pytest.mark.filterwarnings("ignore")
    def test_a_model_of_pydantic_1_keeps_its_fields_as_well(self) -> None:
        """Its `Field(repr=False)` is found where that version keeps it."""
        old = pytest.importorskip("pydantic.v1")
        hidden = old.Field(SECRET, repr=False)
        Card = old.create_model("Card", holder=(str, "Ann"), pan=(str, hidden))
        Tree = old.create_model("Tree", some=(List[Card], [Card()]))

        assert shown(Card()) == {"holder": "Ann"}
        assert shown(Tree()) == {"some": [{"holder": "Ann"}]}


READS: List[str] = []
"""What was loaded."""


class Lazy:
    """A descriptor that loads what the object has not."""

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return None
        READS.append(self.name)
        return instance.__dict__.get(self.name, "loaded")

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self.name] = value


class Column(NamedTuple):
    key: str


class Mapper:
    primary_key = (Column("id"),)


class State:
    """Stands for SQLAlchemy's account of an object."""

    def __init__(self, number: Optional[int]) -> None:
        self.key = None if number is None else (Row, (number,), None)


class Row:
    """Stands for a mapped object of SQLAlchemy."""

    __mapper__ = Mapper
    pan = Lazy()
    children = Lazy()

    def __init__(self, number: Optional[int] = None, **loaded: Any) -> None:
        self._sa_instance_state = State(number)
        self._private = SECRET
        self.__dict__.update(loaded)


class Described(Row):
    def __repr__(self) -> str:
        return f"<{self.pan}>"


@dataclasses.dataclass
class Mapped:
    """Stands for one that is a dataclass as well."""

    name: str = Lazy()  # type: ignore[assignment]
    pan: str = dataclasses.field(default=SECRET, repr=False)

    def __post_init__(self) -> None:
        self._sa_instance_state = State(None)


class Primary:
    attname = "id"


class Meta:
    pk = Primary


class DjangoModel:
    """Stands for Django's base class of models."""

    __module__ = "django.db.models.base"
    _meta = Meta
    note = Lazy()

    def __init__(self, **loaded: Any) -> None:
        self._state = object()
        self.__dict__.update(loaded)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


class Order(DjangoModel):
    def __str__(self) -> str:
        return str(self.note)


class Secretive(Order):
    def __repr__(self) -> str:
        return f"<{self.note}>"


class QuerySet:
    """Stands for Django's."""

    __module__ = "django.db.models.query"

    def __init__(self, result: Optional[List[Any]] = None) -> None:
        self.model = Order
        self._result_cache = result

    def __iter__(self) -> Any:
        READS.append("all")
        return iter(self._result_cache or ())

    def __repr__(self) -> str:
        return repr(list(self))


class Mine(QuerySet):
    pass


@pytest.fixture
def _unread() -> Iterator[None]:
    """Fail if anything was loaded."""
    READS.clear()
    yield
    assert [] == READS


@pytest.mark.usefixtures("_unread")
class TestWhatLoadsLazily:
    def test_no_descriptor_of_a_dataclass_is_run(self) -> None:
        """Fields are read where they are stored: in the object, a slot, or the class."""

        @dataclasses.dataclass
        class Loading:
            there: int = Lazy()  # type: ignore[assignment]
            missing: int = Lazy()  # type: ignore[assignment]
            default: int = dataclasses.field(default=3, init=False)

        @dataclasses.dataclass
        class Slotted:
            __slots__ = ("a", "b")
            a: int
            b: int

        loading, slotted = Loading(1, 2), Slotted(1, 2)
        del loading.__dict__["missing"], slotted.b

        assert shown(loading) == {"there": 1, "missing": "[unset]", "default": 3}
        assert shown(slotted) == {"a": 1, "b": "[unset]"}

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (Row(), {"class": "Row"}),
            (Row(7), {"class": "Row", "id": 7}),
            (Row(7, id=7, pan="p"), {"class": "Row", "id": 7, "pan": "p"}),
            (Described(7, id=7, pan=SECRET), {"class": "Described", "id": 7}),
            (Mapped("n"), {"class": "Mapped", "name": "n"}),
            (Order(id=3, x=[1]), {"class": "Order", "id": 3, "x": [1]}),
            (Order(), {"class": "Order"}),
            (Secretive(id=3, note=SECRET), {"class": "Secretive", "id": 3}),
            (QuerySet(), {"class": "QuerySet", "model": "Order"}),
            (
                Mine([Order(id=1)]),
                {
                    **{"class": "Mine", "model": "Order"},
                    "items": [{"class": "Order", "id": 1}],
                },
            ),
        ],
    )
    def test_what_stands_for_a_row_is_shown_as_far_as_it_is_loaded(
        self, value: Any, expected: Any
    ) -> None:
        """Nothing is read from a database, and no repr is made that might do so.

        A repr that somebody wrote may hide attributes: then only the key is shown.
        """
        assert shown(value) == expected
        assert shown({"deep": [value]}) == {"deep": [expected]}

    def test_rows_that_refer_to_each_other_come_to_an_end(self) -> None:
        """Circles are marked, depth and number are bounded, secrets replaced."""
        parent = Row(1)
        parent.children = [Row(2, parent=parent, held=Hidden(), password="x1y2z3")]
        wide = Row(1, children=[Row(n, id=n) for n in range(20_000)])

        child = {"class": "Row", "id": 2, "parent": "[circular]"}
        assert shown(parent) == {
            **{"class": "Row", "id": 1},
            "children": [{**child, "held": {"name": "n"}, "password": "x1y2z3"}],
        }
        assert len(shown(wide)["children"]) < 20_000
        redacted = Redactor().redact(event_of(parent))["metadata"]["value"]
        assert redacted["children"][0]["password"] == "[REDACTED]"

    @pytest.mark.parametrize("row", [Row(7), Described(7), Order(id=7)])
    def test_a_message_names_the_row(self, row: Any) -> None:
        """A message is made later, so that a row in it is its class and key."""
        name = f"{type(row).__name__}(id=7)"

        assert message_of("saved %s", row) == f"saved {name}"
        assert message_of("saved %(row)s", {"row": row}) == f"saved {name}"
        assert message_of(row) == name
        assert message_of("%s", {row: 1}) == str({name: 1})
        assert "7" in message_of("%s of %s", [row], {(row, 1): 2})
        assert "7" in message_of("%s", {(row, 1): 2})
        assert message_of("all %s", QuerySet()) == "all QuerySet(model='Order')"

    def test_a_row_that_cannot_be_told_is_not_asked_either(self) -> None:
        """Where even the key fails there is a marker, never the repr."""
        broken = Row(7)
        broken._sa_instance_state.key = 17  # type: ignore[assignment]

        assert shown(broken) == "[unrepresentable Row]"
        assert message_of("saved %s", broken) == "saved [unrepresentable Row]"

    def test_a_row_inside_a_pydantic_model_is_shown_alike(self) -> None:
        """What is both, as a SQLModel is, is shown as a row, less what it hides."""
        pydantic = pytest.importorskip("pydantic")

        class Table(pydantic.BaseModel):
            id: int = 1
            pan: str = pydantic.Field(SECRET, repr=False)

        holder = pydantic.create_model(
            "Holder", inner=(Any, Row(7)), table=(Table, ...)
        )
        table = Table()
        table.__dict__["_sa_instance_state"] = State(None)

        told = {"class": "Table", "id": 1}
        assert shown(table) == told
        assert shown(holder(table=table)) == {
            "inner": {"class": "Row", "id": 7},
            "table": told,
        }


def test_a_proxy_to_what_is_gone_ends_with_itself() -> None:
    """One that answers for its own `__dict__`, and cannot, costs no event."""

    class Proxy:
        @property
        def __dict__(self) -> Any:  # type: ignore[override]
            raise RuntimeError("outside of a request")

        def __repr__(self) -> str:
            return "<Proxy unbound>"

    assert shown(Proxy()) == "<Proxy unbound>"
    assert message_of("by %s", Proxy()) == "by <Proxy unbound>"


def test_a_class_is_not_kept_alive_by_what_is_known_of_it() -> None:
    """A class that is made anew for every call may go when the call has ended."""
    kind = dataclasses.make_dataclass("Brief", ["x"])

    assert shown(kind(1)) == {"x": 1}
    assert fields_of(kind) is not None
    gone = weakref.ref(kind)
    del kind
    gc.collect()

    assert gone() is None
