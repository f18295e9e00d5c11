"""What happens to the process: it forks, it ends.

Every live handler is known here, weakly, so that a child starts afresh and the end
finds all of them. The hooks are installed with the first handler, not at import.
"""

from __future__ import annotations

import _thread
import atexit
import contextlib
import logging
import os
import queue
import sys
import threading
import time
import weakref
from typing import Any, Callable, Iterator, List, Optional, Protocol, Set

from . import _diagnostics, _sigterm
from ._config import MAX_SECONDS

LOCKED_PATIENCE = 0.25
"""Seconds that a closing thread waits for our threads while it holds the module lock
of logging: they may be waiting for that very lock, through a logger whose level is
not cached, and would wait as long as we do."""

OUR_THREADS = "agentmonitor-"
"""How the names of our threads begin."""

_URLLIB3_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
"""Those that ask for their level with each request."""


forks = 0
"""How many forks lie between this process and the one that imported the package.

Who finds it changed is a child in the middle of what its parent will finish."""


class Watched(Protocol):
    """What a handler offers to the process hooks."""

    def reset_after_fork(self) -> None:
        """Drop what belongs to the parent."""

    def hurry(self, timeout: Optional[float]) -> None:
        """Have what is there delivered before it is closed, without waiting for it."""

    def close_at_exit(self) -> None:
        """Deliver what logging.shutdown would not reach."""

    def close(self) -> None:
        """Deliver what is left and end."""


class _Spent:
    """Add up the seconds in which anything closed, however many did at once."""

    def __init__(self) -> None:
        self._seconds = self._began = 0.0
        self._closing = 0
        self._changing = threading.RLock()

    def begin(self) -> float:
        """Take note of a close, and return the seconds that were spent before it."""
        with self._changing:
            now = time.monotonic()
            if not self._closing:
                self._began = now
            self._closing += 1
            return self._seconds + now - self._began

    def end(self) -> None:
        """Take note that it is over."""
        with self._changing:
            self._closing -= 1
            if not self._closing:
                self._seconds += time.monotonic() - self._began


class _Process:
    """Hold what is true of the whole process."""

    def __init__(self) -> None:
        # In order of creation: a dict, where WeakSet has none.
        self.watched: List[weakref.ref[Watched]] = []
        self.hooked = False
        self.finalizing_pid: Optional[int] = None
        self.asked_at_start: Set[str] = set()
        """The modules that will tell when a child of theirs gets to its work."""
        self.exiting = False
        self.spent_at_exit = _Spent()
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
    _sigterm.arm(handler)


def live() -> List[Watched]:
    """Return the handlers that live, in order of creation."""
    handlers = (ref() for ref in tuple(_process.watched))
    return [handler for handler in handlers if handler is not None]


def hurry_all(timeout: Optional[float] = None) -> None:
    """Have all handlers deliver side by side, before they are closed in turn.

    They share the time there is, *timeout* seconds or what their options say: a server
    that hangs takes it from no other.
    """
    for handler in live():
        handler.hurry(timeout)


def is_exiting() -> bool:
    """Tell whether the interpreter is on its way out."""
    return _process.exiting


def holds_logging_lock() -> bool:
    """Tell whether this thread is inside of dictConfig or its like."""
    return _holds(getattr(logging, "_lock", None))


def without_logging_lock(close: Callable[[], None]) -> None:
    """Do *close*, and wait for it for a moment only if this is inside of dictConfig.

    There our threads, or what the application does on them, may wait for the lock that
    this thread holds; and were it to do their work, nothing would bound what it calls:
    a redactor, `on_error`, the look-up of a name. So another thread closes as ever, and
    goes on after us. It knows its handler: that is still there to be closed at exit.
    """
    if holds_logging_lock() and not sys.is_finalizing():
        over: queue.SimpleQueue[None] = queue.SimpleQueue()

        def close_there() -> None:
            try:
                close()
            finally:
                over.put(None)

        try:
            _thread.start_new_thread(_have_done, (_diagnostics.insistent(close_there),))
        except RuntimeError:
            pass  # see `started`: all of it is left to us
        else:
            with contextlib.suppress(queue.Empty):
                over.get(timeout=LOCKED_PATIENCE)
            return
    close()


def _have_done(close: Callable[[], None]) -> None:
    # Not by who holds the lock: the start of a `threading.Thread` waits until that has
    # begun, and it may first collect a handler, for which logging takes this lock.
    if started(close, "agentmonitor-closer") is None:
        close()


def is_closing(handler: logging.Handler) -> bool:
    """Tell whether this thread is closing *handler*, or reconfiguring all of them.

    `logging.shutdown` flushes a handler under its lock, and closes it right after.
    """
    return holds_logging_lock() or _holds(handler.lock)


def forget(close: Callable[[], None]) -> None:
    """Do what *close* of `logging.Handler` does: have logging forget the handler.

    It takes the module lock. Whoever holds that is reconfiguring, forgets all handlers
    himself, and may be waiting for the lock of this one, which `logging.shutdown` holds
    on our thread: so it is not waited for long.
    """
    lock = getattr(logging, "_lock", None)
    if lock is None:
        close()
    elif lock.acquire(timeout=LOCKED_PATIENCE):
        try:
            close()
        finally:
            lock.release()


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
        # In a child forked by a signal handler right here, logging has made it anew.
        with contextlib.suppress(RuntimeError):
            lock.release()


