"""What every form of configuration promises, on every version of Python."""

from __future__ import annotations

import copy
import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
from typing import Any, Dict, List

import agentmonitor_logging
from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    AgentMonitorQueueListener,
)
from forms import FORMS, HANDLER, QUEUE_HANDLER, dict_config, options_for
from laws import Laws
from servers import DEADLINE

laws = Laws()
for_each_form = laws.law_for_each(FORMS)
for_each_pair = laws.law_for_each([name for name in FORMS if FORMS[name].is_pair])
for_each_with_queue = laws.law_for_each([name for name in FORMS if name != "alone"])
log = logging.getLogger("agent")

RELEASE, PATTERN, NAME = "1.2.3", r"cust-\d+", "shoe_size"
ready_made: Any = None
"""What a configuration refers to as ext://laws.dictconfig.ready_made."""


class Quiet(logging.Filter):
    """Let nothing pass that whispers."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "whisper" not in record.getMessage()


class Loud(logging.Filter):
    """Let another record pass in place of the one that came."""

    def filter(self, record: logging.LogRecord) -> Any:
        loud = logging.makeLogRecord(record.__dict__)
        loud.msg = record.getMessage().upper()
        loud.args = None
        return loud


def configure(form: str, server: Any, **options: Any) -> None:
    logging.config.dictConfig(
        dict_config(FORMS[form], options_for(server.url, **options))
    )


def configure_entries(form: str, server: Any, **entries: Any) -> None:
    """Configure with more keys for the "shipping", "attached" or "logger" entry."""
    config = configuration(form, server)
    config["handlers"][FORMS[form].shipping].update(entries.get("shipping", {}))
    config["handlers"][FORMS[form].attached].update(entries.get("attached", {}))
    config["loggers"]["agent"].update(entries.get("logger", {}))
    config.update(entries.get("top", {}))
    logging.config.dictConfig(config)


def configuration(form: str, server: Any) -> Dict[str, Any]:
    return dict_config(FORMS[form], options_for(server.url))


def delivered(server: Any) -> List[str]:
    """Flush, and return the messages that came."""
    assert agentmonitor_logging.flush(DEADLINE)
    return server.messages()


def attached() -> Any:
    return log.handlers[0]


def our_threads() -> List[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("agentmonitor-")]


# -- the road --------------------------------------------------------------------------


@for_each_form
def every_record_arrives_once(server: Any, form: str) -> None:
    """Nothing is to be called between dictConfig and the first record."""
    configure(form, server)
    for number in range(25):
        log.info("event %d", number)

    server.wait_stored(25)
    assert [f"event {number}" for number in range(25)] == delivered(server)
    assert 25 == agentmonitor_logging.stats().accepted


@for_each_form
def no_thread_runs_before_the_first_record(server: Any, form: str) -> None:
    """Configuring starts no thread and opens no connection."""
    before = threading.active_count()
    configure(form, server)

    assert before == threading.active_count()
    log.info("first")
    assert our_threads()
    assert ["first"] == delivered(server)


@for_each_form
def the_standard_attributes_say_what_is_wired(server: Any, form: str) -> None:
    """Handlers carry the names of their entries, and queue handlers a listener."""
    configure(form, server)

    assert FORMS[form].attached == attached().name
    if form != "alone":
        assert isinstance(attached().listener, AgentMonitorQueueListener)
        assert isinstance(attached().listener, logging.handlers.QueueListener)
        assert 1 == len(attached().listener.handlers)
        assert attached().listener.queue is attached().queue


@for_each_form
def a_disabled_handler_costs_nothing(server: Any, form: str) -> None:
    """With enabled=False there is no thread, no request and no complaint."""
    configure(form, server, enabled=False, api_key=None)
    log.info("unheard")

    assert [] == our_threads()
    assert [] == delivered(server)
    assert 0 == agentmonitor_logging.stats().accepted


# -- levels ----------------------------------------------------------------------------


@for_each_form
def the_logger_level_is_respected(server: Any, form: str) -> None:
    """What the logger leaves out is neither shipped nor counted."""
    configure_entries(form, server, logger={"level": "ERROR"})
    log.warning("below")
    log.error("above")

    assert ["above"] == delivered(server)
    assert 1 == agentmonitor_logging.stats().accepted


@for_each_form
def the_level_of_the_attached_handler_is_respected(server: Any, form: str) -> None:
    """A level on the handler that loggers have holds for all it feeds."""
    configure_entries(form, server, attached={"level": "WARNING"})
    log.info("below")
    log.warning("above")

    assert ["above"] == delivered(server)
    assert 1 == agentmonitor_logging.stats().accepted


@for_each_pair
def the_level_of_the_target_is_respected(server: Any, form: str) -> None:
    """By default, unlike the stdlib's, a target gets what its level asks for."""
    configure_entries(form, server, shipping={"level": "ERROR"})
    log.info("below")
    log.error("above")

    assert ["above"] == delivered(server)
    assert 1 == agentmonitor_logging.stats().accepted


