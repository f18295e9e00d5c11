"""What the package sets out to do, as figures, and whether it was measured to do so."""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

from footprint import Footprint
from plan import Cell
from results import Results

Limits = Sequence[Optional[float]]
"""One for each of W1, W2, W3; None where there is no target."""


class Check(NamedTuple):
    """One measured value beside its limit."""

    what: str
    value: Optional[float]
    limit: float
    at_least: bool = False
    bare: Optional[float] = None
    """What was measured where nobody monitors: no client can be below it."""

    @property
    def passed(self) -> Optional[bool]:
        """Tell whether the limit is kept; None if it was not measured."""
        if self.value is None:
            return None
        if self.at_least:
            return self.value >= self.limit
        return self.value <= self.limit


class Target(NamedTuple):
    """A line of the table."""

    text: str
    unit: str
    checks: List[Check]

    @property
    def verdict(self) -> str:
        """Return the outcome in a word, with what failed."""
        failed = [check.what for check in self.checks if check.passed is False]
        if failed:
            return f"FAIL {' '.join(failed)}".strip()
        open_ = [check.what for check in self.checks if check.passed is None]
        if len(open_) == len(self.checks):
            return "not measured"
        return f"pass, not measured: {' '.join(open_)}" if open_ else "pass"


class _Ratio(NamedTuple):
    text: str
    figure: str
    mode: str
    server: str
    reference: str
    limits: Limits
    client: str = "ours"
    at_least: bool = False


_FASTER = (0.12, 0.12, 0.12)
_RATIOS = (
    _Ratio("call p50, against queue", "p50", "loop", "0", "queue", (0.9, 2.2, 0.75)),
    _Ratio("call p50, against otel", "p50", "loop", "0", "otel", (0.5, 0.5, 0.25)),
    _Ratio("call p50, against langfuse", "p50", "loop", "0", "langfuse", _FASTER),
    _Ratio(
        *("call p50, against langsmith", "p50", "loop", "0", "langsmith"),
        (0.12, 0.12, None),
    ),
    _Ratio("call p50, against logfire", "p50", "loop", "0", "logfire", _FASTER),
    _Ratio(
        *("call p99 paced, against queue", "p99", "paced", "0", "queue"),
        (1.0, 1.3, 1.0),
    ),
    _Ratio(
        *("the same, server dead", "p99", "paced", "dead", "queue"),
        (1.0, 1.3, 1.0),
    ),
    _Ratio(
        *("paced, due to done p99, against otel", "due_p99", "paced", "0", "otel"),
        (0.3, 0.5, 0.3),
    ),
    _Ratio(
        *("CPU per event, loop, against otel", "cpu_us", "loop", "0", "otel"),
        (0.6, 0.8, 0.35),
    ),
    _Ratio(
        *("the same with orjson", "cpu_us", "loop", "0", "otel"),
        (0.5, 0.6, 0.3),
        "ours_orjson",
    ),
    _Ratio(
        *("CPU per event, paced, against diy", "cpu_us", "paced", "0", "diy"),
        (0.8, 1.0, 0.8),
    ),
    _Ratio(
        *("delivered per second, against otel", "per_s", "loop", "0", "otel"),
        (1.3, 1.3, 2.5),
        at_least=True,
    ),
    _Ratio(
        *("the same, server answers after 50 ms", "per_s", "loop", "50", "otel"),
        (None, 1.4, None),
        at_least=True,
    ),
    _Ratio(
        *("CPU per event with a spool, against ours", "cpu_us", "loop", "0", "ours"),
        (None, 1.25, None),
        "ours_spool",
    ),
)


class _Bound(NamedTuple):
    text: str
    figure: str
    unit: str
    mode: str
    server: str
    limits: Limits


_BOUNDS = (
    _Bound("lost of a burst", "lost", "", "loop", "0", (0, 0, 0)),
    _Bound("the same at 50 ms", "lost", "", "loop", "50", (0, 0, 0)),
    _Bound("duplicates", "duplicates", "", "loop", "0", (0, 0, 0)),
    _Bound("the same at 50 ms", "duplicates", "", "loop", "50", (0, 0, 0)),
    _Bound("largest batch", "largest", "", "loop", "0", (100, 100, 100)),
    _Bound("memory added at most", "rss_mb", "MB", "loop", "0", (None, 150, None)),
    _Bound(
        *("event loop stalled at most, server hangs", "stall_ms", "ms"),
        *("asyncio", "hang", (10, 10, None)),
    ),
    _Bound(
        *("the same, 2,000 calls a second", "stall_ms", "ms"),
        *("asyncio-paced", "hang", (10, 10, None)),
    ),
    _Bound(
        *("the same in a tight loop, by any one call", "max", "µs"),
        *("asyncio", "hang", (10_000, 10_000, None)),
    ),
)


def judge(
    results: Results, footprints: Dict[str, Footprint], silent: Dict[str, Any]
) -> List[Target]:
    """Return all targets, measured."""
    return [
        *_ratios(results),
        *_bounds(results),
        *_silence(silent),
        *_footprint(footprints),
    ]


def _checks(
    limits: Limits,
    value_of: Callable[[str, str], Optional[float]],
    client: str = "ours",
    *,
    at_least: bool = False,
) -> List[Check]:
    """Return the checks of *client*, each beside what is measured without any.

    Where the workload is to log, that is a logger which throws its records away.
    """
    return [
        Check(
            workload,
            value_of(workload, client),
            limit,
            at_least,
            value_of(workload, "null" if workload == "W3" else "noop"),
        )
        for workload, limit in zip(("W1", "W2", "W3"), limits)
        if limit is not None
    ]


def _ratios(results: Results) -> Iterator[Target]:
    for one in _RATIOS:

        def value(workload: str, client: str, one: _Ratio = one) -> Optional[float]:
            cell = Cell(workload, one.mode, one.server)
            return results.ratio(cell, client, one.reference, one.figure)

        checks = _checks(one.limits, value, one.client, at_least=one.at_least)
        yield Target(one.text, "×", checks)


def _bounds(results: Results) -> Iterator[Target]:
    for one in _BOUNDS:

        def value(workload: str, client: str, one: _Bound = one) -> Optional[float]:
            cell = Cell(workload, one.mode, one.server)
            exact = one.unit == ""
            pick = results.worst if exact else results.median
            return pick(cell, client, one.figure)

        yield Target(one.text, one.unit, _checks(one.limits, value))


def _silence(silent: Dict[str, Any]) -> Iterator[Target]:
    checks = [
        Check("level", silent.get("below_level_us"), 0.3),
        Check("disabled", silent.get("disabled_us"), 0.3),
    ]
    text = "a call below the level, and with enabled=False, over the bare one"
    yield Target(text, "µs", checks)


def _footprint(footprints: Dict[str, Footprint]) -> Iterator[Target]:
    ours, requests = footprints.get("ours"), footprints.get("requests")
    ratio = ours.import_ms / requests.import_ms if ours and requests else None
    text = "import, against import requests"
    yield Target(text, "×", [Check("", ratio, 0.5)])
    packages = Check("packages", len(ours.packages) if ours else None, 8)
    size, needed = (ours.megabytes, ours.needed) if ours else (None, None)
    megabytes = Check("MB", size, 5, bare=needed)
    yield Target("the installed core: packages, MB", "", [packages, megabytes])
