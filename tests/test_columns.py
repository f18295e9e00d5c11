"""The JSON made of many events at once is what is made of each by itself."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
from typing import Any, Dict, Iterator, List, Optional, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import oddities
from agentmonitor_logging import _encoding
from agentmonitor_logging._capsule import Capsule
from agentmonitor_logging._columns import FEWEST, bodies_of
from agentmonitor_logging._echo import ACCEPTED_BY
from agentmonitor_logging._encoding import encode
from agentmonitor_logging._packing import pack
from agentmonitor_logging._shortcut import (
    MAX_CHARS,
    MAX_VALUES,
    Options,
    plain_event_of,
)
from agentmonitor_logging._snapshot import EVENT_ID, STANDARD, make_private
from agentmonitor_logging._templates import RecordTemplate, Source
from agentmonitor_logging.context import agent_context
from agentmonitor_logging.redaction import Redactor

LEDGER, FORKS = 4242, 3
OPTIONS = Options("bot", None, 262_144, LEDGER, FORKS, logging.NOTSET)
SECRET = "sk-" + "a1B2" * 10


def queued(msg: Any = "m", args: Any = (), levelno: int = 20, **extra: Any) -> Any:
    """Return what a queue handler puts in for a record."""
    record = logging.LogRecord("shop", levelno, "/a/b.py", 7, msg, args, None, "buy")
    record.created = 1_792_152_000.25
    fields = {**record.__dict__, **extra}
    make_private(fields, STANDARD)
    fields[ACCEPTED_BY] = (FORKS, LEDGER)
    return fields


def call(
    given: Any = ("hi",),
    output: Any = "yes",
    *,
    level: int = 20,
    began: float = 1_792_152_000.25,
    latency: Any = 12.4,
    parent: Optional[str] = None,
    context: Any = None,
    told: Any = ("ask", "call", {}, ("question", "style", "third")),
    logger: str = "shop",
) -> Capsule:
    """Return what a decorated call is queued as."""
    template = _TEMPLATES.setdefault(
        (level, logger),
        (
            RecordTemplate(level, "%s ok %d ms", Source("a.py", 1, "ask")),
            logging.Logger(logger),
        ),
    )
    stamped: Any = template[0].stamped(template[1])
    step = (began, latency, "ab" * 16, "cd" * 8, parent, context)
    shared = _TOLD.setdefault(repr(told), told)
    return (*stamped, *step, shared, given, output, (FORKS, LEDGER))


_TEMPLATES: Dict[Any, Any] = {}
_TOLD: Dict[str, Any] = {}


def one_by_one(rows: Sequence[Any], options: Options = OPTIONS) -> List[Optional[str]]:
    """Return the JSON that the short way makes of each."""
    bodies: List[Optional[str]] = []
    for row in rows:
        event = plain_event_of(copy.copy(row), options)
        if event is None:
            bodies.append(None)
        else:
            bodies.append(text_of(encode(Redactor().redact(event), options.max_bytes)))
    return bodies


def together(rows: Sequence[Any], options: Options = OPTIONS) -> List[Optional[str]]:
    """Return the JSON that is made of all of them at once."""
    bodies = bodies_of([copy.copy(row) for row in rows], options, Redactor())
    return [None if body is None else text_of(body) for body in bodies]


@contextlib.contextmanager
def encoded_by(name: str) -> Iterator[None]:
    """Have JSON made as if orjson was there or not."""
    with pytest.MonkeyPatch.context() as patch:
        if name == "json":
            patch.setattr(_encoding, "fast_dumps", lambda: None)
        yield


def history(
    *contents: str, number: int = 20, role: str = "user"
) -> List[Dict[str, str]]:
    """Return a chat history that ends with *contents*."""
    told = [f"Message {n} of a history, with a text of some length" for n in range(40)]
    texts = [*told, *contents][-number:]
    return [{"role": role, "content": text} for text in texts]


def packed(messages: List[Dict[str, str]]) -> Any:
    """Return *messages* as a decorated call has them queued."""
    in_few = pack(messages, 1_000, 100_000)
    assert in_few is not None
    return in_few


def text_of(body: bytes) -> str:
    """Return JSON with its ids, which differ each time, made the same."""
    event = json.loads(body, object_pairs_hook=_distinct)
    metadata = event["metadata"]
    if metadata["event_id"] != "named":
        assert len(metadata["event_id"]) == 32
        if metadata.get("span_id") == metadata["event_id"][:16]:
            metadata["span_id"] = "first half"
        metadata["event_id"] = "drawn"
    return json.dumps(event)


def _distinct(pairs: List[Any]) -> Dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


RECORDS: Dict[str, List[Dict[str, Any]]] = {
    "bare lines": [{"msg": "one"}, {"msg": "two"}],
    "arguments": [{"msg": "%s of %d", "args": ("a", 1)}, {"msg": "none %"}],
    "texts, numbers and words": [
        {"a": "x", "n": 1, "f": 0.5, "b": True, "z": None},
        {"a": "é漢\U0001f600\x00\n", "n": -(2**63), "f": 5e-324, "b": False, "z": None},
    ],
    "zeros of both signs": [{"f": 0.0}, {"f": -0.0}],
    "numbers that are equal": [{"n": 1}, {"n": 1.0}],
    "names with a meaning elsewhere": [
        {"%": "100 %", "%s": "%d", 'a"b': 1, "back\\slash": None, "{0}": "{", "\n": 2},
        {"%": "%", "%s": "%%", 'a"b': 2, "back\\slash": None, "{0}": "}", "\n": 3},
    ],
    "fields of the event": [
        {
            **{"event_type": " tool_call ", "cost_usd": 0.25, "latency_ms": 12.6},
            **{"status": "ok", "timestamp": 1_792_152_000.5, "session_id": "s"},
            **{"function_name": "f", "trace_id": "ab" * 16, "span_id": "cd" * 8},
            **{"parent_span_id": None, "input_data": {"q": "x", "n": 1}},
            **{"output_data": "yes"},
        },
        {
            **{"event_type": "", "cost_usd": 1, "latency_ms": 0},
            **{"status": "success", "timestamp": 1_792_152_001, "session_id": "t"},
            **{"function_name": "g", "trace_id": "ab" * 16, "span_id": "ef" * 8},
            **{"parent_span_id": None, "input_data": {"q": "y", "n": 2.5}},
            **{"output_data": "no"},
        },
    ],
    "fields that are none": [
        {"cost_usd": None, "latency_ms": None, "timestamp": None, "session_id": None},
    ],
    "a duration alone": [{"latency_ms": 250}, {"latency_ms": 1_500.5}],
    "a step of a trace": [{"trace_id": "ab" * 16, "span_id": None}],
    "a name of its own": [{EVENT_ID: "named"}],
    "times apart": [{"created": 1.5}, {"created": 1_792_152_000.9999999}],
    "payloads of all kinds": [
        {"input_data": {}, "output_data": 7},
        {"input_data": {}, "output_data": 7.5},
    ],
    "words": [{"input_data": True, "output_data": None}],
    "functions": [{"funcName": "buy"}, {"funcName": "sell"}],
    "what differs in what is bound": [
        {"_agent_context": {"agent_id": " ", "user_id": "u", "tenant": "t"}},
        {"_agent_context": {"agent_id": "x", "user_id": "v", "tenant": "t"}},
    ],
    "an agent in what is bound": [
        {"_agent_context": {"agent_id": "x", "user_id": "u"}}
    ],
    "what is nested": [
        {"a": {"b": [1, {"c": None}]}, "l": [], "input_data": {"q": [{"r": "s"}]}},
        {"a": {"b": [0.5, {"d": True}]}, "l": [[]], "input_data": {"q": []}},
    ],
    "payloads with other names": [
        {"input_data": {"a": 1}, "output_data": {"n": {}}},
        {"input_data": {"b": 2, "c": [3]}, "output_data": {}},
    ],
    "payloads that are lists": [
        {"input_data": ["a", {"b": 1}], "output_data": ("x", 1)},
        {"input_data": [], "output_data": ()},
    ],
    "a history": [{"messages": history("one")}, {"messages": history("two", "%s")}],
    "a secret in what is nested": [
        {"a": [f"key {SECRET}"], "input_data": {"q": {"r": "fine"}}},
        {"a": ["fine"], "input_data": {"q": {"r": f"key {SECRET}"}}},
    ],
    "much text": [{"text": "é" * 60_000}, {"text": "\n" * 30_000}],
    "a secret everywhere": [{"msg": f"key {SECRET}", "note": SECRET}],
    "a secret among others": [{"note": "fine"}, {"note": f"key {SECRET}"}],
}

CALLS: Dict[str, List[Dict[str, Any]]] = {
    "texts": [{}, {"given": ("bye",), "output": "no"}],
    "no input": [{"given": ()}],
    "input by name": [{"given": {"a": "x", "b": 2}}, {"given": {"a": "y", "b": 3}}],
    "numbers and words": [
        {"given": (1, True, None), "output": {"n": 1, "w": None}},
        {"given": (2.5, False, None), "output": {"n": -0.0, "w": None}},
    ],
    "nothing": [{"given": {}, "output": None}],
    "inner ones": [{"parent": "12" * 8}, {"parent": "34" * 8}],
    "outermost and inner ones": [{}, {"parent": "34" * 8}],
    "levels": [{"level": 20}, {"level": 10}],
    "what is bound": [
        {"context": {"agent_id": "x", "session_id": "s", "user_id": "u"}}
    ],
    "metadata": [
        {"told": ("f", " tool ", {"release": "1", "function_name": "g"}, ("q",))}
    ],
    "metadata that is nested": [
        {"told": ("f", "tool", {"tags": ["a", {"b": 1}], "n": [SECRET]}, ("q",))}
    ],
    "a secret": [{}, {"given": (f"key {SECRET}",)}, {"output": f"key {SECRET}"}],
    "a history of some messages": [
        {"given": (packed(history("one")), "warm"), "output": {"role": "assistant"}},
        {"given": (packed(history("zwö\n")), "cold"), "output": {"role": "é"}},
    ],
    "histories of several lengths": [
        {"given": (packed(history(number=n)),)} for n in (4, 5, 40, 12)
    ],
    "messages with other keys": [
        {"given": (packed([*history("one"), {"role": "tool", "name": "find"}]),)},
        {"given": (packed(history("one", "two")),)},
    ],
    "a short history": [{"given": (history("one", number=2),)}],
    "a history by name": [{"given": {"messages": packed(history("one")), "n": 1}}],
    "a history inside of something": [
        {"given": ({"body": {"messages": packed(history(text))}},)}
        for text in ("one", f"key {SECRET}")
    ],
    "lists that are returned": [{"output": [1, {"a": "b"}]}, {"output": ["c"]}],
    "a secret in a history": [
        {"given": (packed(history("one")),)},
        {"given": (packed(history(f"key {SECRET}", "two")),)},
        {"given": (packed(history(f"key {SECRET}", number=4)),)},
        {"given": (packed(history("one")), [{"t": SECRET}])},
    ],
    "a secret name": [{"given": {"password": "kitten"}}],
    "a secret name inside": [
        {"given": ({"password": "kitten"},)},
        {"given": (packed([{"role": "x", "api_key": "kitten"}] * 4),)},
    ],
    "functions": [{}, {"told": ("other", "call", {}, ("question",))}],
    "times apart": [{"began": 1.5}, {"began": 1_792_152_000.9999999, "latency": 0}],
}
TAKEN = frozenset((*RECORDS, *CALLS)) - {"a secret name", "a secret name inside"}


def rows_of(name: str) -> List[Any]:
    """Return so many of that name that they are worth it, each several times."""
    kinds: List[Any] = [queued(**one) for one in RECORDS.get(name, ())]
    kinds += [call(**one) for one in CALLS.get(name, ())]
    return kinds * FEWEST


@pytest.mark.parametrize("encoder", ["json", "orjson"])
@pytest.mark.parametrize("name", dict.fromkeys((*RECORDS, *CALLS)))
def test_each_comes_out_as_by_itself(name: str, encoder: str) -> None:
    """Many at once make the same JSON, in the order in which they came."""
    rows = rows_of(name)
    with encoded_by(encoder):
        bodies = together(rows)

    assert SECRET not in str(bodies)
    if name in TAKEN:
        assert one_by_one(rows) == bodies
    else:
        assert {None} == set(bodies)


@pytest.mark.parametrize(
    "metadata",
    [
        {"release": "1", "n": 0, "w": None},
        {"module": "shown"},
        {"function_name": "buy", "session_id": "of the handler"},
    ],
)
@pytest.mark.parametrize(
    "name",
    [
        *("bare lines", "functions", "texts", "metadata", "what is bound"),
        *("what differs in what is bound", "an owner among the metadata"),
    ],
)
def test_the_handlers_metadata_is_in_all(name: str, metadata: Dict[str, Any]) -> None:
    """What the handler says of all events stands where it stands in one."""
    options = OPTIONS._replace(metadata=metadata)

    assert None not in together(rows_of(name), options)
    assert one_by_one(rows_of(name), options) == together(rows_of(name), options)


def test_calls_and_records_mix() -> None:
    """What is alike is put together however it came, and comes out in its order."""
    rows = [row for name in sorted(TAKEN) for row in rows_of(name)[: 2 * FEWEST]]
    mixed = [row for start in range(7) for row in rows[start::7]]
    bodies = together(mixed)

    assert bodies.count(None) < len(bodies) / 4
    for body, alone in zip(bodies, one_by_one(mixed)):
        assert body is None or body == alone


def test_values_of_other_kinds_are_told_apart() -> None:
    """A field that is now and then missing does not keep the others from it."""
    rows = [queued(user=None), queued(user="u"), call(), call(output=None)] * FEWEST

    assert None not in together(rows)
    assert one_by_one(rows) == together(rows)


def test_few_are_left_to_others() -> None:
    """It does not pay for a few."""
    assert [None] * (FEWEST - 1) == together([queued()] * (FEWEST - 1))
    assert None not in together([queued()] * FEWEST)


ODD: Dict[str, Any] = {
    "an error": queued(levelno=40),
    "a failure": queued(status="error"),
    "a status of its own": queued(status="odd"),
    "another type": queued(n="text"),
    "an object": queued(n=oddities.Card("x")),
    "an object in a container": queued(n=[oddities.Card("x")]),
    "a tuple": queued(n=({"a": "b"},)),
    "a large number": queued(n=2**63),
    "no number": queued(n=float("nan")),
    "half a surrogate": queued(msg="\ud800"),
    "an argument too many": queued(args=(1,)),
    "an argument of another class": queued(msg="%s", args=([1],)),
    "much text": queued(msg="x" * 70_000),
    "described": queued(metadata={"a": 1}),
    "a time that is none": queued(created=1e300),
    "a name that is none": queued(event_id="a b\n"),
    "an id that is none": queued(trace_id="xyz"),
    "of another handler": {**queued(), ACCEPTED_BY: (FORKS, 1)},
    "of another process": {**queued(), ACCEPTED_BY: (FORKS + 1, LEDGER)},
    "a record that nobody counts": {**queued(), ACCEPTED_BY: ()},
    "a call that failed to be cheap": call(given=(oddities.Card("x"),)),
    "a call with an object in a list": call(output=[1, oddities.Card("x")]),
    "a call with a tuple": call(given=(("a", "b"),)),
    "a call with much text": call(output="x" * 70_000),
    "a call with much text in a list": call(output=["x" * 70_000]),
    "a call with many values": call(output=[list(range(MAX_VALUES))]),
    "a call at an odd time": call(latency=-5),
    "a call bound to an object": call(context={"session_id": 7}),
    "a call bound to more": call(context={"metadata": {"a": "b"}}),
    "a call logged as error": call(level=40),
    "a sentinel": None,
    "a record itself": logging.makeLogRecord({}),
}


@pytest.mark.parametrize("name", ODD)
def test_one_that_is_odd_is_left_to_others(name: str) -> None:
    """And so may those be that came with it, but none of them is another's."""
    odd = ODD[name]
    rows = [*[queued(n=1)] * FEWEST, odd, *[call()] * FEWEST, odd, *[queued()] * FEWEST]
    bodies = together(rows)

    assert bodies[FEWEST] is None
    assert bodies[2 * FEWEST + 1] is None
    for body, alone in zip(bodies, one_by_one(rows)):
        assert body is None or body == alone


