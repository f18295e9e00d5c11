"""Whether anybody would hear a record of a logger: asked before every watched call.

Where nobody would, the call costs next to nothing: the logger's level is in its cache,
and where the handlers are disabled, one look at each logger on the way to the root
tells whether they are still the same ones.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Union

from . import _diagnostics

AnyLogger = Union[logging.Logger, "logging.LoggerAdapter[Any]"]
"""What an event may be logged through."""

_Stop = Tuple[logging.Logger, List[Any], bool]
"""A logger on a record's way to the root, its handlers, and whether it propagates."""

_MAX_KNOWN = 1_024
_IS_ENABLED_FOR = logging.Logger.isEnabledFor

_known: Dict[Any, Audience] = {}
_any_disabled = False


class Audience:
    """Know who listens to *logger*, given as such, as an adapter or by its name.

    A name is looked up at the first question: configuring may come after import.
    `hears(level)` tells whether a record of that level would be heard; None where
    none of any level would.
    """

    __slots__ = ("_logger", "_way", "hears")

    hears: Callable[[int], Optional[bool]]

    def __init__(self, logger: Union[AnyLogger, str]) -> None:
        self._logger = logger
        self._way: List[_Stop] = []
        self.look_anew()

    @property
    def logger(self) -> AnyLogger:
        """Return the logger."""
        logger = self._logger
        if isinstance(logger, str):
            logger = self._logger = logging.getLogger(logger)
        return logger

    def look_anew(self) -> None:
        """Forget who listens, as others may do so now."""
        self.hears = self._hears_at_first

    def _hears_at_first(self, level: int) -> Optional[bool]:
        logger = self.logger
        if _any_disabled:
            self._way = list(_way_of(logger))
            if not _is_heard(self._way):
                self.hears = self._hears_after_all
                return None
        if type(logger).isEnabledFor is _IS_ENABLED_FOR:
            self.hears = logger.isEnabledFor
        else:
            self.hears = self._is_enabled_for
        return self.hears(level)

    def _hears_after_all(self, level: int) -> Optional[bool]:
        """Answer for a logger that nobody heard, if others listen now."""
        for logger, held, propagates in self._way:
            if logger.handlers != held or logger.propagate is not propagates:
                return self._hears_at_first(level)
        return None

    def _is_enabled_for(self, level: int) -> bool:
        try:
            return self.logger.isEnabledFor(level)
        except RecursionError:
            raise  # see `begins_safely`
        except Exception as error:  # a class of somebody's own
            _diagnostics.note_swallowed(error, "the level of a logger")
            return False


def audience_of(logger: Union[AnyLogger, str]) -> Audience:
    """Return the audience of *logger*, the same for all who ask."""
    if isinstance(logger, logging.LoggerAdapter):
        return Audience(logger)  # made for one request, perhaps
    known = _known.get(logger)
    if known is None:
        if len(_known) >= _MAX_KNOWN:
            _known.clear()
        known = _known[logger] = Audience(logger)
    return known


def expect_disabled() -> None:
    """Know that there are handlers which hear nothing."""
    global _any_disabled  # noqa: PLW0603 - so that others pay nothing for it
    _any_disabled = True
    for audience in tuple(_known.values()):
        audience.look_anew()


def _way_of(logger: Any) -> Iterator[_Stop]:
    """Yield what there is on the way of a record to the root."""
    while isinstance(logger, logging.LoggerAdapter):
        logger = logger.logger
    while logger is not None:
        yield logger, logger.handlers[:], logger.propagate
        logger = logger.parent if logger.propagate else None


def _is_heard(way: List[_Stop]) -> bool:
    """Tell whether a handler on *way* is not a disabled one of ours.

    Where there is none at all, logging turns to its handler of last resort.
    """
    handlers = [handler for _, held, _ in way for handler in held]
    return not handlers or not all(
        getattr(handler, "is_disabled", False) for handler in handlers
    )
