"""Flushes that coroutines wait for, on a few threads for any number of them.

Not in the executor of their event loop: that is the application's, whose jobs may take
all of its threads, and the end of the loop waits for each of them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, List, NamedTuple, Optional

from . import _diagnostics
from ._process import started
from ._stats import FlushResult

if TYPE_CHECKING:
    import asyncio

MAX_THREADS = 4
"""How many flushes of a handler are under way at once: one that waits for a server that
hangs must not keep the next one from trying. Those beyond share the next."""


class _Request(NamedTuple):
    flush: Callable[[float], FlushResult]
    deadline: float
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Optional[FlushResult]]


class Flusher:
    """Flush one handler for whichever coroutines ask for it."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._asked: List[_Request] = []
        self._running = 0

    async def flush(
        self, flush: Callable[[float], FlushResult], seconds: float
    ) -> Optional[FlushResult]:
        """Return what *flush* returns for *seconds*, or None if it is not over by then.

        Only where no thread can start, as at exit, the event loop is blocked.
        """
        import asyncio  # costs as much as the rest of the package

        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Optional[FlushResult]] = loop.create_future()
        request = _Request(flush, time.monotonic() + seconds, loop, answer)
        if not self._is_taken_on(request):
            return flush(seconds)
        await asyncio.wait((answer,), timeout=seconds)
        return answer.result() if answer.done() else None

    def _is_taken_on(self, request: _Request) -> bool:
        with self._changing:
            self._asked.append(request)
            if self._running == MAX_THREADS:
                return True
            self._running += 1
        if started(self._work, "agentmonitor-flusher") is not None:
            return True
        with self._changing:
            self._running -= 1
            if self._running or request not in self._asked:
                return True  # by another thread
            self._asked.remove(request)
        return False

    def _work(self) -> None:
        while True:
            with self._changing:
                asked, self._asked = self._asked, []
                if not asked:
                    self._running -= 1
                    return
            _answer(asked)


def _answer(asked: List[_Request]) -> None:
    result = None
    deadline = max(request.deadline for request in asked)
    try:
        result = asked[0].flush(max(0.0, deadline - time.monotonic()))
    except BaseException as error:  # such as MemoryError: nobody shall wait for us
        _diagnostics.note_swallowed(error, "a flush")
    for request in asked:
        with contextlib.suppress(RuntimeError):  # its loop is closed
            request.loop.call_soon_threadsafe(_settle, request.answer, result)


def _settle(answer: asyncio.Future[Any], result: Optional[FlushResult]) -> None:
    if not answer.done():
        answer.set_result(result)
