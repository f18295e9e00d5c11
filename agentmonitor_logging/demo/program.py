"""From a free port to an exit code: the demo as a user of the package would do it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.config
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, List, Tuple

import click
import requests

from agentmonitor_logging.collector import running_collector
from agentmonitor_logging.terminal.output import say

from . import agent, report
from .verdict import Event, Evidence, problems

if TYPE_CHECKING:
    from agentmonitor_logging import AgentMonitorQueueHandler
    from agentmonitor_logging.collector import RunningCollector

LOGGER = agent.log.name
DELIVERY_TIMEOUT = 10.0
"""Seconds for a collector on the same machine to take the events; it needs 0.1."""


def main(*, keep: bool = False, **options: Any) -> int:
    """Run the demo, print what happened, and return its exit code.

    0 means: every event arrived once, they make one tree, and no secret is in them.
    With *keep* the collector goes on until Ctrl-C. *options* are the handler's, on
    top of the demo's own. Raises `CollectorError` where no collector can start.
    """
    key = secrets.token_hex(16)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        database = Path(folder, "demo.db")
        collector = stack.enter_context(running_collector(database, key))
        _say(report.opening(collector.url, LOGGER))
        configure(collector.url, key, **options)
        evidence = _evidence(collector.url, key)
        found = problems(evidence)
        _say(report.findings(evidence, agent.REQUEST))
        _say(report.verdict(found, len(evidence.events)))
        origin = collector.origin if keep else None
        _say(report.where_to_look(_command(), origin, key))
        if keep:
            _show(report.page(collector.origin, key))
            _wait(collector)
    return 1 if found else 0


def configure(url: str, key: str, **options: Any) -> None:
    """Configure logging as an application does.

    Beside the handler stands one of the standard library's that just keeps the
    records, so that there is something to count against.
    """
    shipping = {
        "()": "agentmonitor_logging.AgentMonitorQueueHandler",
        "agent_id": "support-bot",
        "api_url": url,
        "api_key": key,
        "enabled": True,
        **options,
    }
    keeping = {"class": "logging.handlers.BufferingHandler", "capacity": 1000}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"agentmonitor": shipping, "records": keeping},
            "loggers": {
                LOGGER: {
                    "handlers": ["agentmonitor", "records"],
                    "level": "INFO",
                    "propagate": False,
                }
            },
        }
    )


def _evidence(url: str, key: str) -> Evidence:
    """Run the agent, and gather what was sent, counted and received."""
    shipping, records = _handlers()
    asyncio.run(agent.run())
    sent = list(records.buffer)
    shipping.flush(DELIVERY_TIMEOUT)
    stats = shipping.stats()
    shipping.shutdown()
    return Evidence(sent, stats, read_back(url, key), agent.SECRETS)


def _handlers() -> Tuple[AgentMonitorQueueHandler, Any]:
    shipping: Any
    shipping, records = logging.getLogger(LOGGER).handlers
    return shipping, records


def read_back(url: str, key: str) -> List[Event]:
    """Ask the collector for all it has, page by page."""
    events: List[Event] = []
    wanted = {"limit": "100"}
    with requests.Session() as session:
        # A proxy of the environment has no business on loopback.
        session.trust_env = False
        session.headers["X-API-Key"] = key
        while True:
            answer = session.get(url + "/events", params=wanted, timeout=10)
            answer.raise_for_status()
            page = answer.json()
            events += page["events"]
            if page["next"] is None:
                return events
            wanted["cursor"] = page["next"]


def _say(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def _command() -> str:
    """Return what to type to call this program again."""
    called = sys.argv[0]
    if called == shutil.which("agentmonitor"):
        return "agentmonitor"
    if Path(called).name.startswith("agentmonitor"):
        return called
    return f"{Path(sys.executable).name} -m agentmonitor_logging"


def _show(page: str) -> None:
    """Open *page* where a person sits at this terminal, if there is a browser."""
    if sys.stdout.isatty():
        with contextlib.suppress(Exception):  # it is printed above anyway
            click.launch(page)


def _wait(collector: RunningCollector) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        collector.wait()
