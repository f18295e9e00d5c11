"""Forking: what the parent and what the child logged arrives, and each of it once."""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from typing import Any, Dict, Iterator, List, Set

import pytest

from forms import KEY
from interpreters import Interpreter, assert_clean, interpreter, run
from servers import Exchange, Reply, Request, ScriptedServer

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork")

SETUP = """
import contextlib, logging, multiprocessing, os, sys, threading, time, warnings
from forms import CONFIGURED
import agentmonitor_logging

if sys.version_info < (3, 9, 6):
    # There the end of the first thread loads a library, after its join has returned: a
    # child forked right then hangs or crashes in the loader, with or without us
    # (bpo-44434). What is loaded already is not loaded then.
    import ctypes
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1")

# From 3.12 on it is said of every fork in a process with threads; here it is meant.
warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
form, url = sys.argv[1:3]
log = logging.getLogger("agent")

def say(*numbers):
    for number in numbers:
        log.info("event %d", number, extra={"pid": os.getpid()})

def configure(**options):
    CONFIGURED[form](url, **options)

def forked():
    "Fork, and return whether this is the child."
    global child
    child = os.fork()
    return child == 0

def see_child_end():
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""


class Held(Reply):
    """Answer only when another request has come."""

    def __call__(self, exchange: Exchange) -> None:
        server = exchange.server
        server.wait(lambda: len(server.requests) >= 2)
        super().__call__(exchange)


class Witness(ScriptedServer):
    """Know which processes spoke on each connection."""

    def __init__(self, *script: Any) -> None:
        # By socket, which stays here: a port may come again.
        self.speakers: Dict[socket.socket, Set[int]] = defaultdict(set)
        super().__init__(*script)

    def _answer(self, request: Request, exchange: Exchange) -> None:
        for event in request.events:
            self.speakers[exchange.connection].add(event["metadata"]["pid"])
        super()._answer(request, exchange)


@pytest.fixture
def witness() -> Iterator[Witness]:
    with Witness() as server:
        yield server


def assert_arrived_once(server: ScriptedServer, count: int) -> None:
    assert sorted(f"event {n}" for n in range(count)) == sorted(server.messages())
    assert count == len(server.event_ids)


def assert_nobody_shared(server: Witness) -> None:
    assert [1] * len(server.speakers) == list(map(len, server.speakers.values()))


LAST_WORDS = {
    "flush and os._exit": "assert agentmonitor_logging.flush(10); os._exit(0)",
    "sys.exit": "sys.exit(0)",
    "logging.shutdown": "logging.shutdown(); os._exit(0)",
}

PENDING = """
configure(flush_interval=30.0, batch_size=100)
say(0, 1, 2, 3)
if {buffered}:
    while not handed_over():
        agentmonitor_logging.stats()
    say(4)
else:
    say(4)
if forked():
    say(5, 6, 7, 8, 9)
    {last_words}
say(10, 11, 12, 13, 14)
see_child_end()
"""

HANDED_OVER = """
def handed_over():
    "Tell whether the listener has passed on what was queued."
    queues = [getattr(handler, "queue", None) for handler in log.handlers]
    return not any(queue.qsize() for queue in queues if queue is not None)
"""


@needs_fork
@pytest.mark.parametrize("last_words", LAST_WORDS)
def test_what_waits_at_a_fork_is_the_parents(
    interpreter: Interpreter, witness: Witness, last_words: str
) -> None:
    """Events that wait in the queue or the buffer are delivered by the parent alone."""
    words = LAST_WORDS[last_words]
    script = SETUP + HANDED_OVER + PENDING.format(buffered=True, last_words=words)
    outcome = run(interpreter, script, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 15)
    assert_nobody_shared(witness)


@needs_fork
@pytest.mark.parametrize("form", ["pair", "alone"])
def test_each_form_may_be_forked(
    interpreter: Interpreter, witness: Witness, form: str
) -> None:
    """A fork is the same in each form of the configuration."""
    words = LAST_WORDS["sys.exit"]
    script = SETUP + HANDED_OVER + PENDING.format(buffered=False, last_words=words)
    outcome = run(interpreter, script, form, witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 15)
    assert_nobody_shared(witness)


IN_FLIGHT = """
configure()
say(0, 1)
while not agentmonitor_logging.stats().requests:
    agentmonitor_logging.flush(0.01)
if forked():
    say(2, 3)
    sys.exit(0)
