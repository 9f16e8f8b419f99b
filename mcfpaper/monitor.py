"""Invariants of trajectories, measured anew on the stored sets: nesting, energy, slope, certificate (T6, T7)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from mcfpaper import _checks, _plotinput, geometry, operators
from mcfpaper.kernels import quadrature


def invariants(run: xr.Dataset, densities: xr.Dataset) -> xr.Dataset:
    """Measure the invariants of every step of a trajectory on its sets, not on the figures stored beside them.

    Nothing is asserted: whether a flow has nested sets, say, depends on the set that it started from.

    Parameters
    ----------
    run : xarray.Dataset
        A trajectory of `evolve`, of at least one step.
    densities : xarray.Dataset
        The `rho0`, `rho1` that it ran with.

    Returns
    -------
    xarray.Dataset
        Along the `time` after each step: `advance`, how far the new set reaches out of the old one, and `retreat`, how
        far its complement does out of the old complement (`overhang`, length units; <= 0: nested); `energy_excess`,
        Per_eps(new) + distance term - Per_eps(old), which T7 says is <= 0 (mass/length); `lipschitz`, of the stored u
        within 8 cells of the front, and `lipschitz_everywhere` (1 for a signed distance; the smooth solver's may be
        that to a farther piece of front in single cells on the medial axis, no nearer than these 8 cells); and the
        stored `gap`, `certified`, `converged`.

    Raises
    ------
    TypeError, ValueError
        If `run` is no trajectory of `evolve`, has no step, or the densities live on another grid.
    """
    run = _plotinput.run(run, ("u", "gap", "certified", "converged"))
    if missing := {"eps", "tau", "method", "ball"} - set(run.attrs):
        raise ValueError(f"run must have the attributes that evolve gives it, got none named {sorted(missing)}")
    if run.sizes["time"] < 2:
        raise ValueError("run must have at least one step, got the initial set alone")
    rho = _checks.densities(densities, like=run["u"].isel(time=0, drop=True), like_name="run")
    rows = {name: [] for name in LONG_NAMES}
    old = run["u"].isel(time=0, drop=True).compute()
    energy = _energy(old, rho, run.attrs)
    for k in range(1, run.sizes["time"]):
        new = run["u"].isel(time=k, drop=True).compute()
        rows["advance"].append(_overhang(*_sets(new, old, run.attrs)))
        rows["retreat"].append(_overhang(*_sets(-new, -old, run.attrs)))
        before, energy = energy, _energy(new, rho, run.attrs)
        rows["energy_excess"].append(energy + _distance_term(old, new, rho, run.attrs) - before)
        rows["lipschitz"].append(lipschitz(new, NEAR * max(_checks.spacing(new))))
        rows["lipschitz_everywhere"].append(lipschitz(new))
        old = new
    out = {k: ("time", v, {"long_name": LONG_NAMES[k][0], "units": LONG_NAMES[k][1]}) for k, v in rows.items()}
    stored = run[["gap", "certified", "converged"]].isel(time=slice(1, None)).compute()
    attrs = run.attrs | {"cell": max(_checks.spacing(old))}
    return xr.Dataset(out, {"time": stored["time"]}, attrs=attrs).merge(stored)


LONG_NAMES = {
    "advance": ("reach of the new set out of the old", "length"),
    "retreat": ("reach of the new complement out of the old", "length"),
    "energy_excess": ("energy spent beyond T7", "mass/length"),
    "lipschitz": ("Lipschitz constant of u near the front", "1"),
    "lipschitz_everywhere": ("Lipschitz constant of u", "1"),
}
NEAR = 8  # cells: as far as the solver's distances are sure to be those to the nearest piece of front


def table(named: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """One row for each trajectory, by name: what `invariants` found at its worst step.

    Lengths are in cells. A step is "nested" if the new set reaches out of the old one by no more than the gap.
    """
    rows = {}
    for name, found in _plotinput.mapping(named, "named").items():
        cell, steps = found.attrs["cell"], found.sizes["time"]
        rows[name] = {
            "steps": steps,
            "nested": int((found["advance"] <= found["gap"]).sum()),
            "largest advance / h": float(found["advance"].max()) / cell,
            "worst energy excess": float(found["energy_excess"].max()),
            "Lipschitz constant near the front": float(found["lipschitz"].max()),
            "everywhere": float(found["lipschitz_everywhere"].max()),
            "largest gap / h": float(found["gap"].max()) / cell,
            "certified": int(found["certified"].sum()),
            "converged": int(found["converged"].sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def nesting(inner: xr.Dataset, outer: xr.Dataset) -> xr.Dataset:
    """How far the sets of one trajectory reach out of those of another at the same times (T6).

    Returns
    -------
    xarray.Dataset
        Along `time`: `overhang`, see there; `allowed`, all gaps so far of both trajectories, by which computed
        fronts may miss it: a step moves no two fronts apart, so that errors add up and do not grow.

    Raises
    ------
    ValueError
        If the times, the grids or the methods differ.
    """
    inner, outer = (_plotinput.run(r, ("u", "gap"), name) for r, name in ((inner, "inner"), (outer, "outer")))
    if inner.sizes["time"] != outer.sizes["time"] or not np.allclose(inner["time"], outer["time"], rtol=1e-9, atol=0):
        raise ValueError("inner and outer must have the same times")
    _checks.same_grid(*(r["u"].isel(time=0, drop=True) for r in (inner, outer)), "inner", "outer")
    outer = outer.transpose(*inner["u"].dims, ...)
    if inner.attrs.get("method") != outer.attrs.get("method"):
        raise ValueError(
            f"inner and outer must share the method, got {[r.attrs.get('method') for r in (inner, outer)]}"
        )
    pairs = [[r["u"].isel(time=k, drop=True).compute() for r in (inner, outer)] for k in range(inner.sizes["time"])]
    found = [_overhang(*_sets(*pair, inner.attrs)) for pair in pairs]
    allowed = np.cumsum(inner["gap"].values + outer["gap"].values)
    out = {"overhang": ("time", found, {"units": "length"}), "allowed": ("time", allowed, {"units": "length"})}
    return xr.Dataset(out, {"time": inner["time"]}, attrs=inner.attrs)


def overhang(u: xr.DataArray, v: xr.DataArray) -> float:
    """How far {u > 0} reaches out of {v > 0}: the largest distance to {v > 0} of a point of {u > 0}.

    Parameters
    ----------
    u, v : xarray.DataArray
        Level-set functions, positive inside, or both boolean sets, on one grid.

    Returns
    -------
    float
        In length units. Not positive where {u > 0} lies in {v > 0}: then minus the least distance between the two
        fronts. -inf if {u > 0} is empty or {v > 0} the whole box, +inf if only {v > 0} is empty. Level-set functions
        are measured on the splines' fronts, once per cell of front. Of boolean sets whole cells count: 0 if they
        touch from inside, a cell's width or more if a cell lies outside.

    Raises
    ------
    ValueError, TypeError
        If the grids differ, or one set is boolean and the other is not.
    """
    u, v = _checks.field(u), _checks.field(v, "v")
    _checks.same_grid(u, v, "u", "v")
    if (u.dtype == bool) != (v.dtype == bool):
        raise TypeError(f"u and v must both be boolean or both level-set functions, got {u.dtype} and {v.dtype}")
    return _overhang(u.compute(), geometry.signed_distance(v.transpose(*u.dims).compute()))


def _sets(u: xr.DataArray, v: xr.DataArray, attrs: dict) -> tuple[xr.DataArray, xr.DataArray]:
    """Two stored sets as `_overhang` takes them: a trajectory holds distances already, the exact one of whole cells."""
    return (u > 0, v) if attrs["method"] == "exact" else (u, v)


def _overhang(u: xr.DataArray, d: xr.DataArray) -> float:
    """`overhang` of the set u and the set with signed distance d; of whole cells if u is boolean."""
    inside = u.values > 0
    if not inside.any() or (d.values > 0).all():
        return -np.inf
    if not (d.values > 0).any():
        return np.inf
    out = float(-d.values[inside].min())
    if u.dtype == bool:
        return out + 0.5 * min(_checks.spacing(u))  # cells reach half a cell beyond their centres
    pieces = [] if inside.all() else geometry.contours(u)
    return max([out, *(float(-geometry.sample(d, piece[list(u.dims)]).min()) for piece in pieces)])


def lipschitz(u: xr.DataArray, within: float = np.inf) -> float:
    """Largest difference quotient of `u` between neighbouring cell centres, diagonal neighbours included.

    Pairs count where |u| <= `within` at both. 0 if there are none, and for an infinite field (the empty set, the whole
    box), which is constant.
    """
    u, h = _checks.field(u), _checks.spacing(u)
    values = u.values.astype(float)
    if np.isinf(values).all():
        return 0.0
    values, worst = np.where(np.abs(values) <= within, values, np.nan), 0.0
    for offset in itertools.product((-1, 0, 1), repeat=values.ndim):
        if offset > (0,) * values.ndim:
            ends = [values[tuple(slice(max(s * o, 0), min(s * o, 0) or None) for o in offset)] for s in (1, -1)]
            length = float(np.hypot.reduce(np.multiply(offset, h)))
            worst = max(worst, float(np.fmax.reduce(np.abs(ends[0] - ends[1]), axis=None, initial=0.0)) / length)
    return worst


def _energy(u: xr.DataArray, rho: xr.Dataset, attrs: dict) -> float:
    ball = attrs["ball"]
    return float(operators.nonlocal_perimeter(u > 0 if attrs["method"] == "exact" else u, rho, attrs["eps"], ball))


def _distance_term(old: xr.DataArray, new: xr.DataArray, rho: xr.Dataset, attrs: dict) -> float:
    """(1/tau) ∫ |f| rho over the symmetric difference, f the signed distance to the old front (D8)."""
    if np.isinf(old.values).all():
        return 0.0
    weight = old * (rho["rho0"] + rho["rho1"])
    if attrs["method"] == "exact":
        moved = (old > 0) ^ (new > 0)
        return float(abs(weight).where(moved, 0.0).sum()) * float(np.prod(_checks.spacing(old))) / attrs["tau"]
    values, h = weight.transpose(*old.dims).values, _checks.spacing(old)
    before, after = (quadrature.integrals(w.values, h, [values])[0] for w in (old, new))
    return (before - after) / attrs["tau"]
