"""Objects that stand for rows of a database: shown as far as they are loaded.

Whatever else is asked of them, their repr included, may read from that database: on
the listener's thread, in a session or connection that the application is done with.
They are known by their shape, so that neither SQLAlchemy nor Django is imported.
"""

from __future__ import annotations

from typing import Any, Dict

from ._fields import attributes, is_written, withheld
from ._raised import shortened, type_name

_DJANGO_MODEL = "django.db.models.base"
_DJANGO_QUERY = "django.db.models.query"
_MAX_SUMMARY = 256


def is_mapped(value: Any, kind: Any) -> bool:
    """Tell whether *value* is an object of SQLAlchemy or Django that loads lazily."""
    inside = attributes(value)
    if "_sa_instance_state" in inside:
        return True
    if "_state" in inside:
        return _is_of(kind, _DJANGO_MODEL)
    return "_result_cache" in inside and _is_of(kind, _DJANGO_QUERY)


def _is_of(kind: Any, module: str) -> bool:
    return any(vars(base).get("__module__") == module for base in kind.__mro__)


def loaded(value: Any, kind: Any) -> Dict[str, Any]:
    """Return the class of *value* and the attributes that it has loaded.

    Of those only the primary key where somebody wrote the repr: it may hide others,
    and cannot be asked.
    """
    inside = dict(attributes(value))
    shown = _identity(inside, kind)
    if "_result_cache" in inside:
        if inside["_result_cache"] is not None:
            shown["items"] = inside["_result_cache"]
    elif not is_written(kind):
        shown.update((name, inside[name]) for name in inside if name[:1] != "_")
    kept = withheld(kind)
    told = {name: item for name, item in shown.items() if name not in kept}
    return {"class": type_name(kind), **told}  # no attribute can be named so


def summary(value: Any, kind: Any) -> str:
    """Return the class of *value* and its primary key as one word of a message."""
    key, kept = _identity(attributes(value), kind), withheld(kind)
    parts = ", ".join(f"{name}={key[name]!r}" for name in key if name not in kept)
    return shortened(f"{type_name(kind)}({parts})", _MAX_SUMMARY)


def _identity(inside: Dict[str, Any], kind: Any) -> Dict[str, Any]:
    """Return the primary key by name as far as it is known; a query's model."""
    if "_result_cache" in inside:
        return {"model": getattr(inside.get("model"), "__name__", None)}
    if "_sa_instance_state" in inside:
        key = getattr(inside["_sa_instance_state"], "key", None)  # outlives the rest
        columns = getattr(getattr(kind, "__mapper__", None), "primary_key", ())
        names = [column.key for column in columns]
        return dict(zip(names, key[1])) if key else {}
    name = kind._meta.pk.attname
    return {name: inside[name]} if name in inside else {}
