"""`evolve` with steps that cost nothing, in place of solver and geometry: for what concerns the store alone.

As a program, ``python toyflow.py STORE STEPS PAUSE``, it says "go" once it is loaded, waits for a line, and runs. With
--unprivileged a user called root gives up that privilege, so that read-only means read-only.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

import mcfpaper as mcf
from mcfpaper._problem import Problem

SHAPE, TAU = (6, 4), 0.25


def state(k):
    """The field after k steps."""
    u = np.linspace(-1, 2, 24).reshape(SHAPE)
    for _ in range(k):
        u = np.cos(3 * u) - 0.1
    return u


def install(setattr=setattr, pause=0.0):
    """Replace what computes."""

    def step(self, f):
        time.sleep(pause)
        outcome = {"gap": 1e-3, "certified": True, "converged": True, "iterations": 3}
        return self._dataset({"u": np.cos(3 * f.values) - 0.1} | outcome)

    def measure(self, u, before):
        return {"risk": float(u.sum()), "dissipation": 0.0 if before is None else float((u - before).sum())}

    setattr(Problem, "start", lambda self: self._field(self.u.values.astype(float)))
    setattr(Problem, "_step", step)
    setattr(Problem, "_measure_subcell", measure)


def run(store, steps, eps=0.6, u=None):
    coords = mcf.grid(SHAPE)
    u = xr.DataArray(state(0), coords, coords.dims) if u is None else u
    return mcf.evolve(u, mcf.densities.uniform(coords), eps, steps * TAU, TAU, store=store)


if __name__ == "__main__":
    install(pause=float(sys.argv[3]))
    if os.geteuid() == 0 and "--unprivileged" in sys.argv:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder) / "a.zarr", 1)  # loads what it needs, which that user may not read
        os.setuid(65534)
    print("go", flush=True)
    sys.stdin.readline()
    run(sys.argv[1], int(sys.argv[2]))
