"""Leaving: whatever way a process ends, what it logged arrives, and it does end."""

from __future__ import annotations

import re
import textwrap
from typing import Callable, Dict

import pytest

from interpreters import Interpreter, Outcome, assert_clean, interpreter, run
from leaving import (
    GRACE,
    ILLS,
    SETUP,
    assert_delivered_once,
    examine_together,
    ill_urls,
    lines_about_losses,
    run_form,
    seconds_to_leave,
)
from servers import Reply, ScriptedServer, Slow, closed_port

ENDINGS: Dict[str, str] = {
    "main returns": """
        def main():
            CONFIGURED[form](url)
            say(3)

        if __name__ == "__main__":
            main()
    """,
    "the module ends, with more than a batch": """
        CONFIGURED[form](url)
        say(500)
    """,
    "atexit, registered before and after": """
        atexit.register(say, 1, start=1)
        CONFIGURED[form](url)
        atexit.register(say, 1, start=2)
        say(1)
    """,
    "nothing before atexit": """
        atexit.register(say, 2, start=1)
        CONFIGURED[form](url)
        atexit.register(say, 1)
    """,
    "a thread outlives main": """
        CONFIGURED[form](url)

        def last_words():
            threading.main_thread().join()
            say(2, start=1)

        threading.Thread(target=last_words).start()
        say(1)
    """,
    "nothing before a thread that outlives main": """
        CONFIGURED[form](url)

        def last_words():
            threading.main_thread().join()
            say(3)

        threading.Thread(target=last_words).start()
    """,
    "shut down by hand": """
        import agentmonitor_logging
        CONFIGURED[form](url)
        say(1)
        agentmonitor_logging.shutdown()
        say(1, start=1)
        logging.shutdown()
        say(1, start=2)
    """,
    "an event loop in atexit": """
        import agentmonitor_logging, asyncio
        atexit.register(lambda: asyncio.run(agentmonitor_logging.aflush()))
        CONFIGURED[form](url)
        atexit.register(lambda: asyncio.run(agentmonitor_logging.aflush()))
        say(3)
    """,
    "a finaliser before and after": """
        import weakref
        class Owner: pass
        owner = Owner()
        weakref.finalize(owner, say, 1)
        CONFIGURED[form](url)
        weakref.finalize(owner, say, 1, start=1)
        say(1, start=2)
    """,
    "an event loop is cancelled": """
        import asyncio
        async def forever():
            try:
                await asyncio.sleep(20)
            finally:
                say(1, start=1)
        async def main():
            asyncio.ensure_future(forever())
            await asyncio.sleep(0)
            say(1)
        CONFIGURED[form](url)
        asyncio.run(main())
        say(1, start=2)
    """,
    "a thread exits after main": """
        CONFIGURED[form](url)
        def last_words():
            threading.main_thread().join()
            say(2, start=1)
            sys.exit(3)
        threading.Thread(target=last_words).start()
        say(1)
        sys.exit(0)
    """,
    "as a module": """
        import runpy
        if __name__ == "__main__":
            runpy.run_path(__file__, run_name="again")
        else:
            CONFIGURED[form](url)
            say(3)
    """,
}
"""Endings that differ in when the events are logged; all of them leave quietly."""

RECONFIGURE = """
import gc, logging.config

def reconfigure():
    loggers = {"agent": {"handlers": []}}
    logging.config.dictConfig({"version": 1, "loggers": loggers})
    gc.collect()
"""
RIGHT_BEFORE: Dict[str, str] = {
    "a server that is slow": """
        CONFIGURED[form](url)
        say(3)
        reconfigure()
    """,
    "a redactor that needs its lock": """
        def meddle(text):
            logging.getLogger("new.%d" % id(text)).debug("on the way")
            return text

        CONFIGURED[form](url, redactor=meddle)
        say(3)
        reconfigure()
    """,
    "a redactor that is slow": """
        def dawdle(text):
            if text.startswith("event"):
                time.sleep(0.4)
            return text

        CONFIGURED[form](url, redactor=dawdle)
        say(3)
        reconfigure()
    """,
}
"""What is at work when dictConfig closes the handler, and the program ends with it."""

AFTER_SHUTDOWN = """
import atexit
atexit.register(lambda: say(2, start=1))
"""
"""A callback registered before anybody imports logging runs after logging.shutdown."""


