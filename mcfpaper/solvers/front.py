"""The smooth step: one minimising movement (theory.md D8), sub-cell accurate and without preferred direction.

`step` follows the front from the old one by Newton's method on the optimality condition of T5 with the force of T4:
in the plane on curves (`curvefront`), on a line and in space on the grid (`newton`). That finds a local minimiser.
Where the topology of the old set leaves room for another one, a piece or a hole of the new one may cost energy, or no
minimiser is near, there are other starts (`starts`): an exact minimum cut on another lattice and a prediction by heat
flow. Where Newton's method settles from none that has so little energy, the method on the grid and the starts
themselves are candidates too; so is the best candidate without the pieces and holes that cost it energy. The least
energy wins, that of the old, the empty and the full set among them.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from mcfpaper.kernels import surfaces
from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import barriers, curvefront, starts
from mcfpaper.solvers.energies import energy, fine_energy
from mcfpaper.solvers.newton import WIDTH, StepData, relax

DEFAULT_TOL = 5e-3  # cells
DOUBLINGS = 5  # of the nodes, at most
HURRIED = 20  # linear systems from the old front where others may be better starts
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
        minimisers far away. On a line and in space an estimate: max (|c| + |error of c|)/a, with c averaged over about
        two cells of front; its error is that of the curvature of the spline through a signed distance, from fourth
        differences, times k (`newton`). Left out: the errors of the splines of f and of the densities, and higher
        orders in the cell's size over the radius of curvature. For ellipsoids of 10 to 18 cells in smooth densities it
        is 3 to 7 times the error against an independent solution.
    certified : bool
        Whether the hypotheses were checked to hold: eps |curvature| < 1, the points y ± eps n at distance eps from
        the front, so that the closed form is right, and a maximum principle for the linearised problem (on a line and
        in space: a > 0.1). Without them `gap` is an estimate: where rays end early (`rays`), what the last doubling of
        nodes changed, with the blur of `open_shares` halved. What that leaves is of first order in the blur at
        worst, hence as much again. On the singular shapes of the tests it was 1.3 times or more what a grid three times
        finer showed. Where doublings cease to help, what the last two changed is added up; where none succeeds it is a
        cell; a set that no method improved, or curves that did not settle, have the diagonal of the box. A step
        that ends empty or full compares energies only and is never certified.
    iterations : int
    converged : bool
        Whether gap <= tol; without `certified` it says no more than the estimate does.
    reason : str
        "empty" or "full" if the step made the set so, "global" if a start other than the old front won.
    """

    u: np.ndarray
    gap: float
    certified: bool
    iterations: int
    converged: bool
    reason: str = ""


