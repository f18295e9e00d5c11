"""Who may ask: the key of a request, and the host it was sent to.

A web page cannot use a collector on this machine: it cannot set `X-API-Key` without a
permission (CORS) that is never given, and a name of its own that it points at
127.0.0.1 (DNS rebinding) is not among the hosts.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Container, Optional

from starlette.exceptions import HTTPException

from .answers import error_answer

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

MIN_KEY_LENGTH = 32
"""Characters of a key, as the handlers' option `api_key` demands."""

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""The names by which a program on this machine calls it."""


class KeyCheck:
    """Demand *api_key*; without one, any that is long enough, and only of writers."""

    def __init__(self, api_key: Optional[str]) -> None:
        self._api_key = api_key.encode() if api_key is not None else None

    def writer(self, request: Request) -> None:
        """Answer 401 unless the request may store events."""
        given = request.headers.get("x-api-key", "").encode("latin-1")
        if self._api_key is not None:
            allowed = hmac.compare_digest(given, self._api_key)
        else:
            allowed = len(given) >= MIN_KEY_LENGTH
        if not allowed:
            message = "X-API-Key is missing or wrong"
            raise HTTPException(401, message)

    def reader(self, request: Request) -> None:
        """Answer 401 unless the request may read events."""
        if self._api_key is not None:
            self.writer(request)


class HostCheck:
    """Answer 421 to a request whose Host is none of *hosts*, whatever its port."""

    def __init__(self, app: ASGIApp, hosts: Container[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        app = self._app
        if scope["type"] == "http" and _host(scope) not in self._hosts:
            app = error_answer(421, "this collector is not known by that Host")
        await app(scope, receive, send)


def _host(scope: Scope) -> str:
    values = [value for name, value in scope["headers"] if name == b"host"]
    host: str = values[0].decode("latin-1").lower() if len(values) == 1 else ""
    name, bracket, _ = host.partition("]")
    return name + bracket if bracket else host.partition(":")[0]
