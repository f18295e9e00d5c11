"""The ways to configure, as plain data: for scripts under any interpreter."""

from __future__ import annotations

import copy
import logging
import logging.config
from typing import Any, Callable, Dict

KEY = "test-key-0123456789-abcdefghijklmnopqrstuvwxyz"
QUEUE_HANDLER = "agentmonitor_logging.AgentMonitorQueueHandler"
HANDLER = "agentmonitor_logging.AgentMonitorHandler"

Entries = Dict[str, Dict[str, Any]]


class Form:
    """A way to write the handlers: which entries, and what each of them is.

    *attached* names the entry that loggers get, *shipping* the one with the options.
    """

    def __init__(
        self,
        attached: str,
        shipping: str,
        **entries: Dict[str, Any],
    ) -> None:
        self.attached = attached
        self.shipping = shipping
        self._entries = entries

    @property
    def is_pair(self) -> bool:
        return self.attached != self.shipping

    def entries(self, options: Dict[str, Any]) -> Entries:
        """Return the handlers' entries, with *options* where they belong."""
        entries = copy.deepcopy(self._entries)
        entries[self.shipping].update(options)
        return entries


FORMS: Dict[str, Form] = {
    "single": Form("agent", "agent", agent={"()": QUEUE_HANDLER}),
    "pair": Form(
        "agent_queue",
        "agent",
        agent={"class": HANDLER},
        agent_queue={"class": QUEUE_HANDLER, "handlers": ["agent"]},
    ),
    "pair, target last": Form(
        "a_queue",
        "z_agent",
        z_agent={"class": HANDLER},
        a_queue={"class": QUEUE_HANDLER, "handlers": ["z_agent"]},
    ),
    "factory": Form(
        "agent_queue",
        "agent",
        agent={"class": HANDLER},
        agent_queue={"()": QUEUE_HANDLER, "handlers": ["agent"]},
    ),
    "factory, target last": Form(
        "a_queue",
        "z_agent",
        z_agent={"class": HANDLER},
        a_queue={"()": QUEUE_HANDLER, "handlers": ["z_agent"]},
    ),
    "reference": Form(
        "agent_queue",
        "agent",
        agent={"()": HANDLER},
        agent_queue={"()": QUEUE_HANDLER, "handlers": ["cfg://handlers.agent"]},
    ),
    "reference, target last": Form(
        "a_queue",
        "z_agent",
        z_agent={"()": HANDLER},
        a_queue={"()": QUEUE_HANDLER, "handlers": ["cfg://handlers.z_agent"]},
    ),
    "alone": Form("agent", "agent", agent={"class": HANDLER}),
}


def options_for(url: str, **options: Any) -> Dict[str, Any]:
    """Return the options for a test: the server at *url*, and little patience."""
    return {
        "api_key": KEY,
        "agent_id": "bot",
        "api_url": url,
        "flush_interval": 0.1,
        **options,
    }


def dict_config(form: Form, options: Dict[str, Any], **changes: Any) -> Dict[str, Any]:
    """Return the configuration of the logger "agent" in this *form*."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": form.entries(options),
        "loggers": {"agent": {"handlers": [form.attached], "level": "INFO"}},
        **changes,
    }


def by_function(url: str, **options: Any) -> None:
    """Configure as a script or notebook does."""
    import agentmonitor_logging

    agentmonitor_logging.configure(logger="agent", **options_for(url, **options))


def by_form(name: str) -> Callable[..., None]:
    """Return what configures by dictConfig in the form of this *name*."""

    def configure(url: str, **options: Any) -> None:
        form = FORMS[name]
        logging.config.dictConfig(dict_config(form, options_for(url, **options)))

    return configure


CONFIGURED: Dict[str, Callable[..., None]] = {
    **{name: by_form(name) for name in FORMS},
    "function": by_function,
}
"""Every way to attach a handler to the logger "agent", by name."""
