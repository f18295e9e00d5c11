"""One event id for one record, however many of us handle it.

A queue handler, a handler attached directly and a formatter on the console tell of
the same event, so they must call it by the same name, and they meet the record on the
same thread one after the other. Where only one of them lives, as in most programs,
the id can be drawn later, on a thread where nobody waits.
"""

from __future__ import annotations

import logging
import threading
import weakref

from ._ids import long_id

is_shared = False
"""Whether two could handle the same record, so that it needs its name at once."""

_namers: weakref.WeakSet[object] = weakref.WeakSet()
_last = threading.local()
"""The record each thread handled last and the id it was given."""


def expect(namer: object) -> None:
    """Know that *namer* handles records as the application made them."""
    _namers.add(namer)
    look_again()


def dismiss(namer: object) -> None:
    """Know that *namer* handles what another has named already."""
    _namers.discard(namer)
    look_again()


def look_again() -> None:
    """Find out whether those who shared the work are gone."""
    global is_shared  # noqa: PLW0603 - read for every record, where a call costs
    is_shared = len(_namers) > 1


def id_for(record: logging.LogRecord) -> str:
    """Return 32 hex digits; the same for a record that several handlers see."""
    known = getattr(_last, "handled", None)
    if known is not None and known[0]() is record:
        return str(known[1])
    fresh = long_id()
    _last.handled = (weakref.ref(record), fresh)
    return fresh