@pytest.mark.parametrize("name", ODD)
def test_many_that_are_odd_are_left_to_others(name: str) -> None:
    """None of them comes out wrong."""
    rows = [copy.copy(ODD[name]) for _ in range(2 * FEWEST)]

    for body, alone in zip(together(rows), one_by_one(rows)):
        assert body is None or body == alone


def test_a_level_of_the_handler_leaves_out_what_is_below() -> None:
    """The records below it are not for this handler."""
    rows = [*[queued(levelno=10)] * FEWEST, *[queued(n=1)] * FEWEST, *[call()] * FEWEST]
    bodies = together(rows, OPTIONS._replace(least=20))

    assert [None] * FEWEST == bodies[:FEWEST]
    assert None not in bodies[FEWEST:]
    assert [None] * len(rows) == together(rows, OPTIONS._replace(least=30))


def test_what_may_have_to_be_cut_is_left_to_others() -> None:
    """All of an event's texts count, wherever they are."""
    half = "x" * (MAX_CHARS // 2)

    for longer in (half, [half], {"a": {"b": half}}):
        rows = [queued(a=half[50:], b=longer), *[queued(a="", b=longer)] * FEWEST]
        assert None not in together(rows)
        assert {None} == set(together(rows, OPTIONS._replace(max_bytes=60_000)))
        rows[1] = queued(a=half, b=longer)
        assert {None} == set(together(rows))


def test_what_is_larger_as_json_is_left_to_others() -> None:
    """Escapes may make an event too large that has few characters."""
    rows = [queued(text="\n" * 2_000)] * FEWEST

    assert None not in together(rows, OPTIONS._replace(max_bytes=5_000))
    assert {None} == set(together(rows, OPTIONS._replace(max_bytes=4_000)))


def test_as_many_values_are_taken_as_need_not_be_left_out() -> None:
    """All of an event's values count, wherever they are."""
    many = list(range(MAX_VALUES // 2 - 50))

    assert None not in together([call((many,), [many])] * FEWEST)
    assert {None} == set(together([call((many, many), [many])] * FEWEST))


def test_a_secret_in_any_of_many_long_texts_is_found() -> None:
    """However much there is to be searched."""
    rows = [queued(text=f"{n} {'x' * 60_000} key {SECRET}") for n in range(17)]
    bodies = bodies_of(rows, OPTIONS, Redactor())

    assert None not in bodies
    assert SECRET not in str(bodies)


def test_no_more_goes_together_than_can_be_gone_through_at_once() -> None:
    """Who does so with megabytes, or with a hundred thousand values, is in the way."""
    long = [queued(text=f"{n} {'x' * 60_000}") for n in range(18)]
    wide = [call(output=[str(at + n) for at in range(2_000)]) for n in range(11)]

    for many in (long, wide):
        assert {None} == set(together(many))
        assert None not in together(many[:FEWEST])


def test_what_is_cut_before_it_is_redacted_is_left_to_others() -> None:
    """A secret that is longer than the event may be counts with all of its length."""
    key = f"-----BEGIN PRIVATE KEY-----\n{'A' * 1_500}\n-----END PRIVATE KEY----- end"
    rows = [queued(note=key, n=n) for n in range(FEWEST)]

    assert None not in together(rows)
    assert {None} == set(together(rows, OPTIONS._replace(max_bytes=1_024)))


@pytest.mark.parametrize("level_name", [7, 2.5, True])
def test_names_that_are_no_texts_are_left_to_others(
    level_name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application may name its levels as it likes."""
    monkeypatch.setitem(logging._levelToName, 25, level_name)
    told: Any = ("f", Stripped("x"), {}, ("question",))

    assert {None} == set(together([call(level=25)] * FEWEST))
    assert {None} == set(together([call(told=told)] * FEWEST))


class Stripped(str):
    """A text whose copies are something else."""

    __slots__ = ()

    def strip(self, *chars: Any) -> Any:
        return 5


def test_a_class_that_equals_any_other_is_left_to_others() -> None:
    """Its instances are no texts, whatever it says of itself."""

    class Meta(type):
        def __eq__(cls, other: object) -> bool:
            return True

        __hash__ = type.__hash__

    class Odd(metaclass=Meta):
        def __repr__(self) -> str:
            return SECRET

    for odd in (queued(n=Odd()), call(given=(Odd(),)), call(output=Odd())):
        plain = queued(n=1) if isinstance(odd, dict) else call()
        assert SECRET not in str(together([plain, *[odd] * FEWEST, plain]))


class Posing(type):
    """The class of a class that passes for a number wherever it is looked up."""

    def __eq__(cls, other: object) -> bool:
        return True

    def __hash__(cls) -> int:
        return hash(int)


class Number(int, metaclass=Posing):
    """A number that shows what nobody may see."""

    def __repr__(self) -> str:
        return f'"{SECRET}"'


def test_a_number_that_only_poses_as_one_shows_nothing() -> None:
    """Its digits are what it is, or it is left to others."""
    calls = [call(given=(number,)) for number in (1, *[2] * FEWEST, Number(3))]
    records = [queued(n=number) for number in (1, *[2] * FEWEST, Number(3))]

    assert SECRET not in str(together(calls))
    assert SECRET not in str(together(records))


def test_a_function_without_a_name_does_not_change_the_order() -> None:
    """Where the handler names the function of some, its name has another place."""
    rows = [queued(n=n) for n in range(FEWEST)]
    rows.append({**queued(n=9), "funcName": None})
    options = OPTIONS._replace(metadata={"function_name": "svc"})

    for body, alone in zip(together(rows, options), one_by_one(rows, options)):
        assert body is None or body == alone


def test_a_key_of_a_class_of_its_own_is_left_to_others() -> None:
    """Keys of the application's may raise whenever they are looked up."""
    rows: List[Any] = [queued()] * FEWEST
    given = [call(given={Touchy("a"): 1})] * FEWEST

    assert None not in together([*rows, *given])[:FEWEST]
    assert [None] * FEWEST == together([*rows, *given])[FEWEST:]


class Touchy(str):
    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError


def test_rows_stay_as_they_are() -> None:
    """What is not taken in the end has to be what it was."""
    rows = [
        queued(trace_id="ab" * 16, span_id=None, note=SECRET) for _ in range(FEWEST)
    ]
    before = copy.deepcopy(rows)
    bodies_of(rows, OPTIONS, Redactor())

    assert before == rows


SCALARS = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9)),
    st.sampled_from(["success", "error", "ab" * 16, "cd" * 8, " ", f"key {SECRET}"]),
)
NAMES = st.sampled_from(
    """event_type input_data output_data cost_usd latency_ms status trace_id
    span_id parent_span_id session_id user_id function_name timestamp agent_id event_id
    error_message level logger module other more password %s " \\ {0}""".split()
)
WORDS = st.one_of(st.text(max_size=4), st.sampled_from([f"key {SECRET}", "x" * 3_000]))
HISTORIES = st.lists(
    st.dictionaries(NAMES, WORDS, min_size=1, max_size=2), min_size=4, max_size=9
)
NESTED = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=8,
)
ENCODERS = st.sampled_from(["json", "orjson"])
INPUTS = st.one_of(NESTED, HISTORIES.map(packed))


