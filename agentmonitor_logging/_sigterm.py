"""SIGTERM, for handlers that ask for it: deliver first, and then end by the signal.

Separate, because everything here happens in the middle of whatever the main thread was
doing. It may hold a lock that delivery needs, so it does not deliver itself: another
thread does, a third ends the process in any case, and the main thread stands still
as soon as it is out of `logging` and of this package.

As every signal handler of Python's it has to wait for the main thread to execute
Python: one that is in an extension module for long is asked to end only after it.
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import time
import weakref
from types import FrameType
from typing import Any, Callable, List, Optional, Protocol

from . import _diagnostics
from ._stats import FlushResult, Stats, total

GRACE = 0.25
"""Seconds beyond `shutdown_timeout` after which the process ends, delivered or not."""

_LOOK_UP = 0.01

_OURS = __name__.rpartition(".")[0]
_AROUND_THE_PROGRAM = (
    *("tracking", "_calls", "_streams", "_suspended", "_open_event", "cli", "demo"),
)
"""Modules that call the application and hold no lock: it may never leave them."""
_LOCKING = ("start", "enumerate", "active_count")
"""Functions of `threading` that hold a lock which every new thread needs."""


class Armed(Protocol):
    """What a handler with the option `flush_on_sigterm` offers."""

    _config: Any
    _closed: bool

    def flush(self, timeout: Optional[float] = None) -> FlushResult:
        """Deliver what was accepted up to now."""

    def stats(self) -> Stats:
        """Return what became of the events."""

    def shutdown(self, timeout: Optional[float] = None) -> FlushResult:
        """Deliver in this thread, if need be."""

    def give_up(self, when: str) -> None:
        """Let go of all that is left."""


class _Signal:
    """Hold what is true of the whole process."""

    def __init__(self) -> None:
        self.armed: List[weakref.ref[Armed]] = []
        self.ends_with_close = False


_signal = _Signal()


def arm(handler: Any) -> None:
    """Have SIGTERM wait for *handler*, if that has the option `flush_on_sigterm`.

    Only where SIGTERM would end the process at once: a disposition that somebody
    chose stays, and so does any when this is not the main thread.
    """
    config = getattr(handler, "_config", None)
    if config is None or not (config.enabled and config.flush_on_sigterm):
        return
    disposition = signal.getsignal(signal.SIGTERM)
    if disposition not in (signal.SIG_DFL, _on_sigterm):
        why = "the program handles SIGTERM itself"
    elif disposition is _on_sigterm or _dispose(_on_sigterm):
        _signal.armed.append(weakref.ref(handler))
        return
    else:
        why = "this is not the main thread"
    _diagnostics.debug(f"flush_on_sigterm has no effect: {why}")


def disarm_if_unused() -> None:
    """Restore the default once no handler with the option is open."""
    if not _signal.armed or any(not handler._closed for handler in _armed_handlers()):
        return
    if _signal.ends_with_close:
        _end()
    if signal.getsignal(signal.SIGTERM) is not _on_sigterm or _dispose(signal.SIG_DFL):
        del _signal.armed[:]


def secure(handlers: List[Armed], deadline: float) -> None:
    """Wait until what *handlers* have accepted by now is at risk no more.

    It is not once its fate is known, or once it is on disk.
    """
    mark = total(handler.stats() for handler in handlers).accepted
    for handler in handlers:
        handler.flush(0.0)
    while time.monotonic() < deadline:
        stats = total(handler.stats() for handler in handlers)
        if stats.accepted - stats.pending + stats.spooled >= mark:
            return
        time.sleep(_LOOK_UP)


def _on_sigterm(_: int, frame: Optional[FrameType]) -> None:
    # From here on another SIGTERM ends the process at once, whatever happens below.
    _dispose(signal.SIG_DFL)
    handlers = _armed_handlers()
    seconds = [handler._config.shutdown_timeout for handler in handlers]
    deadline = time.monotonic() + max(seconds, default=0.0)
    locking = _locking(frame)
    _started(_end_at, deadline + GRACE)
    if _started(_secure_and_end, handlers, deadline):
        _stand_still(locking)
    elif locking is None:
        _close_and_end(handlers, deadline)
    else:
        # No thread can start at exit, and it is a close of ours that is under way.
        _signal.ends_with_close = True


def _secure_and_end(handlers: List[Armed], deadline: float) -> None:
    try:
        with _diagnostics.own_work():
            secure(handlers, deadline)
            for handler in handlers:
                handler.give_up("at SIGTERM")
    finally:
        _end()


def _close_and_end(handlers: List[Armed], deadline: float) -> None:
    try:
        for handler in handlers:
            handler.shutdown(max(0.0, deadline - time.monotonic()))
    finally:
        _end()


def _end_at(deadline: float) -> None:
    time.sleep(max(0.0, deadline - time.monotonic()))
    _end()


def _end() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    # The first process of a container is not ended by a signal that it does not
    # handle, nor is one in which all threads block it.
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)


def _stand_still(locking: Optional[FrameType]) -> None:
    """Let the main thread go no further than to the end of *locking*.

    With a trace function, as a debugger does: nothing else is called when a function
    returns to the application.
    """

    def stop_at_return(_: FrameType, event: str, __: Any) -> Any:
        while event == "return":
            time.sleep(GRACE)
        return stop_at_return

    if locking is not None:
        locking.f_trace = stop_at_return
        sys.settrace(lambda *_: None)
        return
    while True:
        time.sleep(GRACE)


def _locking(frame: Optional[FrameType]) -> Optional[FrameType]:
    """Return the outermost frame that may hold a lock which delivery needs."""
    found = None
    while frame is not None:
        if _may_lock(frame):
            found = frame
        frame = frame.f_back
    return found


def _may_lock(frame: FrameType) -> bool:
    package, _, module = str(frame.f_globals.get("__name__")).partition(".")
    if package == _OURS:
        return module.partition(".")[0] not in _AROUND_THE_PROGRAM
    return package == "logging" or (
        package == "threading" and frame.f_code.co_name in _LOCKING
    )


def _armed_handlers() -> List[Armed]:
    handlers = (ref() for ref in tuple(_signal.armed))
    return [handler for handler in handlers if handler is not None]


def _dispose(disposition: Any) -> bool:
    try:
        signal.signal(signal.SIGTERM, disposition)
    except ValueError:
        # Not the main thread, or not of the main interpreter.
        return False
    return True


def _started(work: Callable[..., None], *args: object) -> bool:
    try:
        # Not a `threading.Thread`, whose start takes locks and waits.
        _thread.start_new_thread(work, args)
    except RuntimeError:
        # The interpreter shuts down.
        return False
    return True
