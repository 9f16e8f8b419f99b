"""Measurements of the convergence notebooks: errors uniformly in time, orders, error budgets, a scheme for contrast."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from mcfpaper import _checks, densities, geometry, grids, oracles, scheme
from mcfpaper.solvers import mincut
from mcfpaper.sweeps import sweep
from mcfpaper.trajectory import open_trajectory

Reference = xr.Dataset | Callable[[float], xr.DataArray]


def uniform_errors(run: xr.Dataset, reference: Reference) -> xr.Dataset:
    """Errors of a trajectory of sets against a reference flow, at every time and not at the steps alone (T9).

    The scheme's set at time t is that of the last step, A(t) = A_floor(t/tau). While it waits the flow moves on, so
    each set is compared with the flow twice: at its own time and at that of the next step.

    Parameters
    ----------
    run : xarray.Dataset
        A trajectory of `evolve` whose sets all have a boundary inside the box.
    reference : xarray.Dataset or callable
        The flow: what `limit_flow` returns at times that include those of the run, or a function that maps a time to a
        signed distance, positive inside, on the run's grid.

    Returns
    -------
    xarray.Dataset
        Per time `hausdorff` (length units) and `l1` (length^d, volume of the symmetric difference), both at the steps,
        and `hausdorff_held`, `l1_held`, just before the next step (for the last set: as at its own time). The
        larger of the two, maximised over time, is the error uniformly in time.

    Raises
    ------
    ValueError
        If a set is empty or full, or the reference lacks a time of the run.
    """
    at = reference if callable(reference) else lambda t: _at_time(reference["u"], t)
    flow = [at(float(t)) for t in run["time"].values]
    steps = len(flow)
    out = {}
    for name, shift in (("", 0), ("_held", 1)):
        pairs = [(run["u"].isel(time=k), flow[min(k + shift, steps - 1)]) for k in range(steps)]
        for kind, measure in (("hausdorff", geometry.hausdorff), ("l1", l1_distance)):
            found = [measure(*pair) for pair in pairs]
            attrs = {"long_name": f"{kind} error", "units": found[0].attrs["units"]}
            out[kind + name] = ("time", np.array([float(v) for v in found]), attrs)
    return xr.Dataset(out, {"time": run["time"]})


def _at_time(u: xr.DataArray, t: float) -> xr.DataArray:
    near = int(np.abs(u["time"].values - t).argmin())
    if abs(float(u["time"][near]) - t) > 1e-9 * max(1.0, abs(t)):
        raise ValueError(f"reference must hold the times of the run, got none at {t:g}")
    return u.isel(time=near, drop=True)


def l1_distance(u: xr.DataArray, v: xr.DataArray) -> xr.DataArray:
    """Volume of the symmetric difference of {u > 0} and {v > 0}: their distance in L1.

    Both should be signed distances; then the intersection {min(u, v) > 0} is smooth but where the fronts cross.
    """
    u, v = _checks.field(u), _checks.field(v, "v")
    _checks.same_grid(u, v, "u", "v")
    v = u.copy(data=v.transpose(*u.dims).data)  # whose coordinates may differ by rounding
    both = xr.where(u < v, u, v)
    one, other, common = (geometry.volume(w) for w in (u, v, both))
    attrs = {"long_name": "L1 distance", "units": one.attrs["units"]}
    return xr.DataArray(max(float(one + other - 2 * common), 0.0), name="l1_distance", attrs=attrs)


def orders(x: Sequence[float], errors: Sequence[float]) -> np.ndarray:
    """Observed orders between neighbouring parameters: slopes of log(error) over log(x), one fewer than `x`."""
    x, errors = np.log(np.asarray(x, float)), np.log(np.asarray(errors, float))
    return np.diff(errors) / np.diff(x)


def budget_axis(budgets: Sequence[float]) -> xr.DataArray:
    """Values of eps = tau as a coordinate with a label, for `sweep`."""
    return xr.DataArray(np.asarray(budgets, float), dims="eps", attrs={"long_name": "eps = tau", "units": "length"})


def refine(
    cases: Mapping[str, tuple[xr.DataArray, xr.Dataset, Reference]],
    budgets: Sequence[float],
    t_end: float,
    store: str | os.PathLike,
) -> tuple[xr.Dataset, dict[str, list[xr.Dataset]]]:
    """Run the scheme with eps = tau from several sets and hold it against the limit flow (T9), as a `sweep`.

    Parameters
    ----------
    cases : mapping
        Name -> initial set, densities, and the flow as `uniform_errors` takes it.
    budgets : sequence of float
        Values of eps = tau.
    t_end : float
        End time.
    store : path
        Folder for the trajectories, which the workers and this process share: a study that was interrupted resumes.

    Returns
    -------
    errors : xarray.Dataset
        Along `case` and `eps`: `hausdorff` and `l1`, uniformly in time; `hausdorff_steps` and `l1_steps`, at the
        steps alone; `area_rate`, the volume lost per time (2 pi in O3); `gap`, the largest of the
        certificates; `energy_margin`, by how much at least T7 held (mass/length); `steps`.
    runs : dict
        The trajectories of each case, lazy, in the order of the budgets.
    """
    if t_end * (1 + 1e-12) < max(map(float, budgets), default=0.0):
        raise ValueError(f"t_end must be at least the largest of budgets, one step, got {t_end:g} and {list(budgets)}")
    Path(store).mkdir(parents=True, exist_ok=True)
    paths = {name: [Path(store) / f"{k}-{float(eps):g}.zarr" for eps in budgets] for k, name in enumerate(cases)}
    job = functools.partial(_against_flow, t_end=t_end)
    named = {name: (dict(zip(map(float, budgets), paths[name], strict=True)), *case) for name, case in cases.items()}
    errors = sweep(job, {"case": named, "eps": budget_axis(budgets)})
    return errors, {name: [open_trajectory(path) for path in p] for name, p in paths.items()}


def _against_flow(case: tuple, eps: float, t_end: float) -> dict[str, float]:
    """One trajectory against its limit flow: a row of `refine`."""
    stores, u, rho, reference = case
    run = scheme.evolve(u, rho, eps, t_end, store=stores[eps], progress=False).load()
    found = uniform_errors(run, reference)
    volume, energy = run["volume"].values, run["nonlocal_perimeter"].values
    row = {k: float(max(found[k].max(), found[f"{k}_held"].max())) for k in ("hausdorff", "l1")}
    row |= {f"{k}_steps": float(found[k].max()) for k in ("hausdorff", "l1")}
    row["area_rate"] = (volume[0] - volume[-1]) / float(run["time"][-1])
    row["gap"] = float(run["gap"].max())
    row["energy_margin"] = float((energy[:-1] - energy[1:] - run["dissipation"].values[1:]).min())
    return row | {"steps": run.sizes["time"] - 1}


def error_budget(
    r0: float, s: float, prior: float, eps: float, t_end: float, cells: tuple[int, float], factors: Sequence[float]
) -> dict[str, xr.Dataset]:
    """What cell size, eps, tau, solver and front extraction each add to the error, varied one at a time.

    A circle of radius `r0` moves in the density of a centred Gaussian of deviation `s`. O1 gives the scheme's exact
    radius at finite eps and tau, so that errors of the computation and of the scheme are told apart.

    Parameters
    ----------
    r0, s, eps, t_end : float
        Radius, deviation, the base value of eps = tau, and the end time.
    prior : float
        Mass of class 1.
    cells : (int, float)
        Cells per axis at the base, and the length of the box, whose centre is the origin.
    factors : sequence of float
        Powers of 2, from 1 up.

    Returns
    -------
    dict of xarray.Dataset
        By the name of what is varied: along `factor`, the parameter over the smallest value it takes, the `error` in
        length units. "cell size" (upwards from the base): distance to the exact circle of the scheme. "eps", "tau"
        (downwards): to the scheme with that parameter near 0. "solver tolerance" (upwards): sum of the certificates.
        "front extraction": distance of a known circle to the front found from a field that is no distance.
    """
    n, box = cells
    factors = np.asarray(factors, float)
    law = [lambda q, m=m: m * np.exp(-(q**2) / (2 * s**2)) for m in (1 - prior, prior)]

    def exact(e: float, tau: float) -> float:
        return oracles.radial_flow(r0, *law, e, tau, round(t_end / tau))[-1]

    @functools.cache
    def run(n: int = n, e: float = eps, tau: float = eps, tol: float = 0.02) -> xr.Dataset:
        grid = grids.grid(n, -box / 2, box / 2)
        rho = densities.gaussian(grid, [0.0, 0.0], s**2, [0.0, 0.0], s**2, prior)
        return scheme.evolve(_disc(grid, r0), rho, e, t_end, tau, tol=tol * box / n, progress=False)

    def off(path: xr.Dataset, radius: float) -> float:
        return float(geometry.hausdorff(path["u"][-1], _disc(path, radius)))

    sizes, small = [round(n / f) for f in factors], eps * factors / factors.max()
    errors = {
        "cell size": [off(run(n=m), exact(eps, eps)) for m in sizes],
        "eps": [off(run(e=e), exact(eps / 256, eps)) for e in small],
        "tau": [off(run(tau=tau), exact(eps, eps / 256)) for tau in small],
        "solver tolerance": [float(run(tol=0.02 * f)["gap"].sum()) for f in factors],
        "front extraction": [_extraction(grids.grid(m, -box / 2, box / 2), r0) for m in sizes],
    }
    return {k: xr.Dataset({"error": ("factor", v)}, {"factor": factors}) for k, v in errors.items()}


def level_cut(
    f: xr.DataArray,
    densities: xr.Dataset,
    eps: float,
    tau: float,
    level: float,
    side: str = "minimal",
    ball: str = "lattice",
) -> xr.DataArray:
    """Minimal or maximal minimiser of D8 with f - level in place of the distance, by one minimum cut of its own (T5).

    Parameters
    ----------
    f : xarray.DataArray
        The data of the proximal problem, finite, in length units.
    densities, eps, tau, ball
        As in `step`.
    level : float
        The level t whose set {u > t} (minimal) or {u >= t} (maximal) is wanted.
    side : {"minimal", "maximal"}
        Which minimiser.

    Returns
    -------
    xarray.DataArray
        A boolean set on the grid of `f`.
    """
    f = _checks.field(f, "f")
    rho = _checks.densities(densities, like=f, like_name="f")
    eps, tau = _checks.budget(eps, _checks.spacing(f)), _checks.number(tau, "tau", above=0.0)
    level = _checks.number(level, "level")
    _checks.option(side, "side", ("minimal", "maximal"))
    rho0, rho1 = (rho[v].values.astype(float) for v in ("rho0", "rho1"))
    weight = (rho0 + rho1) * (f.values - level) / tau
    cut = mincut.solve(rho0, rho1, weight, eps, _checks.spacing(f), norm=ball, side=side)
    return f.copy(data=getattr(cut, side))


def centred_step(u: xr.DataArray, densities: xr.Dataset, tau: float) -> xr.DataArray:
    """One explicit step of the limit flow D10 by centred differences, in the plane: a scheme that is not monotone.

    For contrast: it is consistent, and stable for smooth u if tau is below a quarter of the squared spacing, but new
    values do not depend monotonically on old ones, so that T6 fails.
    """
    u = _checks.field(u)
    if u.ndim != 2:
        raise ValueError(f"u must have 2 dimensions, got {u.ndim}")
    h, rho = _checks.spacing(u), _checks.densities(densities, like=u)
    slope = np.gradient(u.values, *h)
    steepness = np.sqrt(slope[0] ** 2 + slope[1] ** 2 + 1e-12)  # 0/0 where u is flat
    curvature = sum(np.gradient(s / steepness, h[i], axis=i) for i, s in enumerate(slope))
    drift = np.gradient(np.log((rho["rho0"] + rho["rho1"]).values), *h)
    rate = steepness * curvature + slope[0] * drift[0] + slope[1] * drift[1]
    return u.copy(data=u.values + tau * rate)


def centred_flow(u: xr.DataArray, densities: xr.Dataset, steps: int, tau: float) -> xr.Dataset:
    """Sets of `steps` steps of `centred_step`, each made a signed distance: a trajectory without a certificate (gap 0).

    Raises
    ------
    ValueError
        If a set becomes empty or full.
    """
    states = [geometry.signed_distance(u)]
    for _ in range(steps):
        states.append(geometry.signed_distance(centred_step(states[-1], densities, tau)))
        if np.isinf(states[-1]).any():
            raise ValueError(f"steps must be fewer than {len(states) - 1}: the set is empty or full then, got {steps}")
    time = xr.DataArray(np.arange(steps + 1) * tau, dims="time", attrs={"long_name": "time", "units": "length^2"})
    run = xr.Dataset({"u": xr.concat(states, "time"), "gap": ("time", np.zeros(steps + 1))}, {"time": time})
    return run.assign_attrs(method="centred", tau=tau)


def _disc(grid: xr.Coordinates | xr.DataArray, radius: float) -> xr.DataArray:
    y, x = (xr.DataArray(grid[d]) for d in ("y", "x"))
    return radius - np.hypot(y, x)


def _extraction(grid: xr.Coordinates, radius: float) -> float:
    """How far the front of a field that is no distance, r^2 - |x|^2 bent by a wave, is from the circle of radius r."""
    y, x = (xr.DataArray(grid[d]) for d in ("y", "x"))
    field = _disc(grid, radius) * (1.5 + np.sin(2 * x) * np.cos(y))
    return max(
        float(abs(np.hypot(c["x"], c["y"]) - radius).max()) for c in geometry.contours(field.transpose("y", "x"))
    )
