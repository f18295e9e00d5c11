"""Find and mask secrets in one text, at little cost where there are none.

And say what is the name of a value, which may be a secret one.
"""

from __future__ import annotations

import re
from typing import (
    Any,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Match,
    Optional,
    Pattern,
    Sequence,
    Set,
    Tuple,
    Union,
)

from ._secrets import Rule

REDACTED = "[REDACTED]"
"""What stands where a secret stood. It never echoes any part of the secret."""

_SEQUENCES = frozenset((list, tuple))
_SEPARATORS = {ord(separator): None for separator in "-_ "}
PatternLike = Union[str, Pattern[str]]


class Masker:
    """Replace what one regex finds in a text; compiled when first needed."""

    def __init__(
        self, pattern: PatternLike, secret_names: Optional[FrozenSet[str]] = None
    ) -> None:
        self._pattern = pattern
        self._secret_names = secret_names
        self._regex = pattern if isinstance(pattern, re.Pattern) else None

    def __call__(self, text: str) -> str:
        regex = self._regex
        if regex is None:
            regex = self._regex = re.compile(self._pattern, re.ASCII)
        return regex.sub(self._mask, text)

    def _mask(self, match: Match[str]) -> str:
        start, end = match.span()
        whole = match.group()
        secret_names = self._secret_names
        if secret_names is not None and normal(match["name"]) not in secret_names:
            return whole
        if "secret" in match.re.groupindex and match["secret"] is not None:
            start, end = match.span("secret")
        # What was replaced before stays as it is, though a regex may not see its "]".
        if match.string[start:end] in ("", REDACTED, REDACTED[:-1]):
            return whole
        first = match.start()
        return whole[: start - first] + REDACTED + whole[end - first :]


class Spotter:
    """Tell which maskers are worth running on a text, without running any.

    Searching a long text for a short literal costs far more than for one rare
    character. So a literal is looked up by such a *mark* in it and the characters
    before the mark, and only then searched for whole.
    """

    _MARKS: Tuple[Tuple[str, int], ...] = (
        *(("_", 2), ("-", 2), ("J", 2), ("z", 2)),
        *(("/", 1), ("A", 1), ("G", 1), ("K", 1), (":", 1), ("(", 1), ("[", 1)),
    )

    def __init__(self, rules: Iterable[Tuple[Rule, Masker]]) -> None:
        self._maskers: List[Masker] = []
        self._plain: List[Tuple[str, int]] = []
        self._marked: Dict[str, Dict[str, List[Tuple[str, int]]]] = {}
        self._named: Dict[str, List[Tuple[str, int]]] = {}
        for number, (rule, masker) in enumerate(rules):
            self._maskers.append(masker)
            for literal in rule.literals:
                self._place(literal).append((literal, number))
            for name in rule.names:
                self._named.setdefault(name[-3:], []).append((name, number))

    def _place(self, literal: str) -> List[Tuple[str, int]]:
        for mark, width in self._MARKS:
            before, found, _ = literal[1:].partition(mark)
            _, ended, tail = (literal[0] + before).rpartition(mark)
            if found and (ended or len(tail) >= width):
                tails = self._marked.setdefault(mark, {})
                return tails.setdefault(tail[-width:], [])
        return self._plain

    def spot(self, text: str) -> Sequence[Masker]:
        """Return the maskers to run on *text*, in their order."""
        found: Set[int] = set()
        for literal, number in self._candidates(text):
            if literal in text:
                found.add(number)
        if self._named:
            self._spot_names(text, found)
        return [self._maskers[number] for number in sorted(found)] if found else ()

    def _candidates(self, text: str) -> List[Tuple[str, int]]:
        candidates = self._plain[:]
        for mark, width in self._MARKS:
            tails = self._marked.get(mark)
            if tails and mark in text:
                seen = {part[-width:] for part in text.split(mark)}
                for tail in seen & tails.keys():
                    candidates += tails[tail]
        return candidates

    def _spot_names(self, text: str, found: Set[int]) -> None:
        for operator in ":=":
            if operator not in text:
                continue
            for part in text.split(operator):
                word = part[-24:].rstrip(" \t\"'`\\=").lower()
                for name, number in self._named.get(word[-3:], ()):
                    if word.endswith(name):
                        found.add(number)


def normal(key: str) -> str:
    """Return the form in which `API-Key`, `api_key` and `apiKey` are the same."""
    return key.lower().translate(_SEPARATORS)


def is_pair(item: Any) -> bool:
    """Tell whether *item* may be a name and its value, as headers are often listed."""
    return type(item) in _SEQUENCES and len(item) == 2 and isinstance(item[0], str)
