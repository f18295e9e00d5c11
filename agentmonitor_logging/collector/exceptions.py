"""What can go wrong with a collector's database and address, drawn as a tree.

AgentMonitorError
└── CollectorError              the message is meant for the person at the terminal
    ├── AddressError            the address cannot, or must not, be listened on
    └── StoreError              the database cannot be used
        ├── DatabaseInUseError  ... because another process has it open
        └── StoreClosedError    ... because it was closed
"""

from __future__ import annotations

from agentmonitor_logging.exceptions import AgentMonitorError


class CollectorError(AgentMonitorError):
    """Be the common ancestor of the collector's errors."""


class AddressError(CollectorError):
    """Say that the collector cannot listen there, or must not without a key."""


class StoreError(CollectorError):
    """Say that the database cannot be opened, is not ours, or is too new."""


class DatabaseInUseError(StoreError):
    """Say that another process, or another store of this one, has the database."""


class StoreClosedError(StoreError):
    """Say that events came to a store that is closed."""
