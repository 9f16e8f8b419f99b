"""Sub-cell signed distance to the zero set of a cubic spline.

The distance to {u = 0} takes, for every node, candidate front points near it (`contour.edge_roots`, found by
recursive halving of the grid, so none of them that could win is lost) and minimises |x - y| over the front
inside the box by Newton's method on the spline. Lengths are physical inside the kernels: node i of an axis sits at
i h. Three embedded axes as in `spline`.
"""

import numpy as np

from mcfpaper.kernels._jit import njit
from mcfpaper.kernels.blockstack import LEAF, split, store
from mcfpaper.kernels.closest import foot, over_patches, settle
from mcfpaper.kernels.contour import edge_roots, frames, widened
from mcfpaper.kernels.spline import derivatives, prefilter

REACH = 0.85  # a front point lies within this many cells of an edge root (cube cut by a triangle: 0.82)
FOUND = 16  # closest points remembered per node while others are sought
BEND = 2.0, 0.04  # how much the front may bend within a patch: times the most seen there; 1/cells beyond the seed's
TURN = 2.0, 1e-3  # how far its normal may turn there: times what that bound makes; and by this much more


def redistance(u, spacing, width=None, feet=False, exact=None, part=None):
    """Signed distance to the boundary of {u > 0}, positive inside.

    The closest point is sought among the points of the front inside the box (the union of the cells), front ends on
    the box edge included. Smooth fields: fourth order in the spacing. Where u has kinks the accuracy drops
    to that of the spline's zero set; the sign is always that of u at the cell centre.

    The front is what hangs together with crossings of edges between neighbouring cell centres (at the box edge: its
    faces) of different sign. In noise the spline also vanishes on closed curves that lie within a cell or cross edges
    twice: these do not count, and the distance to them can be several cells less (seen: 6). Fingers of front that
    reach more than 0.85 cells from all such crossings may be missed too (seen: by 0.8 cells).

    Parameters
    ----------
    u : ndarray
        Finite level-set function, one to three axes, or all -inf (empty set) or all +inf (full set).
    spacing : tuple of float
        Size of a cell along each axis.
    width : float, optional
        Cells farther from the front than this (length) get a rough distance, at least `width`, of the right sign.
    feet : bool
        Also return the closest points, (..., d) in index units, not a number beyond `width` and beyond `exact`.
    exact : float, optional
        Cells farther from the front than this get the distance to paraboloids that osculate it at its points on grid
        edges, for a small part of the cost: too small by the third order in a cell's half width at most, and too large
        by no more, but near focal points, where the nearest of these points counts. By default none.
    part : tuple of slice, optional
        The cells whose distances are wanted; all by default.

    Returns
    -------
    ndarray (and ndarray)
        -inf everywhere if no cell centre is inside, +inf if all are.
    """
    u = np.ascontiguousarray(u, dtype=np.float64)
    inside = u > 0
    if inside.all() or not inside.any():
        d = np.where(inside, np.inf, -np.inf)[part or ...]
        return (d, np.full((*d.shape, u.ndim), np.nan)) if feet else d
    return SplineFront(u, spacing).signed(inside, width, feet, exact, part)


class SplineFront:
    """The front of u as a target for distances from arbitrary points; lengths are physical, axes embedded."""

    def __init__(self, u, spacing):
        u = np.ascontiguousarray(u, dtype=np.float64)
        self.shape = (1,) * (3 - u.ndim) + u.shape
        self.h = np.array((float(min(spacing)),) * (3 - u.ndim) + tuple(float(s) for s in spacing))
        self.c = prefilter(u)
        v, axes = widened(self.c, u)
        points = edge_roots(self.c, v, *axes)
        reach = REACH * self.h.max()
        self.normals, bend, around = frames(self.c, points, tuple(self.h), reach)
        self.seeds = points * self.h
        self.box = np.array([(n - 0.5) * h if n > 1 else 0.0 for n, h in zip(self.shape, self.h, strict=True)])
        self.bend = np.minimum(BEND[0] * around, bend + BEND[1] / self.h.max())
        for axis in np.flatnonzero(self.box > 0):  # where the front may end within reach
            x = self.seeds[:, axis]
            self.bend[(x < reach - 0.5 * self.h[axis]) | (x > self.box[axis] - reach)] = np.inf

    def signed(self, inside, width=None, feet=False, exact=None, part=None):
        """As `redistance`; `inside`: where u > 0."""
        d, slices = inside.ndim, part or (slice(None),) * inside.ndim
        lo = np.array([0] * (3 - d) + [s.indices(n)[0] for s, n in zip(slices, inside.shape, strict=True)])
        inside = np.ascontiguousarray(inside[slices])
        shape = (1,) * (3 - d) + inside.shape
        out = np.empty(shape)
        y = np.full((*shape, 3), np.nan) if feet else np.empty((1, 1, 1, 3))
        limits = [np.inf if v is None else float(v) for v in (width, exact)]
        patches = self.patches(exact is not None)
        _distances(self.c, self.h, self.box, patches, lo, inside.reshape(shape), *limits, out, y, feet)
        out = out.reshape(inside.shape)
        return (out, (y / self.h).reshape((*inside.shape, 3))[..., 3 - d :]) if feet else out

    def distances(self, points):
        """Distances (m,) from points (m, 3) to the front inside the box."""
        return _point_distances(self.c, self.h, self.box, points, np.ascontiguousarray(self.patches().T))

    def patches(self, curved=False):
        """Seeds (m, 7): point, outward normal, bound on the curvature within reach, inf at the edge of the box.

        If `curved` also, (m, 13), the entries xx, xy, xz, yy, yz, zz of the derivative of the normal.
        """
        columns = [self.seeds, self.normals, self.bend[:, None]]
        if curved:
            n = self.normals
            _, g, hessian = derivatives(self.c, self.seeds / self.h, self.h)
            hn = np.einsum("mij,mj->mi", hessian, n)
            bent = hessian - n[:, :, None] * hn[:, None] - hn[:, :, None] * n[:, None]
            bent += (n * hn).sum(1)[:, None, None] * n[:, :, None] * n[:, None]
            bent /= -np.linalg.norm(g, axis=1)[:, None, None] - 1e-300
            columns.append(bent[:, [0, 0, 0, 1, 1, 2], [0, 1, 2, 1, 2, 2]])
        return np.concatenate(columns, axis=1)

    def settle(self, points):
        """Points (m, 3) near the front moved onto it; where that fails they stay off it, see the second result."""
        points = points.copy()
        return points, _settle_all(self.c, self.h, self.box, points) < 1e-9 * self.h.min()


