"""A stream of server-sent events: bytes in, messages out, however they are cut."""

from __future__ import annotations

from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes of one message. A collector sends at most 200 spans in one, some 100 kB."""


class Message(NamedTuple):
    """Hold one message: what it is about, its number, and its data."""

    event: str
    id: str
    data: str


class EndlessMessageError(ValueError):
    """Say that a message does not end."""


def messages(pieces: Iterable[bytes]) -> Iterator[Optional[Message]]:
    """Yield the messages in *pieces*, and None for a comment: a sign of life."""
    fields: Dict[str, str] = {}
    data: List[str] = []
    size = 0
    for line in _lines(pieces):
        size += len(line) + 1
        if size > MAX_MESSAGE:
            raise EndlessMessageError
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            if data:
                yield _message(fields, data)
            fields, data, size = {}, [], 0
        elif not name:
            yield None
        elif name == "data":
            data.append(value)
        else:
            fields[name] = value


def _message(fields: Mapping[str, str], data: Iterable[str]) -> Message:
    event, number = fields.get("event", "message"), fields.get("id", "")
    return Message(event, number, "\n".join(data))


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines; they end in LF or CRLF, as every server writes them."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.rstrip(b"\r").decode("utf-8", "replace")
        if len(rest) > MAX_MESSAGE:
            raise EndlessMessageError
