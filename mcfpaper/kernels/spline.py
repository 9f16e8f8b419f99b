"""Cubic B-splines through the values of a uniform grid in one to three dimensions.

Points are in index units: cell centre ``i`` of an axis sits at coordinate ``i``, and the box, the union of the cells,
reaches from ``-1/2`` to ``n - 1/2``. Points outside the box are moved to the nearest point of it.

The end conditions are "not a knot": the first (last) cubic covers the first (last) two intervals and is continued
over the outer half cell. A mirror would force a zero normal derivative and spoil fronts that touch the box edge; this
keeps fourth order up to the edge (de Boor, A Practical Guide to Splines, ch. IV).

Inside the kernels every grid has three axes, the missing leading ones of length one; a leading axis of length one
carries one coefficient and costs nothing.
"""

import numpy as np
from scipy.sparse import csr_array

from mcfpaper.kernels._jit import njit

PAD = 2  # coefficients beyond the grid on either side of an axis


def prefilter(u):
    """Coefficients of the cubic spline through ``u``.

    Parameters
    ----------
    u : ndarray
        Finite values on a uniform grid, one to three axes.

    Returns
    -------
    ndarray of float64, three axes
        Axes of length ``n`` become ``n + 4`` (leading axes of length one stay). Axes with two or three cells
        carry the polynomial through their values, an axis with one cell a constant.
    """
    c = np.asarray(u, dtype=np.float64)
    c = c.reshape((1,) * (3 - c.ndim) + c.shape)
    for axis in range(3):
        n = c.shape[axis]
        if n == 1 and axis < 2:
            continue
        if n < 4:  # not-a-knot needs four values: continue the polynomial of degree n - 1
            c = np.moveaxis(np.tensordot(_continuation(n), c, (1, axis)), 0, axis)
        shape = c.shape
        rows = np.ascontiguousarray(c).reshape(-1, shape[axis], int(np.prod(shape[axis + 1 :], dtype=int)))
        c = _filter_axis(rows).reshape(shape[:axis] + (shape[axis] + 2 * PAD,) + shape[axis + 1 :])
        if n < 4:
            c = c.take(range(n + 2 * PAD), axis)
    return np.ascontiguousarray(c)


def _continuation(n):
    """Matrix taking n values to four values of the polynomial of degree n - 1 through them."""
    nodes, targets = np.arange(n), np.arange(4)
    matrix = np.ones((4, n))
    for j in nodes:
        for m in nodes[nodes != j]:
            matrix[:, j] *= (targets - m) / (j - m)
    return matrix


def spread(points, mass, shape):
    """Share masses at index points (m, 3) among the grid's values: the transpose of prefiltering and evaluating.

    For every field u on the grid, the sum of ``spread(points, mass, shape) * u`` is that of mass times the spline
    through u at the points. Total mass is kept; shares of cells next to a point's cell can be negative.
    """
    c = np.zeros([n if n == 1 and axis < 2 else n + 2 * PAD for axis, n in enumerate(shape)])
    _spread(c, points, mass)
    for axis, n in enumerate(shape):
        if c.shape[axis] > n:
            matrix = np.stack([prefilter(unit).ravel() for unit in np.eye(n)])
            c = np.moveaxis(np.tensordot(matrix, c, (1, axis)), 0, axis)
    return c


@njit
def _spread(c, points, mass):
    for p in range(mass.size):
        i, ni, wi, _, _ = _taps(c.shape[0], points[p, 0])
        j, nj, wj, _, _ = _taps(c.shape[1], points[p, 1])
        k, _, wk, _, _ = _taps(c.shape[2], points[p, 2])
        for a in range(ni):
            for b in range(nj):
                m = mass[p] * wi[a] * wj[b]
                for d in range(4):
                    c[i + a, j + b, k + d] += m * wk[d]


@njit
def _filter_axis(u):
    """Not-a-knot coefficients along the middle axis, which needs at least four values."""
    outer, n, inner = u.shape
    c = np.empty((outer, n + 4, inner))
    # Equal third derivatives left and right of node 1 and (c0 + 4 c1 + c2)/6 = u1 give c1 explicitly (and so at the
    # other end). The rest is tridiagonal, 1 4 1; its elimination factors do not depend on the data.
    factor = np.empty(n)
    factor[1] = 0.0
    for i in range(2, n - 2):
        factor[i] = 1.0 / (4.0 - factor[i - 1])
    for o in range(outer):
        v, w = u[o], c[o, 2:]  # w[i] is the coefficient of node i
        for k in range(inner):
            w[1, k] = v[1, k] - (v[0, k] - 2.0 * v[1, k] + v[2, k]) / 6.0
            w[n - 2, k] = v[n - 2, k] - (v[n - 3, k] - 2.0 * v[n - 2, k] + v[n - 1, k]) / 6.0
        for i in range(2, n - 2):
            for k in range(inner):
                w[i, k] = (6.0 * v[i, k] - w[i - 1, k]) * factor[i]
        for i in range(n - 3, 1, -1):
            for k in range(inner):
                w[i, k] -= factor[i] * w[i + 1, k]
        e = c[o]
        for k in range(inner):
            w[0, k] = 6.0 * v[1, k] - 4.0 * w[1, k] - w[2, k]
            w[n - 1, k] = 6.0 * v[n - 2, k] - 4.0 * w[n - 2, k] - w[n - 3, k]
            e[1, k] = 6.0 * v[0, k] - 4.0 * e[2, k] - e[3, k]
            e[n + 2, k] = 6.0 * v[n - 1, k] - 4.0 * e[n + 1, k] - e[n, k]
            e[0, k] = 4.0 * e[1, k] - 6.0 * e[2, k] + 4.0 * e[3, k] - e[4, k]
            e[n + 3, k] = 4.0 * e[n + 2, k] - 6.0 * e[n + 1, k] + 4.0 * e[n, k] - e[n - 1, k]
    return c


