"""A scanner for the API key: in what the package says, writes, and shows of itself."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Optional, Tuple

from agentmonitor_logging import _diagnostics, _process
from agentmonitor_logging._handler import AgentMonitorHandler
from forms import KEY

FRAGMENT = KEY[9:29]
"""Part of the key is too much, too."""

LOGGERS = (
    "agentmonitor_logging",
    "urllib3.connectionpool",
    "urllib3.connection",
    "urllib3.util.retry",
)
_WRITTEN = ("*.events*", "*.owner*")
_MOST_BYTES = 64 * 1024 * 1024


class Scanner:
    """Listen to what is said, and look for the key in it and everywhere else."""

    def __init__(self) -> None:
        self._said: List[str] = []
        self._render = logging.Formatter("%(name)s: %(message)s").format

    def __enter__(self) -> Scanner:
        for name in LOGGERS:
            # A filter: a handler would change who hears the package.
            logging.getLogger(name).addFilter(self._note)
        return self

    def __exit__(self, *exc_info: object) -> None:
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(self._note)

    def _note(self, record: logging.LogRecord) -> bool:
        self._said.append(self._render(record))
        return True

    def finds(self, folder: Optional[Path] = None) -> List[str]:
        """Return where the key is: in words said, errors, reprs, and files."""
        places = [("a log line", text) for text in self._said]
        places += [("a swallowed error", text) for text in _diagnostics.swallowed]
        for handler in _process.live():
            places += _shown_by(handler)
        found = [f"{place}: {text}" for place, text in places if FRAGMENT in text]
        return found + [f"{path} has the key" for path in _files(folder)]


def _shown_by(handler: Any) -> Iterator[Tuple[str, str]]:
    """Yield what a handler and its parts show of themselves."""
    for part in [handler, *_parts_of(handler)]:
        for show in (repr, str):
            yield f"{show.__name__} of {type(part).__name__}", show(part)


def _parts_of(handler: Any) -> Iterator[Any]:
    if not isinstance(handler, AgentMonitorHandler):
        return
    yield handler._config
    yield handler.stats()
    sender = getattr(handler, "_sender", None)
    if sender is None:
        return
    yield sender
    yield from (sender._spool, sender._keeper, sender._stock, sender._stock.delivery)
    yield from tuple(sender._transports)


def _files(folder: Optional[Path]) -> Iterable[Path]:
    if folder is None:
        return
    for pattern in _WRITTEN:
        for path in folder.rglob(pattern):
            if _has_key(path):
                yield path


def _has_key(path: Path) -> bool:
    try:
        regular = path.is_file() and not path.is_symlink()
        if not regular or path.stat().st_size > _MOST_BYTES:
            return False
        return FRAGMENT.encode() in path.read_bytes()
    except OSError:
        return False
