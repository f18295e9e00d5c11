"""How a queue handler finds its targets under every version's dictConfig.

Up to Python 3.11, and with "()" on every version, dictConfig hands over the names
that stand in the configuration; from 3.12 on it makes a listener of its own and sets
it as an attribute. And a "cfg://" reference means a dict until its handler is made.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from typing import Any, Iterator, List, Sequence, Tuple

from ._config import resolved, shown, wrong
from .exceptions import ConfigError


class HandlerNames:
    """Find the handlers that a configuration names, once they are configured."""

    def __init__(self, names: Any) -> None:
        if isinstance(names, (str, bytes)) or not isinstance(names, Sequence):
            raise wrong("handlers", names, "a list of handlers or their names")
        # Iterated, not indexed: a ConvertingList would put what a cfg:// entry means
        # now, a dict, in the place of what it will mean, the handler made of it.
        self._names = list(names)
        self._configurator: Any = getattr(names, "configurator", None)
        for name, entry in zip(self._names, self._entries()):
            if not isinstance(entry, logging.Handler):
                self._check_name(name)

    def all_configured(self) -> bool:
        """Tell whether every entry is a handler by now."""
        return all(isinstance(entry, logging.Handler) for entry in self._entries())

    def resolve(self) -> Tuple[logging.Handler, ...]:
        """Return the handlers; raise ConfigError where one is not configured."""
        found: List[logging.Handler] = []
        for name, entry in zip(self._names, self._entries()):
            if not isinstance(entry, logging.Handler):
                raise ConfigError(f"handlers names {name!r}, which is not configured")
            found.append(entry)
        return tuple(found)

    def _check_name(self, name: Any) -> None:
        is_reference = isinstance(name, str) and name.startswith("cfg://")
        if is_reference or (isinstance(name, str) and name in self._configured()):
            return
        raise ConfigError(
            f"handlers names {shown(name)}, but must hold handlers, or names of the "
            "same configuration's handlers"
        )

    def _entries(self) -> Iterator[Any]:
        configured = self._configured()
        for name in self._names:
            if not isinstance(name, str):
                yield name
            elif name.startswith("cfg://") and self._configurator is not None:
                yield self._referred(name)
            else:
                yield configured.get(name)

    def _referred(self, reference: str) -> Any:
        try:
            return self._configurator.convert(reference)
        except (LookupError, TypeError, ValueError) as error:
            raise ConfigError(
                f"handlers names {reference!r}, which is not in the configuration"
            ) from error

    def _configured(self) -> Any:
        if self._configurator is None:
            return {}
        return self._configurator.config.get("handlers", {})


def listener_class(wanted: Any) -> Any:
    """Return the class of a listener, given as such or by its dotted name."""
    found = resolved("listener", wanted) if isinstance(wanted, str) else wanted
    if isinstance(found, type) and issubclass(found, logging.handlers.QueueListener):
        return found
    allowed = "a QueueListener, a class of that kind, or its dotted name"
    raise wrong("listener", wanted, allowed)


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
