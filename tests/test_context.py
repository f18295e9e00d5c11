"""Spans and bound fields: who sees them, and that nobody else does."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import sys
import threading
import types
import weakref
from typing import Any, Generator, Iterator, List, Optional, Tuple

import pytest

from agentmonitor_logging.context import (
    EVENT_FIELDS,
    EventFields,
    Span,
    activate,
    agent_context,
    bound_fields,
    current_scope,
    current_span,
    new_span,
    restore,
    start_span,
    switch,
)


@pytest.fixture(autouse=True)
def _no_scope() -> Iterator[None]:
    """Give every test a context without a span."""
    switch((None, None, None))
    yield
    switch((None, None, None))


def is_hex(text: str, length: int) -> bool:
    return len(text) == length and set(text) <= set("0123456789abcdef")


def test_root_span_begins_a_trace() -> None:
    """Without a current span, a new one has a trace of its own and no parent."""
    span = new_span()

    assert is_hex(span.trace_id, 32)
    assert is_hex(span.span_id, 16)
    assert span.parent_span_id is None


def test_child_span_names_its_parent() -> None:
    """A new span is the child of the current one, in the same trace."""
    parent = start_span()
    child = new_span()

    assert (parent.trace_id, parent.span_id) == (child.trace_id, child.parent_span_id)
    assert child.span_id != parent.span_id
    assert parent.span_id in repr(parent)


def test_new_span_is_not_current() -> None:
    """Making a span changes nothing for the code around."""
    new_span()

    assert current_span() is None


def test_ending_a_span_brings_the_one_before_back() -> None:
    """Spans nest: ending each one ends at none."""
    outer = start_span()
    inner = start_span()
    restore(inner)

    assert current_span() is outer

    restore(outer)

    assert current_span() is None


def test_a_span_may_be_current_more_than_once() -> None:
    """Each time until it is ended; then what was so before is current again."""
    outer = start_span()
    span = new_span()
    for _ in range(2):
        activate(span)
        assert current_span() is span
        restore(span)
        assert current_span() is outer
    restore(outer)


def test_restore_leaves_a_foreign_context_alone() -> None:
    """Ending a span in a context where another one is current changes nothing there."""
    ours = contextvars.copy_context().run(start_span)
    theirs = start_span()
    restore(ours)

    assert current_span() is theirs


def test_ending_a_span_ends_what_was_left_open_inside() -> None:
    """What was entered inside and not ended is not what the code after it runs in."""
    outer = start_span()
    call = start_span()
    suspended = start_span()
    restore(call)

    assert current_span() is outer

    restore(suspended)

    assert current_span() is outer


def test_a_span_ended_in_another_context_is_over_where_it_began() -> None:
    """However many are ended so, in whatever order, what was before is there again."""
    outer = start_span()
    spans = [start_span() for _ in range(4)]
    for number in (1, 3, 0, 2):
        contextvars.copy_context().run(restore, spans[number])

    assert current_span() is outer
    assert new_span().parent_span_id == outer.span_id


def test_a_copied_context_keeps_a_span_that_ended_in_its_own() -> None:
    """A task outlives the block that started it, and stays below it."""
    span = start_span()
    copied = contextvars.copy_context()
    restore(span)

    def task() -> Tuple[Optional[str], ...]:
        first = start_span()
        restore(first)
        return first.parent_span_id, new_span().parent_span_id

    assert copied.run(task) == (span.span_id, span.span_id)


def test_a_copied_context_keeps_what_was_bound() -> None:
    """A task started in the block has its fields when the block is over."""
    with agent_context(user_id="ann"):
        copied = contextvars.copy_context()

    def task() -> Any:
        with agent_context(step=1):
            inside = bound_fields()
        return inside, bound_fields()

    assert copied.run(task) == (
        {"user_id": "ann", "metadata": {"step": 1}},
        {"user_id": "ann"},
    )


def bound_while_suspended(user_id: Any) -> Generator[Any, None, None]:
    with agent_context(user_id=user_id):
        yield bound_fields()


def test_context_left_in_a_copy_is_left_where_it_was_entered() -> None:
    """A generator closed by a task of the loop's leaves no user to the next request."""
    with agent_context(session_id="s"):
        suspended = bound_while_suspended("ann")
        next(suspended)
        contextvars.copy_context().run(suspended.close)

        assert bound_fields() == {"session_id": "s"}


