"""The collector's database: what is acknowledged, what is read, who may open it."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

import pytest

pytest.importorskip("starlette", reason="needs the extra: collector")

from agentmonitor_logging.collector import DatabaseInUseError, EventStore, StoreError
from agentmonitor_logging.collector import migrations as steps
from agentmonitor_logging.collector import store as store_module
from agentmonitor_logging.collector.exceptions import StoreClosedError
from agentmonitor_logging.collector.times import iso_8601, microseconds
from agentmonitor_logging.collector.validation import (
    MAX_DEPTH,
    InvalidBodyError,
    Row,
    parse_json,
    rows_from_batch,
    rows_from_events,
)

DEADLINE = 30


def event(**changes: Any) -> Dict[str, Any]:
    """Make a valid event as it is on the wire."""
    return {
        "agent_id": "bot",
        "event_type": "llm_call",
        "timestamp": "2026-10-16T12:00:00.123456Z",
        "status": "success",
        **changes,
    }


def rows(*events: Dict[str, Any]) -> List[Row]:
    """Make rows of events."""
    return rows_from_events(list(events))


def ids(*values: str, **changes: Any) -> List[Row]:
    """Make one row for each event_id."""
    return rows(*(event(metadata={"event_id": v}, **changes) for v in values))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with EventStore(tmp_path / "a.db") as opened:
        yield opened


def test_what_is_appended_is_read_newest_first(store: EventStore) -> None:
    """The last event received is the first one read."""
    store.append(rows(event(agent_id="a"), event(agent_id="b"))).result(DEADLINE)
    store.append(rows(event(agent_id="c"))).result(DEADLINE)

    page = store.page()

    assert [e.row.agent_id for e in page.events] == ["c", "b", "a"]
    assert page.next_before is None


def test_acknowledged_rows_survive_a_reopening(tmp_path: Path) -> None:
    """Everything acknowledged is there when the file is opened again."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        store.append(ids("1", "2")).result(DEADLINE)

    with EventStore(path) as again:
        count = again.count()

    assert count == 2


def test_an_event_id_is_stored_once(store: EventStore) -> None:
    """A repeat is counted as a duplicate, in one batch, across batches, and for good."""
    first = store.append(ids("1", "1", "2")).result(DEADLINE)
    second = store.append(ids("2", "3")).result(DEADLINE)

    assert first == (2, 1)
    assert second == (1, 1)
    assert store.count() == 3


def test_an_event_id_belongs_to_its_agent(store: EventStore) -> None:
    """Two agents may use the same event_id."""
    store.append(ids("1", agent_id="a")).result(DEADLINE)
    stored = store.append(ids("1", agent_id="b")).result(DEADLINE)

    assert stored == (1, 0)


def test_events_without_id_are_all_stored(store: EventStore) -> None:
    """Without an event_id nothing is a duplicate."""
    stored = store.append(rows(event(), event())).result(DEADLINE)

    assert stored == (2, 0)


def test_concurrent_appends_are_each_stored_and_counted(store: EventStore) -> None:
    """However requests are grouped, each one is told its own count."""
    results: List[Tuple[int, int]] = []
    barrier = threading.Barrier(8)

    def send(thread: int) -> None:
        barrier.wait(DEADLINE)
        futures = [store.append(ids(f"{thread}-{i}", "same")) for i in range(50)]
        results.extend(tuple(f.result(DEADLINE)) for f in futures)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)

    assert len(results) == 400
    assert sum(accepted for accepted, _ in results) == 401
    assert sum(accepted + known for accepted, known in results) == 800
    assert store.count() == 401


def test_a_request_that_fails_does_not_fail_its_neighbours(store: EventStore) -> None:
    """Rows that SQLite refuses fail alone, and nothing of their request is stored."""
    bad = [ids("bad")[0], ids("worse")[0]._replace(status="odd")]

    futures = [store.append(r) for r in (ids("1"), bad, ids("2"))]

    assert futures[0].result(DEADLINE) == (1, 0)
    assert isinstance(futures[1].exception(DEADLINE), sqlite3.IntegrityError)
    assert futures[2].result(DEADLINE) == (1, 0)
    assert store.count() == 2


def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(
    store: EventStore,
) -> None:
    """Nothing that failed is stored, and with space again the store goes on."""
    connection = store._writer._connection
    before = connection.execute("PRAGMA max_page_count").fetchone()
    connection.execute("PRAGMA max_page_count = 40")

    large = rows(*[event(input_data={"x": "y" * 9_000})] * 50)
    failure = store.append(large).exception(DEADLINE)
    connection.execute("PRAGMA max_page_count = %d" % before)

    assert isinstance(failure, sqlite3.OperationalError)
    assert store.count() == 0
    assert store.append(large).result(DEADLINE) == (50, 0)


