"""The files of a spool: how events lie in them, and how they are read by others.

A segment begins with `MAGIC`; each event is a frame: a header with a mark, a state,
the length, a checksum and the time, then the event. An event that is done with is
struck out by its state, or with all before it by that of a later one, so that a request
takes one write and not a hundred; a segment of which all are done with is removed.
Whatever is torn or damaged costs the events it hits and no others; but of those that
were done with, some may come again.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zlib
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from . import _spool_owner

MAGIC = b"AMSPOOL1"
_MARK = b"\xab\xfe"  # neither byte can begin a character, so no JSON text has it
_HEADER = struct.Struct(">2s2sIId")  # mark, state, length, checksum, time
_SUMMED = struct.Struct(">Id")
_STATE_AT = 2
_WAITS = b"\x00\x00"
STRUCK = b"\x01\x00"
"""The state of an event that is done with."""
STRUCK_TO_HERE = b"\x02\xa5"
"""The state of one that is done with, and so are all before it.

No checksum is over a state: it takes two damaged bytes to make this out of another.
"""
_STATES = frozenset((0, 1, 2))
"""What a state begins with. With a wrong second byte it speaks of its own event only,
as after a kill between the two."""

OVERHEAD = _HEADER.size
"""Bytes that an event takes beside its own."""
BLOCK = 4096
"""Bytes by which file systems give out room, so that tiny files are not free."""
_MOST_BYTES = 256 * 1024 * 1024
"""The size of a file that is no segment, whatever its name; it is not read."""

_SUFFIX = ".events"
_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}\.events")
_OWNER = re.compile(r"[0-9a-f]{16}\.owner")
_ASIDE = ".set-aside-"


class NotASegmentError(Exception):
    """Something that has the name of a segment is a link, a directory or huge."""


class Frame(NamedTuple):
    """An event in a segment."""

    offset: int
    state: bytes
    time: float
    body: bytes

    @property
    def end(self) -> int:
        """Return where the next frame begins."""
        return self.offset + OVERHEAD + len(self.body)


class Waiting(NamedTuple):
    """What waits of one owner; *oldest* is in seconds since the epoch.

    *pid* and *host* are of the process that wrote it, where that is known; *alive*
    tells whether a process, that one or one that adopted it, sees to it.
    """

    owner: str
    pid: Optional[int]
    host: str
    alive: bool
    events: int
    bytes: int
    oldest: float


# -- frames ----------------------------------------------------------------------------


def header(body: bytes, now: float) -> bytes:
    """Return what stands before *body* on disk; it is `OVERHEAD` bytes long."""
    size = len(body)
    check = zlib.crc32(body, zlib.crc32(_SUMMED.pack(size, now)))
    return _HEADER.pack(_MARK, _WAITS, size, check, now)


def state_at(offset: int) -> int:
    """Return where the state of the frame at *offset* stands."""
    return offset + _STATE_AT


def frame_at(data: bytes, offset: int) -> Optional[Frame]:
    """Return the frame at *offset*, or None where there is no sound one."""
    if offset + OVERHEAD > len(data):
        return None
    mark, state, length, check, when = _HEADER.unpack_from(data, offset)
    if mark != _MARK or state[0] not in _STATES:
        return None
    if offset + OVERHEAD + length > len(data):
        return None
    body = data[offset + OVERHEAD : offset + OVERHEAD + length]
    if check != zlib.crc32(body, zlib.crc32(_SUMMED.pack(length, when))):
        return None
    return Frame(offset, state, when, body)


def scan(data: bytes) -> Tuple[List[Frame], bool]:
    """Return the sound frames of what waits, and whether the segment is damaged.

    An unfinished last frame is no damage: its process was killed while writing it.
    """
    frames: List[Frame] = []
    damaged = not data.startswith(MAGIC[: len(data)])
    at = len(MAGIC)
    while at < len(data):
        found = frame_at(data, at)
        if found is not None:
            if found.state == STRUCK_TO_HERE:
                frames.clear()
            elif _waits(found.state):
                frames.append(found)
            at = found.end
            continue
        beyond = _next_sound(data, at + 1)
        damaged = damaged or beyond < len(data) or not _is_unfinished(data, at)
        at = beyond
    return frames, damaged


def tally(data: bytes) -> int:
    """Count what waits in a segment, without looking at the events themselves."""
    count, at = 0, len(MAGIC)
    while at + OVERHEAD <= len(data):
        mark, state, length, _, _ = _HEADER.unpack_from(data, at)
        if mark != _MARK:
            return len(scan(data)[0])
        at += OVERHEAD + length
        if at <= len(data):
            count = 0 if state == STRUCK_TO_HERE else count + _waits(state)
    return count


def _waits(state: bytes) -> bool:
    """Tell whether an event of that state is not struck out by itself."""
    return state[:1] == _WAITS[:1]


def _next_sound(data: bytes, at: int) -> int:
    at = data.find(_MARK, at)
    while at >= 0 and frame_at(data, at) is None:
        at = data.find(_MARK, at + 1)
    return at if at >= 0 else len(data)


def _is_unfinished(data: bytes, at: int) -> bool:
    if not _MARK.startswith(data[at : at + len(_MARK)]):
        return False
    if at + OVERHEAD > len(data):
        return True
    _, _, length, _, _ = _HEADER.unpack_from(data, at)
    return at + OVERHEAD + int(length) > len(data)


# -- files -----------------------------------------------------------------------------


def segment_name(milliseconds: int, owner: str) -> str:
    """Return a name; sorted by name, segments are sorted by their beginning."""
    return f"{milliseconds:016x}-{owner}{_SUFFIX}"


def owner_of(name: str) -> str:
    """Return the owner of the segment *name*."""
    return name[17:33]


def read_segment(path: Path) -> bytes:
    """Return the bytes of a segment; a foreign user's is not ours to read."""
    if not stat.S_ISREG(path.lstat().st_mode):
        raise NotASegmentError(path.name)
    fd = os.open(str(path), os.O_RDONLY | _spool_owner.SAFE)
    with open(fd, "rb") as file:  # noqa: PTH123 - a path cannot be opened so
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            raise NotASegmentError(path.name)
        if not _is_ours(status.st_uid):
            raise PermissionError(f"{path.name} belongs to another user")
        return file.read()


