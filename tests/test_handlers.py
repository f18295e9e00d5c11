"""The three logging classes, in one process: what a record becomes on its way."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import logging.config
import logging.handlers
import pickle
import queue
import threading
import time
from typing import Any, Dict, List

import pytest

import agentmonitor_logging
from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    AgentMonitorQueueListener,
    ConfigError,
    Stats,
)
from conftest import KEY
from servers import DEADLINE, closed_port

log = logging.getLogger("agent")


def only_event(server: Any) -> Dict[str, Any]:
    (event,) = server.stored
    return event


def test_a_record_with_event_fields_becomes_that_event(server, attach) -> None:
    """extra= keys fill the event, every other key its metadata."""
    handler = attach(server.url)
    log.info(
        "asked %s",
        "gpt",
        extra={
            "event_type": "llm_call",
            "input_data": {"prompt": "hi"},
            "output_data": "hello",
            "cost_usd": 0.0042,
            "latency_ms": 350,
            "session_id": "s-1",
            "model": "gpt-4",
            "timestamp": 1_700_000_000.5,
        },
    )

    assert handler.flush(DEADLINE)
    event = only_event(server)
    event_id = event["metadata"].pop("event_id")
    assert 32 == len(event_id)
    assert {
        "agent_id": "bot",
        "event_type": "llm_call",
        "timestamp": "2023-11-14T22:13:20.500000Z",
        "input_data": {"prompt": "hi"},
        "output_data": {"value": "hello"},
        "metadata": {
            "logger": "agent",
            "level": "INFO",
            "message": "asked gpt",
            "session_id": "s-1",
            "model": "gpt-4",
            "function_name": "test_a_record_with_event_fields_becomes_that_event",
            "module": "test_handlers",
        },
        "cost_usd": 0.0042,
        "latency_ms": 350,
        "status": "success",
        "error_message": None,
    } == event


def test_a_plain_record_becomes_a_log_event(server, attach) -> None:
    """A record without event fields is an event of type log."""
    handler = attach(server.url)
    log.warning("disk %d%% full", 93)

    assert handler.flush(DEADLINE)
    event = only_event(server)
    assert "log" == event["event_type"]
    assert "disk 93% full" == event["metadata"]["message"]
    assert "success" == event["status"]
    assert None is event["input_data"] is event["output_data"]


def test_an_exception_is_an_error_with_its_traceback(server, attach) -> None:
    """logger.exception makes status error, the error's type and text, the traceback."""
    handler = attach(server.url)
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("it failed")

    assert handler.flush(DEADLINE)
    event = only_event(server)
    assert "error" == event["status"]
    assert "ValueError: boom" == event["error_message"]
    assert "ValueError" == event["metadata"]["error_type"]
    assert event["metadata"]["traceback"].endswith("ValueError: boom")
    assert "it failed" == event["metadata"]["message"]


def test_what_changes_after_the_call_does_not_change_the_event(server, attach) -> None:
    """A chat history is shipped as it was when it was logged."""
    handler = attach(server.url)
    history = [{"role": "user", "content": "one"}]
    log.info("call", extra={"input_data": {"messages": history}})
    history[0]["content"] = "changed"
    history.append({"role": "assistant", "content": "two"})

    assert handler.flush(DEADLINE)
    messages = only_event(server)["input_data"]["messages"]
    assert [{"role": "user", "content": "one"}] == messages


def test_nobody_waits_for_a_repr(server, attach) -> None:
    """An object is rendered on the listener's thread, not on the caller's."""
    threads: List[threading.Thread] = []

    class Slow:
        def __repr__(self) -> str:
            threads.append(threading.current_thread())
            return "<slow>"

    handler = attach(server.url)
    log.propagate = False
    log.info("got %r", Slow(), extra={"thing": Slow()})

    assert handler.flush(DEADLINE)
    assert threads
    assert threading.current_thread() not in threads
    assert "got <slow>" == only_event(server)["metadata"]["message"]


