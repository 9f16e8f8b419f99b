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

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.bernstein import bernstein, centre, half, height_axis, is_graph, ordered, sign, strides
from mcfpaper.kernels.contour import widened
from mcfpaper.kernels.graphrule import append, graph_rule
from mcfpaper.kernels.spline import cell_integrals, evaluate, prefilter

DEPTH = 5  # halvings of a cell where the front is no graph: to 1/32 of it in the plane, to 1/4 (three less) in space


def surface_integral(u, spacing, weight=None, part=None):
    """Integral of a weight over the front of {u > 0} inside the box; parameters as for `integrals`."""
    inside = u > 0
    if inside.all() or not inside.any():
        return 0.0
    rule, _ = _rule(u, spacing, True, part)
    values = 1.0 if weight is None else evaluate(prefilter(weight), rule[:, :3])
    return float((rule[:, 3] * values).sum())


def integrals(u, spacing, weights, part=None):
    """Integrals of weights over {u > 0} in the box.

    Parameters
    ----------
    u : ndarray
        Level-set function, finite unless it is of one sign: the set is then full or empty.
    spacing : tuple of float
        Size of a cell along each axis.
    weights : sequence of (ndarray or None)
        Values at the cell centres, integrated as cubic splines; None stands for 1.
    part : sequence of slice, optional
        The cells of the widened lattice that count; all by default.

    Returns
    -------
    list of float
    """
    inside = u > 0
    if not inside.any():
        return [0.0] * len(weights)
    if inside.all():
        rule, full = np.empty((0, 4)), np.zeros([n + (n > 1) for n in _embedded(u)], bool)
        full[tuple(slice(*bounds) for bounds in _bounds(u, part))] = True
    else:
        rule, full = _rule(u, spacing, False, part)
    cell, out = np.prod(spacing), []
    for weight in weights:
        c = None if weight is None else prefilter(weight)
        inner = _cell_sizes(u) if c is None else cell_integrals(c, _embedded(u))
        cut = rule[:, 3].sum() if c is None else np.dot(rule[:, 3], evaluate(c, rule[:, :3]))
        out.append(float((inner * full).sum() * cell + cut))
    return out


def _rule(u, spacing, surface, part):
    """Index points and weights (m, 4) of a rule on the front, or on the cells that it cuts; which others lie inside."""
    c = prefilter(u)
    h = np.array((1.0,) * (3 - np.ndim(u)) + tuple(spacing))
    return _cut_cells(c, widened(c, u)[0], h, surface, _bounds(u, part))


def _bounds(u, part):
    """Slices of the widened lattice's cells as an array (3, 2) on embedded axes."""
    cells = [n + (n > 1) for n in _embedded(u)]
    slices = [slice(None)] * (3 - np.ndim(u)) + list(part or [slice(None)] * np.ndim(u))
    return np.array([s.indices(n)[:2] for s, n in zip(slices, cells, strict=True)])


def _cell_sizes(u):
    """Volumes of the cells of the widened lattice, in index units."""
    sizes = [np.r_[0.5, np.ones(n - 1), 0.5] if n > 1 else np.ones(1) for n in _embedded(u)]
    return np.einsum("i,j,k->ijk", *sizes)


def _embedded(u):
    return (1,) * (3 - np.ndim(u)) + np.shape(u)


@njit
def _cut_cells(c, v, h, surface, part):
    """Rule (m, 4), index point and weight, on the cut cells of `part`; and which other cells of it lie inside."""
    full, cut, near = _classify(v)
    rule, count = np.empty((256, 4)), np.int64(0)  # (a literal 0 would be compiled for apart, here and below)
    e = (min(c.shape[0], 4), min(c.shape[1], 4), 4)
    stack = np.empty((8 * DEPTH + 16, e[0] * e[1] * 4))
    boxes = np.empty((8 * DEPTH + 16, 7))  # origin, size, depth
    for i in range(full.shape[0]):
        for j in range(full.shape[1]):
            for k in range(full.shape[2]):
                if not (part[0, 0] <= i < part[0, 1] and part[1, 0] <= j < part[1, 1] and part[2, 0] <= k < part[2, 1]):
                    full[i, j, k] = False
                    continue
                if not near[i, j, k]:
                    continue
                bernstein(c, (i, j, k), e, stack[0], boxes[0])
                # a front that only pokes through an edge changes no corner's sign
                if cut[i, j, k] or sign(stack[0]) == 0:
                    full[i, j, k] = False
                    rule, count = _cell(stack, boxes, e, h, surface, rule, count)
    return rule[:count], full


