"""The commands of `agentmonitor`; each imports what it needs when it runs."""

from __future__ import annotations

import contextlib
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Iterator, Optional

import click

from .spool.commands import spool
from .terminal.commands import check, export, tail
from .terminal.missing import need
from .terminal.output import say

if TYPE_CHECKING:
    from .collector import RunningCollector


def _version() -> str:
    try:
        return version("agentmonitor-logging")
    except PackageNotFoundError:
        return "(not installed)"


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(_version(), message="agentmonitor-logging %(version)s")
def agentmonitor() -> None:
    """Collect what agents log, and see to what waits to be sent."""


agentmonitor.add_command(spool)
agentmonitor.add_command(tail)
agentmonitor.add_command(check)
agentmonitor.add_command(export)


@agentmonitor.command()
@click.option(
    "--db",
    default="agentmonitor.db",
    show_default=True,
    type=click.Path(dir_okay=False),
    help="The SQLite file, made where it is missing; by default in this directory.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen on; any but loopback demands a key.",
)
@click.option(
    "--port",
    default=3002,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="The port to listen on; 0 takes a free one.",
)
@click.option(
    "--api-key",
    envvar="AGENTMONITOR_API_KEY",
    show_envvar=True,
    help="The key that requests must bring. Without one, on loopback, any key of 32"
    " characters or more is accepted. Other users of this machine can see a command's"
    " options: prefer the environment variable.",
)
@click.option(
    "--keep",
    metavar="TIME",
    help="How long events stay after they came in: 12h, 30d, 8w. By default for ever.",
)
@click.option(
    "--max-size",
    metavar="SIZE",
    help="How large the file may grow, as in 500MB or 2GB; then the traces that have"
    " been quiet longest go.",
)
def collector(
    *,
    db: str,
    host: str,
    port: int,
    api_key: Optional[str],
    keep: Optional[str],
    max_size: Optional[str],
) -> None:
    """Receive events over HTTP, keep them in an SQLite file, show them on a page."""
    need("starlette", "uvicorn")
    from .collector import CollectorError, running_collector

    api_key = api_key or None
    options: Any = {"host": host, "port": port, "retention": _retention(keep, max_size)}
    with _interruptible(), contextlib.suppress(KeyboardInterrupt):
        try:
            with running_collector(db, api_key, **options) as running:
                _announce(running, has_key=api_key is not None)
                running.wait()
        except CollectorError as error:
            raise click.ClickException(str(error)) from error
        message = "the server ended by itself"
        raise click.ClickException(message)


@agentmonitor.command()
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the collector running afterwards, until Ctrl-C.",
)
def demo(*, keep: bool) -> None:
    """Run a small agent against a collector of its own and show what arrived.

    Nothing leaves this machine. The exit code is 0 if every event arrived.
    """
    need("starlette", "uvicorn")
    from .collector import CollectorError
    from .demo import main

    with _interruptible():
        try:
            code = main(keep=keep)
        except CollectorError as error:
            raise click.ClickException(str(error)) from error
    sys.exit(code)


def _retention(keep: Optional[str], max_size: Optional[str]) -> Any:
    from .collector.retention import Retention, bytes_of, seconds_of

    try:
        seconds = None if keep is None else seconds_of(keep)
        size = None if max_size is None else bytes_of(max_size)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return Retention(seconds, size)


def _announce(running: RunningCollector, *, has_key: bool) -> None:
    key = (
        "the one given is required"
        if has_key
        else "any X-API-Key of 32 characters or more is accepted, from this machine"
        " only (--api-key demands one)"
    )
    say(f"page          {running.origin}")
    say(f"listening on  {running.url}")
    say(f"database      {running.store.path}")
    say(f"key           {key}")
    say("Ctrl-C ends it.")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Make SIGTERM end the block as Ctrl-C does; the second of either changes nothing.

    An impatient second Ctrl-C would otherwise break off the orderly end it asks for.
    """
    signals = (signal.SIGINT, signal.SIGTERM)

    def interrupt(*_: Any) -> None:
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    previous = [signal.signal(each, interrupt) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, previous):
            signal.signal(each, handler)
