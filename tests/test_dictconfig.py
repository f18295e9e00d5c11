"""The matrix of configuration: each form, each law, each version of Python."""

from __future__ import annotations

import pytest

from interpreters import Interpreter, assert_clean, interpreter, run, verdicts
from laws.dictconfig import laws


@pytest.mark.parametrize("law", laws)
def test_dict_config(interpreter: Interpreter, law: str) -> None:
    """Each law of laws/dictconfig.py holds under each version of Python."""
    assert "" == verdicts(interpreter, "dictconfig", laws)[law]


IMPORT = """
import logging.handlers, sys, threading
before = set(sys.modules)
import agentmonitor_logging

@agentmonitor_logging.log_agent_call
def answer(question): ...

heavy = {"requests", "urllib3", "pythonjsonlogger", "starlette", "uvicorn"}
heavy |= {"asyncio", "dataclasses", "inspect"} - before
print(sorted(heavy & set(sys.modules)), threading.active_count())
"""


def test_an_import_costs_and_starts_nothing(interpreter: Interpreter) -> None:
    """To import the package and decorate starts no thread, imports nothing large."""
    outcome = run(interpreter, IMPORT)

    assert_clean(outcome)
    assert "[] 1" == outcome.stdout.strip()