def set_aside(path: Path) -> str:
    """Rename what is at *path* to a name of no meaning for us, and return that."""
    aside = path.with_name(f"{path.name}{_ASIDE}{os.urandom(4).hex()}")
    path.rename(aside)
    return aside.name


def check_directory(directory: Path) -> None:
    """Refuse what another user's link points to; raise OSError where nothing is."""
    status = directory.lstat()
    if stat.S_ISLNK(status.st_mode) and status.st_uid not in (0, _user()):
        raise PermissionError("it is a link that another user has laid")
    if not stat.S_ISDIR(directory.stat().st_mode):
        raise NotADirectoryError("it is not a directory")


def _user() -> int:
    return os.geteuid() if hasattr(os, "geteuid") else 0


def _is_ours(uid: int) -> bool:
    return _user() in (0, uid)


class Listing(NamedTuple):
    """What a spool's directory holds: segments with sizes, oldest first, and owners.

    *bytes* is what they take; *aside* names what was set aside, *strangers* the rest.
    """

    segments: Dict[str, int]
    owners: List[str]
    bytes: int
    aside: List[str]
    strangers: List[str]


def survey(directory: Path) -> Listing:
    """Look at *directory*; what is set aside, and what is not ours, has no size."""
    segments: Dict[str, int] = {}
    owners: List[str] = []
    aside: List[str] = []
    strangers: List[str] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                segments[entry.name] = _size(entry)
            elif _OWNER.fullmatch(entry.name):
                owners.append(entry.name[: -len(_spool_owner.SUFFIX)])
            else:
                others = aside if _ASIDE in entry.name else strangers
                others.append(entry.name)
    # The directory takes a block too, and the file of each owner.
    total = sum(segments.values()) + BLOCK * (1 + len(owners))
    return Listing(dict(sorted(segments.items())), owners, total, aside, strangers)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return in_blocks(entry.stat(follow_symlinks=False).st_size)
    except OSError:  # another process has just removed it
        return 0


def in_blocks(size: int) -> int:
    """Return what *size* bytes take on disk."""
    return -(-size // BLOCK) * BLOCK


# -- what a person asks ----------------------------------------------------------------


def frames_of(directory: Path, name: str) -> Sequence[Frame]:
    """Return what waits in the segment *name*; nothing where it cannot be read."""
    try:
        return scan(read_segment(directory / name))[0]
    except (OSError, NotASegmentError):
        return ()


def waiting(directory: Path) -> List[Waiting]:
    """Tell what waits in *directory*, by owner, oldest first; change nothing."""
    totals: Dict[str, Tuple[int, int, float]] = {}
    for name in survey(directory).segments:
        frames = frames_of(directory, name)
        if not frames:
            continue
        count, size, oldest = totals.get(owner_of(name), (0, 0, frames[0].time))
        totals[owner_of(name)] = (
            count + len(frames),
            size + sum(len(found.body) for found in frames),
            min([oldest, *(found.time for found in frames)]),
        )
    return [_waiting_of(directory, owner, *total) for owner, total in totals.items()]


def _waiting_of(
    directory: Path, owner: str, events: int, size: int, oldest: float
) -> Waiting:
    said = _spool_owner.describe(directory, owner)
    pid, host = said.get("pid"), said.get("host")
    return Waiting(
        owner,
        pid if isinstance(pid, int) else None,
        host if isinstance(host, str) else "",
        _spool_owner.is_alive(directory, owner),
        events,
        size,
        oldest,
    )


def bodies(directory: Path) -> Iterator[bytes]:
    """Yield the events that wait in *directory*, oldest first; change nothing."""
    for name in survey(directory).segments:
        for found in frames_of(directory, name):
            yield found.body
