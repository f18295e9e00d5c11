"""From record to event to bytes: nothing that is logged can break it."""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import json
import logging
import sys
import time
from typing import Any, Callable, Dict, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmonitor_logging import _diagnostics
from agentmonitor_logging.context import (
    EVENT_FIELDS,
    activate,
    agent_context,
    new_span,
    restore,
)
from agentmonitor_logging.events import encode, event_from_record
from oddities import (
    ODDITIES,
    Card,
    Colour,
    EndlessList,
    Model,
    Point,
    RaisingRepr,
    deep,
    wide,
)

FINITE = [m for m in ODDITIES if m is not wide and type(m()) is not EndlessList]
KEYS = [
    *("agent_id", "event_type", "timestamp", "input_data", "output_data", "metadata"),
    *("cost_usd", "latency_ms", "status", "error_message"),
]
NOON = dt.datetime(2026, 10, 16, 12, 0, 0, 123456, tzinfo=dt.timezone.utc)
NOON_TEXT = "2026-10-16T12:00:00.123456Z"


def make_record(
    msg: Any = "hello %s",
    args: Any = ("you",),
    level: int = logging.INFO,
    exc_info: Any = None,
    **extra: Any,
) -> logging.LogRecord:
    logger = logging.getLogger("shop")
    record = logger.makeRecord(
        "shop", level, "/a/basket.py", 7, msg, args, exc_info, "buy", extra
    )
    record.created = NOON.timestamp()
    return record


def event_of(*args: Any, **extra: Any) -> Dict[str, Any]:
    return event_from_record(make_record(*args, **extra), agent_id="bot")


def metadata_of(*args: Any, **extra: Any) -> Dict[str, Any]:
    metadata: Dict[str, Any] = event_of(*args, **extra)["metadata"]
    return metadata


def failure() -> Any:
    try:
        raise ValueError("boom")
    except ValueError:
        return sys.exc_info()


def strict(encoded: bytes) -> Dict[str, Any]:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    decoded: Dict[str, Any] = json.loads(encoded.decode(), parse_constant=refuse)
    return decoded


def assert_plain(value: Any) -> None:
    """Fail unless *value* consists of the exact types of JSON."""
    assert type(value) in (dict, list, str, int, float, bool, type(None))
    if type(value) is dict:
        assert all(type(key) is str for key in value)
        value = list(value.values())
    for item in value if type(value) is list else ():
        assert_plain(item)


class TestTheWire:
    def test_a_plain_log_line(self) -> None:
        """A record without extra fields is an event of type log."""
        assert event_of(event_id="e1") == {
            "agent_id": "bot",
            "event_type": "log",
            "timestamp": NOON_TEXT,
            "input_data": None,
            "output_data": None,
            "metadata": {
                "event_id": "e1",
                "logger": "shop",
                "level": "INFO",
                "message": "hello you",
                "function_name": "buy",
                "module": "basket",
            },
            "cost_usd": None,
            "latency_ms": None,
            "status": "success",
            "error_message": None,
        }

    def test_a_call_to_a_model(self) -> None:
        """Extra fields of the known names fill the event, others are metadata."""
        event = event_of(
            "asked",
            (),
            event_type="llm_call",
            input_data={"messages": [{"role": "user", "content": "hi"}]},
            output_data="hello",
            cost_usd=decimal.Decimal("0.0042"),
            latency_ms=349.6,
            status="ok",
            timestamp=NOON,
            trace_id="AB" * 16,
            span_id="cd" * 8,
            parent_span_id=None,
            session_id="s",
            user_id=17,
            function_name="ask",
            metadata={"model": "m"},
            event_id="e1",
            tokens=12,
        )

        assert event == {
            "agent_id": "bot",
            "event_type": "llm_call",
            "timestamp": NOON_TEXT,
            "input_data": {"messages": [{"role": "user", "content": "hi"}]},
            "output_data": {"value": "hello"},
            "metadata": {
                "event_id": "e1",
                "logger": "shop",
                "level": "INFO",
                "message": "asked",
                "function_name": "ask",
                "module": "basket",
                "model": "m",
                "tokens": 12,
                "session_id": "s",
                "user_id": "17",
                "trace_id": "ab" * 16,
                "span_id": "cd" * 8,
            },
            "cost_usd": 0.0042,
            "latency_ms": 350,
            "status": "success",
            "error_message": None,
        }

    def test_a_logged_exception(self) -> None:
        """An exception makes an error with its type, its words and its traceback."""
        event = event_of(level=logging.ERROR, exc_info=failure())

        metadata = event["metadata"]
        assert event["status"] == "error"
        assert event["error_message"] == "ValueError: boom"
        assert metadata["error_type"] == "ValueError"
        assert metadata["message"] == "hello you"
        assert metadata["traceback"].startswith("Traceback (most recent call last)")
        assert metadata["traceback"].endswith("ValueError: boom")

    def test_the_keys_are_in_order(self) -> None:
        """Readers of lines and of tests see one order."""
        assert list(event_of()) == KEYS

    def test_the_encoding_is_compact_utf8(self) -> None:
        """What travels has no blanks and no needless escapes."""
        event = event_of("grüße 😀", ())

        assert strict(encode(event, 10_000)) == event
        assert "grüße 😀".encode() in encode(event, 10_000)
        assert encode(event, 10_000, ensure_ascii=True).isascii()
        assert b'": ' not in encode(event, 10_000)


