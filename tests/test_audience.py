"""Nobody pays for events that nobody hears, and who listens later hears them."""

from __future__ import annotations

import io
import logging
import pickle
import types
import weakref
from typing import Any, Callable, Dict, Iterator, List, Set

import pytest

from agentmonitor_logging import AgentMonitorHandler, AgentMonitorQueueHandler
from agentmonitor_logging import _audience, _diagnostics
from agentmonitor_logging._audience import audience_of
from agentmonitor_logging.tracking import agent_event, log_agent_call
from capturing import Records
from conftest import KEY

top = logging.Logger("audience")
log = logging.Logger("audience.of")
"""Known to nobody: pytest hangs handlers of its own on every logger it can find."""


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_audience, "_any_disabled", False)
    monkeypatch.setattr(_audience, "_known", {})
    log.setLevel(logging.INFO)
    log.parent = top
    log.propagate = False
    yield
    log.handlers.clear()
    top.handlers.clear()


def disabled(kind: Callable[..., Any] = AgentMonitorQueueHandler) -> Any:
    return kind(api_key=KEY, agent_id="bot", enabled=False)


@pytest.mark.parametrize("kind", [AgentMonitorQueueHandler, AgentMonitorHandler])
def test_where_all_handlers_are_disabled_nobody_hears(kind: Any) -> None:
    """Not even an error, of any level."""
    log.addHandler(disabled(kind))

    assert audience_of(log).hears(logging.CRITICAL) is None


def test_a_disabled_handler_is_found_wherever_it_stands() -> None:
    """Above the logger, as far as records propagate, and below adapters."""
    log.propagate = True
    top.addHandler(disabled())

    assert audience_of(logging.LoggerAdapter(log, {})).hears(logging.INFO) is None
    assert audience_of(log).hears(logging.INFO) is None


def test_a_handler_of_the_application_hears() -> None:
    """One that is not disabled is enough."""
    log.addHandler(disabled())
    log.addHandler(logging.NullHandler())

    assert audience_of(log).hears(logging.INFO)


def test_without_any_handler_the_last_resort_hears() -> None:
    """Logging would print an error; so nothing is held back."""
    disabled()

    assert audience_of(log).hears(logging.INFO)


def test_only_handlers_of_ours_are_believed_to_be_disabled() -> None:
    """A handler of others may have something of that name."""

    class Other(logging.NullHandler):
        def is_disabled(self) -> bool:
            return False

    log.addHandler(disabled())
    log.addHandler(Other())

    assert audience_of(log).hears(logging.INFO)


