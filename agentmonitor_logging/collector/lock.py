"""One process per database: a lock on a file beside it.

SQLite's own locks would let a second collector in and make the two take turns. This
lock belongs to an open file, so the system gives it back when its process dies, even
by `kill -9`; the file itself stays, since removing it would race with the next one.
"""

from __future__ import annotations

import contextlib
import os
import sys

from .exceptions import DatabaseInUseError

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DatabaseLock:
    """Hold the right to write to the database *path* until closed.

    Raises `DatabaseInUseError` at once where somebody else holds it; never waits.
    """

    def __init__(self, path: str) -> None:
        self.path = path + ".lock"
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
        self._descriptor = os.open(self.path, flags, 0o600)
        try:
            _lock(self._descriptor)
        except OSError as error:
            os.close(self._descriptor)
            message = f"{path} is already open in another collector"
            raise DatabaseInUseError(message) from error

    def close(self) -> None:
        """Give the right back; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)
