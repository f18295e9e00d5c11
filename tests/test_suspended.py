"""What returns a coroutine or a generator: one event, when that has run."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import inspect
import itertools
import logging
import sys
import types
import warnings
import weakref
from typing import Any, AsyncIterator, Callable, Iterator, List

import pytest

from agentmonitor_logging import _capture, _suspended
from agentmonitor_logging.context import current_span
from agentmonitor_logging.tracking import agent_event, log_agent_call
import oddities
from capturing import Records, own_frames, records  # noqa: F401

LOGGER = logging.getLogger(__name__)

counts_references = pytest.mark.skipif(
    not hasattr(sys, "getrefcount"), reason="nobody knows who else holds a result"
)
pytestmark = counts_references


def decorated_once_more(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do as most decorators do, and the async clients of models."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@decorated_once_more
async def bare(question: str) -> str:
    await asyncio.sleep(0)
    return question.upper()


ask = log_agent_call(bare)


async def tokens(text: str) -> AsyncIterator[str]:
    for word in text.split():
        await asyncio.sleep(0)
        yield word


def words(text: str) -> Iterator[str]:
    yield from text.split()


async def collected(stream: Any) -> List[Any]:
    return [item async for item in stream]


def test_coroutine_is_logged_when_it_has_run(records: Records) -> None:
    """Its result is the output, and the event comes no sooner."""
    coroutine = ask("why")

    assert len(records) == 0
    assert asyncio.run(coroutine) == "WHY"

    record = records.one

    assert record.status == "success"
    assert record.input_data == {"question": "why"}
    assert record.output_data == {"value": "WHY"}
    assert record.metadata["function_name"] == "bare"


def test_coroutine_that_raises_is_an_error(records: Records) -> None:
    """The exception reaches who awaits it unchanged, and is in the event."""
    error = ValueError("model down")

    @log_agent_call
    @decorated_once_more
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(ValueError, match="model down") as caught:
        asyncio.run(fail())

    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert own_frames(error) == ["_awaited"]
    record = records.one

    assert (record.status, record.levelno) == ("error", logging.ERROR)
    assert record.error_message == "ValueError: model down"
    assert "_awaited" not in logging.Formatter().format(record)


def test_coroutine_is_a_coroutine_to_everybody(records: Records) -> None:
    """Tasks, gather and inspect take it, and it goes by the name of its function."""
    coroutine = ask("why")

    assert type(coroutine) is types.CoroutineType
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED
    assert (coroutine.__name__, coroutine.__qualname__) == ("bare", "bare")
    assert not inspect.iscoroutinefunction(ask)
    coroutine.close()

    async def main() -> List[str]:
        return [
            await ask("a"),
            await asyncio.ensure_future(ask("b")),
            await asyncio.get_running_loop().create_task(ask("c")),
            *await asyncio.gather(ask("d"), ask("e")),
            await asyncio.wait_for(ask("f"), 60),
        ]

    assert asyncio.run(main()) == list("ABCDEF")
    assert len(records) == 6


def complaints(function: Callable[[str], Any], use: Callable[[Any], Any]) -> List[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coroutine = function("why")

        assert caught == []
        with contextlib.suppress(KeyError):
            use(coroutine)
        during = len(caught)
        del coroutine
        gc.collect()
    return [str(warning.message) for warning in caught] + [f"{during} before"]


@pytest.mark.parametrize(
    "use",
    [
        lambda coroutine: None,
        lambda coroutine: coroutine.close(),
        lambda coroutine: coroutine.throw(KeyError("k")),
        lambda coroutine: (coroutine.send(None), coroutine.close()),
        lambda coroutine: asyncio.run(coroutine),
    ],
    ids=["dropped", "closed", "thrown", "begun", "awaited"],
)
def test_coroutine_never_awaited_is_complained_of_as_ever(
    records: Records, use: Callable[[Any], Any]
) -> None:
    """There is the same warning, in the same case, and once."""
    assert complaints(ask, use) == complaints(bare, use)


def test_coroutine_never_awaited_is_no_event(records: Records) -> None:
    """Like that of an async function, which has not run."""
    ask("why").close()

    assert len(records) == 0


def test_cancelled_coroutine(records: Records) -> None:
    """It is an error status at the usual level, like that of an async function."""

    @log_agent_call
    @decorated_once_more
    async def wait() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())

    assert (records.one.status, records.one.levelno) == ("error", logging.INFO)


def test_span_is_that_of_the_body_and_not_of_the_caller(records: Records) -> None:
    """What the function does at once and what it returns are one step of the trace."""
    seen: List[Any] = []

    @log_agent_call
    def call() -> Any:
        with agent_event("at once"):
            pass

        async def later() -> None:
            seen.append(current_span())
            await asyncio.sleep(0)
            with agent_event("later"):
                pass
            seen.append(current_span())

        return later()

    async def main() -> None:
        async with agent_event("caller"):
            mine = current_span()
            coroutine = call()
            assert current_span() is mine
            await coroutine
            assert current_span() is mine
            await asyncio.ensure_future(call())
            assert current_span() is mine

    asyncio.run(main())
    first, second = (
        record for record in records if record.metadata.get("function_name") == "call"
    )

    assert {first.parent_span_id, second.parent_span_id} == {
        records.of("caller").span_id
    }
    assert [span.span_id for span in seen] == [
        *(first.span_id, first.span_id, second.span_id, second.span_id)
    ]
    for name in ("at once", "later"):
        parents = [r.parent_span_id for r in records if r.event_type == name]
        assert parents == [first.span_id, second.span_id]


def test_time_until_it_is_awaited_does_not_count(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latency is that of the function and of what it returned."""
    now = itertools.count()
    monkeypatch.setattr(_capture, "perf_counter", lambda: float(next(now)))
    coroutine = ask("why")
    for _ in range(1_000):
        next(now)
    asyncio.run(coroutine)

    assert records.one.latency_ms == 2_000