def test_more_readers_than_are_kept_are_served(store: EventStore) -> None:
    """Reading at once from many threads opens connections and closes them again."""
    store.append(ids("1")).result(DEADLINE)
    counts: List[int] = []
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            reader = stack.enter_context(store._reader())
            counts += reader.execute("SELECT count(*) FROM events").fetchone()

    assert counts == [1] * 12


def test_a_cancelled_append_is_either_stored_or_not(store: EventStore) -> None:
    """Cancelling a future never harms the writer."""
    futures = [store.append(ids(str(i))) for i in range(20)]
    cancelled = sum(future.cancel() for future in futures)

    store.append(ids("last")).result(DEADLINE)

    assert store.count() == 21 - cancelled


def test_pages_follow_each_other_while_events_arrive(store: EventStore) -> None:
    """Events that arrive between two pages neither repeat nor hide older ones."""
    store.append(ids(*map(str, range(10)))).result(DEADLINE)

    seen: List[Any] = []
    before = None
    while True:
        page = store.page(limit=3, before=before)
        seen += [e.row.event_id for e in page.events]
        store.append(rows(event())).result(DEADLINE)
        before = page.next_before
        if before is None:
            break

    assert seen == [str(n) for n in reversed(range(10))]


def test_filters_are_combined(store: EventStore) -> None:
    """Each filter narrows the page further."""
    store.append(
        rows(
            event(agent_id="a", metadata={"trace_id": "t"}),
            event(agent_id="a", status="failure", metadata={"trace_id": "t"}),
            event(agent_id="b", status="error", event_type="x"),
        )
    ).result(DEADLINE)

    def found(**filters: str) -> int:
        return len(store.page(filters).events)

    assert found() == 3
    assert found(agent_id="a") == 2
    assert found(status="error") == 2
    assert found(agent_id="a", status="error", trace_id="t") == 1
    assert found(event_type="x", trace_id="t") == 0


@pytest.mark.parametrize("name", store_module.FILTERS)
def test_every_filter_has_an_index(store: EventStore, name: str) -> None:
    """A page is never found by reading the whole table."""
    query, values = store_module._page_query({name: "success"}, before=7)
    reader = sqlite3.connect(store.path)
    plan = str(reader.execute(f"EXPLAIN QUERY PLAN {query}", [*values, 9]).fetchall())
    reader.close()

    assert "USING INDEX" in plan
    assert "TEMP B-TREE" not in plan


def test_a_page_of_large_events_ends_early(
    store: EventStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size of a page is bounded; the rest is one cursor away."""
    monkeypatch.setattr(store_module, "MAX_PAGE_BYTES", 2_000)
    store.append(rows(*[event(input_data={"x": "y" * 900})] * 5)).result(DEADLINE)

    first = store.page()
    second = store.page(before=first.next_before)

    assert [len(first.events), len(second.events)] == [3, 2]
    assert second.next_before is None


def test_a_sequence_number_is_never_used_again(tmp_path: Path) -> None:
    """Cursors and followers stay right also when everything was deleted."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        store.append(ids("1", "2")).result(DEADLINE)
    connection = sqlite3.connect(str(path))
    connection.execute("DELETE FROM events")
    connection.commit()
    connection.close()

    with EventStore(path) as store:
        store.append(ids("3")).result(DEADLINE)
        (found,) = store.page().events

    assert found.seq == 3


def test_the_receiving_clock_stamps_the_row(tmp_path: Path) -> None:
    """When an event was received is the collector's word, not the event's."""
    with EventStore(tmp_path / "a.db", clock=lambda: 12.5) as store:
        store.append(rows(event())).result(DEADLINE)
        (found,) = store.page().events

    assert found.received_us == 12_500_000


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_the_files_are_private(store: EventStore) -> None:
    """Prompts are not for the other users of the machine."""
    store.append(ids("1")).result(DEADLINE)

    files = sorted(Path(store.path).parent.iterdir())
    modes = {stat.S_IMODE(f.stat().st_mode) for f in files}

    assert len(files) == 4
    assert modes == {0o600}


def test_commits_are_synchronous_and_space_can_be_given_back(tmp_path: Path) -> None:
    """The database is WAL, synchronous=FULL and ready for incremental vacuum."""
    connection = store_module._open(str(tmp_path / "a.db"))
    found = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "auto_vacuum")
    }
    connection.close()

    assert found == {"journal_mode": "wal", "synchronous": 2, "auto_vacuum": 2}


def test_a_second_store_is_refused(store: EventStore, tmp_path: Path) -> None:
    """One database has one collector, also under another name of the same file."""
    (tmp_path / "link.db").symlink_to(store.path)

    with pytest.raises(DatabaseInUseError, match="already open in another collector"):
        EventStore(store.path)
    with pytest.raises(DatabaseInUseError):
        EventStore(tmp_path / "link.db")


