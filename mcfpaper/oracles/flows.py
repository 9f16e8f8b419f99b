"""O3-O5: exact solutions of the limit flow (D10), and its ODEs on symmetric data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

from mcfpaper.oracles._scalar import dimension


def shrinking_radius(t: np.ndarray, r0: float, d: int = 2) -> np.ndarray:
    """Radius at time t of a ball in a constant density (O3); 0 once it has vanished, at r0^2 / (2 (d - 1))."""
    return np.sqrt(np.maximum(r0**2 - 2 * (dimension(d) - 1) * np.asarray(t, float), 0.0))


def area_law(t: np.ndarray, area0: float) -> np.ndarray:
    """Area at time t inside any embedded closed plane curve, constant density (O3); it vanishes at area0 / (2 pi)."""
    return np.maximum(area0 - 2 * np.pi * np.asarray(t, float), 0.0)


def paperclip_area(t: np.ndarray) -> np.ndarray:
    """Area inside the paper-clip (O4) at time t < 0."""
    return -2 * np.pi * np.asarray(t, float)


def paperclip_level(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    """Level-set function of the paper-clip exp(t) cosh(y) = cos(x), |x| < pi/2, t < 0, positive inside (O4)."""
    _negative(t)
    return np.cos(np.clip(x, -np.pi, np.pi)) - np.exp(t) * np.cosh(y)


def paperclip_points(t: float, n: int = 256) -> np.ndarray:
    """`n` points (x, y) on the paper-clip at time t < 0, shape (n, 2), anticlockwise (O4).

    The curve is (sin x)^2 + (exp(t) sinh y)^2 = 1 - exp(2t), so an angle parametrises it analytically.
    """
    _negative(t)
    angle, k = 2 * np.pi * np.arange(n) / n, np.sqrt(-np.expm1(2 * t))
    return np.stack([np.arcsin(k * np.cos(angle)), np.arcsinh(np.exp(-t) * k * np.sin(angle))], axis=1)


def _negative(t: float) -> None:
    if not t < 0:
        raise ValueError(f"t must be < 0 (the paper-clip vanishes at t = 0), got {t!r}")


def grim_reaper(x: np.ndarray, t: float) -> np.ndarray:
    """Height y = t - log cos x of the grim reaper, |x| < pi/2 (O4)."""
    x = np.asarray(x, float)
    if (np.abs(x) >= np.pi / 2).any():
        raise ValueError(f"x must lie in (-pi/2, pi/2), got {x.min():g} to {x.max():g}")
    return t - np.log(np.cos(x))


def grim_reaper_level(x: np.ndarray, y: np.ndarray, t: float) -> np.ndarray:
    """Level-set function of the grim reaper, positive above the curve (O4)."""
    return np.cos(np.clip(x, -np.pi, np.pi)) - np.exp(t - np.asarray(y, float))


def gaussian_radius(t: np.ndarray, r0: float, s: float, d: int = 2) -> np.ndarray:
    """Radius at time t of a ball, rho proportional to exp(-|x|^2 / (2 s^2)) (O5, in R^d); 0 once it has vanished.

    r' = r / s^2 - (d - 1) / r: the sphere r = s sqrt(d - 1) is stationary and unstable.
    """
    rest = (dimension(d) - 1) * s**2
    return np.sqrt(np.maximum(rest + (r0**2 - rest) * np.exp(2 * np.asarray(t, float) / s**2), 0.0))


def gaussian_plane(t: np.ndarray, b0: float, s: float, mean: float = 0.0) -> np.ndarray:
    """b at time t of the half space {x_1 > b}, rho a Gaussian of deviation s in x_1 (O5)."""
    return mean + (b0 - mean) * np.exp(np.asarray(t, float) / s**2)


def planar_limit(t: np.ndarray, b0: float, dlog_rho: Callable) -> np.ndarray:
    """b at the times t >= 0 of the half space {x_1 > b}: b' = -(log rho)'(b) (O5), by a tight ODE solver."""
    return _solve(lambda _, b: -np.asarray(dlog_rho(b)), t, b0, None)


def radial_limit(t: np.ndarray, r0: float, dlog_rho: Callable, d: int = 2) -> np.ndarray:
    """Radius at the times t >= 0 of a ball, or of a hole: r' = -(d - 1)/r - (log rho)'(r) (D10, D7).

    0 once it has vanished. Solved for q = r^2, which stays smooth to the end.
    """
    d = dimension(d)

    def rate(_, q):
        r = np.sqrt(np.maximum(q, 0.0))
        return -2 * (d - 1) - 2 * r * np.asarray(dlog_rho(r))

    def gone(_, q):
        return q[0] - 1e-14 * r0**2

    gone.terminal = True
    return np.sqrt(_solve(rate, t, r0**2, gone))


def _solve(rate: Callable, t: np.ndarray, start: float, event: Callable | None) -> np.ndarray:
    t = np.asarray(t, float)
    flat = np.atleast_1d(t).ravel()
    if not np.isfinite(flat).all() or flat.min() < 0:
        raise ValueError(f"t must be finite and >= 0, got {flat.min()} to {flat.max()}")
    order = np.unique(flat)
    values = np.zeros(order.size)  # what comes after the event is 0
    span = (0.0, max(order[-1], 1e-300))
    done = solve_ivp(rate, span, [start], method="DOP853", rtol=1e-12, atol=1e-14, t_eval=order, events=event)
    if done.status < 0:
        raise ValueError(f"the ODE could not be solved up to t = {order[-1]:g}: {done.message}")
    values[: done.y.shape[1]] = done.y[0]
    return values[np.searchsorted(order, flat)].reshape(t.shape)[()]
