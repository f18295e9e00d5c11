"""What is current in a context, linked to what was current before it.

A ``with`` block is not always left where it was entered, nor in the opposite order,
once there is a ``yield`` in it: asyncio closes an abandoned generator in a task of
its own, whose context is only a copy, and nobody can write into the other one. So
the block's link is marked as gone, and whoever meets it passes it over.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any, Optional, Sequence, TypeVar


class Link:
    """Be current in a context, from when a block is entered until it is left.

    With every task the context is copied, and the task keeps what it started with
    when the block is over: only a link that *is_gone* is nobody's any more. *outer*
    is what was current before, and *token* tells in which context, until then.
    """

    __slots__ = ("is_gone", "outer", "token")

    is_gone: bool
    outer: Any
    token: Optional[Token[Any]]


L = TypeVar("L", bound=Link)


def current(var: ContextVar[Optional[L]]) -> Optional[L]:
    """Return the first that is not gone, and have *var* forget the others."""
    link = var.get()
    if link is None or not link.is_gone:
        return link
    link = living(link)
    var.set(link)
    return link


def living(link: Optional[L]) -> Optional[L]:
    """Return *link*, or if it is gone the first around it that is not."""
    while link is not None and link.is_gone:
        link = link.outer
    return link


def innermost(link: Optional[L], entries: Sequence[L]) -> Optional[L]:
    """Return the first of *entries* from *link* outwards, else the last of all.

    A generator may be entered in one context and closed in another.
    """
    while link is not None and link not in entries:
        link = link.outer
    return link or (entries[-1] if entries else None)


def leave(var: ContextVar[Optional[L]], link: L) -> None:
    """End *link*, which was set as *var* and has the token and the outer one of it.

    In its own context that ends whatever was entered inside and not left yet, like a
    generator still suspended. Left from any other, it is gone.
    """
    found, token, outer = var.get(), link.token, link.outer
    if token is None:
        return
    link.token = link.outer = None
    try:
        var.reset(token)
    except ValueError:
        # Tasks started inside lose it too. They cannot be told from the context it
        # was entered in, and to have the wrong user is worse than to have none.
        link.outer = outer = living(outer)
        link.is_gone = True
        if found is link:
            var.set(outer)
        return
    if found is not link and not _is_within(found, link):
        var.set(found)


def _is_within(inner: Optional[Link], link: Link) -> bool:
    while inner is not None and inner is not link:
        inner = inner.outer
    return inner is link
