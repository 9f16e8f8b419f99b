"""Gauss's rule where the front is a graph over the other axes of a cell (see `quadrature`)."""

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.bernstein import basis, root

ORDER = 4  # Gauss points in the base, exact to degree 7
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(ORDER)
NODES, WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
INNER = 0.5 + np.array([-1.0, 1.0]) / np.sqrt(12.0)  # two points along the height: exact for a cubic weight


@njit
def graph_rule(t, ni, nj, i, j, k, box, h, surface, work, rule, count):
    """Append nodes for a graph over (i, j): Gauss in the pieces of the base between the edges of the graph's domain.

    `work` holds the cuts along i and j, the row (the sum over i) and its slope along i.
    """
    cuts_i, cuts_j, row, slope = work[0:6], work[6:10], work[10:26], work[26:42]
    size = (h[0] * box[3], h[1] * box[4], h[2] * box[5])
    pieces_i = _edges(t, 4 * nj, ni, nj, cuts_i)
    for p in range(pieces_i * (ORDER if ni > 1 else 1)):
        xi, gi = _gauss(cuts_i, p, ni)
        wi, di = basis(xi, ni)
        _contract(t, wi, ni, nj, row)
        if surface:
            _contract(t, di, ni, nj, slope)
        pieces_j = _edges(row, 4, nj, 1, cuts_j)
        for q in range(pieces_j * (ORDER if nj > 1 else 1)):
            xj, gj = _gauss(cuts_j, q, nj)
            wj, dj = basis(xj, nj)
            line = _combine(row, wj, nj)
            weight = gi * gj * size[i] * size[j]
            crossed = (line[0] > 0.0) != (line[3] > 0.0)
            y = root(line[0], line[1], line[2], line[3]) if crossed else 1.0
            if surface:
                if crossed:
                    wk, dk = basis(y, 4)
                    gk = _dot(line, dk) / size[k]
                    gi_gk = _dot(_combine(slope, wj, nj), wk) / size[i] / gk
                    gj_gk = _dot(_combine(row, dj, nj), wk) / size[j] / gk
                    weight *= np.sqrt(1.0 + gi_gk * gi_gk + gj_gk * gj_gk)
                    rule, count = _append_ordered(rule, count, box, i, j, xi, xj, y, weight)
            elif crossed or line[0] > 0.0:
                low, high = (0.0, y) if line[0] > 0.0 else (y, 1.0)
                for x in INNER:
                    part = 0.5 * weight * (high - low) * size[k]
                    x = low + (high - low) * x
                    rule, count = _append_ordered(rule, count, box, i, j, xi, xj, x, part)
    return rule, count


@njit
def _edges(t, d, n, nj, cuts):
    """Write 0, the sorted roots of the ends of the height axis along the axis of stride d, and 1; pieces."""
    cuts[0], m = 0.0, 1
    if n > 1:
        for a in range(2 if nj == 1 else 4):
            p = 3 * (a & 1) + (a >> 1) * (nj - 1) * 4
            if (t[p] > 0.0) != (t[p + 3 * d] > 0.0):
                x = root(t[p], t[p + d], t[p + 2 * d], t[p + 3 * d])
                q = m
                while cuts[q - 1] > x:
                    cuts[q] = cuts[q - 1]
                    q -= 1
                cuts[q] = x
                m += 1
    cuts[m] = 1.0
    return m


@njit
def _gauss(cuts, p, length):
    """Node and weight number p on the pieces between the cuts (one node of weight 1 on an axis of length one)."""
    if length == 1:
        return 0.0, 1.0
    piece, m = p // ORDER, p % ORDER
    size = cuts[piece + 1] - cuts[piece]
    return cuts[piece] + size * NODES[m], size * WEIGHTS[m]


@njit
def _contract(t, w, ni, nj, out):
    """Sum over the first axis with weights w."""
    for q in range(4 * nj):
        out[q] = 0.0
        for p in range(ni):
            out[q] += w[p] * t[p * 4 * nj + q]


@njit
def _combine(row, w, nj):
    """Sum over the second axis with weights w: a cubic along the height."""
    a = b = c = d = 0.0
    for q in range(nj):
        a += w[q] * row[4 * q]
        b += w[q] * row[4 * q + 1]
        c += w[q] * row[4 * q + 2]
        d += w[q] * row[4 * q + 3]
    return a, b, c, d


@njit
def _dot(x, w):
    return x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3]


@njit
def _append_ordered(rule, count, box, i, j, xi, xj, xk, weight):
    """Append a node given in unit coordinates of the box along the axes i, j and the third one."""
    x = box[0] + box[3] * (xi if i == 0 else (xj if j == 0 else xk))
    y = box[1] + box[4] * (xi if i == 1 else (xj if j == 1 else xk))
    z = box[2] + box[5] * (xi if i == 2 else (xj if j == 2 else xk))
    return append(rule, count, x, y, z, weight)


@njit
def append(rule, count, x, y, z, weight):
    """Append a node, doubling the buffer when it is full."""
    if count == len(rule):
        more = np.empty((2 * count, 4))
        for m in range(count):
            for k in range(4):
                more[m, k] = rule[m, k]
        rule = more
    rule[count, 0], rule[count, 1], rule[count, 2], rule[count, 3] = x, y, z, weight
    return rule, count + 1
