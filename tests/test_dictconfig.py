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
import sys, threading
import agentmonitor_logging

heavy = {"requests", "urllib3", "pythonjsonlogger", "starlette", "uvicorn"}
print(sorted(heavy & set(sys.modules)), threading.active_count())
"""


def test_an_import_costs_and_starts_nothing(interpreter: Interpreter) -> None:
    """Importing the package imports no HTTP library and starts no thread."""
    outcome = run(interpreter, IMPORT)

    assert_clean(outcome)
    assert "[] 1" == outcome.stdout.strip()
