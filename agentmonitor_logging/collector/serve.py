"""A collector that runs: a socket, a store, the application and a thread for them."""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator, List, Optional

import uvicorn

from .access import LOOPBACK_HOSTS
from .address import Listening, checked_key, listen
from .app import API, BODY_TIMEOUT, MAX_BODY_BYTES, create_app
from .exceptions import CollectorError
from .patience import PatientProtocol
from .retention import Retention
from .store import EventStore, PathLike
from .writer import NO_RETENTION

if TYPE_CHECKING:
    import socket

MAX_CONNECTIONS = 500
"""Connections and requests beyond these are answered 503; half of the files that most
systems let a process open."""

KEEP_ALIVE = 75
"""Seconds an idle connection stays: longer than any handler's `flush_interval` in use,
or a batch would keep meeting a connection that is just being closed."""

SHUTDOWN_TIMEOUT = 5
"""Seconds for requests under way when the collector ends."""


class RunningCollector:
    """Hold what a caller needs of a collector that listens.

    *url* is what a handler's option `api_url` takes, *origin* is without `/api/v1`.
    """

    def __init__(self, origin: str, store: EventStore, server: _Server) -> None:
        self.origin = origin
        self.url = origin + API
        self.store = store
        self._server = server

    def wait(self) -> None:
        """Return when the server has ended by itself, which it should not."""
        while not self._server.ended.wait(0.5):
            # A wait without a timeout could not be interrupted on Windows.
            pass

    def __repr__(self) -> str:
        return f"<RunningCollector {self.url} {self.store.path!r}>"


@contextlib.contextmanager
def running_collector(
    db: PathLike,
    api_key: Optional[str] = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    max_body_bytes: int = MAX_BODY_BYTES,
    timeout: float = BODY_TIMEOUT,
    retention: Retention = NO_RETENTION,
) -> Iterator[RunningCollector]:
    """Run a collector on a thread; port 0 takes a free one.

    *timeout* is the seconds a client may take to send a head, to send a body, and to
    read an answer; *retention* is how long events stay. Raises `CollectorError` where
    it cannot start. At the end what was acknowledged is in the file, and no thread,
    socket or file is left open.
    """
    key = checked_key(api_key)
    with contextlib.ExitStack() as stack:
        listening = listen(host, port, has_key=key is not None)
        stack.callback(listening.socket.close)
        store = stack.enter_context(EventStore(db, retention=retention))
        app = create_app(
            store,
            key,
            hosts=LOOPBACK_HOSTS | {listening.host} if listening.loopback else None,
            max_body_bytes=max_body_bytes,
            body_timeout=timeout,
        )
        server = _Server(_config(app, timeout), app.state.followers.end)
        stack.enter_context(server.running(listening))
        yield RunningCollector(listening.origin, store, server)


def _config(app: Any, timeout: float) -> uvicorn.Config:
    protocol: Any = functools.partial(PatientProtocol, timeout=timeout)
    return uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=SHUTDOWN_TIMEOUT,
    )


class _Server(uvicorn.Server):
    """Run on a thread of its own, and say when it is ready and when it has ended."""

    def __init__(self, config: uvicorn.Config, end_streams: Callable[[], None]) -> None:
        super().__init__(config)
        self._end_streams = end_streams
        self.ready = threading.Event()
        self.ended = threading.Event()

    @contextlib.contextmanager
    def running(self, listening: Listening) -> Iterator[None]:
        """Serve *listening* for the length of the block."""
        thread = threading.Thread(
            target=self._run,
            args=([listening.socket],),
            name="agentmonitor-collector",
            daemon=True,
        )
        thread.start()
        try:
            self.ready.wait()
            if not self.started:
                message = "the server did not start"
                raise CollectorError(message)
            yield
        finally:
            self.should_exit = True
            thread.join()

    def _run(self, sockets: List[socket.socket]) -> None:
        try:
            self.run(sockets)
        finally:
            self.ready.set()
            self.ended.set()

    async def startup(self, sockets: Optional[List[socket.socket]] = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: Optional[List[socket.socket]] = None) -> None:
        self._end_streams()  # or it would wait for them
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):
            # Somebody who does not read their answer must not hold the socket open.
            if connection.transport is not None:
                connection.transport.abort()