@pytest.mark.parametrize("kind", [words, tokens])
def test_generator_is_logged_when_it_ends(records: Records, kind: Any) -> None:
    """As the stream it is, with the span of the call that returned it."""
    inside: List[Any] = []

    @log_agent_call
    def chat(text: str, *, stream: bool = False) -> Any:
        inside.append(current_span())
        return kind(text) if stream else text

    with agent_event("caller"):
        mine = current_span()
        stream = chat("a b", stream=True)

        assert current_span() is mine
        assert len(records) == 0

    assert type(stream) is type(kind(""))
    items = list(stream) if kind is words else asyncio.run(collected(stream))

    assert items == ["a", "b"]
    record = records.of("chat")

    assert record.input_data == {"text": "a b", "stream": True}
    assert record.output_data == {"value": "ab"}
    assert record.metadata["chunk_count"] == 2
    assert record.metadata["time_to_first_chunk_ms"] <= record.latency_ms
    assert record.span_id == inside[0].span_id
    assert record.parent_span_id == records.of("caller").span_id
    assert chat("a b") == "a b"


def test_generator_that_an_async_function_returns(records: Records) -> None:
    """Awaited first and iterated then, it is one event as well."""

    @log_agent_call
    async def chat(text: str) -> Any:
        await asyncio.sleep(0)
        return tokens(text)

    @log_agent_call
    @decorated_once_more
    async def chat_too(text: str) -> Any:
        return tokens(text)

    async def main() -> None:
        assert await collected(await chat("a b")) == ["a", "b"]
        assert await collected(await chat_too("c d")) == ["c", "d"]

    asyncio.run(main())

    assert [r.output_data for r in records] == [{"value": "ab"}, {"value": "cd"}]
    assert current_span() is None


def test_body_of_a_generator_has_the_span_and_its_consumer_has_not(
    records: Records,
) -> None:
    """Wherever it is iterated."""
    spans: List[Any] = []

    @log_agent_call
    def chat() -> Any:
        def body() -> Iterator[int]:
            for number in range(2):
                spans.append(current_span())
                yield number

        return body()

    stream = chat()
    for _ in range(3):
        contextvars.Context().run(next, stream, None)
        assert current_span() is None

    assert [span.span_id for span in spans] == [records.one.span_id] * 2


def passing(result: Any) -> Any:
    return result


class Holding:
    def __init__(self, result: Any) -> None:
        self.result = result

    def __call__(self) -> Any:
        return self.result