@for_each_pair
def respect_handler_level_may_be_said(server: Any, form: str) -> None:
    """Said explicitly it changes nothing."""
    configure_entries(
        form,
        server,
        shipping={"level": "ERROR"},
        attached={"respect_handler_level": True},
    )
    log.info("below")
    log.error("above")

    assert ["above"] == delivered(server)


@for_each_pair
def respect_handler_level_may_be_denied(server: Any, form: str) -> None:
    """With respect_handler_level False the target's level does not count."""
    configure_entries(
        form,
        server,
        shipping={"level": "ERROR"},
        attached={"respect_handler_level": False},
    )
    log.info("below")
    log.error("above")

    assert ["below", "above"] == delivered(server)


@for_each_form
def logging_disable_is_respected(server: Any, form: str) -> None:
    """logging.disable silences this logging as any other."""
    configure(form, server)
    logging.disable(logging.CRITICAL)
    log.critical("silenced")
    logging.disable(logging.NOTSET)
    log.info("heard")

    assert ["heard"] == delivered(server)


@for_each_form
def a_level_set_later_is_respected(server: Any, form: str) -> None:
    """setLevel on the attached handler holds from then on."""
    configure(form, server)
    log.info("before")
    attached().setLevel(logging.ERROR)
    log.info("after")

    assert ["before"] == delivered(server)


# -- filters ---------------------------------------------------------------------------

WITH_FILTERS = {
    "filters": {
        "quiet": {"()": "laws.dictconfig.Quiet"},
        "loud": {"()": "laws.dictconfig.Loud"},
    }
}


def _filtered(server: Any, form: str, where: str) -> None:
    filters = {where: {"filters": ["quiet"]}}
    configure_entries(form, server, top=WITH_FILTERS, **filters)
    log.info("a whisper")
    log.info("a word")

    assert ["a word"] == delivered(server)
    assert 1 == agentmonitor_logging.stats().accepted


@for_each_form
def a_filter_on_the_logger_is_respected(server: Any, form: str) -> None:
    """A logger's filter decides before any handler."""
    _filtered(server, form, "logger")


@for_each_form
def a_filter_on_the_attached_handler_is_respected(server: Any, form: str) -> None:
    """What the attached handler's filter holds back is not accepted."""
    _filtered(server, form, "attached")


@for_each_pair
def a_filter_on_the_target_is_respected(server: Any, form: str) -> None:
    """What the target's filter holds back is not accepted either."""
    _filtered(server, form, "shipping")


def _replaced(server: Any, form: str, where: str) -> None:
    filters = {where: {"filters": ["loud"]}}
    configure_entries(form, server, top=WITH_FILTERS, **filters)
    log.info("a %s", "word")

    # Before 3.12 whatever is true means: this record passes.
    expected = "A WORD" if sys.version_info >= (3, 12) else "a word"
    assert [expected] == delivered(server)
    assert 1 == agentmonitor_logging.stats().accepted


@for_each_form
def a_filter_of_the_attached_handler_may_replace_the_record(
    server: Any, form: str
) -> None:
    """Where the stdlib lets a filter return another record, that one is shipped."""
    _replaced(server, form, "attached")


@for_each_pair
def a_filter_of_the_target_may_replace_the_record(server: Any, form: str) -> None:
    """The same for the target's filter, behind the queue."""
    _replaced(server, form, "shipping")


# -- formatters ------------------------------------------------------------------------

WITH_FORMATTER = {"formatters": {"bare": {"format": "<%(levelname)s %(message)s>"}}}


def _formatted(server: Any, form: str, where: str) -> None:
    formatter = {where: {"formatter": "bare"}}
    configure_entries(form, server, top=WITH_FORMATTER, **formatter)
    log.info("a %s", "word", extra={"input_data": {"n": 1}})

    assert ["<INFO a word>"] == delivered(server)
    assert {"n": 1} == server.stored[0]["input_data"]


@for_each_form
def a_formatter_on_the_attached_handler_makes_the_message(
    server: Any, form: str
) -> None:
    """A formatter changes the message and nothing else."""
    _formatted(server, form, "attached")