def test_a_secret_does_not_leave_the_process(server, attach) -> None:
    """Every field is redacted before it is sent."""
    handler = attach(server.url, redact_keys=["pin"], redact_patterns=[r"\bX-\d+\b"])
    log.error(
        "Authorization: Bearer %s",
        "abcdefghijklmnop1234",
        extra={
            "input_data": {"password": "hunter2", "pin": 1234, "q": "see X-77"},
            "error_message": "token=abcdefghijklmnop1234",
        },
    )

    assert handler.flush(DEADLINE)
    text = json.dumps(server.stored)
    assert not [s for s in ("hunter2", "1234", "X-77", "abcdefgh") if s in text]
    assert {"password": "[REDACTED]", "pin": "[REDACTED]", "q": "see [REDACTED]"} == (
        only_event(server)["input_data"]
    )


def test_the_handlers_options_reach_the_event(server, attach) -> None:
    """metadata is added to every event; a record may override the agent."""
    handler = attach(server.url, metadata={"release": "1.2", "model": "default"})
    log.info("a", extra={"agent_id": "other", "model": "mine"})

    assert handler.flush(DEADLINE)
    event = only_event(server)
    assert "other" == event["agent_id"]
    assert ("1.2", "mine") == (event["metadata"]["release"], event["metadata"]["model"])


def test_sampling_keeps_errors_and_counts_the_rest(server, attach) -> None:
    """What is sampled out is counted, not warned about; errors are always kept."""
    handler = attach(server.url, sample_rate=0.0)
    log.info("a")
    log.info("b")
    log.error("c")

    assert handler.flush(DEADLINE)
    assert ["c"] == server.messages()
    assert {"sampled": 2} == handler.stats().lost


def test_sampling_may_go_by_event_type(server, attach) -> None:
    """A dict of rates is per event type; a type that is not named is kept."""
    handler = attach(server.url, sample_rate={"log": 0.0})
    log.info("a")
    log.info("b", extra={"event_type": "tool_call"})

    assert handler.flush(DEADLINE)
    assert ["b"] == server.messages()


def test_a_disabled_handler_does_nothing(attach) -> None:
    """enabled=False needs no key, starts no thread and counts nothing."""
    before = threading.active_count()
    handler = attach("https://example.invalid", api_key=None, enabled=False)
    log.info("a")

    assert before == threading.active_count()
    assert handler.flush()
    assert Stats() == handler.stats()
    handler.close()


def test_a_disabled_target_of_a_pair_does_nothing(server) -> None:
    """A pair with a disabled target neither ships nor leaves anything pending."""
    target = AgentMonitorHandler(enabled=False)
    handler = AgentMonitorQueueHandler(handlers=[target])
    log.addHandler(handler)
    log.warning("a")

    assert handler.flush(DEADLINE)
    assert 0 == handler.stats().pending
    handler.close()


def test_the_handler_works_attached_directly(server) -> None:
    """AgentMonitorHandler alone converts on the caller's thread and ships as well."""
    handler = AgentMonitorHandler(
        api_key=KEY, agent_id="bot", api_url=server.url, batch_size=5
    )
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    for number in range(12):
        log.info("event %d", number)

    assert handler.flush(DEADLINE)
    assert [f"event {number}" for number in range(12)] == server.messages()
    assert 12 == handler.stats().accepted


def test_the_handler_works_behind_the_standard_classes(server) -> None:
    """A stdlib QueueHandler and QueueListener may feed our handler."""
    target = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    records: Any = queue.Queue()
    listener = logging.handlers.QueueListener(records, target)
    log.addHandler(logging.handlers.QueueHandler(records))
    log.setLevel(logging.INFO)
    listener.start()
    log.info("hello %s", "world", extra={"event_type": "tool_call"})
    listener.stop()

    assert target.flush(DEADLINE)
    assert "tool_call" == only_event(server)["event_type"]
    assert ["hello world"] == server.messages()


def test_one_record_has_one_event_id_whoever_ships_it(server, attach) -> None:
    """Two handlers that see the same record make the same event of it."""
    first, second = attach(server.url), attach(server.url)
    log.info("a")

    assert first.flush(DEADLINE)
    assert second.flush(DEADLINE)
    assert [2] == list(server.event_ids.values())


