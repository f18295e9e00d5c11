"""What the command says: contents as lines for a terminal, or as JSON for a script."""

from __future__ import annotations

import json
import shlex
from datetime import datetime, timezone
from typing import Dict, Iterable, Iterator, List, Sequence

from agentmonitor_logging._answers import printable
from agentmonitor_logging._spool_files import Waiting

from .contents import Contents, count, state

MOST_ROWS = 20
"""How many owners, or names of files, are told one by one."""
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_HEADINGS = ("written by", "now", "events", "size", "oldest (UTC)", "age")
_TO_THE_RIGHT = (2, 3)


def lines(contents: Contents, now: float) -> Iterator[str]:
    """Say what waits, of whom and since when; *now* is in seconds since the epoch."""
    if contents.owners:
        yield _headline(contents, now)
        yield ""
        yield from _table([_HEADINGS, *_rows(contents.owners, now)])
        yield ""
        yield from _what_next(contents)
    else:
        yield f"Nothing waits in {contents.path}."
    yield from remarks(contents)


def as_json(contents: Contents, now: float) -> str:
    """Return the same for a script: times in UTC, ages in seconds, sizes in bytes."""
    owners = [
        {
            "owner": one.owner,
            "pid": one.pid,
            "host": one.host,
            "alive": one.alive,
            "state": state(one),
            **_measures([one], now),
        }
        for one in contents.owners
    ]
    told = {
        "path": str(contents.path),
        **_measures(contents.owners, now),
        "owners": owners,
        "set_aside": contents.aside,
        "unreadable": contents.unreadable,
    }
    return json.dumps(told, indent=2)


def held(contents: Contents) -> Iterator[str]:
    """Say what belongs to the living, if anything does."""
    if not contents.held:
        return
    theirs = count(contents.held)
    alive = [one for one in contents.held if state(one) == "alive"]
    pids = f" ({_pids(alive)})" if alive else ""
    adopted = " or was adopted by them" if alive != contents.held else ""
    yield (
        f"{counted(theirs)} belong{'s' if theirs == 1 else ''} to running processes"
        f"{pids}, which deliver what is theirs{adopted}."
    )


def counted(number: int, noun: str = "event") -> str:
    """Return *number* with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def size(number: int) -> str:
    """Return *number* of bytes as people write it."""
    if number < 1000:
        return f"{number} B"
    many, unit = number / 1000, "kB"
    for larger in ("MB", "GB"):
        if many >= 999.5:
            many, unit = many / 1000, larger
    return f"{many:.3g} {unit}"


def age(seconds: float) -> str:
    """Return *seconds* in the two largest units."""
    left = max(0, int(seconds))
    parts: List[str] = []
    for length, unit in _UNITS:
        number, left = divmod(left, length)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def _headline(contents: Contents, now: float) -> str:
    oldest = min(one.oldest for one in contents.owners)
    wait = "waits" if contents.events == 1 else "wait"
    return (
        f"{counted(contents.events)} {wait} in {contents.path}"
        f" ({size(contents.bytes)}), the oldest for {age(now - oldest)}."
    )


def _rows(owners: Sequence[Waiting], now: float) -> Iterator[Sequence[str]]:
    for one in owners[:MOST_ROWS]:
        yield _row(_writer(one), state(one), [one], now)
    if owners[MOST_ROWS:]:
        others = f"{counted(len(owners[MOST_ROWS:]), 'other')}"
        yield _row(others, "", owners[MOST_ROWS:], now)


def _row(
    writer: str, standing: str, owners: Sequence[Waiting], now: float
) -> Sequence[str]:
    oldest = min(one.oldest for one in owners)
    return (
        writer,
        standing,
        f"{count(owners):,}",
        size(sum(one.bytes for one in owners)),
        _moment(oldest).strftime("%Y-%m-%d %H:%M:%S"),
        age(now - oldest),
    )


def _table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    cells = list(rows)
    widths = [max(map(len, column)) for column in zip(*cells)]
    for row in cells:
        aligned = [
            cell.rjust(width) if at in _TO_THE_RIGHT else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        ]
        yield f"  {'  '.join(aligned)}".rstrip()


def _what_next(contents: Contents) -> Iterator[str]:
    yield from held(contents)
    left = contents.count_left
    if left:
        yield (
            f"{counted(left)} {'was' if left == 1 else 'were'} left by processes that"
            " have ended. To deliver now:"
        )
        yield f"  agentmonitor spool {shlex.quote(str(contents.path))} send"


def remarks(contents: Contents) -> Iterator[str]:
    """Say which files no events come from."""
    if contents.unreadable:
        files = counted(len(contents.unreadable), "file")
        yield ""
        yield f"Not counted, as {files} cannot be read:"
        yield from _named([f"{k}: {v}" for k, v in contents.unreadable.items()])
    if contents.aside:
        files = counted(len(contents.aside), "damaged file")
        was = "was" if len(contents.aside) == 1 else "were"
        yield ""
        yield f"{files} {was} set aside, for people to look at:"
        yield from _named(contents.aside)


def _named(names: List[str]) -> Iterator[str]:
    for name in names[:MOST_ROWS]:
        yield f"  {printable(name)}"
    if names[MOST_ROWS:]:
        yield f"  and {len(names[MOST_ROWS:])} more"


def _writer(one: Waiting) -> str:
    pid = "unknown" if one.pid is None else str(one.pid)
    return f"pid {pid}" + (f" on {printable(one.host[:64])}" if one.host else "")


def _pids(owners: Sequence[Waiting]) -> str:
    pids = ["unknown" if one.pid is None else str(one.pid) for one in owners]
    more = ", ..." if pids[MOST_ROWS:] else ""
    return f"pid {', '.join(pids[:MOST_ROWS])}{more}"


def _measures(owners: Sequence[Waiting], now: float) -> Dict[str, object]:
    oldest = min((one.oldest for one in owners), default=None)
    return {
        "events": count(owners),
        "bytes": sum(one.bytes for one in owners),
        "oldest": None if oldest is None else _moment(oldest).isoformat(),
        "age": None if oldest is None else max(0.0, round(now - oldest, 3)),
    }


def _moment(when: float) -> datetime:
    return datetime.fromtimestamp(when, timezone.utc)
