"""What the package may cost at most while nothing can be delivered.

Run with `python tests/benchmarks/bounds.py`: floods and paced loads against a server
that refuses and one that never answers, each in a process of its own. Limits are at
the top; exit status 1 tells that one was not kept.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from array import array
from typing import Any, Dict, List, NamedTuple, Tuple

import resources
import workloads
from measuring import HERE, RATE, SinkProcess, clean_environment
from modes import Times, paced

LIMITS = {"rss_mb": 150.0, "max_ms": 200.0, "p99_ms": 1.0, "idle_percent": 1.0}
LINE_INTERVAL = 30.0
"""Seconds in which the package writes at most one line about one problem."""

IDLE_SECONDS = 10.0
_QUIET_WINDOW, _QUIET_CPU, _QUIET_PATIENCE = 0.5, 0.01, 120.0
_SLACK = 0.1


class Scenario(NamedTuple):
    """A load on a server; *rate* None is as fast as it goes."""

    server: str
    load: str
    events: int

    def __str__(self) -> str:
        return f"{self.events:,} {self.load}, server {self.server}"


def scenarios(scale: float) -> List[Scenario]:
    """Return what is run, with *scale* times the events."""
    return [
        Scenario("dead", "flood of 300 bytes", int(500_000 * scale)),
        Scenario("hang", "flood of 300 bytes", int(200_000 * scale)),
        Scenario("dead", "W2 paced", int(10 * RATE * scale)),
        Scenario("hang", "W2 paced", int(10 * RATE * scale)),
    ]


class Told(logging.Handler):
    """Keep what the package says of itself, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: List[Tuple[float, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((time.monotonic(), record.getMessage()))

    def too_many(self) -> int:
        """Count the lines that repeat one of less than thirty seconds before."""
        last: Dict[str, float] = {}
        repeated = 0
        for when, text in self.lines:
            problem = re.sub(r"\d+", "#", text.partition("(")[0])
            repeated += (
                when - last.get(problem, -LINE_INTERVAL) < LINE_INTERVAL - _SLACK
            )
            last[problem] = when
        return repeated


def flood(logger: logging.Logger, count: int) -> Times:
    """Log as fast as it goes, from one thread."""
    times: Any = array("q", bytes(8 * count))
    clock, info, text = time.perf_counter_ns, logger.info, "word " * 50
    for number in range(count):
        extra = {"number": number, "text": f"{text}{number}"}
        began = clock()
        info("a line", extra=extra)
        times[number] = clock() - began
    return Times(times)


def measure(scenario: Scenario, url: str) -> Dict[str, Any]:
    """Carry *scenario* out in this process."""
    import agentmonitor_logging
    from clients import Endpoint, ours

    told = Told()
    logging.getLogger("agentmonitor_logging").addHandler(told)
    client = ours.Client(Endpoint(url, 0, ""))
    task = workloads.task("W2", client)
    resources.forget_peak()
    memory = resources.resident_mb()
    if scenario.load.startswith("W2"):
        times = paced(task, {"calls": scenario.events, "rate": RATE})
    else:
        times = flood(client.logger, scenario.events)
    busy = _wait_until_quiet()
    idle = _cpu_percent(IDLE_SECONDS)
    ranked = sorted(times.calls)
    stats = agentmonitor_logging.stats()
    lost = sum(stats.lost.values())
    return {
        "rss_mb": resources.peak_mb() - memory,
        "p50_ms": ranked[len(ranked) // 2] / 1e6,
        "p99_ms": ranked[len(ranked) * 99 // 100] / 1e6,
        "max_ms": ranked[-1] / 1e6,
        "busy_s": busy,
        "idle_percent": idle,
        "lines": len(told.lines),
        "repeated": told.too_many(),
        **{"accepted": stats.accepted, "delivered": stats.delivered},
        **{"pending": stats.pending, "lost": lost},
        "by_reason": stats.lost,
        "adds_up": stats.accepted == stats.delivered + stats.pending + lost,
        "complete": stats.accepted == scenario.events,
    }


def _wait_until_quiet() -> float:
    """Return after how many seconds what was logged had been converted."""
    began = time.monotonic()
    while time.monotonic() - began < _QUIET_PATIENCE:
        if _cpu_percent(_QUIET_WINDOW) < _QUIET_CPU / _QUIET_WINDOW * 100:
            break
    return time.monotonic() - began


def _cpu_percent(seconds: float) -> float:
    before, began = resources.cpu_seconds(), time.monotonic()
    threading.Event().wait(seconds)
    used = resources.cpu_seconds() - before
    return used / (time.monotonic() - began) * 100


def failures(figures: Dict[str, Any]) -> List[str]:
    """Return what was not kept."""
    failed = [name for name, limit in LIMITS.items() if figures[name] >= limit]
    failed += ["repeated lines"] if figures["repeated"] else []
    failed += [name for name in ("adds_up", "complete") if not figures[name]]
    return failed


def run(scenario: Scenario) -> Dict[str, Any]:
    """Carry *scenario* out in a process of its own."""
    with SinkProcess(scenario.server, pinned=False) as sink:
        url = f"http://127.0.0.1:{sink.ports['http']}"
        command = [sys.executable, os.path.abspath(__file__)]
        command += ["--one", json.dumps([list(scenario), url])]
        done = subprocess.run(
            command,
            check=True,
            env={**clean_environment(), "PYTHONPATH": str(HERE.parent.parent)},
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
    figures: Dict[str, Any] = json.loads(done.stdout)
    return figures


def show(scenario: Scenario, figures: Dict[str, Any]) -> None:
    """Print a scenario's outcome."""
    failed = failures(figures)
    print(f"{scenario}: {'FAIL ' + ', '.join(failed) if failed else 'pass'}")
    print(
        "  memory +{rss_mb:.0f} MB; call p50 {p50_ms:.3f}, p99 {p99_ms:.3f}, "
        "max {max_ms:.1f} ms; busy {busy_s:.0f} s more, then {idle_percent:.2f} % CPU; "
        "{lines} lines ({repeated} repeated)".format(**figures)
    )
    print(
        "  accepted {accepted:,} = delivered {delivered:,} + pending {pending:,} + "
        "lost {lost:,} {by_reason}".format(**figures),
        flush=True,
    )


def main() -> None:
    """Run all scenarios, or the one that this process is for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--scale", type=float, default=1.0, help="of the event counts")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        fields, url = json.loads(given.one)
        print(json.dumps(measure(Scenario(*fields), url)), flush=True)
        os._exit(0)
    limits = ", ".join(f"{name} < {limit:g}" for name, limit in LIMITS.items())
    print(f"limits: {limits}; one line per problem in {LINE_INTERVAL:g} s")
    failed = False
    for scenario in scenarios(given.scale):
        figures = run(scenario)
        show(scenario, figures)
        failed = failed or bool(failures(figures))
    sys.exit(failed)


if __name__ == "__main__":
    main()
