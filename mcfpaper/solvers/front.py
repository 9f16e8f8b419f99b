"""The smooth step: one minimising movement (theory.md D8) as a Newton iteration for the front itself."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.ndimage import convolve1d
from scipy.sparse.linalg import cg

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers.force import Field, force, frame

BAND = 3.0
WIDTH = 12.0
DEBUG = False


@dataclass
class Result:
    u: np.ndarray
    gap: float
    certified: bool
    iterations: int
    converged: bool
    reason: str = ""


class Problem:
    def __init__(self, f, rho0, rho1, eps, tau, spacing):
        self.spacing = np.asarray(spacing, float)
        self.px = float(max(spacing))
        self.eps, self.tau = float(eps), float(tau)
        self.f = Field(f, spacing)
        self.rho0, self.rho1 = Field(rho0, spacing, 0.0), Field(rho1, spacing, 0.0)
        self.floor = 1e-12 * float(np.max(rho0 + rho1))

    def drive(self, front):
        """c = f - (tau/rho) p: positive where the set should grow."""
        r = force(front, self.rho0, self.rho1, self.eps)
        rho = np.maximum(self.rho0(front.points) + self.rho1(front.points), self.floor)
        return self.f(front.points) - self.tau / rho * r.p, self.tau / rho * r.pushed

    def linearise(self, front):
        c, k = self.drive(front)
        s = 0.5 * self.px
        up, _ = self.drive(front.shifted(s, self.spacing))
        down, _ = self.drive(front.shifted(-s, self.spacing))
        return c, k, (up - down) / (2 * s)


def newton_update(shape, cells, dist, c, k, a, spacing, band):
    """Screened surface diffusion a v - div(k grad v) = c on the band, weighted by a smooth bump of the distance."""
    index = np.full(shape, -1)
    index[tuple(cells.T)] = np.arange(len(c))
    weight = bump(dist / band)
    rows, cols, vals = [], [], []
    for axis in range(len(shape)):
        lo = np.take(index, range(shape[axis] - 1), axis).ravel()
        hi = np.take(index, range(1, shape[axis]), axis).ravel()
        both = (lo >= 0) & (hi >= 0)
        lo, hi = lo[both], hi[both]
        rows.append(lo), cols.append(hi)
        vals.append(bump(0.5 * (dist[lo] + dist[hi]) / band) * 0.5 * (k[lo] + k[hi]) / spacing[axis] ** 2)
    rows, cols, vals = map(np.concatenate, (rows, cols, vals))
    n = len(c)
    off = sparse.coo_array((np.r_[vals, vals], (np.r_[rows, cols], np.r_[cols, rows])), (n, n)).tocsr()
    diagonal = weight * a + off.sum(1)
    A = sparse.diags_array(diagonal).tocsr() - off
    scale = 1.0 / np.sqrt(diagonal)
    S = sparse.diags_array(scale)
    it = [0]

    def cb(x):
        it[0] += 1

    v, _ = cg(S @ A @ S, scale * weight * c, rtol=1e-4, maxiter=2000, callback=cb)
    if DEBUG:
        print("   cg", it[0], n)
    return scale * v


class Front:
    """The front {w = 0} seen from the cells about it: first-order distances, points on it, their frames."""

    def __init__(self, w, problem, reach):
        self.w, self.reach = w, reach
        h = problem.spacing
        self.field = Field(w, h)
        self.cells = np.argwhere(np.abs(w) < reach)
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
    box = tuple(slice(p, q) for p, q in zip(lo, cells.max(0) + 3))
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


def bump(t):
    return 0.5 * (1.0 + np.cos(np.pi * np.clip(t, -1.0, 1.0))) + 1e-6


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
        weight = bump(self.distance / (BAND * px))
        self.mean = average(self.c, weight, self.cells, w.shape)
        self.slope = np.maximum(average(self.a, weight, self.cells, w.shape), 0.1)
        core = np.abs(self.distance) < 1.5 * px
        self.gap = np.abs(self.mean / self.slope)[core].max(initial=0.0)
        self.merit = np.sqrt((weight * self.mean**2).sum() / weight.sum())

    def update(self, problem):
        px = problem.px
        return newton_update(
            self.w.shape, self.cells, self.distance, self.c, self.k, np.maximum(self.a, 0.1), problem.spacing, BAND * px
        )

    def moved(self, v, problem):
        size, px = np.abs(v).max(), problem.px
        if size < px:
            return self.front.moved(v, px)
        wide = Front(self.w, problem, 3 * size + 12 * px)
        values = np.zeros(self.w.shape)
        values[tuple(self.cells.T)] = v
        return wide.moved(values[tuple(wide.cells[wide.near].T)], px)


def step(f, rho0, rho1, eps, tau, spacing, tol=None, guess=None, maxit=40):
    p = Problem(f, rho0, rho1, eps, tau, spacing)
    px = p.px
    tol = 5e-3 * px if tol is None else tol
    w = np.array(f if guess is None else guess, float)
    if np.isinf(f).all() or not (f > 0).any():
        return Result(np.where(f > 0, np.inf, -np.inf), 0.0, True, 0, True)
    now = State(w, p, fresh=guess is None)
    for it in range(maxit):
        if DEBUG:
            print(it, "c", np.abs(now.c).max() / px, "gap", now.gap / px, "merit", now.merit / px, "a", now.a.min(), now.a.max())
        if now.gap <= tol:
            break
        v = now.update(p)
        v *= min(1.0, 0.5 / max((np.abs(v) * (np.abs(now.front.frame.bends).max(1))).max(),1e-300))
        for t in (1.0, 0.5, 0.25, 0.125):
            w = now.moved(t * v, p)
            if not (w > 0).any():
                return Result(np.full(w.shape, -np.inf), 0.0, False, it, True, "empty")
            new = State(w, p)
            if DEBUG: print('   t',t,new.merit/px)
            if new.merit < now.merit:
                break
        now = new
    return Result(redistance(now.w, spacing), now.gap, bool(now.a.min() > 0.1), it + 1, now.gap <= tol)
