"""The command `agentmonitor spool`: what waits on disk to be sent.

    contents  what a directory holds: events by owner, damaged files; changes nothing
    report    contents → lines for a terminal, or JSON
    sending   has a handler deliver what dead processes left

A separate program, like the collector; it needs click, and no more.
"""

from __future__ import annotations
