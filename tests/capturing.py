"""A logger whose records a test can read."""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Iterator, List

import pytest


class Records(logging.Handler):
    """Keep every record, in the order they came."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: List[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.kept.append(record)

    def __len__(self) -> int:
        return len(self.kept)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.kept)

    @property
    def one(self) -> Any:
        """Return the only record."""
        (record,) = self.kept
        return record

    def of(self, name: str) -> Any:
        """Return the only record of the function, or event type, *name*."""
        (found,) = [
            record
            for record in self.kept
            if name in (record.metadata.get("function_name"), record.event_type)
        ]
        return found


@pytest.fixture
def records(request: pytest.FixtureRequest) -> Records:
    """Collect the records of the test module's own logger, at INFO."""
    handler = Records()
    logger = logging.getLogger(request.module.__name__)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.disabled = False
    return handler


@contextlib.contextmanager
def records_made_with(**attributes: Any) -> Iterator[None]:
    """Have every record made with *attributes* besides, by a factory of our own."""
    before = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        record.__dict__.update(attributes)
        return record

    logging.setLogRecordFactory(factory)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)


def own_frames(error: BaseException) -> List[str]:
    """Return the functions of the package that stand in the traceback of *error*."""
    frames, traceback = [], error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if frame.f_globals.get("__package__") == "agentmonitor_logging":
            frames.append(frame.f_code.co_name)
        traceback = traceback.tb_next
    return frames
