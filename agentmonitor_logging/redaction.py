"""Remove secrets from an event before it leaves the process or touches the disk.

By key: the value under `password`, `api_key` ... goes whole, also inside JSON held in a
string, and in a list of pairs, as headers often come. By pattern: in any other text
only the secret itself goes, so that a prompt stays readable. And the key that we send
with goes wherever it stands. A failure of ours hides more, never less.

Most events hold nothing to hide and every event passes here, so each rule names what
must stand in a text before its regex is worth running.
"""

from __future__ import annotations

import json
import os
import re
from hashlib import blake2b
from itertools import chain, islice
from typing import (
    AbstractSet,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Pattern,
    Sequence,
    Set,
    Tuple,
    Union,
    overload,
)

from ._config import Secret
from ._foreign import endured
from ._plain import FIELDS, AnyEvent, PlainEvent
from ._secrets import (
    DEFAULT_REDACT_KEYS,
    DEFAULT_REDACT_PATTERNS,
    QUOTED_KEY,
    QUOTED_PAIR,
    Rule,
)
from ._spotting import REDACTED, Masker, PatternLike, Spotter, is_pair, normal
from .exceptions import ConfigError

__all__ = [
    "DEFAULT_REDACT_KEYS",
    "DEFAULT_REDACT_PATTERNS",
    "MAX_JSON_CHARS",
    "MAX_JSON_LEVELS",
    "MAX_NODES",
    "REDACTED",
    "Redactor",
    "Rule",
]

MAX_JSON_CHARS = 256 * 1024
"""Longer strings are not parsed as JSON. An event is not larger than this by default,
and a quoted key with its value is still found in them by pattern."""

MAX_JSON_LEVELS = 3
"""JSON in a string of JSON in a string: deeper is not parsed, only searched."""

MAX_NODES = 200_000
"""Containers visited per tree: far more than a real event has, so this only ends a
tree which contains itself."""

_MAX_AT_ONCE = 262_144
"""About how many characters are searched at once: the application waits meanwhile."""

_MAX_SHOWN_CHARS = 80
_MAX_REMEMBERED = 1024
_MAX_REDACTED = 256
_MAX_REMEMBERED_CHARS = 4096
_JSON_STARTS = frozenset('{["')
_JSON_ENDS = frozenset('}]"')
_TUPLE_STARTS = frozenset("([")
_LIST_IN_LIST = re.compile(r"\[\s*\[")
_QUOTED_PART = re.compile(r"""["']([^"']+)["']""")
_SCALARS = frozenset((int, float, bool, type(None)))

_MADE_BY_US = frozenset(
    ("timestamp", "status", "event_id", "trace_id", "span_id", "parent_span_id")
)
_WIRE_NAMES = _MADE_BY_US.union(
    ("agent_id", "event_type", "input_data", "output_data", "metadata", "cost_usd"),
    ("latency_ms", "error_message", "message", "logger", "level", "session_id"),
    ("user_id", "function_name", "module", "error_type", "traceback", "value", "items"),
)
"""Names an event is read by: no pattern may take them for a secret."""

_ID_OR_TIME = re.compile(r"[0-9a-f-]{16,36}|success|error|[0-9]{4}-[0-9T:.-]+Z?")
"""What must stay for an event to be accepted and told from others, whatever a failing
redactor says of it."""

_NO_KEY = Secret()
Tree = Union[Dict[Any, Any], List[Any]]