def test_one_queue_may_feed_several_targets(server, serve) -> None:
    """Each target of a queue handler counts and ships for itself."""
    other = serve()
    targets = [
        AgentMonitorHandler(api_key=KEY, agent_id="a", api_url=server.url),
        AgentMonitorHandler(
            api_key=KEY, agent_id="b", api_url=other.url, level=logging.ERROR
        ),
    ]
    handler = AgentMonitorQueueHandler(handlers=targets)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("a")
    log.error("b")

    assert handler.flush(DEADLINE)
    assert ["a", "b"] == server.messages()
    assert ["b"] == other.messages()
    assert [2, 1] == [target.stats().accepted for target in targets]
    assert 3 == handler.stats().delivered


def test_a_target_that_is_not_ours_gets_the_records_too(server) -> None:
    """Behind the same listener a console handler formats message and traceback."""

    class Keep(logging.Handler):
        lines: List[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.lines.append(self.format(record))

    target = AgentMonitorHandler(api_key=KEY, agent_id="a", api_url=server.url)
    handler = AgentMonitorQueueHandler(handlers=[target, Keep()])
    log.addHandler(handler)
    try:
        raise KeyError("k")
    except KeyError:
        log.exception("for %s", "both")

    assert handler.flush(DEADLINE)
    (line,) = Keep.lines
    assert line.startswith("for both\nTraceback")


def test_other_handlers_see_the_record_as_it_was(server, attach) -> None:
    """Our handlers change nothing about a record."""
    before: List[Dict[str, Any]] = []
    after: List[Dict[str, Any]] = []

    class Look(logging.Handler):
        def __init__(self, seen: List[Dict[str, Any]]) -> None:
            super().__init__()
            self.seen = seen

        def emit(self, record: logging.LogRecord) -> None:
            self.seen.append(copy.copy(record.__dict__))

    log.addHandler(Look(before))
    handler = attach(server.url)
    log.addHandler(Look(after))
    try:
        raise ValueError("x")
    except ValueError:
        log.exception("%s and %s", "a", ["b"], extra={"input_data": {"c": [1]}})

    assert handler.flush(DEADLINE)
    assert before == after
    assert before[0]["exc_info"][0] is ValueError


def test_a_full_queue_loses_the_newest_and_says_so(serve, attach, caplog) -> None:
    """What finds no room is counted, told in one line, and shipped as a loss event."""
    gate = threading.Event()

    def wait(text: str) -> str:
        gate.wait(DEADLINE)
        return text

    server = serve()
    handler = attach(server.url, queue_size=50, redactor=wait)
    for number in range(200):
        log.info("event %d", number)
    full = handler.stats()
    gate.set()

    assert 200 == full.accepted
    assert full.lost["queue_full"] >= 149
    assert handler.flush(DEADLINE)
    assert "event 0" in server.messages()
    (told,) = [e for e in server.stored if e["event_type"] == "agentmonitor.loss"]
    assert {"queue_full": full.lost["queue_full"]} == told["metadata"]["lost"]
    lines = [r for r in caplog.records if "queue is full" in r.getMessage()]
    assert 1 == len(lines)


@pytest.mark.swallows
def test_a_filter_that_raises_costs_its_record_only(server, attach) -> None:
    """On either thread a broken filter loses one record, counted, and nothing else."""

    def broken(record: logging.LogRecord) -> bool:
        if record.getMessage() == "bad":
            raise RuntimeError("filter")
        return True

    handler = attach(server.url)
    handler.addFilter(broken)
    log.info("bad")
    handler.removeFilter(broken)
    handler.targets()[0].addFilter(broken)
    log.info("bad")
    log.info("good")

    assert handler.flush(DEADLINE)
    assert ["good"] == [m for m in server.messages() if "lost" not in m]
    assert {"filter_error": 2} == handler.stats().lost


def test_a_redactor_that_raises_hides_the_value(server, attach) -> None:
    """Where the redactor fails nothing leaves: the value is replaced."""

    def broken(text: str) -> str:
        raise RuntimeError(text)

    handler = attach(server.url, redactor=broken)
    log.info("a secret", extra={"input_data": {"text": "a secret"}})

    assert handler.flush(DEADLINE)
    assert "a secret" not in json.dumps(server.stored)


class OwnListener(AgentMonitorQueueListener):
    """An application's own kind."""


def test_a_pickle_knows_the_class_of_the_listener(server, monkeypatch) -> None:
    """A handler that is rebuilt in another process has the listener that was asked."""
    monkeypatch.setenv("AGENTMONITOR_API_KEY", KEY)
    handler = AgentMonitorQueueHandler(
        agent_id="bot", api_url=server.url, listener=OwnListener
    )
    again = pickle.loads(pickle.dumps(handler))

    assert type(handler.listener) is type(again.listener) is OwnListener


def test_a_disabled_target_beside_another_waits_for_nothing(server) -> None:
    """What it does not hear is neither accepted nor pending anywhere."""
    handler = AgentMonitorQueueHandler(
        handlers=[
            AgentMonitorHandler(enabled=False),
            AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url),
        ]
    )
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("one")
    log.info("two", extra={"input_data": {"a": object()}})

    assert handler.flush(DEADLINE)
    assert (2, 0) == (handler.stats().accepted, handler.stats().pending)
    assert ["one", "two"] == server.messages()


