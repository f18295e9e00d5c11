"""A file that is there as a whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import BinaryIO, Iterator


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of *path* when the block ends well.

    It is for its user only, as it holds what people said. Raises OSError where it
    cannot be; whatever goes wrong, *path* is as it was and nothing else is left.
    """
    target = Path(os.path.realpath(str(path)))
    if target.exists() and not target.is_file():
        raise OSError(f"{path} is no regular file: write to -, and redirect that")
    descriptor, name = tempfile.mkstemp(".part", ".agentmonitor-", str(target.parent))
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a path cannot be opened so
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
