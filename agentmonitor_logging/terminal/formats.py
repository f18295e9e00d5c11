"""Events as the bytes of a file: JSON lines, or CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple

Event = Dict[str, Any]

_FIELDS = (
    *("id", "received_at", "timestamp", "agent_id", "event_type", "status"),
    *("latency_ms", "cost_usd", "error_message"),
)
_OF_METADATA = (
    *("event_id", "trace_id", "span_id", "parent_span_id", "session_id", "user_id"),
    *("logger", "level", "message", "function_name", "module", "error_type"),
)
_PAYLOADS = ("input_data", "output_data", "metadata")

COLUMNS = (*_FIELDS, *_OF_METADATA, *_PAYLOADS)
"""The columns of a CSV: what the metadata holds under known names is there twice."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What makes a spreadsheet run a cell, instead of showing it."""


class Format(NamedTuple):
    """Hold how a file begins, and how events are written."""

    head: bytes
    written: Callable[[Iterable[Event]], bytes]


def json_lines(events: Iterable[Event]) -> bytes:
    """Return a line for each event, as the API gives it."""
    return b"".join(_json(event).encode() + b"\n" for event in events)


def csv_rows(events: Iterable[Event]) -> bytes:
    """Return a row for each event; payloads are JSON in a cell."""
    return _rows(map(_cells, events))


def _rows(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


FORMATS: Mapping[str, Format] = {
    "jsonl": Format(b"", json_lines),
    "csv": Format(_rows([COLUMNS]), csv_rows),
}


def _cells(event: Event) -> List[Any]:
    metadata = event.get("metadata")
    known: Mapping[str, Any] = metadata if isinstance(metadata, dict) else {}
    return [
        *(_cell(event.get(name)) for name in _FIELDS),
        *(_cell(known.get(name)) for name in _OF_METADATA),
        *(_cell(event.get(name)) for name in _PAYLOADS),
    ]


def _cell(value: Any) -> Any:
    """Return a number as it is, and a text such that no spreadsheet runs it."""
    if value is None or (isinstance(value, (int, float)) and value >= 0):
        return value
    text = value if isinstance(value, str) else _json(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which only an escape can tell
        return json.dumps(value, separators=(",", ":"))
    return text
