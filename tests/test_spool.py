"""The spool: what is on disk outlives its process, once, in order and within bounds."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Set, Tuple

import pytest

from agentmonitor_logging import _spool_files, _spool_segment
from agentmonitor_logging._spool import RETRY_INTERVAL, Spool

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
DEADLINE = 60.0

posix = pytest.mark.skipif(os.name == "nt", reason="speaks of POSIX files")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no os.fork")
root_only = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may"
)


class Clock:
    """Show the time that a test sets."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Opened:
    """Make spools on one directory, and keep what they report."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reports: List[str] = []
        self.clock = Clock()
        self._spools: List[Spool] = []

    def __call__(self, max_bytes: int = 64 * MIB) -> Spool:
        self._spools.append(
            Spool(str(self.path), max_bytes, report=self._report, clock=self.clock)
        )
        return self._spools[-1]

    def _report(self, problem: str, text: str) -> None:
        assert problem.startswith("spool")
        self.reports.append(text)

    def left_by_the_dead(self, *events: bytes) -> None:
        """Leave *events* as a process that has ended does."""
        spool = self()
        assert spool.add(events).ids is not None
        spool.close()

    def segments(self) -> List[Path]:
        return sorted(self.path.glob("*.events"))

    def aside(self) -> List[Path]:
        return sorted(self.path.glob("*.set-aside-*"))

    def on_disk(self) -> int:
        """Return what the directory takes, as du would tell it."""
        sizes = [entry.stat().st_size for entry in self.path.iterdir()]
        return 4096 + sum(-(-size // 4096) * 4096 for size in sizes)

    def close(self) -> None:
        for spool in self._spools:
            spool.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Return a maker of spools on one directory that is not there yet."""
    maker = Opened(tmp_path / "spool")
    yield maker
    maker.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return what mounts a disk of one megabyte, and mounts it anew with options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str = "size=1m") -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)],
            stderr=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            pytest.skip("a file system cannot be mounted here")
        return place

    yield mount
    subprocess.run(["umount", str(place)], stderr=subprocess.DEVNULL)


def bodies(adopted: List[Tuple[int, bytes]]) -> List[bytes]:
    return [body for _, body in adopted]


def numbered(*numbers: int, size: int = 0) -> List[bytes]:
    return [b"%d" % number + b"." * size for number in numbers]


def start(script: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start *script* in an interpreter of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", script, *map(str, arguments)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **options,
    )


def run(script: str, *arguments: object) -> List[str]:
    """Run *script* and return the lines that it prints."""
    with start(script, *arguments) as process:
        out, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, out
    return out.decode().split("\n")[:-1]


# -- the ordinary way --------------------------------------------------------------


def test_nothing_is_opened_before_the_first_event(opened: Opened) -> None:
    """A spool that is made, asked and closed leaves no directory."""
    spool = opened()

    assert spool.adopt(10) == []
    assert spool.count() == 0
    assert spool.add([]).ids == []
    spool.remove([1])
    spool.close()

    assert not opened.path.exists()
    assert opened.reports == []


def test_what_was_added_is_on_disk_until_it_is_removed(opened: Opened) -> None:
    """Every event has an id of its own, and goes by it."""
    spool = opened()
    first = spool.add(numbered(1, 2, 3)).ids
    second = spool.add(numbered(4)).ids

    assert len({*first, *second}) == 4
    assert spool.count() == 4
    spool.remove([first[1], second[0]])

    assert spool.count() == 2
    assert list(spool.bodies()) == numbered(1, 3)
    assert spool.add(numbered(5)).lost == []
    assert spool.read([*second, *first]) == [(first[0], b"1"), (first[2], b"3")]


def test_events_are_found_in_whichever_segment_they_are(opened: Opened) -> None:
    """Removing and reading in any order works over many files."""
    spool = opened(4 * MIB)
    ids = [spool.add(numbered(n, size=9000)).ids[0] for n in range(100)]
    assert len(opened.segments()) > 5
    shuffled = random.Random(1).sample(ids, 100)

    spool.remove(shuffled[:60])

    waits = sorted(shuffled[60:])
    assert [id_ for id_, _ in spool.read(ids)] == waits
    assert list(spool.bodies()) == numbered(*map(ids.index, waits), size=9000)


def test_the_disk_is_given_back_after_delivery(opened: Opened) -> None:
    """Of a large delivered backlog nothing is left but the owner's files."""
    spool = opened()
    ids = [
        id_
        for _ in range(100)
        for id_ in spool.add(numbered(*range(100), size=2000)).ids
    ]
    assert opened.on_disk() > 20_000_000

    spool.remove(ids)

    assert opened.on_disk() <= 3 * 4096
    spool.close()
    assert list(opened.path.iterdir()) == []


