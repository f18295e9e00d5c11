"""What is new, told as it comes: server-sent events.

One waiter per stream, woken by the writer after a commit and at most four times a
second. It reads what changed since the last message, so a slow reader gets fewer and
larger messages, and one that does not read at all is cut off by the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Dict, Set

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from . import views
from .answers import HEADERS

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from .questions import Following
    from .store import EventStore

MAX_STREAMS = 100
"""Readers that can follow at the same time."""

PAUSE = 0.25
"""Seconds between two messages to one reader."""

ALIVE = 15.0
"""Seconds after which a reader is told that nothing is new, so that both sides, and
what is between them, know that the connection lives."""


class Followers:
    """Serve the streams of one store."""

    def __init__(
        self, store: EventStore, *, pause: float = PAUSE, alive: float = ALIVE
    ) -> None:
        self._store = store
        self._pause = pause
        self._alive = alive
        self._waiting: Set[asyncio.Event] = set()
        self._ended = False

    def end(self) -> None:
        """Let every stream end; to be called on the event loop."""
        self._ended = True
        for news in self._waiting:
            news.set()

    def answer(self, asked: Following) -> Response:
        """Answer a stream, or 503 where there are too many."""
        if len(self._waiting) >= MAX_STREAMS:
            message = "too many follow already, try again later"
            raise HTTPException(503, message, {"Retry-After": "5"})
        news = asyncio.Event()
        self._waiting.add(news)
        return _Stream(self._messages(asked, news), lambda: self._waiting.discard(news))

    async def _messages(
        self, asked: Following, news: asyncio.Event
    ) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(news.set)

        end = self._store.when_stored(tell)
        try:
            name, newest = await run_in_threadpool(self._store.read, views.database)
            after = newest if asked.after is None else asked.after
            # The head goes out at once, so that the reader knows it is connected, and
            # to what: after another database it would wait for numbers that have been.
            yield ": following\n\n"
            yield _message("database", after, {"database": name, "revision": newest})
            while not self._ended:
                changed = await self._changes(asked, after)
                after = changed.revision
                if changed.told:
                    told = {asked.of: changed.told, "revision": after}
                    yield _message(asked.of, after, told)
                if not (changed.more or await self._is_news(news)):
                    yield ": alive\n\n"
        finally:
            end()

    async def _changes(self, asked: Following, after: int) -> views.Changes:
        return await run_in_threadpool(self._store.read, views.changes, asked, after)

    async def _is_news(self, news: asyncio.Event) -> bool:
        """Wait for news, and tell whether there are any before long."""
        await asyncio.sleep(self._pause)
        try:
            await asyncio.wait_for(news.wait(), self._alive)
        except asyncio.TimeoutError:
            return False
        news.clear()
        return True


class _Stream(StreamingResponse):
    """Send messages, and say when that is over, whether it began or not."""

    def __init__(self, messages: AsyncIterator[str], over: Callable[[], None]) -> None:
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        super().__init__(messages, headers=headers, media_type="text/event-stream")
        self._over = over

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._over()


def _message(event: str, number: int, data: Dict[str, Any]) -> str:
    return f"event: {event}\nid: {number}\ndata: {json.dumps(data)}\n\n"
