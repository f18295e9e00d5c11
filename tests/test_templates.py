"""A record from a template is what logging would have made, only sooner."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import threading
from typing import Any, Dict, Iterator

import pytest

from agentmonitor_logging._templates import RecordTemplate, Source

log = logging.getLogger("templates")
SOURCE = Source("/srv/app/agent.py", 42, "answer")
OWN = ("created", "msecs", "relativeCreated")
"""What differs from record to record, and is compared as a time."""


@pytest.fixture
def template() -> RecordTemplate:
    return RecordTemplate(logging.INFO, "%s ok %d ms", SOURCE)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


def made_by_logging() -> logging.LogRecord:
    path, line, function = SOURCE
    said = "%s ok %d ms", ("f", 3), None
    return log.makeRecord(log.name, logging.INFO, path, line, *said, function)


def constant(record: logging.LogRecord) -> Dict[str, Any]:
    return {name: v for name, v in record.__dict__.items() if name not in OWN}


def assert_alike(record: logging.LogRecord) -> None:
    expected = made_by_logging()

    assert list(expected.__dict__) == list(record.__dict__)
    assert constant(expected) == constant(record)
    assert type(expected) is type(record)
    assert abs(expected.created - record.created) < 5
    assert abs(expected.relativeCreated - record.relativeCreated) < 5000
    assert 0 <= record.msecs < 1000
    assert "f ok 3 ms" == record.getMessage()


def test_it_is_like_one_of_logging(template: RecordTemplate) -> None:
    """Every attribute is there, in its order, with its value; also the second time."""
    for _ in range(2):
        assert_alike(template.record(log, ("f", 3)))


def test_what_is_queued_of_a_record_is_flat(template: RecordTemplate) -> None:
    """But for what all share, a stamp has one tuple, of texts: the collector counts."""
    _, *own = template.stamped(log) or ()

    assert {str, float, int, tuple} >= set(map(type, own))
    (names,) = [part for part in own if type(part) is tuple]
    assert {str, type(None)} >= set(map(type, names))


def test_it_knows_its_thread(template: RecordTemplate) -> None:
    """Each record names the thread that made it, also one that was renamed."""
    seen = []

    def work() -> None:
        threading.current_thread().name = "renamed"
        seen.append((template.record(log, ("f", 3)), made_by_logging()))

    template.record(log, ("f", 3))
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    ((ours, theirs),) = seen

    assert constant(theirs) == constant(ours)
    assert "renamed" == ours.threadName


def test_it_knows_its_task_and_process(template: RecordTemplate) -> None:
    """Where asyncio and multiprocessing have names, records have them."""

    async def work() -> None:
        assert_alike(template.record(log, ("f", 3)))

    assert_alike(template.record(log, ("f", 3)))
    asyncio.run(work())
    process = multiprocessing.current_process()
    name = process.name
    process.name = "worker-7"
    try:
        assert_alike(template.record(log, ("f", 3)))
    finally:
        process.name = name


@pytest.mark.parametrize(
    "switch", ["logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"]
)
def test_it_heeds_the_switches_of_logging(
    template: RecordTemplate, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program has switched off is off, whenever it does that."""
    template.record(log, ("f", 3))
    monkeypatch.setattr(logging, switch, False, raising=False)

    assert_alike(template.record(log, ("f", 3)))


def test_a_factory_of_the_application_makes_the_records(
    template: RecordTemplate,
) -> None:
    """setLogRecordFactory is heeded, whenever it is called."""

    class Own(logging.LogRecord):
        pass

    template.record(log, ("f", 3))
    logging.setLogRecordFactory(Own)

    assert type(template.record(log, ("f", 3))) is Own


def test_a_logger_class_of_the_application_makes_the_records(
    template: RecordTemplate,
) -> None:
    """An overridden makeRecord is heeded."""

    class Own(logging.Logger):
        def makeRecord(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
            record = super().makeRecord(*args, **kwargs)
            record.own = True
            return record

    assert template.record(Own("own"), ("f", 3)).own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_names_its_own_process(template: RecordTemplate) -> None:
    """The process id is not the parent's."""
    template.record(log, ("f", 3))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, str(template.record(log, ("f", 3)).process).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = int(pipe.read())
    os.waitpid(child, 0)

    assert child == told


def test_a_level_that_is_named_anew_has_its_name(template: RecordTemplate) -> None:
    """addLevelName is heeded, whenever it is called."""
    name = logging.getLevelName(logging.INFO)
    template.record(log, ("f", 3))
    logging.addLevelName(logging.INFO, "NOTE")
    try:
        assert "NOTE" == template.record(log, ("f", 3)).levelname
    finally:
        logging.addLevelName(logging.INFO, name)
