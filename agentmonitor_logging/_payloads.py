"""Copies of what a call was given and of what it returned, as it is at that moment.

`copied` and `as_object` make what anybody may see, in a record. `copied_for_us` and
`copied_alone` make what only our listener will, and are the cheapest: see `_capsule`.
"""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from ._packing import FEW, number_of_values, pack
from ._snapshot import (
    MAX_NODES,
    MAX_TEXT,
    Copier,
    Snapshot,
    are_plain,
    flat_copy,
    snapshot,
)


def copied(fields: Dict[str, Any]) -> Snapshot:
    """Copy *fields*, a dict of our own; most hold nothing that can change."""
    if are_plain(fields.values()):
        return fields if type(fields) is Snapshot else Snapshot(fields)
    copy = snapshot(dict(fields))
    if type(copy) is not dict:  # one of them cannot be copied beside the others
        copy = {name: snapshot(value) for name, value in fields.items()}
    return Snapshot(copy)


def copied_for_us(
    given: Union[Dict[str, Any], Tuple[Any, ...]], names: Tuple[str, ...] = ()
) -> Union[Dict[str, Any], Tuple[Any, ...]]:
    """Copy *given*, the input of a call, at the least expense; it may be packed.

    It is a dict, or a tuple of values of which *names* has the names. Plain dicts and
    tuples of texts and numbers, and what is packed, are nothing that the garbage
    collector looks at while they are queued.
    """
    values = given if isinstance(given, tuple) else given.values()
    if are_plain(values):
        return given
    packed = _with_packed_histories(values)
    if packed is not None:
        return tuple(packed) if values is given else dict(zip(given, packed))
    fields = dict(zip(names, given)) if isinstance(given, tuple) else given
    copy = Copier(packs=True).field(fields)
    if isinstance(copy, dict):
        return copy
    # One of them cannot be copied beside the others.
    return {name: snapshot(value) for name, value in fields.items()}


def _with_packed_histories(values: Iterable[Any]) -> Optional[List[Any]]:
    """Copy *values* if some are chat histories and all others plain; mostly it is so.

    A `Copier` would do the same, and takes as long again to find out what there is.
    """
    copy, left = [], MAX_NODES
    for value in values:
        if type(value) is list:
            messages = value[:]
            packed = (
                pack(messages, left, MAX_TEXT) if FEW < len(messages) < left else None
            )
            if packed is None:
                return None
            left -= number_of_values(packed) + len(messages)
            copy.append(packed)
        elif are_plain((value,)):
            copy.append(value)
        else:
            return None
    return copy if left > 0 else None


def copied_alone(value: Any) -> Any:
    """Copy *value*, which is all there is; `as_shape` is for who unpacks the call."""
    if type(value) is str and len(value) <= MAX_TEXT:
        return value
    copy = flat_copy(value) if type(value) is dict else None
    return snapshot(value) if copy is None else copy


def as_object(value: Any) -> Any:
    """Copy *value* in the shape of the wire: {"value": ...}, {"items": [...]}.

    Objects of other people's types stay references; what they become is decided where
    they are converted.
    """
    return as_shape(copied_alone(value))


def as_shape(copy: Any) -> Any:
    """Return *copy*, which `copied_alone` has made, in the shape of the wire."""
    kind: Any = type(copy)
    # No look into a set: the class of a class may forbid it.
    if kind is dict:
        return Snapshot(copy)
    if kind is str or kind is int or kind is float or kind is bool or kind is bytes:
        return Snapshot(value=copy)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return Snapshot(items=list(copy))
    return copy
