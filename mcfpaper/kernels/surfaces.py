"""The front {u = 0} as points, curves and triangles with vertices on the zero set of the cubic spline."""

import numpy as np
from contourpy import LineType, contour_generator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.contour import root, widened
from mcfpaper.kernels.distance import SplineFront
from mcfpaper.kernels.spline import prefilter

# Kuhn's triangulation of the cube: six tetrahedra around the main diagonal, one per order of the axes
_KUHN = [
    np.cumsum([(0, 0, 0), *(np.eye(3, dtype=int)[a] for a in order)], axis=0)
    for order in ((0, 1, 2), (1, 2, 0), (2, 0, 1), (0, 2, 1), (2, 1, 0), (1, 0, 2))
]


def points(u):
    """Front points (m, 1) of a field on a line, ascending, in index units."""
    c = prefilter(u)
    v, axes = widened(c, u)
    v, x = v.ravel(), axes[2]
    at = np.flatnonzero((v[1:] > 0) != (v[:-1] > 0))
    return np.array([[root(c, 0.0, 0.0, x[i], 2, x[i + 1], v[i], v[i + 1])] for i in at]).reshape(-1, 1)


def curves(u, part=(slice(None), slice(None))):
    """Front curves of a field in the plane: arrays (m, 2) in index units, the first point repeated if closed.

    With `part`, only what lies on those rows and columns of the widened lattice (`contour.widened`).
    """
    c = prefilter(u)
    v, axes = widened(c, u)
    v, y, x = np.ascontiguousarray(v[0][part]), axes[1][part[0]], axes[2][part[1]]
    lines = contour_generator(z=v, line_type=LineType.Separate).lines(0.0)
    out = []
    for line in lines:
        p = np.ascontiguousarray(line[:, ::-1])
        _onto_edges(c, v[None], y, x, p)
        p = p[np.r_[True, np.any(np.diff(p, axis=0) != 0, axis=1)]]
        if len(p) > 1:
            out.append(p)
    return out


@njit
def _onto_edges(c, v, y, x, p):
    """Move vertices, given by lattice numbers, to the spline's root on their lattice edge, in index units."""
    for m in range(len(p)):
        i, j = int(np.rint(p[m, 0])), int(np.rint(p[m, 1]))
        along0, along1 = abs(p[m, 0] - i), abs(p[m, 1] - j)  # interpolation leaves the other one whole only to rounding
        if along0 > along1:
            i = int(np.floor(p[m, 0]))
            p[m, 0], p[m, 1] = y[i] + (p[m, 0] - i) * (y[i + 1] - y[i]), x[j]
            if (v[0, i, j] > 0.0) != (v[0, i + 1, j] > 0.0):
                p[m, 0] = root(c, 0.0, y[i], x[j], 1, y[i + 1], v[0, i, j], v[0, i + 1, j])
        elif along1 > 0.0:
            j = int(np.floor(p[m, 1]))
            p[m, 0], p[m, 1] = y[i], x[j] + (p[m, 1] - j) * (x[j + 1] - x[j])
            if (v[0, i, j] > 0.0) != (v[0, i, j + 1] > 0.0):
                p[m, 1] = root(c, 0.0, y[i], x[j], 2, x[j + 1], v[0, i, j], v[0, i, j + 1])
        else:
            p[m, 0], p[m, 1] = y[i], x[j]


def triangles(u):
    """Front surface of a field in space: vertices (m, 3) in index units and faces (k, 3), by marching tetrahedra.

    The corners of a face run anticlockwise seen from outside ({u <= 0}) in a right-handed order of the axes.
    """
    c = prefilter(u)
    v, axes = widened(c, u)
    number = np.arange(v.size).reshape(v.shape)
    cells = [slice(None, -1), slice(1, None)]
    tets = np.concatenate(
        [np.stack([number[tuple(cells[q] for q in p)].ravel() for p in tet], axis=1) for tet in _KUHN]
    )
    inside = v.ravel()[tets] > 0
    some = inside.any(axis=1) & ~inside.all(axis=1)
    edges = _cut(tets[some], inside[some])
    ends, which = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    nodes = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    a, b = nodes[ends[:, 0]], nodes[ends[:, 1]]
    f = v.ravel()[ends]
    start = a + (b - a) * (f[:, 0] / (f[:, 0] - f[:, 1]))[:, None]
    settled, good = SplineFront(u, (1.0, 1.0, 1.0)).settle(start)
    vertices = np.where(good[:, None], settled, start)
    faces = which.reshape(-1, 3)
    p, q, r = (vertices[faces[:, k]] for k in range(3))
    outward = (b - a)[faces].sum(axis=1)
    flip = (np.cross(q - p, r - p) * outward).sum(axis=1) < 0
    faces[flip] = faces[flip, ::-1]
    return vertices, faces


def _cut(tets, inside):
    """Triangles (k, 3, 2): each corner an edge, inside node first."""
    faces = []
    for count in (1, 2, 3):
        pick = inside.sum(axis=1) == count
        order = np.argsort(~inside[pick], axis=1, kind="stable")
        t = np.take_along_axis(tets[pick], order, axis=1)
        if count == 1:
            corners = [((0, 1), (0, 2), (0, 3))]
        elif count == 3:
            corners = [((0, 3), (1, 3), (2, 3))]
        else:
            corners = [((0, 2), (0, 3), (1, 3)), ((0, 2), (1, 3), (1, 2))]
        faces += [np.stack([t[:, e] for e in corner], axis=1) for corner in corners]
    return np.concatenate(faces)


def components(faces, count):
    """The number of connected components, and that of each of `count` vertices."""
    i, j = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]).T
    return connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(count, count)), directed=False)
