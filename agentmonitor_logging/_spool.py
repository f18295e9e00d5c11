"""What waits to be sent, on disk: durable, bounded, and handed on by the dead.

Each process appends to segment files of its own, under a lock that it holds as long
as it lives (see `_spool_owner`); an acknowledged event is struck out in place, a
segment of which nothing waits is removed. To adopt is to take the lock of a dead
owner: nothing is moved or copied, so being killed in the midst of it changes nothing.

What `add` has returned survives the end of the process, kill -9 included. It is not
synced: what was written in the last seconds before a power loss may be gone. An event
that arrived but was not struck out before a crash is sent again. The directory must
lie on a disk of this host: locks on network file systems are not relied on. What is
set aside is for people; it is never deleted, and has no part in the bound.

Why not sqlite3 in WAL mode, measured with batches of 100 events of 2 kB (CPython 3.11,
two busy cores, the range of six runs: microseconds of CPU per event to add and remove;
slowest add of four processes at once; size after 100 MB were delivered):

    one database for all processes     14 to 20 us    440 to 1350 ms    100 MB
    one database for each process      13 to 17 us     12 to 219 ms     100 MB
    these segments                      5 to 10 us     15 to 113 ms      4 kB

So writers must not share a file. Of the others, a database needs a VACUUM to give its
room back, may be lost as a whole when it is damaged, and its connection must not even
be closed in a forked child; and the segments cost half as much.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from collections import deque
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import (
    Callable,
    Deque,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
    TypeVar,
)

from . import _spool_files as files
from ._spool_files import Waiting
from ._spool_owner import Ownership
from ._spool_segment import OpenFile, Segment, Strike, strike, unlink

RETRY_INTERVAL = 5.0
"""Seconds that a disk which took nothing is left alone."""
_PATIENCE = 1.0
"""Seconds to wait for the lock: a signal handler may have interrupted its holder."""
_SEGMENTS = 64
"""Into how many segments *max_bytes* is cut: the oldest goes when room is needed."""
_LEAST_SEGMENT = 16 * 1024
_LARGEST_SEGMENT = 4 * 1024 * 1024
_STALE = 1000
"""Milliseconds after which an empty file gives way to one with a name of today."""
_SETTLED = 1.0
"""Seconds after which a file's time stamp tells reliably whether it has changed."""

T = TypeVar("T")


class Added(NamedTuple):
    """What became of events: their *ids* in order, None if the disk took none.

    *lost* are the ids that had to go to make room, the oldest; those of a dead owner
    may be among them, which had not been adopted yet.
    """

    ids: Optional[List[int]]
    lost: List[int]


class SpoolFullError(Exception):
    """There is no room, and nothing that this process may remove to make some."""


