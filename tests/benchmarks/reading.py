"""One HTTP/1.1 connection as the sink reads it: requests out of bytes.

No more of HTTP than the clients use: keep-alive, lengths, chunks, `Expect`.
"""

from __future__ import annotations

from typing import Dict, Iterator, NamedTuple, Optional

HEAD_END = b"\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request(NamedTuple):
    """A whole request."""

    path: str
    headers: Dict[bytes, bytes]
    body: bytes


class Reader:
    """Take bytes in, give requests out; *expects* is set while a client waits."""

    def __init__(self) -> None:
        self.expects = False
        self._data = bytearray()
        self._searched = 0
        self._path = ""
        self._headers: Optional[Dict[bytes, bytes]] = None
        self._chunks = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        """Yield the requests that *data* completes."""
        self._data += data
        while self._headers is not None or self._take_head():
            body = self._take_body()
            if body is None:
                return
            headers, self._headers = self._headers or {}, None
            yield Request(self._path, headers, body)

    def _take_head(self) -> bool:
        end = self._data.find(HEAD_END, self._searched)
        if end < 0:
            self._searched = max(0, len(self._data) - len(HEAD_END))
            return False
        first, *lines = bytes(self._data[:end]).split(b"\r\n")
        self._path = first.split(b" ")[1].decode("latin-1")
        pairs = (line.partition(b":") for line in lines)
        self._headers = {name.lower(): value.strip() for name, _, value in pairs}
        del self._data[: end + len(HEAD_END)]
        self._searched = 0
        self.expects = self._headers.get(b"expect", b"").lower() == b"100-continue"
        return True

    def _take_body(self) -> Optional[bytes]:
        headers = self._headers or {}
        if b"chunked" in headers.get(b"transfer-encoding", b"").lower():
            return self._take_chunks()
        return self._take(int(headers.get(b"content-length", 0)))

    def _take(self, size: int) -> Optional[bytes]:
        if len(self._data) < size:
            return None
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    def _take_chunks(self) -> Optional[bytes]:
        while True:
            end = self._data.find(b"\r\n")
            if end < 0:
                return None
            size = int(bytes(self._data[:end]).partition(b";")[0], 16)
            if len(self._data) < end + 2 + size + 2:
                return None
            self._chunks += self._data[end + 2 : end + 2 + size]
            del self._data[: end + 2 + size + 2]
            if not size:
                whole, self._chunks = bytes(self._chunks), bytearray()
                return whole
