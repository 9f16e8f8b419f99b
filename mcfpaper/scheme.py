"""One minimising-movement step and trajectories of the scheme: theory.md D8, T7."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import xarray as xr
from tqdm.auto import tqdm

from mcfpaper import _checks, _progress
from mcfpaper._interrupt import promptly
from mcfpaper._problem import LATTICE_BALLS, SIDES, Problem
from mcfpaper.cluster import active_dashboard
from mcfpaper.solvers import mincut
from mcfpaper.trajectory import Writer, open_trajectory

MOST = 1e7  # steps that a run may be asked for


def robust_classifier(densities: xr.Dataset, eps: float, side: str = "minimal", ball: str = "lattice") -> xr.DataArray:
    """Return an exact minimiser of the adversarial risk on the grid, by a minimum cut (D4, T1, D9).

    Densities are first rounded to multiples of a power of two, about 2^-60 of (cells times cells of a ball times the
    largest density). In these the answer is exact, ties included; cells where both densities are too small to count
    are tied: outside the minimal set, inside the maximal one.

    Parameters
    ----------
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on one grid in 1, 2 or 3 dimensions, in mass per unit volume.
    eps : float
        Adversarial budget, in length units, at least the largest grid spacing.
    side : {"minimal", "maximal"}
        The smallest or the largest of the minimisers (they contain one another).
    ball : {"lattice", "box", "diamond"}
        The ball that the adversary has, see `dilate`.

    Returns
    -------
    xarray.DataArray
        A boolean set on the grid of the densities, in memory: a cut needs all of the grid at once.

    Raises
    ------
    ValueError
        If a density is negative or not finite, a grid not uniform, `eps` below a cell, or an option unknown.
    """
    rho = _checks.densities(densities)
    h = _checks.spacing(rho["rho0"], "densities")
    eps = _checks.budget(eps, h)
    _checks.option(side, "side", SIDES)
    _checks.option(ball, "ball", LATTICE_BALLS)
    cells = promptly(_least_risk, rho, eps, h, ball, side)
    attrs = {"long_name": f"{side} robust classifier", "eps": eps, "ball": ball, "side": side}
    return xr.DataArray(cells, rho["rho0"].coords, rho["rho0"].dims, "robust_classifier", attrs)


def _least_risk(rho, eps, h, ball, side):
    rho0, rho1 = (rho[v].values.astype(float) for v in ("rho0", "rho1"))
    return getattr(mincut.solve(rho0, rho1, (rho1 - rho0) / eps, eps, h, norm=ball, side=side), side)


def step(
    u: xr.DataArray,
    densities: xr.Dataset,
    eps: float,
    tau: float | None = None,
    method: str = "smooth",
    ball: str | None = None,
    side: str = "minimal",
    tol: float | None = None,
) -> xr.Dataset:
    """Take one minimising-movement step from the set {u > 0} (D8).

    The new set minimises Per_eps(A) - (1/tau) ∫_A f rho, with f the signed distance to the old boundary.

    Parameters
    ----------
    u : xarray.DataArray
        A level-set function, positive inside (the exact method sees the cells where u > 0), or a boolean set. The
        empty set and the whole box stay as they are.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `u`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units, at least the largest grid spacing.
    tau : float, optional
        Time step, a length squared; the number `eps` by default.
    method : {"smooth", "exact"}
        "smooth": isotropic and sub-cell, for flows. "exact": the minimum cut on the lattice, exact for sets of whole
        cells and densities rounded as in `robust_classifier`, with the facets that a lattice ball brings.
    ball : {"lattice", "box", "diamond"}, optional
        The ball of the exact method, "lattice" by default; the smooth method has the "isotropic" one only.
    side : {"minimal", "maximal"}
        Which minimiser `u` describes where they differ (exact method).
    tol : float, optional
        `gap` at which the smooth method may stop, in length units; 0.02 cells by default.

    Dask-backed fields: in the plane the smooth method reads the blocks near the front only (after one pass over all
    of them at the start), moves the front as curves in the calling process, and returns `u` lazy, in the chunks of the
    input, each block computed from the curves when it is wanted. Densities are read again in every step: persist
    them if they are costly. The initial front is the curves through nodes half a cell apart on {u = 0}; results agree
    with those of one block to 1e-5 cells where that front is smooth, and do not depend on the chunks. In space bricks
    of 64 cells a side that the front comes near to do the work, from windows of 130 cells a side, and the calling
    process solves one linear system on the cells that the front passes; near the front `u` stays where it was computed.
    A step in which the set may change its topology (necks, gaps and pieces of a few sqrt(tau)) is one task there, on
    the box about the front (about 130 bytes a cell; a RuntimeError beyond 2e7 cells). The exact method and fields on a
    line take a step in one task, which needs all fields in the memory of one worker; only the results are in chunks.

    Returns
    -------
    xarray.Dataset
        `u`: signed distance to the new boundary, positive inside (-inf: empty, +inf: the whole box); `gap`: a
        bound, in length units, on the distance of the front from the exact one of the discrete problem solved (0 for
        the exact method); `certified`: whether the hypotheses that make the bound a theorem were checked to hold;
        `converged`: whether `gap` <= `tol` (where not `certified`, by estimate only); `iterations`. The exact method
        adds the boolean sets `minimal` and `maximal`. All parameters are attributes.

    Raises
    ------
    TypeError, ValueError
        For a bad argument, before any work starts.
    FloatingPointError
        If a value that is not finite arises: the message names the place.
    RuntimeError
        For dask-backed fields, if a front in the plane cannot be followed as curves, or the box about a front in doubt
        has too many cells for one task.

    Warns
    -----
    UserWarning
        If the answer is the empty set or the whole box though `u` is neither (O2), or the tolerance is not reached.
    """
    problem, start, result = promptly(_first_step, u, densities, eps, tau, method, ball, side, tol)
    for message in problem.complaints(start, result):
        warnings.warn(message, stacklevel=2)
    return result


def evolve(
    u: xr.DataArray,
    densities: xr.Dataset,
    eps: float,
    t_end: float,
    tau: float | None = None,
    method: str = "smooth",
    store: str | os.PathLike | None = None,
    progress: bool | None = None,
    ball: str | None = None,
    side: str = "minimal",
    tol: float | None = None,
) -> xr.Dataset:
    """Run the minimising-movements scheme from the set {u > 0} at times 0, tau, ... up to `t_end` (D8, T9).

    Parameters
    ----------
    u, densities, eps, tau, method, ball, side, tol
        As in `step`.
    t_end : float
        End time, like tau a length squared; the last time is floor(t_end/tau) tau, where a ratio within rounding of an
        integer counts as it.
    store : path, optional
        A Zarr store: every step is committed to it, and an interrupted run of the same problem resumes there.
    progress : bool, optional
        Show a progress bar; by default where a terminal or a notebook shows it.

    Returns
    -------
    xarray.Dataset
        Dimension `time`: `u` (signed distance, positive inside) and, per time, `perimeter` (of the boundary, weighted
        by rho), `nonlocal_perimeter`, `volume` (area in 2-D), `risk`, `adversarial_risk`, and, of the step that
        led there (0 at the start), `gap`, `certified`, `converged`, `iterations` and `dissipation`,
        (1/tau) ∫ dist(x, old boundary) rho over the symmetric difference (T7). `u` is lazy when `store` is given or the
        input is dask-backed (see `step`); with both, blocks are written by the workers, and all must see the store.

    Raises
    ------
    TypeError, ValueError
        For a bad argument, before any work starts, or a store of another problem.
    FloatingPointError
        If a value that is not finite arises: the message names the step and the place.
    RuntimeError
        As in `step`, or if another run is writing the store.
    OSError
        If the store cannot be written. The steps that it holds are intact, whatever the error.

    Warns
    -----
    UserWarning
        If the first step wipes out the set or fills the box (O2), or steps did not reach the tolerance.
    """
    t_end = _checks.number(t_end, "t_end")
    if t_end < 0:
        raise ValueError(f"t_end must be >= 0, got {t_end:g}")
    if not isinstance(store, str | os.PathLike | None):
        raise TypeError(f"store must be a path, got {type(store).__name__}")
    problem = promptly(_posed, u, densities, eps, tau, method, ball, side, tol)
    if not t_end < MOST * problem.tau:
        raise ValueError(f"t_end must be less than {MOST:g} steps of tau = {problem.tau:g}, got {t_end:g}")
    steps = math.floor(t_end / problem.tau * (1 + 1e-12) + 1e-9)
    times = np.arange(steps + 1) * problem.tau
    initial = promptly(_initial, problem)
    if store is None:
        states = [initial, *_states(problem, initial["u"], 0, steps, progress)]
        return _stack(states, times)
    with Writer(store, initial, times, promptly(problem.digest)) as writer:
        latest = problem.taken_up(writer.latest()) if writer.done else initial
        for k, state in enumerate(_states(problem, latest["u"], writer.done, steps, progress), start=writer.done + 1):
            writer.commit(k, {name: state[name].data for name in state.data_vars})
    return open_trajectory(store).isel(time=slice(0, steps + 1))


def _posed(u, densities, eps, tau, method, ball, side, tol):
    """The problem as its fields and its method want it to be solved."""
    fields = [u, *(map(densities.get, ("rho0", "rho1")) if isinstance(densities, xr.Dataset) else ())]
    lazy = any(isinstance(v, xr.DataArray) and _checks.is_lazy(v) for v in fields)
    kind = Problem
    if lazy and method == "smooth" and getattr(u, "ndim", 0) == 2:
        from mcfpaper._chunked import ChunkedProblem as kind
    elif lazy and method == "smooth" and getattr(u, "ndim", 0) == 3:
        from mcfpaper._spaced import SpaceProblem as kind
    elif lazy:
        from mcfpaper._oneblock import OneBlockProblem as kind
    return kind(u, densities, eps, tau, method, ball, side, tol)


def _first_step(*posed):
    problem = _posed(*posed)
    start = problem.start()
    return problem, start, problem.step(start)


def _initial(problem: Problem) -> xr.Dataset:
    return problem.state(problem.start())


def _next(problem: Problem, u: xr.DataArray) -> tuple[xr.Dataset, xr.Dataset]:
    result = problem.step(u)
    return result, problem.state(result, before=u)


def _states(problem: Problem, u: xr.DataArray, done: int, steps: int, progress: bool | None) -> Iterator[xr.Dataset]:
    """Yield the states after steps done + 1, ..., steps, from the set at step `done`."""
    show = _progress.wanted(progress)
    slow, todo = 0, range(done + 1, steps + 1)
    with tqdm(todo, initial=min(done, steps), total=steps, disable=not show, unit="step", desc="evolve") as bar:
        if show and _checks.is_lazy(problem.u) and (link := active_dashboard()):
            bar.write(f"dask dashboard: {link}", file=sys.stderr)
        for k in bar:
            try:
                result, state = promptly(_next, problem, u)
            except FloatingPointError as error:
                raise FloatingPointError(f"step {k} of {steps}: {error}") from error
            bar.set_postfix(t=f"{k * problem.tau:.4g}", gap=f"{float(result['gap']):.1e}")
            yield state
            if k == 1 and (said := problem.vanished(u, result["u"])):
                warnings.warn(said, stacklevel=3)
            slow += not bool(result["converged"])
            u = state["u"]
    if slow:
        warnings.warn(
            f"{slow} of {len(todo)} steps did not reach tol = {problem.tol:.3g}: see gap and converged", stacklevel=3
        )


def _stack(states: Sequence[xr.Dataset], times: np.ndarray) -> xr.Dataset:
    time = xr.DataArray(times, dims="time", attrs={"long_name": "time", "units": "length^2"})
    return xr.concat(states, dim="time", combine_attrs="override", join="override").assign_coords(time=time)