@for_each_pair
def a_formatter_on_the_target_makes_the_message(server: Any, form: str) -> None:
    """The same for the target's, behind the queue."""
    _formatted(server, form, "shipping")


@for_each_form
def a_formatter_leaves_the_traceback_in_its_place(server: Any, form: str) -> None:
    """The error's text stays in its own field, whatever a formatter appends."""
    configure_entries(form, server, top=WITH_FORMATTER, attached={"formatter": "bare"})
    try:
        raise LookupError("nowhere")
    except LookupError:
        log.exception("failed")

    delivered(server)
    event = server.stored[0]
    assert "LookupError: nowhere" == event["error_message"]
    assert "LookupError" == event["metadata"]["error_type"]
    assert "nowhere" in event["metadata"]["traceback"]


# -- queues and listeners --------------------------------------------------------------


@for_each_pair
def a_queue_handler_feeds_several_targets(server: Any, form: str) -> None:
    """Handlers of other makes stand beside ours behind one queue."""
    config = configuration(form, server)
    beside = {"class": "logging.handlers.BufferingHandler", "capacity": 100}
    config["handlers"]["beside"] = beside
    config["handlers"][FORMS[form].attached]["handlers"].append("beside")
    if form.startswith("reference"):
        config["handlers"][FORMS[form].attached]["handlers"][-1] = (
            "cfg://handlers.beside"
        )
    logging.config.dictConfig(config)
    log.info("to both")

    assert ["to both"] == delivered(server)
    attached().listener.stop()
    others = [h for h in attached().listener.handlers if not hasattr(h, "stats")]
    assert ["to both"] == [record.getMessage() for record in others[0].buffer]


def _with_queue(server: Any, form: str, **entry: Any) -> None:
    configure_entries(form, server, attached=entry)
    for number in range(3):
        log.info("event %d", number)
    assert ["event 0", "event 1", "event 2"] == delivered(server)
    assert 3 == agentmonitor_logging.stats().accepted


@laws.law_for_each(["single", "factory", "reference, target last"])
def a_queue_of_the_application_is_used(server: Any, form: str) -> None:
    """A queue that the configuration refers to takes the place of ours."""
    global ready_made
    ready_made = queue.Queue(5)
    _with_queue(server, form, queue="ext://laws.dictconfig.ready_made")

    assert attached().queue is ready_made
    assert attached().listener.queue is ready_made


@laws.law
def dict_config_makes_the_queue_where_it_can(server: Any) -> None:
    """From 3.12 on a class entry may name the queue's class or describe it."""
    if sys.version_info < (3, 12):
        return
    _with_queue(server, "pair", queue="queue.SimpleQueue")
    assert isinstance(attached().queue, queue.SimpleQueue)


@laws.law
def a_described_queue_keeps_its_size(server: Any) -> None:
    """From 3.12 on the queue may have a size; ours takes no such queue's place."""
    if sys.version_info < (3, 12):
        return
    _with_queue(server, "pair", queue={"()": "queue.Queue", "maxsize": 5})
    assert 5 == attached().queue.maxsize


NO_QUEUES = {
    "a name": "queue.SimpleQueue",
    "a description": {"()": "queue.Queue", "maxsize": 5},
    "a number": 7,
    "a list": "ext://sys.path",
}


@laws.law_for_each(NO_QUEUES)
def what_is_no_queue_is_refused(server: Any, given: str) -> None:
    """Where dictConfig makes no queue of it, the entry is a ConfigError at once."""
    config = configuration("single", server)
    config["handlers"]["agent"]["queue"] = copy.deepcopy(NO_QUEUES[given])

    assert _refused(config).startswith("queue is ")


class Gate:
    """A redactor that holds up the listener until it is opened."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def __call__(self, text: str) -> str:
        self.reached.set()
        self.opened.wait(DEADLINE)
        return text


@laws.law_for_each(["ours", "the application's"])
def a_full_queue_costs_only_the_newest(server: Any, whose: str) -> None:
    """A record that finds no room is counted as lost, and the caller goes on."""
    global ready_made
    ready_made = queue.Queue(2)
    gate = Gate()
    configure("single", server, redactor=gate, queue_size=2)
    if whose != "ours":
        given = {"queue": "ext://laws.dictconfig.ready_made", "redactor": gate}
        configure_entries("single", server, attached=given)
    log.info("event 0")
    assert gate.reached.wait(DEADLINE)
    for number in range(1, 6):
        log.info("event %d", number)
    gate.opened.set()

    assert ["event 0", "event 1", "event 2"] == delivered(server)[:3]
    assert {"queue_full": 3} == agentmonitor_logging.stats().lost


class Listener(AgentMonitorQueueListener):
    """A listener class of the application."""


class PlainListener(logging.handlers.QueueListener):
    """One of the stdlib's kind, which the application starts and stops itself."""


