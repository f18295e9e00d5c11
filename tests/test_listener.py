"""The listener takes records by the burst; nobody can tell from what arrives."""

from __future__ import annotations

import logging
import queue
import threading
import time
import weakref
from typing import Any, Callable, List

import pytest

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    agent_event,
)
from agentmonitor_logging._listener import RUN, AgentMonitorQueueListener, _next_run
from agentmonitor_logging._queue import SLICE_SECONDS
from conftest import KEY
from servers import DEADLINE, Raw, Reply, ScriptedServer, Slow

log = logging.getLogger("agent")
MANY = 3 * RUN


@pytest.fixture
def burst(attach: Any) -> Callable[..., AgentMonitorQueueHandler]:
    """Attach a handler whose listener starts only when all is queued."""

    def attached(url: str, **options: Any) -> AgentMonitorQueueHandler:
        # One request at a time, so that they arrive in order.
        options["max_in_flight"] = 1
        return held(attach(url, **options))

    return attached


def held(handler: AgentMonitorQueueHandler) -> AgentMonitorQueueHandler:
    handler._listener._thread = threading.current_thread()
    return handler


def released(handler: AgentMonitorQueueHandler) -> AgentMonitorQueueHandler:
    handler._listener._thread = None
    handler._listener.start()
    return handler


def test_what_is_usual_and_what_is_not_arrive_in_order(server, burst) -> None:
    """Errors, secrets and objects among plain records keep their places."""
    handler = burst(server.url)
    for number in range(MANY):
        extra: Any = {"step": number}
        if number % 7 == 3:
            extra = {"step": object(), "password": "hunter2"}
        log.log(
            logging.ERROR if number % 5 == 4 else 20, "call %d", number, extra=extra
        )

    assert released(handler).flush(DEADLINE)
    assert [f"call {number}" for number in range(MANY)] == server.messages()


def test_one_secret_in_a_burst_is_hidden_and_no_other_event_touched(
    server, burst
) -> None:
    """Events that are looked through together are redacted one by one."""
    handler = burst(server.url)
    for number in range(MANY):
        told = "sk-ant-api03-" + "a1B2" * 12 if number == RUN + 3 else "nothing"
        log.info("call %d", number, extra={"input_data": {"told": told}})

    assert released(handler).flush(DEADLINE)
    told = [event["input_data"]["told"] for event in server.stored]
    assert "[REDACTED]" == told.pop(RUN + 3)
    assert ["nothing"] * (MANY - 1) == told


def test_a_burst_counts_what_sampling_leaves_out(server, burst) -> None:
    """sample_rate 0 leaves nothing but the count."""
    handler = burst(server.url, sample_rate=0.0)
    for number in range(MANY):
        log.info("call %d", number)

    assert released(handler).flush(DEADLINE)
    stats = handler.stats()
    assert (MANY, 0, {"sampled": MANY}) == (
        stats.accepted,
        stats.delivered,
        stats.lost,
    )


@pytest.mark.swallows
def test_what_cannot_be_encoded_takes_no_other_with_it(
    server, burst, monkeypatch
) -> None:
    """One event of a burst is lost and counted, the thread lives on."""
    handler = burst(server.url)
    (target,) = handler.targets()
    encode = target._encode

    def fail(event: Any, max_bytes: int) -> bytes:
        if event.as_event()["metadata"]["message"] == "call 3":
            raise MemoryError
        return encode(event, max_bytes)

    monkeypatch.setattr(target, "_encode", fail)
    for number in range(RUN):
        # No two of them are alike, so each is encoded by itself.
        log.info("call %d", number, extra={f"item {number}": number})

    assert released(handler).flush(DEADLINE)
    assert {"conversion_error": 1} == handler.stats().lost
    expected = [f"call {number}" for number in range(RUN) if number != 3]
    assert expected == [text for text in server.messages() if "call" in text]


def test_the_level_of_the_target_holds_in_a_burst(server, burst) -> None:
    """What the target's level passes over is not counted as accepted."""
    handler = burst(server.url)
    handler.targets()[0].setLevel(logging.WARNING)
    for number in range(MANY):
        log.log(30 if number % 3 == 0 else 20, "call %d", number)

    assert released(handler).flush(DEADLINE)
    expected = [f"call {number}" for number in range(0, MANY, 3)]
    assert expected == server.messages()
    assert len(expected) == handler.stats().accepted