def test_a_second_process_is_refused_until_the_first_dies(tmp_path: Path) -> None:
    """The lock goes with its process, however that ends."""
    script = """
        import sys
        from agentmonitor_logging.collector import EventStore
        store = EventStore(sys.argv[1])
        print("open", flush=True)
        sys.stdin.read()
    """
    path = str(tmp_path / "a.db")
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"open"
        with pytest.raises(DatabaseInUseError):
            EventStore(path)
        other.kill()
        other.wait(DEADLINE)
        EventStore(path).close()


def test_a_closed_store_refuses_and_may_be_closed_again(store: EventStore) -> None:
    """Closing twice is nothing; using a closed store is a clear error."""
    repr_before = repr(store)
    store.page()
    store.close()
    store.close()

    with pytest.raises(StoreClosedError):
        store.append(ids("1"))
    with pytest.raises(StoreClosedError):
        store.page()
    assert not store.alive
    assert (repr_before[-5:], repr(store)[-7:]) == ("open>", "closed>")


def test_closing_commits_what_was_appended(tmp_path: Path) -> None:
    """What was taken is stored, also when nobody waited for it."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        futures = [store.append(ids(str(n))) for n in range(30)]

    assert all(future.done() for future in futures)
    with EventStore(path) as again:
        assert again.count() == 30


def test_migrations_run_once(tmp_path: Path) -> None:
    """The names of the steps are kept, and a step that ran does not run again."""
    connection = store_module._connect(str(tmp_path / "a.db"))

    first = steps.migrate(connection)
    second = steps.migrate(connection)
    kept = [name for (name,) in connection.execute("SELECT name FROM migrations")]
    connection.close()

    assert first == kept == [step.__name__ for step in steps.MIGRATIONS]
    assert second == []


def test_an_older_database_is_brought_up_to_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new step runs on the next opening and keeps what was there."""
    path = tmp_path / "a.db"
    with EventStore(path) as store:
        store.append(ids("1")).result(DEADLINE)

    def m999_more(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE events ADD COLUMN more TEXT")

    monkeypatch.setattr(steps, "MIGRATIONS", [*steps.MIGRATIONS, m999_more])
    with EventStore(path) as store:
        assert store.count() == 1
        assert store.append(ids("2")).result(DEADLINE) == (1, 0)


def test_a_failing_step_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that breaks leaves the database as it was, and it can be opened again."""
    path = tmp_path / "a.db"

    def m999_broken(connection: sqlite3.Connection) -> None:
        connection.execute("CREATE TABLE half (x)")
        connection.execute("nonsense")

    with monkeypatch.context() as patch:
        patch.setattr(steps, "MIGRATIONS", [*steps.MIGRATIONS, m999_broken])
        with pytest.raises(StoreError, match="nonsense"):
            EventStore(path)
    with EventStore(path):
        reader = sqlite3.connect(str(path))
        tables = {name for (name,) in reader.execute("SELECT name FROM sqlite_master")}
        reader.close()

    assert "half" not in tables


def test_a_newer_database_is_refused(tmp_path: Path) -> None:
    """A version that does not know a step does not touch the file."""
    path = tmp_path / "a.db"
    EventStore(path).close()
    connection = sqlite3.connect(str(path))
    connection.execute("INSERT INTO migrations VALUES ('m999_future', 'then')")
    connection.commit()
    connection.close()

    with pytest.raises(StoreError, match="newer version"):
        EventStore(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A wrong --db never alters somebody else's file."""
    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(str(path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()

    with pytest.raises(StoreError, match="another program"):
        EventStore(path)

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """A text file given as --db is an error, not a loss."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)

    with pytest.raises(StoreError, match="not a database"):
        EventStore(path)


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The error says which path cannot be opened."""
    with pytest.raises(StoreError, match="missing"):
        EventStore(tmp_path / "missing" / "a.db")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-16T12:00:00.123456Z", "2026-10-16T12:00:00.123456Z"),
        ("2026-10-16T12:00:00Z", "2026-10-16T12:00:00.000000Z"),
        ("2026-10-16T12:00:00.5", "2026-10-16T12:00:00.500000Z"),
        ("2026-10-16T12:00:00.123456789z", "2026-10-16T12:00:00.123456Z"),
        ("2026-10-16 14:30+02:30", "2026-10-16T12:00:00.000000Z"),
        ("2026-10-16T09:00:00-0300", "2026-10-16T12:00:00.000000Z"),
        ("2026-10-16T12:00:00+00", "2026-10-16T12:00:00.000000Z"),
        ("2026-10-16", "2026-10-16T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_of_every_iso_8601_form_are_kept_as_utc(text: str, expected: str) -> None:
    """With Z, with an offset, or naive as UTC; seven or more digits are cut."""
    assert iso_8601(microseconds(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "now", "12:00", "2026-13-01", "2026-10-16T24:61:00Z", "2026-10-16T1:00Z", "1"],
)
def test_other_times_are_refused(text: str) -> None:
    """A text that is not a moment is an error."""
    with pytest.raises(ValueError, match=r"."):
        microseconds(text)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00"])
def test_times_outside_the_calendar_are_refused(text: str) -> None:
    """An offset cannot push a time out of the years 1 to 9999."""
    with pytest.raises(OverflowError):
        microseconds(text)


def test_a_lone_surrogate_is_kept_in_payloads_and_replaced_in_names() -> None:
    """Half a pair has no UTF-8: payloads keep it escaped, names lose it."""
    (row,) = rows(
        event(
            agent_id="a\ud800", input_data={"é\udc00": "\ud83d"}, error_message="\udfff"
        )
    )

    assert row.agent_id == "a\ufffd"
    assert row.error_message == "\ufffd"
    assert row.input_data == '{"é\\udc00":"\\ud83d"}'
    assert json.loads(row.input_data) == {"é\udc00": "\ud83d"}


def test_only_strings_mark_an_event() -> None:
    """An id of another type stays in the metadata and means nothing to us."""
    (row,) = rows(event(metadata={"event_id": 7, "trace_id": "", "user_id": ["x"]}))

    assert (row.event_id, row.trace_id, row.user_id) == (None, None, None)
    assert row.metadata == '{"event_id":7,"trace_id":"","user_id":["x"]}'


def nested(levels: int) -> Dict[str, Any]:
    """Make an object of *levels* levels."""
    value: Dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"x": value}
    return value


def test_depth_is_bounded() -> None:
    """What is stored can be read back under anybody's recursion limit."""
    deepest = rows(event(input_data=nested(MAX_DEPTH)))

    assert deepest[0].input_data is not None
    with pytest.raises(InvalidBodyError) as caught:
        rows(event(input_data=nested(MAX_DEPTH + 1)))
    assert "levels deep" in caught.value.errors[0][1]


@pytest.mark.parametrize(
    "changes",
    [
        {"agent_id": None},
        {"agent_id": "  "},
        {"agent_id": 7},
        {"event_type": ""},
        {"event_type": ["x"]},
        {"timestamp": None},
        {"timestamp": 1697457600},
        {"timestamp": "yesterday"},
        {"timestamp": "0001-01-01T00:00+01:00"},
        {"input_data": "text"},
        {"input_data": []},
        {"output_data": 1},
        {"metadata": [1]},
        {"input_data": {"x": float("inf")}},
        {"cost_usd": "0.1"},
        {"cost_usd": True},
        {"cost_usd": float("inf")},
        {"cost_usd": 10**400},
        {"latency_ms": -1},
        {"latency_ms": "7"},
        {"latency_ms": [7]},
        {"status": "ok"},
        {"status": ["error"]},
        {"status": 0},
        {"error_message": {"x": 1}},
    ],
)
def test_a_wrong_type_is_refused_and_named(changes: Dict[str, Any]) -> None:
    """The error has the index and names the field."""
    with pytest.raises(InvalidBodyError) as caught:
        rows(event(), event(**changes))

    ((index, message),) = caught.value.errors
    assert index == 1
    assert next(iter(changes)) in message


@pytest.mark.parametrize("value", [None, [], {}, {"events": {}}, {"events": []}, "x"])
def test_a_body_that_is_no_batch_is_refused(value: Any) -> None:
    """Without events to blame there are no indices."""
    with pytest.raises(InvalidBodyError) as caught:
        rows_from_batch(value)

    assert caught.value.errors == ()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[" * 200_000,
        b'{"x":' * 200_000,
        b"1" * 5_000,
    ],
)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    """NaN, bombs of brackets and endless numbers are not JSON to us."""
    try:
        parsed = parse_json(body)
    except InvalidBodyError as error:
        assert error.errors == ()
    else:
        # Older versions of Python read numbers of any length.
        assert isinstance(parsed, int)


def test_null_and_absent_are_the_same() -> None:
    """The original API leaves out what is null."""
    absent = rows(event())
    null = rows(
        event(
            input_data=None,
            output_data=None,
            metadata=None,
            cost_usd=None,
            latency_ms=None,
            error_message=None,
            unknown="ignored",
        )
    )
    no_status = rows(event(status=None))

    assert absent == null == no_status


def test_numbers_keep_their_kind(store: EventStore) -> None:
    """A whole latency stays whole, and a huge one does not break the database."""
    numbers = [350, 350.5, 0, 2**70]
    store.append(rows(*(event(latency_ms=n, cost_usd=n) for n in numbers))).result(
        DEADLINE
    )

    found = [e.row.latency_ms for e in reversed(store.page().events)]

    assert found == [350, 350.5, 0, float(2**70)]
    assert isinstance(found[0], int)
