"""The index of words: which events say something, without reading any event.

An index holds no text, only where each word stands, so an event that goes has to say
again what it said. What `text_of` returns is therefore never to be changed; another
text needs another table.
"""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from typing import Any, Iterable, List, Mapping, Optional, Tuple

from .validation import Row, storable

MAX_CHARS = 2_000
"""Characters of each payload that can be searched: what a person would look for stands
at the beginning, and an index of everything would be as large as the events."""

MAX_WORDS = 10
"""How many words a search may have; it finds events that have all of them."""

SHORTEST_PREFIX = 3
"""Characters from which on the last word is found by its beginning, as it may be just
being typed: of fewer there are too many words."""

_MAX_WORD = 64
_PAGES_AT_ONCE = 200
_WORD = re.compile(r"[^\W_]+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)", re.IGNORECASE)


def text_of(row: Row, name: str, metadata: Mapping[str, Any]) -> str:
    """Return what can be searched of an event called *name*."""
    message = metadata.get("message")
    parts = (
        name,
        storable(message) if isinstance(message, str) else "",
        row.error_message or "",
        *(_without_escapes(text) for text in (row.input_data, row.output_data)),
    )
    return " ".join(part[:MAX_CHARS] for part in parts)


def _without_escapes(payload: Optional[str]) -> str:
    r"""Return the beginning of a payload in which no ``\n`` begins a word."""
    text = payload[:MAX_CHARS] if payload else ""
    return _ESCAPE.sub(" ", text) if "\\" in text else text


def add(connection: sqlite3.Connection, texts: Iterable[Tuple[int, str]]) -> None:
    """Index events, given as number and text."""
    connection.executemany("INSERT INTO search (rowid, text) VALUES (?, ?)", texts)


def remove(connection: sqlite3.Connection, texts: Iterable[Tuple[int, str]]) -> None:
    """Forget events, given as number and the text that was added."""
    connection.executemany(
        "INSERT INTO search (search, rowid, text) VALUES ('delete', ?, ?)", texts
    )


def expression_of(question: str) -> str:
    """Return *question* in the language of the index; nothing if it has no word."""
    question = unicodedata.normalize("NFC", question)
    words: List[str] = _WORD.findall(question)[:MAX_WORDS]
    expression = " ".join(f'"{word[:_MAX_WORD]}"' for word in words)
    is_begun = bool(words) and len(words[-1]) >= SHORTEST_PREFIX
    return expression + "*" * is_begun


def tidy(connection: sqlite3.Connection, *, anew: bool = False) -> bool:
    """Merge parts of the index, which only then lose what was removed.

    Parts are merged with those of their size, so what was removed may have to wait for
    long. *anew* begins to merge all with all, and the calls after it go on with that.
    Returns whether anything was left to merge.
    """
    before = connection.total_changes
    connection.execute(
        "INSERT INTO search (search, rank) VALUES ('merge', ?)",
        (-_PAGES_AT_ONCE if anew else _PAGES_AT_ONCE,),
    )
    # The question itself counts as one.
    return connection.total_changes - before > 1


def is_no_word(error: sqlite3.Error) -> bool:
    """Tell whether the index takes for several words what we take for one."""
    return "fts5" in str(error)
