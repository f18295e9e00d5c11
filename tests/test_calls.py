"""The short way of a watched call: no record where nobody else would see one."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
from datetime import datetime
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

import pytest

from agentmonitor_logging import (
    AgentMonitorQueueHandler,
    agent_context,
    agent_event,
    log_agent_call,
)
from agentmonitor_logging import _diagnostics
from agentmonitor_logging._audience import audience_of
from agentmonitor_logging._snapshot import Snapshot
from capturing import Records, records_made_with
from conftest import KEY
from interpreters import Interpreter, interpreter, run
from oddities import Card
from servers import DEADLINE, ScriptedServer

log = logging.Logger("calls")
"""Known to nobody: pytest hangs a handler of its own on the root."""

HISTORY = [{"role": "user", "content": f"message {number}"} for number in range(20)]
LONG = [
    {"role": "user", '50 % "é"': f'say "{number} %s",\n then \\ and é' + "x" * 200}
    for number in range(20)
]
"""Of more characters than are encoded without a look at what is known of them."""

IDS = ("event_id", "trace_id", "span_id", "parent_span_id")


@pytest.fixture
def handler(server: ScriptedServer, alone: None) -> Iterator[AgentMonitorQueueHandler]:
    made = AgentMonitorQueueHandler(
        api_key=KEY, agent_id="bot", api_url=server.url, flush_interval=0.1
    )
    log.setLevel(logging.INFO)
    log.addHandler(made)
    audience_of(log).look_anew()
    yield made
    log.handlers.clear()
    log.filters.clear()
    made.close()


@log_agent_call(logger=log)
def answer(*args: Any, **kwargs: Any) -> Any:
    return kwargs.get("result", "done")


@log_agent_call(logger=log, event_type="step", metadata={"a": {"b": [1]}})
def outer(messages: List[Dict[str, Any]]) -> Any:
    messages[0]["content"] = "changed by the call"
    return answer(messages, n=1)


@log_agent_call(logger=log, capture_input=False)
def secretive(password: str) -> str:
    return "ok"


@log_agent_call(logger=log, capture_output=False)
def silent(value: Any) -> Any:
    return value


@log_agent_call(logger=log)
def failing(messages: Any) -> None:
    raise ValueError("no")


@log_agent_call(logger=log)
def counting(limit: int) -> Iterator[int]:
    yield from range(limit)


@log_agent_call(logger=log)
async def waiting(messages: Any) -> Any:
    await asyncio.sleep(0)
    return {"rows": messages}


@log_agent_call(logger=log)
def promising(messages: Any) -> Any:
    return waiting.__wrapped__(messages)  # type: ignore[attr-defined]


@log_agent_call(logger=log)
def streaming(messages: Any) -> Iterator[Any]:
    return (message["content"] for message in messages)


@log_agent_call(logger=log)
def by_place(question: Any, history: Any = (), result: Any = None) -> Any:
    return result


@log_agent_call(logger=log)
def log_in(user: str, password: str) -> bytearray:
    return bytearray(b"abc")


class Found(NamedTuple):
    """What a search returns."""

    title: str
    rows: List[Any]


class Desk:
    @log_agent_call(logger=log)
    def ask(self, question: str, *, history: Any = ()) -> str:
        return question.upper()

    @log_agent_call(logger=log)
    def find(self, question: str, history: Any = ()) -> Any:
        return Found(question, [1])


def a_block() -> None:
    with agent_event("block", {"rows": HISTORY}, logger=log, tool="x") as event:
        event.set_output([{"n": n} for n in range(9)])
        event.set_cost(0.5)


def in_a_context() -> None:
    with agent_context(session_id="s-1", agent_id="other", tenant=["north"]):
        answer(1)


def with_an_error() -> None:
    with pytest.raises(ValueError, match="no"):
        failing(HISTORY)


DOINGS: Dict[str, Callable[[], Any]] = {
    "nothing": lambda: answer(),
    "a text": lambda: answer("hello", result="x" * 2_000),
    "a history": lambda: answer(HISTORY),
    "a coroutine of a plain function": lambda: asyncio.run(promising(HISTORY)),
    "a stream of a plain function": lambda: list(streaming(HISTORY)),
    "a history in an object": lambda: answer(request={"messages": HISTORY, "n": [1]}),
    "rows of many shapes": lambda: answer(
        rows=[{"a": 1}, {"b": 2, "a": 3}, {}, {}, {}]
    ),
    "a long history": lambda: answer(LONG, messages=HISTORY),
    "a long history of many shapes": lambda: answer([{"only": "x"}, *LONG, {}]),
    "a long history twice": lambda: answer(messages=LONG, request={"deep": [LONG, 1]}),
    "a long history with a secret": lambda: answer(
        [*LONG, {**LONG[0], "n": "password=kitten-42-purple"}]
    ),
    "a history in a tuple": lambda: answer((HISTORY, 1)),
    "objects": lambda: answer(Card("x"), result=Card("y")),
    "unusual numbers": lambda: answer(float("nan"), result=2**70),
    "a result in pieces": lambda: answer(result=[{"id": n} for n in range(30)]),
    "a set": lambda: answer({1}, result={2}),
    "an exception as a value": lambda: answer(ValueError("x"), result=KeyError("y")),
    "a secret": lambda: answer(api_key="k" * 30, messages=[{"token": "t"}] * 9),
    "bytes": lambda: answer(b"abc", result=bytearray(b"abc")),
    "much": lambda: answer([{"n": n} for n in range(20_000)]),
    "a call in a call": lambda: outer([dict(message) for message in HISTORY]),
    "no input": lambda: secretive("x"),
    "no output": lambda: silent(HISTORY),
    "an error": with_an_error,
    "a stream": lambda: list(counting(3)),
    "a coroutine": lambda: asyncio.run(waiting(HISTORY)),
    "a method": lambda: Desk().ask("why", history=HISTORY),
    "a method by place": lambda: Desk().find("why", HISTORY),
    "some by place": lambda: by_place("why"),
    "all by place": lambda: by_place("why", HISTORY, ("a", [1])),
    "some by name": lambda: by_place("why", result=(1, 2)),
    "a secret by place": lambda: by_place("password=kitten-42-purple"),
    "a secret name by place": lambda: log_in("bob", "kitten-42-purple"),
    "rows by place": lambda: by_place({"a": 1}, [{"b": [2]}], {"c": {"d": 3}}),
    "four dicts by place": lambda: silent([{"a": "b"}] * 4),
    "a set by place": lambda: by_place({1}, Card("x"), frozenset((1,))),
    "truth": lambda: by_place(True, None, False),
    "a time": lambda: by_place(datetime(2026, 1, 2), b"abc", datetime(2026, 1, 3)),
    "too many by place": lambda: pytest.raises(TypeError, by_place, 1, 2, 3, 4),
    "a block": a_block,
    "a context": in_a_context,
}


def told(server: ScriptedServer, handler: AgentMonitorQueueHandler) -> Any:
    """Return the events since the last time, without what differs in every run."""
    assert handler.flush(DEADLINE)
    events = list(server.stored)
    del server.stored[:]
    for event in events:
        metadata = event["metadata"]
        assert re.fullmatch("[0-9a-f]{32}", metadata["event_id"])
        del event["timestamp"], event["latency_ms"]
        metadata["message"] = re.sub(r"\d+ ms", "n ms", metadata["message"])
        for name in ("traceback", *IDS):
            metadata[name] = name in metadata
    return events


@pytest.mark.parametrize("do", DOINGS.values(), ids=DOINGS)
def test_events_are_the_same_whoever_else_hears(
    server: ScriptedServer, handler: AgentMonitorQueueHandler, do: Callable[[], Any]
) -> None:
    """With a handler beside ours there is a record, without there is none."""
    assert audience_of(log).feed(logging.INFO) is handler
    do()
    alone = told(server, handler)
    log.addHandler(logging.NullHandler())
    assert audience_of(log).feed(logging.INFO) is None
    do()

    assert alone
    assert alone == told(server, handler)


def test_a_parameter_with_the_name_of_a_secret_hides_what_it_is_given(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """By place as by name."""
    assert audience_of(log).feed(logging.INFO) is handler
    for _ in range(2):
        log_in("bob", "kitten-42-purple")

    assert handler.flush(DEADLINE)
    for event in server.stored:
        assert {"user": "bob", "password": "[REDACTED]"} == event["input_data"]


def test_nobody_makes_a_record_that_nobody_sees(
    server: ScriptedServer,
    handler: AgentMonitorQueueHandler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The logger is not asked to handle one, and the event arrives."""
    handle = logging.Logger.handle
    seen: List[Any] = []
    assert audience_of(log).feed(logging.INFO) is handler
    monkeypatch.setattr(handler, "_handle_by_steps", seen.append)
    answer(HISTORY)

    assert handler.flush(DEADLINE)
    assert [] == seen
    assert HISTORY == server.stored[0]["input_data"]["args"][0]
    assert logging.Logger.handle is handle


