"""What a class says of its fields: their names, and which its author keeps out.

The class is asked once, and what an object holds is read where it is stored: a
descriptor may compute, or read from a database.
"""

from __future__ import annotations

import types
from typing import AbstractSet, Any, Dict, MutableMapping, Optional
from weakref import WeakKeyDictionary

_UNSET = "[unset]"
"""Stands for a field that has no value, or one that is not stored."""

_GENERATING = ("pydantic.", "msgspec.", "django.", "google.genai.", "pydantic_ai.")
"""Packages that make a repr of all the fields, by a function of their own."""

_NOTHING = object()


class Fields:
    """The fields of a class, as their author has described them.

    `is_written`: somebody wrote the repr, or declined one, and nothing else knows what
    is to be shown. `names`: what a generated repr shows. `in_slots`: all of them are in
    slots. `told`: how attrs is to show one, as in ``field(repr=lambda value: "***")``.
    `withheld`: what stays out of the repr, or of pydantic's dump. `aliases`: the names
    behind those that a dump may use.
    """

    __slots__ = ("aliases", "in_slots", "is_written", "names", "told", "withheld")

    def __init__(self, kind: Any) -> None:
        known = _declared(kind)
        in_repr = _declared(_owner_of_repr(kind)) or known  # maybe a base's
        self.is_written = is_written(kind)
        self.names = [name for name in in_repr if _is_shown(in_repr[name])]
        self.in_slots = all(_is_slot(_of_class(kind, name)) for name in self.names)
        self.told = {
            name: in_repr[name].repr
            for name in self.names
            if callable(getattr(in_repr[name], "repr", None))
        }
        self.withheld = {name for name, field in known.items() if not _is_shown(field)}
        aliases = {
            getattr(field, "serialization_alias", None) or name: name
            for name, field in known.items()
        }
        self.aliases = {**aliases, **dict(zip(known, known))}

    def shown(self, value: Any) -> Dict[str, Any]:
        """Return by name what the repr of *value* shows.

        No descriptor of its class is run. What is stored neither in the object nor as
        a default of its class is a marker.
        """
        if self.in_slots:
            result = {name: getattr(value, name, _UNSET) for name in self.names}
        else:
            inside = attributes(value)
            result = {name: inside.get(name, _NOTHING) for name in self.names}
            for name, item in result.items():
                if item is _NOTHING:
                    result[name] = _default(value, name)
        for name, told in self.told.items():
            result[name] = str(told(result[name]))
        return result


_known: MutableMapping[Any, Optional[Fields]] = WeakKeyDictionary()


def fields_of(kind: Any) -> Optional[Fields]:
    """Return the fields of a class that one of the known libraries gave them."""
    try:
        return _known[kind]
    except KeyError:
        found = _known[kind] = Fields(kind) if _has_fields(kind) else None
        return found


def withheld(kind: Any) -> AbstractSet[str]:
    """Return the names of the fields that stay out of the repr of *kind*."""
    fields = fields_of(kind)
    return fields.withheld if fields else frozenset()


def is_written(kind: Any) -> bool:
    """Tell whether somebody wrote the repr of *kind*, or declined one of its fields."""
    owner = _owner_of_repr(kind)
    if owner is object:
        return hasattr(kind, "__dataclass_fields__") or hasattr(kind, "__attrs_attrs__")
    if f"{owner.__module__}.".startswith(_GENERATING):
        return False
    method = vars(owner)["__repr__"]
    inner = getattr(method, "__wrapped__", method)  # dataclasses wrap what they make
    file = getattr(getattr(inner, "__code__", None), "co_filename", "")
    made_by_dataclass = file == "<string>" and inner is not method
    return not made_by_dataclass and not file.startswith("<attrs generated")


def attributes(value: Any) -> Dict[str, Any]:
    """Return what *value* has in its `__dict__`; empty if it has none."""
    try:
        found = object.__getattribute__(value, "__dict__")
    except Exception:  # none, or a proxy answers for it
        return {}
    return found if type(found) is dict else {}


def _has_fields(kind: Any) -> bool:
    marks = ("__dataclass_fields__", "__attrs_attrs__", "__struct_fields__")
    return any(hasattr(kind, mark) for mark in (*marks, "model_dump")) or (
        hasattr(kind, "__fields__") and hasattr(kind, "dict")  # pydantic 1
    )


def _declared(kind: Any) -> Dict[str, Any]:
    """Return by name what *kind* knows of its fields."""
    if hasattr(kind, "__dataclass_fields__"):
        from dataclasses import fields  # whoever has made one has imported it

        return {field.name: field for field in fields(kind)}
    if hasattr(kind, "__attrs_attrs__"):
        return {field.name: field for field in kind.__attrs_attrs__}
    if hasattr(kind, "model_fields"):
        computed = kind.__pydantic_decorators__.computed_fields
        of_dump = {name: method.info for name, method in computed.items()}
        return {**kind.model_fields, **of_dump}
    of_struct = getattr(kind, "__struct_fields__", None)
    if type(of_struct) is tuple:
        return dict.fromkeys(of_struct)
    of_model = getattr(kind, "__fields__", {})
    return {name: field.field_info for name, field in of_model.items()}


def _is_shown(field: Any) -> bool:
    hidden = getattr(field, "exclude", None) is True or not getattr(field, "repr", True)
    return not hidden


def _owner_of_repr(kind: Any) -> Any:
    return next(base for base in kind.__mro__ if "__repr__" in vars(base))


def _default(value: Any, name: str) -> Any:
    """Return what a slot holds, or the class where an object has nothing of its own."""
    found = _of_class(type(value), name)
    if _is_slot(found):
        return getattr(value, name, _UNSET)
    return _UNSET if hasattr(type(found), "__get__") or found is _NOTHING else found


def _of_class(kind: Any, name: str) -> Any:
    for base in kind.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return _NOTHING


def _is_slot(found: Any) -> bool:
    return type(found) is types.MemberDescriptorType
