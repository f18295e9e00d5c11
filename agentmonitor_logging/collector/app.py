"""The HTTP face of a store, as a Starlette application.

    POST /api/v1/events/batch     {"events": [1 to 100]} → {"accepted", "duplicates"}
    POST /api/v1/events/ingest    one event              → {"accepted", "duplicates"}
    GET  /api/v1/...              what reads, see `reading` and `openapi`
    GET  /healthz
    GET  /, /traces, /sessions    the page, see `pages`

An answer of 200 means committed. Nothing here waits for SQLite on the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
from typing import TYPE_CHECKING, Any, Callable, Container, List, Optional

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from .access import LOOPBACK_HOSTS, HostCheck, KeyCheck
from .answers import (
    http_error,
    invalid_body,
    json_answer,
    unavailable,
    unexpected_error,
)
from .body import Intake, content_encoding, gunzip, read_body
from .exceptions import StoreClosedError
from .pages import page_routes, with_nowhere
from .reading import Readers
from .validation import (
    InvalidBodyError,
    Row,
    parse_json,
    rows_from_batch,
    rows_from_events,
)

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from .store import EventStore

API = "/api/v1"

MAX_BODY_BYTES = 8 * 1024 * 1024
"""A body, packed or not: eight of the largest batches our handlers send."""

BODY_TIMEOUT = 30.0
"""Seconds for a body to arrive: as long as our handlers wait for a whole answer."""

MAX_INTAKE_BYTES = 128 * 1024 * 1024
"""All bodies under way together."""

_Parse = Callable[[Any], List[Row]]


def create_app(
    store: EventStore,
    api_key: Optional[str] = None,
    *,
    hosts: Optional[Container[str]] = LOOPBACK_HOSTS,
    max_body_bytes: int = MAX_BODY_BYTES,
    body_timeout: float = BODY_TIMEOUT,
) -> Starlette:
    """Make the application that serves *store*, which stays the caller's to close.

    Without *api_key* any key of 32 characters or more may write, and anybody may
    read: for loopback only. *hosts* are the Host names answered to; None is all.
    """
    key = KeyCheck(api_key)
    endpoints = _Endpoints(store, key, max_body_bytes, body_timeout)
    readers = Readers(store, key)
    app = Starlette(
        routes=[
            Route(f"{API}/events/batch", endpoints.batch, methods=["POST"]),
            Route(f"{API}/events/ingest", endpoints.ingest, methods=["POST"]),
            *readers.routes(API),
            Route("/healthz", endpoints.health, methods=["GET"]),
            *page_routes(),
        ],
        middleware=[Middleware(HostCheck, hosts=hosts)],
        exception_handlers={
            HTTPException: http_error,
            InvalidBodyError: invalid_body,
            StoreClosedError: unavailable,
            sqlite3.Error: unavailable,
            Exception: unexpected_error,
        },
    )
    # A redirect would make our own handlers believe that the address is wrong.
    app.router.redirect_slashes = False
    app.router.default = with_nowhere(app.router.default)
    app.state.followers = readers.followers
    return app


class _Endpoints:
    """Answer who brings events."""

    def __init__(
        self,
        store: EventStore,
        key: KeyCheck,
        max_body_bytes: int,
        body_timeout: float,
    ) -> None:
        self._store = store
        self._key = key
        self._max_body_bytes = max_body_bytes
        self._body_timeout = body_timeout
        self._intake = Intake(max(MAX_INTAKE_BYTES, max_body_bytes))

    async def batch(self, request: Request) -> Response:
        """Store a batch: all of its events, or none."""
        return await self._take(request, rows_from_batch)

    async def ingest(self, request: Request) -> Response:
        """Store one event, as the original API has it."""
        return await self._take(request, lambda event: rows_from_events([event]))

    async def health(self, _: Request) -> Response:
        """Say whether events can be stored."""
        if self._store.alive:
            return json_answer({"status": "ok"})
        return json_answer({"status": "closed"}, status=503)

    async def _take(self, request: Request, parse: _Parse) -> Response:
        self._key.writer(request)
        encoding = content_encoding(request)
        with self._intake.share() as share:
            body = await read_body(
                request,
                share,
                max_bytes=self._max_body_bytes,
                seconds=self._body_timeout,
            )
            rows = await run_in_threadpool(self._rows, body, encoding, parse)
            stored = await asyncio.wrap_future(self._store.append(rows))
        return json_answer(stored._asdict())

    def _rows(self, body: bytes, encoding: str, parse: _Parse) -> List[Row]:
        plain = gunzip(body, self._max_body_bytes) if encoding == "gzip" else body
        return parse(parse_json(plain))
