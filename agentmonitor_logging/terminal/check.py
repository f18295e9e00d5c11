"""Why does nothing arrive? The steps of a check, in the order of an event's way."""

from __future__ import annotations

import os
from typing import Any, Iterator, List, Mapping, Optional, Sequence

from agentmonitor_logging._config import Config

from . import building, settings, wiring
from .findings import Finding, Report, problem
from .proof import Proof
from .reach import Reach

_KEY = "AGENTMONITOR_API_KEY"
_OPTIONS = {"AGENTMONITOR_API_URL": "--url", _KEY: "--api-key"}


class Check:
    """Look at everything between a logger and a collector, and tell it to *report*.

    *url* and *api_key* take the place of what the environment says; *allow_http* is
    as for a handler, where no application is looked at.
    """

    def __init__(
        self,
        report: Report,
        *,
        url: Optional[str] = None,
        api_key: Optional[str] = None,
        allow_http: bool = False,
        sends: bool = True,
    ) -> None:
        self._report = report
        self._allow_http = allow_http
        self._sends = sends
        given = {v: value for v, value in zip(_OPTIONS, (url, api_key)) if value}
        os.environ.update(given)
        self._given = {variable: _OPTIONS[variable] for variable in given}
        report.hide(os.environ.get(_KEY, "").strip())

    def run(
        self,
        *,
        config: Optional[str] = None,
        app: Optional[str] = None,
        loggers: Sequence[str] = (),
    ) -> None:
        """Go through all steps; after a problem, those that it leaves a sense in."""
        try:
            self._run(config, app, loggers)
        except Exception as error:  # a bug of ours is no traceback of theirs
            text = f"the check itself fails: {type(error).__name__}: {error}"
            self._report.add([problem(self._report.step, text, "please report this")])

    def _run(
        self, config: Optional[str], app: Optional[str], loggers: Sequence[str]
    ) -> None:
        if config is None and app is None:
            destinations = self._of_environment()
        else:
            destinations = self._of_application(config, app, loggers)
        for destination in destinations:
            self._report.hide(destination.api_key.reveal())
            self._go_to(destination)

    def _of_environment(self) -> List[Config]:
        fine = self._add("settings", settings.settings_found(os.environ, self._given))
        if fine:
            self._add("settings", settings.config_in_effect(self._allow_http))
        config = settings.config(self._allow_http)
        return [] if config is None else [config]

    def _of_application(
        self, config: Optional[str], app: Optional[str], loggers: Sequence[str]
    ) -> List[Config]:
        if app is not None and not self._add("app", building.imported(app)):
            return []
        if config is not None:
            built = building.configured(config, self._hide_keys_in)
            if not self._add("config", built):
                return []
        self._add("logging", wiring.looked_through(loggers))
        return wiring.destinations()

    def _go_to(self, destination: Config) -> None:
        reach = Reach(destination, decides=not self._sends)
        if self._add("network", reach.steps()) and self._sends:
            self._add("delivery", Proof(destination).steps(reads=reach.reads))

    def _add(self, step: str, findings: Iterator[Finding]) -> bool:
        self._report.step = step
        return self._report.add(findings)

    def _hide_keys_in(self, config: Mapping[str, Any]) -> None:
        """Have no error of dictConfig repeat a key that stands in *config*."""
        for key in _keys_in(config):
            self._report.hide(key)


def _keys_in(node: Any, depth: int = 20) -> Iterator[str]:
    if not depth or not isinstance(node, (Mapping, list, tuple)):
        return
    items = node.items() if isinstance(node, Mapping) else enumerate(node)
    for name, value in items:
        if name == "api_key" and isinstance(value, str):
            yield value.strip()
        yield from _keys_in(value, depth - 1)
