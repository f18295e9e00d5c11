"""Faults of processes, disks, descriptors and clocks, in real processes.

What is logged through them arrives, or is missing by no more than what is promised.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest

from agentmonitor_logging import _spool_files as files
from conftest import KEY
from invariants import violations
from servers import DEADLINE, FaultServer
from worker import Worker

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and limits")

NOBODY = 65534
WINDOW_SECONDS = 0.2
WINDOW_EVENTS = 20
"""What a kill may cost: the events of so long, or so many, whichever is more."""


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """Return a server that the test turns."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def begin(server: FaultServer, spool: Path) -> Iterator[Callable[..., Worker]]:
    """Return what starts a configured worker on the spool."""
    workers: List[Worker] = []

    def begin(**options: Any) -> Worker:
        workers.append(Worker(f"w{len(workers)}"))
        configure(workers[-1], server, **{"spool": str(spool), **options})
        return workers[-1]

    yield begin
    for worker in workers:
        errors = worker.errors()
        worker.close()
        assert KEY not in errors


def configure(worker: Worker, server: FaultServer, **options: Any) -> None:
    options = {"timeout": 1, "shutdown_timeout": 1.0, **options}
    url = options.pop("url", server.url)
    worker.ask("configure", form="single", url=url, options=options)


def log(worker: Worker, count: int, first: int = 0, **details: Any) -> List[str]:
    """Have *worker* log, and return the labels."""
    details = {"way": "plain", **details}
    said = worker.ask("log", authors=[worker.name], first=first, count=count, **details)
    assert_sums(said["stats"])
    return [f"{worker.name}#{number}" for number in range(first, first + count)]


def on_disk_by(worker: Worker, count: int) -> None:
    """Wait until *count* events of *worker* are on disk."""
    assert count == worker.ask("wait", spooled=count)["stats"]["spooled"]


def flush(worker: Worker, timeout: float = DEADLINE) -> Dict[str, Any]:
    said = worker.ask("flush", timeout=timeout)
    assert_sums(said["stats"])
    return said


def assert_sums(stats: Dict[str, Any]) -> None:
    lost = sum(stats["lost"].values())
    assert stats["accepted"] == stats["delivered"] + stats["pending"] + lost


def labels(server: FaultServer) -> List[str]:
    """Return the labels of what is stored, in order; let the server know them."""
    for event, storing in zip(server.stored, server.storings):
        if not storing.is_loss:
            storing.event_id = event["input_data"]["label"]
    return [s.event_id for s in server.storings if not s.is_loss]


def on_disk(spool: Path) -> List[str]:
    bodies = files.bodies(spool) if spool.is_dir() else []
    return [json.loads(body)["input_data"]["label"] for body in bodies]


def adopt_all(begin: Callable[..., Worker], spool: Path, **options: Any) -> Worker:
    """Have a new process deliver what is on disk."""
    heir = begin(**options)
    deadline = time.monotonic() + DEADLINE
    while True:
        flush(heir)
        if not on_disk(spool):
            return heir
        assert time.monotonic() < deadline, on_disk(spool)[:5]


# -- kill -9 ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_kills_at_any_instant_cost_a_moment(begin, server, spool, seed) -> None:
    """Killed again and again while the server fails: the last 0.2 s may be missing."""
    chance = random.Random(seed)
    server.flaky(seed)
    logged: Dict[str, List[str]] = {}
    missing_by: Dict[str, Dict[str, float]] = {}
    for _ in range(4):
        worker = begin()
        worker.tell("stream", author=worker.name, pause=0.005)
        said = [worker.hear()]
        until = time.monotonic() + chance.uniform(0.05, 0.8)
        while time.monotonic() < until:
            said.append(worker.hear())
        killed_at = worker.kill()
        said += worker.rest()
        server.client_was_killed(0.3)
        logged[worker.name] = [f"{worker.name}#{one['number']}" for one in said]
        logged[worker.name].append(f"{worker.name}#{len(said)}")  # perhaps
        missing_by[worker.name] = {
            f"{worker.name}#{one['number']}": killed_at - one["at"] for one in said
        }
    server.up()
    adopt_all(begin, spool)
    stored = set(labels(server))

    for worker_name, ages in missing_by.items():
        missing = {label: age for label, age in ages.items() if label not in stored}
        few = len(missing) <= WINDOW_EVENTS
        assert few or max(missing.values()) <= WINDOW_SECONDS, missing
    may_miss = len({i for ids in logged.values() for i in ids} - stored)
    assert [] == violations(logged, server, may_miss=may_miss)


