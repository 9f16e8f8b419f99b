"""Flows larger than a worker's memory would like, on two workers of 3 GB: wall time, CPU and peak memory of each."""

import resource
import tempfile
import time
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr
from distributed import Client, LocalCluster

import mcfpaper as mcf

CASES = (  # cells a side, dimensions, chunk, eps and tau in cells and cells^2, steps, stored
    (8192, 2, 1024, 8.0, 1024.0, 3, True),
    (256, 3, 128, 4.0, 64.0, 2, True),
)


def fields(n, d, chunk):
    """An ellipse (ellipsoid) and two Gaussian densities, lazy."""
    dims = ("z", "y", "x")[3 - d :]
    coords = mcf.grid(n, dims=dims)
    axes = [xr.DataArray(da.from_array(coords[k].values, chunks=chunk), dims=k) for k in dims]
    u = 1.0 - sum((x / r) ** 2 for x, r in zip(axes, (0.5, 0.6, 0.45), strict=False))
    rho = [0.2 * np.exp(-sum((x - c) ** 2 for x in axes)) for c in (0.1, -0.1)]
    make = [v.transpose(*dims).assign_coords(coords) for v in (u, *rho)]
    return make[0], xr.Dataset({"rho0": make[1], "rho1": make[2]})


def used():
    """CPU seconds and peak memory, MB, of this process."""
    return time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(quick):
    """Rows: the run, wall seconds, CPU seconds of the caller and of the workers, peak memory, MB."""
    rows = []
    for n, d, chunk, eps, tau, steps, stored in CASES:
        n, chunk, steps, tau = (16 * d * d, 64 // d, 1, tau / 16) if quick else (n, chunk, steps, tau)
        h = 2.0 / n
        options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "3GB", "dashboard_address": None}
        with LocalCluster(**options) as cluster, Client(cluster) as client, tempfile.TemporaryDirectory() as folder:
            u, rho = fields(n, d, chunk)
            start, cpu = time.perf_counter(), used()[0]
            store = Path(folder) / "run.zarr" if stored else None
            out = mcf.evolve(u, rho, eps * h, steps * tau * h * h, tau * h * h, store=store)
            wall, workers = time.perf_counter() - start, client.run(used).values()
            rows.append(
                {
                    "flow": f"{n}{'²³'[d - 2]}, blocks of {chunk}, {steps} steps",
                    "wall s": wall,
                    "caller CPU s": used()[0] - cpu,
                    "worker CPU s": sum(c for c, _ in workers),
                    "caller MB": used()[1],
                    "worker MB": max(m for _, m in workers),
                    "gap px": float(out.gap.max()) / h,
                }
            )
    return rows
