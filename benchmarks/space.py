"""The smooth scheme in space: one step of a sphere, and the flow of a dumbbell through its pinch-off to the end."""

import resource
import time
import warnings

import numpy as np
import xarray as xr
from scipy.ndimage import label

import mcfpaper
from mcfpaper import oracles
from mcfpaper.solvers import front

HALF = 0.5  # density of either class


def sphere(n, radius=0.6, tau=0.0125):
    """Arguments of a step from a ball on [-1, 1]^3, eps four cells, and the exact new radius (O2)."""
    h = 2.0 / n
    x, y, z = np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * 3, indexing="ij", sparse=True)
    f = radius - np.sqrt(x * x + y * y + z * z)
    rho = np.full(f.shape, HALF)
    return (f, rho, rho, 4.0 * h, tau, (h,) * 3), oracles.ball_step(radius, tau, 3, 4.0 * h)


def dumbbell(n, neck=0.13, centre=0.5, radius=0.35, fillet=0.05):
    """Level-set function on [-1, 1]^3 of two balls joined by a tube, and its densities."""
    x = (np.arange(n) + 0.5) * 2.0 / n - 1.0
    along, *across = np.meshgrid(x, x, x, indexing="ij", sparse=True)
    off = np.hypot(*across)
    balls = radius - np.hypot(np.abs(along) - centre, off)
    tube = np.minimum(neck - off, centre - np.abs(along))
    share = np.clip(0.5 + 0.5 * (balls - tube) / fillet, 0.0, 1.0)
    u = tube * (1.0 - share) + balls * share + fillet * share * (1.0 - share)
    u = xr.DataArray(u, coords={d: x for d in "xyz"}, dims=("x", "y", "z"), name="u")
    return u, xr.Dataset({name: xr.full_like(u, HALF) for name in ("rho0", "rho1")})


def flow(n, eps, tau, steps):
    """The dumbbell's trajectory; steps that miss the tolerance are flagged in it, so their warning is left out."""
    u, densities = dumbbell(n)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".* did not reach tol", category=UserWarning)
        return mcfpaper.evolve(u, densities, eps, steps * tau, tau, progress=False)


def run(quick):
    """Rows: time of all steps, peak memory of the process so far, pieces after each step, steps above the tolerance."""
    rows = []
    args, exact = sphere(32 if quick else 96)
    front.step(*sphere(32)[0])  # compiles
    out, cpu, wall = timed(lambda: front.step(*args))
    volume = mcfpaper.volume(xr.DataArray(out.u, coords=dumbbell(len(out.u))[0].coords))
    error = abs((float(volume) / (4.0 / 3.0 * np.pi)) ** (1 / 3) - exact) / args[-1][0]
    rows.append(row("sphere", len(out.u), 1, cpu, wall, f"off by {error:.1e} cells", int(not out.converged)))
    n, eps, tau, steps = (16, 0.25, 0.01, 2) if quick else (128, 0.0625, 0.002, 16)
    out, cpu, wall = timed(lambda: flow(n, eps, tau, steps))
    pieces = "".join(str(label(u > 0)[1]) for u in out["u"].values)
    rows.append(row("dumbbell", n, steps, cpu, wall, f"pieces {pieces}", int((~out["converged"]).sum())))
    return rows


def timed(call):
    """What a call returns, and its CPU and wall seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    out = call()
    return out, time.process_time() - cpu, time.perf_counter() - wall


def row(case, n, steps, cpu, wall, outcome, missed):
    """One row of the table."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {"CPU s": cpu, "wall s": wall, "CPU s/step": cpu / steps, "peak MiB": peak}
    return {"case": case, "cells": f"{n}³", "steps": steps} | figures | {"outcome": outcome, "unconverged": missed}
