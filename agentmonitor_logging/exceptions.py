"""What can go wrong, drawn as a tree.

    AgentMonitorError
    ├── ConfigError (also a ValueError)   a wrong option; raised while configuring
    ├── APIError                          the server answered, and not as we hoped
    │   └── AuthenticationError           ... because it does not accept the key
    └── NetworkError                      no usable answer at all

Only `ConfigError` is ever raised at the application, and only while it configures.
The others are handed to the `on_error` option.
"""

from __future__ import annotations

from typing import Optional


class AgentMonitorError(Exception):
    """Be the common ancestor of every error of this package."""


class ConfigError(AgentMonitorError, ValueError):
    """Name a wrong option: which one, what was given, and what is allowed."""


class APIError(AgentMonitorError):
    """Carry the answer of a server that did not accept what it was sent.

    *status* is the HTTP status code, or None where the server was not asked again.
    """

    def __init__(self, message: str, status: Optional[int] = None) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status

    def __str__(self) -> str:
        return self.message


class AuthenticationError(APIError):
    """Say that the server refuses the API key (401 or 403)."""


class NetworkError(AgentMonitorError):
    """Say that there was no usable answer: refused, timed out, torn, or not ours."""
