"""How fast one step moves a front, at points of a curve whose geometry is known (T8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import xarray as xr

from mcfpaper import geometry, scheme
from mcfpaper.studies import budget_axis
from mcfpaper.sweeps import sweep


def polar_curve(radius: Callable, n: int = 512) -> xr.Dataset:
    """A smooth closed plane curve |x| = radius(angle) about the origin, with its geometry.

    Parameters
    ----------
    radius : callable
        Smooth, positive and 2 pi-periodic function of the angle, which it takes as an array.
    n : int
        Number of points, equally spaced in angle. Derivatives are spectral: exact to rounding once the points
        resolve the radius.

    Returns
    -------
    xarray.Dataset
        Along `point`: `x`, `y`, the outward normal `nu` (dimension `axis`, in the order y, x of `grid`), the
        `curvature` (div nu: positive for a circle, 1/length) and the `angle`.
    """
    angle = 2 * np.pi * np.arange(n) / n
    r = np.asarray(radius(angle), float)
    if r.shape != angle.shape or not (r > 0).all():
        raise ValueError("radius must return a positive number for every angle")
    wave = 1j * np.fft.rfftfreq(n, 1 / n)
    wave[-1] *= n % 2  # the highest wave of an even number of points has no derivative
    first, second = (np.fft.irfft(wave**k * np.fft.rfft(r), n) for k in (1, 2))
    speed = np.hypot(r, first)
    along, across = r * np.cos(angle) + first * np.sin(angle), r * np.sin(angle) - first * np.cos(angle)
    out = {
        "x": ("point", r * np.cos(angle), {"units": "length"}),
        "y": ("point", r * np.sin(angle), {"units": "length"}),
        "nu": (("point", "axis"), np.stack([across, along], axis=1) / speed[:, None]),
        "curvature": ("point", (r**2 + 2 * first**2 - r * second) / speed**3, {"units": "1/length"}),
        "angle": ("point", angle, {"units": "radian"}),
    }
    return xr.Dataset(out, {"axis": ["y", "x"]})


def normal_velocity(after: xr.DataArray, curve: xr.Dataset, tau: float) -> xr.DataArray:
    """Outward velocity of a front in one step of length `tau`, at the points of the front before it.

    `after` is the signed distance to the new front, so its value at an old point is how far the front has passed it,
    up to the square of the turn of the normal.
    """
    out = geometry.sample(after, curve) / tau
    return out.assign_attrs(long_name="normal velocity", units="1/length").rename("velocity")


def step_velocities(
    cases: Mapping[str, tuple[xr.DataArray, xr.Dataset, xr.Dataset]], budgets: Sequence[float]
) -> xr.DataArray:
    """Outward velocity of one step with eps = tau, at all points of fronts (T8), as a `sweep`.

    Parameters
    ----------
    cases : mapping
        Name -> level-set function, densities, and points on its front as `polar_curve` gives them, equally many for
        every case.
    budgets : sequence of float
        Values of eps = tau.

    Returns
    -------
    xarray.DataArray
        Along `case`, `eps` and `point`, in 1/length: see `normal_velocity`.
    """
    return sweep(_one_step, {"case": dict(cases), "eps": budget_axis(budgets)})["velocity"]


def _one_step(case: tuple, eps: float) -> xr.DataArray:
    u, rho, curve = case
    return normal_velocity(scheme.step(u, rho, eps)["u"], curve, eps)
