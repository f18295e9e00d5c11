"""configure() and what works over all handlers."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import threading
import time
import weakref
from typing import Any, Iterator, List

import pytest

import agentmonitor_logging as am
from conftest import KEY
from leaving import ILLS
from servers import DEADLINE, Raw, Reply, Slow


@pytest.fixture(autouse=True)
def _only_our_handlers(collect_garbage: Any) -> Iterator[None]:
    """Let handlers of earlier tests be gone."""
    collect_garbage()
    yield


def configured(server: Any, **options: Any) -> am.AgentMonitorQueueHandler:
    return am.configure(api_key=KEY, agent_id="bot", api_url=server.url, **options)


def test_configure_ships_what_is_logged_anywhere(server) -> None:
    """After configure() any logger's INFO arrives, DEBUG does not."""
    configured(server)
    logging.getLogger("anything").info("hello")
    logging.getLogger("anything").debug("not this")

    assert am.flush(DEADLINE)
    assert ["hello"] == server.messages()


def test_configure_takes_a_logger_or_its_name(server) -> None:
    """With logger=, only that logger is shipped."""
    handler = configured(server, logger="bot", level="WARNING")
    logging.getLogger("bot.part").warning("mine")
    logging.getLogger("bot.part").info("too low")
    logging.getLogger("elsewhere").warning("not mine")

    assert handler.flush(DEADLINE)
    assert ["mine"] == server.messages()


def test_configure_again_replaces(server, serve) -> None:
    """A notebook cell that is run twice does not ship everything twice."""
    other = serve()
    configured(server)
    logging.getLogger("a").info("first")
    configured(other)
    logging.getLogger("a").info("second")

    assert am.flush(DEADLINE)
    assert ["first"] == server.messages()
    assert ["second"] == other.messages()


def test_configure_again_leaves_no_gap(serve) -> None:
    """While the earlier handler closes, which may take seconds, the new one hears."""
    hanging = serve(rule=lambda request: Raw(then="hang"))
    earlier = configured(hanging, shutdown_timeout=1.0)
    other = serve()
    log = logging.getLogger("a")
    log.info("first")
    hanging.wait_requests(1)
    made: List[am.AgentMonitorQueueHandler] = []
    again = threading.Thread(target=lambda: made.append(configured(other)))
    again.start()
    number = 0
    while again.is_alive():
        log.info("call %d", number)
        number += 1
        again.join(0.01)

    assert made[0].flush(DEADLINE)
    assert number + 1 == earlier.stats().accepted + len(other.stored)


@pytest.mark.parametrize("name", ["quiet", None])
def test_configure_with_no_level_ships_everything(server, name: Any) -> None:
    """NOTSET is the lowest, though to a logger it means: as the one above."""
    handler = configured(server, logger=name, level=logging.NOTSET)
    logging.getLogger(name).debug("low")

    assert handler.flush(DEADLINE)
    assert ["low"] == server.messages()


def test_configure_leaves_a_lower_level_alone(server) -> None:
    """A logger that lets DEBUG through goes on doing so."""
    logging.getLogger("fine").setLevel(logging.DEBUG)
    configured(server, logger="fine")

    assert logging.DEBUG == logging.getLogger("fine").level


@pytest.mark.parametrize(
    "options",
    [
        {"api_key": "short"},
        {"batch_size": 0},
        {"level": "LOUD"},
        {"colour": "red"},
        {"logger": 5},
    ],
)
def test_configure_refuses_wrong_options(server, options: Any) -> None:
    """A wrong option is a ConfigError that names it."""
    with pytest.raises(am.ConfigError, match=next(iter(options))):
        am.configure(
            **{"api_key": KEY, "agent_id": "bot", "api_url": server.url, **options}
        )
    assert not logging.getLogger().level == logging.INFO


def test_flush_and_stats_are_over_all_handlers(server, serve, attach) -> None:
    """Counts are summed, and each handler once, whoever feeds it."""
    other = serve()
    attach(server.url)
    attach(other.url, name="second")
    logging.getLogger("agent").info("a")
    logging.getLogger("second").info("b")
    result = am.flush(DEADLINE)

    assert result
    assert 2 == result.delivered
    assert 2 == am.stats().accepted == am.stats().delivered


def test_aflush_is_over_all_handlers(server, attach) -> None:
    """The awaitable flush delivers too."""
    attach(server.url)

    async def main() -> am.FlushResult:
        logging.getLogger("agent").info("a")
        return await am.aflush(DEADLINE)

    assert asyncio.run(main())
    assert ["a"] == server.messages()


def test_shutdown_delivers_and_ends(server, attach) -> None:
    """shutdown() delivers what is there; what is logged afterwards starts again."""
    attach(server.url, flush_interval=600)
    logging.getLogger("agent").info("a")

    assert am.shutdown(DEADLINE)
    assert ["a"] == server.messages()
    logging.getLogger("agent").info("b")
    assert am.shutdown(DEADLINE)
    assert ["a", "b"] == server.messages()


def test_shutdown_of_several_handlers_takes_the_time_of_one(serve, attach) -> None:
    """They close side by side, whatever their servers do."""
    hung = serve(rule=ILLS["hangs"])
    for name in ("agent.a", "agent.b", "agent.c"):
        attach(hung.url, name, shutdown_timeout=1.0)
        logging.getLogger(name).info("event")
    began = time.monotonic()

    result = am.shutdown()
    assert time.monotonic() - began < 2.0
    # Whether a request that ends with the time is still pending nobody can tell.
    assert (0, 3) == (result.delivered, result.pending + result.lost)


