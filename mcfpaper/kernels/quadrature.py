"""High-order quadrature on {u > 0} and on its boundary, u the cubic spline through the values of a grid.

Between neighbouring nodes the spline is one polynomial. Where it changes sign in such a cell, the cell is cut along
an axis k in which the polynomial is monotone (the front is then a graph over the other axes), and the base is split
where that graph enters or leaves the cell, so that Gauss's rule sees smooth integrands only (R. Saye, High-order
quadrature methods for implicitly defined surfaces and volumes in hyperrectangles, SIAM J. Sci. Comput. 37, 2015).
Bernstein coefficients decide signs and monotonicity; a cell where no axis will do is halved.

The cells are those of the lattice widened by the box faces (`contour.widened`), so that the outer half cells of the
box count. Three embedded axes as in `spline`.
"""

import numpy as np
from numba import njit

from mcfpaper.kernels.contour import widened
from mcfpaper.kernels.spline import evaluate, prefilter

DEPTH = 5  # halvings of a cell: 1/32 of a cell where the front is not a graph at all
ORDER = 4  # Gauss points in the base, exact to degree 7
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(ORDER)
NODES, WEIGHTS = 0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS
INNER = 0.5 + np.array([-1.0, 1.0]) / np.sqrt(12.0)  # two points along the height: exact for a cubic weight


def surface_rule(u, spacing):
    """Nodes (m, 3) in embedded index units and weights (m,), length^(d-1), of a rule on the front inside the box."""
    c = prefilter(u)
    h = np.array((1.0,) * (3 - np.ndim(u)) + tuple(spacing))
    rule, _ = _cut_cells(c, widened(c, u)[0], h, True)
    return rule[:, :3], rule[:, 3]


def volume_integrals(u, spacing, weights):
    """Integrals of the weights over {u > 0} in the box.

    Parameters
    ----------
    u : ndarray
        Finite level-set function.
    spacing : tuple of float
        Size of a cell along each axis.
    weights : sequence of (ndarray or None)
        Values at the cell centres, integrated as cubic splines; None stands for 1.

    Returns
    -------
    list of float
    """
    c = prefilter(u)
    h = np.array((1.0,) * (3 - np.ndim(u)) + tuple(spacing))
    rule, full = _cut_cells(c, widened(c, u)[0], h, False)
    points, w = np.ascontiguousarray(rule[:, :3]), rule[:, 3]
    out = []
    for weight in weights:
        if weight is None:
            sizes = [_axis_rule(n).sum(axis=1) if n > 1 else np.ones(1) for n in _embedded(u)]
            inner = np.einsum("ijk,i,j,k->", full.astype(float), *sizes)
            out.append(float(inner * h.prod() + w.sum()))
            continue
        e = prefilter(weight)
        inner = (_cell_integrals(e, _embedded(u)) * full).sum()
        out.append(float(inner * h.prod() + np.dot(w, evaluate(e, points))))
    return out


def box_integrals(shape, spacing, weights):
    """Integrals of the weights over the whole box, as in `volume_integrals`."""
    cell = float(np.prod(spacing))
    box = (1,) * (3 - len(shape)) + tuple(shape)
    return [
        cell * (float(np.prod(shape)) if w is None else float(_cell_integrals(prefilter(w), box).sum()))
        for w in weights
    ]


def _embedded(u):
    return (1,) * (3 - np.ndim(u)) + np.shape(u)


def _axis_rule(n):
    """Matrix (n + 1, n + 4) from the coefficients of an axis of n nodes to the integrals over its n + 1 cells."""
    matrix = np.zeros((n + 1, n + 4))
    rows = np.arange(n + 1)
    for k, w in enumerate((1.0, 11.0, 11.0, 1.0)):
        matrix[rows, rows + k] = w / 24.0
    matrix[0, :4] = np.array([1.0, 61.0, 115.0, 15.0]) / 384.0  # half cells at the ends
    matrix[n, n:] = matrix[0, 3::-1]
    return matrix


def _cell_integrals(c, shape):
    """Integrals of a spline over the cells of the widened lattice, in index units."""
    for axis, n in enumerate(shape):
        if n > 1:
            c = np.moveaxis(np.tensordot(_axis_rule(n), c, (1, axis)), 0, axis)
    return c


