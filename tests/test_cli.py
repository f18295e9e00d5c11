"""The command line, run as people run it: in a process of its own."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Set

import pytest
import requests

pytest.importorskip("click", reason="needs the extra: collector")

import agentmonitor_logging
from agentmonitor_logging.collector import EventStore, running_collector

DEADLINE = 60
KEY = "k" * 32
ROOT = str(Path(str(agentmonitor_logging.__file__)).parent.parent)

posix = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def environment(**variables: str) -> Dict[str, str]:
    """Make the environment of a command: no settings of ours but *variables*."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AGENTMONITOR_")}
    path = os.pathsep.join(filter(None, [ROOT, os.environ.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "PYTHONWARNINGS": "error", **variables}


def run(
    *arguments: str, cwd: Optional[Path] = None, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run `python -m agentmonitor_logging` to its end."""
    return subprocess.run(
        [sys.executable, "-m", "agentmonitor_logging", *arguments],
        env=environment(**variables),
        cwd=str(cwd) if cwd else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=DEADLINE,
        check=False,
    )


class Command:
    """Hold a collector that runs in another process, and what it announced."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.announced: List[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            self.announced.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break

    @property
    def url(self) -> str:
        """Tell where it listens, as it said itself."""
        (url,) = re.findall(r"listening on  (\S+)", "\n".join(self.announced))
        return str(url)

    def send(self, *events: Dict[str, Any], key: str = KEY) -> requests.Response:
        """Send a batch of events."""
        return requests.post(
            self.url + "/events/batch",
            json={"events": events},
            headers={"X-API-Key": key},
            timeout=DEADLINE,
        )

    def end(self, number: int) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE)


@contextmanager
def collecting(directory: Path, *arguments: str, **variables: str) -> Iterator[Command]:
    """Run `agentmonitor collector --port 0` in *directory*."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agentmonitor_logging", "collector"]
        + ["--port", "0", *arguments],
        cwd=str(directory),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    guard = threading.Timer(DEADLINE, process.kill)
    guard.start()
    with process:
        try:
            yield Command(process)
        finally:
            process.kill()
            guard.cancel()
            guard.join()


def event(event_id: str) -> Dict[str, Any]:
    """Make a valid event."""
    return {
        "agent_id": "bot",
        "event_type": "x",
        "timestamp": "2026-10-16T12:00:00Z",
        "input_data": {"text": "x" * 500},
        "metadata": {"event_id": event_id},
    }


def test_without_its_extra_the_command_names_it() -> None:
    """One line, exit code 2, no traceback."""
    program = (
        "import sys, runpy; sys.modules['click'] = sys.modules['uvicorn'] = None;"
        "runpy.run_module('agentmonitor_logging', run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "agentmonitor needs click, uvicorn:"
        ' pip install "agentmonitor-logging[collector]"\n'
    )


def test_help_lists_the_commands_and_says_where_the_database_is() -> None:
    """A newcomer reads what there is and what the defaults are."""
    top = run("--help")
    collector = run("collector", "-h")

    assert (top.returncode, collector.returncode) == (0, 0)
    assert "collector" in top.stdout
    assert "demo" in top.stdout
    text = " ".join(collector.stdout.split())
    for part in ("agentmonitor.db", "this directory", "3002", "AGENTMONITOR_API_KEY"):
        assert part in text


def test_the_version_is_told() -> None:
    """`--version` names the distribution."""
    done = run("--version")

    assert done.returncode == 0
    assert done.stdout.startswith("agentmonitor-logging ")


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_collector_announces_itself_and_ends_cleanly(
    tmp_path: Path, number: int
) -> None:
    """Ctrl-C and SIGTERM are exit 0, with the events in the file it named."""
    with collecting(tmp_path) as command:
        answer = command.send(event("1"))
        code = command.end(number)
        assert command.process.stderr is not None
        errors = command.process.stderr.read()

    assert answer.json() == {"accepted": 1, "duplicates": 0}
    assert (code, errors) == (0, "")
    database = tmp_path / "agentmonitor.db"
    assert f"database      {database.resolve()}" in command.announced
    assert "any X-API-Key of 32 characters or more" in "\n".join(command.announced)
    with EventStore(database) as store:
        assert store.count() == 1


@posix
def test_the_key_of_the_environment_is_demanded_and_never_shown(
    tmp_path: Path,
) -> None:
    """AGENTMONITOR_API_KEY is the key, and no output repeats it."""
    key = "from-the-environment-" * 2
    with collecting(tmp_path, AGENTMONITOR_API_KEY=key) as command:
        answers = [command.send(event("1"), key=k).status_code for k in (KEY, key)]
        command.end(signal.SIGINT)
        assert command.process.stderr is not None
        shown = "\n".join(command.announced) + command.process.stderr.read()

    assert answers == [401, 200]
    assert "the one given is required" in shown
    assert key not in shown


def test_a_weak_key_is_refused_and_never_shown() -> None:
    """A key the handlers would refuse is refused here, without being repeated."""
    done = run("collector", "--port", "0", "--api-key", "hunter2")

    assert done.returncode == 1
    assert "32" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def test_other_machines_need_a_key(tmp_path: Path) -> None:
    """On any address but loopback it refuses to start without one."""
    done = run("collector", "--host", "0.0.0.0", "--port", "0", cwd=tmp_path)

    assert done.returncode == 1
    assert "AGENTMONITOR_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    """The line names the address; the exit code is 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run("collector", "--port", port, cwd=tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"127.0.0.1:{port}" in done.stderr


def test_a_database_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """A second collector on the same file says so; the exit code is 1."""
    with running_collector(tmp_path / "a.db"):
        done = run("collector", "--port", "0", "--db", str(tmp_path / "a.db"))

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "already open" in done.stderr


def test_a_database_that_cannot_be_is_one_clear_line(tmp_path: Path) -> None:
    """A directory that does not exist is named; the exit code is 1."""
    missing = tmp_path / "missing" / "a.db"
    done = run("collector", "--port", "0", "--db", str(missing))

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(missing) in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    "command",
    [
        *("tail --no-follow", "tail --no-follow --tree", "export", "check", "demo"),
        *("collector --port 0", "spool empty", "spool empty show --json"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, command: str, unbuffered: str
) -> None:
    """Of whatever command: a full disk is no traceback."""
    (tmp_path / "empty").mkdir()
    with running_collector(tmp_path / "a.db") as running:
        variables = {"AGENTMONITOR_API_URL": running.url, "AGENTMONITOR_API_KEY": KEY}
        requests.post(
            running.url + "/events/ingest",
            json=event("1"),
            headers={"X-API-Key": KEY},
            timeout=DEADLINE,
        ).raise_for_status()
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "agentmonitor_logging"] + command.split(),
                env=environment(**variables, PYTHONUNBUFFERED=unbuffered),
                cwd=str(tmp_path),
                stdout=full,
                stderr=subprocess.PIPE,
                universal_newlines=True,
                timeout=DEADLINE,
                check=False,
            )

    assert done.returncode == 1
    assert done.stderr == (
        f"Error: standard output cannot be written: {os.strerror(errno.ENOSPC)}\n"
    )


@posix
def test_kill_9_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """What was answered with 200 is in the file, wherever the process was hit."""
    acknowledged: Set[str] = set()
    enough = threading.Event()

    def send(command: Command, thread: int) -> None:
        number = 0
        while True:
            number += 1
            names = [f"{thread}-{number}-{i}" for i in range(10)]
            try:
                answer = command.send(*map(event, names))
            except requests.RequestException:
                return
            if answer.status_code == 200:
                acknowledged.update(names)
            if len(acknowledged) > 500:
                enough.set()

    with collecting(tmp_path, "--db", "a.db") as command:
        threads = [threading.Thread(target=send, args=(command, n)) for n in range(4)]
        for thread in threads:
            thread.start()
        assert enough.wait(DEADLINE)
        code = command.end(signal.SIGKILL)
        for thread in threads:
            thread.join(DEADLINE)

    with EventStore(tmp_path / "a.db") as store:
        stored = set()
        page = store.page(limit=1000)
        while True:
            stored.update(e.row.event_id for e in page.events)
            if page.next_before is None:
                break
            page = store.page(limit=1000, before=page.next_before)
    assert code == -signal.SIGKILL
    assert acknowledged <= stored
    assert len(stored) % 10 == 0


def test_an_unknown_command_is_a_usage_error() -> None:
    """Exit code 2 and a hint, as every command line does it."""
    done = run("colector")

    assert done.returncode == 2
    assert "No such command" in done.stderr