see_child_end()
say(4, 5)
"""


@needs_fork
def test_a_fork_during_a_request_repeats_nothing(interpreter: Interpreter) -> None:
    """The parent's request under way stays the parent's; the child makes its own."""
    with Witness(Held()) as server:
        outcome = run(interpreter, SETUP + IN_FLIGHT, "single", server.url)

    assert_clean(outcome)
    assert_arrived_once(server, 6)
    assert_nobody_shared(server)


KEPT_ALIVE = """
configure()
say(0)
assert agentmonitor_logging.flush(10)
if forked():
    say(1)
    assert agentmonitor_logging.flush(10)
    say(2)
    sys.exit(0)
see_child_end()
say(3)
assert agentmonitor_logging.flush(10)
stats = agentmonitor_logging.stats()
assert (stats.accepted, stats.delivered, stats.retried) == (2, 2, 0), stats
print(os.getpid())
"""


@needs_fork
def test_a_connection_is_not_shared_and_survives_the_child(
    interpreter: Interpreter, witness: Witness
) -> None:
    """The child opens a connection of its own, and the parent's stays usable."""
    outcome = run(interpreter, SETUP + KEPT_ALIVE, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 4)
    assert_nobody_shared(witness)
    assert 1 == list(witness.speakers.values()).count({int(outcome.stdout)})


FORKED_IN_A_RUN = """
class Forking(str):
    armed = False

    def __hash__(self):
        if Forking.armed and threading.current_thread().name == "agentmonitor-listener":
            Forking.armed = False
            forked()
        return str.__hash__(self)

configure()
say(*range(300))
assert agentmonitor_logging.flush(10)
say(*range(300, 340))
log.info("event 340", extra={Forking("note"): 1, "pid": os.getpid()})
Forking.armed = True
say(*range(341, 380))
assert agentmonitor_logging.flush(10)
see_child_end()
"""


@needs_fork
def test_a_fork_in_the_midst_of_a_run_repeats_nothing(
    interpreter: Interpreter, witness: Witness
) -> None:
    """The child of an object that forks in our thread leaves the run to its parent."""
    outcome = run(interpreter, SETUP + FORKED_IN_A_RUN, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 380)
    assert_nobody_shared(witness)


COUNTS = """
configure()
say(0, 1, 2)
if forked():
    assert agentmonitor_logging.stats().accepted == 0
    say(3)
    assert agentmonitor_logging.stats().accepted == 1
    assert agentmonitor_logging.flush(10)
    assert agentmonitor_logging.stats().delivered == 1
    os._exit(0)
see_child_end()
assert agentmonitor_logging.flush(10)
assert agentmonitor_logging.stats().delivered == 3
"""


