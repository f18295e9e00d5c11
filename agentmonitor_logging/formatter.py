"""The event as one line of JSON, for console and file handlers.

Separate from the handlers, because only programs that write such lines pay for
importing python-json-logger.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence, Union

from pythonjsonlogger.json import JsonFormatter

from . import _naming
from ._config import DEFAULT_API_URL, MIN_API_KEY_LENGTH, Config, Secret
from .events import converted, encode
from .redaction import Redactor

if TYPE_CHECKING:
    import logging


class AgentEventFormatter(JsonFormatter):
    """Write each record as the event that would be shipped, redacted alike.

    One line of strict JSON per record. *agent_id* is else that of the environment
    variable AGENTMONITOR_AGENT_ID, else empty; the other options are those of
    `AgentMonitorHandler`. *ensure_ascii* (the default) escapes other characters, so
    that no encoding of a file or console can refuse the line. *fmt*, *datefmt*,
    *style*, *validate* and *defaults* are accepted, as dictConfig passes them, and
    mean nothing: the layout is fixed. A wrong option raises ConfigError.
    """

    makes_events = True
    """Tells our handlers that a line of this formatter is no message text."""

    def __init__(
        self,
        fmt: Optional[str] = None,
        datefmt: Optional[str] = None,
        style: str = "%",
        validate: bool = True,  # the signature of logging.Formatter
        *,
        defaults: Optional[Mapping[str, Any]] = None,
        agent_id: Optional[str] = None,
        metadata: Optional[Mapping[str, Any]] = None,
        redact_keys: Optional[Sequence[str]] = None,
        redact_patterns: Optional[Sequence[Any]] = None,
        redactor: Union[str, Callable[..., Any], None] = None,
        redact_defaults: Optional[bool] = None,
        max_event_bytes: Optional[int] = None,
        ensure_ascii: bool = True,
    ) -> None:
        super().__init__(json_ensure_ascii=ensure_ascii)
        _naming.expect(self)
        self._config = _checked(
            agent_id=agent_id,
            metadata=metadata,
            redact_keys=redact_keys,
            redact_patterns=redact_patterns,
            redactor=redactor,
            redact_defaults=redact_defaults,
            max_event_bytes=max_event_bytes,
        )
        self._redactor = Redactor(
            self._config.redact_keys,
            self._config.redact_patterns,
            defaults=self._config.redact_defaults,
            redactor=self._config.redactor,
            own_key=_key_of_environment(),
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line for *record*, which is not changed; never raise."""
        config = self._config
        event = converted(
            record, config.agent_id, config.metadata, None, config.max_event_bytes
        )
        redacted = self._redactor.redact(event)
        line = encode(
            redacted, config.max_event_bytes, ensure_ascii=self.json_ensure_ascii
        )
        return line.decode()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._config.agent_id!r}>"


def _key_of_environment() -> Secret:
    """Return the key that the handlers send with, unless one is given to them alone."""
    key = os.environ.get("AGENTMONITOR_API_KEY", "").strip()
    return Secret(key if len(key) >= MIN_API_KEY_LENGTH else "")


def _checked(**options: Any) -> Config:
    """Check *options* as the handlers do; a formatter needs neither key nor address."""
    agent_id = options.pop("agent_id") or os.environ.get("AGENTMONITOR_AGENT_ID")
    config = Config.from_options(
        {
            "api_key": Secret("not needed"),
            "api_url": DEFAULT_API_URL,
            "enabled": True,
            "agent_id": agent_id or "-",
            **options,
        }
    )
    return config if agent_id else config._replace(agent_id="")
