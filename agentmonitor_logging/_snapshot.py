"""The copy of a record that may travel to another thread.

What is true only here and now is read on the thread of the application: context,
trace, the exception's text, and what may be changed after the call.
"""

from __future__ import annotations

import logging
import threading
import weakref
from itertools import islice
from typing import Any, Dict, Optional

from ._copier import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    Copier,
    Snapshot,
    are_shared,
    has_long,
    snapshot,
)
from ._ids import long_id
from ._raised import raised
from .context import bound_fields, current_span

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_EVENT_ID",
    "MAX_NODES",
    "MAX_TEXT",
    "Snapshot",
    "are_shared",
    "has_long",
    "snapshot",
    "snapshot_record",
    "with_fields",
]

MAX_EVENT_ID = 128
"""Characters of an event id of the caller's own."""


def snapshot_record(record: logging.LogRecord) -> logging.LogRecord:
    """Return the copy of *record* that may travel to another thread.

    It is a full LogRecord of the same class for any handler or formatter: message
    unformatted, arguments and extra fields as `snapshot` leaves them, the exception
    as text in `exc_text`. It also knows its event id, its place in the trace and
    what `agent_context` had bound. A record that has an `_agent_event_id` is such a
    copy already and returned as it is. *record* itself is not changed in any way.
    """
    fields = record.__dict__.copy()
    if "_agent_event_id" in fields:
        return record
    args, exc_info = fields.get("args"), fields.get("exc_info")
    fields["args"] = fields["exc_info"] = None
    copier: Optional[Copier] = None
    if not are_shared(fields.values()) or _is_long(fields):
        copier = Copier()
        _snapshot_fields(fields, copier)
    fields["args"] = _snapshot_args(args, copier) if args else args
    if exc_info:
        _describe_exception(fields, exc_info)
    _bind_context(fields)
    fresh, given = _fresh_id(record), fields.get("event_id")
    fields["_agent_event_id"] = given if _is_event_id(given) else fresh
    if "trace_id" not in fields:
        _join_trace(fields, fresh[:16])
    return _record_of(type(record), fields)


def _is_long(fields: Dict[str, Any]) -> bool:
    """Tell whether the message or something given by ``extra=`` is to be cut."""
    message = fields.get("msg")
    if type(message) is str and len(message) > MAX_TEXT:
        return True
    for value in islice(fields.values(), _STANDARD, None):
        kind = type(value)
        if (kind is str or kind is bytes) and len(value) > MAX_TEXT:
            return True
    return False


_STANDARD = len(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
"""Attributes that logging itself puts on a record, before any other."""


def _snapshot_fields(fields: Dict[str, Any], copier: Copier) -> None:
    for name, value in fields.items():
        kind = type(value)
        if value is None or kind is int or kind is float:
            continue
        if kind is not str or len(value) > MAX_TEXT:
            fields[name] = copier.field(value)


def _snapshot_args(args: Any, copier: Optional[Copier]) -> Any:
    """Copy arguments; a mapping of its own class may answer for any key: it stays."""
    if type(args) is dict:
        return (copier or Copier()).field(args)
    if not issubclass(type(args), tuple):
        return args
    if are_shared(args) and not has_long(args):
        return args
    return tuple(map((copier or Copier()).field, tuple.__iter__(args)))


def _describe_exception(fields: Dict[str, Any], exc_info: Any) -> None:
    found = raised(exc_info, fields.get("exc_text"))
    if found is not None:
        fields["exc_text"] = found.traceback
        fields["_agent_error"] = (found.error_type, found.error_message)


def _bind_context(fields: Dict[str, Any]) -> None:
    if "_agent_context" not in fields:
        bound = bound_fields()
        if bound:
            fields["_agent_context"] = snapshot(bound)


_last = threading.local()
"""The record each thread handled last and the id it was given."""


def _fresh_id(record: logging.LogRecord) -> str:
    """Return 32 hex digits; the same for a record that several handlers see."""
    known = getattr(_last, "handled", None)
    if known is not None and known[0]() is record:
        return str(known[1])
    fresh = long_id()
    _last.handled = (weakref.ref(record), fresh)
    return fresh


def _is_event_id(given: Any) -> bool:
    if type(given) is not str or not 0 < len(given) <= MAX_EVENT_ID:
        return False
    return given.isascii() and given.isprintable()


def _join_trace(fields: Dict[str, Any], span_id: str) -> None:
    span = current_span()
    if span is not None:
        fields["trace_id"] = span.trace_id
        fields["parent_span_id"] = span.span_id
        fields.setdefault("span_id", span_id)


def with_fields(record: logging.LogRecord, **fields: Any) -> logging.LogRecord:
    """Return a copy of *record*, itself such a copy, in which *fields* are others."""
    return _record_of(type(record), {**record.__dict__, **fields})


def _record_of(kind: type, fields: Dict[str, Any]) -> logging.LogRecord:
    """Make a record without its constructor, which copy.copy would go through."""
    copy: logging.LogRecord
    try:
        copy = object.__new__(kind)
        object.__setattr__(copy, "__dict__", fields)
    except Exception:  # a class with a layout of its own
        copy = logging.LogRecord.__new__(logging.LogRecord)
        copy.__dict__.update(fields)
    return copy
