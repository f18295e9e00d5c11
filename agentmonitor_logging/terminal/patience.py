"""What must not last for ever: a name look-up, an application's import, all of it."""

from __future__ import annotations

import os
import sys
import threading
from typing import Callable, List, Optional, TypeVar

from .findings import Report, problem

_GRACE = 10.0
"""Seconds that an application's own threads and exit functions get at the end."""

_HINT = (
    "what is imported must not run the program: put its start below"
    " `if __name__ == '__main__':`"
)
_HINTS = {"app": _HINT, "config": _HINT}

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> Optional[T]:
    """Return what *call* does, or None if it takes longer; raise what it raises.

    It then goes on, on a thread that nobody waits for: a name look-up can be neither
    interrupted nor bounded.
    """
    results: List[T] = []
    errors: List[BaseException] = []

    def work() -> None:
        try:
            results.append(call())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="agentmonitor-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    return results[0] if results else None


class Watchdog:
    """End the process after *seconds*, whatever holds it up, and say what did."""

    def __init__(self, seconds: float, report: Report) -> None:
        self._seconds = seconds
        self._report = report
        self._ended = threading.Event()
        self._start(self._watch)

    def leave(self, code: int) -> None:
        """Exit with *code*, though threads of an application may not want to end."""
        self._ended.set()
        self._start(lambda: self._leave_late(code))
        sys.exit(code)

    def _watch(self) -> None:
        if self._ended.wait(self._seconds):
            return
        step = self._report.step
        text = f"has not ended within {self._seconds:g} s"
        late = problem(step, text, _HINTS.get(step, "--timeout gives it longer"))
        try:
            self._report.add([late])
        finally:
            os._exit(1)

    @staticmethod
    def _leave_late(code: int) -> None:
        threading.Event().wait(_GRACE)
        os._exit(code)

    @staticmethod
    def _start(target: Callable[[], object]) -> None:
        threading.Thread(target=target, name="agentmonitor-check", daemon=True).start()
