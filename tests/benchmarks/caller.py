"""Measure what a call costs its caller: ours beside the standard QueueHandler.

Run it with `python tests/benchmarks/caller.py`. Samples of all candidates take turns
in one process, background work is over before the next one starts, and the median
and the lowest time of a call are printed, as ratios to the standard library's too.
Absolute figures are this machine's at this hour; the ratios travel.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import platform
import queue
import statistics
import sys
import time
from typing import Any, Callable, Dict, List

sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir, os.pardir))
sys.path.insert(0, os.path.join(os.path.dirname(__file__), os.pardir))

import agentmonitor_logging
from servers import ScriptedServer

SAMPLES = 600
CALLS = 20
"""Calls timed together: enough to measure, too few for a batch to fill and be sent."""
HISTORY = [
    {"role": "user" if number % 2 else "assistant", "content": "word " * 40}
    for number in range(20)
]
EXTRA = {f"field_{number}": f"value {number}" for number in range(12)}


def handlers(url: str) -> Dict[str, logging.Handler]:
    records: Any = queue.SimpleQueue()
    standard = logging.handlers.QueueHandler(records)
    listener = logging.handlers.QueueListener(records, logging.NullHandler())
    listener.start()
    ours = agentmonitor_logging.AgentMonitorQueueHandler(
        api_key="k" * 32, agent_id="benchmark", api_url=url
    )
    return {
        "NullHandler": logging.NullHandler(),
        "QueueHandler": standard,
        "ours": ours,
    }


def calls(logger: logging.Logger) -> Dict[str, Callable[[], Any]]:
    @agentmonitor_logging.log_agent_call(logger=logger)
    def answer(messages: List[Dict[str, str]]) -> str:
        return "yes"

    return {
        "logger.info, 12 extra fields": lambda: logger.info("done", extra=EXTRA),
        "@log_agent_call, 20 messages": lambda: answer(HISTORY),
        "bare logger.info": lambda: logger.info("done %d", 1),
    }


def attached(name: str, handler: logging.Handler) -> logging.Logger:
    logger = logging.getLogger(f"benchmark.{name}")
    logger.propagate = False
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    return logger


def measure(candidates: Dict[str, Callable[[], Any]]) -> Dict[str, List[float]]:
    """Return the times of a call in microseconds, all candidates in turn."""
    times: Dict[str, List[float]] = {name: [] for name in candidates}
    for _ in range(SAMPLES):
        for name, call in candidates.items():
            began = time.perf_counter_ns()
            for _ in range(CALLS):
                call()
            times[name].append((time.perf_counter_ns() - began) / CALLS / 1000)
            # The background work of one must not be the neighbour's burden.
            agentmonitor_logging.flush()
    return times


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}")
    server = ScriptedServer()
    loggers = {
        name: attached(name, handler) for name, handler in handlers(server.url).items()
    }
    by_name = {name: calls(logger) for name, logger in loggers.items()}
    for what in by_name["ours"]:
        times = measure({name: by_name[name][what] for name in by_name})
        reference = statistics.median(times["QueueHandler"])
        print(f"\n{what}: median (lowest) microseconds")
        for name, measured in times.items():
            median = statistics.median(measured)
            print(
                f"  {name:14} {median:7.1f} ({min(measured):5.1f})"
                f"   {median / reference:5.2f} x QueueHandler"
            )
    print()
    print(agentmonitor_logging.stats())
    agentmonitor_logging.shutdown()
    server.close()


if __name__ == "__main__":
    main()
