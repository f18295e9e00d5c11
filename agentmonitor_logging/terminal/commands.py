"""`agentmonitor tail`, `check` and `export`: their options, and how they end."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Iterator,
    Optional,
    Tuple,
    TypeVar,
)

import click

from agentmonitor_logging.spool.commands import _by_option, _terminable

from .missing import need
from .output import UnwritableError, forgive_encoding, say, while_read

if TYPE_CHECKING:
    from .export import Progress
    from .source import Source

_Command = TypeVar("_Command", bound=Callable[..., Any])

_MOST_LINES = 10_000
_KEY_HELP = (
    "The key that the collector asks for. Other users of this machine can see a"
    " command's options: prefer the environment variable."
)
_READING = (
    click.option(
        "--url",
        envvar="AGENTMONITOR_API_URL",
        show_envvar=True,
        default="http://127.0.0.1:3002/api/v1",
        show_default=True,
        help="The collector to read from.",
    ),
    click.option(
        "--api-key", envvar="AGENTMONITOR_API_KEY", show_envvar=True, help=_KEY_HELP
    ),
    click.option(
        "--allow-http",
        is_flag=True,
        help="Read over plain http from another machine, though it shows the key.",
    ),
)
_FILTERS = (
    click.option("--agent", "agent_id", metavar="NAME", help="Only of this agent."),
    click.option("--type", "event_type", metavar="TYPE", help="Only of this type."),
    click.option(
        "--status",
        type=click.Choice(["success", "error"]),
        help="Only what went well, or what did not.",
    ),
)


def _with(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Put *options* on a command, the first of them first in its help."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.command()
@_with(*_READING, *_FILTERS)
@click.option("--session", metavar="ID", help="Only of this session.")
@click.option("--tree", is_flag=True, help="Show calls below their callers, by trace.")
@click.option(
    "-n",
    "--lines",
    "count",
    type=click.IntRange(0, _MOST_LINES),
    default=10,
    show_default=True,
    help="Begin with so many of the last events.",
)
@click.option("--no-follow", is_flag=True, help="End after these.")
def tail(
    *,
    url: str,
    api_key: Optional[str],
    allow_http: bool,
    session: Optional[str],
    tree: bool,
    count: int,
    no_follow: bool,
    **filters: Optional[str],
) -> None:
    """Show the last events of a collector, and each new one as it arrives.

    A line has the time (here), agent, type, name, status, latency, cost and tokens.
    Ctrl-C ends it. While the collector is away, it waits; nothing is missed.
    """
    need("rich", "starlette", "uvicorn")
    from .screen import screen_for
    from .tail import Tail

    # Of a part of a trace the root may never come.
    patience = 0.0 if any(filters.values()) else None
    growing = not no_follow and sys.stdout.isatty()
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(_reading(url, api_key, allow_http=allow_http))
        stack.enter_context(while_read())
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        screen = screen_for(tree=tree, patience=patience, growing=growing)
        stack.enter_context(screen)
        tailing = Tail(source, screen, _given(filters), session)
        if no_follow:
            tailing.show_last(count)
        else:
            tailing.follow(count)


@click.command()
@_with(*_READING, *_FILTERS)
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="One event per line as the API gives it, or a table with payloads as JSON.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default="-",
    type=click.Path(path_type=Path),
    help="Replaced as a whole, or left as it was.  [default: standard output]",
)
def export(
    *,
    url: str,
    api_key: Optional[str],
    allow_http: bool,
    form: str,
    output: Path,
    **filters: Optional[str],
) -> None:
    """Write the events of a collector, the newest first, to a file."""
    need("requests")
    from .export import Export

    to_stdout = str(output) == "-"
    drawn = sys.stderr.isatty() and not (to_stdout and sys.stdout.isatty())
    with _reading(url, api_key, allow_http=allow_http) as source:
        with _progress(drawn=drawn) as progress:
            exporting = Export(source, _given(filters), progress=progress)
            _write(exporting, form, None if to_stdout else output)
        if not to_stdout:
            say(f"{exporting.written:,} events written to {output}.")


def _write(exporting: Any, form: str, output: Optional[Path]) -> None:
    from .files import replacing
    from .formats import FORMATS

    try:
        if output is None:
            with while_read():
                exporting.run(sys.stdout.buffer, FORMATS[form])
        else:
            with replacing(output) as file:
                exporting.run(file, FORMATS[form])
    except OSError as error:
        if output is None:
            raise UnwritableError(error) from error
        message = f"{output} cannot be written: {error.strerror or error}"
        raise click.ClickException(message) from error


@contextlib.contextmanager
def _progress(*, drawn: bool) -> Iterator[Progress]:
    if not drawn:
        yield lambda _: None
        return
    need("rich")
    from .progress import drawn_progress

    with drawn_progress() as progress:
        yield progress


@contextlib.contextmanager
def _reading(url: str, api_key: Optional[str], *, allow_http: bool) -> Iterator[Source]:
    """Yield what reads from *url*; SIGTERM ends the block as Ctrl-C does."""
    from agentmonitor_logging._config import Config
    from agentmonitor_logging.exceptions import ConfigError

    from .source import Source, SourceError

    forgive_encoding()
    options = {"api_url": url, "api_key": api_key or None, "allow_http": allow_http}
    try:
        # Not enabled, it needs no key: not every collector asks for one.
        config = Config.from_options({**options, "enabled": False})
    except ConfigError as error:
        raise click.ClickException(_by_option(error)) from error
    source = Source(config.api_url, config.api_key)
    try:
        with contextlib.closing(source), _terminable():
            yield source
    except SourceError as error:
        raise click.ClickException(str(error)) from error


def _given(filters: Dict[str, Optional[str]]) -> Dict[str, str]:
    return {name: value for name, value in filters.items() if value}


@click.command()
@click.option(
    "--url",
    help="Where events are sent to.  [env var: AGENTMONITOR_API_URL; default: as for a"
    " handler]",
)
@click.option("--api-key", help=f"{_KEY_HELP}  [env var: AGENTMONITOR_API_KEY]")
@click.option(
    "--allow-http",
    is_flag=True,
    help="Try plain http to another machine, though it shows the key; a handler has an"
    " option of that name.",
)
@click.option(
    "--config",
    metavar="FILE|MODULE:NAME",
    help="What the application gives to dictConfig: a .json or .toml file, or a dict"
    " that is imported.",
)
@click.option(
    "--app",
    metavar="MODULE[:FUNCTION]",
    help="What configures logging when it is imported, or called.",
)
@click.option(
    "--logger",
    "loggers",
    metavar="NAME",
    multiple=True,
    help="A logger that the agents log to; may be repeated.  [default: those that"
    " decorated functions log to, and those that have a handler]",
)
@click.option(
    "--no-send", is_flag=True, help="Send no event to see whether it arrives."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="For all of it.",
)
def check(
    *,
    url: Optional[str],
    api_key: Optional[str],
    allow_http: bool,
    config: Optional[str],
    app: Optional[str],
    loggers: Tuple[str, ...],
    no_send: bool,
    timeout: float,
) -> None:
    """Say why no events arrive: settings, network, key, and the way to a handler.

    One event of type agentmonitor.check is sent and, where a collector answers, read
    back. With --config or --app the application's own logging is built, here, and
    looked through. The exit code is 0 if all is well, and 1 if there is a problem.
    """
    need("requests")
    from .check import Check
    from .findings import Report
    from .patience import Watchdog

    forgive_encoding()
    report = Report()
    watchdog = Watchdog(timeout, report)
    code = 1
    try:
        with while_read():
            checking = Check(
                report,
                url=url,
                api_key=api_key,
                allow_http=allow_http,
                sends=not no_send,
            )
            checking.run(config=config, app=app, loggers=loggers)
            report.sum_up()
        code = 1 if report.problems else 0
    except UnwritableError as error:
        error.show()
    watchdog.leave(code)
