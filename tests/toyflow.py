"""`evolve` with steps that cost nothing, in place of solver and geometry: for what concerns the store alone.

As a program, ``python toyflow.py STORE STEPS``, it says "go" once it is loaded, waits for a line, and runs. With
--pause a step takes so many seconds. With --unprivileged a user called root gives up that privilege, so that read-only
means read-only. With --chunked it runs the scheme itself, on blocks, with --scheduler on the workers of an address.
With --stubborn steps hang in a kernel for a minute once the file named exists.
"""

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

import mcfpaper as mcf
from mcfpaper import _tilework, cluster, trajectory
from mcfpaper._problem import Problem
from mcfpaper.solvers import tiles

SHAPE, TAU = (6, 4), 0.25


def state(k):
    """The field after k steps."""
    u = np.linspace(-1, 2, 24).reshape(SHAPE)
    for _ in range(k):
        u = np.cos(3 * u) - 0.1
    return u


def stubborn(function, mark):
    """The function, but if the file `mark` exists it first takes a minute in C, which looks at no signals."""

    def call(*args):
        if os.path.exists(mark):
            open(f"{mark}.reached", "w").close()
            hashlib.pbkdf2_hmac("sha256", b"", b"", 10**8)
        return function(*args)

    return call


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


def run_chunked(store, steps, n=40):
    """The scheme itself from an ellipse, in blocks and in many stored chunks."""
    trajectory.SIDES = dict.fromkeys(trajectory.SIDES, 16)
    coords = mcf.grid(n)
    u = 1 - (coords["x"] / 0.8) ** 2 - (coords["y"] / 0.6) ** 2
    return mcf.evolve(u.chunk(n // 3), mcf.densities.uniform(coords), 0.1, steps * 1e-3, 1e-3, store=store)


def start(store, steps, *options, **popen):
    """Start this file as a program, in a process that begins to run now."""
    command = [sys.executable, __file__, store, steps, *options]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen(list(map(str, command)), text=True, **pipes, **popen)
    assert process.stdout.readline() == "go\n", process.stderr.read()
    process.stdin.write("\n")
    process.stdin.flush()
    return process


def finished(process):
    """Wait for its end."""
    _, said = process.communicate()
    assert process.returncode == 0, said


def main():
    """Run as a program."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("steps", type=int)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--unprivileged", action="store_true")
    parser.add_argument("--chunked", action="store_true")
    parser.add_argument("--scheduler")
    parser.add_argument("--stubborn")
    options = parser.parse_args()
    if not options.chunked:
        install(pause=options.pause)
    if options.stubborn:
        Problem._step = stubborn(Problem._step, options.stubborn)
        _tilework.measure = stubborn(_tilework.measure, options.stubborn)
    if os.geteuid() == 0 and options.unprivileged:
        with tempfile.TemporaryDirectory() as folder:
            run(Path(folder) / "a.zarr", 1)  # loads what it needs, which that user may not read
        os.setuid(65534)
    with cluster.active(options.scheduler) if options.scheduler else contextlib.nullcontext():
        print("go", flush=True)
        sys.stdin.readline()
        if options.scheduler:
            run_chunked(options.store, options.steps, 200)  # more than one tile
        elif options.chunked:
            tiles.TILE = 16  # many tiles
            run_chunked(options.store, options.steps)
        else:
            run(options.store, options.steps)


if __name__ == "__main__":
    main()