@for_each_with_queue
def a_listener_class_may_be_given(server: Any, form: str) -> None:
    """An entry may name the listener's class, and it starts itself."""
    entry = {"listener": "laws.dictconfig.Listener"}
    configure_entries(form, server, attached=entry)
    log.info("heard")

    assert ["heard"] == delivered(server)
    assert type(attached().listener) is Listener


@for_each_with_queue
def what_is_no_listener_class_is_refused(server: Any, form: str) -> None:
    """A name of something else, or of nothing, is told at once."""
    for wrong in ("laws.dictconfig.Quiet", "laws.dictconfig.Missing"):
        config = configuration(form, server)
        config["handlers"][FORMS[form].attached]["listener"] = wrong
        try:
            logging.config.dictConfig(config)
        except ValueError:  # from Python 3.12 on it may be dictConfig's own
            continue
        raise AssertionError(f"{wrong} was accepted")


@for_each_pair
def a_plain_listener_class_is_the_applications_to_start(server: Any, form: str) -> None:
    """A foreign listener is used as it is, and started and stopped by its owner."""
    entry = {"listener": "laws.dictconfig.PlainListener"}
    configure_entries(form, server, attached=entry)
    listener = attached().listener
    listener.start()
    log.info("heard")
    listener.stop()

    assert type(listener) is PlainListener
    assert ["heard"] == delivered(server)


@laws.law
def the_stdlib_queue_handler_may_stand_before_our_target(server: Any) -> None:
    """Our target works behind the stdlib's own pair."""
    records: Any = queue.SimpleQueue()
    target = AgentMonitorHandler(**options_for(server.url))
    listener = logging.handlers.QueueListener(records, target)
    log.addHandler(logging.handlers.QueueHandler(records))
    log.setLevel(logging.INFO)
    listener.start()
    log.info("heard")
    listener.stop()

    assert ["heard"] == delivered(server)


@laws.law
def our_listener_may_stand_behind_the_stdlib_queue_handler(server: Any) -> None:
    """On 3.12 and newer the stdlib's class with our listener works once started."""
    if sys.version_info < (3, 12):
        return
    config = configuration("pair", server)
    config["handlers"]["agent_queue"] = {
        "class": "logging.handlers.QueueHandler",
        "handlers": ["agent"],
        "listener": "agentmonitor_logging.AgentMonitorQueueListener",
    }
    logging.config.dictConfig(config)
    attached().listener.start()
    log.info("heard")
    attached().listener.stop()

    assert ["heard"] == delivered(server)


# -- what is wrong ---------------------------------------------------------------------


def _refused(config: Dict[str, Any]) -> str:
    """Configure in vain, and return the text of our error."""
    try:
        logging.config.dictConfig(config)
    except ValueError as error:
        cause: Any = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        assert isinstance(cause, agentmonitor_logging.ConfigError), repr(error)
        return str(cause)
    raise AssertionError("it was accepted")


@for_each_form
def a_wrong_option_is_told_at_once(server: Any, form: str) -> None:
    """dictConfig fails with a ConfigError that names option, value and what is allowed."""
    config = dict_config(FORMS[form], options_for(server.url, batch_size=0))
    said = _refused(config)

    assert "batch_size is 0, but must be a whole number from 1 to 100" == said


@for_each_form
def a_reference_within_an_option_is_what_it_stands_for(server: Any, form: str) -> None:
    """ext:// and cfg:// mean the same inside a list or dict as at the top of one."""
    options = options_for(
        server.url,
        metadata={"release": "ext://laws.dictconfig.RELEASE", "at": ["cfg://version"]},
        redact_patterns=["ext://laws.dictconfig.PATTERN"],
        redact_keys=["ext://laws.dictconfig.NAME"],
    )
    logging.config.dictConfig(dict_config(FORMS[form], options))
    log.info("for cust-4711", extra={NAME: "42"})

    assert ["for [REDACTED]"] == delivered(server)
    metadata = server.stored[0]["metadata"]
    assert [RELEASE, [1]] == [metadata["release"], metadata["at"]]
    assert "[REDACTED]" == metadata[NAME]


@for_each_form
def a_wrong_key_is_never_shown(server: Any, form: str) -> None:
    """Not even a wrong key stands in the error."""
    key = "too-short-to-be-a-key"
    said = _refused(dict_config(FORMS[form], options_for(server.url, api_key=key)))

    assert said.startswith("api_key must be a string of at least 32 characters")
    assert key not in said