@njit
def _classify(v):
    """Cells whose first corner is inside, whose corners differ, and that touch one of the latter."""
    s0, s1, s2 = int(v.shape[0] > 1), int(v.shape[1] > 1), int(v.shape[2] > 1)
    shape = (v.shape[0] - s0, v.shape[1] - s1, v.shape[2] - s2)
    full, cut, near = np.empty(shape, np.bool_), np.empty(shape, np.bool_), np.zeros(shape, np.bool_)
    for i in range(shape[0]):
        for j in range(shape[1]):
            for k in range(shape[2]):
                inside = 0
                for a in range(8):
                    inside += v[i + s0 * (a & 1), j + s1 * (a >> 1 & 1), k + s2 * (a >> 2)] > 0.0
                full[i, j, k] = inside == 8
                cut[i, j, k] = 0 < inside < 8
                if cut[i, j, k]:
                    for p in range(max(i - 1, 0), min(i + 2, shape[0])):
                        for q in range(max(j - 1, 0), min(j + 2, shape[1])):
                            for r in range(max(k - 1, 0), min(k + 2, shape[2])):
                                near[p, q, r] = True
    return full, cut, near


@njit
def _cell(stack, boxes, e, h, surface, rule, count):
    """Append the rule of one cell, halving it where the front is no graph."""
    top = np.int64(1)
    t, b, box, work = np.empty(stack.shape[1]), np.empty(stack.shape[1]), np.empty(7), np.empty(42)
    while top > 0:
        top -= 1
        side = sign(stack[top])
        if side < 0 or (side > 0 and surface):
            continue
        for p in range(len(b)):
            b[p] = stack[top, p]
        for p in range(7):
            box[p] = boxes[top, p]
        last = box[6] >= (DEPTH if e[0] == 1 else DEPTH - 3)
        k = 2 if side > 0 else height_axis(b, e, h, box)
        if k < 0 and last:  # count the volume of what is left by its centre
            if not surface and centre(b, e) > 0.0:
                x, y, z = box[0] + 0.5 * box[3], box[1] + 0.5 * box[4], box[2] + 0.5 * box[5]
                volume = h[0] * box[3] * h[1] * box[4] * h[2] * box[5]
                rule, count = append(rule, count, x, y, z, volume)
            continue
        i, j = (1, 2) if k == 0 else ((0, 2) if k == 1 else (0, 1))
        if k >= 0:
            ordered(b, e, i, j, k, t)
            if not is_graph(t, e[i], e[j]):
                i, j = j, i
                ordered(b, e, i, j, k, t)
                if not (last or side > 0 or is_graph(t, e[i], e[j])):
                    k = -1
        if k >= 0:
            rule, count = graph_rule(t, e[i], e[j], i, j, k, box, h, surface, work, rule, count)
        else:
            top = _halve(stack, boxes, top, b, e, box)
    return rule, count


@njit
def _halve(stack, boxes, top, b, e, box):
    """Push the halves of a box along every axis."""
    for child in range(8):
        if (e[0] == 1 and child & 1) or (e[1] == 1 and child & 2):
            continue
        for p in range(len(b)):
            stack[top, p] = b[p]
        boxes[top, 6] = box[6] + 1.0
        for axis in range(3):
            boxes[top, axis], boxes[top, 3 + axis] = box[axis], box[3 + axis]
            if e[axis] > 1:
                upper = (child >> axis) & 1 == 1
                half(stack[top], strides(e)[axis], upper)
                boxes[top, 3 + axis] *= 0.5
                boxes[top, axis] += boxes[top, 3 + axis] * upper
        top += 1
    return top
