"""Newton's method for the front of one minimising movement (theory.md D8).

The unknown is the front. At a front point y the optimality condition of T5 on the level set u = 0 reads c(y) = 0,

    c = f - (tau/rho) p_eps,   p_eps in closed form (`force`),

a length: positive where the set should grow. A front moved outward by v(y) changes c by -a v + div(k grad v), with a
the derivative of c across parallel fronts and k = tau/rho times the mass pushed to the front: a screened diffusion on
the front, solved on a band of cells with the weight of a smooth bump of the distance (a symmetric M-matrix). The front
is carried by a level function that is redistanced after every move.
"""

import numpy as np
from scipy import sparse
from scipy.ndimage import convolve1d
from scipy.sparse.linalg import cg

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers.force import Field, force, frame
from mcfpaper.solvers.rays import open_shares

BAND = 3.0  # half width of the band, in cells
WIDTH = 12.0  # exact distances up to here: a spline forgets the kink there to 0.27^12
FLOOR = 0.1  # least slope a used in the linear system; below it the step is not certified


class Problem:
    """Data of one step as splines, in length units.

    A front near the box edge is treated on a box widened by `pad` reflected cells: the sup over ball ∩ box is the sup
    over the ball of the evenly reflected function, so the natural boundary condition needs no case of its own. Level
    functions passed to and from the solver are then `reflected` and `cropped`.
    """

    def __init__(self, f, rho0, rho1, eps, tau, spacing, pad=0):
        self.spacing = np.asarray(spacing, float)
        self.px = float(max(spacing))
        self.eps, self.tau, self.pad = float(eps), float(tau), pad
        self.data = f, rho0, rho1
        f, rho0, rho1 = (np.pad(v, pad, mode="symmetric") for v in (f, rho0, rho1))
        self.shape = f.shape
        self.size = float(np.sqrt((np.array(f.shape) ** 2 * self.spacing**2).sum()))
        self.f = Field(f, spacing)
        self.rho0, self.rho1 = Field(rho0, spacing, 0.0), Field(rho1, spacing, 0.0)
        self.floor = 1e-12 * float(np.max(rho0 + rho1)) + 1e-300

    def padded(self, pad):
        """The same problem on a box widened by `pad` reflected cells."""
        return Problem(*self.data, self.eps, self.tau, tuple(self.spacing), pad) if pad else self

    def cropped(self, w):
        """The part of a level function inside the true box."""
        inner = slice(self.pad, -self.pad) if self.pad else slice(None)
        return w[(inner,) * w.ndim]

    def reflected(self, w):
        """A level function, cropped or not, evenly reflected at the box edge."""
        w = w if w.shape != self.shape else self.cropped(w)
        return np.pad(w, self.pad, mode="symmetric") if self.pad else w

    def inner(self, cells):
        """Of `cells`, those not near the outer edge of the reflected margin."""
        lo = max(self.pad - 6, 0)
        return cells[((cells >= lo) & (cells < np.array(self.shape) - lo)).all(1)]

    def distance(self, front):
        """Signed distance to a front of curves."""
        return front.distance(self.shape)

    def drive(self, front):
        """c = f - (tau/rho) p, and k."""
        self.open(front)
        r = force(front, self.rho0, self.rho1, self.eps)
        rate = self.rate(front)
        return self.f(front.points) - rate * r.p, rate * r.pushed

    def open(self, front):
        """The shares of the mass at distance eps that come to the points of `front`."""
        if front.open is None:
            front.open = open_shares(front, self.shape, self.spacing, self.eps, front.smear or 0.5 * self.px)
        return front.open

    def rate(self, front):
        """tau/rho"""
        return self.tau / np.maximum(self.rho0(front.points) + self.rho1(front.points), self.floor)

    def linearise(self, front):
        """c, k and a at the points of `front`."""
        c, k = self.drive(front)
        s = 0.5 * self.px
        up, _ = self.drive(front.shifted(s, self.spacing))
        down, _ = self.drive(front.shifted(-s, self.spacing))
        return c, k, (up - down) / (2.0 * s)


def bump(t):
    """Weight across the band, t from -1 to 1; never zero, so that the system stays regular."""
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(t, -1.0, 1.0))) + 1e-6


def screened_diffusion(shape, cells, distance, c, k, a, spacing):
    """Solve a v - div(k grad v) = c on the band cells, weighted by `bump`, no flux at the ends."""
    band = BAND * max(spacing)
    n = len(c)
    index = np.full(shape, -1, np.int32)
    index[tuple(cells.T)] = np.arange(n)
    rows, cols, values = [], [], []
    for axis in range(len(shape)):
        lo = np.flatnonzero(cells[:, axis] < shape[axis] - 1)
        beyond = cells[lo].copy()
        beyond[:, axis] += 1
        hi = index[tuple(beyond.T)]
        lo, hi = lo[hi >= 0], hi[hi >= 0]
        weight = bump(0.5 * (distance[lo] + distance[hi]) / band)
        rows, cols = [*rows, lo], [*cols, hi]
        values.append(weight * 0.5 * (k[lo] + k[hi]) / spacing[axis] ** 2)
    rows, cols, values = map(np.concatenate, (rows, cols, values))
    off = sparse.coo_array((np.r_[values, values], (np.r_[rows, cols], np.r_[cols, rows])), (n, n)).tocsr()
    weight = bump(distance / band)
    diagonal = weight * a + off.sum(1)
    scale = 1.0 / np.sqrt(diagonal)
    s = sparse.diags_array(scale)
    v, _ = cg(s @ (sparse.diags_array(diagonal) - off) @ s, scale * weight * c, rtol=1e-4, maxiter=2000)
    return scale * v


