"""What is true here and now: the current span and the fields bound around it.

Kept apart from tracking because the handlers read it too: a plain
``logger.info`` belongs to the trace and session it is made in. Both values are
restored by setting the previous one and never by a token: a token refuses to be
reset from another task, which is where asyncio closes abandoned generators.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    Dict,
    FrozenSet,
    Mapping,
    Optional,
    Tuple,
    TypedDict,
    Union,
)

from ._ids import long_id, short_id

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal
    from types import TracebackType
    from typing import Literal, Type


class EventFields(TypedDict, total=False):
    """The keys of ``extra=`` that fill an event; any other becomes metadata."""

    event_type: str
    input_data: Any
    output_data: Any
    metadata: Mapping[str, Any]
    cost_usd: Union[float, Decimal, None]
    latency_ms: Union[int, float, None]
    status: Literal["success", "error"]
    error_message: Optional[str]
    agent_id: str
    timestamp: Union[float, str, datetime]
    event_id: str
    trace_id: str
    span_id: str
    parent_span_id: Optional[str]
    session_id: str
    user_id: str
    function_name: str


EVENT_FIELDS: FrozenSet[str] = frozenset(EventFields.__annotations__)
"""The names of record attributes that are fields of the event."""

_OWN_FIELDS = frozenset(("session_id", "user_id", "agent_id"))


class Span:
    """Name one step of a trace.

    *trace_id* is 32 hex digits, *span_id* 16; *parent_span_id* is 16, or None for
    the root of the trace.
    """

    __slots__ = ("parent_span_id", "span_id", "trace_id")

    def __init__(
        self, trace_id: str, span_id: str, parent_span_id: Optional[str]
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_span_id = parent_span_id

    def __repr__(self) -> str:
        """Show the three ids."""
        return f"<Span {self.trace_id} {self.parent_span_id} > {self.span_id}>"


class Binding:
    """What one ``agent_context`` bound, linked to what was bound around it."""

    __slots__ = ("fields", "outer", "owner")

    def __init__(
        self, fields: Mapping[str, Any], owner: agent_context, outer: Optional[Binding]
    ) -> None:
        self.fields = fields
        self.owner = owner
        self.outer = outer


Scope = Tuple[Optional[Span], Optional[Binding]]
"""Everything this module keeps for one context; opaque outside."""

_NOTHING_BOUND: Mapping[str, Any] = {}

_span: ContextVar[Optional[Span]] = ContextVar("agentmonitor_span", default=None)
_binding: ContextVar[Optional[Binding]] = ContextVar(
    "agentmonitor_binding", default=None
)


current_span: Callable[[], Optional[Span]] = _span.get
"""Return the span this code runs in, or None outside of any."""

current_binding: Callable[[], Optional[Binding]] = _binding.get
"""Return what ``agent_context`` has bound here, or None outside of any."""


def new_span() -> Span:
    """Return a child of the current span, or the root of a new trace.

    The span is not made current. Ids come from the operating system: they differ
    between forked processes and do not move with ``random.seed``.
    """
    return _span_below(_span.get())


def _span_below(parent: Optional[Span]) -> Span:
    if parent is not None:
        return Span(parent.trace_id, short_id(), parent.span_id)
    foreign = _opentelemetry_ids()
    if foreign is not None:
        return Span(foreign[0], short_id(), foreign[1])
    return Span(long_id(), short_id(), None)


def _opentelemetry_ids() -> Optional[Tuple[str, str]]:
    """Return the trace and span id of OpenTelemetry, if the program uses it."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        foreign = trace.get_current_span().get_span_context()
        ids = f"{foreign.trace_id:032x}", f"{foreign.span_id:016x}"
        is_valid = bool(foreign.is_valid) and (len(ids[0]), len(ids[1])) == (32, 16)
    except Exception:  # somebody else's half-imported or newer API
        return None
    return ids if is_valid else None


def start_span() -> Tuple[Span, Optional[Span]]:
    """Make a new span the current one; return it and the one it replaces."""
    previous = _span.get()
    span = _span_below(previous)
    _span.set(span)
    return span, previous


def activate(span: Optional[Span]) -> Optional[Span]:
    """Make *span* the current one and return the one it replaces."""
    previous = _span.get()
    _span.set(span)
    return previous


def restore(span: Span, previous: Optional[Span]) -> None:
    """End *span*: make *previous* current again, where *span* still is.

    In any other context (a generator closed by another task) nothing changes:
    the current span there is somebody else's.
    """
    if _span.get() is span:
        _span.set(previous)


def current_scope() -> Scope:
    """Return the current span and binding, to be given to ``switch``."""
    return _span.get(), _binding.get()


def switch(scope: Scope) -> Scope:
    """Make *scope* the current one and return the one it replaces.

    A generator runs its body in its own scope and hands the consumer's back at
    every ``yield``.
    """
    previous = _span.get(), _binding.get()
    _span.set(scope[0])
    _binding.set(scope[1])
    return previous


def bound_fields() -> Mapping[str, Any]:
    """Return what ``agent_context`` has bound here; not to be changed.

    Keys are session_id, user_id, agent_id and metadata (a mapping), each only
    where bound.
    """
    binding = _binding.get()
    return _NOTHING_BOUND if binding is None else binding.fields


class agent_context:  # noqa: N801 - used like a function, as contextlib's are
    """Bind *fields* to every event made inside the ``with`` or ``async with``.

    session_id, user_id and agent_id are fields of the event; every other keyword,
    and the content of a ``metadata=`` mapping, is metadata. Nested contexts add up
    and the inner one wins. One object may be entered any number of times, also by
    several tasks at once.
    """

    __slots__ = ("_fields", "_metadata")

    def __init__(self, **fields: Any) -> None:
        metadata = fields.pop("metadata", None)
        self._metadata: Dict[str, Any] = (
            dict(metadata) if isinstance(metadata, Mapping) else {}
        )
        if metadata is not None and not isinstance(metadata, Mapping):
            self._metadata["metadata"] = metadata
        self._fields: Dict[str, Any] = {}
        for name, value in fields.items():
            kept = self._fields if name in _OWN_FIELDS else self._metadata
            kept[name] = value

    def __enter__(self) -> agent_context:
        """Bind the fields in this context."""
        outer = _binding.get()
        _binding.set(Binding(self._over(bound_fields()), self, outer))
        return self

    def _over(self, outer: Mapping[str, Any]) -> Mapping[str, Any]:
        fields = {**outer, **self._fields}
        metadata = {**outer.get("metadata", _NOTHING_BOUND), **self._metadata}
        if metadata:
            fields["metadata"] = metadata
        return fields

    def __exit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Bring back what was bound before, where this binding still stands."""
        binding = _binding.get()
        if binding is not None and binding.owner is self:
            _binding.set(binding.outer)

    async def __aenter__(self) -> agent_context:
        """Bind the fields in this task."""
        return self.__enter__()

    async def __aexit__(
        self,
        exc_type: Optional[Type[BaseException]],
        exc: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        """Bring back what was bound before."""
        self.__exit__(exc_type, exc, traceback)
