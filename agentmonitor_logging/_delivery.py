"""What to send next, and what an outcome changes: decisions without threads or I/O.

`Delivery` is the state behind the sender. Its methods only change that state and
return what is to be done; the sender guards it with a lock and does it.
"""

from __future__ import annotations

import random as _random
import time
from dataclasses import dataclass, field
from typing import (
    AbstractSet,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Tuple,
    Type,
    Union,
)

from ._answers import Delivered, Outcome, Refused, Rejected, TooLarge, Unreachable
from ._batch import (
    Batch,
    Event,
    Isolation,
    LossEvent,
    SpooledEvent,
    are_in_memory_only,
    body_of,
    forget_spool,
    spool_id_of,
    spool_ids,
)
from ._buffer import Buffer
from ._config import MAX_EVENTS_PER_REQUEST, Config
from ._pacing import Pacing
from ._spilled import Spilled
from .exceptions import AgentMonitorError

NEVER = float("inf")
GATHER_SECONDS = 0.05
"""How long a batch that is due waits for more at the most, while more come in."""
GATHER_LOOK = 0.005
"""Seconds after which it goes if nothing has come in meanwhile. A request costs as much
as converting ten events, and where ten came together, more are often under way."""
FLOW_LOOK = 0.06
"""The same after a full batch: the rest goes with what the listener, which lets records
gather for 50 ms, hands over next, and so two requests in three are saved."""
STANDSTILL = 1.0
"""Seconds without a new request after which no room is made by the server any more."""
FEW = 4 * MAX_EVENTS_PER_REQUEST
"""How many events in memory are so few that more are read from the disk."""


@dataclass
class Effects:
    """What is to be done, once the lock is released, about a change of state.

    *lost* and *untold* count events by reason; the latter are loss events, of whose
    own loss no further event shall tell. *foreign* counts events that were lost to the
    spool's bound and were never ours. *done* are the ids that may leave the spool.
    """

    delivered: int = 0
    lost: List[Tuple[str, int]] = field(default_factory=list)
    untold: List[Tuple[str, int]] = field(default_factory=list)
    foreign: int = 0
    done: List[int] = field(default_factory=list)
    problem: Optional[Tuple[str, str]] = None
    error: Optional[AgentMonitorError] = None

    def deliver(self, events: Sequence[Event]) -> None:
        """Note that *events* have arrived."""
        self.delivered = len(events)
        self.done.extend(spool_ids(events))

    def lose(self, reason: str, events: Iterable[Event]) -> None:
        """Note that *events* are lost for *reason*."""
        gone = list(events)
        if gone:
            self.lost.append((reason, len(gone)))
            losses = sum(isinstance(body_of(event), LossEvent) for event in gone)
            self.untold.append((reason, losses))
            self.done.extend(spool_ids(gone))


