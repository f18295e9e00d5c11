"""A connection that does not wait for ever.

uvicorn bounds how long a finished connection may idle, but not how long a client may
take over its request's head, over a body nobody wants, or over reading the answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio


class PatientProtocol(H11Protocol):
    """Cut a client off that takes more than *timeout* seconds over one of these.

    A request whose head has arrived is the application's business, body included.
    """

    def __init__(self, *args: Any, timeout: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._timeout = timeout
        self._head: Optional[asyncio.TimerHandle] = None
        self._stall: Optional[asyncio.TimerHandle] = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        super().connection_made(transport)
        self._head = self._cut_off_later()

    def data_received(self, data: bytes) -> None:
        """Expect a head, unless a request is under way."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._head = _cancelled(self._head)
        elif self._head is None:
            self._head = self._cut_off_later()

    def pause_writing(self) -> None:
        """Expect the client to read."""
        super().pause_writing()
        self._stall = self._stall or self._cut_off_later()

    def resume_writing(self) -> None:
        """Note that the client reads."""
        super().resume_writing()
        self._stall = _cancelled(self._stall)

    def connection_lost(self, exc: Optional[Exception]) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        self._head = _cancelled(self._head)
        self._stall = _cancelled(self._stall)

    def _cut_off_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self._timeout, self.transport.abort)


def _cancelled(timer: Optional[asyncio.TimerHandle]) -> Optional[asyncio.TimerHandle]:
    if timer is not None:
        timer.cancel()
    return None
