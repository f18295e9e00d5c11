"""The event as one line: what a file shows is what would be shipped."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import sys
from typing import Any, Callable, Dict

import pytest
from pythonjsonlogger.json import JsonFormatter

from agentmonitor_logging._snapshot import snapshot_record
from agentmonitor_logging.events import encode, event_from_record
from agentmonitor_logging.exceptions import ConfigError
from agentmonitor_logging.formatter import AgentEventFormatter
from agentmonitor_logging.redaction import Redactor
from conftest import KEY
from oddities import ODDITIES


def make_record(msg: Any = "hello %s", args: Any = ("you",), **extra: Any) -> Any:
    logger = logging.getLogger("shop")
    return logger.makeRecord(
        "shop", logging.INFO, "/a/basket.py", 7, msg, args, None, "buy", extra
    )


def line_of(record: logging.LogRecord, **options: Any) -> Dict[str, Any]:
    line = AgentEventFormatter(agent_id="bot", **options).format(record)
    decoded: Dict[str, Any] = json.loads(line)
    return decoded


def test_a_line_is_the_event_that_is_shipped() -> None:
    """Handler and formatter agree on every byte of a record's meaning."""
    record = make_record(input_data={"a": "grüße"}, password="hunter2", cost_usd=1)

    event = event_from_record(record, agent_id="bot", metadata={"release": "r1"})
    shipped = encode(Redactor().redact(event), 262_144)

    assert line_of(record, metadata={"release": "r1"}) == json.loads(shipped)


def test_it_is_a_formatter_of_python_json_logger() -> None:
    """Tools that look for JSON formatters find one."""
    assert isinstance(AgentEventFormatter(), JsonFormatter)


def test_a_copy_from_the_queue_makes_the_same_line() -> None:
    """Before and behind the queue a record is one event."""
    record = make_record(input_data=[1])

    assert line_of(record) == line_of(snapshot_record(record))


def test_secrets_are_redacted_alike() -> None:
    """Built-in and own keys, and patterns, hide the same as in the handler."""
    record = make_record(
        "customer %s", ("C-12345",), input_data={"password": "hunter2", "iban": "DE1"}
    )

    event = line_of(record, redact_keys=["iban"], redact_patterns=[r"C-\d+"])

    assert "hunter2" not in str(event)
    assert "DE1" not in str(event)
    assert "C-12345" not in str(event)
    assert event["metadata"]["message"].startswith("customer ")


def test_the_key_of_the_environment_is_hidden(monkeypatch) -> None:
    """A line that names the key which the handlers send with does not show it."""
    monkeypatch.setenv("AGENTMONITOR_API_KEY", f" {KEY} ")
    record = make_record("sent with %s", (KEY,))

    assert "sent with [REDACTED]" == line_of(record)["metadata"]["message"]


def test_what_is_too_short_for_a_key_hides_nothing(monkeypatch) -> None:
    """A word in the environment's place of the key does not empty the lines."""
    monkeypatch.setenv("AGENTMONITOR_API_KEY", "e")

    assert "sent here" == line_of(make_record("sent here", ()))["metadata"]["message"]


def test_redaction_can_be_left_out() -> None:
    """Without the built-in rules only what is named is hidden."""
    record = make_record(input_data={"password": "hunter2"})

    event = line_of(record, redact_defaults=False)

    assert event["input_data"] == {"password": "hunter2"}


def test_a_redactor_may_be_named() -> None:
    """A callable, or its dotted name as a configuration file has it, is asked."""
    record = make_record(input_data={"a": "Text"})

    assert "TEXT" in str(line_of(record, redactor=str.upper))
    assert "text" in str(line_of(record, redactor="oddities.lowered"))


def test_the_record_is_not_changed() -> None:
    """The handlers behind this one see what they would see without it."""
    record = make_record(input_data=[1])
    before = dict(record.__dict__)

    line_of(record)

    assert record.__dict__ == before


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_a_record_is_one_line(ensure_ascii: bool) -> None:
    """Line breaks in a text do not break the line."""
    formatter = AgentEventFormatter(ensure_ascii=ensure_ascii)

    line = formatter.format(make_record("a\nb\r\nc", ()))

    assert "\n" not in line
    assert "\r" not in line
    assert json.loads(line)["metadata"]["message"] == "a\nb\r\nc"


