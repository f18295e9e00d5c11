"""What an answer of the server means: an outcome, which is a value and never raised.

This is the answer table of the design in code. What is then done about an outcome
is the sender's business.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Callable, Iterator, Mapping, Optional, Tuple, Union

from .exceptions import AgentMonitorError, APIError, AuthenticationError, NetworkError

MAX_RETRY_AFTER = 60.0
"""Seconds of a Retry-After that are honoured. It is the longest distance between two
probes, and one request a minute harms no server; a larger value is a mistake there."""

_TRY_AGAIN = frozenset({408, 409, 425, 429})
_WRONG_KEY = frozenset({401, 403})
_WRONG_ADDRESS = frozenset({404, 405, 407, 415, 421})
"""Not found or not allowed; a proxy's own key; a compression that is not taken; a
host that is not served. None of these is about an event."""
_WITHOUT_BODY = frozenset({204, 205})
"""What no web page comes with; frameworks call even these text/html by default."""
_MAX_EXCERPT = 200


@dataclass(frozen=True)
class Delivered:
    """The server has the batch."""


@dataclass(frozen=True)
class Unreachable:
    """Nobody has the batch for certain; *retry_after* is in seconds, where known."""

    error: AgentMonitorError
    retry_after: Optional[float] = None


@dataclass(frozen=True)
class Refused:
    """The key or the address is wrong: no event of ours is at fault."""

    error: APIError


@dataclass(frozen=True)
class TooLarge:
    """The request is larger than the server takes."""

    error: APIError


@dataclass(frozen=True)
class Rejected:
    """The server refuses an event of the batch; *indices* where it named them."""

    error: APIError
    indices: Tuple[int, ...] = ()


Outcome = Union[Delivered, Unreachable, Refused, TooLarge, Rejected]


@dataclass(frozen=True)
class Answer:
    """Hold what the transport read: lower-case header names, a bounded body.

    *masked* takes out of a text of the server what nobody may read.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    masked: Callable[[str], str] = str


def outcome_of(answer: Answer, wall_clock: Callable[[], float] = time.time) -> Outcome:
    """Read *answer* as the answer table of the design does."""
    status = answer.status
    if 200 <= status < 300:
        return _success(answer)
    if status in _WRONG_KEY or 300 <= status < 400 or status in _WRONG_ADDRESS:
        return _refusal(answer)
    error = APIError(f"the server answered {status}{_said(answer)}", status)
    if status == 413:
        return TooLarge(error)
    if status in _TRY_AGAIN or 500 <= status < 600:
        return Unreachable(error, retry_after(answer.headers, wall_clock()))
    if 400 <= status < 500:
        return Rejected(error, _named_indices(answer.body))
    return Unreachable(NetworkError(f"the answer has no meaning: status {status}"))


def _refusal(answer: Answer) -> Refused:
    said = f"(status {answer.status}{_said(answer)})"
    if answer.status in _WRONG_KEY:
        text = f"the server refuses the API key {said}"
        return Refused(AuthenticationError(text, answer.status))
    return Refused(APIError(f"nothing takes events at api_url {said}", answer.status))


def _success(answer: Answer) -> Outcome:
    web_page = answer.headers.get("content-type", "").lower().startswith("text/html")
    if web_page and answer.status not in _WITHOUT_BODY:
        # A captive portal, or a web server that answers everything with its page.
        text = f"a web page answered instead of the API (status {answer.status})"
        return Unreachable(NetworkError(text))
    return Delivered()


def retry_after(headers: Mapping[str, str], now: float) -> Optional[float]:
    """Return the seconds that a Retry-After header asks for (RFC 9110, 10.2.3).

    Both forms are read, seconds and HTTP date; *now* is the wall clock. What makes
    no sense counts as not given.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        seconds = float(value) if _is_seconds(value) else _seconds_until(value, now)
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _is_seconds(value: str) -> bool:
    return value.isascii() and value.replace(".", "", 1).isdigit()


def _seconds_until(http_date: str, now: float) -> float:
    return parsedate_to_datetime(http_date).timestamp() - now


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _said(answer: Answer) -> str:
    parsed = _parsed(answer.body)
    if not isinstance(parsed, dict):
        return ""
    for name in ("error", "message", "detail"):
        text = parsed.get(name)
        if isinstance(text, str) and text.strip():
            return f": {printable(answer.masked(text)[:_MAX_EXCERPT])}"
    return ""


def printable(text: str) -> str:
    """Return *text*, which a server may have written, fit for a line of a log."""
    return "".join(c if c.isprintable() else " " for c in text)


def _named_indices(body: bytes) -> Tuple[int, ...]:
    parsed = _parsed(body)
    if not isinstance(parsed, dict):
        return ()
    return tuple(sorted({*_indices_in(parsed)}))


def _indices_in(parsed: Mapping[str, Any]) -> Iterator[int]:
    """Yield what the usual forms of a validation error name.

    They are {"indices": [3]}, {"errors": [{"index": 3}]}, and FastAPI's
    {"detail": [{"loc": ["body", "events", 3, "status"]}]}.
    """
    for index in _list_of(parsed, "indices"):
        yield from _whole(index)
    for name in ("errors", "detail"):
        for entry in _list_of(parsed, name):
            if isinstance(entry, dict):
                yield from _whole(entry.get("index"))
                yield from _index_after_events(_list_of(entry, "loc"))


def _list_of(parsed: Mapping[str, Any], name: str) -> Any:
    value = parsed.get(name)
    return value if isinstance(value, list) else []


def _index_after_events(path: Any) -> Iterator[int]:
    for name, index in zip(path, path[1:]):
        if name == "events":
            yield from _whole(index)


def _whole(value: Any) -> Iterator[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
