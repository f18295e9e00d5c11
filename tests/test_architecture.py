"""The walls of the house: who may import whom, and what is public."""

from __future__ import annotations

import ast
import pathlib
import sys
from typing import Dict, Iterator, Set

import agentmonitor_logging

PACKAGE = pathlib.Path(agentmonitor_logging.__file__).parent

LAYERS = """
exceptions _ids _secrets _spool_owner
_spotting _spool_files
_spool_segment
_spool
_config _stats _passage _diagnostics _raised
_sigterm _audience _echo
_packing _fields _links
_copier _mapped _weight
_foreign
context
_naming
_snapshot
_payloads
_capsule _plain
_wire _templates
_functions _shapes
_arguments
_shortcut
_alike
_capture _rendering
_encoding
_parts
_columns
events redaction sampling
_numbers
_batch _pacing _answers _connections _queue _process _loss
_buffer _transport _spilled
_delivery
_stock
_keeper
_sender
_pickling _flusher
_handler formatter
_listener _wiring
_queue_handler _calls
handlers lifecycle _open_event _streams
_suspended
tracking
"""
"""Each module imports only from the lines above its own."""


def imports_of(path: pathlib.Path) -> Iterator[str]:
    """Yield the modules of the package that *path* imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level == 1 and not module:
                yield from (alias.name for alias in node.names)
            elif node.level == 1:
                yield module.split(".")[0]
            elif module.startswith("agentmonitor_logging."):
                yield module.split(".")[1]
            elif module == "agentmonitor_logging":
                yield from (alias.name for alias in node.names)


def core() -> Dict[str, pathlib.Path]:
    programs = {"__init__", "__main__", "cli", "demo"}
    return {
        path.stem: path for path in PACKAGE.glob("*.py") if path.stem not in programs
    }


def test_imports_point_one_way() -> None:
    """A module of the core imports only from the layers below its own."""
    height = {
        name: level
        for level, line in enumerate(LAYERS.strip().splitlines())
        for name in line.split()
    }
    modules = core()

    assert set(modules) == set(height)
    upward = {
        (name, target)
        for name, path in modules.items()
        for target in imports_of(path)
        if target in height and height[target] >= height[name]
    }
    assert set() == upward


def test_the_core_knows_nothing_of_the_programs() -> None:
    """Neither the collector nor a command is imported by the library."""
    programs = {"collector", "cli", "demo", "spool", "terminal"}
    found: Set[str] = set()
    for path in core().values():
        found |= programs & set(imports_of(path))

    assert set() == found


def test_every_folder_is_part_of_the_wheel() -> None:
    """What pyproject.toml does not name as a package is not installed."""
    pyproject = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    folders = {
        ".".join(path.parent.relative_to(PACKAGE.parent).parts)
        for path in PACKAGE.rglob("__init__.py")
    }

    assert {name for name in folders if f'"{name}",' not in pyproject} == set()


def test_the_public_names_are_these() -> None:
    """What may be imported from the package is a promise, written down here."""
    assert [
        "APIError",
        "AgentEventFormatter",
        "AgentMonitorError",
        "AgentMonitorHandler",
        "AgentMonitorQueueHandler",
        "AgentMonitorQueueListener",
        "AuthenticationError",
        "ConfigError",
        "EventFields",
        "FlushResult",
        "NetworkError",
        "Stats",
        "aflush",
        "agent_context",
        "agent_event",
        "configure",
        "flush",
        "log_agent_call",
        "shutdown",
        "stats",
    ] == agentmonitor_logging.__all__
    for name in agentmonitor_logging.__all__:
        assert getattr(agentmonitor_logging, name).__doc__


def test_every_public_thing_is_described() -> None:
    """Every module, public class and public function has a docstring."""
    missing = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not ast.get_docstring(tree):
            missing.append(path.name)
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                overload = "overload" in [
                    getattr(d, "id", "") for d in node.decorator_list
                ]
                public = not node.name.startswith("_") and not overload
                if public and not ast.get_docstring(node):
                    missing.append(f"{path.name}:{node.name}")

    assert [] == missing


def test_every_test_states_its_law() -> None:
    """Every test function has a docstring of one sentence."""
    missing = []
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_test = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            if (
                is_test
                and node.name.startswith("test_")
                and not ast.get_docstring(node)
            ):
                missing.append(f"{path.name}:{node.name}")

    assert [] == missing


def test_no_function_is_long() -> None:
    """No function of the package has more than forty lines below its docstring."""
    long = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if body and sys.version_info >= (3, 8):
                    lines = (node.end_lineno or 0) - body[0].lineno + 1
                    if lines > 40:
                        long.append(f"{path.name}:{node.name} {lines}")

    assert [] == long
