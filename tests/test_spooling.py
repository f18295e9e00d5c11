"""What becomes of events with `spool`: whatever happens, they arrive, or are counted."""

from __future__ import annotations

import json
import logging
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List

import pytest

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    flush,
    stats,
)
from agentmonitor_logging import _spool_files as files
from conftest import KEY
from servers import DEADLINE, Exchange, Reply, ScriptedServer, closed_port

log = logging.getLogger("agent")
NOBODY = f"http://127.0.0.1:{closed_port()}/api/v1"

PROGRAM = """
import logging, os, sys, time
import agentmonitor_logging

url, spool, count, ending = sys.argv[1:5]
handler = agentmonitor_logging.configure(
    api_key="%s", agent_id="bot", api_url=url, spool=spool, shutdown_timeout=1.0
)
log = logging.getLogger("agent")
for number in range(int(count)):
    log.info("%%d of %%d", number, os.getpid())
    print(number, time.time(), flush=True)
    if ending == "paced":
        time.sleep(0.005)
if ending == "paced":
    os.kill(os.getpid(), 9)
if ending == "killed":
    deadline = time.monotonic() + 10
    while agentmonitor_logging.stats().spooled < agentmonitor_logging.stats().accepted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(os.getpid(), 9)
if ending == "_exit":
    time.sleep(0.3)
    os._exit(0)
if ending == "raise":
    raise SystemError("the program's own")
""" % (KEY,)


@pytest.fixture(autouse=True)
def _forgotten(collect_garbage: Callable[[], None]) -> None:
    """Let `stats` speak of no handler that another test left behind."""
    collect_garbage()


@pytest.fixture
def spool(tmp_path: pathlib.Path) -> pathlib.Path:
    return tmp_path / "spool"


@pytest.fixture
def run(spool: pathlib.Path) -> Iterator[Callable[..., Any]]:
    """Return what runs the program on the spool in a process of its own."""
    started: List[subprocess.Popen[str]] = []

    def start(url: str, count: int, ending: str = "") -> subprocess.Popen[str]:
        arguments = [sys.executable, "-W", "error", "-c", PROGRAM]
        arguments += [url, str(spool), str(count), ending]
        process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    def run(*arguments: Any) -> Any:
        process = start(*arguments)
        process.output, process.errors = process.communicate(timeout=DEADLINE)
        return process

    run.start = start
    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


def on_disk(spool: pathlib.Path) -> List[str]:
    """Return the messages of the events that wait on disk, oldest first."""
    if not spool.exists():
        return []
    return [json.loads(body)["metadata"]["message"] for body in files.bodies(spool)]


def messages(server: ScriptedServer) -> List[str]:
    return [event["metadata"]["message"] for event in server.stored]


def ids(server: ScriptedServer) -> List[str]:
    return [event["metadata"]["event_id"] for event in server.stored]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# -- on disk before they are sent, gone when acknowledged ------------------------------


def test_events_are_on_disk_before_they_are_sent(serve, attach, spool) -> None:
    """When the server sees an event for the first time, the disk has it already."""
    seen: List[List[str]] = []

    def look(exchange: Exchange) -> None:
        seen.append(on_disk(spool))
        Reply(200)(exchange)

    server = serve(look)
    attach(server.url, spool=spool)
    log.info("first")
    log.info("second")

    assert flush(DEADLINE)
    assert [["first", "second"]] == seen


def test_what_is_acknowledged_leaves_the_disk(server, attach, spool) -> None:
    """After a delivery nothing waits on disk, and nothing is said to."""
    attach(server.url, spool=spool)
    for number in range(250):
        log.info("event %d", number)

    assert flush(DEADLINE)
    assert [] == on_disk(spool)
    assert (250, 0) == (stats().delivered, stats().spooled)


def test_what_waits_on_disk_is_counted(attach, spool) -> None:
    """stats().spooled counts the events that wait on disk, and they are pending too."""
    attach(NOBODY, spool=spool, shutdown_timeout=0.2)
    for number in range(30):
        log.info("event %d", number)
    wait_until(lambda: stats().spooled == 30)

    assert 30 == stats().pending
    assert 30 == len(on_disk(spool))


def test_no_secret_touches_the_disk(attach, spool) -> None:
    """What redaction hides is hidden on disk too, and so is the key."""
    attach(NOBODY, spool=spool, shutdown_timeout=0.2)
    log.info("password=kitten-42-purple", extra={"input_data": {"api_key": "s3cr3t-z"}})
    wait_until(lambda: stats().spooled == 1)
    written = b"".join(path.read_bytes() for path in spool.iterdir())

    for secret in (b"kitten-42-purple", b"s3cr3t-z", KEY.encode()):
        assert secret not in written