def test_two_threads_that_shut_down_take_no_time_from_each_other(serve, attach) -> None:
    """Each has all the time it was given, for servers that answer within it."""
    for name, seconds in (("agent.a", 2.4), ("agent.b", 2.2)):
        attach(serve(Slow(seconds, Reply())).url, name, shutdown_timeout=4.0)
        logging.getLogger(name).info("event")
    threads = [threading.Thread(target=am.shutdown) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert (2, {}) == (am.stats().delivered, am.stats().lost)


def test_a_shutdown_that_is_over_cuts_no_later_request_short(serve, attach) -> None:
    """The time that it did not need is nobody's limit afterwards."""
    server = serve(200, Slow(1.0, Reply()))
    handler = attach(server.url, retry_attempts=0)
    logging.getLogger("agent").info("a")
    assert am.shutdown(0.8)
    logging.getLogger("agent").info("b")

    assert handler.flush(DEADLINE)
    assert (["a", "b"], 0) == (server.messages(), handler.stats().retried)


LOCKS = {
    "stock": lambda handler: handler._target._sender._stock.lock,
    "queue": lambda handler: handler._records._taking,
    "listener": lambda handler: handler._listener._changing,
    "keeper": lambda handler: handler._target._sender._keeper._working,
    "incoming": lambda handler: handler._target._sender._keeper._incoming._taking,
}


@pytest.mark.parametrize("do", [am.shutdown, am.flush])
@pytest.mark.parametrize(
    ("lock", "is_spooling"),
    [(lock, True) for lock in LOCKS]
    + [(lock, False) for lock in ("stock", "queue", "listener")],
)
def test_a_signal_handler_may_flush_and_shut_down_in_the_midst_of_anything(
    server, attach, tmp_path, do: Any, lock: str, is_spooling: bool
) -> None:
    """It does not wait for ever for a lock that what it has interrupted holds."""
    spool = {"spool": str(tmp_path / "spool")} if is_spooling else {}
    handler = attach(server.url, flush_interval=600, **spool)
    logging.getLogger("agent").info("a")
    deadline = time.monotonic() + DEADLINE
    while handler.stats().spooled < is_spooling and time.monotonic() < deadline:
        time.sleep(0.01)
    with LOCKS[lock](handler):
        do(0.2)
    # With the next record comes what a close has left in the spool.
    logging.getLogger("agent").info("b")

    assert handler.flush(DEADLINE)
    assert "b" in server.messages()
    assert "a" in server.messages() or handler.stats().lost


@pytest.mark.parametrize(
    "seconds", [math.inf, 1e300, 10**400], ids=["inf", "float", "int"]
)
@pytest.mark.parametrize(
    "do",
    [
        lambda handler: handler.flush,
        lambda handler: handler.shutdown,
        lambda handler: handler.targets()[0].flush,
        lambda handler: handler.targets()[0].shutdown,
        lambda handler: handler.listener.stop,
        lambda _: am.flush,
        lambda _: am.shutdown,
    ],
)
def test_a_timeout_may_be_longer_than_a_lock_can_wait(
    server, attach, do: Any, seconds: Any
) -> None:
    """Who waits for ever, by whatever number, meets no OverflowError."""
    handler = attach(server.url)
    logging.getLogger("agent").info("hello")
    do(handler)(seconds)

    assert handler.flush(DEADLINE).delivered == 1


@pytest.mark.parametrize("seconds", [-1, -math.inf, math.nan])
@pytest.mark.parametrize("do", [am.flush, am.shutdown])
def test_a_timeout_that_is_no_span_of_time_is_none_at_all(
    server, attach, do: Any, seconds: float
) -> None:
    """As with 0 nothing is raised, and every event is accounted for in the end."""
    handler = attach(server.url)
    logging.getLogger("agent").info("hello")

    do(seconds)

    assert handler.flush(DEADLINE)
    settled = handler.stats()
    assert settled.delivered + sum(settled.lost.values()) == settled.accepted == 1


def test_a_signal_handler_may_shut_down_before_the_first_thread_runs(
    server, attach
) -> None:
    """One that is made and not started yet is not waited for."""
    handler = attach(server.url)
    logging.getLogger("agent").info("a")
    assert handler.flush(DEADLINE)
    am.shutdown(DEADLINE)
    handler.listener._thread = threading.Thread()
    logging.getLogger("agent").info("b")

    assert am.shutdown(DEADLINE)
    assert ["a", "b"] == server.messages()


def test_without_handlers_there_is_nothing_to_wait_for() -> None:
    """flush() and stats() work before anything is configured."""
    assert am.flush(0)
    assert am.Stats() == am.stats()


def test_a_handler_goes_when_nobody_needs_it(server, attach) -> None:
    """Not only when the garbage collector comes by, though somebody has flushed it."""
    log = logging.getLogger("agent")
    handler = attach(server.url)
    log.info("one")
    assert handler.flush(DEADLINE)
    gone = weakref.ref(handler.targets()[0])
    gc.disable()
    try:
        log.removeHandler(handler)
        handler.close()
        del handler
        assert gone() is None
    finally:
        gc.enable()
