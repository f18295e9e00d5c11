"""A span as one line: time, agent, type, name, status, latency, cost, tokens, error.

The lines carry colours; where there is no terminal, they are taken out again.
"""

from __future__ import annotations

from datetime import date
from typing import Optional

from click import style

from .harmless import fitted
from .span import Span

_AGENT = 14
_KIND = 14
NAME = 32
"""Columns of a name, with the branches before it in a tree."""


def line(span: Span, today: date, before: str = "", name: int = NAME) -> str:
    """Return *span* as a line; *before* stands before its name, as in a tree."""
    status, color = ("error", "red") if span.failed else ("ok", "green")
    parts = (
        style(_time(span, today), dim=True),
        fitted(span.agent, _AGENT),
        style(fitted(span.kind, _KIND), fg="cyan"),
        fitted(before + span.name, name),
        style(f"{status:<5}", fg=color),
        f"{_latency(span.latency_ms):>10}",
        f"{_cost(span.cost_usd):>9}",
        f"{_tokens(span.tokens):>11}",
        style(span.error, fg="red") if span.failed else "",
    )
    return "  ".join(parts).rstrip()


def _time(span: Span, today: date) -> str:
    if span.moment is None:
        return " " * 12
    clock = f"{span.moment:%H:%M:%S}.{span.moment.microsecond // 1000:03}"
    if span.moment.date() == today:
        return clock
    return f"{span.moment.date().isoformat()} {clock}"


def _latency(milliseconds: Optional[float]) -> str:
    if milliseconds is None:
        return ""
    if milliseconds < 10_000:
        return f"{milliseconds:,.0f} ms"
    return f"{milliseconds / 1000:,.1f} s"


def _cost(dollars: Optional[float]) -> str:
    if dollars is None:
        return ""
    if 0 < dollars < 0.0001:
        return "<$0.0001"
    return f"${dollars:,.4f}" if dollars < 100 else f"${dollars:,.2f}"


def _tokens(count: Optional[float]) -> str:
    return "" if count is None else f"{count:,.0f} tok"