def step(f, rho0, rho1, eps, tau, spacing, tol=None):
    """One minimising movement of {f > 0} (theory.md D8).

    Parameters
    ----------
    f : ndarray, one to three axes
        Signed distance to the old front, positive inside, or any function that plays its part in T5; all -inf (inf):
        the empty (full) set, which stays.
    rho0, rho1 : ndarray
        Densities per unit volume.
    eps, tau : float
        Budget, a length, and time step, a length squared.
    spacing : tuple of float
    tol : float, optional
        Largest `gap` at exit, length units; 0.005 of the largest spacing by default.

    Returns
    -------
    Result
    """
    if not (f > 0).any() or np.isposinf(f).all():
        return _trivial(f.shape, bool((f > 0).any()))
    tol = DEFAULT_TOL * max(spacing) if tol is None else tol
    problem = StepData(f, rho0, rho1, eps, tau, spacing)
    doubt = starts.doubtful(f, eps, tau, spacing)
    limit = HURRIED if doubt else curvefront.LIMIT
    solve = partial(_on_curves, limit=limit) if f.ndim == 2 else partial(_on_grid, tol=tol)
    found = [first] if starts.has_front(f) and (first := solve(problem, f)) is not None else []
    if not doubt and found and first.settled and not starts.wasteful(first.u, problem):
        result = first.result(problem, tol)
        # what is left of the gap on a grid is an error of its splines, which other starts have too
        if result is not None and result.certified and (result.converged or first.state is not None):
            return result
    tried, lost = [], []
    for propose in (starts.coarse, starts.predictor):
        w = propose(f, rho0, rho1, eps, tau, spacing)
        if not starts.has_front(w) or any(_same(c, w, 0.75 * eps) for c in found):
            continue
        tried.append(w)
        candidate = _on_curves(problem, w, "global") if f.ndim == 2 else _on_grid(problem, w, tol, "global")
        found += [] if candidate is None else [candidate]
        if candidate is None or not candidate.settled:
            lost.append(w)
            found.append(Candidate(redistance(w, spacing), reason="global", gap=problem.size))
        # in space, where a start costs as much as a step, energies are too rough to tell whether one rose
        if f.ndim == 3 and any(c.settled for c in found):
            break
    found.append(Candidate(f, gap=problem.size))
    winner = min([*_trivials(problem), *found], key=partial(_score, problem=problem))
    again = lost if isinstance(winner, Result) else [] if winner.settled else lost or tried
    if f.ndim == 2:
        found += filter(None, [_on_grid(problem, w, max(tol, ROUGH * problem.px), "global") for w in again[:1]])
    best = min(found, key=partial(_score, problem=problem))
    w = starts.rearranged(best.u, problem, lambda u: _measure(u, problem)[0])
    if w is not None and starts.has_front(w):
        candidate = _on_curves(problem, w, "global") if f.ndim == 2 else _on_grid(problem, w, tol, "global")
        found.append(candidate or Candidate(w, reason="global", gap=problem.size))
    return _best(problem, found, tol)


def _best(problem, found, tol):
    """Of the candidates `found`, the empty and the full set, the one of least energy."""
    pool = [*_trivials(problem), *found]
    scores = [_score(r, problem) for r in pool]
    while True:
        best = int(np.argmin(scores))
        if isinstance(pool[best], Result):
            return pool[best]
        result = pool[best].result(problem, tol)
        if result is not None:
            return result
        # not curves that one can trust, but a set all the same
        pool[best] = Candidate(
            redistance(pool[best].u, tuple(problem.spacing)), gap=problem.px, reason=pool[best].reason
        )
        scores[best] = _score(pool[best], problem)


def _measure(u, problem):
    """Energy and perimeter."""
    # in space, where the error of the better rule is larger too, that rule would cost as much as the step
    return (energy if u.ndim == 3 else fine_energy)(u, problem)


def _score(candidate, problem):
    if isinstance(candidate, Result):
        return _measure(candidate.u, problem)[0]
    if candidate.score is None:
        value, perimeter = _measure(candidate.u, problem)
        candidate.score = penalised(value, perimeter, candidate)
        if problem.data[0].ndim == 3 and candidate.state is None:  # improving gains less than that rule can tell
            candidate.score += 1e-3 * perimeter
    return candidate.score


def penalised(value, perimeter, candidate):
    """Energy; what is known less well loses near ties (quadrature errors are below 1e-4 of the perimeter)."""
    return value + perimeter * ((0.0 if candidate.settled else 1e-3) + (1e-4 if candidate.reason == "global" else 0.0))


def _trivials(problem):
    return [_trivial(problem.shape, False, "empty"), _trivial(problem.shape, True, "full")]


def _trivial(shape, full, reason=""):
    # a set that a step emptied or filled was chosen by comparing energies, which proves nothing
    return Result(np.full(shape, np.inf if full else -np.inf), 0.0, not reason, 0, True, reason)


