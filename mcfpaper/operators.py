"""Dilation, erosion and the functionals built on them: theory.md D2-D6 and T4, on the lattice or isotropic.

The sup and the inf run over the ball *and* the box (a natural, free boundary condition). Dask-backed fields come out
lazy and in their own chunks: blocks are extended by the ball's radius, and an axis shorter than twice that is
merged into one chunk first. Operators equal the numpy result to the last bit whatever the chunks; sums to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import dask.array as da
import numpy as np
import xarray as xr

from mcfpaper import _checks, geometry
from mcfpaper.grids import cell_volume
from mcfpaper.kernels import isotropic, morphology


def dilate(u: xr.DataArray, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Dilation: the supremum of `u` over the ball of radius `eps` about each cell (D3).

    Parameters
    ----------
    u : xarray.DataArray
        A field or a boolean set on a uniform grid in 1, 2 or 3 dimensions, numpy- or dask-backed.
    eps : float
        Radius of the ball, in length units, at least the largest grid spacing.
    ball : {"lattice", "box", "diamond", "isotropic"}
        "lattice": the exact maximum over grid points in the closed Euclidean ball; "box" and "diamond": the same
        for the max- and the 1-norm; "isotropic": the supremum over the continuous Euclidean ball of the cubic
        spline through `u`, with no preferred direction (a boolean set has no such interpolant and is refused).

    Returns
    -------
    xarray.DataArray
        Of the shape, chunks, coordinates and dtype of `u` (boolean, float32 or float64; others become float64).

    Raises
    ------
    ValueError
        If `u` holds NaN or is partly infinite, its grid is not uniform, or `eps` is below a cell or not finite.
    """
    return _morphology(u, eps, ball, morphology.dilate, isotropic.dilate, "dilation")


