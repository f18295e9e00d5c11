"""What a handler is rebuilt from: its options and what hangs on it."""

from __future__ import annotations

import logging
from dataclasses import fields
from typing import Any, Dict, Type

from . import _diagnostics
from ._config import Config
from .exceptions import ConfigError


def options_of(config: Config) -> Dict[str, Any]:
    """Return the options that make *config* again."""
    return {item.name: getattr(config, item.name) for item in fields(config)}


def dress_of(handler: logging.Handler) -> Dict[str, Any]:
    """Return what dictConfig puts on a handler after it is made."""
    return {
        "name": handler.name,
        "level": handler.level,
        "formatter": handler.formatter,
        "filters": handler.filters,
    }


def rebuilt(
    kind: Type[logging.Handler], options: Dict[str, Any], dress: Dict[str, Any]
) -> logging.Handler:
    """Make a handler again from its pickle, in whatever process reads that."""
    try:
        handler = kind(**options)
    except ConfigError as error:
        _diagnostics.report("pickle", f"an unpickled handler is disabled: {error}")
        handler = kind(**dict(options, enabled=False))
    handler.set_name(dress["name"])
    handler.setLevel(dress["level"])
    handler.setFormatter(dress["formatter"])
    handler.filters = dress["filters"]
    return handler