def test_what_takes_records_before_any_handler_hears(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Sentry patches callHandlers, before or after the first call; classes override."""

    class Own(logging.Logger):
        def callHandlers(self, record: logging.LogRecord) -> None:
            """Take it elsewhere."""

    own = Own("own")
    for logger in (log, own):
        logger.addHandler(disabled())
    before = audience_of(log).hears(logging.INFO)
    monkeypatch.setattr(logging.Logger, "callHandlers", lambda self, record: None)

    assert before is None
    assert audience_of(own).hears(logging.INFO)
    assert audience_of(log).hears(logging.INFO)


def test_a_logger_that_comes_in_between_is_noticed() -> None:
    """A parent that is created later may have handlers of its own."""
    log.propagate = True
    top.addHandler(disabled())
    audience = audience_of(log)
    before = audience.hears(logging.INFO)
    between = logging.Logger("audience.between")
    between.parent, log.parent = top, between
    between.addHandler(logging.NullHandler())

    assert before is None
    assert audience.hears(logging.INFO)


@pytest.mark.parametrize("stops", [1, 2, 3, 4, 6])
def test_whatever_changes_on_the_way_is_noticed(stops: int) -> None:
    """A handler at any stop, and a way that goes on elsewhere."""
    way = [logging.Logger(f"stop {number}") for number in range(stops)]
    for below, above in zip(way, way[1:]):
        below.parent = above
    way[0].setLevel(logging.INFO)
    way[0].addHandler(disabled())
    audience = audience_of(way[0])
    others = logging.NullHandler()
    listener = logging.Logger("listener")
    listener.addHandler(others)

    for stop in way:
        assert audience.hears(logging.INFO) is None
        stop.addHandler(others)
        assert audience.hears(logging.INFO)
        stop.removeHandler(others)
        audience.look_anew()
        assert audience.hears(logging.INFO) is None
        before, stop.parent = stop.parent, listener
        assert audience.hears(logging.INFO)
        stop.parent = before
        audience.look_anew()


def test_a_removed_handler_is_let_go(collect_garbage: Callable[[], None]) -> None:
    """Knowing who listens keeps nobody alive who does not."""
    handler = logging.NullHandler()
    gone = weakref.ref(handler)
    log.addHandler(disabled())
    log.addHandler(handler)
    audience_of(log).hears(logging.INFO)
    log.removeHandler(handler)
    del handler
    collect_garbage()

    assert gone() is None


CHANGES: List[Callable[[], Any]] = [
    lambda: log.addHandler(logging.NullHandler()),
    lambda: setattr(log, "handlers", [logging.NullHandler()]),
    lambda: log.handlers.__setitem__(0, logging.NullHandler()),
    lambda: log.handlers.clear(),
    lambda: (
        top.addHandler(logging.NullHandler()),
        setattr(log, "propagate", True),
    ),
]


@pytest.mark.parametrize("change", CHANGES)
def test_who_listens_later_hears(change: Callable[[], Any]) -> None:
    """Whatever way the handlers change, the next call is watched again."""
    log.addHandler(disabled())
    audience = audience_of(log)
    before = [audience.hears(logging.INFO) for _ in range(3)]
    change()

    assert [None] * 3 == before
    assert [True, True] == [audience.hears(logging.INFO) for _ in range(2)]


def test_a_handler_disabled_later_spares_the_calls_after_it() -> None:
    """What was heard before is asked about anew when a disabled handler is made."""
    audience = audience_of(log)
    before = audience.hears(logging.INFO)
    log.addHandler(disabled())

    assert before
    assert audience.hears(logging.INFO) is None


def test_a_level_that_changes_is_heeded() -> None:
    """The answer is that of the logger, at every call."""
    known = logging.getLogger("audience.levels")
    audience = audience_of("audience.levels")
    answers = []
    for level in (logging.INFO, logging.ERROR, logging.DEBUG):
        known.setLevel(level)
        answers.append(bool(audience.hears(logging.INFO)))

    assert [True, False, True] == answers


@pytest.mark.swallows
def test_a_logger_that_fails_to_answer_hears_nothing() -> None:
    """A class of the application's own may raise; the call goes on."""

    class Broken(logging.Logger):
        def getEffectiveLevel(self) -> int:
            raise ValueError("no idea")

    class Duck:
        def isEnabledFor(self, level: int) -> bool:
            raise ValueError("no idea")

    disabled()
    for logger in (Broken("broken"), logging.LoggerAdapter(Duck(), {})):
        watched = log_agent_call(logger=logger)(lambda: "done")

        assert "done" == watched()
        assert any("no idea" in line for line in _diagnostics.swallowed)
        del _diagnostics.swallowed[:]


def test_more_loggers_than_are_remembered_are_heard_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is kept of loggers is bounded."""
    monkeypatch.setattr(_audience, "_MAX_KNOWN", 3)
    audiences = [audience_of(f"audience.{number}") for number in range(10)]

    assert len(_audience._known) <= 3
    assert all(audience.hears(logging.ERROR) for audience in audiences)


def test_disabled_calls_and_blocks_do_their_work() -> None:
    """Results, exceptions and the setters of a block are as ever."""
    log.addHandler(disabled())

    @log_agent_call(logger=log)
    def divide(a: int, b: int) -> float:
        return a / b

    with agent_event("step", logger=log) as event:
        event.set_output({"a": 1})

    assert 2.0 == divide(4, 2)
    with pytest.raises(ZeroDivisionError):
        divide(1, 0)


def test_an_error_below_the_level_is_told_with_its_latency() -> None:
    """A call whose success nobody would hear of tells when it fails."""
    records = Records()
    log.addHandler(records)
    log.setLevel(logging.ERROR)

    @log_agent_call(logger=log)
    def fail(number: int) -> None:
        raise ValueError(number)

    with pytest.raises(ValueError):
        fail(7)
    (record,) = records

    assert {"number": 7} == record.input_data
    assert record.latency_ms >= 0
    assert abs(record.timestamp - record.created) < 5


# -- whether a queue handler of ours is all there is -------------------------------------


@pytest.fixture
def handler(alone: None) -> Iterator[AgentMonitorQueueHandler]:
    made = AgentMonitorQueueHandler(api_key=KEY, agent_id="bot")
    log.addHandler(made)
    yield made
    made.close()


def test_the_only_handler_is_found_wherever_it_stands(
    handler: AgentMonitorQueueHandler,
) -> None:
    """On the logger, or above it as far as records propagate."""
    assert audience_of(log).feed(logging.INFO) is handler
    log.removeHandler(handler)
    top.addHandler(handler)
    assert audience_of(log).feed(logging.INFO) is None
    log.propagate = True
    audience_of(log).look_anew()
    assert audience_of(log).feed(logging.INFO) is handler
    assert audience_of(logging.LoggerAdapter(log, {})).feed(logging.INFO) is None


def test_without_a_handler_there_is_no_feed() -> None:
    """Logging's last resort wants a record."""
    assert audience_of(log).feed(logging.INFO) is None


class Filtering(logging.Logger):
    """A logger that lets pass what it likes."""

    def filter(self, record: logging.LogRecord) -> Any:
        return False


def in_a_way_of_its_own(*args: Any) -> None:
    raise AssertionError(args)


INTRUSIONS: Dict[str, Callable[[AgentMonitorQueueHandler, Any], Any]] = {
    "another handler": lambda h, m: log.addHandler(logging.NullHandler()),
    "one above": lambda h, m: (
        top.addHandler(logging.NullHandler()),
        setattr(log, "propagate", True),
    ),
    "a filter": lambda h, m: log.addFilter(lambda record: True),
    "a filter of the handler": lambda h, m: h.addFilter(lambda record: True),
    "a formatter": lambda h, m: h.setFormatter(logging.Formatter("%(message)s")),
    "a level": lambda h, m: h.setLevel(logging.ERROR),
    "a logger switched off": lambda h, m: setattr(log, "disabled", True),
    "no handler": lambda h, m: log.removeHandler(h),
    "a patched logger": lambda h, m: m.setattr(
        log, "handle", in_a_way_of_its_own, raising=False
    ),
    "a patched handler": lambda h, m: setattr(h, "handle", in_a_way_of_its_own),
    "a patched class": lambda h, m: m.setattr(
        logging.Logger, "callHandlers", in_a_way_of_its_own
    ),
    "another patched method": lambda h, m: m.setattr(
        logging.Logger, "handle", in_a_way_of_its_own
    ),
    "a patched handler class": lambda h, m: m.setattr(
        AgentMonitorQueueHandler, "handle", in_a_way_of_its_own
    ),
    "a patched filter": lambda h, m: m.setattr(
        logging.Filterer, "filter", in_a_way_of_its_own
    ),
    "another class": lambda h, m: m.setattr(log, "__class__", Filtering),
    "a patched factory method": lambda h, m: m.setattr(
        log, "makeRecord", in_a_way_of_its_own, raising=False
    ),
    "a second queue handler": lambda h, m: disabled(),
}


@pytest.mark.parametrize("intrude", INTRUSIONS.values(), ids=INTRUSIONS)
def test_whoever_comes_to_see_records_gets_them(
    handler: AgentMonitorQueueHandler,
    monkeypatch: pytest.MonkeyPatch,
    intrude: Callable[[AgentMonitorQueueHandler, Any], Any],
) -> None:
    """From the next call on, whatever way it is done, and for as long as it lasts."""
    audience = audience_of(log)
    assert audience.feed(logging.INFO) is handler
    other = intrude(handler, monkeypatch)
    try:
        assert audience.feed(logging.INFO) is None
        audience.look_anew()
        assert audience.feed(logging.INFO) is None
    finally:
        log.filters.clear()
        log.disabled = False
    del other


def test_a_logger_with_a_filter_of_its_class_is_no_feed(
    handler: AgentMonitorQueueHandler,
) -> None:
    """A subclass decides for itself what passes."""
    own = Filtering("own")
    own.addHandler(handler)

    assert audience_of(own).feed(logging.INFO) is None


def test_it_is_looked_again_now_and_then(handler: AgentMonitorQueueHandler) -> None:
    """When the others are gone, no record is made any more, some calls later."""
    other = logging.NullHandler()
    log.addHandler(other)
    audience = audience_of(log)
    assert audience.feed(logging.INFO) is None
    log.removeHandler(other)
    answers = [audience.feed(logging.INFO) for _ in range(600)]

    assert answers[0] is None
    assert answers[-1] is handler


@pytest.mark.usefixtures("alone")
def test_a_queue_handler_is_not_kept_alive(
    collect_garbage: Callable[[], None],
) -> None:
    """Knowing it does not keep it, nor its threads."""
    handler = AgentMonitorQueueHandler(api_key=KEY, agent_id="bot")
    gone = weakref.ref(handler)
    log.addHandler(handler)
    assert audience_of(log).feed(logging.INFO) is handler
    log.removeHandler(handler)
    handler.close()
    del handler
    collect_garbage()

    assert gone() is None
    assert audience_of(log).feed(logging.INFO) is None


class ByValue(pickle.Pickler):
    """Pickle what functions hold, as Ray and Dask do, whatever their module."""

    seen: Set[int] = set()  # noqa: RUF012 - of one test

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, types.FunctionType) and id(obj) not in self.seen:
            self.seen.add(id(obj))
            for cell in obj.__closure__ or ():
                type(self)(io.BytesIO()).dump(cell.cell_contents)
        kept = isinstance(obj, (types.FunctionType, logging.Logger))
        return id(obj) if kept else None


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_decorated_function_may_be_sent_elsewhere(
    handler: AgentMonitorQueueHandler, calls: int
) -> None:
    """What it learnt of its listeners stays here; the logger is known by its name."""

    @log_agent_call(logger=log)
    def task(number: int) -> int:
        return number + 1

    for number in range(calls):
        task(number)
    ByValue.seen.clear()
    ByValue(io.BytesIO()).dump(task)

    again = pickle.loads(pickle.dumps(audience_of("agent")))
    assert again is audience_of("agent")