OWN = (
    *("created", "msecs", "relativeCreated", "timestamp", "latency_ms", "args", *IDS),
    *("exc_info", "exc_text"),  # the exception travels as text
)
"""What differs from record to record, and is only looked for."""


@pytest.mark.parametrize("do", DOINGS.values(), ids=DOINGS)
def test_what_is_queued_is_the_record_that_others_would_see(
    handler: AgentMonitorQueueHandler, do: Callable[[], Any]
) -> None:
    """Attribute for attribute, of the same types, whoever takes it out."""

    def seen(record: logging.LogRecord) -> Dict[str, str]:
        said = re.sub(r"\d+ ms", "n ms", record.getMessage())
        shown = {name: f"{type(v)} {v!r}" for name, v in vars(record).items()}
        there = [name for name in shown if name in OWN]
        for name in there + [name for name in shown if name.startswith("_agent_")]:
            del shown[name]
        return {**shown, "message": said, "there": repr(sorted(there))}

    listener, records = handler.listener, Records()
    listener._thread = object()  # nobody drains
    try:
        do()  # the first one only finds out that nobody else hears
        first = listener._records.qsize()
        do()
        waiting = list(listener._records._records)
        log.addHandler(records)
        do()
    finally:
        listener._thread = None

    assert waiting[first:]
    queued = [seen(listener.prepare(one)) for one in waiting[first:]]
    assert [seen(record) for record in records] == queued


