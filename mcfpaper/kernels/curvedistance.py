"""Signed distance to curves in the plane, given as piecewise cubics.

Every cell gets a sample of the curves near to it: within REACH cells of the curves the nearest one, beyond it the best
of those that the corners of a coarser lattice got by sweeping. From there Newton's method finds the closest point along
the curve. Near the medial axis and more than REACH cells from the curves a sample on the wrong side may win: the
distance is then that to a farther piece of curve.
"""

import numpy as np

from mcfpaper.kernels._jit import njit

REACH = 8
COARSE = 4  # cells between the nodes that are swept


@njit
def signed_distances(shape, spacing, pieces, lengths, before, after):
    """Distances at the cells of a grid, positive to the left of the curves.

    `pieces` (m, 4, 2): powers of the parameter, constant first, physical (cell i of an axis sits at i h); `lengths`
    (m,) of the parameter; `before`, `after` (m,): numbers of the neighbouring pieces, -1 at an end.
    """
    n0, n1 = shape
    h0, h1 = spacing
    px, py = pieces[:, 0, 0].copy(), pieces[:, 0, 1].copy()
    number, square = np.full((n0, n1), -1, np.int32), np.full((n0, n1), np.inf)
    _stamp(number, square, px, py, h0, h1)
    m0, m1 = (n0 - 2) // COARSE + 2, (n1 - 2) // COARSE + 2  # the last nodes lie beyond the last cells
    coarse, far = np.full((m0, m1), -1, np.int32), np.full((m0, m1), np.inf)
    for i in range(m0):
        for j in range(m1):
            p, q = min(i * COARSE, n0 - 1), min(j * COARSE, n1 - 1)
            if number[p, q] >= 0:
                _try(coarse, far, px, py, i, j, number[p, q], COARSE * h0, COARSE * h1)
    for _ in range(2):
        for i in range(m0):
            _row(coarse, far, px, py, i, i - 1, COARSE * h0, COARSE * h1)
        for i in range(m0 - 1, -1, -1):
            _row(coarse, far, px, py, i, i + 1, COARSE * h0, COARSE * h1)
    for i in range(n0):
        p = i // COARSE
        for j in range(n1):
            s = number[i, j]
            if s < 0:
                q = j // COARSE
                _try(number, square, px, py, i, j, coarse[p, q], h0, h1)
                _try(number, square, px, py, i, j, coarse[p, q + 1], h0, h1)
                _try(number, square, px, py, i, j, coarse[p + 1, q], h0, h1)
                _try(number, square, px, py, i, j, coarse[p + 1, q + 1], h0, h1)
                s = number[i, j]
            square[i, j] = closest(i * h0, j * h1, s, pieces, lengths, before, after)
    return square


@njit
def _stamp(number, square, px, py, h0, h1):
    """Show every sample to the cells about it."""
    for s in range(len(px)):
        i0, j0 = int(np.floor(px[s] / h0)), int(np.floor(py[s] / h1))
        for i in range(max(i0 - REACH + 1, 0), min(i0 + REACH + 1, len(number))):
            for j in range(max(j0 - REACH + 1, 0), min(j0 + REACH + 1, number.shape[1])):
                _try(number, square, px, py, i, j, s, h0, h1)


@njit
def _row(number, square, px, py, i, other, h0, h1):
    """Let the cells of row i try the samples of the row `other`, then those of their neighbours in the row."""
    n1 = number.shape[1]
    if 0 <= other < len(number):
        for j in range(n1):
            for q in range(max(j - 1, 0), min(j + 2, n1)):
                _try(number, square, px, py, i, j, number[other, q], h0, h1)
    for j in range(1, n1):
        _try(number, square, px, py, i, j, number[i, j - 1], h0, h1)
    for j in range(n1 - 2, -1, -1):
        _try(number, square, px, py, i, j, number[i, j + 1], h0, h1)


@njit
def _try(number, square, px, py, i, j, s, h0, h1):
    if s >= 0 and s != number[i, j]:
        r = (i * h0 - px[s]) ** 2 + (j * h1 - py[s]) ** 2
        if r < square[i, j]:
            square[i, j], number[i, j] = r, s


@njit
def closest(x, y, s, pieces, lengths, before, after):
    """Signed distance from (x, y) to the curve near the start of piece s."""
    t = 0.0
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
    return r if ux * ry - uy * rx > 0.0 else -r


@njit
def distances(points, near, pieces, lengths, before, after):
    """Signed distances at points (m, 2), each from the piece numbered in `near`."""
    out = np.empty(len(points))
    for m in range(len(points)):
        out[m] = closest(points[m, 0], points[m, 1], near[m], pieces, lengths, before, after)
    return out


@njit
def window_distances(lo, shape, spacing, local, seeds, pieces, lengths, before, after):
    """`signed_distances` on the cells of a window of the grid, the same whatever window a cell is in.

    `lo`, `shape`: first cell and size of the window; `local`: numbers of the samples within REACH cells of it,
    ascending; `seeds`: numbers of the samples nearest to every COARSE-th cell of the grid, from lo // COARSE on along
    each axis, in place of those found by sweeping.
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
