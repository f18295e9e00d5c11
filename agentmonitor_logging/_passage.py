"""Whether what was under way at one moment has arrived, whatever came after it.

Counting how many events are settled does not tell: newer ones may be, by other
requests or because they are sampled out, while an older one still is not.
"""

from __future__ import annotations

from typing import Callable, Dict, Iterable

Passed = Callable[[], bool]
"""A test whether all that was somewhere has gone on; once true, it stays so."""
Station = Callable[[], Passed]
"""Returns the test about what is in one place now."""


class Passage:
    """Tell whether what is in the first of *stations* now has passed the last.

    They stand in the order in which an event goes through them. What is in the next
    one is looked at when the one before is passed: then it includes what came from
    there. Any number of threads may call it.
    """

    def __init__(self, *stations: Station) -> None:
        self._stations = stations
        self._tests: Dict[int, Passed] = {0: stations[0]()}

    def __call__(self) -> bool:
        """Look again."""
        for number, station in enumerate(self._stations):
            if number not in self._tests:
                self._tests[number] = station()
            if not self._tests[number]():
                return False
        return True


def side_by_side(stations: Iterable[Station]) -> Station:
    """Return a station of several, each of which an event may go through."""
    known = tuple(stations)

    def look() -> Passed:
        tests = [station() for station in known]
        return lambda: all(test() for test in tests)

    return look
