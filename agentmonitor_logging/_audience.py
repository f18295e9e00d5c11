"""Who would hear a record of a logger: asked with every watched call.

Where nobody would, the call costs next to nothing: the logger's level is in its cache,
and where the handlers are disabled, one look at each logger on the way to the root
tells whether they are still the same ones. And where a queue handler of ours is the
only one, nobody else would see the record, so that none need be made.
"""

from __future__ import annotations

import logging
import weakref
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Protocol,
    Tuple,
    Union,
)

from . import _diagnostics

AnyLogger = Union[logging.Logger, "logging.LoggerAdapter[Any]"]
"""What an event may be logged through."""

_MAX_KNOWN = 1_024
_Logger = logging.Logger
_CALL_HANDLERS = _Logger.callHandlers
_HANDLE = _Logger.handle
_FILTER = _Logger.filter
_USUAL = {
    name: getattr(_Logger, name)
    for name in (
        *("isEnabledFor", "getEffectiveLevel", "handle", "filter", "callHandlers"),
    )
}
_IS_AS_WRITTEN = all(
    method.__code__.co_filename == logging.getLevelName.__code__.co_filename
    for method in _USUAL.values()
)
"""Whether nobody had patched those before we came."""

_LOOK_AGAIN = 256
"""Calls after which is looked again whether a queue handler is the only one."""

_known: Dict[Any, Audience] = {}
_any_disabled = False


class _Stop(NamedTuple):
    """A logger on a record's way to the root, and what there was.

    *parent* is where the record goes next, if it goes on.
    """

    logger: Any
    handlers: Any
    parent: Any


class Feed(Protocol):
    """A queue handler that takes attributes in place of the record that has them."""

    def takes_fields(self, level: int) -> bool:
        """Tell whether it takes those of a record of *level*, as things stand."""

    def put_fields(self, fields: Dict[str, Any]) -> None:
        """Queue a copy of *fields*."""

    def put_call(self, parts: Tuple[Any, ...]) -> None:
        """Queue a call, of which *parts* are those of a `Capsule` but the last."""


class _Only:
    """Be equal to a list of one handler, without keeping that alive."""

    __slots__ = ("_handler",)

    def __init__(self, handler: Any) -> None:
        self._handler = weakref.ref(handler)

    def __eq__(self, handlers: object) -> bool:
        return (
            isinstance(handlers, list)
            and len(handlers) == 1
            and handlers[0] is self._handler()
        )

    __hash__ = None  # type: ignore[assignment]


class _Nobody:
    """What a record passes at the end of a short way."""

    handlers: List[Any] = []  # noqa: RUF012 - never changed
    propagate = False


_NOWHERE = _Stop(_Nobody, [], None)


class Audience:
    """Know who listens to *logger*, given as such, as an adapter or by its name.

    A name is looked up at the first question: configuring may come after import.
    `hears(level)` never raises and answers True where a record of that level would be
    heard, False where not, and None where none of any level would: all handlers on the
    way are disabled ones of ours. `feed(level)` returns the queue handler that takes
    the attributes in place of the record, None where anybody else could see that. Both
    are other methods after the first answer.
    """

    __slots__ = ("_asked", "_logger", "feed", "hears")

    hears: Callable[[int], Optional[bool]]
    feed: Callable[[int], Optional[Feed]]

    def __init__(self, logger: Union[AnyLogger, str]) -> None:
        self._logger = logger
        self.look_anew()

    def __reduce__(self) -> Tuple[Any, ...]:
        # Who listens is another question in every process.
        return (audience_of, (self._logger,))

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
        self._asked = 0
        self.feed = self._feed_at_first

    def _hears_at_first(self, level: int) -> Optional[bool]:
        try:
            return self._found_out(level)
        except RecursionError:
            raise  # see `begins_safely`
        except Exception as error:  # a class of somebody's own
            _diagnostics.note_swallowed(error, "asking who hears a logger")
            return None

    def _found_out(self, level: int) -> Optional[bool]:
        logger = self.logger
        bare: Any = logger
        while isinstance(bare, logging.LoggerAdapter):
            bare = bare.logger
        is_usual = _is_usual(type(bare))
        if _any_disabled and is_usual:
            way = list(_way_of(bare))
            if _is_all_disabled(way):
                self.hears = _while_unchanged(way, _nobody, self._hears_at_first)
                return None
        if is_usual and bare is logger:
            # What can fail in it is the application's own recursion, and nothing else.
            self.hears = bare.isEnabledFor
        return bool(logger.isEnabledFor(level))

    def _feed_at_first(self, level: int) -> Optional[Feed]:
        asked, self._asked = self._asked, self._asked + 1
        if asked % _LOOK_AGAIN:
            return None
        try:
            feed = self._feed_of(self.logger)
        except Exception:  # a class of somebody's own
            return None
        if feed is None:
            return None
        self.feed = feed
        return feed(level)

    def _feed_of(self, logger: Any) -> Optional[Callable[[int], Optional[Feed]]]:
        """Return what tells the only handler there is, as long as that is so."""
        if not _is_usual(type(logger)) or logger.name == _diagnostics.LOGGER_NAME:
            return None
        way = list(_way_of(logger))
        handlers = [handler for stop in way for handler in stop.handlers]
        if len(handlers) != 1 or not hasattr(type(handlers[0]), "put_fields"):
            return None
        feeds = _feeds(logger, handlers[0])
        only = _Only(handlers[0])
        way = [stop._replace(handlers=only) if stop.handlers else stop for stop in way]
        return _while_unchanged(way, feeds, self._feed_anew)

    def _feed_anew(self, level: int) -> Optional[Feed]:
        self._asked = 0
        self.feed = self._feed_at_first
        return self.feed(level)


