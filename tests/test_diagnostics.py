"""What the package says about itself: seldom, in one line, and heard."""

from __future__ import annotations

import logging
import threading

import pytest

from agentmonitor_logging import _diagnostics
from agentmonitor_logging._diagnostics import Reporter, is_own_work, own_work
from test_pacing import Clock

NAME = "agentmonitor_logging"


def lines(caplog: pytest.LogCaptureFixture) -> list:
    return [record.getMessage() for record in caplog.records if record.name == NAME]


def test_a_problem_is_told_once_an_interval_with_a_count(caplog) -> None:
    """One line per problem and interval; the next line says how many there were."""
    clock = Clock()
    reporter = Reporter(interval=30, clock=clock)
    told = [reporter.report("full", "the queue is full") for _ in range(5)]
    clock.now += 30
    reporter.report("full", "the queue is full")

    assert [True, False, False, False, False] == told
    assert [
        "agentmonitor: the queue is full",
        "agentmonitor: the queue is full (4 more of these were not logged)",
    ] == lines(caplog)


def test_problems_do_not_hide_each_other(caplog) -> None:
    """Each problem has an interval of its own."""
    reporter = Reporter()
    reporter.report("a", "first")
    reporter.report("b", "second")

    assert ["agentmonitor: first", "agentmonitor: second"] == lines(caplog)


def test_a_broken_handler_of_the_application_is_not_our_end() -> None:
    """A handler that raises while we report is survived."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

    logging.getLogger(NAME).addHandler(Broken())

    assert not Reporter().report("a", "hello")


def bare_root() -> logging.Logger:
    """Return the root logger without what pytest attaches before each test."""
    root = logging.getLogger()
    root.handlers[:] = []
    return root


def test_with_our_handler_on_the_root_logger_we_are_still_heard(
    server, attach, capfd
) -> None:
    """Where only our own handlers would hear a warning, stderr does."""
    bare_root().addHandler(attach(server.url))
    Reporter().report("a", "can you hear me")

    assert "agentmonitor: can you hear me\n" == capfd.readouterr().err


def test_without_any_handler_a_warning_is_printed_once(capfd) -> None:
    """The last resort of logging is used, by logging itself and not twice."""
    bare_root()
    Reporter().report("a", "can you hear me")

    assert "agentmonitor: can you hear me\n" == capfd.readouterr().err


def test_who_silences_the_logger_is_obeyed(server, attach, capfd) -> None:
    """A NullHandler on our logger, or its level, keeps stderr clean."""
    bare_root().addHandler(attach(server.url))
    logger = logging.getLogger(NAME)
    null = logging.NullHandler()
    logger.addHandler(null)
    Reporter().report("a", "quiet")
    logger.removeHandler(null)
    logger.setLevel(logging.CRITICAL)
    Reporter().report("b", "quiet")

    assert "" == capfd.readouterr().err


def test_own_work_is_marked_per_thread_and_nests() -> None:
    """The mark holds inside of the outermost with, and only there."""
    assert not is_own_work()
    with own_work():
        with own_work():
            assert is_own_work()
        assert is_own_work()
    assert not is_own_work()


def test_another_thread_is_not_marked() -> None:
    """What the application does beside our work is monitored as ever."""
    seen = []
    with own_work():
        thread = threading.Thread(target=lambda: seen.append(is_own_work()))
        thread.start()
        thread.join()

    assert [False] == seen


def test_a_child_forgets_what_its_parent_was_at() -> None:
    """A thread's number may come again in a child, whose own thread is not ours."""
    _diagnostics.own_work_of[-1] = 1
    with own_work():
        _diagnostics.forget_work()
        assert not is_own_work()
    assert {} == _diagnostics.own_work_of


def test_who_insists_is_heard_though_the_logger_is_disabled_meanwhile(capfd) -> None:
    """dictConfig disables what it does not name; that is nobody's wish to be silent."""
    logger = logging.getLogger(NAME)
    closes = _diagnostics.insistent(lambda: _diagnostics.report("end", "3 events lost"))
    logger.disabled = True
    silenced = _diagnostics.insistent(lambda: _diagnostics.report("other", "unheard"))
    closes()
    silenced()
    _diagnostics.report("another", "unheard")

    assert "agentmonitor: 3 events lost\n" == capfd.readouterr().err


@pytest.mark.swallows
def test_what_is_swallowed_is_remembered_as_text() -> None:
    """A swallowed error is noted without keeping the error, and bounded."""
    for number in range(100):
        _diagnostics.note_swallowed(ValueError(str(number)), "a test")

    assert "a test: ValueError: 99" == _diagnostics.swallowed[-1]
    assert len(_diagnostics.swallowed) <= 21


def test_an_error_that_cannot_be_rendered_is_described() -> None:
    """describe() survives a __str__ that raises."""

    class Awkward(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "Awkward: [unrepresentable]" == _diagnostics.describe(Awkward())
