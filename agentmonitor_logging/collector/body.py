"""A request's body, never more of it than was agreed: in bytes, in time, in sum."""

from __future__ import annotations

import contextlib
import zlib
from typing import Iterator, List

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

_GZIP = 16 + zlib.MAX_WBITS


class Intake:
    """Bound what the bodies under way hold in memory, all together.

    A request that finds it full is asked to come back (503), which is kinder than a
    machine that swaps.
    """

    def __init__(self, max_bytes: int) -> None:
        self._free = max_bytes

    @contextlib.contextmanager
    def share(self) -> Iterator[IntakeShare]:
        """Give one request its share, and take it back at the end."""
        share = IntakeShare(self)
        try:
            yield share
        finally:
            self._free += share.taken

    def take(self, size: int) -> None:
        """Take *size* bytes, or answer 503."""
        if size > self._free:
            raise HTTPException(503, "too much under way", {"Retry-After": "1"})
        self._free -= size


class IntakeShare:
    """Remember what one request has taken."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.taken = 0

    def take(self, size: int) -> None:
        """Take *size* bytes more."""
        self._intake.take(size)
        self.taken += size


async def read_body(
    request: Request, share: IntakeShare, *, max_bytes: int, seconds: float
) -> bytes:
    """Read the whole body as it was sent, within *seconds*.

    Answers 413 as soon as it is known to be too large, 408 when it comes too slowly.
    """
    if _announced(request) > max_bytes:
        raise too_large(max_bytes)
    chunks: List[bytes] = []
    try:
        with anyio.fail_after(seconds):
            async for chunk in request.stream():
                share.take(len(chunk))
                if share.taken > max_bytes:
                    raise too_large(max_bytes)
                chunks.append(chunk)
    except TimeoutError:
        message = "the body came too slowly"
        raise HTTPException(408, message, {"Connection": "close"}) from None
    except ClientDisconnect:
        # Nobody is left to read an answer; any will do, as long as nothing is stored.
        raise HTTPException(400, "the body ended early") from None
    return b"".join(chunks)


def content_encoding(request: Request) -> str:
    """Tell how the body is packed: "identity" or "gzip"; answer 415 for others."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        message = "content-encoding must be gzip, or absent"
        raise HTTPException(415, message, {"Accept-Encoding": "gzip"})
    return encoding


def gunzip(body: bytes, max_bytes: int) -> bytes:
    """Unpack one gzip member, never making more than *max_bytes* of it."""
    unpacking = zlib.decompressobj(_GZIP)
    try:
        plain = unpacking.decompress(body, max_bytes + 1)
    except zlib.error:
        raise HTTPException(400, "the body is not gzip") from None
    if len(plain) > max_bytes:
        raise too_large(max_bytes)
    if not unpacking.eof or unpacking.unused_data:
        raise HTTPException(400, "the body is not one whole gzip member")
    return plain


def too_large(max_bytes: int) -> HTTPException:
    """Make the answer to a body that is larger than *max_bytes*."""
    return HTTPException(413, f"the body is larger than {max_bytes} bytes")


def _announced(request: Request) -> int:
    length = request.headers.get("content-length", "")
    return int(length) if length.isdigit() else 0
