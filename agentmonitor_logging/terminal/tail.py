"""The last events, and then each new one, for as long as somebody looks.

Only what is on the screen is kept: the collector has the events, and what comes while
it is away, or while we are, is asked for by number.
"""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, Iterator, List, NoReturn, Optional

from .harmless import harmless
from .screen import Lines
from .source import AwayError, Page, Source, SourceError, parsed
from .span import Span, span_from, span_from_event
from .stream import Message

LONGEST_PAUSE = 15.0
"""Seconds between two tries, at most, while the collector is away."""
_PAGE = 200
_LOOK_BACK = 5000
"""So many events are looked through for the last ones of a session, by which nobody
can be asked: a session that is older is better looked at in the page."""


class Tail:
    """Show what is in *source*, as far as *filters* and *session* let pass."""

    def __init__(
        self,
        source: Source,
        screen: Lines,
        filters: Dict[str, str],
        session: Optional[str] = None,
        *,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._screen = screen
        self._filters = filters
        self._session = session
        self._sleep = sleep
        self._chance = chance
        self._after: Optional[int] = None
        self._database: Optional[str] = None
        self._was_there = False
        """Whether a stream has ever been open."""
        self._is_away = False
        self._tries = 0

    def show_last(self, count: int) -> None:
        """Show the last *count* events, the oldest first."""
        # First of all: what comes from now on has a higher number.
        newest = self._newest()
        spans = self._last(count) if count else []
        self._screen.show(spans)
        self._after = max([newest, *(span.id for span in spans)])

    def follow(self, count: int) -> NoReturn:
        """Show the last *count* events, and what comes, until interrupted.

        Raises `SourceError` where it makes no sense to wait for a collector.
        """
        while True:
            self._sleep(self._went_on(count))

    def _went_on(self, count: int) -> float:
        """Follow for as long as it goes; return after how many seconds to go on."""
        try:
            self._go_on(count)
        except AwayError as error:
            self._note_away(error)
            return self._pause()
        # It ended the stream in good order, and is perhaps about to restart.
        return 1.0

    def _go_on(self, count: int) -> None:
        if self._after is None:
            self.show_last(count)
        for message in self._stream():
            self._note_back()
            if message is None:
                self._screen.pause()
            elif message.event == "events":
                self._take(message)
            elif message.event == "database" and self._is_another(message):
                self._screen.notice(
                    "The collector was emptied, or has another database."
                )
                self._after = 0
                return

    def _stream(self) -> Iterator[Optional[Message]]:
        filters = dict(self._filters)
        if self._session is not None:
            filters["session_id"] = self._session
        return self._source.stream(
            filters, after=self._after or 0, again=self._was_there
        )

    def _take(self, message: Message) -> None:
        spans = _told(message).get("events")
        if not message.id.isdigit() or not isinstance(spans, list):
            raise SourceError(f"what {self._source.url} tells makes no sense")
        self._screen.show([span_from(span) for span in spans if isinstance(span, dict)])
        self._after = int(message.id)

    # -- the last ones -----------------------------------------------------------------

    def _newest(self) -> int:
        """Return the number of the newest event of all."""
        return max(map(_number_of, self._source.page({}, limit=1).events), default=0)

    def _last(self, count: int) -> List[Span]:
        last: Deque[Span] = deque()
        for page in self._pages(count):
            for event in page.events:
                span = span_from_event(event)
                if self._session in (None, span.session_id):
                    last.appendleft(span)
                if len(last) == count:
                    return list(last)
        return list(last)

    def _pages(self, count: int) -> Iterator[Page]:
        limit = _PAGE if self._session is not None else min(count, _PAGE)
        cursor, seen = None, 0
        while seen < max(count, _LOOK_BACK):
            page = self._source.page(self._filters, limit=limit, cursor=cursor)
            yield page
            seen += len(page.events)
            cursor = page.next
            if cursor is None:
                return

    # -- the collector is away ---------------------------------------------------------

    def _is_another(self, message: Message) -> bool:
        """Tell whether the numbers have begun anew since the last event."""
        told = _told(message)
        known, self._database = self._database, told.get("database")
        newest = told.get("revision")
        is_less = isinstance(newest, int) and newest < (self._after or 0)
        return is_less or known not in (None, self._database)

    def _note_away(self, error: AwayError) -> None:
        if not self._is_away:
            self._is_away = True
            text = harmless(str(error), 500)
            self._screen.notice(f"The collector is away: {text}. Trying again ...")

    def _note_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._screen.notice("The collector is back.")
        self._was_there = True
        self._tries = 0

    def _pause(self) -> float:
        """Return the seconds until the next try: ever more, and not all at once."""
        longest = min(LONGEST_PAUSE, 2.0**self._tries)
        self._tries = min(self._tries + 1, 10)
        return longest * (0.5 + self._chance() / 2)


def _told(message: Message) -> Dict[str, Any]:
    told = parsed(message.data)
    return told if isinstance(told, dict) else {}


def _number_of(event: Dict[str, Any]) -> int:
    number = event.get("id")
    return number if isinstance(number, int) else 0