def test_contexts_left_out_of_order_leave_nothing() -> None:
    """Of generators consumed in turns the first to end is not the last entered."""
    for _ in zip(bound_while_suspended("ann"), bound_while_suspended("bob")):
        pass

    assert bound_fields() == {}


def test_context_object_left_by_a_stranger_is_left_where_it_was_entered() -> None:
    """Also where the place that closes the generator knows nothing of it."""
    suspended = bound_while_suspended("ann")
    next(suspended)
    contextvars.Context().run(suspended.close)

    assert bound_fields() == {}


def test_exit_without_an_entry_is_harmless() -> None:
    """Nothing is undone, and nothing raised."""
    with agent_context(session_id="s"):
        agent_context(session_id="other").__exit__(None, None, None)

        assert bound_fields() == {"session_id": "s"}


class User:
    """Somebody whom a weak reference tells to be gone."""


def test_abandoned_contexts_do_not_pile_up() -> None:
    """Where the next are entered before the last are closed, few are kept."""
    known: List[Any] = []
    open_ones: List[Any] = []

    def begin() -> None:
        user = User()
        known.append(weakref.ref(user))
        open_ones.append(bound_while_suspended(user))
        next(open_ones[-1])
        start_span()

    for turn in range(60):
        begin()
        if turn >= 3:
            contextvars.copy_context().run(open_ones.pop(0).close)
    gc.collect()

    assert sum(user() is not None for user in known) <= 5

    while open_ones:
        contextvars.copy_context().run(open_ones.pop().close)

    assert bound_fields() == {}


def test_ids_do_not_move_with_the_random_module() -> None:
    """A program that seeds its randomness does not get the same ids twice."""
    random.seed(7)
    first = new_span()
    random.seed(7)
    second = new_span()

    assert first.trace_id != second.trace_id
    assert first.span_id != second.span_id


def test_switch_swaps_span_and_fields_together() -> None:
    """A scope taken in one place is what another place gets by switching to it."""
    with agent_context(session_id="s"):
        span = start_span()
        scope = current_scope()
    restore(span)
    outer = switch(scope)

    assert (span, {"session_id": "s"}) == (current_span(), bound_fields())

    switch(outer)

    assert (None, {}) == (current_span(), bound_fields())


class ForeignContext:
    def __init__(self, is_valid: bool) -> None:
        self.is_valid = is_valid
        self.trace_id = 0xABC
        self.span_id = 0xDEF


def opentelemetry(monkeypatch: pytest.MonkeyPatch, is_valid: bool) -> None:
    module = types.ModuleType("opentelemetry.trace")
    foreign = types.SimpleNamespace(get_span_context=lambda: ForeignContext(is_valid))
    module.get_current_span = lambda: foreign  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", module)


