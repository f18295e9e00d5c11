"""What the demo finds wrong: events that are missing, torn from the tree, or leaking.

Pure: it is given all the evidence, and an empty list is the best that it can say.
"""

from __future__ import annotations

import json
import logging
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from agentmonitor_logging import Stats

Event = Dict[str, Any]


class Evidence(NamedTuple):
    """Hold the records that were logged, the counts, and what the collector has.

    None of *secrets* may be in the events.
    """

    sent: Sequence[logging.LogRecord]
    stats: Stats
    events: Sequence[Event]
    secrets: Sequence[str]


def problems(evidence: Evidence) -> List[str]:
    """Return a line for everything that is not as it should be."""
    return [*_missing(evidence), *_torn(evidence.events), *_leaked(evidence)]


def walk(events: Sequence[Event]) -> Iterator[Tuple[Event, Tuple[bool, ...]]]:
    """Yield what can be reached from a root, in the order of its beginning.

    With each event comes the way to it: for every level below the root, whether it
    is the last of its siblings there.
    """
    children: Dict[Optional[str], List[Event]] = {}
    for event in sorted(events, key=_begun):
        parent = event["metadata"].get("parent_span_id")
        children.setdefault(parent, []).append(event)

    def below(
        parent: Optional[str], way: Tuple[bool, ...]
    ) -> Iterator[Tuple[Event, Tuple[bool, ...]]]:
        siblings = children.pop(parent, [])
        for event in siblings:
            here = () if parent is None else (*way, event is siblings[-1])
            yield event, here
            yield from below(event["metadata"].get("span_id"), here)

    return below(None, ())


def _begun(event: Event) -> Tuple[str, int]:
    # Where a clock is coarse, what ended first has the lower id.
    return event["timestamp"], event["id"]


def _missing(evidence: Evidence) -> Iterator[str]:
    sent, stats, events, _ = evidence
    arrived = {event["metadata"].get("span_id") for event in events}
    for record in sent:
        if getattr(record, "span_id", None) not in {None, *arrived}:
            yield f"did not arrive: {record.getMessage()}"
    if not len(sent) == stats.accepted == stats.delivered == len(events):
        yield (
            f"{len(sent)} records were logged, {stats.accepted} accepted,"
            f" {stats.delivered} delivered, {len(events)} are in the collector"
        )
    if len({event["metadata"].get("event_id") for event in events}) < len(events):
        yield "an event arrived more than once"


def _torn(events: Sequence[Event]) -> Iterator[str]:
    traces = {event["metadata"].get("trace_id") for event in events}
    roots = [e for e in events if e["metadata"].get("parent_span_id") is None]
    reached = sum(1 for _ in walk(events))
    if len(traces) != 1 or len(roots) != 1 or reached < len(events):
        yield (
            f"the events are not one tree: {len(traces)} traces, {len(roots)} roots,"
            f" {len(events) - reached} events without their caller"
        )


def _leaked(evidence: Evidence) -> Iterator[str]:
    text = json.dumps(evidence.events, ensure_ascii=False)
    leaked = sum(secret in text for secret in evidence.secrets)
    if leaked:
        yield f"{leaked} of {len(evidence.secrets)} secrets are in what arrived"
    if "[REDACTED]" not in text:
        yield "nothing is redacted in what arrived"
