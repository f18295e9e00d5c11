"""SIGTERM with `flush_on_sigterm`: delivered first, ended by the signal all the same."""

from __future__ import annotations

import re
import signal
import sys
from typing import Callable, Dict

import pytest

from interpreters import Interpreter, Outcome, assert_clean, interpreter
from leaving import (
    GRACE,
    assert_delivered_once,
    examine_together,
    hang,
    ill_urls,
    lines_about_losses,
    run_form,
    seconds_to_leave,
)
from servers import ScriptedServer

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGTERM")

TERMINATED = -signal.SIGTERM
TERM = """
def term():
    os.kill(os.getpid(), signal.SIGTERM)

def term_after(seconds):
    def wait():
        time.sleep(seconds)
        term()
    threading.Thread(target=wait, daemon=True).start()

def configure(**options):
    CONFIGURED[form](url, **{"flush_on_sigterm": True, **options})
"""


def run_signalled(
    interpreter: Interpreter, script: str, form: str, url: str
) -> Outcome:
    return run_form(interpreter, TERM + script, form, url)


STATES: Dict[str, str] = {
    "asleep": "say(30); term_after(0.2); time.sleep(20)",
    "waiting for a lock": """
say(30)
term_after(0.2)
lock = threading.Lock()
lock.acquire()
lock.acquire()
""",
    "gone, with a thread that outlives it": """
say(29)
def last_words():
    threading.main_thread().join()
    say(1, start=29)
    # Python hears no signal in the moment before it waits for something.
    time.sleep(0.2)
    term()
    time.sleep(20)
threading.Thread(target=last_words).start()
""",
    "in atexit": "say(29); atexit.register(term); atexit.register(say, 1, start=29)",
    "in atexit, where nothing was logged before": """
def last_words():
    say(30)
    term()
atexit.register(last_words)
""",
    "in a filter of its logger": """
class Fatal(logging.Filter):
    def filter(self, record):
        if record.getMessage() == "event 29":
            term()
        return True
log.addFilter(Fatal())
say(50)
""",
    "in dictConfig, with a worker that needs its lock": """
class Slow(logging.Handler):
    def close(self):
        term()
        time.sleep(0.2)
        super().close()
kept = Slow()
say(30)
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
say(30)
""",
    "in a decorated function": """
import agentmonitor_logging
@agentmonitor_logging.log_agent_call
def main():
    say(30)
    term()
    say(30)
main()
""",
    "in an event loop": """
import asyncio
async def main():
    say(30)
    term_after(0.1)
    await asyncio.sleep(20)
asyncio.run(main())
""",
}
"""What the main thread is at when the signal comes, after thirty events."""

MEDDLER = """
import logging.config

def meddle(event):
    logging.getLogger("new.%d" % id(event)).debug("on the way")
    cold = logging.getLogger("cold")
    cold._cache.clear()
    cold.debug("on the way")
    return event

configure(redactor=meddle)
"""


def test_everything_arrives_whatever_the_main_thread_does(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """Wherever SIGTERM meets the main thread, what was logged before arrives, once,
    and the process ends by the signal."""

    def case(script: str) -> Callable[[], None]:
        def examine() -> None:
            server = serve()
            outcome = run_signalled(interpreter, MEDDLER + script, "single", server.url)
            assert_clean(outcome, TERMINATED)
            assert "" == outcome.stderr
            assert_delivered_once(server, 30)

        return examine

    examine_together({name: case(script) for name, script in STATES.items()})


LOCKED = """
from agentmonitor_logging import _buffer
configure()
said = []

def spy(frame, event, arg):
    in_a_put = frame.f_code is _buffer.Buffer.add_fitting.__code__
    if event == "call" and in_a_put and said[20:]:
        sys.setprofile(None)
        term()

sys.setprofile(spy)
while True:
    said.append(None)
    log.info("event %d", len(said))
    print(len(said), flush=True)
"""

BUSY = """
configure()
term_after(0.1)
number = 0
while True:
    log.info("event %d", number)
    os.write(1, b"%d\\n" % number)
    number += 1
"""


@pytest.mark.parametrize("script", [LOCKED, BUSY], ids=["locked", "busy"])
def test_the_main_thread_stands_still_once_it_is_out_of_logging(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer], script: str
) -> None:
    """What the program has seen logged is delivered, even where the signal comes in the
    middle of a put that holds a lock; and it logs no more that would be lost."""

    def case(form: str) -> Callable[[], None]:
        def examine() -> None:
            server = serve()
            outcome = run_signalled(interpreter, script, form, server.url)
            assert_clean(outcome, TERMINATED)
            assert "" == outcome.stderr
            # The last one may be told by half.
            told = outcome.stdout.splitlines(keepends=True)
            said = {f"event {line.strip()}" for line in told if line.endswith("\n")}
            arrived = server.messages()
            assert said <= set(arrived)
            assert len(arrived) == len(set(arrived)) <= len(said) + 1

        return examine

    forms = ["alone"] if script is LOCKED else ["single", "pair", "alone"]
    examine_together({form: case(form) for form in forms})


