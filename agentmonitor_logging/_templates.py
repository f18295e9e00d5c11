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
from ._packing import Constant

_MAKE_RECORD = logging.Logger.makeRecord
_HAS_TASK_NAMES = hasattr(logging, "logAsyncioTasks")  # since 3.12
_new: Any = object.__new__


class Source(NamedTuple):
    """Where a record says it comes from."""

    pathname: str
    lineno: int
    function: str


class _Constant(NamedTuple):
    """What is the same for all records of one logger in one process."""

    logger: logging.Logger
    forks: int
    attributes: Constant
    process: Optional[int]
    started: float


class Attributes(NamedTuple):
    """The attributes of a record: those of all of its kind, and its own."""

    constant: Constant
    own: Dict[str, Any]


class RecordTemplate:
    """Make records at *level*, with *message*, from *source*."""

    __slots__ = ("_constant", "_level", "_source", "message")

    def __init__(self, level: int, message: str, source: Source) -> None:
        self._level = level
        self.message = message
        self._source = source
        self._constant: Optional[_Constant] = None

    def record(
        self, logger: logging.Logger, args: Tuple[Any, ...], exc_info: Any = None
    ) -> logging.LogRecord:
        """Return a record that is like one of `Logger.makeRecord`."""
        attributes = self.attributes(logger, args) if exc_info is None else None
        if attributes is None:
            return self._made(logger, args, exc_info)
        record: logging.LogRecord = _new(logging.LogRecord)
        record.__dict__ = attributes
        return record

    def attributes(
        self, logger: logging.Logger, args: Tuple[Any, ...]
    ) -> Optional[Dict[str, Any]]:
        """Return the attributes of such a record, or None, see `parts`."""
        parts = self.parts(logger, args)
        return None if parts is None else {**parts.constant, **parts.own}

    def parts(
        self, logger: logging.Logger, args: Tuple[Any, ...]
    ) -> Optional[Attributes]:
        """Return the attributes of such a record in two parts.

        None where the application makes its records in a way of its own.
        """
        if (
            logging.getLogRecordFactory() is not logging.LogRecord
            or type(logger).makeRecord is not _MAKE_RECORD
        ):
            return None
        constant = self._constant
        if (
            constant is None
            or constant.logger is not logger
            or constant.forks != _ids.forks
        ):
            constant = self._constant = self._prepared(logger)
        now = time()
        own: Dict[str, Any] = {
            "levelname": logging.getLevelName(self._level),
            "args": args,
            "created": now,
            "msecs": int((now - int(now)) * 1000) + 0.0,
            "relativeCreated": (now - constant.started) * 1000,
        }
        if logging.logThreads:
            own["thread"] = threading.get_ident()
            own["threadName"] = threading.current_thread().name
        if logging.logProcesses:
            own["process"] = constant.process
        if _HAS_TASK_NAMES or "multiprocessing" in sys.modules:
            _add_names(own, has_task_name="taskName" in constant.attributes)
        return Attributes(constant.attributes, own)

    def _made(
        self, logger: logging.Logger, args: Tuple[Any, ...], exc_info: Any = None
    ) -> logging.LogRecord:
        path, line, function = self._source
        said = self.message, args, exc_info
        return logger.makeRecord(logger.name, self._level, path, line, *said, function)

    def _prepared(self, logger: logging.Logger) -> _Constant:
        _ids.watch_forks()
        attributes = self._made(logger, ()).__dict__
        started = attributes["created"] - attributes["relativeCreated"] / 1000
        process = attributes["process"]
        attributes.update(thread=None, threadName=None, process=None)
        return _Constant(logger, _ids.forks, Constant(attributes), process, started)


def _add_names(attributes: Dict[str, Any], *, has_task_name: bool) -> None:
    """Add what others may have named meanwhile: the process, the task.

    Their modules may be half imported, and there may be no loop here, or no task.
    """
    multiprocessing = sys.modules.get("multiprocessing")
    if not logging.logMultiprocessing:
        attributes["processName"] = None
    elif multiprocessing is not None:
        try:
            attributes["processName"] = multiprocessing.current_process().name
        except Exception:
            attributes["processName"] = "MainProcess"
    if has_task_name:
        attributes["taskName"] = None
        asyncio = sys.modules.get("asyncio")
        if asyncio is not None and logging.logAsyncioTasks:  # type: ignore[attr-defined]
            try:
                attributes["taskName"] = asyncio.current_task().get_name()
            except Exception:
                attributes["taskName"] = None
