"""What travels between processes: a handler as its options, a record as plain data."""

from __future__ import annotations

import logging
import pickle
from typing import Any, Dict, Type

from . import _diagnostics
from ._config import Config
from .exceptions import ConfigError


def options_of(config: Config) -> Dict[str, Any]:
    """Return the options that make *config* again."""
    return config._asdict()


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


def make_picklable(record: logging.LogRecord) -> None:
    """Render what of *record* cannot travel; it is a copy of our own.

    A `multiprocessing.Queue` pickles on a thread of its own, and what it cannot pickle
    is gone without anybody being told.
    """
    if _is_picklable(record):
        return
    from ._rendering import Renderer  # seldom needed

    fields = record.__dict__
    if not _is_picklable(record.args):
        fields["msg"], fields["args"] = _message_of(record), None
    record.__class__ = logging.LogRecord
    render = Renderer().render
    fields.update({k: render(v) for k, v in fields.items() if not _is_picklable(v)})


def _is_picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # whatever its __reduce__ does
        return False
    return True


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit
        return str(record.msg)
