"""The checkers agree: types, lint, layout of the code."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys
from typing import List

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def check(tool: str, *arguments: str) -> List[str]:
    """Return what *tool* complains about."""
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} needs a newer Python than {sys.version.split()[0]}")
    done = subprocess.run(
        [sys.executable, "-m", tool, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
    )
    return [] if done.returncode == 0 else done.stdout.splitlines()


def test_the_package_is_strictly_typed() -> None:
    """mypy --strict finds nothing in the package."""
    assert [] == check("mypy")


def test_the_public_api_is_typed_as_people_use_it() -> None:
    """Decorators keep signatures for type checkers: the file is checked, never run."""
    assert [] == check("mypy", "--strict", "tests/typing/api.py")


def test_nothing_is_left_for_the_linter() -> None:
    """Every rule of ruff holds but those that pyproject.toml excuses."""
    assert [] == check("ruff", "check", ".")


def test_the_code_is_laid_out_alike() -> None:
    """The formatter has nothing to change."""
    assert [] == check("ruff", "format", "--check", ".")
