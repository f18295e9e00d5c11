"""Packed while it is queued, and as it was when it is unpacked."""

from __future__ import annotations

import gc
import sys
import threading
import tracemalloc
from typing import Any, Dict, List, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentmonitor_logging._capsule import by_name
from agentmonitor_logging._packing import is_packed, pack, unpacked
from agentmonitor_logging._payloads import copied, copied_for_us
from agentmonitor_logging._snapshot import MAX_NODES, MAX_TEXT

HISTORY = [
    {"role": "assistant" if at % 2 else "user", "content": f"text {at}"}
    for at in range(20)
]

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()
)
KEYS = st.sampled_from(["role", "content", "name", 7])
ROWS = st.dictionaries(KEYS, SCALARS)
MESSAGES = st.dictionaries(KEYS, st.text())


def trees(inner: Any) -> Any:
    return st.one_of(
        st.lists(inner, max_size=6),
        st.lists(ROWS, max_size=25),
        st.lists(MESSAGES, min_size=3, max_size=25),
        st.tuples(inner, st.lists(MESSAGES, min_size=4, max_size=6)),
        st.dictionaries(st.text(max_size=3), inner, max_size=4),
    )


class Call(NamedTuple):
    """A named tuple, as results often are."""

    name: str
    rows: List[Dict[str, Any]]


def is_packed_somewhere(tree: Any) -> bool:
    inside = {dict: lambda: tree.values(), list: lambda: tree, tuple: lambda: tree}
    items = inside.get(type(tree), tuple)()
    return is_packed(tree) or any(map(is_packed_somewhere, items))


def packed(**fields: Any) -> Any:
    private = copied_for_us(fields)
    assert is_packed_somewhere(private)
    return private


def public(fields: Any) -> Any:
    return unpacked(copied_for_us(dict(fields)))


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.recursive(SCALARS, trees), max_size=4))
@example({"a": [{}] * 5})
@example({"a": [{}, {"x": "1"}, {}, {"y": "2", "x": "3"}, {}]})
@example({"a": [{"x": "1", "y": "2"}, {"y": "3", "x": "4"}] * 4})
@example({"a": [{"x": "1", "y": "2", "z": "3"}] * 4, "b": "c", "d": HISTORY})
@example({"a": [{1: "a"}, {True: "b"}, {1.0: "c"}, {1: "d"}]})
@example({"a": {7: HISTORY, "b": HISTORY}})
@example({"a": (HISTORY, [HISTORY]), "b": {"c": HISTORY}})
@example({"a": Call("find", HISTORY), "b": HISTORY})
def test_what_is_unpacked_is_what_a_copy_would_be(fields: Any) -> None:
    """In every shape, at any depth, down to the order of the keys."""
    wanted, names = copied(dict(fields)), tuple(fields)
    by_place = copied_for_us(tuple(fields.values()), names)

    assert repr(dict(wanted)) == repr(public(fields))
    assert repr(dict(wanted)) == repr(unpacked(by_name(by_place, names)))
    assert fields == wanted  # nothing of what was given was changed


def test_a_chat_history_is_packed_wherever_dicts_and_lists_lead_to_it() -> None:
    """At the top, and deep inside; not in a tuple, into which nobody looks."""
    for private in (
        packed(messages=HISTORY),
        packed(request={"body": [{"messages": HISTORY}]}),
        packed(one=HISTORY, other=(HISTORY,)),
    ):
        assert "text 7" in repr(unpacked(private))
    assert not is_packed_somewhere(copied_for_us({"x": (HISTORY,)}))
    assert not is_packed_somewhere(copied_for_us({"x": HISTORY[:3]}))
    assert not is_packed_somewhere(copied_for_us({"x": [*HISTORY, {"nested": []}]}))
    assert not is_packed_somewhere(
        copied_for_us({"x": [*HISTORY, {"n": "x" * (MAX_TEXT + 1)}]})
    )
    assert not is_packed_somewhere(copied_for_us({"x": {7: HISTORY}}))


def test_long_texts_are_shared_and_never_joined() -> None:
    """A history of pictures is copied as any other, without a copy of the pictures."""
    pictures = [{"picture": "x" * 900_000 + str(number)} for number in range(20)]
    tracemalloc.start()
    private = copied_for_us({"rows": pictures})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 100_000
    rows = unpacked(private)["rows"]
    assert rows == pictures
    assert all(one["picture"] is row["picture"] for one, row in zip(pictures, rows))


def test_a_copy_does_not_change_with_what_was_copied() -> None:
    """Messages that are added, changed or emptied later do not show."""
    history = [dict(message) for message in HISTORY]
    private = packed(messages=history)
    history[0]["content"] = "changed"
    history[1].clear()
    history.pop()

    assert unpacked(private)["messages"] == HISTORY


def test_what_is_packed_is_nothing_to_the_garbage_collector() -> None:
    """After its first look it no longer looks there, however long that waits."""
    waiting = [packed(messages=[dict(m) for m in HISTORY]) for _ in range(50)]
    for _ in range(2):
        gc.collect()
    known = {id(one) for one in gc.get_objects()}
    parts = [part for copy in waiting for part in copy["messages"]]

    assert not [p for p in parts if type(p) is tuple and id(p) in known]


def test_the_same_bounds_hold() -> None:
    """What exceeds the nodes is cut as in any copy."""
    for count in (MAX_NODES // 2 - 20, MAX_NODES // 2 + 20, MAX_NODES):
        many = [{"n": str(number)} for number in range(count)]
        for fields in ({"rows": many}, {"a": HISTORY, "rows": many}, {"x": [many]}):
            assert public(fields) == copied(dict(fields))


class Hostile:
    """A key that fails to be compared."""

    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise ValueError(other)


def test_keys_of_any_class_do_no_harm() -> None:
    """Where they cannot be compared, the messages are copied one by one."""
    history: Any = [{Hostile(): text} for text in "abcd"]

    assert pack(history, 100, 1_000) is None
    copy = public({"x": history})["x"]
    assert [list(row.values()) for row in copy] == [["a"], ["b"], ["c"], ["d"]]


@pytest.mark.timeout(60)
def test_messages_that_change_meanwhile_are_copied_whole() -> None:
    """Another thread's changes make no row of two halves, and no error."""
    history: List[Dict[str, Any]] = [{"a": "0", "b": "0", "c": "C"} for _ in range(99)]
    over = threading.Event()

    def change() -> None:
        number = 0
        while not over.is_set():
            number += 1
            for row in history:
                row.update(a=str(number), b=str(number))
                row[f"k{number % 3}"] = "more"
                row.pop(f"k{(number + 1) % 3}", None)
                row["c"] = row.pop("c")

    thread = threading.Thread(target=change)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        for _ in range(300):
            rows = public({"rows": history})["rows"]
            assert 99 == len(rows)
            for row in rows:
                assert row["a"] == row["b"]
                assert set(row) <= {"a", "b", "c", "k0", "k1", "k2"}
                assert "C" == row.get("c", "C")
                assert {row.get(f"k{n}", "more") for n in range(3)} == {"more"}
    finally:
        sys.setswitchinterval(before)
        over.set()
        thread.join()
    assert unpacked([]) == []
