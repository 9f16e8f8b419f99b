"""Eight equal jobs of a parameter study, each a run of the scheme on a grid of its own, on one worker and on two.

Both clusters are up the whole time and compile in an untimed sweep. "x one worker" is to be 2 less what the two
processors lose to one another; "idle job" is what dask takes for a job that does nothing.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

import mcfpaper as mcf
from benchmarks.run import paired
from mcfpaper import cluster

JOBS, CELLS, STEPS = 8, 256, 12  # a job is a second or two of one processor; its arrays are 0.5 MB each


def run(quick: bool) -> list[dict]:
    """One row: the job, milliseconds on one worker and on two, their ratio, milliseconds for an idle job."""
    n, steps = (32, 2) if quick else (CELLS, STEPS)
    study = {"angle": np.arange(JOBS) * np.pi / 4}  # the same problem, turned

    def job(angle: float) -> float:
        grid = mcf.grid(n)
        y, x = (xr.DataArray(grid[d]) for d in ("y", "x"))
        u = 0.6 * (1 + 0.2 * np.cos(3 * (np.arctan2(y, x) - angle))) - np.hypot(y, x)
        rho = mcf.densities.uniform(grid)
        return float(mcf.evolve(u, rho, 0.08, steps * 0.01, 0.01, progress=False)["volume"][-1])

    def idle(angle: float) -> float:
        return angle

    with cluster.local(1) as one, cluster.local(2) as two:
        rivals = {name: lambda c=c: mcf.sweep(job, study, client=c) for name, c in (("one", one), ("two", two))}
        ms = paired(rivals | {"idle": lambda: mcf.sweep(idle, study, client=two)}, repeats=1 if quick else 3)
    return [
        {
            "job": f"{steps} steps, {n}×{n}",
            "one worker": ms["one"],
            "two workers": ms["two"],
            "x one worker": ms["one"] / ms["two"],
            "idle job": ms["idle"] / JOBS,
        }
    ]