def test_the_spool_is_readable_by_its_user_only(attach, spool) -> None:
    """Files have mode 0600, the directory 0700, whatever the umask."""
    attach(NOBODY, spool=spool, shutdown_timeout=0.2)
    before = os.umask(0)
    try:
        log.info("for my eyes only")
        wait_until(lambda: stats().spooled == 1)
    finally:
        os.umask(before)

    assert 0o700 == spool.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in spool.iterdir()}


def test_refused_events_leave_the_disk_too(serve, attach, spool) -> None:
    """A rejected event is lost and counted, on disk as well; the others arrive."""

    def rule(request: Any) -> Any:
        poison = any(e["metadata"]["message"] == "event 7" for e in request.events)
        return 422 if poison else 200

    server = serve(rule=rule)
    attach(server.url, spool=spool)
    for number in range(20):
        log.info("event %d", number)
    flush(DEADLINE)

    assert {"rejected": 1} == stats().lost
    wait_until(lambda: stats().pending == 0)
    assert [] == on_disk(spool)


@pytest.mark.parametrize("form", ["pair", "direct"])
def test_every_form_spools(server, spool, form: str) -> None:
    """A standard pair and a handler attached directly have the spool as well."""
    options: Dict[str, Any] = {"api_key": KEY, "agent_id": "bot", "spool": str(spool)}
    handler: Any = AgentMonitorHandler(api_url=server.url, **options)
    if form == "pair":
        handler = AgentMonitorQueueHandler(handlers=[handler])
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("hello")

    assert flush(DEADLINE)
    assert ["hello"] == messages(server)
    assert spool.is_dir()
    assert [] == on_disk(spool)


def test_a_disabled_handler_makes_no_directory(attach, spool) -> None:
    """Disabled means no file, either."""
    attach(NOBODY, spool=spool, enabled=False)
    log.info("nothing")
    flush(0)

    assert not spool.exists()


# -- every end of a process ------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "raise", "_exit", "killed"])
def test_what_a_process_left_arrives_with_the_next(serve, run, spool, ending) -> None:
    """However a process ends, the next one delivers what it left, each once."""
    first = run(NOBODY, 120, ending)
    assert {"killed": -signal.SIGKILL, "raise": 1}.get(ending, 0) == first.returncode
    assert 120 == len(on_disk(spool))
    server = serve()
    second = run(server.url, 1)

    assert "" == second.errors
    assert [f"{n} of {first.pid}" for n in range(120)] == messages(server)[:120]
    assert 121 == len(server.stored) == len(set(ids(server)))
    assert [] == on_disk(spool)


def test_an_end_that_leaves_events_says_how_many_and_where(run, spool) -> None:
    """One line tells what was kept; nothing was lost."""
    process = run(NOBODY, 3)

    (line,) = process.errors.splitlines()
    assert f"3 events kept in {spool} at exit: cannot reach" in line
    assert "lost" not in line


@pytest.mark.parametrize(
    "trouble",
    [503, Exchange.hang, lambda exchange: exchange.drip(b"HTTP/1.1 200", 0.2)],
    ids=["503", "hangs", "drips"],
)
def test_what_a_server_does_not_take_is_kept(serve, run, spool, trouble) -> None:
    """A process ends in time, and what the server did not take is on disk."""
    process = run(serve(rule=lambda request: trouble).url, 50)

    assert 50 == len(on_disk(spool))
    assert "50 events kept" in process.errors


def test_a_kill_costs_no_more_than_a_moment(run, spool) -> None:
    """After kill -9 at any time, only the last 0.2 s or 20 events may be missing."""
    process = run(NOBODY, 150, "paced")
    told = [line.split() for line in process.output.splitlines()]
    times = {int(number): float(when) for number, when in told}
    kept = {int(message.split()[0]) for message in on_disk(spool)}
    missing = sorted(set(times) - kept)
    end = max(times.values())

    assert len(kept) > 50
    assert missing == list(range(150 - len(missing), 150))
    assert len(missing) <= 20 or end - times[missing[0]] <= 0.2


