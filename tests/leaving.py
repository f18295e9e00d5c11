"""What the tests about the end of a process share: scripts, sick servers, measures."""

from __future__ import annotations

import contextlib
import socket
import textwrap
import threading
from typing import Any, Callable, Dict, Iterator, List

import pytest

from interpreters import Interpreter, Outcome, run
from servers import DEADLINE, Exchange, Reply, ScriptedServer, closed_port

SETUP = """
import atexit, logging, os, signal, sys, threading, time
from forms import CONFIGURED

form, url = sys.argv[1:]
log = logging.getLogger("agent")

def say(count, start=0):
    for number in range(start, start + count):
        log.info("event %d", number)
"""


def run_form(interpreter: Interpreter, ending: str, form: str, url: str) -> Outcome:
    return run(interpreter, SETUP + textwrap.dedent(ending), form, url)


def assert_delivered_once(server: ScriptedServer, count: int) -> None:
    assert sorted(f"event {n}" for n in range(count)) == sorted(server.messages())
    assert count == len(server.event_ids)


def hang(exchange: Exchange) -> None:
    exchange.hang()


def drip(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", pause=1.0)


ILLS: Dict[str, Callable[[Request], Any]] = {
    "hangs": lambda request: hang,
    "drips": lambda request: drip,
    "always 503": lambda request: 503,
    "always 401": lambda request: 401,
    "always 503, retry later": lambda request: Reply(503, Retry_After="60"),
}

GRACE = 0.5
"""Seconds beyond shutdown_timeout that a process may take to end."""


def seconds_to_leave(outcome: Outcome) -> float:
    return outcome.ended_at - float(outcome.stdout.split()[0])


def lines_about_losses(outcome: Outcome) -> List[str]:
    return [line for line in outcome.stderr.splitlines() if " lost" in line]


def examine_together(cases: Dict[str, Callable[[], None]]) -> None:
    """Run *cases* four at a time: they are slow, but each must be begun in time."""
    failed: List[BaseException] = []
    some = threading.Semaphore(4)

    def attempt(name: str, case: Callable[[], None]) -> None:
        try:
            with some:
                case()
        except BaseException as error:
            failed.append(AssertionError(f"{name}: {error}"))

    threads = [threading.Thread(target=attempt, args=item) for item in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * DEADLINE)
    if failed:
        raise failed[0]


@pytest.fixture
def ill_urls(serve: Callable[..., ScriptedServer]) -> Iterator[Dict[str, str]]:
    """Yield a URL for each way not to answer."""
    urls = {name: serve(rule=rule).url for name, rule in ILLS.items()}
    urls["refuses connections"] = f"http://127.0.0.1:{closed_port()}"
    with black_hole() as port:
        urls["swallows connections"] = f"http://127.0.0.1:{port}"
        yield urls


@contextlib.contextmanager
def black_hole() -> Iterator[int]:
    """Yield a port that answers no attempt to connect: its queue is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
