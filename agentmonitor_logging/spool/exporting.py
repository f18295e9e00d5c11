"""Write what waits in a spool as JSON lines."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import BinaryIO

from agentmonitor_logging.terminal.output import while_read

from .contents import oldest_first


def write(spool: Path, file: BinaryIO) -> int:
    """Write the events of *spool* to *file*, a line each; return how many."""
    written = 0
    for body in oldest_first(spool):
        file.write(body + b"\n")
        written += 1
    file.flush()
    return written


def write_to(spool: Path, path: Path) -> int:
    """Write them to a new file at *path*, for its user only; return how many.

    Raises OSError where that cannot be. Then nothing is left there, lest a part be
    taken for the whole.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    fd = os.open(str(path), flags, 0o600)
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - a path cannot be opened so
            return write(spool, file)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def write_out(spool: Path) -> None:
    """Write them to standard output; end quietly where nobody reads any further."""
    with while_read():
        write(spool, sys.stdout.buffer)
