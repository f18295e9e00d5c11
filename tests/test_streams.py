"""Generators and async generators: one event each, and nothing changed on the way."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import gc
import inspect
import logging
import pickle
import threading
import tracemalloc
import types
from typing import (
    Any,
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    List,
)

import pytest

from agentmonitor_logging import _streams
from agentmonitor_logging.context import agent_context, bound_fields, current_span
from agentmonitor_logging.tracking import agent_event, log_agent_call
from capturing import Records, own_frames, records  # noqa: F401

LOGGER = logging.getLogger(__name__)


@log_agent_call
def words(text: str) -> Iterator[str]:
    """Split."""
    yield from text.split()


@log_agent_call
async def words_later(text: str) -> AsyncIterator[str]:
    """Split."""
    for word in text.split():
        await asyncio.sleep(0)
        yield word


class Agent:
    @log_agent_call
    def stream(self, n: int) -> Iterator[int]:
        yield from range(n)

    @log_agent_call
    async def stream_later(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @classmethod
    @log_agent_call
    def of_class(cls, n: int) -> Iterator[str]:
        yield cls.__name__ * n

    @log_agent_call
    @staticmethod
    def of_none(n: int) -> Iterator[int]:
        yield n


async def collected(stream: Any) -> List[Any]:
    return [item async for item in stream]


def test_stream_of_strings_is_one_event(records: Records) -> None:
    """When the stream ends: the strings joined, their number, the time to the first."""
    stream = words("a b c")

    assert len(records) == 0
    assert list(stream) == ["a", "b", "c"]

    record = records.one

    assert record.input_data == {"text": "a b c"}
    assert record.output_data == {"value": "abc"}
    assert record.status == "success"
    assert record.metadata["chunk_count"] == 3
    assert type(record.metadata["time_to_first_chunk_ms"]) is int
    assert 0 <= record.metadata["time_to_first_chunk_ms"] <= record.latency_ms
    assert "closed_early" not in record.metadata
    assert (record.funcName, record.pathname) == ("words", __file__)


def test_async_stream_is_one_event(records: Records) -> None:
    """An async generator is recorded just the same."""
    assert asyncio.run(collected(words_later("a b"))) == ["a", "b"]
    assert records.one.output_data == {"value": "ab"}
    assert records.one.metadata["chunk_count"] == 2


def test_stream_of_anything_else_is_a_list(records: Records) -> None:
    """Items that are not all strings are listed, each as it was when it came."""

    @log_agent_call
    def growing() -> Iterator[List[int]]:
        item: List[int] = []
        for number in range(3):
            item.append(number)
            yield item

    list(growing())

    assert records.one.output_data == {"items": [[0], [0, 1], [0, 1, 2]]}


def test_empty_stream(records: Records) -> None:
    """A stream without items has no first one."""
    list(words(""))

    assert records.one.output_data == {"items": []}
    assert records.one.metadata["chunk_count"] == 0
    assert "time_to_first_chunk_ms" not in records.one.metadata


def test_endless_stream_is_bounded(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All items are counted, the first ones are kept."""
    monkeypatch.setattr(_streams, "MAX_ITEMS", 2)
    list(words("a b c d"))

    assert records.one.output_data == {"value": "ab"}
    assert records.one.metadata["chunk_count"] == 4
    assert records.one.metadata["chunks_kept"] == 2


