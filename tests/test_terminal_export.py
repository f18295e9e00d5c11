"""`agentmonitor export`: all events of a collector, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import requests

pytest.importorskip("click", reason="needs the extra: collector")
pytest.importorskip("rich", reason="needs the extra: collector")

from agentmonitor_logging.collector import RunningCollector, running_collector
from agentmonitor_logging.terminal.export import PAUSES, Export
from agentmonitor_logging.terminal.files import replacing
from agentmonitor_logging.terminal.formats import COLUMNS, FORMATS
from agentmonitor_logging.terminal.source import Source, SourceError
from conftest import KEY
from servers import DEADLINE, Raw, Reply, ScriptedServer, closed_port
from test_cli import environment, run
from test_terminal_tail import event, send, terminal

posix = pytest.mark.skipif(os.name != "posix", reason="signals and pty are POSIX")

COMMAND = [sys.executable, "-m", "agentmonitor_logging", "export"]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db", KEY) as running:
        yield running


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "events"


def export(url: str, *arguments: str, **variables: str) -> Any:
    """Run `agentmonitor export` to its end; nothing it says has the key in it."""
    variables = {"AGENTMONITOR_API_KEY": KEY, "PYTHONUTF8": "1", **variables}
    done = run("export", "--url", url, *arguments, **variables)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def fill(url: str, count: int) -> None:
    for first in range(0, count, 100):
        send(url, *(event(f"event-{n}") for n in range(first, min(count, first + 100))))


def given(url: str) -> List[Dict[str, Any]]:
    """Return the newest thousand events, as the API gives them."""
    answer = requests.get(
        f"{url}/events?limit=1000", headers={"X-API-Key": KEY}, timeout=DEADLINE
    )
    return answer.json()["events"]


def pages(*answers: Any) -> Callable[[Any], Any]:
    """Make the rule of a server whose pages are *answers*, the last for ever."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


def page(number: int, cursor: Any) -> Reply:
    body = {"events": [{"id": number, "metadata": {}}], "next": cursor}
    return Reply(200, body, store=False)


def names(target: Path) -> List[str]:
    return sorted(one.name for one in target.parent.iterdir())


# -- what is written -------------------------------------------------------------------


def test_json_lines_are_the_events_as_the_api_gives_them(
    collector: RunningCollector,
) -> None:
    """All pages, each event once, the newest first."""
    fill(collector.url, 950)
    send(collector.url, event("kůň", input_data={"text": "a\u2028b\n", "n": [0.1, 10]}))
    done = export(collector.url)

    assert (0, "") == (done.returncode, done.stderr)
    # Not splitlines(): U+2028 is no line break in JSON lines.
    rows = done.stdout[:-1].split("\n")
    assert 951 == len(rows)
    assert given(collector.url) == [json.loads(row) for row in rows]


def test_csv_is_a_table_of_the_same(collector: RunningCollector) -> None:
    """Columns are flat, payloads are JSON in a cell, and a reader gets them back."""
    send(
        collector.url,
        event(
            'a "quoted", name',
            input_data={"text": 'line\nbreak, and "quotes"'},
            cost_usd=0.25,
            latency_ms=12,
            status="error",
            error_message='no, "never"\nagain',
            metadata={"session_id": "s-1", "level": "ERROR"},
        ),
        event("plain"),
    )
    done = export(collector.url, "--format", "csv")
    plain, row = csv.DictReader(io.StringIO(done.stdout, newline=""))

    assert 0 == done.returncode
    assert list(COLUMNS) == list(row)
    _, original = given(collector.url)
    assert ["0.25", "12", "error", "s-1", "ERROR"] == [
        row[name]
        for name in ("cost_usd", "latency_ms", "status", "session_id", "level")
    ]
    assert original["error_message"] == row["error_message"]
    assert original["input_data"] == json.loads(row["input_data"])
    assert original["metadata"] == json.loads(row["metadata"])
    assert ["", "", ""] == [
        plain[name] for name in ("cost_usd", "output_data", "error_message")
    ]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(start: str) -> None:
    """What a spreadsheet would run is text to it, in whatever column."""
    text = f"{start}cmd|' /C calc'!A0"
    hostile = {
        "agent_id": text,
        "error_message": text,
        "cost_usd": -1,
        "metadata": {"message": text, "session_id": text},
    }
    written = FORMATS["csv"].head + FORMATS["csv"].written([hostile])
    (row,) = csv.DictReader(io.StringIO(written.decode(), newline=""))

    for name in ("agent_id", "error_message", "message", "session_id"):
        assert f"'{text}" == row[name]
    assert "'-1" == row["cost_usd"]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_half_a_character_does_not_stop_it(form: str) -> None:
    """What is no text in any encoding is written as an escape."""
    written = FORMATS[form].written([{"id": 1, "metadata": {"message": "\ud800"}}])

    assert b"\\ud800" in written