class TestFields:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (None, None),
            ({}, {}),
            ({"a": (1, 2)}, {"a": [1, 2]}),
            (5, {"value": 5}),
            ("text", {"value": "text"}),
            (False, {"value": False}),
            ([1, 2], {"items": [1, 2]}),
            ((1, 2), {"items": [1, 2]}),
            ({7}, {"items": [7]}),
            (collections.deque([1]), {"items": [1]}),
            (Card("ace"), {"name": "ace", "tags": []}),
            (Model(a=[1]), {"a": [1]}),
            (Point(1, 2), {"x": 1, "y": 2}),
            (Colour.RED, {"value": "red"}),
            (ValueError("boom"), {"value": "ValueError: boom"}),
        ],
    )
    def test_payloads_are_objects(self, given: Any, expected: Any) -> None:
        """Input and output are objects, whatever was given."""
        event = event_of(input_data=given, output_data=given)

        assert event["input_data"] == expected
        assert event["output_data"] == expected

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (NOON, NOON_TEXT),
            (NOON.replace(tzinfo=None), NOON_TEXT),
            (NOON.astimezone(dt.timezone(dt.timedelta(hours=5.5))), NOON_TEXT),
            (1792152000, "2026-10-16T12:00:00.000000Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
            ("2026-10-16T12:00:00.123456Z", NOON_TEXT),
            ("2026-10-16T12:00:00.1234567891Z", NOON_TEXT),
            ("2026-10-16 14:00:00,123456+02:00", NOON_TEXT),
            ("2026-10-16T14:00:00.123456+0200", NOON_TEXT),
            ("2026-10-16T12:00", "2026-10-16T12:00:00.000000Z"),
            ("2026-10-16", "2026-10-16T00:00:00.000000Z"),
        ],
    )
    def test_timestamps_are_utc_with_microseconds(
        self, given: Any, expected: str
    ) -> None:
        """Every accepted form of a time becomes one form."""
        event = event_of(timestamp=given)

        assert event["timestamp"] == expected
        assert "timestamp_invalid" not in event["metadata"]

    @pytest.mark.parametrize(
        "given",
        [
            *("yesterday", "", "2026-13-45", float("nan"), 1e300, True, [1], object()),
            *(dt.date(2026, 1, 1), -1e18, 1792152000000, "2026-10-16T12:00:00+99:99"),
        ],
    )
    def test_an_absurd_timestamp_is_not_taken(self, given: Any) -> None:
        """The record's own time stands in, and what was given can be seen."""
        event = event_of(timestamp=given)

        assert event["timestamp"] == NOON_TEXT
        assert "timestamp_invalid" in event["metadata"]

    def test_the_timestamp_is_the_start(self) -> None:
        """A record is made at the end of what it measured."""
        assert event_of(latency_ms=1500)["timestamp"] == "2026-10-16T11:59:58.623456Z"

    @pytest.mark.parametrize("created", [float("nan"), None, "now", 1e300])
    def test_a_record_without_a_time_has_that_of_now(self, created: Any) -> None:
        """An event always has a time."""
        record = make_record()
        record.created = created

        event = event_from_record(record, agent_id="bot")

        assert event["timestamp"][:3] == time.strftime("%Y")[:3]

    @pytest.mark.parametrize(
        ("given", "expected"),
        [(0.25, 0.25), (2, 2.0), ("0.1", 0.1), (decimal.Decimal("1.5"), 1.5), (0, 0.0)],
    )
    def test_costs_are_numbers(self, given: Any, expected: float) -> None:
        """Whatever is a number is taken as one."""
        cost = event_of(cost_usd=given)["cost_usd"]

        assert (cost, type(cost)) == (expected, float)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (350, 350),
            (349.6, 350),
            ("12", 12),
            (0, 0),
            (dt.timedelta(seconds=1.5), 1500),
            (decimal.Decimal("7"), 7),
        ],
    )
    def test_latencies_are_whole_milliseconds(self, given: Any, expected: int) -> None:
        """A duration is a whole number that is not negative."""
        latency = event_of(latency_ms=given)["latency_ms"]

        assert (latency, type(latency)) == (expected, int)

    @pytest.mark.parametrize(
        ("name", "given"),
        [
            *(("cost_usd", value) for value in ("free", float("nan"), True, [1], {})),
            *(("latency_ms", value) for value in (-1, "slow", float("inf"), 1e30)),
            ("latency_ms", dt.timedelta(days=-1)),
            pytest.param("cost_usd", 10**5_000, id="cost_usd-huge"),
        ],
    )
    def test_malformed_numbers_do_not_vanish(self, name: str, given: Any) -> None:
        """What is no number is kept in the metadata under a telling name."""
        event = event_of(**{name: given})

        assert event[name] is None
        assert f"{name}_invalid" in event["metadata"]

    @pytest.mark.parametrize(
        ("fields", "status", "error"),
        [
            ({}, "success", None),
            ({"level": logging.WARNING}, "success", None),
            ({"level": logging.ERROR}, "error", "hello you"),
            ({"level": logging.ERROR, "status": "success"}, "success", None),
            ({"status": "failure"}, "error", None),
            ({"status": " Failed "}, "error", None),
            ({"status": "ok"}, "success", None),
            ({"status": "pending"}, "success", None),
            ({"status": "pending", "level": logging.ERROR}, "error", "hello you"),
            ({"exc_info": failure()}, "error", "ValueError: boom"),
            ({"exc_info": failure(), "status": "success"}, "success", None),
            ({"exc_info": failure(), "error_message": "e"}, "error", "e"),
            ({"error_message": "e"}, "error", "e"),
            ({"error_message": KeyError("k")}, "error", "KeyError: 'k'"),
            ({"error_message": " "}, "success", None),
        ],
    )
    def test_status_and_error(
        self, fields: Dict[str, Any], status: str, error: Optional[str]
    ) -> None:
        """The status is as given, else told by level and exception."""
        event = event_of(**fields)

        assert (event["status"], event["error_message"]) == (status, error)

    def test_an_unknown_status_is_kept(self) -> None:
        """A status that is none of the two can still be read."""
        assert metadata_of(status="pending")["status_invalid"] == "pending"

    def test_an_error_message_of_a_success_is_kept(self) -> None:
        """A success has no error message; what was said is metadata."""
        metadata = metadata_of(status="success", error_message="retried")

        assert metadata["error_message"] == "retried"

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("tool", "tool"),
            ("", "log"),
            ("  ", "log"),
            (None, "log"),
            (Colour.RED, "red"),
        ],
    )
    def test_event_types(self, given: Any, expected: str) -> None:
        """A blank type is a log line."""
        assert event_of(event_type=given)["event_type"] == expected

    def test_the_agent_may_be_named_closer_by(self) -> None:
        """The record's agent wins over the context's, and that over the handler's."""
        with agent_context(agent_id="context"):
            assert event_of()["agent_id"] == "context"
            assert event_of(agent_id="record")["agent_id"] == "record"
            assert event_of(agent_id=" ")["agent_id"] == "context"
        assert event_of()["agent_id"] == "bot"

    def test_an_error_told_by_text_alone(self) -> None:
        """A record whose exception became text in another process is an error."""
        record = make_record()
        record.exc_text = "Traceback ...\n  File x\nshop.errors.SoldOut: no more"

        event = event_from_record(record, agent_id="bot")

        assert event["error_message"] == "shop.errors.SoldOut: no more"
        assert event["metadata"]["error_type"] == "SoldOut"
        assert event["metadata"]["traceback"] == record.exc_text

    @pytest.mark.parametrize("text", ["", "  ", "NoneType: None", 5])
    def test_an_empty_exception_text_is_none(self, text: Any) -> None:
        """logger.exception() outside of an except block names no exception."""
        record = make_record()
        record.exc_text = text

        assert "traceback" not in event_from_record(record, agent_id="bot")["metadata"]