def test_stream_of_long_strings_is_bounded(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Characters are bounded too."""
    monkeypatch.setattr(_streams, "MAX_WEIGHT", 3)
    list(words("aa bb cc"))

    assert records.one.output_data == {"value": "aabb"}
    assert records.one.metadata["chunks_kept"] == 2


class Document:
    def __init__(self, text: Any) -> None:
        self.text = text


@pytest.mark.parametrize(
    "made",
    [
        lambda text: {"id": 1, "text": text},
        Document,
        lambda text: [{"document": Document({"page": [text]})}],
        lambda text: bytearray(text.encode()),
        lambda text: [text[at : at + 10] for at in range(0, len(text), 10)],
        lambda text: [{"role": "user", "content": text[:9]} for _ in range(3_000)],
    ],
    ids=["dict", "object", "nested", "buffer", "list", "history"],
)
def test_stream_of_large_things_is_bounded(
    records: Records, made: Callable[[str], Any]
) -> None:
    """What a stream lets go of is not kept alive because it is watched."""

    @log_agent_call
    def load() -> Iterator[Any]:
        for number in range(300):
            yield made(f"{number:04}" * 20_000)

    tracemalloc.start()
    try:
        for _ in load():
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 12_000_000
    assert records.one.metadata["chunk_count"] == 300
    assert 5 <= records.one.metadata["chunks_kept"] <= 20
    assert (
        len(records.one.output_data["items"]) == (records.one.metadata["chunks_kept"])
    )


@pytest.mark.parametrize(
    "made",
    [
        lambda number: f" token {number}",
        lambda number: {"id": number, "text": " token"},
        lambda number: Document({"choices": [Document(f" token {number}")]}),
    ],
    ids=["text", "dict", "object"],
)
def test_long_stream_of_small_things_is_kept(
    records: Records, made: Callable[[int], Any]
) -> None:
    """The answer of a model is all there, whatever its chunks are made of."""

    @log_agent_call
    def answer() -> Iterator[Any]:
        yield from map(made, range(3_000))

    list(answer())

    assert records.one.metadata["chunk_count"] == 3_000
    assert "chunks_kept" not in records.one.metadata


def test_stream_of_things_of_unknown_size_is_bounded(records: Records) -> None:
    """Of what may hold anything, a hundred are kept."""

    @log_agent_call
    def locks() -> Iterator[Any]:
        yield from (threading.Lock() for _ in range(1_000))

    list(locks())

    assert records.one.metadata["chunks_kept"] == 100


def test_stream_without_output_is_counted(records: Records) -> None:
    """capture_output=False keeps no item."""
    list(log_agent_call(capture_output=False)(words.__wrapped__)("a b"))  # type: ignore[attr-defined]

    assert records.one.output_data is None
    assert records.one.metadata["chunk_count"] == 2
    assert "chunks_kept" not in records.one.metadata


def test_failing_stream_is_an_error_with_what_came(records: Records) -> None:
    """The items before the failure are in the event."""

    @log_agent_call
    def failing() -> Iterator[str]:
        yield "a"
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        list(failing())
    record = records.one

    assert len(own_frames(caught.value)) == 1
    assert (caught.value.__context__, caught.value.__cause__) == (None, None)
    assert (record.status, record.levelno) == ("error", logging.ERROR)
    assert record.output_data == {"value": "a"}
    assert "in watched" not in logging.Formatter().format(record)


def test_stream_never_started_is_no_event(records: Records) -> None:
    """A generator nobody iterates has not run, so nothing happened."""
    stream = words("a")
    stream.close()  # type: ignore[attr-defined]
    del stream

    assert len(records) == 0


def test_wrong_arguments_fail_at_the_call(records: Records) -> None:
    """A generator function checks its arguments when called; so does ours."""
    with pytest.raises(TypeError, match="unexpected keyword") as caught:
        words(nothing=1)  # type: ignore[call-arg]

    assert len(own_frames(caught.value)) == 1
    assert records.one.status == "error"


def test_stream_closed_by_its_consumer_is_no_error(records: Records) -> None:
    """A consumer that has enough is routine; the event says so."""
    stream = words("a b")
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert records.one.status == "success"
    assert records.one.metadata["closed_early"] is True
    assert records.one.output_data == {"value": "a"}


def test_stream_forgotten_by_its_consumer_is_closed_too(records: Records) -> None:
    """Garbage collection ends a stream like close()."""
    for _ in words("a b"):
        break
    gc.collect()

    assert records.one.metadata["closed_early"] is True


def test_stream_that_fails_while_closing_is_an_error(records: Records) -> None:
    """An exception of the body's own clean-up reaches whoever closes."""

    @log_agent_call
    def stubborn() -> Iterator[int]:
        try:
            yield 1
        finally:
            raise ValueError("clean-up")

    stream = stubborn()
    next(stream)
    with pytest.raises(ValueError, match="clean-up") as caught:
        stream.close()  # type: ignore[attr-defined]

    assert isinstance(caught.value.__context__, GeneratorExit)
    assert len(own_frames(caught.value)) == 1
    assert own_frames(caught.value.__context__) == []
    assert records.one.status == "error"


def test_stream_that_ignores_closing(records: Records) -> None:
    """Yielding from a close() is the RuntimeError it always was."""

    @log_agent_call
    def ignoring() -> Iterator[int]:
        with contextlib.suppress(GeneratorExit):
            yield 1
        yield 2

    stream = ignoring()
    next(stream)
    with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
        stream.close()  # type: ignore[attr-defined]

    assert list(stream) == []
    assert "closed_early" not in records.one.metadata


def test_stream_that_returns_when_closed(records: Records) -> None:
    """A body that takes GeneratorExit and returns is closed like any other."""

    @log_agent_call
    def tidy() -> Iterator[int]:
        with contextlib.suppress(GeneratorExit):
            yield 1

    stream = tidy()
    next(stream)
    stream.close()  # type: ignore[attr-defined]

    assert records.one.metadata["closed_early"] is True


def test_async_stream_closed(records: Records) -> None:
    """aclose() runs the body's clean-up, awaits included, and is no error."""
    cleaned: List[str] = []

    @log_agent_call
    async def tidy() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def main() -> None:
        stream = tidy()
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(main())

    assert cleaned == ["up"]
    assert records.one.status == "success"
    assert records.one.metadata["closed_early"] is True


def test_event_loop_closes_what_is_left_open(records: Records) -> None:
    """A stream still open when its loop ends is closed once, without a complaint."""
    cleaned: List[str] = []
    complaints: List[Any] = []

    @log_agent_call
    async def tidy() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append("up")

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        stream = tidy()
        await stream.__anext__()
        return stream

    asyncio.run(main())

    assert complaints == []
    assert cleaned == ["up"]
    assert records.one.metadata["closed_early"] is True


def test_async_stream_closed_from_another_task(
    records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    """Closing in a foreign context neither raises nor logs, nor leaves a span there."""

    async def main() -> None:
        stream = words_later("a b")
        async with agent_event("first"):
            await asyncio.create_task(stream.__anext__())  # type: ignore[arg-type]

        async def close() -> None:
            with agent_context(session_id="closer"):
                await stream.aclose()  # type: ignore[attr-defined]

                assert current_span() is None
                assert bound_fields() == {"session_id": "closer"}

        await asyncio.create_task(close())

    asyncio.run(main())

    assert records.of("words_later").metadata["closed_early"] is True
    assert "different Context" not in caplog.text


def echo() -> Generator[Any, Any, str]:
    got = yield "ready"
    while got != "stop":
        try:
            got = yield got
        except KeyError as error:
            got = yield ("caught", error)
    return "done"


async def echo_later() -> AsyncGenerator[Any, Any]:
    got = yield "ready"
    while got != "stop":
        try:
            got = yield got
        except KeyError as error:
            got = yield ("caught", error)


def test_send_throw_and_return_pass_through(records: Records) -> None:
    """What goes in comes in, what comes out comes out, the return value too."""
    stream = log_agent_call(echo)()
    thrown = KeyError("k")

    assert next(stream) == "ready"
    assert stream.send("x") == "x"
    assert stream.throw(thrown) == ("caught", thrown)
    assert stream.send("y") == "y"
    with pytest.raises(StopIteration) as stopped:
        stream.send("stop")

    assert stopped.value.value == "done"
    assert records.one.metadata["chunk_count"] == 4


def test_return_value_through_yield_from(records: Records) -> None:
    """A decorated generator can be delegated to."""

    def outer() -> Generator[Any, Any, Any]:
        result = yield from log_agent_call(echo)()
        return result + "!"

    stream = outer()
    next(stream)
    with pytest.raises(StopIteration) as stopped:
        stream.send("stop")

    assert stopped.value.value == "done!"


def test_asend_and_athrow_pass_through(records: Records) -> None:
    """The async sisters as well."""
    thrown = KeyError("k")

    async def main() -> None:
        stream = log_agent_call(echo_later)()

        assert await stream.__anext__() == "ready"
        assert await stream.asend("x") == "x"
        assert await stream.athrow(thrown) == ("caught", thrown)
        assert await stream.asend("y") == "y"
        with pytest.raises(StopAsyncIteration):
            await stream.asend("stop")

    asyncio.run(main())

    assert records.one.metadata["chunk_count"] == 4


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyboardInterrupt(), asyncio.CancelledError(), SystemExit(1)],
    ids=lambda error: type(error).__name__,
)
def test_thrown_exception_comes_back_unchanged(
    records: Records, error: BaseException
) -> None:
    """Same object, nothing chained, one frame of ours, sync and async alike."""
    error.__traceback__ = None
    stream = log_agent_call(echo)()
    next(stream)
    with pytest.raises(type(error)) as caught:
        stream.throw(error)

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert len(own_frames(error)) == 1

    async def main() -> None:
        later = log_agent_call(echo_later)()
        await later.__anext__()
        try:
            await later.athrow(error)
        except BaseException as caught_later:
            assert caught_later is error

    error.__traceback__ = None
    asyncio.run(main())

    assert (error.__context__, error.__cause__) == (None, None)
    assert len(own_frames(error)) == 1
    assert [record.status for record in records] == ["error", "error"]


