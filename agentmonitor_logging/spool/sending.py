"""Deliver what dead processes left, by the same handler that applications use.

It alone decides what is sent when, and what is tried again; here is only waited for.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Optional

from agentmonitor_logging import AgentMonitorError, AgentMonitorHandler, APIError
from agentmonitor_logging._answers import Answer, Rejected, TooLarge, outcome_of
from agentmonitor_logging._diagnostics import LOGGER_NAME
from agentmonitor_logging._process import OUR_THREADS

from .contents import Contents, count, look
from .report import counted

STALL = 60.0
"""Seconds without an event arriving after which there is no point in waiting."""
ENDING = 5.0
"""Seconds that requests under way get to end: what they carry may have arrived, and
would be sent a second time by whoever comes next."""
_LOOK_UP = 0.1
_ROUND = 0.2
"""Seconds for a flush, which adopts; longer would only hold up a Ctrl-C."""
_REQUEST = 30.0
"""Seconds for one request."""
_TELLING = 10
"""From how many refused events on, while none was taken, no more are risked: most
likely the address is that of something else."""

Progress = Callable[[int], object]
"""Told how many events are done with by now."""


@dataclass(frozen=True)
class Outcome:
    """Tell what became of what dead processes had left.

    *arrived* counts the events that the server took. *problem* says in a line how
    many others there were, and why; it is empty if there were none. *contents* is
    what the spool holds now.
    """

    arrived: int
    problem: str
    contents: Contents


class Sending:
    """Have a handler with *options* deliver what waits in *path*.

    *timeout* is for all of it, in seconds. Raises `ConfigError` at once where an
    option is wrong. `interrupt` may be called from a signal handler.
    """

    def __init__(
        self, path: Path, *, timeout: Optional[float] = None, **options: Any
    ) -> None:
        self._path = path.absolute()
        self._timeout = float("inf") if timeout is None else timeout
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._said: List[str] = []
        self._stop = ""
        self._refusal = ""
        self._handler = AgentMonitorHandler(
            spool=str(self._path),
            # Whoever wrote it has seen to the bound; here nothing must make room.
            spool_max_bytes=sys.maxsize,
            # Only for an event that tells of losses: the others keep their own.
            agent_id=os.environ.get("AGENTMONITOR_AGENT_ID") or "agentmonitor-spool",
            enabled=True,
            batch_size=100,
            flush_interval=0.1,
            timeout=min(self._timeout, _REQUEST),
            shutdown_timeout=1.0,
            on_error=self._heard,
            **options,
        )

    @property
    def api_url(self) -> str:
        """Tell where the events go."""
        return self._handler._config.api_url

    def interrupt(self) -> None:
        """End as soon as the requests under way have ended."""
        self._stop = "interrupted"
        self._news.put(None)

    def run(self, before: Contents, progress: Progress) -> Outcome:
        """Deliver what *before* shows, and tell what came of it."""
        listening = _Listening(self._said)
        logger = logging.getLogger(LOGGER_NAME)
        logger.addHandler(listening)
        logger.propagate = False
        try:
            self._deliver(progress)
        finally:
            logger.removeHandler(listening)
            logger.addHandler(logging.NullHandler())
            ended = self._end()
        return self._outcome(before, ended=ended)

    def _deliver(self, progress: Progress) -> None:
        done, moved_at = 0, time.monotonic()
        deadline = moved_at + self._timeout
        while not self._stop:
            if not self._handler.stats().pending and not self._adopts_more():
                return
            stats = self._handler.stats()
            now = time.monotonic()
            settled = stats.delivered + sum(stats.lost.values())
            if settled > done:
                done, moved_at = settled, now
                progress(done)
            if now > deadline:
                self._stop = f"{self._timeout:g} s were not enough"
            elif now > moved_at + STALL:
                self._stop = f"nothing arrived for {STALL:g} s"
            with contextlib.suppress(queue.Empty):
                self._news.get(timeout=_LOOK_UP)

    def _adopts_more(self) -> bool:
        """Adopt more, and tell whether there was, or may be, any."""
        before, began = self._handler.stats().accepted, time.monotonic()
        self._handler.flush(_ROUND)
        # It took its time, so that a slow disk may just have been at it.
        slow = time.monotonic() - began >= _ROUND
        return slow or self._handler.stats().accepted > before

    def _heard(self, error: AgentMonitorError) -> None:
        """Take in what a thread that sends says of itself, before it sends more.

        A reason to stop that came before stays the reason.
        """
        if not _is_about_events(error):
            self._stop = self._stop or str(error)
        else:
            self._refusal = str(error)
            stats = self._handler.stats()
            if not stats.delivered and sum(stats.lost.values()) >= _TELLING:
                self._stop = self._stop or f"nothing was taken: {error}"
                self._give_up()
        self._news.put(None)

    def _end(self) -> bool:
        """Begin no more requests; tell whether those under way have ended in time."""
        # Not shutdown(0): a request that began right then would get no time to end.
        self._give_up()
        self._handler._sender.stop_when_empty()
        deadline = time.monotonic() + ENDING
        ours = [t for t in threading.enumerate() if t.name.startswith(OUR_THREADS)]
        for thread in ours:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in ours)

    def _give_up(self) -> None:
        """Have no request begin any more."""
        self._handler.give_up("as that was to end")

    def _outcome(self, before: Contents, *, ended: bool) -> Outcome:
        stats = self._handler.stats()
        # A loss event that did not arrive is written to the spool, or given up.
        lost = sum(n for reason, n in stats.lost.items() if reason != "shutdown")
        after = look(self._path)
        names = {one.owner for one in before.left}
        if not ended:
            # A request hangs: what we adopted looks alive until this process ends.
            after = after._replace(
                owners=[
                    o._replace(alive=o.alive and o.owner not in names)
                    for o in after.owners
                ]
            )
        still = [one for one in after.owners if one.owner in names]
        arrived = stats.delivered
        if lost:
            # The events that tell of the loss were delivered, too.
            gone = count(before.left) - count(still)
            arrived = max(0, min(arrived, gone - lost))
        left = count(one for one in still if not one.alive)
        return Outcome(arrived, self._problem(left, lost), after)

    def _problem(self, left: int, lost: int) -> str:
        problems = []
        if left:
            reason = self._stop or self._last_said() or "they could not be adopted"
            stay = "stays" if left == 1 else "stay"
            did = f"{counted(left)} did not arrive and {stay} in {self._path}"
            problems.append(f"{did}: {reason}")
        if lost:
            reason = self._refusal or ", ".join(self._handler.stats().lost)
            problems.append(f"{counted(lost)} lost: {reason}")
        return "; ".join(problems)

    def _last_said(self) -> str:
        """Return the last that the spool itself complained about."""
        about = [said for said in self._said if said.startswith(str(self._path))]
        return about[-1] if about else ""


class _Listening(logging.Handler):
    """Keep what the package says of itself, instead of having it printed."""

    def __init__(self, said: List[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage().partition(": ")[2])


def _is_about_events(error: AgentMonitorError) -> bool:
    """Tell whether the server refuses events, while it takes others as ever."""
    if not isinstance(error, APIError) or error.status is None:
        return False
    return isinstance(outcome_of(Answer(error.status, {})), (Rejected, TooLarge))
