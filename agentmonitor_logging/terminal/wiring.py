"""From a logger to our handlers: what stops an event on the way.

The way is that of `logging` itself: a logger's level and filters, then handler by
handler up to the root, then through queues, each with a level and filters of its own.
"""

from __future__ import annotations

import gc
import logging
import logging.handlers
from typing import (
    Any,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
)

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    _audience,
    _process,
)
from agentmonitor_logging._config import Config

from .findings import Finding, note, ok, problem

LEVEL = logging.INFO
"""The level of an agent's calls, unless told otherwise."""

_DEEPEST = 5
"""So many queues and buffers there may be before one of our handlers."""
_STEP = "logging"


class Stop(NamedTuple):
    """Say what stops events, and how they would pass."""

    text: str
    hint: str


class Way(NamedTuple):
    """Hold one way: the handlers from that of a logger to *target*, which is ours."""

    logger: logging.Logger
    handlers: Sequence[logging.Handler]
    target: AgentMonitorHandler


def looked_through(names: Iterable[str]) -> Iterator[Finding]:
    """Say of the loggers *names*, or else of all that matter, whether events pass."""
    putting = list(_only_putting())
    yield from putting
    if any(True for each in _all_loggers() for _ in _ways_from(each)):
        for logger in [*map(logging.getLogger, names)] or _loggers_that_matter():
            yield from _about(logger)
    elif not putting:
        yield problem(
            _STEP,
            "no logger has a handler of ours",
            "attach an agentmonitor_logging.AgentMonitorQueueHandler, to the root"
            " logger for instance, before the program logs (see README.md)",
        )
    yield from _unattached()


def destinations() -> List[Config]:
    """Return the options of those of our handlers that events come to, once each."""
    found: List[Config] = []
    for logger in _all_loggers():
        for way in _ways_from(logger):
            config = way.target._config
            seen = {(one.api_url, one.api_key) for one in found}
            if config.enabled and (config.api_url, config.api_key) not in seen:
                found.append(config)
    return found


def _about(logger: logging.Logger) -> Iterator[Finding]:
    ways = [way for stop in _stations(logger) for way in _ways_from(stop)]
    if not ways:
        yield _no_way(logger)
        return
    stop = _stop_at(logger)
    if stop is not None:
        yield problem(_STEP, f"{_named(logger)}: {stop.text}", stop.hint)
        return
    stops = [(way, _stop_on(way, logger)) for way in ways]
    for way, found in stops:
        if found is None:
            yield ok(_STEP, f"{_named(logger)} -> {_drawn(way)}")
            yield from _rate_noted(way.target._config)
        elif any(each is None for _, each in stops):
            yield note(_STEP, f"{_named(logger)}: {found.text}", found.hint)
        else:
            yield problem(_STEP, f"{_named(logger)}: {found.text}", found.hint)


# -- where there are handlers of ours --------------------------------------------------


def _all_loggers() -> List[logging.Logger]:
    known = list(logging.root.manager.loggerDict.values())
    return [logging.root, *(one for one in known if isinstance(one, logging.Logger))]


def _loggers_that_matter() -> List[logging.Logger]:
    """Return those that agents are known to log to, and those with handlers of ours."""
    found = {
        id(one): one for one in _all_loggers() if any(True for _ in _ways_from(one))
    }
    for known in list(_audience._known):
        one = logging.getLogger(known) if isinstance(known, str) else known
        if isinstance(one, logging.Logger):
            found[id(one)] = one
    return sorted(found.values(), key=lambda one: one.name)


def _stations(logger: logging.Logger) -> Iterator[logging.Logger]:
    """Yield the loggers whose handlers a record of *logger* comes to."""
    stop: Any = logger
    while stop is not None:
        yield stop
        stop = stop.parent if stop.propagate else None


def _ways_from(logger: logging.Logger) -> Iterator[Way]:
    for handler in logger.handlers:
        for handlers in _behind(handler):
            target = handlers[-1]
            if isinstance(target, AgentMonitorHandler):
                yield Way(logger, handlers, target)