def test_what_is_not_asked_for_is_not_written(collector: RunningCollector) -> None:
    """Agent, type and status each leave the others out."""
    send(
        collector.url,
        event("one", agent_id="other"),
        event("two", event_type="call"),
        event("three", status="error"),
    )

    def told(*arguments: str) -> List[str]:
        rows = export(collector.url, *arguments).stdout.splitlines()
        return [json.loads(row)["metadata"]["message"] for row in rows]

    assert ["one"] == told("--agent", "other")
    assert ["two"] == told("--type", "call")
    assert ["three"] == told("--status", "error")
    assert [] == told("--agent", "nobody")


# -- a file ----------------------------------------------------------------------------


def test_a_file_is_replaced_by_a_whole_one(
    collector: RunningCollector, target: Path
) -> None:
    """It is for its user only, and nothing lies beside it."""
    fill(collector.url, 3)
    target.write_text("what was here before")
    done = export(collector.url, "-o", str(target))

    assert (0, "") == (done.returncode, done.stderr)
    assert f"3 events written to {target}.\n" == done.stdout
    assert 3 == len(target.read_text().splitlines())
    assert os.name != "posix" or 0o600 == stat.S_IMODE(target.stat().st_mode)
    assert ["events"] == names(target)


def test_a_link_goes_on_pointing_where_it_did(
    collector: RunningCollector, target: Path
) -> None:
    """What it points at is replaced, and not the link."""
    fill(collector.url, 1)
    link = target.parent / "link"
    link.symlink_to(target)
    export(collector.url, "-o", str(link))

    assert link.is_symlink()
    assert 1 == len(target.read_text().splitlines())


@pytest.mark.parametrize("place", ["missing/events", ""])
def test_what_cannot_be_written_is_one_clear_line(
    collector: RunningCollector, target: Path, place: str
) -> None:
    """A directory that is missing, or that stands in the way, is named."""
    path = target.parent / place
    done = export(collector.url, "-o", str(path))

    assert (1, "") == (done.returncode, done.stdout)
    (complaint,) = done.stderr.splitlines()
    assert complaint.startswith(f"Error: {path} cannot be written: ")


@posix
def test_a_device_is_not_replaced_by_a_file(collector: RunningCollector) -> None:
    """Not even by one who may: /dev/null stays what it is."""
    done = export(collector.url, "-o", "/dev/null")

    assert 1 == done.returncode
    assert "no regular file" in done.stderr
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_block_that_fails_leaves_all_as_it_was(target: Path) -> None:
    """The old file is there, and no part of a new one."""
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as file:
        file.write(b"half")
        raise KeyboardInterrupt

    assert "old" == target.read_text()
    assert ["events"] == names(target)


# -- what goes wrong -------------------------------------------------------------------


def test_a_page_that_breaks_off_is_asked_for_again(
    serve: Callable[..., ScriptedServer], target: Path
) -> None:
    """From the same cursor, so that every event is there once."""
    torn = Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", "reset")
    server = serve(rule=pages(page(3, "c2"), torn, 503, page(2, "c3"), page(1, None)))
    done = export(server.url, "-o", str(target))

    assert (0, "") == (done.returncode, done.stderr)
    assert [3, 2, 1] == [
        json.loads(row)["id"] for row in target.read_text().splitlines()
    ]
    asked = [r.line.partition("cursor=")[2].split()[:1] for r in server.requests]
    assert [[], ["c2"], ["c2"], ["c2"], ["c3"]] == asked


