"""A record as an event: the ten keys of the wire.

This is the only place that knows which attribute of a record fills which key.
Nothing here can fail: a value that is of no use for its key is kept in the metadata
as ``<key>_invalid``, and the others are not touched by it.
"""

from __future__ import annotations

import logging
import math
import os
import re
import time
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, Mapping, Optional, Tuple

from . import _naming
from ._diagnostics import note_swallowed
from ._encoding import encode
from ._foreign import bounded_repr, endured
from ._plain import AnyEvent, PlainEvent
from ._rendering import Renderer
from ._shortcut import plain_event, words_as_usual
from ._snapshot import EVENT_ID, MAX_TEXT, snapshot_record, with_fields
from ._wire import (
    KNOWN,
    MAX_LATENCY,
    NAMED,
    OWNERS,
    RESERVED,
    STATUS,
    TRACE_IDS,
    Event,
    utc,
    written,
)

__all__ = ["Event", "converted", "encode", "event_from_record"]

_MAX_ARGS = 20
_ISO_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d)?(?:[.,](\d+))?)?"
    r" ?(?:[Zz]|([+-]\d\d):?(\d\d))?"
)
_LAST_LINE = re.compile(r"([A-Za-z_][\w.]*)(?:: .*)?")


def event_from_record(
    record: logging.LogRecord,
    *,
    agent_id: str,
    metadata: Optional[Mapping[str, Any]] = None,
    formatter: Optional[logging.Formatter] = None,
    max_bytes: int = MAX_TEXT,
) -> Event:
    """Return the event that *record* tells of: ten keys, plain JSON data.

    *agent_id* and *metadata* are the handler's; what the record and its context
    give wins over them. *formatter* makes the text of ``metadata.message``, unless
    it is one that makes whole events. Texts are cut to what can be of use in
    *max_bytes* of JSON. Never raises.
    """
    if not hasattr(record, EVENT_ID):
        _naming.expect(event_from_record)
    event = converted(record, agent_id, metadata, formatter, max_bytes)
    return event.copied() if isinstance(event, PlainEvent) else event


def converted(
    record: logging.LogRecord,
    agent_id: str,
    metadata: Optional[Mapping[str, Any]],
    formatter: Optional[logging.Formatter],
    max_bytes: int,
) -> AnyEvent:
    """Do the same, for those who take a `PlainEvent` as well."""
    try:
        copy = snapshot_record(record)
        if makes_plain_events(formatter) and words_as_usual(type(copy)):
            plain = plain_event(copy.__dict__, agent_id, metadata, max_bytes)
            if plain is not None:
                return plain
        return _Reading(copy, agent_id, max_bytes).event(metadata, formatter)
    except Exception as error:  # a bug of ours costs details, no event
        note_swallowed(error, "event_from_record")
        return _bare_event(record, agent_id)


def makes_plain_events(formatter: Optional[logging.Formatter]) -> bool:
    """Tell whether *formatter* leaves the message as logging makes it."""
    return formatter is None or getattr(formatter, "makes_events", False)