@pytest.mark.parametrize("make", [words, tokens, bare])
def test_what_somebody_else_holds_is_returned_itself(
    records: Records, make: Callable[[str], Any]
) -> None:
    """An argument, what is stored, what a cache gives to everybody."""
    given = make("a b")
    cached = log_agent_call(functools.lru_cache(make))

    assert log_agent_call(passing)(given) is given
    assert log_agent_call(Holding(given))() is given
    assert cached("a") is cached("a")
    assert len(records) == 4
    if make is bare:
        given.close()
        cached("a").close()


def test_argument_that_only_the_call_holds_is_returned_itself(
    records: Records,
) -> None:
    """It may be known by its identity inside."""
    known: List[int] = []

    @log_agent_call
    def passing_on(stream: Any) -> Any:
        known.append(id(stream))
        return stream

    assert id(passing_on(words("a"))) == known[0]
    assert len(records) == 1


def test_cached_generator_goes_on_where_it_stopped(records: Records) -> None:
    """Dropping it closes nothing that the cache still has."""
    cached = log_agent_call(functools.lru_cache(words))

    assert next(cached("a b")) == "a"
    gc.collect()
    assert next(cached("a b")) == "b"


def test_generator_that_has_begun_is_returned_itself(records: Records) -> None:
    """It takes what is sent to it, which a new one refuses."""

    def echo() -> Any:
        got = None
        while True:
            got = yield got

    @log_agent_call
    def primed() -> Any:
        stream = echo()
        next(stream)
        return stream

    assert primed().send("x") == "x"
    assert len(records) == 1


def test_generator_that_can_be_awaited_is_returned_itself(records: Records) -> None:
    """A types.coroutine is not taken for a stream."""

    @types.coroutine
    def old() -> Any:
        yield from asyncio.sleep(0).__await__()
        return 3

    @log_agent_call
    def call() -> Any:
        return old()

    async def main() -> Any:
        return await call()

    assert asyncio.run(main()) == 3


def test_futures_and_tasks_are_returned_themselves(records: Records) -> None:
    """They run by themselves, and are known to others."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.set_result(1)

        assert log_agent_call(passing)(future) is future
        begin = log_agent_call(logger=LOGGER)(loop.create_task)

        assert type(begin(bare("a"))) is asyncio.Task

    asyncio.run(main())

    assert len(records) == 2


@pytest.mark.parametrize("make", [words, bare])
def test_nobody_listening_means_the_plain_result(
    records: Records, make: Callable[[str], Any]
) -> None:
    """Below the level nothing is watched."""
    LOGGER.setLevel(logging.CRITICAL)
    made: List[int] = []

    @log_agent_call
    def call() -> Any:
        result = make("a")
        made.append(id(result))
        return result

    result = call()

    assert id(result) == made[0]
    result.close()


def test_result_whose_class_cannot_be_hashed(records: Records) -> None:
    """It is asked for its type without a hash."""
    value = oddities.UnhashableClass()

    @log_agent_call
    async def later() -> Any:
        return value

    assert log_agent_call(passing)(value) is value
    assert asyncio.run(later()) is value
    assert asyncio.run(log_agent_call(lambda: later.__wrapped__())()) is value  # type: ignore[attr-defined]
    assert current_span() is None
    assert len(records) == 3


class Big:
    pass


def test_nothing_is_kept_alive(records: Records) -> None:
    """Arguments and results go when they would, without the garbage collector."""

    @log_agent_call(capture_input=False, capture_output=False)
    @decorated_once_more
    async def later(big: Big) -> Big:
        await asyncio.sleep(0)
        return big

    @log_agent_call(capture_input=False, capture_output=False)
    def stream(big: Big) -> Any:
        return iter_of(big)

    def iter_of(big: Big) -> Iterator[Big]:
        yield big

    def used() -> Iterator[Any]:
        for use in (
            lambda big: asyncio.run(later(big)),
            lambda big: later(big).close(),
            lambda big: list(stream(big)),
            lambda big: next(stream(big)),
            stream,
        ):
            big = Big()
            use(big)
            yield weakref.ref(big)
            del big

    gc.disable()
    try:
        assert [known() for known in list(used())] == [None] * 5
    finally:
        gc.enable()


@pytest.mark.swallows
@pytest.mark.parametrize("name", ["_is_new", "_watcher"])
def test_failure_of_ours_does_not_reach_the_caller(
    records: Records, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Who calls gets what the function returned."""

    def broken(*args: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(_suspended, name, broken)

    assert asyncio.run(ask("why")) == "WHY"
    assert current_span() is None
    assert len(records) == 1
