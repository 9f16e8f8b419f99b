"""The smooth step: one minimising movement (theory.md D8), sub-cell accurate and without preferred direction.

`step` follows the front from the old one by Newton's method (`newton`) on the optimality condition of T5 with the closed
form of the force, T4. That finds a local minimiser. Where the topology of the old set leaves room for another one
(necks, gaps, holes or pieces that a step of this tau can close or wipe out), exact minimum cuts on a coarser grid propose
a second start, and the candidate of least energy wins; the empty and the full set are candidates too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import mincut
from mcfpaper.solvers.newton import FLOOR, Problem, relax

DEFAULT_TOL = 5e-3  # cells


@dataclass
class Result:
    """Outcome of a step.

    Attributes
    ----------
    u : ndarray
        Signed distance to the new front, positive inside; -inf (inf) everywhere if the set is empty (full).
    gap : float
        Bound, in length units, on the distance from the front to that of the discrete problem solved: the condition
        c = 0 averaged over about two cells of front (B-spline weights). It is max |c|/a: a front moved outward
        (inward) by it is a super- (sub-) solution of that condition, whose linearisation is an M-matrix if a > 0. What
        it leaves out: the interpolation of f, densities and front between grid points, and minimisers far away.
    certified : bool
        Whether a > 0.1 held at the front, without which `gap` is an estimate.
    iterations : int
    converged : bool
        Whether gap <= tol.
    reason : str
        "empty" or "full" if the step made the set so, "global" if a start other than the old front won.
    """

    u: np.ndarray
    gap: float
    certified: bool
    iterations: int
    converged: bool
    reason: str = ""


def step(f, rho0, rho1, eps, tau, spacing, tol=None, guess=None):
    """One minimising movement of {f > 0} (theory.md D8).

    Parameters
    ----------
    f : ndarray, one to three axes
        Signed distance to the old front, positive inside, or any function that plays its part in T5; all -inf (inf): the
        empty (full) set, which stays.
    rho0, rho1 : ndarray
        Densities per unit volume.
    eps, tau : float
        Budget and time step, length units.
    spacing : tuple of float
    tol : float, optional
        Largest `gap` at exit, length units; 0.005 of the largest spacing by default.
    guess : ndarray, optional
        Level function to start from instead of f.

    Returns
    -------
    Result
    """
    if not (f > 0).any() or np.isposinf(f).all():
        return _trivial(f.shape, bool((f > 0).any()))
    tol = DEFAULT_TOL * max(spacing) if tol is None else tol
    start = f if guess is None else guess
    candidates = []
    if (start > 0).any() and (start <= 0).any():
        candidates.append(_candidate(start, f, rho0, rho1, eps, tau, spacing, tol, fresh=guess is None))
    if not candidates or not (candidates[0].converged and candidates[0].certified) or _doubtful(f, eps, tau, spacing):
        coarse = _coarse(f, rho0, rho1, eps, tau, spacing)
        if (coarse > 0).any() and (coarse <= 0).any():
            candidates.append(_candidate(coarse, f, rho0, rho1, eps, tau, spacing, tol, reason="global"))
        candidates += [_trivial(f.shape, full, "full" if full else "empty") for full in (False, True)]
        energies = [_energy(r.u, f, rho0, rho1, eps, tau, spacing) for r in candidates]
        return candidates[int(np.argmin(energies))]
    return candidates[0]


def _trivial(shape, full, reason=""):
    return Result(np.full(shape, np.inf if full else -np.inf), 0.0, True, 0, True, reason)


def _candidate(w, f, rho0, rho1, eps, tau, spacing, tol, fresh=False, reason=""):
    """The local minimiser that Newton's method finds from `w`."""
    near = np.abs(w) < eps + 16 * max(spacing)
    edges = [near.take(i, axis).any() for axis in range(w.ndim) for i in (0, -1)]
    pad = int(eps / min(spacing)) + 16 if any(edges) else 0
    problem = Problem(f, rho0, rho1, eps, tau, spacing, min(pad, min(w.shape)))
    state, iterations, converged = relax(problem, w, tol, fresh)
    if state is None:
        return Result(np.full(w.shape, -np.inf), 0.0, False, iterations, False, "empty")
    u = redistance(problem.cropped(state.w), spacing)
    return Result(u, float(state.gap), bool(state.least > FLOOR), iterations, converged, reason)


def _doubtful(f, eps, tau, spacing):
    """Whether the level sets of f change topology within the reach of a step.

    A ball of radius 2.31 sqrt(tau) survives a step (O2) and with it, by T6, everything that contains one, so only
    changes nearer to the front matter; gaps narrower than 2 eps attract.
    """
    m = max(1, int(eps / (2.5 * max(spacing))))
    f = f[(slice(None, None, m),) * f.ndim]
    reach = max(2.5 * np.sqrt(tau), eps)
    levels = np.linspace(-reach, reach, 15)
    counts = {(label(f > s)[1], label(f <= s)[1]) for s in levels}
    return len(counts) > 1


def _coarse(f, rho0, rho1, eps, tau, spacing):
    """Level function of the exact minimiser on a coarser lattice, smoothed: right topology, rough shape."""
    m = max(1, int(eps / (2.5 * max(spacing))))
    block = tuple((-n) % m for n in f.shape)
    blocks = []
    for v in (f, rho0, rho1):
        v = np.pad(v, [(0, b) for b in block], mode="edge")
        for axis in range(v.ndim):
            v = v.reshape((*v.shape[:axis], -1, m, *v.shape[axis + 1 :])).mean(axis + 1)
        blocks.append(v)
    g, a, b = blocks
    wide = tuple(m * h for h in spacing)
    cut = mincut.solve(a, b, g * (a + b) / tau, max(eps, max(wide)), wide, side="minimal").minimal
    if cut.all() or not cut.any():
        return np.where(np.ones(f.shape, bool) & bool(cut.all()), np.inf, -np.inf)
    w = gaussian_filter(redistance(np.where(cut, 1.0, -1.0), wide), 1.0)
    points = np.stack(np.meshgrid(*[(np.arange(n) + 0.5) / m - 0.5 for n in f.shape], indexing="ij"), -1)
    return spline.evaluate(spline.prefilter(w), points.reshape(-1, f.ndim)).reshape(f.shape)


def _energy(u, f, rho0, rho1, eps, tau, spacing):
    """D8's energy of {u > 0}, u a signed distance; sub-cell by the share of each cell on either side of a plane."""
    cell = float(np.prod(spacing))
    if np.isinf(u).all():
        return 0.0 if u.flat[0] < 0 else -cell * float((f * (rho0 + rho1)).sum()) / tau
    slopes = np.gradient(u, *spacing) if u.ndim > 1 else [np.gradient(u, *spacing)]
    width = sum(np.abs(s) * h for s, h in zip(slopes, spacing, strict=True)) + 0.1 * min(spacing)

    def share(level):
        return np.clip(0.5 + (u - level) / width, 0.0, 1.0)

    inside = share(0.0)
    layers = (rho0 * (share(-eps) - inside) + rho1 * (inside - share(eps))) / eps
    return cell * float((layers - f * (rho0 + rho1) * inside / tau).sum())
