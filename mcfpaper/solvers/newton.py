"""Newton's method for the front of one minimising movement (theory.md D8).

The unknown is the front. At a front point y the optimality condition of T5 on the level set u = 0 reads c(y) = 0,

    c = f - (tau/rho) p_eps,   p_eps in closed form (`force`),

a length: positive where the set should grow. A front moved outward by v(y) changes c by -a v + div(k grad v), with a
the derivative of c across parallel fronts and k = tau/rho times the mass pushed to the front: a screened diffusion on
the front, solved on a band of cells with the weight of a smooth bump of the distance (a symmetric M-matrix). The front
is carried by a level function that is redistanced after every move.
"""

import numpy as np

from mcfpaper.kernels import distance, spline
from mcfpaper.solvers.force import Field, force, frame
from mcfpaper.solvers.rays import open_shares
from mcfpaper.solvers.screened import BAND, LEAST_SLOPE, System

LIMIT = 40  # linear systems from one start
WIDTH = 12.0  # exact distances up to here: a spline forgets the kink there to 0.27^12


class StepData:
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
        self.box = (slice(pad, -pad) if pad else slice(None),) * f.ndim  # the cells that are no margin
        self.size = float(np.sqrt((np.array(f.shape) ** 2 * self.spacing**2).sum()))
        self.f = Field(f, spacing)
        self.rho0, self.rho1 = Field(rho0, spacing, 0.0), Field(rho1, spacing, 0.0)
        self.floor = 1e-12 * float(np.max(rho0 + rho1)) + 1e-300

    def padded(self, pad):
        """The same problem on a box widened by `pad` reflected cells."""
        return StepData(*self.data, self.eps, self.tau, tuple(self.spacing), pad) if pad else self

    def cropped(self, w):
        """The part of a level function inside the true box."""
        return w[self.box]

    def reflected(self, w):
        """A level function, cropped or not, evenly reflected at the box edge."""
        w = w if w.shape != self.shape else self.cropped(w)
        return np.pad(w, self.pad, mode="symmetric") if self.pad else w

    def has_front(self, w):
        """Whether a level function is positive somewhere and not everywhere."""
        return bool((w > 0).any() and (w <= 0).any())

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


class GridFront:
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

    def framed(self):
        """Points of the front next to the near cells, with their frames."""
        h, y = self.field.spacing, self.feet[self.near]
        for _ in range(3):
            value, g, _ = spline.derivatives(self.field.coefficients, y, h)
            y = y - (value / ((g * g).sum(1) + 1e-300))[:, None] * g / h
        return frame(self.field, y, h)

    def bend_errors(self, points):
        """How far the spline's second derivatives, summed over the axes, may be off at index points.

        A cubic spline's second derivative misses the function's by -h^2/12 (at nodes) to h^2/24 times the fourth one,
        which the fourth differences of its coefficients give.
        """
        c, total = self.field.coefficients, 0.0
        at = np.clip(np.rint(points).astype(int), 0, np.array(self.w.shape) - 1) + spline.PAD
        at = np.concatenate([np.zeros((len(at), 3 - at.shape[1]), int), at], 1)
        for axis, h in enumerate(self.field.spacing, start=3 - self.w.ndim):
            step = np.eye(3, dtype=int)[axis]
            fourth = sum(b * c[tuple((at + j * step).T)] for j, b in zip(range(-2, 3), (1, -4, 6, -4, 1), strict=True))
            total = total + np.abs(fourth) / (12.0 * h * h)
        return total if self.w.ndim > 1 else np.zeros(len(at))  # the front of a field on a line has no curvature

    def moved(self, eta, size, corner=0):
        """Level function of the front moved outward by `eta`, at most `size`, unchanged far from it.

        `eta` on cells from -corner on.
        """
        # B-spline coefficients, not values: second differences of coefficients are the spline's second derivatives
        coefficients = np.pad(eta, 2, mode="edge")
        coefficients = coefficients.reshape((1,) * (3 - eta.ndim) + coefficients.shape)
        px = max(self.field.spacing)
        fade = np.clip((np.abs(self.distance) - size - 4 * px) / (2 * size + 6 * px), 0, 1)
        w = self.w.copy()
        shift = spline.evaluate(coefficients, self.feet + corner) * self.slope
        w[tuple(self.cells.T)] += shift * np.cos(0.5 * np.pi * fade) ** 2
        return w