def test_swallowed_exception_does_not_become_a_context(records: Records) -> None:
    """What the body raises after it dealt with a thrown one stands alone."""

    @log_agent_call
    def dealing() -> Iterator[int]:
        with contextlib.suppress(KeyError):
            yield 1
        raise ValueError("later")

    stream = dealing()
    next(stream)
    with pytest.raises(ValueError, match="later") as caught:
        stream.throw(KeyError("k"))  # type: ignore[attr-defined]

    assert caught.value.__context__ is None


def test_stop_iteration_of_the_body_is_a_runtime_error(records: Records) -> None:
    """PEP 479 holds: thrown or raised inside, StopIteration does not end a stream."""

    @log_agent_call
    def stopping() -> Iterator[int]:
        yield 1
        raise StopIteration

    with pytest.raises(RuntimeError, match="generator raised StopIteration") as caught:
        list(stopping())

    assert isinstance(caught.value.__cause__, StopIteration)
    assert records.one.status == "error"


def test_stream_leaves_no_exception_alive(records: Records) -> None:
    """Neither a suspended nor a finished stream holds what was thrown into it."""
    stream = log_agent_call(echo)()
    next(stream)
    stream.send("x")
    thrown = KeyError("k")
    stream.throw(thrown)

    watcher_holds = [
        value for value in stream.gi_frame.f_locals.values() if value is thrown
    ]

    assert watcher_holds == []


