"""What waits to be delivered, guarded by one lock.

Decisions are `Delivery`'s and are made under the lock. What follows from them, to
count, to say, to tell the application, to strike out on disk, is done after it.
"""

from __future__ import annotations

import contextlib
import random as _random
import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, Iterator, List, Set, Union

from . import _diagnostics
from ._answers import Delivered, Outcome
from ._batch import Batch, Event, LossEvent
from ._config import Config
from ._delivery import NEVER, Delivery, Effects
from ._passage import Passed
from ._stats import Ledger
from .exceptions import AgentMonitorError

LOSS_EVENT_INTERVAL = 30.0
"""Seconds between two loss events, unless somebody flushes."""


class Stock:
    """Take encoded events in, and hand them out by the batch.

    *loss_event* encodes the event that tells of losses by reason; *ring* wakes who
    waits for something to do; *strike* takes ids out of the spool.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        loss_event: Callable[[Dict[str, int]], bytes],
        *,
        ring: Callable[[], None],
        strike: Callable[[List[int]], None],
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._on_error = config.on_error
        self._telling: Set[int] = set()
        """The threads that are in it."""
        self._ledger = ledger
        self._loss_event = loss_event
        self.ring = ring
        self._strike = strike
        self._clock = clock
        self._incoming: Deque[Event] = deque()
        self._moving = 0
        """How many may be neither there any more nor in the delivery yet."""
        self._loss_event_after = 0.0
        self.lock = threading.Lock()
        self.delivery = Delivery(config, clock=clock, random=random)
        self.loss_mark = 0
        """The mark of the ledger that is reached when the loss event is settled."""

    def __len__(self) -> int:
        """Return how many events wait or are under way; the lock must be held."""
        return len(self._incoming) + len(self.delivery)

    def __repr__(self) -> str:
        return f"<Stock {self.delivery!r}>"

    @property
    def late(self) -> bool:
        """Tell whether something came in that nobody has looked at."""
        return bool(self._incoming)

    def checkpoint(self) -> Passed:
        """Return a test whether all that is here now has met its end."""
        delivery = self.delivery

        # In this order, and without the lock, which may be held below us: what is
        # just being taken in is counted twice at worst.
        def here() -> int:
            return len(self._incoming) + self._moving

        number = here() + delivery.entered

        def passed() -> bool:
            if delivery.oldest >= number:
                return True
            waiting = here()
            entered = delivery.entered
            return not waiting and delivery.oldest >= entered

        return passed

    def put(self, *events: Event) -> None:
        """Add *events*, which the ledger has accepted, without waiting for anything.

        What finds the lock taken is taken in by whoever holds it.
        """
        self._incoming.extend(events)
        while self._incoming and self.lock.acquire(blocking=False):
            try:
                effects = self._take_in()
                ring = self.delivery.waiting >= self.delivery.wake_at
                if ring:
                    self.delivery.wake_at = NEVER
            finally:
                self.lock.release()
            if ring:
                self.ring()
            self._perform(effects)

    @contextlib.contextmanager
    def opened(self) -> Iterator[List[Effects]]:
        """Hold the lock with all taken in; yield the list of effects to carry out."""
        with self.lock:
            effects = self._take_in()
            yield effects
            self.delivery.look_for_oldest()
        self._perform(effects)

    def settle(self, batch: Batch, outcome: Outcome, *, hurried: bool) -> None:
        """Note what became of *batch*, and let the server know of losses if it can."""
        with self.opened() as effects:
            effects.append(self.delivery.settle(batch, outcome))
            if isinstance(outcome, Delivered):
                self._tell_losses(hurried=hurried)
        self.ring()

    def _take_in(self) -> List[Effects]:
        effects: List[Effects] = []
        while self._incoming:
            count = self._moving = len(self._incoming)
            events = [self._incoming.popleft() for _ in range(count)]
            effects += self.delivery.add_all(events)
        self._moving = 0
        if effects:
            self.delivery.look_for_oldest()
        return effects

    def _tell_losses(self, *, hurried: bool) -> None:
        if self._clock() < self._loss_event_after and not hurried:
            return
        untold = self._ledger.take_untold_losses()
        if untold:
            self._loss_event_after = self._clock() + LOSS_EVENT_INTERVAL
            self._ledger.accept()
            self._incoming.append(LossEvent(self._loss_event(untold)))
            self.loss_mark = self._ledger.mark()

    # -- what follows ----------------------------------------------------------------

    def _perform(self, many: List[Effects]) -> None:
        for effects in many:
            if effects.done:
                self._strike(effects.done)
            self._count(effects)
            if effects.problem is not None:
                _diagnostics.report(*effects.problem)
            if effects.error is not None:
                self._tell_application(effects.error)

    def _count(self, effects: Effects) -> None:
        for reason, count in effects.untold:
            self._ledger.tell(reason, count)
        for reason, count in effects.lost:
            self._ledger.lose(reason, count)
        if any(reason == "buffer_full" for reason, _ in effects.lost):
            _diagnostics.report("buffer_full", "the buffer is full, oldest events lost")
        if effects.foreign:
            self._ledger.refuse("spool_full", effects.foreign)
        if effects.delivered:
            self._ledger.deliver(effects.delivered)

    @property
    def is_telling(self) -> bool:
        """Tell whether this thread is in `on_error`, and so does not deliver."""
        return threading.get_ident() in self._telling

    def _tell_application(self, error: AgentMonitorError) -> None:
        if self._on_error is None:
            return
        thread = threading.get_ident()
        self._telling.add(thread)
        try:
            with _diagnostics.own_work():
                self._on_error(error)
        except BaseException as raised:  # the application's own code
            text = f"on_error raised {_diagnostics.describe(raised)}"
            _diagnostics.report("on_error", text)
            if isinstance(raised, KeyboardInterrupt):
                raise  # on a thread of the application, which closes us
        finally:
            self._telling.discard(thread)


Step = Union[Batch, float]
"""What to send now, or the seconds until it is worth asking."""