@njit(nogil=True)
def _cut_cells(c, v, h, surface):
    """Rule (m, 4), index point and weight, on the cut cells; and which other cells lie inside."""
    n0, n1, n2 = max(v.shape[0] - 1, 1), max(v.shape[1] - 1, 1), max(v.shape[2] - 1, 1)
    full = np.zeros((n0, n1, n2), np.bool_)
    cut = np.zeros((n0, n1, n2), np.bool_)
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                inside = v[i, j, k] > 0.0
                full[i, j, k] = inside
                for p in v[i : i + 2, j : j + 2, k : k + 2].flat:
                    if (p > 0.0) != inside:
                        cut[i, j, k] = True
                        full[i, j, k] = False
    rule, count = np.empty((256, 4)), 0
    e0, e1 = min(c.shape[0], 4), min(c.shape[1], 4)
    stack = np.empty((8 * DEPTH + 16, e0, e1, 4))
    boxes = np.empty((8 * DEPTH + 16, 7))  # origin, size, depth
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                near = cut[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2]
                if not near.any():
                    continue
                _bernstein(c, i, j, k, stack[0], boxes[0])
                # a front that only pokes through an edge changes no corner's sign
                if not cut[i, j, k] and _sign(stack[0].ravel()) != 0:
                    continue
                full[i, j, k] = False
                rule, count = _cell(stack, boxes, h, surface, rule, count)
    return rule[:count], full


@njit(nogil=True)
def _sign(b):
    """1 if all coefficients are positive, -1 if none is, 0 if they are mixed."""
    low, high = np.inf, -np.inf
    for x in b.flat:
        low, high = min(low, x), max(high, x)
    return 1 if low > 0.0 else (-1 if high <= 0.0 else 0)


@njit(nogil=True)
def _bernstein(c, i, j, k, b, box):
    """Bernstein coefficients of the spline on cell (i, j, k) of the widened lattice; its origin and size."""
    e0, e1, e2 = b.shape
    for p in range(e0):
        for q in range(e1):
            for r in range(e2):
                b[p, q, r] = c[i + p, j + q, k + r]
    cell = (i, j, k)
    box[6] = 0.0
    for axis in range(3):
        box[axis], box[3 + axis] = 0.0, 1.0
        if c.shape[axis] == 1:
            continue
        n = c.shape[axis] - 4
        for p in range(e1 if axis == 0 else e0):
            for q in range(e1 if axis == 2 else e2):
                line = b[:, p, q] if axis == 0 else (b[p, :, q] if axis == 1 else b[p, q, :])
                x0, x1, x2, x3 = line[0], line[1], line[2], line[3]
                line[0], line[1] = (x0 + 4.0 * x1 + x2) / 6.0, (2.0 * x1 + x2) / 3.0
                line[2], line[3] = (x1 + 2.0 * x2) / 3.0, (x1 + 4.0 * x2 + x3) / 6.0
        box[axis] = cell[axis] - 1.0
        if cell[axis] == 0:
            _half(b, axis, True)
            box[axis], box[3 + axis] = -0.5, 0.5
        elif cell[axis] == n:
            _half(b, axis, False)
            box[3 + axis] = 0.5


@njit(nogil=True)
def _half(b, axis, upper):
    """Restrict to the lower or upper half along an axis (de Casteljau), in place."""
    e0, e1, e2 = b.shape
    for p in range(e1 if axis == 0 else e0):
        for q in range(e1 if axis == 2 else e2):
            line = b[:, p, q] if axis == 0 else (b[p, :, q] if axis == 1 else b[p, q, :])
            x0, x1, x2, x3 = line[0], line[1], line[2], line[3]
            a, m, d = 0.5 * (x0 + x1), 0.5 * (x1 + x2), 0.5 * (x2 + x3)
            am, md = 0.5 * (a + m), 0.5 * (m + d)
            mid = 0.5 * (am + md)
            if upper:
                line[0], line[1], line[2] = mid, md, d
            else:
                line[1], line[2], line[3] = a, am, mid


@njit(nogil=True)
def _cell(stack, boxes, h, surface, rule, count):
    """Append the rule of one cell, halving it where the front is no graph."""
    top = 1
    while top > 0:
        top -= 1
        sign = _sign(stack[top])
        if sign < 0 or (sign > 0 and surface):
            continue
        b, box = stack[top].copy(), boxes[top].copy()
        last = box[6] >= DEPTH
        k = 2 if sign > 0 else _height_axis(b, h * box[3:6])
        if k < 0 and last:  # no graph in 1/32 of a cell: count its volume by its centre
            if not surface and _centre(b) > 0.0:
                middle = box[:3] + 0.5 * box[3:6]
                rule, count = _push(rule, count, middle, (h * box[3:6]).prod())
            continue
        if k >= 0:
            i, j = (1, 2) if k == 0 else ((0, 2) if k == 1 else (0, 1))
            t = _ordered(b, i, j, k)
            if not _graph(t):
                swapped = _ordered(b, j, i, k)
                if _graph(swapped):
                    i, j, t = j, i, swapped
                elif not last and sign == 0:
                    k = -1
        if k >= 0:
            rule, count = _graph_rule(t, i, j, k, box, h, surface, rule, count)
        else:
            top = _halve(stack, boxes, top, b, box)
    return rule, count