def test_the_own_key_is_not_sent_in_an_event(server, attach) -> None:
    """Who logs the key, bare and under no name, finds it hidden."""
    key = "a-key-which-the-application-itself-logs"
    handler = attach(server.url, api_key=key, redact_defaults=False)
    log.info("calling with %s", key)
    for number in range(20):
        log.info("call %d", number, extra={"input_data": {"q": f"as {key}"}})

    assert handler.flush(DEADLINE)
    assert 21 == len(server.stored)
    assert key not in json.dumps(server.stored)


def test_what_our_threads_log_does_not_come_back(server, attach) -> None:
    """A redactor that logs through the monitored logger makes no further events."""

    def chatty(text: str) -> str:
        log.info("redacting")
        return text

    handler = attach(server.url, redactor=chatty)
    log.info("one")

    assert handler.flush(DEADLINE)
    assert ["one"] == server.messages()
    assert 1 == handler.stats().accepted


def test_a_repr_that_logs_does_not_come_back_to_a_direct_handler(server) -> None:
    """Converting on the caller's thread, what a repr logs is not taken, but counted."""

    class Chatty:
        def __repr__(self) -> str:
            log.info("in repr")
            return "<chatty>"

    handler = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("one", extra={"thing": Chatty()})

    assert handler.flush(DEADLINE)
    assert ["one", "1 lost: nested"] == server.messages()
    assert {"nested": 1} == handler.stats().lost


def test_a_flush_without_patience_tells_what_is_pending(attach) -> None:
    """flush() is false while something is pending, and says how much."""
    handler = attach(f"http://127.0.0.1:{closed_port()}/api/v1")
    log.info("a")
    result = handler.flush(0.05)

    assert not result
    assert 1 == result.pending
    handler.shutdown(0.05)
    assert {"shutdown": 1} == handler.stats().lost


def test_flush_can_be_awaited(server, attach) -> None:
    """aflush() does what flush() does without blocking the event loop."""
    handler = attach(server.url)

    async def main() -> bool:
        log.info("a")
        one = await handler.aflush(DEADLINE)
        log.info("b")
        return bool(one and await handler.targets()[0].aflush(DEADLINE))

    assert asyncio.run(main())
    assert ["a", "b"] == server.messages()


def test_a_closed_handler_starts_again(server, attach) -> None:
    """What is logged after close() is shipped all the same."""
    handler = attach(server.url)
    log.info("a")
    handler.close()
    log.info("b")
    assert handler.flush(DEADLINE)
    handler.close()
    handler.close()

    assert ["a", "b"] == server.messages()


