"""Processes that begin and end in every way, and servers that make many of them."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import logging
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    AgentMonitorQueueListener,
)
from agentmonitor_logging._queue import ForeignQueue
from forms import KEY
from interpreters import Interpreter, assert_clean, interpreter, run, this_interpreter
from servers import DEADLINE, ScriptedServer, closed_port
from test_fork import (
    SETUP,
    Witness,
    assert_arrived_once,
    assert_nobody_shared,
    methods,
    needs_fork,
    witness,
)

# -- forks in odd places ---------------------------------------------------------------

BY_A_THREAD = """
configure(flush_interval=30.0)

def fork(first, leave):
    if forked():
        say(first, first + 1)
        leave()
    else:
        see_child_end()

for first, leave in ((0, lambda: None), (2, sys.exit), (4, sys.exit)):
    thread = threading.Thread(target=fork, args=(first, leave))
    thread.start()
    thread.join()
say(6)
"""


@needs_fork
@pytest.mark.parametrize("form", ["single", "alone"])
def test_a_child_of_a_thread_ends_with_that_thread(
    interpreter: Interpreter, witness: Witness, form: str
) -> None:
    """A child that is forked by another than the main thread runs no atexit, and would
    never end with a daemon thread: it delivers and ends all the same."""
    outcome = run(interpreter, SETUP + BY_A_THREAD, form, witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, 7)
    assert_nobody_shared(witness)


SLOW_END = """
configure(shutdown_timeout=0.5)

def fork():
    if forked():
        say(0)
    else:
        began = time.monotonic()
        see_child_end()
        assert time.monotonic() - began < 5.0

thread = threading.Thread(target=fork)
thread.start()
thread.join()
"""


@needs_fork
def test_a_child_of_a_thread_does_not_wait_for_a_server_that_hangs(
    interpreter: Interpreter,
) -> None:
    """It is gone after its shutdown_timeout, and says in a line what it lost."""
    with ScriptedServer(lambda exchange: exchange.hang()) as server:
        outcome = run(interpreter, SETUP + SLOW_END, "single", server.url)

    assert_clean(outcome)
    assert "1 event lost at exit" in outcome.stderr
    assert 1 == len(outcome.stderr.splitlines())


IN_THE_MIDST = """
configure()

class Forking:
    def __init__(self, in_child):
        self.in_child = in_child

    def __repr__(self):
        if forked():
            self.in_child()
        else:
            see_child_end()
        return "forked"

def flushed():
    say(9)
    os._exit(0 if agentmonitor_logging.flush(10).delivered == 1 else 1)

def goes_on():
    global is_child
    is_child = True

is_child = False
log.info("event 0", extra={"pid": os.getpid(), "x": Forking(flushed)})
log.info("event 1", extra={"pid": os.getpid(), "x": Forking(goes_on)})
if is_child:
    # Where there is no queue, it goes on as the program.
    assert agentmonitor_logging.stats().accepted == 0
    os._exit(0)
assert agentmonitor_logging.flush(10)
stats = agentmonitor_logging.stats()
assert (stats.accepted, stats.delivered) == (2, 2), stats
"""


@needs_fork
@pytest.mark.parametrize("form", ["single", "alone"])
def test_what_is_under_way_at_a_fork_is_the_parents(
    interpreter: Interpreter, witness: Witness, form: str
) -> None:
    """An object that forks as it is rendered makes a child that may log, flush and
    leave, or return; the event it was part of is delivered by the parent alone."""
    outcome = run(interpreter, SETUP + IN_THE_MIDST, form, witness.url)

    assert_clean(outcome)
    assert ["event 0", "event 1", "event 9"] == sorted(witness.messages())
    assert 3 == len(witness.event_ids)


BY_A_SIGNAL = """
import signal

parent, children = os.getpid(), []

def say(text):
    log.info("event %s", text)

def fork(signum, frame):
    global child
    child = os.fork()
    if child:
        children.append(child)
        ring()
    elif form == "alone" or len(children) % 2:
        say("of child %d" % len(children))
        os._exit(0 if agentmonitor_logging.flush(10) else 1)

def ring():
    "Have the handler called once, in the middle of something."
    if len(children) < 12:
        signal.setitimer(signal.ITIMER_PROF, 0.002)

configure()
# From here on the threads run: a child forked in the midst of Thread.start() hangs in it.
say("the first")
signal.signal(signal.SIGPROF, fork)
ring()
count = 0
while os.getpid() == parent and len(children) < 12:
    say(count)
    count += 1
