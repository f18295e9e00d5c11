"""Whether what was under way has arrived: the tests that a flush goes by."""

from __future__ import annotations

import threading
from typing import Any, Dict, List, Sequence, Set

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmonitor_logging._answers import (
    Delivered,
    Outcome,
    Refused,
    Rejected,
    TooLarge,
    Unreachable,
)
from agentmonitor_logging._batch import (
    Batch,
    Event,
    SpooledEvent,
    body_of,
    spool_id_of,
)
from agentmonitor_logging._buffer import Buffer
from agentmonitor_logging._config import Config
from agentmonitor_logging._delivery import Delivery
from agentmonitor_logging._passage import Passage, side_by_side
from agentmonitor_logging._queue import RecordQueue
from agentmonitor_logging._sender import Sender
from agentmonitor_logging._stats import Ledger
from agentmonitor_logging._stock import Stock
from agentmonitor_logging.exceptions import (
    APIError,
    AuthenticationError,
    NetworkError,
)
from test_pacing import Clock

CONFIG = Config.from_options(
    {"api_key": "k" * 32, "agent_id": "bot", "retry_attempts": 0}
)


def stock() -> Stock:
    return Stock(
        CONFIG,
        Ledger(),
        lambda lost: b"loss",
        ring=lambda: None,
        strike=lambda ids: None,
    )


def taken(stock: Stock) -> Batch:
    with stock.opened():
        step = stock.delivery.next(hurried=True, more=False)
    assert isinstance(step, Batch)
    return step


def test_a_stock_is_passed_when_the_oldest_has_arrived() -> None:
    """Newer batches that arrive first do not count for an older one."""
    subject = stock()
    subject.put(*[b"older"] * 100)
    passed = subject.checkpoint()
    subject.put(*[b"newer"] * 200)
    older, newer, newest = taken(subject), taken(subject), taken(subject)
    subject.settle(newer, Delivered(), hurried=False)
    subject.settle(newest, Delivered(), hurried=False)

    assert not passed()
    subject.settle(older, Delivered(), hurried=False)
    assert passed()


def test_an_empty_stock_is_passed() -> None:
    """There is nothing to wait for where nothing is, or came in later."""
    subject = stock()
    passed = subject.checkpoint()
    assert passed()
    subject.put(b"newer")
    assert passed()
    assert not subject.checkpoint()()


def test_a_queue_is_passed_when_its_records_are_done() -> None:
    """It is not enough that a record was taken out: it may be in somebody's hand."""
    subject = RecordQueue(100)
    subject.put_nowait("older")
    passed = subject.checkpoint()
    subject.put_nowait("newer")
    subject.get_nowait()

    assert not passed()
    subject.done()
    assert passed()


def test_what_another_thread_has_done_does_not_count_for_what_is_in_hand() -> None:
    """Two take from the queue; the older record is with the slower of them."""
    subject = RecordQueue(100)
    for record in ("older", "newer", "newest"):
        subject.put_nowait(record)
    passed = subject.checkpoint()
    assert "older" == subject.get_nowait()

    def take_the_rest() -> None:
        subject.get_nowait()
        subject.get_nowait()
        subject.done()

    other = threading.Thread(target=take_the_rest)
    other.start()
    other.join()

    assert not passed()
    subject.done()
    assert passed()


def test_the_next_station_is_looked_at_when_the_one_before_is_passed() -> None:
    """What is on its way to a station when the passage begins counts there too."""
    first, beside, second = RecordQueue(10), RecordQueue(10), RecordQueue(10)
    first.put_nowait("late")
    passage = Passage(
        side_by_side([first.checkpoint, beside.checkpoint]), second.checkpoint
    )
    assert not passage()
    second.put_nowait(first.get_nowait())
    first.done()

    assert not passage()
    second.get_nowait()
    second.done()
    assert passage()


def test_what_memory_has_no_room_for_is_no_longer_waited_for() -> None:
    """The oldest is lost where a newer one finds no room, and so has met its end."""
    subject = stock()
    subject.delivery._buffer = Buffer(1_000)
    subject.put(b"older")
    passed = subject.checkpoint()
    subject.put(*[b"newer" * 20] * 10)

    assert passed()


