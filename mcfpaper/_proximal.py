"""The proximal form of a step: theory.md T5."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Sequence

import numpy as np
import xarray as xr

from mcfpaper import _checks
from mcfpaper._interrupt import promptly
from mcfpaper._problem import Problem


def proximal(
    u: xr.DataArray,
    densities: xr.Dataset,
    eps: float,
    tau: float | None = None,
    method: str = "smooth",
    levels: int | Sequence[float] | None = None,
    ball: str | None = None,
    tol: float | None = None,
) -> xr.DataArray:
    """Solve u = argmin TV_eps(u) + (1/(2 tau)) ∫ rho (u - f)^2 by its level sets (T5).

    Each set {u > t} is the minimal step with f - t in place of f. Here the argument `u` is f itself: any field, not
    made into a distance (T6 needs any f).

    Parameters
    ----------
    u : xarray.DataArray
        The data f, finite, in length units.
    densities, eps, tau, method, ball, tol
        As in `step`.
    levels : int or sequence of float, optional
        Exact method: the number of halvings of the range of f, 8 by default, so that u is known to within (max f -
        min f)/2^levels. Smooth method: the levels themselves, or how many between min f and max f (33 by default);
        u is interpolated between the fronts of neighbouring levels and cut off at the outermost.

    Returns
    -------
    xarray.DataArray
        u, in memory; attribute `resolution`: the distance of neighbouring levels (exact method: |u - exact| is at most
        half of it). Smooth method: `gap`, the largest of the levels' bounds, and `unconverged`, how many levels exceed
        the tolerance (with a warning).
    """
    problem = Problem(u, densities, eps, tau, method, ball, "minimal", tol)
    if np.isinf(problem.u.values).any() or problem.u.dtype == bool:
        raise ValueError("u must be a finite field for proximal, got a boolean or infinite one")
    if method == "exact":
        depth = 8 if levels is None else levels
        if not _whole(depth) or not 1 <= depth <= 40:
            raise ValueError(f"levels must be a number of halvings from 1 to 40 for the exact method, got {levels!r}")
        return promptly(problem.proximal_exact, int(depth))
    out = promptly(problem.proximal_smooth, _levels(problem.u, levels))
    if out.attrs["unconverged"]:
        missed = f"gap {out.attrs['gap']:.3g}, tol = {problem.tol:.3g}"
        warnings.warn(f"{out.attrs['unconverged']} levels did not reach the tolerance: {missed}", stacklevel=2)
    return out


def _whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _levels(f: xr.DataArray, levels: int | Sequence[float] | None) -> np.ndarray:
    if levels is None or _whole(levels):
        count = 33 if levels is None else levels
        if count < 2:
            raise ValueError(f"levels must be at least 2 in number, got {count}")
        return np.linspace(float(f.min()), float(f.max()), count + 2)[1:-1]
    levels = _checks.numbers(levels, "levels")
    if levels.ndim != 1 or levels.size < 1 or (np.diff(levels) <= 0).any():
        raise ValueError(f"levels must be strictly increasing, got {levels}")
    return levels
