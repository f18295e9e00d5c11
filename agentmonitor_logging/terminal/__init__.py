"""The commands `agentmonitor tail`, `check` and `export`: a collector, read.

    commands  the options                     missing  the extra that is not installed
    source    the API, page by page           stream   text/event-stream → messages
    span      what is shown of an event       harmless text that no terminal obeys
    lines     a span → a line                 branches how a tree is drawn
    forest    spans → traces, when complete   screen   lines, trees, or a live tree
    tail      the last events, and new ones   output   colours, and a pipe that closes
    export    all events, page by page        formats  events → JSON lines or CSV
    files     a file that is whole or absent
    check     the steps, in order             findings ok, note or problem, and a hint
    settings  the options in effect           building an application's logging, built
    wiring    from a logger to our handlers   reach    from a name to an HTTP answer
    proof     one event, sent and read back   patience what must not last for ever

A separate program, like the collector, whose extra it needs; `check` needs only click.
"""

from __future__ import annotations
