"""Uniform Cartesian grids: cells are centred on the coordinates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from mcfpaper import _checks


def grid(
    n: int | Sequence[int],
    lower: float | Sequence[float] = -1.0,
    upper: float | Sequence[float] = 1.0,
    dims: Sequence[str] = ("y", "x"),
) -> xr.Coordinates:
    """Make the coordinates of a uniform grid of cell centres on a box.

    Parameters
    ----------
    n : int or sequence of int
        Number of cells, at least 2 along each dimension.
    lower, upper : float or sequence of float
        Edges of the box (of the outermost cells), in length units.
    dims : sequence of str
        Names of the 1 to 3 dimensions. `n`, `lower` and `upper` are scalars or one per dimension, in this order.

    Returns
    -------
    xarray.Coordinates
        One coordinate per dimension, ``lower + (i + 1/2) (upper - lower) / n``.

    Raises
    ------
    ValueError
        If an argument has the wrong length or value.
    """
    dims = (dims,) if isinstance(dims, str) or not isinstance(dims, Sequence) else tuple(dims)
    if not all(isinstance(dim, str) for dim in dims):
        raise TypeError(f"dims must be strings, got {dims}")
    if not 1 <= len(dims) <= 3 or len(set(dims)) != len(dims):
        raise ValueError(f"dims must name 1 to 3 different dimensions, got {dims}")
    cells, low, high = (
        _per_dimension(value, name, len(dims)) for value, name in ((n, "n"), (lower, "lower"), (upper, "upper"))
    )
    coords = {}
    for dim, count, a, b in zip(dims, cells, low, high, strict=True):
        count = _checks.number(count, "n")
        if count != int(count) or count < 2:
            raise ValueError(f"n must be a whole number of at least 2 cells along {dim!r}, got {count:g}")
        a, b = _checks.number(a, "lower"), _checks.number(b, "upper")
        if not a < b:
            raise ValueError(f"upper must be greater than lower along {dim!r}, got lower={a:g} and upper={b:g}")
        centres = a + (np.arange(int(count)) + 0.5) * ((b - a) / int(count))
        coords[dim] = xr.Variable(dim, centres, {"long_name": dim, "units": "length"})
    return xr.Coordinates(coords)


def _per_dimension(value: object, name: str, d: int) -> list:
    if np.ndim(value) == 0:
        return [value] * d
    values = list(value)
    if len(values) != d:
        raise ValueError(f"{name} must be a scalar or one value per dimension ({d}), got {len(values)}")
    return values


def as_coords(grid: xr.Coordinates | xr.DataArray | xr.Dataset) -> xr.Coordinates:
    """Return the grid coordinates of a grid, field or Dataset, in its order of dimensions, checked."""
    if isinstance(grid, xr.DataArray | xr.Dataset):
        dims = grid.dims if isinstance(grid, xr.DataArray) else tuple(grid.sizes)
        missing = [dim for dim in dims if dim not in grid.coords]
        if missing:
            raise ValueError(f"grid must have a coordinate along each dimension, got none along {missing}")
        grid = xr.Coordinates({dim: grid.coords[dim].variable for dim in dims})
    if not isinstance(grid, xr.Coordinates):
        raise TypeError(f"grid must be the result of mcfpaper.grid (xarray.Coordinates), got {type(grid).__name__}")
    if not 1 <= len(dims_of(grid)) <= 3:
        raise ValueError(f"grid must have 1, 2 or 3 dimensions, got {dims_of(grid)}")
    for dim in dims_of(grid):
        _checks.step(grid, dim, "grid")
    return grid


def dims_of(grid: xr.Coordinates) -> tuple[str, ...]:
    """Dimensions of a grid, in their order of definition."""
    return tuple(dim for dim in grid if grid[dim].dims == (dim,))


def mesh(grid: xr.Coordinates) -> list[xr.DataArray]:
    """Coordinates of all cell centres, one DataArray of the grid's shape per dimension."""
    arrays = [grid[dim].astype(float) for dim in dims_of(grid)]
    return [a.transpose(*dims_of(grid)) for a in xr.broadcast(*arrays)]


def cell_volume(u: xr.DataArray) -> float:
    """Volume of one grid cell."""
    return float(np.prod(_checks.spacing(u)))
