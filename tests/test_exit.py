"""Leaving: whatever way a process ends, what it logged arrives, and it does end."""

from __future__ import annotations

import re
import textwrap
import threading
from typing import Any, Callable, Dict, List

import pytest

from interpreters import Interpreter, Outcome, assert_clean, interpreter, run
from servers import DEADLINE, Exchange, Reply, ScriptedServer, closed_port

SETUP = """
import atexit, logging, os, signal, sys, threading, time
from forms import CONFIGURED

form, url = sys.argv[1:]
log = logging.getLogger("agent")

def say(count, start=0):
    for number in range(start, start + count):
        log.info("event %d", number)
"""

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
}
"""Endings that differ in when the events are logged; all of them leave quietly."""

AFTER_SHUTDOWN = """
import atexit
atexit.register(lambda: say(2, start=1))
"""
"""A callback registered before anybody imports logging runs after logging.shutdown."""


def run_form(interpreter: Interpreter, ending: str, form: str, url: str) -> Outcome:
    return run(interpreter, SETUP + textwrap.dedent(ending), form, url)


def assert_delivered_once(server: ScriptedServer, count: int) -> None:
    assert sorted(f"event {n}" for n in range(count)) == sorted(server.messages())
    assert count == len(server.event_ids)


@pytest.mark.parametrize("ending", ENDINGS)
def test_everything_arrives_once(
    interpreter: Interpreter, server: ScriptedServer, ending: str
) -> None:
    """However a process ends by itself, each event arrives once and nothing is said."""
    outcome = run_form(interpreter, ENDINGS[ending], "single", server.url)

    assert_clean(outcome)
    assert "" == outcome.stderr
    assert_delivered_once(server, 500 if "more than" in ending else 3)


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


def hang(exchange: Exchange) -> None:
    exchange.hang()


def drip(exchange: Exchange) -> None:
    exchange.drip(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", pause=1.0)


ILLS: Dict[str, Callable[[Request], Any]] = {
    "hangs": lambda request: hang,
    "drips": lambda request: drip,
    "always 503": lambda request: 503,
    "always 401": lambda request: 401,
    "always 503, retry later": lambda request: Reply(503, Retry_After="60"),
}

GRACE = 0.5
"""Seconds beyond shutdown_timeout that a process may take to end."""

LEAVING = """
CONFIGURED[form](url, shutdown_timeout=1.0, flush_interval=0.2)
say({before})
if {pause}:
    time.sleep(0.5)
say({after}, start={before})
print(time.time(), flush=True)
"""


def seconds_to_leave(outcome: Outcome) -> float:
    return outcome.ended_at - float(outcome.stdout.split()[0])


def lines_about_losses(outcome: Outcome) -> List[str]:
    return [line for line in outcome.stderr.splitlines() if " lost" in line]


def assert_left_in_time(outcome: Outcome, count: int) -> None:
    assert_clean(outcome)
    assert seconds_to_leave(outcome) < 1.0 + GRACE
    lines = lines_about_losses(outcome)
    assert 1 == len(lines), outcome
    assert re.search(rf"\b{count} events lost at exit", lines[0]), lines


def examine_together(cases: Dict[str, Callable[[], None]]) -> None:
    """Run *cases* at once: they are slow, and nobody is busy."""
    failed: List[BaseException] = []

    def attempt(name: str, case: Callable[[], None]) -> None:
        try:
            case()
        except BaseException as error:
            failed.append(AssertionError(f"{name}: {error}"))

    threads = [threading.Thread(target=attempt, args=item) for item in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * DEADLINE)
    if failed:
        raise failed[0]


@pytest.fixture
def ill_urls(serve: Callable[..., ScriptedServer]) -> Dict[str, str]:
    """Return a URL for each way not to answer."""
    urls = {name: serve(rule=rule).url for name, rule in ILLS.items()}
    urls["refuses connections"] = f"http://127.0.0.1:{closed_port()}"
    return urls


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