class Redactor:
    """Replace the secrets of an event by `[REDACTED]`.

    *keys* are names whose values are secret; *patterns* are regular expressions, as
    text or compiled, whose group `secret`, or else the whole match, is secret. Both
    add to the built-in lists, or stand alone when *defaults* is False. *redactor* is
    called with each string value afterwards and returns what may leave the process; if
    it fails, the value is replaced. *own_key* is the key that events are sent with; it
    is secret in every text, whatever the other options are.

    Raises ConfigError for keys and patterns that cannot be used. Texts in which nothing
    was found are remembered, within narrow bounds, as a chat history comes again with
    every call.
    """

    def __init__(
        self,
        keys: Iterable[str] = (),
        patterns: Iterable[PatternLike] = (),
        *,
        defaults: bool = True,
        redactor: Optional[Callable[[str], str]] = None,
        own_key: Secret = _NO_KEY,
    ) -> None:
        names = _checked_keys(keys)
        if defaults:
            names |= {normal(key) for key in DEFAULT_REDACT_KEYS}
        self._secret_names = frozenset(names)
        self._patterns = _checked_patterns(patterns)
        self._spotter = Spotter(_rules(self._secret_names, defaults=defaults))
        self._redactor = redactor
        self._own_key = own_key
        # What an event is read by is among its names only where one of them is secret.
        self._hides_fields = not self._secret_names.isdisjoint(map(normal, FIELDS))
        self._clean_keys: Set[str] = set()
        self._clean_texts: Set[str] = set()
        self._redacted: Dict[bytes, str] = {}
        """What stands for texts with a secret, by digests that tell nothing of them."""
        self._salt = os.urandom(16)

    @overload
    def redact(self, event: Dict[str, Any]) -> Dict[str, Any]: ...

    @overload
    def redact(self, event: AnyEvent) -> AnyEvent: ...

    def redact(self, event: AnyEvent) -> AnyEvent:
        """Return *event* without its secrets.

        Every field is covered, at any depth. The event may be changed in place. Never
        raises: a field that cannot be redacted is replaced.
        """
        if isinstance(event, PlainEvent):
            return self.redact_all((event,))[0]
        try:
            self._redact(event)
        except Exception:
            return self._salvage(event, levels=2)
        return event

    @property
    def can_clear_many(self) -> bool:
        """Tell whether many events may be told at once to hold no secret.

        Not where patterns or a *redactor* of the application's own look at each text.
        """
        return not self._patterns and self._redactor is None

    def redact_all(self, events: Sequence[PlainEvent]) -> Sequence[AnyEvent]:
        """Redact *events*, at the cost of one where none of them holds a secret.

        They keep what they hold: those with a secret come back as copies, as dicts if
        there may be one among their keys. Never raises.
        """
        try:
            # Many events have few forms, and mostly no names besides those of theirs.
            sets: Set[AbstractSet[str]] = {event.form.names for event in events}
            sets.update(event.names for event in events)
            texts: Set[str] = set()
            for event in events:
                texts.update(event.texts)
            instead = self.replacements(set(chain.from_iterable(sets)), texts)
            if instead is not None:
                return self._with_texts(events, instead) if instead else events
        except Exception:  # noqa: S110 - on which of them, `redact` finds out
            pass
        return [self._redacted_copy(event) for event in events]

    @staticmethod
    def _with_texts(
        events: Sequence[PlainEvent], instead: Mapping[str, str]
    ) -> Sequence[PlainEvent]:
        return [
            event
            if instead.keys().isdisjoint(event.texts)
            else event.with_texts(instead)
            for event in events
        ]

    def replacements(
        self, names: AbstractSet[str], texts: AbstractSet[str]
    ) -> Optional[Mapping[str, str]]:
        """Return what stands for those of *texts* in which there is a secret.

        None if one may be among the *names* that they have, or under one of them.
        """
        if not self.can_clear_many or self._hides_fields:
            return None
        for name in names - self._clean_keys:
            if self._is_secret(name) or self._named_anew(name) != name:
                return None
            self._remember_key(name)
        instead: Dict[str, str] = {}
        for fresh in _in_portions(list(texts - self._clean_texts)):
            if self._harmless(fresh):
                self._remember(fresh)
            else:
                instead.update(self._replacements(fresh))
        return instead

    def _redacted_copy(self, event: PlainEvent) -> Dict[str, Any]:
        try:
            copy = event.copied()
        except Exception:  # at the end of the stack, where nothing is left to spare
            copy = event.as_event()
        redacted: Dict[str, Any] = self.redact(copy)
        return redacted

    def _replacements(self, texts: Sequence[str]) -> Dict[str, str]:
        """Return what stands for those of *texts* in which there is a secret."""
        found: Dict[str, str] = {}
        unknown: List[str] = []
        for text in texts:
            redacted = self._redacted.get(self._digest(text))
            if redacted is None:
                unknown.append(text)
            else:
                found[text] = redacted
        for text in self._suspicious(unknown):
            redacted = self._text(text, MAX_JSON_LEVELS)
            if redacted != text:
                found[text] = redacted
                self._remember_redacted(text, redacted)
        return found

    def _digest(self, text: str) -> bytes:
        return blake2b(text.encode(), digest_size=16, key=self._salt).digest()

    def _suspicious(self, texts: List[str]) -> List[str]:
        """Return those of *texts* that are not harmless by themselves."""
        if not texts:
            return []
        if self._harmless(texts):
            self._remember(texts)
            return []
        half = len(texts) // 2
        if not half:
            return texts
        return self._suspicious(texts[:half]) + self._suspicious(texts[half:])

    def _named_anew(self, key: str) -> str:
        return key if key in _WIRE_NAMES else self._substitute(key)

    def _redact(self, tree: Tree) -> None:
        self._scrub(tree, MAX_JSON_LEVELS)
        if self._redactor is not None:
            self._ask(self._redactor, tree)

    def _salvage(self, broken: Dict[Any, Any], levels: int) -> Dict[Any, Any]:
        """Redact every field of *broken* by itself, and replace those that fail."""
        kept: Dict[Any, Any] = {}
        for key, value in broken.items():
            field = {key: value}
            try:
                self._redact(field)
            except Exception:
                inside = levels > 1 and type(value) is dict
                field = {key: self._salvage(value, levels - 1) if inside else REDACTED}
            kept.update(field)
        return kept

    def _scrub(self, tree: Tree, levels: int) -> bool:
        """Redact *tree* in place and tell whether anything changed."""
        changed, fresh = self._survey(tree)
        if not fresh:
            return changed
        texts = [node[key] for node, key in fresh]
        suspects = texts if self._patterns else self._suspicious(texts)
        if not suspects:
            return changed
        suspicious = set(suspects)
        for (node, key), text in zip(fresh, texts):
            redacted = self._text(text, levels) if text in suspicious else text
            if redacted != text:
                node[key] = redacted
                changed = True
        return changed

    def _survey(self, tree: Tree) -> Tuple[bool, List[Tuple[Any, Any]]]:
        """Replace the values under secret keys; return where unknown texts stand."""
        nodes: List[Any] = [tree]
        fresh: List[Tuple[Any, Any]] = []
        changed = False
        places: Iterable[Tuple[Any, Any]]
        clean_keys, clean_texts = self._clean_keys, self._clean_texts
        for node in islice(nodes, MAX_NODES):
            if type(node) is dict:
                if not clean_keys.issuperset(node):
                    changed = self._scrub_keys(node) or changed
                places = node.items()
            else:
                changed = self._scrub_pairs(node) or changed
                places = enumerate(node)
            for key, value in places:
                kind = type(value)
                if kind is str:
                    if value not in clean_texts:
                        fresh.append((node, key))
                elif kind is dict or kind is list:
                    nodes.append(value)
                elif kind not in _SCALARS:
                    self._adopt(node, key, nodes, fresh)
        if len(nodes) > MAX_NODES:
            raise RecursionError
        return changed, fresh

    @staticmethod
    def _adopt(node: Any, key: Any, nodes: List[Any], fresh: List[Any]) -> None:
        """Make what is no JSON-ready value one, and have it looked into."""
        node[key] = plain = _plain(node[key])
        if type(plain) is str:
            fresh.append((node, key))
        else:
            nodes.append(plain)

    def _scrub_keys(self, node: Dict[Any, Any]) -> bool:
        """Hide what stands under a secret key, and secrets in keys."""
        changed = False
        for key in [key for key in node if key not in self._clean_keys]:
            text = key if type(key) is str else str(key)
            names_secret = self._is_secret(text)
            if names_secret:
                changed = _hide(node, key) or changed
            # What was a tuple may name a secret, and hold one as well.
            redacted = self._named_anew(text)
            if redacted != text:
                node[_unused(redacted, node)] = node.pop(key)
                changed = True
            elif type(key) is str and not names_secret:
                self._remember_key(key)
        return changed

    def _scrub_pairs(self, node: List[Any]) -> bool:
        """Hide what stands after a secret name, if all in *node* are pairs."""
        if not all(map(is_pair, node)):
            return False
        changed = False
        for place, (name, value) in enumerate(node):
            pair = [name, value]
            if self._is_secret(str.__str__(name)) and _hide(pair, 1):
                node[place] = pair
                changed = True
        return changed

    def _is_secret(self, key: str) -> bool:
        """Tell whether *key*, or a part of what was a tuple, names a secret."""
        names = self._secret_names
        if normal(key) in names:
            return True
        if key[:1] not in _TUPLE_STARTS:
            return False
        return any(normal(part) in names for part in _QUOTED_PART.findall(key))

    def _remember_key(self, key: str) -> None:
        if len(self._clean_keys) >= _MAX_REMEMBERED:
            self._clean_keys.clear()
        if len(key) <= _MAX_REMEMBERED_CHARS:
            self._clean_keys.add(key)

    def _harmless(self, texts: Sequence[str]) -> bool:
        """Tell whether nothing is to be found in *texts*, at the cost of one."""
        text = "\n".join(texts)
        if self._own_key and self._own_key.reveal() in text:
            return False
        # Where there are objects, or lists of pairs, there are names.
        may_name = '"' in text and ("{" in text or _LIST_IN_LIST.search(text))
        if may_name and any(map(_like_json, texts)):
            return False
        return all(masker(text) == text for masker in self._spotter.spot(text))

    def _text(self, text: str, levels: int) -> str:
        if text in self._clean_texts:
            return text
        redacted = self._json(text, levels) if levels > 0 else None
        if redacted is None:
            redacted = self._substitute(text)
        # Deep inside JSON a text is not parsed, so elsewhere it may be found unclean.
        if redacted == text and (levels == MAX_JSON_LEVELS or not _like_json(text)):
            self._remember((text,))
        return redacted

    def _substitute(self, text: str) -> str:
        if self._own_key:
            text = text.replace(self._own_key.reveal(), REDACTED)
        for masker in self._spotter.spot(text):
            text = masker(text)
        for masker in self._patterns:
            text = masker(text)
        return text

    def _json(self, text: str, levels: int) -> Optional[str]:
        """Return *text* redacted as JSON, the same text if clean, None if no JSON."""
        if not _like_json(text):
            return None
        try:
            tree = [json.loads(text, object_pairs_hook=_distinct)]
        except (ValueError, RecursionError):
            return None
        if not self._scrub(tree, levels - 1):
            return text
        # An escape may stand for half a character, which only an escape can hold.
        return json.dumps(tree[0], ensure_ascii="\\u" in text)

    def _remember(self, texts: Sequence[str]) -> None:
        known = self._clean_texts
        if len(known) + len(texts) > _MAX_REMEMBERED:
            known.clear()
        short = [text for text in texts if len(text) <= _MAX_REMEMBERED_CHARS]
        known.update(short[:_MAX_REMEMBERED])

    def _remember_redacted(self, text: str, redacted: str) -> None:
        if len(text) <= _MAX_REMEMBERED_CHARS:
            if len(self._redacted) >= _MAX_REDACTED:
                self._redacted.clear()
            self._redacted[self._digest(text)] = redacted

    def _ask(self, redactor: Callable[[str], str], tree: Tree) -> None:
        """Put every text of *tree* through the user's own *redactor*."""
        nodes: List[Any] = [tree]
        for node in nodes:
            places: Iterable[Tuple[Any, Any]]
            places = node.items() if type(node) is dict else enumerate(node)
            for key, value in places:
                if type(value) is str:
                    if not (key in _MADE_BY_US and _ID_OR_TIME.fullmatch(value)):
                        node[key] = _asked(redactor, value)
                elif type(value) is dict or type(value) is list:
                    nodes.append(value)


