"""Objects of other people's classes: what they hold, and how it may fail to be told.

Their methods may do anything, so whatever is asked of them is asked here.
"""

from __future__ import annotations

import threading
from typing import Any, List

from ._raised import shortened, type_name

_SHORT = 1_024
"""Characters that a repr may keep."""

_MAX_ARRAY = 1_000
"""Items of an array, or rows times columns of a table."""


def endured(error: BaseException) -> bool:
    """Tell whether what a value raised ends with that value.

    An interrupt or exit may be meant for the program where signals are handled: on
    the main thread. On any other, only the value can have raised it.
    """
    if isinstance(error, Exception):
        return True
    return threading.current_thread() is not threading.main_thread()


def held(value: Any, kind: Any) -> Any:
    """Return what *value* holds as plain data where it can tell, else itself."""
    try:
        return _content(value, kind)
    except BaseException as error:  # a class may answer for any attribute
        if not endured(error):
            raise
        return value


def _content(value: Any, kind: Any) -> Any:
    """Return what an object of unknown kind holds, or *value* itself."""
    names = _field_names(kind)
    if names:
        return {name: _attribute(value, name) for name in names}
    if hasattr(kind, "model_dump"):
        try:
            return kind.model_dump(value, warnings=False)
        except TypeError:
            return kind.model_dump(value)
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):
        return kind.dict(value)
    return _tabular(value, kind)


def _tabular(value: Any, kind: Any) -> Any:
    """Return the content of a numpy array, or of a pandas frame or series."""
    if hasattr(kind, "iloc") and hasattr(kind, "to_dict"):
        return _frame(value) if hasattr(kind, "columns") else _series(value)
    if hasattr(kind, "tolist") and hasattr(kind, "dtype"):
        return _array(value)
    return value


def _frame(value: Any) -> Any:
    """Return the columns of *value* by their names, which say what is secret."""
    rows = _MAX_ARRAY // max(len(value.columns), 1) + 1
    table = dict(value.iloc[:rows, :_MAX_ARRAY].to_dict("list"))
    hidden = len(value) - rows
    if hidden > 0:
        table["[truncated]"] = f"{hidden:,} more rows"
    return table


def _series(value: Any) -> Any:
    """Return the items of *value*, by their labels where those are names."""
    first = value.iloc[:_MAX_ARRAY]
    items, labels = first.tolist(), first.index.tolist()
    if _are_names(labels):
        return dict(zip(labels, items))
    return items if value.size == len(items) else bounded_repr(value)


def _are_names(labels: List[Any]) -> bool:
    distinct = set(labels)
    return len(distinct) == len(labels) and any(type(n) is str for n in distinct)


def _array(value: Any) -> Any:
    """Return the items of an array that is not too large; structures by name."""
    names = getattr(value.dtype, "names", None)
    if not names:
        return value.tolist() if value.size <= _MAX_ARRAY else bounded_repr(value)
    rows = value.reshape(-1)[:_MAX_ARRAY].tolist() if value.ndim else [value.tolist()]
    named = [dict(zip(names, row)) for row in rows]
    return named if value.ndim else named[0]


def _field_names(kind: Any) -> List[str]:
    """Name the fields of a dataclass, an attrs class or a msgspec Struct.

    What its author keeps out of the repr stays out of the event.
    """
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields  # whoever has made one has imported it

        return [field.name for field in fields(kind) if field.repr]
    if hasattr(kind, "__attrs_attrs__"):
        return [field.name for field in kind.__attrs_attrs__ if field.repr]
    return list(getattr(kind, "__struct_fields__", ()))


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except BaseException as error:  # never set, or a property that fails
        if not endured(error):
            raise
        return "[unset]"


def bounded_repr(value: Any) -> str:
    """Return the repr of *value*, shortened, well-formed; a marker if it raises."""
    try:
        return well_formed(shortened(repr(value), _SHORT))
    except BaseException as error:  # somebody else's __repr__
        if not endured(error):
            raise
        return unrepresentable(value)


def unrepresentable(value: Any) -> str:
    """Return the marker for an object that cannot be shown."""
    return f"[unrepresentable {well_formed(type_name(type(value)))}]"


def well_formed(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates: UTF-8 has no place for them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
