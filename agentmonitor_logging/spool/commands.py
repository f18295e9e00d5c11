"""`agentmonitor spool PATH ...`: the options, and what is said where nothing goes."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator, Optional

import click

from agentmonitor_logging.terminal.output import UnwritableError, say

if TYPE_CHECKING:
    from .contents import Contents
    from .sending import Sending


def _path(_context: click.Context, _argument: click.Parameter, given: str) -> Path:
    if given in spool.commands and not Path(given).is_dir():
        command = f"agentmonitor spool PATH {given}"
        raise click.UsageError(f"The directory comes first: {command}")
    return Path(given).absolute()


@click.group(invoke_without_command=True)
@click.argument("path", callback=_path)
@click.pass_context
def spool(context: click.Context, path: Path) -> None:
    """See to the events that wait on disk, in the directory PATH.

    That is what the option spool= of a handler names, or AGENTMONITOR_SPOOL. Without
    a command, they are shown.
    """
    context.obj = path
    if context.invoked_subcommand is None:
        context.invoke(show, as_json=False)


@spool.command()
@click.option("--json", "as_json", is_flag=True, help="For a script to read.")
@click.pass_obj
def show(path: Path, *, as_json: bool) -> None:
    """Show what waits, since when and from whom. Changes nothing."""
    from . import report

    contents = _contents(path)
    if as_json:
        say(report.as_json(contents, time.time()))
    else:
        _say(report.lines(contents, time.time()))


@spool.command()
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A file that does not exist yet.  [default: standard output]",
)
@click.pass_obj
def export(path: Path, output: Optional[Path]) -> None:
    """Write what waits as JSON lines, the oldest first. Changes nothing."""
    from . import exporting, report

    contents = _contents(path)
    to_stdout = output is None or str(output) == "-"
    try:
        if output is None or to_stdout:
            exporting.write_out(path)
        else:
            with _terminable():
                written = exporting.write_to(path, output)
            say(f"{report.counted(written)} written to {output}.")
    except OSError as error:
        if to_stdout:
            raise UnwritableError(error) from error
        message = f"{output} cannot be written: {error.strerror or error}"
        raise click.ClickException(message) from error
    _say(report.remarks(contents), err=True)


@spool.command()
@click.option(
    "--api-url",
    envvar="AGENTMONITOR_API_URL",
    show_envvar=True,
    help="Where to send them.  [default: as for a handler]",
)
@click.option(
    "--api-key",
    envvar="AGENTMONITOR_API_KEY",
    show_envvar=True,
    help="The key that the server asks for. Other users of this machine can see a"
    " command's options: prefer the environment variable.",
)
@click.option(
    "--allow-http",
    is_flag=True,
    help="Send over plain http to another machine, though it shows the key.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="For how long at most.  [default: as long as events arrive]",
)
@click.pass_obj
def send(path: Path, /, **options: Any) -> None:
    """Deliver now what processes left that have ended.

    What running processes have in the spool is left to them, and what the server
    does not take stays there. The exit code is 0 if all arrived.
    """
    from agentmonitor_logging import ConfigError

    from .sending import Sending

    if not options["api_key"]:
        raise click.UsageError("A key is needed: set AGENTMONITOR_API_KEY.")
    contents = _contents(path)
    try:
        sending = Sending(path, **options)
    except ConfigError as error:
        raise click.ClickException(_by_option(error)) from error
    _send(sending, contents)


def _by_option(error: Exception) -> str:
    """Return what *error* says, for whom options are those of a command."""
    return str(error).replace("pass allow_http=True", "give --allow-http")


def _send(sending: Sending, contents: Contents) -> None:
    from .report import counted, held, remarks

    total = contents.count_left
    if not total:
        say("No event waits that a dead process has left.")
        _say([*held(contents), *remarks(contents)])
        return
    with _asked_to_end(sending.interrupt), _progress(total) as progress:
        outcome = sending.run(contents, progress)
    say(f"{counted(outcome.arrived)} delivered to {sending.api_url}.")
    _say([*held(outcome.contents), *remarks(outcome.contents)])
    if outcome.problem:
        raise click.ClickException(outcome.problem)


def _contents(path: Path) -> Contents:
    from .contents import NoSpoolError, look

    try:
        return look(path)
    except NoSpoolError as error:
        raise click.ClickException(str(error)) from error


def _say(lines: Iterable[str], *, err: bool = False) -> None:
    for line in lines:
        say(line, err=err)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], object]]:
    """Yield what is told how many are done with; draw it where there is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=total, label="Sending", file=sys.stderr) as bar:
        yield lambda done: bar.update(min(done, total) - bar.pos)


@contextlib.contextmanager
def _asked_to_end(interrupt: Callable[[], object]) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM call *interrupt*; the second of them ends all at once."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def ask(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        interrupt()

    with _handling(ask, numbers):
        yield


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Have SIGTERM end the block as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt, (signal.SIGTERM,)):
        yield


@contextlib.contextmanager
def _handling(handler: Any, numbers: Iterable[int]) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
