"""Real servers on loopback ports, that misbehave as a test wants.

Everything a misbehaving server does is done on the socket itself: half headers,
endless bodies, resets. What was received is kept, and a test waits for it with a
deadline. `ScriptedServer` answers as a script says; `FaultServer` is up, down, slow,
hanging, refusing or flaky as a test turns it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple, Union

DEADLINE = 15.0
"""Seconds after which a test that waits has failed; none needs a tenth of it."""


class Request:
    """One request as it came in."""

    def __init__(self, line: str, headers: Dict[str, str], body: bytes) -> None:
        self.line = line
        self.headers = headers
        self.body = body
        self.at = time.monotonic()

    @property
    def events(self) -> List[Dict[str, Any]]:
        body = self.body
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        return json.loads(body)["events"]


@dataclass
class Storing:
    """An event that a server stored, as often as it stored it.

    *key* is the Idempotency-Key, *request* the number of the request, from 0.
    *answered* says whether the sender was told: it has then no reason to repeat.
    """

    event_id: str
    key: str
    request: int
    is_loss: bool
    at: float
    answered: bool = False


class Reply:
    """Answer properly, with a status; *store* says whether the events are kept."""

    def __init__(
        self,
        status: int = 200,
        body: Union[bytes, Dict[str, Any]] = b"{}",
        store: Optional[bool] = None,
        **headers: str,
    ) -> None:
        self.body = json.dumps(body).encode() if isinstance(body, dict) else body
        self.status = status
        self.stores = 200 <= status < 300 if store is None else store
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def __call__(self, exchange: Exchange) -> None:
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        head = [f"HTTP/1.1 {self.status} Scripted"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        if exchange.gone():
            exchange.closing = True
            return
        exchange.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body)
        exchange.answered = True


class Raw:
    """Write *data*, whatever that is, and then close, reset, hang or keep.

    *answers* says whether *data* holds a status, which is what a sender goes by.
    """

    def __init__(
        self,
        data: bytes = b"",
        then: str = "close",
        *,
        store: bool = False,
        answers: bool = False,
    ) -> None:
        self.data = data
        self.then = then
        self.stores = store
        self.answers = answers

    def __call__(self, exchange: Exchange) -> None:
        if self.data:
            exchange.write(self.data)
        exchange.answered = self.answers
        if self.then == "hang":
            exchange.hang()
        elif self.then == "reset":
            exchange.reset()
        exchange.closing = self.then != "keep"


class Slow:
    """Do as *action* after a pause, which ends early when the server closes."""

    def __init__(self, seconds: float, action: Union[Reply, Raw]) -> None:
        self.seconds = seconds
        self.action = action
        self.stores = action.stores

    def __call__(self, exchange: Exchange) -> None:
        exchange.server.closing.wait(self.seconds)
        self.action(exchange)


class Exchange:
    """Let an action do as it likes with the connection of a request."""

    def __init__(self, server: ScriptedServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.closing = False
        self.answered = False

    def gone(self) -> bool:
        """Tell whether the client has closed; not known of TLS."""
        try:
            self.connection.setblocking(False)
            return not self.connection.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return True
        except (OSError, ValueError):
            return False
        finally:
            self.connection.setblocking(True)

    def write(self, data: bytes) -> None:
        self.connection.sendall(data)

    def hang(self) -> None:
        """Keep the connection open and silent until the client or the server closes."""
        until = time.monotonic() + DEADLINE
        while not self.server.closing.wait(0.05) and time.monotonic() < until:
            if self.gone():
                break
        self.closing = True

    def drip(self, data: bytes, pause: float) -> None:
        """Write a byte every *pause* seconds until the server closes."""
        for byte in data:
            if self.server.closing.wait(pause):
                break
            self.write(bytes([byte]))
        self.closing = True

    def reset(self) -> None:
        """Close such that the peer gets a reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.closing = True


Action = Union[int, Reply, Raw, Slow, Callable[[Exchange], None]]


