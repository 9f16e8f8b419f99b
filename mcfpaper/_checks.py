"""Validation of arguments: every public function calls these before any work starts.

A wrong value raises ``ValueError``, a wrong type ``TypeError``; the message names the argument, what it got and
what it needs. Values of dask-backed arrays are not computed here: their check runs inside each block, when the
caller computes the result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Real

import numpy as np
import xarray as xr

BALLS = ("lattice", "box", "diamond", "isotropic")
UNIFORM_RTOL = 1e-5  # admits coordinates stored as float32


def field(u: object, name: str = "u") -> xr.DataArray:
    """Return `u` as a field on a uniform grid in 1, 2 or 3 dimensions, with its values checked."""
    u = on_grid(u, name)
    if u.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold booleans or real numbers, got dtype {u.dtype}")
    return u if u.dtype.kind != "f" else checked(u, finite_or_constant_infinity, name)


def checked(u: xr.DataArray, check: Callable[[np.ndarray, str], None], name: str) -> xr.DataArray:
    """Return `u` with its values checked: at once, or block by block when they are computed."""
    if not is_lazy(u):
        check(u.values, name)
        return u
    return u.copy(data=u.data.map_blocks(_checked_block, check, name, dtype=u.dtype, meta=u.data._meta))


def one_kind(total: xr.DataArray, u: xr.DataArray, name: str) -> xr.DataArray:
    """Return `total`, refusing when it is computed a lazy `u` whose blocks are infinite in part, which none sees."""
    if not is_lazy(u) or u.dtype.kind != "f":
        return total
    kinds = (np.isfinite(u), np.isposinf(u), np.isneginf(u))
    return xr.apply_ufunc(_judged, total, *(k.any() for k in kinds), kwargs={"name": name}, dask="parallelized")


def _judged(total: np.ndarray, *kinds: np.ndarray, name: str) -> np.ndarray:
    if sum(map(bool, kinds)) > 1:
        raise ValueError(f"{name} must be finite everywhere, or infinite of one sign everywhere, got several kinds")
    return total


def _checked_block(values: np.ndarray, check: Callable[[np.ndarray, str], None], name: str) -> np.ndarray:
    check(values, name)
    return values


def finite_or_constant_infinity(values: np.ndarray, name: str) -> None:
    """Refuse NaN and partly infinite values; all -inf is the empty set and all +inf the whole box."""
    if np.isfinite(values).all():
        return
    if np.isnan(values).any():
        raise ValueError(f"{name} must not hold NaN, got {int(np.isnan(values).sum())} of them")
    if not (np.isposinf(values).all() or np.isneginf(values).all()):
        raise ValueError(
            f"{name} must be finite everywhere (or -inf everywhere: the empty set; or +inf everywhere: the whole "
            f"box), got {int(np.isinf(values).sum())} infinite values of {values.size}"
        )


def finite(values: np.ndarray, name: str) -> None:
    """Refuse NaN and infinite values."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {int((~np.isfinite(values)).sum())} values that are not")


def on_grid(u: object, name: str) -> xr.DataArray:
    """Return `u` if it is a DataArray on a uniform Cartesian grid (values unseen)."""
    if not isinstance(u, xr.DataArray):
        raise TypeError(f"{name} must be an xarray.DataArray, got {type(u).__name__}")
    if not 1 <= u.ndim <= 3:
        raise ValueError(f"{name} must have 1, 2 or 3 dimensions, got {u.ndim}: {u.dims}")
    spacing(u, name)
    return u


def spacing(u: xr.DataArray, name: str = "u") -> tuple[float, ...]:
    """Return the grid spacing along each dimension of `u`, checking that it is uniform."""
    return tuple(step(u.coords, dim, name) for dim in u.dims)


def step(coords: xr.Coordinates, dim: str, name: str) -> float:
    """Return the spacing of one coordinate, checking that it is uniform."""
    if dim not in coords:
        raise ValueError(f"{name} must have a coordinate along dimension {dim!r}, got none")
    x = np.asarray(coords[dim].values)
    if x.dtype.kind not in "iuf":
        raise TypeError(f"the coordinate {dim!r} of {name} must hold real numbers, got dtype {x.dtype}")
    if x.size < 2:
        raise ValueError(f"{name} must have at least 2 cells along {dim!r}, got {x.size}")
    x = x.astype(float)
    if not np.isfinite(x).all():
        raise ValueError(f"the coordinate {dim!r} of {name} must be finite, got {x[~np.isfinite(x)][0]}")
    steps = np.diff(x)
    h = (x[-1] - x[0]) / (x.size - 1)
    slack = UNIFORM_RTOL * abs(h) + _rounding(coords[dim])
    if h == 0 or np.abs(steps - h).max() > slack:
        raise ValueError(
            f"the coordinate {dim!r} of {name} must be uniform, got steps from {steps.min():g} to {steps.max():g}"
        )
    return abs(h)


