"""Certificate of a front in the plane: a super- and a subsolution close to it on either side."""

from dataclasses import dataclass

import numpy as np

from mcfpaper.solvers import curvefront


@dataclass
class Certificate:
    """What `certify` found: the bound (inf: no barriers found) and whether its hypotheses hold."""

    gap: float
    holds: bool


def certify(problem, front):
    """Two fronts, one on either side, that are a super- and a subsolution: c < 0 on the outer, c > 0 on the inner one.

    They are the front moved by plus and minus the solution of the linearised problem for 1.5 |c| and a little more.
    The bound holds if the linearised problem obeys a maximum principle and if all the mass at distance eps from the
    front comes to it along its normals, so that the force is smooth there. All at twice the nodes.
    """
    px = problem.px
    front = curvefront.CurveFront([q.doubled() for q in front.curves], problem.spacing, front.smear)
    c, k, a = problem.linearise(front.frame)
    update, stable = curvefront.linear_system(problem, front, k, a)
    holds = bool(stable and (problem.open(front.frame) == 1.0).all())
    source = 1.5 * np.abs(c) + 0.05 * np.abs(c).max() + 1e-4 * px
    gaps = [_barrier(problem, front, sign, update, source) for sign in (1.0, -1.0)]
    if None not in gaps:
        return Certificate(max(gaps), holds)
    return Certificate(np.inf, False)


def _barrier(problem, front, sign, update, source):
    """Largest distance to a front on the side of `sign` that wants to go back everywhere; None if none was found.

    What the first trial, by the linearised problem, lacks somewhere is added to `source` there.
    """
    g = np.maximum(update(source), 1e-5 * problem.px)
    for _ in range(20):
        moved = front.moved(sign * g, curvefront.width_at_walls(problem)) if g.max() < 2.0 * problem.px else None
        if moved is None:
            return None
        c, _ = problem.drive(curvefront.CurveFront(moved, problem.spacing, front.smear).frame)
        short = np.maximum(sign * c, 0.0)
        if (sign * c).max() < 0.0:
            return float(g.max())
        g = g + np.maximum(update(1.5 * short + 0.05 * short.max()), 0.0)
    return None
