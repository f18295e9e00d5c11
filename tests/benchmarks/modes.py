"""How calls are made: in a loop, paced, by many threads, by many tasks, paced or not.

Each call is timed by itself and nothing is subtracted; what a call is given is made
before its time starts.
"""

from __future__ import annotations

import asyncio
import threading
import time
from array import array
from typing import Any, Callable, Dict, NamedTuple, Sequence

from workloads import Task, marker

THREADS = 50
TASKS = 1000
_BREATH = 10_000_000
_START = 0.05
"""Seconds until a thousand tasks are there, which is nobody's stall."""


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
    return asyncio.run(_tasks(task, job["calls"], _work, start=0))


def paced_tasks(task: Task, job: Dict[str, Any]) -> Times:
    """Do the same with tasks that wait in between, as for the answer of a model.

    Their calls are spread evenly; all together they keep to the rate.
    """
    interval = 1 / job["rate"]

    async def work(task: Task, times: Any, numbers: range) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + 2 * _START + numbers[0] // len(numbers) * interval
        for number in numbers:
            await asyncio.sleep(due - loop.time())
            await _call(task, times, number)
            due += TASKS * interval

    return asyncio.run(_tasks(task, job["calls"], work, start=_START))


async def _tasks(
    task: Task, calls: int, work: Callable[..., Any], *, start: float
) -> Times:
    each = max(1, calls // TASKS)
    times = _room(each * TASKS)
    watch = _Watch(start)
    watching = asyncio.ensure_future(watch.run())
    await asyncio.sleep(0)
    await asyncio.gather(
        *(work(task, times, range(at * each, at * each + each)) for at in range(TASKS))
    )
    watch.over = True
    await watching
    return Times(times, stall=watch.worst)


async def _work(task: Task, times: Any, numbers: range) -> None:
    for number in numbers:
        await _call(task, times, number)
        await asyncio.sleep(0)


async def _call(task: Task, times: Any, number: int) -> None:
    argument, clock = task.argument(marker(number)), time.perf_counter_ns
    began = clock()
    await task.call(argument)
    times[number] = clock() - began


class _Watch:
    """Sleep a millisecond again and again; *worst* is the latest awakening."""

    def __init__(self, start: float) -> None:
        self.over = False
        self.worst = 0
        self._start = start

    async def run(self) -> None:
        await asyncio.sleep(self._start)
        while not self.over:
            began = time.perf_counter_ns()
            await asyncio.sleep(0.001)
            late = time.perf_counter_ns() - began - 1_000_000
            self.worst = max(self.worst, late)


MODES = {
    **{"loop": loop, "paced": paced, "threads": threads},
    **{"asyncio": tasks, "asyncio-paced": paced_tasks},
}


def is_async(mode: str) -> bool:
    """Tell whether *mode* calls coroutine functions."""
    return mode.startswith("asyncio")


def is_paced(mode: str) -> bool:
    """Tell whether *mode* makes its calls by a schedule."""
    return mode.endswith("paced")


def calls_made(mode: str, asked: int, at_most: int) -> int:
    """Return how many calls *mode* makes of those *asked* for; paced, no more than."""
    crowd = {"threads": THREADS, "asyncio": TASKS, "asyncio-paced": TASKS}.get(mode, 1)
    calls = min(asked, at_most) if is_paced(mode) else asked
    return max(1, calls // crowd) * crowd