def test_a_call_waits_as_a_tuple(handler: AgentMonitorQueueHandler) -> None:
    """Its attributes are filled in by who takes it out, not while the caller waits."""
    handler.listener._thread = object()  # nobody drains
    try:
        for _ in range(2):
            answer(HISTORY)
        both = list(handler.listener._records._records)
    finally:
        handler.listener._thread = None

    assert type(both[1]) is tuple
    assert HISTORY == handler.listener.prepare(both[1]).input_data["args"][0]


def test_a_call_that_waits_is_one_object_to_the_garbage_collector(
    handler: AgentMonitorQueueHandler,
) -> None:
    """All calls of a function share what else of them it looks at."""
    handler.listener._thread = object()  # nobody drains
    try:
        for number in range(50):
            by_place(f"question {number}", list(HISTORY), f"answer {number}")
        calls = [c for c in handler.listener._records._records if type(c) is tuple]
    finally:
        handler.listener._thread = None
    for _ in range(2):
        gc.collect()

    known = {id(one) for one in gc.get_objects()}
    looked_at = {id(part) for call in calls for part in call} & known
    assert len(calls) > 40
    assert len(looked_at) <= 2


@pytest.mark.usefixtures("alone")
def test_a_history_that_doubles_when_encoded_is_cut(server: ScriptedServer) -> None:
    """Its size is known only as JSON, and it fits nevertheless."""
    handler = AgentMonitorQueueHandler(
        **{"api_key": KEY, "agent_id": "bot", "api_url": server.url},
        max_event_bytes=4_096,
    )
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    audience_of(log).look_anew()
    try:
        for _ in range(2):
            answer([{"role": "user", "content": '"' * 100 + str(n)} for n in range(30)])
        assert handler.flush(DEADLINE)
    finally:
        log.handlers.clear()
        handler.close()
    for event in server.stored:
        assert event["metadata"]["truncated"]
        assert event["input_data"]["args"][0][0]["content"].startswith('"""')


