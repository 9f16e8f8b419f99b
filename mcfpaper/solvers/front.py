"""The smooth step: one minimising movement (theory.md D8), sub-cell accurate and without preferred direction.

`step` follows the front from the old one by Newton's method on the optimality condition of T5 with the closed form of
the force, T4: in the plane on curves (`curves`), with the method on the grid (`newton`) to get near where that fails;
on a line and in space on the grid. That finds a local minimiser. Where the topology of the old set leaves room for
another one (necks, gaps, holes or pieces that a step of this tau can close or wipe out), an exact minimum cut on a
coarser grid proposes a second start, and the candidate of least energy wins; the empty and the full set are candidates
too.
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, label

from mcfpaper.kernels import spline
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import barriers, curves, mincut
from mcfpaper.solvers.force import Field
from mcfpaper.solvers.newton import FLOOR, Problem, relax

DEFAULT_TOL = 5e-3  # cells
ROUGH = 0.2  # cells: how near the method on the grid has to come for that on curves to take over


@dataclass
class Result:
    """Outcome of a step.

    Attributes
    ----------
    u : ndarray
        Signed distance to the new front, positive inside; -inf (inf) everywhere if the set is empty (full).
    gap : float
        Bound, in length units, on the distance from the front to that of the problem solved: c = 0 (`newton`) with the
        force in closed form (T4) and f and the densities as cubic splines through their grid values, mirrored at the
        walls. In the plane two fronts, within `gap` of this one on either side, were checked to be a super- and a
        subsolution (`barriers.certify`): a solution lies between them, and no other is near. Left out: what happens
        between the points where that is checked, a quarter of a cell apart or less; the error of the splines; and
        minimisers far away. On a line and in space: max |c|/a, with c averaged over about two cells of front.
    certified : bool
        Whether the hypotheses were checked to hold: eps |curvature| < 1, the points y ± eps n at distance eps from
        the front, so that the closed form is right, and a maximum principle for the linearised problem (on a line and
        in space: a > 0.1). Without them `gap` is an estimate.
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
        Signed distance to the old front, positive inside, or any function that plays its part in T5; all -inf (inf):
        the empty (full) set, which stays.
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
    problem = (f, rho0, rho1, eps, tau, spacing)
    first = None
    if (start > 0).any() and (start <= 0).any():
        first = _candidate(start, *problem, tol, fresh=guess is None)
        if first.converged and first.certified and not _doubtful(f, eps, tau, spacing):
            return first
    return _best(first, *problem, tol)


def _best(first, f, rho0, rho1, eps, tau, spacing, tol):
    """Of the local minimisers found from several starts, and the empty and the full set, the one of least energy."""
    problem = (f, rho0, rho1, eps, tau, spacing)
    candidates = [_trivial(f.shape, False, "empty"), _trivial(f.shape, True, "full")]
    if first is not None and np.isfinite(first.u).all():
        candidates.append(first)
    starts = [_coarse(*problem)]
    if first is None or not first.converged:
        starts.append(_predictor(*problem))
    for w in starts:
        if (w > 0).any() and (w <= 0).any():
            r = _candidate(w, *problem, tol, reason="global")
            if np.isfinite(r.u).all():
                candidates.append(r)
    scores = []
    for r in candidates:
        energy, perimeter = _energy(r.u, *problem)
        # near ties go to what is known best: quadrature errors are below 1e-4 of the perimeter
        scores.append(energy + perimeter * ((0.0 if r.converged else 1e-2) + (1e-4 if r.reason == "global" else 0.0)))
    return candidates[int(np.argmin(scores))]


def _trivial(shape, full, reason=""):
    # a set that a step emptied or filled was chosen by comparing energies, which proves nothing
    return Result(np.full(shape, np.inf if full else -np.inf), 0.0, not reason, 0, True, reason)


def _candidate(w, f, rho0, rho1, eps, tau, spacing, tol, fresh=False, reason=""):
    """The local minimiser that Newton's method finds from `w`."""
    plain, iterations = Problem(f, rho0, rho1, eps, tau, spacing), 0
    if f.ndim == 2:
        front, iterations = curves.relax(plain, w)
        if front is not None and (out := _on_curves(plain, front, iterations, tol, reason)) is not None:
            return out
    near = np.abs(w) < eps + 6 * max(spacing)
    edges = [near.take(i, axis).any() for axis in range(w.ndim) for i in (0, -1)]
    pad = min(int(eps / min(spacing)) + 16, min(w.shape)) if any(edges) else 0
    problem = Problem(f, rho0, rho1, eps, tau, spacing, pad) if pad else plain
    state, more, _ = relax(problem, w, tol if f.ndim != 2 else max(tol, ROUGH * max(spacing)), fresh)
    iterations += more
    if state is None:
        return Result(np.full(w.shape, -np.inf), 0.0, False, iterations, False, "empty")
    w = problem.cropped(state.w)
    if f.ndim == 2:
        front, more = curves.relax(plain, w)
        if front is not None and (out := _on_curves(plain, front, iterations + more, tol, reason)) is not None:
            return out
    u = redistance(w, spacing)
    certified = f.ndim != 2 and state.least > FLOOR and _rays_free(u, state.front, plain, problem.pad)
    return Result(u, float(state.gap), bool(certified), iterations, bool(state.gap <= tol), reason)


