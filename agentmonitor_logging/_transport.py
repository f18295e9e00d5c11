"""One request and its answer: what comes back is an `Outcome`, never an exception.

A transport belongs to one thread at a time and keeps one connection open.
"""

from __future__ import annotations

import contextlib

# The name look-up of a host imports this codec when first used; an import in our
# thread could wait for a lock that a closing thread holds.
import encodings.idna  # noqa: F401
import gzip
import http.client
import os
import socket
import time
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import requests
import requests.utils
import urllib3.exceptions

from ._answers import Answer, Outcome, Unreachable, outcome_of, printable
from ._batch import Batch
from ._config import Config, is_loopback
from ._connections import Adapter, Wire
from .exceptions import NetworkError

MAX_ANSWER_BYTES = 64 * 1024
"""How much of an answer is read: enough for a hundred validation errors."""
_COMPRESS_FROM = 1024
"""Smaller bodies do not get smaller."""
_COMPRESSION_LEVEL = 1
"""Level 6 takes twice the time of level 1 to save a few per cent of JSON."""
_BODY_SECONDS = 2.0
"""How long the body may take once the status is known: it adds a reason at most."""
_SPARE_BODY_SECONDS = 0.2
"""The same for a success, whose body only has to be out of the way."""
_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


class Transport:
    """Send batches to `{api_url}/events/batch`."""

    def __init__(
        self, config: Config, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._url = _url_of(config)
        self._wire = Wire(clock)
        self._destination: Optional[_Destination] = None

    def send(self, batch: Batch, timeout: float) -> Outcome:
        """Send *batch* and return what came of it, within *timeout* seconds."""
        self._wire.begin(timeout)
        try:
            return outcome_of(self._answer(batch))
        except _FAILURES as error:
            self.close()
            return Unreachable(NetworkError(self._reason(error, timeout)))

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        destination, self._destination = self._destination, None
        if destination is not None:
            destination.adapter.close()

    def abandon(self) -> None:
        """Let go of a connection that belongs to the parent process.

        Closes this process's descriptor and nothing else: a TLS close would be read
        by the server as the parent's.
        """
        self._destination = None
        while self._wire.sockets:
            descriptor = self._wire.sockets.pop().detach()
            if descriptor >= 0:
                os.close(descriptor)

    def _answer(self, batch: Batch) -> Answer:
        try:
            return self._post(batch)
        except _FAILURES:
            if not self._wire.stale:
                raise
        # An idempotency key makes this safe, as it does for the clients of Go.
        self.close()
        return self._post(batch)

    def _post(self, batch: Batch) -> Answer:
        if self._destination is None:
            self._destination = _Destination(self._config, self._wire)
        body, headers = self._encoded(batch)
        return self._read(self._destination.post(body, headers, self._wire.left()))

    def _read(self, response: Any) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        spare = 200 <= response.status < 300
        self._wire.hurry(_SPARE_BODY_SECONDS if spare else _BODY_SECONDS)
        body, whole = b"", False
        if not spare or _ends(headers):
            with contextlib.suppress(Exception):  # torn or garbled: the status counts
                body = response.read(MAX_ANSWER_BYTES, decode_content=False)
                whole = len(body) < MAX_ANSWER_BYTES
        if not whole:
            # Only a connection that was read to the end can carry another request.
            response.close()
            self.close()
        return Answer(response.status, headers, body, self._masked)

    def _masked(self, text: str) -> str:
        # A server may quote our header back, and answers end up in log lines.
        return text.replace(self._config.api_key.reveal(), "***")

    def _reason(self, error: Exception, timeout: float) -> str:
        """Say in a line why there was no answer; urllib3's chain says it in five."""
        timeouts = (requests.Timeout, socket.timeout)
        if isinstance(error, timeouts) or "timed out" in str(error):
            return f"no answer from {self._url} within {timeout:g} s"
        cause = _innermost(error)
        said = printable(self._masked(str(cause))[:200])
        return f"cannot reach {self._url}: {type(cause).__name__}: {said}"

    def _encoded(self, batch: Batch) -> Tuple[bytes, Mapping[str, str]]:
        body = batch.body()
        headers = {"Idempotency-Key": batch.key}
        if self._config.compression == "gzip" and len(body) >= _COMPRESS_FROM:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, _COMPRESSION_LEVEL)
        return body, headers


def _ends(headers: Mapping[str, str]) -> bool:
    """Tell whether the end of the body shows before the connection ends."""
    return "content-length" in headers or "transfer-encoding" in headers


def _url_of(config: Config) -> str:
    return f"{config.api_url}/events/batch"


class _Destination:
    """Know what is the same for every request to one address.

    A `requests.Session` would work it out anew each time, and look into the environment
    and ~/.netrc besides; that costs half as much as the request itself. So proxies and
    CA bundle are read from the environment once, here, and the request is prepared.
    """

    def __init__(self, config: Config, wire: Wire) -> None:
        self.adapter = Adapter(wire)
        self._proxies = _proxies(config.api_url)
        self._verify = _ca_bundle()
        self._request = requests.Request("POST", _url_of(config)).prepare()
        self._headers = {
            "X-API-Key": config.api_key.reveal(),
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "agentmonitor-logging",
        }

    def post(self, body: bytes, headers: Mapping[str, str], timeout: float) -> Any:
        """Post *body* within *timeout* seconds; a redirect is not followed.

        Returns the answer as urllib3 has it.
        """
        request: Any = self._request
        request.body = body
        request.headers = {
            **self._headers,
            **headers,
            "Content-Length": str(len(body)),
        }
        try:
            return self.adapter.send(
                request,
                stream=True,
                timeout=timeout,
                verify=self._verify,
                proxies=self._proxies,
            )
        finally:
            request.body = None


def _proxies(url: str) -> Dict[str, str]:
    # To this machine nothing takes a detour: a proxy would read the key.
    return {} if is_loopback(url) else requests.utils.get_environ_proxies(url)


def _ca_bundle() -> Any:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if os.environ.get(variable):
            return os.environ[variable]
    return True


def _innermost(error: BaseException) -> BaseException:
    """Return the first cause of *error*."""
    seen = {id(error)}
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None or id(inner) in seen or isinstance(inner, TypeError):
            return error
        seen.add(id(inner))
        error = inner
