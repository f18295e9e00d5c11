"""A table of the database whose rows are those of a NamedTuple, found by one column."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, Iterator, Optional, Sequence, Tuple, Type

Found = Tuple[int, Sequence[Any]]
"""A row: its number, and its columns."""


class Table:
    """Write and find rows of the table *name*, made of the fields of *kind*."""

    def __init__(self, name: str, kind: Type[Any], key: str) -> None:
        fields: Sequence[str] = kind._fields
        places = ", ".join("?" * len(fields))
        setters = ", ".join(f"{field} = ?" for field in fields)
        self.columns = ", ".join(fields)
        self._select = f"SELECT id, {self.columns} FROM {name} WHERE "  # noqa: S608
        self._key = f"{key} = ?"
        self._insert = f"INSERT INTO {name} ({self.columns}) VALUES ({places})"  # noqa: S608 - names
        self._update = f"UPDATE {name} SET {setters} WHERE id = ?"  # noqa: S608

    def find(
        self, connection: sqlite3.Connection, value: Any, where: Optional[str] = None
    ) -> Optional[Found]:
        """Return the row that has *value* as its key, or of which *where* holds."""
        query = self._select + (where or self._key)
        row = connection.execute(query, (value,)).fetchone()
        return None if row is None else (row[0], row[1:])

    def insert(self, connection: sqlite3.Connection, row: Sequence[Any]) -> int:
        """Add *row*, and return its number."""
        return int(connection.execute(self._insert, row).lastrowid or 0)

    def update(
        self, connection: sqlite3.Connection, number: int, row: Sequence[Any]
    ) -> None:
        """Let the row *number* be *row*."""
        connection.execute(self._update, (*row, number))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Do all of what is in the block, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled back by itself, on a full disk for instance.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
