"""What is sent when, and what an outcome changes: without threads, on a fake clock."""

from __future__ import annotations

import random
from typing import Any, List

import pytest

from agentmonitor_logging._answers import (
    Delivered,
    Refused,
    Rejected,
    TooLarge,
    Unreachable,
)
from agentmonitor_logging._batch import Batch, SpooledEvent, spool_ids
from agentmonitor_logging._config import Config
from agentmonitor_logging._delivery import (
    FLOW_LOOK,
    GATHER_LOOK,
    GATHER_SECONDS,
    NEVER,
    STANDSTILL,
    Delivery,
)
from agentmonitor_logging._spilled import Spilled
from agentmonitor_logging.exceptions import (
    APIError,
    AuthenticationError,
    NetworkError,
)
from test_pacing import Clock

NO_ANSWER = Unreachable(NetworkError("nobody there"))
WRONG_KEY = Refused(AuthenticationError("wrong key", 401))
TOO_LARGE = TooLarge(APIError("too large", 413))
BAD = APIError("bad", 400)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Any:
    def make(**options: Any) -> Delivery:
        options.setdefault("api_key", "k" * 32)
        options.setdefault("agent_id", "bot")
        config = Config.from_options(options)
        return Delivery(config, clock=clock, random=lambda: 0.5)

    return make


def fill(delivery: Delivery, count: int) -> List[bytes]:
    events = [b"%d" % number for number in range(count)]
    for event in events:
        delivery.add(event)
    return events


def taken(delivery: Delivery, **kwargs: Any) -> Batch:
    kwargs = {"hurried": True, "more": False, **kwargs}
    step = delivery.next(**kwargs)
    assert isinstance(step, Batch)
    return step


def test_nothing_waits_for_nothing(make: Any) -> None:
    """An empty delivery asks to be woken by the first event."""
    delivery = make()

    assert NEVER == delivery.next(hurried=True)
    assert 1 == delivery.wake_at


def test_events_are_put_off_while_room_is_short_but_being_made(
    make: Any, clock: Clock
) -> None:
    """Not with room, nor where nothing is due yet, nor where the server fails."""
    delivery = make(buffer_bytes=1024 * 1024, batch_size=8)

    def add(count: int) -> None:
        for _ in range(count):
            delivery.add(b"x" * 100_000)

    add(5)
    assert delivery.put_off == 0, "there is room"
    add(2)
    assert delivery.put_off == 0, "nothing is due"
    add(1)
    assert delivery.put_off == 5, "as many as take half a megabyte"
    batch = taken(delivery)
    add(7)
    assert delivery.put_off == 5, "a request is under way"
    clock.now += STANDSTILL
    assert delivery.put_off == 0, "it takes too long"
    delivery.settle(batch, NO_ANSWER)
    clock.now += 1000
    taken(delivery)
    assert delivery.put_off == 0, "nobody was there"


def test_a_few_events_wait_for_their_time(make: Any, clock: Clock) -> None:
    """Fewer than batch_size events are due one flush_interval after the first."""
    delivery = make(batch_size=10, flush_interval=5.0)
    fill(delivery, 1)
    clock.now += 2
    delivery.add(b"later")

    assert 3.0 == delivery.next(hurried=False)
    assert 10 == delivery.wake_at
    clock.now += 3
    assert 2 == len(taken(delivery, hurried=False))


def test_enough_events_are_due_at_once(make: Any) -> None:
    """batch_size events are due without waiting."""
    delivery = make(batch_size=3)
    fill(delivery, 3)

    assert 3 == len(taken(delivery, hurried=False))


def test_a_batch_that_is_due_waits_while_more_come_in(make: Any, clock: Clock) -> None:
    """What comes in together goes together: it is looked at until nothing is added."""
    delivery = make(batch_size=3)
    fill(delivery, 3)

    assert pytest.approx(GATHER_LOOK) == delivery.next(hurried=False)
    assert 100 == delivery.wake_at
    fill(delivery, 4)
    clock.now += 1.01 * GATHER_LOOK
    assert pytest.approx(GATHER_LOOK) == delivery.next(hurried=True)
    clock.now += 1.01 * GATHER_LOOK
    assert 7 == len(taken(delivery, hurried=False, more=True))


