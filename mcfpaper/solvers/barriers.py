"""Certificate of a front in the plane: a super- and a subsolution close to it on either side."""

from dataclasses import dataclass

import numpy as np

from mcfpaper.solvers import curves


@dataclass
class Certificate:
    """What `certify` found: the bound and whether its hypotheses hold."""

    gap: float
    holds: bool
    simple: bool


def certify(problem, front):
    """Two fronts, one on either side, that are a super- and a subsolution: c < 0 on the outer, c > 0 on the inner one.

    They are the front moved by plus and minus the solution of the linearised problem for 1.5 |c| and a little more, or
    twice, four times ... that. The bound holds if the linearised problem obeys a maximum principle, if
    eps |curvature| < 1 and if the points y ± eps n lie at distance eps from the front, so that the closed form of the
    force is right. All at twice the nodes.
    """
    px, eps = problem.px, problem.eps
    front = curves.Front([q.doubled() for q in front.curves], problem.spacing)
    x, n = front.frame.points, front.frame.normals / problem.spacing
    off = {}
    for s in (0.5 * px, eps):
        ends = [front.distances(problem.f.folded(x + sign * s * n)) * sign for sign in (1.0, -1.0)]
        off[s] = np.abs(np.array(ends) - s).max() / px
    simple = bool(off[0.5 * px] < 0.1)
    c, k, a = problem.linearise(front.frame)
    update, stable = curves.linear_system(problem, front, k, a)
    holds = bool(stable and eps * np.abs(front.frame.bends).max() < 1.0 and off[eps] < 0.02)
    g = update(1.5 * np.abs(c) + 0.05 * np.abs(c).max() + 1e-4 * px)
    g = np.maximum(g, 1e-5 * px)
    for _ in range(6):
        if all(_barrier(problem, front, sign * g) for sign in (1.0, -1.0)):
            return Certificate(float(g.max()), holds, simple)
        g *= 2.0
    return Certificate(float(g.max()), False, simple)


def _barrier(problem, front, g):
    """Whether the front moved outward by g (all of one sign) wants to go back everywhere."""
    moved = front.moved(g, curves.width_at_walls(problem))
    if moved is None:
        return False
    c, _ = problem.drive(curves.Front(moved, problem.spacing).frame)
    return bool((-np.sign(g) * c).min() > 0.0)
