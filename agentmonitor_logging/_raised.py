"""Exceptions as bounded text.

Separate, because an exception holds its frames and a frame holds everything: what
waits in a queue keeps the words and lets the exception go.
"""

from __future__ import annotations

import re
import traceback
from itertools import islice
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

MAX_TRACEBACK = 32_768
"""Characters of a traceback: hundreds of frames, a fraction of one event."""

MAX_ERROR = 4_096
"""Characters of an exception's own text."""

_MAX_ITEMS = 256
"""Items in the arguments of an exception whose str() is made on the caller's time."""

_OPEN_END = 512
"""Characters given up at most for a clean cut. A secret with more of it before the cut
is recognised by its beginning, so no half of one is left over."""

_MAX_FRAMES = 64
"""Frames shown of each exception, the innermost: that is where it went wrong."""

_PLAIN = (str, int, float, bool, type(None))
_TEXTS = frozenset((str, bytes, bytearray))
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset))
_MARKER = re.compile(r"…\[truncated ([0-9]+) chars\]\Z")
_TRIPLE = ("type", "value", "traceback")
_MAX_LINKS = 16
"""Exceptions shown of a chain or group, the newest."""


class Raised(NamedTuple):
    """Say what was raised: the type's name, "Type: text", and the traceback."""

    error_type: str
    error_message: str
    traceback: str