def _asked(redactor: Callable[[str], str], text: str) -> str:
    try:
        answer = redactor(text)
    except BaseException as error:
        if not endured(error):
            raise
        return REDACTED
    return answer if isinstance(answer, str) else REDACTED


def _rules(names: FrozenSet[str], *, defaults: bool) -> List[Tuple[Rule, Masker]]:
    rules: List[Tuple[Rule, Masker]] = []
    if defaults:
        rules += [
            (rule, Masker(rule.regex)) for rule in DEFAULT_REDACT_PATTERNS.values()
        ]
    if names:
        rules += [
            (rule, Masker(rule.regex, names)) for rule in (QUOTED_KEY, QUOTED_PAIR)
        ]
    return rules


def _hide(node: Any, key: Any) -> bool:
    """Replace the value under a secret *key*, unless it tells nothing."""
    value = node[key]
    if value is None or isinstance(value, bool) or value in ("", REDACTED):
        return False
    node[key] = REDACTED
    return True


def _plain(value: Any) -> Union[str, Tree]:
    """Turn what is no JSON-ready value into one that can be looked into."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return list(value)
    return REDACTED


def _in_portions(texts: List[str]) -> Iterator[List[str]]:
    """Yield *texts*, so many of them each time as are searched at once."""
    if texts and sum(map(len, texts)) <= _MAX_AT_ONCE:
        yield texts
        return
    start = chars = 0
    for end, text in enumerate(texts, 1):
        chars += len(text)
        if chars >= _MAX_AT_ONCE or end == len(texts):
            yield texts[start:end]
            start, chars = end, 0


def _like_json(text: str) -> bool:
    inner = text.strip()
    if inner[:1] not in _JSON_STARTS or inner[-1] not in _JSON_ENDS:
        return False
    return len(inner) <= MAX_JSON_CHARS and '"' in inner


def _distinct(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Build a JSON object, unless a key stands twice: one value would go unseen."""
    tree = dict(pairs)
    if len(tree) != len(pairs):
        raise ValueError("a key stands twice")
    return tree


