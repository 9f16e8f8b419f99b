"""The bound on the front's error against solutions of the same discrete problem by a method that shares nothing.

In the plane: r(theta) by trigonometric collocation, its derivatives by FFT, Newton's method by SciPy, f and the
densities as SciPy's cubic splines through the grid values. On a line: roots of the planar law by SciPy.
"""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, optimize

from mcfpaper.kernels.distance import redistance
from mcfpaper.solvers import barriers, curvefront, front
from mcfpaper.solvers.newton import StepData

EPS, TAU = 0.05, 0.0125
MODES = 160
ANGLES = 2 * np.pi * np.arange(MODES) / MODES

waves = st.lists(st.tuples(st.floats(-0.04, 0.04), st.floats(0, 6.3)), min_size=3, max_size=3)


def interpolant(values, h):
    """SciPy's cubic spline through cell values, mirrored at the walls, at physical points of [-1, 1]^d."""
    coefficients = ndimage.spline_filter(values, 3, mode="reflect")

    def at(points):
        index = ((points + 1.0) / h - 0.5).T
        return ndimage.map_coordinates(coefficients, index, order=3, mode="reflect", prefilter=False)

    return at


def radius(angle, waves):
    """r of a smooth star-shaped set from (amplitude, phase) of the waves of order 2, 3, 4."""
    return 0.5 + sum(a * np.cos(k * angle + p) for k, (a, p) in enumerate(waves, start=2))


def residual(r, f, rho0, rho1):
    """c = f - (tau/rho) p at the points of the polar curve r, p in closed form (theory.md T4), and the points."""
    k = np.arange(MODES // 2 + 1)
    first = np.fft.irfft(1j * k * np.fft.rfft(r) * (k < MODES / 2), MODES)
    second = np.fft.irfft(-k * k * np.fft.rfft(r), MODES)
    e = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
    t = np.stack([-np.sin(ANGLES), np.cos(ANGLES)], 1)
    size = np.hypot(r, first)
    n = (r[:, None] * e - first[:, None] * t) / size[:, None]
    bend = (r * r + 2 * first * first - r * second) / size**3
    y = r[:, None] * e
    outer = rho0(y + EPS * n) * (1 + EPS * bend) - rho0(y)
    inner = rho1(y) - rho1(y - EPS * n) * (1 - EPS * bend)
    return f(y) - TAU * (outer + inner) / EPS / (rho0(y) + rho1(y)), y


def setting(n, waves):
    """Spacing, f and densities on n² cells, and points of the front after a step, by collocation."""
    h = 2.0 / n
    x, y = np.meshgrid(*[(np.arange(n) + 0.5) * h - 1.0] * 2, indexing="ij")
    f = redistance(radius(np.arctan2(y, x), waves) - np.hypot(x, y), (h, h))
    a, b = 0.7 * np.exp(-x * x - y * y), 0.3 + 0.1 * x * np.cos(2 * y)
    fields = [interpolant(v, h) for v in (f, a, b)]
    found = optimize.root(lambda r: residual(r, *fields)[0], radius(ANGLES, waves), tol=1e-13)
    c, points = residual(found.x, *fields)
    assert np.abs(c).max() < 1e-9 * h
    return h, f, a, b, points


@settings(max_examples=15, deadline=None)
@given(st.sampled_from([48, 64]), waves)
def test_gap_bounds_the_error_of_a_step(n, drawn):
    h, f, a, b, points = setting(n, drawn)
    out = front.step(f, a, b, EPS, TAU, (h, h))
    assert out.converged
    assert out.certified
    error = np.abs(interpolant(out.u, h)(points)).max()
    assert error <= out.gap
    assert out.gap < 0.005 * h


@settings(max_examples=15, deadline=None)
@given(waves, st.floats(1e-3, 0.2), st.integers(0, 9), st.floats(0, 6.3))
def test_gap_bounds_the_error_of_a_front_that_is_off(drawn, size, order, phase):
    h, f, a, b, points = setting(64, drawn)
    problem = StepData(f, a, b, EPS, TAU, (h, h))
    solved, _ = curvefront.relax(problem, f)
    x = solved.frame.points * h - 1.0
    shift = size * h * np.cos(order * np.arctan2(x[:, 1], x[:, 0]) + phase)
    off = curvefront.CurveFront(solved.moved(shift, 1.0), (h, h))
    proof = barriers.certify(problem, off)
    assert proof.holds or size > 0.05  # barriers round a front that is far off may not be found
    assert np.abs(off.distances((points + 1.0) / h - 0.5)).max() <= proof.gap


@settings(max_examples=15, deadline=None)
@given(st.integers(32, 200), st.floats(-0.3, 0.3), st.floats(0.1, 2.0))
def test_gap_bounds_the_error_on_a_line(n, start, slope):
    h = 2.0 / n
    x = (np.arange(n) + 0.5) * h - 1.0
    f, a, b = x - start, 0.3 * np.exp(-slope * x), 0.5 + 0.2 * np.sin(3 * x)
    eps = max(EPS, h)
    at, rho0, rho1 = (interpolant(v, h) for v in (f, a, b))

    def c(y):
        y = np.array([[y]])
        p = rho0(y - eps) - rho0(y) + rho1(y) - rho1(y + eps)
        return float((at(y) - TAU * p / eps / (rho0(y) + rho1(y)))[0])

    front_at = optimize.brentq(c, start - 0.2, start + 0.2, xtol=1e-15)
    out = front.step(f, a, b, eps, TAU, (h,))
    assert out.converged
    assert abs(interpolant(out.u, h)(np.array([[front_at]]))[0]) <= out.gap
