"""What an event is made of: which attributes of a record have a place of their own.

Shared by the careful way and the short way from a record to its event.
"""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ._snapshot import PRIVATE
from .context import EVENT_FIELDS

Event = Dict[str, Any]

IN_ORDER = tuple(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
"""What logging itself puts on a record, before all that comes by ``extra=``."""

_STANDARD = frozenset((*IN_ORDER, "asctime", "message", "taskName"))
"""What logging itself puts on a record; every other attribute came by ``extra=``."""

KNOWN = _STANDARD | EVENT_FIELDS | PRIVATE
OWNERS = ("session_id", "user_id")
NAMED = (*OWNERS, "function_name")
"""The fields of a record that have their place in the metadata."""

RESERVED = frozenset(("event_id", "logger", "level", "message"))
"""The metadata that is always ours; what is given under such a name gets "_given"."""

TRACE_IDS = {"trace_id": 32, "span_id": 16, "parent_span_id": 16}
"""The ids of a trace and how many hex digits they have."""

STATUS = {
    **dict.fromkeys(("success", "ok"), "success"),
    **dict.fromkeys(("error", "failure", "failed"), "error"),
}

MAX_LATENCY = 2**53
"""Milliseconds that any JSON reader takes exactly."""

_UTC = timezone.utc


def is_id(digits: Any, length: int) -> bool:
    """Tell whether *digits* are the *length* hex digits of an id that is not zero."""
    return (
        type(digits) is str
        and len(digits) == length
        and not digits.strip("0123456789abcdef")
        and digits.strip("0") != ""
    )


def utc(seconds: float) -> Optional[str]:
    """Return *seconds* since the epoch as the wire has them; None if out of range."""
    global _this_second  # noqa: PLW0603 - events come by the hundred a second
    if not 0 < seconds < _MAX_SECONDS:
        return _out_of_the_ordinary(seconds)
    whole = int(seconds)
    micros = round((seconds - whole) * 1_000_000)
    if micros >= 1_000_000:
        return _out_of_the_ordinary(seconds)
    known, text = _this_second
    if known != whole:
        text = datetime.fromtimestamp(whole, _UTC).isoformat()[:19]
        _this_second = whole, text
    return f"{text}.{str(1_000_000 + micros)[1:]}Z"


def utc_in_parts(many: Sequence[float]) -> Optional[Tuple[str, List[str], str]]:
    """Return times of one second such that each of the texts stands between two.

    None where they are of several, or one is out of range.
    """
    whole = int(many[0])
    start = utc(float(whole))
    micros = [round((seconds - whole) * 1_000_000) for seconds in many]
    if start is None or min(micros) < 0 or max(micros) >= 1_000_000:
        return None
    return start[:20], [f"{micro:06}" for micro in micros], "Z"


def _out_of_the_ordinary(seconds: float) -> Optional[str]:
    try:
        return written(datetime.fromtimestamp(seconds, _UTC))
    except (ValueError, OverflowError, OSError):
        return None


_MAX_SECONDS = 250_000_000_000  # the year 9892
_this_second: Tuple[int, str] = -1, ""


def written(moment: datetime) -> str:
    """Return *moment* as the wire has it; one without a zone is in UTC."""
    aware = moment if moment.utcoffset() is not None else moment.replace(tzinfo=_UTC)
    text = aware.astimezone(_UTC).isoformat(timespec="microseconds")
    return f"{text[:26]}Z"
