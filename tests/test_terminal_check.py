"""`agentmonitor check`: why nothing arrives, step by step, and what to do about it."""

from __future__ import annotations

import json
import logging
import logging.config
import logging.handlers
import os
import queue
import re
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List

import pytest
import requests

pytest.importorskip("click", reason="needs the extra: collector")
pytest.importorskip("rich", reason="needs the extra: collector")

import certificates
from agentmonitor_logging import (
    AgentMonitorHandler,
    AgentMonitorQueueHandler,
    log_agent_call,
)
from agentmonitor_logging.collector import RunningCollector, running_collector
from agentmonitor_logging.terminal import wiring
from agentmonitor_logging.terminal.findings import Finding, Report, problem
from agentmonitor_logging.terminal.patience import within
from agentmonitor_logging.terminal.reach import clock_compared, place_of
from conftest import KEY
from servers import DEADLINE, Raw, Reply, ScriptedServer, black_hole, closed_port
from test_cli import run

PROBLEM = re.compile(r"^PROBLEM +(\w+) +(.*)\n +-> (.+)$", re.MULTILINE)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[RunningCollector]:
    with running_collector(tmp_path / "a.db", KEY) as running:
        yield running


def check(*arguments: str, cwd: Any = None, **variables: str) -> Any:
    """Run `agentmonitor check`; whatever comes of it, it is told, and not the key."""
    done = run("check", *arguments, cwd=cwd, **variables)
    assert KEY not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    problems = PROBLEM.findall(done.stdout)
    assert done.stdout.count("PROBLEM") == len(problems), done.stdout
    assert done.returncode == (1 if problems else 0), done.stdout + done.stderr
    return done


def to(url: str, **variables: str) -> Dict[str, str]:
    return {"AGENTMONITOR_API_URL": url, "AGENTMONITOR_API_KEY": KEY, **variables}


def the_problem(done: Any) -> str:
    """Return the one problem that there is: step, text and hint."""
    (found,) = PROBLEM.findall(done.stdout)
    return "; ".join(found)


def steps(done: Any) -> List[str]:
    return re.findall(r"^(?:ok|note|PROBLEM) +(\w+)", done.stdout, re.MULTILINE)


def writes_only(request: Any) -> Reply:
    """Answer as a server does that takes events and gives none back."""
    return Reply(404, b"") if request.line.startswith("GET") else Reply(202)


# -- all is well -----------------------------------------------------------------------


def test_all_steps_are_told_where_all_is_well(collector: RunningCollector) -> None:
    """One event is sent as an application does it, and read back; the exit code is 0."""
    done = check(**to(collector.url))

    assert (0, "") == (done.returncode, done.stderr)
    assert [
        *("api_url", "api_key", "enabled", "name", "connection"),
        *("answer", "clock", "delivery", "arrival"),
    ] == steps(done)
    assert "All is well." == done.stdout.splitlines()[-1]
    (stored,) = collector.store.page().events
    assert "agentmonitor.check" == stored.row.event_type


def test_nothing_is_sent_where_nothing_is_to_be(collector: RunningCollector) -> None:
    """--no-send looks and leaves no trace."""
    done = check("--no-send", **to(collector.url))

    assert 0 == done.returncode
    assert 0 == collector.store.count()


def test_options_take_the_place_of_the_environment(
    collector: RunningCollector,
) -> None:
    """--url and --api-key win."""
    elsewhere = to("http://127.0.0.1:1/api/v1", AGENTMONITOR_API_KEY="x" * 40)

    done = check("--url", collector.url, "--api-key", KEY, **elsewhere)

    assert 0 == done.returncode
    assert f"{collector.url} (--url)" in done.stdout
    assert f"{len(KEY)} characters (--api-key)" in done.stdout


def test_a_spool_of_the_application_is_left_alone(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """A check sends its own event, and not what others have left."""
    spool = tmp_path / "spool"
    done = check(**to(collector.url, AGENTMONITOR_SPOOL=str(spool)))

    assert 0 == done.returncode
    assert not spool.exists()
    assert 1 == collector.store.count()


# -- settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "api_key; there is none; set AGENTMONITOR_API_KEY"),
        ({"AGENTMONITOR_API_KEY": "hunter2"}, "at least 32 characters (given: 7"),
        (to("localhost:3002"), "api_url is 'localhost:3002', but must be like https"),
        (to("http://example.com/x"), "plain http would show the key to the network"),
        (
            to("http://127.0.0.1:1/x", AGENTMONITOR_ENABLED="perhaps"),
            "enabled is 'perhaps', but must be true or false",
        ),
    ],
    ids=["none", "weak", "no scheme", "plain http", "enabled"],
)
def test_a_wrong_setting_is_named(variables: Dict[str, str], said: str) -> None:
    """With what is allowed and where to set it; the key is never shown."""
    done = check("--no-send", **variables)

    assert said in "; ".join(map("; ".join, PROBLEM.findall(done.stdout)))
    assert "hunter2" not in done.stdout


