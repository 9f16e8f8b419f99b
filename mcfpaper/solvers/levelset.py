"""Weighted mean curvature flow (theory.md D10) by finite differences of a level-set function, in 2-D or 3-D.

Curvature: central differences. Drift along grad log rho: second-order one-sided (ENO) differences. Time: Heun. Only a
band round the front moves; on long runs the signed distance is renewed often. Differences across the box edge are 0:
the natural condition. Second order in h while the front is smooth; it passes through collisions and pinch-off.
"""

from __future__ import annotations

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.distance import redistance

BAND = 7.0  # half width of the moving band, in cells
RENEW = 7  # times d, steps between redistances: the band's edge is felt over sqrt(2 * 7 d / (2.5 d)) = 2.4 cells


def advance(
    u: np.ndarray, drift: np.ndarray, h: tuple[float, ...], duration: float, renewed: bool = True
) -> np.ndarray:
    """Level-set function after a time `duration`.

    Parameters
    ----------
    u : ndarray, two or three axes
        Signed distance at the start (-inf: empty, +inf: full), right to 8 cells from the front, larger beyond.
    drift : ndarray (d, ...)
        Gradient of log rho at the cell centres.
    h : tuple of float
        Size of a cell along each axis.
    duration : float
        In units of length squared.
    renewed : bool
        Whether to renew the signed distance. If not, the band is as wide as `duration` asks for.

    Returns
    -------
    ndarray
        If renewed, the signed distance, right to 8 cells from the front; -inf or +inf everywhere once it is gone.
    """
    d, shape = u.ndim, (1,) * (3 - u.ndim) + u.shape
    steps3 = np.array((1.0,) * (3 - d) + tuple(h))
    force = np.zeros((3, *shape))
    force[3 - d :] = drift.reshape((d, *shape))
    speed = np.abs(drift).sum(axis=0).max()
    limit = min(min(h) ** 2 / (2.5 * d), 0.4 * min(h) / max(speed, 1e-300))
    count = int(np.ceil(duration / limit))
    spread = 3 + 2 * np.sqrt(count / (1.25 * d)) + speed * duration / min(h)
    band = (BAND if renewed else spread) * max(h)
    renew = int(min(RENEW * d, 1 + 3 * min(h) * count / max(speed * duration, 1e-300)))  # or 3 cells of drift
    u = np.array(u, dtype=float)
    for k in range(count):
        if not np.isfinite(u).all():
            return u
        a = u.reshape(shape)
        active = np.abs(a) < band
        b, out = a.copy(), a.copy()
        _euler(a, b, active, force, steps3, duration / count, d)
        _euler(b, out, active, force, steps3, duration / count, d)
        out = 0.5 * (a + out)
        u = out.reshape(u.shape)
        if renewed and (k % renew == renew - 1 or k == count - 1):
            u = redistance(u, h, width=(BAND + 1) * max(h))
    return u


@njit
def _euler(u, out, active, force, h, dt, d):
    """out = u + dt (|grad u| div n + grad log rho . grad u) on the active cells."""
    n0, n1, n2 = u.shape
    g, second, x = np.empty(3), np.empty((3, 3)), np.empty((3, 5))
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                if not active[i, j, k]:
                    continue
                for s in range(5):
                    x[0, s] = u[min(max(i + s - 2, 0), n0 - 1), j, k]
                    x[1, s] = u[i, min(max(j + s - 2, 0), n1 - 1), k]
                    x[2, s] = u[i, j, min(max(k + s - 2, 0), n2 - 1)]
                move, square, trace = 0.0, 0.0, 0.0
                for a in range(3):
                    g[a] = (x[a, 3] - x[a, 1]) / (2.0 * h[a])
                    second[a, a] = (x[a, 3] - 2.0 * x[a, 2] + x[a, 1]) / (h[a] * h[a])
                    square += g[a] * g[a]
                    trace += second[a, a]
                    move += force[a, i, j, k] * _upwind(x[a], h[a], force[a, i, j, k] > 0.0)
                second[0, 1] = _mixed(u, i, j, k, 0, 1) / (4.0 * h[0] * h[1])
                second[0, 2] = _mixed(u, i, j, k, 0, 2) / (4.0 * h[0] * h[2])
                second[1, 2] = _mixed(u, i, j, k, 1, 2) / (4.0 * h[1] * h[2])
                along = 0.0
                for a in range(3):
                    along += second[a, a] * g[a] * g[a]
                    for b in range(a + 1, 3):
                        along += 2.0 * second[a, b] * g[a] * g[b]
                # where the gradient vanishes every direction is as good: their mean
                curve = trace - along / square if square > 1e-12 else trace * (d - 1) / d
                out[i, j, k] = u[i, j, k] + dt * (curve + move)


@njit
def _upwind(x, h, forward):
    """Second-order one-sided derivative at the middle of five values, limited (ENO)."""
    middle = x[3] - 2.0 * x[2] + x[1]
    if forward:
        return ((x[3] - x[2]) - 0.5 * _minmod(middle, x[4] - 2.0 * x[3] + x[2])) / h
    return ((x[2] - x[1]) + 0.5 * _minmod(middle, x[2] - 2.0 * x[1] + x[0])) / h


@njit
def _minmod(a, b):
    if a * b <= 0.0:
        return 0.0
    return a if abs(a) < abs(b) else b


@njit
def _mixed(u, i, j, k, a, b):
    """Four-point sum of the mixed second difference along axes a and b."""
    n0, n1, n2 = u.shape
    total = 0.0
    for s in (-1, 1):
        for t in (-1, 1):
            p = i + (s if a == 0 else 0)
            q = j + (s if a == 1 else (t if b == 1 else 0))
            r = k + (t if b == 2 else 0)
            p, q, r = min(max(p, 0), n0 - 1), min(max(q, 0), n1 - 1), min(max(r, 0), n2 - 1)
            total += s * t * u[p, q, r]
    return total
