"""Who owns files of a spool: the process that holds the lock on the owner's file.

A lock, not a process id: ids come again and mean nothing in another container, while
the operating system drops a lock with the last process that has it, however that
process ends. Whoever takes the lock of a dead owner owns what it left.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional

SUFFIX = ".owner"
SAFE = (
    getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_BINARY", 0)
)
"""Flags of every open: no symbolic link is followed, no named pipe waited for."""

_DESCRIPTION_BYTES = 1000

if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30  # a locked byte cannot be read, so not one of the description

    def _lock(fd: int, *, shared: bool = False) -> None:  # noqa: ARG001
        os.lseek(fd, _FAR, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(fd: int, *, shared: bool = False) -> None:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


class Ownership:
    """Hold the lock on the file at *path*; *fd* is where it is open."""

    def __init__(self, path: Path, fd: int) -> None:
        self._path = path
        self._fd: Optional[int] = fd

    @property
    def name(self) -> str:
        """Return the owner's name, with which the names of its files end."""
        return self._path.name[: -len(SUFFIX)]

    @classmethod
    def begin(cls, directory: Path) -> Ownership:
        """Become a new owner in *directory*; raise OSError where that cannot be."""
        for _ in range(3):
            name = os.urandom(8).hex()
            try:
                owner = cls.take(directory, name)
            except OSError:
                # No file system for locks: leave no file behind with every try.
                cls._unlink(directory / (name + SUFFIX))
                raise
            if owner is not None:
                owner._introduce()
                return owner
        raise OSError("cannot hold a lock")

    @classmethod
    def take(cls, directory: Path, name: str) -> Optional[Ownership]:
        """Take the lock of the owner *name*; return None where another has it."""
        path = directory / (name + SUFFIX)
        fd = os.open(str(path), os.O_RDWR | os.O_CREAT | SAFE, 0o600)
        owner = cls(path, fd)
        try:
            _lock(fd)
        except OSError as error:
            owner.forget()
            if isinstance(error, (BlockingIOError, PermissionError)):
                return None
            raise
        if not owner.holds():
            # It was removed between our opening and our locking it.
            owner.forget()
            return None
        return owner

    def holds(self) -> bool:
        """Tell whether the file that we have locked is still there."""
        if self._fd is None:
            return False
        try:
            there = self._path.lstat()
        except OSError:
            return False
        here = os.fstat(self._fd)
        return (here.st_ino, here.st_dev) == (there.st_ino, there.st_dev)

    def release(self, *, remove: bool) -> None:
        """Let another process own what is there, or with *remove* that nothing is."""
        if remove and sys.platform != "win32":
            # While it is locked, so that nobody locks what is about to go.
            self._unlink(self._path)
        self.forget()
        if remove and sys.platform == "win32":
            self._unlink(self._path)

    def forget(self) -> None:
        """Close the file; the lock stays with a parent process that has it open."""
        # Cleared first: a fork in between must not close another file of this number.
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _introduce(self) -> None:
        text = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
        if self._fd is not None:
            with contextlib.suppress(OSError):  # a full disk: it is for people only
                os.write(self._fd, json.dumps(text).encode())

    @staticmethod
    def _unlink(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()


def describe(directory: Path, name: str) -> Dict[str, Any]:
    """Return what the owner *name* says of itself: pid, host, since; maybe nothing."""
    with contextlib.suppress(OSError, ValueError):
        fd = os.open(str(directory / (name + SUFFIX)), os.O_RDONLY | SAFE)
        try:
            said = json.loads(os.read(fd, _DESCRIPTION_BYTES).decode())
        finally:
            os.close(fd)
        return said if isinstance(said, dict) else {}
    return {}


def is_alive(directory: Path, name: str) -> bool:
    """Tell whether a process holds the lock of the owner *name*."""
    try:
        fd = os.open(str(directory / (name + SUFFIX)), os.O_RDONLY | SAFE)
    except OSError:
        return False
    try:
        _lock(fd, shared=True)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False