class Delivery:
    """Know what waits, what is under way, and when the next request may start."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._config = config
        self._clock = clock
        self._buffer = Buffer(config.buffer_bytes)
        self._spilled = Spilled()
        self._reading = 0
        self._spilled_first = 0
        self.entered = 0
        """How many events were ever added: the number of the next one."""
        self.oldest = 0
        """The number than which no event is older whose fate is open."""
        self.spooled = 0
        """How many of our events lie in the spool, under way or not."""
        self._flying: Dict[Batch, Optional[str]] = {}
        self._since = 0.0
        self._gathers_until = NEVER
        self._gathered = 0
        self._look_at = 0.0
        self._patience = GATHER_LOOK
        self._max_bytes = config.max_batch_bytes
        self._probe_single = False
        self._in_doubt = False
        self._refusing = False
        self.pacing = Pacing(config.retry_attempts, clock=clock, random=random)
        self.trouble = ""
        """Why the last request did not get through; nothing if it did."""
        self.wake_at: float = NEVER
        """The number of waiting events at which it is worth calling `next` again."""

    def __len__(self) -> int:
        """Return how many events wait or are under way."""
        given_up = sum(
            len(_unspooled(batch.events))
            for batch, reason in self._flying.items()
            if reason
        )
        return self.waiting + self.in_flight - given_up

    def __repr__(self) -> str:
        return f"<Delivery {self._buffer!r}, {self.in_flight} flying, {self.pacing!r}>"

    @property
    def in_flight(self) -> int:
        """Return how many events are in requests under way."""
        return sum(map(len, self._flying))

    @property
    def waiting(self) -> int:
        """Return how many events wait for their request."""
        return len(self._buffer) + len(self._spilled) + self._reading

    @property
    def backlog(self) -> bool:
        """Tell whether another request could be filled, and is welcome."""
        return self.steady and self._buffer.loose >= MAX_EVENTS_PER_REQUEST

    @property
    def steady(self) -> bool:
        """Tell whether the server is there and takes events, as far as is known."""
        return self.pacing.healthy and not self._refusing

    @property
    def put_off(self) -> int:
        """Return how many events had better come later: none unless room is scarce.

        Nor where none is being made. As many as take half as much memory as all here.
        """
        is_wanted = self._buffer.is_half_full and self.steady
        moves = bool(self._flying) or self._is_full_batch
        if is_wanted and moves and self._clock() < self._since + STANDSTILL:
            return self._buffer.half
        return 0

    @property
    def wants_more(self) -> bool:
        """Tell whether events are to be read from the disk."""
        few = self._buffer.loose < FEW and not self._buffer.is_half_full
        return few and not self._reading

    @property
    def has_spilled(self) -> bool:
        """Tell whether events wait on disk only."""
        return len(self._spilled) > 0

    def add(self, event: Event) -> Optional[Effects]:
        """Let *event* wait for its request; return what follows, mostly nothing."""
        if not self._buffer.loose:
            self._since = self._clock()
        number = self.entered
        self.entered += 1
        id_ = spool_id_of(event)
        if id_ is not None:
            self.spooled += 1
            if self._spilled or not self._buffer.has_room_for(event):
                self._expect_spilled()
                self._spilled.append(id_)
                return None
        gone = self._buffer.add(event, number)
        if not gone:
            return None
        effects = Effects()
        self._make_do(effects, gone)
        return effects

    def add_all(self, events: Sequence[Event]) -> List[Effects]:
        """Do the same with *events*, all at once where nothing follows."""
        # What lies in the spool may not overtake what lies there only.
        in_turn = not self._spilled or are_in_memory_only(events)
        if in_turn and self._buffer.has_room_for(*events):
            if not self._buffer.loose:
                self._since = self._clock()
            number = self.entered
            self.entered += len(events)
            self.spooled += len(spool_ids(events))
            self._buffer.add_fitting(events, number)
            return []
        return [effects for effects in map(self.add, events) if effects is not None]

    def next(self, *, hurried: bool, more: bool = True) -> Union[Batch, float]:
        """Return the batch to send now, or the seconds until it is worth asking.

        *hurried* means that somebody waits: everything is due at once. It goes without
        a look whether others are coming in where there cannot be *more*.
        """
        if not len(self._buffer):
            self.wake_at = 1
            return NEVER
        if self.pacing.wait():
            return self.pacing.wait()
        if self._flying and not self.steady:
            return NEVER
        due = 0.0 if hurried else self._due_in()
        if due > 0:
            self.wake_at = self._config.batch_size
            return due
        gathering = self._gathering() if more else 0.0
        if gathering > 0:
            self.wake_at = MAX_EVENTS_PER_REQUEST
            return gathering
        return self._take()

    def settle(self, batch: Batch, outcome: Outcome) -> Effects:
        """Note what became of *batch*."""
        effects = Effects()
        if batch not in self._flying:
            return effects  # this is a child that was forked while it was under way
        given_up = self._flying.pop(batch)
        if given_up is None:
            _SETTLE[type(outcome)](self, batch, outcome, effects)
        elif isinstance(outcome, Delivered):
            # Part of it was counted as lost too early; it did arrive.
            effects.lost.append((given_up, -len(_unspooled(batch.events))))
            effects.deliver(batch.events)
        else:
            self._put_spilled_first(spool_ids(batch.events))
        self.spooled -= len(effects.done)
        return effects

    def look_for_oldest(self) -> None:
        """Find out anew how old the oldest event is whose fate is open."""
        firsts = self._buffer.firsts
        firsts += [
            batch.numbers.first
            for batch, reason in self._flying.items()
            if reason is None or spool_ids(batch.events)
        ]
        if self._spilled or self._reading:
            firsts.append(self._spilled_first)
        self.oldest = min(firsts, default=self.entered)

    def give_up(self, reason: str, *, in_flight: bool) -> Effects:
        """Lose what waits, and with *in_flight* what is under way too.

        What lies in the spool is not lost.
        """
        effects = Effects()
        effects.lose(reason, self._buffer.take_unspooled(frozenset()))
        if in_flight:
            for batch, given_up in self._flying.items():
                if given_up is None:
                    self._flying[batch] = reason
                    effects.lose(reason, _unspooled(batch.events))
        return effects

    # -- the spool -------------------------------------------------------------------

    @property
    def spool_ids(self) -> List[int]:
        """Return what the spool calls the events in memory that wait."""
        return self._buffer.spool_ids

    def take_unspooled(self, vanished: AbstractSet[int]) -> List[bytes]:
        """Take what waits in memory only; *vanished* are no longer in the spool."""
        taken = self._buffer.take_unspooled(vanished)
        self.spooled -= len(spool_ids(taken))
        return list(map(body_of, taken))

    def take_spilled(self, most: int) -> List[int]:
        """Take the ids of events to be read, and called `read` about."""
        if not self.wants_more:
            return []
        ids = self._spilled.take(most)
        self._reading = len(ids)
        return ids

    def read(self, ids: Sequence[int], found: Iterable[Tuple[int, bytes]]) -> Effects:
        """Let the events *found* on disk wait here; *ids* are those still to be read.

        Whatever else `take_spilled` gave cannot be read any more.
        """
        effects = Effects()
        vanished = self._reading - len(ids)
        back: List[int] = []
        for id_, event in found:
            vanished -= 1
            # A batch that came back meanwhile may have taken the room, or the turn.
            fits = self._buffer.has_room_for(event) and id_ < self._spilled.oldest
            if fits and not back:
                self._hold(effects, SpooledEvent(event, id_))
            else:
                back.append(id_)
        self._put_spilled_first([*back, *ids])
        self._reading = 0
        if vanished:
            self.spooled -= vanished
            effects.lost.append(("spool_error", vanished))
            effects.problem = ("spool_error", f"{vanished} events vanished from disk")
        return effects

    def drop(self, ids: AbstractSet[int]) -> Effects:
        """Lose the events *ids*, which had to go from the spool to make room.

        Batches keep theirs, as a server may know them; they are in memory only now.
        """
        effects = Effects()
        held = list(self._buffer.batched) + list(self._flying)
        batched = [event for batch in held for event in batch.events]
        kept = [event for event in batched if spool_id_of(event) in ids]
        for event in kept:
            forget_spool(event)
        lost = self._buffer.discard(ids) + self._spilled.discard(ids)
        self.spooled -= lost + len(kept)
        effects.foreign = len(ids) - lost - len(kept)
        if lost:
            effects.lost.append(("spool_full", lost))
        effects.problem = ("spool_full", "the spool is full, oldest events lost")
        return effects

    def let_go(self) -> int:
        """Leave what lies in the spool to others; return how much that is."""
        self._buffer.unpack()
        ids = set(self._buffer.spool_ids)
        left = self._buffer.discard(ids) + self._spilled.clear()
        self.spooled -= left
        return left

    def _hold(self, effects: Effects, event: Event) -> None:
        self._make_do(effects, self._buffer.add_again(event, self._spilled_first))

    def _make_do(self, effects: Effects, gone: Sequence[Event]) -> None:
        """Note that memory has no room for *gone*: lost, unless the spool has them."""
        if gone:
            self._put_spilled_first(sorted(spool_ids(gone)))
            effects.lose("buffer_full", _unspooled(gone))

    def _put_spilled_first(self, ids: Sequence[int]) -> None:
        if ids:
            self._expect_spilled()
            self._spilled.put_first(ids)

    def _expect_spilled(self) -> None:
        """Have the first that waits on disk only be as old as any may be."""
        if not self._spilled and not self._reading:
            self._spilled_first = self.oldest

    @property
    def _is_full_batch(self) -> bool:
        buffer = self._buffer
        return buffer.has_batch or buffer.loose >= self._config.batch_size

    def _due_in(self) -> float:
        if self._is_full_batch:
            return 0.0
        return self._since + self._config.flush_interval - self._clock()

    def _gathering(self) -> float:
        """Return the seconds until it is worth asking whether all have come in."""
        buffer, now = self._buffer, self._clock()
        if buffer.loose >= MAX_EVENTS_PER_REQUEST or buffer.has_batch:
            return 0.0
        if self._gathers_until == NEVER:
            self._gathers_until = now + max(GATHER_SECONDS, self._patience)
        if now >= self._look_at:
            if buffer.loose == self._gathered:
                return 0.0
            self._gathered, self._look_at = buffer.loose, now + self._patience
        return min(self._look_at, self._gathers_until) - now

    def _take(self) -> Union[Batch, float]:
        self._gathers_until, self._gathered, self._look_at = NEVER, 0, 0.0
        most = 1 if self._probe_single else MAX_EVENTS_PER_REQUEST
        batch = self._buffer.take(most, self._max_bytes)
        self._since = self._clock()
        if batch is None:
            return NEVER
        is_part = len(batch) == most > 1 and self._buffer.loose > 0
        self._patience = FLOW_LOOK if is_part else GATHER_LOOK
        self._flying[batch] = None
        return batch

    # -- one method for each kind of outcome ---------------------------------------

    def _delivered(self, batch: Batch, outcome: Delivered, effects: Effects) -> None:
        self._reached()
        effects.deliver(batch.events)
        self._in_doubt = self._refusing = False
        self._max_bytes = min(self._config.max_batch_bytes, self._max_bytes * 2)
        if batch.isolation is not None:
            batch.isolation.accepted = True

    def _unreachable(
        self, batch: Batch, outcome: Unreachable, effects: Effects
    ) -> None:
        pauses = self.pacing.failed(outcome.retry_after)
        self.trouble = str(outcome.error)
        if batch.tries > self._config.retry_attempts:
            # Perhaps it is this batch that the server stumbles over: let others try.
            gone = self._buffer.put_last(batch)
        else:
            gone = self._buffer.put_first([batch])
        self._make_do(effects, gone)
        if pauses:
            self._pauses(effects, outcome.error)

    def _refused(self, batch: Batch, outcome: Refused, effects: Effects) -> None:
        pauses = self.pacing.refused()
        self.trouble = str(outcome.error)
        self._probe_single = True
        self._make_do(effects, self._buffer.put_first([batch]))
        self._buffer.unpack()
        if pauses:
            self._pauses(effects, outcome.error)

    def _too_large(self, batch: Batch, outcome: TooLarge, effects: Effects) -> None:
        self._reached()
        if len(batch) == 1:
            self._lose(effects, "too_large", batch.events, outcome.error)
            return
        self._max_bytes = max(1, batch.size // 2)
        self._make_do(effects, self._buffer.put_first(batch.halves()))

    def _rejected(self, batch: Batch, outcome: Rejected, effects: Effects) -> None:
        self._reached()
        isolation = batch.isolation = batch.isolation or Isolation(len(batch))
        isolation.refused()
        named = [index for index in outcome.indices if 0 <= index < len(batch)]
        lost, rest = batch.divide(named) if named else ([], batch.halves())
        if isolation.hopeless(in_doubt=self._in_doubt):
            lost, rest = list(batch.events), []
            lost += self._buffer.take_out(isolation)
            self._in_doubt = self._in_doubt or isolation.casts_doubt
        elif len(batch) == 1:
            lost, rest = list(batch.events), []
        self._make_do(effects, self._buffer.put_beside(isolation, rest))
        self._refusing = not isolation.accepted
        if lost:
            self._lose(effects, "rejected", lost, outcome.error)

    def _reached(self) -> None:
        self.pacing.succeeded()
        self.trouble = ""
        self._probe_single = False

    def _lose(
        self,
        effects: Effects,
        reason: str,
        events: Iterable[Event],
        error: AgentMonitorError,
    ) -> None:
        effects.lose(reason, events)
        effects.error = error
        effects.problem = (reason, f"lost as {reason}: {effects.lost[-1][1]}; {error}")

    def _pauses(self, effects: Effects, error: AgentMonitorError) -> None:
        effects.error = error
        effects.problem = (
            f"{type(error).__name__}:{self._config.api_url}",
            f"{error}; delivery pauses, {len(self)} events wait",
        )


def _unspooled(events: Iterable[Event]) -> List[Event]:
    return [event for event in events if spool_id_of(event) is None]


_SETTLE: Dict[Type[object], Callable[..., None]] = {
    Delivered: Delivery._delivered,
    Unreachable: Delivery._unreachable,
    Refused: Delivery._refused,
    TooLarge: Delivery._too_large,
    Rejected: Delivery._rejected,
}