def test_ways_of_its_own_are_gone_by_every_record(server, attach) -> None:
    """A target with a filter, a formatter or a subclass is handed records."""

    class Own(AgentMonitorHandler):
        def handle(self, record: logging.LogRecord) -> Any:
            seen.append(record.getMessage())
            return super().handle(record)

    seen: List[str] = []
    options = {"api_key": "k" * 32, "agent_id": "bot", "max_in_flight": 1}
    target = Own(api_url=server.url, **options)
    handler = AgentMonitorQueueHandler(handlers=[target])
    log.addHandler(handler)
    try:
        for number in range(MANY):
            log.warning("call %d", number)
        assert handler.flush(DEADLINE)
    finally:
        log.removeHandler(handler)
        handler.shutdown()
        target.close()
    assert [f"call {number}" for number in range(MANY)] == seen == server.messages()


class _Unsure:
    """Has no truth value, as arrays and pandas.NA have none."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


@pytest.mark.parametrize("oddity", [{"event_id": _Unsure()}, {"event_id": ""}])
def test_an_odd_record_harms_no_other(server, burst, oddity: Any) -> None:
    """It arrives with the others, under an id of ours."""
    handler = burst(server.url)
    for number in range(RUN):
        log.info("call %d", number, extra=oddity if number == 3 else {})

    assert released(handler).flush(DEADLINE)
    assert [f"call {number}" for number in range(RUN)] == server.messages()


@pytest.mark.swallows
@pytest.mark.parametrize("level", ["INFO", None])
def test_a_record_without_a_usable_level_is_counted(server, burst, level: Any) -> None:
    """Such as no logger makes: it is lost with a reason, and the thread lives on."""
    handler = burst(server.url)
    handler.targets()[0].setLevel(logging.DEBUG)
    record = logging.LogRecord("agent", 20, "a.py", 1, "odd", (), None)
    record.levelno = level
    log.info("before")
    handler.handle(record)
    log.info("after")

    assert released(handler).flush(DEADLINE)
    assert {"before", "after"} <= set(server.messages())
    assert {"conversion_error": 1} == handler.stats().lost


def test_a_message_made_otherwise_is_heeded(server, burst, monkeypatch) -> None:
    """Who changes how all records word their message, changes what is shipped."""
    handler = burst(server.url)
    monkeypatch.setattr(logging.LogRecord, "getMessage", lambda record: "****")
    for _ in range(3):
        log.info("card %s", "4111")

    assert released(handler).flush(DEADLINE)
    assert ["****"] * 3 == server.messages()


def test_a_step_of_a_trace_has_a_span_however_many_name_it(serve, attach) -> None:
    """Also where two of ours see the record, and so agree on its id at once."""
    first, second = serve(), serve()
    handlers = [attach(first.url), attach(second.url)]
    with agent_event("tool_call", logger="agent"):
        log.info("a step")

    assert all(handler.flush(DEADLINE) for handler in handlers)
    for server in (first, second):
        for event in server.stored:
            assert 16 == len(event["metadata"]["span_id"])


def test_what_the_application_does_to_each_text_holds_up_no_other(
    server, attach
) -> None:
    """With a redactor events go on one by one: none waits for the slowest."""
    gate, entered = threading.Event(), threading.Event()

    def wait(text: str) -> str:
        if text == "slow":
            entered.set()
            gate.wait(DEADLINE)
        return text

    handler = attach(server.url, redactor=wait, batch_size=1)
    for number in range(5):
        log.info("call %d", number)
    log.info("slow")
    assert entered.wait(DEADLINE)
    (target,) = handler.targets()
    target._sender.hurry()
    server.wait_stored(5)
    gate.set()

    assert handler.flush(DEADLINE)


def test_a_listener_with_a_way_of_its_own_is_asked(server, burst) -> None:
    """Whoever puts another `handle` on it sees every record."""
    handler = burst(server.url)
    seen: List[Any] = []
    whole = handler._listener.handle

    def spy(record: Any) -> None:
        seen.append(record)
        whole(record)

    handler._listener.handle = spy
    for number in range(5):
        log.info("call %d", number)

    assert released(handler).flush(DEADLINE)
    assert 5 == len(seen)


class Stuck(logging.Handler):
    """A target of the application's that hangs, or that waits for ours."""

    def __init__(self, wait: Callable[[], Any]) -> None:
        super().__init__()
        self._wait = wait

    def emit(self, record: logging.LogRecord) -> None:
        self._wait()


