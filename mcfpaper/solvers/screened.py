"""The linearised problem of `newton`: screened diffusion on the cells of a band about a front."""

import numpy as np
from scipy import sparse
from scipy.ndimage import convolve1d
from scipy.sparse.linalg import cg

BAND = 3.0  # half width of the band, in cells
SLAB = 4_000_000  # cells at a time
LEAST_SLOPE = 0.1  # least slope a used in the linear system; below it the step is not certified


def bump(t):
    """Weight across the band, t from -1 to 1; never zero, so that the system stays regular."""
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(t, -1.0, 1.0))) + 1e-6


def neighbours(cells):
    """Pairs of numbers of cells (m, d), one for every axis, that are neighbours along it."""
    lo = cells.min(0)
    strides = np.r_[1, np.cumprod((cells.max(0) - lo + 2)[:0:-1])][::-1]
    number = (cells - lo) @ strides
    order = np.argsort(number)
    number = number[order]
    pairs = []
    for stride in strides:
        at = np.minimum(np.searchsorted(number, number + stride), len(number) - 1)
        found = number[at] == number + stride
        pairs.append((order[found], order[at[found]]))
    return pairs


def symmetric(pairs, values, n):
    """Symmetric sparse matrix with the values at the pairs."""
    i, j = pairs
    return sparse.coo_array((np.r_[values, values], (np.r_[i, j], np.r_[j, i])), (n, n)).tocsr()


class System:
    """The linearised problem on the cells of a band about a front: what Newton's method solves and measures.

    `cells` (m, d), their `distance` from the front, and at the front points next to them c, k, a and, as `rough`, the
    error of the curvature.
    """

    def __init__(self, cells, distance, c, k, a, rough, spacing):
        self.distance, self.c, self.k, self.a, self.spacing = distance, c, k, a, spacing
        self.band, self.n = BAND * max(spacing), len(c)
        self.pairs = neighbours(cells)
        self.weight = bump(distance / self.band)
        mean, slope = average(c, self.weight, cells), np.maximum(average(a, self.weight, cells), LEAST_SLOPE)
        core = np.abs(distance) < 0.5 * self.band
        self.gap = np.abs(mean / slope)[core].max(initial=0.0)
        unseen = average(k * rough, self.weight, cells)
        self.bound = ((np.abs(mean) + unseen) / slope)[core].max(initial=0.0)
        self.least = a[core].min(initial=1.0)
        self.merit = np.sqrt((self.weight * mean**2).sum() / self.weight.sum())

    def update(self):
        """Solve a v - div(k grad v) = c, weighted by `bump`, no flux at the ends: Newton's displacement, outward."""
        off = 0.0
        for (i, j), h in zip(self.pairs, self.spacing, strict=True):
            weight = bump(0.5 * (self.distance[i] + self.distance[j]) / self.band)
            off = off + symmetric((i, j), weight * 0.5 * (self.k[i] + self.k[j]) / h**2, self.n)
        diagonal = self.weight * np.maximum(self.a, LEAST_SLOPE) + off.sum(1)
        scale = 1.0 / np.sqrt(diagonal)
        s = sparse.diags_array(scale)
        v, _ = cg(s @ (sparse.diags_array(diagonal) - off) @ s, scale * self.weight * self.c, rtol=1e-4, maxiter=2000)
        return scale * v


def average(values, weight, cells):
    """Mean of `values` about every cell, over the band, with the weight of a cubic B-spline."""
    cells = cells - cells.min(0) + 2
    shape = cells.max(0) + 3
    thick, out = max(8, min(shape[0], SLAB // int(np.prod(shape[1:])))), np.empty(len(values))
    for start in range(2, shape[0] - 2, thick):  # so that memory does not grow with the box
        x = cells[:, 0]
        given = np.flatnonzero((x >= start - 2) & (x < start + thick + 2))
        wanted = given[(x[given] >= start) & (x[given] < start + thick)]
        sums = []
        for v in (values * weight, weight):
            grid = np.zeros((thick + 4, *shape[1:]))
            grid[(x[given] - start + 2, *cells[given, 1:].T)] = v[given]
            for axis in range(grid.ndim):
                for _ in range(2):
                    grid = convolve1d(grid, [1 / 6, 2 / 3, 1 / 6], axis, mode="constant")
            sums.append(grid[(x[wanted] - start + 2, *cells[wanted, 1:].T)])
        out[wanted] = sums[0] / sums[1]
    return out
