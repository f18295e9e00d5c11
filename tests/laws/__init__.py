"""Laws as plain functions, for interpreters that have no pytest.

    python -m laws dictconfig NAME...

A law takes a `ScriptedServer` and asserts. It is found by the decorator `law`.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, Iterable

Law = Callable[..., None]


class Laws(Dict[str, Law]):
    """The laws of a module, by name."""

    def law(self, function: Law) -> Law:
        """Enter *function* under its own name."""
        self[function.__name__] = function
        return function

    def law_for_each(self, cases: Iterable[Any]) -> Callable[[Law], Law]:
        """Enter the function once for each of *cases*, which it gets after the server."""

        def enter(function: Law) -> Law:
            for case in cases:
                self[f"{function.__name__}[{case}]"] = _bound(function, case)
            return function

        return enter


def _bound(function: Law, case: Any) -> Law:
    def law(server: Any) -> None:
        function(server, case)

    law.__doc__ = function.__doc__
    return law
