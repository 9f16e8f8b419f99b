"""The supremum over the continuous Euclidean ball of the cubic spline through a field: no preferred direction.

From the best grid point of the ball, and from the best of a ring of samples on its sphere elsewhere if that is about as
high, Newton steps: each maximises the spline's quadratic model over the ball, a trust region problem whose multiplier
is found by Newton's method (Conn, Gould, Toint, Trust-Region Methods, ch. 7), and goes there if the spline grows. Where
it does not, or the model is not concave enough, the step aims at the maximiser of the linear model and is halved. The
value found is attained, hence never above the supremum; on a field that is smooth on the scale of a cell it falls
short of it by the fourth order of the spacing.
"""

import numpy as np

from mcfpaper.kernels import morphology, spline
from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.balls import reach

STEPS = 40  # at most; most cells stop after two or three, those whose model is not concave take many


def halo(eps, spacing):
    """Cells about a block that its dilation depends on: the ball's, and the reach of the spline prefilter to 1e-16."""
    return tuple(r + 31 for r in reach(eps, spacing))


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
    """Move the mass of each cell to a maximiser of the spline through `u` in its ball, shared as splines are read.

    So the sum of ``push(u, mass) * u`` is that of ``mass * dilate(u)``, and against any other field it is at most
    that of the mass times its dilation: an exact subgradient of the discrete functional.
    """
    _, points = _maximise(u, eps, spacing)
    shape = (1,) * (3 - u.ndim) + u.shape
    mass = np.ascontiguousarray(mass, dtype=np.float64).ravel()
    return spline.spread(points, mass, shape).reshape(u.shape)


def _maximise(u, eps, spacing):
    shape = (1,) * (3 - u.ndim) + u.shape
    start = morphology.argdilate(u, eps, spacing).ravel()
    h = np.concatenate([np.ones(3 - u.ndim), np.asarray(spacing, float)])
    eps = min(float(eps), float(np.dot(u.shape, spacing)))  # across the box; squares of more would overflow
    return _ascend(spline.prefilter(u), start, shape, h, eps, *_directions(u.ndim))


def _directions(d):
    """Unit vectors spread evenly over the sphere, (m, 3) with leading zeros, and about half their spacing (radian)."""
    if d == 1:
        return np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]]), np.pi / 2
    if d == 2:
        angle = 2 * np.pi * np.arange(24) / 24
        return np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=1), np.pi / 24
    k = np.arange(160) + 0.5  # Fibonacci's spiral
    z, angle = 1 - 2 * k / 160, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - z * z)
    return np.stack([z, radius * np.sin(angle), radius * np.cos(angle)], axis=1), np.sqrt(np.pi / 160)


@njit
def _ascend(c, start, shape, h, eps, directions, spread):
    n = start.size
    values, points = np.empty(n), np.empty((n, 3))
    x, z, other, g, hessian = np.empty(3), np.empty(3), np.empty(3), np.empty(3), np.empty((3, 3))
    last = np.array([shape[0] - 0.5, shape[1] - 0.5, shape[2] - 0.5])
    for cell in range(n):
        _unravel(cell, shape, x)
        best = points[cell]
        _unravel(start[cell], shape, best)
        f = _climb(c, x, best, g, hessian, h, eps, last, shape)
        # A second maximiser elsewhere on the sphere shows in a sample less than `spread` from it.
        slope = np.sqrt(g[0] ** 2 + g[1] ** 2 + g[2] ** 2)
        rival = f - 4.0 * slope * eps * (1.0 - np.cos(spread))
        found = False
        for m in range(len(directions)):
            apart = 0.0
            for a in range(3):
                z[a] = x[a] + eps * directions[m, a] / h[a]
                if shape[a] > 1:
                    z[a] = min(max(z[a], -0.5), last[a])
                apart += ((z[a] - best[a]) * h[a]) ** 2
            if apart > (3.0 * spread * eps) ** 2:
                value = spline.value(c, z[0], z[1], z[2])
                if value > rival:
                    rival, found = value, True
                    other[:] = z
        if found:
            value = _climb(c, x, other, g, hessian, h, eps, last, shape)
            if value > f:
                f = value
                best[:] = other
        values[cell] = f
    return values, points


@njit
def _climb(c, x, best, g, hessian, h, eps, last, shape):
    """Move `best` to a local maximiser in the ball about x; return the value, and its derivatives in g and hessian."""
    z, target = np.empty(3), np.empty(3)
    f = _model(c, best, h, g, hessian)
    step = 1.0
    for _ in range(STEPS):
        if step < 1.0 or not _maximiser(x, best, g, hessian, h, eps, last, shape, target):
            _linear_maximiser(x, g, h, eps, last, shape, target)
        move = 0.0
        for a in range(3):
            z[a] = best[a] + step * (target[a] - best[a])
            move += (z[a] - best[a]) ** 2
        if move < 1e-15:  # squared, in cells; the value is stationary, so its error is of this order
            break
        if spline.value(c, z[0], z[1], z[2]) > f:
            best[:] = z
            f = _model(c, best, h, g, hessian)
            step = 1.0
        else:
            step *= 0.5
    return f


