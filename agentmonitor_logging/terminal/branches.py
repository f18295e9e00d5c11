"""How a tree is drawn, line by line."""

from __future__ import annotations

import sys
from typing import Sequence, Tuple

Way = Tuple[bool, ...]
"""For every level below the root: whether it is the last of its siblings there."""

_BRANCHES = ("├─ ", "└─ ", "│  ", "   ")
_ASCII_BRANCHES = ("|- ", "`- ", "|  ", "   ")


def drawn(way: Way, branches: Sequence[str]) -> Tuple[str, str]:
    """Return what stands before a node, and before a line below it."""
    fork, last, line, space = branches
    trunk = "".join(space if is_last else line for is_last in way)
    if not way:
        return "", trunk
    return trunk[: -len(line)] + (last if way[-1] else fork), trunk


def branches_shown() -> Sequence[str]:
    """Return branches that standard output can show."""
    try:
        "".join(_BRANCHES).encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return _ASCII_BRANCHES
    return _BRANCHES
