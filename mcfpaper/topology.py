"""Pieces and holes of sets, and when a flow changes them: splitting, merging, vanishing (theory.md T10)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr
from scipy.ndimage import generate_binary_structure, label

from mcfpaper import _checks, _plotinput, grids, scheme
from mcfpaper.kernels import spline

FINER = 3  # samples per cell and axis: cell centres are among them
SAMPLES = 200_000  # at a time, which bounds the memory


def components(u: xr.DataArray) -> xr.Dataset:
    """Count the connected pieces of {u > 0} and its holes.

    A level-set function is read as the cubic spline through its values, sampled at a third of a cell, so that necks
    and gaps of half a cell count. Pieces are connected across faces, the complement across corners too.

    Parameters
    ----------
    u : xarray.DataArray
        Level-set function, positive inside, or boolean set (of whole cells), in 1 to 3 dimensions.

    Returns
    -------
    xarray.Dataset
        Integers: `pieces`, the number of connected components of {u > 0} (0: empty), and `holes`, that of the
        components of its complement that do not touch the edge of the box.

    Raises
    ------
    ValueError, TypeError
        If `u` is not such a field.
    """
    u = _checks.field(u).compute()
    inside = u.values
    if inside.dtype != bool:
        _checks.finite_or_constant_infinity(inside, "u")
        inside = _sampled(inside) > 0
    pieces = int(label(inside)[1])
    outside, count = label(~inside, generate_binary_structure(u.ndim, u.ndim))
    faces = [outside.take(end, axis) for axis in range(u.ndim) for end in (0, -1)]
    touching = np.unique(np.concatenate([face.ravel() for face in faces]))
    holes = count - int((touching > 0).sum())
    named = {"pieces": (pieces, "connected pieces"), "holes": (holes, "holes")}
    return xr.Dataset({k: ((), v, {"long_name": name, "units": "1"}) for k, (v, name) in named.items()})


def _sampled(values: np.ndarray) -> np.ndarray:
    """The spline through the values at a finer lattice, from the first cell centre to the last."""
    if np.isinf(values).all() or not ((values > 0).any() and (values <= 0).any()):
        return values
    axes = [np.arange(FINER * (n - 1) + 1) / FINER for n in values.shape]
    coefficients, slabs = spline.prefilter(values.astype(float)), []
    planes = max(1, SAMPLES // int(np.prod([x.size for x in axes[1:]])))
    for first in range(0, axes[0].size, planes):
        points = np.stack(np.meshgrid(axes[0][first : first + planes], *axes[1:], indexing="ij"), axis=-1)
        slabs.append(spline.evaluate(coefficients, points.reshape(-1, values.ndim)).reshape(points.shape[:-1]))
    return np.concatenate(slabs)


def history(run: xr.Dataset) -> xr.Dataset:
    """`components` of every set of a trajectory, along its `time`."""
    run = _plotinput.run(run)
    found = [components(run["u"].isel(time=k, drop=True)) for k in range(run.sizes["time"])]
    return xr.concat(found, dim="time").assign_coords(time=run["time"])


def first_time(run: xr.Dataset, pieces: int) -> float:
    """First time at which the set of a trajectory has that many pieces (0: when it has vanished); inf if never."""
    has = history(run)["pieces"].values == pieces
    return float(run["time"][int(has.argmax())]) if has.any() else np.inf


def dumbbell(grid: xr.Coordinates, ball: float, centre: float, neck: float, blend: float = 0.3) -> xr.DataArray:
    """Two balls joined by a straight neck along the last dimension, the edges where they meet rounded off.

    Parameters
    ----------
    grid : xarray.Coordinates
        In 2 or 3 dimensions.
    ball, centre, neck : float
        Radius of the balls, distance of their centres from the origin, and half width of the neck.
    blend : float
        Width over which ball and neck pass into each other; the larger, the rounder (all in length units).

    Returns
    -------
    xarray.DataArray
        Level-set function, positive inside, of slope about 1 near the front.

    Raises
    ------
    ValueError
        If a length is not positive, or the grid is a line.
    """
    for value, name in ((ball, "ball"), (centre, "centre"), (neck, "neck"), (blend, "blend")):
        _checks.number(value, name, above=0.0)
    *across, along = grids.mesh(grids.as_coords(grid))
    if not across:
        raise ValueError("grid must have 2 or 3 dimensions, got 1")
    off, along = np.sqrt(sum(a**2 for a in across)), abs(along)
    round_, straight = ball - np.hypot(along - centre, off), np.minimum(neck - off, centre - along)
    share = np.clip(0.5 + 0.5 * (round_ - straight) / blend, 0.0, 1.0)
    u = straight + share * (round_ - straight) + blend * share * (1 - share)  # a maximum without a crease
    return u.rename("u").assign_attrs(long_name="level-set function of a dumbbell", units="length")


def closing_gap(
    shape: Callable[[float], xr.DataArray],
    densities: xr.Dataset,
    eps: float,
    tau: float | None = None,
    *,
    between: tuple[float, float],
    halvings: int = 5,
    **options,
) -> list[float]:
    """Find by bisection the largest gap between two pieces at which one step of the scheme joins them.

    Parameters
    ----------
    shape : callable
        From a gap (length units) to a set of two pieces that far apart.
    densities, eps, tau
        As in `step`.
    between : (float, float)
        A gap that closes and a larger one that does not.
    halvings : int
        Steps of the bisection.
    **options
        Further arguments of `step`.

    Returns
    -------
    [float, float]
        The largest gap found to close, and the least found to stay open.

    Raises
    ------
    ValueError
        If the ends of `between` do not behave so.
    """

    def closes(gap: float) -> bool:
        return int(components(scheme.step(shape(gap), densities, eps, tau, **options)["u"])["pieces"]) == 1

    low, high = between
    if not (low < high and closes(low) and not closes(high)):
        raise ValueError(f"between must hold a gap that closes and a larger one that does not, got {between}")
    for _ in range(halvings):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if closes(middle) else (low, middle)
    return [low, high]


def unfold(data: xr.DataArray | xr.Dataset) -> xr.DataArray | xr.Dataset:
    """Mirror a field, or a trajectory, at the end of every space dimension that its first cell touches.

    A problem that is symmetric about planes can be solved on one side of them, with walls there: the ball of a cell
    near a wall, cut off, sees all the values that the whole ball would see. This gives back the whole.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        With uniform coordinates; of a Dataset with a dimension `time` only variables with space dimensions change.

    Returns
    -------
    The same with twice the cells along every dimension but `time`.
    """
    for dim in [d for d in data.dims if d != "time"]:
        x = data[dim].values
        edge = x[0] - 0.5 * (x[1] - x[0])
        mirror = data.isel({dim: slice(None, None, -1)}).assign_coords(
            {dim: (dim, 2 * edge - x[::-1], data[dim].attrs)}
        )
        data = (
            xr.concat([mirror, data], dim, data_vars="minimal")
            if isinstance(data, xr.Dataset)
            else xr.concat([mirror, data], dim)
        )
    return data
