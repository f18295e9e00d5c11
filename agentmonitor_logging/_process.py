"""What happens to the process: it forks, it ends.

Every live handler is known here, weakly, so that a child starts afresh and the end
finds all of them. The hooks are installed with the first handler, not at import.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from typing import Any, Callable, List, Optional, Protocol

from . import _diagnostics

LOCKED_PATIENCE = 0.25
"""Seconds that a closing thread waits for our threads while it holds the module lock
of logging: they may be waiting for that very lock, through a logger whose level is
not cached, and would wait as long as we do."""

_URLLIB3_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
"""Those that ask for their level with each request."""


class Watched(Protocol):
    """What a handler offers to the process hooks."""

    def reset_after_fork(self) -> None:
        """Drop what belongs to the parent."""

    def close_at_exit(self) -> None:
        """Deliver what logging.shutdown would not reach."""

    def close(self) -> None:
        """Deliver what is left and end."""


class _Process:
    """Hold what is true of the whole process."""

    def __init__(self) -> None:
        # In order of creation: a dict, where WeakSet has none.
        self.watched: List[weakref.ref[Watched]] = []
        self.hooked = False
        self.finalizing_pid: Optional[int] = None
        self.exiting = False
        self.seconds_spent = 0.0
        self.watching = threading.RLock()


_process = _Process()


def watch(handler: Watched) -> None:
    """Know *handler* as long as it lives."""
    with _process.watching:
        _process.watched = [ref for ref in _process.watched if ref() is not None]
        _process.watched.append(weakref.ref(handler))
        if not _process.hooked:
            _process.hooked = True
            atexit.register(_at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork_in_child)


def live() -> List[Watched]:
    """Return the handlers that live, in order of creation."""
    handlers = (ref() for ref in tuple(_process.watched))
    return [handler for handler in handlers if handler is not None]


def is_exiting() -> bool:
    """Tell whether the interpreter is on its way out."""
    return _process.exiting


def holds_logging_lock() -> bool:
    """Tell whether this thread is inside of dictConfig or its like."""
    return _holds(getattr(logging, "_lock", None))


def is_closing(handler: logging.Handler) -> bool:
    """Tell whether this thread is closing *handler*, or reconfiguring all of them.

    `logging.shutdown` flushes a handler under its lock, and closes it right after.
    """
    return holds_logging_lock() or _holds(handler.lock)


def _holds(lock: Any) -> bool:
    is_owned = getattr(lock, "_is_owned", None)
    return bool(is_owned()) if is_owned is not None else False


def ask_for_levels() -> None:
    """Have the levels of urllib3's loggers cached, if that can be had at once.

    Called on the application's thread: on ours it would wait for the module lock, and
    dictConfig would wait for it in turn, each time that one comes after little.
    """
    lock = getattr(logging, "_lock", None)
    if lock is None or not lock.acquire(blocking=False):
        return
    try:
        for name in _URLLIB3_LOGGERS:
            logging.getLogger(name).isEnabledFor(logging.DEBUG)
    finally:
        lock.release()


def expect_end_of_child() -> None:
    """See to it that a `multiprocessing` child closes its handlers.

    Its end runs neither atexit nor logging.shutdown up to Python 3.12, only what is
    registered here. Called with the first record of a process.
    """
    if _process.finalizing_pid == os.getpid():
        return
    _process.finalizing_pid = os.getpid()
    process = sys.modules.get("multiprocessing.process")
    if process is None or process.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    Finalize(None, _close_all, exitpriority=100)


def when_gone(owner: object, method: Any) -> None:
    """Call *method* once *owner* has been collected.

    Weakly: its object knows on_error, which may know *owner*.
    """
    weakref.finalize(owner, _call_if_alive, weakref.WeakMethod(method)).atexit = False


def _call_if_alive(method: weakref.WeakMethod[Callable[[], object]]) -> None:
    bound = method()
    if bound is not None:
        bound()


class closing:  # noqa: N801 - reads as a statement
    """Yield the monotonic deadline of a close; at exit all of them share one budget."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began = 0.0

    def __enter__(self) -> float:
        self._began = time.monotonic()
        spent = _process.seconds_spent if _process.exiting else 0.0
        return self._began + max(0.0, self._seconds - spent)

    def __exit__(self, *exc_info: object) -> None:
        if _process.exiting:
            _process.seconds_spent += time.monotonic() - self._began


def _at_exit() -> None:
    # Runs before logging.shutdown, which was registered earlier and closes what it
    # knows: here is only said that no thread may be started from now on.
    _process.exiting = True
    for handler in live():
        handler.close_at_exit()


def _close_all() -> None:
    _process.exiting = True
    for handler in reversed(live()):
        handler.close()


def _after_fork_in_child() -> None:
    _process.watching = threading.RLock()
    _process.finalizing_pid = None
    _process.exiting = False
    _process.seconds_spent = 0.0
    _diagnostics.reset()
    _diagnostics.forget_other_threads()
    for handler in live():
        handler.reset_after_fork()