def test_handlers_survive_pickling_without_their_key(
    server, attach, monkeypatch
) -> None:
    """A pickle holds the options but not the key, which the reader's environment has."""
    handler = attach(server.url, level="WARNING", metadata={"release": "1"})
    handler.set_name("shipping")
    data = pickle.dumps(handler)
    assert KEY.encode() not in data

    monkeypatch.setenv("AGENTMONITOR_API_KEY", KEY)
    again = pickle.loads(data)
    assert (logging.WARNING, "shipping") == (again.level, again.name)
    log.addHandler(again)
    log.warning("a")
    assert handler.flush(DEADLINE)
    assert again.flush(DEADLINE)
    assert [2] == list(server.event_ids.values())


def test_a_pickle_without_any_key_is_a_disabled_handler(server, attach, caplog) -> None:
    """Where no key is to be had the rebuilt handler says so and does nothing."""
    again = pickle.loads(pickle.dumps(attach(server.url).targets()[0]))

    assert not again._config.enabled
    assert "an unpickled handler is disabled: api_key is missing" in caplog.text


def test_the_key_is_in_no_repr(server, attach) -> None:
    """Neither handler nor options show the key."""
    handler = attach(server.url)
    shown = repr([handler, handler.targets(), handler.targets()[0]._config])

    assert KEY not in shown
    assert KEY not in repr(vars(handler.targets()[0]))


def test_what_a_wrong_option_ended_can_be_shown() -> None:
    """A traceback with local variables, as error trackers make, finds half a handler."""
    begun: List[AgentMonitorHandler] = []

    class Noted(AgentMonitorHandler):
        def __init__(self, **options: Any) -> None:
            begun.append(self)
            super().__init__(**options)

    with pytest.raises(ConfigError):
        Noted(api_key=KEY, agent_id="bot", batch_size=0)
    assert "<Noted, not made>" == repr(begun[0])


def test_a_listener_may_be_started_and_stopped_at_will(server) -> None:
    """start and stop are no-ops where there is nothing to do."""
    target = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    records: Any = queue.Queue()
    listener = AgentMonitorQueueListener(records, target)
    listener.stop()
    assert listener.start()
    assert listener.start()
    records.put(log.makeRecord("agent", 20, "f", 1, "a", (), None))
    listener.stop()
    listener.stop()

    assert target.flush(DEADLINE)
    assert ["a"] == server.messages()
    assert not listener.running


@pytest.mark.parametrize(
    "arguments",
    [
        {"handlers": [logging.NullHandler()], "agent_id": "x"},
        {"handlers": ["nobody"]},
        {"handlers": "agentmonitor"},
        {"handlers": [7]},
    ],
)
def test_wrong_wiring_is_told_at_once(arguments: Dict[str, Any]) -> None:
    """Handlers that are none, and options in the wrong place, are ConfigErrors."""
    with pytest.raises(ConfigError, match="handlers"):
        AgentMonitorQueueHandler(**arguments)


def test_half_a_handler_does_not_trouble_the_exit(capfd) -> None:
    """A handler whose construction failed is none that logging.shutdown closes."""
    errors = []
    for kind in (AgentMonitorHandler, AgentMonitorQueueHandler):
        try:
            kind(agent_id="x", api_key="short")
        except ConfigError as error:
            errors.append(error)
    logging.shutdown()

    assert 2 == len(errors)
    assert "" == capfd.readouterr().err
    assert agentmonitor_logging.stats().pending == 0


def _masked(record: logging.LogRecord) -> logging.LogRecord:
    copied = copy.copy(record)
    copied.msg, copied.args = "masked", None
    return copied


class _Preparing(AgentMonitorQueueHandler):
    def prepare(self, record: logging.LogRecord) -> Any:
        return super().prepare(_masked(record))


class _Handling(AgentMonitorHandler):
    def handle(self, record: logging.LogRecord) -> Any:
        return super().handle(_masked(record))


class _Listening(AgentMonitorQueueListener):
    def handle(self, record: logging.LogRecord) -> None:
        super().handle(_masked(record))


OPTIONS = {"api_key": KEY, "agent_id": "bot", "flush_interval": 0.1}