def test_disabled_is_a_problem_of_its_own(collector: RunningCollector) -> None:
    """The server may be fine, and still nothing arrives."""
    done = check(**to(collector.url, AGENTMONITOR_ENABLED="false"))

    assert "AGENTMONITOR_ENABLED is false: nothing is sent" in the_problem(done)
    assert "arrival" in steps(done)


# -- the network -----------------------------------------------------------------------


def test_a_name_that_is_not_known_is_where_it_ends() -> None:
    """No such host."""
    done = check(**to("https://nowhere.invalid/api/v1"))

    assert the_problem(done).startswith("name; there is no nowhere.invalid: ")
    assert "name" == steps(done)[-1]


def test_nobody_listens_is_where_it_ends() -> None:
    """A collector on this machine has to be started."""
    done = check(**to(f"http://127.0.0.1:{closed_port()}/api/v1"))

    assert "connection; nobody listens at 127.0.0.1" in the_problem(done)
    assert "agentmonitor collector" in the_problem(done)


@pytest.mark.skipif(sys.platform != "linux", reason="a full backlog drops on Linux")
def test_a_connection_that_does_not_open_is_not_waited_for_long() -> None:
    """A firewall that drops answers nothing; the time is bounded."""
    began = time.monotonic()
    with black_hole() as url:
        done = check(**to(url))

    assert "no connection to 127.0.0.1" in the_problem(done)
    assert time.monotonic() - began < DEADLINE