class _Reading:
    """Read one record; *notes* collects what was given and is of no use."""

    def __init__(
        self, record: logging.LogRecord, agent_id: str, max_bytes: int
    ) -> None:
        self.record = record
        self.agent_id = agent_id
        self.fields = record.__dict__
        self.renderer = Renderer(max_bytes)
        self.notes: Dict[str, Any] = {}
        context = self.fields.get("_agent_context")
        self.context: Dict[str, Any] = context if isinstance(context, dict) else {}
        self.error = self.fields.get("_agent_error") or _told_error(self.fields)
        self.is_error_level = _level(record) >= logging.ERROR

    def event(
        self,
        metadata: Optional[Mapping[str, Any]],
        formatter: Optional[logging.Formatter],
    ) -> Event:
        message = self._message(formatter)
        latency = self._latency()
        complaint = self._given_text("error_message")
        status = self._status(complaint)
        event: Event = {
            "agent_id": self._agent_id(),
            "event_type": self._given_text("event_type") or "log",
            "timestamp": self._timestamp(latency),
            "input_data": self._payload("input_data"),
            "output_data": self._payload("output_data"),
            "metadata": {},
            "cost_usd": self._number("cost_usd"),
            "latency_ms": latency,
            "status": status,
            "error_message": self._error_message(status, complaint, message),
        }
        event["metadata"] = self._metadata(message, metadata)
        return event

    def _given_text(self, name: str) -> str:
        given = self.fields.get(name)
        return "" if given is None else self.renderer.text(given).strip()

    def _invalid(self, name: str) -> None:
        self.notes[f"{name}_invalid"] = self.renderer.render(self.fields[name])

    def _agent_id(self) -> str:
        bound = self.context.get("agent_id")
        return (
            self._given_text("agent_id")
            or (bound is not None and self.renderer.text(bound).strip())
            or self.renderer.text(self.agent_id)
        )

    def _message(self, formatter: Optional[logging.Formatter]) -> str:
        record = self._speakable()
        if formatter is not None and not makes_plain_events(formatter):
            text = self._formatted(lambda: formatter.format(record))
            if text is not None:
                return text
        text = self._formatted(record.getMessage)
        return self._unformatted(record) if text is None else text

    def _speakable(self) -> logging.LogRecord:
        """Return the record, without containers that would take seconds to format."""
        fitting, args = self.renderer.fitting, self.record.args
        msg: Any = fitting(self.record.msg)
        fit: Any = args
        if type(args) is tuple:
            fit = tuple(map(fitting, args))
        elif type(args) is dict:  # it may be meant as a whole, or by its names
            by_name = all(type(name) is str for name in args)
            fit = {n: fitting(args[n]) for n in args} if by_name else fitting(args)
        if msg is self.record.msg and _same(fit, args):
            return self.record
        return with_fields(self.record, msg=msg, args=fit)

    def _formatted(self, make: Callable[[], str]) -> Optional[str]:
        try:
            return self.renderer.text(make())
        except BaseException as error:  # "%d" and a string, or a __str__ that fails
            if not endured(error):
                raise
            self.notes["format_error"] = True
            return None

    def _unformatted(self, record: logging.LogRecord) -> str:
        template, args = record.msg, record.args
        text = template if isinstance(template, str) else bounded_repr(template)
        if isinstance(args, tuple):
            shown = ", ".join(map(bounded_repr, args[:_MAX_ARGS]))
            return self.renderer.text(f"{text} ({shown})" if args else text)
        return self.renderer.text(f"{text} {bounded_repr(args)}" if args else text)

    def _payload(self, name: str) -> Optional[Dict[str, Any]]:
        """Return an object: arguments by name, one value, or items."""
        shown = self.renderer.render(self.fields.get(name))
        if shown is None or isinstance(shown, dict):
            return shown
        return {"items" if isinstance(shown, list) else "value": shown}

    def _number(self, name: str) -> Optional[float]:
        given = self.fields.get(name)
        if given is None:
            return None
        number = _finite(self.renderer.render(given))
        if number is None:
            self._invalid(name)
        return number

    def _latency(self) -> Optional[int]:
        given: Any = self.fields.get("latency_ms")
        number: Optional[float]
        if issubclass(type(given), timedelta):
            number = given.total_seconds() * 1000
        else:
            number = self._number("latency_ms")
        if number is None:
            return None
        if not 0 <= number < MAX_LATENCY:
            self._invalid("latency_ms")
            return None
        return round(number)

    def _timestamp(self, latency: Optional[int]) -> str:
        """Return the start: as given, else the record's time less its duration."""
        if self.fields.get("timestamp") is not None:
            given = _start(self.fields["timestamp"])
            if given is not None:
                return given
            self._invalid("timestamp")
        created = self.fields.get("created")
        ended = created if isinstance(created, (int, float)) else time.time()
        started = ended - (latency or 0) / 1000
        return utc(started) or utc(ended) or utc(time.time()) or ""

    def _status(self, complaint: str) -> str:
        given = self._given_text("status")
        known = STATUS.get(given.lower())
        if known is not None:
            return known
        if given:
            self._invalid("status")
        failed = self.is_error_level or self.error or complaint
        return "error" if failed else "success"

    def _error_message(
        self, status: str, complaint: str, message: str
    ) -> Optional[str]:
        if status == "success":
            if complaint:
                self.notes["error_message"] = complaint
            return None
        if complaint:
            return complaint
        if self.error:
            return self.renderer.text(self.error[1])
        return message if self.is_error_level else None

    def _metadata(
        self, message: str, of_handler: Optional[Mapping[str, Any]]
    ) -> Dict[str, Any]:
        text = self.renderer.text
        result: Dict[str, Any] = {
            "event_id": self.fields["_agent_event_id"],
            "logger": text(self.record.name),
            "level": text(self.record.levelname),
            "message": message,
        }
        for source in self._sources(of_handler):
            for name, value in source.items():
                result[f"{name}_given" if name in RESERVED else name] = value
        self._identify(result)
        result.update(self.notes)
        return result

    def _sources(
        self, of_handler: Optional[Mapping[str, Any]]
    ) -> Iterator[Dict[str, Any]]:
        """Yield what goes into the metadata; later ones win."""
        yield self._facts()
        yield self._mapping(of_handler)
        yield self._mapping(self.context.get("metadata"))
        yield self._named(self.context, OWNERS)
        if issubclass(type(self.record.msg), dict):
            yield self._mapping(self.record.msg)
        yield self._mapping(self.fields.get("metadata"))
        yield self._extras()
        yield self._named(self.fields, NAMED)

    def _facts(self) -> Dict[str, Any]:
        """Return what the record says of itself."""
        facts = {
            "function_name": self.fields.get("funcName"),
            "module": self.fields.get("module"),
            "error_type": self.error[0] if self.error else None,
            "traceback": self.fields.get("exc_text") if self.error else None,
            "stack_info": self.fields.get("stack_info"),
        }
        return self._named(facts, facts)

    def _mapping(self, given: Any) -> Dict[str, Any]:
        if not given:
            return {}
        shown = self.renderer.render(given)
        return shown if isinstance(shown, dict) else {"value": shown}

    def _named(self, fields: Mapping[str, Any], names: Iterable[str]) -> Dict[str, Any]:
        return {
            name: self.renderer.text(fields[name])
            for name in names
            if fields.get(name) is not None
        }

    def _extras(self) -> Dict[str, Any]:
        return {
            self.renderer.text(name): self.renderer.render(value)
            for name, value in self.fields.items()
            if name not in KNOWN and not name.startswith("_agent_")
        }

    def _identify(self, result: Dict[str, Any]) -> None:
        """Put the event's own id and its place in the trace into *result*."""
        given = self.fields.get("event_id")
        if given is not None and given != result["event_id"]:
            self._invalid("event_id")
        for name, length in TRACE_IDS.items():
            given = self.fields.get(name)
            given = result.pop(name, None) if given is None else given
            if given is None:
                continue
            digits = _hex_digits(given, length) or _hex_digits(
                self.renderer.text(given), length
            )
            if digits:
                result[name] = digits
            else:
                result[f"{name}_invalid"] = self.renderer.render(given)


