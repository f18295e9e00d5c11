"""What type checkers see of the tracking functions: checked by mypy, never run.

`check_*` are never called: mypy --strict proves the declared types below, and that
each ``type: ignore`` marks a real error (warn_unused_ignores).
"""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import (
    Any,
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterator,
    List,
    Mapping,
    TypeVar,
)

from agentmonitor_logging import (
    EventFields,
    agent_context,
    agent_event,
    flush,
    log_agent_call,
    stats,
)

T = TypeVar("T")


@log_agent_call
def plain(question: str, *, depth: int = 1) -> str:
    return question * depth


@log_agent_call(event_type="llm_call", level="DEBUG", metadata={"model": "m"})
def with_options(question: str, *, depth: int = 1) -> str:
    return question * depth


@log_agent_call(logger=logging.getLogger("x"), level=logging.DEBUG)
async def later(question: str) -> int:
    return len(question)


@log_agent_call
def words(text: str) -> Iterator[str]:
    yield from text.split()


@log_agent_call()
def talk(text: str) -> Generator[str, int, bool]:
    number = yield text
    return number > 0


@log_agent_call
async def words_later(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word


@log_agent_call(capture_input=False, capture_output=False)
async def talk_later(text: str) -> AsyncGenerator[str, int]:
    number = yield text
    yield text * number


@log_agent_call
def same(value: T) -> T:
    return value


@log_agent_call
def collects(*args: int, **kwargs: str) -> None: ...


class Agent:
    @log_agent_call
    def ask(self, question: str) -> str:
        return question

    @log_agent_call(event_type="tool_call")
    async def ask_later(self, question: str) -> str:
        return question

    @log_agent_call
    def stream(self, n: int) -> Iterator[int]:
        yield from range(n)

    @classmethod
    @log_agent_call
    def make(cls, name: str) -> Agent:
        return cls()

    @staticmethod
    @log_agent_call
    def add(a: int, b: int) -> int:
        return a + b


def check_results() -> None:
    a: str = plain("x", depth=2)
    b: str = with_options("x")
    c: Iterator[str] = words("x")
    d: Generator[str, int, bool] = talk("x")
    e: AsyncIterator[str] = words_later("x")
    f: AsyncGenerator[str, int] = talk_later("x")
    g: int = same(1)
    h: List[str] = same(["x"])
    collects(1, 2, x="y")
    j: Coroutine[Any, Any, int] = later("x")
    k: Callable[[str], Coroutine[Any, Any, int]] = later
    print(a, b, c, d, e, f, g, h, j, k)


async def check_awaited() -> None:
    a: int = await later("x")
    b: str = await Agent().ask_later("x")
    async for word in words_later("x"):
        c: str = word
        print(a, b, c)


def check_methods(agent: Agent) -> None:
    a: str = agent.ask("x")
    b: Iterator[int] = agent.stream(3)
    c: Agent = Agent.make("x")
    d: int = Agent.add(1, 2)
    print(a, b, c, d)


async def check_wrong_calls(agent: Agent) -> None:
    plain(1)  # type: ignore[arg-type]
    plain("x", 2)  # type: ignore[call-arg]
    with_options("x", deep=2)  # type: ignore[call-arg]
    collects("x")  # type: ignore[arg-type]
    agent.ask()  # type: ignore[call-arg]
    Agent.add("1", 2)  # type: ignore[arg-type]
    await later(3)  # type: ignore[arg-type]
    a: int = plain("x")  # type: ignore[assignment]
    words("x") + 1  # type: ignore[operator]
    print(a)


def check_wrong_options() -> None:
    log_agent_call(event_type=3)  # type: ignore[call-overload]
    log_agent_call("llm_call")  # type: ignore[call-overload]
    log_agent_call(levels="INFO")  # type: ignore[call-overload]


async def check_blocks(extra: Mapping[str, Any]) -> None:
    adapter = logging.LoggerAdapter(logging.getLogger("x"), {})
    with agent_event("x", {"q": 1}, logger=adapter, index="docs") as event:
        event.set_input(1)
        event.set_output([1])
        event.set_metadata(extra, hits=2)
        event.set_cost(Decimal("0.1"))
        event.set_status("success")
        event.set_status("failure")  # type: ignore[arg-type]
        event.set_error(ValueError("x"))
        event.set_error("words")
    async with agent_event("x") as event:
        event.set_cost("free")  # type: ignore[arg-type]
    manager = agent_event("x")
    with manager:
        manager.set_output(1)
    with agent_context(session_id="s", tier="gold"):
        pass
    async with agent_context(metadata=extra):
        pass


def check_block_does_not_swallow() -> int:
    with agent_event("x"), agent_context(user_id="u"):
        return 1


def check_extra(logger: logging.Logger) -> None:
    fields: EventFields = {"event_type": "llm_call", "cost_usd": 0.1, "latency_ms": 3}
    logger.info("x", extra=fields)


def check_what_is_told_is_read_only() -> None:
    count: int = stats().lost["rejected"] + flush().pending
    stats().accepted = count  # type: ignore[misc]
    flush().pending = count  # type: ignore[misc]
