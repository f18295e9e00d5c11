"""The options: what is allowed, what is said about what is not."""

from __future__ import annotations

import pickle
from typing import Any, Dict

import pytest

from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    ConfigError,
)
from agentmonitor_logging._config import OPTION_NAMES, Config, Secret

KEY = "test-key-0123456789-abcdefghijklmnopqrstuvwxyz"


def config(**options: Any) -> Config:
    return Config.from_options({"api_key": KEY, "agent_id": "bot", **options})


def test_the_defaults_are_those_of_the_contract() -> None:
    """What is not given is as design and README say."""
    found = config()

    assert "https://api.agentmonitor.io/api/v1" == found.api_url
    assert (10, 5.0) == (found.batch_size, found.flush_interval)
    assert (3, 30.0) == (found.retry_attempts, found.timeout)
    assert (20_000, 64 * 1024**2) == (found.queue_size, found.buffer_bytes)
    assert (256 * 1024, 1024**2) == (found.max_event_bytes, found.max_batch_bytes)
    assert (4, 1.0, None) == (
        found.max_in_flight,
        found.sample_rate,
        found.compression,
    )
    assert (True, False, 3.0) == (found.enabled, found.debug, found.shutdown_timeout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "x" * 31),
        ("api_key", 7),
        ("api_key", "with a space in it" + "x" * 30),
        ("api_key", "new\nline" + "x" * 30),
        ("api_key", "ünïcode" + "x" * 30),
        ("agent_id", ""),
        ("agent_id", "  "),
        ("agent_id", 7),
        ("api_url", "api.example.com"),
        ("api_url", "ftp://api.example.com"),
        ("api_url", "https://"),
        ("api_url", "https://host:99999/"),
        ("api_url", "https://host/x?key=1"),
        ("api_url", "https://host/x#y"),
        ("api_url", "https://us er@host"),
        ("api_url", 7),
        ("batch_size", 0),
        ("batch_size", 101),
        ("batch_size", 1.5),
        ("batch_size", True),
        ("batch_size", "10"),
        ("flush_interval", 0.05),
        ("flush_interval", "5"),
        ("flush_interval", float("nan")),
        ("flush_interval", float("inf")),
        ("retry_attempts", -1),
        ("retry_attempts", 11),
        ("timeout", 0.5),
        ("timeout", None.__class__),
        ("redact_keys", "password"),
        ("redact_keys", [7]),
        ("redact_keys", [" "]),
        ("redact_patterns", "x+"),
        ("redactor", "no_such_module.function"),
        ("redactor", "nodots"),
        ("redactor", 7),
        ("on_error", "os.no_such_name"),
        ("on_error", 7),
        ("enabled", "maybe"),
        ("enabled", 1),
        ("debug", "yes"),
        ("allow_http", "yes"),
        ("redact_defaults", 0),
        ("queue_size", 0),
        ("buffer_bytes", 10),
        ("max_event_bytes", 10),
        ("max_batch_bytes", 10),
        ("max_in_flight", 0),
        ("max_in_flight", 65),
        ("sample_rate", 1.5),
        ("sample_rate", -0.1),
        ("sample_rate", "half"),
        ("sample_rate", {"a": 2}),
        ("sample_rate", {7: 0.5}),
        ("compression", "brotli"),
        ("metadata", ["a"]),
        ("metadata", {7: "a"}),
        ("shutdown_timeout", -1),
    ],
)
def test_a_wrong_value_is_told_with_its_option(name: str, value: Any) -> None:
    """A wrong value is a ConfigError that names the option and says what must be."""
    with pytest.raises(ConfigError, match=rf"{name}\b.*(must|cannot|holds)"):
        config(**{name: value})


@pytest.mark.parametrize("pattern", ["(", 7])
def test_a_wrong_pattern_is_told_when_the_handler_is_made(pattern: Any) -> None:
    """A regular expression that does not compile is named, and fails at once."""
    with pytest.raises(ConfigError, match="redact_patterns"):
        AgentMonitorHandler(api_key=KEY, agent_id="b", redact_patterns=[pattern])


def test_an_unknown_option_comes_with_a_suggestion() -> None:
    """A misspelt option names the one that was probably meant."""
    with pytest.raises(ConfigError, match=r"'batchsize'.*did you mean batch_size"):
        config(batchsize=5)
    with pytest.raises(ConfigError, match=r"'zzz'.*README"):
        config(zzz=5)


@pytest.mark.parametrize("missing", ["api_key", "agent_id"])
def test_what_is_required_is_asked_for(missing: str) -> None:
    """A missing key or agent names the option and its environment variable."""
    options: Dict[str, Any] = {"api_key": KEY, "agent_id": "bot", missing: None}

    with pytest.raises(ConfigError, match=f"AGENTMONITOR_{missing.upper()}"):
        Config.from_options(options)


def test_the_environment_fills_what_is_not_given(monkeypatch) -> None:
    """Variables stand in for options, and options win."""
    monkeypatch.setenv("AGENTMONITOR_API_KEY", f"  {KEY}\n")
    monkeypatch.setenv("AGENTMONITOR_AGENT_ID", "from-environment")
    monkeypatch.setenv("AGENTMONITOR_API_URL", "https://example.com/api/")

    found = Config.from_options({})
    assert KEY == found.api_key.reveal()
    assert ("from-environment", "https://example.com/api") == (
        found.agent_id,
        found.api_url,
    )
    assert "mine" == Config.from_options({"agent_id": "mine"}).agent_id