@njit
def _model(c, y, h, g, hessian):
    """Value, and into `g` and `hessian` the derivatives per length, of the spline at the index point y."""
    f, gx, gy, gz, xx, xy, xz, yy, yz, zz = spline.jet(c, y[0], y[1], y[2])
    g[0], g[1], g[2] = gx / h[0], gy / h[1], gz / h[2]
    hessian[0, 0], hessian[1, 1], hessian[2, 2] = xx / h[0] ** 2, yy / h[1] ** 2, zz / h[2] ** 2
    hessian[0, 1] = hessian[1, 0] = xy / (h[0] * h[1])
    hessian[0, 2] = hessian[2, 0] = xz / (h[0] * h[2])
    hessian[1, 2] = hessian[2, 1] = yz / (h[1] * h[2])
    return f


@njit
def _maximiser(x, best, g, hessian, h, eps, last, shape, out):
    """Maximiser of the quadratic model at `best` over ball ∩ box, axes that leave the box fixed at its edge.

    False where the multiplier's iteration fails (the model has several maximisers, nearly).
    """
    fixed = np.zeros(3, np.bool_)
    w, b = np.zeros(3), np.empty(3)
    radius2 = eps * eps
    for a in range(3):
        fixed[a] = shape[a] == 1
    for _ in range(3):
        for a in range(3):  # the model's gradient at w = 0 on the free axes
            b[a] = g[a]
            for k in range(3):
                b[a] -= hessian[a, k] * ((best[k] - x[k]) * h[k] - (w[k] if fixed[k] else 0.0))
        if radius2 <= 0.0 or not _trust_region(hessian, b, g, fixed, np.sqrt(radius2), w):
            return False
        worst, over = -1, 0.0
        for a in range(3):
            out[a] = x[a] + w[a] / h[a]
            excess = max(out[a] - last[a], -0.5 - out[a]) * h[a]
            if not fixed[a] and excess > over:
                worst, over = a, excess
        if worst < 0:
            return True
        w[worst] = ((last[worst] if out[worst] > x[worst] else -0.5) - x[worst]) * h[worst]
        fixed[worst] = True
        radius2 -= w[worst] ** 2
    return False


@njit
def _trust_region(hessian, b, g, fixed, radius, w):
    """Maximise b·w + w·Hw/2 over |w| <= radius on the free axes; the multiplier is guessed from the gradient g."""
    ok, n, _ = _shifted_solve(hessian, 0.0, b, fixed, w)
    if ok and n <= radius:
        return True
    slope2 = size2 = bound = 0.0
    for a in range(3):
        if not fixed[a]:
            slope2 += g[a] * g[a]
            size2 += b[a] * b[a]
            for k in range(3):
                bound += abs(hessian[a, k])
    low, high = 0.0, np.sqrt(size2) / radius + bound
    multiplier = min(np.sqrt(slope2) / radius, high)  # exact at a fixed point
    for _ in range(16):
        ok, n, bend = _shifted_solve(hessian, multiplier, b, fixed, w)
        if ok and abs(n - radius) < 1e-12 * radius:
            return True
        if ok and n < radius:
            high = multiplier
        else:
            low = multiplier
        if ok and n > 0.0:
            multiplier += n * n * (n - radius) / (radius * bend)
        if not (ok and n > 0.0 and low < multiplier < high):
            multiplier = max(np.sqrt(low * high), low + 0.05 * (high - low))
    return False


@njit
def _shifted_solve(hessian, multiplier, b, fixed, w):
    """Solve (multiplier - H) w = b on the free axes: is it definite, |w| and w·(multiplier - H)⁻¹w (Cholesky)."""
    factor, q = np.zeros((3, 3)), np.zeros(3)
    for i in range(3):
        for j in range(i + 1):
            if fixed[i] or fixed[j]:
                factor[i, j] = 1.0 if i == j else 0.0
                continue
            s = (multiplier if i == j else 0.0) - hessian[i, j]
            for k in range(j):
                s -= factor[i, k] * factor[j, k]
            if i == j:
                if s <= 1e-300:
                    return False, 0.0, 0.0
                factor[i, i] = np.sqrt(s)
            else:
                factor[i, j] = s / factor[j, j]
    n2 = bend = 0.0
    for i in range(3):
        q[i] = 0.0 if fixed[i] else b[i]
        for k in range(i):
            q[i] -= factor[i, k] * q[k]
        q[i] /= factor[i, i]
    for i in range(2, -1, -1):
        for k in range(i + 1, 3):
            q[i] -= factor[k, i] * q[k]
        q[i] /= factor[i, i]
        if not fixed[i]:
            w[i] = q[i]
            n2 += q[i] * q[i]
    for i in range(3):
        for k in range(i):
            q[i] -= factor[i, k] * q[k]
        q[i] /= factor[i, i]
        bend += q[i] * q[i]
    return True, np.sqrt(n2), bend


@njit
def _unravel(flat, shape, out):
    out[2] = flat % shape[2]
    out[1] = (flat // shape[2]) % shape[1]
    out[0] = flat // (shape[1] * shape[2])


@njit
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
