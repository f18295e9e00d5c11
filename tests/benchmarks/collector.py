"""How much the collector takes, and how fast it answers: `python .../collector.py`.

Three parts, each with the collector in a process and on a core of its own: a database
is filled with a million events over HTTP-less appends (`fill`), every view is asked for
many times (`views`), and a hundred clients bring 5,000 events a second for a minute
(`load`). Prints Markdown.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional
from urllib.parse import quote

HEADERS = {"X-API-Key": "k" * 32, "Content-Type": "application/json"}
AGENTS = [f"agent-{n}" for n in range(8)]
TYPES = ("agent_run", "llm_call", "tool_call", "retrieval", "decision", "log")
WORDS = (Path(__file__).read_text(encoding="utf-8") * 3).split()
DAYS = 30
CLIENTS = 100
BATCH = 100


def traces(count: int, seed: int, now: float) -> Iterator[Dict[str, Any]]:
    """Yield *count* events in traces of about seven, spread over thirty days."""
    source = random.Random(seed)
    made = 0
    while made < count:
        trace, size = f"{source.getrandbits(128):032x}", source.randrange(3, 12)
        began = now - DAYS * 86_400 * (1 - made / count)
        session = f"session-{made // 60}" if source.random() < 0.7 else None
        agent = source.choice(AGENTS)
        for number in range(min(size, count - made)):
            yield event(source, trace, number, began, agent, session)
            made += 1


def event(
    source: random.Random,
    trace: str,
    number: int,
    began: float,
    agent: str,
    session: Optional[str],
) -> Dict[str, Any]:
    """Make one event: half a kilobyte of text in, and as much out."""
    words = " ".join(source.choices(WORDS, k=60))
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began + number))
    root = trace[:16]
    metadata = {
        "event_id": f"{source.getrandbits(128):032x}",
        "trace_id": trace,
        "span_id": root if number == 0 else f"{source.getrandbits(64):016x}",
        "parent_span_id": None if number == 0 else root,
        "function_name": f"step_{number}",
        "message": f"step_{number} ok",
        "usage": {"input_tokens": 900, "output_tokens": 120},
    }
    if session is not None:
        metadata["session_id"] = session
    failed = source.random() < 0.02
    return {
        "agent_id": agent,
        "event_type": TYPES[0] if number == 0 else source.choice(TYPES[1:]),
        "timestamp": f"{moment}.{source.randrange(10**6):06d}Z",
        "input_data": {"messages": [{"role": "user", "content": words}]},
        "output_data": {"value": words[::-1]},
        "metadata": metadata,
        "cost_usd": round(source.random() / 100, 6),
        "latency_ms": int(source.lognormvariate(6, 1)),
        "status": "error" if failed else "success",
        "error_message": "TimeoutError: no answer" if failed else None,
    }


# -- parts -----------------------------------------------------------------------------


def fill(path: str, count: int) -> None:
    """Fill a database without HTTP, on one core, and tell what it cost."""
    _pin(0)
    from agentmonitor_logging.collector import EventStore
    from agentmonitor_logging.collector.validation import rows_from_events

    batch: List[Dict[str, Any]] = []
    waiting: List[Any] = []
    began, cpu = time.monotonic(), time.process_time()
    with EventStore(path) as store:
        for one in traces(count, 1, time.time()):
            batch.append(one)
            if len(batch) == BATCH:
                waiting.append(store.append(rows_from_events(batch)))
                batch = []
                if len(waiting) > 20:
                    waiting.pop(0).result(60)
        if batch:
            waiting.append(store.append(rows_from_events(batch)))
        for future in waiting:
            future.result(60)
    took, used = time.monotonic() - began, time.process_time() - cpu
    size = os.path.getsize(path)
    print(
        f"filled {count:,} events in {took:.0f} s, {used / count * 1e6:.0f} µs of CPU"
        f" each (making them included); {size / 1e6:,.0f} MB,"
        f" {size / count:,.0f} bytes an event"
    )


@contextlib.contextmanager
def collecting(path: str) -> Iterator[str]:
    """Run a collector on the first core; yield its host and port."""
    command = [sys.executable, "-m", "agentmonitor_logging", "collector"]
    command += ["--db", path, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, {0})
        address = ""
        while not address:
            line = process.stdout.readline()
            if line.startswith("listening on"):
                address = line.split("//")[1].split("/")[0]
        try:
            yield address
        finally:
            process.terminate()


def views(path: str, rounds: int) -> None:
    """Ask for every view many times, and tell how long it took."""
    with collecting(path) as address:
        _pin(1)
        connection = http.client.HTTPConnection(address, timeout=60)

        def ask(query: str) -> Any:
            connection.request("GET", "/api/v1" + query, headers=HEADERS)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, (query, body)
            return json.loads(body)

        _table(ask, _questions(ask), rounds)


def _questions(ask: Any) -> Dict[str, str]:
    page = ask("/traces?limit=50")
    one = page["traces"][10]
    deep = page["next"]
    sessions = ask("/sessions")["sessions"]
    long_ago = time.strftime(
        "%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 20 * 86_400)
    )
    spans = {"1 h": 3_600, "24 h": 86_400, "7 d": 7 * 86_400, "30 d": 30 * 86_400}
    questions = {
        f"overview, {name}": "/stats?from="
        + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))
        for name, seconds in spans.items()
    }
    return {
        **questions,
        "traces": "/traces",
        "traces, second page": f"/traces?cursor={deep}",
        "traces of an agent": "/traces?agent_id=agent-3",
        "traces with an error": "/traces?status=error",
        "traces of an agent and type, with an error": (
            "/traces?agent_id=agent-3&event_type=retrieval&status=error"
        ),
        "traces that cost more than any": "/traces?min_cost=1",
        "traces of a day long ago": f"/traces?from={long_ago}",
        "traces up to a day long ago, slow ones": (
            f"/traces?to={long_ago}&min_latency_ms=5000"
        ),
        "search, a word of many": "/traces?q=import",
        "search, four words": "/traces?q=import+random+number+trace",
        "search, nothing": "/traces?q=xyzzy",
        "one trace": f"/traces/{one['trace_id']}",
        "one event": f"/events/{one['revision']}",
        "sessions": "/sessions",
        "sessions of an agent": "/sessions?agent_id=agent-3",
        "one session": f"/sessions/{quote(sessions[3]['session_id'])}",
        "events": "/events",
    }


def _table(ask: Any, questions: Dict[str, str], rounds: int) -> None:
    print("| view | p50 ms | p95 ms | max ms |\n|---|--:|--:|--:|")
    for name, query in questions.items():
        times = []
        for _ in range(rounds):
            began = time.perf_counter()
            ask(query)
            times.append((time.perf_counter() - began) * 1e3)
        times.sort()
        p50, p95 = times[rounds // 2], times[int(rounds * 0.95)]
        print(f"| {name} | {p50:.1f} | {p95:.1f} | {times[-1]:.1f} |", flush=True)


def load(path: str, rate: int, seconds: int) -> None:
    """Bring *rate* events a second by a hundred clients, and count what arrived."""
    bodies = [
        json.dumps({"events": list(traces(BATCH, seed, time.time()))}).encode()
        for seed in range(200)
    ]
    many = rate * seconds // BATCH
    taken = iter(range(many))
    lock = threading.Lock()
    times: List[float] = []
    failed: List[Any] = []

    def client(address: str, began: float) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        while True:
            with lock:
                number = next(taken, None)
            if number is None:
                return
            time.sleep(max(0.0, began + number * BATCH / rate - time.monotonic()))
            body = bodies[number % 200].replace(
                b'"event_id": "', b'"event_id": "%x-' % number
            )
            sent = time.monotonic()
            connection.request("POST", "/api/v1/events/batch", body, HEADERS)
            answer = connection.getresponse()
            told = answer.read()
            with lock:
                times.append(time.monotonic() - sent)
                if answer.status != 200 or json.loads(told)["accepted"] != BATCH:
                    failed.append(told)

    with collecting(path) as address:
        _pin(1)
        began = time.monotonic()
        threads = [
            threading.Thread(target=client, args=(address, began))
            for _ in range(CLIENTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
    times.sort()
    print(
        f"{many * BATCH:,} events by {CLIENTS} clients in {took:.1f} s,"
        f" {many * BATCH / took:,.0f} a second; {len(failed)} requests failed;"
        f" a request took p50 {times[len(times) // 2] * 1e3:.0f} ms,"
        f" p99 {times[int(len(times) * 0.99)] * 1e3:.0f} ms"
    )
    from agentmonitor_logging.collector import EventStore

    with EventStore(path) as store:
        print(f"in the database: {store.count():,}")


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {core})


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["fill", "views", "load"])
    parser.add_argument("--db", help="default: a temporary one")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=int, default=60)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.db or os.path.join(folder, "a.db")
        if "fill" in given.parts:
            fill(path, given.events)
        if "views" in given.parts:
            views(path, given.rounds)
        if "load" in given.parts:
            load(os.path.join(folder, "load.db"), given.rate, given.seconds)


if __name__ == "__main__":
    main()
