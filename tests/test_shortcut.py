"""The short way to an event is the careful way, where it is taken."""

from __future__ import annotations

import copy
import gc
import json
import logging
import sys
import tracemalloc
import types
import weakref
from typing import Any, Dict, List, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oddities
from agentmonitor_logging import _encoding, _shapes
from agentmonitor_logging._capsule import opened
from agentmonitor_logging._encoding import encode, fast_dumps
from agentmonitor_logging._plain import PlainEvent
from agentmonitor_logging._shortcut import call_event, plain_event, words_as_usual
from agentmonitor_logging._snapshot import named, snapshot_record
from agentmonitor_logging._templates import RecordTemplate, Source
from agentmonitor_logging.context import agent_context
from agentmonitor_logging.events import _Reading, event_from_record
from agentmonitor_logging.formatter import AgentEventFormatter
from agentmonitor_logging.redaction import Redactor

LIMIT = 262_144
HISTORY = [{"role": "user", "content": f"message {n}"} for n in range(20)]

PLAIN: Dict[str, Dict[str, Any]] = {
    "a bare line": {},
    "fields of the event": {
        "event_type": " tool_call ",
        "input_data": {"q": "x", "n": [1, 2.5, None, {"deep": [True]}]},
        "output_data": ["a", "b"],
        "cost_usd": 0.25,
        "latency_ms": 12.6,
        "status": "ok",
        "timestamp": 1792152000.25,
        "session_id": "s",
        "user_id": "u",
        "function_name": "f",
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "parent_span_id": None,
        "metadata": {"release": "1", "tags": ["a"]},
    },
    "a chat history": {"input_data": {"messages": HISTORY}, "output_data": "yes"},
    "twelve extra fields": {f"field_{n}": n for n in range(12)},
    "text of the world": {"input_data": {"q": "é漢\U0001f600\x00"}, "other": "ü"},
    "names with a meaning elsewhere": {
        **{"%": 1, "%s": "x", 'a"b': [1], "back\\slash": None, "{0}": 2, "\n": True},
        "input_data": {"%d": "100 %", "{": "}"},
    },
    "what metadata says too": {
        **{"tenant": "own", "release": 7, "region": None, "step": [1, {"x": 2}]},
        "metadata": {"step": "other", "tenant": "other", "more": 1},
    },
    "a function of its own": {
        "function_name": "told",
        "metadata": {"function_name": "other", "module": "shown"},
    },
    "numbers of all sizes": {
        **{"tiny": 5e-324, "huge": 1e300, "none": -0.0, "exact": 0.1 + 0.2},
    },
    "a tuple": {"input_data": (1, "two"), "output_data": ()},
    "whole numbers": {"a": 2**63 - 1, "b": -(2**63), "cost_usd": 1, "latency_ms": 0},
}

UNUSUAL: Dict[str, Dict[str, Any]] = {
    "an error": {"status": "error"},
    "an error message": {"error_message": "bad"},
    "another agent": {"agent_id": "other"},
    "an id that is none": {"trace_id": "xyz"},
    "a reserved name": {"level": "high"},
    "a secret attribute": {"_agent_own": 1},
    "a large number": {"a": 2**63},
    "a large negative number": {"a": -(2**63) - 1},
    "the largest negative number": {"a": -(2**64), "b": 2**64},
    "negative infinity": {"a": float("-inf")},
    "not a number": {"a": float("nan")},
    "half a surrogate": {"a": "\ud800"},
    "a long name": {"x" * 300: 1},
    "a name with an accent": {"input_data": {"né": 1}},
    "a number as name": {"input_data": {1: 2}},
    "a tuple": {"input_data": {"x": (1, 2)}},
    "an object": {"input_data": oddities.Card("x")},
    "much text": {"input_data": "x" * 100_000},
    "many items": {"input_data": list(range(9_000))},
}


def record_of(msg: Any = "m", args: Any = (), **extra: Any) -> logging.LogRecord:
    record = logging.LogRecord("shop", 20, "/a/basket.py", 7, msg, args, None, "buy")
    record.__dict__.update(extra)
    return snapshot_record(record)


