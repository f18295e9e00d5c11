"""One segment of a spool, as the process that owns it knows and writes it."""

from __future__ import annotations

import os
from array import array
from pathlib import Path
from typing import Callable, Iterable, List, Optional, Sequence, Tuple

from . import _spool_files as files
from ._spool_owner import SAFE

_MOST_PARTS = 1024
"""How many parts Linux, macOS and the BSDs take in one call (IOV_MAX)."""


Strike = Tuple[int, bytes]
"""Where an event stands that is done with, and the state that says so."""


class Segment:
    """Know which events of a file wait: their ids follow each other from *first*."""

    __slots__ = ("_gone", "_offsets", "_told", "damaged", "first", "path", "waiting")

    def __init__(self, path: Path, first: int, *, damaged: bool = False) -> None:
        self.path = path
        self.first = first
        self.damaged = damaged
        self.waiting = 0
        self._offsets = array("I")
        self._gone = bytearray()
        self._told = 0
        """How many are struck out with all before them."""

    @property
    def end(self) -> int:
        """Return the id after that of its last event."""
        return self.first + len(self._gone)

    def note(self, offsets: Sequence[int]) -> None:
        """Know more events, which stand there."""
        self._offsets.extend(offsets)
        self._gone.extend(bytes(len(offsets)))
        self.waiting += len(offsets)

    def offset(self, id_: int) -> Optional[int]:
        """Return where the event stands, if it waits; never 0."""
        at = id_ - self.first
        if not 0 <= at < len(self._gone) or self._gone[at]:
            return None
        return self._offsets[at]

    def strike(self, ids: Iterable[int]) -> List[Strike]:
        """Note that the events *ids* are done with; return how the file is to say so.

        Those that do not wait here are passed over.
        """
        gone, told = self._gone, self._told
        places = {id_ - self.first for id_ in ids}
        struck = {at for at in places if 0 <= at < len(gone) and not gone[at]}
        for at in struck:
            gone[at] = 1
        self.waiting -= len(struck)
        waits = gone.find(0, told)
        self._told = waits if waits >= 0 else len(gone)
        beyond = sorted(at for at in struck if at > self._told)
        strikes = [(self._offsets[at], files.STRUCK) for at in beyond]
        if self._told > told:
            strikes.append((self._offsets[self._told - 1], files.STRUCK_TO_HERE))
        return strikes

    def strike_all(self) -> List[int]:
        """Note that all are done with, and return the ids that were not."""
        gone = [self.first + at for at, struck in enumerate(self._gone) if not struck]
        self._gone = bytearray(b"\x01" * len(self._gone))
        self.waiting = 0
        return gone


class OpenFile:
    """The segment that is written to; what fails to get in leaves no trace in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE
        self._fd: Optional[int] = os.open(str(path), flags, 0o600)

    def append(self, parts: Sequence[bytes]) -> int:
        """Write *parts* at the end; return where the first begins."""
        fd = self._opened()
        start = self.size or len(files.MAGIC)
        try:
            os.lseek(fd, self.size, os.SEEK_SET)
            _write_all(fd, parts if self.size else [files.MAGIC, *parts])
        except BaseException:
            os.ftruncate(fd, self.size)
            raise
        self.size = start + sum(map(len, parts))
        return start

    def strike(self, strikes: Iterable[Strike]) -> None:
        """Strike out events."""
        _strike_in(self._opened(), strikes)

    def clear(self) -> None:
        """Begin again."""
        os.ftruncate(self._opened(), 0)
        self.size = 0

    def exists(self) -> bool:
        """Tell whether the file can still be found."""
        return os.fstat(self._opened()).st_nlink > 0

    def close(self) -> None:
        """Close it, in this process."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _opened(self) -> int:
        assert self._fd is not None
        return self._fd


def _write_all(fd: int, parts: Sequence[bytes]) -> None:
    for at in range(0, len(parts), _MOST_PARTS):
        some = parts[at : at + _MOST_PARTS]
        written, size = _write(fd, some), sum(map(len, some))
        while written < size:
            written += os.write(fd, b"".join(some)[written:])


def _write_joined(fd: int, parts: Sequence[bytes]) -> int:
    return os.write(fd, b"".join(parts))


def strike(path: Path, strikes: Iterable[Strike]) -> None:
    """Strike out events of the segment at *path*."""
    fd = os.open(str(path), os.O_RDWR | SAFE)
    try:
        _strike_in(fd, strikes)
    finally:
        os.close(fd)


def _strike_in(fd: int, strikes: Iterable[Strike]) -> None:
    for offset, state in strikes:
        _write_at(fd, files.state_at(offset), state)


def _seek_and_write(fd: int, offset: int, data: bytes) -> None:
    os.lseek(fd, offset, os.SEEK_SET)
    os.write(fd, data)


def _pwrite(fd: int, offset: int, data: bytes) -> None:
    os.pwrite(fd, data, offset)


# Windows has neither: there it takes two calls, and a copy of all that is written.
_write_at = _pwrite if hasattr(os, "pwrite") else _seek_and_write
_write: Callable[[int, Sequence[bytes]], int] = getattr(os, "writev", _write_joined)


def unlink(path: Path) -> None:
    """Remove the segment at *path*, or at least what is in it."""
    try:
        path.unlink()
    except PermissionError:
        # The directory is closed to us, or the file is open elsewhere: empty it.
        os.truncate(path, 0)