def test_processes_share_a_spool(serve, run, spool) -> None:
    """Several processes at once, some of them killed: each event arrives once."""
    server = serve()
    workers = [run.start(server.url, 200) for _ in range(3)]
    workers += [run.start(NOBODY, 100, "killed") for _ in range(2)]
    for worker in workers:
        worker.communicate(timeout=2 * DEADLINE)
    for _ in range(2):
        run(server.url, 0 if not on_disk(spool) else 1)
    said = [m for m in messages(server) if not m.startswith("0 of")]

    assert 3 * 199 + 2 * 99 == len(said) == len(set(said))
    assert len(ids(server)) == len(set(ids(server)))
    assert [] == on_disk(spool)


def test_a_living_process_adopts_what_another_left(
    serve, attach, run, spool, monkeypatch
) -> None:
    """A process that runs on takes over from one that dies meanwhile."""
    monkeypatch.setattr("agentmonitor_logging._keeper.ADOPT_INTERVAL", 0.05)
    server = serve()
    attach(server.url, spool=spool)
    log.info("mine")
    run(NOBODY, 10, "killed")

    server.wait_stored(11)
    assert 11 == len(set(ids(server)))
    wait_until(lambda: stats().delivered == 11)


def test_a_flush_adopts(serve, attach, run, spool) -> None:
    """A flush delivers what a dead process left, though nothing was logged here."""
    run(NOBODY, 10, "killed")
    server = serve()
    attach(server.url, spool=spool)

    assert flush(DEADLINE)
    assert 10 == len(server.stored) == stats().accepted


def test_a_fork_leaves_the_parents_events_to_the_parent(serve, attach, spool) -> None:
    """What waits on disk at a fork is delivered by the parent, once."""
    gate = serve(503)
    attach(gate.url, spool=spool, shutdown_timeout=DEADLINE)
    log.info("before")
    wait_until(lambda: stats().spooled == 1)
    child = os.fork()
    if child == 0:
        log.info("of the child")
        os._exit(0 if flush(DEADLINE) else 1)
    _, status = os.waitpid(child, 0)
    log.info("after")

    assert 0 == status
    assert flush(DEADLINE)
    assert ["after", "before", "of the child"] == sorted(messages(gate))


class Turn:
    """A lock that somebody else has; it notes for how long each would wait for it."""

    def __init__(self) -> None:
        self.patience: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._ended = threading.Event()

    def acquire(self, timeout: float = -1) -> bool:
        self.patience.put(timeout)
        return self._ended.wait(timeout)

    def release(self) -> None:
        self._ended.set()


def test_who_finds_the_disk_in_use_waits_and_does_not_spin(
    server, attach, spool, monkeypatch
) -> None:
    """The spool's thread sleeps while another thread does its work."""
    turn = Turn()
    handler = attach(server.url, spool=spool)
    keeper = handler.targets()[0]._sender._keeper
    monkeypatch.setattr(keeper, "_working", turn)
    log.info("hello")

    assert turn.patience.get(timeout=DEADLINE) >= 0.1
    turn.release()
    assert flush(DEADLINE)
    assert ["hello"] == messages(server)


# -- closing, and beginning again ------------------------------------------------------


def test_what_a_close_left_is_still_the_handlers(serve, attach, spool) -> None:
    """A handler that is used again after a close takes up what it left, uncounted."""
    statuses = [503]
    server = serve(rule=lambda request: statuses[-1])
    handler = attach(server.url, spool=spool, retry_attempts=0)
    log.info("first")
    handler.shutdown(0.2)
    assert (1, 1) == (stats().pending, stats().spooled)
    statuses.append(200)
    log.info("second")

    assert flush(DEADLINE)
    assert ["first", "second"] == sorted(messages(server))
    assert (2, 2, 0) == (stats().accepted, stats().delivered, stats().spooled)


def test_a_flush_does_not_wait_for_what_a_close_left(attach, spool) -> None:
    """What was left on disk is pending, but nobody here is to deliver it."""
    handler = attach(NOBODY, spool=spool)
    log.info("left")
    assert not handler.shutdown(0.2)
    wait_until(lambda: handler.targets()[0]._sender.left_behind == 1)

    began = time.monotonic()
    assert 1 == handler.flush(DEADLINE).pending
    assert time.monotonic() - began < DEADLINE / 2


def test_the_next_configuration_takes_over(serve, attach, spool, monkeypatch) -> None:
    """What one handler could not deliver, its successor in the process does."""
    monkeypatch.setattr("agentmonitor_logging._keeper.ADOPT_INTERVAL", 0.05)
    first = attach(NOBODY, spool=spool)
    log.info("of the first")
    log.removeHandler(first)
    first.shutdown(0.2)
    server = serve()
    attach(server.url, spool=spool)
    log.info("of the second")

    server.wait_stored(2)
    assert ["of the first", "of the second"] == sorted(messages(server))
    wait_until(lambda: [] == on_disk(spool))


