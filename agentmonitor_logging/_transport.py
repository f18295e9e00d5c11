"""One request and its answer: requests, under a deadline that really holds.

The time-out of requests is one per socket operation; a server that drips a byte a
second never meets it. Here each operation gets what is left of the whole request's
time. What comes back is an `Outcome`, never an exception.

A transport belongs to one thread at a time and keeps one connection open.
"""

from __future__ import annotations

# The name look-up of a host imports this codec when first used; an import in our
# thread could wait for a lock that a closing thread holds.
import encodings.idna  # noqa: F401
import gzip
import http.client
import os
import socket
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import requests
import requests.adapters
import requests.utils
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ._answers import Answer, Outcome, Unreachable, outcome_of
from ._batch import Batch
from ._config import Config, is_loopback
from .exceptions import NetworkError

MAX_ANSWER_BYTES = 64 * 1024
"""How much of an answer is read: enough for a hundred validation errors."""
_COMPRESS_FROM = 1024
"""Smaller bodies do not get smaller."""
_COMPRESSION_LEVEL = 1
"""Level 6 takes twice the time of level 1 to save a few per cent of JSON."""
_LEAST_TIMEOUT = 0.001
_BODY_SECONDS = 2.0
"""How long the body may take once the status is known: it adds a reason at most."""


class Deadline:
    """Hold the moment at which the request under way must be over."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.at = 0.0

    def left(self) -> float:
        """Return the seconds left; raise the time-out of sockets if there are none."""
        left = self.at - self._clock()
        if left <= 0:
            raise socket.timeout("timed out")
        return max(left, _LEAST_TIMEOUT)


class _DeadlineSocket:
    """Give each operation of a connected socket what is left until the deadline."""

    def __init__(self, inner: Any, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sendall(self, data: Any, *flags: int) -> None:
        self._inner.settimeout(self._deadline.left())
        self._inner.sendall(data, *flags)

    def recv_into(self, *args: Any) -> Any:
        self._inner.settimeout(self._deadline.left())
        return self._inner.recv_into(*args)

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
    """Pass over every interim answer; the base does so with 100 only."""

    def _read_status(self) -> Tuple[str, int, str]:
        line = super()._read_status()  # type: ignore[misc]
        while 101 < line[1] < 200:
            http.client.parse_headers(self.fp)
            line = super()._read_status()  # type: ignore[misc]
        return line  # type: ignore[no-any-return]


class _Adapter(requests.adapters.HTTPAdapter):
    """Make connections whose sockets know the deadline, and remember them."""

    def __init__(self, deadline: Deadline, sockets: List[Any]) -> None:
        self._pools = _pool_classes(deadline, sockets)
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pool_classes(deadline: Deadline, sockets: List[Any]) -> Dict[str, Any]:
    def wrapped(connection: Any) -> None:
        del sockets[:]
        sockets.append(connection.sock)
        connection.sock = _DeadlineSocket(connection.sock, deadline)

    class Plain(HTTPConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            wrapped(self)

    class Secure(HTTPSConnection):
        response_class = _Response

        def connect(self) -> None:
            super().connect()
            wrapped(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class Transport:
    """Send batches to `{api_url}/events/batch`."""

    def __init__(
        self, config: Config, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._clock = clock
        self._url = f"{config.api_url}/events/batch"
        self._deadline = Deadline(clock)
        self._sockets: List[Any] = []
        self._session: Optional[requests.Session] = None

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send *batch* and return what came of it, within *timeout* seconds."""
        self._deadline.at = self._clock() + timeout
        try:
            return outcome_of(self._post(batch, timeout))
        except (requests.RequestException, OSError, ValueError) as error:
            self.close()
            return Unreachable(NetworkError(_reason(error, self._url, timeout)))

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def abandon(self) -> None:
        """Let go of a connection that belongs to the parent process.

        Closes this process's descriptor and nothing else: a TLS close would be read
        by the server as the parent's.
        """
        self._session = None
        while self._sockets:
            descriptor = self._sockets.pop().detach()
            if descriptor >= 0:
                os.close(descriptor)

    def _post(self, batch: Batch, timeout: float) -> Answer:
        body, headers = self._encoded(batch)
        session = self._open_session()
        response = session.post(
            self._url,
            data=body,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            stream=True,
        )
        return self._read(response)

    def _read(self, response: requests.Response) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        self._deadline.at = min(self._deadline.at, self._clock() + _BODY_SECONDS)
        try:
            body = response.raw.read(MAX_ANSWER_BYTES, decode_content=False)
            whole = len(body) < MAX_ANSWER_BYTES
        except Exception:  # torn, endless or garbled: the status counts
            body, whole = b"", False
        if not whole:
            # Only a connection that was read to the end can carry another request.
            response.close()
            self.close()
        return Answer(response.status_code, headers, self._masked(body))

    def _masked(self, body: bytes) -> bytes:
        # A server may quote our header back, and answers end up in log lines.
        return body.replace(self._config.api_key.reveal().encode("ascii"), b"***")

    def _encoded(self, batch: Batch) -> Tuple[bytes, Mapping[str, str]]:
        body = batch.body()
        headers = {"Idempotency-Key": batch.key}
        if self._config.compression == "gzip" and len(body) >= _COMPRESS_FROM:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, _COMPRESSION_LEVEL)
        return body, headers

    def _open_session(self) -> requests.Session:
        if self._session is None:
            self._session = _session(self._config, self._deadline, self._sockets)
        return self._session


def _session(
    config: Config, deadline: Deadline, sockets: List[Any]
) -> requests.Session:
    session = requests.Session()
    # Proxies and CA bundle are read from the environment once, here: requests would
    # look them up for each request, and send what it finds in ~/.netrc besides.
    session.trust_env = False
    session.proxies = _proxies(config.api_url)
    session.verify = _ca_bundle()
    session.headers.clear()
    session.headers.update(
        {
            "X-API-Key": config.api_key.reveal(),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "agentmonitor-logging",
        }
    )
    adapter = _Adapter(deadline, sockets)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _proxies(url: str) -> Dict[str, str]:
    # To this machine nothing takes a detour: a proxy would read the key.
    return {} if is_loopback(url) else requests.utils.get_environ_proxies(url)


def _ca_bundle() -> Any:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(variable):
            return os.environ[variable]
    return True


def _reason(error: Exception, url: str, timeout: float) -> str:
    """Say in a line why there was no answer; the chain of urllib3 says it in five."""
    timeouts = (requests.Timeout, socket.timeout)
    if isinstance(error, timeouts) or "timed out" in str(error):
        return f"no answer from {url} within {timeout:g} s"
    cause: BaseException = error
    seen = {id(cause)}
    while True:
        inner = cause.__cause__ or cause.__context__
        if inner is None or id(inner) in seen or isinstance(inner, TypeError):
            break
        seen.add(id(inner))
        cause = inner
    return f"cannot reach {url}: {type(cause).__name__}: {str(cause)[:200]}"
