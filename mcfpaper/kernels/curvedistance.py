"""Signed distance to curves in the plane, given as piecewise cubics.

Every cell gets a sample of the curves near to it: within REACH cells of the curves the nearest one, beyond it the best
of the nearest to the corners of a coarser lattice. From there Newton's method finds the closest point along the curve.
Near the medial axis and more than REACH cells from the curves a sample on the wrong side may win: the distance is then
that to a farther piece of curve.
"""

import numpy as np

from mcfpaper.kernels._jit import njit

REACH = 8
COARSE = 4  # cells between the nodes of the coarser lattice
PARTS = 8  # of a piece, where it is searched


def seed_points(lo, hi, spacing):
    """The nodes, physical points (m0, m1, 2), whose nearest samples `signed_distances` wants for cells lo to hi."""
    axes = [np.arange(a // COARSE, (b - 1) // COARSE + 2) * COARSE * h for a, b, h in zip(lo, hi, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1)


@njit
def signed_distances(lo, shape, spacing, local, seeds, pieces, lengths, before, after):
    """Distances at the cells of a window of a grid, positive to the left of the curves; the same in any window.

    `lo`, `shape`: first cell and size of the window; `local`: numbers of the samples within REACH cells of it,
    ascending; `seeds`: numbers of the samples nearest to the `seed_points`; `pieces` (m, 4, 2): powers of the
    parameter, constant first, physical (cell i of an axis sits at i h), whose starts are the samples; `lengths` (m,)
    of the parameter; `before`, `after` (m,): numbers of the neighbouring pieces, -1 at an end.
    """
    h0, h1 = spacing
    number, out = np.full(shape, -1, np.int32), np.full(shape, np.inf)
    for s in local:
        x, y = pieces[s, 0, 0], pieces[s, 0, 1]
        i0, j0 = int(np.floor(x / h0)) - lo[0], int(np.floor(y / h1)) - lo[1]
        for i in range(max(i0 - REACH + 1, 0), min(i0 + REACH + 1, shape[0])):
            for j in range(max(j0 - REACH + 1, 0), min(j0 + REACH + 1, shape[1])):
                r = ((lo[0] + i) * h0 - x) ** 2 + ((lo[1] + j) * h1 - y) ** 2
                if r < out[i, j]:
                    out[i, j], number[i, j] = r, s
    for i in range(shape[0]):
        p = (lo[0] + i) // COARSE - lo[0] // COARSE
        for j in range(shape[1]):
            x, y, s = (lo[0] + i) * h0, (lo[1] + j) * h1, number[i, j]
            if s < 0:
                q = (lo[1] + j) // COARSE - lo[1] // COARSE
                least = np.inf
                for t in (seeds[p, q], seeds[p, q + 1], seeds[p + 1, q], seeds[p + 1, q + 1]):
                    r = (x - pieces[t, 0, 0]) ** 2 + (y - pieces[t, 0, 1]) ** 2
                    if r < least:
                        least, s = r, t
            out[i, j] = closest(x, y, s, pieces, lengths, before, after)
    return out


@njit
def closest(x, y, s, pieces, lengths, before, after):
    """Signed distance from (x, y) to the curve near the start of piece s, the nearest of all starts.

    Newton's method from there. Where it ends farther away, as it can at kinks, the two pieces that meet there are
    searched.
    """
    first, t = s, 0.0
    rx = ry = ux = uy = 0.0
    for _ in range(16):
        c10, c20, c30 = pieces[s, 1, 0], pieces[s, 2, 0], pieces[s, 3, 0]
        c11, c21, c31 = pieces[s, 1, 1], pieces[s, 2, 1], pieces[s, 3, 1]
        ux, uy = c10 + t * (2.0 * c20 + 3.0 * t * c30), c11 + t * (2.0 * c21 + 3.0 * t * c31)
        wx, wy = 2.0 * c20 + 6.0 * t * c30, 2.0 * c21 + 6.0 * t * c31
        rx = x - pieces[s, 0, 0] - t * (c10 + t * (c20 + t * c30))
        ry = y - pieces[s, 0, 1] - t * (c11 + t * (c21 + t * c31))
        u2, length = ux * ux + uy * uy, lengths[s]
        step = (rx * ux + ry * uy) / max(u2 - rx * wx - ry * wy, 0.1 * u2)
        if abs(step) < 1e-6 * length:  # the distance is then off by far less than rounding
            break
        t = min(max(t + step, -8.0 * length), 9.0 * length)
        while t < 0.0 and before[s] >= 0:
            s = before[s]
            t += lengths[s]
        while t > lengths[s] and after[s] >= 0:
            t -= lengths[s]
            s = after[s]
        t = min(max(t, 0.0), lengths[s])
    r = np.sqrt(rx * rx + ry * ry)
    start = np.sqrt((x - pieces[first, 0, 0]) ** 2 + (y - pieces[first, 0, 1]) ** 2)
    if r > start:
        return _searched(x, y, first, pieces, lengths, before)
    return r if ux * ry - uy * rx > 0.0 else -r


@njit
def _searched(x, y, s, pieces, lengths, before):
    """Signed distance from (x, y) to piece s and the one before: the best of PARTS + 1 points, then bisection."""
    least, side = np.inf, 0.0
    for k in range(2):
        p = s if k == 0 else before[s]
        if p < 0:
            continue
        best, r2 = 0, np.inf
        for m in range(PARTS + 1):
            rx, ry, _, _ = _seen(x, y, pieces[p], m * lengths[p] / PARTS)
            if rx * rx + ry * ry < r2:
                best, r2 = m, rx * rx + ry * ry
        low, high = max(best - 1, 0) * lengths[p] / PARTS, min(best + 1, PARTS) * lengths[p] / PARTS
        for _ in range(40):
            rx, ry, ux, uy = _seen(x, y, pieces[p], 0.5 * (low + high))
            if rx * ux + ry * uy > 0.0:
                low = 0.5 * (low + high)
            else:
                high = 0.5 * (low + high)
        if rx * rx + ry * ry < least:
            least, side = rx * rx + ry * ry, ux * ry - uy * rx
    return np.sqrt(least) if side > 0.0 else -np.sqrt(least)


@njit
def _seen(x, y, c, t):
    """The vector to (x, y) from the point at t of the piece with coefficients c, and the tangent there."""
    rx = x - c[0, 0] - t * (c[1, 0] + t * (c[2, 0] + t * c[3, 0]))
    ry = y - c[0, 1] - t * (c[1, 1] + t * (c[2, 1] + t * c[3, 1]))
    ux = c[1, 0] + t * (2.0 * c[2, 0] + 3.0 * t * c[3, 0])
    uy = c[1, 1] + t * (2.0 * c[2, 1] + 3.0 * t * c[3, 1])
    return rx, ry, ux, uy


@njit
def distances(points, near, pieces, lengths, before, after):
    """Signed distances at points (m, 2), each from the piece numbered in `near`."""
    out = np.empty(len(points))
    for m in range(len(points)):
        out[m] = closest(points[m, 0], points[m, 1], near[m], pieces, lengths, before, after)
    return out
