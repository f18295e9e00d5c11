"""The Python versions of this machine, and scripts that run under each of them.

A version that is not here is a visible skip, never a silent one. Each has a virtual
environment with nothing but what the package requires, made once and kept.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple, Union

import pytest

from forms import KEY

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
ENVIRONMENTS = ROOT / ".venv-matrix"

SUPPORTED = tuple(f"3.{minor}" for minor in range(8, 14))
NEWER = ("3.14", "3.15")
"""Versions that need not be here, but have to pass where they are."""

TIME_LIMIT = 20.0
"""Seconds after which a script has failed. It is then made to say where it hangs."""

_RUNNING = "{}.{}".format(*sys.version_info)
_PROBE = """
import json, sys
print(json.dumps([
    sys.implementation.name, "%d.%d" % sys.version_info[:2], sys.version, sys.executable
]))
"""


class Outcome:
    """What became of a script: its code, its words, and the moment of its end."""

    def __init__(
        self, returncode: int, stdout: str, stderr: str, ended_at: float
    ) -> None:
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.ended_at = ended_at

    def __repr__(self) -> str:
        return f"<Outcome {self.returncode}\n{self.stdout}\n{self.stderr}>"


class Interpreter:
    """A Python that can import what the package requires."""

    def __init__(self, version: str, python: str) -> None:
        self.version = version
        self.python = python
        self.others: List[str] = []
        """The other versions that the session is about."""

    def __repr__(self) -> str:
        return f"<Python {self.version}>"

    @property
    def number(self) -> Tuple[int, ...]:
        return tuple(map(int, self.version.split(".")))


def run(
    interpreter: Interpreter,
    script: str,
    *args: object,
    env: Optional[Mapping[str, str]] = None,
    timeout: float = TIME_LIMIT,
) -> Outcome:
    """Run *script* in a process of its own and return what became of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "script.py")
        path.write_text(textwrap.dedent(script), encoding="utf-8")
        return _run([interpreter.python, path, *args], env or {}, timeout)


def run_module(
    interpreter: Interpreter, module: str, *args: object, timeout: float = TIME_LIMIT
) -> Outcome:
    """Run *module* of the tests as a program."""
    return _run([interpreter.python, "-m", module, *args], {}, timeout)


def assert_clean(outcome: Outcome, returncode: int = 0) -> None:
    """Fail where the process complained about anything, or showed the key."""
    assert "Traceback" not in outcome.stderr, outcome
    assert "Fatal Python error" not in outcome.stderr, outcome
    assert "Timeout (" not in outcome.stderr, outcome
    assert KEY not in outcome.stderr + outcome.stdout
    assert returncode == outcome.returncode, outcome


def verdicts(
    interpreter: Interpreter, laws: str, names: Iterable[str]
) -> Dict[str, str]:
    """Return how each of *names* in `laws.<laws>` was kept: "" or a complaint.

    The versions that this session is about are tried together, three at a time, as laws
    mostly wait.
    """
    for version in (interpreter.version, *interpreter.others):
        if (version, laws) not in _trials:
            _trials[version, laws] = _begun(version, laws, list(names))
    return _trials[interpreter.version, laws].result()


_trials: Dict[Tuple[str, str], "Future[Dict[str, str]]"] = {}
_three_at_a_time = threading.Semaphore(3)


def _begun(version: str, laws: str, names: List[str]) -> "Future[Dict[str, str]]":
    future: Future[Dict[str, str]] = Future()

    def complete() -> None:
        try:
            with _three_at_a_time:
                future.set_result(_tried(version, laws, names))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=complete, daemon=True).start()
    return future


def _tried(version: str, laws: str, names: List[str]) -> Dict[str, str]:
    """Try laws in one process; after one that is broken, the rest in another."""
    found = _usable(version)
    verdicts: Dict[str, str] = {}
    left = names
    while left and isinstance(found, Interpreter):
        outcome = run_module(found, "laws", laws, *left, timeout=120)
        told = dict(json.loads(line) for line in outcome.stdout.splitlines())
        kept = [name for name, complaint in told.items() if not complaint]
        if len(kept) == len(told) and (outcome.returncode or len(told) < len(left)):
            # It hung, crashed, or did not end well.
            told[left[min(len(told), len(left) - 1)]] = repr(outcome)
        verdicts.update(told)
        left = [name for name in left if name not in told]
    return verdicts


