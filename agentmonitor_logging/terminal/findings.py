"""What a check finds, and how it is told: a line each, and below it what to do."""

from __future__ import annotations

import sys
from typing import Iterable, NamedTuple, Set

from click import style

from .harmless import harmless
from .output import say

_OK, _NOTE, _PROBLEM = "ok", "note", "PROBLEM"
_COLORS = {_OK: "green", _NOTE: "yellow", _PROBLEM: "red"}
_STEP = 13
_MAX_TEXT = 600


class Finding(NamedTuple):
    """Hold what was found at one step; *hint* says what to do about it."""

    mark: str
    step: str
    text: str
    hint: str = ""

    @property
    def is_problem(self) -> bool:
        """Tell whether this keeps events from arriving."""
        return self.mark == _PROBLEM


def ok(step: str, text: str) -> Finding:
    """Say that all is as it should be."""
    return Finding(_OK, step, text)


def note(step: str, text: str, hint: str = "") -> Finding:
    """Say what is worth to know, and keeps no event from arriving."""
    return Finding(_NOTE, step, text, hint)


def problem(step: str, text: str, hint: str) -> Finding:
    """Say what keeps events from arriving, and what to do about it."""
    return Finding(_PROBLEM, step, text, hint)


class Report:
    """Tell findings as they are made, without the keys in them."""

    def __init__(self) -> None:
        self.problems = 0
        self.step = "start"
        """What is being looked at, for whoever breaks it off."""
        self._secrets: Set[str] = set()
        # While an application is imported, what it writes goes elsewhere.
        self._file = sys.stdout

    def hide(self, secret: str) -> None:
        """Have *secret* shown nowhere."""
        if secret:
            self._secrets.add(secret)

    def add(self, findings: Iterable[Finding]) -> bool:
        """Tell *findings*; return whether none of them is a problem."""
        fine = True
        for finding in findings:
            self._tell(finding)
            fine = fine and not finding.is_problem
        return fine

    def sum_up(self) -> None:
        """Tell what it comes to."""
        self._say("")
        if not self.problems:
            self._say(style("All is well.", fg="green", bold=True))
            return
        many = "1 problem." if self.problems == 1 else f"{self.problems} problems."
        self._say(style(many, fg="red", bold=True))

    def _tell(self, finding: Finding) -> None:
        self.problems += finding.is_problem
        mark = style(f"{finding.mark:<8}", fg=_COLORS[finding.mark])
        self._say(f"{mark} {finding.step:<{_STEP}} {self._shown(finding.text)}")
        if finding.hint:
            self._say(f"{'':<{_STEP + 10}}-> {self._shown(finding.hint)}")

    def _say(self, line: str) -> None:
        say(line, file=self._file)

    def _shown(self, text: str) -> str:
        # The longest first: one may be part of another.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return harmless(text, _MAX_TEXT)
