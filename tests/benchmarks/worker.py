"""One measurement, in a process of its own, in the environment of one client.

Run with a job as JSON; the last line printed is the result as JSON. Everything is
configured and warmed up before the first clock is read.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import sys
import time
from typing import Any, Dict, Iterable, Sequence

import calm
import modes
import resources
import workloads
from clients import Client, Endpoint, UnsupportedError, load

WARM_UP = 200
WARM_UP_PATIENCE = 5.0


class Control:
    """The line to the sink, on which one can wait without spending any CPU."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self.ask("/stats")

    def ask(self, path: str) -> Dict[str, Any]:
        """Return the sink's counts, when it answers."""
        self._connection.request("GET", path)
        counts: Dict[str, Any] = json.loads(self._connection.getresponse().read())
        return counts


def measure(job: Dict[str, Any]) -> Dict[str, Any]:
    """Carry out *job* and return its figures."""
    resources.pin(job["core"])
    endpoint = Endpoint(job["url"], job["lines_port"], job["scratch"])
    client = load(job["client"], endpoint)
    answers = client.delivers and job["server"] not in ("dead", "hang")
    control = Control(job["control_port"]) if answers else None
    is_async = modes.is_async(job["mode"])
    task = workloads.task(job["workload"], client, is_async=is_async)
    _warm_up(task, is_async=is_async)
    before: Dict[str, Any] = {}
    if control:
        client.flush()
        before = control.ask(f"/wait?warm={WARM_UP}&patience={WARM_UP_PATIENCE}")
    calm_before = calm.wait(job["fastest_us"])
    resources.forget_peak()
    memory, cpu, began = (
        resources.resident_mb(),
        resources.cpu_seconds(),
        time.monotonic(),
    )
    times = modes.MODES[job["mode"]](task, job)
    figures = _caller(times)
    if control:
        figures.update(_delivery(client, control, began, len(times.calls), before))
    elif job["server"] not in ("dead", "hang"):
        client.shutdown()
    used = resources.cpu_seconds() - cpu
    figures["cpu_us"] = used / len(times.calls) * 1e6
    figures["rss_mb"] = resources.peak_mb() - memory
    figures["seconds"] = time.monotonic() - began
    figures["work_us"] = calm_before, calm.work_us()
    return figures


def _warm_up(task: workloads.Task, *, is_async: bool) -> None:
    marks = map(workloads.warm_marker, range(WARM_UP))
    if is_async:
        asyncio.run(_warm_up_async(task, marks))
        return
    for mark in marks:
        task.call(task.argument(mark))


async def _warm_up_async(task: workloads.Task, marks: Iterable[str]) -> None:
    for mark in marks:
        await task.call(task.argument(mark))


def _caller(times: modes.Times) -> Dict[str, Any]:
    figures = {"calls": len(times.calls), **_percentiles(times.calls, "")}
    if times.since_due:
        figures.update(_percentiles(times.since_due, "due_"))
    if times.stall:
        figures["stall_ms"] = times.stall / 1e6
    return figures


def _percentiles(nanoseconds: Sequence[int], prefix: str) -> Dict[str, float]:
    ranked = sorted(nanoseconds)
    last = len(ranked) - 1
    at = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
    return {
        prefix + name: ranked[round(share * last)] / 1000 for name, share in at.items()
    }


def _delivery(
    client: Client, control: Control, began: float, calls: int, before: Dict[str, Any]
) -> Dict[str, Any]:
    client.shutdown()
    seen = control.ask(f"/wait?calls={calls}")
    if seen["unreadable"]:
        raise UnsupportedError(f"sends what the sink cannot read, {seen['unreadable']}")
    # Both clocks are the system's one: monotonic time is the same in all processes.
    took = seen["last"] - began
    return {
        "lost": calls - seen["distinct"],
        "duplicates": seen["duplicates"],
        "largest": seen["largest"],
        "requests": seen["requests"] - before["requests"],
        "bytes": (seen["bytes"] - before["bytes"]) / calls,
        "per_s": seen["distinct"] / took if seen["distinct"] else 0.0,
    }


def main() -> None:
    """Measure, tell, and be gone: no client is waited for at its exit."""
    try:
        result = measure(json.loads(sys.argv[1]))
    except UnsupportedError as error:
        result = {"error": str(error), "unsupported": True}
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