@dataclass
class Candidate:
    """A set that the solver came to from one start: its signed distance, and its curves or its State if it has them."""

    u: np.ndarray
    curves: object = None
    state: object = None
    iterations: int = 0
    settled: bool = False
    reason: str = ""
    gap: float = np.inf  # of a set that no method has improved
    score: float | None = None  # energy, once it was asked for
    answer: object = ()  # of `result`, once it was asked for

    def result(self, problem, tol):
        """The front with its certificate, on finer nodes if it takes them; None if curves cross."""
        if self.answer == ():
            self.answer = self._result(problem, tol)
        return self.answer

    def _result(self, problem, tol):
        if self.curves is None:
            gap = min(self.gap if self.state is None else float(self.state.system.bound), problem.size)
            certified = self.u.ndim != 2 and self.settled and self.state.proved
            return Result(self.u, gap, bool(certified), self.iterations, bool(gap <= tol), self.reason)
        front, iterations = self.curves, self.iterations
        gap, certified = _bound(problem, front)
        if gap == np.inf and curvefront.crossing(front):
            return None
        for level in range(DOUBLINGS):
            if gap <= tol:
                break
            # rays that end early are blurred over twice the distance of nodes: with less the front grows teeth
            finer, more = curvefront.refined(problem, front, front.smear if level == 0 and not certified else None)
            iterations += more
            if finer is None or curvefront.crossing(finer):
                break
            shift = float(np.abs(finer.distances(front.frame.points)).max()) + finer.rest if level else np.inf
            bound, holds = _bound(problem, finer, shift)
            if level and bound >= gap:
                gap += min(bound, problem.px)
                break
            front, gap, certified = finer, bound, holds
        if gap == np.inf and self.settled:
            gap = problem.px
        gap = min(gap, problem.size)
        u = self.u if front is self.curves else problem.distance(front)
        return Result(u, gap, certified, iterations, bool(gap <= tol), self.reason)


def _bound(problem, front, shift=np.inf):
    """`gap` and `certified` of a front, `shift` away from that with half as many nodes."""
    if (problem.open(front.frame) == 1.0).all():
        proof = barriers.certify(problem, front)
        if proof.gap < np.inf:
            return proof.gap, proof.holds
    return shift, False


def _on_curves(problem, w, reason="", limit=curvefront.LIMIT):
    """The local minimiser that Newton's method on curves finds from `w`; None if it fails."""
    front, iterations = curvefront.relax(problem, w, limit)
    if front is None:
        return None
    return Candidate(front.distance(w.shape), front, None, iterations, settled(problem, front), reason)


def settled(problem, front):
    """Whether Newton's method came to stand still, on curves that do not cross."""
    whole = (problem.open(front.frame) == 1.0).all()
    return bool(front.rest < ROUGH * problem.px and (whole or not curvefront.crossing(front)))


def _on_grid(problem, w, tol, reason=""):
    """The local minimiser that the method on the grid finds from `w`, in the plane then put on curves; None if none."""
    near = np.abs(w) < problem.eps + 6 * problem.px
    edges = [near.take(i, axis).any() for axis in range(w.ndim) for i in (0, -1)]
    pad = min(int(problem.eps / min(problem.spacing)) + 16, min(w.shape)) if any(edges) else 0
    padded = problem.padded(pad)
    state, iterations, _ = relax(padded, w, tol)
    if state is None:
        return None
    w = padded.cropped(state.w)
    if w.ndim == 2 and (candidate := _on_curves(problem, w, reason)) is not None:
        candidate.iterations += iterations
        return candidate
    # far from the front, where the exact distance would cost most of the step, it matters little
    u = redistance(w, tuple(problem.spacing), exact=WIDTH * problem.px)
    return Candidate(u, None, state, iterations, bool(state.gap <= tol), reason)


def _same(candidate, w, width):
    """Whether the method would come from `w` to the same set: one as connected, within `width` of it."""
    if not candidate.settled or starts.parts(w) != starts.parts(candidate.u):
        return False
    if candidate.curves is not None:
        lines = surfaces.curves(w)
        open_ = sum(bool((line[0] != line[-1]).any()) for line in lines)
        own = candidate.curves.curves
        if (len(lines), open_) != (len(own), sum(q.walls is not None for q in own)):
            return False
    between = (candidate.u > 0) ^ (w > 0)
    return max(np.abs(v[between]).max(initial=0.0) for v in (candidate.u, w)) <= width  # w is nearly a distance
