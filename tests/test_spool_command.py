"""`agentmonitor spool`: what waits on disk is shown, written out, or delivered."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest

pytest.importorskip("click", reason="needs the extra: collector")

import agentmonitor_logging
from agentmonitor_logging import _spool_files as files
from agentmonitor_logging._spool import Spool
from agentmonitor_logging.spool import contents, report
from conftest import KEY
from servers import DEADLINE, Exchange, Reply, Slow, closed_port

ROOT = Path(str(agentmonitor_logging.__file__)).parent.parent
COMMAND = [sys.executable, "-W", "error", "-m", "agentmonitor_logging", "spool"]
NOBODY = f"http://127.0.0.1:{closed_port()}/api/v1"

posix = pytest.mark.skipif(os.name != "posix", reason="signals and users are POSIX")

PROGRAM = """
import logging, os, pathlib, sys, time
import agentmonitor_logging
import agentmonitor_logging._keeper
from agentmonitor_logging._spool_files import bodies

agentmonitor_logging._keeper.ADOPT_INTERVAL = 1e6
spool, count, agent = sys.argv[1:]
agentmonitor_logging.configure(
    api_key="%s", agent_id=agent, api_url="%s", spool=spool, shutdown_timeout=0.2
)
for number in range(int(count)):
    logging.getLogger("agent").info("%%d of %%s", number, agent)
deadline = time.monotonic() + 10
def written():
    mine = ('"%%s"' %% agent).encode()
    path = pathlib.Path(spool)
    return sum(mine in body for body in bodies(path)) if path.exists() else 0
while written() < int(count):
    assert time.monotonic() < deadline
    time.sleep(0.01)
