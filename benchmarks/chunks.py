"""A step of a flow on one block against 4 and 16 blocks on two workers, and what committing it to a store costs.

What a run does once is timed apart ("set-up": for blocks, one pass over the fields; for one block, little is done, as
the signed distance is given).
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster, wait

from benchmarks.large import fields
from mcfpaper._chunked import ChunkedProblem
from mcfpaper._problem import Problem
from mcfpaper.trajectory import Writer

CELLS = 4096


def run(quick):
    """Rows: blocks, milliseconds of the set-up, of a step's front, of its field besides, and of committing it."""
    n = 192 if quick else CELLS
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
    with LocalCluster(**options) as cluster, Client(cluster):
        for sides in (None, 4):  # compiles
            measured(192, sides)
        rows = [measured(n, sides) for sides in (None, 2, 4)]
    return [row | {"x one block": rows[0]["with u"] / row["with u"]} for row in rows]


def measured(n, sides):
    """A row for a grid of n x n cells in so many blocks a side; None: in no blocks at all."""
    h = 2.0 / n
    u, rho = fields(n, 2, n // (sides or 4))
    budgets = (8.0 * h, 64.0 * h * h if n < 1000 else 1024.0 * h * h)
    if sides is None:
        start = ChunkedProblem(u, rho, *budgets).start().compute()
        u, rho = u.compute(), rho.compute()
    else:
        u, rho = u.persist(), rho.persist()
        wait([u, rho])
    seconds = [time.perf_counter()]
    problem = (Problem if sides is None else ChunkedProblem)(u, rho, *budgets)
    start = start if sides is None else problem.start()
    seconds.append(time.perf_counter())
    out = problem.step(start)
    seconds.append(time.perf_counter())
    out = out.persist()
    wait(out)
    seconds.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as folder, Writer(Path(folder) / "a", out, np.arange(2.0), "x") as writer:
        begun = time.perf_counter()
        writer.commit(1, {name: v.data for name, v in out.data_vars.items()})
        commit = time.perf_counter() - begun
    setup, step, field = 1e3 * np.diff(seconds)
    blocks = "no dask" if sides is None else f"{sides * sides}"
    row = {"cells": f"{n}²", "blocks": blocks, "set-up": setup, "step": step, "with u": step + field}
    return row | {"commit": 1e3 * commit}