def test_the_rest_after_a_full_batch_waits_for_the_next(
    make: Any, clock: Clock
) -> None:
    """While events flow, what a request had no room for is not a request of its own."""
    delivery = make(batch_size=3)
    fill(delivery, 104)
    assert 100 == len(taken(delivery, hurried=False, more=True))

    assert pytest.approx(FLOW_LOOK) == delivery.next(hurried=False)
    clock.now += 0.05
    fill(delivery, 100)
    assert 100 == len(taken(delivery, hurried=False, more=True))
    assert pytest.approx(FLOW_LOOK) == delivery.next(hurried=False)
    clock.now += 1.01 * FLOW_LOOK
    assert 4 == len(taken(delivery, hurried=False, more=True))


def test_after_a_batch_without_rest_the_next_waits_no_longer(make: Any) -> None:
    """Nobody knows that more will come, and a single event is not to wait for it."""
    delivery = make(batch_size=1)
    fill(delivery, 100)
    taken(delivery, hurried=False, more=True)
    fill(delivery, 1)

    assert pytest.approx(GATHER_LOOK) == delivery.next(hurried=False)


def test_a_batch_that_is_due_does_not_wait_long(make: Any, clock: Clock) -> None:
    """Full, or gathering for GATHER_SECONDS, it goes though more come in."""
    delivery = make(batch_size=3)
    fill(delivery, 3)
    began = clock.now
    while not isinstance(delivery.next(hurried=False), Batch):
        fill(delivery, 1)
        clock.now += 1.01 * GATHER_LOOK

    assert GATHER_SECONDS == pytest.approx(clock.now - began, abs=2 * GATHER_LOOK)
    fill(delivery, 100)
    assert 100 == len(taken(delivery, hurried=False, more=True))


def test_a_backlog_is_taken_a_hundred_at_a_time(make: Any) -> None:
    """With a backlog a request carries what the API takes at most, in order."""
    delivery = make(batch_size=10)
    events = fill(delivery, 250)
    batches = [taken(delivery) for _ in range(3)]

    assert [100, 100, 50] == [len(batch) for batch in batches]
    assert events == [event for batch in batches for event in batch.events]
    assert 250 == delivery.in_flight == len(delivery)


def test_a_batch_keeps_within_its_bytes(make: Any) -> None:
    """max_batch_bytes bounds a request; a single event always goes."""
    delivery = make(max_batch_bytes=2048, max_event_bytes=1024)
    for _ in range(3):
        delivery.add(b"x" * 1000)
    delivery.add(b"x" * 5000)

    assert [2, 1, 1] == [len(taken(delivery)) for _ in range(3)]


@pytest.mark.parametrize("every", [0, 1, 3])
@pytest.mark.parametrize("size", [10, 30_000])
def test_events_that_come_together_are_as_one_by_one(
    make: Any, size: int, every: int
) -> None:
    """Whether there is room for all of them, and wherever else they lie."""
    bounds = {"buffer_bytes": 1024 * 1024, "max_batch_bytes": 300_000}
    one, other = make(**bounds), make(**bounds)
    told: List[Any] = [[], []]
    for first in range(0, 120, 12):
        events = [b"%d" % (first + n) + b"x" * size for n in range(12)]
        for n in range(0, 12, every or 12):
            if every:
                events[n] = SpooledEvent(events[n], first + n + 1)
        told[0] += filter(None, map(one.add, events))
        told[1] += other.add_all(events)
        for _ in range(2 if first == 84 and size > 10 else 0):
            # There is room again, but it is not their turn.
            assert taken(one).events == taken(other).events

    assert [vars(effects) for effects in told[0]] == [vars(e) for e in told[1]]
    assert (120, len(one)) == (one.entered, len(other))
    assert (one.waiting, one.in_flight) == (other.waiting, other.in_flight)
    assert (one.entered, one.spooled) == (other.entered, other.spooled)
    assert one.has_spilled is other.has_spilled
    for delivery in (one, other):
        delivery.look_for_oldest()
    assert one.oldest == other.oldest
    while one._buffer.loose:
        assert taken(one).events == taken(other).events
    assert (one.waiting, one.oldest) == (other.waiting, other.oldest)


def test_a_batch_comes_back_first_and_whole(make: Any, clock: Clock) -> None:
    """After a failure the same batch, under the same key, goes before younger events."""
    delivery = make()
    fill(delivery, 3)
    batch = taken(delivery)
    batch.tries = 1
    fill(delivery, 2)
    delivery.settle(batch, NO_ANSWER)

    assert 1.0 == delivery.next(hurried=True)
    clock.now += 1
    assert batch is taken(delivery)


