"""A way through traces or sessions, newest first, from where the last page ended.

What cannot be found by an index is filtered out on the way, a few hundred rows at a
time, and after a fraction of a second the page is as long as it is. The cursor says
how far the way was gone, so nothing is missed and nobody waits.
"""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

PATIENCE = 0.15
"""Seconds after which a page ends, if it has to be searched for."""

CHUNK = 500
"""Rows looked through at a time."""

_LARGEST = 2**63 - 1

Key = Tuple[int, ...]


class Way(NamedTuple):
    """Say how to go: *query* selects number, then key, of the rows after a key.

    Its parameters are *values*, the key, and how many rows. *start* is the key before
    the first row. A row without a number is passed over: it is gone. Where each look
    *is_costly* however short, more is taken at once.
    """

    query: str
    values: Tuple[Any, ...]
    start: Key
    is_costly: bool = False
    reached: str = "SELECT NULL WHERE NULL = ?"
    """Selects the microsecond that a key's first part stands for."""


class Filter(NamedTuple):
    """Say what rows of *table* have to be like: SQL, and its parameters."""

    table: str
    columns: str
    words: Sequence[str] = ()
    values: Sequence[Any] = ()


class Found(NamedTuple):
    """Hold rows, number and columns, in their order, and where to go on, if so."""

    rows: List[Tuple[int, Tuple[Any, ...]]]
    next: Optional[Key]


def walked(
    connection: sqlite3.Connection,
    way: Way,
    wanted: Filter,
    limit: int,
    after: Optional[Key] = None,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Return up to *limit* rows after the key *after*."""
    rows: List[Tuple[int, Tuple[Any, ...]]] = []
    key = way.start if after is None else after
    many = CHUNK if wanted.words or way.is_costly else limit + 1
    deadline = clock() + PATIENCE
    while True:
        steps = connection.execute(way.query, (*way.values, *key, many)).fetchall()
        fitting = _fitting(connection, wanted, [number for number, *_ in steps])
        seen = {number for number, _ in rows}
        for number, *place in steps:
            if number not in fitting or number in seen:
                continue
            if len(rows) == limit:
                return Found(rows, key)
            key = tuple(place)
            seen.add(number)
            rows.append((number, fitting[number]))
        if len(steps) < many:
            return Found(rows, None)
        key = tuple(steps[-1][1:])
        if clock() >= deadline:
            return Found(rows, key)


def _fitting(
    connection: sqlite3.Connection, wanted: Filter, numbers: Sequence[int]
) -> Dict[int, Tuple[Any, ...]]:
    words = ["id IN (SELECT value FROM json_each(?))", *wanted.words]
    found = connection.execute(
        f"SELECT id, {wanted.columns} FROM {wanted.table}"  # noqa: S608 - ours
        f" WHERE {' AND '.join(words)}",
        [json.dumps(numbers), *wanted.values],
    )
    return {number: tuple(columns) for number, *columns in found}


def cursor_of(key: Optional[Key]) -> Optional[str]:
    """Return the text that stands for *key* in an address."""
    if key is None:
        return None
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode()


def key_of(cursor: str, way: Way) -> Key:
    """Read a cursor of this *way*; raise ValueError for any other text."""
    try:
        key = json.loads(base64.b64decode(cursor.encode(), b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        key = None
    if not isinstance(key, list) or len(key) != len(way.start):
        raise ValueError
    if not all(type(part) is int and abs(part) <= _LARGEST for part in key):
        raise ValueError
    return tuple(key)


NEWEST = _LARGEST