def test_who_waits_for_losses_is_not_all_who_waits() -> None:
    """That the event of a loss has arrived ends nobody else's hurry."""
    sender = Sender(
        CONFIG, Ledger(), transport=lambda: None, loss_event=lambda lost: b""
    )
    arrived = False
    sender._ledger.accept()
    sender.hurry(lambda: arrived)
    assert sender.await_losses()()
    assert sender._hurried_events() == 1
    sender.stop_when_empty()
    assert sender._hurried_events() == 1
    sender._ledger.deliver(1)
    assert sender._hurried_events() == 0


# -- the oldest event of which the end is open ------------------------------------------

API = APIError("no", 400)
OUTCOMES: Dict[str, Outcome] = {
    "delivered": Delivered(),
    "unreachable": Unreachable(NetworkError("gone")),
    "refused": Refused(AuthenticationError("key", 401)),
    "too large": TooLarge(API),
    "rejected": Rejected(API),
    "named": Rejected(API, (1, 3)),
}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 150)),
        st.tuples(st.just("spooled"), st.integers(1, 150)),
        st.tuples(st.just("send"), st.just(0)),
        st.tuples(st.sampled_from(sorted(OUTCOMES)), st.integers(0, 5)),
        st.tuples(st.sampled_from(sorted(OUTCOMES)), st.integers(0, 5)),
        st.tuples(st.just("take spilled"), st.integers(1, 30)),
        st.tuples(st.just("read"), st.integers(0, 30)),
        st.tuples(st.sampled_from(["drop", "take unspooled"]), st.integers(1, 9)),
        st.tuples(st.sampled_from(["let go", "give up"]), st.just(0)),
    ),
    max_size=60,
)


class Life:
    """Do steps to a `Delivery`, and know better than it which events are open."""

    def __init__(self, buffer_bytes: int = 60_000) -> None:
        self.clock = Clock()
        self.delivery = Delivery(CONFIG, clock=self.clock, random=lambda: 0.5)
        self.delivery._buffer = Buffer(buffer_bytes)
        self.numbers: Dict[int, int] = {}
        self.flying: List[Batch] = []
        self.given_up: Set[int] = set()
        self.reading: List[int] = []

    def do(self, step: str, much: int) -> None:
        self.clock.now += 1_000
        if step in OUTCOMES:
            if self.flying:
                batch = self.flying.pop(much % len(self.flying))
                self.given_up.discard(id(batch))
                self.delivery.settle(batch, OUTCOMES[step])
        else:
            getattr(self, step.replace(" ", "_"))(much)
        self.delivery.look_for_oldest()

    def add(self, count: int) -> None:
        for _ in range(count):
            self.delivery.add(b"%d" % self.delivery.entered)

    def spooled(self, count: int) -> None:
        for _ in range(count):
            number = self.delivery.entered
            self.numbers[number + 1] = number
            self.delivery.add(SpooledEvent(b"%d" % number, number + 1))

    def send(self, _: int) -> None:
        batch = self.delivery.next(hurried=True, more=False)
        if isinstance(batch, Batch):
            batch.tries += 1
            self.flying.append(batch)

    def take_spilled(self, most: int) -> None:
        if not self.reading:
            self.reading = self.delivery.take_spilled(most)

    def read(self, found: int) -> None:
        ids, self.reading = self.reading, []
        if ids:
            pairs = [(id_, b"%d" % self.numbers[id_]) for id_ in ids[:found]]
            self.delivery.read(ids[found:], pairs)

    def drop(self, every: int) -> None:
        self.delivery.drop(set(list(self.numbers)[::every]))

    def take_unspooled(self, every: int) -> None:
        self.delivery.take_unspooled(set(list(self.numbers)[::every]))

    def let_go(self, _: int) -> None:
        self.delivery.let_go()

    def give_up(self, _: int) -> None:
        self.given_up = {id(batch) for batch in self.flying}
        self.delivery.give_up("shutdown", in_flight=True)

    @property
    def open(self) -> Set[int]:
        """Return the numbers of the events of which the end is open."""
        buffer = self.delivery._buffer
        batched: Sequence[Any] = [*buffer._batches, *self.flying]
        held = [event for batch in batched for event in batch.events] + [
            *buffer._events
        ]
        lost = [
            event
            for batch in self.flying
            if id(batch) in self.given_up
            for event in batch.events
            if spool_id_of(event) is None
        ]
        on_disk = [
            id_
            for first, last in self.delivery._spilled._ranges
            for id_ in range(first, last + 1)
        ]
        numbers = set(map(number_of, held)) - set(map(number_of, lost))
        return numbers | {self.numbers[id_] for id_ in [*on_disk, *self.reading]}


