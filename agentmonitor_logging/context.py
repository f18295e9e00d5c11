"""What is true here and now: the current span and the fields bound around it.

Kept apart from tracking because the handlers read it too: a plain
``logger.info`` belongs to the trace and session it is made in.
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
    List,
    Mapping,
    Optional,
    Tuple,
    TypedDict,
    Union,
)

from ._ids import long_id, short_id
from ._links import Link, current, innermost, leave

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


class Span(Link):
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
        self.is_gone = False
        self.outer = self.token = None

    def __repr__(self) -> str:
        """Show the three ids."""
        return f"<Span {self.trace_id} {self.parent_span_id} > {self.span_id}>"


class Binding(Link):
    """What one ``agent_context`` bound, and what was bound around it."""

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[str, Any], outer: Optional[Binding]) -> None:
        self.fields = fields
        self.is_gone = False
        self.outer = outer
        self.token = None


Scope = Tuple[Optional[Span], Optional[Binding], Optional[Link]]
"""Span, binding and open event of one context; opaque outside."""

_NOTHING_BOUND: Mapping[str, Any] = {}

_span: ContextVar[Optional[Span]] = ContextVar("agentmonitor_span", default=None)
_binding: ContextVar[Optional[Binding]] = ContextVar(
    "agentmonitor_binding", default=None
)


open_event: ContextVar[Optional[Any]] = ContextVar(
    "agentmonitor_open_event", default=None
)
"""The `Link` of the innermost ``agent_event`` block; of use to nobody but tracking."""


latest_span: Callable[[], Optional[Span]] = _span.get
latest_binding: Callable[[], Optional[Binding]] = _binding.get
"""As `current_span` and `current_binding`, but what they return may be gone: for who
cannot wait for a function."""


def current_span() -> Optional[Span]:
    """Return the span this code runs in, or None outside of any."""
    return current(_span)


def current_binding() -> Optional[Binding]:
    """Return what ``agent_context`` has bound here, or None outside of any."""
    return current(_binding)


def new_span() -> Span:
    """Return a child of the current span, or the root of a new trace.

    The span is not made current. Ids come from the operating system: they differ
    between forked processes and do not move with ``random.seed``.
    """
    return _span_below(current_span())


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


def start_span() -> Span:
    """Make a new span the current one, until it is ended by `restore`."""
    outer = _span.get()
    if outer is not None and outer.is_gone:
        outer = current(_span)
    span = _span_below(outer)
    span.outer = outer
    span.token = _span.set(span)
    return span


def activate(span: Span) -> None:
    """Make *span*, which is current nowhere, the current one until `restore`."""
    span.outer = current_span()
    span.token = _span.set(span)


def restore(span: Span) -> None:
    """End *span*: make current again what was so before, where *span* still is.

    In any other context (a generator closed by another task) nothing changes:
    the current span there is somebody else's.
    """
    token = span.token
    if token is not None and _span.get() is span:
        try:  # what `leave` does, at half the price
            _span.reset(token)
            span.outer = span.token = None
        except ValueError:
            leave(_span, span)
    else:
        leave(_span, span)


def release(span: Span) -> None:
    """Have *span* current only where a scope with it is switched to; it never ends."""
    span.outer = span.token = None


def current_scope() -> Scope:
    """Return the current span, binding and open event, to be given to ``switch``."""
    return current_span(), current_binding(), current(open_event)


def switch(scope: Scope) -> Scope:
    """Make *scope* the current one and return the one it replaces.

    A generator runs its body in its own scope and hands the consumer's back at
    every ``yield``.
    """
    previous = span, binding, event = _span.get(), _binding.get(), open_event.get()
    if span is not scope[0]:
        _span.set(scope[0])
    if binding is not scope[1]:
        _binding.set(scope[1])
    if event is not scope[2]:
        open_event.set(scope[2])
    return previous


def bound_fields() -> Mapping[str, Any]:
    """Return what ``agent_context`` has bound here; not to be changed.

    Keys are session_id, user_id, agent_id and metadata (a mapping), each only
    where bound.
    """
    binding = current_binding()
    return _NOTHING_BOUND if binding is None else binding.fields


class agent_context:  # noqa: N801 - used like a function, as contextlib's are
    """Bind *fields* to every event made inside the ``with`` or ``async with``.

    session_id, user_id and agent_id are fields of the event; every other keyword,
    and the content of a ``metadata=`` mapping, is metadata. Nested contexts add up
    and the inner one wins. One object may be entered any number of times, also by
    several tasks at once.
    """

    __slots__ = ("_entries", "_fields", "_metadata")

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
        self._entries: List[Binding] = []

    def __enter__(self) -> agent_context:
        """Bind the fields in this context."""
        outer = current(_binding)
        fields = _NOTHING_BOUND if outer is None else outer.fields
        binding = Binding(self._over(fields), outer)
        self._entries.append(binding)
        binding.token = _binding.set(binding)
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
        if binding not in self._entries:
            binding = innermost(binding, self._entries)
        if binding is None:
            return
        try:
            self._entries.remove(binding)
        except ValueError:  # another thread was faster
            return
        leave(_binding, binding)

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
