"""Class densities on a grid, times their priors (theory.md D1), and the Bayes classifier (D2).

Every maker returns an ``xarray.Dataset`` with variables ``rho0`` and ``rho1``, both >= 0, in mass per unit volume;
over the whole space they integrate to 1 together, and `prior` is the mass of class 1.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr

from mcfpaper import _checks
from mcfpaper._mixtures import gaussian_mixture
from mcfpaper.grids import as_coords, cell_volume, dims_of, mesh


def uniform(grid: xr.Coordinates, prior: float = 0.5) -> xr.Dataset:
    """Make constant densities: mass `prior` of class 1 and ``1 - prior`` of class 0, spread evenly over the box.

    Parameters
    ----------
    grid : xarray.Coordinates
        The grid (`mcfpaper.grid`), or a field or Dataset on it.
    prior : float
        Mass of class 1, between 0 and 1.

    Returns
    -------
    xarray.Dataset
        Variables `rho0`, `rho1` of the grid's shape, in mass per unit volume.
    """
    grid, prior = as_coords(grid), _prior(prior)
    like = mesh(grid)[0]
    box = like.size * cell_volume(like)
    return _dataset(xr.full_like(like, (1 - prior) / box), xr.full_like(like, prior / box))


def gaussian(
    grid: xr.Coordinates,
    mean0: float | Sequence[float],
    cov0: float | Sequence,
    mean1: float | Sequence[float],
    cov1: float | Sequence,
    prior: float = 0.5,
) -> xr.Dataset:
    """Make one Gaussian density for each class.

    Parameters
    ----------
    grid : xarray.Coordinates
        The grid (`mcfpaper.grid`), or a field or Dataset on it.
    mean0, mean1 : float or sequence of float, shape (d,)
        Means, in the order of the grid's dimensions, in length units.
    cov0, cov1 : float or sequence, shape (d,) or (d, d)
        Covariance matrices, in length units squared; a number is a multiple of the identity, a vector a diagonal.
    prior : float
        Mass of class 1, between 0 and 1.

    Returns
    -------
    xarray.Dataset
        Variables `rho0`, `rho1`, in mass per unit volume. Mass outside the box is not put back.
    """
    grid, prior = as_coords(grid), _prior(prior)
    rho0 = (1 - prior) * gaussian_mixture(grid, [mean0], [cov0], None, "mean0", "cov0", "weights0")
    rho1 = prior * gaussian_mixture(grid, [mean1], [cov1], None, "mean1", "cov1", "weights1")
    return _dataset(rho0, rho1)


def mixture(
    grid: xr.Coordinates,
    means0: Sequence,
    covs0: Sequence,
    means1: Sequence,
    covs1: Sequence,
    weights0: Sequence[float] | None = None,
    weights1: Sequence[float] | None = None,
    prior: float = 0.5,
) -> xr.Dataset:
    """Make a Gaussian mixture for each class.

    Parameters
    ----------
    grid : xarray.Coordinates
        The grid (`mcfpaper.grid`), or a field or Dataset on it.
    means0, means1 : sequence of (d,) vectors
        Means of the components of each class, in the order of the grid's dimensions.
    covs0, covs1 : sequence
        One covariance per component, as in `gaussian`.
    weights0, weights1 : sequence of float, optional
        Weights of the components of each class, normalised to sum to 1; equal by default.
    prior : float
        Mass of class 1, between 0 and 1.

    Returns
    -------
    xarray.Dataset
        Variables `rho0`, `rho1`, in mass per unit volume. Mass outside the box is not put back.
    """
    grid, prior = as_coords(grid), _prior(prior)
    rho0 = (1 - prior) * gaussian_mixture(grid, means0, covs0, weights0, "means0", "covs0", "weights0")
    rho1 = prior * gaussian_mixture(grid, means1, covs1, weights1, "means1", "covs1", "weights1")
    return _dataset(rho0, rho1)


def from_functions(
    grid: xr.Coordinates, rho0: Callable, rho1: Callable, normalise: bool = True, prior: float | None = None
) -> xr.Dataset:
    """Make densities from two functions of the coordinates.

    Parameters
    ----------
    grid : xarray.Coordinates
        The grid (`mcfpaper.grid`), or a field or Dataset on it.
    rho0, rho1 : callable
        Called with the coordinates by name, in any order, for instance ``lambda x, y: x**2 + y``; each returns
        the density (>= 0) at the cell centres, or a constant.
    normalise : bool
        Scale both by one factor so that together they have mass 1 on the grid (midpoint rule). The scheme and
        the flow do not depend on this factor (D1).
    prior : float, optional
        Scale each class apart, so that class 1 has this mass and class 0 the rest; needs ``normalise=True``.

    Returns
    -------
    xarray.Dataset
        Variables `rho0`, `rho1`, in mass per unit volume.
    """
    grid = as_coords(grid)
    if prior is not None:
        prior = _prior(prior)
        if not normalise:
            raise ValueError("prior needs normalise=True, got normalise=False")
    values = [_call(f, grid, name) for f, name in ((rho0, "rho0"), (rho1, "rho1"))]
    if not normalise:
        return _dataset(*values)
    masses = [float(v.sum()) * cell_volume(v) for v in values]
    if prior is None:
        total = sum(masses)
        if total <= 0:
            raise ValueError("rho0 and rho1 must have positive mass together, got 0")
        return _dataset(*(v / total for v in values))
    if min(masses) <= 0:
        raise ValueError(f"rho0 and rho1 must each have positive mass when prior is given, got {masses}")
    return _dataset(values[0] * ((1 - prior) / masses[0]), values[1] * (prior / masses[1]))


def from_samples(
    X: np.ndarray,
    y: np.ndarray,
    grid: xr.Coordinates,
    bandwidth: float | str = "scott",
    prior: float | None = None,
) -> xr.Dataset:
    """Estimate the densities from labelled points by a Gaussian kernel (`scipy.stats.gaussian_kde`).

    Parameters
    ----------
    X : array, shape (n, d)
        Points, columns in the order of the grid's dimensions, in length units.
    y : array, shape (n,)
        Labels, 0 or 1.
    grid : xarray.Coordinates
        The grid (`mcfpaper.grid`), or a field or Dataset on it.
    bandwidth : "scott", "silverman" or float
        The kernel's covariance is the class's sample covariance times the square of this factor.
    prior : float, optional
        Mass of class 1; the share of label 1 among the points by default.

    Returns
    -------
    xarray.Dataset
        Variables `rho0`, `rho1`, in mass per unit volume. Mass outside the box is not put back.
    """
    from scipy.stats import gaussian_kde

    grid = as_coords(grid)
    X, y = _samples(X, y, len(dims_of(grid)))
    if isinstance(bandwidth, str):
        _checks.option(bandwidth, "bandwidth", ("scott", "silverman"))
    else:
        bandwidth = _checks.number(bandwidth, "bandwidth", above=0.0)
    prior = float(y.mean()) if prior is None else _prior(prior)
    axes = mesh(grid)
    points = np.stack([a.values.ravel() for a in axes])
    estimates = []
    for label in (0, 1):
        chosen = X[y == label]
        if np.linalg.matrix_rank(np.cov(chosen.T).reshape(len(axes), -1)) < len(axes):
            raise ValueError(f"X must spread over all {len(axes)} dimensions in class {label}, got points on a plane")
        estimates.append(axes[0].copy(data=gaussian_kde(chosen.T, bw_method=bandwidth)(points).reshape(axes[0].shape)))
    return _dataset((1 - prior) * estimates[0], prior * estimates[1])


def bayes(densities: xr.Dataset) -> xr.DataArray:
    """Return a level-set function of the Bayes classifier, positive where class 1 is the more likely (D2).

    Parameters
    ----------
    densities : xarray.Dataset
        Variables `rho0`, `rho1`.

    Returns
    -------
    xarray.DataArray
        ``rho1 - rho0``, in mass per unit volume: {u > 0} is the minimal, {u >= 0} the maximal Bayes classifier.
    """
    rho = _checks.densities(densities)
    u = (rho["rho1"] - rho["rho0"]).rename("u")
    u.attrs = {
        "long_name": "level-set function of the Bayes classifier",
        "units": rho["rho1"].attrs.get("units", ""),
    }
    return u


def _dataset(rho0: xr.DataArray, rho1: xr.DataArray) -> xr.Dataset:
    d = rho0.ndim
    out = {}
    for label, rho in ((0, rho0), (1, rho1)):
        _checks.density_values(rho.values, f"rho{label}")
        rho = rho.rename(f"rho{label}")
        rho.attrs = {"long_name": f"density of class {label}", "units": f"1/length^{d}"}
        out[f"rho{label}"] = rho
    return xr.Dataset(out)


def _prior(prior: object) -> float:
    prior = _checks.number(prior, "prior")
    if not 0 <= prior <= 1:
        raise ValueError(f"prior must lie between 0 and 1, got {prior:g}")
    return prior


def _call(f: Callable, grid: xr.Coordinates, name: str) -> xr.DataArray:
    if not callable(f):
        raise TypeError(f"{name} must be a function of the coordinates {dims_of(grid)}, got {type(f).__name__}")
    axes = dict(zip(dims_of(grid), mesh(grid), strict=True))
    try:
        wanted = inspect.signature(f).parameters
    except ValueError as error:  # some built-in functions have none
        raise TypeError(f"{name} must be a function with parameters that Python can see, got {f!r}") from error
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    given = [p for p, v in wanted.items() if p in axes and v.kind is not v.POSITIONAL_ONLY]
    unknown = [p for p, v in wanted.items() if p not in given and v.kind is not v.VAR_KEYWORD and v.default is v.empty]
    if unknown:
        raise ValueError(f"{name} must take only the coordinates {dims_of(grid)} by name, got parameters {unknown}")
    template = next(iter(axes.values()))
    values = f(**{k: v for k, v in axes.items() if takes_all or k in given})
    if not isinstance(values, xr.DataArray):
        values = _checks.numbers(values, name)
        if values.ndim and values.shape != template.shape:
            raise ValueError(f"{name} must return values of the grid's shape {template.shape}, got {values.shape}")
        values = xr.DataArray(values, dims=template.dims if values.ndim else ())
    if not set(values.dims) <= set(template.dims):
        raise ValueError(f"{name} must return values on the grid's dimensions {template.dims}, got {values.dims}")
    if values.dtype.kind not in "biuf":
        raise TypeError(f"{name} must return real numbers, got dtype {values.dtype}")
    values = (values + xr.zeros_like(template)).transpose(*template.dims)
    _checks.density_values(values.values, name)
    return values


def _samples(X: object, y: object, d: int) -> tuple[np.ndarray, np.ndarray]:
    X, y = _checks.numbers(X, "X"), np.asarray(y)
    if X.ndim == 1 and d == 1:
        X = X[:, None]
    if X.ndim != 2 or X.shape[1] != d:
        raise ValueError(f"X must have shape (n, {d}), one column per dimension of the grid, got {X.shape}")
    if y.shape != X.shape[:1] or not np.isin(y, (0, 1)).all():
        raise ValueError(
            f"y must hold {X.shape[0]} labels, each 0 or 1, got shape {y.shape}, values {np.unique(y)[:5]}"
        )
    counts = [int((y == label).sum()) for label in (0, 1)]
    if min(counts) < d + 1:
        raise ValueError(
            f"y must hold at least {d + 1} points of each class, got {counts[0]} of 0 and {counts[1]} of 1"
        )
    return X, y.astype(int)
