"""Which events are kept when not all of them are.

A pure function of the trace id: every event of a trace is decided alike, in every
process, and a failed one is always kept.
"""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Mapping, Union

_ANY_TYPE = "*"
_RANGE = 2**64


class Sampler:
    """Keep a fraction of the events.

    *sample_rate* is a number from 0 to 1, or a mapping of event types to such
    numbers; ``"*"`` stands for the types it does not name, which are otherwise kept.
    """

    def __init__(self, sample_rate: Union[float, Mapping[str, float]] = 1.0) -> None:
        rates = sample_rate if isinstance(sample_rate, Mapping) else {}
        self._rates: Dict[str, float] = dict(rates)
        default = 1.0 if isinstance(sample_rate, Mapping) else sample_rate
        self._default = self._rates.pop(_ANY_TYPE, default)
        self.keeps_all = min([self._default, *self._rates.values()]) >= 1
        """Whether there is no need to ask."""

    def keeps(self, event: Mapping[str, Any]) -> bool:
        """Tell whether *event* is to be sent."""
        if self.keeps_all or event.get("status") == "error":
            return True
        rate = self._rates.get(str(event.get("event_type")), self._default)
        return rate >= 1 or _position(event) < rate

    def __repr__(self) -> str:
        return f"<Sampler {self._default:g} {self._rates}>"


def _position(event: Mapping[str, Any]) -> float:
    """Place the event's trace between 0 and 1, the same in every process."""
    metadata = event.get("metadata") or {}
    name = metadata.get("trace_id") or metadata.get("event_id") or ""
    digest = hashlib.blake2b(str(name).encode("utf-8", "replace"), digest_size=8)
    return int.from_bytes(digest.digest(), "big") / _RANGE