@pytest.mark.parametrize("kind", [dict, tuple])
def test_what_others_put_into_their_queue_is_theirs_to_read(server, kind: Any) -> None:
    """A listener may make records of dicts and tuples: not every such is one of ours."""

    class Unpacking(AgentMonitorQueueListener):
        def prepare(self, record: Any) -> logging.LogRecord:
            return logging.makeLogRecord(dict(record))

    made = AgentMonitorHandler(
        api_key=KEY, agent_id="bot", api_url=server.url, flush_interval=0.1
    )
    theirs: Any = queue.Queue()
    listener = Unpacking(theirs, made)
    record = logging.LogRecord("n", logging.INFO, "a.py", 1, "hello", (), None)
    theirs.put(kind(vars(record).items()))
    listener.start()
    try:
        assert server.wait(lambda: server.stored, DEADLINE)
    finally:
        listener.stop()
    assert ["hello"] == [event["metadata"]["message"] for event in server.stored]
    assert 1 == made.stats().accepted


def test_a_flush_waits_for_no_other_target(server) -> None:
    """What ours has been given is ours to deliver, whatever the others do with it."""
    gate = threading.Event()
    ours = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    stuck = Stuck(lambda: gate.wait(DEADLINE))
    log.addHandler(AgentMonitorQueueHandler(handlers=[ours, stuck]))
    log.setLevel(logging.INFO)
    log.info("one")
    try:
        assert ours.flush(DEADLINE / 2)
        assert 0 == ours.stats().pending
    finally:
        gate.set()


def test_another_target_may_flush(server) -> None:
    """On the listener's own thread, too, and with the record it was given."""
    ours = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    results: List[Any] = []
    told = threading.Event()

    def flush() -> None:
        results.append(ours.flush(DEADLINE))
        told.set()

    log.addHandler(AgentMonitorQueueHandler(handlers=[ours, Stuck(flush)]))
    log.setLevel(logging.INFO)
    began = time.monotonic()
    log.info("one")

    assert told.wait(DEADLINE)
    assert results[0]
    assert time.monotonic() - began < DEADLINE / 2