print(flush=True)
sys.stdin.read()
os.kill(os.getpid(), 9)
""" % (KEY, NOBODY)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def environment(**variables: str) -> Dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("AGENTMONITOR_")}
    parts = [str(ROOT), os.environ.get("PYTHONPATH")]
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, parts)), **variables}


def spool(path: Path, *arguments: str, **options: Any) -> Any:
    """Run `agentmonitor spool` to its end; no output of any of them has the key."""
    variables = options.pop("variables", {})
    done = subprocess.run(
        [*COMMAND, str(path), *arguments],
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=4 * DEADLINE,
        check=False,
        **options,
    )
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def to(server: Any) -> Dict[str, str]:
    """Return the environment that has `send` deliver to *server*."""
    url = getattr(server, "url", server)
    return {"AGENTMONITOR_API_URL": url, "AGENTMONITOR_API_KEY": KEY}


def send(path: Path, server: Any, *arguments: str) -> Any:
    return spool(path, "send", *arguments, variables=to(server))


@contextmanager
def agent(path: Path, count: int, name: str = "bot") -> Iterator[int]:
    """Have a process log *count* events to the spool; it is killed in the end."""
    arguments = [sys.executable, "-W", "error", "-c", PROGRAM]
    with subprocess.Popen(
        [*arguments, str(path), str(count), name],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        guard = threading.Timer(2 * DEADLINE, process.kill)
        guard.start()
        try:
            assert process.stdout.readline()
            yield process.pid
            process.stdin.close()
            assert -signal.SIGKILL == process.wait()
        finally:
            process.kill()
            guard.cancel()
            guard.join()


def left_by_killed(path: Path, count: int, name: str = "bot") -> int:
    """Fill the spool by a process that is killed, and return its pid."""
    with agent(path, count, name) as pid:
        return pid


def left(path: Path, *messages: str, at: Optional[float] = None) -> None:
    """Have an owner that is gone leave events."""
    clock = time.time if at is None else lambda: float(at or 0)
    owner = Spool(str(path), 10**9, report=print, clock=clock)
    assert owner.add([body(message) for message in messages]).ids
    owner.close()


def body(message: str) -> bytes:
    event = {
        "agent_id": "bot",
        "event_type": "log",
        "metadata": {"event_id": message, "message": message},
    }
    return json.dumps(event).encode()


def numbered(count: int, name: str = "bot") -> List[str]:
    return [f"{number} of {name}" for number in range(count)]


def on_disk(path: Path) -> List[str]:
    return [json.loads(body)["metadata"]["message"] for body in files.bodies(path)]


def state(path: Path) -> Dict[str, Any]:
    """Return all that could be changed in a directory."""
    return {
        one.name: (one.read_bytes(), one.stat().st_mtime_ns, one.stat().st_mode)
        for one in [*path.iterdir()]
    }


def damage(path: Path, at: int = 60) -> None:
    """Spoil a byte of the first segment, in the first event."""
    segment = min(path.glob("*.events"))
    data = bytearray(segment.read_bytes())
    data[at] ^= 0xFF
    segment.write_bytes(bytes(data))


# -- show ------------------------------------------------------------------------------


@posix
def test_show_tells_what_waits_since_when_and_from_whom(path: Path) -> None:
    """The dead and the living are told apart, counted, and nothing is changed."""
    with agent(path, 5, "other") as alive:
        dead = left_by_killed(path, 30)
        before = state(path)
        done = spool(path, "show")
        after = state(path)

    assert (0, "") == (done.returncode, done.stderr)
    assert before == after
    assert f"35 events wait in {path} (" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if "  pid" in line]
    assert [["pid", str(alive)], ["pid", str(dead)]] == [row[:2] for row in rows]
    assert [["alive", "5"], ["dead", "30"]] == [row[4:6] for row in rows]
    assert f"5 events belong to running processes (pid {alive})" in done.stdout
    assert f"agentmonitor spool {path} send" in done.stdout


@posix
def test_show_knows_what_was_adopted(path: Path) -> None:
    """Events of a dead process that a living one has taken over are told as such."""
    left_by_killed(path, 30)
    with agent(path, 5, "other") as alive:
        told = spool(path, "show").stdout

    assert "  adopted      30  " in told
    assert f"35 events belong to running processes (pid {alive})" in told
    assert "send" not in told


@posix
def test_show_has_the_same_for_scripts(path: Path) -> None:
    """--json has totals, and pid, host, age, events and bytes of each owner."""
    pid = left_by_killed(path, 30)
    told = json.loads(spool(path, "show", "--json").stdout)

    (owner,) = told["owners"]
    assert (pid, False, "dead", 30) == tuple(
        owner[name] for name in ("pid", "alive", "state", "events")
    )
    size = sum(map(len, files.bodies(path)))
    assert (30, size) == (told["events"], told["bytes"])
    assert 0 <= told["age"] < DEADLINE
    assert told["oldest"].endswith("+00:00")
    assert ([], {}) == (told["set_aside"], told["unreadable"])


def test_show_is_what_a_path_alone_means(path: Path) -> None:
    """Who names no command wants to see."""
    left(path, "one")

    assert "1 event waits" in spool(path).stdout


@pytest.mark.parametrize("command", ["show", "export", "send"])
def test_an_empty_spool_is_no_error(path: Path, server, command: str) -> None:
    """Where nothing waits, each command says so, or writes nothing, with exit 0."""
    left(path, "one")
    assert 0 == send(path, server).returncode
    done = spool(path, command, variables=to(server))

    assert (0, "") == (done.returncode, done.stderr)
    told = {"show": f"Nothing waits in {path}.\n", "export": ""}
    assert told.get(command, "No event waits that a dead process has left.\n") == (
        done.stdout
    )


@pytest.mark.parametrize("command", ["show", "export", "send"])
@pytest.mark.parametrize("kind", ["missing", "file", "foreign"])
def test_what_is_no_spool_is_an_error_with_advice(
    path: Path, server, command: str, kind: str
) -> None:
    """One line names the path and what to give instead; the exit code is 1."""
    if kind == "file":
        path.write_text("notes")
    if kind == "foreign":
        path.mkdir()
        (path / "notes.txt").write_text("notes")
    done = spool(path, command, variables=to(server))

    assert (1, "") == (done.returncode, done.stdout)
    assert 1 == len(done.stderr.splitlines())
    assert str(path) in done.stderr
    assert kind == "file" or "AGENTMONITOR_SPOOL" in done.stderr
    assert path.exists() == (kind != "missing")


def test_damaged_files_are_named_and_cost_what_they_hit(path: Path, server) -> None:
    """What was set aside is listed by name; sound neighbours are counted and sent."""
    left(path, "one", "two", "three")
    damage(path)
    assert "2 events wait" in spool(path, "show").stdout
    assert 2 == len(spool(path, "export").stdout.splitlines())
    sent = send(path, server)
    (aside,) = (one.name for one in path.iterdir() if "set-aside" in one.name)
    shown = spool(path, "show")

    assert ["two", "three"] == server.messages()
    assert 0 == sent.returncode
    for told in (sent.stdout, shown.stdout):
        assert "1 damaged file was set aside" in told
        assert aside in told
    assert [aside] == json.loads(spool(path, "show", "--json").stdout)["set_aside"]


@posix
def test_another_users_spool_is_a_clear_line(path: Path) -> None:
    """Who may not read it is told so, and as whom to run the command."""
    left(path, "one")
    me = os.geteuid()
    path.chmod(0o700 if me == 0 else 0)
    try:
        os.seteuid(65534 if me == 0 else me)
        with pytest.raises(contents.NoSpoolError) as caught:
            contents.look(path)
    finally:
        os.seteuid(me)
        path.chmod(0o700)

    assert str(caught.value).startswith(f"{path} cannot be read: Permission denied")
    assert "as the user whose processes write it" in str(caught.value)


def test_a_file_that_cannot_be_read_is_told_of(path: Path) -> None:
    """A file of events that is none for us does not pass for nothing."""
    left(path, "one")
    segment = min(path.glob("*.events"))
    (path / f"{'0' * 16}-{'1' * 16}.events").symlink_to(segment)
    done = spool(path, "show")

    assert 0 == done.returncode
    assert "1 event waits" in done.stdout
    assert "Not counted, as 1 file cannot be read:" in done.stdout


def test_ages_and_sizes_are_told_as_people_do() -> None:
    """Two units of time, three digits of size."""
    assert ["0 s", "59 s", "1 min", "3 h 12 min", "2 d 1 h", "1 d", "0 s"] == [
        report.age(seconds)
        for seconds in (
            0,
            59.9,
            60,
            3 * 3600 + 12 * 60 + 5,
            2 * 86400 + 3700,
            86400,
            -5,
        )
    ]
    assert ["0 B", "999 B", "1 kB", "12.3 kB", "1 MB", "256 MB", "1.5 GB"] == [
        report.size(number)
        for number in (0, 999, 1000, 12_345, 999_700, 256_000_000, 1_500_000_000)
    ]


def test_many_owners_do_not_flood_the_terminal(path: Path) -> None:
    """The oldest are told one by one, the others in a line; --json has them all."""
    for number in range(report.MOST_ROWS + 5):
        left(path, f"{number}", at=1_700_000_000 + number)
    shown = spool(path, "show").stdout

    assert report.MOST_ROWS == sum("  pid " in line for line in shown.splitlines())
    assert "5 others" in shown
    told = json.loads(spool(path, "show", "--json").stdout)
    assert report.MOST_ROWS + 5 == len(told["owners"])


# -- export ----------------------------------------------------------------------------


@posix
def test_export_writes_json_lines_and_changes_nothing(path: Path) -> None:
    """Each event is a line, the oldest first, as it would be sent."""
    left_by_killed(path, 30)
    before = state(path)
    done = spool(path, "export")

    assert (0, "") == (done.returncode, done.stderr)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert numbered(30) == [event["metadata"]["message"] for event in events]
    assert before == state(path)


def test_export_puts_the_events_of_all_owners_in_order(path: Path) -> None:
    """Processes that logged at the same time are woven together."""
    owners = []
    now = 1_700_000_000.0
    for name in "abc":
        owners.append(Spool(str(path), 10**8, report=print, clock=lambda: now))
    expected = []
    for number in range(30):
        now += 0.5
        owner, name = owners[number % 3], "abc"[number % 3]
        assert owner.add([body(f"{number}{name}")]).ids
        expected.append(f"{number}{name}")
    for owner in owners:
        owner.close()
    told = spool(path, "export").stdout.splitlines()

    assert expected == [json.loads(line)["metadata"]["message"] for line in told]


def test_export_to_a_file_is_for_its_user_and_overwrites_nothing(
    path: Path, tmp_path: Path
) -> None:
    """The file has mode 0600; one that is there already is left as it is."""
    left(path, "one", "two")
    target = tmp_path / "events.jsonl"
    done = spool(path, "export", "-o", str(target))
    again = spool(path, "export", "-o", str(target))

    assert (0, f"2 events written to {target}.\n") == (done.returncode, done.stdout)
    assert 2 == len(target.read_text().splitlines())
    assert os.name != "posix" or 0o600 == stat.S_IMODE(target.stat().st_mode)
    assert 1 == again.returncode
    assert f"{target} cannot be written: File exists" in again.stderr
    assert 2 == len(target.read_text().splitlines())


@posix
def test_export_ends_quietly_where_nobody_reads_on(path: Path) -> None:
    """`| head -1` has its line, and nothing is complained about."""
    left(path, *(f"{number} {'x' * 5000}" for number in range(200)))
    with subprocess.Popen(
        [*COMMAND, str(path), "export"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert b"0 xxx" in process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
        assert 0 == process.wait(DEADLINE)

    assert b"" == errors


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_export_to_a_full_disk_is_an_error(path: Path) -> None:
    """What could not be written is never taken for all there was."""
    left(path, "one")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, str(path), "export"],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert 1 == done.returncode
    assert b"Error: standard output cannot be written: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_export_holds_only_what_overlaps(path: Path, monkeypatch) -> None:
    """Segments that follow each other are read one at a time."""
    for number in range(10):
        left(path, f"{number}", at=1_700_000_000 + 10 * number)
    read = []
    frames_of = files.frames_of
    monkeypatch.setattr(
        files, "frames_of", lambda *args: read.append(args) or frames_of(*args)
    )
    bodies = contents.oldest_first(path)
    next(bodies)
    next(bodies)

    assert len(read) <= 3
    assert 8 == sum(1 for _ in bodies)


# -- send ------------------------------------------------------------------------------


@posix
def test_send_delivers_what_the_dead_left(path: Path, server) -> None:
    """All arrive once and in order, under their own agents, and leave the disk."""
    left_by_killed(path, 120, "first")
    left_by_killed(path, 30, "second")
    done = send(path, server)

    assert (0, "") == (done.returncode, done.stderr)
    assert f"150 events delivered to {server.url}.\n" == done.stdout
    assert [] == on_disk(path)
    events = server.stored
    assert 150 == len(events) == len(server.event_ids)
    for name, count in (("first", 120), ("second", 30)):
        theirs = [e for e in events if e["agent_id"] == name]
        assert numbered(count, name) == [e["metadata"]["message"] for e in theirs]


@posix
def test_send_leaves_to_the_living_what_is_theirs(path: Path, server) -> None:
    """Events of a running process stay, and it is named; that is no error."""
    with agent(path, 5) as pid:
        left(path, "old")
        done = send(path, server)

    assert 0 == done.returncode
    assert f"5 events belong to running processes (pid {pid})" in done.stdout
    assert ["old"] == server.messages()
    assert numbered(5) == on_disk(path)


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (401, "the server refuses the API key (status 401)"),
        (404, "nothing takes events at api_url (status 404)"),
        (503, "were not enough"),
        (Exchange.hang, "2 s were not enough"),
    ],
    ids=["401", "404", "503", "hangs"],
)
def test_send_says_why_and_keeps_what_did_not_arrive(
    serve, path: Path, trouble: Any, reason: str
) -> None:
    """The exit code is 1, one line has the reason, and all is still there."""
    left(path, *numbered(150))
    began = time.monotonic()
    done = send(path, serve(rule=lambda request: trouble), "--timeout", "2")
    took = time.monotonic() - began

    assert 1 == done.returncode
    (line,) = done.stderr.splitlines()
    assert f"150 events did not arrive and stay in {path}: " in line
    assert reason in line
    assert "running" not in done.stdout
    assert numbered(150) == on_disk(path)
    assert took < DEADLINE


def test_send_gives_up_where_nobody_answers(path: Path) -> None:
    """After as many tries as a handler makes, it says whom it could not reach."""
    left(path, "one")
    done = send(path, NOBODY)

    assert 1 == done.returncode
    assert f"1 event did not arrive and stays in {path}: cannot reach " in done.stderr
    assert ["one"] == on_disk(path)


def test_send_goes_on_after_a_moment_of_trouble(serve, path: Path) -> None:
    """A server that stumbles gets another try; nothing is said about it."""
    left(path, *numbered(150))
    server = serve(503, Reply(429, Retry_After="0"))
    done = send(path, server)

    assert (0, "") == (done.returncode, done.stderr)
    assert numbered(150) == sorted(server.messages(), key=lambda m: int(m.split()[0]))


def test_send_says_how_many_were_refused(serve, path: Path) -> None:
    """A poisoned event is lost, its neighbours arrive, and the exit code is 1."""

    def rule(request: Any) -> int:
        return (
            422
            if "7 of bot" in [e["metadata"]["message"] for e in request.events]
            else 200
        )

    server = serve(rule=rule)
    left(path, *numbered(150))
    done = send(path, server)

    assert 1 == done.returncode
    assert f"149 events delivered to {server.url}.\n" == done.stdout
    assert done.stderr == ("Error: 1 event lost: the server answered 422\n")
    assert set(numbered(150)) - set(server.messages()) == {"7 of bot"}
    assert [] == on_disk(path)


def test_send_risks_little_where_everything_is_refused(serve, path: Path) -> None:
    """At an address that refuses whatever it gets, most of it is kept."""
    left(path, *numbered(1000))
    done = send(path, serve(rule=lambda request: 422))

    assert 1 == done.returncode
    assert "nothing was taken: the server answered 422" in done.stderr
    assert 600 <= len(on_disk(path)) < 1000
    lost = 1000 - len(on_disk(path))
    assert f"; {lost} events lost: the server answered 422" in done.stderr


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_send_can_be_ended_at_any_time(serve, path: Path, number: int) -> None:
    """What did not arrive stays and arrives the next time; Ctrl-C repeats nothing."""
    left(path, *numbered(600))
    server = serve(rule=lambda request: Slow(0.1, Reply(200)))
    with subprocess.Popen(
        [*COMMAND, str(path), "send"],
        env=environment(**to(server)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    ) as process:
        server.wait_requests(2)
        process.send_signal(number)
        output, errors = process.communicate(timeout=2 * DEADLINE)
    kept = on_disk(path)

    assert kept
    if number != signal.SIGKILL:
        assert 1 == process.returncode
        assert f"{600 - len(kept)} events delivered" in output
        assert "interrupted" in errors
        assert not set(kept) & set(server.messages())
    assert 0 == send(path, serve()).returncode
    assert [] == on_disk(path)


@posix
def test_two_at_once_deliver_each_event_once(path: Path, server) -> None:
    """What one of them has adopted is not the other's."""
    for number in range(4):
        left(path, *numbered(200, f"bot{number}"))
    processes = [
        subprocess.Popen([*COMMAND, str(path), "send"], env=environment(**to(server)))
        for _ in range(3)
    ]

    assert {0} == {process.wait(2 * DEADLINE) for process in processes}
    assert 800 == len(server.stored) == len(server.event_ids)
    assert [] == on_disk(path)


