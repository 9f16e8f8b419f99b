"""Newton's method for the front of one minimising movement in the plane, on curves (`curves`).

The condition c = 0 (`newton`) is asked for at the nodes. A displacement v of the nodes along the outward normal changes
c by -a v + k v'' + k' v' with the spline's second derivative: eliminating it leaves a tridiagonal system, so Newton's
method is exact and ends at rounding, whatever the grid.
"""

from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from mcfpaper.kernels import curvedistance
from mcfpaper.solvers.curves import extract
from mcfpaper.solvers.force import Frame
from mcfpaper.solvers.screened import LEAST_SLOPE

LIMIT = 40  # linear systems from one start
REST = 1e-4  # cells: what may be left where convergence is linear
DAMPING = 0.5  # where rays end early


class CurveFront:
    """Curves with everything that Newton's method needs at their nodes."""

    def __init__(self, curves, spacing, smear=None):
        self.curves, self.h, self.rest = curves, np.asarray(spacing, float), np.inf
        self.splines = [q.spline() for q in curves]
        offsets = np.cumsum([0, *(len(q.nodes) for q in curves)])
        self.parts = [slice(a, b) for a, b in pairwise(offsets)]
        self.before, self.after = (np.arange(offsets[-1]) + k for k in (-1, 1))
        self.hm, self.hp = np.empty(offsets[-1]), np.empty(offsets[-1])
        for q, (_, t), part in zip(curves, self.splines, self.parts, strict=True):
            step, a, b = np.diff(t), part.start, part.stop
            if q.walls is None:
                self.before[a], self.after[b - 1] = b - 1, a
                self.hp[part], self.hm[part] = step, np.roll(step, 1)
            else:  # even reflection at the ends
                self.before[a], self.after[b - 1] = a + 1, b - 2
                self.hp[part], self.hm[part] = np.r_[step, step[-1]], np.r_[step[0], step]
        self.smear = smear or float(np.concatenate([self.hm, self.hp]).mean())
        self.frame = self._frame([t[: len(q.nodes)] for q, (_, t) in zip(curves, self.splines, strict=True)])

    def _frame(self, parameters):
        x, d, dd = (
            np.concatenate([s(t, k) for (s, _), t in zip(self.splines, parameters, strict=True)]) for k in range(3)
        )
        size = np.sqrt((d * d).sum(1))
        normal = np.stack([-d[:, 1], d[:, 0]], 1) / size[:, None]
        bend = (d[:, 1] * dd[:, 0] - d[:, 0] * dd[:, 1]) / size**3
        return Frame(x / self.h, normal, np.stack([bend, 0.0 * bend], 1), smear=self.smear)

    def directions(self, width):
        """Unit vectors along which nodes move: the outward normal, turned along the wall near an end on it."""
        out = -self.frame.normals.copy()
        for q, (_, t), part in zip(self.curves, self.splines, self.parts, strict=True):
            for m, wall in enumerate(q.walls or ()):
                share = np.clip(1.0 - np.abs(t - t[-m]) / width, 0.0, 1.0)
                out[part, wall[0]] *= 1.0 - share
        size = np.sqrt((out * out).sum(1)) + 1e-300
        return out / size[:, None]

    def moved(self, v, width):
        """Curves moved outward by v, measured across the front; None where that is not possible."""
        way = self.directions(width)
        across = -(way * self.frame.normals).sum(1)
        if across.min() < 0.3:
            return None
        nodes = self.frame.points * self.h + (v / across)[:, None] * way
        return [q.moved_to(nodes[part].copy()) for q, part in zip(self.curves, self.parts, strict=True)]

    def shortening(self, v):
        """Largest share that an edge between nodes loses of its length when they move outward by v."""
        x, move = self.frame.points * self.h, -v[:, None] * self.frame.normals
        edge = x[self.after] - x
        return float((-((move[self.after] - move) * edge).sum(1) / (edge * edge).sum(1)).max())

    def uneven(self):
        """Whether the distances of nodes on some curve differ by more than a factor of two."""
        return any(np.ptp(np.log2(self.hp[part] / self.hp[part].mean())) > 1.0 for part in self.parts)

    def system(self, k, slope, a):
        """Newton's matrix, factorised, and the function that makes its right side from c."""
        b, f, hm, hp = self.before, self.after, self.hm, self.hp
        q, skew = a / k, 0.5 * slope / k
        rows = np.arange(len(q))
        lower, upper = hm / 6 * q[b] - 1 / hm + skew, hp / 6 * q[f] - 1 / hp - skew
        middle = (hm + hp) / 3 * q + 1 / hm + 1 / hp
        matrix = sparse.csc_array(
            (np.r_[lower, middle, upper], (np.r_[rows, rows, rows], np.r_[b, rows, f])), (len(q), len(q))
        )
        factors = splu(matrix)

        def update(c):
            r = c / k
            return factors.solve(hm / 6 * r[b] + (hm + hp) / 3 * r + hp / 6 * r[f])

        return update

    def safe_system(self, k, rate, a):
        """As `system` with a > 0, symmetric in the energy's metric: the update never points up its gradient.

        The spline's second derivative of the shortest wave is three times that of the differences used here, so they
        are multiplied by three: the update then never overshoots.
        """
        b, f, n = self.before, self.after, len(k)
        mass, rows = 0.5 * (self.hm + self.hp) / rate, np.arange(n)
        lower, upper = (1.5 * ((k / rate)[i] + k / rate) / h for i, h in ((b, self.hm), (f, self.hp)))
        matrix = sparse.csc_array(
            (np.r_[-lower, mass * a + lower + upper, -upper], (np.r_[rows, rows, rows], np.r_[b, rows, f])), (n, n)
        )
        factors = splu(matrix)
        return lambda c: factors.solve(mass * c)

    def along(self, values):
        """Derivative along the curves, 0 at walls."""
        return (values[self.after] - values[self.before]) / (self.hm + self.hp)

    def pieces(self):
        """The curves as `curvedistance` wants them."""
        powers, lengths, before, after = [], [], [], []
        total = 0
        for q, (s, t) in zip(self.curves, self.splines, strict=True):
            m = len(t) - 1
            skip = np.searchsorted(s.x, t[0])
            powers.append(np.moveaxis(s.c[::-1, skip : skip + m], 0, 1))
            lengths.append(np.diff(t))
            number = total + np.arange(m)
            ends = (number[-1], number[0]) if q.walls is None else (-1, -1)
            before.append(np.r_[ends[0], number[:-1]])
            after.append(np.r_[number[1:], ends[1]])
            total += m
        return tuple(np.ascontiguousarray(np.concatenate(v)) for v in (powers, lengths, before, after))

    def distance(self, shape):
        """Signed distance at the cells, positive inside."""
        pieces, h = self.pieces(), tuple(self.h)
        x = pieces[0][:, 0]
        seeds = cKDTree(x).query(curvedistance.seed_points((0, 0), shape, h))[1]
        return curvedistance.signed_distances((0, 0), shape, h, np.arange(len(x)), seeds, *pieces)

    def distances(self, points):
        """Signed distances at index points (m, 2)."""
        pieces = self.pieces()
        x = points * self.h
        _, near = cKDTree(pieces[0][:, 0]).query(x)
        return curvedistance.distances(x, near, *pieces)


