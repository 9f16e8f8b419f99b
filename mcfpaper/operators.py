"""Dilation, erosion and the functionals built on them: theory.md D2-D6 and T4, on the lattice or isotropic.

The sup and the inf run over the ball *and* the box (a natural, free boundary condition). Dask-backed fields come out
lazy and in their own chunks: blocks are extended by the ball's radius, and chunks shorter than that are merged with
their neighbours first. On the lattice, operators equal the numpy result to the last bit whatever the chunks; sums and
the isotropic operators do to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import dask
import dask.array as da
import numba
import numpy as np
import xarray as xr

from mcfpaper import _checks, geometry
from mcfpaper._blocks import blockwise
from mcfpaper.grids import cell_volume
from mcfpaper.kernels import isotropic, morphology, quadrature

TWO_THREADS = 1 << 20  # bytes of an array from which on the second thread is worth its waking (1.2 to 1.8 times)


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
    u, rho, eps = _arguments(u, densities, eps, ball, "u")
    if u.dtype == bool:
        total = _perimeter(u, rho, eps, ball)
    else:
        u = _checks.checked(u, _checks.finite, "u")  # an empty or full set has no total variation as a function
        # in double precision, so that a float32 field costs no more than its own rounding
        up, down = (f(u, eps, ball).astype(np.float64) for f in (dilate, erode))
        total = ((up - u) * rho["rho0"] + (u - down) * rho["rho1"]).sum() * (cell_volume(u) / eps)
    return geometry.scalar(total.data, "nonlocal total variation", "mass/length", "nonlocal_tv")


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
    a, rho, eps = _arguments(a, densities, eps, ball, "a")
    total = _checks.one_kind(_perimeter(a, rho, eps, ball), a, "a")
    return geometry.scalar(total.data, "nonlocal perimeter", "mass/length")


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
    rho = _checks.densities(densities, like=a, like_name="a")
    return geometry.scalar(_checks.one_kind(_risk(a, rho, ball), a, "a").data, "risk", "mass")


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
    a, rho, eps = _arguments(a, densities, eps, ball, "a")
    if ball == "isotropic":
        total = _subcell(a, rho, eps)
    else:
        inside = _inside(a)
        wrong0, right1 = dilate(inside, eps, ball), erode(inside, eps, ball)
        total = (rho["rho0"].where(wrong0, 0.0) + rho["rho1"].where(~right1, 0.0)).sum() * cell_volume(a)
    return geometry.scalar(_checks.one_kind(total, a, "a").data, "adversarial risk", "mass")


def subgradient(u: xr.DataArray, densities: xr.Dataset, eps: float, ball: str = "lattice") -> xr.DataArray:
    """Return an element of the subdifferential of TV_eps at `u`, as a density per unit volume (T4).

    p = (1/eps) [T+_# rho0 - rho0 + rho1 - T-_# rho1], where the transport T+ (T-) moves the mass of each cell to a
    maximiser (minimiser) of `u` in its ball. It is exact for the discrete functional, with "isotropic" as far as the
    maxima found are global ones: ∫ p u = TV_eps(u) and TV_eps(v) >= TV_eps(u) + ∫ p (v - u) for every v, to rounding.
    Among several maximisers the cell itself is taken if it is one, else the first in the order of the grid.

    Parameters
    ----------
    u : xarray.DataArray
        A field on a uniform grid.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the grid of `u`, in mass per unit volume.
    eps : float
        Adversarial budget, in length units.
    ball : {"lattice", "box", "diamond", "isotropic"}
        See `dilate`. With "isotropic" mass lands between cell centres and is shared among the cells as the
        spline is read there, so that averages over many cells converge; single cells carry an aliasing error of about
        a hundredth of p.

    Returns
    -------
    xarray.DataArray
        Of the shape and chunks of `u`, in mass per volume and length; its sum is 0 to rounding.
    """
    u, rho, eps = _arguments(u, densities, eps, ball, "u")
    if ball == "isotropic":
        _refuse_boolean(u, "subgradient")
    h = _checks.spacing(u)
    u = _checks.checked(u.astype(np.float64), _checks.finite, "u")

    def push(values: np.ndarray, mass: np.ndarray) -> np.ndarray:
        if ball == "isotropic":
            return isotropic.push(values, mass, eps, h)
        target = morphology.argdilate(values, eps, h, norm=ball)
        return np.bincount(target.ravel(), mass.ravel(), minlength=mass.size).reshape(mass.shape)

    def block(values: np.ndarray, rho0: np.ndarray, rho1: np.ndarray) -> np.ndarray:
        gained = push(values, rho0)
        lost = push(-values, rho1)
        return (gained - rho0 + rho1 - lost) / eps

    halo = tuple(2 * r for r in _halo(ball, eps, h))  # the mass of a cell comes from its ball, sent there by theirs
    data = blockwise(block, halo, u, rho["rho0"], rho["rho1"])
    attrs = {"long_name": "subgradient of the nonlocal total variation", "units": f"mass/length^{u.ndim + 1}"}
    return xr.DataArray(data, coords=u.coords, dims=u.dims, name="subgradient", attrs=attrs)


def _morphology(u: object, eps: float, ball: str, lattice: Callable, smooth: Callable, what: str) -> xr.DataArray:
    u = _checks.field(u)
    _checks.option(ball, "ball", _checks.BALLS)
    h = _checks.spacing(u)
    eps = _checks.budget(eps, h)
    if ball == "isotropic":
        _refuse_boolean(u, what)
    if u.dtype not in (np.dtype(bool), np.dtype(np.float32), np.dtype(np.float64)):
        u = u.astype(np.float64)

    lazy = _checks.is_lazy(u)

    def block(values: np.ndarray) -> np.ndarray:
        if lazy and values.dtype != bool:
            _checks.finite_or_constant_infinity(values, "u")  # again: an infinite block, seen with others
        if ball == "isotropic":
            return smooth(values, eps, h)
        alone = lazy or values.nbytes < TWO_THREADS or numba.config.NUMBA_NUM_THREADS == 1
        return lattice(values, eps, h, norm=ball, threads=1 if alone else 2)

    return u.copy(data=blockwise(block, _halo(ball, eps, h), u))


def _halo(ball: str, eps: float, h: tuple[float, ...]) -> tuple[int, ...]:
    return isotropic.halo(eps, h) if ball == "isotropic" else morphology.halo(eps, h)


def _arguments(
    u: object, densities: object, eps: object, ball: str, name: str
) -> tuple[xr.DataArray, xr.Dataset, float]:
    u = _checks.field(u, name)
    _checks.option(ball, "ball", _checks.BALLS)
    eps = _checks.budget(eps, _checks.spacing(u))
    return u, _checks.densities(densities, like=u, like_name=name), eps


def _inside(a: xr.DataArray) -> xr.DataArray:
    return a if a.dtype == bool else a > 0


def _perimeter(a: xr.DataArray, rho: xr.Dataset, eps: float, ball: str) -> xr.DataArray:
    if ball == "isotropic":
        return _subcell(a, rho, eps, 0.0) / eps
    inside = _inside(a)
    grown, shrunk = dilate(inside, eps, ball), erode(inside, eps, ball)
    layers = rho["rho0"].where(grown & ~inside, 0.0) + rho["rho1"].where(inside & ~shrunk, 0.0)
    return layers.sum() * (cell_volume(a) / eps)


def _risk(a: xr.DataArray, rho: xr.Dataset, ball: str) -> xr.DataArray:
    if ball == "isotropic":
        return _subcell(a, rho, 0.0)
    return xr.where(_inside(a), rho["rho0"], rho["rho1"]).sum() * cell_volume(a)


def _subcell(a: xr.DataArray, rho: xr.Dataset, *radii: float) -> xr.DataArray:
    """The mass `_attacked`: of numpy arrays at once, of lazy ones in one task."""
    arrays, h = [v.data for v in (a, rho["rho0"], rho["rho1"])], _checks.spacing(a)
    if not any(map(_checks.is_lazy, (a, rho["rho0"], rho["rho1"]))):
        return xr.DataArray(_attacked(*arrays, h, *radii))
    task = dask.delayed(_attacked, pure=False)(*arrays, h, *radii)
    return xr.DataArray(da.from_delayed(task, (), float, meta=np.empty(())))


def _attacked(
    a: np.ndarray, rho0: np.ndarray, rho1: np.ndarray, h: tuple[float, ...], eps: float, less: float | None = None
) -> float:
    """Sub-cell mass of class 0 in A⊕ and of class 1 outside A⊖; `less`: minus that for another radius of the ball."""
    d = geometry.distances(a, h)

    def mass(r: float) -> float:
        return quadrature.integrals(d + r, h, [rho0])[0] + quadrature.integrals(r - d, h, [rho1])[0]

    return mass(eps) if less is None else mass(eps) - mass(less)


def _refuse_boolean(u: xr.DataArray, what: str) -> None:
    if u.dtype == bool:
        raise TypeError(f'u must be a level-set function for the {what} with ball="isotropic", got a boolean set')
