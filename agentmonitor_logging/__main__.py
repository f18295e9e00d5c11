"""The command `agentmonitor`, or one line that says what it needs to run."""

from __future__ import annotations

import importlib.util
import sys

_NEEDED = ("click", "starlette", "uvicorn")


def main() -> None:
    """Run the command line; exit with 2 where its extra is not installed."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    # Of the commands, `spool` needs no more than this one: it runs where agents do.
    if "click" in missing:
        needed = f"agentmonitor needs {', '.join(missing)}:"
        sys.stderr.write(f'{needed} pip install "agentmonitor-logging[collector]"\n')
        sys.exit(2)
    from .cli import agentmonitor

    agentmonitor(prog_name="agentmonitor")


if __name__ == "__main__":
    main()