class Front:
    """The front {w = 0} seen from the cells about it: first-order distances, points on it, their frames."""

    def __init__(self, w, problem, reach):
        self.w, self.reach = w, reach
        h = problem.spacing
        self.field = Field(w, h)
        self.cells = problem.inner(np.argwhere(np.abs(w) < reach))
        x = self.cells.astype(float)
        value, g, _ = spline.derivatives(self.field.coefficients, x, h)
        g2 = (g * g).sum(1) + 1e-300
        self.slope = np.sqrt(g2)
        self.distance = value / self.slope
        self.feet = x - (value / g2)[:, None] * g / h
        self.near = np.abs(self.distance) < BAND * problem.px
        y = self.feet[self.near]
        for _ in range(3):
            value, g, _ = spline.derivatives(self.field.coefficients, y, h)
            y = y - (value / ((g * g).sum(1) + 1e-300))[:, None] * g / h
        self.frame = frame(self.field, y, h)

    def moved(self, v, px):
        """Level function of the front moved outward by `v` (at the near cells), unchanged far from it."""
        eta = np.zeros(self.w.shape)
        eta[tuple(self.cells[self.near].T)] = v
        # B-spline coefficients, not values: second differences of coefficients are the spline's second derivatives
        coefficients = np.pad(eta, 2, mode="edge")
        coefficients = coefficients.reshape((1,) * (3 - eta.ndim) + coefficients.shape)
        size = np.abs(v).max()
        fade = np.clip((np.abs(self.distance) - size - 4 * px) / (2 * size + 6 * px), 0, 1)
        w = self.w.copy()
        shift = spline.evaluate(coefficients, self.feet) * self.slope
        w[tuple(self.cells.T)] += shift * np.cos(0.5 * np.pi * fade) ** 2
        return w


def average(values, weight, cells, shape):
    """Mean of `values` about every cell, over the band, with the weight of a cubic B-spline."""
    lo = np.maximum(cells.min(0) - 2, 0)
    box = tuple(slice(p, q) for p, q in zip(lo, cells.max(0) + 3, strict=True))
    sums = []
    for v in (values * weight, weight):
        grid = np.zeros(shape)
        grid[tuple(cells.T)] = v
        grid = grid[box]
        for axis in range(len(shape)):
            for _ in range(2):
                grid = convolve1d(grid, [1 / 6, 2 / 3, 1 / 6], axis, mode="constant")
        sums.append(grid[tuple((cells - lo).T)])
    return sums[0] / sums[1]


class State:
    """A front and everything that Newton's method needs to know there."""

    def __init__(self, w, problem, fresh=False):
        px = problem.px
        self.w = w
        d = w if fresh else redistance(w, problem.spacing, WIDTH * px)
        self.front = Front(np.clip(d, -WIDTH * px, WIDTH * px), problem, WIDTH * px)
        near = self.front.near
        self.cells, self.distance = self.front.cells[near], self.front.distance[near]
        self.c, self.k, self.a = problem.linearise(self.front.frame)
        self.empty = len(self.c) == 0
        if self.empty:
            self.gap = self.merit = np.inf
            return
        weight = bump(self.distance / (BAND * px))
        mean = average(self.c, weight, self.cells, w.shape)
        slope = np.maximum(average(self.a, weight, self.cells, w.shape), FLOOR)
        core = np.abs(self.distance) < 0.5 * BAND * px
        self.gap = np.abs(mean / slope)[core].max(initial=0.0)
        self.least = self.a[core].min(initial=1.0)
        self.merit = np.sqrt((weight * mean**2).sum() / weight.sum())

    def update(self, problem):
        """Newton's displacement, outward, at the band cells."""
        a = np.maximum(self.a, FLOOR)
        return screened_diffusion(self.w.shape, self.cells, self.distance, self.c, self.k, a, problem.spacing)

    def moved(self, v, problem):
        """Level function of the front moved outward by `v`; moves of many cells need the front's wide surroundings."""
        size, px = np.abs(v).max(), problem.px
        if size < px:
            return self.front.moved(v, px)
        wide = Front(self.w, problem, 3 * size + 12 * px)
        values = np.zeros(self.w.shape)
        values[tuple(self.cells.T)] = v
        return wide.moved(values[tuple(wide.cells[wide.near].T)], px)


def relax(problem, w, tol, fresh=False, limit=40):
    """Iterate from the level function `w` (`fresh`: already a signed distance).

    Returns
    -------
    State, int, bool
        The last front (None if it vanished), the number of linear systems solved, whether its gap is within `tol`.
    """
    now = State(problem.reflected(w), problem, fresh)
    best, stalled = now.merit, 0
    for iteration in range(limit):
        if now.gap <= tol or stalled > 3 or now.empty:
            break
        v = now.update(problem)
        v *= min(1.0, 0.5 / max((np.abs(v) * np.abs(now.front.frame.bends).max(1)).max(), 1e-300))
        for t in (1.0, 0.5, 0.25):
            w = problem.reflected(now.moved(t * v, problem))
            if not (w > 0).any() or not (w <= 0).any():
                return None, iteration + 1, False
            new = State(w, problem)
            if new.merit < now.merit:
                break
        now = new
        stalled = 0 if now.merit < 0.9 * best else stalled + 1
        best = min(best, now.merit)
    if now.empty:
        return None, iteration, False
    if now.gap <= tol:  # one more move is nearly free, and squares what is left of the smooth part of the error
        now.w = problem.reflected(now.moved(now.update(problem), problem))
    return now, iteration, now.gap <= tol