def test_cancelled_stream(records: Records) -> None:
    """A task cancelled while the body waits is an error status at the usual level."""

    @log_agent_call
    async def waiting() -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(collected(waiting()))
        while not task.cancelled() and len(started) == 0:
            await asyncio.sleep(0)
            started.append(1)
        task.cancel()
        await task

    started: List[int] = []
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())

    assert (records.one.status, records.one.levelno) == ("error", logging.INFO)


def inside(seen: List[Any], name: str) -> None:
    span = current_span()
    seen.append((name, span and span.span_id))


def test_consumer_and_body_have_spans_of_their_own(records: Records) -> None:
    """Between two items the consumer's span is current, in the body the stream's."""
    spans: List[Any] = []

    @log_agent_call
    def body() -> Iterator[int]:
        for number in range(2):
            inside(spans, "body")
            yield number
        inside(spans, "body")

    with agent_event("consumer"):
        mine = current_span()
        for _ in body():
            assert current_span() is mine
        assert current_span() is mine
    stream_span = records.of("body").span_id

    assert spans == [("body", stream_span)] * 3
    assert records.of("body").parent_span_id == records.of("consumer").span_id


def test_async_consumer_and_body_have_spans_of_their_own(records: Records) -> None:
    """The same across awaits."""
    spans: List[Any] = []

    @log_agent_call
    async def body() -> AsyncIterator[int]:
        for number in range(2):
            inside(spans, "body")
            await asyncio.sleep(0)
            inside(spans, "body")
            yield number

    async def main() -> None:
        async with agent_event("consumer"):
            mine = current_span()
            async for _ in body():
                assert current_span() is mine
            assert current_span() is mine

    asyncio.run(main())

    assert spans == [("body", records.of("body").span_id)] * 4


