"""Who may ask: the key of a request, and the host it was sent to.

A foreign web page cannot use a collector on this machine: it cannot set `X-API-Key`
without a permission (CORS) that is never given, what it asks for without one says so
and is refused, and a name of its own that it points at 127.0.0.1 (DNS rebinding) is
not among the hosts.
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
    """Answer 421 to a request whose Host is none of *hosts*, whatever its port.

    None is all. And 403 to what a page of another origin asks for, which browsers say.
    """

    def __init__(self, app: ASGIApp, hosts: Optional[Container[str]]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it here."""
        app = self._app
        if scope["type"] == "http":
            host = _header(scope, b"host")
            if self._hosts is not None and _without_port(host) not in self._hosts:
                app = error_answer(421, "this collector is not known by that Host")
            elif _is_of_another_origin(scope, host):
                app = error_answer(403, "only this collector's own page may ask")
        await app(scope, receive, send)


def _is_of_another_origin(scope: Scope, host: str) -> bool:
    origin = _header(scope, b"origin")
    if origin and origin.partition("://")[2] != host:
        return True
    if _header(scope, b"sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    # A link that leads here may be followed.
    return _header(scope, b"sec-fetch-mode") != "navigate"


def _header(scope: Scope, wanted: bytes) -> str:
    """Return a header in lower case; nothing where it is missing or stands twice."""
    values = [value for name, value in scope["headers"] if name == wanted]
    text: str = values[0].decode("latin-1").lower() if len(values) == 1 else ""
    return text


def _without_port(host: str) -> str:
    name, bracket, _ = host.partition("]")
    return name + bracket if bracket else host.partition(":")[0]
