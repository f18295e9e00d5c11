"""What the package says about itself: one line per problem and interval.

Separate, because everything may report a problem and nothing may flood: a dead
server must cost one line in 30 s, however many records fail meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Callable, Dict, List, Optional, Set

LOGGER_NAME = "agentmonitor_logging"
"""The one logger on which the package speaks of itself."""

REPORT_INTERVAL = 30.0
"""Seconds between two lines about the same problem (design.md, section 5)."""


class Reporter:
    """Log each problem at most once per *interval* seconds, with a count."""

    def __init__(
        self,
        interval: float = REPORT_INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interval = interval
        self._clock = clock
        self._not_before: Dict[str, float] = {}
        self._untold: Dict[str, int] = {}
        # Fetched once: logging.getLogger() takes the module lock of logging, which
        # dictConfig holds while it waits for our threads to end.
        self._logger = logging.getLogger(LOGGER_NAME)

    def report(self, problem: str, message: str, level: int = logging.WARNING) -> bool:
        """Log *message*, unless the same *problem* was told a short while ago.

        Returns whether the line was written. Never raises: a broken handler of the
        application must not end the thread that reports.
        """
        now = self._clock()
        if now < self._not_before.get(problem, now):
            self._untold[problem] = self._untold.get(problem, 0) + 1
            return False
        self._not_before[problem] = now + self._interval
        untold = self._untold.pop(problem, 0)
        if untold:
            message = f"{message} ({untold} more of these were not logged)"
        try:
            with own_work():
                self._log(level, message)
        except Exception:  # see the docstring
            return False
        return True

    def _log(self, level: int, message: str) -> None:
        self._logger.log(level, "agentmonitor: %s", message)
        last_resort = logging.lastResort
        if last_resort is None or level < last_resort.level or self._is_heard():
            return
        # Our own handler on the root logger passes this line over, and because it is
        # there, logging does not turn to its handler of last resort.
        record = self._logger.makeRecord(
            LOGGER_NAME, level, __file__, 0, "agentmonitor: %s", (message,), None
        )
        last_resort.handle(record)

    def _is_heard(self) -> bool:
        """Tell whether a handler other than ours, or the last resort, got the line."""
        if self._logger.disabled:
            return threading.get_ident() not in _insistent
        logger: Optional[logging.Logger] = self._logger
        ours = False
        while logger is not None:
            for handler in logger.handlers:
                if not getattr(handler, "ships_events", False):
                    return True
                ours = True
            logger = logger.parent if logger.propagate else None
        return not ours or not self._logger.isEnabledFor(logging.WARNING)

    def debug(self, message: str) -> None:
        """Log *message* at DEBUG, every time: the option `debug` asked for it."""
        try:
            with own_work():
                self._logger.debug("agentmonitor: %s", message)
        except Exception:  # as above
            return

    def reset(self) -> None:
        """Forget what was told, for a child process or a test."""
        self._not_before.clear()
        self._untold.clear()


class own_work:  # noqa: N801 - reads as a statement
    """Mark what this thread does as the package's own.

    Records made meanwhile, by us or by requests and urllib3 for us, never come back
    into our queues. The mark is the thread's, so the application's own use of
    urllib3 is monitored as ever.
    """

    def __enter__(self) -> None:
        thread = threading.get_ident()
        own_work_of[thread] = own_work_of.get(thread, 0) + 1

    def __exit__(self, *exc_info: object) -> None:
        thread = threading.get_ident()
        depth = own_work_of.pop(thread, 1) - 1
        if depth:
            own_work_of[thread] = depth


own_work_of: Dict[int, int] = {}
"""How deep in our own work each thread is. A dict, not a `threading.local`, because
every record asks and this answers in a third of the time."""


def is_own_work() -> bool:
    """Tell whether this thread is inside of our own work."""
    return threading.get_ident() in own_work_of


def forget_work() -> None:
    """Forget, in a child process, what the threads of its parent were at.

    Their numbers come again, and a thread of ours that forked is the child's own now.
    """
    own_work_of.clear()
    _insistent.clear()


def insistent(work: Callable[[], None]) -> Callable[[], None]:
    """Return *work* such that what it says is heard if it would be heard now.

    dictConfig disables each logger that it does not name, ours too, unless told not to:
    perhaps before another thread says what became of the handlers that it replaces.
    """
    if _reporter._logger.disabled:
        return work

    def insist() -> None:
        thread = threading.get_ident()
        _insistent.add(thread)
        try:
            work()
        finally:
            _insistent.discard(thread)

    return insist


_insistent: Set[int] = set()
"""The threads whose lines take the last resort where our logger is disabled."""


_reporter = Reporter()
report = _reporter.report
debug = _reporter.debug
reset = _reporter.reset

swallowed: List[str] = []
"""The last errors of our own that were kept from the application, newest last.

Text only, so that no frame is kept alive, and bounded by `note_swallowed`. The test
suite fails a test that leaves one unasked.
"""

_MAX_SWALLOWED = 20


def note_swallowed(error: BaseException, where: str) -> None:
    """Keep *error* from the application: report it, and remember its text briefly."""
    del swallowed[:-_MAX_SWALLOWED]
    swallowed.append(f"{where}: {describe(error)}")
    report(f"bug:{where}", f"kept from the program in {where}: {describe(error)}")


def describe(error: BaseException) -> str:
    """Render *error* as "Type: text", whatever its __str__ does."""
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # somebody else's __str__
        text = "[unrepresentable]"
    return f"{name}: {text[:500]}" if text else name