def erode(u: xr.DataArray, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Erosion: the infimum of `u` over the ball of radius `eps` about each cell (D3).

    Equal to ``-dilate(-u)`` (for a boolean set, to the complement of the dilated complement); parameters, result
    and errors are those of `dilate`.
    """
    return _morphology(u, eps, ball, morphology.erode, isotropic.erode, "erosion")


def nonlocal_tv(u: xr.DataArray, densities: xr.Dataset, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Nonlocal total variation TV_eps(u) = (1/eps) ∫ (u⊕ - u) rho0 + (u - u⊖) rho1 (D6).

    Parameters
    ----------
    u : xarray.DataArray
        A field on a uniform grid (a boolean set counts as its indicator function).
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `u`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units.
    ball : {"lattice", "box", "diamond", "isotropic"}
        See `dilate`. On the lattice T2's laws hold exactly.

    Returns
    -------
    xarray.DataArray
        A 0-d DataArray (lazy if an input is), in units of `u` times mass per length.
    """
    if isinstance(u, xr.DataArray) and u.dtype == bool:
        return nonlocal_perimeter(u, densities, eps, ball).rename("nonlocal_tv")
    u = _checks.field(u)
    _finite(u)
    rho = _checks.densities(densities, like=u)
    up, down = dilate(u, eps, ball), erode(u, eps, ball)
    total = ((up - u) * rho["rho0"] + (u - down) * rho["rho1"]).sum() * (cell_volume(u) / eps)
    return _scalar(total, "nonlocal_tv", "nonlocal total variation", "mass/length")


def nonlocal_perimeter(a: xr.DataArray, densities: xr.Dataset, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Nonlocal perimeter Per_eps(A) = (1/eps) [rho0(A⊕ minus A) + rho1(A minus A⊖)] (D5).

    Parameters
    ----------
    a : xarray.DataArray
        A boolean set or a level-set function, A = {a > 0}.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `a`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units.
    ball : {"lattice", "box", "diamond", "isotropic"}
        With a lattice ball the set is the union of the cells where a > 0; with "isotropic" it is measured
        sub-cell, from the layers -eps < d <= 0 and 0 < d < eps of its signed distance d.

    Returns
    -------
    xarray.DataArray
        A 0-d DataArray (lazy if an input is), in mass per length.
    """
    a, rho, eps = _set_arguments(a, densities, eps, ball)
    if ball == "isotropic":
        outer, inner = (risks / eps for risks in _layers(a, rho, eps))
        total = outer + inner
    else:
        inside = a if a.dtype == bool else a > 0
        grown, shrunk = dilate(inside, eps, ball), erode(inside, eps, ball)
        total = (rho["rho0"].where(grown & ~inside, 0.0) + rho["rho1"].where(inside & ~shrunk, 0.0)).sum()
        total = total * (cell_volume(a) / eps)
    return _scalar(total, "nonlocal_perimeter", "nonlocal perimeter", "mass/length")


def risk(a: xr.DataArray, densities: xr.Dataset, ball: str = "lattice") -> xr.DataArray:
    """Risk R(A) = rho0(A) + rho1(complement of A): the mass that the classifier A gets wrong (D2).

    Parameters
    ----------
    a : xarray.DataArray
        A boolean set or a level-set function, A = {a > 0}.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `a`, in mass per unit volume.
    ball : {"lattice", "box", "diamond", "isotropic"}
        Only how the set is measured: by whole cells, or sub-cell with "isotropic".

    Returns
    -------
    xarray.DataArray
        A 0-d DataArray (lazy if an input is): a mass, between 0 and 1 for probability densities.
    """
    a = _checks.field(a, "a")
    _checks.option(ball, "ball", _checks.BALLS)
    rho = _checks.densities(densities, like=a)
    if ball == "isotropic":
        total = _mass(a, rho["rho0"]) + float(rho["rho1"].sum()) * cell_volume(a) - _mass(a, rho["rho1"])
    else:
        inside = a if a.dtype == bool else a > 0
        total = xr.where(inside, rho["rho0"], rho["rho1"]).sum() * cell_volume(a)
    return _scalar(total, "risk", "risk", "mass")


def adversarial_risk(a: xr.DataArray, densities: xr.Dataset, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Adversarial risk R_eps(A) = E sup over B(x, eps) of |1_A - y| = rho0(A⊕) + rho1(complement of A⊖) (D4).

    Parameters
    ----------
    a : xarray.DataArray
        A boolean set or a level-set function, A = {a > 0}.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `a`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units.
    ball : {"lattice", "box", "diamond", "isotropic"}
        How the set and the ball are measured: see `nonlocal_perimeter`.

    Returns
    -------
    xarray.DataArray
        A 0-d DataArray (lazy if an input is): a mass. It equals risk + eps times nonlocal perimeter (T1).
    """
    a, rho, eps = _set_arguments(a, densities, eps, ball)
    if ball == "isotropic":
        outer, inner = _layers(a, rho, eps)
        total = risk(a, rho, ball) + outer + inner
    else:
        inside = a if a.dtype == bool else a > 0
        wrong0, right1 = dilate(inside, eps, ball), erode(inside, eps, ball)
        total = (rho["rho0"].where(wrong0, 0.0) + rho["rho1"].where(~right1, 0.0)).sum() * cell_volume(a)
    return _scalar(total, "adversarial_risk", "adversarial risk", "mass")


def subgradient(u: xr.DataArray, densities: xr.Dataset, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Return an element of the subdifferential of TV_eps at `u`, as a density per unit volume (T4).

    p = (1/eps) [T+_# rho0 - rho0 + rho1 - T-_# rho1], where the transport T+ (T-) moves the mass of each cell to a
    maximiser (minimiser) of `u` in its ball. On the lattice p is exact: ∫ p u = TV_eps(u) and
    TV_eps(v) >= TV_eps(u) + ∫ p (v - u) for every v, to rounding. Among several maximisers the nearest is taken.

    Parameters
    ----------
    u : xarray.DataArray
        A field on a uniform grid.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `u`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units.
    ball : {"lattice", "box", "diamond", "isotropic"}
        See `dilate`. With "isotropic" mass lands between cell centres and is shared among the nearest cells, so
        that p is the continuum's density averaged over about a cell.

    Returns
    -------
    xarray.DataArray
        Of the shape and chunks of `u`, in mass per volume and length; its sum is 0 to rounding.
    """
    u = _checks.field(u)
    _checks.option(ball, "ball", _checks.BALLS)
    h = _checks.spacing(u)
    eps = _checks.budget(eps, h)
    rho = _checks.densities(densities, like=u)
    _finite(u)

    def push(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
        if ball == "isotropic":
            return isotropic.push(values, mass, eps, h)
        target = morphology.argdilate(values, eps, h, norm=ball)
        return np.bincount(target.ravel(), mass.ravel(), minlength=mass.size).reshape(mass.shape)

    def block(values: np.ndarray, rho0: np.ndarray, rho1: np.ndarray) -> np.ndarray:
        _reject_nan(values, "u")
        gained = push(values, rho0)
        lost = push(-values, rho1)
        return (gained - rho0 + rho1 - lost) / eps

    halo = tuple(2 * r for r in _halo(ball, eps, h))
    data = _blockwise(block, halo, np.float64, u.astype(float), rho["rho0"].astype(float), rho["rho1"].astype(float))
    attrs = {"long_name": "subgradient of the nonlocal total variation", "units": f"mass/length^{u.ndim + 1}"}
    return xr.DataArray(data, coords=u.coords, dims=u.dims, name="subgradient", attrs=attrs)


def _morphology(u: object, eps: float, ball: str, lattice: Callable, smooth: Callable, what: str) -> xr.DataArray:
    u = _checks.field(u)
    _checks.option(ball, "ball", _checks.BALLS)
    h = _checks.spacing(u)
    eps = _checks.budget(eps, h)
    if ball == "isotropic" and u.dtype == bool:
        raise TypeError(f'u must be a level-set function for the {what} with ball="isotropic", got a boolean set')
    if u.dtype not in (np.dtype(bool), np.dtype(np.float32), np.dtype(np.float64)):
        u = u.astype(np.float64)

    def block(values: np.ndarray) -> np.ndarray:
        _reject_nan(values, "u")
        return smooth(values, eps, h) if ball == "isotropic" else lattice(values, eps, h, norm=ball)

    return u.copy(data=_blockwise(block, _halo(ball, eps, h), u.dtype, u))


def _blockwise(function: Callable, halo: tuple[int, ...], dtype: np.dtype, *fields: xr.DataArray):
    """Apply `function` to numpy blocks that see `halo` cells around them; lazy if a field is."""
    if not any(_checks.is_lazy(f) for f in fields):
        return function(*(f.values for f in fields))
    chunks = next(f for f in fields if _checks.is_lazy(f)).chunks
    # An axis whose chunks cannot hold the halo is merged: dask would rechunk it silently, in a way of its own.
    wide = tuple(c if len(c) == 1 or min(c) >= r else (sum(c),) for c, r in zip(chunks, halo, strict=True))
    depth = {axis: (r if len(c) > 1 else 0) for axis, (c, r) in enumerate(zip(wide, halo, strict=True))}
    arrays = [da.asarray(f.data).rechunk(wide) for f in fields]
    out = da.map_overlap(
        function,
        *arrays,
        depth=[depth] * len(arrays),
        boundary="none",
        allow_rechunk=False,
        align_arrays=False,
        dtype=dtype,
        meta=np.empty((0,) * len(halo), dtype),
    )
    return out.rechunk(chunks)


def _halo(ball: str, eps: float, h: tuple[float, ...]) -> tuple[int, ...]:
    return isotropic.halo(eps, h) if ball == "isotropic" else morphology.halo(eps, h, ball)


def _set_arguments(a: object, densities: object, eps: object, ball: str) -> tuple[xr.DataArray, xr.Dataset, float]:
    a = _checks.field(a, "a")
    _checks.option(ball, "ball", _checks.BALLS)
    eps = _checks.budget(eps, _checks.spacing(a))
    return a, _checks.densities(densities, like=a), eps


def _layers(a: xr.DataArray, rho: xr.Dataset, eps: float) -> tuple[float, float]:
    """Masses of class 0 in A⊕ minus A and of class 1 in A minus A⊖, sub-cell."""
    d = geometry.signed_distance(a)
    outer = _mass(d + eps, rho["rho0"]) - _mass(d, rho["rho0"])
    return outer, _mass(d, rho["rho1"]) - _mass(d - eps, rho["rho1"])


def _mass(u: xr.DataArray, rho: xr.DataArray) -> float:
    """Sub-cell mass of the density `rho` in {u > 0}."""
    return float(geometry.volume(u, xr.Dataset({"rho0": rho, "rho1": xr.zeros_like(rho)})))


def _finite(u: xr.DataArray) -> None:
    if not _checks.is_lazy(u) and u.dtype.kind == "f" and not np.isfinite(u.values).all():
        raise ValueError("u must be finite here (a set that is empty or full has no total variation as a function)")


def _reject_nan(values: np.ndarray, name: str) -> None:
    if values.dtype.kind == "f" and np.isnan(values).any():
        raise ValueError(f"{name} must not hold NaN")


def _scalar(value: object, name: str, long_name: str, units: str) -> xr.DataArray:
    out = value if isinstance(value, xr.DataArray) else xr.DataArray(float(value))
    out = out.drop_vars(list(out.coords)).rename(name)
    out.attrs = {"long_name": long_name, "units": units}
    return out