def relax(problem, u, limit=LIMIT):
    """Iterate from the front of `u` until it stands still to 1e-7 cells.

    Returns
    -------
    CurveFront or None, int
        None where the method does not apply or fails; the number of linear systems solved.
    """
    # a piece that short has a radius below 1.3 sqrt(tau), or half that if it is not cut by a wall: it vanishes (O2)
    found = extract(u, problem.spacing, 2.0 * np.sqrt(problem.tau))
    return stable(problem, CurveFront(found, problem.spacing), limit) if found else (None, 0)


def stable(problem, now, limit=LIMIT):
    """As `newton`, without curves that shrink away, or stand still where the energy has a saddle."""
    front, count = newton(problem, now, limit)
    if front is None:
        return None, count
    # in even densities a local minimiser has no radius below sqrt(tau) (O2), so no curve, cut by walls or not, shorter
    # than 1.5 times that; rough sets had 4 % of the perimeter less energy, or still less, without such curves
    kept = [q for q, (_, t) in zip(front.curves, front.splines, strict=True) if t[-1] - t[0] >= np.sqrt(problem.tau)]
    if len(kept) == len(front.curves):
        return front, count
    front, more = newton(problem, CurveFront(kept, problem.spacing), limit) if kept else (None, 0)
    return front, count + more


def refined(problem, front, smear=None):
    """The solution with twice as many nodes, from that on the nodes of `front`: as `relax`.

    `smear` of `open_shares`: half that of `front` unless given.
    """
    finer = CurveFront([q.doubled() for q in front.curves], problem.spacing, smear or 0.5 * front.smear)
    return newton(problem, finer, 30)