def patch_distances(patches, lo, inside, spacing):
    """Distances at the cells from `lo` on, signed by `inside`, to a front known as curved patches (m, 13).

    As those beyond `exact` in `redistance`, everywhere; for three axes.
    """
    h, d = np.asarray(spacing, float), np.empty(inside.shape)
    none = np.empty((1, 1, 1))
    _distances(none, h, h, patches, np.array(lo), inside, np.inf, 0.0, d, np.empty((1, 1, 1, 3)), False)
    return d


@njit
def _point_distances(c, h, box, points, patches):
    out, work, far = np.empty(len(points)), np.empty((FOUND, 8)), np.empty(patches.shape[1])
    for m in range(len(points)):
        x = (points[m, 0], points[m, 1], points[m, 2])
        out[m] = _closest(c, h, box, x, patches, far, np.inf, np.inf, work)
    return out


@njit
def _settle_all(c, h, box, points):
    out = np.empty(len(points))
    for m in range(len(points)):
        out[m] = settle(c, h, box, points[m])
    return out


@njit
def _distances(c, h, box, patches, lo, inside, width, exact, d, y, feet):
    """Halve the cells from `lo` on down to blocks of at most LEAF a side, each with the seeds that can matter in it."""
    reach = REACH * max(h[0], h[1], h[2])
    m = len(patches)
    near = np.empty((patches.shape[1], m))
    side, lists = max(inside.shape[0], inside.shape[1], inside.shape[2]), 2
    while side > LEAF:
        side, lists = (side + 1) // 2, lists + 1
    pool = np.empty(m * lists, np.int64)  # all seeds, and the lists along one path of the recursion
    for s in range(m):
        pool[s] = s
    far = np.empty(m)
    stack = np.empty((256, 8), np.int64)  # block corners, parent's list: start, count
    top = np.int64(0)  # (a literal would be compiled for apart)
    hi = (lo[0] + inside.shape[0], lo[1] + inside.shape[1], lo[2] + inside.shape[2])
    top = store(stack, top, lo[0], lo[1], lo[2], hi[0], hi[1], hi[2], np.int64(0), m)
    work = np.empty((FOUND, 8))
    while top > 0:
        top -= 1
        i0, j0, k0, i1, j1, k1, start, count = stack[top]
        cx, cy, cz = 0.5 * (i0 + i1 - 1) * h[0], 0.5 * (j0 + j1 - 1) * h[1], 0.5 * (k0 + k1 - 1) * h[2]
        radius = np.sqrt((cx - i0 * h[0]) ** 2 + (cy - j0 * h[1]) ** 2 + (cz - k0 * h[2]) ** 2)
        nearest = np.inf
        first = pool[start]
        for s in range(count):
            p = pool[start + s]
            far[s] = (cx - patches[p, 0]) ** 2 + (cy - patches[p, 1]) ** 2 + (cz - patches[p, 2]) ** 2
            if far[s] < nearest:
                nearest, first = far[s], p
        nearest = np.sqrt(nearest)
        if nearest - radius - 2.0 * reach > width:  # a thin finger of front may reach beyond its seeds
            _fill(h, patches[first], lo, inside, width, d, i0, j0, k0, i1, j1, k1)
            continue
        # a node of the block has distance <= nearest + radius, its closest point a seed within reach
        limit = (nearest + 2.0 * radius + reach) ** 2
        end = start + count
        kept = np.int64(0)
        for s in range(count):
            if far[s] <= limit:
                pool[end + kept] = pool[start + s]
                kept += 1
        if max(i1 - i0, j1 - j0, k1 - k0) <= LEAF:
            listed = pool[end : end + kept]
            cand = near[:, : _facing(listed, first, patches, (cx, cy, cz), radius, reach, nearest, near)]
            for i in range(i0, i1):
                for j in range(j0, j1):
                    for k in range(k0, k1):
                        x = (i * h[0], j * h[1], k * h[2])
                        best = _closest(c, h, box, x, cand, far, width, exact, work)
                        p, q, r = i - lo[0], j - lo[1], k - lo[2]
                        d[p, q, r] = max(best, 1e-300) if inside[p, q, r] else -best
                        if feet and best < min(width, exact):
                            y[p, q, r, 0], y[p, q, r, 1], y[p, q, r, 2] = work[0, 0], work[0, 1], work[0, 2]
            continue
        top = split(stack, top, i0, j0, k0, i1, j1, k1, end, kept)


