"""Events out of running code: the decorator and the with block."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import json
import logging
import pickle
import sys
import threading
import time
import types
import weakref
from decimal import Decimal
from typing import Any, AsyncIterator, Callable, Dict, Iterator, List

import pytest

from agentmonitor_logging import _diagnostics
from agentmonitor_logging._snapshot import Snapshot
from agentmonitor_logging.context import agent_context, bound_fields, current_span
from agentmonitor_logging.exceptions import ConfigError
from agentmonitor_logging.tracking import agent_event, log_agent_call
from capturing import Records, own_frames, records, records_made_with  # noqa: F401
from servers import DEADLINE

HERE = __file__
LOGGER = logging.getLogger(__name__)


@log_agent_call
def answer(question: str, *more: str, style: str = "short", **options: Any) -> str:
    """Answer."""
    return f"{question}!"


class Agent:
    @log_agent_call
    def ask(self, question: str) -> str:
        """Ask."""
        return question.upper()

    @log_agent_call
    async def ask_later(self, question: str) -> str:
        return question.upper()

    @classmethod
    @log_agent_call
    def named(cls, name: str) -> str:
        return f"{cls.__name__} {name}"

    @staticmethod
    @log_agent_call
    def add(a: int, b: int) -> int:
        return a + b

    @log_agent_call  # type: ignore[arg-type]
    @classmethod
    def above_class(cls, name: str) -> str:
        return f"{cls.__name__} {name}"

    @log_agent_call
    @staticmethod
    def above_static(a: int) -> int:
        return a

    def __call__(self, question: str) -> str:
        return question


def test_event_of_a_call(records: Records) -> None:
    """A call is one record: arguments by name, result, status, latency, place."""
    before = time.time()
    answer("why", "and", style="long", depth=2)
    record = records.one

    assert record.event_type == "function_call"
    assert record.input_data == {
        "question": "why",
        "more": ["and"],
        "style": "long",
        "depth": 2,
    }
    assert record.output_data == {"value": "why!"}
    assert record.status == "success"
    assert record.metadata == {"function_name": "answer", "module": __name__}
    assert before <= record.timestamp <= time.time()
    assert type(record.latency_ms) is int
    assert len(record.trace_id) == 32
    assert len(record.span_id) == 16
    assert record.parent_span_id is None
    assert not hasattr(record, "error_message")


def test_record_reads_well_on_a_console(records: Records) -> None:
    """The message says who, how it went and how long, formatted late."""
    answer("why")

    assert records.one.getMessage() == f"answer ok {records.one.latency_ms} ms"
    assert records.one.args == ("answer", records.one.latency_ms)


def test_record_comes_from_the_decorated_function(records: Records) -> None:
    """pathname, lineno and funcName are those of the function, not of the wrapper."""
    answer("why")
    record, code = records.one, answer.__wrapped__.__code__  # type: ignore[attr-defined]

    assert (record.pathname, record.lineno) == (code.co_filename, code.co_firstlineno)
    assert (record.name, record.funcName) == (__name__, "answer")
    assert (record.levelno, record.exc_info) == (logging.INFO, None)


def test_capture_is_marked_as_copied(records: Records) -> None:
    """Input, output and metadata are snapshots, which no handler copies again."""
    answer("why")
    record = records.one

    assert type(record.input_data) is Snapshot
    assert type(record.output_data) is Snapshot
    assert type(record.metadata) is Snapshot


def test_metadata_is_not_shared_between_records(records: Records) -> None:
    """A filter that writes into one record's metadata does not write into the next."""
    answer("1")
    records.one.metadata["seen"] = True
    answer("2")

    assert "seen" not in records.kept[1].metadata


def test_options(records: Records) -> None:
    """Every option of the decorator shows in the record."""
    log_agent_call(
        event_type="llm_call",
        logger=f"{__name__}.other",
        level="warning",
        capture_input=False,
        capture_output=False,
        metadata={"model": "m"},
    )(answer.__wrapped__)("why")  # type: ignore[attr-defined]
    record = records.one

    assert record.event_type == "llm_call"
    assert record.name == f"{__name__}.other"
    assert record.levelno == logging.WARNING
    assert record.input_data is None
    assert record.output_data is None
    assert record.metadata["model"] == "m"


def test_logger_object(records: Records) -> None:
    """A Logger can be given instead of a name."""
    log_agent_call(logger=LOGGER.getChild("child"))(len)([1])  # type: ignore[arg-type]

    assert records.one.name == f"{__name__}.child"


@pytest.mark.parametrize(
    "options",
    [
        {"event_type": ""},
        {"event_type": 3},
        {"logger": 3},
        {"level": "LOUD"},
        {"level": 1.5},
        {"level": True},
        {"metadata": [1]},
        {"metadata": {1: 2}},
        {"capture_input": "false"},
        {"capture_output": 0},
    ],
    ids=repr,
)
def test_wrong_option_is_refused_while_decorating(options: Dict[str, Any]) -> None:
    """A wrong option is a ConfigError that names it and what was given."""
    (name, given), *_ = options.items()
    with pytest.raises(ConfigError, match=name) as caught:
        log_agent_call(**options)

    assert repr(given) in str(caught.value)


