"""Where the collector listens, and who may therefore reach it."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any, NamedTuple, Optional, Tuple

from .access import MIN_KEY_LENGTH
from .exceptions import AddressError

_BACKLOG = 2048


class Listening(NamedTuple):
    """Hold a socket that accepts connections, and what to call it."""

    socket: socket.socket
    origin: str
    host: str
    loopback: bool


def listen(host: str, port: int, *, has_key: bool) -> Listening:
    """Listen on *host* and *port*; 0 takes a free port.

    Raises `AddressError` where that is not possible, and, before anything can
    connect, where the address is not loopback and there is no key.
    """
    family, address = _resolve(host, port)
    loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
    if not loopback and not has_key:
        message = (
            f"{host} can be reached from other machines: give --api-key or"
            " AGENTMONITOR_API_KEY, or listen on 127.0.0.1"
        )
        raise AddressError(message)
    # asyncio turns Nagle off (40 ms an answer) only where the protocol is spelt out.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        _bind(listening, address)
    except OSError as error:
        listening.close()
        message = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise AddressError(message) from error
    name = f"[{host}]" if ":" in host else host
    origin = f"http://{name}:{listening.getsockname()[1]}"
    return Listening(listening, origin, name.lower(), loopback)


def checked_key(api_key: Optional[str]) -> Optional[str]:
    """Strip *api_key*; raise `AddressError`, without the key in it, if it is weak."""
    if api_key is None:
        return None
    key = api_key.strip()
    if len(key) < MIN_KEY_LENGTH or not (key.isascii() and key.isprintable()):
        message = f"the API key needs {MIN_KEY_LENGTH} or more printable characters"
        raise AddressError(message)
    return key


def _resolve(host: str, port: int) -> Tuple[socket.AddressFamily, Tuple[Any, ...]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        message = f"cannot listen on {host}: no such address"
        raise AddressError(message) from error
    family, _, _, _, address = found[0]
    return family, address


def _bind(listening: socket.socket, address: Tuple[Any, ...]) -> None:
    # On Windows the same option would let two collectors share the port.
    if os.name == "posix":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(_BACKLOG)
