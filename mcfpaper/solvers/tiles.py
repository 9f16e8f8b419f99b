"""Fields in the plane known on tiles: a front's surroundings without the grid.

The grid is cut into tiles of TILE x TILE cells from its first cell on, whatever chunks it is stored in. What is
computed for a tile needs the values on a window, the tile and MARGIN cells about it: cubic splines forget what lies
beyond to 0.27^MARGIN = 8e-10. So results do not depend on how a field is stored, to the last bit.
"""

import numpy as np
from scipy.spatial import cKDTree

from mcfpaper.kernels import curvedistance, spline, surfaces
from mcfpaper.kernels._jit import njit
from mcfpaper.solvers.curves import STEP, Curve, ends

TILE, MARGIN = 128, 16
JOIN = 1e-3  # cells: how far ends of a curve found in two tiles may lie apart


class Tiling:
    """The tiles of a grid, TILE cells a side by default: number t counts them row by row."""

    def __init__(self, shape, side=None, margin=MARGIN):
        self.shape, self.side, self.margin = tuple(int(n) for n in shape), side or TILE, margin
        self.counts = tuple(-(-n // self.side) for n in self.shape)
        self.size = int(np.prod(self.counts))

    def box(self, t, margin=0):
        """First cell and the one after the last along each axis, with a margin as far as the grid reaches."""
        lo = [self.side * int(k) for k in np.unravel_index(t, self.counts)]
        hi = [min(a + self.side, n) for a, n in zip(lo, self.shape, strict=True)]
        lo, hi = [max(a - margin, 0) for a in lo], [min(b + margin, n) for b, n in zip(hi, self.shape, strict=True)]
        return tuple(lo), tuple(hi)

    def meeting(self, lo, hi):
        """Tiles that cells from lo to before hi lie in."""
        axes = [np.arange(a // self.side, -(-b // self.side)) for a, b in zip(lo, hi, strict=True)]
        return np.ravel_multi_index(np.meshgrid(*axes, indexing="ij"), self.counts).ravel().tolist()

    def part(self, t, nodes=False):
        """Slices of the window's widened lattice: cells (or nodes) from the tile's first node to the next tile's."""
        out = []
        for start, a, b in zip(self.box(t, self.margin)[0], *self.box(t), strict=True):
            out.append(slice(0 if a == 0 else a + 1 - start, b + 1 - start + nodes))
        return tuple(out)

    def core(self, t):
        """Slices of the tile in its window."""
        return tuple(slice(a - s, b - s) for s, a, b in zip(self.box(t, self.margin)[0], *self.box(t), strict=True))

    def cells(self):
        """Number of cells (size,) of the tiles' parts, half cells at the box edge included."""
        boxes = np.array([self.box(t) for t in range(self.size)], float)
        lo, hi = np.where(boxes[:, 0] == 0, -0.5, boxes[:, 0]), np.minimum(boxes[:, 1], np.array(self.shape) - 0.5)
        return (hi - lo).prod(1)

    def numbers(self, points):
        """Tiles of index points (m, d) in the box."""
        cells = np.clip(np.rint(points).astype(int), 0, np.array(self.shape) - 1) // self.side
        return np.ravel_multi_index(cells.T, self.counts)

    def centres(self):
        """Index points (size, d) in the middle of the tiles."""
        boxes = np.array([self.box(t) for t in range(self.size)], float)
        return 0.5 * (boxes[:, 0] + boxes[:, 1] - 1.0)


def coefficients(tiling, t, window):
    """Those of the spline that a tile needs, in a square (TILE + 4, TILE + 4)."""
    rows, columns = tiling.core(t)
    c = spline.prefilter(window)[0, rows.start : rows.stop + 4, columns.start : columns.stop + 4]
    return np.pad(c, [(0, TILE + 4 - n) for n in c.shape])


def lines(tiling, t, window):
    """Pieces of the front of a level function in a tile, in index units of the grid."""
    found = surfaces.curves(window, tiling.part(t, nodes=True))
    return [line + np.array(tiling.box(t, MARGIN)[0]) for line in found]


@njit
def _values(stack, row, points):
    out = np.empty(len(row))
    for m in range(len(row)):
        out[m] = spline.value(stack[row[m]], 0.0, points[m, 0], points[m, 1])
    return out


@njit
def _jets(stack, row, points):
    out = np.empty((len(row), 3))
    for m in range(len(row)):
        w = spline.jet(stack[row[m]], 0.0, points[m, 0], points[m, 1])
        out[m, 0], out[m, 1], out[m, 2] = w[0], w[2], w[3]
    return out


class Tiles:
    """Spline coefficients of a field on the tiles asked for so far; `fetch` adds those of a list of tiles."""

    def __init__(self, tiling, fetch):
        self.tiling, self.fetch = tiling, fetch
        self.stack = np.empty((0, 1, TILE + 4, TILE + 4))
        self.row = np.full(tiling.size, -1)

    def add(self, found):
        """Remember the coefficients of tiles, a dict."""
        new = {t: c for t, c in found.items() if self.row[t] < 0}
        if new:
            self.row[list(new)] = len(self.stack) + np.arange(len(new))
            self.stack = np.concatenate([self.stack, np.stack(list(new.values()))[:, None]])

    def keep(self, numbers):
        """Forget all tiles but these."""
        numbers = np.intersect1d(numbers, np.flatnonzero(self.row >= 0))
        self.stack = self.stack[self.row[numbers]]
        self.row[:] = -1
        self.row[numbers] = np.arange(len(numbers))

    def need(self, numbers):
        """Fetch what is missing of these tiles."""
        missing = np.unique(numbers[self.row[numbers] < 0])
        if len(missing):
            self.fetch(missing.tolist())

    def _local(self, points):
        points = np.clip(points, -0.5, np.array(self.tiling.shape) - 0.5)
        t = self.tiling.numbers(points)
        self.need(t)
        return self.row[t], points - TILE * np.stack(np.divmod(t, self.tiling.counts[1]), 1)

    def values(self, points):
        """The spline at index points (m, 2)."""
        row, local = self._local(points)  # which may add to the stack
        return _values(self.stack, row, local)

    def slopes(self, points, spacing):
        """Values (m,) and gradients (m, 2) per length unit."""
        row, local = self._local(points)
        out = _jets(self.stack, row, local)
        return out[:, 0], out[:, 1:] / spacing


class CurveField:
    """Signed distance to curves (`curvefront.CurveFront.pieces`) as a function on windows of the grid."""

    ndim = 2

    def __init__(self, pieces, shape, spacing):
        self.pieces, self.shape, self.spacing = pieces, tuple(shape), tuple(float(h) for h in spacing)
        self._tree = None

    def __getstate__(self):
        return self.__dict__ | {"_tree": None}

    def nearest(self, points):
        """Distances (m,) of physical points to the samples, and their numbers."""
        if self._tree is None:
            from sklearn.neighbors import BallTree  # far from a curve 10 times as fast as the kd-tree of scipy

            self._tree = BallTree(self.pieces[0][:, 0], leaf_size=16)
        distances, numbers = self._tree.query(points)
        return distances[:, 0], numbers[:, 0]

    def __call__(self, lo, hi):
        """Values on the cells from lo to before hi."""
        h, x = np.array(self.spacing), self.pieces[0][:, 0]
        nodes = curvedistance.seed_points(lo, hi, h)
        seeds = self.nearest(nodes.reshape(-1, 2))[1].reshape(nodes.shape[:2])
        reach = curvedistance.REACH + 1
        local = np.flatnonzero(((x > (np.array(lo) - reach) * h) & (x < (np.array(hi) + reach) * h)).all(1))
        shape = tuple(b - a for a, b in zip(lo, hi, strict=True))
        return curvedistance.signed_distances(tuple(lo), shape, self.spacing, local, seeds, *self.pieces)

    def at(self, points):
        """Values at index points (m, 2)."""
        x = points * np.array(self.spacing)
        return curvedistance.distances(x, self.nearest(x)[1], *self.pieces)

    def near(self, tiling, width):
        """Tiles with cells nearer than `width` (length) to the curves, and whether each of the others is inside."""
        h = np.array(self.spacing)
        centres = tiling.centres()
        reach = 0.5 * TILE * np.sqrt((h * h).sum()) + STEP * h.min()
        close = self.nearest(centres * h)[0] < width + reach
        return close, self.at(centres) > 0


class Refined:
    """The spline through values on blocks of m x m cells as a function on windows of the grid."""

    def __init__(self, values, m):
        self.c, self.m = spline.prefilter(values), m

    def __call__(self, lo, hi):
        """Values on the cells from lo to before hi."""
        axes = [(np.arange(a, b) + 0.5) / self.m - 0.5 for a, b in zip(lo, hi, strict=True)]
        points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
        return spline.evaluate(self.c, points.reshape(-1, 2)).reshape(points.shape[:2])

    def near(self, tiling):
        """Tiles where it can be zero: a spline lies between the least and the largest coefficient about it."""
        out = []
        for t in range(tiling.size):
            rows, columns = (slice(a // self.m, b // self.m + 6) for a, b in zip(*tiling.box(t), strict=True))
            c = self.c[0, rows, columns]
            if c.min() <= 0.0 <= c.max():
                out.append(t)
        return out


class Crop:
    """Values on a part of the grid, from `corner` on, as a function on windows; beyond it those at its edge."""

    def __init__(self, values, corner):
        self.values, self.corner = values, corner

    def __call__(self, lo, hi):
        """Values on the cells from lo to before hi."""
        axes = [
            np.clip(np.arange(a, b) - c, 0, n - 1)
            for a, b, c, n in zip(lo, hi, self.corner, self.values.shape, strict=True)
        ]
        return self.values[np.ix_(*axes)]

    def near(self, tiling):
        """Tiles that it meets."""
        ends = [c + n for c, n in zip(self.corner, self.values.shape, strict=True)]
        boxes = (tiling.box(t) for t in range(tiling.size))
        meets = [all(a < e and b > c for a, b, c, e in zip(*box, self.corner, ends, strict=True)) for box in boxes]
        return np.flatnonzero(meets)


def joined(pieces, shape):
    """Whole curves from their pieces in tiles, which run on where another begins; None if ends are left over."""
    out = [p for p in pieces if (p[0] == p[-1]).all()]
    open_ = [p for p in pieces if not (p[0] == p[-1]).all()]
    starts, ends = (np.array([p[k] for p in open_]).reshape(-1, 2) for k in (0, -1))
    after = np.full(len(open_), -1)
    if open_:
        pairs = cKDTree(ends).sparse_distance_matrix(cKDTree(starts), JOIN, output_type="coo_matrix")
        free = np.ones(len(open_), bool)
        for k in np.argsort(pairs.data, kind="stable"):
            i, j = pairs.row[k], pairs.col[k]
            if after[i] < 0 and free[j]:
                after[i], free[j] = j, False
        for x in (starts[free], ends[after < 0]):
            if not _at_wall(x, shape).all():
                return None
        heads = [*np.flatnonzero(free), *range(len(open_))]  # those that begin at a wall first
        todo = np.ones(len(open_), bool)
        for i in heads:
            chain = []
            while i >= 0 and todo[i]:
                todo[i] = False
                chain.append(open_[i][min(len(chain), 1) :])
                i = after[i]
            if chain:
                line = np.concatenate(chain)
                if i >= 0:
                    line[-1] = line[0]
                out.append(line)
    return out


def _at_wall(x, shape):
    return ((np.abs(x + 0.5) < 1e-9) | (np.abs(x - np.array(shape) + 0.5) < 1e-9)).any(1)


def polygon(line, slopes, shape, h):
    """As `curves.fitted` for a line that is too short for it: a curve through its corners."""
    walls = ends(line, shape, h)
    corners = line[np.r_[True, np.sqrt((np.diff(line, axis=0) ** 2).sum(1)) > 1e-6]]
    corners = corners if walls else corners[:-1]
    return Curve(corners * h, walls, mirrored=False).turned(slopes(corners)[1])