@njit(nogil=True)
def _halve(stack, boxes, top, b, box):
    for child in range(8):
        if (b.shape[0] == 1 and child & 1) or (b.shape[1] == 1 and child & 2):
            continue
        stack[top] = b
        boxes[top] = box
        boxes[top, 6] += 1.0
        for axis in range(3):
            if b.shape[axis] > 1:
                upper = (child >> axis) & 1 == 1
                _half(stack[top], axis, upper)
                boxes[top, 3 + axis] *= 0.5
                if upper:
                    boxes[top, axis] += boxes[top, 3 + axis]
        top += 1
    return top


@njit(nogil=True)
def _height_axis(b, size):
    """The axis along which the polynomial is monotone, the steepest such; -1 if there is none."""
    best, steepest = -1, 0.0
    e = b.shape
    for axis in range(3):
        if e[axis] == 1:
            continue
        low, high = np.inf, -np.inf
        for p in range(e[0] - (axis == 0)):
            for q in range(e[1] - (axis == 1)):
                for r in range(e[2] - (axis == 2)):
                    d = b[p + (axis == 0), q + (axis == 1), r + (axis == 2)] - b[p, q, r]
                    low, high = min(low, d), max(high, d)
        slope = max(low, -high) / size[axis]
        if slope > steepest:
            best, steepest = axis, slope
    return best


@njit(nogil=True)
def _ordered(b, i, j, k):
    """Coefficients with the axes in the order i, j, k."""
    t = np.empty((b.shape[i], b.shape[j], b.shape[k]))
    for p in range(b.shape[0]):
        for q in range(b.shape[1]):
            for r in range(b.shape[2]):
                x = (p, q, r)
                t[x[i], x[j], x[k]] = b[p, q, r]
    return t


@njit(nogil=True)
def _simple(line):
    """Whether a cubic keeps its sign or is monotone (so has at most one root)."""
    if len(line) == 1 or _sign(line) != 0:
        return True
    d0, d1, d2 = line[1] - line[0], line[2] - line[1], line[3] - line[2]
    return (d0 > 0.0 and d1 > 0.0 and d2 > 0.0) or (d0 < 0.0 and d1 < 0.0 and d2 < 0.0)


@njit(nogil=True)
def _graph(t):
    """Whether the edges of the graph's domain are simple: where it meets the ends of the height axis."""
    ni, nj, _ = t.shape
    for side in (0, 3):
        if _sign(t[:, :, side]) == 0 and nj > 1:
            low, high = np.inf, -np.inf
            for p in range(ni):
                for q in range(3):
                    d = t[p, q + 1, side] - t[p, q, side]
                    low, high = min(low, d), max(high, d)
            if low <= 0.0 <= high:
                return False
        if not (_simple(t[:, 0, side]) and _simple(t[:, nj - 1, side])):
            return False
    return True


@njit(nogil=True)
def _graph_rule(t, i, j, k, box, h, surface, rule, count):
    """Append nodes for a graph over (i, j): Gauss in the pieces of the base between the edges of the graph's domain."""
    ni, nj, _ = t.shape
    size = h * box[3:6]
    at, line, slope_i, slope_j = np.empty(3), np.empty(4), np.empty(4), np.empty(4)
    cuts_i, cuts_j = np.empty(6), np.empty(4)
    pieces_i = _edges(t, 0 if ni > 1 else -1, cuts_i)
    for p in range(pieces_i * (ORDER if ni > 1 else 1)):
        xi, gi = _gauss(cuts_i, p, ni)
        wi, di = _basis(xi, ni)
        row = _contract(t, wi)
        pieces_j = _edges(row, 1 if nj > 1 else -1, cuts_j)
        for q in range(pieces_j * (ORDER if nj > 1 else 1)):
            xj, gj = _gauss(cuts_j, q, nj)
            wj, dj = _basis(xj, nj)
            _combine(row, wj, line)
            weight = gi * gj * size[i] * size[j]
            crossed = (line[0] > 0.0) != (line[3] > 0.0)
            at[i], at[j] = box[i] + box[3 + i] * xi * (ni > 1), box[j] + box[3 + j] * xj * (nj > 1)
            y = _root(line) if crossed else 1.0
            if surface:
                if crossed:
                    _combine(row, dj, slope_j)
                    _combine(_contract(t, di), wj, slope_i)
                    wk, dk = _basis(y, 4)
                    gk = _dot(line, dk) / size[k]
                    ratio_i, ratio_j = _dot(slope_i, wk) / size[i] / gk, _dot(slope_j, wk) / size[j] / gk
                    at[k] = box[k] + box[3 + k] * y
                    stretch = np.sqrt(1.0 + ratio_i * ratio_i + ratio_j * ratio_j)
                    rule, count = _push(rule, count, at, weight * stretch)
            elif crossed or line[0] > 0.0:
                low, high = (0.0, y) if line[0] > 0.0 else (y, 1.0)
                for x in INNER:
                    at[k] = box[k] + box[3 + k] * (low + (high - low) * x)
                    rule, count = _push(rule, count, at, 0.5 * weight * (high - low) * size[k])
    return rule, count