def _unused(key: str, node: Mapping[Any, Any]) -> str:
    """Return *key*, numbered if *node* has it already: two secrets may be keys."""
    number, free = 1, key
    while free in node:
        number += 1
        free = f"{key} ({number})"
    return free


def _checked_keys(keys: Iterable[str]) -> Set[str]:
    allowed = "a list of key names, each a text with a letter or digit in it"
    if isinstance(keys, (str, bytes)):
        raise _wrong("redact_keys", keys, allowed)
    try:
        given = list(keys)
    except TypeError:
        raise _wrong("redact_keys", keys, allowed) from None
    for key in given:
        if not isinstance(key, str) or not normal(key).strip():
            raise _wrong("redact_keys", key, allowed)
    return {normal(key) for key in given}


def _checked_patterns(patterns: Iterable[PatternLike]) -> Tuple[Masker, ...]:
    allowed = "a list of regular expressions, each a text or a compiled text pattern"
    if isinstance(patterns, (str, bytes, re.Pattern)):
        raise _wrong("redact_patterns", patterns, allowed)
    try:
        given = list(patterns)
    except TypeError:
        raise _wrong("redact_patterns", patterns, allowed) from None
    return tuple(Masker(_compiled(pattern, allowed)) for pattern in given)


def _compiled(pattern: object, allowed: str) -> Pattern[str]:
    if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
        return pattern
    if not isinstance(pattern, str) or not pattern:
        raise _wrong("redact_patterns", pattern, allowed)
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise _wrong("redact_patterns", pattern, f"{allowed} ({error})") from error


def _wrong(option: str, given: object, allowed: str) -> ConfigError:
    shown = repr(given)
    if len(shown) > _MAX_SHOWN_CHARS:
        shown = shown[: _MAX_SHOWN_CHARS - 3] + "..."
    return ConfigError(f"{option} is or holds {shown}, but must be {allowed}")