def test_root_span_joins_an_opentelemetry_trace(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where OpenTelemetry has a current span, our root hangs below it."""
    opentelemetry(monkeypatch, is_valid=True)
    span = new_span()

    assert span.trace_id == f"{0xABC:032x}"
    assert span.parent_span_id == f"{0xDEF:016x}"
    assert is_hex(span.span_id, 16)


def test_opentelemetry_without_a_span_is_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An invalid foreign span is no parent."""
    opentelemetry(monkeypatch, is_valid=False)

    assert new_span().parent_span_id is None


def test_broken_opentelemetry_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A half-imported module of that name does no harm."""
    broken = types.ModuleType("opentelemetry.trace")
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", broken)

    assert new_span().parent_span_id is None


def test_context_binds_own_fields_and_metadata() -> None:
    """The three known names are fields; all others, and metadata=, are metadata."""
    with agent_context(
        session_id="s", user_id="u", agent_id="a", tier="gold", metadata={"env": "test"}
    ):
        bound = bound_fields()

    assert bound == {
        "session_id": "s",
        "user_id": "u",
        "agent_id": "a",
        "metadata": {"env": "test", "tier": "gold"},
    }
    assert bound_fields() == {}


def test_nested_contexts_add_up_and_the_inner_wins() -> None:
    """Inner fields and metadata go over the outer ones and leave with their block."""
    with agent_context(session_id="outer", user_id="u", a=1, b=1):
        with agent_context(session_id="inner", b=2, c=3):
            inner = bound_fields()
        outer = bound_fields()

    assert inner == {
        "session_id": "inner",
        "user_id": "u",
        "metadata": {"a": 1, "b": 2, "c": 3},
    }
    assert outer == {
        "session_id": "outer",
        "user_id": "u",
        "metadata": {"a": 1, "b": 1},
    }


def test_metadata_that_is_no_mapping_is_a_value() -> None:
    """A wrong metadata= raises nothing and is kept under its own name."""
    with agent_context(metadata="note"):
        assert bound_fields() == {"metadata": {"metadata": "note"}}


def test_context_does_not_share_the_callers_mapping() -> None:
    """Changing the mapping after binding it changes nothing bound."""
    metadata = {"a": 1}
    with agent_context(metadata=metadata):
        metadata["a"] = 2

        assert bound_fields() == {"metadata": {"a": 1}}


def test_one_context_object_can_be_entered_again() -> None:
    """Entering twice binds the same twice; each exit undoes one."""
    context = agent_context(session_id="s")
    with context:
        with context:
            assert bound_fields() == {"session_id": "s"}
        assert bound_fields() == {"session_id": "s"}

    assert bound_fields() == {}


def test_context_leaves_with_an_exception() -> None:
    """An exception ends the binding and goes on."""
    with pytest.raises(ValueError, match="boom"):
        with agent_context(session_id="s"):
            raise ValueError("boom")

    assert bound_fields() == {}


def test_context_object_shared_by_tasks() -> None:
    """Tasks that enter one object at once do not see or undo each other's binding."""
    shared = agent_context(session_id="shared")
    seen: List[Any] = []

    async def task(number: int, turns: int) -> None:
        async with agent_context(user_id=number):
            async with shared:
                for _ in range(turns):
                    await asyncio.sleep(0)
                seen.append(dict(bound_fields()))
            seen.append(dict(bound_fields()))

    async def main() -> None:
        await asyncio.gather(task(1, 3), task(2, 1), task(3, 2))

    asyncio.run(main())

    for number in (1, 2, 3):
        assert {"user_id": number, "session_id": "shared"} in seen
        assert {"user_id": number} in seen
    assert bound_fields() == {}


def test_context_left_in_another_context_changes_nothing_there() -> None:
    """A block whose generator is closed elsewhere does not undo that place's binding."""

    def generator() -> Iterator[None]:
        with agent_context(session_id="inside"):
            yield

    suspended = generator()
    contextvars.copy_context().run(next, suspended)
    with agent_context(session_id="here"):
        suspended.close()

        assert bound_fields() == {"session_id": "here"}


def test_threads_start_without_a_context() -> None:
    """A plain new thread has no span and nothing bound, as contextvars have it."""
    seen: List[Any] = []
    with agent_context(session_id="s"):
        start_span()
        thread = threading.Thread(
            target=lambda: seen.append((current_span(), dict(bound_fields())))
        )
        thread.start()
        thread.join(10)

    assert seen == [(None, {})]


def test_copied_context_carries_span_and_fields() -> None:
    """copy_context().run sees what was current where it was copied."""
    with agent_context(session_id="s"):
        span = start_span()
        copied = contextvars.copy_context()

    assert copied.run(current_span) is span
    assert copied.run(bound_fields) == {"session_id": "s"}


def test_event_fields_are_the_typed_ones() -> None:
    """The set of accepted names and the TypedDict for extra= are the same."""
    assert EVENT_FIELDS == set(EventFields.__annotations__)
    assert {"event_type", "input_data", "cost_usd", "span_id"} <= EVENT_FIELDS


def test_span_has_no_room_for_more() -> None:
    """A span takes no attribute of others: one is made for every call, and is small."""
    span = Span("t", "s", None)
    with pytest.raises(AttributeError):
        span.extra = 1  # type: ignore[attr-defined]
