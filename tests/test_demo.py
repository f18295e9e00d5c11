"""`agentmonitor demo`: what a newcomer sees first, and what makes it fail."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

for needed in ("click", "uvicorn"):
    pytest.importorskip(needed, reason="needs the extra: collector")

import requests

from agentmonitor_logging import Stats
from agentmonitor_logging.demo import agent, main
from agentmonitor_logging.demo.verdict import Evidence, problems
from servers import closed_port

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-W", "error", "-m", "agentmonitor_logging", "demo"]
TIME_LIMIT = 60
STEPS = """
    answer plan ask_which_tools_to_use gather_facts find_order search_help track
    no_answer_yet,_trying_again track write_answer stream check is_polite is_discreet
    file_away rated_5_of_5
""".split()
"""The tree from top to bottom, with underscores for spaces."""

posix = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX")


def environment(temporary: Path, **variables: str) -> Dict[str, str]:
    """Make the environment of a demo whose temporary files go to *temporary*."""
    dropped = ("AGENTMONITOR_", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)))
    return {**kept, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **variables}


def demo(temporary: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the demo to its end."""
    return subprocess.run(
        COMMAND,
        env=environment(temporary, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        timeout=TIME_LIMIT,
        check=False,
    )


def steps_in(output: str) -> List[str]:
    """Read the tree: the steps, in order."""
    rows = re.findall(
        r"^  [│├└─|`\- ]*(\w.*?) +[a-z_]+ +(?:ok|error)\b", output, re.MULTILINE
    )
    return [row.replace(" ", "_") for row in rows]


def event(span: str, parent: Optional[str] = None, **fields: Any) -> Dict[str, Any]:
    """Make an event as the collector gives it back."""
    metadata = {"span_id": span, "trace_id": "t", "event_id": span, **fields}
    if parent is not None:
        metadata["parent_span_id"] = parent
    return {
        "id": 1,
        "timestamp": "2026",
        "input_data": "[REDACTED]",
        "metadata": metadata,
    }


def record(span: str) -> logging.LogRecord:
    """Make a record as the decorator logs it."""
    fields = {"name": "agent", "msg": "step " + span, "span_id": span}
    return logging.makeLogRecord(fields)


def evidence(*events: Dict[str, Any], **changes: Any) -> Evidence:
    """Gather evidence in which everything that was sent has arrived."""
    sent = [record(str(e["metadata"]["span_id"])) for e in events]
    stats = Stats(accepted=len(sent), delivered=len(sent))
    return Evidence(sent, stats, events, ("s3cret",))._replace(**changes)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run the demo once, and return what it says."""
    folder = tmp_path_factory.mktemp("demo")
    done = demo(folder)

    assert (0, "") == (done.returncode, done.stderr), done.stdout
    assert [] == list(folder.iterdir())
    return done.stdout


def test_the_demo_shows_every_step_once(shown: str) -> None:
    """The tree has all the steps, each in its place, and nothing is printed twice."""
    assert STEPS == steps_in(shown)
    assert len(STEPS) >= 12
    assert f"All {len(STEPS)} events arrived" in shown
    assert (
        f"accepted {len(STEPS)} = delivered {len(STEPS)} + pending 0 + lost 0" in shown
    )


def test_the_demo_shows_the_error_with_its_secret_out(shown: str) -> None:
    """The failed try is an error, the second is not; the URL has lost its password."""
    tries = [line for line in shown.splitlines() if "─ track " in line]

    assert ["error", "ok"] == [re.findall(r"\b(ok|error)\b", line)[0] for line in tries]
    assert "TimeoutError: no answer from https://shop:[REDACTED]@carrier" in shown
    assert "s3same-0pen" not in shown


def test_secrets_appear_as_given_and_never_as_arrived(shown: str) -> None:
    """Beside each part of the input stands what arrived of it."""
    arrived = [line for line in shown.splitlines() if line.startswith("  arrived")]

    assert len(agent.REQUEST) == len(arrived)
    assert all("[REDACTED]" in line for line in arrived)
    assert not any(secret in line for line in arrived for secret in agent.SECRETS)
    assert "kitten-42-purple" in shown


def test_the_output_fits_a_terminal_and_is_plain_in_a_pipe(shown: str) -> None:
    """No line is longer than 80 columns, and no escape sequence is in a file."""
    assert max(map(len, shown.splitlines())) <= 80
    assert "\x1b" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_an_output_that_is_ascii_gets_an_ascii_tree(tmp_path: Path) -> None:
    """A terminal or file that cannot take the lines of the tree gets others."""
    done = demo(tmp_path, PYTHONIOENCODING="ascii")

    assert 0 == done.returncode
    assert done.stdout.isascii()
    assert STEPS == steps_in(done.stdout)


def test_settings_of_the_machine_do_not_disturb_the_demo(tmp_path: Path) -> None:
    """It talks to its own collector, whatever the environment says of others."""
    elsewhere = f"http://127.0.0.1:{closed_port()}"
    done = demo(
        tmp_path,
        AGENTMONITOR_ENABLED="false",
        AGENTMONITOR_API_URL=elsewhere,
        AGENTMONITOR_API_KEY="x",
        HTTP_PROXY=elsewhere,
        http_proxy=elsewhere,
    )

    assert (0, "") == (done.returncode, done.stderr)


@posix
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_colours_unless_it_says_no(
    tmp_path: Path, no_color: str
) -> None:
    """Colours are for terminals, and NO_COLOR is honoured."""
    terminal, end = os.openpty()
    variables = {"NO_COLOR": no_color, "TERM": "xterm"}
    with subprocess.Popen(
        COMMAND, env=environment(tmp_path, **variables), stdout=end, stderr=end
    ) as process:
        os.close(end)
        shown = read_all(terminal)

    assert 0 == process.returncode
    assert bool(no_color) is ("\x1b[" not in shown)


def read_all(terminal: int) -> str:
    """Read a terminal until nobody writes to it any more."""
    chunks = []
    with open(terminal, "rb", buffering=0) as stream:
        while True:
            try:
                chunk = stream.read(65536)
            except OSError:  # Linux says EIO where others say end of file
                break
            if not chunk:
                break
            chunks.append(chunk)
    return b"".join(chunks).decode()


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_keep_leaves_a_collector_that_answers_the_line_it_prints(
    tmp_path: Path, number: int
) -> None:
    """The curl line works until Ctrl-C or SIGTERM, which leave nothing behind."""
    with subprocess.Popen(
        [*COMMAND, "--keep"],
        env=environment(tmp_path, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        guard = threading.Timer(TIME_LIMIT, process.kill)
        guard.start()
        assert process.stdout is not None
        url, key = curl_line(process.stdout)
        found = requests.get(url, headers={"X-API-Key": key}, timeout=30).json()
        refused = requests.get(url, timeout=30).status_code
        process.send_signal(number)
        _, errors = process.communicate()
        guard.cancel()
        guard.join()

    assert ["TimeoutError"] == [e["metadata"]["error_type"] for e in found["events"]]
    assert 401 == refused
    assert (0, "") == (process.returncode, errors)
    assert [] == list(tmp_path.iterdir())


def curl_line(output: Any) -> List[str]:
    """Read up to the line with the address, and return that and the key."""
    key = ""
    for line in output:
        key = key or "".join(re.findall(r"X-API-Key: (\w+)", line))
        address = re.findall(r"'(http://\S+)'", line)
        if key and address:
            return [address[0], key]
    raise AssertionError("there is no curl line")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"sample_rate": 0.0}, "did not arrive: answer ok"),
        ({"sample_rate": {"tool_call": 0.0}}, "did not arrive: find_order ok"),
        ({"sample_rate": {"log": 0.0}}, "16 records were logged"),
        ({"sample_rate": {"retrieval": 0.0}}, "the events are not one tree"),
        ({"redact_defaults": False}, "4 of 4 secrets are in what arrived"),
    ],
)
def test_the_demo_fails_where_something_is_missing_or_leaks(
    capsys: pytest.CaptureFixture[str], options: Dict[str, Any], complaint: str
) -> None:
    """The exit code is 1, and the problem is named."""
    code = main(**options)

    shown = capsys.readouterr().out
    assert 1 == code
    assert f"PROBLEM  {complaint}" in shown
    assert "arrived, each once" not in shown


def test_complete_evidence_has_no_problem() -> None:
    """What arrived once, as one tree, redacted, is all that is wanted."""
    assert [] == problems(evidence(event("a"), event("b", "a"), event("c", "b")))


def test_a_repeated_event_is_a_problem() -> None:
    """Two events with one id are one that arrived twice."""
    twice = evidence(event("a"), event("b", "a", event_id="a"))

    assert ["an event arrived more than once"] == problems(twice)


@pytest.mark.parametrize(
    "events",
    [
        [event("a"), event("b")],
        [event("a"), event("b", "x")],
        [event("a"), event("b", "c"), event("c", "b")],
        [event("a"), event("b", "a", trace_id="u")],
    ],
    ids=["two roots", "an orphan", "a ring", "two traces"],
)
def test_what_is_not_one_tree_is_a_problem(events: List[Dict[str, Any]]) -> None:
    """One trace, one root, and everybody can be reached from it."""
    (problem,) = problems(evidence(*events))

    assert problem.startswith("the events are not one tree")


def test_a_secret_or_no_redaction_at_all_is_a_problem() -> None:
    """A secret that arrived counts, and so does input that did not arrive."""
    leaking = evidence(event("a"), event("b", "a", note="my s3cret"))
    empty = evidence({**event("a"), "input_data": None})

    assert ["1 of 1 secrets are in what arrived"] == problems(leaking)
    assert ["nothing is redacted in what arrived"] == problems(empty)