def newton(problem, now, limit=LIMIT):
    """Iterate from the CurveFront `now`: as `relax`.

    Damped where it has to be: a + damping in place of a, so that the move tends to one down the gradient of the energy
    (D8). A move is taken if the force at its end does not oppose it by more than half of what drove it at its start:
    the energy then falls, by the trapezoidal rule. Where rays end early, the derivative of `open_shares` is left out:
    it lessens the second variation of the energy, so that near a minimiser the iteration still converges, linearly,
    if it is damped a little. The moves are then about a geometric series, and `rest` of the front is the sum of those
    that were not made.
    """
    px, width, damping, last = problem.px, width_at_walls(problem), 0.0, np.inf
    for iteration in range(1, limit + 1):
        c, k, a = problem.linearise(now.frame)
        if not np.isfinite(c).all():
            return None, iteration
        mass = 0.5 * (now.hm + now.hp) / problem.rate(now.frame)
        least = 0.0 if (problem.open(now.frame) == 1.0).all() else DAMPING
        damping = max(damping, least)
        while True:
            update, _ = linear_system(problem, now, k, a, damping)
            v = update(c)
            largest, drive = np.abs(v).max(), (mass * c * v).sum()
            t = min(1.0, 0.7 / max(now.shortening(v), 1e-300))
            curves = now.moved(t * v, width) if t > 0.25 else None
            if curves is not None and _inside(curves, problem):
                new = CurveFront(curves, problem.spacing, now.smear)
                ratio = min(largest / last, 0.95) if damping == least else 0.0
                new.rest = largest * (ratio / (1.0 - ratio) if ratio else 1.0 + damping)
                if new.rest < 1e-7 * px or (ratio > 0.2 and new.rest < REST * px):
                    return new, iteration
                brake = (mass * problem.drive(new.frame)[0] * v).sum()
                if brake >= -0.5 * drive > -np.inf or largest < 1e-5 * px:
                    break
            damping = max(4.0 * damping, 0.5)
            if damping > 1e4:
                return None, iteration
        now, last = new, np.inf if damping > least else largest
        damping = damping / 4.0 if damping > 1.0 else 0.0
        if now.uneven():
            curves = [q.resampled(now.hp[part].mean()) for q, part in zip(now.curves, now.parts, strict=True)]
            if any(q is None for q in curves):
                return None, iteration
            now = CurveFront(curves, problem.spacing)
            now.rest, last = largest, np.inf
    return now, limit


def crossing(front):
    """Whether the polygon of the nodes crosses itself."""
    ends = [i for q, part in zip(front.curves, front.parts, strict=True) if q.walls for i in (part.stop - 1,)]
    start = np.delete(np.arange(len(front.before)), ends)
    stop = front.after[start]
    x = front.frame.points * front.h
    a, b = x[start], x[stop]
    longest = np.sqrt(((b - a) ** 2).sum(1)).max()
    i, j = cKDTree(0.5 * (a + b)).query_pairs(longest, output_type="ndarray").T
    apart = (start[i] != stop[j]) & (start[j] != stop[i])
    i, j = i[apart], j[apart]

    def side(p, q, r):
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    through = side(a[i], b[i], a[j]) * side(a[i], b[i], b[j]) < 0.0
    return bool((through & (side(a[j], b[j], a[i]) * side(a[j], b[j], b[i]) < 0.0)).any())


def _inside(curves, problem):
    x = np.concatenate([q.nodes for q in curves]) / problem.spacing
    return bool(((x >= -0.5 - 1e-9) & (x <= np.array(problem.f.shape) - 0.5 + 1e-9)).all())


def width_at_walls(problem):
    """Length of curve near a wall over which nodes move along the wall."""
    return max(2.0 * np.sqrt(problem.tau), 8.0 * problem.px)


def linear_system(problem, front, k, a, damping=0.0):
    """Newton's update as a function of c, and whether the linearised problem obeys a maximum principle.

    It does if the solution for c = 1 is positive (a > 0 suffices, a < 0 here and there does no harm); otherwise a is
    raised to LEAST_SLOPE, and where the update is to be damped to LEAST_SLOPE + `damping`.
    """
    rate = problem.rate(front.frame)
    k = np.maximum(k, 1e-3 * problem.tau)
    if damping:
        return front.safe_system(k, rate, np.maximum(a, LEAST_SLOPE) + damping), False
    slope = rate * front.along(k / rate)
    update = front.system(k, slope, a)
    answer = update(np.ones(len(a)))
    if answer.min() > 0.0 and answer.max() < 1.0 / LEAST_SLOPE:
        return update, True
    return front.system(k, slope, np.maximum(a, LEAST_SLOPE)), False
