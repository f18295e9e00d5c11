"""The event that tells of lost events, so that a loss shows where people look."""

from __future__ import annotations

import logging
from typing import Any, Dict, Mapping

from . import _diagnostics
from .events import encode, event_from_record

LOSS_EVENT_TYPE = "agentmonitor.loss"
_MAX_BYTES = 16 * 1024


def encoded_loss_event(
    lost: Dict[str, int], *, agent_id: str, metadata: Mapping[str, Any]
) -> bytes:
    """Encode the event that tells how many events were *lost*, by reason.

    `metadata.lost` holds the counts since the loss event before.
    """
    record = logging.makeLogRecord(
        {
            "name": _diagnostics.LOGGER_NAME,
            "levelno": logging.WARNING,
            "levelname": "WARNING",
            "msg": "%d lost: %s",
            "args": (sum(lost.values()), ", ".join(sorted(lost))),
            "event_type": LOSS_EVENT_TYPE,
            "status": "error",
            "metadata": {"lost": dict(lost)},
        }
    )
    event = event_from_record(record, agent_id=agent_id, metadata=metadata)
    event["error_message"] = event["metadata"]["message"]
    return encode(event, _MAX_BYTES)
