"""The sums of the overview, kept per span of time as events arrive.

Charts never read events. Each event is counted in a minute, in a half hour, in two
hours and in half a day, per agent and type; a question is answered from the widest of
these that shows enough. Latencies are counted by size class, from which a quantile
follows to within 6 %, or half a millisecond: each class ends 12 % above its beginning.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from typing import (
    Any,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

from .times import iso_8601
from .traces import plus
from .validation import Row

SECOND = 1_000_000
RESOLUTIONS = tuple(SECOND * seconds for seconds in (60, 1_800, 7_200, 43_200))
"""Microseconds in the spans for which sums are kept."""

MOST_POINTS, FEWEST_POINTS = 120, 40
"""How many points a chart has, if there are so many."""

MAX_GROUPS = 50
"""How many agents or types are told apart."""

MAX_SPAN = 3_660 * 86_400 * SECOND
"""Microseconds of the longest span that can be asked for, about ten years."""

MAX_SECONDS = 3.0
"""Seconds after which an overview is given up: there are agents without number."""

_CLASSES_PER_DOUBLING = 6


class Sum:
    """Hold what some events come to; *classes* counts their latencies by size."""

    __slots__ = ("classes", "cost_usd", "errors", "events", "tokens")

    def __init__(self) -> None:
        self.events = 0
        self.errors = 0
        self.cost_usd: Optional[float] = None
        self.tokens: Optional[int] = None
        self.classes: Dict[int, int] = {}

    @classmethod
    def read(cls, columns: Sequence[Any]) -> Sum:
        """Return what stands in a row of the table."""
        one = cls()
        one.events, one.errors, one.cost_usd, one.tokens, latencies = columns
        if latencies:
            flat = json.loads(latencies)
            one.classes = dict(zip(flat[::2], flat[1::2]))
        return one

    def written(self) -> Sequence[Any]:
        """Return what shall stand in a row of the table."""
        flat = [number for item in self.classes.items() for number in item]
        latencies = json.dumps(flat, separators=(",", ":")) if flat else None
        return (self.events, self.errors, self.cost_usd, self.tokens, latencies)

    def count(self, row: Row, tokens: Optional[int]) -> None:
        """Add one event."""
        self.events += 1
        self.errors += row.status == "error"
        self.cost_usd = plus(self.cost_usd, row.cost_usd)
        self.tokens = plus(self.tokens, tokens)
        if row.latency_ms is not None:
            size = size_class(row.latency_ms)
            self.classes[size] = self.classes.get(size, 0) + 1

    def add(self, other: Sum, sign: int = 1) -> None:
        """Add *other*, or with *sign* -1 take it away."""
        self.events += sign * other.events
        self.errors += sign * other.errors
        self.cost_usd = plus(self.cost_usd, _signed(other.cost_usd, sign))
        self.tokens = plus(self.tokens, _signed(other.tokens, sign))
        classes = self.classes
        for size, count in other.classes.items():
            left = classes.get(size, 0) + sign * count
            if left:
                classes[size] = left
            else:
                classes.pop(size, None)

    def told(self) -> Dict[str, Any]:
        """Return the sum as the API gives it."""
        return {
            "events": self.events,
            "errors": self.errors,
            "cost_usd": self.cost_usd,
            "tokens": self.tokens,
            "p50_ms": quantile(self.classes.items(), 0.5),
            "p95_ms": quantile(self.classes.items(), 0.95),
        }


def _signed(value: Any, sign: int) -> Any:
    return value if value is None or sign > 0 else -value


def size_class(latency_ms: float) -> int:
    """Return the class in which a latency is counted."""
    return int(_CLASSES_PER_DOUBLING * math.log2(1 + min(latency_ms, 1e15)))


def quantile(classes: Iterable[Tuple[int, int]], share: float) -> Optional[float]:
    """Return the milliseconds below which *share* of the counted latencies are."""
    ordered = sorted(classes)
    left = share * sum(count for _, count in ordered)
    for size, count in ordered:
        left -= count
        if left <= 0 and count:
            middle = 2 ** ((size + 0.5) / _CLASSES_PER_DOUBLING) - 1
            return 0.0 if size == 0 else round(middle, 1)
    return None


# -- written ---------------------------------------------------------------------------

_Place = Tuple[int, int, str, str]

_COLUMNS = "start_us, agent_id, event_type, events, errors, cost_usd, tokens, latencies"
_GET = (
    "SELECT events, errors, cost_usd, tokens, latencies FROM sums WHERE"
    " resolution = ? AND start_us = ? AND agent_id = ? AND event_type = ?"
)
_PUT = "INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DELETE = (
    "DELETE FROM sums WHERE"
    " resolution = ? AND start_us = ? AND agent_id = ? AND event_type = ?"
)


class Sums:
    """Add rows up, and add what they come to to what is stored, or take it away."""

    def __init__(self) -> None:
        self._sums: Dict[_Place, Sum] = {}

    def add(self, row: Row, tokens: Optional[int]) -> None:
        """Count *row* in its minute; the wider spans follow from that."""
        minute = row.timestamp_us // RESOLUTIONS[0] * RESOLUTIONS[0]
        place = (RESOLUTIONS[0], minute, row.agent_id, row.event_type)
        into = self._sums.get(place)
        if into is None:
            into = self._sums[place] = Sum()
        into.count(row, tokens)

    def write(self, connection: sqlite3.Connection, sign: int = 1) -> None:
        """Add to what is stored, or with *sign* -1 take away from it."""
        wide: Dict[_Place, Sum] = {}
        for (_, minute, agent_id, event_type), one in self._sums.items():
            for width in RESOLUTIONS:
                place = (width, minute // width * width, agent_id, event_type)
                wide.setdefault(place, Sum()).add(one, sign)
        for place, change in wide.items():
            known = connection.execute(_GET, place).fetchone()
            if known is not None:
                change.add(Sum.read(known))
            if change.events > 0:
                connection.execute(_PUT, (*place, *change.written()))
            else:
                connection.execute(_DELETE, place)


# -- read ------------------------------------------------------------------------------


class Span(NamedTuple):
    """Hold from when to when is asked, in microseconds, and for whom."""

    first_us: int
    end_us: int
    agent_id: Optional[str] = None
    event_type: Optional[str] = None

    @property
    def resolution(self) -> int:
        """Return the widest sums that make a chart."""
        length = self.end_us - self.first_us
        fitting = [r for r in RESOLUTIONS if length // r >= FEWEST_POINTS]
        return max(fitting, default=RESOLUTIONS[0])

    def aligned(self) -> Span:
        """Return the span of whole sums that covers this one."""
        width = self.resolution
        first = self.first_us // width * width
        return self._replace(first_us=first, end_us=-(-self.end_us // width) * width)

    def before(self) -> Span:
        """Return the equally long span before this one."""
        length = self.end_us - self.first_us
        return self._replace(first_us=self.first_us - length, end_us=self.first_us)

    def condition(self, resolution: int) -> Tuple[str, List[Any]]:
        """Return what the sums of this span have in common, as SQL."""
        words = "resolution = ? AND start_us >= ? AND start_us < ?"
        values: List[Any] = [resolution, self.first_us, self.end_us]
        for name in ("agent_id", "event_type"):
            if getattr(self, name) is not None:
                words += f" AND {name} = ?"
                values.append(getattr(self, name))
        return words, values


def stats(connection: sqlite3.Connection, asked: Span) -> Dict[str, Any]:
    """Return the overview of a span, as the API gives it."""
    width = asked.resolution
    span = asked.aligned()
    points = max(1, (span.end_us - span.first_us) // width)
    bucket = width * -(-points // MOST_POINTS)
    now = _Overview(connection, span, width, bucket)
    before = _Overview(connection, span.before(), width, bucket=0)
    return {
        "from": iso_8601(span.first_us),
        "to": iso_8601(span.end_us),
        "bucket_seconds": bucket // SECOND,
        "total": now.total.told(),
        "before": before.total.told(),
        "series": list(now.series(span, bucket)),
        "agents": _told_by("agent_id", now.agents, before.agents),
        "event_types": _told_by("event_type", now.types, before.types),
        "newest": _newest(connection),
    }


class _Overview:
    """Add up the sums of *span*: all of them, by *bucket*, by agent and by type."""

    def __init__(
        self, connection: sqlite3.Connection, span: Span, width: int, bucket: int
    ) -> None:
        self.total = Sum()
        self.buckets: Dict[int, Sum] = {}
        self.agents: Dict[str, Sum] = {}
        self.types: Dict[str, Sum] = {}
        # First by both: agents and types are few, and the rows are many.
        groups: Dict[Tuple[str, str], Sum] = {}
        deadline = time.monotonic() + MAX_SECONDS
        words, values = span.condition(width)
        for start, agent_id, event_type, *columns in connection.execute(
            f"SELECT {_COLUMNS} FROM sums WHERE {words}",  # noqa: S608 - ours
            values,
        ):
            one = Sum.read(columns)
            if bucket:
                number = (start - span.first_us) // bucket
                self.buckets.setdefault(number, Sum()).add(one)
            groups.setdefault((agent_id, event_type), Sum()).add(one)
            if time.monotonic() > deadline:
                message = "too many agents and types for so long a span"
                raise sqlite3.OperationalError(message)
        for (agent_id, event_type), one in groups.items():
            self.total.add(one)
            self.agents.setdefault(agent_id, Sum()).add(one)
            self.types.setdefault(event_type, Sum()).add(one)

    def series(self, span: Span, bucket: int) -> Iterator[Dict[str, Any]]:
        """Yield the sum of each bucket, also of those without events."""
        for number in range(-(-(span.end_us - span.first_us) // bucket)):
            start = iso_8601(span.first_us + number * bucket)
            yield {"from": start, **self.buckets.get(number, Sum()).told()}


def _told_by(
    name: str, now: Dict[str, Sum], before: Dict[str, Sum]
) -> List[Dict[str, Any]]:
    """Return the largest groups of either span, beside what they were before."""
    sums = {**{value: Sum() for value in before}, **now}
    largest = sorted(sums.items(), key=lambda item: (-item[1].events, item[0]))
    return [
        {name: value, **one.told(), "before": before.get(value, Sum()).told()}
        for value, one in largest[:MAX_GROUPS]
    ]


def _newest(connection: sqlite3.Connection) -> Optional[str]:
    row = connection.execute(
        "SELECT timestamp_us FROM events ORDER BY seq DESC LIMIT 1"
    ).fetchone()
    return None if row is None else iso_8601(row[0])
