"""What must hold, whatever happened: no loss, no unexplained duplicate, order, sums.

    ids = say(logging.getLogger("agent"), "thread 1", 100)
    handler.flush()
    assert [] == violations({"thread 1": ids}, server, handler.stats())

For subprocesses: let each print its ids and `vars(handler.stats())` as JSON, and hand
over `Stats(**printed)`; several `Stats` may be added up. Without any, everything that
was logged has to be there.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

from agentmonitor_logging import Stats
from servers import DEADLINE, ScriptedServer, Storing


def say(
    logger: logging.Logger, author: str, count: int, first: int = 0, **extra: object
) -> List[str]:
    """Log *count* events of *author*, numbered from *first*; return their ids."""
    ids = [f"{author}#{number}" for number in range(first, first + count)]
    for event_id in ids:
        logger.info(event_id, extra={"event_id": event_id, **extra})
    return ids


def violations(
    logged: Mapping[str, Sequence[str]],
    server: ScriptedServer,
    stats: Optional[Stats] = None,
    *,
    may_miss: int = 0,
) -> List[str]:
    """Return what is wrong, in words; nothing if all is well.

    *logged* are the event ids of each author (a thread, a process) in their order;
    what *server* stored is compared with it. Missing may be as many as *stats* count
    as pending or lost, plus *may_miss* (what a kill -9 may cost, say). Call it when
    nothing moves any more: after a flush, a shutdown, or the end of the processes.
    """
    server.wait_idle(DEADLINE)
    found = list(_missing(logged, server.storings, stats, may_miss))
    found += _strange(logged, server.storings)
    found += unexplained_duplicates(server.storings)
    found += _disorder(logged, server, stats)
    if stats is not None:
        found += _wrong_sums(logged, server.storings, stats)
    return found


def unexplained_duplicates(storings: Sequence[Storing]) -> Iterator[str]:
    """Yield the events that were stored again although the sender had its answer.

    A repeated request is the same request: it brings the same key. Events may come
    under another key only where the first batch was taken apart meanwhile.
    """
    before: Dict[str, Storing] = {}
    for storing in storings:
        earlier = before.get(storing.event_id)
        if earlier is not None and earlier.answered:
            yield (
                f"{storing.event_id} came again in request {storing.request}, though "
                f"request {earlier.request} was answered"
            )
        if earlier is not None and earlier.request == storing.request:
            yield f"{storing.event_id} is twice in request {storing.request}"
        before[storing.event_id] = storing


def keys_of(storings: Sequence[Storing]) -> Dict[str, List[str]]:
    """Return the idempotency keys under which each event came, in order."""
    keys: Dict[str, List[str]] = defaultdict(list)
    for storing in storings:
        keys[storing.event_id].append(storing.key)
    return dict(keys)


def _missing(
    logged: Mapping[str, Sequence[str]],
    storings: Sequence[Storing],
    stats: Optional[Stats],
    may_miss: int,
) -> Iterator[str]:
    stored = {storing.event_id for storing in storings}
    missing = [i for ids in logged.values() for i in ids if i not in stored]
    if stats is not None:
        may_miss += stats.pending + sum(stats.lost.values())
    if len(missing) > may_miss:
        yield f"{len(missing)} missing, {may_miss} accounted for: {_few(missing)}"


def _strange(
    logged: Mapping[str, Sequence[str]], storings: Sequence[Storing]
) -> Iterator[str]:
    known = {event_id for ids in logged.values() for event_id in ids}
    strange = {s.event_id for s in storings if not s.is_loss} - known
    if strange:
        yield f"{len(strange)} that nobody logged: {_few(sorted(strange))}"


def _disorder(
    logged: Mapping[str, Sequence[str]],
    server: ScriptedServer,
    stats: Optional[Stats],
) -> Iterator[str]:
    """Look inside of requests; across them too, where they came one by one, all once."""
    place = {
        event_id: (author, number)
        for author, ids in logged.items()
        for number, event_id in enumerate(ids)
    }
    repeated = len({s.event_id for s in server.storings}) < len(server.storings)
    retried = stats is None or stats.retried > 0
    across = server.most_in_flight <= 1 and not repeated and not retried
    latest: Dict[object, int] = {}
    for storing in server.storings:
        if storing.event_id not in place:
            continue
        author, number = place[storing.event_id]
        sequence = author if across else (author, storing.request)
        if number < latest.get(sequence, -1):
            yield f"{storing.event_id} came too late, in request {storing.request}"
        latest[sequence] = max(number, latest.get(sequence, -1))


def _wrong_sums(
    logged: Mapping[str, Sequence[str]], storings: Sequence[Storing], stats: Stats
) -> Iterator[str]:
    count = sum(map(len, logged.values()))
    stored = len({storing.event_id for storing in storings})
    if stats.accepted != stats.delivered + stats.pending + sum(stats.lost.values()):
        yield f"the counts do not add up: {stats}"
    if min([stats.delivered, stats.pending, *stats.lost.values()]) < 0:
        yield f"a count is negative: {stats}"
    if stats.accepted < count:
        yield f"{count} were logged, {stats.accepted} are accepted"
    if stats.delivered > stored:
        yield f"{stored} are stored, {stats.delivered} count as delivered"


def _few(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (" ..." if len(ids) > 5 else "")
