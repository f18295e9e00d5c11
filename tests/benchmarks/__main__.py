"""Measure this package beside others: `python tests/benchmarks`.

Every client has an environment of its own, every measurement a process of its own, and
a round measures everything once, in an order of its own. What a neighbour on the
processor disturbed is measured again, see `calm.py`. `RESULTS.md` is the outcome of a
whole run, which takes hours; `--quick` tells in three minutes where one stands, and
writes no file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, List, Optional, Sequence

import calm
import environments
import measuring
import plan
import resources
from environments import EnvironmentFailedError
from footprint import footprints
from report import Run, render, target_table
from results import Results
from targets import judge

WHOLE = {"rounds": 5, "calls": 20_000, "seconds": 5.0}
QUICK = {"rounds": 3, "calls": 2_000, "seconds": 1.0}


def options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python tests/benchmarks",
        description=(__doc__ or "").splitlines()[0],
        epilog="Of the standard cells those are measured that the options leave; if "
        "workloads, modes and server are all given, everything that they name.",
    )
    several: Dict[str, Any] = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument("--rounds", type=int, help="default: 5")
    parser.add_argument("--clients", choices=plan.CLIENTS, **several)
    parser.add_argument("--workloads", choices=plan.WORKLOADS, **several)
    parser.add_argument("--modes", choices=plan.MODES, **several)
    parser.add_argument("--server", choices=plan.SERVERS, **several)
    parser.add_argument("--calls", type=int, help="default: 20,000")
    parser.add_argument("--seconds", type=float, help="of the paced mode, default: 5")
    parser.add_argument("--results", metavar="FILE", help="default: RESULTS.md")
    parser.add_argument("--raw", metavar="FILE", help="every figure, as JSON lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--no-pin", action="store_true", help="leave cores to the system"
    )
    parser.add_argument("--quick", action="store_true", help="few clients, few calls")
    return _completed(parser.parse_args())


def _completed(given: argparse.Namespace) -> argparse.Namespace:
    """Fill in what was left open."""
    defaults: Dict[str, Any] = dict(QUICK if given.quick else WHOLE)
    if given.quick:
        defaults["clients"] = plan.QUICK_CLIENTS
        defaults["server"], defaults["modes"] = ["0"], ["loop", "paced"]
    else:
        defaults["clients"] = plan.CLIENTS
        defaults["results"] = str(measuring.HERE / "RESULTS.md")
    for name, value in defaults.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


def prepared(wanted: Sequence[str], results: Results) -> List[str]:
    """Install the clients and return those that are."""
    ready: List[str] = []
    with tempfile.TemporaryDirectory() as directory:
        wheel: Optional[str] = None
        if set(wanted) & set(environments.OURS):
            wheel = environments.build(directory)
        for client in wanted:
            _tell(f"installing {client}")
            try:
                environments.prepare(client, wheel)
                ready.append(client)
            except EnvironmentFailedError as error:
                results.left_out[client] = f"cannot be installed: {error}"
                _tell(f"  {results.left_out[client]}")
    return ready


def measure(given: argparse.Namespace, ready: Sequence[str], results: Results) -> str:
    """Carry out all measurements, and tell how calm it was."""
    cells = plan.cells(given.workloads, given.modes, given.server)
    planned = plan.measurements(cells, ready, given.rounds, given.seed)
    how = measuring.Options(given.calls, given.seconds, _pinned(given))
    still = calm.Calm()
    began = time.monotonic()
    for done, one in enumerate(planned):
        figures = measuring.run(one, how, still)
        results.add(one, figures)
        told = figures.get("error") or f"p50 {figures['p50']:.1f} µs"
        spent = (time.monotonic() - began) / 60
        left = spent / (done + 1) * (len(planned) - done - 1)
        _tell(f"{left:5.1f} min left  {one.cell}: {one.client}: {told}")
        if given.raw:
            with open(given.raw, "a") as file:
                line = {**one.cell._asdict(), "client": one.client, "round": one.round}
                print(json.dumps({**line, **figures}), file=file)
    return still.told()


def silence(ready: Sequence[str], given: argparse.Namespace) -> Dict[str, Any]:
    """Return what `silence.py` measures, if this package takes part."""
    if "ours" not in ready:
        return {}
    calls = "200000" if given.quick else "1000000"
    script = str(measuring.HERE / "silence.py")
    done = subprocess.run(
        [environments.python_of("ours"), script, calls],
        check=True,
        env=measuring.clean_environment(),
        stdout=subprocess.PIPE,
        universal_newlines=True,
    )
    figures: Dict[str, Any] = json.loads(done.stdout)
    return figures


def _pinned(given: argparse.Namespace) -> bool:
    able = hasattr(os, "sched_setaffinity") and resources.cores() > 1
    return able and not given.no_pin


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _command(arguments: Sequence[str]) -> str:
    """Return the command for who repeats the run: where it was written is no part."""
    kept = ["python tests/benchmarks"]
    words = iter(arguments)
    for word in words:
        if word in ("--raw", "--results"):
            next(words, None)
        else:
            kept.append(word)
    return " ".join(kept)


def main() -> None:
    """Install, measure, write, tell."""
    given = options()
    results = Results()
    ready = prepared(given.clients, results)
    calmness = measure(given, ready, results)
    found = footprints(ready)
    targets = judge(results, found, silence(ready, given))
    command = _command(sys.argv[1:])
    run = Run(command, given.rounds, given.calls, _pinned(given), calmness)
    if given.results:
        with open(given.results, "w", encoding="utf-8") as file:
            file.write(render(run, results, found, targets))
        _tell(f"wrote {given.results}")
    print("\n".join([*run.reservations(), *target_table(targets)]))


if __name__ == "__main__":
    main()