def test_a_kill_without_a_spool_leaves_no_trace(server) -> None:
    """Without spool a kill costs what was in memory, and what comes next is itself."""
    first, second = Worker("first"), Worker("second")
    try:
        for worker in (first, second):
            configure(worker, server)
        server.hanging()
        log(first, 100)
        first.kill()
        server.up()
        server.client_was_killed(0.3)
        log(second, 100)

        assert not flush(second)["pending"]
        assert [f"second#{n}" for n in range(100)] == labels(server)
    finally:
        first.close()
        second.close()


def test_many_heirs_adopt_each_event_once(begin, server, spool) -> None:
    """However many processes come at once, one of them takes over from each dead."""
    server.down()
    dead = [begin() for _ in range(3)]
    ids = {worker.name: log(worker, 150) for worker in dead}
    for worker in dead:
        on_disk_by(worker, 150)
    for worker in dead:
        worker.kill()
    server.up()
    heirs = [begin() for _ in range(4)]
    for heir in heirs:
        heir.tell("flush", timeout=DEADLINE)
    for heir in heirs:
        assert not heir.hear()["pending"]
    for heir in heirs:
        heir.leave("return")

    labels(server)
    assert [] == violations(ids, server)
    assert 450 == len(server.stored)
    assert [] == list(spool.iterdir())


def test_heirs_may_be_killed_too(begin, server, spool) -> None:
    """What is adopted and not acknowledged is left to the next in turn."""
    server.hanging()
    first = begin()
    ids = log(first, 300)
    on_disk_by(first, 300)
    first.kill()
    for _ in range(3):
        heir = begin()
        flush(heir, 0.2)
        heir.kill()
    server.up()
    adopt_all(begin, spool)

    assert sorted(ids) == sorted(labels(server))


def test_a_stopped_process_is_not_dead(begin, server, spool) -> None:
    """Nobody adopts from a process that does not move; it delivers when it does."""
    server.down()
    stopped = begin()
    ids = {stopped.name: log(stopped, 50)}
    on_disk_by(stopped, 50)
    stopped.signal(signal.SIGSTOP)
    os.waitpid(stopped.pid, os.WUNTRACED)  # until all of its threads stand still
    try:
        server.up()
        other = begin()
        ids[other.name] = log(other, 10)
        assert not flush(other)["pending"]
        assert ids[other.name] == labels(server)
    finally:
        stopped.signal(signal.SIGCONT)

    assert not flush(stopped)["pending"]
    labels(server)
    assert [] == violations(ids, server)


def test_a_program_that_becomes_another_leaves_its_events(begin, server, spool) -> None:
    """exec ends a program without a goodbye: what it left is adopted, once."""
    server.down()
    worker = begin()
    ids = log(worker, 50)
    on_disk_by(worker, 50)
    worker.ask("exec")
    server.up()
    configure(worker, server, spool=str(spool))

    assert not flush(worker)["pending"]
    assert ids == labels(server)


def test_two_agents_of_a_process_share_a_spool(server, spool) -> None:
    """Handlers in one process on one directory keep out of each other's way."""
    worker = Worker("w")
    try:
        server.down()
        configure(worker, server, spool=str(spool))
        worker.ask("add", url=server.url, spool=str(spool))
        log(worker, 40)
        on_disk_by(worker, 80)
        server.up()

        assert not flush(worker)["pending"]
        assert 80 == len(labels(server))
    finally:
        worker.close()


# -- disks -----------------------------------------------------------------------------


def test_a_full_disk_costs_nothing_while_memory_has_room(begin, server, spool) -> None:
    """Files that may not grow: delivery goes on from memory, with one line."""
    server.down()
    worker = begin()
    log(worker, 10)
    on_disk_by(worker, 10)
    worker.ask("limit", name="RLIMIT_FSIZE", limit=30_000)
    log(worker, 200, first=10, size=1_000)
    server.up()

    assert not flush(worker)["pending"]
    assert sorted(f"w0#{n}" for n in range(210)) == sorted(labels(server))
    assert 1 == worker.errors().count("takes no events"), worker.errors()


def test_a_disk_that_has_room_again_keeps_what_is_left(begin, server, spool) -> None:
    """At the end everything is tried once more, and the next process has it all."""
    server.down()
    worker = begin()
    worker.ask("limit", name="RLIMIT_FSIZE", limit=30_000)
    ids = log(worker, 200, size=1_000)
    worker.ask("limit", name="RLIMIT_FSIZE", limit=None)
    worker.leave("return")
    assert sorted(ids) == sorted(on_disk(spool)), worker.errors()
    server.up()
    adopt_all(begin, spool)

    assert sorted(ids) == sorted(labels(server))


