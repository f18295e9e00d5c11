"""The options, checked once.

Every option of every handler is read here and nowhere else; what leaves this module
is a frozen `Config` that nobody needs to check again. A wrong option is a
`ConfigError` that names it, says what was given and what is allowed, and never
prints the key.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
    Union,
)

from .exceptions import ConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

DEFAULT_API_URL = "https://api.agentmonitor.io/api/v1"
MAX_EVENTS_PER_REQUEST = 100
"""The most events that the API takes in one request."""
MIN_API_KEY_LENGTH = 32
_MAX_API_KEY_LENGTH = 4096
MAX_SECONDS = 7 * 86_400.0
"""A week: a larger number is a mistake in the unit, or means for ever, and overflows
what a lock can wait for on some platforms."""

_ENVIRONMENT = {
    "api_key": "AGENTMONITOR_API_KEY",
    "agent_id": "AGENTMONITOR_AGENT_ID",
    "api_url": "AGENTMONITOR_API_URL",
    "enabled": "AGENTMONITOR_ENABLED",
    "spool": "AGENTMONITOR_SPOOL",
}
_WORDS_FOR_FALSE = frozenset({"0", "false", "no", "off"})
_WORDS_FOR_TRUE = frozenset({"1", "true", "yes", "on"})

SampleRate = Union[float, Mapping[str, float]]


class Secret:
    """Hold the API key where no repr, log or pickle can show it.

    It travels in a pickle only while `multiprocessing` hands a process object to a
    child of its own, over a private pipe; the rule is that of
    `multiprocessing.process.AuthenticationString`. Any other pickle carries an
    empty secret, and the reader falls back to its environment.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str = "") -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key itself: to send it, or to find it where it must not stand."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> Tuple[Any, ...]:
        from multiprocessing.context import get_spawning_popen

        if get_spawning_popen() is None:
            return (Secret, ())
        return (Secret, (self._value,))


class Config(NamedTuple):
    """Hold the checked options of one handler; times are seconds, sizes bytes."""

    api_key: Secret
    agent_id: str
    api_url: str = DEFAULT_API_URL
    allow_http: bool = False
    batch_size: int = 10
    flush_interval: float = 5.0
    retry_attempts: int = 3
    timeout: float = 30.0
    redact_keys: Tuple[str, ...] = ()
    redact_patterns: Tuple[Any, ...] = ()
    redact_defaults: bool = True
    redactor: Optional[Callable[[str], str]] = None
    on_error: Optional[Callable[[Exception], object]] = None
    enabled: bool = True
    debug: bool = False
    queue_size: int = 20_000
    buffer_bytes: int = 64 * 1024 * 1024
    spool: Optional[str] = None
    spool_max_bytes: int = 256 * 1024 * 1024
    max_event_bytes: int = 256 * 1024
    max_batch_bytes: int = 1024 * 1024
    max_in_flight: int = 4
    sample_rate: SampleRate = 1.0
    compression: Optional[str] = None
    metadata: Mapping[str, Any] = MappingProxyType({})
    shutdown_timeout: float = 3.0
    flush_on_sigterm: bool = False

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Config:
        """Check *options*, completed from the environment, and freeze them.

        An option that is None counts as not given. A handler that is not enabled
        needs neither key nor agent. Raises ConfigError.
        """
        # An empty key is what a pickle leaves of one.
        given = {
            name: _settled(value)
            for name, value in options.items()
            if value is not None and value != Secret()
        }
        _check_names(given)
        for name, variable in _ENVIRONMENT.items():
            if name not in given and os.environ.get(variable, "").strip():
                given[name] = os.environ[variable]
        if "enabled" in given:
            given["enabled"] = _enabled(given["enabled"])
        if not given.get("enabled", True):
            given.setdefault("api_key", Secret())
            given.setdefault("agent_id", "disabled")
        checked = {name: _CHECKS[name](name, value) for name, value in given.items()}
        for required in ("api_key", "agent_id"):
            if required not in checked:
                raise ConfigError(
                    f"{required} is missing: pass the option {required}=... or set the "
                    f"environment variable {_ENVIRONMENT[required]}"
                )
        checked.setdefault("metadata", {})  # the default cannot be pickled
        config = cls(**checked)
        _check_together(config)
        return config


OPTION_NAMES = frozenset(Config._fields)
"""Every option that a handler accepts."""


