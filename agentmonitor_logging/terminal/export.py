"""All events of a collector, page by page: one page is in memory at a time."""

from __future__ import annotations

import time
from typing import BinaryIO, Callable, Mapping, Optional

from .formats import Format
from .source import AwayError, Page, Source, SourceError

PAGE = 500
"""Events asked for at once; where they are large, the collector gives fewer."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try at a page that did not come."""

Progress = Callable[[Page], object]
"""Told of each page that is written."""


class Export:
    """Write the events of *source* that *filters* let pass, the newest first."""

    def __init__(
        self,
        source: Source,
        filters: Mapping[str, str],
        *,
        progress: Progress = lambda _: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._source = source
        self._filters = filters
        self._progress = progress
        self._sleep = sleep
        self.written = 0
        """How many events are written."""

    def run(self, file: BinaryIO, form: Format) -> int:
        """Write to *file*; return how many there were. Raises `SourceError`."""
        file.write(form.head)
        cursor: Optional[str] = None
        while True:
            page = self._page(cursor)
            file.write(form.written(page.events))
            self.written += len(page.events)
            self._progress(page)
            if page.next is None:
                file.flush()
                return self.written
            if page.next == cursor:
                raise SourceError(f"the pages of {self._source.url} do not end")
            cursor = page.next

    def _page(self, cursor: Optional[str]) -> Page:
        # Where not even the first page comes, the address is more likely wrong.
        pauses = PAUSES if cursor is not None else ()
        for pause in pauses:
            page = self._page_if_there(cursor)
            if page is not None:
                return page
            self._sleep(pause)
        try:
            return self._source.page(self._filters, limit=PAGE, cursor=cursor)
        except AwayError as error:
            tries = f" ({len(pauses) + 1} tries, after {self.written:,} events)"
            raise SourceError(
                f"{error}{tries if pauses else ''}; run it again when it answers"
            ) from error

    def _page_if_there(self, cursor: Optional[str]) -> Optional[Page]:
        try:
            return self._source.page(self._filters, limit=PAGE, cursor=cursor)
        except AwayError:
            return None
