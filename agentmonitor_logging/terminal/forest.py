"""Spans gathered by trace, each trace handed out when it is complete.

A root ends last, so its event is the last to come. What never gets a root, as its
process was killed or its caller is elsewhere, is handed out when it is quiet.
"""

from __future__ import annotations

import time
from collections import defaultdict
from datetime import datetime
from typing import Callable, DefaultDict, Dict, Iterable, Iterator, List, Tuple

from .branches import Way
from .span import Span

MAX_TRACES = 100
"""So many traces are waited for at once; of more, the quietest is handed out."""
MAX_SPANS = 1000
"""So many spans of a trace are kept; further ones begin a tree of their own."""
QUIET = 60.0
"""Seconds without a span after which a trace is not waited for any longer."""

Tree = List[Span]


class Forest:
    """Gather spans; *patience* is in seconds."""

    def __init__(
        self, patience: float = QUIET, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._patience = patience
        self._clock = clock
        self._trees: Dict[str, Tree] = {}
        self._touched: Dict[str, float] = {}

    @property
    def growing(self) -> List[Tree]:
        """Return the trees that are waited for, the one that grew last at the end."""
        return [self._trees[trace] for trace in self._touched]

    def add(self, spans: Iterable[Span]) -> Iterator[Tree]:
        """Take *spans*, and yield the trees that need not be waited for any longer."""
        complete: Dict[str, None] = {}
        for span in spans:
            if not span.trace_id:
                yield [span]
                continue
            if not span.parent_id:
                complete[span.trace_id] = None
            yield from self._grown(span)
        for trace in complete:
            if trace in self._trees:
                yield self._cut(trace)
        yield from self.quiet()

    def quiet(self) -> Iterator[Tree]:
        """Yield the trees that have not grown for a while."""
        since = self._clock() - self._patience
        while self._touched and next(iter(self._touched.values())) <= since:
            yield self._cut(next(iter(self._touched)))

    def rest(self) -> Iterator[Tree]:
        """Yield the others."""
        while self._touched:
            yield self._cut(next(iter(self._touched)))

    def _grown(self, span: Span) -> Iterator[Tree]:
        tree = self._trees.setdefault(span.trace_id, [])
        tree.append(span)
        self._touched.pop(span.trace_id, None)
        self._touched[span.trace_id] = self._clock()
        if len(tree) >= MAX_SPANS:
            yield self._cut(span.trace_id)
        elif len(self._trees) > MAX_TRACES:
            yield self._cut(next(iter(self._touched)))

    def _cut(self, trace: str) -> Tree:
        del self._touched[trace]
        return self._trees.pop(trace)


def walk(tree: Tree) -> Iterator[Tuple[Span, Way]]:
    """Yield all spans of *tree*, each below its caller, in the order of their starts.

    With each comes the way to it. A caller that is not there, or that is called by
    those it calls, is done without.
    """
    children = _by_caller(tree)
    while children:
        top = "" if "" in children else next(iter(children))
        ahead: List[Tuple[Span, Way]] = [(span, ()) for span in children.pop(top)]
        ahead.reverse()
        while ahead:
            span, way = ahead.pop()
            yield span, way
            below = children.pop(span.span_id, []) if span.span_id else []
            ahead += [(each, (*way, each is below[-1])) for each in reversed(below)]


def _by_caller(tree: Tree) -> Dict[str, List[Span]]:
    children: DefaultDict[str, List[Span]] = defaultdict(list)
    known = {span.span_id for span in tree}
    for span in sorted(tree, key=_begun):
        children[span.parent_id if span.parent_id in known else ""].append(span)
    return dict(children)


def _begun(span: Span) -> Tuple[float, int]:
    # Where a clock is coarse, what ended first has the lower id.
    moment = span.moment
    return (0.0 if moment is None else _seconds(moment)), span.id


def _seconds(moment: datetime) -> float:
    try:
        return moment.timestamp()
    except (OverflowError, ValueError, OSError):
        return 0.0
