"""What the demo says, in lines of at most 80 columns.

The lines carry colours; where there is no terminal, `click.echo` takes them out.
"""

from __future__ import annotations

import json
from typing import Any, Iterable, Iterator, Mapping, Optional, Sequence

from click import style

from agentmonitor_logging import Stats
from agentmonitor_logging.terminal.branches import branches_shown, drawn

from .verdict import Event, Evidence, walk

WIDTH = 80
_STEP = 37
_NAME = 13
_STATUSES = {"success": ("ok", "green"), "error": ("error", "red")}


def opening(url: str, logger: str) -> Iterator[str]:
    """Say what is about to happen."""
    yield style("A support agent that only logs, and a collector to log to", bold=True)
    yield f"  agent      logs to {logger!r}"
    yield "  logging    dictConfig, with one AgentMonitorQueueHandler"
    yield f"  collector  {url}, database in a temporary folder"


def findings(evidence: Evidence, given: Mapping[str, Any]) -> Iterator[str]:
    """Show what arrived: the tree, the counts, the redacted input."""
    events, stats = evidence.events, evidence.stats
    title = "What the collector has: GET /api/v1/events"
    yield from _section(title, _tree_lines(events))
    yield from _section("What the handler counted: stats()", _stats_lines(stats))
    title = "What became of the secrets in the input"
    yield from _section(title, _redacted_lines(given, events))


def verdict(problems: Sequence[str], count: int) -> Iterator[str]:
    """Say whether all is well, or what is not."""
    yield ""
    if not problems:
        yield style(
            f"All {count} events arrived, each once, as one tree, without a secret.",
            fg="green",
            bold=True,
        )
    for problem in problems:
        yield style(f"PROBLEM  {problem}", fg="red", bold=True)


def page(origin: str, key: str) -> str:
    """Return the address of the collector's page; what follows the # is never sent."""
    return f"{origin}/#key={key}"


def where_to_look(command: str, origin: Optional[str], key: str) -> Iterator[str]:
    """Tell how to go on: with this collector if it stays (at *origin*), or another."""
    if origin is not None:
        lines = [
            f"  {page(origin, key)}",
            _remark("its page; the address holds the key of this one run"),
            f"  curl -H 'X-API-Key: {key}' \\",
            f"    '{origin}/api/v1/events?status=error'",
        ]
        yield from _section("The collector stays until Ctrl-C. Look at", lines)
        return
    lines = [
        f"  {command} demo --keep",
        _remark("the same, and the collector stays: look at its page"),
        f"  {command} collector",
        _remark("a collector of your own, with a page at http://127.0.0.1:3002"),
        f"  {command} tail",
        _remark("what it gets, as it comes; examples/quickstart.py sends to it"),
    ]
    yield from _section("Look for yourself", lines)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield ""
    yield style(title, bold=True)
    yield from lines


def _remark(text: str) -> str:
    return style(f"      {text}", dim=True)


def _tree_lines(events: Sequence[Event]) -> Iterator[str]:
    head = f"  {'step':<{_STEP}}{'type':<14}{'status':<8}{'latency':>8}{'cost':>10}"
    yield style(head, dim=True)
    branches = branches_shown()
    for event, way in walk(events):
        before, below = drawn(way, branches)
        yield _row(event, before)
        if event["error_message"]:
            line = f"  {below}{event['error_message']}"
            yield style(_cut(line, WIDTH), fg="red")
    yield _sum_line(events)


def _sum_line(events: Sequence[Event]) -> str:
    errors = sum(event["status"] == "error" for event in events)
    cost = sum(event["cost_usd"] or 0 for event in events)
    bound = {
        f"{name} {event['metadata'][name]}": None
        for name in ("session_id", "user_id")
        for event in events
        if name in event["metadata"]
    }
    text = f"{_count(len(events), 'event')}, {_count(errors, 'error')}, ${cost:.4f}"
    return f"  {', '.join([text, *bound])}"


def _row(event: Event, before: str) -> str:
    status, color = _STATUSES[event["status"]]
    latency, cost = event["latency_ms"], event["cost_usd"]
    shown_latency = "" if latency is None else f"{latency} ms"
    shown_cost = "" if cost is None else f"${cost:.4f}"
    step = _cut(before + _name_of(event), _STEP - 1)
    kind = style(f"{_cut(event['event_type'], 13):<14}", fg="cyan")
    rest = f"{'':<{8 - len(status)}}{shown_latency:>8}{shown_cost:>10}".rstrip()
    return f"  {step:<{_STEP}}{kind}{style(status, fg=color)}{rest}"


def _name_of(event: Event) -> str:
    """Return the step's own word, the message of a plain record, or the function."""
    metadata = event["metadata"]
    is_plain = event["latency_ms"] is None
    name = metadata["message"] if is_plain else metadata["function_name"]
    return str(metadata.get("step", name))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _stats_lines(stats: Stats) -> Iterator[str]:
    yield (
        f"  accepted {stats.accepted} = delivered {stats.delivered}"
        f" + pending {stats.pending} + lost {sum(stats.lost.values())}"
    )
    for reason, count in stats.lost.items():
        yield style(f"  lost, {reason}: {count}", fg="red")
    yield f"  in {_count(stats.requests, 'request')}, {stats.retried} of them repeated"


def _redacted_lines(given: Mapping[str, Any], events: Sequence[Event]) -> Iterator[str]:
    roots = (e for e in events if e["metadata"].get("parent_span_id") is None)
    root: Event = next(roots, {})
    arrived = root.get("input_data") or {}
    for name, value in given.items():
        yield style(_cut(f"  {name:<{_NAME}}{_text(value)}", WIDTH), dim=True)
        yield _cut(f"  {'arrived':<{_NAME}}{_text(arrived.get(name))}", WIDTH)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