class Spool:
    """Keep encoded events in the directory *path*, at most *max_bytes* with all.

    The bound is over the files of all processes; while several write at once, each
    may exceed it by one `add`. Nothing is opened before the first event. No method
    raises; *report* is told what is wrong, and *clock* gives seconds since the epoch.
    """

    def __init__(
        self,
        path: str,
        max_bytes: int,
        *,
        report: Callable[[str, str], object],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = Path(path)
        self._max_bytes = max_bytes
        segment = max(max_bytes // _SEGMENTS, _LEAST_SEGMENT)
        self._segment_bytes = min(segment, _LARGEST_SEGMENT)
        self._report = report
        self._clock = clock
        self._owner: Optional[Ownership] = None
        self._claims: Dict[str, Ownership] = {}
        self._file: Optional[OpenFile] = None
        # Goes on in a child, so that an id of the parent's never means an event there.
        self._next_id = 1
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._lock = threading.Lock()
        self._segments: List[Segment] = []
        self._backlog: List[str] = []
        self._ready: Deque[Tuple[int, bytes]] = deque()
        self._done: Deque[int] = deque()
        self._tallies: Dict[str, Tuple[Tuple[int, int], int]] = {}
        self._last_name = 0
        self._retry_at = float("-inf")
        self._trouble = ""
        self._news: List[Tuple[str, str]] = []
        self._told: Set[str] = set()

    def __repr__(self) -> str:
        return f"<Spool {self._directory}, {len(self._segments)} segments>"

    # -- what others call ----------------------------------------------------------

    def add(self, events: Sequence[bytes], *, last_chance: bool = False) -> Added:
        """Write *events*, all of them or none, and tell what had to make room.

        A process that is killed meanwhile may leave the first of them. A disk that
        took nothing is left alone for a while, unless this is the *last_chance*.
        """
        if not events:
            return Added([], [])
        if last_chance:
            self._retry_at = float("-inf")
        return self._safely(lambda: self._add(events), Added(None, []))

    def remove(self, ids: Iterable[int]) -> None:
        """Strike out what was acknowledged or lost; ids not known are passed over."""
        # Whoever holds the lock for too long, adding to a slow disk, does it then.
        self._done.extend(ids)
        if self._done:
            self._safely(self._remove_done, None)

    def adopt(self, most: int) -> List[Tuple[int, bytes]]:
        """Take over up to *most* events of dead owners, oldest first.

        They are this process' until they are removed, or it ends or closes.
        """
        return self._safely(lambda: self._adopt(most), [])

    def read(
        self, ids: Iterable[int], most_bytes: int = sys.maxsize
    ) -> List[Tuple[int, bytes]]:
        """Return those of *ids* that wait here, with their events.

        For a caller that holds no more in memory than it is about to send: it ends
        with the event that reaches *most_bytes* in all.
        """
        wanted = list(ids)
        return self._safely(lambda: self._read(wanted, most_bytes), [])

    def present(self, ids: Iterable[int]) -> Set[int]:
        """Return those of *ids* that wait here, in files that can still be found."""
        wanted = list(ids)
        return self._safely(lambda: self._present(wanted), set())

    def count(self) -> int:
        """Return how many events of all owners wait."""
        return self._safely(self._count, 0)

    def waiting(self) -> List[Waiting]:
        """Tell what waits, by owner, oldest first; change nothing."""
        return self._safely(lambda: files.waiting(self._directory), [])

    def bodies(self) -> Iterator[bytes]:
        """Yield the events of all owners, oldest first; change nothing."""
        with suppress(OSError):
            yield from files.bodies(self._directory)

    def close(self) -> None:
        """Leave what waits to others; the next `add` begins anew."""
        self._safely(self._close, None)

    def reset_after_fork(self) -> None:
        """Forget what belongs to the parent process, which goes on with it."""
        if self._file is not None:
            self._file.close()
        for owner in [self._owner, *self._claims.values()]:
            if owner is not None:
                owner.forget()
        self._owner, self._file, self._claims = None, None, {}
        self._start_afresh()

    # -- the boundary: no error gets out ---------------------------------------------

    def _safely(self, work: Callable[[], T], otherwise: T) -> T:
        if not self._lock.acquire(timeout=_PATIENCE):
            return otherwise
        try:
            result = work()
        except (FileNotFoundError, NotADirectoryError):
            result = otherwise  # no directory, nothing in it
        except Exception as error:
            if not self._trouble:
                self._say("spool", f"{self._directory}: {_reason(error)}")
            result = otherwise
        finally:
            news, self._news = self._news, []
            self._lock.release()
        for problem, text in news:
            self._report(problem, text)
        return result

    def _say(self, problem: str, text: str) -> None:
        """Have *text* reported, once; *problem* says what it must not flood."""
        if text not in self._told:
            self._told.add(text)
            self._news.append((problem, text))

    # -- adding ----------------------------------------------------------------------

    def _add(self, events: Sequence[bytes]) -> Added:
        self._remove_done()
        now = self._clock()
        if now < self._retry_at <= now + RETRY_INTERVAL:
            return Added(None, [])
        ids: List[int] = []
        lost: List[int] = []
        try:
            self._assure_owner()
            for group in _groups(events, self._segment_bytes):
                ids.extend(self._write(group, now, lost))
        except Exception as error:
            if not isinstance(error, SpoolFullError):
                self._retry_at = now + RETRY_INTERVAL
            self._remove(ids)
            self._fail(error)
            return Added(None, sorted(set(lost).difference(ids)))
        self._retry_at = float("-inf")
        self._trouble = ""
        return Added(ids, lost)

    def _fail(self, error: Exception) -> None:
        if self._trouble != _reason(error):
            self._trouble = _reason(error)
            text = (
                f"{self._directory} takes no events ({self._trouble}); "
                "delivery goes on from memory"
            )
            self._news.append(("spool", text))

    def _assure_owner(self) -> None:
        if self._owner is not None and not self._owner.holds():
            # The caller still has what was in it.
            self._say("spool gone", f"{self._directory} vanished, and is made anew")
            self._let_go()
        if self._owner is not None:
            self._assure_file()
            return
        if not os.path.lexists(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.check_directory(self._directory)
        self._owner = Ownership.begin(self._directory)

    def _assure_file(self) -> None:
        """See that what is written can be found; the caller still has what was."""
        if self._file is not None and not self._file.exists():
            path = self._file.path
            self._segments = [one for one in self._segments if one.path != path]
            self._close_file()

    def _let_go(self) -> None:
        """Leave everything where it is, to whom it may concern."""
        self._close_file()
        left = {files.owner_of(name) for name in self._names()}
        for owner in [self._owner, *self._claims.values()]:
            if owner is not None:
                owner.release(remove=owner.name not in left)
        self._owner, self._claims = None, {}
        self._segments, self._backlog = [], []
        self._ready.clear()

    def _names(self) -> List[str]:
        return [segment.path.name for segment in self._segments] + self._backlog

    def _write(
        self, group: Sequence[bytes], now: float, lost: List[int]
    ) -> Iterable[int]:
        parts = [part for event in group for part in (files.header(event, now), event)]
        sizes = [files.OVERHEAD + len(event) for event in group]
        size = sum(sizes)
        self._make_room(size + files.BLOCK, lost)
        file = self._file_for(size, now)
        begins = not file.size
        start = file.append(parts)
        if begins:
            self._segments.append(Segment(file.path, self._next_id))
        self._segments[-1].note(list(accumulate([start, *sizes[:-1]])))
        first, self._next_id = self._next_id, self._next_id + len(sizes)
        return range(first, self._next_id)

    def _file_for(self, size: int, now: float) -> OpenFile:
        file = self._file
        if file is not None and file.size:
            # Ids follow each other in a segment: those of an adopted one may lie in
            # between, and it may be gone again.
            last = self._segments[-1] if self._segments else None
            goes_on = last and last.path == file.path and last.end == self._next_id
            if not goes_on or file.size + size > self._segment_bytes:
                self._close_file()
        elif file is not None and now * 1000 > self._last_name + _STALE:
            # Its name would pass its events off as older than they are.
            self._close_file()
            unlink(file.path)
        if self._file is None and self._owner is not None:
            self._last_name = max(self._last_name + 1, int(now * 1000))
            name = files.segment_name(self._last_name, self._owner.name)
            self._file = OpenFile(self._directory / name)
        assert self._file is not None
        return self._file

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    # -- room ------------------------------------------------------------------------

    def _make_room(self, size: int, lost: List[int]) -> None:
        found = self._survey()
        if found.bytes + size <= self._max_bytes:
            return
        self._claim_dead(found)
        found = self._survey()
        sizes = found.segments
        ours = sum(sizes.get(name, 0) for name in self._names())
        if found.bytes - ours + size > self._max_bytes:
            raise SpoolFullError("spool_max_bytes leave no room for this")
        excess = found.bytes + size - self._max_bytes
        while excess > 0:
            excess -= sizes.get(self._drop_oldest(lost), 0)

    def _drop_oldest(self, lost: List[int]) -> str:
        name = min(self._names(), default=None)
        if name is None:
            raise SpoolFullError("what is there cannot be removed")
        if name in self._backlog:
            self._backlog.remove(name)
            self._load(name)
        for segment in self._segments:
            if segment.path.name == name:
                lost.extend(segment.strike_all())
                self._discard(segment)
                break
        return name

    def _survey(self) -> files.Listing:
        found = files.survey(self._directory)
        if found.strangers:
            text = f"{self._directory} has files of others, which are left alone"
            self._say("spool strangers", text)
        return found

    # -- removing --------------------------------------------------------------------

    def _remove_done(self) -> None:
        done: List[int] = []
        while self._done:
            done.append(self._done.popleft())
        self._remove(done)

    def _remove(self, ids: Iterable[int]) -> None:
        segments, left = self._segments.copy(), sorted(ids)
        firsts = [segment.first for segment in segments]
        while left:
            at = bisect_right(firsts, left[0])
            cut = bisect_left(left, firsts[at]) if at < len(firsts) else len(left)
            if at:
                self._settle(segments[at - 1], segments[at - 1].strike(left[:cut]))
            left = left[cut:]

    def _settle(self, segment: Segment, strikes: Sequence[Strike]) -> None:
        try:
            if not segment.waiting:
                self._discard(segment)
            elif self._file is not None and self._file.path == segment.path:
                self._file.strike(strikes)
            elif strikes:
                strike(segment.path, strikes)
        except OSError as error:
            text = f"{self._directory} keeps delivered events: {_reason(error)}"
            self._say("spool strikes", text)

    def _discard(self, segment: Segment) -> None:
        """Give back the room of a segment of which nothing waits."""
        self._segments.remove(segment)
        try:
            if self._file is not None and self._file.path == segment.path:
                self._file.clear()
            elif segment.damaged:
                aside = files.set_aside(segment.path)
                text = f"{self._directory}: a damaged file is now {aside}"
                self._say("spool set aside", text)
            else:
                unlink(segment.path)
        except FileNotFoundError:
            pass  # what shall go is gone
        finally:
            self._release_claims()

    def _release_claims(self) -> None:
        """Let go of the dead of whom nothing is left."""
        if not self._claims:
            return
        left = {files.owner_of(name) for name in self._names()}
        for owner in [name for name in self._claims if name not in left]:
            self._claims.pop(owner).release(remove=True)

    # -- adopting --------------------------------------------------------------------

    def _adopt(self, most: int) -> List[Tuple[int, bytes]]:
        if not self._ready and not self._backlog:
            files.check_directory(self._directory)
            self._claim_dead(self._survey())
        adopted: List[Tuple[int, bytes]] = []
        while len(adopted) < most and (self._ready or self._backlog):
            if not self._ready:
                self._ready.extend(self._load(self._backlog.pop(0)))
            elif self._find(self._ready[0][0]):
                adopted.append(self._ready.popleft())
            else:
                self._ready.popleft()
        return adopted

    def _claim_dead(self, found: files.Listing) -> None:
        owners = {*found.owners, *map(files.owner_of, found.segments)}
        own = {self._owner.name} if self._owner is not None else set()
        fresh = [name for name in owners - own - set(self._claims) if self._claim(name)]
        if fresh:
            # Anew: somebody else may have adopted and delivered in the meantime.
            left = files.survey(self._directory).segments
            theirs = [name for name in left if files.owner_of(name) in fresh]
            self._backlog = sorted(self._backlog + theirs)
            self._release_claims()

    def _claim(self, name: str) -> bool:
        try:
            claim = Ownership.take(self._directory, name)
        except OSError as error:
            text = f"{self._directory}: cannot adopt from {name}: {_reason(error)}"
            self._say("spool adopts", text)
            return False
        if claim is not None:
            self._claims[name] = claim
        return claim is not None

    def _load(self, name: str) -> List[Tuple[int, bytes]]:
        """Read a segment of a dead owner, and give its events ids of ours."""
        path = self._directory / name
        try:
            frames, damaged = files.scan(files.read_segment(path))
        except files.NotASegmentError:
            text = f"{self._directory}: {name} is no file of a spool"
            self._say("spool damage", text)
            frames, damaged = [], True
        except OSError as error:
            text = f"{self._directory}: cannot read {name}: {_reason(error)}"
            self._say("spool reads", text)
            self._release_claims()
            return []
        return self._know(path, frames, damaged=damaged)

    def _know(
        self, path: Path, frames: Sequence[files.Frame], *, damaged: bool
    ) -> List[Tuple[int, bytes]]:
        if damaged and frames:
            text = f"{path} is damaged; {len(frames)} events in it are sound"
            self._say("spool damage", text)
        segment = Segment(path, self._next_id, damaged=damaged)
        self._segments.append(segment)
        segment.note([one.offset for one in frames])
        self._next_id += len(frames)
        if not frames:
            self._settle(segment, ())
        return list(enumerate((one.body for one in frames), segment.first))

    # -- looking ---------------------------------------------------------------------

    def _find(self, id_: int) -> Optional[Segment]:
        """Return the segment of an event that waits."""
        at = bisect_right([segment.first for segment in self._segments], id_) - 1
        segment = self._segments[at] if at >= 0 else None
        return segment if segment and segment.offset(id_) is not None else None

    def _present(self, ids: Iterable[int]) -> Set[int]:
        files_of: Dict[Path, Set[int]] = {}
        for id_ in ids:
            segment = self._find(id_)
            if segment is not None:
                files_of.setdefault(segment.path, set()).add(id_)
        there = [found for path, found in files_of.items() if path.exists()]
        return set().union(*there)

    def _read(self, ids: Iterable[int], most_bytes: int) -> List[Tuple[int, bytes]]:
        found: List[Tuple[int, bytes]] = []
        data: Dict[Path, bytes] = {}
        size = 0
        for id_ in ids:
            segment = self._find(id_)
            if segment is None:
                continue
            if segment.path not in data:
                data = {segment.path: self._data_of(segment)}
            one = files.frame_at(data[segment.path], segment.offset(id_) or 0)
            if one is not None:
                found.append((id_, one.body))
                size += len(one.body)
            if size >= most_bytes:
                break
        return found

    def _data_of(self, segment: Segment) -> bytes:
        try:
            return files.read_segment(segment.path)
        except (OSError, files.NotASegmentError) as error:
            name = segment.path.name
            text = f"{self._directory}: cannot read {name}: {_reason(error)}"
            self._say("spool reads", text)
            return b""

    def _count(self) -> int:
        ours = {segment.path.name: segment.waiting for segment in self._segments}
        names = set(files.survey(self._directory).segments)
        self._tallies = {k: v for k, v in self._tallies.items() if k in names}
        theirs = sum(map(self._tally, names - set(ours)))
        return sum(ours.values()) + theirs

    def _tally(self, name: str) -> int:
        """Count what waits in another's segment, once for each state of the file."""
        try:
            status = (self._directory / name).lstat()
        except OSError:
            return 0
        state = (status.st_mtime_ns, status.st_size)
        known = self._tallies.get(name)
        if known is not None and known[0] == state:
            return known[1]
        try:
            tally = files.tally(files.read_segment(self._directory / name))
        except (OSError, files.NotASegmentError):
            return 0
        if abs(time.time() - status.st_mtime) > _SETTLED:
            self._tallies[name] = (state, tally)
        return tally

    def _close(self) -> None:
        self._remove_done()
        file = self._file
        if file is not None and not file.size:
            self._close_file()
            with suppress(OSError):
                unlink(file.path)
        self._let_go()


def _groups(events: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """Cut *events* so that each part fits into a segment, if one event does."""
    begin, size = 0, len(files.MAGIC)
    for at, event in enumerate(events):
        needs = len(event) + files.OVERHEAD
        if at > begin and size + needs > most:
            yield events[begin:at]
            begin, size = at, len(files.MAGIC)
        size += needs
    yield events[begin:]


def _reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return text or str(error) or type(error).__name__
