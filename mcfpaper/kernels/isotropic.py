"""The supremum over the continuous Euclidean ball of the cubic spline through a field: no preferred direction.

A linear functional attains its maximum over ball ∩ box at a point in closed form, so the maximiser of a smooth field
is a fixed point of "go where the gradient here points": Frank-Wolfe steps from the best grid point, halved while they
do not improve. The value found is attained, hence never above the supremum; on a field that is smooth on the scale of a
cell it falls short of it by the fourth order of the spacing.
"""

import numpy as np
from numba import njit

from mcfpaper.kernels import morphology, spline

STEPS = 12  # at most; most cells stop after three or four


def halo(eps, spacing):
    """Cells about a block that its dilation depends on: the ball's, and the reach of the spline prefilter to 1e-16."""
    return tuple(int(np.ceil(eps / h)) + 30 for h in spacing)


def dilate(u, eps, spacing):
    """Supremum of the spline through `u` over each cell's ball ∩ box, of the dtype of `u`."""
    if not np.isfinite(u).all():
        return u.copy()  # the empty set or the whole box
    values, _ = _maximise(u, eps, spacing)
    return values.reshape(u.shape).astype(u.dtype)


def erode(u, eps, spacing):
    """Infimum of the spline through `u` over each cell's ball ∩ box: ``-dilate(-u)``."""
    return -dilate(-u, eps, spacing)


def push(u, mass, eps, spacing):
    """Move the mass of each cell to a maximiser of the spline through `u` in its ball, shared among nearby cells."""
    _, points = _maximise(u, eps, spacing)
    shape = (1,) * (3 - u.ndim) + u.shape
    return _deposit(points, np.ascontiguousarray(mass, dtype=np.float64).ravel(), shape).reshape(u.shape)


def _maximise(u, eps, spacing):
    shape = (1,) * (3 - u.ndim) + u.shape
    start = morphology.argdilate(u, eps, spacing).ravel()
    h = np.concatenate([np.ones(3 - u.ndim), np.asarray(spacing, float)])
    return _ascend(spline.prefilter(u), start, shape, h, float(eps))


@njit(nogil=True)
def _ascend(c, start, shape, h, eps):
    n = start.size
    values, points = np.empty(n), np.empty((n, 3))
    x, z, target = np.empty(3), np.empty(3), np.empty(3)
    last = np.array([shape[0] - 0.5, shape[1] - 0.5, shape[2] - 0.5])
    for cell in range(n):
        _unravel(cell, shape, x)
        best = points[cell]
        _unravel(start[cell], shape, best)
        f, gx, gy, gz, *_ = spline.jet(c, best[0], best[1], best[2])
        step = 1.0
        for _ in range(STEPS):
            _linear_maximiser(x, (gx / h[0], gy / h[1], gz / h[2]), h, eps, last, shape, target)
            for a in range(3):
                z[a] = best[a] + step * (target[a] - best[a])
            trial, tx, ty, tz, *_ = spline.jet(c, z[0], z[1], z[2])
            if trial > f:
                gain = trial - f
                f, gx, gy, gz = trial, tx, ty, tz
                best[:] = z
                if gain < 1e-14 * abs(f) + 1e-300:
                    break
                step = 1.0
            else:
                step *= 0.5
        values[cell] = f
    return values, points


@njit(nogil=True)
def _unravel(flat, shape, out):
    out[2] = flat % shape[2]
    out[1] = (flat // shape[2]) % shape[1]
    out[0] = flat // (shape[1] * shape[2])


@njit(nogil=True)
def _linear_maximiser(x, g, h, eps, last, shape, out):
    """Maximiser of the linear function of slope g over ball ∩ box: axes that leave the box are fixed at its edge."""
    fixed = np.zeros(3, np.bool_)
    radius2 = eps * eps
    for a in range(3):
        out[a] = x[a]
        fixed[a] = shape[a] == 1
    for _ in range(3):
        norm = 0.0
        for a in range(3):
            norm += 0.0 if fixed[a] else g[a] * g[a]
        if norm == 0.0 or radius2 <= 0.0:
            return
        scale = np.sqrt(radius2 / norm)
        worst, over = -1, 0.0
        for a in range(3):
            if not fixed[a]:
                out[a] = x[a] + scale * g[a] / h[a]
                excess = max(out[a] - last[a], -0.5 - out[a]) * h[a]
                if excess > over:
                    worst, over = a, excess
        if worst < 0:
            return
        out[worst] = last[worst] if out[worst] > x[worst] else -0.5
        fixed[worst] = True
        radius2 -= ((out[worst] - x[worst]) * h[worst]) ** 2


@njit(nogil=True)
def _deposit(points, mass, shape):
    """Share masses among the nearest cells by cubic convolution, which keeps mass, mean and variance."""
    out = np.zeros(shape)
    w, first, count = np.empty((3, 4)), np.empty(3, np.int64), np.empty(3, np.int64)
    for p in range(mass.size):
        for a in range(3):
            base = int(np.floor(points[p, a]))
            t = points[p, a] - base
            first[a], count[a] = base - 1, 4
            w[a, 0], w[a, 1] = t * (-0.5 + t * (1.0 - 0.5 * t)), 1.0 + t * t * (1.5 * t - 2.5)
            w[a, 2], w[a, 3] = t * (0.5 + t * (2.0 - 1.5 * t)), t * t * (0.5 * t - 0.5)
            if shape[a] == 1:
                first[a], count[a], w[a, 0] = 0, 1, 1.0
        for i in range(count[0]):
            for j in range(count[1]):
                for k in range(count[2]):
                    row = min(max(first[0] + i, 0), shape[0] - 1)
                    column = min(max(first[1] + j, 0), shape[1] - 1)
                    layer = min(max(first[2] + k, 0), shape[2] - 1)
                    out[row, column, layer] += mass[p] * w[0, i] * w[1, j] * w[2, k]
    return out