def test_removing_what_is_not_there_is_nothing(opened: Opened) -> None:
    """Unknown ids and repeated ones are passed over."""
    spool = opened()
    ids = spool.add(numbered(1, 2)).ids

    for _ in range(3):
        spool.remove([ids[0], -5, 0, 10_000])

    assert spool.count() == 1


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_order_only_what_was_removed_is_gone(
    opened: Opened, seed: int
) -> None:
    """The disk says what waits after each step, whosever it was, and by which id."""
    chance = random.Random(seed)
    spool, looking = opened(), opened()
    ids: Dict[bytes, int] = {}
    count = 0
    for _ in range(60):
        events = numbered(*range(count, count + chance.randrange(1, 9)))
        step = chance.random()
        if step < 0.3:
            ids.update(zip(events, spool.add(events).ids))
            count += len(events)
        elif step < 0.4:
            opened.left_by_the_dead(*events)
            ids.update((event, id_) for id_, event in spool.adopt(100))
            count += len(events)
        else:
            first = chance.choice([0, 0, 3])
            done = list(ids)[first : first + chance.randrange(1, 12)]
            chance.shuffle(done)
            spool.remove([ids.pop(event) for event in done])
        assert sorted(looking.bodies()) == sorted(ids)
        assert looking.count() == spool.count() == len(ids)
        assert spool.read(ids.values()) == [(id_, event) for event, id_ in ids.items()]
    spool.close()

    assert sorted(bodies(looking.adopt(1_000))) == sorted(ids)