class TestMetadata:
    def test_closer_metadata_wins(self) -> None:
        """Handler, context, record's mapping, extra keys: each wins over the last."""
        names = ("a", "b", "c", "d")
        with agent_context(**dict.fromkeys(names[1:], "context")):
            record = make_record(
                metadata=dict.fromkeys(names[2:], "mapping"), **{"d": "extra"}
            )
        metadata = event_from_record(
            record, agent_id="bot", metadata=dict.fromkeys(names, "handler")
        )["metadata"]
        late = event_from_record(record, agent_id="bot")["metadata"]

        assert metadata["a"] == "handler"
        assert metadata["d"] == "extra"
        assert late["c"] == "mapping"

    def test_context_metadata_is_that_of_the_call(self) -> None:
        """What agent_context binds is on every event inside of it."""
        with agent_context(session_id="s", user_id="u", release="r1"):
            metadata = metadata_of(user_id="v", metadata={"release": "r2"})

        assert (metadata["session_id"], metadata["user_id"]) == ("s", "v")
        assert metadata["release"] == "r2"

    def test_reserved_names_are_ours(self) -> None:
        """What is given under a reserved name is kept under another."""
        metadata = metadata_of(metadata={"level": 3, "logger": "l", "event_id": "x"})

        assert (metadata["level"], metadata["level_given"]) == ("INFO", 3)
        assert (metadata["logger"], metadata["logger_given"]) == ("shop", "l")
        assert metadata["event_id_given"] == "x"

    @pytest.mark.parametrize("given", [[1], 5, "text"])
    def test_metadata_that_is_no_mapping(self, given: Any) -> None:
        """A metadata field of another kind is kept as a value."""
        assert metadata_of(metadata=given)["value"] == given

    def test_trace_ids_of_the_current_span(self) -> None:
        """A log line made in a span is its child."""
        span = new_span()
        activate(span)
        metadata = metadata_of()
        restore(span)

        assert metadata["trace_id"] == span.trace_id
        assert metadata["parent_span_id"] == span.span_id
        assert len(metadata["span_id"]) == 16

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("AB" * 16, "ab" * 16),
            (
                "0af76519-16cd-43dd-8448-eb211c80319c",
                "0af7651916cd43dd8448eb211c80319c",
            ),
            (0xAB, "ab".rjust(32, "0")),
        ],
    )
    def test_trace_ids_are_lower_case_hex(self, given: Any, expected: str) -> None:
        """Ids of other tracers are taken in the forms they have."""
        assert metadata_of(trace_id=given)["trace_id"] == expected
        assert metadata_of(metadata={"trace_id": given})["trace_id"] == expected

    @pytest.mark.parametrize("given", ["abc", "zz" * 16, "0" * 32, -1, 2**200, [1], ""])
    def test_invalid_trace_ids_do_not_vanish(self, given: Any) -> None:
        """What is no trace id is kept under a telling name."""
        metadata = metadata_of(trace_id=given)

        assert "trace_id" not in metadata
        assert "trace_id_invalid" in metadata

    def test_an_invalid_event_id_does_not_vanish(self) -> None:
        """An event id that cannot be used can still be read."""
        metadata = metadata_of(event_id=5)

        assert metadata["event_id_invalid"] == 5
        assert len(metadata["event_id"]) == 32

    def test_private_attributes_stay_private(self) -> None:
        """What our own parts tell each other is not for the wire."""
        record = make_record(_agent_context={"session_id": "s"}, _agent_other=1, _own=2)

        metadata = event_from_record(record, agent_id="bot")["metadata"]

        assert not [name for name in metadata if name.startswith("_agent")]
        assert metadata["_own"] == 2

    def test_stack_info_is_kept(self) -> None:
        """logger.info(..., stack_info=True) shows where it came from."""
        record = make_record()
        record.stack_info = "Stack (most recent call last): here"

        metadata = event_from_record(record, agent_id="bot")["metadata"]

        assert metadata["stack_info"].endswith("here")