if os.getpid() != parent:
    say("at the end of %d" % os.getpid())
    result, stats = agentmonitor_logging.flush(10), agentmonitor_logging.stats()
    assert result and stats.accepted == stats.delivered, stats
    os._exit(0)
for child in children:
    see_child_end()
print(count)
"""


@needs_fork
@pytest.mark.parametrize("form", ["single", "alone"])
def test_a_signal_handler_may_fork(
    interpreter: Interpreter, server: ScriptedServer, form: str
) -> None:
    """A child that is forked in the middle of a logging call finds no lock held, whether
    it leaves at once or, where there is a queue, returns to what was interrupted."""
    if interpreter.version == "3.8":
        pytest.skip("there, logging leaves its own lock to such a child")
    outcome = run(interpreter, SETUP + BY_A_SIGNAL, form, server.url)

    # The interpreter itself complains, now and then, about a lock of logging.
    assert 0 == outcome.returncode, outcome
    counts = Counter(server.messages())
    numbers = [f"event {number}" for number in range(int(outcome.stdout))]
    assert not [text for text in numbers if text not in counts]
    leaving, returning = (12, 0) if form == "alone" else (6, 6)
    assert leaving == sum(text.startswith("event of child") for text in counts)
    assert returning == sum(text.startswith("event at the end of") for text in counts)
    assert len(server.stored) == len(server.event_ids)


WHILE_CLOSING = """
configure()
handler, over, numbers = log.handlers[0], [], iter(range(15, 10**6))
said = []

def close_again_and_again():
    while not over:
        handler.shutdown(5.0)
        number = next(numbers)
        say(number)
        said.append(number)

threads = [threading.Thread(target=close_again_and_again) for _ in range(2)]
for thread in threads:
    thread.start()
for turn in range(15):
    if forked():
        say(turn)
        result = handler.shutdown(5.0)
        if result.delivered != 1:
            print(result, handler.stats(), file=sys.stderr, flush=True)
        os._exit(0 if result.delivered == 1 else 1)
    see_child_end()
over.append(True)
for thread in threads:
    thread.join()
print(15 + len(said))
"""


@needs_fork
def test_a_fork_while_others_close(interpreter: Interpreter, witness: Witness) -> None:
    """A child that is forked in the middle of a close delivers and closes itself."""
    outcome = run(interpreter, SETUP + WHILE_CLOSING, "single", witness.url)

    assert_clean(outcome)
    assert_arrived_once(witness, int(outcome.stdout))
    assert_nobody_shared(witness)


DAEMON = """
configure()
say(0)
if not forked():
    os._exit(0 if agentmonitor_logging.flush(10) else 1)
os.setsid()
say(1)
if not forked():
    sys.exit(0)
say(2)
"""


@needs_fork
def test_a_daemon_delivers(interpreter: Interpreter, witness: Witness) -> None:
    """Of a program that forks twice to live on without a terminal all arrives."""
    outcome = run(interpreter, SETUP + DAEMON, "single", witness.url)
    witness.wait_stored(3)

    assert_clean(outcome)
    assert_arrived_once(witness, 3)
    assert_nobody_shared(witness)


FULL = """
go_on = threading.Event()

class Slow:
    def __repr__(self):
        go_on.wait(15)
        return "slow"

configure(queue_size=10)
log.info("event 0", extra={"pid": os.getpid(), "x": Slow()})
while log.handlers[0].queue.qsize():
    pass
say(*range(1, 31))
if forked():
    say(*range(11, 21))
    result = agentmonitor_logging.flush(10)
    os._exit(0 if (result.delivered, result.lost) == (10, 0) else 1)
see_child_end()
go_on.set()
assert agentmonitor_logging.flush(10)
assert agentmonitor_logging.stats().lost == {"queue_full": 20}
"""


@needs_fork
def test_a_queue_that_is_full_at_a_fork_is_empty_in_the_child(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """The child loses nothing because of what the parent could not get rid of."""
    outcome = run(interpreter, SETUP + FULL, "single", server.url)

    assert_clean(outcome)
    told = Counter(text for text in server.messages() if text.startswith("event "))
    assert {f"event {number}": 1 for number in range(21)} == told


# -- queues that the application brought -----------------------------------------------

OWN_QUEUE = """
import queue
from forms import options_for

go_on = threading.Event()

class Slow:
    def __repr__(self):
        go_on.wait(15)
        return "slow"

