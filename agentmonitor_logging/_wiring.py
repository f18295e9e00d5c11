"""How a queue handler finds its targets under every version's dictConfig.

Up to Python 3.11, and with "()" on every version, dictConfig hands over the names
that stand in the configuration; from 3.12 on it makes a listener of its own and sets
it as an attribute. And "cfg://" references resolve only where the list is indexed.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import Any, Iterator, List, Sequence, Tuple

from .exceptions import ConfigError


class HandlerNames:
    """Find the handlers that a configuration names, once they are configured."""

    def __init__(self, names: Any) -> None:
        if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
            raise ConfigError(
                f"handlers is {names!r}, but must be a list of handlers or their names"
            )
        self._names = names
        self._check()

    def all_configured(self) -> bool:
        """Tell whether every entry is a handler by now."""
        return all(isinstance(entry, logging.Handler) for entry in self._entries())

    def resolve(self) -> Tuple[logging.Handler, ...]:
        """Return the handlers; raise ConfigError where one is not configured."""
        found: List[logging.Handler] = []
        for index, entry in enumerate(self._entries()):
            if not isinstance(entry, logging.Handler):
                raise ConfigError(
                    f"handlers names {self._names[index]!r}, which is not configured"
                )
            found.append(entry)
        return tuple(found)

    def _check(self) -> None:
        configured = self._configured()
        for entry in self._entries():
            is_handler = isinstance(entry, (logging.Handler, dict))
            if not is_handler and entry not in configured:
                raise ConfigError(
                    f"handlers names {entry!r}, but must hold handlers, or names of "
                    "the same configuration's handlers"
                )

    def _entries(self) -> Iterator[Any]:
        configured = self._configured()
        # Indexed, not iterated: only so a ConvertingList resolves cfg:// entries.
        for index in range(len(self._names)):
            entry = self._names[index]
            if isinstance(entry, str):
                entry = configured.get(entry, entry)
            yield entry

    def _configured(self) -> Any:
        configurator = getattr(self._names, "configurator", None)
        if configurator is None:
            return {}
        return configurator.config.get("handlers", {})


def wants_levels_ignored() -> bool:
    """Tell whether the configuration that is being read says so itself.

    From Python 3.12 on dictConfig gives every listener respect_handler_level=False
    unless told otherwise, and so hides whether anybody asked for it. The entry under
    configuration stands in the frame that called.
    """
    frame: Any = sys._getframe(2)
    for _ in range(3):
        if frame is None:
            return False
        entry = frame.f_locals.get("config")
        if isinstance(entry, dict) and "respect_handler_level" in entry:
            return entry["respect_handler_level"] is False
        frame = frame.f_back
    return False