@pytest.mark.parametrize(
    ("certificate", "trusted", "said"),
    [
        (certificates.SELF_SIGNED, True, "self"),
        (certificates.EXPIRED, True, "expired"),
        (certificates.OTHER_HOST, True, "not valid for '127.0.0.1'"),
        (certificates.GOOD, False, "issuer certificate"),
    ],
    ids=["self-signed", "expired", "other host", "unknown CA"],
)
def test_the_fault_of_a_certificate_is_named(
    serve: Callable[..., ScriptedServer],
    tmp_path: Path,
    certificate: str,
    trusted: bool,
    said: str,
) -> None:
    """Expired, of another host, or by nobody who is trusted."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text(certificates.AUTHORITY)
    server = serve(context=certificates.server_context(certificate, tmp_path))
    variables = {"REQUESTS_CA_BUNDLE": str(bundle)} if trusted else {}
    done = check(**to(server.url, **variables))

    assert the_problem(done).startswith("certificate; the certificate of 127.0.0.1 is")
    assert said in the_problem(done)
    assert [] == server.requests


def test_a_good_certificate_is_told_as_such(
    serve: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    """By the same CAs that a handler goes by."""
    bundle = tmp_path / "ca.pem"
    bundle.write_text(certificates.AUTHORITY)
    context = certificates.server_context(certificates.GOOD, tmp_path)
    server = serve(rule=writes_only, context=context)
    done = check(**to(server.url, REQUESTS_CA_BUNDLE=str(bundle)))

    assert "certificate" in steps(done)
    assert 0 == done.returncode


def test_a_ca_bundle_that_is_missing_is_named(
    serve: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    """The variable that names it, too."""
    server = serve(context=certificates.server_context(certificates.GOOD, tmp_path))
    done = check(**to(server.url, REQUESTS_CA_BUNDLE="/nowhere.pem"))

    assert "/nowhere.pem cannot be used" in the_problem(done)
    assert "REQUESTS_CA_BUNDLE" in the_problem(done)


def test_plain_http_to_elsewhere_is_tried_where_that_is_allowed() -> None:
    """By the option that the refusal names."""
    elsewhere = to("http://nowhere.invalid/api/v1")
    refused, tried = check(**elsewhere), check("--allow-http", **elsewhere)

    assert the_problem(refused).startswith("options; ")
    assert "give --allow-http here" in the_problem(refused)
    assert the_problem(tried).startswith("name; there is no nowhere.invalid: ")


def test_https_where_plain_http_is_spoken_is_named(server: ScriptedServer) -> None:
    """The scheme is wrong, not the certificate."""
    done = check(**to(server.url.replace("http:", "https:")))

    assert "the server may speak plain http there" in the_problem(done)


def test_the_wrong_key_is_a_problem_of_the_key(collector: RunningCollector) -> None:
    """A collector that was given another one says so."""
    wrong = to(collector.url, AGENTMONITOR_API_KEY="w" * 40)
    done = check(**wrong)

    assert "the server refuses the API key (status 401" in the_problem(done)
    assert "compare AGENTMONITOR_API_KEY" in the_problem(done)
    assert 1 == check("--no-send", **wrong).returncode


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Reply(302, Location="https://other.example/api/v1/events"), "redirects to"),
        (
            Reply(200, b"<html>hotel</html>", store=False, Content_Type="text/html"),
            "a web page answers",
        ),
        (Reply(404, b"", store=False), "api_url must end where /events/batch begins"),
        (Reply(405, b"", store=False), "nothing takes events at api_url (status 405)"),
        (Reply(421, {"error": "not this host"}), "not this host"),
        (Reply(503, {"error": "closing"}), "the server answered 503: closing"),
        (Reply(422, {"error": "no such field"}), "no such field"),
        (Raw(b"SSH-2.0-OpenSSH_9.2\r\n"), "cannot reach"),
        (Raw(then="reset"), "cannot reach"),
    ],
    ids=["302", "html", "404", "405", "421", "503", "422", "ssh", "reset"],
)
def test_a_server_that_takes_nothing_is_told_as_what_it_is(
    serve: Callable[..., ScriptedServer], answer: Any, said: str
) -> None:
    """A wrong address, a captive portal, another service: each has its hint."""
    done = check(**to(serve(rule=lambda request: answer).url))

    assert said in the_problem(done)


def test_a_server_that_never_answers_is_not_waited_for_long(
    serve: Callable[..., ScriptedServer],
) -> None:
    """The time for all of it is bounded."""
    done = check("--timeout", "3", **to(serve(rule=lambda _: Raw(then="hang")).url))

    assert "network; has not ended within 3 s" in the_problem(done)


def test_where_nothing_can_be_read_the_word_of_the_server_counts(
    serve: Callable[..., ScriptedServer],
) -> None:
    """A server that only takes events is no problem; it is said what that means."""
    server = serve(rule=writes_only)
    done = check(**to(server.url))

    assert 0 == done.returncode
    assert "it gives no events back (status 404): only its word counts" in done.stdout
    assert "the server's word is all there is" in done.stdout
    (stored,) = server.stored
    assert "agentmonitor.check" == stored["event_type"]


def test_an_event_that_is_taken_and_not_there_is_a_problem(
    serve: Callable[..., ScriptedServer],
) -> None:
    """Acknowledged is not yet arrived."""
    server = serve(
        rule=lambda request: (
            Reply(200, {"events": [], "next": None}, store=False)
            if request.line.startswith("GET")
            else Reply(200)
        )
    )

    assert "it was taken, and is not there" in the_problem(check(**to(server.url)))


def test_clocks_that_differ_are_told(serve: Callable[..., ScriptedServer]) -> None:
    """Above a minute, with the direction; it keeps no event from arriving."""
    late = formatdate(time.time() - 125, usegmt=True)
    server = serve(
        rule=lambda request: (
            Reply(200, {"events": [{}], "next": None}, store=False, Date=late)
            if request.line.startswith("GET")
            else Reply(200)
        )
    )
    done = check(**to(server.url))

    assert 0 == done.returncode
    assert re.search(r"note +clock +this machine's is 12\d s ahead of", done.stdout)


@pytest.mark.parametrize("given", ["", "soon", "Thu, 99 Jan 2026 00:00:00 GMT"])
def test_a_server_that_tells_no_time_is_not_compared_with(given: str) -> None:
    """A header that is missing or garbled is no finding."""
    assert [] == list(clock_compared({"date": given}, 0.0))


def test_a_proxy_is_where_the_connection_goes(monkeypatch: Any) -> None:
    """To elsewhere by way of it; to this machine never."""
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@proxy.example:8080")
    monkeypatch.setenv("HTTP_PROXY", "http://user:word@proxy.example:8080")

    assert ("proxy.example", 8080, False, True) == place_of("https://api.example/v1")
    assert ("127.0.0.1", 3002, False, False) == place_of("http://127.0.0.1:3002/api/v1")


# -- the way from a logger -------------------------------------------------------------


def options(**more: Any) -> Dict[str, Any]:
    return {
        "api_key": KEY,
        "agent_id": "bot",
        "api_url": "http://127.0.0.1:1/x",
        **more,
    }


def configured(**parts: Any) -> List[Finding]:
    """Configure logging, and look at the logger "agent.tools"."""
    handler = {"()": "agentmonitor_logging.AgentMonitorQueueHandler", **options()}
    handler.update(parts.pop("handler", {}))
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"agentmonitor": handler, **parts.pop("handlers", {})},
            "root": {"handlers": ["agentmonitor"], "level": "INFO"},
            **parts,
        }
    )
    return [*wiring.looked_through(["agent.tools"])]


def only(findings: List[Finding]) -> Finding:
    (finding,) = findings
    return finding


def test_a_way_that_is_free_is_drawn() -> None:
    """From the logger to the address, with the handlers in between."""
    found = only(configured())

    assert "ok" == found.mark
    assert (
        "logger 'agent.tools' -> 'agentmonitor' (AgentMonitorQueueHandler) ->"
        " AgentMonitorHandler on the root logger -> http://127.0.0.1:1/x" == found.text
    )


@pytest.mark.parametrize(
    ("parts", "said", "hint"),
    [
        (
            {"root": {"handlers": ["agentmonitor"]}},
            "its level is WARNING (that of the root logger), and calls are logged at",
            '"level": "INFO" for logger',
        ),
        (
            {"loggers": {"agent": {"level": "ERROR"}}},
            "its level is ERROR (that of logger 'agent')",
            '"level": "INFO"',
        ),
        (
            {"handler": {"level": "ERROR"}},
            "the level of the handler 'agentmonitor' (AgentMonitorQueueHandler) is ERROR",
            "for the handler",
        ),
        (
            {"loggers": {"agent": {"propagate": False}}},
            "which ends at logger 'agent': propagate is False",
            "attach the handler to logger 'agent'",
        ),
        (
            {"handler": {"sample_rate": 0}},
            "keeps errors only: sample_rate is 0",
            "above",
        ),
        (
            {"handler": {"sample_rate": {"*": 0, "llm_call": 0}}},
            "keeps errors only",
            "above 0",
        ),
        (
            {"handler": {"enabled": False}},
            "is disabled: enabled is False",
            "leave that",
        ),
        (
            {
                "filters": {"only": {"name": "other"}},
                "handler": {"filters": ["only"]},
            },
            "stops what it logs at INFO (only 'other' passes)",
            "have the filter let",
        ),
    ],
    ids=["root", "level", "handler", "propagate", "rate", "rates", "enabled", "filter"],
)
def test_what_stops_an_event_on_its_way_is_named(
    parts: Dict[str, Any], said: str, hint: str
) -> None:
    """With the logger or handler that it is set on, and how to undo it."""
    found = only(configured(**parts))

    assert found.is_problem
    assert said in found.text
    assert hint in found.hint


def test_a_logger_that_dictconfig_disabled_is_named() -> None:
    """disable_existing_loggers is true unless one says otherwise."""
    logging.getLogger("agent.tools")
    found = only(configured(disable_existing_loggers=True))

    assert found.is_problem
    assert "it is disabled" in found.text
    assert '"disable_existing_loggers": False' in found.hint


def test_logging_that_is_disabled_as_a_whole_is_named() -> None:
    """logging.disable() stands above every level."""
    logging.disable(logging.INFO)
    found = only(configured())

    assert found.is_problem
    assert "logging.disable(INFO) is in effect" in found.text


def test_a_filter_that_fails_is_named() -> None:
    """What it raised is part of the finding."""
    configured()

    def broken(record: logging.LogRecord) -> bool:
        raise KeyError("tenant")

    logging.getLogger("agent.tools").addFilter(broken)
    try:
        found = only([*wiring.looked_through(["agent.tools"])])
    finally:
        logging.getLogger("agent.tools").removeFilter(broken)

    assert found.is_problem
    assert "a filter of the logger fails: KeyError: 'tenant'" in found.text


def test_a_rate_that_keeps_a_part_is_told() -> None:
    """It is no problem, and explains why there are fewer than expected."""
    fine, rate = configured(handler={"sample_rate": 0.1})

    assert ["ok", "note"] == [fine.mark, rate.mark]
    assert "sample_rate is 0.1" in rate.text


def test_no_handler_of_ours_is_the_problem() -> None:
    """Nothing is attached, so nothing is sent."""
    found = only([*wiring.looked_through([])])

    assert found.is_problem
    assert "no logger has a handler of ours" == found.text


def test_a_handler_that_is_attached_to_nothing_is_named() -> None:
    """It is configured, and no logger names it."""
    *_, found = configured(root={"level": "INFO"})

    assert found.is_problem
    assert (
        "the handler 'agentmonitor' (AgentMonitorQueueHandler) is attached to no logger"
        == found.text
    )


def test_a_way_through_a_queue_of_the_standard_library_is_found() -> None:
    """A QueueListener that the application made is asked for its handlers."""
    target = AgentMonitorHandler(level="ERROR", **options())
    records: "queue.Queue[Any]" = queue.Queue()
    listener = logging.handlers.QueueListener(
        records, target, respect_handler_level=True
    )
    logger = logging.getLogger("agent.tools")
    logger.addHandler(logging.handlers.QueueHandler(records))
    logger.setLevel("INFO")
    stopped = only([*wiring.looked_through(["agent.tools"])])
    listener.respect_handler_level = False
    # Up to Python 3.11 nobody but the listener knows; respecting levels is the rule.
    if sys.version_info >= (3, 12):
        logger.handlers[0].listener = listener  # type: ignore[attr-defined]
        assert "ok" == only([*wiring.looked_through(["agent.tools"])]).mark

    assert stopped.is_problem
    assert "the level of the handler AgentMonitorHandler is ERROR" in stopped.text


def test_a_queue_that_others_listen_to_is_told() -> None:
    """Whether they do cannot be seen from here."""
    handler = AgentMonitorQueueHandler(queue.Queue())
    logging.getLogger("agent.tools").addHandler(handler)
    found = only([*wiring.looked_through(["agent.tools"])])

    assert "note" == found.mark
    assert "nobody in this process listens to" in found.text


def test_loggers_of_decorated_functions_are_looked_at() -> None:
    """Nobody has to name them."""

    @log_agent_call(logger="watched.elsewhere")
    def call() -> None: ...

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "agentmonitor": {
                    "()": "agentmonitor_logging.AgentMonitorQueueHandler",
                    **options(),
                }
            },
            "loggers": {"agent.tools": {"handlers": ["agentmonitor"], "level": "INFO"}},
        }
    )
    found = {finding.text: finding for finding in wiring.looked_through([])}

    text = "logger 'watched.elsewhere': no handler of ours is on its way to the root"
    assert any(key.startswith(text) and found[key].is_problem for key in found)


# -- an application's own configuration ------------------------------------------------


def written(tmp_path: Path, **handler: Any) -> str:
    """Write the configuration of an application; return the name of its file."""
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "handlers": {
            "agentmonitor": {
                "()": "agentmonitor_logging.AgentMonitorQueueHandler",
                "agent_id": "bot",
                **handler,
            }
        },
        "loggers": {"agent": {"handlers": ["agentmonitor"], "level": "INFO"}},
    }
    (tmp_path / "log.json").write_text(json.dumps(config))
    (tmp_path / "program.py").write_text(f"LOGGING = {config!r}\nNOT = 3\n")
    return "log.json"


def test_the_configuration_of_an_application_is_built_and_gone_through(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """Key and address are those of its handler, and an event goes there."""
    config = written(tmp_path, api_key=KEY, api_url=collector.url)
    for given in (config, "program:LOGGING"):
        done = check("--config", given, cwd=tmp_path)

        assert 0 == done.returncode, done.stdout
        assert ["config", "logging"] == steps(done)[:2]
        assert "arrival" == steps(done)[-1]
    assert 2 == collector.store.count()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is of Python 3.11")
def test_a_configuration_may_be_toml(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """The same, in another hand."""
    (tmp_path / "log.toml").write_text(
        """
        version = 1
        [handlers.agentmonitor]
        "()" = "agentmonitor_logging.AgentMonitorQueueHandler"
        agent_id = "bot"
        [root]
        handlers = ["agentmonitor"]
        level = "INFO"
        """
    )

    assert (
        0 == check("--config", "log.toml", cwd=tmp_path, **to(collector.url)).returncode
    )


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("missing.json", "missing.json cannot be read: No such file or directory"),
        ("broken.json", "broken.json is no JSON: "),
        ("nowhere:LOGGING", "there is no module nowhere"),
        ("program:NOTHING", "program has no NOTHING"),
        ("program:NOT", "program:NOT is a int, no dict"),
        ("log.yaml", "log.yaml is neither a file nor a dict"),
        ("wrong.json", "ConfigError: there is no option 'batchsize'; did you mean"),
        ("raising:LOGGING", "raising:LOGGING: ZeroDivisionError: division by zero"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_told(
    tmp_path: Path, config: str, said: str
) -> None:
    """Where it is wrong, in a line; a key that stands in it is not repeated."""
    written(tmp_path, api_key=KEY, batchsize=3)
    (tmp_path / "log.json").rename(tmp_path / "wrong.json")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "raising.py").write_text("1 / 0")
    done = check("--config", config, cwd=tmp_path)

    assert said in the_problem(done)


def test_an_error_does_not_repeat_the_key(tmp_path: Path) -> None:
    """Not even where the application's own code puts it there."""
    (tmp_path / "leaky.py").write_text(
        "import logging\n"
        "class Handler(logging.Handler):\n"
        "    def __init__(self, api_key):\n"
        "        raise ValueError(f'bad key {api_key}')\n"
    )
    handler = {"()": "leaky.Handler", "api_key": KEY}
    config = {"version": 1, "handlers": {"mine": handler}}
    (tmp_path / "log.json").write_text(json.dumps(config))
    done = check("--config", "log.json", cwd=tmp_path)

    assert "ValueError: bad key ***" in the_problem(done)


