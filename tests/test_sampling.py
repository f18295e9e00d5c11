"""Sampling: the same answer for a whole trace, everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Dict

import pytest

from agentmonitor_logging.sampling import Sampler


def event(trace_id: Any = None, event_id: Any = None, **fields: Any) -> Dict[str, Any]:
    metadata = {"trace_id": trace_id, "event_id": event_id}
    return {"event_type": "log", "status": "success", "metadata": metadata, **fields}


def share(sampler: Sampler, **fields: Any) -> float:
    kept = [sampler.keeps(event(f"{n:032x}", **fields)) for n in range(4_000)]
    return sum(kept) / len(kept)


def test_everything_is_kept_by_default() -> None:
    """A rate of 1 keeps every event."""
    assert share(Sampler()) == 1
    assert share(Sampler({})) == 1


def test_nothing_is_kept_at_zero() -> None:
    """A rate of 0 keeps no event that went well."""
    assert share(Sampler(0)) == 0


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_is_the_rate(rate: float) -> None:
    """Over many traces the rate is what is kept."""
    assert share(Sampler(rate)) == pytest.approx(rate, abs=0.03)


def test_errors_are_always_kept() -> None:
    """What failed is never sampled away."""
    assert share(Sampler(0), status="error") == 1


def test_a_trace_is_kept_whole() -> None:
    """Events of one trace share their fate, whatever their own ids."""
    sampler = Sampler(0.5)

    for number in range(50):
        trace = f"{number:032x}"
        assert len({sampler.keeps(event(trace, str(n))) for n in range(20)}) == 1


def test_a_higher_rate_keeps_what_a_lower_one_kept() -> None:
    """Rates nest, so services with different rates keep common traces."""
    low, high = Sampler(0.2), Sampler(0.6)
    events = [event(f"{n:032x}") for n in range(500)]

    assert all(high.keeps(one) for one in events if low.keeps(one))


def test_without_a_trace_the_event_id_decides() -> None:
    """Single events are decided one by one."""
    decisions = {Sampler(0.5).keeps(event(None, str(n))) for n in range(50)}

    assert decisions == {True, False}


def test_rates_may_differ_by_type() -> None:
    """A mapping names types; "*" stands for the others, which else are kept."""
    named = Sampler({"llm_call": 0.0})
    others = Sampler({"llm_call": 1.0, "*": 0.0})

    assert share(named, event_type="llm_call") == 0
    assert share(named, event_type="tool") == 1
    assert share(others, event_type="llm_call") == 1
    assert share(others, event_type="tool") == 0


@pytest.mark.parametrize("odd", [{}, {"metadata": None}, {"metadata": {"trace_id": 5}}])
def test_odd_events_are_decided_too(odd: Dict[str, Any]) -> None:
    """A redactor or factory may leave anything; there is always an answer."""
    assert Sampler(0.5).keeps(odd) in (True, False)


def test_another_process_decides_alike() -> None:
    """The answer does not depend on the process or its hash seed."""
    program = (
        "from agentmonitor_logging.sampling import Sampler\n"
        "keeps = Sampler(0.5).keeps\n"
        "ids = ['%032x' % n for n in range(64)]\n"
        "print([int(keeps({'metadata': {'trace_id': i}})) for i in ids])"
    )
    here = [int(Sampler(0.5).keeps(event(f"{n:032x}"))) for n in range(64)]

    there = subprocess.run(
        [sys.executable, "-c", program],
        env={
            **os.environ,
            "PYTHONHASHSEED": "7",
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        check=True,
        capture_output=True,
        text=True,
    )

    assert there.stdout.strip() == str(here)


def test_the_repr_shows_the_rates() -> None:
    """Somebody who looks at a sampler sees what it does."""
    assert repr(Sampler({"log": 0.5, "*": 0.1})) == "<Sampler 0.1 {'log': 0.5}>"