def _settled(value: Any) -> Any:
    """Return *value* with what `ext://` and `cfg://` inside it stand for.

    The containers of dictConfig find that out only where they are read by key, which
    neither `dict` nor `tuple` does.
    """
    if not hasattr(value, "configurator"):
        return value
    if isinstance(value, dict):
        return {key: _settled(value[key]) for key in value}
    return [_settled(value[number]) for number in range(len(value))]


def _check_names(options: Mapping[str, Any]) -> None:
    for name in options:
        if name in OPTION_NAMES:
            continue
        import difflib  # costs a millisecond, and a wrong option is rare

        near = difflib.get_close_matches(str(name), OPTION_NAMES, n=1)
        advice = f"did you mean {near[0]}?" if near else "see the table in README.md"
        raise ConfigError(f"there is no option {name!r}; {advice}")


def _check_together(config: Config) -> None:
    scheme = _split(config.api_url).scheme
    if scheme == "http" and not config.allow_http and not is_loopback(config.api_url):
        raise ConfigError(
            f"api_url is {config.api_url!r}: plain http would show the key to the "
            "network; use https, or pass allow_http=True where that is all right"
        )
    if config.max_event_bytes > config.max_batch_bytes:
        raise ConfigError(
            f"max_event_bytes is {config.max_event_bytes}, more than max_batch_bytes "
            f"({config.max_batch_bytes}): one event must fit into a request"
        )