def test_a_batch_that_fails_too_often_lets_others_try(make: Any, clock: Clock) -> None:
    """A server that stumbles over one batch for ever does not stop the others."""
    delivery = make(retry_attempts=0)
    fill(delivery, 200)
    first, second = taken(delivery), taken(delivery)
    for batch in (first, second):
        batch.tries = 1
        delivery.settle(batch, NO_ANSWER)
        clock.now += 60

    assert first is taken(delivery)
    first.tries = 2
    delivery.settle(first, NO_ANSWER)
    clock.now += 60
    assert second is taken(delivery)


def test_one_request_at_a_time_probes(make: Any, clock: Clock) -> None:
    """While delivery is unhealthy nothing is sent beside a request under way."""
    delivery = make()
    fill(delivery, 300)
    batch = taken(delivery)
    delivery.settle(batch, NO_ANSWER)
    clock.now += 1
    taken(delivery)

    assert NEVER == delivery.next(hurried=True)


def test_a_refused_key_probes_with_one_event(make: Any, clock: Clock) -> None:
    """A 401 takes batches apart; the probe carries one event, and success restores."""
    delivery = make()
    events = fill(delivery, 30)
    effects = delivery.settle(taken(delivery), WRONG_KEY)
    clock.now += 1
    probe = taken(delivery)

    assert isinstance(effects.error, AuthenticationError)
    assert (events[0],) == probe.events
    assert 1 == delivery.settle(probe, Delivered()).delivered
    assert tuple(events[1:]) == taken(delivery).events


def test_too_large_batches_teach_the_size(make: Any) -> None:
    """After a 413 new batches are smaller too, until successes let them grow."""
    delivery = make()
    for _ in range(100):
        delivery.add(b"x" * 100)
    delivery.settle(taken(delivery), TOO_LARGE)
    halves = [taken(delivery), taken(delivery)]
    for _ in range(100):
        delivery.add(b"x" * 100)

    assert [50, 50] == [len(half) for half in halves]
    assert len(taken(delivery)) <= 50
    for half in halves:
        delivery.settle(half, Delivered())
    assert len(taken(delivery)) > 49


def test_a_single_event_that_is_too_large_is_lost(make: Any) -> None:
    """One event can not be halved: it is lost, and the application is told."""
    delivery = make()
    fill(delivery, 1)
    effects = delivery.settle(taken(delivery), TOO_LARGE)

    assert [("too_large", 1)] == effects.lost
    assert 413 == getattr(effects.error, "status", None)


def test_named_events_are_lost_and_the_rest_sent(make: Any) -> None:
    """Indices in the answer cost the named events and one more request."""
    delivery = make()
    events = fill(delivery, 5)
    effects = delivery.settle(taken(delivery), Rejected(BAD, (1, 3)))

    assert [("rejected", 2)] == effects.lost
    assert (events[0], events[2], events[4]) == taken(delivery).events


def outcomes_of(delivery: Delivery, poison: Any) -> List[int]:
    """Answer every batch by whether it holds *poison*; return the batch sizes."""
    sizes = []
    step = delivery.next(hurried=True, more=False)
    while isinstance(step, Batch):
        sizes.append(len(step))
        bad = any(poison(event) for event in step.events)
        delivery.settle(step, Rejected(BAD) if bad else Delivered())
        step = delivery.next(hurried=True, more=False)
    return sizes


@pytest.mark.parametrize("every", [1, 2, 3, 7, 33, 100])
def test_halving_finds_every_refused_event(make: Any, every: int) -> None:
    """However the refused events are spread, no accepted neighbour is lost."""
    delivery = make()
    fill(delivery, 100)
    lost: List[Any] = []
    step = delivery.next(hurried=True)
    while isinstance(step, Batch):
        bad = any(int(event) % every == 0 for event in step.events)
        effects = delivery.settle(step, Rejected(BAD) if bad else Delivered())
        lost += effects.lost
        step = delivery.next(hurried=True)

    assert len(range(0, 100, every)) == sum(count for _, count in lost)


def test_a_server_that_refuses_everything_is_soon_believed(make: Any) -> None:
    """Every event of the first batch is asked about; those after it cost 8 requests."""
    delivery = make()
    fill(delivery, 100)
    assert len(outcomes_of(delivery, lambda event: True)) == 199

    fill(delivery, 100)
    assert len(outcomes_of(delivery, lambda event: True)) <= 8
    assert 0 == len(delivery)


