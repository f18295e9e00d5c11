"""Anything may happen to processes, a server and a spool, in any order: nothing lost.

Hypothesis decides what happens; the processes are real, and so are their ends. To hunt
for hours rather than seconds:

    MACHINE_EXAMPLES=500 MACHINE_STEPS=40 pytest tests/test_machine.py --timeout=0
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Set

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agentmonitor_logging import Stats
from agentmonitor_logging import _spool_files as files
from conftest import KEY
from invariants import violations
from servers import FaultServer
from worker import Worker

EXAMPLES = int(os.environ.get("MACHINE_EXAMPLES", "0"))
STEPS = int(os.environ.get("MACHINE_STEPS", "15"))

MOST_WORKERS = 3
SHUTDOWN_TIMEOUT = 3.0
WINDOW_SECONDS = 0.2
WINDOW_EVENTS = 20
"""What a kill may cost: the events of so long, or so many, whichever is more."""

FORMS = ["single", "pair", "factory, target last", "alone", "function"]
WAYS = ["plain", "plain", "decorated", "block"]
STATES = ["up", "up", "down", "slow", "hanging", "storing", "refusing", "flaky"]


@dataclass
class Life:
    """What one process logged, and what its end may have cost."""

    at: Dict[str, float] = field(default_factory=dict)
    ended_at: Optional[float] = None
    most: Optional[int] = 0
    """How many may be missing, None for any number; 0 as long as nothing happened."""

    def may_miss(self, missing: Set[str]) -> bool:
        if self.most is None or len(missing) <= self.most:
            return True
        if self.ended_at is None:
            return False
        return self.ended_at - min(self.at[i] for i in missing) <= WINDOW_SECONDS


class Machine(RuleBasedStateMachine):
    """Let processes log, fork, reconfigure, be killed, and others take over."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.spool: Optional[Path] = None
        self.server = FaultServer()
        self.state = "up"
        self.workers: List[Worker] = []
        self.lives: Dict[str, Life] = {}
        self.logged: Dict[str, List[str]] = {}
        self.numbers = 0
        self.was_refused = False
        self.is_news = False
        """Whether something was logged since the last step that did something else."""
        self.story: List[str] = []
        self.broken = False

    @initialize(
        with_spool=st.sampled_from([True, True, False]),
        form=st.sampled_from(FORMS),
        state=st.sampled_from(["refusing", *STATES]),
    )
    def begin(self, with_spool: bool, form: str, state: str) -> None:
        self.spool = self.folder / "spool" if with_spool else None
        self.start(form)
        self.turn(state, 0)

    # -- what may happen ---------------------------------------------------------------

    @precondition(lambda self: not self.workers or self.is_news)
    @precondition(lambda self: len(self.workers) < MOST_WORKERS)
    @rule(form=st.sampled_from(FORMS))
    def start(self, form: str) -> None:
        worker = Worker(self.fresh("w"))
        self.workers.append(worker)
        self.lives[worker.name] = Life()
        self.configure(worker, form)

    @precondition(lambda self: self.workers)
    @rule(
        which=st.integers(0, 9),
        threads=st.integers(1, 3),
        count=st.integers(1, 50),
        way=st.sampled_from(WAYS),
        size=st.sampled_from([0, 0, 3_000]),
    )
    def log(self, which: int, threads: int, count: int, way: str, size: int) -> None:
        worker = self.worker(which)
        authors = [self.fresh(worker.name + "t") for _ in range(threads)]
        self.tell(f"{worker.name} logs {threads} * {count} {way}")
        said = worker.ask(
            "log", authors=authors, first=0, count=count, way=way, size=size
        )
        for author in authors:
            self.note(self.lives[worker.name], author, count, said["at"])
        self.check(worker.name, said["stats"])

    @precondition(lambda self: self.workers and self.is_news)
    @rule(which=st.integers(0, 9), patience=st.sampled_from([0.0, 0.1, 0.5]))
    def flush(self, which: int, patience: float) -> None:
        worker = self.worker(which)
        self.tell(f"{worker.name} flushes")
        timeout = 10.0 if self.state in ("up", "slow") else patience
        said = worker.ask("flush", timeout=timeout)
        self.check(worker.name, said["stats"])

    @precondition(lambda self: self.workers and self.is_news)
    @rule(which=st.integers(0, 9), form=st.sampled_from(FORMS))
    def reconfigure(self, which: int, form: str) -> None:
        self.configure(self.worker(which), form)

    @precondition(lambda self: self.workers)
    @rule(
        which=st.integers(0, 9),
        count=st.integers(1, 30),
        leave=st.sampled_from(["_exit", "sys.exit"]),
        flush=st.sampled_from([0.0, 0.3]),
    )
    def fork(self, which: int, count: int, leave: str, flush: float) -> None:
        worker = self.worker(which)
        child, busy = self.fresh(worker.name + "c"), self.fresh(worker.name + "b")
        self.tell(f"{worker.name} forks {child}, {count}, flush {flush}, {leave}")
        life = self.lives[child] = Life()
        said = worker.ask(
            "fork", author=child, count=count, leave=leave, flush=flush, busy=busy
        )
        assert said["status"] == 0
        self.note(self.lives[worker.name], busy, count, said["at"])
        self.note(life, child, count, said["child"][0]["at"])
        for report in said["child"]:
            self.check(child, report.get("stats") or report["final"])
        last = said["child"][-1]
        if leave == "sys.exit":
            self.ended(child, last["final"])
        elif not flush or last["pending"]:
            self.cut_off(life, said["at"])

    @precondition(lambda self: self.is_news)
    @rule(state=st.sampled_from(STATES), seed=st.integers(0, 99))
    def turn(self, state: str, seed: int) -> None:
        self.tell(f"the server is {state} ({seed})")
        self.state = state
        status = [503, 429, 401, 404][seed % 4]
        self.was_refused |= state == "refusing" and status in (401, 404)
        turns = {
            "up": self.server.up,
            "down": self.server.down,
            "slow": lambda: self.server.slow(0.1),
            "hanging": self.server.hanging,
            "storing": lambda: self.server.hanging(store=True),
            "refusing": lambda: self.server.refusing(status),
            "flaky": lambda: self.server.flaky(seed),
        }
        turns[state]()

    @precondition(lambda self: self.workers and self.is_news)
    @rule(which=st.integers(0, 9))
    def kill(self, which: int) -> None:
        worker = self.worker(which)
        self.tell(f"{worker.name} is killed")
        self.workers.remove(worker)
        self.cut_off(self.lives[worker.name], worker.kill())
        worker.close()

    @precondition(lambda self: self.workers and self.is_news)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["return", "raise", "_exit"]))
    def leave(self, which: int, how: str) -> None:
        worker = self.worker(which)
        self.tell(f"{worker.name} leaves by {how}")
        self.workers.remove(worker)
        at = time.monotonic()
        seconds = worker.leave(how)
        errors = worker.errors()
        worker.close()
        assert KEY not in errors
        if how == "_exit":
            self.cut_off(self.lives[worker.name], at)
            return
        assert seconds < SHUTDOWN_TIMEOUT + 2.5
        assert worker.returncode == (1 if how == "raise" else 0), errors
        assert ("Traceback" in errors) == (how == "raise"), errors
        assert worker.final is not None
        self.ended(worker.name, worker.final)

    # -- what must hold ----------------------------------------------------------------

    def configure(self, worker: Worker, form: str) -> None:
        self.tell(f"{worker.name} is configured as {form}")
        options: Dict[str, Any] = {
            "timeout": 1,
            "shutdown_timeout": SHUTDOWN_TIMEOUT if self.is_well else 0.5,
            "retry_attempts": 2,
        }
        if self.spool is not None:
            options["spool"] = str(self.spool)
        said = worker.ask("configure", form=form, url=self.server.url, options=options)
        self.check(worker.name, said["stats"])

    def check(self, name: str, stats: Dict[str, Any]) -> None:
        """Hold what a process counts against what it did."""
        lost = sum(stats["lost"].values())
        logged = len(self.lives[name].at)
        assert stats["accepted"] == stats["delivered"] + stats["pending"] + lost, stats
        assert min(stats["delivered"], stats["pending"], stats["spooled"]) >= 0, stats
        assert stats["accepted"] >= logged, (logged, stats)
        assert not set(stats["lost"]) - {"shutdown"}, stats
        assert self.spool is None or not lost, stats

    def ended(self, name: str, stats: Dict[str, Any]) -> None:
        """Note that a process ended by itself, and what it said that this cost."""
        self.check(name, stats)
        if self.spool is None:
            self.lives[name].most = sum(stats["lost"].values()) + stats["pending"]
        self.client_ended()

    def cut_off(self, life: Life, at: float) -> None:
        life.ended_at = at
        life.most = None if self.spool is None else WINDOW_EVENTS
        self.client_ended()

    def client_ended(self) -> None:
        self.server.client_was_killed(0.3)

    def teardown(self) -> None:
        try:
            if self.story:
                self.settle()
                self.judge()
        except Exception as error:
            raise AssertionError("\n".join([str(error), *self.story])) from error
        finally:
            for worker in self.workers:
                worker.close()
            self.server.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    def settle(self) -> None:
        """Let everybody deliver, and then whoever comes next."""
        self.server.up()
        self.state = "up"
        for worker in list(self.workers):
            self.check(worker.name, worker.ask("flush", timeout=10)["stats"])
            self.leave(0, "return")
        if self.spool is not None:
            self.adopt_all()

    def adopt_all(self) -> None:
        self.start("single")
        heir = self.workers[-1]
        deadline = time.monotonic() + 20
        while self.on_disk() and time.monotonic() < deadline:
            heir.ask("flush", timeout=5)
        self.leave(0, "return")
        left = self.on_disk()
        assert not left, f"{len(left)} are left on disk"
        strange = [p.name for p in self.spool.iterdir()] if self.spool.exists() else []
        assert not strange, strange

    def on_disk(self) -> List[bytes]:
        assert self.spool is not None
        return list(files.bodies(self.spool)) if self.spool.exists() else []

    def judge(self) -> None:
        self.name_by_label()
        stored = {storing.event_id for storing in self.server.storings}
        excused = 0
        for name, life in self.lives.items():
            missing = set(life.at) - stored
            assert life.may_miss(missing), (
                f"{name}: {len(missing)} of {len(life.at)} are missing, "
                f"{life.most} may be: {sorted(missing)[:5]}"
            )
            excused += len(missing)
        wrong = violations(self.logged, self.server, may_miss=excused)
        if self.was_refused:
            # What comes back from several requests at once is mixed anew.
            wrong = [one for one in wrong if "came too late" not in one]
        assert not wrong, wrong

    def name_by_label(self) -> None:
        """Let the server know events by their labels; each has one id, always."""
        ids: Dict[str, str] = {}
        for event, storing in zip(self.server.stored, self.server.storings):
            if storing.is_loss:
                continue
            label = event["input_data"]["label"]
            event_id = event["metadata"]["event_id"]
            assert ids.setdefault(label, event_id) == event_id, label
            storing.event_id = label

    # -- bookkeeping -------------------------------------------------------------------

    @property
    def is_well(self) -> bool:
        return self.state in ("up", "slow")

    def tell(self, what: str) -> None:
        self.story.append(what)
        self.is_news = " logs " in what or " forks " in what

    def fresh(self, prefix: str) -> str:
        self.numbers += 1
        return f"{prefix}{self.numbers}"

    def worker(self, which: int) -> Worker:
        return self.workers[which % len(self.workers)]

    def note(self, life: Life, author: str, count: int, at: float) -> None:
        labels = [f"{author}#{number}" for number in range(count)]
        self.logged[author] = labels
        life.at.update(dict.fromkeys(labels, at))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="what happens includes forks")
def test_whatever_happens_nothing_is_lost() -> None:
    """Whatever the order of events, each arrives, once, or its loss has a reason."""
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES or 6,
            stateful_step_count=STEPS,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
