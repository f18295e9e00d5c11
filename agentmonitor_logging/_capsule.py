"""A decorated call in a few tuples, for as long as it is queued.

Where nobody but us would see a record, none is made, and not even a dict of the thirty
attributes that it would have: the caller would wait until they are filled in, and the
listener would have to find out what it knows of such a call anyhow.

The parts are made where they are known: `Origin` and `Stamp` by a `RecordTemplate`,
`StepFacts` by a `Step`, `Told` by a `Producer`. Only who takes records out of our own
queue ever meets the whole.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

from ._echo import ACCEPTED_BY
from ._packing import unpacked
from ._snapshot import Snapshot

Origin = Tuple[Dict[str, Any], float]
"""What all records of one place have in common: attributes, and when logging began."""

Stamp = Tuple[str, float, Any, Any, Any, Any]
"""The name of the level, the time, thread, its name, process, and further names."""

StepFacts = Tuple[float, int, str, str, Optional[str], Any]
"""When it began, milliseconds, trace, span and parent span, and what was bound."""

Told = Tuple[str, str, Dict[str, Any], Any, Dict[str, Any]]
"""The name of what was called, the type of the event, input, which may hold what is
packed, output and metadata."""

Capsule = Tuple[Any, Origin, Stamp, StepFacts, Told]
"""Whose ledgers count it, as in `ACCEPTED_BY`, and the parts."""


def level_of(capsule: Capsule) -> int:
    """Return the level at which the call was logged."""
    level: int = capsule[1][0]["levelno"]
    return level


def attributes(origin: Origin, stamp: Stamp, args: Any) -> Dict[str, Any]:
    """Return the attributes of a record, as logging would have made them."""
    level, created, thread, thread_name, process, names = stamp
    common, started = origin
    fields = {
        **common,
        "levelname": level,
        "args": args,
        "created": created,
        "msecs": int((created - int(created)) * 1000) + 0.0,
        "relativeCreated": (created - started) * 1000,
        "thread": thread,
        "threadName": thread_name,
        "process": process,
    }
    fields.update(names)
    return fields


def opened(capsule: Capsule) -> Dict[str, Any]:
    """Return the attributes that a record of the call would have.

    What is packed inside of its dicts and lists is unpacked in them.
    """
    accepted_by, origin, stamp, step, told = capsule
    began, latency, trace_id, span_id, parent_id, context = step
    name, event_type, given, output, metadata = told
    return {
        **attributes(origin, stamp, (name, latency)),
        "timestamp": began,
        "latency_ms": latency,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": parent_id,
        "_agent_context": Snapshot(context or {}),
        "event_type": event_type,
        "input_data": Snapshot(unpacked(given)),
        "output_data": Snapshot(output) if type(output) is dict else output,
        "metadata": Snapshot(metadata),
        "status": "success",
        ACCEPTED_BY: accepted_by,
    }
