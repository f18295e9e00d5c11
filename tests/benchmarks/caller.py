"""Measure what a call costs its caller: ours beside the standard QueueHandler.

Run it with `python tests/benchmarks/caller.py`. Rounds of all candidates are
interleaved in one process, paced so that background work is over between calls,
and medians of per-call times are printed, as ratios to the standard library's too.
Absolute figures are this machine's; the ratios travel.
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

CALLS = 300
ROUNDS = 15
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
    return {"NullHandler": logging.NullHandler(), "QueueHandler": standard, "ours": ours}


def calls(logger: logging.Logger) -> Dict[str, Callable[[], Any]]:
    @agentmonitor_logging.log_agent_call(logger=logger)
    def answer(messages: List[Dict[str, str]]) -> str:
        return "yes"

    return {
        "logger.info, 12 extra fields": lambda: logger.info("done", extra=EXTRA),
        "@log_agent_call, 20 messages": lambda: answer(HISTORY),
        "bare logger.info": lambda: logger.info("done %d", 1),
    }


def measure(call: Callable[[], Any]) -> float:
    """Return the median of the calls' times in microseconds."""
    times = []
    for _ in range(CALLS):
        began = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}")
    server = ScriptedServer()
    figures: Dict[str, Dict[str, List[float]]] = {}
    candidates = handlers(server.url)
    for _ in range(ROUNDS):
        for name, handler in candidates.items():
            logger = logging.getLogger(f"benchmark.{name}")
            logger.propagate = False
            logger.handlers[:] = [handler]
            logger.setLevel(logging.INFO)
            for what, call in calls(logger).items():
                figures.setdefault(what, {}).setdefault(name, []).append(measure(call))
                handler.flush()
    for what, by_name in figures.items():
        reference = statistics.median(by_name["QueueHandler"])
        print(f"\n{what}")
        for name, medians in by_name.items():
            median = statistics.median(medians)
            print(f"  {name:14} {median:7.1f} us   {median / reference:5.2f} x QueueHandler")
    print()
    print(agentmonitor_logging.stats())
    agentmonitor_logging.shutdown()
    server.close()


if __name__ == "__main__":
    main()
