"""Handlers that come and go: each law under each version of Python."""

from __future__ import annotations

import pytest

from interpreters import Interpreter, interpreter, verdicts
from laws.reconfigure import laws


@pytest.mark.parametrize("law", laws)
def test_reconfigure(interpreter: Interpreter, law: str) -> None:
    """Each law of laws/reconfigure.py holds under each version of Python."""
    assert "" == verdicts(interpreter, "reconfigure", laws)[law]
