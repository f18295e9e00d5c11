"""What a client costs before its first event: packages, megabytes, the import."""

from __future__ import annotations

import ast
import os
import pathlib
import subprocess
import time
from typing import Dict, Iterable, NamedTuple

from environments import BASE, HERE, installed, main_package, python_of
from measuring import clean_environment

BEST_OF = 9
INSTALLERS = ("pip", "setuptools", "wheel", "pkg_resources", "_distutils_hack")


class Footprint(NamedTuple):
    """What is there, in what version, and what its import takes."""

    note: str
    version: str
    packages: Dict[str, str]
    megabytes: float
    needed: float
    """How many of the megabytes are those of other packages."""
    import_ms: float


def footprints(clients: Iterable[str]) -> Dict[str, Footprint]:
    """Return the footprint of each client, and of `requests` as a reference."""
    found: Dict[str, Footprint] = {}
    for client in clients:
        packages = installed(client)
        version = packages.get(main_package(client), "")
        spent = import_ms(client, constant(client, "IMPORTS"))
        note, sizes = constant(client, "NOTE"), _megabytes(client)
        size = sum(sizes.values())
        needed = size - sizes.get(main_package(client).replace("-", "_"), 0.0)
        found[client] = Footprint(note, version, packages, size, needed, spent)
        if "requests" not in found and "requests" in packages:
            spent = import_ms(client, "import requests")
            found["requests"] = Footprint(
                "the reference for imports", packages["requests"], {}, 0, 0, spent
            )
    return found


def import_ms(client: str, statement: str) -> float:
    """Return what *statement* adds to the bare interpreter, the best of each."""
    bare, whole = [], []
    for _ in range(BEST_OF):
        bare.append(_run_ms(client, "pass"))
        whole.append(_run_ms(client, statement))
    return max(0.0, min(whole) - min(bare))


def _run_ms(client: str, statement: str) -> float:
    began = time.perf_counter()
    subprocess.run(
        [python_of(client), "-c", statement],
        check=True,
        env=clean_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return (time.perf_counter() - began) * 1000


def constant(client: str, name: str) -> str:
    """Read a constant of a client's module, without importing what it imports."""
    tree = ast.parse((HERE / "clients" / f"{client}.py").read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign) and _is_name(node.targets[0], name):
            value = node.value
            if isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name):
                return constant(value.value.id, value.attr)
            return str(ast.literal_eval(value))
    return ""


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _megabytes(client: str) -> Dict[str, float]:
    """Return what is there, bytecode included, by the name of its entry."""
    sizes: Dict[str, float] = {}
    for packages in (BASE / client).glob("lib*/python*/site-packages"):
        if packages.is_symlink() or packages.parent.parent.is_symlink():
            continue
        for entry in packages.iterdir():
            if entry.name.partition("-")[0].partition(".")[0] not in INSTALLERS:
                sizes[entry.name] = _size(entry) / 1024 / 1024
    return sizes


def _size(entry: pathlib.Path) -> int:
    if entry.is_file():
        return entry.stat().st_size
    return sum(
        os.path.getsize(os.path.join(place, name))
        for place, _, names in os.walk(str(entry))
        for name in names
    )