class TestMessages:
    @pytest.mark.parametrize(
        ("msg", "args", "expected"),
        [
            ("%d items", ("x",), "%d items ('x')"),
            ("no placeholder", (1, RaisingRepr()), None),
            ("100% of %s", ("a", "b"), "100% of %s ('a', 'b')"),
            ("%(a)s", ({"b": 1},), "%(a)s {'b': 1}"),
        ],
    )
    def test_a_message_that_does_not_format(
        self, msg: str, args: Any, expected: Optional[str]
    ) -> None:
        """The event is kept, with template and arguments, and says so."""
        metadata = metadata_of(msg, args)

        expected = expected or "no placeholder (1, [unrepresentable RaisingRepr])"
        assert metadata["message"] == expected
        assert metadata["format_error"] is True

    @pytest.mark.parametrize(
        ("msg", "expected"),
        [
            (None, "None"),
            (5, "5"),
            (ValueError("boom"), "boom"),
            ([1], "[1]"),
            (RaisingRepr(), "[unrepresentable RaisingRepr]"),
            ("\ud800", "\ufffd"),
        ],
    )
    def test_a_message_of_any_kind_is_text(self, msg: Any, expected: str) -> None:
        """The message of an event is a string, whatever was logged."""
        assert metadata_of(msg, ())["message"] == expected

    def test_a_message_that_is_a_dict_is_data(self) -> None:
        """Its text is the message, and its entries can be searched for."""
        metadata = metadata_of({"event": "bought", "level": 3}, ())

        assert metadata["message"] == "{'event': 'bought', 'level': 3}"
        assert (metadata["event"], metadata["level_given"]) == ("bought", 3)
        assert metadata["level"] == "INFO"

    def test_a_formatter_makes_the_message(self) -> None:
        """The formatter set on a handler decides how the message reads."""
        event = event_from_record(
            make_record(),
            agent_id="bot",
            formatter=logging.Formatter("%(levelname)s: %(message)s"),
        )

        assert event["metadata"]["message"] == "INFO: hello you"

    def test_a_formatter_that_fails_costs_nothing(self) -> None:
        """Without the formatter the message is as ever."""

        class Broken(logging.Formatter):
            def format(self, record: logging.LogRecord) -> str:
                raise RuntimeError("broken")

        event = event_from_record(make_record(), agent_id="bot", formatter=Broken())

        assert event["metadata"]["message"] == "hello you"
        assert event["metadata"]["format_error"] is True

    def test_the_record_is_not_changed(self) -> None:
        """A formatter writes on records; it gets our copy."""
        record = make_record(exc_info=failure(), input_data=[1])
        before = dict(record.__dict__)

        event_from_record(
            record, agent_id="bot", formatter=logging.Formatter("%(asctime)s")
        )

        assert record.__dict__ == before


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(), max_size=50),
        st.text(st.characters(min_codepoint=0xD7F0, max_codepoint=0xE010), max_size=9),
        st.binary(max_size=50),
        st.datetimes(),
        st.timedeltas(),
        st.decimals(),
        st.uuids(),
        st.sampled_from(ODDITIES).map(lambda make: make()),
    ),
    lambda children: st.one_of(
        st.lists(children, max_size=5),
        st.tuples(children, children),
        st.dictionaries(
            st.one_of(st.text(max_size=9), st.integers(), st.none(), st.binary()),
            children,
            max_size=5,
        ),
    ),
    max_leaves=10,
)


