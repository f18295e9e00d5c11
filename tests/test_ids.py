"""Ids are random, unique, and not shared between a parent and its child."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import List

import pytest

from agentmonitor_logging._ids import long_id, short_id

ROOT = str(Path(__file__).resolve().parent.parent)


def test_ids_have_their_length() -> None:
    """16 and 32 lower-case hex digits."""
    assert re.fullmatch("[0-9a-f]{16}", short_id())
    assert re.fullmatch("[0-9a-f]{32}", long_id())


def test_ids_differ_over_many_refills_and_threads() -> None:
    """Eight threads draw thousands of ids and none twice."""
    drawn: List[str] = []

    def draw() -> None:
        drawn.extend(short_id() for _ in range(3_000))

    threads = [threading.Thread(target=draw) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 24_000 == len(set(drawn))


def test_ids_do_not_move_with_the_seed_of_the_application() -> None:
    """random.seed repeats the application's numbers, not our ids."""
    random.seed(1)
    first = long_id()
    random.seed(1)

    assert first != long_id()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_draws_other_ids_than_its_parent() -> None:
    """After a fork neither process draws an id that the other draws."""
    short_id()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, " ".join(short_id() for _ in range(300)).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        theirs = set(pipe.read().split())
    os.waitpid(child, 0)
    ours = {short_id() for _ in range(300)}

    assert 300 == len(theirs) == len(ours)
    assert not ours & theirs


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_hook_of_the_application_draws_no_id_of_the_parents() -> None:
    """Not even one that was registered, and so runs, before ours."""
    program = """
import os
drawn = []
os.register_at_fork(after_in_child=lambda: drawn.append(_ids.short_id()))
from agentmonitor_logging import _ids
_ids.short_id()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, drawn[0].encode())
    os._exit(0)
os.wait()
theirs = os.read(read, 16).decode()
assert theirs not in {_ids.short_id() for _ in range(600)}, theirs
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT)

    assert 0 == done.returncode
