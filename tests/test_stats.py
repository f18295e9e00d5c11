"""The ledger adds up, whoever enters into it and when."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

import pytest

from agentmonitor_logging import FlushResult, Stats
from agentmonitor_logging._stats import Ledger, total
from servers import DEADLINE


def test_what_is_neither_delivered_nor_lost_is_pending() -> None:
    """accepted = delivered + pending + lost."""
    ledger = Ledger()
    ledger.accept(10)
    ledger.deliver(4)
    ledger.lose("rejected", 1)
    ledger.refuse("queue_full")
    ledger.withdraw(2)

    assert (
        Stats(accepted=9, delivered=4, pending=3, lost={"rejected": 1, "queue_full": 1})
        == ledger.stats()
    )


def test_requests_are_counted_with_their_repetitions() -> None:
    """A repeated request counts as a request and as retried."""
    ledger = Ledger()
    ledger.request(again=False)
    ledger.request(again=True)

    assert (2, 1) == (ledger.stats().requests, ledger.stats().retried)


def test_no_entry_is_lost_under_contention() -> None:
    """Eight threads enter at once, and the sums are exact."""
    ledger = Ledger()

    def enter() -> None:
        for _ in range(2_000):
            ledger.accept()
            ledger.deliver(1)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Stats(accepted=16_000, delivered=16_000) == ledger.stats()


def test_an_entry_in_the_middle_of_an_entry_does_not_wait() -> None:
    """A finaliser that enters while its thread adds up is counted, not deadlocked."""
    ledger = Ledger()
    with ledger._adding:
        ledger.accept()
    ledger.accept()

    assert 2 == ledger.stats().accepted


def test_a_reader_in_the_middle_of_an_entry_gets_an_answer() -> None:
    """stats() inside of a signal handler answers although the ledger is taken."""
    ledger = Ledger()
    ledger.accept()
    with ledger._adding:
        assert 1 == ledger.stats().accepted


def test_waiting_ends_when_the_mark_is_reached() -> None:
    """wait returns as soon as another thread settles the last event."""
    ledger = Ledger()
    ledger.accept(3)
    ledger.deliver(2)
    thread = threading.Thread(target=lambda: ledger.lose("rejected"))
    thread.start()

    assert ledger.wait(lambda: ledger.settled() == 3, time.monotonic() + DEADLINE)
    thread.join()


def test_waiting_ends_at_its_deadline() -> None:
    """wait says no when time is up."""
    ledger = Ledger()
    ledger.accept()

    assert not ledger.wait(lambda: ledger.settled() >= 1, time.monotonic() + 0.01)


def test_a_withdrawn_event_is_settled() -> None:
    """Nobody waits for an event that a filter took back."""
    ledger = Ledger()
    ledger.accept(2)
    mark = ledger.mark()
    ledger.deliver(1)
    ledger.withdraw()

    assert ledger.wait(lambda: ledger.settled() >= mark, time.monotonic() + DEADLINE)


def test_losses_are_told_once() -> None:
    """Each loss is told once; wanted ones and those of loss events never."""
    ledger = Ledger()
    ledger.refuse("queue_full", 5)
    ledger.refuse("sampled", 7)
    ledger.refuse("rejected", 2)
    ledger.tell("rejected", 1)

    assert {"queue_full": 5, "rejected": 1} == ledger.take_untold_losses()
    assert {} == ledger.take_untold_losses()
    ledger.refuse("queue_full")
    assert {"queue_full": 1} == ledger.take_untold_losses()


def test_stats_of_several_handlers_add_up() -> None:
    """Every count is summed, losses by reason."""
    first = Stats(5, 2, 1, {"a": 1, "b": 1}, 1, 2, 3)
    second = Stats(1, 0, 0, {"b": 1}, 0, 1, 0)

    assert Stats(6, 2, 1, {"a": 1, "b": 2}, 1, 3, 3) == total([first, second])


@pytest.mark.parametrize(
    "told", [Stats(3, 1, 1, {"rejected": 1}), FlushResult(1, 1, 1)], ids=repr
)
def test_what_is_told_does_not_change(told: Any) -> None:
    """It is equal to its like alone, outlives a pickle, and shows all it holds."""
    again = pickle.loads(pickle.dumps(told))

    assert (told, vars(told)) == (again, vars(again))
    assert told != tuple(vars(told).values())
    assert eval(repr(told)) == told
    for change in (setattr, lambda one, name, _: delattr(one, name)):
        with pytest.raises(AttributeError, match=type(told).__name__):
            change(again, "delivered", 9)
    assert told == again
    assert {FlushResult(1, 1, 1)} == {FlushResult(1, 1, 1), FlushResult(1, 1, 1)}


def test_a_flush_is_true_when_nothing_is_pending() -> None:
    """The truth of a FlushResult is about pending alone."""
    assert FlushResult(delivered=0, pending=0, lost=9)
    assert not FlushResult(delivered=9, pending=1, lost=0)