def short(record: logging.LogRecord, **options: Any) -> Optional[PlainEvent]:
    return plain_event(record.__dict__, "bot", options.get("metadata"), LIMIT)


def careful(record: logging.LogRecord, **options: Any) -> Dict[str, Any]:
    return _Reading(record, "bot", LIMIT).event(options.get("metadata"), None)


def same(event: PlainEvent, other: Any) -> bool:
    """Tell whether both are the same JSON, down to the order and kind of everything.

    As a dict, and as it is encoded without one.
    """
    encoded = _encoding._plain_json(event)
    read = json.loads(encoded, object_pairs_hook=distinct)
    return json.dumps(other) == json.dumps(event.as_event()) == json.dumps(read)


def distinct(pairs: List[Any]) -> Dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


@pytest.mark.parametrize("extra", PLAIN.values(), ids=PLAIN)
def test_usual_records_take_it(extra: Dict[str, Any]) -> None:
    """Texts, numbers and containers of them make the event that care would make."""
    with agent_context(session_id="s-1", agent_id="bound", tenant="north"):
        record = record_of("step %d of %s", (3, "five"), **extra)
    metadata = {"release": "2", "region": "eu", "function_name": "handler's"}
    event = short(record, metadata=metadata)

    assert event is not None
    assert same(event, careful(record, metadata=metadata))


