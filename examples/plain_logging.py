"""Make events with nothing but `logging`: the fields of an event go into `extra=`."""

import logging
import os
import time

import agentmonitor_logging

os.environ.setdefault("AGENTMONITOR_API_URL", "http://127.0.0.1:3002/api/v1")
os.environ.setdefault("AGENTMONITOR_API_KEY", "on-loopback-any-32-characters-do")

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
log = logging.getLogger("translator")


def translate(text: str) -> str:
    """Translate with a model that is always right, for two cents."""
    started = time.perf_counter()
    translation = {"cat": "Katze", "dog": "Hund"}[text]
    log.info(
        "translated",
        extra={
            "event_type": "llm_call",
            "input_data": {"text": text},
            "output_data": {"translation": translation},
            "cost_usd": 0.02,
            "latency_ms": (time.perf_counter() - started) * 1000,
            "model": "always-right-1",  # any other key becomes metadata
        },
    )
    return translation


def show(word: str) -> None:
    """Print a translation; a word that is not known is logged with its traceback."""
    try:
        print(f"{word}: {translate(word)}")
    except KeyError:
        log.exception("no such word", extra={"event_type": "llm_call"})


def main() -> None:
    """Translate a little."""
    # What dictConfig does in quickstart.py, as a call.
    agentmonitor_logging.configure(agent_id="translator")
    log.info("ready")  # without fields: an event of the type "log"
    for word in ("cat", "dog", "bird"):
        show(word)

    # A LoggerAdapter gives the same fields to everything said through it.
    session = logging.LoggerAdapter(log, {"session_id": "session-1"})
    session.warning("two of three words translated")


if __name__ == "__main__":
    main()
