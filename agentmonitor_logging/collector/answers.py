"""What the collector says: always JSON, never cached, never sniffed."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Dict, Iterable, Mapping, Optional

from starlette.responses import Response

from agentmonitor_logging._diagnostics import describe, report

from .details import metadata_of, name_of, tokens_of
from .times import iso_8601

if TYPE_CHECKING:
    from starlette.requests import Request

    from .store import Page, StoredEvent

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
}
"""What every answer carries."""


def json_answer(
    value: Any, *, status: int = 200, headers: Optional[Mapping[str, str]] = None
) -> Response:
    """Answer with *value* as JSON."""
    return _answer(json.dumps(value).encode(), status, headers)


def error_answer(
    status: int, message: str, headers: Optional[Mapping[str, str]] = None
) -> Response:
    """Answer `{"error": message}`."""
    return json_answer({"error": message}, status=status, headers=headers)


async def http_error(_: Request, error: Any) -> Response:
    """Answer an HTTPException (404 and 405 included) as JSON."""
    return error_answer(error.status_code, error.detail, error.headers)


async def invalid_body(_: Request, error: Any) -> Response:
    """Answer 400, with the indices of the events that are to blame, if any."""
    answer: Dict[str, Any] = {"error": error.message}
    if error.errors:
        answer["indices"] = [index for index, _ in error.errors]
        answer["errors"] = [
            {"index": index, "message": message} for index, message in error.errors
        ]
    return json_answer(answer, status=400)


async def unavailable(_: Request, error: Any) -> Response:
    """Answer 503: the disk is full or broken, or the collector is closing."""
    problem = f"the collector's database cannot be used: {describe(error)}"
    report("collector:database", problem, logging.ERROR)
    message = "the database cannot be used now, try again later"
    return error_answer(503, message, {"Retry-After": "1"})


async def unexpected_error(_: Request, __: Exception) -> Response:
    """Answer 500 without telling what went wrong inside."""
    return error_answer(500, "the collector failed; its log says why")


def page_answer(page: Page, cursor: Optional[str]) -> Response:
    """Answer a page of events and the cursor of the next.

    The payloads are already JSON and go out as they are stored.
    """
    return list_answer("events", map(_event, page.events), cursor)


def list_answer(
    name: str,
    items: Iterable[str],
    cursor: Optional[str],
    others: Optional[Mapping[str, Any]] = None,
) -> Response:
    """Answer a list of what is JSON already, the cursor of its next page, and *others*.

    The texts may hold escapes of half characters, which only an escape can hold.
    """
    rest = json.dumps({**(others or {}), "next": cursor})
    body = f'{{"{name}":[{",".join(items)}],{rest[1:]}'
    return _answer(body.encode(), 200, None)


def event_answer(event: StoredEvent) -> Response:
    """Answer one whole event, with what lists show of it."""
    metadata = metadata_of(event.row)
    told = {"name": name_of(event.row, metadata), "tokens": tokens_of(metadata)}
    body = f"{json.dumps(told)[:-1]}, {_event(event)[1:]}"
    return _answer(body.encode(), 200, None)


def _event(event: StoredEvent) -> str:
    row = event.row
    fields = {
        "id": event.seq,
        "received_at": iso_8601(event.received_us),
        "agent_id": row.agent_id,
        "event_type": row.event_type,
        "timestamp": iso_8601(row.timestamp_us),
        "cost_usd": row.cost_usd,
        "latency_ms": row.latency_ms,
        "status": row.status,
        "error_message": row.error_message,
    }
    payloads = (
        f',"input_data":{row.input_data or "null"}'
        f',"output_data":{row.output_data or "null"}'
        f',"metadata":{row.metadata or "{}"}'
    )
    return json.dumps(fields, ensure_ascii=False)[:-1] + payloads + "}"


def _answer(body: bytes, status: int, headers: Optional[Mapping[str, str]]) -> Response:
    return Response(
        body,
        status_code=status,
        headers={**HEADERS, **(headers or {})},
        media_type="application/json",
    )