def _while_unchanged(
    way: List[_Stop],
    then: Callable[[int], Any],
    otherwise: Callable[[int], Any],
) -> Callable[[int], Any]:
    """Return what answers as *then* while *way* is as it was, and else as *otherwise*.

    The first two stops, more than which there seldom are, stand here by themselves: a
    loop over them takes twice as long, and a call that nobody hears costs little else.
    """
    (one, ones, after_one), (two, twos, after_two), *rest = (*way, _NOWHERE)[
        : max(2, len(way))
    ]

    def answer(level: int) -> Any:
        if (
            one.handlers == ones
            and (one.parent if one.propagate else None) is after_one
            and two.handlers == twos
            and (two.parent if two.propagate else None) is after_two
            and _Logger.callHandlers is _CALL_HANDLERS
            and not (rest and any(map(_has_changed, rest)))
        ):
            return then(level)
        return otherwise(level)

    return answer


def _nobody(level: int) -> None:
    """Answer that a record of *level* would not be heard."""


def _feeds(logger: Any, handler: Any) -> Callable[[int], Optional[Feed]]:
    """Return what tells whether *handler* takes attributes of records of *logger*."""
    known, kind, own = weakref.ref(handler), type(logger), vars(logger)

    def feeds(level: int) -> Optional[Feed]:
        found: Any = known()
        if (
            found is not None
            and not logger.filters
            and not logger.disabled
            and type(logger) is kind
            and kind.handle is _HANDLE
            and kind.callHandlers is _CALL_HANDLERS
            and kind.filter is _FILTER
            and "handle" not in own
            and "callHandlers" not in own
            and "filter" not in own
            and "makeRecord" not in own
            and found.takes_fields(level)
        ):
            return found  # type: ignore[no-any-return]
        return None

    return feeds


def _has_changed(stop: _Stop) -> bool:
    logger, handlers, parent = stop
    follows = logger.parent if logger.propagate else None
    return logger.handlers != handlers or follows is not parent


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


def _is_usual(kind: type) -> bool:
    """Tell whether loggers of *kind* do as logging does.

    Others may take a record before any handler does; Sentry patches callHandlers.
    """
    return _IS_AS_WRITTEN and all(
        getattr(kind, name, None) is method for name, method in _USUAL.items()
    )


def _way_of(logger: Any) -> Iterator[_Stop]:
    """Yield the stops of a record of *logger*."""
    while logger is not None:
        parent = logger.parent if logger.propagate else None
        yield _Stop(logger, logger.handlers[:], parent)
        logger = parent


def _is_all_disabled(way: List[_Stop]) -> bool:
    """Tell whether there are handlers on *way*, and all of them disabled ones of ours.

    Where there is none at all, logging turns to its handler of last resort.
    """
    handlers = [handler for stop in way for handler in stop.handlers]
    return bool(handlers) and all(
        getattr(handler, "ships_events", None) is True and handler.is_disabled is True
        for handler in handlers
    )
