"""ISO 8601 text to whole microseconds since 1970 (UTC) and back.

`datetime.fromisoformat` accepts other texts on every version of Python, and most of
what other languages write only since 3.11.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - arithmetic only, everything is UTC
_MICROSECOND = timedelta(microseconds=1)
_FIRST = (datetime.min - _EPOCH) // _MICROSECOND  # noqa: DTZ901
_LAST = (datetime.max - _EPOCH) // _MICROSECOND  # noqa: DTZ901

_ISO_8601 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"\ ?(?:[Zz]|([+-])(\d\d):?([0-5]\d)?)?)?",
    re.ASCII,
)


def microseconds(text: str) -> int:
    """Read a date and time; without an offset it is UTC.

    Raises ValueError for other texts, OverflowError outside the years 1 to 9999.
    """
    found = _ISO_8601.fullmatch(text.strip())
    if not found:
        message = "not ISO 8601"
        raise ValueError(message)
    *date, fraction, sign, hours, minutes = found.groups(default="")
    moment = datetime(*(int(part or 0) for part in date))  # type: ignore[arg-type] # noqa: DTZ001
    offset = 60 * int(hours or 0) + int(minutes or 0)
    since_epoch = (moment - _EPOCH) // _MICROSECOND + int(fraction.ljust(6, "0")[:6])
    since_epoch += (offset if sign == "-" else -offset) * 60_000_000
    if not _FIRST <= since_epoch <= _LAST:
        raise OverflowError
    return since_epoch


def iso_8601(since_epoch: int) -> str:
    """Write microseconds since 1970 as `2026-10-16T12:00:00.123456Z`.

    What lies outside of the years 1 to 9999, as the end of a long call may, is written
    as their first or last moment.
    """
    moment = _EPOCH + max(_FIRST, min(since_epoch, _LAST)) * _MICROSECOND
    return moment.isoformat(timespec="microseconds") + "Z"
