"""What was measured: figures by cell and client, over all rounds."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Optional, Tuple

from plan import Cell, Measurement

WORST = ("lost", "duplicates", "largest")
"""Figures of which the largest counts, not the median: one loss is a loss."""


class Results:
    """Collect figures; give medians, and the reasons of what is missing."""

    def __init__(self) -> None:
        self._figures: Dict[Tuple[Cell, str], List[Dict[str, Any]]] = {}
        self._failures: Dict[Tuple[Cell, str], str] = {}
        self.left_out: Dict[str, str] = {}
        """Clients that have no part at all, and why."""

    def add(self, one: Measurement, figures: Dict[str, Any]) -> None:
        """Enter the figures of one measurement, or its error."""
        place = (one.cell, one.client)
        if "error" in figures:
            self._failures[place] = str(figures["error"])
        else:
            self._figures.setdefault(place, []).append(figures)

    def cells(self) -> List[Cell]:
        """Return the cells in which anything was tried, in order."""
        return sorted({cell for cell, _ in [*self._figures, *self._failures]})

    def failures(self, cell: Cell) -> Dict[str, str]:
        """Return the clients that failed in *cell*, at least once, and how."""
        return {
            client: reason
            for (where, client), reason in sorted(self._failures.items())
            if where == cell
        }

    def rounds(self, cell: Cell, client: str) -> int:
        """Return of how many measurements there are figures."""
        return len(self._figures.get((cell, client), ()))

    def _values(self, cell: Cell, client: str, figure: str) -> List[float]:
        taken = self._figures.get((cell, client), ())
        return [figures[figure] for figures in taken if figure in figures]

    def median(self, cell: Cell, client: str, figure: str) -> Optional[float]:
        """Return the median over the rounds."""
        values = self._values(cell, client, figure)
        return statistics.median(values) if values else None

    def worst(self, cell: Cell, client: str, figure: str) -> Optional[float]:
        """Return the largest of the rounds: one loss is a loss."""
        return max(self._values(cell, client, figure), default=None)

    def ratio(
        self, cell: Cell, client: str, reference: str, figure: str
    ) -> Optional[float]:
        """Return by how much *client* exceeds *reference*, as a factor."""
        ours = self.median(cell, client, figure)
        theirs = self.median(cell, reference, figure)
        return ours / theirs if ours is not None and theirs else None
