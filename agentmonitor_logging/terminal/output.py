"""Where lines go: with colours where there is a terminal, and as long as one reads."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import IO, Iterator, Optional

import click


def say(line: str, *, err: bool = False, file: Optional[IO[str]] = None) -> None:
    """Write *line*; it carries colours, which only a terminal gets."""
    click.echo(line, file=file, err=err, color=colors())


def colors() -> Optional[bool]:
    """Return False where nobody wants colours (https://no-color.org).

    Else None: click looks whether there is a terminal.
    """
    return False if os.environ.get("NO_COLOR") else None


def forgive_encoding() -> None:
    """Have what an output cannot encode written as an escape, instead of failing."""
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            output.reconfigure(errors="backslashreplace")


def check_read() -> None:
    """Raise BrokenPipeError where nobody reads standard output any further.

    For whoever has nothing to write, which would tell. Not every system can be asked.
    """
    if not hasattr(select, "poll") or sys.stdout.isatty():
        return
    asked = select.poll()
    asked.register(sys.stdout.fileno(), 0)
    if any(events & select.POLLERR for _, events in asked.poll(0)):
        raise BrokenPipeError


@contextlib.contextmanager
def while_read() -> Iterator[None]:
    """End the block quietly where nobody reads standard output any further."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still buffered must go somewhere when the interpreter ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
