"""What each step of an event costs by itself: `pytest tests/benchmarks/steps.py`.

Needs pytest-benchmark, and is no test: the plain run does not collect it. Use its
`--benchmark-compare` to see which step a change has made cheaper.
"""

from __future__ import annotations

import itertools
import logging
import pathlib
from typing import Any, Callable, Iterator, List

import clients
import pytest
import workloads

from agentmonitor_logging import log_agent_call
from agentmonitor_logging._batch import Batch
from agentmonitor_logging._encoding import encode
from agentmonitor_logging._plain import AnyEvent
from agentmonitor_logging._snapshot import snapshot_record
from agentmonitor_logging._spool import Spool
from agentmonitor_logging.events import converted, event_from_record
from agentmonitor_logging.redaction import Redactor

MAX_BYTES = 256 * 1024
ROUNDS, WARM_UP = 2000, 200

each_workload = pytest.mark.parametrize("workload", ["W1", "W2", "W3"])


class Keeping(logging.Handler):
    """Keep the records as a handler is given them, before any copy."""

    def __init__(self) -> None:
        super().__init__()
        self.records: List[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Local(clients.Client):
    """This package's decorator on a logger that sends nothing anywhere."""

    def __init__(self, handler: logging.Handler) -> None:
        self.logger = logging.getLogger("bench.steps")
        self.logger.handlers[:] = [handler]
        self.logger.setLevel(logging.INFO)
        self.logger.propagate = False
        self.log = self.logger.info  # type: ignore[method-assign,assignment]

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        decorate: Any = log_agent_call(logger=self.logger)
        decorated: Callable[..., Any] = decorate(function)
        return decorated


def records(workload: str, count: int = 1) -> List[logging.LogRecord]:
    """Return records of *workload*."""
    keeping = Keeping()
    task = workloads.task(workload, Local(keeping))
    for number in range(count):
        task.call(task.argument(workloads.marker(number)))
    return keeping.records


def event_of(record: logging.LogRecord) -> AnyEvent:
    """Return the event of a record that was copied, as a handler has it made."""
    return converted(record, "bench", None, None, MAX_BYTES)


def events(workload: str, count: int = 1) -> List[AnyEvent]:
    """Return the events of such records."""
    return list(map(event_of, map(snapshot_record, records(workload, count))))


def bodies(count: int) -> List[bytes]:
    """Return encoded events of W2."""
    return [encode(event, MAX_BYTES) for event in events("W2", count)]


@each_workload
def test_capture(benchmark: Any, workload: str) -> None:
    """The decorated call or logger.info, with a handler that does nothing."""
    task = workloads.task(workload, Local(logging.NullHandler()))
    benchmark(task.call, task.argument(workloads.marker(1)))


@each_workload
def test_snapshot(benchmark: Any, workload: str) -> None:
    """Two records in turn: the ids of the last one are remembered."""
    turns = itertools.cycle(records(workload, 2))
    benchmark(lambda: snapshot_record(next(turns)))


@each_workload
def test_conversion(benchmark: Any, workload: str) -> None:
    """A record that was copied becomes an event."""
    (record,) = map(snapshot_record, records(workload))
    benchmark(event_of, record)


@each_workload
def test_conversion_for_others(benchmark: Any, workload: str) -> None:
    """The same for an application that asks: a dict that shares nothing."""
    (record,) = map(snapshot_record, records(workload))
    benchmark(event_from_record, record, agent_id="bench", max_bytes=MAX_BYTES)


@pytest.mark.parametrize("state", ["cold", "warm"])
@pytest.mark.parametrize("workload", ["W1", "W2", "W3", "W4"])
def test_redaction(benchmark: Any, workload: str, state: str) -> None:
    """With texts seen for the first time, and seen before."""
    (event,) = events(workload)
    redactor = Redactor()

    def forget() -> None:
        if state == "cold":
            redactor.__init__()  # type: ignore[misc]

    benchmark.pedantic(
        lambda: redactor.redact(event),
        setup=forget,
        rounds=ROUNDS,
        warmup_rounds=WARM_UP,
    )


@each_workload
def test_encoding(benchmark: Any, workload: str) -> None:
    """An event becomes JSON."""
    benchmark(encode, events(workload)[0], MAX_BYTES)


@pytest.mark.parametrize("size", [10, 100])
def test_batch_body(benchmark: Any, size: int) -> None:
    """Encoded events become one request's body."""
    batch = Batch(bodies(size))
    benchmark(batch.body)


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> Iterator[Spool]:
    """A spool that complains aloud."""

    def report(problem: str, message: str) -> None:
        raise AssertionError(f"{problem}: {message}")

    made = Spool(str(tmp_path / "spool"), 64 * 1024 * 1024, report=report)
    yield made
    made.close()


def test_spool_write(benchmark: Any, spool: Spool) -> None:
    """Twenty events of W2 are written, and struck out unmeasured."""
    twenty = bodies(20)
    written: List[int] = []

    def remove_last() -> None:
        spool.remove(written)
        del written[:]

    def add() -> None:
        written.extend(spool.add(twenty).ids or ())

    benchmark.pedantic(add, setup=remove_last, rounds=ROUNDS // 4, warmup_rounds=20)