@pytest.mark.parametrize("extra", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_records_do_not(extra: Dict[str, Any]) -> None:
    """Whatever has to be mended, cut, rendered or sorted out is left to care."""
    assert short(record_of(**extra)) is None


@pytest.mark.parametrize(
    ("msg", "args"), [("%d", ("x",)), (object(), ()), ("%(a)s", ({"a": 1},)), (1, ())]
)
def test_messages_that_do_not_format_do_not(msg: Any, args: Any) -> None:
    """What fails, or may run somebody's code, is left to care."""
    assert short(record_of(msg, args)) is None


def test_metadata_of_the_handler_that_holds_more_than_scalars_does_not() -> None:
    """It is the application's, and has not been copied."""
    assert short(record_of(), metadata={"tags": ["a"]}) is None


@pytest.mark.parametrize("known", [True, False])
def test_json_is_what_json_makes_of_it(known: bool) -> None:
    """Also where many characters make it worth while to remember texts, twice."""
    tree = {"a": ['é\n"', {"b": 1.5, "c": [None, True, -(2**63)]}, 'é\n"'], "": {}}
    encode_it = _encoding._encoder(
        _encoding._Literals().__getitem__ if known else str.__repr__
    )
    if known:
        assert encode_it is not None
        for _ in range(2):
            assert json.dumps(tree, **_encoding._UNLOOPED, ensure_ascii=False) == (
                encode_it(tree)
            )
    else:
        assert encode_it is None


def test_without_the_encoder_in_c_json_is_asked_the_usual_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its maker is not documented, and other Pythons have none."""
    event = short(record_of(input_data={"messages": HISTORY * 10}))
    assert event is not None
    expected = encode(event, LIMIT)
    monkeypatch.setattr(_encoding, "_ENCODER", None)
    monkeypatch.setattr(_encoding, "_encode_known", _encoding._encoder(repr))
    monkeypatch.setattr(_encoding, "_encode_plain", _encoding._DOCUMENTED.encode)

    assert _encoding._encode_known is None
    assert expected == encode(event, LIMIT)


def test_remembered_texts_are_bounded() -> None:
    """In their number, in their size, and in all."""
    known = _encoding._Literals()
    for number in range(20_000):
        text = f"{number:05}" * (1 + number % 300)
        assert f'"{text}"' == known[text]
        assert sum(map(len, known)) <= _encoding._MAX_LITERALS
        assert len(known) <= _encoding._MAX_LITERALS // 64
    assert "x" * 5_000 not in known
    assert '"xy"' == known["xy"]
    assert "xy" in known


class Label(str):
    """A text of a class of the application's, with ways of its own."""

    def strip(self, *chars: Any) -> str:
        raise SystemExit("nobody is to ask")


def test_nothing_of_the_application_is_kept() -> None:
    """Neither an object in a place where its text is known, nor its class."""
    assert short(record_of(input_data={"customer": 1}))
    label, kind = Label("customer"), type("Kind", (), {})
    gone = [weakref.ref(label), weakref.ref(kind)]
    record = record_of(input_data={label: "x" * _encoding._LARGE}, thing=kind())
    event = event_from_record(record, agent_id="bot")
    assert b'"customer":"x' in encode(event, LIMIT)
    assert _encoding._literal(label) == '"customer"'
    del event, record, label, kind
    gc.collect()

    assert [None, None] == [one() for one in gone]


def test_shapes_of_made_up_names_are_bounded() -> None:
    """In their number, and in how much each of them holds."""
    tracemalloc.start()
    for number in range(400):
        padding = "\x01x"[number % 2]
        made_up = {f"{number}_{n}_".ljust(64, padding): 1 for n in range(66)}
        assert bool(short(record_of(**made_up))) is (padding == "x")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(_shapes._shapes) <= _shapes._MAX_SHAPES
    assert held < 8_000_000
    assert short(record_of(**{"x" * 68: 1})) is None
    assert short(record_of(**{"\x01" * 20: 1})) is None
    assert short(record_of(**{f"n{n}": 1 for n in range(70)})) is None


class Liar(str):
    """A key that is, to hear it, any other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return hash("customer")


@pytest.mark.parametrize("wrapped", [dict, lambda one: {"x": [one]}, lambda x: [x] * 9])
def test_a_key_of_a_class_of_its_own_is_for_care(wrapped: Any) -> None:
    """It may claim to be one that is known, and be a secret."""
    assert short(record_of(input_data={"customer": "1"}))

    assert (
        short(record_of(input_data=wrapped({Liar("sk-" + "a1B2" * 10): "1"}))) is None
    )


class _Agreeing(type):
    """Builds a query where others compare, and so is equal to anything."""

    def __eq__(cls, other: object) -> Any:
        return ("==", cls, other)

    __hash__ = type.__hash__


class Agreeing(metaclass=_Agreeing):
    """An object of the application that shows what nobody may see."""

    def __repr__(self) -> str:
        return "sk-" + "a1B2" * 10


@pytest.mark.parametrize("before", [None, True, 1, 0.5, "x"])
def test_a_class_that_equals_any_other_is_for_care(before: Any) -> None:
    """Its objects are not taken for what stood in their place the last time."""
    assert short(record_of(user=before))

    assert short(record_of(user=Agreeing())) is None


def test_what_is_no_copy_of_ours_may_be_of_any_depth() -> None:
    """It is cut like everything else, by whoever makes a line or an event of it."""
    tree: List[Any] = []
    for _ in range(950):
        tree = [tree]
    record = record_of()
    record.__dict__.update(password="kitten-42", deep=tree)
    line = AgentEventFormatter(agent_id="bot").format(record)

    assert '"deep":[' in line
    assert "kitten" not in line
    assert event_from_record(record, agent_id="bot")["metadata"]["deep"]


@pytest.mark.parametrize("agent_id", [Label("mine"), 7, object()])
def test_an_agent_of_another_class_is_for_care(agent_id: Any) -> None:
    """Whatever its methods are called."""
    with agent_context(agent_id=agent_id):
        assert short(record_of(n=1)) is None


@pytest.mark.parametrize("latency", [-5, 2**53, 2**70])
def test_a_clock_that_was_turned_is_for_care(latency: int) -> None:
    """A call may seem to end before it began: that is told, not shipped."""
    stamped = RecordTemplate(20, "%s ok %d ms", Source("a.py", 1, "f")).stamped(
        logging.Logger("shop")
    )
    assert stamped is not None
    for given, is_plain in ((12, True), (latency, False)):
        step = (1.7e9, given, "ab" * 16, "cd" * 8, None, None)
        capsule = (*stamped, *step, ("f", "call", {}, ("x",)), (1,), None, (0,))
        event = call_event(capsule, "e" * 32, "bot", None, LIMIT)
        record = named(opened(capsule), "e" * 32)
        if is_plain:
            assert event is not None
            assert same(event, careful(record))
        else:
            assert event is None
            told = careful(record)["metadata"]["latency_ms_invalid"]
            assert str(given) == str(told)


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["success", "error", "ab" * 16, "cd" * 8, " "]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), inner),
        st.tuples(inner),
    ),
    max_leaves=20,
)
NAMES = st.sampled_from(
    """event_type input_data output_data metadata cost_usd latency_ms status trace_id
    span_id parent_span_id session_id user_id function_name timestamp agent_id event_id
    error_message level logger module other more _agent_more %s " \\ {0}""".split()
)