class Switched:
    """Refuse everything until it is switched on."""

    def __init__(self) -> None:
        self.on = False

    def __call__(self, request: Any) -> int:
        return 200 if self.on else 503


# -- bounds ----------------------------------------------------------------------------


def test_a_full_memory_loses_nothing(serve, attach, spool) -> None:
    """What buffer_bytes has no room for waits on disk only, and arrives in order."""
    switched = Switched()
    server = serve(rule=switched)
    attach(server.url, spool=spool, buffer_bytes=1024 * 1024, max_in_flight=1)
    for number in range(600):
        log.info("%d", number, extra={"input_data": {"text": "x" * 5_000}})
    wait_until(lambda: stats().spooled == 600)
    switched.on = True

    assert flush(DEADLINE)
    assert {} == stats().lost
    assert [str(number) for number in range(600)] == messages(server)
    assert [] == on_disk(spool)


def test_a_full_spool_loses_the_oldest_and_counts_them(serve, attach, spool) -> None:
    """spool_max_bytes bounds what waits; the newest arrive, the others are counted."""
    switched = Switched()
    server = serve(rule=switched)
    handler = attach(server.url, spool=spool, spool_max_bytes=1024 * 1024)
    for number in range(600):
        log.info("%d", number, extra={"input_data": {"text": "x" * 5_000}})
    wait_until(lambda: "599" in on_disk(spool))
    lost = stats().lost["spool_full"]
    size = sum(path.stat().st_size for path in spool.iterdir())

    switched.on = True

    assert 200 < lost < 500
    assert size <= 1024 * 1024
    assert flush(DEADLINE)
    arrived = [int(m) for m in messages(server) if m.isdigit()]
    assert 600 - lost == len(arrived) == len(set(arrived))
    assert set(range(500, 600)) < set(arrived)
    assert handler.stats().accepted == 601  # and the event that tells of the loss


# -- disks that do not -----------------------------------------------------------------


@pytest.mark.swallows
def test_where_no_spool_can_be_delivery_goes_on(server, attach, tmp_path, caplog):
    """A path where no directory can be made costs one line, and no event."""
    (tmp_path / "file").write_text("in the way")
    attach(server.url, spool=tmp_path / "file" / "spool")
    for number in range(100):
        log.info("event %d", number)

    assert flush(DEADLINE)
    assert 100 == len(server.stored)
    (line,) = [r for r in caplog.records if r.name == "agentmonitor_logging"]
    assert "delivery goes on from memory" in line.getMessage()


def test_a_directory_that_vanishes_costs_no_event(serve, attach, spool) -> None:
    """Events on disk are in memory as well, as long as memory has room."""
    server = serve(503, 503)
    attach(server.url, spool=spool)
    for number in range(50):
        log.info("event %d", number)
    wait_until(lambda: stats().spooled == 50)
    shutil.rmtree(spool)
    for number in range(50, 100):
        log.info("event %d", number)

    assert flush(DEADLINE)
    assert 100 == len(set(ids(server))) == len(server.stored)


def test_what_vanished_from_disk_is_kept_anew_at_the_end(attach, spool) -> None:
    """A close writes again what is no longer where it was."""
    handler = attach(NOBODY, spool=spool)
    for number in range(5):
        log.info("event %d", number)
    wait_until(lambda: stats().spooled == 5)
    shutil.rmtree(spool)
    handler.shutdown(0.2)

    assert 5 == len(on_disk(spool)) == stats().spooled
    assert {} == stats().lost


def test_what_vanished_while_memory_was_full_is_counted(serve, attach, spool) -> None:
    """Events that were on disk only, and are gone, are lost with a reason."""
    switched = Switched()
    server = serve(rule=switched)
    attach(server.url, spool=spool, buffer_bytes=1024 * 1024)
    for number in range(400):
        log.info("%d", number, extra={"input_data": {"text": "x" * 5_000}})
    wait_until(lambda: stats().spooled == 400)
    for path in spool.glob("*.events"):
        path.unlink()
    switched.on = True

    assert flush(DEADLINE)
    arrived = [m for m in messages(server) if m.isdigit()]
    assert 100 < len(arrived) == 400 - stats().lost["spool_error"]
