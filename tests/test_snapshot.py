"""The caller's copy: private, bounded, and without running anybody's code."""

from __future__ import annotations

import collections
import gc
import logging
import pickle
import sys
import threading
import types
import weakref
from typing import Any, Callable, Dict, List, Mapping, Optional

import pytest

from agentmonitor_logging._snapshot import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    Snapshot,
    snapshot,
    snapshot_record,
)
from agentmonitor_logging.context import (
    Span,
    activate,
    agent_context,
    new_span,
    restore,
)
from oddities import ODDITIES, LoudError, Point


def make_record(
    msg: Any = "hello %s", args: Any = ("you",), exc_info: Any = None, **extra: Any
) -> logging.LogRecord:
    logger = logging.getLogger("shop")
    return logger.makeRecord(
        "shop", logging.INFO, "/a/shop.py", 7, msg, args, exc_info, "buy", extra
    )


def raised_by(function: Callable[[], Any]) -> Any:
    try:
        function()
    except BaseException:
        return sys.exc_info()
    raise AssertionError("nothing was raised")


@pytest.fixture
def span() -> Any:
    current = new_span()
    activate(current)
    yield current
    restore(current)


class TestValues:
    def test_later_changes_do_not_show(self) -> None:
        """A chat history that grows after the call is delivered as it was."""
        history = [{"role": "user", "content": "hi", "parts": [{"text": "a"}]}]
        copy = snapshot({"messages": history})

        history[0]["content"] = "changed"
        history[0]["parts"][0]["text"] = "changed"  # type: ignore[index]
        history.append({})

        expected = [{"role": "user", "content": "hi", "parts": [{"text": "a"}]}]
        assert copy == {"messages": expected}

    def test_strings_are_shared(self) -> None:
        """A copy costs by the node and never by the byte."""
        text = "x" * 10_000

        assert snapshot([{"text": text}])[0]["text"] is text

    @pytest.mark.parametrize("value", [object(), types.SimpleNamespace(a=[1]), print])
    def test_other_objects_are_kept_by_reference(self, value: object) -> None:
        """What may have a costly repr is left to the listener."""
        assert snapshot([value])[0] is value

    def test_a_snapshot_is_not_copied_again(self) -> None:
        """What is a private copy already costs nothing."""
        copy = Snapshot(a=[1])

        assert snapshot(copy) is copy
        assert snapshot({"input": copy})["input"] is copy

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (collections.OrderedDict(a=[1]), {"a": [1]}),
            (collections.defaultdict(list, a=[1]), {"a": [1]}),
            (collections.deque([1, [2]]), [1, [2]]),
            ((1, [2]), (1, [2])),
            ({1, 2}, {1, 2}),
            (types.MappingProxyType({"a": [1]}), {"a": [1]}),
            ({"a": 1}.keys(), ["a"]),
            (bytearray(b"ab"), b"ab"),
            (memoryview(b"ab"), b"ab"),
        ],
    )
    def test_every_builtin_container_is_copied(self, value: Any, expected: Any) -> None:
        """A container becomes an equal one of the plain type."""
        copy = snapshot([value])[0]

        assert copy == expected
        assert type(copy) is type(expected)
        assert copy is not value

    def test_named_tuples_keep_their_names(self) -> None:
        """A named tuple stays one, with copies of what it holds."""
        inner = [1]
        copy = snapshot(Point(inner, 2))
        inner.append(2)

        assert copy == Point([1], 2)
        assert type(copy) is Point

    def test_no_method_of_a_subclass_is_run(self) -> None:
        """A container of the application's own is read past its overrides."""

        class Trap(Dict[str, Any]):
            def _sprung(self, *args: Any) -> Any:
                raise AssertionError("user code was run")

            __iter__ = __len__ = __getitem__ = items = keys = values = copy = _sprung

        class ListTrap(List[Any]):
            def _sprung(self, *args: Any) -> Any:
                raise AssertionError("user code was run")

            __iter__ = __len__ = __getitem__ = copy = _sprung

        assert snapshot([Trap(a=1), ListTrap([2])]) == [{"a": 1}, [2]]

    def test_exceptions_become_their_text(self) -> None:
        """An exception would keep every frame it passed; its words are enough."""
        copy = snapshot({"error": KeyError("k")})["error"]

        assert (str(copy), repr(copy)) == ("'k'", "KeyError('k')")

    def test_depth_is_bounded(self) -> None:
        """Below the last level there is a marker."""
        value: Any = "bottom"
        for _ in range(100):
            value = [value]

        copy, levels = snapshot(value), 0
        while isinstance(copy, list):
            copy, levels = copy[0], levels + 1

        assert copy == "[truncated: depth]"
        assert levels == MAX_DEPTH

    def test_cycles_end(self) -> None:
        """A container inside of itself becomes a marker."""
        ring: Dict[str, Any] = {"twice": [1]}
        ring["self"] = [ring, ring["twice"]]

        assert snapshot(ring) == {"twice": [1], "self": ["[circular]", [1]]}

    @pytest.mark.parametrize("size", [MAX_NODES + 1, 1_000_000])
    def test_long_lists_are_cut(self, size: int) -> None:
        """Of a list with a million items the first ten thousand are copied."""
        copy = snapshot([0] * size)

        assert len(copy) == MAX_NODES + 1
        assert copy[-1] == f"[truncated: {size - MAX_NODES:,} more items]"

    @pytest.mark.parametrize(
        "wrap", [dict, collections.OrderedDict, lambda d: collections.Counter(d)]
    )
    def test_large_mappings_are_cut(self, wrap: Callable[[Any], Any]) -> None:
        """Of a large dict the first ten thousand entries are copied."""
        copy = snapshot(wrap(dict.fromkeys(range(MAX_NODES + 5), 1)))

        assert copy.pop("[truncated]") == "5 more items"
        assert list(copy) == list(range(MAX_NODES))

    def test_many_small_containers_are_bounded_together(self) -> None:
        """The bound counts nodes, wherever they are."""
        copy = snapshot([[{"a": 1}, {"b": [2]}] for _ in range(100_000)])

        assert len(copy) < MAX_NODES
        assert copy[-1].endswith("more items]")

    def test_large_sets_and_buffers_are_bounded(self) -> None:
        """Sets are cut to a list, large buffers are only named."""
        assert len(snapshot(set(range(MAX_NODES + 5)))) == MAX_NODES + 1
        assert snapshot(bytearray(MAX_BYTES + 1)) == f"[{MAX_BYTES + 1} bytes]"

    @pytest.mark.parametrize("make", ODDITIES)
    def test_nothing_can_make_it_raise(self, make: Callable[[], Any]) -> None:
        """Whatever is logged, the call of the application returns."""
        snapshot(make())
        snapshot([{"value": make()}])

    def test_an_exception_text_may_be_interrupted(self) -> None:
        """A KeyboardInterrupt inside of somebody's __str__ is not ours to keep."""

        class Interrupted(Exception):
            def __str__(self) -> str:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            snapshot(Interrupted())

    def test_a_container_may_change_while_it_is_copied(self) -> None:
        """Another thread's changes never raise here."""
        shared: Dict[int, Any] = {n: [n] for n in range(200)}
        items = collections.deque(range(200))
        done = threading.Event()

        def change() -> None:
            number = 200
            while not done.is_set():
                shared[number] = [number]
                del shared[number - 200]
                items.append(number)
                items.popleft()
                number += 1

        changer = threading.Thread(target=change)
        changer.start()
        try:
            copies = [snapshot({"d": shared, "i": items}) for _ in range(300)]
        finally:
            done.set()
            changer.join()

        assert all(isinstance(copy["d"], dict) for copy in copies)
        assert all(len(copy["i"]) >= 199 for copy in copies)