APP = f"""
import logging
import agentmonitor_logging

print("on stdout")
agentmonitor_logging.configure(agent_id="bot", logger="shop")

def late():
    logging.getLogger("shop").setLevel("ERROR")

@agentmonitor_logging.log_agent_call(logger="shop.till")
def pay(): ...

@agentmonitor_logging.log_agent_call(logger="elsewhere")
def stray(): ...
"""


def test_an_application_is_imported_and_looked_through(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """What its functions log to is known; what it prints is not in the way."""
    (tmp_path / "app.py").write_text(APP)
    done = check("--app", "app", cwd=tmp_path, **to(collector.url))

    assert "logging; logger 'elsewhere': no handler of ours is on its way" in (
        the_problem(done)
    )
    assert "logger 'shop.till' -> AgentMonitorQueueHandler ->" in done.stdout
    assert "arrival" == steps(done)[-1]
    assert "on stdout" not in done.stdout


def test_a_function_of_an_application_may_configure(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """What it did is what is looked at."""
    (tmp_path / "app.py").write_text(APP)
    done = check(
        "--app", "app:late", "--logger", "shop", cwd=tmp_path, **to(collector.url)
    )

    assert "logger 'shop': its level is ERROR (its own)" in the_problem(done)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit(3)", "app has ended the program (exit code 3)"),
        ("import time; time.sleep(600)", "app; has not ended within 3 s"),
        ("import nothing_like_that", "No module named 'nothing_like_that'"),
        ("def f(:", "SyntaxError"),
        ("", "no logger has a handler of ours"),
    ],
    ids=["exit", "hang", "import", "syntax", "nothing"],
)
def test_an_application_that_does_not_configure_is_told(
    tmp_path: Path, program: str, said: str
) -> None:
    """Whatever it does instead, the check ends, and says so."""
    (tmp_path / "app.py").write_text(program)
    done = check("--app", "app", "--timeout", "3", cwd=tmp_path)

    assert said in the_problem(done)


