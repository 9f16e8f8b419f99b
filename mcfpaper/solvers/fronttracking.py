"""Plane curves moving by weighted mean curvature (theory.md D10), tracked by spectral collocation.

A front x(alpha, t) moves with velocity x_ss + (s-diffusion along the tangent) - (grad log rho . n) n, where s is arc
length: the normal part is D10, the tangential part only spreads the markers evenly and makes the system parabolic
(the DeTurck trick: Elliott and Fritz, IMA J. Numer. Anal. 37, 2017). Closed curves use trigonometric polynomials,
curves that end on the box edge Chebyshev polynomials with the natural condition, a right angle with the edge. Time:
SciPy's BDF with the exact Jacobian. Nothing here is shared with the minimising-movements scheme.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.integrate import BDF, OdeSolution
from scipy.interpolate import BSpline, NdBSpline, barycentric_interpolate, make_interp_spline
from scipy.linalg import toeplitz

SPREAD = 4.0  # how much faster markers spread than the front moves: keeps tips resolved


class Spline:
    """Tensor spline through the values on a grid, continued to the box edge; x = origin + index * h."""

    def __init__(self, values: np.ndarray, h: tuple[float, ...], degree: int, origin: np.ndarray | None = None):
        start = np.zeros(values.ndim) if origin is None else origin
        knots, degrees, c = [], [], np.asarray(values, float)
        for axis, (n, step) in enumerate(zip(values.shape, h, strict=True)):
            k = min(degree, n - 1)
            spline: BSpline = make_interp_spline(start[axis] + np.arange(n) * step, np.moveaxis(c, axis, 0), k=k)
            knots.append(spline.t)
            degrees.append(k)
            c = np.moveaxis(spline.c, 0, axis)
        self._spline = NdBSpline(tuple(knots), np.ascontiguousarray(c), tuple(degrees), extrapolate=True)
        self.d = values.ndim

    def __call__(self, x: np.ndarray, *nu: int) -> np.ndarray:
        return self._spline(x, nu=nu or None)

    def gradient(self, x: np.ndarray) -> np.ndarray:
        """(m, d) at points (m, d)."""
        return np.stack([self(x, *row) for row in np.eye(self.d, dtype=int)], axis=-1)

    def hessian(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """xx, xy, yy at points of the plane."""
        return self(x, 2, 0), self(x, 1, 1), self(x, 0, 2)


@dataclass(frozen=True)
class Affine:
    """state -> matrix @ state + shift, for one coordinate."""

    matrix: np.ndarray
    shift: np.ndarray

    def __call__(self, state: np.ndarray) -> np.ndarray:
        return self.matrix @ state + self.shift


class Closed:
    """Trigonometric polynomials on n markers, n even; the state is their coordinates."""

    closed = True
    slanted = False

    def __init__(self, n: int):
        self.n = n
        k = np.arange(1, n)
        step = 2 * np.pi / n
        first = np.r_[0.0, 0.5 * (-1.0) ** k / np.tan(k * step / 2)]
        second = np.r_[-(n**2) / 12 - 1 / 6, -0.5 * (-1.0) ** k / np.sin(k * step / 2) ** 2]
        zero = np.zeros(n)
        self.values = (Affine(np.eye(n), zero),) * 2
        self.first = (Affine(toeplitz(-first, first).T, zero),) * 2
        self.second = (Affine(toeplitz(second), zero),) * 2

    def samples(self, state: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, first and second derivatives in alpha, each (count, 2)."""
        m = max(count, self.n) // 2 * 2 + 1  # odd: no highest mode to split
        c = np.fft.fft(state.reshape(2, self.n), axis=1)
        c[:, self.n // 2] /= 2
        wide = np.zeros((2, m), complex)
        wide[:, : self.n // 2 + 1] = c[:, : self.n // 2 + 1]
        wide[:, -(self.n // 2) :] = c[:, -(self.n // 2) :]
        k = np.fft.fftfreq(m, 1 / m) * 1j
        return tuple((np.fft.ifft(wide * k**j).real * (m / self.n)).T for j in range(3))

    def state(self, points: np.ndarray) -> np.ndarray:
        return points.T.ravel()

    def alpha(self) -> np.ndarray:
        """Where the markers sit, as fractions of the curve's length."""
        return np.arange(self.n) / self.n


class Open:
    """Chebyshev polynomials on n inner markers; `ends` are (axis, coordinate) of the box edges the ends slide on."""

    closed = False
    slanted = False  # whether it starts far from a right angle with the box edge: then the ends cannot be followed

    def __init__(self, n: int, ends: tuple[tuple[int, float], tuple[int, float]]):
        self.n, self.ends = n, ends
        self.nodes = -np.cos(np.pi * np.arange(n + 2) / (n + 1))
        d1 = _chebyshev_derivative(self.nodes)
        self._d1, self._weights = d1, functools.lru_cache(4)(self._interpolation)  # a few counts take turns
        self._full = tuple(self._continue(d1, axis) for axis in (0, 1))
        inner = slice(1, -1)
        self.values, self.first, self.second = (
            tuple(Affine((m @ f.matrix)[inner], (m @ f.shift)[inner]) for f in self._full)
            for m in (np.eye(n + 2), d1, d1 @ d1)
        )

    def _continue(self, d1: np.ndarray, axis: int) -> Affine:
        """End values of a coordinate from its inner ones: given on the edge, and of slope 0 along the edge."""
        n, rows, right = self.n, np.zeros((2, self.n + 2)), np.zeros(2)
        for i, (edge_axis, place) in enumerate(self.ends):
            if edge_axis == axis:
                rows[i, -i], right[i] = 1.0, place
            else:
                rows[i] = d1[-i]
        ends = np.linalg.solve(rows[:, [0, -1]], np.c_[-rows[:, 1:-1], right])
        matrix = np.vstack([ends[:1, :-1], np.eye(n), ends[1:, :-1]])
        return Affine(matrix, np.r_[ends[0, -1], np.zeros(n), ends[1, -1]])

    def samples(self, state: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points, first and second derivatives in alpha, each (count, 2)."""
        full = np.stack([f(s) for f, s in zip(self._full, state.reshape(2, self.n), strict=True)], axis=1)
        w = self._weights(count)
        return w @ full, w @ (self._d1 @ full), w @ (self._d1 @ (self._d1 @ full))

    def _interpolation(self, count: int) -> np.ndarray:
        return barycentric_interpolate(self.nodes, np.eye(self.n + 2), np.linspace(-1, 1, count))

    def state(self, points: np.ndarray) -> np.ndarray:
        return points[1:-1].T.ravel()

    def alpha(self) -> np.ndarray:
        """Where the markers sit (ends included), as fractions of the curve's length."""
        return (self.nodes + 1) / 2


def _chebyshev_derivative(x: np.ndarray) -> np.ndarray:
    n = x.size
    c = np.r_[2.0, np.ones(n - 2), 2.0] * (-1.0) ** np.arange(n)
    d = np.outer(c, 1 / c) / (x[:, None] - x[None, :] + np.eye(n))
    return d - np.diag(d.sum(axis=1))  # rows sum to zero: constants have slope 0


def motion(basis: Closed | Open, log_rho: Spline) -> tuple[Callable, Callable]:
    """Right-hand side and Jacobian of the ODE for the markers, as functions of (t, state)."""
    n, c = basis.n, SPREAD - 1
    (x0, y0), (x1, y1), (x2, y2) = basis.values, basis.first, basis.second

    def parts(state):
        x, y = state[:n], state[n:]
        p, q, r, w = x1(x), y1(y), x2(x), y2(y)
        at = np.stack([x0(x), y0(y)], axis=1)
        return p, q, r, w, p * p + q * q, at

    def velocity(_, state):
        p, q, r, w, g, at = parts(state)
        fx, fy = log_rho.gradient(at).T
        along = c * (p * r + q * w) / g**2
        across = (p * fy - q * fx) / g
        return np.r_[r / g + p * along + q * across, w / g + q * along - p * across]

    def jacobian(_, state):
        p, q, r, w, g, at = parts(state)
        fx, fy = log_rho.gradient(at).T
        fxx, fxy, fyy = log_rho.hessian(at)
        s, m = p * r + q * w, p * fy - q * fx
        t, tr, tw = s / g**2, p / g**2, q / g**2
        tp, tq = r / g**2 - 4 * p * s / g**3, w / g**2 - 4 * q * s / g**3
        vxp = -2 * p * r / g**2 + c * (t + p * tp) + q * fy / g - 2 * p * q * m / g**2
        vxq = -2 * q * r / g**2 + c * p * tq + (m - q * fx) / g - 2 * q * q * m / g**2
        vyp = -2 * p * w / g**2 + c * q * tp - (m + p * fy) / g + 2 * p * p * m / g**2
        vyq = -2 * q * w / g**2 + c * (t + q * tq) + p * fx / g + 2 * p * q * m / g**2
        mxx, mxy, myy = -q * q / g, p * q / g, -p * p / g  # how the drift depends on grad log rho

        def block(first, second, value, maps):
            return first[:, None] * maps[0].matrix + second[:, None] * maps[1].matrix + value[:, None] * maps[2].matrix

        xs, ys = (x1, x2, x0), (y1, y2, y0)
        top = block(vxp, 1 / g + c * p * tr, mxx * fxx + mxy * fxy, xs)
        top_right = block(vxq, c * p * tw, mxx * fxy + mxy * fyy, ys)
        low = block(vyp, c * q * tr, mxy * fxx + myy * fxy, xs)
        low_right = block(vyq, 1 / g + c * q * tw, mxy * fxy + myy * fyy, ys)
        return np.block([[top, top_right], [low, low_right]])

    return velocity, jacobian


@dataclass
class Path:
    """One component over time: states from `start` to `end`, and why it stopped."""

    basis: Closed | Open
    side: int  # +1 if the set lies to the left of the direction of alpha
    solution: Callable[[float], np.ndarray]
    start: float
    end: float
    gone: bool  # vanished at `end` (else it was stopped, or reached the end of the interval)
    steps: np.ndarray

    @classmethod
    def still(cls, basis: Closed | Open, state: np.ndarray, side: int, now: float) -> Path:
        """A component that has not moved."""
        return cls(basis, side, lambda _: state, now, now, False, np.array([now]))


def follow(
    basis: Closed | Open,
    state: np.ndarray,
    side: int,
    span: tuple[float, float],
    log_rho: Spline,
    tolerance: float,
    smallest: float,
    blocked: Callable[[np.ndarray], bool],
) -> Path:
    """Move a curve over the time interval `span`.

    It stops early when its radius (length over turning) falls below `smallest`, when `blocked(state)`, then at the
    last time found where it was not, or when the ODE solver can go no further.
    """
    velocity, jacobian = motion(basis, log_rho)
    start, end = span
    solver = BDF(velocity, start, state, end, rtol=1e-13, atol=tolerance, jac=jacobian)
    times, pieces, gone = [start], [], False
    while solver.status == "running":
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            solver.step()
        if solver.status == "failed":
            break
        piece = solver.dense_output()
        stop = blocked(solver.y)
        until = first_true(lambda t, piece=piece: blocked(piece(t)), times[-1], solver.t) if stop else solver.t
        if until > times[-1]:
            times.append(until)
            pieces.append(piece)
        if stop:
            break
        if radius(basis, solver.y) < smallest:
            gone = True
            break
    if times[-1] == start:
        return Path.still(basis, state, side, start)
    return Path(basis, side, OdeSolution(times, pieces), start, times[-1], gone, np.array(times))


def first_true(test: Callable[[float], bool], good: float, bad: float) -> float:
    """A time just before `test` turns true, which it does between `good` and `bad` (bisection)."""
    for _ in range(12):
        middle = 0.5 * (good + bad)
        good, bad = (good, middle) if test(middle) else (middle, bad)
    return good


def radius(basis: Closed | Open, state: np.ndarray) -> float:
    """Length over total turning: the radius of a circle, of a half circle at an edge, of a quarter in a corner."""
    _, first, second = basis.samples(state, 2 * basis.n + 1)
    size = np.hypot(*first.T)
    turning = np.abs(np.mean((first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / size**2))
    return float(np.mean(size) / max(turning, 1e-12))
