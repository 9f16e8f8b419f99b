"""The limit flow (theory.md D10) by methods that share nothing with the minimising-movements scheme."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version

import numpy as np
import xarray as xr
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from mcfpaper import _checks
from mcfpaper.kernels.contour import front_points
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import fronts, levelset
from mcfpaper.solvers.fronttracking import Spline
from mcfpaper.solvers.planeflow import COARSE, FINE, PlaneFlow

METHODS = {
    1: "ordinary differential equation for the boundary points",
    2: "front tracking by spectral collocation, level-set stages where it meets the box edge",
    3: "level set, finite differences",
}


def limit_flow(u: xr.DataArray, densities: xr.Dataset, times: Sequence[float]) -> xr.Dataset:
    """Weighted mean curvature flow of {u > 0}: outward normal velocity V = -kappa - d(log rho)/d(nu) (D10).

    An independent reference for the scheme's limit (T9). In the plane the front is tracked as smooth curves; points on
    the line and level sets in three dimensions. Where the front meets the edge of the box it does so at a right angle,
    the natural condition.

    Parameters
    ----------
    u : xarray.DataArray
        A set on a grid in 1 to 3 dimensions: boolean, or a level-set function, positive inside. All -inf (empty) and
        all +inf (full) stay. The front of a boolean set runs midway between cells; `error` does not count that such a
        set may stand for a smoother one.
    densities : xarray.Dataset
        Variables `rho0`, `rho1` on the same grid, with rho0 + rho1 > 0 near the front.
    times : sequence of float
        Strictly increasing times >= 0, in units of length squared.

    Returns
    -------
    xarray.Dataset
        In memory, with dimension `time` before those of `u`: `u`, the signed distance to the front in length units,
        positive inside (-inf or +inf everywhere once the front is gone), and `error`, an estimate per time of how far
        (length units, Hausdorff) the front is from the exact one: the distance to a second computation with other
        splines, fewer markers and looser tolerances (in 3-D: with cells twice as large); infinite where one of them
        ended with the empty set and the other with the whole box.

    Raises
    ------
    ValueError
        If a field, the densities or a grid is not valid, if `times` is not strictly increasing, finite and >= 0, or
        if the front comes where rho vanishes.
    RuntimeError
        If the ODE solver cannot follow the front.
    """
    u = _checks.field(u)
    if taken := {"time", "error", "u"} & set(u.dims):
        raise ValueError(f"u must not have a dimension named like a result, got {sorted(taken)}")
    u = u.compute()
    rho = _checks.densities(densities, like=u).compute()
    _checks.finite_or_constant_infinity(u.values, "u")  # not looked at before if it was lazy
    h, times = _checks.spacing(u), _times(times)
    total = (rho["rho0"] + rho["rho1"]).values.astype(float)
    if not total.max() > 0:
        raise ValueError("densities must not vanish everywhere: rho0 + rho1 is 0")
    values = u.values if u.dtype == bool else u.values.astype(float)
    inside = values if u.dtype == bool else values > 0
    if inside.all() or not inside.any():
        flow = np.broadcast_to(np.where(inside, np.inf, -np.inf), (len(times), *u.shape)), np.zeros(len(times))
    else:
        log_rho = np.log(np.maximum(total, total[total > 0].min()))  # where it is 0 the front must not come
        flow = (_line, _plane, _space)[u.ndim - 1](values, log_rho, h, times)
        _refuse_void(flow[0], total, h)
    return _dataset(u, times, *flow)


def _times(times: Sequence[float]) -> np.ndarray:
    t = np.asarray(times)
    if t.dtype.kind not in "iuf":
        raise TypeError(f"times must be real numbers, got dtype {t.dtype}")
    if t.ndim != 1 or t.size == 0:
        raise ValueError(f"times must be a sequence of at least one time, got shape {t.shape}")
    t = t.astype(float)
    if not np.isfinite(t).all() or t[0] < 0 or (np.diff(t) <= 0).any():
        raise ValueError(f"times must be finite, >= 0 and strictly increasing, got {t.tolist()}")
    return t


def _refuse_void(flow: np.ndarray, total: np.ndarray, h: tuple[float, ...]) -> None:
    """Refuse a front that comes within two cells of where rho vanishes: D10 has no meaning there."""
    near = (np.abs(flow) < 2 * max(h)).any(axis=0)
    if (near & (total <= 0)).any():
        raise ValueError("densities must have rho0 + rho1 > 0 where the front passes, got 0 there")


def _dataset(u: xr.DataArray, times: np.ndarray, flow: np.ndarray, error: np.ndarray) -> xr.Dataset:
    coords = {"time": ("time", times, {"long_name": "time", "units": "length^2"})}
    coords |= {d: u.coords[d].variable for d in u.dims}
    return xr.Dataset(
        {
            "u": (
                ("time", *u.dims),
                np.array(flow),
                {"long_name": "signed distance to the boundary, positive inside", "units": "length"},
            ),
            "error": ("time", error, {"long_name": "estimated error of the front", "units": "length"}),
        },
        coords,
        {"flow": "weighted mean curvature flow", "method": METHODS[u.ndim], "mcfpaper": version("mcfpaper")},
    )


def _plane(u: np.ndarray, log_rho: np.ndarray, h: tuple[float, ...], times: np.ndarray):
    fine, coarse = (PlaneFlow(u, log_rho, h, at).run(times) for at in (FINE, COARSE))
    axes = [np.arange(n) * s for n, s in zip(u.shape, h, strict=True)]
    flow = [np.full(u.shape, f) if isinstance(f, float) else fronts.signed_distance(f, axes) for f in fine]
    return np.array(flow), np.array([_apart_in_plane(*pair) for pair in zip(fine, coarse, strict=True)])


def _apart_in_plane(*pair: list | float) -> float:
    """`fronts.apart`; infinite where one computation ended with the empty set and the other with the whole box."""
    if all(isinstance(f, float) for f in pair) and pair[0] != pair[1]:
        return np.inf
    return fronts.apart(*([] if isinstance(f, float) else f for f in pair))


def _space(u: np.ndarray, log_rho: np.ndarray, h: tuple[float, ...], times: np.ndarray):
    """Level set on the grid, and on one of twice the spacing for the error estimate."""
    u = redistance(u, h) if u.dtype != bool else redistance(np.where(u, 0.5, -0.5), h)
    log = Spline(log_rho, h, 3)
    cells = tuple(max(n // 2, 4) for n in u.shape)
    wide = tuple(n * s / m for n, s, m in zip(u.shape, h, cells, strict=True))
    start = np.array([0.5 * (w - s) for w, s in zip(wide, h, strict=True)])  # first cell of the coarse grid
    fine = _level_sets(u, log, h, np.zeros(3), times)
    coarse = _level_sets(Spline(u, h, 3)(_centres(cells, wide, start)), log, wide, start, times)
    error = [_apart(a, b, h, wide, start) for a, b in zip(fine, coarse, strict=True)]
    return np.array(fine), np.array(error)


def _centres(cells: tuple[int, ...], h: tuple[float, ...], start: np.ndarray) -> np.ndarray:
    axes = [a + np.arange(n) * s for n, s, a in zip(cells, h, start, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _level_sets(u: np.ndarray, log: Spline, h: tuple[float, ...], start: np.ndarray, times: np.ndarray) -> list:
    drift = np.moveaxis(log.gradient(_centres(u.shape, h, start).reshape(-1, u.ndim)), -1, 0).reshape(u.ndim, *u.shape)
    found, now = [], 0.0
    for t in times:
        if t > now and np.isfinite(u).all():
            u, now = levelset.advance(u, drift, h, t - now), t
        found.append(redistance(u, h) if np.isfinite(u).all() else u)
    return found


def _apart(a: np.ndarray, b: np.ndarray, h: tuple[float, ...], wide: tuple[float, ...], start: np.ndarray) -> float:
    """Hausdorff distance of the fronts of two signed distances; of a front that only one has, its inner radius."""
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        left = [v for v in (a, b) if np.isfinite(v).all()]
        gone = a if np.isinf(a).all() else b
        if not left and a.flat[0] != b.flat[0]:
            return np.inf  # as in the plane
        return float((left[0] * -np.sign(gone.flat[0])).max()) if left else 0.0
    here = front_points(a, h)[0] * h
    there = front_points(b, wide)[0] * wide + start
    return float(max(np.abs(Spline(b, wide, 3, start)(here)).max(), np.abs(Spline(a, h, 3)(there)).max()))


def _line(u: np.ndarray, log_rho: np.ndarray, h: tuple[float, ...], times: np.ndarray):
    (n,), (step,) = u.shape, h
    x = np.arange(n) * step
    (b, gone, right), (other, _, _) = (
        _points(u, Spline(log_rho, h, 8 - k), Spline(u, h, k) if u.dtype != bool else None, step, times, tolerance)
        for k, tolerance in ((3, 1e-11), (5, 1e-9))  # u may have kinks, log rho has none
    )
    flow = np.empty((len(times), n))
    for k, t in enumerate(times):
        left = np.flatnonzero(gone >= t)
        if left.size:
            near = left[np.argmin(np.abs(x[:, None] - b[k, left]), axis=1)]
            flow[k] = (b[k, near] - x) * right[near]
        else:  # what the last point to leave the box had behind it
            last = np.argmax(gone)
            flow[k] = np.inf if (b[-1, last] > 0) == (right[last] > 0) else -np.inf
    return flow, np.abs(b - other).max(axis=1)


def _points(u: np.ndarray, log: Spline, field: Spline | None, step: float, times: np.ndarray, tolerance: float):
    """Boundary points (time, point), when each leaves the box, and their outward directions +1 or -1.

    A point that has left stays at the edge. Points never meet: they solve one autonomous equation.
    """
    jumps = np.flatnonzero((u[1:] > 0) != (u[:-1] > 0))
    edges = -0.5 * step, (u.size - 0.5) * step
    b, gone = np.empty((len(times), jumps.size)), np.full(jumps.size, np.inf)

    def rate(_, y):
        return -log(np.clip(y, *edges)[:, None], 1)  # beyond the box, where trial steps may go, a spline soon overflows

    def outside(_, y):
        return (y[0] - edges[0]) * (edges[1] - y[0])

    outside.terminal = True
    for m, i in enumerate(jumps):
        ends = i * step, (i + 1) * step
        start = np.mean(ends) if field is None else _crossing(lambda y: float(field(np.array([[y]]))[0]), *ends)
        span = (0.0, max(times[-1], 1e-300))
        done = solve_ivp(rate, span, [start], "DOP853", times, rtol=tolerance, atol=tolerance * step, events=outside)
        if done.status < 0:
            raise RuntimeError(f"the front could not be followed to t = {times[-1]:g}: {done.message}")
        b[: done.y.shape[1], m] = done.y[0]
        if done.status == 1:
            gone[m] = done.t_events[0][0]
            b[done.y.shape[1] :, m] = edges[0] if done.y_events[0][0][0] < np.mean(edges) else edges[1]
    return b, gone, np.where(u[jumps] > 0, 1, -1)


def _crossing(f: Callable[[float], float], a: float, b: float) -> float:
    """A root between two cell centres on either side of a front, one of which may be the front but for rounding."""
    at_a, at_b = f(a), f(b)
    if (at_a > 0) == (at_b > 0):
        return a if abs(at_a) <= abs(at_b) else b
    return brentq(f, a, b)
