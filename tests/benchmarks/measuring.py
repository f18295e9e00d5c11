"""Carry a measurement out: a fresh sink, a fresh worker, nothing inherited by either."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
from types import TracebackType
from typing import Any, Dict, List, NamedTuple, Optional, Type

import calm
import resources
from environments import python_of
from modes import calls_made, is_paced
from plan import Measurement

HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 240.0
"""Seconds that one measurement may take."""
LONG = 6.0
"""Seconds after which a measurement is not made again."""
RATE = 2000
FOREIGN = ("agentmonitor_", "otel_", "langfuse_", "langsmith_", "langchain_")
FOREIGN += ("logfire_", "sentry_", "python")


class Options(NamedTuple):
    """What is the same for all measurements of a run."""

    calls: int
    seconds: float
    pinned: bool


class SinkProcess:
    """The sink while a measurement lasts; of a dead server only the port is held."""

    def __init__(self, server: str, *, pinned: bool) -> None:
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        self._process: Optional[subprocess.Popen[str]] = None
        self.ports = dict.fromkeys(
            ("http", "lines", "control"), self._held.getsockname()[1]
        )
        if server != "dead":
            self._start(server, pinned=pinned)

    def _start(self, server: str, *, pinned: bool) -> None:
        command = [sys.executable, str(HERE / "sink.py")]
        command += ["--hang"] if server == "hang" else ["--delay", server]
        command += ["--core", str(resources.cores() - 1)] if pinned else []
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            universal_newlines=True,
        )
        assert self._process.stdout is not None
        self.ports = json.loads(self._process.stdout.readline())

    def __enter__(self) -> SinkProcess:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self._held.close()
        if self._process is not None:
            self._process.kill()
            self._process.communicate()


def run(one: Measurement, options: Options, still: calm.Calm) -> Dict[str, Any]:
    """Return the figures of a measurement, or its `error`.

    What takes long is not made again: a disturbance comes and goes, so that all of
    those have their share of it. Nor is what is paced: after so much sleep a processor
    is slow by itself.
    """
    figures = _attempt(one, options, still.fastest)
    attempts = 1
    while "error" not in figures and not is_paced(one.cell.mode):
        lasted = still.lasted(figures)
        if lasted or figures["seconds"] > LONG or attempts == calm.ATTEMPTS:
            still.count(attempts, lasted=lasted)
            break
        again = _attempt(one, options, still.fastest)
        figures = again if "error" in again else calm.calmer(figures, again)
        attempts += 1
    return figures


def _attempt(one: Measurement, options: Options, fastest_us: float) -> Dict[str, Any]:
    cell = one.cell
    calls = calls_made(cell.mode, options.calls, int(RATE * options.seconds))
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, SinkProcess(
        cell.server, pinned=options.pinned
    ) as sink:
        job = {
            **{"client": one.client, "workload": cell.workload, "mode": cell.mode},
            **{"server": cell.server, "calls": calls, "rate": RATE},
            **{"scratch": scratch, "core": 0 if options.pinned else None},
            "url": f"http://127.0.0.1:{sink.ports['http']}",
            "lines_port": sink.ports["lines"],
            "control_port": sink.ports["control"],
            "fastest_us": fastest_us,
        }
        command = [python_of(one.client), str(HERE / "worker.py"), json.dumps(job)]
        return _result(command, scratch)


def _result(command: List[str], scratch: str) -> Dict[str, Any]:
    try:
        done = subprocess.run(
            command,
            cwd=scratch,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            universal_newlines=True,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {PATIENCE:.0f} s"}
    told = (done.stdout or "").strip().rpartition("\n")[2]
    if done.returncode or not told.startswith("{"):
        last = (done.stderr or "no word").strip().rpartition("\n")[2]
        return {"error": f"exit status {done.returncode}: {last[:200]}"}
    figures: Dict[str, Any] = json.loads(told)
    return figures


def clean_environment() -> Dict[str, str]:
    """Return the environment without what would configure a client or a proxy."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().startswith(FOREIGN) and not name.lower().endswith("_proxy")
    }
