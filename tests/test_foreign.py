"""What objects of other people's classes tell, and what they are never asked."""

from __future__ import annotations

import collections
import dataclasses
import gc
import logging
import weakref
from typing import Any, Deque, Dict, List, Mapping, Optional, Tuple

import pytest

from agentmonitor_logging._fields import fields_of
from agentmonitor_logging.events import event_from_record
from interpreters import Interpreter, assert_clean, interpreter, run  # noqa: F401

SECRET = "ordinary-pan"


def shown(value: Any) -> Any:
    """Return what an event shows of *value*."""
    record = logging.makeLogRecord({"msg": "x", "value": value})
    return event_from_record(record, agent_id="bot")["metadata"]["value"]


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


def test_a_class_is_not_kept_alive_by_what_is_known_of_it() -> None:
    """A class that is made anew for every call may go when the call has ended."""
    kind = dataclasses.make_dataclass("Brief", ["x"])

    assert shown(kind(1)) == {"x": 1}
    assert fields_of(kind) is not None
    gone = weakref.ref(kind)
    del kind
    gc.collect()

    assert gone() is None