@settings(max_examples=600, deadline=None)
@given(
    st.dictionaries(NAMES, VALUES, max_size=5),
    st.text(max_size=10),
    st.dictionaries(NAMES, SCALARS, max_size=2),
    st.dictionaries(NAMES, SCALARS, max_size=2),
)
def test_any_record_that_takes_it_comes_out_the_same(
    extra: Dict[str, Any], msg: str, bound: Dict[str, Any], metadata: Dict[str, Any]
) -> None:
    """There is no record of which the two ways make different events."""
    with agent_context(**bound):
        record = record_of(msg, **extra)
    event = short(record, metadata=metadata)

    if event is not None:
        assert same(event, careful(record, metadata=metadata))


def test_the_texts_and_names_are_all_that_a_secret_could_be_in() -> None:
    """Every text and key of the event is among them, but for ids and times of ours."""
    event = short(record_of(**PLAIN["fields of the event"], other={"k": ["v"]}))

    assert event is not None
    assert {"x", "deep", "k", "v", "m", "shop", "bot", "tool_call", "release"} <= (
        {*event.texts, *event.names, *event.form.names}
    )
    assert event.as_event()["metadata"]["event_id"] not in event.texts


def test_a_record_stays_as_it_is_when_its_event_is_redacted() -> None:
    """Other targets of the same listener see what was logged."""
    held = {
        "password": "kitten-42",
        "messages": [*HISTORY, {"content": "sk-" + "a1" * 20}],
    }
    record = record_of(input_data=copy.deepcopy(held))
    event = short(record)
    assert event is not None
    redacted = encode(Redactor().redact(event), LIMIT).decode()

    assert "kitten" not in redacted
    assert "a1a1" not in redacted
    assert held == record.input_data


def test_the_event_of_a_record_is_the_callers_own() -> None:
    """Who asks for an event by `event_from_record` may change it."""
    record = record_of(input_data={"deep": [1]})
    event = event_from_record(record, agent_id="bot")
    event["input_data"]["deep"].append(2)

    assert {"deep": [1]} == record.input_data


SECRET = "sk-" + "a1B2" * 10
PLACES: Dict[str, Dict[str, Any]] = {
    "the message": {"msg": f"key {SECRET}"},
    "an argument": {"msg": "key %s", "args": (SECRET,)},
    "a text": {"tag": f"key {SECRET}"},
    "a list": {"tags": ["a", {"b": f"key {SECRET}"}]},
    "metadata of the record": {"metadata": {"note": [f"key {SECRET}"]}},
    "what two say": {
        "tenant": "x",
        "metadata": {"tenant": f"key {SECRET}", "n": SECRET},
    },
    "the type": {"event_type": f"key {SECRET}"},
    "the session": {"session_id": f"key {SECRET}"},
    "the function": {"function_name": f"key {SECRET}"},
    "the input": {"input_data": {"q": [f"key {SECRET}"]}},
    "the output": {"output_data": f"key {SECRET}"},
    "a history": {"input_data": [*HISTORY, {"content": f"key {SECRET}"}]},
    "nowhere": {},
}


