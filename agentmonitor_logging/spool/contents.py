"""What the directory of a spool holds, read from outside: nothing is changed."""

from __future__ import annotations

import heapq
import os
import socket
from collections import deque
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Tuple

from agentmonitor_logging import _spool_files as files
from agentmonitor_logging._spool_files import Waiting


class NoSpoolError(Exception):
    """Say that a path holds no spool, or none that may be read, and what to do."""


class Contents(NamedTuple):
    """What waits in *path*: of each owner, oldest first, and what is not sent.

    *aside* names the damaged files that were set aside; *unreadable* are files of
    events with the reasons why they cannot be read.
    """

    path: Path
    owners: List[Waiting]
    aside: List[str]
    unreadable: Dict[str, str]

    @property
    def events(self) -> int:
        """Return how many events wait in all."""
        return count(self.owners)

    @property
    def bytes(self) -> int:
        """Return the size of the events that wait."""
        return sum(one.bytes for one in self.owners)

    @property
    def left(self) -> List[Waiting]:
        """Return what processes left that are dead."""
        return [one for one in self.owners if not one.alive]

    @property
    def count_left(self) -> int:
        """Return how many events dead processes have left."""
        return count(self.left)

    @property
    def held(self) -> List[Waiting]:
        """Return what a living process sees to."""
        return [one for one in self.owners if one.alive]


def state(one: Waiting) -> str:
    """Tell whether its writer is alive, its events adopted by another, or neither."""
    if not one.alive:
        return "dead"
    return "adopted" if _is_gone(one) else "alive"


def _is_gone(one: Waiting) -> bool:
    """Tell whether the writer has surely ended; what runs may be of the same number."""
    if one.pid is None or one.host != socket.gethostname() or os.name != "posix":
        return False
    try:
        os.kill(one.pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def count(owners: Iterable[Waiting]) -> int:
    """Return how many events of *owners* wait."""
    return sum(one.events for one in owners)


def look(path: Path) -> Contents:
    """Tell what waits in *path*; raise `NoSpoolError` where there is no spool."""
    try:
        files.check_directory(path)
        found = files.survey(path)
        owners = _still_there(path, files.waiting(path))
    except OSError as error:
        raise NoSpoolError(_advice(path, error)) from error
    if found.strangers and not (found.segments or found.owners or found.aside):
        raise NoSpoolError(
            f"{path} holds no spool, but other files; give the directory that is the"
            " option spool= of a handler, or AGENTMONITOR_SPOOL"
        )
    return Contents(path, owners, sorted(found.aside), _unreadable(path, found))


def _still_there(path: Path, owners: Iterable[Waiting]) -> List[Waiting]:
    """Leave out whose events were delivered between our counting and our asking."""
    there = {files.owner_of(name) for name in files.survey(path).segments}
    return [one for one in owners if one.alive or one.owner in there]


def oldest_first(path: Path) -> Iterator[bytes]:
    """Yield the events that wait in *path* in the order in which they were written.

    In memory are only the segments that were written to at the same time.
    """
    segments = deque(files.survey(path).segments)
    heads: List[Tuple[float, str, files.Frame, Iterator[files.Frame]]] = []
    while segments or heads:
        while segments and (not heads or _begun(segments[0]) <= heads[0][0]):
            name = segments.popleft()
            _push(heads, name, iter(files.frames_of(path, name)))
        if heads:
            _, name, frame, rest = heapq.heappop(heads)
            yield frame.body
            _push(heads, name, rest)


def _push(
    heads: List[Tuple[float, str, files.Frame, Iterator[files.Frame]]],
    name: str,
    frames: Iterator[files.Frame],
) -> None:
    frame = next(frames, None)
    if frame is not None:
        heapq.heappush(heads, (frame.time, name, frame, frames))


def _begun(name: str) -> float:
    return int(name.partition("-")[0], 16) / 1000


def _unreadable(path: Path, found: files.Listing) -> Dict[str, str]:
    reasons = {name: _why_unreadable(path / name) for name in found.segments}
    return {name: reason for name, reason in reasons.items() if reason}


def _why_unreadable(segment: Path) -> str:
    try:
        files.read_segment(segment)
    except FileNotFoundError:
        return ""  # it was delivered in the meantime
    except OSError as error:
        return error.strerror or str(error)
    except files.NotASegmentError:
        return "it is no file of a spool"
    return ""


def _advice(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return (
            f"there is no {path}; give the directory that is the option spool= of a"
            " handler, or AGENTMONITOR_SPOOL. It is made with the first event"
        )
    if isinstance(error, NotADirectoryError):
        return f"{path} is no directory, and so no spool"
    if isinstance(error, PermissionError):
        return (
            f"{path} cannot be read: {error.strerror or error}. A spool is its user's"
            " alone: run this as the user whose processes write it"
        )
    return f"{path} cannot be read: {error.strerror or error}"
