"""The copy of a record that may travel to another thread.

What is true only here and now is read on the thread of the application: context,
trace, the exception's text, and what may be changed after the call.
"""

from __future__ import annotations

import logging
from itertools import islice
from typing import Any, Dict

from . import _naming
from ._copier import (
    FIXED,
    MAX_BYTES,
    MAX_DEPTH,
    MAX_NODES,
    MAX_TEXT,
    Copier,
    Snapshot,
    are_plain,
    flat_copy,
    snapshot,
)
from ._raised import raised
from .context import current_binding, current_span, latest_binding, latest_span

__all__ = [
    "EVENT_ID",
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_EVENT_ID",
    "MAX_NODES",
    "MAX_TEXT",
    "PRIVATE",
    "STANDARD",
    "Copier",
    "Snapshot",
    "are_plain",
    "flat_copy",
    "give_name",
    "make_private",
    "named",
    "snapshot",
    "snapshot_record",
    "with_fields",
]

EVENT_ID = "_agent_event_id"
"""The attribute that holds the name of a record; only our copies have one."""

PRIVATE = frozenset((EVENT_ID, "_agent_accepted_by", "_agent_context", "_agent_error"))
"""The attributes in which our copies carry what is ours."""

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
    if EVENT_ID in record.__dict__:
        return record
    fields = record.__dict__.copy()
    for needed in ("msg", "args", "exc_info"):
        fields.setdefault(needed)  # a record class of somebody's own has its own layout
    make_private(fields, STANDARD if type(record) is logging.LogRecord else 0)
    return named(fields, _naming.id_for(record), type(record))


def make_private(fields: Dict[str, Any], standard: int) -> None:
    """Turn *fields*, a record's attributes, into those of its copy.

    Message, arguments and exc_info must be among them. They have no event id yet, see
    `named`. The first *standard* attributes are known to be as logging made them.
    """
    if not _is_plain(fields, standard):
        _copy_values(fields)
    if fields["exc_info"]:
        _describe_exception(fields)
    if "_agent_context" not in fields:
        binding = latest_binding()
        if binding is not None and binding.is_gone:
            binding = current_binding()
        if binding is not None:
            fields["_agent_context"] = snapshot(binding.fields)
    if "trace_id" not in fields:
        span = latest_span()
        if span is not None and span.is_gone:
            span = current_span()
        if span is not None:
            fields["trace_id"] = span.trace_id
            fields["parent_span_id"] = span.span_id
            fields.setdefault("span_id")


def named(
    fields: Dict[str, Any], event_id: str, kind: type = logging.LogRecord
) -> logging.LogRecord:
    """Make a record of *fields*; *event_id* is its name unless it was given one."""
    give_name(fields, event_id)
    return _record_of(kind, fields)


def give_name(fields: Dict[str, Any], event_id: str) -> None:
    """Name the record that *fields* are the attributes of, see `named`."""
    if "span_id" in fields and fields["span_id"] is None:
        # It is a step of its own in the trace.
        fields["span_id"] = event_id[:16]
    given = fields.get("event_id")
    fields[EVENT_ID] = given if _is_event_id(given) else event_id


STANDARD = len(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
"""How many attributes logging itself puts on a record, before any other."""


def _is_plain(fields: Dict[str, Any], standard: int) -> bool:
    """Tell whether there is nothing to copy, as in most records.

    What `are_plain` does stands here once more: this runs with every record, and a
    call costs as much as two values.
    """
    message, args = fields["msg"], fields["args"]
    if type(message) is not str or len(message) > MAX_TEXT:
        return False
    if args and (type(args) is not tuple or not are_plain(args)):
        return False
    try:
        for value in islice(fields.values(), standard, None):
            kind = type(value)
            if kind is str:
                if len(value) > MAX_TEXT:
                    return False
            elif kind not in FIXED:
                return False
    except Exception:  # a class whose class cannot be hashed
        return False
    return True


def _copy_values(fields: Dict[str, Any]) -> None:
    copier = Copier()
    for key, value in fields.items():
        kind = type(value)
        if value is None or kind is int or kind is float or key == "exc_info":
            continue
        if key == "args":
            fields[key] = _copied_args(value, copier)
        elif kind is not str or len(value) > MAX_TEXT:
            fields[key] = copier.field(value)


def _copied_args(args: Any, copier: Copier) -> Any:
    """Copy arguments; a mapping of its own class may answer for any key: it stays."""
    if type(args) is dict:
        return copier.field(args)
    if not issubclass(type(args), tuple):
        return args
    return tuple(map(copier.field, tuple.__iter__(args)))


def _describe_exception(fields: Dict[str, Any]) -> None:
    found = raised(fields["exc_info"], fields.get("exc_text"))
    fields["exc_info"] = None
    if found is not None:
        fields["exc_text"] = found.traceback
        fields["_agent_error"] = (found.error_type, found.error_message)


def _is_event_id(given: Any) -> bool:
    if type(given) is not str or not 0 < len(given) <= MAX_EVENT_ID:
        return False
    return given.isascii() and given.isprintable()


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
