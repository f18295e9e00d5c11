"""The queue between the caller and the listener."""

from __future__ import annotations

import queue
import threading
import time
from typing import Dict

import pytest

from agentmonitor_logging._queue import ForeignQueue, RecordQueue
from servers import DEADLINE


def test_records_come_out_in_order() -> None:
    """First in, first out."""
    records = RecordQueue(10, gather_seconds=0)
    for number in range(5):
        records.put_nowait(number)

    assert [0, 1, 2, 3, 4] == [records.get() for _ in range(5)]


def test_a_full_queue_refuses_the_newest_at_once() -> None:
    """A put never waits: with no room it raises, and the queue says so afterwards."""
    records = RecordQueue(2)
    records.put_nowait("a")
    records.put_nowait("b")

    with pytest.raises(queue.Full):
        records.put_nowait("c")
    assert records.overflowed
    assert ["a", "b"] == [records.get_nowait(), records.get_nowait()]


def test_many_records_are_taken_at_once() -> None:
    """They come in order, are handed on only when that is said, and may be fewer."""
    records = RecordQueue(10)
    for number in range(5):
        records.put_nowait(number)
    passed = records.checkpoint()

    assert [0, 1, 2] == records.take(3)
    assert [3, 4] == records.take(3)
    assert [] == records.take(3)
    assert not passed()
    records.done()
    assert passed()
    assert records.entered() == 5


def test_few_records_stay_for_a_moment() -> None:
    """As few as is wanted, at most a quarter of the queue; it waits for none to come."""
    records = RecordQueue(16)

    assert not records.holds(10)
    records.put_nowait("first")
    assert records.holds(10)
    assert not records.holds(1)
    for number in range(3):
        records.put_nowait(number)
    assert not records.holds(10)
    assert records.get_nowait() == "first"
    assert records.holds(10)


def test_who_takes_records_pauses_unless_they_come_too_fast() -> None:
    """It lets others run after its slice, but not while half of the queue is full."""
    records = RecordQueue(10)

    assert records.is_pause_due()
    for number in range(5):
        records.put_nowait(number)
    assert not records.is_pause_due()
    records.get()
    assert records.is_pause_due()


def test_what_is_put_back_comes_first() -> None:
    """Who took too many gives them back, and they are in their order and count once."""
    records = RecordQueue(10)
    for number in range(5):
        records.put_nowait(number)
    passed = records.checkpoint()

    assert records.put_back(records.take(3), 1)
    assert records.entered() == 5
    records.done()
    assert not passed()
    assert [1, 2, 3, 4] == records.take(9)
    assert not passed()
    records.done()
    assert passed()


def test_nothing_is_put_back_before_what_another_has_taken() -> None:
    """It would come after what it came before, and the books would be wrong."""
    records = RecordQueue(10)
    for number in range(5):
        records.put_nowait(number)
    run = records.take(3)
    other = threading.Thread(target=records.get_nowait)
    other.start()
    other.join(DEADLINE)

    assert not records.put_back(run, 1)
    assert [4] == records.take(9)
    records.reset_after_fork()
    assert not records.put_back(run, 1)


def test_who_looks_while_something_is_put_back_does_not_take_it_for_done() -> None:
    """What was counted as taken may be back in the queue before all hands are seen."""
    records = RecordQueue(10)
    for number in range(5):
        records.put_nowait(number)
    passed = records.checkpoint()
    run = records.take(5)
    hands = records._in_hand

    class Slow(Dict[int, int]):
        """Let the other thread go on between the two looks."""

        def copy(self) -> Dict[int, int]:
            records._in_hand = hands
            assert records.put_back(run, 1)
            records.done()
            return hands.copy()

    records._in_hand = Slow(hands)

    assert not passed()
    assert not passed()
    assert [1, 2, 3, 4] == records.take(9)
    records.done()
    assert passed()


def test_an_empty_queue_says_so() -> None:
    """Without blocking, and after a time-out, an empty queue raises."""
    records = RecordQueue(2)

    with pytest.raises(queue.Empty):
        records.get_nowait()
    with pytest.raises(queue.Empty):
        records.get(timeout=0.01)


def test_a_waiting_listener_is_woken_by_the_first_record() -> None:
    """A record that is put wakes a listener that waits without a time-out."""
    records = RecordQueue(10, gather_seconds=0)
    got = []
    listener = threading.Thread(target=lambda: got.append(records.get()), daemon=True)
    listener.start()
    records.put_nowait("hello")
    listener.join(DEADLINE)

    assert ["hello"] == got


def test_enough_records_end_the_gathering() -> None:
    """Gathering for an hour ends as soon as the wanted number has come."""
    records = RecordQueue(100, gather_seconds=3600, gather_records=10)
    got = []
    listener = threading.Thread(target=lambda: got.append(records.get()), daemon=True)
    listener.start()
    for number in range(10):
        records.put_nowait(number)
    listener.join(DEADLINE)

    assert [0] == got


def test_hurry_ends_the_gathering() -> None:
    """A flush does not wait for more records."""
    records = RecordQueue(100, gather_seconds=3600)
    got = threading.Event()
    listener = threading.Thread(target=lambda: (records.get(), got.set()), daemon=True)
    listener.start()
    records.put_nowait("one")
    deadline = time.monotonic() + DEADLINE
    while not got.wait(0.01) and time.monotonic() < deadline:
        records.hurry()

    assert got.is_set()


def test_hurry_ends_an_endless_wait() -> None:
    """A listener that waits for nothing in particular can be stopped."""
    records = RecordQueue(10)
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(queue.Empty):
            records.get()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    deadline = time.monotonic() + DEADLINE
    while not ended.wait(0.01) and time.monotonic() < deadline:
        records.hurry()

    assert ended.is_set()


def test_what_entered_is_counted_exactly_under_load() -> None:
    """Four threads put, one takes; no record is missing from the count or lost."""
    records = RecordQueue(1_000_000, gather_seconds=0)
    taken = []

    def put() -> None:
        for number in range(5_000):
            records.put_nowait(number)

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(taken) < 20_000:
        taken.append(records.get(timeout=DEADLINE))
    for thread in threads:
        thread.join()

    assert 20_000 == records.entered()
    assert 0 == records.qsize()


def test_a_queue_of_the_application_works_alike() -> None:
    """put, get, size and overflow of a foreign queue go through."""
    records = ForeignQueue(queue.Queue(1))
    records.put_nowait("a")

    with pytest.raises(queue.Full):
        records.put_nowait("b")
    assert records.overflowed
    assert 1 == records.qsize()
    assert "a" == records.get()
    with pytest.raises(queue.Empty):
        records.get_nowait()


@pytest.mark.parametrize("trouble", [NotImplementedError, EOFError, ConnectionError])
def test_a_queue_that_cannot_tell_counts_as_empty(trouble: type) -> None:
    """That of macOS cannot, nor one whose manager's process has ended."""

    class Mute(queue.Queue):  # type: ignore[type-arg]
        def qsize(self) -> int:
            raise trouble

    assert 0 == ForeignQueue(Mute()).qsize()