def test_threads_of_an_application_do_not_keep_it_from_ending(
    collector: RunningCollector, tmp_path: Path
) -> None:
    """They get a moment, and then it is over."""
    (tmp_path / "app.py").write_text(
        APP.partition("@")[0] + "import threading\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
    )

    done = check("--app", "app", cwd=tmp_path, **to(collector.url))

    assert 0 == done.returncode


# -- how it is told --------------------------------------------------------------------


def test_whatever_is_found_is_told_without_keys_and_controls(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A server may quote our key, and more."""
    report = Report()
    report.hide("s" * 40)
    report.hide("")
    report.add([problem("step", f"bad {'s' * 40}\x1b[2J", f"try {'s' * 40}\nnow")])
    report.sum_up()
    out = capsys.readouterr().out

    assert "bad ***\\x1b[2J" in out
    assert "-> try ***\\nnow" in out
    assert "1 problem." in out
    assert 4 == len(out.splitlines())


def test_what_takes_too_long_is_left_behind() -> None:
    """A name look-up can be neither interrupted nor bounded."""
    import threading

    forever = threading.Event()
    try:
        assert within(0.05, forever.wait) is None
        assert 3 == within(DEADLINE, lambda: 3)
        with pytest.raises(ZeroDivisionError):
            within(DEADLINE, lambda: 1 // 0)
    finally:
        forever.set()
