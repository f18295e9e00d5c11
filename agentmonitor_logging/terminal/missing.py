"""What a command needs that is not installed: one line names the extra."""

from __future__ import annotations

import importlib.util

import click


class MissingError(click.ClickException):
    """Say which extra to install."""

    exit_code = 2


def need(*modules: str) -> None:
    """Raise `MissingError` unless all of *modules* can be imported."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        install = 'pip install "agentmonitor-logging[collector]"'
        raise MissingError(f"this needs {', '.join(missing)}: {install}")
