"""From a request's JSON to rows that can be stored: all of them, or none.

As lenient as the original API (a field that is null may be left out, unknown fields
are ignored, "failure" means "error"), and strict about types, so that whatever is in
the database can be read back by every reader.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple, Union

from .times import microseconds

MAX_EVENTS = 100
"""As many events as the original API takes in one request."""

MAX_DEPTH = 100
"""Levels of nesting in a payload: far beyond any real one, and far below the recursion
limit of the readers, whom a deeper event would break."""

MAX_NAME = 500
"""Characters of names and ids: each stands in many places, so longer ones are cut."""

STATUSES = {"success": "success", "error": "error", "failure": "error"}
"""What a status may be called, and how it is stored."""

_MAX_INTEGER = 2**63 - 1

_SURROGATE = re.compile("[\ud800-\udfff]")

_ENCODER = json.JSONEncoder(
    ensure_ascii=False,
    allow_nan=False,
    check_circular=False,
    separators=(",", ":"),
)

Number = Union[int, float]


class Row(NamedTuple):
    """Hold one valid event as the columns of the table *events*."""

    timestamp_us: int
    agent_id: str
    event_type: str
    status: str
    event_id: Optional[str]
    trace_id: Optional[str]
    span_id: Optional[str]
    parent_span_id: Optional[str]
    session_id: Optional[str]
    user_id: Optional[str]
    cost_usd: Optional[float]
    latency_ms: Optional[Number]
    error_message: Optional[str]
    metadata: Optional[str]
    input_data: Optional[str]
    output_data: Optional[str]


class InvalidBodyError(ValueError):
    """Say why a body cannot be stored, and which events are to blame, if any.

    *errors* pairs the index of an event with what is wrong with it.
    """

    def __init__(self, message: str, errors: Tuple[Tuple[int, str], ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.errors = errors


class _InvalidEventError(ValueError):
    pass


def parse_json(body: bytes) -> Any:
    """Read strict JSON, without NaN and Infinity, or raise `InvalidBodyError`."""
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        message = "the body is nested too deeply"
    except ValueError as error:
        message = f"the body is not JSON: {error}"
    raise InvalidBodyError(message)


def rows_from_batch(value: Any) -> List[Row]:
    """Turn `{"events": [...]}` into rows, or raise `InvalidBodyError`."""
    events = value.get("events") if isinstance(value, dict) else None
    if not isinstance(events, list):
        message = 'the body must be an object: {"events": [...]}'
        raise InvalidBodyError(message)
    if not 1 <= len(events) <= MAX_EVENTS:
        message = f"a batch has 1 to {MAX_EVENTS} events, this one has {len(events)}"
        raise InvalidBodyError(message)
    return rows_from_events(events)


def rows_from_events(events: List[Any]) -> List[Row]:
    """Turn events into rows, or raise `InvalidBodyError` that names every bad one."""
    outcomes = [_row_or_reason(event) for event in events]
    errors = tuple(
        (index, outcome)
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, str)
    )
    if errors:
        message = f"{len(errors)} of {len(events)} events are not valid, none is stored"
        raise InvalidBodyError(message, errors)
    return [outcome for outcome in outcomes if isinstance(outcome, Row)]


def _row_or_reason(event: Any) -> Union[Row, str]:
    try:
        return _row(event)
    except _InvalidEventError as error:
        return str(error)


def _row(event: Any) -> Row:
    if not isinstance(event, dict):
        message = "an event must be an object"
        raise _InvalidEventError(message)
    metadata = _object(event, "metadata")
    return Row(
        timestamp_us=_timestamp(event),
        agent_id=_name(event, "agent_id"),
        event_type=_name(event, "event_type"),
        status=_status(event),
        event_id=id_in(metadata, "event_id"),
        trace_id=id_in(metadata, "trace_id"),
        span_id=id_in(metadata, "span_id"),
        parent_span_id=id_in(metadata, "parent_span_id"),
        session_id=id_in(metadata, "session_id"),
        user_id=id_in(metadata, "user_id"),
        cost_usd=_number(event, "cost_usd"),
        latency_ms=_latency(event),
        error_message=_text(event, "error_message"),
        metadata=_json(metadata, "metadata"),
        input_data=_json(_object(event, "input_data"), "input_data"),
        output_data=_json(_object(event, "output_data"), "output_data"),
    )


def _refuse_constant(name: str) -> Any:
    message = f"{name} is not a JSON value"
    raise ValueError(message)


def _text(event: Dict[str, Any], key: str) -> Optional[str]:
    value = event.get(key)
    if value is not None and not isinstance(value, str):
        message = f"{key} must be a string"
        raise _InvalidEventError(message)
    return value if value is None else storable(value)


def _name(event: Dict[str, Any], key: str) -> str:
    value = _text(event, key)
    if value is None or not value.strip():
        message = f"{key} must be a string that is not blank"
        raise _InvalidEventError(message)
    return value[:MAX_NAME]


def _status(event: Dict[str, Any]) -> str:
    value = event.get("status")
    if value is None:
        return "success"
    if not isinstance(value, str) or value not in STATUSES:
        message = f"status must be one of {', '.join(STATUSES)}"
        raise _InvalidEventError(message)
    return STATUSES[value]


def _timestamp(event: Dict[str, Any]) -> int:
    try:
        return microseconds(_name(event, "timestamp"))
    except OverflowError:
        message = "timestamp is out of range"
    except ValueError:
        message = "timestamp must be an ISO 8601 date and time"
    raise _InvalidEventError(message)


def _number(event: Dict[str, Any], key: str) -> Optional[Number]:
    value = event.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        message = f"{key} must be a number"
        raise _InvalidEventError(message)
    if not _is_finite(value):
        message = f"{key} is out of range"
        raise _InvalidEventError(message)
    return value if abs(value) <= _MAX_INTEGER else float(value)


def _is_finite(value: Number) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _latency(event: Dict[str, Any]) -> Optional[Number]:
    value = _number(event, "latency_ms")
    if value is not None and value < 0:
        message = "latency_ms must not be negative"
        raise _InvalidEventError(message)
    return value


def _object(event: Dict[str, Any], key: str) -> Optional[Dict[str, Any]]:
    value = event.get(key)
    if value is not None and not isinstance(value, dict):
        message = f"{key} must be an object or null"
        raise _InvalidEventError(message)
    return value


def id_in(metadata: Optional[Mapping[str, Any]], key: str) -> Optional[str]:
    """Return the id that *metadata* has under *key*, as it is kept, or None."""
    value = metadata.get(key) if metadata else None
    return storable(value[:MAX_NAME]) if isinstance(value, str) and value else None


def _json(value: Optional[Dict[str, Any]], key: str) -> Optional[str]:
    if value is None:
        return None
    if not _is_shallow(value):
        message = f"{key} is nested more than {MAX_DEPTH} levels deep"
        raise _InvalidEventError(message)
    try:
        text = _ENCODER.encode(value)
    except ValueError as error:
        message = f"{key} holds a number that is out of range"
        raise _InvalidEventError(message) from error
    return text if text.isascii() else _SURROGATE.sub(_escape, text)


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return True
    return False


def _escape(surrogate: re.Match[str]) -> str:
    # Half of a pair has no UTF-8, but its JSON escape says the same.
    return f"\\u{ord(surrogate.group()):04x}"


def storable(text: str) -> str:
    """Return *text* with a mark in place of each half of a surrogate pair."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)