def started(work: Callable[[], None], name: str) -> Optional[threading.Thread]:
    """Start a daemon thread and return it; None where none can start."""
    if sys.is_finalizing():
        # It would never run, and up to Python 3.11 its start waits until it does.
        return None
    try:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
    except RuntimeError:
        # The interpreter shuts down, or allows no threads (a subinterpreter).
        return None
    return thread


def expect_end_of_child() -> None:
    """See to it that a child closes its handlers where its end runs no atexit.

    Called with the first record of a process.
    """
    if _process.finalizing_pid == os.getpid():
        return
    _process.finalizing_pid = os.getpid()
    try:
        _expect_end_of_forking_thread()
        _expect_end_of_multiprocessing()
        _expect_end_of_celery()
    except Exception as error:  # others' modules: nothing reaches the application
        _diagnostics.note_swallowed(error, "waiting for the end of a child")


def _expect_end_of_forking_thread() -> None:
    # A child forked by another than the main thread ends when its last thread does:
    # with a daemon of ours, never.
    if not isinstance(threading.main_thread(), threading._MainThread):  # type: ignore[attr-defined]
        started(_close_after_main_thread, "agentmonitor-watcher")


def _expect_end_of_multiprocessing() -> None:
    # Up to Python 3.12 its end runs nothing but what is registered here.
    for name in ("multiprocessing", "billiard"):
        process = sys.modules.get(f"{name}.process")
        util = sys.modules.get(f"{name}.util")
        if process is None or util is None:
            continue  # no child of it, which has both
        if process.current_process()._parent_pid is not None:
            util.Finalize(None, _close_all, exitpriority=100)
        elif name not in _process.asked_at_start:
            # It may be a child that still imports the program: it forgets what it has
            # registered, and knows whose child it is, when it gets to its work.
            _process.asked_at_start.add(name)
            util.register_after_fork(_process, _expect_anew)


def _expect_anew(_: _Process) -> None:
    if _process.finalizing_pid == os.getpid():
        _process.finalizing_pid = None
        expect_end_of_child()


def _expect_end_of_celery() -> None:
    # A process of its pool runs nothing at all but the receivers of this signal.
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(_close_all, dispatch_uid=__name__)


def close_before_queues(handler: Watched) -> None:
    """Close *handler* at exit before `multiprocessing` closes the queues it made."""
    from multiprocessing.util import Finalize

    Finalize(None, _close_at_exit, (weakref.ref(handler),), exitpriority=100)


def _close_at_exit(ref: weakref.ref[Watched]) -> None:
    handler = ref()
    if handler is not None:
        _process.exiting = True
        hurry_all()
        handler.close()


def when_gone(owner: object, method: Any) -> None:
    """Call *method* once *owner* has been collected.

    Weakly: its object knows on_error, which may know *owner*.
    """
    # Not a WeakMethod: the interpreter's end may find it half gone, and says so.
    ref, function = weakref.ref(method.__self__), method.__func__
    weakref.finalize(owner, _call_if_alive, ref, function).atexit = False


def _call_if_alive(ref: weakref.ref[Any], function: Callable[[Any], object], /) -> None:
    held = ref()
    if held is not None:
        function(held)


def bounded(seconds: float) -> float:
    """Return *seconds* as what can be waited for; less than nothing is nothing."""
    return float(min(seconds, MAX_SECONDS)) if seconds > 0 else 0.0


@contextlib.contextmanager
def closing(seconds: float) -> Iterator[float]:
    """Yield the monotonic deadline of a close, one for all of those at exit.

    Once the interpreter goes down there is none: nothing that needs an import works.
    """
    spent = _process.spent_at_exit if _process.exiting else _Spent()
    left = max(0.0, seconds - spent.begin())
    try:
        yield time.monotonic() + (0.0 if sys.is_finalizing() else left)
    finally:
        spent.end()
        _sigterm.disarm_if_unused()


def _at_exit() -> None:
    # Runs before logging.shutdown, which was registered earlier and closes what it
    # knows: here is only said that no thread may be started from now on.
    _process.exiting = True
    hurry_all()
    for handler in live():
        handler.close_at_exit()


def _close_after_main_thread() -> None:
    try:
        threading.main_thread().join()
    except (AssertionError, RuntimeError):  # not started by threading: a dummy
        return
    _close_all()
    if all(thread.name.startswith(OUR_THREADS) for thread in threading.enumerate()):
        # As at any other end, daemons that still wait for a server do not count.
        os._exit(0)


def _close_all(**_: object) -> None:
    _process.exiting = True
    hurry_all()
    for handler in reversed(live()):
        handler.close()


def _after_fork_in_child() -> None:
    global forks  # noqa: PLW0603 - read for every record, where an attribute costs
    forks += 1
    _process.watching = threading.RLock()
    _process.finalizing_pid = None
    _process.exiting = False
    _process.spent_at_exit = _Spent()
    _diagnostics.reset()
    _diagnostics.forget_work()
    thread = threading.main_thread()
    if thread.name.startswith(OUR_THREADS):
        # A redactor or the like forked: what the child logs on it is no echo.
        thread.name = "MainThread"
    for handler in live():
        handler.reset_after_fork()
