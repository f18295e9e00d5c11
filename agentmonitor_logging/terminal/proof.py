"""One event, sent by a handler as applications use it, and read back."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import time
from typing import Callable, Iterator, Optional

from agentmonitor_logging import AgentMonitorHandler
from agentmonitor_logging._config import Config
from agentmonitor_logging._diagnostics import LOGGER_NAME
from agentmonitor_logging._ids import long_id
from agentmonitor_logging.exceptions import APIError, AuthenticationError

from .findings import Finding, note, ok, problem
from .settings import AGENT
from .source import Source, SourceError

EVENT_TYPE = "agentmonitor.check"
TIMEOUT = 10.0
"""Seconds for the event to be acknowledged. A server that needs longer is too slow for
the end of a program, which has 3."""
PAUSES = (0.0, 0.3, 1.0)
"""Seconds before each look for it: a collector answers when it has it, another server
may need a moment."""
_ROUND = 0.1


class Proof:
    """Send one event where *config* says, and ask for it."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._config = config
        self._clock = clock
        self._sleep = sleep
        self._trace_id = long_id()
        self.errors: queue.SimpleQueue[Exception] = queue.SimpleQueue()

    def steps(self, *, reads: bool) -> Iterator[Finding]:
        """Yield whether it is acknowledged and, if *reads*, whether it is there."""
        sent = self._sent()
        yield sent
        if sent.is_problem:
            return
        if reads:
            yield self._read_back()
        else:
            yield note(
                "arrival", "the server's word is all there is: it cannot be read"
            )

    def _sent(self) -> Finding:
        with _quiet(), self._handler() as handler:
            handler.handle(self._record())
            error = self._outcome(handler)
            delivered = handler.stats().delivered
            requests = handler.stats().requests
        if delivered:
            where = self._config.api_url
            return ok("delivery", f"one event of type {EVENT_TYPE} is taken by {where}")
        if error is not None:
            return problem("delivery", f"not taken: {error}", _hint_for(error))
        tries = "1 try" if requests == 1 else f"{requests} tries"
        text = f"not acknowledged within {TIMEOUT:g} s ({tries})"
        return problem(
            "delivery", text, "the server is too slow, or something before it"
        )

    def _outcome(self, handler: AgentMonitorHandler) -> Optional[Exception]:
        """Wait until the event is delivered, or trouble is told of."""
        until = self._clock() + TIMEOUT
        while self._clock() < until:
            if handler.flush(_ROUND):
                break
            with contextlib.suppress(queue.Empty):
                return self.errors.get_nowait()
        with contextlib.suppress(queue.Empty):
            return self.errors.get_nowait()
        return None

    @contextlib.contextmanager
    def _handler(self) -> Iterator[AgentMonitorHandler]:
        config = self._config
        with _without("AGENTMONITOR_SPOOL"):
            # A spool would send what others have left there.
            handler = AgentMonitorHandler(
                api_url=config.api_url,
                api_key=config.api_key,
                allow_http=config.allow_http,
                agent_id=AGENT,
                enabled=True,
                batch_size=1,
                flush_interval=0.1,
                retry_attempts=0,
                timeout=TIMEOUT,
                compression=config.compression,
                shutdown_timeout=0.5,
                on_error=self.errors.put,
            )
        try:
            yield handler
        finally:
            handler.shutdown()

    def _record(self) -> logging.LogRecord:
        fields = {
            "name": AGENT,
            "msg": "agentmonitor check: does this arrive?",
            "levelno": logging.INFO,
            "levelname": "INFO",
            "event_type": EVENT_TYPE,
            "trace_id": self._trace_id,
        }
        return logging.makeLogRecord(fields)

    def _read_back(self) -> Finding:
        source = Source(self._config.api_url, self._config.api_key)
        try:
            with contextlib.closing(source):
                found = any(self._looks(source))
        except SourceError as error:
            hint = "it was taken, so look for it in the collector's page"
            return problem("arrival", f"it cannot be read back: {error}", hint)
        if found:
            return ok("arrival", "and is there: the collector gives it back")
        text = "it was taken, and is not there"
        hint = "look into the log of the collector, and whether its disk is full"
        return problem("arrival", text, hint)

    def _looks(self, source: Source) -> Iterator[bool]:
        for pause in PAUSES:
            self._sleep(pause)
            yield bool(source.page({"trace_id": self._trace_id}, limit=1).events)


def _hint_for(error: Exception) -> str:
    if isinstance(error, AuthenticationError):
        return "compare AGENTMONITOR_API_KEY with the one the server was given"
    status = error.status if isinstance(error, APIError) else None
    if status in (404, 405):
        return (
            "api_url must end where /events/batch begins, as in"
            " http://127.0.0.1:3002/api/v1"
        )
    if status == 415:
        return "the server takes no compression: leave that option out"
    if status is not None and 300 <= status < 400:
        return "set api_url to where it redirects to; a redirect is never followed"
    if status is not None and 400 <= status < 500:
        return "this server does not take events as these are: is it the right one?"
    return "look into the log of the server, or of the proxy before it"


@contextlib.contextmanager
def _without(variable: str) -> Iterator[None]:
    value = os.environ.pop(variable, None)
    try:
        yield
    finally:
        if value is not None:
            os.environ[variable] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Have the package say nothing: what it would say is what we find."""
    logger = logging.getLogger(LOGGER_NAME)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
