"""Run benchmarks: ``python -m benchmarks.run [NAME ...] [--quick]``, or ``make bench ARGS=...``.

A benchmark is a module beside this one with a function ``run(quick)`` that returns a list of rows. A row is a
flat dict with the same keys, in the same order, in every row: strings say what was measured, floats are times
(milliseconds, unless the key says otherwise) or ratios (keys that start with "x ": how many times as fast as
that peer). `paired` times rivals in turn, so that a change of the machine's speed hits all of them. With
`quick` true the rows have to come in a few seconds, on toy sizes: a smoke test, no measurement.

Each benchmark prints a table and writes benchmarks/results/NAME.json (quick runs: NAME-quick.json) with its
rows and the machine they were measured on.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
PACKAGES = ("numpy", "numba", "scipy", "scikit-image", "opencv-python-headless", "pymaxflow", "ortools")


def paired(rivals: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median time of each rival in milliseconds; one call of each goes before, untimed.

    The rivals take turns, in an order drawn anew for each: a short call is slower after a long one of another rival
    than after its own kind (memory clocks fall and rise again within about ten milliseconds).
    """
    for call in rivals.values():
        call()
    times = {name: [] for name in rivals}
    draw = random.Random(0)
    for _ in range(repeats):
        for name in draw.sample(sorted(rivals), len(rivals)):
            start = time.perf_counter()
            rivals[name]()
            times[name].append((time.perf_counter() - start) * 1e3)
    return {name: statistics.median(t) for name, t in times.items()}


def machine() -> dict[str, object]:
    """The machine and the versions that a figure depends on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def table(rows: list[dict]) -> str:
    """Rows as aligned text."""
    cells = [list(rows[0])] + [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells)


def names() -> list[str]:
    """Benchmarks there are: every module here but this one."""
    return sorted(p.stem for p in HERE.glob("*.py") if p.stem not in ("__init__", "run"))


def main(argv: list[str] | None = None) -> None:
    """Run the benchmarks named on the command line, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("name", nargs="*", help=f"which to run, of: {', '.join(names())} (default: all)")
    parser.add_argument("--quick", action="store_true", help="toy sizes, to see that they run")
    args = parser.parse_args(argv)
    if unknown := set(args.name) - set(names()):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names())}")
    chosen = args.name or names()
    if len(chosen) > 1:  # each in a process of its own: peak memory is that of a process
        quick = ["--quick"] * args.quick
        for name in chosen:
            subprocess.run([sys.executable, "-m", "benchmarks.run", name, *quick], cwd=HERE.parent, check=True)
        return
    (name,) = chosen
    rows = importlib.import_module(f"benchmarks.{name}").run(args.quick)
    path = HERE / "results" / f"{name}{'-quick' * args.quick}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"benchmark": name, "machine": machine(), "rows": rows}, indent=1))
    print(f"\n{name} ({machine()['cpu']}, {machine()['cores']} cores; {path})\n{table(rows)}", flush=True)


if __name__ == "__main__":
    main()
