"""Where lines go: with colours where there is a terminal, and as long as one reads."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import IO, Any, Iterator, Optional

import click


class UnwritableError(click.ClickException):
    """Say that standard output cannot be written, which ends a command."""

    def __init__(self, error: OSError) -> None:
        reason = error.strerror or error
        super().__init__(f"standard output cannot be written: {reason}")

    def show(self, file: Optional[IO[Any]] = None) -> None:
        """Say it, and let go of standard output."""
        _let_go()
        super().show(file)


def say(line: str, *, err: bool = False, file: Optional[IO[str]] = None) -> None:
    """Write *line*; it carries colours, which only a terminal gets.

    Raises `UnwritableError`, or BrokenPipeError where nobody reads any further.
    """
    try:
        click.echo(line, file=file, err=err, color=colors())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnwritableError(error) from error


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
        _let_go()


def _let_go() -> None:
    # What is still buffered must go somewhere when the interpreter ends.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
