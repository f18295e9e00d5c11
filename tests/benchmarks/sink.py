"""The server all clients send to: answers at once, or late, or never; counts.

A process of its own, on a core of its own. It prints its ports as one line of JSON and
serves until its standard input ends. Requests come in on `http`, lines on `lines`;
`control` answers `/stats`, `/reset` and `/wait?calls=&warm=&patience=`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any, Callable, Dict, List, Optional, Set, Tuple
from urllib.parse import parse_qs, urlsplit

from reading import CONTINUE, Reader, Request
from resources import pin
from tally import POLITENESS, Tally, reads_zstd

JSON, PROTOBUF = "application/json", "application/x-protobuf"


class Http(asyncio.Protocol):
    """Read requests; *serve* is given each, with this connection."""

    def __init__(self, serve: Callable[[Http, Request], None]) -> None:
        self._serve = serve
        self._reader = Reader()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for request in self._reader.feed(data):
            self._serve(self, request)
        if self._reader.expects:
            self._reader.expects = False
            self._transport.write(CONTINUE)

    def answer(self, kind: str, body: bytes) -> None:
        """Write a response, unless the client has gone."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        if not self._transport.is_closing():
            self._transport.write(f"{head}\r\n\r\n".encode() + body)


class Lines(asyncio.Protocol):
    """Read lines and answer nothing, as Logstash's TCP input does."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        whole, end, self._rest = (self._rest + data).rpartition(b"\n")
        if end:
            self._tally.add(whole, "")

    def connection_lost(self, error: Optional[Exception]) -> None:
        if self._rest:
            self._tally.add(self._rest, "")


def answer_for(path: str) -> Tuple[str, bytes]:
    """Return kind and body of what the server of *path* would say."""
    path = path.partition("?")[0]
    if path.endswith(("/v1/traces", "/v1/logs", "/v1/metrics")):
        return PROTOBUF, b""
    if path == "/info":
        return JSON, json.dumps(_langsmith()).encode()
    if path == "/v1/info":
        return JSON, b'{"project_name": "bench", "project_url": "http://127.0.0.1/"}'
    return JSON, b"{}"


def _langsmith() -> Dict[str, Any]:
    """Return what LangSmith's own server tells its clients, as far as it holds here."""
    limits = {
        "use_multipart_endpoint": True,
        "scale_up_qsize_trigger": 1000,
        "scale_up_nthreads_limit": 16,
        "scale_down_nempty_trigger": 4,
        "size_limit": 100,
        "size_limit_bytes": 20_971_520,
    }
    flags = {"zstd_compression_enabled": reads_zstd()}
    return {
        "version": "0.10.0",
        "batch_ingest_config": limits,
        "instance_flags": flags,
    }


class Sink:
    """Serve with a *delay* in seconds, or read and never answer if *hangs*."""

    def __init__(self, *, delay: float, hangs: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._tally = Tally(self._loop)
        self._delay = delay
        self._hangs = hangs
        self._waiting: Set[Any] = set()

    def collect(self, connection: Http, request: Request) -> None:
        """Answer a client, then have its body counted."""
        if self._hangs:
            return
        answer = answer_for(request.path)
        if self._delay:
            self._loop.call_later(self._delay, connection.answer, *answer)
        else:
            connection.answer(*answer)
        if request.body:
            encoding = request.headers.get(b"content-encoding", b"")
            self._tally.add(request.body, encoding.decode().lower())

    def control(self, connection: Http, request: Request) -> None:
        """Answer the one who measures."""
        waiting = asyncio.ensure_future(self._control(connection, request))
        self._waiting.add(waiting)
        waiting.add_done_callback(self._waiting.discard)

    async def _control(self, connection: Http, request: Request) -> None:
        parts = urlsplit(request.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/reset":
            self._tally.reset()
        if parts.path == "/wait":
            await self._tally.wait(
                int(given.get("calls", 0)),
                int(given.get("warm", 0)),
                float(given.get("patience", POLITENESS)),
            )
        connection.answer(JSON, json.dumps(self._tally.stats()).encode())

    async def serve(self) -> None:
        """Listen, tell where, and go on until standard input ends."""
        serving: Dict[str, Callable[[], asyncio.Protocol]] = {
            "http": lambda: Http(self.collect),
            "lines": lambda: Lines(self._tally),
            "control": lambda: Http(self.control),
        }
        ports: Dict[str, int] = {}
        servers: List[Any] = []
        for name, protocol in serving.items():
            server = await self._loop.create_server(protocol, "127.0.0.1", 0)
            servers.append(server)
            ports[name] = server.sockets[0].getsockname()[1]
        print(json.dumps(ports), flush=True)
        await self._loop.run_in_executor(None, sys.stdin.read)
        for server in servers:
            server.close()


async def _main(delay: float, *, hangs: bool) -> None:
    await Sink(delay=delay, hangs=hangs).serve()


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--delay", type=float, default=0.0, help="milliseconds")
    parser.add_argument("--hang", action="store_true", help="never answer")
    parser.add_argument("--core", type=int, help="stay on this core")
    given = parser.parse_args()
    pin(given.core)
    asyncio.run(_main(given.delay / 1000, hangs=given.hang))


if __name__ == "__main__":
    main()
