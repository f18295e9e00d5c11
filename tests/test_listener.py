"""The listener takes records by the burst; nobody can tell from what arrives."""

from __future__ import annotations

import logging
import threading
from typing import Any, Callable, List

import pytest

from agentmonitor_logging import AgentMonitorHandler, AgentMonitorQueueHandler
from agentmonitor_logging._queue import BURST, RecordQueue
from servers import DEADLINE

log = logging.getLogger("agent")
MANY = 3 * BURST


@pytest.fixture
def burst(attach: Any) -> Callable[..., AgentMonitorQueueHandler]:
    """Attach a handler whose listener starts only when all is queued."""

    def attached(url: str, **options: Any) -> AgentMonitorQueueHandler:
        handler: AgentMonitorQueueHandler = attach(url, **options)
        handler._listener._thread = threading.current_thread()
        return handler

    return attached


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
        told = "sk-ant-api03-" + "a1B2" * 12 if number == BURST + 3 else "nothing"
        log.info("call %d", number, extra={"input_data": {"told": told}})

    assert released(handler).flush(DEADLINE)
    told = [event["input_data"]["told"] for event in server.stored]
    assert "[REDACTED]" == told.pop(BURST + 3)
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
        if event["metadata"]["message"] == "call 3":
            raise MemoryError
        return encode(event, max_bytes)

    monkeypatch.setattr(target, "_encode", fail)
    for number in range(BURST):
        log.info("call %d", number)

    assert released(handler).flush(DEADLINE)
    assert {"conversion_error": 1} == handler.stats().lost
    expected = [f"call {number}" for number in range(BURST) if number != 3]
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
    target = Own(api_key="k" * 32, agent_id="bot", api_url=server.url)
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


def test_a_small_queue_is_taken_from_in_small_bursts() -> None:
    """What is in the listener's hand makes no noticeable room beyond the size."""
    for size, most in ((10, 1), (250, 3), (10_000, BURST)):
        records = RecordQueue(size)
        for number in range(min(size, 100)):
            records.put_nowait(number)
        assert list(range(most)) == records.get_burst()
        assert min(size, 100) == records.entered()
