"""How calls are made: in a loop, paced, by many threads, by many tasks.

Each call is timed by itself and nothing is subtracted; what a call is given is made
before its time starts.
"""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from typing import Any, Dict, NamedTuple, Sequence

from workloads import Task, marker

THREADS = 50
TASKS = 1000
_BREATH = 10_000_000


class Times(NamedTuple):
    """Nanoseconds: of each call, of each from its scheduled start, the worst stall."""

    calls: Sequence[int]
    since_due: Sequence[int] = ()
    stall: int = 0


def _room(count: int) -> Any:
    return array("q", bytes(8 * count))


def loop(task: Task, job: Dict[str, Any]) -> Times:
    """Call as fast as it goes."""
    times = _room(job["calls"])
    _call_range(task, times, range(job["calls"]))
    return Times(times)


def _call_range(task: Task, times: Any, numbers: range) -> None:
    argument_of, call, clock = task.argument, task.call, time.perf_counter_ns
    for number in numbers:
        argument = argument_of(marker(number))
        began = clock()
        call(argument)
        times[number] = clock() - began


def paced(task: Task, job: Dict[str, Any]) -> Times:
    """Call by an absolute schedule, however late the call before was."""
    count, interval = job["calls"], 1_000_000_000 // job["rate"]
    argument_of, call, clock = task.argument, task.call, time.perf_counter_ns
    times, since_due = _room(count), _room(count)
    due = clock() + _BREATH
    for number in range(count):
        argument = argument_of(marker(number))
        left = due - clock()
        if left > 0:
            time.sleep(left / 1e9)
        began = clock()
        call(argument)
        done = clock()
        times[number], since_due[number] = done - began, done - due
        due += interval
    return Times(times, since_due)


def threads(task: Task, job: Dict[str, Any]) -> Times:
    """Call from fifty threads at once."""
    each = max(1, job["calls"] // THREADS)
    times = _room(each * THREADS)
    start = threading.Barrier(THREADS)

    def work(first: int) -> None:
        start.wait()
        _call_range(task, times, range(first, first + each))

    workers = [
        threading.Thread(target=work, args=(at * each,)) for at in range(THREADS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return Times(times)


def tasks(task: Task, job: Dict[str, Any]) -> Times:
    """Call from a thousand tasks of one event loop, and watch the loop."""
    return asyncio.run(_tasks(task, job["calls"]))


async def _tasks(task: Task, calls: int) -> Times:
    each = max(1, calls // TASKS)
    times = _room(each * TASKS)
    watch = _Watch()
    watching = asyncio.ensure_future(watch.run())
    await asyncio.sleep(0)
    await asyncio.gather(
        *(_work(task, times, range(at * each, at * each + each)) for at in range(TASKS))
    )
    watch.over = True
    await watching
    return Times(times, stall=watch.worst)


async def _work(task: Task, times: Any, numbers: range) -> None:
    argument_of, call, clock = task.argument, task.call, time.perf_counter_ns
    for number in numbers:
        argument = argument_of(marker(number))
        began = clock()
        await call(argument)
        times[number] = clock() - began
        await asyncio.sleep(0)


class _Watch:
    """Sleep a millisecond again and again; *worst* is the latest awakening."""

    def __init__(self) -> None:
        self.over = False
        self.worst = 0

    async def run(self) -> None:
        while not self.over:
            began = time.perf_counter_ns()
            await asyncio.sleep(0.001)
            late = time.perf_counter_ns() - began - 1_000_000
            self.worst = max(self.worst, late)


MODES = {"loop": loop, "paced": paced, "threads": threads, "asyncio": tasks}


def calls_made(mode: str, asked: int) -> int:
    """Return how many calls *mode* makes of those *asked* for."""
    crowd = {"threads": THREADS, "asyncio": TASKS}.get(mode, 1)
    return max(1, asked // crowd) * crowd