for first, kind in ((0, queue.Queue), (10, queue.SimpleQueue)):
    go_on.clear()
    handler = agentmonitor_logging.AgentMonitorQueueHandler(
        queue=kind(), handlers=[agentmonitor_logging.AgentMonitorHandler(**options_for(url))]
    )
    log.handlers[:] = [handler]
    log.setLevel(logging.INFO)
    log.info("event %d", first, extra={"pid": os.getpid(), "x": Slow()})
    while handler.queue.qsize():
        pass
    say(*range(first + 1, first + 5))
    if forked():
        say(*range(first + 5, first + 10))
        result = handler.flush(10)
        os._exit(0 if result.delivered == handler.stats().accepted == 5 else 1)
    see_child_end()
    go_on.set()
    handler.shutdown()
"""


@needs_fork
def test_what_waits_in_a_queue_of_the_application_is_the_parents(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """A queue that the application brought is as empty in a child as one of ours."""
    outcome = run(interpreter, SETUP + OWN_QUEUE, "none", server.url)

    assert_clean(outcome)
    assert_arrived_once(server, 20)


SHARED_QUEUE = """
from forms import options_for
from agentmonitor_logging import AgentMonitorHandler, AgentMonitorQueueHandler

def work(first, queue=None):
    if queue is not None:
        log.handlers[:] = [AgentMonitorQueueHandler(queue)]
        log.setLevel(logging.INFO)
    say(*range(first, first + 4))
    # Cannot be pickled, and is not dropped for that.
    log.info(
        "event %s", Odd(first + 4), extra={"pid": os.getpid(), "x": threading.Lock()}
    )
    assert agentmonitor_logging.flush(10)

class Odd:
    def __init__(self, number):
        self.number = number

    def __str__(self):
        return str(self.number)

    def __reduce__(self):
        raise TypeError("not me")

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[3])
    queue = context.Queue()
    target = AgentMonitorHandler(**options_for(url))
    log.addHandler(AgentMonitorQueueHandler(queue=queue, handlers=[target]))
    log.setLevel(logging.INFO)
    say(0, 1)
    inherits = sys.argv[3] == "fork"
    workers = [
        context.Process(target=work, args=(2, None if inherits else queue)),
        context.Process(target=work, args=(7, queue)),
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0, worker
    # The pipe between the processes is empty once the parent has read this.
    log.info("event %d", 12, extra={"pid": os.getpid(), "x": threading.Lock()})
"""


@pytest.mark.parametrize("method", methods())
def test_one_process_may_listen_for_all(
    interpreter: Interpreter, server: ScriptedServer, method: str
) -> None:
    """Into a queue of `multiprocessing` every process puts, and one listens: each
    record arrives once, whatever it holds, up to the last one before the exit."""
    if method != "fork" and interpreter.version not in ("3.8", "3.13"):
        pytest.skip("slow, and the same as in the oldest and the newest")
    outcome = run(interpreter, SETUP + SHARED_QUEUE, "none", server.url, method)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_arrived_once(server, 13)


@pytest.mark.swallows
def test_a_record_that_cannot_be_read_ends_nothing(server: ScriptedServer) -> None:
    """The listener passes over what another process put in that makes no sense here."""

    class Partly(queue.Queue):
        def get(self, *args: Any, **kwargs: Any) -> Any:
            item = super().get(*args, **kwargs)
            if item == "unreadable":
                raise ValueError(item)
            return item

    target = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    listener = AgentMonitorQueueListener(Partly(), target)
    listener.start()
    for item in ("unreadable", "unreadable", _record("readable")):
        listener.queue.put(item)
    listener.stop()
    target.close()

    assert ["readable"] == server.messages()


def test_a_full_queue_with_no_listener_here_is_told_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A handler that only puts has no books, so it says what it loses."""
    handler = AgentMonitorQueueHandler(queue=queue.Queue(1))
    handler.handle(_record("first"))
    handler.handle(_record("second"))

    assert 1 == handler.queue.qsize()
    assert ["agentmonitor: the queue is full, records are lost"] == caplog.messages


def test_a_queue_of_another_kind_is_left_alone_at_a_fork() -> None:
    """Of a queue whose making is not known, nothing is made anew."""

    class Own(queue.Queue):
        pass

    own = Own()
    own.put(1)
    ForeignQueue(own).reset_after_fork()

    assert 1 == own.qsize()


def _record(message: str) -> Any:
    return logging.makeLogRecord({"msg": message, "levelno": 20, "levelname": "INFO"})


# -- pools -----------------------------------------------------------------------------

EXECUTOR = """
from concurrent.futures import ProcessPoolExecutor

def prepare():
    if not log.handlers:
        configure()

if __name__ == "__main__":
    configure()
    context = multiprocessing.get_context(sys.argv[3])
    with ProcessPoolExecutor(2, mp_context=context, initializer=prepare) as executor:
        list(executor.map(say, range(20)))
"""


@pytest.mark.parametrize("method", methods())
def test_the_workers_of_an_executor_deliver(
    this_interpreter: Interpreter, witness: Witness, method: str
) -> None:
    """An executor that is left has delivered what its workers logged."""
    script = SETUP + EXECUTOR
    outcome = run(this_interpreter, script, "single", witness.url, method)

    assert_clean(outcome)
    assert_arrived_once(witness, 20)
    assert_nobody_shared(witness)


# -- real servers ----------------------------------------------------------------------

APPLICATION = """
import logging, os
from forms import CONFIGURED

if "URL" in os.environ:
    # What the last ones log arrives only because the end of a process delivers.
    CONFIGURED["single"](os.environ["URL"], flush_interval=30.0)
log = logging.getLogger("agent")

def wsgi(environ, start_response):
    log.info("event %s", environ["PATH_INFO"][1:], extra={"pid": os.getpid()})
    answer = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(answer)))])
    return [answer]

async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise RuntimeError("no lifespan")
    log.info("event %s", scope["path"][1:], extra={"pid": os.getpid()})
    headers = [(b"content-length", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
"""


class Program:
    """A server as a process of its own, to which requests can be made."""

    def __init__(self, folder: Path, *command: Any, **environ: str) -> None:
        self.port = 0
        self._is_ending = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", *map(str, command)],
            cwd=folder,
            env={**_clean_environ(folder), **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            close_fds=False,
            start_new_session=True,
        )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate()

    def signal(self, signum: int) -> None:
        self._is_ending |= signum == signal.SIGTERM
        self.process.send_signal(signum)

    def end(self) -> str:
        """Ask it to end, unless it was asked to before, and return what it said.

        While an interpreter goes down, signals have their default effect again.
        """
        if self.process.poll() is None and not self._is_ending:
            self.signal(signal.SIGTERM)
        return self.process.communicate(timeout=DEADLINE)[1]


def _clean_environ(folder: Path) -> Dict[str, str]:
    here = Path(__file__).resolve().parent
    kept = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}
    kept["PYTHONPATH"] = os.pathsep.join(map(str, (folder, here.parent, here)))
    return kept