def _behind(
    handler: logging.Handler, depth: int = _DEEPEST
) -> Iterator[Sequence[logging.Handler]]:
    """Yield the ways from *handler* on, itself included, to a last one each."""
    ahead = _next_of(handler)
    if not ahead or not depth:
        yield (handler,)
    for each in ahead if depth else ():
        for rest in _behind(each, depth - 1):
            yield (handler, *rest)


def _next_of(handler: logging.Handler) -> List[logging.Handler]:
    """Return the handlers that *handler* feeds, through a queue or a buffer."""
    if isinstance(handler, AgentMonitorQueueHandler):
        listener = handler.listener
        return [*(handler.targets() if listener is None else listener.handlers)]
    if isinstance(handler, logging.handlers.QueueHandler):
        return [h for one in _listeners_of(handler) for h in one.handlers]
    target = getattr(handler, "target", None)
    return [target] if isinstance(target, logging.Handler) else []


def _listeners_of(handler: logging.handlers.QueueHandler) -> List[Any]:
    listener = getattr(handler, "listener", None)  # from Python 3.12 on
    if listener is not None:
        return [listener]
    kind = logging.handlers.QueueListener
    # Of a listener that the application made, only it and the memory know.
    return [
        one
        for one in gc.get_objects()
        if issubclass(type(one), kind) and one.queue is handler.queue
    ]


def _only_putting() -> Iterator[Finding]:
    """Say which handlers leave it to others, elsewhere, to send."""
    for logger in _all_loggers():
        for handler in logger.handlers:
            if isinstance(handler, AgentMonitorQueueHandler) and not _next_of(handler):
                yield note(
                    _STEP,
                    f"{_called(handler)} on {_named(logger)} puts events into a queue"
                    " that nobody in this process listens to",
                    "an AgentMonitorQueueListener has to, there where the queue is"
                    " shared with",
                )


def _unattached() -> Iterator[Finding]:
    attached: Set[int] = set()
    for logger in _all_loggers():
        for handler in logger.handlers:
            attached.update(id(each) for way in _behind(handler) for each in way)
    kinds = (AgentMonitorQueueHandler, AgentMonitorHandler)
    for one in sorted(_process.live(), key=lambda one: isinstance(one, kinds[1])):
        closed = getattr(one, "_closed", True)
        if isinstance(one, kinds) and not closed and id(one) not in attached:
            # What it feeds needs no words of its own.
            attached.update(id(each) for way in _behind(one) for each in way)
            yield problem(
                _STEP,
                f"the handler {_called(one)} is attached to no logger",
                'name it under "handlers" of a logger, or of "root"',
            )


# -- what stops an event ---------------------------------------------------------------


def _stop_at(logger: logging.Logger) -> Optional[Stop]:
    """Return what stops an event before any handler sees it."""
    if logger.disabled:
        return Stop(
            "it is disabled, as dictConfig does to loggers that were there before",
            'say "disable_existing_loggers": False in the configuration',
        )
    if logging.root.manager.disable >= LEVEL:
        return Stop(
            f"logging.disable({_level(logging.root.manager.disable)}) is in effect",
            "take that call out, or undo it by logging.disable(logging.NOTSET)",
        )
    if logger.getEffectiveLevel() > LEVEL:
        owner = next((one for one in _ancestors(logger) if one.level), logger)
        where = "its own" if owner is logger else f"that of {_named(owner)}"
        return Stop(
            f"its level is {_level(owner.level)} ({where}), and calls are logged at"
            f" {_level(LEVEL)}",
            f'say "level": "{_level(LEVEL)}" for {_named(logger)}',
        )
    return _stop_by_filters(logger, "a filter of the logger", logger)