def _level(record: logging.LogRecord) -> float:
    level = record.__dict__.get("levelno")
    return level if isinstance(level, (int, float)) else 0


def _same(fit: Any, args: Any) -> bool:
    """Tell whether *fit* holds the very objects that *args* holds."""
    if type(args) is dict:
        fit, args = (*fit, *fit.values()), (*args, *args.values())
    elif type(args) is not tuple:
        return True
    return all(one is other for one, other in zip(fit, args))


def _told_error(fields: Mapping[str, Any]) -> Optional[Tuple[str, str]]:
    """Read type and message off a traceback that came as text, from a process."""
    text = fields.get("exc_text")
    if not isinstance(text, str) or not text.strip() or text == "NoneType: None":
        return None
    last = text.strip().rpartition("\n")[2]
    found = _LAST_LINE.fullmatch(last)
    return (found.group(1).rpartition(".")[2] if found else "Exception", last)


def _finite(shown: Any) -> Optional[float]:
    if isinstance(shown, bool) or not isinstance(shown, (int, float, str)):
        return None
    try:
        number = float(shown)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _hex_digits(given: Any, length: int) -> Optional[str]:
    """Return *given* as the *length* hex digits of an id that is not zero."""
    if type(given) is int:
        given = f"{given:0{length}x}"
    if type(given) is not str:
        return None
    digits = given.strip().replace("-", "").lower()
    fits = len(digits) == length and not digits.strip("0123456789abcdef")
    return digits if fits and digits.strip("0") else None


def _start(given: Any) -> Optional[str]:
    """Return a point in time, in any of the accepted forms, as the wire has it."""
    kind = type(given)
    if issubclass(kind, (int, float)) and kind is not bool:
        return utc(given)
    try:
        moment = given if issubclass(kind, datetime) else _parsed(given)
        return None if moment is None else written(moment)
    except Exception:  # year 0, an offset of days, a tzinfo that fails
        return None


def _parsed(given: Any) -> Optional[datetime]:
    found = _ISO_TIME.fullmatch(given.strip()) if isinstance(given, str) else None
    if found is None:
        return None
    day, hours, seconds, fraction, offset, minutes = found.groups()
    clock = f"{hours or '00:00'}{seconds or ':00'}.{(fraction or '')[:6]:0<6}"
    zone = f"{offset}:{minutes}" if offset else "+00:00"
    return datetime.fromisoformat(f"{day}T{clock}{zone}")


def _bare_event(record: Any, agent_id: str) -> Event:
    """Return what can be said of a record that cannot be read."""
    text = Renderer().text
    fields = getattr(record, "__dict__", {})
    return {
        "agent_id": text(agent_id),
        "event_type": "log",
        "timestamp": utc(time.time()) or "",
        "input_data": None,
        "output_data": None,
        "metadata": {
            "event_id": os.urandom(16).hex(),
            "logger": text(fields.get("name")),
            "level": text(fields.get("levelname")),
            "message": text(fields.get("msg")),
            "format_error": True,
        },
        "cost_usd": None,
        "latency_ms": None,
        "status": "error",
        "error_message": "[unreadable record]",
    }
