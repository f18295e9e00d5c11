"""Objects of other people's classes: what they hold, and how it may fail to be told.

Their methods may do anything, so whatever is asked of them is asked here.
"""

from __future__ import annotations

import threading
from collections import abc, deque
from typing import Any, List

from ._fields import Fields, attributes, fields_of
from ._mapped import is_mapped, loaded, summary
from ._raised import shortened, type_name

_SHORT = 1_024
"""Characters that a repr may keep."""

_MAX_ARRAY = 1_000
"""Items of an array, or rows times columns of a table."""

_PLAIN = frozenset((str, int, float, bool, bytes, type(None)))
_BUILT_IN = frozenset((list, tuple, dict))
_SEQUENCES = (list, tuple, deque)


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
    mapped = is_mapped(value, kind)
    try:
        return loaded(value, kind) if mapped else _content(value, kind)
    except BaseException as error:  # a class may answer for any attribute
        if not endured(error):
            raise
        return unrepresentable(value) if mapped else value


def _content(value: Any, kind: Any) -> Any:
    """Return what an object of unknown kind holds, or *value* itself.

    What its author keeps out of the repr stays out of the event.
    """
    fields = fields_of(kind)
    if fields is None:
        return _tabular(value, kind)
    if fields.is_written:
        return value
    if hasattr(kind, "model_dump"):
        try:
            dumped = kind.model_dump(value, warnings=False)
        except TypeError:  # somebody's own
            dumped = kind.model_dump(value)
        return _pruned(dumped, value)
    if hasattr(kind, "__fields__"):
        return _pruned(kind.dict(value), value)
    return fields.shown(value) or value


def _pruned(dumped: Any, given: Any) -> Any:
    """Return what pydantic has made of *given*, less what reprs keep out.

    A dump goes down into other models and dataclasses. What is of another shape than
    what it was made of is the work of somebody's serializer, and left as it is.
    """
    kind = type(given)
    if kind in _PLAIN:
        return dumped
    fields = None if kind in _BUILT_IN else fields_of(kind)
    if fields is not None:
        return _pruned_model(dumped, given, fields)
    several = _SEQUENCES if issubclass(type(dumped), _SEQUENCES) else abc.Mapping
    if not issubclass(kind, several) or len(dumped) != len(given):
        return dumped
    if several is abc.Mapping:
        return dict(zip(dumped, map(_pruned, dumped.values(), given.values())))
    plain = _PLAIN.issuperset(map(type, given))
    return dumped if plain else list(map(_pruned, dumped, given))


def _pruned_model(dumped: Any, given: Any, fields: Fields) -> Any:
    is_root = getattr(type(given), "__pydantic_root_model__", False)
    if not is_root and type(dumped) is not dict:
        return dumped
    if fields.is_written or is_mapped(given, type(given)):
        return given
    if is_root:
        return {} if "root" in fields.withheld else _pruned(dumped, given.root)
    inside, result = attributes(given), {}
    for key, item in dumped.items():
        name = fields.aliases.get(key, key)
        if name in fields.withheld:
            continue
        if name in inside:
            source = inside[name]
        else:  # computed, in a slot or not foreseen
            source = None if type(item) in _PLAIN else _attribute(given, name)
        result[key] = item if type(source) in _PLAIN else _pruned(item, source)
    return result


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


def _attribute(value: Any, name: str) -> Any:
    try:
        return getattr(value, name)
    except BaseException as error:  # a property that fails
        if not endured(error):
            raise
        return None


def bounded_repr(value: Any) -> str:
    """Return the repr of *value*, shortened, well-formed; a marker if it raises."""
    try:
        return well_formed(shortened(repr(value), _SHORT))
    except BaseException as error:  # somebody else's __repr__
        if not endured(error):
            raise
        return unrepresentable(value)


def speakable(value: Any, kind: Any) -> Any:
    """Return *value*, or what says it in a message if it may be read from afar."""
    try:
        return summary(value, kind) if is_mapped(value, kind) else value
    except BaseException as error:  # somebody else's primary key
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
