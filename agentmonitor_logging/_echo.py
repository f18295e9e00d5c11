"""Which records come from ourselves, and so never go back into our queues."""

from __future__ import annotations

import logging

from . import _diagnostics

ACCEPTED_BY = "_agent_accepted_by"
"""The attribute of a queued copy that says whose ledgers count it already, by their
ids, after the number of forks that led to the process in which it was made."""

_OUR_THREADS = ("agentmonitor-listener", "agentmonitor-sender")


def is_our_own(record: logging.LogRecord) -> bool:
    """Tell whether *record* is about us, or made while this thread works for us.

    A copy out of a queue is neither: it was checked when it was put in.
    """
    if ACCEPTED_BY in record.__dict__:
        return False
    if record.name == _diagnostics.LOGGER_NAME:
        return True
    return _diagnostics.is_own_work()


def is_echo(record: logging.LogRecord) -> bool:
    """Tell whether *record* is our own, perhaps by way of another's queue."""
    return is_our_own(record) or is_of_our_threads(record)


def is_of_our_threads(record: logging.LogRecord) -> bool:
    """Tell whether a thread of ours made *record*, whichever thread asks."""
    return str(record.threadName).startswith(_OUR_THREADS)
