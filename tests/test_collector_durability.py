"""Acknowledged means committed: what `kill -9` leaves of a collector."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any, Dict, List, Set

import pytest

pytest.importorskip("starlette", reason="needs the extra: collector")

from agentmonitor_logging.collector import EventStore
from agentmonitor_logging.collector import questions, sums, views

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")

CLIENTS = 4
KILL_AFTER = (1, 40, 300)
"""Acknowledged batches after which the process is killed."""


def batch(client: int, number: int) -> List[Dict[str, Any]]:
    trace = f"{client * 10_000 + number // 3 + 1:032x}"
    return [
        {
            "agent_id": f"bot-{client}",
            "event_type": "tool_call",
            "timestamp": "2026-10-16T12:00:00Z",
            "cost_usd": 1.0,
            "metadata": {
                "event_id": f"{client}-{number}-{place}",
                "trace_id": trace,
                "session_id": f"talk-{client}",
            },
        }
        for place in range(5)
    ]


@pytest.mark.parametrize("enough", KILL_AFTER)
def test_what_was_acknowledged_survives_kill_9_in_every_view(
    tmp_path: Path, enough: int
) -> None:
    """Each acknowledged event is there, and traces, sessions and sums agree with it."""
    path = tmp_path / "a.db"
    acknowledged: Set[str] = set()
    reached = threading.Event()

    def client(url: str, number: int) -> None:
        for at in range(10_000):
            events = batch(number, at)
            request = urllib.request.Request(
                url + "/events/batch",
                json.dumps({"events": events}).encode(),
                {"X-API-Key": "k" * 32, "Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    answer.read()
            except (OSError, http.client.HTTPException):
                return  # killed, perhaps in the midst of an answer
            acknowledged.update(event["metadata"]["event_id"] for event in events)
            if len(acknowledged) >= 5 * enough:
                reached.set()

    command = [sys.executable, "-m", "agentmonitor_logging", "collector"]
    with subprocess.Popen(
        [*command, "--db", str(path), "--port", "0"],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        bufsize=1,
    ) as process:
        assert process.stdout is not None
        url = next(
            line.split()[-1]
            for line in process.stdout
            if line.startswith("listening on")
        )
        clients = [
            threading.Thread(target=client, args=(url, number))
            for number in range(CLIENTS)
        ]
        for thread in clients:
            thread.start()
        assert reached.wait(60)
        process.send_signal(signal.SIGKILL)
        for thread in clients:
            thread.join(60)

    with EventStore(path) as store:
        stored: Set[str] = set()
        before = None
        while True:
            page = store.page(limit=1_000, before=before)
            stored.update(event.row.event_id or "" for event in page.events)
            before = page.next_before
            if before is None:
                break
        listed = [store.read(views.trace_list, questions.of_traces([("limit", "200")]))]
        while listed[-1]["next"]:
            query = [("limit", "200"), ("cursor", listed[-1]["next"])]
            listed.append(store.read(views.trace_list, questions.of_traces(query)))
        talks = store.read(views.session_list, questions.of_sessions([]))["sessions"]
        noon = sums.Span(1_792_152_000_000_000, 1_792_152_060_000_000)
        total = store.read(sums.stats, noon)["total"]

    assert acknowledged <= stored
    in_traces = sum(t["events"] for page in listed for t in page["traces"])
    assert len(stored) == in_traces
    assert len(stored) == sum(talk["events"] for talk in talks)
    assert (len(stored), float(len(stored))) == (total["events"], total["cost_usd"])