@njit
def _taps(length, x):
    """First coefficient, number of them and weights of value, slope and curvature at x along an axis."""
    if length == 1:
        return 0, 1, (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    x = min(max(x, -0.5), length - 4.5)
    m = int(np.floor(x))
    t = x - m
    s = 1.0 - t
    w = (s * s * s / 6.0, 2.0 / 3.0 - t * t * (1.0 - 0.5 * t), 2.0 / 3.0 - s * s * (1.0 - 0.5 * s), t * t * t / 6.0)
    d = (-0.5 * s * s, t * (1.5 * t - 2.0), s * (2.0 - 1.5 * s), 0.5 * t * t)
    return m + 1, 4, w, d, (s, 3.0 * t - 2.0, 3.0 * s - 2.0, t)


@njit
def value(c, x, y, z):
    """The spline with coefficients c at the index point (x, y, z)."""
    i, ni, wi, _, _ = _taps(c.shape[0], x)
    j, nj, wj, _, _ = _taps(c.shape[1], y)
    k, _, wk, _, _ = _taps(c.shape[2], z)
    f = 0.0
    for a in range(ni):
        for b in range(nj):
            r = c[i + a, j + b]
            f += wi[a] * wj[b] * (wk[0] * r[k] + wk[1] * r[k + 1] + wk[2] * r[k + 2] + wk[3] * r[k + 3])
    return f


@njit
def jet(c, x, y, z):
    """Value, gradient (3) and Hessian (xx, xy, xz, yy, yz, zz) at the index point, in index units."""
    i, ni, ai, bi, ci = _taps(c.shape[0], x)
    j, nj, aj, bj, cj = _taps(c.shape[1], y)
    k, _, ak, bk, ck = _taps(c.shape[2], z)
    f = gx = gy = gz = xx = xy = xz = yy = yz = zz = 0.0
    for a in range(ni):
        p = pz = pzz = py = pyz = pyy = 0.0
        for b in range(nj):
            r = c[i + a, j + b]
            r0, r1, r2, r3 = r[k], r[k + 1], r[k + 2], r[k + 3]
            q = ak[0] * r0 + ak[1] * r1 + ak[2] * r2 + ak[3] * r3
            qz = bk[0] * r0 + bk[1] * r1 + bk[2] * r2 + bk[3] * r3
            p += aj[b] * q
            pz += aj[b] * qz
            pzz += aj[b] * (ck[0] * r0 + ck[1] * r1 + ck[2] * r2 + ck[3] * r3)
            py += bj[b] * q
            pyz += bj[b] * qz
            pyy += cj[b] * q
        f += ai[a] * p
        gx += bi[a] * p
        gy += ai[a] * py
        gz += ai[a] * pz
        xx += ci[a] * p
        xy += bi[a] * py
        xz += bi[a] * pz
        yy += ai[a] * pyy
        yz += ai[a] * pyz
        zz += ai[a] * pzz
    return f, gx, gy, gz, xx, xy, xz, yy, yz, zz


@njit
def _values(c, points):
    out = np.empty(len(points))
    for m in range(len(points)):
        out[m] = value(c, points[m, 0], points[m, 1], points[m, 2])
    return out


@njit
def _jets(c, points):
    out = np.empty((len(points), 10))
    for m in range(len(points)):
        w = jet(c, points[m, 0], points[m, 1], points[m, 2])
        for k in range(10):
            out[m, k] = w[k]
    return out


def embed(points):
    """Points (m, d), d <= 3, as contiguous (m, 3) with leading zeros."""
    points = np.asarray(points, dtype=np.float64)
    return np.concatenate([np.zeros((len(points), 3 - points.shape[1])), points], axis=1)


def evaluate(c, points):
    """Values (m,) of the spline with coefficients `c` (see `prefilter`) at index points (m, d)."""
    return _values(c, embed(points))


def derivatives(c, points, spacing):
    """Value (m,), gradient (m, d) and Hessian (m, d, d) at index points (m, d).

    Derivatives are per length unit, with ``spacing`` (d floats) the size of a cell.
    """
    d = len(spacing)
    jets = _jets(c, embed(points))
    h = np.asarray(spacing, dtype=np.float64)
    hessian = jets[:, [[4, 5, 6], [5, 7, 8], [6, 8, 9]]][:, 3 - d :, 3 - d :]
    return jets[:, 0], jets[:, 4 - d : 4] / h, hessian / (h[:, None] * h)


def axis_rule(n):
    """Sparse matrix (n + 1, n + 4): from the coefficients of an axis of n nodes to integrals over its n + 1 cells."""
    weights = np.tile(np.array([1.0, 11.0, 11.0, 1.0]) / 24.0, (n + 1, 1))
    weights[0] = np.array([1.0, 61.0, 115.0, 15.0]) / 384.0  # half cells at the ends
    weights[n] = weights[0, ::-1]
    rows = np.arange(n + 1)[:, None]
    entries = (weights.ravel(), (np.repeat(rows, 4), (rows + np.arange(4)).ravel()))
    return csr_array(entries, shape=(n + 1, n + 4))


def cell_integrals(c, shape):
    """Integrals of a spline over the cells of the widened lattice, in index units."""
    for axis, n in enumerate(shape):
        if n > 1:
            rows = np.moveaxis(c, axis, 0)
            sums = axis_rule(n) @ rows.reshape(n + 4, -1)
            c = np.moveaxis(sums.reshape(n + 1, *rows.shape[1:]), 0, axis)
    return c