class TestNothingCanBreakIt:
    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        name=st.sampled_from([*sorted(EVENT_FIELDS), "anything", "_agent_context"]),
        value=VALUES,
        limit=st.sampled_from([1024, 1500, 10_000, 262_144]),
    )
    def test_any_object_in_strict_json_out(
        self, name: str, value: Any, limit: int
    ) -> None:
        """Whatever is logged as whatever field, the event is strict JSON in bounds."""
        record = make_record(**{name: value})

        event = event_from_record(record, agent_id="bot")
        encoded = encode(event, limit)

        assert_plain(event)
        assert list(event) == KEYS
        assert len(encoded) <= limit
        decoded = strict(encoded)
        assert list(decoded) == KEYS
        assert decoded["metadata"]["event_id"] == event["metadata"]["event_id"]
        assert decoded["status"] in ("success", "error")
        assert decoded["timestamp"] == event["timestamp"]
        assert _diagnostics.swallowed == []

    @pytest.mark.parametrize("make", ODDITIES)
    def test_one_bad_value_never_costs_the_others(
        self, make: Callable[[], Any]
    ) -> None:
        """The other fields of the event survive."""
        event = event_of(
            "%s", (make(),), input_data={"a": 1}, output_data=make(), other=make(), n=7
        )

        assert_plain(event)
        assert event["input_data"] == {"a": 1}
        assert event["metadata"]["n"] == 7

    @pytest.mark.parametrize("make", ODDITIES)
    def test_any_object_as_message(self, make: Callable[[], Any]) -> None:
        """Whatever is logged as the message itself, there is an event."""
        event = event_from_record(make_record(make(), ()), agent_id="bot")

        assert_plain(event)
        assert type(event["metadata"]["message"]) is str

    def test_odd_standard_attributes(self) -> None:
        """A record made from another program's dict may lack or bend anything."""
        attributes = dict.fromkeys(make_record().__dict__, object())
        bent = event_from_record(logging.makeLogRecord(attributes), agent_id="bot")
        bare = object.__new__(logging.LogRecord)
        bare.msg, bare.args, bare.name, bare.levelname = "m", (), "n", "INFO"

        assert_plain(bent)
        assert event_from_record(bare, agent_id="bot")["metadata"]["message"] == "m"

    @pytest.mark.swallows
    @pytest.mark.parametrize("record", [None, object.__new__(logging.LogRecord)])
    def test_what_is_no_record_is_an_event_still(self, record: Any) -> None:
        """A bug of ours costs the details of an event, and is reported."""
        event = event_from_record(record, agent_id="bot")

        assert_plain(event)
        assert list(event) == KEYS
        assert _diagnostics.swallowed

    def test_a_record_logged_near_the_recursion_limit(self) -> None:
        """A program at the end of its stack still gets its event."""

        def sink(levels: int) -> Any:
            return sink(levels - 1) if levels else event_of(input_data=deep(20))

        depth = sys.getrecursionlimit() - len(__import__("inspect").stack()) - 60

        assert_plain(sink(depth)["input_data"])