@njit(nogil=True)
def _edges(t, axis, cuts):
    """Write 0, the sorted roots along the first nontrivial axis of the ends of the height axis, and 1; pieces."""
    cuts[0], n = 0.0, 1
    if axis >= 0:
        for side in (0, 3):
            for q in range(2 if axis == 0 and t.shape[1] > 1 else 1):
                line = t[:, q * (t.shape[1] - 1), side] if axis == 0 else t[0, :, side]
                if (line[0] > 0.0) != (line[3] > 0.0):
                    x = _root(line)
                    m = n
                    while cuts[m - 1] > x:
                        cuts[m] = cuts[m - 1]
                        m -= 1
                    cuts[m] = x
                    n += 1
    cuts[n] = 1.0
    return n


@njit(nogil=True)
def _gauss(cuts, p, length):
    """Node and weight number p on the pieces between the cuts (one node of weight 1 on an axis of length one)."""
    if length == 1:
        return 0.0, 1.0
    piece, m = p // ORDER, p % ORDER
    size = cuts[piece + 1] - cuts[piece]
    return cuts[piece] + size * NODES[m], size * WEIGHTS[m]


@njit(nogil=True)
def _basis(x, length):
    """Bernstein polynomials of degree three at x and their derivatives."""
    if length == 1:
        return (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 0.0)
    y = 1.0 - x
    w = (y * y * y, 3.0 * x * y * y, 3.0 * x * x * y, x * x * x)
    return w, (-3.0 * y * y, 3.0 * y * (y - 2.0 * x), 3.0 * x * (2.0 * y - x), 3.0 * x * x)


@njit(nogil=True)
def _contract(t, w):
    """Sum over the first axis with weights w, that axis kept with length one."""
    out = np.zeros((1, t.shape[1], 4))
    for p in range(t.shape[0]):
        for q in range(t.shape[1]):
            for r in range(4):
                out[0, q, r] += w[p] * t[p, q, r]
    return out


@njit(nogil=True)
def _combine(row, w, line):
    for r in range(4):
        line[r] = 0.0
        for q in range(row.shape[1]):
            line[r] += w[q] * row[0, q, r]


@njit(nogil=True)
def _dot(line, w):
    return line[0] * w[0] + line[1] * w[1] + line[2] * w[2] + line[3] * w[3]


@njit(nogil=True)
def _root(line):
    """The root in [0, 1] of a cubic whose ends differ in sign: Newton, bracketed."""
    a, b, c = line[0], 3.0 * (line[1] - line[0]), 3.0 * (line[2] - 2.0 * line[1] + line[0])
    d = line[3] - line[0] - 3.0 * (line[2] - line[1])
    low, high = 0.0, 1.0
    x = line[0] / (line[0] - line[3])
    for _ in range(60):
        f = a + x * (b + x * (c + x * d))
        if (f > 0.0) == (line[0] > 0.0):
            low = x
        else:
            high = x
        slope = b + x * (2.0 * c + 3.0 * x * d)
        step = f / slope if slope != 0.0 else 2.0
        new = x - step
        if not (low <= new <= high):
            new = 0.5 * (low + high)
        if abs(new - x) < 1e-15:
            return new
        x = new
    return x


@njit(nogil=True)
def _centre(b):
    """Value at the centre of the box."""
    w, _ = _basis(0.5, 4)
    wi, _ = _basis(0.5, b.shape[0])
    wj, _ = _basis(0.5, b.shape[1])
    f = 0.0
    for p in range(b.shape[0]):
        for q in range(b.shape[1]):
            f += wi[p] * wj[q] * _dot(b[p, q], w)
    return f


@njit(nogil=True)
def _push(rule, count, at, weight):
    """Append a node, doubling the buffer when it is full."""
    if count == len(rule):
        more = np.empty((2 * count, 4))
        more[:count] = rule
        rule = more
    rule[count, 0], rule[count, 1], rule[count, 2], rule[count, 3] = at[0], at[1], at[2], weight
    return rule, count + 1