@pytest.mark.parametrize("place", [*PLACES, "the handler", "the context", "the agent"])
@pytest.mark.parametrize("has_orjson", [True, False])
def test_no_secret_is_left_wherever_it_stands(
    place: str, has_orjson: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are those of the careful way, with any encoder, alone or with others."""
    if not has_orjson:
        monkeypatch.setattr(_encoding, "fast_dumps", lambda: None)
    secret = f"key {SECRET}"
    metadata = {"region": "eu", "note": secret if place == "the handler" else "none"}
    bound = {"the context": {"city": secret}, "the agent": {"agent_id": secret}}
    with agent_context(**bound.get(place, {})):
        record = record_of(**PLACES.get(place, {}))
    plain = [short(one, metadata=metadata) for one in (record, record_of(n=1), record)]
    events = [event for event in plain if event is not None]
    expected = json.dumps(Redactor().redact(careful(record, metadata=metadata)))
    first, _, last = Redactor().redact_all(events)

    assert SECRET not in expected
    for event in (first, last):
        sent = json.loads(encode(event, LIMIT), object_pairs_hook=distinct)
        assert expected == json.dumps(sent)


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_what_grows_in_encoding_is_truncated(ensure_ascii: bool) -> None:
    """The bound is that of the bytes, whatever the characters take."""
    event = short(record_of(input_data={"text": "\x01\u00e9" * 30_000}))

    assert event is not None
    line = encode(event, 65_536, ensure_ascii=ensure_ascii)
    assert len(line) <= 65_536
    assert ensure_ascii is line.isascii()
    assert event.as_event()["metadata"]["event_id"].encode() in line


@pytest.mark.parametrize(
    "field", ["input_data", "output_data", "agent_id", "cost_usd", "trace_id"]
)
def test_a_field_of_the_event_may_be_named_as_secret(field: str) -> None:
    """redact_keys are held against every key, those of the event itself included."""
    event = short(record_of(**PLAIN["fields of the event"]))
    assert event is not None
    redacted = json.loads(encode(Redactor([field]).redact(event), LIMIT))

    assert "[REDACTED]" == {**redacted, **redacted["metadata"]}[field]


def test_an_event_id_of_the_callers_own_may_hold_a_secret() -> None:
    """It is a text like any other, and scanned like one."""
    record = record_of(event_id="order-sk-" + "a1B2" * 10)
    event = event_from_record(record, agent_id="bot")

    assert "a1B2a1B2" not in str(Redactor().redact(event)["metadata"]["event_id"])


def test_a_record_class_that_words_its_own_message_is_heeded() -> None:
    """getMessage may mask what the arguments hold."""

    class Masking(logging.LogRecord):
        def getMessage(self) -> str:
            return "card ****"

    record = Masking("shop", 20, "/a.py", 7, "card 4111", (), None, "buy")
    record = snapshot_record(record)

    assert short(record) is not None
    assert not words_as_usual(type(record))
    assert "card ****" == event_from_record(record, agent_id="b")["metadata"]["message"]


def test_a_key_of_a_class_of_its_own_is_encoded_as_text() -> None:
    """Whether it was seen before or not, and without a mark of anything missing."""

    class Name(str):
        pass

    for key in ("x", Name("x")):
        event = event_from_record(record_of(input_data={key: 1}), agent_id="bot")
        line = encode(event, LIMIT)

        assert b'"input_data":{"x":1}' in line
        assert b"truncated" not in line


def test_a_negative_duration_is_none() -> None:
    """It is not rounded up to nothing."""
    assert short(record_of(latency_ms=-0.4)) is None


def test_an_orjson_that_does_not_work_is_passed_by(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One too old for its options costs its speed, and no event."""
    monkeypatch.setitem(sys.modules, "orjson", types.ModuleType("orjson"))
    fast_dumps.cache_clear()
    event = short(record_of(a=1))

    assert fast_dumps() is None
    assert b'"a":1' in encode(event or {}, LIMIT)
    fast_dumps.cache_clear()


def test_an_encoded_event_takes_no_more_room_than_its_bytes() -> None:
    """Tens of thousands may wait in memory, so none holds on to spare room."""
    events = [short(record_of(a=number)) for number in range(4_000)]
    lines: List[bytes] = []
    tracemalloc.start()
    try:
        lines += [encode(event or {}, LIMIT) for event in events]
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert taken < 2 * sum(map(len, lines))
