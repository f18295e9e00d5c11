"""What every test may rely on: a clean process before, and an honest one after."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
import weakref
from typing import Any, Callable, Iterator

import pytest

from agentmonitor_logging import _diagnostics, _process
from agentmonitor_logging.handlers import AgentMonitorHandler, AgentMonitorQueueHandler
from scanner import FRAGMENT, Scanner
from servers import DEADLINE, ScriptedServer

KEY = "test-key-0123456789-abcdefghijklmnopqrstuvwxyz"


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So begins what a shell runs in the background, and all that it runs in turn:
        # a program under test would not hear the Ctrl-C that a test sends it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers", "swallows: errors of our own are part of what is tested"
    )


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no setting of the machine reach a test."""
    for variable in list(os.environ):
        if variable.startswith("AGENTMONITOR_") or variable.upper().endswith("_PROXY"):
            monkeypatch.delenv(variable)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Restore what a test does to the logging of the process."""
    root = logging.getLogger()
    handlers, level, disabled = root.handlers[:], root.level, root.manager.disable
    known = {
        name: (logger.handlers[:], logger.level, logger.propagate, logger.disabled)
        for name, logger in root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.disable(disabled)
    for name, logger in list(root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger):
            state = known.get(name, ([], logging.NOTSET, True, False))
            logger.handlers[:], level, logger.propagate, logger.disabled = state
            logger.setLevel(level)


@pytest.fixture(autouse=True)
def _nothing_swallowed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which we kept an error from the application unasked."""
    _diagnostics.reset()
    del _diagnostics.swallowed[:]
    yield
    swallowed = list(_diagnostics.swallowed)
    del _diagnostics.swallowed[:]
    if request.node.get_closest_marker("swallows") is None:
        assert swallowed == []


@pytest.fixture(autouse=True)
def _key_kept_secret(
    request: pytest.FixtureRequest, _logging_as_it_was: None, _nothing_swallowed: None
) -> Iterator[Scanner]:
    """Fail a test in which we said, wrote or showed the API key."""
    with Scanner() as scanner:
        yield scanner
        found = scanner.finds(request.node.funcargs.get("tmp_path"))
        assert not found


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Fail a test that printed the API key, or in which anybody did."""
    outcome = yield
    report = outcome.get_result()
    said = [(title, text) for title, text in report.sections if FRAGMENT in text]
    told = [title for title, _ in said if title.endswith(report.when)]
    if told and report.passed:
        report.outcome = "failed"
        report.longrepr = f"the API key is in: {', '.join(told)}"


@pytest.fixture(autouse=True)
def _books_balance(
    _logging_as_it_was: None, _key_kept_secret: Scanner
) -> Iterator[None]:
    """Close what a test left open; fail where the counts do not add up.

    `pending` is a difference, so it is held against what the stations really hold.
    """
    yield
    for handler in reversed(_process.live()):
        if isinstance(handler, (AgentMonitorHandler, AgentMonitorQueueHandler)):
            handler.shutdown(2.0)
    for handler in _process.live():
        if isinstance(handler, AgentMonitorHandler):
            _assert_balanced(handler)
    _assert_threads_end()


def _assert_balanced(handler: AgentMonitorHandler) -> None:
    queued = sum(listener._records.qsize() for listener in handler._feeders)
    stats = handler.stats()
    held = queued + handler._sender.held()

    assert held == stats.pending
    assert stats.delivered + stats.pending + sum(stats.lost.values()) == stats.accepted
    assert min([stats.delivered, stats.pending, *stats.lost.values()]) >= 0


def _assert_threads_end() -> None:
    deadline = time.monotonic() + DEADLINE
    for thread in threading.enumerate():
        if thread.name.startswith("agentmonitor-"):
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), f"{thread.name} did not end"


@pytest.fixture
def serve() -> Iterator[Callable[..., ScriptedServer]]:
    """Return a maker of scripted servers, which are closed after the test."""
    servers = []

    def make(*script: Any, **options: Any) -> ScriptedServer:
        servers.append(ScriptedServer(*script, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(serve: Callable[..., ScriptedServer]) -> ScriptedServer:
    """Return a server that accepts everything."""
    return serve()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next handler be the only one, whatever other tests have left behind."""
    monkeypatch.setattr("agentmonitor_logging._naming._namers", weakref.WeakSet())
    monkeypatch.setattr("agentmonitor_logging._naming.is_shared", False)


@pytest.fixture
def attach() -> Callable[..., AgentMonitorQueueHandler]:
    """Return a maker of queue handlers on the logger "agent", at DEBUG.

    The flush interval is short and the buffer fresh; every option may be overridden.
    """

    def make(url: str, name: str = "agent", **options: Any) -> AgentMonitorQueueHandler:
        options = {
            "api_key": KEY,
            "agent_id": "bot",
            "api_url": url,
            "flush_interval": 0.1,
            **options,
        }
        handler = AgentMonitorQueueHandler(**options)
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        return handler

    return make


@pytest.fixture
def collect_garbage() -> Callable[[], None]:
    """Return what makes forgotten objects really go, on every interpreter."""

    def collect() -> None:
        for _ in range(3):
            gc.collect()

    return collect
