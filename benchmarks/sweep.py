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

JOBS = 8


def run(quick: bool) -> list[dict]:
    """Rows: the job, milliseconds on one worker and on two, their ratio, milliseconds for an idle job."""
    with cluster.local(1) as one, cluster.local(2) as two:
        return [_row(n, one, two, repeats=1 if quick else 5) for n in ((32,) if quick else (128, 256))]


def _row(n: int, one, two, repeats: int) -> dict:
    study = {"angle": np.arange(JOBS) * np.pi / 4}  # the same problem, turned

    def job(angle: float) -> float:
        grid = mcf.grid(n)
        y, x = (xr.DataArray(grid[d]) for d in ("y", "x"))
        u = 0.6 * (1 + 0.2 * np.cos(3 * (np.arctan2(y, x) - angle))) - np.hypot(y, x)
        return float(mcf.evolve(u, mcf.densities.uniform(grid), 0.08, 0.08, 0.01, progress=False)["volume"][-1])

    def idle(angle: float) -> float:
        return angle

    rivals = {name: lambda c=c: mcf.sweep(job, study, client=c) for name, c in (("one", one), ("two", two))}
    ms = paired(rivals | {"idle": lambda: mcf.sweep(idle, study, client=two)}, repeats)
    return {
        "job": f"8 steps, {n}×{n}",
        "one worker": ms["one"],
        "two workers": ms["two"],
        "x one worker": ms["one"] / ms["two"],
        "idle job": ms["idle"] / JOBS,
    }