def test_blocks_of_the_body_stay_in_the_body(records: Records) -> None:
    """A with block suspended in a stream is not the consumer's, and is there again."""

    @log_agent_call
    def body() -> Iterator[int]:
        with agent_context(session_id="inner"), agent_event("block"):
            held = current_span()
            yield 1
            assert current_span() is held
            assert bound_fields() == {"session_id": "inner"}

    for _ in body():
        assert current_span() is None
        assert bound_fields() == {}

    assert records.of("block").parent_span_id == records.of("body").span_id


def test_block_shared_by_interleaved_streams(records: Records) -> None:
    """Each body finds the event that it has entered itself, whoever entered last."""
    shared = agent_event("block")

    @log_agent_call
    def body(number: int) -> Iterator[int]:
        with shared:
            yield number
            shared.set_output(number)
            yield number

    with shared:
        for _ in zip(body(1), body(2)):
            shared.set_metadata(by="consumer")
    blocks = [record for record in records if record.event_type == "block"]

    assert [record.output_data for record in blocks[:2]] == [{"value": 1}, {"value": 2}]
    assert [record.metadata.get("by") for record in blocks] == [None, None, "consumer"]


def test_task_started_in_a_stream_stays_below_it(records: Records) -> None:
    """When the loop has closed the stream elsewhere, the task still belongs to it."""
    tasks: List[Any] = []

    async def background(is_over: asyncio.Event) -> None:
        await is_over.wait()
        with agent_event("late"):
            pass

    @log_agent_call
    async def body(is_over: asyncio.Event) -> AsyncIterator[int]:
        try:
            tasks.append(asyncio.ensure_future(background(is_over)))
            yield 1
            yield 2
        finally:
            is_over.set()

    async def main() -> None:
        async for _ in body(asyncio.Event()):
            break
        await tasks[0]

    asyncio.run(main())

    assert records.of("late").parent_span_id == records.of("body").span_id


def test_stream_belongs_to_the_call_that_made_it(records: Records) -> None:
    """Iterated after its caller returned, as web servers do, it stays its child."""

    @log_agent_call
    def endpoint() -> Any:
        with agent_context(session_id="s"):
            return words("a b")

    with contextlib.closing(endpoint()) as stream:
        contextvars.Context().run(list, stream)

    assert records.of("words").parent_span_id == records.of("endpoint").span_id
    assert records.of("words")._agent_context == {"session_id": "s"}


def test_stream_made_nowhere_belongs_to_its_consumer(records: Records) -> None:
    """Made outside of any span or session, it takes those of its first step."""
    stream = words("a b")
    with agent_context(session_id="s"), agent_event("consumer"):
        list(stream)

    assert records.of("words").parent_span_id == records.of("consumer").span_id
    assert records.of("words")._agent_context == {"session_id": "s"}


def test_each_step_may_run_in_another_thread(records: Records) -> None:
    """Thread pools iterate like that; the span follows the body."""
    spans: List[Any] = []

    @log_agent_call
    def body() -> Iterator[int]:
        for number in range(3):
            inside(spans, "body")
            yield number

    stream = body()
    for _ in range(3):
        thread = threading.Thread(target=next, args=(stream,))
        thread.start()
        thread.join(10)
    stream.close()  # type: ignore[attr-defined]

    assert spans == [("body", records.one.span_id)] * 3
    assert current_span() is None


def test_interleaved_streams_keep_apart(records: Records) -> None:
    """Two streams consumed in turns do not become each other's parents."""
    with agent_event("consumer"):
        pairs = list(zip(words("a b"), words("c d")))

    assert pairs == [("a", "c"), ("b", "d")]
    consumer = records.of("consumer").span_id
    streams = [r for r in records if r.funcName == "words"]

    assert [record.parent_span_id for record in streams] == [consumer, consumer]


def test_inspect_takes_it_for_what_it_stands_for() -> None:
    """inspect tells no difference, for functions, methods and partials."""
    agent = Agent()
    both = functools.partial(words, text="a")

    for function in (words, Agent.stream, agent.stream, Agent.of_class, both):
        assert inspect.isgeneratorfunction(function)
        assert not inspect.isasyncgenfunction(function)
        assert not inspect.iscoroutinefunction(function)
    for function in (words_later, agent.stream_later):
        assert inspect.isasyncgenfunction(function)
        assert not inspect.isgeneratorfunction(function)
    assert inspect.isfunction(words)
    assert inspect.isroutine(words)
    assert isinstance(words, types.FunctionType)
    assert str(inspect.signature(agent.stream)) == "(n: 'int') -> 'Iterator[int]'"
    assert (words.__name__, words.__doc__) == ("words", "Split.")
    assert Agent.stream.__qualname__ == "Agent.stream"
    assert "words" in repr(words)
    assert "def words" in inspect.getsource(words)


