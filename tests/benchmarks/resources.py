"""What a process may use and has used: one core, CPU time, memory."""

from __future__ import annotations

import os
import resource
import sys
from typing import Optional


def cores() -> int:
    """Return how many cores there are."""
    return os.cpu_count() or 1


def pin(core: Optional[int]) -> None:
    """Stay on *core*, where the system can be told so."""
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def cpu_seconds() -> float:
    """Return the processor time of this process, the system's part included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_mb() -> float:
    """Return the memory in use now."""
    now = _status("VmRSS")
    return peak_mb() if now is None else now


def peak_mb() -> float:
    """Return the most memory that was in use since the last `forget_peak`."""
    peak = _status("VmHWM")
    if peak is not None:
        return peak
    unit = 1024 * 1024 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def forget_peak() -> None:
    """Start the peak anew, where the system can."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return


def _status(name: str) -> Optional[float]:
    try:
        with open("/proc/self/status") as file:
            for line in file:
                if line.startswith(name):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None
