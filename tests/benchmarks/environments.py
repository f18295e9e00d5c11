"""A virtual environment for each client, made once, renewed when what it needs changes.

The checkout is built anew on every run, from a copy, as a build leaves files behind.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any, Dict, List, Optional

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BASE = ROOT / ".venv-bench"
OURS = ("ours", "ours_spool", "ours_orjson")
SOURCES = ("pyproject.toml", "setup.cfg", "README.md", "LICENSE")


class EnvironmentFailedError(Exception):
    """Say in one line why a client could not be installed."""


def python_of(client: str) -> str:
    """Return the interpreter of the environment of *client*."""
    return str(BASE / client / "bin" / "python")


def prepare(client: str, wheel: Optional[str]) -> None:
    """See that *client* is installed; *wheel* is this package."""
    stamp = BASE / client / "stamp"
    needs = _requirements(client)
    wanted = _digest(client)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(str(BASE / client), ignore_errors=True)
        _make(client)
        if needs or client in OURS:
            packages = [wheel] if wheel and client in OURS else []
            _pip(client, *packages, *needs)
        stamp.write_text(wanted)
    if client in OURS and wheel:
        _pip(client, "--no-deps", "--force-reinstall", wheel)


def build(directory: str) -> str:
    """Build this package into *directory* and return the wheel."""
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            if (ROOT / name).exists():
                shutil.copy(str(ROOT / name), copy)
        ignored = shutil.ignore_patterns("__pycache__")
        package = ROOT / "agentmonitor_logging"
        shutil.copytree(str(package), f"{copy}/{package.name}", ignore=ignored)
        _run(
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"),
            *("--wheel-dir", directory, copy),
        )
    return str(next(pathlib.Path(directory).glob("agentmonitor_logging-*.whl")))


def installed(client: str) -> Dict[str, str]:
    """Return the versions of the packages of *client*, but those for installing."""
    code = (
        "import json\n"
        "try: from importlib.metadata import distributions\n"
        "except ImportError: raise SystemExit('{}')\n"
        "print(json.dumps({d.metadata['Name']: d.version for d in distributions()}))"
    )
    found: Dict[str, str] = json.loads(_run(python_of(client), "-I", "-c", code))
    tools = ("pip", "setuptools", "wheel")
    return {name: found[name] for name in sorted(found) if name not in tools}


def main_package(client: str) -> str:
    """Return the name of the package that *client* is about, or ""."""
    if client in OURS:
        return "agentmonitor-logging"
    found = re.match(r"[\w.-]+", " ".join(_requirements(client)))
    return found.group() if found else ""


def _requirements(client: str) -> List[str]:
    lines = (HERE / "requirements" / f"{client}.txt").read_text().splitlines()
    bare = [line.partition("#")[0].strip() for line in lines]
    return [line for line in bare if line]


def _digest(client: str) -> str:
    parts: List[Any] = [sys.version, _requirements(client)]
    if client in OURS:
        parts.append((ROOT / "pyproject.toml").read_text())
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _make(client: str) -> None:
    bare = [] if _requirements(client) or client in OURS else ["--without-pip"]
    _run(sys.executable, "-m", "venv", *bare, str(BASE / client))


def _pip(client: str, *arguments: str) -> None:
    _run(python_of(client), "-m", "pip", "install", "--quiet", *arguments)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in told if "error" in line.lower()]
        raise EnvironmentFailedError((errors or told or ["it failed silently"])[-1])
    return done.stdout
