"""Which measurements there are: cells of workload, mode and server, times clients."""

from __future__ import annotations

import random
from typing import Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

CLIENTS = (
    *("noop", "null", "queue", "diy", "otel", "otel_logs"),
    *("langfuse", "langsmith", "logfire", "sentry", "seed", "logstash"),
    *("ours", "ours_spool", "ours_orjson"),
)
QUICK_CLIENTS = ("noop", "null", "queue", "diy", "otel", "ours")
WORKLOADS = ("W1", "W2", "W3", "W4")
MODES = ("loop", "paced", "threads", "asyncio", "asyncio-paced")
SERVERS = ("0", "50", "dead", "hang")

_TARGETED = ("queue", "diy", "otel", "ours", "ours_spool", "ours_orjson")


class Cell(NamedTuple):
    """One place of the tables."""

    workload: str
    mode: str
    server: str

    def __str__(self) -> str:
        return f"{self.workload} {self.mode}, server {self.server}"


class Measurement(NamedTuple):
    """One process to run."""

    cell: Cell
    client: str
    round: int


def _standard() -> Iterator[Tuple[Cell, Sequence[str]]]:
    """Yield the cells that tell something, with the clients they tell it of."""
    for workload in WORKLOADS:
        yield Cell(workload, "loop", "0"), CLIENTS
    for workload in WORKLOADS[:3]:
        yield Cell(workload, "paced", "0"), ("noop", "null", *_TARGETED)
        yield Cell(workload, "paced", "dead"), ("noop", *_TARGETED)
        yield Cell(workload, "loop", "50"), _TARGETED[1:]
    yield Cell("W2", "threads", "0"), CLIENTS
    for workload in WORKLOADS[:2]:
        yield Cell(workload, "asyncio", "hang"), ("noop", *_TARGETED)
        yield Cell(workload, "asyncio-paced", "hang"), ("noop", *_TARGETED)


def cells(
    workloads: Optional[Sequence[str]],
    modes: Optional[Sequence[str]],
    servers: Optional[Sequence[str]],
) -> List[Tuple[Cell, Sequence[str]]]:
    """Return the standard cells that fit; all asked for, if all three are given."""
    if workloads and modes and servers:
        return [
            (Cell(workload, mode, server), CLIENTS)
            for workload in workloads
            for mode in modes
            for server in servers
        ]
    return [
        (cell, clients)
        for cell, clients in _standard()
        if cell.workload in (workloads or WORKLOADS)
        and cell.mode in (modes or MODES)
        and cell.server in (servers or SERVERS)
    ]


def measurements(
    chosen: Iterable[Tuple[Cell, Sequence[str]]],
    clients: Sequence[str],
    rounds: int,
    seed: int,
) -> List[Measurement]:
    """Return round after round of everything, each in an order of its own."""
    source = random.Random(seed)
    pairs = [
        (cell, client) for cell, able in chosen for client in clients if client in able
    ]
    planned: List[Measurement] = []
    for number in range(rounds):
        source.shuffle(pairs)
        planned += [Measurement(cell, client, number) for cell, client in pairs]
    return planned
