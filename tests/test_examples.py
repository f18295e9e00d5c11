"""The examples, run as a reader runs them: on their own, with a collector or without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

pytest.importorskip("uvicorn", reason="needs the extra: collector")

import requests

from agentmonitor_logging.collector import RunningCollector, running_collector
from interpreters import Interpreter, assert_clean, interpreter, run  # noqa: F401
from servers import closed_port

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
TIME_LIMIT = 20.0
"""Seconds for an example whose collector is not there: 3 of `shutdown_timeout`, 2 of
patience in the example itself, and a slow machine."""

ARRIVING: Dict[str, List[Tuple[str, str, str]]] = {
    "quickstart": [
        ("tool_call", "success", "find_order"),
        ("function_call", "success", "answer"),
    ],
    "plain_logging": [
        ("log", "success", "main"),
        ("llm_call", "success", "translate"),
        ("llm_call", "success", "translate"),
        ("llm_call", "error", "show"),
        ("log", "success", "main"),
    ],
    "async_agent": [
        ("tool_call", "success", "weather"),
        ("tool_call", "success", "weather"),
        ("tool_call", "success", "weather"),
        ("tool_call", "error", "weather"),
        ("llm_stream", "success", "summarise"),
        ("llm_stream", "success", "summarise"),
        ("agent_run", "success", "answer"),
        ("agent_run", "success", "answer"),
    ],
}
"""Type, status and function of every event of each example."""

names = pytest.mark.parametrize("name", sorted(ARRIVING))


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    """Run a collector that takes any key."""
    with running_collector(tmp_path / "events.db") as running:
        yield running


def events_in(collector: RunningCollector) -> List[Dict[str, Any]]:
    """Read what arrived, oldest first."""
    page = requests.get(f"{collector.url}/events?limit=1000", timeout=30).json()
    return list(reversed(page["events"]))


def source(name: str) -> str:
    return (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")


def execute(name: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run an example in a process of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AGENTMONITOR_")}
    path = os.pathsep.join([str(EXAMPLES.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / f"{name}.py")],
        env={**kept, "PYTHONPATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=60,
        check=False,
    )


def test_every_example_is_tested() -> None:
    """An example that nobody runs is no example."""
    assert sorted(ARRIVING) == sorted(path.stem for path in EXAMPLES.glob("*.py"))


@names
def test_every_event_of_an_example_arrives(
    name: str,
    interpreter: Interpreter,  # noqa: F811
    collector: RunningCollector,
) -> None:
    """On every Python: just run, nothing flushed by hand, all of it in the collector."""
    outcome = run(
        interpreter, source(name), env={"AGENTMONITOR_API_URL": collector.url}
    )

    arrived = [
        (event["event_type"], event["status"], event["metadata"]["function_name"])
        for event in events_in(collector)
    ]
    assert sorted(ARRIVING[name]) == sorted(arrived), outcome
    assert 0 == outcome.returncode
    assert "agentmonitor:" not in outcome.stderr


def test_the_secret_of_the_quickstart_stays_at_home(
    collector: RunningCollector,
) -> None:
    """The question arrives without the password that is in it."""
    execute("quickstart", AGENTMONITOR_API_URL=collector.url)

    (answer,) = (e for e in events_in(collector) if e["event_type"] == "function_call")
    question = "My password is: [REDACTED], where is order 4711"
    assert {"question": question} == answer["input_data"]
    assert {"value": "Good news: order 4711 is in the van"} == answer["output_data"]


def test_sessions_of_the_async_example_do_not_mix(collector: RunningCollector) -> None:
    """Two users at the same time are two traces, each with its own user throughout."""
    execute("async_agent", AGENTMONITOR_API_URL=collector.url)

    users: Dict[str, set] = {}
    for event in events_in(collector):
        metadata = event["metadata"]
        users.setdefault(metadata["trace_id"], set()).add(metadata["user_id"])
    assert [{"ann"}, {"bob"}] == sorted(users.values(), key=sorted)


@names
def test_where_nobody_listens_an_example_does_what_it_does(name: str) -> None:
    """Its output and exit code are those without monitoring; one line tells of it."""
    undisturbed = execute(name, AGENTMONITOR_ENABLED="false")
    url = f"http://127.0.0.1:{closed_port()}/api/v1"
    began = time.monotonic()
    alone = execute(name, AGENTMONITOR_API_URL=url)

    assert (0, undisturbed.stdout) == (alone.returncode, alone.stdout)
    assert time.monotonic() - began < TIME_LIMIT
    (line,) = (t for t in alone.stderr.splitlines() if "agentmonitor:" in t)
    assert f"{len(ARRIVING[name])} events lost" in line
    assert url in line
