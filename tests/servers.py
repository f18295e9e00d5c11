"""A real server on a loopback port that answers as a script says.

Everything a misbehaving server does is done on the socket itself: half headers,
endless bodies, resets. What was received is kept, and a test waits for it with a
deadline.
"""

from __future__ import annotations

import gzip
import json
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from typing import Any, Callable, Dict, Iterator, List, Optional, Union

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


class Reply:
    """Answer properly, with a status."""

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
        exchange.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body)


class Exchange:
    """Let an action do as it likes with the connection of a request."""

    def __init__(self, server: ScriptedServer, connection: socket.socket) -> None:
        self.server = server
        self.connection = connection
        self.closing = False

    def write(self, data: bytes) -> None:
        self.connection.sendall(data)

    def hang(self) -> None:
        """Keep the connection open and silent until the server closes."""
        self.server.closing.wait(DEADLINE)
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


Action = Union[int, Reply, Callable[[Exchange], None]]


class ScriptedServer:
    """Answer the n-th request with the n-th action, and 200 when the script is over.

    An action is a status, a `Reply`, or a callable that gets the `Exchange`. *rule*
    decides instead, where given, from the request.
    """

    def __init__(
        self,
        *script: Action,
        rule: Optional[Callable[[Request], Action]] = None,
        context: Any = None,
        port: int = 0,
    ) -> None:
        self.script = list(script)
        self.rule = rule
        self.requests: List[Request] = []
        self.stored: List[Dict[str, Any]] = []
        self.connections = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.closing = threading.Event()
        self._changed = threading.Condition()
        outer = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                outer._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False
            allow_reuse_address = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Stay quiet: clients that go away are what these tests are about."""

        self._server = Server(("127.0.0.1", port), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True
            )
        self.scheme = "http" if context is None else "https"
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/api/v1"

    def __enter__(self) -> ScriptedServer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        self.closing.set()
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

    @property
    def event_ids(self) -> Counter:
        return Counter(event["metadata"]["event_id"] for event in self.stored)

    def messages(self) -> List[str]:
        return [event["metadata"]["message"] for event in self.stored]

    def _serve(self, connection: socket.socket) -> None:
        with self._changed:
            self.connections += 1
        stream = connection.makefile("rb")
        try:
            for request in _requests(stream):
                exchange = Exchange(self, connection)
                self._answer(request, exchange)
                if exchange.closing or self.closing.is_set():
                    return
        except (OSError, ValueError):
            return
        finally:
            stream.close()
            connection.close()

    def _answer(self, request: Request, exchange: Exchange) -> None:
        with self._changed:
            action = self._action_for(request)
            self.requests.append(request)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            if isinstance(action, Reply) and action.stores:
                self.stored.extend(request.events)
            self._changed.notify_all()
        try:
            action(exchange)
        finally:
            with self._changed:
                self.in_flight -= 1
                self._changed.notify_all()

    def _action_for(self, request: Request) -> Callable[[Exchange], None]:
        action: Action = 200
        if self.rule is not None:
            action = self.rule(request)
        elif self.script:
            action = self.script.pop(0)
        return Reply(action) if isinstance(action, int) else action


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
