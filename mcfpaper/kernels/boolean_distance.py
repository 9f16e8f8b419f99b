"""Signed distance to a set of cells, exact and monotone in the set."""

import numpy as np
from scipy.ndimage import distance_transform_edt

from mcfpaper.kernels._jit import njit


def boolean_distance(a, spacing):
    """Signed distance to the boundary of a set of cells, positive inside.

    With ``e(x)`` the distance from the centre of cell x to the nearest centre on the other side and ``h`` the least
    spacing, ``f = e - h/2`` inside and ``-(e - h/2)`` outside: the zero level lies half way between the centres of
    neighbours of different kind, and the complement of a has exactly -f. The box edge is no boundary.

    Monotone bit for bit, ``f_A <= f_B`` for A in B, for any spacing: inside both sets e is a minimum of the same
    floating-point numbers over fewer outside cells for B, outside both over fewer inside cells for A (see
    `_distance`), subtracting h/2 is monotone in floating point, and in B without A, f_A < 0 < f_B because e >= h.

    Parameters
    ----------
    a : ndarray of bool
        One to three axes.
    spacing : tuple of float
        Size of a cell along each axis.

    Returns
    -------
    ndarray of float64
        -inf everywhere for the empty set, +inf for the full one.
    """
    a = np.ascontiguousarray(a, dtype=bool)
    half = 0.5 * min(spacing)
    return np.where(a, _distance(~a, spacing) - half, half - _distance(a, spacing))


def _distance(targets, spacing):
    """Distance from every cell centre to the nearest target's, inf if there is none; antitone in the targets.

    With equal spacings the squares are whole numbers, hence exact. Otherwise every operation is monotone.
    """
    if not targets.any():
        return np.full(targets.shape, np.inf)
    if len(set(spacing)) == 1:
        return distance_transform_edt(~targets) * float(spacing[0])
    g = np.where(targets, 0.0, np.inf)
    for axis, h in enumerate(spacing):
        shape = g.shape
        g = _squared(g.reshape(int(np.prod(shape[:axis])), shape[axis], -1), float(h)).reshape(shape)
    return np.sqrt(g)


@njit
def _squared(g, h):
    """out[i] = min over j of g[j] + ((i - j) h)^2 along the middle axis.

    The search stops where the second term alone reaches the best value: that drops no smaller sum, so the result is
    the minimum of the rounded sums and monotone in g. (A lower envelope of parabolas would be quicker, but its
    intersections round, and with unequal spacings that breaks monotonicity.)
    """
    outer, n, inner = g.shape
    out = np.empty_like(g)
    for o in range(outer):
        for i in range(n):
            for k in range(inner):
                best = g[o, i, k]
                for s in range(1, n):
                    step = (s * h) ** 2
                    if step >= best or (s > i and s >= n - i):
                        break
                    if s <= i:
                        best = min(best, g[o, i - s, k] + step)
                    if s < n - i:
                        best = min(best, g[o, i + s, k] + step)
                out[o, i, k] = best
    return out
