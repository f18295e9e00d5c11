"""A small real program that logs as it is told over a pipe, and who drives it.

Kill and restart are real only where the process is. `python -m worker` is the program:
it reads commands, one JSON object a line, and answers each with a line. `Worker`
starts it, asks it, and ends it in every way.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any, Dict, List, Optional

PATIENCE = 30.0
"""Seconds after which a worker that does not answer has failed."""


class Worker:
    """Drive one process; *name* is that of its events' authors."""

    def __init__(self, name: str, *, python: str = sys.executable) -> None:
        self.name = name
        self.pid = 0
        self.kept_at: Dict[str, float] = {}
        """When each event had been logged at the latest, on the monotonic clock."""
        self.final: Optional[Dict[str, Any]] = None
        """What it counted last, at its very end, where it came to one."""
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        self._lines: queue.Queue[Optional[Dict[str, Any]]] = queue.Queue()
        self._process = subprocess.Popen(
            [python, "-W", "error", "-X", "faulthandler", "-m", "worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=_environment(),
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __repr__(self) -> str:
        return f"<Worker {self.name}, pid {self.pid}>"

    def ask(self, do: str, **details: Any) -> Dict[str, Any]:
        """Have it do something, and return what it answers."""
        self.tell(do, **details)
        return self.hear()

    def tell(self, do: str, **details: Any) -> None:
        """Have it do something, without waiting for the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        self._process.stdin.flush()

    def hear(self) -> Dict[str, Any]:
        """Return its next answer; fail where it gives none."""
        try:
            answer = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            answer = None
        if answer is None:
            self._abort()
            raise AssertionError(f"{self!r} does not answer:\n{self.errors()}")
        assert "error" not in answer, f"{self!r}: {answer['error']}\n{self.errors()}"
        return answer

    def rest(self) -> List[Dict[str, Any]]:
        """Return what it said up to its end, and nobody heard yet."""
        return [said for said in iter(self._lines.get_nowait, None) if said is not None]

    def leave(self, how: str) -> float:
        """End it by "return", "sys.exit", "raise" or "_exit"; return the seconds."""
        began = time.monotonic()
        self.tell("leave", how=how)
        self._wait()
        return time.monotonic() - began

    def kill(self) -> float:
        """Kill it, and return when, on the monotonic clock."""
        at = time.monotonic()
        self._process.send_signal(signal.SIGKILL)
        self._wait()
        return at

    def signal(self, signum: int) -> None:
        self._process.send_signal(signum)

    def close(self) -> None:
        """End it, and whatever it may have left behind, in a hurry."""
        if self._process.poll() is None:
            self._process.kill()
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except OSError:
            pass
        self._wait()
        self._errors.close()

    def errors(self) -> str:
        """Return what it wrote to stderr up to now."""
        if self._errors.closed:
            return ""
        at = self._errors.seek(0)
        return self._errors.read().decode("utf-8", "replace")

    @property
    def returncode(self) -> Optional[int]:
        return self._process.poll()

    def _wait(self) -> None:
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._abort()
            raise AssertionError(f"{self!r} does not end:\n{self.errors()}") from None
        # A child that it left behind may still hold the pipe.
        self._reader.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass

    def _abort(self) -> None:
        """Have it show its threads, and end."""
        self._process.send_signal(signal.SIGABRT)
        self._process.wait(PATIENCE)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                said = json.loads(line)
            except ValueError:  # killed while it wrote
                continue
            if "final" in said:
                self.final = said["final"]
            else:
                self._lines.put(said)
        self._lines.put(None)


def _environment() -> Dict[str, str]:
    tests = Path(__file__).resolve().parent
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENTMONITOR_", "PYTHON", "COV_"))
        and not name.upper().endswith("_PROXY")
    }
    kept["PYTHONPATH"] = os.pathsep.join([str(tests.parent), str(tests)])
    return kept


# -- the program -----------------------------------------------------------------------


class Program:
    """Do what is asked; *report* is the descriptor of the pipe for the answers."""

    def __init__(self, report: int) -> None:
        self.report = report
        self.kept: List[Any] = []
        self.taken: List[int] = []
        self.ahead: List[float] = []

    def say(self, answer: Dict[str, Any]) -> None:
        os.write(self.report, json.dumps(answer).encode() + b"\n")

    def say_finally(self) -> None:
        self.say({"final": self.counted()})

    def counted(self) -> Dict[str, Any]:
        from agentmonitor_logging import stats

        return dict(vars(stats()), pid=os.getpid())

    def run(self) -> None:
        # Before logging is imported, so that it is called after everything else.
        atexit.register(self.say_finally)
        for line in sys.stdin:
            command = json.loads(line)
            do = getattr(self, "do_" + command.pop("do"))
            if do(**command) is not None:
                return

    def do_configure(self, form: str, url: str, options: Dict[str, Any]) -> None:
        import logging

        from forms import CONFIGURED

        log = logging.getLogger("agent")
        for handler in list(log.handlers) if form == "function" else []:
            # As dictConfig does, unlike the function: one handler is enough.
            log.removeHandler(handler)
            handler.close()
        CONFIGURED[form](url, **options)
        # What was attached before goes on to be counted.
        self.kept += [ref() for ref in logging._handlerList]
        self.say({"stats": self.counted()})

    def do_add(self, url: str, spool: str) -> None:
        """Attach another handler beside what is there."""
        from agentmonitor_logging import configure
        from forms import options_for

        configure(logger="agent", **options_for(url, spool=spool, agent_id="other"))
        self.say({})

    def do_log(
        self, authors: List[str], first: int, count: int, way: str, size: int = 0
    ) -> None:
        """Log *count* events of each author, each of them on a thread of its own."""
        threads = [
            threading.Thread(target=log_some, args=(author, first, count, way, size))
            for author in authors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.say({"at": time.monotonic(), "stats": self.counted()})

    def do_stream(self, author: str, pause: float) -> None:
        """Log until the end, and say of each event that it was logged, and when."""
        number = 0
        while True:
            log_some(author, number, 1, "plain", 0)
            self.say({"number": number, "at": time.monotonic()})
            number += 1
            time.sleep(pause)

    def do_flush(self, timeout: float) -> None:
        from agentmonitor_logging import flush

        result = flush(timeout)
        self.say({"pending": result.pending, "stats": self.counted()})

    def do_stats(self) -> None:
        self.say({"stats": self.counted()})

    def do_fork(
        self, author: str, count: int, leave: str, flush: float, busy: str
    ) -> None:
        """Fork, while *busy* logs as many on a thread; the child logs and leaves."""
        thread = threading.Thread(target=log_some, args=(busy, 0, count, "plain", 0))
        thread.start()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self.be_child(writing, author, count, leave, flush)
        os.close(writing)
        thread.join()
        with os.fdopen(reading) as pipe:
            said = [json.loads(line) for line in pipe]
        _, status = os.waitpid(child, 0)
        at = time.monotonic()
        self.say({"child": said, "status": status, "at": at, "stats": self.counted()})

    def be_child(
        self, report: int, author: str, count: int, leave: str, flush: float
    ) -> None:
        import agentmonitor_logging

        self.report = report
        log_some(author, 0, count, "plain", 0)
        self.say({"at": time.monotonic(), "stats": self.counted()})
        if flush:
            result = agentmonitor_logging.flush(flush)
            self.say({"pending": result.pending, "stats": self.counted()})
        if leave == "_exit":
            os._exit(0)
        sys.exit()

    def do_wait(self, spooled: int) -> None:
        """Wait until so many events are on disk."""
        from agentmonitor_logging import stats

        deadline = time.monotonic() + PATIENCE
        while stats().spooled < spooled and time.monotonic() < deadline:
            time.sleep(0.01)
        self.say({"stats": self.counted()})

    def do_limit(self, name: str, limit: Optional[int]) -> None:
        """Lower a limit of this process, or with None raise it again."""
        import resource

        which = getattr(resource, name)
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (hard if limit is None else limit, hard))
        self.say({})

    def do_become(self, uid: int) -> None:
        """Be another user from now on."""
        os.setgid(uid)
        os.setuid(uid)
        self.say({})

    def do_turn_clock(self, seconds: float) -> None:
        """Let the time of day jump, from the first such command on."""
        if not self.ahead:
            now = time.time
            time.time = lambda: now() + self.ahead[0]
        self.ahead[:] = [seconds]
        self.say({})

    def do_take_descriptors(self) -> None:
        """Open files until no more can be opened."""
        with contextlib.suppress(OSError):
            # Without it no thread can end on 3.8, and it is loaded by the first.
            ctypes.CDLL("libgcc_s.so.1")
        try:
            while True:
                self.taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self.say({"taken": len(self.taken)})

    def do_give_descriptors(self) -> None:
        while self.taken:
            os.close(self.taken.pop())
        self.say({})

    def do_exec(self) -> None:
        """Become this program anew, in the same process; it is the one to answer."""
        os.execv(sys.executable, [sys.executable, "-m", "worker", "anew"])

    def do_leave(self, how: str) -> Optional[bool]:
        if how == "_exit":
            os._exit(0)
        if how == "sys.exit":
            sys.exit()
        if how == "raise":
            raise SystemError("the program's own")
        return True


def log_some(author: str, first: int, count: int, way: str, size: int) -> None:
    """Log events whose label says who logged them, and the how manieth each is."""
    import logging

    from agentmonitor_logging import agent_event, log_agent_call

    log = logging.getLogger("agent")
    padding = "x" * size

    @log_agent_call(logger="agent")
    def call(label: str) -> None:
        """Be called."""

    for number in range(first, first + count):
        label = f"{author}#{number}"
        if way == "decorated":
            call(label)
        elif way == "block":
            with agent_event("block", {"label": label}, logger="agent"):
                pass
        else:
            log.info("%s", label, extra={"input_data": {"label": label, "x": padding}})


if __name__ == "__main__":
    program = Program(sys.stdout.fileno())
    if sys.argv[1:]:
        program.say({})
    program.run()