def test_doubt_ends_with_the_first_accepted_batch(make: Any) -> None:
    """After a success a batch is searched with patience again."""
    delivery = make()
    fill(delivery, 100)
    outcomes_of(delivery, lambda event: True)
    fill(delivery, 1)
    outcomes_of(delivery, lambda event: False)
    fill(delivery, 100)

    assert len(outcomes_of(delivery, lambda event: True)) > 8


def test_giving_up_counts_what_waits(make: Any) -> None:
    """Giving up loses what waits; what is under way only when asked."""
    delivery = make()
    fill(delivery, 150)
    taken(delivery)

    assert [("shutdown", 50)] == delivery.give_up("shutdown", in_flight=False).lost
    assert 100 == len(delivery)
    assert [("shutdown", 100)] == delivery.give_up("shutdown", in_flight=True).lost
    assert 0 == len(delivery)


def test_what_arrives_after_giving_up_is_not_lost(make: Any) -> None:
    """A request that succeeds after it was given up moves its events to delivered."""
    delivery = make()
    fill(delivery, 5)
    batch = taken(delivery)
    delivery.give_up("shutdown", in_flight=True)
    effects = delivery.settle(batch, Delivered())

    assert [("shutdown", -5)] == effects.lost
    assert 5 == effects.delivered


def test_what_fails_after_giving_up_stays_lost(make: Any) -> None:
    """A request that fails after it was given up changes nothing."""
    delivery = make()
    fill(delivery, 5)
    batch = taken(delivery)
    delivery.give_up("shutdown", in_flight=True)
    effects = delivery.settle(batch, NO_ANSWER)

    assert [] == effects.lost
    assert 0 == len(delivery)


def test_a_full_buffer_gives_up_the_oldest(make: Any) -> None:
    """buffer_bytes bounds what waits: the oldest goes, a batch that came back first."""
    delivery = make(buffer_bytes=1024 * 1024)
    for _ in range(100):
        delivery.add(b"x" * 5_000)
    batch = taken(delivery)
    lost = sum(
        count
        for effects in (delivery.add(b"y" * 5_000) for _ in range(220))
        for _, count in (effects.lost if effects else ())
    )
    effects = delivery.settle(batch, NO_ANSWER)

    assert 0 < lost < 50
    assert [("buffer_full", 100)] == effects.lost


# -- what waits on disk ----------------------------------------------------------------


@pytest.mark.parametrize("at_once", [1, 25, 150])
def test_what_is_read_while_memory_fills_up_keeps_its_place(
    make: Any, clock: Clock, at_once: int
) -> None:
    """A batch that comes back while the disk is read takes the room, not the turn."""
    delivery = make(buffer_bytes=1024 * 1024, max_batch_bytes=1024 * 1024)
    wanted = list(range(1, 601))
    for number in wanted:
        delivery.add(SpooledEvent(b"x" * 5_000, number))
    arrived: List[int] = []
    turn = 0
    while len(arrived) < len(wanted):
        clock.now += 100
        turn += 1
        batch = delivery.next(hurried=True, more=False)
        ids = delivery.take_spilled(200)
        if isinstance(batch, Batch):
            told = spool_ids(batch.events)
            # Every other request fails, just when a piece is on its way from the disk.
            outcome = NO_ANSWER if turn % 2 else Delivered()
            effects = delivery.settle(batch, outcome)
            arrived += [] if turn % 2 else told
            assert not effects.lost
        if ids:
            found = [(number, b"x" * 5_000) for number in ids[:at_once]]
            assert not delivery.read(ids[at_once:], found).lost
        assert turn < 2_000

    assert wanted == arrived


def test_ids_put_back_find_their_place_among_others() -> None:
    """Whatever came in between, the oldest are taken first, each once."""
    source = random.Random(5)
    for _ in range(200):
        ids = list(range(60))
        spilled = Spilled()
        for number in ids[20:]:
            spilled.append(number)
        held = ids[:20]
        for _ in range(10):
            held = sorted([*held, *spilled.take(source.randrange(12))])
            back = [n for n in held if source.random() < 0.5]
            spilled.put_first(back)
            held = [n for n in held if n not in back]
        spilled.put_first(held)

        assert len(ids) == len(spilled)
        assert ids == spilled.take(100)
