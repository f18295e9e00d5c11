"""What has arrived: markers counted in bodies of any format.

A body is counted after its answer was written, one at a time between what else the
sink has to do, so that no client waits for the counting.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import re
import time
import zlib
from collections import deque
from typing import Any, Callable, Deque, Dict, NamedTuple, Set

MARKER = re.compile(rb"call-(w?\d{6,7})-end")
POLITENESS = 20.0
"""Seconds without any progress after which a wait ends."""


class _Body(NamedTuple):
    data: bytes
    encoding: str
    arrived: float


class Tally:
    """Count distinct and repeated markers, and the most in one request."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._bodies: Deque[_Body] = deque()
        self._news = asyncio.Event()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._bodies.clear()
        self._seen: Set[bytes] = set()
        self._warm: Set[bytes] = set()
        self.duplicates = self.largest = self.requests = self.size = 0
        self.last = 0.0
        self.unreadable = ""

    def add(self, data: bytes, encoding: str) -> None:
        """Note a body that arrived just now."""
        if not self._bodies:
            self._loop.call_soon(self._count_one)
        self._bodies.append(_Body(data, encoding, time.monotonic()))

    def _count_one(self) -> None:
        if not self._bodies:
            return
        body = self._bodies.popleft()
        if self._bodies:
            self._loop.call_soon(self._count_one)
        try:
            plain = decoded(body.data, body.encoding)
        except Exception as error:  # told in the results, by way of the stats
            self.unreadable = f"{body.encoding}: {error!r}"
            return
        self._enter(set(MARKER.findall(plain)), body.arrived)
        self.requests += 1
        self.size += len(body.data)

    def _enter(self, found: Set[bytes], arrived: float) -> None:
        warm = {one for one in found if one.startswith(b"w")}
        calls = found - warm
        new = calls - self._seen
        self.duplicates += len(calls) - len(new)
        self.largest = max(self.largest, len(calls))
        if new:
            self.last = arrived
        if new or warm - self._warm:
            self._seen |= new
            self._warm |= warm
            self._news.set()

    def stats(self) -> Dict[str, Any]:
        """Return the counts."""
        return {
            "distinct": len(self._seen),
            "warm": len(self._warm),
            "duplicates": self.duplicates,
            "largest": self.largest,
            "requests": self.requests,
            "bytes": self.size,
            "last": self.last,
            "unreadable": self.unreadable,
        }

    async def wait(self, calls: int, warm: int, patience: float) -> None:
        """Return when so many have arrived, or nothing new for *patience* seconds."""
        while len(self._seen) < calls or len(self._warm) < warm:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), patience)
            except asyncio.TimeoutError:
                return


def decoded(data: bytes, encoding: str) -> bytes:
    """Return *data* as it was before it was compressed."""
    return _DECODERS[encoding](data) if encoding else data


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(data)


def _unzstd(data: bytes) -> bytes:
    whole: bytes
    try:
        zstd: Any = importlib.import_module("compression.zstd")
        whole = zstd.decompress(data)
    except ImportError:
        zstandard: Any = importlib.import_module("zstandard")
        whole = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return whole


def _unbrotli(data: bytes) -> bytes:
    whole: bytes = importlib.import_module("brotli").decompress(data)
    return whole


_DECODERS: Dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.decompress,
    "deflate": _inflate,
    "zstd": _unzstd,
    "br": _unbrotli,
}


def reads_zstd() -> bool:
    """Tell whether zstd can be read here."""
    for name in ("compression.zstd", "zstandard"):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
        return True
    return False
