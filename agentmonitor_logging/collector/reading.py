"""The answers to readers: each question checked here, and read on a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, List, Optional, Tuple, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Route

from . import (
    questions,
    sums,
    views,
)
from .answers import event_answer, json_answer, list_answer, page_answer
from .following import Followers
from .names import NAME
from .openapi import document
from .wanted import Wanted, checked, cursor_after, wanted_from

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .access import KeyCheck
    from .store import EventStore

_LARGEST = 2**63 - 1

T = TypeVar("T")


class Readers:
    """Answer what reads from one store."""

    def __init__(self, store: EventStore, key: KeyCheck) -> None:
        self._store = store
        self._key = key
        self.followers = Followers(store)

    def routes(self, api: str) -> List[Route]:
        """Return the routes below the path *api*."""
        answers = {
            "/events": self.events,
            "/events/{id:int}": self.event,
            "/traces": self.traces,
            f"/traces/{NAME}": self.trace,
            "/sessions": self.sessions,
            f"/sessions/{NAME}": self.session,
            "/stats": self.stats,
            "/stream": self.stream,
            "/openapi.json": self.openapi,
        }
        return [
            Route(api + path, answer, methods=["GET"])
            for path, answer in answers.items()
        ]

    async def events(self, request: Request) -> Response:
        """Read a page of events, newest first."""
        wanted = wanted_from(self._asked(request))
        return await run_in_threadpool(self._page, wanted)

    async def event(self, request: Request) -> Response:
        """Read one whole event."""
        checked(self._asked(request), ())
        number = request.path_params["id"]
        found = None
        if number <= _LARGEST:
            found = await self._read(views.event, number)
        return event_answer(_there(found, "event"))

    async def traces(self, request: Request) -> Response:
        """Read a page of traces, newest first."""
        asked = questions.of_traces(self._asked(request))
        return json_answer(await self._read(views.trace_list, asked))

    async def trace(self, request: Request) -> Response:
        """Read a trace and its spans."""
        checked(self._asked(request), ())
        found = await self._read(views.trace, request.path_params["id"])
        return json_answer(_there(found, "trace"))

    async def sessions(self, request: Request) -> Response:
        """Read a page of sessions, newest first."""
        asked = questions.of_sessions(self._asked(request))
        return json_answer(await self._read(views.session_list, asked))

    async def session(self, request: Request) -> Response:
        """Read a session and a page of its traces, oldest first."""
        session_id = request.path_params["id"]
        asked = questions.of_turns(session_id, self._asked(request))
        found = await self._read(views.session, session_id)
        session = _there(found, "session")
        turns, cursor = await self._read(views.turns, asked)
        return list_answer(
            "turns", map(views.turn_text, turns), cursor, {"session": session}
        )

    async def stats(self, request: Request) -> Response:
        """Read the overview of a span of time."""
        span = questions.of_stats(self._asked(request))
        return json_answer(await self._read(sums.stats, span))

    async def stream(self, request: Request) -> Response:
        """Tell what is new as it comes."""
        last = request.headers.get("last-event-id")
        asked = questions.of_stream(self._asked(request), last)
        if request.method == "HEAD":
            return json_answer(None)  # a stream without messages would never end
        return self.followers.answer(asked)

    async def openapi(self, request: Request) -> Response:
        """Describe all of this."""
        self._key.reader(request)
        return json_answer(document())

    def _asked(self, request: Request) -> List[Tuple[str, str]]:
        """Return the query of somebody who may read."""
        self._key.reader(request)
        return request.query_params.multi_items()

    async def _read(self, question: Callable[..., T], *given: Any) -> T:
        return await run_in_threadpool(self._store.read, question, *given)

    def _page(self, wanted: Wanted) -> Response:
        page = self._store.page(
            wanted.filters, limit=wanted.limit, before=wanted.before
        )
        return page_answer(page, cursor_after(page))


def _there(found: Optional[T], what: str) -> T:
    if found is None:
        raise HTTPException(404, f"there is no such {what}")
    return found
