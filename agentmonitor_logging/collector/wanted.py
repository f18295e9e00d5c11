"""What a reader asks for: the query of `GET /events`, and the cursor in it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from starlette.exceptions import HTTPException

from .store import FILTERS, Page
from .validation import STATUSES

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

Items = Sequence[Tuple[str, str]]

_NAMES = (*FILTERS, "limit", "cursor")
_CURSOR = re.compile(rb"before=([0-9]{1,18})")


class Wanted(NamedTuple):
    """Hold a checked query; *before* is a sequence number, or None for the newest."""

    filters: Dict[str, str]
    limit: int
    before: Optional[int]


def wanted_from(items: List[Tuple[str, str]]) -> Wanted:
    """Check the query's pairs; answer 400 that names the first wrong one."""
    query = checked(items, _NAMES)
    return Wanted(
        filters=_filters(query),
        limit=limit_of(query, DEFAULT_LIMIT, MAX_LIMIT),
        before=_before(query.get("cursor")),
    )


def checked(items: Sequence[Tuple[str, str]], names: Sequence[str]) -> Dict[str, str]:
    """Return the query's pairs, each name at most once and one of *names*, or 400."""
    query = dict(items)
    for name, value in query.items():
        if name not in names:
            raise wrong(f"{name} is not one of {', '.join(names)}")
        if not value:
            raise wrong(f"{name} must not be empty")
    if len(query) < len(items):
        raise wrong("a parameter may be given once")
    return query


def cursor_after(page: Page) -> Optional[str]:
    """Make the cursor that continues after *page*, or None where nothing does."""
    if page.next_before is None:
        return None
    return base64.urlsafe_b64encode(b"before=%d" % page.next_before).decode()


def _filters(query: Dict[str, str]) -> Dict[str, str]:
    filters = {name: query[name] for name in FILTERS if name in query}
    if "status" in filters:
        filters["status"] = status_of(filters["status"])
    return filters


def status_of(text: str) -> str:
    """Return a status as it is stored, or answer 400."""
    if text not in STATUSES:
        raise wrong(f"status must be one of {', '.join(STATUSES)}")
    return STATUSES[text]


def limit_of(query: Mapping[str, str], default: int, most: int) -> int:
    """Return how many are wanted, or answer 400."""
    text = query.get("limit", str(default))
    limit = int(text) if re.fullmatch("[0-9]{1,4}", text) else 0
    if not 1 <= limit <= most:
        raise wrong(f"limit must be a whole number from 1 to {most}")
    return limit


def _before(cursor: Optional[str]) -> Optional[int]:
    if cursor is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        found = None
    if not found:
        raise wrong("cursor must be the next of an earlier answer")
    return int(found.group(1))


def wrong(message: str) -> HTTPException:
    """Make the answer to a query that is wrong."""
    return HTTPException(400, message)