def ask(port: int, numbers: Iterator[int], count: int) -> Dict[str, bytes]:
    """Make *count* requests, each on a connection of its own; return what was logged
    for each of them, and the answer.

    Where a server that reloads hangs up instead of an answer, nobody knows.
    """
    answered = {}
    while len(answered) < count:
        number = next(numbers)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request("GET", f"/{number}")
            response = connection.getresponse()
            assert 200 == response.status
            answered[f"event {number}"] = response.read()
    return answered


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """Return a socket that waits for connections, for a server to inherit."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        listening.set_inheritable(True)
        yield listening


@pytest.mark.parametrize(
    "options",
    [
        ["--preload", "--max-requests=7"],
        ["--preload", "--worker-class=gthread", "--threads=3"],
        ["--worker-class=gthread", "--threads=3"],
    ],
    ids=" ".join,
)
def test_gunicorn_delivers(
    tmp_path: Path, witness: Witness, listening: socket.socket, options: List[str]
) -> None:
    """What its workers log arrives once: of those that come and go after a number of
    requests, of those that a reload replaces, and of the last when it is stopped."""
    pytest.importorskip("gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    numbers = itertools.count()
    port = listening.getsockname()[1]
    command = ["gunicorn", f"--bind=fd://{listening.fileno()}", "--workers=2", *options]
    with Program(tmp_path, *command, "application:wsgi", URL=witness.url) as gunicorn:
        answered = ask(port, numbers, 20)
        gunicorn.signal(signal.SIGHUP)
        earlier = set(answered.values())
        # Not before: a worker that is just beginning misses the signal that ends it.
        while len(set(answered.values()) - earlier) < 2:
            answered.update(ask(port, numbers, 5))
        said = gunicorn.end()

    assert 0 == gunicorn.process.returncode, said
    assert "agentmonitor" not in said
    assert set(answered) <= set(witness.messages())
    assert len(set(witness.messages())) == len(witness.stored)
    assert_nobody_shared(witness)


LOG_CONFIG = """{{
  "version": 1, "disable_existing_loggers": false,
  "handlers": {{"agent": {{
    "()": "agentmonitor_logging.AgentMonitorQueueHandler",
    "agent_id": "bot", "api_url": "{url}", "api_key": "{key}",
    "flush_interval": 30.0, "flush_on_sigterm": true
  }}}},
  "loggers": {{"agent": {{"handlers": ["agent"], "level": "INFO"}}}}
}}"""


def test_uvicorn_with_workers_delivers(tmp_path: Path, witness: Witness) -> None:
    """A worker of uvicorn ends by SIGTERM, so it takes `flush_on_sigterm`, set before
    uvicorn sets its own handler: by --log-config."""
    pytest.importorskip("uvicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "log.json").write_text(LOG_CONFIG.format(url=witness.url, key=KEY))
    port = closed_port()
    options = [f"--port={port}", "--workers=2", "--lifespan=off"]
    with Program(
        tmp_path, "uvicorn", *options, "--log-config=log.json", "application:asgi"
    ) as uvicorn:
        wait_until_open(port)
        ask(port, iter(range(20)), 20)
        said = uvicorn.end()

    assert 0 == uvicorn.process.returncode, said
    assert "agentmonitor" not in said
    witness.wait_stored(20)
    assert_arrived_once(witness, 20)
    assert_nobody_shared(witness)


def wait_until_open(port: int) -> None:
    """Return when somebody listens on *port*."""
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
    raise AssertionError("nobody listens")


TASKS = """
import logging, os
import celery
import celery.signals
from forms import CONFIGURED
from telling import tell

