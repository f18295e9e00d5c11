"""What a decorated call costs that makes no event, over the bare function.

Run in the environment of `ours`; prints microseconds as JSON.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, Callable

import agentmonitor_logging

CALLS, BEST_OF = 1_000_000, 5


def ask(question: str) -> str:
    """Answer."""
    return question


def decorated(name: str, *, level: int, enabled: bool) -> Callable[[str], str]:
    """Return `ask`, decorated for a logger with a handler."""
    logger = logging.getLogger(name)
    agentmonitor_logging.configure(
        logger=logger, api_key="k" * 32, agent_id="bench", enabled=enabled
    )
    logger.setLevel(level)
    decorate: Any = agentmonitor_logging.log_agent_call(logger=logger)
    wrapped: Callable[[str], str] = decorate(ask)
    return wrapped


def mean_us(call: Callable[[str], str], calls: int) -> float:
    """Return microseconds of a call, the mean of the best run."""
    best = float("inf")
    for _ in range(BEST_OF):
        began = time.perf_counter()
        for _ in range(calls):
            call("where")
        best = min(best, time.perf_counter() - began)
    return best / calls * 1e6


def main() -> None:
    """Measure and tell."""
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else CALLS
    bare = mean_us(ask, calls)
    below = decorated("below", level=logging.ERROR, enabled=True)
    disabled = decorated("disabled", level=logging.INFO, enabled=False)
    told = {
        "below_level_us": mean_us(below, calls) - bare,
        "disabled_us": mean_us(disabled, calls) - bare,
        "bare_us": bare,
    }
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