@posix
def test_progress_is_drawn_on_a_terminal_only(path: Path, server) -> None:
    """A terminal sees a bar that comes to its end; a log file sees none."""
    import pty

    left(path, *numbered(250))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, str(path), "send"],
        env=environment(TERM="xterm", **to(server)),
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 10_000)
            except OSError:  # Linux: the other end is closed
                read = b""
            if not read:
                break
            shown += read
        assert 0 == process.wait(DEADLINE)
    os.close(ours)

    assert b"Sending" in shown
    assert b"100%" in shown


# -- how it is called ------------------------------------------------------------------


def test_send_needs_a_key_and_takes_no_weak_one(path: Path, server) -> None:
    """What is missing or wrong is said before anything is touched."""
    left(path, "one")
    none = spool(path, "send")
    weak = spool(path, "send", "--api-key", "hunter2")
    plain = send(path, "http://example.com/api/v1")

    assert 2 == none.returncode
    assert "AGENTMONITOR_API_KEY" in none.stderr
    assert 1 == weak.returncode
    assert "hunter2" not in weak.stdout + weak.stderr
    assert 1 == plain.returncode
    assert "plain http would show the key" in plain.stderr
    assert "or give --allow-http where" in plain.stderr
    assert ["one"] == on_disk(path)


def test_the_settings_of_the_application_do_not_confuse_it(path: Path, server) -> None:
    """It sends though the environment switches handlers off, or names another spool."""
    left(path, "one")
    variables = {**to(server), "AGENTMONITOR_ENABLED": "false"}
    variables["AGENTMONITOR_SPOOL"] = str(path.parent / "other")
    done = spool(path, "send", variables=variables)

    assert 0 == done.returncode
    assert ["one"] == server.messages()
    assert ["spool"] == [one.name for one in path.parent.iterdir()]


