"""Copies of what a call was given and of what it returned, as it is at that moment.

`copied` and `as_object` make what anybody may see, in a record. `copied_for_us` makes
what only our listener will, and is the cheapest: see `_capsule`.
"""

from __future__ import annotations

from typing import Any, Dict, NamedTuple, Optional, Type

from ._packing import FEW, pack, unpacked
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


class PrivateInput(NamedTuple):
    """A copy of input that nobody else is to see: a plain dict, perhaps packed."""

    copy: Dict[str, Any]
    is_packed: bool

    def public(self) -> Snapshot:
        """Return it as `copied` would have made it."""
        return Snapshot(unpacked(self.copy) if self.is_packed else self.copy)


def copied_for_us(fields: Dict[str, Any]) -> PrivateInput:
    """Copy *fields*, as `copied` does, at the least expense.

    Plain dicts of texts and numbers, and what is packed, are nothing that the garbage
    collector looks at while they are queued.
    """
    if are_plain(fields.values()):
        return PrivateInput(fields, is_packed=False)
    copy: Any = _with_packed_histories(fields)
    if copy is not None:
        return PrivateInput(copy, is_packed=True)
    copier = Copier(packs=True)
    copy = copier.field(fields)
    if type(copy) is not dict:  # one of them cannot be copied beside the others
        copy = {name: snapshot(value) for name, value in fields.items()}
        return PrivateInput(copy, is_packed=False)
    return PrivateInput(copy, copier.has_packed)


def _with_packed_histories(fields: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """Copy *fields* if some are chat histories and all others plain; mostly it is so.

    A `Copier` would do the same, and takes as long again to find out what there is.
    """
    copy, left = {}, MAX_NODES
    for name, value in fields.items():
        if type(value) is list:
            messages = value[:]
            packed = (
                pack(messages, left, MAX_TEXT) if FEW < len(messages) < left else None
            )
            if packed is None:
                return None
            left -= len(packed[-1]) + len(messages)
            copy[name] = packed
        elif are_plain((value,)):
            copy[name] = value
        else:
            return None
    return copy if left > 0 else None


def as_object(value: Any, shape: Type[Dict[str, Any]] = Snapshot) -> Any:
    """Copy *value* in the shape of the wire: {"value": ...}, {"items": [...]}.

    It is a *shape*, but objects of other people's types stay references; what they
    become is decided where they are converted.
    """
    if type(value) is str and len(value) <= MAX_TEXT:
        return shape(value=value)
    copy: Any = flat_copy(value) if type(value) is dict else None
    if copy is None:
        copy = snapshot(value)
    kind: Any = type(copy)
    # No look into a set: the class of a class may forbid it.
    if kind is dict:
        return copy if shape is dict else shape(copy)
    if kind is str or kind is int or kind is float or kind is bool or kind is bytes:
        return shape(value=copy)
    if kind is list or kind is tuple or kind is set or kind is frozenset:
        return shape(items=list(copy))
    return copy