def number_of(event: Event) -> int:
    return int(body_of(event))


SEND = ("send", 0)
SENT = [("spooled", 150), ("spooled", 150), SEND, SEND]
UNREACHABLE = [("unreachable", 1), ("unreachable", 0)]
"""The older of two batches stands behind the newer."""


@settings(max_examples=1_000, deadline=None)
@example([*SENT, *UNREACHABLE, SEND, ("refused", 0), SEND, ("delivered", 0)], 60_000)
@example([*SENT, *UNREACHABLE, ("take unspooled", 9), SEND, ("delivered", 0)], 60_000)
@example([*SENT, ("refused", 0), ("refused", 0), SEND, ("delivered", 0)], 60_000)
@example(
    [
        *(("spooled", 1), SEND, ("give up", 0), ("add", 1), ("named", 0)),
        *(("take spilled", 1), ("read", 1), SEND, ("delivered", 0)),
    ],
    6_000,
)
@example(
    [
        *(("spooled", 150), ("spooled", 100), SEND, SEND, ("refused", 0)),
        *(("refused", 0), SEND, ("delivered", 0), SEND, SEND, SEND),
        *(("delivered", 0), ("delivered", 0), ("too large", 0), SEND),
        ("delivered", 0),
    ],
    60_000,
)
@example(
    [
        *(("spooled", 150), ("give up", 0), SEND, SEND, ("give up", 0)),
        *(("refused", 0), ("refused", 0), ("take spilled", 75), ("read", 75)),
        *(("add", 3), ("take spilled", 75), ("read", 75), SEND, ("delivered", 0)),
    ],
    60_000,
)
@given(STEPS, st.sampled_from([6_000, 60_000]))
def test_no_open_event_is_older_than_the_oldest(steps: Any, room: int) -> None:
    """Whatever comes in, goes, comes back or is read: none is overlooked, none made up."""
    life = Life(room)
    oldest = 0
    for step, much in steps:
        life.do(step, much)
        found = life.delivery.oldest
        assert oldest <= found
        assert found <= min(life.open, default=life.delivery.entered)
        if not life.open:
            assert found == life.delivery.entered
        oldest = found


@pytest.mark.parametrize("kind", ["add", "spooled"])
def test_without_trouble_the_oldest_is_exact(kind: str) -> None:
    """While all goes well nobody waits for an event that came later."""
    life = Life()
    for _ in range(3):
        life.do(kind, 150)
        life.do("send", 0)
        life.do(kind, 20)
        assert min(life.open) == life.delivery.oldest
        life.do("delivered", 0)
        assert min(life.open) == life.delivery.oldest
        life.do("send", 0)
        life.do("delivered", 0)
        assert life.delivery.oldest == life.delivery.entered


def test_an_old_disorder_is_forgotten_while_others_come_and_go() -> None:
    """Two batches that were refused in the wrong order matter until they have gone."""
    life = Life()
    life.do("add", 300)
    for step in ("send", "send", "refused", "refused"):
        life.do(step, 0)
    for _ in range(10):
        life.do("add", 100)
        life.do("send", 0)
        life.do("delivered", 0)

    assert min(life.open) == life.delivery.oldest