@pytest.mark.parametrize("command", ["show", "send", "export"])
def test_who_forgets_the_path_is_told_where_it_goes(command: str) -> None:
    """The directory comes before the command, and the error says so."""
    done = spool(Path(command), "--help")

    assert 2 == done.returncode
    assert f"The directory comes first: agentmonitor spool PATH {command}" in (
        done.stderr
    )


@pytest.mark.parametrize("command", ["show", "send", "export"])
def test_help_is_there_without_a_spool(path: Path, command: str) -> None:
    """Reading on takes neither a directory nor a key."""
    done = spool(path, command, "--help")

    assert (0, "") == (done.returncode, done.stderr)
    assert f"Usage: agentmonitor spool PATH {command} [OPTIONS]" in done.stdout


def test_click_is_all_it_needs(path: Path) -> None:
    """Where agents run nobody installs a web server; other commands say they need it."""
    left(path, "one")
    program = (
        "import sys, runpy; sys.modules['starlette'] = sys.modules['uvicorn'] = None;"
        "sys.argv[:] = ['agentmonitor', *sys.argv[1:]];"
        "runpy.run_module('agentmonitor_logging', run_name='__main__')"
    )
    done, collector = (
        subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
        )
        for arguments in (["spool", str(path), "show"], ["collector"])
    )

    assert (0, "") == (done.returncode, done.stderr)
    assert "1 event waits" in done.stdout
    assert 2 == collector.returncode
    assert collector.stderr == (
        "Error: this needs starlette, uvicorn:"
        ' pip install "agentmonitor-logging[collector]"\n'
    )


def test_a_hundred_thousand_events_are_shown_soon(path: Path) -> None:
    """Looking costs seconds of one processor, not minutes, and little memory."""
    owner = Spool(str(path), 10**9, report=print)
    for _ in range(100):
        assert owner.add([body("x" * 100)] * 1000).ids
    owner.close()
    began = time.process_time()
    found = contents.look(path)

    assert 100_000 == found.events
    assert time.process_time() - began < 5


def test_looking_needs_no_server(path: Path) -> None:
    """Showing and exporting reach for no network: no key, no address, no request."""
    left(path, "one")
    variables = {"AGENTMONITOR_API_URL": "not an address"}

    assert 0 == spool(path, "show", variables=variables).returncode
    assert 0 == spool(path, "export", variables=variables).returncode
