"""The spline on one cell as a polynomial in Bernstein form: signs, monotonicity, halving, roots.

Coefficients are a flat array of shape e = (1 or 4, 1 or 4, 4) in C order. All positive coefficients mean a positive
polynomial, increasing ones an increasing polynomial.
"""

import numpy as np

from mcfpaper.kernels._jit import njit


@njit
def sign(b):
    """1 if all coefficients are positive, -1 if none is, 0 if they are mixed."""
    low, high = b[0], b[0]
    for x in b:
        low, high = min(low, x), max(high, x)
    return 1 if low > 0.0 else (-1 if high <= 0.0 else 0)


@njit
def strides(e):
    return (e[1] * e[2], e[2], 1)


@njit
def bernstein(c, cell, e, b, box):
    """Bernstein coefficients of the spline on a cell of the widened lattice, flat; its origin and size."""
    for p in range(len(b)):
        b[p] = c[cell[0] + p // (e[1] * 4), cell[1] + p // 4 % e[1], cell[2] + p % 4]
    box[6] = 0.0
    for axis in range(3):
        box[axis], box[3 + axis] = 0.0, 1.0
        if e[axis] == 1:
            continue
        d = strides(e)[axis]
        for p in range(len(b)):
            if p // d % 4 == 0:
                x0, x1, x2, x3 = b[p], b[p + d], b[p + 2 * d], b[p + 3 * d]
                b[p], b[p + d] = (x0 + 4.0 * x1 + x2) / 6.0, (2.0 * x1 + x2) / 3.0
                b[p + 2 * d], b[p + 3 * d] = (x1 + 2.0 * x2) / 3.0, (x1 + 4.0 * x2 + x3) / 6.0
        box[axis] = cell[axis] - 1.0
        first, last = cell[axis] == 0, cell[axis] == c.shape[axis] - 4
        if first or last:
            half(b, d, first)
            box[axis], box[3 + axis] = box[axis] + 0.5 * first, 0.5


@njit
def half(b, d, upper):
    """Restrict to the lower or upper half along the axis of stride d (de Casteljau), in place."""
    for p in range(len(b)):
        if p // d % 4 == 0:
            x0, x1, x2, x3 = b[p], b[p + d], b[p + 2 * d], b[p + 3 * d]
            a, m, z = 0.5 * (x0 + x1), 0.5 * (x1 + x2), 0.5 * (x2 + x3)
            am, mz = 0.5 * (a + m), 0.5 * (m + z)
            mid = 0.5 * (am + mz)
            if upper:
                b[p], b[p + d], b[p + 2 * d] = mid, mz, z
            else:
                b[p + d], b[p + 2 * d], b[p + 3 * d] = a, am, mid


@njit
def height_axis(b, e, h, box):
    """The axis along which the polynomial is monotone, the steepest such; -1 if there is none."""
    best, steepest = -1, 0.0
    for axis in range(3):
        if e[axis] == 1:
            continue
        d = strides(e)[axis]
        low, high = np.inf, -np.inf
        for p in range(len(b)):
            if p // d % 4 < 3:
                low, high = min(low, b[p + d] - b[p]), max(high, b[p + d] - b[p])
        slope = max(low, -high) / (h[axis] * box[3 + axis])
        if slope > steepest:
            best, steepest = axis, slope
    return best


@njit
def ordered(b, e, i, j, k, t):
    """Write to t the coefficients with the axes in the order i, j, k."""
    d = strides(e)
    m = 0
    for p in range(e[i]):
        for q in range(e[j]):
            for r in range(4):
                t[m] = b[p * d[i] + q * d[j] + r * d[k]]
                m += 1


@njit
def _simple(x0, x1, x2, x3):
    """Whether a cubic keeps its sign or is monotone (so has at most one root)."""
    low, high = min(x0, x1, x2, x3), max(x0, x1, x2, x3)
    return low > 0.0 or high <= 0.0 or (x0 < x1 < x2 < x3) or (x0 > x1 > x2 > x3)


@njit
def is_graph(t, ni, nj):
    """Whether the edges of the graph's domain are simple: where it meets the ends of the height axis."""
    for side in (0, 3):
        low, high, down, up = np.inf, -np.inf, np.inf, -np.inf
        for p in range(ni):
            for q in range(nj):
                x = t[(p * nj + q) * 4 + side]
                low, high = min(low, x), max(high, x)
                if q > 0:
                    x -= t[(p * nj + q - 1) * 4 + side]
                    down, up = min(down, x), max(up, x)
        if low > 0.0 or high <= 0.0:
            continue
        if nj > 1 and down <= 0.0 <= up:
            return False
        if ni > 1:
            d = 4 * nj
            for p in (side, (nj - 1) * 4 + side):
                if not _simple(t[p], t[p + d], t[p + 2 * d], t[p + 3 * d]):
                    return False
    return True


@njit
def basis(x, length):
    """Bernstein polynomials of degree three at x and their derivatives."""
    if length == 1:
        return (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    y = 1.0 - x
    w = (y * y * y, 3.0 * x * y * y, 3.0 * x * x * y, x * x * x)
    return w, (-3.0 * y * y, 3.0 * y * (y - 2.0 * x), 3.0 * x * (2.0 * y - x), 3.0 * x * x)


@njit
def root(x0, x1, x2, x3):
    """The root in [0, 1] of a cubic (Bernstein coefficients) whose ends differ in sign: Newton, bracketed."""
    b, c = 3.0 * (x1 - x0), 3.0 * (x2 - 2.0 * x1 + x0)
    d = x3 - x0 - 3.0 * (x2 - x1)
    low, high = 0.0, 1.0
    x = x0 / (x0 - x3)
    for _ in range(60):
        f = x0 + x * (b + x * (c + x * d))
        if (f > 0.0) == (x0 > 0.0):
            low = x
        else:
            high = x
        slope = b + x * (2.0 * c + 3.0 * x * d)
        new = x - f / slope if slope != 0.0 else -1.0
        if not (low <= new <= high):
            new = 0.5 * (low + high)
        if abs(new - x) < 1e-15:
            return new
        x = new
    return x


@njit
def centre(b, e):
    """Value at the centre of the box."""
    f = 0.0
    for p in range(len(b)):
        w = 1.0
        for axis in range(3):
            q = p // strides(e)[axis] % 4
            w *= 1.0 if e[axis] == 1 else (0.125 if q == 0 or q == 3 else 0.375)
        f += w * b[p]
    return f