@st.composite
def alike(draw: Any) -> List[Any]:
    """Draw records, of which some have other values."""
    extra = draw(st.dictionaries(NAMES, NESTED, max_size=4))
    with agent_context(**draw(st.dictionaries(NAMES, SCALARS, max_size=2))):
        rows = [queued("of %s", ("a",), **extra) for _ in range(FEWEST)]
        for name in extra:
            if draw(st.booleans()):
                rows.append(queued("of %s", (2,), **{**extra, name: draw(NESTED)}))
    return rows


@settings(max_examples=400, deadline=None)
@given(alike(), st.dictionaries(NAMES, SCALARS, max_size=2), ENCODERS)
def test_any_that_are_taken_come_out_as_by_themselves(
    rows: List[Any], metadata: Dict[str, Any], encoder: str
) -> None:
    """There are no records of which the two ways make different JSON."""
    options = OPTIONS._replace(metadata=metadata)

    with encoded_by(encoder):
        bodies = together(rows, options)
    for body, alone in zip(bodies, one_by_one(rows, options)):
        assert body is None or body == alone


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(st.tuples(INPUTS), NESTED), min_size=1, max_size=3),
    st.dictionaries(NAMES, SCALARS, max_size=2),
    ENCODERS,
)
def test_any_calls_that_are_taken_come_out_as_by_themselves(
    calls: List[Any], bound: Dict[str, Any], encoder: str
) -> None:
    """Nor are there any calls."""
    rows = [call(given, output, context=bound or None) for given, output in calls]
    rows *= FEWEST

    with encoded_by(encoder):
        bodies = together(rows)
    for body, alone in zip(bodies, one_by_one(rows)):
        assert body is None or body == alone
