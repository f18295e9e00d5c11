"""What a reader asks for: the query of `GET /events`, and the cursor in it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Dict, List, NamedTuple, Optional, Tuple

from starlette.exceptions import HTTPException

from .store import FILTERS, Page
from .validation import STATUSES

MAX_LIMIT = 1000
DEFAULT_LIMIT = 100

_NAMES = (*FILTERS, "limit", "cursor")
_CURSOR = re.compile(rb"before=([0-9]{1,18})")


class Wanted(NamedTuple):
    """Hold a checked query; *before* is a sequence number, or None for the newest."""

    filters: Dict[str, str]
    limit: int
    before: Optional[int]


def wanted_from(items: List[Tuple[str, str]]) -> Wanted:
    """Check the query's pairs; answer 400 that names the first wrong one."""
    query = dict(items)
    for name, value in query.items():
        if name not in _NAMES:
            raise _wrong(f"{name} is not one of {', '.join(_NAMES)}")
        if not value:
            raise _wrong(f"{name} must not be empty")
    if len(query) < len(items):
        raise _wrong("a parameter may be given once")
    return Wanted(
        filters=_filters(query),
        limit=_limit(query.get("limit")),
        before=_before(query.get("cursor")),
    )


def cursor_after(page: Page) -> Optional[str]:
    """Make the cursor that continues after *page*, or None where nothing does."""
    if page.next_before is None:
        return None
    return base64.urlsafe_b64encode(b"before=%d" % page.next_before).decode()


def _filters(query: Dict[str, str]) -> Dict[str, str]:
    filters = {name: query[name] for name in FILTERS if name in query}
    status = filters.get("status")
    if status is not None:
        if status not in STATUSES:
            raise _wrong(f"status must be one of {', '.join(STATUSES)}")
        filters["status"] = STATUSES[status]
    return filters


def _limit(text: Optional[str]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    limit = int(text) if re.fullmatch("[0-9]{1,4}", text) else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise _wrong(f"limit must be a whole number from 1 to {MAX_LIMIT}")
    return limit


def _before(cursor: Optional[str]) -> Optional[int]:
    if cursor is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor.encode()))
    except (binascii.Error, ValueError):
        found = None
    if not found:
        raise _wrong("cursor must be the next of an earlier answer")
    return int(found.group(1))


def _wrong(message: str) -> HTTPException:
    return HTTPException(400, message)