def _run(command: List[Any], env: Mapping[str, str], timeout: float) -> Outcome:
    head, *tail = map(str, command)
    process = subprocess.Popen(
        [head, "-W", "error", "-X", "faulthandler", *tail],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**_environment(), **env},
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        # With faulthandler each of them shows its threads. Not by a watchdog of its
        # own: a child that is forked cannot end with one.
        _end_all(process, signal.SIGABRT)
        stdout, stderr = process.communicate()
        stderr += f"\nTimeout (after {timeout} s)"
    finally:
        ended_at = time.time()
        _end_all(process, signal.SIGTERM)
    return Outcome(process.returncode, stdout, stderr, ended_at)


def _end_all(process: subprocess.Popen[str], signum: int) -> None:
    """End the process and what it may have left behind."""
    try:
        os.killpg(process.pid, signum)
    except (AttributeError, OSError):
        process.kill()


def _environment() -> Dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AGENTMONITOR_", "PYTHON", "COV_"))
        and not name.upper().endswith("_PROXY")
    }
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(TESTS)])
    kept["PYTHONIOENCODING"] = "utf-8"
    return kept


# -- finding and furnishing ------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def _usable(version: str) -> Union[Interpreter, str]:
    """Return the interpreter, or why there is none."""
    if version == _RUNNING:
        return Interpreter(version, sys.executable)
    base = _found(version)
    if base is None:
        return f"Python {version} is not on this machine"
    try:
        return Interpreter(version, str(_furnished(version, *base)))
    except subprocess.CalledProcessError as error:
        reason = (error.output or "").strip().splitlines()[-1:]
        return f"Python {version} cannot have a virtual environment: {reason}"


@functools.lru_cache(maxsize=None)
def _found(version: str) -> Optional[Tuple[str, str]]:
    """Return the path and the full version of a CPython that really runs."""
    for candidate in _candidates(version):
        try:
            told = subprocess.run(
                [candidate, "-c", _PROBE],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                timeout=TIME_LIMIT,
                check=True,
            ).stdout
            name, number, full, path = json.loads(told)
        except (OSError, ValueError, subprocess.SubprocessError):
            continue
        if (name, number) == ("cpython", version):
            return path, full
    return None


def _candidates(version: str) -> Iterator[str]:
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for folder in sorted(pyenv.glob(f"versions/{version}[.-]*"), reverse=True):
        yield str(folder / "bin" / "python")


def _furnished(version: str, base: str, full: str) -> Path:
    """Return the python of the environment, made now if it is not there or outdated.

    It is built aside and moved into place whole, so that an interrupted run leaves
    nothing half-made.
    """
    home = ENVIRONMENTS / version
    required = _requirements()
    key = hashlib.sha256(repr([base, full, required]).encode()).hexdigest()
    if not _has_key(home, key):
        ENVIRONMENTS.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ENVIRONMENTS) as aside:
            new = Path(aside, version)
            _build(new, base, required)
            (new / "key").write_text(key, encoding="utf-8")
            shutil.rmtree(home, ignore_errors=True)
            new.rename(home)
    return _python_of(home)


def _build(home: Path, base: str, required: List[str]) -> None:
    pip = [str(_python_of(home)), "-m", "pip", "--disable-pip-version-check"]
    for command in ([base, "-m", "venv", home], [*pip, "install", *required]):
        subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith("PYTHON")},
            encoding="utf-8",
            errors="replace",
            check=True,
        )


def _has_key(home: Path, key: str) -> bool:
    try:
        return (home / "key").read_text(encoding="utf-8") == key
    except OSError:
        return False


def _python_of(home: Path) -> Path:
    if os.name == "nt":
        return home / "Scripts" / "python.exe"
    return home / "bin" / "python"


def _requirements() -> List[str]:
    """Return what pyproject.toml requires; not every version here can read TOML."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
    assert listed is not None
    return re.findall(r'^\s*"([^"]+)"', listed.group(1), re.MULTILINE)


# -- for tests -----------------------------------------------------------------------


def versions() -> List[str]:
    """Return the supported versions, here or not, and the newer ones that are here."""
    return [*SUPPORTED, *(version for version in NEWER if _found(version))]


@pytest.fixture(params=versions(), ids="py{}".format)
def interpreter(request: pytest.FixtureRequest) -> Interpreter:
    """Run the test once under each version."""
    found = _usable(request.param)
    if isinstance(found, str):
        pytest.skip(found)
    found.others = _selected(request.session)
    return found


@pytest.fixture
def this_interpreter() -> Interpreter:
    """Run the test under the version that runs the suite, and what else it has."""
    return Interpreter(_RUNNING, sys.executable)


def _selected(session: pytest.Session) -> List[str]:
    specs = [getattr(item, "callspec", None) for item in session.items]
    versions = [spec.params.get("interpreter") for spec in specs if spec is not None]
    return [version for version in dict.fromkeys(versions) if version]