@needs_fork
def test_a_child_counts_from_zero(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """The books of a child hold what the child logged."""
    outcome = run(interpreter, SETUP + COUNTS, "single", server.url)

    assert_clean(outcome)
    assert_arrived_once(server, 4)


PRELOADED = """
configure()
assert threading.active_count() == 1
children = []
for worker in range(3):
    if forked():
        say(*range(5 * worker, 5 * worker + 5))
        sys.exit(0)
    children.append(child)
for child in children:
    see_child_end()
assert threading.active_count() == 1
"""


@needs_fork
def test_preloaded_workers_deliver(interpreter: Interpreter, witness: Witness) -> None:
    """Workers forked from a process that configured and never logged all deliver."""
    outcome = run(interpreter, SETUP + PRELOADED, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 15)
    assert_nobody_shared(witness)


FIFTY = """
configure()
numbers = iter(range(150, 10**6))
over = threading.Event()
said = []

def chatter():
    while not over.wait(0.002):
        number = next(numbers)
        say(number)
        said.append(number)

threads = [threading.Thread(target=chatter) for _ in range(4)]
for thread in threads:
    thread.start()

def leave(turn):
    if turn % 3:
        sys.exit(0)
    os._exit(0 if agentmonitor_logging.flush(10) else 1)

def fork(turn):
    if forked():
        say(3 * turn, 3 * turn + 1, 3 * turn + 2)
        leave(turn)
    see_child_end()

for turn in range(50):
    if turn % 2:
        forking = threading.Thread(target=fork, args=(turn,))
        forking.start()
        forking.join()
    else:
        fork(turn)
over.set()
for thread in threads:
    thread.join()
print(150 + len(said))
"""


@needs_fork
def test_fifty_forks_among_busy_threads(
    interpreter: Interpreter, witness: Witness
) -> None:
    """No child hangs on a lock that a thread of the parent held, and none repeats,
    whichever thread forked it and however it leaves."""
    outcome = run(interpreter, SETUP + FIFTY, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, int(outcome.stdout))
    assert_nobody_shared(witness)


# -- multiprocessing -------------------------------------------------------------------

PROCESSES = """
def work(first, inherits):
    if not inherits:
        configure()
    say(*range(first, first + 5))

if __name__ == "__main__":
    method = sys.argv[3]
    context = multiprocessing.get_context(method)
    configure()
    say(0, 1)
    workers = [
        context.Process(target=work, args=(first, method == "fork")) for first in (4, 9)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, worker
    say(2, 3)
"""


def methods() -> List[str]:
    import multiprocessing

    return multiprocessing.get_all_start_methods()


@pytest.mark.parametrize(
    ("method", "form"),
    # At the end of a spawned child everything runs, so one form will do.
    [
        (m, f)
        for m in methods()
        for f in ("single", "alone")
        if (m, f) != ("spawn", "alone")
    ],
)
def test_the_children_of_multiprocessing_deliver(
    interpreter: Interpreter, witness: Witness, method: str, form: str
) -> None:
    """A child delivers what it logged before it ends, however it was started, though
    its end runs neither atexit nor logging.shutdown everywhere."""
    outcome = run(interpreter, SETUP + PROCESSES, form, witness.url, method)

    assert_clean(outcome)
    assert_arrived_once(witness, 14)
    assert_nobody_shared(witness)


EARLY = """
configure()
is_child = __name__ != "__main__"
say(1 if is_child else 0)

def work():
    say(2)

if not is_child:
    worker = multiprocessing.get_context(sys.argv[3]).Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0, worker
"""


@pytest.mark.parametrize("method", [m for m in methods() if m != "fork"])
def test_a_child_that_logs_while_it_imports_the_program_delivers(
    interpreter: Interpreter, witness: Witness, method: str
) -> None:
    """Its first record comes before it knows that it is a child of anybody."""
    outcome = run(interpreter, SETUP + EARLY, "single", witness.url, method)

    assert_clean(outcome)
    assert_arrived_once(witness, 3)


POOL = """
def work(number):
    if not log.handlers:
        configure()
    say(number)

if __name__ == "__main__":
    configure()
    with multiprocessing.get_context("fork").Pool(2) as pool:
        pool.map(work, range(20))
        pool.close()
        pool.join()
"""


@needs_fork
def test_the_workers_of_a_pool_deliver(
    interpreter: Interpreter, witness: Witness
) -> None:
    """A pool that is closed and joined has delivered what its workers logged."""
    outcome = run(interpreter, SETUP + POOL, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 20)


PASSED_ON = """
def work(handler, logger):
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    say(*range(5))

if __name__ == "__main__":
    configure()
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=work, args=(log.handlers[0], log))
    worker.start()
    worker.join()
    assert worker.exitcode == 0, worker
"""


@pytest.mark.parametrize("form", ["single", "pair"])
def test_a_handler_may_be_passed_to_a_child(
    interpreter: Interpreter, witness: Witness, form: str
) -> None:
    """A handler pickled for a child ships there with the options it had here."""
    outcome = run(interpreter, SETUP + PASSED_ON, form, witness.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_arrived_once(witness, 5)


PICKLED = """
import pickle
configure()
text = pickle.dumps(log.handlers[0])
assert b"test-key" not in text
if len(sys.argv) > 3:
    os.environ["AGENTMONITOR_API_KEY"] = sys.argv[3]
log.handlers[:] = [pickle.loads(text)]
say(0, 1)
assert agentmonitor_logging.flush(10)
"""


def test_a_pickle_holds_no_key(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """Who reads a pickled handler takes the key from the own environment."""
    outcome = run(interpreter, SETUP + PICKLED, "pair", server.url, KEY)

    assert_clean(outcome)
    assert_arrived_once(server, 2)


def test_a_pickle_read_without_a_key_says_so(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """Without a key it is disabled and tells it in one line."""
    outcome = run(interpreter, SETUP + PICKLED, "single", server.url)

    assert_clean(outcome)
    assert [] == server.stored
    assert 1 == len(outcome.stderr.splitlines())
    assert "an unpickled handler is disabled: api_key is missing" in outcome.stderr