folder = os.environ["FOLDER"]
options = {"data_folder_in": folder, "data_folder_out": folder, "polling_interval": 0.1}
options["control_folder"] = folder + "/control"
app = celery.Celery("tasks", broker="filesystem://")
app.conf.update(
    broker_transport_options=options,
    task_ignore_result=True,
    worker_hijack_root_logger=os.environ["HIJACK"] == "yes",
    broker_connection_retry_on_startup=True,
)
CONFIGURED["single"](os.environ["URL"], flush_interval=30.0)
log = logging.getLogger("agent")

@celery.signals.worker_ready.connect
def ready(**_):
    # Its pool works before that, but it does not yet end at SIGTERM as it shall.
    tell("/ready")

@app.task(bind=True, autoretry_for=(KeyError,), retry_backoff=False,
          retry_kwargs={"max_retries": 2, "countdown": 0})
def work(self, number):
    if number % 6 >= 4 and not self.request.retries:
        raise KeyError(number)
    log.info("event %d", number, extra={"pid": os.getpid()})
    tell()
"""

TELLING = """
import http.client, os

def tell(what="/done"):
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["DONE"]))
    connection.request("POST", what, b'{"events": []}')
    connection.getresponse().read()
    connection.close()
"""


def test_celery_delivers(
    tmp_path: Path, witness: Witness, server: ScriptedServer
) -> None:
    """What its tasks log arrives once, retried or not, though the end of a process of
    its pool runs no atexit and nothing else but a signal of its own."""
    pytest.importorskip("celery")
    (tmp_path / "tasks.py").write_text(TASKS)
    (tmp_path / "telling.py").write_text(TELLING)
    with contextlib.ExitStack() as stack:
        workers = [
            stack.enter_context(
                celery_worker(tmp_path, first, URL=witness.url, DONE=str(server.port))
            )
            for first in (0, 6)
        ]
        # Two pools of celery take their time to start on a machine that is busy.
        assert server.wait(
            lambda: told(server, "/ready") == 2 and told(server, "/done") >= 12, 90
        )
        for worker in workers:
            worker.signal(signal.SIGTERM)
        for worker in workers:
            said = worker.end()
            assert 0 == worker.process.returncode, said
            assert "agentmonitor:" not in said

    assert_arrived_once(witness, 12)
    assert_nobody_shared(witness)


def told(server: ScriptedServer, what: str) -> int:
    """Return how often *what* was told."""
    return sum(what in request.line for request in list(server.requests))


def celery_worker(home: Path, first: int, **environ: str) -> Program:
    """Start a worker for six tasks; one takes over the root logger, one does not."""
    (home / f"queue {first}" / "control").mkdir(parents=True)
    environ["FOLDER"] = str(home / f"queue {first}")
    environ["HIJACK"] = "yes" if first else "no"
    tasks = f"import tasks\nfor n in range({first}, {first + 6}): tasks.work.delay(n)"
    subprocess.run(
        [sys.executable, "-c", tasks],
        env={**_clean_environ(home), **environ},
        check=True,
    )
    options = ["--concurrency=2", "--without-gossip", "--without-mingle", "-lERROR"]
    return Program(home, "celery", "-A", "tasks", "worker", *options, **environ)