def _stop_on(way: Way, logger: logging.Logger) -> Optional[Stop]:
    """Return what stops an event of *logger* between its logger and its sender."""
    respects = True
    for handler in way.handlers:
        if respects and handler.level > LEVEL:
            return Stop(
                f"the level of the handler {_called(handler)} is"
                f" {_level(handler.level)}, and calls are logged at {_level(LEVEL)}",
                f'say "level": "{_level(LEVEL)}" for the handler',
            )
        stop = _stop_by_filters(handler, f"a filter of {_called(handler)}", logger)
        if stop is not None:
            return stop
        respects = _respects_levels(handler)
    return _stop_by_options(way.target._config, _called(way.target))


def _stop_by_options(config: Config, name: str) -> Optional[Stop]:
    if not config.enabled:
        return Stop(
            f"the handler {name} is disabled: enabled is False",
            "leave that option out, or set AGENTMONITOR_ENABLED to true",
        )
    rates = {"*": 1.0, **_rates(config)}
    if not any(rates.values()):
        return Stop(
            f"the handler {name} keeps errors only: sample_rate is"
            f" {config.sample_rate!r}",
            "give a sample_rate above 0, or leave it out",
        )
    return None


def _stop_by_filters(owner: Any, name: str, logger: logging.Logger) -> Optional[Stop]:
    record = logger.makeRecord(
        logger.name, LEVEL, __file__, 0, "agentmonitor check", (), None
    )
    try:
        passes = owner.filter(record)
    except Exception as error:  # the application's own
        text = f"{name} fails: {type(error).__name__}: {error}"
        return Stop(text, "mend the filter, or take it out")
    if passes:
        return None
    kinds = ", ".join(_filter_named(one) for one in owner.filters)
    text = f"{name} stops what it logs at {_level(LEVEL)} ({kinds})"
    return Stop(text, "have the filter let the agent's logger pass, or take it out")


def _filter_named(candidate: Any) -> str:
    only = getattr(candidate, "name", "") if type(candidate) is logging.Filter else ""
    if only:
        return f"only {only!r} passes"
    return getattr(candidate, "__name__", type(candidate).__name__)


def _respects_levels(handler: logging.Handler) -> bool:
    """Tell whether what comes out of the queue of *handler* heeds the next level."""
    if isinstance(handler, logging.handlers.QueueHandler):
        listener = getattr(handler, "listener", None)
        return bool(getattr(listener, "respect_handler_level", True))
    return False


def _no_way(logger: logging.Logger) -> Finding:
    end = list(_stations(logger))[-1]
    if end is not logging.root and any(
        True for one in _ancestors(logger) for _ in _ways_from(one)
    ):
        return problem(
            _STEP,
            f"{_named(logger)}: no handler of ours is on its way, which ends at"
            f" {_named(end)}: propagate is False",
            f'attach the handler to {_named(end)}, or say "propagate": True there',
        )
    return problem(
        _STEP,
        f"{_named(logger)}: no handler of ours is on its way to the root logger",
        f"attach the handler to {_named(logger)} or to the root logger",
    )


def _rate_noted(config: Config) -> Iterator[Finding]:
    if min(_rates(config).values(), default=1.0) < 1:
        text = f"not all events are kept: sample_rate is {config.sample_rate!r}"
        yield note(_STEP, text, "errors are always kept")


def _rates(config: Config) -> Mapping[str, float]:
    rates = config.sample_rate
    return {"*": rates} if isinstance(rates, float) else rates


# -- how they are called ---------------------------------------------------------------


def _ancestors(logger: logging.Logger) -> Iterator[logging.Logger]:
    one: Any = logger
    while one is not None:
        yield one
        one = one.parent


def _named(logger: logging.Logger) -> str:
    return "the root logger" if logger is logging.root else f"logger {logger.name!r}"


def _called(handler: logging.Handler) -> str:
    kind = type(handler).__name__
    return f"{handler.name!r} ({kind})" if handler.name else kind


def _drawn(way: Way) -> str:
    steps = " -> ".join(map(_called, way.handlers))
    return f"{steps} on {_named(way.logger)} -> {way.target._config.api_url}"


def _level(number: int) -> str:
    return str(logging.getLevelName(number))
