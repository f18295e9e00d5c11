"""Flushes of coroutines: none holds up the event loop, or the end of it."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, List

import pytest

import agentmonitor_logging
from agentmonitor_logging import FlushResult
from agentmonitor_logging._flusher import MAX_THREADS, Flusher
from agentmonitor_logging._handler import AgentMonitorHandler
from servers import DEADLINE, Exchange, Raw, Reply
from test_handlers import log

DONE = FlushResult(1, 0, 0)
AT_ONCE = DEADLINE / 2
"""Far less than the option `timeout`, which a server that hangs takes."""


def hangs(request: Any) -> Any:
    return Raw(then="hang")


def flushers() -> List[threading.Thread]:
    threads = threading.enumerate()
    return [thread for thread in threads if thread.name == "agentmonitor-flusher"]


@pytest.mark.parametrize("which", ["of the package", "of a handler", "of a target"])
def test_a_cancelled_flush_does_not_outlive_its_event_loop(
    serve, attach, which
) -> None:
    """asyncio.run ends with what it ran, not with what a server that hangs takes."""
    handler = attach(serve(rule=hangs).url)
    (target,) = handler.targets()
    kinds = {"of the package": agentmonitor_logging, "of a handler": handler}
    flusher: Any = kinds.get(which, target)

    async def main() -> None:
        log.info("event")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(flusher.aflush(), 0.1)

    began = time.monotonic()
    asyncio.run(main())

    assert time.monotonic() - began < AT_ONCE
    handler.shutdown(0.0)


def test_a_flush_needs_none_of_the_applications_threads(server, attach) -> None:
    """Jobs that take every thread of the loop's executor do not hold it up."""
    handler = attach(server.url)
    release = threading.Event()

    async def main() -> FlushResult:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        job = loop.run_in_executor(None, release.wait, DEADLINE)
        log.info("event")
        try:
            return await handler.aflush(AT_ONCE)
        finally:
            release.set()
            await job

    began = time.monotonic()

    assert DONE == asyncio.run(main())
    assert time.monotonic() - began < AT_ONCE


def test_a_flush_keeps_to_its_timeout(serve, attach) -> None:
    """What is pending then is told, and the loop has run meanwhile."""
    handler = attach(serve(rule=hangs).url)

    async def main() -> List[FlushResult]:
        log.info("event")
        flushes = [handler.aflush(seconds) for seconds in (0.0, 0.1, 0.2)]
        return list(await asyncio.gather(*flushes))

    began = time.monotonic()

    assert [FlushResult(0, 1, 0)] * 3 == asyncio.run(main())
    assert time.monotonic() - began < AT_ONCE
    handler.shutdown(0.0)


def test_a_flush_that_hangs_does_not_keep_the_next_from_trying() -> None:
    """Each asks for a request at once, despite the back-off that others wait for."""
    flusher = Flusher()
    tried = threading.Event()

    def wait(seconds: float) -> FlushResult:
        assert tried.wait(seconds)
        return DONE

    def retry(seconds: float) -> FlushResult:
        tried.set()
        return DONE

    async def main() -> List[Any]:
        flushes = [flusher.flush(flush, DEADLINE) for flush in (wait, retry)]
        return list(await asyncio.gather(*flushes))

    assert [DONE, DONE] == asyncio.run(main())


def test_a_thousand_flushes_take_a_few_threads(serve, attach) -> None:
    """Those that are asked for while some are under way share the next."""
    most: List[int] = []
    release = threading.Event()

    def when_all_have_asked(exchange: Exchange) -> None:
        release.wait(DEADLINE)
        Reply()(exchange)

    handler = attach(serve(rule=lambda request: when_all_have_asked).url)

    async def request(number: int) -> FlushResult:
        log.info("event %d", number)
        result = asyncio.ensure_future(handler.aflush(DEADLINE))
        for _ in range(5):
            await asyncio.sleep(0)
        most.append(len(flushers()))
        if number == 999:
            release.set()
        return await result

    async def main() -> List[FlushResult]:
        return list(await asyncio.gather(*map(request, range(1000))))

    results = asyncio.run(main())

    assert all(results)
    assert 1 <= max(most) <= MAX_THREADS
    assert 1000 == handler.stats().delivered


def test_loops_on_many_threads_flush_side_by_side(server, attach) -> None:
    """Each gets its own answer, and no thread of ours stays."""
    handler = attach(server.url)

    async def main(number: int) -> bool:
        log.info("event %d", number)
        return bool(await handler.aflush(DEADLINE))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: asyncio.run(main(n)), range(50)))
    for thread in flushers():
        thread.join(DEADLINE)

    assert [True] * 50 == results
    assert 50 == len(server.event_ids)
    assert [] == flushers()


def test_where_no_thread_can_start_the_loop_waits(monkeypatch) -> None:
    """At exit nobody else would flush any more."""

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> Any:
        monkeypatch.setattr(threading.Thread, "start", no_thread)
        return [await flusher.flush(lambda seconds: DONE, 1.0) for _ in range(3)]

    flusher = Flusher()

    assert [DONE] * 3 == asyncio.run(main())


@pytest.mark.swallows
def test_a_flush_that_fails_answers(capfd) -> None:
    """Out of memory, for one: who waits hears that it is not over."""

    def fail(seconds: float) -> FlushResult:
        raise MemoryError

    assert asyncio.run(Flusher().flush(fail, DEADLINE)) is None


def test_a_disabled_handler_has_nothing_to_flush() -> None:
    """Its aflush takes no thread."""
    handler = AgentMonitorHandler(enabled=False)

    assert FlushResult(0, 0, 0) == asyncio.run(handler.aflush())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_flushes_though_its_parent_was_at_it(serve, attach) -> None:
    """All threads that flush are the parent's, and so is what they wait for."""
    hung = attach(serve(rule=hangs).url)

    async def main() -> None:
        log.info("event")
        waits = [asyncio.ensure_future(hung.aflush(30.0)) for _ in range(MAX_THREADS)]
        await asyncio.sleep(0)
        child = os.fork()
        if child == 0:
            asyncio.set_event_loop(None)
            asyncio._set_running_loop(None)
            os._exit(0 if asyncio.run(hung.aflush(DEADLINE)) else 1)
        _, status = os.waitpid(child, 0)
        assert 0 == status
        for wait in waits:
            wait.cancel()

    asyncio.run(main())
    hung.shutdown(0.0)