def test_who_does_not_come_back_is_given_up(
    serve: Callable[..., ScriptedServer], target: Path
) -> None:
    """After a few tries, with what to do; no part is left where the file would be."""
    server = serve(rule=pages(page(3, "c2"), Raw(then="reset")))
    done = export(server.url, "-o", str(target))

    assert (1, "") == (done.returncode, done.stdout)
    (complaint,) = done.stderr.splitlines()
    assert f"({len(PAUSES) + 1} tries, after 1 events); run it again" in complaint
    assert 1 + len(PAUSES) + 1 == len(server.requests)
    assert [] == names(target)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (401, "AGENTMONITOR_API_KEY"),
        (404, "give the address of a collector"),
        (Reply(200, b"<html>", store=False, Content_Type="text/html"), "a web page"),
        (Reply(200, b"{}", store=False), "is no collector"),
    ],
    ids=["401", "404", "html", "json"],
)
def test_what_will_not_pass_is_not_tried_again(
    serve: Callable[..., ScriptedServer], answer: Any, said: str
) -> None:
    """A wrong key or address is told at once."""
    server = serve(rule=lambda request: answer)
    done = export(server.url)

    assert (1, "") == (done.returncode, done.stdout)
    assert said in done.stderr
    assert 1 == len(server.requests)


def test_pages_that_do_not_end_are_broken_off(
    serve: Callable[..., ScriptedServer],
) -> None:
    """A cursor that leads to itself is an error, not a file that grows."""
    server = serve(rule=lambda request: page(1, "same"))
    exporting = Export(Source(server.url), {})

    with pytest.raises(SourceError, match="do not end"):
        exporting.run(io.BytesIO(), FORMATS["jsonl"])
    exporting._source.close()


def test_nobody_there_is_an_error_at_once() -> None:
    """Where not even the first page comes, the address is in question."""
    url = f"http://127.0.0.1:{closed_port()}/api/v1"
    waited: List[float] = []
    source = Source(url)
    exporting = Export(source, {}, sleep=waited.append)

    with pytest.raises(SourceError, match=f"cannot reach {url}: Connection refused"):
        exporting.run(io.BytesIO(), FORMATS["jsonl"])
    source.close()
    assert [] == waited


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_interrupts_it_finds_no_half_file(
    serve: Callable[..., ScriptedServer], target: Path, number: int
) -> None:
    """What was there before is there, and no part of a new one."""
    target.write_text("old")
    server = serve(rule=pages(page(3, "c2"), Raw(then="hang")))
    with subprocess.Popen(
        [*COMMAND, "--url", server.url, "-o", str(target)],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    ) as process:
        server.wait_requests(2)
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE)

    assert 1 == process.returncode
    assert ["Aborted!"] == errors.split()
    assert "old" == target.read_text()
    assert ["events"] == names(target)


@posix
def test_it_ends_quietly_where_nobody_reads_on(collector: RunningCollector) -> None:
    """`| head -1` has its line, and nothing is complained about."""
    for _ in range(3):
        send(
            collector.url, *(event(f"{os.urandom(8).hex()}" * 400) for _ in range(100))
        )
    with subprocess.Popen(
        [*COMMAND, "--url", collector.url],
        env=environment(AGENTMONITOR_API_KEY=KEY),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"id":')
        process.stdout.close()
        errors = process.stderr.read()
        assert 0 == process.wait(DEADLINE)

    assert b"" == errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error(collector: RunningCollector) -> None:
    """What could not be written is never taken for all there was."""
    fill(collector.url, 1)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "--url", collector.url],
            env=environment(AGENTMONITOR_API_KEY=KEY),
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert 1 == done.returncode
    assert b"Error: standard output cannot be written: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@posix
def test_progress_is_drawn_on_a_terminal_only(
    collector: RunningCollector, target: Path
) -> None:
    """A terminal sees how many are written; a log file sees nothing of it."""
    fill(collector.url, 1100)
    command = ("export", "--url", collector.url, "-o", str(target))
    with terminal(*command, stream="stderr") as (process, got):
        pass

    assert 0 == process.returncode
    assert "Exporting" in "".join(got)
    assert "1,100 events" in "".join(got)
    assert "" == export(collector.url, "-o", str(target)).stderr