def is_loopback(url: str) -> bool:
    """Tell whether *url* names this machine, so that nothing leaves it."""
    import ipaddress  # as much of our import as all options, and a handler is rare

    host = _split(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def shown(value: object) -> str:
    """Return what a message may show of *value*, which may be, or hold, the key."""
    if isinstance(value, str):
        if len(value) < MIN_API_KEY_LENGTH:
            return repr(value)
        return f"a text of {len(value)} characters"
    if value is None or type(value) in (bool, float):
        return repr(value)
    if type(value) is int and abs(value) < 10**20:  # no repr has over 4,300 digits
        return repr(value)
    return f"of type {type(value).__name__}"


def wrong(name: str, value: object, allowed: str) -> ConfigError:
    """Return the error for a *value* of the option *name* that is not as *allowed*."""
    return ConfigError(f"{name} is {shown(value)}, but must be {allowed}")


def checked_level(level: Any) -> Any:
    """Return *level*, which is a number or the name of a level; else ConfigError."""
    known = logging.getLevelName(level) if isinstance(level, str) else level
    if isinstance(known, int):
        return level
    raise wrong("level", level, "a logging level, such as 20 or 'INFO'")


def _api_key(name: str, value: Any) -> Secret:
    if isinstance(value, Secret):
        return value
    key = value.strip() if isinstance(value, str) else ""
    if not MIN_API_KEY_LENGTH <= len(key) <= _MAX_API_KEY_LENGTH:
        raise ConfigError(
            f"{name} must be a string of at least {MIN_API_KEY_LENGTH} characters "
            f"(given: {_measure(value)}); the dashboard or the collector shows yours"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ConfigError(
            f"{name} must be printable ASCII without spaces, as it travels in an HTTP "
            "header; check what was copied"
        )
    return Secret(key)


def _measure(value: object) -> str:
    if isinstance(value, str):
        return f"{len(value.strip())} characters"
    return type(value).__name__


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise wrong(name, value, "a string that is not blank")
    return value.strip()


def _split(url: str) -> SplitResult:
    from urllib.parse import urlsplit  # as above

    return urlsplit(url)


def _api_url(name: str, value: Any) -> str:
    url = _text(name, value).rstrip("/")
    if "@" in url:
        raise ConfigError(
            f"{name} holds a user name or password; the key goes into api_key, and the "
            "address must be without"
        )
    # Where a key may stand is not repeated.
    told = repr(re.split("[?#]", url, maxsplit=1)[0])
    try:
        parts = _split(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        plain = not parts.query and not parts.fragment and url.isprintable()
        known = parts.scheme in ("http", "https")
    except ValueError:
        usable = plain = known = False
    if usable and plain and known and " " not in url:
        return url
    raise ConfigError(
        f"{name} is {told:.80}, but must be like https://host/api/v1, without user, "
        "query or fragment"
    )


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")
    return value


def _enabled(value: Any) -> bool:
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS_FOR_FALSE or word in _WORDS_FOR_TRUE:
            return word in _WORDS_FOR_TRUE
        raise wrong("enabled", value, "true or false (also 1, 0, yes, no, on, off)")
    return _flag("enabled", value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _whole(least: int, most: Optional[int] = None) -> Callable[[str, Any], int]:
    allowed = f"a whole number of at least {least}"
    if most is not None:
        allowed = f"a whole number from {least} to {most}"

    def check(name: str, value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise wrong(name, value, allowed)
        if value < least or (most is not None and value > most):
            raise wrong(name, value, allowed)
        return value

    return check


def _seconds(least: float) -> Callable[[str, Any], float]:
    def check(name: str, value: Any) -> float:
        if not _is_number(value) or not least <= value <= MAX_SECONDS:
            raise wrong(name, value, f"a number of seconds of at least {least}")
        return float(value)

    return check


def _names(name: str, value: Any) -> Tuple[str, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, (Sequence, set)):
        raise wrong(name, value, "a list of key names")
    for item in value:
        if not isinstance(item, str) or not item.strip():
            raise wrong(f"one of {name}", item, "the name of a key")
    return tuple(value)


def _patterns(name: str, value: Any) -> Tuple[Any, ...]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise wrong(name, value, "a list of regular expressions")
    return tuple(value)


def _callable(name: str, value: Any) -> Callable[..., Any]:
    if isinstance(value, str):
        value = resolved(name, value)
    if not callable(value):
        raise wrong(name, value, "a callable, or the dotted name of one")
    return value  # type: ignore[no-any-return]


def resolved(name: str, dotted: str) -> Any:
    """Return what the option *name* gives the *dotted* name of; raise ConfigError."""
    module, _, attribute = dotted.strip().rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the module's own code raises
        raise ConfigError(
            f"{name} is {dotted!r}, which cannot be imported "
            f"({type(error).__name__}: {error}); give the full dotted name, as in "
            "'package.module.function'"
        ) from error


def _rate(name: str, value: Any) -> SampleRate:
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise wrong(name, value, "a dict of event types to numbers from 0 to 1")
        return {key: _one_rate(f"{name}[{key!r}]", value[key]) for key in value}
    return _one_rate(name, value)


def _one_rate(name: str, value: Any) -> float:
    if not _is_number(value) or not 0 <= value <= 1:
        raise wrong(name, value, "a number from 0 to 1, or a dict of them by type")
    return float(value)


def _compression(name: str, value: Any) -> Optional[str]:
    if value != "gzip":
        raise wrong(name, value, "'gzip', or left out")
    return "gzip"


def _mapping(name: str, value: Any) -> Dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise wrong(name, value, "a dict with string keys")
    return dict(value)


def _spool(name: str, value: Any) -> str:
    # Whether the disk takes anything is not for now: it may well change.
    allowed = "the path of a directory, which is made where it is missing"
    if not isinstance(value, (str, os.PathLike)):
        raise wrong(name, value, allowed)
    from pathlib import Path  # as above

    path = os.fspath(value)
    if not isinstance(path, str) or not path.strip() or "\0" in path:
        raise wrong(name, value, allowed)
    try:
        # Absolute, so that it stays the same where the program changes its directory.
        return str(Path(path).expanduser().absolute())
    except (OSError, RuntimeError) as error:  # no home, no working directory
        raise wrong(name, value, allowed) from error


_CHECKS: Mapping[str, Callable[[str, Any], Any]] = {
    "api_key": _api_key,
    "agent_id": _text,
    "api_url": _api_url,
    "allow_http": _flag,
    "batch_size": _whole(1, MAX_EVENTS_PER_REQUEST),
    "flush_interval": _seconds(0.1),
    "retry_attempts": _whole(0, 10),
    "timeout": _seconds(1),
    "redact_keys": _names,
    "redact_patterns": _patterns,
    "redact_defaults": _flag,
    "redactor": _callable,
    "on_error": _callable,
    "enabled": _flag,
    "debug": _flag,
    "queue_size": _whole(1),
    "buffer_bytes": _whole(1024 * 1024),
    "spool": _spool,
    "spool_max_bytes": _whole(1024 * 1024),
    "max_event_bytes": _whole(1024),
    "max_batch_bytes": _whole(1024),
    "max_in_flight": _whole(1, 64),
    "sample_rate": _rate,
    "compression": _compression,
    "metadata": _mapping,
    "shutdown_timeout": _seconds(0),
    "flush_on_sigterm": _flag,
}
