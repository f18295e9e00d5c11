"""A collector's API, read: pages of events, and the stream of those that arrive.

Whatever goes wrong is one error whose text is for the person at the terminal; whether
it may pass by itself is its class.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Union,
)

import requests

from agentmonitor_logging._answers import (
    Answer,
    Delivered,
    Refused,
    Unreachable,
    outcome_of,
)
from agentmonitor_logging._config import Secret, is_loopback
from agentmonitor_logging._transport import _FAILURES, _ca_bundle, _innermost

from .harmless import harmless
from .stream import EndlessMessageError, Message, messages

EXAMPLE = "http://127.0.0.1:3002/api/v1"
"""Where `agentmonitor collector` listens."""

CONNECT_TIMEOUT = 5.0
SILENCE = 45.0
"""Seconds without a byte after which a stream is dead: a collector that has nothing to
tell says so every 15."""
PAGE_TIMEOUT = 60.0
MAX_PAGE = 128 * 1024 * 1024
"""Bytes of a page. A collector ends one at 16 MiB of text, of at most four bytes."""
_PIECE = 64 * 1024
_MAX_SAID = 300


class SourceError(Exception):
    """Say why nothing can be read, and what to do about it."""


class AwayError(SourceError):
    """Say why nothing can be read just now: it is worth another try."""


class Page(NamedTuple):
    """Hold events, newest first, and the cursor of the next page or None."""

    events: List[Dict[str, Any]]
    next: Optional[str]


class Source:
    """Read from the collector at *url*; *key* is shown to nobody else.

    *timeout* is the seconds that a whole answer may take.
    """

    def __init__(
        self,
        url: str,
        key: Optional[Secret] = None,
        *,
        timeout: float = PAGE_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url = url
        self._timeout = timeout
        self._key = key or Secret()
        self._clock = clock
        self._session = _session(url, self._key)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def page(
        self,
        filters: Mapping[str, str],
        *,
        limit: int,
        cursor: Optional[str] = None,
    ) -> Page:
        """Read up to *limit* events that *filters* let pass, after *cursor*."""
        query = {**filters, "limit": str(limit)}
        if cursor is not None:
            query["cursor"] = cursor
        answer = self.answer("/events", query)
        self._check(answer, "/events")
        return _page_in(answer.body, self.url)

    def stream(
        self, filters: Mapping[str, str], *, after: int, again: bool = False
    ) -> Iterator[Optional[Message]]:
        """Yield what arrives after event *after*, and None as a sign of life.

        The first sign is that of the connection. *again* says that it was lost.
        """
        query = {"of": "events", **filters}
        headers = {"Accept": "text/event-stream"}
        if again:
            headers["Last-Event-ID"] = str(after)
        else:
            query["after"] = str(after)
        with self._opened("/stream", query, SILENCE, headers) as response:
            if response.status_code != 200 or not _is_stream(response):
                raise self._no_stream(self._read(response))
            yield None
            yield from self._messages(response)

    def _no_stream(self, answer: Answer) -> SourceError:
        if answer.status in (404, 405):
            return SourceError(
                f"the collector at {self.url} is too old to be followed: update it, or"
                " read what it has with --no-follow"
            )
        self._check(answer, "/stream")
        return SourceError(f"what answers at {self.url}/stream is no stream; {_WHERE}")

    def answer(self, path: str, query: Mapping[str, str]) -> Answer:
        """Return the answer, whatever it is; raise `AwayError` where there is none."""
        with self._opened(path, query, self._timeout, {}) as response:
            return self._read(response)

    @contextlib.contextmanager
    def _opened(
        self,
        path: str,
        query: Mapping[str, str],
        timeout: float,
        headers: Mapping[str, str],
    ) -> Iterator[requests.Response]:
        try:
            response = self._session.get(
                self.url + path,
                params=query,
                headers=headers,
                timeout=(CONNECT_TIMEOUT, timeout),
                # The key must not travel.
                allow_redirects=False,
                stream=True,
            )
        except _FAILURES as error:
            raise self._away(error) from error
        with contextlib.closing(response):
            yield response

    def _read(self, response: requests.Response) -> Answer:
        until = self._clock() + self._timeout
        body = bytearray()
        try:
            for piece in response.iter_content(_PIECE):
                body += piece
                if len(body) > MAX_PAGE:
                    raise SourceError(f"the answer of {self.url} does not end")
                if self._clock() > until:
                    raise AwayError(f"no whole answer within {self._timeout:g} s")
        except _FAILURES as error:
            raise self._away(error) from error
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body), self._masked)

    def _messages(self, response: requests.Response) -> Iterator[Optional[Message]]:
        # Of a body that comes in chunks a chunk is given out as soon as it is there; of
        # any other only what was asked for.
        coding = response.headers.get("Transfer-Encoding", "")
        pieces = response.iter_content(_PIECE if "chunked" in coding.lower() else 1)
        try:
            yield from messages(pieces)
        except EndlessMessageError as error:
            raise SourceError(f"a message of {self.url} does not end") from error
        except _FAILURES as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> SourceError:
        if isinstance(error, requests.exceptions.SSLError):
            said = self._quoted(str(_innermost(error)))
            text = f"no secure connection to {self.url}: {said}"
            return SourceError(f"{text}; REQUESTS_CA_BUNDLE names CAs of your own")
        if isinstance(error, requests.Timeout) or "timed out" in str(error):
            return AwayError(f"no answer from {self.url} in time")
        cause = _innermost(error)
        said = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        return AwayError(f"cannot reach {self.url}: {self._quoted(said)}")

    def _check(self, answer: Answer, path: str) -> None:
        """Raise what *answer* means unless it is what was asked for."""
        outcome = outcome_of(answer)
        if isinstance(outcome, Delivered):
            return
        if isinstance(outcome, Unreachable):
            if 200 <= answer.status < 300:
                raise SourceError(f"{self.url}: {outcome.error}; {_WHERE}")
            raise AwayError(f"{self.url}: {outcome.error}")
        said = self._quoted(str(outcome.error))
        if isinstance(outcome, Refused):
            raise SourceError(advice(answer, f"{self.url}{path}", said))
        raise SourceError(f"{self.url}: {said}")

    def _masked(self, text: str) -> str:
        key = self._key.reveal()
        return text.replace(key, "***") if key else text

    def _quoted(self, text: str) -> str:
        return harmless(self._masked(text), _MAX_SAID)


_WHERE = f"give the address of a collector, as in {EXAMPLE}"


def advice(answer: Answer, address: str, said: str) -> str:
    """Say what to do about an *answer* that refuses the key or the address."""
    status = answer.status
    if status in (401, 403):
        return f"{said}: give another by AGENTMONITOR_API_KEY or --api-key"
    if 300 <= status < 400:
        to = harmless(answer.masked(answer.headers.get("location", "")), _MAX_SAID)
        return f"{address} redirects to {to or 'nowhere'}: give the address it is at"
    if status in (404, 405):
        return f"there is nothing to read at {address} (status {status}): {_WHERE}"
    return f"{address} cannot be read: {said}"


def _session(url: str, key: Secret) -> requests.Session:
    session = requests.Session()
    # A proxy of the environment has no business on loopback: it would read the key.
    session.trust_env = not is_loopback(url)
    session.verify = _ca_bundle()
    session.headers.update(
        {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "agentmonitor-logging",
        }
    )
    if key:
        session.headers["X-API-Key"] = key.reveal()
    return session


def _is_stream(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "")
    return kind.partition(";")[0].strip().lower() == "text/event-stream"


def _page_in(body: bytes, url: str) -> Page:
    page = parsed(body)
    events = page.get("events") if isinstance(page, dict) else None
    if not isinstance(events, list) or not all(isinstance(e, dict) for e in events):
        raise SourceError(f"what answers at {url} is no collector: {_WHERE}")
    cursor = page.get("next")
    return Page(events, cursor if isinstance(cursor, str) else None)


def parsed(text: Union[bytes, str]) -> Any:
    """Return what *text* is the JSON of; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