class ErrorText:
    """Stand in for an exception in a record: same str and repr, no frames."""

    __slots__ = ("args", "kind", "text")

    def __init__(self, error: BaseException) -> None:
        self.kind = type_name(type(error))
        self.text = error_text(error)
        self.args = _plain_args(error, self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"{self.kind}({', '.join(map(repr, self.args))})"

    def described(self) -> str:
        """Return "Type: text", or the type alone when there is no text."""
        return f"{self.kind}: {self.text}" if self.text else self.kind


def type_name(kind: type) -> str:
    """Return the name of *kind*, past any metaclass that answers otherwise."""
    return str(_NAME.__get__(kind))


_NAME: Any = type.__dict__["__name__"]


def error_text(error: BaseException) -> str:
    """Return str(*error*), shortened; a marker when its __str__ raises."""
    try:
        return shortened(_brief(error) if _is_heavy(error) else str(error), MAX_ERROR)
    except Exception:  # somebody else's __str__
        return f"[unrepresentable {type_name(type(error))}]"


def _plain_args(error: BaseException, text: str) -> Tuple[Any, ...]:
    """Return what the repr shows, as far as it is a matter of words and numbers."""
    try:
        args = error.args
        plain = all(type(arg) in _PLAIN for arg in args) and not _is_large(args)
    except Exception:  # exceptions may override anything
        plain = False
    return args if plain else (text,)


def _is_heavy(error: BaseException) -> bool:
    """Tell whether str(*error*) would spell out what is far too large for it."""
    if type(error).__str__ not in _SPELLING:
        return False
    if issubclass(type(error), OSError):
        return _is_large((error.args, error.filename, error.filename2))  # type: ignore[attr-defined]
    return _is_large(error.args)


_SPELLING = (BaseException.__str__, KeyError.__str__, OSError.__str__)


def _is_large(value: Any) -> bool:
    """Tell whether the repr of *value* has no use for an exception's text."""
    waiting, chars, items = [value], MAX_ERROR, _MAX_ITEMS
    while waiting and chars >= 0 and items >= 0:
        part = waiting.pop()
        kind = type(part)
        if kind in _TEXTS:
            chars -= len(part)
        elif kind in _CONTAINERS:
            items -= len(part) + 1
            if items >= 0:
                waiting.extend(part)
                waiting.extend(part.values() if kind is dict else ())
    return chars < 0 or items < 0


def _brief(error: BaseException) -> str:
    """Spell out the arguments of *error* as far as that is cheap."""
    args = error.args
    is_sole_text = len(args) == 1 and type(args[0]) is str
    if is_sole_text and type(error).__str__ is not KeyError.__str__:
        return str(args[0])
    return ", ".join(_brief_argument(arg) for arg in args[:_MAX_LINKS])


def _brief_argument(value: Any) -> str:
    if type(value) is str:
        return repr(shortened(value, MAX_ERROR))
    if not _is_large(value):
        return repr(value)
    unit = "bytes" if type(value) in _TEXTS else "items"
    return f"[{type(value).__name__} of {len(value):,} {unit}]"


def shortened(text: str, limit: int) -> str:
    """Cut *text* to at most *limit* characters and say how much went.

    It is cut between words where there are any: redaction comes later and must not
    meet the half of a secret.
    """
    size = str.__len__(text)
    if size <= limit:
        return text
    head: str = str.__getitem__(text, slice(limit))
    return marked(head[: _clean_end(head)], text, size)


def marked(head: str, text: str, size: int) -> str:
    """Say how much of *text*, *size* characters long, *head* leaves out."""
    gone = size - len(head)
    earlier = _MARKER.search(str.__getitem__(text, slice(-40, None)))
    if earlier is not None:  # it was cut before
        gone += int(earlier.group(1)) - len(earlier.group())
    return f"{head}…[truncated {gone} chars]"


def _clean_end(head: str) -> int:
    """Return where to end *head*, which is cut, such that no word is."""
    first = len(head) - min(_OPEN_END, len(head) // 2)
    return max(first, *(head.rfind(end, first) for end in _ENDS))


_ENDS = " \t\r\n\"'<>"
"""No secret that is recognised by its shape has one of these in it."""


def raised(exc_info: Any, known_text: Optional[str] = None) -> Optional[Raised]:
    """Describe *exc_info*, in any of the shapes seen on records; None if it is empty.

    *known_text* is a traceback somebody has formatted already; it is taken as it is.
    """
    error = exc_info
    if isinstance(exc_info, tuple):
        error = exc_info[1] if len(exc_info) == len(_TRIPLE) else None
    if not issubclass(type(error), BaseException):
        return None
    text = ErrorText(error)
    known = known_text if isinstance(known_text, str) and known_text else None
    shown = shortened(known, MAX_TRACEBACK) if known else _traceback(error, exc_info)
    return Raised(text.kind, text.described(), shown)


def _traceback(error: BaseException, exc_info: Any) -> str:
    tb = exc_info[2] if isinstance(exc_info, tuple) else error.__traceback__
    try:
        if _is_modest(error):
            lines = traceback.format_exception(type(error), error, tb, -_MAX_FRAMES)
        else:
            lines = _bounded_lines(error, tb)
        return _middle_out("".join(lines).rstrip("\n"))
    except Exception:  # exceptions may override anything
        return f"[no traceback: {ErrorText(error).described()}]"


def _middle_out(text: str) -> str:
    """Shorten from the middle: both ends of a traceback matter, the last line most."""
    if len(text) <= MAX_TRACEBACK:
        return text
    half = MAX_TRACEBACK // 2
    head, tail = text[:half], text[-half:]
    head = head[: _clean_end(head)]
    tail = tail[half - _clean_end(tail[::-1]) :]
    gone = len(text) - len(head) - len(tail)
    return f"{head}\n…[truncated {gone} chars]\n{tail}"


def _is_modest(error: BaseException) -> bool:
    """Tell whether the traceback module can be let at *error* without a bound.

    It walks every cause and every member of a group, recursively on older Pythons,
    and copies the texts several times.
    """
    seen: List[BaseException] = []
    for link in islice(_links(error), _MAX_LINKS + 1):
        seen.append(link)
        notes = getattr(link, "__notes__", None)
        if _is_heavy(link) or _is_large([notes, getattr(link, "text", None)]):
            return False
    return len(seen) <= _MAX_LINKS


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield *error* and what hangs on it, causes and members, each once."""
    seen = {id(error)}
    waiting = [error]
    while waiting:
        link = waiting.pop()
        yield link
        members = getattr(link, "exceptions", ())
        near: List[Any] = [link.__cause__, link.__context__]
        near += members[: _MAX_LINKS + 1] if isinstance(members, tuple) else ()
        for other in near:
            if isinstance(other, BaseException) and id(other) not in seen:
                seen.add(id(other))
                waiting.append(other)


def _bounded_lines(error: BaseException, tb: Any) -> List[str]:
    """Format the newest links of a chain, oldest first, without the module's walk."""
    parts: List[List[str]] = []
    link: Optional[BaseException] = error
    while link is not None and len(parts) < _MAX_LINKS:
        follows, connector = _origin(link)
        lines = [connector] if follows is not None else []
        lines += _own_lines(link, tb)
        parts.append(lines)
        link, tb = follows, getattr(follows, "__traceback__", None)
    if link is not None:
        parts[-1][0] = "[truncated: older exceptions of the chain]\n\n"
    return [line for part in reversed(parts) for line in part]


def _origin(link: BaseException) -> Tuple[Optional[BaseException], str]:
    """Return what *link* came from, and the words the interpreter uses for it."""
    if link.__cause__ is not None:
        cause = "The above exception was the direct cause of the following exception"
        return link.__cause__, f"\n{cause}:\n\n"
    context = "During handling of the above exception, another exception occurred"
    follows = None if link.__suppress_context__ else link.__context__
    return follows, f"\n{context}:\n\n"


def _own_lines(link: BaseException, tb: Any) -> List[str]:
    frames = traceback.extract_tb(tb, -_MAX_FRAMES).format() if tb else []
    header = ["Traceback (most recent call last):\n"] if frames else []
    members: Any = getattr(link, "exceptions", None)
    inner = []
    if isinstance(members, tuple):
        inner.append(f"[truncated: {len(members)} exceptions inside]\n")
    own = [f"{ErrorText(link).described()}\n", *_notes(link)]
    return [*header, *frames, *inner, *own]


def _notes(link: BaseException) -> Iterator[str]:
    notes = getattr(link, "__notes__", None)
    for note in notes[:_MAX_LINKS] if type(notes) is list else ():
        if type(note) is str:
            yield f"{shortened(note, MAX_ERROR)}\n"
