"""A decorated call in one flat tuple, for as long as it is queued.

Where nobody but us would see a record, none is made, and not even a dict of the thirty
attributes that it would have: the caller would wait until they are filled in, and the
listener would have to find out what it knows of such a call anyhow. And it is flat, as
whatever is queued is looked at by the garbage collector again and again.

The parts are made where they are known: a `Stamp` by a `RecordTemplate`, `StepFacts`
by a `Step`, `Told` once for a decorated function. Only who takes records out of our own
queue ever meets the whole.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple, Union

from ._echo import ACCEPTED_BY
from ._packing import unpacked
from ._payloads import as_shape
from ._snapshot import Snapshot

Origin = Tuple[Dict[str, Any], float]
"""What all records of one place have in common: attributes, and when logging began."""

Stamp = Tuple[Origin, str, float, Any, Any, Any, Any]
"""Its origin, the level's name, the time, thread, its name, process, and further names,
each after its attribute."""

StepFacts = Tuple[float, int, str, str, Optional[str], Any]
"""When it began, milliseconds, trace, span and parent span, and what was bound."""

Told = Tuple[str, str, Mapping[str, Any], Tuple[str, ...]]
"""The name of what is called, the type of its events, their metadata, and the names of
its parameters."""

Given = Union[Dict[str, Any], Tuple[Any, ...]]
"""The input of a call by name, or the values of the first of its parameters. Either may
hold what is packed."""

Capsule = Tuple[Any, ...]
"""A `Stamp`, `StepFacts`, `Told`, `Given`, the output as a copy of what was returned,
and whose ledgers count it, as in `ACCEPTED_BY`."""

STAMP, STEP, REST = slice(0, 7), slice(7, 13), slice(13, None)
"""Where in a capsule they are; the rest is the last four of them."""


def level_of(capsule: Capsule) -> int:
    """Return the level at which the call was logged."""
    level: int = capsule[0][0]["levelno"]
    return level


def counted_by(capsule: Capsule) -> Tuple[int, ...]:
    """Return whose ledgers count the call, as in `ACCEPTED_BY`."""
    accepted_by: Tuple[int, ...] = capsule[-1]
    return accepted_by


def likeness_of(capsule: Capsule) -> Tuple[int, int, bool]:
    """Return what tells calls of one function, inner or outermost, from all others.

    For as long as they are there.
    """
    return id(capsule[0]), id(capsule[13]), capsule[11] is None


def by_name(given: Given, names: Tuple[str, ...]) -> Dict[str, Any]:
    """Return the input of a call by name."""
    return dict(zip(names, given)) if isinstance(given, tuple) else given


def attributes(stamp: Stamp, args: Any) -> Dict[str, Any]:
    """Return the attributes of a record, as logging would have made them."""
    (common, started), level, created, thread, thread_name, process, names = stamp
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
    fields.update(zip(names[::2], names[1::2]))
    return fields


def opened(capsule: Capsule) -> Dict[str, Any]:
    """Return the attributes that a record of the call would have.

    What is packed inside of its dicts and lists is unpacked in them.
    """
    stamp: Any = capsule[STAMP]
    began, latency, trace_id, span_id, parent_id, context = capsule[STEP]
    (name, event_type, metadata, names), given, output, accepted_by = capsule[REST]
    return {
        **attributes(stamp, (name, latency)),
        "timestamp": began,
        "latency_ms": latency,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": parent_id,
        "_agent_context": Snapshot(context or {}),
        "event_type": event_type,
        "input_data": Snapshot(unpacked(by_name(given, names))),
        "output_data": as_shape(output),
        "metadata": Snapshot(metadata),
        "status": "success",
        ACCEPTED_BY: accepted_by,
    }