@posix
def test_a_request_in_its_turn_is_struck_out_by_one_write(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by one for each of its events, while the server takes them in order."""
    writes: List[int] = []
    write = os.pwrite
    monkeypatch.setattr(
        _spool_segment,
        "_write_at",
        lambda fd, at, data: writes.append(write(fd, data, at)),
    )
    spool = opened()
    ids = spool.add(numbered(*range(301))).ids
    for first in (0, 100, 200):
        spool.remove(ids[first : first + 100])

    assert len(writes) == 3


# -- handing on ----------------------------------------------------------------------


def test_what_a_closed_spool_leaves_is_adopted_oldest_first(opened: Opened) -> None:
    """The next one gets it in pieces, in the order in which it was written."""
    opened.left_by_the_dead(*numbered(1, 2))
    opened.clock.now += 1
    opened.left_by_the_dead(*numbered(3, 4, 5))
    spool = opened()

    assert bodies(spool.adopt(3)) == numbered(1, 2, 3)
    assert bodies(spool.adopt(3)) == numbered(4, 5)
    assert spool.adopt(3) == []


def test_the_living_are_not_adopted_from(opened: Opened) -> None:
    """Events of another spool are counted, but are its own while it is open."""
    one, other = opened(), opened()
    ids = one.add(numbered(1, 2)).ids

    assert other.adopt(10) == []
    assert other.count() == 2
    one.remove(ids)
    assert other.count() == 0


def test_an_adopted_event_is_nobody_elses(opened: Opened) -> None:
    """It goes to the next only when its adopter closes without having removed it."""
    opened.left_by_the_dead(*numbered(1, 2, 3))
    one, other = opened(), opened()
    adopted = one.adopt(2)

    assert other.adopt(10) == []
    one.remove([adopted[0][0]])
    one.close()

    assert bodies(other.adopt(10)) == numbered(2, 3)


def test_adopted_and_own_events_are_removed_by_their_ids(opened: Opened) -> None:
    """Adopting in between one's own writing mixes nothing up."""
    opened.left_by_the_dead(*numbered(1, 2))
    spool = opened()
    own = list(spool.add(numbered(11, 12)).ids)
    adopted = [id_ for id_, _ in spool.adopt(10)]
    own += spool.add(numbered(13)).ids

    spool.remove([own[0], adopted[1]])
    assert sorted(spool.bodies()) == sorted(numbered(1, 12, 13))
    spool.remove([own[1], own[2], adopted[0]])

    assert spool.count() == 0
    assert opened.on_disk() <= 3 * 4096


def test_a_clock_that_goes_back_does_not_change_the_order(opened: Opened) -> None:
    """Within a process events stay in the order in which they were added."""
    spool = opened(4 * MIB)
    for number in range(20):
        spool.add(numbered(number, size=20_000))
        opened.clock.now -= 3600
    spool.close()

    assert bodies(opened().adopt(100)) == numbered(*range(20), size=20_000)


ADOPT = """
import sys
from agentmonitor_logging._spool import Spool
spool = Spool(sys.argv[1], 2**26, report=lambda *_: None)
print("ready", flush=True)
sys.stdin.readline()
while True:
    events = spool.adopt(7)
    for id_, body in events:
        print(body.decode())
    if not events:
        break
    spool.remove([id_ for id_, _ in events])
print("done", flush=True)
sys.stdin.readline()
"""


def test_the_oldest_of_several_owners_comes_first(opened: Opened) -> None:
    """Not who began first counts, but when the events were written."""
    early = opened()
    early.remove(early.add(numbered(0)).ids)
    opened.clock.now += 60
    opened.left_by_the_dead(*numbered(1))
    opened.clock.now += 60
    early.add(numbered(2))
    early.close()

    assert bodies(opened().adopt(10)) == numbered(1, 2)


def test_of_four_that_adopt_at_once_each_event_goes_to_one(opened: Opened) -> None:
    """Nobody gets what another has, and nothing is left."""
    for dead in range(30):
        opened.left_by_the_dead(*numbered(*range(dead * 50, dead * 50 + 50)))
    processes = [start(ADOPT, opened.path) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        process.stdin.write(b"go\n")
        process.stdin.flush()

    adopted: List[bytes] = []
    for process in processes:
        out, _ = process.communicate(b"end\n", timeout=DEADLINE)
        adopted += [line for line in out.split() if line != b"done"]
        assert process.returncode == 0

    assert sorted(adopted) == sorted(numbered(*range(1500)))
    assert list(opened.path.iterdir()) == []


def test_an_adopted_segment_that_is_gone_leaves_no_gap_in_ids(opened: Opened) -> None:
    """What is added after it was delivered is found, and removed, by its own id."""
    spool = opened()
    own = list(spool.add(numbered(1, 2)).ids)
    opened.left_by_the_dead(*numbered(11, 12))
    spool.remove([id_ for id_, _ in spool.adopt(10)])
    own += spool.add(numbered(3, 4)).ids

    assert [body for _, body in spool.read(own)] == numbered(1, 2, 3, 4)
    assert spool.present(own) == set(own)
    spool.remove([own[2]])
    spool.close()
    assert bodies(opened().adopt(10)) == numbered(1, 2, 4)


# -- being killed ----------------------------------------------------------------------

RESTLESS = """
import os, random, sys
from agentmonitor_logging._spool import Spool
path, number, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
spool = Spool(path, 2**23, report=lambda _, text: say("!", [text.replace(" ", "_")]))

def say(what, numbers):
    os.write(1, (what + " " + " ".join(map(str, numbers)) + "\\n").encode())

mine = [(id_, body.split(b".")[0].decode()) for id_, body in spool.adopt(10**6)]
while True:
    new = list(range(number, number + chance.randrange(1, 20)))
    number = new[-1] + 1
    say("adding", new)
    added = spool.add([b"%d." % n + b"x" * chance.randrange(5000) for n in new])
    say("added", new)
    mine += zip(added.ids, map(str, new))
    chance.shuffle(mine)
    gone = [mine.pop() for _ in range(min(len(mine), chance.randrange(25)))]
    say("removing", [n for _, n in gone])
    spool.remove([id_ for id_, _ in gone])
    say("removed", [n for _, n in gone])
"""


def test_kill_9_at_any_instant_costs_nothing_that_was_added(opened: Opened) -> None:
    """After 20 kills each added event waits once, unless its removal had begun."""
    chance = random.Random(7)
    told: Dict[str, Set[str]] = {
        what: set() for what in ("adding", "added", "removing", "removed")
    }
    for kill in range(20):
        process = start(RESTLESS, opened.path, kill * 1_000_000, kill)
        lines = iter(process.stdout.readline, b"")
        for _ in range(chance.randrange(1, 120)):
            _note(told, next(lines))
        process.send_signal(signal.SIGKILL)
        for line in lines:
            _note(told, line)
        process.stdin.close()
        process.stdout.close()
        process.wait(DEADLINE)

    spool = opened()
    adopted = spool.adopt(10**6)
    left = [body.split(b".")[0].decode() for _, body in adopted]

    assert len(left) == len(set(left))
    assert told["added"] - told["removing"] <= set(left)
    assert set(left) <= told["adding"] - told["removed"]
    assert len(told["removed"]) > 1000
    spool.remove([id_ for id_, _ in adopted])
    assert opened.on_disk() == 4096
    assert opened.reports == []


def _note(told: Dict[str, Set[str]], line: bytes) -> None:
    if line.endswith(b"\n"):
        what, *numbers = line.decode().split()
        told[what].update(numbers)


@posix
def test_an_unfinished_write_is_no_damage(opened: Opened) -> None:
    """At whichever byte a write was cut off, what came before is all there."""
    opened.left_by_the_dead(*numbered(1, 2, size=30))
    (path,) = opened.segments()
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        spool = opened()
        adopted = bodies(spool.adopt(10))
        assert adopted == numbered(1, 2, size=30)[: len(adopted)]
        assert len(adopted) == (length - 8) // 51 if length >= 8 else not adopted
        spool.close()
        path.write_bytes(whole)

    assert opened.reports == []
    assert opened.aside() == []


# -- bounds ----------------------------------------------------------------------------


def test_the_disk_never_holds_more_than_the_bound(opened: Opened) -> None:
    """The oldest events make room for the newest, and each of them is told once."""
    spool = opened(MIB)
    added: List[int] = []
    lost: List[int] = []
    for _ in range(100):
        stored = spool.add(numbered(*range(20), size=2000))
        added += stored.ids
        lost += stored.lost
        assert opened.on_disk() <= MIB

    assert lost == added[: len(lost)]
    assert [id_ for id_, _ in spool.read(added)] == added[len(lost) :]
    assert spool.count() == len(added) - len(lost)
    assert opened.on_disk() > 0.9 * MIB


FILL = """
import os, sys
from agentmonitor_logging._spool import Spool
spool = Spool(sys.argv[1], 2**20, report=lambda *_: None)
own, lost, refused = [], [], 0
most = 0
for number in range(150):
    added = spool.add([b"%d" % number + b"." * 3000] * 5)
    own += added.ids or []
    lost += added.lost
    refused += 5 * (added.ids is None)
    sizes = [0]
    for entry in os.scandir(sys.argv[1]):
        try:
            sizes.append(-(-entry.stat().st_size // 4096) * 4096)
        except FileNotFoundError:
            pass
    most = max(most, sum(sizes))
assert len(own) + refused == 750
assert len(spool.read(own)) == len(own) - len(lost), (len(own), len(lost))
print(most, len(own) - len(lost), flush=True)
sys.stdin.readline()
"""


def test_the_bound_is_that_of_all_processes_together(opened: Opened) -> None:
    """Four that write at once exceed it by no more than what each adds at a time."""
    processes = [start(FILL, opened.path) for _ in range(4)]
    said = [process.stdout.readline().split() for process in processes]

    assert opened().count() == sum(int(waits) for _, waits in said)
    assert max(int(most) for most, _ in said) <= MIB + 3 * 20_000
    for process in processes:
        process.communicate(b"end\n", timeout=DEADLINE)
        assert process.returncode == 0


def test_one_add_may_exceed_the_bound_by_itself(opened: Opened) -> None:
    """Its own oldest events are lost then, with ids like any other."""
    spool = opened(MIB)
    stored = spool.add(numbered(*range(3000), size=1000))

    assert len(stored.ids) == 3000
    assert stored.lost == list(stored.ids[: len(stored.lost)])
    assert spool.count() == 3000 - len(stored.lost)
    assert opened.on_disk() <= MIB


def test_an_event_larger_than_the_bound_costs_no_other(opened: Opened) -> None:
    """It is not taken, and nothing makes room for it in vain."""
    spool = opened(MIB)
    spool.add(numbered(1))

    assert spool.add([b"x" * MIB]) == (None, [])
    assert spool.add(numbered(2)).ids is not None
    assert spool.count() == 2
    assert len(opened.reports) == 1


def test_the_dead_make_room_before_newer_events_do(opened: Opened) -> None:
    """What nobody has adopted yet is lost as the oldest, and told as well."""
    opened.left_by_the_dead(*numbered(*range(40), size=10_000))
    opened.clock.now += 1
    spool = opened(MIB)
    stored = [spool.add(numbered(n, size=10_000)) for n in range(80)]
    lost = [id_ for one in stored for id_ in one.lost]
    own = [id_ for one in stored for id_ in one.ids]

    assert lost
    assert not set(lost) & set(own)
    assert len(lost) + spool.count() == 120
    assert opened.on_disk() <= MIB


def test_the_living_make_no_room_for_others(opened: Opened) -> None:
    """Who finds the spool filled by others goes on from memory, and loses nothing."""
    one, other = opened(MIB), opened(MIB)
    other.add(numbered(1, size=50_000))
    for number in range(100):
        one.add(numbered(number, size=20_000))
    there = one.count()

    stored = other.add(numbered(2, size=200_000))

    assert stored == (None, [])
    assert one.count() == there
    assert "no room" in opened.reports[-1]


def test_what_is_lost_is_not_adopted_any_more(opened: Opened) -> None:
    """An event that made room is not handed out afterwards."""
    opened.left_by_the_dead(*numbered(*range(50), size=10_000))
    spool = opened(MIB)
    adopted = [id_ for id_, _ in spool.adopt(1)]
    opened.clock.now += 1
    lost: List[int] = []
    while len(lost) < 20:
        lost += spool.add(numbered(*range(10), size=2000)).lost
    adopted += [id_ for id_, _ in spool.adopt(100)]

    assert not set(adopted[1:]) & set(lost)
    assert len(set(adopted) | set(lost)) == 50


def test_what_makes_room_leaves_no_gap_in_ids(opened: Opened) -> None:
    """Events of the dead that go in the midst of a file take no id from its events."""
    opened.left_by_the_dead(*numbered(*range(9), size=10_000))
    opened.clock.now += 1  # theirs shall be the oldest file, whatever its name
    spool = opened(max_bytes=150_000)
    own: List[int] = []
    lost: List[int] = []
    while not lost:
        added = spool.add(numbered(len(own), size=2000))
        own += added.ids
        lost += added.lost
    assert len(lost) == 9
    own += spool.add(numbered(len(own), size=2000)).ids

    assert [body for _, body in spool.read(own)] == numbered(
        *range(len(own)), size=2000
    )
    spool.remove(own)
    assert spool.count() == 0


# -- a disk that does not take it --------------------------------------------------------


def test_a_full_disk_takes_all_or_nothing(small_disk: Callable[..., Path]) -> None:
    """What does not fit leaves nothing behind; what was there stays; once told."""
    opened = Opened(small_disk() / "spool")
    spool = opened()
    stored = spool.add(numbered(1, size=300_000))
    assert spool.add(numbered(2, 3, size=500_000)).ids is None

    assert list(spool.bodies()) == numbered(1, size=300_000)
    assert spool.add(numbered(4)).ids is None
    assert len(opened.reports) == 1
    assert "No space left" in opened.reports[0]
    opened.clock.now += RETRY_INTERVAL
    assert spool.add(numbered(5)).ids is not None
    spool.remove(stored.ids)
    assert list(spool.bodies()) == numbered(5)
    opened.close()


def test_on_a_read_only_disk_nothing_is_raised(small_disk: Callable[..., Path]) -> None:
    """Adding is refused, removing is told, and closing is quiet."""
    opened = Opened(small_disk() / "spool")
    opened.left_by_the_dead(*numbered(9))
    spool = opened()
    ids = spool.add(numbered(1, 2)).ids
    spool.close()
    small_disk("remount,ro")

    assert spool.add(numbered(3)).ids is None
    assert spool.adopt(10) == []
    spool.remove(ids)
    assert spool.count() == 3
    assert sorted(spool.bodies()) == numbered(1, 2, 9)
    assert [one.alive for one in spool.waiting()] == [False, False]
    spool.close()
    assert "Read-only" in opened.reports[0]


LIMITED = """
import resource, sys
from agentmonitor_logging._spool import Spool
now = [1e9]
told = []
spool = Spool(sys.argv[1], 2**26, report=lambda *it: told.append(it), clock=lambda: now[0])
first = spool.add([b"1"]).ids
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, resource.RLIM_INFINITY))
assert spool.add([b"2" * 30000]).ids is None
assert spool.add([b"3"]).ids is None
now[0] += 5
assert spool.add([b"4"]).ids is not None
spool.remove(first)
print(len(told), *[body.decode() for body in spool.bodies()])
"""


MANY = """
import os, sys
for missing in sys.argv[2:]:
    delattr(os, missing)
from agentmonitor_logging._spool import Spool
events = [b"%d" % number for number in range(3000)]
spool = Spool(sys.argv[1], 2**26, report=print)
assert list(spool.add(events[:5]).ids) == [1, 2, 3, 4, 5]
ids = spool.add(events[5:]).ids
assert list(spool.bodies()) == events
spool.remove(ids[1:-1])
assert list(spool.bodies()) == events[:6] + events[-1:]
spool.remove(range(1, 3001))
print(spool.count())
"""


@posix
@pytest.mark.parametrize("missing", [(), ("writev", "pwrite")])
def test_any_number_of_events_is_added_at_once(
    missing: Tuple[str, ...], opened: Opened
) -> None:
    """More than one call can write are all there, and so without POSIX's calls."""
    assert run(MANY, opened.path, *missing) == ["0"]


@posix
def test_the_last_chance_is_not_left_out(opened: Opened) -> None:
    """A disk that took nothing a moment ago is asked once more where nothing follows."""
    opened.path.parent.mkdir(exist_ok=True)
    opened.path.write_text("in the way")
    spool = opened()
    assert spool.add([b"1"]).ids is None
    opened.path.unlink()
    assert spool.add([b"2"]).ids is None
    assert spool.add([b"3"], last_chance=True).ids is not None

    assert list(spool.bodies()) == [b"3"]


def test_what_was_to_be_removed_is_removed_at_the_close(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a slow disk was too busy to strike out, a close catches up with it."""
    monkeypatch.setattr("agentmonitor_logging._spool._PATIENCE", 0.01)
    spool = opened()
    ids = spool.add([b"1", b"2"]).ids
    assert ids is not None
    with spool._lock:
        spool.remove(ids[:1])
    spool.close()

    assert bodies(opened().adopt(10)) == [b"2"]


def test_each_kind_of_trouble_is_a_problem_of_its_own(tmp_path: Path) -> None:
    """What limits the lines about one must not hide the line about another."""
    reports: List[Tuple[str, str]] = []
    spool = Spool(str(tmp_path), MIB, report=lambda *it: reports.append(it))
    left = Spool(str(tmp_path), MIB, report=lambda *it: None)
    left.add([b"1", b"2"])
    left.close()
    (segment,) = tmp_path.glob("*.events")
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    segment.write_bytes(data)
    spool.remove([id_ for id_, _ in spool.adopt(10)])
    spool.close()

    assert ["spool damage", "spool set aside"] == [problem for problem, _ in reports]


@posix
def test_a_write_that_is_cut_short_is_taken_back(opened: Opened) -> None:
    """Part of an event does not stay, and later ones follow what is sound."""
    assert run(LIMITED, opened.path) == ["1 4"]
    assert bodies(opened().adopt(10)) == [b"4"]
    assert opened.reports == []


def test_a_file_in_place_of_the_directory_is_left_alone(opened: Opened) -> None:
    """One report, no event taken, and the file is what it was."""
    opened.path.write_text("precious")
    spool = opened()

    for _ in range(3):
        assert spool.add(numbered(1)) == (None, [])
        opened.clock.now += RETRY_INTERVAL
    assert spool.count() == 0
    spool.remove([1])
    spool.close()

    assert opened.path.read_text() == "precious"
    assert len(opened.reports) == 1
    opened.path.unlink()
    assert spool.add(numbered(2)).ids is not None


@posix
def test_a_directory_that_cannot_be_made_is_tried_again_later(opened: Opened) -> None:
    """Not with every event: the disk is asked once in a while."""
    opened.path = Path("/proc/agentmonitor-spool/none")
    spool = opened()
    assert spool.add(numbered(1)) == (None, [])
    assert spool.add(numbered(1)) == (None, [])

    assert len(opened.reports) == 1
    assert "goes on from memory" in opened.reports[0]
    assert "None" not in opened.reports[0]


@posix
def test_a_directory_that_vanishes_comes_again(opened: Opened) -> None:
    """One line tells of it; what went with it is gone, and the next has a place."""
    spool = opened()
    before = spool.add(numbered(1, 2)).ids
    opened.path.rename(opened.path.with_name("elsewhere"))

    assert spool.add(numbered(3)).ids is not None
    assert len(opened.reports) == 1
    assert spool.present(before) == set()
    spool.remove(before)
    assert list(spool.bodies()) == numbered(3)
    assert spool.count() == 1
    assert len(opened.reports) == 1


@posix
def test_a_segment_that_is_deleted_costs_its_own_events_only(opened: Opened) -> None:
    """Somebody cleans up by hand: the next event has a file again."""
    spool = opened()
    before = spool.add(numbered(1)).ids
    for path in opened.segments():
        path.unlink()

    after = spool.add(numbered(2)).ids
    spool.remove(before)

    assert list(spool.bodies()) == numbered(2)
    assert bodies(spool.read([*before, *after])) == numbered(2)


def test_a_lock_that_is_taken_does_not_hold_up_a_signal_handler(opened: Opened) -> None:
    """Who interrupts the thread that holds the lock gets an answer all the same."""
    spool = opened()
    with spool._lock:
        assert spool.add(numbered(1)) == (None, [])
        spool.remove([1])
        spool.close()
    assert spool.add(numbered(1)).ids is not None


# -- who may read and write it -----------------------------------------------------------


@posix
def test_files_are_private_whatever_the_directory(opened: Opened) -> None:
    """0600 in a 0700 directory, and 0600 in one that was there with wider rights."""
    before = os.umask(0)
    try:
        opened().add(numbered(1))
        assert stat.S_IMODE(opened.path.stat().st_mode) == 0o700
        opened.path.chmod(0o777)
        opened().add(numbered(1))
    finally:
        os.umask(before)

    assert stat.S_IMODE(opened.path.stat().st_mode) == 0o777
    assert {stat.S_IMODE(p.stat().st_mode) for p in opened.path.iterdir()} == {0o600}
    assert len(list(opened.path.iterdir())) == 4


@root_only
def test_a_link_that_another_user_laid_is_not_followed(opened: Opened) -> None:
    """Our own link is fine; theirs could lead the events to where they read them."""
    target = opened.path.with_name("target")
    target.mkdir(0o700)
    opened.path.symlink_to(target)
    assert opened().add(numbered(1)).ids is not None
    os.chown(opened.path, 12345, 12345, follow_symlinks=False)

    assert opened().add(numbered(2)).ids is None
    assert opened().adopt(10) == []
    assert "another user" in opened.reports[0]


# -- damage ------------------------------------------------------------------------------


def test_damage_costs_the_events_it_hits_and_no_others(opened: Opened) -> None:
    """The neighbours are adopted, and the file is kept aside when they are delivered."""
    opened.left_by_the_dead(*numbered(1, 2, 3, size=100))
    (path,) = opened.segments()
    data = path.read_bytes()
    damaged = data.replace(b"2....", b"2XXXX")
    path.write_bytes(damaged)
    spool = opened()
    adopted = spool.adopt(10)

    assert bodies(adopted) == numbered(1, 3, size=100)
    assert len(opened.reports) == 1
    spool.remove([id_ for id_, _ in adopted])
    (aside,) = opened.aside()
    kept = aside.read_bytes()
    assert len(kept) == len(damaged) and b"2XXXX" in kept
    assert opened.segments() == []
    assert opened().adopt(10) == []
    assert spool.count() == 0


def test_one_wrong_byte_strikes_out_no_other_event(opened: Opened) -> None:
    """Whatever the state of one says, those before it and behind it are there."""
    opened.left_by_the_dead(*numbered(1, 2, 3, size=100))
    (path,) = opened.segments()
    data = path.read_bytes()
    header = data.index(b"2....") - _spool_files.OVERHEAD
    looking = opened()
    for at in range(header, header + _spool_files.OVERHEAD):
        for byte in range(256):
            path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
            assert set(looking.bodies()) >= set(numbered(1, 3, size=100))


@pytest.mark.parametrize("seed", range(8))
def test_no_damage_is_fatal(opened: Opened, seed: int) -> None:
    """Whatever is overwritten, cut or inserted, adopting yields only sound events."""
    chance = random.Random(seed)
    events = numbered(*range(50), size=40)
    for _ in range(25):
        opened.left_by_the_dead(*events)
        (path,) = opened.segments()
        data = bytearray(path.read_bytes())
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(data))
            size = chance.randrange(1, 60)
            data[at : at + chance.choice([0, size])] = bytes(
                chance.randrange(256) for _ in range(size)
            )
        path.write_bytes(data)
        spool = opened()
        adopted = spool.adopt(100)
        assert set(bodies(adopted)) <= set(events)
        spool.remove([id_ for id_, _ in adopted])
        spool.close()
        assert opened.segments() == []
        assert len(opened.aside()) == 1
        opened.aside()[0].unlink()


@posix
def test_what_has_our_names_but_is_not_ours_is_set_aside(opened: Opened) -> None:
    """Garbage, a directory, a link and a named pipe block nothing and are kept."""
    opened.left_by_the_dead(*numbered(1))
    names = [f"{n:016x}-{'ab' * 8}.events" for n in range(5)]
    (opened.path / names[0]).write_bytes(b"SQLite format 3\0" + bytes(5000))
    (opened.path / names[1]).mkdir()
    (opened.path / names[2]).symlink_to("/etc/hostname")
    os.mkfifo(str(opened.path / names[3]))
    (opened.path / names[4]).write_bytes(b"hello")
    spool = opened()

    assert bodies(spool.adopt(10)) == numbered(1)
    assert spool.add(numbered(2)).ids is not None
    assert [path.name[:-9].partition(".set")[0] for path in opened.aside()] == names
    assert all("set-aside" in told or "no file of" in told for told in opened.reports)


def test_the_files_of_others_are_left_where_they_are(opened: Opened) -> None:
    """A directory that is used for other things too is not tidied up."""
    opened.path.mkdir()
    (opened.path / "notes.txt").write_text("mine")
    (opened.path / "spool.db").write_bytes(b"\0" * 100)
    spool = opened()

    spool.add(numbered(1))
    spool.add(numbered(2))

    assert (opened.path / "notes.txt").read_text() == "mine"
    assert (opened.path / "spool.db").stat().st_size == 100
    assert len(opened.reports) == 1


@pytest.mark.parametrize("said", [b"", b"\xff\x00garbage", b"[1]", b'{"pid": "x"}'])
def test_an_owner_that_introduces_itself_badly_is_adopted(
    opened: Opened, said: bytes
) -> None:
    """The lock decides, not what the file says; nor need the file be there."""
    opened.left_by_the_dead(*numbered(1))
    (owner,) = opened.path.glob("*.owner")
    owner.write_bytes(said)
    assert [(one.pid, one.host) for one in opened().waiting()] == [(None, "")]
    owner.unlink()
    spool = opened()
    assert bodies(spool.adopt(10)) == numbered(1)


# -- fork --------------------------------------------------------------------------------

FORK = """
import os, sys
from agentmonitor_logging._spool import Spool
spool = Spool(sys.argv[1], 2**26, report=lambda *it: print(*it))
parents = spool.add([b"parent 1", b"parent 2"]).ids
gone_r, gone_w = os.pipe()
if os.fork():
    os.close(gone_w)
    spool.remove(parents[:1])
    spool.add([b"parent 3"])
    os.read(gone_r, 1)
    os._exit(0)
spool.reset_after_fork()
mine = spool.add([b"child 1"]).ids
spool.remove(parents)
assert spool.count() in (2, 3)
assert spool.adopt(10) == []
parent = os.getppid()
alive_r, alive_w = os.pipe()
os.write(gone_w, b"x")
while os.getppid() == parent:
    os.sched_yield()
print(sorted(body.decode() for _, body in spool.adopt(10)))
spool.close()
"""


@needs_fork
def test_a_child_has_a_spool_of_its_own(opened: Opened) -> None:
    """It leaves the parent's events alone, and adopts them once the parent is dead.

    Though it was born with the parent's lock open: that must not keep it alive.
    """
    assert run(FORK, opened.path) == ["['parent 2', 'parent 3']"]
    assert sorted(opened().bodies()) == [b"child 1", b"parent 2", b"parent 3"]


FORKS = """
import os, sys, threading, warnings
from agentmonitor_logging._spool import Spool
warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
spool = Spool(sys.argv[1], 2**26, report=lambda *it: print(*it))
ending = threading.Event()
number = 0

def busy():
    global number
    kept = []
    while not ending.is_set():
        kept += spool.add([b"parent %d" % number, b"parent %d" % (number + 1)]).ids
        spool.remove(kept[:1])
        del kept[:1]
        number += 2

thread = threading.Thread(target=busy)
thread.start()
for child in range(40):
    pid = os.fork()
    if not pid:
        spool.reset_after_fork()
        ids = spool.add([b"child %d" % child, b"gone"]).ids
        spool.remove(ids[1:])
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert status == 0
ending.set()
thread.join()
print(number)
"""


@needs_fork
def test_forks_in_the_midst_of_writing_mix_nothing_up(opened: Opened) -> None:
    """What 40 children and their busy parent wrote waits once; nobody hangs."""
    (number,) = map(int, run(FORKS, opened.path))
    left = [body for _, body in opened().adopt(10**6)]

    assert {body for body in left if b"child" in body} == {
        b"child %d" % child for child in range(40)
    }
    assert len(left) == len(set(left)) == 40 + number // 2
    assert b"gone" not in left


# -- looking -------------------------------------------------------------------------------


def test_looking_changes_nothing(opened: Opened) -> None:
    """It is told who has left how much since when, and what, oldest first."""
    opened.left_by_the_dead(*numbered(1, 22))
    opened.clock.now += 60
    spool = opened()
    spool.remove([spool.add(numbered(333, 4444)).ids[0]])
    before = {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in opened.path.iterdir()
    }

    looking = opened()
    dead, alive = looking.waiting()
    assert list(looking.bodies()) == numbered(1, 22, 4444)
    assert looking.count() == 3
    looking.close()

    assert (dead.events, dead.bytes, dead.alive) == (2, 3, False)
    assert (alive.events, alive.bytes, alive.alive) == (1, 4, True)
    assert alive.oldest - dead.oldest == 60
    assert alive.pid == os.getpid()
    assert alive.host
    assert before == {
        p: (p.stat().st_mtime_ns, p.stat().st_size) for p in opened.path.iterdir()
    }


def test_counting_follows_what_others_do(opened: Opened) -> None:
    """A settled file is not read again, a changed one is."""
    one, other = opened(), opened()
    ids = one.add(numbered(1, 2, 3)).ids
    (path,) = opened.segments()
    os.utime(path, (1, 1))
    assert other.count() == 3
    assert other.count() == 3

    one.remove(ids[:1])

    assert other.count() == 2