class ScriptedServer:
    """Answer the n-th request with the n-th action, and 200 when the script is over.

    An action is a status, a `Reply`, a `Raw`, or a callable that gets the `Exchange`.
    *rule* decides instead, where given, from the request. *greetings* are done to the
    first connections, one each, before anything is read from them.

    `stored` holds the events, `storings` what the invariants need to know of them.
    """

    def __init__(
        self,
        *script: Action,
        rule: Optional[Callable[[Request], Action]] = None,
        context: Any = None,
        host: str = "127.0.0.1",
        port: int = 0,
        greetings: Tuple[Callable[[Exchange], None], ...] = (),
    ) -> None:
        self.script = list(script)
        self.rule = rule
        self.greetings = list(greetings)
        self.storings: List[Storing] = []
        self.requests: List[Request] = []
        self.stored: List[Dict[str, Any]] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.closing = threading.Event()
        self._changed = threading.Condition()
        self._context = context
        self._open: Set[socket.socket] = set()
        self.host = host
        self.scheme = "http" if context is None else "https"
        self.port = port
        self._listen()

    def _listen(self) -> None:
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            request_queue_size = 128
            address_family = socket.AF_INET6 if ":" in self.host else socket.AF_INET

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Stay quiet: clients that go away are what these tests are about."""

        self._server = Server((self.host, self.port), Handler)
        if self._context is not None:
            # The handshake is the handler's: a client that stalls holds up no other.
            self._server.socket = self._context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}/api/v1"

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.closing.set()
        self._close_listener()

    def _close_listener(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)

    def wait(self, condition: Callable[[], bool], seconds: float = DEADLINE) -> bool:
        """Wait until *condition* holds, looking again after each request."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def wait_stored(self, count: int, seconds: float = DEADLINE) -> None:
        """Wait until *count* events are stored; fail with what is there otherwise."""
        if not self.wait(lambda: len(self.stored) >= count, seconds):
            raise AssertionError(f"{len(self.stored)} of {count} events arrived")

    def wait_requests(self, count: int, seconds: float = DEADLINE) -> None:
        """Wait until *count* requests came in."""
        if not self.wait(lambda: len(self.requests) >= count, seconds):
            raise AssertionError(f"{len(self.requests)} of {count} requests came")

    def wait_idle(self, seconds: float = DEADLINE) -> bool:
        """Wait until no request is being answered."""
        return self.wait(lambda: self.in_flight == 0, seconds)

    @property
    def event_ids(self) -> Counter:
        return Counter(event["metadata"]["event_id"] for event in self.stored)

    def messages(self) -> List[str]:
        return [event["metadata"]["message"] for event in self.stored]

    def _serve(self, connection: socket.socket) -> None:
        with self._changed:
            self.connections += 1
            self._open.add(connection)
            greeting = self.greetings.pop(0) if self.greetings else None
        stream = connection.makefile("rb")
        try:
            exchange = Exchange(self, connection)
            if greeting is not None:
                greeting(exchange)
            if exchange.closing:
                return
            for request in _requests(stream):
                exchange = Exchange(self, connection)
                self._answer(request, exchange)
                if exchange.closing or self.closing.is_set():
                    return
        except (OSError, ValueError):
            return
        finally:
            with self._changed:
                self._open.discard(connection)
            stream.close()
            connection.close()

    def _answer(self, request: Request, exchange: Exchange) -> None:
        with self._changed:
            action = self._action_for(request)
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            stores = getattr(action, "stores", False)
            storings = self._stored(request) if stores else []
            self._changed.notify_all()
        try:
            action(exchange)
        finally:
            with self._changed:
                self.in_flight -= 1
                for storing in storings:
                    storing.answered = exchange.answered
                self._changed.notify_all()

    def _stored(self, request: Request) -> List[Storing]:
        events = request.events
        storings = [
            Storing(
                event_id=event["metadata"]["event_id"],
                key=request.headers.get("idempotency-key", ""),
                request=len(self.requests) - 1,
                is_loss=event["event_type"] == "agentmonitor.loss",
                at=request.at,
            )
            for event in events
        ]
        self.stored.extend(events)
        self.storings.extend(storings)
        return storings

    def _action_for(self, request: Request) -> Callable[[Exchange], None]:
        action: Action = 200
        if self.rule is not None:
            action = self.rule(request)
        elif self.script:
            action = self.script.pop(0)
        return Reply(action) if isinstance(action, int) else action


OK = b"HTTP/1.1 200 OK\r\n"

NO_ANSWER: Dict[str, Raw] = {
    "reset": Raw(then="reset"),
    "closed": Raw(),
    "half a status": Raw(b"HTTP/1.1 20"),
    "half the headers": Raw(OK + b"Content-Type: applica", "reset"),
    "garbage": Raw(b"\x16\x03\x00garbage\r\n\r\n"),
    "HTTP/0.9": Raw(b"<html>welcome</html>"),
    "a status of words": Raw(b"HTTP/1.1 TWO OK\r\n\r\n"),
    "a status beyond": Raw(b"HTTP/1.1 2000 OK\r\n\r\n"),
    "an unknown protocol": Raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    "switching protocols": Raw(b"HTTP/1.1 101 Switching\r\n\r\n"),
    "an endless status": Raw(b"HTTP/1.1 200 " + b"x" * 1_000_000),
    "an endless header": Raw(OK + b"X: " + b"x" * 1_000_000),
    "100,000 headers": Raw(OK + b"X: y\r\n" * 100_000),
    "interim answers without end": Raw(b"HTTP/1.1 103 Early\r\n\r\n" * 40_000),
    "continue without end": Raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 40_000),
}
"""What is no answer, by name: the sender has to repeat. Nothing is stored."""