@pytest.mark.parametrize("target", ["llm_call", 3, Agent], ids=repr)
def test_only_callables_are_decorated(target: Any) -> None:
    """A positional option, or a class, is a ConfigError."""
    with pytest.raises(ConfigError, match="decorated object"):
        log_agent_call(target)


def keywords_only(*, a: int, b: int = 2) -> None: ...


def collects(a: int, *rest: int, **more: Any) -> None: ...


def positional_only() -> Callable[..., None]:
    scope: Dict[str, Any] = {"__name__": __name__}
    exec("def taken(a, b=0, /, **more): pass", scope)
    return scope["taken"]  # type: ignore[no-any-return]


def test_defaults_are_not_arguments(records: Records) -> None:
    """Only what was passed is recorded."""
    log_agent_call(keywords_only)(a=1)

    assert records.one.input_data == {"a": 1}


def test_collected_arguments(records: Records) -> None:
    """*args stand under their name as a list, **kwargs under their own names."""
    log_agent_call(collects)(1, 2, 3, rest=4, other=5)

    assert records.one.input_data == {
        "a": 1,
        "rest": [2, 3],
        "more": {"rest": 4},
        "other": 5,
    }


def test_keyword_with_the_name_of_a_positional_only(records: Records) -> None:
    """A keyword that collides with a positional-only name goes under the ** name."""
    log_agent_call(positional_only())(1, a=2, c=3)

    assert records.one.input_data == {"a": 1, "more": {"a": 2}, "c": 3}


def test_partial_shows_its_presets(records: Records) -> None:
    """Arguments set by functools.partial are arguments of the call."""
    preset = functools.partial(collects, 1, x=9)
    log_agent_call(preset)(2, y=8)

    assert records.one.input_data == {"a": 1, "rest": [2], "x": 9, "y": 8}
    assert records.one.funcName == "collects"


def test_bound_method_leaves_self_out(records: Records) -> None:
    """A method decorated from outside is a function of its visible parameters."""
    bound = log_agent_call(json.JSONDecoder().decode)
    logging.getLogger("json.decoder").setLevel(logging.INFO)
    logging.getLogger("json.decoder").addHandler(records)

    assert bound("[1]") == [1]
    assert records.one.input_data == {"s": "[1]"}


def test_callable_object(records: Records) -> None:
    """A callable object is recorded under the name of its class."""
    traced = log_agent_call(Agent())

    assert traced("hi") == "hi"
    assert records.one.input_data == {"question": "hi"}
    assert records.one.funcName == "Agent"


def test_builtin_has_no_names(records: Records) -> None:
    """Where the names cannot be known, positions and keywords are recorded."""
    traced = log_agent_call(logger=__name__)(sorted)

    assert traced([2, 1], reverse=True) == [2, 1]
    assert records.one.input_data == {"args": [[2, 1]], "kwargs": {"reverse": True}}