@pytest.mark.parametrize("ending", ENDINGS)
def test_everything_arrives_once(
    interpreter: Interpreter, server: ScriptedServer, ending: str
) -> None:
    """However a process ends by itself, each event arrives once and nothing is said."""
    outcome = run_form(interpreter, ENDINGS[ending], "single", server.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_delivered_once(server, 500 if "more than" in ending else 3)


def test_everything_arrives_once_after_a_dict_config_right_before(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """What dictConfig does not wait for, the end of the process does."""

    def case(script: str) -> Callable[[], None]:
        def examine() -> None:
            server = serve(rule=lambda request: Slow(0.8, Reply(200)))
            whole = RECONFIGURE + textwrap.dedent(script)
            outcome = run_form(interpreter, whole, "single", server.url)

            assert_clean(outcome)
            assert "" == outcome.stderr
            assert_delivered_once(server, 3)

        return examine

    examine_together({what: case(RIGHT_BEFORE[what]) for what in RIGHT_BEFORE})


@pytest.mark.parametrize("form", ["pair", "alone", "function"])
def test_everything_arrives_once_in_each_form(
    interpreter: Interpreter, server: ScriptedServer, form: str
) -> None:
    """The form of the configuration makes no difference, before or in the end."""
    ending = ENDINGS["nothing before atexit"]
    outcome = run_form(interpreter, ending, form, server.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_delivered_once(server, 3)


@pytest.mark.parametrize("form", ["pair", "alone"])
def test_events_after_logging_shutdown_arrive(
    interpreter: Interpreter, server: ScriptedServer, form: str
) -> None:
    """Even what is logged after logging has shut down is delivered before the end."""
    script = AFTER_SHUTDOWN + SETUP + "CONFIGURED[form](url); say(1)"
    outcome = run(interpreter, script, form, server.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_delivered_once(server, 3)


def test_an_exit_code_stays(interpreter: Interpreter, server: ScriptedServer) -> None:
    """sys.exit(3) ends with 3, and the events arrive."""
    ending = "CONFIGURED[form](url); say(3); sys.exit(3)"
    outcome = run_form(interpreter, ending, "single", server.url)

    assert_clean(outcome, returncode=3)
    assert "" == outcome.stderr
    assert_delivered_once(server, 3)


def test_an_unhandled_exception_stays_the_programs_own(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """A program that fails shows its own traceback and nothing of ours."""
    ending = "CONFIGURED[form](url); say(3); raise LookupError('of the program')"
    outcome = run_form(interpreter, ending, "single", server.url)

    assert 1 == outcome.returncode
    assert 1 == outcome.stderr.count("Traceback")
    assert outcome.stderr.rstrip().endswith("LookupError: of the program")
    assert "agentmonitor" not in outcome.stderr
    assert_delivered_once(server, 3)


def test_a_hook_that_logs_the_exception_is_heard(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """sys.excepthook may log what ends the program."""
    ending = """
CONFIGURED[form](url)
sys.excepthook = lambda *error: log.error("event 2", exc_info=error)
say(2)
raise LookupError
"""
    outcome = run_form(interpreter, ending, "single", server.url)

    assert_clean(outcome, returncode=1)
    assert_delivered_once(server, 3)


def test_an_exit_ends_what_it_is_in(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """sys.exit inside of an event and of a decorated generator's loop: both arrive."""
    ending = """
import agentmonitor_logging
CONFIGURED[form](url)

@agentmonitor_logging.log_agent_call(logger="agent")
def numbers():
    yield 1
    yield 2

with agentmonitor_logging.agent_event("leaving", logger="agent"):
    for number in numbers():
        sys.exit(3)
"""
    outcome = run_form(interpreter, ending, "single", server.url)

    assert_clean(outcome, returncode=3)
    assert "" == outcome.stderr
    assert 2 == len(server.stored) == len(server.event_ids)


TOO_LATE: Dict[str, str] = {
    "a finaliser": """
import builtins
class Garbage:
    def __del__(self):
        log.info("last words")
builtins.kept = Garbage()
""",
    "an open generator": """
import agentmonitor_logging
@agentmonitor_logging.log_agent_call(logger="agent")
def numbers():
    yield 1
kept = numbers()
next(kept)
""",
}
"""What logs when the interpreter takes everything down, and no import works."""


@pytest.mark.parametrize("form", ["single", "alone"])
def test_what_comes_too_late_neither_hangs_nor_goes_unsaid(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer], form: str
) -> None:
    """What is logged while modules are torn down cannot be sent: one line says so."""

    def case(script: str) -> Callable[[], None]:
        def examine() -> None:
            server = serve()
            whole = "CONFIGURED[form](url)\nsay(3)\n" + script
            outcome = run_form(interpreter, whole, form, server.url)
            assert_clean(outcome)
            assert_delivered_once(server, 3)
            (line,) = outcome.stderr.splitlines()
            assert "1 event lost at exit" in line

        return examine

    examine_together({name: case(script) for name, script in TOO_LATE.items()})


BABBLING = """
CONFIGURED[form](url, sample_rate={"noise": 0.0})
say(3)

def babble():
    while True:
        log.info("noise", extra={"event_type": "noise"})
        time.sleep(0.001)

threading.Thread(target=babble, daemon=True).start()
"""


def test_what_others_go_on_logging_does_not_end_the_wait(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """The end waits for the events before it, not for as many that are sampled out."""
    server = serve(rule=lambda request: Slow(1.0, Reply(200)))
    outcome = run_form(interpreter, BABBLING, "alone", server.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_delivered_once(server, 3)


CTRL_C = """
signal.signal(signal.SIGINT, signal.default_int_handler)
CONFIGURED[form](url)
say(3)
threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()
time.sleep(20)
"""


def test_ctrl_c_is_an_exit_as_any(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """An interrupted program shows its KeyboardInterrupt, and the events arrive."""
    outcome = run_form(interpreter, CTRL_C, "single", server.url)

    assert outcome.returncode in (-2, 130)
    assert 1 == outcome.stderr.count("Traceback")
    assert outcome.stderr.rstrip().endswith("KeyboardInterrupt")
    assert "agentmonitor" not in outcome.stderr
    assert_delivered_once(server, 3)


@pytest.mark.parametrize("stderr", ["sys.stderr.close()", "sys.stderr = None"])
def test_a_missing_stderr_does_not_matter(
    interpreter: Interpreter, stderr: str
) -> None:
    """Where nobody can be told of a loss, the process still ends as it should."""
    ending = f"CONFIGURED[form](url, shutdown_timeout=0.2); say(3); {stderr}"
    url = f"http://127.0.0.1:{closed_port()}"
    outcome = run_form(interpreter, ending, "single", url)

    assert 0 == outcome.returncode
    assert "Traceback" not in outcome.stderr


# -- a server that does not answer -----------------------------------------------------


LEAVING = """
CONFIGURED[form](url, shutdown_timeout=1.0, flush_interval=0.2)
say({before})
if {pause}:
    time.sleep(0.5)
say({after}, start={before})
print(time.time(), flush=True)
"""


def assert_left_in_time(outcome: Outcome, count: int) -> None:
    assert_clean(outcome)
    assert seconds_to_leave(outcome) < 1.0 + GRACE
    lines = lines_about_losses(outcome)
    assert 1 == len(lines), outcome
    assert re.search(rf"\b{count} events lost at exit", lines[0]), lines


def test_the_end_is_bounded_whatever_the_server_does(
    interpreter: Interpreter, ill_urls: Dict[str, str]
) -> None:
    """With no answer a process ends within shutdown_timeout, and says once how many
    events that cost."""

    def case(url: str) -> Callable[[], None]:
        ending = LEAVING.format(before=7, after=0, pause=False)
        return lambda: assert_left_in_time(
            run_form(interpreter, ending, "single", url), 7
        )

    examine_together({name: case(url) for name, url in ill_urls.items()})


def test_no_patience_is_no_wait(
    interpreter: Interpreter, ill_urls: Dict[str, str]
) -> None:
    """With shutdown_timeout=0 a process ends at once, and says what that costs."""
    ending = """
CONFIGURED[form](url, shutdown_timeout=0)
say(7)
print(time.time(), flush=True)
"""

    def case(url: str) -> Callable[[], None]:
        def examine() -> None:
            outcome = run_form(interpreter, ending, "single", url)
            assert_clean(outcome)
            assert seconds_to_leave(outcome) < GRACE
            (line,) = lines_about_losses(outcome)
            assert "7 events lost at exit" in line

        return examine

    some = ("hangs", "refuses connections")
    examine_together({name: case(ill_urls[name]) for name in some})


def test_the_end_is_bounded_while_a_request_is_under_way(
    interpreter: Interpreter, ill_urls: Dict[str, str]
) -> None:
    """The same when delivery had failed, or a request hung, long before the end."""

    def case(url: str) -> Callable[[], None]:
        ending = LEAVING.format(before=4, after=150, pause=True)
        return lambda: assert_left_in_time(
            run_form(interpreter, ending, "single", url), 154
        )

    examine_together({name: case(url) for name, url in ill_urls.items()})


def test_the_end_is_bounded_in_each_form(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """The form of the configuration does not lengthen the end, nor silence it."""
    url = serve(rule=ILLS["hangs"]).url

    def case(form: str) -> Callable[[], None]:
        ending = LEAVING.format(before=7, after=0, pause=False)
        return lambda: assert_left_in_time(run_form(interpreter, ending, form, url), 7)

    examine_together({form: case(form) for form in ("pair", "alone", "function")})


def test_several_handlers_share_one_budget(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """Three handlers whose server hangs take no longer to end than one."""
    ending = """
import agentmonitor_logging
for name in ("one", "two", "three"):
    agentmonitor_logging.configure(
        logger="agent." + name, api_key="k" * 40, agent_id="bot", api_url=url,
        shutdown_timeout=1.0,
    )
    logging.getLogger("agent." + name).info("event")
print(time.time(), flush=True)
"""
    url = serve(rule=ILLS["hangs"]).url
    outcome = run_form(interpreter, ending, "single", url)

    assert_clean(outcome)
    assert seconds_to_leave(outcome) < 1.0 + GRACE
    assert lines_about_losses(outcome)


@pytest.mark.parametrize("names", ["well ill", "ill well"])
@pytest.mark.parametrize("ending", ["", "agentmonitor_logging.shutdown()"])
def test_a_server_that_hangs_takes_no_time_from_another(
    interpreter: Interpreter,
    serve: Callable[..., ScriptedServer],
    names: str,
    ending: str,
) -> None:
    """Whichever is closed first, the server that answers gets its events."""
    well, ill = serve(), serve(rule=ILLS["hangs"])
    script = f"""
import agentmonitor_logging
urls = {{"well": "{well.url}", "ill": "{ill.url}"}}
for name in "{names}".split():
    agentmonitor_logging.configure(
        logger="agent." + name, api_key="k" * 40, agent_id="bot", api_url=urls[name],
        shutdown_timeout=1.0,
    )
    logging.getLogger("agent." + name).info("event of " + name)
{ending}
"""
    assert_clean(run_form(interpreter, script, "single", well.url))
    assert ["event of well"] == well.messages()


def test_a_queue_of_processes_takes_no_time_from_another(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """A handler that is closed before all others has them deliver beside it."""
    well, ill = serve(), serve(rule=ILLS["hangs"])
    script = f"""
import agentmonitor_logging, multiprocessing
well = {{"api_url": "{well.url}", "flush_interval": 600}}
ill = {{"api_url": "{ill.url}", "queue": multiprocessing.Queue()}}
for name, options in (("well", well), ("ill", ill)):
    agentmonitor_logging.configure(
        logger="agent." + name, api_key="k" * 40, agent_id="bot",
        shutdown_timeout=1.5, **options
    )
    logging.getLogger("agent." + name).info("event of " + name)
"""
    assert_clean(run_form(interpreter, script, "single", well.url))
    assert ["event of well"] == well.messages()


@pytest.mark.parametrize("form", ["single", "pair", "alone"])
def test_what_a_close_gave_up_is_not_waited_for_again(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer], form: str
) -> None:
    """The end of a process after logging.shutdown() takes no time, and that one's."""
    server = serve(rule=ILLS["hangs"])
    ending = """
CONFIGURED[form](url, shutdown_timeout=2.0)
say(3)
began = time.monotonic()
logging.shutdown()
assert time.monotonic() - began < 3.0
print(time.time(), flush=True)
"""
    outcome = run_form(interpreter, ending, form, server.url)

    assert_clean(outcome)
    assert seconds_to_leave(outcome) < 1.5


def test_each_handler_and_each_occasion_tells_its_loss(
    interpreter: Interpreter,
) -> None:
    """What one handler lost, or lost when it was closed, hides no other loss at exit."""
    ending = """
import agentmonitor_logging
for name, count in (("one", 2), ("two", 3)):
    handler = agentmonitor_logging.configure(
        logger="agent." + name, api_key="k" * 40, agent_id="bot", api_url=url,
        shutdown_timeout=0.2,
    )
    for _ in range(count):
        logging.getLogger("agent." + name).info("event")
handler.close()
for _ in range(4):
    logging.getLogger("agent.two").info("event")
"""
    url = f"http://127.0.0.1:{closed_port()}"
    outcome = run_form(interpreter, ending, "single", url)

    assert_clean(outcome)
    lost = [int(line.split()[1]) for line in lines_about_losses(outcome)]
    assert [2, 3, 4] == sorted(lost), outcome


def test_what_the_root_logger_ships_is_told_on_stderr_too(
    interpreter: Interpreter,
) -> None:
    """A loss is told where the root logger has no other handler than ours."""
    ending = """
import agentmonitor_logging
agentmonitor_logging.configure(
    api_key="k" * 40, agent_id="bot", api_url=url, shutdown_timeout=0.3
)
say(7)
"""
    url = f"http://127.0.0.1:{closed_port()}"
    outcome = run_form(interpreter, ending, "single", url)

    assert_clean(outcome)
    assert 1 == len(lines_about_losses(outcome)), outcome
