"""Log records of one place in the code, made in a third of the time.

Most of what `logging.LogRecord` works out is the same for every record of a decorated
function: the file, the module, the level's name. A template has logging work that out
once, and adds what is true of each record: its time, process, thread and task. Where
the application makes its records in a way of its own, that way is taken.
"""

from __future__ import annotations

import logging
import sys
import threading
from time import time
from typing import Any, Dict, NamedTuple, Optional, Tuple

from . import _ids
from ._capsule import Origin, Stamp, attributes

_MAKE_RECORD = logging.Logger.makeRecord
_HAS_TASK_NAMES = hasattr(logging, "logAsyncioTasks")  # since 3.12
_NO_TASK = ("taskName", None)
_new: Any = object.__new__


class Source(NamedTuple):
    """Where a record says it comes from."""

    pathname: str
    lineno: int
    function: str


class _Known(NamedTuple):
    """What is the same for all records of one logger in one process."""

    logger: logging.Logger
    forks: int
    origin: Origin
    process: Optional[int]
    has_task_name: bool


class RecordTemplate:
    """Make records at *level*, with *message*, from *source*."""

    __slots__ = ("_known", "_level", "_source", "message")

    def __init__(self, level: int, message: str, source: Source) -> None:
        self._level = level
        self.message = message
        self._source = source
        self._known: Optional[_Known] = None

    def __reduce__(self) -> Tuple[Any, ...]:
        # What is known is known of this process.
        return (RecordTemplate, (self._level, self.message, self._source))

    def saying(self, message: str) -> RecordTemplate:
        """Return one that differs in its *message*."""
        return RecordTemplate(self._level, message, self._source)

    def record(
        self, logger: logging.Logger, args: Tuple[Any, ...], exc_info: Any = None
    ) -> logging.LogRecord:
        """Return a record that is like one of `Logger.makeRecord`."""
        made = self.attributes(logger, args) if exc_info is None else None
        if made is None:
            return self._made(logger, args, exc_info)
        record: logging.LogRecord = _new(logging.LogRecord)
        record.__dict__ = made
        return record

    def attributes(
        self, logger: logging.Logger, args: Tuple[Any, ...]
    ) -> Optional[Dict[str, Any]]:
        """Return the attributes of such a record, or None, see `stamped`."""
        stamped = self.stamped(logger)
        return None if stamped is None else attributes(stamped, args)

    def stamped(self, logger: logging.Logger) -> Optional[Stamp]:
        """Return the first part of a `Capsule`: what a record is made of.

        None where the application makes its records in a way of its own.
        """
        if (
            logging.getLogRecordFactory() is not logging.LogRecord
            or type(logger).makeRecord is not _MAKE_RECORD
        ):
            return None
        known = self._known
        if known is None or known.logger is not logger or known.forks != _ids.forks:
            known = self._known = self._prepared(logger)
        thread: Optional[int] = None
        thread_name: Optional[str] = None
        if logging.logThreads:
            thread = threading.get_ident()
            thread_name = threading.current_thread().name
        names: Any = ()
        if _HAS_TASK_NAMES or "multiprocessing" in sys.modules:
            names = _names(has_task_name=known.has_task_name)
        process = known.process if logging.logProcesses else None
        level = logging.getLevelName(self._level)
        return (known.origin, level, time(), thread, thread_name, process, names)

    def _made(
        self, logger: logging.Logger, args: Tuple[Any, ...], exc_info: Any = None
    ) -> logging.LogRecord:
        path, line, function = self._source
        said = self.message, args, exc_info
        return logger.makeRecord(logger.name, self._level, path, line, *said, function)

    def _prepared(self, logger: logging.Logger) -> _Known:
        _ids.watch_forks()
        made = self._made(logger, ()).__dict__
        started = made["created"] - made["relativeCreated"] / 1000
        process = made["process"]
        made.update(args=None, thread=None, threadName=None, process=None)
        return _Known(logger, _ids.forks, (made, started), process, "taskName" in made)


def _names(*, has_task_name: bool) -> Tuple[Optional[str], ...]:
    """Return what others may have named meanwhile: the process, the task.

    Each after the attribute that it is. Their modules may be half imported, and there
    may be no loop here, or no task.
    """
    process = _process_name()
    if not has_task_name:
        return process
    task = None
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and logging.logAsyncioTasks:  # type: ignore[attr-defined]
        try:
            task = asyncio.current_task().get_name()
        except Exception:
            task = None
    if task is None and not process:
        return _NO_TASK  # one for all of them, as most programs have none
    return (*process, "taskName", task)


def _process_name() -> Tuple[Optional[str], ...]:
    if not logging.logMultiprocessing:
        return ("processName", None)
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is None:
        return ()
    try:
        return ("processName", multiprocessing.current_process().name)
    except Exception:
        return ("processName", "MainProcess")