def test_any_console_can_take_the_line() -> None:
    """By default a line is ASCII; a console of any encoding can show it."""
    assert AgentEventFormatter().format(make_record("grüße 😀", ())).isascii()


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_the_size_is_bounded(ensure_ascii: bool) -> None:
    """A line is no longer than an event may be."""
    formatter = AgentEventFormatter(max_event_bytes=2_000, ensure_ascii=ensure_ascii)

    line = formatter.format(make_record(input_data={"text": "é" * 10_000}))

    assert len(line.encode()) <= 2_000
    assert json.loads(line)["metadata"]["truncated"] is True


@pytest.mark.parametrize("make", ODDITIES)
def test_nothing_can_make_it_raise(make: Callable[[], Any]) -> None:
    """Whatever is logged, there is a line."""
    line = AgentEventFormatter().format(make_record(make(), (), other=make()))

    assert json.loads(line)["metadata"]["logger"] == "shop"


def test_the_agent_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an option the environment names the agent, else nobody does."""
    assert json.loads(AgentEventFormatter().format(make_record()))["agent_id"] == ""

    monkeypatch.setenv("AGENTMONITOR_AGENT_ID", "env-bot")

    event = json.loads(AgentEventFormatter().format(make_record()))
    assert event["agent_id"] == "env-bot"
    assert line_of(make_record())["agent_id"] == "bot"


@pytest.mark.parametrize(
    "options",
    [
        {"max_event_bytes": 10},
        {"metadata": [1]},
        {"redact_keys": "password"},
        {"redact_patterns": ["("]},
        {"redactor": "no.such.module"},
        {"agent_id": "  "},
    ],
)
def test_a_wrong_option_is_told_at_once(options: Dict[str, Any]) -> None:
    """A formatter is checked while it is configured, as the handlers are."""
    with pytest.raises(ConfigError):
        AgentEventFormatter(**options)


@pytest.mark.parametrize(
    "entry",
    [
        {"()": "agentmonitor_logging.formatter.AgentEventFormatter", "agent_id": "bot"},
        {"class": "agentmonitor_logging.formatter.AgentEventFormatter"},
        {
            "class": "agentmonitor_logging.formatter.AgentEventFormatter",
            "format": "%(message)s",
            "datefmt": "%H",
            "style": "%",
            "validate": True,
        },
        {
            "()": "agentmonitor_logging.formatter.AgentEventFormatter",
            "fmt": "{message}",
            "style": "{",
            "redact_keys": ["iban"],
        },
    ],
)
def test_it_can_be_configured_by_dict(entry: Dict[str, Any]) -> None:
    """Both forms of dictConfig make one; a layout given by habit means nothing."""
    stream = io.StringIO()
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"event": entry},
            "handlers": {
                "out": {
                    "class": "logging.StreamHandler",
                    "stream": stream,
                    "formatter": "event",
                }
            },
            "loggers": {"shop": {"handlers": ["out"], "level": "INFO"}},
        }
    )

    logging.getLogger("shop").info("sold %d", 3)

    event = json.loads(stream.getvalue())
    assert event["metadata"]["message"] == "sold 3"
    assert event["event_type"] == "log"


def test_defaults_are_accepted() -> None:
    """dictConfig of Python 3.12 passes defaults along."""
    assert AgentEventFormatter("%(x)s", None, "%", False, defaults={"x": 1})


def test_an_exception_is_in_the_line() -> None:
    """The traceback is part of the event and not a second line."""
    try:
        raise ValueError("boom")
    except ValueError:
        record = make_record()
        record.exc_info = sys.exc_info()

    event = line_of(record)

    assert event["error_message"] == "ValueError: boom"
    assert event["metadata"]["error_type"] == "ValueError"


def test_as_the_formatter_of_our_handler_it_is_no_message() -> None:
    """A formatter that makes events does not make the message of an event."""
    event = event_from_record(
        make_record(), agent_id="bot", formatter=AgentEventFormatter()
    )

    assert event["metadata"]["message"] == "hello you"


def test_the_repr_names_the_agent() -> None:
    """Somebody who looks at a formatter sees whose it is."""
    assert repr(AgentEventFormatter(agent_id="bot")) == "<AgentEventFormatter 'bot'>"