class TestRecords:
    def test_the_record_is_not_changed(self, span: Span) -> None:
        """Other handlers of the logger see what they would see without us."""
        error = raised_by(lambda: 1 // 0)
        record = make_record(exc_info=error, input_data={"a": [1]})
        before = dict(record.__dict__)

        snapshot_record(record)

        assert record.__dict__ == before
        assert all(record.__dict__[name] is value for name, value in before.items())

    def test_the_copy_is_a_full_record(self) -> None:
        """A console behind the same listener prints what it would have printed."""
        record = make_record(exc_info=raised_by(lambda: 1 // 0))
        record.stack_info = "Stack (most recent call last): ..."
        layout = logging.Formatter("%(levelname)s %(name)s %(funcName)s %(message)s")

        copy = snapshot_record(record)

        assert copy.args == ("you",)
        assert copy.exc_info is None
        assert layout.format(copy) == layout.format(record)

    def test_a_copy_is_not_copied_again(self) -> None:
        """What came through a queue already is taken as it is."""
        copy = snapshot_record(make_record())

        assert snapshot_record(copy) is copy

    def test_extra_fields_and_arguments_are_snapshots(self) -> None:
        """What the caller changes after the call is delivered as it was."""
        items = [1]
        record = make_record("%s", (items,), input_data={"i": items}, other=items)

        copy = snapshot_record(record)
        items.append(2)

        fields = copy.__dict__
        assert copy.getMessage() == "[1]"
        assert (fields["input_data"], fields["other"]) == ({"i": [1]}, [1])

    @pytest.mark.parametrize(
        ("msg", "args", "expected"),
        [
            ("%(a)s", ({"a": 1},), "1"),
            ("%(a)s %(b)s", (collections.defaultdict(int, a=1),), "1 0"),
            ("%s %r", (ValueError("boom"), KeyError("k")), "boom KeyError('k')"),
            ("%s", (Point(1, 2),), "Point(x=1, y=2)"),
            ("%s", ({1},), "{1}"),
            (ValueError("boom"), (), "boom"),
            ({"event": "bought"}, (), "{'event': 'bought'}"),
            (None, (), "None"),
            ("100%", (), "100%"),
        ],
    )
    def test_messages_read_the_same(self, msg: Any, args: Any, expected: str) -> None:
        """The copy formats to what the record would have said."""
        assert snapshot_record(make_record(msg, args)).getMessage() == expected

    @pytest.mark.parametrize("args", [None, (), [], "x", 5, Point(1, 2)])
    def test_odd_arguments_do_not_raise(self, args: Any) -> None:
        """Records from makeLogRecord may carry anything."""
        record = logging.makeLogRecord({"msg": "m", "args": args})

        assert snapshot_record(record).args == args

    def test_no_frame_is_kept_alive(self) -> None:
        """A queued record frees what the failed function held."""

        class Large:
            pass

        def fail() -> None:
            large = Large()
            references.append(weakref.ref(large))
            raise ValueError("boom")

        references: List[Any] = []
        try:
            fail()
        except ValueError as error:
            record = make_record(
                "%s", (error,), exc_info=sys.exc_info(), error=error, list=[error]
            )
            copy = snapshot_record(record)
            del record, error
        gc.collect()

        assert references[0]() is None
        assert "ValueError: boom" in copy.exc_text

    def test_a_known_exception_text_is_used(self) -> None:
        """A traceback that another handler has formatted is not formatted again."""
        record = make_record(exc_info=raised_by(lambda: 1 // 0))
        record.exc_text = "as another formatter shows it"

        assert snapshot_record(record).exc_text == "as another formatter shows it"

    @pytest.mark.parametrize(
        "exc_info",
        [True, 1, (None, None, None), (1, 2), "x", [1], (ValueError, None, None)],
    )
    def test_odd_exc_info_is_none(self, exc_info: Any) -> None:
        """Whatever stands in exc_info that is no exception counts as none."""
        record = logging.makeLogRecord({"msg": "m", "exc_info": exc_info})

        copy = snapshot_record(record)

        assert (copy.exc_info, copy.exc_text) == (None, None)

    @pytest.mark.parametrize("error", [ValueError("z"), (ValueError, LoudError(), 7)])
    def test_odd_exceptions_are_told(self, error: Any) -> None:
        """An exception without a triple, or with a torn one, is still told."""
        record = logging.makeLogRecord({"msg": "m", "exc_info": error})

        assert "Error" in snapshot_record(record).exc_text

    def test_exception_text_is_bounded(self) -> None:
        """Neither a long message nor a long chain makes a long text."""

        def chain() -> None:
            error: Optional[Exception] = None
            for number in range(1_000):
                try:
                    raise ValueError(number) from error
                except ValueError as raised:
                    error = raised
            assert error is not None
            raise error

        def shout() -> None:
            raise ValueError("x" * 10_000_000)

        for fail in (chain, shout):
            text = snapshot_record(make_record(exc_info=raised_by(fail))).exc_text
            assert len(text) < 40_000
            assert "truncated" in text

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="3.11 made them")
    def test_exception_groups_are_bounded(self) -> None:
        """A small group is shown whole, a large one by its number."""

        def fail(size: int) -> None:
            members = [ValueError(number) for number in range(size)]
            raise ExceptionGroup("many", members)  # type: ignore[name-defined]  # noqa: F821

        small = make_record(exc_info=raised_by(lambda: fail(2)))
        large = make_record(exc_info=raised_by(lambda: fail(10_000)))

        assert "ValueError: 1" in snapshot_record(small).exc_text
        assert "10000 exceptions inside" in snapshot_record(large).exc_text

    def test_a_syntax_error_shows_its_line(self) -> None:
        """What the traceback module knows to show is shown."""
        error = raised_by(lambda: compile("a b\n", "f.py", "exec"))

        assert (
            'File "f.py", line 1'
            in snapshot_record(make_record(exc_info=error)).exc_text
        )

    def test_every_record_has_an_id_of_its_own(self) -> None:
        """Event ids are 32 hex digits and differ."""
        ids = [snapshot_record(make_record())._agent_event_id for _ in range(100)]

        assert len(set(ids)) == 100
        assert all(len(bytes.fromhex(event_id)) == 16 for event_id in ids)

    def test_handlers_of_one_record_agree_on_its_id(self, span: Span) -> None:
        """A file handler and the queue handler write the same event."""
        record = make_record()

        one, two = snapshot_record(record), snapshot_record(record)

        assert one._agent_event_id == two._agent_event_id
        assert one.span_id == two.span_id

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("order-1", True), ("", False), (5, False), ("x" * 500, False), ("é", False)],
    )
    def test_an_event_id_may_be_given(self, given: Any, kept: bool) -> None:
        """A short printable string is taken as the event's id."""
        event_id = snapshot_record(make_record(event_id=given))._agent_event_id

        assert (event_id == given) is kept
        assert kept or len(event_id) == 32

    def test_records_join_the_trace_they_are_made_in(self, span: Span) -> None:
        """A plain log line is a child of the current span."""
        fields = snapshot_record(make_record()).__dict__

        assert fields["trace_id"] == span.trace_id
        assert fields["parent_span_id"] == span.span_id
        assert len(bytes.fromhex(fields["span_id"])) == 8
        assert fields["span_id"] != span.span_id

    def test_a_record_of_a_trace_keeps_its_place(self, span: Span) -> None:
        """What the record says of its trace wins over the current span."""
        fields = snapshot_record(make_record(trace_id="ab" * 16)).__dict__

        assert fields["trace_id"] == "ab" * 16
        assert "parent_span_id" not in fields

    def test_outside_of_a_trace_there_are_no_trace_ids(self) -> None:
        """No trace is invented for a single record."""
        assert not {"trace_id", "span_id"} & set(
            snapshot_record(make_record()).__dict__
        )

    def test_context_is_read_at_the_call(self) -> None:
        """What agent_context has bound travels along, as it was."""
        tags = [1]
        with agent_context(session_id="s", tags=tags):
            copy = snapshot_record(make_record())
        tags.append(2)

        context: Mapping[str, Any] = copy._agent_context
        assert context == {"session_id": "s", "metadata": {"tags": [1]}}

    def test_a_context_on_the_record_wins(self) -> None:
        """A decorated call belongs to the context it was started in."""
        with agent_context(session_id="end"):
            record = make_record(_agent_context={"session_id": "start"})
            copy = snapshot_record(record)

        assert copy._agent_context == {"session_id": "start"}

    def test_the_copy_can_be_pickled(self, span: Span) -> None:
        """A copy with plain content passes to another process."""
        record = make_record(
            exc_info=raised_by(lambda: 1 // 0), error=ValueError("boom"), data={"a": 1}
        )
        with agent_context(session_id="s"):
            copy = snapshot_record(record)

        again = pickle.loads(pickle.dumps(copy))

        assert str(again.__dict__.pop("error")) == str(copy.__dict__.pop("error"))
        assert again.__dict__ == copy.__dict__

    def test_the_class_of_the_record_is_kept(self) -> None:
        """A record factory's own class and methods survive, its constructor rests."""

        class Braces(logging.LogRecord):
            def __new__(cls, *args: Any, **kwargs: Any) -> Any:
                assert args, "made without arguments"
                return super().__new__(cls)

            def getMessage(self) -> str:  # noqa: N802
                return str(self.msg).format(*self.args)

        record = Braces("shop", 20, "/a.py", 1, "{}!", ("hi",), None)

        copy = snapshot_record(record)

        assert type(copy) is Braces
        assert copy.getMessage() == "hi!"

    def test_a_record_of_a_layout_of_its_own_becomes_a_plain_one(self) -> None:
        """Where the class cannot be remade, an ordinary record carries the fields."""

        class Odd(logging.LogRecord):
            @property
            def __dict__(self) -> Any:  # type: ignore[override]
                return {"msg": "odd", "args": ()}

        record = Odd("shop", 20, "/a.py", 1, "m", (), None)

        assert snapshot_record(record).getMessage() == "odd"

    def test_copies_are_made_under_constant_change(self) -> None:
        """A dict changed by another thread while it is logged never raises."""
        shared: Dict[str, int] = {}
        done = threading.Event()

        def change() -> None:
            number = 0
            while not done.is_set():
                shared[str(number)] = number
                shared.pop(str(number - 50), None)
                number += 1

        changer = threading.Thread(target=change)
        changer.start()
        try:
            copies = [snapshot_record(make_record(data=shared)) for _ in range(500)]
        finally:
            done.set()
            changer.join()

        assert all(isinstance(copy.__dict__["data"], dict) for copy in copies)


def test_what_a_record_class_sets_first_is_copied() -> None:
    """Attributes of its own may stand before those of logging."""

    class Early(logging.LogRecord):
        def __init__(self, *args: Any) -> None:
            self.history = [1]
            super().__init__(*args)

    record = Early("shop", 20, "/a.py", 1, "m", (), None)
    copy = snapshot_record(record)
    record.history.append(2)

    assert [1] == copy.history


def test_a_record_with_an_id_of_its_own_is_a_step_of_its_trace() -> None:
    """The span id is drawn for it; the event id given need not be hex, nor unique."""
    current = new_span()
    activate(current)
    try:
        copies = [snapshot_record(make_record(event_id="order-1234")) for _ in range(2)]
    finally:
        restore(current)

    assert ["order-1234"] * 2 == [copy._agent_event_id for copy in copies]
    assert 2 == len({copy.span_id for copy in copies})
    assert all(len(copy.span_id) == 16 for copy in copies)