TORN: Dict[str, Raw] = {
    "too large a Content-Length": Raw(
        OK + b"Content-Length: 99\r\n\r\nhalf", store=True, answers=True
    ),
    "a negative Content-Length": Raw(
        OK + b"Content-Length: -1\r\n\r\n{}", store=True, answers=True
    ),
    "two Content-Lengths": Raw(
        OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        store=True,
        answers=True,
    ),
    "a Content-Length of words": Raw(
        OK + b"Content-Length: two\r\n\r\n{}", store=True, answers=True
    ),
    "no size of a chunk": Raw(
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", store=True, answers=True
    ),
    "a huge chunk": Raw(
        OK + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFF\r\n{}",
        store=True,
        answers=True,
    ),
    "an endless chunk header": Raw(
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 200_000,
        store=True,
        answers=True,
    ),
    "a missing last chunk": Raw(
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        store=True,
        answers=True,
    ),
    "headers without colon": Raw(
        OK + b"nonsense\r\nContent-Length: 2\r\n\r\n{}", store=True, answers=True
    ),
    "a gzip that is none": Raw(
        OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
        store=True,
        answers=True,
    ),
    "a reset in the body": Raw(
        OK + b"Content-Length: 99\r\n\r\nhalf", "reset", store=True, answers=True
    ),
    "interim answers": Raw(
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"
        + OK
        + b"Content-Length: 0\r\n\r\n",
        "keep",
        store=True,
        answers=True,
    ),
    "HTTP/1.0": Raw(b"HTTP/1.0 200 OK\r\n\r\n{}", store=True, answers=True),
    "no length at all": Raw(OK + b"\r\n{}", "hang", store=True, answers=True),
    "a body that never comes": Raw(
        OK + b"Content-Length: 9\r\n\r\n", "hang", store=True, answers=True
    ),
    "more than announced": Raw(
        OK + b"Content-Length: 2\r\n\r\n{}and more", "keep", store=True, answers=True
    ),
}
"""Successes that are badly told, by name: the status counts, and they are stored."""

LOST_ANSWERS: Dict[str, Raw] = {
    "stored, then closed": Raw(store=True),
    "stored, then reset": Raw(then="reset", store=True),
    "stored, then half a status": Raw(b"HTTP/1.1 20", store=True),
    "stored, then half the headers": Raw(OK + b"Content-Le", "reset", store=True),
    "stored, then garbage": Raw(b"\x00\x01\x02\r\n\r\n", store=True),
}
"""What explains a duplicate, by name: stored, and never told."""

REFUSALS: Dict[str, Reply] = {
    f"{status}": Reply(status, Retry_After="0")
    for status in (408, 409, 425, 429, 500, 502, 503, 504)
}


class FaultServer(ScriptedServer):
    """Be up, down, slow, hanging, refusing or flaky, as a test turns it at any time.

    It starts up. What it stored is in `storings`, for `invariants.violations`; a
    duplicate is explained where the answer to the earlier storing was lost.
    """

    def __init__(self, **options: Any) -> None:
        self._decide: Callable[[], Action] = _accepts
        self._reserved: Optional[socket.socket] = None
        super().__init__(rule=lambda request: self._decide(), **options)

    def up(self) -> None:
        """Accept everything, at once; listen again after `down`."""
        self._decide = _accepts
        if self._reserved is not None:
            self._listen()
            self._reserved.close()
            self._reserved = None

    def down(self) -> None:
        """Refuse connections, and cut those that are open. The port stays ours."""
        if self._reserved is not None:
            return
        self._decide = lambda: Raw(then="reset")
        self._close_listener()
        self._reserved = socket.socket(self._server.address_family)
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind((self.host, self.port))
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def slow(self, seconds: float) -> None:
        """Store at once and answer after *seconds*."""
        self._turn(lambda: Slow(seconds, Reply()))

    def hanging(self, *, store: bool = False) -> None:
        """Read requests and never answer; with *store* keep what they bring."""
        self._turn(lambda: Raw(then="hang", store=store))

    def refusing(self, status: int = 503, **headers: str) -> None:
        """Answer with *status*, and store nothing."""
        self._turn(lambda: Reply(status, **headers))

    def flaky(self, seed: int, share: float = 0.3) -> None:
        """Fail that *share* of the requests, each in a random way out of them all."""
        chance = random.Random(seed)
        ways = [*NO_ANSWER.values(), *LOST_ANSWERS.values(), *REFUSALS.values()]

        def decide() -> Action:
            return chance.choice(ways) if chance.random() < share else Reply()

        self._turn(decide)

    def client_was_killed(self, grace: float = 2.0) -> None:
        """Count the answers of the last *grace* seconds as lost: nobody acted on them."""
        self.wait_idle(grace)
        since = time.monotonic() - grace
        with self._changed:
            for storing in self.storings:
                storing.answered = storing.answered and storing.at < since

    def close(self) -> None:
        if self._reserved is None:
            super().close()
        else:
            self.closing.set()
            self._reserved.close()

    def _turn(self, decide: Callable[[], Action]) -> None:
        self.up()
        self._decide = decide


def _accepts() -> Action:
    return Reply()


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """Yield the address of a port whose backlog is full: no connection ever opens."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


def _requests(stream: Any) -> Iterator[Request]:
    while True:
        line = stream.readline().decode("latin-1").strip()
        if not line:
            return
        headers: Dict[str, str] = {}
        for raw in iter(stream.readline, b"\r\n"):
            if not raw:
                return
            name, _, value = raw.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = stream.read(int(headers.get("content-length", 0)))
        yield Request(line, headers, body)


def closed_port() -> int:
    """Return a loopback port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