def test_names_of_a_function_below_other_decorators(records: Records) -> None:
    """functools.wraps decorators in between do not hide names nor place."""

    def other(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    log_agent_call(other(collects))(1, 2)

    assert records.one.input_data == {"a": 1, "rest": [2]}
    assert records.one.lineno == collects.__code__.co_firstlineno


def test_function_that_wraps_itself_has_no_names(records: Records) -> None:
    """A cycle of __wrapped__ is survived: the arguments stand by position."""

    def odd(a: int) -> int:
        return a

    odd.__wrapped__ = odd  # type: ignore[attr-defined]

    assert log_agent_call(odd)(1) == 1
    assert records.one.input_data == {"args": [1], "kwargs": {}}


def test_wrong_arguments_raise_what_they_always_raise(records: Records) -> None:
    """The TypeError of a wrong call is the function's own, and is recorded."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        log_agent_call(keywords_only)(a=1, c=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes 0 positional arguments"):
        log_agent_call(keywords_only)(1)  # type: ignore[call-arg]

    assert records.kept[0].input_data == {"a": 1, "c": 3}
    assert records.kept[1].input_data == {"args": [1], "kwargs": {}}
    assert [record.status for record in records] == ["error", "error"]


def test_methods(records: Records) -> None:
    """Methods of every kind keep working and leave self and cls out."""
    agent = Agent()

    assert agent.ask("hi") == "HI"
    assert asyncio.run(agent.ask_later("hi")) == "HI"
    assert (Agent.named("a"), agent.named("b")) == ("Agent a", "Agent b")
    assert (Agent.add(1, 2), agent.above_static(3)) == (3, 3)
    assert Agent.above_class("c") == "Agent c"
    assert [dict(record.input_data) for record in records] == [
        {"question": "hi"},
        {"question": "hi"},
        {"name": "a"},
        {"name": "b"},
        {"a": 1, "b": 2},
        {"a": 3},
        {"name": "c"},
    ]


def test_self_passed_by_keyword(records: Records) -> None:
    """Even a self passed by name is left out."""
    Agent.ask(self=Agent(), question="hi")

    assert records.one.input_data == {"question": "hi"}


def test_decorated_function_looks_like_itself() -> None:
    """Name, docstring, signature and original survive for inspect."""
    original = answer.__wrapped__  # type: ignore[attr-defined]

    assert (answer.__name__, answer.__doc__) == ("answer", "Answer.")
    assert inspect.signature(answer) == inspect.signature(original)
    assert Agent.ask.__qualname__ == "Agent.ask"
    assert inspect.iscoroutinefunction(Agent.ask_later)
    assert inspect.iscoroutinefunction(Agent().ask_later)
    assert not inspect.iscoroutinefunction(answer)


def test_async_partial_and_callable_stay_async() -> None:
    """What returns a coroutine is wrapped by a coroutine function, partial or not."""

    class Later:
        async def __call__(self) -> int:
            return 2

    async def one(value: int) -> int:
        return value

    partial = log_agent_call(functools.partial(one, 1))
    later = log_agent_call(Later())

    assert inspect.iscoroutinefunction(partial)
    assert inspect.iscoroutinefunction(later)
    assert (asyncio.run(partial()), asyncio.run(later())) == (1, 2)


def test_generator_based_coroutine_stays_awaitable(records: Records) -> None:
    """A types.coroutine function is awaited, not iterated."""

    @log_agent_call
    @types.coroutine
    def pause() -> Any:
        yield
        return 3

    async def main() -> Any:
        return await pause()

    assert asyncio.run(main()) == 3
    assert records.one.output_data == {"value": 3}


def test_decorated_function_can_be_pickled() -> None:
    """A decorated function is pickled by name, like any function."""
    assert pickle.loads(pickle.dumps(answer)) is answer


def test_input_is_what_it_was_before_the_call(records: Records) -> None:
    """A function that changes its arguments does not change the record."""

    @log_agent_call
    def grow(history: List[str]) -> List[str]:
        history.append("new")
        return history

    history = ["old"]
    result = grow(history)
    history.append("newer")

    assert result is history
    assert records.one.input_data == {"history": ["old"]}
    assert records.one.output_data == {"items": ["old", "new"]}


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        (None, None),
        (1.5, {"value": 1.5}),
        (b"x", {"value": b"x"}),
        ({"a": 1}, {"a": 1}),
        ((1, 2), {"items": [1, 2]}),
        ({3}, {"items": [3]}),
    ],
    ids=repr,
)
def test_output_is_an_object(records: Records, result: Any, recorded: Any) -> None:
    """Scalars become {"value": x}, lists {"items": [...]}, dicts and None stay."""
    log_agent_call(logger=__name__)(lambda: result)()

    assert records.one.output_data == recorded


def test_objects_are_kept_by_reference(records: Records) -> None:
    """Nobody's repr or iterator runs in the caller."""
    thing = Agent()
    log_agent_call(logger=__name__)(lambda x: x)(thing)

    assert records.one.input_data["x"] is thing
    assert records.one.output_data is thing


class Custom(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


ERRORS = [
    ValueError("boom"),
    KeyboardInterrupt(),
    SystemExit(3),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopAsyncIteration("x"),
    Custom(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exception_reaches_the_caller_unchanged(
    records: Records, error: BaseException
) -> None:
    """Same object, same context and cause, at most one frame of ours; recorded."""
    error.__traceback__ = None

    @log_agent_call
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail()

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert len(own_frames(error)) == 1
    assert records.one.status == "error"
    assert records.one.exc_info[1] is error
    assert records.one.error_message.startswith(type(error).__name__)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exception_of_a_coroutine_reaches_the_caller_unchanged(
    records: Records, error: BaseException
) -> None:
    """Same law for async def, StopIteration's async sister included."""
    if isinstance(error, StopAsyncIteration):
        pytest.skip("Python itself turns it into a RuntimeError")
    error.__traceback__ = None

    @log_agent_call
    async def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        fail().send(None)

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert len(own_frames(error)) == 1
    assert records.one.status == "error"


def test_cause_and_context_stay(records: Records) -> None:
    """What the application chained stays chained, and nothing is added."""

    @log_agent_call
    def fail() -> None:
        try:
            raise KeyError("first")
        except KeyError as first:
            raise ValueError("second") from first

    with pytest.raises(ValueError, match="second") as caught:
        fail()

    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__context__ is caught.value.__cause__
    assert caught.value.__cause__.__context__ is None


def test_level_of_errors(records: Records) -> None:
    """Exceptions are logged at ERROR or above; leaving the program is routine."""
    for level, error in [
        (logging.INFO, ValueError()),
        (logging.CRITICAL, ValueError()),
        (logging.INFO, asyncio.CancelledError()),
        (logging.WARNING, SystemExit()),
    ]:
        with pytest.raises(type(error)):
            log_agent_call(level=level)(raising)(error)

    assert [record.levelno for record in records] == [
        logging.ERROR,
        logging.CRITICAL,
        logging.INFO,
        logging.WARNING,
    ]


def raising(error: BaseException) -> None:
    raise error


def test_error_reads_well_on_a_console(records: Records) -> None:
    """The line says what failed and why; the traceback begins in the application."""
    with pytest.raises(ValueError, match="boom"):
        log_agent_call(raising)(ValueError("boom"))
    record = records.one
    text = logging.Formatter().format(record)

    assert text.startswith(f"raising failed {record.latency_ms} ms: ValueError: boom")
    assert record.error_message == "ValueError: boom"
    assert "in raising" in text
    assert "in wrapper" not in text


def test_exception_leaves_nothing_alive() -> None:
    """Once the caller drops the exception, what the function held is free."""

    class Payload:
        pass

    freed: List[str] = []
    LOGGER.setLevel(logging.INFO)
    LOGGER.addHandler(logging.NullHandler())
    LOGGER.propagate = False  # pytest keeps records, and so their exceptions

    @log_agent_call
    def fail(payload: Any) -> None:
        weakref.finalize(payload, freed.append, "payload")
        raise ValueError("boom")

    gc.disable()
    try:
        try:
            fail(Payload())
        except ValueError:
            pass

        assert freed == ["payload"]
    finally:
        gc.enable()


def test_nobody_listening_means_no_event(records: Records) -> None:
    """Below the logger's level nothing is recorded, and no span is made."""
    LOGGER.setLevel(logging.CRITICAL)
    seen = log_agent_call(logger=__name__)(current_span)()

    assert seen is None
    assert asyncio.run(Agent().ask_later("hi")) == "HI"
    assert len(records) == 0


def test_error_is_heard_where_only_errors_are(records: Records) -> None:
    """A logger at WARNING hears nothing of successes and all of an Exception."""
    LOGGER.setLevel(logging.WARNING)
    answer("why")
    with pytest.raises(ValueError, match="boom"):
        log_agent_call(raising)(ValueError("boom"))

    assert records.one.levelno == logging.ERROR
    assert "error" in records.one.input_data
    assert len(records.one.span_id) == 16


def test_cancellation_is_not_heard_where_only_errors_are(records: Records) -> None:
    """At WARNING, a SystemExit is no event."""
    LOGGER.setLevel(logging.WARNING)
    with pytest.raises(SystemExit):
        log_agent_call(raising)(SystemExit())

    assert len(records) == 0


def test_disabled_logger_means_no_event(records: Records) -> None:
    """After disable_existing_loggers, calls just go through."""
    LOGGER.disabled = True

    assert answer("why") == "why!"
    with pytest.raises(ValueError, match="boom"):
        log_agent_call(raising)(ValueError("boom"))
    assert len(records) == 0


def test_logger_is_found_at_the_first_call() -> None:
    """Decorating makes no logger: what configures logging may come later."""
    name = f"{__name__}.later"
    log_agent_call(logger=name)(answer)

    assert name not in logging.Logger.manager.loggerDict


def test_adapter_gives_its_extra_under_ours(records: Records) -> None:
    """A LoggerAdapter's extra is on the record; our fields and its own win over it."""
    extra = {
        "session_id": "s",
        "status": "odd",
        "name": "odd",
        "message": "odd",
        "metadata": {"tier": "gold", "module": "odd"},
    }
    adapter = logging.LoggerAdapter(LOGGER, extra)
    log_agent_call(logger=adapter)(answer)("why")
    record = records.kept[-1]

    assert record.session_id == "s"
    assert record.status == "success"
    assert record.name == __name__
    assert "message" not in record.__dict__ or record.message != "odd"
    assert record.metadata["tier"] == "gold"
    assert record.metadata["module"] == __name__


@pytest.mark.parametrize("fails", [False, True])
def test_an_adapter_may_say_more_in_the_message(records: Records, fails: bool) -> None:
    """What `process` makes of the message is the message, from the outermost inwards."""

    class Job(logging.LoggerAdapter):  # type: ignore[type-arg]
        def process(self, msg: Any, kwargs: Any) -> Any:
            return f"[{self.extra['job']}] {msg}", kwargs  # type: ignore[index]

    inner = Job(LOGGER, {"job": 7})

    @log_agent_call(logger=Job(inner, {"job": 8}))  # type: ignore[arg-type]
    def work() -> None:
        if fails:
            raise ValueError("no")

    with contextlib.suppress(ValueError):
        work()

    outcome = "failed 0 ms: ValueError: no" if fails else "ok 0 ms"
    assert f"[7] [8] work {outcome}" == records.one.getMessage()


def test_adapter_of_an_adapter(records: Records) -> None:
    """Nested adapters all give their extra; the outer one wins."""

    class Inner(logging.LoggerAdapter):  # type: ignore[type-arg]
        def process(self, msg: Any, kwargs: Any) -> Any:
            return msg, {"extra": {"user_id": "u", "session_id": "inner"}}

    adapter = logging.LoggerAdapter(Inner(LOGGER, {}), {"session_id": "outer"})  # type: ignore[arg-type]
    with agent_event("block", logger=adapter):
        pass

    assert (records.one.user_id, records.one.session_id) == ("u", "outer")


def test_record_factory_is_honoured(records: Records) -> None:
    """setLogRecordFactory decides about our records too."""
    with records_made_with(host="here"):
        answer("why")

    assert records.one.host == "here"


def test_filters_of_the_logger_decide(records: Records) -> None:
    """A filter on the logger sees the fields and may refuse the record."""
    refuse = lambda record: record.event_type != "function_call"  # noqa: E731
    LOGGER.addFilter(refuse)
    try:
        answer("why")
    finally:
        LOGGER.removeFilter(refuse)

    assert len(records) == 0


class BrokenHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("broken handler")


@pytest.mark.swallows
def test_broken_handler_does_not_reach_the_caller(records: Records) -> None:
    """The call goes on exactly once, and our failure is reported once."""
    LOGGER.addHandler(BrokenHandler())
    calls: List[int] = []

    assert log_agent_call(logger=__name__)(calls.append)(1) is None
    with pytest.raises(ValueError, match="boom") as caught:
        log_agent_call(raising)(ValueError("boom"))
    with agent_event("block"):
        pass

    assert calls == [1]
    assert caught.value.__context__ is None
    assert len(_diagnostics.swallowed) == 3
    assert "broken handler" in _diagnostics.swallowed[0]


def test_raise_exceptions_off_means_silence(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With logging.raiseExceptions off, nothing is reported either."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    LOGGER.addHandler(BrokenHandler())
    answer("why")

    assert _diagnostics.swallowed == []


@pytest.mark.swallows
def test_broken_adapter_does_not_reach_the_caller(records: Records) -> None:
    """A process() that raises costs the event, not the call."""

    class Broken(logging.LoggerAdapter):  # type: ignore[type-arg]
        def process(self, msg: Any, kwargs: Any) -> Any:
            raise RuntimeError("broken adapter")

    traced = log_agent_call(logger=Broken(LOGGER, {}))(lambda: 3)

    assert traced() == 3
    assert current_span() is None


@log_agent_call
def forever(value: Any) -> None:
    forever([value])


def forever_in_blocks(value: Any) -> None:
    with agent_event("block", value):
        forever_in_blocks([value])


@log_agent_call
def forever_a_stream(value: Any) -> Iterator[Any]:
    yield from forever_a_stream([value])


@pytest.mark.swallows
@pytest.mark.parametrize(
    "endless",
    [forever, forever_in_blocks, lambda value: list(forever_a_stream(value))],
    ids=["calls", "blocks", "streams"],
)
def test_endless_recursion_ends_as_it_would(
    records: Records, endless: Callable[[Any], Any]
) -> None:
    """Endless recursion of monitored code ends in RecursionError, and no other way."""
    LOGGER.propagate = False  # pytest formats every traceback, whatever its length

    with pytest.raises(RecursionError):
        endless("x")

    assert current_span() is None
    assert len(records) > 100
    assert answer("still alive") == "still alive!"


class Hostile:
    """Raise from whatever anybody might call."""

    def _raise(self, *args: Any) -> Any:
        raise RuntimeError("hands off")

    __eq__ = __iter__ = __len__ = __bool__ = __repr__ = __str__ = _raise  # type: ignore[assignment]
    __hash__ = __getattr__ = __format__ = _raise  # type: ignore[assignment]


def test_hostile_values_pass_through(records: Records) -> None:
    """An object that raises from everything is passed, returned and recorded."""
    hostile = Hostile()
    result = log_agent_call(logger=__name__)(lambda x, **more: x)(hostile, y=hostile)

    assert result is hostile
    assert records.one.input_data["x"] is hostile
    assert records.one.output_data is hostile


@log_agent_call
def leaf() -> None: ...


@log_agent_call
async def leaf_later() -> None:
    await asyncio.sleep(0)


def parents(records: Records, name: str) -> List[str]:
    """Return the names from *name* up to the root, by the span ids."""
    by_span = {record.span_id: record for record in records}
    record, path = records.of(name), []
    while record is not None:
        path.append(record.metadata.get("function_name", record.event_type))
        record = by_span.get(record.parent_span_id)
    return path


def test_nested_calls_form_a_tree(records: Records) -> None:
    """A call inside a call is its child, in the same trace; siblings share a parent."""

    @log_agent_call
    def root() -> None:
        leaf()
        with agent_event("block"):
            answer("why")

    root()

    assert parents(records, "leaf") == ["leaf", "root"]
    assert parents(records, "answer") == ["answer", "block", "root"]
    assert len({record.trace_id for record in records}) == 1
    assert current_span() is None


def test_separate_calls_are_separate_traces(records: Records) -> None:
    """Two calls at the top do not share a trace."""
    leaf()
    leaf()

    assert len({record.trace_id for record in records}) == 2


def test_tree_across_tasks_and_awaits(records: Records) -> None:
    """await, gather and create_task keep the parent; the parent may end first."""

    @log_agent_call
    async def root() -> Any:
        await leaf_later()
        return asyncio.create_task(named("task")), asyncio.gather(
            named("left"), named("right")
        )

    async def named(name: str) -> None:
        async with agent_event(name):
            await asyncio.sleep(0)

    async def main() -> None:
        for pending in await root():
            await pending

    asyncio.run(main())

    for name in ("leaf_later", "task", "left", "right"):
        assert parents(records, name) == [name, "root"]


def test_tree_across_threads(records: Records) -> None:
    """Work handed over with its context keeps its parent."""

    @log_agent_call
    async def root() -> None:
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        await loop.run_in_executor(None, context.run, leaf)
        if sys.version_info >= (3, 9):
            await asyncio.to_thread(answer, "why")

    asyncio.run(root())

    assert parents(records, "leaf") == ["leaf", "root"]
    if sys.version_info >= (3, 9):
        assert parents(records, "answer") == ["answer", "root"]


def test_failed_call_gives_the_span_back(records: Records) -> None:
    """After an exception the caller's span is current again."""
    with agent_event("outer"):
        span = current_span()
        with pytest.raises(ValueError, match="boom"):
            log_agent_call(raising)(ValueError("boom"))

        assert current_span() is span


def test_bound_fields_are_those_of_the_start(records: Records) -> None:
    """The event belongs to the session its call was started in."""

    @log_agent_call
    def work() -> None:
        with agent_context(session_id="inner"):
            leaf()

    with agent_context(session_id="outer", tier="gold"):
        work()

    outer = {"session_id": "outer", "metadata": {"tier": "gold"}}

    assert records.of("work")._agent_context == outer
    assert records.of("leaf")._agent_context["session_id"] == "inner"


def test_block_is_an_event(records: Records) -> None:
    """A with block is one record with what it was given and told."""
    with agent_event("retrieval", {"q": "why"}, index="docs") as event:
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
        event.set_output(["a", "b"])
        event.set_metadata({"hits": 2}, took="long")
        event.set_cost(0.5)
    record = records.one

    assert record.event_type == "retrieval"
    assert record.input_data == {"q": "why"}
    assert record.output_data == {"items": ["a", "b"]}
    assert record.metadata == {"index": "docs", "hits": 2, "took": "long"}
    assert (record.cost_usd, record.status) == (0.5, "success")
    assert record.getMessage() == f"retrieval ok {record.latency_ms} ms"
    assert (record.name, record.pathname) == (__name__, HERE)
    assert (record.lineno, record.funcName) == (line, "test_block_is_an_event")


def test_block_takes_a_logger(records: Records) -> None:
    """logger= names another logger than the module's."""
    with agent_event("block", logger=f"{__name__}.other"):
        pass

    assert records.one.name == f"{__name__}.other"


def test_block_with_a_wrong_logger_uses_the_module(records: Records) -> None:
    """At run time nothing of ours is raised, not even for a wrong logger."""
    with agent_event("block", logger=3):  # type: ignore[arg-type]
        pass

    assert records.one.name == __name__


def test_block_can_replace_its_input(records: Records) -> None:
    """set_input replaces what was given, and copies at once."""
    data = {"q": 1}
    with agent_event("block", "old") as event:
        event.set_input(data)
        data["q"] = 2

    assert records.one.input_data == {"q": 1}


def test_exception_makes_the_block_an_error(records: Records) -> None:
    """The exception goes on as it is, without a frame of ours, and is recorded."""
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as caught:
        with agent_event("block") as event:
            event.set_status("success")
            raise error
    record = records.one

    assert caught.value is error
    assert own_frames(error) == []
    assert (record.status, record.levelno) == ("error", logging.ERROR)
    assert record.error_message == "ValueError: boom"
    assert record.exc_info[1] is error


def test_cancelled_block_is_routine(records: Records) -> None:
    """Cancellation is an error status at the ordinary level."""

    async def main() -> None:
        async with agent_event("block"):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())

    assert (records.one.status, records.one.levelno) == ("error", logging.INFO)


def test_block_in_a_closed_generator_is_no_error(records: Records) -> None:
    """GeneratorExit is the consumer's choice."""

    def generator() -> Iterator[int]:
        with agent_event("block"):
            yield 1

    suspended = generator()
    next(suspended)
    suspended.close()

    assert records.one.status == "success"
    assert records.one.metadata == {"closed_early": True}


def test_block_can_tell_an_error(records: Records) -> None:
    """set_error takes an exception, or words, and makes the outcome an error."""
    with agent_event("caught") as event:
        try:
            raise KeyError("k")
        except KeyError as error:
            event.set_error(error)
    with agent_event("words") as event:
        event.set_error("no answer")
    with agent_event("status") as event:
        event.set_status("error")

    assert [record.levelno for record in records] == [logging.ERROR] * 3
    assert records.of("caught").error_message == "KeyError: 'k'"
    assert isinstance(records.of("caught").exc_info[1], KeyError)
    assert records.of("words").error_message == "no answer"
    assert records.of("words").exc_info is None
    assert records.of("status").getMessage().endswith("ms: error")


def test_told_error_can_be_taken_back(records: Records) -> None:
    """A retry that worked sets the status back."""
    with agent_event("block") as event:
        event.set_error(ValueError("first try"))
        event.set_status("success")

    assert records.one.status == "success"
    assert not hasattr(records.one, "error_message")


def test_unknown_status_is_reported_not_raised(records: Records) -> None:
    """A status that is neither of the two changes nothing."""
    logging.getLogger("agentmonitor_logging").addHandler(records)
    with agent_event("block") as event:
        event.set_status("failure")  # type: ignore[arg-type]
    complaint, record = records.kept

    assert record.status == "success"
    assert "'failure'" in complaint.getMessage()


@pytest.mark.swallows
def test_setters_never_raise(records: Records) -> None:
    """Whatever a block tells its event, the block goes on."""
    with agent_event("block") as event:
        event.set_metadata(3)  # type: ignore[arg-type]
        event.set_error(Hostile())  # type: ignore[arg-type]
        event.set_output(Hostile())
        event.set_cost(Decimal("0.1"))

    assert records.one.cost_usd == Decimal("0.1")
    assert records.one.status == "error"


def test_object_itself_can_be_told(records: Records) -> None:
    """Without `as`, the object made before the block takes the same."""
    event = agent_event("block", "in")
    event.set_metadata(early=1)
    with event:
        event.set_output(1)
    record = records.one

    assert record.output_data == {"value": 1}
    assert record.metadata == {"early": 1}


def test_object_entered_twice_is_two_events(records: Records) -> None:
    """Entries nested in each other are events of their own."""
    event = agent_event("block")
    with event as outer:
        with event as inner:
            inner.set_output("inner")
            event.set_metadata(told="inner")
        outer.set_output("outer")
        event.set_metadata(told="outer")
    first, second = records.kept

    assert (first.output_data, first.metadata) == (
        {"value": "inner"},
        {"told": "inner"},
    )
    assert (second.output_data, second.metadata) == (
        {"value": "outer"},
        {"told": "outer"},
    )
    assert first.parent_span_id == second.span_id


def test_object_shared_by_tasks(records: Records) -> None:
    """Tasks that enter one object at once get an event each, with its own content."""
    shared = agent_event("block")

    async def task(number: int, turns: int) -> None:
        async with shared as event:
            for _ in range(turns):
                await asyncio.sleep(0)
            shared.set_metadata(number=number)
            event.set_output(number)

    async def main() -> None:
        await asyncio.gather(task(1, 3), task(2, 1), task(3, 2))

    asyncio.run(main())

    assert len({record.span_id for record in records}) == 3
    for record in records:
        assert record.output_data == {"value": record.metadata["number"]}


def test_object_shared_by_threads(records: Records) -> None:
    """Threads that enter one object at once get an event each."""
    shared = agent_event("block")
    barrier = threading.Barrier(3)

    def work(number: int) -> None:
        with shared as event:
            barrier.wait(10)
            shared.set_metadata(number=number)
            event.set_output(number)
            barrier.wait(10)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert sorted(record.output_data["value"] for record in records) == [0, 1, 2]
    for record in records:
        assert record.output_data == {"value": record.metadata["number"]}


def test_block_closed_in_another_context(records: Records) -> None:
    """A generator's block that ends elsewhere is logged and leaves that place alone."""

    def generator() -> Iterator[int]:
        with agent_event("inside") as event:
            yield 1
            event.set_output("done")

    suspended = generator()
    contextvars.copy_context().run(next, suspended)
    with agent_event("here"):
        span = current_span()
        with pytest.raises(StopIteration):
            next(suspended)

        assert current_span() is span
    assert records.of("inside").output_data == {"value": "done"}
    assert records.of("inside").status == "success"


def llm_stream(user_id: Any) -> Iterator[str]:
    with agent_context(user_id=user_id), agent_event("llm_call", {"of": user_id}):
        yield from "abc"


async def llm_stream_later(user_id: Any) -> AsyncIterator[str]:
    with agent_context(user_id=user_id), agent_event("llm_call", {"of": user_id}):
        for token in "abc":
            yield token


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop turn until *is_so*."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0)


def test_stream_left_early_leaves_nothing_to_the_next_request(
    records: Records,
) -> None:
    """The loop closes it in another task, and trace and user are gone here too."""

    async def main() -> None:
        async for _ in llm_stream_later("ann"):
            break
        await until(lambda: len(records) == 1)

        assert current_span() is None
        assert bound_fields() == {}
        with agent_event("tool_call"):
            pass

    asyncio.run(main())

    assert records.of("llm_call").metadata["closed_early"] is True
    assert records.of("tool_call").parent_span_id is None
    assert records.of("tool_call")._agent_context == {}


def test_request_that_leaves_a_stream_early_is_over_at_once(records: Records) -> None:
    """What comes next need not wait until the loop has closed the stream."""

    @log_agent_call
    async def request(user_id: str) -> None:
        async for _ in llm_stream_later(user_id):
            break

    async def main() -> None:
        with agent_context(session_id="s"):
            await request("ann")

            assert current_span() is None
        assert bound_fields() == {}
        await until(lambda: len(records) == 2)

        assert current_span() is None
        assert bound_fields() == {}

    asyncio.run(main())


def test_streams_consumed_in_turns_leave_nothing(records: Records) -> None:
    """The first to end is not the last entered, and still both are over."""
    for _ in zip(llm_stream("ann"), llm_stream("bob")):
        pass

    assert current_span() is None
    assert bound_fields() == {}
    with agent_event("after"):
        pass
    assert records.of("after").parent_span_id is None


def forget_data(records: Records) -> None:
    """Take from the records, which pytest keeps too, what they hold of objects."""
    for record in records:
        vars(record).update(input_data=None, _agent_context=None)
    gc.collect()


class Document:
    """Something whose end a weak reference tells."""


@pytest.mark.parametrize("decorate", [lambda f: f, log_agent_call])
def test_streams_left_early_are_not_kept(records: Records, decorate: Any) -> None:
    """A worker that never wants the last tokens keeps neither users nor prompts."""
    known: List[Any] = []
    stream = decorate(llm_stream_later)

    def document() -> Document:
        known.append(weakref.ref(made := Document()))
        return made

    async def worker() -> None:
        for _ in range(50):
            async for _ in stream(document()):
                break
            await asyncio.sleep(0)
        await until(lambda: not asyncio.all_tasks() - {asyncio.current_task()})
        with agent_context(), agent_event("next"):
            forget_data(records)

            assert [ref() for ref in known if ref() is not None] == []

    asyncio.run(worker())


def test_interleaved_streams_are_not_kept(records: Records) -> None:
    """Nor does a thread that consumes streams in turns."""
    known: List[Any] = []
    for _ in range(20):
        one, other = Document(), Document()
        known += [weakref.ref(one), weakref.ref(other)]
        for _ in zip(llm_stream(one), llm_stream(other)):
            pass
    del one, other
    forget_data(records)

    assert [ref() for ref in known if ref() is not None] == []


def test_task_started_in_a_block_stays_below_it(records: Records) -> None:
    """When the block is over, the task keeps trace and user, but not the input."""

    async def background(is_over: asyncio.Event) -> None:
        await is_over.wait()
        for _ in range(2):
            with agent_event("late"):
                pass

    async def main() -> None:
        is_over = asyncio.Event()
        document = Document()
        known = weakref.ref(document)
        with agent_context(user_id="ann"), agent_event("job", {"of": document}):
            task = asyncio.ensure_future(background(is_over))
        del document
        await asyncio.sleep(0)
        forget_data(records)

        assert known() is None
        is_over.set()
        await task

    asyncio.run(main())
    job, *late = records.kept

    assert [record.trace_id for record in late] == [job.trace_id] * 2
    assert [record.parent_span_id for record in late] == [job.span_id] * 2
    assert [record._agent_context for record in late] == [{"user_id": "ann"}] * 2


def test_task_of_a_request_that_left_a_stream_early_stays_below_it(
    records: Records,
) -> None:
    """That the request ends while a stream is open inside takes nothing from it."""

    async def background(is_over: asyncio.Event) -> None:
        await is_over.wait()
        with agent_event("late"):
            pass

    async def main() -> None:
        is_over = asyncio.Event()
        with agent_event("request"):
            task = asyncio.ensure_future(background(is_over))
            async for _ in llm_stream_later("ann"):
                break
        await until(lambda: len(records) == 2)
        is_over.set()
        await task

    asyncio.run(main())

    assert records.of("late").parent_span_id == records.of("request").span_id


def test_event_that_is_over_can_still_be_told(records: Records) -> None:
    """It raises nothing and changes nothing."""
    with agent_event("block", {"a": 1}, b=2) as event:
        pass
    event.set_input(1)
    event.set_metadata(c=3)
    event.set_status("success")
    event.set_error(ValueError("late"))

    assert event.fields == {}
    assert records.one.input_data == {"a": 1}
    assert records.one.metadata == {"b": 2}
    assert records.one.status == "success"


def test_leaving_what_was_not_entered_is_harmless(records: Records) -> None:
    """An exit without an entry makes no event and raises nothing."""
    agent_event("block").__exit__(None, None, None)

    assert len(records) == 0


def test_block_nobody_listens_to(records: Records) -> None:
    """Below the level there is no event and no span; an error is heard at ERROR."""
    LOGGER.setLevel(logging.ERROR)
    with agent_event("quiet") as event:
        event.set_output(1)

        assert current_span() is None
    with pytest.raises(ValueError, match="boom"):
        with agent_event("failed") as event:
            event.set_output(1)
            raise ValueError("boom")
    with pytest.raises(SystemExit):
        with agent_event("exit"):
            raise SystemExit
    with agent_event("told") as event:
        event.set_error("words")
    LOGGER.setLevel(logging.CRITICAL)
    with agent_event("silent") as event:
        event.set_error("words")

    assert [record.event_type for record in records] == ["failed", "told"]
    assert records.of("failed").output_data == {"value": 1}


def test_told_exception_leaves_nothing_alive(records: Records) -> None:
    """An event that is over holds no exception, and so no frames."""
    event = agent_event("block")
    with event:
        event.set_error(ValueError("boom"))
    records.kept.clear()

    assert "error" not in event._fields
    assert event._entries == []


def test_what_a_cache_hides_is_called_by_its_own_names(records: Records) -> None:
    """A cached function is no bound one: its first parameter is its own."""

    class Desk:
        @log_agent_call
        @functools.lru_cache(maxsize=None)
        def find(self, question: str) -> str:
            return question

    @log_agent_call
    @functools.lru_cache(maxsize=None)
    def log_in(password: str, user: str = "bob") -> str:
        return user

    log_in("hunter2")
    Desk().find("why")

    assert [{"password": "hunter2"}, {"question": "why"}] == [
        record.input_data for record in records
    ]
