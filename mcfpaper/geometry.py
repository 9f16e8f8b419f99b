"""Sub-cell geometry of {u > 0}: signed distance, perimeter, volume, Hausdorff distance, boundary.

A field is read as the cubic spline through its values (not-a-knot at the ends), on the box that is the union of the
cells. Smooth fields give fourth order in the spacing; u need not be a distance. A field whose values are all > 0
(all <= 0) is the full (empty) set; features between cell centres that no centre sees may be missed. Boolean fields
stand for their `signed_distance`. The box edge is no part of the boundary.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from mcfpaper import _checks
from mcfpaper._interrupt import promptly
from mcfpaper.kernels import quadrature, spline, surfaces
from mcfpaper.kernels.boolean_distance import boolean_distance
from mcfpaper.kernels.contour import frames
from mcfpaper.kernels.distance import SplineFront, redistance


def signed_distance(u: xr.DataArray) -> xr.DataArray:
    """Signed distance to the boundary of {u > 0}, positive inside (theory.md D7).

    Parameters
    ----------
    u : xarray.DataArray
        Level-set function, positive inside, or boolean set, in 1 to 3 dimensions.

    Returns
    -------
    xarray.DataArray
        On the grid of `u`, in its length units; lazy if `u` is (computed in one block). -inf for the empty set and
        +inf for the full one. From a level-set function: distance to the nearest point of the front inside the box,
        fourth order in the spacing where u is smooth. From a boolean set: exact distance between cell centres less half
        the least spacing, which is monotone: A in B gives f_A <= f_B to the last bit (T6 on the lattice needs this).

    Raises
    ------
    ValueError, TypeError
        If `u` is not such a field.
    """
    u = _checks.field(u)
    if _checks.is_lazy(u):
        block = u.data.rechunk(-1).map_blocks(distances, _checks.spacing(u), dtype=float, meta=np.empty(0))
        data = block.rechunk(u.chunks)
    else:
        data = promptly(distances, u.values, _checks.spacing(u))
    attrs = {"long_name": "signed distance to the boundary", "units": "length"}
    return xr.DataArray(data, u.coords, u.dims, name="signed_distance", attrs=attrs)


def distances(values: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """The kernel of `signed_distance`."""
    if values.dtype == bool:
        return boolean_distance(values, spacing)
    _checks.finite_or_constant_infinity(values, "u")
    return redistance(values, spacing)


def perimeter(u: xr.DataArray, densities: xr.Dataset | None = None) -> xr.DataArray:
    """Perimeter of {u > 0} inside the box: the integral of rho = rho0 + rho1 over the front (T3's limit).

    Parameters
    ----------
    u : xarray.DataArray
        Level-set function, positive inside, or boolean set, in 1 to 3 dimensions.
    densities : xarray.Dataset, optional
        With `rho0`, `rho1` on the grid of `u`; without it rho = 1.

    Returns
    -------
    xarray.DataArray
        Scalar: length in 2-D, area in 3-D, number of points in 1-D; mass/length with densities. 0 for the empty and the
        full set. Fourth order in the spacing where u and rho are smooth; high-order quadrature on the spline's front.

    Raises
    ------
    ValueError, TypeError
        If `u` is not such a field or `densities` does not live on its grid.
    """
    u, rho = _operands(u, densities)
    total = quadrature.surface_integral(_levels(u), _checks.spacing(u), rho)
    units = "mass/length" if rho is not None else _power(u.ndim - 1)
    return scalar(total, "perimeter", units)


def volume(u: xr.DataArray, densities: xr.Dataset | None = None) -> xr.DataArray:
    """Volume of {u > 0} inside the box: the integral of rho = rho0 + rho1 over the set.

    Parameters
    ----------
    u, densities
        As for `perimeter`.

    Returns
    -------
    xarray.DataArray
        Scalar: area in 2-D, length in 1-D; mass with densities. Fourth order in the spacing where u and rho are smooth.

    Raises
    ------
    ValueError, TypeError
        As for `perimeter`.
    """
    u, rho = _operands(u, densities)
    (total,) = quadrature.integrals(_levels(u), _checks.spacing(u), [rho])
    return scalar(total, "volume", "mass" if rho is not None else _power(u.ndim))


def hausdorff(u: xr.DataArray, v: xr.DataArray) -> xr.DataArray:
    """Hausdorff distance between the boundaries of {u > 0} and {v > 0} inside the box.

    Parameters
    ----------
    u, v : xarray.DataArray
        Level-set functions or boolean sets on one grid.

    Returns
    -------
    xarray.DataArray
        Scalar, in length units: the larger of the two suprema of the distance to the other front. Distances are those
        to the spline's front; the supremum is sought from one sample per cell of the front, the best refined to 1e-4
        cells. Never too large (up to the spline's error), and too small by less than a cell at worst.

    Raises
    ------
    ValueError
        If a set is empty or full, or the grids differ.
    """
    u, v = _checks.field(u), _checks.field(v, "v")
    _checks.same_grid(u, v, "u", "v")
    v = v.transpose(*u.dims)
    h = _checks.spacing(u)
    fronts = [SplineFront(_boundary(w, name), h) for w, name in ((u, "u"), (v, "v"))]
    total = max(_one_sided(fronts[0], fronts[1]), _one_sided(fronts[1], fronts[0]))
    return scalar(total, "Hausdorff distance", "length")


def _one_sided(a: SplineFront, b: SplineFront) -> float:
    """Supremum over the front a of the distance to the front b."""
    x = a.seeds
    g = b.distances(x)
    best = np.argsort(g)[-32:]
    x, g = x[best], g[best]
    step = 0.5 * a.h.min()
    for _ in range(14):
        for t in _tangents(a, x):
            for sign in (step, -step):
                moved, good = a.settle(x + sign * t)
                far = np.where(good, b.distances(moved), -np.inf)
                x, g = np.where((far > g)[:, None], moved, x), np.maximum(g, far)
        step *= 0.5
    return float(g.max())


def _tangents(a: SplineFront, x: np.ndarray) -> list[np.ndarray]:
    """Unit tangents (m, 3) spanning the tangent space of the front at its points x; none on a line."""
    n, _, _ = frames(a.c, x / a.h, tuple(a.h), 0.0)
    d = sum(length > 1 for length in a.shape)
    if d < 2:
        return []
    if d == 2:
        return [np.stack([0 * n[:, 0], -n[:, 2], n[:, 1]], axis=1)]
    t = np.cross(n, np.eye(3)[np.abs(n).argmin(axis=1)])
    t /= np.linalg.norm(t, axis=1)[:, None]
    return [t, np.cross(n, t)]


def contours(u: xr.DataArray) -> list[xr.Dataset]:
    """Boundary of {u > 0} inside the box, one Dataset for each connected piece.

    Parameters
    ----------
    u : xarray.DataArray
        Level-set function, positive inside, or boolean set.

    Returns
    -------
    list of xarray.Dataset
        Each with one variable per dimension of `u`, of that name: the coordinates of the piece's vertices along the
        dimension `vertex`. 1-D: points. 2-D: curves, a vertex per lattice edge crossed, the first repeated at the end
        if the curve is closed (attribute `closed`). 3-D: surfaces, with a variable `faces` (dimensions `face`,
        `corner`) of vertex numbers, anticlockwise from outside if the dimensions of `u` in their order are
        right-handed. Vertices lie on the zero set of the cubic spline through `u`.

    Raises
    ------
    ValueError
        If the set is empty or full.
    """
    u = _checks.field(u)
    values = _boundary(u, "u")
    if u.ndim == 1:
        return [_piece(u, p[None]) for p in surfaces.points(values)]
    if u.ndim == 2:
        return [_piece(u, p, closed=int((p[0] == p[-1]).all())) for p in surfaces.curves(values)]
    vertices, faces = surfaces.triangles(values)
    if sum(float(u[d][1] - u[d][0]) < 0 for d in u.dims) % 2:  # descending coordinates turn the surface inside out
        faces = faces[:, ::-1]
    count, label = surfaces.components(faces, len(vertices))
    pieces = []
    for k in range(count):
        chosen = label == k
        number = np.cumsum(chosen) - 1
        piece = _piece(u, vertices[chosen])
        pieces.append(piece.assign(faces=(("face", "corner"), number[faces[chosen[faces[:, 0]]]])))
    return pieces


def sample(u: xr.DataArray, points: xr.Dataset) -> xr.DataArray:
    """Values of the cubic spline through the field `u` at points, one variable of `points` per dimension of `u`."""
    u = _checks.field(u)
    steps = (s * np.sign(float(u[d][1] - u[d][0])) for d, s in zip(u.dims, _checks.spacing(u), strict=True))
    index = [(points[d].values - float(u[d][0])) / s for d, s in zip(u.dims, steps, strict=True)]
    values = spline.evaluate(spline.prefilter(u.values), np.stack(index, axis=1))
    return xr.DataArray(values, dims=points[u.dims[0]].dims, name=u.name, attrs=u.attrs)


def _piece(u: xr.DataArray, points: np.ndarray, **attrs: int) -> xr.Dataset:
    """Vertices in the coordinates of u, from index units."""
    out = xr.Dataset(attrs=attrs)
    for axis, dim in enumerate(u.dims):
        x = u[dim].values.astype(float)
        step = (x[-1] - x[0]) / (x.size - 1)
        out[str(dim)] = ("vertex", x[0] + step * points[:, axis], u[dim].attrs)
    return out


def _operands(u: xr.DataArray, densities: xr.Dataset | None) -> tuple[xr.DataArray, np.ndarray | None]:
    """The checked field and the weight rho0 + rho1, None without densities."""
    u = _checks.field(u)
    if densities is None:
        return u, None
    rho = _checks.densities(densities, like=u)
    return u, (rho["rho0"] + rho["rho1"]).values


def _levels(u: xr.DataArray) -> np.ndarray:
    """Values of a level-set function, the signed distance of a boolean set."""
    values = u.values
    if values.dtype == bool:
        return boolean_distance(values, _checks.spacing(u))
    _checks.finite_or_constant_infinity(values, "u")  # not looked at before if u was lazy
    return values.astype(float)


def _boundary(u: xr.DataArray, name: str) -> np.ndarray:
    """Values of a field that has a boundary."""
    values = _levels(u)
    inside = values > 0
    if inside.all() or not inside.any():
        kind = "full" if inside.all() else "empty"
        raise ValueError(f"{name} must have a boundary inside the box, got the {kind} set")
    return values


def _power(d: int) -> str:
    return {0: "1", 1: "length"}.get(d, f"length^{d}")


def scalar(value: object, long_name: str, units: str, name: str = "") -> xr.DataArray:
    """A figure as a DataArray without dimensions, by default named as it is called in words."""
    name = name or long_name.lower().replace(" ", "_")
    return xr.DataArray(value, name=name, attrs={"long_name": long_name, "units": units})