def _rounding(x: xr.DataArray) -> float:
    """By how much a coordinate in single precision may be off, and its steps."""
    return 4 * np.finfo(np.float32).eps * float(np.abs(x).max()) * (x.dtype == np.float32)


def densities(
    rho: object, like: xr.DataArray | None = None, name: str = "densities", like_name: str = "u"
) -> xr.Dataset:
    """Return `rho0`, `rho1` as float64 on the coordinates of `like`, in its order of dimensions, values checked."""
    if not isinstance(rho, xr.Dataset):
        raise TypeError(f"{name} must be an xarray.Dataset with variables rho0 and rho1, got {type(rho).__name__}")
    if "rho0" not in rho or "rho1" not in rho:
        raise ValueError(f"{name} must have variables rho0 and rho1, got {list(rho.data_vars)}")
    for v in ("rho0", "rho1"):
        on_grid(rho[v], f"{name}.{v}")
        if rho[v].dtype.kind not in "iuf":
            raise TypeError(f"{name}.{v} must hold real numbers, got dtype {rho[v].dtype}")
    same_grid(rho["rho0"], rho["rho1"], f"{name}.rho0", f"{name}.rho1")
    if like is None:
        like = rho["rho0"]
    else:
        same_grid(like, rho["rho0"], like_name, name)
    # The very coordinates of `like`: xarray's arithmetic would drop the cells whose coordinates differ by rounding.
    coords = {dim: like.coords[dim] for dim in like.dims}
    out = {}
    for v in ("rho0", "rho1"):
        values = checked(rho[v], density_values, f"{name}.{v}").transpose(*like.dims).astype(np.float64)
        out[v] = xr.DataArray(values.data, coords, like.dims, attrs=values.attrs)
    return xr.Dataset(out)


def density_values(values: np.ndarray, name: str) -> None:
    """Refuse negative or non-finite densities."""
    finite(values, name)
    if values.size and values.min() < 0:
        raise ValueError(f"{name} must be >= 0 everywhere, got a minimum of {values.min():g}")


def same_grid(a: xr.DataArray, b: xr.DataArray, name_a: str, name_b: str) -> None:
    """Refuse two fields that do not live on the same grid (the order of dimensions may differ)."""
    if set(a.dims) != set(b.dims):
        raise ValueError(f"{name_b} must have the dimensions of {name_a}, {a.dims}, got {b.dims}")
    for dim in a.dims:
        x, y = np.asarray(a[dim].values, float), np.asarray(b[dim].values, float)
        if x.size != y.size:
            raise ValueError(f"{name_b} must have {x.size} cells along {dim!r} like {name_a}, got {y.size}")
        if np.abs(x - y).max() > UNIFORM_RTOL * abs(x[1] - x[0]) + max(_rounding(a[dim]), _rounding(b[dim])):
            raise ValueError(f"{name_b} must have the coordinate {dim!r} of {name_a}, got another")


def number(value: object, name: str, above: float | None = None) -> float:
    """Return a finite real number, greater than `above` if given."""
    if not isinstance(value, Real | np.ndarray | xr.DataArray):
        raise TypeError(f"{name} must be a real number, got {type(value).__name__}")
    if np.ndim(value) != 0:
        raise TypeError(f"{name} must be a single number, got shape {np.shape(value)}")
    if isinstance(value, bool | np.bool_ | np.ndarray | xr.DataArray) and np.asarray(value).dtype.kind not in "iuf":
        raise TypeError(f"{name} must be a real number, got dtype {np.asarray(value).dtype}")
    value = float(value)
    if not np.isfinite(value) or (above is not None and value <= above):
        bound = "" if above is None else f" and > {above:g}"
        raise ValueError(f"{name} must be finite{bound}, got {value:g}")
    return value


def numbers(values: object, name: str) -> np.ndarray:
    """Return an array of finite numbers."""
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must hold real numbers, got {values!r}") from error
    finite(values, name)
    return values


def budget(eps: object, h: Sequence[float]) -> float:
    """Return the adversarial budget, refusing one below the largest grid spacing."""
    eps = number(eps, "eps", above=0.0)
    if eps < max(h) * (1 - 1e-9):
        raise ValueError(f"eps must be at least the largest grid spacing, {max(h):g}, got {eps:g}")
    return eps


def option(value: object, name: str, allowed: Sequence[str]) -> str:
    """Return one of the `allowed` strings."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {type(value).__name__}")
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def is_lazy(u: xr.DataArray) -> bool:
    """Whether `u` is backed by dask."""
    return u.chunks is not None
