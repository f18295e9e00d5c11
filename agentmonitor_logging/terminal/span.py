"""What is shown of an event. Here, and nowhere else, its texts become harmless.

Its ids are not shown, but compared with others, and so stay as they are.
"""

from __future__ import annotations

import math
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Mapping, NamedTuple, Optional

from .harmless import harmless

_MAX_WORD = 60
_MAX_NAME = 200
_MAX_ERROR = 300


class Span(NamedTuple):
    """Hold what is shown of one event: its texts are harmless, and cut.

    The four ids are not: they may be anything, and must not be printed as they are.
    *moment* is the start, in local time. *parent_id* is the *span_id* of the caller.
    """

    id: int
    trace_id: str
    span_id: str
    parent_id: str
    session_id: str
    name: str
    agent: str
    kind: str
    moment: Optional[datetime]
    latency_ms: Optional[float]
    failed: bool
    cost_usd: Optional[float]
    tokens: Optional[float]
    error: str


def span_from(given: Mapping[str, Any]) -> Span:
    """Read a span as `GET /stream` tells of it; what makes no sense is left out."""
    number = given.get("id")
    return Span(
        id=number if isinstance(number, int) else 0,
        trace_id=_id(given.get("trace_id")),
        span_id=_id(given.get("span_id")),
        parent_id=_id(given.get("parent_span_id")),
        session_id=_id(given.get("session_id")),
        name=harmless(given.get("name"), _MAX_NAME),
        agent=_word(given.get("agent_id")),
        kind=_word(given.get("event_type")),
        moment=_moment(given.get("timestamp")),
        latency_ms=_number(given.get("latency_ms")),
        failed=given.get("status") == "error",
        cost_usd=_number(given.get("cost_usd")),
        tokens=_number(given.get("tokens")),
        error=harmless(given.get("error_message"), _MAX_ERROR),
    )


def span_from_event(event: Mapping[str, Any]) -> Span:
    """Read a whole event, as `GET /events` gives it."""
    # The collector's own law: in a stream the same event has the same name and ids.
    from agentmonitor_logging.collector.details import name_of, tokens_of
    from agentmonitor_logging.collector.validation import id_in

    metadata = event.get("metadata")
    known: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    row: Any = SimpleNamespace(
        latency_ms=event.get("latency_ms"), event_type=str(event.get("event_type"))
    )
    ids = ("trace_id", "span_id", "parent_span_id", "session_id")
    told = {
        "name": name_of(row, known),
        "tokens": tokens_of(known),
        **{name: id_in(known, name) for name in ids},
    }
    return span_from({**event, **told})


def _id(given: Any) -> str:
    return given if isinstance(given, str) else ""


def _word(given: Any) -> str:
    return harmless(given, _MAX_WORD)


def _number(given: Any) -> Optional[float]:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return None
    try:
        number = float(given)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _moment(given: Any) -> Optional[datetime]:
    if not isinstance(given, str):
        return None
    try:
        # Before Python 3.11 a Z is not understood.
        return datetime.fromisoformat(given.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError, OSError):
        return None
