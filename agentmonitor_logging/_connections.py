"""Connections of requests that keep to a deadline, and read a bounded answer.

The time-out of requests is one per socket operation; a server that drips a byte a
second never meets it. Here each operation gets what is left of the whole request's
time. Of an answer only what the answer table asks for gets through.
"""

from __future__ import annotations

import http.client
import socket
import time
from typing import Any, Callable, Dict, List, Tuple

import requests.adapters

MAX_RECEIVED = 256 * 1024
"""How many bytes of an answer are received at most, interim answers and headers
included. It is no limit of ours that an honest answer meets."""
_WANTED = ("Connection", "Content-Type", "Retry-After", "Transfer-Encoding")
"""The headers that get through. Without a Location nobody follows it, or reads a body
to get it out of the way; without a Set-Cookie nothing is kept, nor Content-Encoding
unpacked; and urllib3 has nothing malformed to log a traceback about."""
_MAX_INTERIM = 32
"""How many interim answers there may be; to parse one takes far longer than to send."""
_LEAST_TIMEOUT = 0.001


class Wire:
    """Hold what a transport and its connection know of the request under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until = 0.0
        self._received = 0
        self._opened = False
        self.sockets: List[Any] = []
        """The socket of the open connection, bare, for a child that lets go of it."""

    def begin(self, timeout: float) -> None:
        """Begin a request that has *timeout* seconds."""
        self._until = self._clock() + timeout
        self._received = 0
        self._opened = False

    def hurry(self, seconds: float) -> None:
        """Leave the request *seconds* at the most."""
        self._until = min(self._until, self._clock() + seconds)

    def opened(self, connected: Any) -> None:
        """Note that the request opened a connection of its own."""
        self._opened = True
        self.sockets[:] = [connected]

    def received(self, count: int) -> None:
        """Note *count* bytes of the answer; raise if there are too many."""
        self._received += count
        if self._received > MAX_RECEIVED:
            raise ConnectionAbortedError("the answer does not end")

    @property
    def stale(self) -> bool:
        """Tell whether a failure was that of a connection which had been idle.

        Servers close those when they like, also in the moment of the next request.
        """
        return not self._opened and not self._received and not self._over()

    def left(self) -> float:
        """Return the seconds left; raise the time-out of sockets if there are none."""
        if self._over():
            raise socket.timeout("timed out")
        return self.patience()

    def patience(self) -> float:
        """Return the seconds left, or a moment."""
        return max(self._until - self._clock(), _LEAST_TIMEOUT)

    def _over(self) -> bool:
        return self._clock() >= self._until


class _WiredSocket:
    """Give each operation of a connected socket what is left of the time."""

    def __init__(self, inner: Any, wire: Wire) -> None:
        self._inner = inner
        self._wire = wire

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sendall(self, data: Any, *flags: int) -> None:
        # Piece by piece, as a TLS socket gives each of its records the whole time.
        with memoryview(data) as view, view.cast("B") as rest:
            sent = 0
            while sent < len(rest):
                self._inner.settimeout(self._wire.left())
                sent += self._inner.send(rest[sent:], *flags)

    def recv_into(self, *args: Any) -> Any:
        self._inner.settimeout(self._wire.left())
        count = self._inner.recv_into(*args)
        self._wire.received(count)
        return count

    def makefile(self, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        # http.client reads through this file, which must call our recv_into.
        make: Any = socket.socket.makefile
        return make(self, mode, *args, **kwargs)

    @property
    def _io_refs(self) -> Any:
        return self._inner._io_refs

    @_io_refs.setter
    def _io_refs(self, count: int) -> None:
        self._inner._io_refs = count

    def _decref_socketios(self) -> None:
        self._inner._decref_socketios()


class _Response(http.client.HTTPResponse):
    """Pass over every interim answer, and let only the wanted headers through."""

    headers: http.client.HTTPMessage
    _answers = 0

    def _read_status(self) -> Tuple[str, int, str]:
        while True:
            line = super()._read_status()  # type: ignore[misc]
            self._answers += 1
            if self._answers > _MAX_INTERIM:
                raise ConnectionAbortedError("the interim answers do not end")
            if not 101 < line[1] < 200:
                return line  # type: ignore[no-any-return]
            http.client.parse_headers(self.fp)

    def begin(self) -> None:
        super().begin()
        wanted = http.client.HTTPMessage()
        for name in _WANTED:
            for value in self.headers.get_all(name, ()):
                wanted[name] = value
        if self.length is not None:
            # As understood: urllib3 would stumble over one that comes twice.
            wanted["Content-Length"] = str(self.length)
        if len(self.headers.get_all("Content-Length", ())) > 1:
            self.will_close = True
        self.headers = self.msg = wanted


class _Wired:
    """What a connection of urllib3 does differently here."""

    wire: Wire
    response_class = _Response

    def _new_conn(self) -> Any:
        self.timeout = self.wire.left()
        connected = super()._new_conn()  # type: ignore[misc]
        # The handshake of TLS has what connecting left.
        connected.settimeout(self.wire.patience())
        return connected

    def _tunnel(self) -> None:
        bare = self.sock
        self.sock: Any = _WiredSocket(bare, self.wire)
        super()._tunnel()  # type: ignore[misc]
        self.sock = bare
        bare.settimeout(self.wire.patience())

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.wire.opened(self.sock)
        self.sock = _WiredSocket(self.sock, self.wire)


class Adapter(requests.adapters.HTTPAdapter):
    """Make wired connections, directly or through a proxy, all to one address.

    What requests works out for each request, and what is the same for every one of
    ours, is worked out once; its answers are urllib3's, without a jar for cookies.
    """

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._pool: Any = None
        self._verified: Any = None
        self._path = ""
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def cert_verify(self, conn: Any, *args: Any, **kwargs: Any) -> None:
        verify: Any = super().cert_verify
        if self._verified is not conn:
            verify(conn, *args, **kwargs)
            self._verified = conn

    def request_url(self, *args: Any, **kwargs: Any) -> str:
        if not self._path:
            self._path = str(super().request_url(*args, **kwargs))
        return self._path

    def build_response(self, req: Any, resp: Any) -> Any:
        return resp

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        _wire_up(self.poolmanager, self._wire)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        _wire_up(manager, self._wire)
        return manager


def _wire_up(manager: Any, wire: Wire) -> None:
    # On top of the classes that are there: those of a SOCKS proxy are others.
    pools: Dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: _wired(pool, wire) for scheme, pool in pools.items()
    }


def _wired(pool: Any, wire: Wire) -> Any:
    if issubclass(pool.ConnectionCls, _Wired):
        return pool
    bases = (_Wired, pool.ConnectionCls)
    connection = type("WiredConnection", bases, {"wire": wire})
    return type("WiredPool", (pool,), {"ConnectionCls": connection})
