"""What a row tells at a glance: its name, its tokens, a few words of its payload."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Sequence

from .validation import Row, storable

MAX_PREVIEW = 200
"""Characters of a payload that a list shows."""

MAX_ERROR = 300
"""Characters of an error message that a list shows."""

_MAX_NAME = 200
_LARGEST = 10**12
_NAMES = ("step", "name")
_TOTALS = ("total_tokens", "tokens")
_PARTS = (
    ("input_tokens", "prompt_tokens", "gen_ai.usage.input_tokens"),
    ("output_tokens", "completion_tokens", "gen_ai.usage.output_tokens"),
)
_USAGES = ("usage", "token_usage")
_TELLING = frozenset((*_TOTALS, *_PARTS[0], *_PARTS[1], *_USAGES))


def metadata_of(row: Row) -> Dict[str, Any]:
    """Return the metadata of *row*."""
    metadata: Dict[str, Any] = json.loads(row.metadata) if row.metadata else {}
    return metadata


def name_of(row: Row, metadata: Mapping[str, Any]) -> str:
    """Return the step's own word, else the message of a plain record, or the function.

    As the terminal shows it, too.
    """
    is_plain = row.latency_ms is None
    keys = ("message", "function_name") if is_plain else ("function_name", "message")
    for key in (*_NAMES, *keys):
        name = metadata.get(key)
        if isinstance(name, str) and name.strip():
            return storable(name.strip()[:_MAX_NAME])
    return row.event_type[:_MAX_NAME]


def tokens_of(metadata: Mapping[str, Any]) -> Optional[int]:
    """Return how many tokens the metadata tells of, under the names in use.

    Flat, or in a mapping called `usage`; a total, else the sum of what went in and out.
    """
    if _TELLING.isdisjoint(metadata):
        return None
    for told in (metadata, *map(metadata.get, _USAGES)):
        total = _told_tokens(told) if isinstance(told, dict) else None
        if total is not None:
            return total
    return None


def _told_tokens(told: Mapping[str, Any]) -> Optional[int]:
    total = _first_count(told, _TOTALS)
    if total is not None:
        return total
    taken, given = (_first_count(told, names) for names in _PARTS)
    return None if taken is None and given is None else (taken or 0) + (given or 0)


def _first_count(told: Mapping[str, Any], names: Sequence[str]) -> Optional[int]:
    for name in names:
        if name in told:
            count = _count(told[name])
            if count is not None:
                return count
    return None


def _count(value: Any) -> Optional[int]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= _LARGEST else None


def error_of(row: Row) -> Optional[str]:
    """Return the beginning of what *row* says went wrong."""
    if row.status != "error":
        return None
    return (row.error_message or "error")[:MAX_ERROR]


def preview_of(payload: Optional[str]) -> Optional[str]:
    """Return a few words of a payload: what was said last, if it is a conversation."""
    if payload is None:
        return None
    text = _words(json.loads(payload))
    return storable(" ".join(text.split())[:MAX_PREVIEW]) or None


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value[: 10 * MAX_PREVIEW]
    if isinstance(value, dict):
        said = _said(value)
        if said is not None:
            return said
        if len(value) == 1:
            return _words(next(iter(value.values())))
    if isinstance(value, list):
        messages = [each for each in value if _is_message(each)]
        if messages:
            return _words(_texts(messages[-1]["content"]))
        if len(value) == 1:
            return _words(value[0])
    return json.dumps(value, ensure_ascii=False)[: 10 * MAX_PREVIEW]


def _said(value: Dict[str, Any]) -> Optional[str]:
    """Return the text of a message, or of a part of one, or of its last message."""
    for key in ("messages", "content", "text"):
        said: Any = value.get(key)
        if isinstance(said, str) or (isinstance(said, list) and said):
            return _words(_texts(said))
    return None


def _texts(said: Any) -> Any:
    if isinstance(said, list):
        parts: List[str] = [
            part["text"]
            for part in said
            if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        return " ".join(parts) if parts else said
    return said


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value
