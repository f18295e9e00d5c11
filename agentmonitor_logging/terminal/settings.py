"""The options in effect where the application gives none: those of the environment."""

from __future__ import annotations

import os
from typing import Iterator, Mapping, Optional

from agentmonitor_logging._config import _CHECKS, _ENVIRONMENT, DEFAULT_API_URL, Config
from agentmonitor_logging.exceptions import ConfigError

from .findings import Finding, note, ok, problem

AGENT = "agentmonitor-check"
"""The agent whose event is sent, where no other is configured."""

_HINTS = {
    "api_key": "set AGENTMONITOR_API_KEY to the key that the dashboard or the collector"
    " shows",
    "api_url": "set AGENTMONITOR_API_URL, as in http://127.0.0.1:3002/api/v1 for a"
    " collector on this machine",
    "enabled": "set AGENTMONITOR_ENABLED to true, or unset it",
}


def settings_found(
    environment: Mapping[str, str], given: Mapping[str, str]
) -> Iterator[Finding]:
    """Say what a handler without options would go by, and what of it is wrong.

    *given* says which variables were set by options of the command, and by which.
    """
    yield _address(environment, given)
    yield _key(environment, given)
    yield _enabled(environment)
    for name in ("agent_id", "spool"):
        value = environment.get(_ENVIRONMENT[name], "").strip()
        if value:
            yield ok(name, f"{value} ({_ENVIRONMENT[name]})")


def config_in_effect(allow_http: bool) -> Iterator[Finding]:
    """Yield a problem where the options do not fit together."""
    try:
        _config(allow_http)
    except ConfigError as error:
        hint = "use https; or give --allow-http here, and allow_http=True to a handler"
        yield problem("options", str(error), hint)


def config(allow_http: bool) -> Optional[Config]:
    """Return the options of a handler that is given no other, if they are valid."""
    try:
        return _config(allow_http)
    except ConfigError:
        return None


def _config(allow_http: bool) -> Config:
    agent = os.environ.get(_ENVIRONMENT["agent_id"], "").strip() or AGENT
    options = {"agent_id": agent, "enabled": True, "allow_http": allow_http}
    return Config.from_options(options)


def _address(environment: Mapping[str, str], given: Mapping[str, str]) -> Finding:
    value = environment.get(_ENVIRONMENT["api_url"], "").strip()
    if not value:
        return ok("api_url", f"{DEFAULT_API_URL} (AGENTMONITOR_API_URL is not set)")
    wrong = _what_is_wrong("api_url", value)
    if wrong:
        return problem("api_url", wrong, _HINTS["api_url"])
    return ok("api_url", f"{value} ({_origin('api_url', given)})")


def _key(environment: Mapping[str, str], given: Mapping[str, str]) -> Finding:
    value = environment.get(_ENVIRONMENT["api_key"], "").strip()
    if not value:
        return problem("api_key", "there is none", _HINTS["api_key"])
    wrong = _what_is_wrong("api_key", value)
    if wrong:
        return problem("api_key", wrong, _HINTS["api_key"])
    return ok("api_key", f"{len(value)} characters ({_origin('api_key', given)})")


def _enabled(environment: Mapping[str, str]) -> Finding:
    value = environment.get(_ENVIRONMENT["enabled"], "").strip()
    if not value:
        return ok("enabled", "true (AGENTMONITOR_ENABLED is not set)")
    try:
        enabled = Config.from_options({"enabled": value, "agent_id": AGENT}).enabled
    except ConfigError as error:
        if "enabled" in str(error):
            return problem("enabled", str(error), _HINTS["enabled"])
        return note("enabled", value)
    if not enabled:
        text = f"AGENTMONITOR_ENABLED is {value}: nothing is sent"
        return problem("enabled", text, _HINTS["enabled"])
    return ok("enabled", f"{value} (AGENTMONITOR_ENABLED)")


def _origin(name: str, given: Mapping[str, str]) -> str:
    variable = _ENVIRONMENT[name]
    return given.get(variable, variable)


def _what_is_wrong(name: str, value: str) -> str:
    try:
        _CHECKS[name](name, value)
    except ConfigError as error:
        return str(error)
    return ""