def test_the_end_is_bounded_and_the_loss_is_told(
    interpreter: Interpreter, ill_urls: Dict[str, str]
) -> None:
    """With no answer the process ends within shutdown_timeout, and one line says how
    many events that cost, and why."""
    script = """
configure(shutdown_timeout=1.0)
say(7)
print(time.time(), flush=True)
term()
"""

    def case(url: str) -> Callable[[], None]:
        def examine() -> None:
            outcome = run_signalled(interpreter, script, "single", url)
            assert_clean(outcome, TERMINATED)
            assert seconds_to_leave(outcome) < 1.0 + GRACE
            (line,) = lines_about_losses(outcome)
            assert re.search(r"\b7 events lost at SIGTERM: .", line), line

        return examine

    examine_together({name: case(url) for name, url in ill_urls.items()})


def test_a_second_signal_ends_the_process_at_once(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """Who sends SIGTERM twice does not wait; nor does a close that is under way."""
    url = serve(rule=lambda request: hang).url
    waiting = """
configure(shutdown_timeout=15.0)
say(3)
term_after(0.1)
term_after(0.4)
print(time.time(), flush=True)
time.sleep(20)
"""
    closing = waiting.replace("time.sleep(20)", "")

    def case(script: str) -> Callable[[], None]:
        def examine() -> None:
            outcome = run_signalled(interpreter, script, "single", url)
            assert_clean(outcome, TERMINATED)
            assert seconds_to_leave(outcome) < 3.0

        return examine

    examine_together({"waiting": case(waiting), "closing": case(closing)})


OTHERS: Dict[str, str] = {
    "a handler that was there": """
signal.signal(signal.SIGTERM, mine)
configure()
say(3)
term()
""",
    "a handler that comes later": """
configure()
signal.signal(signal.SIGTERM, mine)
say(3)
term()
""",
    "an application that ignores it": """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
configure()
say(3)
term()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
sys.exit(7)
""",
    "configured by another thread": """
thread = threading.Thread(target=configure)
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
say(3)
sys.exit(7)
""",
    "no handler with the option": """
configure(flush_on_sigterm=False)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
configure()
ours = signal.getsignal(signal.SIGTERM)
assert callable(ours)
configure()
assert signal.getsignal(signal.SIGTERM) is ours
say(3)
configure(flush_on_sigterm=False)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
configure()
signal.signal(signal.SIGTERM, mine)
logging.shutdown()
assert signal.getsignal(signal.SIGTERM) is mine
sys.exit(7)
""",
}
"""Who else may have a say about SIGTERM; all of them leave with 7."""


def test_a_disposition_of_the_application_stays(
    interpreter: Interpreter, serve: Callable[..., ScriptedServer]
) -> None:
    """A disposition that somebody chose is never replaced, and the default comes back
    when the last handler with the option is closed."""
    mine = "def mine(*_): sys.exit(7)\n"

    def case(script: str) -> Callable[[], None]:
        def examine() -> None:
            server = serve()
            outcome = run_signalled(interpreter, mine + script, "single", server.url)
            assert_clean(outcome, 7)
            assert "" == outcome.stderr
            assert_delivered_once(server, 3)

        return examine

    examine_together({name: case(script) for name, script in OTHERS.items()})


CHAINED = """
configure()
before = signal.getsignal(signal.SIGTERM)
def mine(*args):
    print("first", flush=True)
    before(*args)
signal.signal(signal.SIGTERM, mine)
say(3)
term()
"""


def test_who_calls_the_handler_before_his_own_gets_what_it_does(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """A handler that chains to ours ends the process as ours does."""
    outcome = run_signalled(interpreter, CHAINED, "single", server.url)

    assert_clean(outcome, TERMINATED)
    assert "first\n" == outcome.stdout
    assert_delivered_once(server, 3)


FORKED = """
configure()
say(1)
child = os.fork()
if child == 0:
    say(1, start=1)
    term_after(0.1)
    time.sleep(20)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
import multiprocessing
def work():
    say(1, start=2)
    term()
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert process.exitcode == -signal.SIGTERM
say(1, start=3)
"""


def test_a_forked_child_delivers_its_own(
    interpreter: Interpreter, server: ScriptedServer
) -> None:
    """A child that gets SIGTERM delivers what it logged, and its parent goes on."""
    script = "import warnings; warnings.simplefilter('default')\n" + FORKED
    outcome = run_signalled(interpreter, script, "single", server.url)

    assert_clean(outcome)
    assert_delivered_once(server, 4)
