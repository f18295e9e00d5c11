"""Text that somebody else wrote, as a terminal may have it.

What an agent logs is partly what its users typed, or a page it read. Escape sequences
in it could clear the screen, or put words on the keyboard; a line break could forge a
line; bidirectional controls could show a text in another order than it has.
"""

from __future__ import annotations

import unicodedata

_JOINERS = frozenset("\u200c\u200d")
"""Persian, Indic scripts and emoji need them; no terminal obeys them."""
_INVISIBLE = frozenset(("Mn", "Me"))
_ELLIPSIS = "..."


def harmless(text: object, length: int) -> str:
    r"""Return at most *length* characters of *text*; what is no text is empty.

    What cannot be printed is shown as Python writes it: ``\x1b``, ``\n``, ``\u202e``.
    """
    if not isinstance(text, str):
        return ""
    shown = "".join(map(_shown, text[: length + 1]))
    if len(shown) <= length:
        return shown
    return shown[: length - len(_ELLIPSIS)] + _ELLIPSIS


def fitted(text: str, width: int) -> str:
    """Cut or fill *text*, which is harmless, to *width* columns of a terminal."""
    if text.isascii() and len(text) <= width:
        return text.ljust(width)
    columns = [_columns(character) for character in text]
    if sum(columns) > width:
        room, end = width - len(_ELLIPSIS), 0
        while columns[end] <= room:
            room -= columns[end]
            end += 1
        return text[:end] + _ELLIPSIS + " " * room
    return text + " " * (width - sum(columns))


def _shown(character: str) -> str:
    if character.isprintable() or character in _JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def _columns(character: str) -> int:
    if character in _JOINERS or unicodedata.category(character) in _INVISIBLE:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