def test_result_is_a_real_generator() -> None:
    """What comes out is a generator to everybody who asks."""
    stream, later = words("a"), words_later("a")

    assert inspect.isgenerator(stream)
    assert inspect.isasyncgen(later)


def test_methods_stream(records: Records) -> None:
    """Methods of every kind bind as they should."""
    agent = Agent()

    assert list(agent.stream(2)) == [0, 1]
    assert asyncio.run(collected(agent.stream_later(2))) == [0, 1]
    assert list(Agent.of_class(2)) == ["AgentAgent"]
    assert list(agent.of_none(2)) == [2]
    assert [dict(record.input_data) for record in records] == [{"n": 2}] * 4


def test_self_may_be_a_keyword(records: Records) -> None:
    """A parameter called self is nobody else's."""
    assert list(Agent.stream(self=Agent(), n=1)) == [0]


def test_stream_function_can_be_copied_and_pickled() -> None:
    """By name, as functions are."""
    assert pickle.loads(pickle.dumps(words)) is words
    assert copy.deepcopy(words) is words


def test_context_manager_from_a_decorated_generator(records: Records) -> None:
    """contextlib.contextmanager takes it; exceptions of the block go through."""
    managed = contextlib.contextmanager(words)
    with managed("a") as word:
        assert word == "a"
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as caught:
        with managed("a"):
            raise error

    assert caught.value is error
    assert own_frames(error) in ([], ["watched"])
    assert [record.status for record in records] == ["success", "error"]


def test_partial_and_callable_object_stream(records: Records) -> None:
    """What yields when called is a stream, whatever it is made of."""

    class Speaker:
        def __call__(self, text: str) -> Iterator[str]:
            yield text

    partial = log_agent_call(functools.partial(words.__wrapped__, "a"))  # type: ignore[attr-defined]
    speaker = log_agent_call(Speaker())

    assert inspect.isgeneratorfunction(partial)
    assert inspect.isgeneratorfunction(speaker)
    assert (list(partial()), list(speaker("b"))) == (["a"], ["b"])
    assert records.kept[0].input_data == {"text": "a"}
    assert records.kept[1].funcName == "Speaker"


def test_nobody_listening_means_the_plain_generator(records: Records) -> None:
    """Below the level the caller gets the very generator of the function."""
    LOGGER.setLevel(logging.CRITICAL)

    assert words("a").gi_code is words.__wrapped__.__code__  # type: ignore[attr-defined]


def test_error_is_heard_where_only_errors_are(records: Records) -> None:
    """At WARNING, a stream makes an event when it fails and never else."""
    LOGGER.setLevel(logging.WARNING)

    @log_agent_call
    def failing(n: int) -> Iterator[Any]:
        yield current_span()
        raise ValueError("boom")

    list(words("a b"))
    next(failing(1))
    stream = failing(2)

    assert next(stream) is None
    with pytest.raises(ValueError, match="boom"):
        next(stream)
    assert records.one.input_data == {"n": 2}


class BrokenHandler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> bool:
        raise RuntimeError("broken handler")


@pytest.mark.swallows
def test_broken_handler_does_not_reach_the_consumer(records: Records) -> None:
    """A stream ends as it would, whatever happens to its event."""
    LOGGER.addHandler(BrokenHandler())

    assert list(words("a b")) == ["a", "b"]


@pytest.mark.swallows
@pytest.mark.parametrize("method", ["_start", "elapsed_ms"])
def test_failure_of_ours_does_not_reach_the_consumer(
    records: Records, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Even where starting the stream or taking note of an item fails."""

    def broken(*args: Any) -> Any:
        raise RuntimeError("broken")

    owner: Any = _streams.Stream if method == "_start" else _streams.Step
    monkeypatch.setattr(owner, method, broken)

    assert list(words("a b")) == ["a", "b"]
    assert current_span() is None