@for_each_form
def a_misspelt_option_gets_a_suggestion(server: Any, form: str) -> None:
    """An option that does not exist is refused with the nearest that does."""
    said = _refused(dict_config(FORMS[form], options_for(server.url, batchsize=5)))

    assert "there is no option 'batchsize'; did you mean batch_size?" == said


@for_each_form
def numbers_are_not_accepted_as_text(server: Any, form: str) -> None:
    """What YAML or an environment makes a string of does not pass for a number."""
    options = options_for(server.url, flush_interval="5")
    said = _refused(dict_config(FORMS[form], options))

    assert said.startswith("flush_interval is '5', but must be a number of seconds")


@laws.law_for_each(["factory", "factory, target last"])
def a_name_that_is_not_configured_is_told_at_once(server: Any, form: str) -> None:
    """A queue handler whose target does not exist is refused when it is configured."""
    config = configuration(form, server)
    config["handlers"][FORMS[form].attached]["handlers"] = ["nobody"]

    assert "'nobody'" in _refused(config)


@laws.law_for_each(["factory", "single"])
def handlers_and_options_exclude_each_other(server: Any, form: str) -> None:
    """Options beside handlers are refused, as they would reach nobody."""
    config = configuration("factory", server)
    entry = config["handlers"]["agent_queue"]
    if form == "single":
        entry = config["handlers"]["agent"]
        entry.pop("class")
        entry.update({"()": QUEUE_HANDLER, "handlers": ["agent_queue"]})
    else:
        entry["batch_size"] = 5

    assert "give either handlers or options" in _refused(config)


# -- the rest of dictConfig ------------------------------------------------------------


@for_each_form
def an_incremental_configuration_changes_levels_only(server: Any, form: str) -> None:
    """After it the same handler ships what its new level lets through."""
    configure(form, server)
    handler = attached()
    levels = {FORMS[form].attached: {"level": "ERROR"}}
    logging.config.dictConfig({"version": 1, "incremental": True, "handlers": levels})
    log.info("below")
    log.error("above")

    assert handler is attached()
    assert ["above"] == delivered(server)


@for_each_form
def existing_loggers_are_disabled_as_dict_config_says(server: Any, form: str) -> None:
    """disable_existing_loggers means for our handlers what it means for any."""
    early = logging.getLogger(f"early {form}")
    config = configuration(form, server)
    config["disable_existing_loggers"] = True
    config["root"] = {"handlers": [FORMS[form].attached], "level": "INFO"}
    logging.config.dictConfig(config)
    early.info("disabled")
    logging.getLogger(f"late {form}").info("heard")

    assert ["heard"] == delivered(server)


@for_each_form
def a_handler_on_two_loggers_ships_each_record_once(server: Any, form: str) -> None:
    """A record that propagates to the same handler twice comes twice, as with any,
    and one that does not comes once."""
    config = configuration(form, server)
    config["loggers"]["agent"]["propagate"] = False
    config["root"] = {"handlers": [FORMS[form].attached], "level": "INFO"}
    logging.config.dictConfig(config)
    log.info("from agent")
    logging.getLogger().info("from root")

    assert ["from agent", "from root"] == delivered(server)


INI = """
[loggers]
keys=root,agent
[handlers]
keys=agent
[formatters]
keys=
[logger_root]
handlers=
[logger_agent]
level=INFO
qualname=agent
handlers=agent
[handler_agent]
class={kind}
args=()
kwargs={options!r}
"""


@laws.law_for_each([HANDLER, QUEUE_HANDLER])
def an_ini_file_configures_too(server: Any, kind: str) -> None:
    """fileConfig with class and kwargs works, as old as it is."""
    import configparser

    parser = configparser.RawConfigParser()
    parser.read_string(INI.format(kind=kind, options=options_for(server.url)))
    logging.config.fileConfig(parser, disable_existing_loggers=False)
    log.info("from a file")

    assert ["from a file"] == delivered(server)


@laws.law
def the_key_is_in_no_repr(server: Any) -> None:
    """No handler of any form shows its key."""
    for form in FORMS:
        configure(form, server)
        assert "test-key" not in repr(attached())
        assert "test-key" not in repr(getattr(attached(), "listener", None))


@laws.law
def the_classes_are_the_stdlibs_kind(server: Any) -> None:
    """What checks for the stdlib's classes finds them."""
    assert issubclass(AgentMonitorQueueHandler, logging.handlers.QueueHandler)
    assert issubclass(AgentMonitorQueueListener, logging.handlers.QueueListener)
    assert issubclass(AgentMonitorHandler, logging.Handler)
