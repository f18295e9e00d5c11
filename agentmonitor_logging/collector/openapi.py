"""The API, described for programs: OpenAPI 3.1."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Dict, List, Optional

from .questions import DEFAULT_LIMIT, MAX_LIMIT
from .validation import MAX_EVENTS, STATUSES
from .wanted import DEFAULT_LIMIT as DEFAULT_EVENTS
from .wanted import MAX_LIMIT as MAX_PAGE

Schema = Dict[str, Any]

_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string", "minLength": 1}
_CURSOR = {
    "type": "string",
    "minLength": 1,
    "description": "The `next` of an earlier answer to the same question.",
}
_COUNT = {"type": "integer", "minimum": 0}
_OBJECT_OR_NULL = {"type": ["object", "null"]}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "required": list(fields), "properties": fields}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


_CALL: Dict[str, Schema] = {
    "agent_id": {"type": "string"},
    "event_type": {"type": "string"},
    "status": {"enum": ["success", "error"]},
    "cost_usd": _or_null("number"),
    "latency_ms": _or_null("number"),
    "error_message": _or_null("string"),
}

_SUM: Dict[str, Schema] = {
    "events": _COUNT,
    "errors": _COUNT,
    "cost_usd": _or_null("number"),
    "tokens": _or_null("integer"),
    "p50_ms": _or_null("number"),
    "p95_ms": _or_null("number"),
}

_SCHEMAS: Dict[str, Schema] = {
    "NewEvent": {
        "type": "object",
        "required": ["agent_id", "event_type", "timestamp"],
        "properties": {
            "agent_id": _TEXT,
            "event_type": _TEXT,
            "timestamp": {**_TIME, "description": "Without an offset it is UTC."},
            "input_data": _OBJECT_OR_NULL,
            "output_data": _OBJECT_OR_NULL,
            "metadata": _OBJECT_OR_NULL,
            "cost_usd": _or_null("number"),
            "latency_ms": {"type": ["number", "null"], "minimum": 0},
            "status": {"enum": [*sorted(STATUSES), None]},
            "error_message": _or_null("string"),
        },
    },
    "Event": _object(
        id=_COUNT,
        received_at=_TIME,
        timestamp=_TIME,
        **_CALL,
        input_data=_OBJECT_OR_NULL,
        output_data=_OBJECT_OR_NULL,
        metadata={"type": "object"},
    ),
    "Span": _object(
        id=_COUNT,
        trace_id=_or_null("string"),
        event_id=_or_null("string"),
        span_id=_or_null("string"),
        parent_span_id=_or_null("string"),
        session_id=_or_null("string"),
        name={"type": "string"},
        timestamp=_TIME,
        tokens=_or_null("integer"),
        **_CALL,
    ),
    "Trace": _object(
        id=_COUNT,
        trace_id={"type": "string"},
        revision=_COUNT,
        name={"type": "string"},
        started_at=_TIME,
        events=_COUNT,
        errors=_COUNT,
        tokens=_or_null("integer"),
        session_id=_or_null("string"),
        user_id=_or_null("string"),
        input=_or_null("string"),
        output=_or_null("string"),
        complete={"type": "boolean"},
        **_CALL,
    ),
    "Session": _object(
        id=_COUNT,
        session_id={"type": "string"},
        revision=_COUNT,
        user_id=_or_null("string"),
        agent_id={"type": "string"},
        started_at=_TIME,
        last_at=_TIME,
        traces=_COUNT,
        events=_COUNT,
        errors=_COUNT,
        cost_usd=_or_null("number"),
        tokens=_or_null("integer"),
    ),
    "Turn": _object(
        trace=_ref("Trace"), input_data=_OBJECT_OR_NULL, output_data=_OBJECT_OR_NULL
    ),
    "Sum": _object(**_SUM),
    "Stored": _object(accepted=_COUNT, duplicates=_COUNT),
    "Error": {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    },
}

_STATS: Dict[str, Schema] = {
    "from": _TIME,
    "to": _TIME,
    "bucket_seconds": _COUNT,
    "total": _ref("Sum"),
    "before": _ref("Sum"),
    "series": _list(_object(**{"from": _TIME, **_SUM})),
    "agents": _list(_object(agent_id={"type": "string"}, before=_ref("Sum"), **_SUM)),
    "event_types": _list(
        _object(event_type={"type": "string"}, before=_ref("Sum"), **_SUM)
    ),
    "newest": _or_null("string"),
}

_FILTERS: Dict[str, Schema] = {
    "agent_id": _TEXT,
    "event_type": _TEXT,
    "status": {"enum": sorted(STATUSES)},
    "session_id": _TEXT,
}
_SPAN = {"from": _TIME, "to": _TIME}
_PAGE = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_LIMIT,
        "default": DEFAULT_LIMIT,
    },
    "cursor": _CURSOR,
}
_EVENT_PAGE = {
    "limit": {**_PAGE["limit"], "maximum": MAX_PAGE, "default": DEFAULT_EVENTS},
    "cursor": _CURSOR,
}
_AMOUNT = {"type": "number", "minimum": 0}


def _answer(schema: Schema, kind: str = "application/json") -> Schema:
    return {"description": "As asked.", "content": {kind: {"schema": schema}}}


def _error(description: str) -> Schema:
    return {**_answer(_ref("Error")), "description": description}


def _operation(
    summary: str,
    answer: Schema,
    *,
    query: Optional[Dict[str, Schema]] = None,
    path: Optional[str] = None,
    body: Optional[Schema] = None,
) -> Schema:
    parameters: List[Schema] = [
        {"name": name, "in": "query", "schema": schema}
        for name, schema in (query or {}).items()
    ]
    responses = {
        "200": answer,
        "400": _error("The question, or the body, is wrong; it says what."),
        "401": _error("X-API-Key is missing or wrong."),
        "403": _error("A page of another origin asks."),
        "421": _error("The Host is not one of this collector's."),
        "503": _error("The database cannot be used now, or too much is under way."),
    }
    if path is not None:
        schema: Schema = {"type": "string", "minLength": 1}
        if path == "id":
            schema = {"type": "integer", "minimum": 1}
        parameters.append(
            {"name": path, "in": "path", "required": True, "schema": schema}
        )
        responses["404"] = _error("There is no such thing.")
    operation: Schema = {"summary": summary, "parameters": parameters}
    if body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": body}},
        }
        responses["408"] = _error("The body came too slowly.")
        responses["413"] = _error("The body is too large.")
        responses["415"] = _error("The body is packed otherwise than by gzip.")
    return {**operation, "responses": responses}


_NEXT = {"type": ["string", "null"]}


def _some(*names: str) -> Dict[str, Schema]:
    return {name: _FILTERS[name] for name in names}


def _paths() -> Dict[str, Schema]:
    return {**_paths_of_events(), **_paths_of_views(), **_paths_of_others()}


def _paths_of_events() -> Dict[str, Schema]:
    events = {**_list(_ref("NewEvent")), "minItems": 1, "maxItems": MAX_EVENTS}
    page = _object(events=_list(_ref("Event")), next=_NEXT)
    filters = _some("agent_id", "event_type", "status")
    stored = _answer(_ref("Stored"))
    shown = _object(name={"type": "string"}, tokens=_or_null("integer"))
    whole = {"allOf": [_ref("Event"), shown]}
    return {
        "/events/batch": {
            "post": _operation("Store events.", stored, body=_object(events=events))
        },
        "/events/ingest": {
            "post": _operation("Store one event.", stored, body=_ref("NewEvent"))
        },
        "/events": {
            "get": _operation(
                "Read events, newest first.",
                _answer(page),
                query={**filters, "trace_id": _TEXT, **_EVENT_PAGE},
            )
        },
        "/events/{id}": {
            "get": _operation("Read one event.", _answer(whole), path="id")
        },
    }


def _paths_of_views() -> Dict[str, Schema]:
    traces = _object(
        traces=_list(_ref("Trace")),
        next=_NEXT,
        reached=_or_null("string"),
        revision=_COUNT,
    )
    spans = _list(_ref("Span"))
    trace = _object(trace=_ref("Trace"), spans=spans, cut={"type": "boolean"})
    sessions = _object(sessions=_list(_ref("Session")), next=_NEXT)
    turns = _list(_ref("Turn"))
    session = _object(session=_ref("Session"), turns=turns, next=_NEXT)
    measures = {"min_cost": _AMOUNT, "min_latency_ms": _AMOUNT}
    listed = {**_FILTERS, "q": _TEXT, **_SPAN, **measures, **_PAGE}
    talks = {"agent_id": _TEXT, "q": _TEXT, **_SPAN, **_PAGE}
    order = (
        "Read traces, newest first; those with q by their newest hit, in which case one"
        " may come again on a later page; those with from or to alone by their start."
    )
    one = "Read a trace and its calls."
    talk = "Read a session and its traces, oldest first."
    return {
        "/traces": {"get": _operation(order, _answer(traces), query=listed)},
        "/traces/{trace_id}": {"get": _operation(one, _answer(trace), path="trace_id")},
        "/sessions": {
            "get": _operation(
                "Read sessions, newest first.", _answer(sessions), query=talks
            )
        },
        "/sessions/{session_id}": {
            "get": _operation(talk, _answer(session), query=_PAGE, path="session_id")
        },
    }


_MESSAGES = (
    "The first message is `database`, with its name and its revision. Where the name is"
    " another than before, or the revision is below `after`, the numbers have begun"
    " anew: follow after 0. The others are `traces` or `events`, each with the revision"
    " up to which it tells, which is its id."
)


def _paths_of_others() -> Dict[str, Schema]:
    of = {"enum": ["traces", "events"], "default": "traces"}
    return {
        "/stats": {
            "get": _operation(
                "Read what the events of a span of time come to.",
                _answer(_object(**_STATS)),
                query={**_some("agent_id", "event_type"), **_SPAN},
            )
        },
        "/stream": {
            "get": _operation(
                "Be told what is new as it comes.",
                {
                    **_answer({"type": "string"}, "text/event-stream"),
                    "description": _MESSAGES,
                },
                query={"of": of, "after": _COUNT, **_FILTERS},
            )
        },
        "/openapi.json": {"get": _operation("Read this.", _answer({"type": "object"}))},
    }


@functools.lru_cache(maxsize=None)
def document() -> Schema:
    """Return the description of the API."""
    try:
        number = version("agentmonitor-logging")
    except PackageNotFoundError:
        number = "0"
    key = {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "The collector of agentmonitor-logging", "version": number},
        "servers": [{"url": "/api/v1"}],
        "security": [{}, {"key": []}],
        "paths": _paths(),
        "components": {"schemas": _SCHEMAS, "securitySchemes": {"key": key}},
    }