def _rays_free(u, front, problem, pad):
    """Whether eps |curvature| < 1 and the points y ± eps n are at distance eps from the front, to half a cell."""
    frame, eps = front.frame, problem.eps
    d = Field(u, problem.spacing)
    reach = eps * frame.normals / problem.spacing
    ends = [sign * d(frame.points - pad + sign * reach) - eps for sign in (1.0, -1.0)]
    return eps * np.abs(frame.bends).max() < 1.0 and np.abs(ends).max() < 0.5 * problem.px


def _on_curves(problem, front, iterations, tol, reason):
    """Result of a front of curves; None if they cross."""
    proof = barriers.certify(problem, front)
    for _ in range(2):
        if proof.gap <= tol or not proof.holds:
            break
        finer, more = curves.refined(problem, front)
        if finer is None:
            break
        front, iterations, proof = finer, iterations + more, barriers.certify(problem, finer)
    if not proof.simple:
        return None
    return Result(front.distance(problem.shape), proof.gap, proof.holds, iterations, bool(proof.gap <= tol), reason)


def _doubtful(f, eps, tau, spacing):
    """Whether the set might change its topology in this step: whether the level sets of f do so near the front.

    A strip of half width sqrt(2 tau) = 1.41 sqrt(tau) is not cut, a ball of radius 2.31 sqrt(tau) survives (O2), and
    with it, by T6, every piece that contains one; gaps narrower than 2 eps attract. The same holds for the complement.
    Margins allow for densities that vary.
    """
    m = max(1, int(eps / (2.5 * max(spacing))))
    f = f[(slice(None, None, m),) * f.ndim]
    pieces, holes = label(f > 0)[1], label(f <= 0)[1]
    neck = max(1.6 * np.sqrt(tau), eps)
    for s in np.linspace(-neck, neck, 12):
        if label(f > s)[1] != pieces or label(f <= s)[1] != holes:
            return True
    reach = 2.4 * np.sqrt(tau)
    return label(f > reach)[1] < pieces or label(f <= -reach)[1] < holes


def _blocks(values, m):
    """Means over blocks of m cells a side."""
    v = np.pad(values, [(0, (-n) % m) for n in values.shape], mode="edge")
    for axis in range(v.ndim):
        v = v.reshape((*v.shape[:axis], -1, m, *v.shape[axis + 1 :])).mean(axis + 1)
    return v


def _refined(w, m, shape):
    """A function on the blocks, at the cells."""
    if m == 1:
        return w
    axes = [(np.arange(n) + 0.5) / m - 0.5 for n in shape]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return spline.evaluate(spline.prefilter(w), points.reshape(-1, len(shape))).reshape(shape)


def _coarse(f, rho0, rho1, eps, tau, spacing):
    """Level function of the exact minimiser on a coarser lattice, smoothed: right topology, rough shape."""
    m = max(1, int(eps / (2.5 * max(spacing))))
    g, a, b = (_blocks(v, m) for v in (f, rho0, rho1))
    wide = tuple(m * h for h in spacing)
    cut = mincut.solve(a, b, g * (a + b) / tau, max(eps, max(wide)), wide, side="minimal").minimal
    if cut.all() or not cut.any():
        return np.full(f.shape, np.inf if cut.all() else -np.inf)
    return _refined(gaussian_filter(redistance(np.where(cut, 1.0, -1.0), wide), 1.5), m, f.shape)


def _predictor(f, rho0, rho1, eps, tau, spacing):
    """First-order prediction for rough fronts: heat flow of f over time tau, weighted so that it drifts as D10 says."""
    m = max(1, int(np.sqrt(2.0 * tau) / (4.0 * max(spacing))))
    root = np.sqrt(_blocks(rho0 + rho1, m)) + 1e-6 * np.sqrt((rho0 + rho1).max())
    sigma = [np.sqrt(2.0 * tau) / (m * h) for h in spacing]
    w = gaussian_filter(root * _blocks(f, m), sigma) / gaussian_filter(root, sigma)
    return _refined(w, m, f.shape)


def _energy(u, f, rho0, rho1, eps, tau, spacing):
    """D8's energy of {u > 0}, u a signed distance, and its nonlocal perimeter.

    Sub-cell: each cell counts by its share on the inner side of a plane.
    """
    cell = float(np.prod(spacing))
    if np.isinf(u).all():
        return (0.0 if u.flat[0] < 0 else -cell * float((f * (rho0 + rho1)).sum()) / tau), 0.0
    slopes = np.gradient(u, *spacing) if u.ndim > 1 else [np.gradient(u, *spacing)]
    width = sum(np.abs(s) * h for s, h in zip(slopes, spacing, strict=True)) + 0.1 * min(spacing)

    def share(level):
        return np.clip(0.5 + (u - level) / width, 0.0, 1.0)

    inside = share(0.0)
    layers = (rho0 * (share(-eps) - inside) + rho1 * (inside - share(eps))) / eps
    return cell * float((layers - f * (rho0 + rho1) * inside / tau).sum()), cell * float(layers.sum())
