"""How far an export is, drawn on a terminal.

Nobody knows how many events there are, least of all with filters. But their numbers
fall from page to page, down to one.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Optional

from .export import Progress
from .source import Page


@contextlib.contextmanager
def drawn_progress() -> Iterator[Progress]:
    """Yield what is told of each page, and draws a bar on standard error."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("Exporting"),
        progress.BarColumn(),
        progress.TextColumn("{task.fields[events]:,} events"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True)) as bar:
        yield _Falling(bar)


class _Falling:
    """Draw how far the numbers have fallen."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=None, events=0)
        self._newest: Optional[int] = None
        self._events = 0

    def __call__(self, page: Page) -> None:
        numbers = [n for n in (e.get("id") for e in page.events) if isinstance(n, int)]
        if self._newest is None and numbers:
            self._newest = max(numbers)
        self._events += len(page.events)
        total = self._newest or 1
        left = min(numbers) - 1 if numbers and page.next is not None else 0
        self._bar.update(
            self._task, total=total, completed=total - left, events=self._events
        )
