"""A flow step on one block against 4 and 16 blocks on two workers, and what committing a step to a store costs."""

import tempfile
import time
from pathlib import Path

import numpy as np
from distributed import Client, LocalCluster, wait

import mcfpaper as mcf
from benchmarks.large import fields
from mcfpaper.trajectory import Writer

CELLS = 4096


def run(quick):
    """Rows: blocks, milliseconds of a step, with the new field on all cells, and of writing that field."""
    n = 192 if quick else CELLS
    h = 2.0 / n
    u, rho = (v.compute() for v in fields(n, 2, n // 4))
    options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
    rows, single = [], None
    with LocalCluster(**options) as cluster, Client(cluster):
        for sides in (None, 1, 2, 4):
            given = (u, rho) if sides is None else (v.chunk(n // sides).persist() for v in (u, rho))
            given = (*given, 8.0 * h, 64.0 * h * h if quick else 1024.0 * h * h)
            times = min(timed(given) for _ in range(2))  # the first compiles
            single = single or times[1]
            blocks = "no dask" if sides is None else f"{sides * sides}"
            step, field, commit = (1e3 * t for t in times)
            rows.append({"cells": f"{n}²", "blocks": blocks, "step": step, "with u": field, "commit": commit})
            rows[-1]["x no dask"] = single / times[1]
    return rows


def timed(given):
    """Seconds of a step, of a step with its field, of committing it."""
    start = time.perf_counter()
    out = mcf.step(*given)
    step = time.perf_counter() - start
    out = out.persist()
    wait(out)
    field = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder, Writer(Path(folder) / "a", out, np.arange(2.0), "x") as writer:
        start = time.perf_counter()
        writer.commit(1, {name: v.data for name, v in out.data_vars.items()})
        return step, field, time.perf_counter() - start