@pytest.mark.parametrize("word", ["0", "false", "No", " off "])
def test_the_environment_can_disable(monkeypatch, word: str) -> None:
    """AGENTMONITOR_ENABLED takes the usual words, and no key is needed then."""
    monkeypatch.setenv("AGENTMONITOR_ENABLED", word)

    assert not Config.from_options({}).enabled


def test_a_disabled_handler_still_refuses_nonsense() -> None:
    """What is wrong is told even where it would not be used."""
    with pytest.raises(ConfigError, match="batch_size"):
        Config.from_options({"enabled": False, "batch_size": 0})


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("http://127.0.0.1:3002/api/v1", True),
        ("http://localhost/api", True),
        ("http://[::1]:80/api", True),
        ("http://127.8.8.8/api", True),
        ("http://10.0.0.1/api", False),
        ("http://localhost.example.com/api", False),
        ("http://127.0.0.1.example.com/api", False),
        ("https://example.com/api", True),
    ],
)
def test_plain_http_is_for_this_machine(url: str, fine: bool) -> None:
    """The key travels unencrypted only to loopback, or where that is allowed."""
    if not fine:
        with pytest.raises(ConfigError, match="allow_http"):
            config(api_url=url)
    assert url == config(api_url=url, allow_http=True).api_url


def test_credentials_in_the_address_are_not_repeated() -> None:
    """An address with a password is refused without showing it."""
    with pytest.raises(ConfigError) as caught:
        config(api_url="https://user:hunter2@example.com")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("key", ["x" * 31, KEY + " " + KEY, KEY + "\x00"])
def test_a_wrong_key_is_not_repeated(key: str) -> None:
    """No error message holds a key, not even a wrong one."""
    with pytest.raises(ConfigError) as caught:
        config(api_key=key)

    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"api_url": f"https://host/api/v1?api_key={KEY}"},
        {"api_url": f"https://host/#{KEY}"},
        {"api_url": f"https://user:{KEY}@host:port/api"},
        {"api_url": f"https://user:{KEY}@host:99999/"},
        {"api_url": f"https://[user:{KEY}@host"},
        {"agent_id": {"api_key": KEY}},
        {"metadata": [KEY]},
        {"redact_keys": KEY},
        {"redact_keys": [KEY, 7]},
        {"redact_patterns": KEY},
        {"enabled": KEY},
        {"compression": KEY},
        {"sample_rate": {"a": KEY}},
        {"timeout": KEY},
        {"handlers": KEY},
        {"handlers": [{"api_key": KEY}]},
        {"queue": KEY},
        {"listener": {"api_key": KEY}},
        {"level": KEY},
        {"level": {"api_key": KEY}},
    ],
    ids=str,
)
def test_a_key_in_a_wrong_place_is_not_repeated(options: Any) -> None:
    """Whoever puts the key elsewhere reads where, and nobody reads the key."""
    with pytest.raises(ConfigError, match=next(iter(options))) as caught:
        AgentMonitorQueueHandler(**{"agent_id": "bot", "api_key": KEY, **options})

    assert KEY not in str(caught.value)


@pytest.mark.parametrize("kind", [AgentMonitorHandler, AgentMonitorQueueHandler])
@pytest.mark.parametrize("level", ["info", "LOUD", 1.5, None])
def test_a_wrong_level_is_told(kind: Any, level: Any) -> None:
    """A level that logging does not know is a ConfigError as any other option."""
    with pytest.raises(ConfigError, match="level is .*'INFO'"):
        kind(level=level, api_key=KEY, agent_id="bot")


def test_a_number_that_cannot_be_written_is_told_too() -> None:
    """What Python refuses to print is still a ConfigError."""
    with pytest.raises(ConfigError, match="batch_size is of type int"):
        config(batch_size=10**5000)


def test_a_module_that_fails_is_told() -> None:
    """Whatever the module of a dotted name raises, the option is named."""
    with pytest.raises(
        ConfigError, match="on_error is 'raises_at_import.report'.*boom"
    ):
        config(on_error="raises_at_import.report")


def test_an_event_must_fit_into_a_request() -> None:
    """max_event_bytes above max_batch_bytes is a contradiction."""
    with pytest.raises(ConfigError, match="max_event_bytes"):
        config(max_event_bytes=2 * 1024**2)


def test_callables_may_be_named() -> None:
    """A dotted name is resolved while configuring."""
    assert print is config(on_error="builtins.print").on_error


def test_a_secret_shows_and_pickles_nothing() -> None:
    """Neither repr, str, format nor pickle reveal what a Secret holds."""
    secret = Secret(KEY)
    shown = [repr(secret), str(secret), f"{secret}", repr(config())]

    assert not [text for text in shown if KEY in text]
    assert KEY.encode() not in pickle.dumps(secret)
    assert not pickle.loads(pickle.dumps(secret))


def test_the_names_are_the_fields() -> None:
    """Every option has a check, and the other way round."""
    assert set(Config._fields) == OPTION_NAMES