@njit
def _facing(pool, first, patches, x, radius, reach, nearest, out):
    """Copy to out the patches that can hold the closest point y to a node of a block; their number.

    At y the normal points to the node, so the seed's normal misses it by no more than reach and |x - y| times its turn.
    """
    kept = np.int64(0)
    for s in pool:
        p = patches[s]
        vx, vy, vz = x[0] - p[0], x[1] - p[1], x[2] - p[2]
        vn = vx * p[3] + vy * p[4] + vz * p[5]
        miss = radius + reach + (nearest + radius) * (TURN[0] * reach * p[6] + TURN[1])
        if s == first or vx * vx + vy * vy + vz * vz - vn * vn <= miss * miss:
            for q in range(len(p)):
                out[q, kept] = p[q]
            kept += 1
    return kept


@njit
def _fill(h, p, lo, inside, width, d, i0, j0, k0, i1, j1, k1):
    """The distance to one near seed, at least `width`, for a block beyond the band."""
    for i in range(i0, i1):
        for j in range(j0, j1):
            for k in range(k0, k1):
                r = np.sqrt((i * h[0] - p[0]) ** 2 + (j * h[1] - p[1]) ** 2 + (k * h[2] - p[2]) ** 2)
                at = (i - lo[0], j - lo[1], k - lo[2])
                d[at] = max(r, width) if inside[at] else -max(r, width)


@njit
def _closest(c, h, box, x, cand, r2, width, exact, found):
    """Distance from x to the front; found[0, :3] receives the closest point. Scratch: r2, a number for each candidate.

    Newton from the nearest seed, then from every seed whose patch of front (a disc of radius `reach`, bent) can come
    nearer and that is not on a piece already searched.
    """
    hmax = max(h[0], h[1], h[2])
    reach = REACH * hmax
    px, py, pz, nx, ny, nz, bend = cand[0], cand[1], cand[2], cand[3], cand[4], cand[5], cand[6]
    for s in range(px.size):
        r2[s] = (x[0] - px[s]) ** 2 + (x[1] - py[s]) ** 2 + (x[2] - pz[s]) ** 2
    near, first = np.inf, 0
    for s in range(px.size):
        if r2[s] < near:
            near, first = r2[s], s
    near = np.sqrt(near)
    if near - 2.0 * reach > width:
        return max(near, width)
    if near > exact:
        return over_patches(x, cand, r2, near, reach)
    best = foot(c, h, box, x, (px[first], py[first], pz[first]), near, found[0])
    n = np.int64(1)
    for s in range(px.size):
        if r2[s] > (best + reach) ** 2:
            continue
        vn = (x[0] - px[s]) * nx[s] + (x[1] - py[s]) * ny[s] + (x[2] - pz[s]) * nz[s]
        slack = 0.5 * bend[s] * reach * reach
        if _farther(r2[s], vn * vn, reach, best + slack):
            continue
        p = (px[s], py[s], pz[s])
        if _searched(found, n, p, (nx[s], ny[s], nz[s]), hmax):
            continue
        m = min(n, FOUND - 1)
        r = foot(c, h, box, x, p, np.sqrt(r2[s]), found[m])
        n = m + 1
        if r < best:
            best = r
            for q in range(8):
                found[0, q], found[m, q] = found[m, q], found[0, q]
    return best


@njit
def _farther(r2, vn2, reach, best):
    """Whether a disc of radius reach at a seed, r from x and |vn| along its axis, is farther than best from x."""
    vt2, beyond = r2 - vn2, r2 - best * best
    if vt2 <= reach * reach:
        return beyond >= vt2
    beyond += reach * reach  # (vt - reach)^2 + vn^2 >= best^2, without roots
    return beyond > 0.0 and beyond * beyond >= 4.0 * reach * reach * vt2


@njit
def _searched(found, n, p, normal, hmax):
    """Whether the seed p lies on the smooth piece around a closest point already found."""
    for m in range(n):
        ex, ey, ez = p[0] - found[m, 0], p[1] - found[m, 1], p[2] - found[m, 2]
        aligned = found[m, 3] * normal[0] + found[m, 4] * normal[1] + found[m, 5] * normal[2]
        if ex * ex + ey * ey + ez * ez < 4.0 * hmax * hmax and aligned > 0.8:
            return True
    return False
