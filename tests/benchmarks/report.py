"""The results as Markdown: targets first, then every table they are taken from."""

from __future__ import annotations

import os
import platform
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import workloads
from footprint import Footprint
from plan import CLIENTS, Cell
from results import WORST, Results
from targets import Check, Target


class Column(NamedTuple):
    """A figure as the tables show it."""

    figure: str
    title: str
    digits: int = 1


COLUMNS = (
    Column("p50", "p50 µs"),
    Column("p90", "p90 µs"),
    Column("p99", "p99 µs"),
    Column("max", "max µs", 0),
    Column("due_p50", "due to done p50 µs"),
    Column("due_p99", "due to done p99 µs"),
    Column("stall_ms", "stall ms"),
    Column("cpu_us", "CPU µs/event"),
    Column("per_s", "delivered/s", 0),
    Column("lost", "lost", 0),
    Column("duplicates", "duplicates", 0),
    Column("largest", "largest batch", 0),
    Column("bytes", "bytes/event", 0),
    Column("rss_mb", "peak MB"),
)
ROUNDS, CALLS = 5, 20_000
REFERENCES = (("p50", "queue"), ("p99", "queue"), ("cpu_us", "otel"))


class Run(NamedTuple):
    """How a run was made: what a reader needs to judge it, or to repeat it."""

    command: str
    rounds: int
    calls: int
    pinned: bool
    calmness: str

    def reservations(self) -> Iterator[str]:
        """Say where these are fewer measurements than the targets speak of."""
        if self.rounds < ROUNDS or self.calls < CALLS:
            yield (
                f"The targets are for {ROUNDS} rounds of {CALLS:,} calls; of "
                f"{self.rounds} of {self.calls:,} they tell the direction only."
            )
            yield ""


def render(
    run: Run,
    results: Results,
    footprints: Dict[str, Footprint],
    targets: Sequence[Target],
) -> str:
    """Return the whole document."""
    lines = ["# Benchmark results", "", *_machine(run), ""]
    lines += ["## Targets", "", *run.reservations(), *target_table(targets), ""]
    lines += ["## Clients", "", *_clients(footprints), ""]
    if results.left_out:
        lines += ["## Left out", ""]
        lines += [f"- `{name}`: {why}" for name, why in results.left_out.items()]
        lines += [""]
    for cell in results.cells():
        lines += [*_cell(cell, results), ""]
    lines += ["## Footprint", "", *_footprints(footprints), ""]
    return "\n".join(lines)


def _machine(run: Run) -> Iterator[str]:
    pinned = "each process on a core of its own" if run.pinned else "not pinned"
    made = f"{platform.python_implementation()} {platform.python_version()}"
    yield (
        f"Written by `{run.command}` on {time.strftime('%Y-%m-%d')}: {_cpu()}, "
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {made}; "
        f"{run.rounds} rounds, {run.calls:,} calls, {pinned}."
    )
    yield ""
    yield (
        "Medians over the rounds; of what was lost, sent twice or together, the worst. "
        f"{run.calmness} Absolute figures are this machine's at this hour; the ratios "
        "travel."
    )
    yield ""
    yield "| workload | |"
    yield "|---|---|"
    for name, text in workloads.NAMES.items():
        yield f"| {name} | {text} |"


def _clients(footprints: Dict[str, Footprint]) -> Iterator[str]:
    yield "| client | version | |"
    yield "|---|---|---|"
    for name, one in footprints.items():
        yield f"| {name} | {one.version} | {one.note} |"


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def target_table(targets: Sequence[Target]) -> Iterator[str]:
    """Yield the lines of the table of targets."""
    yield "| figure | target | measured | without monitoring | |"
    yield "|---|---|---|---|---|"
    for target in targets:
        limits = " / ".join(_limit(check) for check in target.checks)
        values = " / ".join(_number(check.value, 2) for check in target.checks)
        bare = " / ".join(_number(check.bare, 2) for check in target.checks)
        if all(check.bare is None for check in target.checks):
            bare = ""
        yield (
            f"| {_named(target)} | {limits} {target.unit} | {values} | {bare} "
            f"| {target.verdict} |"
        )


def _named(target: Target) -> str:
    whats = " / ".join(check.what for check in target.checks)
    return f"{target.text} ({whats})" if whats.startswith("W") else target.text


def _limit(check: Check) -> str:
    return f"{'≥' if check.at_least else '≤'} {_number(check.limit, 2)}"


def _number(value: Optional[float], digits: int) -> str:
    if value is None:
        return "–"
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if digits == 2 and "." in text else text


def _cell(cell: Cell, results: Results) -> Iterator[str]:
    server = f"{cell.server} ms" if cell.server.isdigit() else cell.server
    yield f"## {cell.workload}, {cell.mode}, server {server}"
    yield ""
    clients = [name for name in CLIENTS if results.rounds(cell, name)]
    if clients:
        yield from _table(cell, clients, results)
    failures = results.failures(cell)
    for client, reason in failures.items():
        yield ""
        yield f"`{client}` is missing here, or in part: {reason}."


def _table(cell: Cell, clients: List[str], results: Results) -> Iterator[str]:
    def shown(client: str, column: Column) -> str:
        pick = results.worst if column.figure in WORST else results.median
        return _number(pick(cell, client, column.figure), column.digits)

    columns = [
        column
        for column in COLUMNS
        if any(shown(client, column) != "–" for client in clients)
    ]
    references = [pair for pair in REFERENCES if pair[1] in clients]
    titles = [column.title for column in columns]
    titles += [f"{figure.partition('_')[0]} × {name}" for figure, name in references]
    yield "| client | " + " | ".join(titles) + " |"
    yield "|---" + "|--:" * len(titles) + "|"
    for client in clients:
        values = [shown(client, column) for column in columns]
        values += [
            _number(results.ratio(cell, client, name, figure), 2)
            for figure, name in references
        ]
        yield f"| {client} | " + " | ".join(values) + " |"


def _footprints(footprints: Dict[str, Footprint]) -> Iterator[str]:
    yield "| client | packages | MB | import ms |"
    yield "|---|--:|--:|--:|"
    for name, one in footprints.items():
        packages = len(one.packages) if name != "requests" else "–"
        size = f"{one.megabytes:.1f}" if name != "requests" else "–"
        yield f"| {name} | {packages} | {size} | {one.import_ms:.0f} |"
    yield ""
    yield "Packages and megabytes are without pip and setuptools; an import is the best"
    yield "of several, over the bare interpreter."
    yield ""
    for name, one in footprints.items():
        if one.packages:
            told = ", ".join(f"{key} {value}" for key, value in one.packages.items())
            yield f"- `{name}`: {told}"
