"""From the name of a server to its answer, step by step, as far as it goes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

import requests

from agentmonitor_logging._answers import Answer, Delivered, outcome_of
from agentmonitor_logging._config import Config, is_loopback
from agentmonitor_logging._transport import _ca_bundle, _proxies

from .findings import Finding, note, ok, problem
from .patience import within
from .source import AwayError, Source, SourceError, parsed

TIMEOUT = 5.0
"""Seconds for each step but the last. Who needs longer loses events at every exit."""
ANSWER_TIMEOUT = 10.0
MAX_SKEW = 60.0
"""Seconds between two clocks that make times in a dashboard hard to understand."""
_MOST_ADDRESSES = 4
_REFUSED = frozenset({401, 403})

_Address = Tuple[Any, ...]


class Place(NamedTuple):
    """Say where a connection goes: to the server, or to a proxy on the way."""

    host: str
    port: int
    secure: bool
    is_proxy: bool = False


class Reach:
    """Go all the way to the server of *config*.

    *decides* says that nothing is sent afterwards, which would tell more. `reads` tells
    then whether a collector answered that gives events back.
    """

    def __init__(
        self,
        config: Config,
        *,
        decides: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._decides = decides
        self._clock = clock
        self.reads = False

    def steps(self) -> Iterator[Finding]:
        """Yield what is found; the first problem is the last finding."""
        place = place_of(self._config.api_url)
        if place.is_proxy:
            hint = "NO_PROXY=... goes past it"
            yield note("proxy", f"by way of {place.host}:{place.port}", hint)
        addresses: List[_Address] = []
        for step in (
            self._resolved(place, addresses),
            self._connected(place, addresses),
            self._answered(),
        ):
            # Each begins when it is asked: the one before has filled the addresses.
            for finding in step:
                yield finding
                if finding.is_problem:
                    return

    def _resolved(self, place: Place, addresses: List[_Address]) -> Iterator[Finding]:
        try:
            found = within(TIMEOUT, lambda: _look_up(place))
        except (OSError, UnicodeError) as error:
            said = getattr(error, "strerror", None) or error
            yield problem("name", f"there is no {place.host}: {said}", _NAME_HINT)
            return
        if found is None:
            text = f"no answer to where {place.host} is within {TIMEOUT:g} s"
            yield problem("name", text, _NAME_HINT)
            return
        addresses += found[:_MOST_ADDRESSES]
        told = [str(address[1][0]) for address in addresses]
        if told == [place.host]:
            yield ok("name", f"{place.host} is an address")
        else:
            yield ok("name", f"{place.host} is {', '.join(told)}")

    def _connected(self, place: Place, addresses: List[_Address]) -> Iterator[Finding]:
        connection, error = _connect(addresses)
        if connection is None:
            yield _not_connected(place, error)
            return
        with contextlib.closing(connection):
            yield ok("connection", f"{place.host}:{place.port} accepts connections")
            if place.secure:
                yield _secured(connection, place.host)

    def _answered(self) -> Iterator[Finding]:
        config = self._config
        source = Source(config.api_url, config.api_key, timeout=ANSWER_TIMEOUT)
        try:
            with contextlib.closing(source):
                answer = source.answer("/events", {"limit": "1"})
        except AwayError as error:
            hint = "look into the log of the server, or of the proxy before it"
            yield problem("answer", str(error), hint)
            return
        except SourceError as error:
            hint = "the address may be that of something else: check api_url"
            yield problem("answer", str(error), hint)
            return
        yield from self._understood(answer)
        yield from clock_compared(answer.headers, self._clock())

    def _understood(self, answer: Answer) -> Iterator[Finding]:
        page = parsed(answer.body) if answer.status == 200 else None
        self.reads = isinstance(page, dict) and isinstance(page.get("events"), list)
        if self.reads:
            yield ok("answer", "a collector, which lets this key read")
        elif answer.status in _REFUSED and not self._decides:
            # There are keys that may write and not read.
            yield note("answer", f"the key may not read (status {answer.status})")
        else:
            yield understood(answer, self._config.api_url)


_NAME_HINT = "check the name in api_url, and the network and DNS of this machine"


def place_of(url: str) -> Place:
    """Return where a connection to *url* goes, by the rules of a handler."""
    proxy = requests.utils.select_proxy(url, _proxies(url))
    if proxy:
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}")
        port = parts.port or (1080 if parts.scheme.startswith("socks") else 80)
        return Place(parts.hostname or "", port, secure=False, is_proxy=True)
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return Place(parts.hostname or "", parts.port or (443 if secure else 80), secure)


def _look_up(place: Place) -> List[_Address]:
    found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _connect(
    addresses: List[_Address],
) -> Tuple[Optional[socket.socket], Optional[OSError]]:
    """Try *addresses* in turn; return a connection, or what came of the last one."""
    failure: Optional[OSError] = None
    for family, address in addresses:
        connection = socket.socket(family, socket.SOCK_STREAM)
        connection.settimeout(TIMEOUT)
        try:
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection, None
    return None, failure


def _not_connected(place: Place, error: Optional[OSError]) -> Finding:
    where = f"{place.host}:{place.port}"
    if isinstance(error, ConnectionRefusedError):
        hint = "check the port in api_url, and that the server runs"
        if is_loopback(f"http://{where}"):
            hint = "start one by `agentmonitor collector`, or check the port in api_url"
        return problem("connection", f"nobody listens at {where}", hint)
    if isinstance(error, socket.timeout):
        text = f"no connection to {where} within {TIMEOUT:g} s"
        hint = "a firewall may drop it: check from where the server can be reached"
        return problem("connection", text, hint)
    said = getattr(error, "strerror", None) or error
    hint = "check the network of this machine, and its routes"
    return problem("connection", f"no connection to {where}: {said}", hint)


def _secured(connection: socket.socket, host: str) -> Finding:
    bundle = _ca_bundle()
    try:
        context = _tls_context(bundle)
    except (OSError, ssl.SSLError) as error:
        text = f"the certificates in {bundle} cannot be used: {error}"
        hint = "REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE must name a file of certificates"
        return problem("certificate", text, hint)
    try:
        with context.wrap_socket(connection, server_hostname=host) as secured:
            return ok("certificate", f"valid for {host} ({secured.version()})")
    except ssl.SSLCertVerificationError as error:
        return problem("certificate", *_certificate_refused(error, host))
    except OSError as error:  # ssl.SSLError is one
        said = getattr(error, "reason", None) or error.strerror or error
        hint = "the server may speak plain http there: check scheme and port of api_url"
        return problem("certificate", f"no secure connection to {host}: {said}", hint)


def _tls_context(bundle: Any) -> ssl.SSLContext:
    where = requests.utils.DEFAULT_CA_BUNDLE_PATH if bundle is True else bundle
    context = ssl.create_default_context(cafile=None if Path(where).is_dir() else where)
    if Path(where).is_dir():
        context.load_verify_locations(capath=where)
    return context


def _certificate_refused(error: Any, host: str) -> Tuple[str, str]:
    said = str(error.verify_message or error).rstrip(".")
    low = said.lower()
    hint = (
        "if your network has a CA of its own, set REQUESTS_CA_BUNDLE to the file of its"
        " certificate"
    )
    if "expired" in low:
        hint = (
            "the server needs a new certificate; or is the clock of this machine off?"
        )
    elif "mismatch" in low or "match" in low:
        hint = "use the name that is in the certificate, or have it made for this one"
    return f"the certificate of {host} is not accepted: {said}", hint


def understood(answer: Answer, url: str) -> Finding:
    """Say what *answer* to a reader tells; no problem where only reading is not on."""
    status = answer.status
    if 300 <= status < 400:
        to = answer.headers.get("location", "nowhere").partition("?")[0]
        hint = f"set api_url to where it is: {_without_path(to)}"
        return problem("answer", f"{url} redirects to {to}", hint)
    kind = answer.headers.get("content-type", "").lower()
    if kind.startswith("text/html") and status < 400:
        text = f"a web page answers at {url}, not an API"
        hint = "log in to the network (a captive portal?), or check the path in api_url"
        return problem("answer", text, hint)
    outcome = outcome_of(answer)
    if status in _REFUSED:
        hint = "compare AGENTMONITOR_API_KEY with the one the server was given"
        return problem("answer", str(getattr(outcome, "error", "")), hint)
    if status == 421:
        hint = "call the collector by the name or address it was started with (--host)"
        return problem("answer", str(getattr(outcome, "error", "")), hint)
    if status >= 500 or status in (408, 429):
        hint = "look into the log of the server; handlers keep trying"
        return problem("answer", str(getattr(outcome, "error", "")), hint)
    said = "no events" if isinstance(outcome, Delivered) else f"status {status}"
    return note("answer", f"it gives no events back ({said}): only its word counts")


def _without_path(url: str) -> str:
    return url[: -len("/events")] if url.endswith("/events") else url


def clock_compared(headers: Mapping[str, str], now: float) -> Iterator[Finding]:
    """Compare the server's clock with *now*, if it tells of one."""
    try:
        theirs = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return
    off = now - theirs
    if abs(off) <= MAX_SKEW:
        # The header has whole seconds.
        yield ok("clock", "the same as the server's, to a minute")
        return
    text = f"this machine's is {abs(off):,.0f} s {'ahead of' if off > 0 else 'behind'}"
    hint = "events are shown at the wrong time: synchronise both (NTP)"
    yield note("clock", f"{text} the server's", hint)