class TestTruncation:
    @pytest.mark.parametrize("limit", [1024, 4096, 262_144])
    @pytest.mark.parametrize(
        "payload",
        [
            {"prompt": "x" * 50_000_000},
            {"prompt": "é" * 400_000, "answer": "😀" * 400_000},
            {"prompt": "\x00" * 300_000},
            {"items": [0.5] * 1_000_000},
            {"items": ["word"] * 300_000},
            {str(n): "v" * 100 for n in range(50_000)},
            {"k" * 300_000: 1},
            {"wide": [[[["leaf"] * 9] * 9] * 9] * 99},
            {"deep": {"down": ["x" * 1_000] * 5_000}},
        ],
    )
    def test_large_events_fit(self, payload: Dict[str, Any], limit: int) -> None:
        """Too large an event is cut, stays valid, says so, and can be identified."""
        event = event_of(
            event_type="llm_call",
            event_id="e1",
            trace_id="ab" * 16,
            span_id="cd" * 8,
            parent_span_id="ef" * 8,
        )
        event["input_data"] = payload

        started = time.perf_counter()
        encoded = encode(event, limit)
        seconds = time.perf_counter() - started

        decoded = strict(encoded)
        assert len(encoded) <= limit
        assert list(decoded) == KEYS
        assert decoded["metadata"]["truncated"] is True
        for name in ("agent_id", "event_type", "timestamp", "status"):
            assert decoded[name] == event[name]
        for name in ("event_id", "trace_id", "span_id", "parent_span_id"):
            assert decoded["metadata"][name] == event["metadata"][name]
        assert seconds < 5

    def test_long_strings_are_cut_with_a_marker(self) -> None:
        """The head of a long prompt is kept, and how much is missing is said."""
        event = event_of(input_data={"system": "be kind", "prompt": "x" * 500_000})

        decoded = strict(encode(event, 262_144))["input_data"]

        assert decoded["system"] == "be kind"
        assert decoded["prompt"].startswith("x" * 100_000)
        assert "…[truncated" in decoded["prompt"]

    def test_long_lists_are_cut_with_a_marker(self) -> None:
        """The first items of a long list are kept, and how many are missing is said."""
        event = event_of()
        event["input_data"] = {"items": [1] * 500_000}

        items = strict(encode(event, 262_144))["input_data"]["items"]

        assert items[0] == 1
        assert "more items]" in items[-1]

    def test_what_cannot_be_cut_is_replaced(self) -> None:
        """Input that does not fit in any form is replaced by its size."""
        event = event_of()
        event["input_data"] = {"wide": wide_tree(5)}

        decoded = strict(encode(event, 1024))

        assert decoded["input_data"]["truncated"] is True
        assert decoded["input_data"]["bytes"] > 1024

    @pytest.mark.parametrize("text", ["a", "é", "😀", "\x00", '"\\'])
    def test_identifying_texts_are_cut_last(self, text: str) -> None:
        """Even absurd names fit into a kilobyte, escapes included."""
        event = event_of(agent_id=text * 5_000, event_type=text * 5_000)
        event["error_message"] = text * 5_000

        for ensure_ascii in (False, True):
            encoded = encode(event, 1024, ensure_ascii=ensure_ascii)
            assert len(encoded) <= 1024
            assert strict(encoded)["agent_id"].startswith(text[:1])

    def test_an_event_in_bounds_is_not_touched(self) -> None:
        """What fits travels whole."""
        event = event_of(input_data={"prompt": "x" * 200_000})

        assert strict(encode(event, 262_144)) == event

    @pytest.mark.parametrize("make", FINITE)
    def test_what_a_redactor_leaves_is_encoded(self, make: Callable[[], Any]) -> None:
        """A redactor of the application may put anything into the event."""
        event = event_of()
        event["input_data"] = make()

        assert len(encode(event, 2_000)) <= 2_000
        strict(encode(event, 2_000))

    @pytest.mark.parametrize("make", FINITE)
    def test_what_is_no_event_is_encoded(self, make: Callable[[], Any]) -> None:
        """There are bytes for anything at all."""
        strict(encode(make(), 2_000))


