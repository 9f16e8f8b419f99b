"""The smooth step: one minimising movement (theory.md D8) as a Newton iteration for the front itself."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers.force import Field, force, frame

BAND = 3.0
MARGIN = 11.0
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


def newton_update(d, near, c, k, a, spacing, band):
    """Screened surface diffusion a v - div(k grad v) = c on the band, weighted by a smooth bump of the distance."""
    index = np.full(d.shape, -1)
    index[near] = np.arange(len(c))
    dist = d[near]
    bump = lambda t: 0.5 * (1.0 + np.cos(np.pi * np.clip(t / band, -1.0, 1.0))) + 1e-6
    weight = bump(dist)
    rows, cols, vals = [], [], []
    for axis in range(d.ndim):
        lo = np.take(index, range(d.shape[axis] - 1), axis).ravel()
        hi = np.take(index, range(1, d.shape[axis]), axis).ravel()
        both = (lo >= 0) & (hi >= 0)
        lo, hi = lo[both], hi[both]
        rows.append(lo), cols.append(hi)
        vals.append(bump(0.5 * (dist[lo] + dist[hi])) * 0.5 * (k[lo] + k[hi]) / spacing[axis] ** 2)
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


def step(f, rho0, rho1, eps, tau, spacing, tol=None, guess=None, maxit=30):
    p = Problem(f, rho0, rho1, eps, tau, spacing)
    px = p.px
    tol = 5e-3 * px if tol is None else tol
    w = np.array(f if guess is None else guess, float)
    if np.isinf(f).all() or not (f > 0).any():
        return Result(np.where(f > 0, np.inf, -np.inf), 0.0, True, 0, True)
    trust = 8.0 * px
    for it in range(maxit):
        d, feet = redistance(w, spacing, trust + MARGIN * px, feet=True)
        if np.isinf(d).all():
            return Result(d, 0.0, False, it, True, "empty")
        d = np.clip(d, -trust - MARGIN * px, trust + MARGIN * px)
        near = np.abs(d) < BAND * px
        front = frame(Field(d, spacing), feet[near], spacing)
        c, k, a = p.linearise(front)
        worst = np.abs(c).max()
        gap = worst / max(a.min(), 0.1)
        if DEBUG:
            print(it, "c", worst / px, "rms", np.sqrt(np.mean(c * c)) / px, "a", a.min(), a.max(), "trust", trust / px)
        if gap < tol:
            break
        v = newton_update(d, near, c, k, np.maximum(a, 0.1), spacing, BAND * px)
        eta = np.zeros(d.shape)
        eta[near] = np.clip(v, -trust, trust)
        wide = np.abs(d) < trust + (MARGIN - 1) * px
        coefficients = np.pad(eta, 2, mode="edge")
        coefficients = coefficients.reshape((1,) * (3 - d.ndim) + coefficients.shape)
        w = d.copy()
        w[wide] += spline.evaluate(coefficients, feet[wide])
        trust = min(trust, max(4 * np.abs(v).max(), px))
    return Result(redistance(w, spacing), gap, bool(a.min() > 0.1), it + 1, gap < tol)