def _with_a_listener(url: str) -> AgentMonitorQueueHandler:
    records: Any = queue.Queue()
    target = AgentMonitorHandler(api_url=url, **OPTIONS)
    listener = _Listening(records, target)
    return AgentMonitorQueueHandler(queue=records, listener=listener)


def _with_a_method_put_in(url: str) -> AgentMonitorQueueHandler:
    handler = AgentMonitorQueueHandler(api_url=url, **OPTIONS)
    prepare = handler.prepare
    handler.prepare = lambda record: prepare(_masked(record))  # type: ignore
    return handler


def _with_a_target(url: str) -> AgentMonitorQueueHandler:
    return AgentMonitorQueueHandler(handlers=[_Handling(api_url=url, **OPTIONS)])


@pytest.mark.parametrize(
    "make",
    [
        lambda url: _Preparing(api_url=url, **OPTIONS),
        _with_a_target,
        _with_a_listener,
        _with_a_method_put_in,
    ],
)
def test_ways_of_ones_own_are_gone_by_every_record(server, make) -> None:
    """What a subclass, or who puts in a method, overrides is asked each time."""
    handler = make(server.url)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.info("secret")

    assert handler.flush(DEADLINE)
    assert "masked" == only_event(server)["metadata"]["message"]


def test_a_record_that_lacks_an_attribute_arrives(server, attach) -> None:
    """A filter of the application may have taken it away."""
    handler = attach(server.url)
    record = log.makeRecord("agent", 20, "/a.py", 1, "bare", (), None)
    del record.exc_info
    handler.handle(record)

    assert handler.flush(DEADLINE)
    assert "bare" == only_event(server)["metadata"]["message"]
    assert {} == handler.stats().lost


@pytest.mark.parametrize("which", ["queue handler", "target"])
def test_a_close_does_not_wait_for_who_reconfigures(server, attach, which) -> None:
    """logging.shutdown holds the handler's lock, dictConfig on another thread the
    module's, and each wants the other: ours is the one that goes without."""
    handler: Any = attach(server.url)
    if which == "target":
        (handler,) = handler.targets()
    held = threading.Event()

    def reconfigure() -> None:
        with logging._lock:  # type: ignore[attr-defined]
            held.set()
            handler.acquire()
            handler.release()

    thread = threading.Thread(target=reconfigure, daemon=True)
    handler.acquire()
    thread.start()
    assert held.wait(DEADLINE)
    handler.close()
    handler.release()
    thread.join(DEADLINE)

    assert not thread.is_alive()


def test_a_loss_after_a_dict_config_is_told_though_that_disables_loggers(
    serve, attach, capfd
) -> None:
    """dictConfig does not wait for a server that hangs, and says what comes of it."""
    server = serve(rule=lambda request: lambda exchange: exchange.hang())
    handler = attach(server.url, shutdown_timeout=0.5, timeout=1.0)
    for number in range(200):
        log.info("event %d", number)
    server.wait_requests(1)
    logging.config.dictConfig({"version": 1})
    deadline = time.monotonic() + DEADLINE
    while handler.stats().pending and time.monotonic() < deadline:
        time.sleep(0.01)

    assert {"shutdown": 200} == handler.stats().lost
    assert "events lost when their handler was closed" in capfd.readouterr().err


def test_what_is_logged_as_a_conversion_begins_does_not_end_it(server) -> None:
    """A finaliser may log there; what an object logs later is still counted."""
    handler = AgentMonitorHandler(api_key=KEY, agent_id="bot", api_url=server.url)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    words = ["last words"]

    class Interrupted(set):
        def add(self, thread: int) -> None:
            super().add(thread)
            while words:
                log.info(words.pop())

    class Talkative:
        def __repr__(self) -> str:
            log.info("of itself")
            return "shown"

    handler._converting = Interrupted()
    log.info("event", extra={"thing": Talkative()})
    assert handler.flush(DEADLINE)

    assert sorted(server.messages()) == ["1 lost: nested", "event", "last words"]
    assert handler.stats().lost == {"nested": 1}
    assert not handler._converting