def remove(spool: Path) -> None:
    shutil.rmtree(spool)


def replace_by_a_file(spool: Path) -> None:
    shutil.rmtree(spool)
    spool.write_text("in the way")


def replace_by_a_link_to_nowhere(spool: Path) -> None:
    shutil.rmtree(spool)
    spool.symlink_to(spool.parent / "nowhere")


def replace_by_an_empty_one(spool: Path) -> None:
    shutil.rmtree(spool)
    spool.mkdir()


def empty(spool: Path) -> None:
    for path in spool.iterdir():
        path.unlink()


def truncate(spool: Path) -> None:
    for path in spool.iterdir():
        os.truncate(path, 0)


@pytest.mark.parametrize(
    "fault",
    [
        remove,
        replace_by_a_file,
        replace_by_a_link_to_nowhere,
        replace_by_an_empty_one,
        empty,
        truncate,
    ],
)
def test_what_happens_to_the_directory_costs_no_event(
    begin, server, spool, fault
) -> None:
    """Events that are in memory too are delivered, whatever becomes of the disk."""
    server.down()
    worker = begin()
    log(worker, 50)
    on_disk_by(worker, 50)
    fault(spool)
    log(worker, 50, first=50)
    server.up()

    assert not flush(worker)["pending"]
    assert sorted(f"w0#{n}" for n in range(100)) == sorted(labels(server))
    assert {} == flush(worker)["stats"]["lost"]
    worker.leave("return")
    assert "Traceback" not in worker.errors()


def test_a_directory_without_rights_costs_no_event(server) -> None:
    """chmod 000 while running: memory takes over, and the disk when it may again."""
    folder = Path(tempfile.mkdtemp())
    worker = Worker("w")
    try:
        folder.chmod(0o777)
        spool = folder / "spool"
        # Before it is another user, who may perhaps not import anything more.
        configure(worker, server)
        log(worker, 1, first=1000)
        flush(worker)
        if os.geteuid() == 0:
            worker.ask("become", uid=NOBODY)  # rights mean nothing to root
        server.down()
        configure(worker, server, spool=str(spool))
        log(worker, 50)
        on_disk_by(worker, 50)
        spool.chmod(0)
        log(worker, 50, first=50)
        server.up()

        assert not flush(worker)["pending"]
        assert sorted(f"w#{n}" for n in range(100)) == sorted(labels(server)[1:])
        spool.chmod(0o700)
        worker.leave("return")
        assert "Traceback" not in worker.errors()
    finally:
        worker.close()
        shutil.rmtree(folder)


def test_processes_may_differ_about_the_bound(begin, server, spool) -> None:
    """The one with less room takes none from the living other."""
    server.down()
    large = begin()
    ids = {large.name: log(large, 150, size=20_000)}
    on_disk_by(large, 150)
    small = begin(spool_max_bytes=1024 * 1024)
    ids[small.name] = log(small, 50, size=20_000)
    flush(small, 0.2)
    server.up()
    for worker in (small, large):
        said = flush(worker)
        assert (0, {}) == (said["pending"], said["stats"]["lost"])

    labels(server)
    assert [] == violations(ids, server)


# -- damage and strangers --------------------------------------------------------------


def test_damage_costs_what_it_hits(begin, server, spool, tmp_path) -> None:
    """Bytes changed, cut off or added anywhere: the sound events arrive."""
    server.down()
    worker = begin()
    ids = set(log(worker, 100))
    on_disk_by(worker, 100)
    worker.kill()
    with contextlib.ExitStack() as stack:
        cases = []
        for seed in range(8):
            folder = tmp_path / str(seed)
            shutil.copytree(spool, folder)
            cost = damage(folder, random.Random(seed))
            own = stack.enter_context(FaultServer())
            heir = begin(url=own.url, spool=str(folder))
            heir.tell("flush", timeout=DEADLINE)
            cases.append((folder, cost, own, heir))
        for folder, cost, own, heir in cases:
            assert not heir.hear()["pending"]
            assert heir.leave("return") < 4
            missing = ids - set(labels(own))
            aside = [path.name for path in folder.iterdir()]

            assert len(missing) <= cost
            assert len(labels(own)) == len(set(labels(own)))
            assert all(".set-aside-" in name for name in aside)
            assert bool(aside) == ("a damaged file is now" in heir.errors())
            assert "Traceback" not in heir.errors()


