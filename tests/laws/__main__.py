"""Try laws one after the other until one is broken; a line of JSON tells of each."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import json
import logging
import logging.config
import os
import sys
import threading
import time
import traceback
from typing import Iterable, List

from laws import Law
from servers import DEADLINE, ScriptedServer

SECONDS_PER_LAW = 20


def main(module: str, *names: str) -> None:
    laws = importlib.import_module(f"laws.{module}").laws
    for name in names:
        faulthandler.dump_traceback_later(SECONDS_PER_LAW, exit=True)
        verdict = complaint(laws[name])
        print(json.dumps([name, verdict]), flush=True)
        if verdict:
            # What it left behind is not the next one's to explain.
            os._exit(0)


def complaint(law: Law) -> str:
    """Return why *law* was not kept, or nothing."""
    try:
        with ScriptedServer() as server:
            law(server)
            assert_nothing_is_left()
    except BaseException:  # noqa: BLE001 - it is the verdict
        return traceback.format_exc()
    return ""


def assert_nothing_is_left() -> None:
    """Configure everything away, and see that books, threads and errors are in order."""
    from agentmonitor_logging import _diagnostics, _process, shutdown, stats

    logging.disable(logging.NOTSET)
    for logger in loggers():
        logger.handlers.clear()
        logger.filters.clear()
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.NOTSET)
    logging.getLogger().setLevel(logging.WARNING)
    logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
    shutdown(2.0)
    wait_for_threads()
    books = stats()
    assert books.accepted == books.delivered + sum(books.lost.values()), books
    swallowed = list(_diagnostics.swallowed)
    del _diagnostics.swallowed[:]
    _diagnostics.reset()
    assert swallowed == [], swallowed
    deadline = time.monotonic() + DEADLINE
    while _process.live():  # a thread that has closed it may not have let go yet
        gc.collect()
        assert time.monotonic() < deadline, "a handler is kept alive"


def loggers() -> Iterable[logging.Logger]:
    root = logging.getLogger()
    known = list(root.manager.loggerDict.values())
    return [root, *(item for item in known if isinstance(item, logging.Logger))]


def wait_for_threads() -> None:
    deadline = time.monotonic() + DEADLINE
    while ours := our_threads():
        for thread in ours:
            with contextlib.suppress(RuntimeError):  # it is only just being started
                thread.join(max(0.0, deadline - time.monotonic()))
        assert time.monotonic() < deadline, f"{ours} did not end"


def our_threads() -> List[threading.Thread]:
    threads = threading.enumerate()
    return [thread for thread in threads if thread.name.startswith("agentmonitor-")]


if __name__ == "__main__":
    main(*sys.argv[1:])
