"""The command `agentmonitor demo`: an agent, a collector, and what arrived.

    agent    a small support agent, as an application would write it
    program  starts a collector, configures logging, runs the agent, reads back
    verdict  what is missing, torn or leaked
    report   events and counts → lines for a terminal

A separate program, like the collector, whose extra it needs.
"""

from __future__ import annotations

from .program import main

__all__ = ["main"]