def damage(spool: Path, chance: random.Random) -> int:
    """Damage the files; return how many events that may cost at most."""
    cost = 0
    for path in spool.iterdir():
        data = bytearray(path.read_bytes())
        for _ in range(chance.randrange(6)):
            data[chance.randrange(len(data))] ^= chance.randrange(1, 256)
            cost += 1
        if chance.random() < 0.3:
            at = chance.randrange(len(data))
            data[at:at] = bytes(chance.randrange(256) for _ in range(9))
            cost += 1
        if chance.random() < 0.3:
            cut = chance.randrange(1, 500)
            del data[-cut:]
            cost += 1 + cut // 100
        path.write_bytes(data)
    return cost


SEGMENT = "0000018bcfe56800-00112233445566{:02x}.events"
OWNER = "00112233445566{:02x}.owner"


def test_strangers_in_the_directory_are_left_alone(begin, server, spool, tmp_path):
    """Links, pipes, sockets, folders and huge files, whatever their names say."""
    spool.mkdir(mode=0o700)
    secret = tmp_path / "precious"
    secret.write_text("do not touch")
    (spool / "README.txt").write_text("notes")
    (spool / SEGMENT.format(1)).symlink_to(secret)
    os.mkfifo(spool / SEGMENT.format(2))
    (spool / SEGMENT.format(3)).mkdir()
    with (spool / SEGMENT.format(4)).open("wb") as file:
        file.truncate(1 << 40)
    (spool / SEGMENT.format(5)).write_text("no events at all")
    (spool / SEGMENT.format(6)).write_bytes(b"")
    (spool / SEGMENT.format(7)).symlink_to("/dev/zero")
    (spool / OWNER.format(8)).symlink_to(secret)
    os.mkfifo(spool / OWNER.format(9))
    (spool / OWNER.format(10)).mkdir()
    (spool / "ünlesbar\udcff").write_text("")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(spool)
        listening.bind(SEGMENT.format(11))
        os.chdir(here)
    worker = begin()
    ids = log(worker, 50)

    assert not flush(worker)["pending"]
    assert ids == labels(server)
    assert worker.leave("return") < 3
    assert "Traceback" not in worker.errors()
    assert "do not touch" == secret.read_text()
    assert "notes" == (spool / "README.txt").read_text()
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in spool.iterdir()}
    assert {stat.S_IFLNK, stat.S_IFIFO, stat.S_IFDIR, stat.S_IFSOCK} < kinds


# -- clocks and descriptors ------------------------------------------------------------


@pytest.mark.parametrize("jump", [-3600.0, 3600.0, -2e9])
def test_a_clock_that_jumps_changes_nothing(begin, server, spool, jump) -> None:
    """Hours forth or back, in one process and between two, all events arrive."""
    server.down()
    workers = [Worker("w")]
    try:
        worker = workers[0]
        worker.ask("turn_clock", seconds=0.0)
        configure(worker, server, spool=str(spool))
        ids = log(worker, 50)
        on_disk_by(worker, 50)
        worker.ask("turn_clock", seconds=jump)
        ids += log(worker, 50, first=50)
        on_disk_by(worker, 100)
        worker.kill()
        heir = Worker("heir")
        workers.append(heir)
        heir.ask("turn_clock", seconds=2 * jump)
        server.up()
        configure(heir, server, spool=str(spool))
        more = log(heir, 10)

        assert not flush(heir)["pending"]
        assert sorted(ids + more) == sorted(labels(server))
        assert [] == on_disk(spool)
    finally:
        for worker in workers:
            worker.close()


@pytest.mark.parametrize("spooled", [True, False])
def test_a_program_without_descriptors_loses_nothing(server, spool, spooled) -> None:
    """While no file and no socket can be opened, events wait in memory."""
    worker = Worker("w")
    try:
        worker.ask("limit", name="RLIMIT_NOFILE", limit=64)
        configure(worker, server, **({"spool": str(spool)} if spooled else {}))
        worker.ask("take_descriptors")
        ids = log(worker, 50)
        flush(worker, 0.5)
        ids += log(worker, 50, first=50)
        worker.ask("give_descriptors")

        assert not flush(worker)["pending"]
        assert sorted(ids) == sorted(labels(server))
        worker.leave("return")
        assert "Traceback" not in worker.errors()
        assert {} == worker.final["lost"]
    finally:
        worker.close()