def test_who_comes_while_a_call_runs_sees_it_whole(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """What was packed when it began is a list of dicts in the record when it ends."""
    records = Records()

    @log_agent_call(logger=log)
    def call(messages: Any) -> Any:
        log.addHandler(records)
        messages[0]["content"] = "later"
        return {"a": [1]}

    call([dict(message) for message in HISTORY])

    record = records.one
    assert {"messages": HISTORY} == record.input_data
    assert {"a": [1]} == record.output_data
    kinds = {type(record.input_data), type(record.output_data), type(record.metadata)}
    assert {Snapshot} == kinds
    assert "call ok" in record.getMessage()
    assert handler.flush(DEADLINE)
    assert {"messages": HISTORY} == server.stored[0]["input_data"]


def test_a_filter_that_comes_while_a_call_runs_is_asked(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """It may say no, and it may change what it is shown."""

    @log_agent_call(logger=log)
    def call(messages: Any) -> Any:
        log.addFilter(lambda record: bool(record.input_data["messages"][0].clear()))

    call([dict(message) for message in HISTORY])

    assert handler.flush(DEADLINE)
    assert [] == server.stored


@pytest.mark.usefixtures("alone")
def test_what_finds_the_queue_full_is_counted(server: ScriptedServer) -> None:
    """As accepted and lost, as a record is."""
    handler = AgentMonitorQueueHandler(
        api_key=KEY, agent_id="bot", api_url=server.url, queue_size=1
    )
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    audience_of(log).look_anew()
    handler.listener._thread = object()  # nobody drains
    try:
        for _ in range(5):
            answer()
        stats = handler.stats()
    finally:
        handler.listener._thread = None
        log.handlers.clear()
    assert (5, 1, {"queue_full": 4}) == (stats.accepted, stats.pending, stats.lost)
    assert handler.shutdown(DEADLINE)


def test_a_record_factory_is_heeded(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """Whoever has records made in a way of his own gets them made."""
    with records_made_with(request="r-1"):
        answer(HISTORY)

    assert handler.flush(DEADLINE)
    assert "r-1" == server.stored[0]["metadata"]["request"]
    assert HISTORY == server.stored[0]["input_data"]["args"][0]


class Row:
    """A key that cannot be looked up any more once its row is deleted."""

    def __init__(self) -> None:
        self.key: Any = 1

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        return "Row"


def test_keys_that_change_do_no_harm(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """Neither to the event that has one, nor to those that are handled with it."""

    @log_agent_call(logger=log)
    def delete(messages: Any, rows: Any) -> None:
        for row in rows:
            if isinstance(row, Row):
                row.key = []
        if len(rows) > 1:
            raise ValueError("no")

    for _ in range(5):
        answer(HISTORY)
    delete(HISTORY, {Row(): HISTORY})
    with pytest.raises(ValueError, match="no"):
        delete(HISTORY, {Row(): "a", "b": HISTORY})
    answer(HISTORY)

    assert handler.flush(DEADLINE)
    assert 8 == len(server.stored)
    assert {} == handler.stats().lost


def test_attributes_named_like_our_marks_do_no_harm(
    server: ScriptedServer, handler: AgentMonitorQueueHandler
) -> None:
    """What the application calls as we do is its own."""
    for name in ("_agent_packed", "_agent_constant"):
        for value in (1, True, {"a": 1}):
            log.info("hello", extra={name: value})
            answer(HISTORY)

    assert handler.flush(DEADLINE)
    assert 12 == len(server.stored)


@pytest.mark.swallows
def test_what_fails_to_be_queued_is_counted(
    server: ScriptedServer,
    handler: AgentMonitorQueueHandler,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is refused, as a record would be."""

    def full(record: Any) -> None:
        raise MemoryError("no room")

    answer()
    with monkeypatch.context() as patched:
        patched.setattr(handler._records, "put_nowait", full)
        answer()

    assert handler.flush(DEADLINE)
    assert {"snapshot_error": 1} == handler.stats().lost
    assert any("no room" in line for line in _diagnostics.swallowed)


DEEP = """
import logging, sys
from agentmonitor_logging import configure, log_agent_call

log = logging.Logger("deep", logging.INFO)
configure(logger=log, api_key="k" * 32, agent_id="bot", api_url=sys.argv[1])

@log_agent_call(logger=log)
def call(tree):
    return "x"

def down(levels, tree):
    return down(levels - 1, tree) if levels else call(tree)

call("first")
for nested in (5, 14, 31):
    for wrap in (lambda tree: [tree, 1, 2, 3], lambda tree: {"children": [tree, 1]}):
        tree = [{"a": "b"}] * 5
        for _ in range(nested):
            tree = wrap(tree)
        for left in range(50, 130):
            try:
                down(sys.getrecursionlimit() - left, tree)
            except RecursionError:
                pass
print("done")
"""


def test_near_the_limit_of_the_stack_nothing_is_made_worse(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """A RecursionError is the program's own; Python 3.8 would abort at a second."""
    outcome = run(interpreter, DEEP, server.url)

    assert 0 == outcome.returncode, outcome.stderr
    assert "done" == outcome.stdout.strip()
