"""What becomes of spans on the way to the terminal: lines, trees, or trees that grow.

Each screen is a context; what it still holds is shown when that ends.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Callable, Iterable, Iterator, List, Optional, Sequence

from . import lines
from .branches import branches_shown, drawn
from .forest import Forest, Tree, walk
from .output import check_read, say
from .span import Span

_TREE_NAME = 44
_MAX_DEPTH = 8
"""Levels that are drawn; deeper ones would have no room for a name."""

Today = Callable[[], date]


class Lines:
    """Show each span as a line."""

    def __init__(self, today: Today = date.today) -> None:
        self._today = today

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.end()

    def show(self, spans: Sequence[Span]) -> None:
        """Show *spans*, which have just arrived."""
        self._say(lines.line(span, self._today()) for span in spans)

    def pause(self) -> None:
        """Take note that time has passed without a span."""
        check_read()

    def end(self) -> None:
        """Show what is left."""

    def notice(self, text: str) -> None:
        """Say *text*, which is no event."""
        say(text, err=True)

    def _say(self, shown: Iterable[str]) -> None:
        for line in shown:
            say(line)


class Trees(Lines):
    """Show each trace as lines, indented as its calls are, when it is complete."""

    def __init__(self, forest: Forest, today: Today = date.today) -> None:
        super().__init__(today)
        self._forest = forest
        self._branches = branches_shown()

    def show(self, spans: Sequence[Span]) -> None:
        """Show the traces that *spans* complete."""
        self._say_trees(self._forest.add(spans))

    def pause(self) -> None:
        """Show the traces that have not grown for long."""
        super().pause()
        self._say_trees(self._forest.quiet())

    def end(self) -> None:
        """Show the traces that are not complete."""
        self._say_trees(self._forest.rest())

    def _say_trees(self, trees: Iterable[Tree]) -> None:
        for tree in trees:
            self._say(self._lines_of(tree))

    def _lines_of(self, tree: Tree) -> Iterator[str]:
        today = self._today()
        for span, way in walk(tree):
            before, _ = drawn(way[-_MAX_DEPTH:], self._branches)
            yield lines.line(span, today, before, _TREE_NAME)


class GrowingTrees(Trees):
    """Show complete traces for good, and below them those that still grow.

    *console* is one of rich, or else that of standard output.
    """

    def __init__(
        self, forest: Forest, today: Today = date.today, console: Any = None
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(forest, today)
        self._console: Any = console or Console(highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> GrowingTrees:
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._draw([])
        self._live.stop()
        self.end()

    def show(self, spans: Sequence[Span]) -> None:
        """Show *spans*, some for good."""
        super().show(spans)
        self._look_anew()

    def pause(self) -> None:
        """Show the traces that have not grown for long for good."""
        super().pause()
        self._look_anew()

    def notice(self, text: str) -> None:
        """Say *text* above what grows."""
        self._console.print(_text(text), soft_wrap=True)

    def _say(self, shown: Iterable[str]) -> None:
        for line in shown:
            self._console.print(_text(line), soft_wrap=True)

    def _look_anew(self) -> None:
        # The newest are of interest, and no more of them than there is room for.
        room = max(1, self._console.height - 1)
        newest: List[str] = []
        for tree in reversed(self._forest.growing):
            newest = [*self._lines_of(tree), *newest]
            if len(newest) >= room:
                break
        self._draw(newest[-room:])

    def _draw(self, shown: List[str]) -> None:
        from rich.console import Group

        self._live.update(Group(*map(_text, shown)), refresh=True)


def _text(shown: str) -> Any:
    from rich.text import Text

    return Text.from_ansi(shown, no_wrap=True, overflow="ellipsis")


def screen_for(
    *, tree: bool, patience: Optional[float], growing: bool, today: Today = date.today
) -> Lines:
    """Return the screen that the options ask for.

    *growing* says that there is a terminal to draw on, and that more will come.
    """
    if not tree:
        return Lines(today)
    forest = Forest() if patience is None else Forest(patience)
    return GrowingTrees(forest, today) if growing else Trees(forest, today)