def wide_tree(levels: int) -> Any:
    return [wide_tree(levels - 1) for _ in range(9)] if levels else "leaf"


class TestRendering:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (float("nan"), "NaN"),
            (float("-inf"), "-Infinity"),
            (2**63 - 1, 2**63 - 1),
            (2**63, "9223372036854775808"),
            pytest.param(10**5_000, "[integer of 16610 bits]", id="huge"),
            (b"text", "text"),
            (b"\x80\x81", "[2 bytes]"),
            ("\ud83d\ude00", "😀"),
            ("a\udc00", "a\ufffd"),
            (decimal.Decimal("0.10"), "0.10"),
            (dt.timedelta(seconds=1.5), "0:00:01.500000"),
            (dt.date(2026, 1, 2), "2026-01-02"),
            (Colour.RED, "red"),
            (Card, "oddities.Card"),
            (Card("ace", "secret"), {"name": "ace", "tags": []}),
            ({(1, 2): 3, None: 4, True: 5, 1.5: 6}, None),
            (RaisingRepr(), "[unrepresentable RaisingRepr]"),
        ],
    )
    def test_values_of_every_kind(self, value: Any, expected: Any) -> None:
        """Each kind of value has one form in JSON."""
        if expected is None:
            expected = {"(1, 2)": 3, "null": 4, "true": 5, "1.5": 6}

        shown = metadata_of(value=value)["value"]

        assert shown == expected
        assert_plain(shown)

    def test_a_flag_is_its_number(self) -> None:
        """An enum is shown by its value."""

        class Bits(enum.IntFlag):
            A = 1
            B = 2

        assert metadata_of(bits=Bits.A | Bits.B)["bits"] == 3

    def test_a_pydantic_model_is_its_fields(self) -> None:
        """A model of pydantic is rendered as it dumps itself."""
        pydantic = pytest.importorskip("pydantic")
        model = pydantic.create_model("Answer", text=(str, ...), n=(int, 1))

        assert event_of(output_data=model(text="t"))["output_data"] == {
            "text": "t",
            "n": 1,
        }

    def test_numpy_values_are_numbers(self) -> None:
        """Scalars and small arrays of numpy are plain numbers, large ones are named."""
        numpy = pytest.importorskip("numpy")
        event = event_of(
            input_data=numpy.arange(3),
            output_data={"large": numpy.zeros(5_000)},
            cost_usd=numpy.float32(0.5),
            latency_ms=numpy.int64(7),
        )

        assert event["input_data"] == {"items": [0, 1, 2]}
        assert "zeros" in event["output_data"]["large"] or "..." in str(
            event["output_data"]
        )
        assert (event["cost_usd"], event["latency_ms"]) == (0.5, 7)
