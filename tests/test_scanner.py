"""The scanner finds the API key wherever it is told, so that its silence means much."""

from __future__ import annotations

import logging
import os
import pathlib
import subprocess
import sys

import pytest

from agentmonitor_logging import _diagnostics
from conftest import KEY
from scanner import LOGGERS, Scanner
from servers import closed_port

DEAF = logging.NullHandler()


@pytest.fixture
def scanner():
    """Return a scanner of the test's own, so that what it finds does not fail it."""
    with Scanner() as scanner:
        yield scanner


def test_it_hears_what_the_package_says(scanner, monkeypatch, _key_kept_secret) -> None:
    """A line on our logger, or on one that speaks for us, its traceback included."""
    for name in LOGGERS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [DEAF])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
    logging.getLogger("agentmonitor_logging").warning("the key is %s", KEY)
    try:
        raise ValueError(f"no such key: {KEY}")
    except ValueError:
        logging.getLogger("urllib3.connectionpool").warning("oh", exc_info=True)
    heard, _key_kept_secret._said[:] = scanner.finds(), []

    assert 2 == len(heard)


def test_it_sees_what_is_shown(scanner, attach, monkeypatch) -> None:
    """The repr of a handler, of its options, or of what it delivers with."""
    handler = attach(f"http://127.0.0.1:{closed_port()}")
    assert [] == scanner.finds()
    (target,) = handler.targets()
    for part in (target._sender, target._config, handler):
        with monkeypatch.context() as changed:
            changed.setattr(type(part), "__repr__", lambda self: KEY)
            assert scanner.finds()


def test_it_sees_part_of_the_key_in_an_error(scanner) -> None:
    """What was kept from the program is looked at as well."""
    _diagnostics.swallowed.append(f"ValueError: {KEY[:30]}...")
    found = scanner.finds()
    _diagnostics.swallowed.clear()

    assert 1 == len(found)


def test_it_reads_what_is_on_disk(scanner, tmp_path: pathlib.Path) -> None:
    """Files of a spool, those set aside too; but not what a test wrote for itself."""
    folder = tmp_path / "spool"
    folder.mkdir()
    (folder / "script.py").write_text(KEY)
    assert [] == scanner.finds(tmp_path)
    for name in ("1.events", "1.owner", "1.events.set-aside-0"):
        path = folder / name
        path.write_bytes(b"\xff" + KEY.encode())
        assert 1 == len(scanner.finds(tmp_path)), name
        path.unlink()


LEAKING = """
import logging, sys
from conftest import KEY

def test_that_prints_it():
    print("the key:", KEY)

def test_that_prints_an_error():
    print("the key:", KEY, file=sys.stderr)

def test_that_logs_it():
    logging.getLogger("agentmonitor_logging").warning(KEY)

def test_that_is_quiet():
    pass
"""


def test_every_test_is_scanned(tmp_path: pathlib.Path) -> None:
    """A test in which the key is told fails, though it asserts nothing about it."""
    here = pathlib.Path(__file__).parent
    (tmp_path / "conftest.py").write_text((here / "conftest.py").read_text())
    (tmp_path / "test_leaks.py").write_text(LEAKING)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert "the API key is in: Captured stdout call" in ran.stdout
    assert "the API key is in: Captured stderr call" in ran.stdout
    assert "the API key is in: Captured log call" in ran.stdout
    assert "a log line: agentmonitor_logging: test-key-" in ran.stdout
    assert "3 failed, 1 passed, 1 error" in ran.stdout