@pytest.mark.swallows
def test_an_interrupted_drain_leaves_nothing_in_hand(server) -> None:
    """Ctrl-C in the midst of a record does not make every later flush wait for it."""
    ours = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    queue_handler = AgentMonitorQueueHandler(handlers=[ours])
    listener = queue_handler.listener

    class Interrupting(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise KeyboardInterrupt

    ours.addFilter(Interrupting())
    record = logging.LogRecord("agent", logging.INFO, "a.py", 1, "m", (), None)
    queue_handler.queue.put_nowait(queue_handler.prepare(record))
    passed = listener.checkpoint()
    with pytest.raises(KeyboardInterrupt):
        listener._drain_here(time.monotonic() + DEADLINE)

    assert passed()
    ours.filters.clear()
    queue_handler.close()


def test_what_gives_up_in_the_midst_of_taking_does_not_wait(server) -> None:
    """Nor would it where it has interrupted, at exit, the very take."""
    handler = AgentMonitorQueueHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    handler.listener._thread = object()  # nobody drains
    try:
        log.info("one")
        with handler._records._taking:
            assert 0 == handler.listener.give_up()
        assert 1 == handler.listener.give_up()
    finally:
        handler.listener._thread = None
        log.removeHandler(handler)


@pytest.mark.parametrize(
    ("done", "taken", "slices", "following"),
    [
        (100, 100, 0.0, 100),
        (100, 100, 1.0, 100),
        (100, 100, 4.0, 25),
        (1, 1, 0.125, 8),
        (1, 1, 2.0, 1),
        (3, 3, 0.0, 100),
        (7, 100, 0.0, 7),
        (0, 100, 9.0, 1),
    ],
)
def test_how_many_are_taken_follows_from_the_last_ones(
    done: int, taken: int, slices: float, following: int
) -> None:
    """As many as are done in a slice, and not many where one in a few is unusual."""
    assert following == _next_run(done, taken, slices * SLICE_SECONDS)


@pytest.mark.swallows
def test_a_run_that_cannot_be_taken_is_counted(server, burst) -> None:
    """Where memory has run out, what was taken out of the queue is lost by name."""
    handler = burst(server.url)
    (target,) = handler.targets()
    target._sampler = None  # as good as anything that nobody expects to fail
    for number in range(3):
        log.info("call %d", number)

    assert released(handler).flush(DEADLINE)
    assert {"conversion_error": 3} == handler.stats().lost


@pytest.mark.swallows
def test_what_ends_the_thread_costs_one_record(server, burst) -> None:
    """An exit out of an object of the application's takes no other record with it."""

    class Ending(str):
        __slots__ = ()

        def __hash__(self) -> int:
            if threading.current_thread().name == "agentmonitor-listener":
                raise SystemExit
            return str.__hash__(self)

        __eq__ = str.__eq__

    handler = burst(server.url)
    for number in range(MANY):
        key = Ending("step") if number == RUN // 2 else "step"
        log.info("call %d", number, extra={key: number})

    released(handler).flush(DEADLINE)
    expected = [f"call {number}" for number in range(MANY) if number != RUN // 2]
    assert expected == [said for said in server.messages() if said.startswith("call")]
    assert {"conversion_error": 1} == handler.stats().lost


BUFFER = 2 * 1024 * 1024
TOO_MANY = 2000


def large(count: int) -> None:
    """Log *count* events of a kilobyte, of which `BUFFER` holds about 1,500."""
    for number in range(count):
        log.info("call %d", number, extra={"text": "x" * 1000})


@pytest.fixture
def slow_server(serve: Any) -> ScriptedServer:
    """Return a server that takes events at a tenth of what a listener makes."""
    return serve(rule=lambda request: Slow(0.05, Reply()))


def test_what_a_slow_server_has_not_taken_yet_is_not_lost(slow_server, burst) -> None:
    """Records stay in the queue as long as the buffer has no room for their events."""
    handler = burst(slow_server.url, buffer_bytes=BUFFER)
    large(TOO_MANY)

    result = released(handler).flush(DEADLINE)

    assert result and result.delivered == TOO_MANY
    assert len(slow_server.stored) == TOO_MANY


def test_a_close_gives_a_slow_server_time(slow_server, burst) -> None:
    """What is held back when a handler is closed is delivered within that time."""
    handler = burst(slow_server.url, buffer_bytes=BUFFER, shutdown_timeout=DEADLINE)
    large(TOO_MANY)

    released(handler).close()

    assert len(slow_server.stored) == TOO_MANY
    assert handler.stats().lost == {}


def test_who_feeds_another_ones_target_hands_over_at_once(slow_server) -> None:
    """The close of a queue handler takes no time for a target that stays open."""
    target = AgentMonitorHandler(
        api_key=KEY,
        agent_id="bot",
        api_url=slow_server.url,
        buffer_bytes=BUFFER,
        max_in_flight=1,
    )
    handler = held(AgentMonitorQueueHandler(handlers=[target]))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    large(TOO_MANY)

    released(handler).close()

    assert handler._listener._records.qsize() == 0
    assert target.stats().lost["buffer_full"] > 0
    target.shutdown(0)


def test_a_close_waits_no_longer_for_what_is_held_back(serve, burst) -> None:
    """With a server that never answers it ends in its time, and counts every event."""
    server = serve(rule=lambda request: Raw(then="hang"))
    handler = burst(server.url, buffer_bytes=BUFFER, shutdown_timeout=0.5)
    large(TOO_MANY)

    began = time.monotonic()
    released(handler).close()

    assert time.monotonic() - began < DEADLINE / 2
    stats = handler.stats()
    assert stats.pending <= 100, "what is under way may still arrive"
    assert sum(stats.lost.values()) + stats.pending == TOO_MANY


def test_nothing_is_held_back_for_a_server_that_is_down(serve, burst) -> None:
    """What is new has room then at the cost of the oldest, as far as memory goes."""
    server = serve(rule=lambda request: 503)
    handler = burst(server.url, buffer_bytes=BUFFER, shutdown_timeout=0.1)
    large(TOO_MANY)

    released(handler)
    deadline = time.monotonic() + DEADLINE
    while handler._listener._records.qsize() and time.monotonic() < deadline:
        server.closing.wait(0.01)

    assert handler._listener._records.qsize() == 0
    assert handler.stats().lost["buffer_full"] > 0
    handler.shutdown(0)


class Model:
    """Something large that an application handed over and forgot."""


@pytest.mark.parametrize("kind", ["call", "record"])
def test_an_idle_listener_keeps_nothing_alive(
    server, attach, collect_garbage, monkeypatch, kind: str
) -> None:
    """Once delivered, the last record's objects belong to the application alone."""
    monkeypatch.setattr(log, "propagate", False)  # or caplog keeps the record
    handler = attach(server.url)
    model = Model()
    known = weakref.ref(model)
    if kind == "call":
        with agent_event("train", {"model": model}, logger="agent"):
            pass
    else:
        log.info("trained", extra={"model": model})
    del model

    assert handler.flush(DEADLINE)
    until = time.monotonic() + DEADLINE
    while known() is not None and time.monotonic() < until:
        collect_garbage()
    assert known() is None