def reach(size, px):
    """How far a move of `size` changes the level function."""
    return WIDTH * px + (3 * size if size >= px else 0.0)


class Band:
    """The front of a level function and what Newton's method needs to know at the cells next to it.

    `fresh`: the level function is a signed distance already. `part`: the cells to look at (slices); all coordinates
    are then relative to it.
    """

    def __init__(self, w, problem, fresh=False, part=None):
        px, inside = problem.px, w > 0
        surface = distance.SplineFront(w, problem.spacing)
        width = WIDTH * px
        if fresh:
            d = w[part or ...]
        elif part is None:  # the margin mirrors the box, and need not be searched
            d = problem.reflected(surface.signed(inside, width, part=problem.box))
        else:
            d = surface.signed(inside, width, part=part)
        corner = [s.start or 0 for s in part] if part else 0
        seeds = surface.seeds[:, 3 - w.ndim :] / problem.spacing - corner
        del surface  # splines on all cells
        self.front = GridFront(np.clip(d, -width, width), problem, width)
        near, frame = self.front.near, self.front.framed()
        self.cells, self.distance = self.front.cells[near], self.front.distance[near]
        frame.open = open_shares(frame, problem.shape, problem.spacing, problem.eps, 0.5 * px, seeds)
        self.c, self.k, self.a = problem.linearise(frame)
        self.points, self.turn = frame.points, np.abs(frame.bends).max(1)
        self.rough = self.front.bend_errors(frame.points)
        self.free = bool((frame.open == 1.0).all() and problem.eps * self.turn.max(initial=0.0) < 1.0)


class State:
    """A front, what Newton's method needs to know there, and the linearised problem."""

    def __init__(self, w, problem, fresh=False):
        self.w, self.band = w, Band(w, problem, fresh)
        self.empty = len(self.band.c) == 0
        self.gap = self.merit = np.inf
        if not self.empty:
            b = self.band
            self.system = System(b.cells, b.distance, b.c, b.k, b.a, b.rough, problem.spacing)
            self.gap, self.merit = self.system.gap, self.system.merit

    @property
    def turn(self):
        """Largest principal curvature at the cells."""
        return self.band.turn

    @property
    def proved(self):
        """Whether the closed form of the force is right on all of the front, and the linearised problem stable."""
        return self.band.free and self.system.least > LEAST_SLOPE

    def moved(self, v, problem):
        """Level function of the front moved outward by `v`; moves of many cells need the front's wide surroundings."""
        eta, size = np.zeros(self.w.shape), np.abs(v).max()
        eta[tuple(self.band.cells.T)] = v
        wide = size >= problem.px
        front = GridFront(self.w, problem, reach(size, problem.px)) if wide else self.band.front
        return front.moved(eta, size)


def _enough(state, tol):
    """Whether the gap is within `tol`, and the bound too unless the error of the splines alone exceeds it."""
    bound = state.system.bound
    return state.gap <= tol and (bound <= tol or bound - state.gap > tol)


def relax(problem, w, tol, fresh=False, state=State):
    """Iterate from the level function `w` (`fresh`: already a signed distance).

    What `w` is, only `problem` and `state` know.

    Returns
    -------
    State, int, bool
        The last front (None if it vanished), the number of linear systems solved, whether its gap is within `tol`.
    """
    now = state(problem.reflected(w), problem, fresh)
    best, stalled, solved = now.merit, 0, 0
    while solved < LIMIT:
        if now.empty or stalled > 3 or _enough(now, tol):
            break
        v = now.system.update()
        solved += 1
        v *= min(1.0, 0.5 / max((np.abs(v) * now.turn).max(), 1e-300))
        for t in (1.0, 0.5, 0.25):
            w = problem.reflected(now.moved(t * v, problem))
            if not problem.has_front(w):
                return None, solved, False
            new = state(w, problem)
            if new.merit < now.merit:
                break
        if now.gap <= tol and new.merit >= now.merit:  # a settled front is not given up for a worse one
            stalled = LIMIT
            continue
        now = new
        stalled = 0 if now.merit < 0.9 * best else stalled + 1
        best = min(best, now.merit)
    if now.empty:
        return None, solved, False
    if now.gap <= tol:  # one more move is nearly free, and squares what is left of the smooth part of the error
        now.w = problem.reflected(now.moved(now.system.update(), problem))
        solved += 1
    return now, solved, now.gap <= tol
